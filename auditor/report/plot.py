"""The charts of the page as plotly figures, for notebooks: the same numbers and colours, and one flow packet by packet."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.report import charts, colours, flow_ids
from auditor.report.charts import Count
from auditor.report.flow_columns import FlowColumns
from auditor.report.page import sankey
from auditor.report.plain import iso
from auditor.report.results import Results
from auditor.tables.value_sets import VERDICTS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

STRAND = "b8"  # how much of a strand covers what is below it, in hexadecimal
LONGEST = 28  # letters of a line of a label
LINE = 18  # pixels of a line of text
BELOW = 32  # pixels of what stands below an axis
STEP = 26  # pixels between the packets of a ladder


class Plots:
    """Figures of an audit. They need no network: plotly brings what draws them."""

    def __init__(self, result: Results) -> None:
        self._result = result

    @cached_property
    def _flows(self) -> FlowColumns:
        return FlowColumns.of(self._result)

    def paths(self) -> "Figure":
        """Who took which path to what: client networks, paths and services, in the colours of the verdicts."""
        strands = charts.paths(self._flows)
        names: dict[tuple[int, str], int] = {}
        flows: Counter[tuple[int, str]] = Counter()
        links: list[tuple[int, int, str, int]] = []
        for strand in strands:
            three = dict.fromkeys(enumerate((strand.client, strand.way, strand.service)), strand.flows)
            ends = [names.setdefault(place, len(names)) for place in three]
            flows.update(three)
            links += [(one, two, strand.verdict, strand.flows) for one, two in pairwise(ends)]
        labels = [sankey.label(name, count, LONGEST) for (_, name), count in flows.items()]
        pad = LINE * max(map(len, labels), default=1) - 4  # room for a label between thin nodes
        rows = max(Counter(column for column, _ in names).values(), default=1)
        source, target, verdict, value = zip(*links, strict=True) if links else ((), (), (), ())
        trace = {
            "type": "sankey",
            "node": {
                "label": ["<br>".join(map(_text, lines)) for lines in labels],
                "color": colours.INK.light,
                "pad": pad,
                "thickness": 12,
            },
            "link": {
                "source": source,
                "target": target,
                "value": value,
                "color": [colours.VERDICT[one].light + STRAND for one in verdict],
                "customdata": [_verdict(one) for one in verdict],
                "hovertemplate": "%{source.label} → %{target.label}: %{value} %{customdata}<extra></extra>",
            },
        }
        met = [one for one in reversed(VERDICTS) if one in verdict]
        legend = [_legend(_verdict(one), colours.VERDICT[one].light) for one in met]
        return _figure(
            [trace, *legend],
            "Who went which way, to what",
            height=max(460, 120 + rows * (pad + 24)),
            showlegend=True,
            axes=False,
        )

    def versions(self) -> "Figure":
        """Flows by TLS version, worst first."""
        counts = charts.versions(self._flows)
        return _bars(counts, [colours.version(one.name).light for one in counts], "TLS versions", "flows")

    def suites(self) -> "Figure":
        """Flows by negotiated suite, coloured by what it protects."""
        counts = charts.suites(self._flows)
        classes = [colours.suite_class(one.name) for one in counts]
        colour_of = {name: colour.light for name, colour in colours.SUITE.items()}
        figure = _bars(counts, [colour_of[name] for name in classes], "Cipher suites", "flows")
        figure.add_traces([_legend(name, colour_of[name]) for name in colour_of if name in classes])
        return figure.update_layout(showlegend=True)

    def rtt(self) -> "Figure":
        """Round-trip times of TCP handshakes by path: from 5 to 95 of 100, and the median."""
        traces = []
        for row in charts.round_trips(self._flows):
            trace = {
                "type": "scatter",
                "x": [row.low, row.median, row.high],
                "y": [_text(f"{row.way} · {row.flows:,}")] * 3,
                "mode": "lines+markers",
                "marker": {"color": colours.path(row.path).light, "size": [5, 11, 5]},
                "line": {"width": 3},
                "name": _text(row.way),
            }
            traces.append(trace)
        return _figure(traces, "Round-trip times", x="milliseconds")

    def hello_sizes(self) -> "Figure":
        """ClientHellos by their length, those that offer a post-quantum group apart."""
        sizes = charts.hello_sizes(self._result)
        labels = [f"up to {end:,}" for end in sizes.up_to]
        series = {
            "offers classical groups only": (sizes.classical, "classical"),
            "offers a post-quantum group": (sizes.post_quantum, "hybrid"),
        }
        traces = [
            {
                "type": "bar",
                "x": labels,
                "y": counts,
                "name": name,
                "marker": {"color": colours.POST_QUANTUM[kind].light},
            }
            for name, (counts, kind) in series.items()
        ]
        return _figure(traces, "Length of ClientHellos", x="bytes", y="handshakes", showlegend=True, barmode="stack")

    def certificates(self) -> "Figure":
        """Certificates by the days that they were still good for when they were seen."""
        rows = [one for one in charts.certificates(self._result) if one.days_left is not None]
        traces = [
            {
                "type": "bar",
                "orientation": "h",
                "y": [_text(f"{one.subject} ({one.key})") for one in rows],
                "x": [one.days_left for one in rows],
                "text": [charts.moment(one.not_after, 10) for one in rows],
                "marker": {
                    "color": [
                        (colours.DIM if (one.days_left or 0) > 0 else colours.VERDICT["fail"]).light for one in rows
                    ]
                },
            }
        ]
        return _figure(traces, "Certificates", x="days left when seen", reverse=True)

    def post_quantum(self) -> "Figure":
        """Handshakes by the kind of their key exchange."""
        counts = charts.post_quantum(self._result)
        chosen = [colours.POST_QUANTUM[one.name].light for one in counts]
        return _bars(counts, chosen, "Post-quantum key exchange", "handshakes")

    def timeline(self) -> "Figure":
        """Flows by path over time, and when paths changed."""
        line = charts.timeline(self._flows)
        times = [iso(time) for time in line.times]
        traces = [
            {
                "type": "bar",
                "name": way,
                "x": times,
                "y": counts,
                "marker": {
                    "color": colours.path(line.path_of[way]).light,
                    "pattern": {"shape": "" if line.is_proven(way) else "/"},
                },
            }
            for way, counts in line.series.items()
        ]
        events = line.events[: charts.MOST_EVENTS]
        below = BELOW + LINE * len(events) if events else 0
        figure = _figure(
            traces, "Paths over time", y="flows", height=360 + below, below=below, showlegend=True, barmode="stack"
        )
        for number, event in enumerate(events, 1):
            when = iso(event.time)
            figure.add_shape(
                type="line",
                x0=when,
                x1=when,
                y0=0,
                y1=1,
                yref="paper",
                line={"dash": "dash", "color": colours.INK.light},
            )
            at = {"x": when, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
            figure.add_annotation(text=f"<b>{number}</b>", yshift=0 if number % 2 else LINE, **at)
            place = {"x": 0, "y": 0, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top"}
            figure.add_annotation(
                text=f"<b>{number}</b>  {charts.change_words(event)}",
                yshift=-(BELOW + LINE * number),
                showarrow=False,
                **place,
            )
        return figure

    def flow(self, flow: int | str) -> "Figure":
        """One flow as a ladder: each packet an arrow between client and server, from top to bottom.

        ``flow``: its number, or the first digits of it in hexadecimal, as they are shown.

        Raises AuditError where no flow has that number, or its capture is not there.
        """
        from auditor.report.ladder import ladder

        flow_id = flow_ids.found(self._result, flow)
        drawn = ladder(self._result, flow_id)
        is_of_several = len({step.capture for step in drawn.steps}) > 1
        left = f" (and {counted(drawn.left_out, 'more packet')})" if drawn.left_out else ""
        figure = _figure(
            [],
            f"Flow {flow_ids.short(self._result, [flow_id])[0]}{left}",
            height=120 + STEP * (len(drawn.steps) + 1),
            axes=False,
        )
        for x, end, name in ((0, "client", drawn.client), (1, "server", drawn.server)):
            figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=len(drawn.steps) + 1, line={"color": colours.LINE.light})
            figure.add_annotation(x=x, y=0, yanchor="bottom", text=f"<b>{end}</b><br>{_text(name)}", showarrow=False)
        for number, step in enumerate(drawn.steps, 1):
            tail, head = (0, 1) if step.from_client else (1, 0)
            colour = colours.ACCENT.light if step.from_client else colours.DIM.light
            figure.add_annotation(
                x=head, y=number, ax=tail, ay=number, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
                arrowhead=2, arrowcolor=colour,
            )  # fmt: skip
            figure.add_annotation(x=0.5, y=number, yanchor="bottom", text=_text(step.words), showarrow=False)
            whose = f" of {PurePath(step.capture).name}" if is_of_several else ""
            text = _text(f"{step.milliseconds:,.3f} ms · frame {step.frame}{whose}")
            figure.add_annotation(x=-0.02, y=number, xanchor="right", text=text, showarrow=False)
        figure.update_xaxes(range=[-0.45, 1.15])
        return figure.update_yaxes(range=[len(drawn.steps) + 1, -1.5])


def _text(text: str) -> str:
    """Text that plotly takes for no markup: it reads some tags, and entities."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _verdict(verdict: str) -> str:
    return f"{colours.SIGN[verdict]} {verdict.replace('_', ' ')}"


