"""Link layers of captures that were not made on Ethernet or Linux: frame relay, ATM, rings, cable, InfiniBand, routers of Juniper.

Each function reads one header at ``packet.position`` and returns the next layer's number.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.decode.layers import (
    BEHIND_HEADER,
    BY_ETHERTYPE,
    CISCO_HDLC,
    ETHERNET,
    ETHERTYPE_LAYER,
    FRAME_RELAY,
    HEADER_BYTES,
    IPV4,
    IPV6,
    JUNIPER_COOKIE,
    JUNIPER_FRAME_RELAY,
    JUNIPER_HDLC,
    JUNIPER_PPP,
    LINUX_ARCNET,
    LOOP_LAYER,
    PPP_HDLC,
    RAW_IP,
    STOP,
    TOKEN_RING,
)
from auditor.decode.link import WHOLE, cut, encrypted, is_ip_header, llc, malformed, not_ip
from auditor.decode.multilink import FRAME_RELAY_PIECE
from auditor.decode.packet import FRAGMENT, PacketRow
from auditor.decode.wireless import FARTHEST
from auditor.machine.kernel import part

# Network layer protocol identifiers (RFC 2427 4).
UNNUMBERED, NLPID_SNAP, NLPID_IPV4, NLPID_IPV6, PADDING = 0x03, 0x80, 0xCC, 0x8E, 0
ARCNET_IP, ARCNET_IPV6, ARCNET_OLD_IP, ARCNET_EXCEPTION = 212, 196, 240, 0xFF  # RFC 1201 4, RFC 2497 2, RFC 1051 4
OWN_KIND, CONCATENATED = 0x60, 28  # of a DOCSIS frame's control
DISSECTOR, LETTERS_IP, LETTERS_ETH, RAW_UNDERSCORE = 12, 0x6970, 0x657468, 0x7261775F  # the tag with a name, and names
JUNIPER_MAGIC, JUNIPER_EXTENDED, JUNIPER_NO_LINK = 0x4D4743, 0x80, 0x02  # flags of its header
LONGEST_COOKIE = 20  # bytes: 8 of a cookie, 4 of a control word, 8 of LLC


@part
def headed(packet: PacketRow, layer: int) -> int:
    """A header of one length that says nothing of interest."""
    packet.position += int(HEADER_BYTES[layer])
    return int(BEHIND_HEADER[layer])


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
    if block[at] == FRAME_RELAY_PIECE:
        packet.fragment = at
        packet.status = FRAGMENT
        return STOP
    if block[at] != NLPID_SNAP or at + 6 > end:
        return not_ip(packet)
    packet.position = at + 6
    if be24(block, at + 1) != 0:
        return ETHERNET if be16(block, at + 4) == 1 or be16(block, at + 4) == 7 else not_ip(packet)
    layer = int(BY_ETHERTYPE[be16(block, at + 4)])
    return layer if layer != STOP else not_ip(packet)


@part
def multilink_frame_relay(block: Bytes, packet: PacketRow) -> int:
    """FRF.16.1 3.1: whether a frame begins and ends here, and its number; of one in pieces see ``decode.multilink``."""
    at = packet.position
    if at + 2 > packet.end:
        return cut(packet)
    if block[at] & 0x20:  # a message of the link's own
        return not_ip(packet)
    if block[at] & WHOLE != WHOLE:
        packet.fragment = at
        packet.status = FRAGMENT
        return STOP
    packet.position = at + 2
    return FRAME_RELAY


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
def classical_atm(block: Bytes, packet: PacketRow) -> int:
    """IP over ATM as Linux has it (RFC 2225): LLC, or IP alone."""
    at = packet.position
    if at < packet.end and (block[at] == 0x45 or block[at] >> 4 == 6):
        return RAW_IP
    return llc(block, packet)


@part
def loop_or_raw(block: Bytes, packet: PacketRow) -> int:
    """A number that is raw IP in most systems, and OpenBSD's loopback there: a family of four bytes, of which the first are 0."""
    at = packet.position
    return LOOP_LAYER if at < packet.end and block[at] == 0 else RAW_IP


