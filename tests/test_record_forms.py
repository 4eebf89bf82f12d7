"""Records that are written otherwise than the file's magic number says, or were rewritten on their way."""

import bz2
import gzip
import lzma
import random
import struct
from typing import Any

import lz4.frame
import pytest
import zstandard

from auditor.capture.blocks import CLOSEST, PackedBlocks
from auditor.capture.pcap import PcapHeader
from auditor.capture.record_forms import settled
from tests import wire

RANDOM = random.Random(17)
PACKETS = [wire.datagram(RANDOM.randbytes(300), sport=1024 + number) for number in range(20)]
REQUESTS = [wire.datagram(b"GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n", sport=1024 + k) for k in range(6)]
MODIFIED = 0xA1B2CD34
FURTHER = struct.pack("<IHBBI", 2, 8, 0, 0, 0)  # an interface, a protocol, a packet's type, padding


def with_headers(size: int, packets: list[bytes], magic: int = 0xA1B2C3D4, order: str = "<") -> bytes:
    """A pcap whose records have headers of ``size`` bytes."""
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for number, packet in enumerate(packets):
        head = struct.pack(f"{order}IIII", 1_700_000_000, number, len(packet), len(packet))
        data += (head + FURTHER)[:size] + packet
    return data


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("size", "magic", "writer"),
    [(20, 0xA1B2C3D4, "Nokia"), (24, 0xA1B2C3D4, "Kuznetsov"), (28, MODIFIED, "Kuznetsov")],
)
def test_record_headers_longer_than_promised(
    audit_bytes: Any, size: int, magic: int, writer: str, order: str, count: int
) -> None:
    """The first records show how long their headers are, where a patched libpcap kept another one's magic number."""
    result = audit_bytes(with_headers(size, PACKETS[:count], magic, order))
    row = wire.only(result.captures)
    assert (row["packets"], row["status"], len(result.flows)) == (count, "complete", count)
    assert f"headers of {size} bytes" in row["warnings"]
    assert writer in row["warnings"]


def test_record_headers_of_a_joined_file(audit_bytes: Any) -> None:
    """Files that are joined have records of their own forms each."""
    result = audit_bytes(with_headers(20, PACKETS) + wire.pcap(PACKETS) + with_headers(24, PACKETS))
    assert (wire.only(result.captures)["packets"], len(result.flows)) == (60, 20)


@pytest.mark.parametrize("magic", [0xA1B2C3D4, MODIFIED])
def test_promised_record_headers_stay(magic: int) -> None:
    """A file that is as its magic number says is read so, wherever it is cut, and so is a damaged one."""
    size = 24 if magic == MODIFIED else 16
    data = with_headers(size, PACKETS[:3], magic)
    header = PcapHeader.parse(data[:24])
    for end in range(24, len(data)):
        assert settled(header, data[24:end]) == (header, None)
    for at in range(24, 24 + size + 8):
        damaged = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
        assert settled(header, damaged[24:]) == (header, None)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_transfer_as_text_that_put_in_carriage_returns(audit_bytes: Any, order: str) -> None:
    """Each end of line became two bytes: that is said, and no other form of records is taken for it."""
    for packets in (PACKETS, REQUESTS, REQUESTS[:1]):
        row = wire.only(audit_bytes(wire.pcap(packets, order=order).replace(b"\n", b"\r\n")).captures)
        assert row["status"] in ("damaged", "truncated")
        assert "a transfer as text put in carriage returns" in row["warnings"]
        assert "headers of" not in row["warnings"]
        assert "fractions" not in row["warnings"]


def test_a_transfer_as_text_that_took_out_carriage_returns(audit_bytes: Any) -> None:
    """Ends of lines lost a byte: the next record begins earlier by as many as were lost."""
    texts = [packet.replace(b"\n", b"\r\n", 1) for packet in PACKETS]
    for packets in (texts, REQUESTS):
        row = wire.only(audit_bytes(wire.pcap(packets).replace(b"\r\n", b"\n")).captures)
        assert row["status"] in ("damaged", "truncated")
        assert "a transfer as text took out carriage returns" in row["warnings"]


def test_other_damage_is_no_transfer_as_text(audit_bytes: Any) -> None:
    """Cuts, bytes that were written over and bytes that lack are not taken for one."""
    whole = wire.pcap(REQUESTS)
    for data in (whole[:-7], whole[:200] + b"\xff" * 64 + whole[264:], wire.pcap(PACKETS)[:500] + bytes(9)):
        assert "as text" not in wire.only(audit_bytes(data).captures)["warnings"]


