"""Questions about the tables of an audit, in SQL's words: closed to everything but these tables.

What has an order has it here too: ``tls_version < 'TLS 1.2'`` is true of what is older, DTLS included, and
``severity >= 'high'`` of what is as bad or worse.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from auditor.errors import AuditError
from auditor.report import closed_sets, database
from auditor.report.closed_sets import TEXT
from auditor.report.database import Table
from auditor.report.results import Results
from auditor.report.scanned import GROUP, ROW, Scanned
from auditor.tables.arrow import categories
from auditor.tables.schema import TABLES, Column

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd
    import pyarrow as pa

ORDERED: dict[str, Column] = {
    column.name: column for columns in TABLES.values() for column in columns if column.ordered
}
NAMES = "|".join(sorted(ORDERED, key=len, reverse=True))
COMPARED = re.compile(rf"\b({NAMES})\b(\"?\s*(?:<=|>=|<(?!>)|>)\s*)({TEXT})", re.IGNORECASE)
COMPARED_BEHIND = re.compile(rf"({TEXT})(\s*(?:<=|>=|<(?!>)|>)\s*(?:\w+\.)?\"?)({NAMES})\b", re.IGNORECASE)
BETWEEN = re.compile(rf"\b({NAMES})\b(\"?\s+(?:not\s+)?between\s+)({TEXT})(\s+and\s+)({TEXT})", re.IGNORECASE)
COUNTED = re.compile(r"\bcount\s*\(\s*\*\s*\)", re.IGNORECASE)
# Words by which a query takes columns that it does not name, and what stands before a table's name that is not a row of it.
TAKES_ALL = re.compile(r"\*(?!\s*[\d('])|\b(?:columns|natural|pivot|unpivot|summarize|describe|positional)\b")
BEFORE_TABLE = re.compile(r"(?:\b(?:from|join|as|by)\b|\bfrom\b[\w\s,\"]*,)\s*\(*\s*\"?$")
UNKNOWN = re.compile(r'column "([^"]+)" not found')
SHOW = ("show tables", "show all tables", "show", "describe")
DESCRIBED = re.compile(r"(?:describe|desc|show)\s+(?:table\s+)?\"?(\w+)\"?", re.IGNORECASE)


def _plain(text: str) -> str:
    return text.strip().rstrip(";").strip().lower()


def about_tables(tables: "Mapping[str, pa.Table]", text: str) -> Table | None:
    """What a query asks of tables that are in no results themselves, if it does: which there are, or their columns."""
    plain = _plain(text)
    if plain in SHOW:
        return ["table", "rows", "columns"], [(name, len(one), one.num_columns) for name, one in tables.items()]
    described = DESCRIBED.fullmatch(plain)
    if described is None or described[1] not in tables:
        return None
    return ["column", "type"], [(one.name, _words(one.type)) for one in tables[described[1]].schema]


def ranked(text: str) -> str:
    """SQL in which comparisons with texts are by the order of the column, not of the alphabet."""
    text = BETWEEN.sub(lambda m: f"{m[1]}{m[2]}{m[3]}::{m[1].lower()}{m[4]}{m[5]}::{m[1].lower()}", text)
    text = COMPARED.sub(lambda m: f"{m[1]}{m[2]}{m[3]}::{m[1].lower()}", text)
    return COMPARED_BEHIND.sub(lambda m: f"{m[1]}::{m[3].lower()}{m[2]}{m[3]}", text)


def query(result: Results, text: str) -> Table:
    """Names of columns, and rows. Raises AuditError with DuckDB's first line where the query is not right."""
    plain = _plain(text)
    if plain in SHOW:
        return ["table", "rows", "columns"], [(name, result.count(name), len(TABLES[name])) for name in result.tables]
    described = DESCRIBED.fullmatch(plain)
    if described is not None and described[1] in TABLES:
        return ["column", "type", "meaning"], [(one.name, _kind(one), one.meaning) for one in TABLES[described[1]]]
    with _opened(result, text, _named(text)) as connection:
        return database.query(connection, ranked(text))


