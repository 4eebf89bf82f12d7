"""Routing tables in MRT files: TABLE_DUMP_V2 (RFC 6396 4.3), with additional paths (RFC 8050).

A full table has a million routes but few distinct sets of attributes next to it, so each set is read once.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
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
from auditor.paths.mrt_records import Dump
from auditor.paths.route_times import RankedHop
from auditor.paths.routes import Address, Hop, Routes
from auditor.prefixes import V4_MAPPED

Array = np.ndarray[Any, Any]
ORIGIN, NEXT_HOP, MED, LOCAL_PREF, COMMUNITIES, MP_REACH = 1, 3, 4, 5, 8, 14
AS_SET = 1
DEFAULT_PREFERENCE = 100
MOST_KNOWN = 1 << 17  # sets of attributes remembered at one time


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


@dataclass(eq=False, repr=False)
class PeerRoutes:
    """Routes that peers have for prefixes, one after the other: those for one prefix together, and what ranks them."""

    version: Array
    high: Array
    low: Array
    bits: Array
    first: Array  # of its prefix
    peer: Array  # its number in the dump's table
    identifier: Array
    hop: Array
    rank: Array  # four columns, see RankedHop
    neighbour: Array

    def at(self, rows: Array) -> "PeerRoutes":
        """Some of them; those for one prefix stay together."""
        of = np.cumsum(self.first)[rows]
        some = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        return PeerRoutes(**some | {"first": np.append(True, of[1:] != of[:-1])[: len(rows)]})

    @classmethod
    def of(cls, entries: EntryRows, sets: _Sets) -> "PeerRoutes":
        number = entries["set"]
        rank = sets.ranks[number]
        rank[:, 1] = np.where(entries["length"] > 0, entries["length"], rank[:, 1])
        read = {name: np.array(entries[name]) for name in ("version", "high", "low", "bits", "peer", "identifier")}
        hop, neighbour = sets.hops[number], sets.neighbours[number]
        return cls(**read, first=entries["first"] != 0, hop=hop, rank=rank, neighbour=neighbour)

    @classmethod
    def joined(cls, parts: "list[PeerRoutes]") -> "PeerRoutes":
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def read(data: bytes, dump: Dump, routes: Routes) -> None:
    """Add the routes of a dump; of several for one prefix the one that the decision process prefers.

    Raises ValueError with the place where the file is damaged.
    """
    for some in candidates(data, dump, routes):
        rows, hops = preferred(some, routes)
        routes.prefixes.extend(some.version[rows], some.high[rows], some.low[rows], some.bits[rows])
        routes.hop.extend(hops.tolist())


def candidates(data: bytes, dump: Dump, routes: Routes) -> Iterator[PeerRoutes]:
    """The routes of all peers in a dump, some at a time. Raises ValueError with the place where the file is damaged."""
    view, sets = np.frombuffer(data, np.uint8), _Sets(data, routes)
    entries = np.zeros(MOST_ENTRIES, ENTRY).view(np.recarray)
    seed = int.from_bytes(os.urandom(7), "big")  # so that nobody can let all sets fall into one place
    for begin, stop in dump.stretches:
        at, ended = begin, ROOM
        while ended == ROOM:
            listed, at, have, ended = list_entries(view, at, stop, seed, entries, sets.rows, sets.slots, sets.parsed)
            sets.parse(have)
            if listed:
                yield PeerRoutes.of(entries[:listed], sets)
            if MOST_KNOWN - have < MOST_ENTRIES:
                sets.forget()
        if ended == CUT:
            raise ValueError(f"the record at byte {at} is cut short")
        if ended == LONG:
            raise ValueError(f"the record at byte {at} has a prefix of {data[at + 16]} bits")


def preferred(some: PeerRoutes, routes: Routes) -> tuple[Array, Array]:
    """(row, number of the hop) of the preferred route of each prefix; equally good ones of other next hops beside it.

    Between these the router decided by what no dump has: distances inside of the network, ages, settings.
    """
    first = np.flatnonzero(some.first)
    if len(first) == len(some.first):
        return first, some.hop
    preference, length, origin, med = some.rank.T
    of = np.cumsum(some.first) - 1
    order = np.lexsort((med, origin, length, preference, of))
    best_rows = order[first]  # sorted by prefix first, so that each one's best is where its first entry was
    best, hops = best_rows[of], some.hop
    alike = (hops != hops[best]) & ((med == med[best]) | (some.neighbour != some.neighbour[best]))  # RFC 4271 9.1.2.2 c
    for column in (preference, length, origin):
        alike &= column == column[best]
    others, chosen = np.flatnonzero(alike), hops[best_rows]
    if len(others):
        _add_beside(chosen, of[others], hops[others], routes)
    return best_rows, chosen


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
