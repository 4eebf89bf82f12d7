"""All that the flow kernels remember, as arrays, and how these arrays grow.

The kernels never allocate: they stop before the packet for which there might be no room, and Python makes room.
"""

from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes
from auditor.decode.packet import PACKET
from auditor.flows.exchange import ANSWER, NAMING, RESUMING
from auditor.flows.intern import Buckets, Entries
from auditor.machine.blank import blank
from auditor.machine.signature import BYTES, NUMBERS, Layout

Array = np.ndarray[Any, Any]

# --- one flow, and one side (direction) of it; side 0 is the one whose packet came first
FLOW = np.dtype(
    [
        ("a_high", "u8"),
        ("a_low", "u8"),
        ("b_high", "u8"),
        ("b_low", "u8"),
        ("a_port", "u2"),
        ("b_port", "u2"),
        ("ip_protocol", "u1"),
        ("live", "u1"),  # FREE, LIVE or FINISHED
        ("client", "u1"),  # the client's side, or UNKNOWN_SIDE
        ("application", "u1"),  # see recognise.numbers
        ("closed", "u1"),  # bits: CLOSED; WAITED, of finished flows, where the capture went on without them
        ("upgrade", "u1"),  # bits, see UPGRADE_OFFERED and those behind it
        ("answer", "u1"),  # what answered a ClientHello instead of TLS, see recognise.numbers; of SSH see tls.ssh
        ("clear", "u1"),  # what was spoken in clear after TLS began, likewise
        ("before", "u1"),  # what each side said in clear before TLS, see recognise.commands: side 0 has the low bits
        ("bucket", "i4"),
        ("next", "i4"),
        ("handshake", "i4"),
        ("host", "i4"),  # HTTP Host of the first request, interned; 0 for none
        ("vpc_endpoint", "i4"),  # id that a PROXY header gave, interned; 0 for none
        ("dns", "i4"),  # name that a DNS answer gave the server, interned
        ("dns_back", "i4"),  # the same if the server is side 0
        ("dns_shared", "u1"),  # bits of both: the answer went to another client, as a resolver between would have it
        ("datagram", "i4"),  # the last of the datagrams that were kept, -1 for none
        ("datagrams", "i4"),  # how many were kept
        ("kept", "i4"),  # their bytes
        ("place", "i4"),  # the last of the positions that were noted besides the sides' first ones, -1 for none
        ("number", "i8"),  # of its first packet among all, from 1
        ("asks", "i8"),  # twice the number of what it asks the DNS, where that is answered later; odd: from side 1
        ("identifier", "i8"),  # made of what the flow is, see ``table.identified``
        ("started", "i8"),
        ("ended", "i8"),
        ("touched", "i8"),  # clock of the last packet
        ("syn_time", "i8"),
        ("syn_ack_time", "i8"),
        ("round_trip", "i8"),  # nanoseconds; -1 unknown
    ]
)
RIVALS = 3
SIDE = np.dtype(
    [
        ("packets", "i8"),
        ("bytes", "i8"),
        ("payload", "i8"),
        ("source_mac", "u8"),
        ("target_mac", "u8"),
        ("vlans", "u8"),
        ("tunnel", "u8"),
        ("outer_tunnel", "u8"),
        ("last_frame", "i8"),  # the last packet at the position of the first one
        ("last_time", "i8"),
        ("interface", "i4"),
        ("shims", "u1"),
        ("initial_sequence", "u4"),  # of the SYN, or of the first segment
        ("next_sequence", "u4"),  # behind the last byte sent, while handshakes are followed
        ("acknowledged", "u4"),  # the highest number that this side acknowledged, likewise
        ("fin_sequence", "u4"),  # of its FIN
        ("repeat_frame", "i8"),  # first segment that was sent again
        ("stream", "i4"),  # its place among STREAM rows, of which the first is none; 0 for none
        ("repeats", "u2"),  # segments sent again, while handshakes are followed
        ("ttl", "u1"),  # of its first packet
        ("state", "u1"),  # NEW, ACTIVE, DONE
        *(("tcp_flags", "u1"), ("syn", "u1")),  # every flag seen; whether its SYN was
        *(("rivals", "u1"), ("rival", "u4", (RIVALS,))),  # how many SYNs of other numbers came, and which: ``syns``
        ("settled", "u1"),  # the other side's acknowledgement says which of them counts
        ("lost", "u1"),  # bytes that mattered are missing: LOST, NO_ROOM or NOT_KEPT
        ("protected", "u1"),  # bits: under whose keys packets were seen, see BY_*
        *(("border", "u4"), ("heading", "u1"), ("length", "u1")),  # see ``tls.borders``
    ]
)
# What is written once for a side, apart from what every packet touches: which way it went, and how it ended.
WAY = np.dtype(
    [
        ("first_frame", "i8"),
        ("first_time", "i8"),
        ("outer_source", "u8"),  # addresses around the outermost tunnel, see PACKET
        ("outer_target", "u8"),
        ("outer_source_mac", "u8"),
        ("outer_target_mac", "u8"),
        ("gwlb_endpoint", "u8"),
        ("gwlb_attachment", "u8"),
        ("copies", "i8"),  # frames at the first position that show a packet for the second time
        ("elsewhere", "i8"),  # frames at positions of which none is kept, and the first of them
        ("elsewhere_frame", "i8"),
        ("reset_frame", "i8"),
        ("spi", "u4"),  # of the IPsec association of its first packet
        ("mss", "u2"),  # its SYN's option
        ("reset_ttl", "u1"),
        ("vlan_count", "u1"),
        ("outer_vlan_count", "u1"),
    ]
)
# A position where packets of a side were seen, besides that of its first packet: which frames, and how many.
PLACE = np.dtype(
    [
        ("source_mac", "u8"),
        ("target_mac", "u8"),
        ("vlans", "u8"),
        ("tunnel", "u8"),
        ("outer_tunnel", "u8"),
        ("outer_source", "u8"),
        ("outer_target", "u8"),
        ("outer_source_mac", "u8"),
        ("outer_target_mac", "u8"),
        ("packets", "i8"),
        ("copies", "i8"),  # frames that show a packet for the second time
        ("first_frame", "i8"),
        ("last_frame", "i8"),
        ("first_time", "i8"),
        ("last_time", "i8"),
        ("next", "i4"),
        ("interface", "i4"),
        ("side", "u1"),
        ("shims", "u1"),
        ("vlan_count", "u1"),
        ("outer_vlan_count", "u1"),
    ]
)
BOTH = np.dtype([*SIDE.descr, *WAY.descr])
FREE, LIVE, FINISHED = NEW, ACTIVE, DONE = 0, 1, 2
CLOSED, WAITED, UNKNOWN_SIDE = 1, 2, 255
# What ``lost`` of a side is, besides 0: the capture lacks bytes; there was no memory to follow it; it is more than is kept.
LOST, NO_ROOM, NOT_KEPT = 1, 2, 3
BLANK_FLOW = blank(FLOW, live=LIVE, client=UNKNOWN_SIDE, handshake=-1, datagram=-1, place=-1, round_trip=-1)
BLANK_SIDE = blank(SIDE)  # all zeros, as memory is that nobody has touched: NEW, and no stream
BLANK_WAY = blank(WAY)
UPGRADE_OFFERED, UPGRADE_ASKED, UPGRADE_REFUSED, UPGRADE_OF_LOGIN, NEGOTIATES, AGREED = 1, 2, 4, 8, 16, 32
RENEGOTIATED = 64  # of ``upgrade``: keys anew inside of TLS
# Packets of QUIC, DTLS, TLS behind TDS; an alert, which may end TLS, came last; and see ``tls.borders`` (of DTLS: whole headers)
BY_QUIC, BY_DTLS, BY_TLS, BY_ALERT, BY_RECORDS, IN_CLEAR, AFTER_RECORDS, BY_0_RTT = (1 << n for n in range(8))
# --- one direction's ordered bytes: a window of WINDOW bytes from ``origin``, kept in chunks
CHUNK_BITS = 11
CHUNK = 1 << CHUNK_BITS
WINDOW = 64 * 1024
CHUNKS_A_STREAM = WINDOW // CHUNK
SPANS = 8
MOST_HELD = 6  # a bare acknowledgement over IPv4 has 40 bytes, the smallest Ethernet frame 46 (IEEE 802.3 4.2.3.3)
STREAM = np.dtype(
    [
        ("origin", "u4"),  # sequence number of window byte 0
        ("spans", "i4"),  # how many separate stretches of bytes are there
        ("start", "i4"),  # where the stream begins in the window
        ("have", "i4"),  # end of the bytes that follow ``start`` without a gap
        ("segments", "i4"),
        ("skipped", "i4"),  # bytes of another protocol that came before
        ("recognised", "u1"),  # TLS records follow
        ("encrypted", "u1"),  # 1 behind ChangeCipherSpec, PAST_HANDSHAKE where only an end of TLS is waited for
        ("record_type", "u1"),
        ("record_at", "i4"),  # the next byte that the record layer will look at
        ("record_left", "i4"),  # bytes left of the record that it is in
        ("message_at", "i4"),  # where the handshake message began …
        ("message_record_left", "i4"),  # … and how much of its record followed there
        ("message_head", "i4"),  # how many of its four header bytes are read
        ("message_type", "u1"),
        ("message_length", "i4"),
        ("message_left", "i4"),
        ("message_noted", "i4"),  # how many bytes of a hello that is not whole were read
        ("next", "i4"),
        ("grid", "i4", (CHUNKS_A_STREAM,)),  # chunk of each part of the window, -1 for none
        ("span", "i4", (2 * SPANS,)),  # begin and end of each stretch, in order
        ("held", "u1"),  # bytes of a segment that may be an acknowledgement's padding, their number, and the bytes
        ("beyond", "u1"),  # segments behind the window since the stream last went on
        ("held_sequence", "u4"),
        ("held_bytes", "u1", (MOST_HELD,)),
    ]
)
BLANK_STREAM = blank(STREAM, grid=-1)
PAST_HANDSHAKE = 2

