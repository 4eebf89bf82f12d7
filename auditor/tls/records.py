"""The TLS record layer and the handshake messages in it (RFC 8446 5, RFC 5246 6.2), followed as bytes come in.

Works on one side's ordered stream. Message bodies are gathered only of messages that are read; certificates and all
that is encrypted are stepped over.
"""

import numpy as np

from auditor.decode.packet import PacketRow
from auditor.flows.kept import PART
from auditor.flows.state import (
    PAST_HANDSHAKE,
    RENEGOTIATED,
    SEEN_CLIENT_CCS,
    SEEN_CLIENT_FINISHED,
    SEEN_CLIENT_HELLO,
    SEEN_NO_CCS,
    SEEN_RETRY,
    SEEN_SECOND_HELLO,
    SEEN_SERVER_CCS,
    SEEN_SERVER_DATA,
    SEEN_SERVER_FINISHED,
    SEEN_SERVER_HELLO,
    WINDOW,
    FlowRow,
    HandshakeRow,
    Memory,
    SideRow,
    StreamRow,
)
from auditor.flows.stream import peek, peek16, release, slide
from auditor.machine.kernel import inlined, part
from auditor.recognise.numbers import UNKNOWN
from auditor.tls.borders import LARGEST_RECORD, begin_borders
from auditor.tls.hello_faults import MUCH_KEPT, NO_RECORD
from auditor.tls.long_messages import gather, is_in_parts, put_together, take_part
from auditor.tls.messages import (
    ALERT,
    APPLICATION_DATA,
    CERTIFICATE,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    HANDSHAKE_RECORD,
    HEARTBEAT,
    LARGEST_READ,
    LETTER_OF_ALERT,
    LETTER_OF_CCS,
    LETTER_OF_HEARTBEAT,
    OLD_RETRY,
    SERVER_HELLO,
    begin_handshake,
    is_read,
    letter,
    note_client_data,
    note_sessions,
    take_message,
)
from auditor.tls.ssl2 import NOT_TLS, TLS_MIDDLE, TLS_RECORDS, WAIT, ssl2_record

TLCP = 1  # first byte of its version
FATAL = 2
# What ``next_event`` stops at.
NOTHING, MORE_BYTES, RECORD, HELLO_BEGINS, MESSAGE, PLAIN_ALERT, BROKEN = range(7)


@inlined
def is_version(major: int, minor: int) -> bool:
    """Whether a record's version is one of SSL 3.0 to TLS 1.3, or TLCP's (GB/T 38636)."""
    return (major == 3 and minor <= 4) or (major == TLCP and minor == 1)


@part
def how_it_begins(memory: Memory, stream: StreamRow) -> int:
    """What the first bytes of a stream are; WAIT if more are needed to decide."""
    at = np.int64(stream.start)
    have = stream.have - stream.start
    if have < 1:
        return WAIT
    first = peek(memory, stream, at)
    if first & 0x80:
        return ssl2_record(memory, stream, at, have)
    if first < CHANGE_CIPHER_SPEC or first > APPLICATION_DATA:
        return NOT_TLS
    if have < 2:
        return WAIT
    major = peek(memory, stream, at + 1)
    if major != 3 and (major != TLCP or first != HANDSHAKE_RECORD):
        return NOT_TLS
    if have < 6:
        return WAIT
    length = peek16(memory, stream, at + 3)
    if not is_version(major, peek(memory, stream, at + 2)) or length > LARGEST_RECORD or length == 0:
        return NOT_TLS
    if first != HANDSHAKE_RECORD:
        return TLS_RECORDS if first == ALERT and length == 2 else TLS_MIDDLE
    kind = peek(memory, stream, at + 5)
    if kind != CLIENT_HELLO and kind != SERVER_HELLO and kind != OLD_RETRY and kind != 0:
        return TLS_MIDDLE if length >= 32 and kind > 24 else NOT_TLS
    if length < 6:
        return TLS_RECORDS  # a message in pieces; what is in it shows when it is whole
    if have < 11:
        return WAIT
    if kind == 0:
        return TLS_RECORDS
    own = peek(memory, stream, at + 9)  # the first byte of the hello's version
    if own != major and (kind == CLIENT_HELLO or own != 0x7F):
        return NOT_TLS
    return TLS_RECORDS


