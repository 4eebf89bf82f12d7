"""Questions about results: who, list, sql, on the command line and in Python; whole where piped, closed to all else."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.cli.listing import ColumnLayout, _arranged
from auditor.report import asking, closed_sets, who
from auditor.tables.arrow import categories
from auditor.tables.schema import TABLES
from tests import wire
from tests.test_terminal import on_a_terminal, run


@pytest.fixture(scope="module")
def results(office: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked") / "results"
    office.save(folder)
    return folder


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Flows of TLS 1.0, TLS 1.2 and DTLS 1.2."""
    hello = wire.client_hello(suites=(0xC02F,))
    packets: list[bytes] = []
    for number, version in enumerate((0x0301, 0x0303)):
        talk = wire.Talk(sport=4000 + number).open()
        answer = wire.server_hello(version=version)
        talk.play([("c", wire.record(22, hello)), ("s", wire.record(22, answer, version))])
        packets += talk.packets
    return auditor.audit(wire.write(tmp_path_factory.mktemp("versions"), wire.pcap(packets)))


def test_who_still_speaks_an_old_version(results: Path) -> None:
    """`audit who DIR tls1.0` says which client, to which server, how often, first and last seen; the folder may come last."""
    text = run("who", results, "tls1.0").stdout
    assert re.search(r"10\.20\.2\.50 +pinpoint\.us-east-1\.amazonaws\.com +2 +2026-11-24 \S+ +2026-11-24", text)
    assert run("who", "tls1.0", results).stdout == text
    assert "203.0.113.22" not in text


def test_the_folder_may_be_the_working_directory(results: Path) -> None:
    """Without a folder the results in the working directory are asked; where there are none, that is said."""
    import subprocess
    import sys

    command = [sys.executable, "-P", "-m", "auditor", "who", "tls1.0"]
    done = subprocess.run(command, cwd=results, capture_output=True, text=True, check=True)
    assert "10.20.2.50" in done.stdout
    failed = run("who", "tls1.0")
    assert failed.returncode == 2
    assert "holds no audit results; give the folder that audit pcap --out wrote" in failed.stderr


@pytest.mark.parametrize(
    ("question", "flows"),
    [
        ("TLSv1", 2), ("tls 1.0", 2), ("ssl3", 1), ("old", 3), ("tls_version < 'TLS 1.2'", 3), ("TLS102", 4),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", 3), ("10.20.2.50", 2), ("plaintext", 2), ("no-forward-secrecy", 4),
        ("internet", 5), ("not forward_secrecy", 4), ("pinpoint", None), ("fail", 7),
    ],
)  # fmt: skip
def test_ready_questions(office: Any, question: str, flows: int | None) -> None:
    """Versions, rules, suites, addresses, services, verdicts and conditions are all questions, and count what the tables hold."""
    table = office.who(question)
    assert flows is None or table["flows"].sum() == flows
    assert len(table)
    assert list(table.columns) == ["client", "server", "flows", "first_seen", "last_seen"]
    assert str(table["first_seen"].dtype) == "datetime64[ns, UTC]"


@pytest.mark.parametrize(
    "by", ["client", "network", "server", "service", "version", "suite", "path,verdict", "capture"]
)
def test_flows_are_counted_by_anything(office: Any, by: str) -> None:
    """Whatever they are counted by, all flows are counted, most first."""
    table = office.who(by=by)
    assert table["flows"].sum() == len(office.flows)
    assert list(table["flows"]) == sorted(table["flows"], reverse=True)


def test_words_that_ask_nothing(office: Any) -> None:
    """A word that is no question, and a condition that is no SQL, are errors that say what there is."""
    with pytest.raises(auditor.AuditError, match=r"nonsense: neither a question .*tls1\.0"):
        office.who("nonsense")
    with pytest.raises(auditor.AuditError, match="no such column; there are client, network"):
        office.who("old", by="colour")
    with pytest.raises(auditor.AuditError, match="SQL: "):
        office.who("no such thing")
    with pytest.raises(auditor.AuditError, match="no rule of this audit"):
        office.who("XYZ999")


