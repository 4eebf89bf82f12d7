"""DTLS 1.0, 1.2 and 1.3: records, and handshake messages put together from their fragments (RFC 6347, RFC 9147)."""

from dataclasses import dataclass, field

from auditor.flows import state as S
from auditor.tls.carried import READ_CUT
from auditor.tls.datagram_messages import Datagram, MessageArrays, Messages
from auditor.tls.messages import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    HANDSHAKE_RECORD,
    SERVER_HELLO,
)

HELLO_VERIFY = 3
CONNECTION_ID_RECORD = 25  # RFC 9146
LONGEST = 1 << 18  # bytes of a message that are put together
MOST_GAPS = 256  # in a message that is being put together
HELLOS = {
    CLIENT_HELLO: S.SEEN_CLIENT_HELLO | S.SEEN_CLIENT_INVALID,
    SERVER_HELLO: S.SEEN_SERVER_HELLO | S.SEEN_SERVER_INVALID | S.SEEN_RETRY,
}  # how it shows that they were seen
MOST_MESSAGES = 64  # of a side that are being put together


def without_cookie(body: bytes) -> bytes:
    """A ClientHello as TLS has it: DTLS puts a cookie behind the session id (RFC 6347 4.2.1)."""
    if len(body) < 35:
        return body
    at = 35 + body[34]
    return body[:at] + body[at + 1 + body[at] :] if at < len(body) else body


@dataclass
class PartialMessage:
    """A message in the making."""

    kind: int
    data: bytearray
    missing: list[tuple[int, int]]
    done: bool = False

    def add(self, offset: int, part: bytes) -> bool:
        """Take a fragment; True when the message is whole. Bytes that are there already stay."""
        if len(self.missing) > MOST_GAPS:
            return False
        end, missing = offset + len(part), []
        for low, high in self.missing:
            begin, stop = max(low, offset), min(high, end)
            if begin >= stop:
                missing.append((low, high))
                continue
            self.data[begin:stop] = part[begin - offset : stop - offset]
            missing += [gap for gap in ((low, begin), (stop, high)) if gap[0] < gap[1]]
        self.missing = missing
        return not missing


@dataclass
class DtlsSide:
    """What one side has sent: messages by number, the next one to be read, whether it has gone over to new keys, or was cut."""

    messages: dict[int, PartialMessage] = field(default_factory=dict)
    next: int | None = None
    encrypted: bool = False
    is_cut: bool = False


