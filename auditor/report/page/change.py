"""What changed between two audits, as one page of HTML that opens offline and has no script."""

from collections.abc import Sequence
from typing import Any

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.report import charts, overview
from auditor.report.answer import answer
from auditor.report.change import Change, unchanged
from auditor.report.compared import SAME, basis
from auditor.report.page.chart_rows import way_shares
from auditor.report.page.style import kind
from auditor.report.results import Results

Row = dict[str, Any]
# What became of a finding: heading, colour (that of the verdict it is nearest to, if to one), what it means.
FATES: dict[str, tuple[str, str | None, str]] = {
    "came": ("New", "fail", "found now, and not before"),
    "changed": ("With another verdict", None, "found in both, not as bad or worse now"),
    "still": ("Still there", "warn", "found in both, with the same verdict"),
    "went": ("Repaired", "pass", "the rule judged this traffic, and is met now"),
    "unjudged": ("No longer judged", "not_applicable", "nothing is known of it any more: it is not repaired"),
}
MARKS = {"came": "+", "changed": "~", "still": "=", "went": "-", "unjudged": "?"}


def html(old: Results, new: Results, changes: list[Change]) -> str:
    """The page: both answers, what was compared, what became of each finding, then traffic, paths and versions."""
    from auditor.report.page import environment, policy, style_sheet

    about_findings = [change for change in changes if change.about.startswith("finding ")]
    traffic = [change for change in changes if change.about == "traffic"]
    rest = [change for change in changes if change not in about_findings and change not in traffic]
    fates = [_fate(name, [*about_findings, *unchanged(old, new)]) for name in FATES]
    sheet = style_sheet()
    page = {
        "sentence": _sentence(fates, len(traffic), len(rest)) if changes else "Nothing changed.",
        "sides": [_side("before", old), _side("after", new)],
        "basis": [_basis(one) for one in basis(old, new) if one.about != "answer"],
        "fates": fates,
        "groups": [
            {"title": "Clients and services", "rows": [_row(change) for change in traffic]},
            {"title": "Paths, versions, suites and groups", "rows": [_row(change) for change in rest]},
        ],
    }
    return environment().get_template("change.html").render(style=sheet, csp=policy(sheet), page=page)


def _sentence(fates: Sequence[Row], traffic: int, rest: int) -> str:
    found = ", ".join(f"{len(fate['rows']):,} {fate['title'].lower()}" for fate in fates if fate["rows"])
    pairs = counted(traffic, "pair of clients and service", "pairs of clients and service")
    return f"Findings: {found or 'none'}. {pairs} came or went, {counted(rest, 'other change')}."


def _fate(name: str, changes: Sequence[Change]) -> Row:
    title, verdict, meaning = FATES[name]
    rows = [_row(change) for change in changes if change.kind == name]
    return {
        "name": name,
        "title": title,
        "kind": kind("v", verdict) if verdict else "neutral",
        "meaning": meaning,
        "rows": rows,
    }


def _row(change: Change) -> Row:
    shown = {name: None if value is None else printable(value) for name, value in change.out().items()}
    return {**shown, "mark": MARKS.get(change.kind, "~"), "about": printable(change.about.removeprefix("finding "))}


def _basis(one: Change) -> Row:
    return {"about": one.about, "before": one.before, "after": one.after, "is_same": one.kind == SAME}


def _side(name: str, result: Results) -> Row:
    """An audit by its answer."""
    span = overview.span(result)
    when = f"{charts.span(*span)} UTC" if span else "no packets"
    summary = answer(result)
    return {
        "name": name,
        "when": when,
        "sentence": summary.sentence,
        "ways": [{**part, "href": None} for part in way_shares(summary)],
    }
