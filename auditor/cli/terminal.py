"""What a person reads at the terminal."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from auditor import Audit
from auditor.border.text import is_harmless, lines, printable
from auditor.report.plain import about

if TYPE_CHECKING:
    from auditor.policy.model import Policy
    from auditor.policy.pages import Page

SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}
VERDICT_STYLE = {"fail": "red", "warn": "yellow", "pass": "green", "not_observable": "magenta", "not_applicable": "dim"}
VERDICTS = ["fail", "warn", "not_observable", "pass", "not_applicable"]
MOST_FINDINGS = 25
MOST_SUMMARY = 24
MOST_CAPTURES = 12


class Harmless(Console):
    """A console on which whatever is printed is harmless, whoever wrote it; the colours are ours."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            is_text = not segment.control and not is_harmless(segment.text)
            yield Segment(lines(segment.text), segment.style) if is_text else segment


def console() -> Console:
    """Standard output; as wide as asked for where it is no terminal."""
    plain = Harmless(highlight=False, emoji=False, markup=False)
    return plain if plain.is_terminal else Harmless(highlight=False, emoji=False, markup=False, width=120)


def grid(*headers: str, right: tuple[str, ...] = (), wide: str | tuple[str, ...] | None = None) -> Table:
    """A table; columns that are ``wide`` share the room that others leave, and are folded."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    folded = wide if isinstance(wide, tuple) else (wide,)
    for header in headers:
        table.add_column(
            header,
            justify="right" if header in right else "left",
            no_wrap=header not in folded,
            overflow="fold",
            ratio=1 if header in folded else None,
        )
    return table


def show(result: Audit) -> None:
    """Summary by path, version and verdict first, then findings, then what could not be judged and why."""
    out = console()
    manifest = result.manifest
    captures = result.rows("captures", "capture", "warnings", "packets", "started", "ended")
    out.print(_headline(manifest, captures))
    for capture in captures[:MOST_CAPTURES]:
        if capture["warnings"]:
            out.print(Text(f"  {printable(capture['capture'])}: {printable(capture['warnings'])}", style="yellow"))
    out.print()
    _summary(out, manifest)
    _requests(out, result)
    _findings(out, result)
    _not_observable(out, manifest)


def _second(time: int) -> str:
    return f"{datetime.fromtimestamp(time // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


def _headline(manifest: dict[str, Any], captures: list[dict[str, Any]]) -> Text:
    packets = sum(capture["packets"] for capture in captures)
    counts = manifest["counts"]
    name = printable(captures[0]["capture"]) if len(captures) == 1 else f"{len(captures)} captures"
    starts = [c["started"] for c in captures if c["started"] is not None]
    ends = [c["ended"] for c in captures if c["ended"] is not None]
    span = f", {_second(min(starts))} to {_second(max(ends))} UTC" if starts else ""
    policies = ", ".join(printable(f"{policy['id']} {policy['edition']}") for policy in manifest["policies"])
    text = Text()
    text.append(
        f"{name}: {packets:,} packets, {counts['flows']:,} flows, {counts['handshakes']:,} TLS handshakes{span}\n"
    )
    site = (
        f", site {printable(manifest['site'])}"
        if manifest["site"]
        else ", no topology: paths are known only where frames show them"
    )
    text.append(
        f"policy {policies}, AWS address ranges of {manifest['ip_ranges']['date']}{site}",
        style="dim",
    )
    return text


def _summary(out: Console, manifest: dict[str, Any]) -> None:
    """Flows to AWS service endpoints by path, version and verdict; all others in one line each path and protocol."""
    scope: dict[tuple[str, str, str], Counter[str]] = {}
    for row in manifest["summary"]:
        if row["in_scope"]:
            confidence = f" ({row['confidence']})" if row["confidence"] != "none" else ""
            key = (row["path"] + confidence, row["protocol"], "")
            scope.setdefault(key, Counter())[row["verdict"]] += row["flows"]
    others: Counter[str] = Counter()
    for row in manifest["summary"]:
        if not row["in_scope"]:
            others[row["protocol"]] += row["flows"]
    if scope:
        shown = [v for v in VERDICTS if any(v in counts for counts in scope.values())]
        table = grid("path", "protocol", "flows", *shown, right=("flows", *shown))
        ordered = sorted(scope.items(), key=lambda item: (item[0][0], -sum(item[1].values()), item[0][1]))
        for (path, protocol, _), counts in ordered[:MOST_SUMMARY]:
            cells = [
                Text(f"{counts[v]:,}" if counts[v] else "·", style=VERDICT_STYLE[v] if counts[v] else "dim")
                for v in shown
            ]
            table.add_row(path, printable(protocol), f"{sum(counts.values()):,}", *cells)
        out.print(Text("Traffic to AWS service endpoints", style="bold underline"))
        out.print(table)
        if len(ordered) > MOST_SUMMARY:
            out.print(Text(f"… and {len(ordered) - MOST_SUMMARY} more combinations", style="dim"))
    else:
        out.print(Text("No traffic to AWS service endpoints.", style="bold"))
    if others:
        listed = ", ".join(
            f"{n:,} {printable(name) if name != '-' else 'unknown'}" for name, n in others.most_common(12)
        )
        out.print(Text(f"Other flows, not judged: {listed}", style="dim"))
    out.print()


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
    out.print(Text(f"Requests ({len(rows):,})", style="bold underline"))
    table = grid("request", "to", "signature", "key", "status", "count", right=("count",), wide=("request", "to"))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for cells, count in ordered[:MOST_SUMMARY]:
        style = "red" if cells[2] == "none" else None
        texts = [Text(printable(cell), style=style if k == 2 and style else "") for k, cell in enumerate(cells)]
        table.add_row(*texts, f"{count:,}")
    out.print(table)
    if len(ordered) > MOST_SUMMARY:
        out.print(Text(f"… and {len(ordered) - MOST_SUMMARY} more; --table requests has them all", style="dim"))
    out.print()


def _findings(out: Console, result: Audit) -> None:
    names = ("severity", "verdict", "finding_id", "title", "reason", "flows", "sample_frames")
    findings = result.rows("findings", *names, "client_group", "service", "region")
    if not findings:
        out.print(Text("No findings.", style="bold green"))
        out.print()
        return
    out.print(Text(f"Findings ({len(findings)})", style="bold underline"))
    table = grid("severity", "finding", "what", "flows", "frames", right=("flows",), wide="what")
    for row in findings[:MOST_FINDINGS]:
        what = Text()
        what.append(printable(about(row)), style="bold")
        what.append(f"\n{printable(row['title'])}: {printable(row['reason'])}")
        frames = row["sample_frames"].split()
        table.add_row(
            Text(row["severity"], style=SEVERITY_STYLE[row["severity"]]),
            Text(row["finding_id"], style=VERDICT_STYLE[row["verdict"]]),
            what,
            f"{row['flows']:,}",
            " ".join(frames[:3]) + (" …" if len(frames) > 3 else ""),
        )
    out.print(table)
    if len(findings) > MOST_FINDINGS:
        out.print(Text(f"… and {len(findings) - MOST_FINDINGS} more; --out DIR keeps them all", style="dim"))
    out.print(Text("audit rule CODE explains a rule.", style="dim"))
    out.print()


def _not_observable(out: Console, manifest: dict[str, Any]) -> None:
    if not manifest["not_observable"]:
        return
    out.print(Text("Could not be judged from this capture", style="bold underline"))
    table = grid("rule", "flows", "why", right=("flows",), wide="why")
    for rule, reasons in manifest["not_observable"].items():
        for k, row in enumerate(reasons[:3]):
            table.add_row(rule if k == 0 else "", f"{row['flows']:,}", printable(row["reason"]))
    out.print(table)


def show_verified(verified: list[tuple[str, bool | None, str]]) -> None:
    """Which files are unchanged, and which are not."""
    out, table = console(), grid("file", "", "why", wide=("file", "why"))
    for name, same, why in verified:
        word, style = {True: ("same", "green"), False: ("CHANGED", "bold red"), None: ("?", "yellow")}[same]
        table.add_row(printable(name), Text(word, style=style), printable(why))
    out.print(table)


def show_policies(policies: "list[Policy]") -> None:
    """Policies, a line each."""
    out = console()
    table = grid("policy", "edition", "rules", "title", right=("rules",), wide="title")
    for policy in policies:
        table.add_row(Text(policy.id, style="bold"), policy.edition, str(len(policy.rule)), policy.title)
    out.print(table)
    out.print(Text("audit policy show POLICY lists its rules, audit rule CODE explains one.", style="dim"))


def show_policy(policy: "Policy", pages: "list[Page]") -> None:
    """A policy: its source, rules and exceptions."""
    out = console()
    out.print(Text(policy.id, style="bold"), Text(f"{policy.title}, edition {policy.edition}"))
    out.print(Text(f"source: {policy.source} (retrieved {policy.retrieved})", style="dim"))
    if policy.extends:
        out.print(Text(f"extends {', '.join(policy.extends)}", style="dim"))
    table = grid("rule", "severity", "must", "about", "holds", "title", wide="title")
    for page in pages:
        rule = page.rule
        table.add_row(
            rule.code, Text(rule.severity, style=SEVERITY_STYLE[rule.severity]), "yes" if rule.required else "warn",
            rule.applies_to, page.holds, rule.title,
        )  # fmt: skip
    out.print(table)
    for one in policy.exception:
        out.print(Text(f"exception: {printable(one.words)}", style="yellow"))


def show_rule(page: "Page") -> None:
    """A rule's page."""
    out, rule = console(), page.rule
    out.print(Text(f"{rule.code}: {rule.title}", style="bold"))
    must = "a failure" if rule.required else "a warning"
    holds = "" if page.holds == "always" else f", holds {page.holds}"
    out.print(Text(f"policy {page.policy}, severity {rule.severity}, not met: {must}{holds}", style="dim"))
    for head, body in (("What", rule.what), ("Why", rule.why), ("How to fix", rule.fix), ("Source", page.source)):
        out.print(Text(f"\n{head}", style="bold"))
        out.print(Text(body))
        if head == "How to fix":
            for place, way in page.ways.items():
                out.print(Text.assemble((f"{place}: ", "bold"), way))


def show_rows(title: str | None, names: list[str], rows: list[tuple[Any, ...]]) -> None:
    """The rows of a query."""
    out = console()
    if title is not None:
        out.print(Text(f"{title} ({len(rows)})", style="bold underline"))
    numbers = tuple(n for k, n in enumerate(names) if rows and all(isinstance(row[k], int | float) for row in rows))
    heads = [printable(name) for name in names]
    table = grid(*heads, right=tuple(map(printable, numbers)), wide=heads[-1] if heads else None)
    for row in rows:
        table.add_row(*("·" if value is None else printable(value) for value in row))
    if names:
        out.print(table)
