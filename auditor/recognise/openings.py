"""How the streams of each application begin.

A new application that begins with fixed bytes is a row of ``OPENINGS``; one that begins with numbers is a function and
a line in ``application_of``. What is peculiar to one (a header to be skipped, an answer of one byte) is in ``streams``.
"""

from typing import NamedTuple

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.machine.kernel import part
from auditor.recognise.carriers import is_openvpn_over_tcp, is_stun_over_tcp, is_tds
from auditor.recognise.mysql import is_mysql, may_be_mysql
from auditor.recognise.numbers import (
    FIX,
    FTP,
    HTTP,
    HTTP2,
    IKE,
    IMAP,
    IRC,
    LDAP,
    MYSQL,
    NATS,
    NBD,
    NNTP,
    OPENVPN,
    POP3,
    POSTGRESQL,
    PROXY,
    RDP,
    REDIS,
    SIEVE,
    SMTP,
    SOCKS,
    SSH,
    STOMP,
    STUN,
    SYSLOG,
    TDS,
    UNKNOWN,
    VNC,
    XMPP,
)
from auditor.recognise.services import by_version, is_syslog_over_tcp, message_of
from auditor.recognise.words import matrix, same_word, which_stands_at
from auditor.tls.wrappers import COOKIE, PRELOGIN

NEWLINE, COLON = 10, 58
SEQUENCE = 0x30  # an LDAPMessage (RFC 4511 4.1.1)
AWS_TLV, ENDPOINT_ID = 0xEA, 1  # of a PROXY header
PROXY_2 = np.frombuffer(b"\r\n\r\n\0\r\nQUIT\n", np.uint8)


class Opening(NamedTuple):
    """The first bytes of a stream, and which application begins so."""

    text: bytes
    application: int
    is_request: bool = False  # of HTTP/1: its Host names the server
    is_last: bool = False  # no TLS follows: the rest of the stream is not looked at
    asks_for_tls: bool = False
    is_later: bool = False  # no session begins so: what came before is not there


