"""What stays inside AWS: both ends in VPCs, interface endpoints, and what a mirror inside a VPC shows of clients elsewhere."""

import re
from typing import Any

import numpy as np

from auditor.paths.frames import ON_THE_WIRE
from auditor.paths.gathering import EvidenceGathering
from auditor.paths.model import CONFIRMED, LIKELY

Array = np.ndarray[Any, Any]
ENDPOINT_ID = re.compile(r"vpce-[0-9a-f]{8,17}")


def within(g: EvidenceGathering) -> None:
    """Both ends in VPCs; interface endpoints; what a mirror inside a VPC saw of clients elsewhere."""
    topology, ends = g.network.topology, g.ends
    positions = g.flows.positions
    # Machines in a VPC never see tags; what is exchanged with a link's peer, or a router of the site, is not there, nor
    # what was captured where hosts of the site talk.
    at_site = (positions.tags != 0) | g.any_fit | g.frames.own | np.isin(positions.interface, list(g.frames.on_site))
    on_site = (g.frames.place == ON_THE_WIRE) & at_site
    elsewhere = g.nothing.copy()
    elsewhere[positions.flow[on_site]] = True
    elsewhere |= g.in_tunnels
    both = ends.vpc["client"] & ends.vpc["server"] & ~elsewhere
    for vpc in topology.vpc:
        client, server = ends.inside("client", vpc.blocks), ends.inside("server", vpc.blocks)
        for direction, way in g.flows.ways.items():
            same = both & client & server & way.seen
            text = f"mirrored from inside the VPC, both addresses in {vpc.name}"
            g.add(same & g.inside_aws, direction, "mirror", "vpc", CONFIRMED, text)
            g.add(same & ~g.inside_aws, direction, "prefix", "vpc", LIKELY, f"both addresses in {vpc.name}")
            between = both & client & ~server & way.seen
            text = f"from {vpc.name} to another VPC: peering or a transit gateway"
            g.add(between, direction, "prefix", "vpc", LIKELY, text)
    for endpoint in topology.endpoint:
        to_it = ends.inside("server", endpoint.addresses) & ~ends.home["server"]
        for direction, way in g.flows.ways.items():
            mask = to_it & way.seen & ~g.in_tunnels
            local = mask & ends.vpc["client"] & ~elsewhere
            text = f"from inside AWS to interface endpoint {endpoint.name}"
            g.add(local, direction, "endpoint", "vpc", LIKELY, text)
            text = f"to interface endpoint {endpoint.name}: by Direct Connect or VPN, not over the bare internet"
            g.add(mask & ends.home["client"], direction, "endpoint", "private", LIKELY, text)
    names = {name for name in g.flows.vpc_endpoint.tolist() if name is not None and ENDPOINT_ID.fullmatch(name)}
    for name in sorted(names):  # whoever connects may write one: it counts only between private addresses
        through = (
            np.asarray(g.flows.vpc_endpoint == name) & ~g.in_tunnels & ~ends.public["client"] & ~ends.public["server"]
        )
        for direction, way in g.flows.ways.items():
            text = f"a load balancer's PROXY header: the client came by VPC endpoint {name}"
            g.add(through & way.seen, direction, "proxy", "vpc", LIKELY, text)
    arrived = g.inside_aws & ends.home["client"] & ends.vpc["server"] & ~ends.public["client"]
    for direction, way in g.flows.ways.items():
        text = "an on-premises address seen inside the VPC, not translated: by Direct Connect or VPN"
        g.add(arrived & way.seen, direction, "endpoint", "private", LIKELY, text)
