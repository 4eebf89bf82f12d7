"""Rows of tables as plain values, a batch at a time, and texts made harmless for what reads them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.report.audit import Audit

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
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


def rows(result: "Audit", table: str, *, times: str = "iso") -> Iterator[Row]:
    """The rows of a table; times in ISO 8601, or in nanoseconds since 1970 with ``times="ns"``."""
    import pyarrow as pa

    data = result.arrow(table)
    stamps = {name for name in data.column_names if pa.types.is_timestamp(data.schema.field(name).type)}
    for batch in data.to_batches(BATCH):
        columns = {}
        for name in data.column_names:
            column = batch.column(name)
            values = column.view(pa.int64()).to_pylist() if name in stamps else column.to_pylist()
            columns[name] = [iso(value) for value in values] if name in stamps and times == "iso" else values
        for k in range(batch.num_rows):
            yield {name: columns[name][k] for name in data.column_names}


def neutral(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text from the network gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(DANGEROUS) else value


def printable(text: Any) -> str:
    """Text without control characters, line ends and marks that turn the direction of writing."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))
