"""What is kept of a flow until it ends, because Python puts handshakes together from it: a chain of rows, the last one first."""

import numpy as np

from auditor.decode.bytes import Bytes
from auditor.decode.packet import TCP, PacketRow
from auditor.flows.intern import intern
from auditor.flows.state import FREE_DATAGRAM, WINDOW, FlowRow, Memory
from auditor.machine.kernel import part

MOST_DATAGRAMS, MOST_KEPT_BYTES = 48, 65536  # of one flow
MOST_CARRIED = 192  # where a handshake is cut into many small pieces
# Bytes of the handshake messages of a flow that are kept in parts, and of such a part, if it is not the last.
LARGEST_IN_PARTS, PART = 4 * WINDOW, WINDOW // 8
SMALL = 64  # bytes up to which pieces of a stream become one


@part
def keep_row(
    memory: Memory, flow: FlowRow, direction: int, block: Bytes, begin: int, size: int, packet: PacketRow, message: int
) -> None:
    """Keep ``size`` bytes; ``message``: the type of the handshake message that they are a part of, or 0."""
    flow.kept += size
    counters = memory.counters
    at = counters[FREE_DATAGRAM]
    datagram = memory.datagrams[at]
    counters[FREE_DATAGRAM] = datagram.next
    datagram.next = flow.datagram
    flow.datagram = at
    flow.datagrams += 1
    datagram.frame = packet.frame
    datagram.time = packet.time
    datagram.side = direction
    datagram.message = message
    datagram.is_cut = packet.protocol != TCP and packet.payload_captured < packet.payload_wire
    datagram.bytes = intern(memory.arena, memory.entries, memory.intern_buckets, block, begin, begin + size)


@part
def keep_datagram(
    memory: Memory, flow: FlowRow, direction: int, block: Bytes, begin: int, size: int, packet: PacketRow
) -> None:
    """Keep the first ``size`` bytes of a datagram until its flow ends; there is room for one in every packet."""
    if flow.kept + size <= MOST_KEPT_BYTES:
        keep_row(memory, flow, direction, block, begin, size, packet, 0)
    else:
        flow.kept = MOST_KEPT_BYTES  # what follows is of no use without it


@part
def keep_piece(memory: Memory, flow: FlowRow, direction: int, size: int, packet: PacketRow) -> None:
    """Likewise a piece of a stream, in ``scratch``. One byte may be in each segment: small pieces become one."""
    if flow.datagram >= 0 and flow.kept + size <= MOST_KEPT_BYTES:
        last = memory.datagrams[flow.datagram]
        offset, before = memory.entries[last.bytes, 0], memory.entries[last.bytes, 1]
        if last.side == direction and before + size <= SMALL:
            for k in range(size - 1, -1, -1):
                memory.scratch[before + k] = memory.scratch[k]
            for k in range(before):
                memory.scratch[k] = memory.arena[offset + k]
            flow.kept += size
            last.frame = packet.frame
            last.time = packet.time
            last.bytes = intern(
                memory.arena, memory.entries, memory.intern_buckets, memory.scratch, np.int64(0), before + size
            )
            return
    keep_datagram(memory, flow, direction, memory.scratch, np.int64(0), size, packet)


@part
def keep_part(memory: Memory, flow: FlowRow, direction: int, size: int, packet: PacketRow, message: int) -> None:
    """Likewise a part of a handshake message, in ``scratch``; a packet that shows a second one has no room for it."""
    is_second = flow.datagram >= 0 and memory.datagrams[flow.datagram].frame == packet.frame
    if not is_second and flow.kept + size <= LARGEST_IN_PARTS:
        keep_row(memory, flow, direction, memory.scratch, np.int64(0), size, packet, message)