def _legend(name: str, colour: str) -> dict[str, Any]:
    """An entry of the legend that no data belongs to."""
    marker = {"symbol": "square", "size": 12, "color": colour}
    return {"type": "scatter", "x": [None], "y": [None], "mode": "markers", "marker": marker, "name": name}


def _bars(counts: Sequence[Count], chosen: list[str], title: str, what: str) -> "Figure":
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [_text(one.name) for one in counts],
        "x": [one.number for one in counts],
        "text": [f"{one.number:,}" for one in counts],
        "marker": {"color": chosen},
        "showlegend": False,
    }
    return _figure([trace], title, x=what, reverse=True)


def _figure(
    traces: Sequence[dict[str, Any]],
    title: str,
    *,
    x: str = "",
    y: str = "",
    height: int = 360,
    below: int = 0,
    axes: bool = True,
    reverse: bool = False,
    **layout: Any,
) -> "Figure":
    """A figure in the looks of the page; ``below``: pixels under the axis; ``reverse``: the first bar is above the others."""
    from plotly.graph_objects import Figure

    figure = Figure(list(traces))
    figure.update_layout(
        title={"text": title},
        height=height,
        font={"family": "system-ui, sans-serif", "color": colours.INK.light},
        paper_bgcolor=colours.PAPER.light,
        plot_bgcolor=colours.PAPER.light,
        margin={"l": 24, "r": 24, "t": 80 if below else 64, "b": 40 + below},
        **{"showlegend": False, **layout},
    )
    figure.update_xaxes(title=x, gridcolor=colours.LINE.light, automargin=True, visible=axes)
    figure.update_yaxes(title=y, gridcolor=colours.LINE.light, automargin=True, visible=axes)
    if reverse:
        figure.update_yaxes(autorange="reversed")
    return figure
