"""The one pass over a capture's bytes, as two kernels that join the kernels of four rooms.

``read_batch`` turns bytes into a batch of decoded packets; ``follow_batch`` gives them to their flows, streams and
handshakes. Each comes back when it needs something that only Python can give: more bytes, a block of another kind,
larger arrays, or that finished rows are taken out. (Two kernels and not one, because LLVM optimises everything below
a kernel again at each level of nesting.)
"""

from typing import Any

import numpy as np

from auditor.capture.pcap import MORE, walk_pcap, walk_snoop
from auditor.capture.pcapng import INTERFACE, walk_pcapng
from auditor.decode.bytes import be64
from auditor.decode.decode import DATAGRAM, decode_packet
from auditor.decode.packet import (
    BGP,
    CUT,
    DECODED,
    DUPLICATE,
    ENCRYPTED,
    FRAGMENT,
    ICMP,
    ICMP6,
    MALFORMED,
    NOT_IP,
    OTHER_IP,
    PACKET,
    TCP,
    UDP,
)
from auditor.decode.packet import ESP as ESP_PROTOCOL
from auditor.flows.intern import intern_full
from auditor.flows.state import (
    CLOCK,
    CLOCK_SHIFT,
    CUT_PACKETS,
    DONE,
    DUPLICATES,
    ENCRYPTED_PACKETS,
    FINISHED_FLOWS,
    FIRST_TIME,
    FREE_CHUNKS,
    FREE_DATAGRAM,
    FREE_FLOW,
    FREE_HANDSHAKE,
    FREE_STREAM,
    LAST_TIME,
    MALFORMED_PACKETS,
    NEXT_SWEEP,
    NOT_IP_PACKETS,
    OTHER_IP_PACKETS,
    PACKETS,
    RECENT,
    RECENT_PACKET,
    ROOM_CHUNKS,
    SHORT_PACKETS,
    SWEEP_AT,
    WIRE_BYTES,
    State,
)
from auditor.flows.stream import feed
from auditor.flows.table import (
    MOST_FINISHED,
    bucket_of,
    create,
    find,
    finish,
    note_tcp,
    opens_new_connection,
    sweep,
)
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, NUMBERS, Layout
from auditor.recognise.datagrams import is_looked_at, udp_payload
from auditor.recognise.numbers import TLS
from auditor.recognise.streams import look_for_clear, tcp_bytes
from auditor.tls.records import message

# Why ``follow_batch`` came back, besides MORE.
ROOM, FLUSH = 4, 5
PCAP, PCAPNG, SNOOP, DATAGRAMS = 0, 1, 2, 3
SWEEP_PACKETS = 8192
TWICE_WITHIN = 20_000_000  # nanoseconds; the shortest retransmission timeout is ten times as long
STEP_BACK = 10_000_000_000  # a clock that goes back further than this has been set, or another capture follows


@inlined
def tick(c: Any, time: int) -> None:
    """Move the clock that tells idle flows. It never goes back, whatever the time stamps do."""
    now = time + c[CLOCK_SHIFT]
    if now < c[CLOCK] - STEP_BACK:
        c[CLOCK_SHIFT] = c[CLOCK] - time
        now = c[CLOCK]
    c[CLOCK] = max(now, c[CLOCK])


@inlined
def count(c: Any, packet: Any) -> None:
    c[PACKETS] += 1
    c[WIRE_BYTES] += packet.wire_length
    c[FIRST_TIME] = min(c[FIRST_TIME], packet.time)
    c[LAST_TIME] = max(c[LAST_TIME], packet.time)
    if packet.missing > 0:
        c[SHORT_PACKETS] += 1
    status = packet.status
    if status == DECODED:
        return
    if status == NOT_IP:
        c[NOT_IP_PACKETS] += 1
    elif status == DUPLICATE:
        c[DUPLICATES] += 1
    elif status == CUT:
        c[CUT_PACKETS] += 1
    elif status == MALFORMED:
        c[MALFORMED_PACKETS] += 1
    elif status == ENCRYPTED:
        c[ENCRYPTED_PACKETS] += 1
    elif status != FRAGMENT:  # those are counted where they are put together
        c[OTHER_IP_PACKETS] += 1


@part
def note_side(side: Any, way: Any, packet: Any) -> None:
    """The first packet of a side says which way the side goes."""
    way.first_frame = packet.frame
    side.ttl = packet.ttl
    side.source_mac = packet.source_mac
    side.target_mac = packet.target_mac
    side.vlans = packet.vlans
    way.vlan_count = packet.vlan_count
    side.tunnel = packet.tunnel
    side.outer_tunnel = packet.outer_tunnel
    way.outer_source = packet.outer_source
    way.outer_target = packet.outer_target
    way.gwlb_endpoint = packet.gwlb_endpoint
    way.gwlb_attachment = packet.gwlb_attachment
    way.interface = packet.interface


