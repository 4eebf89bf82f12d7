"""What is noted of a handshake: its hellos, its other messages, the sessions that it begins or resumes.

Messages come whole, from the record layer (``records``) or put together from datagrams in Python (``read_message``).
"""

import numpy as np

from auditor.decode.bytes import be16
from auditor.decode.packet import PACKET, PacketRow, PacketRows
from auditor.flows.intern import hash_bytes, intern
from auditor.flows.shares import note_resuming
from auditor.flows.state import (
    BLANK_HANDSHAKE,
    FREE_HANDSHAKE,
    HANDSHAKE,
    HISTORY,
    LONGEST_HELLO,
    SEEN_CERTIFICATE,
    SEEN_CERTIFICATE_CUT,
    SEEN_CERTIFICATE_REQUEST,
    SEEN_CERTIFICATE_VERIFY,
    SEEN_CLIENT_CCS,
    SEEN_CLIENT_CERTIFICATE,
    SEEN_CLIENT_CUT,
    SEEN_CLIENT_DATA,
    SEEN_CLIENT_HELLO,
    SEEN_CLIENT_INVALID,
    SEEN_CLIENT_SHORT,
    SEEN_EARLY_DATA,
    SEEN_HELLO_DONE,
    SEEN_KEY_EXCHANGE,
    SEEN_NEW_TICKET,
    SEEN_ORIGINAL,
    SEEN_RETRY,
    SEEN_SECOND_HELLO,
    SEEN_SERVER_CCS,
    SEEN_SERVER_CUT,
    SEEN_SERVER_HELLO,
    SEEN_SERVER_INVALID,
    SEEN_SERVER_SESSION,
    SEEN_SESSION_ECHO,
    SEEN_TICKET_OFFER,
    SHARES,
    UNKNOWN_SIDE,
    WINDOW,
    Counters,
    FlowRow,
    HandshakeRow,
    HandshakeRows,
    Memory,
    Sessions,
)
from auditor.machine.blank import copy_record
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import Layout
from auditor.recognise.numbers import TLS, UNKNOWN
from auditor.tls.exchange_kernels import SIGNED, client_key_exchange, server_key_exchange
from auditor.tls.hello_faults import CUT, TOO_LONG, VALID
from auditor.tls.hello_kernels import client_hello
from auditor.tls.server_hello_kernels import server_hello

CLIENT_HELLO, SERVER_HELLO, NEW_TICKET, OLD_RETRY, CERTIFICATE, KEY_EXCHANGE, HELLO_DONE = 1, 2, 4, 6, 11, 12, 14
CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, CERTIFICATE_STATUS = 13, 15, 16, 22
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE_RECORD, APPLICATION_DATA, HEARTBEAT = 20, 21, 22, 23, 24  # types of records
CHANGE_CIPHER = 256  # stands for ChangeCipherSpec where messages are numbered
SHORTEST_FINISHED = 24  # bytes of a record in which a Finished may be …
ENDS_OF_EARLY_DATA = 21, 13  # … and of EndOfEarlyData, which has no contents (RFC 8446 4.5), with tags of 16 and of 8
LARGEST_READ = WINDOW // 2  # of a message whose body is read, but of hellos and chains, which are kept in parts
# The letters of Zeek's ssl_history, by handshake type; capitals are the client's.
LETTERS = {0: "H", 1: "C", 2: "S", 3: "V", 4: "T", 5: "E", 6: "J", 8: "O", 11: "X", 12: "K", 13: "R", 14: "N"}
LETTERS |= {15: "Y", 16: "G", 20: "F", 21: "W", 22: "U", 23: "A", 24: "P", 254: "M"}
_LETTER_CODES = np.array([ord(LETTERS.get(kind, "Z")) for kind in range(256)], np.uint8)
LETTER_C, LETTER_S = ord("C"), ord("S")
CLIENT_BITS = SEEN_CLIENT_HELLO, SEEN_CLIENT_INVALID, SEEN_CLIENT_CUT
SERVER_BITS = SEEN_SERVER_HELLO, SEEN_SERVER_INVALID, SEEN_SERVER_CUT
SEEN_CLIENT_FAULT, SEEN_SERVER_FAULT = SEEN_CLIENT_INVALID | SEEN_CLIENT_CUT, SEEN_SERVER_INVALID | SEEN_SERVER_CUT
LETTER_OF_RETRY, LETTER_OF_CCS, LETTER_OF_ALERT, LETTER_OF_HEARTBEAT = ord("J"), ord("I"), ord("L"), ord("B")


