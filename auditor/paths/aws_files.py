"""What the AWS command line says of an account, as JSON files, read into a topology.

Each file is the output of one command as it is; the commands are distinguished by their top-level keys. Keys of BGP
sessions, pre-shared keys and router configurations are never taken over.
"""

import re
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from auditor.border import gate, rows
from auditor.border.rows import Taken
from auditor.capture import folders
from auditor.capture.compression import allowed
from auditor.errors import InputError, TopologyError, shown
from auditor.machine.memory import Allowance
from auditor.paths import aws_gateways, aws_states
from auditor.paths.aws_commands import COMMANDS, NOT_USED, OTHER_OUTPUTS, UNUSED
from auditor.paths.aws_states import GONE, Lists, distinct, text
from auditor.paths.topology import Attachment, Topology, VirtualInterface, Vpc, VpcEndpoint, Vpn
from auditor.settings import checked

T = TypeVar("T")
Row = dict[str, Any]
Rows = list[Row]

MOST_NAMED = 5
VPN_GATEWAYS = ("VpnGatewayId", "TransitGatewayId", "CoreNetworkArn")  # what a VPN ends on (EC2 API, VpnConnection)
REGION = re.compile(r"[a-z]+(?:-[a-z]+)+-\d+")
TOKENS = ("nextToken", "NextToken")  # members that say where the next page begins
FACTOR = 24  # bytes of memory that a byte of JSON becomes, of many small values


