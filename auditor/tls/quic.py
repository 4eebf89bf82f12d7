"""QUIC's handshake: Initial packets opened with the keys that anyone can derive (RFC 9001 5.2), CRYPTO frames in order.

The keys come from the connection id that the client chose first. A server's packets are opened with the same one, so a
connection whose first packets are not in the capture stays closed, and is reported as such.
"""

import re
from dataclasses import dataclass, field

from auditor.flows import state as S
from auditor.tls.datagram_messages import Datagram, MessageArrays, Messages, messages
from auditor.tls.hello_faults import CUT_HELLO, NO_KEYS, NO_SALT
from auditor.tls.messages import CLIENT_HELLO, SERVER_HELLO
from auditor.tls.quic_packets import (
    EARLY,
    GOOGLE_SALTS,
    INITIAL,
    RETRY,
    TRIED,
    Packet,
    initial_keys,
    opened,
    packets,
    salt_of,
    varint,
)
from auditor.tls.quic_versions import RENAMED

GOOGLE_CRYPTO = 8  # their number of the CRYPTO frame
MOST_CONNECTIONS = 16  # on one 5-tuple
MOST_PIECES = 256  # of CRYPTO bytes that wait for what comes before them
LONGEST_STREAM = 65536  # of CRYPTO bytes that are put together
NOTHING = re.compile(rb"[\0\1]*")  # frames PADDING and PING
CRYPTO_ERROR = 0x100  # RFC 9001 4.8: the low byte is a TLS alert


@dataclass
class CryptoStream:
    """The CRYPTO bytes of one side: the first copy of each byte counts."""

    data: bytearray = field(default_factory=bytearray)
    waiting: dict[int, bytes] = field(default_factory=dict)
    read: int = 0
    datagrams: int = 0

    def add(self, offset: int, data: bytes) -> None:
        if offset + len(data) > LONGEST_STREAM or (len(self.waiting) >= MOST_PIECES and offset > len(self.data)):
            return
        if len(data) > len(self.waiting.get(offset, b"")):
            self.waiting[offset] = data
        for begin in sorted(self.waiting):
            have = len(self.data)
            if begin > have:
                break
            self.data += self.waiting.pop(begin)[have - begin :]


class Connection:
    """One QUIC connection: its keys by version, its streams and its handshake."""

    def __init__(self, handshake: Messages, connection_id: bytes, client_side: int) -> None:
        self.handshake = handshake
        self.first_id = connection_id
        self.client_side = client_side
        self.streams = (CryptoStream(), CryptoStream())
        self.largest = [-1, -1]
        self.retry_id: bytes | None = None
        self.salts_of: dict[int, int] = {}  # of versions that are not registered: whose salt they use

    def open(self, seen: Datagram, packet: Packet) -> bytes | None:
        """The frames of a packet of this connection; None if it is not one."""
        # RFC 9368: a server may answer in another version, with keys of the same connection id.
        keys = initial_keys(self.salts_of.get(packet.version, packet.version), self.first_id)
        if keys is None:
            return None
        decrypted = opened(seen.data, packet, keys[seen.side != self.client_side], self.largest[seen.side])
        if decrypted is None:
            return None
        self.largest[seen.side] = max(self.largest[seen.side], decrypted[1])
        return decrypted[0]

    def restart(self, connection_id: bytes) -> None:
        """After a Retry, or in another version: new keys, and the CRYPTO stream is sent again."""
        self.first_id = connection_id
        self.largest = [-1, -1]
        self.retry_id = None

    def take(self, frames: bytes, seen: Datagram) -> None:
        """Read the frames of an Initial packet (RFC 9000 12.4, 19): nothing but these may be in one."""
        at, stream = 0, self.streams[seen.side]
        added = False
        try:
            while (at := _after_padding(frames, at)) < len(frames):
                kind, at = varint(frames, at)
                if kind in (0, 1):  # PADDING, PING, in more bytes than need be
                    continue
                if kind in (2, 3):
                    at = _after_ack(frames, at, with_counts=kind == 3)
                elif kind == 6 or (kind == GOOGLE_CRYPTO and self.handshake["quic_version"] in GOOGLE_SALTS):
                    offset, at = varint(frames, at)
                    size, at = varint(frames, at)
                    stream.add(offset, frames[at : at + size])
                    added = True
                    at += size
                elif kind in (0x1C, 0x1D):
                    error, at = varint(frames, at)
                    if error >> 8 == CRYPTO_ERROR >> 8:
                        self.handshake.alert(seen.side, 2, error & 0xFF)
                    return
                else:
                    return
        except IndexError:
            pass
        finally:
            if added:
                self._messages(stream, seen)

    def end(self, seen: Datagram) -> None:
        """No more is there: a hello that is not whole is read as far as it goes."""
        for number, stream in enumerate(self.streams):
            rest = bytes(stream.data[stream.read :])
            size = int.from_bytes(rest[1:4], "big")
            if len(rest) > 4 and rest[0] in (CLIENT_HELLO, SERVER_HELLO) and len(rest) < 4 + size:
                self.handshake.take(number, rest[0], rest[4:], seen._replace(side=number), size)

    def _messages(self, stream: CryptoStream, seen: Datagram) -> None:
        stream.datagrams += 1
        before = self.handshake["client_frame"]
        read = stream.read
        for kind, body, after in messages(bytes(stream.data[read:])):
            stream.read = read + after
            self.handshake.take(seen.side, kind, body, seen)
        if self.handshake["client_frame"] and not before:
            self.handshake["client_segments"] = stream.datagrams


def _after_padding(frames: bytes, at: int) -> int:
    """Where the first frame begins that is not PADDING or PING, of which many packets have a thousand."""
    padding = NOTHING.match(frames, at)
    return padding.end() if padding else at


