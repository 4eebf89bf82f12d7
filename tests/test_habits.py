"""What people expect of a command: short forms, help with examples, completion, a manual, and no option that does nothing."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import auditor
from auditor.cli import helping
from auditor.policy import library
from tests.conftest import ROOT, SAMPLES
from tests.test_terminal import run

COMMAND = Path(sys.executable).parent / "audit"


def test_version_in_short() -> None:
    """-V and --version print the version."""
    assert run("-V").stdout == run("--version").stdout == f"audit {auditor.__version__}\n"


def test_a_file_alone_is_audited() -> None:
    """`audit FILE` prints what `audit pcap FILE` does, with its options; `audit -` reads standard input."""
    named = run("pcap", "captures/tls1.2.pcapng", "--brief")
    assert run("captures/tls1.2.pcapng", "--brief").stdout == named.stdout
    command = [sys.executable, "-m", "auditor", "-", "--brief"]
    piped = subprocess.run(command, input=(SAMPLES / "tls1.2.pcapng").read_bytes(), capture_output=True, check=True)
    assert piped.stdout.decode().split() == named.stdout.split()
    missing = run("nosuch.pcap")
    assert (missing.returncode, missing.stderr) == (2, "audit: nosuch.pcap: no such file or folder\n")
    assert "No such command 'pcpa'. Did you mean 'pcap'" in run("pcpa").stderr


def test_help_by_topic() -> None:
    """`audit help` explains commands, rules and policies, and says where to look for anything else."""
    assert run("help").stdout.startswith("Usage: ")
    assert "Judge TLS and plaintext" in " ".join(run("help", "pcap").stdout.split())
    assert "Check a topology file" in run("help", "topology", "check").stdout
    assert run("help", "tls101").stdout == run("rule", "TLS101").stdout
    assert run("help", "pq-ready").stdout == run("policy", "show", "pq-ready").stdout
    nothing = run("help", "nothing")
    assert (nothing.returncode, "audit rules" in nothing.stderr) == (2, True)


def commands() -> list[str]:
    """All commands, those of groups by their whole names."""
    page = (ROOT / "docs" / "commands.md").read_text()
    titles = [title.removeprefix("audit").strip() for title in re.findall(r"^## (audit.*)$", page, re.MULTILINE)]
    return [title for title in titles if title not in ("topology", "policy", "paths")]


@pytest.mark.parametrize("command", commands())
def test_help_has_an_example_and_no_types(command: str) -> None:
    """Each command's help has an example that begins with it, and words, not names of Python's types, for values."""
    text = run(*command.split(), "--help").stdout
    assert re.search(rf"Examples?:\n  .*\b(audit {command})", text)
    assert not re.search(r"<|list\[|\bstr\b|TEXT|INTEGER", text.split("Example")[0].replace("tls_version < ", ""))


@pytest.mark.parametrize("line", [line for lines in helping.EXAMPLES.values() for line in lines])
def test_examples_name_commands_and_options_that_there_are(line: str) -> None:
    """Each command and option in an example is known."""
    page = (ROOT / "docs" / "commands.md").read_text()
    call = re.search(r"\baudit (.*)", line.split("  #", maxsplit=1)[0])
    assert call is not None
    first = call[1].split()[0]
    assert f"## audit {first}\n" in page or first == "capture.pcap"
    for option in re.findall(r"(?<= )--?[a-z][a-z-]*", call[1].split("|")[0].split(">")[0]):
        assert re.search(rf"^  (-\w, )?{option}\b|, {option}\b|{option}, ", page, re.MULTILINE), option


def test_all_rules_are_listed() -> None:
    """`audit rules` lists the rules of every shipped policy, in each form with all that is known of them."""
    every = {(name, rule.code) for name in library.shipped() for rule in library.get(name).rule}
    listed = json.loads(run("rules", "--format", "json").stdout)
    assert {(one["policy"], one["code"]) for one in listed} == every
    assert all(one["remediation"] and one["why"] and one["source"] for one in listed)
    assert len(run("rules").stdout.splitlines()) == len(every) + 1
    of_one = list(csv.DictReader(io.StringIO(run("rules", "--policy", "pq-ready", "--format", "csv").stdout)))
    assert {one["policy"] for one in of_one} == {"pq-ready"}


@pytest.mark.parametrize(
    ("words", "expected"), [("pc", ["pcap"]), ("pcap --form", ["--format"]), ("pcap --format con", ["concise"])]
)
def test_shells_complete(words: str, expected: list[str]) -> None:
    """What the shell's function asks for is answered: commands, options, values."""
    environment = {**os.environ, "_AUDIT_COMPLETE": "complete_bash", "COMP_WORDS": f"audit {words}"}
    environment["COMP_CWORD"] = str(len(words.split()))
    done = subprocess.run([COMMAND], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_loads_its_completion() -> None:
    """bash takes the script that is printed for it, and completes by it."""
    script = run("completion", "bash").stdout
    ask = f"{script}\nCOMP_WORDS=(audit pc); COMP_CWORD=1; _audit_completion {COMMAND}; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pcap"
    assert "compdef" in run("completion", "zsh").stdout
    assert "complete --command audit" in run("completion", "fish").stdout


def test_the_manual_has_every_command_and_option() -> None:
    """The manual page has all commands with their options, exit codes and examples; no line is a request by accident."""
    page = run("man").stdout
    assert page.startswith(".TH AUDIT 1")
    for command in commands():
        assert not command or f".SS audit {command}\n" in page
    assert "\\-\\-fail\\-on" in page
    assert ".SH EXIT STATUS" in page
    known = {".TH", ".SH", ".SS", ".B", ".br", ".PP", ".TP", ".nf", ".fi", ".RS", ".RE"}
    assert {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))} <= known


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pcap", "x.pcap", "--table", "findings"), "--table has no effect here: it goes with --format json, jsonl"),
        (("pcap", "x.pcap", "--format", "sarif", "--table", "findings"), "--table has no effect"),
        (("pcap", "x.pcap", "--where", "true"), "--where has no effect"),
        (("pcap", "x.pcap", "--force"), "--force has no effect here: it goes with --out"),
        (("pcap", "x.pcap", "--skew", "2"), "--skew has no effect here: it goes with --witness"),
        (("pcap", "x.pcap", "--detail", "--brief"), "--detail has no effect"),
        (("pcap", "x.pcap", "--detail", "--format", "csv"), "--detail has no effect"),
        (("pcap", "x.pcap", "--brief", "--format", "csv"), "--brief has no effect"),
        (("pcap", "x.pcap", "--brief", "--quiet", "--out", "r"), "--quiet has no effect"),
        (("export", "r", "--format", "sarif", "--table", "flows"), "--table has no effect"),
        (("export", "r", "--format", "csv", "--force"), "--force has no effect"),
        (("extract", "r", "TLS101-1", "--force"), "--force has no effect"),
        (("extract", "r", "TLS101-1", "--capture", "x.pcap"), "--capture has no effect"),
        (("diff", "a", "b", "--force"), "--force has no effect"),
        (("topology", "suggest", "x.pcap", "--force"), "--force has no effect"),
        (("list", ".", "--by", "client", "--table", "findings"), "--by counts flows"),
        (("sql", "r", "select 1", "--csv", "--format", "json"), "give one of both"),
    ],
)  # fmt: skip
def test_options_that_do_nothing_are_errors(arguments: tuple[str, ...], words: str) -> None:
    """An option that has no effect with the others is an error that says what it goes with, before anything is read."""
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [("diff", "OLD NEW"), ("sql", "FOLDER QUERY"), ("history", "FOLDER"), ("extract", "FOLDER FINDING")],
)
def test_arguments_are_named_by_what_they_are(command: str, words: str) -> None:
    """The usage says what each argument is, no two alike; whoever leaves the last one out is told that one."""
    assert f" {command} [OPTIONS] {words}\n" in run(command, "-h").stdout
    assert f"Missing argument '{words.rsplit(maxsplit=1)[-1]}'" in run(command, *(["x"] * words.count(" "))).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pcap", "x", "--jobs", "many"), "'--jobs': not a whole number ("),
        (("pcap", "x", "--witness", "y", "--skew", "some"), "'--skew': not a number ("),
        (("pcap", "x", "--as-of", "2027-13-01"), "'2027-13-01': give a day as 2026-11-27 ("),
        (("live", "lo", "--duration", "long"), "'--duration': not a number ("),
        (("completion",), "Choose from: bash, zsh, fish, powershell ("),
    ],
)
def test_values_that_are_wrong_are_told_in_words(arguments: tuple[str, ...], said: str) -> None:
    """What cannot be an option's value is refused in one line of a person's words, not in a library's."""
    done = run(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert "\\x" not in done.stderr


def test_rules_as_lines() -> None:
    """`audit rules --format csv` has a line for each rule, without escapes for the ends of lines in its texts."""
    text = run("rules", "--format", "csv").stdout
    assert "\\x0a" not in text
    assert len(text.splitlines()) == 1 + len(json.loads(run("rules", "--format", "json").stdout))


def test_policies_in_each_form() -> None:
    """`audit policies` has the forms of other listings, and each policy that is shipped."""
    listed = json.loads(run("policies", "--format", "json").stdout)
    assert [one["id"] for one in listed] == [*library.shipped()]
    assert {one["id"]: one["rules"] for one in listed} == {n: len(library.get(n).rule) for n in library.shipped()}
    assert next(iter(csv.DictReader(io.StringIO(run("policies", "--format", "csv").stdout))))["id"] == listed[0]["id"]


def test_conditions_on_what_is_shipped() -> None:
    """`--where` chooses among rules and policies; severities are in their order, and a column that is not there is told."""
    severe = json.loads(
        run("rules", "--where", "severity >= 'high' and policy = 'aws-pinpoint'", "--format", "json").stdout
    )
    expected = {rule.code for rule in library.get("aws-pinpoint").rule if rule.severity in ("high", "critical")}
    assert {one["code"] for one in severe} == expected
    table = run("rules", "--where", "severity >= 'high'", "--policy", "aws-pinpoint").stdout.splitlines()[1:]
    assert {line.split()[0] for line in table} == expected
    assert run("policies", "--where", "id = 'rfc9325'").stdout.splitlines()[1].startswith("rfc9325 ")
    assert run("policies", "--where", "id = 'none'", "--format", "json").stdout == "[]\n"
    failed = run("rules", "--where", "cod = 'TLS101'")
    assert failed.returncode == 2
    assert 'column "cod" not found' in failed.stderr
    assert "There are policy, code, title," in failed.stderr
    assert run("policies", "--where", "true) or (select 1 from read_csv('/etc/passwd')").returncode == 2
