"""Tunnels over IP and UDP. Each function returns the number of the layer inside."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32
from auditor.decode.ip import push_tunnel
from auditor.decode.layers import (
    BRIDGED,
    BY_ETHERTYPE,
    CAPWAP,
    CAPWAP_LAYER,
    ERSPAN,
    ERSPAN_2,
    ERSPAN_3,
    ETHERNET,
    GENEVE_LAYER,
    GRE,
    GRE_LAYER,
    GTP,
    GTP_LAYER,
    GUE_LAYER,
    HEADER_BYTES,
    IPV6,
    JUNIPER_MIRROR,
    L2TP,
    L2TP_LAYER,
    LISP_LAYER,
    MPLS_UDP_LAYER,
    PPP,
    RAW_IP,
    STOP,
    TEREDO,
    TEREDO_LAYER,
    TZSP,
    TZSP_LAYER,
    VXLAN_LAYER,
    WIRELESS,
    WIRELESS_SWAPPED,
)
from auditor.decode.link import cut, ethernet, is_ip_header, not_ip
from auditor.decode.overlay import (
    begins_ip_frame,
    is_geneve,
    is_mpls,
    is_vxlan,
    l2tp_3,
    l2tp_3_header,
    overlay_header,
)
from auditor.decode.packet import FRAGMENT, PacketRow
from auditor.decode.wireless import is_data_frame
from auditor.machine.kernel import part

NATIVE, IS_FRAGMENT, KEEP_ALIVE, IEEE_802_11 = 0x0100, 0x0080, 0x0008, 1  # of CAPWAP's header
ETHERNET_OVER_IP = 0x6400  # MikroTik's protocol in GRE, of version 1 by mistake
ARUBA_WIRELESS, ARUBA_MASK, ARUBA_TUNNEL = 0x8200, 0xFE00, 0x9000  # 802.11 in GRE to a controller
METADATA, METADATA_BYTES = 0x8909, 6  # Cisco's metadata, which in GRE stands behind the ethertype of what it is about
SOURCE_ROUTE = 4  # bytes of an entry before its addresses: family, offset, length
ERSPAN_IP = 2  # type of frame in ERSPAN III


@part
def behind_routes(block: Bytes, at: int, end: int, size: int) -> int:
    """Bytes of a GRE header with source routes (RFC 1701 2), up to an entry of no length; RFC 2784 has done away with them."""
    while at + size + SOURCE_ROUTE <= end:
        length = int(block[at + size + 3])
        is_last = length == 0 and be16(block, at + size) == 0
        size += SOURCE_ROUTE + length
        if is_last:
            return size
    return end - at + 1


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
            size = behind_routes(block, at, np.int64(packet.end), size)
    elif version == 1 and kind == ETHERNET_OVER_IP:
        return ethernet_over_ip(packet)
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
    if kind == METADATA and at + size + 2 + METADATA_BYTES <= packet.end:
        kind = be16(block, at + size)
        size += 2 + METADATA_BYTES
    is_aruba = kind & ARUBA_MASK == ARUBA_WIRELESS or kind == ARUBA_TUNNEL
    layer = WIRELESS if is_aruba else int(BY_ETHERTYPE[kind])
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
def ethernet_over_ip(packet: PacketRow) -> int:
    """A frame behind the length and number of a tunnel."""
    if packet.position + 8 > packet.end:
        return cut(packet)
    push_tunnel(packet, np.int64(GRE), np.int64(0))
    packet.position += 8
    return ETHERNET


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
    return RAW_IP if layer == ERSPAN_3 and block[at + 10] >> 2 & 31 == ERSPAN_IP else ETHERNET


@part
def ethernet_frame(block: Bytes, packet: PacketRow) -> int:
    """A frame. What lies in another one is not what is on this wire: who sent that one wrote all of it."""
    is_behind = packet.link == ETHERNET and packet.position != packet.begin
    if packet.tunnel == 0 and (is_behind or packet.source_mac != 0 or packet.target_mac != 0):
        push_tunnel(packet, np.int64(BRIDGED), np.int64(0))
    return ethernet(block, packet)


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
    version = block[at + size] >> 4 if at + size < packet.end else 0
    is_frame = version != 4 and version != 6 and begins_ip_frame(block, at + size, np.int64(packet.end))
    return ETHERNET if is_frame else RAW_IP  # the former in sessions of 5G (3GPP TS 29.281 4.3.0)


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
def forget_tags(packet: PacketRow) -> None:
    """Forget the VLAN tags inside of a tunnel, which are read again."""
    while packet.vlan_count > packet.outer_vlan_count:
        packet.vlans >>= np.uint64(12)
        packet.vlan_count -= 1


@part
def capwap(block: Bytes, packet: PacketRow) -> int:
    """CAPWAP data (RFC 5415 4.3): an 802.3 frame, or a native one of the wireless kind, which may have its bytes swapped.

    Fragments are put together as those of IP are; the first of them is decoded by itself too.
    """
    at = packet.position
    flags = be16(block, at + 2)  # the last bits of the wireless kind, T, F, L, W, M, K, and three reserved
    size = int(block[at + 1] >> 3) * 4
    if flags & KEEP_ALIVE:
        return not_ip(packet)
    if flags & IS_FRAGMENT:
        packet.fragment = at
        if be16(block, at + 6) >> 3:
            packet.status = FRAGMENT
            return STOP
    if at + size > packet.end:
        return cut(packet)
    kind = (flags >> 9) & 31
    if packet.tunnel >> np.uint64(56) == np.uint64(CAPWAP):
        forget_tags(packet)  # it was put together when its first fragment came, which was decoded by itself
    else:
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
def fits_gre(block: Bytes, at: int, end: int) -> bool:
    """Whether a datagram on the port of GRE in UDP (RFC 8086 3) is that: version 0, reserved bits clear, a protocol that is known."""
    return at + 8 <= end and be16(block, at) & 0x4FFF == 0 and int(BY_ETHERTYPE[be16(block, at + 2)]) != STOP


@part
def fits_tunnel(block: Bytes, at: int, end: int, layer: int) -> bool:
    """Whether a datagram on a tunnel's port looks like that tunnel."""
    if layer == VXLAN_LAYER:
        return is_vxlan(block, at, end)
    if layer == GENEVE_LAYER:
        return is_geneve(block, at, end)
    if layer == GUE_LAYER or layer == LISP_LAYER:
        return overlay_header(block, at, end, layer) >= 0
    if layer == MPLS_UDP_LAYER:
        return is_mpls(block, at, end)
    if layer == GTP_LAYER:  # version 1, a G-PDU
        return at + 28 <= end and block[at] >> 4 == 3 and block[at + 1] == 255 and be16(block, at + 2) <= end - at
    if layer == TEREDO_LAYER:
        return teredo_header(block, at, end) >= 0
    if layer == L2TP_LAYER:
        return l2tp_header(block, at, end) >= 0 or l2tp_3_header(block, at, end, True) >= 0
    if layer == CAPWAP_LAYER:  # type 1 of the preamble is DTLS
        shortest = 9 if at + 9 <= end and block[at + 3] & IS_FRAGMENT else 16
        return at + shortest <= end and block[at] == 0 and int(block[at + 1] >> 3) >= 2
    if layer == GRE_LAYER:
        return fits_gre(block, at, end)
    if layer == JUNIPER_MIRROR:
        return is_ip_header(block, at + int(HEADER_BYTES[layer]), end)
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
    if size < 0:
        return l2tp_3(block, packet, True)
    first = at + 4 if block[at] & 0x40 else at + 2
    push_tunnel(packet, np.int64(L2TP), be16(block, first))
    packet.position = at + size
    return PPP
