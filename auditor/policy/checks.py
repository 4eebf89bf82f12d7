"""The checks that rules name: each looks at a batch of flows at once and gives a verdict and a reason for each.

A check answers for every flow of the batch; which flows a rule is about at all is decided before (``applies_to``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from auditor.columns import is_one_of
from auditor.policy.facts import NO, UNKNOWN, YES, Facts
from auditor.tables import VERDICTS
from auditor.tls.names import VERSION_ORDER

Array = np.ndarray[Any, Any]
NOT_APPLICABLE, PASS, NOT_OBSERVABLE, WARN, FAIL = range(len(VERDICTS))

TUNNELS = ["esp", "ike", "wireguard", "openvpn"]


@dataclass
class Answer:
    """Verdicts (codes into VERDICTS) and reasons for a batch."""

    verdict: Array
    reason: Array

    @classmethod
    def of(cls, facts: Facts, verdict: int, reason: str) -> "Answer":
        count = len(facts)
        return cls(np.full(count, verdict), np.full(count, reason, object))

    def put(self, mask: Array, verdict: int, reason: "str | Array") -> None:
        self.verdict[mask] = verdict
        self.reason[mask] = reason[mask] if isinstance(reason, np.ndarray) else reason


@dataclass(frozen=True)
class Check:
    """A check: its function and the parameters it knows."""

    function: Callable[[Facts, bool, dict[str, Any]], Answer]
    parameters: frozenset[str]


CHECKS: dict[str, Check] = {}


def check(*parameters: str) -> Callable[[Callable[[Facts, bool, dict[str, Any]], Answer]], Any]:
    """Register a check under its function's name, with ``_`` written as ``-``."""

    def register(function: Callable[[Facts, bool, dict[str, Any]], Answer]) -> Any:
        CHECKS[function.__name__.replace("_", "-")] = Check(function, frozenset(parameters))
        return function

    return register


def unmet(required: bool) -> int:
    """The verdict where a rule is not met."""
    return FAIL if required else WARN


def _text(*parts: "str | Array") -> Array:
    """Texts joined element by element."""
    total: Any = ""
    for part in parts:
        total = total + part
    return np.asarray(total, object)


def no_handshake(facts: Facts, answer: Answer) -> None:
    """The answers for flows without a handshake: not TLS at all, or TLS whose handshake the capture lacks."""
    answer.put(~facts.is_tls, NOT_APPLICABLE, "not TLS")
    answer.put(facts.is_tls & ~facts.has_handshake, NOT_OBSERVABLE, "TLS, but its handshake is not in the capture")
    answer.put(
        is_one_of(facts.protocol, TUNNELS),
        NOT_OBSERVABLE,
        "an encrypted tunnel: what is inside cannot be seen",
    )


