"""Link layers. Each function reads one header at ``packet.position`` and returns the next layer's number."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32, be48, le16, le32, u16
from auditor.decode.layers import (
    BY_ETHERTYPE,
    ETHERNET,
    ETHERTYPE_LAYER,
    IPV4,
    IPV6,
    MPLS,
    PPP,
    PRISM,
    RADIOTAP,
    RAW_IP,
    STOP,
    UNNAMED,
    WIRELESS,
)
from auditor.decode.packet import CUT, ENCRYPTED, FRAGMENT, LABEL_SHIM, MALFORMED, NOT_IP, PPPOE_SHIM, PacketRow
from auditor.machine.kernel import inlined, part

# PPP's Multilink Protocol (RFC 1990 3): what is the beginning and the end of a packet is whole.
MULTILINK, WHOLE = 0x3D, 0xC0
BRIDGED = 0x0080C2  # the organization of IEEE 802.1, whose numbers bridged frames have


@inlined
def cut(packet: PacketRow) -> int:
    """The capture ends inside a header."""
    packet.status = CUT
    return STOP


@inlined
def malformed(packet: PacketRow) -> int:
    packet.status = MALFORMED
    return STOP


@inlined
def not_ip(packet: PacketRow) -> int:
    packet.status = NOT_IP
    return STOP


@part
def llc(block: Bytes, packet: PacketRow) -> int:
    """Logical link control (IEEE 802.2): SNAP, behind which an ethertype or a bridged frame (RFC 2684 5.2) follows, or IP."""
    at = packet.position
    if at + 3 <= packet.end and block[at] == 6 and block[at + 1] == 6 and block[at + 2] == 3:
        packet.position = at + 3
        return IPV4
    if at + 8 > packet.end or block[at] != 0xAA or block[at + 1] != 0xAA or block[at + 2] != 3:
        return not_ip(packet)
    packet.position = at + 8
    kind = be16(block, at + 6)
    if be24(block, at + 3) == BRIDGED:
        return ETHERNET if kind == 1 or kind == 7 else not_ip(packet)
    layer = int(BY_ETHERTYPE[kind])
    return layer if layer != STOP else not_ip(packet)


@inlined
def ethertype(block: Bytes, packet: PacketRow) -> int:
    """The two bytes that name the next layer (IEEE 802.3 3.2.6); below 1536 they are a length and LLC follows."""
    at = packet.position
    if at + 2 > packet.end:
        return cut(packet)
    kind = be16(block, at)
    packet.position = at + 2
    if kind < 1536:
        layer = llc(block, packet)
        return layer if layer != STOP or packet.position != at + 2 else UNNAMED
    layer = int(BY_ETHERTYPE[kind])
    return layer if layer != STOP else UNNAMED


@inlined
def ethernet(block: Bytes, packet: PacketRow) -> int:
    at = packet.position
    if at + 14 > packet.end:
        return cut(packet)
    packet.target_mac = be48(block, at)
    packet.source_mac = be48(block, at + 6)
    packet.position = at + 12
    return ethertype(block, packet)


@part
def vlan(block: Bytes, packet: PacketRow) -> int:
    """An 802.1Q or 802.1ad tag; the ethertype that says so is already read."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    packet.vlans = (packet.vlans << np.uint64(12)) | np.uint64(be16(block, at) & 0xFFF)
    packet.vlan_count += 1
    packet.position = at + 2
    return ethertype(block, packet)


@part
def of_wireless(kind: int) -> int:
    """How frames of a wireless interface that monitors begin, by its ARPHRD type."""
    if kind == 801:
        return WIRELESS
    if kind == 802:
        return PRISM
    return RADIOTAP if kind == 803 else STOP


@part
def linux_sll(block: Bytes, packet: PacketRow) -> int:
    """Linux cooked capture v1: packet type, ARPHRD type, address length, address, protocol."""
    at = packet.position
    if at + 16 > packet.end:
        return cut(packet)
    if be16(block, at + 4) == 6:
        packet.source_mac = be48(block, at + 6)
    wireless = of_wireless(be16(block, at + 2))
    if wireless != STOP:
        packet.position = at + 16
        return wireless
    packet.position = at + 14
    return ethertype(block, packet)


