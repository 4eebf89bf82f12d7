"""A link counts only as a whole: whatever one input says of it, nothing is claimed that another one contradicts."""

import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import auditor
from tests import wire
from tests.lab import scenes
from tests.lab import variants as v
from tests.lab import world as w
from tests.lab.world import Frame, Wire

ROUTER = f'[[router]]\nname = "edge"\nmac = "{w.EDGE}"\n'
HOME = w.SITE + ROUTER
DX = Wire(101, w.AWS1, w.EDGE)
OUTSIDE = Wire(None, v.STRANGER, w.EDGE)  # handed on by the site's own router, to nobody that is known
OTHER_ON_VLAN = Wire(101, v.STRANGER, w.EDGE)
LAN = Wire(10)
VIF = w.vif("dxvif-ffabc123", "private", 101, "169.254.96.1/30", "169.254.96.2/30", virtualGatewayId="vgw-1")
DOWN = VIF | {"virtualInterfaceState": "down"}
NO_BACKUP = v.ALL.replace(w.BACKUP, "")
MIRROR = '[[capture_point]]\nname = "mirror"\nouter = "10.20.9.9"\nlink = "dxvif-private"\n'
OTHER_NETWORK = [("192.0.2.141", "192.0.2.142", v.STRANGER), ("192.0.2.142", "192.0.2.141", w.EDGE)]
NOTHING = ("unknown none", "unknown none")
DIRECT = ("direct-connect likely", "direct-connect likely")


