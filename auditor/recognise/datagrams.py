"""Which application a datagram speaks, and which datagrams are kept until their flow ends."""

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.decode.packet import PacketRow
from auditor.flows.dns import dns_answers, is_dns
from auditor.flows.intern import intern
from auditor.flows.state import FREE_DATAGRAM, UNKNOWN_SIDE, AnswerRows, FlowRow, Memory, SideRow
from auditor.machine.kernel import inlined, part
from auditor.recognise.numbers import DNS, DTLS, IKE, OPENVPN, QUIC, STUN, UNKNOWN, WIREGUARD

MOST_DATAGRAMS, MOST_KEPT_BYTES = 48, 65536  # of one flow


@part
def is_quic(block: Bytes, at: int, end: int) -> bool:
    """A QUIC long header (RFC 8999 5.1) of a version in use: 1, 2, the drafts, Google's Q0xx and T05x."""
    if end - at < 14 or block[at] & 0x80 == 0:
        return False
    version = be32(block, at + 1)
    known = (
        version == 1
        or version == 0x6B3343CF
        or version >> 8 == 0xFF0000
        or (version >> 24 == 0x51 and version >> 16 & 0xFF == 0x30)
        or (version >> 24 == 0x54 and version >> 16 & 0xFF == 0x30)
        or version >> 12 == 0xFACEB
    )
    return known and block[at + 5] <= 20


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
def vpn(block: Bytes, at: int, end: int) -> int:
    """Whether a datagram opens an encrypted tunnel, by the fixed forms of its first messages; UNKNOWN if not."""
    size = end - at
    first = int(block[at])
    if size >= 32 and first >= 1 and first <= 4 and be24(block, at + 1) == 0:
        # WireGuard: type, three zero bytes; initiation, response and cookie reply have fixed lengths.
        wanted = 148 if first == 1 else 92 if first == 2 else 64 if first == 3 else size
        if size == wanted and (first < 4 or size % 16 == 0):
            return WIREGUARD
    if size >= 32 and be32(block, at) == 0:
        at += 4  # IKE behind the non-ESP marker (RFC 3948 2.2)
        size -= 4
    if size >= 28 and (block[at + 17] == 0x20 or block[at + 17] == 0x10) and be32(block, at + 24) == size:
        exchange = int(block[at + 18])  # RFC 7296 3.1, RFC 2408 3.1
        if (exchange >= 34 and exchange <= 43) or (exchange >= 2 and exchange <= 6) or exchange == 32:
            return IKE
    if size == 14 and first == 0x38 and be32(block, end - 4) == 0 and block[end - 5] == 0:
        return OPENVPN  # a hard reset: no acknowledgements, packet 0
    return UNKNOWN


@inlined
def is_looked_at(flow: FlowRow, side: SideRow) -> bool:
    """Whether a datagram is: what was not told from eight datagrams of a side will not be told from more."""
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
def handshake_datagram(
    memory: Memory,
    flow: FlowRow,
    side: SideRow,
    direction: int,
    block: Bytes,
    begin: int,
    end: int,
    packet: PacketRow,
) -> None:
    """Keep what a QUIC or DTLS handshake can be put together from; of what is encrypted only that it was there."""
    first = int(block[begin])
    if flow.application == QUIC:
        if first & 0x80 == 0:
            side.protected = 1
        elif end - begin > 7:
            version, kind = be32(block, begin + 1), first >> 4 & 3
            second = version == 0x6B3343CF  # version 2 counts its packet types from 1 (RFC 9369 3.2)
            initial, retry = (1, 0) if second else (0, 3)
            if version == 0 or kind == initial or kind == retry:
                keep_datagram(memory, flow, direction, block, begin, end - begin, packet)
        return
    plain = first >= 20 and first <= 26 and first != 23
    if plain or side.protected == 0:
        keep_datagram(memory, flow, direction, block, begin, end - begin if plain else min(end - begin, 16), packet)
    if not plain:
        side.protected = 1


@part
def udp_payload(
    memory: Memory, answers: AnswerRows, flow: FlowRow, side: SideRow, direction: int, block: Bytes, packet: PacketRow
) -> None:
    """Name the protocol of a datagram, and keep what a DNS response says."""
    begin = int(packet.payload)
    end = begin + int(packet.payload_captured)
    if flow.application == UNKNOWN:
        if is_dns(block, begin, end):
            flow.application = DNS
            response = block[begin + 2] & 0x80 != 0
            if flow.client == UNKNOWN_SIDE:
                flow.client = 1 - direction if response else direction
        elif is_quic(block, begin, end):
            flow.application = QUIC
        elif is_dtls(block, begin, end):
            flow.application = DTLS
        elif end - begin >= 20 and block[begin] < 4 and be32(block, begin + 4) == 0x2112A442:
            flow.application = STUN
        elif end - begin >= 14:
            flow.application = vpn(block, begin, end)
    elif flow.application == STUN and is_dtls(block, begin, end):
        flow.application = DTLS  # RFC 7983: STUN and DTLS share the ports of a WebRTC session
    if flow.application == QUIC or flow.application == DTLS:
        handshake_datagram(memory, flow, side, direction, block, begin, end, packet)
    elif flow.application == DNS and end - begin > 12 and is_dns(block, begin, end):
        dns_answers(memory, answers, block, packet)
