"""Histories that somebody else wrote are data: nothing in them runs, reads other files or uses the machine up."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.report import database, history, history_files
from auditor.report.history_files import COLUMNS, SCHEMA, kind
from tests.conftest import SAMPLES

RUN = "0123456789abcdef"
READ_FILE = "select content from read_text('/etc/passwd')"


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of two audits."""
    folder = tmp_path_factory.mktemp("history") / "audits"
    for name in ("tls1.pcapng", "tls1.3.pcapng"):
        history.append(auditor.audit(SAMPLES / name, topology=SAMPLES / "site.toml"), folder)
    return folder


def database_of(folder: Path, path: Path, *more: str) -> Path:
    """The same history as the DuckDB file that it was before, with ``more`` done to it."""
    with duckdb.connect(str(path)) as connection:
        for table, columns in COLUMNS.items():
            keys = " primary key" if table == "runs" else ""
            declared = ", ".join(f"{name} {kind(name)}{keys if name == 'run' else ''}" for name in columns)
            connection.execute(f"create table {table} ({declared})")
            connection.execute(
                f"insert into {table} select {', '.join(columns)} from read_parquet('{folder}/*.parquet') "
                f"where \"table\" = '{table}'"
            )
        for statement in more:
            connection.execute(statement)
    return path


def test_files_are_whole_and_private(audits: Path) -> None:
    """Each audit is one file with the columns of the history, readable by its owner alone; nothing else is left."""
    files = sorted(audits.iterdir())
    assert len(files) == 2
    assert all(file.stat().st_mode & 0o077 == 0 for file in [audits, *files])
    assert all(pq.read_schema(file).equals(SCHEMA) for file in files)


def test_both_forms_say_the_same(audits: Path, tmp_path: Path) -> None:
    """A history that is a DuckDB file is read as the folder is."""
    old = database_of(audits, tmp_path / "audits.duckdb")
    assert history.drift(old) == history.drift(audits)
    assert history.drift(audits)[1][1][0][2] == "TLS 1.0"
    counted = "select run, count(*), min(started) from traffic group by 1 order by 1"
    assert history.sql(old, counted) == history.sql(audits, counted)


def test_changes_and_old_versions_in_one_table(audits: Path) -> None:
    """What programs read has every row of both tables of a history, each with its client, service, version and count."""
    changes, old = history.drift(audits)
    names, rows = history.as_one(changes, old)
    assert len(rows) == len(changes[1]) + len(old[1])
    assert [row[: len(changes[0])] for row in rows[: len(changes[1])]] == changes[1]
    told = [dict(zip(names, row, strict=True)) for row in rows[len(changes[1]) :]]
    assert {one["change"] for one in told} == {"old version"}
    columns = ("client", "service", "spoken", "flows", "last_seen")
    assert [tuple(one[name] for name in columns) for one in told] == old[1]


