"""The columns of a part of a flow log, whatever types its writer chose: whole numbers in range, addresses and texts."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.border import rows
from auditor.border.gate import RefusedError
from auditor.paths import flow_log_kernels as kernels
from auditor.prefixes import parse_address

Array = np.ndarray[Any, Any]
MOST = (1 << 53) - 1
MISSING = -1
LATEST = 9_000_000_000  # seconds since 1970, in the year 2255: nanoseconds of later ones are not held by 64 bits
MILLI = 1000
MILLISECONDS = (
    1_000_000_000_000  # times from here on are in milliseconds since 1970, as many tools have them: from 2001 on
)
TIMES = ("start", "end")
UTC_SUFFIX = ("_UTC", " UTC")  # behind the times that Athena's from_unixtime makes; a blank in CSV has become "_"
RANGES = {
    "srcport": 65_535,
    "dstport": 65_535,
    "protocol": 255,
    "start": LATEST * MILLI,
    "end": LATEST * MILLI,
    "traffic-path": 255,
    "tcp-flags": 65_535,
    "encryption-status": 255,
}
TEXT = pa.dictionary(pa.int32(), pa.string())
INNER = {"pkt-srcaddr": "srcaddr", "pkt-dstaddr": "dstaddr"}  # addresses of packets, by those of interfaces


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
            outer = INNER.get(name)
            if outer is not None and outer in columns.addresses and _is_alike(table, name, outer):
                columns.addresses[name] = columns.addresses[outer]  # as nearly everywhere; what is wrong was noted
                continue
            columns.addresses[name], wrong = _addresses(table.column(name), name)
        else:
            columns.texts[name] = _coded(_texts(table.column(name), name))
            continue
        columns.bad |= wrong
    return columns


def _is_alike(table: pa.Table, name: str, other: str) -> bool:
    """Whether two columns of plain texts are the same."""
    one, two = table.column(name), table.column(other)
    return bool(one.type == two.type == pa.string() and one.equals(two))


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
    values = np.concatenate([np.zeros(0, np.int64), *(_filled(chunk, MISSING) for chunk in column.chunks)])
    wrong = (values < 0) | (values > most)
    if column.null_count:
        wrong &= ~np.concatenate([_missing(chunk) for chunk in column.chunks])
    if name in TIMES:
        wrong |= (values > LATEST) & (values < MILLISECONDS)
        values = np.where(values > LATEST, values // MILLI, values)
    return values, unread | wrong


def _missing(array: Any) -> Array:
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), bool)


def _filled(array: Any, missing: int) -> Array:
    """An array of whole numbers, some of them missing; Arrow's own way to fill them loads pandas."""
    data = array.buffers()[1]
    kind = np.dtype(array.type.to_pandas_dtype())
    values = np.frombuffer(data or b"", kind)[array.offset : array.offset + len(array)]
    return np.where(_missing(array), missing, values) if array.null_count else values


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
                known[value] = _time(value) if name in TIMES else rows.whole(value, 0, most)
            except RefusedError:
                known[value] = None
        values.append(known[value])
        bad[at] = known[value] is None
    return pa.chunked_array([pa.array(values, pa.int64())]), bad


def _time(value: Any) -> int:
    """Seconds since 1970 of a number, or of a date with a time, which is UTC where it does not say. Raises RefusedError."""
    if isinstance(value, str) and value[4:5] == "-":
        text = next((value.removesuffix(end) for end in UTC_SUFFIX if value.endswith(end)), value)
        return rows.nanoseconds(text.replace("_", " ", 1)) // 1_000_000_000
    return rows.whole(value, 0, LATEST * MILLI)


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
        parts.append(np.array([*codes, MISSING], np.int32)[_filled(chunk.indices, len(codes))])
    return list(known), np.concatenate(parts)


def _addresses(column: Any, name: str) -> tuple[Addresses, Array]:
    """A column as addresses, and the rows that hold something else."""
    high, low, bad = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    plain = column.type == pa.string()
    for chunk in column.chunks if plain else _texts(column, name).chunks:
        values = _parse(chunk if plain else chunk.dictionary)
        if not plain:
            indices = _filled(chunk.indices, len(chunk.dictionary))
            values = tuple(np.append(one, np.zeros(1, one.dtype))[indices] for one in values)
        for some, one in zip((high, low, bad), values, strict=True):
            some.append(one)
    return Addresses(np.concatenate(high), np.concatenate(low)), np.concatenate(bad)


def _parse(texts: Any) -> tuple[Array, ...]:
    """(high, low, wrong) of an array of texts: plain ones all at once, others one by one."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    high, low, found = kernels.addresses(np.frombuffer(data or b"", np.uint8), ends)
    wrong = found == kernels.OTHER
    if texts.null_count:
        missing = _missing(texts)
        wrong &= ~missing
        high[missing] = low[missing] = 0
    known: dict[str, tuple[int, int] | None] = {}
    for at in np.flatnonzero(wrong).tolist():
        text = texts[at].as_py()
        if text not in known:
            try:
                known[text] = parse_address(text)
            except ValueError:
                known[text] = None
        if (address := known[text]) is not None:
            high[at], low[at] = address
            wrong[at] = False
    return high, low, wrong