def test_versions_have_their_order(versions: Any) -> None:
    """Comparisons are by the order of versions and severities, not of the alphabet."""
    assert asking.ranked("tls_version < 'TLS 1.2'") == "tls_version < 'TLS 1.2'::tls_version"
    assert versions.who("tls_version < 'TLS 1.2'")["flows"].sum() == 1
    assert versions.who("'TLS 1.2' <= flows.tls_version")["flows"].sum() == 1
    assert versions.who("tls_version between 'SSL 3.0' and 'DTLS 1.0'")["flows"].sum() == 1
    listed = versions.sql("select severity from findings where severity >= 'high' order by severity desc")
    assert set(listed["severity"]) <= {"high", "critical"}
    # was DuckDB's "Could not convert string … to ENUM", which is no word of whoever asks
    with pytest.raises(auditor.AuditError, match=r"tls_version is never 'TLS 9\.9': it is one of SSL 2\.0, SSL 3\.0, "):
        versions.sql("select * from flows where tls_version > 'TLS 9.9'")
    with pytest.raises(auditor.AuditError, match="tls9: neither a question"):
        versions.who("tls9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_version = 'TLSv1.2'", "tls_version is never 'TLSv1.2': it is one of SSL 2.0, TLS 1.2, TLS 1.3. Did you mean 'TLS 1.2'?"),
        ("x in (select 1) and flows.\"tls_version\" not in ('TLS 1.2', 'ssl 2.0')", "Did you mean 'SSL 2.0'?"),
        ("tls_version between 'TLS 1.2' and 'TLS 9'", "TLS 1.2, TLS 1.3."),
        ("VERDICT <> 'Failed'", "it is one of pass, fail. Did you mean 'fail'?"),
        ("tls_version < 'TLS 1.2' or tls_version = 'TLS 1.3 (draft 23)' and verdict='it''s'", "verdict is never 'it's'"),
        ("tls_version like 'TLS 1%' and verdict = 'pass' and no_verdict = 'x' and server_name = 'fail'", None),
        ("select left(verdict, 1) as verdict from flows having verdict = 'p'", None),
    ],
)  # fmt: skip
def test_a_value_that_a_column_never_has(text: str, said: str | None) -> None:
    """A query for what a closed set does not hold is a slip, and is told with what it holds: not an empty answer."""
    sets = {"tls_version": ["SSL 2.0", "TLS 1.2", "TLS 1.3"], "verdict": ["pass", "fail"]}
    if said is None:
        closed_sets.check(text, sets, closed_sets.nothing)
        return
    with pytest.raises(auditor.AuditError, match=re.escape(said)):
        closed_sets.check(text, sets, lambda name: ["TLS 1.3 (draft 23)"])


def test_columns_of_other_tables(office: Any) -> None:
    """A column that another table has is said to be there; a value that no row has is no answer either."""
    with pytest.raises(auditor.AuditError, match="It is a column of findings"):
        office.sql("select * from flows where severity = 'high'")
    with pytest.raises(auditor.AuditError, match="path is never 'dx': it is one of direct-connect, vpn"):
        office.who("path = 'dx'")


def test_dtls_is_as_old_as_its_tls() -> None:
    """DTLS 1.2 is not older than TLS 1.2, though it comes before it in the alphabet."""
    order = categories(asking.ORDERED["tls_version"], [])
    assert order.index("DTLS 1.2") > order.index("TLS 1.2") > order.index("DTLS 1.0")


def test_list_with_a_condition(results: Path, office: Any) -> None:
    """`audit list --where` lists the rows of which it is true, of every table and in every form."""
    rows = [
        json.loads(line) for line in run("list", results, "--where", "old", "--format", "jsonl").stdout.splitlines()
    ]
    assert {row["flow_id"] for row in rows} == set(office.flows[office.flows["tls_version"] < "TLS 1.2"]["flow_id"])
    assert set(rows[0]) == {column.name for column in TABLES["flows"]}
    chosen = run("list", results, "--table", "findings", "--where", "severity >= 'high'", "--format", "csv").stdout
    assert (
        len(list(csv.DictReader(io.StringIO(chosen)))) == office.findings["severity"].isin(["high", "critical"]).sum()
    )
    by = run("list", results, "--where", "tls_version < 'TLS 1.2'", "--by", "client").stdout.splitlines()
    assert by[0].split() == ["client", "flows", "servers", "mostly_to", "first_seen", "last_seen"]
    assert len(by) == 3
    assert run("list", results, "--columns", "flow_id,path", "--where", "flow_id = 3").stdout.split()[:2] == [
        "flow_id",
        "path",
    ]


