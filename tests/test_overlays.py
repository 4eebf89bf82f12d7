"""Overlays, fabrics, service chains and link layers that few captures have: the handshake inside is read to its end."""

import itertools
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

import auditor
from auditor.decode.fragments import Reassembler
from auditor.decode.layers import ETHERNET
from auditor.flows import state as S
from auditor.reading import scan
from auditor.reading.aggregates import LAYOUT
from auditor.reading.merging import NO_INTERFACES
from tests import carriers, wire

Run = Callable[..., Any]
Frame = Callable[[bytes, int], Any]  # of an Ethernet frame and its IP version
E = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
OUTER = E / IP(src="172.31.0.1", dst="172.31.0.2")
MACS = bytes(E)[:12]
ENDS_OF = {4: (wire.CLIENT, wire.SERVER), 6: ("2001:db8::1", "2001:db8::10")}
LABEL = struct.pack(">I", 100 << 12 | 0x100 | 64)  # the bottom of a stack
CHAIN = struct.pack(">I", 5 << 8 | 255)  # path and index of NSH


def frames(version: int = 4) -> list[bytes]:
    client, server = ENDS_OF[version]
    return wire.Talk(client=client, server=server).open().play(carriers.handshake()).close().packets


def udp(port: int, payload: bytes, source: int = 50_000) -> Any:
    return OUTER / UDP(sport=source, dport=port) / Raw(payload)


def in_ip(protocol: int, payload: bytes) -> Any:
    return E / IP(src="172.31.0.1", dst="172.31.0.2", proto=protocol) / Raw(payload)


def kind(version: int) -> bytes:
    return b"\x08\0" if version == 4 else b"\x86\xdd"


def gpe(following: int, inside: bytes, port: int = 4790) -> Any:
    return udp(port, bytes([0x0C, 0, 0, following]) + b"\0\0\7\0" + inside)


def nsh(following: int, inside: bytes) -> bytes:
    return bytes([0x0F, 0xC6, 1, following]) + CHAIN + bytes(16) + inside


def erspan_ip(frame: bytes) -> Any:
    head = struct.pack(">HHIHH", 0x2005, 99, 12_345, 0, 2 << 10)
    return OUTER / GRE(proto=0x22EB, seqnum_present=1, seqence_number=5) / Raw(head + frame[14:])


def segment_routing(frame: bytes) -> Any:
    header = bytes([143, 2, 4, 0, 0, 0, 0, 0]) + bytes(16)
    return E / IPv6(src="2001:db8:f::1", dst="2001:db8:f::2", nh=43) / Raw(header + frame)


def stt(frame: bytes, tag: int) -> bytes:
    """A frame behind a header that looks like TCP's, of draft-davie-stt 3.1, and STT's own."""
    inside = bytes(4) + struct.pack(">HHQH", 1460, tag, 7, 0) + frame
    return struct.pack(">HHHHIBBHHH", 50_000, 7471, len(inside), 0, 9, 0x50, 0x18, 0, 0, 0) + inside


