"""QUIC and DTLS: the same facts whatever the way a handshake is cut into frames, fragments and datagrams."""

import itertools
import random
import struct
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP

import auditor
from auditor.tls.quic_packets import initial_keys
from tests import quic_wire as q
from tests import wire

SOME = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
ID = bytes.fromhex("8394c8f03e515708")
SHARES = wire.extension(51, b"\x00\x24\x00\x1d\x00\x20" + bytes(32)) + wire.extension(10, b"\0\x02\0\x1d")
VERSIONS = wire.extension(43, b"\x02\x03\x04")
H3 = wire.extension(16, b"\0\x03\x02h3")
HELLO = wire.client_hello(suites=(0x1301, 0x1302), extensions=VERSIONS + SHARES + H3)
ANSWER = wire.server_hello(
    0x1301, extensions=wire.extension(43, b"\x03\x04") + wire.extension(51, b"\x00\x1d\x00\x20" + bytes(32))
)
FACTS = [
    "transport",
    "tls_version",
    "cipher_suite",
    "key_exchange_group",
    "server_name",
    "alpn_offered",
    "ja4",
    "status",
]
Run = Callable[..., auditor.Audit]


def sent(payload: bytes, back: bool = False) -> bytes:
    ends = (wire.SERVER, wire.CLIENT) if back else (wire.CLIENT, wire.SERVER)
    ports = (443, 50_000) if back else (50_000, 443)
    return bytes(wire.ETHERNET / IP(src=ends[0], dst=ends[1]) / UDP(sport=ports[0], dport=ports[1]) / payload)


def facts(result: auditor.Audit) -> dict[str, Any]:
    row = wire.only(result.handshakes)
    return {name: row[name] for name in FACTS}


def good(version: str = "quic") -> dict[str, Any]:
    return {
        "transport": version,
        "tls_version": "TLS 1.3",
        "cipher_suite": "TLS_AES_128_GCM_SHA256",
        "key_exchange_group": "x25519",
        "server_name": "pinpoint.us-east-1.amazonaws.com",
        "alpn_offered": "h3",
        "status": "complete",
    }


def check(result: auditor.Audit) -> None:
    read = facts(result)
    assert read.pop("ja4").startswith("q13d0205h3_")
    assert read == good()


def test_keys_of_the_rfc() -> None:
    """The keys of RFC 9001 A.1."""
    keys = initial_keys(1, ID)
    assert keys is not None
    assert keys[0].iv == int("fa044b2f42a3fd3b46fb255c", 16)
    assert keys[1].iv == int("0ac1493ca1905853b0bba03e", 16)
    assert q.keys(1, ID, "client")[0].hex() == "1f369613dd76d5467730efcbe3b1a22d"
    assert q.keys(1, ID, "server")[2].hex() == "c206b8d9b9f0f37644430b490eeaa314"


@pytest.mark.parametrize("version", q.SALTS)
def test_quic(audit_bytes: Run, version: int) -> None:
    """Versions 1, 2 and drafts of both: hello and answer are read, and the flow is a QUIC flow of the client."""
    packets = [
        sent(q.initial(q.crypto(0, HELLO), ID, version=version)),
        sent(
            q.initial(q.crypto(0, ANSWER), ID, "server", version=version, target=b"\1\2\3\4", source=b"srv"), back=True
        ),
        sent(b"\x40" + bytes(40)),
        sent(b"\x40" + bytes(40), back=True),
    ]
    result = audit_bytes(wire.pcap(packets))
    check(result)
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert row["quic_version"] == {1: "1", q.V2: "2", 0x709A50C4: "draft-v2"}.get(version, "draft-29")
    assert (row["client_hello_frame"], row["server_hello_frame"], row["established"]) == (1, 2, True)
    assert row["hello_outcome"] == "answered"
    assert (flow["protocol"], flow["client_port"], flow["tls_version"]) == ("quic", 50_000, "TLS 1.3")
    assert row["hello_outcome"] == "answered"  # whatever carries it
    assert wire.only(audit_bytes(wire.pcap(packets[:1])).handshakes)["hello_outcome"] == "not known"


