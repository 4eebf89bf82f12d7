"""What is said in clear on a connection before its TLS begins: commands that have to be, others with contents, log-ins.

A STARTTLS that comes late protects only what follows it: a password sent before has been read (RFC 9051 11.1, RFC 2595
2.1, RFC 4513 3.1.1). Each protocol has the few commands that may come first; all others say something. What a client says to
a proxy on the way, its password included, is not said to the server.
"""

from typing import NamedTuple

import numpy as np

from auditor.decode.bytes import Bytes, be24, be32
from auditor.decode.packet import SHORTEST_TEXT
from auditor.decode.transport import is_text_byte
from auditor.machine.kernel import part
from auditor.recognise.numbers import (
    AMQP,
    FTP,
    HTTP,
    IMAP,
    IRC,
    LDAP,
    MYSQL,
    NNTP,
    OTHER,
    POP3,
    POSTGRESQL,
    SIEVE,
    SMTP,
    SOCKS,
    TELNET,
    UNKNOWN,
    XMPP,
)
from auditor.recognise.openings import SEQUENCE
from auditor.recognise.services import IAC, is_service

# Bits of what a side said. WORDS: text of a protocol that is not known; UNSEEN: the capture lacks the session's beginning.
HARMLESS, COMMANDS, LOGIN, WORDS, UNSEEN = 0, 1, 2, 4, 8
SIDE_BITS = 4  # so many of them belong to a side
LONGEST_COMMAND = 1024  # bytes of one that may still come to its end
NEWLINE, RETURN, SPACE, COLON, LESS, GREATER, SLASH = 10, 13, 32, 58, 60, 62, 47
EXTENDED_REQUEST, BIND_REQUEST, UNBIND, SEARCH = 0x77, 0x60, 0x42, 0x63  # RFC 4511
CANCEL, SSL_REQUEST, GSS_REQUEST = 80877102, 80877103, 80877104  # PostgreSQL's requests in place of a version
AMQP_HEADER = 8  # bytes
ANY = UNKNOWN  # where no protocol is known, or one inside of another (behind CONNECT, SOCKS)


class CommandWord(NamedTuple):
    """The first word of a command (of IMAP: the one behind the tag; of XMPP: an element), in small letters."""

    text: bytes
    application: int
    kind: int


def _words(application: int, harmless: str, log_in: str) -> tuple[CommandWord, ...]:
    """The commands that may come before TLS, and those that log in; all others of the protocol have contents."""
    known = ((harmless, HARMLESS), (log_in, LOGIN))
    return tuple(CommandWord(word.encode(), application, kind) for texts, kind in known for word in texts.split())


COMMAND_WORDS = (
    *_words(SMTP, "ehlo helo lhlo starttls noop quit rset help", "auth"),  # RFC 3207 4, RFC 4954
    *_words(IMAP, "capability starttls noop logout id enable", "login authenticate"),  # RFC 9051 6.1, 6.2
    *_words(POP3, "capa stls noop quit lang utf8", "user pass apop auth"),  # RFC 1939, 2449, 2595
    *_words(
        FTP,  # RFC 959, 4217; RFC 2228's protected commands; RFC 2389, 7151
        "auth adat pbsz prot enc conf mic feat syst noop quit help opts host clnt lang stat",
        "user pass acct",
    ),
    *_words(NNTP, "capabilities mode starttls quit help date", "authinfo"),  # RFC 3977, 4642, 4643
    *_words(SIEVE, "capability starttls logout noop", "authenticate"),  # RFC 5804 2
    *_words(IRC, "cap starttls nick user ping pong quit", "pass authenticate oper"),  # RFC 2812 3.1
    *_words(XMPP, "?xml stream starttls", "auth response"),  # RFC 6120 5, 6
    *_words(ANY, "starttls stls", "user pass login auth authenticate apop authinfo authorization:"),
    *(CommandWord(word, ANY, COMMANDS) for word in (b"mail", b"rcpt", b"get", b"post", b"put", b"patch", b"delete")),
)
_LENGTHS = np.array([len(one.text) for one in COMMAND_WORDS], np.int64)
_TEXTS = np.zeros((len(COMMAND_WORDS), int(_LENGTHS.max())), np.uint8)
for _row, _one in enumerate(COMMAND_WORDS):
    _TEXTS[_row, : len(_one.text)] = np.frombuffer(_one.text, np.uint8)
_APPLICATIONS = np.array([one.application for one in COMMAND_WORDS], np.int64)
_KINDS = np.array([one.kind for one in COMMAND_WORDS], np.int64)


