"""What a stream carries, recognised by its first bytes and never by a port."""

import numpy as np

from auditor.decode.bytes import Bytes
from auditor.decode.packet import PacketRow
from auditor.flows.intern import intern
from auditor.flows.kept import MOST_CARRIED, MOST_KEPT_BYTES, keep_datagram, keep_piece
from auditor.flows.state import (
    BY_TLS,
    PAST_HANDSHAKE,
    UNKNOWN_SIDE,
    FlowRow,
    HandshakeRow,
    Memory,
    SideRow,
    StreamRow,
)
from auditor.flows.stream import peek, read, release, skip_ahead
from auditor.machine.kernel import inlined, part
from auditor.recognise.agreements import note_agreement
from auditor.recognise.clear import HEAD, LONGEST_TYPED, note_clear, note_commands, note_upgrade
from auditor.recognise.commands import SIDE_BITS, UNSEEN, speaks_in_lines
from auditor.recognise.mysql import may_be_ssl_request, mysql_ssl_request
from auditor.recognise.numbers import (
    FTP,
    FTP_SEALED,
    MPTCP,
    MYSQL,
    OPENVPN,
    OTHER,
    PROXY,
    SOCKS,
    SSH,
    STUN,
    TDS,
    TLS,
    UNKNOWN,
)
from auditor.recognise.openings import (
    COLON,
    IS_LAST,
    IS_LATER,
    IS_REQUEST,
    NEWLINE,
    application_of,
    asks_to_upgrade,
    hello_behind,
    is_headed,
    opening,
    proxy_endpoint,
    proxy_header,
)
from auditor.recognise.replies import in_context
from auditor.recognise.sealed import note_sealed
from auditor.recognise.words import same_word
from auditor.tls.messages import APPLICATION_DATA, HANDSHAKE_RECORD
from auditor.tls.records import follow_records, how_it_begins
from auditor.tls.ssl2 import NOT_TLS, SSL2_CLIENT, SSL2_SERVER, TLS_MIDDLE, TLS_RECORDS, WAIT, ssl2_hello

SPACE, BRACKET = 32, 91
POSTGRESQL_YES = 83  # S
UPGRADE_WITHIN = 32768  # bytes of a side after which no upgrade to TLS is looked for
LONGEST_LISTS = 3072  # bytes of a side of SSH in which its lists of algorithms are looked for
LONGEST_PROXY = 4096  # bytes of a PROXY header that are looked at
HOST_WITHIN = 8192  # bytes of a request in which its Host is looked for
NO_RECORD_TYPE = 0x80  # as the first byte of a hello it is of SSL 2.0 (RFC 5246 E.2)
_HOST = np.frombuffer(b"host:", np.uint8)
_ADAT = np.frombuffer(b"adat", np.uint8)


@part
def http_request(memory: Memory, flow: FlowRow, stream: StreamRow, have: int) -> bool:
    """Intern the Host of a request (RFC 9112 3.2). False: its headers do not end in these bytes, more may come."""
    data = memory.scratch
    word = _HOST
    size = min(have, HOST_WITHIN)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    at = 0
    while at < size:
        end = at
        while end < size and data[end] != NEWLINE:
            end += 1
        if end >= size:
            break
        if end - at <= 1:
            return True  # the empty line after the headers
        if end - at > len(word) and same_word(data, at, word):
            begin = at + len(word)
            while begin < end and data[begin] <= SPACE:
                begin += 1
            stop = end
            while stop > begin and data[stop - 1] <= SPACE:
                stop -= 1
            for k in range(begin, stop):  # a port does not belong to the name; in [::1]:80 the last colon counts
                if data[k] == COLON and data[begin] != BRACKET:
                    stop = k
                    break
            if 0 < stop - begin <= 255:
                flow.host = intern(memory.arena, memory.entries, memory.intern_buckets, data, begin, stop)
            return True
        at = end + 1
    return have >= HOST_WITHIN


