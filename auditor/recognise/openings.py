"""How the streams of each application begin."""

import numpy as np

from auditor.decode.bytes import Bytes, be16
from auditor.machine.kernel import part
from auditor.recognise.numbers import (
    FTP,
    HTTP,
    HTTP2,
    IMAP,
    IRC,
    LDAP,
    MYSQL,
    NNTP,
    POP3,
    POSTGRESQL,
    PROXY,
    RDP,
    SIEVE,
    SMTP,
    SOCKS,
    SSH,
    UNKNOWN,
    XMPP,
)

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


# Words by which TLS is offered or asked for: STARTTLS, POP3's STLS, FTP's AUTH TLS (RFC 3207, 2595, 4217).
_STARTTLS, _STLS = np.frombuffer(b"starttls", np.uint8), np.frombuffer(b"stls", np.uint8)
_AUTH_TLS, _AUTH_SSL = np.frombuffer(b"auth tls", np.uint8), np.frombuffer(b"auth ssl", np.uint8)
LAST_METHOD, GREETING = len(METHODS), len(OPENINGS) - 1
CONNECT_ROW, RESPONSE_ROW = METHODS.index(b"CONNECT "), len(METHODS)


@part
def opening(data: Bytes, size: int) -> int:
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
def same_word(data: Bytes, at: int, word: Bytes) -> bool:
    """Whether ``word`` (lower case) stands at ``at``, in any case."""
    for k in range(len(word)):
        byte = int(data[at + k])
        if 65 <= byte <= 90:
            byte += 32
        if byte != word[k]:
            return False
    return True


@part
def speaks_of_tls(data: Bytes, size: int) -> bool:
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
def binary_opening(data: Bytes, size: int) -> int:
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