def frame(result: Results, text: str) -> "pd.DataFrame":
    """The same as a DataFrame."""
    import pandas as pd

    if _plain(text).startswith(("show", "desc")):
        names, rows = query(result, text)
        return pd.DataFrame(rows, columns=names)
    with _opened(result, text, _named(text)) as connection:
        return database.frame(connection, ranked(text))


def places_where(result: Results, table: str, condition: str) -> "np.ndarray[Any, Any]":
    """The places of the rows of a table of which a condition of SQL is true. Raises AuditError where it is not right."""
    if table not in TABLES:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    words = _named(f"select {condition} from {table}")  # noqa: S608 - looked at, and not asked
    with _opened(result, f"{table} {condition}", words) as connection:
        # the line end closes a comment, and the brackets keep the condition a condition
        wanted = f'select "{ROW}" from "{table} with rows" as {table} where (\n{ranked(condition)}\n) order by 1'  # noqa: S608 - a database that holds nothing else
        return database.numbers(connection, wanted)


def _named(text: str) -> set[str] | None:
    """The columns that a query may name: words in it; None where it may take others as well."""
    plain = COUNTED.sub("", text).lower()
    if not plain.lstrip("( \n").startswith(("select", "with")) or TAKES_ALL.search(plain) is not None:
        return None
    for table in TABLES:  # a row as a whole
        places = re.finditer(rf"\b{table}\b", plain)
        if any(BEFORE_TABLE.search(plain[: one.start()]) is None and plain[one.end() :][:1] != "." for one in places):
            return None
    return set(re.findall(r"\w+", plain))


@contextmanager
def _opened(result: Results, text: str, words: set[str] | None) -> "Iterator[duckdb.DuckDBPyConnection]":
    """The tables that a query names, or all where it names none; ``words``: of their columns only those among them."""
    named = [name for name in result.tables if re.search(rf"\b{name}\b", text, re.IGNORECASE)] or result.tables
    with_groups = re.search(rf"\b{GROUP}\b", text, re.IGNORECASE) is not None
    scans = [Scanned(result, name, _columns(name, words), with_groups and name == "flows") for name in named]
    with database.closed() as connection, _explained(named):
        closed_sets.check(
            text,
            _sets(named, text),
            lambda name: {
                t for one in named for column in TABLES[one] if column.name == name for t in _texts(result, one, column)
            },
        )
        for column in ORDERED.values():
            _create_type(
                connection,
                column,
                {t for one in scans if column.name in one.names for t in _texts(result, one.table, column)},
            )
        for one in scans:
            _register(connection, one)
        try:
            yield connection
        except AuditError as error:
            failure = next((one.failure for one in scans if one.failure is not None), None)
            raise (failure or error) from error


