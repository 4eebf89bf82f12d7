"""Hellos of which the capture has only the beginning, that are too long or contradict themselves: what is told of them is true."""

import struct
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

import auditor
from tests import carriers, cuts, wire
from tests import quic_wire as q

SOME = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
Run = Callable[..., auditor.Audit]
NAME = "pinpoint.us-east-1.amazonaws.com"
V13 = wire.extension(43, b"\x03\x04") + wire.extension(51, b"\0\x1d\0\x20" + bytes(32))
OFFER = (
    wire.extension(43, b"\x04\x03\x04\x03\x03")
    + wire.extension(16, b"\0\x03\x02h2")
    + wire.extension(10, b"\0\x02\0\x1d")
)
HELLO = wire.client_hello(extensions=OFFER)
ANSWER = wire.server_hello(0x1301, extensions=V13)
OFFERED = ("tls_version_offered", "alpn_offered", "groups_offered", "server_name")


def mirrored(frame: bytes, most: int) -> bytes:
    """A frame as traffic mirroring sends it, cut to ``most`` bytes before it is put into VXLAN."""
    outer = wire.ETHERNET / IP(src="172.31.0.1", dst="172.31.0.2") / UDP(dport=4789) / VXLAN(vni=7, flags="Instance")
    return bytes(outer / Ether(frame[:most]))


def talk(hello: bytes = HELLO, answer: bytes = ANSWER) -> list[bytes]:
    flights = [("c", wire.record(22, hello, 0x0301)), ("s", wire.record(22, answer) + wire.record(23, bytes(90)))]
    return wire.Talk().open().play([*flights, ("c", wire.record(23, bytes(90)))]).close().packets


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return wire.only(auditor.audit(wire.write(tmp_path_factory.mktemp("whole"), wire.pcap(talk()))).handshakes)


@SOME
@given(most=st.integers(60, 300), inside=st.booleans())
def test_whatever_the_length(audit_bytes: Run, whole: dict[str, Any], most: int, inside: bool) -> None:
    """Packets cut at any length, by the snap length or in a mirror: each fact is that of the whole handshake, or missing."""
    packets = [mirrored(frame, most) for frame in talk()] if inside else talk()
    result = audit_bytes(wire.pcap(packets, snap=262_144 if inside else most))
    for row in result.handshakes.to_dict("records"):
        for name in (*OFFERED, "tls_version", "cipher_suite", "forward_secrecy", "ja4", "ja3", "ja3s"):
            assert pd.isna(row[name]) or row[name] == whole[name], name
        assert row["status"] in ("truncated", "complete")
        assert pd.isna(row["established"]) or row["established"]
        assert row["hello_outcome"] in ("answered", "not known")


def test_what_is_there(audit_bytes: Run) -> None:
    """Of a hello that ends behind its name: suites and name, and which bytes are there; nothing is said of the rest."""
    where = HELLO.index(NAME.encode()) + len(NAME)
    result = audit_bytes(wire.pcap([mirrored(frame, 54 + 5 + where) for frame in talk()]))
    row = wire.only(result.handshakes)
    assert (row["server_name"], row["status"], row["client_hello_bytes"]) == (NAME, "truncated", len(HELLO))
    assert row["cipher_suites_offered"] == "TLS_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    assert row["status_reason"] == f"ClientHello: the capture has only its first {where} bytes"
    missing = ("tls_version_offered", "alpn_offered", "ja3", "ja4", "early_data", "ech", "post_quantum_offered")
    assert all(pd.isna(row[name]) for name in missing)
    assert wire.only(result.flows)["service"] == "pinpoint"
    assert "cut" in str(wire.only(result.captures)["warnings"])


def test_the_rest_comes_later(audit_bytes: Run) -> None:
    """A hello that is sent again whole counts as whole."""
    frames = talk()
    short = mirrored(frames[3], 150)
    packets = (
        [mirrored(frame, 9000) for frame in frames[:3]] + [short] + [mirrored(frame, 9000) for frame in frames[3:]]
    )
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["status"], row["server_name"], row["alpn_offered"]) == ("complete", NAME, "h2")
    assert row["ja4"].startswith("t13d")


def test_a_server_hello_that_is_cut(audit_bytes: Run) -> None:
    """The suite alone shows TLS 1.3; whether a key was shared is not known, so neither is forward secrecy."""
    packets = [mirrored(frame, 54 + 5 + 50 if number == 4 else 9000) for number, frame in enumerate(talk())]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert (row["tls_version"], row["cipher_suite"], row["status"]) == (
        "TLS 1.3",
        "TLS_AES_128_GCM_SHA256",
        "truncated",
    )
    assert pd.isna(row["forward_secrecy"])
    assert pd.isna(row["key_exchange_group"])
    assert row["hello_outcome"] == "answered"


