"""The decoder: from a packet's first layer inwards until TCP, UDP or something without a next layer."""

import numpy as np

from auditor.decode import layers as L
from auditor.decode.bytes import Bytes
from auditor.decode.eapol import eapol
from auditor.decode.ip import authentication, ipv4, ipv6
from auditor.decode.link import (
    cisco_hdlc,
    ethertype,
    linux_sll,
    linux_sll2,
    llc,
    mpls,
    nflog,
    not_ip,
    null_loopback,
    open_loopback,
    ppp,
    ppp_hdlc,
    pppoe,
    raw_ip,
    vlan,
)
from auditor.decode.older import (
    arcnet,
    atm,
    classical_atm,
    docsis,
    exported,
    frame_relay,
    headed,
    infiniband,
    juniper,
    loop_or_raw,
    multilink_frame_relay,
    ring,
)
from auditor.decode.overlay import geneve, pim, rare_overlay, stt, vxlan
from auditor.decode.packet import DECODED, FRAGMENT, MALFORMED, PacketRow
from auditor.decode.packet import TCP as TCP_PROTOCOL
from auditor.decode.tags import (
    backbone,
    cisco_metadata,
    macsec,
    marvell_tag,
    nsh,
    redirected,
    switch_tagged,
    tag,
    timed,
    trill,
    unnamed,
)
from auditor.decode.transport import esp, tcp, udp
from auditor.decode.tunnel import capwap, erspan, ethernet_frame, gre, gtp, l2tp, teredo, tzsp
from auditor.decode.usb import usb
from auditor.decode.wireless import dot11, ppi, prism, radiotap
from auditor.decode.wrapped import enc, erf, pflog, pktap
from auditor.machine.kernel import inlined, part

DATAGRAM = -1
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
METADATA, MACSEC, BACKBONE, ERSPAN_2, ERSPAN_3 = L.CISCO_METADATA, L.MACSEC_LAYER, L.BACKBONE, L.ERSPAN_2, L.ERSPAN_3
HDLC, NFLOG, GTP, TEREDO, L2TP, CAPWAP, TZSP = (
    L.CISCO_HDLC,
    L.NFLOG,
    L.GTP_LAYER,
    L.TEREDO_LAYER,
    L.L2TP_LAYER,
    L.CAPWAP_LAYER,
    L.TZSP_LAYER,
)
PKTAP, ENC, PFLOG, ERF, AUTHENTICATION = L.PKTAP, L.ENC, L.PFLOG, L.ERF_LAYER, L.AH_LAYER
ESP, WIRELESS, RADIOTAP, PRISM, AVS, PPI = L.ESP_LAYER, L.WIRELESS, L.RADIOTAP, L.PRISM, L.AVS, L.PPI
WIRELESS_SWAPPED, EAPOL = L.WIRELESS_SWAPPED, L.EAPOL_LAYER
NSH, TRILL, REDIRECTED, RING_TAG, FABRIC_PATH = L.NSH, L.TRILL, L.REDIRECTED, L.RING_TAG, L.FABRIC_PATH
VN_TAG, E_TAG, TIMED = L.VN_TAG, L.E_TAG, L.TIMED
FRAME_RELAY, FDDI, TOKEN_RING, ATM, SUN_ATM, JUNIPER = (
    L.FRAME_RELAY,
    L.FDDI,
    L.TOKEN_RING,
    L.ATM,
    L.SUN_ATM,
    L.JUNIPER,
)
LLC, ATM_CLIP, LOOP_OR_RAW, INFINIBAND, DOCSIS, EXPORTED = (
    L.LLC_LAYER,
    L.ATM_CLIP,
    L.LOOP_OR_RAW,
    L.INFINIBAND,
    L.DOCSIS,
    L.EXPORTED,
)
BROADCOM_TAG, MARVELL_TAG, MARVELL_TYPED_TAG, SWITCH_TAG, UNNAMED = (
    L.BROADCOM_TAG,
    L.MARVELL_TAG,
    L.MARVELL_TYPED_TAG,
    L.SWITCH_TAG,
    L.UNNAMED,
)
JUNIPER_PPP, JUNIPER_HDLC, JUNIPER_COOKIE, AGGREGATED = L.JUNIPER_PPP, L.JUNIPER_HDLC, L.JUNIPER_COOKIE, L.AGGREGATED
USB_LINUX, USB_MMAPPED, USB_PCAP, MULTILINK_FRAME_RELAY, PIM = (
    L.USB_LINUX,
    L.USB_MMAPPED,
    L.USB_PCAP,
    L.MULTILINK_FRAME_RELAY,
    L.PIM_LAYER,
)
ARCNET, LINUX_ARCNET, CONCATENATED, TRANSFERRED = L.ARCNET, L.LINUX_ARCNET, L.CONCATENATED, L.TRANSFERRED
STT_LAYER, STT_PORT = L.STT_LAYER, L.STT_PORT
HEADER_BYTES = L.HEADER_BYTES
SUN_ATM_HEADER = 4  # bytes
FIRST_OLDER = FRAME_RELAY  # the numbers from there on are those of ``older_layer``


@inlined
def one_layer(block: Bytes, packet: PacketRow, layer: int) -> int:
    if layer == ETHERNET:
        return ethernet_frame(block, packet)
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
    return rare_layer(block, packet, layer)


