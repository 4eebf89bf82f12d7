"""What stands between Ethernet and IP besides 802.1Q: tags and headers of fabrics, rings, service chains and MACsec.

Each function reads one header at ``packet.position`` and returns the next layer's number.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be48
from auditor.decode.layers import (
    BROADCOM_TAG,
    BY_NEXT_PROTOCOL,
    E_TAG,
    ETHERNET,
    ETHERTYPE_LAYER,
    FABRIC_PATH,
    MARVELL_TAG,
    RAW_IP,
    RING_TAG,
    STOP,
)
from auditor.decode.link import cut, encrypted, malformed, not_ip
from auditor.decode.overlay import is_whole_ip
from auditor.decode.packet import CHAIN_SHIM, DECODED, PacketRow
from auditor.machine.kernel import part

# Bytes of tags of one length: HSR's path, size and sequence number; Cisco's VN-Tag; 802.1BR's E-Tag.
STAMP, LONG_STAMP, SHORT_STAMP = 1, 1, 2  # of Arista: subtype, and forms of 64 and 48 bits
RING_BYTES, VN_BYTES, E_BYTES, FABRIC_PATH_BYTES = 4, 4, 6, 2
MARVELL_BYTES, IS_TAGGED = 4, 0x20  # a switch's tag, and its bit for a frame that had a VLAN tag
LONGEST_UNNAMED = 8  # bytes of a switch's tag that has no ethertype of its own


@part
def cisco_metadata(packet: PacketRow) -> int:
    """Cisco TrustSec's metadata: version, length, option and security group tag, then an ethertype."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    packet.position = at + 6
    return ETHERTYPE_LAYER


@part
def macsec(block: Bytes, packet: PacketRow) -> int:
    """IEEE 802.1AE: a frame is encrypted if the E bit says so; otherwise only its integrity is protected."""
    at = packet.position
    if at + 6 > packet.end:
        return cut(packet)
    if block[at] & 0x08:
        return encrypted(packet)
    packet.position = at + (14 if block[at] & 0x20 else 6)
    return ETHERTYPE_LAYER


@part
def backbone(packet: PacketRow) -> int:
    """IEEE 802.1ah: a service tag of four bytes, then the customer's frame."""
    packet.position += 4
    return ETHERNET


@part
def tag(packet: PacketRow, layer: int) -> int:
    """A tag of one length, behind which an ethertype follows; of FabricPath, the frame that it carries."""
    size = RING_BYTES if layer == RING_TAG else E_BYTES if layer == E_TAG else VN_BYTES
    if layer == FABRIC_PATH:
        size = FABRIC_PATH_BYTES
    packet.position += size
    return ETHERNET if layer == FABRIC_PATH else ETHERTYPE_LAYER


@part
def timed(block: Bytes, packet: PacketRow) -> int:
    """Arista's time stamp: a subtype, a version that says how long the stamp is, the stamp, an ethertype."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    size = 8 if block[at + 3] >> 4 == LONG_STAMP else 6 if block[at + 3] >> 4 == SHORT_STAMP else 0
    if be16(block, at) != STAMP or size == 0:
        return not_ip(packet)
    packet.position = at + 4 + size
    return ETHERTYPE_LAYER


@part
def trill(block: Bytes, packet: PacketRow) -> int:
    """TRILL (RFC 6325 3.2): version, length of options in four bytes, hops, two nicknames, options; then a frame."""
    at = packet.position
    if at + 6 > packet.end:
        return cut(packet)
    if block[at] >> 6 != 0:
        return malformed(packet)
    packet.position = at + 6 + (be16(block, at) >> 6 & 31) * 4
    return ETHERNET


@part
def nsh(block: Bytes, packet: PacketRow) -> int:
    """A service chain's header (RFC 8300 2.2): length in four bytes, next protocol, path, metadata."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    size = (be16(block, at) & 0x3F) * 4
    if size < 8:
        return malformed(packet)
    packet.shims |= CHAIN_SHIM
    packet.position = at + size
    layer = int(BY_NEXT_PROTOCOL[block[at + 3]])
    return layer if layer != STOP else not_ip(packet)


@part
def redirected(block: Bytes, packet: PacketRow) -> int:
    """A packet that a router redirects by WCCP: IP, or in version 2 behind a header of four bytes."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    if block[at] >> 4 != 4:
        packet.position = at + 4
    return RAW_IP


@part
def marvell_tag(block: Bytes, packet: PacketRow, at: int) -> int:
    """A tag of Marvell's switches, in which a frame's VLAN tag is kept (tcpdump.org, Marvell switch tag)."""
    if at + MARVELL_BYTES > packet.end:
        return cut(packet)
    if block[at] & IS_TAGGED:
        packet.vlans = (packet.vlans << np.uint64(12)) | np.uint64(be16(block, at + 2) & 0xFFF)
        packet.vlan_count += 1
    packet.position = at + MARVELL_BYTES
    return ETHERTYPE_LAYER


@part
def switch_tagged(block: Bytes, packet: PacketRow, layer: int) -> int:
    """A frame with the tag of a switch's port behind its addresses: Broadcom's, or Marvell's with a type of its own or not."""
    at = packet.position
    if at + 12 > packet.end:
        return cut(packet)
    packet.target_mac = be48(block, at)
    packet.source_mac = be48(block, at + 6)
    at += 12
    if layer == BROADCOM_TAG:
        packet.position = at + 4
        return ETHERTYPE_LAYER
    return marvell_tag(block, packet, at if layer == MARVELL_TAG else at + 4)


@part
def unnamed(block: Bytes, packet: PacketRow) -> int:
    """What has no known ethertype: a switch's tag without one, if IP that is whole stands behind so many bytes.

    Captures of the port between a processor and its switch have them, under the link type of Ethernet.
    """
    for size in range(2, LONGEST_UNNAMED + 2, 2):
        at = packet.position - 2 + size
        while at + 6 <= packet.end and be16(block, at) == 0x8100:
            at += 4
        if at + 2 <= packet.end and is_whole_ip(block, at + 2, np.int64(packet.end), be16(block, at)):
            packet.status = DECODED
            packet.position += size - 2
            return ETHERTYPE_LAYER
    return not_ip(packet)
