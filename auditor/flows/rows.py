"""Taking finished flows out of the kernels' memory, and giving out interned numbers anew when they fill up."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.flows.intern import ARENA_BYTES, ENTRIES, rehang, value
from auditor.flows.state import BOTH, FINISHED, LIVE, State
from auditor.flows.table import recycle

Array = np.ndarray[Any, Any]
LARGE_ARENA = 16 << 20
# Fields of handshakes that are numbers of interned bytes.
INTERNED = ("client_shape", "server_shape", "server_name", "server_chain", "client_chain", "staple", "dh_prime")


@dataclass
class Rows:
    """Finished flows in the order of their first packets: FLOW rows, BOTH rows (n, 2), HANDSHAKE and PLACE rows with their flow."""

    flows: Array
    sides: Array
    handshakes: Array
    handshake_flow: Array  # index of each handshake's flow in ``flows``
    places: Array
    place_flow: Array

    def __len__(self) -> int:
        return len(self.flows)

    def add_handshakes(self, rows: Array, flow: Array) -> None:
        """Add HANDSHAKE rows, each behind those that its flow has already."""
        if len(rows):
            handshake_flow = np.concatenate([self.handshake_flow, flow])
            order = np.argsort(handshake_flow, kind="stable")
            self.handshakes, self.handshake_flow = np.concatenate([self.handshakes, rows])[order], handshake_flow[order]


def gather(rows: Array, at: Array) -> Array:
    """The structured rows at ``at``, copied as bytes: numpy would copy them field by field, twenty times as slowly."""
    return rows.view(np.ndarray).view(f"V{rows.itemsize}")[at].view(rows.dtype)


def finished(state: State) -> Rows:
    """Copies of the finished rows; their places are kept until ``free``."""
    at = np.flatnonzero(state.flows["live"] == FINISHED)
    at = at[np.argsort(state.flows["number"][at])]
    flows = gather(state.flows, at)
    parts = [gather(array.reshape(-1, 2), at) for array in (state.sides, state.ways)]
    whole = np.concatenate([part.view(np.uint8).reshape(len(at), 2, part.itemsize) for part in parts], axis=2)
    sides = whole.view(BOTH)[..., 0]  # a row of BOTH is one of SIDE and one of WAY
    handshake_flow = np.flatnonzero(flows["handshake"] >= 0)
    handshakes = gather(state.handshakes, flows["handshake"][handshake_flow])
    places, place_flow = _places(flows["place"], state.memory.places)
    return Rows(flows, sides, handshakes, handshake_flow, places, place_flow)


def _places(last: Array, places: Array) -> tuple[Array, Array]:
    """The PLACE rows in the chains that end at ``last``, by flow and by when they began, and the flow of each."""
    at, flow = [last[last >= 0]], [np.flatnonzero(last >= 0)]
    while len(at[-1]):
        before = places["next"][at[-1]]
        at.append(before[before >= 0])
        flow.append(flow[-1][before >= 0])
    of = np.concatenate(flow)
    found = gather(places, np.concatenate(at))
    order = np.lexsort((found["first_frame"], found["first_time"], of))
    return found[order], of[order]


def free(state: State) -> None:
    """Give back the places of finished rows, and of what belongs to them."""
    memory = state.memory
    recycle(memory.counters, state.flows, state.handshakes, memory.datagrams, memory.places)


def _kept(last: Array, datagrams: Array) -> Array:
    """Places of all datagrams in the chains that end at ``last``."""
    links = [last[last >= 0]]
    while len(links[-1]):
        before = datagrams["next"][links[-1]]
        links.append(before[before >= 0])
    return np.concatenate(links)


def renumber(state: State) -> State | None:
    """Keep only the interned bytes that open flows refer to, if the arena has grown large; None if it has not.

    All numbers change: what was worked out for them must be forgotten.
    """
    memory = state.memory
    if memory.entries[0, 1] < LARGE_ARENA:
        return None
    open_flows = state.flows["live"] == LIVE
    open_handshakes = state.flows["handshake"][open_flows & (state.flows["handshake"] >= 0)]
    fields = [
        (state.flows, "host", np.flatnonzero(open_flows)),
        (state.flows, "dns", np.flatnonzero(open_flows)),
        (state.flows, "dns_back", np.flatnonzero(open_flows)),
        *((state.handshakes, name, open_handshakes) for name in INTERNED),
        (memory.datagrams, "bytes", _kept(state.flows["datagram"][open_flows], memory.datagrams)),
        (state.answers, "name", np.flatnonzero(state.answers["time"] != 0)),
        (state.answers, "before", np.flatnonzero(state.answers["before"] != 0)),
    ]
    used = np.unique(np.concatenate([array[name][rows] for array, name, rows in fields]))
    used = used[used > 0]
    strings = [value(memory.arena, memory.entries, int(n)) for n in used]
    total = sum(map(len, strings))
    arena = np.zeros(max(ARENA_BYTES, 2 * total), np.uint8)
    arena[:total] = np.frombuffer(b"".join(strings), np.uint8)
    entries = np.zeros((max(ENTRIES, 2 * len(used)), 3), np.int64)
    lengths = np.array([len(s) for s in strings], np.int64)
    entries[1 : len(used) + 1, 0] = np.cumsum(lengths) - lengths
    entries[1 : len(used) + 1, 1] = lengths
    entries[0] = len(used) + 1, total, 0
    buckets = np.zeros(2 * len(entries), np.int32)
    rehang(arena, entries, buckets)
    number = np.zeros(int(memory.entries[0, 0]) + 1, np.int32)
    number[used] = np.arange(1, len(used) + 1)
    for array, name, rows in fields:
        array[name][rows] = number[array[name][rows]]
    return state._replace(memory=memory._replace(arena=arena, entries=entries, intern_buckets=buckets))
