"""The positions of some flows: at which capture points they are, and where the innermost frame of each was seen.

Inside of tunnels only what a declared mirror sent counts, and what a mirror inside of AWS sent.
"""

from functools import cached_property
from typing import Any

import numpy as np

from auditor.decode.frames import BITS
from auditor.decode.layers import ERSPAN, GENEVE, GRE, IP_IN_IP, TZSP, VXLAN
from auditor.paths.model import DIRECTIONS, Flows
from auditor.paths.site import Network
from auditor.paths.topology import CapturePoint, Link, Vpn
from auditor.prefixes import V4_MAPPED, parse_address

Array = np.ndarray[Any, Any]
# Where the innermost frame was seen: on the wire, in a mirror that the owner declared, in one inside of AWS, in another tunnel.
ON_THE_WIRE, MIRRORED, INSIDE_AWS, FOREIGN = range(4)
MIRRORS = (VXLAN, GENEVE, ERSPAN, TZSP)
MOSTLY = 0.9  # share of a direction's packets that has to fit for anything to be said of it


class Frames:
    """The positions of some flows, and the capture points that they were seen at."""

    def __init__(self, flows: Flows, network: Network) -> None:
        self.flows, self.network = flows, network
        self.positions = positions = flows.positions
        self.side = 2 * positions.flow + positions.direction
        self.seen = positions.packets + positions.copies
        self.total = np.stack([flows.ways["client"].packets, flows.ways["server"].packets], axis=1).reshape(-1)
        self.names = np.array([*map(network.interface_name, range(len(flows.interfaces))), None], object)
        self.interface = positions.interface
        listed = (positions.interface >= 0) & (positions.interface < len(flows.interfaces))
        self.name_of = np.where(listed, positions.interface, len(flows.interfaces))  # index into ``names``
        self.points = {point.name: self._at_point(point) for point in network.topology.capture_point}
        self.place = self._places()
        self.own = np.isin(positions.source_mac, list(network.own_macs)) | np.isin(
            positions.target_mac, list(network.own_macs)
        )
        # MACs of the frame that is looked at; in a tunnel without an Ethernet header inside they are the outer ones.
        outer = (positions.source_mac == positions.outer_source_mac) & (
            positions.target_mac == positions.outer_target_mac
        )
        self.has_mac = ~((positions.tunnel != 0) & outer) & (positions.source_mac != 0) & (positions.target_mac != 0)
        self.some_mac = ~((positions.tunnel != 0) & outer) & ((positions.source_mac != 0) | (positions.target_mac != 0))
        wire = positions.tunnel == 0
        self.tagged = set(self.interface[wire & (positions.tags != 0)].tolist())
        self.tagged |= set(self.interface[~wire & (positions.outer_tags != 0)].tolist())

    def _at_point(self, point: CapturePoint) -> Array:
        """Which positions are at a declared capture point."""
        positions = self.positions
        here = np.ones(len(positions), bool)
        if point.file is not None:
            here &= self.in_file(point.file)
        if point.interface is not None:
            names = {name: name is not None and _fits_pattern(name, point.interface) for name in self.names.tolist()}
            here &= np.array([names[name] for name in self.names.tolist()])[self.name_of]
        if point.outer is not None:  # the mirror sends; to send something to it is easy
            high, low = parse_address(point.outer)
            here &= (positions.outer_source == np.uint64(high ^ low)) & (positions.tunnel != 0)
        elif point.vpc is None:
            here &= positions.tunnel == 0
        return here

    def in_file(self, pattern: str) -> Array:
        """Which positions were first seen in a capture that a pattern of the topology names."""
        named = np.array([self.network.is_file(name, pattern) for name in self.flows.captures])
        return np.asarray(named[self.positions.first_frame >> BITS])

    def _places(self) -> Array:
        """Where each position's innermost frame was seen."""
        positions, topology = self.positions, self.network.topology
        kind = positions.tunnel >> np.uint64(56)
        on_site = np.isin(self.interface, list(self.on_site))
        single = (positions.outer_tunnel == 0) & np.isin(kind, MIRRORS) & self._arrives_rightly()
        inside = np.isin(kind, (VXLAN, GENEVE)) & self._in_vpc(positions.outer_source)
        inside &= self._in_vpc(positions.outer_target) & (positions.outer_tags == 0)
        declared, vpc = np.zeros(len(positions), bool), np.zeros(len(positions), bool)
        for point in topology.capture_point:
            if point.vpc is not None:
                vpc |= self.points[point.name]
            elif point.outer is not None:
                declared |= self.points[point.name]
        vpc &= (positions.tunnel == 0) | np.isin(kind, (VXLAN, GENEVE))
        place = np.where(positions.tunnel == 0, ON_THE_WIRE, FOREIGN)
        place = np.where(single & declared, MIRRORED, place)
        return np.where((single & inside & ~on_site) | (vpc & ((positions.tunnel == 0) | single)), INSIDE_AWS, place)

    @cached_property
    def on_site(self) -> set[int]:
        """Interfaces that were captured at a site, not inside of a VPC: by tags, own routers, links, or the addresses that talk there."""
        positions, flows, home = self.positions, self.flows, self.network.home
        wire = positions.tunnel == 0
        macs = {mac for link in self.network.links() for mac in link.macs} | self.network.own_macs
        shown = positions.tags != 0
        shown |= np.isin(positions.source_mac, list(macs)) | np.isin(positions.target_mac, list(macs))
        at_home = [home.covers(*flows.end(which)) for which in DIRECTIONS]
        in_vpc = [self.network.vpcs.covers(*flows.end(which)) for which in DIRECTIONS]
        local = (at_home[0] & (at_home[1] | ~in_vpc[1])) | (at_home[1] & ~in_vpc[0])
        shown |= local[positions.flow]
        return set(self.interface[wire & shown].tolist())

    def _arrives_rightly(self) -> Array:
        """Whether the frame on the wire that a mirror's packet is in came neither by a link of the site nor a router of its own."""
        own = np.isin(self.positions.outer_source_mac, list(self.network.own_macs))
        return np.asarray(~own & ~self.comes_by_a_link)

    @cached_property
    def comes_by_a_link(self) -> Array:
        """Positions of which the outermost frame is one of a link: from another site, from AWS, from the internet."""
        positions, links = self.positions, list(self.network.links())
        macs = {mac for link in links for mac in link.macs}
        tags = {link.tags for link in links if link.tags is not None}
        foreign = np.isin(positions.outer_source_mac, list(macs))
        foreign |= np.isin(positions.outer_tags, list(tags))
        for link in links:
            if link.interface and link.path == "internet":
                foreign |= self.on_interface(link)
        return np.asarray(foreign)

    def _in_vpc(self, mixed: Array) -> Array:
        """Which outer addresses (IPv4; the halves of others are mixed) lie in a VPC and not at home."""
        v4 = mixed >> np.uint64(32) == np.uint64(V4_MAPPED >> 32)
        low, high = np.where(v4, mixed, np.uint64(0)), np.zeros(len(mixed), np.uint64)
        return np.asarray(v4 & self.network.vpcs.covers(high, low) & ~self.network.home.covers(high, low))

    def on_interface(self, link: Link) -> Array:
        return np.array([link.has_interface(name) for name in self.names.tolist()], bool)[self.name_of]

    def coverage(self, mask: Array) -> Array:
        """How many packets of each side were seen at some positions."""
        return np.bincount(self.side[mask], self.seen[mask], minlength=len(self.total))

    def in_tunnel_of(self, vpn: Vpn) -> Array:
        """Positions in a tunnel between a VPN's ends, without Ethernet inside."""
        positions = self.positions
        keys = [np.uint64(high ^ low) for high, low in map(parse_address, vpn.outside)]
        between = np.isin(positions.outer_source, keys) & np.isin(positions.outer_target, keys)
        between &= positions.outer_source != positions.outer_target
        kind = positions.tunnel >> np.uint64(56)
        return np.asarray(between & np.isin(kind, (GRE, IP_IN_IP)) & (positions.outer_tunnel == 0))

    @cached_property
    def in_plain_tunnel(self) -> Array:
        """Positions in one tunnel of IP packets, as routers make them: without Ethernet inside, which is bridged or mirrored."""
        positions = self.positions
        kind = positions.tunnel >> np.uint64(56)
        return np.asarray(np.isin(kind, (GRE, IP_IN_IP)) & (positions.outer_tunnel == 0) & ~self.some_mac)


def _fits_pattern(name: str, pattern: str) -> bool:
    import fnmatch

    return fnmatch.fnmatchcase(name, pattern)
