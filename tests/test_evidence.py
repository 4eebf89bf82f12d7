"""Findings in words, and the packets that prove them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import auditor
from tests import commands, wire
from tests.conftest import SAMPLES


def test_every_finding_is_explained(office: Any) -> None:
    """Each finding says what, why, how to fix, with frames and a filter that Wireshark takes."""
    for row in office.findings.itertuples():
        text = office.explain_finding(row.finding_id)
        assert all(head in text for head in ("About: ", "Servers: ", "Reason: ", "frames: ", "What: ", "Source: "))
        assert all(f"\n  {int(flow):016x}"[:10] + ": 2026-11-24 09:00:0" in text for flow in row.sample_flows.split())
        assert f"frame.number in {{{', '.join(row.sample_frames.split())}}}" in text
    old = office.findings[office.findings["rule"] == "TLS101"]["finding_id"].iloc[0]
    assert (
        "path direct-connect (confirmed), TLS 1.0, TLS_RSA_WITH_AES_128_CBC_SHA, not forward secret"
        in office.explain_finding(old)
    )
    with pytest.raises(auditor.AuditError, match="no such finding; there are NET101-1"):
        office.explain_finding("TLS999-1")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_the_packets_of_every_finding(office: Any, tmp_path: Path) -> None:
    """The pcapng has the proving frames with the rule in their comments, the capture's times, and its SHA-256."""
    digests = {row.capture: row.sha256 for row in office.captures.itertuples()}
    for row in office.findings.itertuples():
        path = tmp_path / f"{row.finding_id}.pcapng"
        count = office.extract(row.finding_id, path)
        fields = ["frame.time_epoch", "frame.comment", "frame.interface_name"]
        command = ["tshark", "-r", str(path), "-T", "json", *(part for name in fields for part in ("-e", name))]
        packets = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        comments = [packet["_source"]["layers"]["frame.comment"][0] for packet in packets]
        assert len(packets) == count
        for frame in row.sample_frames.split():
            assert any(c.startswith(f"{row.rule}: ") and f"(frame {frame} of " in c for c in comments), row.finding_id
        times = [float(packet["_source"]["layers"]["frame.time_epoch"][0]) for packet in packets]
        assert abs(min(times) - row.first_seen.timestamp()) < 1e-3
        assert digests[row.capture].encode() in path.read_bytes()
        assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_interfaces_and_flows_are_kept(office: Any, tmp_path: Path) -> None:
    """The evidence is a capture like others: audited again, it shows the same flows and the same finding."""
    row = office.findings[office.findings["rule"] == "TLS102"].iloc[0]
    office.extract(row["finding_id"], tmp_path / "evidence.pcapng")
    again = auditor.audit(tmp_path / "evidence.pcapng", topology=SAMPLES / "site.toml")
    flows = office.flows[office.flows["flow_id"].isin([int(n) for n in row["sample_flows"].split()])]
    assert set(again.flows["client_port"]) == set(flows["client_port"])
    assert again.flows["vlan"].tolist() == flows["vlan"].tolist()
    assert "TLS102" in set(again.findings["rule"])


def test_custody(tmp_path: Path) -> None:
    """Unchanged results and captures are reported as such; one changed byte with both digests, and exit code 1."""
    capture, folder = tmp_path / "a.pcapng", tmp_path / "results"
    shutil.copyfile(SAMPLES / "tls1.pcapng", capture)
    result = auditor.audit(capture, out=folder)
    assert {same for _, same, _ in result.verify()} == {True}
    assert {name for name, *_ in result.verify()} == {str(capture), "audit.json", "audit.kept"} | {
        f"{t}.parquet" for t in result.tables
    }
    custody = json.loads((folder / "custody.json").read_text())
    assert custody["began"] <= custody["ended"]
    copy = auditor.Audit.load(result.save(tmp_path / "copy"))
    assert {same for _, same, _ in copy.verify()} == {True}
    assert commands.run("verify", folder).returncode == 0
    data = bytearray(capture.read_bytes())
    data[100] ^= 1
    capture.write_bytes(data)
    (folder / "flows.parquet").unlink()
    bad = {name: why for name, same, why in result.verify() if same is False}
    assert set(bad) == {str(capture), "flows.parquet"}
    assert "its SHA-256 was " in bad[str(capture)]
    done = commands.run("verify", folder)
    assert (done.returncode, done.stdout.count("CHANGED")) == (1, 2)
    capture.unlink()
    assert [same for name, same, _ in result.verify() if name == str(capture)] == [None]
    (folder / "custody.json").write_text("{}")
    done = commands.run("verify", folder)
    assert (done.returncode, "is damaged" in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_results_keep_the_pages_of_their_rules(tmp_path: Path) -> None:
    """A policy of one's own is explained from the results alone, when its file is gone."""
    policy = tmp_path / "ours.toml"
    policy.write_text(
        """id = "ours"
title = "Ours"
edition = "1"
source = "us"
retrieved = 2026-11-01
extends = ["aws-pinpoint"]
[[rule]]
code = "OUR101"
title = "TLS 1.3"
check = "tls-version"
severity = "low"
what = "Only TLS 1.3 is spoken."
why = "We decided so in October."
fix = "Ask the platform team."
source = "our handbook"
parameters = { minimum = "TLS 1.3" }
"""
    )
    result = auditor.audit(SAMPLES / "tls1.2.pcapng", policy=policy, topology=SAMPLES / "site.toml")
    policy.unlink()
    assert "Why: We decided so in October." in result.explain_finding("OUR101-1")
    result.export("sarif", tmp_path / "a.sarif")
    driver = json.loads((tmp_path / "a.sarif").read_text())["runs"][0]["tool"]["driver"]
    assert any("We decided so in October." in rule["help"]["text"] for rule in driver["rules"])


def test_another_capture_is_refused(tmp_path: Path) -> None:
    """A capture that has changed since proves nothing: that is said, and nothing is written."""
    data = (SAMPLES / "tls1.pcapng").read_bytes()
    (tmp_path / "c.pcapng").write_bytes(data)
    result = auditor.audit(tmp_path / "c.pcapng", out=tmp_path / "out")
    finding = result.findings["finding_id"].iloc[0]
    (tmp_path / "c.pcapng").write_bytes(data + wire.block(0xBAD, b""))
    with pytest.raises(auditor.AuditError, match="is not the capture that was audited"):
        result.extract(finding, tmp_path / "e.pcapng")
    (tmp_path / "c.pcapng").unlink()
    done = commands.run("extract", tmp_path / "out", finding, "-o", tmp_path / "e.pcapng")
    assert done.returncode == 2
    assert "not there any more" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
