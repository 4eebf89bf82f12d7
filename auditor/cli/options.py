"""The options of audits on the command line: each is declared once, for all commands that audit."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from auditor.border.urls import public, url_of
from auditor.cli.app import (
    TABLE_FORMS,
    Format,
    Severity,
    TableOption,
    WhereOption,
    check_effect,
    say,
    silent,
)
from auditor.errors import AuditError
from auditor.options import DEFAULT_POLICY, Options, meaning


def option_field(name: str, *flags: str, **more: Any) -> Any:
    """A field of ``Options`` as an option of the command line; its help is what the field means."""
    settings = {"help": meaning(name, again="; may be given again"), "show_default": False, **more}
    return typer.Option(*(flags or (f"--{name.replace('_', '-')}",)), **settings)


OutOption = Annotated[Path | None, option_field("out")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and, with --out, no tables.")]


DetailOption = Annotated[bool, typer.Option("--detail", help="Print every finding with its frames, and requests.")]
BriefOption = Annotated[bool, typer.Option("--brief", help="Print the answer alone: one sentence.")]


FLOWS = "flows"


def check_table(form: Format, table: str | None, where: str | None) -> None:
    """Raise AuditError where a table, or rows of it, are chosen for a form that has none."""
    needed = f"--format {', '.join(TABLE_FORMS)}; audit list prints rows of tables"
    check_effect("--table", table, form.has_table, needed)
    check_effect("--where", where, form.has_table, needed)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Output:
    """Where a result goes besides its folder, and what exit code it gives."""

    form: Format = Format.table
    table: str = "flows"
    where: str | None = None
    fail_on: Severity = Severity.never
    keep_going: bool = False
    out: Path | None = None
    quiet: bool = False
    history: Path | None = None
    detail: bool = False
    brief: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether the result is printed as tables."""
        return self.form is Format.table and not (self.quiet and self.out is not None)


def audit_options(
    policy: Annotated[list[str] | None, option_field("policy")] = None,
    as_of: Annotated[datetime | None, option_field("as_of", formats=["%Y-%m-%d"])] = None,
    all_traffic: Annotated[bool, option_field("all_traffic", "--all")] = False,
    topology: Annotated[Path | None, option_field("topology")] = None,
    aws: Annotated[Path | None, option_field("aws")] = None,
    routes: Annotated[list[Path] | None, option_field("routes")] = None,
    witness: Annotated[list[Path] | None, option_field("witnesses", "--witness")] = None,
    skew: Annotated[float, option_field("skew", show_default=True)] = 0.0,
    keylog: Annotated[list[Path] | None, option_field("keylog")] = None,
    join_key: Annotated[Path | None, option_field("join_key")] = None,
    since: Annotated[str | None, option_field("since", metavar="TIME")] = None,
    until: Annotated[str | None, option_field("until", metavar="TIME")] = None,
    apart: Annotated[bool, option_field("apart", show_default=True)] = False,
    http: Annotated[bool, option_field("http", show_default=True)] = False,
    ip_ranges: Annotated[Path | None, option_field("ip_ranges")] = None,
    memory: Annotated[str | None, option_field("memory", metavar="SIZE")] = None,
    jobs: Annotated[int | None, option_field("jobs")] = None,
    scheduler: Annotated[str | None, option_field("scheduler", metavar="ADDRESS")] = None,
    out: OutOption = None,
    force: Annotated[bool, option_field("force")] = False,
    fresh: Annotated[bool, option_field("fresh")] = False,
    quiet: QuietOption = False,
) -> Options:
    """How to audit."""
    check_effect("--force", force, out, "--out")
    check_effect("--fresh", fresh, out, "--out")
    check_effect("--skew", skew, witness, "--witness")
    return Options(
        policy=policy or DEFAULT_POLICY,
        as_of=as_of.date() if as_of is not None else None,
        all_traffic=all_traffic,
        topology=topology,
        aws=aws,
        routes=routes or (),
        witnesses=witness or (),
        skew=skew,
        keylog=keylog or (),
        join_key=join_key,
        since=since,
        until=until,
        apart=apart,
        http=http,
        ip_ranges=ip_ranges,
        memory=memory,
        jobs=jobs,
        scheduler=scheduler,
        out=out,
        force=force,
        fresh=fresh,
        say=silent if quiet else say,
    )


def output_options(
    out: OutOption = None,
    form: Annotated[Format, typer.Option("--format", help="What goes to standard output.")] = Format.table,
    table: TableOption = None,
    where: WhereOption = None,
    fail_on: Annotated[
        Severity, typer.Option("--fail-on", help="Exit with 1 if a finding is at least this severe.", show_default=True)
    ] = Severity.never,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Exit as if inputs that cannot be read had not been given.")
    ] = False,
    quiet: QuietOption = False,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history", help="Folder of a history to add this audit to; see: audit history.", show_default=False
        ),
    ] = None,
    detail: DetailOption = False,
    brief: BriefOption = False,
) -> Output:
    """Where the result goes."""
    check_table(form, table, where)
    check_effect(
        "--detail", detail, form is Format.table and not brief, "the table that is printed, and not with --brief"
    )
    check_effect("--brief", brief, form is Format.table, "the table that is printed, not with --format")
    check_effect(
        "--quiet", quiet and (detail or brief), out is None, "neither --detail nor --brief, where --out is given"
    )
    if history is not None and (url := url_of(history)) is not None:
        raise AuditError(f"--history {public(url)}: a history is a folder here: audits are added to it")
    return Output(
        form=form,
        table=table or FLOWS,
        where=where,
        fail_on=fail_on,
        keep_going=keep_going,
        out=out,
        quiet=quiet,
        history=history,
        detail=detail,
        brief=brief,
    )


GROUPS: dict[Any, Callable[..., Any]] = {Options: audit_options, Output: output_options}


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options that its parameters of the types ``Options`` and ``Output`` consist of."""
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group = GROUPS.get(parameter.annotation)
        if group is None:
            parameters[parameter.name] = parameter.replace(kind=parameter.KEYWORD_ONLY)
            continue
        several = inspect.signature(group, eval_str=True).parameters
        groups[parameter.name] = group, list(several)
        for name, one in several.items():  # an option of both groups is shown with the second one
            parameters.pop(name, None)
            parameters[name] = one.replace(kind=one.KEYWORD_ONLY)

    @wraps(command)
    def run(**given: Any) -> None:
        own = {name: value for name, value in given.items() if not any(name in names for _, names in groups.values())}
        grouped = {name: group(**{n: given[n] for n in names}) for name, (group, names) in groups.items()}
        command(**own, **grouped)

    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: one.annotation for name, one in parameters.items()}
    return run