@pytest.mark.parametrize("bytes_of_hello", [6, 20, 40])
def test_no_rule_says_that_a_cut_server_hello_was_not_seen(audit_bytes: Run, bytes_of_hello: int) -> None:
    """Where a ServerHello ends before what a rule asks for, the reason is that it is not whole: there is one."""
    packets = talk()
    (at,) = [number for number, packet in enumerate(packets) if wire.record(22, ANSWER)[:20] in packet]
    whole_length = len(packets[at])
    kept = packets[at].index(b"\x16\x03\x03") + 5 + bytes_of_hello
    cut = wire.pcap(packets)
    records = cuts.records_of(cut)
    records[at] = struct.pack("<8sII", records[at][:8], kept, whole_length) + records[at][16 : 16 + kept]
    result = audit_bytes(
        cut[:24] + b"".join(records[: at + 1]), policy=("aws-pinpoint", "rfc9325", "nist-800-52r2", "cnsa-1.0")
    )
    row = wire.only(result.handshakes)
    assert row["status_reason"] == f"ServerHello: the capture has only its first {bytes_of_hello} bytes"
    assert row["forward_secrecy_reason"] == "the ServerHello is not whole in the capture"
    reasons = result.verdicts["reason"].tolist()
    assert f"not known: {row['status_reason']}" in reasons
    assert not [reason for reason in reasons if "no ServerHello" in reason]


def test_a_certificate_that_is_cut(audit_bytes: Run) -> None:
    """A Certificate message in sight is neither encrypted nor absent, and the handshake has not failed."""
    flights = [one for one in carriers.handshake() if one[1]]
    packets = wire.Talk().open().play(flights).close().packets
    large = max(range(len(packets)), key=lambda number: len(packets[number]))
    cut = [mirrored(frame, len(frame) - 300 if number == large else 9000) for number, frame in enumerate(packets)]
    result = audit_bytes(wire.pcap(cut), policy="pci-dss-4.0.1")
    row = wire.only(result.handshakes)
    assert row["tls_version"] == "TLS 1.2"
    assert row["established"] is not False
    judged = wire.only(result.verdicts[result.verdicts["rule"] == "PCI103"])
    assert (judged["verdict"], judged["reason"]) == ("not_observable", "the certificates are not whole in the capture")


@pytest.mark.parametrize("size", [30_000, 33_000, 64_500, 70_000, 200_000])
@pytest.mark.parametrize("segment", [1460, 60_000])
def test_long_hellos(audit_bytes: Run, size: int, segment: int) -> None:
    """Hellos as long as they can be are read whole; of what is longer, what stands first is; and the handshake goes on."""
    padding = b"".join(wire.extension(0x8000 + k, bytes(60_000)) for k in range(size // 60_000))
    body = wire.client_hello(extensions=OFFER)[4:]
    more = padding + wire.extension(21, bytes(size % 60_000))
    start = 2 + 32 + 1 + 2 + 4 + 2
    if len(body) - start - 2 + len(more) > 65_535:  # the block of extensions cannot say so: bytes follow it
        hello = wire.message(1, body + more)
    else:
        hello = wire.message(
            1, body[:start] + struct.pack(">H", len(body) - start - 2 + len(more)) + body[start + 2 :] + more
        )
    records = b"".join(wire.record(22, hello[at : at + 16_000]) for at in range(0, len(hello), 16_000))
    flights = [
        ("c", records),
        ("s", wire.record(22, ANSWER) + wire.record(23, bytes(90))),
        ("c", wire.record(23, bytes(90))),
    ]
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play(flights, segment).packets)).handshakes)
    assert (row["server_name"], row["cipher_suite"], row["established"]) == (NAME, "TLS_AES_128_GCM_SHA256", True)
    assert row["client_hello_bytes"] == len(hello)
    if size < 65_000:
        assert (row["status"], row["history"][:2]) == ("complete", "Cs")
    else:
        assert row["status_reason"].startswith("ClientHello: bytes follow the extensions")


def malformed_server(block: bytes) -> bytes:
    body = wire.server_hello(0xC02F)[4:] + struct.pack(">H", len(block)) + block
    return wire.message(2, body)


