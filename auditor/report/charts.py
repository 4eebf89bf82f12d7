"""What the charts show, as numbers: counted once, for the page and for figures in notebooks alike."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from auditor.border.text import printable
from auditor.border.words import agreed
from auditor.report.flow_columns import FlowColumns
from auditor.report.overview import is_version, path_words
from auditor.report.plain import iso
from auditor.report.results import Results
from auditor.tables.columns import Texts, distinct
from auditor.tables.versions import VERSION_ORDER

Array = np.ndarray[Any, Any]
MOST_CLIENTS = 12  # of the diagram of paths; the others are counted together
MOST_SERVICES = 12
MOST_SUITES = 12
OTHERS = ("other networks", "other services", "other suites")
BINS = 48  # of time, where there are flows enough
FEWEST_BINS = 10
MOST_EVENTS = 12  # changes of path that are marked one by one
SEGMENT = 1460  # bytes that fit into a segment on Ethernet
SIZES = (128, 256, 384, 512, 768, 1024, SEGMENT, 2048, 4096, 8192, 65_536)  # of hellos
QUANTILES = (5, 50, 95)
DAY = 86_400_000_000_000
# Widths of bins that people can read: nanoseconds.
WIDTHS = [
    *(one * 10**6 for one in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(one * 10**9 for one in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)),
    *(one * DAY for one in (1, 2, 7, 14, 28, 91, 182, 364, 728, 1820, 3640)),
]


class Strand(NamedTuple):
    """Flows of a client network that took a path to a service, with one verdict."""

    client: str
    way: str  # path and how well it is proven, in words
    service: str
    verdict: str
    path: str
    flows: int


class Count(NamedTuple):
    """How many of something there are."""

    name: str
    number: int


class PathRoundTrips(NamedTuple):
    """Round-trip times of the TCP handshakes of a path, in milliseconds."""

    way: str
    path: str
    flows: int
    low: float  # 5 % are below
    median: float
    high: float  # 5 % are above


class PathChange(NamedTuple):
    """Flows whose path changed to the same one, with no change to another in between."""

    time: int  # ns since 1970: of the first of them
    last: int
    flows: int
    path: str  # as it was judged


@dataclass(frozen=True)
class Timeline:
    """Flows by path over time, and when paths changed."""

    times: list[int] = field(default_factory=list)  # where each bin begins, ns since 1970
    width: int = 1
    series: dict[str, list[int]] = field(default_factory=dict)  # by path and how well it is proven, in words
    path_of: dict[str, str] = field(default_factory=dict)  # the path of each of them
    events: list[PathChange] = field(default_factory=list)

    def is_proven(self, way: str) -> bool:
        """Whether it is a path that frames prove, in both directions."""
        return way == path_words(self.path_of[way], "confirmed", half_private=False)

    @property
    def totals(self) -> list[int]:
        """Flows of each bin."""
        return [sum(counts) for counts in zip(*self.series.values(), strict=True)]


class ServerCertificate(NamedTuple):
    """A server's certificate, and when its validity ends."""

    subject: str
    key: str
    not_after: int | None  # ns since 1970
    days_left: int | None  # when it was first seen
    handshakes: int


class Sizes(NamedTuple):
    """ClientHellos by their length: those that offer a post-quantum group, and the others."""

    up_to: list[int]
    classical: list[int]
    post_quantum: list[int]


def scope(flows: FlowColumns) -> Array:
    """The flows that charts are about: those that were judged, and all where none was."""
    judged = flows.is_judged
    return judged if judged.any() else np.ones(len(flows), bool)


