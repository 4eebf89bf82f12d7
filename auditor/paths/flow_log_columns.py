"""The columns of a part of a flow log, whatever types its writer chose: whole numbers in range, addresses and texts."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.border import rows
from auditor.border.gate import RefusedError
from auditor.prefixes import V4_MAPPED, parse_address

Array = np.ndarray[Any, Any]
MOST = (1 << 53) - 1
LATEST = 9_000_000_000  # seconds since 1970, in the year 2255: nanoseconds of later ones are not held by 64 bits
RANGES = {
    "srcport": 65_535,
    "dstport": 65_535,
    "protocol": 255,
    "start": LATEST,
    "end": LATEST,
    "traffic-path": 255,
    "tcp-flags": 65_535,
    "encryption-status": 255,
}
TEXT = pa.dictionary(pa.int32(), pa.string())
LONGEST_V4 = 15  # characters


@dataclass
class Addresses:
    """A column of addresses, as halves of 128-bit numbers; (0, 0) for none."""

    high: Array
    low: Array

    def __getitem__(self, rows: Any) -> Array:
        return np.stack([self.high[rows], self.low[rows]], axis=-1)

    def is_there(self) -> Array:
        return np.asarray((self.low != 0) | (self.high != 0))

    def differs(self, other: "Addresses") -> Array:
        return np.asarray((self.low != other.low) | (self.high != other.high))

    def at(self, rows: Array) -> "Addresses":
        return Addresses(self.high[rows], self.low[rows])


@dataclass
class Columns:
    """Columns of some rows by name: numbers, -1 for none; addresses; texts as (values, their numbers), -1 for none."""

    numbers: dict[str, Array] = field(default_factory=dict)
    addresses: dict[str, Addresses] = field(default_factory=dict)
    texts: dict[str, tuple[list[str], Array]] = field(default_factory=dict)
    bad: Array = field(default_factory=lambda: np.zeros(0, bool))  # rows of which something cannot be read

    def __len__(self) -> int:
        return len(self.bad)

    def at(self, mask: Array) -> "Columns":
        return Columns(
            {name: values[mask] for name, values in self.numbers.items()},
            {name: values.at(mask) for name, values in self.addresses.items()},
            {name: (values, codes[mask]) for name, (values, codes) in self.texts.items()},
            self.bad[mask],
        )

    def is_value(self, name: str, wanted: Collection[str]) -> Array:
        values, codes = self.texts[name]
        return np.array([*(value in wanted for value in values), False])[codes]


def readable(table: pa.Table, numbers: Collection[str], addresses: Collection[str]) -> Columns:
    """The columns of a log. Raises RefusedError where one is of a type that holds neither numbers nor texts."""
    columns = Columns(bad=np.zeros(table.num_rows, bool))
    for name in table.column_names:
        if name in numbers:
            columns.numbers[name], wrong = _numbers(table.column(name), RANGES.get(name, MOST), name)
        elif name in addresses:
            columns.addresses[name], wrong = _addresses(table.column(name), name)
        else:
            columns.texts[name] = _coded(_texts(table.column(name), name))
            continue
        columns.bad |= wrong
    return columns


def _numbers(column: Any, most: int, name: str) -> tuple[Array, Array]:
    """A column as 64-bit numbers, and the rows that hold none, though something."""
    if pa.types.is_timestamp(column.type):  # of start and end: seconds, as AWS writes them
        column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    if not pa.types.is_integer(column.type):
        column, unread = _parsed(column, most, name)
    else:
        unread = np.zeros(len(column), bool)
        if column.type != pa.int64():
            try:
                column = column.cast(pa.int64())
            except pa.ArrowInvalid:  # unsigned ones beyond 64 bits
                column, unread = _parsed(column, most, name)
    missing = np.asarray(column.is_null().to_numpy(), bool) if column.null_count else np.zeros(len(column), bool)
    values = np.array(column.fill_null(-1).to_numpy(), np.int64)
    return values, unread | (((values < 0) | (values > most)) & ~missing)


def _parsed(column: Any, most: int, name: str) -> tuple[Any, Array]:
    """A column of texts or other numbers, each distinct one read once."""
    known: dict[Any, int | None] = {}
    values: list[int | None] = []
    bad = np.zeros(len(column), bool)
    for at, value in enumerate(_plain(column, name)):
        if value is None or value in ("-", ""):
            values.append(None)
            continue
        if value not in known:
            try:
                known[value] = rows.whole(value, 0, most)
            except RefusedError:
                known[value] = None
        values.append(known[value])
        bad[at] = known[value] is None
    return pa.chunked_array([pa.array(values, pa.int64())]), bad


def _plain(column: Any, name: str) -> list[Any]:
    if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise RefusedError(f"its column {name} is of type {str(column.type)[:60]}")
    return list(column.to_pylist())


def _texts(column: Any, name: str) -> Any:
    """A column as texts of which equal ones are kept once."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.type != TEXT:
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            column = pa.chunked_array([pa.array([None if v is None else _text(v) for v in _plain(column, name)], TEXT)])
        else:
            column = column.cast(pa.string()).dictionary_encode().cast(TEXT)
    return column


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _coded(column: Any) -> tuple[list[str], Array]:
    """A column of texts as distinct values and their numbers."""
    known: dict[str, int] = {}
    parts = [np.zeros(0, np.int32)]
    for chunk in column.chunks:
        codes = [known.setdefault(text, len(known)) for text in chunk.dictionary.to_pylist()]
        indices = np.asarray(chunk.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False))
        parts.append(np.array([*codes, -1], np.int32)[indices])
    return list(known), np.concatenate(parts)


