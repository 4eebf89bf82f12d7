"""Help by topic, a manual page, and completion for shells: all made of the commands themselves."""

import os
import sys
from enum import StrEnum
from importlib import import_module
from typing import Annotated, Any

import typer

from auditor import __version__
from auditor.cli import helping
from auditor.cli.app import app
from auditor.errors import AuditError

PROGRAM = "audit"
VARIABLE = "_AUDIT_COMPLETE"
OF_ALL = ("help", "man")  # commands that tell of the others


class Shell(StrEnum):
    """Shells that can complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"
    powershell = "powershell"


@app.command("help")
def help_command(
    context: typer.Context,
    topic: Annotated[
        list[str] | None, typer.Argument(help="A command, the code of a rule, or a policy.", show_default=False)
    ] = None,
) -> None:
    """Explain a command, a rule, or a policy."""
    root = context.find_root()
    command, path = _command(root.command, topic or [])
    if command is not None:
        parent = typer.Context(command, parent=root, info_name=path) if path else root
        sys.stdout.write(command.get_help(parent) + "\n")
        return
    from auditor.cli import policies
    from auditor.errors import PolicyError

    word = " ".join(topic or [])
    for show in (policies.rule_command, policies.policy_show):
        try:
            show(word)
        except PolicyError:
            continue
        return
    raise AuditError(
        f"{word}: no command, rule or policy is named so; audit -h, audit rules and audit policies list them"
    )


def _command(root: Any, words: list[str]) -> tuple[Any, str]:
    """The command that some words name and its path, the program itself for none; None where there is none."""
    found, path = root, ""
    for word in words:
        if word not in getattr(found, "commands", {}):
            return None, ""
        path = f"{path} {word}".strip()
        found = helping.dress(found.commands[word], path)
    return found, path


@app.command("completion")
def completion_command(
    shell: Annotated[Shell, typer.Argument(help="For which shell.", show_default=False)],
) -> None:
    """Print what makes a shell complete commands, options and files: source it, or put it where the shell looks."""
    typers: Any = import_module("typer.completion")
    script = typers.get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value)
    sys.stdout.write(f"{script}\n")


def complete() -> None:
    """Let typer answer where a shell asks for completions, as the script of ``audit completion`` does."""
    if os.environ.get(VARIABLE):
        typers: Any = import_module("typer.completion")
        typers.completion_init()


@app.command("man")
def man_command(context: typer.Context) -> None:
    """Print the manual page, in roff: for man."""
    sys.stdout.write(page(context.find_root()))


def page(root: Any) -> str:
    """The manual page of all commands."""
    lines = [
        f'.TH AUDIT 1 "" "traffic-auditor {__version__}" "User Commands"',
        ".SH NAME",
        "audit \\- was this traffic private? Audits packet captures of traffic to AWS",
        ".SH SYNOPSIS",
        ".B audit\nCOMMAND [OPTIONS] [ARGUMENTS]",
        ".br\n.B audit\nCAPTURE",
        ".SH DESCRIPTION",
        _roff(
            "Says of each flow which path it took, how TLS protected it, whether requests were signed, and whether that meets a policy; with the packets that prove it."
        ),
        ".SH COMMANDS",
    ]
    for path, command in _leaves(root.command, ""):
        lines += _section(command, path, root)
    lines += [".SH EXIT STATUS", _roff(helping.CODES.removeprefix("Exit codes: ")), ".SH EXAMPLES"]
    lines += [f".PP\n.nf\n.RS\n{_roff(one)}\n.RE\n.fi" for one in helping.EXAMPLES[""]]
    return "\n".join(lines) + "\n"


def _leaves(group: Any, path: str) -> list[tuple[str, Any]]:
    """All commands that are no groups, with their paths."""
    found = []
    for name, command in group.commands.items():
        whole = f"{path} {name}".strip()
        found += _leaves(command, whole) if hasattr(command, "commands") else [(whole, helping.dress(command, whole))]
    return found


def _section(command: Any, path: str, root: Any) -> list[str]:
    context = typer.Context(command, parent=root, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f".SS audit {path}",
        f".B audit {path}\n{_roff(usage)}",
        ".PP",
        _roff(" ".join((command.help or "").split())),
    ]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[0] != "-h, --help":
            lines += [".TP", f".B {_roff(record[0])}", _roff(record[1])]
    return [*lines, *(f".PP\n.nf\n.RS\n{_roff(one)}\n.RE\n.fi" for one in helping.EXAMPLES.get(path, ()))]


def _roff(text: str) -> str:
    """Text that roff sets as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.splitlines())
