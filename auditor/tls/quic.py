"""QUIC's handshake: Initial packets opened with the keys that anyone can derive (RFC 9001 5.2), CRYPTO frames in order.

The keys come from the connection id that the client chose first. A server's packets are opened with the same one, so a
connection whose first packets are not in the capture stays closed, and is reported as such.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auditor.flows import state as S
from auditor.tls.datagram_messages import Datagram, Held, Messages, messages
from auditor.tls.hello_faults import CUT_HELLO, NO_KEYS, NO_SALT
from auditor.tls.quic_versions import VERSION_2, draft_of

# Initial salts: RFC 9001 5.2, RFC 9369 3.3.1, and the drafts' (draft-ietf-quic-tls 5.2 of each).
SALT_1 = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
SALT_2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
DRAFT_SALTS = (  # first draft that has it, salt; newest first
    (33, SALT_1),
    (29, bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")),
    (23, bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")),
    (21, bytes.fromhex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a")),
    (17, bytes.fromhex("ef4fb0abb47470c41befcf8031334fae485e09a0")),
)
# Google's own drafts with TLS, before they joined the standard's numbers (QUICHE, crypto_utils).
GOOGLE_SALTS = {
    0x54303530: bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310"),
    0x54303531: bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d"),
}
GOOGLE_CRYPTO = 8  # their number of the CRYPTO frame
MOST_CONNECTIONS = 16  # on one 5-tuple
MOST_PIECES = 256  # of CRYPTO bytes that wait for what comes before them
LONGEST_STREAM = 65536  # of CRYPTO bytes that are put together
NOTHING = re.compile(rb"[\0\1]*")  # frames PADDING and PING
CRYPTO_ERROR = 0x100  # RFC 9001 4.8: the low byte is a TLS alert
INITIAL, RETRY, NEGOTIATION, OTHER = range(4)
# Whose salts are tried on versions that nobody registered, and on reserved ones (RFC 9000 15), which a client may send
# in front of any version of its own; the packet's tag proves the one.
TRIED = (1, VERSION_2, *(0xFF000000 | first for first, _ in DRAFT_SALTS[1:]), *GOOGLE_SALTS)


def salt_of(version: int) -> bytes | None:
    if version == VERSION_2:
        return SALT_2
    draft = draft_of(version)
    if draft is None:
        return SALT_1 if version == 1 else GOOGLE_SALTS.get(version)
    return next((salt for first, salt in DRAFT_SALTS if draft >= first), None)


class Keys(NamedTuple):
    """What protects one side's Initial packets."""

    aead: AESGCM
    iv: int
    mask: Any  # encrypts a sample for header protection


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 7.1), of one block at most."""
    name = b"tls13 " + label
    return hmac.digest(secret, bytes([0, size, len(name)]) + name + b"\0\1", "sha256")[:size]


@lru_cache(maxsize=64)
def initial_keys(version: int, connection_id: bytes) -> tuple[Keys, Keys] | None:
    """The keys of client and server; None for a version whose salt is not known."""
    salt = salt_of(version)
    if salt is None:
        return None
    secret = hmac.digest(salt, connection_id, "sha256")
    prefix = b"quicv2 " if version == VERSION_2 else b"quic "
    keys = []
    for label in (b"client in", b"server in"):
        side = _expand(secret, label, 32)
        header = Cipher(algorithms.AES(_expand(side, prefix + b"hp", 16)), modes.ECB()).encryptor()  # noqa: S305 - RFC 9001 5.4.3
        iv = int.from_bytes(_expand(side, prefix + b"iv", 12), "big")
        keys.append(Keys(AESGCM(_expand(side, prefix + b"key", 16)), iv, header))
    return keys[0], keys[1]


class Packet(NamedTuple):
    """A long-header packet within a datagram; ``number_at`` is where its protected packet number begins."""

    kind: int
    version: int
    target: bytes
    source: bytes
    begin: int
    number_at: int
    end: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 16), and what follows it. Raises IndexError at the end of the data."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def packets(data: bytes) -> Iterator[Packet]:
    """The long-header packets of a datagram (RFC 9000 17.2), as far as they are whole."""
    at = 0
    try:
        while at < len(data) and data[at] & 0x80:
            begin, version = at, int.from_bytes(data[at + 1 : at + 5], "big")
            at += 5
            draft = draft_of(version)
            if draft is not None and draft < 22:  # both lengths in one byte, 3 less than they are
                lengths = [length + 3 if length else 0 for length in (data[at] >> 4, data[at] & 15)]
                at += 1
                target, source = data[at : at + lengths[0]], data[at + lengths[0] : at + sum(lengths)]
                at += sum(lengths)
            else:
                target = data[at + 1 : at + 1 + data[at]]
                at += 1 + data[at]
                source = data[at + 1 : at + 1 + data[at]]
                at += 1 + data[at]
            if version == 0:
                yield Packet(NEGOTIATION, version, target, source, begin, at, len(data))
                return
            kind = data[begin] >> 4 & 3
            if version == VERSION_2:
                kind = (kind - 1) & 3
            if kind == 3:
                yield Packet(RETRY, version, target, source, begin, at, len(data))
                return
            if kind == 0:
                token, at = varint(data, at)
                at += token
            length, at = varint(data, at)
            if at + length > len(data) and kind != 0:
                return
            yield Packet(INITIAL if kind == 0 else OTHER, version, target, source, begin, at, at + length)
            at += length
            while at < len(data) and not data[at]:  # no packet, but padding outside of one (RFC 9000 12.2)
                at += 1
    except IndexError:
        return


def opened(data: bytes, packet: Packet, keys: Keys, largest: int) -> tuple[bytes, int] | None:
    """The frames of an Initial packet and its number, if these are its keys (RFC 9001 5.3, 5.4)."""
    at = packet.number_at
    sample = data[at + 4 : at + 20]
    if len(sample) < 16 or packet.end > len(data):
        return None
    mask = keys.mask.update(sample)
    first = data[packet.begin] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number_bytes = bytes(a ^ b for a, b in zip(data[at : at + size], mask[1:5], strict=False))
    number, window = int.from_bytes(number_bytes, "big"), 1 << (8 * size)
    # RFC 9000 A.3: the number nearest to the one expected.
    number += (largest + 1) & ~(window - 1)
    if number <= largest + 1 - window // 2:
        number += window
    elif number > largest + 1 + window // 2 and number >= window:
        number -= window
    header = bytes([first]) + data[packet.begin + 1 : at] + number_bytes
    nonce = (keys.iv ^ number).to_bytes(12, "big")
    try:
        return keys.aead.decrypt(nonce, data[at + size : packet.end], header), number
    except InvalidTag:
        return None


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
    """A client's first packet, opened with the keys of its version, or of the one whose salt an unknown version uses."""
    for version in (packet.version,) if salt_of(packet.version) else TRIED:
        keys = initial_keys(version, packet.target)
        decrypted = opened(seen.data, packet, keys[0], -1) if keys else None
        if decrypted is not None:
            return version, decrypted
    return packet.version, None


class Quic:
    """The QUIC connections of one flow (5-tuple), of which there may be several."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.connections: list[Connection] = []
        self._closed: list[tuple[Datagram, Packet]] = []  # packets that no keys opened yet

    def run(self, datagrams: list[Datagram], protected: list[bool], *, is_known: bool) -> list[Messages]:
        """The handshakes; ``is_known``: that it is QUIC is certain, so what stays closed is a row that says why."""
        for seen in datagrams:
            for packet in packets(seen.data):
                if packet.kind == INITIAL:
                    self._initial(seen, packet)
                elif packet.kind == RETRY:
                    self._retry(seen, packet)
        if not self.connections:
            return self._nothing_opened() if is_known else []
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
