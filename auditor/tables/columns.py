"""Columns on their way into tables: numpy arrays that become Arrow arrays without a detour.

Arrow arrays are built from buffers here, because ``pyarrow.array`` loads pandas (a quarter of a second and 40 MB), and
Arrow's compute functions take a tenth of a second to load; a short audit needs neither.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.border.text import is_harmless, printable

Array = np.ndarray[Any, Any]
MISSING = -1


def _validity(missing: Array | None) -> tuple[Any, int]:
    """Arrow's validity bitmap and the number of missing values; no bitmap where nothing is missing."""
    if missing is None or not missing.any():
        return None, 0
    return pa.py_buffer(np.packbits(~missing, bitorder="little")), int(missing.sum())


@dataclass(eq=False, repr=False)
class Numbers:
    """Numbers, times (nanoseconds) or booleans; ``missing`` marks values that are not known."""

    values: Array
    missing: Array | None = None

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, values: Sequence[Any], type_: Any) -> "Numbers":
        """From one number for each row, None for missing."""
        missing = np.array([v is None for v in values], bool)
        dtype = bool if pa.types.is_boolean(type_) else np.float64 if pa.types.is_floating(type_) else np.int64
        return cls(np.array([0 if v is None else v for v in values], dtype), missing)

    def take(self, at: Array) -> "Numbers":
        """The values at ``at``; missing where that is negative."""
        gone = at < 0
        if not len(self.values):
            return Numbers(np.zeros(len(at), self.values.dtype), gone)
        missing = gone if self.missing is None else gone | self.missing[at]
        return Numbers(self.values[at], missing)

    def three_valued(self) -> Array:
        """Booleans as 1, 0, and -1 for missing."""
        values = self.values.astype(np.int8)
        return values if self.missing is None else np.where(self.missing, MISSING, values)

    def arrow(self, type_: Any) -> Any:
        bitmap, count = _validity(self.missing)
        if pa.types.is_boolean(type_):
            data = np.packbits(self.values.astype(bool), bitorder="little")
        else:
            data = np.ascontiguousarray(self.values, np.float64 if pa.types.is_floating(type_) else np.int64)
        return pa.Array.from_buffers(type_, len(self.values), [bitmap, pa.py_buffer(data)], count)


@dataclass(eq=False, repr=False)
class Texts:
    """Texts of which many are equal: row n is ``values[index[n]]``, missing where that is None or index negative."""

    values: list[str | None]
    index: Array

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def constant(cls, value: str | None, count: int) -> "Texts":
        return cls([value], np.zeros(count, np.int64))

    @classmethod
    def of(cls, values: Sequence[str | None] | Array) -> "Texts":
        """From one text for each row."""
        codes = {value: number for number, value in enumerate(dict.fromkeys(values))}
        return cls(list(codes), np.fromiter(map(codes.__getitem__, values), np.int64, len(values)))

    def take(self, at: Array) -> "Texts":
        """The texts at ``at``; missing where that is negative."""
        if not len(self.index):
            return Texts([None], np.zeros(len(at), np.int64))
        return Texts(self.values, np.where(at < 0, MISSING, self.index[at]))

    def objects(self) -> Array:
        """One str or None for each row."""
        table = np.empty(len(self.values) + 1, object)
        table[:-1] = self.values
        table[-1] = None
        return table[self.index]

    def arrow(self, type_: Any) -> Any:
        if self.values.count(None) == len(self.values):
            return _none(type_, len(self))
        if not pa.types.is_dictionary(type_):  # dictionary_decode would load pyarrow.compute, which takes long
            return strings([*self.values, None], self.index)
        known = dict.fromkeys(self.values)
        known.pop(None, None)
        codes: dict[str | None, int] = dict(zip(known, range(len(known)), strict=True))
        codes[None] = MISSING
        of_value = [*map(codes.__getitem__, self.values), MISSING]
        index_type = type_.index_type
        rows: Array = np.array(of_value, np.int16 if index_type == pa.int16() else np.int32)[self.index]
        bitmap, count = _validity(rows < 0)
        used = in_order(rows, len(known))
        if not np.array_equal(used, np.arange(len(known))):
            number = np.full(len(known) + 1, MISSING, rows.dtype)
            number[used] = np.arange(len(used))
            rows = number[rows]
        if count:
            rows[rows < 0] = 0
        indices = pa.Array.from_buffers(index_type, len(rows), [bitmap, pa.py_buffer(rows)], count)
        texts = list(known)
        return pa.DictionaryArray.from_arrays(indices, strings([texts[number] for number in used.tolist()]))


