"""Every form a capture comes in is read; damage is reported with its place, and all before it is kept."""

import base64
import bz2
import gzip
import hashlib
import lzma
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import lz4.frame
import pandas as pd
import pytest
import zstandard

import auditor
from auditor.audit.start import audit_files
from auditor.options import Options
from auditor.reading import scan
from tests import wire

PACKETS = wire.Talk().open().play([("c", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")]).close().packets


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_in_both_byte_orders_and_resolutions(audit_bytes: Any, order: str, nanoseconds: bool) -> None:
    """Byte order and resolution change nothing but the precision of times."""
    when = 1_700_000_000_123_456_789
    result = audit_bytes(wire.pcap([(when, p) for p in PACKETS], order=order, nanoseconds=nanoseconds))
    flow = wire.only(result.flows)
    assert flow["server_name"] == "example.org"
    assert flow["started"].value == (when if nanoseconds else when // 1000 * 1000)
    assert wire.only(result.captures)["packets"] == len(PACKETS)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("gzip", gzip.compress),
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("lz4", lz4.frame.compress),
    ],
)
def test_compression_is_recognised_by_first_bytes(audit_bytes: Any, name: str, pack: Any) -> None:
    """A packed capture is unpacked whatever its name says, and its digest is that of the file."""
    data = pack(wire.pcap(PACKETS))
    result = audit_bytes(data, name="innocent.txt")
    row = wire.only(result.captures)
    assert (row["compression"], row["packets"]) == (name, len(PACKETS))
    assert row["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("kind", "link", "unread"),  # what is in the packets is Ethernet's
    [
        (6, "Ethernet", ""),
        (15, "FDDI", "none of its packets belongs to a flow"),
        (24, "BSD-loopback", "7 packets have headers"),
    ],
)
def test_captures_of_aix(audit_bytes: Any, kind: int, link: str, unread: str) -> None:
    """Version 2.2 with the number of an interface's kind: that kind, and times in nanoseconds."""
    data = bytearray(wire.pcap(PACKETS, order=">", nanoseconds=True, link=kind))
    data[:8] = struct.pack(">IHH", 0xA1B2C3D4, 2, 2)
    row = wire.only(audit_bytes(bytes(data)).captures)
    assert (row["link_types"], row["packets"]) == (link, len(PACKETS))
    assert (row["warnings"] if unread else "").startswith(unread)
    assert pd.isna(row["warnings"]) == (not unread)
    assert row["started"] == pd.Timestamp(1_700_000_000, unit="s", tz="UTC")


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_blocks(audit_bytes: Any, order: str) -> None:
    """Sections, interfaces, names, resolutions, offsets, statistics, name resolution and secrets are all read."""

    def o(code: int, value: bytes) -> bytes:
        return wire.option(code, value, order)

    data = wire.section(order)
    data += wire.interface(1, o(2, b"dx0") + o(9, b"\x09"), order)  # nanoseconds
    data += wire.interface(1, o(2, b"isp0") + o(9, b"\x8a") + o(14, struct.pack(order + "q", 3600)), order)  # 2^-10 s
    data += wire.enhanced(PACKETS[0], 1_700_000_000 * 10**9 + 7, 0, order)
    data += wire.enhanced(PACKETS[1], (1_700_000_000 - 3600) * 1024 + 512, 1, order)
    data += wire.block(0x0000000B, b"custom, unknown", order)
    names = (
        struct.pack(order + "HH", 1, 16) + bytes([192, 0, 2, 10]) + b"example.org\0" + struct.pack(order + "HH", 0, 0)
    )
    data += wire.block(4, names, order)
    data += wire.block(0x0A, struct.pack(order + "II", 0x544C534B, 4) + b"KEYS", order)
    statistics = (
        struct.pack(order + "III", 1, 0, 0) + o(4, struct.pack(order + "Q", 900)) + o(5, struct.pack(order + "Q", 17))
    )
    data += wire.block(5, statistics, order)
    data += wire.section(">") + wire.interface(1, b"", ">") + wire.enhanced(PACKETS[2], 1_700_000_001_000_000, 0, ">")
    result = audit_bytes(data, "test.pcapng")
    row = wire.only(result.captures)
    assert (row["packets"], row["dropped"], row["secrets"], row["status"]) == (3, 17, 1, "complete")
    assert row["interfaces"] == "dx0 isp0"
    flow = wire.only(result.flows)
    assert flow["interface"] == "dx0"
    assert flow["started"].value == 1_700_000_000 * 10**9 + 7
    assert flow["ended"].value == 1_700_000_001 * 10**9


def test_simple_and_obsolete_packet_blocks(audit_bytes: Any) -> None:
    """SPB has no time and the interface's snap length; PB is the old form of EPB."""
    data = wire.section() + wire.interface(snap=60)
    data += wire.block(3, struct.pack("<I", len(PACKETS[3])) + PACKETS[3][:60])
    old = struct.pack("<HHIIII", 0, 0xFFFF, 0, 1000, len(PACKETS[0]), len(PACKETS[0])) + PACKETS[0]
    data += wire.block(2, old)
    row = wire.only(audit_bytes(data).captures)
    assert (row["packets"], row["short"]) == (2, 1)


def test_a_packet_of_no_interface(audit_bytes: Any) -> None:
    """A packet of an interface that no block before describes is passed over; all others are read, and it is told."""
    blocks = [wire.enhanced(packet, 1_700_000_000_000_000) for packet in PACKETS]
    row = wire.only(audit_bytes(wire.section() + blocks[0] + wire.interface() + b"".join(blocks[1:])).captures)
    assert (row["packets"], row["status"], row["damage_offset"]) == (len(PACKETS) - 1, "damaged", 28)
    assert "1 packet is of an interface that no block before describes" in row["warnings"]


@pytest.mark.parametrize(
    ("packing", "status", "words"),
    [
        ("gzip", "damaged", "everything before it"),
        ("xz", "damaged", "everything before it"),
        ("zstd", "damaged", "everything before it"),
    ],
)
def test_a_packed_file_that_is_cut_keeps_what_came_before(
    audit_bytes: Any, packing: str, status: str, words: str
) -> None:
    """All that can be unpacked before the cut is reported, not just what an earlier read had given."""
    rest = random.Random(1)
    packets = [wire.datagram(rest.randbytes(900), sport=1024 + number % 50) for number in range(2000)]
    data = wire.pcap(packets)
    pack: Any = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.compress}[packing]
    packed = pack(data)
    row = wire.only(audit_bytes(packed[: len(packed) * 3 // 4]).captures)
    assert row["status"] == status
    assert row["packets"] > 1000
    assert words in row["warnings"]


@pytest.mark.parametrize(("keep", "packets", "place"), [(30, 0, 24), (41, 0, 24), (100, 1, 94), (-1, 6, 481)])
def test_cut_file_keeps_what_came_before(audit_bytes: Any, keep: int, packets: int, place: int) -> None:
    """A capture that ends inside a record is reported up to there, with the place in a warning."""
    row = wire.only(audit_bytes(wire.pcap(PACKETS)[:keep]).captures)
    assert (row["status"], row["packets"], row["damage_offset"]) == ("truncated", packets, place)
    assert f"byte {place}" in row["warnings"]


def test_nothing_behind_the_header_is_no_damage(audit_bytes: Any) -> None:
    """A capture of no packets is whole."""
    row = wire.only(audit_bytes(wire.pcap(PACKETS)[:24]).captures)
    assert (row["status"], row["packets"]) == ("complete", 0)
    assert pd.isna(row["damage_offset"])


def test_damage_in_the_middle_is_reported_with_its_offset(audit_bytes: Any) -> None:
    """A record header that cannot be one ends reading; everything before it is there."""
    before = wire.pcap(PACKETS[:4])
    row = wire.only(audit_bytes(before + b"\xff" * 64 + wire.pcap(PACKETS)[24:]).captures)
    assert (row["packets"], row["status"], row["damage_offset"]) == (4, "damaged", len(before))


def test_damaged_compression_keeps_what_could_be_unpacked(audit_bytes: Any) -> None:
    """A gzip file that breaks off gives the packets before the break."""
    packed = gzip.compress(wire.pcap(PACKETS * 200), 1)
    row = wire.only(audit_bytes(packed[: len(packed) // 2]).captures)
    assert row["status"] == "damaged"
    assert 0 < row["packets"] < 200 * len(PACKETS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"\x7fELF\x02\x01", "a program (ELF)"),
        (b'{"a": 1}', "JSON"),
        (b"time,src,dst,port\n1,2,3,4\n", "CSV text"),
        (b"CLIENT_RANDOM 00 00\n", "a TLS key log"),
        (b"\x00\x01\x02\x03\xfe", "binary data that begins with 00 01 02 03"),
        (b"\x1f\x9d\x90\0", "a file packed by compress (.Z); unpack it first with: gzip -dc FILE > OUT"),
        (b"\x02\x21\x4c\x18\0", "a file packed by lz4 in its legacy form; unpack it first with: lz4 -d FILE OUT"),
        (b"!<arch>\ndebian", "an ar archive; unpack it first with: ar x FILE"),
        (
            base64.encodebytes(gzip.compress(bytes(99), mtime=0)),
            "a packed file in base64; decode it with: base64 -d FILE > OUT.gz",
        ),
        (base64.b64encode(wire.pcap(PACKETS, order=">")), "a capture in base64"),
        (b"data:application/vnd.tcpdump.pcap;base64,1MOyoQ", "a data URL"),
        (repr(wire.pcap(PACKETS)).encode(), "bytes as Python shows them"),
        (b"\xa5\x1cNetScaler V20 Performance Data" + bytes(99), "a NetScaler trace"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "AppleDouble"),
        (b"Salted__" + bytes(range(128, 255)), "a file encrypted by openssl enc"),
        (b"\x36\0\x36\0\0\xe7\x07\x0b\x0e\x16\x0d\x14" + bytes(12), "a capture of CommView; convert it with: editcap"),
        (b"\x36\0\0\0\xe7\x07\x0b\x0e\x16\x0d\x14" + bytes(12), "a capture of CommView; convert it with: editcap"),
        (b"Listening on ge-0/0/0\n\n08:00:00.123456  In IP 10.0.0.1.4 > 10.0.0.2.5: S\n", "tcpdump's text"),
        (b"begin 644 x.pcap\nM", "a file in uuencode; decode it with: uudecode -o OUT.pcap FILE"),
    ],
)
def test_what_is_no_capture_is_named(audit_bytes: Any, data: bytes, words: str) -> None:
    """One sentence names the file and says what it looks like."""
    with pytest.raises(auditor.InputError, match=r"test\.pcap: not a pcap") as caught:
        audit_bytes(data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (b"\xef\xbb\xbf", "behind a byte order mark"),
        (b"\xff\xfe", "behind a byte order mark"),
        (b"\n", "behind 1 other byte;"),
        (b"tcpdump: listening on eth0, link-type EN10MB (Ethernet)\n", "behind 56 other bytes;"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.tcpdump.pcap\r\n\r\n", "behind 63 other bytes;"),
        (bytes(128), "behind 128 other bytes;"),
    ],
)
@pytest.mark.parametrize("form", ["pcap", "big", "pcapng", "gz", "bz2", "xz", "zst"])
def test_a_capture_behind_other_bytes(tmp_path: Path, before: bytes, words: str, form: str) -> None:
    """A byte order mark, or what a program said before it wrote a capture: told, and the command that is told cuts it off."""
    made = {
        "pcap": wire.pcap(PACKETS),
        "big": wire.pcap(PACKETS, order=">", nanoseconds=True),
        "pcapng": wire.section() + wire.interface() + b"".join(wire.enhanced(one, 1) for one in PACKETS),
        "gz": gzip.compress(wire.pcap(PACKETS)),
        "bz2": bz2.compress(wire.pcap(PACKETS)),
        "xz": lzma.compress(wire.pcap(PACKETS)),
        "zst": zstandard.ZstdCompressor().compress(wire.pcap(PACKETS)),
    }[form]
    path = wire.write(tmp_path, before + made)
    with pytest.raises(auditor.InputError) as caught:
        auditor.audit(path)
    assert words in str(caught.value)
    command = str(caught.value).partition("cut off what is before it with: ")[2]
    assert command.endswith(f"OUT.{'pcap' if form == 'big' else form}")
    out = tmp_path / "out"
    subprocess.run(["bash", "-c", command.replace("FILE", str(path)).rpartition(" ")[0] + f" {out}"], check=True)
    assert out.read_bytes() == made


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    """What is not there is said by its name."""
    with pytest.raises(auditor.InputError, match=r"nowhere\.pcap: no such file"):
        auditor.audit(tmp_path / "nowhere.pcap")
    with pytest.raises(auditor.InputError, match="the folder is empty: it holds no capture"):
        auditor.audit(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(auditor.InputError, match="only folders are named like that"):
        auditor.audit(tmp_path / "fold*")
    with pytest.raises(auditor.InputError, match="nothing to read"):
        auditor.audit([])


def test_folders_globs_and_several_files(tmp_path: Path) -> None:
    """Each file is read once, copies of packets count once unless files are apart; one bad file does not lose the others."""
    for name in ("b.pcap", "a.pcap"):
        wire.write(tmp_path, wire.pcap(PACKETS), name)
    wire.write(tmp_path, b"nonsense", "c.pcap")
    result = auditor.audit([tmp_path, tmp_path / "*.pcap"])
    assert [Path(c).name for c in result.captures["capture"]] == ["a.pcap", "b.pcap"]
    assert len(result.errors) == 1
    assert "c.pcap" in result.errors[0]
    assert (len(result.flows), result.captures["duplicates"].sum()) == (1, len(PACKETS))
    apart = auditor.audit([tmp_path], apart=True)
    assert (apart.flows["flow_id"].nunique(), apart.captures["duplicates"].sum()) == (2, 0)


def test_captures_of_a_folder_are_told_by_their_bytes(tmp_path: Path) -> None:
    """Rotated captures are read whatever they are named; what is no capture is passed over, and said with the reason."""
    names = ("x.pcap1", "x.cap.3", "dump-1400", "dump-1500.gz", "dump.zst.old", "trace")
    data = wire.pcap(PACKETS)
    packed = {"dump-1500.gz": gzip.compress(data), "dump.zst.old": zstandard.compress(data)}
    for name in names:
        wire.write(tmp_path, packed.get(name, data), name)
    wire.write(tmp_path, wire.section() + wire.interface(), "ring_00001_20261124")
    others = {
        "notes.txt": b"see the ticket",
        "audit.json": b"{}",
        "cut.gz": gzip.compress(b"x" * 99)[:-12],
        "empty": b"",
    }
    for name, data in others.items():
        wire.write(tmp_path, data, name)
    said: list[str] = []
    result = auditor.audit(tmp_path, say=said.append)
    assert {Path(c).name for c in result.captures["capture"]} == {*names, "ring_00001_20261124"}
    assert not result.errors
    assert "passed over 4 files that are no captures: audit.json (JSON), cut.gz (" in said[0]
    assert said[0].endswith("empty (an empty file), notes.txt (plain text)")


def test_many_files_that_are_passed_over_are_counted(tmp_path: Path) -> None:
    """Of many files that are no captures some are named, and all others counted by what they are."""
    wire.write(tmp_path, wire.pcap(PACKETS), "a.pcap")
    for number in range(40):
        wire.write(tmp_path, b"{}" if number % 2 else b"plain", f"n{number:02}.pcap.meta")
    said: list[str] = []
    auditor.audit(tmp_path, say=said.append)
    assert said[0].endswith("n04.pcap.meta (plain text), and 35 more (18 × JSON, 17 × plain text)")


def test_a_folder_without_captures_says_what_it_holds(tmp_path: Path) -> None:
    """Where no file of a folder is a capture, the error says what they are."""
    wire.write(tmp_path, b"see the ticket", "notes.txt")
    with pytest.raises(auditor.InputError, match=r"passed over 1 file that is no capture: notes\.txt \(plain text\)"):
        auditor.audit(tmp_path)


def test_what_cannot_be_read_in_a_folder_is_said(tmp_path: Path) -> None:
    """Links that lead nowhere or in a circle, pipes, devices, linked and closed folders are named; the rest is audited."""
    folder = tmp_path / "evidence"
    (folder / "closed").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    wire.write(folder, wire.pcap(PACKETS), "good.pcap")
    wire.write(folder / "closed", wire.pcap(PACKETS), "hidden.pcap")
    wire.write(folder, wire.pcap(PACKETS), "locked.pcap").chmod(0)
    (folder / "dangling.pcap").symlink_to("nowhere")
    (folder / "circle.pcap").symlink_to("circle.pcap")
    (folder / "null.pcap").symlink_to("/dev/zero")
    (folder / "kernel.pcap").symlink_to("/proc/kmsg")  # waits for messages as long as there are none
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "notes.txt").symlink_to("nowhere")  # named like no capture: nobody asked for it
    os.mkfifo(folder / "pipe.pcap")
    (folder / "closed").chmod(0)
    expected = {"dangling": "a link to what is not there", "circle": "symbolic links", "null": "a device, not a file"}
    expected |= {"linked": "not followed", "pipe": "a pipe, not a file", "kernel": "a file of the kernel"}
    if os.geteuid() != 0:  # who may read everything
        expected |= {"closed": "cannot be listed", "locked": "Permission denied"}
    try:
        results = [auditor.audit(folder)]
        expected_of_pattern = {name: words for name, words in expected.items() if name not in ("linked", "closed")}
        results.append(auditor.audit(folder / "*.pcap"))
        results.append(auditor.audit([folder / "good.pcap", folder / "circle.pcap"]))
    finally:
        (folder / "closed").chmod(0o755)
    circle = {"circle": expected["circle"]}
    for result, errors in zip(results, (expected, expected_of_pattern, circle), strict=True):
        assert "good.pcap" in "".join(result.captures["capture"])
        assert len(result.errors) == len(errors)
        for name, words in errors.items():
            assert any(f"/{name}" in error and words in error for error in result.errors), name


def test_nothing_but_what_cannot_be_read(tmp_path: Path) -> None:
    """Where nothing in a folder can be read, that is the end, with all the reasons."""
    (tmp_path / "a.pcap").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.pcap")
    with pytest.raises(auditor.InputError, match=r"a\.pcap: a link to what is not there; .*b\.pcap: a pipe"):
        auditor.audit(tmp_path)


@pytest.mark.parametrize("option", ["aws", "witnesses", "routes"])
@pytest.mark.parametrize("kind", ["pipe", "link", "device", "linked folder"])
def test_side_inputs_that_cannot_be_read_are_said(tmp_path: Path, option: str, kind: str) -> None:
    """In a folder of AWS's files or logs, and among routing tables, what is no file is named and nothing waits for it."""
    path = wire.write(tmp_path, wire.pcap(PACKETS))
    folder = tmp_path / "inputs"
    folder.mkdir()
    bad = folder / ("more" if kind == "linked folder" else "bad.json")
    if kind == "pipe":
        os.mkfifo(bad)
    else:
        bad.symlink_to({"link": Path("nowhere"), "device": Path("/dev/zero"), "linked folder": tmp_path}[kind])
    words = {"pipe": "a pipe", "link": "a link to what is not there", "device": "a device", "linked folder": "a "}[kind]
    given: Any = {"aws": folder, "witnesses": [folder], "routes": [bad]}[option]
    with pytest.raises(auditor.AuditError, match=f"{bad.name}: {words}"):
        auditor.audit(path, **{option: given})


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(pack: Any) -> None:
    """`-` reads a pipe, packed or not, and hashes what came through it."""
    data = pack(wire.pcap(PACKETS))
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "pcap", "-", "--format", "jsonl", "--table", "captures"],
        input=data,
        capture_output=True,
        check=True,
    )
    assert hashlib.sha256(data).hexdigest().encode() in done.stdout


@pytest.mark.parametrize("block_bytes", [65_536, 100_003, 1 << 20])
def test_results_do_not_depend_on_the_block_size(samples: Path, office: Any, block_bytes: int) -> None:
    """The same tables come out however much is read at once, also where a record is larger than a block."""
    options = Options(topology=samples / "site.toml")
    result = audit_files(samples / "office.pcapng", options, block_bytes=block_bytes)
    for table in office.tables:
        assert result.arrow(table).equals(office.arrow(table)), table


def test_record_larger_than_the_block(tmp_path: Path) -> None:
    """A packet of 200 KB passes through a buffer of 64 KiB."""
    big = wire.datagram(b"x" * 1000) + b"y" * 200_000
    path = wire.write(tmp_path, wire.pcap([big, PACKETS[0]]), "big.pcap")
    row = wire.only(audit_files(path, Options(), block_bytes=65_536).captures)
    assert (row["packets"], row["status"]) == (2, "complete")


@pytest.mark.parametrize("kernel", ["read_batch", "follow_batch"])
def test_a_fault_of_a_kernel_loses_nothing_that_was_read(
    samples: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """A bounds check that fails in the middle of a capture is an error, but no exception: all before it is reported."""
    real, calls = getattr(scan, kernel), iter(range(1000))
    fails_at = 5 if kernel == "read_batch" else 1

    def failing(*arguments: Any) -> Any:
        if next(calls) == fails_at:
            raise IndexError
        return real(*arguments)

    monkeypatch.setattr(scan, kernel, failing)
    result = audit_files(samples / "office.pcapng", Options(), block_bytes=65_536)
    row = wire.only(result.captures)
    assert row["status"] == "damaged"
    assert "cannot be followed" in row["warnings"]
    assert result.errors == [f"{row['capture']}: a packet that cannot be followed (please report it)"]