@part
def word_kind(application: int, data: Bytes, begin: int, end: int) -> int:
    """What the word between ``begin`` and ``end`` means in a protocol; -1 where the table does not have it."""
    for row in range(_LENGTHS.size):
        if _APPLICATIONS[row] == application and _LENGTHS[row] == end - begin:
            same = True
            for k in range(end - begin):
                byte = np.int64(data[begin + k])
                if 65 <= byte <= 90:
                    byte += 32
                if byte != _TEXTS[row, k]:
                    same = False
                    break
            if same:
                return _KINDS[row]
    return np.int64(-1)


@part
def word_end(data: Bytes, begin: int, end: int) -> int:
    """Where a word ends: before a space, or behind a colon."""
    at = np.int64(begin)
    while at < end and data[at] > SPACE:
        at += 1
        if data[at - 1] == COLON:
            break
    return at


@part
def next_word(data: Bytes, begin: int, end: int) -> int:
    """Where the next word begins; ``end`` if there is none."""
    at = np.int64(begin)
    while at < end and data[at] <= SPACE:
        at += 1
    return at


@part
def all_text(data: Bytes, begin: int, end: int) -> bool:
    """Whether all bytes between ``begin`` and ``end`` are text."""
    for at in range(begin, end):
        if not is_text_byte(data[at]):
            return False
    return True


@part
def ends_in_colon(data: Bytes, begin: int, end: int) -> bool:
    """Whether a word is the name of a header field."""
    return bool(end > begin and data[end - 1] == COLON)


@part
def line_kind(application: int, data: Bytes, begin: int, end: int) -> int:
    """What a line between ``begin`` and ``end`` says."""
    begin = next_word(data, begin, end)
    stop = word_end(data, begin, end)
    kind = word_kind(application, data, begin, stop)
    if application == IMAP or (application == ANY and kind < 0 and not ends_in_colon(data, begin, stop)):
        second = next_word(data, stop, end)  # behind IMAP's tag
        third = word_end(data, second, end)
        tagged = word_kind(np.int64(IMAP), data, second, third)
        asks = tagged == HARMLESS and word_kind(np.int64(ANY), data, second, third) == HARMLESS
        if application == IMAP or tagged == LOGIN or asks:
            begin, stop, kind = second, third, tagged
    if begin == end:
        return np.int64(HARMLESS)
    if not all_text(data, begin, stop):
        return np.int64(HARMLESS)
    if kind == LOGIN and next_word(data, stop, end) == end:
        return np.int64(HARMLESS)  # AUTH alone asks for the list of mechanisms (RFC 5034 4)
    if kind >= 0:
        return kind
    if application != ANY:
        return np.int64(COMMANDS)
    return np.int64(WORDS if end - begin >= SHORTEST_TEXT and all_text(data, begin, end) else HARMLESS)


@part
def said_in_lines(application: int, data: Bytes, size: int) -> tuple[int, int]:
    """What lines say, and how many bytes at the end belong to one that is not whole yet."""
    kinds, begin = np.int64(0), np.int64(0)
    for at in range(size):
        if data[at] == NEWLINE:
            kinds |= line_kind(application, data, begin, np.int64(at))
            begin = np.int64(at + 1)
    rest = size - begin
    if rest == 0:
        return kinds, rest
    kinds |= line_kind(application, data, begin, np.int64(size)) & LOGIN
    is_held = rest < LONGEST_COMMAND and all_text(data, begin, np.int64(size))
    return kinds, rest if is_held else np.int64(0)


@part
def said_in_elements(data: Bytes, size: int) -> tuple[int, int]:
    """What XMPP's elements say, and how many bytes at the end belong to a tag that is not whole yet."""
    kinds, at = np.int64(0), np.int64(0)
    while at < size:
        if data[at] != LESS:
            at += 1
            continue
        end = at + 1
        while end < size and data[end] != GREATER:
            end += 1
        if end == size:
            return kinds, size - at if size - at < LONGEST_COMMAND else np.int64(0)
        begin = at + 1
        if data[begin] == SLASH:
            begin += 1
        stop = begin
        while stop < end and data[stop] > SPACE and data[stop] != SLASH:
            if data[stop] == COLON:  # stream:stream, under any prefix (XML Namespaces 4)
                begin = stop + 1
            stop += 1
        known = word_kind(np.int64(XMPP), data, begin, stop)
        kinds |= known if known >= 0 else np.int64(COMMANDS)
        at = end + 1
    return kinds, np.int64(0)


@part
def ldap_kind(operation: int, data: Bytes, begin: int, end: int) -> int:
    """What an LDAP request says. A bind without name and password, and what anybody may ask of the root, say nothing."""
    if operation == BIND_REQUEST:  # version, name, choice of authentication (RFC 4511 4.2)
        anonymous = end - begin == 7 and data[begin + 4] == 0 and data[begin + 6] == 0
        return np.int64(HARMLESS if anonymous else LOGIN)
    if operation == SEARCH:  # of the entry without a name (RFC 4512 5.1)
        root = end - begin >= 5 and data[begin + 1] == 0 and data[begin + 4] == 0
        return np.int64(HARMLESS if root else COMMANDS)
    return np.int64(HARMLESS if operation == EXTENDED_REQUEST or operation == UNBIND else COMMANDS)


