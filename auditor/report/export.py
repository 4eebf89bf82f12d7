"""A table, or the whole audit in a form that has its own shape, as other programs read it."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from auditor.border.text import cell
from auditor.errors import AuditError
from auditor.report.formats import FORMS
from auditor.report.output import opened
from auditor.report.plain import records
from auditor.report.results import Results

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_FORMS = ("json", "jsonl", "csv", "parquet")


def export(
    result: Results,
    form: str,
    file: str | Path | BinaryIO,
    table: str = "flows",
    *,
    where: str | None = None,
    force: bool = False,
) -> None:
    """Write to a file; of a table only the rows of which ``where`` is true. Raises AuditError for a form or table that is none."""
    check(result, form, table, where)
    rows = rows_of(result, table, where) if form in TABLE_FORMS else None
    with opened(file, result, force=force) as out:
        write(result, form, table, out, rows)


def rows_of(result: Results, table: str, where: str | None) -> "pa.Table":
    """The rows of a table, or those of which a condition in SQL's words is true; of flows also a question of ``who``."""
    if where is None:
        return result.arrow(table)
    from auditor.report import asking, who

    return asking.rows_where(result, table, who.condition(result, where) if table == "flows" else where)


def check(result: Results, form: str, table: str, where: str | None = None) -> None:
    """Raise AuditError for a form or a table that there is not, or a condition on what is no table."""
    if where is not None and form not in TABLE_FORMS:
        raise AuditError(f"--where chooses rows of a table: it goes with --format {', '.join(TABLE_FORMS)}")
    if table not in result.tables:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    if form not in FORMS and form not in TABLE_FORMS:
        raise AuditError(f"--format {form}: no such form; there are {', '.join([*TABLE_FORMS, *FORMS])}")


def write(result: Results, form: str, table: str, out: BinaryIO, rows: "pa.Table | None" = None) -> None:
    """Write to an open file; ``rows``: those of the table, where they are not all."""
    if form in FORMS:
        FORMS[form].write(result, out)
        return
    data = result.arrow(table) if rows is None else rows
    if form == "json":
        whole = {
            "audit": result.manifest,
            "findings": list(result.records("findings")),
            table: list(records(data, "iso")),
        }
        out.write(json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n")
    elif form == "jsonl":
        out.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in records(data, "iso"))
    elif form == "csv":
        _csv(data, out)
    else:
        import pyarrow.parquet as pq

        packed = io.BytesIO()
        pq.write_table(data, packed)
        out.write(packed.getvalue())


def _csv(data: "pa.Table", out: BinaryIO) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(data.column_names)
    for row in records(data, "iso"):
        writer.writerow(map(cell, row.values()))
    text.flush()
    text.detach()
