"""The flow table: which flow and which side of it a packet belongs to, and when a flow is over.

A flow is a 5-tuple within its VLANs and tunnels. Each side has VLANs and tunnels of its own, so that a flow which
goes out by one path and comes back by another is one flow. A packet that a router passes on in another VLAN, and the
capture shows twice, belongs to the flow of its first copy: the other is another position of the same packet.
"""

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import mix
from auditor.decode.packet import ACK, FIN, JOINS, RST, SYN, TCP, PacketRow
from auditor.flows.client import likely_client
from auditor.flows.dns import answer_for
from auditor.flows.gaps import lacks_bytes
from auditor.flows.intern import Buckets
from auditor.flows.keyed import bucket_of
from auditor.flows.places import same_scope, was_there
from auditor.flows.shares import ask_names
from auditor.flows.sides import begin_sides, is_far, place_of
from auditor.flows.state import (
    BLANK_FLOW,
    CLOCK,
    DONE,
    EVICTED_FLOWS,
    FINISHED,
    FINISHED_FLOWS,
    FLOW,
    FLOW_PLACES,
    FREE,
    FREE_DATAGRAM,
    FREE_FLOW,
    FREE_HANDSHAKE,
    FREE_PLACE,
    LIVE,
    LOST,
    NO_ROOM,
    PACKETS,
    SHARES,
    SWEEP_AT,
    UNKNOWN_SIDE,
    WAITED,
    AnswerRows,
    FlowRow,
    FlowRows,
    Memory,
    PlaceRows,
    SideRow,
    SideRows,
    State,
    WayRow,
    WayRows,
)
from auditor.flows.stream import release
from auditor.flows.syns import note_numbers, note_rival
from auditor.machine.blank import copy_record
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import NUMBERS, Layout
from auditor.recognise.numbers import DNS, MPTCP

# When a flow leaves memory: Zeek's defaults (tcp_inactivity_timeout, udp_inactivity_timeout, tcp_close_delay,
# tcp_attempt_delay, dns_session_timeout).
SECOND = 1_000_000_000
TCP_IDLE, UDP_IDLE, TCP_CLOSED, TCP_ATTEMPT = 300 * SECOND, 60 * SECOND, 5 * SECOND, 5 * SECOND
DNS_IDLE = 10 * SECOND  # of DNS over UDP: most flows of many networks, a question and an answer each
DISORDER = SECOND  # by which packets may come later than others with later time stamps
MOST_FINISHED = 8_192  # rows that wait to be taken out
ROOM_FINISHED = MOST_FINISHED + 1  # a packet may end one more


@inlined
def side_of(flow: FlowRow, packet: PacketRow) -> int:
    """The side of a flow whose ends a packet has, -1 where they are not its ends."""
    if flow.ip_protocol != packet.protocol:
        return -1
    if (
        flow.a_low == packet.source_low
        and flow.b_low == packet.target_low
        and flow.a_port == packet.source_port
        and flow.b_port == packet.target_port
        and flow.a_high == packet.source_high
        and flow.b_high == packet.target_high
    ):
        return 0
    if (
        flow.a_low == packet.target_low
        and flow.b_low == packet.source_low
        and flow.a_port == packet.target_port
        and flow.b_port == packet.source_port
        and flow.a_high == packet.target_high
        and flow.b_high == packet.source_high
    ):
        return 1
    return -1


@part
def find(
    packet: PacketRow, bucket: int, flows: FlowRows, sides: SideRows, buckets: Buckets, places: PlaceRows
) -> tuple[int, int]:
    """(flow, side) of a packet, or (-1, 0). The best of three fits: see below.

    A flow that is over when the packet comes is none of them, whether it has left memory already or not.
    """
    best, best_side, best_fit = -1, 0, 0
    at = np.int64(buckets[bucket])
    while at >= 0:
        flow = flows[at]
        side = side_of(flow, packet)
        if side >= 0 and not is_over(flow, packet.time - flow.ended, sides, at):
            mine = sides[place_of(sides, at, side)]
            if mine.packets > 0:
                # This side came this way before.
                fit = 3 if same_scope(mine, packet) or was_there(places, flow, side, packet) else 0
            elif same_scope(sides[place_of(sides, at, 1 - side)], packet):
                fit = 2  # the other side came this way, this one was not seen yet
            else:
                fit = 1  # the other side came another way: asymmetric
            if fit == 3:
                return at, side
            if fit > best_fit:
                best, best_side, best_fit = at, side, fit
        at = np.int64(flow.next)
    return best, best_side


