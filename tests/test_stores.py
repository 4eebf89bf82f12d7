"""Captures in stores and on web servers are audited as files are, and nothing secret of their addresses is kept."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.border.urls import public, url_of
from auditor.errors import AuditError, InputError, TopologyError
from tests import cuts, web, wire
from tests.conftest import HANG, ROOT, SAMPLES

OFFICE = (SAMPLES / "office.pcapng").read_bytes()
SECRET = "X-Amz-Signature=0123456789abcdef"


def large(count: int = 4000) -> bytes:
    """A capture of several ranges: one connection with much to say."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello()))])
    return wire.pcap([*talk.packets, *(wire.datagram(os.urandom(1000), 4000 + k % 9, 9) for k in range(count))])


LARGE = large()


def tables(result: Any) -> dict[str, Any]:
    """What is said of packets, whatever the captures are called."""
    return cuts.said(result)


def audited(what: Any, **options: Any) -> dict[str, Any]:
    """What an audit says of something."""
    with closing(auditor.audit(what, **options)) as result:
        assert not result.errors
        return tables(result)


@pytest.fixture(scope="module")
def office() -> dict[str, Any]:
    """What is said of the sample as a file."""
    return audited(SAMPLES / "office.pcapng")


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a store that plays S3, whose address the environment has."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    import boto3

    with pytest.MonkeyPatch.context() as patch, web.s3_server() as url:
        for name, value in {**web.S3_SETTINGS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        client = boto3.client("s3")
        client.create_bucket(Bucket="captures")
        yield client


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
@pytest.mark.parametrize("tags", [True, False], ids=["tags", "no-tags"])
def test_files_of_a_web_server(office: dict[str, Any], *, ranges: bool, tags: bool) -> None:
    """A server's file is read as a file is, packed too, whether the server knows ranges and versions or neither."""
    files = {"/office.pcapng": OFFICE, "/packed": gzip.compress(OFFICE), "/large.pcap": LARGE}
    with web.serving(files, has_ranges=ranges, has_tags=tags) as site:
        assert audited(f"{site.url}/office.pcapng") == office
        assert audited(f"{site.url}/packed") == office
        with closing(auditor.audit(f"{site.url}/large.pcap")) as result:
            (row,) = result.captures.to_dict("records")
    assert (row["packets"], row["bytes"], row["status"]) == (4004, len(LARGE), "complete")


def test_ranges_are_read_ahead_and_each_once() -> None:
    """A large file is read by growing ranges, none of its bytes twice but those by which it is told."""
    with web.serving({"/large.pcap": LARGE}) as site:
        with closing(auditor.audit(f"{site.url}/large.pcap")) as result:
            assert result.captures["sha256"][0] == __import__("hashlib").sha256(LARGE).hexdigest()
        asked = [tuple(map(int, (wanted or "").removeprefix("bytes=").split("-"))) for _, wanted in site.asked]
    ranges = sorted(one for one in asked if one[1] - one[0] > 1)[1:]  # the first is what it is told by
    assert len(ranges) > 3
    assert all(one[1] + 1 == other[0] for one, other in pairwise(ranges))


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
def test_cut_connections_are_tried_again(*, ranges: bool) -> None:
    """Where a connection is cut in the middle, or a server is busy, what is missing is asked for again."""
    with web.serving({"/large.pcap": LARGE}, has_ranges=ranges, cut={1: 100_000, 2: 5}, refuse={3: 503}) as site:
        result = auditor.audit(f"{site.url}/large.pcap")
    assert not result.errors
    assert result.captures["packets"][0] == 4004


def test_a_file_that_is_replaced_while_it_is_read() -> None:
    """What was read of the file before is reported, and that it changed is told."""
    other = large(3000)
    with web.serving({"/large.pcap": LARGE}, replace={3: ("/large.pcap", other)}) as site:
        result = auditor.audit(f"{site.url}/large.pcap")
    (row,) = result.captures.to_dict("records")
    assert 0 < row["packets"] < 4004
    assert f"was written to while it was read: the results cover its first {row['bytes']} bytes" in row["warnings"]


def test_secrets_of_an_address_are_kept_nowhere(tmp_path: Path) -> None:
    """The query of a presigned URL is sent to its server, and is in no result, message or name."""
    out = tmp_path / "out"
    with web.serving({"/office.pcapng": OFFICE}) as site:
        addresses = [f"{site.url}/office.pcapng?{SECRET}", f"{site.url}/nothing.pcap?{SECRET}"]
        command = [sys.executable, "-m", "auditor", "pcap", *addresses, "--out", str(out), "--keep-going"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=HANG, check=False)
        assert any(SECRET in path for path, _ in site.asked)
    assert done.returncode == 2
    assert f"{site.url}/nothing.pcap: no such object" in done.stderr
    done = subprocess.run(
        [*command[:4], *command[5:]], capture_output=True, text=True, cwd=ROOT, timeout=HANG, check=False
    )
    written = b"".join(path.read_bytes() for path in out.iterdir()) if out.exists() else b""
    assert "0123456789abcdef" not in done.stdout + done.stderr
    assert b"0123456789abcdef" not in written


def test_what_a_server_refuses(tmp_path: Path) -> None:
    """A server that refuses, has nothing, or is not there is one sentence that names the address without its query."""
    with web.serving({"/x.pcap": OFFICE}, refuse={0: 403, 1: 404, 2: 401}) as site:
        for words in ("access is refused", "no such object", "access is refused"):
            with pytest.raises(InputError, match=rf"^{site.url}/x\.pcap: {words}"):
                auditor.audit(f"{site.url}/x.pcap?{SECRET}")
    with pytest.raises(InputError, match="cannot be reached"):
        auditor.audit(f"http://127.0.0.1:{web.free_port()}/x.pcap")
    with pytest.raises(InputError, match="does not belong into a URL") as told:
        auditor.audit("https://me:hunter2@example.test/x.pcap")
    assert "hunter2" not in str(told.value)


def test_what_a_scheme_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library of a store is not installed, one sentence names the extra that brings it."""
    from auditor.stores import systems

    def without(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(systems, "import_module", without)
    for url, extra in {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "https": "http"}.items():
        with pytest.raises(systems.MissingError, match=rf"{url}:// needs the Python package \w+: .*{extra}"):
            systems.located(f"{url}://somewhere/x.pcap")


def test_addresses_and_their_secrets() -> None:
    """What is shown of a URL has no query, password or key in it; one that has been a path is known again."""
    assert public(f"https://host/a.pcap?{SECRET}#x=1") == "https://host/a.pcap"
    assert public("https://me:word@host/a") == "https://host/a"
    assert public("s3://AKIA:word@bucket/a?versionId=1") == "s3://bucket/a"
    assert public("s3://bucket/what?.pcap") == "s3://bucket/what?.pcap"
    assert (
        public("abfs://container@account.dfs.core.windows.net/x?sig=abc&sv=1")
        == "abfs://container@account.dfs.core.windows.net/x"
    )
    assert url_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert url_of("s3:/bucket") is None
    assert url_of("captures/s3://x") is None


def archives() -> dict[str, bytes]:
    """The sample in archives of each kind."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/office.pcapng", OFFICE)
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        info = tarfile.TarInfo("in/office.pcapng")
        info.size = len(OFFICE)
        tar.addfile(info, io.BytesIO(OFFICE))
    return {"/a.zip": zipped.getvalue(), "/a.tar": tarred.getvalue(), "/a.tar.gz": gzip.compress(tarred.getvalue())}


