"""Packets that a capture shows more than once, because it was taken at several places that they passed.

Both ends mirrored, both ports of a switch, all interfaces of a router or bridge, an appliance behind a load balancer,
merged captures: one packet, seen at several places. What is sent again is another packet, and stays one.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be64, mix
from auditor.decode.packet import ESP, RECENT, SYN, TCP, WAYS, PacketRow, RecentRow, RecentRows
from auditor.machine.kernel import inlined, part

# How far apart, in nanoseconds, two sights of one packet may be. Nothing is sent again within 20 ms that has the same
# identification, and no round trip is shorter than twice the way between two places that both show a packet.
AT_ONE_PLACE = 20_000_000
ELSEWHERE = 150_000_000  # without an identification; the shortest retransmission timeout of most hosts is 200 ms
ELSEWHERE_IDENTIFIED = 500_000_000
AT_ONCE = 100_000  # faster than acknowledgements that make hosts send segments again
STREAK = 4  # what shows without a SYN that packets come twice: see ``is_copy``
SLACK = 1_000_000  # by how much copies may be later than four times what was the longest so far
HABIT = RECENT  # the row behind the packets: the longest gap between copies at one place, and the streak of such
COUNTED_FROM = 2  # identifications below are written by senders that do not count
MOST_HASHED = 64  # bytes of options or payload
FIRST, SECOND, THIRD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@part
def hash_bytes(block: Bytes, at: int, end: int) -> np.uint64:
    """A number for the bytes of options or of a payload, up to MOST_HASHED of them."""
    end = min(end, at + MOST_HASHED)
    code = np.uint64(0)
    while at + 8 <= end:
        code = (code ^ be64(block, at)) * FIRST
        at += 8
    while at < end:
        code = (code ^ np.uint64(block[at])) * FIRST
        at += 1
    return code ^ (code >> np.uint64(29))


@part
def unidentified(block: Bytes, packet: PacketRow) -> np.uint64:
    """What tells packets apart that have no identification: window and options (time stamps, SACK), or the payload.

    A SYN's options are left out: routers change the maximum segment size (RFC 4821 5.1).
    """
    at, end = np.int64(packet.position), np.int64(packet.end)
    if packet.protocol != TCP:
        begin = np.int64(packet.payload)
        return hash_bytes(block, begin, begin + np.int64(packet.payload_captured))
    if packet.tcp_flags & SYN or at + 16 > end:
        return np.uint64(0)
    return hash_bytes(block, at + 20, min(np.int64(packet.payload), end)) + np.uint64(be16(block, at + 14))


@inlined
def numbers_of(block: Bytes, packet: PacketRow) -> np.uint64:
    """What a sender gives each packet anew, besides the identification."""
    if packet.protocol == TCP:
        return np.uint64((np.uint64(packet.sequence) << np.uint64(32)) | np.uint64(packet.acknowledged))
    at, end = np.int64(packet.payload), np.int64(packet.payload) + np.int64(packet.payload_captured)
    if packet.protocol == ESP:  # SPI and sequence number (RFC 4303 2)
        at, end = np.int64(packet.position), np.int64(packet.end)
    return be64(block, at) if at + 8 <= end else np.uint64(0)


@inlined
def is_same(seen: RecentRow, packet: PacketRow, ports: np.uint64, numbers: np.uint64, length: np.uint64) -> bool:
    """Whether a packet has what no router changes in common with one of before.

    All of it is compared, not a hash: nobody can hide a packet by making it look like another one's copy.
    """
    return bool(
        seen.numbers == numbers
        and seen.ports == ports
        and seen.length == length
        and seen.source_low == packet.source_low
        and seen.target_low == packet.target_low
        and seen.source_high == packet.source_high
        and seen.target_high == packet.target_high
    )


@inlined
def place_of(packet: PacketRow) -> np.uint64:
    """16 bits for where a packet was seen: its frame, its tunnel, and how many routers it had passed."""
    place = packet.source_mac ^ (packet.target_mac << np.uint64(13)) ^ (packet.vlans << np.uint64(29))
    place += packet.tunnel + packet.outer_source + (np.uint64(packet.wire) << np.uint64(24))
    place ^= (np.uint64(packet.ttl) << np.uint64(56)) | (
        np.uint64(np.int64(packet.interface) & 0xFFFF) << np.uint64(40)
    )
    return ((place * THIRD) >> np.uint64(48)) | np.uint64(1)


@inlined
def was_seen_at(places: np.uint64, place: np.uint64) -> bool:
    """Whether a place is among the last four."""
    mask = np.uint64(0xFFFF)
    return (
        (places & mask) == place
        or ((places >> np.uint64(16)) & mask) == place
        or ((places >> np.uint64(32)) & mask) == place
        or (places >> np.uint64(48)) == place
    )


@inlined
def note_gap(recent: RecentRows, gap: int) -> None:
    """The capture shows packets twice at one place: how far apart."""
    recent[HABIT].time = max(np.int64(recent[HABIT].time), gap + 1)


@part
def comes_twice(recent: RecentRows, packet: PacketRow, gap: int) -> bool:
    """Whether what looks like a packet of before at the same place, without an identification, is a copy.

    A SYN is, since it is sent again only after a second. So is everything at the pace of copies that leave no doubt. Where
    the capture has no such, one pair may be a segment that was sent again; but not pair after pair.
    """
    if packet.protocol == TCP and packet.tcp_flags & SYN:
        if gap <= AT_ONE_PLACE:
            note_gap(recent, gap)
        return gap <= AT_ONE_PLACE
    habit = np.int64(recent[HABIT].time)
    if habit == 0 and gap <= AT_ONCE and packet.protocol == TCP and packet.payload_wire > 0:
        recent[HABIT].numbers += np.uint64(STREAK)
        if recent[HABIT].numbers > STREAK:
            note_gap(recent, gap)
            return True
    return habit > 0 and gap <= min(AT_ONE_PLACE, 4 * habit + SLACK)


@part
def is_copy(recent: RecentRows, seen: RecentRow, packet: PacketRow, place: np.uint64) -> bool:
    """Whether a packet that looks like one of before is that one.

    With an identification it is, unless it comes too late. Without (IPv6; 0 and 1 are written by senders that do not
    count) it is if it was seen elsewhere, or had passed more or fewer routers.
    """
    gap = abs(np.int64(packet.time) - np.int64(seen.time))
    here = was_seen_at(seen.places, place)
    identified = packet.ip_identification >= COUNTED_FROM or packet.protocol == ESP
    if not here:
        if gap > (ELSEWHERE_IDENTIFIED if identified else ELSEWHERE):
            return False
        seen.places = (seen.places << np.uint64(16)) | place
    elif identified:
        if gap > AT_ONE_PLACE:
            return False
        note_gap(recent, gap)
    elif not comes_twice(recent, packet, gap):
        return False
    seen.time = max(np.int64(seen.time), np.int64(packet.time))
    return True


@inlined
def is_duplicate(recent: RecentRows, block: Bytes, packet: PacketRow) -> bool:
    """Whether a packet is in the capture already. If not, it is remembered, and the older of its set is forgotten."""
    ports = (np.uint64(packet.source_port) << np.uint64(48)) | (np.uint64(packet.target_port) << np.uint64(32))
    ports |= (np.uint64(packet.protocol) << np.uint64(16)) | np.uint64(packet.ip_identification)
    numbers, length = numbers_of(block, packet), np.uint64(packet.payload_wire)
    if packet.protocol == TCP:
        length = (length << np.uint64(8)) | np.uint64(packet.tcp_flags)
    further, place = np.uint64(0), place_of(packet)
    if packet.ip_identification < COUNTED_FROM:
        further = unidentified(block, packet)
    code = packet.source_low ^ (packet.target_low * FIRST)
    code = mix((code ^ ports) * SECOND + (numbers ^ length) + further)
    at = np.int64(code & np.uint64(RECENT // WAYS - 1)) * WAYS
    one, two = recent[at], recent[at + 1]
    if one.further == further and is_same(one, packet, ports, numbers, length) and is_copy(recent, one, packet, place):
        return True
    if two.further == further and is_same(two, packet, ports, numbers, length) and is_copy(recent, two, packet, place):
        return True
    if recent[HABIT].numbers > 0 and packet.payload_wire > 0:
        recent[HABIT].numbers -= np.uint64(1)
    older = one if one.time <= two.time else two
    older.source_high = packet.source_high
    older.source_low = packet.source_low
    older.target_high = packet.target_high
    older.target_low = packet.target_low
    older.ports = ports
    older.numbers = numbers
    older.length = length
    older.further = further
    older.time = packet.time
    older.places = place
    return False
