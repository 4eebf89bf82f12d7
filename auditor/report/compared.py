"""What two audits are compared on: captures, policies, topology, keys, and who made them. What differs there may be why findings do."""

import json
from typing import Any

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.report import overview
from auditor.report.answer import answer
from auditor.report.change import MARKS, Change
from auditor.report.plain import iso
from auditor.report.results import Results

MOST_NAMED = 3
MADE_BY = "auditor"  # told only where two versions of it, or of what it knows of AWS, made the audits
SAME, DIFFERENT = "same", "differs"
BASIS_MARKS = {SAME: "=", DIFFERENT: "≠"}
INPUTS = {"topology": "topology", "aws": "AWS account", "routes": "routes", "witnesses": "witnesses", "keylog": "keys"}


def basis(old: Results, new: Results) -> list[Change]:
    """What is the same in both audits and what differs, before anything that changed."""
    sides = [_of(result) for result in (old, new)]
    return [
        Change(
            SAME if sides[0][about] == sides[1][about] else DIFFERENT, about, "", "", sides[0][about], sides[1][about]
        )
        for about in sides[0]
        if about != MADE_BY or sides[0][about] != sides[1][about]
    ]


def _of(result: Results) -> dict[str, str]:
    """What an audit was made from, in words."""
    manifest, options = result.manifest, result.manifest.get("options", {})
    names = [printable(one["name"]) for one in manifest["inputs"]]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    times = overview.span(result)
    ends = dict.fromkeys(f"{(iso(time) or '')[:19]}Z" for time in times or ())  # one, where both are in a second
    span = f", {' to '.join(ends)}" if ends else ""
    policies = [f"{one['id']} {one['edition']} ({counted(len(one['rules']), 'rule')})" for one in manifest["policies"]]
    rows = {
        "answer": answer(result).sentence,
        "captures": f"{', '.join(names[:MOST_NAMED])}{more}{span}",
        "policies": ", ".join(policies) + (", of all traffic" if options.get("all_traffic") else ""),
    }
    rows[MADE_BY] = printable(f"{manifest['versions']['auditor']}, address ranges of {manifest['ip_ranges']['date']}")
    for option, about in INPUTS.items():
        rows[about] = printable(options.get(option) or "none")
    if manifest["site"]:
        rows["topology"] += f" (site {printable(manifest['site'])})"
    return rows


def _line(one: Change) -> str:
    if one.kind == SAME:
        return f"{BASIS_MARKS[SAME]} {one.about}: {one.before}"
    if one.kind == DIFFERENT:
        return f"{BASIS_MARKS[DIFFERENT]} {one.about}: {one.before} → {one.after}"
    return f"{MARKS[one.kind]} {printable(one.words)}"


def text(old: Results, new: Results, changes: list[Change]) -> str:
    """What was compared, then the changes, a line each; findings that are no longer judged are not among those that went."""
    lines = [_line(one) for one in [*basis(old, new), *changes]]
    return "".join(f"{line}\n" for line in lines) + ("" if changes else "Nothing changed.\n")


def json_text(old: Results, new: Results, changes: list[Change]) -> str:
    """The same as a JSON list."""
    rows: list[dict[str, Any]] = [one.out() for one in [*basis(old, new), *changes]]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
