"""The table of layers: each has a number, is reached by the numbers below, and is one function of this room.

A new layer is one constant and one row here, one function, and one line in ``decode.one_layer``. A tunnel has its kind
here as well, and says in ``tunnel.fits_tunnel`` how a datagram on its port must look.
"""

import numpy as np

STOP = 0
ETHERNET, LINUX_SLL, LINUX_SLL2, RAW_IP, NULL_LOOPBACK, PPP, PPPOE, MPLS = 1, 2, 3, 4, 5, 6, 7, 8
IPV4, IPV6, GRE_LAYER, TCP_LAYER, UDP_LAYER, VLAN_TAG, ETHERTYPE_LAYER = 9, 10, 11, 12, 13, 14, 15
VXLAN_LAYER, GENEVE_LAYER, PPP_HDLC, LOOP_LAYER = 16, 17, 18, 19
CISCO_METADATA, MACSEC_LAYER, BACKBONE, ERSPAN_2, ERSPAN_3, CISCO_HDLC, NFLOG = 20, 21, 22, 23, 24, 25, 26
GTP_LAYER, TEREDO_LAYER, L2TP_LAYER, CAPWAP_LAYER, TZSP_LAYER, ESP_LAYER = 27, 28, 29, 30, 31, 32
WIRELESS, RADIOTAP, PRISM, AVS, PPI, WIRELESS_SWAPPED, EAPOL_LAYER = 33, 34, 35, 36, 37, 38, 39
PKTAP, ENC, PFLOG, ERF_LAYER, AH_LAYER = 40, 41, 42, 43, 44
NSH, RING_TAG, VN_TAG, E_TAG, FABRIC_PATH, TRILL, REDIRECTED = 45, 46, 47, 48, 49, 50, 51
ETHERIP_LAYER, L2TP_3_LAYER, MPLS_UDP_LAYER, GUE_LAYER, LISP_LAYER, MPLS_IP_LAYER = 52, 53, 54, 55, 56, 57
FRAME_RELAY, FDDI, TOKEN_RING, ATM, SUN_ATM, PPP_OF_PPPD, IEEE_1394, NET_ANALYZER = 58, 59, 60, 61, 62, 63, 64, 65
DIRECTED_PPP, DIRECTED_HDLC, DIRECTED_FRAME_RELAY, JUNIPER, TIMED = 66, 67, 68, 69, 70
JUNIPER_PPP, JUNIPER_FRAME_RELAY, JUNIPER_HDLC, LLC_LAYER, ATM_CLIP, LOOP_OR_RAW = 71, 72, 73, 74, 75, 76
SLIP, FIBRE_CHANNEL, IPNET, NET_ANALYZER_TRANSPARENT, OPTICAL, MPACKET, BROADCOM_PREPENDED = 77, 78, 79, 80, 81, 82, 83
BROADCOM_TAG, MARVELL_TAG, MARVELL_TYPED_TAG, SWITCH_TAG, UNNAMED, INFINIBAND, DOCSIS, EXPORTED = range(84, 92)
ARCNET, LINUX_ARCNET, JUNIPER_MIRROR, JUNIPER_COOKIE = 92, 93, 94, 95
USB_LINUX, USB_MMAPPED, USB_PCAP, MULTILINK_FRAME_RELAY, PIM_LAYER, STT_LAYER = 96, 97, 98, 99, 100, 101
USB_LAYERS = (USB_LINUX, USB_MMAPPED, USB_PCAP)
# Further frames that lie in one packet: of an 802.11 aggregate, behind its addresses and length; of a cable modem; of a
# transfer over USB. They are the last, by which it is known that their packet counts already.
AGGREGATED, CONCATENATED, TRANSFERRED = 102, 103, 104

