"""What routers, hosts and switches say beside flows: packets that name addresses and MACs, and prove no path.

Each builder takes the address that is claimed, the MAC that is to have it, and the place at which the packet appears.
"""

import ipaddress
import struct
from collections.abc import Callable

from tests import wire
from tests.lab import world as w
from tests.lab.world import Frame, Wire

ALL = "ff:ff:ff:ff:ff:ff"
V6_ROUTER, V6_HOST = "fe80::66", "2001:db8:20::10"


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def sent(at: Wire, kind: int, body: bytes, target: str = ALL) -> list[Frame]:
    """A frame from an outsider's place."""
    return [(w.BEGIN, w.mac(target) + w.mac(at.far) + w.tag(at.vlan) + struct.pack(">H", kind) + body)]


def in_ip(at: Wire, protocol: int, body: bytes, source: str, target: str = "224.0.0.1", ttl: int = 1) -> list[Frame]:
    """An IPv4 packet from an outsider's place."""
    head = (
        struct.pack(">BBHHHBBH", 0x45, 0xC0, 20 + len(body), 7, 0, ttl, protocol, 0) + packed(source) + packed(target)
    )
    return sent(at, 0x0800, head[:10] + struct.pack(">H", wire.checksum(head)) + head[12:] + body)


def in_ip6(at: Wire, body: bytes, source: str, target: str = "ff02::1") -> list[Frame]:
    """An ICMPv6 message that was sent on this link."""
    pseudo = packed(source) + packed(target) + struct.pack(">IHBB", len(body), 0, 0, 58)
    body = body[:2] + struct.pack(">H", wire.checksum(pseudo + body)) + body[4:]
    return sent(at, 0x86DD, struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + packed(source) + packed(target) + body)


def in_udp(at: Wire, ports: tuple[int, int], body: bytes, source: str, target: str = "224.0.0.251") -> list[Frame]:
    packet = wire.datagram(body, *ports, client=source, server=target)
    return [(w.BEGIN, w.mac(ALL) + w.mac(at.far) + w.tag(at.vlan) + packet[12:])]


def as_v6(address: str) -> str:
    """The address itself, or one in which an IPv4 address is written."""
    return address if ":" in address else f"2001:db8:ffff::{address}"


def as_v4(address: str) -> str:
    return "169.254.96.1" if ":" in address else address


def advertisement(address: str, mac: str, at: Wire, target: str = "ff02::1") -> list[Frame]:
    """A Neighbor Advertisement, as a proxy sends it to one host of a LAN, or to all (RFC 4389, RFC 4861 4.4)."""
    body = b"\x88\0\0\0\x60\0\0\0" + packed(as_v6(address)) + b"\2\1" + w.mac(mac)
    return in_ip6(at, body, as_v6(address), target)


def dhcp(address: str, mac: str, at: Wire) -> list[Frame]:
    """An answer that gives an address to a MAC, and names it as the router (RFC 2131, RFC 2132)."""
    given = packed(as_v4(address))
    body = b"\2\1\6\0" + bytes(12) + given + given + bytes(4) + w.mac(mac) + bytes(202)
    return in_udp(
        at, (67, 68), body + b"\x63\x82\x53\x63\x35\1\5\3\4" + given + b"\xff", as_v4(address), "255.255.255.255"
    )


def bgp_at(source: str, target: str, at: Wire) -> list[Frame]:
    """A session between link-local addresses that one outsider makes up, for both sides."""
    frames = []
    for number, (sender, packet) in enumerate(
        w.with_sides(wire.Talk(50_179, 179, client=target, server=source).open().play(
            [("c", w.hello(65_001, "192.0.2.2")), ("s", w.hello(7224, "192.0.2.1")), ("s", w.update(["52.94.0.0/16"], "169.254.96.1", [7224]))]
        ))
    ):  # fmt: skip
        raw = bytearray(packet)
        raw[21 if ":" in source else 22] = 1
        frames.append((w.BEGIN + number, w.mac(w.EDGE) + w.mac(at.far) + w.tag(at.vlan) + bytes(raw[12:])))
        assert sender in "cs"
    return frames


def nested(frames: list[Frame], head: bytes, at: Wire) -> list[Frame]:
    """Frames behind the header of another one: a pseudowire, a backbone's, a bridge's."""
    return [(when, w.mac(w.EDGE) + w.mac(at.far) + w.tag(at.vlan) + head + frame) for when, frame in frames]


LABEL = struct.pack(">I", 1000 << 12 | 0x1FF)
HEADS = {
    "pseudowire": b"\x88\x47" + LABEL + bytes(4),
    "pseudowire without a control word": b"\x88\x47" + LABEL,
    "backbone": b"\x88\xe7" + struct.pack(">I", 7000),
    "transparent bridging": b"\x65\x58",
    "TRILL": b"\x22\xf3\0\5\0\1\0\2",
}

Builder = Callable[[str, str, Wire], list[Frame]]


def _arp_in(head: bytes) -> Builder:
    return lambda a, m, at: nested([w.arp(as_v4(a), m, 101)], head, at)


