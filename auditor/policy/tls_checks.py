"""Checks of TLS by property: suites, groups, signatures, kinds of post-quantum key exchange."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from auditor.policy.check import (
    NOT_APPLICABLE,
    NOT_OBSERVABLE,
    PASS,
    RESUMED,
    CheckResult,
    agreed_once,
    check,
    is_given,
    no_handshake,
    no_server_hello,
    unmet,
)
from auditor.policy.facts import Facts
from auditor.policy.parameters import written
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.names import HASHES
from auditor.tls.suites import properties

Judged = tuple[int, str] | None
TLS_1_3 = VERSION_ORDER.index("TLS 1.3")


def _judged(facts: Facts, answer: CheckResult, values: Any, judge: Callable[[str], Judged]) -> CheckResult:
    """Answers by ``judge`` for each text; where there is none, those that there are stay."""
    for at, value in enumerate(values.tolist()):
        if value is not None and (outcome := judge(value)) is not None:
            answer.verdict[at], answer.reason[at] = outcome
    no_handshake(facts, answer)
    return answer


@lru_cache(1 << 14)
def _objection(name: str, allow: tuple[tuple[str, tuple[str, ...]], ...], deny: Any, least: int) -> str | None:
    """What rules out a suite, in words; None where nothing does, an empty text for a suite that nobody knows."""
    suite = properties(name)
    if suite is None:
        return ""
    if suite.bits < least and suite.cipher != "?":
        return f"{suite.bits} bits"
    for what, values in deny:
        if suite.value(what) in values:
            return f"{what.replace('_', ' ')} {suite.value(what)}"
    for what, values in allow:
        if suite.value(what) not in values:
            return f"{what.replace('_', ' ')} {suite.value(what)}" if what != "name" else "not one of those allowed"
    return None


def _table(parameters: dict[str, Any], name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """``allow`` or ``deny``: property -> values."""
    return tuple((what, tuple(map(written, values))) for what, values in parameters.get(name, {}).items())


@check("allow", "deny", "minimum_bits", "offered", "to_version", of_protection=True, of_any_server=True)
def cipher_suites(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The negotiated suite (or with ``offered`` each one that the client offers) has the properties asked for.

    ``allow`` and ``deny`` are tables of properties with the values that are allowed or not; ``minimum_bits`` is the least
    strength of the cipher; a rule with ``to_version`` is about that version and older ones.
    """
    allow, deny = _table(parameters, "allow"), _table(parameters, "deny")
    least = int(parameters.get("minimum_bits", 0))
    if parameters.get("offered"):
        answer = _offered(facts, required, lambda name: _objection(name, allow, deny, least))
        return _to_version(facts, parameters, answer)

    def judge(name: str) -> Judged:
        objection = _objection(name, allow, deny, least)
        if objection is None:
            return PASS, name
        if not objection:
            return NOT_OBSERVABLE, f"unknown suite {name}"
        return unmet(required), f"{name}: {objection}"

    answer = _judged(facts, no_server_hello(facts), facts.suite, judge)
    agreed_once(facts, answer)
    return _to_version(facts, parameters, answer)


def _to_version(facts: Facts, parameters: dict[str, Any], answer: CheckResult) -> CheckResult:
    """The answers where a rule is about versions up to one alone."""
    if "to_version" in parameters:
        newest = VERSION_ORDER.index(str(parameters["to_version"]))
        newer = facts.negotiated & (facts.version > newest)
        answer.put(newer, NOT_APPLICABLE, f"newer than {parameters['to_version']}")
    return answer


def _offered(facts: Facts, required: bool, objection: Callable[[str], str | None]) -> CheckResult:
    def judge(names: str) -> Judged:
        poor = [(name, why) for name in names.split() if not name.endswith("SCSV") and (why := objection(name))]
        if not poor:
            return PASS, "no such suite is offered"
        more = f", and {len(poor) - 1} more" if len(poor) > 1 else ""
        return unmet(required), f"the client offers {poor[0][0]}: {poor[0][1]}{more}"

    return _judged(facts, CheckResult.of(facts, NOT_OBSERVABLE, "no ClientHello was seen"), facts.suites_offered, judge)


