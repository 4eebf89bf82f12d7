"""What an audit does not go on from: it would say what is not so, or is somebody else's."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.audit import audit_settings, killed, resume
from auditor.border.gate import RefusedError
from auditor.capture.inputs import expand
from auditor.flows.exchange import NAMING, RESUMING
from auditor.machine import packed
from auditor.reading import exchange
from auditor.report import custody, files
from tests import wire
from tests.conftest import SAMPLES


def test_a_capture_that_was_changed_while_it_was_read(tmp_path: Path) -> None:
    """What was written to while it was read is another capture now, whatever its size and time say."""
    (item,) = expand([wire.write(tmp_path, wire.pcap([(0, wire.datagram(b"x"))]))])
    known = {"size": item.size, "stamp": item.stamp, "failure": None, "sha256": "0" * 64, "notes": {"failure": None}}
    assert resume._is_same(known | {"changed": False}, item)
    assert not resume._is_same(known | {"changed": True}, item)


def test_flows_that_could_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tshark could not open what it had the keys of, the captures are read again: it may be able to now."""
    said: list[str] = []
    values = audit_settings.values
    monkeypatch.setattr(audit_settings, "values", lambda *about: values(*about) | {"failed": True})
    auditor.audit(SAMPLES / "tls1.2.pcapng", out=tmp_path / "out").close()
    monkeypatch.undo()
    for read_before in (False, True):
        auditor.audit(SAMPLES / "tls1.2.pcapng", out=tmp_path / "out", force=True, say=said.append).close()
        assert bool(said) == read_before


def test_a_log_that_a_disk_has_damaged(tmp_path: Path) -> None:
    """Where a byte of what is kept is another one, the captures are read again, and the results are whole."""
    out = tmp_path / "out"
    auditor.audit(SAMPLES / "tls1.2.pcapng", out=out).close()
    whole = (out / custody.KEPT).read_bytes()
    (out / custody.KEPT).write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    said: list[str] = []
    auditor.audit(SAMPLES / "tls1.2.pcapng", out=out, say=said.append).close()
    assert said == []
    auditor.audit(SAMPLES / "tls1.2.pcapng", out=out, say=said.append).close()
    assert said == ["1 of 1 capture was read before; --fresh reads them again"]


def test_a_folder_is_held_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an audit has left is taken by one other at a time, and only by its owner."""
    with ExitStack() as one, ExitStack() as other:
        killed.hold(tmp_path, one)
        with pytest.raises(OSError, match="unavailable"):
            killed.hold(tmp_path, other)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with ExitStack() as foreign, pytest.raises(PermissionError):
        killed.hold(tmp_path, foreign)


def test_a_record_that_is_too_large(tmp_path: Path) -> None:
    """A record of more bytes than may be read is refused before it is read."""
    path = tmp_path / "file"
    noise = np.random.default_rng(1).integers(0, 256, 1 << 16, np.uint8)
    packed.write(path, "noise", {}, {"noise": noise})
    with pytest.raises(RefusedError, match="more memory than there is"):
        packed.read(path, "noise", {"noise": np.dtype(np.uint8)}, most=1 << 16)


@pytest.mark.parametrize(("number", "is_there"), [(0, True), (1, True), (2, False), (-1, False)])
def test_names_that_a_file_has_not(number: int, is_there: bool, tmp_path: Path) -> None:
    """What shares exchange names only what is in the same file: the numbers from 1 on, and 0 for nothing."""
    namings = np.zeros(1, NAMING)
    namings["name"] = number
    arrays: dict[str, Any] = {
        "namings": namings,
        "resumings": np.zeros(0, RESUMING),
        "late": np.zeros(0, RESUMING),
        "lengths": np.array([1]),
        "names": np.frombuffer(b"a", np.uint8),
    }
    path = tmp_path / "exchange"
    packed.write(path, exchange.KIND, {}, arrays)
    if is_there:
        assert exchange.read(path).names == [b"a"]
        return
    with pytest.raises(RefusedError, match="names what it has not"):
        exchange.read(path)


@pytest.mark.parametrize(("seconds", "is_told"), [(59, False), (60, True)])
def test_a_gap_between_files(seconds: int, is_told: bool, tmp_path: Path) -> None:
    """From a minute between captures on, the later one says that something may be missing."""
    begin, packet = 1_700_000_000 * wire.SECOND, wire.datagram(b"x")
    paths = []
    for number, time in enumerate((begin, begin + seconds * wire.SECOND)):
        paths.append(tmp_path / f"{number}.pcap")
        paths[-1].write_bytes(wire.pcap([(time, packet)], nanoseconds=True))
    warnings = auditor.audit(paths).captures["warnings"].fillna("").tolist()
    assert ["after the captures before it end" in one for one in warnings] == [False, is_told]


def test_results_whose_digests_were_made_to_fit(tmp_path: Path) -> None:
    """Tables that somebody has changed, listed with digests that fit, are not taken for what an audit of this user found."""
    out, capture = tmp_path / "out", SAMPLES / "tls1.pcapng"
    auditor.audit(capture, out=out).close()
    right = custody.read(out)
    name = "findings.parquet"
    pq.write_table(pq.read_table(out / name).slice(0, 0), out / name)
    digests = right.files | {name: files.sha256(out / name)}
    (out / custody.CUSTODY).write_bytes(custody.text(right.whole | {"sha256": digests}))
    assert len(auditor.audit(capture, out=out).findings)
    assert custody.read(out).files == right.files
