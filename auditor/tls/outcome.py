"""What a handshake negotiated, from the shapes of its hellos and the messages that were seen."""

from typing import NamedTuple

from auditor.flows import state as S
from auditor.tls.names import (
    Suite,
    group_name,
    groups,
    is_post_quantum,
    signature_name,
    suite_name,
    suites,
    version_name,
)
from auditor.tls.shapes import (
    ENCRYPT_THEN_MAC,
    EXTENDED_MASTER_SECRET,
    HEARTBEAT_EXTENSION,
    PRE_SHARED_KEY,
    RENEGOTIATION_INFO,
    TRUNCATED_HMAC,
    ServerShape,
    printable,
)

OBSOLETE_GROUPS = {0x4138}  # CECPQ2, an experiment that ended in 2020; drafts say so in their names
FULL = S.SEEN_CERTIFICATE | S.SEEN_KEY_EXCHANGE | S.SEEN_HELLO_DONE


# The bits of ``seen`` that what was negotiated depends on.
DECIDING = (
    S.SEEN_CLIENT_HELLO
    | S.SEEN_SERVER_HELLO
    | S.SEEN_RETRY
    | S.SEEN_SERVER_CCS
    | FULL
    | S.SEEN_SESSION_ECHO
    | S.SEEN_SERVER_SESSION
    | S.SEEN_TICKET_OFFER
    | S.SEEN_ORIGINAL
    | S.SEEN_EARLY_DATA
    | S.SEEN_SERVER_CUT
    | S.SEEN_SERVER_INVALID
)


class Outcome(NamedTuple):
    """What one combination of hellos and messages negotiated; the fields are columns of ``handshakes``."""

    tls_version: str | None = None
    cipher_suite: str | None = None
    cipher_suite_id: int | None = None
    key_exchange: str | None = None
    key_exchange_group: str | None = None
    signature_scheme: str | None = None
    forward_secrecy: bool | None = None
    forward_secrecy_reason: str | None = None
    post_quantum: bool | None = None
    alpn: str | None = None
    ja3s: str | None = None
    resumed: bool | None = None
    resumption: str | None = None
    compression: int | None = None
    extended_master_secret: bool | None = None
    secure_renegotiation: bool | None = None
    encrypt_then_mac: bool | None = None
    truncated_hmac: bool | None = None
    heartbeat: bool | None = None
    post_quantum_kind: str | None = None
    authentication: str | None = None


def resumption(seen: int, server: ServerShape) -> tuple[bool | None, str | None]:
    """Whether a handshake resumed an earlier session, and by what."""
    if server.version == 2:
        return None, None
    if server.is_tls13:
        if PRE_SHARED_KEY not in server.extensions:
            return False if server.is_whole else None, None
        if server.group is None:
            return True, "psk" if server.is_whole else None
        return True, "psk_dhe"
    if seen & FULL:
        return False, None
    abbreviated = bool(seen & S.SEEN_SERVER_CCS)  # RFC 5246 7.3: ChangeCipherSpec right after the ServerHello
    if not abbreviated and not seen & S.SEEN_SESSION_ECHO:
        is_offered = seen & S.SEEN_TICKET_OFFER or not seen & S.SEEN_CLIENT_HELLO  # as far as is known
        return (None, None) if is_offered else (False, None)
    # RFC 5077 3.4: with a ticket, the session id is echoed only to say that the ticket was accepted.
    return True, "ticket" if seen & S.SEEN_TICKET_OFFER else "session_id"


def forward_secrecy(server: ServerShape, resumed: bool | None, seen: int) -> tuple[bool | None, str]:
    """Whether forward secrecy was achieved, and why (DESIGN: facts, not what a suite's name promises)."""
    if server.is_tls13:
        if server.group is not None:
            early = "; early data is not covered" if seen & S.SEEN_EARLY_DATA else ""
            return True, f"TLS 1.3 key share in the ServerHello{early}"
        if not server.is_whole:
            return None, "the ServerHello is not whole"
        if PRE_SHARED_KEY not in server.extensions:  # RFC 8446 9.2: it has one of both
            return None, "the ServerHello has neither a key share nor a pre-shared key"
        return False, "TLS 1.3 with a pre-shared key alone (psk_ke)"
    suite = suites().get(server.suite)
    if suite is None or suite.ephemeral is None:
        return None, "the suite does not say how keys are exchanged"
    if not suite.ephemeral:
        return False, f"{suite.key_exchange} key exchange"
    if resumed is None:
        return None, "whether it resumed an earlier session is not in the capture"
    if not resumed:
        return True, f"{suite.key_exchange} key exchange"
    if seen & S.SEEN_ORIGINAL:
        return True, f"resumed from a handshake with {suite.key_exchange}"
    return None, "resumed; the first handshake is not in the capture"


