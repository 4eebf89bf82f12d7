"""What is spoken in clear around TLS: offers to go over to it, commands before it, and what comes in its place or after it."""

import numpy as np

from auditor.decode.bytes import Bytes, copy_bytes
from auditor.decode.packet import LIKE_ALERT, SHORTEST_TEXT, PacketRow
from auditor.decode.transport import is_text_byte
from auditor.flows.state import (
    AFTER_RECORDS,
    BY_ALERT,
    BY_RECORDS,
    UNKNOWN_SIDE,
    UPGRADE_ASKED,
    UPGRADE_OFFERED,
    UPGRADE_REFUSED,
    FlowRow,
    Memory,
    SideRow,
    StreamRow,
)
from auditor.flows.stream import read
from auditor.machine.kernel import inlined, part
from auditor.recognise.answers import application_of_answer
from auditor.recognise.commands import SIDE_BITS, said_before_tls
from auditor.recognise.mysql import mysql_ssl_request
from auditor.recognise.numbers import HTTP, MYSQL, OTHER, POSTGRESQL, SSH, TEXT, TLS, UNKNOWN
from auditor.recognise.openings import (
    ASKS_FOR_TLS,
    NEWLINE,
    application_of,
    asks_to_upgrade,
    hello_behind,
    opening,
    speaks_of_tls,
)
from auditor.tls.borders import NONE, clear_contents, next_borders

POSTGRESQL_NO = 78  # N
CHANGE_CIPHER_SPEC, HEARTBEAT = 20, 24  # the first and the last type of records (RFC 8446 5.1, RFC 6520)
LONGEST_TYPED = 24  # bytes of a line that may still be being typed
SHORTEST_ANSWER = 4  # bytes of text that answer a hello: nothing is encrypted yet
SHORTEST_RUN = 15  # bytes of text among others that show what follows TLS to be in clear
HEAD = 512  # bytes of a stream that text protocols are recognised by


@part
def note_upgrade(flow: FlowRow, direction: int, row: int, data: Bytes, size: int) -> None:
    """Whether TLS is offered, asked for or refused in clear."""
    if flow.application != HTTP and flow.application != SSH and speaks_of_tls(data, size):
        flow.upgrade |= UPGRADE_ASKED if direction == flow.client else UPGRADE_OFFERED
    if (
        (row >= 0 and ASKS_FOR_TLS[row])
        or asks_to_upgrade(row, data, size)
        or (flow.application == MYSQL and mysql_ssl_request(data, size) > 0)
    ):
        flow.upgrade |= UPGRADE_ASKED
    if flow.application == POSTGRESQL and size == 1 and data[0] == POSTGRESQL_NO:  # the answer to an SSLRequest
        flow.upgrade |= UPGRADE_REFUSED


@part
def note_commands(memory: Memory, flow: FlowRow, stream: StreamRow, direction: int) -> int:
    """Note what a client says in clear before TLS begins; how many bytes of it are to be looked at again with the next ones."""
    if flow.handshake >= 0 or (flow.client != UNKNOWN_SIDE and flow.client != direction):
        return np.int64(0)
    size = np.int64(stream.have) - np.int64(stream.start)
    read(memory, stream, np.int64(stream.start), size, np.int64(0))
    hello = hello_behind(memory.scratch, min(size, HEAD))
    if hello > 0:
        size = hello
    kinds, rest = said_before_tls(np.int64(flow.application), memory.scratch, size)
    flow.before |= kinds << (SIDE_BITS * direction)
    return rest


@part
def is_text(data: Bytes, at: int, size: int) -> bool:
    """Whether bytes are text, which no part of an encrypted record is by chance: 24 characters, or a short line."""
    count = np.int64(min(size, LONGEST_TYPED))
    if count < SHORTEST_TEXT or (count < LONGEST_TYPED and data[at + count - 1] != NEWLINE):
        return False
    for k in range(count):
        if not is_text_byte(data[at + k]):
            return False
    return True


@part
def run_of_text(data: Bytes, at: int, size: int) -> int:
    """How many bytes from a place on are printable characters of UTF-8 (RFC 3629 4)."""
    begin = at
    while at < size:
        first = np.int64(data[at])
        length = np.int64(1)
        if not is_text_byte(first):
            length = 2 if 0xC2 <= first <= 0xDF else 3 if first >> 4 == 0xE else 4 if 0xF0 <= first <= 0xF4 else 0
        if length == 0 or at + length > size or (first == 0xC2 and data[at + 1] < 0xA0):  # of C2, the C1 controls
            break
        is_whole = True
        for k in range(1, length):
            is_whole = is_whole and data[at + k] >> 6 == 2
        if not is_whole:
            break
        at += length
    return at - begin


@part
def run_of_units(data: Bytes, at: int, size: int, low: int) -> bool:
    """Whether units of UTF-16 follow whose low byte is the first or the second: Latin, or Greek to Arabic (U+0370 to U+06FF)."""
    for k in range(SHORTEST_TEXT):
        place = at + 2 * k
        if place + 1 >= size:
            return False
        byte, high = np.int64(data[place + low]), np.int64(data[place + 1 - low])
        is_latin = high == 0 and (is_text_byte(byte) or byte >= 0xA0)
        if not is_latin and (high < 3 or high > 6 or byte == high):
            return False
    return True


