"""Community ID (Corelight, version 1, seed 0): the name of a flow by which logs of Zeek, Suricata and Arkime join ours.

``1:`` and the base64 of the SHA-1 of seed, addresses, protocol and ports, the smaller end first. What is hashed fits one
block of SHA-1, so that a kernel takes all flows of a batch: calling ``hashlib`` for each would cost a twentieth of an audit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes, be32
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, Layout
from auditor.tables import columns

Array = np.ndarray[Any, Any]
BLOCK = 64
LENGTH = 30  # of an id: the version and 28 characters of base64
ROUNDS = 80
ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132  # protocols with ports; ICMP's message types stand for some
PORTS = np.dtype(np.uint16)
HALVES = np.dtype(np.uint64)
V4_MAPPED = 0xFFFF  # what stands above an IPv4 address in the low half of a mapped one (RFC 4291 2.5.5.2)


@inlined
def rotated(word: np.uint32, by: int) -> np.uint32:
    return np.uint32((word << np.uint32(by)) | (word >> np.uint32(32 - by)))


@part
def hash_block(block: Bytes, work: Array) -> None:
    """SHA-1 of a message that is one padded block (FIPS 180-4 6.1.2); the digest's words go to the begin of ``work``."""
    for t in range(16):
        work[t] = be32(block, 4 * t)
    for t in range(16, ROUNDS):
        work[t] = rotated(work[t - 3] ^ work[t - 8] ^ work[t - 14] ^ work[t - 16], 1)
    a, b, c = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
    d, e = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
    for t in range(ROUNDS):
        if t < 20:
            mixed, constant = np.uint32((b & c) ^ (~b & d)), np.uint32(0x5A827999)
        elif t < 40:
            mixed, constant = np.uint32(b ^ c ^ d), np.uint32(0x6ED9EBA1)
        elif t < 60:
            mixed, constant = np.uint32((b & c) ^ (b & d) ^ (c & d)), np.uint32(0x8F1BBCDC)
        else:
            mixed, constant = np.uint32(b ^ c ^ d), np.uint32(0xCA62C1D6)
        rest = np.uint32(rotated(a, 5) + mixed + e + constant + work[t])
        a, b, c, d, e = rest, a, rotated(b, 30), c, d
    work[0] = np.uint32(0x67452301) + a
    work[1] = np.uint32(0xEFCDAB89) + b
    work[2] = np.uint32(0x98BADCFE) + c
    work[3] = np.uint32(0x10325476) + d
    work[4] = np.uint32(0xC3D2E1F0) + e


@inlined
def put(block: Bytes, at: int, number: np.uint64, size: int) -> int:
    """Write the last ``size`` bytes of a number; the place behind them."""
    for k in range(size):
        block[at + k] = np.uint8((number >> np.uint64(8 * (size - 1 - k))) & np.uint64(0xFF))
    return at + size


@part
def put_address(block: Bytes, at: int, high: np.uint64, low: np.uint64, is_v4: bool) -> int:
    """Write an address; the place behind it."""
    if is_v4:
        return put(block, at, low, 4)
    return put(block, put(block, at, high, 8), low, 8)


@part
def write_id(work: Array, alphabet: Bytes, data: Bytes, at: int) -> None:
    """``1:``, and the digest of 20 bytes as base64, which takes three at a time."""
    work[5] = 0
    data[at] = 49
    data[at + 1] = 58
    for place in range(27):
        bit = 6 * place
        two = np.uint64(work[bit // 32]) << np.uint64(32) | np.uint64(work[bit // 32 + 1])
        data[at + 2 + place] = alphabet[np.int64((two >> np.uint64(58 - bit % 32)) & np.uint64(63))]
    data[at + 29] = 61  # "="


@kernel(BYTES, *(Layout(HALVES),) * 4, *(Layout(PORTS),) * 2, BYTES, BYTES, Layout(np.uint32), BYTES)
def write_ids(
    protocols: Bytes,
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    other_high: NDArray[np.uint64],
    other_low: NDArray[np.uint64],
    port: NDArray[np.uint16],
    other_port: NDArray[np.uint16],
    alphabet: Bytes,
    block: Bytes,
    work: Array,
    data: Bytes,
) -> None:
    """Write the id of each flow, one behind the other; ``block`` and ``work`` have room for what is hashed of one."""
    for n in range(protocols.size):
        a_high, a_low, a_port = high[n], low[n], port[n]
        b_high, b_low, b_port = other_high[n], other_low[n], other_port[n]
        if a_high > b_high or (a_high == b_high and (a_low > b_low or (a_low == b_low and a_port > b_port))):
            a_high, b_high = b_high, a_high
            a_low, b_low = b_low, a_low
            a_port, b_port = b_port, a_port
        is_v4 = high[n] == 0 and low[n] >> np.uint64(32) == np.uint64(V4_MAPPED)
        block[:] = 0
        at = put_address(block, np.int64(2), a_high, a_low, is_v4)  # behind the seed
        at = put_address(block, at, b_high, b_low, is_v4)
        protocol = protocols[n]
        block[at] = protocol
        at += 2
        if protocol == TCP or protocol == UDP or protocol == SCTP or protocol == ICMP or protocol == ICMP6:
            at = put(block, put(block, at, np.uint64(a_port), 2), np.uint64(b_port), 2)
        block[at] = 0x80  # the padding: one bit, and the length in bits
        put(block, BLOCK - 2, np.uint64(8 * at), 2)
        hash_block(block, work)
        write_id(work, alphabet, data, n * LENGTH)


def community_ids(
    protocol: Array, ends: tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]
) -> columns.Bytes:
    """The ids of flows; ``ends``: of both the halves of the address, IPv4 as ::ffff:a.b.c.d, and the port."""
    count = len(protocol)
    data = np.zeros(LENGTH * count, np.uint8)
    (high, low, port), (other_high, other_low, other_port) = (
        (
            np.ascontiguousarray(end[0], HALVES),
            np.ascontiguousarray(end[1], HALVES),
            np.ascontiguousarray(end[2], PORTS),
        )
        for end in ends
    )
    write_ids(
        np.ascontiguousarray(protocol, np.uint8),
        high,
        low,
        other_high,
        other_low,
        port,
        other_port,
        ALPHABET,
        np.zeros(BLOCK, np.uint8),
        np.zeros(ROUNDS, np.uint32),
        data,
    )
    return columns.Bytes(data, LENGTH * np.arange(count + 1))
