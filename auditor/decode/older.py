"""Link layers of captures that were not made on Ethernet or Linux: frame relay, ATM, FDDI, token ring, routers of Juniper.

Each function reads one header at ``packet.position`` and returns the next layer's number.
"""

from auditor.decode.bytes import Bytes, be16, be24
from auditor.decode.layers import (
    BY_ETHERTYPE,
    CISCO_HDLC,
    DIRECTED_HDLC,
    DIRECTED_PPP,
    ETHERNET,
    ETHERTYPE_LAYER,
    FRAME_RELAY,
    IPV4,
    IPV6,
    PPP_HDLC,
    RAW_IP,
    STOP,
    TOKEN_RING,
)
from auditor.decode.link import cut, llc, malformed, not_ip
from auditor.decode.packet import PacketRow
from auditor.machine.kernel import part

# Network layer protocol identifiers (RFC 2427 4).
UNNUMBERED, NLPID_SNAP, NLPID_IPV4, NLPID_IPV6, PADDING = 0x03, 0x80, 0xCC, 0x8E, 0
JUNIPER_MAGIC, JUNIPER_EXTENDED, JUNIPER_NO_LINK = 0x4D4743, 0x80, 0x02  # flags of its header


@part
def directed(packet: PacketRow, layer: int) -> int:
    """A byte that says which way the packet went, then the link layer itself."""
    packet.position += 1
    if layer == DIRECTED_PPP:
        return PPP_HDLC
    return CISCO_HDLC if layer == DIRECTED_HDLC else FRAME_RELAY


@part
def ppp_of_pppd(packet: PacketRow) -> int:
    """PPP with the direction in place of the address, and the control byte."""
    packet.position += 2
    return PPP_HDLC


@part
def frame_relay(block: Bytes, packet: PacketRow) -> int:
    """An address of 2 to 4 bytes (Q.922 3.3), then a protocol identifier (RFC 2427), or Cisco's ethertype."""
    at, end = packet.position, packet.end
    first = at
    while at < end and at < first + 3 and block[at] & 1 == 0:
        at += 1
    at += 1
    if at + 4 > end:
        return cut(packet)
    if block[at] != UNNUMBERED:
        packet.position = at
        return ETHERTYPE_LAYER
    at += 2 if block[at + 1] == PADDING else 1
    packet.position = at + 1
    if block[at] == NLPID_IPV4:
        return IPV4
    if block[at] == NLPID_IPV6:
        return IPV6
    if block[at] != NLPID_SNAP or at + 6 > end:
        return not_ip(packet)
    packet.position = at + 6
    if be24(block, at + 1) != 0:
        return ETHERNET if be16(block, at + 4) == 1 or be16(block, at + 4) == 7 else not_ip(packet)
    layer = int(BY_ETHERTYPE[be16(block, at + 4)])
    return layer if layer != STOP else not_ip(packet)


@part
def ring(block: Bytes, packet: PacketRow, layer: int) -> int:
    """FDDI (frame control, addresses) and token ring (access, frame control, addresses, perhaps a route), then LLC."""
    at = packet.position + (2 if layer == TOKEN_RING else 1)
    if at + 14 > packet.end:
        return cut(packet)
    size = 12
    if layer == TOKEN_RING and block[at + 6] & 0x80:  # a source route, whose length is in its first byte
        size += int(block[at + 12] & 0x1F)
    packet.position = at + size
    return llc(block, packet)


@part
def atm(block: Bytes, packet: PacketRow, header: int) -> int:
    """LLC in AAL5 (RFC 2684 5), behind ``header`` bytes; a bridged frame has two bytes of padding in front."""
    packet.position += header
    layer = llc(block, packet)
    if layer == ETHERNET:
        packet.position += 2
    return layer


@part
def skipped(packet: PacketRow, size: int, layer: int) -> int:
    """A header that says nothing of interest."""
    packet.position += size
    return layer


@part
def juniper(block: Bytes, packet: PacketRow) -> int:
    """What routers of Juniper put before a frame: a magic number, flags, extensions; or before IP, with its family."""
    at = packet.position
    if at + 6 > packet.end:
        return cut(packet)
    if be24(block, at) != JUNIPER_MAGIC:
        return malformed(packet)
    flags = int(block[at + 3])
    at += 6 + be16(block, at + 4) if flags & JUNIPER_EXTENDED else 4
    if flags & JUNIPER_NO_LINK:
        packet.position = at + 4
        return RAW_IP
    packet.position = at
    return ETHERNET
