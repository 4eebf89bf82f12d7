"""TLS inside FTP's security exchange (RFC 2228): GridFTP's GSI sends TLS records in base64, in ADAT commands and replies."""

import base64
import binascii
from dataclasses import dataclass, field

from auditor.recognise.numbers import FTP
from auditor.tls.carried import Carried, ended
from auditor.tls.datagram_messages import Datagram, FlowMarks, MessageArrays, Messages

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
class Gssapi:
    """The handshake of one FTP control connection."""

    held: MessageArrays
    shown: FlowMarks = field(default_factory=FlowMarks)
    text: list[bytes] = field(default_factory=lambda: [b"", b""])  # of each side, without a line's end yet

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        session = Carried(self.held, FTP)
        for seen in datagrams:
            *lines, self.text[seen.side] = (self.text[seen.side] + seen.data).split(b"\n")
            for line in lines:
                token = token_of(line)
                if token is not None:
                    session.take(token, seen)
        return ended([session])