@contextmanager
def ordered(tables: "Mapping[str, pa.Table]", text: str) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A database of tables that are in no results, for a query; what has an order has it there too."""
    with database.closed() as connection:
        for column in ORDERED.values():
            having = [table.column(column.name) for table in tables.values() if column.name in table.column_names]
            texts = {one for values in having for one in values.unique().to_pylist() if one}
            if having:
                closed_sets.check(text, {column.name: categories(column, sorted(texts))})
            _create_type(connection, column, texts)
        for name, table in tables.items():
            connection.register(f"{name} as written", table)
            columns = _replaced(table.column_names)
            connection.execute(f'create view {name} as select * {columns} from "{name} as written"')  # noqa: S608 - own names
        yield connection


def rows_where(table: Table, condition: str) -> Table:
    """The rows of a table that is in no results of which a condition of SQL is true. Raises AuditError."""
    import pyarrow as pa

    names, rows = table
    listed = pa.table({name: [row[k] for row in rows] for k, name in enumerate(names)})
    with ordered({"listed": listed}, condition) as connection, naming(names):
        # the line end closes a comment, and the brackets keep the condition a condition
        return database.query(connection, f"select * from listed where (\n{ranked(condition)}\n)")  # noqa: S608 - a database that holds nothing else


@contextmanager
def naming(columns: Sequence[str]) -> Iterator[None]:
    """Say which columns there are where one is not there."""
    try:
        yield
    except AuditError as error:
        if (unknown := UNKNOWN.search(str(error))) is None:
            raise
        raise AuditError(f'SQL: column "{unknown[1]}" not found. There are {", ".join(columns)}') from error


@contextmanager
def _explained(tables: list[str]) -> Iterator[None]:
    """Say which column was meant where one is not there, and how to see those that are."""
    try:
        yield
    except AuditError as error:
        unknown = UNKNOWN.search(str(error))
        if unknown is None:
            raise
        columns = [column.name for table in tables for column in TABLES[table]]
        near = get_close_matches(unknown[1].lower(), columns, 1)
        others = [table for table in TABLES if any(unknown[1].lower() == column.name for column in TABLES[table])]
        more = f'Did you mean "{near[0]}"?' if near else f'The query "describe {tables[0]}" lists those there are'
        if others:
            more = f"It is a column of {', '.join(others)}"
        raise AuditError(f'SQL: column "{unknown[1]}" not found. {more}') from error


def _columns(table: str, words: set[str] | None) -> list[str]:
    """The columns of a table that are among some words, at least one; all where there are no words."""
    names = [column.name for column in TABLES[table]]
    if words is None:
        return names
    if GROUP in words:
        words = words | {"client_ip"}
    return [name for name in names if name in words] or names[:1]


def _sets(tables: list[str], text: str) -> dict[str, list[str]]:
    """What the columns of closed sets that a text names can hold; not of a name that is any text in one of the tables."""
    sets, free = dict[str, list[str]](), set[str]()
    for column in (column for table in tables for column in TABLES[table] if column.name in text.lower()):
        if column.values or column.ordered:  # noqa: PD011 - ours
            known = sets.setdefault(column.name, [])
            known += [one for one in categories(column, []) if one not in known]
        else:
            free.add(column.name)
    return {name: values for name, values in sets.items() if name not in free}


def _texts(result: Results, table: str, column: Column) -> set[str]:
    """The distinct texts of a column of a closed set."""
    batches = result.batches(table, column.name)
    return {text for batch in batches for text in batch.column(0).dictionary.to_pylist() if text is not None}


def _register(connection: "duckdb.DuckDBPyConnection", scan: Scanned) -> None:
    name = scan.table
    connection.register(f"{name} as written", scan)
    connection.execute(
        f'create view "{name} with rows" as select * {_replaced(scan.names)} from "{name} as written"'  # noqa: S608 - own names
    )
    connection.execute(f'create view {name} as select * exclude ("{ROW}") from "{name} with rows"')  # noqa: S608 - own names


def _create_type(connection: "duckdb.DuckDBPyConnection", column: Column, texts: set[str]) -> None:
    """The type of a column that has an order, named as the column; ``texts``: those in it."""
    listed = ", ".join(f"'{text.replace(chr(39), chr(39) * 2)}'" for text in categories(column, sorted(texts)))
    connection.execute(f"create type {column.name} as enum ({listed})")


def _replaced(names: Sequence[str]) -> str:
    """The columns among some that have an order, in their types."""
    casts = [f"{one}::{one} as {one}" for one in names if one in ORDERED]
    return f"replace ({', '.join(casts)})" if casts else ""


def _kind(column: Column) -> str:
    """The type of a column in words."""
    if column.values:  # noqa: PD011 - ours
        return f"one of: {', '.join(column.values)}" if len(column.values) <= 8 else "text of a closed set"
    return _words(column.type)


def _words(kind: object) -> str:
    """A type in words."""
    name = str(kind).split("<")[0]
    words = {
        "dictionary": "text",
        "string": "text",
        "int64": "whole number",
        "double": "number",
        "bool": "true or false",
    }
    return words.get(name, "time" if name.startswith("timestamp") else name)
