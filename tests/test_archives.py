"""A ZIP or tar archive of captures is read as a folder of them is; what is no capture says what it is."""

import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

import auditor
from auditor.capture import archives
from tests import wire

Run = Callable[..., Any]
FILES = {
    "day/one.pcap": wire.pcap(wire.Talk(sport=1001).open().packets),
    "two.dat": gzip.compress(wire.pcap(wire.Talk(sport=1002).open().packets)),
    "../../three.pcap": wire.pcap(wire.Talk(sport=1003).open().packets),
    "README": b"captures of a day",
    "empty": b"",
}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        archive.writestr("folder/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.TarFile(fileobj=data, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.pcap")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        zipped(FILES),
        zipped(FILES, zipfile.ZIP_STORED),
        zipped(FILES, zipfile.ZIP_LZMA),
        tarred(FILES),
        tarred(FILES, tarfile.GNU_FORMAT),
        gzip.compress(tarred(FILES)),
        lzma.compress(tarred(FILES)),
        zstandard.compress(tarred(FILES)),
    ],
)
def test_captures_in_archives(tmp_path: Path, data: bytes) -> None:
    """Every capture in it is read, packed or not and whatever it is called, and nothing is named outside of the archive."""
    path = wire.write(tmp_path, data, "evidence.bin")
    result = auditor.audit(path, out=tmp_path / "out")
    assert sorted(result.flows["client_port"]) == [1001, 1002, 1003]
    assert sorted(result.captures["capture"]) == [f"{path}/day/one.pcap", f"{path}/three.pcap", f"{path}/two.dat"]
    assert result.errors == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evidence.bin", "out"]


def test_what_macos_keeps_beside_a_file(tmp_path: Path) -> None:
    """Neither in a folder nor in an archive is it taken for the capture whose name it has."""
    beside = b"\0\5\x16\7\0\2\0\0Mac OS X        "
    wire.write(tmp_path, zipped({"good.pcap": FILES["day/one.pcap"], "__MACOSX/._good.pcap": beside}), "a.zip")
    wire.write(tmp_path, beside, "._b.pcap")
    result = auditor.audit(tmp_path)
    assert result.errors == []
    assert list(result.captures["capture"]) == [f"{tmp_path}/a.zip/good.pcap"]


def test_an_archive_among_captures(tmp_path: Path) -> None:
    """A damaged member, one that is encrypted, and an archive without captures are told; the rest is read."""
    whole = FILES["day/one.pcap"]
    wire.write(tmp_path, zipped({"cut.pcap": whole[:-3], "nonsense.pcap": b"nonsense", "good.pcap": whole}), "a.zip")
    wire.write(tmp_path, zipped({"notes": b"nothing"}), "b.zip")
    locked = bytearray(zipped({"locked.pcap": whole}))
    for magic, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.rindex(magic) + at] |= 1
    wire.write(tmp_path, bytes(locked), "c.zip")
    wire.write(tmp_path, tarred(FILES)[:900], "d.tar")
    wire.write(tmp_path, zipped(FILES)[:-40], "e.zip")
    result = auditor.audit([tmp_path / f"{name}" for name in ("a.zip", "b.zip", "c.zip", "d.tar", "e.zip")])
    status = dict(zip(result.captures["capture"], result.captures["status"], strict=True))
    assert status[f"{tmp_path}/a.zip/cut.pcap"] == "truncated"
    assert status[f"{tmp_path}/a.zip/good.pcap"] == "complete"
    errors = "\n".join(result.errors)
    for words in (
        "a.zip/nonsense.pcap: not a pcap",
        "b.zip: the ZIP archive holds no capture",
        "c.zip/locked.pcap: is encrypted",
        "e.zip: an archive that cannot be read",
    ):
        assert words in errors


