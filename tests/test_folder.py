"""Where results go, and what happens to those that killed audits left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.report import folder
from auditor.report import temporary as temporary_folders


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def orphan(temporary: Path) -> Path:
    """Results of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = temporary / f"audit-results-{ended.pid}-x"
    left.mkdir()
    (left / "flows.parquet").write_bytes(b"")
    return left


def test_the_folder_asked_for_is_no_temporary_one(temporary: Path) -> None:
    """A folder that was asked for is taken as it is; without one there is a new folder of this process."""
    assert folder.results_folder(temporary / "out") == (temporary / "out", False)
    created, is_temporary = folder.results_folder(None)
    assert is_temporary
    assert created.parent == temporary
    assert created.name.startswith(f"audit-results-{os.getpid()}-")


def test_results_of_killed_audits_are_removed(temporary: Path) -> None:
    """What a process left that is no more goes; what one has that runs, and what is not ours, stays."""
    left = orphan(temporary)
    kept = [temporary / name for name in (f"audit-results-{os.getpid()}-y", "audit-results-of-monday", "other-1-x")]
    for path in kept:
        path.mkdir()
    folder.results_folder(None)
    assert not left.exists()
    assert all(path.is_dir() for path in kept)


def test_results_on_their_way_into_a_store_are_left(temporary: Path) -> None:
    """What a killed audit has left of results for a store stays for a week, for the next one with the same results."""
    url = "s3://captures/results/"
    name = folder.results_folder(url)[0].name.split("-")
    left = orphan(temporary)
    name[2] = left.name.split("-")[2]
    left = left.rename(temporary / "-".join([*name[:5], "left"]))
    assert left in temporary_folders.left(url.rstrip("/"))
    folder.results_folder(None)
    assert left.is_dir()
    os.utime(left, (0, 0))
    folder.results_folder(None)
    assert not left.exists()


def test_two_audits_may_remove_the_same_results(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that another audit removes at the same moment are no error."""
    left = orphan(temporary)

    def removed_meanwhile(process: int) -> bool:
        (left / "flows.parquet").unlink()
        left.rmdir()
        return False

    monkeypatch.setattr(temporary_folders, "_is_running", removed_meanwhile)
    assert folder.results_folder(None)[1]
