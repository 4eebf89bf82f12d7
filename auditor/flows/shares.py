"""Following some of the flows: which share a packet is in, and what flows of one share tell those of others.

Whoever follows a share reads all packets, and gives to their flows those whose ends fall into it. The hash is the same
everywhere and for both directions; it has no secret, since nothing but how much work a share has depends on it.
"""

import numpy as np

from auditor.decode.bytes import mix
from auditor.decode.packet import PacketRow
from auditor.flows.state import (
    BY_HOSTS,
    EXCHANGED_AT,
    NAMES_ASKED,
    NAMINGS,
    RESUMINGS,
    SESSIONS_ASKED,
    SHARE,
    SHARES,
    Counters,
    FlowRow,
    HandshakeRow,
    Memory,
)
from auditor.machine.kernel import inlined, part


@part
def share_of(packet: PacketRow, shares: int, by_hosts: bool) -> int:
    """The share of a packet, the same for both directions; ``by_hosts``: whatever the ports are."""
    one = mix(packet.source_low ^ mix(packet.source_high))
    two = mix(packet.target_low ^ mix(packet.target_high))
    if not by_hosts:
        one = mix(one ^ np.uint64(packet.source_port))
        two = mix(two ^ np.uint64(packet.target_port))
    return np.int64((mix(one + two) >> np.uint64(32)) % np.uint64(shares))


@inlined
def is_mine(counters: Counters, packet: PacketRow) -> bool:
    """Whether a packet's flow is followed here."""
    shares = counters[SHARES]
    return shares <= 1 or share_of(packet, shares, counters[BY_HOSTS] != 0) == counters[SHARE]


@part
def ask_names(memory: Memory, flow: FlowRow) -> None:
    """A flow begins: which names its ends have is decided later, by what the DNS answered until now."""
    counters = memory.counters
    counters[NAMES_ASKED] += 1
    flow.asks = 2 * counters[NAMES_ASKED]
    row = memory.namings[counters[NAMINGS]]
    counters[NAMINGS] += 1
    row.order = counters[EXCHANGED_AT]
    row.time = flow.started
    row.life = 0
    row.asks = counters[NAMES_ASKED]
    row.name = 0
    row.client_high = flow.a_high
    row.client_low = flow.a_low
    row.high = flow.b_high
    row.low = flow.b_low


@part
def note_answer(
    memory: Memory,
    client_high: np.uint64,
    client_low: np.uint64,
    high: np.uint64,
    low: np.uint64,
    name: int,
    time: int,
    life: int,
) -> None:
    """The DNS answers a client."""
    counters = memory.counters
    row = memory.namings[counters[NAMINGS]]
    counters[NAMINGS] += 1
    row.order = counters[EXCHANGED_AT]
    row.time = time
    row.life = life
    row.asks = 0
    row.name = name
    row.client_high = client_high
    row.client_low = client_low
    row.high = high
    row.low = low


@part
def note_resuming(memory: Memory, handshake: HandshakeRow) -> None:
    """A handshake begins sessions or resumes one. It asks once, however often the server changes ciphers."""
    counters = memory.counters
    if handshake.asks == 0:
        counters[SESSIONS_ASKED] += 1
        handshake.asks = counters[SESSIONS_ASKED]
    row = memory.resumings[counters[RESUMINGS]]
    counters[RESUMINGS] += 1
    row.order = counters[EXCHANGED_AT]
    row.asks = handshake.asks
    row.seen = handshake.seen
    row.session_high = handshake.session_high
    row.session_low = handshake.session_low
    row.ticket_high = handshake.ticket_high
    row.ticket_low = handshake.ticket_low
    row.server_session_high = handshake.server_session_high
    row.server_session_low = handshake.server_session_low
    row.new_ticket_high = handshake.new_ticket_high
    row.new_ticket_low = handshake.new_ticket_low
