"""The charts of the page as rows for its templates: what stands where, in which colour, and which flows it leads to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from auditor.border.words import counted
from auditor.report import charts, colours
from auditor.report.answer import WAYS, Answer
from auditor.report.charts import Count, Strand
from auditor.report.flow_columns import FlowColumns
from auditor.report.page import sankey, timeaxis
from auditor.report.page.links import href
from auditor.report.page.style import kind
from auditor.report.results import Results

Row = dict[str, Any]
VERDICTS = ("fail", "warn", "not_observable", "pass")
VERDICT_WORDS = {
    "fail": ("fails", "fail"),
    "warn": ("has a warning", "have warnings"),
    "not_observable": ("could not be judged in full", "could not be judged in full"),
    "pass": ("passes", "pass"),
    "not_applicable": ("not judged", "not judged"),
}
WAY_WORDS = {
    "proven": "provably private",
    "likely": "likely private",
    "half": "private in one direction only",
    "not private": "not private",
    "unknown": "way unknown",
}
MOST_CERTIFICATES = 12


def shares(counts: Sequence[int], whole: int | None = None) -> list[Row]:
    """Parts of a bar beside each other, in percent of it; one that is there is never too thin to be seen."""
    total, x, parts = whole or sum(counts) or 1, 0.0, []
    for count in counts:
        width = max(100 * count / total, 0.4 if count else 0)
        parts.append({"x": round(x, 2), "width": round(width, 2), "count": count})
        x += width
    return parts


def way_shares(summary: Answer) -> list[Row]:
    """The judged flows as shares of one bar."""
    counts = [(way, summary.ways[way]) for way in WAYS if summary.ways[way]]
    return [
        {**part, "kind": kind("w", way), "words": f"{count:,} {WAY_WORDS[way]}", "href": href(private=way)}
        for (way, count), part in zip(counts, shares([count for _, count in counts]), strict=True)
    ]


def legend(strands: Sequence[Strand]) -> list[Row]:
    counts: Counter[str] = Counter()
    for strand in strands:
        counts[strand.verdict] += strand.flows
    return [_verdict(verdict, counts[verdict]) for verdict in (*VERDICTS, "not_applicable") if counts[verdict]]


def _verdict(verdict: str, count: int) -> Row:
    words = VERDICT_WORDS[verdict][count != 1]
    return {
        "kind": kind("v", verdict),
        "words": f"{colours.SIGN[verdict]} {count:,} {words}",
        "href": href(verdict=verdict),
    }


def diagram(strands: Sequence[Strand]) -> Row:
    drawn = sankey.layout(strands)
    bands = [
        {
            "kind": kind("v", band.verdict),
            "outline": band.outline,
            "flows": band.flows,
            "verdict": band.verdict,
            "column": band.column,
            "words": f"{band.ends[0]} → {band.ends[1]}: {band.flows:,} {VERDICT_WORDS[band.verdict][band.flows != 1]}",
            "href": _band_href(band),
        }
        for band in drawn.bands
    ]
    return {
        "width": sankey.WIDTH,
        "height": drawn.height,
        "bands": bands,
        "nodes": [_node(node) for node in drawn.nodes],
    }


def _band_href(band: sankey.Band) -> str | None:
    """A link to the flows of a strand; none where it is of several networks or services."""
    names = ("network", "path") if band.column == 0 else ("path", "service")
    if charts.is_rest(band.ends[0]) or charts.is_rest(band.ends[1]):
        return None
    return href(**dict(zip(names, band.ends, strict=True)), verdict=band.verdict)


def _node(node: sankey.Node) -> Row:
    lines = node.lines
    if node.column == 1:
        x, anchor, top = node.x + sankey.NODE / 2, "middle", node.y - 6 - sankey.LINE * (len(lines) - 1)
    else:
        x, anchor = (node.x - 8, "end") if node.column == 0 else (node.x + sankey.NODE + 8, "start")
        top = node.y + node.height / 2 + 5 - sankey.LINE * (len(lines) - 1) / 2
    # What strands cross is read on a ground of its own.
    width = sankey.LETTER * max(map(len, lines))
    ground = {"x": x - width / 2, "y": top - sankey.LINE + 4, "width": width, "height": sankey.LINE * len(lines)}
    return {
        **node._asdict(),
        "ground": {name: round(value, 1) for name, value in ground.items()} if node.column == 1 else None,
        "text_x": x,
        "anchor": anchor,
        "lines": [{"text": text, "y": round(top + sankey.LINE * k, 1)} for k, text in enumerate(lines)],
    }


def strands(strands: Sequence[Strand]) -> list[Row]:
    """The diagram as a list: each path with its verdicts, and who took it to what."""
    groups = []
    for way in dict.fromkeys(strand.way for strand in strands):
        some = [strand for strand in strands if strand.way == way]
        verdicts = _sums((strand.verdict, strand.flows) for strand in some)
        parts = [
            {**part, "kind": kind("v", verdict)}
            for verdict, part in zip(verdicts, shares(list(verdicts.values())), strict=True)
        ]
        rows = [
            {
                "client": client,
                "service": service,
                "parts": _parts(s for s in some if s[0] == client and s[2] == service),
            }
            for client, service in dict.fromkeys((strand.client, strand.service) for strand in some)
        ]
        words = ", ".join(f"{count:,} {VERDICT_WORDS[one][count != 1]}" for one, count in verdicts.items())
        groups.append(
            {
                "way": way,
                "words": counted(sum(verdicts.values()), "flow"),
                "label": words,
                "parts": parts,
                "rows": rows,
            }
        )
    return groups


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, count in pairs:
        sums[name] += count
    return {name: sums[name] for name in (*VERDICTS, "not_applicable") if sums[name]}


def _parts(strands: Iterable[Strand]) -> list[Row]:
    sums = _sums((strand.verdict, strand.flows) for strand in strands)
    return [
        {"kind": kind("v", one), "words": f"{colours.SIGN[one]} {count:,} {VERDICT_WORDS[one][count != 1]}"}
        for one, count in sums.items()
    ]


def time(flows: FlowColumns) -> Row:
    line = charts.timeline(flows)
    used = [k for k, total in enumerate(line.totals) if total]
    shown = line.events[: charts.MOST_EVENTS]
    row: Row = {
        "axis": None,
        "legend": [],
        "events": [charts.change_words(event) for event in shown],
        "events_left": counted(len(line.events) - len(shown), "more change of path", "more changes of path")
        if len(line.events) > len(shown)
        else None,
    }
    total = sum(line.totals)
    if len(used) < 3:  # too few bars to show anything
        row["words"] = _in_words(flows, total)
        return row
    axis = timeaxis.layout(line, shown)
    kinds = {way: _way_kind(line, way) for way in line.series}
    pieces = [{**piece._asdict(), "kind": kinds[piece.way]} for piece in axis.pieces]
    row["axis"] = {**axis._asdict(), "pieces": pieces}
    row["words"] = (
        f"{counted(total, 'flow')} by path; a bar is {axis.step}, the highest has {counted(axis.most, 'flow')}."
    )
    judged = VERDICTS if flows.is_judged.any() else None
    row["legend"] = [
        {"kind": kinds[way], "words": f"{way} {sum(counts):,}", "href": href(path=way, verdict=judged)}
        for way, counts in line.series.items()
    ]
    return row


def _way_kind(line: charts.Timeline, way: str) -> str:
    """The class of a path; one that is not proven is paler."""
    return kind("p", line.path_of[way]) + ("" if line.is_proven(way) else " pale")


def _in_words(flows: FlowColumns, total: int) -> str:
    if not total:
        return "No flow was seen."
    started = flows.numbers("started")[charts.scope(flows)]
    span = charts.span(int(started.min()), int(started.max()))
    return f"{counted(total, 'flow')}, begun {'from' if ' to ' in span else 'at'} {span} UTC."


def bars(counts: Sequence[Count], which: str, facet: str | None = None) -> Row:
    most = max((one.number for one in counts), default=1)
    rows = [
        {
            "name": one.name,
            "count": f"{one.number:,}",
            "parts": [{**shares([one.number], most)[0], "kind": _kind(which, one.name)}],
            "href": href(**{facet: one.name}) if facet and not charts.is_rest(one.name) else None,
        }
        for one in counts
    ]
    return {"rows": rows, "legend": []}


def _kind(which: str, name: str) -> str:
    if which == "t":
        return kind("t", colours.version_class(name))
    return kind("c", colours.suite_class(name)) if which == "c" else kind(which, name)


def suites(flows: FlowColumns) -> Row:
    counts = charts.suites(flows)
    chart = bars(counts, "c", "suite")
    classes = {colours.suite_class(one.name) for one in counts}
    chart["legend"] = [{"kind": kind("c", name), "words": name} for name in colours.SUITE if name in classes]
    return chart


def hello_sizes(result: Results) -> Row:
    sizes = charts.hello_sizes(result)
    most = max((a + b for a, b in zip(sizes.classical, sizes.post_quantum, strict=True)), default=1)
    rows, offers = [], ("classical", "hybrid")
    for end, *counts in zip(sizes.up_to, sizes.classical, sizes.post_quantum, strict=True):
        parts = [{**part, "kind": kind("q", offer)} for offer, part in zip(offers, shares(counts, most), strict=True)]
        name = f"up to {end:,} bytes" + (", a segment" if end == charts.SEGMENT else "")
        rows.append({"name": name, "count": f"{sum(counts):,}", "parts": parts, "href": None})
    words = {"classical": "offers classical groups only", "hybrid": "offers a post-quantum group"}
    used = [name for name, some in zip(offers, (sizes.classical, sizes.post_quantum), strict=True) if any(some)]
    return {"rows": rows, "legend": [{"kind": kind("q", name), "words": words[name]} for name in used]}


def certificates(result: Results) -> Row:
    every = charts.certificates(result)
    rows = [
        {
            "subject": one.subject,
            "key": one.key,
            "until": charts.moment(one.not_after, 10),
            "left": "?" if one.days_left is None else f"{one.days_left:,}",
            "handshakes": f"{one.handshakes:,}",
        }
        for one in every[:MOST_CERTIFICATES]
    ]
    left = len(every) - len(rows)
    return {"certificates": rows, "certificates_left": f"{left:,}" if left else None}


def trips(flows: FlowColumns) -> list[Row]:
    rows = charts.round_trips(flows)
    most = max((row.high for row in rows), default=0.0) or 1.0
    return [
        {
            "way": row.way,
            "kind": kind("p", row.path),
            "flows": f"{row.flows:,}",
            **{name: f"{getattr(row, name):.3g}" for name in ("low", "median", "high")},
            **{name: round(2 + 96 * value / most, 2) for name, value in zip(("x1", "x", "x2"), row[3:], strict=True)},
        }
        for row in rows
    ]
