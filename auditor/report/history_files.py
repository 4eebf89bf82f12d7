"""The files of a history: a folder with a Parquet file for each audit, written whole; and DuckDB files of before.

A file may be somebody else's. Of Parquet, columns and sizes are looked at before anything is unpacked. A DuckDB file can
hold views and macros, which are programs: nothing but the tables of a history may be in it, and they are copied out.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditor.border import gate
from auditor.capture import folders
from auditor.errors import AuditError, shown
from auditor.machine import writing
from auditor.report import database, files
from auditor.report.results import MANIFEST
from auditor.tables import arrow

TEXT, NUMBER, TRUTH, TIME = "VARCHAR", "BIGINT", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"
ARROW = {TEXT: pa.string(), NUMBER: pa.int64(), TRUTH: pa.bool_(), TIME: pa.timestamp("us", "UTC")}
TRAFFIC = ("path", "protocol", "tls_version", "cipher_suite", "forward_secrecy", "post_quantum", "verdict")
TRUTHS, NUMBERS = {"forward_secrecy", "post_quantum"}, {"flows", "bytes", "handshakes", "findings"}
COLUMNS = {
    "runs": ("run", "started", "ended", "policies", "inputs", "flows", "handshakes", "findings"),
    "traffic": ("run", "started", "client", "service", *TRAFFIC, "flows", "bytes"),
    "found": (
        *("run", "started", "rule", "policy", "severity", "verdict"),
        *("client", "service", "region", "reason", "flows"),
    ),
}
NAME = re.compile(r"[0-9a-f]{16}\.parquet")
MOST_ROWS = 1_000_000
MOST_BYTES = 1 << 30  # unpacked, of one file
LATEST = (1 << 63) // 1000  # microseconds from 1970, either way: what a capture's clock can say
MAGIC, MAGIC_AT = b"DUCK", 8  # of a DuckDB file's main header


def kind(column: str) -> str:
    """The type of a column, as DuckDB names it."""
    if column in TRUTHS:
        return TRUTH
    return NUMBER if column in NUMBERS else TIME if column in {"started", "ended"} else TEXT


def _schema(columns: Iterable[str]) -> pa.Schema:
    return pa.schema([(column, ARROW[kind(column)]) for column in columns])


SCHEMAS = {table: _schema(columns) for table, columns in COLUMNS.items()}
# One file holds the rows of all three tables; the first column says of which table a row is.
SCHEMA = _schema(dict.fromkeys(("table", *(name for columns in COLUMNS.values() for name in columns))))


def write(folder: Path, run: str, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write an audit's rows by table as a file of the history, in place of one of the same audit. Raises AuditError."""
    try:
        writing.make_folder(folder)
        writing.remove_left(folder)
        stray = next((entry for entry in sorted(folder.iterdir()) if not _is_ours(entry)), None)
        if stray is not None:
            raise AuditError(f"{folder}: holds {stray.name}, which is not of a history; give a folder of its own")
        _write_whole(folder / f"{run}.parquet", [{"table": name, **row} for name, of in rows.items() for row in of])
    except FileExistsError as error:
        what = "a history is a folder; one that is a DuckDB file can be read, but not added to"
        raise AuditError(f"{folder}: {what}") from error
    except OSError as error:
        raise AuditError(f"{folder}: cannot write the history: {error.strerror or error}") from error


def _is_ours(entry: Path) -> bool:
    return entry.name.startswith(".") or NAME.fullmatch(entry.name) is not None


def _write_whole(target: Path, rows: list[dict[str, Any]]) -> None:
    writing.may_replace(target, force=True)
    with writing.replaced(target) as file:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd")


def read(path: Path) -> dict[str, pa.Table]:
    """The tables of a history. Raises AuditError naming the file that is none."""
    if folders.is_folder(path):
        return _read_folder(path)
    if folders.refusal(path) is None:
        return _read_database(path)
    raise AuditError(f"{path}: no such folder; audit pcap … --history {path} begins one")


