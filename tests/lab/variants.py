"""Variants of the lab's layouts: each input wrong in turn, and each packet that an outsider can send beside the flow.

What is true of the flow stays the same. So nothing else may be said of it, and nothing at all of what an outsider makes up.
"""

import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests import wire
from tests.lab import protocols as p
from tests.lab import world as w
from tests.lab.world import Frame, Wire

FORGED = 50_000  # the client's port of flows that an outsider made up
ELSEWHERE = Wire(9, "02:ee:00:00:00:09")
STRANGER = "66:66:66:66:66:66"
AMAZON, CUSTOMER = "169.254.96.1", "169.254.96.2"
VIF_ADDRESSES = f'peer_address = "{AMAZON}"\nown_address = "{CUSTOMER}"\n'
PRIVATE = w.PRIVATE + VIF_ADDRESSES + 'prefixes = ["172.31.0.0/16"]\n'
PUBLIC = w.PUBLIC
VPC = '[[vpc]]\nname = "vpc-1"\nprefixes = "172.31.0.0/16"\n'
ALL = w.SITE.replace("[site]", "[[site]]") + PRIVATE + PUBLIC + w.UPLINK + w.BACKUP + VPC


@dataclass(frozen=True)
class Layout:
    """A way that a flow really took."""

    name: str
    path: str
    wire: Wire
    client: str
    server: str
    vlan: str  # of its link in the topology, and of its MAC, as written there
    mac: str

    def frames(self, **more: Any) -> list[Frame]:
        return w.talk(self.client, self.server, self.wire, **more)


LAYOUTS = (
    Layout("private", "direct-connect", Wire(101, w.AWS1), w.CLIENT, w.ENI, "vlan = 101", w.AWS1),
    Layout("public", "direct-connect", Wire(102, w.AWS2), w.OWN_PUBLIC, w.SERVER, "vlan = 102", w.AWS2),
    Layout("uplink", "internet", Wire(200, w.ISP), w.OWN_PUBLIC, w.SERVER, "vlan = 200", w.ISP),
    Layout("vpn", "vpn", Wire(300, w.VPN), w.CLIENT, w.ENI, "vlan = 300", w.VPN),
    Layout("elsewhere", "elsewhere", ELSEWHERE, w.CLIENT, w.SERVER, "vlan = 9", "02:ee:00:00:00:09"),
)


def swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


def _with(link: str, line: str, text: str = ALL) -> str:
    """The topology with a line more in a link's section."""
    return text.replace(f'name = "{link}"\n', f'name = "{link}"\n{line}\n')


# Each input wrong: the topology as written by somebody mistaken in one thing.
WRONG: dict[str, Callable[[Layout], str]] = {
    "VLAN": lambda at: ALL.replace(at.vlan, "vlan = 999"),
    "VLAN of all": lambda at: ALL.replace("vlan = ", "vlan = 1"),
    "MAC": lambda at: ALL.replace(at.mac, STRANGER),
    "no MACs": lambda at: "\n".join(x for x in ALL.splitlines() if not x.startswith("peer_mac")) + "\n",
    "no VLANs": lambda at: "\n".join(x for x in ALL.splitlines() if not x.startswith("vlan")) + "\n",
    "link left out": lambda at: "[[".join(x for x in ALL.split("[[") if at.mac not in x),
    "its prefixes are everything": lambda at: ALL.replace('"172.31.0.0/16"]', '"0.0.0.0/0"]'),
    "a prefix of home": lambda at: ALL.replace('["172.31.0.0/16"]', '["10.20.0.0/16"]'),
    "a VPC as wide as the site": lambda at: ALL.replace(VPC, VPC.replace("172.31.0.0/16", "0.0.0.0/0")),
    "home is everything": lambda at: ALL.replace('"10.20.0.0/16"', '"0.0.0.0/0"'),
    "sources are everything": lambda at: ALL.replace('sources = ["203.0.113.0/28"]', 'sources = ["0.0.0.0/0"]'),
    "the uplink gives all addresses": lambda at: ALL.replace('name = "isp"', 'name = "isp"\naddresses = "203.0.113.0/24"'),
} | {
    f"VLANs of {one} and {other} swapped": (lambda at, one=one, other=other: swapped(ALL, one, other))
    for one, other in itertools.combinations(("vlan = 101", "vlan = 102", "vlan = 200", "vlan = 300"), 2)
} | {
    f"MACs of {one} and {other} swapped": (lambda at, one=one, other=other: swapped(ALL, one, other))
    for one, other in itertools.combinations((w.AWS1, w.AWS2, w.ISP, w.VPN), 2)
} | {
    f"{link} on another interface": (lambda at, link=link: _with(link, 'interface = "port7"'))
    for link in ("dxvif-private", "dxvif-public", "isp", "vpn-backup")
} | {
    f"{link} at another site": (
        lambda at, link=link: _with(link, 'site = "oslo"')
        + '[[site]]\nname = "oslo"\n[[capture_point]]\nname = "tap"\nfile = "*"\nsite = "hq"\n'
    )
    for link in ("dxvif-private", "dxvif-public", "isp", "vpn-backup")
} | {
    f"{link} is down": (lambda at, link=link: _with(link, 'state = "down"'))
    for link in ("dxvif-private", "dxvif-public", "isp", "vpn-backup")
}  # fmt: skip


