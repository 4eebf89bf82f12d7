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


@dataclass
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


@dataclass
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
            return strings(self.objects().tolist())
        codes: dict[str, int] = {}
        of_value = [MISSING if v is None else codes.setdefault(v, len(codes)) for v in self.values]
        index_type = type_.index_type
        rows: Array = np.array([*of_value, MISSING], np.int16 if index_type == pa.int16() else np.int32)[self.index]
        bitmap, count = _validity(rows < 0)
        used = in_order(rows, len(codes))
        if not np.array_equal(used, np.arange(len(codes))):
            number = np.full(len(codes) + 1, MISSING, rows.dtype)
            number[used] = np.arange(len(used))
            rows = number[rows]
        if count:
            rows[rows < 0] = 0
        indices = pa.Array.from_buffers(index_type, len(rows), [bitmap, pa.py_buffer(rows)], count)
        texts = list(codes)
        return pa.DictionaryArray.from_arrays(indices, strings([texts[number] for number in used.tolist()]))


@dataclass
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


def strings(values: Sequence[str | None]) -> Any:
    """An Arrow array of strings."""
    missing = np.fromiter((v is None for v in values), bool, len(values)) if None in values else None
    texts = [v or "" for v in values]
    joined = "".join(texts)
    if not is_harmless(joined):
        texts = [printable(text) for text in texts]
        joined = "".join(texts)
    sizes = map(len, texts) if joined.isascii() else (len(text.encode()) for text in texts)
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(sizes, np.int64, len(texts)), out=offsets[1:])
    bitmap, count = _validity(missing)
    return pa.Array.from_buffers(
        pa.string(), len(values), [bitmap, pa.py_buffer(offsets), pa.py_buffer(joined.encode())], count
    )


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


_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def mixed(*columns: Array) -> Array:
    """A hash of each row of columns of whole numbers."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        total = (total ^ np.asarray(column).astype(np.uint64)) * _FACTOR
        total ^= total >> np.uint64(29)
    return total


def first_of_each(*columns: Array) -> tuple[Array, Array]:
    """Where each distinct combination of columns of whole numbers is met first, and the number of each row's."""
    if all(bool((column == column[:1]).all()) for column in columns):  # as often where all flows are of one kind
        return np.arange(min(1, len(columns[0]))), np.zeros(len(columns[0]), np.int64)
    _, first, index = np.unique(mixed(*columns), return_index=True, return_inverse=True)
    if any(bool((column != column[first][index]).any()) for column in columns):  # two combinations, one hash
        return np.arange(len(index)), np.arange(len(index))
    return first, index


def distinct(*columns: Array) -> tuple[Array, Array]:
    """The distinct combinations of integer columns, and the number of each row's combination."""
    first, index = first_of_each(*map(np.asarray, columns))
    return np.stack([np.asarray(column)[first].astype(np.int64) for column in columns], axis=1), index
