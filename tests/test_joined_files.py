"""Files that were joined, and what writers do wrong: every packet is read, and what was odd is told."""

import bz2
import gzip
import itertools
import lzma
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import lz4.frame
import pandas as pd
import pytest
import zstandard

import auditor
from auditor.audit.start import audit_files
from auditor.options import Options
from tests import wire

Run = Callable[..., Any]
START = 1_700_000_000 * wire.SECOND


def packets(port: int, count: int = 6) -> list[bytes]:
    """A connection of its own for each port."""
    request = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"
    return wire.Talk(sport=port).open().play([("c", request)]).close().packets[:count]


def snoop(frames: list[bytes]) -> bytes:
    data = b"snoop\0\0\0" + struct.pack(">II", 2, 4)
    for frame in frames:
        padded = frame + b"\0" * (-len(frame) % 4)
        data += struct.pack(">IIIIII", len(frame), len(frame), 24 + len(padded), 0, 1_700_000_000, 0) + padded
    return data


def erf(frames: list[bytes], kind: int = 2, extensions: int = 0, port: int = 0) -> bytes:
    data = b""
    for number, frame in enumerate(frames):
        body = b"\0\0" + frame if kind in (2, 11, 16, 20) else frame
        more = b"".join(bytes([0x80 if k < extensions - 1 else 0]) + bytes(7) for k in range(extensions))
        length = 16 + len(more) + len(body)
        length += -length % 8
        head = struct.pack("<II", number << 20, 1_700_000_000) + bytes([kind | (0x80 if extensions else 0), 4 | port])
        data += (head + struct.pack(">HHH", length, 0, len(frame)) + more + body).ljust(length, b"\0")
    return data


def pcapng(frames: list[bytes], order: str = "<", link: int = 1, options: bytes = b"") -> bytes:
    data = wire.section(order) + wire.interface(link, options, order)
    return data + b"".join(
        wire.enhanced(frame, START // 1000 + 1000 * number, 0, order) for number, frame in enumerate(frames)
    )


def raw(frames: list[bytes]) -> list[bytes]:
    return [frame[14:] for frame in frames]


WRITERS: dict[str, Callable[[list[bytes]], bytes]] = {
    "little": wire.pcap,
    "big": lambda frames: wire.pcap(frames, order=">"),
    "nanoseconds": lambda frames: wire.pcap(frames, nanoseconds=True),
    "raw": lambda frames: wire.pcap(raw(frames), link=101),
    "pcapng": pcapng,
    "pcapng big": lambda frames: pcapng(frames, ">"),
    "pcapng raw": lambda frames: pcapng(raw(frames), link=101),
    "snoop": snoop,
}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(WRITERS, repeat=2)))
def test_files_joined_with_cat(audit_bytes: Run, first: str, second: str) -> None:
    """A file header where a record should begin is another file, whatever format, byte order and link type each has."""
    data = WRITERS[first](packets(1001)) + WRITERS[second](packets(1002)) + WRITERS[first](packets(1003))
    result = audit_bytes(data)
    row = wire.only(result.captures)
    assert (row["packets"], row["status"]) == (18, "complete")
    assert sorted(result.flows["client_port"]) == [1001, 1002, 1003]
    assert set(result.flows["server_name"]) == {"example.org"}
    assert result.flows["started"].dt.year.tolist() == [2023] * 3
    both_pcapng = first.startswith("pcapng") and second.startswith("pcapng")
    assert both_pcapng == ("joined" not in str(row["warnings"]))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("writer", ["little", "pcapng"])
def test_packed_files_joined_with_cat(audit_bytes: Run, pack: Any, writer: str) -> None:
    """Packed files that were joined are read to the last one, also behind one that is not packed."""
    parts = [WRITERS[writer](packets(1000 + number)) for number in range(3)]
    for data in (b"".join(map(pack, parts)), parts[0] + pack(parts[1]) + pack(parts[2])):
        row = wire.only(audit_bytes(data).captures)
        assert (row["packets"], row["status"]) == (18, "complete")


