"""Figures for notebooks: the numbers of the tables, the colours of the page, one flow packet by packet, and nothing fetched."""

import inspect
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.utils import rdpcap

import auditor
from auditor.report import charts, colours, flow_ids
from auditor.report.flow_columns import FlowColumns
from auditor.report.plot import Plots
from tests import wire
from tests.conftest import SAMPLES


def bars(figure: Any) -> dict[str, int]:
    """The bars of a figure with one trace of them."""
    trace = next(trace for trace in figure.data if trace.type == "bar")
    return dict(zip(trace.y, trace.x, strict=True))


def test_numbers_are_those_of_the_tables(office: Any) -> None:
    """Each figure counts what the tables hold."""
    flows, shakes = office.flows, office.handshakes
    judged = flows[flows["verdict"] != "not_applicable"]
    sankey = office.plot.paths().data[0]
    assert sum(sankey.link.value) == 2 * len(judged)
    versions = {name: count for name, count in flows["tls_version"].value_counts().items() if count}
    assert bars(office.plot.versions()) == {**versions, "TLS, version unknown": 1}
    assert bars(office.plot.suites()) == flows["cipher_suite"].value_counts().to_dict()
    kinds = shakes["post_quantum_kind"].astype("string").fillna("not seen").value_counts()
    assert bars(office.plot.post_quantum()) == kinds.to_dict()
    assert sum(sum(trace.y) for trace in office.plot.hello_sizes().data) == shakes["client_hello_bytes"].notna().sum()
    assert sum(sum(trace.y) for trace in office.plot.timeline().data) == len(judged)
    assert list(office.plot.certificates().data[0].x) == [59]
    medians = {trace.name: trace.x[1] for trace in office.plot.rtt().data}
    seen = flows[(flows["path"] == "vpn")]["rtt_ms"]
    assert medians["vpn (confirmed)"] == pytest.approx(seen.iloc[0])


def test_labels_do_not_meet(office: Any) -> None:
    """Names of the diagram are in lines that fit, with their flows; changes of path are numbers, told below the axis."""
    labels = office.plot.paths().data[0].node.label
    assert "direct-connect (likely),<br>one way only · 1" in labels
    assert max(len(line) for label in labels for line in label.split("<br>")) <= 28
    result = auditor.audit(SAMPLES / "failover.pcapng.gz", topology=SAMPLES / "site.toml")
    texts = [re.sub("<.*?>", "", one.text) for one in result.plot.timeline().layout.annotations]
    events = charts.timeline(FlowColumns.of(result)).events
    assert texts[::2] == [str(number + 1) for number in range(len(events))]
    assert [text.split("  ", 1)[1] for text in texts[1::2]] == [charts.change_words(event) for event in events]


def test_colours_are_those_of_the_page(office: Any) -> None:
    """A version, suite, path or verdict has one colour wherever it is drawn."""
    figure = office.plot.versions().data[0]
    assert dict(zip(figure.y, figure.marker.color, strict=True))["TLS 1.2"] == colours.VERSION["TLS 1.2"].light
    suites = office.plot.suites().data[0]
    assert list(suites.marker.color) == [colours.suite(name).light for name in suites.y]
    lines = {trace.name: trace.marker.color for trace in office.plot.timeline().data}
    # each path by how well it is proven, so that what is likely is not counted with what is confirmed
    assert lines == {name: colours.path(name.split(" (")[0]).light for name in lines}
    assert {"direct-connect (confirmed)", "direct-connect (likely), one way only"} <= set(lines)
    hatched = {trace.name for trace in office.plot.timeline().data if trace.marker.pattern.shape}
    assert hatched == {name for name in lines if "likely" in name}
    link = office.plot.paths().data[0].link
    assert {color[:7] for color in link.color} <= {colour.light for colour in colours.VERDICT.values()}


