"""Checks of certificates: the server's own, and every other of the chain that it sent."""

import re
from typing import Any, NamedTuple

import numpy as np

from auditor.policy.check import NOT_APPLICABLE, NOT_OBSERVABLE, PASS, CheckResult, check, is_given, no_handshake, unmet
from auditor.policy.facts import NO, Facts
from auditor.policy.tls_checks import curve_bits
from auditor.tls.algorithms import NO_CERTIFICATE, RAW_KEY
from auditor.tls.suites import properties

WEAK_HASHES = ("md2", "md4", "md5", "sha1")


class Strength(NamedTuple):
    """What a rule asks of keys and signatures: least bits by type of key; empty lists ask nothing."""

    bits: dict[str, int]
    rsa_sizes: tuple[int, ...]
    ec_bits: int
    curves: tuple[str, ...]
    kinds: tuple[str, ...]
    signatures: tuple[str, ...]

    def objection(self, kind: str, size: str, signed: str) -> str | None:
        """What is wrong with a key, or with the signature under it; None for nothing."""
        return self._objection_to_key(kind, size) or self._objection_to_signature(signed)

    def _objection_to_key(self, kind: str, size: str) -> str | None:
        if self.kinds and kind not in self.kinds:
            return f"{kind} key"
        is_short = kind in self.bits and size.isdigit() and int(size) < self.bits[kind]
        is_other = kind == "rsa" and size.isdigit() and bool(self.rsa_sizes) and int(size) not in self.rsa_sizes
        if is_short or is_other:
            return f"{kind.upper()} key of {size} bits"
        if kind != "ecdsa":
            return None
        bits = curve_bits(size.lower())
        if (self.curves and size not in self.curves) or (self.ec_bits and (bits is None or bits < self.ec_bits)):
            return f"key on {size}"
        return None

    def _objection_to_signature(self, signed: str) -> str | None:
        """``signed``: the algorithm, or the weak hash alone; ``-`` for a root, ``?`` where it is not known; a raw public key has none."""
        if signed in ("-", RAW_KEY):
            return None
        lower = signed.lower()
        if any(weak in lower for weak in WEAK_HASHES):
            return f"signed with {signed}"
        if self.signatures and not any(re.fullmatch(pattern, signed) for pattern in self.signatures):
            return f"signed with {signed}"
        return None


@check(
    "rsa_bits",
    "rsa_sizes",
    "dsa_bits",
    "ec_bits",
    "curves",
    "kinds",
    "leaf_kinds",
    "signatures",
    "match",
    "client_certificates",
    of_any_server=True,
)
def certificate_strength(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Every certificate of the server's chain has a strong key and a strong signature; a root's signature does not count.

    ``rsa_bits`` and ``dsa_bits``: least length of such keys; ``rsa_sizes``: lengths of RSA keys allowed; ``ec_bits``: of curves; ``curves``: those allowed;
    ``kinds``: types of keys allowed, ``leaf_kinds``: of the server's own certificate; ``signatures``: patterns of signatures allowed. MD5 and SHA-1 never are.
    With ``match`` each is also valid when seen, and the server's own good for its name. With ``client_certificates`` the client's
    chain, where it sent one, has to be as good.
    """
    strength = Strength(
        {"rsa": int(parameters.get("rsa_bits", 2048)), "dsa": int(parameters.get("dsa_bits", 2048))},
        tuple(int(size) for size in parameters.get("rsa_sizes", [])),
        int(parameters.get("ec_bits", 0)),
        *(tuple(str(one) for one in parameters.get(name, [])) for name in ("curves", "kinds", "signatures")),
    )
    leaf_kinds = [str(kind) for kind in parameters.get("leaf_kinds", [])]
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the certificate is encrypted, or not in the capture")
    answer.put(is_given(facts.certificate_unread), NOT_OBSERVABLE, facts.certificate_unread)
    answer.put(facts.certificate_unread == NO_CERTIFICATE, unmet(required), NO_CERTIFICATE)
    without = np.array([_has_no_certificate(suite) for suite in facts.suite], bool)
    answer.put(facts.negotiated & without, NOT_APPLICABLE, "a key exchange without a certificate")
    for at in np.flatnonzero(is_given(facts.certificates)).tolist():
        answer.verdict[at], answer.reason[at] = _judged(facts.certificates[at], strength, leaf_kinds, required)
    if parameters.get("match"):
        answer.put(facts.certificate_matches == NO, unmet(required), "the certificate is not good for the server name")
        answer.put(facts.certificate_valid == NO, unmet(required), "a certificate was not valid when seen")
        raw = np.array([chain is not None and chain.endswith(RAW_KEY) for chain in facts.certificates], bool)
        answer.put(
            raw & (answer.verdict == PASS), NOT_OBSERVABLE, f"a {RAW_KEY}: whose it is, the traffic does not say"
        )
    if parameters.get("client_certificates"):
        _put_clients(facts, strength, required, answer)
        if parameters.get("match"):
            late = facts.client_certificate_valid == NO
            answer.put(late, unmet(required), "a certificate of the client was not valid when seen")
    no_handshake(facts, answer)
    return answer


def _put_clients(facts: Facts, strength: Strength, required: bool, answer: CheckResult) -> None:
    """The answers for clients' certificates: only what is worse than the server's counts."""
    for at in np.flatnonzero(is_given(facts.client_certificates)).tolist():
        verdict, reason = _judged(facts.client_certificates[at], strength, [], required)
        if verdict > answer.verdict[at]:
            answer.verdict[at], answer.reason[at] = verdict, f"of the client: {reason}"


def _judged(chain: str, strength: Strength, leaf_kinds: list[str], required: bool) -> tuple[int, str]:
    """The verdict on a chain as ``tls.certificate_columns`` describes it: the first objection counts."""
    unknown = False
    for number, one in enumerate(chain.split(";")):
        kind, size, signed = one.split("\t")
        objection = strength.objection(kind, size, signed)
        if number == 0 and leaf_kinds and kind not in leaf_kinds:
            objection = f"{kind} key"
        if kind == "?" or (size == "?" and kind in ("rsa", "dsa", "ecdsa")):
            unknown = True  # what could not be parsed passes no rule
        elif objection is not None:
            which = f"certificate {number + 1} of the chain" if number else _what(signed)
            return unmet(required), f"{which}: {objection}"
    if unknown:
        return NOT_OBSERVABLE, "a certificate of the chain cannot be parsed"
    kind, size, signed = chain.partition(";")[0].split("\t")
    return PASS, f"{_what(signed)} with {kind}{'' if size == '?' else f' {size}'}"


def _what(signed: str) -> str:
    """What a server or client shows its key in (RFC 7250)."""
    return RAW_KEY if signed == RAW_KEY else "certificate"


def _has_no_certificate(suite: str | None) -> bool:
    """Whether a suite does without the server's certificate: anonymous, or with pre-shared keys that RSA does not protect."""
    known = properties(suite)
    if known is None:
        return False
    return (
        known.anonymous
        or known.key_exchange == "PSK"
        or (known.authentication == "PSK" and known.key_exchange != "RSA")
    )
