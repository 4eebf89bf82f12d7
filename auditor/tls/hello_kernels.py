"""Kernels that read ClientHello, ServerHello and ServerKeyExchange.

A hello is checked and copied into its *shape*: the hello without what differs from one connection to the next
(random, session id, server name, key material, tickets). Shapes are interned, and ``tls.shapes`` describes each one
once. The form of a shape::

    client: version(2) length(2) cipher suites, length(1) compression methods, extensions
    server: version(2) cipher suite(2) compression(1), extensions
    extensions: 0 if there is no extension block, else 1, then for each: type(2) kept(2) kept bytes

All lengths are declared lengths that have been checked (RFC 8446 4.1.2, RFC 5246 7.4.1.2, RFC 6101 5.6.1.2).
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be64, copy_bytes
from auditor.flows.intern import hash_bytes, intern
from auditor.flows.state import (
    SEEN_RETRY,
    SEEN_SERVER_SESSION,
    SEEN_SESSION_ECHO,
    SEEN_TICKET_OFFER,
    SHAPE_AT,
    HandshakeRow,
    Memory,
)
from auditor.machine.kernel import inlined, part

# Why a hello is not valid; the names are in ``INVALID``.
VALID, SHORT, SESSION_ID, SUITES, COMPRESSION, EXTENSIONS, EXTENSION, TRAILING = 0, 1, 2, 3, 4, 5, 6, 7
TOO_LONG, NO_RECORD, NO_KEYS, NO_SALT, CUT_HELLO = 8, 9, 10, 11, 12
INVALID = {
    SHORT: "ends before its fixed fields",
    SESSION_ID: "session id longer than 32 bytes or than the message",
    SUITES: "cipher suites have an odd length, none, or exceed the message",
    COMPRESSION: "compression methods exceed the message",
    EXTENSIONS: "extensions exceed the message",
    EXTENSION: "an extension exceeds the extension block",
    TRAILING: "bytes follow the extensions",
    TOO_LONG: "a hello longer than 32 KiB",
    NO_RECORD: "bytes that are no TLS record",
    NO_KEYS: "QUIC packets that cannot be opened: the client's first packet, from which their keys come, is not in the capture",
    NO_SALT: "a version of QUIC whose keys are not published",
    CUT_HELLO: "the capture has only the beginning of the client's first packet",
}

SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, ALPN = 0, 10, 11, 13, 16
COMPRESS_CERTIFICATE, SESSION_TICKET, OLD_KEY_SHARE, VERSIONS, PSK_MODES = 27, 35, 40, 43, 45
SIGNATURES_CERT, KEY_SHARE, ECH = 50, 51, 0xFE0D
LONGEST_SERVER_NAME = 1024

# SHA-256 of "HelloRetryRequest": the random of a ServerHello that is one (RFC 8446 4.1.3).
RETRY_RANDOM = np.frombuffer(
    bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"), np.uint8
)


@inlined
def put16(target: Bytes, at: int, value: int) -> int:
    target[at] = (value >> 8) & 255
    target[at + 1] = value & 255
    return at + 2


@inlined
def copy(source: Bytes, begin: int, end: int, target: Bytes, at: int) -> int:
    copy_bytes(source, begin, end - begin, target, at)
    return at + end - begin


@part
def invalid(handshake: HandshakeRow, reason: int, at: int) -> bool:
    handshake.invalid = reason
    handshake.invalid_at = at
    return False


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
    """The groups of a ClientHello's key shares without the keys (RFC 8446 4.2.8)."""
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
            return
        if data[begin] == 0:
            if 0 < length <= LONGEST_SERVER_NAME:
                handshake.server_name = intern(
                    memory.arena, memory.entries, memory.intern_buckets, data, begin + 3, begin + 3 + length
                )
            return
        begin += 3 + length


