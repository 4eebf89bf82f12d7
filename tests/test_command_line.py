"""The command line: manners, exit codes, formats, and pages that match the code."""

import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

import auditor
from auditor.audit import outcome
from auditor.border.text import cell, printable
from auditor.cli import first_file
from auditor.cli.app import Format, say, silent
from auditor.cli.main import app
from auditor.options import meaning
from auditor.report.formats import FORMS
from tests import commands, wire
from tests.conftest import HANG, ROOT

WIDE = {**os.environ, "COLUMNS": "120", "TERM": "dumb"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return commands.run(*arguments, env=WIDE)


def office(samples: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return run("pcap", samples / "office.pcapng", "--topology", samples / "site.toml", *more)


@pytest.mark.parametrize(("severity", "code"), [("critical", 1), ("info", 1), ("never", 0)])
def test_fail_on(samples: Path, severity: str, code: int) -> None:
    """Exit code 1 where a finding is at least that severe."""
    assert office(samples, "--fail-on", severity).returncode == code
    assert run("pcap", samples / "tls1.2.pcapng", "--fail-on", "high").returncode == 0


@pytest.fixture(scope="module")
def compiled() -> None:
    """The kernels are compiled: else the first command that reads would say that it compiles them."""
    auditor.audit(ROOT / "captures" / "tls1.2.pcapng").close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pcap", "nowhere.pcap"], "nowhere.pcap: no such file"),
        (["pcap", ROOT / "README.md"], "README.md: not a pcap or pcapng capture; it looks like plain text"),
        (["pcap", ROOT / "captures" / "tls1.2.pcapng", "--policy", "nothing"], "no such policy"),
        (["pcap", ROOT / "captures" / "tls1.2.pcapng", "--topology", "nowhere.toml"], "nowhere.toml"),
        (["pcap", ROOT / "captures" / "tls1.2.pcapng", "--format", "csv", "--table", "x"], "no such table"),
        (["pcap", ROOT / "captures" / "tls1.2.pcapng", "--format", "xml"], "Invalid value"),
        (
            ["pcap", ROOT / "captures" / "tls1.2.pcapng", "--witness", "x", "--skew", "inf"],
            "--skew inf: give the seconds",
        ),
        (["pcap", "x", "--as-of", "\u202e2027"], r"Invalid value for '--as-of': '\u202e2027': give a day as"),
        (["pcap", "x", "--\u200b\x1b[31m"], r"No such option: --\x200b\x1b[31m (python -m auditor pcap -h says more)"),
        (["topology", "\u3164"], r"No such command '\x3164' (python -m auditor topology -h says more)"),
        (["pcap"], "Missing argument 'CAPTURE...' (python -m auditor pcap -h says more)"),
        (["rule", "NOPE999"], "no such rule; there are PTH101"),
        (["topology", "check", "nowhere.toml"], "nowhere.toml"),
        (["pcap", "/etc/hostname", "--out", "/proc/nothing"], "/proc/nothing"),
    ],
)
def test_errors_are_one_sentence(compiled: None, arguments: list[Any], words: str) -> None:
    """What the user can fix is said in one sentence on standard error, with exit code 2 and no traceback."""
    del compiled
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()
    assert not done.stdout


def test_json_lines_and_csv_say_the_same(samples: Path) -> None:
    """Each format has every row and column of the table."""
    lines = [
        json.loads(line) for line in office(samples, "--format", "jsonl", "--table", "handshakes").stdout.splitlines()
    ]
    rows = list(csv.DictReader(io.StringIO(office(samples, "--format", "csv", "--table", "handshakes").stdout)))
    assert len(lines) == len(rows) == 19
    assert [line["ja4"] for line in lines] == [row["ja4"] for row in rows]
    whole = json.loads(office(samples, "--format", "json", "--table", "captures").stdout)
    assert whole["audit"]["counts"]["handshakes"] == 19
    assert whole["findings"]
    assert whole["captures"][0]["packets"] == 395


