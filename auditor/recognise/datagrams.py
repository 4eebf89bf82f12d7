"""Which application a datagram speaks, and which datagrams are kept until their flow ends."""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.decode.frames import BITS
from auditor.decode.packet import EAPOL, PacketRow
from auditor.flows.dns import dns_answers, is_dns
from auditor.flows.kept import MOST_CARRIED, MOST_DATAGRAMS, keep_datagram
from auditor.flows.state import (
    BY_0_RTT,
    BY_DTLS,
    BY_QUIC,
    BY_RECORDS,
    EXPORTS,
    UNKNOWN_SIDE,
    AnswerRows,
    FlowRow,
    Memory,
    SideRow,
)
from auditor.machine.kernel import inlined, part
from auditor.recognise.carriers import (
    HEADER,
    binds_channel,
    dtls_inside,
    has_eap,
    is_capwap_control,
    is_capwap_dtls,
    is_channel_data,
    is_dtls,
    is_dtls_of_any_epoch,
    is_encrypted_dtls,
    is_openvpn,
    is_radius,
    is_rdp_over_udp,
    is_stun,
    openvpn_bytes,
)
from auditor.recognise.clear import look_at_datagram
from auditor.recognise.datagram_services import SEQUENCE, datagram_service
from auditor.recognise.exports import export_application
from auditor.recognise.numbers import (
    CAPWAP,
    DNS,
    DTLS,
    EAP,
    IKE,
    IPFIX,
    LDAP,
    OPENVPN,
    OTHER,
    QUIC,
    RADIUS,
    RDP,
    SFLOW,
    SNMP,
    SNMP_SEALED,
    STUN,
    UNKNOWN,
    WIREGUARD,
)
from auditor.tls.quic_versions import DRAFT_OF_2, VERSION_2
from auditor.tls.wrappers import CONTROL

# Bytes of a long header: two connection ids of 20 bytes, lengths and a packet number (RFC 9000 17.2).
LONGEST_HEADER = 64
SHORT_HEADER = 32  # of DTLS 1.3: its first byte is this or more
DTLS_0, DTLS_1_0, DTLS_1_2, ZRTP = 0x0100, 0xFEFF, 0xFEFD, 0x5A525450  # the first is OpenSSL's, before the RFC
LONGEST_KEEP_ALIVE = 4  # bytes: one of all ones (RFC 3948 2.3), two lines' ends (RFC 5626 4.4.1)
_PROTECTS = np.zeros(256, np.bool_)  # by itself, or is no contents
_PROTECTS[[QUIC, DTLS, STUN, WIREGUARD, IKE, OPENVPN, RDP, CAPWAP, SNMP_SEALED]] = True
FIRST_DATAGRAMS = 8  # of a side: if these reveal nothing, more of them will not
SMALLEST_INITIAL = 1200  # bytes of a datagram with a client's first QUIC packet


@part
def is_quic_version(version: int) -> bool:
    """Versions in use: 1 (RFC 9000), 2 (RFC 9369), the drafts, Google's Q0xx and T05x, Facebook's mvfst, reserved ones."""
    if (
        version == 1
        or version == VERSION_2
        or version == DRAFT_OF_2
        or version >> 8 == 0xFF0000
        or version >> 12 == 0xFACEB
    ):
        return True
    if version & 0x0F0F0F0F == 0x0A0A0A0A:  # RFC 9000 15: to make the server negotiate
        return True
    letter, digit = version >> 24, version >> 16 & 0xFF
    return (letter == 0x51 or letter == 0x54) and digit == 0x30


@part
def is_quic(block: Bytes, at: int, end: int) -> bool:
    """A long header (RFC 8999 5.1) of a version in use, with a connection id of up to 20 bytes (RFC 9000 17.2)."""
    return end - at >= 14 and block[at] & 0x80 != 0 and is_quic_version(be32(block, at + 1)) and block[at + 5] <= 20


@part
def may_be_quic(flow: FlowRow, block: Bytes, at: int, end: int) -> bool:
    """A client's first packet of a version that nobody registered: long header, and large enough (RFC 9000 14.1, 17.2.2).

    Whether it is one shows when a known salt opens it.
    """
    if end - at < SMALLEST_INITIAL or block[at] & 0xC0 != 0xC0 or be32(block, at + 1) == 0:
        return False
    length = int(block[at + 5])
    if flow.datagram >= 0:  # an answer to one
        return length <= 20
    return 8 <= length <= 20 and block[at + 6 + length] <= 20


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
def datagram_application(block: Bytes, at: int, end: int, wire: int) -> int:
    """The application that a datagram's payload is recognised as by its form; UNKNOWN for others."""
    if is_dns(block, at, end):
        return DNS
    if is_quic(block, at, end):
        return QUIC
    if is_dtls(block, at, end, wire):
        return DTLS
    if is_stun(block, at, end):
        return STUN
    if is_wireguard(block, at, end):
        return WIREGUARD
    if is_ike(block, at, end):
        return IKE
    application = export_application(block, at, end)
    if application == UNKNOWN:
        application = carrier_application(block, at, end, wire)
    return application if application != UNKNOWN else datagram_service(block, at, end)


