"""From tables back to packets, and beside tshark's answers."""

import asyncio
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.audit.compare import ColumnComparison, Comparison, compare
from auditor.machine import programs
from tests import wire
from tests.conftest import SAMPLES

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def test_packets_of_a_flow_as_scapy_has_them(office: Any) -> None:
    """Every flow leads back to its packets: as many as the table says, between its ends, inside mirrors too."""
    from scapy.layers.inet import IP

    flows = office.flows.sample(12, random_state=1)
    for row in flows.itertuples():
        packets = office.packets(row.flow_id)
        assert len(packets) == row.client_packets + row.server_packets
        innermost = packets[0].getlayer(IP, len([layer for layer in packets[0].layers() if layer is IP]))
        assert {innermost.src, innermost.dst} == {row.client_ip, row.server_ip}
        assert abs(float(packets[0].time) - row.started.timestamp()) < 1e-3


@needs_tshark
def test_dissect_beside_a_running_event_loop(office: Any) -> None:
    """pyshark's packets come where an event loop runs already, as in Jupyter."""
    flow = office.flows[office.flows["protocol"] == "tls"].iloc[0]

    async def notebook() -> list[Any]:
        dissected: list[Any] = office.dissect(flow["flow_id"])
        return dissected

    with ThreadPoolExecutor(1) as other:  # a loop of a browser that tests use may run in this thread
        packets = other.submit(asyncio.run, notebook()).result()
    assert len(packets) == flow["client_packets"] + flow["server_packets"]
    assert any("tls" in [layer.layer_name for layer in packet.layers] for packet in packets)


def test_what_cannot_be_shown_is_said(office: Any, tmp_path: Path) -> None:
    """A flow that is not there, and a capture that is gone, are sentences."""
    with pytest.raises(auditor.AuditError, match="no flow has the number 999"):
        office.packets(999)
    path = wire.write(tmp_path, wire.pcap(wire.Talk().open().packets))
    result = auditor.audit(path)
    path.unlink()
    with pytest.raises(auditor.AuditError, match="not there any more"):
        result.packets(result.flows["flow_id"][0])


@needs_tshark
@pytest.mark.parametrize("name", ["office.pcapng", "tls1.2.pcapng", "tls1.3.pcapng", "tls1.3-post-quantum.pcapng"])
def test_the_kernels_agree_with_tshark(name: str) -> None:
    """Every cell of hellos and flows is as tshark has it, on samples with tunnels, retries and every version."""
    comparison = compare(SAMPLES / name)
    assert comparison.is_equal, [line.examples for line in comparison.lines]
    assert sum(line.compared for line in comparison.lines) >= 8


@needs_tshark
def test_doctor_compares(tmp_path: Path) -> None:
    """The command prints the comparison; what is no file is refused in a sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "doctor", "--compare", str(SAMPLES / "tls1.2.pcapng")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "cipher suites offered" in done.stdout
    missing = subprocess.run(
        [sys.executable, "-m", "auditor", "doctor", "--compare", str(tmp_path / "none.pcap")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.returncode == 2
    assert "only files can be compared" in missing.stderr


def test_a_difference_is_reported() -> None:
    """A cell that is not equal is counted, and the first ones are shown with their place."""
    line = ColumnComparison("ja3")
    for number in range(6):
        line.cell(f"frame {number}", "a", "a" if number == 0 else "b")
    assert (line.compared, line.equal, len(line.examples)) == (6, 1, 3)
    assert line.examples[0] == "frame 1: 'a', tshark 'b'"
    assert not Comparison("tshark", [line]).is_equal


@pytest.mark.parametrize(("code", "words"), [(139, "tshark ended with 139"), (2, "tshark ended with 2")])
def test_a_tshark_that_fails_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    """Where tshark ends without having read the capture, that is an error: no cell compared is not every cell equal."""
    program = tmp_path / "tshark"
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv(programs.SETTING, str(tmp_path))
    with pytest.raises(auditor.AuditError, match=f"nothing to compare with: {words}"):
        compare(SAMPLES / "tls1.2.pcapng")


@needs_tshark
def test_how_tshark_ended_does_not_depend_on_who_is_faster(
    office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tshark that closes its output and fails later has failed, however late that is."""
    program = tmp_path / "tshark"
    program.write_text("#!/bin/sh\nexec >&-\nsleep 0.5\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv(programs.SETTING, str(tmp_path))
    with pytest.raises(auditor.AuditError, match=r"could not dissect flow [0-9a-f]{16}: .*retcode: 3"):
        office.dissect(office.flows["flow_id"][0])


@needs_tshark
def test_a_cut_capture_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    """What tshark complains of is shown beside the comparison."""
    (tmp_path / "cut.pcapng").write_bytes((SAMPLES / "office.pcapng").read_bytes()[:-50])
    comparison = compare(tmp_path / "cut.pcapng")
    assert comparison.is_equal
    assert "cut short" in comparison.notes[0]
