"""What the decoder says of a packet, and the numbers by which the layers are known."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.machine.blank import blank

PACKET = np.dtype(
    [
        ("time", "i8"),  # nanoseconds since 1970, UTC
        ("frame", "i8"),  # 1 for the first packet of the capture, as Wireshark counts
        ("begin", "i8"),  # where in the block its link layer begins
        ("captured", "i8"),  # bytes of it that were captured
        ("position", "i8"),  # where in the block the layer to be decoded next begins
        ("end", "i8"),  # where in the block its captured bytes end
        ("missing", "i8"),  # bytes that were on the wire after ``end`` but not captured
        ("wire_length", "i8"),  # length of the frame on the wire
        ("source_high", "u8"),  # addresses as 128-bit numbers; IPv4 as ::ffff:a.b.c.d
        ("source_low", "u8"),
        ("target_high", "u8"),
        ("target_low", "u8"),
        ("source_mac", "u8"),
        ("target_mac", "u8"),
        ("vlans", "u8"),  # 12 bits a tag, the innermost lowest
        ("tunnel", "u8"),  # innermost tunnel: kind in the top byte, its identifier below
        ("outer_tunnel", "u8"),  # the tunnel around that one
        (
            "outer_source",
            "u8",
        ),  # around the outermost tunnel: IPv4 as ::ffff:a.b.c.d's low half, IPv6 both halves mixed
        ("outer_target", "u8"),
        ("outer_source_mac", "u8"),  # of the frame on the wire, where there is a tunnel in it
        ("outer_target_mac", "u8"),
        ("gwlb_endpoint", "u8"),  # GENEVE option of AWS Gateway Load Balancer: endpoint id
        ("gwlb_attachment", "u8"),
        ("fragment", "i8"),  # where the IP header of a fragment begins in the block; 0 if it is none
        ("payload", "i8"),  # where the TCP or UDP payload begins
        ("payload_captured", "i4"),
        ("payload_wire", "i4"),
        ("sequence", "u4"),
        ("acknowledged", "u4"),
        ("source_port", "u2"),
        ("target_port", "u2"),
        ("interface", "i4"),
        ("wire", "u4"),  # what a header in the packet says of its interface, see ``wrapped``; 0 for nothing
        ("spi", "u4"),  # of the IPsec association that the packet came in, where it is in clear; 0 for none
        ("link", "u2"),  # layer number to begin with (see ``layers``)
        ("further", "u2"),  # where, from ``begin`` on, the next frame of an aggregate begins; 0 for none
        ("mss", "u2"),  # of a SYN's option; 0 for none
        ("ip_identification", "u2"),  # IPv4's; 0 in IPv6
        ("ttl", "u1"),
        ("tcp_flags", "u1"),
        ("begins", "u1"),  # how a TCP payload begins: LIKE_TEXT, LIKE_ALERT, or 0; JOINS for a SYN of a subflow
        ("protocol", "u1"),  # IP protocol number; 0 when there is no IP in the packet
        ("vlan_count", "u1"),
        ("outer_vlan_count", "u1"),  # how many of the tags are outside of every tunnel; 0 where there is none
        ("shims", "u1"),  # bits: what stands between tags and IP, see below
        ("status", "u1"),
    ]
)
BLANK_PACKET = blank(PACKET)
PacketRow: TypeAlias = Any  # a record of PACKET, whose fields are attributes
PacketRows: TypeAlias = NDArray[Any]

# Values of ``status``.
DECODED = 0  # TCP or UDP, as far as it was captured
NOT_IP = 1  # ARP, STP, a link type we do not know, …
OTHER_IP = 2  # IP, but neither TCP nor UDP
FRAGMENT = 3  # a later fragment: no ports to be seen
CUT = 4  # the capture ends inside a header
MALFORMED = 5  # a header contradicts itself
DUPLICATE = 7  # a mirror shows the packet for the second time
ENCRYPTED = 6  # MACsec, or 802.11 with its payload encrypted: nothing inside can be seen
REPEATED = 8  # another of the files that are read as one holds the very same frame, with the same time

# Values of ``shims``: PPPoE; MPLS labels; a service chain's header. Those of the frame around a tunnel stand above those
# of the one inside it.
PPPOE_SHIM, LABEL_SHIM, CHAIN_SHIM = 1, 2, 4
OUTER_SHIMS = 4  # bits by which they are shifted

LIKE_TEXT, LIKE_ALERT, JOINS = 1, 2, 3
SHORTEST_TEXT = 5  # bytes of a line of text that ends a segment, such as QUIT

V4_MAPPED = 0xFFFF00000000  # RFC 4291 2.5.5.2: upper part of the low half of an IPv4-mapped address

ICMP, TCP, UDP, ESP, ICMP6 = 1, 6, 17, 50, 58
EAPOL = 255  # stands for EAP over LAN, which has no IP; a number that IANA reserves
GROUP_ADDRESS = 1 << 40  # the bit of a MAC that makes it one of several stations (IEEE 802)
BGP = 179  # port, RFC 4271 3
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32

# What is kept of packets seen a moment ago, in sets of WAYS, to know those that a capture shows again: see ``flows.copies``.
RECENT_PACKET = np.dtype(
    [
        ("source_high", "u8"),
        ("source_low", "u8"),
        ("target_high", "u8"),
        ("target_low", "u8"),
        ("ports", "u8"),  # and the IPv4 identification
        ("numbers", "u8"),  # of TCP; of UDP the payload's beginning
        ("length", "u8"),  # and the flags
        ("further", "u8"),  # of packets without an identification: a hash of options, or of the payload
        ("time", "i8"),
        ("places", "u8"),  # the last four where it was seen
    ]
)
RECENT = 4096
WAYS = 2
# What is kept of frames to know those that lie in two files, and of packets to compare two captures by.
FRAME_SEEN = np.dtype([("code", "u8"), ("time", "i8"), ("capture", "i8")])
PACKET_MARK = np.dtype([("code", "u8"), ("time", "i8"), ("place", "u8")])
RecentRow: TypeAlias = Any
RecentRows: TypeAlias = NDArray[Any]  # RECENT of them, and one more that ``copies`` keeps a gap in
FrameRows: TypeAlias = NDArray[Any]