@dataclass(eq=False, repr=False)
class Bytes:
    """Texts that are mostly different: row n is ``data[offsets[n]:offsets[n + 1]]``, ASCII."""

    data: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def arrow(self, type_: Any) -> Any:
        buffers = [None, pa.py_buffer(self.offsets.astype(np.int32)), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(type_, len(self), buffers, 0)


Column = Numbers | Texts | Bytes


def _none(type_: Any, count: int) -> Any:
    """An Arrow array of texts that are all missing, as most columns of flows are that are about TLS, paths and AWS."""
    bitmap = pa.py_buffer(bytes((count + 7) // 8)) if count else None
    zeros = pa.py_buffer(bytes(4 * (count + 1)))  # offsets, or numbers of texts, which are no wider
    if not pa.types.is_dictionary(type_):
        return pa.Array.from_buffers(type_, count, [bitmap, zeros, pa.py_buffer(b"")], count)
    return pa.DictionaryArray.from_arrays(
        pa.Array.from_buffers(type_.index_type, count, [bitmap, zeros], count), strings([])
    )


def in_order(rows: Array, count: int) -> Array:
    """The numbers below ``count`` that are in ``rows``, each where it comes first; negative ones are passed over.

    So a table has the same bytes by whatever numbers its texts were known before.
    """
    if count < 2:  # most columns, nearly always
        return np.arange(int((rows >= 0).any()) if count else 0)
    first = np.full(count + 1, len(rows))
    first[rows[::-1]] = np.arange(len(rows) - 1, -1, -1)  # of equal places the last one assigned counts
    used = np.flatnonzero(first[:count] < len(rows))
    return used[np.argsort(first[used])]


def strings(values: Sequence[str | None], index: Array | None = None) -> Any:
    """An Arrow array of strings: the values, or the value at each place of ``index``."""
    texts = [value or "" for value in values]
    joined = "".join(texts)
    if not is_harmless(joined):
        texts = [printable(text) for text in texts]
        joined = "".join(texts)
    sizes = np.fromiter(map(len, texts) if joined.isascii() else map(_utf8_size, texts), np.int64, len(texts))
    missing = np.zeros(len(values), bool)
    if None in values:
        empty = np.flatnonzero(sizes == 0)
        missing[empty] = [values[at] is None for at in empty.tolist()]
    if index is not None:
        table = np.array(texts, object)
        joined, sizes, missing = "".join(table[index].tolist()), sizes[index], missing[index]
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    bitmap, count = _validity(missing)
    return pa.Array.from_buffers(
        pa.string(), len(sizes), [bitmap, pa.py_buffer(offsets), pa.py_buffer(joined.encode())], count
    )


def _utf8_size(text: str) -> int:
    return len(text.encode())


def of_list(values: Sequence[Any], type_: Any) -> Column:
    """A column of a plain list, None for missing."""
    if pa.types.is_dictionary(type_) or pa.types.is_string(type_):
        return Texts.of([None if v is None else str(v) for v in values])
    return Numbers.of(values, type_)


def spread(values: Sequence[Any], index: Array, type_: Any) -> Numbers | Texts:
    """A column whose row n is ``values[index[n]]``."""
    if pa.types.is_dictionary(type_) or pa.types.is_string(type_):
        return Texts(list(values), index)
    return Numbers.of(values, type_).take(index)


def is_one_of(column: Array, values: Iterable[str]) -> Array:
    """Which of a column of str or None are among ``values``; ``np.isin`` would load ``numpy.ma`` for it."""
    wanted = frozenset(values)
    return np.fromiter((value in wanted for value in column.tolist()), bool, len(column))


def each_once(numbers: Array) -> Array:
    """Each of some numbers once, in order; ``np.unique`` loads ``numpy.ma`` where it is not asked for places as well."""
    return np.asarray(np.unique(numbers, return_index=True)[0])


_FACTOR = np.uint64(0x9E3779B97F4A7C15)
SEATINGS = 3


def mixed(*columns: Array) -> Array:
    """A hash of each row of columns of whole numbers."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        total ^= np.asarray(column).astype(np.uint64)
        total *= _FACTOR
        total ^= total >> np.uint64(29)
    return total


def _first_equal(keys: Array) -> Array:
    """The first row that has the same key as each row.

    Rows take seats by some bits of their keys, and the first to come sits; those who meet another key there try again by
    other bits. That takes a third of the time of sorting, which is left for what finds no seat.
    """
    bits = min(len(keys).bit_length() + 2, 64 // SEATINGS)
    first, rest, seats = np.empty(len(keys), np.int64), np.arange(len(keys)), np.empty(1 << bits, np.int64)
    for number in range(SEATINGS):
        seat = (keys[rest] >> np.uint64(bits * number) & np.uint64((1 << bits) - 1)).astype(np.int64)
        seats[seat[::-1]] = rest[::-1]  # of several in one seat the last one assigned stays
        first[rest] = seats[seat]
        rest = rest[keys[first[rest]] != keys[rest]]
        if not len(rest):
            return first
    _, firsts, index = np.unique(keys[rest], return_index=True, return_inverse=True)
    first[rest] = rest[firsts[index]]
    return first


def first_of_each(*columns: Array) -> tuple[Array, Array]:
    """Where each distinct combination of columns of whole numbers is met first, and the number of each row's.

    Combinations are numbered in the order in which they are met.
    """
    every = np.arange(len(columns[0]))
    columns = tuple(column for column in columns if bool((column != column[:1]).any()))
    if not columns:  # as often where all flows are of one kind
        return every[:1], np.zeros(len(every), np.int64)
    first = _first_equal(mixed(*columns))
    if any(bool((column != column[first]).any()) for column in columns):  # two combinations, one hash
        return every, every
    is_first = first == every
    return np.flatnonzero(is_first), (np.cumsum(is_first) - 1)[first]


def distinct(*columns: Array) -> tuple[Array, Array]:
    """The distinct combinations of integer columns, in the order in which they are met, and the number of each row's."""
    first, index = first_of_each(*map(np.asarray, columns))
    return np.stack([np.asarray(column)[first].astype(np.int64) for column in columns], axis=1), index