PACKS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(PACKS, [*PACKS, "plain"])))
@pytest.mark.parametrize("filled", [0, 3, 512])
def test_packed_and_other_files_joined(audit_bytes: Run, first: str, second: str, filled: int) -> None:
    """Behind a packed file another one may follow that is packed otherwise, or not at all; zeros may lie between them."""
    parts = [wire.pcap(packets(1001)), pcapng(packets(1002), ">"), wire.pcap(packets(1003))]
    data = PACKS[first](parts[0]) + bytes(filled) + PACKS.get(second, bytes)(parts[1])
    data += PACKS[first](parts[2]) if second != "plain" else b""
    row = wire.only(audit_bytes(data + bytes(filled) if second != "plain" else data).captures)
    assert (row["packets"], row["status"]) == (12 if second == "plain" else 18, "complete")


@pytest.mark.parametrize("name", ["zstd", "lz4"])
@pytest.mark.parametrize("place", ["before", "between", "behind"])
def test_frames_to_be_passed_over(audit_bytes: Run, name: str, place: str) -> None:
    """Skippable frames of zstd and lz4, which parallel and seekable writers add, hide nothing."""
    skipped = b"\x5e\x2a\x4d\x18" + struct.pack("<I", 9) + b"places..."
    parts = [PACKS[name](wire.pcap(packets(1001))), PACKS[name](wire.pcap(packets(1002)))]
    at = ("before", "between", "behind").index(place)
    if name == "lz4" and at == 0:
        at = 1
    row = wire.only(audit_bytes(b"".join([*parts[:at], skipped, *parts[at:]])).captures)
    assert (row["packets"], row["status"], row["compression"]) == (12, "complete", name)


@pytest.mark.parametrize("first", PACKS)
@pytest.mark.parametrize("size", [1, 7, 200])
def test_something_else_behind_a_packed_file(audit_bytes: Run, first: str, size: int) -> None:
    """What is no capture behind one is damage, and all before it is reported."""
    row = wire.only(audit_bytes(PACKS[first](wire.pcap(packets(1))) + b"\xfe" * size).captures)
    assert (row["packets"], row["status"]) == (6, "truncated" if size < 16 else "damaged")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("size", [32, 5000, 1 << 20])
def test_zeros_behind_the_last_packet(audit_bytes: Run, writer: str, size: int) -> None:
    """Room that was reserved and never written to holds no packets, and moves no times; it is told."""
    row = wire.only(audit_bytes(WRITERS[writer](packets(1)) + bytes(size)).captures)
    assert (row["packets"], row["started"].year, row["short"]) == (6, 2023, 0)
    assert row["status"] == "damaged"
    assert writer == "snoop" or "zeros follow" in row["warnings"]


