"""All of a result at length: each request, each finding with its frames, and why rules could not judge, rule by rule."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from auditor import Audit
from auditor.border.text import printable
from auditor.border.words import counted
from auditor.cli.summary import NARROW, headline, paths, warnings
from auditor.cli.terminal import SEVERITY_STYLE, VERDICT_STYLE, console, emit, grid, together
from auditor.report import overview
from auditor.report.plain import about
from auditor.report.proof import evidence_of

MOST_REQUESTS = 24
MOST_FRAMES = 3


def show(result: Audit) -> None:
    """The answer, paths and versions, requests, every finding, then what could not be judged and why."""
    out = console()
    for one in (
        Text(together(result.answer), style="bold"),
        headline(result),
        *warnings(result),
        Text(),
        *paths(result, out.width),
    ):
        emit(out, one)
    _requests(out, result)
    _findings(out, result)
    _not_observable(out, result)


def _requests(out: Console, result: Audit) -> None:
    """Requests that were seen, by what they call and how they are signed."""
    names = ("scheme", "authority", "method", "path_template", "api", "signature_version", "credential_kind", "status")
    rows = result.rows("requests", *names)
    if not rows:
        return
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        what = row["api"] or f"{row['method']} {row['path_template'] or ''}".strip()
        credential = (row["credential_kind"] or "·").replace("_", "-")
        where = f"{row['scheme']}://{row['authority'] or '?'}"
        counts[what, where, row["signature_version"], credential, str(row["status"] or "·")] += 1
    emit(out, Text(f"Requests ({len(rows):,})", style="bold"))
    is_narrow = out.width < NARROW
    table = grid("request", "to", "signature", "key", "status", "count", right=("count",), wide=("request", "to"))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for cells, count in ordered[:MOST_REQUESTS]:
        style = "red" if cells[2] == "none" else None
        texts = [Text(printable(cell), style=style if k == 2 and style else "") for k, cell in enumerate(cells)]
        if is_narrow:
            emit(out, Text.assemble(texts[0], " to"))
            emit(out, Padding(texts[1], (0, 0, 0, 2)))
            signed = Text.assemble(
                "signature ", texts[2], f", key {cells[3]}, status {cells[4]} · {counted(count, 'request')}"
            )
            emit(out, Padding(signed, (0, 0, 0, 2)))
        else:
            table.add_row(*texts, f"{count:,}")
    if not is_narrow:
        emit(out, table)
    if len(ordered) > MOST_REQUESTS:
        emit(out, Text(f"… and {len(ordered) - MOST_REQUESTS} more; --table requests has them all", style="dim"))
    emit(out, Text())


def _findings(out: Console, result: Audit) -> None:
    names = ("severity", "verdict", "finding_id", "title", "reason", "flows", "evidence")
    who = ("client_group", "service", "region", "clients", "servers", "top_clients", "top_servers")
    findings = result.rows("findings", *names, *who)
    if not findings:
        return
    emit(out, Text(f"Findings ({len(findings)})", style="bold"))
    is_narrow = out.width < NARROW
    table = grid("severity", "finding", "what", "flows", "frames", right=("flows",), wide=("what", "frames"))
    is_several = result.manifest["counts"]["captures"] > 1
    for row in findings:
        what = Text()
        what.append(printable(about(row)), style="bold")
        what.append(together(f"\n{printable(row['title'])}: {printable(row['reason'])}"))
        if row["clients"] > 1 or row["servers"] > 1:
            what.append(f"\nmost flows: {printable(row['top_clients'])} → {printable(row['top_servers'])}", style="dim")
        severity = Text(row["severity"], style=SEVERITY_STYLE[row["severity"]])
        finding = Text(row["finding_id"], style=VERDICT_STYLE[row["verdict"]])
        frames = _frames(evidence_of(row), is_several)
        if is_narrow:
            what.append(f"\n{counted(row['flows'], 'flow')} · frames {frames.replace(chr(10), ', ')}", style="dim")
            emit(out, Text.assemble(severity, "  ", finding))
            emit(out, Padding(what, (0, 0, 0, 2)))
        else:
            table.add_row(severity, finding, what, f"{row['flows']:,}", frames)
    if not is_narrow:
        emit(out, table)
    emit(out, Text("audit rule CODE explains a rule.", style="dim"))
    emit(out, Text())


def _frames(evidence: Sequence[dict[str, Any]], is_several: bool) -> str:
    """The first frames; with their capture where there are several."""
    words = []
    for part in evidence[: MOST_FRAMES if is_several else 1]:
        numbers = part["frames"]
        some = " ".join(map(str, numbers[:MOST_FRAMES])) + (" …" if len(numbers) > MOST_FRAMES else "")
        words.append(f"{printable(part['capture'])}: {some}" if is_several else some)
    more = len(evidence) - len(words)
    return "\n".join([*words, *([f"and {counted(more, 'more capture')}"] if more > 0 else [])])


def _not_observable(out: Console, result: Audit) -> None:
    reasons = overview.unseen(result)
    if not reasons:
        return
    emit(out, Text("Could not be judged from this capture", style="bold"))
    table = grid("rule", "flows", "why", right=("flows",), wide="why")
    by_rule = sorted((rule, -one.flows, one.reason) for one in reasons for rule in one.rules)
    before = ""
    for rule, flows, reason in by_rule:
        table.add_row(rule if rule != before else "", f"{-flows:,}", printable(reason))
        before = rule
    emit(out, table)
