"""Evidence out of archives: packets of a finding, and whether a capture inside is the one that was audited."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

import auditor
from auditor.report import drill
from auditor.report.results import Results
from auditor.report.verify import verify
from tests import wire

FILES = {f"day/{port}.pcap": wire.pcap(wire.Talk(sport=port).open().packets) for port in (1001, 1002)}
OTHER = {name: data[:-1] + b"\1" for name, data in FILES.items()}


def written(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=["a.zip", "a.tar", "a.tgz"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path / request.param, FILES)


def audited(archive: Path) -> Results:
    """Its results, without a working directory that the capture's name leads on from."""
    auditor.audit(archive, out=archive.parent / "results")
    return auditor.Audit.load(archive.parent / "results")


def test_packets_out_of_an_archive(archive: Path) -> None:
    """Each flow leads back to its packets, and every capture inside is what it was."""
    result = audited(archive)
    for flow in result.flows.to_dict("records"):
        found = list(drill.frames(result, [flow["flow_id"]]))
        assert len(found) == flow["client_packets"] + flow["server_packets"] == 3
        assert {frame.capture for frame in found} == {f"{archive}/day/{flow['client_port']}.pcap"}
    assert all(same for _, same, _ in verify(result))


@pytest.mark.parametrize("given", ["file", "folder"])
def test_an_archive_that_was_moved(archive: Path, given: str) -> None:
    """It is found where --capture says, by the digest of what is inside."""
    result = audited(archive)
    there = archive.parent / "elsewhere"
    there.mkdir()
    moved = archive.rename(there / f"b{archive.suffix}")
    flow = result.flows["flow_id"].iloc[0]
    with pytest.raises(auditor.AuditError, match="not there any more"):
        list(drill.frames(result, [flow]))
    result.moved = [moved if given == "file" else there]
    assert len(list(drill.frames(result, [flow]))) == 3
    assert all(same for _, same, _ in verify(result))


def test_an_archive_that_was_changed(archive: Path) -> None:
    """Other contents of the same name are not what was audited, and no packets of them are shown."""
    result = audited(archive)
    written(archive, OTHER)
    with pytest.raises(auditor.AuditError, match="SHA-256"):
        list(drill.frames(result, [result.flows["flow_id"].iloc[0]]))
    assert sum(same is False for _, same, _ in verify(result)) == len(FILES)
