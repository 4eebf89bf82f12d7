"""Hellos in full, over any split of segments and records, from SSL 2.0 to TLS 1.3 and its drafts."""

import itertools
import random
import ssl
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import auditor
from auditor.tls import fingerprints, names
from auditor.tls.shapes import ClientShape, ServerShape
from tests import wire

GREASE = 0x1A1A
OFFER = (
    wire.extension(GREASE, b"")
    + wire.extension(10, struct.pack(">HHHHH", 8, GREASE, 0x11EC, 0x001D, 0x0017))
    + wire.extension(11, b"\x01\0")
    + wire.extension(13, struct.pack(">HHHH", 6, 0x0403, 0x0804, 0x0904))
    + wire.extension(16, b"\0\x0c\x02h2\x08http/1.1")
    + wire.extension(43, b"\x06" + struct.pack(">HHH", GREASE, 0x0304, 0x0303))
    + wire.extension(45, b"\x01\x01")
    + wire.extension(51, struct.pack(">HHH4sHH2s", 14, GREASE, 0, b"", 0x001D, 2, b"xx")[:-2] + b"xx")
)
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
V13 = wire.extension(43, b"\x03\x04")


def talk(audit_bytes: Any, *flights: tuple[str, bytes], size: int = 1460) -> dict[str, Any]:
    """The handshake of a connection with these bytes."""
    return wire.only(audit_bytes(wire.pcap(wire.Talk().open().play(flights, size).packets)).handshakes)


def hello(message: bytes, version: int = 0x0301) -> tuple[str, bytes]:
    return "c", wire.record(22, message, version)


def reply(message: bytes) -> tuple[str, bytes]:
    return "s", wire.record(22, message)


def test_client_hello_in_full(audit_bytes: Any) -> None:
    """Every list of the ClientHello is there in its order, GREASE and unknown code points kept."""
    row = talk(audit_bytes, hello(wire.client_hello(suites=(GREASE, 0x1301, 0xC02F, 0x9999), extensions=OFFER)))
    assert row["tls_version_offered"] == "TLS 1.3"
    assert row["cipher_suites_offered"] == "GREASE TLS_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 0x9999"
    assert row["groups_offered"] == "GREASE X25519MLKEM768 x25519 secp256r1"
    assert row["signature_schemes_offered"] == "ecdsa_secp256r1_sha256 rsa_pss_rsae_sha256 mldsa44"
    assert row["alpn_offered"] == "h2 http/1.1"
    assert row["extensions"].split()[:3] == ["server_name", "GREASE", "supported_groups"]
    assert row["post_quantum_offered"]
    assert (row["status"], row["server_name"]) == ("client_only", "pinpoint.us-east-1.amazonaws.com")


@pytest.mark.parametrize("segment", [1, 3, 100, 1460])
@pytest.mark.parametrize("piece", [1, 5, 64, 16_384])
def test_any_split_of_segments_and_records(audit_bytes: Any, segment: int, piece: int) -> None:
    """The same hello comes out however it is cut into records and segments."""
    message = wire.client_hello(extensions=OFFER + wire.extension(21, bytes(400)))
    records = b"".join(wire.record(22, message[k : k + piece], 0x0301) for k in range(0, len(message), piece))
    row = talk(audit_bytes, ("c", records), reply(wire.server_hello()), size=segment)
    assert (row["status"], row["client_hello_bytes"]) == ("complete", len(message))
    assert row["ja4"] == talk(audit_bytes, hello(message))["ja4"]


