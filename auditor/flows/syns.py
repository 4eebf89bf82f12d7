"""Which SYN of a side counts, where there were several of different sequence numbers.

Old ones, those of middleboxes and of attackers come before and after the real one. A connection goes on where the other
side acknowledges (RFC 9293 3.10.7.3); in a capture of one direction, where its data follow.
"""

import numpy as np

from auditor.decode.packet import ACK, RST, SYN, PacketRow
from auditor.flows.state import DONE, NEW, RIVALS, WINDOW, SideRow
from auditor.machine.kernel import part

MOST_SENT_FIRST = 65536  # bytes that a side may have sent before the first acknowledgement in the capture


@part
def distance(number: int, initial_sequence: int) -> int:
    """How many bytes behind a SYN's a sequence number is."""
    return (np.int64(number) - np.int64(initial_sequence) - 1) & 0xFFFFFFFF


@part
def note_rival(side: SideRow, sequence: int) -> None:
    """A further SYN of a side. Of more than RIVALS other numbers the latest is kept instead of the last one."""
    if sequence == side.initial_sequence:
        return
    count = np.int64(side.rivals)
    for k in range(count):
        if side.rival[k] == sequence:
            return
    side.rivals = min(RIVALS, count + 1)
    side.rival[side.rivals - 1] = sequence


@part
def settle(side: SideRow, number: int, exact: bool) -> None:
    """Let that SYN of a side count which ``number``, the next byte that was sent or acknowledged, fits.

    ``exact``: only one that ``number`` follows at once, since what counts is known already.
    """
    nearest, best = -1, distance(number, np.int64(side.initial_sequence))
    for k in range(np.int64(side.rivals)):
        behind = distance(number, np.int64(side.rival[k]))
        if behind < best and (behind == 0 or not exact):
            nearest, best = k, behind
    if nearest >= 0:
        former = np.int64(side.initial_sequence)
        side.initial_sequence = side.rival[nearest]
        side.rival[nearest] = former


@part
def acknowledges_syn(mine: SideRow, other: SideRow, packet: PacketRow) -> None:
    """A side acknowledges: which of the other side's SYNs counts, and whether any of those in the capture does."""
    if other.settled != 0:
        if other.rivals != 0 and other.state != DONE:
            settle(other, np.int64(packet.acknowledged), True)
        return
    other.settled = 1
    settle(other, np.int64(packet.acknowledged), False)
    ends_handshake = mine.syn != 0 and distance(np.int64(packet.sequence), np.int64(mine.initial_sequence)) == 0
    behind = distance(np.int64(packet.acknowledged), np.int64(other.initial_sequence))
    if ends_handshake and behind > MOST_SENT_FIRST and other.state == NEW:  # the SYN that counts is not in the capture
        former = np.int64(other.initial_sequence)
        other.initial_sequence = (np.int64(packet.acknowledged) - 1) & 0xFFFFFFFF
        note_rival(other, former)


@part
def note_numbers(mine: SideRow, other: SideRow, packet: PacketRow) -> None:
    """What a segment says of which SYN counts, its own side's and the other's."""
    flags = packet.tcp_flags
    if flags & SYN == 0 and mine.rivals != 0 and mine.settled == 0 and mine.state == NEW and packet.payload_wire > 0:
        settle(mine, np.int64(packet.sequence), False)
    if flags & (SYN | RST | ACK) == ACK and other.syn != 0:
        acknowledges_syn(mine, other, packet)


@part
def is_of_a_rival(side: SideRow, sequence: int) -> bool:
    """Whether data that are outside of a side's window continue a SYN that does not count."""
    for k in range(np.int64(side.rivals)):
        if distance(sequence, np.int64(side.rival[k])) < WINDOW:
            return True
    return False