@part
def begin_handshake(counters: Counters, flow: FlowRow, handshake: HandshakeRow, client: int, packet: PacketRow) -> None:
    """Make ``handshake`` the flow's. It is that already, or the first of the free chain. ``client``: its side."""
    if flow.handshake >= 0:
        return
    flow.handshake = counters[FREE_HANDSHAKE]
    counters[FREE_HANDSHAKE] = handshake.next
    copy_record(handshake, BLANK_HANDSHAKE[0])
    handshake.flow = flow.identifier
    handshake.started = packet.time
    handshake.client_side = client
    handshake.upgraded = flow.application if flow.application != TLS else UNKNOWN
    flow.application = TLS
    if flow.client == UNKNOWN_SIDE:
        flow.client = handshake.client_side


@part
def letter(handshake: HandshakeRow, direction: int, capital: int) -> None:
    if handshake.history_length < HISTORY:
        handshake.history[handshake.history_length] = capital if direction == handshake.client_side else capital + 32
        handshake.history_length += 1


@part
def note_client_data(handshake: HandshakeRow, size: int) -> bool:
    """An encrypted record of a client's. True: its Finished, or what it sent in place of it."""
    is_short = not handshake.seen & SEEN_CLIENT_DATA and size < SHORTEST_FINISHED
    if is_short and (size == ENDS_OF_EARLY_DATA[0] or size == ENDS_OF_EARLY_DATA[1]):
        return False
    if not handshake.seen & SEEN_SERVER_HELLO:
        if not is_short:
            handshake.seen |= SEEN_EARLY_DATA
        return False
    handshake.seen |= SEEN_CLIENT_DATA
    if is_short:
        handshake.seen |= SEEN_CLIENT_SHORT  # this can only be an alert
    return True


@part
def remember_session(sessions: Sessions, high: np.uint64, low: np.uint64) -> None:
    """A session or ticket whose full handshake was in the capture. Direct-mapped: the newest stays."""
    slot = int(low & np.uint64(sessions.shape[0] - 1))
    sessions[slot, 0] = high
    sessions[slot, 1] = low


@part
def knows_session(sessions: Sessions, high: np.uint64, low: np.uint64) -> bool:
    slot = int(low & np.uint64(sessions.shape[0] - 1))
    return sessions[slot, 0] == high and sessions[slot, 1] == low and (high != 0 or low != 0)


@part
def resumes_known(sessions: Sessions, handshake: HandshakeRow) -> bool:
    """Remember a full handshake's sessions; of one that resumes a session, whether it is one of those."""
    if handshake.seen & (SEEN_CERTIFICATE | SEEN_KEY_EXCHANGE | SEEN_HELLO_DONE):
        if handshake.seen & SEEN_SERVER_SESSION:
            remember_session(sessions, handshake.server_session_high, handshake.server_session_low)
        if handshake.seen & SEEN_NEW_TICKET:
            remember_session(sessions, handshake.new_ticket_high, handshake.new_ticket_low)
        return False
    known = False
    if handshake.seen & SEEN_SESSION_ECHO and knows_session(sessions, handshake.session_high, handshake.session_low):
        known = True
    if handshake.seen & SEEN_TICKET_OFFER and knows_session(sessions, handshake.ticket_high, handshake.ticket_low):
        known = True
        if handshake.seen & SEEN_NEW_TICKET:  # a renewed ticket carries the first handshake's keys on
            remember_session(sessions, handshake.new_ticket_high, handshake.new_ticket_low)
    return known


@part
def note_sessions(memory: Memory, handshake: HandshakeRow) -> None:
    """At the server's ChangeCipherSpec: which sessions begin, and whether one that is resumed was seen."""
    if memory.counters[SHARES] > 1:
        note_resuming(memory, handshake)
    elif resumes_known(memory.sessions, handshake):
        handshake.seen |= SEEN_ORIGINAL


