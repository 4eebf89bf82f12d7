"""What the page says, section by section, as plain values for its template."""

from collections.abc import Sequence
from typing import Any

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.report import charts, colours, overview
from auditor.report.answer import Answer, answer, is_judged, percent
from auditor.report.flow_columns import FlowColumns
from auditor.report.page import chart_rows
from auditor.report.page.chart_rows import VERDICT_WORDS, VERDICTS
from auditor.report.page.findings import problems, rules
from auditor.report.page.links import href
from auditor.report.page.style import kind
from auditor.report.problems import Problem
from auditor.report.results import Results

Row = dict[str, Any]
MOST_OTHERS = 12  # kinds of flows that were not judged


def page(result: Results, flows: FlowColumns, every: Sequence[Problem]) -> Row:
    """Everything but the flows themselves and the problems that are not whole in the page; ``every``: all problems."""
    summary, strands = answer(result), charts.paths(flows)
    inputs = [printable(one["name"]) for one in result.manifest["inputs"]]
    return {
        "title": ", ".join(inputs[:3]),
        "about": _about(result, inputs),
        "footer": _footer(result, inputs),
        "sentence": summary.sentence,
        "ways": chart_rows.way_shares(summary),
        "tiles": _tiles(summary),
        "numbers": _numbers(result, summary),
        "errors": [printable(error) for error in result.errors],
        "scope_words": _scope(summary),
        "legend": chart_rows.legend(strands),
        "diagram": chart_rows.diagram(strands),
        "strands": chart_rows.strands(strands),
        **_by_version(result),
        **problems(result, every),
        "rules": rules(result),
        **_unseen(result, summary),
        "time": chart_rows.time(flows),
        "versions": chart_rows.bars(charts.versions(flows), "t", "version"),
        "suites": chart_rows.suites(flows),
        "post_quantum": chart_rows.bars(charts.post_quantum(result), "q"),
        "hello_sizes": chart_rows.hello_sizes(result),
        **chart_rows.certificates(result),
        "trips": chart_rows.trips(flows),
        "captures": _captures(result),
        "obtained": _obtained(result),
    }


def _about(result: Results, inputs: list[str]) -> str:
    name = inputs[0] if len(inputs) == 1 else counted(len(inputs), "capture")
    parts = [name]
    if (span := overview.span(result)) is not None:
        parts.append(f"{charts.span(*span)} UTC")
    parts.append("policy " + ", ".join(f"{one['id']} {one['edition']}" for one in result.manifest["policies"]))
    site = result.manifest["site"]
    parts.append(f"site {site}" if site else "no topology: only frames show paths")
    return " · ".join(printable(part) for part in parts)


def _footer(result: Results, inputs: list[str]) -> str:
    """Which capture a printed page is about: by its name and SHA-256."""
    if len(inputs) != 1:
        return f"Traffic audit of {counted(len(inputs), 'capture')}; names and SHA-256 are at the end"
    return f"{inputs[0][-80:]}   SHA-256 {result.manifest['inputs'][0]['sha256'] or 'unknown'}"


def _tiles(summary: Answer) -> list[Row]:
    return [
        {
            "kind": kind("v", verdict),
            "count": f"{summary.verdicts[verdict]:,}",
            "words": f"{colours.SIGN[verdict]} {VERDICT_WORDS[verdict][summary.verdicts[verdict] != 1]}",
            "share": percent(summary.verdicts[verdict], summary.judged),
            "href": href(verdict=verdict),
        }
        for verdict in VERDICTS
        if summary.judged
    ]


def _numbers(result: Results, summary: Answer) -> list[tuple[str, str]]:
    counts = result.manifest["counts"]
    numbers = {"flows": summary.flows, "judged": summary.judged, "TLS handshakes": counts["handshakes"]}
    numbers |= {"findings": counts["findings"], "captures": counts["captures"]}
    return [(name, f"{count:,}") for name, count in numbers.items()]


