"""Messages that are longer than what the window of a stream holds: kept in parts as they go by, and joined.

Up to 32 KiB, which nearly all are, the record layer gathers the whole message. Longer chains (a bridge's
cross-certificates, post-quantum signatures, a server that sends its whole store) and longer hellos (many key shares, a
large ticket, padding) are seldom, so what they take is not in the rows of all handshakes. A hello is joined when it is
whole, a chain when its flow ends.
"""

from typing import Any

import numpy as np

from auditor.decode.bytes import copy_bytes
from auditor.decode.packet import TCP, PacketRow
from auditor.flows import state as S
from auditor.flows.intern import intern_bytes, value
from auditor.flows.kept import LARGEST_IN_PARTS, keep_part
from auditor.flows.room import room_for_strings
from auditor.flows.state import LONGEST_HELLO, FlowRow, Memory, StreamRow
from auditor.flows.stream import peek, peek16, read
from auditor.machine.kernel import inlined, part
from auditor.tls.messages import CERTIFICATE, HANDSHAKE_RECORD, LARGEST_READ, SERVER_HELLO

Array = np.ndarray[Any, Any]


@part
def gather(memory: Memory, stream: StreamRow, size: int, skip: int) -> None:
    """Copy a message's body, which may lie in several records, to ``scratch``; ``skip`` bytes of header precede it."""
    at = int(stream.message_at)
    left = int(stream.message_record_left)
    done = 0
    while done < size:
        if left == 0:
            kind = peek(memory, stream, at)
            left = peek16(memory, stream, at + 3)
            at += 5
            if kind != HANDSHAKE_RECORD:
                at += left
                left = 0
            continue
        if skip > 0:
            step = min(skip, left)
            skip -= step
        else:
            step = min(size - done, left)
            read(memory, stream, at, step, done)
            done += step
        at += step
        left -= step


@inlined
def is_in_parts(stream: StreamRow) -> bool:
    """Whether a message is too long to be gathered, and kept part by part as it goes by (see ``long_messages``)."""
    kind, length = stream.message_type, stream.message_length
    longest = LARGEST_IN_PARTS if kind == CERTIFICATE else LONGEST_HELLO if kind <= SERVER_HELLO else 0
    return length > LARGEST_READ and length <= longest


@part
def take_part(memory: Memory, flow: FlowRow, stream: StreamRow, direction: int, packet: PacketRow, have: int) -> None:
    """Keep what of a long message is there and was not kept before: ``have`` bytes of it are."""
    count = have - np.int64(stream.message_noted)
    gather(memory, stream, count, np.int64(0 if stream.message_noted > 0 else 4))
    stream.message_at = stream.record_at
    stream.message_record_left = stream.record_left
    stream.message_noted = have
    if flow.handshake >= 0:
        keep_part(memory, flow, direction, count, packet, np.int64(stream.message_type))


@part
def put_together(memory: Memory, flow: FlowRow, direction: int, kind: int, size: int) -> bool:
    """Copy the last ``size`` bytes that were kept of a message to ``scratch``. False: not all of them were."""
    at, last = size, np.int64(flow.datagram)
    while at > 0 and last >= 0:
        kept = memory.datagrams[last]
        if kept.message == kind and kept.side == direction:
            count = min(at, np.int64(memory.entries[kept.bytes, 1]))
            at -= count
            copy_bytes(memory.arena, np.int64(memory.entries[kept.bytes, 0]), count, memory.scratch, at)
        last = np.int64(kept.next)
    return at == 0


def keep_chain(state: S.State, handshake: Any, side: int, message: bytes) -> S.State:
    """Make a Certificate message that ``side`` sent that of a handshake's row, unless it has one: the state, which may have grown."""
    field = "client_chain" if side == handshake["client_side"] else "server_chain"
    if handshake[field] == 0:
        state = room_for_strings(state, len(message))
        memory = state.memory
        handshake[field] = intern_bytes(
            memory.arena, memory.entries, memory.intern_buckets, np.frombuffer(message, np.uint8)
        )
    return state


def join(state: S.State, flows: Array, handshakes: Array, handshake_flow: Array) -> S.State:
    """Give the handshakes of finished flows over TCP the chains that were kept in parts: the state, which may have grown."""
    kept = (flows["datagram"] >= 0) & (flows["ip_protocol"] == TCP)
    for row in np.flatnonzero(kept[handshake_flow]).tolist():
        for side, message in _whole(state.memory, int(flows["datagram"][handshake_flow[row]])):
            state = keep_chain(state, handshakes[row], side, message)
    return state


def _whole(memory: Memory, last: int) -> list[tuple[int, bytes]]:
    """The Certificate messages in the chain of parts that ends at ``last``, with their sides, if no part of them lacks."""
    sides: tuple[list[bytes], list[bytes]] = ([], [])
    rows = memory.datagrams.view(np.ndarray)
    while last >= 0:
        if rows["message"][last] == CERTIFICATE:
            sides[int(rows["side"][last])].append(value(memory.arena, memory.entries, int(rows["bytes"][last])))
        last = int(rows["next"][last])
    messages = [(side, b"".join(reversed(parts))) for side, parts in enumerate(sides) if parts]
    return [(side, message) for side, message in messages if len(message) == 3 + int.from_bytes(message[:3], "big")]
