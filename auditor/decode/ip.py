"""IPv4 and IPv6. Each function reads one header at ``packet.position`` and returns the next layer's number."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32, be64
from auditor.decode.check_sequence import leave_out_check_sequence
from auditor.decode.layers import (
    AUTHENTICATED,
    BY_IP_PROTOCOL,
    ETHERNET,
    IP_IN_IP,
    IPV4,
    IPV6,
    SEGMENT_ROUTING,
    STOP,
    TCP_LAYER,
    UDP_LAYER,
)
from auditor.decode.link import cut, malformed
from auditor.decode.packet import FRAGMENT, OTHER_IP, OUTER_SHIMS, V4_MAPPED, PacketRow
from auditor.machine.kernel import inlined, part


@part
def push_tunnel(packet: PacketRow, kind: int, identifier: int) -> None:
    """Note a tunnel; the last two are kept, deeper nesting keeps the innermost."""
    if packet.tunnel == 0:
        packet.outer_source = packet.source_low ^ packet.source_high
        packet.outer_target = packet.target_low ^ packet.target_high
        packet.outer_source_mac = packet.source_mac
        packet.outer_target_mac = packet.target_mac
        packet.outer_vlan_count = packet.vlan_count
        packet.shims = packet.shims << OUTER_SHIMS
    else:
        packet.shims &= 0xF0
    packet.outer_tunnel = packet.tunnel
    packet.tunnel = (np.uint64(kind) << np.uint64(56)) | np.uint64(identifier)


@inlined
def trim(packet: PacketRow, start: int, length: int) -> None:
    """Cut the packet to ``length`` bytes from ``start``: what follows is padding of the link layer.

    What another fragment of a tunnel's carries is not missing.
    """
    stop = start + length
    if stop <= packet.end:
        packet.end = stop
        packet.missing = 0
    elif packet.fragment == 0 or packet.missing > 0:
        packet.missing = stop - packet.end


@part
def note_authentication(block: Bytes, packet: PacketRow, at: int) -> None:
    """IPsec's authentication header (RFC 4302 2), which encrypts nothing: its association is noted."""
    packet.spi = be32(block, at + 4)
    push_tunnel(packet, np.int64(AUTHENTICATED), np.int64(0))


@inlined
def next_protocol(packet: PacketRow, protocol: int) -> int:
    packet.protocol = protocol
    layer = int(BY_IP_PROTOCOL[protocol])
    if layer == STOP:
        packet.status = OTHER_IP
        return STOP
    if packet.fragment != 0 and layer != TCP_LAYER and layer != UDP_LAYER:
        packet.status = FRAGMENT  # a tunnel is decoded when it is whole
        return STOP
    if layer == IPV4 or layer == IPV6:
        push_tunnel(packet, np.int64(IP_IN_IP), np.int64(0))
    elif layer == ETHERNET:
        push_tunnel(packet, np.int64(SEGMENT_ROUTING), np.int64(0))
    return layer


@inlined
def ipv4(block: Bytes, packet: PacketRow) -> int:
    """RFC 791. A total length of 0 is written by segmentation offload: the frame's length holds then."""
    at = packet.position
    if at + 20 > packet.end:
        return cut(packet)
    header = int(block[at] & 15) * 4
    if block[at] >> 4 != 4 or header < 20:
        return malformed(packet)
    total = be16(block, at + 2)
    if total >= header:
        trim(packet, at, total)
    elif total != 0:
        return malformed(packet)
    else:
        leave_out_check_sequence(block, packet)
    if at + header > packet.end:
        return cut(packet)
    packet.ttl = block[at + 8]
    packet.ip_identification = be16(block, at + 4)
    packet.source_high = 0
    packet.target_high = 0
    packet.source_low = np.uint64(V4_MAPPED) | np.uint64(be32(block, at + 12))
    packet.target_low = np.uint64(V4_MAPPED) | np.uint64(be32(block, at + 16))
    packet.position = at + header
    if be16(block, at + 6) & 0x3FFF:
        packet.fragment = at
    if be16(block, at + 6) & 0x1FFF:
        packet.protocol = block[at + 9]
        packet.status = FRAGMENT
        return STOP
    return next_protocol(packet, int(block[at + 9]))


@part
def authentication(block: Bytes, packet: PacketRow) -> int:
    """An authentication header over IPv4; IPv6's is one of its extension headers."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    note_authentication(block, packet, at)
    packet.position = at + (int(block[at + 1]) + 2) * 4
    return next_protocol(packet, int(block[at]))


@part
def ipv6(block: Bytes, packet: PacketRow) -> int:
    """RFC 8200, through its extension headers. A payload length of 0 is a jumbogram or segmentation offload."""
    at = packet.position
    if at + 40 > packet.end:
        return cut(packet)
    if block[at] >> 4 != 6:
        return malformed(packet)
    first = at
    length = be16(block, at + 4)
    if length:
        trim(packet, at, 40 + length)
    else:
        leave_out_check_sequence(block, packet)
    packet.ttl = block[at + 7]
    packet.ip_identification = 0
    packet.source_high = be64(block, at + 8)
    packet.source_low = be64(block, at + 16)
    packet.target_high = be64(block, at + 24)
    packet.target_low = be64(block, at + 32)
    protocol = int(block[at + 6])
    at += 40
    # Hop-by-hop, routing, destination options, mobility, HIP, shim6 share one form; fragment and
    # authentication have their own.
    while True:
        if protocol == 0 or protocol == 43 or protocol == 60 or protocol == 135 or protocol == 139 or protocol == 140:
            if at + 8 > packet.end:
                return cut(packet)
            size = (int(block[at + 1]) + 1) * 8
        elif protocol == 51:
            if at + 8 > packet.end:
                return cut(packet)
            note_authentication(block, packet, at)
            size = (int(block[at + 1]) + 2) * 4
        elif protocol == 44:
            if at + 8 > packet.end:
                return cut(packet)
            size = 8
            if be16(block, at + 2) & 0xFFF9:  # an atomic fragment (RFC 6946) is whole
                packet.fragment = first
            if be16(block, at + 2) & 0xFFF8:
                packet.protocol = block[at]
                packet.status = FRAGMENT
                return STOP
        else:
            break
        protocol = int(block[at])
        at += size
    packet.position = at
    return next_protocol(packet, protocol)
