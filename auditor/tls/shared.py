"""Datagrams of STUN, TURN, DTLS, CAPWAP and QUIC, which may share one 5-tuple: each handshake is given what is its own.

The first byte tells them apart (RFC 7983 7, RFC 9443 3). TURN carries datagrams between the client and its peers, in
indications or ChannelData (RFC 8656 11, 12); those to and from one peer are one conversation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from auditor.flows.state import BY_DTLS, BY_QUIC
from auditor.recognise.numbers import CAPWAP, DTLS, QUIC, STUN
from auditor.tls.datagram_messages import Datagram, FlowMarks, MessageArrays, Messages
from auditor.tls.dtls import Dtls
from auditor.tls.quic import Quic
from auditor.tls.wrappers import (
    CHANNEL_BIND,
    CHANNEL_NUMBER,
    COOKIE,
    DATA_ATTRIBUTE,
    DATA_INDICATION,
    PEER,
    SEND_INDICATION,
)

STUN_HEADER, CAPWAP_HEADER = 20, 4
ANY = b""  # the peer of datagrams that no peer goes with


def attributes(message: bytes) -> dict[int, bytes]:
    """The attributes of a STUN message (RFC 8489 14), the first of each type; the last may not be whole."""
    found: dict[int, bytes] = {}
    at = STUN_HEADER
    while at + 4 <= len(message):
        kind, size = int.from_bytes(message[at : at + 2], "big"), int.from_bytes(message[at + 2 : at + 4], "big")
        found.setdefault(kind, message[at + 4 : at + 4 + size])
        at += 4 + (size + 3) // 4 * 4
    return found


@dataclass
class Turn:
    """What a TURN client and its server say of peers."""

    peers: dict[int, bytes] = field(default_factory=dict)  # by channel

    def message(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The peer and the datagram that a STUN message carries; None for others, which may bind a channel."""
        kind, found = int.from_bytes(data[:2], "big"), attributes(data)
        if kind == CHANNEL_BIND and CHANNEL_NUMBER in found and PEER in found:
            self.peers[int.from_bytes(found[CHANNEL_NUMBER][:2], "big")] = found[PEER]
        if kind in (SEND_INDICATION, DATA_INDICATION) and DATA_ATTRIBUTE in found:
            return found.get(PEER, ANY), found[DATA_ATTRIBUTE]
        return None

    def channel(self, data: bytes) -> tuple[bytes, bytes]:
        """Likewise of ChannelData."""
        number, size = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        return self.peers.get(number, data[:2]), data[4 : 4 + size]

    def inside(self, data: bytes) -> tuple[bytes, bytes] | None:
        """What a datagram to or from a TURN server carries."""
        if data[0] & 0xF0 == 0x40:
            return self.channel(data)
        return self.message(data) if data[0] < 4 and data[4:8] == COOKIE.to_bytes(4, "big") else None


@dataclass
class Shared:
    """The handshakes of a flow over UDP; or over TCP, where TURN's messages stand one behind the other (``framed``)."""

    held: MessageArrays
    application: int
    framed: bool
    protected: list[int]  # under whose keys each side sent packets: bits BY_QUIC, BY_DTLS
    shown: FlowMarks = field(default_factory=FlowMarks)

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        turn = Turn()
        quic: list[Datagram] = []
        plain: list[Datagram] = []
        peers: dict[bytes, list[Datagram]] = {}
        for seen in _unframed(datagrams) if self.framed else datagrams:
            if not seen.data:  # a datagram may be empty
                continue
            if self.application == CAPWAP:
                plain.append(seen._replace(data=seen.data[CAPWAP_HEADER:]))
            elif (20 <= seen.data[0] <= 63 and self.application != QUIC) or _is_dtls(seen.data):
                plain.append(seen)
            elif (carried := None if self.application == QUIC else turn.inside(seen.data)) is not None:
                peers.setdefault(carried[0], []).append(seen._replace(data=carried[1]))
            elif seen.data[0] >= 128:
                quic.append(seen)
        by_dtls, by_quic = ([bool(bits & bit) for bits in self.protected] for bit in (BY_DTLS, BY_QUIC))
        found = Dtls(self.held, CAPWAP if self.application == CAPWAP else 0).run(plain, by_dtls)
        for conversation in peers.values():
            found += Dtls(self.held, STUN).run(conversation, [False, False])
        opened = Quic(self.held).run(quic, by_quic, is_known=self.application == QUIC)
        if opened and not self.application:
            self.shown.application = QUIC
        elif found and self.application == STUN and plain:
            self.shown.application = DTLS
        return sorted(found + opened, key=lambda handshake: handshake["started"])


def _is_dtls(data: bytes) -> bool:
    """A DTLS record where QUIC is spoken: its version."""
    return 20 <= data[0] <= 26 and data[1:3] in (b"\xfe\xff", b"\xfe\xfd")


def _unframed(pieces: list[Datagram]) -> Iterator[Datagram]:
    """The messages of both sides' streams: STUN and ChannelData by their own lengths, or behind lengths of RFC 4571."""
    rest, last = [b"", b""], pieces[:1] * 2
    cookie = COOKIE.to_bytes(4, "big")
    prefixed = any(seen.data[6:10] == cookie and seen.data[4:8] != cookie for seen in pieces)
    for seen in pieces:
        last[seen.side] = seen
        data = rest[seen.side] + seen.data
        while len(data) >= 4:
            size = int.from_bytes(data[:2], "big") if prefixed else int.from_bytes(data[2:4], "big")
            begin = 2 if prefixed else 0
            if not prefixed:
                size += STUN_HEADER if data[0] < 4 else 4 + -size % 4  # RFC 8656 12.5
            if len(data) < begin + size:
                break
            if size:
                yield seen._replace(data=data[begin : begin + size])
            data = data[begin + size :]
        rest[seen.side] = data
    begin = 2 if prefixed else 0
    for seen, data in zip(last, rest, strict=True):  # of the last ones the capture may have only the beginning
        if len(data) > begin + 4:
            yield seen._replace(data=data[begin:], is_cut=True)