@part
def infiniband(block: Bytes, packet: PacketRow) -> int:
    """IP over InfiniBand (RFC 4391 6): an ethertype and two zero bytes, perhaps behind addresses of 20 bytes each."""
    for size in (0, 40):
        at = packet.position + size
        if at + 4 > packet.end:
            return cut(packet)
        layer = int(BY_ETHERTYPE[be16(block, at)])
        if layer != STOP and be16(block, at + 2) == 0:
            packet.position = at + 4
            return layer
    return not_ip(packet)


@part
def arcnet(block: Bytes, packet: PacketRow, layer: int) -> int:
    """ARCNET's addresses and protocol, then RFC 1201's fragment header, or none (RFC 1051); Linux adds an offset.

    Of a datagram in several fragments the first has the header of IP; frames of an exception have theirs twice.
    """
    at = packet.position + (4 if layer == LINUX_ARCNET else 2)
    if at + 5 > packet.end:
        return cut(packet)
    kind, flag = int(block[at]), int(block[at + 1])
    if kind == ARCNET_OLD_IP:
        packet.position = at + 1
        return IPV4
    if flag == ARCNET_EXCEPTION:
        at += 4
        if at + 5 > packet.end:
            return cut(packet)
        flag = int(block[at + 1])
    packet.position = at + 4
    if flag != 0 and flag & 1 == 0:  # a later fragment
        return not_ip(packet)
    return IPV4 if kind == ARCNET_IP else IPV6 if kind == ARCNET_IPV6 else not_ip(packet)


@part
def docsis(block: Bytes, packet: PacketRow) -> int:
    """A cable modem's frame (DOCSIS MAC 6.2): control, length of an extended header, length, that header, a checksum.

    With privacy (BPI+) a flag of the extended header says that the frame inside is encrypted behind its addresses. Of
    frames that were put together (parameter 28 of the MAC's own kind) the first is read here, see ``reading.aggregates``.
    """
    at = packet.position
    if at + 6 > packet.end:
        return cut(packet)
    if block[at] >> 1 == OWN_KIND | CONCATENATED:
        at += 6
        if at + 6 > packet.end:
            return cut(packet)
        further = at + 6 + be16(block, at + 2)
        if further < packet.end and further - packet.begin <= FARTHEST:
            packet.further = further - packet.begin
            packet.end = further
    kind, extended = int(block[at] >> 6), int(block[at + 1]) if block[at] & 1 else 0
    if kind != 0 and kind != 2:  # 2: in isolation from older modems
        return not_ip(packet)
    stop = at + 4 + extended
    if stop + 2 > packet.end:
        return cut(packet)
    element = at + 4
    while element < stop:
        size = int(block[element] & 15)
        if (block[element] >> 4 == 3 or block[element] >> 4 == 4) and size >= 2 and element + 2 < stop:
            if block[element + 2] & 0x80:
                return encrypted(packet)
        element += 1 + size
    packet.position = stop + 2
    return ETHERNET


@part
def exported(block: Bytes, packet: PacketRow) -> int:
    """What Wireshark exports of packets: tags up to one of type 0, of which one names who dissects what is behind them."""
    at, end = packet.position, packet.end
    layer = STOP
    while at + 4 <= end:
        kind, size = be16(block, at), be16(block, at + 2)
        at += 4
        if kind == 0:
            packet.position = at
            return layer if layer != STOP else not_ip(packet)
        if kind == DISSECTOR and at + size <= end and size >= 2:
            is_raw = size >= 6 and be32(block, at) == RAW_UNDERSCORE
            if be16(block, at) == LETTERS_IP or is_raw:
                layer = RAW_IP
            elif size >= 3 and be24(block, at) == LETTERS_ETH:
                layer = ETHERNET
        at += size
    return cut(packet)


@part
def behind_cookie(block: Bytes, packet: PacketRow) -> int:
    """IP behind a cookie of the router's own card, whose length depends on the card, and behind PPP, LLC or frame relay."""
    for at in range(np.int64(packet.position), packet.position + LONGEST_COOKIE + 1):
        if is_ip_header(block, at, np.int64(packet.end)):
            packet.position = at
            return RAW_IP
    return not_ip(packet)


@part
def juniper(block: Bytes, packet: PacketRow, layer: int) -> int:
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
    if layer == JUNIPER_COOKIE:
        return behind_cookie(block, packet)
    if layer == JUNIPER_PPP:
        return PPP_HDLC
    if layer == JUNIPER_FRAME_RELAY:
        return FRAME_RELAY
    return CISCO_HDLC if layer == JUNIPER_HDLC else ETHERNET
