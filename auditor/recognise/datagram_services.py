"""Services whose datagrams are known by their form: how hosts get an address and the time, are managed, and call each other."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32
from auditor.flows.dns import skip_name
from auditor.machine.kernel import part
from auditor.recognise.commands import ber_length
from auditor.recognise.numbers import (
    BFD,
    DHCP,
    DNS,
    KERBEROS,
    LDAP,
    NTP,
    SIP,
    SNMP,
    SNMP_SEALED,
    SSDP,
    SYSLOG,
    TFTP,
    UNKNOWN,
)
from auditor.recognise.services import by_version, is_kerberos, is_syslog
from auditor.recognise.words import same_word, stands_at

DHCP_COOKIE, COOKIE_AT = 0x63825363, 236  # RFC 2131 3
NTP_SIZES = (48, 52, 68, 72)  # without and with a message authentication code (RFC 5905 7.3)
SEQUENCE = 0x30
INTEGER, OCTETS, REPORT, PRIVACY, SHORTEST_SNMP_3 = 2, 4, 0xA8, 2, 40  # SNMPv3 (RFC 3412 6, RFC 3416 3)
LONGEST_NAME = 255
MOST_DHCP_6, MOST_OPTION_6 = 36, 147  # message types and options that IANA has given out
SHORTEST_DNS, MOST_RECORDS = 18, 255
MOST_MISSED, LONGEST_INTERVAL = 100, 60_000_000  # of BFD: packets that may be missed, microseconds between two
_SEARCH, _NOTIFY = (np.frombuffer(text, np.uint8) for text in (b"M-SEARCH * HTTP/1.1", b"NOTIFY * HTTP/1.1"))
_MODES = tuple(np.frombuffer(word, np.uint8) for word in (b"octet\0", b"netascii\0"))
_SIZES = np.array(NTP_SIZES, np.int64)


@part
def is_dhcp(block: Bytes, at: int, end: int) -> bool:
    """A request or a reply, and the cookie before the options."""
    return end - at > COOKIE_AT + 4 and 1 <= block[at] <= 2 and be32(block, at + COOKIE_AT) == DHCP_COOKIE


@part
def is_dhcp_6(block: Bytes, at: int, end: int) -> bool:
    """A message of DHCPv6 (RFC 8415 8, 21.1): its type, and options that fill it to its end."""
    if end - at < 8 or block[at] < 1 or block[at] > MOST_DHCP_6:
        return False
    at += 34 if block[at] == 12 or block[at] == 13 else 4  # of a relay with two addresses (RFC 8415 9)
    while at + 4 <= end and 1 <= be16(block, at) <= MOST_OPTION_6:
        at += 4 + be16(block, at + 2)
    return bool(at == end)


@part
def is_other_dns(block: Bytes, at: int, end: int) -> bool:
    """DNS that is no question to a resolver: multicast (RFC 6762), NetBIOS names (RFC 1002), updates (RFC 2136)."""
    if end - at < SHORTEST_DNS or block[at + 3] & 0x40 != 0:
        return False
    operation, questions = block[at + 2] >> 3 & 15, be16(block, at + 4)
    records = questions + be16(block, at + 6) + be16(block, at + 8) + be16(block, at + 10)
    if (
        (operation != 0 and operation != 4 and operation != 5 and operation != 6)
        or records < 1
        or records > MOST_RECORDS
    ):
        return False
    after = skip_name(block, at + 12, end)
    if after < 0 or after + 4 > end or after == at + 13:
        return False
    kind, scope = be16(block, after), be16(block, after + 2) & 0x7FFF
    return bool(0 < kind < 256 and (scope == 1 or scope == 255))


@part
def is_bfd(block: Bytes, at: int, end: int) -> bool:
    """A control packet of version 1 (RFC 5880 4.1): its length, a multiplier, its sender's discriminator, intervals."""
    size = end - at
    if size < 24 or block[at] >> 5 != 1 or block[at] & 31 > 8 or block[at + 2] == 0 or block[at + 3] != size:
        return False
    has_key = block[at + 1] & 4 != 0
    if (size == 24) == has_key or be32(block, at + 4) == 0 or block[at + 1] & 1 != 0 or block[at + 2] > MOST_MISSED:
        return False
    return bool(0 < be32(block, at + 12) <= LONGEST_INTERVAL and be32(block, at + 16) <= LONGEST_INTERVAL)


