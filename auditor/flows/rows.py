"""Taking finished flows out of the kernels' memory, and giving out interned numbers anew when they fill up."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.flows.intern import keep, rehang
from auditor.flows.limits import Limits
from auditor.flows.state import BOTH, FINISHED_FLOWS, FLOW_PLACES, KEPT_BYTES, LIVE, Memory, State
from auditor.flows.table import recycle

Array = np.ndarray[Any, Any]
LARGE_ARENA = 16 << 20
UNSEEN_INTERFACE = -1  # of a side of which no packet was seen
FLOW_BYTES = 3 << 10  # of columns that a flow has, with Python's objects on the way there
# How many bytes of text each interned byte becomes: two of a ClientHello are a suite's name of up to 50, twice at a time.
GROWS = {"client_shape": 50, "server_chain": 4, "client_chain": 4, "server_name": 8}
# Fields of handshakes that are numbers of interned bytes.
INTERNED = ("client_shape", "server_shape", "server_name", "server_chain", "client_chain", "staple", "dh_prime")


@dataclass(eq=False, repr=False)
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

    def part(self, begin: int, end: int) -> "Rows":
        """The flows ``begin`` to ``end - 1``, with what belongs to them."""
        shaken = slice(*np.searchsorted(self.handshake_flow, (begin, end)))
        placed = slice(*np.searchsorted(self.place_flow, (begin, end)))
        return Rows(
            self.flows[begin:end],
            self.sides[begin:end],
            self.handshakes[shaken],
            self.handshake_flow[shaken] - begin,
            self.places[placed],
            self.place_flow[placed] - begin,
        )

    def divided(self, chosen: Array) -> tuple["Rows", "Rows"]:
        """The flows at ``chosen``, and all others, each with what belongs to them."""
        is_chosen = np.zeros(len(self), bool)
        is_chosen[chosen] = True
        return self._where(is_chosen), self._where(~is_chosen)

    def _where(self, mask: Array) -> "Rows":
        place = np.cumsum(mask) - 1
        shaken, placed = mask[self.handshake_flow], mask[self.place_flow]
        return Rows(
            self.flows[mask],
            self.sides[mask],
            self.handshakes[shaken],
            place[self.handshake_flow[shaken]],
            self.places[placed],
            place[self.place_flow[placed]],
        )

    def parts(self, memory: Memory, most: int) -> Iterator["Rows"]:
        """The same flows, in parts whose tables take about ``most`` bytes at most, which a single flow may exceed."""
        written = np.full(len(self), FLOW_BYTES, np.int64)
        for name, factor in GROWS.items():
            np.add.at(written, self.handshake_flow, factor * _lengths(memory, self.handshakes[name]))
        written = np.cumsum(written)
        begin = 0
        while begin < len(self):
            before = int(written[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(written, before + most, "right")))
            yield self.part(begin, end)
            begin = end

    def held_bytes(self, memory: Memory) -> int:
        """About how many bytes they take while they wait: what several say alike is kept once."""
        strings = [factor * _lengths(memory, _distinct(self.handshakes[name])).sum() for name, factor in GROWS.items()]
        return FLOW_BYTES * len(self) + int(sum(strings))


def _distinct(numbers: Array) -> Array:
    """Each of some numbers of interned strings once; ``np.unique`` would load ``numpy.ma`` for it."""
    return np.flatnonzero(np.bincount(numbers))


def _lengths(memory: Memory, numbers: Array) -> Array:
    """How long interned strings are; 0 for none."""
    return np.where(numbers > 0, memory.entries[np.maximum(numbers, 1), 1], 0)


def gather(rows: Array, at: Array) -> Array:
    """The structured rows at ``at``, copied as bytes: numpy would copy them field by field, twenty times as slowly."""
    return rows.view(np.ndarray).view(f"V{rows.itemsize}")[at].view(rows.dtype)


def copied(rows: Array) -> Array:
    """All structured rows, copied as bytes."""
    return rows.view(np.ndarray).view(f"V{rows.itemsize}").copy().view(rows.dtype)


def finished(state: State) -> Rows:
    """Copies of the finished rows; their places are kept until ``free``."""
    at = state.finished[: state.memory.counters[FINISHED_FLOWS]]
    at = at[np.argsort(state.flows["number"][at])]
    flows = gather(state.flows, at)
    sides = _both(state, at)
    handshake_flow = np.flatnonzero(flows["handshake"] >= 0)
    handshakes = gather(state.handshakes, flows["handshake"][handshake_flow])
    places, place_flow = _places(flows["place"], state.memory.places)
    return Rows(flows, sides, handshakes, handshake_flow, places, place_flow)


def _both(state: State, at: Array) -> Array:
    """The BOTH rows of flows, (n, 2); a row of BOTH is one of SIDE and one of WAY."""
    whole = np.empty((len(at), 2, BOTH.itemsize), np.uint8)
    for direction in (0, 1):
        begin = 0
        for rows in (state.sides, state.ways):
            some = gather(rows[direction * (len(rows) // 2) :], at).view(np.uint8).reshape(len(at), rows.itemsize)
            whole[:, direction, begin : begin + rows.itemsize] = some
            begin += rows.itemsize
    sides = whole.view(BOTH)[..., 0]
    sides["interface"][sides["packets"] == 0] = UNSEEN_INTERFACE
    return sides


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
    recycle(state)


def _kept(last: Array, datagrams: Array) -> Array:
    """Places of all datagrams in the chains that end at ``last``."""
    links = [last[last >= 0]]
    while len(links[-1]):
        before = datagrams["next"][links[-1]]
        links.append(before[before >= 0])
    return np.concatenate(links)


def is_grown(state: State) -> bool:
    """Whether so much was interned that it is worth looking for what nobody refers to any more."""
    memory = state.memory
    used = int(memory.entries[0, 1])
    is_large = used >= min(LARGE_ARENA, len(memory.arena) // 2) or 2 * memory.entries[0, 0] >= len(memory.entries)
    return bool(is_large and used >= 2 * memory.counters[KEPT_BYTES])


def renumber(state: State, limits: Limits) -> State:
    """Keep only the interned bytes that open flows and answers refer to.

    All numbers change: what was worked out for them must be forgotten.
    """
    memory = state.memory
    open_flows = np.flatnonzero(state.flows["live"][: memory.counters[FLOW_PLACES]] == LIVE)
    shaken = state.flows["handshake"][open_flows]
    fields = [
        (state.flows, "host", open_flows),
        (state.flows, "dns", open_flows),
        (state.flows, "dns_back", open_flows),
        (state.flows, "vpc_endpoint", open_flows),
        *((state.handshakes, name, shaken[shaken >= 0]) for name in INTERNED),
        (memory.datagrams, "bytes", _kept(state.flows["datagram"][open_flows], memory.datagrams)),
        (state.answers, "name", np.flatnonzero(state.answers["time"] != 0)),
        (state.answers, "before", np.flatnonzero(state.answers["before"] != 0)),
    ]
    used = np.unique(np.concatenate([array[name][rows] for array, name, rows in fields]))
    used = used[used > 0]
    arena = np.zeros(limits.arena, np.uint8)
    entries = np.zeros((limits.strings, 3), np.int64)
    keep(memory.arena, memory.entries, used.astype(np.int64), arena, entries)
    buckets = np.zeros(len(memory.intern_buckets), np.int32)
    rehang(arena, entries, buckets)
    number = np.zeros(int(memory.entries[0, 0]) + 1, np.int32)
    number[used] = np.arange(1, len(used) + 1)
    for array, name, rows in fields:
        array[name][rows] = number[array[name][rows]]
    memory.counters[KEPT_BYTES] = entries[0, 1]
    return state._replace(memory=memory._replace(arena=arena, entries=entries, intern_buckets=buckets))
