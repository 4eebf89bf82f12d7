"""What is said before a connection's contents: which protection its two sides agree on, or a way to the server.

As long as nothing else was said, whether the connection encrypts does not show: VNC's security types, PostgreSQL's requests for
TLS and GSSAPI, HTTP's CONNECT, PRELOGIN of TDS, LDAP's StartTLS and its binds that may agree on a security layer. FTP encrypts
command by command.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be32
from auditor.flows.state import NEGOTIATES, UPGRADE_ASKED, UPGRADE_REFUSED, FlowRow, StreamRow
from auditor.machine.kernel import part
from auditor.recognise.commands import BIND_REQUEST, EXTENDED_REQUEST, GSS_REQUEST, SSL_REQUEST, UNBIND, ber_length
from auditor.recognise.numbers import (
    FTP,
    FTP_SEALED,
    HTTP,
    LDAP,
    LDAP_SASL,
    POSTGRESQL,
    POSTGRESQL_SEALED,
    SSH,
    TDS,
    UNKNOWN,
    VNC,
    VNC_SEALED,
)
from auditor.recognise.openings import CONNECT, IS_REQUEST, SEQUENCE
from auditor.recognise.sealed import LONGEST_BUFFER, TOKEN_HEADER, is_sealed
from auditor.recognise.words import matrix, same_word, stands_at, which_stands_at
from auditor.tls.wrappers import LOGIN_7

ALL_BITS = 255
# VNC: where each side's choice stands behind its version (RFC 6143 7.1.2), and VeNCrypt's of a kind of its own
CHOICE_AT, KIND_AT, PLAIN = 12, 15, 256
NO_SECURITY, PASSWORD = 1, 2
# Security types as IANA and the community's description of the protocol have them: those that encrypt what follows; and those
# that log in at most, and leave the session in clear.
ENCRYPTING = (5, 129)  # RA2, RSA-AES with 256 bits
LEFT_IN_CLEAR = (
    *(NO_SECURITY, PASSWORD, 6),  # 6: RA2ne
    *(16, 17, 21, 22),  # Tight, Ultra, MD5, xvp
    *(30, 113, 130),  # Apple's Diffie-Hellman, UltraVNC's log-in to Windows, RSA-AES without encryption
)
_ENCRYPTS = np.zeros(256, np.bool_)
_ENCRYPTS[list(ENCRYPTING)] = True
_IS_CLEAR = np.zeros(256, np.bool_)
_IS_CLEAR[list(LEFT_IN_CLEAR)] = True
GSS_YES = 71  # G
STATUS_AT, REDIRECTION = 9, 51  # where HTTP's status stands (RFC 9112 4), and how those begin that are no success
BIND_RESPONSE, EXTENDED_RESPONSE, SASL = 0x61, 0x78, 0xA3  # RFC 4511 4.2, 4.12
SICILY_FIRST, SICILY_LAST = 0x89, 0x8B
_LAYERS, _LAYER_LENGTHS = matrix((b"GSS", b"DIGEST-MD5", b"NTLM"))  # how mechanisms begin that have a security layer
_START_TLS = np.frombuffer(b"1.3.6.1.4.1.1466.20037", np.uint8)
_ENC = np.frombuffer(b"enc ", np.uint8)


@part
def is_agreed(flow: FlowRow) -> None:
    """Both sides go on by what they agreed on."""
    flow.upgrade &= ALL_BITS - NEGOTIATES


@part
def note_vnc(flow: FlowRow, stream: StreamRow, direction: int, application: int, data: Bytes, size: int) -> None:
    """Which security type was chosen: by the client, or since before version 3.7 by the server (RFC 6143 7.1.2, A.1)."""
    if application == VNC:
        flow.upgrade |= NEGOTIATES
    if flow.upgrade & NEGOTIATES == 0:
        return
    at, kind = CHOICE_AT - int(stream.skipped), KIND_AT - int(stream.skipped)
    if direction != flow.client:
        chosen = be32(data, at) if 0 <= at <= size - 4 else np.int64(0)
        if chosen == NO_SECURITY or chosen == PASSWORD:
            is_agreed(flow)
    elif 0 <= at < size:
        if _ENCRYPTS[data[at]]:
            flow.application = VNC_SEALED
        if _ENCRYPTS[data[at]] or _IS_CLEAR[data[at]]:
            is_agreed(flow)
    elif 0 <= kind <= size - 4 and be32(data, kind) == PLAIN:
        is_agreed(flow)


@part
def note_postgresql(flow: FlowRow, direction: int, data: Bytes, size: int) -> None:
    """Whether the client asks for TLS or GSSAPI, and the server agrees on the latter; what else a client says is in clear."""
    code = be32(data, 4) if size == 8 and be32(data, 0) == 8 else np.int64(0)
    if code == SSL_REQUEST or code == GSS_REQUEST:
        flow.upgrade |= NEGOTIATES
    elif direction == flow.client:
        is_agreed(flow)
    elif size == 1 and data[0] == GSS_YES and flow.upgrade & (NEGOTIATES | UPGRADE_ASKED) == NEGOTIATES:
        flow.application = POSTGRESQL_SEALED
        is_agreed(flow)


@part
def note_tunnel(flow: FlowRow, row: int, application: int, data: Bytes, size: int) -> None:
    """What goes through the tunnel that CONNECT asks for is in clear, or SSH; so is a refusal (RFC 9110 9.3.6)."""
    if row == CONNECT:
        flow.upgrade |= NEGOTIATES
    elif application == HTTP and not IS_REQUEST[row] and size > STATUS_AT and data[STATUS_AT] >= REDIRECTION:
        is_agreed(flow)
    elif flow.upgrade & NEGOTIATES != 0 and application != UNKNOWN and (application != HTTP or IS_REQUEST[row]):
        flow.application = SSH if application == SSH else HTTP
        is_agreed(flow)


@part
def note_ftp(flow: FlowRow, application: int, data: Bytes, size: int) -> None:
    """Whether a client's commands are encrypted by what it has agreed on in AUTH (RFC 2228 3, ENC), where that is not TLS."""
    if flow.upgrade & UPGRADE_ASKED == 0 and size >= len(_ENC) and same_word(data, 0, _ENC):
        flow.application = FTP_SEALED
    elif application == FTP:
        flow.application = FTP


