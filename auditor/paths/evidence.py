"""Evidence for the path of each flow and direction: what the frames show, what routes, addresses and files assert.

The ladder, strongest first. Only frames prove a path; what a file asserts, or a witness elsewhere saw, makes it likely.

==================  ========================================================================  ==========
kind                what it is                                                                confidence
==================  ========================================================================  ==========
``vlan+mac``        its frames have a link's VLAN tag and are exchanged with its peer's MAC   confirmed
``interface+vlan``  captured on the link's interface with its VLAN tag, at a capture point    confirmed
                    that the owner declared to be that router (elsewhere only likely)
``pppoe``           PPPoE frames with public addresses: an internet access line (likely, if   confirmed
                    one is private: the provider's network may be a closed one)
``mirror``          they came out of a VPC traffic mirror, both addresses inside VPCs         confirmed
``interface+mac``   captured on the link's interface, and exchanged with its peer's MAC       likely
``mac``             they are exchanged with the peer's MAC, the tag not known or stripped     likely
``tunnel``          they are in a tunnel whose outer frames have a link's VLAN and its peer's  confirmed
                    MAC, in both directions, and both ends fit that link; or in one between
                    the ends of a VPN (likely)
``gateway``         a gateway captured it as it is inside of its IPsec (BSD's enc)            likely
``point``           the capture was taken at a place that stands for the link                 likely
``rule``            the topology's first fitting rule says so                                 likely
``interface``       they were captured on the link's interface                                likely
``attachment``      a transit gateway's flow log names the attachment it came through         likely
``vlan``            they have the VLAN tag; tags are reused on other trunks                   likely
``bgp``             exchanged with a router that announces the far address by BGP             likely
``route``           the routing table's longest prefix match leads to the link                likely
``flow-log``        a VPC flow log's traffic-path                                             likely
``cloudtrail``      CloudTrail saw the request come through an endpoint, or from an address   likely
``sensor``          Zeek or Suricata saw it on the link's interface or VLAN                   likely
``nat``             the same flow behind the address translator has this path                 likely
``endpoint``        it goes to an interface endpoint's address: not over the bare internet    likely
``proxy``           a PROXY header names the VPC endpoint by which the client came           likely
``prefix``          one end is where the link leads, the other on this side; or both in VPCs  likely
``accepted``        AWS accepts the client's prefix over this interface, and prefers it       likely
``address``         a client address that only the uplink gives                               likely
``router``          it is handed to a router of the site's own, which has several links       none
``ipsec``           it is authenticated by IPsec, or the outside of a tunnel that is encrypted none
``source``          its source lies outside the prefixes that the interface may carry         none
``contrary``        something of the link is there, and something of it differs               none
``contested``       the MAC that it is exchanged with is one of several that claim a peer     none
``moved``           its packets were seen at other positions than those that would prove it   none
==================  ========================================================================  ==========

Frames count for a direction if nearly all of its packets were seen where they fit, all of them where they confirm.
Time to live, hop counts and round-trip times are columns of ``flows``; nothing is concluded from them.
"""

from typing import Any

import numpy as np

from auditor.decode.control import Control
from auditor.decode.layers import AUTHENTICATED
from auditor.decode.layers import IPSEC as IPSEC_INSIDE
from auditor.paths import inside_aws, internet, routing
from auditor.paths.fits import FITS, WEAK, Fit
from auditor.paths.frames import MOSTLY, ON_THE_WIRE
from auditor.paths.gathering import EvidenceGathering
from auditor.paths.model import CONFIRMED, DIRECTIONS, IPSEC, LIKELY, NONE, Flows
from auditor.paths.site import Network
from auditor.paths.topology import Link, LinkRule, Uplink, VirtualInterface, Vpn
from auditor.tables.columns import each_once

Array = np.ndarray[Any, Any]


def gather(flows: Flows, network: Network, control: Control) -> EvidenceGathering:
    """All evidence that frames, addresses, routes and the topology give."""
    g = EvidenceGathering(flows, network, control)
    for link in network.links():
        for number, direction in enumerate(DIRECTIONS):
            _frames(g, link, direction, number)
        _addresses(g, link)
    _tunnels(g)
    _places(g)
    _rules(g)
    for table in network.tables:
        routing.of_table(g, table)
    routing.announced(g, control)
    inside_aws.within(g)
    internet.of_access_lines(g)
    _own_routers(g)
    _ipsec(g)
    _inside_ipsec(g)
    _contested(g)
    return g


