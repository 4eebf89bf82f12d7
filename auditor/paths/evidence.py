"""Evidence for the path of each flow and direction: what the frames show, what routes, addresses and files assert.

The ladder, strongest first. Only frames prove a path; what a file asserts, or a witness elsewhere saw, makes it likely.

==================  ========================================================================  ==========
kind                what it is                                                                confidence
==================  ========================================================================  ==========
``vlan+mac``        the frame carries a link's VLAN tag and is exchanged with its peer's MAC  confirmed
``interface+vlan``  it was captured on the link's interface, with its VLAN tag                confirmed
``pppoe``           it is a PPPoE frame: an internet access line                              confirmed
``mirror``          it came out of a VPC traffic mirror, both addresses inside VPCs           confirmed
``mac``             it is exchanged with the peer's MAC, the tag not known or stripped        likely
``tunnel``          it is inside a tunnel between the ends of a VPN                           likely
``point``           the capture was taken at a place that stands for the link                 likely
``rule``            the topology's first fitting rule says so                                 likely
``interface``       it was captured on the link's interface                                   likely
``attachment``      a transit gateway's flow log names the attachment it came through         likely
``vlan``            it carries the VLAN tag; tags are reused on other trunks                  likely
``bgp``             it is exchanged with a router that announces the far address by BGP       likely
``route``           the routing table's longest prefix match leads to the link                likely
``flow-log``        a VPC flow log's traffic-path                                             likely
``cloudtrail``      CloudTrail saw the request come through an endpoint, or from an address   likely
``sensor``          Zeek or Suricata saw it on the link's interface or VLAN                   likely
``nat``             the same flow behind the address translator has this path                 likely
``endpoint``        it goes to an interface endpoint's address: not over the bare internet    likely
``prefix``          its addresses lie in prefixes that the link leads to, or in VPCs          likely
``accepted``        AWS accepts the client's prefix over this interface, and prefers it       likely
``address``         a public client address that is not the site's own                        likely
``router``          it is handed to a router of the site's own, which has several links       none
``ipsec``           it is the outside of an IPsec tunnel: what is inside cannot be seen       none
``source``          its source lies outside the prefixes that the interface may carry         none
``contrary``        it carries the VLAN tag, but another MAC than the peer's                  none
==================  ========================================================================  ==========

Time to live, hop counts and round-trip times are columns of ``flows``; nothing is concluded from them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.decode.control import Control
from auditor.flows.oriented import address_text
from auditor.paths.bgp import Announcer
from auditor.paths.model import CONFIRMED, DIRECTIONS, IPSEC, LIKELY, NONE, Evidence, Flows, Ways, is_public
from auditor.paths.routes import AWS_AS, Hop, RoutingTable
from auditor.paths.site import Network
from auditor.paths.topology import CapturePoint, Link, Rule, VirtualInterface, Vpn
from auditor.prefixes import PrefixSet, parse_address

Array = np.ndarray[Any, Any]


class Gathering:
    """All evidence for some flows."""

    def __init__(self, flows: Flows, network: Network) -> None:
        self.flows, self.network = flows, network
        self.found: list[Evidence] = []
        self.nothing = np.zeros(len(flows), bool)
        self._covered: dict[tuple[str, tuple[str, ...]], Array] = {}
        self.site = self._sites()

    def add(
        self, mask: Array, direction: str, kind: str, path: str, confidence: int, detail: str, link: str | None = None
    ) -> None:
        if mask.any():
            frame = self.flows.ways[direction].frame
            self.found.append(Evidence(mask, direction, kind, path, confidence, detail, link, frame))

    def inside(self, which: str, prefixes: Sequence[str]) -> Array:
        """Whether an end's address lies in any of some prefixes."""
        key = which, tuple(prefixes)
        if key not in self._covered:
            self._covered[key] = PrefixSet(prefixes).covers(*self.flows.end(which)) if prefixes else self.nothing
        return self._covered[key]

    def _sites(self) -> Array:
        """The site at which each flow was captured, where a capture point says it."""
        site = np.full(len(self.flows), None, object)
        for point in self.network.topology.capture_point:
            if point.site is not None:
                for way in self.flows.ways.values():
                    site[self.at_point(point, way)] = point.site
        return site

    def at_point(self, point: CapturePoint, way: Ways) -> Array:
        """Which packets were captured at a place."""
        here = way.seen.copy()
        if point.file is not None and not self.network.is_file(self.flows.capture, point.file):
            return self.nothing
        if point.interface is not None:
            here &= _matches(way.interface, point.interface)
        if point.outer is not None:
            high, low = parse_address(point.outer)
            key = np.uint64(high ^ low)
            here &= (way.outer_source == key) | (way.outer_target == key)
        return here

    def leaves(self, direction: str) -> Array:
        """Flows whose packets of a direction leave the site: only of these its routing tables speak.

        Where neither end is known to be at home, the client is taken to be.
        """
        home = self.network.topology.on_premises
        if direction == "client":
            return ~self.inside("server", home)
        return self.inside("server", home) & ~self.inside("client", home)

    def of_site(self, site: str | None) -> Array:
        """Flows about which something of ``site`` may speak."""
        if site is None:
            return ~self.nothing
        return np.asarray((self.site == site) | (self.site == None))  # noqa: E711