@part
def record_begins(memory: Memory, flow: FlowRow, stream: StreamRow, handshake: HandshakeRow, direction: int) -> bool:
    """Note a record by its header alone. True: nothing that follows on this side matters."""
    if flow.handshake < 0:
        return bool(stream.record_type == APPLICATION_DATA)
    is_client = direction == handshake.client_side
    kind = stream.record_type
    if kind == CHANGE_CIPHER_SPEC:
        if stream.encrypted == PAST_HANDSHAKE:
            flow.upgrade |= RENEGOTIATED
        letter(handshake, direction, np.int64(LETTER_OF_CCS))
        if not is_client and not handshake.seen & SEEN_SERVER_CCS:
            note_sessions(memory, handshake)
        handshake.seen |= SEEN_CLIENT_CCS if is_client else SEEN_SERVER_CCS
        stream.encrypted = max(1, stream.encrypted)
        return False
    if kind == HANDSHAKE_RECORD and stream.encrypted:
        # After a HelloRetryRequest, ChangeCipherSpec is a dummy and the second hellos are plain (RFC 8446 D.4).
        if handshake.seen & SEEN_RETRY:
            plain = not handshake.seen & SEEN_SECOND_HELLO if is_client else not handshake.seen & SEEN_SERVER_HELLO
            if plain:
                stream.encrypted = 0
                return False
        handshake.seen |= SEEN_CLIENT_FINISHED if is_client else SEEN_SERVER_FINISHED
        return True
    if kind == APPLICATION_DATA:
        if is_client:
            if not note_client_data(handshake, np.int64(stream.record_left)):
                return False
        else:
            handshake.seen |= SEEN_SERVER_DATA
        own_hello = SEEN_CLIENT_HELLO if is_client else SEEN_SERVER_HELLO
        if not stream.encrypted and handshake.seen & own_hello:  # nothing is missing in between
            handshake.seen |= SEEN_NO_CCS
        return True
    if kind == HEARTBEAT:
        letter(handshake, direction, np.int64(LETTER_OF_HEARTBEAT))
    return False


@part
def alert(memory: Memory, flow: FlowRow, stream: StreamRow, handshake: HandshakeRow, direction: int) -> bool:
    """A plain alert. True: it ends the connection."""
    level = peek(memory, stream, stream.record_at - 2)
    description = peek(memory, stream, stream.record_at - 1)
    if flow.handshake < 0:
        return True
    letter(handshake, direction, np.int64(LETTER_OF_ALERT))
    handshake.alert_level = level
    handshake.alert = description
    handshake.alert_side = direction
    return bool(level == FATAL or description == 0)


@part
def step_in_message(memory: Memory, stream: StreamRow, available: int) -> int:
    """Go on in plain handshake messages by up to ``available`` bytes: NOTHING, HELLO_BEGINS or MESSAGE."""
    if stream.message_left == 0:
        first = stream.message_head == 0
        byte = peek(memory, stream, np.int64(stream.record_at))
        if first:
            stream.message_at = stream.record_at
            stream.message_record_left = stream.record_left
            stream.message_type = byte
            stream.message_length = 0
        else:
            stream.message_length = (stream.message_length << 8) | byte
        stream.message_head += 1
        stream.record_at += 1
        stream.record_left -= 1
        if stream.message_head < 4:
            return HELLO_BEGINS if first and (byte == CLIENT_HELLO or byte == SERVER_HELLO) else NOTHING
        stream.message_left = stream.message_length
        stream.message_noted = 0
    else:
        step = min(available, np.int64(stream.message_left))
        stream.record_at += step
        stream.record_left -= step
        stream.message_left -= step
    if stream.message_left > 0:
        return NOTHING
    stream.message_head = 0
    return MESSAGE


