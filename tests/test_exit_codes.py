"""How the command line ends where part of the work, or the terminal, fails it: one sentence, and the code that says so."""

import ctypes
import fcntl
import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from auditor.cli.main import app
from auditor.cli.results import saved
from auditor.errors import AuditError
from tests import commands, wire
from tests.conftest import HANG, ROOT
from tests.test_outputs import made, work

__all__ = ["made", "work"]
AUDIT = [sys.executable, "-m", "auditor"]


def run(*arguments: object, **more: Any) -> "subprocess.CompletedProcess[str]":
    if not more:
        return commands.run(*arguments)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": HANG} | more
    return subprocess.run([*AUDIT, *map(str, arguments)], check=False, **options)


def sentence(done: "subprocess.CompletedProcess[str]", words: str, code: int = 2) -> None:
    """One sentence with these words, that code, and nothing internal."""
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "internal" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("more", [[], ["--fail-on", "info"]])
def test_one_capture_that_cannot_be_read(work: Path, more: list[str]) -> None:
    """Where one of several captures cannot be read, the others are reported, and the code is 2, findings or none."""
    (work / "bad.pcap").write_text("this is no capture")
    done = run("pcap", "a.pcapng", "bad.pcap", "--out", "both", *more)
    assert done.returncode == 2
    assert "bad.pcap: not a pcap or pcapng capture" in done.stderr
    assert "--keep-going" in done.stderr
    assert "Problems (" in done.stdout
    assert json.loads((work / "both" / "audit.json").read_text())["counts"]["flows"] == 1


def test_keep_going(work: Path) -> None:
    """With --keep-going the others decide: 0, or 1 if they have findings; where nothing can be read it is 2 all the same."""
    (work / "bad.pcap").write_text("this is no capture")
    both = ("pcap", "a.pcapng", "bad.pcap", "--keep-going")
    assert run(*both).returncode == 0
    assert run(*both, "--fail-on", "info").returncode == 1
    assert run("pcap", "bad.pcap", "--keep-going").returncode == 2
    with_missing = ("pcap", "a.pcapng", "nosuch.pcap", "none*.pcap", "--brief")
    told = run(*with_missing)
    assert (told.returncode, run(*with_missing, "--keep-going").returncode) == (2, 0)
    assert told.stdout == run("pcap", "a.pcapng", "--brief").stdout
    assert told.stderr.count("no such file or folder") == 2


COMMANDS = [
    *("pcap a.pcapng", "pcap a.pcapng --format csv", "export results --format json", "export results --format xlsx"),
    *("export results --format html", "diff results results", "verify results", "policies", "--help", "doctor"),
]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_nowhere_to_print(work: Path, scratch: Path, command: str) -> None:
    """A full disk behind standard output is a sentence; a pipe that nobody reads ends it as it ends other programs."""
    with Path("/dev/full").open("w") as full:
        done = run(*command.split(), stdout=full)
    if not command.startswith("diff"):  # which prints nothing where nothing has changed
        sentence(done, "standard output: No space left on device")
        read, write = os.pipe()
        os.close(read)
        done = run(*command.split(), stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_standard_files(work: Path, closed: int) -> None:
    """Where standard input, output or error is closed, no file gets its place; what could not be said is told, all else works."""
    done = run("pcap", "a.pcapng", "--out", "new", preexec_fn=lambda: os.close(closed))
    assert done.returncode == (2 if closed == 1 else 0), done.stderr
    assert ("standard output is closed" in done.stderr) == (closed == 1)
    assert "internal" not in done.stderr
    assert run("verify", "new").returncode == 0


@pytest.mark.parametrize("command", ["--version", "rules --format json"])
def test_nothing_to_print_to(command: str) -> None:
    """Whoever closes standard output and asks for something to be printed is told that it was not."""
    sentence(run(*command.split(), preexec_fn=lambda: os.close(1)), "standard output is closed")


def test_an_encoding_that_lacks_a_character(work: Path, scratch: Path) -> None:
    """Where standard output cannot say something, the character and a way out are told."""
    done = run("pcap", "a.pcapng", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    sentence(done, "standard output is ascii, which has no U+")
    assert "PYTHONIOENCODING=utf-8" in done.stderr
    assert list(scratch.iterdir()) == []


def wait_until_read(child: "subprocess.Popen[bytes]", pipe: int) -> None:
    """Wait until nothing is in a pipe any more: the child that reads it has begun to work."""
    until = time.monotonic() + HANG
    while struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]:
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signals_leave_nothing(work: Path, scratch: Path, number: signal.Signals) -> None:
    """Whatever signal ends an audit, no file of it is left, neither where its results should go nor in between."""
    (work / "results" / "mine").write_text("")
    (work / "results" / "mine").unlink()
    before = sorted(path.name for path in (work / "results").iterdir())

    def defaults() -> None:  # whoever runs the tests in the background has some ignored
        signal.signal(number, signal.SIG_DFL)

    for out in (["--out", "results"], []):
        command = [*AUDIT, "pcap", "-", *out]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=defaults
        ) as child:
            assert child.stdin is not None
            child.stdin.write(wire.pcap(wire.Talk().open().packets))
            child.stdin.flush()
            wait_until_read(child, child.stdin.fileno())
            child.send_signal(number)
            told = child.communicate(timeout=HANG)[1]
        assert (child.returncode, told) == (130, b"audit: interrupted\n")
        assert sorted(path.name for path in (work / "results").iterdir()) == before
        assert list(scratch.iterdir()) == []


