"""Kernels that read ServerHello and HelloRetryRequest; the form of a shape is in ``hello_kernels``."""

import numpy as np

from auditor.decode.bytes import Bytes, be16
from auditor.flows.intern import hash_bytes, intern
from auditor.flows.state import (
    SEEN_RETRY,
    SEEN_SERVER_SESSION,
    SEEN_SESSION_ECHO,
    SHAPE_AT,
    WORK_AT,
    HandshakeRow,
    Memory,
)
from auditor.machine.kernel import inlined, part
from auditor.tls.hello_faults import EXTENSIONS, SESSION_ID, SHORT, TRAILING, VALID, invalid, lacks
from auditor.tls.hello_kernels import (
    ALPN,
    EARLY_DRAFT,
    KEY_SHARE,
    LISTED,
    NONE,
    OLD_KEY_SHARE,
    PARTLY,
    SUITES_OF_1_3,
    TLS_1_2,
    TLS_1_3,
    VERSIONS,
    copy,
    extension_end,
    put16,
)
from auditor.tls.public_keys import GOOD, share_fault

# SHA-256 of "HelloRetryRequest": the random of a ServerHello that is one (RFC 8446 4.1.3).
RETRY_RANDOM = np.frombuffer(
    bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"), np.uint8
)


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
def server_share(memory: Memory, handshake: HandshakeRow, data: Bytes, begin: int, end: int) -> None:
    """What is wrong with the server's key share (RFC 8446 4.2.8); of the client's, only one in its group counts."""
    group = be16(data, begin)
    if begin + 4 > end or begin + 4 + be16(data, begin + 2) > end:
        return  # a HelloRetryRequest names a group alone
    after = begin + 4 + be16(data, begin + 2)
    handshake.curve_fault = share_fault(memory.scratch[WORK_AT:], data, begin + 4, after, group)
    if handshake.client_fault_group != group:
        handshake.client_curve_fault = GOOD


@part
def server_extensions(
    memory: Memory, handshake: HandshakeRow, data: Bytes, at: int, end: int, have: int, out: int, version: int
) -> tuple[int, int]:
    """Copy the extensions into the shape, up to one that is not whole; its new length and the version (RFC 8446 4.2.1)."""
    shape = memory.scratch[SHAPE_AT:]
    while at < end:
        begin = at + 4
        at = extension_end(handshake, data, at, end, have)
        if at < 0:
            return out, version
        kind = be16(data, begin - 4)
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
            server_share(memory, handshake, data, begin, at)
        put16(shape, size_at, out - size_at - 2)
    return out, version


@inlined
def is_early_draft(version: int) -> bool:
    """Whether a ServerHello is of a TLS 1.3 draft before 16, which wrote the version into the hello's own field."""
    return version == TLS_1_3


@part
def server_choice(
    handshake: HandshakeRow, data: Bytes, size: int, have: int, old_retry: bool, shape: Bytes
) -> tuple[int, int]:
    """Copy version, suite and compression into the shape; where they end (-1: they are not whole), and the session id's length.

    Before draft 22 a TLS 1.3 ServerHello had no session id and no compression; of retries, those of drafts 16 to 18 had
    no suite, and earlier ones a group behind it.
    """
    version = be16(data, 0)
    is_draft = version >> 8 == 0x7F and version & 0xFF < 22
    at, length = np.int64(2 if old_retry else 34), np.int64(0)
    copy(data, 0, 2, shape, 0)
    put16(shape, 2, 0)
    shape[4] = 0
    if not (old_retry or is_draft or is_early_draft(version)):
        if lacks(handshake, at + 1, size, have, SHORT, size):
            return np.int64(-1), length
        length = np.int64(data[at])
        if length > 32 or at + 1 + length + 3 > size:
            invalid(handshake, SESSION_ID, at)
            return np.int64(-1), length
        at += 1 + length
        if lacks(handshake, at + 3, size, have, SESSION_ID, at):
            return np.int64(-1), np.int64(0)
        copy(data, at, at + 3, shape, 2)
        return at + 3, length
    if old_retry and is_draft and version & 0xFF < 19:
        return at, length
    if lacks(handshake, at + 2, size, have, SHORT, size):
        return np.int64(-1), length
    copy(data, at, at + 2, shape, 2)
    return at + (4 if old_retry and is_early_draft(version) else 2), length


@part
def server_hello(
    memory: Memory, handshake: HandshakeRow, data: Bytes, size: int, have: int, old_retry: bool
) -> tuple[bool, bool]:
    """Read the body of a ServerHello or, from drafts before 22, of a HelloRetryRequest (``old_retry``).

    ``have`` of its ``size`` bytes are there. Returns whether it is valid and whole (why not is in ``handshake``), and
    whether its version and suite are known, which a fault behind them does not change.
    """
    shape = memory.scratch[SHAPE_AT:]
    handshake.invalid = VALID
    if lacks(handshake, np.int64(6 if old_retry else 36), size, have, SHORT, size):
        return False, False
    at, length = server_choice(handshake, data, size, have, old_retry, shape)
    if at < 0:
        return False, False
    version, suite = be16(data, 0), be16(shape, 2)
    if is_early_draft(version):
        version = np.int64(EARLY_DRAFT)
    echo = length > 0 and server_session(handshake, data, at - 3 - length, at - 3)
    shape[5] = NONE
    out = np.int64(6)
    if at + 2 <= size and not lacks(handshake, at + 2, size, have, EXTENSIONS, at):
        shape[5] = LISTED
        end = at + 2 + be16(data, at)
        out, version = server_extensions(memory, handshake, data, at + 2, min(end, size), have, out, version)
        if end > size and handshake.invalid == VALID:
            invalid(handshake, EXTENSIONS, at + 2)
        at = end
    if at != size and handshake.invalid == VALID:
        invalid(handshake, TRAILING, at)
    if handshake.invalid != VALID:
        shape[5] = PARTLY
        if version == TLS_1_2 and suite >> 8 == SUITES_OF_1_3:
            version = np.int64(TLS_1_3)  # the extension that says so is behind the fault
    handshake.server_shape = intern(memory.arena, memory.entries, memory.intern_buckets, shape, np.int64(0), out)
    valid = bool(handshake.invalid == VALID)
    if old_retry or is_retry(data):
        handshake.seen |= SEEN_RETRY
        return valid, False
    handshake.version = version
    handshake.suite = suite
    handshake.seen |= (SEEN_SERVER_SESSION if length else 0) | (SEEN_SESSION_ECHO if echo else 0)
    return valid, True


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