# --- one TLS handshake
HISTORY = 32
HANDSHAKE = np.dtype(
    [
        ("flow", "i8"),
        ("started", "i8"),
        ("next", "i4"),
        ("client_shape", "i4"),  # interned, as the next two; 0 for none
        ("server_shape", "i4"),
        ("server_name", "i4"),
        ("server_chain", "i4"),  # bodies of the Certificate messages, interned
        ("client_chain", "i4"),
        ("staple", "i4"),  # body of CertificateStatus
        ("dh_prime", "i4"),
        ("transport", "u1"),
        ("quic_version", "u4"),
        ("client_side", "u1"),
        ("upgraded", "u1"),  # protocol that was spoken before TLS; 0 for none
        ("seen", "u4"),  # bits, see SEEN_*
        ("version", "u2"),  # negotiated, from the ServerHello
        ("suite", "u2"),
        ("curve", "u2"),
        ("dh_bits", "u2"),
        ("curve_signature", "u4"),  # scheme, with ``tls.exchange_kernels.SIGNED`` beside it
        ("dh_signature", "u4"),
        ("client_signature", "u4"),  # that of the client's CertificateVerify
        ("curve_fault", "u1"),  # what is wrong with the server's public key, see tls.public_keys; in a named group …
        ("dh_fault", "u1"),  # … and as a number in a field: which of the two it is, the suite decides
        ("client_curve_fault", "u1"),
        ("client_dh_fault", "u1"),
        ("client_fault_group", "u2"),  # the group of the client's key share that is not good
        ("alert_level", "u1"),
        ("alert", "u1"),
        ("alert_side", "u1"),
        ("invalid", "u1"),  # reason, see tls.hello_faults
        ("invalid_at", "i4"),
        ("client_frame", "i8"),
        ("server_frame", "i8"),
        ("client_bytes", "i4"),
        ("client_segments", "i4"),
        ("random_high", "u8"),  # first half of the ClientHello's random: by it key logs name the session
        ("random_low", "u8"),
        ("session_high", "u8"),  # hash of the ClientHello's session id
        ("session_low", "u8"),
        ("ticket_high", "u8"),
        ("ticket_low", "u8"),
        ("server_session_high", "u8"),
        ("server_session_low", "u8"),
        ("new_ticket_high", "u8"),
        ("new_ticket_low", "u8"),
        ("asks", "i8"),  # number of what it asks of sessions, where that is answered later; 0 for none
        ("history_length", "i4"),
        ("history", "u1", (HISTORY,)),
    ]
)
NO_ALERT = 255  # 0 is close_notify
BLANK_HANDSHAKE = blank(HANDSHAKE, alert=NO_ALERT)
(
    SEEN_CLIENT_HELLO,
    SEEN_SERVER_HELLO,
    SEEN_RETRY,
    SEEN_CLIENT_CCS,
    SEEN_SERVER_CCS,
    SEEN_CLIENT_FINISHED,  # an encrypted handshake record after ChangeCipherSpec
    SEEN_SERVER_FINISHED,
    SEEN_CLIENT_DATA,
    SEEN_SERVER_DATA,
    SEEN_CERTIFICATE,
    SEEN_KEY_EXCHANGE,
    SEEN_HELLO_DONE,
    SEEN_NEW_TICKET,
    SEEN_SSL2,  # the ClientHello has the format of SSL 2.0
    SEEN_SSL2_SERVER,
    SEEN_SESSION_ECHO,  # the ServerHello's session id is the ClientHello's
    SEEN_TICKET_OFFER,
    SEEN_ORIGINAL,  # the handshake that this one resumes was seen in the capture
    SEEN_CLIENT_INVALID,
    SEEN_SERVER_INVALID,
    SEEN_SECOND_HELLO,
    SEEN_EARLY_DATA,
    SEEN_CLIENT_SHORT,  # TLS 1.3: the first record after the ServerHello can only be an alert
    SEEN_SERVER_SESSION,  # the ServerHello names a session
    SEEN_CLIENT_CERTIFICATE,
    SEEN_CERTIFICATE_VERIFY,  # the client's, in clear
    SEEN_CERTIFICATE_REQUEST,
    SEEN_CLIENT_CUT,  # the capture has only the beginning of the ClientHello, or it is too long to be read
    SEEN_SERVER_CUT,
    SEEN_CERTIFICATE_CUT,
    SEEN_NO_CCS,  # a side sent application data without ChangeCipherSpec before it
) = (1 << n for n in range(31))
# ``transport``; the last: another protocol's messages, not on TCP
OVER_TCP, OVER_DTLS, OVER_QUIC, OVER_OTHER = range(4)