@SOME
@given(cuts=st.lists(st.integers(1, len(HELLO) - 1), max_size=8), seed=st.integers(0, 1 << 30), each=st.integers(1, 4))
def test_crypto_frames_in_any_order(audit_bytes: Run, cuts: list[int], seed: int, each: int) -> None:
    """CRYPTO frames cut anywhere, shuffled, sent twice, over several packets and datagrams: the same row."""
    edges = [0, *sorted(set(cuts)), len(HELLO)]
    frames = [q.crypto(a, HELLO[a:b]) for a, b in itertools.pairwise(edges)]
    shuffled = random.Random(seed)
    frames += shuffled.sample(frames, k=len(frames) // 2)
    shuffled.shuffle(frames)
    groups = [b"\x01".join(frames[k : k + each]) for k in range(0, len(frames), each)]
    datagrams = [q.initial(group, ID, number=n, least=200) for n, group in enumerate(groups)]
    shuffled.shuffle(datagrams)
    packets = [sent(b"".join(datagrams[k : k + 2])) for k in range(0, len(datagrams), 2)]  # coalesced
    packets.append(sent(q.initial(q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4"), back=True))
    check(audit_bytes(wire.pcap(packets)))


def test_an_answer_that_overtakes(audit_bytes: Run) -> None:
    """The server's packet before the client's in the capture: both are read, the client is who sent the hello."""
    packets = [
        sent(q.initial(q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4"), back=True),
        sent(q.initial(q.crypto(0, HELLO), ID)),
    ]
    result = audit_bytes(wire.pcap(packets))
    check(result)
    assert wire.only(result.flows)["client_port"] == 50_000


def test_a_server_alone(audit_bytes: Run) -> None:
    """Where the client's first packet lacks, nothing is opened, and whose port is a system's is the server."""
    back = sent(q.initial(q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4"), back=True)
    result = audit_bytes(wire.pcap([back]))
    assert wire.only(result.flows)["client_port"] == 50_000
    assert "cannot be opened" in wire.only(result.handshakes)["status_reason"]


def test_retry(audit_bytes: Run) -> None:
    """After a Retry the keys come from the server's connection id, and it is one handshake."""
    retry = b"\xf0" + (1).to_bytes(4, "big") + b"\x04\1\2\3\4\x08newid123" + b"token" + bytes(16)
    packets = [
        sent(q.initial(q.crypto(0, HELLO), ID)),
        sent(retry, back=True),
        sent(q.initial(q.crypto(0, HELLO), b"newid123", token=b"token", number=1)),
        sent(q.initial(q.crypto(0, ANSWER), b"newid123", "server", target=b"\1\2\3\4"), back=True),
    ]
    check(audit_bytes(wire.pcap(packets)))


def test_version_negotiation(audit_bytes: Run) -> None:
    """A client that begins again in another version makes one handshake, of that version."""
    negotiation = b"\x80" + bytes(4) + b"\x04\1\2\3\4\x08" + ID + (1).to_bytes(4, "big")
    packets = [
        sent(q.initial(q.crypto(0, HELLO), ID, version=0xFF00001D)),
        sent(negotiation, back=True),
        sent(q.initial(q.crypto(0, HELLO), b"second99")),
        sent(q.initial(q.crypto(0, ANSWER), b"second99", "server", target=b"\1\2\3\4"), back=True),
    ]
    result = audit_bytes(wire.pcap(packets))
    check(result)
    assert wire.only(result.handshakes)["quic_version"] == "1"


def test_two_connections_on_the_same_ports(audit_bytes: Run) -> None:
    """Each connection of a 5-tuple is a handshake of its own."""
    packets = []
    for identity in (ID, b"another1"):
        packets.append(sent(q.initial(q.crypto(0, HELLO), identity)))
        packets.append(sent(q.initial(q.crypto(0, ANSWER), identity, "server", target=b"\1\2\3\4"), back=True))
    result = audit_bytes(wire.pcap(packets))
    assert list(result.handshakes["status"]) == ["complete", "complete"]
    assert len(result.flows) == 1


def test_a_connection_that_began_before_the_capture(audit_bytes: Run) -> None:
    """Without the client's first packet nothing can be opened: said, and not guessed."""
    result = audit_bytes(wire.pcap([sent(q.initial(q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4"), back=True)]))
    row = wire.only(result.handshakes)
    assert row["status"] == "truncated"
    assert "not in the capture" in row["status_reason"]
    assert row["tls_version"] != "TLS 1.3"


@pytest.mark.parametrize(("snap", "status"), [(140, "truncated"), (200, "truncated"), (400, "complete")])
def test_a_cut_first_packet(audit_bytes: Run, snap: int, status: str) -> None:
    """A snap length that cuts the client's packet leaves its connection id, with it the keys, and the hello's beginning."""
    packets = [
        sent(q.initial(q.crypto(0, HELLO), ID)),
        sent(q.initial(b"\x02\0\0\0\0" + q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4", least=40), back=True),
    ]
    row = wire.only(audit_bytes(wire.pcap(packets, snap=snap)).handshakes)
    assert (row["status"], row["cipher_suites_offered"].split()[0]) == (status, "TLS_AES_128_GCM_SHA256")
    assert pd.isna(row["server_name"]) or row["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    if snap > 140:
        assert row["cipher_suite"] == "TLS_AES_128_GCM_SHA256"


def test_a_cut_packet_of_a_scrambled_hello(audit_bytes: Run) -> None:
    """Where the packet's beginning holds none of the hello's first bytes, it still opens the answer."""
    packets = [
        sent(q.initial(q.crypto(100, HELLO[100:]) + q.crypto(0, HELLO[:100]), ID)),
        sent(q.initial(q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4", least=150), back=True),
    ]
    row = wire.only(audit_bytes(wire.pcap(packets, snap=300)).handshakes)
    assert (row["status"], row["cipher_suite"]) == ("server_only", "TLS_AES_128_GCM_SHA256")
    assert "only the beginning" in row["status_reason"]


def test_a_refusal_is_an_alert(audit_bytes: Run) -> None:
    """CONNECTION_CLOSE with a CRYPTO_ERROR carries a TLS alert (RFC 9001 4.8)."""
    close = b"\x1c" + q.varint(0x100 + 120) + b"\x06\x00"
    packets = [
        sent(q.initial(q.crypto(0, HELLO), ID)),
        sent(q.initial(close, ID, "server", target=b"\1\2\3\4"), back=True),
    ]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["alert"], row["established"]) == ("server: no_application_protocol", False)
    assert row["hello_outcome"] == "alert"


DTLS_HELLO = wire.client_hello(version=0xFEFD, suites=(0xC02B, 0xC02F))
BODY = DTLS_HELLO[4:]
WITH_COOKIE = BODY[:35] + b"\x04cook" + BODY[35:]
EMPTY_COOKIE = BODY[:35] + b"\0" + BODY[35:]
DTLS_ANSWER = wire.server_hello(0xC02F, version=0xFEFD)[4:]


def dtls(parts: list[bytes], number: int = 0, version: int = 0xFEFD) -> list[bytes]:
    return [q.dtls_record(22, part, number + k, version=version) for k, part in enumerate(parts)]


@SOME
@given(cuts=st.lists(st.integers(1, len(WITH_COOKIE) - 1), max_size=5), seed=st.integers(0, 1 << 30))
def test_dtls_fragments_in_any_order(audit_bytes: Run, cuts: list[int], seed: int) -> None:
    """A DTLS hello with a cookie, in fragments, shuffled and sent twice: the facts of TLS, transport dtls."""
    shuffled = random.Random(seed)
    hello = dtls(q.dtls_fragments(1, WITH_COOKIE, 1, cuts), 1)
    hello += shuffled.sample(hello, k=len(hello) // 2)
    shuffled.shuffle(hello)
    packets = [sent(r) for r in dtls(q.dtls_fragments(1, EMPTY_COOKIE, 0), version=0xFEFF)]
    packets += [sent(r, back=True) for r in dtls(q.dtls_fragments(3, b"\xfe\xff\x04cook", 0))]
    packets += [sent(r) for r in hello]
    packets += [sent(r, back=True) for r in dtls(q.dtls_fragments(2, DTLS_ANSWER, 1, [7, 20]), 1)]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["transport"], row["tls_version"], row["cipher_suite"]) == (
        "dtls",
        "DTLS 1.2",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    )
    assert row["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    assert row["history"] == "CvCs"
    assert row["ja4"].startswith("dd2d0201")


def test_dtls_to_its_end(audit_bytes: Run) -> None:
    """ChangeCipherSpec and records of the next epoch from both sides: established."""
    packets = [sent(r) for r in dtls(q.dtls_fragments(1, EMPTY_COOKIE, 0))]
    packets += [sent(r, back=True) for r in dtls(q.dtls_fragments(2, DTLS_ANSWER, 0))]
    for back in (False, True):
        packets.append(sent(q.dtls_record(20, b"\1", 5) + q.dtls_record(22, bytes(40), 0, epoch=1), back))
        packets.append(sent(q.dtls_record(23, bytes(60), 1, epoch=1), back))
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["established"], row["history"], row["hello_outcome"]) == (True, "CsIi", "answered")


def test_a_dtls_hello_that_is_overtaken(audit_bytes: Run) -> None:
    """A datagram of a flight may come before the one with the ServerHello."""
    flight = dtls([*q.dtls_fragments(2, DTLS_ANSWER, 0), *q.dtls_fragments(14, b"", 1)])
    packets = [sent(r) for r in dtls(q.dtls_fragments(1, EMPTY_COOKIE, 0))]
    packets += [sent(r, back=True) for r in flight[::-1]]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["status"], row["cipher_suite"]) == ("complete", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")


def test_dtls_in_very_many_fragments(audit_bytes: Run) -> None:
    """A long chain on a link that carries little: what its last datagrams say is read."""
    chain = bytes(5_000)
    many = q.dtls_fragments(11, chain, 1, range(50, len(chain), 50))
    packets = [sent(r) for r in dtls(q.dtls_fragments(1, EMPTY_COOKIE, 0))]
    packets += [sent(r, back=True) for r in dtls([*q.dtls_fragments(2, DTLS_ANSWER, 0), *many])]
    for back in (False, True):
        packets.append(sent(q.dtls_record(20, b"\1", 500) + q.dtls_record(22, bytes(40), 0, epoch=1), back))
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["history"], row["status"]) == ("CsxIi", "complete")


def test_dtls_behind_stun(audit_bytes: Run) -> None:
    """WebRTC: STUN first, then DTLS on the same ports (RFC 7983)."""
    stun = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
    packets = [sent(stun), sent(stun, back=True)] + [sent(r) for r in dtls(q.dtls_fragments(1, EMPTY_COOKIE, 0))]
    assert wire.only(audit_bytes(wire.pcap(packets)).handshakes)["transport"] == "dtls"


@SOME
@given(snap=st.integers(70, 260), cuts=st.lists(st.integers(1, len(WITH_COOKIE) - 1), max_size=3))
def test_dtls_that_is_cut(audit_bytes: Run, snap: int, cuts: list[int]) -> None:
    """DTLS cut by a snap length: what is told is true, and a hello in sight is told."""
    packets = [sent(r) for r in dtls(q.dtls_fragments(1, WITH_COOKIE, 0, cuts))]
    packets += [sent(r, back=True) for r in dtls(q.dtls_fragments(2, DTLS_ANSWER, 0))]
    for row in audit_bytes(wire.pcap(packets, snap=snap)).handshakes.to_dict("records"):
        assert pd.isna(row["server_name"]) or row["server_name"] == "pinpoint.us-east-1.amazonaws.com"
        assert pd.isna(row["cipher_suite"]) or row["cipher_suite"] == "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        assert row["status"] in ("truncated", "complete", "server_only", "client_only")


def test_a_dtls_hello_that_is_cut(audit_bytes: Run) -> None:
    """Of a hello that ends behind its name, the name."""
    name = b"pinpoint.us-east-1.amazonaws.com"
    body = wire.client_hello(version=0xFEFD, suites=(0xC02B,), extensions=wire.extension(10, b"\0\x02\0\x1d"))[4:]
    record = dtls(q.dtls_fragments(1, body[:35] + b"\0" + body[35:], 0))[0]
    row = wire.only(audit_bytes(wire.pcap([sent(record)], snap=42 + record.index(name) + len(name))).handshakes)
    assert (row["server_name"], row["status"]) == (name.decode(), "truncated")


@SOME
@given(data=st.data())
def test_damaged_datagrams_are_never_an_error(audit_bytes: Run, data: st.DataObject) -> None:
    """Bytes changed anywhere in QUIC and DTLS datagrams: no exception, and no version that nobody spoke."""
    good_packets = [
        q.initial(q.crypto(0, HELLO), ID),
        q.initial(q.crypto(0, ANSWER), ID, "server", target=b"\1\2\3\4", least=200),
        *dtls(q.dtls_fragments(1, EMPTY_COOKIE, 0)),
    ]
    packets = []
    for packet in good_packets:
        changed = bytearray(packet)
        for at, value in data.draw(
            st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), max_size=6)
        ):
            changed[at] = value
        packets.append(sent(bytes(changed[: data.draw(st.integers(1, len(changed)))])))
    result = audit_bytes(wire.pcap(packets))
    assert set(result.handshakes["tls_version"].dropna()) <= {"TLS 1.3"}


def test_hostile_pieces_are_bounded(audit_bytes: Run) -> None:
    """Thousands of tiny CRYPTO frames, connections and fragments that never fit: bounded work, and no exception."""
    holes = b"".join(q.crypto(2 * n + 1, b"x") for n in range(8000))
    packets = [sent(q.initial(holes[:40_000], ID))]
    packets += [sent(q.initial(q.crypto(0, HELLO), bytes([n]) * 8)) for n in range(40)]
    pieces = b"".join(q.dtls_fragments(1, bytes(9000), 0, range(0, 9000, 2))[::2])
    other = bytes(
        wire.ETHERNET
        / IP(src=wire.CLIENT, dst=wire.SERVER)
        / UDP(sport=1, dport=2)
        / q.dtls_record(22, pieces[:30_000], 0)
    )
    result = audit_bytes(wire.pcap([*packets, other]))
    assert len(result.handshakes) <= 20


@pytest.mark.parametrize("cut", [True, False])
def test_a_dtls_flight_that_is_cut_is_no_resumed_session(audit_bytes: Run, cut: bool) -> None:
    """A server's ChangeCipherSpec behind a datagram of which the hello alone was captured, or behind its client's, says nothing."""
    hello, answer = dtls(q.dtls_fragments(1, WITH_COOKIE, 0))[0], dtls(q.dtls_fragments(2, DTLS_ANSWER, 0))[0]
    end = q.dtls_record(20, b"\1", 5) + q.dtls_record(22, bytes(40), 0, epoch=1)
    flight = sent(answer + dtls(q.dtls_fragments(14, b"", 1))[0], back=True)[: 42 + len(answer)]
    packets = [sent(hello), flight, sent(end, back=True), sent(end)]
    if not cut:
        packets = [sent(hello), sent(answer, back=True), sent(end), sent(end, back=True)]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["status"], row["established"]) == ("complete", True)
    assert pd.isna(row["resumed"]) or not row["resumed"]


def test_early_data_over_quic(audit_bytes: Run) -> None:
    """A 0-RTT packet of the client's is early data, behind the Initial in its datagram or in one of its own, of both versions."""
    offers = wire.client_hello(suites=(0x1301,), extensions=wire.extension(42, b"") + wire.extension(43, b"\2\3\4"))

    def early(version: int, size: int = 300) -> bytes:
        first = 0xE1 if version == q.V2 else 0xD1
        return (
            struct.pack(">BIB", first, version, len(ID))
            + ID
            + b"\4\1\2\3\4"
            + struct.pack(">H", 0x4000 | size)
            + bytes(size)
        )

    def seen(*datagrams: bytes) -> bool:
        version = int.from_bytes(datagrams[0][1:5], "big")
        answer = q.initial(q.crypto(0, ANSWER), ID, "server", version=version, target=b"\1\2\3\4", source=b"srv")
        packets = [*(sent(one) for one in datagrams), sent(answer, back=True)]
        reason = wire.only(audit_bytes(wire.pcap(packets)).handshakes)["forward_secrecy_reason"]
        return "early data is not covered" in str(reason)

    for version in (1, q.V2):
        first = q.initial(q.crypto(0, offers), ID, version=version, least=300)
        assert not seen(first)
        assert seen(first + early(version))
        assert seen(first, *([early(version, 1000)] * 60))  # more of them than are kept of a flow


@pytest.mark.parametrize(("early", "offers", "said"), [(0x2D, b"", "warn"), (0x2E, b"", "warn"), (0x2D, None, "pass")])
def test_early_data_over_dtls(audit_bytes: Run, early: int, offers: bytes | None, said: str) -> None:
    """A record of the first epoch before the ServerHello is early data (RFC 9147 6.1), where the hello offers it."""
    more = b"" if offers is None else wire.extension(42, offers)
    hello = wire.client_hello(version=0xFEFD, suites=(0x1301,), extensions=wire.extension(43, b"\2\xfe\xfc") + more)[4:]
    chosen = wire.extension(43, b"\xfe\xfc") + wire.extension(51, b"\0\x1d\0\x20" + bytes(32))
    answer = wire.server_hello(0x1301, version=0xFEFD, extensions=chosen)[4:]
    packets = [sent(r) for r in dtls(q.dtls_fragments(1, hello[:35] + b"\0" + hello[35:], 0))]
    packets.append(sent(bytes([early, 1, 2]) + b"\0\x28" + bytes(40)))
    packets += [sent(r, back=True) for r in dtls(q.dtls_fragments(2, answer, 0))]
    told = audit_bytes(wire.pcap(packets), policy="nist-800-52r2", all_traffic=True)
    row = wire.only(told.handshakes)
    assert (row["tls_version"], row["hello_outcome"]) == ("DTLS 1.3", "answered")
    assert ("early data is not covered" in row["forward_secrecy_reason"]) == (early == 0x2D and offers is not None)
    rows = told.rows("verdicts", "rule", "verdict")
    assert [one["verdict"] for one in rows if one["rule"] == "NIST112"] == [said]
