"""What a stream carries, recognised by its first bytes and never by a port."""

import numpy as np

from auditor.decode.bytes import Bytes, copy_bytes
from auditor.decode.packet import SHORTEST_TEXT, PacketRow
from auditor.decode.transport import is_text_byte
from auditor.flows.intern import intern
from auditor.flows.state import (
    PAST_HANDSHAKE,
    UNKNOWN_SIDE,
    UPGRADE_ASKED,
    UPGRADE_OFFERED,
    UPGRADE_REFUSED,
    FlowRow,
    HandshakeRow,
    Memory,
    SideRow,
    StreamRow,
)
from auditor.flows.stream import peek, read, release, skip_ahead
from auditor.machine.kernel import part
from auditor.recognise.datagrams import MOST_DATAGRAMS, keep_datagram
from auditor.recognise.numbers import FTP, HTTP, OTHER, POSTGRESQL, PROXY, SSH, TEXT, TLS, UNKNOWN
from auditor.recognise.openings import (
    ASKS_FOR_TLS,
    COLON,
    IS_LAST,
    IS_REQUEST,
    NEWLINE,
    application_of,
    opening,
    proxy_header,
    same_word,
    speaks_of_tls,
)
from auditor.tls.records import (
    HANDSHAKE_RECORD,
    follow_records,
    how_it_begins,
)
from auditor.tls.ssl2 import NOT_TLS, SSL2_CLIENT, SSL2_SERVER, TLS_MIDDLE, TLS_RECORDS, WAIT, ssl2_hello

SPACE, BRACKET = 32, 91
POSTGRESQL_YES, POSTGRESQL_NO = 83, 78  # S and N
LONGEST_TYPED = 24  # bytes of a line that may still be being typed
HEAD = 512  # bytes of a stream that text protocols are recognised by
UPGRADE_WITHIN = 32768  # bytes of a side after which no upgrade to TLS is looked for
HOST_WITHIN = 8192  # bytes of a request in which its Host is looked for
_HOST = np.frombuffer(b"host:", np.uint8)
_ADAT = np.frombuffer(b"adat", np.uint8)


@part
def http_request(memory: Memory, flow: FlowRow, stream: StreamRow, have: int) -> bool:
    """Intern the Host of a request (RFC 9112 3.2). False: its headers do not end in these bytes, more may come."""
    data = memory.scratch
    word = _HOST
    size = min(have, HOST_WITHIN)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    at = 0
    while at < size:
        end = at
        while end < size and data[end] != NEWLINE:
            end += 1
        if end >= size:
            break
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
                if data[k] == COLON and data[begin] != BRACKET:
                    stop = k
                    break
            if 0 < stop - begin <= 255:
                flow.host = intern(memory.arena, memory.entries, memory.intern_buckets, data, begin, stop)
            return True
        at = end + 1
    return have >= HOST_WITHIN


@part
def pass_proxy_header(flow: FlowRow, stream: StreamRow, length: int, have: int) -> bool:
    """Skip a PROXY header: what follows begins right behind it. False: it is not whole yet."""
    if length == 0 or length > have:
        return False
    stream.start = np.int64(stream.start) + length
    stream.skipped += length
    flow.application = PROXY
    return True


@part
def note_upgrade(flow: FlowRow, direction: int, row: int, data: Bytes, size: int) -> None:
    """Whether TLS is offered, asked for or refused in clear."""
    if flow.application != HTTP and flow.application != SSH and speaks_of_tls(data, size):
        flow.upgrade |= UPGRADE_ASKED if direction == flow.client else UPGRADE_OFFERED
    if row >= 0 and ASKS_FOR_TLS[row]:
        flow.upgrade |= UPGRADE_ASKED
    if flow.application == POSTGRESQL and size == 1 and data[0] == POSTGRESQL_NO:  # the answer to an SSLRequest
        flow.upgrade |= UPGRADE_REFUSED


@part
def is_being_typed(data: Bytes, have: int) -> bool:
    """Whether the stream may be the beginning of a line of text that is still being typed."""
    if have >= LONGEST_TYPED:
        return False
    for k in range(have):
        if data[k] == NEWLINE or data[k] < 9 or data[k] > 126:
            return False
    return True


@part
def is_security_exchange(flow: FlowRow, data: Bytes, have: int) -> bool:
    """Whether it is FTP's ADAT command or its reply (RFC 2228 4), or what follows one: TLS in base64."""
    if flow.application != FTP or flow.datagrams >= MOST_DATAGRAMS:
        return False
    begins = have >= 9 and (same_word(data, np.int64(0), _ADAT) or same_word(data, np.int64(4), _ADAT))
    return begins or flow.datagram >= 0


@part
def is_text(data: Bytes, at: int, size: int) -> bool:
    """Whether bytes are text, which no part of an encrypted record is by chance: 24 characters, or a short line."""
    count = np.int64(min(size, LONGEST_TYPED))
    if count < SHORTEST_TEXT or (count < LONGEST_TYPED and data[at + count - 1] != NEWLINE):
        return False
    for k in range(count):
        if not is_text_byte(data[at + k]):
            return False
    return True