def test_hello_retry_request(audit_bytes: Any) -> None:
    """The first ClientHello, the retry and the last ServerHello make one handshake."""
    share = wire.extension(51, struct.pack(">H", 0x0018))
    retry = wire.server_hello(0x1302, extensions=V13 + share, random=RETRY)
    final = wire.server_hello(0x1302, extensions=V13 + wire.extension(51, struct.pack(">HH", 0x0018, 2) + b"xx"))
    first, second = wire.client_hello(extensions=OFFER), wire.client_hello("other.example", extensions=OFFER)
    ccs = wire.record(20, b"\x01")
    row = talk(
        audit_bytes,
        hello(first),
        reply(retry),
        ("s", ccs),
        ("c", ccs),
        hello(second, 0x0303),
        reply(final),
        ("s", wire.record(23, bytes(60))),
        ("c", wire.record(23, bytes(60))),
    )
    assert row["hello_retry"]
    assert row["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    assert row["history"] == "CjiICs"
    assert (row["tls_version"], row["key_exchange_group"], row["established"]) == ("TLS 1.3", "secp384r1", True)


def test_only_a_retry_is_not_a_negotiation(audit_bytes: Any) -> None:
    """A handshake that ends with the HelloRetryRequest has no forward secrecy to speak of."""
    retry = wire.server_hello(0x1302, extensions=V13 + wire.extension(51, b"\0\x18"), random=RETRY)
    row = talk(audit_bytes, hello(wire.client_hello(extensions=OFFER)), reply(retry))
    assert row["status"] == "client_only"
    assert row["forward_secrecy"] is not True


@pytest.mark.parametrize("draft", [18, 23, 28])
def test_drafts_of_tls_13(audit_bytes: Any, draft: int) -> None:
    """Drafts are told apart; before draft 22 the ServerHello had another form."""
    code = 0x7F00 + draft
    offer = wire.extension(43, b"\x02" + struct.pack(">H", code))
    if draft < 22:
        share = wire.extension(40, struct.pack(">HH", 0x1D, 1) + b"x")
        body = struct.pack(">H", code) + bytes(32) + struct.pack(">HH", 0x1301, len(share)) + share
        answer = wire.message(2, body)
    else:
        share = wire.extension(51, struct.pack(">HH", 0x1D, 1) + b"x")
        answer = wire.server_hello(0x1301, extensions=wire.extension(43, struct.pack(">H", code)) + share)
    row = talk(audit_bytes, hello(wire.client_hello(extensions=offer)), reply(answer))
    assert (row["tls_version"], row["key_exchange_group"]) == (f"TLS 1.3 (draft {draft})", "x25519")
    assert row["forward_secrecy"] is True


def test_ssl2_hello_that_negotiates_tls(audit_bytes: Any) -> None:
    """A ClientHello in the format of SSL 2.0 may ask for TLS 1.0, and is answered in records."""
    suites = bytes.fromhex("00002f 000035 010080".replace(" ", ""))
    body = b"\x01\x03\x01" + struct.pack(">HHH", len(suites), 0, 16) + suites + bytes(16)
    data = struct.pack(">H", 0x8000 | len(body)) + body
    row = talk(audit_bytes, ("c", data), ("s", wire.record(22, wire.server_hello(0x2F, 0x0301), 0x0301)))
    assert (row["tls_version"], row["cipher_suite"]) == ("TLS 1.0", "TLS_RSA_WITH_AES_128_CBC_SHA")
    assert row["cipher_suites_offered"] == "TLS_RSA_WITH_AES_128_CBC_SHA TLS_RSA_WITH_AES_256_CBC_SHA"
    assert row["forward_secrecy"] is False


def test_ssl2_altogether(audit_bytes: Any) -> None:
    """SSL 2.0's own ServerHello is told as SSL 2.0."""
    suites = bytes.fromhex("010080020080")
    ask = b"\x01\0\x02" + struct.pack(">HHH", len(suites), 0, 16) + suites + bytes(16)
    tell = b"\x04\0\x01\0\x02" + struct.pack(">HHH", 8, 3, 16) + bytes(8) + suites[:3] + bytes(16)
    flights = [(w, struct.pack(">H", 0x8000 | len(b)) + b) for w, b in (("c", ask), ("s", tell))]
    row = talk(audit_bytes, *flights)
    assert (row["tls_version"], row["forward_secrecy"]) == ("SSL 2.0", False)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda m: m[:38] + b"\x40" + m[39:], "session id"),
        (lambda m: m[:39] + b"\0\x03" + m[41:], "cipher suites"),
        (lambda m: m[:39] + b"\xff\xfe" + m[41:], "cipher suites"),
        (lambda m: m[:45] + b"\xf0" + m[46:], "compression"),
        (lambda m: m[:47] + b"\xff\xff" + m[49:], "extensions exceed"),
        (lambda m: wire.message(1, m[4:] + b"\0"), "bytes follow"),
        (lambda m: wire.message(1, m[4:30]), "ends before"),
    ],
)
def test_invalid_hellos_say_where(audit_bytes: Any, broken: Any, reason: str) -> None:
    """A hello that contradicts itself is a row that says what is wrong, and at which byte."""
    row = talk(audit_bytes, hello(broken(wire.client_hello(extensions=wire.extension(23, b"")))))
    assert row["status"] == "invalid"
    assert reason in row["status_reason"]
    assert "byte" in row["status_reason"]


