"""What the flow kernels remember, as arrays of what is in use, and back: how an audit goes on where another one was.

Where flows and strings hang is not among it: that depends on the secret of a run (``keyed``), and each has its own.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from auditor.border.gate import RefusedError
from auditor.flows import state as S
from auditor.flows.exchange import ANSWER
from auditor.flows.intern import rehang
from auditor.flows.limits import Limits
from auditor.flows.room import live, new_state
from auditor.flows.table import relink
from auditor.machine import packed
from auditor.reading.pending import copy_pending

Array = np.ndarray[Any, Any]
# Arrays of which the first places are in use, by the counter that says how many.
USED = {
    "flows": S.FLOW_PLACES,
    "streams": S.STREAM_PLACES,
    "handshakes": S.HANDSHAKE_PLACES,
    "finished": S.FINISHED_FLOWS,
}
USED_MEMORY = {"datagrams": S.DATAGRAM_PLACES, "places": S.POSITION_PLACES, "free_chunks": S.FREE_CHUNKS}
# Arrays of which the first places of both halves are, one for each side of a flow, and the names of these.
HALVED = {"sides": ("sides", "other_sides"), "ways": ("ways", "other_ways")}
NUMBERS, BYTES, SHORT = np.dtype(np.int64), np.dtype(np.uint8), np.dtype(np.int32)
LAYOUTS: dict[str, np.dtype[Any]] = {
    "flows": S.FLOW,
    "sides": S.SIDE,
    "other_sides": S.SIDE,
    "ways": S.WAY,
    "other_ways": S.WAY,
    "streams": S.STREAM,
    "handshakes": S.HANDSHAKE,
    "finished": SHORT,
    "datagrams": S.DATAGRAM,
    "places": S.PLACE,
    "free_chunks": SHORT,
    "counters": NUMBERS,
    "chunk_at": NUMBERS,
    "chunks": BYTES,
    "arena": BYTES,
    "entries": NUMBERS,
    "sessions": np.dtype(np.uint64),
    "answer_at": NUMBERS,
    "answers": ANSWER,
    "buckets": NUMBERS,
}


def parts(state: S.State) -> dict[str, Array | packed.Cleaned]:
    """The arrays that say what is remembered. Most are views: they are to be written before anything else happens."""
    memory, c = state.memory, state.memory.counters
    flows = packed.Cleaned(state.flows.view(np.ndarray)[: c[S.FLOW_PLACES]], _clean)
    in_use = np.ones(int(c[S.CHUNK_PLACES]), bool)
    in_use[memory.free_chunks[: c[S.FREE_CHUNKS]]] = False
    chunk_at = np.flatnonzero(in_use)
    pending = np.zeros((int(c[S.CHUNK_PLACES]), S.CHUNK), BYTES)
    copy_pending(state, pending)
    answers = state.answers.view(np.ndarray)
    answer_at = np.flatnonzero(answers.view(BYTES).reshape(len(answers), -1).any(axis=1))
    used = {name: getattr(state, name)[: c[of]] for name, of in USED.items()}
    used |= {name: getattr(memory, name)[: c[of]] for name, of in USED_MEMORY.items()}
    used |= {name: half[: c[S.FLOW_PLACES]] for name, half in _halves(state)}
    return used | {
        "flows": flows,
        "counters": c,
        "chunk_at": chunk_at,
        "chunks": pending[chunk_at],
        "arena": memory.arena[: memory.entries[0, 1]],
        "entries": np.ascontiguousarray(memory.entries[: max(1, memory.entries[0, 0]), :2]),
        "sessions": memory.sessions,
        "answer_at": answer_at,
        "answers": answers[answer_at],
        "buckets": np.array([len(state.buckets), len(memory.intern_buckets)]),
    }


def _halves(state: S.State) -> Iterator[tuple[str, Array]]:
    """The halves of arrays that have one for each side of a flow, by their names."""
    for array, names in HALVED.items():
        yield from zip(names, np.split(getattr(state, array), 2), strict=True)


def _clean(flows: Array) -> None:
    """Flows without where they hang: by which free places are chained stays."""
    flows["bucket"] = 0
    flows["next"][flows["live"] != S.FREE] = 0


def restored(arrays: dict[str, Array], limits: Limits, tallies: Array) -> S.State:
    """A state that goes on from what was remembered. Raises RefusedError where there is no room for that.

    ``tallies``: what is counted of each capture.
    """
    state = new_state(limits, tallies)
    memory, c = state.memory, arrays["counters"]
    if c.shape != memory.counters.shape:
        raise RefusedError("damaged: it does not say what was counted")
    memory.counters[:] = c
    for name, of in (USED | USED_MEMORY).items():
        _put(getattr(state if name in USED else memory, name), arrays[name], int(c[of]))
    for name, half in _halves(state):
        _put(half, arrays[name], int(c[S.FLOW_PLACES]))
    _put_at(memory.chunks, arrays["chunk_at"], arrays["chunks"])
    _put_at(state.answers, arrays["answer_at"], arrays["answers"])
    _put(memory.arena, arrays["arena"], len(arrays["arena"]))
    secret = memory.entries[0, 2]
    _put(memory.entries[:, :2], arrays["entries"], len(arrays["entries"]))
    memory.entries[0, 2] = secret
    _put(memory.sessions, arrays["sessions"], len(memory.sessions))
    heads, texts = (1 << (int(size) - 1).bit_length() for size in arrays["buckets"])
    if heads > len(state.flows) * 8 + 1024 or texts > len(memory.entries) * 8 + 1024:
        raise RefusedError("needs more memory than there is")
    memory = memory._replace(intern_buckets=np.zeros(texts, np.int32))
    state = state._replace(memory=memory, buckets=np.full(heads, -1, np.int32))
    rehang(memory.arena, memory.entries, memory.intern_buckets)
    relink(live(state), state.flows, state.buckets, memory.keys)
    return state


def _put(target: Array, rows: Array, count: int) -> None:
    if len(rows) != count or rows.shape[1:] != target.shape[1:]:
        raise RefusedError("damaged: its rows do not fit each other")
    if count > len(target):
        raise RefusedError("needs more memory than there is")
    target.view(np.ndarray)[:count] = rows


def _put_at(target: Array, at: Array, rows: Array) -> None:
    if at.shape != rows.shape[:1] or rows.shape[1:] != target.shape[1:] or (at < 0).any():
        raise RefusedError("damaged: its rows do not fit each other")
    if len(at) and at.max() >= len(target):
        raise RefusedError("needs more memory than there is")
    target.view(np.ndarray)[at] = rows
