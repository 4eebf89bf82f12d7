"""What the gateways of an account lead to: prefixes allowed towards a Direct Connect gateway, VPCs behind a private one."""

from collections.abc import Callable, Iterable
from typing import Any

from auditor.border import rows
from auditor.paths.aws_states import GONE, Lists, Row, distinct, text
from auditor.prefixes import Prefix, parse

Each = Callable[[str, Callable[[Row], None]], Any]  # reads the rows of a command
ASSOCIATED = {"associated", "updating"}  # what an update does not change goes on (Direct Connect User Guide)


def behind(each: Each, vpcs: dict[str, list[str]]) -> Lists:
    """The prefixes behind each gateway; ``vpcs``: those of each VPC."""
    leads_to = Lists()

    def attached(row: Row) -> None:
        gateway = text(row, "TransitGatewayId")
        if row.get("ResourceType") == "vpc" and gateway and row.get("State") not in GONE:
            leads_to.add(gateway, vpcs.get(text(row, "ResourceId") or "", []))

    def private(row: Row) -> None:
        some = [a for a in rows.objects(row, "VpcAttachments") if a.get("State", "attached") == "attached"]
        if gateway := text(row, "VpnGatewayId"):
            leads_to.add(gateway, [p for a in some for p in vpcs.get(text(a, "VpcId") or "", [])])

    def associated(row: Row) -> None:
        allowed = [p["cidr"] for p in rows.objects(row, "allowedPrefixesToDirectConnectGateway") if text(p, "cidr")]
        gateway, other = text(row, "directConnectGatewayId"), rows.member(row, "associatedGateway", dict)
        if not gateway or row.get("associationState", "associated") not in ASSOCIATED:
            return
        name = text(other, "id") or text(row, "virtualGatewayId") or ""
        if other.get("type") == "transitGateway":
            leads_to.add(gateway, allowed)
            leads_to.add(name, allowed)  # so does a VPN that ends on it
        else:
            leads_to.add(gateway, _advertised(leads_to.get(name, []), allowed))

    each("TransitGatewayAttachments", attached)
    each("VpnGateways", private)
    each("directConnectGatewayAssociations", associated)
    return Lists({gateway: distinct(prefixes) for gateway, prefixes in leads_to.items()})


def _advertised(blocks: Iterable[str], allowed: list[str]) -> list[str]:
    """What of the VPC behind a virtual private gateway is advertised: its blocks, each where one as wide is allowed.

    What is allowed only filters there (Direct Connect User Guide, Allowed prefixes interactions). Where the VPC is not
    known it is all that is.
    """
    known = list(blocks)
    if not known or not allowed:
        return known or allowed
    wide = [parse(prefix) for prefix in allowed]
    return [block for block in known if any(_covers(one, parse(block)) for one in wide)]


def _covers(wide: Prefix, block: Prefix) -> bool:
    shift = (32 if wide[0] == 4 else 128) - wide[2]
    return wide[0] == block[0] and wide[2] <= block[2] and wide[1] >> shift == block[1] >> shift