def test_a_database_is_not_added_to(audits: Path, tmp_path: Path) -> None:
    """Writing to a database of somebody else would run what is in it: it is refused, and the file stays as it is."""
    old = database_of(audits, tmp_path / "audits.duckdb")
    before = old.read_bytes()
    with pytest.raises(auditor.AuditError, match="a history is a folder"):
        history.append(auditor.audit(SAMPLES / "tls1.pcapng"), old)
    assert old.read_bytes() == before


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ([f"create view leak as {READ_FILE}"], "a view, leak"),
        (["drop table found", f"create view found as {READ_FILE}"], "a view, found"),
        ([f"create macro leak() as table {READ_FILE}"], "a macro, leak"),
        (["create macro duckdb_views() as table select 1", f"create view leak as {READ_FILE}"], "a view, leak"),
        (["create macro lag(x) as 'lies'"], "a macro, lag"),
        (["create type mood as enum ('well')"], "a type, mood"),
        (["create table more (secret varchar)"], "tables are others"),
        (["create schema other", "create table other.traffic (run varchar)"], "tables are others"),
        (["alter table found alter column reason set default ('x' || 'y')"], "tables are others"),
        (["drop table found", "create table found (run varchar, started varchar as (run))"], "tables are others"),
        (["drop table found"], "tables are others"),
    ],
)
def test_databases_that_are_programs_are_refused(
    audits: Path, tmp_path: Path, statements: list[str], words: str
) -> None:
    """Whatever is in a database beside the tables of a history is refused in a sentence, before any of it is used."""
    old = database_of(audits, tmp_path / "audits.duckdb", *statements)
    for ask in (lambda: history.drift(old), lambda: history.sql(old, "select * from found")):
        with pytest.raises(auditor.AuditError, match=f"not a history: .*{words}"):
            ask()


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"PAR1 no Parquet PAR1"),
        lambda file: file.write_bytes(file.read_bytes()[:-20]),
        lambda file: pq.write_table(pa.table({"x": [1]}), file),
        lambda file: pq.write_table(pq.read_table(file).drop(["reason"]), file),
        lambda file: pq.write_table(SCHEMA.empty_table(), file),
        lambda file: file.rename(file.with_name(f"{RUN}.parquet")),
        lambda file: file.with_name("notes.txt").write_text("x"),
        lambda file: file.with_name("more.parquet").write_bytes(file.read_bytes()),
        lambda file: file.with_name(f"{RUN}.parquet").symlink_to("/etc/passwd"),
        lambda file: os.mkfifo(file.with_name(f"{RUN}.parquet")),
    ],
    ids=["no Parquet", "cut", "other columns", "a column less", "empty", "renamed", "text", "copy", "link", "pipe"],
)
def test_folders_with_other_files_are_refused(audits: Path, tmp_path: Path, change: Callable[[Path], Any]) -> None:
    """A file that is not of a history is named in a sentence, and nothing is said of the rest."""
    folder = tmp_path / "audits"
    shutil.copytree(audits, folder)
    change(min(folder.iterdir()))
    with pytest.raises(auditor.AuditError, match="not a file of a history"):
        history.drift(folder)


def test_sizes_are_looked_at_before_anything_is_unpacked(
    audits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that says it has more rows or bytes than an audit's can have is not unpacked."""
    rows = pa.Table.from_pylist([{"table": "traffic", "run": RUN, "reason": "x" * 1000}] * 5000, SCHEMA)
    pq.write_table(rows, tmp_path / f"{RUN}.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / f"{RUN}.parquet").stat().st_size < 20_000
    monkeypatch.setattr(history_files, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(auditor.AuditError, match="larger than an audit's can be"):
        history.drift(tmp_path)


def test_nothing_is_written_among_other_files(tmp_path: Path) -> None:
    """A history does not begin in a folder that holds other things."""
    (tmp_path / "evidence.pcap").write_bytes(b"x")
    with pytest.raises(auditor.AuditError, match=r"holds evidence\.pcap"):
        history.append(auditor.audit(SAMPLES / "tls1.pcapng"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.pcap"]


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from read_blob('/etc/passwd')",
        "select * from read_parquet('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "copy flows to '{folder}/out.csv'",
        "copy flows from '/etc/passwd'",
        "export database '{folder}/out'",
        "attach '{folder}/other.duckdb'",
        "install httpfs",
        "load httpfs",
        "load '{folder}/x.duckdb_extension'",
        "select getenv('HOME')",
        "create secret (type s3)",
        "create persistent secret (type s3)",
        "set enable_external_access = true",
        "set memory_limit = '100GB'",
        "set temp_directory = '{folder}'",
        "reset lock_configuration",
        "pragma enable_profiling = 'json'; pragma profiling_output = '{folder}/profile'",
        "select * from secrets",
    ],
)
def test_queries_reach_nothing_but_tables(office: Any, audits: Path, tmp_path: Path, query: str) -> None:
    """A query that reaches for files, networks, settings, the environment or variables of ours is refused in a sentence."""
    secrets = pa.table({"of": ["this function"]})
    assert secrets.num_rows
    for where in (office.folder, audits):
        with pytest.raises(auditor.AuditError, match=r"^SQL: "):
            history.sql(where, query.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_queries_have_an_end(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows without end, and more memory than a query may have, are a sentence."""
    monkeypatch.setitem(database.CLOSED, "memory_limit", "200MB")
    with pytest.raises(auditor.AuditError, match="more than 1,000,000 rows"):
        history.sql(office.folder, "select * from range(1000000000000)")
    with pytest.raises(auditor.AuditError, match=r"^SQL: Out of Memory"):
        history.sql(office.folder, "select list(range) from range(1000000000)")
