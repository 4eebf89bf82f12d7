"""Captures that come after an audit by several processes are read alone, as after one by one process."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import auditor
from auditor.audit import share_state
from auditor.audit.keeping import SEAL
from auditor.machine import own, packed
from auditor.options import Options
from auditor.report.custody import CUSTODY, STATE
from tests import cuts, wire
from tests.conftest import SAMPLES
from tests.sharing import audit_here, hide, rows, totals

COUNT = 5
SAMPLE = (SAMPLES / "tls1.2.pcapng").read_bytes()
PACKETS = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(SAMPLE))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A capture in five files, one behind the other."""
    (tmp_path / "in").mkdir()
    return cuts.cut_pcapng(SAMPLE, tmp_path / "in", [k * COUNT // PACKETS for k in range(PACKETS)]).paths


def shared(paths: list[Path], out: Path, jobs: int = 3, **options: Any) -> list[str]:
    """An audit in shares; what it says."""
    said: list[str] = []
    audit_here(paths, Options(jobs=jobs, out=out, say=said.append, **options), apart=True).close()
    return said


@pytest.mark.parametrize("apart", [False, True])
def test_one_more_file(files: list[Path], tmp_path: Path, *, apart: bool) -> None:
    """File after file is added, and followed by another number of processes: no other one is read, nor is any in the end."""
    one, several = tmp_path / "one", tmp_path / "several"
    auditor.audit(files, out=one, apart=apart).close()
    assert shared(files[:3], several, apart=apart) == []
    for known, count, jobs in ((3, 4, 2), (4, 5, 1), (5, 5, 3)):
        hide(files[:known])
        (words,) = shared(files[:count], several, jobs, apart=apart)
        assert words == f"{known} of {count} captures were read before; --fresh reads them again"
    assert rows(several) == rows(one)
    assert totals(several) == totals(one)


def test_what_does_not_come_behind(files: list[Path], tmp_path: Path) -> None:
    """A file that lies before others, one that was changed, and other options that decide what is read: all is read anew."""
    one, several = tmp_path / "one", tmp_path / "several"
    auditor.audit(files, out=one).close()
    assert shared(files[1:], several) == []
    assert shared(files, several) == []
    assert rows(several) == rows(one)
    shared(files[:4], tmp_path / "changed")
    os.utime(files[0], ns=(1, 1))
    assert shared(files, tmp_path / "changed") == []
    shared(files[:4], tmp_path / "other")
    assert not any("read before" in words for words in shared(files, tmp_path / "other", until="2100-01-01"))


def test_results_of_somebody_else(files: list[Path], tmp_path: Path) -> None:
    """What others say that their shares have followed is not taken for it, and no name in it leads elsewhere."""
    out = tmp_path / "out"
    shared(files[:4], out)
    assert share_state.found(out) is not None
    with mock.patch.object(own, "key", return_value=bytes(own.SIZE)):
        assert share_state.found(out) is None
    parts = packed.encoded(share_state.KIND, {"marks": {}, "files": ["../escaped/state"]}, {})
    parts += packed.encoded("any", {}, {})
    digest = hashlib.sha256(bytes(parts[3]) + bytes(parts[-1]))
    seal = own.seal(share_state._sealed(digest.digest()))
    (out / STATE).write_bytes(b"".join([*parts, *packed.encoded(SEAL, {"seal": seal}, {})]))
    custody = json.loads((out / CUSTODY).read_bytes())
    custody["unlisted"][STATE] = digest.hexdigest()
    (out / CUSTODY).write_text(json.dumps(custody))
    assert share_state.found(out) is None