@part
def begins_readable(data: Bytes, at: int, end: int) -> bool:
    """Whether bytes begin with text of UTF-8 or UTF-16, of a length that no encrypted bytes are by chance."""
    run = run_of_text(data, at, min(end, at + HEAD))
    is_line = run >= SHORTEST_TEXT and run == end - at and data[end - 1] == NEWLINE
    return run >= LONGEST_TYPED or is_line or run_of_units(data, at, end, 0) or run_of_units(data, at, end, 1)


@part
def is_readable(data: Bytes, size: int, least: int) -> bool:
    """Whether bytes are a line of text, or hold so much text in a row, or some in UTF-16."""
    at = np.int64(0)
    if begins_readable(data, at, size):
        return True
    while at < size:
        run = run_of_text(data, at, size)
        if run >= least or run_of_units(data, at, size, 0) or run_of_units(data, at, size, 1):
            return True
        at += max(run, 1)
    return False


@part
def is_all_text(data: Bytes, size: int) -> bool:
    """Whether a few bytes are characters and nothing else."""
    return size >= SHORTEST_ANSWER and run_of_text(data, np.int64(0), size) == size


@part
def note_answer(flow: FlowRow, application: int, data: Bytes, size: int) -> None:
    """A server's bytes in the place of its ServerHello: what they are, as far as they show it."""
    is_open = flow.answer == UNKNOWN or flow.answer == OTHER
    if application != UNKNOWN and application != OTHER:
        if is_open or flow.answer == TEXT:
            flow.answer = application
    elif is_open and size > 0:
        is_readable = is_all_text(data, size) or begins_readable(data, np.int64(0), size)
        flow.answer = TEXT if is_readable else OTHER


@part
def note_clear(flow: FlowRow, side: int, client: int, was_tls: bool, application: int, data: Bytes, size: int) -> None:
    """Something that is no TLS on a connection on which TLS has begun: an answer to its hello, or what came after."""
    if not was_tls:
        if side != client:
            note_answer(flow, application_of_answer(application, data, size), data, size)
        return
    spoken = application
    if spoken == UNKNOWN or spoken == OTHER:
        spoken = TEXT if is_text(data, np.int64(0), size) else OTHER
    least = SHORTEST_RUN if flow.clear == UNKNOWN else LONGEST_TYPED  # of many segments one may hold some by chance
    if spoken == OTHER and is_readable(data, size, least):
        spoken = TEXT
    if flow.clear == UNKNOWN or flow.clear == OTHER:
        flow.clear = spoken


@part
def name_clear(memory: Memory, flow: FlowRow, block: Bytes, at: int, end: int) -> None:
    """Note what bytes in clear behind a handshake are."""
    size = min(end - at, HEAD)
    copy_bytes(block, at, size, memory.scratch, np.int64(0))
    row = opening(memory.scratch, size)
    application = application_of(row, memory.scratch, size)
    note_clear(flow, 0, 0, True, application, memory.scratch, size)


@part
def look_at_borders(memory: Memory, flow: FlowRow, side: SideRow, block: Bytes, packet: PacketRow) -> None:
    """A segment of TLS whose records are stepped over: whether one is in clear, or something that is no record follows."""
    begin, end = clear_contents(side, block, packet)
    if begins_readable(block, begin, end):
        name_clear(memory, flow, block, begin, end)
    behind = next_borders(flow, side, block, packet)
    if behind != NONE:
        at = np.int64(packet.payload)
        name_clear(memory, flow, block, at + behind, at + np.int64(packet.payload_captured))


@part
def look_at_datagram(memory: Memory, flow: FlowRow, block: Bytes, begin: int, end: int) -> None:
    """A datagram where DTLS is spoken: whether it is text. All else may share its ports (RFC 7983)."""
    if (flow.clear == UNKNOWN or flow.clear == OTHER) and begins_readable(block, begin, end):
        name_clear(memory, flow, block, begin, end)


@inlined
def may_be_clear(flow: FlowRow, side: SideRow, packet: PacketRow) -> bool:
    """Whether a segment of a side that is followed no more is worth a look."""
    is_due = packet.begins != 0 or side.protected & (BY_ALERT | BY_RECORDS | AFTER_RECORDS) != 0
    return is_due and flow.application == TLS and (flow.clear == UNKNOWN or flow.clear == OTHER)


@part
def look_for_clear(memory: Memory, flow: FlowRow, side: SideRow, block: Bytes, packet: PacketRow) -> None:
    """A segment of TLS whose records are followed no more: whether it is text, or comes behind an alert, so that TLS has ended."""
    at, size = np.int64(packet.payload), np.int64(packet.payload_captured)
    if side.protected & BY_RECORDS:
        look_at_borders(memory, flow, side, block, packet)
    elif side.protected & AFTER_RECORDS:
        name_clear(memory, flow, block, at, at + size)
    is_over = side.protected & BY_ALERT != 0
    side.protected &= 255 - BY_ALERT
    if packet.begins == LIKE_ALERT:
        side.protected |= BY_ALERT
        return
    is_record = size >= 3 and block[at] >= CHANGE_CIPHER_SPEC and block[at] <= HEARTBEAT and block[at + 1] == 3
    if is_text(block, at, size) or (is_over and not is_record and size > 0):
        name_clear(memory, flow, block, at, at + size)