@part
def find_copied(packet: PacketRow, bucket: int, flows: FlowRows, sides: SideRows, buckets: Buckets) -> tuple[int, int]:
    """(flow, side) of the packet that this one is a copy of: in whatever VLAN or tunnel, the latest to be seen."""
    best, best_side, latest = -1, 0, np.int64(0)
    at = np.int64(buckets[bucket])
    while at >= 0:
        side = side_of(flows[at], packet)
        if side >= 0 and sides[place_of(sides, at, side)].packets > 0 and flows[at].touched >= latest:
            best, best_side, latest = at, side, np.int64(flows[at].touched)
        at = np.int64(flows[at].next)
    return best, best_side


@part
def identified(packet: PacketRow) -> int:
    """The number by which a flow is known, of 63 bits: a hash of what it is, however its packets lie in files.

    That is its transport, ends, VLANs and tunnels, and when its first packet came; of TCP its sequence number too,
    since clocks may be coarse and ports be used again at once. Not seeded: the same flow has the same number in every audit.
    """
    code = mix(packet.source_low ^ mix(packet.source_high + np.uint64(packet.protocol)))
    code = mix(code ^ packet.target_low ^ mix(packet.target_high + np.uint64(0x9E3779B97F4A7C15)))
    code = mix(code ^ (np.uint64(packet.source_port) << np.uint64(16)) ^ np.uint64(packet.target_port))
    code = mix(code ^ packet.vlans ^ mix(packet.tunnel ^ mix(packet.outer_tunnel)))
    code = mix(code ^ np.uint64(packet.time))
    if packet.protocol == TCP:
        code = mix(code ^ np.uint64(packet.sequence))
    return max(1, np.int64(code >> np.uint64(1)))


@part
def create(
    memory: Memory,
    flows: FlowRows,
    sides: SideRows,
    ways: WayRows,
    buckets: Buckets,
    answers: AnswerRows,
    packet: PacketRow,
    bucket: int,
) -> int:
    """A new flow whose side 0 is the packet's sender; its names are those that DNS has answered by now."""
    counters = memory.counters
    at = counters[FREE_FLOW]
    flow = flows[at]
    counters[FREE_FLOW] = flow.next
    copy_record(flow, BLANK_FLOW[0])
    flow.a_high = packet.source_high
    flow.a_low = packet.source_low
    flow.b_high = packet.target_high
    flow.b_low = packet.target_low
    flow.a_port = packet.source_port
    flow.b_port = packet.target_port
    flow.ip_protocol = packet.protocol
    flow.bucket = bucket
    flow.next = buckets[bucket]
    buckets[bucket] = at
    flow.number = counters[PACKETS]
    flow.identifier = identified(packet)
    flow.started = packet.time
    flow.ended = packet.time
    flow.touched = counters[CLOCK]
    time = np.int64(packet.time)
    if counters[SHARES] > 1:
        ask_names(memory, flow)
    else:
        flow.dns, shared = answer_for(counters, answers, flow.a_high, flow.a_low, flow.b_high, flow.b_low, time)
        flow.dns_back, back = answer_for(counters, answers, flow.b_high, flow.b_low, flow.a_high, flow.a_low, time)
        flow.dns_shared = np.uint8(shared) | np.uint8(back) << 1
    begin_sides(sides, ways, at)
    return at


@part
def unlink(flows: FlowRows, buckets: Buckets, at: int) -> None:
    flow = flows[at]
    before = -1
    here = np.int64(buckets[flow.bucket])
    while here != at and here >= 0:
        before = here
        here = np.int64(flows[here].next)
    if before < 0:
        buckets[flow.bucket] = flow.next
    else:
        flows[before].next = flow.next


