"""Protocols that encrypt their messages themselves, behind a beginning in clear: LDAP by SASL, SMB since version 3."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32, le32
from auditor.flows.state import FlowRow
from auditor.machine.kernel import part
from auditor.recognise.numbers import LDAP, LDAP_SASL, SMB, SMB_CLEAR, SMB_SEALED
from auditor.recognise.openings import SEQUENCE
from auditor.recognise.words import stands_at

TOKEN_HEADER, LONGEST_BUFFER, SEALED = 16, 1 << 24, 2  # of SASL's buffers
FRAMED, NOT_SEALED = 0x60, 0xFFFF  # of older tokens of Kerberos (RFC 2743 3.1)
_KERBEROS_WRAP = np.frombuffer(b"\6\x09\x2a\x86\x48\x86\xf7\x12\1\2\2\2\1", np.uint8)


@part
def is_sealed(data: Bytes, size: int) -> bool:
    """Whether it is a buffer of SASL's security layer (RFC 4422 3.7) whose contents are encrypted, by Kerberos or NTLM.

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
    return bool(le32(data, 4) == 1 and data[4 + TOKEN_HEADER] != SEQUENCE)


@part
def note_sealed(flow: FlowRow, application: int, data: Bytes, size: int) -> None:
    """Note whether LDAP goes on encrypted behind its bind, as in Active Directory, and SMB behind its negotiation, or in clear."""
    if flow.application == LDAP and is_sealed(data, size):
        flow.application = LDAP_SASL
    elif (flow.application == SMB or flow.application == SMB_SEALED) and application == SMB_CLEAR:
        flow.application = SMB_CLEAR
    elif flow.application == SMB and application == SMB_SEALED:
        flow.application = SMB_SEALED
