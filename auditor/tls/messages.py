"""What is noted of a handshake when its messages are read."""

from typing import Any

import numpy as np

from auditor.decode.packet import PACKET
from auditor.flows.intern import hash_bytes, intern
from auditor.flows.state import (
    FREE_HANDSHAKE,
    HANDSHAKE,
    HISTORY,
    SEEN_CERTIFICATE,
    SEEN_CERTIFICATE_REQUEST,
    SEEN_CERTIFICATE_VERIFY,
    SEEN_CLIENT_CCS,
    SEEN_CLIENT_CERTIFICATE,
    SEEN_CLIENT_HELLO,
    SEEN_CLIENT_INVALID,
    SEEN_HELLO_DONE,
    SEEN_KEY_EXCHANGE,
    SEEN_NEW_TICKET,
    SEEN_ORIGINAL,
    SEEN_RETRY,
    SEEN_SECOND_HELLO,
    SEEN_SERVER_CCS,
    SEEN_SERVER_HELLO,
    SEEN_SERVER_INVALID,
    SEEN_SERVER_SESSION,
    SEEN_SESSION_ECHO,
    SEEN_TICKET_OFFER,
    UNKNOWN_SIDE,
    WINDOW,
    Memory,
)
from auditor.machine.kernel import inlined, kernel, part
from auditor.machine.signature import Layout
from auditor.recognise.numbers import TLS, UNKNOWN
from auditor.tls.hello_kernels import client_hello, server_hello, server_key_exchange

CLIENT_HELLO, SERVER_HELLO, NEW_TICKET, OLD_RETRY, CERTIFICATE, KEY_EXCHANGE, HELLO_DONE = 1, 2, 4, 6, 11, 12, 14
CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CERTIFICATE_STATUS = 13, 15, 22
CHANGE_CIPHER = 256  # stands for ChangeCipherSpec where messages are numbered
NOTHING_SEEN = 255
LARGEST_READ = WINDOW // 2  # of a message whose body is read
# The letters of Zeek's ssl_history, by handshake type; capitals are the client's.
LETTERS = {0: "H", 1: "C", 2: "S", 3: "V", 4: "T", 5: "E", 6: "J", 8: "O", 11: "X", 12: "K", 13: "R", 14: "N"}
LETTERS |= {15: "Y", 16: "G", 20: "F", 21: "W", 22: "U", 23: "A", 24: "P", 254: "M"}
_LETTER_CODES = np.array([ord(LETTERS.get(kind, "Z")) for kind in range(256)], np.uint8)
LETTER_C, LETTER_S = ord("C"), ord("S")
LETTER_OF_RETRY, LETTER_OF_CCS, LETTER_OF_ALERT, LETTER_OF_HEARTBEAT = ord("J"), ord("I"), ord("L"), ord("B")


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


@kernel(Memory, Layout(HANDSHAKE), Layout(PACKET), int, int, int)
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
