"""The one pass over a capture's bytes, as two kernels that join the kernels of four rooms.

``read_batch`` turns bytes into a batch of decoded packets; ``follow_batch`` gives them to their flows, streams and
handshakes. Each comes back when it needs something that only Python can give: more bytes, a block of another kind,
larger arrays, or that finished rows are taken out. (Two kernels and not one, because LLVM optimises everything below
a kernel again at each level of nesting.)
"""

import numpy as np
from numpy.typing import NDArray

from auditor.capture.beginnings import DATAGRAMS, ERF, LISTED, PCAP, SNOOP
from auditor.capture.erf import walk_erf
from auditor.capture.pcap import MORE, walk_pcap, walk_snoop
from auditor.capture.pcapng import INTERFACE, InterfaceRows, walk_pcapng
from auditor.decode.bytes import Bytes
from auditor.decode.decode import DATAGRAM, decode_packet
from auditor.decode.eapol import note_supplicant
from auditor.decode.packet import (
    ACK,
    BGP,
    DECODED,
    DUPLICATE,
    EAPOL,
    ENCRYPTED,
    ICMP,
    ICMP6,
    NOT_IP,
    OTHER_IP,
    PACKET,
    RST,
    TCP,
    UDP,
    PacketRow,
    PacketRows,
)
from auditor.decode.packet import ESP as ESP_PROTOCOL
from auditor.flows.exchange import MOST_NAMINGS, MOST_RESUMINGS
from auditor.flows.intern import intern_crowded, intern_full
from auditor.flows.keyed import bucket_of
from auditor.flows.places import is_at_first_place, note_place, note_side
from auditor.flows.reuse import begins_anew, is_behind_the_end, opens_new_connection
from auditor.flows.shares import is_mine
from auditor.flows.sides import place_of
from auditor.flows.state import (
    BY_RECORDS,
    CLOCK,
    CLOCK_SHIFT,
    DONE,
    EXCHANGED_AT,
    FINISHED_FLOWS,
    FLOW_PLACES,
    FREE_CHUNKS,
    FREE_DATAGRAM,
    FREE_FLOW,
    FREE_HANDSHAKE,
    FREE_PLACE,
    FREE_STREAM,
    NAMINGS,
    NEXT_SWEEP,
    PACKETS,
    RESUMINGS,
    ROOM_CHUNKS,
    SUPPLICANT,
    SWEEP_AT,
    SWEPT,
    Counters,
    FlowRow,
    Memory,
    SideRow,
    State,
    StreamRow,
    WayRow,
)
from auditor.flows.stream import confirm_held, feed, has_more
from auditor.flows.table import (
    MOST_FINISHED,
    create,
    find,
    find_copied,
    finish,
    note_tcp,
    sweep,
)
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import BYTES, NUMBERS, Layout
from auditor.recognise.clear import look_at_borders, look_for_clear, may_be_clear
from auditor.recognise.datagrams import is_looked_at, udp_payload
from auditor.recognise.dns_streams import dns_stream
from auditor.recognise.streams import tcp_bytes
from auditor.tls.records import message

# Why ``follow_batch`` came back, besides MORE.
ROOM, FLUSH = 4, 5
SWEEP_PACKETS = 8192
SWEEP_TIME = 500_000_000  # of the capture, in nanoseconds: no flow is over sooner than ten times that
STEP_BACK = 10_000_000_000  # a clock that goes back further than this has been set, or another capture follows


@inlined
def tick(counters: Counters, time: int) -> None:
    """Move the clock that tells idle flows. It never goes back, whatever the time stamps do."""
    now = time + counters[CLOCK_SHIFT]
    if now < counters[CLOCK] - STEP_BACK:
        counters[CLOCK_SHIFT] = counters[CLOCK] - time
        now = counters[CLOCK]
    counters[CLOCK] = max(now, counters[CLOCK])


@inlined
def carries_data(packet: PacketRow) -> bool:
    """Whether a packet carries data of its flow; text in a RST says why it was sent (RFC 9293 3.5.3)."""
    return bool(packet.payload_wire != 0 and (packet.protocol != TCP or packet.tcp_flags & RST == 0))


@inlined
def note_packet(memory: Memory, flow: FlowRow, side: SideRow, way: WayRow, direction: int, packet: PacketRow) -> None:
    if side.packets == 0:
        note_side(side, way, packet)
        side.last_frame = packet.frame
        side.last_time = packet.time
    elif is_at_first_place(side, way, packet):
        side.last_frame = packet.frame
        side.last_time = packet.time
    else:
        note_place(memory, flow, way, direction, packet, False)
    side.packets += 1
    side.bytes += packet.wire_length
    if carries_data(packet):
        side.payload += packet.payload_wire
    flow.ended = max(flow.ended, packet.time)
    flow.started = min(flow.started, packet.time)
    flow.touched = memory.counters[CLOCK]


@inlined
def bucket_of_packet(state: State, packet: PacketRow) -> int:
    return bucket_of(
        packet.source_high,
        packet.source_low,
        packet.source_port,
        packet.target_high,
        packet.target_low,
        packet.target_port,
        state.memory.keys,
        state.buckets.size,
    )


