"""Commands for saved results: report, export, extract, diff, history, sql, paths explain."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from auditor.border.words import counted
from auditor.cli.app import (
    FINDINGS,
    CaptureOption,
    DiffFail,
    DiffFormat,
    ForceOption,
    Format,
    FormOption,
    ListForm,
    TableOption,
    WhereOption,
    app,
    check_effect,
    paths_app,
    say,
    standard_output,
    target_of,
)
from auditor.cli.auditing import export, show_result
from auditor.cli.options import FLOWS, Output, check_table
from auditor.errors import AuditError


@contextmanager
def saved() -> Iterator[None]:
    """For commands that read saved results, which may be somebody else's: whatever is wrong with them is a sentence.

    It is a net below the checks of columns, types and versions: what falls into it is not called the results' fault alone.
    """
    try:
        yield
    except (AuditError, OSError, MemoryError, UnicodeEncodeError, typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if os.environ.get("AUDITOR_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise AuditError(
            "the results are damaged, of another version, or not what this version can read: audit the captures again, and "
            f"where that does not help, report it ({reason}; AUDITOR_DEBUG=1 shows where)"
        ) from error


@app.command("report")
@saved()
def report_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write; report.html in the folder without it, standard output by -.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write the report: one HTML page that opens offline, in any browser."""
    from auditor import Audit

    target = target_of(out if out is not None else folder / "report.html")
    written = target if target is not None else standard_output("the report", is_binary=False)
    Audit.load(folder, say=say).export("html", written, force=force)
    if target is not None:
        say(f"the report is {target}")


@app.command("export")
@saved()
def export_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    form: Annotated[Format, typer.Option("--format", help="Form to write.")] = Format.markdown,
    table: TableOption = None,
    where: WhereOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; standard output without it.", show_default=False)
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write saved results in another form: Markdown, XLSX, OCSF, ASFF, SARIF, CycloneDX, ECS, Zeek's logs, …"""  # noqa: D400, D415 - the list goes on
    from auditor import Audit

    check_table(form, table, where)
    out = target_of(out)
    check_effect("--force", force, out, "--out")
    check_effect("--out", out, form is not Format.table, "a form that is written: --format")
    result = Audit.load(folder, say=say)
    if form is Format.table:
        show_result(result, Output())
    else:
        export(result, form, table or FLOWS, out, where=where, force=force)


@app.command("extract")
@saved()
def extract_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    finding: Annotated[str, typer.Argument(help="finding_id, as TLS101-1.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="pcapng to write the packets to; - is standard output.", show_default=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print the finding in words.")] = False,
    capture: CaptureOption = None,
    force: ForceOption = False,
) -> None:
    """Write the packets that prove a finding to a pcapng, or explain it.

    The capture must be where it was or --capture says, and unchanged. Comments in the pcapng name the rule, the frames, and its SHA-256.
    """
    from auditor import Audit

    check_effect("--force", force, out, "--out")
    check_effect("--capture", capture, out, "--out: only that reads captures")
    result = Audit.load(folder, captures=capture or (), say=say)
    if out is not None and explain and target_of(out) is None:
        raise AuditError("--explain and -o - both write to standard output: give one of both")
    if explain or out is None:
        from auditor.cli.terminal import write

        write(result.explain_finding(finding))
    if out is not None:
        target = target_of(out)
        written = target if target is not None else standard_output("a pcapng", is_binary=True)
        count = result.extract(finding, written, force=force)
        say(f"{counted(count, 'packet is', 'packets are')} in {target or 'standard output'}")


@app.command("diff")
@saved()
def diff_command(
    old: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="Folder of later results.", show_default=False)],
    form: Annotated[DiffFormat, typer.Option("--format", help="How to print the changes.")] = DiffFormat.text,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; standard output without it.", show_default=False)
    ] = None,
    fail_on: Annotated[
        DiffFail, typer.Option("--fail-on", help="Exit with 1 on new findings, or on any change.")
    ] = DiffFail.never,
    force: ForceOption = False,
) -> None:
    """Show what came, went and changed: findings, services, paths, versions and suites, by client group and service."""
    from auditor import Audit

    out = target_of(out)
    check_effect("--force", force, out, "--out")
    is_read = out is None and form is DiffFormat.text and sys.stdout.isatty()
    shown = BytesIO()
    target = out if out is not None else shown if is_read else sys.stdout.buffer
    changes = Audit.load(old, say=say).export_diff(Audit.load(new, say=say), form.value, target, force=force)
    if is_read:
        from auditor.cli.terminal import write

        write(shown.getvalue().decode())
    new_findings = [one for one in changes if one.kind == "came" and one.about.startswith("finding ")]
    if (fail_on is DiffFail.any and changes) or (fail_on is DiffFail.new and new_findings):
        raise typer.Exit(FINDINGS)


@app.command("history")
@saved()
def history_command(
    history: Annotated[Path, typer.Argument(help="History that audit pcap --history wrote.", show_default=False)],
    where: WhereOption = None,
    form: FormOption = ListForm.table,
) -> None:
    """Show drift over time: when paths and versions changed, and who spoke old versions.

    --where chooses among the rows of the table traffic, of which audit sql HISTORY 'describe traffic' lists the columns. In
    other forms than table, old versions are rows behind the changes, whose "change" is "old version".
    """
    from auditor.cli.listing import show_rows
    from auditor.report.history import as_one, drift

    changes, old = drift(history, where or "true")
    if form is not ListForm.table:
        show_rows(as_one(changes, old), form.value)
        return
    show_rows(changes, title="Changes by client group and service")
    show_rows(old, title="Old versions")


@paths_app.command("explain")
@saved()
def paths_explain(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    flow: Annotated[str, typer.Argument(help="flow_id of the flow, or its first digits.", show_default=False)],
) -> None:
    """Explain how the path of a flow was judged: the verdict, what decided, what speaks for and against."""
    from auditor import Audit
    from auditor.cli.terminal import write

    write(Audit.load(folder, say=say).explain(flow))
