"""Results go to stores and are read from there, and other inputs than captures come from there."""

import gzip
import re
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.audit.keeping import Keeping
from auditor.errors import AuditError, InputError, TopologyError
from auditor.options import Options
from auditor.reading import checkpoint
from auditor.report import temporary
from tests import cuts, sharing, web, wire
from tests.conftest import HANG, SAMPLES
from tests.test_stores import OFFICE, SECRET, tables


def test_results_in_a_store(s3: Any, tmp_path: Path) -> None:
    """Results are written to a prefix, the manifest last, and are read from there; nothing is left behind here."""
    s3.put_object(Bucket="captures", Key="results/of.pcapng", Body=OFFICE)
    out, local = "s3://captures/results/out/", tmp_path / "local"
    for place in (local, out):
        auditor.audit("s3://captures/results/of.pcapng", out=place).close()
    listed = s3.list_objects_v2(Bucket="captures", Prefix="results/out/")["Contents"]
    names = {one["Key"].rpartition("/")[2] for one in listed}
    assert names == {path.name for path in local.iterdir()}
    with closing(auditor.Audit.load(out, say=pytest.fail)) as there, closing(auditor.Audit.load(local)) as here:
        assert tables(there) == tables(here)
        assert ("s3://captures/results/of.pcapng", True, "unchanged") in there.verify()
        assert len(there.packets(str(there.flows["flow_id"][0]))) > 0
        folder = there.folder
        with pytest.raises(AuditError, match="not written into a store"):
            there.sign()
    with (
        closing(auditor.judge(Path(out), policy="bsi-tr-02102-2")) as anew,
        closing(auditor.judge(local, policy="bsi-tr-02102-2")) as other,
    ):
        assert tables(anew) == tables(other)
    assert not folder.exists()


def test_commands_read_results_in_a_store(s3: Any, tmp_path: Path) -> None:
    """Commands take a prefix where they take a folder, and write what is derived from it to files."""
    s3.put_object(Bucket="captures", Key="again/of.pcapng", Body=OFFICE)
    out = "s3://captures/again/out"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = web.command("pcap", "s3://captures/again/of.pcapng", "--out", out, "-q", TMPDIR=str(temporary))
    assert (done.returncode, done.stderr) == (0, "")
    for words in (["list", out], ["sql", out, "select count(*) from flows"], ["verify", out], ["who", out, "tls1.0"]):
        done = web.command(*words, TMPDIR=str(temporary))
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert web.command("report", out, "--out", str(tmp_path / "x.html"), TMPDIR=str(temporary)).returncode == 0
    done = web.command("report", out, TMPDIR=str(temporary))
    assert f"{out}/report.html: is written to a file, not into a store" in done.stderr
    assert not list(temporary.iterdir())


def test_where_results_may_go_in_a_store(s3: Any) -> None:
    """Nobody else's objects are replaced, and a web server takes none; both are said before anything is read."""
    s3.put_object(Bucket="captures", Key="others/report.doc", Body=b"mine")
    with pytest.raises(AuditError, match=r"s3://captures/others/: holds report\.doc, which no audit wrote"):
        auditor.audit(SAMPLES / "tls1.pcapng", out="s3://captures/others/")
    with pytest.raises(AuditError, match="nothing can be written to a web server"):
        auditor.audit(SAMPLES / "tls1.pcapng", out="https://example.test/out/")
    with pytest.raises(AuditError, match="holds no audit results"):
        auditor.Audit.load("s3://captures/others")


