"""Services that are known by the form of their messages: queues, databases, files, telephony, terminals.

AWS runs most of them for its customers (IoT Core, Amazon MQ, MSK, DocumentDB, ElastiCache, Keyspaces, RDS, EFS, FSx), in TLS or
in clear. ``message_of`` knows a message wherever it begins; what the others look like is too little to be known in the middle
of a stream, so ``first_message_of`` is asked of first bytes only. What none of these knows is UNKNOWN.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32, le16, le32
from auditor.machine.kernel import inlined, part
from auditor.recognise.numbers import (
    AMQP,
    BGP,
    CASSANDRA,
    FIX,
    KAFKA,
    KERBEROS,
    MEMCACHED,
    MONGODB,
    MQTT,
    NFS,
    OPENWIRE,
    RTSP,
    SIP,
    SMB,
    SMB_CLEAR,
    SMB_SEALED,
    TELNET,
    TNS,
    UNKNOWN,
)
from auditor.recognise.words import matrix, stands_at, which_stands_at

NEWLINE, RETURN, SPACE, LESS, GREATER = 10, 13, 32, 60, 62
MOST_PRIORITY, LONGEST_COUNT = 191, 5  # of syslog (RFC 5424 6.2.1); digits of a length
LONGEST_LINE = 512  # bytes of a first line that are looked at
_SIP, _RTSP, _SMB = (np.frombuffer(text, np.uint8) for text in (b" SIP/2.0", b" RTSP/", b"SMB"))
_MQTT, _MQISDP, _AMQP = (np.frombuffer(text, np.uint8) for text in (b"\0\x04MQTT", b"\0\x06MQIsdp", b"AMQP"))
_OPENWIRE, _CQL = (np.frombuffer(text, np.uint8) for text in (b"\x01ActiveMQ", b"CQL_VERSION"))
# Memcached's commands as text: those with numbers behind a key, and those that stand alone; get is Redis' as well, so that
# the answer decides.
STORING = (b"set ", b"add ", b"cas ", b"replace ", b"append ", b"prepend ")
ALONE = (b"stats\r\n", b"version\r\n", b"flush_all\r\n", b"config get cluster\r\n")
ANSWERS = (b"VALUE ", b"END\r\n", b"STORED\r\n", b"NOT_STORED\r\n", b"STAT ", b"CONFIG cluster ", b"VERSION 1.")
LEAST_NUMBERS = 3  # flags, seconds, bytes
_COMMANDS, _COMMAND_LENGTHS = matrix((*STORING, *ALONE))
_ANSWERS, _ANSWER_LENGTHS = matrix(ANSWERS)
SMB_HEADS = 18  # bytes of an SMB message by which its command is known
SMB_COMPRESSED, SMB_TRANSFORMED, SMB_2, SMB_1 = 0xFC, 0xFD, 0xFE, 0xFF
SMB_CREATE, SMB_CANCEL, SMB_ECHO, SMB_LAST = 5, 12, 13, 17  # commands of version 2 from the first that is about a file
SMB_1_ECHO, SMB_1_FIRST, SMB_1_LAST = 0x2B, 0x71, 0x75  # of version 1, which log in and out and connect
OP_MSG, OP_COMPRESSED, OP_QUERY = 2013, 2012, 2004  # MongoDB's
LONGEST_MONGODB = 48_000_000  # bytes of a message
CALL, RPC_VERSION, NFS_PROGRAM, GSS, PRIVACY = 0, 2, 100003, 6, 3  # RFC 5531 9, RFC 7530 16.1, RFC 2203 5
IAC, SB, WILL, MOST_OPTIONS = 255, 250, 251, 50  # RFC 854, RFC 855
KERBEROS_5, LONGEST_KERBEROS = 5, 1 << 20
MOST_KAFKA_KEY, MOST_KAFKA_VERSION = 92, 20  # of its requests
TNS_CONNECT, OLDEST_TNS, NEWEST_TNS = 1, 300, 400


@inlined
def is_service(application: int) -> bool:
    """Whether an application is one of those that are known here."""
    return bool(MQTT <= application <= FIX or application == SMB_CLEAR or application == SMB_SEALED)


@part
def is_syslog(block: Bytes, at: int, end: int) -> bool:
    """A priority of up to three digits between angle brackets, and text behind it (RFC 5424 6.2, RFC 3164 4.1)."""
    if end - at < 6 or block[at] != LESS:
        return False
    number = np.int64(0)
    for k in range(1, 5):
        byte = block[at + k]
        if byte == GREATER:
            return bool(k > 1 and number <= MOST_PRIORITY and 32 <= block[at + k + 1] <= 126)
        if byte < 48 or byte > 57:
            return False
        number = 10 * number + byte - 48
    return False


@part
def is_syslog_over_tcp(data: Bytes, size: int) -> bool:
    """A message of syslog, perhaps behind the number of its bytes (RFC 6587 3.4)."""
    at = np.int64(0)
    while at < size and at < LONGEST_COUNT and 48 <= data[at] <= 57:
        at += 1
    if at > 0 and (at >= size or data[at] != SPACE):
        return False
    return is_syslog(data, at + 1 if at > 0 else at, size)


@part
def by_version(data: Bytes, size: int) -> int:
    """SIP or RTSP, whose requests are like those of HTTP but for the version at the end of the line, where answers have it first.

    RFC 3261 7.1 and 7.2, RFC 7826 20.
    """
    if stands_at(data, np.int64(0), size, _SIP[1:]):
        return np.int64(SIP)
    if stands_at(data, np.int64(0), size, _RTSP[1:]):
        return np.int64(RTSP)
    for at in range(min(size, LONGEST_LINE)):
        if data[at] == NEWLINE or data[at] > 126:
            break
        if data[at] == SPACE and stands_at(data, np.int64(at), size, _SIP):
            return np.int64(SIP)
        if data[at] == SPACE and stands_at(data, np.int64(at), size, _RTSP):
            return np.int64(RTSP)
    return np.int64(UNKNOWN)


@part
def is_mqtt(data: Bytes, size: int) -> bool:
    """A CONNECT: its length in one to four bytes, the protocol's name, a version (MQTT 5.0 3.1; 3.1 has the longer name)."""
    if data[0] != 0x10:
        return False
    at = np.int64(1)
    while at < 4 and at < size and data[at] & 0x80 != 0:
        at += 1
    at += 1
    if stands_at(data, at, size, _MQISDP):
        return True
    return stands_at(data, at, size, _MQTT) and at + 6 < size and data[at + 6] >= 3 and data[at + 6] <= 5


