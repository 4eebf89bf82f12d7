"""What the rows of flow logs say of the way of flows (VPC User Guide, Flow log records; Transit Gateway Flow Logs).

``traffic-path`` states the first hop of what leaves an interface, and not whether the way goes on from there: 1 is another
resource of the VPC, which may be a NAT gateway or a transit gateway. Of a chain of transit gateway rows the attachment at
its edge shows how the flow came: a Direct Connect gateway or a VPN; what lies between are hops of the same way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.paths.flow_log_rows import FlowLog
from auditor.paths.model import DIRECTIONS, LIKELY, Evidence, Flows, is_public
from auditor.paths.site import Network
from auditor.prefixes import PrefixSet
from auditor.tables.columns import is_one_of

Array = np.ndarray[Any, Any]
GATEWAY_ENDPOINTS = ("s3", "dynamodb")  # services that gateway endpoints lead to
NAT_GATEWAYS = ("nat_gateway", "regional_nat_gateway")
EDGES = {
    "direct-connect-gateway": ("direct-connect", "a Direct Connect gateway"),
    "vpn": ("vpn", "a VPN"),
    "connect": ("private", "a Connect attachment"),
}
LOST = ("packets-lost-no-route", "packets-lost-blackhole", "packets-lost-mtu-exceeded", "packets-lost-ttl-expired")
WITHIN = ("vpc", "peering", "tgw-peering")


@dataclass
class JoinedRows:
    """Rows joined to flows: which row is about which flow, and whether it is about the server's packets."""

    flow: Array
    row: Array
    from_server: Array
    how: str  # in words, how they were joined, where that was not by all of it

    def of(self, mask: Array) -> "JoinedRows":
        return JoinedRows(self.flow[mask], self.row[mask], self.from_server[mask], self.how)


def meaning(rows: JoinedRows, log: FlowLog, flows: Flows, network: Network) -> list[Evidence]:
    """Evidence of joined rows."""
    passed = ~log.is_value("action", "REJECT")[rows.row] & ~_is_lost(rows, log)
    rows = rows.of(_of_that_vpc(rows, log, network) & passed)
    if not len(rows.flow):
        return []
    return [*_traffic_paths(rows, log, flows, network), *_attachments(rows, log, flows, network)]


def _is_lost(rows: JoinedRows, log: FlowLog) -> Array:
    """Rows whose packets a transit gateway dropped, all that it counts: they took no way from there."""
    packets = log.number["packets"][rows.row].astype(np.int64)
    lost = np.sum([np.maximum(log.number[name][rows.row], 0) for name in LOST], axis=0, dtype=np.int64)
    return np.asarray((lost > 0) & (lost >= packets))


def _of_that_vpc(rows: JoinedRows, log: FlowLog, network: Network) -> Array:
    """Rows of the VPC that the address at their interface is in, where the topology knows the row's VPC."""
    values, index = log.text["vpc-id"]
    keep = np.ones(len(rows.row), bool)
    known = {vpc.name: vpc for vpc in network.topology.vpc}
    by_id = any(name.startswith("vpc-") for name in known)
    egress = log.is_value("flow-direction", "egress")[rows.row]
    for number, name in enumerate(values):
        mine = index[rows.row] == number
        if name is None or not mine.any():
            continue
        if name in known:
            blocks = PrefixSet(known[name].blocks)
            ends = [log.address[end][rows.row] for end in ("srcaddr", "dstaddr")]
            inside = [blocks.covers(end[:, 0], end[:, 1]) for end in ends]
            at_interface = np.where(egress, inside[0], inside[1])
            keep &= ~mine | (at_interface if "flow-direction" in log.columns else inside[0] | inside[1])
        elif by_id and name.startswith("vpc-"):
            keep &= ~mine
    return keep


def _traffic_paths(rows: JoinedRows, log: FlowLog, flows: Flows, network: Network) -> list[Evidence]:
    high = np.where(rows.from_server, flows.client_high[rows.flow], flows.server_high[rows.flow])
    low = np.where(rows.from_server, flows.client_low[rows.flow], flows.server_low[rows.flow])
    public = is_public(high, low)
    home = network.home.covers(high, low)
    in_vpc = network.vpcs.covers(high, low) & ~home
    trail = log.number["traffic-path"][rows.row].astype(np.int64)
    trail[log.is_value("flow-direction", "ingress")[rows.row]] = -1
    hop = {name: log.is_value("next-hop-interface-type", name)[rows.row] for name in (*NAT_GATEWAYS, "transit_gateway")}
    nat = hop["nat_gateway"] | hop["regional_nat_gateway"]
    transit = hop["transit_gateway"] | (log.is_value("interface-type", "transit_gateway")[rows.row] & (trail < 0))
    near_high = np.where(rows.from_server, flows.server_high[rows.flow], flows.client_high[rows.flow])
    near_low = np.where(rows.from_server, flows.server_low[rows.flow], flows.client_low[rows.flow])
    # Out of the VPC to the site, and from there on to somebody else: by which way nothing here shows.
    onward = public & ~home & ~network.home.covers(near_high, near_low)
    may_be_served, served = _by_gateway_endpoints(rows, flows, network)
    meanings = [
        (transit & in_vpc, "vpc", "the next hop is a transit gateway, to another VPC"),
        (transit & ~in_vpc & ~public, "private", "the next hop is a transit gateway"),
        (nat & public, "internet", "the next hop is a NAT gateway"),
        ((trail == 1) & in_vpc, "vpc", "traffic-path 1, through another resource in the same VPC"),
        ((trail == 2) & public & ~may_be_served, "internet", "traffic-path 2, through an internet gateway"),
        ((trail == 2) & public & served, "vpc", "traffic-path 2, through a gateway endpoint"),
        (
            (trail == 3) & ~in_vpc & ~onward,
            "private",
            "traffic-path 3, through a virtual private gateway: Direct Connect or VPN",
        ),
        ((trail == 4) & ~home, "vpc", "traffic-path 4, through peering within the Region"),
        ((trail == 5) & ~home, "vpc", "traffic-path 5, through peering between Regions"),
        ((trail == 6) & ~in_vpc & ~onward, "private", "traffic-path 6, through a local gateway"),
        # Gateway endpoints lead to services of AWS's alone.
        (
            (trail == 7) & public & ~home & (rows.from_server | flows.server_aws[rows.flow]),
            "vpc",
            "traffic-path 7, through a gateway endpoint",
        ),
        ((trail == 8) & public, "internet", "traffic-path 8, through an internet gateway"),
    ]
    evidence: list[Evidence] = []
    left = np.ones(len(rows.row), bool)
    for mask, path, words in meanings:
        evidence += _evidence(rows.of(mask & left), flows, "flow-log", path, f"flow log: {words}")
        left &= ~mask
    return evidence


