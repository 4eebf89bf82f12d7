"""Archives that no program writes: what is right in them is read, the rest is told, and nothing takes long or much memory."""

import bz2
import gzip
import io
import re
import resource
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.capture import archives, compression, zip_list
from auditor.capture.stretches import OpenFile
from tests import wire

CAPTURE = wire.pcap(wire.Talk(sport=1001).open().packets)
END = bytes(1024)
NEVER = -512  # a size that would lead back


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a member, with a size in base 256 (GNU), which may be any."""
    info = tarfile.TarInfo(name)
    info.type = kind
    data = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    data[124:136] = (size % (1 << 96)).to_bytes(12, "big") if size < 0 else b"\x80" + size.to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def pax(*records: bytes) -> bytes:
    """A header of pax for the member that follows."""
    data = b"".join(records)
    return header("pax", len(data), tarfile.XHDTYPE) + padded(data)


GOOD = header("good.pcap", len(CAPTURE)) + padded(CAPTURE)
TARS = {
    "leads back": header("n.pcap", NEVER),
    "leads far back": header("n.pcap", -(1 << 80)),
    "leads nowhere": header("n", 1 << 80),
    "a folder that leads back": header("d/", NEVER, tarfile.DIRTYPE),
    "a long name that leads back": header("@LongLink", NEVER, tarfile.GNUTYPE_LONGNAME),
    "a size of pax that leads back": pax(b"14 size=-1024\n") + GOOD,
    "a length that is too large": pax(b"99999999999999999999 path=a\n") + GOOD,
    "a length of nothing": pax(b"0 path=a\n") + GOOD,
    "holes in words": pax(b"23 GNU.sparse.map=a,b,c\n", b"21 GNU.sparse.size=5\n") + GOOD,
    "headers without end": pax(b"8 path=a\n") * 2000,
    "a header of a gigabyte": header("pax", 1 << 30, tarfile.XHDTYPE),
    "a long name of a gigabyte": header("@LongLink", 1 << 30, tarfile.GNUTYPE_LONGNAME),
    "no header": b"x" * 512,
    "a member that was cut": header("cut.pcap", 1 << 20) + CAPTURE,
    "something behind": END + GOOD,
}


@pytest.mark.parametrize("what", TARS)
def test_what_is_before_damage_in_a_tar_archive_is_read(tmp_path: Path, what: str) -> None:
    """The member before it is there, and one sentence says that the archive was not read to its end."""
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(GOOD + TARS[what])
        if "gigabyte" in what:
            file.truncate(len(GOOD) + (1 << 30) + 512)
            file.seek(0, 2)
        file.write(GOOD + END if what != "a member that was cut" else b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = archives.members(path) or []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
    good, *rest = found
    assert good.open is not None
    assert good.open().read() == CAPTURE
    (told,) = [one for one in rest if one.open is None]
    assert told.name == str(path)
    assert "an archive that cannot be read to its end" in str(told.refusal)


def test_holes_and_what_is_no_file(tmp_path: Path) -> None:
    """A sparse member is told; links and devices are nothing that is read; the others are."""
    others = [
        header(f"{kind!r}.pcap", 0, kind)
        for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    ]
    sparse = header("s.pcap", 0, tarfile.GNUTYPE_SPARSE)
    path = wire.write(tmp_path, b"".join(others) + sparse + GOOD + END, "a.tar")
    result = auditor.audit(path)
    assert list(result.captures["capture"]) == [f"{path}/good.pcap"]
    assert result.errors == [f"{path}/s.pcap: is stored with holes; unpack it first"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_each_member_of_a_large_archive_is_opened_by_itself(tmp_path: Path, method: int) -> None:
    """The list of an archive is read once, not for each member; three thousand of them take no quadratic time."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(3000):
            archive.writestr(f"{number}.pcap", CAPTURE)
    found = archives.members(path) or []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zipfile, "ZipFile", None)
        assert {one.open().read() for one in found if one.open is not None} == {CAPTURE}
    assert len(found) == 3000