class Account:
    """The rows of all files, by top-level key; ``allowance`` is the memory that they may be read into."""

    def __init__(self, allowance: Allowance | None = None) -> None:
        self._allowance = allowance or Allowance()
        self.rows: dict[str, Rows] = {key: [] for key in COMMANDS}
        self.others: list[Path] = []  # files that are not used
        self.wrong: dict[str, str] = {}  # what of the rows cannot be read, in words
        self._last_page: dict[str, bool] = {}  # whether the last page of a command's output is there

    def add(self, path: Path) -> None:
        """Take in one file. Raises TopologyError naming it."""
        if OTHER_OUTPUTS & set(path.suffixes):
            self.others.append(path)
            return
        try:
            data = gate.in_utf8(allowed(path, self._allowance, FACTOR))
        except InputError as error:
            raise TopologyError(str(error)) from error
        if data.lstrip()[:1] not in (b"{", b"["):  # YAML, text, an error's message, nothing at all
            self.others.append(path)
            return
        try:
            pages = _values(data)
        except gate.RefusedError as error:
            raise TopologyError(f"{shown(path)}: {error}; aws writes JSON with --output json") from error
        known = [self._take(path, page) for page in pages]
        if not any(known):
            self.others.append(path)

    def _take(self, path: Path, data: Any) -> bool:
        """Take in what one command printed. Whether it is known."""
        if not isinstance(data, dict):
            return False
        lists = {key: rows for key in COMMANDS if (rows := _list(key, data)) is not None}
        if [*lists] == ["routes"] and not all(
            isinstance(row, dict) and "routeDirection" in row for row in lists["routes"]
        ):
            return False  # as many other tools call theirs
        for key, listed in lists.items():
            if not all(isinstance(row, dict) for row in listed):
                raise TopologyError(f"{shown(path)}: {key}: not a list of objects, as aws {COMMANDS[key]} prints")
            if key == "routes":
                if not isinstance(data.get("virtualInterfaceId"), str):
                    raise TopologyError(f"{shown(path)}: virtualInterfaceId is missing: whose routes are these?")
                self.rows[key] += [{**row, "virtualInterfaceId": data["virtualInterfaceId"]} for row in listed]
            else:
                self.rows[key] += listed
            self._last_page[key] = self._last_page.get(key, False) or not any(data.get(token) for token in TOKENS)
        return bool(lists) or not UNUSED.isdisjoint(data)

    def unfinished(self) -> Iterable[str]:
        """Commands of which the last page is missing, a sentence each."""
        for key, last in self._last_page.items():
            if not last:
                yield f"{key}: one page of several (nextToken): get the others too, as aws {COMMANDS[key]} does by itself"

    def topology(self) -> Topology:
        """All of it as a topology. Raises TopologyError where nothing of it can be read, or links have one name."""
        sections: dict[str, tuple[Any, ...]] = {
            "virtual_interface": self._sections("virtualInterfaces", self._virtual_interface, VirtualInterface),
            "vpn": self._sections("VpnConnections", self._vpn, Vpn)
            + self._sections("ClientVpnEndpoints", self._client_vpn, Vpn),
            "vpc": self._sections("Vpcs", self._vpc, Vpc),
            "endpoint": self._sections("VpcEndpoints", self._endpoint, VpcEndpoint),
            "attachment": self._sections("TransitGatewayAttachments", self._attachment, Attachment),
        }
        if self.wrong and not any(sections.values()):
            raise ValueError(next(iter(self.wrong.values())))
        return Topology(**sections)

    def _each(self, key: str, read: Callable[[Row], T | None]) -> Taken[T]:
        """What ``read`` makes of the rows of a command; those that it cannot read are reported."""
        taken = rows.each(read, self.rows[key])
        if (words := taken.words(f"row of {key}", f"rows of {key}")) is not None:
            self.wrong[key] = words
        return taken

    def _sections(self, key: str, read: Callable[[Row], Row | None], model: type[T]) -> tuple[T, ...]:
        """The sections of a topology that rows of a command are."""

        def section(row: Row) -> T | None:
            values = read(row)
            return None if values is None else checked(model, {k: v for k, v in values.items() if v is not None})

        by_name: dict[str, list[T]] = {}
        for one in dict.fromkeys(self._each(key, section)):  # accounts that share something list it each
            by_name.setdefault(getattr(one, "name", ""), []).append(one)
        if differing := [name for name, some in by_name.items() if len(some) > 1]:
            self.wrong[f"{key} twice"] = (
                f"{key}: rows of {', '.join(differing[:MOST_NAMED])} differ, of which one is used"
            )
        # Where one of them is down the other may be of an earlier time.
        return tuple(next((o for o in some if not getattr(o, "is_up", True)), some[0]) for some in by_name.values())

    @cached_property
    def _encryption(self) -> dict[str, str]:
        """How the ports of connections with MACsec are."""

        def pair(row: Row) -> tuple[str, str] | None:
            if not text(row, "connectionId") or text(row, "encryptionMode") in (None, "no_encrypt"):
                return None
            status = text(row, "portEncryptionStatus")
            return (row["connectionId"], status) if status else None

        return dict(self._each("connections", pair))

    @cached_property
    def _down(self) -> tuple[dict[str, str], set[str]]:
        """Connections and LAGs that carry nothing, and virtual interfaces without a gateway."""
        down = self._each("connections", partial(aws_states.port, "connection", "connection"))
        down += self._each("lags", partial(aws_states.port, "LAG", "lag"))
        attachments = self._each("directConnectGatewayAttachments", aws_states.attachment)
        standing = {name for name, stands in attachments if stands}
        return dict(down), {name for name, _ in attachments} - standing

    @cached_property
    def _announced(self) -> tuple[Lists, Lists]:
        """Prefixes that AWS advertises over each virtual interface, and those that it accepts."""
        advertised, accepted = Lists(), Lists()

        def add(row: Row) -> None:
            if prefix := text(row, "cidr"):
                kind = advertised if row.get("routeDirection") == "advertised" else accepted
                kind.add(row["virtualInterfaceId"], [prefix])

        self._each("routes", add)
        return advertised, accepted

    def _virtual_interface(self, row: Row) -> Row | None:
        gateway = text(row, "directConnectGatewayId") or text(row, "virtualGatewayId") or ""
        name = text(row, "virtualInterfaceId")
        if not name or row.get("virtualInterfaceState") in GONE:
            return None
        peers = [row, *rows.objects(row, "bgpPeers")]
        filters = [p["cidr"] for p in rows.objects(row, "routeFilterPrefixes") if text(p, "cidr")]
        advertised, accepted = self._announced
        prefixes = advertised.get(name) or self._behind_gateways.get(gateway, [])
        carried = aws_states.families(row)
        section: Row = {
            "name": name,
            "kind": row.get("virtualInterfaceType", "private"),
            "vlan": row.get("vlan"),
            "peer_address": distinct(text(peer, "amazonAddress") for peer in peers),
            "own_address": distinct(text(peer, "customerAddress") for peer in peers),
            "prefixes": [prefix for prefix in prefixes if (":" in prefix) in carried],
            "sources": distinct(p for p in accepted.get(name) or filters if (":" in p) in carried),
            "state": aws_states.of_interface(row, *self._down),
            "region": row.get("region"),
            "gateway": gateway,
            "macsec": self._encryption.get(text(row, "connectionId") or ""),
        }
        return {key: value for key, value in section.items() if value not in ([], "")}

    @cached_property
    def _behind_gateways(self) -> Lists:
        """What each gateway leads to."""
        vpcs = {vpc.name: list(vpc.prefixes) for vpc in self._sections("Vpcs", self._vpc, Vpc)}
        return aws_gateways.behind(self._each, vpcs)

    def _vpn(self, row: Row) -> Row | None:
        options, telemetry = rows.member(row, "Options", dict), rows.objects(row, "VgwTelemetry")
        tunnels = rows.objects(options, "TunnelOptions")
        outside = distinct([text(t, "OutsideIpAddress") for t in tunnels + telemetry])
        # AWS sends what it has static routes for, and the site what lies behind the gateway.
        routes = [text(r, "DestinationCidrBlock") for r in rows.objects(row, "Routes") if r.get("State") != "deleted"]
        gateway = next(filter(None, (text(row, name) for name in VPN_GATEWAYS)), None)
        prefixes = self._behind_gateways.get(gateway or "", [])
        name = text(row, "VpnConnectionId")
        if not name or row.get("State") in GONE or not (outside or gateway):
            return None
        section: Row = {
            "name": name,
            "outside": outside,
            "prefixes": prefixes,
            "sources": distinct(routes),
            "gateway": gateway,
        }
        if row.get("State", "available") != "available":
            section["state"] = row["State"]
        elif row.get("GatewayAssociationState") == "not-associated":
            section["state"] = "down"  # no gateway at AWS's end
        elif telemetry and all(t.get("Status") == "DOWN" for t in telemetry):
            section["state"] = "down"
        if options.get("OutsideIpAddressType") == "PrivateIpv4":
            section["over"] = "Direct Connect"  # private outside addresses: a VPN over a transit virtual interface
        return section

    def _client_vpn(self, row: Row) -> Row | None:
        """Its clients' addresses are at no site, however wide a prefix the owner gives for his own."""
        name, pool = text(row, "ClientVpnEndpointId"), text(row, "ClientCidrBlock")
        gone = rows.member(row, "Status", dict).get("Code") in GONE
        return {"name": name, "prefixes": [pool]} if name and pool and not gone else None

    @cached_property
    def _regions(self) -> dict[str, str]:
        """The Region of each VPC, by its subnets."""

        def pair(row: Row) -> tuple[str, str] | None:
            zone, vpc = text(row, "AvailabilityZone"), text(row, "VpcId")
            region = REGION.match(zone or "")  # zones of a Region, and local ones such as us-west-2-lax-1a
            return (vpc, region[0]) if region and vpc else None

        return dict(self._each("Subnets", pair))

    def _vpc(self, row: Row) -> Row | None:
        sets = [*rows.objects(row, "CidrBlockAssociationSet"), *rows.objects(row, "Ipv6CidrBlockAssociationSet")]
        sets = [s for s in sets if _block_state(s) in (None, "associated", "associating")]
        blocks = (text(s, "CidrBlock") or text(s, "Ipv6CidrBlock") for s in sets)
        prefixes, name = distinct([text(row, "CidrBlock"), *blocks]), text(row, "VpcId")
        return {"name": name, "prefixes": prefixes, "region": self._regions.get(name)} if name and prefixes else None

    @cached_property
    def _addresses(self) -> dict[str, list[str]]:
        """The addresses of each network interface."""

        def pair(row: Row) -> tuple[str, list[str]] | None:
            listed = [text(row, "PrivateIpAddress")]
            listed += [text(p, "PrivateIpAddress") for p in rows.objects(row, "PrivateIpAddresses")]
            listed += [text(p, "Ipv6Address") for p in rows.objects(row, "Ipv6Addresses")]
            name = text(row, "NetworkInterfaceId")
            return (name, distinct(listed)) if name else None

        return dict(self._each("NetworkInterfaces", pair))

    def _endpoint(self, row: Row) -> Row | None:
        name = text(row, "VpcEndpointId")
        if not name or str(row.get("State", "")).lower() in GONE:
            return None
        region, service = endpoint_service(text(row, "ServiceName") or "")
        interfaces = map(rows.text, rows.member(row, "NetworkInterfaceIds", list))
        return {
            "name": name,
            "addresses": distinct(a for i in interfaces for a in self._addresses.get(i, [])),
            "service": service,
            "region": region,
            "vpc": row.get("VpcId"),
            "private_dns": bool(row.get("PrivateDnsEnabled")),
        }

    @cached_property
    def _behind_attachments(self) -> Lists:
        """The virtual interfaces behind each Direct Connect gateway."""
        behind = Lists()

        def add(row: Row) -> None:
            if gateway := text(row, "directConnectGatewayId"):
                behind.add(gateway, [text(row, "virtualInterfaceId") or ""])

        self._each("virtualInterfaces", add)
        self._each("directConnectGatewayAttachments", add)
        return behind

    def _attachment(self, row: Row) -> Row | None:
        name, kind = text(row, "TransitGatewayAttachmentId"), text(row, "ResourceType")
        resource = text(row, "ResourceId")
        if not name or not kind or row.get("State") in GONE:
            return None
        section: Row = {"name": name, "kind": kind}
        links = distinct(self._behind_attachments.get(resource or "", []))
        if kind == "vpn" and resource:
            section["link"] = resource
        elif kind == "direct-connect-gateway" and len(links) == 1:
            section["link"] = links[0]  # several: the gateway does not say which one
        return section


