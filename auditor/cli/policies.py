"""Commands about policies and their rules."""

import sys
from typing import Annotated

import typer

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.cli.app import FormOption, ListForm, app, policy_app


@app.command("policies")
def policies_command() -> None:
    """List the shipped policies."""
    from auditor.cli.terminal import show_policies
    from auditor.policy import pages

    show_policies(pages.shipped())


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
    form: FormOption = ListForm.table,
) -> None:
    """List the rules of the shipped policies, or of those given."""
    from auditor.cli.listing import show_rows
    from auditor.policy import library, pages

    found = [page for one in map(library.get, policy) for page in pages.pages(one)] if policy else pages.every()
    if form is ListForm.table:
        rows = [(one.rule.code, one.policy, one.rule.severity, one.holds, one.rule.title) for one in found]
        show_rows((["rule", "policy", "severity", "holds", "title"], rows))
    else:
        records = [pages.record(one) for one in found]
        show_rows((list(records[0]), [tuple(one.values()) for one in records]), form.value)


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