@pytest.mark.parametrize("before", [b"\r\n\r\r\r\n", b"\n\r\n", b"\n\n", b"\n\n\n\n", b"\r\r\r\r"])
def test_a_pcapng_transferred_as_text_is_named(audit_bytes: Any, before: bytes) -> None:
    """The type of its first block is there to show what happened to the ends of lines."""
    data = wire.section() + wire.interface() + wire.enhanced(PACKETS[0], 1)
    with pytest.raises(Exception, match="looks like a pcapng that was transferred as text"):
        audit_bytes(before + data[4:])


@pytest.mark.parametrize("count", [1, 20, 4000])
def test_gzip_with_a_wrong_checksum_gives_all_packets(audit_bytes: Any, count: int) -> None:
    """What was unpacked is there and reported, with the warning that some of it may be wrong."""
    packets = [RANDOM.randbytes(20) + PACKETS[0] for _ in range(count)]
    for place in (-6, -2):  # of the checksum, and of the length
        packed = bytearray(gzip.compress(wire.pcap(packets)))
        packed[place] ^= 1
        row = wire.only(audit_bytes(bytes(packed)).captures)
        assert (row["packets"], row["status"]) == (count, "damaged")
        assert "its checksum is not that of what was unpacked" in row["warnings"]


@pytest.mark.parametrize("name", ["bz2", "xz", "zst", "lz4"])
def test_other_packings_give_what_is_before_a_wrong_checksum(audit_bytes: Any, name: str) -> None:
    """Likewise what libraries unpacked that raise without giving it, where the damage is near the beginning."""
    pack: Any = {
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
        "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
    }[name]
    for packets in (PACKETS, PACKETS * 50):
        packed = bytearray(pack(wire.pcap(packets)))
        packed[-2] ^= 0x55
        row = wire.only(audit_bytes(bytes(packed)).captures)
        assert (row["packets"], row["status"]) == (len(packets), "damaged")


def test_gzip_gives_all_before_damage(audit_bytes: Any) -> None:
    """Damage in the middle costs nothing of what precedes it, however far the last read went."""
    whole = wire.pcap(PACKETS * 40)
    half = whole[: len(whole) // 2]
    packed = gzip.compress(half)[:-8]  # its last block, behind which is no other one

    row = wire.only(audit_bytes(packed + b"\x07" * 40).captures)
    assert row["status"] == "damaged"
    assert row["packets"] == (len(half) - 24) // (len(PACKETS[0]) + 16)


@pytest.mark.parametrize("name", ["zst", "lz4"])
@pytest.mark.parametrize("behind", [b"", b"well packed"])
def test_blocks_before_a_damaged_one_are_given(audit_bytes: Any, name: str, behind: bytes) -> None:
    """Of a large file nothing is lost that lies in whole blocks before the damage, though it came with it in one read."""
    packets = [RANDOM.randbytes(1500) for _ in range(2500)]  # more than what is unpacked once more at the end
    packer: Any = zstandard.ZstdCompressor().compressobj() if name == "zst" else lz4.frame.LZ4FrameCompressor()
    begin = b"" if name == "zst" else packer.begin()
    packed = begin + packer.compress(wire.pcap(packets))
    packed += packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) if name == "zst" else b""
    if name == "lz4":
        packed += packer.flush()[:-4]  # the mark of the end
    # A block of a kind that is reserved, or one that is longer than blocks are.
    damage = b"\xff\xff\xff" if name == "zst" else b"\xff\xff\xff\x7f"
    row = wire.only(audit_bytes(packed + damage + behind).captures)
    assert (row["packets"], row["status"]) == (len(packets), "damaged")


def test_small_blocks_are_unpacked_together() -> None:
    """However small the blocks of a file are, calls of the library get enough bytes to be worth it."""
    packer = zstandard.ZstdCompressor().compressobj()
    packed = b"".join(
        packer.compress(bytes([k % 256])) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for k in range(3000)
    )
    for size in (1, 100, 4096, len(packed)):
        blocks, calls, at = PackedBlocks("zstd"), 0, 0
        while at < len(packed):
            at += blocks.take(packed[at : at + size])
            calls += 1
        assert calls <= len(packed) // min(size, CLOSEST) + 1