def zipped(*listed: tuple[bytes, int, dict[str, int]], extra: bytes = b"") -> bytes:
    """A ZIP archive of one packed capture that is listed by these names, at these places behind its own, with these values.

    ``extra``: the extra fields of the last one.
    """
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(CAPTURE) + packer.flush()
    local = b"PK\3\4" + struct.pack("<HHHIIIIHH", 20, 0, 8, 0, zlib.crc32(CAPTURE), len(packed), len(CAPTURE), 1, 0)
    data, directory = local + b"a" + packed, b""
    for name, place, values in listed:
        sizes = values.get("packed", len(packed)), values.get("unpacked", len(CAPTURE))
        flags, method, check = values.get("flags", 0), values.get("method", 8), values.get("check", zlib.crc32(CAPTURE))
        fields = extra if (name, place, values) is listed[-1] else b""
        lengths = len(name), len(fields)
        directory += (
            b"PK\1\2"
            + struct.pack("<HHHHIIIIHHHHHII", 63, 255, flags, method, 0, check, *sizes, *lengths, 0, 0, 0, 0, place)
            + name
            + fields
        )
    return (
        data
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, len(listed), len(listed), len(directory), len(data), 0)
    )


ZIPS = {
    "lies in another": (b"b.pcap", 0, {}, "it lies in other members"),
    "begins behind the end": (b"b.pcap", 0xFFFFFF00, {}, "no member begins where"),
    "strong encryption": (b"b.pcap", 0, {"flags": 1 << 6}, "is encrypted"),
    "a patch": (b"b.pcap", 0, {"flags": 1 << 5}, "no file but changes to one"),
    "an unknown packing": (b"b.pcap", 0, {"method": 99}, "is packed by method 99"),
    "a long name": (b"n" * 65_000, 0, {}, "its name has more than 4,096 characters"),
}  # fmt: skip


@pytest.mark.parametrize("what", ZIPS)
def test_a_member_of_a_zip_archive_that_cannot_be_is_told(tmp_path: Path, what: str) -> None:
    """Of members at one place one is read, so that a few bytes do not become any number of captures; the other is told."""
    name, place, values, words = ZIPS[what]
    path = wire.write(tmp_path, zipped((b"a.pcap", 0, {}), (name, place, values)), "a.zip")
    result = auditor.audit(path)
    assert list(result.captures["capture"]) == [f"{path}/a.pcap"]
    (error,) = result.errors
    assert words in error
    assert len(error) < 300


