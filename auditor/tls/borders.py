"""Where records begin and end on a side whose contents are not followed: five bytes of each are read, the rest is stepped over.

So whatever follows TLS on a connection shows at the border of a record, whichever bytes it is made of. Of a side, ``protected``
has BY_RECORDS: where the next record begins is known; IN_CLEAR: nothing says that its contents are encrypted; AFTER_RECORDS:
something that is no record came. ``border`` is the sequence number of the next byte that is looked at, ``heading`` how many
bytes of a header are behind it, ``length`` the last of them.
"""

import numpy as np

from auditor.decode.bytes import Bytes
from auditor.decode.packet import PacketRow
from auditor.flows.state import AFTER_RECORDS, BY_RECORDS, IN_CLEAR, RENEGOTIATED, FlowRow, SideRow, StreamRow
from auditor.machine.kernel import inlined, part
from auditor.tls.messages import CHANGE_CIPHER_SPEC, HEARTBEAT

LARGEST_RECORD = 16384 + 2048  # RFC 5246 6.2.3; TLS 1.3 allows less
HEADER = 5
# What fills the shortest frame behind an acknowledgement (IEEE 802.3 3.2.8) is taken for data by some that count it to IP's length.
MOST_PADDING = 6
NONE = -1
_HALF = 1 << 31  # sequence numbers that are further away lie before (RFC 9293 3.4)
_ALL = (1 << 32) - 1


@inlined
def behind(later: int, earlier: int) -> int:
    """How far a sequence number lies behind another one, from 0 on."""
    return (later - earlier) & _ALL


@part
def begin_borders(side: SideRow, stream: StreamRow, packet: PacketRow, in_clear: bool) -> None:
    """A stream is given up at a record whose header was read. ``in_clear``: nothing says that its contents are encrypted."""
    border = (np.int64(stream.origin) + np.int64(stream.record_at) - HEADER) & _ALL
    if behind(border, np.int64(packet.sequence)) >= _HALF:  # the header began in an earlier segment
        border = (border + HEADER + np.int64(stream.record_left)) & _ALL
    elif in_clear:
        side.protected |= IN_CLEAR
    side.border = border
    side.heading = 0
    side.protected |= BY_RECORDS


@inlined
def fits_header(at: int, byte: int) -> bool:
    """Whether a byte may stand at its place in a record's header: its type and its version (RFC 8446 5.1; TLCP has 1.1)."""
    if at == 0:
        return CHANGE_CIPHER_SPEC <= byte <= HEARTBEAT
    return at > 2 or (at == 1 and (byte == 3 or byte == 1)) or (at == 2 and byte <= 4)


@part
def clear_contents(side: SideRow, block: Bytes, packet: PacketRow) -> tuple[int, int]:
    """Where in the packet the contents of a record begin and end that nothing says to be encrypted; once for a side."""
    if side.protected & IN_CLEAR == 0:
        return 0, 0
    side.protected &= 255 - IN_CLEAR
    begin = behind(np.int64(side.border), np.int64(packet.sequence)) + HEADER
    size = np.int64(packet.payload_captured)
    if begin > size:
        return 0, 0
    at = np.int64(packet.payload) + begin
    length = np.int64(block[at - 2]) << 8 | np.int64(block[at - 1])
    return at, at + min(length, size - begin)


@part
def is_padding(block: Bytes, packet: PacketRow) -> bool:
    """Whether a segment holds a few zeros and nothing else: the sender goes on at the same number, as if it had sent nothing."""
    if packet.payload_captured != packet.payload_wire or packet.payload_wire > MOST_PADDING:
        return False
    for k in range(packet.payload_captured):
        if block[packet.payload + k] != 0:
            return False
    return True


@part
def next_borders(flow: FlowRow, side: SideRow, block: Bytes, packet: PacketRow) -> int:
    """Step from record to record through a segment: where in its payload something begins that is no record, or NONE.

    A ChangeCipherSpec among encrypted records ends a renegotiation (RFC 5246 7.1). Behind a gap, and behind bytes that were not captured, the borders are not known any more. What was sent before, as
    in retransmissions and keep-alives, lies in front of the border.
    """
    if side.heading == 0 and is_padding(block, packet):
        return NONE
    at = behind(np.int64(side.border), np.int64(packet.sequence))
    if at >= _HALF:
        side.protected &= 255 - BY_RECORDS
        return NONE
    while at < packet.payload_wire:
        if at >= packet.payload_captured:
            side.protected &= 255 - BY_RECORDS
            return NONE
        byte = np.int64(block[packet.payload + at])
        at += 1
        if side.heading == HEADER - 1:
            length = np.int64(side.length) << 8 | byte
            is_record = length <= LARGEST_RECORD
            at += length if is_record else 0
        else:
            is_record = fits_header(np.int64(side.heading), byte)
            if side.heading == 0 and byte == CHANGE_CIPHER_SPEC:
                flow.upgrade |= RENEGOTIATED
            side.length = byte
        side.heading += 1
        if not is_record:
            side.protected = side.protected & (255 - BY_RECORDS) | AFTER_RECORDS
            return max(0, at - np.int64(side.heading))
        if side.heading == HEADER:
            side.heading = 0
    side.border = (np.int64(packet.sequence) + at) & _ALL
    return NONE
