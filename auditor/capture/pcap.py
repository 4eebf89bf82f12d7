"""The pcap file format (draft-ietf-opsawg-pcap) and snoop's (RFC 1761): headers, and the kernels that walk records."""

from typing import Literal, NamedTuple

from auditor.decode.bytes import Bytes, be32, u32
from auditor.decode.packet import BLANK_PACKET, PacketRow, PacketRows
from auditor.machine.blank import copy_record
from auditor.machine.kernel import inlined, part

MAGICS = {
    b"\xd4\xc3\xb2\xa1": (False, 1000),
    b"\xa1\xb2\xc3\xd4": (True, 1000),
    b"\x4d\x3c\xb2\xa1": (False, 1),
    b"\xa1\xb2\x3c\x4d": (True, 1),
}
# Alexey Kuznetsov's modified pcap: interface, protocol and packet type follow each record's header.
MODIFIED = {b"\x34\xcd\xb2\xa1": (False, 1000), b"\xa1\xb2\xcd\x34": (True, 1000)}
MAGICS |= MODIFIED
# AIX's tcpdump writes version 2.2, nanoseconds, and for link types what its kernel calls interfaces (RFC 1573 ifType).
AIX_VERSION, AIX_LINKS = (2, 2), {6: 1, 9: 6, 15: 10, 24: 0}
SNOOP_MAGIC = b"snoop\0\0\0"
SNOOP_LINKS = {0: 1, 4: 1}  # RFC 1761: IEEE 802.3 and Ethernet are the same here
HEADER_BYTES, SNOOP_HEADER_BYTES = 24, 16
RECORD_BYTES, MODIFIED_RECORD_BYTES = 16, 24
LARGEST_PACKET = 262_144  # libpcap's MAXIMUM_SNAPLEN: a longer record is damage
MOST_MICROSECONDS, MOST_NANOSECONDS, ANY_FRACTION = (
    999_999,
    999_999_999,
    0xFFFFFFFF,
)  # how large a record's fraction of a second may be
# How a walk ended.
MORE, DAMAGED, SPECIAL, FULL = 0, 1, 2, 3


class PcapHeader(NamedTuple):
    """The file header of a pcap: byte order, nanoseconds a tick of the time stamps, link type, snap length."""

    big_endian: bool
    tick: int
    link_type: int
    snap_length: int
    record_bytes: int = RECORD_BYTES
    most_fraction: int = ANY_FRACTION

    @classmethod
    def parse(cls, data: bytes) -> "PcapHeader":
        """Read the first 24 bytes, whose magic number is known to be one of ``MAGICS``."""
        big_endian, tick = MAGICS[data[:4]]
        order: Literal["big", "little"] = "big" if big_endian else "little"
        version = int.from_bytes(data[4:6], order), int.from_bytes(data[6:8], order)
        link_type = int.from_bytes(data[20:24], order) & 0xFFFF
        if version == AIX_VERSION and link_type in AIX_LINKS:
            tick, link_type = 1, AIX_LINKS[link_type]
        return cls(
            big_endian,
            tick,
            link_type,
            int.from_bytes(data[16:20], order),
            MODIFIED_RECORD_BYTES if data[:4] in MODIFIED else RECORD_BYTES,
            MOST_MICROSECONDS if tick == 1000 else MOST_NANOSECONDS,
        )


def fractions(data: bytes, header: PcapHeader) -> list[int]:
    """The fractions of a second of the records that begin in ``data``, which begins with one."""
    order: Literal["big", "little"] = "big" if header.big_endian else "little"
    found, at = [], 0
    while at + header.record_bytes <= len(data):
        found.append(int.from_bytes(data[at + 4 : at + 8], order))
        at += header.record_bytes + int.from_bytes(data[at + 8 : at + 12], order)
    return found


@inlined
def list_packet(
    packet: PacketRow, time: int, frame: int, begin: int, captured: int, original: int, interface: int, link: int
) -> None:
    """Make ``packet`` the one whose ``captured`` of ``original`` bytes lie at ``begin``; nothing of it is decoded yet."""
    copy_record(packet, BLANK_PACKET[0])
    packet.time = time
    packet.frame = frame
    packet.begin = begin
    packet.captured = captured
    packet.position = begin
    packet.end = begin + captured
    packet.missing = max(0, original - captured)
    packet.wire_length = max(original, captured)
    packet.interface = interface
    packet.link = link


@inlined
def may_be_header(second: int, fraction: int) -> bool:
    """Whether a record's time, read in whichever byte order, is the magic number and version of a file header."""
    if fraction != 0x00040002 and fraction != 0x02000400 and fraction != 0x00020004 and fraction != 0x04000200:
        return False
    return (
        second == 0xA1B2C3D4
        or second == 0xD4C3B2A1
        or second == 0xA1B23C4D
        or second == 0x4D3CB2A1
        or second == 0xA1B2CD34
        or second == 0x34CDB2A1
    )


@part
def walk_pcap(
    block: Bytes,
    position: int,
    stop: int,
    big_endian: bool,
    tick: int,
    link: int,
    largest: int,
    record_bytes: int,
    interface: int,
    most_fraction: int,
    frame: int,
    packets: PacketRows,
) -> tuple[int, int, int]:
    """List the packets that lie whole in ``block[position:stop]``.

    Returns how many were listed, where the next record begins, and how the walk ended: MORE (bytes needed), DAMAGED
    (no record can begin there), SPECIAL (another file's header is there, or a fraction of a second that is larger than
    ``most_fraction``) or FULL (``packets`` has no more room).
    """
    count = 0
    while count < packets.size:
        if position + record_bytes > stop:
            return count, position, MORE
        captured = u32(block, position + 8, big_endian)
        original = u32(block, position + 12, big_endian)
        if captured > largest:
            return count, position, DAMAGED
        second, fraction = u32(block, position, big_endian), u32(block, position + 4, big_endian)
        if second == 0 and fraction == 0 and original == 0 and captured == 0:  # what was never written to
            return count, position, DAMAGED
        if fraction > most_fraction or may_be_header(second, fraction):
            return count, position, SPECIAL
        begin = position + record_bytes
        if begin + captured > stop:
            return count, position, MORE
        time = second * 1_000_000_000 + fraction * tick
        list_packet(packets[count], time, frame + count + 1, begin, captured, original, interface, link)
        position = begin + captured
        count += 1
    return count, position, FULL


def snoop_link(header: bytes) -> int | None:
    """The link type of a snoop file by its first 16 bytes; None for one that is not decoded."""
    return SNOOP_LINKS.get(int.from_bytes(header[12:16], "big"))


@part
def walk_snoop(
    block: Bytes, position: int, stop: int, link: int, largest: int, interface: int, frame: int, packets: PacketRows
) -> tuple[int, int, int]:
    """As ``walk_pcap``, for snoop: original length, captured length, record length, drops, seconds, microseconds."""
    count = 0
    while count < packets.size:
        if position + 24 > stop:
            return count, position, MORE
        original, captured, length = be32(block, position), be32(block, position + 4), be32(block, position + 8)
        if captured > largest or length < 24 + captured or length > largest + 64:
            return count, position, DAMAGED
        if position + length > stop:
            return count, position, MORE
        time = be32(block, position + 16) * 1_000_000_000 + be32(block, position + 20) * 1000
        list_packet(packets[count], time, frame + count + 1, position + 24, captured, original, interface, link)
        position += length
        count += 1
    return count, position, FULL