@pytest.mark.parametrize(
    ("hello", "answer", "known"),
    [
        (
            wire.client_hello(extensions=OFFER + b"\0\x15\0\x09"),
            ANSWER,
            {"server_name": NAME, "cipher_suite": "TLS_AES_128_GCM_SHA256"},
        ),
        (
            HELLO,
            malformed_server(b"\0"),
            {"tls_version": "TLS 1.2", "cipher_suite": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
        ),
        (HELLO, malformed_server(b"\0\x2b\0\x09"), {"cipher_suite": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}),
        (HELLO, wire.message(2, ANSWER[4:] + b"\0"), {"tls_version": "TLS 1.3", "key_exchange_group": "x25519"}),
    ],
)
def test_before_a_fault(audit_bytes: Run, hello: bytes, answer: bytes, known: dict[str, Any]) -> None:
    """What stands before a fault is told, with status invalid."""
    row = wire.only(audit_bytes(wire.pcap(talk(hello, answer))).handshakes)
    assert row["status"] == "invalid"
    assert {name: row[name] for name in known} == known


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (10, b"\0\x08\0\x1d\0\x17"),
        (13, b"\1\0\4\3"),
        (16, b"\0\x09\2h2"),
        (43, b"\x0a\3\4"),
        (50, b"\0\x20\4\3"),
        (11, b"\3\0"),
        (45, b"\2\1"),
        (51, b"\0\x09\0\x1d\0\4\1\2\3"),
        (51, b"\0"),
    ],
)
def test_a_list_that_exceeds_its_extension(audit_bytes: Run, kind: int, body: bytes) -> None:
    """Groups, schemes, versions and names of protocols whose list is longer than the extension: malformed."""
    hello = wire.client_hello(extensions=wire.extension(kind, body))
    row = wire.only(audit_bytes(wire.pcap(talk(hello, wire.server_hello(0xC02F)))).handshakes)
    assert (row["status"], row["server_name"]) == ("invalid", NAME)
    assert "a list exceeds its extension" in row["status_reason"]
    assert row["cipher_suites_offered"].startswith("TLS_AES_128_GCM_SHA256")


def test_shares_behind_their_list(audit_bytes: Run) -> None:
    """Key shares are those of the list: what stands behind it in the extension is none."""
    share, more = struct.pack(">HH", 0x1D, 4) + b"abcd", struct.pack(">HH", 0x17, 2) + b"ef"
    shares = wire.extension(51, struct.pack(">H", len(share)) + share + more)
    row = wire.only(
        audit_bytes(wire.pcap(talk(wire.client_hello(extensions=shares), wire.server_hello(0x1301)))).handshakes
    )
    assert row["key_shares_offered"] == "x25519"


@pytest.mark.parametrize(("over", "size"), [("tcp", 270_000), ("tcp", 400_000), ("dtls", 70_000), ("dtls", 90_000)])
def test_certificates_that_are_too_long(audit_bytes: Run, size: int, over: str) -> None:
    """Chains of more than 256 KiB, or 64 KiB over datagrams: the handshake goes on behind them, and why they are not shown is told."""
    one = bytes(size - 6)
    chain = (len(one) + 3).to_bytes(3, "big") + len(one).to_bytes(3, "big") + one
    if over == "tcp":
        body = wire.server_hello(0xC02F) + wire.message(11, chain) + wire.message(14, b"")
        records = b"".join(wire.record(22, body[at : at + 16_000]) for at in range(0, len(body), 16_000))
        done = wire.record(20, b"\1") + wire.record(22, bytes(40))
        flights = [("c", wire.record(22, HELLO)), ("s", records), ("c", done), ("s", done)]
        packets = wire.Talk().open().play(flights).packets
    else:
        parts = q.dtls_fragments(11, chain, 1, cuts=range(0, len(chain), 1200))
        flight = [q.dtls_record(22, part, number + 1) for number, part in enumerate(parts)]
        talk_of = carriers.dtls_handshake()
        answer = q.dtls_record(22, q.dtls_fragments(2, wire.server_hello(0xC02C, version=0xFEFD)[4:], 0)[0], 0)
        done_of = [("s", q.dtls_record(22, q.dtls_fragments(14, b"", 2)[0], 900)), *talk_of[2:]]
        packets = [
            wire.datagram(data, 50_000, 4433)
            if who == "c"
            else wire.datagram(data, 4433, 50_000, client=wire.SERVER, server=wire.CLIENT)
            for who, data in [talk_of[0], ("s", answer), *(("s", part) for part in flight), *done_of]
        ]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    if over == "tcp":
        assert (row["status"], row["established"]) == ("complete", True)
        assert row["status_reason"] == "the certificates take more than 262144 bytes and are not read"
    assert pd.isna(row["certificate_id"])
    assert row["cipher_suite"].startswith("TLS_ECDHE")


