"""What shows that a flow went over the internet itself: addresses that only an uplink gives, and PPPoE."""

from typing import Any

import numpy as np

from auditor.decode.packet import PPPOE_SHIM
from auditor.paths.gathering import EvidenceGathering
from auditor.paths.model import CONFIRMED, DIRECTIONS, LIKELY, PRIVATE, SHARED
from auditor.paths.topology import Uplink

Array = np.ndarray[Any, Any]


def of_access_lines(g: EvidenceGathering) -> None:
    """Clients with addresses that only an uplink gives, and PPPoE."""
    ends = g.ends
    given = [link for link in g.network.links() if not isinstance(link, Uplink)]
    carried = [prefix for link in given for prefix in link.sources]
    for uplink in g.network.topology.uplink:
        if uplink.addresses and uplink.is_up:
            mask = ends.inside("client", uplink.addresses) & ends.public["server"]
            mask &= ~ends.inside("client", carried) & ~g.in_tunnels & ~g.speaks_against(uplink)
            for direction, way in g.flows.ways.items():
                text = f"the client's address is one that {uplink.words} gives"
                g.add(mask & way.seen, direction, "address", "internet", LIKELY, text, uplink.name)
    _pppoe(g)


def _pppoe(g: EvidenceGathering) -> None:
    """Public addresses on a PPPoE line. A private client there is one of a provider's network, which may be a closed one.

    So is one with an address of those that providers share (RFC 6598).
    """
    positions, ends = g.flows.positions, g.ends
    at = (positions.shims == PPPOE_SHIM) & (positions.tunnel == 0) & ~_of_another_link(g)
    public = ends.public["client"] | ends.public["server"]
    private = np.any([some.covers(*g.flows.end(which)) for some in (PRIVATE, SHARED) for which in DIRECTIONS], axis=0)
    closed = private & np.any([ends.leads(link) for link in g.network.links() if not isinstance(link, Uplink)], axis=0)
    for number, (direction, way) in enumerate(g.flows.ways.items()):
        covered = g.frames.coverage(at & (positions.direction == number)).reshape(-1, 2)[:, number]
        mask = way.seen & public & (covered >= way.packets)
        text = "PPPoE: an internet access line"
        g.add(mask & ~private, direction, "pppoe", "internet", CONFIRMED, text)
        g.add(mask & private & ~closed, direction, "pppoe", "internet", LIKELY, text)


def _of_another_link(g: EvidenceGathering) -> Array:
    """Positions exchanged with the peer of a link that is no access line to the internet, or at its capture point."""
    mine = np.zeros(len(g.flows.positions), bool)
    links = {link.name: link for link in g.network.links() if not isinstance(link, Uplink)}
    for name, link in links.items():
        for mac in (*g.network.peer_macs(link), *(holder.mac for holder in g.learned.holders.get(name, []))):
            mine |= g.flows.positions.has_mac(mac)
    for point in g.network.topology.capture_point:
        if point.link in links:
            mine |= g.frames.points[point.name]
    return mine
