"""Protocols that carry TLS or DTLS inside messages of their own: how each looks, and where the handshake is in it.

They are few and their handshakes are short, so what is found here is only kept; ``tls.datagrams`` puts it together.
A datagram is ``block[at:end]`` as far as it was captured, and ended at ``wire``: lengths are compared with that.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be24, be32
from auditor.machine.kernel import inlined, part
from auditor.tls.wrappers import (
    AUTHENTICATED,
    CHANNEL_BIND,
    CLIENT_RESET,
    CLIENT_RESET_3,
    CONTROL,
    CONTROL_WITH_KEY,
    COOKIE,
    CRYPT,
    DATA_1,
    DATA_2,
    DATA_ATTRIBUTE,
    DATA_INDICATION,
    EAP_MESSAGE,
    FIRST_IDS,
    LOGIN_7,
    PRELOGIN,
    PRELOGIN_RESPONSE,
    SEND_INDICATION,
    SERVER_RESET,
    SOFT_RESET,
)

RDP_SYN = 0x0001
EXTRA = np.array(AUTHENTICATED, np.int64)
HEADER = 16  # bytes of an encrypted DTLS record that show what it is


@part
def is_dtls(block: Bytes, at: int, end: int, wire: int) -> bool:
    """A plain DTLS record (RFC 6347 4.1, RFC 9147 4): its version, epoch 0, and a length that fits."""
    if end - at < 14:
        return False
    kind, version, length = block[at], be16(block, at + 1), be16(block, at + 11)
    return (
        (kind == 22 or kind == 20 or kind == 21)
        and (version == 0xFEFF or version == 0xFEFD or version == 0x0100)
        and be16(block, at + 3) == 0
        and 0 < length <= wire - at - 13
    )


@part
def is_dtls_of_any_epoch(block: Bytes, at: int, end: int, wire: int) -> bool:
    """A DTLS record with a whole header, plain or encrypted (not DTLS 1.3's short form)."""
    if end - at < 14 or block[at] < 20 or block[at] > 26:
        return False
    version = be16(block, at + 1)
    return (version == 0xFEFF or version == 0xFEFD) and 0 < be16(block, at + 11) <= wire - at - 13


@part
def is_stun(block: Bytes, at: int, end: int) -> bool:
    """Two zero bits, and the magic cookie (RFC 8489 5)."""
    return end - at >= 20 and block[at] < 4 and be32(block, at + 4) == COOKIE


@inlined
def is_channel_data(block: Bytes, at: int, end: int, wire: int) -> bool:
    """TURN's ChannelData (RFC 8656 12.4): a channel number and a length that fits."""
    return end - at > 4 and block[at] & 0xF0 == 0x40 and 0 < be16(block, at + 2) <= wire - at - 4


@part
def data_of_indication(block: Bytes, at: int, end: int) -> int:
    """Where the DATA attribute's value begins in a Send or Data indication (RFC 8656 11); -1 where there is none."""
    at += 20
    while at + 4 <= end:
        if be16(block, at) == DATA_ATTRIBUTE:
            return at + 4
        at += 4 + (be16(block, at + 2) + 3) // 4 * 4
    return -1


@part
def is_capwap_dtls(block: Bytes, at: int, end: int, wire: int) -> bool:
    """CAPWAP's DTLS header in front of a DTLS record (RFC 5415 4.2)."""
    return end - at > 4 and block[at] == 1 and be24(block, at + 1) == 0 and is_dtls(block, at + 4, end, wire)


@part
def is_capwap_control(block: Bytes, at: int, end: int, wire: int) -> bool:
    """A control message in clear (RFC 5415 4.3, 4.5.1): discovery, of which every length has to agree."""
    if end - at < 16 or block[at] != 0:
        return False
    begin = at + int(block[at + 1] >> 3) * 4
    if begin < at + 8 or begin + 8 > end or be24(block, begin) != 0:
        return False
    return 1 <= block[begin + 3] <= 40 and begin + 5 + be16(block, begin + 5) == wire


@part
def openvpn_payload(block: Bytes, at: int, end: int, extra: int) -> int:
    """Where the piece of TLS begins in a control packet with ``extra`` bytes behind the session id; -1 if none fits."""
    at += 9 + extra
    if at + 5 > end or block[at] > 8:
        return -1
    acknowledged = int(block[at])
    at += 5 + (4 * acknowledged + 8 if acknowledged else 0)
    return at if at <= end else -1


@inlined
def is_replay_protected(block: Bytes, at: int) -> bool:
    """Whether a packet id of a connection that began not long ago, and a time of these years, are at ``at``.

    The first byte of an id may say what its sender is able to.
    """
    return 1 <= be24(block, at + 1) <= FIRST_IDS and 0x40000000 < be32(block, at + 4) < 0xC0000000


@part
def is_openvpn_crypt(block: Bytes, at: int, end: int, wire: int) -> bool:
    """A packet with ``--tls-crypt``, which shows no more than packet id and time."""
    kind, size = block[at] >> 3, wire - at
    if end - at < 17 or size < 14 + CRYPT or not is_replay_protected(block, at + 9):
        return False
    if kind == CLIENT_RESET:
        return size == 14 + CRYPT
    return kind == CLIENT_RESET_3 or ((kind == SERVER_RESET or kind == CONTROL) and block[at + 9] == 0)


@part
def is_cut_openvpn(block: Bytes, at: int, end: int, wire: int) -> bool:
    """Likewise, of a packet that was cut before it shows more than ``--tls-auth``'s packet id and time.

    A reset's length on the wire has to be that of its HMAC.
    """
    kind = block[at] >> 3
    for k in range(1, EXTRA.size):
        extra = EXTRA[k]
        if at + 9 + extra > end or not is_replay_protected(block, at + 1 + extra):
            continue
        reset = 14 + extra + (12 if kind == SERVER_RESET else 0)
        if wire - at > 14 + extra if kind == CONTROL else wire - at == reset:
            return True
    return False


@part
def is_openvpn(block: Bytes, at: int, end: int, wire: int) -> bool:
    """A packet that begins a connection of OpenVPN, or one with the beginning of a TLS record in it, of whatever key.

    A reset has message id 0 and nothing behind it; a server's acknowledges the client's.
    """
    size, kind = end - at, block[at] >> 3
    is_first = block[at] & 7 == 0
    if size < 14 or not (is_first or kind == CONTROL):
        return False
    if is_first and is_openvpn_crypt(block, at, end, wire):
        return True
    if kind != CLIENT_RESET and kind != SERVER_RESET and kind != CONTROL:
        return False
    for k in range(EXTRA.size):
        extra = EXTRA[k]
        begin = openvpn_payload(block, at, end, extra)
        if begin < 0 or (extra > 0 and not 1 <= be32(block, at + 1 + extra) <= FIRST_IDS):
            continue
        if kind == CONTROL:
            if begin + 6 <= end and block[begin] == 22 and block[begin + 1] == 3 and block[begin + 2] <= 4:
                return True
        elif begin == end and be32(block, end - 4) == 0 and block[at + 9 + extra] == (1 if kind == SERVER_RESET else 0):
            return True
    return is_first and end < wire and is_cut_openvpn(block, at, end, wire)


@part
def is_radius(block: Bytes, at: int, end: int, wire: int) -> bool:
    """A RADIUS packet (RFC 2865 3): a known code, its length, and attributes that fill it exactly."""
    if end - at < 22 or be16(block, at + 2) != wire - at:
        return False
    code = int(block[at])
    if not (1 <= code <= 5 or 11 <= code <= 13 or 40 <= code <= 45):
        return False
    at += 20
    while at + 2 <= end and block[at] != 0 and block[at + 1] >= 2:
        at += int(block[at + 1])
    return at == wire or (at + 1 >= end and at < wire)


@part
def has_eap(block: Bytes, at: int, end: int) -> bool:
    """Whether a RADIUS packet carries a piece of EAP."""
    at += 20
    while at + 2 <= end and block[at + 1] >= 2:
        if block[at] == EAP_MESSAGE:
            return True
        at += int(block[at + 1])
    return False


@part
def is_rdp_over_udp(block: Bytes, at: int, end: int) -> bool:
    """A client's SYN, or a server's ([MS-RDPEUDP] 2.2.2.1, 2.2.2.5): nothing acknowledged yet, two MTUs within bounds."""
    if end - at < 16 or be16(block, at + 6) & RDP_SYN == 0 or be16(block, at + 6) & 0xE00A != 0:
        return False
    if be32(block, at) != 0xFFFFFFFF and be16(block, at + 6) & 0x0004 == 0:
        return False
    return 1132 <= be16(block, at + 12) <= 1232 and 1132 <= be16(block, at + 14) <= 1232


@part
def is_tds(data: Bytes, size: int) -> bool:
    """A PRELOGIN message or the answer ([MS-TDS] 2.2.6.5): its first option is the version, or TLS is in it already.

    Or a log-in in clear.
    """
    if size < 14 or data[1] > 1 or be16(data, 2) < 14 or data[7] != 0:
        return False
    if data[0] == LOGIN_7:  # its length, least significant byte first
        return size >= 12 and data[8] + 256 * np.int64(data[9]) + 8 == be16(data, 2) and data[10] == 0
    if data[0] != PRELOGIN and data[0] != PRELOGIN_RESPONSE:
        return False
    if data[8] == 22 and data[9] == 3 and (data[13] == 1 or data[13] == 2):
        return be16(data, 11) + 13 <= be16(data, 2)
    return data[8] == 0 and be16(data, 11) == 6 and be16(data, 9) + 14 <= be16(data, 2) and be16(data, 9) % 5 == 1


@part
def is_stun_over_tcp(data: Bytes, size: int) -> bool:
    """STUN at the start of a stream (RFC 8489 6.2.2), as it is or behind a length of two bytes (RFC 4571 2).

    Or ChannelData with DTLS in it, where the capture begins late.
    """
    start = 0
    if is_stun(data, start, size):
        return be16(data, 2) % 4 == 0
    if is_channel_data(data, start, size, size) and is_dtls(data, start + 4, size, size):
        return True
    return size >= 22 and is_stun(data, start + 2, size) and be16(data, 0) == be16(data, 4) + 20


@part
def is_openvpn_over_tcp(data: Bytes, size: int) -> bool:
    """OpenVPN's first packet behind a length of two bytes; or a later one that goes on in the next segment."""
    start = 2
    length = be16(data, 0) if size >= 16 else 0
    if length > size - 2:
        return data[2] >> 3 == CONTROL and is_openvpn(data, start, size, size)
    return length >= 14 and is_openvpn(data, start, 2 + length, 2 + length)


@part
def dtls_inside(block: Bytes, begin: int, end: int, wire: int) -> int:
    """Where DTLS begins in a datagram that STUN, TURN or DTLS sent (RFC 7983 7): -1 where there is none."""
    first, at = int(block[begin]), begin
    if first & 0xF0 == 0x40:
        at = begin + 4 if is_channel_data(block, begin, end, wire) else -1
    elif first < 4:
        kind = be16(block, begin) if is_stun(block, begin, end) else 0
        is_indication = kind == SEND_INDICATION or kind == DATA_INDICATION
        at = data_of_indication(block, begin, end) if is_indication else -1
    return at if 0 <= at < end and 20 <= block[at] <= 63 else -1


@part
def is_encrypted_dtls(block: Bytes, at: int, end: int) -> bool:
    """A record of a later epoch: by its number, its type, or the short header of DTLS 1.3 (RFC 9147 4)."""
    kind = int(block[at])
    return kind == 23 or kind > 24 or (end - at >= 5 and be16(block, at + 3) != 0)


@part
def binds_channel(block: Bytes, begin: int, end: int) -> bool:
    """Whether a datagram tells TURN's server which peer goes with a channel."""
    return block[begin] < 4 and is_stun(block, begin, end) and be16(block, begin) == CHANNEL_BIND


@part
def openvpn_bytes(block: Bytes, begin: int, end: int) -> int:
    """How many bytes of a packet of OpenVPN are kept: all of what may carry a piece of TLS; none of data."""
    kind = block[begin] >> 3
    carries = kind >= SOFT_RESET and kind <= CONTROL_WITH_KEY and kind != DATA_1 and kind != DATA_2 and kind != 5
    return end - begin if carries else 0