def paths(flows: FlowColumns) -> list[Strand]:
    """Who took which path to what, with which verdict; the smallest clients and services are counted together."""
    chosen = scope(flows)
    names = [
        _largest(flows.network, chosen, MOST_CLIENTS, "other networks"),
        flows.way,
        _largest(flows.service, chosen, MOST_SERVICES, "other services"),
        flows.verdict,
        flows.path,
    ]
    if not len(flows):
        return []
    combos, index = distinct(*(column.index[chosen] for column in names))
    counts = np.bincount(index, minlength=len(combos)).tolist()
    strands = (
        Strand._make([*(str(column.values[code]) for column, code in zip(names, combo, strict=True)), count])
        for combo, count in zip(combos.tolist(), counts, strict=True)
    )
    return sorted(strands, key=lambda strand: (-strand.flows, strand))


def is_rest(name: str) -> bool:
    """Whether a name stands for what is counted together."""
    return name.endswith(OTHERS)


def is_anything_judged(result: Results) -> bool:
    """Whether a rule judged a flow."""
    return any(row["verdict"] != "not_applicable" for row in result.manifest["summary"])


def _largest(column: Texts, chosen: Array, most: int, others: str) -> Texts:
    """The texts that most rows have; the rest is one."""
    counts = np.bincount(column.index[chosen], minlength=len(column.values) + 1).tolist()
    known = [code for code in range(len(column.values)) if counts[code]]
    if len(known) <= most:
        return column
    kept = set(sorted(known, key=lambda code: (-counts[code], str(column.values[code])))[: most - 1])
    rest = len(column.values)
    where = np.array([code if code in kept else rest for code in range(rest + 1)])
    return Texts([*column.values, f"{len(known) - len(kept):,} {others}"], where[column.index])


def versions(flows: FlowColumns) -> list[Count]:
    """TLS versions, from worst to best, and TLS whose version was not seen."""
    counts = counted(flows.spoken)
    known = [Count(name, counts.pop(name)) for name in VERSION_ORDER if name in counts]
    others = [Count(name, count) for name, count in sorted(counts.items()) if is_version(name)]
    return [*known, *others]


