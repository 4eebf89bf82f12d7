"""Certificate messages that no window of a stream holds: read however they come, and told why where they are not."""

import datetime as dt
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import auditor
from tests import carriers, wire

Run = Callable[..., auditor.Audit]
KEY = ec.generate_private_key(ec.SECP256R1())
DONE = wire.record(20, b"\1") + wire.record(22, bytes(range(40)))
LARGEST = 262_144
OFFER = wire.extension(43, b"\x04\x03\x04\x03\x03") + wire.extension(10, b"\0\x02\0\x1d")
ANSWER = wire.server_hello(
    0x1301, extensions=wire.extension(43, b"\x03\x04") + wire.extension(51, b"\0\x1d\0\x20" + bytes(32))
)


def chain(size: int, owner: str) -> tuple[bytes, int]:
    """A Certificate message of at least ``size`` bytes, and how many certificates are in it."""
    certificates: list[bytes] = []
    while (length := sum(map(len, certificates)) + 3 * len(certificates)) < size:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{owner} {len(certificates)}")])
        hosts = [carriers.NAME, *(f"host-{k}.{owner}" for k in range(min(250, max(1, (size - length) // 24))))]
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(KEY.public_key())
            .serial_number(len(certificates) + 1)
            .not_valid_before(dt.datetime(2023, 1, 1))  # noqa: DTZ001 - read as UTC
            .not_valid_after(dt.datetime(2033, 1, 1))  # noqa: DTZ001
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
            .sign(KEY, hashes.SHA256())
        )
        certificates.append(made.public_bytes(serialization.Encoding.DER))
    listed = b"".join(len(one).to_bytes(3, "big") + one for one in certificates)
    return wire.message(11, len(listed).to_bytes(3, "big") + listed), len(certificates)


def flights(server: bytes, client: bytes = b"", record: int = 16_384) -> list[tuple[str, bytes]]:
    """A handshake of TLS 1.2 with these Certificate messages, in records of ``record`` bytes."""

    def records(data: bytes) -> bytes:
        return b"".join(wire.record(22, data[at : at + record]) for at in range(0, len(data), record))

    asked = wire.message(13, b"\1\x40\0\2\4\3\0\0") if client else b""
    return [
        ("c", wire.record(22, wire.client_hello(name=carriers.NAME, suites=(0xC02F,)))),
        ("s", records(wire.server_hello(0xC02F) + server + asked + wire.message(14, b""))),
        ("c", records(client + wire.message(16, b"\x41" + bytes(65))) + DONE),
        ("s", DONE),
    ]


def check(result: auditor.Audit, count: int) -> None:
    """One whole handshake with ``count`` certificates, and none of its segments sent again."""
    row = wire.only(result.handshakes)
    assert (row["status"], row["established"], row["certificate_matches"]) == ("complete", True, True)
    assert pd.isna(row["status_reason"])
    assert len(result.certificates) == count
    assert wire.only(result.captures)["retransmissions"] == 0


@pytest.mark.parametrize("size", [32_000, 33_000, 65_600, 140_000, 258_000])
@pytest.mark.parametrize(("segment", "record"), [(1460, 16_384), (65_483, 16_384), (9000, 1000)])
def test_chains_are_read(audit_bytes: Run, size: int, segment: int, record: int) -> None:
    """Chains of up to 256 KiB, in segments of any size and in records of any size: every certificate is there."""
    server, count = chain(size, "server")
    check(audit_bytes(wire.pcap(wire.Talk().open().play(flights(server, b"", record), segment).packets)), count)


@pytest.mark.parametrize("seed", range(3))
def test_chains_whose_segments_are_shuffled(audit_bytes: Run, seed: int) -> None:
    """Segments that overtake each other, and that a mirror shows twice: the same certificates."""
    server, count = chain(90_000, "server")
    packets = wire.Talk().open().play(flights(server)).packets
    chance = random.Random(seed)
    order = sorted(range(len(packets)), key=lambda k: k if k < 4 else k + chance.randrange(9))
    shown: Sequence[bytes] = [packets[k] for k in order for _ in range(1 + seed % 2)]
    check(audit_bytes(wire.pcap(shown)), count)


def test_chains_of_both_sides(audit_bytes: Run) -> None:
    """A long chain of the server and one of the client: both are read."""
    (server, count), (client, further) = chain(60_000, "server"), chain(40_000, "client")
    result = audit_bytes(wire.pcap(wire.Talk().open().play(flights(server, client)).packets))
    check(result, count + further)
    assert set(result.certificates["roles"]) == {"server", "client", "issuer"}


SMTP = [
    ("s", b"220 mx ESMTP\r\n"),
    ("c", b"EHLO me\r\n"),
    ("s", b"250 STARTTLS\r\n"),
    ("c", b"STARTTLS\r\n"),
    ("s", b"220 go\r\n"),
]
CARRIED: dict[str, Callable[[carriers.Flights], list[bytes]]] = {
    "tds": lambda talk: wire.Talk().open().play(carriers.tds(talk)).packets,
    "openvpn": lambda talk: wire.Talk().open().play(carriers.openvpn(talk, framed=True, size=1200)).packets,
    "smtp": lambda talk: wire.Talk(dport=25).open().play([*SMTP, *talk]).packets,
}


@pytest.mark.parametrize("carrier", CARRIED)
def test_chains_inside_other_protocols(audit_bytes: Run, carrier: str) -> None:
    """A chain of more than 32 KiB inside another protocol, or behind STARTTLS: read as well."""
    server, count = chain(40_000, "server")
    result = audit_bytes(wire.pcap(CARRIED[carrier](flights(server))))
    check(result, count)
    assert wire.only(result.handshakes)["starttls"] == carrier


def test_a_chain_that_is_too_long(audit_bytes: Run) -> None:
    """More than 256 KiB: the handshake is followed to its end, and why no certificate is shown is told."""
    server, _ = chain(LARGEST, "server")
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play(flights(server)).packets)).handshakes)
    assert (row["status"], row["established"]) == ("complete", True)
    assert row["status_reason"] == f"the certificates take more than {LARGEST} bytes and are not read"


@pytest.mark.parametrize("lost", ["a segment", "the end"])
def test_a_chain_that_is_not_whole(audit_bytes: Run, lost: str) -> None:
    """A long chain of which the capture lacks a segment or the end: not whole, rather than too long."""
    server, _ = chain(90_000, "server")
    packets = wire.Talk().open().play(flights(server)).packets
    result = audit_bytes(wire.pcap(packets[:30] + (packets[31:] if lost == "a segment" else [])))
    assert len(result.certificates) == 0
    reasons: set[Any] = set(result.verdicts["reason"].dropna())
    assert not any("bytes and are not read" in reason for reason in reasons)
    assert wire.only(result.handshakes)["established"] is not False


@pytest.mark.parametrize(("size", "status"), [(1, "truncated"), (3, "complete")])
def test_more_pieces_than_are_kept(audit_bytes: Run, size: int, status: str) -> None:
    """A handshake in more datagrams than are kept of one: said so, and not that the capture lacks them, or that it failed."""
    ends: tuple[dict[str, Any], dict[str, Any]] = (
        {"sport": 50_000, "dport": 3389},
        {"sport": 3389, "dport": 50_000, "client": wire.SERVER, "server": wire.CLIENT},
    )
    talk = carriers.rdp_udp(carriers.handshake(), size=size)
    row = wire.only(
        audit_bytes(wire.pcap([wire.datagram(data, **ends["cs".index(who)]) for who, data in talk])).handshakes
    )
    assert row["status"] == status
    assert status == "complete" or row["status_reason"].startswith("more pieces or bytes than are kept")
    assert pd.isna(row["established"])


def longest_hello(last: bytes) -> bytes:
    """A ClientHello as long as the lists of one can be but for a few bytes, whose last extension is ``last``."""
    suites = struct.pack(">H", 65_534) + struct.pack(">H", 0x1301) * 32_767
    filling = 65_535 - len(OFFER) - len(last) - 4 - 9 - len(carriers.NAME)
    host = wire.extension(
        0, struct.pack(">HBH", len(carriers.NAME) + 3, 0, len(carriers.NAME)) + carriers.NAME.encode()
    )
    block = OFFER + wire.extension(0x8001, bytes(filling)) + host + last
    body = struct.pack(">H", 0x0303) + bytes(range(32)) + b"\x20" + bytes(32) + suites + b"\1\0"
    return wire.message(1, body + struct.pack(">H", len(block)) + block)


@pytest.mark.parametrize("segment", [1460, 16_000])
@pytest.mark.parametrize("order", ["sent", "late", "lost", "ends"])
def test_the_longest_hello(audit_bytes: Run, segment: int, order: str) -> None:
    """What stands at the very end of the longest hello is read, however its segments come; if they do not, it is truncated."""
    last = wire.extension(16, b"\0\3\2h2")
    hello = longest_hello(last)
    assert len(hello) > 131_000
    records = b"".join(wire.record(22, hello[at : at + 16_000]) for at in range(0, len(hello), 16_000))
    flights = [
        ("c", records),
        ("s", wire.record(22, ANSWER) + wire.record(23, bytes(90))),
        ("c", wire.record(23, bytes(90))),
    ]
    talk = wire.Talk().open().play(flights, segment)
    count = -(-len(records) // segment)
    first, middle = 3, 3 + max(1, count * 2 // 3)
    packets = list(talk.packets)
    if order == "late":
        packets[middle], packets[middle - 1] = packets[middle - 1], packets[middle]
    elif order == "lost":
        del packets[middle]
    elif order == "ends":
        packets = packets[: first + count - 1]
    row = wire.only(audit_bytes(wire.pcap(packets)).handshakes)
    assert row["client_hello_bytes"] == len(hello)
    if order in ("sent", "late"):
        assert (row["status"], row["server_name"], row["alpn_offered"]) == ("complete", carriers.NAME, "h2")
        assert row["history"].startswith("Cs")
    else:
        assert row["status"] in ("truncated", "client_only")
        assert pd.isna(row["alpn_offered"])


def test_what_is_longer_than_a_hello_can_be(audit_bytes: Run) -> None:
    """Of a message that claims more than the fields of a hello can hold, the beginning is read and the rest named."""
    body = longest_hello(b"")[4:] + bytes(1000)
    hello = wire.message(1, body)
    records = b"".join(wire.record(22, hello[at : at + 16_000]) for at in range(0, len(hello), 16_000))
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play([("c", records)]).packets)).handshakes)
    reason = "ClientHello: a message longer than a hello can be, of which only the beginning is read"
    assert (row["status"], row["status_reason"]) == ("truncated", reason)


def test_the_longest_hello_in_large_segments(audit_bytes: Run) -> None:
    """Segmentation offload shows the longest hello in three segments."""
    hello = longest_hello(wire.extension(16, b"\0\3\2h2"))
    records = b"".join(wire.record(22, hello[at : at + 16_000]) for at in range(0, len(hello), 16_000))
    row = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play([("c", records)], 60_000).packets)).handshakes)
    assert (row["status"], row["server_name"], row["alpn_offered"]) == ("client_only", carriers.NAME, "h2")
