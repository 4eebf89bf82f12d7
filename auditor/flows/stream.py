"""One direction of a TCP connection put in order (RFC 9293 3.10.7.4): a window of 64 KiB, kept in chunks.

Only the beginning of a stream matters, so a stream is a window from its first byte, which moves on when a handshake
is longer than it. A segment's bytes are written to their place at once, in whatever order they come; bytes that are there
already stay (the first copy wins), and ``have`` is the end of what has no gap before it. Only the few bytes of what may be
a padded acknowledgement wait until it shows what they are.
"""

import numpy as np

from auditor.decode.bytes import Bytes, copy_bytes
from auditor.decode.frames import BITS
from auditor.decode.packet import ACK, FIN, PSH, RST, SYN, URG, PacketRow
from auditor.flows.state import (
    ACTIVE,
    BLANK_STREAM,
    CHUNK,
    CHUNK_BITS,
    CHUNKS_A_STREAM,
    DONE,
    DROPPED_SEGMENTS,
    FREE_CHUNKS,
    FREE_STREAM,
    MOST_HELD,
    PAST_HANDSHAKE,
    RETRANSMITTED,
    SPANS,
    WINDOW,
    WINDOW_EXCEEDED,
    Counters,
    Memory,
    SideRow,
    StreamRow,
)
from auditor.flows.syns import is_of_a_rival
from auditor.machine.blank import copy_record
from auditor.machine.kernel import inlined, part

# Room in front of the first segment seen where the SYN was not: a segment that was overtaken still finds its place.
MARGIN = 8192
MOST_BEYOND = 3  # segments behind the window that are left out before the stream is given up


@part
def acquire(counters: Counters, side: SideRow, stream: StreamRow, packet: PacketRow) -> None:
    """Begin the stream at the head of the free chain; it becomes the side's."""
    side.stream = counters[FREE_STREAM]
    side.state = ACTIVE
    counters[FREE_STREAM] = stream.next
    copy_record(stream, BLANK_STREAM[0])
    if side.syn:
        stream.origin = (np.int64(side.initial_sequence) + 1) & 0xFFFFFFFF
    else:
        stream.origin = (np.int64(packet.sequence) - MARGIN) & 0xFFFFFFFF
        stream.start = MARGIN
        stream.have = MARGIN


@part
def release(memory: Memory, side: SideRow, stream: StreamRow) -> None:
    """Give back a side's chunks and its stream; the side is looked at no more."""
    counters = memory.counters
    for k in range(CHUNKS_A_STREAM):
        if stream.grid[k] >= 0:
            memory.free_chunks[counters[FREE_CHUNKS]] = stream.grid[k]
            counters[FREE_CHUNKS] += 1
    stream.next = counters[FREE_STREAM]
    counters[FREE_STREAM] = side.stream
    side.stream = 0
    side.state = DONE


@inlined
def peek(memory: Memory, stream: StreamRow, at: int) -> int:
    return np.int64(memory.chunks[stream.grid[at >> CHUNK_BITS], at & (CHUNK - 1)])


@inlined
def peek16(memory: Memory, stream: StreamRow, at: int) -> int:
    return (peek(memory, stream, at) << 8) | peek(memory, stream, at + 1)


@part
def write(memory: Memory, stream: StreamRow, block: Bytes, source: int, begin: int, end: int) -> None:
    """Copy ``block[source:]`` to the window's bytes ``begin`` to ``end``."""
    at = begin
    while at < end:
        slot = at >> CHUNK_BITS
        inside = at & (CHUNK - 1)
        count = min(CHUNK - inside, end - at)
        if stream.grid[slot] < 0:
            memory.counters[FREE_CHUNKS] -= 1
            stream.grid[slot] = memory.free_chunks[memory.counters[FREE_CHUNKS]]
        copy_bytes(block, source + at - begin, count, memory.chunks[stream.grid[slot]], inside)
        at += count


@part
def read(memory: Memory, stream: StreamRow, begin: int, count: int, target_at: int) -> None:
    """Copy ``count`` bytes of the window from ``begin`` to ``scratch[target_at:]``."""
    at = 0
    while at < count:
        inside = (begin + at) & (CHUNK - 1)
        size = min(CHUNK - inside, count - at)
        copy_bytes(memory.chunks[stream.grid[(begin + at) >> CHUNK_BITS]], inside, size, memory.scratch, target_at + at)
        at += size


@part
def slide(memory: Memory, stream: StreamRow, keep_from: int) -> None:
    """Move the window on: bytes before ``keep_from`` are needed no more. All places in it move with it."""
    chunks = min(keep_from >> CHUNK_BITS, CHUNKS_A_STREAM)
    for k in range(chunks):
        if stream.grid[k] >= 0:
            memory.free_chunks[memory.counters[FREE_CHUNKS]] = stream.grid[k]
            memory.counters[FREE_CHUNKS] += 1
    for k in range(CHUNKS_A_STREAM):
        stream.grid[k] = stream.grid[k + chunks] if k + chunks < CHUNKS_A_STREAM else -1
    shift = chunks << CHUNK_BITS
    stream.origin = (np.int64(stream.origin) + shift) & 0xFFFFFFFF
    stream.start = max(0, np.int64(stream.start) - shift)
    stream.have -= shift
    stream.record_at -= shift
    stream.message_at -= shift
    for k in range(stream.spans):
        stream.span[2 * k] = max(0, np.int64(stream.span[2 * k]) - shift)
        stream.span[2 * k + 1] -= shift


