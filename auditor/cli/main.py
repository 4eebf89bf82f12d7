"""The commands and their options. Everything that takes time to load is imported inside the commands."""

import os
import signal
import sys
from datetime import datetime
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor import DEFAULT_POLICY, __version__
from auditor.errors import AuditError

if TYPE_CHECKING:
    from auditor.paths.topology import Topology

DONE, FINDINGS, FAILED = 0, 1, 2

app = typer.Typer(
    name="audit",
    help="Was this traffic private? Audits packet captures of traffic to AWS: path, TLS, forward secrecy, signing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topology_app = typer.Typer(
    help="Topology files: what the owner of the site knows.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(topology_app, name="topology")
policy_app = typer.Typer(help="Policies: show one, check a file.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy_app, name="policy")
paths_app = typer.Typer(help="Paths: how they were judged.", no_args_is_help=True, rich_markup_mode=None)
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
    sys.stderr.write(f"audit: {text}\n")
    sys.stderr.flush()


def silent(text: str) -> None:
    """Say nothing."""


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"audit {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Was this traffic private? Audits packet captures of traffic to AWS: path, TLS, forward secrecy, signing."""


@app.command("pcap")
def pcap_command(
    captures: Annotated[
        list[str], typer.Argument(help="Captures: files, folders, globs, or - for standard input.", show_default=False)
    ],
    policy: PolicyOption = None,
    as_of: AsOfOption = None,
    topology: TopologyOption = None,
    aws: AwsOption = None,
    routes: RoutesOption = None,
    witness: WitnessOption = None,
    keylog: KeylogOption = None,
    http: HttpOption = False,
    ip_ranges: RangesOption = None,
    out: OutOption = None,
    format: FormatOption = Format.table,
    table: TableOption = "flows",
    fail_on: FailOption = Severity.never,
    quiet: QuietOption = False,
    skew: SkewOption = 0.0,
    history: Annotated[
        Path | None,
        typer.Option("--history", help="DuckDB file to add this audit to; see: audit history.", show_default=False),
    ] = None,
    block_bytes: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Audit captures, and print what was found.

    Reads pcap and pcapng, also with gzip, bzip2, xz, zstd or lz4. Exit code 0: done; 1: findings at or above
    --fail-on; 2: the work could not be done.
    """
    from auditor import audit

    result = audit(
        captures,
        policy=policy or DEFAULT_POLICY,
        as_of=as_of.date() if as_of is not None else None,
        topology=topology,
        aws=aws,
        routes=routes or (),
        witnesses=witness or (),
        keylog=keylog or (),
        http=http,
        ip_ranges=ip_ranges,
        out=out,
        skew=skew,
        block_bytes=block_bytes,
        say=silent if quiet else say,
        meanwhile=partial(import_module, "auditor.cli.terminal") if format is Format.table else None,
    )
    if history is not None:
        from auditor.report.history import append

        append(result, history)
    _show(result, format, table, out, quiet)
    _finish(result, fail_on)


@app.command("live")
def live_command(
    interface: Annotated[str, typer.Argument(help="Interface to capture on, as eth0 or lo.", show_default=False)],
    duration: Annotated[
        float | None,
        typer.Option("--duration", help="Seconds to capture; without it until Ctrl-C.", show_default=False),
    ] = None,
    filter: Annotated[
        str | None, typer.Option("--filter", help="Capture filter, as 'tcp port 443'.", show_default=False)
    ] = None,
    policy: PolicyOption = None,
    as_of: AsOfOption = None,
    topology: TopologyOption = None,
    aws: AwsOption = None,
    routes: RoutesOption = None,
    witness: WitnessOption = None,
    keylog: KeylogOption = None,
    http: HttpOption = False,
    ip_ranges: RangesOption = None,
    out: OutOption = None,
    format: FormatOption = Format.table,
    table: TableOption = "flows",
    fail_on: FailOption = Severity.never,
    quiet: QuietOption = False,
) -> None:
    """Audit what goes over an interface, until Ctrl-C or for --duration seconds.

    A child process captures (dumpcap, else tcpdump, else a raw socket); this one needs no rights to capture.
    """
    from auditor.live import audit_live

    result = audit_live(
        interface,
        duration=duration,
        capture_filter=filter,
        policy=policy or DEFAULT_POLICY,
        as_of=as_of.date() if as_of is not None else None,
        topology=topology,
        aws=aws,
        routes=routes or (),
        witnesses=witness or (),
        keylog=keylog or (),
        http=http,
        ip_ranges=ip_ranges,
        out=out,
        say=silent if quiet else say,
    )
    _show(result, format, table, out, quiet)
    _finish(result, fail_on)


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; report.html in the folder without it.", show_default=False),
    ] = None,
) -> None:
    """Write the report: one HTML page that opens offline, in any browser."""
    from auditor.cli.export import export
    from auditor.report.audit import Audit

    target = out if out is not None else folder / "report.html"
    export(Audit.load(folder), "html", "flows", target)
    say(f"the report is {target}")


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    format: Annotated[Format, typer.Option("--format", help="Form to write.")] = Format.markdown,
    table: TableOption = "flows",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; standard output without it.", show_default=False)
    ] = None,
) -> None:
    """Write saved results in another form: Markdown, XLSX, OCSF, ASFF, SARIF, CycloneDX, ECS, Zeek's logs, …"""
    from auditor.report.audit import Audit

    result = Audit.load(folder)
    if format is Format.table:
        _show(result, format, table, None, quiet=False)
    else:
        from auditor.cli.export import export

        export(result, format.value, table, out)


@app.command("extract")
def extract_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    finding: Annotated[str, typer.Argument(help="finding_id, as TLS101-1.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="pcapng to write the packets to.", show_default=False)
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print the finding in words.")] = False,
) -> None:
    """Write the packets that prove a finding to a pcapng, or explain it.

    The capture must be where it was, and unchanged. Comments in the pcapng name the rule, the frames, and its SHA-256.
    """
    from auditor.report.audit import Audit

    result = Audit.load(folder)
    if explain or out is None:
        sys.stdout.write(result.explain_finding(finding))
    if out is not None:
        say(f"{result.extract(finding, out)} packets are in {out}")


@app.command("diff")
def diff_command(
    old: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="Folder of later results.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    fail_on: Annotated[
        DiffFail, typer.Option("--fail-on", help="Exit with 1 on new findings, or on any change.")
    ] = DiffFail.never,
) -> None:
    """Tell what came, went and changed: findings, services, paths, versions and suites, by client group and service."""
    from auditor.report import change
    from auditor.report.audit import Audit

    changes = Audit.load(old).diff(Audit.load(new))
    if json:
        import json as text

        sys.stdout.write(text.dumps([one.out() for one in changes], indent=1, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(change.text(changes))
    new_findings = [one for one in changes if one.kind == "came" and one.about.startswith("finding ")]
    if (fail_on is DiffFail.any and changes) or (fail_on is DiffFail.new and new_findings):
        raise typer.Exit(FINDINGS)


@app.command("history")
def history_command(
    file: Annotated[Path, typer.Argument(help="History that audit pcap --history wrote.", show_default=False)],
) -> None:
    """Show drift over time: when paths and versions changed, and who spoke old versions."""
    from auditor.cli.terminal import show_rows
    from auditor.report.history import drift

    changes, old = drift(file)
    show_rows("Changes by client group and service", *changes)
    show_rows("Old versions", *old)


@app.command("sql")
def sql_command(
    where: Annotated[Path, typer.Argument(help="Folder of saved results, or a history file.", show_default=False)],
    query: Annotated[str, typer.Argument(help="SQL (DuckDB) over flows, findings, … or runs, traffic, found.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Run SQL over the tables of an audit, or over a history. A query can reach no files and no network."""
    from auditor.report.history import sql

    names, found = sql(where, query)
    if csv:
        import csv as text

        from auditor.report.records import neutral

        writer = text.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([[neutral(value) for value in row] for row in found])
    else:
        from auditor.cli.terminal import show_rows

        show_rows(None, names, found)


@app.command("policies")
def policies_command() -> None:
    """List the shipped policies."""
    from auditor.cli.terminal import show_policies

    show_policies()


@policy_app.command("show")
def policy_show(
    name: Annotated[str, typer.Argument(help="Name of a shipped policy, or a policy file.", show_default=False)],
) -> None:
    """Show a policy: its source, its rules with their parameters, its exceptions."""
    from auditor.cli.terminal import show_policy

    show_policy(name)


@policy_app.command("check")
def policy_check(
    file: Annotated[str, typer.Argument(help="Policy file to check.", show_default=False)],
) -> None:
    """Check a policy file, and say what was understood."""
    from auditor.policy import model

    policy = model.get(file)
    told = f"{len(policy.rule)} rules, {len(policy.exception)} exceptions"
    sys.stdout.write(f"{file}: {policy.id}, edition {policy.edition}: {told}\n")


@app.command("rule")
def rule_command(
    code: Annotated[str, typer.Argument(help="Code of a rule, as TLS101.", show_default=False)],
    policy: Annotated[
        str | None, typer.Option("--policy", help="Policy to look in; all shipped ones without it.", show_default=False)
    ] = None,
) -> None:
    """Explain a rule: what it checks, why, how to mend, source."""
    from auditor.cli.terminal import show_rule

    show_rule(code, policy)


@app.command("doctor")
def doctor_command(
    compare: Annotated[
        Path | None,
        typer.Option("--compare", help="Compare our tables with tshark's answers on this capture.", show_default=False),
    ] = None,
) -> None:
    """Say what is installed, what is missing, and what that means.

    With --compare: 0 if every cell is as tshark has it, 1 if one is not.
    """
    from auditor.cli import doctor

    if compare is None:
        doctor.doctor()
    elif not doctor.compare(compare):
        raise typer.Exit(FINDINGS)


@topology_app.command("init")
def topology_init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("site.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented example of a topology file."""
    from auditor.paths.topology import example

    if file.exists() and not force:
        raise AuditError(f"{file}: exists already; give another name, or --force to overwrite it")
    try:
        file.write_text(example(), encoding="utf-8")
    except OSError as error:
        raise AuditError(f"{file}: {error.strerror}") from error
    sys.stdout.write(f"{file} is written; edit it, then: audit pcap CAPTURE --topology {file}\n")


@topology_app.command("check")
def topology_check(
    file: Annotated[Path, typer.Argument(help="File to check.", show_default=False)],
) -> None:
    """Check a topology file, and say what was understood."""
    from auditor.paths.topology import Topology

    site = Topology.read(file)
    _describe(str(file), site)


@topology_app.command("aws")
def topology_aws(
    folder: Annotated[Path, typer.Argument(help="Folder of the AWS command line's JSON.", show_default=False)],
) -> None:
    """Check what the AWS command line says of an account, and say what was understood."""
    from auditor.paths import aws_files

    _describe(str(folder), aws_files.read(folder))


@topology_app.command("fetch")
def topology_fetch(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)],
    profile: Annotated[
        str | None, typer.Option("--profile", help="Profile of the AWS configuration.", show_default=False)
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Region to ask in; may be given again.", show_default=False)
    ] = None,
) -> None:
    """Get from AWS what tells where traffic goes (needs the extra aws); keys and router configurations are left out."""
    from auditor.paths.fetch import fetch

    for file, rows in fetch(out, profile, region or []):
        sys.stdout.write(f"{file}: {rows}\n")


def _describe(name: str, site: "Topology") -> None:
    """Print what a topology says."""
    told = ", ".join(f"{s.name} ({', '.join(s.on_premises) or 'prefixes not given'})" for s in site.site)
    sys.stdout.write(f"{name}: {told or 'no site'}\n")
    for link in site.links():
        parts = [f"VLAN {link.vlan}" if link.vlan else "", f"peer {' '.join(link.peer_mac + link.peer_address)}"]
        parts += [f"interface {' '.join(link.interface)}" if link.interface else "", " ".join(link.prefixes[:8])]
        sys.stdout.write(f"  {link.path}: {link.words}: {', '.join(t for t in parts if t.removeprefix('peer '))}\n")
    for vpc in site.vpc:
        sys.stdout.write(f"  vpc: {vpc.name}: {' '.join(vpc.prefixes)}\n")
    for endpoint in site.endpoint:
        sys.stdout.write(f"  endpoint: {endpoint.name}: {endpoint.service or '?'}: {' '.join(endpoint.addresses)}\n")
    for attachment in site.attachment:
        sys.stdout.write(f"  attachment: {attachment.name}: {attachment.kind} {attachment.link or ''}".rstrip() + "\n")


@paths_app.command("explain")
def paths_explain(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    flow: Annotated[int, typer.Argument(help="flow_id of the flow.", show_default=False)],
) -> None:
    """Tell how the path of a flow was judged: the verdict, what decided, what speaks for and against."""
    from auditor.report.audit import Audit

    sys.stdout.write(Audit.load(folder).explain(flow))


def _show(result: object, format: Format, table: str, out: Path | None, quiet: bool) -> None:
    """Print the result in the format asked for."""
    from auditor.report.audit import Audit

    assert isinstance(result, Audit)
    for error in result.errors:
        say(error)
    if format is not Format.table:
        from auditor.cli.export import export

        export(result, format.value, table)
    elif not (quiet and out is not None):
        from auditor.cli.terminal import show

        show(result)
    if out is not None and not quiet:
        say(f"results are in {out}")


def _finish(result: object, fail_on: Severity) -> None:
    """Exit with 1 if a finding is at or above ``fail_on``."""
    from auditor.report.audit import Audit

    assert isinstance(result, Audit)
    severities = set()
    if fail_on is not Severity.never and result.manifest["counts"]["findings"]:
        severities = {row["severity"] for row in result.rows("findings", "severity")}
    result.close()
    order = list(Severity)
    if any(order.index(Severity(s)) >= order.index(fail_on) for s in severities):
        raise typer.Exit(FINDINGS)


def main() -> None:
    """Run the command line: errors of the user's are one sentence, and exit code 2."""
    code = DONE
    if hasattr(signal, "SIGPIPE"):  # as other programs do: end where nobody reads on, as in: audit pcap … | head
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except AuditError as error:
        say(str(error))
        code = FAILED
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except Exception as error:
        if os.environ.get("AUDITOR_DEBUG"):
            raise
        say(f"internal error ({type(error).__name__}: {error}); AUDITOR_DEBUG=1 shows where; please report it")
        code = FAILED
    # Taking the interpreter and LLVM apart in good order takes a third of a second, and nobody needs it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
