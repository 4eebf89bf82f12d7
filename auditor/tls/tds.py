"""TLS inside TDS, SQL Server's protocol: handshake records in packets of type PRELOGIN ([MS-TDS] 2.2.3, 3.2.5.1).

Behind the handshake, records stand on TCP alone. Where server or client asked for the log-in alone to be encrypted,
TDS goes on in clear behind it, and that is reported.
"""

from dataclasses import dataclass, field

from auditor.flows.state import UPGRADE_ASKED, UPGRADE_OF_LOGIN, UPGRADE_REFUSED
from auditor.recognise.numbers import TDS
from auditor.tls.carried import Carried, begins_record, ended
from auditor.tls.datagram_messages import Datagram, FlowMarks, MessageArrays, Messages
from auditor.tls.wrappers import PRELOGIN, PRELOGIN_RESPONSE

HEADER = 8
ENCRYPTION = 1  # an option of PRELOGIN, and its values ([MS-TDS] 2.2.6.5)
OFF, ON, NOT_SUPPORTED, REQUIRED = range(4)
PACKETS = range(1, 19)  # types
HANDSHAKE_PACKETS = (bytes([PRELOGIN]), bytes([PRELOGIN_RESPONSE]))


@dataclass
class Tds:
    """The handshake of one connection, and what was agreed about it in clear."""

    held: MessageArrays
    shown: FlowMarks = field(default_factory=FlowMarks)
    _bytes: list[bytes] = field(default_factory=lambda: [b"", b""])

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        session = Carried(self.held, TDS)
        last = [datagrams[0], datagrams[0]]
        for seen in datagrams:
            last[seen.side] = seen
            self._bytes[seen.side] += seen.data
            while self._bytes[seen.side] and self._step(session, seen):
                pass
        for side, rest in enumerate(self._bytes):  # a packet of which the capture has only the beginning
            if rest[:1] in HANDSHAKE_PACKETS and (session.sides[side].records or begins_record(rest[HEADER:])):
                session.take(rest[HEADER:], last[side])
        return ended([session])

    def _step(self, session: Carried, seen: Datagram) -> bool:
        """Go on by a TDS packet, or by a TLS record without one. False: it is not whole, or nothing that is known."""
        data, side = self._bytes[seen.side], session.sides[seen.side]
        if data[0] not in PACKETS:  # TLS by itself: all that follows
            session.take(data, seen)
            self._bytes[seen.side] = b""
            return False
        if len(data) < HEADER:
            return False
        size = int.from_bytes(data[2:4], "big")
        if size < HEADER or len(data) < size:
            return False
        body, self._bytes[seen.side] = data[HEADER:size], data[size:]
        if side.records or begins_record(body):
            session.take(body, seen)
        elif session.handshake is not None:
            self.shown.clear = TDS  # it goes on in clear after TLS
        else:
            self._negotiate(_encryption(body), answers=data[0] == PRELOGIN_RESPONSE)
        return True

    def _negotiate(self, wanted: int | None, *, answers: bool) -> None:
        """What a PRELOGIN message says of encryption: where the server answers that it is off, TLS protects the log-in alone."""
        if answers and wanted == OFF:
            self.shown.upgrade |= UPGRADE_OF_LOGIN
        if wanted in (ON, REQUIRED):
            self.shown.upgrade |= UPGRADE_ASKED
        elif wanted == NOT_SUPPORTED and self.shown.upgrade:
            self.shown.upgrade |= UPGRADE_REFUSED


def _encryption(body: bytes) -> int | None:
    """The value of PRELOGIN's option ENCRYPTION; None where it is not there."""
    at = 0
    while at + 5 <= len(body) and body[at] != 0xFF:
        if body[at] == ENCRYPTION:
            offset = int.from_bytes(body[at + 1 : at + 3], "big")
            return body[offset] & 3 if offset < len(body) else None
        at += 5
    return None