def _frames(g: EvidenceGathering, link: Link, direction: str, number: int) -> None:
    """What the frames of one direction say of one link."""
    frames, fit = g.frames, g.fits[link.name]
    if not fit.some:
        return
    mine = frames.positions.direction == number
    total = frames.total.reshape(-1, 2)[:, number]
    first = _first_of(g, mine & (fit.code > 0))
    covered = frames.coverage(mine & (fit.code > 0)).reshape(-1, 2)[:, number]
    proven = frames.coverage(mine & (fit.confidence == CONFIRMED)).reshape(-1, 2)[:, number]
    shared = _shared(g, fit, mine)
    there = (first >= 0) & (total > 0)
    for text in each_once(fit.text[first[there]]).tolist():
        fits = there.copy()
        fits[there] = fit.text[first[there]] == text
        kind = FITS[int(fit.code[first[fits]][0]) - 1]
        frame = np.where(fits, frames.positions.first_frame[np.maximum(first, 0)], 0)
        words = fit.texts[text]
        g.add(fits & (proven >= total), direction, kind, link.path, CONFIRMED, words, link.name, frame)
        rest = fits & (proven < total) & (covered >= MOSTLY * total)
        g.add(rest & ~shared, direction, kind, link.path, LIKELY, words, link.name, frame)
        g.add(rest & shared, direction, kind, link.path, LIKELY, f"{words}, or of another link", None, frame)
        moved = fits & (covered < MOSTLY * total)
        text_moved = f"a part of the packets alone: {words}"
        g.add(moved, direction, "moved", link.path, NONE, text_moved, link.name, frame)
    if link.name in g.backward:
        other_way = g.nothing.copy()
        other_way[frames.positions.flow[mine & g.backward[link.name]]] = True
        words = f"frames of {link.words}, but not from or to its peer as the addresses go: looped, made up, or of other equipment"
        g.add(other_way, direction, "contrary", link.path, NONE, words, link.name)
    for text in each_once(fit.against[mine & (fit.against >= 0) & (g.any_fit == 0)]).tolist():
        at = mine & (fit.against == text) & (g.any_fit == 0)
        fits = g.nothing.copy()
        fits[frames.positions.flow[at]] = True
        frame = np.zeros(len(fits), np.int64)
        frame[frames.positions.flow[at][::-1]] = frames.positions.first_frame[at][::-1]
        g.add(fits, direction, "contrary", link.path, NONE, fit.texts[text], link.name, frame)


def _first_of(g: EvidenceGathering, at: Array) -> Array:
    """The first of some positions of each flow, -1 for none."""
    first = np.full(len(g.flows), -1)
    places = np.flatnonzero(at)[::-1]
    first[g.flows.positions.flow[places]] = places
    return first


def _shared(g: EvidenceGathering, fit: Fit, mine: Array) -> Array:
    """Flows whose frames fit another link as well as this one, by one sign that both have."""
    shared = g.nothing.copy()
    for code in WEAK:
        alike = mine & (fit.code == code) & (g.fitting[code] > 1)
        shared[g.flows.positions.flow[alike]] = True
    return shared


def _addresses(g: EvidenceGathering, link: Link) -> None:
    """What addresses say of a link: where it leads, and whose packets it may carry."""
    if not link.is_up:
        return
    leads, accepted = g.ends.leads(link), not isinstance(link, Uplink) and g.ends.accepted(link)
    if not np.any(leads) and not np.any(accepted):
        return
    allowed = ~g.speaks_against(link) & ~g.in_tunnels
    leads = leads & g.ends.plausible(link) & allowed
    for direction, way in g.flows.ways.items():
        text = f"prefixes of {link.words}"
        mask = leads & way.seen & ~g.ends.unreturned(link, direction)
        g.add(mask, direction, "prefix", link.path, LIKELY, text, link.name)
        _rivals(g, link, mask, direction, "prefix")
    if np.any(accepted):
        back = g.flows.ways["server"].seen & accepted & allowed
        text = f"AWS accepts the client's prefix over {link.words}, and prefers it on the way back"
        g.add(back, "server", "accepted", link.path, LIKELY, text, link.name)
        _rivals(g, link, back, "server", "accepted")


def _to_all_of_aws(link: Link) -> bool:
    return isinstance(link, VirtualInterface) and link.kind == "public"


def _to_vpcs(link: Link) -> bool:
    return isinstance(link, Vpn) or (isinstance(link, VirtualInterface) and link.kind != "public")