@part
def hello_seen(handshake: HandshakeRow, whole: bool, size: int, bits: tuple[int, int, int]) -> int:
    """Which of ``bits`` a hello is: whole and valid, invalid, cut off. One that is too long is cut off here."""
    if whole:
        return bits[0]
    if handshake.invalid != CUT:
        return bits[1]
    if size > LONGEST_HELLO:
        handshake.invalid = TOO_LONG
    return bits[2]


@part
def take_client_hello(
    memory: Memory, handshake: HandshakeRow, direction: int, packet: PacketRow, size: int, have: int, segments: int
) -> None:
    if handshake.seen & (SEEN_CLIENT_HELLO | SEEN_CLIENT_INVALID):
        letter(handshake, direction, np.int64(LETTER_C))
        if handshake.seen & SEEN_RETRY:
            handshake.seen |= SEEN_SECOND_HELLO
        return
    if handshake.seen == 0:
        handshake.client_side = direction
    fault, fault_at = handshake.invalid, handshake.invalid_at
    whole = client_hello(memory, handshake, memory.scratch, size, have)
    how = hello_seen(handshake, whole, size, CLIENT_BITS)
    if whole:  # what was noted of the server's stays
        handshake.invalid, handshake.invalid_at = fault if handshake.seen & SEEN_SERVER_FAULT else VALID, fault_at
    if how != SEEN_CLIENT_CUT or handshake.invalid == TOO_LONG:
        letter(handshake, direction, np.int64(LETTER_C))
    handshake.seen = (handshake.seen & ~np.uint32(SEEN_CLIENT_CUT)) | np.uint32(how)
    handshake.client_frame = packet.frame
    handshake.client_bytes = size + 4
    handshake.client_segments = segments


@part
def take_server_hello(
    memory: Memory, handshake: HandshakeRow, direction: int, packet: PacketRow, size: int, have: int, old_retry: bool
) -> None:
    if handshake.seen & SEEN_SERVER_HELLO and not handshake.seen & SEEN_SERVER_CUT:
        letter(handshake, direction, np.int64(LETTER_S))
        return
    retried = handshake.seen & SEEN_RETRY != 0
    fault, fault_at = handshake.invalid, handshake.invalid_at
    whole, is_known = server_hello(memory, handshake, memory.scratch, size, have, old_retry)
    how = hello_seen(handshake, whole, size, SERVER_BITS)
    if whole:  # what was noted of the client's stays
        handshake.invalid, handshake.invalid_at = fault if handshake.seen & SEEN_CLIENT_FAULT else VALID, fault_at
    handshake.seen &= ~np.uint32(SEEN_SERVER_CUT)
    if whole and handshake.seen & SEEN_RETRY and not retried:
        letter(handshake, direction, np.int64(LETTER_OF_RETRY))
        if handshake.server_frame == 0:
            handshake.server_frame = packet.frame
        return
    if how != SEEN_SERVER_CUT or handshake.invalid == TOO_LONG:
        letter(handshake, direction, np.int64(LETTER_S))
    handshake.seen |= how | (SEEN_SERVER_HELLO if is_known else 0)
    handshake.server_frame = packet.frame


@part
def keep(memory: Memory, size: int) -> int:
    """Intern the message in ``scratch``."""
    return intern(memory.arena, memory.entries, memory.intern_buckets, memory.scratch, np.int64(0), size)