@part
def next_event(memory: Memory, stream: StreamRow) -> int:
    """Read records as far as the stream goes without a gap, up to what somebody must look at."""
    while True:
        at = np.int64(stream.record_at)
        if stream.record_left == 0:
            if stream.have - at < 5:
                return MORE_BYTES
            kind = peek(memory, stream, at)
            length = peek16(memory, stream, at + 3)
            if kind < CHANGE_CIPHER_SPEC or kind > HEARTBEAT or length > LARGEST_RECORD:
                return BROKEN
            if peek(memory, stream, at + 1) != 3 and peek16(memory, stream, at + 1) != TLCP << 8 | 1:
                return BROKEN
            stream.record_type = kind
            stream.record_left = length
            stream.record_at = at + 5
            return RECORD
        available = min(np.int64(stream.have) - at, np.int64(stream.record_left))
        if available <= 0:
            return MORE_BYTES
        if stream.record_type == HANDSHAKE_RECORD and not stream.encrypted:
            event = step_in_message(memory, stream, available)
            if event != NOTHING:
                return event
        elif stream.record_type == ALERT and stream.record_left == 2:
            if available < 2:
                return MORE_BYTES
            stream.record_at += 2
            stream.record_left = 0
            return PLAIN_ALERT
        else:
            stream.record_at += available
            stream.record_left -= available


@part
def message(
    memory: Memory, flow: FlowRow, stream: StreamRow, handshake: HandshakeRow, direction: int, packet: PacketRow
) -> None:
    """A handshake message is whole: read it, or only note that it was there. Or its beginning is all there is."""
    kind = np.int64(stream.message_type)
    size = np.int64(stream.message_length)
    have = size - np.int64(stream.message_left)
    is_hello = kind == CLIENT_HELLO or kind == SERVER_HELLO or kind == OLD_RETRY
    in_parts = is_in_parts(stream)
    if is_hello and size > LARGEST_READ and not in_parts:
        if stream.message_noted > 0:
            return  # its beginning was read
        have = np.int64(LARGEST_READ)
    if in_parts:
        is_due = have == size or is_cut(stream, packet) or (is_hello and is_beginning_due(stream, have))
        take_part(memory, flow, stream, direction, packet, have)
        if not is_due:
            return
        if is_hello and flow.handshake >= 0 and not put_together(memory, flow, direction, kind, have):
            handshake.invalid = MUCH_KEPT
            return
    stream.message_noted = have
    if not in_parts and (is_hello or (have == size and size <= LARGEST_READ and is_read(kind))):
        gather(memory, stream, have, 4)
    if (kind == SERVER_HELLO or kind == OLD_RETRY) and flow.handshake < 0:
        begin_handshake(memory.counters, flow, handshake, 1 - direction, packet)
    if flow.handshake >= 0:
        if kind == SERVER_HELLO:
            flow.answer = UNKNOWN  # what came before it in clear was the end of what was spoken before TLS
        take_message(memory, handshake, direction, packet, kind, size, have, np.int64(stream.segments))


@inlined
def is_cut(stream: StreamRow, packet: PacketRow) -> bool:
    """Whether what follows was not captured, or not yet."""
    return packet.payload_captured < packet.payload_wire or stream.spans > 1


@inlined
def is_beginning_due(stream: StreamRow, have: int) -> bool:
    """Whether so much of a hello that is kept in parts is there for the first time that its beginning is worth reading.

    The rest is read with it when it is whole: a reading for each part would take time and memory for each of them.
    """
    return stream.message_noted < LARGEST_READ and have >= LARGEST_READ


@inlined
def is_long_hello(stream: StreamRow) -> bool:
    """Whether a hello is longer than what is read of it, and not read yet."""
    return stream.message_type <= SERVER_HELLO and stream.message_noted == 0