# https://www.tcpdump.org/linktypes.html
LINK_TYPES = {
    0: NULL_LOOPBACK,
    1: ETHERNET,
    6: TOKEN_RING,
    7: ARCNET,
    8: SLIP,
    9: PPP,
    10: FDDI,
    11: ATM,
    12: LOOP_OR_RAW,
    13: ENC,  # OpenBSD's number for it
    14: RAW_IP,
    19: ATM_CLIP,
    50: PPP_HDLC,
    51: PPPOE,
    100: ATM,
    101: RAW_IP,
    104: CISCO_HDLC,
    105: WIRELESS,
    106: ATM_CLIP,
    107: FRAME_RELAY,
    108: LOOP_LAYER,
    109: ENC,
    112: CISCO_HDLC,
    113: LINUX_SLL,
    117: PFLOG,
    119: PRISM,
    122: FIBRE_CHANNEL,
    123: SUN_ATM,
    127: RADIOTAP,
    129: LINUX_ARCNET,
    **dict.fromkeys(range(130, 138), JUNIPER_COOKIE),
    138: IEEE_1394,
    143: DOCSIS,
    149: PKTAP,  # user 2, which macOS wrote before it had a number of its own
    163: AVS,
    164: JUNIPER_COOKIE,
    166: PPP_OF_PPPD,
    167: JUNIPER,
    178: JUNIPER,
    179: JUNIPER_PPP,
    180: JUNIPER_FRAME_RELAY,
    181: JUNIPER_HDLC,
    182: MULTILINK_FRAME_RELAY,
    189: USB_LINUX,
    192: PPI,
    197: ERF_LAYER,
    204: DIRECTED_PPP,
    205: DIRECTED_HDLC,
    206: DIRECTED_FRAME_RELAY,
    219: MPLS,
    220: USB_MMAPPED,
    226: IPNET,
    228: IPV4,
    229: IPV6,
    239: NFLOG,
    240: NET_ANALYZER,
    241: NET_ANALYZER_TRANSPARENT,
    242: INFINIBAND,
    249: USB_PCAP,
    252: EXPORTED,
    258: PKTAP,
    259: OPTICAL,
    274: MPACKET,
    276: LINUX_SLL2,
    281: BROADCOM_TAG,
    282: BROADCOM_PREPENDED,
    284: MARVELL_TAG,
    285: MARVELL_TYPED_TAG,
}

# Headers of one length that say nothing of interest: their bytes, and the layer behind them.
HEADED = {
    IEEE_1394: (16, ETHERTYPE_LAYER),  # two addresses
    NET_ANALYZER: (4, ETHERNET),
    NET_ANALYZER_TRANSPARENT: (12, ETHERNET),  # likewise, and the preamble
    PPP_OF_PPPD: (2, PPP_HDLC),  # the direction in place of the address, and the control byte
    DIRECTED_PPP: (1, PPP_HDLC),
    DIRECTED_HDLC: (1, CISCO_HDLC),
    DIRECTED_FRAME_RELAY: (1, FRAME_RELAY),
    SLIP: (16, RAW_IP),  # direction, kind, how it was compressed: it is not any more
    FIBRE_CHANNEL: (16, LLC_LAYER),  # RFC 4338 4
    IPNET: (24, RAW_IP),  # between zones of Solaris
    OPTICAL: (6, ETHERNET),  # the rest of a preamble that says to whom it goes (IEEE 802.3 65.1.3.2)
    MPACKET: (8, ETHERNET),  # preamble and delimiter (IEEE 802.3 99.3)
    BROADCOM_PREPENDED: (4, ETHERNET),
    JUNIPER_MIRROR: (8, RAW_IP),  # numbers of a mirror and of a session
}

# IEEE 802 numbers (ethertypes).
ETHERTYPES = {
    0x0800: IPV4,
    0x86DD: IPV6,
    0x8100: VLAN_TAG,  # 802.1Q
    0x88A8: VLAN_TAG,  # 802.1ad
    0x9100: VLAN_TAG,  # QinQ before 802.1ad
    0x9200: VLAN_TAG,
    0x9300: VLAN_TAG,
    0x8847: MPLS,
    0x8848: MPLS,
    0x8864: PPPOE,  # session stage; discovery (0x8863) carries no IP
    0x6558: ETHERNET,  # transparent Ethernet bridging, inside GRE and GENEVE
    0x880B: PPP,  # PPP inside GRE
    0x8909: CISCO_METADATA,  # TrustSec security group tags
    0x88E5: MACSEC_LAYER,
    0x88E7: BACKBONE,  # 802.1ah
    0x888E: EAPOL_LAYER,  # 802.1X
    0x88BE: ERSPAN_2,  # and type I, inside GRE
    0x22EB: ERSPAN_3,  # inside GRE
    0x883E: REDIRECTED,  # WCCP, inside GRE
    0x22F3: TRILL,  # RFC 6325
    0x8903: FABRIC_PATH,  # Cisco's
    0x8926: VN_TAG,  # Cisco's
    0x893F: E_TAG,  # IEEE 802.1BR
    0x892F: RING_TAG,  # HSR, IEC 62439-3
    0x894F: NSH,  # RFC 8300
    0xDADA: SWITCH_TAG,  # Marvell's, by the type that Linux gives it
    0xD28B: TIMED,  # Arista's, which its taps write
}

# IANA protocol numbers.
IP_PROTOCOLS = {
    4: IPV4,
    6: TCP_LAYER,
    17: UDP_LAYER,
    41: IPV6,
    47: GRE_LAYER,
    50: ESP_LAYER,
    51: AH_LAYER,
    97: ETHERIP_LAYER,
    103: PIM_LAYER,
    115: L2TP_3_LAYER,
    137: MPLS_IP_LAYER,
    143: ETHERNET,  # RFC 8986, behind segment routing headers
}

