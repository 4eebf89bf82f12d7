"""What the AWS command line says of an account, as JSON files, read into a topology.

Each file is the output of one command as it is; the commands are distinguished by their top-level keys. Keys of BGP
sessions, pre-shared keys and router configurations are never taken over.
"""

import json
from pathlib import Path
from typing import Any

from auditor.capture import folders
from auditor.capture.compression import unpacked
from auditor.errors import InputError, TopologyError
from auditor.paths.topology import Topology
from auditor.settings import validated

Rows = list[dict[str, Any]]
GONE = {"deleted", "deleting", "rejected", "failed"}

# Top-level key -> the command that prints it.
COMMANDS = {
    "virtualInterfaces": "directconnect describe-virtual-interfaces",
    "connections": "directconnect describe-connections",
    "lags": "directconnect describe-lags",
    "directConnectGateways": "directconnect describe-direct-connect-gateways",
    "directConnectGatewayAttachments": "directconnect describe-direct-connect-gateway-attachments",
    "directConnectGatewayAssociations": "directconnect describe-direct-connect-gateway-associations",
    "routes": "directconnect list-virtual-interface-routes",
    "VpcEndpoints": "ec2 describe-vpc-endpoints",
    "NetworkInterfaces": "ec2 describe-network-interfaces",
    "TransitGatewayAttachments": "ec2 describe-transit-gateway-attachments",
    "VpnConnections": "ec2 describe-vpn-connections",
    "Vpcs": "ec2 describe-vpcs",
    "Subnets": "ec2 describe-subnets",
    "VpnGateways": "ec2 describe-vpn-gateways",
}
# Outputs that are right to have in such a folder, and say nothing that is used.
UNUSED = {
    "virtualGateways",
    "locations",
    "loa",
    "resourceTags",
    "FlowLogs",
    "TransitGateways",
    "TransitGatewayVpcAttachments",
    "TransitGatewayRouteTables",
    "RouteTables",
    "NatGateways",
    "InternetGateways",
    "CustomerGateways",
    "Addresses",
    "SecurityGroups",
    "NetworkAcls",
    "ManagedPrefixLists",
    "PrefixLists",
    "VpcPeeringConnections",
    "Regions",
}

NOT_USED = "not the output, as JSON, of a command that says where traffic goes; these do: " + ", ".join(
    COMMANDS.values()
)
MOST_NAMED = 5


