"""Where the folder of temporary files is full, one sentence says so, and nothing is taken for damage of the evidence."""

import io
import signal
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report import temporary
from auditor.requests import decrypt, opener
from tests import wire
from tests.test_exit_codes import run, sentence
from tests.test_outputs import made, work

__all__ = ["made", "work"]


def small() -> None:
    """No file of this process becomes larger than some packets."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_an_archive_that_is_unpacked(tmp_path: Path) -> None:
    """A packed archive is not called damaged where there is no room to unpack it."""
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info, data = tarfile.TarInfo("a.pcap"), wire.pcap(wire.Talk(sport=1001).open().packets)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    done = run("pcap", path, preexec_fn=small)
    sentence(done, "temporary files cannot be written: File too large; TMPDIR names their folder")


def test_a_workbook(work: Path) -> None:
    """What a workbook is made of leaves no traces of its library where it cannot be completed."""
    done = run("export", "results", "--format", "xlsx", "-o", "a.xlsx", preexec_fn=small)
    sentence(done, "temporary files cannot be written")
    assert "Exception ignored" not in done.stderr


def test_packets_that_are_to_be_dissected(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit goes on without what is inside TLS, and says why."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decrypt, "write", full)
    result = auditor.audit(samples / "requests.pcapng")
    assert len(result.flows) > 0
    assert "temporary files cannot be written: No space left on device" in " ".join(result.manifest["notes"])


def test_what_was_not_written_is_let_go() -> None:
    """A file that is full is closed as any other."""
    one = opener.PrivateFile()
    one.file.close()
    one.file = Path("/dev/full").open("r+b")  # noqa: SIM115 - it is closed below
    one.file.write(b"x")
    one.close()
    assert one.file.closed


@pytest.mark.parametrize("owner", ["²", "9" * 30, "9" * 19, "0", "-1", "x"])
def test_names_that_others_give_to_temporary_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    """Whatever somebody calls a folder where everybody has temporary files: results find their place beside it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"{temporary.TEMPORARY}{owner}-x").mkdir()
    assert temporary.new().is_dir()
