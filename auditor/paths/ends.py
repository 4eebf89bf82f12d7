"""Where the ends of flows are: at home, behind a link, in a VPC; by the longest prefix over all of them at once."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from auditor.paths.model import DIRECTIONS, STAYING, UNROUTED, Flows, is_public
from auditor.paths.site import Network
from auditor.paths.topology import Link, Uplink, VirtualInterface
from auditor.prefixes import V4_MAPPED, Prefix, PrefixSet, PrefixTable, parse

Array = np.ndarray[Any, Any]
HOME = ""  # owner of the prefixes of sites
GIVEN = ""  # of the sources that uplinks give
OTHER = {"client": "server", "server": "client"}


class _Owners:
    """Prefixes of several owners: which of them has the longest one that covers an address; of a tie all have it."""

    def __init__(self, prefixes: Iterable[tuple[str, str]]) -> None:
        of: dict[Prefix, set[str]] = {}
        for text, owner in prefixes:
            of.setdefault(parse(text), set()).add(owner)
        self._table = PrefixTable(of)
        self._count = len(of)
        self._widest = [number for number, (_, _, length) in enumerate(of) if length == 0]
        self._numbers: dict[str, list[int]] = {}  # of the prefixes that each owner has
        for number, owners in enumerate(of.values()):
            for owner in owners:
                self._numbers.setdefault(owner, []).append(number)

    def having(self, owner: str, rows: Array) -> Array:
        mine = np.zeros(self._count + 1, bool)  # the last stands for no prefix
        mine[self._numbers.get(owner, [])] = True
        return np.asarray(mine[rows])

    def have(self, owner: str, rows: set[int]) -> bool:
        """Whether an owner has any of some prefixes: of many owners hardly any has one."""
        return not rows.isdisjoint(self._numbers.get(owner, ()))

    def everywhere(self, rows: Array) -> Array:
        """Which rows are those of a prefix of all addresses."""
        return np.isin(rows, self._widest)

    def find(self, high: Array, low: Array) -> Array:
        return self._table.find(high, low)


class Ends:
    """Both ends of some flows against all prefixes. ``sites``: where each flow was captured, None where nobody says."""

    def __init__(self, flows: Flows, network: Network, sites: Array) -> None:
        self.flows, self.network, self._sites = flows, network, sites
        self._covered: dict[tuple[str, tuple[str, ...]], Array] = {}
        up = [link for link in network.links() if link.is_up]
        home = [(prefix, HOME) for prefix in network.topology.on_premises]
        self._behind = _Owners([*home, *((prefix, link.name) for link in up for prefix in link.prefixes)])
        given = [(prefix, GIVEN) for link in up if isinstance(link, Uplink) for prefix in link.addresses]
        self._sources = _Owners([*given, *((prefix, link.name) for link in up for prefix in link.sources)])
        self._rows = {which: self._behind.find(*flows.end(which)) for which in DIRECTIONS}
        self._found = {which: set(rows.tolist()) for which, rows in self._rows.items()}
        self._from = self._sources.find(*flows.end("client"))
        self._found_from = set(self._from.tolist())

    def of_site(self, site: str | None) -> Array:
        """Flows about which something of ``site`` may speak."""
        if site is None:
            return np.ones(len(self.flows), bool)
        return np.asarray((self._sites == site) | (self._sites == None))  # noqa: E711

    def inside(self, which: str, prefixes: Sequence[str]) -> Array:
        """Whether an end's address lies in any of some prefixes."""
        key = which, tuple(prefixes)
        if key not in self._covered:
            nothing = np.zeros(len(self.flows), bool)
            self._covered[key] = PrefixSet(prefixes).covers(*self.flows.end(which)) if prefixes else nothing
        return self._covered[key]

    @cached_property
    def home(self) -> dict[str, Array]:
        """Whether each end is on premises: no link has a longer prefix for it."""
        return {which: self._behind.having(HOME, self._rows[which]) for which in DIRECTIONS}

    @cached_property
    def vpc(self) -> dict[str, Array]:
        """Whether each end is in a VPC, and not at home."""
        vpcs = self.network.vpcs
        return {which: vpcs.covers(*self.flows.end(which)) & ~self.home[which] for which in DIRECTIONS}

    @cached_property
    def public(self) -> dict[str, Array]:
        return {which: is_public(*self.flows.end(which)) for which in DIRECTIONS}

    @cached_property
    def routed(self) -> Array:
        """Flows whose ends both have addresses that routers pass on: a default route or prefix covers others in name alone."""
        return np.asarray(~np.any([UNROUTED.covers(*self.flows.end(which)) for which in DIRECTIONS], axis=0))

    @cached_property
    def on_one_wire(self) -> Array:
        """Flows of which an end has an address of a group, of all, or of nobody: such packets stay on their network."""
        return np.asarray(np.any([STAYING.covers(*self.flows.end(which)) for which in DIRECTIONS], axis=0))

    @cached_property
    def of_one_network(self) -> Array:
        """Flows of which both ends have the same /24, or /64: mostly neighbours, where nobody says that a link is between."""
        (client_high, client_low), (server_high, server_low) = (self.flows.end(which) for which in DIRECTIONS)
        v4 = (client_high == 0) & (client_low >> np.uint64(32) == np.uint64(V4_MAPPED >> 32))
        same = np.where(v4, client_low >> np.uint64(8) == server_low >> np.uint64(8), client_high == server_high)
        return np.asarray(same & ((client_high == server_high) | ~v4))

    def behind(self, link: Link, which: str) -> Array:
        """Whether an end is where a link leads: no other link, and no site, has a longer prefix for it."""
        if not self._behind.have(link.name, self._found[which]):
            return np.zeros(len(self.flows), bool)
        return self._behind.having(link.name, self._rows[which]) & ~self.home[which] & self.of_site(link.site)

    @cached_property
    def by_default(self) -> Array:
        """Flows of which an end is behind a link only as everything is."""
        return np.asarray(np.any([self._behind.everywhere(rows) for rows in self._rows.values()], axis=0))

    def near(self, link: Link, which: str) -> Array:
        """Whether an end is on this side of a link: on premises, or one of the sources that it may carry."""
        return (self.home[which] | self.inside(which, link.sources)) & ~self.vpc[which]

    def leads(self, link: Link) -> Array:
        """Flows with one end behind a link and the other on this side of it."""
        leading = np.zeros(len(self.flows), bool)
        for which, other in OTHER.items():
            behind = self.behind(link, which)
            if behind.any():
                leading |= behind & self.near(link, other)
        return leading & self.routed

    def unreturned(self, link: Link, direction: str) -> Array:
        """Flows whose packets of a direction AWS would send over a virtual interface, and has no route there for."""
        other = OTHER[direction]
        if not link.sources or not isinstance(link, VirtualInterface):
            return np.zeros(len(self.flows), bool)
        unknown = ~self.inside(other, link.sources)
        if link.kind == "public":  # a private address at home is translated to one of them
            unknown &= self.public[other]
        return np.asarray(self.behind(link, direction) & unknown)

    def accepted(self, link: Link) -> Array:
        """Flows whose client AWS sends to by a link, the server being one that AWS sends from: where it says which, one of them."""
        if not self._sources.have(link.name, self._found_from):
            return np.zeros(len(self.flows), bool)
        server = self.inside("server", link.sources)
        mine = self._sources.having(link.name, self._from) & ~self._sources.having(GIVEN, self._from)
        mine &= ~server & self.of_site(link.site)
        if isinstance(link, VirtualInterface) and link.kind == "public":
            mine &= self.flows.is_aws("server") & self.public["server"]
            return np.asarray(mine & self.behind(link, "server") if link.prefixes else mine)
        return np.asarray(mine & (self.behind(link, "server") | self.vpc["server"]))

    def to_aws(self) -> Array:
        """Flows to or from public addresses of AWS: a public virtual interface, stated or not, may be behind a peer's MAC."""
        to_aws = np.zeros(len(self.flows), bool)
        for which, other in OTHER.items():
            to_aws |= self.flows.is_aws(which) & self.public[which] & ~self.home[which] & ~self.vpc[other]
        return to_aws

    def plausible(self, link: Link) -> Array:
        """Flows that may go by a link as far as their addresses go, if its frames say so too."""
        lan = self.home["client"] & self.home["server"]
        inside_aws = self.vpc["client"] & self.vpc["server"]
        plausible = np.zeros(len(self.flows), bool)
        for which, other in OTHER.items():
            far = ~self.home[which]
            if isinstance(link, Uplink):
                far = far & self.public[which] & ~self.vpc[other]
            elif isinstance(link, VirtualInterface) and link.kind == "public":
                far = far & self.flows.is_aws(which) & self.public[which] & ~self.vpc[other]
                if link.sources:  # a private address at home is translated to one of them
                    far = far & (self.inside(other, link.sources) | (self.home[other] & ~self.public[other]))
            elif link.prefixes:
                far = far & self.behind(link, which)
            else:
                far = far & (~self.public[which] | self.vpc[which]) & ~self.of_one_network
                far = far & (~self.public[other] | self.home[other])
            plausible |= far
        return np.asarray(plausible & ~lan & ~inside_aws & ~self.on_one_wire)