@part
def needed_from(stream: StreamRow) -> int:
    """The first byte of recognised records that is needed again: what a message that is being gathered begins with stays."""
    gathering = (
        stream.message_head > 0
        and is_read(np.int64(stream.message_type))
        and (stream.message_length <= LARGEST_READ or is_long_hello(stream) or is_in_parts(stream))
    )
    return np.int64(stream.message_at if gathering else min(stream.record_at, stream.have))


@part
def is_all_there_is(stream: StreamRow, packet: PacketRow) -> bool:
    """Whether a message that is not whole is read as far as it goes: what follows was not captured, or is too much.

    If the rest does come later (sent again, or overtaken), the message is read once more.
    """
    kind = stream.message_type
    is_hello = kind == CLIENT_HELLO or kind == SERVER_HELLO
    if stream.message_left == 0 or not (is_hello or kind == CERTIFICATE):
        return False
    have = np.int64(stream.message_length) - np.int64(stream.message_left)
    if have == stream.message_noted:
        return False
    if not is_in_parts(stream):
        if is_hello and stream.message_length > LARGEST_READ:
            return bool(stream.message_noted == 0 and have >= LARGEST_READ)
        return is_cut(stream, packet)
    if have - stream.message_noted >= PART:
        return True
    if is_hello:
        return bool(stream.message_noted < LARGEST_READ and (have >= LARGEST_READ or is_cut(stream, packet)))
    return is_cut(stream, packet)


@part
def broken(stream: StreamRow, handshake: HandshakeRow) -> None:
    """Records end here: note where, and let the stream begin anew with what is no record."""
    if handshake.invalid == 0 and stream.encrypted != PAST_HANDSHAKE:
        handshake.invalid = NO_RECORD
        handshake.invalid_at = stream.record_at - stream.start
    stream.skipped += np.int64(stream.record_at) - np.int64(stream.start)
    stream.start = stream.record_at
    stream.recognised = 0


@part
def may_end(flow: FlowRow, stream: StreamRow, handshake: HandshakeRow, event: int) -> bool:
    """Whether records are followed further because TLS may end before the connection does.

    A session within another protocol may go back to it (FTP's CCC, RFC 4217 12.3), and after an alert that is no
    record's own business peers may go on in clear. Of all others the bulk of the data need not be copied.
    """
    if flow.handshake < 0 or (event == RECORD and handshake.upgraded == UNKNOWN):
        return False
    stream.encrypted = PAST_HANDSHAKE
    return True


@part
def follow_records(
    memory: Memory,
    flow: FlowRow,
    side: SideRow,
    stream: StreamRow,
    handshake: HandshakeRow,
    direction: int,
    packet: PacketRow,
) -> bool:
    """Read the records that are there; give the stream back when nothing that follows matters.

    True: a handshake message is whole, or all there is; the caller gives it to ``message`` and comes back. (It is not called here,
    because everything below a kernel is optimised again at each level of calls.)
    """
    while True:
        event = next_event(memory, stream)
        over = False
        if event == MORE_BYTES:
            if is_all_there_is(stream, packet):
                return True
            keep_from = needed_from(stream)
            if keep_from >= WINDOW // 2:
                slide(memory, stream, keep_from)
            return False
        if event == RECORD:
            over = record_begins(memory, flow, stream, handshake, direction)
        elif event == HELLO_BEGINS:
            begin_handshake(
                memory.counters,
                flow,
                handshake,
                direction if stream.message_type == CLIENT_HELLO else 1 - direction,
                packet,
            )
        elif event == MESSAGE:
            return True
        elif event == PLAIN_ALERT:
            over = alert(memory, flow, stream, handshake, direction)
        else:
            if flow.handshake >= 0:
                broken(stream, handshake)
            if flow.handshake >= 0 and event == BROKEN:
                return False
            release(memory, side, stream)
            return False
        if over and not may_end(flow, stream, handshake, event):
            if flow.handshake >= 0:
                begin_borders(side, stream, packet, not stream.encrypted)
            release(memory, side, stream)
            return False
