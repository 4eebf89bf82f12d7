"""Checks of TLS by property: suites, groups, signatures, certificates, and what else a handshake agrees on."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from auditor.aws.names import endpoint
from auditor.policy.check import NOT_APPLICABLE, NOT_OBSERVABLE, PASS, Answer, check, no_handshake, unmet
from auditor.policy.facts import NO, UNKNOWN, YES, Facts
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.suites import NAMES, properties

Judged = tuple[int, str] | None
TLS_1_3 = VERSION_ORDER.index("TLS 1.3")


def _judged(facts: Facts, start: str, values: Any, judge: Callable[[str], Judged]) -> Answer:
    """Answers by ``judge`` for each text; where there is none, ``start`` says why it is not observable."""
    answer = Answer.of(facts, NOT_OBSERVABLE, start)
    for at, value in enumerate(values.tolist()):
        if value is not None and (said := judge(value)) is not None:
            answer.verdict[at], answer.reason[at] = said
    no_handshake(facts, answer)
    return answer


@lru_cache(1 << 14)
def _objection(name: str, allow: tuple[tuple[str, tuple[str, ...]], ...], deny: Any, least: int) -> str | None:
    """What rules out a suite, in words; None where nothing does, an empty text for a suite that nobody knows."""
    suite = properties().get(name)
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
    """``allow`` or ``deny``: property -> values. Raises ValueError for a property that suites do not have."""
    table = parameters.get(name, {})
    unknown = set(table) - set(NAMES)
    if unknown:
        raise ValueError(f"suites have no property {', '.join(sorted(unknown))}; they have {', '.join(NAMES)}")
    return tuple((what, tuple(map(str, values))) for what, values in table.items())


@check("allow", "deny", "minimum_bits", "offered", "to_version")
def cipher_suites(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The negotiated suite (or with ``offered`` each one that the client offers) has the properties asked for.

    ``allow`` and ``deny`` are tables of properties with the values that are allowed or not; ``minimum_bits`` is the least
    strength of the cipher; a rule with ``to_version`` is about that version and older ones.
    """
    allow, deny = _table(parameters, "allow"), _table(parameters, "deny")
    least = int(parameters.get("minimum_bits", 0))
    if parameters.get("offered"):
        return _offered(facts, required, lambda name: _objection(name, allow, deny, least))

    def judge(name: str) -> Judged:
        objection = _objection(name, allow, deny, least)
        if objection is None:
            return PASS, name
        if not objection:
            return NOT_OBSERVABLE, f"unknown suite {name}"
        return unmet(required), f"{name}: {objection}"

    answer = _judged(facts, "no ServerHello was seen", facts.suite, judge)
    if "to_version" in parameters:
        newest = VERSION_ORDER.index(str(parameters["to_version"]))
        newer = facts.negotiated & (facts.version > newest)
        answer.put(newer, NOT_APPLICABLE, f"newer than {parameters['to_version']}")
    return answer


def _offered(facts: Facts, required: bool, objection: Callable[[str], str | None]) -> Answer:
    def judge(names: str) -> Judged:
        poor = [(name, why) for name in names.split() if not name.endswith("SCSV") and (why := objection(name))]
        if not poor:
            return PASS, "no such suite is offered"
        more = f", and {len(poor) - 1} more" if len(poor) > 1 else ""
        return unmet(required), f"the client offers {poor[0][0]}: {poor[0][1]}{more}"

    return _judged(facts, "no ClientHello was seen", facts.suites_offered, judge)