@part
def finish(state: State, at: int) -> None:
    """A flow is over: it takes no more packets, and its row waits to be taken out."""
    counters = state.memory.counters
    flow = state.flows[at]
    one, two = state.sides[at], state.sides[place_of(state.sides, at, 1)]
    for k in range(2):
        side, other = (two, one) if k else (one, two)
        if flow.ip_protocol == TCP and side.state != DONE and side.lost == 0:
            if lacks_bytes(side, other, state.streams[side.stream]):
                side.lost = LOST
        if side.stream > 0:
            release(state.memory, side, state.streams[side.stream])
    if flow.client == UNKNOWN_SIDE:
        flow.client = likely_client(flow)
    if flow.client != 0:
        flow.dns = flow.dns_back
        flow.dns_shared >>= 1
        flow.asks |= 1
    if counters[CLOCK] - flow.touched >= TCP_CLOSED:
        flow.closed |= WAITED
    unlink(state.flows, state.buckets, at)
    flow.live = FINISHED
    state.finished[counters[FINISHED_FLOWS]] = at
    counters[FINISHED_FLOWS] += 1


@kernel(State)
def recycle(state: State) -> None:
    """Free the places of finished flows, after their rows were taken out."""
    counters, datagrams, places = state.memory.counters, state.memory.datagrams, state.memory.places
    for k in range(counters[FINISHED_FLOWS] - 1, -1, -1):
        at = state.finished[k]
        flow = state.flows[at]
        if flow.handshake >= 0:
            state.handshakes[flow.handshake].next = counters[FREE_HANDSHAKE]
            counters[FREE_HANDSHAKE] = flow.handshake
        if flow.datagram >= 0:
            first = np.int64(flow.datagram)
            while datagrams[first].next >= 0:
                first = np.int64(datagrams[first].next)
            datagrams[first].next = counters[FREE_DATAGRAM]
            counters[FREE_DATAGRAM] = flow.datagram
        if flow.place >= 0:
            first = np.int64(flow.place)
            while places[first].next >= 0:
                first = np.int64(places[first].next)
            places[first].next = counters[FREE_PLACE]
            counters[FREE_PLACE] = flow.place
        flow.live = FREE
        flow.next = counters[FREE_FLOW]
        counters[FREE_FLOW] = at
    counters[FINISHED_FLOWS] = 0


@part
def is_over(flow: FlowRow, idle: int, sides: SideRows, at: int) -> bool:
    """Whether a flow is over after so many nanoseconds without a packet of it."""
    if idle < TCP_CLOSED:
        return False
    if flow.ip_protocol != TCP:
        return idle >= (DNS_IDLE if flow.application == DNS else UDP_IDLE)
    if flow.closed != 0:
        return True
    one, two = sides[at], sides[place_of(sides, at, 1)]
    if (one.tcp_flags | two.tcp_flags) == SYN:  # an attempt that nobody answered
        return idle >= TCP_ATTEMPT
    return idle >= TCP_IDLE


@part
def sweep(state: State, everything: bool) -> bool:
    """Finish flows that are over, from where the last sweep stopped. False: too many rows wait to be taken out.

    This frees memory and decides nothing: it leaves alone whatever a packet could still belong to.
    """
    counters = state.memory.counters
    at = max(0, counters[SWEEP_AT])
    while at < counters[FLOW_PLACES]:
        flow = state.flows[at]
        if flow.live == LIVE and (
            everything or is_over(flow, counters[CLOCK] - flow.touched - DISORDER, state.sides, at)
        ):
            if counters[FINISHED_FLOWS] >= MOST_FINISHED:
                counters[SWEEP_AT] = at
                return False
            finish(state, at)
        at += 1
    counters[SWEEP_AT] = -1
    return True


