"""What is read a second time is what was audited: a capture that was changed meanwhile shows nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.requests import cut, decrypt
from tests.conftest import SAMPLES

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def replace(path: Path) -> None:
    """Another file of the same size by the same name."""
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte": lambda path: flip(path, -100),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "another file": replace,
    "gone": lambda path: path.unlink(),
}


@needs_tshark
@pytest.mark.parametrize("change", [None, *CHANGES])
def test_requests_are_those_of_what_was_audited(
    change: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are taken from the bytes that were hashed: from others none are, and it is said why."""
    capture, real = tmp_path / "a.pcapng", cut.write
    shutil.copyfile(SAMPLES / "requests.pcapng", capture)

    def changed(*arguments: Any) -> cut.Cut:
        if change is not None:
            CHANGES[change](capture)
        return real(*arguments)

    monkeypatch.setattr(decrypt, "write", changed)
    result = auditor.audit(capture)
    assert (len(result.requests) == 0) == (change is not None)
    assert any("second time" in one or "two readings" in one for one in result.manifest["notes"]) == (
        change is not None
    )


@pytest.mark.parametrize("change", ["a byte", "cut off", "another file", "gone"])
def test_packets_are_those_of_what_was_audited(change: str, tmp_path: Path) -> None:
    """Neither evidence nor packets to look at come from a capture that is another one now."""
    capture = tmp_path / "a.pcapng"
    shutil.copyfile(SAMPLES / "tls1.pcapng", capture)
    result = auditor.audit(capture, out=tmp_path / "results")
    flow = int(result.flows["flow_id"].iloc[0])
    assert len(result.packets(flow)) > 0
    CHANGES[change](capture)
    with pytest.raises(auditor.AuditError):
        result.packets(flow)
    with pytest.raises(auditor.AuditError):
        result.extract("TLS101-1", tmp_path / "evidence.pcapng")
    assert not (tmp_path / "evidence.pcapng").exists()


def test_evidence_of_a_damaged_capture(tmp_path: Path) -> None:
    """Behind the damage nothing is read, but all of it is compared."""
    capture = tmp_path / "a.pcapng"
    capture.write_bytes((SAMPLES / "tls1.pcapng").read_bytes() + bytes(1000))
    result = auditor.audit(capture, out=tmp_path / "results")
    assert result.captures["status"].tolist() != ["complete"]
    assert result.extract("TLS101-1", tmp_path / "evidence.pcapng") > 0
    flip(capture, -1)
    with pytest.raises(auditor.AuditError, match="is not the capture that was audited"):
        result.extract("TLS101-1", tmp_path / "more.pcapng")
