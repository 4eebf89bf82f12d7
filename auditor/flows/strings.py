"""The interned strings that some rows use, taken out of the kernels' memory and put into a memory of their own."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auditor.border.gate import RefusedError
from auditor.flows.exchange import NAMING, RESUMING
from auditor.flows.intern import keep
from auditor.flows.keyed import KEYS
from auditor.flows.rows import INTERNED, Array, Rows, copied
from auditor.flows.state import CHUNK, COUNTERS, DATAGRAM, PLACE, Memory, records

OF_FLOWS = ("host", "dns", "dns_back", "vpc_endpoint")  # fields of flows that are numbers of interned bytes


class Strings(NamedTuple):
    """Byte strings one behind the other, and the length of each; they have the numbers from 1 on."""

    lengths: Array
    data: Array


def compacted(rows: Rows, memory: Memory) -> tuple[Rows, Strings]:
    """The same rows with strings of their own: only those that they name."""
    is_used = np.zeros(max(1, int(memory.entries[0, 0])), bool)
    flows, handshakes = copied(rows.flows), copied(rows.handshakes)
    fields = [*((flows, name) for name in OF_FLOWS), *((handshakes, name) for name in INTERNED)]
    for array, name in fields:
        is_used[array[name]] = True
    is_used[0] = False
    used = np.flatnonzero(is_used)
    number = np.zeros(len(is_used), np.int32)
    number[used] = np.arange(1, len(used) + 1)
    for array, name in fields:
        array[name] = number[array[name]]
    lengths = memory.entries[used, 1]
    data, entries = np.zeros(int(lengths.sum()), np.uint8), np.zeros((len(used) + 1, 3), np.int64)
    keep(memory.arena, memory.entries, used.astype(np.int64), data, entries)
    return replace(rows, flows=flows, handshakes=handshakes), Strings(lengths, data)


def memory_of(lengths: Array, data: Array) -> Memory:
    """A memory that has nothing but strings. Raises RefusedError where they are not as long as they have to be."""
    if lengths.ndim != 1 or data.ndim != 1 or (lengths < 0).any() or (lengths > len(data)).any():
        raise RefusedError("damaged: its strings have no length")
    entries = np.zeros((len(lengths) + 1, 3), np.int64)
    ends = np.cumsum(lengths)
    entries[1:, 0], entries[1:, 1] = ends - lengths, lengths
    if (int(ends[-1]) if len(ends) else 0) != len(data):
        raise RefusedError("damaged: its strings are not whole")
    entries[0] = len(entries), len(data), 0
    nothing = np.zeros(0, np.int32)
    return Memory(
        counters=np.zeros(COUNTERS, np.int64),
        chunks=np.zeros((0, CHUNK), np.uint8),
        free_chunks=nothing,
        arena=data,
        entries=entries,
        intern_buckets=nothing,
        scratch=np.zeros(0, np.uint8),
        sessions=np.zeros((0, 2), np.uint64),
        datagrams=records(0, DATAGRAM),
        places=records(0, PLACE),
        keys=np.zeros(KEYS, np.uint64),
        tallies=np.zeros((0, COUNTERS), np.int64),
        namings=records(0, NAMING),
        resumings=records(0, RESUMING),
    )
