"""A table, or the whole audit in a form that has its own shape, as other programs read it."""

import csv
import io
import json
from pathlib import Path
from typing import BinaryIO

from auditor.border.text import cell
from auditor.errors import AuditError
from auditor.report.formats import FORMS
from auditor.report.output import opened
from auditor.report.results import Results

TABLE_FORMS = ("json", "jsonl", "csv", "parquet")


def export(
    result: Results, form: str, file: str | Path | BinaryIO, table: str = "flows", *, force: bool = False
) -> None:
    """Write to a file. Raises AuditError for a form or table that is none."""
    check(result, form, table)
    with opened(file, result, force=force) as out:
        write(result, form, table, out)


def check(result: Results, form: str, table: str) -> None:
    """Raise AuditError for a form or a table that there is not."""
    if table not in result.tables:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    if form not in FORMS and form not in TABLE_FORMS:
        raise AuditError(f"--format {form}: no such form; there are {', '.join([*TABLE_FORMS, *FORMS])}")


def write(result: Results, form: str, table: str, out: BinaryIO) -> None:
    """Write to an open file."""
    if form in FORMS:
        FORMS[form].write(result, out)
    elif form == "json":
        whole = {
            "audit": result.manifest,
            "findings": list(result.records("findings")),
            table: list(result.records(table)),
        }
        out.write(json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n")
    elif form == "jsonl":
        out.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in result.records(table))
    elif form == "csv":
        _csv(result, table, out)
    else:
        import pyarrow.parquet as pq

        data = io.BytesIO()
        pq.write_table(result.arrow(table), data)
        out.write(data.getvalue())


def _csv(result: Results, table: str, out: BinaryIO) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.arrow(table).column_names)
    for row in result.records(table):
        writer.writerow(map(cell, row.values()))
    text.flush()
    text.detach()
