"""The TLS record layer and the handshake messages in it (RFC 8446 5, RFC 5246 6.2), followed as bytes come in.

Works on one side's ordered stream. Message bodies are gathered only of messages that are read; certificates and all
that is encrypted are stepped over.
"""

from typing import Any

import numpy as np

from auditor.flows.intern import hash_bytes, intern
from auditor.flows.state import (
    FREE_HANDSHAKE,
    HISTORY,
    SEEN_CERTIFICATE,
    SEEN_CERTIFICATE_REQUEST,
    SEEN_CERTIFICATE_VERIFY,
    SEEN_CLIENT_CCS,
    SEEN_CLIENT_CERTIFICATE,
    SEEN_CLIENT_DATA,
    SEEN_CLIENT_FINISHED,
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
    SEEN_SERVER_DATA,
    SEEN_SERVER_FINISHED,
    SEEN_SERVER_HELLO,
    SEEN_SERVER_INVALID,
    SEEN_SERVER_SESSION,
    SEEN_SESSION_ECHO,
    SEEN_SSL2,
    SEEN_SSL2_SERVER,
    SEEN_TICKET_OFFER,
    UNKNOWN_SIDE,
    WINDOW,
)
from auditor.flows.stream import peek, peek16, read, release, slide
from auditor.kernel import inlined, kernel, part
from auditor.tls.hello_kernels import (
    NO_RECORD,
    TOO_LONG,
    client_hello,
    server_hello,
    server_key_exchange,
    ssl2_client_hello,
    ssl2_server_hello,
)

UNKNOWN, TLS, QUIC, DTLS = 0, 1, 9, 10  # applications; the others are in ``protocols``
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE_RECORD, APPLICATION_DATA, HEARTBEAT = 20, 21, 22, 23, 24
LARGEST_RECORD = 16384 + 2048  # RFC 5246 6.2.3; TLS 1.3 allows less
CLIENT_HELLO, SERVER_HELLO, NEW_TICKET, OLD_RETRY, CERTIFICATE, KEY_EXCHANGE, HELLO_DONE = 1, 2, 4, 6, 11, 12, 14
CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CERTIFICATE_STATUS = 13, 15, 22
CHANGE_CIPHER = 256  # stands for ChangeCipherSpec where messages are numbered
NOTHING_SEEN = 255
LARGEST_READ = WINDOW // 2  # of a message whose body is read
FATAL = 2

# The letters of Zeek's ssl_history, by handshake type; capitals are the client's.
LETTERS = {0: "H", 1: "C", 2: "S", 3: "V", 4: "T", 5: "E", 6: "J", 8: "O", 11: "X", 12: "K", 13: "R", 14: "N"}
LETTERS |= {15: "Y", 16: "G", 20: "F", 21: "W", 22: "U", 23: "A", 24: "P", 254: "M"}
_LETTER_CODES = np.array([ord(LETTERS.get(kind, "Z")) for kind in range(256)], np.uint8)
LETTER_C, LETTER_S = ord("C"), ord("S")
LETTER_OF_RETRY, LETTER_OF_CCS, LETTER_OF_ALERT, LETTER_OF_HEARTBEAT = ord("J"), ord("I"), ord("L"), ord("B")

# What ``next_event`` stops at.
NOTHING, MORE_BYTES, RECORD, HELLO_BEGINS, MESSAGE, PLAIN_ALERT, BROKEN, TOO_MUCH = range(8)

# How a stream begins.
WAIT, TLS_RECORDS, TLS_MIDDLE, SSL2_CLIENT, SSL2_SERVER, NOT_TLS = 0, 1, 2, 3, 4, 5


@part
def ssl2_record(m: Any, stream: Any, at: int, have: int) -> int:
    """Whether an SSL 2.0 hello begins here: a two-byte header whose lengths all agree."""
    if have < 11:
        return WAIT
    length = (peek16(m, stream, at)) & 0x7FFF
    kind = peek(m, stream, at + 2)
    version = peek16(m, stream, at + 3)
    if kind == 1:
        if version != 2 and (version < 0x300 or version > 0x304):
            return NOT_TLS
        suites, session, challenge = (
            peek16(m, stream, at + 5),
            peek16(m, stream, at + 7),
            peek16(m, stream, at + 9),
        )
        if 9 + suites + session + challenge != length or suites % 3 or suites == 0:
            return NOT_TLS
        if (session != 0 and session != 16) or challenge < 16 or challenge > 32:
            return NOT_TLS
        return SSL2_CLIENT if have >= length + 2 else WAIT
    if kind == 4:
        if have < 13:
            return WAIT
        if peek16(m, stream, at + 5) != 2 or peek(m, stream, at + 3) > 1 or peek(m, stream, at + 4) > 2:
            return NOT_TLS
        certificate, suites, connection = (
            peek16(m, stream, at + 7),
            peek16(m, stream, at + 9),
            peek16(m, stream, at + 11),
        )
        if 11 + certificate + suites + connection != length or suites % 3:
            return NOT_TLS
        return SSL2_SERVER
    return NOT_TLS


