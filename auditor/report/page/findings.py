"""Problems, findings and rules as the page shows them: who does not meet what, the frames that prove it, what to do."""

import json
from collections.abc import Sequence
from typing import Any

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.report import charts, colours
from auditor.report.page.links import href
from auditor.report.page.style import kind
from auditor.report.plain import Row, about
from auditor.report.problems import Problem
from auditor.report.results import Results

MOST_PROBLEMS = 60  # that are whole in the page; its script lists the others
SHOWN = 20  # of them without being asked to
MOST_CAPTURES = 3  # of a finding whose frames are listed
MOST_NAMED = 5
TEXTS = (("Asks for", "what"), ("Why", "why"), ("How to fix", "fix"))


def problems(result: Results, every: Sequence[Problem]) -> dict[str, Any]:
    """The problems, worst first, each with its findings; then the findings that are in none of those shown."""
    findings = {row["finding_id"]: row for row in result.records("findings", times="ns")}
    written = set[str]()
    shown = [_problem(one, findings, written) for one in every[:MOST_PROBLEMS]]
    left = len(every) - len(shown)
    others = [_finding(row, None, written) for name, row in findings.items() if name not in written]
    words = (
        "none was found in what was judged"
        if not every
        else f"{counted(len(every), 'pair', 'pairs')} of client network and service, worst first"
    )
    if not every and not charts.is_anything_judged(result):
        words = "nothing was judged"
    return {
        "problems": shown[:SHOWN],
        "further": shown[SHOWN:],
        "problems_left": counted(left, "more pair") if left else None,
        "other_findings": others,
        "problem_words": words,
    }


def further(every: Sequence[Problem]) -> dict[str, list[Any]]:
    """The problems that are not whole in the page, as columns for its script."""
    rest = every[MOST_PROBLEMS:]
    return {
        "severity": [one.severity for one in rest],
        "verdict": [one.verdict for one in rest],
        "network": [one.pair.client_group if one.sample_flows else None for one in rest],
        "service": [_service(one) for one in rest],
        "who": [printable(one.who) for one in rest],
        "what": [printable(one.what_words()) for one in rest],
        "flows": [one.flows for one in rest],
        "findings": [" ".join(one.findings) for one in rest],
    }


def _service(one: Problem) -> str:
    """The server of a problem, as flows have it to be filtered by."""
    return printable(f"{one.pair.service} {one.pair.region or ''}".rstrip())


def _problem(one: Problem, findings: dict[str, Row], written: set[str]) -> dict[str, Any]:
    """A problem; ``written``: findings of others, which are not written again in full."""
    where = {"network": one.pair.client_group, "service": _service(one), "verdict": ["fail", "warn"]}
    return {
        "severity": one.severity,
        "verdict": f"{colours.SIGN[one.verdict]} {one.verdict}",
        "kind": kind("v", one.verdict),
        "who": printable(one.who),
        "what": printable(one.what_words()),
        "flows": counted(one.flows, "flow"),
        "href": href(**where) if one.pair.client_group and one.sample_flows else None,
        "bad": one.verdict,
        "network": one.pair.client_group if one.sample_flows else None,
        "service": _service(one),
        "clients": _named(one.top_clients, one.clients),
        "servers": _named(one.top_servers, one.servers),
        "seen": f"{charts.span(one.first_seen, one.last_seen)} UTC",
        "findings": [_finding(findings[name], one.who, written) for name in one.findings if name in findings],
    }


def _named(top: tuple[tuple[str, int], ...], count: int) -> str:
    """Those with the most flows, and how many others there are."""
    if not top:
        return ""
    shown = ", ".join(f"{printable(name)} ({counted(flows, 'flow')})" for name, flows in top[:MOST_NAMED])
    left = count - len(top[:MOST_NAMED])
    return f"{shown} and {left:,} more" if left > 0 else shown


def _finding(row: Row, who: str | None, written: set[str]) -> dict[str, Any]:
    """A finding. One that is about several problems has its place and its proof in the first of them.

    ``who``: the client and server of the problem that it is shown in; None where it is shown by itself.
    """
    parts = json.loads(row["evidence"] or "[]")
    name, is_first = row["finding_id"], row["finding_id"] not in written
    written.add(name)
    return {
        "id": name,
        "anchor": f"f-{name}" if is_first else None,
        "rule": row["rule"],
        "title": printable(row["title"]),
        "reason": printable(row["reason"]),
        "flows": counted(row["flows"], "flow"),
        "href": href(finding=name) if row["sample_flows"] else None,
        "wider": printable(about(row)) if about(row) != who else None,
        "proofs": [_proof(part) for part in parts[:MOST_CAPTURES] if part["frames"] and is_first],
        "more_captures": counted(len(parts) - MOST_CAPTURES, "more capture")
        if len(parts) > MOST_CAPTURES and is_first
        else None,
        "extract": f"audit extract RESULTS {name} -o {name}.pcapng" if parts and is_first else None,
    }


def _proof(part: dict[str, Any]) -> dict[str, str]:
    frames = ", ".join(map(str, part["frames"]))
    return {
        "capture": printable(part["capture"]),
        "frames": " ".join(map(str, part["frames"])),
        "filter": f"frame.number in {{{frames}}}",
    }


def rules(result: Results) -> list[dict[str, Any]]:
    """The rules that are not met: what each asks for, why, how to fix it, and its findings."""
    of_rule: dict[str, list[Row]] = {}
    for row in result.records("findings"):
        of_rule.setdefault(row["rule"], []).append(row)
    return [_rule(code, rows, result.rule(code) or {}) for code, rows in of_rule.items()]


def _rule(code: str, rows: list[Row], page: dict[str, Any]) -> dict[str, Any]:
    texts = [(head, page[name]) for head, name in TEXTS if page.get(name)]
    texts += list(page.get("ways", {}).items())
    texts += [("Source", page["source"])] if page.get("source") else []
    return {
        "code": code,
        "severity": rows[0]["severity"],
        "title": printable(rows[0]["title"]),
        "flows": counted(sum(row["flows"] for row in rows), "flow"),
        "texts": [(printable(name), printable(text)) for name, text in texts],
        "findings": [row["finding_id"] for row in rows],
    }
