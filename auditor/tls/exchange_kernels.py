"""Kernels that read ServerKeyExchange and ClientKeyExchange: the group, its public keys, and how they are signed."""

import numpy as np

from auditor.decode.bytes import Bytes, be16
from auditor.flows.intern import intern
from auditor.flows.state import WORK_AT, HandshakeRow, Memory
from auditor.machine.kernel import inlined, part
from auditor.tls.public_keys import GOOD, number_fault, share_fault

# Suites whose key exchange has a pre-shared key besides: PSK, RSA_PSK, DHE_PSK, ECDHE_PSK (IANA, TLS Cipher Suites).
PSK_SUITES = np.array(
    [
        *range(0x002C, 0x002F), *range(0x008A, 0x0096), *range(0x00A8, 0x00AE), *range(0x00AE, 0x00BA),
        *range(0xC033, 0xC03C), *range(0xC064, 0xC06A), *range(0xC06A, 0xC072), *range(0xC08E, 0xC09C),
        *range(0xC0A4, 0xC0AC), *range(0xCCAB, 0xCCAF), *range(0xD001, 0xD006),
    ],
    np.int64,
)  # fmt: skip
# ECCurveType (RFC 8422 5.4), and the codes that stand for explicit curves (RFC 8422 5.1.1).
EXPLICIT_PRIME, EXPLICIT_CHAR2, NAMED_CURVE, EXPLICIT_CURVES = 1, 2, 3, 0xFF00
SIGNED = 0x10000  # beside a scheme that was seen: 0x0000 is one, too


@part
def bit_length(data: Bytes, begin: int, end: int) -> int:
    """Bits of a big-endian number, leading zeros left out."""
    at = begin
    while at < end and data[at] == 0:
        at += 1
    if at == end:
        return 0
    bits = (end - at - 1) * 8
    top = int(data[at])
    while top:
        bits += 1
        top >>= 1
    return bits


@inlined
def has_identity_hint(suite: int) -> bool:
    """Whether a suite's ServerKeyExchange begins with psk_identity_hint (RFC 4279 2 to 4, RFC 5489 2)."""
    for k in range(PSK_SUITES.size):
        if PSK_SUITES[k] == suite:
            return True
    return False


@part
def ecdh_exchange(memory: Memory, handshake: HandshakeRow, data: Bytes, at: int, size: int, is_signed: bool) -> None:
    """The curve and the signature of ECDHE (RFC 8422 5.4); explicit curves have the numbers of RFC 8422 5.1.1."""
    if at + 4 > size:
        return
    if data[at] == EXPLICIT_PRIME or data[at] == EXPLICIT_CHAR2:
        handshake.curve = EXPLICIT_CURVES | np.int64(data[at])
    elif data[at] == NAMED_CURVE:
        handshake.curve = be16(data, at + 1)
        after = at + 4 + int(data[at + 3])
        if after <= size:
            scratch = memory.scratch[WORK_AT:]
            handshake.curve_fault = share_fault(scratch, data, at + 4, after, np.int64(handshake.curve))
        if is_signed and after + 2 <= size:
            handshake.curve_signature = SIGNED | be16(data, after)


@part
def field_fault(memory: Memory, handshake: HandshakeRow, data: Bytes, begin: int, end: int) -> int:
    """What is wrong with a public key as a number in the field whose prime the ServerKeyExchange gave."""
    prime = memory.entries[handshake.dh_prime]
    return number_fault(data, begin, end, memory.arena, prime[0], prime[0] + prime[1])


@part
def client_key_exchange(memory: Memory, handshake: HandshakeRow, data: Bytes, size: int) -> None:
    """What is wrong with the client's public key: a point (RFC 8422 5.7) or a number (RFC 5246 7.4.7.2).

    With pre-shared keys an identity comes first (RFC 4279 2).
    """
    at = np.int64(0)
    if has_identity_hint(np.int64(handshake.suite)):
        if size < 2:
            return
        at = 2 + be16(data, 0)
    if at + 1 < size and at + 1 + int(data[at]) == size:
        scratch, curve = memory.scratch[WORK_AT:], np.int64(handshake.curve)
        handshake.client_curve_fault = share_fault(scratch, data, at + 1, size, curve)
    if at + 2 < size and at + 2 + be16(data, at) == size and handshake.dh_prime != 0:
        handshake.client_dh_fault = field_fault(memory, handshake, data, at + 2, size)


@part
def server_key_exchange(memory: Memory, handshake: HandshakeRow, data: Bytes, size: int) -> None:
    """Keep what a ServerKeyExchange says if it is ECDHE's (RFC 8422 5.4) and if it is DHE's (RFC 5246 7.4.3).

    Which of the two it is, the cipher suite decides later. ``dh_bits`` is the size of the prime. With pre-shared keys
    a hint comes first, and nothing is signed.
    """
    at = 0
    is_signed = not has_identity_hint(np.int64(handshake.suite))
    if not is_signed:
        if size < 2:
            return
        at = 2 + be16(data, 0)
    handshake.client_curve_fault = GOOD  # of key shares that TLS 1.2 does not use
    ecdh_exchange(memory, handshake, data, at, size, is_signed)
    for k in range(3):  # p, g, Ys
        if at + 2 > size:
            return
        end = at + 2 + be16(data, at)
        if end > size:
            return
        if k == 0:
            handshake.dh_bits = min(65535, bit_length(data, at + 2, end))
            handshake.dh_prime = intern(memory.arena, memory.entries, memory.intern_buckets, data, at + 2, end)
        elif k == 2:
            handshake.dh_fault = field_fault(memory, handshake, data, at + 2, end)
        at = end
    if is_signed and at + 2 <= size:
        handshake.dh_signature = SIGNED | be16(data, at)
