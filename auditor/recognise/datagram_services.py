"""Services whose datagrams are known by their form: how hosts get an address and the time, are managed, and call each other."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32
from auditor.machine.kernel import part
from auditor.recognise.numbers import DHCP, KERBEROS, NTP, SIP, SNMP, SSDP, SYSLOG, TFTP, UNKNOWN
from auditor.recognise.services import by_version, is_kerberos
from auditor.recognise.words import same_word, stands_at

DHCP_COOKIE, COOKIE_AT = 0x63825363, 236  # RFC 2131 3
NTP_SIZES = (48, 52, 68, 72)  # without and with a message authentication code (RFC 5905 7.3)
LESS, GREATER, SEQUENCE = 60, 62, 0x30
MOST_PRIORITY = 191  # RFC 5424 6.2.1
LONGEST_NAME = 255
_SEARCH, _NOTIFY = (np.frombuffer(text, np.uint8) for text in (b"M-SEARCH * HTTP/1.1", b"NOTIFY * HTTP/1.1"))
_MODES = tuple(np.frombuffer(word, np.uint8) for word in (b"octet\0", b"netascii\0"))
_SIZES = np.array(NTP_SIZES, np.int64)


@part
def is_dhcp(block: Bytes, at: int, end: int) -> bool:
    """A request or a reply, and the cookie before the options."""
    return end - at > COOKIE_AT + 4 and 1 <= block[at] <= 2 and be32(block, at + COOKIE_AT) == DHCP_COOKIE


@part
def is_ntp(block: Bytes, at: int, end: int) -> bool:
    """A client's or server's packet of versions 1 to 4 (RFC 5905 7.3), whose fields have values as they come in them."""
    fits = False
    for row in range(_SIZES.size):
        fits = fits or end - at == _SIZES[row]
    if not fits:
        return False
    version, mode = block[at] >> 3 & 7, block[at] & 7
    if version < 1 or version > 4 or mode < 1 or mode > 5 or block[at + 1] > 16 or block[at + 2] > 17:
        return False
    is_precise = block[at + 3] == 0 or block[at + 3] >= 0xE0 or mode == 3  # seconds as a power of two
    delay, dispersion = be32(block, at + 4), be32(block, at + 8)
    return bool(is_precise and delay < 1 << 20 and dispersion < 1 << 24 and be32(block, at + 40) != 0)


@part
def is_snmp(block: Bytes, at: int, end: int) -> bool:
    """A message of version 1 or 2c: a sequence of all of it, the version, the community as text (RFC 1157 4, RFC 3584 3)."""
    if end - at < 12 or block[at] != SEQUENCE:
        return False
    octets = np.int64(block[at + 1])
    head = np.int64(2)
    length = octets
    if octets > 0x80:
        if octets > 0x83:
            return False
        length = np.int64(0)
        for k in range(octets - 0x80):
            length = length << 8 | np.int64(block[at + 2 + k])
        head += octets - 0x80
    at += head
    if end - at != length or block[at] != 2 or block[at + 1] != 1 or block[at + 2] > 1 or block[at + 3] != 4:
        return False
    pdu = at + 5 + np.int64(block[at + 4])
    return bool(pdu < end and block[pdu] >= 0xA0 and block[pdu] <= 0xA8)


@part
def is_syslog(block: Bytes, at: int, end: int) -> bool:
    """A priority of up to three digits between angle brackets, and text behind it (RFC 5424 6.2, RFC 3164 4.1)."""
    if end - at < 6 or block[at] != LESS:
        return False
    number = np.int64(0)
    for k in range(1, 5):
        byte = block[at + k]
        if byte == GREATER:
            return bool(k > 1 and number <= MOST_PRIORITY and 32 <= block[at + k + 1] <= 126)
        if byte < 48 or byte > 57:
            return False
        number = 10 * number + byte - 48
    return False


@part
def is_tftp(block: Bytes, at: int, end: int) -> bool:
    """A request to read or write: a file's name and a mode as texts that end in zeros (RFC 1350 5)."""
    if end - at < 10 or be16(block, at) < 1 or be16(block, at) > 2:
        return False
    at += 2
    begin = at
    while at < end and block[at] >= 32 and block[at] <= 126:
        at += 1
    if at == begin or at - begin > LONGEST_NAME or at >= end or block[at] != 0:
        return False
    for word in _MODES:
        if at + 1 + len(word) <= end and same_word(block, at + 1, word):
            return True
    return False


@part
def datagram_service(block: Bytes, at: int, end: int) -> int:
    """The service that a datagram is of; UNKNOWN for others."""
    if is_dhcp(block, at, end):
        return DHCP
    if is_snmp(block, at, end):
        return SNMP
    if is_syslog(block, at, end):
        return SYSLOG
    if is_tftp(block, at, end):
        return TFTP
    if stands_at(block, np.int64(at), end, _SEARCH) or stands_at(block, np.int64(at), end, _NOTIFY):
        return SSDP
    if is_kerberos(block, np.int64(at), end):
        return KERBEROS
    if is_ntp(block, at, end):
        return NTP
    if end > at and block[at] >= 65 and block[at] <= 90:
        spoken = by_version(block[at:end], end - at)
        return SIP if spoken == SIP else UNKNOWN
    return UNKNOWN
