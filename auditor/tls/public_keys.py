"""Kernels that recognise public keys of a key exchange with which everybody knows, or can try, what it yields.

RFC 7919 5.1 and SP 800-56A Rev. 3 5.6.2.3 have them refused where the group is a field's; RFC 7748 6 and RFC 8446 7.4.2
where it is a curve of Montgomery's, on which a point of small order yields zero whatever the other side's key is. Of the
other curves the point at infinity, which has no coordinates, is none to use, and in P-256, P-384 and P-521 neither is one
that is not on the curve (RFC 8446 4.2.8.2).

Keys that are zero all through, or one byte repeated, are not judged: a peer aborts with one (RFC 8446 7.4.2), so where a
handshake goes on behind it the capture's keys were blanked, as tools that anonymise captures do.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16
from auditor.machine.kernel import inlined, part
from auditor.tls.curves import SECP256R1, SECP521R1, SIZES, is_on_curve

# What is wrong with a public key, by the numbers that handshakes note.
GOOD, IS_ZERO, IS_ONE, IS_TOO_LARGE, IS_OF_SMALL_ORDER, IS_AT_INFINITY, IS_OFF_CURVE = range(7)
FAULTS = (
    None,
    "is 0",
    "is 1",
    "is not less than the prime minus 1",
    "is a point of small order",
    "is the point at infinity",
    "is not a point of the curve",
)
X25519, X448 = 29, 30
FIRST_FIELD, LAST_FIELD = 256, 260  # ffdhe2048 to ffdhe8192 (RFC 7919 2)
X25519_BYTES, X448_BYTES = 32, 56
UNCOMPRESSED = 4  # the form of points (RFC 8422 5.4.1)
BLANKED = 16  # bytes that zeros have at least where they stand for a key


def _rows(numbers: tuple[int, ...], size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Coordinates one after another, each little-endian."""
    return np.frombuffer(b"".join(number.to_bytes(size, "little") for number in numbers), np.uint8)


_P25519, _P448 = (1 << 255) - 19, (1 << 448) - (1 << 224) - 1
# The coordinates u of all points of small order, on the curve and its twist: of order 1, 2, 4 and 8, and the numbers from
# the prime on that mean the same (RFC 7748 5: they are accepted).
_OF_ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
SMALL_25519 = _rows((0, 1, *_OF_ORDER_8, _P25519 - 1, _P25519, _P25519 + 1), X25519_BYTES)
SMALL_448 = _rows((0, 1, _P448 - 1, _P448, _P448 + 1), X448_BYTES)


@part
def is_small(data: Bytes, begin: int, small: Bytes, size: int, mask: int) -> bool:
    """Whether a coordinate is one of ``small``; ``mask``: the bits of its last byte that count (RFC 7748 5)."""
    for row in range(0, small.size, size):
        same = 0
        while same < size - 1 and data[begin + same] == small[row + same]:
            same += 1
        if same == size - 1 and data[begin + same] & mask == small[row + same]:
            return True
    return False


@part
def named_field_fault(data: Bytes, begin: int, end: int) -> int:
    """Of a key in a group of RFC 7919, whose primes begin and end with 64 ones: nothing but a key from p-1 on does so by chance."""
    if end - begin < 16:
        return GOOD
    ones = 0
    for k in range(8):
        ones += int(data[begin + k] == 0xFF) + int(data[end - 1 - k] >= (0xFE if k == 0 else 0xFF))
    return IS_TOO_LARGE if ones == 16 else GOOD


@inlined
def skip_zeros(data: Bytes, begin: int, end: int) -> int:
    while begin < end and data[begin] == 0:
        begin += 1
    return begin


@part
def small_number_fault(data: Bytes, begin: int, end: int) -> int:
    """Whether a big-endian number is 0 or 1; 0 of a whole key's length is a key that was blanked."""
    size = end - begin
    begin = skip_zeros(data, begin, end)
    if begin == end:
        return IS_ZERO if size < BLANKED else GOOD
    return IS_ONE if begin == end - 1 and data[begin] == 1 else GOOD


@part
def number_fault(data: Bytes, begin: int, end: int, field: Bytes, low: int, high: int) -> int:
    """What is wrong with a finite-field public key, for the prime at ``field[low:high]``: it has to be from 2 to p-2."""
    fault = small_number_fault(data, begin, end)
    if fault != GOOD:
        return fault
    begin, low = skip_zeros(data, begin, end), skip_zeros(field, low, high)
    if low == high or end - begin < high - low:
        return GOOD
    if end - begin > high - low:
        return IS_TOO_LARGE
    while begin < end - 1 and data[begin] == field[low]:
        begin, low = begin + 1, low + 1
    # Primes are odd: p-1 differs from p in the last bit alone.
    least = int(field[low]) - 1 if begin == end - 1 else int(field[low]) + 1
    return IS_TOO_LARGE if int(data[begin]) >= least else GOOD


@part
def point_fault(scratch: Bytes, data: Bytes, begin: int, end: int, group: int) -> int:
    """What is wrong with a point in its uncompressed form; one whose coordinates are one byte repeated was blanked."""
    if data[begin] != UNCOMPRESSED or end - begin != 1 + 2 * SIZES[group - SECP256R1]:
        return GOOD
    at = begin + 2
    while at < end and data[at] == data[begin + 1]:
        at += 1
    return GOOD if at == end or is_on_curve(scratch, data, begin + 1, group) else IS_OFF_CURVE


@part
def share_fault(scratch: Bytes, data: Bytes, begin: int, end: int, group: int) -> int:
    """What is wrong with a public key in a named group. Of a hybrid the other part still makes a secret.

    ``scratch``: a place to work in, which the key is not in.
    """
    size = end - begin
    if size >= BLANKED and skip_zeros(data, begin, end) == end:
        return GOOD
    if FIRST_FIELD <= group <= LAST_FIELD:
        fault = small_number_fault(data, begin, end)
        return fault if fault != GOOD else named_field_fault(data, begin, end)
    if group == X25519 and size == X25519_BYTES:
        return IS_OF_SMALL_ORDER if is_small(data, begin, SMALL_25519, X25519_BYTES, 0x7F) else GOOD
    if group == X448 and size == X448_BYTES:
        return IS_OF_SMALL_ORDER if is_small(data, begin, SMALL_448, X448_BYTES, 0xFF) else GOOD
    if size == 1 and data[begin] == 0:
        return IS_AT_INFINITY
    return point_fault(scratch, data, begin, end, group) if size and SECP256R1 <= group <= SECP521R1 else GOOD


@part
def shares_fault(scratch: Bytes, data: Bytes, begin: int, end: int) -> tuple[int, int]:
    """The first key of a ClientHello's key shares that is not good: what is wrong with it, and its group."""
    end = min(end, begin + 2 + be16(data, begin)) if begin + 2 <= end else end
    begin += 2
    while begin + 4 <= end:
        group, after = be16(data, begin), begin + 4 + be16(data, begin + 2)
        if after <= end:
            fault = share_fault(scratch, data, begin + 4, after, group)
            if fault != GOOD:
                return fault, group
        begin = after
    return GOOD, np.int64(0)