def test_a_weak_choice_in_a_malformed_hello(audit_bytes: Run) -> None:
    """A fault behind the suite does not hide the version: the rule about versions fails."""
    answer = wire.message(2, wire.server_hello(0xC013, version=0x0301)[4:] + b"\0\1\0")
    result = audit_bytes(wire.pcap(talk(HELLO, answer)))
    judged = wire.only(result.verdicts[result.verdicts["rule"] == "TLS101"])
    assert (judged["verdict"], judged["reason"]) == ("fail", "TLS 1.0 negotiated, TLS 1.2 is the least")


def test_tlcp(audit_bytes: Run) -> None:
    """TLCP (GB/T 38636): a version of its own, its suites by name, and below every rule's least version."""
    hello = wire.client_hello(version=0x0101, suites=(0xE013, 0xE053))
    answer = wire.server_hello(0xE013, version=0x0101) + wire.message(14, b"")
    flights = [("c", wire.record(22, hello, 0x0101)), ("s", wire.record(22, answer, 0x0101))]
    done = wire.record(20, b"\1", 0x0101) + wire.record(22, bytes(48), 0x0101)
    result = audit_bytes(wire.pcap(wire.Talk().open().play([*flights, ("c", done), ("s", done)]).packets))
    row = wire.only(result.handshakes)
    assert (row["tls_version"], row["tls_version_offered"], row["cipher_suite"]) == (
        "TLCP 1.1",
        "TLCP 1.1",
        "ECC_SM4_CBC_SM3",
    )
    assert (row["forward_secrecy"], row["established"], row["status"]) == (False, True, "complete")
    assert wire.only(result.verdicts[result.verdicts["rule"] == "TLS101"])["verdict"] == "fail"


def test_drafts_of_tls_1_3_before_16(audit_bytes: Run) -> None:
    """The version in the hello's own field, no session id, no list of versions: a draft whose number is not told."""
    share = wire.extension(40, b"\0\x17\0\x41" + bytes(65))
    body = b"\x03\x04" + bytes(32) + b"\xc0\x2b" + struct.pack(">H", len(share)) + share
    flights = [
        ("c", wire.record(22, wire.client_hello(version=0x0304, suites=(0xC02B,)), 0x0301)),
        ("s", wire.record(22, wire.message(2, body), 0x0301) + wire.record(23, bytes(90), 0x0301)),
        ("c", wire.record(23, bytes(90), 0x0301)),
    ]
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play(flights).packets)).handshakes)
    assert (row["tls_version"], row["tls_version_offered"]) == ("TLS 1.3 (draft)", "TLS 1.3 (draft)")
    assert (row["cipher_suite"], row["key_exchange_group"]) == ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "secp256r1")
    assert (row["status"], row["established"], row["forward_secrecy"]) == ("complete", True, True)


@pytest.mark.parametrize("version", [0x3A6A9ABA, 0x0A0A0A0A, 0xFACEB00E, 0xFACEB00D, 0x12345678, 0x51303530])
@pytest.mark.parametrize("like", [1, 0xFF00001D, q.V2, 0x709A50C4])
def test_versions_of_quic_that_nobody_registered(audit_bytes: Run, version: int, like: int) -> None:
    """A packet that opens with a known salt is read, whatever its version: the tag proves it."""
    packet = bytearray(q.initial(q.crypto(0, HELLO), b"12345678", version=like, named=version))
    result = audit_bytes(wire.pcap([wire.datagram(bytes(packet), 50_000, 443)]))
    row = wire.only(result.handshakes)
    assert (row["server_name"], row["status"], row["quic_version"]) == (NAME, "client_only", f"0x{version:08x}")
    assert wire.only(result.flows)["protocol"] == "quic"


@pytest.mark.parametrize("version", [0xFACEB002, 0xFACEB003])
@pytest.mark.parametrize("like", [1, 0xFF00001D])
def test_versions_of_mvfst_with_another_salt(audit_bytes: Run, version: int, like: int) -> None:
    """Versions that mvfst went on to use with later salts are opened with whichever salt the tag proves."""
    packet = q.initial(q.crypto(0, HELLO), b"12345678", version=like, named=version)
    row = wire.only(audit_bytes(wire.pcap([wire.datagram(packet, 50_000, 443)])).handshakes)
    assert (row["server_name"], row["status"]) == (NAME, "client_only")


