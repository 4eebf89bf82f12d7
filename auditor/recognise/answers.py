"""What servers that speak no TLS answer to a ClientHello. Nothing is encrypted yet, so that their messages show by their form."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.machine.kernel import part
from auditor.recognise.numbers import HTTP2, MQTT, MYSQL, OTHER, POSTGRESQL, SOCKS, TDS, TELNET, UNKNOWN
from auditor.recognise.services import is_telnet
from auditor.tls.wrappers import PRELOGIN_RESPONSE

NO_METHOD, MOST_REPLY = 0xFF, 8  # of SOCKS 5 (RFC 1928 3, 6)
GRANTED, LAST_REPLY = 0x5A, 0x5D  # of SOCKS 4
PG_ERROR, PG_SEVERITY = 69, 83  # E, and S: its first field (PostgreSQL, Message Formats)
LONGEST = 1 << 14  # bytes of an answer, and of a frame of HTTP/2 (RFC 9113 4.2)
SETTINGS, GOAWAY, SETTING = 4, 7, 6
CONNACK, MYSQL_ERROR = 0x20, 0xFF


@part
def is_socks_reply(data: Bytes, size: int) -> bool:
    """A choice of a method or a reply of version 5 (RFC 1928 3, 6), or a reply of version 4."""
    if data[0] == 5 and size == 2:
        return bool(data[1] <= 2 or data[1] == NO_METHOD)
    if data[0] == 5 and size >= 10:
        return bool(data[1] <= MOST_REPLY and data[2] == 0 and (data[3] == 1 or data[3] == 3 or data[3] == 4))
    return size == 8 and data[0] == 0 and GRANTED <= data[1] <= LAST_REPLY


@part
def is_http2_frame(data: Bytes, size: int) -> bool:
    """SETTINGS or GOAWAY, which are about the connection (RFC 9113 6.5, 6.8): without the preface of a client."""
    if size < 9 or be32(data, 5) != 0:
        return False
    length = be24(data, 0)
    if data[3] == GOAWAY:
        return 8 <= length <= LONGEST and data[4] == 0
    return data[3] == SETTINGS and length <= LONGEST and length % SETTING == 0 and data[4] <= 1


@part
def application_of_answer(application: int, data: Bytes, size: int) -> int:
    """The application of an answer; ``application``: what it would be anywhere in a stream."""
    if size >= 8 and data[0] == PRELOGIN_RESPONSE and data[1] <= 1 and be16(data, 2) == size:
        return np.int64(TDS)
    if (application != UNKNOWN and application != OTHER) or size == 0:
        return application
    if is_telnet(data, size):
        return np.int64(TELNET)
    if size >= 2 and is_socks_reply(data, size):
        return np.int64(SOCKS)
    if size >= 8 and data[0] == PG_ERROR and be32(data, 1) < LONGEST and data[5] == PG_SEVERITY:
        return np.int64(POSTGRESQL)
    if size >= 9 and data[4] == MYSQL_ERROR and data[1] < 2 and data[2] == 0 and data[3] <= 2:
        return np.int64(MYSQL)
    if 4 <= size <= 128 and data[0] == CONNACK and data[1] == size - 2 and data[2] <= 1:  # MQTT 5.0 3.2
        return np.int64(MQTT)
    return np.int64(HTTP2 if is_http2_frame(data, size) else UNKNOWN)