@part
def pass_over(stream: StreamRow, length: int) -> None:
    """Skip what was spoken first: what follows, in its last segment or the next one, begins right behind it."""
    stream.start = np.int64(stream.start) + length
    stream.skipped += length
    stream.segments = 1 if stream.have > stream.start else 0


@part
def pass_all_but(stream: StreamRow, rest: int) -> None:
    """Look no more at the bytes that are there, but for the last ``rest`` ones."""
    if rest > 0:
        pass_over(stream, np.int64(stream.have) - np.int64(stream.start) - rest)
    else:
        skip_ahead(stream)


@part
def pass_proxy_header(memory: Memory, flow: FlowRow, stream: StreamRow, length: int, have: int) -> bool:
    """Skip a PROXY header, and keep the VPC endpoint that it names. False: it is not whole yet."""
    if length == 0 or length > have:
        return False
    size = min(length, LONGEST_PROXY)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    begin, end = proxy_endpoint(memory.scratch, size)
    if end > begin:
        flow.vpc_endpoint = intern(memory.arena, memory.entries, memory.intern_buckets, memory.scratch, begin, end)
    pass_over(stream, length)
    flow.application = PROXY
    return True


@inlined
def is_carrier(flow: FlowRow) -> bool:
    """Whether TLS is in messages of a protocol's own, so that a record that begins a segment does not begin a stream."""
    return bool(flow.application == TDS or flow.application == OPENVPN or flow.application == STUN)


@part
def pass_request(flow: FlowRow, stream: StreamRow, data: Bytes, size: int) -> bool:
    """Skip a request behind which the ClientHello follows without an answer. Segments are no limits of messages."""
    application = flow.application
    if application == MYSQL:
        length = mysql_ssl_request(data, size)
    elif is_carrier(flow):
        return False
    else:
        length = hello_behind(data, size)
    if length > 0:
        pass_over(stream, length)
    return bool(length > 0)


@part
def pass_to_hello(memory: Memory, stream: StreamRow) -> bool:
    """Skip what may be the beginning of many things where a hello stands behind it. False: there is none."""
    size = min(np.int64(stream.have) - np.int64(stream.start), HEAD)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    length = hello_behind(memory.scratch, size)
    if length > 0:
        pass_over(stream, length)
    return bool(length > 0)


@part
def is_being_typed(data: Bytes, have: int) -> bool:
    """Whether the stream may be the beginning of a line of text that is still being typed."""
    if have >= LONGEST_TYPED:
        return False
    for k in range(have):
        if data[k] == NEWLINE or data[k] < 9 or data[k] > 126:
            return False
    return True


@inlined
def note_application(flow: FlowRow, application: int) -> None:
    """What is spoken first, or behind a PROXY header or SOCKS, names the flow: these only lead to where it goes.

    So does Multipath TCP, whose subflows rarely have the beginning of a message.
    """
    if flow.application == UNKNOWN or flow.application == OTHER:
        flow.application = application if application != UNKNOWN else OTHER
    elif (
        flow.application == PROXY or flow.application == SOCKS or flow.application == MPTCP
    ) and application != UNKNOWN:
        flow.application = application


@part
def note_beginning(flow: FlowRow, side: SideRow, row: int, application: int, direction: int) -> None:
    """Note where a session without its SYN is first seen asking for TLS: what its client said before is not known."""
    if side.syn != 0 or flow.handshake >= 0:
        return
    if flow.application == UNKNOWN and row >= 0 and IS_LATER[row]:
        flow.before |= UNSEEN << (SIDE_BITS * direction)
    elif flow.application == OTHER and flow.upgrade != 0 and application != UNKNOWN:
        flow.before |= UNSEEN << (SIDE_BITS * (1 - direction))


@part
def note_no_request(flow: FlowRow, side: SideRow, stream: StreamRow, direction: int) -> None:
    """Likewise where the server's reply is what is first seen: TLS begins, and its client has not been seen to ask for it."""
    is_text = flow.application == OTHER or speaks_in_lines(np.int64(flow.application))
    if side.syn == 0 and stream.skipped == 0 and flow.handshake < 0 and is_text:
        flow.before |= UNSEEN << (SIDE_BITS * direction)