EACH_SIGNAL = """
import os, signal, time
from auditor.cli.main import _heed_signals
numbers = [getattr(signal, name) for name in "ALRM HUP INT PROF QUIT TERM USR1 USR2 VTALRM XCPU".split()
           for name in [f"SIG{name}"]]
for number in numbers:
    signal.signal(number, signal.SIG_DFL)
_heed_signals()
for number in numbers:
    try:
        os.kill(os.getpid(), number)
        time.sleep(10)
    except KeyboardInterrupt:
        print(number)
"""


def test_every_signal_that_somebody_sends_interrupts() -> None:
    """Whatever signal would end a process, but for those of its own faults and KILL, ends it as Ctrl-C does."""
    done = subprocess.run([sys.executable, "-c", EACH_SIGNAL], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 10


IN_A_FINALIZER = """
import os, signal, time
from auditor.cli.main import _heed_signals
_heed_signals()
class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
one = Closing()
try:
    del one
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    """Python drops what is raised in a finalizer; the signal ends the command all the same, and nothing else is said."""
    told = subprocess.run(
        [sys.executable, "-c", IN_A_FINALIZER], check=False, capture_output=True, text=True, timeout=HANG
    )
    assert (told.stdout, told.stderr) == ("interrupted\n", "")


# Presses Ctrl-C when a module is first looked for, then runs the command as its script or as a module.
PRESSING = """
import importlib.abc, os, runpy, signal, sys
class Press(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
script = sys.modules["__main__"].__file__ = sys.argv[2]
wanted = sys.argv[1]
sys.argv[:] = [script, "pcap", *sys.argv[3:]]
exec(compile(open(script).read(), script, "exec"))
"""


@pytest.mark.parametrize(
    "module",
    [
        "auditor.audit.catalogue",
        "auditor.report.audit",
        "auditor.cli",
        "auditor.cli.main",
        "typer",
        "numpy",
        "auditor.tables.columns",
    ],
)
def test_ctrl_c_while_it_loads(work: Path, scratch: Path, module: str) -> None:
    """At whichever import Ctrl-C comes, there is no traceback: the process ends as others do, or says that it was interrupted."""
    script = work / "audit"
    script.write_text("from auditor.cli import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, "-c", PRESSING, module, script, work / "a.pcapng"],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        cwd=scratch,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) in {(-signal.SIGINT, ""), (130, "audit: interrupted\n")}
    assert list(scratch.iterdir()) == []


def begun(capture: bytes) -> list[bytes]:
    """How much of a capture a producer may have written before it falls silent."""
    return [b"", capture[:10], capture[:24], capture[:60], capture, gzip.compress(capture)[:40]]


@pytest.mark.parametrize("place", ["-", "pipe"])
def test_ctrl_c_while_the_producer_is_silent(work: Path, scratch: Path, place: str) -> None:
    """Ctrl-C ends an audit that waits for bytes, however many came, from standard input or a named pipe with no writer yet."""
    children = []
    for number, data in enumerate(begun(wire.pcap(wire.Talk().open().packets))):
        if place == "pipe":
            os.mkfifo(work / f"pipe{number}")
        child = subprocess.Popen(
            [*AUDIT, "pcap", f"pipe{number}" if place == "pipe" else "-", "--out", "new"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert child.stdin is not None
        writer = os.open(work / f"pipe{number}", os.O_RDWR) if place == "pipe" and data else child.stdin.fileno()
        os.write(writer, data)
        children.append((child, writer))
    for child, writer in children[1:]:
        wait_until_read(child, writer)
    time.sleep(1)  # for the one that waits for its first byte: it was started before all others
    for child, writer in children:
        child.send_signal(signal.SIGINT)
        with child:
            assert child.stdin is not None
            assert child.stderr is not None
            try:
                assert child.wait(HANG) == 130
            finally:
                child.kill()
            assert child.stderr.read() == b"audit: interrupted\n"
            if writer != child.stdin.fileno():
                os.close(writer)
    assert not list((work / "new").glob("*"))
    assert list(scratch.iterdir()) == []


def test_a_link_that_leads_in_a_circle(work: Path) -> None:
    """A capture that is a link to itself cannot be read, and says why."""
    (work / "loop").symlink_to("loop")
    sentence(run("pcap", "loop"), "loop: Too many levels of symbolic links")


def test_no_place_for_results(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be made or written to is named, with what to do."""
    sentence(run("pcap", "a.pcapng", "--out", "/proc/results"), "/proc/results: cannot write results there")
    sentence(run("pcap", "a.pcapng", "--out", "a.pcapng/results"), "a.pcapng/results: Not a directory")
    sentence(run("report", "results", "-o", "/proc/report.html"), "/proc/report.html: cannot be written")
    sentence(
        run("export", "results", "-o", "nowhere/a.csv"), "nowhere/a.csv: cannot be written: No such file or directory"
    )
    monkeypatch.setenv("TMPDIR", "/nowhere")
    sentence(run("topology", "init", "/proc/site.toml"), "/proc/site.toml: cannot be written")


def test_a_read_only_folder(work: Path) -> None:
    """Results and reports do not go into a folder without the right to write there, which is said."""

    def no_rights_of_root() -> None:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE: capabilities(7)

    (work / "results").chmod(0o500)
    for command, words in (
        (["report", "results"], "report.html: cannot be written: Permission denied"),
        (["pcap", "a.pcapng", "--out", "results"], "results: cannot write results there: Permission denied"),
    ):
        sentence(run(*command, preexec_fn=no_rights_of_root), words)


def test_a_disk_that_fills_up(work: Path, scratch: Path) -> None:
    """Where a file may become no larger, as on a full disk, the older result stays and nothing is left of the new one."""

    def small() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    before = {path: path.read_bytes() for path in (work / "results").iterdir()}
    sentence(
        run("pcap", "a.pcapng", "--out", "results", "--fresh", preexec_fn=small),
        "results: cannot write results there: File too",
    )
    sentence(run("pcap", "a.pcapng", preexec_fn=small), "cannot write results there: File too large")
    sentence(run("report", "results", preexec_fn=small), "report.html: cannot be written: File too large")
    assert {path: path.read_bytes() for path in (work / "results").iterdir()} == before
    assert list(scratch.iterdir()) == []


def damaged(path: Path, kind: str) -> None:
    """Damage a file of results."""
    data = path.read_bytes()
    path.unlink()
    match kind:
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "empty":
            path.write_bytes(b"")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "other":
            shutil.copyfile(path.with_name("captures.parquet"), path)


@pytest.mark.parametrize("kind", ["missing", "cut", "empty", "pipe", "folder", "other"])
@pytest.mark.parametrize("name", ["audit.json", "flows.parquet"])
def test_results_that_are_not_whole(work: Path, kind: str, name: str) -> None:
    """A file of results that is missing, cut off, or another thing is named, and what to do."""
    damaged(work / "results" / name, kind)
    for command in (["export", "results", "--format", "csv"], ["diff", "results", "results"]):
        done = run(*command)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert name in last
        assert "internal" not in done.stderr
        assert "Traceback" not in done.stderr


def changed_manifests(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """A manifest with each of its keys missing or of another type, those inside too."""
    found: list[dict[str, Any]] = []
    for key, value in whole.items():
        found += [{name: one for name, one in whole.items() if name != key}]
        found += [whole | {key: other} for other in (None, 1, "x", [1], {"a": 1})]
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict):
            for part in list(inner)[:6]:
                for one in ({k: v for k, v in inner.items() if k != part}, inner | {part: [None]}):
                    found.append(whole | {key: [one] if isinstance(value, list) else one})
    return found


FOREIGN = [
    *("export results --format json", "export results --format sarif", "export results --format cbom"),
    *("export results --format markdown", "export results --format ocsf", "export results --format table"),
    *("verify results", "extract results TLS101-1 --explain", "paths explain results 0", "diff results results"),
]


def test_results_of_somebody_else(work: Path) -> None:
    """Whatever a manifest holds, commands do their work or end with an error of ours."""
    manifest = work / "results" / "audit.json"
    whole = json.loads(manifest.read_text())
    refused = 0
    for number, changed in enumerate(changed_manifests(whole)):
        manifest.write_text(json.dumps(changed))
        for command in FOREIGN[number % 3 :: 3]:
            try:
                app(command.split(), standalone_mode=False)
            except AuditError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "error", [NotImplementedError("odd\nlines"), KeyError("x"), StopIteration(), RuntimeError("\x1b[2J")]
)
def test_whatever_results_do_is_a_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no check of results foresees is one sentence that blames nobody and says where to look."""
    monkeypatch.delenv("AUDITOR_DEBUG", raising=False)
    with pytest.raises(AuditError) as told, saved():
        raise error
    assert str(told.value).isprintable()
    assert f"({type(error).__name__}: " in str(told.value)


@pytest.mark.parametrize("error", [typer.Exit(1), typer.Abort(), AuditError("no"), OSError(28, "full"), MemoryError()])
def test_what_is_no_fault_of_results_passes(error: Exception) -> None:
    """Exit codes, errors of ours, of the disk and of memory keep their own words."""
    with pytest.raises(type(error)), saved():
        raise error