@part
def late_application(block: Bytes, at: int, end: int, wire: int) -> int:
    """Likewise, of a datagram behind many that revealed nothing: DTLS, or DTLS in TURN's ChannelData, or new keys of OpenVPN."""
    if is_dtls(block, at, end, wire):
        return DTLS
    if is_openvpn(block, at, end, wire):
        return OPENVPN
    is_turn = is_channel_data(block, at, end, wire) and is_dtls(block, at + 4, end, wire)
    return STUN if is_turn else UNKNOWN


@part
def carrier_application(block: Bytes, at: int, end: int, wire: int) -> int:
    """Likewise, of what carries TLS or DTLS inside messages of its own."""
    if is_openvpn(block, at, end, wire):
        return OPENVPN
    if is_channel_data(block, at, end, wire) and is_dtls(block, at + 4, end, wire):
        return STUN
    if is_capwap_dtls(block, at, end, wire) or is_capwap_control(block, at, end, wire):
        return CAPWAP
    if is_radius(block, at, end, wire):
        return RADIUS
    if is_rdp_over_udp(block, at, end):
        return RDP
    return UNKNOWN


@inlined
def is_looked_at(flow: FlowRow, side: SideRow, block: Bytes, packet: PacketRow) -> bool:
    """Whether a datagram is: what eight datagrams of a side did not reveal, more of them will not reveal either.

    But DTLS may begin late on the ports of RTP, STUN or TURN (RFC 7983), and OpenVPN agrees on new keys each hour.
    """
    application = flow.application
    if application == UNKNOWN:
        return side.packets <= FIRST_DATAGRAMS or begins_late(block, np.int64(packet.payload))
    if application == DNS:
        return True
    return flow.datagrams < (MOST_DATAGRAMS if application == QUIC else MOST_CARRIED)


@inlined
def begins_late(block: Bytes, at: int) -> bool:
    """Whether a datagram's first byte is that of a plain DTLS record, of ChannelData with one in it, or of OpenVPN's control."""
    first = block[at]
    return (first >= 20 and first <= 22) or first & 0xF0 == 0x40 or first >> 3 == CONTROL


@inlined
def is_like_version_2(version: int) -> bool:
    """Whether a version may have the packet types of version 2: one of no draft and of nobody's own."""
    return version != 1 and version >> 8 != 0xFF0000


@part
def quic_bytes(side: SideRow, block: Bytes, begin: int, end: int) -> int:
    """How many bytes are kept: all of Initial, Retry and Version Negotiation; of a side's first 0-RTT packet enough to show it.

    Short headers are only noted.
    """
    first = int(block[begin])
    if first & 0x80 == 0:
        side.protected |= BY_QUIC
        return 0
    if end - begin <= 7:
        return 0
    version, kind = be32(block, begin + 1), first >> 4 & 3
    # Version 2 counts its packet types from 1 (RFC 9369 3.2); what it calls Initial may be so in versions like it.
    initial, retry = (1, 0) if version == VERSION_2 else (0, 3)
    may_be = kind == 1 and is_like_version_2(version)
    if kind == (2 if version == VERSION_2 else 1) and not may_be and version != 0:  # 0-RTT
        seen = side.protected & BY_0_RTT
        side.protected |= BY_0_RTT
        return 0 if seen else min(end - begin, LONGEST_HEADER)
    return end - begin if version == 0 or kind == initial or kind == retry or may_be else 0


@part
def dtls_bytes(side: SideRow, block: Bytes, begin: int, at: int, end: int) -> int:
    """How many bytes of a datagram with DTLS from ``at`` are kept: of a side's first encrypted one enough to show it."""
    if not is_encrypted_dtls(block, at, end):
        side.protected &= 255 - BY_RECORDS  # a new handshake may choose another version
        return end - begin
    seen = side.protected & BY_DTLS
    side.protected |= BY_DTLS
    if block[at] < SHORT_HEADER:
        side.protected |= BY_RECORDS
    return 0 if seen else min(end, at + HEADER) - begin