# --- datagrams of QUIC and DTLS handshakes, kept until their flow ends: they are put together in Python
# Bytes are interned; is_cut: the capture lacks an end of it; message: of which type they are a part, 0 for datagrams and pieces.
DATAGRAM = np.dtype([
    ("frame", "i8"), ("time", "i8"), ("bytes", "i4"), ("next", "i4"), ("side", "u1"), ("is_cut", "u1"), ("message", "u1"),
])  # fmt: skip

# --- counters
(
    PACKETS, DUPLICATES, WIRE_BYTES, FIRST_TIME, LAST_TIME, NOT_IP_PACKETS, OTHER_IP_PACKETS,
    CUT_PACKETS, MALFORMED_PACKETS, ENCRYPTED_PACKETS, SHORT_PACKETS, DROPPED_SEGMENTS, RETRANSMITTED,
    EXPORTS,  # flows of sFlow, NetFlow or IPFIX
    WINDOW_EXCEEDED,
    FREE_FLOW,  # the first of a chain of free places, -1 for none; the next four likewise
    FREE_STREAM, FREE_HANDSHAKE, FREE_DATAGRAM, FREE_PLACE,
    FREE_CHUNKS,  # height of the stack ``free_chunks``
    FINISHED_FLOWS,
    CLOCK,
    CLOCK_SHIFT,
    NEXT_SWEEP,
    SWEEP_AT,
    SWEPT,  # the clock when flows that are over were last looked for
    ANSWERS_KEPT,
    SUPPLICANT,  # the end that last answered in EAP over LAN
    FLOW_PLACES,  # how many places of the arrays are in use or chained as free; the rest was never touched
    STREAM_PLACES,
    HANDSHAKE_PLACES,
    DATAGRAM_PLACES,
    POSITION_PLACES,
    CHUNK_PLACES,
    EVICTED_FLOWS,  # ended early, because there was no room
    FORGOTTEN_ANSWERS,  # of the DNS, likewise
    KEPT_BYTES,  # interned bytes that were left when numbers were last given out anew
    SHARES, SHARE,  # where only some flows are followed: of how many shares which one, see ``shares``
    BY_HOSTS,  # whether all flows of two hosts are in one share
    EXCHANGED_AT,  # number of the packet, or of the flow, that states or asks something
    NAMINGS, RESUMINGS,  # rows in use
    NAMES_ASKED, SESSIONS_ASKED,
    COUNTERS,
) = range(47)  # fmt: skip

