"""DuckDB, shut in: a database in memory that sees the tables it is given, and nothing else of the machine."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import AuditError

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd

Table = tuple[list[str], list[tuple[Any, ...]]]
MOST_ROWS = 1_000_000
PIECE = 1 << 14  # rows that are taken out at a time
EXAMPLE = "select service, count(*) from flows group by 1 (show tables says what there is)"
NO_FILES = "file system operations are disabled"
# Neither files nor networks, no code of others, no variables of this program, and a share of the machine.
CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "memory_limit": "1GB",
    "max_temp_directory_size": "64GB",
    "threads": 4,
}


@contextmanager
def closed(path: Path | None = None) -> "Iterator[duckdb.DuckDBPyConnection]":
    """An empty database in memory, or a file to be read. No query can open what is closed. Raises AuditError.

    What its share of memory does not hold goes into a folder of its own while a query runs.
    """
    import duckdb

    with ExitStack() as held:
        aside = ""
        with suppress(OSError):  # where nothing can be put aside, a query that needs it is refused
            aside = held.enter_context(tempfile.TemporaryDirectory(prefix="auditor-"))
        config = CLOSED | {"temp_directory": aside}
        try:
            connection = duckdb.connect(
                ":memory:" if path is None else str(path), read_only=path is not None, config=config
            )
            held.enter_context(closing(connection))
            connection.execute("set timezone = 'UTC'")
            connection.execute("set enable_progress_bar = false")  # it is drawn on standard output
            connection.execute("set lock_configuration = true")
        except duckdb.Error as error:
            raise AuditError(f"{path}: {_first_line(error)}") from error
        yield connection


def query(connection: "duckdb.DuckDBPyConnection", text: str) -> Table:
    """Names of columns, and rows. Raises AuditError with DuckDB's first line where the query is not right."""
    import duckdb

    try:
        _check(connection.extract_statements(text))
        done = connection.execute(text)
        if done is None or done.description is None:  # nothing that has rows
            return [], []
        names, rows = [column[0] for column in done.description], done.fetchmany(MOST_ROWS + 1)
    except duckdb.Error as error:
        raise AuditError(f"SQL: {_first_line(error)}") from error
    if len(rows) > MOST_ROWS:
        raise AuditError(f"SQL: more than {MOST_ROWS:,} rows: ask for fewer, by limit or where")
    return names, rows


def numbers(connection: "duckdb.DuckDBPyConnection", text: str) -> "np.ndarray[Any, Any]":
    """The whole numbers of a query for one column. Raises AuditError with DuckDB's first line where it is not right."""
    import duckdb
    import numpy as np

    found = [np.zeros(0, np.int64)]
    try:
        done = connection.execute(text)
        while rows := done.fetchmany(PIECE):
            found.append(np.array(rows, np.int64)[:, 0])
    except duckdb.Error as error:
        raise AuditError(f"SQL: {_first_line(error)}") from error
    return np.concatenate(found)


def frame(connection: "duckdb.DuckDBPyConnection", text: str) -> "pd.DataFrame":
    """The rows as a DataFrame. Raises AuditError with DuckDB's first line where the query is not right."""
    import duckdb
    import pandas as pd

    try:
        _check(connection.extract_statements(text))
        done = connection.execute(text)
        if done is None or done.description is None:  # nothing that has rows
            return pd.DataFrame()
        zoned = [
            column[0] for column in done.description if "WITH TIME ZONE" in str(column[1]) or "TZ" in str(column[1])
        ]
        rows = done.df()
    except duckdb.Error as error:
        raise AuditError(f"SQL: {_first_line(error)}") from error
    for name in zoned:  # DuckDB drops the zone of nanoseconds
        if getattr(rows[name].dt, "tz", None) is None:
            rows[name] = rows[name].dt.tz_localize("UTC")
    return rows


def _check(statements: "list[duckdb.Statement]") -> None:
    """Refuse a text without a query, and one with several whose rows would not all be seen. Raises AuditError."""
    if not statements:
        raise AuditError(f"SQL: there is no query; one is: {EXAMPLE}")
    if any([kind.name for kind in one.expected_result_type] == ["QUERY_RESULT"] for one in statements[:-1]):
        raise AuditError("SQL: several queries with rows; ask them one by one")


def _first_line(error: Exception) -> str:
    line, *more = str(error).splitlines() or [type(error).__name__]
    if (
        more and more[0].startswith("Did you mean") and "." not in more[0]
    ):  # a table or a function, and none of DuckDB's own
        line = f"{line} {more[0]}"
    if NO_FILES in line:
        line += "; a query reads the tables of the results, and what it gives is printed (--format csv > FILE)"
    return re.sub(r", '[^']*\(draft \d+\)'", "", line)  # of all versions that a column may have
