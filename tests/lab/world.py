"""The imaginary company of the lab: its addresses, routers and links, and builders of frames and inputs."""

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import wire

BEGIN = 1_764_000_000 * wire.SECOND  # nanoseconds
Frame = tuple[int, bytes]  # (time, bytes)

CLIENT, SERVER, ENI = "10.20.1.10", "52.94.244.10", "172.31.5.20"
OWN_PUBLIC = "203.0.113.10"
CLIENT6, SERVER6 = "2001:db8:20::10", "2600:1f70:8000::10"
HOST = "02:00:00:00:00:10"
EDGE = "02:00:00:00:00:01"  # the site's own router
AWS1, AWS2 = "02:aa:00:00:00:01", "02:aa:00:00:00:02"  # AWS's routers at the virtual interfaces
ISP = "02:bb:00:00:00:01"
VPN = "02:cc:00:00:00:01"
NAME = "pinpoint.us-east-1.amazonaws.com"

SITE = '[site]\nname = "hq"\non_premises = ["10.20.0.0/16", "203.0.113.0/24", "2001:db8:20::/48"]\n'
PRIVATE = f"""
[[virtual_interface]]
name = "dxvif-private"
kind = "private"
vlan = 101
peer_mac = "{AWS1}"
"""
PUBLIC = f"""
[[virtual_interface]]
name = "dxvif-public"
kind = "public"
vlan = 102
peer_mac = "{AWS2}"
sources = ["203.0.113.0/28"]
"""
UPLINK = f"""
[[uplink]]
name = "isp"
vlan = 200
peer_mac = "{ISP}"
"""
BACKUP = f"""
[[vpn]]
name = "vpn-backup"
vlan = 300
peer_mac = "{VPN}"
"""
VPC = '[[vpc]]\nname = "vpc-1"\nregion = "us-east-1"\nprefixes = "172.31.0.0/16"\n'


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def tag(vlan: int | tuple[int, ...] | None) -> bytes:
    tags = () if vlan is None else (vlan,) if isinstance(vlan, int) else vlan
    return b"".join(b"\x81\0" + struct.pack(">H", v) for v in tags)


@dataclass(frozen=True)
class Wire:
    """What one direction's frames look like: VLAN tags, and the MAC at this end and at the far one."""

    vlan: int | tuple[int, ...] | None = None
    far: str = EDGE
    near: str = HOST


def tls(name: str = NAME) -> list[tuple[str, bytes]]:
    """A TLS 1.2 handshake with forward secrecy, as far as it is in clear."""
    curve = wire.message(12, b"\x03\0\x1d\x20" + bytes(32) + b"\x04\x03" + struct.pack(">H", 64) + bytes(64))
    answer = wire.server_hello(0xC02F) + curve + wire.message(14, b"")
    done = wire.record(20, b"\x01") + wire.record(22, bytes(40))
    return [
        ("c", wire.record(22, wire.client_hello(name), 0x0301)),
        ("s", wire.record(22, answer)),
        ("c", wire.record(22, wire.message(16, b"\x20" + bytes(32))) + done),
        ("s", done + wire.record(23, bytes(200))),
    ]


def http() -> list[tuple[str, bytes]]:
    request = b"POST /v1/apps HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    return [("c", request), ("s", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]


def talk(
    client: str = CLIENT,
    server: str = SERVER,
    out: Wire | None = None,
    back: Wire | None = None,
    *,
    port: int = 40_000,
    at: float = 0.0,
    flights: Sequence[tuple[str, bytes]] | None = None,
    directions: str = "cs",
    server_port: int = 443,
) -> list[Frame]:
    """A connection, ``at`` seconds after the capture's begin; only its packets of ``directions``."""
    out = out or Wire()
    back = back or out
    connection = wire.Talk(port, server_port, client=client, server=server)
    connection.open().play(tls() if flights is None else flights).close()
    frames = []
    for number, (sender, packet) in enumerate(with_sides(connection)):
        side = out if sender == "c" else back
        ends = mac(side.far) + mac(side.near) if sender == "c" else mac(side.near) + mac(side.far)
        if sender in directions:
            when = BEGIN + int(at * wire.SECOND) + number * 1_000_000
            frames.append((when, ends + tag(side.vlan) + packet[12:]))
    return frames


