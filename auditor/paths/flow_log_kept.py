"""Columns of flow logs that are kept: in as few bytes as their values need, and grown in place.

A log has many times more rows than its captures have flows. Most of its numbers are small, its times fit 32 bits, and
nearly all of its addresses are IPv4; others are kept aside, in the order in which they came.
"""

from typing import Any

import numpy as np

from auditor.paths.flow_log_columns import MISSING, Addresses
from auditor.prefixes import V4_MAPPED

Array = np.ndarray[Any, Any]
GROWTH = 1 << 18  # rows that a column grows by
LOW_32 = np.uint64(0xFFFFFFFF)
NONE, V4, OTHER = 0, 1, 2  # of an address: none, IPv4, kept aside


class Growing:
    """A column that grows in place: what it would be copied to takes as much memory again.

    ``kinds``: types that it may have, from narrow to wide; it has the first that holds all of its values.
    """

    def __init__(self, missing: int, *kinds: Any) -> None:
        self._missing, self._kinds = missing, kinds
        self._values = np.zeros(0, kinds[0])

    def put(self, values: Array, begin: int) -> None:
        """Values of the rows from ``begin`` on; those before it that are not known are missing."""
        self._widen(values)
        self._reach(begin)
        self._reach(begin + len(values), GROWTH)
        self._values[begin : begin + len(values)] = values

    def _widen(self, values: Array) -> None:
        least, most = int(values.min(initial=0)), int(values.max(initial=0))
        fits = (kind for kind in self._kinds if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max)
        kind = np.promote_types(next(fits), self._values.dtype)
        if kind != self._values.dtype:
            self._values = self._values.astype(kind)

    def _reach(self, count: int, more: int = 0) -> None:
        before = len(self._values)
        if before < count:
            self._values.resize(count + more, refcheck=False)
            self._values[before:] = self._missing

    def until(self, count: int) -> Array:
        """The column of ``count`` rows so far."""
        self._reach(count)
        return self._values[:count]

    def keep(self, mask: Array) -> None:
        """Some of the rows, as many as ``mask`` is long."""
        self._values = self.until(len(mask))[mask]

    def whole(self, count: int) -> Array:
        """The column of ``count`` rows, which is let go."""
        self._reach(count)
        self._values.resize(count, refcheck=False)
        return self._values


def whole_numbers() -> Growing:
    """A column of whole numbers."""
    return Growing(MISSING, np.int8, np.int16, np.int32, np.int64)


class KeptAddresses:
    """A column of addresses that is kept: a number of 32 bits for each, of IPv4 the address, else its place among others."""

    def __init__(self, kind: Array, value: Array, others: Addresses) -> None:
        self._kind, self._value, self._others = kind, value, others

    def __getitem__(self, rows: Any) -> Array:
        """The halves of some addresses."""
        some = self.at(rows)
        return np.stack([some.high, some.low], axis=-1)

    def at(self, rows: Any) -> Addresses:
        """Some of the addresses; (0, 0) for none."""
        kind, value = self._kind[rows], self._value[rows].astype(np.uint64)
        high, low = np.zeros_like(value), np.where(kind == V4, value | np.uint64(V4_MAPPED), np.uint64(0))
        if len(self._others.low):
            aside = np.where(kind == OTHER, value, np.uint64(0)).astype(np.int64)
            high = np.where(kind == OTHER, self._others.high[aside], high)
            low = np.where(kind == OTHER, self._others.low[aside], low)
        return Addresses(high, low)


class GrowingAddresses:
    """A column of addresses on its way."""

    def __init__(self) -> None:
        self._kind, self._value = Growing(NONE, np.uint8), Growing(0, np.uint32)
        self._others = [Growing(0, np.uint64), Growing(0, np.uint64)]
        self._aside = 0

    def put(self, some: Addresses, begin: int) -> None:
        """Addresses of the rows from ``begin`` on."""
        v4 = (some.high == 0) & (some.low & ~LOW_32 == np.uint64(V4_MAPPED))
        other = some.is_there() & ~v4
        value = some.low & LOW_32
        if count := int(other.sum()):
            value[other] = np.arange(self._aside, self._aside + count, dtype=np.uint64)
            for column, half in zip(self._others, (some.high, some.low), strict=True):
                column.put(half[other], self._aside)
            self._aside += count
        self._kind.put(np.where(other, OTHER, v4).astype(np.uint8), begin)
        self._value.put(value, begin)

    def keep(self, mask: Array) -> None:
        """Some of the rows, as many as ``mask`` is long."""
        self._kind.keep(mask)
        self._value.keep(mask)
        value = self._value.until(int(mask.sum()))
        other = self._kind.until(len(value)) == OTHER
        for column in self._others:
            column.keep(np.isin(np.arange(self._aside), value[other]))
        self._aside = int(other.sum())
        value[other] = np.arange(self._aside)

    def whole(self, count: int) -> KeptAddresses:
        """The column of ``count`` rows, which is let go."""
        others = Addresses(*(column.whole(self._aside) for column in self._others))
        return KeptAddresses(self._kind.whole(count), self._value.whole(count), others)


def nowhere(count: int) -> KeptAddresses:
    """A column that no log has."""
    zeros, nothing = np.broadcast_to(np.uint32(0), count), np.zeros(0, np.uint64)
    return KeptAddresses(zeros, zeros, Addresses(nothing, nothing))