# Methods of HTTP/1 requests (RFC 9112 3). Behind CONNECT another protocol follows, which may be TLS (RFC 9110 9.3.6).
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PROPFIND")
# Of FTP alone, behind a log-in that POP3 has as well (RFC 959 4.1, RFC 2389, RFC 2428, RFC 3659).
FTP_COMMANDS = (
    b"SYST\r\n",
    b"FEAT\r\n",
    b"PWD\r\n",
    b"CWD ",
    b"TYPE ",
    b"PASV\r\n",
    b"EPSV",
    b"PORT ",
    b"EPRT ",
    b"NLST",
    b"MLSD",
    b"STOR ",
)
# Of Redis, typed as words (its inline commands), and replies to them.
INLINE = (
    b"PING\r\n",
    b"INFO\r\n",
    b"SET ",
    b"PUBLISH ",
    b"SUBSCRIBE ",
    b"MONITOR\r\n",
    b"+PONG\r\n",
    b"-NOAUTH ",
    b"-WRONGPASS ",
)
OPENINGS = (
    *(Opening(method + b" ", HTTP, is_request=True, is_last=method != b"CONNECT") for method in METHODS),
    Opening(b"SUBSCRIBE /", HTTP, is_request=True, is_last=True),  # of UPnP; Redis has the word too, before a channel
    Opening(b"HTTP/1.", HTTP),
    Opening(b"PRI * HTTP/2.0", HTTP2, is_last=True),  # RFC 9113 3.4
    Opening(b"SSH-", SSH, is_last=True),  # RFC 4253 4.2
    Opening(b"EHLO ", SMTP),  # RFC 5321 4.1.1.1
    Opening(b"HELO ", SMTP),
    Opening(b"ehlo ", SMTP),
    Opening(b"helo ", SMTP),
    Opening(b"LHLO ", SMTP),  # RFC 2033 4.1
    Opening(b"AUTH TLS", FTP, is_later=True),  # RFC 4217 4
    Opening(b"AUTH SSL", FTP, is_later=True),
    Opening(b"230 ", FTP),  # RFC 959 4.2: the answers to USER, where the greeting left open whose it was
    Opening(b"331 ", FTP),
    *(Opening(command, FTP, is_later=True) for command in FTP_COMMANDS),
    Opening(b"* OK", IMAP),  # RFC 9051 7.1
    Opening(b"* PREAUTH", IMAP),
    Opening(b"+OK", POP3),  # RFC 1939 4
    Opening(b"STLS\r\n", POP3, is_later=True),  # RFC 2595 4
    Opening(b"<?xml", XMPP),  # RFC 6120 4.2
    Opening(b"<stream:stream", XMPP),
    Opening(b"<starttls", XMPP, is_later=True),
    Opening(b"NICK ", IRC),  # RFC 1459 4.1
    Opening(b"CAP LS", IRC),
    Opening(b"PASS ", IRC),  # or FTP or POP3: what follows decides, see ``password``
    Opening(b"200 ", NNTP),  # RFC 3977 5.1.1
    Opening(b"201 ", NNTP),
    Opening(b'"IMPLEMENTATION"', SIEVE),  # RFC 5804 1.7
    Opening(b"\0\0\0\x08\x04\xd2\x16\x2f", POSTGRESQL, asks_for_tls=True),  # SSLRequest
    Opening(b"\0\0\0\x08\x04\xd2\x16\x30", POSTGRESQL),  # GSSENCRequest, which an SSLRequest follows if it is refused
    *(
        Opening(b"*%d\r\n$" % words, REDIS, is_last=True) for words in range(1, 10)
    ),  # RESP: a command is an array of strings
    *(Opening(text, REDIS, is_last=True) for text in INLINE),
    *(
        Opening(word, STOMP, is_last=True)
        for word in (b"CONNECT\n", b"CONNECT\r\n", b"STOMP\n", b"STOMP\r\n", b"CONNECTED\n")
    ),
    Opening(b"8=FIX", FIX, is_last=True),
    Opening(b"NBDMAGICIHAVEOPT", NBD),  # network block devices: TLS follows an option of the client's
    Opening(b"INFO {", NATS),  # whose client may begin TLS where the server asks for it
    Opening(b"RFB 00", VNC),  # RFC 6143 7.1.1; TLS follows in VeNCrypt
    Opening(b"PROXY TCP", PROXY),
    Opening(b"PROXY UNKNOWN", PROXY),
    Opening(PROXY_2.tobytes(), PROXY),
    Opening(b"IKETCP", IKE, is_last=True),  # RFC 9329 4: in front of IKE and ESP
    Opening(b"220", SMTP),  # or FTP: the line decides, see ``greeting``
)
GREETING, PASSWORD, CONNECT = ([one.text for one in OPENINGS].index(text) for text in (b"220", b"PASS ", b"CONNECT "))
# Words by which TLS is offered or asked for: RFC 3207 4 and others, POP3's of RFC 2595 4, FTP's of RFC 4217 4.
UPGRADE_WORDS = (b"starttls", b"stls", b"auth tls", b"auth ssl")
_UPGRADE = np.frombuffer(b"upgrade: tls", np.uint8)


_TEXTS, _LENGTHS = matrix(tuple(one.text for one in OPENINGS))
_WORDS, _WORD_LENGTHS = matrix(UPGRADE_WORDS)
_BEGINS_WORD = np.zeros(256, np.bool_)
_BEGINS_WORD[_WORDS[:, 0]] = True
_BEGINS_WORD[_WORDS[:, 0] - 32] = True  # capitals
APPLICATION = np.array([one.application for one in OPENINGS], np.int64)
IS_REQUEST = np.array([one.is_request for one in OPENINGS], np.bool_)
IS_LAST = np.array([one.is_last for one in OPENINGS], np.bool_)
IS_LATER = np.array([one.is_later for one in OPENINGS], np.bool_)
ASKS_FOR_TLS = np.array([one.asks_for_tls for one in OPENINGS], np.bool_)