class Account:
    """The rows of all files, by top-level key."""

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {key: [] for key in COMMANDS}
        self.others: list[Path] = []  # files that are not used

    def add(self, path: Path) -> None:
        """Take in one file. Raises TopologyError naming it."""
        if {".yaml", ".yml"} & set(path.suffixes):
            self.others.append(path)
            return
        try:
            data = json.loads(unpacked(path))
        except InputError as error:
            raise TopologyError(str(error)) from error
        except ValueError as error:
            raise TopologyError(f"{path}: not JSON: {error}") from error
        keys = [key for key in COMMANDS if isinstance(data, dict) and isinstance(data.get(key), list)]
        if not keys and isinstance(data, dict) and UNUSED & set(data):
            return
        if not keys:
            self.others.append(path)
            return
        for key in keys:
            rows = data[key]
            if not all(isinstance(row, dict) for row in rows):
                raise TopologyError(f"{path}: {key}: not a list of objects, as aws {COMMANDS[key]} prints")
            if key == "routes":
                if not isinstance(data.get("virtualInterfaceId"), str):
                    raise TopologyError(f"{path}: virtualInterfaceId is missing: whose routes are these?")
                rows = [{**row, "virtualInterfaceId": data["virtualInterfaceId"]} for row in rows]
            self.rows[key] += rows

    def topology(self) -> Topology:
        """All of it as a topology."""
        return validated(
            Topology,
            {
                "virtual_interface": self._virtual_interfaces(),
                "vpn": self._vpns(),
                "vpc": self._vpcs(),
                "endpoint": self._endpoints(),
                "attachment": self._attachments(),
            },
        )

    def _virtual_interfaces(self) -> Rows:
        encryption = {
            row["connectionId"]: row.get("portEncryptionStatus")
            for row in self.rows["connections"]
            if row.get("connectionId") and row.get("encryptionMode", "no_encrypt") != "no_encrypt"
        }
        advertised: dict[str, list[str]] = {}
        accepted: dict[str, list[str]] = {}
        for route in self.rows["routes"]:
            kind = advertised if route.get("routeDirection") == "advertised" else accepted
            if route.get("cidr"):
                kind.setdefault(route["virtualInterfaceId"], []).append(route["cidr"])
        behind = self._behind_gateways()
        sections = []
        for row in self.rows["virtualInterfaces"]:
            gateway = row.get("directConnectGatewayId") or row.get("virtualGatewayId") or ""
            name = row.get("virtualInterfaceId")
            if not name or row.get("virtualInterfaceState") in GONE:
                continue
            peers = [row, *row.get("bgpPeers", [])]
            filters = [p["cidr"] for p in row.get("routeFilterPrefixes") or [] if p.get("cidr")]
            section: dict[str, Any] = {
                "name": name,
                "kind": row.get("virtualInterfaceType", "private"),
                "vlan": row.get("vlan"),
                "peer_address": _distinct(peer.get("amazonAddress") for peer in peers),
                "own_address": _distinct(peer.get("customerAddress") for peer in peers),
                "prefixes": advertised.get(name) or behind.get(gateway, []),
                "sources": _distinct([*filters, *accepted.get(name, [])]),
                "state": _state_of(row),
                "region": row.get("region"),
                "gateway": gateway,
                "macsec": encryption.get(row.get("connectionId")),
            }
            sections.append({key: value for key, value in section.items() if value not in (None, [], "")})
        return sections

    def _behind_gateways(self) -> dict[str, list[str]]:
        """What each gateway leads to: prefixes allowed towards a Direct Connect gateway, VPCs behind a private one."""
        vpcs = {row["name"]: row["prefixes"] for row in self._vpcs()}
        leads_to: dict[str, list[str]] = {}
        for row in self.rows["TransitGatewayAttachments"]:
            if row.get("ResourceType") == "vpc" and row.get("TransitGatewayId") and row.get("State") not in GONE:
                leads_to.setdefault(row["TransitGatewayId"], []).extend(vpcs.get(row.get("ResourceId", ""), []))
        for row in self.rows["directConnectGatewayAssociations"]:
            allowed = [p["cidr"] for p in row.get("allowedPrefixesToDirectConnectGateway") or [] if p.get("cidr")]
            if row.get("directConnectGatewayId") and row.get("associationState", "associated") == "associated":
                leads_to.setdefault(row["directConnectGatewayId"], []).extend(allowed)
        for row in self.rows["VpnGateways"]:
            attached = [a for a in row.get("VpcAttachments") or [] if a.get("State", "attached") == "attached"]
            if row.get("VpnGatewayId"):
                prefixes = [p for a in attached for p in vpcs.get(a.get("VpcId"), [])]
                leads_to.setdefault(row["VpnGatewayId"], []).extend(prefixes)
        return {gateway: _distinct(prefixes) for gateway, prefixes in leads_to.items()}

    def _vpns(self) -> Rows:
        sections = []
        behind = self._behind_gateways()
        for row in self.rows["VpnConnections"]:
            options = row.get("Options") or {}
            tunnels = options.get("TunnelOptions") or []
            telemetry = row.get("VgwTelemetry") or []
            outside = _distinct([t.get("OutsideIpAddress") for t in tunnels + telemetry])
            # AWS sends what it has static routes for, and the site what lies behind the gateway.
            routes = [r.get("DestinationCidrBlock") for r in row.get("Routes") or [] if r.get("State") != "deleted"]
            prefixes = behind.get(row.get("VpnGatewayId") or row.get("TransitGatewayId") or "", [])
            if not row.get("VpnConnectionId") or row.get("State") in GONE or not (outside or prefixes):
                continue
            section: dict[str, Any] = {
                "name": row["VpnConnectionId"],
                "outside": outside,
                "prefixes": prefixes,
                "sources": _distinct(routes),
            }
            if row.get("State", "available") != "available":
                section["state"] = row["State"]
            elif telemetry and all(t.get("Status") == "DOWN" for t in telemetry):
                section["state"] = "down"
            if options.get("OutsideIpAddressType") == "PrivateIpv4":
                section["over"] = "Direct Connect"  # private outside addresses: a VPN over a transit virtual interface
            sections.append(section)
        return sections

    def _vpcs(self) -> Rows:
        region = {
            row.get("VpcId"): row["AvailabilityZone"].rstrip("abcdef")
            for row in self.rows["Subnets"]
            if row.get("AvailabilityZone")
        }
        sections = []
        for row in self.rows["Vpcs"]:
            sets = [*(row.get("CidrBlockAssociationSet") or []), *(row.get("Ipv6CidrBlockAssociationSet") or [])]
            sets = [s for s in sets if _block_state(s) in (None, "associated", "associating")]
            prefixes = _distinct([row.get("CidrBlock"), *(s.get("CidrBlock") or s.get("Ipv6CidrBlock") for s in sets)])
            if row.get("VpcId") and prefixes:
                section = {"name": row["VpcId"], "prefixes": prefixes, "region": region.get(row["VpcId"])}
                sections.append({key: value for key, value in section.items() if value is not None})
        return sections

    def _endpoints(self) -> Rows:
        addresses: dict[str, list[str]] = {}
        for row in self.rows["NetworkInterfaces"]:
            listed = [
                row.get("PrivateIpAddress"),
                *(p.get("PrivateIpAddress") for p in row.get("PrivateIpAddresses") or []),
            ]
            listed += [p.get("Ipv6Address") for p in row.get("Ipv6Addresses") or []]
            if row.get("NetworkInterfaceId"):
                addresses[row["NetworkInterfaceId"]] = _distinct(listed)
        sections = []
        for row in self.rows["VpcEndpoints"]:
            if not row.get("VpcEndpointId") or str(row.get("State", "")).lower() in GONE:
                continue
            region, service = endpoint_service(row.get("ServiceName", ""))
            section = {
                "name": row["VpcEndpointId"],
                "addresses": _distinct(a for i in row.get("NetworkInterfaceIds") or [] for a in addresses.get(i, [])),
                "service": service,
                "region": region,
                "vpc": row.get("VpcId"),
                "private_dns": bool(row.get("PrivateDnsEnabled")),
            }
            sections.append({key: value for key, value in section.items() if value is not None})
        return sections

    def _attachments(self) -> Rows:
        behind: dict[str, list[str]] = {}
        for row in self.rows["virtualInterfaces"]:
            if row.get("directConnectGatewayId"):
                behind.setdefault(row["directConnectGatewayId"], []).append(row.get("virtualInterfaceId", ""))
        for row in self.rows["directConnectGatewayAttachments"]:
            if row.get("directConnectGatewayId"):
                behind.setdefault(row["directConnectGatewayId"], []).append(row.get("virtualInterfaceId", ""))
        sections = []
        for row in self.rows["TransitGatewayAttachments"]:
            name, kind, resource = row.get("TransitGatewayAttachmentId"), row.get("ResourceType"), row.get("ResourceId")
            if not name or not kind or row.get("State") in GONE:
                continue
            section: dict[str, Any] = {"name": name, "kind": kind}
            links = _distinct(behind.get(resource or "", []))
            if kind == "vpn" and resource:
                section["link"] = resource
            elif kind == "direct-connect-gateway" and len(links) == 1:
                section["link"] = links[0]  # several: the gateway does not say which one
            sections.append(section)
        return sections


