"""Certificates of clients, which TLS 1.2 shows: they are held to the same strength as the server's."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import auditor
from tests import rule_scenes, wire

AWS = "52.46.130.10"
SERVER = rule_scenes.Scene(suite=0xC02C, group="secp384r1", key="ec p384", scheme=0x0503)
# The rule on certificates of each policy that is about clients too.
RULES = {
    "nist-800-52r2": "NIST105",
    "pci-dss-4.0.1": "PCI103",
    "rfc9325": "BCP107",
    "bsi-tr-02102-2": "BSI106",
    "anssi": "ANSSI106",
    "cnsa-1.0": "CNSA104",
}
VALIDITY = ("NIST122", "PCI103", "BCP121", "BSI120", "ANSSI114", "CNSA112")  # … and on the times of certificates


RSA_SHA384 = bytes.fromhex("2a864886f70d01010c")  # RFC 8017 A.2.4


def certificate(key: str, signer: str = "ec p384", days: int = 80) -> bytes:
    """A certificate of a CA for a client, as DER."""
    begin = rule_scenes.BEGIN
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")]))
        .public_key(rule_scenes.key_of(key).public_key())
        .serial_number(9)
        .not_valid_before(begin - timedelta(days=100))
        .not_valid_after(begin + timedelta(days=days))
    )
    return built.sign(rule_scenes.key_of(signer), hashes.SHA384()).public_bytes(Encoding.DER)


def with_sha1(der: bytes) -> bytes:
    """The same certificate as if RSA had signed a digest of SHA-1: nobody makes such any more."""
    return der.replace(RSA_SHA384, RSA_SHA384[:-1] + b"\5")


def capture(client: bytes) -> bytes:
    """A handshake of TLS 1.2 in which the server asks for a certificate, and the client sends one."""
    scene = dataclasses.replace(SERVER)
    begin = int(rule_scenes.BEGIN.timestamp()) * wire.SECOND
    server = rule_scenes._answer(scene)[5:-4]
    asked = wire.message(13, b"\1\x40" + b"\0\2\5\3" + b"\0\0") + wire.message(14, b"")
    chain = len(client).to_bytes(3, "big") + client
    shown = wire.message(11, len(chain).to_bytes(3, "big") + chain)
    proof = wire.message(15, b"\5\3" + b"\0\x40" + bytes(64))
    last = wire.record(20, b"\1") + wire.record(22, bytes(40))
    flights = [
        ("c", wire.record(22, rule_scenes._hello(scene), 0x0301)),
        ("s", wire.record(22, server + asked)),
        ("c", wire.record(22, shown + wire.message(16, bytes(98)) + proof) + last),
        ("s", last),
        *((who, wire.record(23, bytes(200))) for who in "cs"),
    ]
    packets = wire.Talk(server=AWS).open().play(flights).close().packets
    return wire.pcap([(begin + k * 1_000_000, data) for k, data in enumerate(packets)])


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (certificate("rsa 1024"), "RSA key of 1024 bits"),
        (with_sha1(certificate("rsa 4096", "rsa 4096")), "sha1"),
        (b"\x30\x03no!", "cannot be parsed"),
    ],
)
def test_weak_ones_are_refused(audit_bytes: Callable[..., auditor.Audit], client: bytes, words: str) -> None:
    """Each policy whose source is about keys of clients refuses a weak one, and passes no certificate that it cannot read."""
    told = audit_bytes(capture(client), policy=list(RULES))
    for code in RULES.values():
        [row] = [one for one in told.rows("verdicts", "rule", "verdict", "reason") if one["rule"] == code]
        assert row["verdict"] == ("not_observable" if "parsed" in words else "fail"), code
        assert words in row["reason"]
        assert "client" in row["reason"]


def test_good_ones_pass_and_late_ones_do_not(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """A client's certificate as strong as the server's is in order, as long as it is valid."""
    good = audit_bytes(capture(certificate("ec p384")), policy=list(RULES))
    found = {row["rule"]: row["verdict"] for row in good.rows("verdicts", "rule", "verdict")}
    assert {found[code] for code in RULES.values()} == {"pass"}
    assert {found[code] for code in VALIDITY} == {"pass"}
    late = audit_bytes(capture(certificate("ec p384", days=-1)), policy=list(RULES))
    told = {row["rule"]: (row["verdict"], row["reason"]) for row in late.rows("verdicts", "rule", "verdict", "reason")}
    ended = f"{rule_scenes.BEGIN - timedelta(days=1):%Y-%m-%d}"
    refused = ("fail", f"a certificate of the client was not valid when seen: the leaf ended on {ended}")
    assert {code: told[code] for code in VALIDITY} == dict.fromkeys(VALIDITY, refused)
    assert {code for code in RULES.values() if told[code][0] == "fail"} == {"PCI103"}
