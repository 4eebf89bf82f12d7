"""How the arrays of the flow kernels grow: the kernels stop before the packet for which there might be no room.

Each array is as large as ``Limits`` allow from the beginning, which takes no memory: the operating system gives that to
the places that are touched. Where one is full, the flows that were idle the longest are ended early.
"""

from typing import Any

import numpy as np

from auditor.flows.exchange import (
    ANSWER,
    ANSWERS,
    FIRST_EXCHANGED,
    MOST_NAMINGS,
    MOST_RESUMINGS,
    NAMING,
    RESUMING,
    SESSIONS,
)
from auditor.flows.intern import ENTRIES, ROOM_BYTES, intern_crowded, intern_full, rehang
from auditor.flows.keyed import new_keys
from auditor.flows.limits import Limits
from auditor.flows.state import (
    CHUNK,
    CHUNK_PLACES,
    COUNTERS,
    DATAGRAM,
    DATAGRAM_PLACES,
    FIRST_TIME,
    FLOW,
    FLOW_PLACES,
    FORGOTTEN_ANSWERS,
    FREE_CHUNKS,
    FREE_DATAGRAM,
    FREE_FLOW,
    FREE_HANDSHAKE,
    FREE_PLACE,
    FREE_STREAM,
    HANDSHAKE,
    HANDSHAKE_PLACES,
    LAST_TIME,
    LIVE,
    NAMINGS,
    PLACE,
    POSITION_PLACES,
    RESUMINGS,
    ROOM_CHUNKS,
    SCRATCH,
    SIDE,
    STREAM,
    STREAM_PLACES,
    SWEEP_AT,
    WAY,
    Memory,
    State,
    chain,
    records,
)
from auditor.flows.table import MOST_FINISHED, ROOM_FINISHED, relink

Array = np.ndarray[Any, Any]
FIRST_PLACES, MANY = 256, 1 << 17
LEAST = Limits()  # what few flows with large messages need, whatever else there is


def new_counters() -> Array:
    """Counters that say that nothing was counted."""
    counters = np.zeros(COUNTERS, np.int64)
    counters[STREAM_PLACES] = 1  # a side without a stream has 0
    counters[[SWEEP_AT, FREE_FLOW, FREE_STREAM, FREE_HANDSHAKE, FREE_DATAGRAM, FREE_PLACE]] = -1
    return counters


def new_tallies(captures: int) -> Array:
    """What is counted of so many captures, a row each; nothing yet."""
    tallies = np.zeros((captures, COUNTERS), np.int64)
    tallies[:, FIRST_TIME] = np.iinfo(np.int64).max
    tallies[:, LAST_TIME] = np.iinfo(np.int64).min
    return tallies


def new_state(limits: Limits = LEAST, tallies: Array | None = None) -> State:
    """A state with nothing in it; ``tallies``: what is counted of each capture that is read with it."""
    entries = np.zeros((limits.strings, 3), np.int64)
    keys = new_keys()
    entries[0, 2] = keys[:1].view(np.int64)[0]
    state = State(
        memory=Memory(
            counters=new_counters(),
            chunks=np.empty((limits.chunks, CHUNK), np.uint8),
            free_chunks=np.empty(limits.chunks, np.int32),
            arena=np.zeros(limits.arena, np.uint8),
            entries=entries,
            intern_buckets=np.zeros(2 * ENTRIES, np.int32),
            scratch=np.zeros(SCRATCH, np.uint8),
            sessions=np.zeros((SESSIONS, 2), np.uint64),
            datagrams=records(limits.datagrams, DATAGRAM),
            places=records(limits.positions, PLACE),
            keys=keys,
            tallies=new_tallies(1) if tallies is None else tallies,
            namings=records(FIRST_EXCHANGED, NAMING),
            resumings=records(FIRST_EXCHANGED, RESUMING),
        ),
        flows=records(limits.flows, FLOW),
        sides=records(2 * limits.flows, SIDE),
        ways=records(2 * limits.flows, WAY),
        buckets=np.full(2 * FIRST_PLACES, -1, np.int32),
        streams=records(limits.streams, STREAM),
        handshakes=records(limits.handshakes, HANDSHAKE),
        answers=records(ANSWERS, ANSWER),
        finished=np.zeros(ROOM_FINISHED, np.int32),
    )
    return make_room(state)


def _chained(state: State) -> list[tuple[int, int, Array]]:
    """The arrays whose free places are chained: the counters of the chain's head and of the places, and the array."""
    return [
        (FREE_FLOW, FLOW_PLACES, state.flows),
        (FREE_STREAM, STREAM_PLACES, state.streams),
        (FREE_HANDSHAKE, HANDSHAKE_PLACES, state.handshakes),
        (FREE_DATAGRAM, DATAGRAM_PLACES, state.memory.datagrams),
        (FREE_PLACE, POSITION_PLACES, state.memory.places),
    ]


