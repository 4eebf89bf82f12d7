"""Every shipped policy against a table made of its source: versions, suites, groups, signatures and certificates, combined."""

import itertools
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from auditor.policy import library
from auditor.policy.check import FAIL, WARN
from auditor.policy.facts import NO, UNKNOWN, YES, Facts
from auditor.policy.registry import CHECKS
from auditor.tables.versions import rank_of
from auditor.tls.names import groups, suites
from auditor.tls.suites import properties
from tests.aws_tables import STEPS, pages, snapshots
from tests.source_tables import TABLES as STANDARDS
from tests.source_tables import Shake
from tests.test_policies import GOOD, facts

SUITES = [
    one.name
    for one in suites().values()
    if one.name.startswith("TLS_")
    and not one.name.endswith("_OLD")  # of drafts
    and one.encryption
    and one.key_exchange in ("TLS13", "RSA", "DH", "DHE", "ECDH", "ECDHE", "PSK")
]
GROUPS = [name for name, _ in groups().values()]
CURVES = [
    name
    for name in GROUPS
    if not name.startswith("ffdhe") and "MLKEM" not in name and "Kyber" not in name and name != "CECPQ2"
]
PRIMES = [f"dh{bits}" for bits in (512, 768, 1024, 1536, 2048, 3072, 4096)] + [
    name for name in GROUPS if name.startswith("ffdhe")
]
SIGNATURES = [
    *(
        "rsa_pkcs1_md5",
        "rsa_pkcs1_sha1",
        "rsa_pkcs1_sha256",
        "rsa_pkcs1_sha384",
        "rsa_pkcs1_sha512",
        "rsa_pss_rsae_sha256",
    ),
    *("rsa_pss_rsae_sha384", "rsa_pss_pss_sha384", "ecdsa_sha1", "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384"),
    *("ecdsa_secp521r1_sha512", "dsa_sha1", "dsa_sha256", "ed25519"),
]
KEYS = [
    *(f"rsa {bits}" for bits in (512, 1024, 2048, 3072, 4096)), *("dsa 1024", "dsa 3072", "Ed25519 ?", "Ed448 ?"),
    *(f"ecdsa {name}" for name in ("prime192v1", "secp224r1", "secp256k1", "prime256v1", "secp384r1", "secp521r1", "brainpoolP160r1", "brainpoolP256r1")),
]  # fmt: skip
SIGNED = (
    "md5",
    "sha1",
    "sha224WithRSAEncryption",
    "sha256WithRSAEncryption",
    "ecdsa-with-SHA384",
    "rsassaPss (sha512)",
    "rsassaPss (sha384)",
)
TABLES = {**STANDARDS, **snapshots(), **pages()}
BIG, SMALL = 8, 2  # handshakes of each suite and version, for policies with a text and for lists


def shakes(each: int) -> Iterator[Shake]:
    """Every suite with every version that has it, each time with other groups, signatures and certificates."""
    dice = random.Random(7)
    for version, suite in itertools.product(STEPS, SUITES):
        known = properties(suite)
        assert known is not None
        if (known.key_exchange == "TLS13") != version.endswith("1.3") or version == "SSL 2.0":
            continue
        for _ in range(each):
            if known.key_exchange == "TLS13":
                yield Shake(version, suite, dice.choice(GROUPS))
                continue
            has_group = known.key_exchange in ("ECDHE", "DHE") or known.anonymous
            group = dice.choice(PRIMES if known.key_exchange in ("DHE", "DH") else CURVES) if has_group else None
            is_signed = known.key_exchange in ("ECDHE", "DHE") and known.authentication not in ("PSK", "anon")
            signature = dice.choice(SIGNATURES) if is_signed else None
            if signature is not None and not version.endswith("1.2"):
                signature = "rsa_pkcs1_sha1"
            has_key = not known.anonymous and (known.authentication != "PSK" or known.key_exchange == "RSA")
            key, signed = (dice.choice(KEYS), dice.choice(SIGNED)) if has_key else (None, None)
            yield Shake(version, suite, group, signature, key, signed)


