"""How servers answer: where a capture begins with a request for TLS, or a client speaks first, nothing else tells the protocol."""

import numpy as np

from auditor.decode.bytes import Bytes
from auditor.flows.state import FlowRow, SideRow, StreamRow
from auditor.machine.kernel import inlined, part
from auditor.recognise.numbers import (
    IMAP,
    IRC,
    MEMCACHED,
    NNTP,
    OTHER,
    POP3,
    PROXY,
    REDIS,
    SIEVE,
    SMTP,
    UNKNOWN,
)
from auditor.recognise.openings import COLON, NEWLINE
from auditor.recognise.services import answers_like_memcached, first_message_of
from auditor.recognise.words import matrix, stands_at, which_stands_at

SPACE = 32
REPLIES = (
    *((code, SMTP) for code in (b"220 ", b"220-", b"454 ", b"501 ", b"502 ", b"503 ", b"530 ")),  # RFC 3207 4
    *((code, NNTP) for code in (b"382 ", b"580 ")),  # RFC 4642 2.2
    *((word, SIEVE) for word in (b"OK ", b"OK\r\n", b"NO ", b"NO\r\n")),  # RFC 5804 2.2
    (b"-ERR", POP3),  # RFC 2595 4
)
_REPLY, _REPLY_LENGTHS = matrix(tuple(text for text, _ in REPLIES))
_REPLIES_OF = np.array([application for _, application in REPLIES], np.int64)
_IRC_CODES, _ = matrix((b" 670 ", b" 691 "))  # RPL_STARTTLS and ERR_STARTTLS, behind the server's name
_TAGGED, _TAGGED_LENGTHS = matrix((b"OK", b"NO", b"BAD"))  # RFC 9051 7.1


@part
def replies_to_upgrade(data: Bytes, size: int) -> int:
    """Which protocol's server answers so to a request for TLS; UNKNOWN for none."""
    row = which_stands_at(data, np.int64(0), size, _REPLY, _REPLY_LENGTHS)
    if row >= 0:
        return np.int64(_REPLIES_OF[row])
    at = np.int64(0)
    while at < size and data[at] > SPACE:
        at += 1
    if data[0] == COLON:
        for row in range(_IRC_CODES.shape[0]):
            if stands_at(data, at, size, _IRC_CODES[row]):
                return np.int64(IRC)
    for row in range(_TAGGED_LENGTHS.size):  # behind the tag of the client's command
        length = _TAGGED_LENGTHS[row]
        after = at + 1 + length
        if stands_at(data, at + 1, size, _TAGGED[row, :length]) and after < size and data[after] <= SPACE:
            return np.int64(IMAP)
    return np.int64(UNKNOWN)


@part
def is_bare_ok(data: Bytes, size: int) -> bool:
    """Whether a line says +OK and no more, as a simple string of Redis does, and POP3 where it has nothing to tell."""
    return size >= 5 and data[0] == 43 and data[3] == 13 and data[4] == NEWLINE


@part
def whose_ok(flow: FlowRow, side: SideRow, stream: StreamRow) -> int:
    """Who says a bare +OK: POP3's server where it speaks first, or about TLS, and Redis' where its client does."""
    if flow.upgrade != 0 or (flow.application == UNKNOWN and side.syn != 0):
        return np.int64(POP3)
    return np.int64(REDIS if side.syn != 0 and stream.skipped == 0 else UNKNOWN)


@inlined
def begins_session(flow: FlowRow, side: SideRow, stream: StreamRow) -> bool:
    """Whether a side's bytes are the first of a connection, or follow a PROXY header."""
    is_first = flow.application == UNKNOWN and side.syn != 0 and stream.skipped == 0
    return bool(is_first or flow.application == PROXY)


@part
def in_context(flow: FlowRow, side: SideRow, stream: StreamRow, application: int, data: Bytes, size: int) -> int:
    """The application of what its first bytes alone may not tell: what was said before decides."""
    if application == POP3 and is_bare_ok(data, size):
        return whose_ok(flow, side, stream)
    if application == UNKNOWN and flow.application == OTHER and flow.upgrade != 0 and size > 0:
        return replies_to_upgrade(data, size)
    if application != UNKNOWN or size == 0:
        return application
    if begins_session(flow, side, stream):
        return first_message_of(data, size)
    is_answer = flow.application == OTHER and side.syn != 0 and stream.skipped == 0
    return np.int64(MEMCACHED if is_answer and answers_like_memcached(data, size) else UNKNOWN)
