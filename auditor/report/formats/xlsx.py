"""A workbook: a sheet for each table. No text becomes a formula or a link."""

import io
import tempfile
from datetime import UTC, datetime
from typing import Any, BinaryIO

from auditor.errors import AuditError
from auditor.report.plain import printable
from auditor.report.results import Results

MOST_ROWS = 1_048_576  # of a sheet, the header among them
LONGEST_CELL = 32_767
SHEETS = ("findings", "flows", "handshakes", "certificates", "requests", "evidence", "verdicts", "network", "witnesses")


def write(result: Results, out: BinaryIO) -> None:
    """One sheet for each table; rows that do not fit into one are told in its last row."""
    try:
        from xlsxwriter.exceptions import XlsxFileError
    except ImportError as error:
        raise AuditError("--format xlsx needs XlsxWriter: pip install 'traffic-auditor[xlsx]'") from error
    data = io.BytesIO()  # what is written to may be full, or a pipe, which a ZIP file's writer does not take well
    try:
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:  # XlsxWriter leaves files of empty sheets behind
            _write(result, data, folder)
    except (OSError, XlsxFileError) as error:
        raise AuditError(
            f"--format xlsx: temporary files cannot be written: {error}; TMPDIR names their folder"
        ) from error
    out.write(data.getvalue())


def _write(result: Results, data: BinaryIO, folder: str) -> None:
    import xlsxwriter

    options = {
        "constant_memory": True,
        "tmpdir": folder,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = xlsxwriter.Workbook(data, options)
    book.set_properties(
        {"created": datetime(1980, 1, 1, tzinfo=UTC), "comments": "traffic audit"}
    )  # the same input, the same bytes
    bold = book.add_format({"bold": True})
    for table in (*SHEETS, "captures"):
        sheet = book.add_worksheet(table)
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(result.records(table)):
            if number == 0:
                sheet.write_row(0, 0, list(row), bold)
            if number + 2 >= MOST_ROWS:
                sheet.write_string(number + 1, 0, "more rows than a sheet holds: see the Parquet files")
                break
            for k, value in enumerate(row.values()):
                _cell(sheet, number + 1, k, value)
    book.close()


def _cell(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float) and abs(value) < 1 << 53:
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, printable(value)[:LONGEST_CELL])
