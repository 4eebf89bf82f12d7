"""Tunnels over IP and UDP. Each function returns the number of the layer inside."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32, be64
from auditor.decode.ip import push_tunnel
from auditor.decode.layers import (
    BY_ETHERTYPE,
    CAPWAP,
    CAPWAP_LAYER,
    ERSPAN,
    ERSPAN_2,
    ERSPAN_3,
    ETHERNET,
    GENEVE,
    GENEVE_LAYER,
    GRE,
    GTP,
    GTP_LAYER,
    IPV6,
    L2TP,
    L2TP_LAYER,
    PPP,
    RAW_IP,
    STOP,
    TEREDO,
    TEREDO_LAYER,
    TZSP,
    TZSP_LAYER,
    VXLAN,
    VXLAN_LAYER,
    WIRELESS,
    WIRELESS_SWAPPED,
)
from auditor.decode.link import cut, not_ip
from auditor.decode.packet import PacketRow
from auditor.decode.wireless import is_data_frame
from auditor.machine.kernel import part

NATIVE, KEEP_ALIVE, IEEE_802_11 = 0x0100, 0x0008, 1  # of CAPWAP's header
AWS_GENEVE_CLASS = 0x0108  # option class of AWS Gateway Load Balancer
GWLB_ENDPOINT, GWLB_ATTACHMENT = 1, 2


@part
def gre(block: Bytes, packet: PacketRow) -> int:
    """RFC 2784 and 2890; version 1 is PPTP's (RFC 2637) with a length, call and acknowledgement."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    flags = be16(block, at)
    kind = be16(block, at + 2)
    version = flags & 7
    size = 4
    if version == 0:
        if flags & 0x8000 or flags & 0x4000:
            size += 4  # checksum and offset
        if flags & 0x2000:
            size += 4  # key
        if flags & 0x1000:
            size += 4  # sequence number
        if flags & 0x4000:
            return not_ip(packet)  # source routes (RFC 1701), gone since RFC 2784
    elif version == 1:
        size = 8
        if flags & 0x1000:
            size += 4
        if flags & 0x0080:
            size += 4
    else:
        return not_ip(packet)
    if at + size > packet.end:
        return cut(packet)
    layer = int(BY_ETHERTYPE[kind])
    if layer == STOP:
        return not_ip(packet)
    packet.position = at + size
    if layer == ERSPAN_2 or layer == ERSPAN_3:
        if layer == ERSPAN_2 and flags & 0x1000 == 0:  # type I has neither a sequence number nor a header
            push_tunnel(packet, np.int64(ERSPAN), np.int64(0))
            return ETHERNET
        return layer
    push_tunnel(packet, np.int64(GRE), np.int64(0))
    return layer


@part
def erspan(block: Bytes, packet: PacketRow, layer: int) -> int:
    """ERSPAN types II and III (draft-foschiano-erspan 4): mirrored frames inside GRE, with a session number."""
    at = packet.position
    size = 8 if layer == ERSPAN_2 else 12
    if at + size > packet.end:
        return cut(packet)
    if block[at] >> 4 != (1 if layer == ERSPAN_2 else 2):
        return not_ip(packet)
    if layer == ERSPAN_3 and block[at + 11] & 1:
        size += 8  # platform specific subheader
    push_tunnel(packet, np.int64(ERSPAN), be16(block, at + 2) & 0x3FF)
    packet.position = at + size
    return ETHERNET


@part
def gtp(block: Bytes, packet: PacketRow) -> int:
    """GTP-U (3GPP TS 29.281 5): a G-PDU's tunnel endpoint, extension headers, then IP."""
    at = packet.position
    size = 8
    if block[at] & 7:
        size = 12
        following = 0
        if at + 12 > packet.end:
            return cut(packet)
        if block[at] & 4:
            following = int(block[at + 11])
        while following != 0:
            if at + size + 4 > packet.end or block[at + size] == 0:
                return cut(packet)
            step = int(block[at + size]) * 4
            if at + size + step > packet.end:
                return cut(packet)
            size += step
            following = int(block[at + size - 1])
    push_tunnel(packet, np.int64(GTP), be32(block, at + 4))
    packet.position = at + size
    return RAW_IP


@part
def teredo_header(block: Bytes, at: int, end: int) -> int:
    """Bytes before the IPv6 packet in a Teredo datagram (RFC 4380 5.1.1); -1 if it is none."""
    size = 0
    if at + 4 <= end and be16(block, at) == 1:  # authentication
        size = 13 + int(block[at + 2]) + int(block[at + 3])
    if at + size + 8 <= end and be16(block, at + size) == 0:  # origin
        size += 8
    fits = at + size + 40 <= end and block[at + size] >> 4 == 6
    return size if fits and at + size + 40 + be16(block, at + size + 4) <= end else -1


@part
def l2tp_header(block: Bytes, at: int, end: int) -> int:
    """Bytes before PPP in an L2TP data message (RFC 2661 3.1); -1 if it is none."""
    if at + 6 > end:
        return -1
    flags = be16(block, at)
    if flags & 0x800F != 2 or flags & 0x34F0:
        return -1
    size = 6
    if flags & 0x4000:
        if be16(block, at + 2) > end - at:
            return -1
        size += 2
    if flags & 0x0800:
        size += 4
    if flags & 0x0200:
        if at + size + 2 > end:
            return -1
        size += 2 + be16(block, at + size)
    return size if at + size + 2 <= end else -1


