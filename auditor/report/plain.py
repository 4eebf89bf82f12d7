"""Rows of tables as plain values, a batch at a time."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


BATCH = 4096
Row = dict[str, Any]


def iso(nanoseconds: int | None) -> str | None:
    """A time in ISO 8601 with nanoseconds, UTC."""
    if nanoseconds is None:
        return None
    from datetime import UTC, datetime

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (OverflowError, ValueError, OSError):
        return None


def values(column: Any) -> list[Any]:
    """An Arrow column as plain values, times in nanoseconds since 1970 (as timestamps they would need pandas)."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in values(chunk)]
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    if pa.types.is_dictionary(column.type):
        texts = column.dictionary.to_pylist()
        return [None if code is None else texts[code] for code in values(column.indices)]
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return list(column.to_pylist())
    # From the buffer itself: to_numpy would load pandas.
    numbers = np.frombuffer(column.buffers()[1], str(column.type).replace("double", "float64"))
    return list(numbers[column.offset : column.offset + len(column)].tolist())


def coded(column: Any) -> tuple[Any, list[Any]]:
    """A dictionary-encoded column of a batch as numbers of its distinct values (-1 for missing), and these values."""
    return numbered(column.indices, -1).astype(np.int64), column.dictionary.to_pylist()


def numbered(column: Any, missing: float) -> Any:
    """A column of a batch as numbers: whole ones, others, times in nanoseconds since 1970, and 1 and 0 of true and false."""
    import pyarrow as pa

    if not len(column):
        return np.zeros(0, np.int64)
    span, (validity, data) = slice(column.offset, column.offset + len(column)), column.buffers()
    if pa.types.is_boolean(column.type):
        numbers = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[span]
    else:
        kind = np.int64 if pa.types.is_timestamp(column.type) else str(column.type).replace("double", "float64")
        numbers = np.frombuffer(data, kind)[span]
    if not column.null_count:
        return numbers
    there = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[span]
    return np.where(there == 1, numbers, np.array(missing, np.result_type(numbers, type(missing))))


def records(data: "pa.Table", times: str) -> Iterator[Row]:
    """The rows of an Arrow table; times in ISO 8601 (``"iso"``) or in nanoseconds since 1970 (``"ns"``)."""
    import pyarrow as pa

    names = data.column_names
    stamps = {name for name in names if pa.types.is_timestamp(data.schema.field(name).type)}
    for batch in data.to_batches(BATCH):
        lists = [values(batch.column(name)) for name in names]
        if times == "iso":
            lists = [
                [iso(value) for value in column] if name in stamps else column
                for name, column in zip(names, lists, strict=True)
            ]
        for cells in zip(*lists, strict=True):
            yield dict(zip(names, cells, strict=True))


def about(row: Row) -> str:
    """What a row of ``findings`` is about: the client's network and the service."""
    service = f"{row['service']} {row['region'] or ''}".rstrip()
    return f"{row['client_group']} → {service}" if row["client_group"] else service


def finding_uid(row: Mapping[str, Any], sums: Mapping[str, str]) -> str:
    """An id that names the same finding in every run: of its rule, clients, service and Region, or of the capture it is about.

    It depends neither on what else was audited nor on where the capture lies; ``sums``: SHA-256 of captures.
    """
    about_capture = row["client_group"] is None and row["service"] == row["capture"]
    service = sums.get(row["capture"] or "", "") if about_capture else row["service"]
    parts = [row[name] or "" for name in ("policy", "rule", "verdict", "client_group", "region")]
    return hashlib.sha256("\0".join([*parts, service or ""]).encode()).hexdigest()[:32]