def forged(side: Wire | None = None) -> list[Frame]:
    """A flow that an outsider makes up: frames as on the private virtual interface."""
    return w.talk(w.CLIENT, w.ENI, side or Wire(101, w.AWS1), port=FORGED)


def in_datagrams(frames: list[Frame], header: bytes, port: int, source: str, side: Wire) -> list[Frame]:
    """Frames in datagrams that arrive from a link."""
    arrived = []
    for when, frame in w.in_udp(frames, header, port, source, "203.0.113.1"):
        arrived.append((when, w.mac(side.near) + w.mac(side.far) + w.tag(side.vlan) + frame[12:]))
    return arrived


def mirrored(frames: list[Frame], source: str, side: Wire) -> list[Frame]:
    return [(t, w.mac(side.near) + w.mac(side.far) + w.tag(side.vlan) + f[12:]) for t, f in w.erspan(frames, source)]


VXLAN_HEADER = b"\x08\0\0\0\0\0\7\0"
TZSP_HEADER = b"\1\0\0\1\1"
GENEVE_HEADER = b"\0\0\x65\x58" + bytes(4)
GWLB = struct.pack(">HBBQ", 0x0108, 1, 2, 0x0ABC)
GWLB_HEADER = bytes([len(GWLB) // 4, 0]) + b"\x65\x58" + bytes(4) + GWLB
INTERNET, LAN = Wire(200, w.ISP, w.EDGE), Wire(None, "02:dd:00:00:00:66", w.EDGE)


def one_sided_session(side: Wire) -> list[Frame]:
    """A session that one outsider makes up for both sides, from one place."""
    announced = [(1.0, w.update(["172.31.0.0/16", "52.94.0.0/16"], AMAZON, [7224], [(7224, 8100), (65535, 65281)]))]
    frames = w.session(AMAZON, CUSTOMER, side, announced)
    return [
        (when, w.mac(side.near) + w.mac(side.far) + w.tag(side.vlan) + f[12 + 4 * bool(side.vlan) :])
        for when, f in frames
    ]


def _spoofed(at: Layout, flags: str) -> list[Frame]:
    """A segment with the flow's ends that arrives from the internet."""
    talk = wire.Talk(40_000, 443, client=at.client, server=at.server)
    packet = talk.send(1, flags=flags)
    return [(w.BEGIN + 3_500_000, w.mac(w.EDGE) + w.mac(w.ISP) + w.tag(200) + packet[12:])]


# What an outsider can send: from the internet, and as a machine on a LAN.
def _forged_in(head: bytes) -> Callable[[Layout], list[Frame]]:
    return lambda _: p.nested(forged(), head, LAN)


OUTSIDERS: dict[str, Callable[[Layout], list[Frame]]] = {
    "ARP on the flow's VLAN": lambda at: [w.arp(AMAZON, at.wire.far, at.wire.vlan if isinstance(at.wire.vlan, int) else None)],
    "ARP of a stranger on the link's VLAN": lambda at: [w.arp(AMAZON, STRANGER, 101, 0.5)],
    "ARP on a LAN": lambda at: [w.arp(AMAZON, at.wire.far, None, asker=w.CLIENT)],
    "gratuitous ARP": lambda at: [w.arp(AMAZON, at.wire.far, 9, asker=AMAZON)],
    "ND": lambda at: [w.neighbour("2001:db8:ffff::1", at.wire.far, 9)],
    "ARP in VXLAN": lambda at: in_datagrams([w.arp(AMAZON, at.wire.far, 101)], VXLAN_HEADER, 4789, "198.51.100.66", INTERNET),
    "VXLAN from the internet": lambda at: in_datagrams(forged(), VXLAN_HEADER, 4789, "198.51.100.66", INTERNET),
    "VXLAN with addresses of the VPC": lambda at: in_datagrams(forged(), VXLAN_HEADER, 4789, "172.31.9.9", INTERNET),
    "VXLAN on a LAN": lambda at: in_datagrams(forged(), VXLAN_HEADER, 4789, "10.20.9.9", LAN),
    "VXLAN with inner addresses of the VPC": lambda at: in_datagrams(
        w.talk("172.31.1.1", w.ENI, port=FORGED), VXLAN_HEADER, 4789, "198.51.100.66", INTERNET
    ),
    "TZSP from the internet": lambda at: in_datagrams(forged(), TZSP_HEADER, 37008, "198.51.100.66", INTERNET),
    "GENEVE from the internet": lambda at: in_datagrams(forged(), GENEVE_HEADER, 6081, "198.51.100.66", INTERNET),
    "GENEVE with AWS's options": lambda at: in_datagrams(forged(), GWLB_HEADER, 6081, "198.51.100.66", INTERNET),
    "ERSPAN from the internet": lambda at: mirrored(forged(), "198.51.100.66", INTERNET),
    "ERSPAN on a LAN": lambda at: mirrored(forged(), "10.20.9.9", LAN),
    "BGP from the internet": lambda at: one_sided_session(INTERNET),
    "BGP on a LAN": lambda at: one_sided_session(LAN),
    "a SYN from the internet": lambda at: _spoofed(at, "SA"),
    "a RST from the internet": lambda at: _spoofed(at, "R"),
    "all that routers and hosts say": lambda at: [
        frame for place in (INTERNET, LAN) for build in p.PROTOCOLS.values() for frame in build(AMAZON, at.wire.far, place)
    ],
    **{f"a flow in a {name}": _forged_in(p.HEADS[name]) for name in ("pseudowire", "backbone")},
    "a DNS answer": lambda at: [
        (w.BEGIN, w.mac(w.EDGE) + w.mac(w.ISP) + w.tag(200) + wire.datagram(bytes(40), 53, 5353)[12:])
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """Frames and a topology; by the client's port the path that is true, None for what is made up."""

    name: str
    frames: list[Frame]
    topology: str
    truth: dict[int, str | None] = field(default_factory=dict)


def variants() -> list[Variant]:
    every = []
    for at in LAYOUTS:
        truth: dict[int, str | None] = {40_000: at.path, FORGED: None}
        for name, make in WRONG.items():
            every.append(Variant(f"{at.name}: {name}", at.frames(), make(at), truth))
        for name, send in OUTSIDERS.items():
            every.append(Variant(f"{at.name}: {name}", [*at.frames(), *send(at)], ALL, truth))
            learned = ALL.replace(f'peer_mac = "{w.AWS1}"\n', "")
            every.append(Variant(f"{at.name}: {name}, MAC not stated", [*at.frames(), *send(at)], learned, truth))
    return every