def _by_gateway_endpoints(rows: JoinedRows, flows: Flows, network: Network) -> tuple[Array, Array]:
    """Rows that a gateway endpoint may carry, and those for which the account has one: of the service, in the same Region."""
    to = ~rows.from_server & flows.server_aws[rows.flow]
    service, region = flows.service[rows.flow], flows.region[rows.flow]
    served = np.zeros(len(rows.row), bool)
    for endpoint in network.topology.endpoint:
        if endpoint.service in GATEWAY_ENDPOINTS and not endpoint.addresses:
            served |= (service == endpoint.service) & ((region == endpoint.region) | (endpoint.region is None))
    return to & is_one_of(service, GATEWAY_ENDPOINTS), to & served


def _evidence(
    rows: JoinedRows, flows: Flows, kind: str, path: str, words: str, link: str | None = None
) -> list[Evidence]:
    evidence = []
    for direction, this in (("client", ~rows.from_server), ("server", rows.from_server)):
        mask = np.zeros(len(flows), bool)
        mask[rows.flow[this]] = True
        mask &= flows.ways[direction].seen
        if mask.any():
            evidence.append(Evidence(mask, direction, kind, path, LIKELY, f"{words}{rows.how}", link))
    return evidence


def _attachments(rows: JoinedRows, log: FlowLog, flows: Flows, network: Network) -> list[Evidence]:
    """What chains of transit gateway rows say, by the attachments that are on them."""
    attachments = {item.name: item for item in network.topology.attachment}
    columns = [log.text[name] for name in ("tgw-attachment-id", "tgw-pair-attachment-id")]
    if not attachments or not any(values for values, _ in columns):
        return []
    side = 2 * rows.flow + rows.from_server
    count = 2 * len(flows)
    on: dict[str, Array] = {}  # kind of an edge -> how many of its attachments are on each side's chain
    passing = []  # (attachment, sides whose chain it is on)
    vpcs, inner = np.zeros(count, np.int64), np.zeros(count, np.int64)
    unknown = np.zeros(count, bool)
    for name in sorted({n for values, _ in columns for n in values if n is not None}):
        there = np.zeros(count, bool)
        for values, index in columns:
            if name in values:
                there[side[index[rows.row] == values.index(name)]] = True
        attachment = attachments.get(name)
        if attachment is None:
            unknown |= there
        elif attachment.kind in EDGES:
            on[attachment.kind] = on.get(attachment.kind, np.zeros(count, np.int64)) + there
            passing.append((attachment, there))
        elif attachment.kind in WITHIN:
            inner += there
            vpcs += there & (attachment.kind == "vpc")
    edges = np.sum([number > 0 for number in on.values()], axis=0) if on else np.zeros(count, np.int64)
    evidence: list[Evidence] = []
    for attachment, there in passing:
        path, words = EDGES[attachment.kind]
        alone = there & (edges == 1)
        text = f"transit gateway flow log: attachment {attachment.name} is {words}"
        link = attachment.link if int(on[attachment.kind].max()) == 1 else None
        evidence += _on_sides(alone, flows, rows, path, text, link)
    text = "transit gateway flow log: attachments of Direct Connect and of VPNs"
    evidence += _on_sides(edges > 1, flows, rows, "private", text, None)
    # Rows of some attachments alone do not show the edge: not of an on-premises end, nor what lies behind a peering.
    home, in_vpc = (
        np.array([some.covers(*flows.end(end)) for end in DIRECTIONS]) for some in (network.home, network.vpcs)
    )
    within = (vpcs >= 2) | ((inner >= 2) & np.repeat(in_vpc.all(axis=0), 2))
    # What leaves for a public address from one VPC by another goes on by that one's NAT gateway or firewall.
    onward = np.any(
        [is_public(*flows.end(end)) & ~inside for end, inside in zip(DIRECTIONS, in_vpc, strict=True)], axis=0
    )
    within &= (edges == 0) & ~unknown & ~np.repeat(home.any(axis=0) | onward, 2)
    text = "transit gateway flow log: from VPC to VPC"
    evidence += _on_sides(within, flows, rows, "vpc", text, None)
    return evidence


def _on_sides(sides: Array, flows: Flows, rows: JoinedRows, path: str, text: str, link: str | None) -> list[Evidence]:
    evidence = []
    for number, direction in enumerate(("client", "server")):
        mask = sides.reshape(-1, 2)[:, number] & flows.ways[direction].seen
        if mask.any():
            evidence.append(Evidence(mask, direction, "attachment", path, LIKELY, f"{text}{rows.how}", link))
    return evidence