def test_what_only_looks_like_quic(audit_bytes: Run) -> None:
    """A long header of an unknown version that no salt opens is not called QUIC."""
    packet = q.initial(q.crypto(0, HELLO), b"12345678", named=0x12345678)
    result = audit_bytes(wire.pcap([wire.datagram(packet[:-1] + b"\0", 50_000, 443)]))
    assert result.handshakes.empty
    assert pd.isna(wire.only(result.flows)["protocol"])


@pytest.mark.parametrize("behind", [0, 1, 200])
def test_several_datagrams_in_one(audit_bytes: Run, behind: int) -> None:
    """A buffer of segmentation offload holds several datagrams, each filled with zeros outside of its packet."""
    half = len(HELLO) // 2
    parts = [
        q.initial(q.crypto(at, HELLO[at : at + half + 1]), b"12345678", number=n) for n, at in enumerate((0, half + 1))
    ]
    joined = b"".join(part + bytes(behind) for part in parts)
    row = wire.only(audit_bytes(wire.pcap([wire.datagram(joined, 50_000, 443)])).handshakes)
    assert (row["server_name"], row["status"]) == (NAME, "client_only")


ENDPOINT = b"\xea\0\x17\x01vpce-08d2bf15fac5001c9"


@pytest.mark.parametrize(("family", "addresses"), [(0x11, 12), (0x21, 36), (0, 0)])
@pytest.mark.parametrize("size", [1460, 30, 11, 2])
def test_endpoint_in_a_proxy_header(audit_bytes: Run, family: int, addresses: int, size: int) -> None:
    """A load balancer's PROXY header names the VPC endpoint: a column, and likely evidence of the way."""
    tail = bytes(addresses) + b"\x03\0\x04abcd" + ENDPOINT + b"\x04\0\x02\0\0"
    header = b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([family]) + struct.pack(">H", len(tail)) + tail
    talk = wire.Talk(client="10.0.0.9", server="10.0.0.8").open()
    talk.play([("c", header)], size).play([("c", wire.record(22, HELLO)), ("s", wire.record(22, ANSWER))])
    result = audit_bytes(wire.pcap(talk.packets))
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (row["starttls"], row["client_hello_segments"], row["client_hello_bytes"]) == ("proxy", 1, len(HELLO))
    assert (flow["vpc_endpoint"], flow["path"], flow["path_confidence"]) == ("vpce-08d2bf15fac5001c9", "vpc", "likely")


def test_an_endpoint_that_an_outsider_names(audit_bytes: Run) -> None:
    """Whoever connects over the internet may write any header: it is no evidence of the way."""
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\0" + struct.pack(">H", len(ENDPOINT)) + ENDPOINT
    talk = wire.Talk(client="198.51.100.7").open().play([("c", header), ("c", wire.record(22, HELLO))])
    flow = wire.only(audit_bytes(wire.pcap(talk.packets)).flows)
    assert (flow["vpc_endpoint"], flow["path"]) == ("vpce-08d2bf15fac5001c9", "unknown")


REQUEST = b"\x20\0\0\1\x85\xae\xff\x19\0\0\0\1\x21" + bytes(23)


@pytest.mark.parametrize("request_of", [REQUEST, b"\5\0\0\1\x85\xae\0\0\1", REQUEST[:32] + b"\x1d\0\0\0"])
@pytest.mark.parametrize("size", [1460, 50, 40, 36, 7])
@pytest.mark.parametrize("greeted", [True, False])
def test_mysql_without_a_pause(audit_bytes: Run, request_of: bytes, size: int, greeted: bool) -> None:
    """MySQL's SSLRequest and the ClientHello right behind it, cut anywhere, with the server's greeting or without."""
    greeting = b"\x4a\0\0\0\x0a8.0.36\0" + bytes(64)
    talk = wire.Talk(dport=3306).open().play([("s", greeting)] if greeted else [], size)
    talk.play([("c", request_of + wire.record(22, HELLO))], size).play([("s", wire.record(22, ANSWER))])
    found = audit_bytes(wire.pcap(talk.packets)).handshakes
    if greeted or len(request_of) == 36:
        row = wire.only(found)
        assert (row["starttls"], row["status"], row["server_name"]) == ("mysql", "complete", NAME)
