"""Every command in a folder full of files that would run, if anything were looked for where the evidence lies."""

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from auditor.report.formats import FORMS
from tests.conftest import ROOT, SAMPLES

PROGRAMS = [
    *("tshark", "dumpcap", "tcpdump", "capinfos", "unshare", "ip", "ifconfig", "uname", "ldconfig", "gcc", "cc", "ld"),
    *("objdump", "python", "python3", "git", "sh", "file", "ssh-keygen", "setpriv", "llvm-symbolizer", "lscpu"),
]
OTHERS = [
    "sitecustomize",
    "usercustomize",
    "auditor",
    "ssl3",
    "pylsqpack",
    "xlsxwriter",
    "yaml",
    "prestart",
    "coverage",
]


class Trap(NamedTuple):
    """A folder of evidence in which everything leaves a mark if it is run."""

    folder: Path
    marks: Path
    script: Path  # the command ``audit``, as an installation has it

    def sprung(self) -> list[str]:
        return sorted(path.name for path in self.marks.iterdir())


def loaded_before(tmp_path: Path) -> set[str]:
    """What Python itself imports from the working directory for ``python -m`` before any module of ours can act."""
    (tmp_path / "probe.py").write_text("import sys; print(*sys.modules)")
    done = subprocess.run([sys.executable, "-m", "probe"], cwd=tmp_path, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    folder, marks = tmp_path / "evidence", tmp_path / "marks"
    for directory in (folder, marks, tmp_path / "bin"):
        directory.mkdir()
    libraries = {name for name in importlib.metadata.packages_distributions() if name.isidentifier()}
    for name in {*sys.stdlib_module_names, *libraries, *OTHERS}:
        (folder / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w').close()\n")
    (folder / "auditor").mkdir()
    (folder / "auditor" / "__init__.py").write_text(f"open({str(marks / 'package')!r}, 'w').close()\n")
    for name in PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\n: > {marks / name}.program\n")
        (folder / name).chmod(0o755)
    (folder / "init.lua").write_text(f"io.open('{marks / 'lua'}', 'w'):close()\n")
    (folder / ".gdbinit").write_text(f"shell touch {marks / 'gdb'}\n")
    (folder / "config.ini").write_text(f"[tshark]\ntshark_path = {folder / 'tshark'}\n")
    for name in ("requests.pcapng", "tls1.pcapng", "site.toml"):
        shutil.copy(SAMPLES / name, folder)
    (folder / "keys.log").write_text("# no keys\n")
    script = tmp_path / "bin" / "audit"
    script.write_text("from auditor.cli import main\nmain()\n")
    return Trap(folder, marks, script)


def run(trap: Trap, command: Sequence[str], *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_"))}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PATH": f".::{trap.folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, *command, *arguments], cwd=trap.folder, env=environment, capture_output=True, check=False
    )
    assert trap.sprung() == [], arguments
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.decode()


def every_command(trap: Trap, command: Sequence[str], forms: Sequence[str]) -> None:
    def audit(*arguments: str) -> str:
        return run(trap, command, *arguments)

    more = ("--keylog", "keys.log", "--http", "--history", "audits", "-q")
    audit("pcap", "requests.pcapng", "--topology", "site.toml", "--out", "new", *more)
    audit("pcap", "tls1.pcapng", "--out", "old", *more)
    assert "pinpoint:GetApps" in audit("export", "new", "--format", "csv", "--table", "requests")
    for form in forms:
        audit("export", "new", "--format", form, "-o", f"out.{form}")
    audit("report", "new", "-o", "report.html")
    audit("extract", "old", "TLS101-1", "-o", "evidence.pcapng", "--explain")
    audit("verify", "new")
    audit("diff", "old", "new")
    audit("history", "audits")
    audit("sql", "new", "select count(*) from flows")
    audit("doctor")
    if shutil.which("tshark"):
        audit("doctor", "--compare", "tls1.pcapng")
    audit("policies")
    audit("policy", "show", "aws-pinpoint")
    audit("rule", "TLS101")
    audit("topology", "init", "mine.toml")
    audit("topology", "check", "site.toml")
    flow = audit("sql", "new", "select min(flow_id) from flows", "--csv").split()[1]
    audit("paths", "explain", "new", flow)
    audit("--version")
    if can_capture():
        audit("live", "lo", "--duration", "0.5", "-q", "--out", "live")


def can_capture() -> bool:
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0):
            return True
    except (PermissionError, AttributeError):
        return False


def test_the_command(trap: Trap) -> None:
    """``audit`` runs nothing of the working directory, whatever it is called to do, and works there as anywhere."""
    every_command(trap, [str(trap.script)], [*FORMS, "json", "jsonl", "csv", "parquet"])


def test_the_module(trap: Trap, tmp_path: Path) -> None:
    """``python -m auditor`` neither, except what Python itself takes from there before the auditor is found."""
    probe = tmp_path / "probe"
    probe.mkdir()
    for name in {*loaded_before(probe), "auditor"}:
        (trap.folder / f"{name}.py").unlink(missing_ok=True)
    shutil.rmtree(trap.folder / "auditor")
    every_command(trap, ["-m", "auditor"], ["markdown", "xlsx"])


def test_capturing_without_programs(trap: Trap) -> None:
    """Where neither dumpcap nor tcpdump is installed, the capturing child runs nothing of the working directory."""
    if not can_capture():
        pytest.skip("no right to capture here")
    text = trap.script.read_text()
    trap.script.write_text(f"from auditor.machine import programs\nprograms.FOLDERS = ()\n{text}")
    said = run(trap, [str(trap.script)], "live", "lo", "--duration", "3")
    assert "lo" in said


def test_scapy_and_pyshark_in_the_library(trap: Trap) -> None:
    """The packets of a flow, by scapy and by tshark, come without anything of the working directory."""
    run(trap, [str(trap.script)], "pcap", "tls1.pcapng", "--out", "old", "-q")
    trap.script.write_text(
        "import auditor, os\nresult = auditor.Audit.load('old')\nassert len(result.packets(result.flows.flow_id[0]))\n"
        + ("assert len(result.dissect(result.flows.flow_id[0]))\n" if shutil.which("tshark") else "")
    )
    run(trap, [str(trap.script)])