@part
def ber_length(data: Bytes, at: int, size: int) -> tuple[int, int]:
    """Where the contents behind the length at ``at`` begin and end; (0, 0) where that is not there, or too long."""
    if at >= size:
        return np.int64(0), np.int64(0)
    length, begin = np.int64(data[at]), np.int64(at + 1)
    if length >= 0x80:
        octets = length - 0x80
        if octets == 0 or octets > 4 or begin + octets > size:
            return np.int64(0), np.int64(0)
        length = np.int64(0)
        for k in range(octets):
            length = (length << 8) | np.int64(data[begin + k])
        begin += octets
    return begin, begin + length


@part
def said_in_ldap(data: Bytes, size: int) -> tuple[int, int]:
    """What LDAP's messages say, and how many bytes at the end belong to one that is not whole yet."""
    kinds, at = np.int64(0), np.int64(0)
    while at < size:
        if data[at] != SEQUENCE:
            return kinds, np.int64(0)
        begin, end = ber_length(data, at + 1, size)
        if end == 0 or end > size:
            if end - at >= LONGEST_COMMAND or size - at >= LONGEST_COMMAND:  # none that may come first is as long
                return kinds | COMMANDS, np.int64(0)
            return kinds, size - at
        if begin + 2 > end:
            return kinds, np.int64(0)
        number = begin + 2 + np.int64(data[begin + 1])  # behind the message id
        first, last = ber_length(data, number + 1, end)
        if last == 0 or last > end:
            return kinds, np.int64(0)
        kinds |= ldap_kind(np.int64(data[number]), data, first, last)
        at = end
    return kinds, np.int64(0)


@part
def said_to_postgresql(data: Bytes, size: int) -> int:
    """What a client's messages say: the requests of eight bytes for TLS or GSS say nothing, a log-in and a password do."""
    at = np.int64(0)
    while at + 8 <= size:
        code = be32(data, at + 4)
        if be32(data, at) == 8 and (code == SSL_REQUEST or code == GSS_REQUEST):
            at += 8
        else:
            is_login = code >> 16 == 3 or code == CANCEL  # whose key lets anybody cancel
            return np.int64(LOGIN if is_login else HARMLESS)
    return np.int64(HARMLESS)


@part
def said_to_service(application: int, data: Bytes, size: int) -> int:
    """What a message to a queue, a database or a terminal says: AMQP's header (1.0, 5.2.1) and Telnet's options nothing."""
    is_header = application == AMQP and size == AMQP_HEADER
    is_option = application == TELNET and size > 0 and data[0] == IAC
    return np.int64(HARMLESS if is_header or is_option else COMMANDS)


@part
def logs_in_to_socks(data: Bytes, size: int) -> bool:
    """Whether it is a name and a password for the proxy (RFC 1929 2)."""
    if size < 5 or data[0] != 1 or data[1] == 0:
        return False
    second = 2 + np.int64(data[1])
    return bool(second < size and size == second + 1 + np.int64(data[second]))


@part
def speaks_in_lines(application: int) -> bool:
    """Whether it is a protocol of lines, each of which begins with a command (of IMAP: with a tag)."""
    return bool(
        application == SMTP
        or application == IMAP
        or application == POP3
        or application == FTP
        or application == NNTP
        or application == SIEVE
        or application == IRC
    )


@part
def said_before_tls(application: int, data: Bytes, size: int) -> tuple[int, int]:
    """What a side's bytes say in a protocol, and how many at the end are to be looked at again with the next ones."""
    if application == XMPP:
        return said_in_elements(data, size)
    if application == LDAP:
        return said_in_ldap(data, size)
    if application == POSTGRESQL:
        return said_to_postgresql(data, size), np.int64(0)
    if application == MYSQL:  # the log-in is its client's first message, SSLRequest the only one that is shorter
        is_login = size > 36 and be24(data, 1) == 1
        return np.int64(LOGIN if is_login else HARMLESS), np.int64(0)
    if is_service(np.int64(application)):
        return said_to_service(application, data, size), np.int64(0)
    if speaks_in_lines(application):
        return said_in_lines(application, data, size)
    if application == SOCKS and logs_in_to_socks(data, size):
        return np.int64(HARMLESS), np.int64(0)
    kinds, rest = np.int64(0), np.int64(0)
    if application == HTTP or application == SOCKS or application == OTHER:
        kinds, rest = said_in_lines(np.int64(ANY), data, size)
        if application != OTHER:
            kinds &= COMMANDS | LOGIN
    return kinds, rest
