"""Commands about policies and their rules."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.cli.app import FormOption, ListForm, WhereOption, app, policy_app

if TYPE_CHECKING:
    from auditor.report.database import Table


@app.command("policies")
def policies_command(where: WhereOption = None, form: FormOption = ListForm.table) -> None:
    """List the shipped policies."""
    from auditor.cli.terminal import show_policies
    from auditor.policy import pages

    shipped = pages.shipped()
    names, rows = _chosen([pages.policy_record(one) for one in shipped], where)
    if form is not ListForm.table:
        _show((names, rows), form)
        return
    chosen = {row[names.index("id")] for row in rows}
    show_policies([one for one in shipped if one.id in chosen])


@policy_app.command("show")
def policy_show(
    name: Annotated[str, typer.Argument(help="Name of a shipped policy, or a policy file.", show_default=False)],
) -> None:
    """Show a policy: its source, its rules with their parameters, its exceptions."""
    from auditor.cli.terminal import show_policy
    from auditor.policy import library, pages

    policy = library.get(name)
    show_policy(policy, pages.pages(policy))


@policy_app.command("check")
def policy_check(
    file: Annotated[str, typer.Argument(help="Policy file to check.", show_default=False)],
) -> None:
    """Check a policy file, and say what was understood."""
    from auditor.policy import library

    policy = library.get(file)
    counts = f"{counted(len(policy.rule), 'rule')}, {counted(len(policy.exception), 'exception')}"
    sys.stdout.write(printable(f"{file}: {policy.id}, edition {policy.edition}: {counts}") + "\n")


@app.command("rules")
def rules_command(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", help="Policy whose rules to list; may be given again. All without it.", show_default=False
        ),
    ] = None,
    where: WhereOption = None,
    form: FormOption = ListForm.table,
) -> None:
    """List the rules of the shipped policies, or of those given."""
    from auditor.policy import library, pages

    found = [page for one in map(library.get, policy) for page in pages.pages(one)] if policy else pages.every()
    names, rows = _chosen([pages.record(one) for one in found], where)
    if form is ListForm.table:
        chosen = {tuple(row[names.index(name)] for name in ("policy", "code")) for row in rows}
        shown = [one for one in found if (one.policy, one.rule.code) in chosen]
        names = ["rule", "policy", "severity", "holds", "title"]
        rows = [(one.rule.code, one.policy, one.rule.severity, one.holds, one.rule.title) for one in shown]
    _show((names, rows), form)


def _chosen(records: list[dict[str, Any]], where: str | None) -> "Table":
    """Records as rows: those of which a condition is true."""
    table = list(records[0]), [tuple(one.values()) for one in records]
    if not where:
        return table
    from auditor.report import asking  # loads Arrow

    return asking.rows_where(table, where)


def _show(table: "Table", form: ListForm) -> None:
    from auditor.cli.listing import show_rows

    show_rows(table, form.value)


@app.command("rule")
def rule_command(
    code: Annotated[str, typer.Argument(help="Code of a rule, as TLS101.", show_default=False)],
    policy: Annotated[
        str | None, typer.Option("--policy", help="Policy to look in; all shipped ones without it.", show_default=False)
    ] = None,
) -> None:
    """Explain a rule: what it checks, why, how to fix a failure, source."""
    from auditor.cli.terminal import show_rule
    from auditor.policy import pages

    show_rule(pages.page(code, policy))
