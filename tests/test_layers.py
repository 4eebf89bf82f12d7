"""Whatever lies around a TCP connection, the flow inside is recognised, and what was around it is kept."""

import struct
from typing import Any

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import GRE, CookedLinux, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests import wire

SYN = TCP(sport=40_000, dport=443, flags="S", seq=7)
V4 = IP(src="10.0.0.1", dst="192.0.2.10") / SYN
V6 = IPv6(src="2001:db8::1", dst="2001:db8::10") / SYN
E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUTER = E / IP(src="172.31.0.1", dst="172.31.0.2")
# A data frame to the access point, with LLC and SNAP.
AIR = Raw(b"\x08\x01\0\0" + bytes(6) + b"\2\0\0\0\0\1" + b"\2\0\0\0\0\2" + b"\0\0" + b"\xaa\xaa\x03\0\0\0\x08\0")
AIR6 = Raw(bytes(AIR)[:-2] + b"\x86\xdd")
LOOPBACK6 = struct.pack("<I", 24) + bytes(V6)

CASES: list[tuple[str, int, Any, str | None, str | None]] = [
    ("ethernet", 1, E / V4, None, None),
    ("ipv6", 1, E / V6, None, None),
    ("one tag", 1, E / Dot1Q(vlan=101) / V4, "101", None),
    ("stacked tags", 1, E / Dot1AD(vlan=100) / Dot1Q(vlan=20) / V4, "100.20", None),
    ("three tags", 1, E / Dot1Q(vlan=1) / Dot1Q(vlan=4094) / Dot1Q(vlan=3) / V6, "1.4094.3", None),
    ("cooked", 113, CookedLinux(proto=0x0800) / V4, None, None),
    ("cooked v2", 276, struct.pack(">HHIHBB8s", 0x86DD, 0, 1, 1, 0, 6, b"\2\0\0\0\0\1") + bytes(V6), None, None),
    (
        "cooked, of a monitor",
        113,
        struct.pack(">HHHQH", 0, 803, 6, 0, 4) + b"\0\0\x08\0" + bytes(4) + bytes(AIR) + bytes(V4),
        None,
        None,
    ),
    ("cooked v2, of a monitor", 276, struct.pack(">HHIHBB8x", 4, 0, 1, 801, 0, 6) + bytes(AIR) + bytes(V4), None, None),
    ("cooked with a tag", 113, CookedLinux(proto=0x8100) / Dot1Q(vlan=7) / V4, "7", None),
    ("raw", 101, V4, None, None),
    ("raw, six", 101, V6, None, None),
    ("link type 12", 12, V4, None, None),
    ("link type IPv4", 228, V4, None, None),
    ("link type IPv6", 229, V6, None, None),
    ("loopback", 0, struct.pack("<I", 2) + bytes(V4), None, None),
    ("loopback of the other byte order", 0, struct.pack(">I", 30) + bytes(V6), None, None),
    ("loopback, six", 0, LOOPBACK6, None, None),
    ("OpenBSD loopback", 108, struct.pack(">I", 2) + bytes(V4), None, None),
    ("ppp", 9, PPP() / V4, None, None),
    ("ppp, compressed protocol", 9, b"\x21" + bytes(V4), None, None),
    ("ppp, likewise with a short number", 9, b"\xff\3\0\x3d\xc0\1\x21" + bytes(V4), None, None),
    ("ppp in HDLC", 50, b"\xff\x03\x00\x57" + bytes(V6), None, None),
    ("ppp, a packet of multilink that is whole", 9, b"\xff\3\0\x3d\xc0\0\0\1\0\x21" + bytes(V4), None, None),
    ("Cisco HDLC", 50, b"\x0f\x00\x08\x00" + bytes(V4), None, None),
    ("pppoe", 1, E / PPPoE(sessionid=3) / PPP(proto=0x21) / V4, None, None),
    ("mpls", 1, E / MPLS(label=16, s=0) / MPLS(label=17, s=1) / V4, None, None),
    ("mpls pseudowire", 1, E / MPLS(label=16, s=1) / Raw(b"\0\0\0\0") / E / V4, None, None),
    (
        "vxlan",
        1,
        OUTER / UDP(sport=9, dport=4789) / VXLAN(vni=4096, flags="Instance") / E / Dot1Q(vlan=5) / V4,
        "5",
        "vxlan:4096",
    ),
    ("gre", 1, OUTER / GRE(proto=0x0800) / V4, None, "gre"),
    ("gre with key and sequence", 1, OUTER / GRE(proto=0x86DD, key_present=1, seqnum_present=1) / V6, None, "gre"),
    ("gre with ethernet", 1, OUTER / GRE(proto=0x6558) / E / V4, None, "gre"),
    ("ip in ip", 1, OUTER / V4, None, "ipip"),
    ("six in four", 1, OUTER / V6, None, "ipip"),
    ("four in six", 1, E / IPv6(src="2001:db8::2", dst="2001:db8::3", nh=4) / V4, None, "ipip"),
    (
        "gre in vxlan",
        1,
        OUTER / UDP(dport=4789) / VXLAN(vni=1, flags="Instance") / OUTER / GRE() / V4,
        None,
        "vxlan:1/gre",
    ),
    (
        "extension headers",
        1,
        E
        / IPv6(src="2001:db8::1", dst="2001:db8::10")
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrRouting()
        / IPv6ExtHdrDestOpt()
        / SYN,
        None,
        None,
    ),
    (
        "LLC/SNAP",
        1,
        bytes(E)[:12] + struct.pack(">H", len(V4) + 8) + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(V4),
        None,
        None,
    ),
    ("erspan I", 1, OUTER / GRE(proto=0x88BE) / E / Dot1Q(vlan=9) / V4, "9", "erspan:0"),
    (
        "erspan II",
        1,
        OUTER / GRE(proto=0x88BE, seqnum_present=1) / Raw(b"\x10\x05\x00\x2a" + bytes(4)) / E / V4,
        None,
        "erspan:42",
    ),
    (
        "erspan III",
        1,
        OUTER / GRE(proto=0x22EB, seqnum_present=1) / Raw(b"\x20\x05\x00\x07" + bytes(8)) / E / V6,
        None,
        "erspan:7",
    ),
    (
        "erspan III with a subheader",
        1,
        OUTER / GRE(proto=0x22EB, seqnum_present=1) / Raw(b"\x20\x05\x00\x07" + bytes(7) + b"\x01" + bytes(8)) / E / V4,
        None,
        "erspan:7",
    ),
    ("gtp-u", 1, OUTER / UDP(dport=2152) / Raw(b"\x30\xff" + struct.pack(">HI", len(V4), 77)) / V4, None, "gtp:77"),
    (
        "gtp-u with an extension header",
        1,
        OUTER / UDP(dport=2152) / Raw(b"\x34\xff" + struct.pack(">HI", len(V4) + 8, 77) + b"\0\0\0\x85\x01\0\0\0") / V4,
        None,
        "gtp:77",
    ),
    ("teredo", 1, OUTER / UDP(dport=3544) / V6, None, "teredo"),
    ("teredo back", 1, OUTER / UDP(sport=3544, dport=50_001) / Raw(b"\0\0" + bytes(6)) / V6, None, "teredo"),
    (
        "teredo with authentication and origin",
        1,
        OUTER / UDP(dport=3544) / Raw(b"\0\1\0\0" + bytes(9) + b"\0\0" + bytes(6)) / V6,
        None,
        "teredo",
    ),
    ("l2tp", 1, OUTER / UDP(dport=1701) / Raw(b"\x00\x02\x00\x0b\x00\x01\xff\x03\x00\x21") / V4, None, "l2tp:11"),
    (
        "l2tp with length and sequence",
        1,
        OUTER
        / UDP(dport=1701)
        / Raw(b"\x48\x02" + struct.pack(">H", len(V4) + 16) + b"\0\x0b\0\1\0\0\0\0\xff\3\0\x21")
        / V4,
        None,
        "l2tp:11",
    ),
    (
        "pptp",
        1,
        OUTER / GRE(version=1, key_present=1, proto=0x880B, key=5, seqnum_present=1) / PPP(proto=0x21) / V4,
        None,
        "gre",
    ),
    ("capwap", 1, OUTER / UDP(dport=5247) / Raw(b"\0\x10\x02\x00\0\0\0\0") / E / V4, None, "capwap"),
    (
        "capwap with a native frame",
        1,
        OUTER / UDP(dport=5247) / Raw(b"\0\x10\x03\0\0\0\0\0") / AIR / V4,
        None,
        "capwap",
    ),
    ("tzsp", 1, OUTER / UDP(dport=37008) / Raw(b"\1\0\0\1\x0a\1\5\0\1") / E / V4, None, "tzsp"),
    ("security group tag", 1, bytes(E)[:12] + b"\x89\x09\1\1\0\1\0\2\x08\0" + bytes(V4), None, None),
    ("backbone", 1, bytes(E)[:12] + b"\x88\xe7\0\0\0\5" + bytes(E / V4), None, None),
    ("macsec, not encrypted", 1, bytes(E)[:12] + b"\x88\xe5\0\0\0\0\0\1\x08\0" + bytes(V4), None, None),
    ("802.11", 105, AIR / V4, None, None),
    (
        "802.11 with quality of service",
        105,
        b"\x88\x01" + bytes(AIR)[2:24] + b"\0\0" + bytes(AIR6)[24:] + bytes(V6),
        None,
        None,
    ),
    ("radiotap", 127, b"\0\0\x0a\0\0\0\0\0\0\0" + bytes(AIR / V4), None, None),
    ("prism", 119, b"\0\0\0\x44" + struct.pack("<I", 144) + bytes(136) + bytes(AIR / V4), None, None),
    ("AVS", 163, struct.pack(">II", 0x80211001, 64) + bytes(56) + bytes(AIR / V4), None, None),
    ("PPI", 192, struct.pack("<BBHI", 0, 0, 8, 105) + bytes(AIR / V4), None, None),
    ("Cisco HDLC link", 104, b"\x0f\0\x08\0" + bytes(V4), None, None),
    (
        "NFLOG of a host of the other byte order",
        239,
        b"\2\0\0\0" + struct.pack(">HH", 8, 1) + bytes(4) + struct.pack(">HH", 4 + len(V4), 9) + bytes(V4),
        None,
        None,
    ),
    (
        "NFLOG",
        239,
        b"\2\0\0\0" + struct.pack("<HH", 8, 1) + bytes(4) + struct.pack("<HH", 4 + len(V4), 9) + bytes(V4),
        None,
        None,
    ),
]