@part
def skip_ahead(stream: StreamRow) -> None:
    """Look no more at the bytes that are there: the stream begins anew behind them."""
    have = np.int64(stream.have)
    stream.skipped += have - np.int64(stream.start)
    stream.start = have
    stream.segments = 0


@part
def insert(memory: Memory, stream: StreamRow, block: Bytes, source: int, begin: int, end: int) -> bool:
    """Write a segment's bytes where none are yet, and note the stretch. False: too many gaps, nothing was kept."""
    spans = stream.span
    count = np.int64(stream.spans)
    if count > 0 and spans[2 * count - 2] <= begin and begin <= spans[2 * count - 1]:
        # The usual case: it begins inside the last stretch, or right behind it.
        last = np.int64(spans[2 * count - 1])
        if end > last:
            write(memory, stream, block, source + last - begin, last, end)
            spans[2 * count - 1] = end
        return True
    first = 0  # stretches before ``first`` end before this one begins; those from ``after`` on begin behind it
    while first < count and spans[2 * first + 1] < begin:
        first += 1
    after = first
    while after < count and spans[2 * after] <= end:
        after += 1
    merged = after - first
    if merged == 0 and count == SPANS:
        return False
    at = begin
    for k in range(first, after):
        gap_end = np.int64(spans[2 * k])
        if at < gap_end:
            write(memory, stream, block, source + at - begin, at, gap_end)
        at = max(at, np.int64(spans[2 * k + 1]))
    if at < end:
        write(memory, stream, block, source + at - begin, at, end)
    low, high = begin, end
    if merged > 0:
        low = min(low, np.int64(spans[2 * first]))
        high = max(high, np.int64(spans[2 * after - 1]))
    moved = count - after
    if merged == 0:
        for k in range(moved - 1, -1, -1):
            spans[2 * (after + k) + 2] = spans[2 * (after + k)]
            spans[2 * (after + k) + 3] = spans[2 * (after + k) + 1]
    else:
        for k in range(moved):
            spans[2 * (first + 1 + k)] = spans[2 * (after + k)]
            spans[2 * (first + 1 + k) + 1] = spans[2 * (after + k) + 1]
    spans[2 * first] = low
    spans[2 * first + 1] = high
    stream.spans = count - merged + 1
    return True


@part
def is_repeat(stream: StreamRow, begin: int, end: int) -> bool:
    """Whether all bytes of a segment are there already: it was sent again (or captured twice)."""
    if end <= begin:
        return True
    for k in range(np.int64(stream.spans)):
        if stream.span[2 * k] <= begin and end <= stream.span[2 * k + 1]:
            return True
    return False


@part
def take(
    memory: Memory, side: SideRow, stream: StreamRow, block: Bytes, source: int, begin: int, end: int, frame: int
) -> bool:
    """Take the bytes ``block[source:]`` as the window's ``begin`` to ``end``. False: there are too many gaps for them."""
    if end > stream.have:
        stream.segments += 1
    if not insert(memory, stream, block, source, begin, end):
        memory.tallies[frame >> BITS, DROPPED_SEGMENTS] += 1
        side.lost = 1
        return False
    spans = stream.span
    if not side.syn and stream.recognised == 0:
        if stream.skipped == 0:
            stream.start = spans[0]
        elif begin < stream.start:  # overtaken by what was taken for the beginning
            stream.start = begin
            stream.skipped = 0
    if spans[0] <= stream.start:
        stream.have = spans[1]
        stream.beyond = 0
    return True


@inlined
def may_be_padding(packet: PacketRow) -> bool:
    """Whether a segment's few bytes may be the padding of a bare acknowledgement's frame, which IP's length counts."""
    flags = packet.tcp_flags & (FIN | SYN | RST | PSH | ACK | URG)
    return flags == ACK and packet.payload_wire <= MOST_HELD and packet.payload_captured == packet.payload_wire


@part
def hold(stream: StreamRow, block: Bytes, packet: PacketRow) -> None:
    """Keep bytes that may be padding until it shows whether the stream goes on behind them, or in their place."""
    stream.held = packet.payload_captured
    stream.held_sequence = packet.sequence
    for k in range(np.int64(packet.payload_captured)):
        stream.held_bytes[k] = block[packet.payload + k]


