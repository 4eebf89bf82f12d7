"""TCP and UDP: the last layers, which leave the payload's place in the packet."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32
from auditor.decode.layers import BY_UDP_PORT, CAPWAP_LAYER, GTP_LAYER, L2TP_LAYER, STOP, STT_PORT, TEREDO_LAYER
from auditor.decode.link import cut, malformed
from auditor.decode.overlay import stt_piece, tunnel_without_its_port
from auditor.decode.packet import FRAGMENT, JOINS, LIKE_ALERT, LIKE_TEXT, SHORTEST_TEXT, SYN, PacketRow
from auditor.decode.tunnel import fits_tunnel
from auditor.machine.kernel import inlined, part

MULTIPATH, MP_JOIN = 30, 1  # option and subtype of Multipath TCP (RFC 8684 3)


@inlined
def is_text_byte(byte: int) -> bool:
    """A printable character of ASCII, or what ends and indents lines."""
    return (byte >= 32 and byte <= 126) or byte == 10 or byte == 13 or byte == 9


@inlined
def begins_like_text(block: Bytes, at: int, size: int) -> bool:
    """Whether a payload may be text. Asked here, where its first bytes are at hand; later they are far away."""
    for k in range(SHORTEST_TEXT):
        if k >= size or not is_text_byte(block[at + k]):
            return False
    return True


@inlined
def is_alert(block: Bytes, at: int, size: int) -> bool:
    """Whether a payload is one TLS record with an alert. Encrypted, it is as a rule the close_notify with which TLS ends."""
    return size >= 7 and block[at] == 21 and block[at + 1] == 3 and be16(block, at + 3) + 5 == size


@inlined
def tcp(block: Bytes, packet: PacketRow) -> int:
    """RFC 9293. With fewer than 14 bytes the ports are kept, but nothing can be said of the segment."""
    at = packet.position
    if at + 14 > packet.end:
        return cut(packet)
    header = int(block[at + 12] >> 4) * 4
    if header < 20:
        return malformed(packet)
    packet.source_port = be16(block, at)
    packet.target_port = be16(block, at + 2)
    if packet.target_port == STT_PORT and packet.fragment == 0:
        layer = stt_piece(block, packet)
        if layer != STOP or packet.status == FRAGMENT:
            return layer
    packet.sequence = be32(block, at + 4)
    packet.acknowledged = be32(block, at + 8)
    packet.tcp_flags = block[at + 13]
    wire = packet.end + packet.missing - at - header
    if wire < 0:
        return malformed(packet)
    packet.payload = at + header
    packet.payload_wire = wire
    packet.payload_captured = max(0, packet.end - at - header)
    if begins_like_text(block, at + header, packet.end - at - header):
        packet.begins = LIKE_TEXT
    elif is_alert(block, at + header, packet.end - at - header):
        packet.begins = LIKE_ALERT
    if packet.tcp_flags & SYN:
        syn_options(block, packet, at + 20, min(np.int64(packet.end), at + header))
    return STOP


@part
def syn_options(block: Bytes, packet: PacketRow, at: int, end: int) -> None:
    """What a SYN's options say: the MSS (RFC 9293 3.2), and whether it joins another connection (MP_JOIN, RFC 8684 3.2)."""
    while at + 1 < end and block[at] != 0:
        if block[at] == 1:
            at += 1
            continue
        if block[at] == 2 and at + 4 <= end:
            packet.mss = be16(block, at + 2)
        elif block[at] == MULTIPATH and at + 3 <= end and block[at + 2] >> 4 == MP_JOIN:
            packet.begins = JOINS
        if block[at + 1] < 2:
            return
        at += int(block[at + 1])


@inlined
def answers_from_its_port(layer: int) -> bool:
    """Whether packets come from a tunnel's port, too: the other tunnels' go to it in both directions."""
    return layer == TEREDO_LAYER or layer == CAPWAP_LAYER or layer == L2TP_LAYER or layer == GTP_LAYER


@inlined
def udp(block: Bytes, packet: PacketRow) -> int:
    """RFC 768. A length of 0 is a jumbogram's; one shorter than the datagram leaves a trailer outside."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    packet.source_port = be16(block, at)
    packet.target_port = be16(block, at + 2)
    length = be16(block, at + 4)
    wire = packet.end + packet.missing - at
    if length >= 8 and length < wire:
        wire = length
    packet.payload = at + 8
    packet.payload_wire = wire - 8
    packet.payload_captured = min(packet.end - at - 8, wire - 8)
    layer = np.int64(BY_UDP_PORT[packet.target_port])
    if layer == STOP:
        layer = np.int64(BY_UDP_PORT[packet.source_port])
        if not answers_from_its_port(layer):
            layer = tunnel_without_its_port(block, at + 8, at + 8 + packet.payload_captured)
            if layer == STOP:
                return STOP
    if not fits_tunnel(block, at + 8, packet.end, layer):
        return STOP
    if packet.fragment != 0:
        packet.status = FRAGMENT  # a tunnel is decoded when it is whole
        return STOP
    packet.position = at + 8
    return layer


@part
def esp(block: Bytes, packet: PacketRow) -> int:
    """RFC 4303: a tunnel whose inside is encrypted. It is a flow without ports, and nothing in it is looked at."""
    packet.source_port = 0
    packet.target_port = 0
    packet.payload_wire = 0
    packet.payload_captured = 0
    return STOP