def _values(data: bytes) -> list[Any]:
    """The JSON values of a file: one, or several behind each other, as of pages or commands. Raises RefusedError."""
    try:
        return [gate.from_json(data)]
    except gate.RefusedError:
        lines = list(gate.json_lines(data))
        if any(line.wrong is not None for line in lines):
            raise
        return [line.value for line in lines]


def _list(key: str, data: Row) -> list[Any] | None:
    """The rows that a command printed; EC2's commands may print one as it is (AWS CLI, describe-vpn-connections)."""
    listed = data.get(key)
    if isinstance(listed, dict) and key[0].isupper():
        return [listed]
    return listed if isinstance(listed, list) else None


def _block_state(block: dict[str, Any]) -> str | None:
    state = rows.member(block, "CidrBlockState", dict) or rows.member(block, "Ipv6CidrBlockState", dict)
    return (text(state, "State") or "").lower() or None  # in capitals in the documentation


def endpoint_service(name: str) -> tuple[str | None, str | None]:
    """Region and service of an endpoint service's name, as com.amazonaws.us-east-1.pinpoint (AWS PrivateLink guide)."""
    parts = name.split(".")
    if "amazonaws" not in parts:
        return None, None
    rest = parts[parts.index("amazonaws") + 1 :]
    rest = rest[1:] if rest[:1] == ["vpce"] else rest  # of a customer: com.amazonaws.vpce.us-east-1.vpce-svc-0123
    region = rest.pop(0) if rest and REGION.fullmatch(rest[0]) else None  # none in com.amazonaws.s3-global.accesspoint
    service = ".".join(rest)
    renamed = {"pinpoint-sms-voice-v2": "sms-voice", "email-smtp": "ses-smtp", "email": "ses"}
    return region, renamed.get(service, service) or None