@part
def note_move(side: Any, way: Any, packet: Any) -> None:
    """A packet with other MACs than the side's first one. One with another TTL is a router's copy, no other way."""
    if way.moved_frame == 0 and packet.ttl == side.ttl:
        way.moved_frame = packet.frame
        way.moved_time = packet.time
        way.moved_source_mac = packet.source_mac
        way.moved_target_mac = packet.target_mac


@inlined
def note_packet(flow: Any, side: Any, way: Any, packet: Any, clock: int) -> None:
    if side.packets == 0:
        note_side(side, way, packet)
    elif side.target_mac != packet.target_mac or side.source_mac != packet.source_mac:
        note_move(side, way, packet)
    side.packets += 1
    side.bytes += packet.wire_length
    side.payload += packet.payload_wire
    flow.ended = max(flow.ended, packet.time)
    flow.started = min(flow.started, packet.time)
    flow.touched = clock


@inlined
def bucket_of_packet(packet: Any, size: int) -> int:
    return bucket_of(
        packet.source_high,
        packet.source_low,
        packet.source_port,
        packet.target_high,
        packet.target_low,
        packet.target_port,
        size,
    )


@inlined
def room_for_packet(m: Any) -> bool:
    c = m.counters
    return (
        c[FREE_FLOW] >= 0
        and c[FREE_STREAM] >= 0
        and c[FREE_HANDSHAKE] >= 0
        and c[FREE_DATAGRAM] >= 0
        and c[FREE_CHUNKS] >= ROOM_CHUNKS
        and not intern_full(m.arena, m.entries)
    )