@part
def how_it_begins(m: Any, stream: Any) -> int:
    """What the first bytes of a stream are; WAIT if more are needed to tell."""
    at = np.int64(stream.start)
    have = stream.have - stream.start
    if have < 1:
        return WAIT
    first = peek(m, stream, at)
    if first & 0x80:
        return ssl2_record(m, stream, at, have)
    if first < CHANGE_CIPHER_SPEC or first > APPLICATION_DATA:
        return NOT_TLS
    if have < 2:
        return WAIT
    if peek(m, stream, at + 1) != 3:
        return NOT_TLS
    if have < 6:
        return WAIT
    length = peek16(m, stream, at + 3)
    if peek(m, stream, at + 2) > 4 or length > LARGEST_RECORD or length == 0:
        return NOT_TLS
    if first != HANDSHAKE_RECORD:
        return TLS_RECORDS if first == ALERT and length == 2 else TLS_MIDDLE
    kind = peek(m, stream, at + 5)
    if kind != CLIENT_HELLO and kind != SERVER_HELLO and kind != OLD_RETRY and kind != 0:
        return TLS_MIDDLE if length >= 32 and kind > 24 else NOT_TLS
    if length < 6:
        return TLS_RECORDS  # a message in pieces; what is in it shows when it is whole
    if have < 11:
        return WAIT
    major = peek(m, stream, at + 9)
    body = (peek(m, stream, at + 6) << 16) | peek16(m, stream, at + 7)
    if kind == 0:
        return TLS_RECORDS
    if body > WINDOW or (major != 3 and (kind == CLIENT_HELLO or major != 0x7F)):
        return NOT_TLS
    return TLS_RECORDS


@part
def begin_handshake(c: Any, flow: Any, h: Any, client: int, packet: Any) -> None:
    """Make ``h`` the flow's handshake. It is that already, or the first of the free chain. ``client``: its side."""
    if flow.handshake >= 0:
        return
    flow.handshake = c[FREE_HANDSHAKE]
    c[FREE_HANDSHAKE] = h.next
    h.flow = flow.identifier
    h.started = packet.time
    h.client_shape = 0
    h.server_shape = 0
    h.server_name = 0
    h.server_chain = 0
    h.client_chain = 0
    h.staple = 0
    h.dh_prime = 0
    h.transport = 0
    h.quic_version = 0
    h.client_side = client
    h.upgraded = flow.application if flow.application != TLS else UNKNOWN
    h.seen = 0
    flow.application = TLS
    h.version = 0
    h.suite = 0
    h.curve = 0
    h.dh_bits = 0
    h.curve_signature = 0
    h.dh_signature = 0
    h.alert_level = 0
    h.alert = NOTHING_SEEN
    h.alert_side = 0
    h.invalid = 0
    h.invalid_at = 0
    h.client_frame = 0
    h.server_frame = 0
    h.client_bytes = 0
    h.client_segments = 0
    h.random_high = 0
    h.random_low = 0
    h.session_high = 0
    h.session_low = 0
    h.ticket_high = 0
    h.ticket_low = 0
    h.server_session_high = 0
    h.server_session_low = 0
    h.new_ticket_high = 0
    h.new_ticket_low = 0
    h.history_length = 0
    if flow.client == UNKNOWN_SIDE:
        flow.client = h.client_side


@part
def letter(h: Any, k: int, capital: int) -> None:
    if h.history_length < HISTORY:
        h.history[h.history_length] = capital if k == h.client_side else capital + 32
        h.history_length += 1


@part
def remember_session(sessions: Any, high: Any, low: Any) -> None:
    """A session or ticket whose full handshake was in the capture. Direct-mapped: the newest stays."""
    slot = int(low & np.uint64(sessions.shape[0] - 1))
    sessions[slot, 0] = high
    sessions[slot, 1] = low


