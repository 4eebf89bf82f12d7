"""The answer first: the sentence, what is wrong by who talks to what, paths and versions, what was not judged and why."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor import Audit
from auditor.border.text import printable
from auditor.border.words import counted
from auditor.cli.terminal import SEVERITY_STYLE, VERDICT_STYLE, console, emit, lines, together, write_lines
from auditor.report import overview
from auditor.report.answer import answer
from auditor.report.causes import Cause, causes, left_out
from auditor.report.problems import problems

NARROW = 72  # columns below which rows are stacked
WIDE = 100  # columns from which heads are on one line
SEVERITY = 8  # columns
LINES = 40  # of a screen, where there is none
FEWEST = 8  # lines that problems get, however small the screen
MOST_REASONS = 8
MOST_WARNINGS = 8
MOST_LINES = 24
VERDICT_WORDS = {
    "fail": "fail",
    "warn": "warn",
    "not_observable": "not\nobservable",
    "pass": "pass",
    "not_applicable": "not\njudged",
}


def brief(result: Audit) -> None:
    """The answer: a sentence, on one line where it is piped."""
    out = console()
    if out.is_terminal:
        emit(out, Text(together(result.answer)))
    else:
        sys.stdout.write(f"{result.answer}\n")


def show(result: Audit) -> None:
    """The answer, and on at most a screen what it rests on."""
    out = console()
    head: list[RenderableType] = [
        Text(together(result.answer), style="bold"),
        headline(result),
        *warnings(result),
        Text(),
    ]
    behind = [*paths(result, out.width), *_not_judged(result)]
    above, below = ([line for one in some for line in lines(out, one)] for some in (head, behind))
    height = out.height if out.is_terminal else LINES
    problem_lines = _problems(out, result, height - len(above) - len(below) - 4, max(height // 2, FEWEST))
    write_lines(above, problem_lines, below, lines(out, _ways_on(result)))


def headline(result: Audit) -> Text:
    """What was audited, by which policies."""
    manifest, counts = result.manifest, result.manifest["counts"]
    captures = result.rows("captures", "capture", "packets")
    name = printable(captures[0]["capture"]) if len(captures) == 1 else counted(len(captures), "capture")
    parts = [counted(sum(row["packets"] for row in captures), "packet"), counted(counts["flows"], "flow")]
    parts.append(counted(counts["handshakes"], "TLS handshake"))
    if (span := overview.span(result)) is not None:
        begun, ended = _second(span[0]), _second(span[1])
        until = "" if begun == ended else f" to {ended[11:] if begun[:10] == ended[:10] else ended}"
        parts.append(f"{begun}{until} UTC")
    policies = ", ".join(printable(f"{policy['id']} {policy['edition']}") for policy in manifest["policies"])
    site = f"site {printable(manifest['site'])}" if manifest["site"] else "no topology: only frames show paths"
    said = (
        f"{name}: {', '.join(parts)}\npolicy {policies}, AWS address ranges of {manifest['ip_ranges']['date']}, {site}"
    )
    return Text(together(said), style="dim")


def _second(time: int) -> str:
    return f"{datetime.fromtimestamp(time // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


def warnings(result: Audit) -> list[Text]:
    """What is odd about the captures: each kind once, with how many captures have it."""
    found = overview.warned(result)
    shown = [Text(f"! {one.words}", style="yellow") for one in found[:MOST_WARNINGS]]
    if len(found) > MOST_WARNINGS:
        shown.append(
            Text(
                f"… and {counted(len(found) - MOST_WARNINGS, 'more kind')} of warnings: --format csv --table captures lists all",
                style="yellow",
            )
        )
    return shown


def _problems(out: Console, result: Audit, free: int, least: int) -> list[str]:
    """What is wrong, in few words where the lines that are free hold no more; what does not fit is counted."""
    most = max(free, least)
    found = problems(result)
    if not found:
        return [*lines(out, _no_findings(result)), ""] if answer(result).judged else []
    some = causes(found, most)
    alike = ", those with the same rules together" if len(some) < len(found) else ""
    written = lines(out, Text(f"Problems ({len(found):,}{alike})", style="bold"))
    shown = _rows(out, some[: most + 1], free)
    left = most
    for number, rows in enumerate(shown):
        left -= len(rows)
        if left < 0 and number:
            written += lines(out, Text(f"… and {left_out(some[number:])}; --detail lists all findings", style="dim"))
            break
        written += rows
    return [*written, ""]


def _no_findings(result: Audit) -> Text:
    """That there are none, which says the less the more could not be judged."""
    if answer(result).verdicts["not_observable"]:
        return Text("No findings in what could be judged.", style="bold")
    return Text("No findings.", style="bold green")


def _rows(out: Console, some: Sequence[Cause], free: int) -> list[list[str]]:
    """The lines of each problem; where they are more than are free, the last ones say in few words what is wrong."""
    room = out.width - (2 if out.width < NARROW else SEVERITY + 2)
    words = [_words(cause, None) for cause in some]
    over = sum(-(-one.cell_len // room) for one in words) - free
    for number in range(len(some) - 1, -1, -1):
        if over > 0 and words[number].cell_len > room:
            before, words[number] = words[number], _words(some[number], room)
            over -= -(-before.cell_len // room) + -words[number].cell_len // room
    return [lines(out, _problem(cause, text, out.width)) for cause, text in zip(some, words, strict=True)]


def _words(cause: Cause, room: int | None) -> Text:
    """Who to what, what is wrong, how many flows, which rules; of what is wrong no more than ``room`` columns hold."""
    one = cause.worst
    said = [printable(one.what_words())]
    said += [
        f"{printable(one.what_words(shown))} and {len(one.what) - shown:,} more"
        for shown in range(len(one.what) - 1, 0, -1)
    ]
    for what in said:
        text = Text()
        text.append(printable(cause.who), style="bold")
        text.append(together(f": {what}"))
        warns = "warning · " if one.verdict == "warn" else ""
        text.append(together(f" · {warns}{counted(cause.flows, 'flow')} · "), style="dim")
        text.append(" ".join(one.rules), style=VERDICT_STYLE[one.verdict])
        if room is None or text.cell_len <= room:
            break
    return text


def _problem(cause: Cause, text: Text, width: int) -> RenderableType:
    """A row: how bad it is, and what."""
    severity = Text(cause.worst.severity, style=SEVERITY_STYLE[cause.worst.severity])
    if width < NARROW:
        return _stacked(severity, text)
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(width=SEVERITY, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(severity, text)
    return table


def _stacked(severity: Text, text: Text) -> RenderableType:
    table = Table.grid(padding=(0, 0, 0, 0))
    table.add_column(overflow="fold")
    table.add_row(severity)
    table.add_row(Padding(text, (0, 0, 0, 2)))
    return table


def paths(result: Audit, width: int) -> list[RenderableType]:
    """Flows by path and version with their verdicts; on narrow screens the path stands above its versions."""
    rows = overview.lines(result)
    if not rows:
        return []
    verdicts = overview.shown_verdicts(rows)
    is_narrow = width < NARROW
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    if not is_narrow:
        table.add_column("path", overflow="fold")
    table.add_column("version", no_wrap=not is_narrow)
    for name in ("flows", *(VERDICT_WORDS[verdict] for verdict in verdicts)):
        table.add_column(name.replace("\n", " ") if width >= WIDE else name, justify="right", no_wrap=True)
    before = None
    for line in rows[:MOST_LINES]:
        path = Text(printable(line.words) if line.words != before else "")
        version = printable(overview.protocol_words(line.protocol))
        if is_narrow and line.words != before:
            table.add_row(path)
        counts = [_count(line.verdicts, verdict) for verdict in verdicts]
        first = [Text(f"  {version}")] if is_narrow else [path, Text(version)]
        table.add_row(*first, f"{line.flows:,}", *counts)
        before = line.words
    judged = answer(result)
    title = "Flows to AWS by path and version" if judged.to_aws == judged.judged else "Judged flows by path and version"
    more = len(rows) - MOST_LINES
    rest = [Text(f"… and {counted(more, 'more combination')}", style="dim")] if more > 0 else []
    return [Text(title, style="bold"), table, *rest, Text()]


def _count(verdicts: Counter[str], name: str) -> Text:
    count = verdicts[name]
    return Text(f"{count:,}" if count else "·", style=VERDICT_STYLE[name] if count else "dim")


def _not_judged(result: Audit) -> list[RenderableType]:
    """What could not be judged and why; and what no rule is about."""
    shown: list[RenderableType] = []
    reasons = overview.unseen(result)
    if reasons:
        shown.append(Text("Could not be judged from this capture", style="bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for one in reasons[:MOST_REASONS]:
            why = Text(together(printable(one.reason)))
            why.append(together(f" · {' '.join(one.rules)}"), style="dim")
            table.add_row(f"{one.flows:,}", why)
        shown.append(table)
        more = reasons[MOST_REASONS:]
        if more:
            shown.append(Text(f"… and {counted(len(more), 'more reason')}; --detail lists them by rule", style="dim"))
    shown += [Text(together(f"{what}: {listed}"), style="dim") for what, listed in overview.not_judged_words(result)]
    return shown


def _ways_on(result: Audit) -> Text:
    """What to ask next."""
    if not result.manifest["counts"]["findings"]:
        return Text("audit rules lists the rules.", style="dim")
    return Text("audit rule CODE explains a rule; --detail lists the findings with their frames.", style="dim")
