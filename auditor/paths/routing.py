"""Where routing tables, and routers that announce routes by BGP in the capture itself, would have sent packets."""

from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.decode.control import Control
from auditor.flows.oriented import address_text
from auditor.paths.bgp import Announcer
from auditor.paths.learned import is_there
from auditor.paths.model import LIKELY
from auditor.paths.routes import AWS_AS, Hop, RoutingTable
from auditor.paths.topology import Link
from auditor.tables.columns import each_once

if TYPE_CHECKING:
    from auditor.paths.gathering import EvidenceGathering

Array = np.ndarray[Any, Any]
FAR = {"client": "server", "server": "client"}


def of_table(g: "EvidenceGathering", table: RoutingTable) -> None:
    """Where a routing table would have sent each direction's packets."""
    here = g.ends.of_site(table.site)
    for direction, far in FAR.items():
        seen = g.flows.ways[direction].seen & here & g.leaves(direction)
        hop, route = table.find(*g.flows.end(far), g.flows.started)
        if table.changes is not None:  # of a flow that goes on when its route changes nothing is known by it
            hop = np.where(hop == table.find(*g.flows.end(far), g.flows.ended)[0], hop, -1)
        for number in each_once(hop[seen & (hop >= 0)]).tolist():
            which = table.hops[number]
            mask = seen & (hop == number)
            for changes in g.network.changes_of(table):
                mask[mask] = ~table.outdated(which, route[mask], g.flows.started[mask], changes)
            if not mask.any():
                continue
            prefix = table.prefix(int(route[np.flatnonzero(mask)[0]]))
            links = g.network.links_of_hop(table, which, table.site)
            paths = {link.path if link is not None and link.is_up else None for link in links}
            link = links[0] if len(set(links)) == 1 else None
            known = [one for one in links if one is not None]
            if len(paths) == 1 and None not in paths:
                mask = mask & _may_go_by(g, known[0].path, far)
                for one in known:
                    mask = mask & ~g.speaks_against(one)
                about = prefix if len(each_once(route[mask])) == 1 else "its prefix"
                words = link.words if link is not None else "several links of one kind"
                text = f"{table.name}: {about} {_words(which)}, {words}"
                g.add(mask, direction, "route", known[0].path, LIKELY, text, link.name if link else None)
            elif which.is_of_public_interface and not which.others and not known:
                scope = which.scope or "NO_EXPORT"
                text = (
                    f"{table.name}: announced by AS {AWS_AS} with community {scope}, as over a public virtual interface"
                )
                g.add(mask & g.flows.is_aws(far), direction, "route", "direct-connect", LIKELY, text)


def _may_go_by(g: "EvidenceGathering", path: str, far: str) -> Array:
    """Flows that may take a path by their far end: the internet has no private addresses, wherever a default route leads."""
    return g.ends.public[far] if path == "internet" else np.ones(len(g.flows), bool)


def _words(hop: Hop) -> str:
    words = f"via {address_text(*hop.next_hop)}" if hop.next_hop else ""
    words += f"{' ' if words else ''}on {hop.interface}" if hop.interface else ""
    more = f" and {len(hop.others)} more" if hop.others else ""
    return f"{words or 'without a next hop'}{more}{f', community {hop.scope}' if hop.scope else ''}"


def announced(g: "EvidenceGathering", control: Control) -> None:
    """Routers that announce routes by BGP in the capture: of all of them the longest prefix counts.

    Frames exchanged with such a router go where it announces.
    """
    speakers = [
        (speaker, table) for speaker in g.announcers if speaker.established and (table := g.network.table_of(speaker))
    ]
    if not speakers:
        return
    matches = [_longest(g, table) for _, table in speakers]
    longest = np.max([length for _, length in matches], axis=0)
    for (speaker, table), (hop, length) in zip(speakers, matches, strict=True):
        _announced(g, speaker, table, np.where((length == longest) & (length >= 0), hop, -1), control)


def _longest(g: "EvidenceGathering", table: RoutingTable) -> tuple[Array, Array]:
    """(hop, length of the prefix) of each flow's far end: the server's, or else the client's; -1 for none."""
    matches = []
    for which in ("server", "client"):
        hop, route = table.find(*g.flows.end(which), g.flows.started)
        matches.append((hop, table.lengths[route]))
    (hop, length), (back, back_length) = matches
    return np.where(hop >= 0, hop, back), np.where(hop >= 0, length, back_length)


def _announced(g: "EvidenceGathering", speaker: Announcer, table: RoutingTable, hops: Array, control: Control) -> None:
    link = g.network.link_of_address(speaker.address)
    if link is not None and not (link.is_up and _is_on_wire_of(g, speaker, link, control)):
        return
    name = f"{address_text(*speaker.address)}{f' (AS {speaker.number})' if speaker.number else ''}"
    with_it = _exchanged(g, speaker, control)
    allowed = ~g.speaks_against(link) & ~g.in_tunnels if link is not None else ~g.in_tunnels
    to_aws = g.flows.is_aws("server")
    for direction, way in g.flows.ways.items():
        for number in each_once(hops[way.seen & (hops >= 0)]).tolist():
            which: Hop = table.hops[number]
            if which.next_hop is not None and g.network.link_of_address(which.next_hop) not in (None, link):
                continue  # the next hop is another link's peer (RFC 4271 5.1.3): packets go there
            mask = way.seen & (hops == number) & allowed
            scope = f", community {which.scope}" if which.scope else ""
            if link is not None:
                text = f"{name} announces the far address by BGP{scope}, {link.words}"
                near = mask & with_it & g.ends.plausible(link)
                g.add(near, direction, "bgp", link.path, LIKELY, text, link.name)
                if direction == "client":  # AWS's own choice of the way back is not in what it announces
                    leaves = mask & ~with_it & g.leaves(direction) & ~g.ends.home["server"]
                    leaves &= _may_go_by(g, link.path, "server")
                    g.add(leaves, direction, "route", link.path, LIKELY, text, link.name)
            elif which.is_of_public_interface:
                text = (
                    f"exchanged with {name}, which announces the far address by BGP{scope}: a public virtual interface"
                )
                g.add(mask & with_it & to_aws, direction, "bgp", "direct-connect", LIKELY, text)


def _is_on_wire_of(g: "EvidenceGathering", speaker: Announcer, link: Link, control: Control) -> bool:
    """Whether a session's frames may be a link's: anybody on a LAN can speak for an address that is not there."""
    stated = set() if link.virtual_macs else set(g.network.peer_macs(link))
    bound = [
        (binding, seen)
        for binding, seen in control.bindings.items()
        if binding.address == speaker.address and "BGP" in seen.protocols and binding.tunnel == 0
    ]
    return not bound or any(
        is_there(link, g.network, binding, seen, control.captures, g.frames.tagged)
        and binding.mac not in g.network.own_macs
        and (not stated or binding.mac in stated)
        for binding, seen in bound
    )


def _exchanged(g: "EvidenceGathering", speaker: Announcer, control: Control) -> Array:
    """Flows of which nearly all packets are exchanged with a speaker's MAC, on the wire on which it speaks."""
    positions, at = g.flows.positions, np.zeros(len(g.flows.positions), bool)
    for binding, seen in control.bindings.items():
        if binding.address == speaker.address and "BGP" in seen.protocols and binding.tunnel == 0:
            wire = (positions.tags == np.uint64(binding.vlans)) & (g.frames.interface == binding.interface)
            at |= wire & (positions.tunnel == 0) & positions.has_mac(binding.mac)
    return g.mostly(at)