def _state_of(row: dict[str, Any]) -> str | None:
    """A virtual interface's state; "BGP down" where it is available, and none of its sessions stands."""
    state: str | None = row.get("virtualInterfaceState")
    status = [peer.get("bgpStatus") for peer in row.get("bgpPeers") or []]
    if state == "available" and status and all(one == "down" for one in status):
        return "BGP down"
    return state


def _block_state(block: dict[str, Any]) -> str | None:
    state = block.get("CidrBlockState") or block.get("Ipv6CidrBlockState") or {}
    text: str | None = state.get("State")
    return text


def _distinct(values: Any) -> list[Any]:
    return [value for value in dict.fromkeys(values) if value]


def endpoint_service(name: str) -> tuple[str | None, str | None]:
    """Region and service of an endpoint service's name, as com.amazonaws.us-east-1.pinpoint (AWS PrivateLink guide)."""
    parts = name.split(".")
    at = next((k for k, part in enumerate(parts) if part == "amazonaws"), None)
    if at is None or len(parts) < at + 3:
        return None, None
    service = ".".join(parts[at + 2 :])
    renamed = {"pinpoint-sms-voice-v2": "sms-voice", "email-smtp": "ses-smtp", "email": "ses"}
    return parts[at + 1], renamed.get(service, service)


def read(folder: str | Path, notes: list[str] | None = None) -> Topology:
    """The topology that the JSON files of a folder describe. Raises TopologyError naming the file and what is wrong.

    What else AWS's command line printed into the folder is no error: ``notes`` gets a sentence of it.
    """
    path = Path(folder)
    if path.is_dir():
        files = folders.files(path, lambda file: bool({".json", ".yaml", ".yml"} & set(file.suffixes)))
    else:
        files = [(path, folders.refusal(path))]
    if not files:
        raise TopologyError(
            f"{folder}: no JSON file is there; audit topology fetch writes them, or: aws {COMMANDS['virtualInterfaces']} > vifs.json"
        )
    from pydantic import ValidationError

    account = Account()
    for file, refusal in files:
        if refusal is not None:
            raise TopologyError(f"{file}: {refusal}")
        account.add(file)
    if not any(account.rows.values()) and len(account.others) == len(files):
        raise TopologyError(f"{account.others[0]}: {NOT_USED}")
    if account.others and notes is not None:
        named = ", ".join(file.name for file in account.others[:MOST_NAMED])
        more = f" and {len(account.others) - MOST_NAMED} more" if len(account.others) > MOST_NAMED else ""
        notes.append(f"{folder}: {named}{more}: {NOT_USED}")
    try:
        return account.topology()
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise TopologyError(f"{folder}: {place}: {first['msg']}") from problem
