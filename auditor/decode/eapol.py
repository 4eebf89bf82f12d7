"""EAP over LAN (IEEE 802.1X 11): it has no IP addresses, so its ends are called by the link-local ones of their MACs."""

import numpy as np

from auditor.decode.bytes import Bytes, be16
from auditor.decode.layers import STOP
from auditor.decode.link import cut, malformed, not_ip
from auditor.decode.packet import EAPOL, PacketRow
from auditor.machine.kernel import inlined, part

EAP_PACKET, RESPONSE = 0, 2
GROUP = 0x0180C2000003  # the group address of port access entities (IEEE 802.1X 7.8): of nobody in particular
LINK_LOCAL = 0xFE80 << 48


@inlined
def interface_identifier(mac: np.uint64) -> np.uint64:
    """The lower half of a MAC's link-local address (RFC 4291 A)."""
    upper = (mac >> np.uint64(24)) << np.uint64(40)
    lower = np.uint64(0xFFFE000000) | (mac & np.uint64(0xFFFFFF))
    return (upper | lower) ^ np.uint64(1 << 57)


@part
def eapol(block: Bytes, packet: PacketRow) -> int:
    """A frame with an EAP packet, whose code says who sends it. Its other end is the authenticator of that supplicant."""
    at = packet.position
    if at + 4 > packet.end:
        return cut(packet)
    if block[at + 1] != EAP_PACKET:
        return not_ip(packet)
    if at + 8 > packet.end:
        return cut(packet)
    size = be16(block, at + 6)
    if size < 4 or size > be16(block, at + 2):
        return malformed(packet)
    supplicant = packet.source_mac if block[at + 4] == RESPONSE else packet.target_mac
    if supplicant == 0:  # cooked captures do not have the address that a frame goes to
        supplicant = np.uint64(GROUP)
    mine, other = interface_identifier(np.uint64(supplicant)), interface_identifier(np.uint64(GROUP))
    packet.source_high = np.uint64(LINK_LOCAL)
    packet.target_high = np.uint64(LINK_LOCAL)
    packet.source_low = mine if block[at + 4] == RESPONSE else other
    packet.target_low = other if block[at + 4] == RESPONSE else mine
    packet.protocol = EAPOL
    packet.source_port = 0
    packet.target_port = 0
    packet.ip_identification = 0
    packet.payload = at + 4
    packet.payload_wire = size
    packet.payload_captured = min(size, packet.end - at - 4)
    return STOP


@part
def note_supplicant(last: int, packet: PacketRow) -> int:
    """The MAC of the last supplicant, of whose conversation a request to the group address is a part; 0 for none yet."""
    other = interface_identifier(np.uint64(GROUP))
    if packet.source_low != other:
        return np.int64(packet.source_mac)
    if packet.target_low != other:
        return np.int64(packet.target_mac)
    if last != 0:
        packet.target_low = interface_identifier(np.uint64(last))
    return last