@part
def opening(data: Bytes, size: int) -> int:
    """Which of ``OPENINGS`` a stream of ``size`` bytes begins with; -1 for none."""
    return which_stands_at(data, np.int64(0), size, _TEXTS, _LENGTHS)


@part
def greeting(data: Bytes, size: int) -> int:
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
def password(data: Bytes, size: int) -> int:
    """Whose password begins a stream: IRC's client says its name in the next line (RFC 2812 3.1), others do in the one before."""
    for at in range(size - 5):
        if data[at] == NEWLINE:
            first, last = data[at + 1], data[at + 5]
            return IRC if (first == 78 or first == 85) and last == 32 else UNKNOWN  # NICK, USER
    return UNKNOWN


@part
def speaks_of_tls(data: Bytes, size: int) -> bool:
    """Whether a text names an upgrade to TLS."""
    for at in range(size):
        if _BEGINS_WORD[data[at]]:
            for row in range(_WORD_LENGTHS.size):
                length = _WORD_LENGTHS[row]
                if at + length <= size and same_word(data, at, _WORDS[row, :length]):
                    return True
    return False


@part
def asks_to_upgrade(row: int, data: Bytes, size: int) -> bool:
    """Whether a request of HTTP asks to go on in TLS (RFC 2817 3), as those of printers do."""
    if row < 0 or not IS_REQUEST[row]:
        return False
    word = _UPGRADE
    for at in range(size - len(word)):
        if data[at] == NEWLINE and same_word(data, at + 1, word):
            return True
    return False


@part
def is_ldap(data: Bytes, size: int) -> bool:
    """An LDAPMessage with a message id of up to four bytes (RFC 4511 4.1.1); Microsoft writes its length in four.

    A length in fewer bytes begins many other things, such as certificates: there an operation has to follow (RFC 4511 4.2).
    """
    if size < 8 or data[0] != SEQUENCE:
        return False
    if 0x81 <= data[1] <= 0x83:
        at = np.int64(data[1]) - 0x7E  # the message id
        behind = at + 2 + np.int64(data[at + 1])
        return data[at] == 2 and 1 <= data[at + 1] <= 4 and behind < size and data[behind] >> 6 == 1
    return (data[1] < 0x80 and data[2] == 2 and data[3] <= 4) or (data[1] == 0x84 and data[6] == 2)


@part
def hello_behind(data: Bytes, size: int) -> int:
    """Where a hello in a TLS record begins behind something else in a stream's bytes; 0 for nowhere.

    A ClientHello is alone in its record, or longer than that; behind a ServerHello others may follow in its record.
    """
    for at in range(1, size - 10):
        if data[at] == 22 and data[at + 1] == 3 and data[at + 2] <= 4 and (data[at + 5] == 1 or data[at + 5] == 2):
            length, body = be16(data, at + 3), be24(data, at + 6)
            if data[at + 9] != 3 or data[at + 10] > 4 or body + 4 < 42:
                continue
            if length == body + 4 or length >= 4096 or (data[at + 5] == 2 and length > body + 4):
                return at
    return 0


@part
def is_rdp(data: Bytes, size: int) -> bool:
    """TPKT (RFC 1006 6) with an X.224 connection request or confirm, which its own length fills."""
    if size < 11 or data[0] != 3 or data[1] != 0 or data[5] & 0xF0 < 0xD0:
        return False
    length = be16(data, 2)
    return length == size or (length < size and data[4] + 5 == length)


@part
def is_socks(data: Bytes, size: int) -> bool:
    """The methods that a client of version 5 knows (RFC 1928 3), or a request of version 4."""
    if size >= 3 and data[0] == 5 and size == 2 + np.int64(data[1]) and data[1] <= 8:
        return True
    if size < 9 or data[0] != 4 or data[1] != 1:
        return False
    hello = hello_behind(data, size)  # which waits for no answer
    return data[(hello if hello > 0 else size) - 1] == 0


