"""Kernels that read ClientHello, and what they share with those of the ServerHello (``server_hello_kernels``).

A hello is checked and copied into its *shape*: the hello without what differs from one connection to the next
(random, session id, server name, key material, tickets). Shapes are interned, and ``tls.shapes`` describes each one
once. The form of a shape::

    client: version(2) length(2) cipher suites, length(1) compression methods, extensions
    server: version(2) cipher suite(2) compression(1), extensions
    extensions: NONE if there is no extension block, else LISTED, then for each: type(2) kept(2) kept bytes

All lengths are declared lengths that have been checked (RFC 8446 4.1.2, RFC 5246 7.4.1.2, RFC 6101 5.6.1.2). Of a hello
that contradicts itself, or of which the capture has only the beginning, the shape is what comes before the fault, and
PARTLY stands for NONE and LISTED: a field that is not there may have been sent.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be64, copy_bytes
from auditor.flows.intern import hash_bytes, intern
from auditor.flows.state import (
    SEEN_TICKET_OFFER,
    SHAPE_AT,
    WORK_AT,
    HandshakeRow,
    Memory,
)
from auditor.machine.kernel import inlined, part
from auditor.tls.hello_faults import (
    COMPRESSION,
    CUT,
    EXTENSION,
    EXTENSIONS,
    LIST,
    NAME,
    SESSION_ID,
    SHORT,
    SUITES,
    TRAILING,
    VALID,
    invalid,
    lacks,
)
from auditor.tls.public_keys import shares_fault

NONE, LISTED, PARTLY = 0, 1, 2  # how a shape's extensions begin
TLS_1_2, TLS_1_3, SUITES_OF_1_3 = 0x0303, 0x0304, 0x13  # versions, and the first byte of TLS 1.3's suites
EARLY_DRAFT = 0x7F00  # stands for the drafts of TLS 1.3 before 16, whose hellos do not tell their number

SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, ALPN = 0, 10, 11, 13, 16
COMPRESS_CERTIFICATE, SESSION_TICKET, OLD_KEY_SHARE, VERSIONS, PSK_MODES = 27, 35, 40, 43, 45
SIGNATURES_CERT, KEY_SHARE, ECH = 50, 51, 0xFE0D
LONGEST_SERVER_NAME = 1024


@inlined
def put16(target: Bytes, at: int, value: int) -> int:
    target[at] = (value >> 8) & 255
    target[at + 1] = value & 255
    return at + 2


@inlined
def copy(source: Bytes, begin: int, end: int, target: Bytes, at: int) -> int:
    copy_bytes(source, begin, end - begin, target, at)
    return at + end - begin


@inlined
def kept_whole(kind: int) -> bool:
    """Extensions whose contents are policy, the same on every connection of a client."""
    return (
        kind == GROUPS
        or kind == POINT_FORMATS
        or kind == SIGNATURES
        or kind == ALPN
        or kind == COMPRESS_CERTIFICATE
        or kind == VERSIONS
        or kind == PSK_MODES
        or kind == SIGNATURES_CERT
    )


@part
def key_share_groups(data: Bytes, begin: int, end: int, target: Bytes, at: int) -> int:
    """The groups of a ClientHello's key shares without the keys (RFC 8446 4.2.8), as far as the list's length goes."""
    if begin + 2 <= end:
        end = min(end, begin + 2 + be16(data, begin))
    begin += 2
    while begin + 4 <= end:
        at = copy(data, begin, begin + 2, target, at)
        begin += 4 + be16(data, begin + 2)
    return at


@part
def server_name(memory: Memory, handshake: HandshakeRow, data: Bytes, begin: int, end: int) -> None:
    """The first host_name of the server name list (RFC 6066 3)."""
    begin += 2
    while begin + 3 <= end:
        length = be16(data, begin + 1)
        if begin + 3 + length > end:
            invalid(handshake, NAME, begin + 1)
            return
        if data[begin] == 0:
            if 0 < length <= LONGEST_SERVER_NAME:
                handshake.server_name = intern(
                    memory.arena, memory.entries, memory.intern_buckets, data, begin + 3, begin + 3 + length
                )
            return
        begin += 3 + length


@inlined
def extension_end(handshake: HandshakeRow, data: Bytes, at: int, end: int, have: int) -> int:
    """Where the extension at ``at`` of a block ends; -1: it exceeds the block, or the bytes that are there."""
    stop = at + 4 + be16(data, at + 2) if at + 4 <= min(end, have) else at + 4
    if stop > end:
        invalid(handshake, EXTENSION, at if at + 4 > end else at + 4)
        return -1
    if stop > have:
        invalid(handshake, CUT, have)
        return -1
    return stop


@inlined
def is_key_share(kind: int) -> bool:
    return kind == KEY_SHARE or kind == OLD_KEY_SHARE


@part
def list_fits(data: Bytes, kind: int, begin: int, end: int) -> bool:
    """Whether a list's own length holds within its extension (RFC 8446 3.4); an extension may be empty."""
    if begin == end:
        return True
    if kind == VERSIONS or kind == POINT_FORMATS or kind == PSK_MODES or kind == COMPRESS_CERTIFICATE:
        return begin + 1 + np.int64(data[begin]) <= end
    if kind == GROUPS or kind == SIGNATURES or kind == SIGNATURES_CERT or kind == ALPN or is_key_share(kind):
        return begin + 2 <= end and begin + 2 + be16(data, begin) <= end
    return True