def test_joined_files_on_standard_input() -> None:
    """What comes through a pipe is read in the same way."""
    data = wire.pcap(packets(1001)) + pcapng(packets(1002))
    command = [sys.executable, "-m", "auditor", "pcap", "-", "--format", "jsonl", "--table", "captures"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert b'"packets": 12' in done.stdout


def test_a_joined_file_that_is_cut(audit_bytes: Run) -> None:
    """Where the second file ends inside its header, that is told, and the first one is whole."""
    for length in (5, 15, 17, 23):
        row = wire.only(audit_bytes(wire.pcap(packets(1)) + wire.pcap(packets(2))[:length]).captures)
        assert (row["packets"], row["status"]) == (6, "truncated")


@pytest.mark.parametrize("block_bytes", [65_536, 65_537, 70_001])
def test_many_joined_files(tmp_path: Any, block_bytes: int) -> None:
    """Hundreds of files, wherever the blocks that are read end; not each one is told."""
    data = b"".join(wire.pcap(packets(1000 + number) + [bytes(700)] * 3) for number in range(200))
    path = wire.write(tmp_path, data)
    result = audit_files(path, Options(), block_bytes=block_bytes)
    row = wire.only(result.captures)
    assert (row["packets"], row["status"], len(result.flows)) == (1800, "complete", 200)
    assert row["warnings"].count("joined") <= 5


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_second_that_is_a_magic_number(audit_bytes: Run, order: str) -> None:
    """Packets of the seconds whose numbers are magic numbers are packets."""
    frames = [(second * wire.SECOND + 5_000, packets(1)[0]) for second in (0x34CDB2A1, 0x4D3CB2A1, 0xA1B2C3D4)]
    row = wire.only(audit_bytes(wire.pcap(frames, order=order)).captures)
    assert (row["packets"], pd.isna(row["warnings"])) == (3, True)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("first", [0, 999])
def test_nanoseconds_under_a_magic_number_of_microseconds(audit_bytes: Run, order: str, first: int) -> None:
    """Fractions of a second far above a million are nanoseconds, of the packets before too; that is told."""
    frames = [(START + first + number * 90_000_000, p) for number, p in enumerate(packets(1))]
    right = wire.pcap(frames, order=order, nanoseconds=True)
    wrong = right.replace(struct.pack(f"{order}I", 0xA1B23C4D), struct.pack(f"{order}I", 0xA1B2C3D4), 1)
    expected = wire.only(audit_bytes(right).captures)
    result = audit_bytes(wrong)
    row = wire.only(result.captures)
    assert (row["started"], row["ended"]) == (expected["started"], expected["ended"])
    assert "taken as nanoseconds" in row["warnings"]


def test_a_fraction_a_little_above_a_second(audit_bytes: Run) -> None:
    """A writer that adds microseconds and carries nothing over means microseconds; that is told too."""
    data = bytearray(wire.pcap([(START, p) for p in packets(1)]))
    data[28:32] = struct.pack("<I", 1_200_000)
    row = wire.only(audit_bytes(bytes(data)).captures)
    assert row["packets"] == 6
    assert row["ended"].value == START + 1_200_000_000
    assert "more than a second" in row["warnings"]


def test_nanoseconds_above_a_second(audit_bytes: Run) -> None:
    """Fractions above a second under the magic number of nanoseconds are told, too."""
    data = bytearray(wire.pcap([(START, p) for p in packets(1)], nanoseconds=True))
    data[28:32] = struct.pack("<I", 1_200_000_000)
    row = wire.only(audit_bytes(bytes(data)).captures)
    assert (row["packets"], row["ended"].value) == (6, START + 1_200_000_000)
    assert "above 999999999" in row["warnings"]


def unpadded(frames: list[bytes], order: str, counted: bool) -> bytes:
    """Blocks whose total length leaves the padding out; ``counted``: the padding is in the file all the same."""
    data = wire.section(order) + wire.interface(1, wire.option(2, b"dx0", order), order)
    for number, frame in enumerate(frames):
        ticks = START // 1000 + number
        body = struct.pack(f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)) + frame
        padding = b"\0" * (-len(frame) % 4) if counted else b""
        length = struct.pack(f"{order}I", len(body) + 12)
        data += struct.pack(f"{order}I", 6) + length + body + padding + length
    return data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("counted", [True, False])
def test_blocks_whose_length_is_no_multiple_of_four(audit_bytes: Run, order: str, counted: bool) -> None:
    """Whether their padding is there and not counted, or not there at all, all packets are read."""
    frames = [frame + b"\0" * (number % 4) for number, frame in enumerate(packets(1))]
    row = wire.only(audit_bytes(unpadded(frames, order, counted)).captures)
    assert (row["packets"], row["status"], row["interfaces"]) == (6, "complete", "dx0")
    name = wire.block(11, b"a block of another kind", order)
    odd = struct.pack(f"{order}II", 11, 15) + b"abc" + (b"\0" if counted else b"") + struct.pack(f"{order}I", 15)
    row = wire.only(audit_bytes(unpadded(frames, order, counted) + odd + name + odd).captures)
    assert (row["packets"], row["status"]) == (6, "complete")