@part
def is_ldap_datagram(block: Bytes, at: int, end: int) -> bool:
    """A search or its result without a connection (MS-ADTS 6.3.3): one message, its number, the operation."""
    if end - at < 12 or block[at] != SEQUENCE:
        return False
    begin, stop = ber_length(block, at + 1, end)
    if begin == 0 or begin + 4 > stop or stop != end or block[begin] != 2 or block[begin + 1] > 4:
        return False
    operation = begin + 2 + np.int64(block[begin + 1])
    return bool(operation < stop and block[operation] >= 0x63 and block[operation] <= 0x65)


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
    """A message of version 1 or 2c in clear: a sequence of all of it, the version, the community as text (RFC 1157 4, RFC 3584 3)."""
    if end - at < 12 or block[at] != SEQUENCE:
        return False
    at, stop = ber_length(block, at + 1, end)
    if (
        at == 0
        or stop != end
        or at + 6 > end
        or block[at] != 2
        or block[at + 1] != 1
        or block[at + 2] > 1
        or block[at + 3] != 4
    ):
        return False
    pdu = at + 5 + np.int64(block[at + 4])
    return bool(pdu < end and block[pdu] >= 0xA0 and block[pdu] <= 0xA8)


@part
def next_field(block: Bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Where the contents of a field in BER begin and end, if it has that tag and ends in time; (0, 0) for others."""
    if at >= end or block[at] != tag:
        return np.int64(0), np.int64(0)
    begin, stop = ber_length(block, at + 1, end)
    return (begin, stop) if begin > 0 and stop <= end else (np.int64(0), np.int64(0))


@part
def says_nothing(block: Bytes, begin: int, end: int, security: int, security_end: int) -> bool:
    """Whether a message of SNMPv3 in clear only looks for the engine: a report, or one without a user (RFC 3414 2.4, 4)."""
    for tag in (OCTETS, OCTETS):  # the context's engine and name
        _, begin = next_field(block, begin, end, tag)
    if begin == 0 or begin >= end or block[begin] == REPORT:
        return True
    at, stop = next_field(block, security, security_end, SEQUENCE)
    for tag in (OCTETS, INTEGER, INTEGER):  # the engine, how often and since when it runs
        _, at = next_field(block, at, stop, tag)
    user, after = next_field(block, at, stop, OCTETS)
    return bool(user == after)


@part
def snmp_3(block: Bytes, at: int, end: int) -> int:
    """SNMPv3 in clear or with privacy (RFC 3412 6, 6.4); UNKNOWN for others, and for what is said before either."""
    at, stop = next_field(block, at, end, SEQUENCE)
    version, version_end = next_field(block, at, stop, INTEGER)
    if stop != end or version_end != version + 1 or block[version] != 3:
        return np.int64(UNKNOWN)
    at, head_end = next_field(block, version_end, stop, SEQUENCE)
    for tag in (INTEGER, INTEGER):  # the message's number, the longest that its sender takes
        _, at = next_field(block, at, head_end, tag)
    flags, flags_end = next_field(block, at, head_end, OCTETS)
    security, security_end = next_field(block, head_end, stop, OCTETS)
    if flags == 0 or flags_end != flags + 1 or security == 0:
        return np.int64(UNKNOWN)
    if block[flags] & PRIVACY != 0:
        sealed, _ = next_field(block, security_end, stop, OCTETS)
        return np.int64(SNMP_SEALED if sealed > 0 else UNKNOWN)
    begin, scope_end = next_field(block, security_end, stop, SEQUENCE)
    is_empty = begin == 0 or says_nothing(block, begin, scope_end, security, security_end)
    return np.int64(UNKNOWN if is_empty else SNMP)


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
def finds_hosts(block: Bytes, at: int, end: int) -> int:
    """How hosts get addresses and the time, find each other and see that they are there; UNKNOWN for others."""
    if is_dhcp(block, at, end) or is_dhcp_6(block, at, end):
        return DHCP
    if stands_at(block, np.int64(at), end, _SEARCH) or stands_at(block, np.int64(at), end, _NOTIFY):
        return SSDP
    if is_ntp(block, at, end):
        return NTP
    if is_bfd(block, at, end):
        return BFD
    return DNS if is_other_dns(block, at, end) else UNKNOWN


@part
def datagram_service(block: Bytes, at: int, end: int) -> int:
    """The service that a datagram is of; UNKNOWN for others."""
    if is_snmp(block, at, end):
        return SNMP
    if end - at > SHORTEST_SNMP_3 and block[at] == SEQUENCE:
        application = snmp_3(block, np.int64(at), np.int64(end))
        if application != UNKNOWN:
            return application
    if is_ldap_datagram(block, at, end):
        return LDAP
    if is_syslog(block, at, end):
        return SYSLOG
    if is_tftp(block, at, end):
        return TFTP
    if is_kerberos(block, np.int64(at), end):
        return KERBEROS
    if end > at and block[at] >= 65 and block[at] <= 90 and by_version(block[at:end], end - at) == SIP:
        return SIP
    return finds_hosts(block, at, end)
