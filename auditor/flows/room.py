"""How the arrays of the flow kernels grow: the kernels stop before the packet for which there might be no room."""

from typing import Any

import numpy as np

from auditor.flows.intern import ARENA_BYTES, ENTRIES, ROOM_BYTES, ROOM_ENTRIES, grow_intern
from auditor.flows.state import (
    ANSWER,
    ANSWERS,
    CHUNK,
    COUNTERS,
    DATAGRAM,
    FIRST_TIME,
    FLOW,
    FREE_CHUNKS,
    FREE_DATAGRAM,
    FREE_FLOW,
    FREE_HANDSHAKE,
    FREE_PLACE,
    FREE_STREAM,
    HANDSHAKE,
    LAST_TIME,
    LIVE,
    PLACE,
    ROOM_CHUNKS,
    SCRATCH,
    SESSIONS,
    SIDE,
    STREAM,
    SWEEP_AT,
    WAY,
    Memory,
    State,
    chain,
    records,
)
from auditor.flows.table import relink

Array = np.ndarray[Any, Any]


def new_tallies(captures: int) -> Array:
    """What is counted of so many captures, a row each; nothing yet."""
    tallies = np.zeros((captures, COUNTERS), np.int64)
    tallies[:, FIRST_TIME] = np.iinfo(np.int64).max
    tallies[:, LAST_TIME] = np.iinfo(np.int64).min
    return tallies


def new_state(flows: int = 1024, streams: int = 256, chunks: int = 512, tallies: Array | None = None) -> State:
    """A state with nothing in it; ``tallies``: what is counted of each capture that is read with it."""
    counters = np.zeros(COUNTERS, np.int64)
    counters[FREE_CHUNKS] = chunks
    counters[SWEEP_AT] = -1
    state = State(
        memory=Memory(
            counters=counters,
            chunks=np.empty((chunks, CHUNK), np.uint8),
            free_chunks=np.arange(chunks - 1, -1, -1, dtype=np.int32),
            arena=np.zeros(ARENA_BYTES, np.uint8),
            entries=np.zeros((ENTRIES, 3), np.int64),
            intern_buckets=np.zeros(2 * ENTRIES, np.int32),
            scratch=np.zeros(SCRATCH, np.uint8),
            sessions=np.zeros((SESSIONS, 2), np.uint64),
            datagrams=records(streams, DATAGRAM),
            places=records(streams, PLACE),
            tallies=new_tallies(1) if tallies is None else tallies,
        ),
        flows=records(flows, FLOW),
        sides=records(2 * flows, SIDE),
        ways=records(2 * flows, WAY),
        buckets=np.full(2 * flows, -1, np.int32),
        streams=records(streams, STREAM),
        handshakes=records(streams, HANDSHAKE),
        answers=records(ANSWERS, ANSWER),
    )
    counters[FREE_FLOW] = chain(state.flows, 0, -1)
    counters[FREE_STREAM] = chain(state.streams, 0, -1)
    counters[FREE_HANDSHAKE] = chain(state.handshakes, 0, -1)
    counters[FREE_DATAGRAM] = chain(state.memory.datagrams, 0, -1)
    counters[FREE_PLACE] = chain(state.memory.places, 0, -1)
    return state


def _doubled(array: Array) -> Array:
    larger = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger.view(np.recarray) if array.dtype.names else larger


def make_room(state: State) -> State:
    """The same state with room for at least one more packet, whatever it carries."""
    memory = state.memory
    c = memory.counters
    if c[FREE_FLOW] < 0:
        old = len(state.flows)
        state = state._replace(
            flows=_doubled(state.flows),
            sides=_doubled(state.sides),
            ways=_doubled(state.ways),
            buckets=np.full(4 * old, -1, np.int32),
        )
        c[FREE_FLOW] = chain(state.flows, old, -1)
        _relink(state)
    if c[FREE_STREAM] < 0:
        old = len(state.streams)
        state = state._replace(streams=_doubled(state.streams))
        c[FREE_STREAM] = chain(state.streams, old, -1)
    if c[FREE_HANDSHAKE] < 0:
        old = len(state.handshakes)
        state = state._replace(handshakes=_doubled(state.handshakes))
        c[FREE_HANDSHAKE] = chain(state.handshakes, old, -1)
    if c[FREE_DATAGRAM] < 0:
        old = len(memory.datagrams)
        memory = memory._replace(datagrams=_doubled(memory.datagrams))
        c[FREE_DATAGRAM] = chain(memory.datagrams, old, -1)
    if c[FREE_PLACE] < 0:
        old = len(memory.places)
        memory = memory._replace(places=_doubled(memory.places))
        c[FREE_PLACE] = chain(memory.places, old, -1)
    if c[FREE_CHUNKS] < ROOM_CHUNKS:
        old, height = len(memory.chunks), int(c[FREE_CHUNKS])
        free = np.empty(2 * old, np.int32)
        free[:old] = np.arange(2 * old - 1, old - 1, -1)
        free[old : old + height] = memory.free_chunks[:height]
        memory = memory._replace(chunks=_doubled(memory.chunks), free_chunks=free)
        c[FREE_CHUNKS] += old
    used = memory.entries[0]
    if len(memory.arena) - used[1] < ROOM_BYTES or len(memory.entries) - used[0] < ROOM_ENTRIES:
        arena, entries, buckets = grow_intern(memory.arena, memory.entries)
        memory = memory._replace(arena=arena, entries=entries, intern_buckets=buckets)
    return state._replace(memory=memory)


def _relink(state: State) -> None:
    """Hang every live flow into the new, larger table of buckets."""
    live = np.flatnonzero(state.flows["live"] == LIVE)
    relink(live[np.argsort(state.flows["number"][live])], state.flows, state.buckets)