@part
def waits(flow: FlowRow, application: int, data: Bytes, size: int, have: int) -> bool:
    """Whether what these bytes are shows only with the next ones."""
    if flow.application == MYSQL:
        return may_be_ssl_request(data, size)
    if application != UNKNOWN:
        return False
    if flow.application == TLS and flow.handshake >= 0:  # what comes in place of TLS may come letter by letter
        return is_being_typed(data, have)
    is_first = flow.application == UNKNOWN or flow.application == PROXY
    return is_first and (is_being_typed(data, have) or is_headed(data, have))


@part
def is_security_exchange(flow: FlowRow, data: Bytes, have: int) -> bool:
    """Whether it is FTP's ADAT command or its reply (RFC 2228 4), or what follows one: TLS in base64."""
    begins = have >= 9 and (same_word(data, np.int64(0), _ADAT) or same_word(data, np.int64(4), _ADAT))
    return begins or flow.datagram >= 0


@part
def carries_tls(flow: FlowRow, data: Bytes, have: int) -> bool:
    """Whether the bytes may be a piece of a handshake inside messages of another protocol, or of SSH's: Python puts these together."""
    if flow.datagrams >= MOST_CARRIED:
        return False
    if flow.application == FTP or flow.application == FTP_SEALED:
        return is_security_exchange(flow, data, have)
    return is_carrier(flow) or flow.application == SSH


@part
def ends_carrying(flow: FlowRow, side: SideRow, data: Bytes) -> bool:
    """Whether TDS is over and TLS goes on in its place: the second piece of a side that begins with encrypted data."""
    if flow.application != TDS or data[0] != APPLICATION_DATA or data[1] != 3:
        return False
    ends = side.protected & BY_TLS != 0
    side.protected |= BY_TLS
    return ends


@part
def keep_carried(
    memory: Memory, flow: FlowRow, stream: StreamRow, direction: int, size: int, packet: PacketRow
) -> None:
    """Keep a piece of a stream that may carry a handshake."""
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    if is_carrier(flow) or flow.application == SSH:
        keep_piece(memory, flow, direction, size, packet)
    else:
        keep_datagram(memory, flow, direction, memory.scratch, np.int64(0), size, packet)


@part
def another_protocol(
    memory: Memory,
    flow: FlowRow,
    side: SideRow,
    stream: StreamRow,
    direction: int,
    packet: PacketRow,
    was_tls: bool,
) -> bool:
    """A stream that does not begin with TLS: name its protocol, keep an HTTP request's Host. True: look again.

    Many protocols go over to TLS later (STARTTLS, CONNECT, SOCKS, database log-ins). Whichever it is, its ClientHello
    begins a segment, so the bytes so far are skipped, and the next ones looked at in the same way.
    """
    data = memory.scratch
    have = np.int64(stream.have) - np.int64(stream.start)
    size = min(have, HEAD)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    row = opening(data, size)
    application = application_of(row, data, size)
    if application == PROXY:
        length = proxy_header(data, size)
        if length >= 0:
            return pass_proxy_header(memory, flow, stream, length, have)
    application = in_context(flow, side, stream, application, data, size)
    note_sealed(flow, application, data, size)
    note_beginning(flow, side, row, application, direction)
    note_upgrade(flow, direction, row, data, size)
    if flow.handshake >= 0:
        note_clear(flow, direction, np.int64(flow.client), was_tls, application, data, size)
    if waits(flow, application, data, size, have):
        return pass_to_hello(memory, stream)
    note_application(flow, application)
    note_agreement(flow, stream, np.int64(direction), row, application, data, size)
    if row >= 0 and IS_REQUEST[row]:
        if flow.client == UNKNOWN_SIDE:
            flow.client = direction
        if not http_request(memory, flow, stream, have):
            return False
    is_carried = carries_tls(flow, data, have)
    rest = np.int64(0) if is_carried else note_commands(memory, flow, stream, direction)
    if pass_request(flow, stream, data, size):
        return True
    if is_carried:  # see ``tls.carriers``
        keep_carried(memory, flow, stream, np.int64(direction), min(have, MOST_KEPT_BYTES), packet)
    pass_all_but(stream, rest)
    is_ssh = flow.application == SSH
    is_last = row >= 0 and IS_LAST[row] and not is_ssh and not asks_to_upgrade(row, data, size)
    most = LONGEST_LISTS if is_ssh else MOST_KEPT_BYTES if is_carried else UPGRADE_WITHIN
    if is_last or stream.skipped > most or ends_carrying(flow, side, data):
        release(memory, side, stream)
    return False