def _addresses(column: Any, name: str) -> tuple[Addresses, Array]:
    """A column as addresses, and the rows that hold something else."""
    high, low, bad = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    plain = column.type == pa.string()
    for chunk in column.chunks if plain else _texts(column, name).chunks:
        values = _parse(chunk if plain else chunk.dictionary)
        if not plain:
            indices = np.asarray(chunk.indices.fill_null(len(chunk.dictionary)).to_numpy(zero_copy_only=False))
            values = tuple(np.append(one, np.zeros(1, one.dtype))[indices] for one in values)
        for some, one in zip((high, low, bad), values, strict=True):
            some.append(one)
    return Addresses(np.concatenate(high), np.concatenate(low)), np.concatenate(bad)


def _parse(texts: Any) -> tuple[Array, ...]:
    """(high, low, wrong) of an array of texts: those of IPv4 all at once, others one by one."""
    high, low = np.zeros(len(texts), np.uint64), np.zeros(len(texts), np.uint64)
    missing = np.asarray(texts.is_null().to_numpy(zero_copy_only=False), bool)
    value, is_v4 = _v4(texts)
    is_v4 &= ~missing
    low[is_v4] = value[is_v4] | np.uint64(V4_MAPPED)
    wrong = ~is_v4 & ~missing
    others = np.flatnonzero(wrong)
    known: dict[str, tuple[int, int] | None] = {"-": (0, 0), "": (0, 0)}
    for at, text in zip(others.tolist(), texts.take(pa.array(others)).to_pylist(), strict=True):
        if text not in known:
            try:
                known[text] = parse_address(text)
            except ValueError:
                known[text] = None
        if (address := known[text]) is not None:
            high[at], low[at] = address
            wrong[at] = False
    return high, low, wrong


def _v4(texts: Any) -> tuple[Array, Array]:
    """The value of each text that is an IPv4 address in the form that inet_pton(3) takes, and which are."""
    _, offsets, data = texts.buffers()
    count = len(texts)
    begin = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + count + 1].astype(np.int64)
    length = np.diff(begin)
    characters = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    characters = np.append(characters, np.zeros(LONGEST_V4, np.uint8))
    good = (length > 0) & (length <= LONGEST_V4)
    value, octet = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    digits, dots = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    for place in range(LONGEST_V4):
        inside = place < length
        one = characters[np.where(good, begin[:-1], 0) + place]
        dot, digit = inside & (one == ord(".")), inside & (one - np.uint8(ord("0")) <= 9)
        good &= ~inside | digit | (dot & (digits > 0))
        good &= ~(digit & (digits > 0) & (octet == 0))  # no leading zeros
        octet = np.where(digit, octet * np.uint64(10) + (one - np.uint8(ord("0"))), octet)
        good &= octet <= 255
        value = np.where(dot, value << np.uint64(8) | octet, value)
        octet[dot] = 0
        digits = np.where(dot, 0, digits + digit)
        dots += dot
    good &= (dots == 3) & (digits > 0)
    return value << np.uint64(8) | octet, good
