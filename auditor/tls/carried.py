"""TLS that another protocol carries in pieces (RFC 8446 5): records, and the handshake messages in them.

It notes what ``records`` notes of a stream; there are few of these handshakes, and each is short.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from auditor.flows import state as S
from auditor.tls.borders import LARGEST_RECORD
from auditor.tls.datagram_messages import Datagram, MessageArrays, Messages, messages
from auditor.tls.messages import (
    ALERT,
    APPLICATION_DATA,
    CERTIFICATE,
    CHANGE_CIPHER,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    ENDS_OF_EARLY_DATA,
    HANDSHAKE_RECORD,
    HEARTBEAT,
    SERVER_HELLO,
    SHORTEST_FINISHED,
)

READ_CUT = (CLIENT_HELLO, SERVER_HELLO, CERTIFICATE)  # messages whose beginning alone says something


def begins_record(data: bytes) -> bool:
    """Whether a record's header is at the start of ``data``, as far as it is there."""
    if not data or not CHANGE_CIPHER_SPEC <= data[0] <= HEARTBEAT or (len(data) > 1 and data[1] != 3):
        return False
    return len(data) < 5 or 0 < int.from_bytes(data[3:5], "big") <= LARGEST_RECORD


@dataclass
class CarriedSide:
    """What one side has sent: bytes of a record that is not whole, plain handshake bytes, whether the rest is encrypted."""

    records: bytes = b""
    plain: bytes = b""
    encrypted: bool = False
    over: bool = False  # something that is no record followed, or bytes are lacking
    last: Datagram | None = None  # what its last bytes came in


@dataclass
class Carried:
    """One session of TLS inside another protocol, whose number is ``protocol``."""

    held: MessageArrays
    protocol: int
    transport: int = S.OVER_TCP
    handshake: Messages | None = None
    sides: tuple[CarriedSide, CarriedSide] = field(default_factory=lambda: (CarriedSide(), CarriedSide()))

    def take(self, data: bytes, seen: Datagram) -> None:
        """The next bytes that a side sends; where the capture lacks some behind them, what comes later is not next."""
        side = self.sides[seen.side]
        if side.over:
            return
        side.last = seen
        side.records += data
        side.over = seen.is_cut
        while len(side.records) >= 5:
            if not begins_record(side.records):
                side.over = True
                return
            kind, size = side.records[0], int.from_bytes(side.records[3:5], "big")
            if len(side.records) < 5 + size:
                return
            body, side.records = side.records[5 : 5 + size], side.records[5 + size :]
            self._record(kind, body, side, seen)

    def end(self) -> None:
        """No more is there: a hello that is not whole is read as far as it goes, and a Certificate is noted."""
        for number, side in enumerate(self.sides):
            last = side.last
            if last is None:
                continue
            if side.records[:1] == bytes([HANDSHAKE_RECORD]) and not side.encrypted:
                self._plain(side, side.records[5:], last)
            rest = side.plain
            if len(rest) > 4 and rest[0] in READ_CUT:
                handshake = self._begun(number, rest[0], last)
                if handshake is not None:
                    handshake.take(number, rest[0], rest[4:], last, int.from_bytes(rest[1:4], "big"))

    def _record(self, kind: int, body: bytes, side: CarriedSide, seen: Datagram) -> None:
        handshake = self.handshake
        if kind == HANDSHAKE_RECORD and not (side.encrypted and self._is_encrypted(seen.side)):
            side.encrypted = False
            self._plain(side, body, seen)
        elif handshake is None:
            return
        elif kind == HANDSHAKE_RECORD:
            is_client = seen.side == handshake["client_side"]
            handshake.saw(S.SEEN_CLIENT_FINISHED if is_client else S.SEEN_SERVER_FINISHED)
        elif kind == CHANGE_CIPHER_SPEC and not side.encrypted:
            side.encrypted = True
            handshake.take(seen.side, CHANGE_CIPHER, b"", seen)
        elif kind == APPLICATION_DATA:
            _note_data(handshake, seen.side, len(body))
        elif kind == ALERT and len(body) == 2 and not side.encrypted:
            handshake.alert(seen.side, body[0], body[1])

    def _is_encrypted(self, side: int) -> bool:
        """Whether a record behind ChangeCipherSpec is: after a retry the second hellos are not (RFC 8446 D.4)."""
        handshake = self.handshake
        if handshake is None or not handshake["seen"] & S.SEEN_RETRY:
            return True
        done = S.SEEN_SECOND_HELLO if side == handshake["client_side"] else S.SEEN_SERVER_HELLO
        return bool(handshake["seen"] & done)

    def _plain(self, side: CarriedSide, body: bytes, seen: Datagram) -> None:
        side.plain += body
        read = 0
        for kind, content, after in messages(side.plain):
            handshake = self._begun(seen.side, kind, seen)
            if handshake is not None:
                handshake.take(seen.side, kind, content, seen)
            read = after
        side.plain = side.plain[read:]

    def _begun(self, side: int, kind: int, seen: Datagram) -> Messages | None:
        """The handshake, which a hello begins."""
        if self.handshake is None and kind in (CLIENT_HELLO, SERVER_HELLO):
            self.handshake = Messages(self.held, self.transport, side if kind == CLIENT_HELLO else 1 - side, seen)
            self.handshake["upgraded"] = self.protocol
        return self.handshake


def _note_data(handshake: Messages, side: int, size: int) -> None:
    """An encrypted record (see ``messages.note_client_data``)."""
    if side != handshake["client_side"]:
        handshake.saw(S.SEEN_SERVER_DATA)
        return
    is_short = not handshake["seen"] & S.SEEN_CLIENT_DATA and size < SHORTEST_FINISHED
    if is_short and size in ENDS_OF_EARLY_DATA:
        return
    if handshake["seen"] & S.SEEN_SERVER_HELLO:
        handshake.saw(S.SEEN_CLIENT_DATA | (S.SEEN_CLIENT_SHORT if is_short else 0))
    elif not is_short:
        handshake.saw(S.SEEN_EARLY_DATA)


def ended(sessions: Iterable[Carried]) -> list[Messages]:
    """The handshakes of sessions of which no more is there."""
    found = []
    for session in sessions:
        session.end()
        if session.handshake is not None and session.handshake["seen"]:
            found.append(session.handshake)
    return found
