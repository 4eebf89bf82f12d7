"""Every text of results, topologies, policies, histories and captures is harmless wherever it comes out.

Each column of ``tables/schema.py`` and each text of the manifest is tainted, so that new ones are covered.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import auditor
from auditor.border import text
from auditor.cli.main import app
from auditor.report.custody import CUSTODY
from auditor.report.formats import FORMS
from auditor.report.results import MANIFEST
from auditor.tables import contract, schema
from tests import wire
from tests.conftest import HANG, SAMPLES
from tests.lab import world as w

# What acts on a terminal or an editor, turns the direction of writing, or is not seen.
TAINT = "=é\x1b[31m\x9b2J\u202e\u2066\u200b\u3164\ufeff\x07\x00\r<b>|`*"
HARMFUL = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u034f\u115f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)
CLOSED = {"severity", "path", "confidence", "verdict"}  # of the manifest: other values are refused
MARK = "é"  # of a taint: each output has to show it, else nothing was looked at
FORMULA = re.compile(r"[=+\-@\t\r]")


def tainted_table(table: str, data: pa.Table) -> pa.Table:
    """A table whose every text is tainted, but those of closed sets, addresses and numbers, which are refused otherwise."""
    for at, column in enumerate(schema.TABLES[table]):
        if column.type not in (schema.TEXT, schema.NAME, schema.CLOSED) or column.values:
            continue
        if (table, column.name) in contract.KINDS:
            continue
        values = [None if value is None else TAINT + value for value in data.column(at).cast(pa.string()).to_pylist()]
        data = data.set_column(at, data.schema.field(at), pa.array(values, pa.string()).cast(column.type))
    return data


def tainted(value: Any, name: str = "") -> Any:
    """Plain values with every text tainted, names of members that are no contract's too."""
    if isinstance(value, str):
        closed = name in CLOSED or re.fullmatch("[0-9a-f]{64}", value)
        return value if closed else TAINT + value
    if isinstance(value, dict):
        free = name in {"not_observable", "rules", "ways", "versions"} and not any(
            one in value for one in ("auditor", "code")
        )
        return {(TAINT + key if free else key): tainted(one, key) for key, one in value.items()}
    return [tainted(one, name) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results in which all texts are an adversary's, in a folder that is named by one."""
    folder = tmp_path_factory.mktemp("foreign") / "d\x1b[31m\u202e"
    folder.mkdir()
    auditor.audit(
        [SAMPLES / "office.pcapng", SAMPLES / "requests.pcapng"], topology=SAMPLES / "site.toml", out=folder / "r"
    )
    for table in schema.TABLES:
        path = folder / "r" / f"{table}.parquet"
        pq.write_table(tainted_table(table, pq.read_table(path)), path)
    for name in (MANIFEST, CUSTODY):
        path = folder / "r" / name
        path.write_text(json.dumps(tainted(json.loads(path.read_text()))))
    (folder / "r" / f"{TAINT[1:6]}.txt").write_text("x")
    return folder / "r"


@pytest.fixture(scope="module")
def result(foreign: Path) -> auditor.Audit:
    return auditor.Audit(foreign)


def harmless(shown: str) -> None:
    found = HARMFUL.search(shown)
    assert found is None, repr(shown[max(0, found.start() - 150) : found.end() + 20])


def strings(value: Any) -> Iterator[str]:
    """All texts of plain values, names of members too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from (one for inner in value.values() for one in strings(inner))
    elif isinstance(value, list):
        yield from (one for inner in value for one in strings(inner))


TABLES_OF = [(form, table) for form in ("csv", "json", "jsonl", "parquet") for table in schema.TABLES]


@pytest.mark.parametrize(("form", "table"), [*((form, "flows") for form in FORMS), *TABLES_OF])
def test_forms(result: auditor.Audit, form: str, table: str) -> None:
    """No form of results has a character that acts, neither as it is written nor once it is parsed; no cell is a formula."""
    out = io.BytesIO()
    result.export(form, out, table)
    match form:
        case "parquet":
            written = [one for row in pq.read_table(io.BytesIO(out.getvalue())).to_pylist() for one in strings(row)]
        case "xlsx":
            sheets = zipfile.ZipFile(out)
            written = [sheets.read(name).decode() for name in sheets.namelist()]
            assert not [one for one in written if "<f>" in one or "<f " in one or "<hyperlink" in one]
            written = [one.replace("\r\n", "\n") for one in written]
        case "html":
            written = [out.getvalue().decode(), *packed(out.getvalue().decode())]
        case "csv" | "pci-inventory":  # of a negative number there is nothing to fear
            cells = [one for row in csv.reader(io.StringIO(out.getvalue().decode())) for one in row]
            assert not [one for one in cells if FORMULA.match(one) and not re.fullmatch(r"-[\d.]+", one)]
            written = [out.getvalue().decode(), *cells]
        case "concise" | "cef" | "syslog":
            written = [out.getvalue().decode()]
        case "markdown":
            written = [out.getvalue().decode()]
            assert not re.search(r"(?<!\\)[<`*]b>", written[0])
        case "zeek-ssl" | "zeek-conn":
            written = [out.getvalue().decode()]
        case _:
            lines = out.getvalue().decode()
            values = (
                [json.loads(line) for line in lines.splitlines()]
                if form in ("jsonl", "ocsf", "ecs")
                else json.loads(lines)
            )
            written = [lines, *strings(values)]
    for one in written:
        harmless(one)


def packed(page: str) -> list[str]:
    """The facts that a page holds compressed."""
    import base64
    import gzip

    blocks = re.findall(r">\s*([A-Za-z0-9+/=]{40,})\s*<", page)
    unpacked = [gzip.decompress(base64.b64decode(block)) for block in blocks]
    return [one for block in unpacked if block[:1] == b"{" for one in strings(json.loads(block))]


def invoke(*arguments: object) -> str:
    """What a command of the process's own prints, and the message of its error."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, auditor.AuditError), repr(done.exception)
    return f"{done.output}{done.stderr}{done.exception or ''}"


COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "show": lambda folder, _: ("export", folder, "--format", "table"),
    "report": lambda folder, out: ("report", folder, "-o", out / "r\x1b.html"),
    "verify": lambda folder, _: ("verify", folder),
    "diff": lambda folder, _: ("diff", folder, folder),
    "extract": lambda folder, out: ("extract", folder, "TLS101-1", "-o", out / "x.pcapng"),
    "explain": lambda folder, _: ("paths", "explain", folder, str(auditor.Audit(folder).flows["flow_id"][0])),
    "sql": lambda folder, _: ("sql", folder, "select * from flows"),
    "sql csv": lambda folder, _: ("sql", folder, "select * from findings", "--format", "csv"),
    "sql json": lambda folder, _: ("sql", folder, "select 'é\x1b[31m' as x, * from findings", "--format", "json"),
    "sql jsonl": lambda folder, _: (
        "sql",
        folder,
        "select 'é\x9b\u202e' as \"\x1b\" from findings",
        "--format",
        "jsonl",
    ),
    "sql names": lambda folder, _: ("sql", folder, "select rule as \"é\x1b[31m\", '\x9b\u202eé' as b from findings"),
    "list": lambda folder, _: ("list", folder, "--table", "findings", "--columns", "all"),
    "list by": lambda folder, _: ("list", folder, "--by", "server"),
    "who": lambda folder, _: ("who", folder, "server_port > 0"),
    "sql error": lambda folder, _: ("sql", folder, "select é\x1b[31m\u202e"),
    "no finding": lambda folder, _: ("extract", folder, "é\x1b[31m"),
    "no folder": lambda folder, _: ("verify", folder / "é\x1b[31m\u202e"),
    "no file": lambda folder, _: ("pcap", folder / "é\x1b[31m\u202e"),
    "no policy": lambda folder, _: ("policy", "show", "é\x1b[31m"),
    "no rule": lambda folder, _: ("rule", "é\x1b[31m"),
}