class Dtls:
    """The DTLS handshakes between two ends. ``protocol``: the number of what carries them, 0 for UDP alone."""

    def __init__(self, held: MessageArrays, protocol: int = 0) -> None:
        self._held = held
        self._protocol = protocol
        self.handshakes: list[Messages] = []
        self._sides = (DtlsSide(), DtlsSide())

    def run(self, datagrams: list[Datagram], protected: list[bool]) -> list[Messages]:
        for seen in datagrams:
            self._records(seen)
        if self.handshakes:
            self._rest(datagrams[-1])
            last = self.handshakes[-1]
            for side in (0, 1):
                if protected[side]:
                    last.saw(S.SEEN_CLIENT_DATA if side == last["client_side"] else S.SEEN_SERVER_DATA)
        return self.handshakes

    def _records(self, seen: Datagram) -> None:
        data, at = seen.data, 0
        self._sides[seen.side].is_cut |= seen.is_cut
        while at + 13 <= len(data) and 20 <= data[at] <= 26:
            kind, epoch = data[at], int.from_bytes(data[at + 3 : at + 5], "big")
            if kind == CONNECTION_ID_RECORD:
                self._encrypted(seen.side, kind)
                return  # how long the connection id is, only its owner knows
            size = int.from_bytes(data[at + 11 : at + 13], "big")
            body, is_cut = data[at + 13 : at + 13 + size], at + 13 + size > len(data)
            at += 13 + size
            if epoch:
                self._encrypted(seen.side, kind)
            elif kind == HANDSHAKE_RECORD:
                self._handshake(body, seen, is_cut=is_cut)
            elif kind == CHANGE_CIPHER_SPEC and self.handshakes and not self._sides[seen.side].encrypted:
                self._sides[seen.side].encrypted = True
                self._take(seen.side, CHANGE_CIPHER, b"", seen)
                if self._lacks_messages(seen):
                    self.handshakes[-1]["seen"] &= ~S.SEEN_SERVER_CCS
            elif kind == ALERT and len(body) == 2 and self.handshakes:
                self.handshakes[-1].alert(seen.side, body[0], body[1])
        if at < len(data) and data[at] >> 5 == 1:  # RFC 9147 4: the header of encrypted records
            self._unified(seen.side, data[at] & 3)

    def _unified(self, side: int, epoch: int) -> None:
        """A record with DTLS 1.3's header, and the two low bits of its epoch: the first one is that of early data (RFC 9147 6.1)."""
        known = self.handshakes[-1] if self.handshakes else None
        if known and epoch == 1 and side == known["client_side"] and not known["seen"] & S.SEEN_CLIENT_DATA:
            known.saw(S.SEEN_EARLY_DATA)
        else:
            self._encrypted(side, APPLICATION_DATA)

    def _lacks_messages(self, seen: Datagram) -> bool:
        """Whether a server's ChangeCipherSpec need not be right behind its hello: datagrams of it were cut, or it answers one."""
        client_side = self.handshakes[-1]["client_side"]
        return seen.side != client_side and (self._sides[seen.side].is_cut or self._sides[client_side].encrypted)

    def _encrypted(self, side: int, kind: int) -> None:
        """A record of a later epoch: only its presence can be noted."""
        if not self.handshakes:
            return
        handshake = self.handshakes[-1]
        is_client = side == handshake["client_side"]
        if kind == HANDSHAKE_RECORD:
            handshake.saw(S.SEEN_CLIENT_FINISHED if is_client else S.SEEN_SERVER_FINISHED)
        elif kind in (APPLICATION_DATA, CONNECTION_ID_RECORD):
            handshake.saw(S.SEEN_CLIENT_DATA if is_client else S.SEEN_SERVER_DATA)

    def _handshake(self, body: bytes, seen: Datagram, *, is_cut: bool) -> None:
        """The fragments of one record (RFC 6347 4.2.2); ``is_cut``: the last of them is not whole in the capture."""
        while len(body) >= 12:
            kind, total = body[0], int.from_bytes(body[1:4], "big")
            number, offset = int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:9], "big")
            size = int.from_bytes(body[9:12], "big")
            part, body = body[12 : 12 + size], body[12 + size :]
            if (len(part) < size and not is_cut) or offset + size > total or total > LONGEST:
                return
            if kind == CLIENT_HELLO:
                self._hello_from(seen, number, offset, part)
            elif kind == SERVER_HELLO and not self.handshakes:
                self._begin(1 - seen.side, seen)
            if self.handshakes:
                self._fragment(self._sides[seen.side], kind, number, total, offset, part, seen)

    def _rest(self, seen: Datagram) -> None:
        """No more is there: a hello that is not whole is read as far as it goes."""
        for number, side in enumerate(self._sides):
            message = side.messages.get(side.next if side.next is not None else -1)
            if message is None or message.done or message.kind not in READ_CUT:
                continue
            whole, there = bytes(message.data), message.missing[0][0]
            size = len(whole)
            if message.kind == CLIENT_HELLO:
                whole = without_cookie(whole)
                there -= size - len(whole)
            if there > 0:
                self.handshakes[-1].take(number, message.kind, whole[:there], seen._replace(side=number), len(whole))

    def _hello_from(self, seen: Datagram, number: int, offset: int, part: bytes) -> None:
        """A ClientHello: of the handshake that is known, or the first of another one on the same ports."""
        if self.handshakes:
            old = self._sides[seen.side].messages.get(number)
            over = self.handshakes[-1]["seen"] & S.SEEN_SERVER_HELLO
            if not over or number or offset or len(part) < 34 or old is None or bytes(old.data[:34]) == part[:34]:
                return
        self._begin(seen.side, seen)

    def _begin(self, client_side: int, seen: Datagram) -> None:
        self._sides = (DtlsSide(), DtlsSide())
        self.handshakes.append(Messages(self._held, S.OVER_DTLS, client_side, seen))
        self.handshakes[-1]["upgraded"] = self._protocol

    def _fragment(
        self, side: DtlsSide, kind: int, number: int, total: int, offset: int, part: bytes, seen: Datagram
    ) -> None:
        if side.next is None:
            side.next = number
        is_overtaken = number < side.next and not self.handshakes[-1]["seen"] & HELLOS.get(kind, -1)
        if (number < side.next and not is_overtaken) or number >= side.next + MOST_MESSAGES:
            return  # sent again
        message = side.messages.setdefault(
            number, PartialMessage(kind, bytearray(total), [(0, total)] if total else [])
        )
        if message.kind != kind or len(message.data) != total:
            return
        message.done = message.add(offset, part)
        if is_overtaken and message.done:
            self._whole(message, seen)
        while (whole := side.messages.get(side.next)) is not None and whole.done:
            side.next += 1
            self._whole(whole, seen)

    def _whole(self, message: PartialMessage, seen: Datagram) -> None:
        content = bytes(message.data)
        self._take(seen.side, message.kind, without_cookie(content) if message.kind == CLIENT_HELLO else content, seen)

    def _take(self, side: int, kind: int, body: bytes, seen: Datagram) -> None:
        self.handshakes[-1].take(side, kind, body, seen)