@part
def note_message(memory: Memory, handshake: HandshakeRow, direction: int, kind: int, size: int) -> None:
    """A handshake message that is no hello; its body is in ``scratch`` if it is one of ``is_read``."""
    letter(handshake, direction, np.int64(_LETTER_CODES[kind]))
    if size > LARGEST_READ and kind != CERTIFICATE:
        return  # its body is not there
    if direction == handshake.client_side:
        if kind == CERTIFICATE and size > 3:
            handshake.seen |= SEEN_CLIENT_CERTIFICATE
            if size <= LARGEST_READ:
                handshake.client_chain = keep(memory, size)
        elif kind == CERTIFICATE_VERIFY:
            handshake.seen |= SEEN_CERTIFICATE_VERIFY
            if size >= 2 and handshake.version >= 0x0303:  # before TLS 1.2 no bytes name the algorithms
                handshake.client_signature = SIGNED | be16(memory.scratch, np.int64(0))
        elif kind == CLIENT_KEY_EXCHANGE:
            client_key_exchange(memory, handshake, memory.scratch, size)
        return
    if kind == CERTIFICATE:
        handshake.seen |= SEEN_CERTIFICATE
        if handshake.server_chain == 0 and size <= LARGEST_READ:
            handshake.server_chain = keep(memory, size)
    elif kind == CERTIFICATE_STATUS:
        handshake.staple = keep(memory, size)
    elif kind == CERTIFICATE_REQUEST:
        handshake.seen |= SEEN_CERTIFICATE_REQUEST
    elif kind == HELLO_DONE:
        handshake.seen |= SEEN_HELLO_DONE
    elif kind == KEY_EXCHANGE:
        handshake.seen |= SEEN_KEY_EXCHANGE
        server_key_exchange(memory, handshake, memory.scratch, size)
    elif kind == NEW_TICKET and size > 6:
        # RFC 5077 3.3: lifetime(4), length(2), ticket.
        handshake.seen |= SEEN_NEW_TICKET
        handshake.new_ticket_high = hash_bytes(memory.scratch, np.int64(6), size)
        handshake.new_ticket_low = hash_bytes(memory.scratch, 6 + (size - 6) // 2, size)


@inlined
def is_read(kind: int) -> bool:
    """Whether a message's body is looked at."""
    return (
        kind == CLIENT_HELLO
        or kind == SERVER_HELLO
        or kind == OLD_RETRY
        or kind == KEY_EXCHANGE
        or kind == NEW_TICKET
        or kind == CERTIFICATE
        or kind == CERTIFICATE_STATUS
        or kind == CERTIFICATE_VERIFY
        or kind == CLIENT_KEY_EXCHANGE
    )


@part
def take_message(
    memory: Memory,
    handshake: HandshakeRow,
    direction: int,
    packet: PacketRow,
    kind: int,
    size: int,
    have: int,
    segments: int,
) -> None:
    """A message of ``size`` bytes, its body in ``scratch`` if it is one of ``is_read``.

    ``have`` of them are there: all, but of a hello or a Certificate that the capture has only the beginning of. A Certificate
    that is longer than LARGEST_READ is not in ``scratch``, and joined by ``long_messages``.
    """
    if kind == CLIENT_HELLO:
        take_client_hello(memory, handshake, direction, packet, size, have, segments)
    elif kind == SERVER_HELLO or kind == OLD_RETRY:
        take_server_hello(memory, handshake, direction, packet, size, have, kind == OLD_RETRY)
    elif have < size:
        if kind == CERTIFICATE and direction != handshake.client_side:
            handshake.seen |= SEEN_CERTIFICATE_CUT
    else:
        note_message(memory, handshake, direction, kind, size)


@kernel(Memory, Layout(HANDSHAKE), Layout(PACKET), int, int, int, int)
def read_message(
    memory: Memory, handshakes: HandshakeRows, packets: PacketRows, direction: int, kind: int, size: int, have: int
) -> int:
    """A message that was put together elsewhere (QUIC, DTLS), its body in ``scratch``, for the first handshake.

    ``have`` of its ``size`` bytes are there.

    ``packets[0]``: frame and time; ``kind`` may be CHANGE_CIPHER. Returns nothing of meaning.
    """
    handshake = handshakes[0]
    if kind != CHANGE_CIPHER:
        take_message(memory, handshake, direction, packets[0], kind, size, have, np.int64(0))
        return 0
    letter(handshake, direction, np.int64(LETTER_OF_CCS))
    if direction != handshake.client_side and not handshake.seen & SEEN_SERVER_CCS:
        note_sessions(memory, handshake)
    handshake.seen |= SEEN_CLIENT_CCS if direction == handshake.client_side else SEEN_SERVER_CCS
    return 0