def test_other_inputs_in_stores(s3: Any) -> None:
    """Topology, policy and logs are brought from where they lie, and results call them by their URLs."""
    said: list[str] = []
    log = b"2 123456789012 eni-1 10.0.0.1 10.0.0.2 443 50000 6 1 40 1795510800 1795510860 ACCEPT OK\n"
    s3.put_object(Bucket="captures", Key="logs/a/1.log", Body=log)
    s3.put_object(Bucket="captures", Key="logs/a/2.log.gz", Body=gzip.compress(log + b"nothing of that\n"))
    policy = (
        b'id = "ours"\ntitle = "x"\nedition = "1"\nsource = "s"\nretrieved = 2026-11-24\nextends = ["aws-pinpoint"]\n'
    )
    files = {"/site.toml": (SAMPLES / "site.toml").read_bytes(), "/ours.toml": policy, "/wrong.toml": b"nothing = 1\n"}
    with web.serving(files) as site:
        given: Any = {"topology": f"{site.url}/site.toml?{SECRET}", "policy": f"{site.url}/ours.toml"}
        result = auditor.audit(SAMPLES / "office.pcapng", **given, witnesses="s3://captures/logs/", say=said.append)
        assert "s3://captures/logs/a/2.log.gz: 1 of 2 rows cannot be read and are left out" in said
        local = auditor.audit(SAMPLES / "office.pcapng", topology=SAMPLES / "site.toml")
        assert result.flows["path"].equals(local.flows["path"])
        options = result.manifest["options"]
        assert options["topology"] == f"{site.url}/site.toml"
        assert (options["policy"], options["witnesses"]) == (f"{site.url}/ours.toml", "s3://captures/logs/")
        assert result.manifest["policies"][0]["id"] == "ours"
        names = result.witnesses["witness"].tolist()
        assert names == ["s3://captures/logs/a/1.log", "s3://captures/logs/a/2.log.gz"]
        with pytest.raises(TopologyError, match=rf"^{site.url}/wrong\.toml: "):
            auditor.audit(SAMPLES / "office.pcapng", topology=f"{site.url}/wrong.toml")
    for name in ("keylog", "join_key"):
        secret: Any = {name: "s3://captures/secret"}
        with pytest.raises(InputError, match="secrets are read from files alone"):
            auditor.audit(SAMPLES / "office.pcapng", **secret)
    with pytest.raises(InputError, match=r"^s3://captures/no-site\.toml: no such object"):
        auditor.audit(SAMPLES / "office.pcapng", topology="s3://captures/no-site.toml")


def test_results_that_cannot_be_written_stay_here(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a store refuses them at the end, the work is not lost: the message says where they are."""
    from auditor.stores import client

    def refuses(url: str, file: Any) -> None:
        raise InputError(f"{url}: access is refused")

    monkeypatch.setattr(client, "put", refuses)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(AuditError, match=r"access is refused; the results are in .*/audit-kept-\w+$") as told:
        auditor.audit(SAMPLES / "tls1.pcapng", out="s3://captures/refused/")
    assert len(auditor.Audit.load(str(told.value).rpartition(" ")[2]).flows) > 0
    assert [path.name.startswith("audit-kept-") for path in tmp_path.iterdir()] == [True]


def pieces(folder: Path) -> list[Path]:
    """A capture in four files, one behind the other."""
    sample = (SAMPLES / "tls1.2.pcapng").read_bytes()
    packets = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(sample))
    folder.mkdir()
    return cuts.cut_pcapng(sample, folder, [k * 4 // packets for k in range(packets)]).paths


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def same(url: str, folder: Path) -> bool:
    """Whether results in a store have the rows of those in a folder."""
    with closing(auditor.Audit.load(url)) as there, closing(auditor.Audit.load(folder)) as here:
        return bool(tables(there) == tables(here))


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_in_a_store_are_gone_on_with(s3: Any, by_time: None, tmp_path: Path, place: Path, jobs: int) -> None:
    """What was read for results in a store is not read again: only a file that was added is, and then none."""
    del s3, by_time
    files, url = pieces(tmp_path / "in"), f"s3://captures/on/{jobs}"
    auditor.audit(files, out=tmp_path / "whole").close()

    def audited(paths: list[Path]) -> list[str]:
        said: list[str] = []
        sharing.audit_here(paths, Options(jobs=jobs, out=url, say=said.append), apart=True).close()
        assert not list(place.iterdir())
        return said

    assert audited(files[:3]) == []
    for known in (3, 4):
        sharing.hide(files[:known])
        assert audited(files) == [f"{known} of 4 captures were read before; --fresh reads them again"]
        assert same(url, tmp_path / "whole")


def test_interrupted_on_the_way_to_a_store(
    s3: Any, by_time: None, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read when an audit was interrupted whose results go to a store is not read again, and goes at its end."""
    del s3, by_time
    files, url = pieces(tmp_path / "in"), "s3://captures/interrupted"
    auditor.audit(files, out=tmp_path / "whole").close()
    for name in ("SHORTEST", "TIMES"):
        monkeypatch.setattr(checkpoint, name, 0)
    monkeypatch.setattr(checkpoint, "INSIDE", HANG)
    reach = Keeping._checkpoint

    def reached(keeping: Keeping, *arguments: Any) -> None:
        reach(keeping, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Keeping, "_checkpoint", reached)
        with pytest.raises(KeyboardInterrupt):
            auditor.audit(files, out=url)
    (left,) = place.iterdir()
    assert temporary.left(url) == [left]
    assert temporary.left("s3://captures/other") == []
    sharing.hide(files[:1])
    said: list[str] = []
    auditor.audit(files, out=url, say=said.append).close()
    assert re.fullmatch(r"[123] of 4 captures (was|were) read before; --fresh reads them again", said[0])
    assert same(url, tmp_path / "whole")
    assert not list(place.iterdir())
