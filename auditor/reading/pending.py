"""The bytes of streams that somebody still waits for: of all others an audit keeps nothing."""

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import copy_bytes
from auditor.flows.sides import place_of
from auditor.flows.state import CHUNK, CHUNK_BITS, CHUNKS_A_STREAM, FLOW_PLACES, LIVE, Memory, State, StreamRow
from auditor.machine.kernel import kernel, part
from auditor.machine.signature import Layout
from auditor.tls.records import needed_from


@part
def copy_window(memory: Memory, stream: StreamRow, begin: int, end: int, chunks: NDArray[np.uint8]) -> None:
    """Copy the bytes ``begin`` to ``end`` of a stream's window from its chunks to others of the same numbers."""
    at = begin
    while at < end:
        slot, inside = at >> CHUNK_BITS, at & (CHUNK - 1)
        size = min(CHUNK - inside, end - at)
        if slot < CHUNKS_A_STREAM and stream.grid[slot] >= 0:
            number = stream.grid[slot]
            copy_bytes(memory.chunks[number], inside, size, chunks[number], inside)
        at += size


@kernel(State, Layout(np.uint8, 2))
def copy_pending(state: State, chunks: NDArray[np.uint8]) -> int:
    """Copy of all streams what was not looked at yet, or is the beginning of what is; how many bytes.

    What was looked at may be a request with a password. ``chunks`` has room for all chunks that are in use.
    """
    count = np.int64(0)
    for which in range(2 * state.memory.counters[FLOW_PLACES]):
        at = which >> 1
        side = state.sides[place_of(state.sides, at, which & 1)]
        if state.flows[at].live != LIVE or side.stream == 0:
            continue
        stream = state.streams[side.stream]
        first = needed_from(stream) if stream.recognised != 0 else np.int64(stream.start)
        for k in range(np.int64(stream.spans)):
            begin, end = max(first, np.int64(stream.span[2 * k])), np.int64(stream.span[2 * k + 1])
            if begin < end:
                copy_window(state.memory, stream, begin, end, chunks)
                count += end - begin
    return count
