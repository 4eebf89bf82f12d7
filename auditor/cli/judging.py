"""``audit judge``: an audit that was saved, judged anew."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from auditor.cli.app import app, check_effect, say, silent
from auditor.cli.auditing import finish, least_rights
from auditor.cli.options import Output, option_field, with_options
from auditor.options import Options, OptionValues


@app.command("judge")
@with_options
def judge_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)],
    *,
    policy: Annotated[list[str] | None, option_field("policy")] = None,
    as_of: Annotated[datetime | None, option_field("as_of", formats=["%Y-%m-%d"])] = None,
    all_traffic: Annotated[bool, option_field("all_traffic", "--all")] = False,
    topology: Annotated[Path | None, option_field("topology")] = None,
    aws: Annotated[Path | None, option_field("aws")] = None,
    routes: Annotated[list[Path] | None, option_field("routes")] = None,
    witness: Annotated[list[Path] | None, option_field("witnesses", "--witness")] = None,
    skew: Annotated[float | None, option_field("skew")] = None,
    memory: Annotated[str | None, option_field("memory", metavar="SIZE")] = None,
    force: Annotated[bool, option_field("force")] = False,
    output: Output,
) -> None:
    """Judge saved results anew by other policies, a topology or logs, without reading a capture.

    What is not given is as it was in that audit. The results are those of auditing its captures with these options.
    """
    from auditor.audit.judging import judge_results

    check_effect("--force", force, output.out, "--out")
    values: OptionValues = {"out": output.out, "force": force, "memory": memory}
    values["say"] = silent if output.quiet else say
    if policy:
        values["policy"] = policy
    if as_of is not None:
        values["as_of"] = as_of.date()
    if all_traffic:
        values["all_traffic"] = True
    if topology is not None:
        values["topology"] = topology
    if aws is not None:
        values["aws"] = aws
    if routes:
        values["routes"] = routes
    if witness:
        values["witnesses"] = witness
    if skew is not None:
        values["skew"] = skew
    confine = least_rights(context, output, Options(memory=memory).memory_bytes())
    finish(judge_results(folder, values, confine=confine), output)