@inlined
def room_for_packet(memory: Memory) -> bool:
    counters = memory.counters
    return (
        counters[FREE_FLOW] >= 0
        and counters[FREE_STREAM] >= 0
        and counters[FREE_HANDSHAKE] >= 0
        and counters[FREE_DATAGRAM] >= 0
        and counters[FREE_PLACE] >= 0
        and counters[FREE_CHUNKS] >= ROOM_CHUNKS
        and not intern_full(memory.arena, memory.entries)
        and not intern_crowded(memory.entries, memory.intern_buckets)
        and counters[NAMINGS] + MOST_NAMINGS <= memory.namings.size
        and counters[RESUMINGS] + MOST_RESUMINGS <= memory.resumings.size
    )


@part
def note_copy(state: State, packet: PacketRow) -> None:
    """A packet for the second time: it counts once, and shows another position of its way."""
    if not is_mine(state.memory.counters, packet):
        return
    at, direction = find_copied(packet, bucket_of_packet(state, packet), state.flows, state.sides, state.buckets)
    if at >= 0:
        place = place_of(state.sides, at, direction)
        side, way = state.sides[place], state.ways[place]
        if is_at_first_place(side, way, packet):
            way.copies += 1
        else:
            note_place(state.memory, state.flows[at], way, direction, packet, True)


@part
def is_new(state: State, at: int, direction: int, block: Bytes, packet: PacketRow) -> bool:
    """Whether a packet begins a flow; one that it takes the ports over from is finished."""
    if at < 0:
        return True
    if packet.protocol != TCP:
        return False
    flow, mine = state.flows[at], state.sides[place_of(state.sides, at, direction)]
    is_next = opens_new_connection(flow, state.sides, at, direction, packet)
    if flow.closed != 0:
        is_next = is_next or is_behind_the_end(mine, packet)
    if is_next or begins_anew(flow, mine, block, packet):
        finish(state, at)
        return True
    return False


@part
def follow_bytes(
    state: State, flow: FlowRow, side: SideRow, stream: StreamRow, direction: int, packet: PacketRow
) -> None:
    """A side's stream has more bytes in order: the messages in them."""
    memory = state.memory
    if stream.recognised == 0 and dns_stream(memory, state.answers, flow, side, stream, direction, packet):
        return
    handshake = state.handshakes[flow.handshake if flow.handshake >= 0 else memory.counters[FREE_HANDSHAKE]]
    while tcp_bytes(memory, flow, side, stream, handshake, direction, packet):
        message(memory, flow, stream, handshake, direction, packet)


@inlined
def follow_segment(
    state: State, flow: FlowRow, side: SideRow, stream: StreamRow, direction: int, block: Bytes, packet: PacketRow
) -> None:
    """A segment of a stream that is followed. It may be longer than what there is room for, until the window moves on."""
    while feed(state.memory, side, stream, block, packet):
        follow_bytes(state, flow, side, stream, direction, packet)
        if not has_more(side, stream, packet):
            break
    if side.protected & BY_RECORDS:
        look_at_borders(state.memory, flow, side, block, packet)


@part
def acknowledge(
    state: State, flow: FlowRow, side: SideRow, stream: StreamRow, direction: int, packet: PacketRow
) -> None:
    """A packet acknowledges what the other side sent, perhaps bytes that were held because they might be padding."""
    if packet.tcp_flags & ACK and confirm_held(state.memory, side, stream, packet):
        follow_bytes(state, flow, side, stream, direction, packet)


@part
def is_other_flow(counters: Counters, packet: PacketRow) -> bool:
    """Whether a packet belongs to a flow without ports: IPsec's, or EAP over LAN, whose supplicant may be an earlier one."""
    if packet.protocol != EAPOL:
        return bool(packet.protocol == ESP_PROTOCOL)
    counters[SUPPLICANT] = note_supplicant(counters[SUPPLICANT], packet)
    return bool(counters[SUPPLICANT] != 0)


@inlined
def is_followed(counters: Counters, packet: PacketRow) -> bool:
    """Whether a packet belongs to a flow, and to one that is followed here."""
    is_any = packet.protocol == TCP or packet.protocol == UDP
    if packet.status != DECODED or not (is_any or is_other_flow(counters, packet)) or not is_mine(counters, packet):
        return False
    counters[EXCHANGED_AT] = counters[PACKETS]
    return True