def test_a_name_that_runs_over(audit_bytes: Any) -> None:
    """A server name longer than its extension makes the hello invalid; the rest of it is read all the same."""
    name = wire.extension(0, b"\0\x08\0\xff\xffhello")
    row = talk(audit_bytes, hello(wire.client_hello("", extensions=name + wire.extension(10, b"\0\x02\0\x1d"))))
    assert (row["status"], row["groups_offered"]) == ("invalid", "x25519")
    assert row["status_reason"] == "ClientHello: the server's name exceeds its extension (byte 52)"
    assert pd.isna(row["server_name"])


def test_an_unreadable_answer_fails_nothing(audit_bytes: Any) -> None:
    """Where both sides went on to their Finished behind a ServerHello that is invalid, it is not said that they failed."""
    answer = wire.server_hello()
    talked = wire.Talk().open().play([hello(wire.client_hello()), reply(answer[:38] + b"\x28" + answer[39:])])
    finished = wire.record(20, b"\x01") + wire.record(22, bytes(range(40)))
    row = wire.only(audit_bytes(wire.pcap(talked.play([("c", finished), ("s", finished)]).close().packets)).handshakes)
    assert row["status"] == "invalid"
    assert pd.isna(row["established"])


def test_random_bytes_are_no_tls(audit_bytes: Any) -> None:
    """Neither noise nor noise behind a record header makes a handshake, whatever the port."""
    for data in (bytes(range(256)) * 3, b"\x16\x03\x01\xff\xff" + bytes(300), b"\x16\x03\x01\x02\x00\xee" + bytes(300)):
        result = audit_bytes(wire.pcap(wire.Talk().open().play([("c", data)]).packets))
        assert not len(result.handshakes)


def test_alert_and_refusal(audit_bytes: Any) -> None:
    """A refused hello is not established, and the alert is told with its sender."""
    row = talk(audit_bytes, hello(wire.client_hello()), ("s", wire.record(21, b"\x02\x46")))
    assert (row["alert"], row["established"], row["history"]) == ("server: protocol_version", False, "Cl")


OFFERS_13 = wire.extension(43, b"\x02\x03\x04")
OFFERS_EARLY = wire.extension(42, b"") + OFFERS_13
SHARE = wire.extension(51, b"\0\x1d\0\x20" + bytes(32))
# What the client offers, its encrypted records (-1: the server's flight), and whether the handshake came to its end.
ENDS_OF_13: dict[str, tuple[bytes, list[int], bool]] = {
    "early data and its end": (OFFERS_EARLY, [100, -1, 21, 53], True),
    "early data alone": (OFFERS_EARLY, [100, -1, 21], False),
    "an alert": (OFFERS_13, [-1, 19], False),
    "Finished": (OFFERS_13, [-1, 53], True),
    "Finished, which overtook the ServerHello": (OFFERS_13, [53, -1, 19], True),
    "an alert that overtook the ServerHello": (OFFERS_13, [19, -1], False),
}


@pytest.mark.parametrize("name", ENDS_OF_13)
def test_what_ends_a_handshake_of_tls13(audit_bytes: Any, name: str) -> None:
    """A client's Finished does, wherever the capture has it, but neither an alert nor the end of early data."""
    offer, sizes, ends = ENDS_OF_13[name]
    answer = reply(wire.server_hello(0x1301, extensions=V13 + SHARE))
    server = ("s", wire.record(20, b"\x01") + wire.record(23, bytes(300)))
    flights = [hello(wire.client_hello(extensions=offer))]
    for size in sizes:
        flights += [answer, server] if size < 0 else [("c", wire.record(23, bytes(size)))]
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play(flights).close().packets)).handshakes)
    assert (row["tls_version"], row["established"]) == ("TLS 1.3", ends)
    assert ("early data" in row["forward_secrecy_reason"]) == (offer == OFFERS_EARLY)


def test_a_scheme_of_zeros_is_a_scheme(audit_bytes: Any) -> None:
    """A ServerKeyExchange signed with 0x0000 (no hash, anonymous) is not taken for one without a signature in the capture."""
    exchange = wire.message(12, b"\x03\0\x17\x04aaaa\0\0\0\0")
    row = talk(audit_bytes, hello(wire.client_hello()), reply(wire.server_hello()), reply(exchange))
    assert row["signature_scheme"] == "anonymous_none"