def test_where_chooses_what_is_exported(results: Path, office: Any, tmp_path: Path) -> None:
    """`--where` holds for every form of a table, with all columns and types; for whole forms it is an error."""
    office.export("parquet", tmp_path / "old.parquet", where="tls_version < 'TLS 1.2'")
    kept = pq.read_table(tmp_path / "old.parquet")
    old = office.flows[office.flows["tls_version"] < "TLS 1.2"]
    assert kept.column("flow_id").to_pylist() == old["flow_id"].tolist()
    assert kept.schema.equals(office.arrow("flows").schema)
    assert len(run("export", results, "--format", "csv", "--where", "tls1.0").stdout.splitlines()) == 3
    printed = run("pcap", "captures/office.pcapng", "--format", "jsonl", "--table", "handshakes", "--where", "resumed")
    assert printed.returncode == 0
    assert len(printed.stdout.splitlines()) == office.handshakes["resumed"].fillna(False).sum()
    with pytest.raises(auditor.AuditError, match="--where chooses rows of a table"):
        office.export("sarif", tmp_path / "x.sarif", where="true")
    assert not (tmp_path / "x.sarif").exists()


def test_sql_is_whole_where_it_is_piped(results: Path, office: Any) -> None:
    """What is piped has every column and value, however wide; times with all digits."""
    head, *lines = run("sql", results, "select * from flows").stdout.splitlines()
    assert head.split() == [column.name for column in TABLES["flows"]]
    assert len(lines) == len(office.flows)
    for name in office.flows["server_name"].dropna():
        assert any(name in line for line in lines)
    whole = "select repeat('x', 500) as a, repeat('y', 700) as b"
    assert run("sql", results, whole).stdout.splitlines()[1].split() == ["x" * 500, "y" * 700]


def test_sql_on_a_terminal_says_what_it_leaves_out(results: Path) -> None:
    """On a terminal each line fits, and columns and values that do not are counted."""
    text = on_a_terminal(("sql", str(results), "select * from flows"), {"NO_COLOR": "1"}, columns=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert re.search(r"left out: \d+ columns \(.*, …\)", " ".join(text.split()))
    text = on_a_terminal(("sql", str(results), "select 1 as one"), {"NO_COLOR": "1"}, columns=80)
    assert "left out" not in text


@pytest.mark.parametrize("columns", [60, 80])
def test_a_listing_loses_nothing_on_a_narrow_terminal(results: Path, office: Any, columns: int) -> None:
    """Where the columns of a listing do not fit, its rows are stacked: each flow's verdict, and its path with confidence."""
    text = on_a_terminal(("list", str(results)), {"NO_COLOR": "1"}, columns=columns)
    assert all(len(line) <= columns for line in text.splitlines())
    assert "left out" not in text
    words = text.split()
    for name, values in (("verdict", office.flows["verdict"]), ("path_confidence", office.flows["path_confidence"])):
        assert name in words
        assert all(words.count(value) == count for value, count in values.value_counts().items() if count)
    assert all(name in words for name in office.flows["server_name"].dropna())


@pytest.mark.parametrize("columns", [60, 80])
def test_whom_is_never_cut(results: Path, columns: int) -> None:
    """Who speaks an old version, to whom, since when, is whole on a narrow terminal."""
    text = on_a_terminal(("who", str(results), "old"), {"NO_COLOR": "1"}, columns=columns)
    assert all(len(line) <= columns for line in text.splitlines())
    assert "left out" not in text
    assert "…" not in text
    assert {"social-messaging.us-east-1.amazonaws.com", "203.0.113.22", "09:00:03Z"} <= set(text.split())


def test_what_is_needed_least_goes_first() -> None:
    """Columns that do not fit are left out by their worth, long last ones are wrapped; a path keeps its confidence."""
    names = [
        "flow_id",
        "started",
        "client_ip",
        "server",
        "protocol",
        "tls_version",
        "path",
        "path_confidence",
        "verdict",
    ]
    widths = [7, 19, 12, 52, 8, 11, 14, 15, 14]
    assert [names[k] for k in range(9) if k not in _arranged(names, widths, 120).shown] == ["started", "protocol"]
    assert len(_arranged(names, widths, 80).lines) == 3
    assert _arranged(["rule", "reason"], [6, 500], 80) == ColumnLayout([[0, 1]], [6, 72], wraps=True)
    assert _arranged([f"c{k}" for k in range(60)], [18] * 60, 100).shown == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "words", [("diff", "{}", "{}"), ("extract", "{}", "TLS101-1", "--explain"), ("paths", "explain", "{}", "3ac6125")]
)
def test_texts_are_wrapped_on_a_terminal(results: Path, words: tuple[str, ...]) -> None:
    """What consists of long lines is wrapped between words on a terminal, and is as it was where it is piped."""
    arguments = tuple(word.format(results) for word in words)
    text = on_a_terminal(arguments, {"NO_COLOR": "1"}, columns=60)
    assert all(len(line) <= 60 for line in text.splitlines() if not line.startswith("Wireshark: "))
    assert text.split() == run(*arguments).stdout.split()


