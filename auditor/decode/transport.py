"""TCP and UDP: the last layers, which leave the payload's place in the packet."""

from typing import Any

import numpy as np

from auditor.decode.bytes import be16, be32
from auditor.decode.layers import BY_UDP_PORT, STOP, VXLAN_LAYER
from auditor.decode.link import cut, malformed
from auditor.decode.tunnel import is_geneve, is_vxlan
from auditor.kernel import inlined


@inlined
def tcp(block: Any, packet: Any) -> int:
    """RFC 9293. With fewer than 14 bytes the ports are kept, but nothing can be said of the segment."""
    at = packet.position
    if at + 14 > packet.end:
        return cut(packet)
    header = int(block[at + 12] >> 4) * 4
    if header < 20:
        return malformed(packet)
    packet.source_port = be16(block, at)
    packet.target_port = be16(block, at + 2)
    packet.sequence = be32(block, at + 4)
    packet.acknowledged = be32(block, at + 8)
    packet.tcp_flags = block[at + 13]
    wire = packet.end + packet.missing - at - header
    if wire < 0:
        return malformed(packet)
    packet.payload = at + header
    packet.payload_wire = wire
    packet.payload_captured = max(0, packet.end - at - header)
    return STOP


@inlined
def udp(block: Any, packet: Any) -> int:
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
        return STOP
    fits = is_vxlan(block, at + 8, packet.end) if layer == VXLAN_LAYER else is_geneve(block, at + 8, packet.end)
    if not fits:
        return STOP
    packet.position = at + 8
    return layer