@pytest.mark.parametrize(
    "outer",
    [
        lambda inner: zipped({"in/a.bin": inner}),
        lambda inner: tarred({"in/a.bin": inner}),
        lambda inner: gzip.compress(tarred({"in/a.bin": gzip.compress(inner)})),
        lambda inner: lzma.compress(zipped({"in/a.bin": zstandard.compress(inner)}, zipfile.ZIP_STORED)),
    ],
)
@pytest.mark.parametrize(
    "inner", [zipped(FILES), tarred(FILES), gzip.compress(tarred(FILES)), gzip.compress(zipped(FILES))]
)
def test_archives_in_archives(tmp_path: Path, outer: Any, inner: bytes) -> None:
    """Captures in an archive within another, either packed or not, are read; their evidence is found again."""
    path = wire.write(tmp_path, outer(inner), "a.bin")
    result = auditor.audit(path, out=tmp_path / "out")
    assert sorted(result.flows["client_port"]) == [1001, 1002, 1003]
    names = [f"{path}/in/a.bin/{name}" for name in ("day/one.pcap", "three.pcap", "two.dat")]
    assert sorted(result.captures["capture"]) == names
    assert len(result.packets(result.flows["flow_id"].iloc[0])) == 3


def test_archives_too_deep(tmp_path: Path) -> None:
    """To a depth archives are read, and what lies deeper is told beside the rest; so is a damaged one."""
    data, good = zipped({"deep.pcap": FILES["day/one.pcap"]}), FILES["day/one.pcap"]
    for number in range(5):
        data = zipped({f"{number}.zip": data, f"{number}.pcap": good, "bad.zip": zipped(FILES)[:-30]})
    result = auditor.audit(wire.write(tmp_path, data, "a.zip"))
    assert len(result.captures) == 4
    errors = "\n".join(result.errors)
    assert "a.zip/4.zip/3.zip/2.zip/1.zip: lies in 4 archives; unpack it first" in errors
    assert errors.count("bad.zip: an archive that cannot be read") == 3
    assert errors.count("bad.zip: lies in 4 archives") == 1


def test_archives_of_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of files and bytes hold for an archive with all in it, and are told."""
    inner = zipped({f"{number}.pcap": FILES["day/one.pcap"] for number in range(10)})
    path = wire.write(tmp_path, zipped({f"{number}.zip": inner for number in range(10)}), "a.zip")
    assert len(auditor.audit(path).captures) == 100
    whole = archives.UnpackLimit
    monkeypatch.setattr(archives, "UnpackLimit", partial(whole, files=50))
    result = auditor.audit(path)
    assert len(result.captures) < 50
    assert "only 10000 of the files in it are read" in str(result.errors)
    monkeypatch.setattr(archives, "UnpackLimit", partial(whole, bytes=5 * len(inner)))
    result = auditor.audit(path)
    assert len(result.captures) == 50
    assert "more than 8 GiB when unpacked" in str(result.errors)


def test_an_archive_is_never_written_to(tmp_path: Path) -> None:
    """The results may not take the archive's place."""
    path = wire.write(tmp_path, zipped(FILES), "out")
    with pytest.raises(auditor.AuditError):
        auditor.audit(path, out=path)