def test_show_tables_and_describe(results: Path) -> None:
    """`show tables` names every table with its rows; `describe` every column of one, with what it means."""
    shown = run("sql", results, "show tables;").stdout
    assert [line.split()[0] for line in shown.splitlines()[1:]] == list(TABLES)
    assert re.search(r"^flows +29 ", shown, re.MULTILINE)
    described = run("sql", results, "DESCRIBE flows").stdout
    assert [line.split()[0] for line in described.splitlines()[1:]] == [column.name for column in TABLES["flows"]]


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')", "select * from '/etc/passwd'", "copy flows to '/tmp/x.csv'",
        "install httpfs", "load httpfs", "attach 'x.db'", "select * from 'https://example.com/x.parquet'",
        "set enable_external_access = true", "export database '/tmp/x'", "select * from glob('/*')",
        "from read_text('/etc/passwd')", "create secret (type s3)", "import database '/tmp/x'",
    ],
)  # fmt: skip
def test_sql_reads_the_results_only(results: Path, query: str) -> None:
    """No query reaches another file, an extension or the network, and none unlocks that."""
    done = run("sql", results, query)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("audit: SQL: ")


def test_python_asks_the_same(office: Any, tmp_path: Path) -> None:
    """Audit.sql gives DataFrames, Audit.report writes the page, and auditor.load reads what was saved."""
    assert list(office.sql("show tables")["table"]) == list(TABLES)
    counted = office.sql("select verdict, count(*) as n from flows group by 1 order by 1 desc")
    assert counted["n"].sum() == 29
    assert counted["verdict"].iloc[0] == "fail"
    assert office.sql("create table one (a int)").empty
    assert office.report(tmp_path / "page.html").read_text().startswith("<!doctype html>")
    office.save(tmp_path / "kept")
    pd.testing.assert_frame_equal(auditor.load(tmp_path / "kept").problems, office.problems)


def test_only_public_names_are_listed() -> None:
    """dir(auditor) is what is meant to be used."""
    import auditor.tables.schema

    assert dir(auditor) == sorted(auditor.__all__)


