"""Checks of what else a handshake agrees on: extensions, compression, early data, pre-shared keys, who proved to be who."""

from typing import Any

import numpy as np

from auditor.policy.check import (
    NOT_APPLICABLE,
    NOT_OBSERVABLE,
    PASS,
    CheckResult,
    agreed_once,
    check,
    no_handshake,
    no_server_hello,
    unmet,
)
from auditor.policy.facts import NO, UNKNOWN, YES, Facts
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.suites import properties

TLS_1_3 = VERSION_ORDER.index("TLS 1.3")


@check(of_any_server=True)
def no_compression(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """TLS compression is not used (CRIME)."""
    answer = no_server_hello(facts)
    answer.put(facts.negotiated & (facts.compression == 0), PASS, "no compression")
    answer.put(facts.negotiated & (facts.compression > 0), unmet(required), "compression was agreed on")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


def _agreed(facts: Facts, required: bool, agreed: Any, name: str) -> CheckResult:
    answer = no_server_hello(facts)
    answer.put(facts.negotiated & (agreed == UNKNOWN), NOT_OBSERVABLE, f"whether {name} was agreed on is not seen")
    answer.put(agreed == YES, PASS, f"{name} was agreed on")
    answer.put(agreed == NO, unmet(required), f"{name} was not agreed on")
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def extended_master_secret(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Both sides agreed on the extended master secret (RFC 7627)."""
    answer = _agreed(facts, required, facts.extended_master_secret, "the extended master secret")
    agreed_once(facts, answer)
    return answer


@check(of_any_server=True)
def secure_renegotiation(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The server knows secure renegotiation (RFC 5746)."""
    answer = _agreed(facts, required, facts.secure_renegotiation, "secure renegotiation")
    answer.put(facts.negotiated & (facts.version >= TLS_1_3), PASS, "TLS 1.3 has no renegotiation")
    return answer


@check(of_any_server=True)
def encrypt_then_mac(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Where the suite has CBC, both sides agreed to encrypt before the MAC is computed (RFC 7366)."""
    answer = _agreed(facts, required, facts.encrypt_then_mac, "encryption before the MAC")
    agreed_once(facts, answer)
    modes = [known.mode if (known := properties(suite)) is not None else None for suite in facts.suite]
    other = facts.negotiated & np.array([mode is not None and mode != "CBC" for mode in modes], bool)
    answer.put(other, NOT_APPLICABLE, "the suite has no CBC")
    return answer


@check(of_any_server=True)
def no_truncated_hmac(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The two sides did not agree to cut MACs to 80 bits (RFC 6066 7)."""
    answer = no_server_hello(facts)
    unknown = facts.negotiated & (facts.truncated_hmac == UNKNOWN)
    answer.put(unknown, NOT_OBSERVABLE, "whether truncated MACs were agreed on is not seen")
    answer.put(facts.truncated_hmac == NO, PASS, "no truncated MACs")
    answer.put(facts.truncated_hmac == YES, unmet(required), "truncated MACs were agreed on")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def no_heartbeat(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The two sides did not agree on heartbeats (RFC 6520); of TLS 1.3, where the answer is encrypted, nothing is said."""
    answer = no_server_hello(facts)
    unknown = facts.negotiated & (facts.heartbeat == UNKNOWN)
    answer.put(unknown, NOT_OBSERVABLE, "whether heartbeats were agreed on is not seen")
    answer.put(unknown & (facts.version >= TLS_1_3), NOT_APPLICABLE, "TLS 1.3")
    answer.put(facts.heartbeat == NO, PASS, "no heartbeats")
    answer.put(facts.heartbeat == YES, unmet(required), "heartbeats were agreed on")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def no_early_data(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The client sends no early data (0-RTT): it can be replayed and has no forward secrecy (RFC 8446 2.3)."""
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "no ClientHello was seen")
    answer.put(facts.early_data == NO, PASS, "no early data")
    answer.put(facts.early_data == YES, unmet(required), "the client offers early data")
    answer.put(facts.early_data_sent, unmet(required), "early data was sent")
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def no_psk_only(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """A pre-shared key is not all that keys are derived from (psk_ke of RFC 8446 4.2.9, plain PSK suites of RFC 4279)."""
    answer = no_server_hello(facts)
    answer.put(facts.negotiated, PASS, "not a pre-shared key alone")
    plain = np.array([(known := properties(s)) is not None and known.key_exchange == "PSK" for s in facts.suite])
    bad = facts.negotiated & (plain.astype(bool) | (facts.resumption == "psk"))
    answer.put(bad, unmet(required), "a pre-shared key alone, without a key exchange")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer


@check(of_any_server=True)
def server_authenticated(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The server proved its identity: no anonymous key exchange."""
    answer = no_server_hello(facts)
    authentication = facts.authentication.astype(str)
    answer.put(facts.negotiated, PASS, "not anonymous")
    answer.put(facts.negotiated & (authentication == "anonymous"), unmet(required), "anonymous key exchange")
    agreed_once(facts, answer)
    no_handshake(facts, answer)
    return answer