PROTOCOLS: dict[str, Builder] = {
    "DHCP": dhcp,
    "DHCPv6": lambda a, m, at: in_udp(at, (547, 546), b"\7\1\2\3\0\1\0\x0e\0\1\0\1\0\0\0\0" + w.mac(m) + b"\0\5\0\x18" + packed(as_v6(a)) + bytes(8), V6_ROUTER, "ff02::1:2"),
    "router advertisement": lambda a, m, at: in_ip6(at, b"\x86\0\0\0\x40\0\7\x08" + bytes(8) + b"\1\1" + w.mac(m) + b"\x19\3\0\0\0\0\0\x3c" + packed(as_v6(a)), V6_ROUTER),
    "redirect": lambda a, m, at: in_ip(at, 1, b"\5\1\0\0" + packed(as_v4(a)) + bytes(28), "10.20.9.9", w.CLIENT, 64),
    "ICMPv6 redirect": lambda a, m, at: in_ip6(at, b"\x89\0\0\0\0\0\0\0" + packed(as_v6(a)) + packed(w.SERVER6) + b"\2\1" + w.mac(m), V6_ROUTER, V6_HOST),
    "proxied neighbour": lambda a, m, at: advertisement(a, m, at, V6_HOST),
    "neighbour": advertisement,
    "gratuitous ARP": lambda a, m, at: [w.arp(as_v4(a), m, 9, asker=as_v4(a))],
    "LLDP": lambda a, m, at: sent(at, 0x88CC, b"\2\7\4" + w.mac(m) + b"\4\5\5eth1\6\2\0\x78\x10\x0c\5\1" + packed(as_v4(a)) + b"\2\0\0\0\1\0\0\0", "01:80:c2:00:00:0e"),
    "CDP": lambda a, m, at: [(w.BEGIN, w.mac("01:00:0c:cc:cc:cc") + w.mac(m) + b"\0\x1d\xaa\xaa\3\0\0\x0c\x20\0\2\xb4\0\0\0\2\0\x11\0\0\0\1\1\1\xcc\0\4" + packed(as_v4(a)))],
    "LACP": lambda a, m, at: sent(at, 0x8809, b"\1\1\1\x14\x80\0" + w.mac(m) + bytes(100), "01:80:c2:00:00:02"),
    "EAPOL": lambda a, m, at: sent(at, 0x888E, b"\3\5\0\x10" + w.mac(m) + bytes(10), "01:80:c2:00:00:03"),
    "VRRP": lambda a, m, at: in_ip(at, 112, b"\x31\1\x64\1\0\x64\0\0" + packed(as_v4(a)), "10.20.9.9", "224.0.0.18", 255),
    "HSRP": lambda a, m, at: in_udp(at, (1985, 1985), b"\0\0\x10\3\x0a\x64\1\0cisco\0\0\0" + packed(as_v4(a)), "10.20.9.9", "224.0.0.2"),
    "GLBP": lambda a, m, at: in_udp(at, (3222, 3222), b"\1\0\0\1\0\0" + w.mac(m) + packed(as_v4(a)), "10.20.9.9", "224.0.0.102"),
    "OSPF": lambda a, m, at: in_ip(at, 89, b"\2\1\0\x2c" + packed(as_v4(a)) + bytes(36), as_v4(a), "224.0.0.5"),
    "RIP": lambda a, m, at: in_udp(at, (520, 520), b"\2\2\0\0\0\2\0\0" + packed("52.94.0.0") + b"\xff\xff\0\0" + packed(as_v4(a)) + b"\0\0\0\1", as_v4(a), "224.0.0.9"),
    "EIGRP": lambda a, m, at: in_ip(at, 88, b"\2\5" + bytes(18) + b"\0\1\0\x0c\1\0\1\0\0\0\0\x0f", as_v4(a), "224.0.0.10"),
    "IS-IS": lambda a, m, at: [(w.BEGIN, w.mac("01:80:c2:00:00:15") + w.mac(m) + b"\0\x24\xfe\xfe\3\x83\x1b\1\0\x0f\1\0\0\1" + bytes(6) + b"\x84\4" + packed(as_v4(a)))],
    "IGMP": lambda a, m, at: in_ip(at, 2, b"\x16\0\0\0\xe0\0\0\xfb", as_v4(a), "224.0.0.251"),
    "MLD": lambda a, m, at: in_ip6(at, b"\x83\0\0\0\0\0\0\0" + packed("ff02::fb"), V6_ROUTER),
    "mDNS": lambda a, m, at: in_udp(at, (5353, 5353), b"\0\0\x84\0\0\0\0\1\0\0\0\0\3aws\5local\0\0\1\x80\1\0\0\0\x78\0\4" + packed(as_v4(a)), as_v4(a)),
    "BFD": lambda a, m, at: in_udp(at, (49152, 3784), b"\x20\xc0\3\x18" + bytes(20), as_v4(a), "169.254.96.2"),
    "BGP between link-local addresses": lambda a, m, at: bgp_at("fe80::66", "fe80::2", at),
    "BGP in a tunnel": lambda a, m, at: w.gre(bgp_at(as_v4(a), "169.254.96.2", at), "198.51.100.66", "203.0.113.1"),
    "MACsec": lambda a, m, at: [(w.BEGIN, w.mac(w.EDGE) + w.mac(m) + b"\x88\xe5\x2c\0\0\0\0\1" + bytes(60))],
    **{f"ARP in a {name}": _arp_in(head) for name, head in HEADS.items()},
}  # fmt: skip
