"""IP fragments: put together in any order, in bounded memory, and reported where they never become whole."""

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

import auditor
from auditor.decode import fragments
from tests import wire

SOME = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
HELLO = wire.record(22, wire.client_hello(extensions=wire.extension(21, bytes(1000))))
Run = Callable[..., auditor.Audit]


def hello_in(size: int, version: int = 4) -> list[bytes]:
    """A ClientHello in one TCP segment in IP fragments of ``size`` bytes."""
    segment = TCP(sport=40_000, dport=443, flags="PA", seq=1001, ack=1) / Raw(HELLO)
    if version == 4:
        return [bytes(wire.ETHERNET / p) for p in fragment(IP(src=wire.CLIENT, dst=wire.SERVER, id=7) / segment, size)]
    return six(segment, size)


def six(segment: Any, size: int, identification: int = 99) -> list[bytes]:
    whole = bytes(IPv6(src="2001:db8::1", dst="2001:db8::10") / segment)[40:]
    packets = []
    for at in range(0, len(whole), size):
        head = IPv6(src="2001:db8::1", dst="2001:db8::10") / IPv6ExtHdrFragment(
            nh=6, offset=at // 8, m=int(at + size < len(whole)), id=identification
        )
        packets.append(bytes(wire.ETHERNET / head / Raw(whole[at : at + size])))
    return packets