def _scope(summary: Answer) -> str:
    if not summary.judged:
        return f"No flow was judged; the diagram is of all {summary.flows:,}."
    rest = summary.flows - summary.judged
    shown = (
        f"The {counted(summary.judged, 'flow')} that were judged" if summary.judged > 1 else "The flow that was judged"
    )
    return shown + (f"; {counted(rest, 'other was not', 'others were not')}." if rest else ".")


def _by_version(result: Results) -> Row:
    """Flows by path and version, as the terminal has them, and the verdicts that they have."""
    lines = overview.lines(result)
    verdicts = overview.shown_verdicts(lines)
    rows = []
    for line in lines:
        version = overview.protocol_words(line.protocol)
        cells = [_cell(line, version, verdict) for verdict in verdicts]
        rows.append({"path": line.words, "version": version, "flows": f"{line.flows:,}", "cells": cells})
    heads = [{"kind": kind("v", verdict), "words": VERDICT_WORDS[verdict][1]} for verdict in verdicts]
    return {"by_version": rows, "heads": heads}


def _cell(line: overview.OverviewLine, version: str, verdict: str) -> Row:
    count = line.verdicts[verdict]
    leads = href(path=line.words, version=version, verdict=verdict) if count and is_judged(verdict) else None
    return {"count": f"{count:,}" if count else "·", "href": leads, "words": VERDICT_WORDS[verdict][1]}


def _unseen(result: Results, summary: Answer) -> Row:
    """What could not be judged and why, and which flows no rule is about."""
    rows = [
        {"rules": " ".join(one.rules), "flows": f"{one.flows:,}", "reason": printable(one.reason)}
        for one in overview.unseen(result)
    ]
    to_aws, others = overview.not_judged(result)
    ordered = sorted((to_aws + others).items(), key=lambda item: (-item[1], item[0]))
    listed: list[Row] = [
        {"name": name, "count": f"{count:,}", "href": href(verdict="not_applicable", version=name)}
        for name, count in ordered[:MOST_OTHERS]
    ]
    if len(ordered) > MOST_OTHERS:
        rest = sum(count for _, count in ordered[MOST_OTHERS:])
        words = f"of {counted(len(ordered) - MOST_OTHERS, 'other protocol')}"
        listed.append({"name": words, "count": f"{rest:,}", "href": None})
    nothing = "Every rule that is about a judged flow could be judged." if summary.judged else "Nothing was judged."
    return {"unseen": rows, "not_judged": listed, "nothing_unseen": nothing}


def _captures(result: Results) -> list[Row]:
    names = ("capture", "packets", "flows", "handshakes", "started", "ended", "sha256", "status", "warnings")
    rows = []
    for row in result.rows("captures", *names):
        span = charts.span(row["started"], row["ended"]) if row["started"] else "no packets"
        state = [] if row["status"] in (None, "complete") else [f"{row['status']}"]
        rows.append(
            {
                "name": printable(row["capture"]),
                **{name: f"{row[name] or 0:,}" for name in ("packets", "flows", "handshakes")},
                "time": span,
                "sha256": row["sha256"] or "unknown",
                "warnings": printable("; ".join([*state, *([row["warnings"]] if row["warnings"] else [])])),
            }
        )
    return rows


def _obtained(result: Results) -> list[tuple[str, str]]:
    """Policies, what was known beforehand, and the versions of what made it."""
    manifest = result.manifest
    rows = [("Policy", f"{one['title']}, edition {one['edition']} ({one['id']})") for one in manifest["policies"]]
    rows += [("Exception", text) for one in manifest["policies"] for text in one.get("exceptions", [])]
    rows.append(("Site", manifest["site"] or "no topology was given"))
    rows.append(("AWS ranges", f"as of {manifest['ip_ranges']['date']}"))
    rows += [("Key log", f"{one['name']}: {counted(one['sessions'], 'session')}") for one in manifest["keys"]]
    rows += [("Note", note) for note in manifest["notes"]]
    rows.append(("Made with", ", ".join(" ".join(pair) for pair in manifest["versions"].items())))
    return [(name, printable(text)) for name, text in rows]
