"""The columns of a flow log, whatever types its writer chose: whole numbers in range and texts; rows that are neither."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.border import rows
from auditor.border.gate import RefusedError
from auditor.prefixes import parse_address

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
NEVER_MISSING = ("srcaddr", "start")  # without them a row says nothing


def readable(table: pa.Table, numbers: Iterable[str], addresses: Iterable[str]) -> tuple[pa.Table, int]:
    """The rows of a log that can be read, with columns of one type each, and how many cannot.

    Raises RefusedError where a column is of a type that holds neither numbers nor texts.
    """
    bad = np.zeros(table.num_rows, bool)
    columns = {}
    for name in table.column_names:
        if name in numbers:
            columns[name], wrong = _numbers(table.column(name), RANGES.get(name, MOST), name)
        else:
            columns[name] = _texts(table.column(name), name)
            wrong = _no_address(columns[name]) if name in addresses else np.zeros(table.num_rows, bool)
        bad |= wrong
    # A row without data has no addresses, and says so by its status.
    if bad.any() and "log-status" in columns:
        status = columns["log-status"].to_pylist()
        bad &= np.fromiter((one in ("OK", None) for one in status), bool, len(status))
    whole = pa.table(columns)
    return (whole.filter(pa.array(~bad)), int(bad.sum())) if bad.any() else (whole, 0)


def _numbers(column: Any, most: int, name: str) -> tuple[Any, Array]:
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
    values = np.asarray(column.fill_null(0).to_numpy(), np.int64)
    beyond = (values < 0) | (values > most)
    return column, unread | beyond


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


def _no_address(column: Any) -> Array:
    """The rows that hold something that is no address."""
    bad = [np.zeros(0, bool)]
    for chunk in column.chunks:
        wrong = [not _is_address(text) for text in chunk.dictionary.to_pylist()]
        codes = np.asarray(chunk.indices.fill_null(len(wrong)).to_numpy(zero_copy_only=False))
        bad.append(np.array([*wrong, False])[codes])
    return np.concatenate(bad)


def _is_address(text: str | None) -> bool:
    if text in (None, "-", ""):
        return True
    try:
        parse_address(text)
    except ValueError:
        return False
    return True