@part
def client_extensions(
    memory: Memory, handshake: HandshakeRow, data: Bytes, at: int, end: int, have: int, out: int
) -> int:
    """Copy the extensions into the shape, up to one that is not whole, which is noted; the shape's new length."""
    shape = memory.scratch[SHAPE_AT:]
    while at < end:
        begin = at + 4
        at = extension_end(handshake, data, at, end, have)
        if at < 0:
            return out
        kind = be16(data, begin - 4)
        length = at - begin
        if handshake.invalid == VALID and not list_fits(data, kind, begin, at):
            invalid(handshake, LIST, begin)
        out = put16(shape, out, kind)
        size_at = out
        out += 2
        if kept_whole(kind):
            out = copy(data, begin, at, shape, out)
        elif kind == SERVER_NAME:
            server_name(memory, handshake, data, begin, at)
        elif is_key_share(kind):
            out = key_share_groups(data, begin, at, shape, out)
            fault, group = shares_fault(memory.scratch[WORK_AT:], data, begin, at)
            handshake.client_curve_fault, handshake.client_fault_group = fault, group
        elif kind == SESSION_TICKET:
            if length:
                handshake.seen |= SEEN_TICKET_OFFER
                handshake.ticket_high = hash_bytes(data, begin, at)
                handshake.ticket_low = hash_bytes(data, begin + length // 2, at)
                shape[out] = 1
                out += 1
        elif kind == ECH and length:
            out = copy(data, begin, begin + 1, shape, out)
        put16(shape, size_at, out - size_at - 2)
    return out


@part
def client_suites(handshake: HandshakeRow, data: Bytes, at: int, size: int, have: int, shape: Bytes) -> int:
    """Copy cipher suites and compression methods into the shape; where they end, or -1 if they are not whole.

    The shape is whole in either case: lists that are not there are empty, suites that are there are kept.
    """
    put16(shape, 2, 0)
    shape[4] = 0
    if lacks(handshake, at + 2, size, have, SUITES, at):
        return -1
    length = be16(data, at)
    if length % 2 or length == 0 or at + 2 + length + 1 > size:
        invalid(handshake, SUITES, at)
        return -1
    there = min(length, max(0, have - at - 2) // 2 * 2)
    put16(shape, 2, there)
    out = copy(data, at + 2, at + 2 + there, shape, 4)
    shape[out] = 0
    at += 2 + length
    if lacks(handshake, at + 1, size, have, COMPRESSION, at):
        return -1
    length = int(data[at])
    if lacks(handshake, at + 1 + length, size, have, COMPRESSION, at):
        return -1
    copy(data, at, at + 1 + length, shape, out)
    return at + 1 + length


@part
def client_session(handshake: HandshakeRow, data: Bytes, size: int, have: int) -> int:
    """Note random and session id; where the session id ends, or -1 if these fields are not whole."""
    if size < 38:
        invalid(handshake, SHORT, size)
        return -1
    if lacks(handshake, np.int64(34), size, have, SHORT, size):
        return -1
    handshake.random_high = be64(data, 2)
    handshake.random_low = be64(data, 10)
    at = np.int64(34)
    if lacks(handshake, at + 1, size, have, SESSION_ID, at):
        return -1
    length = int(data[at])
    if length > 32 or at + 1 + length + 2 > size:
        invalid(handshake, SESSION_ID, at)
        return -1
    at += 1 + length
    if lacks(handshake, at, size, have, SESSION_ID, at):
        return -1
    if length:
        handshake.session_high = hash_bytes(data, at - length, at)
        handshake.session_low = hash_bytes(data, at - length + length // 2, at)
    return at


@part
def client_hello(memory: Memory, handshake: HandshakeRow, data: Bytes, size: int, have: int) -> bool:
    """Read the body of a ClientHello of ``size`` bytes, of which ``have`` are there.

    False: it is not valid or not whole; what comes before the fault is kept, and why it ends is in ``handshake``.
    """
    shape = memory.scratch[SHAPE_AT:]
    handshake.invalid = VALID
    handshake.server_name = 0
    at = client_session(handshake, data, size, have)
    if have < 2 or size < 2:
        return False
    copy(data, 0, 2, shape, 0)
    put16(shape, 2, 0)
    shape[4] = 0
    if at >= 0:
        at = client_suites(handshake, data, at, size, have, shape)
    out = 4 + be16(shape, 2)
    out += 1 + np.int64(shape[out])
    shape[out] = NONE
    block = out
    out += 1
    if at >= 0 and at + 2 <= size and not lacks(handshake, at + 2, size, have, EXTENSIONS, at):
        shape[block] = LISTED
        end = at + 2 + be16(data, at)
        out = client_extensions(memory, handshake, data, at + 2, min(end, size), have, out)
        if end > size and handshake.invalid == VALID:
            invalid(handshake, EXTENSIONS, at + 2)
        at = end
    if at != size and handshake.invalid == VALID:
        invalid(handshake, TRAILING, at)
    if handshake.invalid != VALID:
        shape[block] = PARTLY
    handshake.client_shape = intern(
        memory.arena, memory.entries, memory.intern_buckets, shape, np.int64(0), np.int64(out)
    )
    return bool(handshake.invalid == VALID)


@part
def ssl2_client_hello(memory: Memory, handshake: HandshakeRow, data: Bytes, size: int) -> bool:
    """A ClientHello in the format of SSL 2.0 (RFC 5246 E.2), the record's two bytes of length not included."""
    suites, session, challenge = be16(data, 3), be16(data, 5), be16(data, 7)
    if 9 + suites + session + challenge != size or suites % 3 or suites == 0:
        return invalid(handshake, SUITES, 3)
    shape = memory.scratch[SHAPE_AT:]
    out = copy(data, 1, 3, shape, 0)
    size_at = out
    out += 2
    for k in range(suites // 3):
        at = 9 + 3 * k
        if data[at] == 0:  # a suite of SSL 3.0 and later in three bytes
            out = copy(data, at + 1, at + 3, shape, out)
    put16(shape, size_at, out - size_at - 2)
    shape[out] = 0  # no compression methods
    shape[out + 1] = 0  # no extensions
    handshake.client_shape = intern(
        memory.arena, memory.entries, memory.intern_buckets, shape, np.int64(0), np.int64(out + 2)
    )
    return True