def suites(flows: FlowColumns) -> list[Count]:
    """Negotiated suites, the most frequent first; the rest is counted together."""
    column = flows.texts("cipher_suite")
    chosen = selected_known(column)
    kept = _largest(column, chosen, MOST_SUITES, "other suites") if len(flows) else column
    counts = counted(Texts(kept.values, kept.index[chosen]))
    return [Count(*item) for item in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def selected_known(column: Texts) -> Array:
    """Which rows have a text."""
    return np.array([value is not None for value in [*column.values, None]], bool)[column.index]


def counted(column: Texts) -> dict[str, int]:
    """How many rows have each text."""
    counts: Counter[str] = Counter()
    for value, count in zip(
        [*column.values, None], np.bincount(column.index, minlength=len(column.values) + 1).tolist(), strict=True
    ):
        if value is not None and count:
            counts[value] += count
    return dict(counts)


def round_trips(flows: FlowColumns) -> list[PathRoundTrips]:
    """Round-trip times by path and its confidence."""
    times = flows.numbers("rtt_ms", np.nan)
    rows = []
    for code, way in enumerate(flows.way.values):
        some = times[(flows.way.index == code) & ~np.isnan(times)]
        if way is not None and len(some):
            path = str(flows.path.values[flows.path.index[np.argmax(flows.way.index == code)]])
            rows.append(
                PathRoundTrips(way, path, len(some), *np.percentile(some, QUANTILES, method="nearest").tolist())
            )
    return sorted(rows, key=lambda row: (-row.flows, row.way))


def timeline(flows: FlowColumns) -> Timeline:
    """Flows by path in equal bins of time, and changes of path."""
    chosen = scope(flows)
    started = flows.numbers("started")[chosen]
    if not len(started):
        return Timeline()
    most = min(BINS, max(FEWEST_BINS, len(started) // 3))
    first, last = int(started.min()), int(started.max())
    width = next((one for one in WIDTHS if last // one - first // one < most), WIDTHS[-1])
    first -= first % width
    bins = (started - first) // width
    count = int(bins.max()) + 1
    series, path_of = {}, {}
    way, path = (column.index[chosen] for column in (flows.way, flows.path))
    for code, name in enumerate(flows.way.values):
        if name is not None and (at := way == code).any():
            series[name] = np.bincount(bins[at], minlength=count).tolist()
            path_of[name] = str(flows.path.values[path[at][0]])
    return Timeline(
        [first + k * width for k in range(count)], width, dict(sorted(series.items())), path_of, _events(flows)
    )


def _events(flows: FlowColumns) -> list[PathChange]:
    """Changes of path, in the order of time."""
    changed, path = flows.numbers("path_changed"), flows.path.objects()
    rows = np.flatnonzero(changed)
    events: list[PathChange] = []
    for at in rows[np.argsort(changed[rows], kind="stable")].tolist():
        time, now = int(changed[at]), str(path[at])
        if events and events[-1].path == now:
            events[-1] = events[-1]._replace(last=time, flows=events[-1].flows + 1)
        else:
            events.append(PathChange(time, time, 1, now))
    return events


def post_quantum(result: Results) -> list[Count]:
    """Handshakes by the kind of their key exchange, best first."""
    counts = Counter(row["post_quantum_kind"] or "not seen" for row in result.each("handshakes", "post_quantum_kind"))
    return [
        Count(kind, counts[kind]) for kind in ("pure", "hybrid", "classical", "obsolete", "not seen") if counts[kind]
    ]


def hello_sizes(result: Results) -> Sizes:
    """ClientHellos by length, in classes up to each of ``SIZES``."""
    sized: dict[bool, list[int]] = {False: [], True: []}  # by whether a post-quantum group is offered
    for row in result.each("handshakes", "client_hello_bytes", "post_quantum_offered"):
        if row["client_hello_bytes"] is not None:
            sized[bool(row["post_quantum_offered"])].append(row["client_hello_bytes"])

    def histogram(some: Iterable[int]) -> list[int]:
        places = np.searchsorted(SIZES[:-1], np.fromiter(some, np.int64))
        counts: list[int] = np.bincount(places, minlength=len(SIZES)).tolist()
        return counts

    classical = histogram(sized[False])
    large = histogram(sized[True])
    used = [k for k in range(len(SIZES)) if classical[k] or large[k]]
    first, last = (used[0], used[-1] + 1) if used else (0, 0)
    return Sizes(list(SIZES[first:last]), classical[first:last], large[first:last])


def certificates(result: Results) -> list[ServerCertificate]:
    """Certificates of servers, those that end first before the others."""
    names = ("subject", "roles", "key_type", "key_bits", "curve", "not_after", "first_seen", "handshakes")
    listed = []
    for row in result.rows("certificates", *names):
        if "server" not in (row["roles"] or ""):
            continue
        end, seen = row["not_after"], row["first_seen"]
        left = None if end is None or seen is None else (end - seen) // DAY
        key = " ".join(str(part) for part in (row["key_type"], row["curve"] or row["key_bits"]) if part)
        listed.append(
            ServerCertificate(printable(row["subject"] or "?"), printable(key), end, left, row["handshakes"] or 0)
        )
    return sorted(listed, key=lambda one: (one.days_left is None, one.days_left, one.subject))


def moment(nanoseconds: int | None, parts: int = 19) -> str:
    """A time for people: to the second, or fewer ``parts`` of ISO 8601."""
    return (iso(nanoseconds) or "?")[:parts].replace("T", " ")


def span(first: int, last: int) -> str:
    """From when to when, for people: what is the same is said once."""
    begun, ended = moment(first), moment(last)
    if begun == ended:
        return begun
    return f"{begun} to {ended[11:] if begun[:10] == ended[:10] else ended}"


def change_words(event: PathChange) -> str:
    """A change of path in words."""
    when = moment(event.time, 23)
    if event.last != event.time:
        last = moment(event.last, 23)
        when += f" to {last[11:] if last[:10] == when[:10] else last}"
    now = "by an unknown way since" if event.path == "unknown" else f"now by {event.path}"
    return f"{when} UTC: {event.flows:,} {agreed(event.flows, 'flow')} changed, {now}"
