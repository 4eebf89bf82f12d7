"""What is spoken in clear around TLS: offers to go over to it, commands before it, and what comes in its place or after it."""

import numpy as np

from auditor.decode.bytes import Bytes, copy_bytes
from auditor.decode.packet import LIKE_ALERT, SHORTEST_TEXT, PacketRow
from auditor.decode.transport import is_text_byte
from auditor.flows.state import (
    BY_ALERT,
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
from auditor.machine.kernel import part
from auditor.recognise.commands import SIDE_BITS, said_before_tls
from auditor.recognise.mysql import mysql_ssl_request
from auditor.recognise.numbers import HTTP, MYSQL, OTHER, POSTGRESQL, SSH, TEXT, UNKNOWN
from auditor.recognise.openings import (
    ASKS_FOR_TLS,
    NEWLINE,
    application_of,
    asks_to_upgrade,
    hello_behind,
    opening,
    speaks_of_tls,
)

POSTGRESQL_NO = 78  # N
CHANGE_CIPHER_SPEC, HEARTBEAT = 20, 24  # the first and the last type of records (RFC 8446 5.1, RFC 6520)
LONGEST_TYPED = 24  # bytes of a line that may still be being typed
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
def note_clear(flow: FlowRow, side: int, client: int, was_tls: bool, application: int, data: Bytes, size: int) -> None:
    """Something that is no TLS on a connection on which TLS has begun: an answer to its hello, or what came after."""
    spoken = application
    if spoken == UNKNOWN or spoken == OTHER:
        spoken = TEXT if is_text(data, np.int64(0), size) else OTHER
    if was_tls:
        if flow.clear == UNKNOWN or flow.clear == OTHER:
            flow.clear = spoken
    elif side != client and (flow.answer == UNKNOWN or flow.answer == OTHER):
        flow.answer = spoken


@part
def look_for_clear(memory: Memory, flow: FlowRow, side: SideRow, block: Bytes, packet: PacketRow) -> None:
    """A segment of TLS whose records are followed no more: whether it is text, or comes behind an alert, so that TLS has ended."""
    at, size = np.int64(packet.payload), np.int64(packet.payload_captured)
    is_over = side.protected & BY_ALERT != 0
    side.protected &= 255 - BY_ALERT
    if packet.begins == LIKE_ALERT:
        side.protected |= BY_ALERT
        return
    is_record = size >= 3 and block[at] >= CHANGE_CIPHER_SPEC and block[at] <= HEARTBEAT and block[at + 1] == 3
    if not is_text(block, at, size) and (not is_over or is_record or size == 0):
        return
    size = min(size, HEAD)
    copy_bytes(block, at, size, memory.scratch, np.int64(0))
    row = opening(memory.scratch, size)
    application = application_of(row, memory.scratch, size)
    note_clear(flow, 0, 0, True, application, memory.scratch, size)
