"""What changed between two audits, as one page of HTML that opens offline and has no script."""

from typing import Any

from auditor.border.text import printable
from auditor.report.change import MARKS, Change
from auditor.report.plain import iso
from auditor.report.results import Results


def html(old: Results, new: Results, changes: list[Change]) -> str:
    """The page: findings first, then traffic that came and went, then what changed."""
    from auditor.report.page import environment, style

    rows = [_row(change) for change in changes]
    findings = [row for row in rows if row["about"].startswith("finding ")]
    traffic = [row for row in rows if row["about"] == "traffic"]
    rest = [row for row in rows if row not in findings and row not in traffic]
    counts = {kind: sum(row["kind"] == kind for row in findings) for kind in MARKS}
    sentence = "Nothing changed."
    if rows:
        sentence = f"{counts['came']} findings came, {counts['went']} went, {counts['changed']} changed their verdict; "
        sentence += f"{len(traffic)} pairs of clients and service came or went, {len(rest)} others changed."
    groups = [
        {"title": "Findings", "rows": findings},
        {"title": "Clients and services", "rows": traffic},
        {"title": "Paths, versions, suites and groups", "rows": rest},
    ]
    sides = [_side("before", old), _side("after", new)]
    return (
        environment().get_template("change.html").render(style=style(), sentence=sentence, groups=groups, sides=sides)
    )


def _row(change: Change) -> dict[str, Any]:
    shown = {name: None if value is None else printable(value) for name, value in change.out().items()}
    return {**shown, "mark": MARKS[change.kind]}


def _side(name: str, result: Results) -> dict[str, str]:
    """An audit in a sentence."""
    manifest = result.manifest
    starts = [row["started"] for row in result.rows("captures", "started") if row["started"] is not None]
    day = f", from {(iso(min(starts)) or '')[:19].replace('T', ' ')} UTC" if starts else ""
    inputs = ", ".join(printable(one["name"]) for one in manifest["inputs"][:3])
    policies = ", ".join(f"{policy['id']} {policy['edition']}" for policy in manifest["policies"])
    counts = manifest["counts"]
    words = f"{inputs}{day}; {counts['flows']} flows, {counts['findings']} findings; policy {policies}"
    return {"id": name, "name": name, "words": words}
