"""Hashes of what strangers choose, with a secret of each run: no capture can be made whose flows or names all collide.

Nothing in a result depends on the secret: hashes only say where to look, what is found there is compared as a whole.
"""

import os

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes, mix
from auditor.machine.kernel import inlined, part, unchecked

KEYS = 11  # words of secret that the ends of a flow are hashed with
LOW = 0xFFFFFFFF


def new_keys() -> NDArray[np.uint64]:
    """A new secret."""
    return np.frombuffer(os.urandom(8 * KEYS), np.uint64).copy()


@inlined
def _term(keys: NDArray[np.uint64], n: int, word: np.uint64) -> np.uint64:
    return (keys[n] + (word & np.uint64(LOW))) * (keys[n + 1] + (word >> np.uint64(32)))


@inlined
def bucket_of(
    a_high: np.uint64,
    a_low: np.uint64,
    a_port: int,
    b_high: np.uint64,
    b_low: np.uint64,
    b_port: int,
    keys: NDArray[np.uint64],
    size: int,
) -> int:
    """The same bucket for both directions.

    Multilinear hashing: whatever two pairs of ends are, they collide with a probability of 2^-32 (Lemire and Kaser,
    "Strongly universal string hashing is fast", 2014, section 3.1).
    """
    if a_high > b_high or (a_high == b_high and (a_low > b_low or (a_low == b_low and a_port > b_port))):
        a_high, b_high = b_high, a_high
        a_low, b_low = b_low, a_low
        a_port, b_port = b_port, a_port
    total = keys[0] + _term(keys, 1, a_high) + _term(keys, 3, a_low) + _term(keys, 5, b_high) + _term(keys, 7, b_low)
    total += _term(keys, 9, (np.uint64(a_port) << np.uint64(32)) | np.uint64(b_port))
    return np.int64((total >> np.uint64(32)) & np.uint64(size - 1))


@inlined
def _rotated(word: np.uint64, by: int) -> np.uint64:
    return (word << np.uint64(by)) | (word >> np.uint64(64 - by))


@inlined
def _round(
    v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    v0 += v1
    v2 += v3
    v1 = _rotated(v1, 13) ^ v0
    v3 = _rotated(v3, 16) ^ v2
    v0 = _rotated(v0, 32)
    v2 += v1
    v0 += v3
    v1 = _rotated(v1, 17) ^ v2
    v3 = _rotated(v3, 21) ^ v0
    return v0, v1, _rotated(v2, 32), v3


@unchecked
def _words(
    data: Bytes, begin: int, count: int, v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Take in ``count`` words of eight bytes; the range is checked once."""
    if count < 0 or begin < 0 or begin + 8 * count > data.size:
        raise IndexError
    for n in range(count):
        at = begin + 8 * n
        word = np.uint64(0)
        for k in range(8):
            word |= np.uint64(data[at + k]) << np.uint64(8 * k)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    return v0, v1, v2, v3


@part
def sip_hash(data: Bytes, begin: int, end: int, key: np.uint64, second: np.uint64) -> np.uint64:
    """SipHash-1-3 (Aumasson and Bernstein, 2012) of ``data[begin:end]``."""
    v0 = key ^ np.uint64(0x736F6D6570736575)
    v1 = second ^ np.uint64(0x646F72616E646F6D)
    v2 = key ^ np.uint64(0x6C7967656E657261)
    v3 = second ^ np.uint64(0x7465646279746573)
    words = (end - begin) >> 3
    v0, v1, v2, v3 = _words(data, begin, words, v0, v1, v2, v3)
    last = np.uint64(end - begin) << np.uint64(56)
    for k in range(end - begin - 8 * words):
        last |= np.uint64(data[begin + 8 * words + k]) << np.uint64(8 * k)
    v3 ^= last
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= last
    v2 ^= np.uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@part
def keyed_hash(data: Bytes, begin: int, end: int, key: np.int64) -> np.uint64:
    """A hash of a string under one word of secret."""
    return sip_hash(data, begin, end, np.uint64(key), mix(np.uint64(key) + np.uint64(0x9E3779B97F4A7C15)))
