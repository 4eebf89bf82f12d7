"""When a connection takes over the ports of an earlier one (RFC 9293 3.6.1)."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24
from auditor.decode.packet import ACK, FIN, RST, SYN, PacketRow
from auditor.flows.sides import is_far, place_of
from auditor.flows.state import FlowRow, SideRow, SideRows
from auditor.flows.table import TCP_CLOSED
from auditor.machine.kernel import part

REORDERED = 65536  # bytes within which a segment that came before its SYN, or after its FIN, is of the same connection
HELLO_BEGINS = 11  # bytes: a record's header, a ClientHello's, its version


@part
def opens_new_connection(flow: FlowRow, sides: SideRows, at: int, direction: int, packet: PacketRow) -> bool:
    """Whether a SYN on a known 5-tuple begins another connection."""
    if packet.tcp_flags & (SYN | ACK | RST) != SYN:
        return False
    mine, other = sides[place_of(sides, at, direction)], sides[place_of(sides, at, 1 - direction)]
    if mine.syn != 0:
        # Some begin each connection with the same number; one that has gone on, or is over, sends no SYN again.
        went_on = mine.tcp_flags & (ACK | FIN | RST) != 0
        is_again = went_on and (flow.closed != 0 or packet.time - flow.ended >= TCP_CLOSED)
        return mine.initial_sequence != packet.sequence or is_again
    if flow.closed != 0:
        return True
    if other.syn != 0 and other.tcp_flags & ACK == 0:
        return False  # both sides sent a SYN: simultaneous open, or a split handshake
    if mine.packets > 0:  # the capture has segments of this side from before the SYN: reordered, or older
        ahead = (np.int64(mine.initial_sequence) - np.int64(packet.sequence)) & 0xFFFFFFFF
        return ahead > REORDERED
    return other.syn == 0  # an answer to a SYN that comes late; without any SYN it is something older


@part
def is_behind_the_end(mine: SideRow, packet: PacketRow) -> bool:
    """Whether a segment is of a later connection whose SYN is not in the capture: its side has ended, at another number.

    What comes after a FIN sends again what was before it (RFC 9293 3.10.7.4).
    """
    flags = packet.tcp_flags
    is_opening = flags & (SYN | ACK) == SYN | ACK
    if mine.tcp_flags & FIN == 0 or flags & RST or (packet.payload_wire == 0 and not is_opening):
        return False
    before = (np.int64(mine.fin_sequence) - np.int64(packet.sequence)) & 0xFFFFFFFF
    sent = min(np.int64(mine.payload), np.int64(1 << 31))
    return bool(sent + REORDERED < before < (1 << 32) - REORDERED)


@part
def begins_anew(flow: FlowRow, mine: SideRow, block: Bytes, packet: PacketRow) -> bool:
    """Whether a segment is of a later connection though nothing has closed the one before, nor opened this one.

    Its number is far from all that its side has sent, and another ClientHello begins in it: in one connection the
    second follows the first at once (RFC 8446 4.1.4), or is encrypted (RFC 5746 3.5).
    """
    if flow.handshake < 0 or packet.payload_captured < HELLO_BEGINS or not is_far(mine, packet):
        return False
    at = np.int64(packet.payload)
    size = be16(block, at + 3)
    is_record = block[at] == 22 and block[at + 1] == 3 and block[at + 2] <= 4
    return bool(is_record and block[at + 5] == 1 and be24(block, at + 6) + 4 <= size and block[at + 9] == 3)
