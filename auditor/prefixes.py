"""Longest prefix match of whole columns of addresses.

Nested prefixes are laid out as a sorted row of stretches, each with the number of the longest prefix that covers it, so
that a look-up is a binary search. Addresses are halves of 128-bit numbers, IPv4 as ::ffff:a.b.c.d.
"""

import ipaddress
import socket
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
V4_MAPPED = 0xFFFF << 32
NOTHING = -1
CHUNK = 1 << 20  # searching for sorted addresses is twice as fast, and sorting many at once is slow

Prefix = tuple[int, int, int]  # version (4 or 6), network, length


def parse(text: str) -> Prefix:
    """A prefix such as 10.0.0.0/8, host bits ignored. Raises ValueError for what is none."""
    net = ipaddress.ip_network(text, strict=False)
    return net.version, int(net.network_address), net.prefixlen


def parse_address(text: str) -> tuple[int, int]:
    """An address as halves of a 128-bit number. Raises ValueError for what is none."""
    try:  # many times as fast as ipaddress
        if ":" not in text:
            return 0, V4_MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        raw = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except OSError:
        raise ValueError(f"'{text}' is no IP address") from None
    return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")


def _stretches(networks: Array, lengths: Array, rows: Array, bits: int) -> tuple[Array, Array]:
    """Starts of stretches, and the row of the longest prefix that covers each; later ones win over equal earlier ones.

    Prefixes of one length are painted at a time, shortest first: they never overlap, so their edges say all.
    """
    last = np.uint64((1 << bits) - 1)
    size = np.array([(1 << (bits - n)) - 1 for n in range(bits + 1)], np.uint64)
    ends = networks + size[lengths]  # the last address of each
    edges = np.sort(np.concatenate([np.zeros(1, np.uint64), networks, ends[ends < last] + np.uint64(1)]))
    edges = edges[np.concatenate([[True], edges[1:] != edges[:-1]])]  # np.unique is several times slower
    covering = np.full(len(edges), NOTHING, np.int64)
    for length in np.flatnonzero(np.bincount(lengths, minlength=bits + 1)).tolist():
        at = np.flatnonzero(lengths == length)
        some = networks[at]
        order = np.argsort(some, kind="stable")
        last_of_equal = np.concatenate([some[order[1:]] != some[order[:-1]], [True]])
        at = at[order[last_of_equal]]
        paint = np.zeros(len(edges) + 1, np.int64)
        paint[np.searchsorted(edges, networks[at])] += rows[at] + 1
        paint[np.searchsorted(edges, ends[at], "right")] -= rows[at] + 1
        painted = np.cumsum(paint[:-1])
        covering[painted > 0] = painted[painted > 0] - 1
    keep = np.concatenate([[True], covering[1:] != covering[:-1]])
    return edges[keep], covering[keep].astype(np.int32)


class Prefixes:
    """Many prefixes, a few bytes each: columns that are appended to, read as a sequence of ``Prefix``."""

    def __init__(self, prefixes: Iterable[Prefix] = ()) -> None:
        self._version, self._length = array("B"), array("B")
        self._high, self._low = array("Q"), array("Q")  # of IPv4 the network is in ``low``
        for prefix in prefixes:
            self.append(prefix)

    def __len__(self) -> int:
        return len(self._version)

    def __iter__(self) -> Iterator[Prefix]:
        for version, high, low, length in zip(*self._all, strict=True):
            yield version, high << 64 | low, length

    def __getitem__(self, row: int) -> Prefix:
        return self._version[row], self._high[row] << 64 | self._low[row], self._length[row]

    def append(self, prefix: Prefix) -> None:
        version, network, length = prefix
        self._version.append(version)
        self._high.append(network >> 64)
        self._low.append(network & 0xFFFFFFFFFFFFFFFF)
        self._length.append(length)

    def extend(self, version: Array, high: Array, low: Array, length: Array) -> None:
        """Append columns."""
        for column, more in zip(self._all, (version, high, low, length), strict=True):
            column.frombytes(np.ascontiguousarray(more, column.typecode).tobytes())

    @property
    def _all(self) -> tuple["array[int]", ...]:
        return self._version, self._high, self._low, self._length

    def columns(self) -> tuple[Array, ...]:
        """Copies of version, both halves of the network (of IPv4 in the second), and length."""
        return tuple(np.array(column) for column in self._all)

    def shorter_than(self, bits: int) -> tuple[Array, "Prefixes"]:
        """The rows of prefixes shorter than so many bits, and these."""
        columns = self.columns()
        rows, some = np.flatnonzero(columns[3] < bits), Prefixes()
        some.extend(*(column[rows] for column in columns))
        return rows, some