@check("minimum")
def tls_version(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The negotiated version is at least ``minimum``; a client that offers nothing as good fails too."""
    minimum = str(parameters.get("minimum", "TLS 1.2"))
    rank = VERSION_ORDER.index(minimum)
    answer = Answer.of(facts, NOT_OBSERVABLE, "no ServerHello was seen")
    answer.put(facts.status_reason != None, NOT_OBSERVABLE, _text("not known: ", _or(facts.status_reason)))  # noqa: E711
    good = facts.negotiated & (facts.version >= rank)
    answer.put(good, PASS, _text(_or(facts.version_name), " negotiated"))
    unknown = facts.negotiated & (facts.version < 0)
    answer.put(unknown, NOT_OBSERVABLE, _text("unknown version ", _or(facts.version_name)))
    poor = facts.negotiated & (facts.version >= 0) & (facts.version < rank)
    answer.put(poor, unmet(required), _text(_or(facts.version_name), f" negotiated, {minimum} is the least"))
    offered = ~facts.negotiated & facts.has_handshake & (facts.version_offered >= 0) & (facts.version_offered < rank)
    answer.put(offered, unmet(required), _text("the client offers at most ", _or(facts.version_offered_name)))
    no_handshake(facts, answer)
    return answer


def _or(values: Array) -> Array:
    """Texts with ``?`` for what is missing."""
    return np.array(["?" if v is None else v for v in values], object)


@check()
def forward_secrecy(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The negotiated key exchange had forward secrecy."""
    answer = Answer.of(facts, NOT_OBSERVABLE, "no ServerHello was seen")
    why = _or(facts.forward_secrecy_reason)
    known = facts.forward_secrecy
    answer.put(facts.has_handshake & (known == UNKNOWN), NOT_OBSERVABLE, why)
    answer.put(known == YES, PASS, why)
    answer.put(known == NO, unmet(required), why)
    no_handshake(facts, answer)
    return answer


@check()
def offers_forward_secrecy(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The client offers at least one suite with forward secrecy."""
    answer = Answer.of(facts, NOT_OBSERVABLE, "no ClientHello was seen, or only suites of unknown kind")
    answer.put(facts.offers_forward_secrecy == YES, PASS, "the client offers (EC)DHE")
    answer.put(facts.offers_forward_secrecy == NO, unmet(required), "no suite with DHE or ECDHE among those offered")
    no_handshake(facts, answer)
    return answer


@check("paths")
def private_path(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The flow took one of ``paths``; only evidence counts, private addresses prove nothing."""
    wanted = [str(p) for p in parameters.get("paths", ["direct-connect"])]
    inside_aws = [*wanted, "vpc"]
    answer = Answer.of(facts, NOT_OBSERVABLE, facts.path_detail[0] if len(facts.path_detail) else "")
    answer.put(
        np.ones(len(facts.path), bool), NOT_OBSERVABLE, _text(_or(facts.path_detail), ": a topology file may tell")
    )
    proven = facts.path_confidence > 0
    good = proven & (is_one_of(facts.path, inside_aws) | is_one_of(facts.path_over, wanted))
    answer.put(good, PASS, facts.path_detail)
    bad = proven & ~good & ~is_one_of(facts.path, ["unknown", "private"])
    answer.put(bad, unmet(required), _text("went by ", facts.path.astype(object), ": ", _or(facts.path_detail)))
    half = good & (facts.asymmetric == YES)
    answer.put(half, unmet(required), _text("only one direction was private: ", _or(facts.path_detail)))
    return answer


@check()
def symmetric_path(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """Both directions took the same path."""
    answer = Answer.of(facts, NOT_OBSERVABLE, "the path of one direction or both is not proven")
    answer.put(facts.asymmetric == NO, PASS, "both directions took the same path")
    answer.put(facts.asymmetric == YES, unmet(required), facts.path_detail)
    return answer


def _where(told: Array, verdict: int, other: int, otherwise: str) -> Answer:
    """``verdict`` with the words of ``told`` where there are some, ``other`` elsewhere."""
    answer = Answer(np.full(len(told), other), np.full(len(told), otherwise, object))
    answer.put(_is_told(told), verdict, told)
    return answer


def _is_told(words: Array) -> Array:
    return np.array([w is not None for w in words.tolist()], bool)


@check()
def stable_path(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The path did not change within the flow, nor since the client's flow to the same server before."""
    answer = _where(facts.path_changed, unmet(required), PASS, "no change of path was seen")
    unproven = (facts.path_confidence == 0) & ~_is_told(facts.path_changed)
    answer.put(unproven, NOT_OBSERVABLE, "the path is not proven")
    return answer


@check()
def carried_source(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """What goes over a public virtual interface comes from the prefixes that it carries."""
    answer = Answer.of(facts, NOT_APPLICABLE, "not over a public virtual interface")
    answer.put(
        facts.path == "direct-connect", PASS, "the source is one that the interface may carry, or none are known"
    )
    answer.put(
        facts.source_outside,
        unmet(required),
        "the source lies outside the prefixes that the interface carries: AWS drops it",
    )
    return answer


@check()
def private_dns(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """A name that an interface endpoint's private DNS covers was not answered with a public address."""
    answer = Answer.of(facts, NOT_APPLICABLE, "no endpoint with private DNS covers the name")
    text = _text(
        "the name led to a public address; endpoint ", _or(facts.private_dns_missing), " has private DNS for it"
    )
    answer.put(_is_told(facts.private_dns_missing), unmet(required), text)
    return answer


@check()
def encrypted_direct_connect(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """What goes over Direct Connect is encrypted by its own protocol: the line itself is not."""
    answer = Answer.of(facts, NOT_APPLICABLE, "not by Direct Connect")
    over = (facts.path == "direct-connect") & facts.has_payload
    answer.put(over, NOT_OBSERVABLE, "the protocol was not recognised")
    protocol = _or(facts.protocol)
    known = is_one_of(protocol, ["tls", "quic", "dtls", "ssh", *TUNNELS])
    answer.put(over & known, PASS, _text("encrypted: ", protocol))
    clear = is_one_of(protocol, PLAINTEXT)
    answer.put(
        over & clear,
        unmet(required),
        _text(protocol, " in clear over Direct Connect, which does not encrypt"),
    )
    return answer


@check()
def same_region(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """An interface endpoint is in the Region that the traffic comes from and is meant for."""
    return _where(facts.other_region, unmet(required), NOT_APPLICABLE, "not to an interface endpoint of another Region")


@check()
def witnesses_agree(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """Flow logs, CloudTrail and other sensors say of the flow what its packets show."""
    return _where(facts.disagreement, unmet(required), NOT_APPLICABLE, "no witness contradicts the packets")


@check()
def whole_handshake(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """The capture shows the handshake of a TLS flow, both hellos of it."""
    answer = Answer.of(facts, NOT_APPLICABLE, "no TLS")
    answer.put(facts.is_tls & facts.has_handshake, PASS, "both hellos are in the capture")
    broken = facts.is_tls & facts.has_handshake & (facts.status_reason != None)  # noqa: E711
    answer.put(broken, unmet(required), facts.status_reason)
    lacking = "the handshake is not in the capture: it was before its beginning, or packets are missing"
    answer.put(facts.is_tls & ~facts.has_handshake, unmet(required), lacking)
    return answer


@check()
def whole_capture(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """Captures lack nothing: findings are about captures and come from what was counted of them, not from flows."""
    return Answer.of(facts, NOT_APPLICABLE, "about captures, not flows")


PLAINTEXT = [
    "http",
    "http2",
    "smtp",
    "imap",
    "pop3",
    "ftp",
    "xmpp",
    "irc",
    "nntp",
    "sieve",
    "ldap",
    "mysql",
    "postgresql",
]
OPEN_BY_NATURE = ["dns", "stun"]


@check()
def no_plaintext(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """Nothing is sent to a service endpoint in clear."""
    answer = Answer.of(facts, NOT_OBSERVABLE, "the protocol was not recognised")
    answer.put(~facts.has_payload, NOT_APPLICABLE, "no data was exchanged")
    protocol = np.array(["" if p is None else p for p in facts.protocol], object)
    answer.put(is_one_of(protocol, ["tls", "quic", "dtls", "ssh", *TUNNELS]), PASS, _text("encrypted: ", protocol))
    answer.put(is_one_of(protocol, OPEN_BY_NATURE), NOT_APPLICABLE, _text(protocol, " is open by nature"))
    bad = is_one_of(protocol, PLAINTEXT)
    answer.put(bad, unmet(required), _text(protocol, " in clear"))
    stayed = bad & is_one_of(facts.upgrade, ["offered, not used", "asked, not used", "refused"])
    answer.put(stayed, unmet(required), _text(protocol, " in clear; TLS was ", _or(facts.upgrade)))
    return answer


@check("minimum")
def in_region_https(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """Traffic between AWS resources of a Region is HTTPS with at least ``minimum``."""
    minimum = str(parameters.get("minimum", "TLS 1.2"))
    rank = VERSION_ORDER.index(minimum)
    answer = Answer.of(facts, NOT_OBSERVABLE, "no handshake in the capture")
    answer.put(facts.negotiated & (facts.version >= rank), PASS, _text(_or(facts.version_name), " inside the Region"))
    poor = facts.negotiated & (facts.version >= 0) & (facts.version < rank)
    answer.put(poor, unmet(required), _text(_or(facts.version_name), " inside the Region"))
    protocol = np.array(["" if p is None else p for p in facts.protocol], object)
    clear = is_one_of(protocol, PLAINTEXT)
    answer.put(clear, unmet(required), _text(protocol, " in clear inside the Region"))
    answer.put(~facts.has_payload, NOT_APPLICABLE, "no data was exchanged")
    answer.put(facts.in_region != YES, NOT_APPLICABLE, "not between resources inside AWS")
    return answer


@check("services", "since", "goes_on")
def ended_api(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """A notice: the flow goes to an API whose support ended on ``since``; what ``goes_on`` are operations that did not."""
    since = date.fromisoformat(str(parameters["since"]))
    services = [str(s) for s in parameters["services"]]
    answer = Answer.of(facts, NOT_APPLICABLE, "another service")
    to_it = is_one_of(facts.service, services)
    after = facts.day >= np.datetime64(since, "D").astype("int64")
    answer.put(to_it & ~after, PASS, f"before support ended on {since}")
    answer.put(to_it & after, WARN, f"support of this API ended on {since}; SMS, voice, push and OTP calls go on")
    goes_on = {str(name) for name in parameters.get("goes_on", [])}
    for at in np.flatnonzero(to_it & after & (facts.requests != None)).tolist():  # noqa: E711
        called = {row["api"].partition(":")[2] for row in facts.requests[at] if row["api"] is not None}
        ended = sorted(called - goes_on)
        if called and not ended:
            answer.verdict[at], answer.reason[at] = PASS, f"{', '.join(sorted(called))}: supported after {since}"
        elif ended:
            answer.reason[at] = f"{', '.join(ended)}: support ended on {since}"
    return answer


@check("every")
def hello_delivery(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """A large ClientHello got through. With ``every = true`` small ones count as well."""
    from auditor.tls.delivery import ALERT, ANSWERED, FAILURES, RETRY

    answer = Answer.of(facts, NOT_OBSERVABLE, "what became of the ClientHello is not in the capture")
    answered = np.isin(facts.hello_outcome, (ANSWERED, RETRY, ALERT))
    answer.put(answered, PASS, "the server answered the ClientHello")
    failed = np.isin(facts.hello_outcome, FAILURES)
    answer.put(failed & facts.hello_is_large, unmet(required), facts.hello_reason)
    if not parameters.get("every"):
        answer.put(failed & ~facts.hello_is_large, NOT_APPLICABLE, "a ClientHello of one segment")
    else:
        answer.put(failed & ~facts.hello_is_large, unmet(required), facts.hello_reason)
    answer.put(~facts.has_handshake, NOT_APPLICABLE, "no ClientHello")
    return answer


@check()
def look_alike(facts: Facts, required: bool, parameters: dict[str, Any]) -> Answer:
    """A notice: the server's name imitates an AWS name."""
    answer = Answer.of(facts, NOT_APPLICABLE, "no AWS name is imitated")
    answer.put(facts.imitates, unmet(required), "the name contains an AWS name but is not under AWS's domains")
    return answer


from auditor.policy import request_checks, tls_checks  # noqa: E402, F401 - they register their checks
