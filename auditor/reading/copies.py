"""Packets that come twice: what mirrors, switches and routers show again, and what files that overlap both hold."""

import numpy as np

from auditor.decode.bytes import Bytes, be64, mix
from auditor.decode.frames import BITS
from auditor.decode.packet import (
    DECODED,
    DUPLICATE,
    FRAME_SEEN,
    GROUP_ADDRESS,
    PACKET,
    PACKET_MARK,
    RECENT,
    RECENT_PACKET,
    REPEATED,
    TCP,
    FrameRows,
    PacketRow,
    PacketRows,
    RecentRows,
)
from auditor.flows.copies import is_duplicate
from auditor.flows.state import Tallies
from auditor.machine.kernel import inlined, kernel
from auditor.machine.signature import BYTES, Layout
from auditor.reading.counting import begins_as_report, count

COMPARED = 96  # bytes of a frame: all headers, nearly always


@inlined
def place_of(packet: PacketRow) -> np.uint64:
    """Where a packet was seen, and how many routers it had passed: a hash."""
    place = packet.source_mac ^ (packet.target_mac * np.uint64(0x9E3779B97F4A7C15)) ^ packet.tunnel
    place ^= (packet.vlans ^ packet.outer_source) * np.uint64(0xBF58476D1CE4E5B9)
    if packet.source_mac == 0 and packet.target_mac == 0:  # where frames have none, only who is how far away
        place ^= mix(packet.source_low)
    return place ^ ((np.uint64(packet.ttl) << np.uint64(48)) | (np.uint64(packet.interface & 0xFFFF) << np.uint64(32)))


@inlined
def code_of(block: Bytes, packet: PacketRow) -> np.uint64:
    """A hash of what no router changes of a packet; 0 where that is too little to know it again."""
    code = mix(packet.source_low ^ mix(packet.target_low ^ np.uint64(packet.ip_identification)))
    code ^= (np.uint64(packet.source_port) << np.uint64(48)) | (np.uint64(packet.target_port) << np.uint64(32))
    if packet.protocol == TCP:
        code = mix(code) ^ ((np.uint64(packet.sequence) << np.uint64(32)) | np.uint64(packet.acknowledged))
        return mix(code + ((np.uint64(packet.payload_wire) << np.uint64(8)) | np.uint64(packet.tcp_flags)))
    if packet.payload_captured >= 8:
        return mix(mix(code) ^ (be64(block, np.int64(packet.payload)) + np.uint64(packet.payload_wire)))
    return np.uint64(0)


@inlined
def is_in_other_file(recent: FrameRows, block: Bytes, packet: PacketRow) -> bool:
    """Whether another capture has the very same frame with the same time: files that overlap hold it twice."""
    code = mix(np.uint64(packet.time)) ^ np.uint64(packet.wire_length)
    begin = np.int64(packet.begin)
    end = begin + min(np.int64(packet.captured), COMPARED)
    while begin + 8 <= end:
        code = mix(code ^ be64(block, begin))
        begin += 8
    while begin < end:
        code = mix(code ^ np.uint64(block[begin]))
        begin += 1
    last = recent[np.int64(code & np.uint64(RECENT - 1))]
    if last.code == code and last.time == packet.time and last.capture != packet.frame >> BITS:
        return True
    last.code = code
    last.time = packet.time
    last.capture = packet.frame >> BITS
    return False


@kernel(BYTES, Layout(RECENT_PACKET), Layout(FRAME_SEEN), Layout(PACKET), int, Layout(np.int64, 2), int)
def find_copies(
    block: Bytes,
    recent: RecentRows,
    frames: FrameRows,
    packets: PacketRows,
    several: bool,
    tallies: Tallies,
    counting: bool,
) -> int:
    """Mark packets that come twice; ``recent`` and ``frames`` are those of before.

    The packets of all captures that are read as one are looked at, in order of time: copies may lie in other files.
    ``several``: the packets are of more than one. ``counting``: nothing of them will change any more, so they are counted
    as by ``tally``, with its result: their rows would have to come from memory a second time.
    """
    reports = 0
    for i in range(packets.size):
        packet = packets[i]
        if several and is_in_other_file(frames, block, packet):
            packet.status = REPEATED
        elif packet.fragment == 0 and packet.status == DECODED and is_duplicate(recent, block, packet):
            packet.status = DUPLICATE
        if counting:
            count(tallies[packet.frame >> BITS], packet)
            if begins_as_report(block, packet):
                reports += 1
    return reports


@kernel(BYTES, Layout(PACKET), Layout(PACKET_MARK))
def describe_packets(block: Bytes, packets: PacketRows, marks: FrameRows) -> int:
    """What packets of other captures are compared with, to find those that both have: hashes and times; how many.

    What is sent to a group has no place: all points of a network see it.
    """
    count = 0
    for i in range(packets.size):
        packet = packets[i]
        is_alone = packet.fragment == 0 and (np.int64(packet.target_mac) & GROUP_ADDRESS) == 0
        code = code_of(block, packet) if is_alone and packet.status == DECODED else np.uint64(0)
        if code == 0:
            continue
        marks[count].code = code
        marks[count].time = packet.time
        marks[count].place = place_of(packet)
        count += 1
    return count