@check("allow", "deny")
def groups(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The group of the key exchange is one of ``allow`` and none of ``deny``."""
    allow = {str(name).lower() for name in parameters.get("allow", [])}
    deny = {str(name).lower() for name in parameters.get("deny", [])}

    def judge(name: str) -> Judged:
        if name.lower() in deny or (allow and name.lower() not in allow):
            return unmet(required), f"key exchange in {name}"
        return PASS, f"key exchange in {name}"

    answer = _judged(facts, "the group of the key exchange is not in the capture", facts.group, judge)
    static = facts.has_handshake & facts.negotiated & np.array([_has_no_group(s) for s in facts.suite], bool)
    answer.put(static, NOT_APPLICABLE, "a key exchange without a group")
    return answer


def _has_no_group(suite: str | None) -> bool:
    told = properties().get(suite or "")
    return told is not None and told.key_exchange in ("RSA", "PSK", "KRB5", "SRP", "DH", "DHE", "NULL")


@check("deny", "allow")
def signature_schemes(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The server's key exchange is signed with a scheme of ``allow`` and none of ``deny`` (patterns); to TLS 1.2."""
    allow, deny = ([str(pattern) for pattern in parameters.get(name, [])] for name in ("allow", "deny"))

    def judge(name: str) -> Judged:
        if any(re.fullmatch(pattern, name) for pattern in deny):
            return unmet(required), f"signed with {name}"
        if allow and not any(re.fullmatch(pattern, name) for pattern in allow):
            return unmet(required), f"signed with {name}"
        return PASS, f"signed with {name}"

    return _judged(facts, "the signature is encrypted, or there is none", facts.signature_scheme, judge)


@check("rsa_bits", "dsa_bits", "curves", "match")
def certificate_strength(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The server's certificate has a key of at least ``rsa_bits``, or on one of ``curves``, and no weak signature.

    With ``match`` it is also valid when seen, and good for the server's name.
    """
    least = {"rsa": int(parameters.get("rsa_bits", 2048)), "dsa": int(parameters.get("dsa_bits", 2048))}
    curves = [str(name) for name in parameters.get("curves", [])]

    def judge(key: str) -> Judged:
        kind, _, size = key.partition(" ")
        if kind in least and size.isdigit() and int(size) < least[kind]:
            return unmet(required), f"certificate with {kind.upper()} key of {size} bits"
        if kind == "ecdsa" and curves and size not in curves:
            return unmet(required), f"certificate with key on {size}"
        return PASS, f"certificate with {key}"

    answer = _judged(facts, "the certificate is encrypted, or there is none", facts.certificate_key, judge)
    weak = np.array([name is not None for name in facts.certificate_weak], bool)
    text = np.array([f"certificate signed with {name}" for name in facts.certificate_weak], object)
    answer.put(weak, unmet(required), text)
    if parameters.get("match"):
        answer.put(facts.certificate_matches == NO, unmet(required), "the certificate is not good for the server name")
        answer.put(facts.certificate_valid == NO, unmet(required), "the certificate was not valid when seen")
    return answer


@check("kinds", "offered")
def post_quantum(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The key exchange is of one of ``kinds``: hybrid, pure; with ``offered`` the client offers such a group."""
    if parameters.get("offered"):
        answer = Answer.of(facts, NOT_OBSERVABLE, "no ClientHello was seen")
        answer.put(facts.post_quantum_offered == YES, PASS, "the client offers a post-quantum group")
        answer.put(facts.post_quantum_offered == NO, unmet(required), "the client offers no post-quantum group")
        no_handshake(facts, answer)
        return answer
    kinds = [str(kind) for kind in parameters.get("kinds", ["hybrid", "pure"])]

    def judge(kind: str) -> Judged:
        return (PASS, f"{kind} key exchange") if kind in kinds else (unmet(required), f"{kind} key exchange")

    answer = _judged(facts, "the group of the key exchange is not in the capture", facts.post_quantum_kind, judge)
    old = facts.negotiated & (facts.version >= 0) & (facts.version < TLS_1_3)
    answer.put(old & facts.has_handshake, unmet(required), "TLS before 1.3 has no post-quantum key exchange")
    return answer


@check()
def no_compression(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """TLS compression is not used (CRIME)."""
    answer = Answer.of(facts, NOT_OBSERVABLE, "no ServerHello was seen")
    answer.put(facts.negotiated & (facts.compression == 0), PASS, "no compression")
    answer.put(facts.negotiated & (facts.compression > 0), unmet(required), "compression was agreed on")
    no_handshake(facts, answer)
    return answer


def _agreed(facts: Facts, required: bool, told: Any, name: str) -> Answer:
    answer = Answer.of(facts, NOT_OBSERVABLE, "no ServerHello was seen")
    answer.put(facts.negotiated & (told == UNKNOWN), NOT_OBSERVABLE, f"whether {name} was agreed on is not seen")
    answer.put(told == YES, PASS, f"{name} was agreed on")
    answer.put(told == NO, unmet(required), f"{name} was not agreed on")
    no_handshake(facts, answer)
    return answer


@check()
def extended_master_secret(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """Both sides agreed on the extended master secret (RFC 7627)."""
    return _agreed(facts, required, facts.extended_master_secret, "the extended master secret")


@check()
def secure_renegotiation(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The server knows secure renegotiation (RFC 5746)."""
    answer = _agreed(facts, required, facts.secure_renegotiation, "secure renegotiation")
    answer.put(facts.negotiated & (facts.version >= TLS_1_3), PASS, "TLS 1.3 has no renegotiation")
    return answer


@check()
def server_authenticated(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The server proved who it is: no anonymous key exchange."""
    answer = Answer.of(facts, NOT_OBSERVABLE, "no ServerHello was seen")
    told = facts.authentication.astype(str)
    answer.put(facts.negotiated, PASS, "not anonymous")
    answer.put(facts.negotiated & (told == "anonymous"), unmet(required), "anonymous key exchange")
    no_handshake(facts, answer)
    return answer


@check("regions")
def fips_endpoint(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The name is that of a FIPS endpoint; in Regions whose endpoints all are (``regions``: patterns) any name will do."""
    patterns = [str(pattern) for pattern in parameters.get("regions", [r"us-gov-.*"])]

    def judge(name: str) -> Judged:
        where = endpoint(name)
        if where is None or where.customer:
            return NOT_APPLICABLE, "not a name of AWS"
        if where.fips:
            return PASS, f"{name} is a FIPS endpoint"
        if where.region and any(re.fullmatch(pattern, where.region) for pattern in patterns):
            return PASS, f"endpoints in {where.region} are validated"
        return unmet(required), f"{name} is no FIPS endpoint"

    answer = Answer.of(facts, NOT_OBSERVABLE, "the server's name is not seen")
    for at, value in enumerate(facts.server_name.tolist()):
        if value is not None and (said := judge(value)) is not None:
            answer.verdict[at], answer.reason[at] = said
    return answer
