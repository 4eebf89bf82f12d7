"""A workbook: a sheet for each table. No text becomes a formula or a link."""

import shutil
import tempfile
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO

from auditor.border.text import printable
from auditor.errors import AuditError
from auditor.machine.installing import install
from auditor.report.plain import iso
from auditor.report.results import Results
from auditor.tables import schema

MOST_ROWS = 1_048_576  # of a sheet, the header among them
FIRST_YEAR, LAST_YEAR = 1900, 9999
WIDTH = 18  # characters of a column
LONGEST_CELL = 32_767
MOST_BYTES = 16 << 20  # of a workbook that is made in memory
SHEETS = ("findings", "flows", "handshakes", "certificates", "requests", "evidence", "verdicts", "network", "witnesses")


class _Workbook(tempfile.SpooledTemporaryFile[bytes]):
    """What is there of a workbook. Once it is given up it takes all: its writer tries to complete it when that is collected."""

    is_given_up = False

    def write(self, data: Any) -> int:
        return len(data) if self.is_given_up else super().write(data)

    def seek(self, *place: int) -> int:
        return 0 if self.is_given_up else super().seek(*place)

    def tell(self) -> int:
        return 0 if self.is_given_up else super().tell()

    def flush(self) -> None:
        if not self.is_given_up:
            super().flush()


def write(result: Results, out: BinaryIO) -> None:
    """One sheet for each table; where rows do not fit into one, its last row says so."""
    try:
        from xlsxwriter.exceptions import XlsxFileError
    except ImportError as error:
        raise AuditError(f"--format xlsx needs XlsxWriter: {install('xlsx')}") from error
    # What is written to may be full, or a pipe, which a ZIP file's writer does not take well.
    with _Workbook(MOST_BYTES, prefix="audit-") as data:
        try:
            with tempfile.TemporaryDirectory(
                prefix="audit-"
            ) as folder:  # XlsxWriter leaves files of empty sheets behind
                _write(result, data, folder)
            data.seek(0)
        except (OSError, XlsxFileError) as error:
            data.is_given_up = True
            raise AuditError(
                f"--format xlsx: temporary files cannot be written: {error}; TMPDIR names their folder"
            ) from error
        shutil.copyfileobj(data, out)


def _write(result: Results, data: IO[bytes], folder: str) -> None:
    import xlsxwriter

    options = {
        "constant_memory": True,
        "tmpdir": folder,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "remove_timezone": True,  # a workbook's times have none: all are UTC
        "default_date_format": "yyyy-mm-dd hh:mm:ss.000",
    }
    book = xlsxwriter.Workbook(data, options)
    book.set_properties(
        {"created": datetime(1980, 1, 1, tzinfo=UTC), "comments": "traffic audit"}
    )  # the same input, the same bytes
    try:
        for table in (*SHEETS, "captures"):
            _sheet(result, book, table)
    finally:  # also where a table is damaged: it leaves no open files behind
        book.close()


def _sheet(result: Results, book: Any, table: str) -> None:
    """The sheet of a table."""
    sheet = book.add_worksheet(table)
    sheet.freeze_panes(1, 0)
    columns = [column.name for column in schema.TABLES[table]]
    times = {column.name for column in schema.TABLES[table] if column.type == schema.TIME}
    sheet.write_row(0, 0, columns, book.add_format({"bold": True}))
    sheet.set_column(0, len(columns) - 1, WIDTH)
    rows = 0
    for number, row in enumerate(result.records(table, times="ns")):
        if number + 2 >= MOST_ROWS:
            sheet.write_string(number + 1, 0, "more rows than a sheet holds: see the Parquet files")
            break
        rows = number + 1
        for k, name in enumerate(columns):
            value = row.get(name)
            _cell(sheet, rows, k, _moment(value) if name in times and value is not None else value)
    sheet.autofilter(0, 0, rows, len(columns) - 1)


def _moment(nanoseconds: int) -> datetime | str | None:
    """A time as a date of a workbook, to the microsecond; as text where its calendar has none."""
    try:
        moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC).replace(microsecond=nanoseconds % 10**9 // 1000)
    except (OverflowError, ValueError, OSError):
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else iso(nanoseconds)


def _cell(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, datetime):
        sheet.write_datetime(row, column, value.replace(tzinfo=None))
    elif isinstance(value, int | float) and abs(value) < 1 << 53:
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, printable(value)[:LONGEST_CELL])
