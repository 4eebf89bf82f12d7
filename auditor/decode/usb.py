"""Ethernet over USB, as telephones and modems carry it: CDC's Ethernet and network control models, Microsoft's RNDIS.

What a bulk transfer carries is not said anywhere near it: it has to look like one of them, and hold a whole frame. Frames
behind the first one of a transfer are listed in ``reading.aggregates``.
"""

from auditor.decode.bytes import Bytes, be32, le16, le32
from auditor.decode.layers import ETHERNET, USB_LINUX, USB_PCAP
from auditor.decode.link import cut, not_ip
from auditor.decode.overlay import is_whole_frame
from auditor.decode.packet import PacketRow
from auditor.decode.wireless import FARTHEST
from auditor.machine.kernel import part

BULK = 3  # kind of transfer, in Linux and Windows alike
LINUX_HEADER, MMAPPED_HEADER, WINDOWS_HEADER = 48, 64, 27
RNDIS_PACKET, RNDIS_HEADER = 1, 44  # [MS-RNDIS] 2.2.14
NCM_HEADER, NCM_POINTERS = 0x4E434D48, 0x4E434D30  # NCMH, and NCM0 or NCM1 (NCM 1.0, 3.2, 3.3)


@part
def usb(block: Bytes, packet: PacketRow, layer: int) -> int:
    """The header of Linux' usbmon or of USBPcap, then what a bulk transfer carries."""
    at, end = packet.position, packet.end
    size = WINDOWS_HEADER if layer == USB_PCAP else LINUX_HEADER if layer == USB_LINUX else MMAPPED_HEADER
    if at + size > end:
        return cut(packet)
    kind = block[at + 22] if layer == USB_PCAP else block[at + 9]
    packet.position = at + (le16(block, at) if layer == USB_PCAP else size)
    return network_frame(block, packet) if kind == BULK and packet.position < end else not_ip(packet)


@part
def network_frame(block: Bytes, packet: PacketRow) -> int:
    """The first frame of a transfer: behind the header of RNDIS, by the pointers of NCM, or as it is."""
    at, end = packet.position, packet.end
    first, size, further = at, end - at, end
    if at + RNDIS_HEADER <= end and le32(block, at) == RNDIS_PACKET:
        first, size, further = at + 8 + le32(block, at + 8), le32(block, at + 12), at + le32(block, at + 4)
        if first + size > further or further > end:
            return not_ip(packet)
    elif at + 12 <= end and be32(block, at) == NCM_HEADER:
        pointers = at + le16(block, at + 10)
        if pointers + 16 > end or be32(block, pointers) & 0xFFFFFFFE != NCM_POINTERS:
            return not_ip(packet)
        first, size = at + le16(block, pointers + 8), le16(block, pointers + 10)
        further = at + le16(block, pointers + 12)
    elif not is_whole_frame(block, at, end):
        return not_ip(packet)
    if at < further < end and further - packet.begin <= FARTHEST:
        packet.further = further - packet.begin
    packet.position = first
    packet.end = min(end, first + size)
    return ETHERNET
