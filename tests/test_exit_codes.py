"""How the command line ends where part of the work, or the terminal, fails it: one sentence, and the code that says so."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG
from tests.test_outputs import made, work

__all__ = ["made", "work"]
AUDIT = [sys.executable, "-m", "auditor"]


def run(*arguments: object, **more: Any) -> "subprocess.CompletedProcess[str]":
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
    assert "Findings (" in done.stdout
    assert json.loads((work / "both" / "audit.json").read_text())["counts"]["flows"] == 1


def test_keep_going(work: Path) -> None:
    """With --keep-going the others decide: 0, or 1 if they have findings; where nothing can be read it is 2 all the same."""
    (work / "bad.pcap").write_text("this is no capture")
    both = ("pcap", "a.pcapng", "bad.pcap", "--keep-going")
    assert run(*both).returncode == 0
    assert run(*both, "--fail-on", "info").returncode == 1
    assert run("pcap", "bad.pcap", "--keep-going").returncode == 2
