"""Headers that a capture point puts before a packet: which interface, which IPsec association, which kind of link.

Each function reads one header at ``packet.position`` and returns the next layer's number. ``packet.wire`` is the number
of the interface that the header names, or a hash of its name.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32, le32
from auditor.decode.ip import push_tunnel
from auditor.decode.layers import (
    BY_ERF_TYPE,
    BY_LINK_TYPE,
    ETHERNET,
    IPSEC,
    NAMED_INTERFACES,
    PFLOG,
    PKTAP,
    RAW_IP,
    STOP,
)
from auditor.decode.link import cut, malformed, not_ip
from auditor.decode.packet import PacketRow
from auditor.machine.kernel import part

ENC_HEADER, ERF_HEADER, PFLOG_HEADER, PKTAP_HEADER = 12, 16, 48, 56  # bytes, of those that vary the least
PKTAP_NAME_AT, PKTAP_NAME = NAMED_INTERFACES[PKTAP]
PFLOG_NAME_AT, PFLOG_NAME = NAMED_INTERFACES[PFLOG]


@part
def wire_of(block: Bytes, at: int, size: int) -> int:
    """A number for the name of an interface (FNV-1a, RFC 9923); 0 for none."""
    number = np.int64(0)
    for k in range(size):
        if block[at + k] == 0:
            break
        number = ((number ^ int(block[at + k])) * 16777619 + 2166136261) & 0xFFFFFFFF
    return number


@part
def pktap(block: Bytes, packet: PacketRow) -> int:
    """The header of macOS's PKTAP (bsd/net/pktap.h): length, what follows, link type, interface, in the host's order."""
    at, end = packet.position, packet.end
    if at + PKTAP_HEADER > end:
        return cut(packet)
    size, little = le32(block, at), True
    if size < PKTAP_HEADER or size > 0xFFFF:
        size, little = be32(block, at), False
    if size < PKTAP_HEADER or size > 0xFFFF:  # a user's own link type
        return not_ip(packet)
    if at + size > end:
        return cut(packet)
    packet.wire = wire_of(block, at + PKTAP_NAME_AT, np.int64(PKTAP_NAME))
    link = le32(block, at + 8) if little else be32(block, at + 8)
    packet.position = at + size
    layer = int(BY_LINK_TYPE[link]) if link < BY_LINK_TYPE.size else STOP
    return layer if layer != STOP else not_ip(packet)


@part
def enc(block: Bytes, packet: PacketRow) -> int:
    """The inside of IPsec on BSD (enc(4)): address family, SPI, flags, then IP as it is without IPsec."""
    at = packet.position
    if at + ENC_HEADER > packet.end:
        return cut(packet)
    packet.spi = be32(block, at + 4)
    push_tunnel(packet, np.int64(IPSEC), np.int64(0))
    packet.position = at + ENC_HEADER
    return RAW_IP


@part
def pflog(block: Bytes, packet: PacketRow) -> int:
    """What BSD's packet filter logged (pflog(4)): length, address family, action, reason, interface, rule; then IP."""
    at = packet.position
    if at + PFLOG_HEADER > packet.end:
        return cut(packet)
    size = (int(block[at]) + 3) & ~3
    if size < PFLOG_HEADER:
        return malformed(packet)
    packet.wire = wire_of(block, at + PFLOG_NAME_AT, np.int64(PFLOG_NAME))
    packet.position = at + size
    return RAW_IP


@part
def erf_header(block: Bytes, at: int, end: int) -> int:
    """Bytes before the packet in an ERF record, with its extension headers and Ethernet's offset and padding."""
    size, more = ERF_HEADER, block[at + 8] & 0x80
    while more and at + size + 8 <= end:
        more = block[at + size] & 0x80
        size += 8
    return size + 2 if int(BY_ERF_TYPE[block[at + 8] & 0x7F]) == ETHERNET else size


@part
def erf(block: Bytes, packet: PacketRow) -> int:
    """A record of Endace's DAG cards: time, type, flags with the port's number, length, lost, wire length; then a frame."""
    at = packet.position
    if at + ERF_HEADER > packet.end:
        return cut(packet)
    packet.wire = 1 + int(block[at + 9] & 3)
    stop = at + be16(block, at + 10)
    if stop < packet.end and stop >= at + ERF_HEADER:
        packet.end = stop
    packet.position = at + erf_header(block, at, np.int64(packet.end))
    layer = int(BY_ERF_TYPE[block[at + 8] & 0x7F])
    return layer if layer != STOP else not_ip(packet)