def _matches(names: Array, pattern: str) -> Array:
    import fnmatch

    known = {name: name is not None and fnmatch.fnmatchcase(name, pattern) for name in set(names.tolist())}
    return np.array([known[name] for name in names.tolist()], bool)


def vlan_matches(ways: Ways, vlan: int) -> Array:
    """Whether any tag of the stack is ``vlan``."""
    found = np.zeros(len(ways.vlans), bool)
    for depth in range(5):
        tag = (ways.vlans >> np.uint64(12 * depth)) & np.uint64(0xFFF)
        found |= (ways.vlan_count > depth) & (tag == vlan)
    return found


def gather(flows: Flows, network: Network, control: Control) -> list[Evidence]:
    """All evidence that frames, addresses, routes and the topology give."""
    gathering = Gathering(flows, network)
    learned = network.learned(control)
    for link in network.links():
        for direction in DIRECTIONS:
            _frames(gathering, link, learned.get(link.name, {}), direction, flows.ways[direction])
        _addresses(gathering, link)
    _places(gathering)
    _rules(gathering)
    for table in network.tables:
        _routes(gathering, table)
    for announcer in network.announcers(control):
        _announced(gathering, announcer, control)
    _inside_aws(gathering)
    _internet(gathering)
    _own_routers(gathering)
    _ipsec(gathering)
    return gathering.found


