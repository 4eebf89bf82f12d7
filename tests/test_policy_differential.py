"""Policies against tables written from their sources by hand: every suite, group, signature and kind of certificate.

The tables know nothing of how the policies are written: they look at IANA's names alone.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from auditor.policy import library
from auditor.policy.check import FAIL, WARN
from auditor.policy.facts import Facts
from auditor.policy.registry import CHECKS
from auditor.tables.versions import rank_of
from auditor.tls.names import groups, suites
from tests.test_policies import GOOD, facts

GROUPS = [name for name, _ in groups().values()] + [f"dh{bits}" for bits in (512, 768, 1024, 1536, 2048, 3072, 4096)]
SIGNATURES = [
    *("rsa_pkcs1_md5", "rsa_pkcs1_sha1", "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pss_rsae_sha256"),
    *("rsa_pss_rsae_sha384", "rsa_pss_pss_sha384", "ecdsa_sha1", "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384"),
    *("dsa_sha1", "dsa_sha256", "ed25519"),
]
CERTIFICATES = {
    "rsa 1024": ("rsa", 1024), "rsa 2048": ("rsa", 2048), "rsa 3072": ("rsa", 3072), "rsa 4096": ("rsa", 4096),
    "rsa 3072, exponent 3": ("rsa", "3072 3"), "rsa 3072, exponent 1": ("rsa", "3072 1"), "secp256k1": ("ecdsa", "secp256k1"),
    "dsa 1024": ("dsa", 1024), "dsa 3072": ("dsa", 3072), "P-192": ("ecdsa", "prime192v1"), "P-224": ("ecdsa", "secp224r1"),
    "P-256": ("ecdsa", "prime256v1"), "P-384": ("ecdsa", "secp384r1"), "P-521": ("ecdsa", "secp521r1"),
    "brainpool 160": ("ecdsa", "brainpoolP160r1"), "brainpool 256": ("ecdsa", "brainpoolP256r1"),
    "Ed25519": ("Ed25519", "?"), "Ed448": ("Ed448", "?"),
}  # fmt: skip
STRENGTH = {"sect163k1": 163, "sect163r1": 163, "sect163r2": 163, "sect193r1": 193, "sect193r2": 193}
STRENGTH |= {"secp160k1": 160, "secp160r1": 160, "secp160r2": 160, "secp192k1": 192, "secp192r1": 192}
NIST_CURVES = {"secp224r1", "secp256r1", "secp384r1", "secp521r1"}  # SP 800-56A Appendix D, but for the binary ones
JUDGED = ("cipher-suites", "groups", "signature-schemes", "certificate-strength", "certificate-curves", "rsa-exponents")


def judged(policy: str, **columns: list[Any]) -> np.ndarray:
    """Whether each of many handshakes is refused or warned of by a rule about suites, groups, signatures or certificates."""
    count = len(next(iter(columns.values())))
    one = facts(**GOOD)
    made = {name: np.repeat(np.asarray(getattr(one, name)), count) for name in GOOD}
    made |= {name: np.array(values, getattr(one, name).dtype) for name, values in columns.items()}
    some = Facts(count, lambda name: made[name] if name in made else np.repeat(np.asarray(getattr(one, name)), count))
    bad = np.zeros(count, bool)
    for rule in library.get(policy).rule:
        if rule.check in JUDGED:
            if rule.parameters.get("offered") or rule.begins is not None:
                continue
            bad |= np.isin(CHECKS[rule.check].function(some, rule.required, rule.parameters).verdict, (FAIL, WARN))
    return bad


def is_broken(suite: str) -> bool:
    """Suites that RFC 9325 4.1 forbids: no encryption, RC4, export strength, less than 112 bits, nobody authenticated."""
    words = ("NULL", "RC4", "EXPORT", "_anon_", "DES_CBC_", "DES40", "RC2", "SHA256_SHA256", "SHA384_SHA384")
    return any(word in suite for word in words) and "3DES" not in suite


def rfc9325(suite: str) -> bool:
    """RFC 9325 4.1: must not, or should not: 3DES (less than 128 bits), RSA, static and ephemeral finite-field keys."""
    kx = re.sub("^(TLS|SSL)_", "", suite).partition("_WITH_")[0]
    weak = "3DES" in suite or re.match(r"(RSA|DH|ECDH|DHE)(_|$)", kx) is not None or kx.startswith("PSK_DHE")
    return is_broken(suite) or weak


def nist(suite: str) -> bool:
    """SP 800-52r2 3.3.1: AES with (EC)DHE, or a suite of TLS 1.3 with AES; static keys should not be preferred to these."""
    if re.fullmatch(r"TLS_AES_(128|256)_(GCM_SHA(256|384)|CCM(_8)?_SHA256)", suite):
        return False
    return re.match(r"TLS_(ECDHE|DHE|PSK_DHE)_?\w*WITH_AES_(128|256)_(GCM|CCM|CBC)", suite) is None or "_anon_" in suite


def cnsa(suite: str) -> bool:
    """RFC 9151: five suites."""
    listed = ("ECDHE_ECDSA", "ECDHE_RSA", "RSA", "DHE_RSA")
    return suite not in {"TLS_AES_256_GCM_SHA384", *(f"TLS_{kx}_WITH_AES_256_GCM_SHA384" for kx in listed)}


KNOWN = [
    (suite.name, "TLS 1.3" if suite.key_exchange == "TLS13" else "TLS 1.2")
    for suite in suites().values()
    if suite.encryption and not suite.name.endswith("SCSV") and suite.key_exchange in ("TLS13", "RSA", "DH", "DHE", "ECDH", "ECDHE")
]  # fmt: skip


@pytest.mark.parametrize(("policy", "table"), [("rfc9325", rfc9325), ("nist-800-52r2", nist), ("cnsa-1.0", cnsa)])
def test_suites(policy: str, table: Callable[[str], bool]) -> None:
    """Of every suite by which keys are exchanged the policy says what the table says."""
    assert len(KNOWN) > 200
    good = {"cnsa-1.0": ("ecdsa_secp384r1_sha384", "secp384r1", "rsa\t3072\tsha384WithRSAEncryption")}
    scheme, group, chain = good.get(policy, ("ecdsa_secp256r1_sha256", "secp256r1", GOOD["certificates"]))
    bad = judged(
        policy,
        suite=[name for name, _ in KNOWN],
        version=[rank_of(version) for _, version in KNOWN],
        version_name=[version for _, version in KNOWN],
        group=[group] * len(KNOWN),
        signature_scheme=[scheme] * len(KNOWN),
        certificates=[chain] * len(KNOWN),
    )
    wrong = [name for (name, _), one in zip(KNOWN, bad.tolist(), strict=True) if one != table(name)]
    assert not wrong


def weak_group(name: str, least: int = 2048) -> bool:
    """Finite-field groups under ``least`` bits, curves under 224 bits, and curves whose strength nobody knows."""
    found = re.fullmatch(r"(?:dh|ffdhe)(\d+)", name)
    if found:
        return int(found[1]) < least
    return name in STRENGTH or name.startswith("arbitrary")


GROUP_TABLES: dict[str, Callable[[str], bool]] = {
    "rfc9325": weak_group,
    "pci-dss-4.0.1": weak_group,
    "aws-pinpoint": weak_group,
    "nist-800-52r2": lambda name: (
        weak_group(name)
        or (name not in NIST_CURVES | {"SecP256r1MLKEM768", "SecP384r1MLKEM1024"} and not name.startswith("ffdhe"))
    ),
    # SP 800-56A Appendix D and FIPS 203; SP 800-56C 2: of hybrids the first secret counts, which is ML-KEM's beside X25519 alone.
    "fips-endpoints": lambda name: (
        not re.fullmatch(
            r"secp(224|256|384|521)r1|sect(233|283|409|571)[kr]1|ffdhe\d+|MLKEM\d+|(X25519|SecP256r1)MLKEM768|SecP384r1MLKEM1024"
            r"|SecP256r1Kyber768Draft00",
            name,
        )
    ),
    "cnsa-1.0": lambda name: name not in ("secp384r1", "ffdhe3072", "ffdhe4096"),  # RFC 9151 5.1, 5.3
    "bsi-tr-02102-2": lambda name: (
        weak_group(name, 3000)
        or not re.match(r"secp(256|384|521)r1|brainpoolP|ffdhe(3072|4096)|dh[34]|SecP(256|384)r1MLKEM", name)
    ),
}


@pytest.mark.parametrize("policy", GROUP_TABLES)
def test_groups(policy: str) -> None:
    """Of every group, and of primes of a server's own, the policy says what the table says."""
    bad = judged(
        policy,
        group=GROUPS,
        dh_group=[
            (f"own prime{', weak' if int(n[2:]) < 2048 else ''}" if n.startswith("dh") else None) for n in GROUPS
        ],
        suite=["TLS_AES_256_GCM_SHA384"] * len(GROUPS),
        signature_scheme=[None] * len(GROUPS),
        certificates=[None] * len(GROUPS),
    )
    assert [name for name, one in zip(GROUPS, bad.tolist(), strict=True) if one != GROUP_TABLES[policy](name)] == []