@part
def rare_layer(block: Bytes, packet: PacketRow, layer: int) -> int:
    """Layers that most captures do not have."""
    if layer >= NSH:
        return older_layer(block, packet, layer) if layer >= FIRST_OLDER else rarer_layer(block, packet, layer)
    if layer == METADATA:
        return cisco_metadata(packet)
    if layer == MACSEC:
        return macsec(block, packet)
    if layer == BACKBONE:
        return backbone(packet)
    if layer == ERSPAN_2 or layer == ERSPAN_3:
        return erspan(block, packet, layer)
    if layer == HDLC:
        return cisco_hdlc(block, packet)
    if layer == NFLOG:
        return nflog(block, packet)
    if layer == GTP:
        return gtp(block, packet)
    if layer == TEREDO:
        return teredo(block, packet)
    if layer == L2TP:
        return l2tp(block, packet)
    if layer == CAPWAP:
        return capwap(block, packet)
    if layer == TZSP:
        return tzsp(block, packet)
    if layer == ESP:
        return esp(block, packet)
    if layer == WIRELESS or layer == WIRELESS_SWAPPED:
        return dot11(block, packet, layer == WIRELESS_SWAPPED)
    if layer == EAPOL:
        return eapol(block, packet)
    if layer == AUTHENTICATION:
        return authentication(block, packet)
    return captured_layer(block, packet, layer)


@part
def captured_layer(block: Bytes, packet: PacketRow, layer: int) -> int:
    """Headers that a capture point put before a packet."""
    if layer == RADIOTAP:
        return radiotap(block, packet)
    if layer == PRISM or layer == AVS:
        return prism(block, packet)
    if layer == PPI:
        return ppi(block, packet)
    if layer == PKTAP:
        return pktap(block, packet)
    if layer == ENC:
        return enc(block, packet)
    if layer == PFLOG:
        return pflog(block, packet)
    if layer == ERF:
        return erf(block, packet)
    return not_ip(packet)


@part
def rarer_layer(block: Bytes, packet: PacketRow, layer: int) -> int:
    """Tags of fabrics and rings, and overlays besides VXLAN and GENEVE."""
    if layer == NSH:
        return nsh(block, packet)
    if layer == TRILL:
        return trill(block, packet)
    if layer == REDIRECTED:
        return redirected(block, packet)
    if layer == RING_TAG or layer == VN_TAG or layer == E_TAG or layer == FABRIC_PATH:
        return tag(packet, layer)
    return rare_overlay(block, packet, layer)


@part
def older_layer(block: Bytes, packet: PacketRow, layer: int) -> int:
    """Link layers that were common before Ethernet was everywhere."""
    if layer == FRAME_RELAY:
        return frame_relay(block, packet)
    if layer == FDDI or layer == TOKEN_RING:
        return ring(block, packet, layer)
    if layer == ATM:
        return atm(block, packet, np.int64(0))
    if layer == SUN_ATM:
        return atm(block, packet, np.int64(SUN_ATM_HEADER))
    if HEADER_BYTES[layer] != 0:
        return headed(packet, layer)
    if layer == JUNIPER or layer == JUNIPER_COOKIE or (layer >= JUNIPER_PPP and layer <= JUNIPER_HDLC):
        return juniper(block, packet, layer)
    if layer == TIMED:
        return timed(block, packet)
    return newer_layer(block, packet, layer)


@part
def newer_layer(block: Bytes, packet: PacketRow, layer: int) -> int:
    """Tags of switches, and what else only captures of few places have."""
    if layer == UNNAMED:
        return unnamed(block, packet)
    if layer == BROADCOM_TAG or layer == MARVELL_TAG or layer == MARVELL_TYPED_TAG:
        return switch_tagged(block, packet, layer)
    if layer == SWITCH_TAG:
        return marvell_tag(block, packet, packet.position + 2)
    if layer == LLC or layer == AGGREGATED:
        return llc(block, packet)
    if layer == ATM_CLIP:
        return classical_atm(block, packet)
    if layer == LOOP_OR_RAW:
        return loop_or_raw(block, packet)
    if layer == INFINIBAND:
        return infiniband(block, packet)
    if layer == ARCNET or layer == LINUX_ARCNET:
        return arcnet(block, packet, layer)
    if layer == DOCSIS or layer == CONCATENATED:
        return docsis(block, packet)
    if layer == EXPORTED:
        return exported(block, packet)
    if layer == TRANSFERRED:
        return ETHERNET
    if layer == USB_LINUX or layer == USB_MMAPPED or layer == USB_PCAP:
        return usb(block, packet, layer)
    if layer == MULTILINK_FRAME_RELAY:
        return multilink_frame_relay(block, packet)
    return pim(block, packet) if layer == PIM else stt(block, packet)


@part
def decode_packet(block: Bytes, packet: PacketRow, layer: int) -> None:
    """Fill ``packet`` (a blank PACKET record whose place, times and first layer are set) from its bytes.

    ``layer`` is its first layer; or DATAGRAM for one of IP, of CAPWAP (whose first four bits are 0) or of STT that was
    put together from fragments, of which what is around it is known already.
    """
    if layer == DATAGRAM:
        layer = np.int64(RAW if block[packet.position] >> 4 else CAPWAP)
        if packet.status == FRAGMENT and packet.protocol == TCP_PROTOCOL and packet.target_port == STT_PORT:
            layer = np.int64(STT_LAYER)
        packet.status = DECODED
        packet.fragment = 0
    if layer == STOP:
        not_ip(packet)
        return
    for _ in range(DEPTH):
        layer = one_layer(block, packet, layer)
        if layer == STOP:
            return
    packet.status = MALFORMED