def test_handshake_longer_than_the_window(audit_bytes: Any) -> None:
    """A certificate chain of 100 KB is stepped over, and what follows is still read."""
    chain = wire.message(11, bytes(100_000))
    records = b"".join(wire.record(22, chain[k : k + 16_000]) for k in range(0, len(chain), 16_000))
    exchange = wire.message(12, b"\x03\0\x17\x04aaaa\x04\x03\0\0")
    flights = [hello(wire.client_hello()), reply(wire.server_hello()), ("s", records), reply(exchange)]
    row = talk(audit_bytes, *flights)
    assert (row["history"], row["key_exchange_group"], row["signature_scheme"]) == (
        "Csxk",
        "secp256r1",
        "ecdsa_secp256r1_sha256",
    )


@pytest.mark.parametrize(
    ("protocol", "before"),
    [
        ("smtp", [("s", b"220 mail ESMTP\r\n"), ("c", b"EHLO x\r\n"), ("s", b"250 STARTTLS\r\n"), ("c", b"STARTTLS\r\n"), ("s", b"220 go\r\n")]),
        ("http", [("c", b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"), ("s", b"HTTP/1.1 200 OK\r\n\r\n")]),
        ("socks", [("c", b"\x05\x01\0"), ("s", b"\x05\0"), ("c", b"\x05\x01\0\x01\x01\x02\x03\x04\x01\xbb"), ("s", b"\x05\0\0\x01" + bytes(6))]),
        ("postgresql", [("c", struct.pack(">II", 8, 80877103)), ("s", b"S")]),
    ],
)  # fmt: skip
def test_tls_that_begins_later(audit_bytes: Any, protocol: str, before: list[tuple[str, bytes]]) -> None:
    """STARTTLS, CONNECT, SOCKS and database log-ins go over to TLS; the hello is found."""
    row = talk(audit_bytes, *before, hello(wire.client_hello()), reply(wire.server_hello()))
    assert (row["status"], row["starttls"]) == ("complete", protocol)


@pytest.mark.parametrize(
    ("name", "version", "secret"),
    [
        ("ssl3", "SSL 3.0", False),
        ("tls1", "TLS 1.0", False),
        ("tls1.1", "TLS 1.1", False),
        ("tls1.2", "TLS 1.2", True),
        ("tls1.3", "TLS 1.3", True),
        ("tls1.3-post-quantum", "TLS 1.3", True),
    ],
)
def test_samples_of_each_version(samples: Path, name: str, version: str, secret: bool) -> None:
    """Real handshakes of every version are read as what they are."""
    row = wire.only(auditor.audit(samples / f"{name}.pcapng").handshakes)
    assert (row["tls_version"], row["forward_secrecy"], row["established"]) == (version, secret, True)
    assert row["post_quantum"] == ("post-quantum" in name)


def test_resumption_of_tls12(audit_bytes: Any, handshakes: Any, tmp_path: Path) -> None:
    """A resumed session inherits its first handshake's forward secrecy, and has none to show if that is not there."""
    keys = handshakes.Keys(tmp_path)
    session = handshakes.Session(keys, ssl.TLSVersion.TLSv1_2, "example.org")
    first, second = session.shake(b"x", b"y"), session.shake(b"x", b"y")
    one, two = wire.Talk(sport=1).open().play(first).packets, wire.Talk(sport=2).open().play(second).packets
    rows = audit_bytes(wire.pcap(one + two)).handshakes
    assert list(rows["resumed"]) == [False, True]
    assert list(rows["forward_secrecy"]) == [True, True]
    alone = wire.only(audit_bytes(wire.pcap(two)).handshakes)
    assert alone["resumption"] == "ticket"
    assert alone["forward_secrecy"] is not True
    assert "first handshake is not in the capture" in alone["forward_secrecy_reason"]


def test_psk_alone_is_not_forward_secret(audit_bytes: Any) -> None:
    """TLS 1.3 with a pre-shared key and no key share has no forward secrecy."""
    answer = wire.server_hello(0x1301, extensions=V13 + wire.extension(41, b"\0\0"))
    row = talk(audit_bytes, hello(wire.client_hello(extensions=OFFER)), reply(answer))
    assert (row["resumption"], row["forward_secrecy"], row["key_exchange"]) == ("psk", False, "PSK")


def test_neither_a_key_share_nor_a_psk(audit_bytes: Any) -> None:
    """A TLS 1.3 ServerHello that has neither is against RFC 8446 9.2: no key exchange is told of it, nor a PSK that nobody chose."""
    answer = wire.server_hello(0x1301, extensions=V13)
    row = talk(audit_bytes, hello(wire.client_hello(extensions=OFFER)), reply(answer))
    assert (row["tls_version"], row["resumed"]) == ("TLS 1.3", False)
    assert all(pd.isna(row[name]) for name in ("resumption", "forward_secrecy", "key_exchange"))
    assert "neither a key share nor a pre-shared key" in row["forward_secrecy_reason"]


def test_encrypted_is_missing_not_empty(audit_bytes: Any) -> None:
    """What TLS 1.3 encrypts is missing; it is never an empty text."""
    share = wire.extension(51, struct.pack(">HH", 0x1D, 1) + b"x")
    answer = wire.server_hello(0x1301, extensions=V13 + share)
    result = audit_bytes(
        wire.pcap(wire.Talk().open().play([hello(wire.client_hello(extensions=OFFER)), reply(answer)]).packets)
    )
    row = result.handshakes.iloc[0]
    assert row[["alpn", "signature_scheme", "certificate_id"]].isna().all()
    assert not (result.handshakes.select_dtypes("string") == "").any().any()


def test_ja3_of_a_published_hello() -> None:
    """JA3 joins decimal code points and leaves GREASE out (example of the JA3 authors)."""
    text = fingerprints.md5("769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0")
    assert (
        fingerprints.ja3(
            769, [47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4], [0, 10, 11], [23, 24, 25], [0]
        )
        == text
    )
    assert text == "ada70206e40642a3e4461f35503241d5"
    with_grease = fingerprints.ja3(769, [GREASE, 47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4], [GREASE, 0, 10, 11], [23, 24, 25], [0])  # fmt: skip
    assert with_grease == text


@pytest.mark.parametrize(
    ("alpn", "code"), [(b"h2", "h2"), (b"http/1.1", "h1"), (b"h", "hh"), (None, "00"), (b"\xab", "99"), (b"-x", "28")]
)
def test_ja4_of_alpn(alpn: bytes | None, code: str) -> None:
    """First and last character of the first protocol, in hexadecimal where one is no letter or digit."""
    assert fingerprints.ja4("t", 0x0304, [0x1301], [0, 16], [], alpn)[8:10] == code


def test_ja4_corner_cases() -> None:
    """No suites, no extensions, only a server name: zeros where nothing is left to hash."""
    assert fingerprints.ja4("t", 0x0301, [], [], [], None) == "t10i000000_000000000000_000000000000"
    assert fingerprints.ja4("t", 0x0301, [], [0], [], None).endswith("_000000000000_000000000000")
    assert fingerprints.ja4("t", 0x0303, [1] * 120, [5], [], None).startswith("t12i990100_")


@given(st.binary(max_size=400))
def test_shapes_of_anything(data: bytes) -> None:
    """Describing bytes that are no shape raises nothing but IndexError for what is too short to be one."""
    try:
        ClientShape.parse(data).row()
        if len(data) >= 6:
            ServerShape.parse(data)
    except IndexError:
        assert len(data) < 5 + int.from_bytes(data[2:4], "big") + 256


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_handshakes_never_raise(audit_bytes: Any, data: st.DataObject) -> None:
    """Cut a valid exchange anywhere, splice random bytes into it: there is always a result."""
    answer = wire.server_hello(0x1301, extensions=V13)
    stream = {
        "c": bytearray(wire.record(22, wire.client_hello(extensions=OFFER), 0x0301)),
        "s": bytearray(wire.record(22, answer) + wire.record(20, b"\x01") + wire.record(23, bytes(90))),
    }
    for who in "cs":
        at = data.draw(st.integers(0, len(stream[who])))
        stream[who][at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
        del stream[who][data.draw(st.integers(0, len(stream[who]))) :]
    packets = (
        wire.Talk().open().play([(w, bytes(b)) for w, b in stream.items()], data.draw(st.integers(1, 300))).packets
    )
    result = audit_bytes(wire.pcap(packets))
    assert len(result.flows) == 1
    assert len(result.handshakes) <= 1


LONG_HELLO = wire.record(22, wire.client_hello(extensions=OFFER + wire.extension(21, bytes(900))), 0x0301)
SHORT_ANSWER = (
    wire.record(22, wire.server_hello(0x1301, extensions=V13)) + wire.record(20, b"\x01") + wire.record(23, bytes(90))
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The handshake of both, each whole and in order."""
    packets = wire.Talk().open().play([("c", LONG_HELLO), ("s", SHORT_ANSWER)]).packets
    return wire.only(auditor.audit(wire.write(tmp_path_factory.mktemp("plain"), wire.pcap(packets))).handshakes)


AS_SEEN = {
    "started", "client_hello_capture", "server_hello_capture",
    "client_hello_frame", "server_hello_frame", "client_hello_segments", "hello_outcome", "hello_repeats", "hello_acknowledged",
}  # fmt: skip


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    cuts=st.lists(st.integers(1, 1500), max_size=6),
    overlap=st.integers(0, 60),
    seed=st.integers(0, 1 << 30),
    lost=st.booleans(),
)
def test_segments_in_any_order(
    audit_bytes: Any, plain: dict[str, Any], cuts: list[int], overlap: int, seed: int, lost: bool
) -> None:
    """Both hellos cut anywhere, overlapping, shuffled, some sent twice: the same row; one piece lost: none that is wrong."""
    shuffled = random.Random(seed)
    talk = wire.Talk().open()
    for side, data in enumerate((LONG_HELLO, SHORT_ANSWER)):
        edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
        parts = [(max(0, begin - overlap), end) for begin, end in itertools.pairwise(edges)]
        parts += [part for part in parts if shuffled.random() < 0.3]
        shuffled.shuffle(parts)
        if lost and side == 0:
            hole = shuffled.randrange(len(data))
            parts = [(begin, end) for begin, end in parts if not begin <= hole < end]
        for begin, end in parts:
            talk.send(side, data[begin:end], at=talk.next[side] + begin)
        talk.next[side] += len(data)
    found = audit_bytes(wire.pcap(talk.packets)).handshakes.to_dict("records")
    for row in found:
        if lost:  # what is told of the half that came is true
            assert pd.isna(row["server_name"]) or row["server_name"] == plain["server_name"]
            assert pd.isna(row["ja4"])
            assert row["status"] in ("server_only", "truncated", "invalid")
        else:
            same = [name for name in plain if name not in AS_SEEN]
            assert {n: row[n] for n in same if not pd.isna(row[n])} == {
                n: plain[n] for n in same if not pd.isna(plain[n])
            }
    assert lost or len(found) == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    packets=st.lists(st.binary(max_size=200), max_size=8),
    link=st.sampled_from([0, 1, 9, 12, 50, 51, 101, 108, 113, 276]),
)
def test_random_packets_never_raise(audit_bytes: Any, packets: list[bytes], link: int) -> None:
    """Random bytes of every link type are counted, one by one."""
    assert wire.only(audit_bytes(wire.pcap(packets, link=link)).captures)["packets"] == len(packets)


def test_names_of_code_points() -> None:
    """Names are IANA's; hybrids and ML-DSA are named right, unknown ones stay numbers."""
    assert names.group_name(0x11EC) == "X25519MLKEM768"
    assert names.signature_name(0x0904) == "mldsa44"
    assert names.suite_name(0xC02F) == "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    assert names.suite_name(0x1234) == "0x1234"
    assert names.extension_name(0xFE0D) == "encrypted_client_hello"
    assert names.signature_name(0x0202) == "dsa_sha1"
    assert names.version_name(0x7F1C) == "TLS 1.3 (draft 28)"
    assert [names.is_post_quantum(g) for g in (0x11EC, 0x0200, 0x6399, 0x001D)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("suite", "ephemeral"),
    [(0xC02F, True), (0x0033, True), (0x002F, False), (0xC0AA, True), (0xC035, True), (0x0034, True), (0xC005, False), (0x1301, None), (0x008C, False)],
)  # fmt: skip
def test_forward_secrecy_of_suites(suite: int, ephemeral: bool | None) -> None:
    """DHE and ECDHE in all their combinations have it, static ones have not, TLS 1.3's do not say."""
    assert names.suites()[suite].ephemeral is ephemeral


def test_versions_are_ordered(office: Any) -> None:
    """`tls_version` compares: everything below TLS 1.2 can be asked for."""
    old = office.flows[office.flows["tls_version"] < "TLS 1.2"]
    assert set(old["tls_version"].astype(str)) == {"TLS 1.0", "SSL 3.0"}