def test_parquet_to_standard_output(samples: Path, tmp_path: Path) -> None:
    """A Parquet file comes out of a pipe."""
    command = [sys.executable, "-m", "auditor", "pcap", str(samples / "tls1.2.pcapng"), "--format", "parquet"]
    path = tmp_path / "flows.parquet"
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert pq.read_table(path).num_rows == 1


def test_results_folder(samples: Path, tmp_path: Path) -> None:
    """`--out` leaves a Parquet file for each table and audit.json, and nothing half-written."""
    done = office(samples, "--out", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *(
            f"{t}.parquet"
            for t in (
                "flows",
                "handshakes",
                "certificates",
                "requests",
                "evidence",
                "verdicts",
                "findings",
                "network",
                "witnesses",
                "captures",
            )
        ),
        "audit.json",
        "audit.kept",
        "audit.state",
        "custody.json",
    }
    manifest = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert manifest["inputs"][0]["sha256"] == auditor.audit(samples / "office.pcapng").captures["sha256"][0]
    assert manifest["policies"][0]["id"] == "aws-pinpoint"
    assert manifest["ip_ranges"]["date"] == "2026-08-22"
    assert len(auditor.Audit.load(tmp_path / "out").flows) == 29


def test_same_input_same_bytes(samples: Path, tmp_path: Path) -> None:
    """Two audits of one input write the same bytes."""
    for name in ("one", "two"):
        office(samples, "--out", tmp_path / name, "-q")
    paths = sorted(path for path in (tmp_path / "one").iterdir() if path.name != "custody.json")  # when, and where
    assert len(paths) == 13
    for path in paths:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


# Each option of ``Options`` as it is written, and the value that it then has.
GIVEN: dict[str, tuple[list[str], Any]] = {
    "policy": (["--policy", "a", "--policy", "b.toml"], ("a", "b.toml")),
    "as_of": (["--as-of", "2027-01-31"], date(2027, 1, 31)),
    "all_traffic": (["--all"], True),
    "topology": (["--topology", "site.toml"], Path("site.toml")),
    "aws": (["--aws", "aws"], Path("aws")),
    "routes": (["--routes", "a.mrt", "--routes", "b.mrt"], (Path("a.mrt"), Path("b.mrt"))),
    "witnesses": (["--witness", "conn.log"], (Path("conn.log"),)),
    "skew": (["--skew", "1.5"], 1.5),
    "keylog": (["--keylog", "keys.log"], (Path("keys.log"),)),
    "join_key": (["--join-key", "secret"], Path("secret")),
    "since": (["--since", "2026-03-01"], "2026-03-01"),
    "until": (["--until", "2026-03-02T10:00"], "2026-03-02T10:00"),
    "apart": (["--apart"], True),
    "http": (["--http"], True),
    "ip_ranges": (["--ip-ranges", "ranges.json"], Path("ranges.json")),
    "memory": (["--memory", "2G"], "2G"),
    "jobs": (["--jobs", "3"], 3),
    "scheduler": (["--scheduler", "tcp://127.0.0.1:8786"], "tcp://127.0.0.1:8786"),
    "out": (["--out", "out"], Path("out")),
    "force": (["--force"], True),
    "fresh": (["--fresh"], True),
    "say": (["--quiet"], silent),
}


def parameters_of(command: str) -> dict[str, Any]:
    """The parameters of a command by their first names."""
    group: Any = typer.main.get_command(app)
    return {parameter.opts[0]: parameter for parameter in group.commands[command].params}


class EnoughError(Exception):
    """Raised in place of an audit."""