def test_archives_on_a_web_server(office: dict[str, Any]) -> None:
    """Captures in archives are found and read like those in archives that are files."""
    with web.serving(archives()) as site:
        for name in site.files:
            with closing(auditor.audit(f"{site.url}{name}")) as result:
                assert result.captures["capture"][0] == f"{site.url}{name}/in/office.pcapng"
                assert tables(result) == office


def test_a_folder_of_a_store(s3: Any, office: dict[str, Any], tmp_path: Path) -> None:
    """A prefix is read like a folder: what lies below it, told by its bytes, with a word on what is passed over."""
    said: list[str] = []
    count = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(OFFICE))
    pieces = cuts.cut_pcapng(OFFICE, tmp_path, [k % 5 for k in range(count)])
    for number, path in enumerate(pieces.paths):
        data = gzip.compress(path.read_bytes()) if number % 2 else path.read_bytes()
        s3.put_object(Bucket="captures", Key=f"day/part/{number:x}-no-name", Body=data)
    s3.put_object(Bucket="captures", Key="day/readme.txt", Body=b"words")
    s3.put_object(Bucket="captures", Key="day/", Body=b"")
    for url in ("s3://captures/day/", "s3://captures/day", "s3://captures/day/part/*"):
        with closing(auditor.audit(url, say=said.append)) as result:
            assert len(result.captures) == 5
            assert [row["server_name"] for row in tables(result)["flows"]] == [
                row["server_name"] for row in office["flows"]
            ]
    assert "s3://captures/day/: passed over 1 file that is no capture: readme.txt (plain text)" in said