def _frames(g: Gathering, link: Link, learned: dict[int, str], direction: str, ways: Ways) -> None:
    """What the frames of one direction say of one link. ``learned``: MACs that the capture shows the peer to have."""
    of = f"of {link.words}"
    on_vlan = ways.seen & vlan_matches(ways, link.vlan) if link.vlan is not None else g.nothing
    here = g.nothing
    if link.interface:
        names = {name: link.has_interface(name) for name in set(ways.interface.tolist())}
        here = ways.seen & np.array([names[name] for name in ways.interface.tolist()], bool)
    macs = {int(mac.replace(":", ""), 16): f"peer MAC {mac}" for mac in link.peer_mac} | learned
    has_mac = ways.seen & (ways.target_mac != 0) if macs else g.nothing
    every_peer = g.nothing
    for mac, told in macs.items():
        to_peer = ways.seen & ways.has_mac(mac)
        every_peer = every_peer | to_peer
        other_vlan = to_peer & ~on_vlan & (ways.vlan_count > 0) if link.vlan is not None else g.nothing
        both = on_vlan & to_peer
        g.add(both, direction, "vlan+mac", link.path, CONFIRMED, f"VLAN {link.vlan} and {told} {of}", link.name)
        g.add(to_peer & ~both & ~other_vlan, direction, "mac", link.path, LIKELY, f"{told} {of}", link.name)
        text = f"{told}, but not VLAN {link.vlan}, {of}"
        g.add(other_vlan, direction, "contrary", link.path, NONE, text, link.name)
    wrong = on_vlan & has_mac & ~every_peer
    text = f"interface {' '.join(link.interface)}, VLAN {link.vlan} {of}"
    g.add(here & on_vlan & ~every_peer & ~wrong, direction, "interface+vlan", link.path, CONFIRMED, text, link.name)
    text = f"interface {' '.join(link.interface)} {of}"
    g.add(here & ~on_vlan & ~wrong, direction, "interface", link.path, LIKELY, text, link.name)
    on_vlan_alone = on_vlan & ~every_peer & ~here & ~wrong & g.of_site(link.site)
    g.add(on_vlan_alone, direction, "vlan", link.path, LIKELY, f"VLAN {link.vlan} {of}", link.name)
    text = f"VLAN {link.vlan}, but not the peer's MAC, {of}"
    g.add(wrong, direction, "contrary", link.path, NONE, text, link.name)
    if isinstance(link, Vpn) and link.outside:
        keys = [np.uint64(high ^ low) for high, low in map(parse_address, link.outside)]
        inside = ways.seen & np.isin(ways.outer_source, keys) & np.isin(ways.outer_target, keys)
        g.add(inside, direction, "tunnel", link.path, LIKELY, f"a tunnel between the ends {of}", link.name)


def _addresses(g: Gathering, link: Link) -> None:
    """What addresses say of a link: where it leads, and whose packets it may carry."""
    here = g.of_site(link.site)
    for direction, way in g.flows.ways.items():
        seen = way.seen & here
        leads = seen & (g.inside("server", link.prefixes) ^ g.inside("client", link.prefixes))  # both: it stays there
        g.add(leads, direction, "prefix", link.path, LIKELY, f"prefixes of {link.words}", link.name)
    if isinstance(link, VirtualInterface) and link.sources and link.state != "down":
        back = g.flows.ways["server"].seen & here
        back &= g.inside("client", link.sources) & ~g.inside("server", link.sources)
        text = f"AWS accepts the client's prefix over {link.words}, and prefers it on the way back"
        g.add(back, "server", "accepted", link.path, LIKELY, text, link.name)


def _places(g: Gathering) -> None:
    """Capture points that stand for a link."""
    for point in g.network.topology.capture_point:
        link = g.network.link(point.link)
        if link is not None:
            for direction, way in g.flows.ways.items():
                text = f"captured at {point.name}, on {link.words}"
                g.add(g.at_point(point, way), direction, "point", link.path, LIKELY, text, link.name)


def _rules(g: Gathering) -> None:
    """The first rule of the topology that fits."""
    for direction, way in g.flows.ways.items():
        left = way.seen.copy()
        near, far = direction, "server" if direction == "client" else "client"
        for number, rule in enumerate(g.network.topology.rule):
            link = g.network.link(rule.link)
            fits = left & _fits(g, rule, way, near, far)
            if link is not None:
                text = f"rule {number + 1} of the topology: {link.words}"
                g.add(fits, direction, "rule", link.path, LIKELY, text, link.name)
            left &= ~fits


def _fits(g: Gathering, rule: Rule, way: Ways, near: str, far: str) -> Array:
    fits = ~g.nothing
    if rule.file is not None and not g.network.is_file(g.flows.capture, rule.file):
        return g.nothing
    if rule.interface is not None:
        fits &= _matches(way.interface, rule.interface)
    if rule.vlan is not None:
        fits &= vlan_matches(way, rule.vlan)
    if rule.mac is not None:
        fits &= way.has_mac(int(rule.mac.replace(":", ""), 16))
    if rule.source is not None:
        fits &= g.inside(near, [rule.source])
    if rule.destination is not None:
        fits &= g.inside(far, [rule.destination])
    return fits