@part
def client_extensions(memory: Memory, handshake: HandshakeRow, data: Bytes, at: int, end: int, out: int) -> int:
    """Copy the extensions into the shape; its new length, or -1."""
    shape = memory.scratch[SHAPE_AT:]
    while at < end:
        if at + 4 > end:
            invalid(handshake, EXTENSION, at)
            return -1
        kind = be16(data, at)
        length = be16(data, at + 2)
        begin = at + 4
        at = begin + length
        if at > end:
            invalid(handshake, EXTENSION, begin)
            return -1
        out = put16(shape, out, kind)
        size_at = out
        out += 2
        if kept_whole(kind):
            out = copy(data, begin, at, shape, out)
        elif kind == SERVER_NAME:
            server_name(memory, handshake, data, begin, at)
        elif kind == KEY_SHARE or kind == OLD_KEY_SHARE:
            out = key_share_groups(data, begin, at, shape, out)
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
def client_hello(memory: Memory, handshake: HandshakeRow, data: Bytes, size: int) -> bool:
    """Read the body of a ClientHello of ``size`` bytes; False: it is not valid, and why is in ``handshake``."""
    shape = memory.scratch[SHAPE_AT:]
    if size < 38:
        return invalid(handshake, SHORT, size)
    out = copy(data, 0, 2, shape, 0)
    handshake.random_high = be64(data, 2)
    handshake.random_low = be64(data, 10)
    at = 34
    length = int(data[at])
    if length > 32 or at + 1 + length + 2 > size:
        return invalid(handshake, SESSION_ID, at)
    if length:
        handshake.session_high = hash_bytes(data, at + 1, at + 1 + length)
        handshake.session_low = hash_bytes(data, at + 1 + length // 2, at + 1 + length)
    at += 1 + length
    length = be16(data, at)
    if length % 2 or length == 0 or at + 2 + length + 1 > size:
        return invalid(handshake, SUITES, at)
    out = copy(data, at, at + 2 + length, shape, out)
    at += 2 + length
    length = int(data[at])
    if at + 1 + length > size:
        return invalid(handshake, COMPRESSION, at)
    out = copy(data, at, at + 1 + length, shape, out)
    at += 1 + length
    shape[out] = 0
    out += 1
    if at + 2 <= size:
        shape[out - 1] = 1
        length = be16(data, at)
        at += 2
        if at + length > size:
            return invalid(handshake, EXTENSIONS, at)
        out = client_extensions(memory, handshake, data, at, at + length, out)
        if out < 0:
            return False
        at += length
    if at != size:
        return invalid(handshake, TRAILING, at)
    handshake.client_shape = intern(
        memory.arena, memory.entries, memory.intern_buckets, shape, np.int64(0), np.int64(out)
    )
    return True


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


@part
def is_retry(data: Bytes) -> bool:
    for k in range(32):
        if data[2 + k] != RETRY_RANDOM[k]:
            return False
    return True


@part
def server_session(handshake: HandshakeRow, data: Bytes, begin: int, end: int) -> bool:
    """Note the session id of a ServerHello. True: it is the ClientHello's (RFC 5246 7.4.1.3)."""
    high, low = hash_bytes(data, begin, end), hash_bytes(data, begin + (end - begin) // 2, end)
    handshake.server_session_high = high
    handshake.server_session_low = low
    return high == handshake.session_high and low == handshake.session_low


@part
def server_extensions(
    memory: Memory, handshake: HandshakeRow, data: Bytes, at: int, end: int, out: int, version: int
) -> tuple[int, int]:
    """Copy the extensions into the shape; its new length, or -1, and the version (RFC 8446 4.2.1)."""
    shape = memory.scratch[SHAPE_AT:]
    while at < end:
        if at + 4 > end:
            invalid(handshake, EXTENSION, at)
            return -1, version
        kind = be16(data, at)
        begin = at + 4
        at = begin + be16(data, at + 2)
        if at > end:
            invalid(handshake, EXTENSION, begin)
            return -1, version
        out = put16(shape, out, kind)
        size_at = out
        out += 2
        if kind == VERSIONS and at == begin + 2:
            version = be16(data, begin)
            out = copy(data, begin, at, shape, out)
        elif kind == ALPN:
            out = copy(data, begin, at, shape, out)
        elif (kind == KEY_SHARE or kind == OLD_KEY_SHARE) and at >= begin + 2:
            out = copy(data, begin, begin + 2, shape, out)
        put16(shape, size_at, out - size_at - 2)
    return out, version


@part
def server_hello(memory: Memory, handshake: HandshakeRow, data: Bytes, size: int, old_retry: bool) -> bool:
    """Read the body of a ServerHello or, from drafts before 22, of a HelloRetryRequest (``old_retry``)."""
    shape = memory.scratch[SHAPE_AT:]
    if size < 6:
        return invalid(handshake, SHORT, size)
    version = be16(data, 0)
    # Before draft 22 a TLS 1.3 ServerHello had no session id and no compression, before 19 a retry no suite.
    short_form = old_retry or (version >> 8 == 0x7F and version & 0xFF < 22)
    has_suite = not (old_retry and version >> 8 == 0x7F and version & 0xFF < 19)
    out = copy(data, 0, 2, shape, 0)
    at, length = 2, 0
    echo = False
    if not old_retry:
        if size < 36:
            return invalid(handshake, SHORT, size)
        at = 34
    if not short_form:
        length = int(data[at])
        if length > 32 or at + 1 + length + 3 > size:
            return invalid(handshake, SESSION_ID, at)
        if length:
            echo = server_session(handshake, data, at + 1, at + 1 + length)
        at += 1 + length
    put16(shape, out, 0)
    if has_suite:
        copy(data, at, at + 2, shape, out)
        at += 2
    suite = be16(shape, out)
    shape[out + 2] = 0
    if not short_form:
        shape[out + 2] = data[at]
        at += 1
    shape[out + 3] = 0
    out += 4
    if at + 2 <= size:
        shape[out - 1] = 1
        end = at + 2 + be16(data, at)
        at += 2
        if end > size:
            return invalid(handshake, EXTENSIONS, at)
        out, version = server_extensions(memory, handshake, data, at, end, out, version)
        if out < 0:
            return False
        at = end
    if at != size:
        return invalid(handshake, TRAILING, at)
    handshake.server_shape = intern(
        memory.arena, memory.entries, memory.intern_buckets, shape, np.int64(0), np.int64(out)
    )
    if old_retry or is_retry(data):
        handshake.seen |= SEEN_RETRY
        return True
    handshake.version = version
    handshake.suite = suite
    handshake.seen |= (SEEN_SERVER_SESSION if length else 0) | (SEEN_SESSION_ECHO if echo else 0)
    return True


@part
def ssl2_server_hello(memory: Memory, handshake: HandshakeRow) -> bool:
    """SERVER-HELLO of SSL 2.0 (draft-hickman-netscape-ssl-00 2.6); the client chooses the cipher later."""
    shape = memory.scratch[SHAPE_AT:]
    put16(shape, 0, 2)
    put16(shape, 2, 0)
    shape[4] = 0
    shape[5] = 0
    handshake.version = 2
    handshake.server_shape = intern(
        memory.arena, memory.entries, memory.intern_buckets, shape, np.int64(0), np.int64(6)
    )
    return True