def test_many_interfaces(audit_bytes: Run) -> None:
    """With 32,000 interfaces each packet is of its own, and one warning tells of their link type."""
    count = 32_000
    data = wire.section() + b"".join(wire.interface(189, wire.option(2, b"if%d" % n)) for n in range(1, count))
    data += wire.interface(1, wire.option(2, b"last"))
    data += wire.enhanced(packets(1)[0], START // 1000, count - 1) + wire.enhanced(bytes(80), START // 1000, 7)
    result = audit_bytes(data)
    assert wire.only(result.flows)["interface"] == "last"
    row = wire.only(result.captures)
    assert (row["packets"], row["link_types"]) == (2, "Linux-USB Ethernet")
    assert row["warnings"].count("Linux USB") == 1


def test_erf_that_wireshark_wrote(audit_bytes: Run) -> None:
    """A record of metadata without a time, which Wireshark writes first, begins a file of ERF like any other."""
    metadata = bytes(8) + b"\x9b\4" + struct.pack(">HHH", 40, 0, 17) + bytes(24)
    row = wire.only(audit_bytes(metadata + erf(packets(1))).captures)
    assert (row["format"], row["packets"], row["status"]) == ("erf", 6, "complete")


@pytest.mark.parametrize("extensions", [0, 1, 3])
@pytest.mark.parametrize("kind", [2, 11, 16, 20, 22])
@pytest.mark.parametrize("wrapped", [False, True])
def test_endace_records(audit_bytes: Run, kind: int, extensions: int, wrapped: bool) -> None:
    """ERF files and ERF in a pcap: Ethernet and IP records, with extension headers, and the port as interface."""
    frames = raw(packets(1)) if kind == 22 else packets(1)
    data = erf(frames, kind, extensions, port=2)
    if wrapped:
        records = []
        while data:
            length = int.from_bytes(data[10:12], "big")
            records.append(data[:length])
            data = data[length:]
        data = wire.pcap(records, link=197)
    else:
        data += bytes(4) + struct.pack("<I", 1_700_000_000) + bytes([48, 4]) + struct.pack(">HHH", 16, 0, 0)
    result = audit_bytes(data)
    row = wire.only(result.captures)
    assert (row["packets"], row["status"], row["short"]) == (6, "complete", 0)
    flow = wire.only(result.flows)
    assert (flow["interface"], flow["server_name"]) == ("port-2", "example.org")
    assert flow["started"].value // wire.SECOND == 1_700_000_000


def test_erf_packed_and_cut(audit_bytes: Run) -> None:
    """ERF is told by its records, packed too; one that ends inside a record says where."""
    data = erf(packets(1))
    assert wire.only(audit_bytes(gzip.compress(data)).captures)["packets"] == 6
    row = wire.only(audit_bytes(data[:-5]).captures)
    assert (row["packets"], row["status"]) == (5, "truncated")


@pytest.mark.parametrize("data", [bytes(64), b"\0" * 15, bytes(range(256)), b"\1" * 64, b"x" * 99])
def test_what_is_no_erf_is_not_taken_for_it(audit_bytes: Run, data: bytes) -> None:
    """Zeros and other bytes are no records of packets."""
    with pytest.raises(auditor.InputError, match="not a pcap"):
        audit_bytes(data)


@pytest.mark.parametrize("size", [240, 900])
@pytest.mark.parametrize("kind", [*range(1, 30), 48])
def test_one_header_alone_is_no_erf(audit_bytes: Run, kind: int, size: int) -> None:
    """A header whose record does not end where its file shows it is no proof: other files have such bytes by chance."""
    header = struct.pack("<II", 77, 1_700_000_000) + bytes([kind, 4]) + struct.pack(">HHH", 60_000, 0, 1400)
    with pytest.raises(auditor.InputError, match="not a pcap"):
        audit_bytes(header + b"\x9a" * size)


def test_a_packed_capture_of_any_time_behind_a_byte_order_mark_is_no_erf(audit_bytes: Run) -> None:
    """Of gzip's header, which has a time in it, none is taken for a record of packets."""
    data = gzip.compress(wire.pcap(packets(1)), mtime=0)
    for fraction in range(0, 256, 7):  # the byte of the time that stands where a record has its type
        with pytest.raises(auditor.InputError, match="behind a byte order mark"):
            audit_bytes(b"\xef\xbb\xbf" + data[:4] + bytes([fraction, 0x90, 9, 107]) + data[8:])
