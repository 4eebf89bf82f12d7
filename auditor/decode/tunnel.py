"""Tunnels over IP and UDP: GRE, VXLAN, GENEVE. Each returns the number of the layer inside."""

from typing import Any

import numpy as np

from auditor.decode.bytes import be16, be24, be64
from auditor.decode.layers import BY_ETHERTYPE, ETHERNET, STOP
from auditor.decode.link import cut, not_ip
from auditor.decode.network import push_tunnel
from auditor.decode.packet import GENEVE, GRE, VXLAN
from auditor.kernel import part

AWS_GENEVE_CLASS = 0x0108  # option class of AWS Gateway Load Balancer
GWLB_ENDPOINT, GWLB_ATTACHMENT = 1, 2


@part
def gre(block: Any, packet: Any) -> int:
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
    push_tunnel(packet, GRE, 0)
    packet.position = at + size
    return layer


@part
def vxlan(block: Any, packet: Any) -> int:
    """RFC 7348: flags with the I bit, the 24-bit network identifier, then Ethernet."""
    at = packet.position
    if at + 8 > packet.end:
        return cut(packet)
    push_tunnel(packet, VXLAN, be24(block, at + 4))
    packet.position = at + 8
    return ETHERNET


@part
def geneve(block: Any, packet: Any) -> int:
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
    push_tunnel(packet, GENEVE, be24(block, at + 4))
    packet.position = stop
    return layer


@part
def is_vxlan(block: Any, at: int, end: int) -> bool:
    """Whether UDP payload on the VXLAN port is VXLAN: the I bit set, every reserved bit clear."""
    return at + 8 <= end and block[at] == 8 and block[at + 1] == 0 and block[at + 2] == 0 and block[at + 3] == 0


@part
def is_geneve(block: Any, at: int, end: int) -> bool:
    return at + 8 <= end and block[at] >> 6 == np.uint8(0) and int(BY_ETHERTYPE[be16(block, at + 2)]) != STOP
