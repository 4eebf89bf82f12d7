"""IEEE 802.11 frames and the headers that capture programs put in front of them."""

from auditor.decode.bytes import Bytes, be16, be32, be48, le16, le32
from auditor.decode.layers import BY_LINK_TYPE, ETHERTYPE_LAYER, STOP, WIRELESS
from auditor.decode.link import cut, encrypted, llc, malformed, not_ip
from auditor.decode.packet import PacketRow
from auditor.machine.kernel import part

DATA = 2
SUBFRAME, FARTHEST = (
    14,
    0xFFFF,
)  # bytes of the header of a frame in an aggregate; how far behind the first the next is seen
QUALITY, AGGREGATE = 0x80, 0x80  # a subtype with a field for quality of service, and that field's bit for an A-MSDU


@part
def header_size(control: int, bits: int) -> int:
    """Bytes of a data frame's header: a fourth address, quality of service, and with the order bit high throughput."""
    size = 30 if bits & 3 == 3 else 24
    if control & 0x80:
        size += 6 if bits & 0x80 else 2
    return size


@part
def is_data_frame(block: Bytes, at: int, end: int, control: int, bits: int) -> bool:
    """Whether a data frame of version 0 with these two bytes of frame control is there: encrypted, or LLC behind the header."""
    if control & 0x4F != DATA << 2:
        return False
    at += header_size(control, bits)
    return bits & 0x40 != 0 or (at + 3 <= end and block[at] == 0xAA and block[at + 1] == 0xAA and block[at + 2] == 3)


@part
def first_of_aggregate(block: Bytes, packet: PacketRow, at: int) -> int:
    """The first frame of an A-MSDU (IEEE 802.11 9.3.2.2.2): its own addresses, its length, then LLC.

    Frames behind it begin at a multiple of four bytes. They are packets of their own, see ``reading.aggregates``.
    """
    if at + SUBFRAME > packet.end:
        return cut(packet)
    packet.target_mac = be48(block, at)
    packet.source_mac = be48(block, at + 6)
    size = be16(block, at + 12)
    further = at + (SUBFRAME + size + 3) // 4 * 4
    if further + SUBFRAME < packet.end and further - packet.begin <= FARTHEST:
        packet.further = further - packet.begin
    packet.end = min(packet.end, at + SUBFRAME + size)
    packet.position = at + SUBFRAME
    return llc(block, packet)


@part
def mesh_control(block: Bytes, at: int, end: int) -> int:
    """Bytes of the Mesh Control field (IEEE 802.11 9.2.4.7.3): flags, TTL, sequence number, up to two addresses; 0 for none.

    The bit that tells of it means something else outside of a mesh: so LLC has to follow.
    """
    size = 6 + 6 * int(block[at] & 3)
    is_there = block[at] <= 2 and at + size + 8 <= end and be16(block, at + size) == 0xAAAA
    return size if is_there else 0


@part
def dot11(block: Bytes, packet: PacketRow, swapped: bool) -> int:
    """A data frame (IEEE 802.11 9.3.2): addresses by the direction bits, then LLC. Encrypted ones show nothing.

    ``swapped``: the two bytes of frame control are exchanged.
    """
    at, end = packet.position, packet.end
    if at + 24 > end:
        return cut(packet)
    control, bits = int(block[at]), int(block[at + 1])
    if swapped:
        control, bits = bits, control
    if control & 0x0C != DATA << 2 or control & 0x40:  # management, control, or a data frame without data
        return not_ip(packet)
    to_ds, from_ds = bits & 1, bits & 2
    packet.target_mac = be48(block, at + 16) if to_ds else be48(block, at + 4)
    packet.source_mac = be48(block, at + 10) if not from_ds else be48(block, at + 16)
    size = header_size(control, bits)
    if to_ds and from_ds:
        if at + 30 > end:
            return cut(packet)
        packet.source_mac = be48(block, at + 24)
    if bits & 0x40:
        return encrypted(packet)
    is_aggregate = control & QUALITY != 0 and block[at + (30 if to_ds and from_ds else 24)] & AGGREGATE != 0
    at += size
    if is_aggregate:
        return first_of_aggregate(block, packet, at)
    if at + 8 > end:
        return cut(packet)
    if control & QUALITY and block[at] != 0xAA:
        at += mesh_control(block, at, end)
    if block[at] == 0 and block[at + 1] == 0 and at + 10 <= end and block[at + 2] == 0xAA:
        at += 2  # some drivers pad the header to a multiple of four
    if block[at] != 0xAA or block[at + 1] != 0xAA or block[at + 2] != 3:
        return not_ip(packet)
    packet.position = at + 6
    return ETHERTYPE_LAYER


@part
def radiotap(block: Bytes, packet: PacketRow) -> int:
    """radiotap.org: version 0, padding, length, fields. A checksum at the end does not matter: IP has its length."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    size = le16(block, at + 2)
    if block[at] != 0 or size < 8:
        return malformed(packet)
    packet.position = at + size
    return WIRELESS


@part
def prism(block: Bytes, packet: PacketRow) -> int:
    """The monitor header of Prism chips (length in the host's order), or AVS's where its magic number is."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    if be32(block, at) & 0xFFFFF000 == 0x80211000:
        size = be32(block, at + 4)
    else:
        size = le32(block, at + 4)
        if size > 0xFFFF:
            size = be32(block, at + 4)
    if size < 8 or at + size > packet.end:
        return malformed(packet)
    packet.position = at + size
    return WIRELESS


@part
def ppi(block: Bytes, packet: PacketRow) -> int:
    """CACE's Per-Packet Information: version, flags, length, link type."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    packet.position = at + le16(block, at + 2)
    link = le32(block, at + 4)
    layer = int(BY_LINK_TYPE[link]) if link < BY_LINK_TYPE.size else STOP
    return layer if layer != STOP else not_ip(packet)
