"""Hellos of SSL 2.0 (draft-hickman-netscape-ssl-00; RFC 5246 E.2), which have a record format of their own."""

import numpy as np

from auditor.decode.packet import PacketRow
from auditor.flows.state import (
    SEEN_CLIENT_HELLO,
    SEEN_CLIENT_INVALID,
    SEEN_SERVER_HELLO,
    SEEN_SSL2,
    SEEN_SSL2_SERVER,
    FlowRow,
    HandshakeRow,
    Memory,
    StreamRow,
)
from auditor.flows.stream import peek, peek16, read
from auditor.machine.kernel import part
from auditor.recognise.numbers import UNKNOWN
from auditor.tls.hello_kernels import ssl2_client_hello
from auditor.tls.messages import LETTER_C, LETTER_S, begin_handshake, letter
from auditor.tls.server_hello_kernels import ssl2_server_hello

# How a stream begins.
WAIT, TLS_RECORDS, TLS_MIDDLE, SSL2_CLIENT, SSL2_SERVER, NOT_TLS = 0, 1, 2, 3, 4, 5


@part
def ssl2_record(memory: Memory, stream: StreamRow, at: int, have: int) -> int:
    """Whether an SSL 2.0 hello begins here: a two-byte header whose lengths all agree."""
    if have < 11:
        return WAIT
    length = (peek16(memory, stream, at)) & 0x7FFF
    kind = peek(memory, stream, at + 2)
    version = peek16(memory, stream, at + 3)
    if kind == 1:
        if version != 2 and (version < 0x300 or version > 0x304):
            return NOT_TLS
        suites, session, challenge = (
            peek16(memory, stream, at + 5),
            peek16(memory, stream, at + 7),
            peek16(memory, stream, at + 9),
        )
        if 9 + suites + session + challenge != length or suites % 3 or suites == 0:
            return NOT_TLS
        if (session != 0 and session != 16) or challenge < 16 or challenge > 32:
            return NOT_TLS
        return SSL2_CLIENT if have >= length + 2 else WAIT
    if kind == 4:
        if have < 13:
            return WAIT
        if peek16(memory, stream, at + 5) != 2 or peek(memory, stream, at + 3) > 1 or peek(memory, stream, at + 4) > 2:
            return NOT_TLS
        certificate, suites, connection = (
            peek16(memory, stream, at + 7),
            peek16(memory, stream, at + 9),
            peek16(memory, stream, at + 11),
        )
        if 11 + certificate + suites + connection != length or suites % 3:
            return NOT_TLS
        return SSL2_SERVER
    return NOT_TLS


@part
def ssl2_hello(
    memory: Memory,
    flow: FlowRow,
    stream: StreamRow,
    handshake: HandshakeRow,
    direction: int,
    packet: PacketRow,
    kind: int,
) -> None:
    """An SSL 2.0 hello at the start of a stream; what follows a client's are records of the version it asked for."""
    is_client = kind == SSL2_CLIENT
    size = peek16(memory, stream, np.int64(stream.start)) & 0x7FFF
    begin_handshake(memory.counters, flow, handshake, direction if is_client else 1 - direction, packet)
    letter(handshake, direction, np.int64(LETTER_C if is_client else LETTER_S))
    if is_client:
        read(memory, stream, np.int64(stream.start) + 2, size, np.int64(0))
        if ssl2_client_hello(memory, handshake, memory.scratch, size):
            handshake.seen |= SEEN_CLIENT_HELLO | SEEN_SSL2
        else:
            handshake.seen |= SEEN_CLIENT_INVALID
        handshake.client_frame = packet.frame
        handshake.client_bytes = size
        handshake.client_segments = stream.segments
        stream.record_at = stream.start + 2 + size
        return
    flow.answer = UNKNOWN
    ssl2_server_hello(memory, handshake)
    handshake.seen |= SEEN_SERVER_HELLO | SEEN_SSL2_SERVER
    handshake.server_frame = packet.frame
