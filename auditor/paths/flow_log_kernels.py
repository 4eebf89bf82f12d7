"""What looks at each byte of a flow log's text: addresses as numbers, and whether fields stand as AWS writes them.

An address that is not plain is left to ``prefixes.parse_address``; what a kernel reads, it reads as inet_pton(3) does.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, Layout

JoinedTexts: TypeAlias = NDArray[np.uint16]
Halves: TypeAlias = NDArray[np.uint64]

V4_MAPPED = 0xFFFF << 32
GROUPS = 8  # of 16 bits, in an IPv6 address
SPACE, NEWLINE, RETURN, DOT, COLON, ZERO = 0x20, 0x0A, 0x0D, 0x2E, 0x3A, 0x30
NONE, READ, OTHER = 0, 1, 2  # what was found: "-" or nothing, an address, something else


@part
def v4_of(text: Bytes, at: int, end: int) -> int:
    """The value of an IPv4 address of four decimal numbers without leading zeros; -1 where it is none."""
    value, octet, dots = np.int64(0), np.int64(-1), 0
    for k in range(at, end):
        one = np.int64(text[k])
        if one == DOT:
            if octet < 0 or dots == 3:
                return -1
            value, octet, dots = (value << 8) | octet, np.int64(-1), dots + 1
        elif one < ZERO or one > ZERO + 9 or octet == 0:
            return -1
        else:
            octet = one - ZERO if octet < 0 else octet * 10 + one - ZERO
            if octet > 255:
                return -1
    return -1 if dots != 3 or octet < 0 else (value << 8) | octet


@inlined
def digit_of(one: int) -> int:
    """The value of a hexadecimal digit; -1 for another character."""
    if ZERO <= one <= ZERO + 9:
        return one - ZERO
    lower = one | 0x20
    return lower - 0x57 if 0x61 <= lower <= 0x66 else -1


@inlined
def spread(words: JoinedTexts, count: int, gap: int) -> None:
    """Put what comes behind "::" to the end, and zeros where it stands."""
    for k in range(count - gap):
        words[GROUPS - 1 - k] = words[count - 1 - k]
    for k in range(gap, GROUPS - (count - gap)):
        words[k] = 0


@part
def v6_of(text: Bytes, at: int, end: int, words: JoinedTexts) -> int:
    """Put the groups of an IPv6 address (RFC 4291 2.2, forms 1 and 2) into ``words``; whether it is one."""
    count, gap = 0, -1
    if end - at >= 2 and text[at] == COLON and text[at + 1] == COLON:
        gap, at = 0, at + 2
    while at < end:
        group, begin = 0, at
        while at < end and at - begin < 4 and digit_of(np.int64(text[at])) >= 0:
            group = (group << 4) | digit_of(np.int64(text[at]))
            at += 1
        if at == begin or count == GROUPS:
            return 0
        words[count] = group
        count += 1
        if at < end:
            if text[at] != COLON or at + 1 == end:
                return 0
            at += 1
            if text[at] == COLON:
                if gap >= 0:
                    return 0
                gap, at = count, at + 1
    if gap < 0 or count == GROUPS:  # "::" stands for a group at least
        return 1 if gap < 0 and count == GROUPS else 0
    spread(words, count, gap)
    return 1


@kernel(BYTES, Layout(np.int32), Layout(np.uint64), Layout(np.uint64), Layout(np.uint8), Layout(np.uint16))
def read_addresses(
    text: Bytes, ends: NDArray[np.int32], high: Halves, low: Halves, found: NDArray[np.uint8], words: JoinedTexts
) -> int:
    """Read the addresses that lie between ``ends`` in a text, each as two halves; how many are something else."""
    others = 0
    for k in range(found.size):
        at, end = np.int64(ends[k]), np.int64(ends[k + 1])
        high[k] = low[k] = np.uint64(0)
        if at == end or (end - at == 1 and text[at] == 0x2D):
            found[k] = NONE
            continue
        value = v4_of(text, at, end)
        if value >= 0:
            low[k] = np.uint64(V4_MAPPED | value)
            found[k] = READ
        elif v6_of(text, at, end, words):
            for group in range(4):
                high[k] = (high[k] << np.uint64(16)) | np.uint64(words[group])
                low[k] = (low[k] << np.uint64(16)) | np.uint64(words[4 + group])
            found[k] = READ
        else:
            found[k] = OTHER
            others += 1
    return others


@kernel(BYTES)
def has_loose_spaces(text: Bytes) -> int:
    """Whether spaces stand anywhere but single, between two fields of a line."""
    before = np.int64(NEWLINE)
    for k in range(text.size):
        one = np.int64(text[k])
        if before == SPACE and (one == SPACE or one == NEWLINE or one == RETURN):
            return 1
        if one == SPACE and before == NEWLINE:
            return 1
        before = one
    return 1 if before == SPACE else 0


def addresses(text: Any, ends: Any) -> tuple[Any, Any, Any]:
    """(high, low, what was found) of the addresses that lie between ``ends`` in a text."""
    count = len(ends) - 1
    high, low, found = np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.uint8)
    read_addresses(text, ends, high, low, found, np.zeros(GROUPS, np.uint16))
    return high, low, found
