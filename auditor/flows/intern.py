"""Equal byte strings get equal small numbers: hosts, server names and the shapes of hellos are kept once.

A capture of 100,000 handshakes has a few hundred different hellos; everything that is computed of a hello is computed
once for each number. Equality is of the bytes, not of a hash, so nobody can make one hello pass for another.

``arena`` holds the bytes one after the other. Row n of ``entries`` is (offset, length, next entry of its bucket) of
number n; row 0 is (how many rows are in use, bytes in use, 0), so 0 stands for «none». ``buckets`` are the heads.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes, copy_bytes, mix, same_bytes
from auditor.machine.kernel import inlined, kernel, part, unchecked
from auditor.machine.signature import BYTES, Layout

Array = np.ndarray[Any, Any]
Entries: TypeAlias = NDArray[np.int64]
Buckets: TypeAlias = NDArray[np.int32]  # heads of chains, by hash

ARENA_BYTES, ENTRIES = 1 << 18, 1024
# Most that one packet can add: a few hellos in one window, or the names of a DNS answer.
ROOM_BYTES, ROOM_ENTRIES = 140_000, 512
USED = (0, 1)


def value(arena: Array, entries: Array, number: int) -> bytes:
    """The byte string with that number."""
    offset, length, _ = entries[number]
    return arena[offset : offset + length].tobytes()


def interned(entries: Array) -> int:
    """One more than the highest number in use."""
    return max(1, int(entries[0, 0]))


@inlined
def intern_full(arena: Bytes, entries: Entries) -> bool:
    """Whether a packet might find no room."""
    return arena.size - entries[0, 1] < ROOM_BYTES or entries.shape[0] - entries[0, 0] < ROOM_ENTRIES


def grow_intern(arena: Array, entries: Array) -> tuple[Array, Array, Array]:
    """Larger arrays with the same contents: (arena, entries, buckets)."""
    used = entries[0, 1]
    if len(arena) - used < ROOM_BYTES:
        larger = np.zeros(2 * len(arena), np.uint8)
        larger[:used] = arena[:used]
        arena = larger
    if len(entries) - entries[0, 0] < ROOM_ENTRIES:
        more = np.zeros((2 * len(entries), 3), np.int64)
        more[: len(entries)] = entries
        entries = more
    buckets = np.zeros(2 * len(entries), np.int32)
    rehang(arena, entries, buckets)
    return arena, entries, buckets


@unchecked
def hash_words(data: Bytes, begin: int, count: int) -> np.uint64:
    """A hash of ``count`` words of eight bytes; the range is checked once."""
    if count < 0 or begin < 0 or begin + 8 * count > data.size:
        raise IndexError
    total = np.uint64(0x9E3779B97F4A7C15)
    for n in range(count):
        at = begin + 8 * n
        word = np.uint64(0)
        for k in range(8):
            word |= np.uint64(data[at + k]) << np.uint64(8 * k)
        total = (total ^ word) * np.uint64(0xBF58476D1CE4E5B9)
        total ^= total >> np.uint64(29)
    return total


@part
def hash_bytes(data: Bytes, begin: int, end: int) -> np.uint64:
    words = (end - begin) >> 3
    total = hash_words(data, begin, words)
    at = begin + 8 * words
    word = np.uint64(end - begin)
    while at < end:
        word = (word << np.uint64(8)) | np.uint64(data[at])
        at += 1
    return mix(total ^ word)


@part
def intern(arena: Bytes, entries: Entries, buckets: Buckets, data: Bytes, begin: int, end: int) -> int:
    """The number of ``data[begin:end]``, a new one if it was not known."""
    length = end - begin
    bucket = np.int64(hash_bytes(data, begin, end) & np.uint64(buckets.size - 1))
    entry = np.int64(buckets[bucket])
    while entry > 0:
        if entries[entry, 1] == length:
            if same_bytes(data, begin, length, arena, entries[entry, 0]):
                return entry
        entry = entries[entry, 2]
    entry = max(1, entries[0, 0])
    offset = entries[0, 1]
    copy_bytes(data, begin, length, arena, offset)
    entries[entry, 0] = offset
    entries[entry, 1] = length
    entries[entry, 2] = buckets[bucket]
    buckets[bucket] = entry
    entries[0, 0] = entry + 1
    entries[0, 1] = offset + length
    return entry


@kernel(BYTES, Layout(np.int64, 2), Layout(np.int32))
def rehang(arena: Bytes, entries: Entries, buckets: Buckets) -> None:
    """Hang every entry into emptied buckets."""
    for entry in range(1, entries[0, 0]):
        offset = entries[entry, 0]
        code = hash_bytes(arena, offset, offset + entries[entry, 1])
        bucket = np.int64(code & np.uint64(buckets.size - 1))
        entries[entry, 2] = buckets[bucket]
        buckets[bucket] = entry