def shown_group(one: Shake) -> str | None:
    """To TLS 1.2 a group of a finite field is told by its prime's length."""
    return f"dh{one.group[5:]}" if one.group and not one.is_1_3 and one.group.startswith("ffdhe") else one.group


def prime_of(one: Shake) -> str | None:
    """What is known of the prime."""
    group = "" if one.group is None or one.is_1_3 else one.group
    own = "own prime, weak" if group.startswith("dh") and int(group[2:]) < 2048 else "own prime"
    return group if group.startswith("ffdhe") else own if group.startswith("dh") else None


def kind_of(group: str | None) -> str:
    """Which kind of key exchange a group is."""
    if group is None or ("MLKEM" not in group and "Kyber" not in group and group != "CECPQ2"):
        return "classical"
    return "pure" if group.startswith("MLKEM") else "hybrid" if "MLKEM" in group else "draft"


def columns(cases: list[Shake]) -> dict[str, Any]:
    """The facts of many handshakes."""
    known = [properties(one.suite) for one in cases]
    return {
        "version": [rank_of(one.version) for one in cases],
        "version_name": [one.version for one in cases],
        "version_offered": [rank_of(one.version) for one in cases],
        "suite": [one.suite for one in cases],
        "group": [shown_group(one) for one in cases],
        "dh_group": [prime_of(one) for one in cases],
        "signature_scheme": [one.signature if one.version.endswith("1.2") else None for one in cases],
        "certificates": [None if one.key is None else "\t".join([*one.key.split(), str(one.signed)]) for one in cases],
        "forward_secrecy": [YES if one.is_ephemeral else NO for one in cases],
        "authentication": ["anonymous" if k is not None and k.anonymous else "classical" for k in known],
        "post_quantum_kind": [kind_of(one.group) if one.is_1_3 else None for one in cases],
        "encrypt_then_mac": [YES if k is not None and k.mode == "CBC" else UNKNOWN for k in known],
    }


@cache
def handshakes(each: int) -> tuple[list[Shake], Facts]:
    """Handshakes, so many of each suite and version, and their facts."""
    cases = list(shakes(each))
    one = facts(**GOOD, is_pinpoint=True)
    made = {name: np.array(values, getattr(one, name).dtype) for name, values in columns(cases).items()}
    return cases, Facts(
        len(cases), lambda name: made[name] if name in made else np.repeat(np.asarray(getattr(one, name)), len(cases))
    )


def refused(policy: str, some: Facts) -> np.ndarray[Any, Any]:
    """Whether any rule of a policy about what was negotiated refuses each handshake, or advises against it."""
    bad = np.zeros(len(some), bool)
    for rule in library.get(policy).rule:
        begins = 0 if rule.begins is None else (rule.begins - rule.begins.replace(1970, 1, 1)).days
        ends = 0 if rule.ends is None else (rule.ends - rule.ends.replace(1970, 1, 1)).days
        holds = begins <= GOOD["day"] and (rule.ends is None or ends >= GOOD["day"])
        if holds and rule.check in JUDGED and not rule.parameters.get("offered"):
            bad |= np.isin(CHECKS[rule.check].function(some, rule.required, rule.parameters).verdict, (FAIL, WARN))
    return bad


JUDGED = {
    *("tls-version", "cipher-suites", "groups", "signature-schemes", "certificate-strength", "certificate-curves"),
    *("forward-secrecy", "no-psk-only", "server-authenticated", "post-quantum", "no-plaintext", "rsa-exponents"),
}


def test_every_policy_has_a_table() -> None:
    """No policy is shipped without a table of its source."""
    assert set(TABLES) == set(library.shipped()) - {"capture-quality"}


@pytest.mark.parametrize("policy", TABLES)
def test_policies_refuse_what_their_sources_refuse(policy: str) -> None:
    """Each refuses what its table refuses, and nothing else."""
    cases, some = handshakes(SMALL if policy.startswith("aws-") else BIG)
    expected = [TABLES[policy](one) for one in cases]
    found = refused(policy, some).tolist()
    wrong = [(one, was) for one, was, should in zip(cases, found, expected, strict=True) if was != should]
    assert wrong[:3] == []