@part
def knows_session(sessions: Any, high: Any, low: Any) -> bool:
    slot = int(low & np.uint64(sessions.shape[0] - 1))
    return sessions[slot, 0] == high and sessions[slot, 1] == low and (high != 0 or low != 0)


@part
def note_sessions(sessions: Any, h: Any) -> None:
    """At the server's ChangeCipherSpec: remember a full handshake's sessions, or look up what is resumed."""
    if h.seen & (SEEN_CERTIFICATE | SEEN_KEY_EXCHANGE | SEEN_HELLO_DONE):
        if h.seen & SEEN_SERVER_SESSION:
            remember_session(sessions, h.server_session_high, h.server_session_low)
        if h.seen & SEEN_NEW_TICKET:
            remember_session(sessions, h.new_ticket_high, h.new_ticket_low)
        return
    if h.seen & SEEN_SESSION_ECHO and knows_session(sessions, h.session_high, h.session_low):
        h.seen |= SEEN_ORIGINAL
    if h.seen & SEEN_TICKET_OFFER and knows_session(sessions, h.ticket_high, h.ticket_low):
        h.seen |= SEEN_ORIGINAL
        if h.seen & SEEN_NEW_TICKET:  # a renewed ticket carries the first handshake's keys on
            remember_session(sessions, h.new_ticket_high, h.new_ticket_low)


@part
def note_client_hello(h: Any, packet: Any, size: int, segments: int, valid: bool) -> None:
    h.seen |= SEEN_CLIENT_HELLO if valid else SEEN_CLIENT_INVALID
    h.client_frame = packet.frame
    h.client_bytes = size
    h.client_segments = segments


@part
def note_server_hello(h: Any, k: int, packet: Any, retried: bool, valid: bool) -> None:
    """``retried``: a HelloRetryRequest was seen before this message."""
    if valid and h.seen & SEEN_RETRY and not retried:
        letter(h, k, np.int64(LETTER_OF_RETRY))
        if h.server_frame == 0:
            h.server_frame = packet.frame
        return
    letter(h, k, np.int64(LETTER_S))
    h.seen |= SEEN_SERVER_HELLO if valid else SEEN_SERVER_INVALID
    h.server_frame = packet.frame


@part
def keep(m: Any, size: int) -> int:
    """Intern the message in ``scratch``."""
    return intern(m.arena, m.entries, m.intern_buckets, m.scratch, np.int64(0), size)


@part
def note_message(m: Any, h: Any, k: int, kind: int, size: int) -> None:
    """A handshake message that is no hello; its body is in ``scratch`` if it is one of ``is_read``."""
    letter(h, k, np.int64(_LETTER_CODES[kind]))
    if k == h.client_side:
        if kind == CERTIFICATE and size > 3:
            h.seen |= SEEN_CLIENT_CERTIFICATE
            if size <= LARGEST_READ:
                h.client_chain = keep(m, size)
        elif kind == CERTIFICATE_VERIFY:
            h.seen |= SEEN_CERTIFICATE_VERIFY
        return
    if kind == CERTIFICATE:
        h.seen |= SEEN_CERTIFICATE
        if h.server_chain == 0 and size <= LARGEST_READ:
            h.server_chain = keep(m, size)
    elif kind == CERTIFICATE_STATUS:
        h.staple = keep(m, size)
    elif kind == CERTIFICATE_REQUEST:
        h.seen |= SEEN_CERTIFICATE_REQUEST
    elif kind == HELLO_DONE:
        h.seen |= SEEN_HELLO_DONE
    elif kind == KEY_EXCHANGE:
        h.seen |= SEEN_KEY_EXCHANGE
        server_key_exchange(m, h, m.scratch, size)
    elif kind == NEW_TICKET and size > 6:
        # RFC 5077 3.3: lifetime(4), length(2), ticket.
        h.seen |= SEEN_NEW_TICKET
        h.new_ticket_high = hash_bytes(m.scratch, np.int64(6), size)
        h.new_ticket_low = hash_bytes(m.scratch, 6 + (size - 6) // 2, size)


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
    )


@part
def gather(m: Any, stream: Any, size: int) -> None:
    """Copy a message's body, which may lie in several records, to ``scratch``."""
    at = int(stream.message_at)
    left = int(stream.message_record_left)
    skip = 4
    done = 0
    while done < size:
        if left == 0:
            kind = peek(m, stream, at)
            left = peek16(m, stream, at + 3)
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
            read(m, stream, at, step, done)
            done += step
        at += step
        left -= step