# --- what kernels take: a record (its fields are attributes, in compiled code and in plain Python), or many
FlowRow: TypeAlias = Any
SideRow: TypeAlias = Any
WayRow: TypeAlias = Any
StreamRow: TypeAlias = Any
HandshakeRow: TypeAlias = Any
FlowRows: TypeAlias = NDArray[Any]
SideRows: TypeAlias = NDArray[Any]
WayRows: TypeAlias = NDArray[Any]
StreamRows: TypeAlias = NDArray[Any]
HandshakeRows: TypeAlias = NDArray[Any]
DatagramRows: TypeAlias = NDArray[Any]
PlaceRow: TypeAlias = Any
PlaceRows: TypeAlias = NDArray[Any]
AnswerRows: TypeAlias = NDArray[Any]
Counters: TypeAlias = NDArray[np.int64]
Tallies: TypeAlias = NDArray[np.int64]  # (capture, counter)
Sessions: TypeAlias = NDArray[np.uint64]
NamingRows: TypeAlias = NDArray[Any]
ResumingRows: TypeAlias = NDArray[Any]


class Memory(NamedTuple):
    """What streams and handshakes are kept in."""

    counters: Annotated[Counters, NUMBERS]
    chunks: Annotated[NDArray[np.uint8], Layout(np.uint8, 2)]  # (chunk, byte)
    free_chunks: Annotated[NDArray[np.int32], Layout(np.int32)]
    arena: Annotated[Bytes, BYTES]  # interned bytes, see ``intern``
    entries: Annotated[Entries, Layout(np.int64, 2)]
    intern_buckets: Annotated[Buckets, Layout(np.int32)]
    scratch: Annotated[Bytes, BYTES]  # a message, its shape from SHAPE_AT on, and a place to work in from WORK_AT on
    sessions: Annotated[Sessions, Layout(np.uint64, 2)]  # sessions and tickets whose first handshake was seen
    datagrams: Annotated[DatagramRows, Layout(DATAGRAM)]
    places: Annotated[PlaceRows, Layout(PLACE)]
    keys: Annotated[NDArray[np.uint64], Layout(np.uint64)]  # the secret of hashes, see ``keyed``
    tallies: Annotated[Tallies, Layout(np.int64, 2)]  # what is counted of each capture
    namings: Annotated[NamingRows, Layout(NAMING)]  # what flows state and ask flows of other shares, see ``exchange``
    resumings: Annotated[ResumingRows, Layout(RESUMING)]


