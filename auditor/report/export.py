"""A table, or the whole audit in a form that has its own shape, as other programs read it."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.border.text import cell
from auditor.errors import AuditError
from auditor.report.formats import FORMS
from auditor.report.output import opened
from auditor.report.plain import records
from auditor.report.results import Results
from auditor.tables.schema import schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from auditor.report.plain import Row

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
    wanted = None if where is None else wanted_of(result, table, where)
    with opened(file, result, force=force) as out:
        write(result, form, table, out, wanted)


def wanted_of(result: Results, table: str, where: str) -> "np.ndarray[Any, Any]":
    """The places of rows of which a condition in SQL's words is true; of flows also a question of ``who``."""
    from auditor.report import asking, who

    return asking.places_where(result, table, who.condition(result, where) if table == "flows" else where)


def check(result: Results, form: str, table: str, where: str | None = None) -> None:
    """Raise AuditError for a form or a table that there is not, or a condition on what is no table."""
    if where is not None and form not in TABLE_FORMS:
        raise AuditError(f"--where chooses rows of a table: it goes with --format {', '.join(TABLE_FORMS)}")
    if table not in result.tables:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    if form not in FORMS and form not in TABLE_FORMS:
        raise AuditError(f"--format {form}: no such form; there are {', '.join([*TABLE_FORMS, *FORMS])}")


def write(result: Results, form: str, table: str, out: BinaryIO, wanted: "np.ndarray[Any, Any] | None" = None) -> None:
    """Write to an open file; ``wanted``: places of rows of the table, where they are not all."""
    if form in FORMS:
        FORMS[form].write(result, out)
        return
    parts = result.parts(table, wanted=wanted)
    if form == "json":
        _json(result, table, parts, out)
    elif form == "jsonl":
        out.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in _rows(parts))
    elif form == "csv":
        _csv(table, parts, out)
    else:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(out, schema(table)) as writer:
            for part in parts:
                writer.write_table(part)


def _rows(parts: "Iterable[pa.Table]") -> "Iterator[Row]":
    return (row for part in parts for row in records(part, "iso"))


def _json(result: Results, table: str, parts: "Iterable[pa.Table]", out: BinaryIO) -> None:
    """One document of the manifest, the findings and the table, whose rows are written one by one."""
    head = json.dumps(
        {"audit": result.manifest, "findings": list(result.records("findings"))}, ensure_ascii=False, indent=1
    )
    out.write(head.removesuffix("\n}").encode())
    if table != "findings":  # which are there
        between = f",\n {json.dumps(table)}: ["
        for row in _rows(parts):
            text = json.dumps(row, ensure_ascii=False, indent=1).replace("\n", "\n  ")
            out.write(f"{between}\n  {text}".encode())
            between = ","
        out.write(b"\n ]" if between == "," else f"{between}]".encode())
    out.write(b"\n}\n")


def _csv(table: str, parts: "Iterable[pa.Table]", out: BinaryIO) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=False)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(schema(table).names)
    for row in _rows(parts):
        writer.writerow(map(cell, row.values()))
    text.flush()
    text.detach()