def _routes(g: Gathering, table: RoutingTable) -> None:
    """Where a routing table would have sent each direction's packets."""
    here = g.of_site(table.site)
    for direction, far in (("client", "server"), ("server", "client")):
        seen = g.flows.ways[direction].seen & here & g.leaves(direction)
        hop, route = table.find(*g.flows.end(far), g.flows.started)
        for number in np.unique(hop[seen & (hop >= 0)]).tolist():
            which = table.hops[number]
            link = g.network.link_of_hop(table, which, table.site)
            mask = seen & (hop == number)
            prefix = table.prefix(int(route[np.flatnonzero(mask)[0]]))
            via = _hop_words(which)
            if link is not None:
                text = (
                    f"{table.name}: {prefix if len(np.unique(route[mask])) == 1 else 'its prefix'} {via}, {link.words}"
                )
                g.add(mask, direction, "route", link.path, LIKELY, text, link.name)
            elif which.is_of_public_interface:
                text = f"{table.name}: announced by AS {AWS_AS} with community {which.scope or 'NO_EXPORT'}, as over a public virtual interface"
                g.add(mask, direction, "route", "direct-connect", LIKELY, text)


def _hop_words(hop: Hop) -> str:
    words = f"via {address_text(*hop.next_hop)}" if hop.next_hop else ""
    words += f"{' ' if words else ''}on {hop.interface}" if hop.interface else ""
    return f"{words or 'without a next hop'}{f', community {hop.scope}' if hop.scope else ''}"


def _announced(g: Gathering, announcer: Announcer, control: Control) -> None:
    """A router that announces routes by BGP in the capture itself: frames exchanged with it go where it announces."""
    table = g.network.table_of(announcer)
    if table is None:
        return
    link = g.network.link_of_address(announcer.address)
    who = f"{address_text(*announcer.address)}{f' (AS {announcer.number})' if announcer.number else ''}"
    macs = {b.mac for b in control.bindings if b.address == announcer.address}
    hop, _ = table.find(*g.flows.end("server"), g.flows.started)
    back, _ = table.find(*g.flows.end("client"), g.flows.started)
    which_hop = np.where(hop >= 0, hop, back)
    for direction, way in g.flows.ways.items():
        with_it = g.nothing
        for mac in macs:
            with_it = with_it | (way.seen & way.has_mac(mac))
        for number in np.unique(which_hop[way.seen & (which_hop >= 0)]).tolist():
            which = table.hops[number]
            mask = way.seen & (which_hop == number)
            scope = f", community {which.scope}" if which.scope else ""
            if link is not None:
                text = f"{who} announces the far address by BGP{scope}, {link.words}"
                g.add(mask & with_it, direction, "bgp", link.path, LIKELY, text, link.name)
                if direction == "client":  # AWS's own choice of the way back is not in what it announces
                    g.add(
                        mask & ~with_it & (hop >= 0) & g.leaves(direction),
                        direction,
                        "route",
                        link.path,
                        LIKELY,
                        text,
                        link.name,
                    )
            elif which.is_of_public_interface:
                text = (
                    f"exchanged with {who}, which announces the far address by BGP{scope}: a public virtual interface"
                )
                g.add(mask & with_it, direction, "bgp", "direct-connect", LIKELY, text)