@part
def is_amqp(data: Bytes, size: int) -> bool:
    """A protocol header: AMQP 1.0's (2.2; behind number 2 TLS follows, behind 3 SASL), 0-9-1's and older ones'."""
    return size >= 8 and stands_at(data, np.int64(0), size, _AMQP) and data[4] <= 3


@part
def is_mongodb(data: Bytes, size: int) -> bool:
    """A message header: its length, the numbers of request and answer, and the operation, little-endian."""
    if size < 16:
        return False
    length, operation = le32(data, 0), le32(data, 12)
    if length <= 20 or length > LONGEST_MONGODB:
        return False
    return operation == OP_MSG or operation == OP_COMPRESSED or (operation == OP_QUERY and le32(data, 8) == 0)


@part
def is_openwire(data: Bytes, size: int) -> bool:
    """ActiveMQ's first message, from both sides: its length, WireFormatInfo, the name."""
    return size >= 13 and be32(data, 0) < 65536 and stands_at(data, np.int64(4), size, _OPENWIRE)


@part
def smb_of(data: Bytes, size: int) -> int:
    """SMB over TCP: a zero and the message's length, then the letters behind a byte for the kind ([MS-SMB2] 2.1, 2.2.1).

    SMB where it is a negotiation, which is in clear before all encryption; SMB_CLEAR or SMB_SEALED for what is about files.
    """
    if size < SMB_HEADS or data[0] != 0 or be24(data, 1) < 32 or not stands_at(data, np.int64(5), size, _SMB):
        return np.int64(UNKNOWN)
    kind = data[4]
    if kind == SMB_TRANSFORMED:
        return np.int64(SMB_SEALED)
    if kind == SMB_COMPRESSED:
        return np.int64(SMB_CLEAR)
    if kind == SMB_2:
        command = le16(data, 16)
        about_files = SMB_CREATE <= command <= SMB_LAST and command != SMB_CANCEL and command != SMB_ECHO
        return np.int64(SMB_CLEAR if about_files else SMB)
    if kind != SMB_1:
        return np.int64(UNKNOWN)
    before = data[8] == SMB_1_ECHO or SMB_1_FIRST <= data[8] <= SMB_1_LAST
    return np.int64(SMB if before else SMB_CLEAR)