LOOKS: dict[str, tuple[bytes, str]] = {
    "event trace": (b"\0\0\1\0\0\x10\0\0\0\x10\0\0" + bytes(84) + b"\x0a\0\1\5C\0:\0" + bytes(400), "etl2pcap"),
    "event trace of an older system": (b"\0\x40\0\0\x48\2\0\0\x48\2\0\0" + bytes(96) + b"\6\1\1\5" + bytes(400), "etl2pcap"),
    "FortiGate": (b"interfaces=[any]\nfilters=[port 443]\n0.000000 port1 out 10.0.0.1.5 -> 10.0.0.2.443: syn 1\n", "text2pcap"),
    "FortiGate without its head": (b"2.1 port1 out 10.0.0.1.5 -> 10.0.0.2.443: syn 1\n0x0000   0200 0000 0002 0200\n", "text2pcap"),
    "tcpdump": (b"16:00:00.000000 IP 10.0.0.1.5 > 10.0.0.2.443: Flags [S], seq 1\n", "tcpdump -w"),
    "tcpdump on any": (b"16:00:00.000000 eth0  In  IP 10.0.0.1.5 > 10.0.0.2.443: Flags [S], seq 1\n", "tcpdump -w"),
    "tcpdump with dates": (b"2025-11-24 16:00:00.000000 IP6 ::1.5 > ::2.443: Flags [S]\n", "tcpdump -w"),
    "tcpdump -x": (b"16:00:00.0 IP 10.0.0.1.5 > 10.0.0.2.443: Flags [S]\n\t0x0000:  4500 003c 1c46 4000\n", "text2pcap"),
    "Wireshark's hex": (b"0000  02 00 00 00 00 02 02 00\n", "text2pcap"),
    "xxd": (b"00000000: d4c3 b2a1 0200 0400 0000 0000 0000 0000  ....\n", "xxd -r"),
    "xxd by bytes": (b"00000000: d4 c3 b2 a1 02 00 04 00 00 00 00 00  ....\n", "xxd -r"),
    "xxd -p": (b"d4c3b2a1020004000000000000000000000004000100000065000000\n", "xxd -r -p"),
    "hexdump -C": (b"00000000  0a 0d 0d 0a 1c 00 00 00  4d 3c 2b 1a 01 00 00 00  |........|\n", "xxd -r"),
    "hexdump": (b"0000000 c3d4 a1b2 0002 0004 0000 0000 0000 0000\n", "in words of two bytes"),
    "tshark -V": (b"Frame 1: 58 bytes on wire (464 bits), 58 bytes captured (464 bits)\n    Section number: 1\n", "tshark -w"),
    "tshark with dates": ("    1 2025-11-24 16:00:00.0 10.0.0.1 → 10.0.0.2 TCP 58 1 → 2 [SYN]\n".encode(), "tshark -w"),
    "tcpdump -e": (b"16:00:00.0 02:00 > 02:01, ethertype IPv4 (0x0800), length 58: 10.0.0.1.5 > 10.0.0.2.443\n", "tcpdump -w"),
    "pktmon": (b"16:00:00.0 PktGroupId 1, PktNumber 1, Appearance 1, Direction Tx, Type Ethernet\n", "etl2pcap"),
    "netsh": (b"[0]0000.0000::2025/11/24-16:00:00.0 [Microsoft-Windows-NDIS-PacketCapture]\n", "etl2pcap"),
    "fw monitor": (b"[vs_0][fw_0] eth0:i[60]: 10.0.0.1 -> 10.0.0.2 (TCP) len=60 id=7238\n", "fw monitor -o"),
    "annex": (b"/annex/objects/SHA256E-s12--00.pcap\n", "git annex get"),
    "Wireshark's CSV": (b'"No.","Time","Source","Destination","Protocol","Length","Info"\n', "save the capture"),
    "HAR": (b'{"log": {"version": "1.2", "creator": {}}}', "an HTTP archive"),
    "PowerShell": (b"\xff\xfe" + "\u00d4\u00c3\u00b2\u00a1\2\0\4\0".encode("utf-16-le") + bytes(80), "PowerShell"),
    "PowerShell, code page 850": (b"\xff\xfe" + "\u00c8\u251c\u2593\u00ed\2".encode("utf-16-le") + bytes(80), "PowerShell"),
    "pcapng as text": (b"\r\n\r\r\r\n\x1c\0\0\0M<+\x1a" + bytes(80), "transferred as text"),
    "K12": (b"+---------+---------------+----------+\n10:15:14,547,600   ETHER\n|0   |02|00|\n", "editcap"),
    "tshark": ("    1   0.000000 10.0.0.1 → 10.0.0.2 TCP 58 40001 → 443 [SYN]\n".encode(), "tshark -w"),
    "tshark's JSON": (b'[\n  {\n    "_index": "packets-2025-11-24",\n', "tshark -w"),
    "PDML": (b'<?xml version="1.0" encoding="utf-8"?>\n<pdml version="0">\n', "tshark -w"),
    "PDML with a style sheet": (
        b'<?xml version="1.0"?>\n<?xml-stylesheet type="text/xsl" href="a.xsl"?>\n<!-- a note -->\n<pdml version="0">\n',
        "tshark -w",
    ),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    "HTML": (b"\n <!doctype HTML><html><head>", "an HTML page"),
    "HTML with a mark": (b"\xef\xbb\xbf<html>", "an HTML page"),
    "S3": (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>', "an error message of S3"),
    "JSON": (b'{"message": "Not Found"}', "JSON"),
    "JSON in UTF-16": ('{"a": 1}'.encode("utf-16"), "JSON"),
    "IXIA": (b"\xac\x01\x00\x1c" + bytes(60), "an IXIA capture"),
    "NetMon": (b"GMBU\0\2" + bytes(60), "a Network Monitor capture"),
    "base64": (b"1MOyoQIABAAAAAAAAAAAAAAABAABAAAA", "base64"),
    "as text": ("\ufffd\ufffd\ufffd\ufffd\2\0\4\0".encode(), "transferred as text"),
    "flow log": (b"version account-id interface-id srcaddr\n2 1 eni-1 10.0.0.1\n", "--witness"),
    "Cisco": (b"12 packets captured\n\n   1: 16:00:00.000000 10.0.0.1.5 > 10.0.0.2.443: S\n", "copy /pcap"),
    "tar on standard input": (tarred(FILES), "a tar archive"),
    "text": (b"captures of a day\n", "plain text"),
    "text with a long line of other letters": ("ä".encode() * 400, "plain text"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("at", "words"),
    [(0, "no member begins where the archive lists one"), (120, "its checksum is not that of what was unpacked")],
)
def test_a_member_that_is_damaged_is_told(tmp_path: Path, at: int, words: str) -> None:
    """Whatever is wrong with one member of an archive is told of that one; the others are read."""
    whole = wire.pcap([bytes(60)])
    data = bytearray(zipped({"good.pcap": whole, "bad.pcap": whole}, zipfile.ZIP_STORED))
    data[data.rindex(b"PK\3\4") + at] ^= 0xFF
    result = auditor.audit(wire.write(tmp_path, bytes(data), "a.zip"))
    good = result.captures["capture"].str.endswith("good.pcap")
    assert set(result.captures["status"][good]) == {"complete"}
    assert words in str([*result.captures["warnings"][~good], *result.errors])


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_step_of_a_small_archive_is_small(tmp_path: Path, method: int) -> None:
    """Whatever a few packed bytes become, of a member no more of it is there at a time than is asked for."""
    path = wire.write(tmp_path, zipped({"a.pcap": wire.pcap([bytes(60)]) + bytes(64 << 20)}, method), "a.zip")
    (member,) = archives.members(path) or []
    assert member.open is not None
    stream, size = member.open(), 0
    tracemalloc.start()
    try:
        while data := stream.read(1 << 20):
            size += len(data)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20  # a dictionary of 8 MiB among it
    finally:
        tracemalloc.stop()
    assert size == len(wire.pcap([bytes(60)])) + (64 << 20)


def test_windows_that_are_too_large_are_refused(tmp_path: Path) -> None:
    """What says that it needs gigabytes to be unpacked, in an archive or by itself, is refused before it takes them."""
    data = zipped({"a.pcap": wire.pcap([bytes(60)])}, zipfile.ZIP_LZMA)
    at = data.index(b"a.pcap") + len("a.pcap") + 5  # the size of the dictionary
    archive = wire.write(tmp_path, data[:at] + b"\xff" * 4 + data[at + 4 :], "a.zip")
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    packed = wire.write(tmp_path, lzma.compress(wire.pcap([bytes(60)]), filters=filters), "a.pcap.xz")
    for path in (archive, packed):
        with pytest.raises(auditor.InputError, match="Memory usage limit"):
            auditor.audit(path)


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_is_no_capture_says_how_to_come_by_one(name: str, pack: Any) -> None:
    """One sentence names what it looks like, packed or not, and what makes a capture of it."""
    from auditor.capture.inputs import Input
    from auditor.capture.reader import Reader

    data, words = LOOKS[name]
    with pytest.raises(auditor.InputError, match="not a pcap or pcapng") as caught:
        Reader(Input("x", stream=io.BytesIO(pack(data))))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
