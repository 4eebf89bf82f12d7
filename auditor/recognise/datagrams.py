"""Which application a datagram speaks, and which datagrams are kept until their flow ends."""

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.decode.packet import PacketRow
from auditor.flows.dns import dns_answers, is_dns
from auditor.flows.intern import intern
from auditor.flows.state import FREE_DATAGRAM, UNKNOWN_SIDE, AnswerRows, FlowRow, Memory, SideRow
from auditor.machine.kernel import inlined, part
from auditor.recognise.numbers import DNS, DTLS, IKE, OPENVPN, QUIC, STUN, UNKNOWN, WIREGUARD
from auditor.tls.quic_versions import VERSION_2

MOST_DATAGRAMS, MOST_KEPT_BYTES = 48, 65536  # of one flow


@part
def is_quic_version(version: int) -> bool:
    """Versions in use: 1 (RFC 9000), 2 (RFC 9369), the drafts, Google's Q0xx and T05x, Facebook's mvfst."""
    if version == 1 or version == VERSION_2 or version >> 8 == 0xFF0000 or version >> 12 == 0xFACEB:
        return True
    letter, digit = version >> 24, version >> 16 & 0xFF
    return (letter == 0x51 or letter == 0x54) and digit == 0x30


@part
def is_quic(block: Bytes, at: int, end: int) -> bool:
    """A long header (RFC 8999 5.1) of a version in use, with a connection id of up to 20 bytes (RFC 9000 17.2)."""
    return end - at >= 14 and block[at] & 0x80 != 0 and is_quic_version(be32(block, at + 1)) and block[at + 5] <= 20


@part
def is_dtls(block: Bytes, at: int, end: int) -> bool:
    """A plain DTLS record (RFC 6347 4.1, RFC 9147 4): its version, epoch 0, and a length that fits."""
    if end - at < 14:
        return False
    kind, version, length = block[at], be16(block, at + 1), be16(block, at + 11)
    return (
        (kind == 22 or kind == 20 or kind == 21)
        and (version == 0xFEFF or version == 0xFEFD or version == 0x0100)
        and be16(block, at + 3) == 0
        and 0 < length <= end - at - 13
    )


@part
def is_stun(block: Bytes, at: int, end: int) -> bool:
    """Two zero bits, and the magic cookie (RFC 8489 5)."""
    return end - at >= 20 and block[at] < 4 and be32(block, at + 4) == 0x2112A442


@part
def is_wireguard(block: Bytes, at: int, end: int) -> bool:
    """A type, then three zero bytes; an initiation, a response and a cookie reply have fixed lengths, data is padded."""
    size, kind = end - at, int(block[at])
    if size < 32 or kind < 1 or kind > 4 or be24(block, at + 1) != 0:
        return False
    if kind == 4:
        return size % 16 == 0
    return size == (148 if kind == 1 else 92 if kind == 2 else 64)


@part
def is_ike(block: Bytes, at: int, end: int) -> bool:
    """A header with version 1 or 2, a known exchange and the right length (RFC 2408 3.1, RFC 7296 3.1)."""
    if end - at >= 32 and be32(block, at) == 0:
        at += 4  # the non-ESP marker (RFC 3948 2.2)
    size = end - at
    if size < 28 or (block[at + 17] != 0x20 and block[at + 17] != 0x10) or be32(block, at + 24) != size:
        return False
    exchange = int(block[at + 18])
    return (exchange >= 34 and exchange <= 43) or (exchange >= 2 and exchange <= 6) or exchange == 32


@part
def is_openvpn(block: Bytes, at: int, end: int) -> bool:
    """A client's hard reset, which opens a connection: no acknowledgements, packet 0."""
    return end - at == 14 and block[at] == 0x38 and be32(block, end - 4) == 0 and block[end - 5] == 0


