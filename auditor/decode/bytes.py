"""Reading numbers out of a block of bytes."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.machine.kernel import inlined, unchecked

Bytes: TypeAlias = NDArray[np.uint8]
TOGETHER = 32  # bytes that a vector register holds


@inlined
def be16(block: Bytes, at: int) -> int:
    return (np.int64(block[at]) << 8) | np.int64(block[at + 1])


@inlined
def be24(block: Bytes, at: int) -> int:
    return (np.int64(block[at]) << 16) | (np.int64(block[at + 1]) << 8) | np.int64(block[at + 2])


@inlined
def be32(block: Bytes, at: int) -> int:
    return (be16(block, at) << 16) | be16(block, at + 2)


@inlined
def be48(block: Bytes, at: int) -> np.uint64:
    return np.uint64((be16(block, at) << 32) | be32(block, at + 2))


@inlined
def be64(block: Bytes, at: int) -> np.uint64:
    return (np.uint64(be32(block, at)) << np.uint64(32)) | np.uint64(be32(block, at + 4))


@inlined
def le16(block: Bytes, at: int) -> int:
    return (np.int64(block[at + 1]) << 8) | np.int64(block[at])


@inlined
def le32(block: Bytes, at: int) -> int:
    return (le16(block, at + 2) << 16) | le16(block, at)


@inlined
def u16(block: Bytes, at: int, big_endian: bool) -> int:
    return be16(block, at) if big_endian else le16(block, at)


@inlined
def u32(block: Bytes, at: int, big_endian: bool) -> int:
    return be32(block, at) if big_endian else le32(block, at)


@inlined
def mix(value: np.uint64) -> np.uint64:
    """Spread the bits of a 64-bit number (the finaliser of splitmix64)."""
    x = value
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@unchecked
def copy_bytes(source: Bytes, begin: int, count: int, target: Bytes, at: int) -> None:
    """Copy ``source[begin:begin + count]`` to ``target[at:]``; the ranges are checked once, the bytes go fast."""
    if count < 0 or begin < 0 or at < 0 or begin + count > source.size or at + count > target.size:
        raise IndexError
    for k in range(count):
        target[at + k] = source[begin + k]


@unchecked
def same_bytes(one: Bytes, begin: int, count: int, other: Bytes, at: int) -> bool:
    """Whether ``one[begin:begin + count]`` is what stands at ``other[at:]``."""
    if count < 0 or begin < 0 or at < 0 or begin + count > one.size or at + count > other.size:
        raise IndexError
    k = 0
    while k + TOGETHER <= count:  # without a way out, so that they are compared as one number
        differs = np.uint8(0)
        for n in range(TOGETHER):
            differs |= one[begin + k + n] ^ other[at + k + n]
        if differs != 0:
            return False
        k += TOGETHER
    while k < count:
        if one[begin + k] != other[at + k]:
            return False
        k += 1
    return True
