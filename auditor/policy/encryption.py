"""Whether what a flow carries is encrypted: records with a suite that encrypts were seen, and nothing followed in clear."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from auditor.policy.check import (
    ENCRYPTED,
    NOT_APPLICABLE,
    NOT_OBSERVABLE,
    PASS,
    PLAINTEXT,
    RENEGOTIATED,
    WARN,
    WEAK,
    CheckResult,
    JoinedTexts,
    is_given,
    no_memory,
    or_unknown,
    unmet,
    what_spoken,
)
from auditor.policy.facts import NO, UNKNOWN, YES, Facts
from auditor.recognise.numbers import APPLICATIONS, UNSEEN_BEGINNING
from auditor.tables.columns import is_one_of
from auditor.tls.suites import properties

Array = np.ndarray[Any, Any]
OPEN_BY_NATURE = [one.name for one in APPLICATIONS if one.is_open]
NAMES = [one.name for one in APPLICATIONS]
# Protocols whose messages are encrypted, where they were looked at, and not from the connection's beginning on.
ENCRYPTED_LATER = {
    "ldap-sasl": "LDAP that SASL encrypts, but not from its beginning on",
    "smb-encrypted": "SMB that encrypts, but not all of its shares need to",
    "ftp-encrypted": "FTP whose commands are encrypted, but not from its beginning on, and its files need not to be",
    "imap-sasl": "IMAP that SASL encrypts, but not from its beginning on",
    "pop3-sasl": "POP3 that SASL encrypts, but not from its beginning on",
    "smtp-sasl": "SMTP that SASL encrypts, but not from its beginning on",
    "postgresql-encrypted": "PostgreSQL that GSSAPI encrypts, but by which cipher does not show",
    "snmp-encrypted": "SNMPv3 that encrypts, but by which cipher does not show",
    "vnc-encrypted": "VNC that encrypts by itself, but the end of its negotiation does not show",
}
LOGIN_ALONE = "TLS was agreed on for the log-in alone, and what follows it is not in the capture"
WITHOUT_TLS = "the ClientHello was answered without TLS: "
WEAK_SSH = "SSH whose two sides agreed on weak algorithms"
NO_END = "the end of the TLS handshake is not in the capture"
ANSWERED = ["ike", "openvpn", "wireguard"]  # which encrypt once both sides have agreed
# What is neither TLS nor a protocol that is known, nor text; and text before TLS that may be a request for it.
UNKNOWN_BYTES = ["unknown", *(f"{what} of a protocol that is not known" for what in ("text", UNSEEN_BEGINNING))]
UNKNOWN_BYTES += [f"{UNSEEN_BEGINNING} of {one.name}" for one in APPLICATIONS]


def encryption(facts: Facts, required: bool) -> CheckResult:
    """Verdicts on the protocol of each flow, and on the protection its TLS gave it."""
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the protocol was not recognised")
    protocol = np.array(["" if p is None else p for p in facts.protocol], object)
    answer.put(is_one_of(protocol, NAMES), NOT_OBSERVABLE, JoinedTexts("whether it encrypts does not show: ", protocol))
    for name, reason in ENCRYPTED_LATER.items():
        answer.put(is_one_of(protocol, [name]), NOT_OBSERVABLE, reason)
    answer.put(is_one_of(protocol, ENCRYPTED), PASS, JoinedTexts("encrypted: ", protocol))
    # A greeting is in clear, and so are the lists of algorithms behind it (RFC 4253 4.2, 7.1).
    greeting = is_one_of(protocol, ["ssh"]) & facts.is_greeting
    answer.put(greeting, NOT_OBSERVABLE, "SSH, but no exchange of keys behind its greeting")
    lone = is_one_of(protocol, ANSWERED) & facts.is_unanswered
    answer.put(lone, NOT_OBSERVABLE, JoinedTexts(protocol, ", but nothing came back"))
    answer.put(is_one_of(protocol, OPEN_BY_NATURE), NOT_APPLICABLE, JoinedTexts(protocol, " is open by nature"))
    answer.put(is_one_of(protocol, PLAINTEXT), unmet(required), JoinedTexts(protocol, " in clear"))
    for clear in ("smb", "ssh"):
        answer.put(is_one_of(protocol, [f"{clear}-clear"]), unmet(required), f"{clear} in clear")
    answer.put(is_one_of(protocol, WEAK), WARN, weak_ssh(facts))
    negotiates = facts.negotiates & ~facts.has_handshake
    answer.put(negotiates, NOT_OBSERVABLE, JoinedTexts("whether it encrypts does not show: ", protocol))
    refused = negotiates & (facts.upgrade == "refused")
    answer.put(
        refused,
        NOT_OBSERVABLE,
        JoinedTexts("TLS was refused, and nothing but a negotiation is in the capture: ", protocol),
    )
    _put_tls(facts, required, answer)
    no_memory(facts, answer)
    answer.put(~facts.has_payload, NOT_APPLICABLE, "no data was exchanged")
    return answer


def weak_ssh(facts: Facts) -> JoinedTexts:
    """What is said of SSH by weak algorithms."""
    named = np.array(["" if name is None else f": {name}" for name in facts.weak_algorithm.tolist()], object)
    return JoinedTexts(WEAK_SSH, named)


def _put_tls(facts: Facts, required: bool, answer: CheckResult) -> None:
    """The answers for TLS: its handshake, its suite, and what was spoken in its place or after it."""
    has = facts.has_handshake
    tls = facts.is_tls | is_one_of(facts.protocol, ["dtls", "quic"])
    answer.put(tls & ~has, NOT_OBSERVABLE, "TLS, but the handshake that chose the suite is not in the capture")
    open_end = has & (facts.established != YES)
    answer.put(open_end, NOT_OBSERVABLE, NO_END)
    failed = has & (facts.established == NO)
    answer.put(failed, NOT_OBSERVABLE, "the TLS handshake did not come to its end")
    known = {name: encrypts(name) for name in set(facts.suite.tolist())}
    suites = [known[name] for name in facts.suite.tolist()]
    answer.put(
        has & np.array([known is None for known in suites], bool) & ~open_end,
        NOT_OBSERVABLE,
        JoinedTexts("whether the suite encrypts is not known: ", or_unknown(facts.suite)),
    )
    answer.put(is_of_login(facts) & (answer.verdict == PASS), NOT_OBSERVABLE, LOGIN_ALONE)
    answer.put(facts.renegotiated & (answer.verdict == PASS), NOT_OBSERVABLE, RENEGOTIATED)
    null = has & np.array([known is False for known in suites], bool)
    answer.put(null, unmet(required), JoinedTexts(or_unknown(facts.suite), " does not encrypt"))
    answered = (facts.answered_with, WITHOUT_TLS)
    replied = open_end & is_one_of(facts.answered_with, UNKNOWN_BYTES)
    answer.put(replied, NOT_OBSERVABLE, JoinedTexts(WITHOUT_TLS, what_spoken(facts.answered_with)))
    for spoken, words in (answered, *_around(facts)):
        given = tls & is_given(spoken)
        unknown = given & is_one_of(spoken, UNKNOWN_BYTES)
        answer.put(unknown & (answer.verdict == PASS), NOT_OBSERVABLE, JoinedTexts(words, what_spoken(spoken)))
        answer.put(given & ~unknown, unmet(required), JoinedTexts(words, what_spoken(spoken)))


def _around(facts: Facts) -> Iterator[tuple[Array, str]]:
    """What was spoken in clear on connections of TLS, and when."""
    yield facts.spoken_before, "in clear before TLS had begun: "
    yield facts.spoken_after, "in clear after TLS had begun: "


def put_clear(facts: Facts, required: bool, answer: CheckResult) -> None:
    """The answers for what was spoken in clear before or after a handshake: no version of TLS, no suite protects that."""
    for spoken, words in _around(facts):
        known = facts.has_handshake & is_given(spoken) & ~is_one_of(spoken, UNKNOWN_BYTES)
        answer.put(known, unmet(required), JoinedTexts(words, what_spoken(spoken)))


def is_unprotected(facts: Facts) -> Array:
    """Where a handshake protected nothing, or not all: it failed, or something was spoken in clear before or after it."""
    shown = facts.has_handshake & (facts.established == NO)
    for spoken, _ in _around(facts):
        shown = shown | (facts.has_handshake & is_given(spoken))
    return np.asarray(shown)


def is_open_ended(facts: Facts) -> Array:
    """Where the end of a handshake is not in the capture: what it negotiated may never have come into use."""
    return np.asarray(facts.has_handshake & (facts.established == UNKNOWN))


def is_of_login(facts: Facts) -> Array:
    """Where TLS was agreed on for the log-in alone."""
    return np.asarray(facts.has_handshake & facts.is_of_login)


def is_renegotiated(facts: Facts) -> Array:
    """Where what came into use last was agreed on inside of TLS."""
    return np.asarray(facts.renegotiated)


# What the capture lacks of flows that were judged well as far as they show, and which these are.
UNSEEN: dict[str, Callable[[Facts], Array]] = {
    NO_END: is_open_ended,
    LOGIN_ALONE: is_of_login,
    RENEGOTIATED: is_renegotiated,
}


def encrypts(suite: str | None) -> bool | None:
    """Whether a suite encrypts; None for one that nobody knows."""
    known = properties(suite)
    return None if known is None or known.cipher == "?" else known.cipher != "NULL"
