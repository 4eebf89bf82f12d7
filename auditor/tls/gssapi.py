"""TLS inside FTP's security exchange (RFC 2228): GridFTP's GSI sends TLS records in base64, in ADAT commands and replies."""

import base64
import binascii
from dataclasses import dataclass, field

from auditor.flows import state as S
from auditor.tls.datagram_messages import Datagram, Messages, messages
from auditor.tls.messages import CHANGE_CIPHER
from auditor.tls.records import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE_RECORD

COMMAND, REPLY = b"ADAT ", b"ADAT="


def token_of(line: bytes) -> bytes | None:
    """The token of an ADAT command or reply; None for another line, and for what is no base64."""
    upper = line[:9].upper()
    if upper.startswith(COMMAND):
        text = line[len(COMMAND) :]
    elif upper[4:9] == REPLY:
        text = line[9:]
    else:
        return None
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return None


@dataclass
class Side:
    """What one side has sent: text without a line's end yet, TLS bytes, handshake bytes."""

    text: bytes = b""
    records: bytes = b""
    plain: bytes = b""
    encrypted: bool = False


@dataclass
class Gssapi:
    """The handshake of one FTP control connection. ``protocol``: the number of FTP."""

    state: S.State
    protocol: int
    handshake: Messages | None = None
    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(), Side()))

    def run(self, datagrams: list[Datagram], protected: list[bool]) -> list[Messages]:
        for seen in datagrams:
            side = self.sides[seen.side]
            *lines, side.text = (side.text + seen.data).split(b"\n")
            for line in lines:
                token = token_of(line)
                if token is None:
                    continue
                if self.handshake is None:
                    client = seen.side if line[:5].upper() == COMMAND else 1 - seen.side
                    self.handshake = Messages(self.state, S.OVER_TCP, client, seen)
                    self.handshake["upgraded"] = self.protocol
                self._records(self.handshake, side, token, seen)
        return [self.handshake] if self.handshake is not None and self.handshake["seen"] else []

    def _records(self, handshake: Messages, side: Side, token: bytes, seen: Datagram) -> None:
        side.records += token
        while len(side.records) >= 5 and 20 <= side.records[0] <= 23 and side.records[1] == 3:
            kind, size = side.records[0], int.from_bytes(side.records[3:5], "big")
            if len(side.records) < 5 + size:
                return
            body, side.records = side.records[5 : 5 + size], side.records[5 + size :]
            is_client = seen.side == handshake["client_side"]
            if kind == HANDSHAKE_RECORD and side.encrypted:
                handshake.saw(S.SEEN_CLIENT_FINISHED if is_client else S.SEEN_SERVER_FINISHED)
            elif kind == HANDSHAKE_RECORD:
                side.plain += body
                read = 0
                for message, content, after in messages(side.plain):
                    handshake.take(seen.side, message, content, seen)
                    read = after
                side.plain = side.plain[read:]
            elif kind == CHANGE_CIPHER_SPEC and not side.encrypted:
                side.encrypted = True
                handshake.take(seen.side, CHANGE_CIPHER, b"", seen)
            elif kind == ALERT and size == 2 and not side.encrypted:
                handshake.alert(seen.side, body[0], body[1])
        self.state = handshake.state