def test_a_flow_is_a_ladder(office: Any) -> None:
    """A flow's packets are drawn in order, each from who sent it, with its frame and the messages that it shows."""
    flow = int(office.flows[office.flows["tls_version"] == "TLS 1.0"].iloc[0]["flow_id"])
    row = office.flows.set_index("flow_id").loc[flow]
    figure = office.plot.flow(flow)
    arrows = [one for one in figure.layout.annotations if one.showarrow]
    assert len(arrows) == row["client_packets"] + row["server_packets"]
    assert sum(one.ax == 0 for one in arrows) == row["client_packets"]
    texts = " ".join(one.text for one in figure.layout.annotations)
    shake = office.handshakes.set_index("flow_id").loc[flow]
    for words in (
        "SYN",
        "ClientHello",
        "ServerHello, Certificate",
        "application data",
        f"frame {shake['client_hello_frame']}",
    ):
        assert words in texts
    assert office.plot.flow(flow_ids.short(office, [flow])[0]) == figure
    with pytest.raises(auditor.AuditError, match="no flow has the number 999"):
        office.plot.flow(999)


def test_a_flow_of_several_captures(office: Any, tmp_path: Path) -> None:
    """A flow whose packets are in several captures is one ladder, which says of each frame whose it is."""
    whole = (SAMPLES / "tls1.2.pcapng").read_bytes()
    packets = [(packet.time, bytes(packet)) for packet in rdpcap(io.BytesIO(whole))]
    for name, some in (("one.pcap", packets[:5]), ("two.pcap", packets[5:])):
        stamped = [(int(time * 1_000_000) * 1000, data) for time, data in some]
        (tmp_path / name).write_bytes(wire.pcap(stamped))
    result = auditor.audit([tmp_path / "one.pcap", tmp_path / "two.pcap"])
    figure = result.plot.flow(int(result.flows["flow_id"].iloc[0]))
    texts = [one.text for one in figure.layout.annotations]
    assert sum("one.pcap" in text for text in texts) == 5
    assert sum("two.pcap" in text for text in texts) == len(packets) - 5


def test_a_flow_inside_a_tunnel(office: Any) -> None:
    """Of a mirrored flow the inner packets are drawn: who sent them is known by the inner addresses."""
    row = office.flows[office.flows["tunnel"].notna()].iloc[0]
    arrows = [one for one in office.plot.flow(int(row["flow_id"])).layout.annotations if one.showarrow]
    assert sum(one.ax == 0 for one in arrows) == row["client_packets"]


def test_every_figure_of_nothing(audit_bytes: Any) -> None:
    """Every figure can be made of an audit without flows."""
    plots = audit_bytes(wire.pcap([])).plot
    names = [name for name, _ in inspect.getmembers(Plots, inspect.isfunction) if not name.startswith("_")]
    assert set(names) == {
        *("paths", "versions", "suites", "rtt", "hello_sizes", "certificates", "post_quantum", "timeline", "flow")
    }
    for name in names:
        if name != "flow":
            assert getattr(plots, name)().layout.title.text


def test_hostile_names_are_no_markup(hostile: auditor.Audit) -> None:
    """Names from the network are text in figures: plotly would read some tags."""
    for figure in (
        hostile.plot.paths(),
        hostile.plot.certificates(),
        hostile.plot.flow(int(hostile.flows["flow_id"][0])),
    ):
        text = figure.to_json()
        assert "script\\u003e" not in text
        assert "<script" not in text
        assert "<img" not in text


def test_plotly_is_loaded_when_it_is_asked_for(office: Any, tmp_path: Path) -> None:
    """Neither the package, nor an audit, nor the page loads plotly: it takes long."""
    office.save(tmp_path / "kept")
    code = "import sys, auditor\nresult = auditor.Audit.load(sys.argv[1])\nresult.export('html', sys.argv[2])\n"
    code += "assert 'plotly' not in sys.modules\nresult.plot.versions()\nassert 'plotly' in sys.modules"
    subprocess.run([sys.executable, "-c", code, tmp_path / "kept", tmp_path / "page.html"], check=True)


def test_what_is_small_is_counted_together(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more client networks or services than fit a diagram, the smallest are one, and none is left out."""
    monkeypatch.setattr(charts, "MOST_CLIENTS", 3)
    monkeypatch.setattr(charts, "MOST_SERVICES", 2)
    strands = charts.paths(FlowColumns.of(office))
    assert {strand.client for strand in strands} == {"203.0.113.0/24", "10.20.1.0/24", "3 other networks"}
    assert {strand.service for strand in strands} == {"pinpoint us-east-1", "5 other services"}
    assert sum(strand.flows for strand in strands) == 20
