"""Routing tables: which next hop a router had for each destination. Longest prefix match over whole columns."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from auditor.prefixes import Prefix, PrefixTable

Array = np.ndarray[Any, Any]
Address = tuple[int, int]

AWS_AS = 7224
NO_EXPORT = "65535:65281"  # RFC 1997
# What AWS tags routes with over a public virtual interface (AWS Direct Connect User Guide, BGP communities).
SCOPES = {"7224:8100": "of the same Region", "7224:8200": "of the same continent"}
NEVER = 1, 0, -1  # since, until, hop


class Hop(NamedTuple):
    """Where a route leads, and what came with it. Interface and next hop may each be unknown."""

    next_hop: Address | None = None
    interface: str | None = None
    as_path: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    protocol: str = ""

    @property
    def is_of_public_interface(self) -> bool:
        """Whether AWS announced it over a public virtual interface: first AS 7224, and a scope or NO_EXPORT."""
        tagged = NO_EXPORT in self.communities or any(c in SCOPES for c in self.communities)
        return tagged and self.as_path[:1] == (AWS_AS,)

    @property
    def scope(self) -> str | None:
        return next((f"{c}, {SCOPES[c]}" for c in self.communities if c in SCOPES), None)


@dataclass
class Routes:
    """Routes on their way into a table: prefixes, and the number of each one's hop."""

    name: str
    site: str | None = None
    prefixes: list[Prefix] = field(default_factory=list)
    hop: list[int] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    valid: list[tuple[int, int]] | None = None  # nanoseconds from and until which each was in force; None: always
    _numbers: dict[Hop, int] = field(default_factory=dict, repr=False)

    def number(self, hop: Hop) -> int:
        """The number of a hop, the same for equal ones."""
        found = self._numbers.get(hop)
        if found is None:
            found = self._numbers[hop] = len(self.hops)
            self.hops.append(hop)
        return found

    def add(self, prefix: Prefix, hop: Hop) -> None:
        self.prefixes.append(prefix)
        self.hop.append(self.number(hop))

    def __len__(self) -> int:
        return len(self.prefixes)


class RoutingTable:
    """Routes to look up."""

    def __init__(self, routes: Routes) -> None:
        self.name, self.site, self.hops = routes.name, routes.site, routes.hops
        self._prefixes = routes.prefixes
        self._hop = np.array([*routes.hop, -1], np.int64)
        self._windows: list[Array] = []
        if routes.valid is not None:  # a prefix may have been announced several times
            windows: dict[Prefix, list[tuple[int, int, int]]] = {}
            for prefix, hop, (since, until) in zip(routes.prefixes, routes.hop, routes.valid, strict=True):
                windows.setdefault(prefix, []).append((since, until, hop))
            self._prefixes = list(windows)
            for k in range(max(map(len, windows.values()), default=0)):
                rows = [w[k] if k < len(w) else NEVER for w in windows.values()]
                self._windows.append(np.array([*rows, NEVER], np.int64))
        self._table = PrefixTable(self._prefixes)

    def __len__(self) -> int:
        return len(self._prefixes)

    def find(self, high: Array, low: Array, time: Array | None = None) -> tuple[Array, Array]:
        """(number of the hop, number of the route) for each destination; -1 where no route is in force at ``time``."""
        route = self._table.find(high, low)
        if not self._windows:
            return self._hop[route], route
        hop = np.full(len(route), -1, np.int64)
        for window in self._windows:
            since, until, which = window[route].T
            fits = route >= 0 if time is None else (route >= 0) & (since <= time) & (time < until)
            hop[fits] = which[fits]
        return hop, np.where(hop < 0, -1, route)

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