def test_a_store_that_has_nothing(s3: Any) -> None:
    """A bucket, an object, a prefix or a pattern without anything is one sentence."""
    s3.put_object(Bucket="captures", Key="only/words.txt", Body=b"words")
    for url, words in {
        "s3://captures/nothing.pcap": "no such object",
        "s3://captures/nothing/": "nothing is below that prefix",
        "s3://captures/*.nothing": "no object has a name like that",
        "s3://no-such-bucket-here/x.pcap": "no such",
        "s3://captures/only/": "passed over 1 file that is no capture",
    }.items():
        with pytest.raises(InputError, match=words):
            auditor.audit(url)


def test_a_thousand_objects(s3: Any) -> None:
    """More objects than one page of a listing has are all read, and are one capture."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    count = 1100
    for number in range(count):
        packets = talk.packets if number == 500 else [wire.datagram(b"x", 5000, 9)]
        stamped = [((1_700_000_000 + number) * wire.SECOND + k, packet) for k, packet in enumerate(packets)]
        s3.put_object(Bucket="captures", Key=f"many/{number}.pcap", Body=wire.pcap(stamped))
    with closing(auditor.audit("s3://captures/many/")) as result:
        assert len(result.captures) == count
        assert result.captures["packets"].sum() == count - 1 + len(talk.packets)


def test_the_version_that_was_read_is_read_again(s3: Any) -> None:
    """Where a bucket keeps versions, an object that is replaced meanwhile is read to its end, and the change is told."""
    from auditor.stores.client import Remote

    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="versions", Key="x.pcap", Body=LARGE)
    with Remote("s3://versions/x.pcap").open() as stream:
        first = stream.read(1000)
        s3.put_object(Bucket="versions", Key="x.pcap", Body=b"other")
        assert first + stream.read() == LARGE
        assert stream.changed
        version = stream.version
    with Remote("s3://versions/x.pcap", version).open() as again:
        assert again.read() == LARGE
    with Remote(f"s3://versions/x.pcap?versionId={version['number']}").open() as asked:
        assert asked.read() == LARGE


def test_an_object_that_is_replaced_without_versions(s3: Any) -> None:
    """Where none are kept, what was read before counts, and no byte of the other object comes behind it."""
    from auditor.stores.client import Remote

    data = LARGE * 12
    s3.put_object(Bucket="captures", Key="x.pcap", Body=data)
    with Remote("s3://captures/x.pcap").open() as stream:
        first = stream.read(1000)
        s3.put_object(Bucket="captures", Key="x.pcap", Body=bytes(len(data)))
        read = first + stream.read()
    assert stream.changed
    assert data.startswith(read)
    assert len(read) < len(data)


def test_credentials_are_in_no_result(s3: Any, tmp_path: Path) -> None:
    """Keys come from the environment alone, and stand nowhere afterwards."""
    s3.put_object(Bucket="captures", Key="one.pcapng", Body=OFFICE)
    with closing(auditor.audit("s3://captures/one.pcapng", out=tmp_path / "out")) as result:
        assert (
            json.loads((tmp_path / "out" / "audit.json").read_text())["inputs"][0]["name"] == "s3://captures/one.pcapng"
        )
        assert len(result.captures) == 1
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert not any(value.encode() in written for name, value in web.S3_SETTINGS.items() if "KEY" in name)


def command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What a command of a process of its own says; ``more`` is added to its environment."""
    return subprocess.run(
        [sys.executable, "-m", "auditor", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **more},
        timeout=HANG,
        check=False,
    )


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
    assert not folder.exists()


def test_commands_read_results_in_a_store(s3: Any, tmp_path: Path) -> None:
    """Commands take a prefix where they take a folder, and write what is derived from it to files."""
    s3.put_object(Bucket="captures", Key="again/of.pcapng", Body=OFFICE)
    out = "s3://captures/again/out"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = command("pcap", "s3://captures/again/of.pcapng", "--out", out, "-q", TMPDIR=str(temporary))
    assert (done.returncode, done.stderr) == (0, "")
    for words in (["list", out], ["sql", out, "select count(*) from flows"], ["verify", out], ["who", out, "tls1.0"]):
        done = command(*words, TMPDIR=str(temporary))
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert command("report", out, "--out", str(tmp_path / "x.html"), TMPDIR=str(temporary)).returncode == 0
    done = command("report", out, TMPDIR=str(temporary))
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
        assert (options["policy"], options["witnesses"]) == (f"{site.url}/ours.toml", "s3://captures/logs")
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
