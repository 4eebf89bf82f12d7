"""What is looked at in decoded packets once they are in order: they are counted, and reports of sFlow are met."""

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes, be24, be32
from auditor.decode.frames import BITS
from auditor.decode.layers import AGGREGATED
from auditor.decode.packet import (
    CUT,
    DECODED,
    DUPLICATE,
    ENCRYPTED,
    FRAGMENT,
    MALFORMED,
    NOT_IP,
    PACKET,
    REPEATED,
    UDP,
    PacketRow,
    PacketRows,
)
from auditor.flows.state import (
    CUT_PACKETS,
    DUPLICATES,
    ENCRYPTED_PACKETS,
    FIRST_TIME,
    LAST_TIME,
    MALFORMED_PACKETS,
    NOT_IP_PACKETS,
    OTHER_IP_PACKETS,
    PACKETS,
    SHORT_PACKETS,
    WIRE_BYTES,
    Counters,
    Tallies,
)
from auditor.machine.kernel import inlined, kernel
from auditor.machine.signature import BYTES, NUMBERS, Layout

SHORTEST_REPORT = 28  # bytes of a datagram of sFlow without samples
LAST_AGENT = 2  # the types of an agent's address are 1 and 2


@inlined
def count(counters: Counters, packet: PacketRow) -> None:
    counters[PACKETS] += packet.link < AGGREGATED  # those are in a packet that counts
    counters[WIRE_BYTES] += packet.wire_length
    counters[FIRST_TIME] = min(counters[FIRST_TIME], packet.time)
    counters[LAST_TIME] = max(counters[LAST_TIME], packet.time)
    if packet.missing > 0:
        counters[SHORT_PACKETS] += 1
    status = packet.status
    if status == DECODED:
        return
    if status == NOT_IP:
        counters[NOT_IP_PACKETS] += 1
    elif status == DUPLICATE or status == REPEATED:
        counters[DUPLICATES] += 1
    elif status == CUT:
        counters[CUT_PACKETS] += 1
    elif status == MALFORMED:
        counters[MALFORMED_PACKETS] += 1
    elif status == ENCRYPTED:
        counters[ENCRYPTED_PACKETS] += 1
    elif status != FRAGMENT:  # those are counted where they are put together
        counters[OTHER_IP_PACKETS] += 1


@inlined
def begins_as_report(block: Bytes, packet: PacketRow) -> bool:
    """Whether a packet is a datagram that begins as sFlow version 5 does."""
    if packet.protocol != UDP or packet.status != DECODED or packet.payload_captured < SHORTEST_REPORT:
        return False
    at = np.int64(packet.payload)
    return be32(block, at) == 5 and be24(block, at + 4) == 0 and 0 < block[at + 7] <= LAST_AGENT


@kernel(BYTES, Layout(PACKET), Layout(np.int64, 2))
def tally(block: Bytes, packets: PacketRows, tallies: Tallies) -> int:
    """Count packets, each with its capture's; how many of them may be reports of sFlow."""
    reports = 0
    for i in range(packets.size):
        packet = packets[i]
        count(tallies[packet.frame >> BITS], packet)
        if begins_as_report(block, packet):
            reports += 1
    return reports


@kernel(BYTES, Layout(PACKET), NUMBERS)
def list_reports(block: Bytes, packets: PacketRows, found: NDArray[np.int64]) -> int:
    """Which packets may be reports of sFlow; how many, as far as ``found`` has room."""
    reports = 0
    for i in range(packets.size):
        if reports < found.size and begins_as_report(block, packets[i]):
            found[reports] = i
            reports += 1
    return reports


@kernel(Layout(PACKET), int)
def latest(packets: PacketRows, before: int) -> tuple[int, int]:
    """The latest time of packets, and of ``before``; and how many of them are earlier than what is before them."""
    time, earlier = before, 0
    for i in range(packets.size):
        if np.int64(packets[i].time) < time:
            earlier += 1
        time = max(time, np.int64(packets[i].time))
    return time, earlier