@part
def is_postgresql(data: Bytes, size: int) -> bool:
    """PostgreSQL's StartupMessage in clear: its length, protocol 3, names and values that end in zeros."""
    return size >= 9 and be32(data, 0) == size and be32(data, 4) >> 16 == 3 and data[size - 1] == 0


@part
def may_be_proxy(data: Bytes, size: int) -> bool:
    """Whether a stream so far may be the beginning of a PROXY header of version 2."""
    for k in range(min(size, PROXY_2.size)):
        if data[k] != PROXY_2[k]:
            return False
    return size < PROXY_2.size


@part
def is_headed(data: Bytes, size: int) -> bool:
    """Whether a stream so far may be the beginning of a message of a protocol whose form shows when it is whole.

    Those are TDS, LDAP, OpenVPN, STUN, PostgreSQL, MySQL and PROXY.
    """
    if may_be_proxy(data, size) or may_be_mysql(data, size):
        return True
    if data[0] == PRELOGIN:
        return size < 14 and (size < 2 or data[1] <= 1)
    if data[0] == SEQUENCE:
        return size < 8
    if data[0] > 3 or size >= 160:
        return False
    if size < 3:
        return True
    if data[0] == 0 and data[1] >= 14 and (data[2] == 0x38 or data[2] == 0x40):
        return size < 2 + data[1]
    if size < 8:
        return data[1] < 0x20
    if be32(data, 4) >> 16 == 3 and size < be32(data, 0):  # PostgreSQL's StartupMessage
        return True
    return size < 22 and (
        be32(data, 4) == COOKIE or (size < 10 and data[2] < 4) or be32(data, min(6, size - 4)) == COOKIE
    )


@part
def by_form(data: Bytes, size: int) -> int:
    """The application of a stream that begins with numbers; UNKNOWN if it is new."""
    if is_ldap(data, size):
        return LDAP
    if is_mysql(data, size):
        return MYSQL
    if is_postgresql(data, size):
        return POSTGRESQL
    if is_rdp(data, size):
        return RDP
    application = message_of(data, size)
    if application != UNKNOWN:
        return application
    if is_tds(data, size):
        return TDS
    if is_stun_over_tcp(data, size):
        return STUN
    if is_openvpn_over_tcp(data, size):
        return OPENVPN
    if is_syslog_over_tcp(data, size):
        return SYSLOG
    return SOCKS if is_socks(data, size) else UNKNOWN


@part
def application_of(row: int, data: Bytes, size: int) -> int:
    """The application of a stream that begins with ``row`` of ``OPENINGS`` (-1: with none); UNKNOWN if it is new."""
    if row == PASSWORD:
        return password(data, size)
    if row >= 0 and row != GREETING:
        spoken = by_version(data, size)
        return spoken if spoken != UNKNOWN else APPLICATION[row]
    application = greeting(data, size) if row == GREETING else UNKNOWN
    return application if application != UNKNOWN else by_form(data, size)


@part
def proxy_header(data: Bytes, size: int) -> int:
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
def proxy_endpoint(data: Bytes, size: int) -> tuple[int, int]:
    """Where the id of a VPC endpoint stands in a whole PROXY header (version 2): begin and end, (0, 0) for nowhere.

    AWS's Network Load Balancers write it into a TLV of type 0xEA, behind its subtype.
    """
    if size < 16 or data[0] != 13:
        return np.int64(0), np.int64(0)
    family = data[13] >> 4
    at = np.int64(16 + (12 if family == 1 else 36 if family == 2 else 216 if family == 3 else 0))
    while at + 3 <= size:
        end = at + 3 + be16(data, at + 1)
        if end > size:
            break
        if data[at] == AWS_TLV and end > at + 4 and data[at + 3] == ENDPOINT_ID:
            return at + 4, end
        at = end
    return np.int64(0), np.int64(0)
