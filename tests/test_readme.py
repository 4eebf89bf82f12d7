"""What the README shows is what the program prints."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SESSIONS = re.findall(r"```console\n\$ (audit [^\n]+)\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
WITH_OUTPUT = [(command, output) for command, output in SESSIONS if "\n$ " not in output and "#" not in command]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed: requests would not be shown")
@pytest.mark.parametrize(("command", "output"), WITH_OUTPUT, ids=[c for c, _ in WITH_OUTPUT])
def test_pasted_sessions(command: str, output: str) -> None:
    """Every pasted session has real output."""
    arguments = [sys.executable, "-m", "auditor", *command.split()[1:]]
    environment = {**os.environ, "TERM": "dumb"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert [line.rstrip() for line in done.stdout.rstrip().splitlines()] == output.rstrip().splitlines()


def test_every_command_is_documented() -> None:
    """Every command of the command line is in docs/commands.md, and the README names the main ones."""
    listed = subprocess.run(
        [sys.executable, "-m", "auditor", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^  ([a-z]+)  ", listed.split("Commands:")[1], re.MULTILINE)
    assert len(commands) == 23
    page = (ROOT / "docs" / "commands.md").read_text()
    assert all(f"## audit {command}\n" in page for command in commands)
    assert len(WITH_OUTPUT) == 3