@SOME
@given(size=st.integers(1, 80), seed=st.integers(0, 1 << 30), version=st.sampled_from([4, 6]))
def test_a_hello_in_fragments(audit_bytes: Run, size: int, seed: int, version: int) -> None:
    """Fragments of any size in any order, some of them twice: the hello, its name, and one datagram put together."""
    parts = hello_in(8 * size, version)
    shuffled = random.Random(seed)
    packets = parts + shuffled.sample(parts, k=len(parts) // 3)
    shuffled.shuffle(packets)
    result = audit_bytes(wire.pcap(packets))
    assert wire.only(result.handshakes)["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    row = wire.only(result.captures)
    assert row["reassembled"] >= 1
    assert row["fragments"] == len(packets)


def test_one_is_missing(audit_bytes: Run) -> None:
    """Without one of its fragments the datagram is reported as incomplete, and what the first shows is kept."""
    packets = hello_in(400)
    result = audit_bytes(wire.pcap(packets[:1] + packets[2:]))
    row = wire.only(result.captures)
    assert (row["reassembled"], row["incomplete"]) == (0, 1)
    assert "never became whole" in row["warnings"]
    assert wire.only(result.flows)["server_port"] == 443
    assert wire.only(result.handshakes)["status"] == "truncated"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("place", ["same", "router", "vlan"])
@pytest.mark.parametrize("gap", [10_000, 5_000_000])
def test_copies_of_fragments(audit_bytes: Run, version: int, place: str, gap: int) -> None:
    """Fragments that a mirror shows twice count once: the datagram is one, nothing was sent again, none is incomplete."""
    packets: list[wire.Stamped] = []
    for number, packet in enumerate(hello_in(400, version)):
        copy = bytearray(packet)
        if place != "same":
            copy[:12] = b"\2\0\0\0\0\x0c\2\0\0\0\0\x0d"
            copy[22 if version == 4 else 21] -= 1
        if place == "vlan":
            copy[12:12] = b"\x81\0\0\x14"
        when = 1_700_000_000 * wire.SECOND + number * 10_000_000
        packets += [(when, packet), (when + gap, bytes(copy))]
    result = audit_bytes(wire.pcap(packets, nanoseconds=True))
    row = wire.only(result.captures)
    assert wire.only(result.handshakes)["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    assert (row["duplicates"], row["fragments"]) == (len(packets) // 2, len(packets))
    assert (row["reassembled"], row["incomplete"], row["retransmissions"]) == (1, 0, 0)
    assert wire.only(result.flows)["client_packets"] == 2  # the first fragment, and the whole


def test_a_datagram_that_is_sent_again(audit_bytes: Run) -> None:
    """The same bytes in another datagram, much later, are no copy."""
    start = 1_700_000_000 * wire.SECOND
    parts = hello_in(400)
    packets = [(start + turn * wire.SECOND + number, part) for turn in (0, 1) for number, part in enumerate(parts)]
    row = wire.only(audit_bytes(wire.pcap(packets, nanoseconds=True)).captures)
    assert (row["duplicates"], row["reassembled"]) == (0, 2)


def test_overlapping_fragments(audit_bytes: Run) -> None:
    """In IPv4 the first copy of a byte counts; IPv6 datagrams with overlaps are thrown away (RFC 5722). Both are reported."""
    other = wire.record(22, wire.client_hello(name="evil.example", extensions=wire.extension(21, bytes(1020))))
    liar = fragment(
        IP(src=wire.CLIENT, dst=wire.SERVER, id=7)
        / TCP(sport=40_000, dport=443, flags="PA", seq=1001, ack=1)
        / Raw(other),
        800,
    )
    packets = hello_in(400)
    result = audit_bytes(wire.pcap([packets[0], packets[1], bytes(wire.ETHERNET / liar[0]), *packets[2:]]))
    assert wire.only(result.handshakes)["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    assert "overlap" in wire.only(result.captures)["warnings"]

    segment = TCP(sport=40_000, dport=443, flags="PA", seq=1001, ack=1) / Raw(HELLO)
    parts = six(segment, 400)
    row = wire.only(audit_bytes(wire.pcap([parts[0], six(segment, 408)[1], *parts[1:]])).captures)
    assert (row["reassembled"], row["incomplete"]) == (0, 1)


def test_a_tunnel_in_fragments(audit_bytes: Run) -> None:
    """A mirrored frame whose VXLAN packet was fragmented is decoded once it is whole, with its tunnel."""
    inner = (
        wire.ETHERNET
        / IP(src=wire.CLIENT, dst=wire.SERVER)
        / TCP(sport=40_000, dport=443, flags="PA", seq=5)
        / Raw(HELLO)
    )
    outer = IP(src="172.31.0.1", dst="172.31.0.2", id=5) / UDP(dport=4789) / VXLAN(vni=8, flags="Instance") / inner
    for order in (1, -1):
        packets = [bytes(wire.ETHERNET / p) for p in fragment(outer, 600)][::order]
        flow = wire.only(audit_bytes(wire.pcap(packets)).flows)
        assert (flow["tunnel"], flow["server_name"]) == ("vxlan:8", "pinpoint.us-east-1.amazonaws.com")


def test_an_atomic_fragment_is_whole(audit_bytes: Run) -> None:
    """A fragment header without fragments (RFC 6946)."""
    packet = IPv6(src="2001:db8::1", dst="2001:db8::10") / IPv6ExtHdrFragment(nh=6, id=3) / TCP(dport=443, flags="S")
    result = audit_bytes(wire.pcap([bytes(wire.ETHERNET / packet)]))
    assert wire.only(result.flows)["server_port"] == 443
    assert wire.only(result.captures)["fragments"] == 0


def test_memory_is_bounded(audit_bytes: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datagrams that never become whole leave memory: the oldest first, and all after a minute."""
    monkeypatch.setattr(fragments, "MOST_DATAGRAMS", 10)
    first = [
        bytes(wire.ETHERNET / IP(src=wire.CLIENT, dst=wire.SERVER, id=n, flags="MF", frag=1) / Raw(bytes(64)))
        for n in range(50)
    ]
    assert wire.only(audit_bytes(wire.pcap(first)).captures)["incomplete"] == 50


def test_a_length_that_cannot_be(audit_bytes: Run) -> None:
    """Fragments whose datagram would be longer than 65,535 bytes are no datagram."""
    last = IP(src=wire.CLIENT, dst=wire.SERVER, id=1, frag=8190) / Raw(bytes(200))
    first = IP(src=wire.CLIENT, dst=wire.SERVER, id=1, flags="MF") / Raw(bytes(64))
    row = wire.only(audit_bytes(wire.pcap([bytes(wire.ETHERNET / first), bytes(wire.ETHERNET / last)])).captures)
    assert row["reassembled"] == 0


def test_snoop_and_modified_pcap(audit_bytes: Run) -> None:
    """Captures of snoop (RFC 1761) and of Kuznetsov's modified libpcap."""
    packets = wire.Talk().open().packets
    snoop = b"snoop\0\0\0" + struct.pack(">II", 2, 4)
    modified = struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    for n, packet in enumerate(packets):
        padding = bytes(-len(packet) % 4)
        snoop += (
            struct.pack(">IIIIII", len(packet), len(packet), 24 + len(packet) + len(padding), 0, 1_700_000_000, n)
            + packet
            + padding
        )
        modified += struct.pack("<IIIIIHBB", 1_700_000_000, n, len(packet), len(packet), 1, 8, 0, 0) + packet
    for data, name in ((snoop, "snoop"), (modified, "pcap")):
        result = audit_bytes(data)
        assert wire.only(result.captures)["format"] == name
        assert wire.only(result.captures)["status"] == "complete"
        assert wire.only(result.flows)["client_packets"] == 2
        assert wire.only(audit_bytes(data[:-5]).captures)["status"] == "truncated"
