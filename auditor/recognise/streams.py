"""What a stream or a datagram is, told by its first bytes and never by a port."""

import numpy as np

from auditor.decode.packet import PacketRow
from auditor.flows.intern import intern
from auditor.flows.state import (
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
from auditor.recognise.numbers import (
    FTP,
    HTTP,
    HTTP2,
    OTHER,
    POSTGRESQL,
    PROXY,
    SSH,
    TLS,
    UNKNOWN,
)
from auditor.recognise.openings import (
    _PROTOCOL,
    COLON,
    CONNECT_ROW,
    GREETING,
    HANDSHAKE,
    LAST_METHOD,
    NEWLINE,
    POSTGRES_YES,
    RESPONSE_ROW,
    SPACE,
    binary_opening,
    greeting,
    opening,
    proxy_header,
    same_word,
    speaks_of_tls,
)
from auditor.tls.records import (
    NOT_TLS,
    SSL2_CLIENT,
    SSL2_SERVER,
    TLS_MIDDLE,
    TLS_RECORDS,
    WAIT,
    follow_records,
    how_it_begins,
    ssl2_hello,
)

HEAD = 512  # bytes of a stream that text protocols are told from
UPGRADE_WITHIN = 32768  # bytes of a side after which no upgrade to TLS is looked for
HOST_WITHIN = 8192  # bytes of a request in which its Host is looked for
_HOST = np.frombuffer(b"host:", np.uint8)
_ADAT = np.frombuffer(b"adat", np.uint8)


@part
def find_host(memory: Memory, flow: FlowRow, size: int) -> bool:
    """Intern the Host of the request in ``scratch``. False: its headers do not end in these bytes."""
    data = memory.scratch
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
                flow.host = intern(memory.arena, memory.entries, memory.intern_buckets, data, begin, stop)
            return True
        at = end + 1
    return False


@part
def another_protocol(
    memory: Memory, flow: FlowRow, side: SideRow, stream: StreamRow, direction: int, packet: PacketRow
) -> bool:
    """A stream that does not begin with TLS: name its protocol, keep an HTTP request's Host. True: look again.

    Many protocols go over to TLS later (STARTTLS, CONNECT, SOCKS, database log-ins). Whichever it is, its ClientHello
    begins a segment, so the bytes so far are skipped, and the next ones looked at in the same way.
    """
    have = np.int64(stream.have) - np.int64(stream.start)
    size = min(have, HEAD)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    row = opening(memory.scratch, size)
    kind = UNKNOWN
    if row >= 0:
        kind = greeting(memory.scratch, size) if row == GREETING else _PROTOCOL[row]
    if kind == PROXY:
        length = proxy_header(memory.scratch, size)
        if 0 < length <= int(have):  # what follows begins right behind it
            stream.start = np.int64(stream.start) + length
            stream.skipped += length
            flow.application = PROXY
            return True
        if length >= 0:
            return False
    if kind == UNKNOWN:
        kind = binary_opening(memory.scratch, size)
    if flow.application != HTTP and flow.application != SSH and size >= 4 and speaks_of_tls(memory.scratch, size):
        flow.upgrade |= UPGRADE_ASKED if direction == flow.client else UPGRADE_OFFERED
    if flow.application == POSTGRESQL and size == 1 and memory.scratch[0] == 78:
        flow.upgrade |= UPGRADE_REFUSED
    if kind == POSTGRESQL:
        flow.upgrade |= UPGRADE_ASKED
    if (
        kind == UNKNOWN
        and flow.application == UNKNOWN
        and have < 24
        and peek(memory, stream, np.int64(stream.start)) != 0
    ):
        for index in range(have):  # a line that is still being typed
            byte = peek(memory, stream, np.int64(stream.start) + index)
            if byte == NEWLINE or byte < 9 or byte > 126:
                break
        else:
            return False
    if flow.application == UNKNOWN or flow.application == OTHER:
        flow.application = kind
    if 0 <= row < LAST_METHOD:
        if flow.client == UNKNOWN_SIDE:
            flow.client = direction
        size = min(have, HOST_WITHIN)
        read(memory, stream, np.int64(stream.start), size, np.int64(0))
        if not find_host(memory, flow, size) and have < HOST_WITHIN:
            return False
    if flow.application == FTP and flow.datagrams < MOST_DATAGRAMS:
        begins = size >= 9 and (
            same_word(memory.scratch, np.int64(0), _ADAT) or same_word(memory.scratch, np.int64(4), _ADAT)
        )
        if begins or flow.datagram >= 0:  # RFC 2228: what goes on in base64 is put together in Python
            size = min(have, UPGRADE_WITHIN)
            read(memory, stream, np.int64(stream.start), size, np.int64(0))
            keep_datagram(memory, flow, np.int64(direction), memory.scratch, np.int64(0), size, packet)
    over = kind == SSH or kind == HTTP2 or (kind == HTTP and row != CONNECT_ROW and row != RESPONSE_ROW)
    if flow.application == UNKNOWN:
        flow.application = OTHER
    skip_ahead(stream)
    if over or stream.skipped > UPGRADE_WITHIN:
        release(memory, side, stream)
    return False


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
        start = np.int64(stream.start)
        if (
            stream.have - start >= 2
            and peek(memory, stream, start) == POSTGRES_YES
            and peek(memory, stream, start + 1) == HANDSHAKE
        ):
            stream.start = start + 1  # PostgreSQL's server says yes to TLS with one byte, and TLS follows
            stream.skipped += 1
        kind = how_it_begins(memory, stream)
        if kind == WAIT:
            return False
        if kind == NOT_TLS or (stream.skipped > 0 and kind != TLS_RECORDS):
            if not another_protocol(memory, flow, side, stream, direction, packet) or stream.have <= stream.start:
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
    return follow_records(memory, flow, side, stream, handshake, direction, packet)