def with_sides(connection: wire.Talk) -> list[tuple[str, bytes]]:
    """(sender, packet) of a connection's packets."""
    sided = []
    for packet in connection.packets:
        v6 = packet[12:14] == b"\x86\xdd"
        at = 14 + (40 if v6 else (packet[14] & 15) * 4)
        sport = int.from_bytes(packet[at : at + 2], "big")
        sided.append(("c" if sport == connection.ports[0] else "s", packet))
    return sided


def arp(address: str, holder: str, vlan: int | None = None, at: float = 0.0, asker: str = "169.254.96.2") -> Frame:
    """An ARP reply to the other end of the transfer network: ``holder`` has ``address``."""
    import ipaddress

    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2) + mac(holder) + ipaddress.ip_address(address).packed
    body += mac(EDGE) + ipaddress.ip_address(asker).packed
    return BEGIN + int(at * wire.SECOND), mac(EDGE) + mac(holder) + tag(vlan) + b"\x08\x06" + body


def neighbour(address: str, holder: str, vlan: int | None = None) -> Frame:
    """A Neighbor Advertisement."""
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6

    packet = bytes(
        IPv6(src=address, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=address) / ICMPv6NDOptDstLLAddr(lladdr=holder)
    )
    return BEGIN, mac("33:33:00:00:00:01") + mac(holder) + tag(vlan) + b"\x86\xdd" + packet


def in_udp(frames: Iterable[Frame], header: bytes, port: int, source: str, target: str) -> list[Frame]:
    """Frames inside a UDP tunnel such as VXLAN."""
    return [(when, wire.datagram(header + f, 50_000, port, client=source, server=target)) for when, f in frames]


def vxlan(frames: Iterable[Frame], source: str = "172.31.9.9", number: int = 7) -> list[Frame]:
    return in_udp(frames, b"\x08\0\0\0" + number.to_bytes(3, "big") + b"\0", 4789, source, "172.31.9.1")