@part
def capwap(block: Bytes, packet: PacketRow) -> int:
    """CAPWAP data (RFC 5415 4.3): an 802.3 frame, or a native one of the wireless kind, which may have its bytes swapped.

    Of a fragment only the first is decoded, as a packet that is not whole.
    """
    at = packet.position
    flags = be16(block, at + 2)  # the last bits of the wireless kind, T, F, L, W, M, K, and three reserved
    size = int(block[at + 1] >> 3) * 4
    if flags & KEEP_ALIVE or be16(block, at + 6) >> 3:  # a keep-alive, or a later fragment
        return not_ip(packet)
    if at + size > packet.end:
        return cut(packet)
    kind = (flags >> 9) & 31
    push_tunnel(packet, np.int64(CAPWAP), np.int64(0))
    packet.position = at + size
    if flags & NATIVE == 0:
        return ETHERNET
    return capwap_wireless(block, packet) if kind == IEEE_802_11 else not_ip(packet)


@part
def capwap_wireless(block: Bytes, packet: PacketRow) -> int:
    """Some controllers exchange the two bytes of frame control; then a data frame's first byte has no meaning as such."""
    at, end = packet.position, packet.end
    if at + 2 > end or is_data_frame(block, at, end, int(block[at]), int(block[at + 1])):
        return WIRELESS
    return WIRELESS_SWAPPED if is_data_frame(block, at, end, int(block[at + 1]), int(block[at])) else WIRELESS


@part
def tzsp(block: Bytes, packet: PacketRow) -> int:
    """TaZmen Sniffer Protocol: tags to the end tag, then a frame."""
    at = packet.position
    kind = be16(block, at + 2)
    at += 4
    while at < packet.end and block[at] != 1:
        at += 1 if block[at] == 0 else 2 + (int(block[at + 1]) if at + 1 < packet.end else 0)
    if at >= packet.end:
        return cut(packet)
    push_tunnel(packet, np.int64(TZSP), np.int64(0))
    packet.position = at + 1
    if kind == 1:
        return ETHERNET
    return WIRELESS if kind == 18 else not_ip(packet)


@part
def fits_tunnel(block: Bytes, at: int, end: int, layer: int) -> bool:
    """Whether a datagram on a tunnel's port looks like that tunnel."""
    if layer == VXLAN_LAYER:
        return is_vxlan(block, at, end)
    if layer == GENEVE_LAYER:
        return is_geneve(block, at, end)
    if layer == GTP_LAYER:  # version 1, a G-PDU
        return at + 28 <= end and block[at] >> 4 == 3 and block[at + 1] == 255 and be16(block, at + 2) <= end - at
    if layer == TEREDO_LAYER:
        return teredo_header(block, at, end) >= 0
    if layer == L2TP_LAYER:
        return l2tp_header(block, at, end) >= 0
    if layer == CAPWAP_LAYER:  # type 1 of the preamble is DTLS
        return at + 16 <= end and block[at] == 0 and int(block[at + 1] >> 3) >= 2
    if layer == TZSP_LAYER:
        return at + 5 <= end and block[at] == 1 and block[at + 1] <= 1
    return False


@part
def teredo(block: Bytes, packet: PacketRow) -> int:
    size = teredo_header(block, packet.position, packet.end)
    push_tunnel(packet, np.int64(TEREDO), np.int64(0))
    packet.position += size
    return IPV6


@part
def l2tp(block: Bytes, packet: PacketRow) -> int:
    at = packet.position
    size = l2tp_header(block, at, packet.end)
    first = at + 4 if block[at] & 0x40 else at + 2
    push_tunnel(packet, np.int64(L2TP), be16(block, first))
    packet.position = at + size
    return PPP


@part
def vxlan(block: Bytes, packet: PacketRow) -> int:
    """RFC 7348: flags with the I bit, the 24-bit network identifier, then Ethernet."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    push_tunnel(packet, np.int64(VXLAN), be24(block, at + 4))
    packet.position = at + 8
    return ETHERNET


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
def is_vxlan(block: Bytes, at: int, end: int) -> bool:
    """Whether UDP payload on the VXLAN port is VXLAN: the I bit set, every reserved bit clear.

    With the G bit a group policy's tag is in them (draft-smith-vxlan-group-policy 2.1).
    """
    if at + 8 > end:
        return False
    if block[at] == 0x88:
        return block[at + 1] & 0xB7 == 0
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
def tunnel_without_its_port(block: Bytes, at: int, end: int) -> int:
    """VXLAN or GENEVE on any port, where the bytes leave no doubt: reserved bits clear, and a whole frame inside."""
    if at + 8 > end or block[at + 7] != 0:
        return STOP
    if is_vxlan(block, at, end):
        return VXLAN_LAYER if is_whole_frame(block, at + 8, end) else STOP
    if block[at] >> 6 != 0 or block[at + 1] & 0x3F:
        return STOP
    kind = be16(block, at + 2)
    inner = at + 8 + int(block[at] & 0x3F) * 4
    if kind == 0x6558:
        return GENEVE_LAYER if is_whole_frame(block, inner, end) else STOP
    return GENEVE_LAYER if is_whole_ip(block, inner, end, kind) else STOP
