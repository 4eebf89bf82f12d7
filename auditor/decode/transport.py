"""TCP and UDP: the last layers, which leave the payload's place in the packet."""

from typing import Any

from auditor.decode.bytes import be16, be32
from auditor.decode.layers import GENEVE_LAYER, STOP, VXLAN_LAYER
from auditor.decode.link import cut, malformed
from auditor.decode.tunnel import is_geneve, is_vxlan
from auditor.kernel import inlined

VXLAN_PORT, GENEVE_PORT = 4789, 6081


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
    if packet.target_port == VXLAN_PORT and is_vxlan(block, at + 8, packet.end):
        packet.position = at + 8
        return VXLAN_LAYER
    if packet.target_port == GENEVE_PORT and is_geneve(block, at + 8, packet.end):
        packet.position = at + 8
        return GENEVE_LAYER
    return STOP