class State(NamedTuple):
    """The arrays of a pass over a capture."""

    memory: Memory
    flows: Annotated[FlowRows, Layout(FLOW)]
    sides: Annotated[SideRows, Layout(SIDE)]  # two for each flow, see ``sides``
    ways: Annotated[WayRows, Layout(WAY)]  # likewise
    buckets: Annotated[Buckets, Layout(np.int32)]
    streams: Annotated[StreamRows, Layout(STREAM)]
    handshakes: Annotated[HandshakeRows, Layout(HANDSHAKE)]
    answers: Annotated[AnswerRows, Layout(ANSWER)]
    finished: Annotated[NDArray[np.int32], Layout(np.int32)]  # places of the flows that wait to be taken out


LONGEST_HELLO = 131_652  # bytes, each field as long as it can be, DTLS's cookie too (RFC 8446 4.1.2, RFC 6347 4.2.1)
SHAPE_AT, WORK_AT, SCRATCH = LONGEST_HELLO + 16, 2 * (LONGEST_HELLO + 16), 2 * (LONGEST_HELLO + 16) + 1024
ROOM_CHUNKS = CHUNKS_A_STREAM + 2  # what one packet can need at most


def packets(count: int) -> Array:
    """``count`` packets as the decoder fills them in."""
    return records(count, PACKET)


def records(count: int, dtype: Any) -> Array:
    """``count`` zeroed records whose fields are attributes, in compiled code and in plain Python."""
    return np.zeros(count, dtype).view(np.recarray)


def chain(array: Array, first: int, last: int) -> int:
    """Chain the places from ``first`` to ``last - 1``, lowest first; the head."""
    array["next"][first:last] = np.arange(first + 1, last + 1)
    array["next"][last - 1] = -1
    return first