@part
def linux_sll2(block: Bytes, packet: PacketRow) -> int:
    """Linux cooked capture v2: protocol, reserved, interface index, ARPHRD type, packet type, address."""
    at = packet.position
    if at + 20 > packet.end:
        return cut(packet)
    if block[at + 11] == 6:
        packet.source_mac = be48(block, at + 12)
    packet.wire = be32(block, at + 4)
    kind = be16(block, at)
    packet.position = at + 20
    wireless = of_wireless(be16(block, at + 8))
    if wireless != STOP:
        return wireless
    if kind < 1536:
        return llc(block, packet)
    layer = BY_ETHERTYPE[kind]
    if layer == STOP:
        return not_ip(packet)
    return int(layer)


@part
def raw_ip(block: Bytes, packet: PacketRow) -> int:
    if packet.position >= packet.end:
        return cut(packet)
    version = block[packet.position] >> 4
    if version == 4:
        return IPV4
    if version == 6:
        return IPV6
    return not_ip(packet)


@part
def address_family(family: int) -> int:
    """BSD loopback's address family: 2 is IPv4 everywhere, IPv6 has a number on each system."""
    if family == 2:
        return IPV4
    if family == 10 or family == 23 or family == 24 or family == 28 or family == 30:
        return IPV6
    return STOP


@part
def null_loopback(block: Bytes, packet: PacketRow) -> int:
    """LINKTYPE_NULL: the family in the byte order of the capturing host, which the file need not share."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    family = le32(block, at)
    if family > 0xFFFF:
        family = (be16(block, at) << 16) | be16(block, at + 2)
    packet.position = at + 4
    layer = address_family(family)
    return layer if layer != STOP else not_ip(packet)


@part
def open_loopback(block: Bytes, packet: PacketRow) -> int:
    """LINKTYPE_LOOP: the family in network byte order."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    packet.position = at + 4
    layer = address_family((be16(block, at) << 16) | be16(block, at + 2))
    return layer if layer != STOP else not_ip(packet)


@part
def ppp(block: Bytes, packet: PacketRow) -> int:
    """PPP (RFC 1661), with or without address and control bytes, the protocol perhaps compressed to one byte."""
    at = packet.position
    if at + 2 <= packet.end and block[at] == 0xFF and block[at + 1] == 3:
        at += 2
    if at + 2 > packet.end:
        return cut(packet)
    if block[at] & 1:
        protocol = int(block[at])
        packet.position = at + 1
    else:
        protocol = be16(block, at)
        packet.position = at + 2
    if protocol == 0x21:
        return IPV4
    if protocol == 0x57:
        return IPV6
    if protocol == 0x281 or protocol == 0x283:
        return MPLS
    return multilink(block, packet) if protocol == MULTILINK else not_ip(packet)


@inlined
def is_known_to_ppp(block: Bytes, at: int, end: int) -> bool:
    """Whether the protocol of something that is decoded stands here, in two bytes or compressed to one."""
    if at + 2 > end:
        return False
    protocol = int(block[at]) if block[at] & 1 else be16(block, at)
    return protocol == 0x21 or protocol == 0x57 or protocol == 0x281 or protocol == 0x283


@part
def multilink(block: Bytes, packet: PacketRow) -> int:
    """A packet, or a piece of one (see ``decode.multilink``), behind a number of 24 bits or of 12 (RFC 1990 3)."""
    at, end = np.int64(packet.position), np.int64(packet.end)
    if at + 4 > end:
        return cut(packet)
    if block[at] & WHOLE != WHOLE:
        packet.fragment = at - 1
        packet.status = FRAGMENT
        return STOP
    is_long = block[at] & 0x3F == 0 and is_known_to_ppp(block, at + 4, end)
    packet.position = at + (4 if is_long else 2)
    return PPP if is_long or is_known_to_ppp(block, at + 2, end) else not_ip(packet)