@kernel(State, NUMBERS)
def evict(state: State, order: NDArray[np.int64]) -> None:
    """Finish flows before they are over, because there is no room: what was still looked at in them is not known."""
    counters = state.memory.counters
    for k in range(order.size):
        at = order[k]
        for direction in range(2):
            side = state.sides[place_of(state.sides, at, direction)]
            if side.state != DONE:
                side.lost = NO_ROOM
        finish(state, at)
        counters[EVICTED_FLOWS] += 1


@kernel(NUMBERS, Layout(FLOW), Layout(np.int32), Layout(np.uint64))
def relink(order: NDArray[np.int64], flows: FlowRows, buckets: Buckets, keys: NDArray[np.uint64]) -> None:
    """Hang flows into emptied buckets, in the given order."""
    for k in range(order.size):
        at = order[k]
        flow = flows[at]
        flow.bucket = bucket_of(
            flow.a_high, flow.a_low, flow.a_port, flow.b_high, flow.b_low, flow.b_port, keys, buckets.size
        )
        flow.next = buckets[flow.bucket]
        buckets[flow.bucket] = at


@part
def note_delivery(mine: SideRow, way: WayRow, packet: PacketRow) -> None:
    """What was sent, sent again and acknowledged: whether a hello got through shows in these."""
    sequence, flags = np.int64(packet.sequence), packet.tcp_flags
    if mine.packets == 0:
        mine.next_sequence = sequence
    if flags & SYN:
        way.mss = packet.mss
        mine.next_sequence = (sequence + 1 + np.int64(packet.payload_wire)) & 0xFFFFFFFF
    elif flags & RST == 0 or mine.packets == 0:  # the number of a RST may be anybody's
        end = (sequence + np.int64(packet.payload_wire)) & 0xFFFFFFFF
        if (end - np.int64(mine.next_sequence)) & 0xFFFFFFFF < 1 << 31:
            mine.next_sequence = end
    if flags & ACK:
        ahead = (np.int64(packet.acknowledged) - np.int64(mine.acknowledged)) & 0xFFFFFFFF
        if mine.acknowledged == 0 or ahead < 1 << 31:
            mine.acknowledged = packet.acknowledged


@part
def note_tcp(flow: FlowRow, mine: SideRow, other: SideRow, way: WayRow, direction: int, packet: PacketRow) -> None:
    """What flags and times say of the connection."""
    flags = packet.tcp_flags
    if flags & SYN:
        if mine.syn == 0:
            mine.syn = 1
            mine.initial_sequence = packet.sequence
            if packet.begins == JOINS:
                flow.application = MPTCP
            if flags & ACK:
                if flow.client == UNKNOWN_SIDE:
                    flow.client = 1 - direction
                if flow.syn_ack_time == 0:
                    flow.syn_ack_time = packet.time
            else:
                if other.syn != 0 and other.tcp_flags & ACK == 0:
                    flow.client = UNKNOWN_SIDE  # both opened (RFC 9293 3.5): who is the client shows by what is said
                elif flow.client == UNKNOWN_SIDE:
                    flow.client = direction
                if flow.syn_time == 0:
                    flow.syn_time = packet.time
        else:
            note_rival(mine, np.int64(packet.sequence))
    elif mine.packets == 0:
        mine.initial_sequence = packet.sequence
    if mine.state != DONE or other.state != DONE:
        note_numbers(mine, other, packet)
    if flow.round_trip < 0 and flags & (ACK | SYN) == ACK and flow.client == direction:
        if flow.syn_time and flow.syn_ack_time and packet.time >= flow.syn_time:
            flow.round_trip = packet.time - flow.syn_time
    if flags & FIN:
        mine.fin_sequence = (np.int64(packet.sequence) + np.int64(packet.payload_wire)) & 0xFFFFFFFF
    mine.tcp_flags |= flags
    if mine.state != DONE:
        note_delivery(mine, way, packet)
    if flags & RST and way.reset_frame == 0:
        way.reset_frame = packet.frame
        way.reset_ttl = packet.ttl
    is_reset = flags & RST != 0 and not is_far(mine, packet)  # a forged one has no effect (RFC 5961 3)
    if is_reset or (mine.tcp_flags & FIN and other.tcp_flags & FIN):
        flow.closed = 1