@part
def note_clear(flow: FlowRow, side: int, client: int, was_tls: bool, application: int, data: Bytes, size: int) -> None:
    """Something that is no TLS on a connection on which TLS has begun: an answer to its hello, or what came after."""
    spoken = application
    if spoken == UNKNOWN or spoken == OTHER:
        spoken = TEXT if is_text(data, np.int64(0), size) else OTHER
    if was_tls:
        if flow.clear == UNKNOWN or flow.clear == OTHER:
            flow.clear = spoken
    elif side != client and flow.answer == UNKNOWN:
        flow.answer = spoken


@part
def look_for_clear(memory: Memory, flow: FlowRow, block: Bytes, packet: PacketRow) -> None:
    """A segment of TLS whose records are followed no more: whether it is text, so that TLS has ended."""
    at, size = np.int64(packet.payload), np.int64(packet.payload_captured)
    if not is_text(block, at, size):
        return
    size = min(size, HEAD)
    copy_bytes(block, at, size, memory.scratch, np.int64(0))
    row = opening(memory.scratch, size)
    application = application_of(row, memory.scratch, size)
    note_clear(flow, 0, 0, True, application, memory.scratch, size)


@part
def another_protocol(
    memory: Memory,
    flow: FlowRow,
    side: SideRow,
    stream: StreamRow,
    direction: int,
    packet: PacketRow,
    was_tls: bool,
) -> bool:
    """A stream that does not begin with TLS: name its protocol, keep an HTTP request's Host. True: look again.

    Many protocols go over to TLS later (STARTTLS, CONNECT, SOCKS, database log-ins). Whichever it is, its ClientHello
    begins a segment, so the bytes so far are skipped, and the next ones looked at in the same way.
    """
    data = memory.scratch
    have = np.int64(stream.have) - np.int64(stream.start)
    size = min(have, HEAD)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    row = opening(data, size)
    application = application_of(row, data, size)
    if application == PROXY:
        length = proxy_header(data, size)
        if length >= 0:
            return pass_proxy_header(flow, stream, length, have)
    note_upgrade(flow, direction, row, data, size)
    if flow.handshake >= 0:
        note_clear(flow, direction, np.int64(flow.client), was_tls, application, data, size)
    if application == UNKNOWN and flow.application == UNKNOWN and is_being_typed(data, have):
        return False
    if flow.application == UNKNOWN or flow.application == OTHER:
        flow.application = application if application != UNKNOWN else OTHER
    if row >= 0 and IS_REQUEST[row]:
        if flow.client == UNKNOWN_SIDE:
            flow.client = direction
        if not http_request(memory, flow, stream, have):
            return False
    if is_security_exchange(flow, data, have):  # it is put together in Python, see ``tls.gssapi``
        size = min(have, UPGRADE_WITHIN)
        read(memory, stream, np.int64(stream.start), size, np.int64(0))
        keep_datagram(memory, flow, np.int64(direction), data, np.int64(0), size, packet)
    skip_ahead(stream)
    if (row >= 0 and IS_LAST[row]) or stream.skipped > UPGRADE_WITHIN:
        release(memory, side, stream)
    return False


@part
def skip_postgresql_yes(memory: Memory, stream: StreamRow) -> None:
    """PostgreSQL's server says yes to an SSLRequest with one byte, and TLS follows in the same segment."""
    start = np.int64(stream.start)
    if stream.have - start < 2:
        return
    if peek(memory, stream, start) == POSTGRESQL_YES and peek(memory, stream, start + 1) == HANDSHAKE_RECORD:
        stream.start = start + 1
        stream.skipped += 1


@part
def tcp_bytes(
    memory: Memory,
    flow: FlowRow,
    side: SideRow,
    stream: StreamRow,
    handshake: HandshakeRow,
    direction: int,
    packet: PacketRow,
) -> bool:
    """One side's stream has more bytes in order: see what they are. True: a handshake message is whole."""
    if stream.recognised == 0:
        skip_postgresql_yes(memory, stream)
        kind = how_it_begins(memory, stream)
        if kind == WAIT:
            return False
        if kind == NOT_TLS or (stream.skipped > 0 and kind != TLS_RECORDS):
            after = stream.encrypted == PAST_HANDSHAKE
            if (
                not another_protocol(memory, flow, side, stream, direction, packet, after)
                or stream.have <= stream.start
            ):
                return False
            kind = how_it_begins(memory, stream)  # behind a PROXY header
            if kind != TLS_RECORDS:
                return False
        if kind == TLS_MIDDLE:
            if flow.application == UNKNOWN:
                flow.application = TLS
            release(memory, side, stream)
            return False
        stream.recognised = 1
        stream.record_at = stream.start
        if kind == SSL2_CLIENT or kind == SSL2_SERVER:
            ssl2_hello(memory, flow, stream, handshake, direction, packet, kind)
            if kind == SSL2_SERVER:
                release(memory, side, stream)
                return False
    if follow_records(memory, flow, side, stream, handshake, direction, packet):
        return True
    if stream.recognised == 0 and side.stream >= 0:  # its records ended in something else
        stream.encrypted = PAST_HANDSHAKE
        another_protocol(memory, flow, side, stream, direction, packet, True)
    return False
