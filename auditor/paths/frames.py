"""What frames say of links: each position of a flow's packets against how each link's frames look.

A position fits a link if all that both state agrees, contradicts it if anything differs, and says nothing where one is
silent. How much was compared is how strong it is. Inside of tunnels only what a declared mirror sent is looked at.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.decode.frames import BITS
from auditor.decode.layers import ERSPAN, GENEVE, GRE, IP_IN_IP, TZSP, VXLAN
from auditor.paths.learned import Learned
from auditor.paths.model import CONFIRMED, DIRECTIONS, LIKELY, Flows
from auditor.paths.site import Network
from auditor.paths.topology import CapturePoint, Link, Vpn
from auditor.prefixes import V4_MAPPED, parse_address

Array = np.ndarray[Any, Any]
# Where the innermost frame was seen: on the wire, in a mirror that the owner declared, in one inside of AWS, in another tunnel.
ON_THE_WIRE, MIRRORED, INSIDE_AWS, FOREIGN = range(4)
MIRRORS = (VXLAN, GENEVE, ERSPAN, TZSP)
# What was compared, strongest first; a position's code is the place in this list from 1 on, 0 for nothing.
FITS = ("vlan+mac", "interface+vlan", "interface+mac", "mac", "vlan", "interface")
VLAN_MAC, INTERFACE_VLAN, INTERFACE_MAC, MAC, VLAN, INTERFACE = range(1, 7)
WEAK = (MAC, VLAN, INTERFACE)  # may be true of several links at once
MOSTLY = 0.9  # share of a direction's packets that has to fit for anything to be said of it


@dataclass
class Fit:
    """A link against every position: what fits (see FITS), how strong that is, what contradicts, in words of ``texts``."""

    code: Array
    confidence: Array
    text: Array  # numbers of ``texts``, -1 for none
    contradicts: Array
    against: Array  # likewise, what speaks against where something else fits
    alike: Array  # look like the link's, whether or not the addresses allow for it
    texts: list[str]


def _fit(code: Array, signs: Array, contradicts: Array, alike: Array) -> Fit:
    """A fit without words yet. Of many links hardly any has something at all: what is the same everywhere takes no room."""
    none = np.broadcast_to(np.int32(-1), len(code))
    nothing = np.broadcast_to(np.int8(0), len(code))
    fits = bool(code.any())
    return Fit(
        code if fits else nothing,
        np.where(code > 0, LIKELY, 0).astype(np.int8) if fits else nothing,
        none.copy() if fits else none,
        contradicts,
        none.copy() if signs.any() else none,
        alike if alike.any() else np.broadcast_to(np.False_, len(code)),
        [],
    )


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
        self._others: dict[str, tuple[Array, Array]] = {}  # by path, see ``_has_others_mac``

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
        on_site = np.isin(self.interface, list(self._on_site()))
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

    def _on_site(self) -> set[int]:
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
        """Whether the frame on the wire that a mirror's packet is in did not come by a link of the site."""
        positions = self.positions
        links = list(self.network.links())
        macs = {mac for link in links for mac in link.macs} | self.network.own_macs
        tags = {link.tags for link in links if link.tags is not None}
        foreign = np.isin(positions.outer_source_mac, list(macs))
        foreign |= np.isin(positions.outer_tags, list(tags))
        for link in links:
            if link.interface and link.path == "internet":
                foreign |= self._on_interface(link)
        return np.asarray(~foreign)

    def _in_vpc(self, mixed: Array) -> Array:
        """Which outer addresses (IPv4; the halves of others are mixed) lie in a VPC and not at home."""
        v4 = mixed >> np.uint64(32) == np.uint64(V4_MAPPED >> 32)
        low, high = np.where(v4, mixed, np.uint64(0)), np.zeros(len(mixed), np.uint64)
        return np.asarray(v4 & self.network.vpcs.covers(high, low) & ~self.network.home.covers(high, low))

    def _on_interface(self, link: Link) -> Array:
        names = {name: link.has_interface(name) for name in set(self.names.tolist())}
        return np.array([names[name] for name in self.names.tolist()], bool)[self.name_of]

    def fit(self, link: Link, learned: Learned, plausible: Array, site: Array) -> Fit:
        """How a link's frames look against every position.

        ``plausible``: flows whose addresses allow for the link; ``site``: flows that may be of its site.
        """
        positions, on_wire = self.positions, self.place == ON_THE_WIRE
        looked_at = on_wire | (self.place == MIRRORED)
        named = self.names != None  # noqa: E711
        has_name = on_wire & named[self.name_of]
        here = self._on_interface(link) & has_name if link.interface else np.zeros(len(positions), bool)
        texts, peer = self._macs(link, learned)
        has_mac, stated = peer >= 0, bool(texts)
        tags = link.tags
        vlan = looked_at & (positions.tags == np.uint64(tags or 0)) & (positions.tags != 0) & (tags is not None)
        no_tag = (positions.tags == 0) & (~on_wire | ~np.isin(self.interface, list(self.tagged)))
        wrong_vlan = ~vlan & ~no_tag & (tags is not None)
        wrong_interface = has_name & ~here & bool(link.interface)
        wrong_mac = self.has_mac & ~has_mac & stated
        wrong_site = ~site[positions.flow]
        contradicts = looked_at & (wrong_vlan | wrong_interface | wrong_mac | wrong_site)
        code = np.select(
            [vlan & has_mac, here & vlan, here & has_mac, has_mac, vlan, here],
            [VLAN_MAC, INTERFACE_VLAN, INTERFACE_MAC, MAC, VLAN, INTERFACE],
            0,
        ).astype(np.int8)
        signs = code.copy()
        code[contradicts | ~looked_at] = 0
        alike = code > 0
        own_gateway = isinstance(link, Vpn) and not link.dedicated
        alone = np.isin(code, (INTERFACE_VLAN, VLAN, INTERFACE))
        code[(alone | own_gateway) & ~plausible[positions.flow]] = 0
        code[alone & self._has_others_mac(link)] = 0
        code[(code == MAC) & self._is_virtual(link)] = 0
        signs[~contradicts | ~looked_at] = 0
        fit = _fit(code, signs, contradicts, alike)
        if not own_gateway and code.any():
            proven = (code == VLAN_MAC) & (on_wire | self._is_checked())
            proven |= (code == INTERFACE_VLAN) & self._is_routers(link)
            fit.confidence[proven] = CONFIRMED
        self._word(fit, link, texts, peer)
        self._word_against(fit, link, signs, (wrong_interface, wrong_vlan, wrong_mac), texts, peer)
        return fit

    def _macs(self, link: Link, learned: Learned) -> tuple[list[str], Array]:
        """(the peer's MACs in words, which of them each position has or -1)."""
        positions = self.positions
        texts: list[str] = []
        peer = np.full(len(positions), -1)
        for mac, text in self.network.peer_macs(link).items():
            peer[self.some_mac & positions.has_mac(mac)] = len(texts)
            texts.append(f"peer MAC {text}")
        for holder in learned.holders.get(link.name, []):
            if holder.mac in link.macs:
                continue
            there = (positions.tags == np.uint64(holder.tags)) & (self.interface == holder.interface)
            peer[there & (positions.tunnel == 0) & positions.has_mac(holder.mac)] = len(texts)
            texts.append(holder.text)
        return texts, peer

    def _is_virtual(self, link: Link) -> Array:
        """Positions exchanged with a stated MAC of redundant routers, and with none that is the link's alone."""
        shared = np.zeros(len(self.positions), bool)
        for mac in (mac for mac, text in link.macs.items() if text in link.virtual_macs):
            shared |= self.positions.has_mac(mac)
        for mac in (mac for mac, text in link.macs.items() if text not in link.virtual_macs):
            shared &= ~self.positions.has_mac(mac)
        return shared

    def _has_others_mac(self, link: Link) -> Array:
        """Positions exchanged with a MAC that the owner states for a link of another path."""
        positions = self.positions
        if link.path not in self._others:
            macs = [
                mac
                for other in self.network.links()
                if other.path != link.path
                for mac in self.network.peer_macs(other)
            ]
            self._others[link.path] = np.isin(positions.source_mac, macs), np.isin(positions.target_mac, macs)
        source, target = self._others[link.path]
        for mac in link.macs:
            source, target = source & (positions.source_mac != mac), target & (positions.target_mac != mac)
        return np.asarray(source | target)

    def _is_checked(self) -> Array:
        """Positions in mirrors of which the owner says where they arrive as well."""
        checked = np.zeros(len(self.positions), bool)
        for point in self.network.topology.capture_point:
            if point.outer is not None and point.interface is not None:
                checked |= self.points[point.name]
        return checked

    def _is_routers(self, link: Link) -> Array:
        """Positions at a capture point that the owner declared to be the router that a link is on."""
        declared = np.zeros(len(self.positions), bool)
        for point in self.network.topology.capture_point:
            if point.outer is None and point.link == link.name:  # that it is somewhere at the link's site is not enough
                declared |= self.points[point.name]
        return declared

    def _word(self, fit: Fit, link: Link, texts: list[str], peer: Array) -> None:
        """Put what fits into words."""
        interface = f"interface {' '.join(link.interface)}"
        for code in np.unique(fit.code[fit.code > 0]).tolist():
            for mac in range(len(texts)) if code in (VLAN_MAC, INTERFACE_MAC, MAC) else (-1,):
                mine = (fit.code == code) & ((peer == mac) | (mac < 0))
                if not mine.any():
                    continue
                words = {
                    VLAN_MAC: f"VLAN {link.vlan} and {texts[mac] if mac >= 0 else ''}",
                    INTERFACE_VLAN: f"{interface}, VLAN {link.vlan}",
                    INTERFACE_MAC: f"{interface} and {texts[mac] if mac >= 0 else ''}",
                    MAC: texts[mac] if mac >= 0 else "",
                    VLAN: f"VLAN {link.vlan}",
                    INTERFACE: interface,
                }[code]
                fit.text[mine] = len(fit.texts)
                fit.texts.append(f"{words} of {link.words}")

    def _word_against(
        self, fit: Fit, link: Link, signs: Array, wrong: tuple[Array, Array, Array], texts: list[str], peer: Array
    ) -> None:
        """Put into words what differs where something else of the link is there."""
        says = ("not on interface " + " ".join(link.interface), f"not VLAN {link.vlan}", "not the peer's MAC")
        names = {VLAN: f"VLAN {link.vlan}", INTERFACE: f"interface {' '.join(link.interface)}"}
        for code in np.unique(signs[signs > 0]).tolist():
            of_code = signs == code
            combos = {tuple(row) for row in np.stack([w[of_code] for w in wrong], axis=1).tolist()}
            for combo in sorted(combos):
                mine = of_code.copy()
                for flag, mask in zip(combo, wrong, strict=True):
                    mine &= mask == flag
                mac = int(peer[mine][0])
                about = names.get(code) or " and ".join(
                    [f"VLAN {link.vlan}"] * (code in (VLAN_MAC, INTERFACE_VLAN)) + ([texts[mac]] if mac >= 0 else [])
                )
                differs = (
                    " and ".join(text for text, flag in zip(says, combo, strict=True) if flag) or "at another site"
                )
                fit.against[mine] = len(fit.texts)
                fit.texts.append(f"{about.rstrip(',')}, but {differs}, of {link.words}")

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


def _fits_pattern(name: str, pattern: str) -> bool:
    import fnmatch

    return fnmatch.fnmatchcase(name, pattern)
