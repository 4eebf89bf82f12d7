"""The decoder: from a packet's first layer inwards until TCP, UDP or something without a next layer."""

from typing import Any

import numpy as np

from auditor.decode import layers as L
from auditor.decode.link import (
    ethernet,
    ethertype,
    linux_sll,
    linux_sll2,
    mpls,
    not_ip,
    null_loopback,
    open_loopback,
    ppp,
    ppp_hdlc,
    pppoe,
    raw_ip,
    vlan,
)
from auditor.decode.network import ipv4, ipv6
from auditor.decode.packet import DECODED, MALFORMED
from auditor.decode.transport import tcp, udp
from auditor.decode.tunnel import geneve, gre, vxlan
from auditor.kernel import inlined, part

DEPTH = 24  # layers in one packet; deeper nesting is an attack or a loop

ETHERNET, ETHERTYPE, VLAN, IPV4, IPV6, TCP, UDP = (
    L.ETHERNET,
    L.ETHERTYPE_LAYER,
    L.VLAN_TAG,
    L.IPV4,
    L.IPV6,
    L.TCP_LAYER,
    L.UDP_LAYER,
)
SLL, SLL2, RAW, NULL, LOOP, PPP, PPP_HDLC, PPPOE = (
    L.LINUX_SLL,
    L.LINUX_SLL2,
    L.RAW_IP,
    L.NULL_LOOPBACK,
    L.LOOP_LAYER,
    L.PPP,
    L.PPP_HDLC,
    L.PPPOE,
)
MPLS, GRE, VXLAN, GENEVE, STOP = L.MPLS, L.GRE_LAYER, L.VXLAN_LAYER, L.GENEVE_LAYER, L.STOP


@inlined
def reset(packet: Any) -> None:
    packet.source_mac = 0
    packet.target_mac = 0
    packet.vlans = 0
    packet.tunnel = 0
    packet.outer_tunnel = 0
    packet.gwlb_endpoint = 0
    packet.gwlb_attachment = 0
    packet.payload_captured = 0
    packet.payload_wire = 0
    packet.tcp_flags = 0
    packet.protocol = 0
    packet.vlan_count = 0
    packet.pppoe = 0
    packet.status = DECODED


@inlined
def one_layer(block: Any, packet: Any, layer: int) -> int:
    if layer == ETHERNET:
        return ethernet(block, packet)
    if layer == IPV4:
        return ipv4(block, packet)
    if layer == TCP:
        return tcp(block, packet)
    if layer == IPV6:
        return ipv6(block, packet)
    if layer == UDP:
        return udp(block, packet)
    if layer == VLAN:
        return vlan(block, packet)
    if layer == VXLAN:
        return vxlan(block, packet)
    if layer == GENEVE:
        return geneve(block, packet)
    if layer == GRE:
        return gre(block, packet)
    if layer == SLL:
        return linux_sll(block, packet)
    if layer == SLL2:
        return linux_sll2(block, packet)
    if layer == RAW:
        return raw_ip(block, packet)
    if layer == NULL:
        return null_loopback(block, packet)
    if layer == LOOP:
        return open_loopback(block, packet)
    if layer == PPP:
        return ppp(block, packet)
    if layer == PPP_HDLC:
        return ppp_hdlc(block, packet)
    if layer == PPPOE:
        return pppoe(block, packet)
    if layer == MPLS:
        return mpls(block, packet)
    if layer == ETHERTYPE:
        return ethertype(block, packet)
    return not_ip(packet)


@part
def decode_packet(block: Any, packet: Any) -> None:
    """Fill ``packet`` (a PACKET record whose place, times and first layer are set) from its bytes."""
    reset(packet)
    layer = np.int64(packet.link)
    if layer == STOP:
        not_ip(packet)
        return
    for _ in range(DEPTH):
        layer = one_layer(block, packet, layer)
        if layer == STOP:
            return
    packet.status = MALFORMED