class PrefixTable:
    """Prefixes numbered from 0 in the order given; of equal ones the last counts."""

    def __init__(self, prefixes: Iterable[Prefix] | Prefixes) -> None:
        whole = prefixes if isinstance(prefixes, Prefixes) else Prefixes(prefixes)
        version, high, low, length = whole.columns()
        self.count = len(whole)
        four, long = np.flatnonzero(version == 4), np.flatnonzero((version == 6) & (length > 64))
        six = np.flatnonzero((version == 6) & (length <= 64))
        self._four = self._lay_out(low[four], length[four], four, 32, np.uint32)
        self._six = self._lay_out(high[six], length[six], six, 64, np.uint64)
        order = long[np.argsort(length[long], kind="stable")]  # few: interfaces' own, as /125
        self._long = [(*whole[row][1:], row) for row in order.tolist()]

    @staticmethod
    def _lay_out(networks: Array, lengths: Array, rows: Array, bits: int, kind: Any) -> tuple[Array, Array]:
        starts, covering = _stretches(networks, lengths.astype(np.int64), rows, bits)
        return starts.astype(kind), covering

    def find(self, high: Array, low: Array) -> Array:
        """The number of the longest prefix that covers each address, NOTHING (-1) where none does (int64)."""
        high, low = np.asarray(high, np.uint64), np.asarray(low, np.uint64)
        covering = np.full(len(high), NOTHING, np.int64)
        if self.count == 0:
            return covering
        is_v4 = (high == 0) & (low >> np.uint64(32) == 0xFFFF)
        if is_v4.all():
            return self._search(self._four, low.astype(np.uint32))
        covering[is_v4] = self._search(self._four, low[is_v4].astype(np.uint32))
        covering[~is_v4] = self._search(self._six, high[~is_v4])
        for network, length, row in self._long:
            mask = np.uint64(0xFFFFFFFFFFFFFFFF >> (128 - length) << (128 - length) & 0xFFFFFFFFFFFFFFFF)
            same = (high == np.uint64(network >> 64)) & (low & mask == np.uint64(network & 0xFFFFFFFFFFFFFFFF))
            covering[same & ~is_v4] = row
        return covering

    @staticmethod
    def _search(table: tuple[Array, Array], keys: Array) -> Array:
        starts, rows = table
        covering = np.empty(len(keys), np.int64)
        for begin in range(0, len(keys), CHUNK):
            some = keys[begin : begin + CHUNK]
            order = np.argsort(some)
            covering[begin + order] = rows[np.searchsorted(starts, some[order], "right") - 1]
        return covering


class PrefixSet:
    """Whether addresses lie in any of some prefixes."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self.texts = tuple(dict.fromkeys(prefixes))
        self._table = PrefixTable(map(parse, self.texts))

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __contains__(self, address: tuple[int, int]) -> bool:
        return bool(self.covers(np.array([address[0]], np.uint64), np.array([address[1]], np.uint64))[0])

    def covers(self, high: Array, low: Array) -> Array:
        """A boolean for each address."""
        return self._table.find(high, low) >= 0