def options_of(command: str, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> auditor.Options:
    """The options that a command hands to an audit."""
    taken: list[auditor.Options] = []

    def take(_: object, options: auditor.Options, **__: object) -> None:
        taken.append(options)
        raise EnoughError

    monkeypatch.setattr(sys.modules["auditor.audit.start"], "audit_files", take)
    monkeypatch.setattr(sys.modules["auditor.audit.live"], "audit_interface", take)
    with pytest.raises(EnoughError):
        app([command, "any", *flags], standalone_mode=False)
    (options,) = taken
    return options


@pytest.mark.parametrize("command", ["pcap", "live"])
def test_every_option_arrives(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option of an audit can be given to each command that audits, and without any it has its default."""
    assert list(GIVEN) == [option.name for option in fields(auditor.Options)]
    flags = [flag for written, _ in GIVEN.values() for flag in written]
    expected = auditor.Options(**{name: value for name, (_, value) in GIVEN.items()})
    assert options_of(command, flags, monkeypatch) == expected
    for option in fields(auditor.Options):
        assert getattr(expected, option.name) != getattr(auditor.Options(), option.name), option.name
    assert options_of(command, [], monkeypatch) == auditor.Options(say=say)


@pytest.mark.parametrize("command", ["pcap", "live"])
def test_every_option_is_documented(command: str) -> None:
    """Each option is in the command's help and in docs/commands.md, with what `Options` says that it means."""
    page = (ROOT / "docs" / "commands.md").read_text().split(f"## audit {command}\n")[1].split("\n## ")[0]
    parameters = parameters_of(command)
    for name, ((flag, *_), _) in GIVEN.items():
        assert flag in parameters
        assert f"{flag} " in page
        if name != "say":  # what --quiet leaves away
            assert parameters[flag].help == meaning(name, again="; may be given again")


def test_commands_that_audit_have_the_same_options() -> None:
    """`audit live` has all that `audit pcap` has, in the same words, and besides what only an interface has."""
    commands = [parameters_of(name) for name in ("pcap", "live")]
    pcap, live = ({flag: getattr(one, "help", None) for flag, one in command.items()} for command in commands)
    del pcap["captures"], live["interface"], live["--duration"], live["--filter"]
    assert pcap == live
    assert "--history" in live


def test_binary_forms_are_known() -> None:
    """What must not be written to a terminal is what the forms say of themselves, and Parquet."""
    binary = {name for name, form in FORMS.items() if form.is_binary} | {"parquet"}
    assert {form.value for form in Format if form.is_binary} == binary


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["a.pcap", "--out", "b"], "a.pcap"),
        (["--out", "b", "a.pcap"], "a.pcap"),
        (["-q", "a.pcap"], None),
        (["-"], None),
        ([], None),
    ],
)
def test_what_is_hashed_before_all_else(arguments: list[str], first: str | None) -> None:
    """The first capture is known before options are parsed; what may be the value of an option is not taken for one."""
    assert first_file(arguments) == (first and Path(first))


def test_topology_init_and_check(tmp_path: Path) -> None:
    """The example is written once, checked, and not overwritten without being asked to."""
    path = tmp_path / "site.toml"
    assert run("topology", "init", path).returncode == 0
    assert "VLAN 101" in run("topology", "check", path).stdout
    assert run("topology", "init", path).returncode == 2
    assert run("topology", "init", path, "--force").returncode == 0


def test_pages_of_rules_and_policies() -> None:
    """Every rule can be explained; the policies are listed with their rules."""
    page = run("rule", "tls101").stdout
    assert all(head in page for head in ("TLS101", "What", "Why", "How to fix", "Source"))
    listed = run("policies").stdout
    assert "aws-pinpoint" in listed
    assert "REQ101" in run("policy", "show", "aws-pinpoint").stdout
    assert "This rule was taken from a secondary source" in " ".join(run("rule", "BSI103").stdout.split())
    assert "aws-pinpoint, edition" in run("policy", "check", "aws-pinpoint").stdout


def test_doctor() -> None:
    """What is installed is listed with its use."""
    child = run("doctor")
    assert not [line for line in child.stdout.splitlines() if line != line.rstrip()]
    assert child.returncode == 0
    assert "numba" in child.stdout
    assert "dumpcap" in child.stdout


