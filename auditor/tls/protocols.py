"""What a stream or a datagram is, told by its first bytes and never by a port."""

from typing import Any

import numpy as np

from auditor.decode.bytes import be16, be24, be32
from auditor.flows.dns import DNS, dns_answers, is_dns
from auditor.flows.intern import intern
from auditor.flows.state import FREE_DATAGRAM, UNKNOWN_SIDE, UPGRADE_ASKED, UPGRADE_OFFERED, UPGRADE_REFUSED
from auditor.flows.stream import peek, read, release, skip_ahead
from auditor.kernel import inlined, part
from auditor.tls.records import (
    DTLS,
    NOT_TLS,
    QUIC,
    SSL2_CLIENT,
    SSL2_SERVER,
    TLS,
    TLS_MIDDLE,
    TLS_RECORDS,
    UNKNOWN,
    WAIT,
    follow_records,
    how_it_begins,
    ssl2_hello,
)

HTTP, SSH, SMTP, IMAP, POP3, FTP = range(2, 8)
HTTP2, STUN, OTHER = range(11, 14)  # 8 is DNS, 9 and 10 are QUIC and DTLS
ESP, IKE, WIREGUARD, OPENVPN = range(14, 18)
XMPP, IRC, NNTP, SIEVE, LDAP, POSTGRESQL, MYSQL, RDP, SOCKS, PROXY = range(18, 28)
PROTOCOL_NAMES = {
    TLS: "tls",
    HTTP: "http",
    SSH: "ssh",
    SMTP: "smtp",
    IMAP: "imap",
    POP3: "pop3",
    FTP: "ftp",
    DNS: "dns",
    QUIC: "quic",
    DTLS: "dtls",
    HTTP2: "http2",
    STUN: "stun",
    ESP: "esp",
    IKE: "ike",
    WIREGUARD: "wireguard",
    OPENVPN: "openvpn",
    XMPP: "xmpp",
    IRC: "irc",
    NNTP: "nntp",
    SIEVE: "sieve",
    LDAP: "ldap",
    POSTGRESQL: "postgresql",
    MYSQL: "mysql",
    RDP: "rdp",
    SOCKS: "socks",
    PROXY: "proxy",
}

MOST_DATAGRAMS, MOST_KEPT_BYTES = 48, 65536  # of one flow
HEAD = 512  # bytes of a stream that text protocols are told from
UPGRADE_WITHIN = 32768  # bytes of a side after which no upgrade to TLS is looked for
HOST_WITHIN = 8192  # bytes of a request in which its Host is looked for
NEWLINE, SPACE, COLON, POSTGRES_YES, HANDSHAKE = 10, 32, 58, 83, 22


# What streams begin with: (first bytes, protocol). Methods of HTTP/1 requests come first (RFC 9112 3).
METHODS = (
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PROPFIND ",
)
OPENINGS = [(method, HTTP) for method in METHODS] + [
    (b"HTTP/1.", HTTP),
    (b"PRI * HTTP/2.0", HTTP2),
    (b"SSH-", SSH),
    (b"EHLO ", SMTP),
    (b"HELO ", SMTP),
    (b"* OK", IMAP),
    (b"* PREAUTH", IMAP),
    (b"+OK", POP3),
    (b"<?xml", XMPP),
    (b"<stream:stream", XMPP),
    (b"NICK ", IRC),
    (b"STARTTLS", IRC),
    (b"CAP LS", IRC),
    (b"PASS ", IRC),
    (b"200 ", NNTP),
    (b"201 ", NNTP),
    (b'"IMPLEMENTATION"', SIEVE),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", POSTGRESQL),  # SSLRequest
    (b"PROXY TCP", PROXY),
    (b"\r\n\r\n\0\r\nQUIT\n", PROXY),  # version 2
    (b"220", SMTP),  # or FTP: the line tells
]
LONGEST_OPENING = max(len(text) for text, _ in OPENINGS)
_TEXT = np.zeros((len(OPENINGS), LONGEST_OPENING), np.uint8)
_LENGTH = np.array([len(text) for text, _ in OPENINGS], np.int64)
_PROTOCOL = np.array([protocol for _, protocol in OPENINGS], np.int64)
for _row, (_opening, _) in enumerate(OPENINGS):
    _TEXT[_row, : len(_opening)] = np.frombuffer(_opening, np.uint8)