def read(folder: str | Path, notes: list[str] | None = None, allowance: Allowance | None = None) -> Topology:
    """The topology that the JSON files of a folder describe. Raises TopologyError naming the file and what is wrong.

    What else AWS's command line printed into the folder is no error: ``notes`` gets a sentence of it.
    """
    path = Path(folder)
    if folders.is_folder(path):
        files = folders.files(path, lambda file: bool({".json", *OTHER_OUTPUTS} & set(file.suffixes)))
    else:
        files = [(path, folders.refusal(path))]
    if not files:
        raise TopologyError(
            f"{shown(folder)}: no JSON file is there; audit topology fetch writes them, or: aws {COMMANDS['virtualInterfaces']} > vifs.json"
        )
    account = Account(allowance)
    for file, refusal in files:
        if refusal is not None:
            raise TopologyError(f"{shown(file)}: {refusal}")
        account.add(file)
    if not any(account.rows.values()) and len(account.others) == len(files):
        raise TopologyError(f"{shown(account.others[0])}: {NOT_USED}")
    if account.others and notes is not None:
        named = ", ".join(shown(file.name) for file in account.others[:MOST_NAMED])
        more = f" and {len(account.others) - MOST_NAMED} more" if len(account.others) > MOST_NAMED else ""
        notes.append(f"{shown(folder)}: {named}{more}: {NOT_USED}")
    try:
        topology = account.topology()
    except ValueError as problem:
        raise TopologyError(f"{shown(folder)}: {problem}") from problem
    if notes is not None:
        notes += [f"{shown(folder)}: {words}" for words in (*account.wrong.values(), *account.unfinished())]
    return topology