@kernel(State, BYTES, Layout(PACKET), int, int, int, largest=True)
def follow_batch(
    state: State, block: Bytes, packets: PacketRows, first: int, last: int, ending: bool
) -> tuple[int, int]:
    """Give packets ``first`` to ``last - 1`` of a batch to their flows; the next one, and MORE, ROOM or FLUSH.

    ``ending``: the input is at its end, all flows are finished.
    """
    memory, flows, sides = state.memory, state.flows, state.sides
    counters = memory.counters
    for i in range(first, last):
        if counters[SWEEP_AT] >= 0 and not sweep(state, ending):
            return i, FLUSH
        if counters[FINISHED_FLOWS] >= MOST_FINISHED:
            return i, FLUSH
        if not room_for_packet(memory):
            return i, ROOM
        packet = packets[i]
        counters[PACKETS] += 1
        tick(counters, packet.time)
        if counters[PACKETS] >= counters[NEXT_SWEEP]:
            # Often enough to keep memory small, seldom enough to cost little.
            # Were it only once for each place, a flood of SYNs would fill all places before they are looked at.
            counters[NEXT_SWEEP] = counters[PACKETS] + max(SWEEP_PACKETS, counters[FLOW_PLACES] >> 3)
            if counters[CLOCK] >= counters[SWEPT] + SWEEP_TIME:
                counters[SWEPT] = counters[CLOCK]
                counters[SWEEP_AT] = 0
        is_tcp = packet.protocol == TCP
        if packet.status == DUPLICATE:
            note_copy(state, packet)
            continue
        if not is_followed(counters, packet):
            continue
        bucket = bucket_of_packet(state, packet)
        at, direction = find(packet, bucket, flows, sides, state.buckets, memory.places)
        if is_new(state, at, direction, block, packet):
            at, direction = create(memory, flows, sides, state.ways, state.buckets, state.answers, packet, bucket), 0
        flow = flows[at]
        place = place_of(sides, at, direction)
        side, way = sides[place], state.ways[place]
        if is_tcp:
            other = sides[place_of(sides, at, 1 - direction)]
            note_tcp(flow, side, other, way, direction, packet)
            if other.stream > 0 and state.streams[other.stream].held != 0:
                acknowledge(state, flow, other, state.streams[other.stream], 1 - direction, packet)
        note_packet(memory, flow, side, way, direction, packet)
        if not carries_data(packet):
            continue
        if not is_tcp:
            if packet.payload_captured > 0 and is_looked_at(flow, side, block, packet):
                udp_payload(memory, state.answers, flow, side, direction, block, packet)
        elif side.state != DONE:
            stream = state.streams[side.stream if side.stream > 0 else counters[FREE_STREAM]]
            follow_segment(state, flow, side, stream, direction, block, packet)
        elif may_be_clear(flow, side, packet):
            look_for_clear(memory, flow, side, block, packet)
    if ending and counters[SWEEP_AT] < 0:
        counters[SWEEP_AT] = 0
    if counters[SWEEP_AT] >= 0 and not sweep(state, ending):
        return last, FLUSH
    return last, MORE


@inlined
def is_control(packet: PacketRow) -> bool:
    """Whether a packet shows something of the network itself: ARP, LLDP, ICMP, BGP, MACsec."""
    status = packet.status
    if status == DECODED:
        return packet.protocol == TCP and (packet.source_port == BGP or packet.target_port == BGP)
    return (
        status == NOT_IP
        or status == ENCRYPTED
        or (status == OTHER_IP and (packet.protocol == ICMP or packet.protocol == ICMP6))
    )


@kernel(BYTES, int, int, NUMBERS, Layout(INTERFACE), int, Layout(PACKET))
def read_batch(
    block: Bytes,
    position: int,
    stop: int,
    layout: NDArray[np.int64],
    interfaces: InterfaceRows,
    frame: int,
    packets: PacketRows,
) -> tuple[int, int, int, int, int, int]:
    """List and decode a batch of packets from ``block[position:stop]``.

    Returns how many, the next position, how it ended, how many of them are fragments, how many show something of the
    network itself (see ``control``), and how many are the first frames of aggregates. They are counted from ``frame`` on.

    ``layout`` is (format, big-endian, nanoseconds a tick, link layer, largest record, bytes of a record's header, number
    of the interface, largest fraction of a second).
    With the format DATAGRAMS the packets are listed already, and lie in datagrams put together from fragments; with the
    format LISTED only that they are listed.
    """
    whole = layout[0] == DATAGRAMS
    if whole or layout[0] == LISTED:
        found, ended = packets.size, MORE
    elif layout[0] == SNOOP:
        found, position, ended = walk_snoop(block, position, stop, layout[3], layout[4], layout[6], frame, packets)
    elif layout[0] == ERF:
        found, position, ended = walk_erf(block, position, stop, layout[6], frame, packets)
    elif layout[0] == PCAP:
        found, position, ended = walk_pcap(
            block,
            position,
            stop,
            layout[1] != 0,
            layout[2],
            layout[3],
            layout[4],
            layout[5],
            layout[6],
            layout[7],
            frame,
            packets,
        )
    else:
        found, position, ended = walk_pcapng(block, position, stop, layout[1] != 0, interfaces, frame, packets)
    fragments, control, aggregates = 0, 0, 0
    for i in range(found):
        decode_packet(block, packets[i], np.int64(DATAGRAM) if whole else np.int64(packets[i].link))
        if is_control(packets[i]):
            control += 1
        if packets[i].fragment != 0:
            fragments += 1
        if packets[i].further != 0:
            aggregates += 1
    return found, position, ended, fragments, control, aggregates