def _read_folder(folder: Path) -> dict[str, pa.Table]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise AuditError(f"{folder}: {error.strerror}") from error
    stray = next((entry for entry in entries if not _is_ours(entry)), None)
    if stray is not None and (folder / MANIFEST).exists():
        raise AuditError(
            f"{shown(folder)}: holds the results of an audit; a history is the folder that --history named"
        )
    if stray is not None:
        raise AuditError(f"{shown(stray)}: not a file of a history")
    files = [_read_file(entry) for entry in entries if not entry.name.startswith(".")]
    if not files:
        raise AuditError(f"{folder}: no audit is in this history yet; audit pcap … --history {folder} adds one")
    whole = pa.concat_tables(files)
    return {
        table: whole.filter(pc.equal(whole["table"], table)).select(schema.names) for table, schema in SCHEMAS.items()
    }


def _read_file(path: Path) -> pa.Table:
    wrong = f"{shown(path)}: not a file of a history"
    try:
        with files.opened(path) as file, gate.Parquet(file) as parquet:
            if not parquet.schema.equals(SCHEMA):
                raise AuditError(f"{wrong}: its columns are others")
            if parquet.rows > MOST_ROWS or parquet.size > MOST_BYTES:
                raise AuditError(f"{wrong}: it is larger than an audit's can be")
            rows = arrow.harmless(parquet.read())
    except OSError as error:
        raise AuditError(f"{wrong}: {error.strerror or error}") from error
    except gate.RefusedError as error:
        raise AuditError(f"{wrong}: {error}") from error
    if set(rows["run"].unique().to_pylist()) != {path.stem} or set(rows["table"].unique().to_pylist()) - set(COLUMNS):
        raise AuditError(f"{wrong}: it holds rows of other audits or tables")
    for name in ("started", "ended"):
        if any(value is not None and abs(value) > LATEST for value in rows[name].cast(pa.int64()).to_pylist()):
            raise AuditError(f"{wrong}: it holds times that no capture can be of")
    return rows


def _read_database(path: Path) -> dict[str, pa.Table]:
    try:
        with path.open("rb") as file:
            head = file.read(MAGIC_AT + len(MAGIC))
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}") from error
    if head[MAGIC_AT:] != MAGIC:
        raise AuditError(f"{path}: not a history: neither a folder that audit pcap --history wrote, nor a DuckDB file")
    with database.closed(path) as connection:
        _check(connection, path)
        return {table: _copied(connection, table, path) for table in COLUMNS}


def _check(connection: Any, path: Path) -> None:
    """Raise AuditError unless the file holds the tables of a history and nothing else.

    The names are whole: a macro of the file could stand before a function of DuckDB's.
    """
    for what, listed in (
        ("view", "view_name from system.main.duckdb_views()"),
        ("macro", "function_name from system.main.duckdb_functions()"),
        ("type", "type_name from system.main.duckdb_types()"),
    ):
        others = database.query(connection, f"select {listed} where not internal")[1]
        if others:
            raise AuditError(f"{path}: not a history: it holds a {what}, {others[0][0]}")
    columns = "schema_name, table_name, column_name, data_type, column_default"
    present = database.query(connection, f"select {columns} from system.main.duckdb_columns() where not internal")[1]  # noqa: S608
    ours = {("main", table, column, kind(column), None) for table, of in COLUMNS.items() for column in of}
    if set(present) != ours:
        raise AuditError(f"{path}: not a history: its tables are others")


def _copied(connection: Any, table: str, path: Path) -> pa.Table:
    schema = SCHEMAS[table]
    query = f"select {', '.join(schema.names)} from main.{table} limit {MOST_ROWS + 1}"  # noqa: S608 - names of ours
    rows = database.query(connection, query)[1]
    if len(rows) > MOST_ROWS:
        raise AuditError(f"{path}: not a history: {table} has more than {MOST_ROWS:,} rows")
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
