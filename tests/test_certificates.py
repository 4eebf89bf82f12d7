"""Certificates, key exchanges and client certificates as TLS 1.2 and earlier send them."""

import hashlib
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

import auditor
from auditor.tls import certificates
from auditor.tls.certificate_columns import _invalid, lifetime, validity
from auditor.tls.dh_groups import LENGTHS, group_of, known_primes
from tests import wire
from tests.conftest import HANG

NAME = "pinpoint.us-east-1.amazonaws.com"
SEEN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)  # when wire.pcap's packets begin
Run = Callable[..., auditor.Audit]


def named(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def made(
    subject: str,
    key: Any,
    issuer: str | None = None,
    signer: Any = None,
    names: tuple[str, ...] = (),
    begin: datetime = SEEN - timedelta(days=10),
    days: int = 90,
    ca: bool = False,
) -> bytes:
    """A certificate's DER; signed by its own key unless there is a signer."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer or subject))
        .public_key(key.public_key())
        .serial_number(0x0A1B2C)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    signer = signer or key
    plain = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(signer, None if plain else hashes.SHA256()).public_bytes(Encoding.DER)


ROOT, LEAF = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
ROOT_DER = made("Root", ROOT, ca=True)
LEAF_DER = made("leaf", LEAF, "Root", ROOT, (NAME, "*.example.org"))


def raw_key(key: Any) -> bytes:
    encoded: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def listed(*ders: bytes) -> bytes:
    body = b"".join(len(der).to_bytes(3, "big") + der for der in ders)
    return len(body).to_bytes(3, "big") + body


def handshake(
    *ders: bytes, name: str = NAME, suite: int = 0xC02B, exchange: bytes = b"", client: bytes | None = None
) -> list[tuple[str, bytes]]:
    """The flights of a TLS 1.2 handshake with these certificates."""
    flight = wire.server_hello(suite) + wire.message(11, listed(*ders))
    if exchange:
        flight += wire.message(12, exchange)
    if client is not None:
        flight += wire.message(13, b"\1\1\0\0\0\0")
    flight += wire.message(14, b"")
    answer = wire.message(11, listed(client)) if client is not None else b""
    answer += wire.message(16, bytes(66))
    return [
        ("c", wire.record(22, wire.client_hello(name, suites=(suite,)))),
        ("s", wire.record(22, flight)),
        ("c", wire.record(22, answer) + wire.record(20, b"\1") + wire.record(22, bytes(40))),
        ("s", wire.record(20, b"\1") + wire.record(22, bytes(40))),
    ]


def audit(run: Run, flights: list[tuple[str, bytes]], size: int = 1460) -> auditor.Audit:
    return run(wire.pcap(wire.Talk().open().play(flights, size).packets))


@pytest.mark.parametrize("size", [1460, 90])
def test_a_chain(audit_bytes: Run, size: int) -> None:
    """Subject, issuer, names, validity, key and signature of each certificate, over any split of segments."""
    curve = b"\3\0\x1d\x20" + bytes(32) + b"\x04\x03\0\x02ok"
    result = audit(audit_bytes, handshake(LEAF_DER, ROOT_DER, exchange=curve), size)
    row = wire.only(result.handshakes)
    leaf, root = hashlib.sha256(LEAF_DER).hexdigest(), hashlib.sha256(ROOT_DER).hexdigest()
    assert (row["certificate_id"], row["certificate_chain"]) == (leaf, f"{leaf} {root}")
    assert (row["chain_order"], row["certificate_matches"], row["certificate_valid"]) == (
        "in order, with root",
        True,
        True,
    )
    assert (row["key_exchange_group"], row["signature_scheme"]) == ("x25519", "ecdsa_secp256r1_sha256")
    assert (row["history"], row["established"], row["authentication"]) == ("CsxknGIi", True, "classical")
    one = result.certificates.set_index("certificate_id").loc[leaf]
    assert (one["subject"], one["issuer"]) == ("CN=leaf,O=Example\\, Inc.", "CN=Root,O=Example\\, Inc.")
    assert (one["serial"], one["version"], one["san_dns"]) == ("0A1B2C", 3, f"{NAME} *.example.org")
    assert (one["key_algorithm"], one["key_type"], one["key_bits"], one["curve"]) == (
        "id-ecPublicKey",
        "ecdsa",
        256,
        "prime256v1",
    )
    assert (one["signature_algorithm"], one["is_ca"], one["self_signed"]) == ("ecdsa-with-SHA256", False, False)
    assert (one["roles"], one["handshakes"]) == ("server", 1)
    assert one["not_before"] == SEEN - timedelta(days=10)
    other = result.certificates.set_index("certificate_id").loc[root]
    assert (other["roles"], other["is_ca"], other["self_signed"]) == ("issuer", True, True)


@pytest.mark.parametrize(
    ("ders", "order"),
    [
        ((LEAF_DER,), "leaf only"),
        ((ROOT_DER,), "self-signed"),
        ((ROOT_DER, LEAF_DER), "out of order"),
        ((LEAF_DER, ROOT_DER), "in order, with root"),
    ],
)
def test_order_of_a_chain(audit_bytes: Run, ders: tuple[bytes, ...], order: str) -> None:
    """Whether each certificate is issued by the next."""
    assert wire.only(audit(audit_bytes, handshake(*ders)).handshakes)["chain_order"] == order


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        (NAME, True),
        (NAME.upper(), True),
        ("a.example.org", True),
        ("a.b.example.org", False),
        ("example.org", False),
        ("evil.example", False),
    ],
)
def test_match_with_the_server_name(audit_bytes: Run, name: str, fits: bool) -> None:
    """RFC 6125: case does not matter, a wildcard stands for one label."""
    assert wire.only(audit(audit_bytes, handshake(LEAF_DER, name=name)).handshakes)["certificate_matches"] == fits


def test_validity_when_it_was_seen(audit_bytes: Run) -> None:
    """A certificate is judged at the time of the handshake, not of the audit."""
    old = made("old", LEAF, begin=SEEN - timedelta(days=400), names=(NAME,))
    assert not wire.only(audit(audit_bytes, handshake(old)).handshakes)["certificate_valid"]


# The rule on times of certificates of each policy that has one of its own.
VALIDITY = {
    "anssi": "ANSSI114", "bsi-tr-02102-2": "BSI120", "cnsa-1.0": "CNSA112", "cnsa-2.0": "CNSB107", "nist-800-52r2": "NIST122",
    "rfc9325": "BCP121", "mozilla-intermediate-5.7": "MIA109", "mozilla-intermediate-6.0": "MIB109",
    "mozilla-modern-5.7": "MMA107", "mozilla-modern-6.0": "MMB107",
}  # fmt: skip
MIDDLE = ec.generate_private_key(ec.SECP256R1())
BY_MIDDLE = made("leaf", LEAF, "Middle", MIDDLE, (NAME,))
EXPIRED = made("leaf", LEAF, "Root", ROOT, (NAME,), begin=SEEN - timedelta(days=100), days=99)
NOT_YET = made("leaf", LEAF, "Root", ROOT, (NAME,), begin=SEEN + timedelta(days=1))


def middle(begin: datetime) -> bytes:
    return made("Middle", MIDDLE, "Root", ROOT, begin=begin, ca=True)


@pytest.mark.parametrize(
    ("ders", "expected"),
    [
        ((BY_MIDDLE, middle(SEEN - timedelta(days=10))), "pass"),
        ((EXPIRED,), "fail"),
        ((NOT_YET,), "fail"),
        ((BY_MIDDLE, middle(SEEN - timedelta(days=100))), "fail"),
        ((BY_MIDDLE, middle(SEEN + timedelta(days=1)), ROOT_DER), "fail"),
        ((LEAF_DER, made("Root", ROOT, begin=SEEN - timedelta(days=100), ca=True)), "pass"),
        ((made("leaf", LEAF, names=(NAME,), begin=SEEN - timedelta(days=100)),), "fail"),
        ((LEAF_DER, b"\x30\x03no!"), "not_observable"),
        ((EXPIRED, b"\x30\x03no!"), "fail"),
        ((), "not_observable"),
    ],
    ids=[
        "valid", "expired", "not yet valid", "an expired intermediate", "an intermediate of the future", "an expired root",
        "expired and self-signed", "one that cannot be parsed", "an expired one besides", "a resumed session",
    ],
)  # fmt: skip
def test_each_policy_wants_valid_certificates(audit_bytes: Run, ders: tuple[bytes, ...], expected: str) -> None:
    """Each certificate but a root is valid when seen, else the flow passes in no policy; what is not seen is not judged."""
    flights = handshake(*ders)
    if not ders:
        last = wire.record(20, b"\1") + wire.record(22, bytes(40))
        flights[1:] = [("s", wire.record(22, wire.server_hello(0xC02B)) + last), ("c", last)]
    data = wire.pcap(wire.Talk().open().play(flights).packets)
    said = audit_bytes(data, policy=list(VALIDITY), all_traffic=True).verdicts.set_index("rule").verdict
    advised = "warn" if expected == "fail" else expected  # Mozilla's guidelines recommend
    wanted = {code: advised if name.startswith("mozilla") else expected for name, code in VALIDITY.items()}
    assert {code: said[code] for code in VALIDITY.values()} == wanted


def test_which_certificate_was_not_valid(audit_bytes: Run) -> None:
    """The reason names the certificate and the day; the same chain at several times is told as each time was."""
    late, early = SEEN - timedelta(days=100), SEEN + timedelta(days=1)
    chains = {
        (EXPIRED,): f"the leaf ended on {late + timedelta(days=99):%Y-%m-%d}",
        (NOT_YET,): f"the leaf begins on {early:%Y-%m-%d}",
        (BY_MIDDLE, middle(late)): f"certificate 2 of the chain ended on {late + timedelta(days=90):%Y-%m-%d}",
        (BY_MIDDLE, ROOT_DER, middle(early)): f"certificate 3 of the chain begins on {early:%Y-%m-%d}",
    }
    packets: list[bytes] = []
    for port, ders in enumerate(chains, 40_000):
        packets += wire.Talk(sport=port).open().play(handshake(*ders)).packets
    told = audit_bytes(wire.pcap(packets), policy="rfc9325", all_traffic=True)
    reasons = {
        row["flow_id"]: row["reason"]
        for row in told.rows("verdicts", "flow_id", "rule", "reason")
        if row["rule"] == "BCP121"
    }
    found = {row["client_port"]: reasons[row["flow_id"]] for row in told.rows("flows", "flow_id", "client_port")}
    begin = "a certificate was not valid when seen: "
    assert found == {port: begin + words for port, words in enumerate(chains.values(), 40_000)}

    chain = certificates.Chain([certificates.parse(one) for one in (BY_MIDDLE, middle(late))])
    days = np.array([int((SEEN + timedelta(days=k)).timestamp()) * 10**9 for k in (-60, 0, -60, 400, -200)])
    faults = _invalid([certificates.Chain([]), chain], np.array([1, 1, 0, 1, 1]), days).objects().tolist()
    assert [one and one[:8] for one in faults] == ["the leaf", "certific", None, "the leaf", "the leaf"]


def test_validity_at_the_very_second() -> None:
    """A certificate is good from the second of notBefore to the end of that of notAfter (RFC 5280 4.1.2.5: inclusive)."""
    first, last = 1_700_000_000 * 10**9, 1_700_000_100 * 10**9
    path = [certificates.Certificate("x", not_before=first, not_after=last)]
    times = (first - 1, first, last, last + 999_999_999, last + 10**9)
    assert [validity(path, time) for time in times] == [False, True, True, True, False]
    forever = [certificates.Certificate("x", not_before=first, not_after=2**63 - 1)]
    assert validity(forever, 2**63 - 1)
    unread = certificates.Certificate("y")
    assert [validity([*path, unread], time) for time in (first - 1, first)] == [False, None]
    assert validity([], first) is None


@pytest.mark.parametrize(
    ("seconds", "days"),
    [(366 * 86_400 - 1, "365"), (366 * 86_400, "366"), (367 * 86_400 - 1, "366"), (367 * 86_400, "367"), (-5, "0")],
)
def test_how_long_a_certificate_is_good(seconds: int, days: str) -> None:
    """Whole days from notBefore to notAfter, so that a day is over only when all of it is."""
    begin = 1_700_000_000 * 10**9
    own = certificates.Certificate("x", not_before=begin, not_after=begin + seconds * 10**9)
    assert lifetime(certificates.Chain([own])) == days
    assert lifetime(certificates.Chain([])) is lifetime(certificates.Chain([certificates.Certificate("y")])) is None


@pytest.mark.parametrize(
    ("key", "algorithm", "kind", "bits"),
    [
        (rsa.generate_private_key(65537, 2048), "rsaEncryption", "rsa", 2048),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "id-ecPublicKey", "ecdsa", 256),
        (dsa.generate_private_key(2048), "dsaEncryption", "dsa", 2048),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", "Ed25519", None),
        (ed448.Ed448PrivateKey.generate(), "Ed448", "Ed448", None),
    ],
)
def test_kinds_of_keys(key: Any, algorithm: str, kind: str, bits: int | None) -> None:
    """RSA, brainpool, DSA, Ed25519 and Ed448 are named right."""
    found = certificates.parse(made("x", key))
    assert (found.key_algorithm, found.key_type, found.key_bits, found.problem) == (algorithm, kind, bits, None)
    assert found.self_signed is not False


@pytest.mark.parametrize(
    ("curve", "known", "other", "name"),
    [
        (ec.SECP256K1(), "2b8104000a", "2b81040006", "secp112r1"),
        (ec.SECP256K1(), "2b8104000a", "2b8104001a", "sect233k1"),
        (ec.SECP256R1(), "2a8648ce3d030107", "2a8648ce3d030102", "prime192v2"),
        (ec.BrainpoolP256R1(), "2b2403030208010107", "2b2403030208010101", "brainpoolP160r1"),
        (ec.SECP256K1(), "2b8104000a", "2b8104007f", None),
    ],
)
def test_curves_that_the_library_does_not_know(
    curve: ec.EllipticCurve, known: str, other: str, name: str | None
) -> None:
    """The curve of a key is named by its object identifier, whether or not its points can be calculated with."""
    der = made("x", ec.generate_private_key(curve)).replace(bytes.fromhex(known), bytes.fromhex(other))
    found = certificates.parse(der)
    assert (found.key_type, found.curve) == ("ecdsa", name)
    assert found.problem is not None


def test_what_is_no_certificate(audit_bytes: Run) -> None:
    """What cannot be parsed is told with its hash and the reason; a raw public key (RFC 7250) is named."""
    raw = LEAF.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for der in (b"\x30\x03\x02\x01\x01", LEAF_DER[:200], raw):
        row = wire.only(audit(audit_bytes, handshake(der)).certificates)
        assert row["certificate_id"] == hashlib.sha256(der).hexdigest()
        if der == raw:
            assert (row["key_algorithm"], row["curve"]) == ("raw public key", "prime256v1")
        else:
            assert "not a certificate that can be parsed" in row["problem"]


@pytest.mark.parametrize(
    ("body", "strong", "named"),
    [
        (raw_key(ec.generate_private_key(ec.SECP256R1())), "pass", "not_observable"),
        (raw_key(rsa.generate_private_key(65537, 1024)), "fail", "fail"),
        (b"", "fail", "fail"),
        (b"\0\0\0", "not_observable", "not_observable"),
    ],
    ids=["a raw key", "a weak raw key", "nothing", "an empty list"],
)
def test_what_stands_in_place_of_certificates(audit_bytes: Run, body: bytes, strong: str, named: str) -> None:
    """A raw public key (RFC 7250) is judged by its strength, and names nobody; an empty list proves nothing."""
    message = len(body).to_bytes(3, "big") + body
    flights = handshake()
    server = wire.server_hello(0xC02B) + wire.message(11, message) + wire.message(14, b"")
    flights[1] = ("s", wire.record(22, server))
    data = wire.pcap(wire.Talk().open().play(flights).packets)
    result = audit_bytes(data, policy=["rfc9325", "pci-dss-4.0.1"], all_traffic=True)
    said = result.verdicts.set_index("rule").verdict
    assert (said["BCP107"], said["PCI103"]) == (strong, named)
    reasons = set(result.verdicts[result.verdicts.rule.isin(["BCP107", "PCI103"])].reason)
    assert all("raw public key" in one or "the server" in one for one in reasons)
    assert not any("encrypted" in one for one in reasons)


def test_client_certificate(audit_bytes: Run) -> None:
    """Asked for and sent: whose it is, and that an empty answer is none."""
    result = audit(audit_bytes, handshake(LEAF_DER, client=ROOT_DER))
    row = wire.only(result.handshakes)
    assert row["client_certificate_asked"]
    assert row["client_certificate_id"] == hashlib.sha256(ROOT_DER).hexdigest()
    assert result.certificates.set_index("certificate_id").loc[row["client_certificate_id"]]["roles"] == "client"
    without = wire.only(audit(audit_bytes, handshake(LEAF_DER)).handshakes)
    assert not without["client_certificate_asked"]
    assert not isinstance(without["client_certificate_id"], str)


def vector(number: int) -> bytes:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return len(data).to_bytes(2, "big") + data


def test_groups_of_diffie_hellman(audit_bytes: Run) -> None:
    """A standard prime is named, an own one and a weak one said to be so."""
    primes = {name: prime for bits in LENGTHS for prime, name in known_primes(bits).items()}
    for prime, group, told in (
        (primes["ffdhe2048 (RFC 7919)"], "dh2048", "ffdhe2048 (RFC 7919)"),
        (primes["modp1024 (RFC 2409)"], "dh1024", "modp1024 (RFC 2409), weak"),
        ((1 << 2047) + 29, "dh2048", "own prime"),
    ):
        exchange = vector(prime) + vector(2) + vector(prime - 5) + b"\x04\x01\0\x02ok"
        row = wire.only(audit(audit_bytes, handshake(LEAF_DER, suite=0x009E, exchange=exchange)).handshakes)
        assert (row["key_exchange"], row["key_exchange_group"], row["dh_group"]) == ("DHE", group, told)
        assert row["forward_secrecy"]


def test_known_primes_are_safe_primes() -> None:
    """The formulas of RFC 2409, 3526 and 7919 give safe primes (Fermat's test): p and (p - 1) / 2."""
    known = {prime: bits for bits in LENGTHS for prime in known_primes(bits)}
    assert len(known) == 13
    for prime, bits in known.items():
        assert prime.bit_length() == bits
        if bits <= 3072:
            assert all(pow(base, n - 1, n) == 1 for n in (prime, prime // 2) for base in (2, 3))
    assert group_of((2**255 - 19).to_bytes(32, "big")) == "own prime, weak"
    assert group_of((271 * 13597 * (2**2040 + 7)).to_bytes(260, "big")) == "not a prime, weak"


def test_the_same_certificate_is_one_row(audit_bytes: Run) -> None:
    """Two handshakes with one certificate: one row that counts both."""
    packets = [p for port in (40_000, 40_001) for p in wire.Talk(sport=port).open().play(handshake(LEAF_DER)).packets]
    assert wire.only(audit_bytes(wire.pcap(packets)).certificates)["handshakes"] == 2


def test_in_tls_13_certificates_are_not_observable(audit_bytes: Run) -> None:
    """What is encrypted is missing, never False."""
    extensions = wire.extension(43, b"\3\4") + wire.extension(51, b"\0\x1d\0\x20" + bytes(32))
    flights = [
        ("c", wire.record(22, wire.client_hello())),
        ("s", wire.record(22, wire.server_hello(0x1301, extensions=extensions))),
    ]
    row = wire.only(audit(audit_bytes, flights).handshakes)
    assert row["authentication"] == "not_observable"
    for name in (
        "certificate_id",
        "certificate_valid",
        "certificate_matches",
        "client_certificate_asked",
        "ocsp_stapled",
    ):
        assert pd.isna(row[name]), name


def test_all_names_of_a_long_list_count() -> None:
    """A list is shortened where it is shown, never where names are compared."""
    parsed = certificates.parse(
        made("other.example", LEAF, names=(*(f"{k:04}.{'x' * 40}.example" for k in range(200)), NAME))
    )
    assert parsed.san_dns is not None
    assert parsed.san_dns.endswith("…")
    assert parsed.fits(NAME)
    assert not parsed.fits("other.example")


def test_an_odd_name_does_not_take_the_others_away() -> None:
    """Beside a name that is no ASCII the others count, and the common name does not."""
    parsed = certificates.parse(made("other.example", LEAF, names=("zzzz.example", NAME)).replace(b"zzzz", b"\xffzzz"))
    assert parsed.problem is not None
    assert parsed.fits(NAME)
    assert not parsed.fits("other.example")
    assert not parsed.fits("zzzz.example")


@pytest.mark.parametrize(("bits", "self_signed"), [(17, True), (2000, None)])
def test_absurd_exponents_are_not_calculated_with(bits: int, self_signed: bool | None) -> None:
    """A self-signature under an RSA key whose exponent is as long as the modulus is not verified, and it is said so."""
    usual = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    order = math.lcm(usual.p - 1, usual.q - 1)
    exponent = next(e for e in range((1 << (bits - 1)) + 1, 1 << bits, 2) if math.gcd(e, order) == 1)
    d = pow(exponent, -1, order)
    p, q = usual.p, usual.q
    parts = d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    public = rsa.RSAPublicNumbers(exponent, usual.public_numbers.n)
    key = rsa.RSAPrivateNumbers(p, q, *parts, public).private_key(unsafe_skip_rsa_key_validation=True)
    parsed = certificates.parse(made("itself", key))
    assert parsed.exponent == str(exponent)
    assert parsed.self_signed is self_signed
    assert ("larger than any in use" in (parsed.problem or "")) is (self_signed is None)


def test_what_libraries_warn_of_is_not_said(tmp_path: Path) -> None:
    """A certificate whose names are not as long as they have to be puts no warning of a library among what is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        country = x509.NameAttribute(NameOID.COUNTRY_NAME, "A", _validate=False)
    odd = x509.Name([country, *named("odd")])
    built = x509.CertificateBuilder().subject_name(odd).issuer_name(odd).public_key(LEAF.public_key()).serial_number(1)
    der = built.not_valid_before(SEEN).not_valid_after(SEEN + timedelta(days=1)).sign(LEAF, hashes.SHA256())
    talk = wire.Talk().open().play(handshake(der.public_bytes(Encoding.DER)))
    path = wire.write(tmp_path, wire.pcap(talk.packets))
    command = [sys.executable, "-m", "auditor", "pcap", str(path), "-q", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG)
    assert auditor.load(tmp_path / "out").certificates["subject"][0].endswith("C=A")
    assert "arning" not in done.stderr
