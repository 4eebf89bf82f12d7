"""The records of an MRT dump as rows: a route of one peer each, with the number of its set of attributes.

A full table has a million routes, of many peers often fifty million, but few distinct sets of attributes if the AS path
is left out of them. So the kernel keeps where each set was first met, and only that one is parsed in Python.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes, be16, be32, same_bytes
from auditor.flows.keyed import keyed_hash
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, Layout

# One peer's route for one prefix. ``first``: it is the first of its prefix; ``length``: of its AS path, 0: see the set.
ENTRY = np.dtype(
    [
        ("high", "u8"),  # the prefix's address as a number: IPv4 in the 32 lowest bits, IPv6 in both halves
        ("low", "u8"),
        ("set", "i4"),
        ("length", "i4"),
        ("identifier", "u4"),  # of an additional path (RFC 8050), else 0
        ("peer", "u2"),  # by the table of peers
        ("bits", "u1"),
        ("version", "u1"),
        ("first", "u1"),
    ]
)
# A set of attributes, by where it was first met. ``path``: where its AS path's attribute begins, -1 where it stays in.
ATTRIBUTES = np.dtype([("start", "i8"), ("end", "i8"), ("path", "i8"), ("path_end", "i8")])
EntryRows: TypeAlias = NDArray[Any]
SetRows: TypeAlias = NDArray[Any]
SetRow: TypeAlias = Any

MORE, ROOM, CUT, LONG = 0, 1, 2, 3  # how ``list_entries`` ended; ROOM: for entries or sets, none for a record's
MOST_ENTRIES = 1 << 16  # of a record, whose count has 16 bits
TABLE_DUMP_V2 = 13
V4_UNICAST, V6_UNICAST, V4_ADDPATH, V6_ADDPATH = 2, 4, 8, 10  # RFC 6396 4.3, RFC 8050 4
AS_PATH, AS_SEQUENCE, EXTENDED_LENGTH = 2, 2, 0x10


@part
def find_path(data: Bytes, one: SetRow) -> int:
    """Find the AS path of a set, if it is one sequence of numbers in four bytes; how many it has.

    A path of more than one segment, or with a long header, stays in the set: such ones are parsed each.
    """
    at, end = np.int64(one.start), np.int64(one.end)
    one.path, one.path_end = -1, -1
    while at + 3 <= end:
        long = data[at] & EXTENDED_LENGTH != 0
        if data[at + 1] == AS_PATH:
            if long or at + 9 > end:
                return 0
            size = np.int64(data[at + 2])
            count = np.int64(data[at + 4])
            if size < 6 or data[at + 3] != AS_SEQUENCE or 2 + 4 * count != size or at + 3 + size > end:
                return 0
            one.path, one.path_end = at, at + 3 + size
            return count
        if long and at + 4 > end:
            return 0
        at += 4 + np.int64(be16(data, at + 2)) if long else 3 + np.int64(data[at + 2])
    return 0


@part
def hash_of(data: Bytes, one: SetRow, seed: int) -> np.uint64:
    """A hash of a set without its AS path, of which only the first number counts."""
    path, end = np.int64(one.path), np.int64(one.end)
    if path < 0:
        return keyed_hash(data, np.int64(one.start), end, np.int64(seed))
    before = keyed_hash(data, np.int64(one.start), path + 2, np.int64(seed))
    return keyed_hash(data, np.int64(one.path_end), end, np.int64(before + np.uint64(be32(data, path + 5))))


@part
def same_set(data: Bytes, one: SetRow, other: SetRow) -> bool:
    """Whether two sets are equal without their AS paths but for the first numbers of these."""
    if one.path < 0 or other.path < 0:
        size = np.int64(one.end - one.start)
        both = one.path < 0 and other.path < 0 and size == other.end - other.start
        return both and same_bytes(data, np.int64(one.start), size, data, np.int64(other.start))
    before, after = np.int64(one.path + 2 - one.start), np.int64(one.end - one.path_end)
    return (
        before == other.path + 2 - other.start
        and after == other.end - other.path_end
        and be32(data, one.path + 5) == be32(data, other.path + 5)
        and same_bytes(data, np.int64(one.start), before, data, np.int64(other.start))
        and same_bytes(data, np.int64(one.path_end), after, data, np.int64(other.path_end))
    )


@part
def number_of(data: Bytes, sets: SetRows, slots: NDArray[np.int32], have: int, seed: int) -> int:
    """The number of the set that lies at ``sets[have]``: that of an equal one that was met before, else ``have``."""
    mask = np.uint64(slots.size - 1)
    place = hash_of(data, sets[have], seed) & mask
    while slots[np.int64(place)] >= 0:
        number = np.int64(slots[np.int64(place)])
        if same_set(data, sets[number], sets[have]):
            return number
        place = (place + np.uint64(1)) & mask
    slots[np.int64(place)] = have
    return have


@part
def note_prefix(data: Bytes, at: int, bits: int, width: int, entry: SetRow) -> None:
    """A prefix's address, of which a record has only the bytes that its length needs (RFC 6396 4.3.2)."""
    high, low = np.uint64(0), np.uint64(0)
    for k in range((bits + 7) >> 3):
        byte = np.uint64(data[at + k])
        if width == 32:
            low |= byte << np.uint64(24 - 8 * k)
        elif k < 8:
            high |= byte << np.uint64(56 - 8 * k)
        else:
            low |= byte << np.uint64(120 - 8 * k)
    entry.high, entry.low, entry.bits = high, low, bits
    entry.version = 4 if width == 32 else 6


