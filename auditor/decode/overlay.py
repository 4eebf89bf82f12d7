"""Frames over UDP and IP as data centres and providers carry them: VXLAN, GENEVE, GUE, LISP, L2TPv3, EtherIP, MPLS.

Each function returns the number of the layer inside. On a port of its own, a tunnel has to look like one; on any other
one, so much that the bytes leave no doubt.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32, be64
from auditor.decode.ip import push_tunnel
from auditor.decode.layers import (
    BY_ETHERTYPE,
    BY_NEXT_PROTOCOL,
    ETHERIP,
    ETHERIP_LAYER,
    ETHERNET,
    GENEVE,
    GENEVE_LAYER,
    GUE,
    GUE_LAYER,
    IPV4,
    IPV6,
    L2TP,
    L2TP_3_LAYER,
    LISP,
    LISP_LAYER,
    MPLS,
    MPLS_TUNNEL,
    PIM,
    RAW_IP,
    STOP,
    STT,
    STT_LAYER,
    VXLAN,
    VXLAN_LAYER,
)
from auditor.decode.link import cut, not_ip
from auditor.decode.packet import FRAGMENT, OTHER_IP, PacketRow
from auditor.machine.kernel import part

AWS_GENEVE_CLASS = 0x0108  # option class of AWS Gateway Load Balancer
GWLB_ENDPOINT, GWLB_ATTACHMENT = 1, 2
GPE, ETHERNET_FOLLOWS = 0x04, 3  # flag of VXLAN: a next protocol stands in the last reserved byte; Ethernet's number
LISP_HEADER, ETHERIP_HEADER = 8, 2
L2TP_COOKIES = 3  # steps of four bytes that cookie and sublayer take at most (RFC 3931 4.1, 4.6)
MOST_LABELS = 8
PIM_REGISTER, NULL_REGISTER = 0x21, 0x40  # version 2 and type 1; the flag of one without a packet
TCP_HEADER, STT_HEADER, STT_TAGGED = 20, 18, 0x1000


@part
def vxlan(block: Bytes, packet: PacketRow) -> int:
    """RFC 7348: flags with the I bit, the 24-bit network identifier, then Ethernet; or what a next protocol names."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    push_tunnel(packet, np.int64(VXLAN), be24(block, at + 4))
    packet.position = at + 8
    return int(BY_NEXT_PROTOCOL[block[at + 3]]) if block[at] & GPE else ETHERNET


