"""Captures in stores and on web servers are audited as files are, and nothing secret of their addresses is kept."""

import gzip
import http.server
import io
import json
import os
import tarfile
import threading
import zipfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.border.urls import public, url_of
from auditor.errors import InputError
from auditor.stores import client, listing, systems
from tests import cuts, web, wire
from tests.conftest import SAMPLES

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


def test_objects_that_were_read_before(tmp_path: Path) -> None:
    """One more object is the only one that is read; all are where the version of one is another, or not known."""
    (tmp_path / "in").mkdir()
    count = len(cuts.records_of(LARGE))
    first, second = (
        path.read_bytes()
        for path in cuts.cut_pcap(LARGE, tmp_path / "in", [k * 2 // count for k in range(count)]).paths
    )
    for has_tags in (True, False):
        files, said = {"/1.pcap": first, "/2.pcap": second}, list[str]()
        with web.serving(files, has_tags=has_tags) as site:
            urls, out = [f"{site.url}/{number}.pcap" for number in (1, 2)], tmp_path / f"out-{has_tags}"
            auditor.audit(urls[:1], out=out).close()
            auditor.audit(urls, out=out, say=said.append).close()
            with (
                closing(auditor.audit(urls, out=tmp_path / f"whole-{has_tags}")) as whole,
                closing(auditor.load(out)) as both,
            ):
                assert tables(both) == tables(whole)
        assert (said[:1] == ["1 of 2 captures was read before; --fresh reads them again"]) == has_tags


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
        done = web.command("pcap", *addresses, "--out", str(out), "--keep-going")
        assert all(SECRET in path for path, _ in site.asked)
    assert done.returncode == 0, done.stderr
    assert f"{site.url}/nothing.pcap: no such object" in done.stderr
    written = b"".join(path.read_bytes() for path in out.iterdir())
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


def test_one_address_that_fails_is_told_at_the_end(office: dict[str, Any]) -> None:
    """What a store does not give is an error of the result, and the others are audited."""
    with web.serving({"/office.pcapng": OFFICE, "/busy.pcap": OFFICE}, refuse={0: 403}) as site:
        names = [f"{site.url}/{name}" for name in ("busy.pcap", "office.pcapng", "nothing.pcap")]
        result = auditor.audit(names)
    assert tables(result)["flows"] == office["flows"]
    assert len(result.errors) == 2
    assert any(error.startswith(f"{site.url}/busy.pcap: access is refused") for error in result.errors)
    assert f"{site.url}/nothing.pcap: no such object" in result.errors


def test_addresses_that_differ_in_their_queries() -> None:
    """They are two captures with names of their own; the same address twice is one."""
    with web.serving({"/get": OFFICE}) as site:
        result = auditor.audit([f"{site.url}/get?{SECRET}", f"{site.url}/get?id=2", f"{site.url}/get?id=2"])
    assert sorted(result.captures["capture"]) == [f"{site.url}/get", f"{site.url}/get (2)"]


def test_a_whole_bucket(s3: Any, office: dict[str, Any]) -> None:
    """A bucket without a key is all that is in it; a scheme may be written in capitals."""
    s3.create_bucket(Bucket="whole")
    s3.put_object(Bucket="whole", Key="deep/er/office.pcapng", Body=OFFICE)
    assert audited("s3://whole") == office
    assert audited("S3://whole/deep/**/*.pcapng") == office
    assert audited("s3a://whole/deep/") == office


def test_kinds_of_stores_that_are_not_known() -> None:
    """What is no store that is known, or names nothing in one, is one sentence."""
    for url, words in {
        "ftp://host/x": "not a kind of store",
        "s3://": "names no bucket",
        "https:///x": "names no bucket",
    }.items():
        with pytest.raises(InputError, match=words):
            auditor.audit(url)


def test_the_child_is_of_the_settings_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another profile has another child; giving up rights, which changes the home, has none, since it would have no network."""
    from auditor.stores.client import StoreChild

    first = StoreChild.one()
    monkeypatch.setenv("HOME", "/nowhere")
    assert StoreChild.one() is first
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert StoreChild.one() is not first


def test_more_objects_than_one_message_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the names of objects are together, the beginnings of all of them come, in order."""
    monkeypatch.setattr(client, "MOST_ASKED", 40)
    files = {f"/{name}.pcap": name.encode() * 9 for name in "abcde"}
    with web.serving(files) as site:
        objects = [one for name in files for one in client.find(f"{site.url}{name}").objects]
        assert list(client.beginnings(objects, 4)) == [name.encode() * 4 for name in "abcde"]
        found = list(client.ends(objects, 2, 3))
    assert found == [(name.encode() * 2, name.encode() * 3) for name in "abcde"]


def test_beginnings_where_the_child_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers any more each object has nothing to begin with: why, is said when it is read."""
    monkeypatch.setattr(client, "_data", _gone)
    objects = [client.Remote(f"http://127.0.0.1:1/{k}", {"size": 9}) for k in range(3)]
    assert list(client.beginnings(objects, 4)) == [b""] * 3
    assert list(client.ends(objects, 2, 3)) == [(b"", b"")] * 3


def _gone(*_: object) -> bytes:
    raise InputError(client.ENDED)


@pytest.mark.parametrize("charset", ["utf-8", "no-such-encoding"])
def test_a_listing_without_an_end(monkeypatch: pytest.MonkeyPatch, charset: str) -> None:
    """Of a listing no more is read than it may have, and the sentence says so; one that fits is read as it is encoded."""
    answers = {"/some/": b'<a href="a.pcap">\xff</a>', "/more/": b"<a>" * 1000}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"text/html; charset={charset}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answers[self.path])

        do_HEAD = do_GET  # noqa: N815 - the name that is looked for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setattr(listing, "MOST_BYTES", 1000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        system, path = systems.located(f"{url}/some/")
        assert system.ls(path, detail=False) == [f"{url}/some/a.pcap"]
        with pytest.raises(ValueError, match="a listing of more than"):
            system.ls(f"{url}/more/", detail=False)
        server.shutdown()


def test_an_object_with_a_longer_name_than_files_have(office: dict[str, Any], tmp_path: Path) -> None:
    """An object whose name no file could have is audited, kept, verified and judged anew as any other."""
    name = f"/{'a' * 5000}.pcapng"
    with web.serving({name: OFFICE}) as site:
        result = auditor.audit(f"{site.url}{name}", out=tmp_path / "out")
        assert tables(result)["flows"] == office["flows"]
        assert all(same is not False for _, same, _ in result.verify())
    assert auditor.judge(tmp_path / "out", policy="pci-dss-4.0.1").errors == []