_HOST = np.frombuffer(b"host:", np.uint8)
# Words by which TLS is offered or asked for: STARTTLS, POP3's STLS, FTP's AUTH TLS (RFC 3207, 2595, 4217).
_STARTTLS, _STLS = np.frombuffer(b"starttls", np.uint8), np.frombuffer(b"stls", np.uint8)
_ADAT = np.frombuffer(b"adat", np.uint8)
_AUTH_TLS, _AUTH_SSL = np.frombuffer(b"auth tls", np.uint8), np.frombuffer(b"auth ssl", np.uint8)
LAST_METHOD, GREETING = len(METHODS), len(OPENINGS) - 1
CONNECT_ROW, RESPONSE_ROW = METHODS.index(b"CONNECT "), len(METHODS)


@part
def opening(data: Any, size: int) -> int:
    """Which of ``OPENINGS`` a stream of ``size`` bytes begins with; -1 for none."""
    for row in range(_LENGTH.size):
        if size >= _LENGTH[row]:
            same = True
            for k in range(_LENGTH[row]):
                if data[k] != _TEXT[row, k]:
                    same = False
                    break
            if same:
                return row
    return -1


@part
def greeting(data: Any, size: int) -> int:
    """A first line with code 220 is SMTP's if it says SMTP, FTP's if it says FTP (both end in TP)."""
    for at in range(size - 2):
        if data[at] == NEWLINE:
            break
        if data[at + 1] | 32 == 116 and data[at + 2] | 32 == 112:
            if data[at] | 32 == 109:
                return SMTP
            if data[at] | 32 == 102:
                return FTP
    return UNKNOWN


@part
def same_word(data: Any, at: int, word: Any) -> bool:
    """Whether ``word`` (lower case) stands at ``at``, in any case."""
    for k in range(len(word)):
        byte = int(data[at + k])
        if 65 <= byte <= 90:
            byte += 32
        if byte != word[k]:
            return False
    return True


@part
def speaks_of_tls(data: Any, size: int) -> bool:
    """Whether a text names an upgrade to TLS."""
    for at in range(size - 3):
        first = int(data[at]) | 32
        if first == 115:
            if at + 8 <= size and same_word(data, at, _STARTTLS):
                return True
            if same_word(data, at, _STLS):
                return True
        elif first == 97 and at + 8 <= size:
            if same_word(data, at, _AUTH_TLS) or same_word(data, at, _AUTH_SSL):
                return True
    return False


@part
def binary_opening(data: Any, size: int) -> int:
    """Protocols that begin with numbers: LDAP, MySQL, RDP, SOCKS. UNKNOWN for others."""
    if size < 3:
        return UNKNOWN
    if size >= 8 and data[0] == 0x30 and data[1] < 0x80 and data[2] == 2 and data[3] <= 4:
        return LDAP  # LDAPMessage with a message id of up to four bytes (RFC 4511 4.1.1)
    if size >= 8 and data[0] == 0x30 and data[1] == 0x84 and data[6] == 2:
        return LDAP  # Microsoft's length of four bytes
    if size >= 12 and data[3] == 0 and data[4] == 10 and data[5] >= 48 and data[5] <= 57:
        return MYSQL  # greeting: length, sequence 0, protocol 10, version as text
    if size >= 11 and data[0] == 3 and data[1] == 0 and be16(data, 2) == size and data[5] & 0xF0 >= 0xD0:
        return RDP  # TPKT with an X.224 connection request or confirm
    if data[0] == 5 and size == 2 + np.int64(data[1]) and data[1] <= 8:
        return SOCKS  # RFC 1928 3: methods
    if size >= 9 and data[0] == 4 and data[1] == 1 and data[size - 1] == 0:
        return SOCKS  # version 4
    return UNKNOWN


