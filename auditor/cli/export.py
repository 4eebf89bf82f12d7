"""Results on standard output or in a file, for other programs."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import BinaryIO

from auditor.errors import AuditError
from auditor.report.audit import Audit
from auditor.report.formats import FORMS
from auditor.report.records import neutral, rows


def export(result: Audit, form: str, table: str, target: Path | None = None) -> None:
    """Write a table, or the whole audit in a form that has its own shape, to a file or to standard output."""
    if table not in result.tables:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    if target is None:
        if (form == "parquet" or (form in FORMS and FORMS[form].is_binary)) and sys.stdout.isatty():
            raise AuditError(f"--format {form} writes binary data: redirect it to a file")
        sys.stdout.flush()
        _write(result, form, table, sys.stdout.buffer)
        return
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as out:
            _write(result, form, table, out)
        partial.replace(target)
    except OSError as error:
        raise AuditError(f"{target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _write(result: Audit, form: str, table: str, out: BinaryIO) -> None:
    if form in FORMS:
        FORMS[form].write(result, out)
    elif form == "json":
        whole = {"audit": result.manifest, "findings": list(rows(result, "findings")), table: list(rows(result, table))}
        out.write(json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n")
    elif form == "jsonl":
        out.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows(result, table))
    elif form == "csv":
        _csv(result, table, out)
    else:
        import pyarrow.parquet as pq

        data = io.BytesIO()
        pq.write_table(result.arrow(table), data)
        out.write(data.getvalue())


def _csv(result: Audit, table: str, out: BinaryIO) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.arrow(table).column_names)
    for row in rows(result, table):
        writer.writerow([neutral(value) for value in row.values()])
    text.flush()
    text.detach()