def _inside_aws(g: Gathering) -> None:
    """Both ends in VPCs; interface endpoints; what a mirror inside a VPC saw of clients elsewhere."""
    topology = g.network.topology
    every = [prefix for vpc in topology.vpc for prefix in vpc.prefixes]
    on_premises = topology.on_premises
    in_vpc = {which: g.inside(which, every) for which in DIRECTIONS}
    at_home = {which: g.inside(which, on_premises) for which in DIRECTIONS}
    both = in_vpc["client"] & in_vpc["server"] & ~at_home["client"] & ~at_home["server"]
    for vpc in topology.vpc:
        client, server = g.inside("client", vpc.prefixes), g.inside("server", vpc.prefixes)
        for direction, way in g.flows.ways.items():
            same = both & client & server & way.seen
            text = f"mirrored from inside the VPC, both addresses in {vpc.name}"
            g.add(same & g.flows.mirrored, direction, "mirror", "vpc", CONFIRMED, text)
            g.add(same & ~g.flows.mirrored, direction, "prefix", "vpc", LIKELY, f"both addresses in {vpc.name}")
            between = both & client & ~server & way.seen
            text = f"from {vpc.name} to another VPC: peering or a transit gateway"
            g.add(between, direction, "prefix", "vpc", LIKELY, text)
    for endpoint in topology.endpoint:
        to_it = g.inside("server", endpoint.addresses)
        for direction, way in g.flows.ways.items():
            mask = to_it & way.seen
            local = mask & in_vpc["client"] & ~at_home["client"]
            text = f"from inside AWS to interface endpoint {endpoint.name}"
            g.add(local, direction, "endpoint", "vpc", LIKELY, text)
            text = f"to interface endpoint {endpoint.name}: by Direct Connect or VPN, not over the bare internet"
            g.add(mask & ~local, direction, "endpoint", "private", LIKELY, text)
    arrived = g.flows.mirrored & at_home["client"] & in_vpc["server"]
    for direction, way in g.flows.ways.items():
        text = "an on-premises address seen inside the VPC, not translated: by Direct Connect or VPN"
        g.add(arrived & way.seen, direction, "endpoint", "private", LIKELY, text)


def _internet(g: Gathering) -> None:
    """PPPoE, and clients with public addresses that are nobody's own."""
    topology = g.network.topology
    own = [
        *topology.on_premises,
        *(p for vpc in topology.vpc for p in vpc.prefixes),
        *(p for vif in topology.virtual_interface for p in vif.sources),
        *(p for nat in topology.nat for p in nat.outside),
    ]
    known = g.inside("client", own)
    for uplink in topology.uplink:
        given = g.inside("client", uplink.addresses)
        for direction, way in g.flows.ways.items():
            text = f"the client's address is one that {uplink.words} gives"
            g.add(given & way.seen, direction, "address", "internet", LIKELY, text, uplink.name)
        known = known | given
    for direction, way in g.flows.ways.items():
        text = "PPPoE: an internet access line"
        g.add(way.seen & g.flows.pppoe, direction, "pppoe", "internet", CONFIRMED, text)
        public = is_public(*g.flows.end("client")) & is_public(*g.flows.end("server"))
        mask = way.seen & public & ~known & ~g.flows.mirrored
        g.add(mask, direction, "address", "internet", LIKELY, "public client address")


def _own_routers(g: Gathering) -> None:
    for router in g.network.topology.router:
        for mac in router.mac:
            for direction, way in g.flows.ways.items():
                handed = way.seen & way.has_mac(int(mac.replace(":", ""), 16))
                text = f"exchanged with your router {router.name} ({mac}), which has its own choice of links"
                g.add(handed, direction, "router", "unknown", NONE, text)


def _ipsec(g: Gathering) -> None:
    """The outsides of VPNs: their path is that of the tunnel's packets."""
    outside = g.nothing
    for name in IPSEC:
        outside = outside | (g.flows.protocol == name)
    if not outside.any():
        return
    for direction, way in g.flows.ways.items():
        told = outside & way.seen
        for vpn in g.network.topology.vpn:
            if vpn.outside:
                ends = g.inside("server", vpn.outside) | g.inside("client", vpn.outside)
                text = f"the outside of {vpn.words}: what is inside cannot be seen"
                g.add(told & ends, direction, "ipsec", "unknown", NONE, text, vpn.name)
                told = told & ~ends
        text = "the outside of an IPsec tunnel: what is inside cannot be seen"
        g.add(told, direction, "ipsec", "unknown", NONE, text)