@part
def proxy_header(data: Any, size: int) -> int:
    """Length of a PROXY protocol header (versions 1 and 2); 0 while it is not whole, -1 if it is none."""
    if data[0] == 80:
        for at in range(min(size - 1, 107)):
            if data[at] == 13 and data[at + 1] == NEWLINE:
                return at + 2
        return 0 if size < 107 else -1
    if size < 16:
        return 0
    return 16 + be16(data, 14)


@part
def find_host(m: Any, flow: Any, size: int) -> bool:
    """Intern the Host of the request in ``scratch``. False: its headers do not end in these bytes."""
    data = m.scratch
    word = _HOST
    at = 0
    while at < size:
        end = at
        while end < size and data[end] != NEWLINE:
            end += 1
        if end >= size:
            return False
        if end - at <= 1:
            return True  # the empty line after the headers
        if end - at > len(word) and same_word(data, at, word):
            begin = at + len(word)
            while begin < end and data[begin] <= SPACE:
                begin += 1
            stop = end
            while stop > begin and data[stop - 1] <= SPACE:
                stop -= 1
            for k in range(begin, stop):  # a port does not belong to the name; in [::1]:80 the last colon counts
                if data[k] == COLON and data[begin] != 91:
                    stop = k
                    break
            if 0 < stop - begin <= 255:
                flow.host = intern(m.arena, m.entries, m.intern_buckets, data, begin, stop)
            return True
        at = end + 1
    return False


@part
def another_protocol(m: Any, flow: Any, side: Any, stream: Any, k: int, packet: Any) -> bool:
    """A stream that does not begin with TLS: name its protocol, keep an HTTP request's Host. True: look again.

    Many protocols go over to TLS later (STARTTLS, CONNECT, SOCKS, database log-ins). Whichever it is, its ClientHello
    begins a segment, so the bytes so far are skipped, and the next ones looked at in the same way.
    """
    have = np.int64(stream.have) - np.int64(stream.start)
    size = min(have, HEAD)
    read(m, stream, np.int64(stream.start), size, np.int64(0))
    row = opening(m.scratch, size)
    kind = UNKNOWN
    if row >= 0:
        kind = greeting(m.scratch, size) if row == GREETING else _PROTOCOL[row]
    if kind == PROXY:
        length = proxy_header(m.scratch, size)
        if 0 < length <= int(have):  # what follows begins right behind it
            stream.start = np.int64(stream.start) + length
            stream.skipped += length
            flow.application = PROXY
            return True
        if length >= 0:
            return False
    if kind == UNKNOWN:
        kind = binary_opening(m.scratch, size)
    if flow.application != HTTP and flow.application != SSH and size >= 4 and speaks_of_tls(m.scratch, size):
        flow.upgrade |= UPGRADE_ASKED if k == flow.client else UPGRADE_OFFERED
    if flow.application == POSTGRESQL and size == 1 and m.scratch[0] == 78:
        flow.upgrade |= UPGRADE_REFUSED
    if kind == POSTGRESQL:
        flow.upgrade |= UPGRADE_ASKED
    if kind == UNKNOWN and flow.application == UNKNOWN and have < 24 and peek(m, stream, np.int64(stream.start)) != 0:
        for index in range(have):  # a line that is still being typed
            byte = peek(m, stream, np.int64(stream.start) + index)
            if byte == NEWLINE or byte < 9 or byte > 126:
                break
        else:
            return False
    if flow.application == UNKNOWN or flow.application == OTHER:
        flow.application = kind
    if 0 <= row < LAST_METHOD:
        if flow.client == UNKNOWN_SIDE:
            flow.client = k
        size = min(have, HOST_WITHIN)
        read(m, stream, np.int64(stream.start), size, np.int64(0))
        if not find_host(m, flow, size) and have < HOST_WITHIN:
            return False
    if flow.application == FTP and flow.datagrams < MOST_DATAGRAMS:
        begins = size >= 9 and (same_word(m.scratch, np.int64(0), _ADAT) or same_word(m.scratch, np.int64(4), _ADAT))
        if begins or flow.datagram >= 0:  # RFC 2228: what goes on in base64 is put together in Python
            size = min(have, UPGRADE_WITHIN)
            read(m, stream, np.int64(stream.start), size, np.int64(0))
            keep_datagram(m, flow, np.int64(k), m.scratch, np.int64(0), size, packet)
    over = kind == SSH or kind == HTTP2 or (kind == HTTP and row != CONNECT_ROW and row != RESPONSE_ROW)
    if flow.application == UNKNOWN:
        flow.application = OTHER
    skip_ahead(stream)
    if over or stream.skipped > UPGRADE_WITHIN:
        release(m, side, stream)
    return False