def geneve(frames: Iterable[Frame]) -> list[Frame]:
    """GENEVE with AWS's options, IP inside (AWS Gateway Load Balancer)."""
    options = struct.pack(">HBBQ", 0x0108, 1, 2, 0x0ABC) + struct.pack(">HBBQ", 0x0108, 2, 2, 5)
    header = bytes([len(options) // 4, 0]) + b"\x08\0" + bytes(4) + options
    return in_udp([(when, f[14:]) for when, f in frames], header, 6081, "172.31.8.1", "172.31.8.2")


def erspan(frames: Iterable[Frame], source: str) -> list[Frame]:
    """ERSPAN II from a switch."""
    from scapy.layers.inet import IP

    encapsulated = []
    for number, (when, f) in enumerate(frames):
        header = struct.pack(">HHI", 0x1000, 0x88BE, number) + struct.pack(">HHI", 0x1000, 1, 0)
        outer = bytes(wire.ETHERNET / IP(src=source, dst="10.9.9.9", proto=47) / (header + f))
        encapsulated.append((when, outer))
    return encapsulated


def gre(frames: Iterable[Frame], source: str, target: str) -> list[Frame]:
    """IP in GRE; answers go the other way."""
    from scapy.layers.inet import IP

    encapsulated = []
    for when, f in frames:
        ends = (source, target) if f[6:12] == mac(HOST) else (target, source)
        packet = bytes(IP(src=ends[0], dst=ends[1], proto=47) / (b"\0\0\x08\0" + f[14:]))
        encapsulated.append((when, f[:12] + b"\x08\0" + packet))
    return encapsulated


def pppoe(frames: Iterable[Frame]) -> list[Frame]:
    encapsulated = []
    for when, f in frames:
        body = f[14:]
        encapsulated.append(
            (when, f[:12] + b"\x88\x64\x11\0\0\x01" + struct.pack(">H", len(body) + 2) + b"\0\x21" + body)
        )
    return encapsulated


def esp(client: str, server: str, side: Wire, at: float = 0.0) -> list[Frame]:
    """Packets of an IPsec tunnel in both directions."""
    from scapy.layers.inet import IP

    packets = []
    for number in range(6):
        ends = (client, server) if number % 2 == 0 else (server, client)
        body = struct.pack(">II", 0x1234 + number % 2, number // 2 + 1) + bytes(range(64))
        packet = bytes(IP(src=ends[0], dst=ends[1], proto=50) / body)
        macs = mac(side.far) + mac(side.near) if number % 2 == 0 else mac(side.near) + mac(side.far)
        when = BEGIN + int(at * wire.SECOND) + number * 1_000_000
        packets.append((when, macs + tag(side.vlan) + b"\x08\0" + packet))
    return packets


def on_interface(frames: Iterable[Frame], name: str) -> bytes:
    """A pcapng whose interface has a name."""
    data = wire.section() + wire.interface(options=wire.option(2, name.encode()))
    return data + b"".join(wire.enhanced(f, when // 1000) for when, f in frames)


def update(
    prefixes: Sequence[str],
    hop: str,
    path: Sequence[int],
    communities: Sequence[tuple[int, int]] = (),
    withdrawn: Sequence[str] = (),
) -> bytes:
    """A BGP UPDATE with four-octet AS numbers."""
    import ipaddress

    def listed(some: Sequence[str]) -> bytes:
        data = b""
        for text in some:
            net = ipaddress.ip_network(text)
            data += bytes([net.prefixlen]) + net.network_address.packed[: (net.prefixlen + 7) // 8]
        return data

    attributes = b""
    if prefixes:
        attributes = b"\x40\x01\x01\0" + bytes([0x40, 2, 2 + 4 * len(path), 2, len(path)])
        attributes += b"".join(struct.pack(">I", n) for n in path) + b"\x40\x03\x04" + ipaddress.ip_address(hop).packed
        if communities:
            attributes += bytes([0xC0, 8, 4 * len(communities)]) + b"".join(struct.pack(">HH", *c) for c in communities)
    gone = listed(withdrawn)
    body = struct.pack(">H", len(gone)) + gone + struct.pack(">H", len(attributes)) + attributes + listed(prefixes)
    return bgp(2, body)


def bgp(kind: int, body: bytes) -> bytes:
    return b"\xff" * 16 + struct.pack(">HB", 19 + len(body), kind) + body


def hello(number: int, router: str) -> bytes:
    """A BGP OPEN with the capability of four-octet numbers."""
    import ipaddress

    capability = bytes([2, 6, 65, 4]) + struct.pack(">I", number)
    body = struct.pack(">BHH", 4, min(number, 23456), 90) + ipaddress.ip_address(router).packed
    return bgp(1, body + bytes([len(capability)]) + capability)


def session(
    amazon: str,
    customer: str,
    side: Wire,
    announced: Sequence[tuple[float, bytes]],
    number: int = 7224,
) -> list[Frame]:
    """A BGP session in which Amazon's side announces; times are seconds after the begin."""
    connection = wire.Talk(50_179, 179, client=customer, server=amazon)
    connection.open()
    connection.send(0, hello(65_001, customer))
    connection.send(1, hello(number, amazon))
    times = [k * 0.001 for k in range(5)]
    for when, message in announced:
        connection.send(1, message)
        connection.send(0, flags="A")
        times += [when, when + 0.001]
    frames = []
    for when, (sender, packet) in zip(times, with_sides(connection), strict=True):
        macs = mac(side.far) + mac(side.near) if sender == "c" else mac(side.near) + mac(side.far)
        raw = bytearray(packet)
        raw[22] = 1  # eBGP's time to live
        frames.append((BEGIN + int(when * wire.SECOND), macs + tag(side.vlan) + bytes(raw[12:])))
    return frames


def vif(name: str, kind: str, vlan: int, amazon: str, customer: str, **more: Any) -> dict[str, Any]:
    """A virtual interface as `aws directconnect describe-virtual-interfaces` prints it."""
    return {
        "ownerAccount": "123456789012",
        "virtualInterfaceId": name,
        "connectionId": "dxcon-1",
        "virtualInterfaceType": kind,
        "virtualInterfaceName": "lab",
        "vlan": vlan,
        "asn": 65001,
        "amazonSideAsn": 7224 if kind == "public" else 64512,
        "authKey": "not-taken-over",
        "amazonAddress": amazon,
        "customerAddress": customer,
        "virtualInterfaceState": "available",
        "region": "us-east-1",
        "bgpPeers": [],
        **more,
    }


def endpoint(region: str = "us-east-1", private_dns: bool = True) -> dict[str, Any]:
    """An interface endpoint of Pinpoint and its network interface."""
    return {
        "endpoints.json": {
            "VpcEndpoints": [
                {
                    "VpcEndpointId": "vpce-1",
                    "VpcEndpointType": "Interface",
                    "VpcId": "vpc-1",
                    "ServiceName": f"com.amazonaws.{region}.pinpoint",
                    "State": "available",
                    "PrivateDnsEnabled": private_dns,
                    "NetworkInterfaceIds": ["eni-1"],
                }
            ]
        },
        "interfaces.json": {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "PrivateIpAddress": ENI}]},
    }


def attachments() -> dict[str, Any]:
    return {
        "tgw.json": {
            "TransitGatewayAttachments": [
                {
                    "TransitGatewayAttachmentId": "tgw-attach-dx",
                    "ResourceType": "direct-connect-gateway",
                    "ResourceId": "dxgw-1",
                },
                {"TransitGatewayAttachmentId": "tgw-attach-vpn", "ResourceType": "vpn", "ResourceId": "vpn-1"},
                {"TransitGatewayAttachmentId": "tgw-attach-vpc", "ResourceType": "vpc", "ResourceId": "vpc-1"},
                {"TransitGatewayAttachmentId": "tgw-attach-inspection", "ResourceType": "vpc", "ResourceId": "vpc-2"},
                {"TransitGatewayAttachmentId": "tgw-attach-peer", "ResourceType": "peering", "ResourceId": "tgw-2"},
            ]
        }
    }


def flow_log(fields: str, *rows: str) -> str:
    return "\n".join([fields, *rows]) + "\n"


@dataclass
class Truth:
    """What is true of a client's flow, and what should be said of it. ``rules``: verdicts of path rules."""

    path: str
    said: str
    client: str = CLIENT
    port: int | None = None
    link: str | None = None
    asymmetric: bool = False
    changed: bool = False
    rules: dict[str, str] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()


@dataclass
class Scene:
    """A capture, the inputs beside it, and the truth. Inputs are texts, JSON values or bytes by option and file."""

    name: str
    frames: Callable[[], list[Frame] | bytes]
    truths: list[Truth]
    topology: str = ""
    aws: dict[str, Any] = field(default_factory=dict)
    routes: dict[str, Any] = field(default_factory=dict)
    witness: dict[str, Any] = field(default_factory=dict)
    file: str = "capture.pcap"

    def inputs(self) -> list[tuple[str, str]]:
        """(option, file) of everything that is given."""
        given = [("topology", "site.toml")] if self.topology else []
        for option in ("aws", "routes", "witness"):
            given += [(option, name) for name in getattr(self, option)]
        return given

    def write(self, folder: Path, without: tuple[str, str] | None = None) -> tuple[Path, dict[str, Any]]:
        """Write the capture and the inputs; the capture's path and the options for ``audit``."""
        frames = self.frames()
        data = frames if isinstance(frames, bytes) else wire.pcap(sorted(frames), nanoseconds=True)
        (folder / self.file).write_bytes(data)
        options: dict[str, Any] = {}
        if self.topology and without != ("topology", "site.toml"):
            (folder / "site.toml").write_text(self.topology)
            options["topology"] = folder / "site.toml"
        for option in ("aws", "routes", "witness"):
            given = {n: v for n, v in getattr(self, option).items() if (option, n) != without}
            place = folder / option
            place.mkdir()
            for name, value in given.items():
                raw = (
                    value
                    if isinstance(value, bytes)
                    else (value if isinstance(value, str) else json.dumps(value)).encode()
                )
                (place / name).write_bytes(raw)
            if given and option == "aws":
                options["aws"] = place
            elif given:
                options["routes" if option == "routes" else "witnesses"] = [place / name for name in given]
        return folder / self.file, options
