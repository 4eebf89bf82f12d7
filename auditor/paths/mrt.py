"""Routing tables in MRT files: TABLE_DUMP_V2 (RFC 6396 4.3), with additional paths (RFC 8050).

A full table has a million routes but few distinct sets of attributes next to it, so each set is read once.
"""

import os
from typing import Any

import numpy as np

from auditor.paths.mrt_kernels import (
    AS_PATH,
    AS_SEQUENCE,
    ATTRIBUTES,
    CUT,
    ENTRY,
    LONG,
    MOST_ENTRIES,
    ROOM,
    EntryRows,
    SetRow,
    list_entries,
)
from auditor.paths.route_times import RankedHop
from auditor.paths.routes import Address, Hop, Routes
from auditor.prefixes import V4_MAPPED

Array = np.ndarray[Any, Any]
ORIGIN, NEXT_HOP, MED, LOCAL_PREF, COMMUNITIES, MP_REACH = 1, 3, 4, 5, 8, 14
AS_SET = 1
DEFAULT_PREFERENCE = 100
MOST_KNOWN = 1 << 17  # sets of attributes remembered at one time


def is_mrt(data: bytes) -> bool:
    """Whether a file begins with a record of TABLE_DUMP_V2."""
    return len(data) >= 12 and data[4:6] == b"\0\x0d" and data[6] == 0 and data[7] <= 12


# Other records of RFC 6396 and of older writers, by what to give instead.
OTHERS = {
    11: "OSPFv2",
    12: "TABLE_DUMP",
    32: "ISIS",
    33: "ISIS_ET",
    48: "OSPFv3",
    49: "OSPFv3_ET",
}


def other_kind(data: bytes) -> str | None:
    """The name of MRT records that are not read, where a file begins with one."""
    if len(data) < 12 or data[4] != 0 or data[6] != 0 or data[7] > 12:
        return None
    length = int.from_bytes(data[8:12], "big")
    if length > len(data) - 12:
        return None
    following = data[12 + length + 4 : 12 + length + 6]  # type of another record, unless this is the last
    alike = len(data) == 12 + length or (following[:1] == b"\0" and following[-1] in OTHERS)
    return OTHERS.get(data[5]) if alike else None


def attributes(data: bytes, wide: bool = True, abbreviated: bool = True) -> RankedHop:
    """Path attributes (RFC 4271 4.3). ``wide``: AS numbers have four bytes. Raises ValueError where they do not fit.

    ``abbreviated``: MP_REACH_NLRI holds a next hop alone, as in TABLE_DUMP_V2 (some writers put in all of it).
    """
    at, origin, med, preference = 0, 2, 0, DEFAULT_PREFERENCE
    as_path: tuple[int, ...] = ()
    length = 0
    communities: tuple[str, ...] = ()
    next_hop: Address | None = None
    while at + 3 <= len(data):
        flags, kind = data[at], data[at + 1]
        if flags & 0x10:
            size, at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        else:
            size, at = data[at + 2], at + 3
        value = data[at : at + size]
        if len(value) < size:
            raise ValueError(f"attribute {kind} is cut short")
        at += size
        if kind == AS_PATH:
            as_path, length = _as_path(value, 4 if wide else 2)
        elif kind == NEXT_HOP and size == 4:
            next_hop = (0, V4_MAPPED | int.from_bytes(value, "big"))
        elif kind == MP_REACH:
            next_hop = _mp_next_hop(value, abbreviated)
        elif kind == COMMUNITIES:
            pairs = (value[k : k + 4] for k in range(0, size - 3, 4))
            communities = tuple(sorted(f"{p[0] << 8 | p[1]}:{p[2] << 8 | p[3]}" for p in pairs))
        elif kind == ORIGIN and size:
            origin = value[0]
        elif kind == MED and size == 4:
            med = int.from_bytes(value, "big")
        elif kind == LOCAL_PREF and size == 4:
            preference = int.from_bytes(value, "big")
    return RankedHop((-preference, length, origin, med), Hop(next_hop, None, as_path[:1], communities, "bgp"))


def _as_path(value: bytes, width: int) -> tuple[tuple[int, ...], int]:
    """AS numbers in order, and the path's length: a set counts as one (RFC 4271 9.1.2.2)."""
    numbers: list[int] = []
    at = length = 0
    while at + 2 <= len(value):
        kind, count = value[at], value[at + 1]
        end = at + 2 + count * width
        if kind not in (1, 2, 3, 4) or end > len(value):
            raise ValueError("the AS path does not fit")
        numbers += [int.from_bytes(value[k : k + width], "big") for k in range(at + 2, end, width)]
        length += 1 if kind == AS_SET else count if kind == AS_SEQUENCE else 0
        at = end
    if at != len(value):
        raise ValueError("the AS path does not fit")
    return tuple(numbers), length


def _mp_next_hop(value: bytes, abbreviated: bool) -> Address | None:
    if abbreviated and value[:1] not in (b"\x10", b"\x20", b"\x04"):
        abbreviated = False
    at = 1 if abbreviated else 4
    size = value[at - 1] if len(value) >= at else 0
    hop = value[at : at + size]
    if size in (16, 32) and len(hop) == size:
        return int.from_bytes(hop[:8], "big"), int.from_bytes(hop[8:16], "big")
    return (0, V4_MAPPED | int.from_bytes(hop, "big")) if size == 4 and len(hop) == 4 else None