@part
def tcp_bytes(m: Any, flow: Any, side: Any, stream: Any, h: Any, k: int, packet: Any) -> bool:
    """One side's stream has more bytes in order: see what they are. True: a handshake message is whole."""
    if stream.recognised == 0:
        start = np.int64(stream.start)
        if (
            stream.have - start >= 2
            and peek(m, stream, start) == POSTGRES_YES
            and peek(m, stream, start + 1) == HANDSHAKE
        ):
            stream.start = start + 1  # PostgreSQL's server says yes to TLS with one byte, and TLS follows
            stream.skipped += 1
        kind = how_it_begins(m, stream)
        if kind == WAIT:
            return False
        if kind == NOT_TLS or (stream.skipped > 0 and kind != TLS_RECORDS):
            if not another_protocol(m, flow, side, stream, k, packet) or stream.have <= stream.start:
                return False
            kind = how_it_begins(m, stream)  # behind a PROXY header
            if kind != TLS_RECORDS:
                return False
        if kind == TLS_MIDDLE:
            if flow.application == UNKNOWN:
                flow.application = TLS
            release(m, side, stream)
            return False
        stream.recognised = 1
        stream.record_at = stream.start
        if kind == SSL2_CLIENT or kind == SSL2_SERVER:
            ssl2_hello(m, flow, stream, h, k, packet, kind)
            if kind == SSL2_SERVER:
                release(m, side, stream)
                return False
    return follow_records(m, flow, side, stream, h, k, packet)


@part
def is_quic(block: Any, at: int, end: int) -> bool:
    """A QUIC long header (RFC 8999 5.1) of a version in use: 1, 2, the drafts, Google's Q0xx and T05x."""
    if end - at < 14 or block[at] & 0x80 == 0:
        return False
    version = be32(block, at + 1)
    known = (
        version == 1
        or version == 0x6B3343CF
        or version >> 8 == 0xFF0000
        or (version >> 24 == 0x51 and version >> 16 & 0xFF == 0x30)
        or (version >> 24 == 0x54 and version >> 16 & 0xFF == 0x30)
        or version >> 12 == 0xFACEB
    )
    return known and block[at + 5] <= 20


@part
def is_dtls(block: Any, at: int, end: int) -> bool:
    """A plain DTLS record (RFC 6347 4.1, RFC 9147 4): its version, epoch 0, and a length that fits."""
    if end - at < 14:
        return False
    kind, version, length = block[at], be16(block, at + 1), be16(block, at + 11)
    return (
        (kind == 22 or kind == 20 or kind == 21)
        and (version == 0xFEFF or version == 0xFEFD or version == 0x0100)
        and be16(block, at + 3) == 0
        and 0 < length <= end - at - 13
    )


@part
def vpn(block: Any, at: int, end: int) -> int:
    """Whether a datagram opens an encrypted tunnel, by the fixed forms of its first messages; UNKNOWN if not."""
    size = end - at
    first = int(block[at])
    if size >= 32 and first >= 1 and first <= 4 and be24(block, at + 1) == 0:
        # WireGuard: type, three zero bytes; initiation, response and cookie reply have fixed lengths.
        wanted = 148 if first == 1 else 92 if first == 2 else 64 if first == 3 else size
        if size == wanted and (first < 4 or size % 16 == 0):
            return WIREGUARD
    if size >= 32 and be32(block, at) == 0:
        at += 4  # IKE behind the non-ESP marker (RFC 3948 2.2)
        size -= 4
    if size >= 28 and (block[at + 17] == 0x20 or block[at + 17] == 0x10) and be32(block, at + 24) == size:
        exchange = int(block[at + 18])  # RFC 7296 3.1, RFC 2408 3.1
        if (exchange >= 34 and exchange <= 43) or (exchange >= 2 and exchange <= 6) or exchange == 32:
            return IKE
    if size == 14 and first == 0x38 and be32(block, end - 4) == 0 and block[end - 5] == 0:
        return OPENVPN  # a hard reset: no acknowledgements, packet 0
    return UNKNOWN