@part
def is_nfs(data: Bytes, size: int) -> bool:
    """A call of NFS in clear (RFC 5531 9, 11): not the empty one, which comes before TLS, too (RFC 9289 4.1).

    With Kerberos what it says may be encrypted, if its credential says so (RFC 2203 5.3.3.4).
    """
    if size < 52 or data[0] & 0x80 == 0 or be32(data, 8) != CALL or be32(data, 12) != RPC_VERSION:
        return False
    if be32(data, 16) != NFS_PROGRAM or be32(data, 20) > 4 or be32(data, 24) == 0:
        return False
    return be32(data, 28) != GSS or (be32(data, 40) == 0 and be32(data, 48) != PRIVACY)


@part
def is_bgp(data: Bytes, size: int) -> bool:
    """Sixteen bytes of ones, a length and a type (RFC 4271 4.1)."""
    if size < 19 or be16(data, 16) < 19 or be16(data, 16) > 4096:
        return False
    for at in range(16):
        if data[at] != 255:
            return False
    return bool(1 <= data[18] <= 5)


@part
def is_kerberos(data: Bytes, at: int, size: int) -> bool:
    """A message of version 5 from ``at`` on (RFC 4120 5.4, 5.10): its tag, a sequence, and the version in it.

    In requests the version has field number 1, in answers 0.
    """
    if size - at < 12 or data[at] < 0x6A or data[at] > 0x7E:
        return False
    at += 1
    for _ in range(2):  # the lengths of the message and of the sequence in it
        at += 1 + (np.int64(data[at]) - 0x80 if data[at] > 0x80 else 0)
        if at + 7 > size:
            return False
        if data[at] != 0x30:
            break
        at += 1
    tag = data[at]
    if (tag != 0xA0 and tag != 0xA1) or data[at + 1] != 3 or data[at + 2] != 2 or data[at + 3] != 1:
        return False
    return bool(data[at + 4] == KERBEROS_5)


@part
def message_of(data: Bytes, size: int) -> int:
    """The service that a piece of a stream is a message of."""
    if is_mqtt(data, size):
        return MQTT
    if is_amqp(data, size):
        return AMQP
    if is_mongodb(data, size):
        return MONGODB
    if is_openwire(data, size):
        return OPENWIRE
    spoken = smb_of(data, size)
    if spoken != UNKNOWN:
        return spoken
    if is_nfs(data, size):
        return NFS
    if is_bgp(data, size):
        return BGP
    if size > 4 and size - 4 <= be32(data, 0) < LONGEST_KERBEROS and is_kerberos(data, np.int64(4), size):
        return KERBEROS  # RFC 4120 7.2.2
    return by_version(data, size) if data[0] >= 65 and data[0] <= 90 else UNKNOWN


@part
def is_telnet(data: Bytes, size: int) -> bool:
    """Negotiations of options (RFC 854, RFC 855), and nothing else or some text behind them."""
    if size < 3 or data[0] != IAC:
        return False
    at = np.int64(0)
    while at + 3 <= size and data[at] == IAC and data[at + 1] >= WILL and data[at + 1] < IAC:
        if data[at + 2] > MOST_OPTIONS and data[at + 2] != IAC:
            return False
        at += 3
    if at == 0:
        return False
    return bool(at == size or (data[at] == IAC and at + 1 < size and data[at + 1] >= SB) or data[at] < 127)