@part
def skip_postgresql_yes(memory: Memory, stream: StreamRow) -> None:
    """PostgreSQL's server says yes to an SSLRequest with one byte, and TLS follows in the same segment."""
    start = np.int64(stream.start)
    if stream.have - start < 2:
        return
    if peek(memory, stream, start) == POSTGRESQL_YES and peek(memory, stream, start + 1) == HANDSHAKE_RECORD:
        stream.start = start + 1
        stream.skipped += 1


@part
def begin_records(
    memory: Memory, flow: FlowRow, side: SideRow, stream: StreamRow, direction: int, packet: PacketRow
) -> int:
    """What a stream that is not recognised yet begins with, perhaps behind what was spoken first; NOT_TLS for no hello."""
    skip_postgresql_yes(memory, stream)
    if stream.have <= stream.start:  # what came lies behind a gap
        return NOT_TLS
    kind = NOT_TLS if is_carrier(flow) else how_it_begins(memory, stream)
    if kind == WAIT:
        if pass_to_hello(memory, stream):
            return TLS_RECORDS
        is_answer = flow.handshake >= 0 and stream.encrypted != PAST_HANDSHAKE
        if is_answer and peek(memory, stream, np.int64(stream.start)) >= NO_RECORD_TYPE:
            size = np.int64(stream.have) - np.int64(stream.start)  # the few bytes that may be all of its answer
            note_clear(flow, direction, np.int64(flow.client), False, np.int64(UNKNOWN), memory.scratch, size)
        return NOT_TLS
    if kind != NOT_TLS and (stream.skipped == 0 or kind == TLS_RECORDS):
        return kind
    after = stream.encrypted == PAST_HANDSHAKE
    while another_protocol(memory, flow, side, stream, direction, packet, after) and stream.have > stream.start:
        kind = how_it_begins(memory, stream)  # behind a PROXY header, or a request that waits for no answer
        if kind != NOT_TLS:
            return TLS_RECORDS if kind == TLS_RECORDS else NOT_TLS
    return NOT_TLS


@part
def tcp_bytes(
    memory: Memory,
    flow: FlowRow,
    side: SideRow,
    stream: StreamRow,
    handshake: HandshakeRow,
    direction: int,
    packet: PacketRow,
) -> bool:
    """One side's stream has more bytes in order: see what they are. True: a handshake message is whole."""
    if stream.recognised == 0:
        kind = begin_records(memory, flow, side, stream, direction, packet)
        if kind == NOT_TLS:
            return False
        if kind == TLS_MIDDLE:
            if flow.application == UNKNOWN:
                flow.application = TLS
            release(memory, side, stream)
            return False
        note_no_request(flow, side, stream, direction)
        stream.recognised = 1
        stream.record_at = stream.start
        if kind == SSL2_CLIENT or kind == SSL2_SERVER:
            ssl2_hello(memory, flow, stream, handshake, direction, packet, kind)
            if kind == SSL2_SERVER:
                release(memory, side, stream)
                return False
    if follow_records(memory, flow, side, stream, handshake, direction, packet):
        return True
    if stream.recognised == 0 and side.stream > 0:  # its records ended in something else
        stream.encrypted = PAST_HANDSHAKE
        another_protocol(memory, flow, side, stream, direction, packet, True)
    return False