def is_full(state: State) -> bool:
    """Whether an array that lacks room is as large as it may be."""
    memory, c = state.memory, state.memory.counters
    lacking = any(c[free] < 0 and c[places] >= len(array) for free, places, array in _chained(state))
    no_chunks = c[FREE_CHUNKS] < ROOM_CHUNKS and c[CHUNK_PLACES] >= len(memory.chunks)
    return lacking or no_chunks or bool(intern_full(memory.arena, memory.entries))


def make_room(state: State) -> State:
    """The same state with room for at least one more packet, unless an array is full."""
    memory = state.memory
    c = memory.counters
    for free, places, array in _chained(state):
        if c[free] < 0 and c[places] < len(array):
            used = int(c[places])
            c[places] = min(len(array), used + _more(used))
            c[free] = chain(array, used, int(c[places]))
    if c[FREE_CHUNKS] < ROOM_CHUNKS and c[CHUNK_PLACES] < len(memory.chunks):
        used, height = int(c[CHUNK_PLACES]), int(c[FREE_CHUNKS])
        c[CHUNK_PLACES] = min(len(memory.chunks), max(2 * FIRST_PLACES, used + used // 2))
        added = int(c[CHUNK_PLACES]) - used
        # Those that are free already are taken first: they have been touched.
        memory.free_chunks[added : added + height] = memory.free_chunks[:height].copy()
        memory.free_chunks[:added] = np.arange(c[CHUNK_PLACES] - 1, used - 1, -1)
        c[FREE_CHUNKS] = added + height
    if c[FLOW_PLACES] > len(state.buckets):
        state = state._replace(buckets=np.full(4 * len(state.buckets), -1, np.int32))
        _relink(state)
    if c[NAMINGS] + MOST_NAMINGS > len(memory.namings):
        memory = memory._replace(namings=_longer(memory.namings))
    if c[RESUMINGS] + MOST_RESUMINGS > len(memory.resumings):
        memory = memory._replace(resumings=_longer(memory.resumings))
    state = state._replace(memory=memory)
    if intern_crowded(memory.entries, memory.intern_buckets):
        buckets = np.zeros(4 * len(memory.intern_buckets), np.int32)
        rehang(memory.arena, memory.entries, buckets)
        state = state._replace(memory=memory._replace(intern_buckets=buckets))
    return state


def _more(used: int) -> int:
    """How many places are added to so many: half as many again, of many an eighth, since all that are chained are touched."""
    return max(FIRST_PLACES, used // 2 if used < MANY else used // 8)


def _longer(rows: Array) -> Array:
    """The same rows with as many again behind them."""
    longer = records(2 * len(rows), rows.dtype)
    longer[: len(rows)] = rows
    return longer


def room_for_strings(state: State, size: int = ROOM_BYTES) -> State:
    """The same state with room for what one more message can add, beyond its limit if need be: ``size`` bytes at least.

    Only for what flows that are over are found to say: they are taken out next, and their strings then let go.
    """
    memory = state.memory
    if intern_full(memory.arena, memory.entries) or len(memory.arena) - memory.entries[0, 1] < size:
        arena = np.zeros(len(memory.arena) + max(size, len(memory.arena) // 4), np.uint8)
        entries = np.zeros((len(memory.entries) + len(memory.entries) // 4, 3), np.int64)
        arena[: memory.entries[0, 1]] = memory.arena[: memory.entries[0, 1]]
        entries[: memory.entries[0, 0]] = memory.entries[: memory.entries[0, 0]]
        state = state._replace(memory=memory._replace(arena=arena, entries=entries))
    return make_room(state)


def live(state: State) -> Array:
    """Places of open flows, in the order in which they began."""
    flows = state.flows[: state.memory.counters[FLOW_PLACES]]
    live = np.flatnonzero(flows["live"] == LIVE)
    return live[np.argsort(flows["number"][live])]


def _relink(state: State) -> None:
    """Hang every live flow into the new, larger table of buckets."""
    relink(live(state), state.flows, state.buckets, state.memory.keys)


def oldest(state: State) -> list[Array]:
    """The quarter of the open flows that were idle the longest, in parts whose rows are to be taken out one by one."""
    idle = live(state)
    idle = idle[np.argsort(state.flows["touched"][idle], kind="stable")][: len(idle) // 4 + 1]
    return [idle[at : at + MOST_FINISHED] for at in range(0, len(idle), MOST_FINISHED)]


def forget_answers(state: State) -> None:
    """Forget the older half of the DNS answers: their names take the room of others."""
    answers = state.answers
    named = np.flatnonzero((answers["name"] != 0) | (answers["before"] != 0))
    oldest = named[np.argsort(answers["time"][named], kind="stable")][: len(named) // 2 + 1]
    state.memory.counters[FORGOTTEN_ANSWERS] += len(oldest)
    for name in ("name", "before"):  # the time stays, so that answers behind them are still found
        answers[name][oldest] = 0
