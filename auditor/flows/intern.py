"""Equal byte strings get equal small numbers: hosts, server names and the shapes of hellos are kept once.

A capture of 100,000 handshakes has a few hundred different hellos; everything that is computed of a hello is computed
once for each number. Equality is of the bytes, not of a hash, so nobody can make one hello pass for another.

``arena`` holds the bytes one after the other. Row n of ``entries`` is (offset, length, next entry of its bucket) of
number n; row 0 is (how many rows are in use, bytes in use, the secret of the hash), so 0 stands for «none».
``buckets`` are the heads.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes, copy_bytes, same_bytes
from auditor.flows.keyed import keyed_hash, sip_hash
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, NUMBERS, Layout

Array = np.ndarray[Any, Any]
Entries: TypeAlias = NDArray[np.int64]
Buckets: TypeAlias = NDArray[np.int32]  # heads of chains, by hash

ENTRIES = 1024  # to begin with
# Most that one packet can add: a few hellos in one window, the end of the longest one, or the names of a DNS answer.
ROOM_BYTES, ROOM_ENTRIES = 280_000, 512


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


@inlined
def intern_crowded(entries: Entries, buckets: Buckets) -> bool:
    """Whether there are too few buckets for what a packet may add."""
    return 2 * (entries[0, 0] + ROOM_ENTRIES) > buckets.size


@part
def hash_bytes(data: Bytes, begin: int, end: int) -> np.uint64:
    """A hash that is the same in every run, for tables that lose by collision: what they lose must not be chance."""
    return sip_hash(data, begin, end, np.uint64(0), np.uint64(0))


@part
def intern(arena: Bytes, entries: Entries, buckets: Buckets, data: Bytes, begin: int, end: int) -> int:
    """The number of ``data[begin:end]``, a new one if it was not known."""
    length = end - begin
    bucket = np.int64(keyed_hash(data, begin, end, entries[0, 2]) & np.uint64(buckets.size - 1))
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


@kernel(BYTES, Layout(np.int64, 2), Layout(np.int32), BYTES)
def intern_bytes(arena: Bytes, entries: Entries, buckets: Buckets, data: Bytes) -> int:
    """The number of bytes that Python gives."""
    return intern(arena, entries, buckets, data, np.int64(0), np.int64(data.size))


@kernel(BYTES, Layout(np.int64, 2), NUMBERS, BYTES, Layout(np.int64, 2))
def keep(arena: Bytes, entries: Entries, numbers: NDArray[np.int64], kept: Bytes, rows: Entries) -> None:
    """Copy the strings with some numbers into emptied arrays, where they get the numbers from 1 on."""
    end = np.int64(0)
    for k in range(numbers.size):
        length = entries[numbers[k], 1]
        copy_bytes(arena, entries[numbers[k], 0], length, kept, end)
        rows[k + 1, 0] = end
        rows[k + 1, 1] = length
        end += length
    rows[0, 0] = numbers.size + 1
    rows[0, 1] = end
    rows[0, 2] = entries[0, 2]


@kernel(BYTES, Layout(np.int64, 2), Layout(np.int32))
def rehang(arena: Bytes, entries: Entries, buckets: Buckets) -> None:
    """Hang every entry into emptied buckets."""
    for entry in range(1, entries[0, 0]):
        offset = entries[entry, 0]
        code = keyed_hash(arena, offset, offset + entries[entry, 1], entries[0, 2])
        bucket = np.int64(code & np.uint64(buckets.size - 1))
        entries[entry, 2] = buckets[bucket]
        buckets[bucket] = entry