# What follows in VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe 3.1) and in NSH (RFC 8300 2.2), whose numbers are the same.
NEXT_PROTOCOLS = {1: IPV4, 2: IPV6, 3: ETHERNET, 4: NSH, 5: MPLS}

# Types of Endace's records with packets, whatever extensions they have.
ERF_TYPES = {
    1: PPP_HDLC,
    2: ETHERNET,
    10: PPP_HDLC,
    11: ETHERNET,
    15: PPP_HDLC,
    16: ETHERNET,
    19: PPP_HDLC,
    20: ETHERNET,
    22: IPV4,
    23: IPV6,
}

# UDP ports that carry tunnels. The header must look like the tunnel's too.
UDP_TUNNELS = {
    1701: L2TP_LAYER,  # RFC 2661
    2152: GTP_LAYER,  # 3GPP TS 29.281
    3544: TEREDO_LAYER,  # RFC 4380
    4341: LISP_LAYER,  # RFC 9300
    4789: VXLAN_LAYER,  # RFC 7348; AWS traffic mirroring
    4754: GRE_LAYER,  # RFC 8086
    4790: VXLAN_LAYER,  # with a next protocol (GPE)
    8472: VXLAN_LAYER,  # what Linux used before, and flannel, Cilium and Cisco's OTV do
    5247: CAPWAP_LAYER,  # RFC 5415
    6080: GUE_LAYER,
    6081: GENEVE_LAYER,  # RFC 8926; AWS Gateway Load Balancer
    6635: MPLS_UDP_LAYER,  # RFC 7510
    30030: JUNIPER_MIRROR,  # JUNOSe
    37008: TZSP_LAYER,
}

STT_PORT = 7471  # of STT, which looks like TCP

# Kinds of tunnel, in the top byte of a packet's ``tunnel``: number, name, and whether an identifier goes with it.
VXLAN, GENEVE, GRE, IP_IN_IP, ERSPAN, GTP, TEREDO, L2TP, CAPWAP, TZSP = range(1, 11)
AUTHENTICATED, IPSEC = 11, 12  # IPsec's authentication header; what came out of, or goes into, a security association
SFLOW_SAMPLE = 13  # a packet that a switch reports
MPLS_TUNNEL, ETHERIP, GUE, LISP, SEGMENT_ROUTING, PIM, STT = 14, 15, 16, 17, 18, 19, 20
BRIDGED = 21  # a frame in another one (pseudowires, IEEE 802.1ah, TRILL): the link layer's, and so without a name
TUNNEL_NAMES = {
    VXLAN: "vxlan",
    GENEVE: "geneve",
    GRE: "gre",
    IP_IN_IP: "ipip",
    ERSPAN: "erspan",
    GTP: "gtp",
    TEREDO: "teredo",
    L2TP: "l2tp",
    CAPWAP: "capwap",
    TZSP: "tzsp",
    AUTHENTICATED: "ah",
    IPSEC: "ipsec",
    SFLOW_SAMPLE: "sflow",
    MPLS_TUNNEL: "mpls",
    ETHERIP: "etherip",
    GUE: "gue",
    LISP: "lisp",
    SEGMENT_ROUTING: "srv6",
    PIM: "pim",
    STT: "stt",
}
TUNNELS_WITH_ID = {VXLAN, GENEVE, ERSPAN, GTP, L2TP}


def _table(size: int, rows: dict[int, int]) -> np.ndarray:
    table = np.zeros(size, np.uint8)
    for number, layer in rows.items():
        table[number] = layer
    return table


BY_ETHERTYPE = _table(65536, ETHERTYPES)
BY_IP_PROTOCOL = _table(256, IP_PROTOCOLS)
BY_UDP_PORT = _table(65536, UDP_TUNNELS)
BY_LINK_TYPE = _table(65536, LINK_TYPES)
BY_ERF_TYPE = _table(128, ERF_TYPES)
BY_NEXT_PROTOCOL = _table(256, NEXT_PROTOCOLS)
HEADER_BYTES = _table(256, {layer: size for layer, (size, _) in HEADED.items()})
BEHIND_HEADER = _table(256, {layer: behind for layer, (_, behind) in HEADED.items()})

# Headers that name the interface of each packet: where, and in how many bytes of text.
NAMED_INTERFACES = {PKTAP: (12, 24), PFLOG: (4, 16)}
NAMING_LAYERS = {*NAMED_INTERFACES, LINUX_SLL2, ERF_LAYER}  # the last two by number


def layer_of_link_type(link_type: int) -> int:
    """The layer that a pcap link type begins with; ``STOP`` for one that is not decoded."""
    return LINK_TYPES.get(link_type & 0xFFFF, STOP)
