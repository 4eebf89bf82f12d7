"""Findings in words, and the packets that prove them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import auditor
from tests import wire
from tests.conftest import SAMPLES


def test_every_finding_is_explained(office: Any) -> None:
    """Each finding says what, why, how to mend, with frames and a filter that Wireshark takes."""
    for row in office.findings.itertuples():
        text = office.explain_finding(row.finding_id)
        assert all(head in text for head in ("About: ", "Servers: ", "Reason: ", "frames: ", "What: ", "Source: "))
        assert f"frame.number in {{{', '.join(row.sample_frames.split())}}}" in text
    with pytest.raises(auditor.AuditError, match="no such finding; there are NET101-1"):
        office.explain_finding("TLS999-1")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_the_packets_of_every_finding(office: Any, tmp_path: Path) -> None:
    """The pcapng has the proving frames with the rule in their comments, the capture's times, and its SHA-256."""
    told = {row.capture: row.sha256 for row in office.captures.itertuples()}
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
        assert told[row.capture].encode() in path.read_bytes()
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


def test_another_capture_is_refused(tmp_path: Path) -> None:
    """A capture that has changed since proves nothing: that is said, and nothing is written."""
    data = (SAMPLES / "tls1.pcapng").read_bytes()
    (tmp_path / "c.pcapng").write_bytes(data)
    result = auditor.audit(tmp_path / "c.pcapng", out=tmp_path / "out")
    found = result.findings["finding_id"].iloc[0]
    (tmp_path / "c.pcapng").write_bytes(data + wire.block(0xBAD, b""))
    with pytest.raises(auditor.AuditError, match="is not the capture that was audited"):
        result.extract(found, tmp_path / "e.pcapng")
    (tmp_path / "c.pcapng").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "extract", str(tmp_path / "out"), found, "-o", str(tmp_path / "e.pcapng")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "not there any more" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