@check("allow", "deny", "dh_bits", "curve_bits", of_protection=True, of_any_server=True)
def groups(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The group of the key exchange is one of ``allow`` and none of ``deny``, and strong enough.

    ``dh_bits``: least length of a finite-field group (RFC 7919's by their names, others by their primes);
    ``curve_bits``: least length of a curve. With ``allow`` and ``dh_bits`` other primes of that length are allowed too.
    A prime that is known to be weak is refused whatever its length; where a strength is asked for, so is a public key that
    gives the result away.
    """
    limits = GroupLimits(
        frozenset(str(name).lower() for name in parameters.get("allow", [])),
        frozenset(str(name).lower() for name in parameters.get("deny", [])),
        int(parameters.get("dh_bits", 0)),
        int(parameters.get("curve_bits", 0)),
    )
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the group of the key exchange is not in the capture")
    found = zip(facts.group.tolist(), facts.dh_group.tolist(), facts.public_key.tolist(), strict=True)
    for at, (name, prime, public_key) in enumerate(found):
        if name is None:
            continue
        objection = limits.objection(name, prime)
        if public_key is not None and limits.asks_for_strength:
            objection = public_key
        known = f"{name}, {prime}" if prime and name.startswith("dh") else name
        bad = objection is not None
        answer.verdict[at] = unmet(required) if bad else PASS
        answer.reason[at] = f"key exchange in {known}{f': {objection}' if objection else ''}"
    none = facts.negotiated & ~is_given(facts.group)
    answer.put(none & is_given(facts.resumption), NOT_OBSERVABLE, f"no key exchange: {RESUMED}")
    static = np.array([_has_no_group(suite) for suite in facts.suite], bool) | (facts.resumption == "psk")
    answer.put(none & static, NOT_APPLICABLE, "a key exchange without a group")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


class GroupLimits(NamedTuple):
    """What a rule asks of groups: names in lower case, lengths in bits."""

    allow: frozenset[str]
    deny: frozenset[str]
    dh_bits: int
    curve_bits: int

    @property
    def asks_for_strength(self) -> bool:
        """Whether more is asked for than that the group is one of a list."""
        return bool(self.dh_bits or self.curve_bits)

    def objection(self, name: str, prime: str | None) -> str | None:
        """Why a group is refused, None where it is not; an empty text where the name says it all.

        ``prime``: what is known of the prime of a group that TLS 1.2 does not name.
        """
        lower = name.lower()
        if lower in self.deny:
            return ""
        length = FINITE_FIELD.fullmatch(lower)
        if length is None:
            bits = curve_bits(lower)
            if bits is not None and bits < self.curve_bits:
                return f"{bits} bits"
            if bits is None and self.curve_bits and not is_post_quantum_name(lower):
                return "a group whose strength is not known"
            return "" if self.allow and lower not in self.allow else None
        return self._objection_to_prime(lower, int(length[1]), prime)

    def _objection_to_prime(self, name: str, bits: int, prime: str | None) -> str | None:
        if prime is not None and prime.endswith("weak"):
            return f"{bits} bits" if bits < WEAK_PRIME else "a weak prime"
        if bits < max(self.dh_bits, WEAK_PRIME if self.allow else 0):
            return f"{bits} bits"
        named = name if name.startswith("ffdhe") else (prime or "").partition(" ")[0]
        is_other = bool(self.allow) and named not in self.allow and not (self.dh_bits and not name.startswith("ffdhe"))
        return "" if is_other else None


FINITE_FIELD = re.compile(r"(?:ffdhe|dh)(\d+)")
WEAK_PRIME = 2048  # bits below which a prime gives less than 112 bits of strength (SP 800-57 part 1, table 2)
_CURVE = re.compile(r"(?:sec[pt]|prime|brainpoolp|gc|c2pnb|c2tnb|p-|k-|b-|wap-\D*)(\d+)")
_CURVES = {"x25519": 255, "x448": 448, "ed25519": 255, "ed448": 448, "curvesm2": 256}


def curve_bits(name: str) -> int | None:
    """The length of a curve by its name in lower case, None for one that nobody knows."""
    if name in _CURVES:
        return _CURVES[name]
    match = _CURVE.match(name)
    return int(match[1]) if match else None


def is_post_quantum_name(name: str) -> bool:
    """Whether a group's name, in lower case, is that of a key encapsulation or of a hybrid with one."""
    return name.startswith("mlkem") or "mlkem" in name or "kyber" in name or name == "cecpq2"


def _has_no_group(suite: str | None) -> bool:
    """Whether a suite exchanges keys without a group, or with the one of the server's certificate."""
    known = properties(suite)
    if known is None:
        return False
    is_static = known.key_exchange in ("DH", "ECDH") and not known.anonymous
    return is_static or known.key_exchange in ("RSA", "PSK", "KRB5", "SRP", "NULL")


SIGNED = ("DHE", "ECDHE")
TLS_1_2 = VERSION_ORDER.index("TLS 1.2")


@check("deny", "allow", "to_version", of_any_server=True)
def signature_schemes(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The server's key exchange, and the client's proof of its key, are signed with a scheme of ``allow`` and none of ``deny``.

    Both are patterns. Where only ``deny`` is given, schemes of which nobody can tell whether they are what it means do not pass.
    Seen to TLS 1.2, and of TLS 1.3 with keys; before them MD5 with SHA-1, or SHA-1, is fixed (RFC 4346 7.4.3). A rule with ``to_version`` is about that version and older ones.
    """
    allow, deny = ([str(pattern) for pattern in parameters.get(name, [])] for name in ("allow", "deny"))

    def judge(name: str, signed: str) -> tuple[int, str]:
        spelt = _with_weak_hash(name)
        if _fits(spelt, deny) or (allow and not _fits(spelt, allow)):
            return unmet(required), f"{signed} with {spelt.replace('_', ', whose hash is ') if spelt != name else name}"
        if not allow and not _JUDGED_BY_NAME.fullmatch(name):
            return NOT_OBSERVABLE, f"{signed} with {name}, a scheme whose strength is not known"
        return PASS, f"{signed} with {name}"

    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the signature is encrypted, or not in the capture")
    answer.put(is_given(facts.resumption), NOT_OBSERVABLE, f"nothing is signed: {RESUMED}")
    is_signed = np.array([_is_signed(suite) for suite in facts.suite], bool)
    known = np.array([properties(suite) is not None for suite in facts.suite], bool)
    older = facts.negotiated & (facts.version >= 0) & (facts.version < TLS_1_2)
    newer = facts.version >= TLS_1_3
    answer.put(facts.negotiated & known & ~is_signed & ~newer, NOT_APPLICABLE, "the key exchange is not signed")
    by_server = is_given(facts.signature_scheme)
    for at in np.flatnonzero(by_server).tolist():
        answer.verdict[at], answer.reason[at] = judge(facts.signature_scheme[at], "signed")
    for at in np.flatnonzero(is_given(facts.client_signature)).tolist():
        verdict, reason = judge(facts.client_signature[at], "signed by the client")
        if verdict > answer.verdict[at] or not by_server[at]:
            answer.verdict[at], answer.reason[at] = verdict, reason
    fixed = max(judge(name, "signed")[0] for name in ("rsa_pkcs1_sha1", "ecdsa_sha1"))
    answer.put(older & is_signed, fixed, "signed with SHA-1, with or without MD5, as before TLS 1.2")
    agreed_once(facts, answer)
    _to_version(facts, parameters, answer)
    no_handshake(facts, answer)
    return answer


@check("allow", "deny", "to_version", of_any_server=True)
def offers_signatures(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The client's list of signature schemes has one that fits a pattern of ``allow``, and none that fits one of ``deny``.

    Before TLS 1.2 there are no such lists. A rule with ``to_version`` is about that version and older ones.
    """
    allow, deny = ([str(pattern) for pattern in parameters.get(name, [])] for name in ("allow", "deny"))

    def fitting(names: str, patterns: list[str]) -> list[str]:
        return [name for name in names.split() if _fits(_with_weak_hash(name), patterns)]

    def judge(names: str) -> Judged:
        if poor := fitting(names, deny):
            return unmet(
                required
            ), f"the client offers {poor[0]}{f', and {len(poor) - 1} more' if len(poor) > 1 else ''}"
        if not allow:
            return PASS, "no such signature is offered"
        fits = fitting(names, allow)
        return (
            (PASS, f"the client offers {fits[0]}") if fits else (unmet(required), "the client offers no such signature")
        )

    answer = _judged(
        facts, CheckResult.of(facts, NOT_OBSERVABLE, "no ClientHello was seen"), facts.signatures_offered, judge
    )
    none = facts.negotiated & (facts.version_offered >= TLS_1_2) & ~is_given(facts.signatures_offered)
    answer.put(none, unmet(required), "the client sends no list of signature schemes")
    older = (facts.version_offered >= 0) & (facts.version_offered < TLS_1_2)
    answer.put(older, NOT_APPLICABLE, "the client offers nothing newer than TLS 1.1")
    _to_version(facts, parameters, answer)
    no_handshake(facts, answer)
    return answer


# Schemes whose names say algorithm and hash, or whose algorithm has a hash of its own (RFC 8032, FIPS 204).
_JUDGED_BY_NAME = re.compile(r"(?:rsa|dsa|ecdsa)_.*|ed25519|ed448|mldsa\d+")
_UNNAMED = re.compile(r"0x([0-9A-F]{2})[0-9A-F]{2}")


def _fits(name: str, patterns: list[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _with_weak_hash(name: str) -> str:
    """The name, and behind that of an unnamed scheme MD5, SHA-1 or none, where its first byte says so (RFC 5246 7.4.1.4.1).

    These bytes are given to nothing else (RFC 8446 11). Other hashes say nothing without the algorithm.
    """
    unnamed = _UNNAMED.fullmatch(name)
    number = int(unnamed[1], 16) if unnamed else len(HASHES)
    return f"{name}_{HASHES[number]}" if number in (0, 1, 2) else name


def _is_signed(suite: str | None) -> bool:
    """Whether the ServerKeyExchange of a suite is signed."""
    known = properties(suite)
    return known is not None and known.key_exchange in SIGNED and known.authentication not in ("PSK", "anon")


@check("kinds", "offered", of_protection=True, of_any_server=True)
def post_quantum(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The key exchange is of one of ``kinds``: hybrid, pure; with ``offered`` the client offers such a group.

    Groups of drafts (Kyber, CECPQ2) are no standard's and do not count.
    """
    if parameters.get("offered"):
        return _post_quantum_offered(facts, required)
    kinds = [str(kind) for kind in parameters.get("kinds", ["hybrid", "pure"])]

    def judge(kind: str) -> Judged:
        return (PASS, f"{kind} key exchange") if kind in kinds else (unmet(required), f"{kind} key exchange")

    answer = _judged(
        facts,
        CheckResult.of(facts, NOT_OBSERVABLE, "the group of the key exchange is not in the capture"),
        facts.post_quantum_kind,
        judge,
    )
    old = facts.negotiated & (facts.version >= 0) & (facts.version < TLS_1_3)
    answer.put(old & facts.has_handshake, unmet(required), "TLS before 1.3 has no post-quantum key exchange")
    answer.put(facts.resumption == "psk", unmet(required), "a pre-shared key alone, without a key exchange")
    return answer


def _post_quantum_offered(facts: Facts, required: bool) -> CheckResult:
    def judge(names: str) -> Judged:
        offered = [name for name in names.split() if is_post_quantum_name(name.lower())]
        if any("mlkem" in name.lower() for name in offered):
            return PASS, "the client offers a post-quantum group"
        if offered:
            return unmet(required), f"the client offers a group of a draft only: {offered[0]}"
        return unmet(required), "the client offers no post-quantum group"

    answer = _judged(
        facts,
        CheckResult.of(facts, NOT_OBSERVABLE, "no ClientHello was seen, or no list of groups in it"),
        facts.groups_offered,
        judge,
    )
    old = (facts.version_offered >= 0) & (facts.version_offered < TLS_1_3) & ~is_given(facts.groups_offered)
    answer.put(old & facts.has_handshake, unmet(required), "the client offers no post-quantum group")
    return answer