def _rivals(g: EvidenceGathering, link: Link, mask: Array, direction: str, kind: str) -> None:
    """Links that may lead where another one does: nobody says where, and no frames show that they did not; one for each flow.

    A VPN and a private or transit virtual interface may lead to the same VPCs; a public one leads to all of AWS, however
    wide the prefixes of an uplink are; and an uplink leads to the internet, where another link's prefix is that of everything.
    """
    kinds = {Vpn: _to_vpcs, VirtualInterface: _to_vpcs, Uplink: _to_all_of_aws}
    to_internet = mask & g.ends.by_default
    for other in g.network.links_to_anywhere:
        if not mask.any():
            return
        if type(other) is type(link):
            continue
        if isinstance(other, Uplink):
            maybe = mask & to_internet & g.ends.plausible(other)
        elif not kinds[type(link)](other) or _to_all_of_aws(link):
            continue
        else:
            maybe = mask & g.ends.plausible(other) if _to_all_of_aws(other) else mask
        text = f"{other.words} may lead there as well: nothing says which prefixes are behind it"
        maybe = maybe & g.ends.of_site(other.site) & ~g.speaks_against(other)
        g.add(maybe, direction, kind, other.path, LIKELY, text, other.name)
        mask = mask & ~maybe


def _tunnels(g: EvidenceGathering) -> None:
    """Tunnels between the ends of VPNs, and such that a link's frames carry: both directions, by frames to where the other's are from.

    What is inside says only what whoever sent it wanted to say: both ends have to fit the link as well.
    """
    of_vpns = np.zeros(len(g.flows.positions), bool)
    for vpn in g.network.topology.vpn:
        if not vpn.outside:
            continue
        inside = g.frames.in_tunnel_of(vpn)
        of_vpns |= inside
        mask = _both_ways(g, inside) & g.ends.plausible(vpn)
        for direction in DIRECTIONS:
            g.add(mask, direction, "tunnel", vpn.path, LIKELY, f"a tunnel between the ends of {vpn.words}", vpn.name)
    plain = g.frames.in_plain_tunnel & ~of_vpns
    for link in g.network.links() if plain.any() else ():
        carried = plain & g.outer_frames_of(link)
        mask = _both_ways(g, carried) & g.ends.plausible(link) & g.ends.of_site(link.site)
        proven = mask & g.wholly(carried) & _proves_by_frames(g, link)
        text = f"in a tunnel whose frames have VLAN {link.vlan} and the peer's MAC of {link.words}"
        for direction in DIRECTIONS:
            g.add(proven, direction, "tunnel", link.path, CONFIRMED, text, link.name)
            g.add(mask & ~proven, direction, "tunnel", link.path, LIKELY, text, link.name)


def _proves_by_frames(g: EvidenceGathering, link: Link) -> bool:
    """Whether VLAN and MAC of a link prove that its frames went by it: its peer does nothing else, and no capture point is another's."""
    points = (g.network.link(point.link) for point in g.network.topology.capture_point)
    elsewhere = any(there is not None and there.path != link.path for there in points)
    return not elsewhere and (not isinstance(link, Vpn) or link.dedicated)


def _both_ways(g: EvidenceGathering, inside: Array) -> Array:
    """Flows in tunnels that both directions go through, one's ends the other's in turn: a mirror sends both one way."""
    positions = g.flows.positions
    ends: list[set[tuple[int, int, int, int, int]]] = []
    for number in (0, 1):
        at = inside & (positions.direction == number)
        columns = (
            positions.flow,
            positions.outer_source,
            positions.outer_target,
            positions.source_mac,
            positions.target_mac,
        )
        ends.append(set(zip(*(c[at].tolist() for c in columns), strict=True)))
    back = {(flow, target, source, far, near) for flow, source, target, near, far in ends[1]}
    mask = g.nothing.copy()
    mask[[flow for flow, *_ in ends[0] & back]] = True
    return mask & g.mostly(inside)


def _places(g: EvidenceGathering) -> None:
    """Capture points that stand for a link."""
    for point in g.network.topology.capture_point:
        link = g.network.link(point.link)
        if link is None or not link.is_up:
            continue
        fits = g.frames.points[point.name] & ~g.fits[link.name].contradicts
        if point.outer is not None:  # whoever is behind a link may write any sender's address
            fits &= ~g.frames.comes_by_a_link
        here = g.mostly(fits) & g.ends.plausible(link)
        for direction, way in g.flows.ways.items():
            text = f"captured at {point.name}, on {link.words}"
            g.add(here & way.seen, direction, "point", link.path, LIKELY, text, link.name)