@part
def is_memcached_line(data: Bytes, size: int) -> bool:
    """A command as text: of its protocol those that no other has."""
    row = which_stands_at(data, np.int64(0), size, _COMMANDS, _COMMAND_LENGTHS)
    if row < 0 or row >= len(STORING):
        return bool(row >= 0)
    at = np.int64(_COMMAND_LENGTHS[row])
    while at < size and data[at] > SPACE and data[at] < 127:  # the key
        at += 1
    numbers = np.int64(0)
    while at + 1 < size and data[at] == SPACE and data[at + 1] >= 48 and data[at + 1] <= 57:
        numbers += 1
        at += 1
        while at < size and data[at] >= 48 and data[at] <= 57:
            at += 1
    return bool(numbers >= LEAST_NUMBERS and at < size and (data[at] == RETURN or data[at] == SPACE))


@part
def answers_like_memcached(data: Bytes, size: int) -> bool:
    """Whether it is an answer to a command as text."""
    return which_stands_at(data, np.int64(0), size, _ANSWERS, _ANSWER_LENGTHS) >= 0


@part
def is_memcached(data: Bytes, size: int) -> bool:
    """A command as text, or a request of the binary protocol: its header of 24 bytes agrees with the size."""
    if data[0] >= 97 and data[0] <= 122:
        return is_memcached_line(data, size)
    if size < 24 or data[0] != 0x80 or data[1] > 0x22 or data[5] != 0 or be16(data, 6) != 0:
        return False
    body = be32(data, 8)
    return body >= be16(data, 2) + data[4] and (size == 24 + body or (size > 24 + body and data[24 + body] == 0x80))


@part
def is_cassandra(data: Bytes, size: int) -> bool:
    """A client's first frame of CQL's native protocol, versions 1 to 6: OPTIONS without a body, or STARTUP with the version."""
    version = np.int64(data[0]) & 0x3F  # DataStax' own versions have a bit more
    at = np.int64(4 if version >= 3 else 3)  # the stream's number is longer since version 3
    if version < 1 or version > 6 or data[0] & 0x80 != 0 or size < at + 5 or data[1] & 0xE0 != 0:
        return False
    length = be32(data, at + 1)
    if data[at] == 5:
        return bool(length == 0 and size == at + 5)
    if data[at] != 1:
        return False
    last = at + 64
    at += 5
    while at < size and at < last:
        if stands_at(data, at, size, _CQL):
            return True
        at += 1
    return False


@part
def is_kafka(data: Bytes, size: int) -> bool:
    """A request with a header of version 1 or 2: its length, which is that of the bytes, its key and version, a client's name."""
    if size < 14 or be32(data, 0) != size - 4 or be16(data, 4) > MOST_KAFKA_KEY or be16(data, 6) > MOST_KAFKA_VERSION:
        return False
    length = be16(data, 12)
    if length == 0xFFFF:  # no name
        return be16(data, 8) == 0 and be16(data, 4) == 18  # the first request asks for versions, and is often number 0
    if length == 0 or 14 + length > size:
        return False
    for at in range(14, 14 + length):
        if data[at] < 33 or data[at] > 126:
            return False
    return True


@part
def is_tns(data: Bytes, size: int) -> bool:
    """A client's CONNECT to Oracle: its length, no check sums, and the versions that it speaks and still understands."""
    if size < 58 or data[4] != TNS_CONNECT or be16(data, 6) != 0:
        return False
    if be16(data, 0) != size and (be16(data, 0) != 0 or be32(data, 0) != size):  # since version 315 it may be longer
        return False
    version, oldest = be16(data, 8), be16(data, 10)
    return OLDEST_TNS <= version <= NEWEST_TNS and OLDEST_TNS - 10 <= oldest <= version


@part
def first_message_of(data: Bytes, size: int) -> int:
    """The service whose session begins with these bytes, the first of a connection."""
    if is_telnet(data, size):
        return TELNET
    if is_memcached(data, size):
        return MEMCACHED
    if is_cassandra(data, size):
        return CASSANDRA
    if is_kafka(data, size):
        return KAFKA
    return TNS if is_tns(data, size) else UNKNOWN
