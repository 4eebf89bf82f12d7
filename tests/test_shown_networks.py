"""What captures show of the network itself: topologies that fit nothing, contested peers, names with others' addresses."""

import importlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import auditor
from auditor.paths import aws_files
from auditor.report import overview
from tests import wire
from tests.lab import scenes
from tests.lab import world as w


def command(*words: str) -> Any:
    """What a command of ours answers."""
    return CliRunner().invoke(importlib.import_module("auditor.cli.main").app, list(words))


def test_a_topology_that_fits_nothing(tmp_path: Path) -> None:
    """Where no frame is any link's, the capture's row says what was looked for and what was there instead."""
    (tmp_path / "site.toml").write_text('[[uplink]]\nname = "isp"\nvlan = 7\n')
    (tmp_path / "a.pcap").write_bytes(wire.pcap(w.talk(server=w.ENI, out=scenes.DX1), nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap", topology=tmp_path / "site.toml")
    (warning,) = result.captures["warnings"]
    assert [one.text for one in overview.warned(result)] == [warning]  # a line of its own, wherever it is shown
    assert "looked for VLAN 7 of internet uplink isp, seen were VLANs 101" in warning
    assert w.AWS1 in warning
    (tmp_path / "site.toml").write_text('[[uplink]]\nname = "isp"\nvlan = 101\n')
    (warning,) = auditor.audit(tmp_path / "a.pcap", topology=tmp_path / "site.toml").captures["warnings"]
    assert pd.isna(warning)


def test_suggested_topology(tmp_path: Path) -> None:
    """`audit topology suggest` lists VLANs, MACs and addresses of what is there, all in comments, never over a file."""
    frames = [w.arp(scenes.AMAZON, w.AWS1, 101), *w.talk(server=w.ENI, out=scenes.DX1)]
    frames += w.talk("203.0.113.9", server=w.ENI, out=scenes.DX1)  # which is not a private client
    (tmp_path / "a.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    out = tmp_path / "site.toml"
    done = command("topology", "suggest", str(tmp_path / "a.pcap"), "--out", str(out))
    assert done.exit_code == 0, done.output
    text = out.read_text()
    assert all(line.startswith("#") or not line for line in text.splitlines())
    for words in ('vlan = "101"', f'peer_mac = "{w.AWS1}"', f"this MAC has {scenes.AMAZON}", '= ["10.20.1.0/24"]'):
        assert words in text
    section = "\n".join(line.removeprefix("# ") for line in text[text.index("# [[") :].splitlines())
    out.with_name("done.toml").write_text(section)
    assert command("topology", "check", str(out.with_name("done.toml"))).exit_code == 0
    assert command("topology", "suggest", str(tmp_path / "a.pcap"), "--out", str(out)).exit_code != 0


def test_a_contested_peer_is_a_finding(tmp_path: Path) -> None:
    """Two MACs that claim a link's peer are a finding with both, their frames and times, and nothing is claimed of the flow."""
    frames = [
        w.arp(scenes.AMAZON, w.AWS1, 101),
        w.arp(scenes.AMAZON, w.AWS2, 101, at=2),
        *w.talk(server=w.ENI, out=scenes.DX1, at=3),
    ]
    (tmp_path / "a.pcap").write_bytes(wire.pcap(sorted(frames), nanoseconds=True))
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "vifs.json").write_text(json.dumps(scenes.PRIVATE_VIF["vifs.json"]))
    result = auditor.audit(tmp_path / "a.pcap", aws=tmp_path / "aws")
    finding = wire.only(result.findings[result.findings["rule"] == "PTH109"])
    for words in (scenes.AMAZON, f"{w.AWS1} by ARP in frame 1", f"{w.AWS2} by ARP in frame 2"):
        assert words in finding["reason"]
    assert (finding["flows"], finding["last_seen"] - finding["first_seen"]) == (1, pd.Timedelta(seconds=2))
    assert wire.only(result.flows)["path_confidence"] == "none"


@pytest.mark.parametrize(("server", "verdict"), [("8.8.8.8", "warn"), (w.SERVER, None), (w.ENI, None)])
def test_a_name_is_not_the_address(tmp_path: Path, server: str, verdict: str | None) -> None:
    """An AWS name with a public address that is not AWS's is a finding; with AWS's or a private one it is none."""
    (tmp_path / "a.pcap").write_bytes(wire.pcap(w.talk(server=server), nanoseconds=True))
    verdicts = auditor.audit(tmp_path / "a.pcap").verdicts
    found = verdicts[verdicts["rule"] == "NAME102"]["verdict"].tolist()
    assert found == ([] if verdict is None else [verdict])


def test_what_else_aws_printed(tmp_path: Path) -> None:
    """Other output of AWS's, and YAML, beside what is used is one note that names them."""
    aws = tmp_path / "aws"
    aws.mkdir()
    (aws / "vifs.json").write_text(json.dumps(scenes.PRIVATE_VIF["vifs.json"]))
    (aws / "buckets.json").write_text('{"Buckets": []}')
    (aws / "vpcs.yaml").write_text("Vpcs: []\n")
    notes: list[str] = []
    assert len(list(aws_files.read(aws, notes).links())) == 1
    (note,) = notes
    assert "buckets.json, vpcs.yaml" in note


def test_positions_are_explained(tmp_path: Path) -> None:
    """Explaining a flow that moved lists its positions with packets and frames, and says from where to where it went."""
    scene = next(s for s in scenes.SCENES if s.name == "fail-over within a flow")
    capture, options = scene.write(tmp_path)
    auditor.audit(capture, out=tmp_path / "out", **options)
    told = command("paths", "explain", str(tmp_path / "out"), "1").output
    assert "packets at 2 positions" in told
    assert f"untagged, {w.HOST} to {w.AWS1}, frames 1 to" in told
    assert f"untagged, {w.HOST} to {w.ISP}, frames" in told
    assert "within the flow: by direct-connect before, by internet from then on" in told


def test_both_sides_of_a_router(tmp_path: Path) -> None:
    """Packets that a router passes on in another VLAN count once, whichever side comes first; both sides are positions."""
    inner = w.talk(server=w.ENI, out=w.Wire(7, "02:00:00:00:00:99"))
    outer = w.talk(server=w.ENI, out=scenes.DX1, at=0.0002)
    passed_on = []
    for number, (when, frame) in enumerate(outer):
        routed = bytearray(frame)
        routed[18 + 8] -= 1  # the time to live
        passed_on.append((when - 400_000 * (number % 3 == 0), bytes(routed)))
    (tmp_path / "a.pcap").write_bytes(wire.pcap(sorted([*inner, *passed_on]), nanoseconds=True))
    (tmp_path / "site.toml").write_text(scenes.LINKS)
    result = auditor.audit(tmp_path / "a.pcap", topology=tmp_path / "site.toml")
    flow = wire.only(result.flows)
    assert (flow["client_packets"], flow["server_packets"]) == (6, 4)
    assert (flow["path"], flow["path_confidence"]) == ("direct-connect", "confirmed")
    assert pd.isna(flow["path_changed"])
    assert result.captures["duplicates"].tolist() == [len(outer)]