def _rules(g: EvidenceGathering) -> None:
    """The first rule of the topology that fits."""
    for direction, way in g.flows.ways.items():
        left = way.seen & ~g.in_tunnels
        near, far = direction, "server" if direction == "client" else "client"
        for number, rule in enumerate(g.network.topology.rule):
            link = g.network.link(rule.link)
            fits = left & _fits(g, rule, near, far)
            if link is not None:
                text = f"rule {number + 1} of the topology: {link.words}"
                # What the owner says of frames holds against how the link's frames look; of addresses it does not.
                of_frames = rule.file or rule.interface or rule.vlan or rule.mac
                g.add(
                    fits if of_frames else fits & ~g.speaks_against(link),
                    direction,
                    "rule",
                    link.path,
                    LIKELY,
                    text,
                    link.name,
                )
            left &= ~fits


def _fits(g: EvidenceGathering, rule: LinkRule, near: str, far: str) -> Array:
    import fnmatch

    positions, frames = g.flows.positions, g.frames
    at = frames.place == ON_THE_WIRE
    if rule.file is not None:
        at &= frames.in_file(rule.file)
    if rule.interface is not None:
        names = [name is not None and fnmatch.fnmatchcase(name, rule.interface) for name in frames.names.tolist()]
        at &= np.array(names)[frames.name_of]
    if rule.tags is not None:
        at &= positions.tags == np.uint64(rule.tags)
    if rule.mac is not None:
        at &= positions.has_mac(int(rule.mac.replace(":", ""), 16))
    fits = g.mostly(at)
    if rule.source is not None:
        fits &= g.ends.inside(near, [rule.source])
    if rule.destination is not None:
        fits &= g.ends.inside(far, [rule.destination])
    return fits


def _own_routers(g: EvidenceGathering) -> None:
    positions = g.flows.positions
    for router in g.network.topology.router:
        for mac in router.mac:
            at = (g.frames.place == ON_THE_WIRE) & positions.has_mac(int(mac.replace(":", ""), 16))
            for number, direction in enumerate(DIRECTIONS):
                handed = g.nothing.copy()
                handed[positions.flow[at & (positions.direction == number)]] = True
                text = f"exchanged with your router {router.name} ({mac}), which has its own choice of links"
                g.add(handed, direction, "router", "unknown", NONE, text)


def _inside_ipsec(g: EvidenceGathering) -> None:
    """Packets that a gateway shows as they are inside of its IPsec, or that IPsec authenticates and does not encrypt."""
    positions = g.flows.positions
    kind = positions.tunnel >> np.uint64(56)
    for tunnel, name, path, strength, text in (
        (IPSEC_INSIDE, "gateway", "vpn", LIKELY, "as the gateway that captured it has it inside of its IPsec"),
        (AUTHENTICATED, "ipsec", "unknown", NONE, "in IPsec's authentication header, which encrypts nothing"),
    ):
        for number, direction in enumerate(DIRECTIONS):
            inside = g.nothing.copy()
            inside[positions.flow[(kind == tunnel) & (positions.direction == number)]] = True
            g.add(inside, direction, name, path, strength, text)


def _ipsec(g: EvidenceGathering) -> None:
    """The outsides of VPNs: their path is that of the tunnel's packets."""
    outside = g.nothing
    for name in IPSEC:
        outside = outside | (g.flows.protocol == name)
    if not outside.any():
        return
    for direction, way in g.flows.ways.items():
        left = outside & way.seen
        for vpn in g.network.topology.vpn:
            if vpn.outside:
                ends = g.ends.inside("server", vpn.outside) | g.ends.inside("client", vpn.outside)
                text = f"the outside of {vpn.words}: what is inside cannot be seen"
                g.add(left & ends, direction, "ipsec", "unknown", NONE, text, vpn.name)
                left = left & ~ends
        text = "the outside of an IPsec tunnel: what is inside cannot be seen"
        g.add(left, direction, "ipsec", "unknown", NONE, text)


def _contested(g: EvidenceGathering) -> None:
    """Flows exchanged with one of several MACs that claim to be a link's peer: nothing is claimed of them."""
    positions = g.flows.positions
    flows = g.nothing.copy()
    for contest in g.learned.contests:
        at = g.contested_at(contest)
        frame = np.full(len(flows), contest.claims[-1][1])
        for number, direction in enumerate(DIRECTIONS):
            mine = g.nothing.copy()
            mine[positions.flow[at & (positions.direction == number)]] = True
            g.add(mine, direction, "contested", "unknown", NONE, contest.text, None, frame)
            flows |= mine
    g.contested = flows
