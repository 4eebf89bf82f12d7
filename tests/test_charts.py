"""What charts count and how they are laid out: nothing is lost, labels fit, times are those of people."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report import charts
from auditor.report.charts import PathChange, Strand, Timeline
from auditor.report.flow_columns import FlowColumns
from auditor.report.page import sankey, timeaxis
from tests import wire
from tests.browser import html, kept, opened
from tests.conftest import SAMPLES

SECOND = 1_000_000_000
AXIS = 1_795_613_400 * SECOND  # 2026-11-25 13:30


@pytest.fixture(scope="module")
def failover() -> Any:
    """The audit of an afternoon with a fail-over."""
    return auditor.audit(SAMPLES / "failover.pcapng.gz", topology=SAMPLES / "site.toml")


def test_every_change_of_path_is_marked(failover: Any) -> None:
    """Changes to the same path are one event, with the first and last time that the table has, and none is left out."""
    flows = failover.flows
    changed = flows.dropna(subset=["path_changed"]).sort_values("path_changed")
    events = charts.timeline(FlowColumns.of(failover)).events
    assert sum(event.flows for event in events) == len(changed)
    assert [event.path for event in events] == ["unknown", "internet", "unknown", "direct-connect"]
    assert events[0].time == changed["path_changed"].iloc[0].value
    assert events[-1].last == changed["path_changed"].iloc[-1].value


def test_marks_in_the_page(browser: Any, failover: Any, tmp_path: Path) -> None:
    """The page marks each event on the axis at its time, in the order of their numbers, and tells it below."""
    events = charts.timeline(FlowColumns.of(failover)).events
    tab, said = opened(browser, kept(failover, tmp_path))
    assert tab.locator(".event circle").count() == len(events)
    places = tab.locator(".event circle").evaluate_all("all => all.map(one => one.getBoundingClientRect().x)")
    assert places == sorted(places)
    told = tab.locator(".events li").all_inner_texts()
    assert told == [charts.change_words(event) for event in events]
    assert "14:03:40.592 to 14:17:17.960 UTC: 8 flows changed, now by internet" in told[1]
    bars = tab.locator("#timeline rect title").all_text_contents()
    judged = failover.flows[failover.flows["verdict"] != "not_applicable"]
    for path in ("direct-connect", "internet", "unknown"):
        counts = [int(match[1]) for bar in bars if (match := re.search(rf": (\d+) by {path}(?: \(|$)", bar))]
        assert sum(counts) == (judged["path"] == path).sum()
    assert said == []
    tab.close()


def test_bins_are_those_of_people(failover: Any) -> None:
    """Bins are as long as clocks count, begin at whole ones, and their number depends on how many flows there are."""
    line = charts.timeline(FlowColumns.of(failover))
    assert line.width == 120 * SECOND
    assert all(time % line.width == 0 for time in line.times)
    assert sum(line.totals) == charts.scope(FlowColumns.of(failover)).sum()
    assert charts.FEWEST_BINS <= len(line.times) <= charts.BINS


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (5_000_000, "5 ms"),
        (SECOND, "a second"),
        (3600 * SECOND, "an hour"),
        (15 * SECOND, "15 seconds"),
        (120 * SECOND, "2 minutes"),
    ],
)
def test_lengths_of_time(width: int, words: str) -> None:
    """A length of time is said in its largest whole unit."""
    assert timeaxis.duration(width) == words


def test_changes_in_words() -> None:
    """One flow is one flow; a day is said once; what went an unknown way says so."""
    one = PathChange(AXIS, AXIS, 1, "internet")
    assert charts.change_words(one) == "2026-11-25 13:30:00.000 UTC: 1 flow changed, now by internet"
    later = PathChange(AXIS, AXIS + 86_400 * SECOND, 1200, "unknown")
    assert charts.change_words(later) == (
        "2026-11-25 13:30:00.000 to 2026-11-26 13:30:00.000 UTC: 1,200 flows changed, by an unknown way since"
    )


def test_stacks_are_as_high_as_they_have_flows() -> None:
    """The pieces of each bar stand on each other, and the highest bar fills the chart."""
    line = Timeline([AXIS, AXIS + SECOND], SECOND, {"internet": [1, 3], "vpn": [1, 0]})
    axis = timeaxis.layout(line, [])
    assert axis.most == 3
    assert sorted(piece.height for piece in axis.pieces) == [50, 50, 150]
    first = [piece for piece in axis.pieces if piece.x == 0]
    assert first[0].y == first[1].y + first[1].height
    assert [tick.text for tick in axis.ticks] == ["2026-11-25 13:30:00", "13:30:01"]


def strands(clients: int, services: int) -> list[Strand]:
    """Many of each, with long names."""
    return [
        Strand(
            f"2001:db8:1234:{k:x}::/64", "direct-connect (likely), one way only", name, verdict, "direct-connect", k + 1
        )
        for k in range(clients)
        for name in (f"a{n}.very-long-name-of-a-host.in-a.sub-domain.of.somebody.example" for n in range(services))
        for verdict in ("fail", "pass")
    ]


def test_labels_of_the_diagram_fit() -> None:
    """Labels are broken into lines that fit beside their nodes, those of a column do not overlap, and all is inside."""
    drawn = sankey.layout(strands(12, 12))
    for column in (0, 1, 2):
        nodes = [node for node in drawn.nodes if node.column == column]
        assert all(len(line) <= sankey.LONGEST[column] for node in nodes for line in node.lines)
        middles = [(node.y + node.height / 2, max(node.height, sankey.LINE * len(node.lines))) for node in nodes]
        for (upper, high), (lower, low) in pairwise(middles):
            assert lower - upper >= (high + low) / 2
        assert all(node.y >= 0 and node.y + node.height <= drawn.height for node in nodes)


def test_strands_are_as_thick_as_they_have_flows() -> None:
    """At each node the strands of either side are as thick together as the node is high, however thin the thinnest."""
    drawn = sankey.layout(strands(3, 2))
    for node in drawn.nodes:
        for column, end in ((node.column, 0), (node.column - 1, 1)):
            some = [band for band in drawn.bands if band.column == column and band.ends[end] == node.name]
            thick = 0.0
            for band in some:
                numbers = [float(text) for text in re.findall(r"[\d.]+", band.outline)]
                thick += numbers[8] - numbers[7]
            assert not some or thick == pytest.approx(node.height, abs=0.5 * len(some))


def test_certificates_that_end_first_come_first(office: Any) -> None:
    """Certificates of servers are listed with the days that were left, as the table has them."""
    listed = charts.certificates(office)
    row = office.certificates.iloc[0]
    assert len(listed) == len(office.certificates)
    assert listed[0].days_left == (row["not_after"] - row["first_seen"]).days
    assert listed[0].handshakes == row["handshakes"]


def test_a_large_hello_is_in_its_class(office: Any) -> None:
    """Each ClientHello is counted in the class that its length fits, apart by what it offers."""
    sizes = charts.hello_sizes(office)
    lengths = office.handshakes.dropna(subset=["client_hello_bytes"])
    large = lengths[lengths["post_quantum_offered"].fillna(value=False).astype(bool)]
    assert sum(sizes.post_quantum) == len(large)
    at = sizes.up_to.index(2048)
    assert (
        sizes.post_quantum[at] == ((large["client_hello_bytes"] > 1460) & (large["client_hello_bytes"] <= 2048)).sum()
    )


def test_round_trips_of_no_time(audit_bytes: Any) -> None:
    """A page can be made where all packets of a handshake have one time stamp."""
    talk = wire.Talk().open()
    result = audit_bytes(wire.pcap([(1_700_000_000 * SECOND, packet) for packet in talk.packets]))
    assert [trip.high for trip in charts.round_trips(FlowColumns.of(result))] == [0]
    assert "Round-trip times" in html(result).decode()