@pytest.mark.parametrize(
    "ask",
    [
        lambda result: result.rows("flows", "nope"), lambda result: list(result.records("flows", "nope")),
        lambda result: result.arrow("nope"), lambda result: result.sql("selec"), lambda result: result.who("';"),
        lambda result: result.export("csv", "/tmp/never.csv", where="nope = 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_an_audit_error(office: Any, ask: Any) -> None:
    """Whatever is asked wrongly raises AuditError, no error of a library."""
    with pytest.raises(auditor.AuditError):
        ask(office)


def test_a_notebook_shows_the_answer_and_the_problems(office: Any, hostile: Any) -> None:
    """The HTML of a result begins with the answer and has the problems; nothing of the network is markup in it."""
    text = office._repr_html_()
    assert text.startswith(f"<p><strong>{office.answer}</strong></p>")
    assert "TLS101 TLS102 TLS103 API101" in text
    assert "<script" not in hostile._repr_html_().lower()


def test_questions_are_of_the_table(office: Any) -> None:
    """Every ready question is SQL that the tables answer."""
    for name in who.QUESTIONS:
        assert isinstance(who.who(office, name)[1], list), name


def test_times_are_for_people_and_whole_for_programs(results: Path) -> None:
    """A table has times in UTC to the millisecond, on a terminal to the second; CSV and JSON have all that there is of them."""
    question = ("sql", str(results), "select min(started) as first, max(started) as last from flows where path = 'vpn'")
    assert run(*question).stdout.splitlines()[1].split("  ") == ["2026-11-24 09:00:04.949Z"] * 2
    assert "2026-11-24 09:00:04Z  2026-11-24 09:00:04Z" in on_a_terminal(question, {"NO_COLOR": "1"})
    whole = "2026-11-24T09:00:04.949998+00:00"
    assert run(*question, "--csv").stdout.splitlines()[1] == f"{whole},{whole}"
    assert json.loads(run(*question, "--format", "jsonl").stdout) == {"first": whole, "last": whole}


def test_values_of_several_parts(results: Path) -> None:
    """Lists, records and decimals of SQL are such in JSON, and readable in a table; no number is a text, and none is no JSON."""
    query = "select [1, 2] as l, {'a': min(started), 'b': null} as r, 1.5 as d, 'nan'::double as n from flows where path = 'vpn'"
    assert json.loads(run("sql", results, query, "--format", "jsonl").stdout) == {
        "l": [1, 2], "r": {"a": "2026-11-24T09:00:04.949998+00:00", "b": None}, "d": 1.5, "n": None,
    }  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(run("sql", results, query, "--csv").stdout))
    assert json.loads(row["r"])["b"] is None
    assert "{a: 2026-11-24 09:00:04.949Z, b: ·}" in run("sql", results, query).stdout


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Whoever names a folder that is not there, or holds no results, reads its name, wherever they are."""
    for words in (("who", tmp_path / "none", "tls1.0"), ("list", tmp_path / "none")):
        assert (
            run(*words).stderr
            == f"audit: {tmp_path}/none: no such folder; give the folder that audit pcap --out wrote\n"
        )
    assert run("list", tmp_path).stderr.startswith(f"audit: {tmp_path}: holds no audit results;")


@pytest.mark.parametrize("left", [None, b"PAR1"])
def test_damaged_results_are_said(results: Path, tmp_path: Path, left: bytes | None) -> None:
    """A table that is missing or cut is one sentence, the same whoever asks."""
    cut = tmp_path / "cut"
    shutil.copytree(results, cut)
    (cut / "flows.parquet").unlink()
    if left is not None:
        (cut / "flows.parquet").write_bytes(left)
    question = "select count(*) from flows"
    asked = [("who", cut, "tls1.0"), ("list", cut), ("sql", cut, question), ("report", cut)]
    answers = [run(*words) for words in asked]
    assert {done.returncode for done in answers} == {2}
    (said,) = {done.stderr for done in answers}
    word = "is missing" if left is None else "is damaged"
    assert re.fullmatch(rf"audit: .*flows\.parquet: {word}.*; audit the captures again\n", said)


@pytest.mark.parametrize("text", ["", " ; ", "/* nothing */", "\n"])
def test_a_text_without_a_query_is_an_error(office: auditor.Audit, results: Path, text: str) -> None:
    """SQL that asks nothing is refused with what would be a query, instead of printing nothing."""
    failed = run("sql", results, text)
    assert failed.returncode == 2
    assert "there is no query; one is: select" in failed.stderr
    with pytest.raises(auditor.AuditError, match="there is no query"):
        office.sql(text)


def test_no_rows_of_several_queries_are_lost(office: auditor.Audit) -> None:
    """Two queries with rows are refused, since one of both would not be seen; a table may be made for the last one."""
    with pytest.raises(auditor.AuditError, match="ask them one by one"):
        asking.query(office, "select 1; select 2")
    assert asking.query(office, "create table one as select 5 as a; select a from one;")[1] == [(5,)]


def test_an_error_says_what_was_meant(office: auditor.Audit) -> None:
    """A column or table that is not there is answered with the one that is like it, or with how to see those there are."""
    for text, meant in (
        ("select servce from flows", 'Did you mean "service"?'),
        ("select nothing_like_it from flows", 'The query "describe flows" lists those there are'),
        ("select * from flow", 'Did you mean "flows"?'),
        ("copy flows to 'x.csv'", "--format csv > FILE"),
    ):
        with pytest.raises(auditor.AuditError, match=re.escape(meant)):
            asking.query(office, text)
    with pytest.raises(auditor.AuditError, match='Did you mean "tls_version"'):
        asking.places_where(office, "flows", "tls_vesion = 'TLS 1.0'")


def test_a_path_is_never_shown_without_how_well_it_is_proven(
    office: auditor.Audit, samples: Path, tmp_path: Path
) -> None:
    """Flows counted by path, the inventory, a diff and a history say of private addresses alone that nothing is proven."""
    bare = auditor.audit(samples / "tls1.pcapng")
    assert bare.flows["path"].tolist() == ["private"]
    counted = bare.who(by="path")
    assert list(counted.columns[:2]) == ["path", "path_confidence"]
    assert counted["path_confidence"].tolist() == ["none"]
    bare.export("pci-inventory", tmp_path / "inventory.csv")
    (use,) = csv.DictReader((tmp_path / "inventory.csv").read_text(encoding="utf-8").splitlines())
    assert (use["path"], use["path_confidence"]) == ("private", "none")
    words = [one.words for one in bare.diff(office)]
    assert any("path: private (not proven) → direct-connect" in one for one in words)
    bare.add_to_history(tmp_path / "history")
    (first,) = auditor.history(tmp_path / "history").to_dict("records")
    assert first["path"] == "private (not proven)"
