"""The application, and what its commands share: options, exit codes, words on standard error."""

import sys
from collections import deque
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer

from auditor.border.text import printable
from auditor.cli.values import Group
from auditor.errors import AuditError

if TYPE_CHECKING:
    from auditor.capture.digest import DigestChild

TABLE_FORMS = ("json", "jsonl", "csv", "parquet")
DONE, FINDINGS, FAILED, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="audit",
    cls=Group,
    help="Was this traffic private? Audits packet captures of traffic to AWS: path, TLS, forward secrecy, signing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topology_app = typer.Typer(
    cls=Group, help="Topology files: what the owner of the site knows.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(topology_app, name="topology")
policy_app = typer.Typer(
    cls=Group, help="Policies: show one, check a file.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(policy_app, name="policy")
paths_app = typer.Typer(cls=Group, help="Paths: how they were judged.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(paths_app, name="paths")


class OwnProcess(NamedTuple):
    """What the commands of a process of their own are given: they may give up its rights, and something has begun for them."""

    hashing: "DigestChild | None"  # hashes the first capture already


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    concise = "concise"
    html = "html"
    markdown = "markdown"
    xlsx = "xlsx"
    ocsf = "ocsf"
    asff = "asff"
    sarif = "sarif"
    cbom = "cbom"
    cbom_1_7 = "cbom-1.7"
    ecs = "ecs"
    cef = "cef"
    syslog = "syslog"
    zeek_ssl = "zeek-ssl"
    zeek_conn = "zeek-conn"
    pci_inventory = "pci-inventory"

    @property
    def has_table(self) -> bool:
        """Whether it is the rows of one table."""
        return self.value in TABLE_FORMS

    @property
    def is_binary(self) -> bool:
        """Whether it is nothing for a terminal."""
        return self in {Format.parquet, Format.xlsx}


class ListForm(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"


class Severity(StrEnum):
    """Severities of findings, lowest first."""

    info = "info"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"
    never = "never"


class DiffFormat(StrEnum):
    """How to print changes."""

    text = "text"
    json = "json"
    html = "html"


class DiffFail(StrEnum):
    """On what ``audit diff`` ends with 1."""

    never = "never"
    new = "new"
    any = "any"


TableOption = Annotated[
    str | None,
    typer.Option(
        "--table", help="Table that --format json, jsonl, csv or parquet prints; flows without it.", show_default=False
    ),
]
FormOption = Annotated[ListForm, typer.Option("--format", help="How to print the rows.")]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        help="Only rows of which this is true, in SQL's words: \"tls_version < 'TLS 1.2'\".",
        show_default=False,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the file.")]
CaptureOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--capture",
        help="Where captures are now, found by their SHA-256: a file or folder; may be given again.",
        show_default=False,
    ),
]


def check_effect(option: str, is_given: object, has_effect: object, needed: str) -> None:
    """Raise AuditError for an option that has no effect with the others: whoever gave it expects one."""
    if is_given and not has_effect:
        raise AuditError(f"{option} has no effect here: it goes with {needed}")


def target_of(out: Path | None) -> Path | None:
    """Where something is written to: a file, or standard output, which is ``-`` too."""
    return None if out == Path("-") else out


def standard_output(what: str, *, is_binary: bool) -> BinaryIO:
    """Standard output, for bytes. Raises AuditError where it is a terminal and they are no text."""
    if is_binary and sys.stdout.isatty():
        raise AuditError(f"{what} is binary data: redirect it to a file")
    sys.stdout.flush()
    return sys.stdout.buffer


said: deque[str] = deque(maxlen=16)  # the last sentences: an error need not repeat one


def say(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    from auditor.cli.ticker import Ticker

    said.append(text)
    if Ticker.active is not None:
        Ticker.active.clear()
    with suppress(OSError):  # the exit code says it too
        sys.stderr.write(f"audit: {printable(text)}\n")
        sys.stderr.flush()


def silent(text: str) -> None:
    """Say nothing."""