@inlined
def width_of(data: Bytes, at: int) -> int:
    """Bits of the addresses of a record's kind; 0 for one that holds no unicast routes."""
    if be16(data, at + 4) != TABLE_DUMP_V2:
        return 0
    subtype = be16(data, at + 6)
    if subtype == V4_UNICAST or subtype == V4_ADDPATH:
        return 32
    return 128 if subtype == V6_UNICAST or subtype == V6_ADDPATH else 0


@part
def count_of(data: Bytes, begin: int, end: int, width: int) -> int:
    """How many entries a record's body says to have; -CUT or -LONG where it cannot be so."""
    if begin + 7 > end:
        return -CUT
    bits = np.int64(data[begin + 4])
    if bits > width:
        return -LONG
    here = begin + 5 + ((bits + 7) >> 3)
    return -CUT if here + 2 > end else np.int64(be16(data, here))


@kernel(BYTES, int)
def behind_routes_from(data: Bytes, at: int) -> int:
    """Where the first record from ``data[at]`` on begins that holds no unicast routes of a dump, or does not fit; else the end."""
    while at + 12 <= data.size and width_of(data, at) != 0:
        end = at + 12 + np.int64(be32(data, at + 8))
        if end > data.size:
            break
        at = end
    return at


@kernel(BYTES, int, int, int, Layout(ENTRY), Layout(ATTRIBUTES), Layout(np.int32), int)
def list_entries(
    data: Bytes, at: int, stop: int, seed: int, entries: EntryRows, sets: SetRows, slots: NDArray[np.int32], have: int
) -> tuple[int, int, int, int]:
    """List the routes of a dump's records from ``data[at]`` to ``stop``; how many, the next record, how many sets, and how it ended.

    ``have`` sets are known from before. After CUT and LONG the next record is the damaged one.
    """
    listed = 0
    while at < stop:
        begin = at + 12
        end = begin + np.int64(be32(data, at + 8))
        width = width_of(data, at)
        count = count_of(data, begin, end, width)
        if count < 0:
            return listed, at, have, -count
        if listed + count > entries.size or have + count > sets.size:
            return listed, at, have, ROOM
        extra = 4 if be16(data, at + 6) >= V4_ADDPATH else 0
        bits = np.int64(data[begin + 4])
        here = begin + 7 + ((bits + 7) >> 3)
        for k in range(count):
            start = here + 8 + extra
            if start > end or start + np.int64(be16(data, start - 2)) > end:
                return listed, at, have, CUT
            here = start + np.int64(be16(data, start - 2))
            sets[have].start, sets[have].end = start, here
            entry = entries[listed]
            entry.peer = be16(data, start - 8 - extra)
            entry.identifier = be32(data, start - 6) if extra else 0
            note_prefix(data, begin + 5, bits, width, entry)
            entry.length = find_path(data, sets[have])
            entry.set = number_of(data, sets, slots, have, seed)
            if entry.set == have:
                have += 1
            entry.first = 1 if k == 0 else 0
            listed += 1
        at = end
    return listed, at, have, MORE
