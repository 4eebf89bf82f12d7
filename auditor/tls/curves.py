"""Kernels that tell whether a point lies on its curve: y² = x³ - 3x + b modulo a prime, for P-256, P-384 and P-521.

The peer has to look (RFC 8446 4.2.8.2, RFC 8422 5.11, SP 800-56A Rev. 3 5.6.2.3.3): a point that lies elsewhere may be of small
order, and then what is agreed on gives the other side's secret away. Numbers are limbs of 32 bits, the lowest first, and
are multiplied by Montgomery's method: four products, about a microsecond for a point.
"""

import numpy as np

from auditor.decode.bytes import Bytes
from auditor.machine.kernel import inlined, part

SECP256R1, SECP384R1, SECP521R1 = 23, 24, 25
LIMB = 32  # bits
MOST_LIMBS = 17
X, Y, OTHER, RESULT, SUM = (place * (MOST_LIMBS + 2) for place in range(5))  # numbers in the place to work in
WORKPLACE = 5 * (MOST_LIMBS + 2) * 8  # bytes
LOW, SHIFT, ZERO = np.uint64(0xFFFFFFFF), np.uint64(LIMB), np.uint64(0)
# What the table below has of each curve, a number each (R: what Montgomery's products are divided by).
PRIME, R_SQUARED, THREE_BY_R, B_BY_R = (number * MOST_LIMBS for number in range(4))
ONE_CURVE = 4 * MOST_LIMBS
# Prime, coefficient b, and bytes of a coordinate (SP 800-186 3.2.1). All primes end with 32 ones, so that -1/p is 1 modulo a limb.
_CURVES = (
    (
        (1 << 256) - (1 << 224) + (1 << 192) + (1 << 96) - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        32,
    ),
    (
        (1 << 384) - (1 << 128) - (1 << 96) + (1 << 32) - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        48,
    ),
    (
        (1 << 521) - 1,
        0x51953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
        66,
    ),
)


def _row(prime: int, b: int, size: int) -> list[int]:
    """A curve's row of the table."""
    r = 1 << (-(-size * 8 // LIMB) * LIMB)
    by_r = pow(r, -1, prime)
    numbers = prime, r * r % prime, 3 * by_r % prime, b * by_r % prime
    return [number >> (LIMB * k) & 0xFFFFFFFF for number in numbers for k in range(MOST_LIMBS)]


TABLE = np.array([limb for curve in _CURVES for limb in _row(*curve)], np.uint64)
SIZES = np.array([size for _, _, size in _CURVES], np.int64)
Limbs = np.ndarray[tuple[int], np.dtype[np.uint64]]


@part
def load(work: Limbs, out: int, limbs: int, data: Bytes, begin: int, end: int) -> None:
    """Read a big-endian number."""
    for k in range(limbs):
        limb = ZERO
        for byte in range(4):
            at = end - 1 - 4 * k - byte
            if at >= begin:
                limb |= np.uint64(data[at]) << np.uint64(8 * byte)
        work[out + k] = limb


@part
def is_below(work: Limbs, number: int, limbs: int, prime: int) -> bool:
    """Whether a number is less than the prime at ``prime`` of the table."""
    for k in range(limbs - 1, -1, -1):
        if work[number + k] != TABLE[prime + k]:
            return bool(work[number + k] < TABLE[prime + k])
    return False


@part
def subtract(work: Limbs, number: int, limbs: int, other: int) -> int:
    """Take the number at ``other`` of the table off; 1 where it was the larger one."""
    borrow = ZERO
    for k in range(limbs):
        taken = TABLE[other + k] + borrow
        borrow = np.uint64(1) if work[number + k] < taken else ZERO
        work[number + k] = (work[number + k] + (borrow << SHIFT)) - taken
    return int(borrow)


@part
def add(work: Limbs, number: int, limbs: int, other: int) -> int:
    """Add the number at ``other`` of the table; 1 where there is a limb more."""
    carry = ZERO
    for k in range(limbs):
        total = work[number + k] + TABLE[other + k] + carry
        work[number + k] = total & LOW
        carry = total >> SHIFT
    return int(carry)


@part
def add_modulo(work: Limbs, number: int, limbs: int, other: int, prime: int) -> None:
    if add(work, number, limbs, other) or not is_below(work, number, limbs, prime):
        subtract(work, number, limbs, prime)


@part
def subtract_modulo(work: Limbs, number: int, limbs: int, other: int, prime: int) -> None:
    if subtract(work, number, limbs, other):
        add(work, number, limbs, prime)


@inlined
def reduce(work: Limbs, limbs: int, prime: int) -> None:
    """Add as often the prime to ``SUM`` that its lowest limb is zero, and move the others down."""
    factor = work[SUM]
    carry = (factor * TABLE[prime] + work[SUM]) >> SHIFT
    for k in range(1, limbs):
        total = factor * TABLE[prime + k] + work[SUM + k] + carry
        work[SUM + k - 1] = total & LOW
        carry = total >> SHIFT
    total = work[SUM + limbs] + carry
    work[SUM + limbs - 1] = total & LOW
    work[SUM + limbs] = work[SUM + limbs + 1] + (total >> SHIFT)


@part
def multiply(work: Limbs, out: int, one: int, limbs: int, prime: int, other: Limbs, second: int) -> None:
    """The product of a number and that at ``second`` of ``other``, divided by R, modulo the prime."""
    for k in range(limbs + 2):
        work[SUM + k] = ZERO
    for i in range(limbs):
        carry = ZERO
        for k in range(limbs):
            total = work[one + i] * other[second + k] + work[SUM + k] + carry
            work[SUM + k] = total & LOW
            carry = total >> SHIFT
        total = work[SUM + limbs] + carry
        work[SUM + limbs] = total & LOW
        work[SUM + limbs + 1] = total >> SHIFT
        reduce(work, limbs, prime)
    if work[SUM + limbs] != ZERO or not is_below(work, SUM, limbs, prime):
        subtract(work, SUM, limbs, prime)
    for k in range(limbs):
        work[out + k] = work[SUM + k]


@part
def is_on_curve(scratch: Bytes, data: Bytes, begin: int, group: int) -> bool:
    """Whether the two coordinates at ``begin`` are those of a point of a curve; ``scratch`` is a place to work in."""
    work = scratch[:WORKPLACE].view(np.uint64)
    row = np.int64(group - SECP256R1)
    size = SIZES[row]
    limbs, table = (size + 3) // 4, row * ONE_CURVE
    prime = table + PRIME
    load(work, X, limbs, data, begin, begin + size)
    load(work, Y, limbs, data, begin + size, begin + 2 * size)
    if not (is_below(work, X, limbs, prime) and is_below(work, Y, limbs, prime)):
        return False
    multiply(work, RESULT, X, limbs, prime, work, X)
    subtract_modulo(work, RESULT, limbs, table + THREE_BY_R, prime)  # (x² - 3) / R
    multiply(work, X, X, limbs, prime, TABLE, table + R_SQUARED)  # x R
    multiply(work, OTHER, RESULT, limbs, prime, work, X)
    add_modulo(work, OTHER, limbs, table + B_BY_R, prime)
    multiply(work, RESULT, Y, limbs, prime, work, Y)
    for k in range(limbs):
        if work[OTHER + k] != work[RESULT + k]:
            return False
    return True
