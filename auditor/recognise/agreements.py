"""What is said before a connection's contents: which protection its two sides agree on, or a way to the server.

As long as nothing else was said, whether the connection encrypts does not show: VNC's security types, PostgreSQL's requests for
TLS and GSSAPI, HTTP's CONNECT. FTP encrypts command by command.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be32
from auditor.flows.state import NEGOTIATES, UPGRADE_ASKED, FlowRow, StreamRow
from auditor.machine.kernel import part
from auditor.recognise.commands import GSS_REQUEST, SSL_REQUEST
from auditor.recognise.numbers import (
    FTP,
    FTP_SEALED,
    HTTP,
    POSTGRESQL,
    POSTGRESQL_SEALED,
    SSH,
    UNKNOWN,
    VNC,
    VNC_SEALED,
)
from auditor.recognise.openings import CONNECT, IS_REQUEST
from auditor.recognise.words import same_word

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
    elif direction == flow.client and (flow.application == FTP or flow.application == FTP_SEALED):
        note_ftp(flow, application, data, size)