# What these say holds nothing of the results, or nothing at all.
QUIET = {"report", "diff", "extract", "sql error"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(foreign: Path, tmp_path: Path, command: str) -> None:
    """No command prints a character that acts, in its answer or in its errors."""
    shown = invoke(*COMMANDS[command](foreign, tmp_path))
    harmless(shown)
    assert MARK in shown or command in QUIET, shown


def test_changes(foreign: Path, tmp_path: Path) -> None:
    """What changed between results of others is told without anything that acts."""
    auditor.audit(SAMPLES / "office.pcapng", out=tmp_path / "own")
    for form in ("text", "json", "html"):
        out = io.BytesIO()
        auditor.Audit(tmp_path / "own").export_diff(auditor.Audit(foreign), form, out)
        harmless(out.getvalue().decode())
        assert MARK in out.getvalue().decode()


def test_frames(result: auditor.Audit) -> None:
    """A notebook gets tables, manifest, words and HTML without anything that acts."""
    for table in schema.TABLES:
        frame = getattr(result, table)
        for name in frame.columns[frame.dtypes.map(lambda kind: str(kind) in ("string", "category"))]:
            harmless("".join(frame[name].dropna().astype(str)))
    harmless("".join(strings(result.manifest)))
    harmless(repr(result) + result._repr_html_())
    finding = str(result.findings["finding_id"][0])
    harmless(result.explain_finding(finding) + result.explain(int(result.flows["flow_id"][0])))
    assert MARK in result.explain_finding(finding)


def test_histories(foreign: Path, tmp_path: Path) -> None:
    """A history of results of others shows nothing that acts; nor does one whose file is somebody else's."""
    folder = tmp_path / "history"
    auditor.Audit(foreign).add_to_history(folder)
    (file,) = folder.glob("*.parquet")
    data = pq.read_table(file)
    for at, field in enumerate(data.schema):
        if pa.types.is_string(field.type) and field.name not in ("run", "table"):
            cells = [None if one is None else TAINT + one for one in data.column(at).to_pylist()]
            data = data.set_column(at, field, pa.array(cells, field.type))
    pq.write_table(data, file)
    shown = invoke("history", folder)
    assert MARK in shown
    harmless(shown)
    harmless(invoke("sql", folder, "select * from traffic"))


def test_topologies(tmp_path: Path) -> None:
    """A topology's names are harmless where it is checked, where it is wrong, and in the results of its audit."""
    quoted = json.dumps(TAINT.replace("\0", ""))
    (tmp_path / "site.toml").write_text(
        f"[site]\nname = {quoted}\n[[virtual_interface]]\nname = {quoted}\nvlan = 101\ninterface = [{quoted}]\n"
        f'[[vpc]]\nname = {quoted}\nprefixes = "172.31.0.0/16"\n[[endpoint]]\nname = {quoted}\nservice = {quoted}\n'
        f"[[attachment]]\nname = {quoted}\nkind = {quoted}\nlink = {quoted}\n"
    )
    shown = invoke("topology", "check", tmp_path / "site.toml")
    assert MARK in shown
    harmless(shown)
    result = auditor.audit(SAMPLES / "office.pcapng", topology=tmp_path / "site.toml", out=tmp_path / "out")
    assert MARK in result.manifest["site"]
    for file in (tmp_path / "out").iterdir():
        if file.suffix == ".parquet":
            harmless("".join(one for row in pq.read_table(file).to_pylist() for one in strings(row)))
        elif file.suffix == ".json":
            harmless("".join(strings(json.loads(file.read_text()))))
    for wrong in (
        f"{quoted} = 1\n",
        f"[[rule]]\nlink = {quoted}\nvlan = 1\n",
        f"[site]\nname = {quoted}\non_premises = {quoted}\n",
    ):
        (tmp_path / "wrong.toml").write_text(wrong)
        harmless(invoke("topology", "check", tmp_path / "wrong.toml"))


def test_policies(tmp_path: Path) -> None:
    """A policy's texts are harmless where it is shown, checked and applied."""
    quoted = json.dumps(TAINT.replace("\0", ""))
    (tmp_path / "own.toml").write_text(
        f"id = {quoted}\ntitle = {quoted}\nedition = {quoted}\nsource = {quoted}\nretrieved = 2026-01-01\n"
        f'[[rule]]\ncode = "OWN101"\ntitle = {quoted}\ncheck = "tls-version"\nseverity = "high"\napplies_to = "all"\n'
        f"what = {quoted}\nwhy = {quoted}\nfix = {quoted}\nsource = {quoted}\nparameters = {{minimum = 'TLS 1.3'}}\n"
        f"[[exception]]\nrule = 'OWN101'\nowner = {quoted}\nreason = {quoted}\nexpires = 2030-01-01\nserver = {quoted}\n"
    )
    file = tmp_path / "own.toml"
    for command in (("policy", "show", file), ("policy", "check", file), ("rule", "OWN101", "--policy", file)):
        shown = invoke(*command)
        assert MARK in shown
        harmless(shown)
    shown = invoke("pcap", SAMPLES / "tls1.2.pcapng", "--policy", file)
    assert MARK in shown
    harmless(shown)
    frame = auditor.rules(file)
    harmless("".join(str(cell) for name in frame for cell in frame[name]))


def test_captures(tmp_path: Path) -> None:
    """Names of interfaces and comments of a pcapng are harmless in results and in a suggested topology."""
    name = wire.option(2, TAINT.encode()) + wire.option(3, TAINT.encode()) + wire.option(4, TAINT.encode())
    data = wire.section() + wire.interface(options=name)
    data += b"".join(wire.enhanced(frame, time // 1000) for time, frame in w.talk())
    (tmp_path / "a.pcapng").write_bytes(data)
    result = auditor.audit(tmp_path / "a.pcapng", out=tmp_path / "out")
    assert MARK in result.flows["interface"][0]
    for table in schema.TABLES:
        rows = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
        harmless("".join(one for row in rows for one in strings(row)))
    shown = invoke("topology", "suggest", tmp_path / "a.pcapng")
    assert MARK in shown
    harmless(shown)


def test_errors_at_a_terminal(tmp_path: Path) -> None:
    """Errors with names of files that act are harmless, whatever bytes these have."""
    for name in (b"a\x1b[31m.pcap", b"\xff\xc2\x9b.pcap", "\u202egnp.pcap".encode()):
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(b"nonsense")
        command = [sys.executable, "-m", "auditor", "pcap", os.fsdecode(path)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=HANG)
        assert done.returncode == 2
        harmless(done.stderr.decode())


def test_the_function() -> None:
    """What is seen stays, what acts or is not seen is written out; formulas of any alphabet are text."""
    assert text.printable("Zürich 北京 🙂") == "Zürich 北京 🙂"
    assert text.printable("a\x1b\u202e\u3164\ufe0f\ud800\n") == r"a\x1b\x202e\x3164\xfe0f\xd800\x0a"
    assert [text.cell(one) for one in ("=1", "＝1", "a;=1", "a|@x", "a - b", 5)] == [
        "'=1",
        "'＝1",
        "a;'=1",
        "a|'@x",
        "a - b",
        5,
    ]
    assert text.tidy({"a\x1b": ["x\ny", 1, None]}) == {"a\\x1b": ["x\ny", 1, None]}
    assert text.markdown("<b>|*") == r"\<b\>\|\*"