@part
def take_held(memory: Memory, side: SideRow, stream: StreamRow, frame: int) -> None:
    """Held bytes are the stream's."""
    count = np.int64(stream.held)
    stream.held = 0
    begin = (np.int64(stream.held_sequence) - np.int64(stream.origin)) & 0xFFFFFFFF
    if begin + count > WINDOW or is_repeat(stream, begin, begin + count):
        return
    for k in range(count):
        memory.scratch[k] = stream.held_bytes[k]
    take(memory, side, stream, memory.scratch, np.int64(0), begin, begin + count, frame)


@part
def settle_held(memory: Memory, side: SideRow, stream: StreamRow, packet: PacketRow) -> None:
    """The side sent more: held bytes in whose place it did were padding, and those behind which it goes on are data."""
    into = (np.int64(stream.held_sequence) - np.int64(packet.sequence)) & 0xFFFFFFFF
    behind = (np.int64(packet.sequence) - np.int64(stream.held_sequence)) & 0xFFFFFFFF
    if into < packet.payload_wire:
        stream.held = 0
    elif behind <= stream.held or may_be_padding(packet):  # only one segment can be held
        take_held(memory, side, stream, np.int64(packet.frame))


@part
def confirm_held(memory: Memory, side: SideRow, stream: StreamRow, packet: PacketRow) -> bool:
    """The other side acknowledged up to a byte: if that is the last held one, they are data. True: there are more bytes."""
    end = (np.int64(stream.held_sequence) + np.int64(stream.held)) & 0xFFFFFFFF
    if end != packet.acknowledged:
        return False
    had = stream.have
    take_held(memory, side, stream, np.int64(packet.frame))
    return stream.have != had


@part
def note_repeat(memory: Memory, side: SideRow, stream: StreamRow, packet: PacketRow) -> None:
    """A segment whose bytes are there already was sent again."""
    if packet.payload_captured == 0 or stream.encrypted == PAST_HANDSHAKE:
        return
    memory.tallies[packet.frame >> BITS, RETRANSMITTED] += 1
    side.repeats = min(65535, side.repeats + 1)
    if side.repeat_frame == 0:
        side.repeat_frame = packet.frame


@part
def begin_stream(memory: Memory, side: SideRow, stream: StreamRow, packet: PacketRow) -> None:
    """Begin a side's stream, or begin it anew where it turned out that another SYN counts."""
    if side.stream > 0:
        is_misplaced = stream.origin != (np.int64(side.initial_sequence) + 1) & 0xFFFFFFFF
        if not is_misplaced or stream.recognised != 0 or stream.skipped != 0:
            return
        release(memory, side, stream)
    acquire(memory.counters, side, stream, packet)


@part
def feed(memory: Memory, side: SideRow, stream: StreamRow, block: Bytes, packet: PacketRow) -> bool:
    """Take a segment's payload into its side's stream. True: the stream has more bytes in order than before."""
    if side.stream == 0 or side.rivals != 0:
        begin_stream(memory, side, stream, packet)
    sequence = (np.int64(packet.sequence) + (1 if packet.tcp_flags & SYN else 0)) & 0xFFFFFFFF
    begin = (sequence - np.int64(stream.origin)) & 0xFFFFFFFF
    if side.rivals != 0 and begin >= WINDOW and is_of_a_rival(side, sequence):
        return False
    if begin >= 1 << 31:
        begin -= 1 << 32
    end = begin + np.int64(packet.payload_captured)
    source = np.int64(packet.payload)
    if begin < 0:
        source -= begin
        begin = 0
    if end > WINDOW:
        end = WINDOW
        if begin >= WINDOW:
            stream.beyond += 1
            if stream.beyond <= MOST_BEYOND:  # one may be forged, or damaged
                return False
            # What matters at the stream's beginning was not in the capture.
            if stream.encrypted != PAST_HANDSHAKE:
                side.lost = 1
                memory.counters[WINDOW_EXCEEDED] += 1
            release(memory, side, stream)
            return False
    had = stream.have
    if stream.held != 0:
        settle_held(memory, side, stream, packet)
    if packet.payload_captured < packet.payload_wire:
        side.lost = 1
    padding = may_be_padding(packet)
    if is_repeat(stream, begin, end):
        if not padding:
            note_repeat(memory, side, stream, packet)
        return stream.have != had
    if padding:
        hold(stream, block, packet)
        return stream.have != had
    if not take(memory, side, stream, block, source, begin, end, np.int64(packet.frame)):
        return stream.have != had
    is_beyond_gap = stream.message_left > 0 and stream.spans > 1  # what a message lacks may never come
    return stream.have != had or stream.recognised == 0 or is_beyond_gap


@inlined
def has_more(side: SideRow, stream: StreamRow, packet: PacketRow) -> bool:
    """Whether a segment goes on behind what there was room for (segmentation offload: 64 KiB), and the window has moved on."""
    ahead = (np.int64(packet.sequence) - np.int64(stream.origin) - np.int64(stream.have)) & 0xFFFFFFFF
    behind = (1 << 32) - ahead
    return side.stream > 0 and stream.have < WINDOW and ahead > WINDOW and behind < packet.payload_captured
