"""The application, and what its commands share: options, exit codes, words on standard error."""

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.values import Group

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


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    html = "html"
    markdown = "markdown"
    xlsx = "xlsx"
    ocsf = "ocsf"
    asff = "asff"
    sarif = "sarif"
    cbom = "cbom"
    cbom_1_7 = "cbom-1.7"
    ecs = "ecs"
    zeek_ssl = "zeek-ssl"
    zeek_conn = "zeek-conn"
    pci_inventory = "pci-inventory"


class Severity(StrEnum):
    """Severities of findings, lowest first."""

    info = "info"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"
    never = "never"


class DiffFormat(StrEnum):
    """How changes are told."""

    text = "text"
    json = "json"
    html = "html"


class DiffFail(StrEnum):
    """On what ``audit diff`` ends with 1."""

    never = "never"
    new = "new"
    any = "any"


PolicyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        help="Name of a shipped policy (aws-pinpoint without it), or a policy file; may be given again.",
        show_default=False,
    ),
]
AsOfOption = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d"],
        help="Judge rules that hold for a time as of this day; each flow's own day without it.",
        show_default=False,
    ),
]
TopologyOption = Annotated[
    Path | None, typer.Option("--topology", help="Site file; see: audit topology init.", show_default=False)
]
AwsOption = Annotated[
    Path | None,
    typer.Option("--aws", help="Folder of the AWS command line's JSON; see: audit topology fetch.", show_default=False),
]
RoutesOption = Annotated[
    list[Path] | None,
    typer.Option("--routes", help="Routing table: MRT, ip -j route, FRR's JSON, show ip bgp.", show_default=False),
]
WitnessOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--witness", help="Flow logs, CloudTrail, Zeek or Suricata logs: a file or folder.", show_default=False
    ),
]
SkewOption = Annotated[
    float, typer.Option("--skew", help="Seconds by which the witnesses' clocks are ahead.", show_default=True)
]
KeylogOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--keylog",
        help="Key log of a client, or RSA key of a server; may be given again. SSLKEYLOGFILE: that variable's file.",
        show_default=False,
    ),
]
HttpOption = Annotated[bool, typer.Option("--http", help="Read requests in clear of flows that are not to AWS too.")]
RangesOption = Annotated[
    Path | None, typer.Option("--ip-ranges", help="A newer ip-ranges.json than the one shipped.", show_default=False)
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for the results: Parquet files and audit.json.", show_default=False)
]
FormatOption = Annotated[Format, typer.Option("--format", help="What goes to standard output.")]
TableOption = Annotated[
    str, typer.Option("--table", help="Table that --format json, jsonl, csv or parquet prints.", show_default=True)
]
FailOption = Annotated[
    Severity, typer.Option("--fail-on", help="Exit with 1 if a finding is at least this severe.", show_default=True)
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and, with --out, no tables.")]


def say(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    from auditor.report.plain import printable  # numpy, which --help does not need

    sys.stderr.write(f"audit: {printable(text)}\n")
    sys.stderr.flush()


def silent(text: str) -> None:
    """Say nothing."""
