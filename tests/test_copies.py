"""One packet that a capture shows at several places counts once; what was sent again counts again."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from tests import wire

Run = Callable[..., Any]
MICROSECOND, MILLISECOND = 1_000, 1_000_000
START = 1_700_000_000 * wire.SECOND
TLS = [
    ("c", wire.record(22, wire.client_hello())),
    ("s", wire.record(22, wire.server_hello() + wire.message(14, b""))),
    ("c", wire.record(20, b"\1") + wire.record(22, bytes(40))),
    ("s", wire.record(20, b"\1") + wire.record(22, bytes(40))),
]
V6 = ("2001:db8::1", "2001:db8::2")


def talk(version: int, identification: str = "none") -> list[wire.Stamped]:
    """A TLS connection, 10 ms between its packets, over IPv4 with identifications that count, or with none."""
    client, server = V6 if version == 6 else (wire.CLIENT, wire.SERVER)
    packets = wire.Talk(client=client, server=server).open().play(TLS, size=100).close().packets
    stamped = []
    for number, packet in enumerate(packets):
        frame = Ether(packet)
        if version == 4:
            frame[IP].id = 1000 + number if identification == "counted" else 0
            del frame[IP].chksum
        stamped.append((START + number * 10 * MILLISECOND, bytes(frame)))
    return stamped


def changed(packet: bytes, hops: int = 0, vlan: int | None = None, mac: str | None = None) -> bytes:
    """A packet as another place shows it."""
    frame = Ether(packet)
    network = frame[IP] if IP in frame else frame[IPv6]
    if IP in frame:
        network.ttl -= hops
        del network.chksum
    else:
        network.hlim -= hops
    if mac is not None:
        frame.dst = mac
    if vlan is not None:
        network = Dot1Q(vlan=vlan) / network
    return bytes(Ether(src=frame.src, dst=frame.dst) / network)


def counts(result: Any) -> tuple[int, int]:
    row = wire.only(result.captures)
    return row["duplicates"], row["retransmissions"]


PLACES: dict[str, dict[str, Any]] = {
    "the same place": {},
    "behind a router": {"hops": 1, "mac": "02:00:00:00:00:77"},
    "behind five": {"hops": 5},
    "in a VLAN": {"vlan": 7},
    "another MAC": {"mac": "02:00:00:00:00:99"},
}


@pytest.mark.parametrize("kind", [(4, "counted"), (4, "none"), (6, "none")])
@pytest.mark.parametrize(
    ("place", "gap"),
    [
        *(("the same place", gap) for gap in (0, 8 * MICROSECOND, MILLISECOND, 6 * MILLISECOND)),
        *((place, gap) for place in PLACES if place != "the same place" for gap in (0, 40_000, 9_000_000, 140_000_000)),
        *((place, -2 * MILLISECOND) for place in PLACES),
    ],
)
def test_copies_count_once(audit_bytes: Run, kind: tuple[int, str], place: str, gap: int) -> None:
    """Whatever routers change, and however late the copies come: the flow is as without them, and nothing was sent again."""
    once = talk(*kind)
    copies = [(when + gap, changed(packet, **PLACES[place])) for when, packet in once]
    both = sorted(once + copies, key=lambda one: one[0])
    expected, found = audit_bytes(wire.pcap(once, nanoseconds=True)), audit_bytes(wire.pcap(both, nanoseconds=True))
    assert counts(found) == (len(once), 0)
    one, other = wire.only(expected.flows), wire.only(found.flows)
    for name in ("client_packets", "server_packets", "client_bytes", "server_bytes", "tcp_state", "tls_version"):
        if place == "the same place" or not name.endswith("bytes"):
            assert one[name] == other[name], name
    assert wire.only(found.handshakes)["hello_repeats"] == 0


@pytest.mark.parametrize("kind", [(4, "counted"), (4, "none"), (6, "none")])
@pytest.mark.parametrize("gap", [MILLISECOND, 5 * MILLISECOND, 200 * MILLISECOND, 1000 * MILLISECOND])
@pytest.mark.parametrize("places", [1, 2])
def test_what_is_sent_again_is_no_copy(audit_bytes: Run, kind: tuple[int, str], gap: int, places: int) -> None:
    """A retransmission counts again, also where each of both sendings is seen at two places."""
    packets = talk(*kind)
    when, hello = packets[3]
    again = Ether(hello)
    if kind == (4, "counted"):
        again[IP].id = 7777
        del again[IP].chksum
    later = [(at + gap, packet) for at, packet in packets[4:]]
    packets = [*packets[:4], (when + gap, bytes(again)), *later]
    if places == 2:
        packets += [(at + 50 * MICROSECOND, changed(packet, **PLACES["behind a router"])) for at, packet in packets]
    result = audit_bytes(wire.pcap(sorted(packets, key=lambda one: one[0]), nanoseconds=True))
    assert counts(result) == (len(packets) // 2 * (places - 1), 1)
    assert wire.only(result.handshakes)["hello_repeats"] == 1


def test_equal_acknowledgements_are_no_copies(audit_bytes: Run) -> None:
    """Duplicate acknowledgements over IPv6 are packets of their own, where nothing else shows copies."""
    packets = talk(6)
    when, acknowledgement = packets[2]
    packets[3:3] = [(when + MICROSECOND * k, acknowledgement) for k in (1, 2, 3)]
    assert counts(audit_bytes(wire.pcap(packets, nanoseconds=True))) == (0, 0)


def test_copies_without_a_syn(audit_bytes: Run) -> None:
    """One pair of equal segments over IPv6 may be a retransmission; pair after pair they are copies, of ACKs as well."""
    packets = talk(6)[3:]
    twice = sorted([*packets, *((when + 8 * MICROSECOND, packet) for when, packet in packets)])
    duplicates, _ = counts(audit_bytes(wire.pcap(twice, nanoseconds=True)))
    assert len(packets) - 4 <= duplicates <= len(packets)
    once = sorted([*packets, (packets[1][0] + 8 * MICROSECOND, packets[1][1])])
    assert counts(audit_bytes(wire.pcap(once, nanoseconds=True)))[0] == 0


def test_equal_datagrams_are_no_copies(audit_bytes: Run) -> None:
    """Two datagrams of equal bytes over IPv4 without identification are two, and so are those that differ behind 8 bytes."""
    frame = Ether(wire.datagram(b"requests:1|c"))
    frame[IP].id = 0
    one = bytes(frame)
    assert counts(audit_bytes(wire.pcap([(START, one), (START + MICROSECOND, one)], nanoseconds=True))) == (0, 0)
    other = changed(one[:-1] + b"d", hops=1)
    assert counts(audit_bytes(wire.pcap([(START, one), (START + MICROSECOND, other)], nanoseconds=True))) == (0, 0)
    routed = changed(one, hops=1)
    assert counts(audit_bytes(wire.pcap([(START, one), (START + MICROSECOND, routed)], nanoseconds=True))) == (1, 0)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    version=st.sampled_from([4, 6]),
    places=st.lists(st.sampled_from(list(PLACES)[1:]), min_size=1, max_size=3, unique=True),
    delay=st.integers(-MILLISECOND, 20 * MILLISECOND),
    seed=st.integers(0, 2**32),
)
def test_copies_change_nothing_but_their_count(
    audit_bytes: Run, version: int, places: list[str], delay: int, seed: int
) -> None:
    """A connection seen at any places, of each packet at some of them, is the same row and the same handshake."""
    chance, once = random.Random(seed), talk(version, "counted")
    copies = [
        (when + (number + 1) * delay, changed(packet, **PLACES[place]))
        for number, place in enumerate(places)
        for when, packet in once
        if place == "in a VLAN" or chance.random() < 0.8  # a packet in another VLAN alone is of another flow
    ]
    expected = audit_bytes(wire.pcap(once, nanoseconds=True))
    found = audit_bytes(wire.pcap(sorted(once + copies, key=lambda one: one[0]), nanoseconds=True))
    assert counts(found) == (len(copies), 0)
    for table, names in {
        "flows": ("client_packets", "server_packets", "tcp_state", "tls_version", "cipher_suite", "server_name"),
        "handshakes": ("status", "ja4", "hello_outcome", "hello_repeats", "client_hello_segments", "history"),
    }.items():
        one, other = wire.only(getattr(expected, table)), wire.only(getattr(found, table))
        assert [one[name] for name in names] == [other[name] for name in names]