UTF_8, WIDE = 1 << 11, (1 << 32) - 1
ODD = {
    "a name that is not UTF-8": (b"b\xe9.pcap", {"flags": UTF_8}, b"", "a.zip/b\\xe9.pcap"),
    "a name in no code page": (b"b\xe9.pcap", {}, b"", "a.zip/b\u0398.pcap"),
    "a name with a NUL": (b"b\0.pcap", {}, b"", "a.zip/b\\x00.pcap"),
    "an extra field that is too long": (b"b.pcap", {}, b"\x75\x70\xff\xff", "a.zip/b.pcap"),
    "a part of an extra field": (b"b.pcap", {}, b"\1\0\x08", "a.zip/b.pcap"),
    "a size of eight bytes": (b"b.pcap", {"unpacked": WIDE}, struct.pack("<HHQ", 1, 8, 5), "a.zip/b.pcap"),
    "a size that is nowhere": (b"b.pcap", {"packed": WIDE}, b"", "b.pcap: is not to be found"),
    "a size that is cut": (b"b.pcap", {"packed": WIDE}, b"\1\0\x08\0\0\0", "b.pcap: is not to be found"),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_an_odd_member_of_a_zip_archive_hides_no_other(tmp_path: Path, what: str) -> None:
    """Whatever one member is called, and whatever else is said of it, the archive's others are read; it is read or told."""
    name, values, extra, words = ODD[what]
    path = wire.write(tmp_path, zipped((b"a.pcap", 0, {}), (name, 0, values), extra=extra), "a.zip")
    first, second = archives.members(path) or []
    assert first.name == f"{path}/a.pcap"
    assert words in f"{second.name}: {second.refusal}"


def test_members_before_damage_in_a_list_are_read(tmp_path: Path) -> None:
    """Where the list of a ZIP archive is damaged, what it lists before is there, and one sentence says that there may be more."""
    data = bytearray(zipped((b"a.pcap", 0, {}), (b"b.pcap", 0, {})))
    at = data.rindex(b"PK\1\2")
    data[at : at + 4] = b"none"
    first, told = archives.members(wire.write(tmp_path, bytes(data), "a.zip")) or []
    assert first.open is not None
    assert first.open().read(1 << 20) == CAPTURE
    assert str(told.refusal) == "an archive that cannot be read to its end (its list of members is damaged)"


def test_zip_archives_as_libraries_and_tools_write_them(tmp_path: Path) -> None:
    """With a comment, behind another file, with sizes of eight bytes, as a stream: each lists what Python's library lists."""

    class OneWay(io.BytesIO):
        def seekable(self) -> bool:
            return False

    def made(target: io.BytesIO, **kind: Any) -> bytes:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("a.pcap", "b\u00e9.pcap", "folder/"):
                with archive.open(zipfile.ZipInfo(name), "w", **kind) as member:
                    member.write(b"" if name.endswith("/") else CAPTURE)
            archive.comment = b"PK\5 a comment" * 3
        return target.getvalue()

    whole = made(io.BytesIO())
    for data in (
        whole,
        made(io.BytesIO(), force_zip64=True),
        made(OneWay()),
        b"#!/bin/sh\nexec unzip\n" + whole,
        whole + b"rest",
    ):
        path = wire.write(tmp_path, data, "a.zip")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            theirs = [(one.filename, one.header_offset, one.file_size) for one in archive.infolist()]
        ours, _, damage = zip_list.entries(OpenFile(path))
        assert [(one.name, one.begin, one.unpacked) for one in ours] == theirs
        assert damage is None


@pytest.mark.parametrize(
    "values",
    [{"packed": 0}, {"packed": 1 << 31}, {"check": 1}, {"method": 12}, {"method": 14}, {"method": 93}, {"method": 95}],
)
def test_a_single_member_that_is_not_as_it_is_listed(tmp_path: Path, values: dict[str, int]) -> None:
    """Whatever its list says of a member, it is a sentence of the archive's damage and no other error."""
    path = wire.write(tmp_path, zipped((b"a.pcap", 0, values)), "a.zip")
    try:
        said = str(list(auditor.audit(path).captures["warnings"]))
    except auditor.InputError as error:
        said = str(error)
    assert re.search(r"a\.zip/a\.pcap: |checksum", said)


def test_a_member_without_a_name_is_read(tmp_path: Path) -> None:
    """A name of nothing is the archive's own."""
    path = wire.write(tmp_path, zipped((b"", 0, {})), "a.zip")
    assert list(auditor.audit(path).captures["status"]) == ["complete"]


def test_members_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Each has a name of its own, by which its packets are found and its digest is compared."""
    captures = [wire.pcap(wire.Talk(sport=port).open().packets) for port in (1001, 1002, 1003)]
    data = b"".join(header("a.pcap", len(one)) + padded(one) for one in captures) + END
    path = wire.write(tmp_path, data, "a.tar")
    result = auditor.audit(path, out=tmp_path / "out")
    assert sorted(result.captures["capture"]) == [f"{path}/a.pcap", f"{path}/a.pcap (2)", f"{path}/a.pcap (3)"]
    for flow, port in zip(result.flows["flow_id"], result.flows["client_port"], strict=True):
        assert result.packets(flow)[0].sport == port
    assert all(is_right for _, is_right, _ in result.verify())


def test_what_becomes_a_thousand_times_as_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind what is free, growth is bounded over all packings together, and told; what was unpacked before is reported."""
    monkeypatch.setattr(compression, "FREE_GROWTH", 1 << 20)
    data = CAPTURE + CAPTURE[24:] * 50_000
    for packed in (bz2.compress(bz2.compress(data)), gzip.compress(gzip.compress(data))):
        result = auditor.audit(wire.write(tmp_path, packed, "a.pcap"))
        (row,) = result.captures.to_dict("records")
        assert "becomes more than 1,000 times as much" in str(row["warnings"])
        assert 0 < row["packets"] < 150_003
    result = auditor.audit(wire.write(tmp_path, gzip.compress(CAPTURE), "b.pcap"))
    assert list(result.captures["status"]) == ["complete"]