def _without_server_hello(seen: int) -> str:
    if seen & S.SEEN_SERVER_CUT:
        return "the ServerHello is not whole in the capture"
    return "the ServerHello is not valid" if seen & S.SEEN_SERVER_INVALID else "no ServerHello was seen"


def outcome(seen: int, server: ServerShape | None, curve: int, curve_sig: int, dh_bits: int, dh_sig: int) -> Outcome:
    """What was negotiated, as far as it was seen."""
    if server is None or not seen & (S.SEEN_SERVER_HELLO | S.SEEN_RETRY):
        return Outcome(forward_secrecy_reason=_without_server_hello(seen))
    if server.version == 2:
        return Outcome(tls_version="SSL 2.0", forward_secrecy=False, forward_secrecy_reason="SSL 2.0 has none")
    was_resumed, how = resumption(seen, server)
    secret, why = forward_secrecy(server, was_resumed, seen)
    suite = suites().get(server.suite)
    group: int | None = server.group
    group_text = group_name(group) if group is not None else None
    scheme = None
    exchange = suite.key_exchange if suite else None
    if server.is_tls13:
        exchange = _exchange(group, how)
    elif seen & S.SEEN_KEY_EXCHANGE and exchange in ("ECDHE", "DHE", "DH", "ECDH"):
        if exchange in ("ECDHE", "ECDH"):
            group = curve or None
            group_text = group_name(curve) if curve else None
            scheme = curve_sig
        elif dh_bits:
            group_text = f"dh{dh_bits}"
            scheme = dh_sig
        if server.version < 0x0303:
            scheme = None  # before TLS 1.2 the algorithms are fixed and no bytes name them
    if not seen & S.SEEN_SERVER_HELLO:
        secret, why = None, "only a HelloRetryRequest was seen"
    return Outcome(
        tls_version=version_name(server.version),
        cipher_suite=suite_name(server.suite),
        cipher_suite_id=server.suite,
        key_exchange=exchange or None,
        key_exchange_group=group_text,
        signature_scheme=signature_name(scheme & 0xFFFF) if scheme else None,
        forward_secrecy=secret,
        forward_secrecy_reason=why,
        post_quantum=is_post_quantum(group) if group is not None else (None if server.is_tls13 else False),
        alpn=printable(server.alpn) if server.alpn else None,
        ja3s=server.ja3s,
        resumed=was_resumed,
        resumption=how,
        compression=server.compression,
        post_quantum_kind=_group_kind(group) if group is not None else None,
        authentication=_authentication(server, suite, how),
        **_agreed(server),
    )


def _exchange(group: int | None, how: str | None) -> str | None:
    """The key exchange of TLS 1.3, which is that of its group."""
    if group is None:
        return "PSK" if how == "psk" else None
    if is_post_quantum(group):
        return "KEM" if group in (0x0200, 0x0201, 0x0202) else "hybrid"
    return "DHE" if group in range(0x100, 0x200) else "ECDHE"


def _agreed(server: ServerShape) -> dict[str, bool | None]:
    """What the extensions of a ServerHello agree to. In TLS 1.3 these are built in, gone, or encrypted."""
    if server.is_tls13:
        return {
            "extended_master_secret": True,
            "secure_renegotiation": None,
            "encrypt_then_mac": None,
            "truncated_hmac": False,
        }
    agreed = {
        "extended_master_secret": EXTENDED_MASTER_SECRET,
        "secure_renegotiation": RENEGOTIATION_INFO,
        "encrypt_then_mac": ENCRYPT_THEN_MAC,
        "truncated_hmac": TRUNCATED_HMAC,
        "heartbeat": HEARTBEAT_EXTENSION,
    }
    otherwise = False if server.is_whole else None
    return {name: True if kind in server.extensions else otherwise for name, kind in agreed.items()}


def _group_kind(group: int) -> str:
    name = group_name(group)
    if not is_post_quantum(group):
        return "classical"
    if group in OBSOLETE_GROUPS or "Draft" in name:
        return "obsolete"
    return "pure" if groups()[group][1] == "pq" else "hybrid"


def _authentication(server: ServerShape, suite: Suite | None, how: str | None) -> str | None:
    """How the server authenticates itself. In TLS 1.3 its certificate is encrypted, and so is its kind of key."""
    if server.is_tls13:
        return "pre-shared key" if how in ("psk", "psk_dhe") else "not_observable"
    if suite is None:
        return None
    if suite.authentication == "anon":
        return "anonymous"
    return "pre-shared key" if suite.authentication == "PSK" else "classical"
