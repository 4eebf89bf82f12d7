"""What stands between Ethernet and IP besides 802.1Q: tags and headers of fabrics, rings, service chains and MACsec.

Each function reads one header at ``packet.position`` and returns the next layer's number.
"""

from auditor.decode.bytes import Bytes, be16
from auditor.decode.layers import (
    BY_NEXT_PROTOCOL,
    E_TAG,
    ETHERNET,
    ETHERTYPE_LAYER,
    FABRIC_PATH,
    RAW_IP,
    RING_TAG,
    STOP,
)
from auditor.decode.link import cut, encrypted, malformed, not_ip
from auditor.decode.packet import PacketRow
from auditor.machine.kernel import part

# Bytes of tags of one length: HSR's path, size and sequence number; Cisco's VN-Tag; 802.1BR's E-Tag.
STAMP, LONG_STAMP, SHORT_STAMP = 1, 1, 2  # of Arista: subtype, and forms of 64 and 48 bits
RING_BYTES, VN_BYTES, E_BYTES, FABRIC_PATH_BYTES = 4, 4, 6, 2


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
