"""Why a hello is not valid, or not whole: noted in its handshake's row, worded in ``INVALID``."""

from auditor.flows.state import HandshakeRow
from auditor.machine.kernel import inlined, part

VALID, SHORT, SESSION_ID, SUITES, COMPRESSION, EXTENSIONS, EXTENSION, TRAILING = 0, 1, 2, 3, 4, 5, 6, 7
TOO_LONG, NO_RECORD, NO_KEYS, NO_SALT, CUT_HELLO, CUT, HIDDEN, NAME, LIST = 8, 9, 10, 11, 12, 13, 14, 15, 16
CUT_PACKETS, MUCH_KEPT = 17, 18
INVALID = {
    SHORT: "ends before its fixed fields",
    SESSION_ID: "session id longer than 32 bytes or than the message",
    SUITES: "cipher suites have an odd length, none, or exceed the message",
    COMPRESSION: "compression methods exceed the message",
    EXTENSIONS: "extensions exceed the message",
    EXTENSION: "an extension exceeds the extension block",
    TRAILING: "bytes follow the extensions",
    NAME: "the server's name exceeds its extension",
    LIST: "a list exceeds its extension",
    TOO_LONG: "a message longer than a hello can be, of which only the beginning is read",
    MUCH_KEPT: "a long message of which the beginning is read, behind so many others of the connection that the rest was not kept",
    NO_RECORD: "bytes that are no TLS record",
    NO_KEYS: "QUIC packets that cannot be opened: the client's first packet, from which their keys come, is not in the capture",
    NO_SALT: "a version of QUIC whose keys are not published",
    HIDDEN: "OpenVPN's control channel is encrypted (--tls-crypt): the handshake cannot be seen",
    CUT_PACKETS: "OpenVPN's packets were cut before the handshake in them",
    CUT_HELLO: "the capture has only the beginning of the client's first packet",
}


@part
def invalid(handshake: HandshakeRow, reason: int, at: int) -> bool:
    handshake.invalid = reason
    handshake.invalid_at = at
    return False


@inlined
def lacks(handshake: HandshakeRow, end: int, size: int, have: int, reason: int, at: int) -> bool:
    """Whether a field that ends at ``end`` is not there: it exceeds the message (``reason``), or was not captured."""
    if end > size:
        handshake.invalid = reason
        handshake.invalid_at = at
    elif end > have:
        handshake.invalid = CUT
        handshake.invalid_at = have
    return end > min(size, have)
