"""Protocols that encrypt their messages themselves, behind a beginning in clear: by SASL's security layer, and SMB since version 3."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32, le32
from auditor.decode.transport import is_text_byte
from auditor.flows.state import FlowRow
from auditor.machine.kernel import part
from auditor.recognise.numbers import (
    IMAP,
    IMAP_SASL,
    LDAP,
    LDAP_SASL,
    POP3,
    POP3_SASL,
    SMB,
    SMB_CLEAR,
    SMB_SEALED,
    SMTP,
    SMTP_SASL,
    UNKNOWN,
)
from auditor.recognise.openings import SEQUENCE
from auditor.recognise.words import stands_at

TOKEN_HEADER, LONGEST_BUFFER, SEALED = 16, 1 << 24, 2  # of SASL's buffers
FRAMED, NOT_SEALED = 0x60, 0xFFFF  # of older tokens of Kerberos (RFC 2743 3.1)
DIGEST_MAC, DIGEST_TRAILER, MOST_DIGEST_MESSAGES = 10, 6, 1 << 16  # of DIGEST-MD5 (RFC 2831 2.3, 2.4)
SHOWN = 8  # bytes of contents by which text is told from what is encrypted
_KERBEROS_WRAP = np.frombuffer(b"\6\x09\x2a\x86\x48\x86\xf7\x12\1\2\2\2\1", np.uint8)


@part
def can_be_read(application: int, data: Bytes, at: int, end: int) -> bool:
    """Whether a message of a protocol stands at ``at`` in clear: a sequence of LDAP, or text."""
    if application == LDAP:
        return bool(data[at] == SEQUENCE)
    for k in range(at, min(end, at + SHOWN)):
        if not is_text_byte(data[k]):
            return False
    return True


@part
def is_digest_sealed(application: int, data: Bytes, size: int) -> bool:
    """Whether it is a whole buffer of DIGEST-MD5 whose contents are encrypted: behind them are a version and a number.

    What is only signed stands in clear before its MAC (RFC 2831 2.3).
    """
    end = 4 + be32(data, 0)
    if end > size or end < 5 + DIGEST_MAC + DIGEST_TRAILER:
        return False
    if be16(data, end - DIGEST_TRAILER) != 1 or be32(data, end - 4) >= MOST_DIGEST_MESSAGES:
        return False
    return not can_be_read(application, data, np.int64(4), end - DIGEST_MAC - DIGEST_TRAILER)


@part
def is_sealed(application: int, data: Bytes, size: int) -> bool:
    """Whether it is a buffer of SASL's security layer (RFC 4422 3.7) whose contents are encrypted, by Kerberos, NTLM or DIGEST-MD5.

    A token of Kerberos says whether it is sealed (RFC 4121 4.2.6.2, RFC 1964 1.2.2); behind NTLM's signature a message that
    is only signed stands in clear ([MS-NLMP] 2.2.2.9).
    """
    if size < 4 + TOKEN_HEADER + 1 or be32(data, 0) < TOKEN_HEADER or be32(data, 0) >= LONGEST_BUFFER:
        return False
    if data[4] == 5 and data[5] == 4:
        return bool(data[6] & SEALED != 0 and data[7] == 0xFF)
    if data[4] == FRAMED:
        at = 6 + (np.int64(data[5]) - 0x80 if data[5] > 0x80 else np.int64(0))
        names_kerberos = stands_at(data, at, size - 6, _KERBEROS_WRAP)
        return bool(names_kerberos and be16(data, at + len(_KERBEROS_WRAP) + 2) != NOT_SEALED)
    if le32(data, 4) == 1:
        return not can_be_read(application, data, np.int64(4 + TOKEN_HEADER), size)
    return is_digest_sealed(application, data, size)


@part
def sealed_by_sasl(application: int) -> int:
    """What a protocol is called where SASL encrypts it; UNKNOWN for others."""
    if application == LDAP:
        return np.int64(LDAP_SASL)
    if application == IMAP:
        return np.int64(IMAP_SASL)
    if application == POP3:
        return np.int64(POP3_SASL)
    return np.int64(SMTP_SASL if application == SMTP else UNKNOWN)


@part
def note_sealed(flow: FlowRow, application: int, data: Bytes, size: int) -> None:
    """Note whether LDAP or mail goes on encrypted behind its log-in, and SMB behind its negotiation, or in clear."""
    sealed = sealed_by_sasl(np.int64(flow.application))
    if sealed != UNKNOWN and is_sealed(np.int64(flow.application), data, size):
        flow.application = sealed
    elif (flow.application == SMB or flow.application == SMB_SEALED) and application == SMB_CLEAR:
        flow.application = SMB_CLEAR
    elif flow.application == SMB and application == SMB_SEALED:
        flow.application = SMB_SEALED