class _Sets:
    """The sets of attributes met so far: the hop of each, and what it is ranked by."""

    def __init__(self, data: bytes, routes: Routes) -> None:
        self._data, self._routes = data, routes
        self.rows = np.zeros(MOST_KNOWN, ATTRIBUTES).view(np.recarray)
        self.slots = np.empty(2 * MOST_KNOWN, np.int32)
        self.ranks = np.zeros((MOST_KNOWN, 4), np.int64)
        self.hops = np.zeros(MOST_KNOWN, np.int64)
        self.neighbours = np.zeros(MOST_KNOWN, np.int64)  # the AS that each came from
        self.forget()

    def forget(self) -> None:
        self.parsed = 0
        self.slots[:] = -1

    def parse(self, have: int) -> None:
        """Parse those that are new."""
        for number in range(self.parsed, have):
            path = attributes(self._blob(self.rows[number]))
            self.ranks[number] = path.rank
            self.hops[number] = self._routes.number(path.hop)
            self.neighbours[number] = path.hop.as_path[0] if path.hop.as_path else 0
        self.parsed = have

    def _blob(self, row: SetRow) -> bytes:
        """The attributes of a set, with the first number of its AS path only."""
        data, at = self._data, int(row.path)
        if at < 0:
            return data[int(row.start) : int(row.end)]
        return (
            data[int(row.start) : at + 2] + b"\6\2\1" + data[at + 5 : at + 9] + data[int(row.path_end) : int(row.end)]
        )


def read(data: bytes, routes: Routes) -> None:
    """Add the routes of a dump; of several for one prefix the one that the decision process prefers.

    Raises ValueError with the place where the file is damaged, or the name of what is not read.
    """
    kind = other_kind(data)
    if kind is not None:
        raise ValueError(
            f"MRT records of type {kind} hold no table of routes in force; give a dump of type TABLE_DUMP_V2 "
            "(`dump bgp routes-mrt` of FRR, RIS's bview, RouteViews' rib) or updates (BGP4MP: `dump bgp updates`)"
        )
    view, sets = np.frombuffer(data, np.uint8), _Sets(data, routes)
    entries = np.zeros(MOST_ENTRIES, ENTRY).view(np.recarray)
    seed = int.from_bytes(os.urandom(7), "big")  # so that nobody can let all sets fall into one place
    at, ended = 0, ROOM
    while ended == ROOM:
        listed, at, have, ended = list_entries(view, at, seed, entries, sets.rows, sets.slots, sets.parsed)
        sets.parse(have)
        _add(entries[:listed], sets, routes)
        if MOST_KNOWN - have < MOST_ENTRIES:
            sets.forget()
    if ended == CUT:
        raise ValueError(f"the record at byte {at} is cut short")
    if ended == LONG:
        raise ValueError(f"the record at byte {at} has a prefix of {data[at + 16]} bits")


def _add(entries: EntryRows, sets: _Sets, routes: Routes) -> None:
    """Add the preferred route of each prefix; equally good ones of other next hops beside it.

    Between these the router decided by what no dump has: distances inside of the network, ages, settings.
    """
    first = np.flatnonzero(entries["first"])
    preferred, hops = first, sets.hops[entries["set"]]
    others = np.zeros(0, np.int64)
    if len(first) < len(entries):
        preference, length, origin, med = sets.ranks[entries["set"]].T
        length = np.where(entries["length"] > 0, entries["length"], length)
        of = np.cumsum(entries["first"]) - 1
        order = np.lexsort((med, origin, length, preference, of))
        preferred = order[first]  # sorted by prefix first, so that each one's best is where its first entry was
        best, neighbour = preferred[of], sets.neighbours[entries["set"]]
        alike = (hops != hops[best]) & ((med == med[best]) | (neighbour != neighbour[best]))  # RFC 4271 9.1.2.2 c
        for column in (preference, length, origin):
            alike &= column == column[best]
        others = np.flatnonzero(alike)
    some = entries[preferred]
    routes.prefixes.extend(some["version"], some["high"], some["low"], some["bits"])
    chosen = hops[preferred]
    if len(others):
        _add_beside(chosen, of[others], hops[others], routes)
    routes.hop.extend(chosen.tolist())


def _add_beside(chosen: Array, at: Array, others: Array, routes: Routes) -> None:
    """Change hops that were chosen into such with others beside them; ``at`` says of which prefix, in their order."""
    turn = np.arange(len(at)) - np.searchsorted(at, at)  # of several for one prefix one after the other
    for number in range(int(turn.max()) + 1):
        now = turn == number
        pairs, which = np.unique(np.stack([chosen[at[now]], others[now]], axis=1), axis=0, return_inverse=True)
        both = [_beside(routes, one, other) for one, other in pairs.tolist()]
        chosen[at[now]] = np.array(both, np.int64)[which.reshape(-1)]


def _beside(routes: Routes, one: int, other: int) -> int:
    """The number of a hop with another beside it, if that leads to another router."""
    hop, more = routes.hops[one], routes.hops[other]
    known = {each.next_hop for each in (hop, *hop.others)}
    return one if more.next_hop in known else routes.number(hop._replace(others=(*hop.others, more)))
