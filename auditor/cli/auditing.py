"""``audit pcap`` and ``audit live``."""

from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.border.urls import url_of
from auditor.cli.app import FAILED, FINDINGS, Format, OwnProcess, Severity, app, say, standard_output
from auditor.cli.options import Output, with_options
from auditor.options import Options

if TYPE_CHECKING:
    from auditor import Audit
    from auditor.audit.before import Confine


@app.command("pcap")
@with_options
def pcap_command(
    context: typer.Context,
    captures: Annotated[
        list[str], typer.Argument(help="Captures: files, folders, globs, or - for standard input.", show_default=False)
    ],
    options: Options,
    output: Output,
) -> None:
    """Audit captures, and print the results.

    Reads pcap and pcapng, also with gzip, bzip2, xz, zstd or lz4. Exit code 0: done; 1: findings at or above
    --fail-on; 2: the work could not be done, or an input not be read (unless --keep-going).
    """
    from auditor.audit.progress import Progress
    from auditor.audit.start import audit_files
    from auditor.cli.ticker import Ticker, is_shown

    load = partial(import_module, "auditor.cli.summary") if output.is_shown else None
    hashing = context.obj.hashing if context.obj is not None else None
    confine, progress = least_rights(context, output, options.memory_bytes()), Progress()
    with Ticker(progress) if is_shown() and not output.quiet else nullcontext():
        result = audit_files(captures, options, hashing=hashing, meanwhile=load, confine=confine, progress=progress)
    finish(result, output)


@app.command("live")
@with_options
def live_command(
    context: typer.Context,
    interface: Annotated[str, typer.Argument(help="Interface to capture on, as eth0 or lo.", show_default=False)],
    *,
    duration: Annotated[
        float | None,
        typer.Option("--duration", help="Seconds to capture; without it until Ctrl-C.", show_default=False),
    ] = None,
    capture_filter: Annotated[
        str | None, typer.Option("--filter", help="Capture filter, as 'tcp port 443'.", show_default=False)
    ] = None,
    options: Options,
    output: Output,
) -> None:
    """Audit what goes over an interface, until Ctrl-C or for --duration seconds.

    A child process captures (dumpcap, else tcpdump, else a raw socket); this one needs no rights to capture.
    """
    from auditor.audit.live import audit_interface
    from auditor.audit.progress import Progress
    from auditor.cli.ticker import Ticker, is_shown

    confine, progress = least_rights(context, output, options.memory_bytes()), Progress()
    with Ticker(progress) if is_shown() and not output.quiet else nullcontext():
        result = audit_interface(
            interface,
            options,
            duration=duration,
            capture_filter=capture_filter,
            confine=confine,
            progress=progress,
        )
    finish(result, output)


def least_rights(context: typer.Context, output: Output, memory_bytes: int | None) -> "Confine | None":
    """What gives up all rights that an audit does not need; nothing in a process that is not the command's own.

    Such a process keeps no memory that it does not need either; ``memory_bytes``: what it was given, if anything.
    """
    if not isinstance(context.obj, OwnProcess):
        return None
    from auditor.machine import memory, rights

    memory.spare(memory.ceiling(memory_bytes).total)
    history = [] if output.history is None else [output.history]

    def confine(reads: list[Path], writes: list[Path]) -> None:
        rights.give_up(reads, [*writes, *history])

    return confine


def finish(result: "Audit", output: Output) -> None:
    """Keep, print and judge a result: exit with 1 if a finding is at least as severe as ``--fail-on``.

    Where an input could not be read, that is only part of the work: 2, whatever was found in the others.
    """
    try:
        if output.history is not None:
            result.add_to_history(output.history)
        show_result(result, output)
        severities = set()
        if output.fail_on is not Severity.never and result.manifest["counts"]["findings"]:
            severities = {row["severity"] for row in result.rows("findings", "severity")}
    finally:
        result.close()
    if result.errors and not output.keep_going:
        say("not all could be read; what could be is reported; --keep-going makes this no failure")
        raise typer.Exit(FAILED)
    order = list(Severity)
    if any(order.index(Severity(s)) >= order.index(output.fail_on) for s in severities):
        raise typer.Exit(FINDINGS)


def show_result(result: "Audit", output: Output) -> None:
    """Print the result in the format asked for."""
    for error in result.errors:
        say(error)
    if not output.quiet and (output.brief or output.form is not Format.table):
        from auditor.report import overview

        for one in overview.warned(result):  # what is printed has no place for them
            say(one.words)
    if output.form is not Format.table:
        export(result, output.form, output.table, where=output.where)
    elif output.is_shown:
        _print(result, output)
    if output.out is not None and not output.quiet:
        say(f"results are in {url_of(output.out) or output.out}")


def _print(result: "Audit", output: Output) -> None:
    if output.detail:
        from auditor.cli import detail  # which loads what goes back to captures

        detail.show(result)
        return
    from auditor.cli import summary

    (summary.brief if output.brief else summary.show)(result)


def export(
    result: "Audit",
    form: Format,
    table: str,
    target: Path | None = None,
    *,
    where: str | None = None,
    force: bool = False,
) -> None:
    """Write a table, or the whole audit in a form that has its own shape, to a file or to standard output."""
    out = target if target is not None else standard_output(f"--format {form.value}", is_binary=form.is_binary)
    result.export(form.value, out, table, where=where, force=force)
