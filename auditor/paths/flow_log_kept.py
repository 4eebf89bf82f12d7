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


class GrowingColumn:
    """A column that grows in place: what it would be copied to takes as much memory again.

    ``kinds``: types that it may have, from narrow to wide; it has the first that holds all of its values. While these are
    all the same, as those of many columns of a log stay, there is no array at all.
    """

    def __init__(self, missing: int, *kinds: Any) -> None:
        self._missing, self._kinds = missing, kinds
        self._count = 0
        self._least, self._most = 0, -1  # of the values so far: these are one where both are the same
        self._values: Array | None = None

    def put(self, values: Array, begin: int) -> None:
        """Values of the rows from ``begin`` on; those before it that are not known are missing."""
        self._fill(begin)
        if len(values):
            self._hold(int(values.min()), int(values.max()), len(values))
            if self._values is not None:
                self._values[begin : begin + len(values)] = values

    def _fill(self, count: int) -> None:
        """Rows up to ``count`` that nothing is known of."""
        before = self._count
        if before < count:
            self._hold(self._missing, self._missing, count - before)
            if self._values is not None:
                self._values[before:count] = self._missing

    def _hold(self, least: int, most: int, more: int) -> None:
        """Have room for so many rows ``more``, whose values are from ``least`` to ``most``."""
        before, count = self._count, self._count + more
        same = self._least
        if before:
            least, most = min(least, same), max(most, self._most)
        self._count, self._least, self._most = count, least, most
        if least == most:
            return
        kind = next(kind for kind in self._kinds if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max)
        if self._values is None:
            self._values = np.full(count + GROWTH, same if before else 0, kind)
        if kind != self._values.dtype:
            self._values = self._values.astype(kind)
        if len(self._values) < count:
            self._values.resize(count + GROWTH, refcheck=False)

    def until(self, count: int) -> Array:
        """The column of ``count`` rows so far, to be read."""
        self._fill(count)
        return np.broadcast_to(self._kinds[0](0), 0) if not count else self._all()[:count]

    def _all(self) -> Array:
        if self._values is not None:
            return self._values
        kind = next(kind for kind in self._kinds if np.iinfo(kind).min <= self._least <= np.iinfo(kind).max)
        return np.broadcast_to(kind(self._least), self._count)

    def keep(self, mask: Array) -> None:
        """Some of the rows, as many as ``mask`` is long."""
        some = self.until(len(mask))
        self._count = int(mask.sum())
        if self._values is not None:
            self._values = some[mask] if self._count else None

    def whole(self, count: int) -> Array:
        """The column of ``count`` rows, which is let go."""
        self._fill(count)
        if self._values is not None:
            self._values.resize(count, refcheck=False)
        return self.until(count)


def whole_numbers() -> GrowingColumn:
    """A column of whole numbers."""
    return GrowingColumn(MISSING, np.int8, np.int16, np.uint16, np.int32, np.int64)


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
        self._kind, self._value = GrowingColumn(NONE, np.uint8), GrowingColumn(0, np.uint32)
        self._others = [GrowingColumn(0, np.uint64), GrowingColumn(0, np.uint64)]
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
        if not self._aside:
            return
        value = self._value.until(int(mask.sum())).copy()
        other = self._kind.until(len(value)) == OTHER
        for column in self._others:
            column.keep(np.isin(np.arange(self._aside), value[other]))
        self._aside = int(other.sum())
        value[other] = np.arange(self._aside)
        self._value = GrowingColumn(0, np.uint32)
        self._value.put(value, 0)

    def whole(self, count: int) -> KeptAddresses:
        """The column of ``count`` rows, which is let go."""
        others = Addresses(*(column.whole(self._aside) for column in self._others))
        return KeptAddresses(self._kind.whole(count), self._value.whole(count), others)


def nowhere(count: int) -> KeptAddresses:
    """A column that no log has."""
    zeros, nothing = np.broadcast_to(np.uint32(0), count), np.zeros(0, np.uint64)
    return KeptAddresses(zeros, zeros, Addresses(nothing, nothing))