def weak_signature(name: str) -> bool:
    """RFC 9155: MD5 and SHA-1."""
    return name.endswith(("md5", "sha1"))


def shown(kind: str, size: Any) -> str:
    """A certificate as facts describe it; behind an RSA key's length may be its exponent."""
    bits, *exponent = str(size).split()
    return "\t".join([kind, bits, "sha384WithRSAEncryption", *exponent])


def bad_certificate(least: int, curve: int, kinds: set[str], exponent: int = 3) -> Callable[[str, Any], bool]:
    """Keys of other kinds, of less bits, on smaller curves, and RSA's with exponents under ``exponent``."""

    def table(kind: str, size: Any) -> bool:
        if kind not in kinds:
            return True
        if kind in ("rsa", "dsa"):
            bits, *public = str(size).split()
            return int(bits) < least or any(int(one) < exponent for one in public)
        digits = re.search(r"\d{3}", str(size))
        return digits is not None and int(digits[0]) < curve

    return table


ANY = {"rsa", "dsa", "ecdsa", "Ed25519", "Ed448"}
SIGNED_TABLES: dict[str, tuple[Callable[[str], bool], Callable[[str, Any], bool]]] = {
    "rfc9325": (weak_signature, bad_certificate(2048, 224, ANY)),
    "pci-dss-4.0.1": (weak_signature, bad_certificate(2048, 224, ANY)),
    # Its table of signature algorithms has RSA, DSA and ECDSA.
    "bsi-tr-02102-2": (
        lambda name: weak_signature(name) or name.startswith("ed"),
        lambda kind, size: (
            bad_certificate(3000, 250, {"rsa", "dsa", "ecdsa"}, 65537)(kind, size) or size == "secp256k1"
        ),
    ),
    "nist-800-52r2": (
        lambda name: weak_signature(name) or name.startswith(("dsa", "ed")),  # "RSA or ECDSA"
        # Table 3-1: on a curve of SP 800-186, which should be P-256 or P-384; FIPS 186-5 A.1.1: exponents above 2^16.
        lambda kind, size: (
            bad_certificate(2048, 0, {"rsa"}, 65537)(kind, size) and size not in ("prime256v1", "secp384r1")
        ),
    ),
    "cnsa-1.0": (
        lambda name: not name.endswith("sha384"),
        lambda kind, size: bad_certificate(3072, 0, {"rsa"}, 65537)(kind, size) and size != "secp384r1",
    ),
}


@pytest.mark.parametrize("policy", SIGNED_TABLES)
def test_signatures_and_certificates(policy: str) -> None:
    """Of every signature with every kind of certificate the policy says what the tables say."""
    cases = list(itertools.product(SIGNATURES, CERTIFICATES.values()))
    bad = judged(
        policy,
        suite=["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"] * len(cases),
        version=[rank_of("TLS 1.2")] * len(cases),
        version_name=["TLS 1.2"] * len(cases),
        group=["secp384r1"] * len(cases),
        signature_scheme=[name for name, _ in cases],
        certificates=[shown(kind, size) for _, (kind, size) in cases],
    )
    of_signature, of_certificate = SIGNED_TABLES[policy]
    expected = [of_signature(name) or of_certificate(kind, size) for name, (kind, size) in cases]
    assert [case for case, one, two in zip(cases, bad.tolist(), expected, strict=True) if one != two] == []
