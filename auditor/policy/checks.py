"""The checks that rules name: each looks at a batch of flows at once and gives a verdict and a reason for each.

A check answers for every flow of the batch; which flows a rule is about at all is decided before (``applies_to``).
"""

from datetime import date
from typing import Any

import numpy as np

from auditor.policy.check import (
    NOT_APPLICABLE,
    NOT_OBSERVABLE,
    NOTHING_SHOWS,
    PASS,
    WARN,
    WEAK,
    CheckResult,
    JoinedTexts,
    agreed_once,
    check,
    is_given,
    is_way_unknown,
    no_handshake,
    no_server_hello,
    or_unknown,
    put_status,
    unmet,
    what_spoken,
)
from auditor.policy.encryption import encryption, put_clear, weak_ssh
from auditor.policy.facts import NO, UNKNOWN, YES, Facts
from auditor.tables.columns import is_one_of
from auditor.tables.schema import NO_MEMORY
from auditor.tables.versions import VERSION_ORDER

NEGOTIATED_UNSEEN = ["esp", "ike", "openvpn"]  # whose algorithms are agreed on where nobody sees it
UNUSED = ["offered, not used", "asked, not used", "refused"]  # upgrades to TLS that were not made


@check("minimum", of_protection=True, of_any_server=True)
def tls_version(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The negotiated version is at least ``minimum``; a client that offers nothing as good fails too.

    So does what is spoken in clear on the same connection, before or after the handshake.
    """
    minimum = str(parameters.get("minimum", "TLS 1.2"))
    rank = VERSION_ORDER.index(minimum)
    answer = no_server_hello(facts)
    put_status(facts, answer)
    good = facts.negotiated & (facts.version >= rank)
    answer.put(good, PASS, JoinedTexts(or_unknown(facts.version_name), " negotiated"))
    unknown = facts.negotiated & (facts.version < 0)
    answer.put(unknown, NOT_OBSERVABLE, JoinedTexts("unknown version ", or_unknown(facts.version_name)))
    poor = facts.negotiated & (facts.version >= 0) & (facts.version < rank)
    answer.put(
        poor, unmet(required), JoinedTexts(or_unknown(facts.version_name), f" negotiated, {minimum} is the least")
    )
    offered = ~facts.negotiated & facts.has_handshake & (facts.version_offered >= 0) & (facts.version_offered < rank)
    answer.put(
        offered, unmet(required), JoinedTexts("the client offers at most ", or_unknown(facts.version_offered_name))
    )
    put_clear(facts, required, answer)
    no_handshake(facts, answer)
    return answer


@check(of_protection=True, of_any_server=True)
def forward_secrecy(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The negotiated key exchange had forward secrecy."""
    answer = no_server_hello(facts)
    why = or_unknown(facts.forward_secrecy_reason)
    known = facts.forward_secrecy
    answer.put(facts.has_handshake & (known == UNKNOWN), NOT_OBSERVABLE, why)
    answer.put(known == YES, PASS, why)
    answer.put(known == NO, unmet(required), why)
    early = (known == YES) & facts.early_data_sent  # RFC 8446 2.3: its keys come from the pre-shared key alone
    answer.put(early, unmet(False), "early data was sent, which has no forward secrecy")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def offers_forward_secrecy(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The client offers at least one suite with forward secrecy."""
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "no ClientHello was seen, or only suites of unknown kind")
    put_status(facts, answer)
    answer.put(facts.offers_forward_secrecy == YES, PASS, "the client offers (EC)DHE")
    answer.put(facts.offers_forward_secrecy == NO, unmet(required), "no DHE or ECDHE suite offered")
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def whole_handshake(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The capture shows the handshake of a TLS flow, both hellos of it."""
    answer = CheckResult.of(facts, NOT_APPLICABLE, "no TLS")
    answer.put(facts.is_tls & facts.has_handshake, PASS, "both hellos are in the capture")
    broken = facts.is_tls & facts.has_handshake & (facts.status_reason != None)  # noqa: E711
    answer.put(broken, unmet(required), facts.status_reason)
    own = np.array([reason is not None and reason.startswith(NO_MEMORY) for reason in facts.status_reason], bool)
    answer.put(broken & own, NOT_OBSERVABLE, facts.status_reason)
    lacking = "the handshake is not in the capture: it was before its beginning, or packets are missing"
    answer.put(facts.is_tls & ~facts.has_handshake, unmet(required), lacking)
    return answer


@check()
def whole_capture(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Captures lack nothing: findings are about captures and come from what was counted of them, not from flows."""
    return CheckResult.of(facts, NOT_APPLICABLE, "about captures, not flows")


@check("strong", of_protection=True, of_any_server=True)
def no_plaintext(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """What is sent to a service endpoint is encrypted, from the first to the last byte that matters.

    With ``strong`` other protocols than TLS, on whose suites there are rules, pass only where their algorithms are known to be,
    and weak ones of SSH fail, of which others warn.
    """
    answer = encryption(facts, required)
    if parameters.get("strong"):
        unseen = is_one_of(facts.protocol, NEGOTIATED_UNSEEN) | (is_one_of(facts.protocol, ["ssh"]) & ~facts.agreed)
        hidden = JoinedTexts("encrypted, but with which algorithms does not show: ", or_unknown(facts.protocol))
        answer.put((answer.verdict == PASS) & unseen, NOT_OBSERVABLE, hidden)
        answer.put(is_one_of(facts.protocol, WEAK), unmet(required), weak_ssh(facts))
    stayed = answer.verdict == unmet(required)
    stayed &= is_one_of(facts.upgrade, UNUSED)
    answer.put(stayed, unmet(required), JoinedTexts(answer.reason, "; TLS was ", or_unknown(facts.upgrade)))
    nothing = facts.proxy_refused & (facts.protocol == "http")
    answer.put(nothing, NOT_APPLICABLE, "the proxy opened no way to the server: nothing was sent there")
    return answer


@check(of_any_server=True)
def upgrade_used(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Where TLS is offered or asked for within another protocol (STARTTLS), the session goes over to it."""
    answer = CheckResult.of(facts, NOT_APPLICABLE, "no upgrade to TLS was offered or asked for")
    answer.put(facts.upgrade == "used", PASS, "went over to TLS")
    answer.put(is_one_of(facts.upgrade, UNUSED), unmet(required), JoinedTexts("TLS was ", or_unknown(facts.upgrade)))
    asked = (facts.upgrade == "asked, not used") & facts.negotiates
    answer.put(asked, NOT_OBSERVABLE, "TLS was asked for, and what followed is not in the capture")
    return answer


@check("minimum", of_protection=True)
def in_region_https(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Traffic between AWS resources of a Region is HTTPS with at least ``minimum``."""
    minimum = str(parameters.get("minimum", "TLS 1.2"))
    rank = VERSION_ORDER.index(minimum)
    answer = encryption(facts, required)
    good = (answer.verdict == PASS) & facts.negotiated & (facts.version >= rank)
    answer.put((answer.verdict == PASS) & ~good, NOT_OBSERVABLE, "no handshake in the capture")
    answer.put(good, PASS, JoinedTexts(or_unknown(facts.version_name), " inside the Region"))
    poor = facts.negotiated & (facts.version >= 0) & (facts.version < rank)
    answer.put(poor, unmet(required), JoinedTexts(or_unknown(facts.version_name), " inside the Region"))
    clear = (answer.verdict == unmet(required)) & ~poor
    answer.put(clear, unmet(required), JoinedTexts(answer.reason, " inside the Region"))
    outside = facts.in_region != YES
    answer.put(outside, NOT_APPLICABLE, "not between resources inside AWS")
    answer.put(outside & is_way_unknown(facts), NOT_APPLICABLE, f"{NOTHING_SHOWS}is between resources inside AWS")
    return answer


@check("services", "since", "goes_on")
def ended_api(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """A notice: the flow goes to an API whose support ended on ``since``; what ``goes_on`` are operations that did not."""
    since = date.fromisoformat(str(parameters["since"]))
    services = [str(s) for s in parameters["services"]]
    answer = CheckResult.of(facts, NOT_APPLICABLE, "another service")
    to_it = is_one_of(facts.service, services)
    after = facts.day >= np.datetime64(since, "D").astype("int64")
    answer.put(to_it & ~after, PASS, f"before support ended on {since}")
    answer.put(to_it & after, WARN, f"support of this API ended on {since}; SMS, voice, push and OTP calls go on")
    goes_on = {str(name) for name in parameters.get("goes_on", [])}
    for at in np.flatnonzero(to_it & after & (facts.requests != None)).tolist():  # noqa: E711
        called = {row["api"].partition(":")[2] for row in facts.requests[at] if row["api"] is not None}
        ended = sorted(called - goes_on)
        if called and not ended and facts.requests_reason[at] is None:
            answer.verdict[at], answer.reason[at] = PASS, f"{', '.join(sorted(called))}: supported after {since}"
        elif ended:
            answer.reason[at] = f"{', '.join(ended)}: support ended on {since}"
    return answer


@check("every", of_any_server=True)
def hello_delivery(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """A large ClientHello got through. With ``every = true`` small ones count as well."""
    from auditor.tls.delivery import ALERT, ANSWERED, ENDED, FAILURES, NOT_TLS, RETRY

    answer = CheckResult.of(facts, NOT_OBSERVABLE, "what became of the ClientHello is not in the capture")
    answer.put(facts.hello_outcome == ENDED, NOT_OBSERVABLE, "the capture ended before an answer to the ClientHello")
    other = facts.hello_outcome == NOT_TLS
    answer.put(
        other, NOT_OBSERVABLE, JoinedTexts("answered by something that is no TLS: ", what_spoken(facts.answered_with))
    )
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
def look_alike(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """A notice: the server's name imitates an AWS name."""
    answer = CheckResult.of(facts, NOT_APPLICABLE, "no AWS name is imitated")
    answer.put(facts.imitates, unmet(required), "the name contains an AWS name but is not under AWS's domains")
    return answer


@check()
def name_of_address(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """What asks for an AWS name goes to an address of AWS's, or to one that DNS gave for it."""
    answer = CheckResult.of(facts, NOT_APPLICABLE, "no AWS name with an address of another's")
    text = JoinedTexts(or_unknown(facts.name_elsewhere), " at an address outside of AWS's ranges, which no DNS answer")
    elsewhere = is_given(facts.name_elsewhere)
    answer.put(elsewhere, unmet(required), JoinedTexts(text, " gave: redirected, intercepted, or a disguise"))
    return answer


@check()
def exceptions(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Exceptions that have ended: what they exempted is gathered where rules are applied."""
    return CheckResult.of(facts, NOT_APPLICABLE, "about exceptions, not flows")