@part
def record_begins(m: Any, flow: Any, stream: Any, h: Any, k: int) -> bool:
    """Note a record by its header alone. True: nothing that follows on this side matters."""
    if flow.handshake < 0:
        return bool(stream.record_type == APPLICATION_DATA)
    is_client = k == h.client_side
    kind = stream.record_type
    if kind == CHANGE_CIPHER_SPEC:
        letter(h, k, np.int64(LETTER_OF_CCS))
        if not is_client and not h.seen & SEEN_SERVER_CCS:
            note_sessions(m.sessions, h)
        h.seen |= SEEN_CLIENT_CCS if is_client else SEEN_SERVER_CCS
        stream.encrypted = 1
        return False
    if kind == HANDSHAKE_RECORD and stream.encrypted:
        # After a HelloRetryRequest, ChangeCipherSpec is a dummy and the second hellos are plain (RFC 8446 D.4).
        if h.seen & SEEN_RETRY:
            plain = not h.seen & SEEN_SECOND_HELLO if is_client else not h.seen & SEEN_SERVER_HELLO
            if plain:
                stream.encrypted = 0
                return False
        h.seen |= SEEN_CLIENT_FINISHED if is_client else SEEN_SERVER_FINISHED
        return True
    if kind == APPLICATION_DATA:
        if is_client:
            if not h.seen & SEEN_SERVER_HELLO:
                h.seen |= SEEN_EARLY_DATA
                return False
            if not h.seen & SEEN_CLIENT_DATA and stream.record_left < 24:
                h.seen |= SEEN_CLIENT_SHORT  # a Finished has 32 bytes or more: this can only be an alert
            h.seen |= SEEN_CLIENT_DATA
        else:
            h.seen |= SEEN_SERVER_DATA
        return True
    if kind == HEARTBEAT:
        letter(h, k, np.int64(LETTER_OF_HEARTBEAT))
    return False


@part
def alert(m: Any, flow: Any, stream: Any, h: Any, k: int) -> bool:
    """A plain alert. True: it ends the connection."""
    level = peek(m, stream, stream.record_at - 2)
    description = peek(m, stream, stream.record_at - 1)
    if flow.handshake < 0:
        return True
    letter(h, k, np.int64(LETTER_OF_ALERT))
    h.alert_level = level
    h.alert = description
    h.alert_side = k
    return bool(level == FATAL or description == 0)


@part
def step_in_message(m: Any, stream: Any, available: int) -> int:
    """Go on in plain handshake messages by up to ``available`` bytes: NOTHING, HELLO_BEGINS, MESSAGE or TOO_MUCH."""
    if stream.message_left == 0:
        first = stream.message_head == 0
        byte = peek(m, stream, np.int64(stream.record_at))
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
        if stream.message_length > LARGEST_READ and is_read(np.int64(stream.message_type)):
            if stream.message_type != CERTIFICATE:
                return TOO_MUCH
        stream.message_left = stream.message_length
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
def next_event(m: Any, stream: Any) -> int:
    """Read records as far as the stream goes without a gap, up to what somebody must look at."""
    while True:
        at = np.int64(stream.record_at)
        if stream.record_left == 0:
            if stream.have - at < 5:
                return MORE_BYTES
            kind = peek(m, stream, at)
            length = peek16(m, stream, at + 3)
            if kind < CHANGE_CIPHER_SPEC or kind > HEARTBEAT or peek(m, stream, at + 1) != 3 or length > LARGEST_RECORD:
                return BROKEN
            stream.record_type = kind
            stream.record_left = length
            stream.record_at = at + 5
            return RECORD
        available = min(np.int64(stream.have) - at, np.int64(stream.record_left))
        if available <= 0:
            return MORE_BYTES
        if stream.record_type == HANDSHAKE_RECORD and not stream.encrypted:
            event = step_in_message(m, stream, available)
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
def take_message(m: Any, h: Any, k: int, packet: Any, kind: int, size: int, segments: int) -> None:
    """A whole message, its body in ``scratch`` if it is one of ``is_read``."""
    if kind == CLIENT_HELLO:
        if h.seen & (SEEN_CLIENT_HELLO | SEEN_CLIENT_INVALID):
            letter(h, k, np.int64(LETTER_C))
            if h.seen & SEEN_RETRY:
                h.seen |= SEEN_SECOND_HELLO
            return
        if h.seen == 0:
            h.client_side = k
        letter(h, k, np.int64(LETTER_C))
        valid = client_hello(m, h, m.scratch, size)
        note_client_hello(h, packet, size + 4, segments, valid)
    elif kind == SERVER_HELLO or kind == OLD_RETRY:
        if h.seen & SEEN_SERVER_HELLO:
            letter(h, k, np.int64(LETTER_S))
            return
        retried = h.seen & SEEN_RETRY != 0
        valid = server_hello(m, h, m.scratch, size, kind == OLD_RETRY)
        note_server_hello(h, k, packet, retried, valid)
    else:
        note_message(m, h, k, kind, size)