@part
def geneve(block: Bytes, packet: PacketRow) -> int:
    """RFC 8926, keeping the endpoint and attachment options of AWS Gateway Load Balancer."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    stop = at + 8 + int(block[at] & 0x3F) * 4
    if stop > packet.end:
        return cut(packet)
    option = at + 8
    while option + 4 <= stop:
        size = int(block[option + 3] & 0x1F) * 4
        if option + 4 + size > stop:
            break
        if be16(block, option) == AWS_GENEVE_CLASS and size == 8:
            if block[option + 2] & 0x7F == GWLB_ENDPOINT:
                packet.gwlb_endpoint = be64(block, option + 4)
            elif block[option + 2] & 0x7F == GWLB_ATTACHMENT:
                packet.gwlb_attachment = be64(block, option + 4)
        option += 4 + size
    layer = int(BY_ETHERTYPE[be16(block, at + 2)])
    if layer == STOP:
        return not_ip(packet)
    push_tunnel(packet, np.int64(GENEVE), be24(block, at + 4))
    packet.position = stop
    return layer


@part
def is_vxlan_gpe(block: Bytes, at: int, end: int) -> bool:
    """VXLAN with a next protocol (draft-ietf-nvo3-vxlan-gpe 3.1): flags I and P, version 0, reserved bytes clear."""
    if at + 9 > end or block[at] & 0xFC != 0x08 | GPE or be16(block, at + 1) != 0:
        return False
    return int(BY_NEXT_PROTOCOL[block[at + 3]]) != STOP


@part
def is_vxlan(block: Bytes, at: int, end: int) -> bool:
    """Whether UDP payload on the VXLAN port is VXLAN: the I bit set, every reserved bit clear.

    With the G bit a group policy's tag is in them (draft-smith-vxlan-group-policy 2.1).
    """
    if at + 8 > end:
        return False
    if block[at] == 0x88:
        return block[at + 1] & 0xB7 == 0
    if block[at] & GPE:
        return is_vxlan_gpe(block, at, end)
    return block[at] == 8 and block[at + 1] == 0 and block[at + 2] == 0 and block[at + 3] == 0


@part
def is_geneve(block: Bytes, at: int, end: int) -> bool:
    return at + 8 <= end and block[at] >> 6 == np.uint8(0) and int(BY_ETHERTYPE[be16(block, at + 2)]) != STOP


@part
def is_whole_ip(block: Bytes, at: int, end: int, kind: int) -> bool:
    """Whether an IP packet of that ethertype fills ``block[at:end]``, of IPv4 with a checksum that is right."""
    if kind == 0x86DD:
        return at + 40 <= end and block[at] >> 4 == 6 and at + 40 + be16(block, at + 4) == end
    if kind != 0x0800 or at + 20 > end or block[at] != 0x45 or be16(block, at + 2) > end - at:
        return False
    total = 0
    for k in range(10):
        total += be16(block, at + 2 * k)
    return (total & 0xFFFF) + (total >> 16) == 0xFFFF


@part
def is_whole_frame(block: Bytes, at: int, end: int) -> bool:
    """Whether an Ethernet frame with IP in it, perhaps tagged, fills ``block[at:end]``."""
    at += 12
    while at + 6 <= end and be16(block, at) == 0x8100:
        at += 4
    return at + 2 <= end and is_whole_ip(block, at + 2, end, be16(block, at))


@part
def is_whole(block: Bytes, at: int, end: int, following: int) -> bool:
    """Whether what a next protocol names fills ``block[at:end]``: a frame or IP."""
    layer = int(BY_NEXT_PROTOCOL[following])
    if layer == ETHERNET:
        return is_whole_frame(block, at, end)
    return is_whole_ip(block, at, end, 0x0800 if layer == IPV4 else 0x86DD if layer == IPV6 else 0)


@part
def tunnel_without_its_port(block: Bytes, at: int, end: int) -> int:
    """VXLAN or GENEVE on any port, where the bytes leave no doubt: reserved bits clear, and a whole frame inside."""
    if at + 8 > end or block[at + 7] != 0:
        return STOP
    if is_vxlan(block, at, end):
        following = int(block[at + 3]) if block[at] & GPE else ETHERNET_FOLLOWS
        return VXLAN_LAYER if is_whole(block, at + 8, end, following) else STOP
    if block[at] >> 6 != 0 or block[at + 1] & 0x3F:
        return STOP
    kind = be16(block, at + 2)
    inner = at + 8 + int(block[at] & 0x3F) * 4
    if kind == 0x6558:
        return GENEVE_LAYER if is_whole_frame(block, inner, end) else STOP
    return GENEVE_LAYER if is_whole_ip(block, inner, end, kind) else STOP


@part
def overlay_header(block: Bytes, at: int, end: int, layer: int) -> int:
    """Bytes before the IP packet in GUE (draft-ietf-intarea-gue 3) or LISP (RFC 9300 5); -1 if it is none."""
    if at + 8 > end:
        return -1
    size, inside = LISP_HEADER, 0
    if layer == GUE_LAYER:
        if block[at] >> 6 == 1:
            size = 0  # variant 1: IP as it is
        elif block[at] >> 5 == 0:
            size, inside = 4 + int(block[at] & 31) * 4, int(block[at + 1])
        else:
            return -1
    at += size
    if at + 20 > end:
        return -1
    version = int(block[at] >> 4)
    if version == 4:
        return size if inside == 0 or inside == 4 else -1
    return size if version == 6 and (inside == 0 or inside == 41) else -1


@part
def overlay(block: Bytes, packet: PacketRow, layer: int) -> int:
    """GUE or LISP."""
    size = overlay_header(block, np.int64(packet.position), np.int64(packet.end), layer)
    push_tunnel(packet, np.int64(GUE if layer == GUE_LAYER else LISP), np.int64(0))
    packet.position += size
    return RAW_IP


@part
def is_mpls(block: Bytes, at: int, end: int) -> bool:
    """Whether a stack of labels ends within reach, and something is below it."""
    for _ in range(MOST_LABELS):
        if at + 8 > end:
            return False
        at += 4
        if block[at - 2] & 1:
            return True
    return False


@part
def mpls_over_ip(packet: PacketRow) -> int:
    """MPLS in IP (RFC 4023) or in UDP (RFC 7510)."""
    push_tunnel(packet, np.int64(MPLS_TUNNEL), np.int64(0))
    return MPLS


@part
def etherip(block: Bytes, packet: PacketRow) -> int:
    """A frame in IP behind version 3 and zeros (RFC 3378 3)."""
    at = packet.position
    if at + ETHERIP_HEADER > packet.end:
        return cut(packet)
    if be16(block, at) != 0x3000:
        return not_ip(packet)
    push_tunnel(packet, np.int64(ETHERIP), np.int64(0))
    packet.position = at + ETHERIP_HEADER
    return ETHERNET


@part
def begins_ip_frame(block: Bytes, at: int, end: int) -> bool:
    """Whether a frame with IP, perhaps tagged, begins here and fits."""
    at += 12
    while at + 6 <= end and be16(block, at) == 0x8100:
        at += 4
    if at + 22 > end:
        return False
    kind, version = be16(block, at), int(block[at + 2] >> 4)
    return (kind == 0x0800 and version == 4) or (kind == 0x86DD and version == 6)


@part
def l2tp_3_header(block: Bytes, at: int, end: int, over_udp: bool) -> int:
    """Bytes before the frame in L2TP of version 3 (RFC 3931 4.1); -1 if it is none.

    How long the cookie is, and whether a sublayer follows, only both ends know: the frame shows it.
    """
    first = at
    if over_udp:
        if at + 8 > end or be16(block, at) != 3 or be16(block, at + 2) != 0:  # data of version 3, nothing else
            return -1
        at += 4
    if at + 4 > end or be32(block, at) == 0:  # session 0: control messages
        return -1
    at += 4
    for step in range(L2TP_COOKIES + 1):
        if begins_ip_frame(block, at + 4 * step, end):
            return at + 4 * step - first
    return -1


@part
def l2tp_3(block: Bytes, packet: PacketRow, over_udp: bool) -> int:
    """A frame in L2TPv3, over UDP or over IP."""
    at = packet.position
    size = l2tp_3_header(block, at, np.int64(packet.end), over_udp)
    if size < 0:
        return not_ip(packet)
    push_tunnel(packet, np.int64(L2TP), be32(block, at + 4 if over_udp else at))
    packet.position = at + size
    return ETHERNET


@part
def pim(block: Bytes, packet: PacketRow) -> int:
    """A register message of PIM, in which a router sends a whole packet to another (RFC 7761 4.9.3); a null one has only its header."""
    at = packet.position
    if at + 8 > packet.end or block[at] != PIM_REGISTER or block[at + 4] & NULL_REGISTER:
        packet.status = OTHER_IP
        return STOP
    push_tunnel(packet, np.int64(PIM), np.int64(0))
    packet.position = at + 8
    return RAW_IP


@part
def begins_stt(block: Bytes, at: int, end: int) -> bool:
    """Whether a segment to its port is the first of a frame in STT (draft-davie-stt-08 3.1, 3.2), which is no TCP.

    In place of the sequence number are the frame's length, with this header's, and how far into it the segment is.
    """
    inside = at + TCP_HEADER + STT_HEADER
    if inside > end or block[at + 12] >> 4 != 5 or be16(block, at + 6) != 0 or block[at + TCP_HEADER] != 0:
        return False
    return be16(block, at + 4) >= end - at - TCP_HEADER and begins_ip_frame(block, inside, end)


@part
def stt_piece(block: Bytes, packet: PacketRow) -> int:
    """What a segment to its port is: its layer for a whole frame, or for as much as was captured; STOP for TCP, or a piece.

    Pieces wait in ``fragments`` for the others. One that is not the first may be TCP: that is known there.
    """
    at, end = np.int64(packet.position), np.int64(packet.end)
    if at + TCP_HEADER > end:
        return STOP
    whole, into = be16(block, at + 4), be16(block, at + 6)
    if begins_stt(block, at, end):
        if whole > end - at - TCP_HEADER:
            packet.fragment = at
            if packet.missing == 0:
                packet.status = FRAGMENT
                return STOP
        return STT_LAYER
    if block[at + 12] == 0x50 and into > 0 and into + end - at - TCP_HEADER <= whole:
        packet.fragment = at
    return STOP


@part
def stt(block: Bytes, packet: PacketRow) -> int:
    """Its own header has a VLAN's tag."""
    at = packet.position + TCP_HEADER
    packet.source_port = 0
    packet.target_port = 0
    push_tunnel(packet, np.int64(STT), np.int64(0))
    if be16(block, at + 6) & STT_TAGGED:
        packet.vlans = (packet.vlans << np.uint64(12)) | np.uint64(be16(block, at + 6) & 0xFFF)
        packet.vlan_count += 1
    packet.position = at + STT_HEADER
    return ETHERNET


@part
def rare_overlay(block: Bytes, packet: PacketRow, layer: int) -> int:
    """Those that most captures do not have."""
    if layer == GUE_LAYER or layer == LISP_LAYER:
        return overlay(block, packet, layer)
    if layer == ETHERIP_LAYER:
        return etherip(block, packet)
    if layer == L2TP_3_LAYER:
        return l2tp_3(block, packet, False)
    return mpls_over_ip(packet)