@part
def ppp_hdlc(block: Bytes, packet: PacketRow) -> int:
    """PPP in HDLC-like framing (RFC 1662), or Cisco HDLC where the first byte is 0x0F or 0x8F."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    if block[at] == 0x0F or block[at] == 0x8F:
        packet.position = at + 2
        return ETHERTYPE_LAYER
    return PPP


@part
def pppoe(block: Bytes, packet: PacketRow) -> int:
    """A PPPoE session packet (RFC 2516): version and type, code 0, session, length, then PPP."""
    at = packet.position
    if at + 6 > packet.end:
        return cut(packet)
    if block[at] != 0x11:
        return malformed(packet)
    if block[at + 1] != 0:
        return not_ip(packet)
    packet.shims |= PPPOE_SHIM
    packet.position = at + 6
    return PPP


@inlined
def begins_frame(block: Bytes, at: int, end: int) -> bool:
    """Whether an Ethernet header with an ethertype that is decoded can begin here."""
    return at + 14 <= end and int(BY_ETHERTYPE[be16(block, at + 12)]) != STOP


@part
def is_ip_header(block: Bytes, at: int, end: int) -> bool:
    """Whether IP begins here: IPv4's checksum is right, or IPv6 is as long as it says."""
    if at + 20 > end:
        return False
    if block[at] >> 4 == 6:
        return at + 40 <= end and at + 40 + be16(block, at + 4) == end
    header = int(block[at] & 15) * 4
    if block[at] >> 4 != 4 or header < 20 or at + header > end or be16(block, at + 2) > end - at:
        return False
    total = 0
    for k in range(0, header, 2):
        total += be16(block, at + k)
    return (total & 0xFFFF) + (total >> 16) == 0xFFFF


@part
def mpls(block: Bytes, packet: PacketRow) -> int:
    """MPLS labels to the bottom of the stack (RFC 3032); what is below is recognised by its first nibble."""
    at = packet.position
    packet.shims |= LABEL_SHIM
    while True:
        if at + 4 > packet.end:
            return cut(packet)
        bottom = block[at + 2] & 1
        at += 4
        if bottom:
            break
    packet.position = at
    if at >= packet.end:
        return cut(packet)
    nibble = block[at] >> 4
    if nibble == 4 or nibble == 6:
        if begins_frame(block, at, np.int64(packet.end)) and not is_ip_header(block, at, np.int64(packet.end)):
            return ETHERNET  # of a pseudowire without a control word: many a MAC begins like IP (RFC 4928 3)
        return RAW_IP
    # A pseudowire's Ethernet (RFC 4448), behind a control word (RFC 4385 3) or not: the word begins like many a MAC.
    if nibble == 0 and begins_frame(block, at + 4, np.int64(packet.end)):
        packet.position = at + 4
        return ETHERNET
    return ETHERNET if begins_frame(block, at, np.int64(packet.end)) else not_ip(packet)


@inlined
def encrypted(packet: PacketRow) -> int:
    """Nothing inside can be seen."""
    packet.status = ENCRYPTED
    return STOP


@part
def cisco_hdlc(block: Bytes, packet: PacketRow) -> int:
    if packet.position + 4 > packet.end:
        return cut(packet)
    packet.position += 2
    return ETHERTYPE_LAYER


@part
def nflog(block: Bytes, packet: PacketRow) -> int:
    """Linux netfilter log: family, version, resource, then attributes in the host's byte order; 9 is the packet."""
    at = packet.position + 4
    big = at + 4 <= packet.end and be16(block, at) < le16(block, at)  # the first ones are short
    while at + 4 <= packet.end:
        size, kind = u16(block, at, big), u16(block, at + 2, big) & 0x7FFF
        if size < 4:
            return malformed(packet)
        if kind == 9:
            packet.position = at + 4
            return RAW_IP
        at += (size + 3) & ~3
    return not_ip(packet)