@part
def message(m: Any, flow: Any, stream: Any, h: Any, k: int, packet: Any) -> None:
    """A handshake message is whole: read it, or only note that it was there."""
    kind = np.int64(stream.message_type)
    size = np.int64(stream.message_length)
    if is_read(kind) and size <= LARGEST_READ:
        gather(m, stream, size)
    if (kind == SERVER_HELLO or kind == OLD_RETRY) and flow.handshake < 0:
        begin_handshake(m.counters, flow, h, 1 - k, packet)
    if flow.handshake >= 0:
        take_message(m, h, k, packet, kind, size, np.int64(stream.segments))


@kernel
def read_message(m: Any, handshakes: Any, packets: Any, k: int, kind: int, size: int) -> int:
    """A message that was put together elsewhere (QUIC, DTLS), its body in ``scratch``, for the first handshake.

    ``packets[0]``: frame and time; ``kind`` may be CHANGE_CIPHER. Returns nothing of meaning.
    """
    h = handshakes[0]
    if kind != CHANGE_CIPHER:
        take_message(m, h, k, packets[0], kind, size, np.int64(0))
        return 0
    letter(h, k, np.int64(LETTER_OF_CCS))
    if k != h.client_side and not h.seen & SEEN_SERVER_CCS:
        note_sessions(m.sessions, h)
    h.seen |= SEEN_CLIENT_CCS if k == h.client_side else SEEN_SERVER_CCS
    return 0


@part
def follow_records(m: Any, flow: Any, side: Any, stream: Any, h: Any, k: int, packet: Any) -> bool:
    """Read the records that are there; give the stream back when nothing that follows matters.

    True: a handshake message is whole; the caller gives it to ``message`` and comes back. (It is not called here,
    because everything below a kernel is optimised again at each level of calls.)
    """
    while True:
        event = next_event(m, stream)
        over = False
        if event == MORE_BYTES:
            # What a message that is being gathered begins with stays; of others nothing is needed again.
            gathering = (
                stream.message_head > 0
                and is_read(np.int64(stream.message_type))
                and stream.message_length <= LARGEST_READ
            )
            keep_from = np.int64(stream.message_at if gathering else min(stream.record_at, stream.have))
            if keep_from >= WINDOW // 2:
                slide(m, stream, keep_from)
            return False
        if event == RECORD:
            over = record_begins(m, flow, stream, h, k)
        elif event == HELLO_BEGINS:
            begin_handshake(m.counters, flow, h, k if stream.message_type == CLIENT_HELLO else 1 - k, packet)
        elif event == MESSAGE:
            return True
        elif event == PLAIN_ALERT:
            over = alert(m, flow, stream, h, k)
        else:
            over = True
            if flow.handshake >= 0 and h.invalid == 0:
                h.invalid = TOO_LONG if event == TOO_MUCH else NO_RECORD
                h.invalid_at = stream.record_at - stream.start
        if over:
            release(m, side, stream)
            return False


@part
def ssl2_hello(m: Any, flow: Any, stream: Any, h: Any, k: int, packet: Any, kind: int) -> None:
    """An SSL 2.0 hello at the start of a stream; what follows a client's are records of the version it asked for."""
    is_client = kind == SSL2_CLIENT
    size = peek16(m, stream, np.int64(stream.start)) & 0x7FFF
    begin_handshake(m.counters, flow, h, k if is_client else 1 - k, packet)
    letter(h, k, np.int64(LETTER_C if is_client else LETTER_S))
    if is_client:
        read(m, stream, np.int64(stream.start) + 2, size, np.int64(0))
        if ssl2_client_hello(m, h, m.scratch, size):
            h.seen |= SEEN_CLIENT_HELLO | SEEN_SSL2
        else:
            h.seen |= SEEN_CLIENT_INVALID
        h.client_frame = packet.frame
        h.client_bytes = size
        h.client_segments = stream.segments
        stream.record_at = stream.start + 2 + size
        return
    ssl2_server_hello(m, h)
    h.seen |= SEEN_SERVER_HELLO | SEEN_SSL2_SERVER
    h.server_frame = packet.frame