def test_text_from_the_network_is_harmless() -> None:
    """Control characters do not reach the terminal, formulas not the spreadsheet."""
    assert printable("a\x1b[31mb\n") == "a\\x1b[31mb\\x0a"
    assert [cell(v) for v in ("=1+1", "@x", "-2", "name", None)] == ["'=1+1", "'@x", "'-2", "name", None]


def test_hostile_server_name(audit_bytes: Any) -> None:
    """A server name full of escapes is text, in every table."""
    message = wire.client_hello("evil\x1b]0;x\x07\n<script>.amazonaws.com")
    flow = wire.only(audit_bytes(wire.pcap(wire.Talk().open().play([("c", wire.record(22, message))]).packets)).flows)
    assert flow["server_name"] == "evil\\x1b]0;x\\x07\\x0a<script>.amazonaws.com"


def test_importing_loads_neither_scapy_nor_pyshark_nor_pandas(samples: Path) -> None:
    """What only some features need is not loaded by the main job."""
    code = f"import auditor, sys; auditor.audit({str(samples / 'tls1.2.pcapng')!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scapy", "pyshark", "pandas", "rich", "typer"} & set(loaded)


def test_plain_options_load_little(samples: Path, tmp_path: Path) -> None:
    """`audit pcap FILE --out DIR -q` loads neither what checks values of options nor what draws tables."""
    code = (
        f"import sys; sys.argv = ['audit', 'pcap', {str(samples / 'tls1.2.pcapng')!r}, '--out', {str(tmp_path)!r}, '-q']\n"
        "from auditor.cli.main import app\ntry: app()\nexcept SystemExit: print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pyarrow" in loaded
    assert not {"pydantic", "rich.console", "numba", "numpy.ma", "importlib.metadata", "tarfile"} & set(loaded)


def test_paths_load_little(samples: Path) -> None:
    """Judging paths loads no masked arrays, and of pydantic only what checks a topology."""
    audit = f"auditor.audit({str(samples / 'office.pcapng')!r}, topology={str(samples / 'site.toml')!r})"
    code = f"import auditor, sys; {audit}; print(*set(sys.modules) & set(('numpy.ma', 'pydantic', 'pydantic_core')))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "pydantic_core"


def test_no_plugins_of_pydantic(samples: Path, tmp_path: Path) -> None:
    """What is installed beside the product does not see what users write in their topologies."""
    described = tmp_path / "spy-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[pydantic]\nspy = spy\n")
    (tmp_path / "spy.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w')\nraise ImportError\n")
    command = [sys.executable, "-m", "auditor", "topology", "check", str(samples / "site.toml")]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, check=True)
    assert not (tmp_path / "seen").exists()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal here")
def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C says so in one line, with exit code 130, and leaves no half results."""
    out = tmp_path / "out"

    def as_in_a_terminal() -> None:  # whoever runs the tests in the background has SIGINT ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "auditor", "pcap", "-", "--out", str(out)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=as_in_a_terminal
    ) as child:
        assert child.stdin is not None
        child.stdin.write(wire.pcap(wire.Talk().open().packets))
        child.stdin.flush()
        while not out.exists() and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        errors = child.communicate(timeout=HANG)[1]
    assert (child.returncode, errors) == (130, b"audit: interrupted\n")
    assert not list(out.iterdir())


def test_interrupted_before_anything_is_read(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while an audit begins to keep what it reads leaves nothing either."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(outcome, "Keeping", interrupt)
    with pytest.raises(KeyboardInterrupt):
        auditor.audit(samples / "tls1.2.pcapng", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_help_loads_little() -> None:
    """`audit --help` loads no numerical library, nor what reads or hashes files."""
    code = "import sys; sys.argv = ['audit', '--help']\nfrom auditor.cli.main import app\ntry: app()\nexcept SystemExit: print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "numba", "pandas", "pyarrow", "pydantic", "json", "tomllib", "hashlib"} & set(loaded)


def test_generated_pages_are_up_to_date() -> None:
    """docs/tables.md and docs/commands.md are what the code says."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == page(), f"{name}: run make docs"
