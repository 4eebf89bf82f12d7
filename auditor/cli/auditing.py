"""``audit pcap`` and ``audit live``."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.app import (
    FINDINGS,
    AsOfOption,
    AwsOption,
    FailOption,
    Format,
    FormatOption,
    HttpOption,
    KeylogOption,
    OutOption,
    PolicyOption,
    QuietOption,
    RangesOption,
    RoutesOption,
    Severity,
    SkewOption,
    TableOption,
    TopologyOption,
    WitnessOption,
    app,
    say,
    silent,
)
from auditor.options import DEFAULT_POLICY, Options


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
        typer.Option(
            "--history", help="Folder of a history to add this audit to; see: audit history.", show_default=False
        ),
    ] = None,
    block_bytes: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Audit captures, and print what was found.

    Reads pcap and pcapng, also with gzip, bzip2, xz, zstd or lz4. Exit code 0: done; 1: findings at or above
    --fail-on; 2: the work could not be done.
    """
    from auditor import audit

    load = partial(import_module, "auditor.cli.terminal") if is_shown(format, out, quiet) else None
    result = audit(
        captures,
        policy=policy or DEFAULT_POLICY,
        as_of=as_of.date() if as_of is not None else None,
        topology=topology,
        aws=aws,
        routes=routes or (),
        witnesses=witness or (),
        skew=skew,
        keylog=keylog or (),
        http=http,
        ip_ranges=ip_ranges,
        out=out,
        block_bytes=block_bytes,
        say=silent if quiet else say,
        meanwhile=load,
    )
    if history is not None:
        from auditor.report.history import append

        append(result, history)
    show_result(result, format, table, out, quiet)
    finish(result, fail_on)


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
    from auditor.audit.live import audit_live

    options = Options(
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
    result = audit_live(interface, options, duration=duration, capture_filter=filter)
    show_result(result, format, table, out, quiet)
    finish(result, fail_on)


def is_shown(format: Format, out: Path | None, quiet: bool) -> bool:
    """Whether the result is printed as tables."""
    return format is Format.table and not (quiet and out is not None)


def show_result(result: object, format: Format, table: str, out: Path | None, quiet: bool) -> None:
    """Print the result in the format asked for."""
    from auditor.report.audit import Audit

    assert isinstance(result, Audit)
    for error in result.errors:
        say(error)
    if format is not Format.table:
        from auditor.cli.export import export

        export(result, format.value, table)
    elif is_shown(format, out, quiet):
        from auditor.cli.terminal import show

        show(result)
    if out is not None and not quiet:
        say(f"results are in {out}")


def finish(result: object, fail_on: Severity) -> None:
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