OVERLAYS: dict[str, tuple[str | None, Frame]] = {
    "vxlan-gpe, ip": ("vxlan:7", lambda f, v: gpe(1 if v == 4 else 2, f[14:])),
    "vxlan-gpe, frame": ("vxlan:7", lambda f, v: gpe(3, f)),
    "vxlan-gpe, chain": ("vxlan:7", lambda f, v: gpe(4, nsh(3, f))),
    "vxlan-gpe, mpls": ("vxlan:7", lambda f, v: gpe(5, LABEL + f[14:])),
    "vxlan-gpe on vxlan's port": ("vxlan:7", lambda f, v: gpe(3, f, 4789)),
    "vxlan-gpe on any port": ("vxlan:7", lambda f, v: gpe(1 if v == 4 else 2, f[14:], 9999)),
    "vxlan on gpe's port": ("vxlan:7", lambda f, v: udp(4790, b"\x08\0\0\0\0\0\7\0" + f)),
    "gre with source routes": (
        "gre",
        lambda f, v: in_ip(47, b"\x60\0" + kind(v) + bytes(4) + b"\0\0\0\7" + b"\x08\0\0\4\1\2\3\4" + bytes(4) + f[14:]),
    ),
    "gre in udp": ("gre", lambda f, v: udp(4754, b"\0\0" + kind(v) + f[14:])),
    "gre in udp, keyed frame": ("gre", lambda f, v: udp(4754, b"\x20\0\x65\x58\0\0\0\7" + f)),
    "gtp, frame": ("gtp:5", lambda f, v: udp(2152, b"\x30\xff" + struct.pack(">HI", len(f), 5) + f)),
    "mirror of JUNOSe": (None, lambda f, v: udp(30_030, b"\0\0\0\1\0\0\0\2" + f[14:])),
    "mpls, pseudowire to a MAC that begins like IPv4": (None, lambda f, v: MACS + b"\x88\x47" + LABEL + b"\x44" + f[1:]),
    "mpls, pseudowire to a MAC that begins like IPv6": (None, lambda f, v: MACS + b"\x88\x47" + LABEL + b"\x64" + f[1:]),
    "gue": ("gue", lambda f, v: udp(6080, bytes([0, 4 if v == 4 else 41, 0, 0]) + f[14:])),
    "gue with extensions": ("gue", lambda f, v: udp(6080, bytes([2, 4 if v == 4 else 41, 0, 0]) + bytes(8) + f[14:])),
    "gue, variant 1": ("gue", lambda f, v: udp(6080, f[14:])),
    "lisp": ("lisp", lambda f, v: udp(4341, b"\x80\1\2\3\0\0\0\1" + f[14:])),
    "mpls over udp": ("mpls", lambda f, v: udp(6635, LABEL + f[14:])),
    "mpls over ip": ("mpls", lambda f, v: in_ip(137, LABEL + f[14:])),
    "mpls, pseudowire with a control word": (None, lambda f, v: MACS + b"\x88\x47" + LABEL + bytes(4) + f),
    "mpls, pseudowire without": (None, lambda f, v: MACS + b"\x88\x47" + LABEL + f),
    "etherip": ("etherip", lambda f, v: in_ip(97, b"\x30\0" + f)),
    "l2tp 3 over ip": ("l2tp:77", lambda f, v: in_ip(115, struct.pack(">I", 77) + f)),
    "l2tp 3 with a cookie": ("l2tp:77", lambda f, v: in_ip(115, struct.pack(">I", 77) + b"cookies!" + f)),
    "l2tp 3 with cookie and sublayer": ("l2tp:77", lambda f, v: in_ip(115, struct.pack(">I", 77) + bytes(12) + f)),
    "l2tp 3 over udp": ("l2tp:77", lambda f, v: udp(1701, struct.pack(">HHI", 3, 0, 77) + f, 1701)),
    "l2tp to a client behind NAT": (
        "l2tp:5",
        lambda f, v: udp(40_000, struct.pack(">HHH", 2, 5, 6) + (b"\x21" if v == 4 else b"\x57") + f[14:], 1701),
    ),
    "gtp, all of a number": (
        "gtp:2271560481",
        lambda f, v: udp(2152, b"\x30\xff" + struct.pack(">HI", len(f) - 14, 0x87654321) + f[14:]),
    ),
    "segment routing": ("srv6", lambda f, v: segment_routing(f)),
    "ethernet over ip": ("gre", lambda f, v: in_ip(47, b"\x20\1\x64\0" + struct.pack(">H", len(f)) + b"\7\0" + f)),
    "gre with metadata": (
        "gre",
        lambda f, v: in_ip(47, b"\x20\0\x89\x09\0\0\0\x28" + kind(v) + b"\1\1\0\1\0\0" + f[14:]),
    ),
    "gre of Aruba": ("gre", lambda f, v: in_ip(47, b"\0\0\x83\0" + aggregate(f, True))),
    "register of pim": ("pim", lambda f, v: in_ip(103, b"\x21\0\0\0" + bytes(4) + f[14:])),
    "stt": ("stt", lambda f, v: in_ip(6, stt(f, 0))),
    "time stamp of a tap": (None, lambda f, v: f[:12] + b"\xd2\x8b\0\1\0\x10" + bytes(8) + f[12:]),
    "short time stamp of a tap": (None, lambda f, v: f[:12] + b"\xd2\x8b\0\1\0\x21" + bytes(6) + f[12:]),
    "wccp 2": ("gre", lambda f, v: OUTER / GRE(proto=0x883E) / Raw(b"\1\0\0\0" + f[14:])),
    "erspan III, ip": ("erspan:99", lambda f, v: erspan_ip(f)),
    "nsh": (None, lambda f, v: MACS + b"\x89\x4f" + nsh(3, f)),
    "nsh, ip": (None, lambda f, v: MACS + b"\x89\x4f" + nsh(1 if v == 4 else 2, f[14:])),
    "trill": (None, lambda f, v: MACS + b"\x22\xf3" + b"\0\x40\0\1\0\2" + bytes(4) + f),
    "fabricpath": (None, lambda f, v: MACS + b"\x89\x03\0\x64" + f),
    "vn-tag": (None, lambda f, v: f[:12] + b"\x89\x26" + bytes(4) + f[12:]),
    "e-tag": (None, lambda f, v: f[:12] + b"\x89\x3f" + bytes(6) + f[12:]),
    "switch tag of Marvell, with its type": (None, lambda f, v: f[:12] + b"\xda\xda\0\0\xc0\x10\0\1" + f[12:]),
    "switch tag without a type": (None, lambda f, v: f[:12] + b"\xc0\x10\0\1" + f[12:]),
    "switch tag that begins like a length": (None, lambda f, v: f[:12] + b"\0\0\0\4" + f[12:]),
    "switch tag of two bytes": (None, lambda f, v: f[:12] + b"\x90\3" + f[12:]),
    "hsr": (None, lambda f, v: f[:12] + b"\x89\x2f\0\x34\0\1" + f[12:]),
}  # fmt: skip
PREAMBLE = b"\x55" * 7 + b"\xd5"
SNAP = b"\xaa\xaa\3\0\0\0"
LINKS: dict[str, tuple[int, Frame]] = {
    "frame relay": (107, lambda f, v: b"\x18\x41\3" + (b"\xcc" if v == 4 else b"\x8e") + f[14:]),
    "frame relay, snap": (107, lambda f, v: b"\x18\x41\3\0\x80\0\0\0" + f[12:]),
    "frame relay, bridged": (107, lambda f, v: b"\x18\x41\3\0\x80\0\x80\xc2\0\7" + f),
    "frame relay, long address": (107, lambda f, v: b"\x18\x40\x40\1\3" + (b"\xcc" if v == 4 else b"\x8e") + f[14:]),
    "frame relay of Cisco": (107, lambda f, v: b"\x18\x41" + f[12:]),
    "frame relay with direction": (206, lambda f, v: b"\1\x18\x41" + f[12:]),
    "ppp with direction": (204, lambda f, v: b"\1\xff\3" + (b"\0\x21" if v == 4 else b"\0\x57") + f[14:]),
    "ppp of pppd": (166, lambda f, v: b"\1\3" + (b"\0\x21" if v == 4 else b"\0\x57") + f[14:]),
    "hdlc with direction": (205, lambda f, v: b"\0\x0f\0" + f[12:]),
    "fddi": (10, lambda f, v: b"\x50" + f[:12] + SNAP + f[12:]),
    "token ring": (6, lambda f, v: b"\x10\x40" + f[:12] + SNAP + f[12:]),
    "token ring with a route": (
        6,
        lambda f, v: b"\x10\x40" + f[:6] + bytes([f[6] | 0x80]) + f[7:12] + b"\6\0\0\1\0\2" + SNAP + f[12:],
    ),
    "atm": (100, lambda f, v: SNAP + f[12:]),
    "atm, bridged": (100, lambda f, v: b"\xaa\xaa\3\0\x80\xc2\0\7\0\0" + f),
    "atm of Sun": (123, lambda f, v: b"\2\0\0\x20" + SNAP + f[12:]),
    "firewire": (138, lambda f, v: bytes(16) + f[12:]),
    "netANALYZER": (240, lambda f, v: bytes(4) + f),
    "Juniper": (178, lambda f, v: b"MGC\0" + f),
    "Juniper with extensions": (178, lambda f, v: b"MGC\x81\0\6\1\1\5\2\1\4" + f),
    "Juniper, ip alone": (178, lambda f, v: b"MGC\2" + struct.pack(">I", 2) + f[14:]),
    "Juniper, ppp": (179, lambda f, v: b"MGC\0" + b"\xff\3" + (b"\0\x21" if v == 4 else b"\0\x57") + f[14:]),
    "Juniper, frame relay": (180, lambda f, v: b"MGC\0\x18\x41" + f[12:]),
    "Juniper, hdlc": (181, lambda f, v: b"MGC\x81\0\6\1\1\5\2\1\4\x0f\0" + f[12:]),
    "Juniper, services": (136, lambda f, v: b"MGC\0\x4d\1\2\3\4\5" + f[14:]),
    "Juniper, multilink ppp": (130, lambda f, v: b"MGC\x81\0\6\1\1\5\2\1\4" + bytes(8) + (b"\0\x21" if v == 4 else b"\0\x57") + f[14:]),
    "Juniper, multilink frame relay": (131, lambda f, v: b"MGC\0\0\0\3" + (b"\xcc" if v == 4 else b"\x8e") + f[14:]),
    "Juniper, atm": (135, lambda f, v: b"MGC\0" + bytes(8) + SNAP + f[12:]),
    "Juniper, monitor, ip alone": (164, lambda f, v: b"MGC\2" + struct.pack(">I", 2) + f[14:]),
    "Juniper, pppoe": (167, lambda f, v: b"MGC\0" + MACS + b"\x88\x64\x11\0\0\1" + struct.pack(">H", len(f) - 12) + (b"\0\x21" if v == 4 else b"\0\x57") + f[14:]),
    "classical ip over atm": (106, lambda f, v: SNAP + f[12:]),
    "classical ip over atm, alone": (106, lambda f, v: f[14:]),
    "raw ip of OpenBSD, which is its loopback": (12, lambda f, v: struct.pack(">I", 2 if v == 4 else 24) + f[14:]),
    "slip": (8, lambda f, v: b"\1\x40" + bytes(14) + f[14:]),
    "fibre channel": (122, lambda f, v: b"\x10\0" + f[:6] + b"\x10\0" + f[6:12] + SNAP + f[12:]),
    "zones of Solaris": (226, lambda f, v: b"\2\2\0\1" + bytes(20) + f[14:]),
    "netANALYZER transparent": (241, lambda f, v: bytes(4) + PREAMBLE + f),
    "ethernet with preamble": (274, lambda f, v: PREAMBLE + f + bytes(4)),
    "passive optical network": (259, lambda f, v: b"\xd5\x55\x55\0\1\x99" + f),
    "mpls": (219, lambda f, v: LABEL + f[14:]),
    "infiniband": (242, lambda f, v: f[12:14] + b"\0\0" + f[14:]),
    "infiniband with addresses": (242, lambda f, v: bytes(range(40)) + f[12:14] + b"\0\0" + f[14:]),
    "cable": (143, lambda f, v: b"\0\0" + struct.pack(">H", len(f)) + b"\x12\x34" + f),
    "cable, extended": (143, lambda f, v: b"\1\5" + struct.pack(">H", len(f) + 5) + b"\x44\x11\0\7\0\x12\x34" + f),
    "cable, put together": (143, lambda f, v: b"\xf8\1\0\0\0\0\0\0" + struct.pack(">H", len(f)) + b"\x12\x34" + f),
    "arcnet": (7, lambda f, v: b"\1\2" + (b"\xd4" if v == 4 else b"\xc4") + b"\0\0\7" + f[14:]),
    "arcnet, exception": (7, lambda f, v: b"\1\2" + (b"\xd4" if v == 4 else b"\xc4").join([b"", b"\xff\xff\xff", b"\0\0\7"]) + f[14:]),
    "arcnet of Linux": (129, lambda f, v: b"\1\2\0\0" + (b"\xd4" if v == 4 else b"\xc4") + b"\0\0\7" + f[14:]),
    "exported ip": (252, lambda f, v: b"\0\x0c\0\4" + (b"ip\0\0" if v == 4 else b"ipv6") + b"\0\0\0\0" + f[14:]),
    "exported frames": (252, lambda f, v: b"\0\x0c\0\x14eth_maybefcs" + bytes(8) + b"\0\0\0\0" + f),
    "Broadcom": (281, lambda f, v: f[:12] + b"\x40\0\0\3" + f[12:]),
    "Broadcom, in front": (282, lambda f, v: b"\x40\0\0\3" + f),
    "Marvell": (284, lambda f, v: f[:12] + b"\xc0\x10\0\1" + f[12:]),
    "Marvell with a type": (285, lambda f, v: f[:12] + b"\xda\xda\0\0\xc0\x10\0\1" + f[12:]),
    "Windows loopback": (0, lambda f, v: struct.pack("<I", 2 if v == 4 else 23) + f[14:]),
    "multilink frame relay": (182, lambda f, v: b"\xc0\1\x18\x41\3" + (b"\xcc" if v == 4 else b"\x8e") + f[14:]),
    "usb of Linux": (189, lambda f, v: b"\0" * 8 + b"S\3" + bytes(38) + f),
    "usb of Linux, memory-mapped": (220, lambda f, v: b"\0" * 8 + b"S\3" + bytes(54) + f),
    "usb of Windows": (249, lambda f, v: b"\x1b\0" + bytes(20) + b"\3" + struct.pack("<I", len(f)) + f),
    "cooked v2 with llc": (276, lambda f, v: struct.pack(">HHIHBB8s", 4, 0, 3, 1, 0, 6, f[6:12]) + SNAP + f[12:]),
}  # fmt: skip