@part
def datagram_application(block: Bytes, at: int, end: int) -> int:
    """The application that a datagram's payload is recognised as by its form; UNKNOWN for others."""
    if is_dns(block, at, end):
        return DNS
    if is_quic(block, at, end):
        return QUIC
    if is_dtls(block, at, end):
        return DTLS
    if is_stun(block, at, end):
        return STUN
    if is_wireguard(block, at, end):
        return WIREGUARD
    if is_ike(block, at, end):
        return IKE
    if is_openvpn(block, at, end):
        return OPENVPN
    return UNKNOWN


@inlined
def is_looked_at(flow: FlowRow, side: SideRow) -> bool:
    """Whether a datagram is: what eight datagrams of a side did not reveal, more of them will not reveal either."""
    application = flow.application
    if application == UNKNOWN:
        return side.packets <= 8
    if application == QUIC or application == DTLS:
        return flow.datagrams < MOST_DATAGRAMS
    return application == DNS or (application == STUN and side.packets <= 256)


@part
def keep_datagram(
    memory: Memory, flow: FlowRow, direction: int, block: Bytes, begin: int, size: int, packet: PacketRow
) -> None:
    """Keep the first ``size`` bytes of a datagram until its flow ends; there is room for one in every packet."""
    if flow.kept + size > MOST_KEPT_BYTES:
        return
    flow.kept += size
    counters = memory.counters
    at = counters[FREE_DATAGRAM]
    datagram = memory.datagrams[at]
    counters[FREE_DATAGRAM] = datagram.next
    datagram.next = flow.datagram
    flow.datagram = at
    flow.datagrams += 1
    datagram.frame = packet.frame
    datagram.time = packet.time
    datagram.side = direction
    datagram.bytes = intern(memory.arena, memory.entries, memory.intern_buckets, block, begin, begin + size)


@part
def quic_bytes(side: SideRow, block: Bytes, begin: int, end: int) -> int:
    """How many bytes are kept: all of Initial, Retry and Version Negotiation; short headers are only noted."""
    first = int(block[begin])
    if first & 0x80 == 0:
        side.protected = 1
        return 0
    if end - begin <= 7:
        return 0
    version, kind = be32(block, begin + 1), first >> 4 & 3
    # Version 2 counts its packet types from 1 (RFC 9369 3.2).
    initial, retry = (1, 0) if version == VERSION_2 else (0, 3)
    return end - begin if version == 0 or kind == initial or kind == retry else 0


@part
def dtls_bytes(side: SideRow, block: Bytes, begin: int, end: int) -> int:
    """How many bytes are kept: all of plain records; of a side's first encrypted one enough to see that it was there."""
    first = int(block[begin])
    if first >= 20 and first <= 26 and first != 23:
        return end - begin
    seen = side.protected != 0
    side.protected = 1
    return 0 if seen else min(end - begin, 16)


@part
def udp_payload(
    memory: Memory, answers: AnswerRows, flow: FlowRow, side: SideRow, direction: int, block: Bytes, packet: PacketRow
) -> None:
    """Name the protocol of a datagram, keep what a handshake is put together from, and what a DNS response says."""
    begin = int(packet.payload)
    end = begin + int(packet.payload_captured)
    if flow.application == UNKNOWN:
        flow.application = datagram_application(block, begin, end)
        if flow.application == DNS and flow.client == UNKNOWN_SIDE:
            response = block[begin + 2] & 0x80 != 0
            flow.client = 1 - direction if response else direction
    elif flow.application == STUN and is_dtls(block, begin, end):
        flow.application = DTLS  # RFC 7983: STUN and DTLS share the ports of a WebRTC session
    kept = 0
    if flow.application == QUIC:
        kept = quic_bytes(side, block, begin, end)
    elif flow.application == DTLS:
        kept = dtls_bytes(side, block, begin, end)
    elif flow.application == DNS and is_dns(block, begin, end):
        dns_answers(memory, answers, block, packet)
    if kept > 0:
        keep_datagram(memory, flow, direction, block, begin, kept, packet)
