"""Results on standard output for other programs."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from auditor.errors import AuditError
from auditor.report.audit import Audit

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
BATCH = 4096


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601 with nanoseconds."""
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def _rows(result: Audit, table: str) -> Iterator[dict[str, Any]]:
    data = result.arrow(table)
    for batch in data.to_batches(BATCH):
        columns = {name: batch.column(name).to_pylist() for name in data.column_names}
        for k in range(batch.num_rows):
            yield {name: _plain(values[k]) for name, values in columns.items()}


def neutral(value: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula: text from the network gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(DANGEROUS) else value


def export(result: Audit, form: str, table: str) -> None:
    """Write ``table`` (or, as ``json``, the manifest and findings) to standard output."""
    if table not in result.tables:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    if form == "json":
        whole = {
            "audit": result.manifest,
            "findings": list(_rows(result, "findings")),
            table: list(_rows(result, table)),
        }
        json.dump(whole, sys.stdout, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
    elif form == "jsonl":
        for row in _rows(result, table):
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.arrow(table).column_names)
        for row in _rows(result, table):
            writer.writerow([neutral(value) for value in row.values()])
    else:
        import pyarrow.parquet as pq

        if sys.stdout.isatty():
            raise AuditError("--format parquet writes binary data: redirect it to a file, or use --out DIR")
        data = io.BytesIO()
        pq.write_table(result.arrow(table), data)
        sys.stdout.buffer.write(data.getvalue())