@inlined
def is_duplicate(seen: Any, block: Any, packet: Any) -> bool:
    """Whether a mirror shows a packet for the second time: both ends mirrored, or both ports of a switch.

    The same packet has the same addresses, ports, numbers, TTL and IPv4 identification, and comes within
    ``TWICE_WITHIN``. What was sent again has another identification; where there is none (IPv6; 0 and 1 are written by
    senders that do not count), only a copy from another tunnel counts. A routed copy has another TTL and is no duplicate: it shows another part of the way.
    """
    code = packet.source_low ^ (packet.target_low * np.uint64(0x9E3779B97F4A7C15))
    code ^= (np.uint64(packet.source_port) << np.uint64(48)) | (np.uint64(packet.target_port) << np.uint64(32))
    code ^= (np.uint64(packet.ip_identification) << np.uint64(16)) | np.uint64(packet.ttl)
    code *= np.uint64(0xBF58476D1CE4E5B9)
    if packet.protocol == TCP:
        code ^= (np.uint64(packet.sequence) << np.uint64(32)) | np.uint64(packet.acknowledged)
        code += (np.uint64(packet.payload_wire) << np.uint64(8)) | np.uint64(packet.tcp_flags)
    elif packet.payload_captured >= 8:
        code ^= be64(block, np.int64(packet.payload)) + np.uint64(packet.payload_wire)
    else:
        return False
    code = (code ^ (code >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    code ^= code >> np.uint64(32)
    recent = seen[np.int64(code & np.uint64(RECENT - 1))]
    gap = packet.time - recent.time
    if recent.code == code and gap >= 0 and gap <= TWICE_WITHIN:
        if packet.ip_identification > 1 or recent.tunnel != packet.tunnel:
            return True
    recent.code = code
    recent.time = packet.time
    recent.tunnel = packet.tunnel
    return False


@part
def is_new(st: Any, at: int, k: int, packet: Any) -> bool:
    """Whether a packet begins a flow; one that it takes the ports over from is finished."""
    if at < 0:
        return True
    if packet.protocol == TCP and opens_new_connection(st.flows[at], st.sides, at, k, packet):
        finish(st, at)
        return True
    return False


@kernel(State, BYTES, Layout(PACKET), int, int, int, largest=True)
def follow_batch(st: Any, block: Any, packets: Any, first: int, last: int, ending: bool) -> tuple[int, int]:
    """Give packets ``first`` to ``last - 1`` of a batch to their flows; the next one, and MORE, ROOM or FLUSH.

    ``ending``: the input is at its end, all flows are finished.
    """
    m, flows, sides = st.memory, st.flows, st.sides
    c = m.counters
    for i in range(first, last):
        if c[SWEEP_AT] >= 0 and not sweep(st, ending):
            return i, FLUSH
        if c[FINISHED_FLOWS] >= MOST_FINISHED:
            return i, FLUSH
        if not room_for_packet(m):
            return i, ROOM
        packet = packets[i]
        count(c, packet)
        tick(c, packet.time)
        if c[PACKETS] >= c[NEXT_SWEEP]:
            # Often enough to keep memory small, seldom enough to cost little.
            c[NEXT_SWEEP] = c[PACKETS] + max(SWEEP_PACKETS, flows.size)
            c[SWEEP_AT] = 0
        is_tcp = packet.protocol == TCP
        if packet.status != DECODED or not (is_tcp or packet.protocol == UDP or packet.protocol == ESP_PROTOCOL):
            continue
        bucket = bucket_of_packet(packet, st.buckets.size)
        at, k = find(packet, bucket, flows, sides, st.buckets)
        if is_new(st, at, k, packet):
            at, k = create(c, flows, sides, st.ways, st.buckets, packet, bucket), 0
        flow = flows[at]
        side, way = sides[2 * at + k], st.ways[2 * at + k]
        if is_tcp:
            note_tcp(flow, side, sides[2 * at + 1 - k], way, k, packet)
        note_packet(flow, side, way, packet, c[CLOCK])
        if packet.payload_wire == 0:
            continue
        if not is_tcp:
            if packet.payload_captured > 0 and is_looked_at(flow, side):
                udp_payload(m, st.answers, flow, side, k, block, packet)
        elif side.state != DONE:
            stream = st.streams[side.stream if side.stream >= 0 else c[FREE_STREAM]]
            if feed(m, side, stream, block, packet):
                h = st.handshakes[flow.handshake if flow.handshake >= 0 else c[FREE_HANDSHAKE]]
                while tcp_bytes(m, flow, side, stream, h, k, packet):
                    message(m, flow, stream, h, k, packet)
        elif flow.application == TLS and flow.clear == 0:
            look_for_clear(m, flow, block, packet)
    if ending and c[SWEEP_AT] < 0:
        c[SWEEP_AT] = 0
    if c[SWEEP_AT] >= 0 and not sweep(st, ending):
        return last, FLUSH
    return last, MORE


@inlined
def is_control(packet: Any) -> bool:
    """Whether a packet may tell of the network itself: ARP, LLDP, ICMP, BGP, MACsec."""
    status = packet.status
    if status == DECODED:
        return packet.protocol == TCP and (packet.source_port == BGP or packet.target_port == BGP)
    return (
        status == NOT_IP
        or status == ENCRYPTED
        or (status == OTHER_IP and (packet.protocol == ICMP or packet.protocol == ICMP6))
    )


@kernel(BYTES, int, int, NUMBERS, Layout(INTERFACE), Layout(RECENT_PACKET), int, Layout(PACKET))
def read_batch(
    block: Any, position: int, stop: int, layout: Any, interfaces: Any, seen: Any, frame: int, packets: Any
) -> tuple[int, int, int, int, int]:
    """List and decode a batch of packets from ``block[position:stop]``.

    ``seen`` are the packets of before, to know those that come twice. Returns how many, the next position, how it ended, how many of them are fragments, and how many tell of the network
    itself (see ``control``).

    ``layout`` is (format, big-endian, nanoseconds a tick, link layer, largest record, bytes of a record's header).
    With the format DATAGRAMS the packets are listed already, and lie in datagrams put together from fragments.
    """
    whole = layout[0] == DATAGRAMS
    if whole:
        found, ended = packets.size, MORE
    elif layout[0] == SNOOP:
        found, position, ended = walk_snoop(block, position, stop, layout[3], layout[4], frame, packets)
    elif layout[0] == PCAP:
        found, position, ended = walk_pcap(
            block, position, stop, layout[1] != 0, layout[2], layout[3], layout[4], layout[5], frame, packets
        )
    else:
        found, position, ended = walk_pcapng(block, position, stop, layout[1] != 0, interfaces, frame, packets)
    fragments, telling = 0, 0
    for i in range(found):
        decode_packet(block, packets[i], np.int64(DATAGRAM) if whole else np.int64(packets[i].link))
        if is_control(packets[i]):
            telling += 1
        if packets[i].fragment != 0:
            fragments += 1
        elif packets[i].status == DECODED and is_duplicate(seen, block, packets[i]):
            packets[i].status = DUPLICATE
    return found, position, ended, fragments, telling
