"""TLS inside OpenVPN's control channel: pieces in packets with message ids, over UDP or TCP (Network protocol of OpenVPN).

A packet is opcode and key id, session id, with ``--tls-auth`` an HMAC with packet id and time, a list of acknowledged ids (and
whose they are), the message id, a piece of TLS. Each key id is a session of its own. ``--tls-crypt`` encrypts all behind
the session id with a key that only both ends have: then it is said that the handshake is hidden. Since version 2.6 both ends
may agree, in their first session, that those of later keys are wrapped so.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from auditor.flows import state as S
from auditor.recognise.numbers import OPENVPN
from auditor.tls.carried import Carried, begins_record, ended
from auditor.tls.datagram_messages import Datagram, FlowMarks, MessageArrays, Messages
from auditor.tls.hello_faults import CUT_PACKETS, HIDDEN
from auditor.tls.wrappers import (
    AUTHENTICATED,
    CLIENT_RESET,
    CONTROL,
    CONTROL_WITH_KEY,
    FIRST_IDS,
    SERVER_RESET,
    SOFT_RESET,
)

RESETS = (CLIENT_RESET, SERVER_RESET)
CARRYING = (*RESETS, SOFT_RESET, CONTROL)  # packets with a message id, and perhaps TLS
OPCODES = range(SOFT_RESET, CONTROL_WITH_KEY + 1)


def parsed(packet: bytes, extra: int) -> tuple[int, bytes] | None:
    """Message id and piece of TLS of a control packet with ``extra`` bytes behind its session id; None if they do not fit."""
    at = 9 + extra
    if len(packet) < at + 5 or packet[at] > 8:
        return None
    at += 1 + (4 * packet[at] + 8 if packet[at] else 0)
    if len(packet) < at + 4:
        return None
    return int.from_bytes(packet[at : at + 4], "big"), packet[at + 4 :]


def extra_of(packet: bytes) -> int | None:
    """How many bytes a packet has behind its session id, where its form shows it: a reset, or a record's beginning."""
    if not packet or packet[0] >> 3 not in CARRYING:
        return None
    for extra in AUTHENTICATED:
        piece = parsed(packet, extra)
        if piece is None:
            continue
        number, data = piece
        if packet[0] >> 3 in RESETS:
            acknowledged = packet[9 + extra]
            if number == 0 and not data and acknowledged == (packet[0] >> 3 == SERVER_RESET):
                return extra
        elif len(data) > 5 and data[0] in (21, 22) and begins_record(data):
            return extra
    return None


def is_encrypted(packet: bytes) -> bool:
    """Whether a packet has what ``--tls-crypt`` leaves in clear: packet id and time behind its session id."""
    number, time = int.from_bytes(packet[10:13], "big"), int.from_bytes(packet[13:17], "big")
    return 1 <= number <= FIRST_IDS and 0x40000000 < time < 0xC0000000


@dataclass
class Sender:
    """Pieces of one side: the next message id, and those that came before their turn."""

    next: int = 1 << 32
    waiting: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Session:
    """The TLS session of one key id."""

    carried: Carried
    senders: tuple[Sender, Sender] = field(default_factory=lambda: (Sender(), Sender()))

    def take(self, piece: "Piece") -> None:
        sender = self.senders[piece.seen.side]
        if piece.number < sender.next:
            return  # sent again
        sender.waiting.setdefault(piece.number, piece.data)
        while sender.next in sender.waiting:
            self.carried.take(sender.waiting.pop(sender.next), piece.seen)
            sender.next += 1


class Piece(NamedTuple):
    """A message of a session, as it was seen."""

    number: int
    data: bytes
    seen: Datagram


@dataclass
class OpenVpn:
    """The sessions of one flow. ``framed``: over TCP, where two bytes of length stand before each packet."""

    held: MessageArrays
    framed: bool
    shown: FlowMarks = field(default_factory=FlowMarks)
    _connection: int = 0
    _identities: list[bytes] = field(default_factory=lambda: [b"", b""])

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        packets = _unframed(datagrams) if self.framed else datagrams
        keys: dict[tuple[int, int], list[Datagram]] = {}
        for seen in packets:
            if seen.data and seen.data[0] >> 3 in CARRYING:
                keys.setdefault(self._key(seen), []).append(seen)
        usual = next((extra for seen in packets if (extra := extra_of(seen.data)) is not None), None)
        if usual is None:
            is_cut = all(seen.is_cut for seen in packets) and not any(is_encrypted(seen.data) for seen in packets)
            return self._unseen(packets, CUT_PACKETS if is_cut else HIDDEN)
        found = [one for some in keys.values() for one in self._of_key(some, usual)]
        cut = [] if self.framed else [seen for seen in packets if seen.is_cut]
        return found or self._unseen(cut, CUT_PACKETS)

    def _of_key(self, packets: list[Datagram], usual: int) -> list[Messages]:
        """The handshake of one key. ``usual``: bytes behind the session id where its own packets do not show how many."""
        extra = next((extra for seen in packets if (extra := extra_of(seen.data)) is not None), None)
        if extra is None and any(is_encrypted(seen.data) for seen in packets):
            return self._unseen(packets, HIDDEN)
        session = Session(Carried(self.held, OPENVPN, self._transport))
        pieces = [piece for seen in packets if (piece := _piece(seen, usual if extra is None else extra)) is not None]
        for piece in pieces:
            sender = session.senders[piece.seen.side]
            sender.next = min(sender.next, piece.number)
        for piece in pieces:
            session.take(piece)
        return ended([session.carried])

    def _unseen(self, packets: list[Datagram], reason: int) -> list[Messages]:
        """A row for a handshake of which nothing can be read."""
        if not packets:
            return []
        handshake = Messages(self.held, self._transport, packets[0].side, packets[0])
        handshake["upgraded"], handshake["invalid"] = OPENVPN, reason
        return [handshake]

    @property
    def _transport(self) -> int:
        return S.OVER_TCP if self.framed else S.OVER_OTHER

    def _key(self, seen: Datagram) -> tuple[int, int]:
        """Connection and key id of a packet. A reset with another session id begins another connection on the same ports."""
        identity, kind = seen.data[1:9], seen.data[0] >> 3
        if kind == CLIENT_RESET and self._identities[seen.side] not in (b"", identity):
            self._connection += 1
        if kind in RESETS:
            self._identities[seen.side] = identity
        return self._connection, seen.data[0] & 7


def _piece(seen: Datagram, extra: int) -> Piece | None:
    piece = parsed(seen.data, extra)
    return Piece(*piece, seen) if piece is not None else None


def _unframed(pieces: list[Datagram]) -> list[Datagram]:
    """The packets of both sides' streams. Where a stream is known from the middle of a packet on, a later segment begins one."""
    rest, packets, last = [b"", b""], [], pieces[:1] * 2
    for seen in pieces:
        last[seen.side] = seen
        data = rest[seen.side] + seen.data
        while len(data) >= 3:
            size = int.from_bytes(data[:2], "big")
            if size and data[2] >> 3 not in OPCODES:
                data = b""
            elif len(data) < 2 + size:
                break
            elif size:
                packets.append(seen._replace(data=data[2 : 2 + size]))
            data = data[2 + size :]
        rest[seen.side] = data
    # Of the last ones the capture may have only the beginning.
    cut = [seen._replace(data=data[2:], is_cut=True) for seen, data in zip(last, rest, strict=True) if len(data) > 2]
    return packets + cut