@pytest.mark.parametrize(("link", "packet", "vlan", "tunnel"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_layer(audit_bytes: Any, link: int, packet: Packet | bytes, vlan: str | None, tunnel: str | None) -> None:
    """The inner flow is recognised, with its VLAN tags from outer to inner and its tunnels."""
    flow = wire.only(audit_bytes(wire.pcap([bytes(packet)], link=link)).flows)
    assert (flow["client_port"], flow["server_port"], flow["tcp_state"]) == (40_000, 443, "S0")
    assert flow["client_ip"] in ("10.0.0.1", "2001:db8::1")
    assert flow["server_ip"] in ("192.0.2.10", "2001:db8::10")
    assert (flow["vlan"] if isinstance(flow["vlan"], str) else None) == vlan
    assert (flow["tunnel"] if isinstance(flow["tunnel"], str) else None) == tunnel


def test_geneve_options_of_a_gateway_load_balancer(audit_bytes: Any) -> None:
    """The endpoint and attachment that AWS writes into GENEVE options are kept with the tunnel."""
    options = [
        GeneveOptions(classid=0x0108, type=1, data=bytes.fromhex("0a1b2c3d4e5f6071")),
        GeneveOptions(classid=0x0108, type=2, data=bytes.fromhex("0000000000000abc")),
        GeneveOptions(classid=0x0108, type=3, data=b"\0\0\0\1"),
    ]
    packet = OUTER / UDP(dport=6081) / GENEVE(vni=0, proto=0x0800, options=options) / V4
    flow = wire.only(audit_bytes(wire.pcap([bytes(packet)])).flows)
    assert flow["tunnel"] == "geneve:0 vpce-00a1b2c3d4e5f6071 attachment-abc"


def test_ethernet_padding_is_no_payload(audit_bytes: Any) -> None:
    """Bytes after the IP packet's length belong to the link layer."""
    packet = bytes(E / IP(src="10.0.0.1", dst="192.0.2.10") / TCP(flags="A")) + b"SSH-2."
    flow = wire.only(audit_bytes(wire.pcap([packet])).flows)
    assert not isinstance(flow["protocol"], str)


def test_snap_length(audit_bytes: Any) -> None:
    """Packets of which only the beginning was captured still make flows, and count as short."""
    packets = wire.Talk().open().play([("c", b"x" * 1000)]).packets
    result = audit_bytes(wire.pcap(packets, snap=60))
    assert wire.only(result.captures)["short"] == 1
    assert wire.only(result.flows)["client_bytes"] == sum(map(len, [packets[0], packets[2], packets[3]]))


def test_packets_that_end_inside_a_header(audit_bytes: Any) -> None:
    """Each is counted once as cut by a snap length, and one that is whole but empty is not said to be cut by it."""
    packets = wire.Talk().open().play([("c", b"x" * 1000)]).packets
    row = wire.only(audit_bytes(wire.pcap(packets, snap=20)).captures)
    assert (row["short"], row["cut"]) == (4, 4)
    assert row["warnings"].startswith("4 packets are cut (a snap length")
    assert "4 packets end inside a header" in row["warnings"]
    row = wire.only(audit_bytes(wire.pcap([*packets, b""])).captures)
    assert (row["short"], row["cut"]) == (0, 1)
    assert row["warnings"].startswith("1 packet ends inside a header")


def test_what_is_not_ip_is_counted(audit_bytes: Any) -> None:
    """ARP, ICMP, later fragments, cut headers and nonsense are counted apart, and make no flows."""
    arp = bytes(E)[:12] + b"\x08\x06" + bytes(28)
    icmp = bytes(E / IP(src="10.0.0.1", dst="10.0.0.2", proto=1) / Raw(bytes(8)))
    fragment = bytes(E / IP(src="10.0.0.1", dst="10.0.0.2", frag=10, proto=6) / Raw(bytes(64)))
    short = bytes(E / V4)[:40]
    nonsense = bytearray(bytes(E / V4))
    nonsense[14] = 0x41
    result = audit_bytes(wire.pcap([arp, icmp, fragment, short, bytes(nonsense)]))
    row = wire.only(result.captures)
    assert [row[name] for name in ("not_ip", "other_ip", "fragments", "cut", "malformed", "flows")] == [
        1,
        1,
        1,
        1,
        1,
        0,
    ]


def test_nesting_ends(audit_bytes: Any) -> None:
    """A packet of endless tunnels is malformed, not a crash."""
    packet: Any = E
    for _ in range(40):
        packet = packet / IP(src="10.0.0.1", dst="10.0.0.2")
    assert wire.only(audit_bytes(wire.pcap([bytes(packet / V4)])).captures)["malformed"] == 1


def test_link_type_that_is_not_decoded_is_said(audit_bytes: Any) -> None:
    """Packets of an unknown link type are counted, with a warning that names it."""
    row = wire.only(audit_bytes(wire.pcap([bytes(E / V4)], link=147)).captures)
    assert row["not_ip"] == 1
    assert "link type 147" in row["warnings"]


def test_frames_encrypted_below_ip_are_counted(audit_bytes: Any) -> None:
    """MACsec and protected 802.11: nothing inside is guessed, and the captures table says how many there were."""
    macsec = bytes(E)[:12] + b"\x88\xe5\x2c\0\0\0\0\1" + bytes(60)
    assert wire.only(audit_bytes(wire.pcap([macsec, macsec])).captures)["encrypted"] == 2
    protected = bytes(AIR)[:1] + b"\x41" + bytes(AIR)[2:24] + bytes(40)
    assert wire.only(audit_bytes(wire.pcap([protected], link=105)).captures)["encrypted"] == 1


def test_what_is_not_looked_into_is_a_warning(audit_bytes: Any) -> None:
    """Packets that are encrypted below IP, contradict themselves, or belong to no flow are said with the capture, none for others."""
    macsec = bytes(E)[:12] + b"\x88\xe5\x2c\0\0\0\0\1" + bytes(60)
    arp, udp = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", type=0x0806)) + bytes(28), wire.datagram(b"x")
    icmp = bytes(E / IP(src="10.0.0.1", dst="10.0.0.2", proto=1) / Raw(bytes(8)))
    nonsense = bytearray(bytes(E / V4))
    nonsense[14] = 0x41

    def warnings(*packets: bytes) -> str | None:
        return wire.only(audit_bytes(wire.pcap(list(packets))).captures)["warnings"] or None

    inside = "encrypted below IP (MACsec, 802.11): what is inside cannot be seen"
    assert warnings(macsec, udp) == f"1 frame is {inside}"
    assert warnings(macsec, macsec, udp) == f"2 frames are {inside}"
    malformed = "1 packet has a header that contradicts itself: what is behind is not read"
    assert warnings(bytes(nonsense), udp) == malformed
    assert warnings(arp, icmp, icmp) == (
        "none of its packets belongs to a flow: 2 are of an IP protocol without flows"
        " and 1 is without IP, or of a link type that is not decoded"
    )
    assert warnings(arp, icmp, udp) is None


def test_esp_is_a_flow_without_ports(audit_bytes: Any) -> None:
    """IPsec: both directions make one flow, whose contents are not observable."""
    there = E / IP(src="10.0.0.1", dst="192.0.2.10", proto=50) / Raw(bytes(100))
    back = E / IP(src="192.0.2.10", dst="10.0.0.1", proto=50) / Raw(bytes(80))
    flow = wire.only(audit_bytes(wire.pcap([bytes(there), bytes(back)])).flows)
    assert (flow["transport"], flow["protocol"], flow["client_packets"], flow["server_packets"]) == ("esp", "esp", 1, 1)


@pytest.mark.parametrize(
    ("name", "port", "payload"),
    [
        ("wireguard", 51_820, b"\1\0\0\0" + bytes(144)),
        ("ike", 500, bytes(16) + b"\x21\x20\x22\x08" + bytes(4) + struct.pack(">I", 28)),
        ("ike", 4500, bytes(4) + b"spi-spi-" + bytes(8) + b"\x21\x20\x22\x08" + bytes(4) + struct.pack(">I", 28)),
        ("openvpn", 1194, b"\x38sessions" + b"\0" + bytes(4)),
    ],
)
def test_vpns_are_named(audit_bytes: Any, name: str, port: int, payload: bytes) -> None:
    """WireGuard, IKE and OpenVPN are known by the form of their first message, on any port."""
    for number in (port, 40_404):
        assert wire.only(audit_bytes(wire.pcap([wire.datagram(payload, dport=number)])).flows)["protocol"] == name


def test_a_tunnels_port_does_not_make_a_tunnel(audit_bytes: Any) -> None:
    """Other bytes on a tunnel's port are a flow of their own."""
    for port in (1701, 2152, 3544, 4789, 5247, 6081, 37_008):
        flow = wire.only(
            audit_bytes(wire.pcap([wire.datagram(b"\x99hello, world, this is no tunnel", dport=port)])).flows
        )
        assert (flow["server_port"], flow["transport"]) == (port, "udp")
