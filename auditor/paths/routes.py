"""Routing tables: which next hop a router had for each destination. Longest prefix match over whole columns."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from auditor.prefixes import Prefix, Prefixes, PrefixTable
from auditor.tables.columns import each_once

Array = np.ndarray[Any, Any]
Address = tuple[int, int]

AWS_AS = 7224
NO_EXPORT = "65535:65281"  # RFC 1997
# What AWS tags routes with over a public virtual interface (AWS Direct Connect User Guide, BGP communities).
SCOPES = {"7224:8100": "of the same Region", "7224:8200": "of the same continent"}
NOT_YET = 1 << 62


class Hop(NamedTuple):
    """Where a route leads, and what came with it. Interface and next hop may each be unknown.

    ``others``: further next hops among which the router spreads flows by a hash that nobody else knows.
    """

    next_hop: Address | None = None
    interface: str | None = None
    as_path: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    protocol: str = ""
    others: "tuple[Hop, ...]" = ()

    @property
    def is_of_public_interface(self) -> bool:
        """Whether AWS announced it over a public virtual interface: first AS 7224, and a scope or NO_EXPORT."""
        tagged = NO_EXPORT in self.communities or any(c in SCOPES for c in self.communities)
        return tagged and self.as_path[:1] == (AWS_AS,)

    @property
    def scope(self) -> str | None:
        return next((f"{c}, {SCOPES[c]}" for c in self.communities if c in SCOPES), None)


@dataclass(eq=False, repr=False)
class Changes:
    """What updates have changed: when they first say something of a prefix, and when sessions with peers were first lost."""

    first: dict[Prefix, int] = field(default_factory=dict)
    lost: dict[Address, int] = field(default_factory=dict)

    def since(self, prefix: Prefix, hop: Hop) -> int:
        """From when on a route that a table of another time has may not be in force any more."""
        lost = [self.lost[one.next_hop] for one in (hop, *hop.others) if one.next_hop in self.lost]
        return min([self.first.get(prefix, NOT_YET), *lost])


@dataclass(eq=False, repr=False)
class Routes:
    """Routes on their way into a table: prefixes, and the number of each one's hop."""

    name: str
    site: str | None = None
    prefixes: Prefixes = field(default_factory=Prefixes)
    hop: list[int] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    valid: list[tuple[int, int]] | None = None  # nanoseconds from and until which each was in force; None: always
    changes: Changes | None = None  # where they are those of updates
    _numbers: dict[Hop, int] = field(default_factory=dict, repr=False)

    def number(self, hop: Hop) -> int:
        """The number of a hop, the same for equal ones."""
        number = self._numbers.get(hop)
        if number is None:
            number = self._numbers[hop] = len(self.hops)
            self.hops.append(hop)
        return number

    def add(self, prefix: Prefix, hop: Hop, valid: tuple[int, int] | None = None) -> None:
        self.prefixes.append(prefix)
        self.hop.append(self.number(hop))
        if valid is not None and self.valid is not None:
            self.valid.append(valid)

    def __len__(self) -> int:
        return len(self.prefixes)


class _Times:
    """When each route was in force, and by which hop: one stretch after the other, found by a binary search."""

    def __init__(self, route: Array, valid: Array, hop: Array) -> None:
        order = np.lexsort((valid[:, 0], route))
        self._route, self._hop = route[order], hop[order]
        since, self._until = valid[order].T
        self._moments, which = np.unique(since, return_inverse=True)
        self._keys = self._route * (len(self._moments) + 1) + which + 1

    def hop(self, route: Array, time: Array | None) -> Array:
        """The hop of each route at ``time`` (None: its last one), -1 where it was not in force."""
        if not len(self._route):
            return np.full(len(route), -1, np.int64)
        begun = len(self._moments) if time is None else np.searchsorted(self._moments, time, "right")
        at = np.searchsorted(self._keys, route * (len(self._moments) + 1) + begun, "right") - 1
        fits = (route >= 0) & (at >= 0) & (self._route[at] == route)
        if time is not None:
            fits &= time < self._until[at]
        return np.where(fits, self._hop[at], -1)


class RoutingTable:
    """Routes to look up."""

    def __init__(self, routes: Routes) -> None:
        self.name, self.site, self.hops = routes.name, routes.site, routes.hops
        self._prefixes = routes.prefixes
        self._hop = np.array([*routes.hop, -1], np.int64)
        self.changes = routes.changes
        self._times: _Times | None = None
        if routes.valid is not None:  # a prefix may have been announced several times
            numbers: dict[Prefix, int] = {}
            route = np.array([numbers.setdefault(p, len(numbers)) for p in routes.prefixes], np.int64)
            self._prefixes = Prefixes(numbers)
            self._times = _Times(route, np.array(routes.valid, np.int64).reshape(-1, 2), self._hop[:-1])
        self._table = PrefixTable(self._prefixes)
        self._below: dict[int, tuple[Array, PrefixTable]] = {}  # the prefixes shorter than so many bits

    def __len__(self) -> int:
        return len(self._prefixes)

    @cached_property
    def lengths(self) -> Array:
        """The length of each route's prefix, and -1 for no route, at the end."""
        return np.append(self._prefixes.columns()[3].astype(np.int64), -1)

    def find(self, high: Array, low: Array, time: Array | None = None) -> tuple[Array, Array]:
        """(number of the hop, number of the route) for each destination; -1 where no route is in force at ``time``."""
        route = self._table.find(high, low)
        if self._times is None:
            return self._hop[route], route
        hop = self._times.hop(route, time)
        left = np.flatnonzero((hop < 0) & (route >= 0))
        while len(left):  # not in force then: the next shorter prefix that covers the address
            route[left] = self._shorter(high[left], low[left], route[left])
            hop[left] = self._times.hop(route[left], None if time is None else time[left])
            left = left[(hop[left] < 0) & (route[left] >= 0)]
        return hop, np.where(hop < 0, -1, route)

    def _shorter(self, high: Array, low: Array, route: Array) -> Array:
        """For each address the longest prefix that is shorter than its route's."""
        shorter = np.full(len(route), -1, np.int64)
        length = self.lengths[route]
        for bits in each_once(length).tolist():
            if bits not in self._below:
                rows, some = self._prefixes.shorter_than(bits)
                self._below[bits] = np.append(rows, -1), PrefixTable(some)
            rows_below, table = self._below[bits]
            at = length == bits
            shorter[at] = rows_below[table.find(high[at], low[at])]
        return shorter

    def outdated(self, hop: Hop, route: Array, time: Array, changes: Changes) -> Array:
        """Which routes by a hop may not be in force any more at ``time``, as updates say that another file has."""
        late = np.zeros(len(route), bool)
        for number in each_once(route).tolist():
            late |= (route == number) & (time >= changes.since(self._prefixes[number], hop))
        return late

    def prefix(self, route: int) -> str:
        """A route's prefix as text."""
        import ipaddress

        version, network, length = self._prefixes[route]
        base = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
        return str(base((network, length)))

    def resolved(self, hop: Hop, depth: int = 4) -> Iterable[Hop]:
        """A hop, and the hops by which its next hop is reached in turn (RFC 4271 9.1.2.1: recursive resolution)."""
        while True:
            yield hop
            depth -= 1
            if hop.next_hop is None or hop.interface is not None or depth == 0:
                return
            number, _ = self.find(np.array([hop.next_hop[0]], np.uint64), np.array([hop.next_hop[1]], np.uint64))
            if number[0] < 0 or self.hops[number[0]] == hop:
                return
            hop = self.hops[number[0]]