@part
def shared_bytes(flow: FlowRow, side: SideRow, block: Bytes, begin: int, end: int, wire: int) -> int:
    """How many bytes are kept where STUN, TURN, DTLS, RTP and QUIC share ports: the first byte tells them apart (RFC 7983 7)."""
    if block[begin] >= 128:
        return quic_bytes(side, block, begin, end) if is_quic(block, begin, end) else 0
    at = dtls_inside(block, begin, end, wire)
    if at < 0:
        return end - begin if binds_channel(block, begin, end) else 0
    if at == begin and flow.application == STUN:
        if not is_dtls(block, begin, end, wire):
            return 0
        flow.application = DTLS
    return dtls_bytes(side, block, begin, at, end)


@part
def kept_bytes(flow: FlowRow, side: SideRow, block: Bytes, begin: int, end: int, wire: int) -> int:
    """How many bytes of a datagram are kept, because a handshake may be put together from them."""
    application = flow.application
    if application == QUIC:
        if not is_dtls_of_any_epoch(block, begin, end, wire):
            return quic_bytes(side, block, begin, end)
        return dtls_bytes(side, block, begin, begin, end)
    if application == STUN or application == DTLS:
        return shared_bytes(flow, side, block, begin, end, wire)
    if application == CAPWAP:
        carries = end - begin > 4 and block[begin] == 1
        return dtls_bytes(side, block, begin, begin + 4, end) if carries else 0
    if application == OPENVPN:
        return openvpn_bytes(block, begin, end)
    if application == RADIUS:
        return end - begin if is_radius(block, begin, end, wire) and has_eap(block, begin, end) else 0
    return end - begin if application == RDP or application == EAP else 0


@part
def may_share(side: SideRow, block: Bytes, begin: int, end: int, wire: int) -> bool:
    """Whether a datagram may stand beside DTLS: RTP, STUN, TURN's channels, ZRTP (RFC 7983 7), or what keeps ports open.

    So may one of which too little was captured, and what has the short header of DTLS 1.3 (RFC 9147 4), unless the side has
    sent encrypted records with a whole one, as older versions do.
    """
    first, size = np.int64(block[begin]), end - begin
    if wire - begin <= LONGEST_KEEP_ALIVE or (end < wire and size < HEADER) or first >> 6 == 2:
        return True
    if first >> 5 == 1:
        return side.protected & BY_RECORDS == 0
    if first >> 2 == 4:
        return size >= 8 and be32(block, begin + 4) == ZRTP
    if 20 <= first <= 26:
        version = be16(block, begin + 1)
        return version == DTLS_1_0 or version == DTLS_1_2 or version == DTLS_0
    return is_stun(block, begin, end) or is_channel_data(block, begin, end, wire)


@part
def note_beside_dtls(
    memory: Memory, flow: FlowRow, side: SideRow, block: Bytes, begin: int, end: int, wire: int
) -> None:
    """A datagram where DTLS is spoken: whether it is text, a message in clear, or nothing that belongs there."""
    look_at_datagram(memory, flow, block, begin, end)
    shares = may_share(side, block, begin, end, wire)
    if (flow.clear != UNKNOWN and flow.clear != OTHER) or (shares and block[begin] != SEQUENCE):
        return
    application = datagram_application(block, begin, end, wire)
    if application == UNKNOWN and not shares:
        flow.clear = OTHER
    elif application == SNMP or application == LDAP or not (shares or _PROTECTS[application]):
        flow.clear = application


@part
def udp_payload(
    memory: Memory, answers: AnswerRows, flow: FlowRow, side: SideRow, direction: int, block: Bytes, packet: PacketRow
) -> None:
    """Name the protocol of a datagram, keep what a handshake is put together from, and what a DNS response says."""
    begin = int(packet.payload)
    end = begin + int(packet.payload_captured)
    wire = begin + int(packet.payload_wire)
    if packet.protocol == EAPOL:
        flow.application = EAP
    elif flow.application == UNKNOWN:
        if side.packets <= FIRST_DATAGRAMS:
            flow.application = datagram_application(block, begin, end, wire)
        else:
            flow.application = late_application(block, begin, end, wire)
        if flow.application >= SFLOW and flow.application <= IPFIX:
            memory.tallies[packet.frame >> BITS, EXPORTS] += 1
    if flow.application == DNS:
        if is_dns(block, begin, end):  # what is multicast has no side that asks the other
            if flow.client == UNKNOWN_SIDE:
                flow.client = 1 - direction if block[begin + 2] & 0x80 else direction
            dns_answers(memory, answers, block, packet)
        return
    kept = np.int64(0)
    if flow.application == DTLS:
        note_beside_dtls(memory, flow, side, block, begin, end, wire)
    if flow.application != UNKNOWN:
        kept = kept_bytes(flow, side, block, begin, end, wire)
    elif may_be_quic(flow, block, begin, end) and flow.datagrams < FIRST_DATAGRAMS:
        kept = end - begin
    if kept > 0:
        keep_datagram(memory, flow, direction, block, begin, kept, packet)