@inlined
def is_looked_at(flow: Any, side: Any) -> bool:
    """Whether a datagram is: what was not told from eight datagrams of a side will not be told from more."""
    application = flow.application
    if application == UNKNOWN:
        return side.packets <= 8
    if application == QUIC or application == DTLS:
        return flow.datagrams < MOST_DATAGRAMS
    return application == DNS or (application == STUN and side.packets <= 256)


@part
def keep_datagram(m: Any, flow: Any, k: int, block: Any, begin: int, size: int, packet: Any) -> None:
    """Keep the first ``size`` bytes of a datagram until its flow ends; there is room for one in every packet."""
    if flow.kept + size > MOST_KEPT_BYTES:
        return
    flow.kept += size
    c = m.counters
    at = c[FREE_DATAGRAM]
    datagram = m.datagrams[at]
    c[FREE_DATAGRAM] = datagram.next
    datagram.next = flow.datagram
    flow.datagram = at
    flow.datagrams += 1
    datagram.frame = packet.frame
    datagram.time = packet.time
    datagram.side = k
    datagram.bytes = intern(m.arena, m.entries, m.intern_buckets, block, begin, begin + size)


@part
def handshake_datagram(m: Any, flow: Any, side: Any, k: int, block: Any, begin: int, end: int, packet: Any) -> None:
    """Keep what a QUIC or DTLS handshake can be put together from; of what is encrypted only that it was there."""
    first = int(block[begin])
    if flow.application == QUIC:
        if first & 0x80 == 0:
            side.protected = 1
        elif end - begin > 7:
            version, kind = be32(block, begin + 1), first >> 4 & 3
            second = version == 0x6B3343CF  # version 2 counts its packet types from 1 (RFC 9369 3.2)
            initial, retry = (1, 0) if second else (0, 3)
            if version == 0 or kind == initial or kind == retry:
                keep_datagram(m, flow, k, block, begin, end - begin, packet)
        return
    plain = first >= 20 and first <= 26 and first != 23
    if plain or side.protected == 0:
        keep_datagram(m, flow, k, block, begin, end - begin if plain else min(end - begin, 16), packet)
    if not plain:
        side.protected = 1


@part
def udp_payload(m: Any, answers: Any, flow: Any, side: Any, k: int, block: Any, packet: Any) -> None:
    """Name the protocol of a datagram, and keep what a DNS response says."""
    begin = int(packet.payload)
    end = begin + int(packet.payload_captured)
    if flow.application == UNKNOWN:
        if is_dns(block, begin, end):
            flow.application = DNS
            response = block[begin + 2] & 0x80 != 0
            if flow.client == UNKNOWN_SIDE:
                flow.client = 1 - k if response else k
        elif is_quic(block, begin, end):
            flow.application = QUIC
        elif is_dtls(block, begin, end):
            flow.application = DTLS
        elif end - begin >= 20 and block[begin] < 4 and be32(block, begin + 4) == 0x2112A442:
            flow.application = STUN
        elif end - begin >= 14:
            flow.application = vpn(block, begin, end)
    elif flow.application == STUN and is_dtls(block, begin, end):
        flow.application = DTLS  # RFC 7983: STUN and DTLS share the ports of a WebRTC session
    if flow.application == QUIC or flow.application == DTLS:
        handshake_datagram(m, flow, side, k, block, begin, end, packet)
    elif flow.application == DNS and end - begin > 12 and is_dns(block, begin, end):
        dns_answers(m, answers, block, packet)