def account(vif: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A virtual interface to the VPC of the lab, as AWS's command line prints it."""
    blocks = [{"Ipv6CidrBlock": "2600:1f70:8000::/56", "Ipv6CidrBlockState": {"State": "associated"}}]
    vpc = {"VpcId": "vpc-1", "CidrBlock": "172.31.0.0/16", "Ipv6CidrBlockAssociationSet": blocks}
    gateway = {"VpnGatewayId": "vgw-1", "VpcAttachments": [{"VpcId": "vpc-1", "State": "attached"}]}
    return {"a.json": {"virtualInterfaces": [vif], "Vpcs": [vpc], "VpnGateways": [gateway]}, "b.json": more}


def peers(**status: str) -> dict[str, Any]:
    """The virtual interface with BGP sessions of these families and states."""
    return VIF | {"bgpPeers": [{"addressFamily": name, "bgpStatus": state} for name, state in status.items()]}


def routes(**families: Any) -> dict[str, Any]:
    """What AWS accepts over the virtual interface, and announces."""
    rows = [{"cidr": cidr, "routeDirection": direction} for direction, cidr in families.items()]
    return {"virtualInterfaceId": "dxvif-ffabc123", "routes": rows}


def zeek(**more: Any) -> dict[str, Any]:
    row = {"ts": scenes.START, "id.orig_h": w.CLIENT, "id.orig_p": 40_000, "id.resp_h": w.ENI, "id.resp_p": 443}
    return {"conn.log": json.dumps(row | more) + "\n"}


def trail(address: str) -> dict[str, Any]:
    """A call that AWS received from an address."""
    event = {
        "eventTime": datetime.fromtimestamp(scenes.START, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "mobiletargeting.amazonaws.com",
        "sourceIPAddress": address,
        "tlsDetails": {"clientProvidedHostHeader": w.NAME},
    }
    return {"Records": [event]}


@dataclass(frozen=True)
class Layout:
    """A flow, the inputs beside it, and what may be said of its way out and back."""

    name: str
    frames: list[Frame] | bytes
    said: tuple[str, str]
    topology: str = v.ALL + ROUTER
    aws: dict[str, Any] = field(default_factory=dict)
    routes: dict[str, Any] = field(default_factory=dict)
    witness: dict[str, Any] = field(default_factory=dict)


def seen(side: Wire, client: str = w.CLIENT, server: str = w.ENI) -> list[Frame]:
    return w.talk(client, server, side)


def beside(side: Wire, client: str = w.CLIENT, server: str = w.ENI) -> list[Frame]:
    """A flow, and another one by the private virtual interface in the same capture."""
    return seen(side, client, server) + w.talk(w.CLIENT, "172.31.5.21", DX, port=41_000)


def cooked(beyond: Wire, client: str, server: str) -> list[Frame]:
    """A flow as LINKTYPE_LINUX_SLL has it at the site's router, on both its sides: with the sender's MAC alone."""
    frames = []
    for side, near in ((Wire(), w.HOST), (beyond, w.EDGE)):
        for when, frame in w.talk(client, server, side):
            late = (frame[6:12] == w.mac(near)) == (near == w.EDGE)  # what the router hands on comes after what it got
            kind = 4 if frame[6:12] == w.mac(w.EDGE) else 0
            frames.append((when + 1000 * late, struct.pack(">HHH", kind, 1, 6) + frame[6:12] + b"\0\0" + frame[12:]))
    return sorted(frames)


def between(side: Wire, head: bytes) -> list[Frame]:
    """A flow to AWS of which each IP packet stands behind something else than its link's tag."""
    at = 12 + len(w.tag(side.vlan))
    return [(when, frame[:at] + head + frame[at + 2 :]) for when, frame in seen(side)]


def sent(frames: list[Frame], kind: int = 113) -> bytes:
    """What the site's router sends, in a cooked capture: with its own MAC alone."""
    outgoing = [(when, frame) for when, frame in frames if frame[6:12] == w.mac(w.EDGE)]
    if kind == 276:
        cooked = [
            (when, f[12:14] + struct.pack(">HIHBB", 0, 2, 1, 4, 6) + f[6:12] + b"\0\0" + f[14:]) for when, f in outgoing
        ]
    else:
        cooked = [(when, struct.pack(">HHH", 4, 1, 6) + f[6:12] + b"\0\0" + f[12:]) for when, f in outgoing]
    return wire.pcap(cooked, link=kind, nanoseconds=True)


LABELS = b"\x88\x47" + struct.pack(">I", 16_000 << 12 | 0xFF) + struct.pack(">I", 17_000 << 12 | 0x1FF)
CHAIN = b"\x89\x4f" + struct.pack(">HBBI", 2, 2, 1, 7 << 8 | 255)  # RFC 8300 2: metadata of no length, IPv4
FE80 = [{"dst": "default", "gateway": "fe80::1", "dev": "eth2"}]
LINK_LOCAL = '[[virtual_interface]]\nname = "dxvif-6"\nvlan = 101\npeer_address = "fe80::1"\n'
PEER = f'[[virtual_interface]]\nname = "dxvif-private"\nvlan = 101\npeer_address = "{v.AMAZON}"\n'
ETH1 = v.ALL.replace('name = "dxvif-private"', 'name = "dxvif-private"\ninterface = "{}"')
GATEWAY = "02:77:00:00:00:77"
OFFICE = [w.arp(w.CLIENT, w.HOST, 101, asker="10.20.0.1"), w.arp("10.20.0.1", GATEWAY, 101, asker=w.CLIENT)]
OTHER_ADDRESS = PEER.replace(v.AMAZON, "192.0.2.1")
EVERYWHERE = '[[uplink]]\nname = "isp"\nprefixes = "0.0.0.0/0"\n'
TO_VPC = '[[vpn]]\nname = "vpn-1"\nprefixes = "172.31.0.0/16"\n'
NAT = '[[nat]]\nname = "nat"\ninside = "10.20.0.0/16"\noutside = "203.0.113.10/32"\n'
GROUP = "224.0.0.251"  # mDNS (RFC 6762)
GIVEN = w.UPLINK.replace('"isp"\n', f'"isp"\naddresses = "{w.OWN_PUBLIC}/32"\n')
LAYOUTS = [
    Layout("another MAC on the VLAN of the link, where a VPN leads there too", beside(OTHER_ON_VLAN), NOTHING),
    Layout("handed on untagged where tags are visible", beside(OUTSIDE, w.OWN_PUBLIC, w.SERVER), NOTHING),
    Layout("handed to the own router", seen(LAN), DIRECT, NO_BACKUP + ROUTER),
    Layout("handed to the own router, where the link would be seen too", beside(LAN), NOTHING, NO_BACKUP + ROUTER),
    Layout(
        "a declared mirror's address, sent by the provider",
        v.mirrored(seen(DX), "10.20.9.9", Wire(200, w.ISP, w.EDGE)), NOTHING, v.ALL + ROUTER + MIRROR,
    ),
    Layout(
        "a VPN's gateway for what the VPN does not lead to", seen(Wire(300, w.VPN), server="198.51.100.66"), NOTHING,
        v.ALL.replace('name = "vpn-backup"', 'name = "vpn-backup"\ndedicated = true\nprefixes = "172.31.0.0/16"'),
    ),
    Layout("the account's name for it is another, and it is down", seen(LAN), NOTHING, NO_BACKUP + ROUTER, account(DOWN)),
    Layout("the account's name for it is another, and it is up", seen(DX), ("direct-connect confirmed",) * 2, v.ALL, account(VIF)),
    Layout("no session for IPv6", seen(LAN, w.CLIENT6, w.SERVER6), NOTHING, HOME, account(peers(ipv4="up"))),
    Layout("session for IPv6 down", seen(LAN, w.CLIENT6, w.SERVER6), NOTHING, HOME, account(peers(ipv4="up", ipv6="down"))),
    Layout("session for IPv6", seen(LAN, w.CLIENT6, w.SERVER6), DIRECT, HOME, account(peers(ipv4="up", ipv6="up"))),
    Layout(
        "AWS has no route to the client", seen(LAN), (DIRECT[0], NOTHING[1]), HOME,
        account(VIF, **routes(accepted="10.20.7.0/24", advertised="172.31.0.0/16")),
    ),
    Layout(
        "Client VPN", seen(LAN, "10.99.0.7"), NOTHING, HOME.replace("10.20.0.0/16", "10.0.0.0/8"),
        account(VIF, ClientVpnEndpoints=[{"ClientVpnEndpointId": "cvpn-1", "ClientCidrBlock": "10.99.0.0/22"}]),
    ),
    Layout(
        "a link-local next hop on another interface", seen(LAN, w.CLIENT6, w.SERVER6), NOTHING, HOME + LINK_LOCAL,
        routes={"r.json": FE80},
    ),
    Layout(
        "the VLAN is another network's now, as ARP shows",
        [
            *(w.arp(a, mac, 102, asker=b) for a, b, mac in OTHER_NETWORK),
            *seen(Wire(102, v.STRANGER, w.EDGE), w.OWN_PUBLIC, w.SERVER),
        ],
        NOTHING, w.SITE + w.PUBLIC.replace(f'peer_mac = "{w.AWS2}"', 'peer_address = "203.0.113.33"'),
    ),
    Layout("ARP shows the peer on another VLAN", [w.arp(v.AMAZON, v.STRANGER, 201), *seen(OTHER_ON_VLAN)], NOTHING, w.SITE + PEER),
    Layout("ARP shows somebody else on another VLAN", [w.arp(v.AMAZON, v.STRANGER, 201), *seen(OTHER_ON_VLAN)], DIRECT, w.SITE + OTHER_ADDRESS),
    Layout(
        "ARP shows the peer on both VLANs", [w.arp(v.AMAZON, v.STRANGER, vlan) for vlan in (101, 201)] + seen(OTHER_ON_VLAN),
        ("direct-connect confirmed",) * 2, w.SITE + PEER,
    ),
    Layout(
        "ARP shows the peer on another link's VLAN, whose peer has the same address",
        [w.arp(v.AMAZON, v.STRANGER, 201), *seen(OTHER_ON_VLAN)], DIRECT, w.SITE + PEER + PEER.replace("private", "2").replace("101", "201"),
    ),
    *(
        Layout(f"a LAN has the link's VLAN number, and {name}", [*OFFICE, claim, *seen(Wire(101, far))], NOTHING, w.SITE + PEER)
        for name, far, claim in (
            ("a host there claims the peer's address towards the site's end", v.STRANGER, w.arp(v.AMAZON, v.STRANGER, 101)),
            ("its router answers for the peer", GATEWAY, w.arp(v.AMAZON, GATEWAY, 101, asker=w.CLIENT)),
            ("its router is seen", GATEWAY, w.arp("10.20.0.1", GATEWAY, 101, asker=w.CLIENT)),
        )
    ),
    *(
        Layout(
            f"another network's router has the peer's link-local address, {name}",
            [w.neighbour("fe80::1", GATEWAY, vlan), *seen(Wire(vlan, GATEWAY), w.CLIENT6, w.SERVER6)], NOTHING, w.SITE + LINK_LOCAL,
        )
        for name, vlan in (("without a tag", None), ("with the link's VLAN number", 101))
    ),
    Layout(
        "the peer's link-local address on the link's interface",
        w.on_interface([w.neighbour("fe80::1", w.AWS1, 101), *seen(DX, w.CLIENT6, w.SERVER6)], "eth1"), ("direct-connect confirmed",) * 2,
        w.SITE + LINK_LOCAL + 'interface = "eth1"\n',
    ),
    Layout(
        "the peer's address is a LAN's router's as well, without a tag",
        [w.arp("192.168.1.1", GATEWAY, asker="192.168.1.2"), *seen(Wire(None, GATEWAY), "192.168.1.2", "198.51.100.66")], NOTHING,
        w.SITE + PEER.replace(v.AMAZON, "192.168.1.1") + 'own_address = "192.168.1.2"\n',
    ),
    *(
        Layout(f"the peer's MAC alone, and {name}", seen(Wire(vlan, w.AWS1, w.EDGE), server=server), said, w.SITE + w.PRIVATE + 'prefixes = "172.31.0.0/16"\n')
        for name, vlan, server, said in (
            ("where the link leads", None, w.ENI, DIRECT), ("the internet", None, "198.51.100.66", NOTHING),
        )
    ),
    *(
        Layout(f"{name} alone, between neighbours", frames, NOTHING, '[[virtual_interface]]\nname = "x"\n' + sign)
        for name, sign, frames in (
            ("VLAN", "vlan = 101\n", seen(OTHER_ON_VLAN, server="10.20.1.99")),
            ("interface", 'interface = "eth1"\n', w.on_interface(seen(Wire(), server="10.20.1.99"), "eth1")),
        )
    ),
    Layout("VLAN alone, between networks", seen(OTHER_ON_VLAN, server="10.20.2.99"), DIRECT, '[[virtual_interface]]\nname = "x"\nvlan = 101\n'),
    *(
        Layout(
            f"an interface that has a number instead of a name, {name}", sent([*seen(DX), *seen(LAN)], 276), said,
            w.SITE + w.PRIVATE.replace("peer_mac", f'interface = "{given}"\n#') + 'prefixes = "172.31.0.0/16"\n',
        )
        for name, given, said in (
            ("and the owner gives a name", "eth1", (DIRECT[0], NOTHING[1])), ("and the owner gives another number", "ifindex-9", NOTHING)
        )
    ),
    *(
        Layout(f"a VPC's addresses, {name}", [*seen(Wire(), "172.31.1.4"), *more], said, w.SITE + w.VPC)
        for name, more, said in (
            ("in the VPC", [], ("vpc likely",) * 2), ("beside hosts of the site", w.talk(w.CLIENT, "10.20.1.20", port=41_000), NOTHING),
            ("beside on-premises clients", w.talk(w.CLIENT, w.ENI, port=41_000), ("vpc likely",) * 2),
        )
    ),
    Layout("on the VLAN of a link that is down", seen(OTHER_ON_VLAN), NOTHING, HOME, {"a.json": {"virtualInterfaces": [DOWN]}}),
    Layout("on the VLAN of a link that is up", seen(OTHER_ON_VLAN), DIRECT, HOME, {"a.json": {"virtualInterfaces": [VIF]}}),
    Layout("a sensor on the VLAN of a link that is down", seen(LAN), NOTHING, HOME, {"a.json": {"virtualInterfaces": [DOWN]}}, witness=zeek(vlan=101)),
    Layout("to a group on the link's VLAN", seen(OTHER_ON_VLAN, server=GROUP), NOTHING, w.SITE + PEER),
    Layout("from beyond the own router, by another than the peer", seen(OUTSIDE, w.OWN_PUBLIC, w.SERVER), NOTHING, HOME + w.PUBLIC),
    Layout(
        "at the own router on all interfaces, where another than the peer sends",
        wire.pcap(cooked(Wire(None, v.STRANGER, w.EDGE), w.OWN_PUBLIC, w.SERVER), link=113, nanoseconds=True), NOTHING, HOME + w.PUBLIC,
    ),
    Layout("an uplink leads everywhere, and a public virtual interface to AWS", seen(LAN, server=w.SERVER), NOTHING, HOME + w.PUBLIC + EVERYWHERE),
    Layout("an uplink leads everywhere, but to AWS", seen(LAN, server="198.51.100.66"), ("internet likely",) * 2, HOME + w.PUBLIC + EVERYWHERE),
    Layout("a VPN leads there, and nothing says where a virtual interface does", seen(LAN), ("private likely",) * 2, HOME + PEER + TO_VPC),
    Layout(
        "of the same size behind the translator, seconds later", seen(LAN, server=w.SERVER) + w.talk(w.OWN_PUBLIC, w.SERVER, Wire(102, w.AWS2, w.EDGE), port=61_000, at=3),
        NOTHING, HOME + w.PUBLIC + NAT,
    ),
    Layout("on the VLAN of the interface, at the interface itself", w.on_interface(seen(DX), "eth1"), ("direct-connect confirmed",) * 2, ETH1.format("eth1.101")),
    Layout("on the interface, at its VLAN", w.on_interface(seen(Wire(None, w.AWS1)), "eth1.101"), DIRECT, ETH1.format("eth1")),
    Layout("on another VLAN of the interface", w.on_interface(seen(Wire(None, w.AWS1)), "eth1.102"), DIRECT, ETH1.format("eth1.101").replace(w.BACKUP, "")),
    Layout("a sensor on the VLAN, with another MAC", seen(LAN), NOTHING, v.ALL.replace('["172.31.0.0/16"]', "[]"), witness=zeek(vlan=101, resp_l2_addr=v.STRANGER)),
    Layout("a sensor on the VLAN, with the peer's MAC", seen(LAN), DIRECT, witness=zeek(vlan=101, resp_l2_addr=w.AWS1)),
    *(
        Layout(f"{name} on the link's VLAN, with its peer's MAC", between(DX, head), NOTHING, topology)
        for name, head, topology in (
            ("labels", LABELS, v.ALL), ("labels, with the peer as ARP shows it,", LABELS, w.SITE + PEER),
            ("a service chain's header", CHAIN, v.ALL),
        )
    ),
    Layout("PPPoE with the link's peer", w.pppoe(seen(Wire(None, w.AWS1, w.EDGE), w.OWN_PUBLIC, w.SERVER)), NOTHING),
    Layout("labels on the uplink", between(Wire(200, w.ISP, w.EDGE), LABELS), NOTHING),
    Layout("labels at the site, this side of its router", between(LAN, LABELS), DIRECT, NO_BACKUP + ROUTER),
    *(
        Layout(f"what the router sent with the link's tag, cooked as {kind}", sent(seen(DX), kind), NOTHING, w.SITE + w.PRIVATE)
        for kind in (113, 276)
    ),
    Layout(
        "a prefix that AWS accepts, and the provider gives", seen(LAN, w.OWN_PUBLIC, w.SERVER), NOTHING,
        HOME + w.PUBLIC + GIVEN.replace("203.0.113.10/32", "203.0.113.0/28"),
    ),
    *(
        Layout(f"everything behind a virtual interface, {name}", seen(LAN, server="198.51.100.66"), said, HOME + PEER + 'prefixes = "0.0.0.0/0"\n' + more)
        for name, more, said in (("and an uplink", w.UPLINK, NOTHING), ("and no uplink", "", DIRECT))
    ),
    Layout(
        "a request from the provider's address in what a virtual interface carries", w.talk(w.CLIENT, w.SERVER, LAN),
        ("internet likely", "unknown none"), HOME + w.PUBLIC + GIVEN, witness={"trail.json": trail(w.OWN_PUBLIC)},
    ),
]  # fmt: skip


def said(layout: Layout, folder: Path) -> tuple[str, ...]:
    """What is said of the ways out and back of a layout's flow."""
    scene = w.Scene(
        layout.name,
        lambda: layout.frames,
        [],
        topology=layout.topology,
        aws={name: value for name, value in layout.aws.items() if value},
        routes=layout.routes,
        witness=layout.witness,
    )
    capture, options = scene.write(folder)
    row = wire.only(auditor.audit(capture, **options).flows.query("client_port == 40_000"))
    return tuple(f"{row[side]} {row[f'{side}_confidence']}" for side in ("path_out", "path_back"))


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])
def test_whole_link(layout: Layout, tmp_path: Path) -> None:
    """Each direction's path is the one that all inputs together allow for."""
    assert said(layout, tmp_path) == layout.said
