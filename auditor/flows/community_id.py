"""Community ID (Corelight, version 1, seed 0): the name of a flow by which logs of Zeek, Suricata and Arkime join ours.

``1:`` and the base64 of the SHA-1 of seed, addresses, protocol and ports, the smaller end first. What is hashed fits one
block of SHA-1, so that a kernel takes all blocks of a batch: calling ``hashlib`` for each flow would cost a twentieth of an
audit.
"""

from typing import Any

import numpy as np

from auditor.decode.bytes import Bytes, be32
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, NUMBERS
from auditor.tables import columns

Array = np.ndarray[Any, Any]
BLOCK = 64
LENGTH = 30  # of an id: the version and 28 characters of base64
WORD = 0xFFFFFFFF
ROUNDS = 80
ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
WITH_PORTS = (6, 17, 132, 1, 58)  # TCP, UDP, SCTP, and ICMP, whose message types stand for ports


@inlined
def rotated(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF


@part
def hash_block(blocks: Bytes, at: int, work: Array) -> None:
    """SHA-1 of a message that is one padded block (FIPS 180-4 6.1.2); the digest's words go to the begin of ``work``."""
    for t in range(16):
        work[t] = be32(blocks, at + 4 * t)
    for t in range(16, ROUNDS):
        work[t] = rotated(work[t - 3] ^ work[t - 8] ^ work[t - 14] ^ work[t - 16], 1)
    a, b, c, d, e = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
    for t in range(ROUNDS):
        if t < 20:
            mixed = (b & c) ^ (~b & d & WORD)
            constant = 0x5A827999
        elif t < 40:
            mixed = b ^ c ^ d
            constant = 0x6ED9EBA1
        elif t < 60:
            mixed = (b & c) ^ (b & d) ^ (c & d)
            constant = 0x8F1BBCDC
        else:
            mixed = b ^ c ^ d
            constant = 0xCA62C1D6
        rest = (rotated(a, 5) + mixed + e + constant + work[t]) & WORD
        a, b, c, d, e = rest, a, rotated(b, 30), c, d
    work[0] = (0x67452301 + a) & WORD
    work[1] = (0xEFCDAB89 + b) & WORD
    work[2] = (0x98BADCFE + c) & WORD
    work[3] = (0x10325476 + d) & WORD
    work[4] = (0xC3D2E1F0 + e) & WORD


@kernel(BYTES, BYTES, NUMBERS, BYTES)
def write_ids(blocks: Bytes, alphabet: Bytes, work: Array, data: Bytes) -> None:
    """Write the id of each block, one behind the other; ``work`` has room for the rounds of one."""
    for number in range(blocks.size // BLOCK):
        hash_block(blocks, number * BLOCK, work)
        work[5] = 0  # the digest has 20 bytes, and base64 takes three at a time
        at = number * LENGTH
        data[at] = 49  # "1:"
        data[at + 1] = 58
        for place in range(27):
            bit = 6 * place
            two = work[bit // 32] << 32 | work[bit // 32 + 1]
            data[at + 2 + place] = alphabet[two >> (58 - bit % 32) & 63]
        data[at + 29] = 61  # "="


def community_ids(
    protocol: Array, ends: tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]
) -> columns.Bytes:
    """The ids of flows; ``ends``: of both the halves of the address, IPv4 as ::ffff:a.b.c.d, and the port."""
    count = len(protocol)
    one, two = ends
    swapped = np.zeros(count, bool)
    equal = np.ones(count, bool)
    for mine, other in zip(one, two, strict=True):  # addresses decide first, then ports
        swapped |= equal & (mine > other)
        equal &= mine == other
    first, second = (
        tuple(np.where(swapped, *pair) for pair in zip(*order, strict=True)) for order in ((two, one), (one, two))
    )
    blocks = np.zeros((count, BLOCK), np.uint8)
    is_v4 = (one[0] == 0) & (one[1] >> np.uint64(32) == np.uint64(0xFFFF))
    for which, size in ((is_v4, 4), (~is_v4, 16)):
        at = np.flatnonzero(which)
        message = [np.zeros((len(at), 2), np.uint8)]  # the seed
        message += [_address(end[0][at], end[1][at])[:, 16 - size :] for end in (first, second)]
        message += [protocol[at].astype(np.uint8)[:, None], np.zeros((len(at), 1), np.uint8)]
        ports = [_bytes(end[2][at].astype(">u2")) for end in (first, second)]
        length = 2 * size + 4
        blocks[at, :length] = np.concatenate(message, axis=1)
        has_ports = np.logical_or.reduce([protocol[at] == number for number in WITH_PORTS])
        blocks[at[has_ports], length : length + 4] = np.concatenate(ports, axis=1)[has_ports]
        ends_at = length + 4 * has_ports
        blocks[at, ends_at] = 0x80  # the padding: one bit, and the length in bits
        blocks[at, BLOCK - 2 :] = _bytes((8 * ends_at).astype(">u2"))
    data = np.zeros(LENGTH * count, np.uint8)
    write_ids(blocks.reshape(-1), ALPHABET, np.zeros(ROUNDS, np.int64), data)
    return columns.Bytes(data, LENGTH * np.arange(count + 1))


def _bytes(numbers: Array) -> Array:
    """The bytes of each number."""
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), numbers.dtype.itemsize)


def _address(high: Array, low: Array) -> Array:
    return np.concatenate([_bytes(high.astype(">u8")), _bytes(low.astype(">u8"))], axis=1)