def aggregate(frame: bytes, more: bool) -> bytes:
    """An 802.11 frame with an A-MSDU of one frame, or of that and another one without IP."""
    body = SNAP + frame[12:]
    part = frame[:12] + struct.pack(">H", len(body)) + body
    second = part[:12] + b"\0\x08" + SNAP + b"\x88\x8e"
    inside = part.ljust(-(-len(part) // 4) * 4, b"\0") + second if more else part
    return b"\x88\1\0\0" + b"\2\0\0\0\0\5" + frame[6:12] + frame[:6] + b"\0\0\x80\0" + inside


def mesh(frame: bytes, extension: int) -> bytes:
    """An 802.11 frame from one mesh point to another, with Mesh Control (IEEE 802.11 9.2.4.7.3)."""
    head = struct.pack("<BBHI", 0, 0, 8, 0) + b"\x88\3\0\0" + frame[:12] + frame[:6] + b"\0\0" + frame[6:12]
    return head + b"\0\1" + bytes([extension, 31, 0, 0, 0, 1]) + bytes(6 * extension) + SNAP + frame[12:]


WIRELESS: dict[str, tuple[int, Frame]] = {
    "802.11, aggregate": (105, lambda f, v: aggregate(f, False)),
    "802.11, aggregate of two": (105, lambda f, v: aggregate(f, True)),
    "radiotap, aggregate": (127, lambda f, v: struct.pack("<BBHI", 0, 0, 8, 0) + aggregate(f, False)),
    "radiotap, mesh": (127, lambda f, v: mesh(f, 0)),
    "radiotap, mesh with the addresses behind it": (127, lambda f, v: mesh(f, 2)),
    "ppi, ethernet": (192, lambda f, v: struct.pack("<BBHI", 0, 0, 8, 1) + f),
    "ppi, raw": (192, lambda f, v: struct.pack("<BBHI", 0, 0, 8, 101) + f[14:]),
}
LINKS |= WIRELESS


def check(result: Any) -> dict[str, Any]:
    """One handshake, whole, in one flow; every packet decoded."""
    row, flow, capture = wire.only(result.handshakes), wire.only(result.flows), wire.only(result.captures)
    assert (row["status"], row["server_name"], row["established"]) == ("complete", carriers.NAME, True)
    assert (flow["protocol"], capture["not_ip"], capture["malformed"]) == ("tls", 0, 0)
    return flow


@pytest.mark.parametrize(("name", "version"), list(itertools.product(OVERLAYS, (4, 6))))
def test_overlay(audit_bytes: Run, name: str, version: int) -> None:
    """The handshake of either IP version, and the tunnel's name and number."""
    tunnel, around = OVERLAYS[name]
    flow = check(audit_bytes(wire.pcap([bytes(around(frame, version)) for frame in frames(version)])))
    assert (flow["tunnel"] if isinstance(flow["tunnel"], str) else None) == tunnel


@pytest.mark.parametrize(("name", "version"), list(itertools.product(LINKS, (4, 6))))
def test_link(audit_bytes: Run, name: str, version: int) -> None:
    """Likewise under each link type."""
    link, around = LINKS[name]
    check(audit_bytes(wire.pcap([bytes(around(frame, version)) for frame in frames(version)], link=link)))


# Captures of others: packets, and those of them that are no IP (ARP), as tcpdump prints them.
CAPTURED = {
    "ipoib": (30, 4),
    "brcm-tag": (23, 6),
    "brcm-tag-prepend": (15, 4),
    "dsa": (8, 2),
    "edsa": (10, 4),
    "e1000g": (20, 0),
}


@pytest.mark.parametrize("name", CAPTURED)
def test_captures_of_others(corpus: Path, name: str) -> None:
    """InfiniBand, tags of Broadcom's and Marvell's switches and Solaris's zones, as tcpdump's own tests have them."""
    row = wire.only(auditor.audit(corpus / "tcpdump" / "tests" / f"{name}.pcap").captures)
    assert (row["packets"], row["not_ip"], row["malformed"]) == (*CAPTURED[name], 0)


@pytest.mark.parametrize("name", [*OVERLAYS, *LINKS])
def test_cut_headers_are_no_trouble(audit_bytes: Run, name: str) -> None:
    """A packet that ends anywhere in the headers around is counted, and nothing else happens."""
    link, around = LINKS.get(name, (1, OVERLAYS.get(name, (None, None))[1]))
    assert around is not None
    packet = bytes(around(frames()[0], 4))
    result = audit_bytes(wire.pcap([packet[:size] for size in range(1, len(packet))], link=link))
    assert wire.only(result.captures)["packets"] == len(packet) - 1
    assert result.handshakes.empty


def capwap(frame: bytes, identifier: int, size: int) -> list[bytes]:
    """A frame in CAPWAP's own fragments, ``size`` bytes each."""
    parts = [frame[at : at + size] for at in range(0, len(frame), size)]
    datagrams = []
    for number, part in enumerate(parts):
        flags = 0x80 | (0x40 if number == len(parts) - 1 else 0)
        head = bytes([0, 0x10, 0x02, flags]) + struct.pack(">HH", identifier, number * size)
        datagrams.append(bytes(udp(5247, head + part)))
    return datagrams


@pytest.mark.parametrize("size", [64, 200, 800])
@pytest.mark.parametrize("order", ["as sent", "last first", "shuffled"])
@pytest.mark.parametrize("tagged", [False, True])
def test_fragments_of_capwap(audit_bytes: Run, size: int, order: str, tagged: bool) -> None:
    """Frames in fragments of CAPWAP (RFC 5415 3.4), in whichever order: put together, and nothing is missing."""
    packets = []
    for number, frame in enumerate(frames()):
        tag = b"\x81\0\0\7" if tagged else b""
        parts = capwap(frame[:12] + tag + frame[12:], number, size)
        if order == "last first":
            parts.reverse()
        elif order == "shuffled":
            random.Random(number).shuffle(parts)
        packets += parts
    result = audit_bytes(wire.pcap(packets))
    flow, row = check(result), wire.only(result.captures)
    assert (flow["tunnel"], flow["vlan"] if tagged else None) == ("capwap", "7" if tagged else None)
    assert (row["incomplete"], row["reassembled"]) == (0, len(frames()))


def test_a_fragment_of_capwap_that_never_comes(audit_bytes: Run) -> None:
    """What the first fragment shows is kept, and the datagram is reported as incomplete."""
    parts = [capwap(frame, number, 200) for number, frame in enumerate(frames())]
    hello = next(number for number, one in enumerate(parts) if len(one) > 1)
    packets = [part for number, one in enumerate(parts) for part in (one[:1] if number == hello else one)]
    result = audit_bytes(wire.pcap(packets))
    row, capture = wire.only(result.handshakes), wire.only(result.captures)
    assert (row["status"], row["server_name"]) == ("truncated", carriers.NAME)
    assert capture["incomplete"] == 1


def stt_pieces(frame: bytes, number: int, size: int) -> list[bytes]:
    """A frame in segments of STT (draft-davie-stt-08 3.1), as network cards cut them."""
    inside = stt(frame, 0)[20:]
    packets = []
    for at in range(0, len(inside), size):
        head = struct.pack(">HHHHIBBHHH", 50_000, 7471, len(inside), at, number, 0x50, 0x18, 0, 0, 0)
        packets.append(bytes(in_ip(6, head + inside[at : at + size])))
    return packets


@pytest.mark.parametrize("order", ["as sent", "last first", "shuffled"])
@pytest.mark.parametrize("size", [200, 536])
def test_stt_in_pieces(audit_bytes: Run, order: str, size: int) -> None:
    """A frame in several segments of STT is put together, whatever their order: one flow, and nothing is missing."""
    parts = [stt_pieces(frame, number, size) for number, frame in enumerate(frames())]
    known = next(part for part in parts if len(part) > 1)
    for number, part in enumerate(parts):
        if part is not known and order == "last first":
            part.reverse()
        elif part is not known and order == "shuffled":
            random.Random(number).shuffle(part)
    result = audit_bytes(wire.pcap([packet for part in parts for packet in part]))
    row = wire.only(result.captures)
    assert check(result)["tunnel"] == "stt"
    assert (row["incomplete"], row["reassembled"]) == (0, sum(len(part) > 1 for part in parts))


def test_stt_that_was_cut(audit_bytes: Run) -> None:
    """Of segments that were cut the first is read as far as it goes, and the others are no flow of their own."""
    packets = [packet for number, frame in enumerate(frames()) for packet in stt_pieces(frame, number, 536)]
    result = audit_bytes(wire.pcap(packets, snap=300))
    row = wire.only(result.handshakes)
    assert (row["status"], row["server_name"]) == ("truncated", carriers.NAME)
    assert wire.only(result.flows)["tunnel"] == "stt"


def test_tcp_on_the_port_of_stt(audit_bytes: Run) -> None:
    """TCP whose numbers look like STT's lengths stays TCP."""
    talk = wire.Talk(dport=7471, isn=(0x80000100, 0x80000100)).open().play(carriers.handshake()).close()
    result = audit_bytes(wire.pcap(talk.packets))
    assert not isinstance(check(result)["tunnel"], str)
    assert wire.only(result.captures)["fragments"] == 0


def test_fragments_that_wait_go_on() -> None:
    """What waits for the rest of its datagram is the same when it was written down and read again."""
    datagrams = [stt_pieces(frames()[3], 7, 96)[:2], capwap(frames()[3], 7, 96)[:2]]
    made = Reassembler()
    for number, packet in enumerate(itertools.chain(*datagrams)):
        block, packets = np.frombuffer(bytes(64) + packet, np.uint8), S.packets(1)
        packets["begin"] = packets["position"] = 64
        packets["end"], packets["time"], packets["link"] = len(block), number, ETHERNET
        scan.read_batch(block, 0, 0, LAYOUT, NO_INTERFACES, 0, packets)
        made.join(block, packets)
    again = Reassembler()
    again.go_on(json.loads(json.dumps(made.waiting())))
    assert len(again.waiting()) == 3
    assert again.waiting() == made.waiting()
