"""DNS over TCP, where two bytes before each message say how long it is (RFC 1035 4.2.2, RFC 7766 8)."""

import numpy as np

from auditor.decode.packet import PacketRow
from auditor.flows.dns import HEADER, LONGEST_NAME, dns_message, is_dns
from auditor.flows.state import UNKNOWN_SIDE, WINDOW, AnswerRows, FlowRow, Memory, SideRow, StreamRow
from auditor.flows.stream import peek, peek16, read, release, slide
from auditor.machine.kernel import part
from auditor.recognise.numbers import DNS, UNKNOWN

LENGTH = 2  # bytes of it
SHORTEST = HEADER + 5  # a question for the root
LONGEST_FIRST = 4096  # of a stream's first message: a longer one is taken for another protocol's beginning
LONGEST = 16384  # of a message that is read
LINE_END = 0x0D0A  # which somebody may type first
MESSAGE_AT = LONGEST_NAME + 1  # in ``scratch``: the name goes before it
SLIDE_AT = WINDOW // 2


@part
def may_be_dns(memory: Memory, stream: StreamRow) -> bool:
    """Whether what a stream begins with looks like the length of a message and its header, or like the length alone."""
    start, have = np.int64(stream.start), np.int64(stream.have) - np.int64(stream.start)
    if have < LENGTH:
        return False
    size = peek16(memory, stream, start)
    if size < SHORTEST or size > LONGEST_FIRST or size == LINE_END:
        return False
    if have < LENGTH + HEADER:
        return have == LENGTH  # some programs send the length in a segment of its own
    at = start + LENGTH
    is_response = peek(memory, stream, at + 2) & 0x80 != 0
    is_query = peek(memory, stream, at + 2) & 0xF8 == 0 and peek16(memory, stream, at + 6) == 0
    is_like = (is_query or is_response) and peek(memory, stream, at + 2) & 0x78 == 0
    return is_like and peek(memory, stream, at + 3) & 0x40 == 0 and peek16(memory, stream, at + 4) == 1


@part
def note_dns(flow: FlowRow, direction: int, is_response: bool) -> None:
    flow.application = DNS
    if flow.client == UNKNOWN_SIDE:
        flow.client = 1 - direction if is_response else direction


@part
def dns_stream(
    memory: Memory,
    answers: AnswerRows,
    flow: FlowRow,
    side: SideRow,
    stream: StreamRow,
    direction: int,
    packet: PacketRow,
) -> bool:
    """Read the whole messages that a side's stream has, of which a segment may hold several or a part. True: it is, or may be, DNS."""
    if flow.application != DNS and (
        flow.application != UNKNOWN or stream.skipped != 0 or not may_be_dns(memory, stream)
    ):
        return False
    while stream.have - stream.start >= LENGTH:
        start = np.int64(stream.start)
        size = peek16(memory, stream, start)
        if SHORTEST <= size <= LONGEST and stream.have - start < LENGTH + size:
            return True
        if SHORTEST <= size <= LONGEST:
            read(memory, stream, start + LENGTH, size, np.int64(MESSAGE_AT))
        if size < SHORTEST or size > LONGEST or not is_dns(memory.scratch, np.int64(MESSAGE_AT), MESSAGE_AT + size):
            if flow.application != DNS:
                return False
            release(memory, side, stream)  # where the next message begins is not known any more
            return True
        note_dns(flow, direction, memory.scratch[MESSAGE_AT + 2] & 0x80 != 0)
        high, low = (flow.a_high, flow.a_low) if direction == 1 else (flow.b_high, flow.b_low)
        dns_message(
            memory, answers, memory.scratch, np.int64(MESSAGE_AT), MESSAGE_AT + size, high, low, np.int64(packet.time)
        )
        stream.start = start + LENGTH + size
        stream.skipped += LENGTH + size
        if stream.start >= SLIDE_AT:
            stream.record_at = stream.message_at = stream.start
            slide(memory, stream, np.int64(stream.start))
    return True