def _after_ack(frames: bytes, at: int, *, with_counts: bool) -> int:
    """Where an ACK frame ends (RFC 9000 19.3)."""
    _, at = varint(frames, at)  # largest acknowledged
    _, at = varint(frames, at)  # delay
    ranges, at = varint(frames, at)
    for _ in range(1 + 2 * min(ranges, 4096) + (3 if with_counts else 0)):
        _, at = varint(frames, at)
    return at


def _opened_first(seen: Datagram, packet: Packet) -> tuple[int, tuple[bytes, int] | None]:
    """A client's first packet, opened with the keys of its version, or of the one whose salt an unknown version uses.

    Versions of mvfst went from salt to salt while their numbers stayed.
    """
    own = (packet.version,) if salt_of(packet.version) else ()
    for version in own if own and packet.version not in RENAMED else own + TRIED:
        keys = initial_keys(version, packet.target)
        decrypted = opened(seen.data, packet, keys[0], -1) if keys else None
        if decrypted is not None:
            return version, decrypted
    return packet.version, None


class Quic:
    """The QUIC connections of one flow (5-tuple), of which there may be several."""

    def __init__(self, held: MessageArrays) -> None:
        self._held = held
        self.connections: list[Connection] = []
        self._closed: list[tuple[Datagram, Packet]] = []  # packets that no keys opened yet

    def run(self, datagrams: list[Datagram], protected: list[bool], *, is_known: bool) -> list[Messages]:
        """The handshakes; ``is_known``: that it is QUIC is certain, so what stays closed is a row that says why."""
        early: list[tuple[int, bytes]] = []  # whose 0-RTT packets were seen, and the connection ids in them
        for seen in datagrams:
            for packet in packets(seen.data):
                if packet.kind == INITIAL:
                    self._initial(seen, packet)
                elif packet.kind == RETRY:
                    self._retry(seen, packet)
                elif packet.kind == EARLY:
                    early.append((seen.side, packet.target))
        if not self.connections:
            return self._nothing_opened() if is_known else []
        for connection in self.connections:
            connection.end(datagrams[-1])
            alone = len(self.connections) == 1
            if any(side == connection.client_side and (alone or name == connection.first_id) for side, name in early):
                connection.handshake.saw(S.SEEN_EARLY_DATA)
        last = self.connections[-1]
        for side in (0, 1):
            if protected[side]:
                last.handshake.saw(S.SEEN_CLIENT_DATA if side == last.client_side else S.SEEN_SERVER_DATA)
        return [connection.handshake for connection in self.connections]

    def _initial(self, seen: Datagram, packet: Packet) -> None:
        for connection in reversed(self.connections):
            frames = connection.open(seen, packet)
            if frames is not None:
                self._take(connection, frames, seen)
                return
        if len(self.connections) >= MOST_CONNECTIONS or len(self._closed) >= MOST_PIECES:
            return
        like, decrypted = _opened_first(seen, packet)
        if decrypted is None:
            self._closed.append((seen, packet))
            self._answered_to_cut()
            return
        connection = self._connection(seen, packet)
        connection.salts_of[packet.version] = like
        connection.largest[seen.side] = decrypted[1]
        self._take(connection, decrypted[0], seen)
        for earlier in list(self._closed):  # an answer that overtook what it answers
            frames = connection.open(*earlier)
            if frames is not None:
                self._closed.remove(earlier)
                self._take(connection, frames, earlier[0])

    def _answered_to_cut(self) -> None:
        """A client's packet of which the capture has only the beginning still names the keys of the answer."""
        seen, packet = self._closed[-1]
        for first, cut in self._closed[:-1]:
            if first.side == seen.side or cut.end <= len(first.data):
                continue
            keys = initial_keys(packet.version, cut.target)
            if keys and opened(seen.data, packet, keys[1], -1):
                connection = self._connection(first, cut)
                self._closed.remove((seen, packet))
                self._closed.remove((first, cut))
                self._initial(seen, packet)
                connection.handshake["invalid"] = CUT_HELLO
                return

    def _connection(self, seen: Datagram, packet: Packet) -> Connection:
        """The connection that a client's Initial with keys of its own belongs to: usually a new one."""
        for connection in reversed(self.connections):
            retried = connection.retry_id is not None and connection.retry_id == packet.target
            answered = connection.handshake["seen"] & S.SEEN_SERVER_HELLO
            again = not answered and connection.handshake["quic_version"] != packet.version
            if connection.client_side == seen.side and (retried or again):
                connection.restart(packet.target)
                connection.handshake["quic_version"] = packet.version
                if again:  # after Version Negotiation it is a new ClientHello
                    connection.streams = (CryptoStream(), CryptoStream())
                return connection
        handshake = Messages(self._held, S.OVER_QUIC, seen.side, seen)
        handshake["quic_version"] = packet.version
        connection = Connection(handshake, packet.target, seen.side)
        self.connections.append(connection)
        return connection

    def _take(self, connection: Connection, frames: bytes, seen: Datagram) -> None:
        connection.take(frames, seen)

    def _retry(self, seen: Datagram, packet: Packet) -> None:
        """RFC 9000 17.2.5: the client begins again with the connection id that the server names."""
        for connection in reversed(self.connections):
            if connection.client_side != seen.side:
                connection.retry_id = packet.source
                return

    def _nothing_opened(self) -> list[Messages]:
        if not self._closed:
            return []
        seen, packet = self._closed[0]
        handshake = Messages(self._held, S.OVER_QUIC, 0, seen)
        handshake["quic_version"] = packet.version
        handshake["invalid"] = NO_KEYS if salt_of(packet.version) else NO_SALT
        return [handshake]