@part
def may_agree(data: Bytes, at: int, size: int) -> bool:
    """Whether an LDAP bind may agree on encryption: by SASL (RFC 4511 4.2, RFC 4513 5.2.1.4), or NTLM ([MS-ADTS] 5.1.1.1.3).

    ``at``: where the bind's tag stands.
    """
    at, _ = ber_length(data, at + 1, size)
    for _ in range(2):  # the version, the name
        if at == 0:
            return False
        _, at = ber_length(data, at + 1, size)
    if at == 0 or at >= size:
        return False
    if data[at] != SASL:
        return SICILY_FIRST <= data[at] <= SICILY_LAST
    name, _ = ber_length(data, at + 1, size)
    name, _ = ber_length(data, name + 1, size)
    return which_stands_at(data, name, size, _LAYERS, _LAYER_LENGTHS) >= 0


@part
def is_start_tls(data: Bytes, at: int, size: int) -> bool:
    """Whether an extended request of LDAP, whose tag stands at ``at``, asks for TLS (RFC 4511 4.14.1)."""
    name, _ = ber_length(data, at + 1, size)
    name, _ = ber_length(data, name + 1, size)
    return stands_at(data, name, size, _START_TLS)


@part
def is_signed_alone(data: Bytes, size: int) -> bool:
    """Whether it is a buffer of SASL's security layer whose contents can be read (see ``sealed``)."""
    fits = size > 4 + TOKEN_HEADER and TOKEN_HEADER <= be32(data, 0) < LONGEST_BUFFER
    return bool(fits and not is_sealed(np.int64(LDAP), data, size))


@part
def note_ldap(flow: FlowRow, direction: int, data: Bytes, size: int) -> None:
    """Whether LDAP says only what may lead to encryption: a StartTLS, or a bind that may agree on it."""
    begin, _ = ber_length(data, np.int64(1), size)
    at = begin + 2 + np.int64(data[begin + 1]) if data[0] == SEQUENCE and 0 < begin < size - 1 else np.int64(size)
    if at >= size:
        if data[0] != SEQUENCE and is_signed_alone(data, size):
            is_agreed(flow)
    elif data[at] == EXTENDED_REQUEST and is_start_tls(data, at, size):
        flow.upgrade |= NEGOTIATES | UPGRADE_ASKED
    elif data[at] == EXTENDED_RESPONSE:
        result, _ = ber_length(data, at + 1, size)
        if flow.upgrade & NEGOTIATES and result > 0 and result + 2 < size and data[result + 2] != 0:
            flow.upgrade |= UPGRADE_REFUSED
    elif data[at] == BIND_REQUEST and direction == flow.client and may_agree(data, at, size):
        flow.upgrade |= NEGOTIATES
    elif data[at] != BIND_RESPONSE and data[at] != UNBIND:
        is_agreed(flow)


@part
def note_tds(flow: FlowRow, application: int, data: Bytes) -> None:
    """Whether TDS says no more than what it wants of encryption ([MS-TDS] 2.2.6.5)."""
    if application == TDS and data[0] != LOGIN_7:
        flow.upgrade |= NEGOTIATES
    else:
        is_agreed(flow)


@part
def note_agreement(
    flow: FlowRow, stream: StreamRow, direction: int, row: int, application: int, data: Bytes, size: int
) -> None:
    """Note what a piece of a stream says of the connection's protection; ``application``: what the piece alone is."""
    if size == 0:
        return
    if flow.application == VNC:
        note_vnc(flow, stream, direction, application, data, size)
    elif flow.application == POSTGRESQL:
        note_postgresql(flow, direction, data, size)
    elif flow.application == HTTP:
        note_tunnel(flow, row, application, data, size)
    elif flow.application == LDAP:
        note_ldap(flow, direction, data, size)
    elif flow.application == LDAP_SASL:
        is_agreed(flow)
    elif flow.application == TDS:
        note_tds(flow, application, data)
    elif direction == flow.client and (flow.application == FTP or flow.application == FTP_SEALED):
        note_ftp(flow, application, data, size)
