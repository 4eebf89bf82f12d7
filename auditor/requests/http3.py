"""HTTP/3 (RFC 9114) from the data of QUIC streams: frames, and header fields by QPACK (RFC 9204, pylsqpack).

tshark decrypts QUIC everywhere, but dissects header fields only where it was built with nghttp3, which many are not.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from auditor.machine.installing import install
from auditor.requests import signing

Unpacked = tuple[int, list[tuple[bytes, bytes]]]  # a stream, and the names and values of fields

HEADERS = 0x01
CONTROL, PUSH, ENCODER, DECODER = range(4)  # types of unidirectional streams (RFC 9114 6.2, RFC 9204 4.2)
MOST_BUFFERED = 1 << 20  # bytes of one stream that wait for those before them, or for a frame's end
PIECE = 64  # bytes that one piece of a stream takes besides its own
MOST_STREAMS = 1 << 14  # with a request, of all connections; of those of one side that go one way, the first few matter
MOST_ONE_WAY = 64
MOST_LINES = 256  # fields of one request or response: each may be one byte that stands for as much as TABLE
USUAL, ALLOWED = 1 << 16, 1 << 24  # bytes of fields, unpacked: of each request on average, and beyond that
TABLE = 1 << 16  # bytes of the dynamic table that decoders grant at most here
BLOCKED = 128
LARGE = "its fields in HTTP/3 unpack to more than is read"
MANY = "more streams of HTTP/3 are open than are kept"
BROKEN = "a stream of HTTP/3 cannot be read"
MISSING = "HTTP/3 was seen, but pylsqpack, which reads its headers, is not installed: {}"


def varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable-length integer (RFC 9000 16) and where it ends; None where it is not whole."""
    if at >= len(data):
        return None
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        return None
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer with a prefix of so many bits (RFC 7541 5.1), and where it ends. Raises IndexError where it is not whole."""
    most = (1 << bits) - 1
    number, at, shift = data[at] & most, at + 1, 0
    while number >= most and shift < 63:
        byte, at = data[at], at + 1
        number, shift = number + ((byte & 127) << shift), shift + 7
        if byte < 128:
            break
    return number, at


def lines(block: bytes) -> int:
    """How many fields a field section has (RFC 9204 4.5), found without unpacking one. Raises IndexError where it is not whole."""
    at, count = _integer(block, _integer(block, 0, 8)[1], 7)[1], 0
    while at < len(block):
        first, count = block[at], count + 1
        if first & 0x80:
            at = _integer(block, at, 6)[1]
        elif first & 0xF0 == 0x10:
            at = _integer(block, at, 4)[1]
        else:
            if first & 0xE0 == 0x20:
                length, at = _integer(block, at, 3)
                at += length
            else:
                at = _integer(block, at, 4 if first & 0x40 else 3)[1]
            length, at = _integer(block, at, 7)
            at += length
    return count


@dataclass(slots=True)
class Stream:
    """One direction of a stream: bytes in order, and frames found in them."""

    waiting: dict[int, bytes] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)  # of those, as a heap
    held: int = 0  # bytes that they take
    read: int = 0  # bytes in order so far
    data: bytearray = field(default_factory=bytearray)  # those of them not looked at yet
    kind: int | None = None  # of a unidirectional stream
    skip: int = 0  # bytes of a frame that is of no interest
    dead: bool = False
    is_read: bool = False  # whether fields came out of it

    def add(self, offset: int, data: bytes) -> None:
        """Take in a piece; ``data`` grows by what is in order now."""
        if self.dead or offset + len(data) <= self.read:
            return
        before = self.waiting.get(offset)
        if before is None:
            heapq.heappush(self.offsets, offset)
            self.held += PIECE
        if before is None or len(before) < len(data):
            self.waiting[offset] = data
            self.held += len(data) - len(before or b"")
        while self.offsets and self.offsets[0] <= self.read:
            at = heapq.heappop(self.offsets)
            piece = self.waiting.pop(at)
            self.held -= PIECE + len(piece)
            self.data += piece[self.read - at :]
            self.read = max(self.read, at + len(piece))
        passed = min(self.skip, len(self.data))
        del self.data[:passed]
        self.skip -= passed
        if len(self.data) + self.held > MOST_BUFFERED:
            self.end()

    def end(self) -> None:
        """Nothing more is read of it."""
        self.dead, self.data, self.waiting, self.offsets = True, bytearray(), {}, []

    def frames(self) -> list[bytes]:
        """The payloads of the HEADERS frames that are whole; all others are passed over."""
        payloads, at = [], 0
        while (kind := varint(self.data, at)) is not None and (size := varint(self.data, kind[1])) is not None:
            begin, end = size[1], size[1] + size[0]
            if kind[0] == HEADERS:
                if end > len(self.data):
                    break
                payloads.append(bytes(self.data[begin:end]))
            at = end
        self.skip = max(0, at - len(self.data))
        del self.data[:at]
        return payloads


class Side:
    """What one side of a connection sends: its decoder of fields, and how much has come out of that."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.left = ALLOWED  # bytes of fields that may still be unpacked
        self.one_way = 0  # streams

    def texts(self, whole: Iterable[Unpacked]) -> Iterator[tuple[int, dict[str, str]]]:
        """The fields of streams as text, one after another, as long as they are no larger than is allowed."""
        for number, fields in whole:
            size = sum(len(name) + len(value) for name, value in fields)
            self.left = min(ALLOWED, self.left + USUAL - size)
            yield number, _text(fields)
            if self.left < 0:
                break


class Streams:
    """The streams of all connections."""

    def __init__(self) -> None:
        self.notes: set[str] = set()
        self.partial: dict[int, str] = {}  # flows of which not all is read, and why
        self._streams: dict[tuple[int, bool, int], Stream] = {}
        self._one_way: dict[tuple[int, bool, int], Stream] = {}
        self._sides: dict[tuple[int, bool], Side] = {}
        try:
            import pylsqpack
        except ImportError:
            self._qpack: Any = None
        else:
            self._qpack = pylsqpack

    def take(
        self, flow: int, from_client: bool, number: int, offset: int, data: bytes
    ) -> list[tuple[int, dict[str, str]]]:
        """A piece of a stream; the streams and headers that become whole by it."""
        if self._qpack is None:
            self.notes.add(MISSING.format(install("http3")))
            return []
        side = self._sides.get((flow, from_client))
        if side is None:
            side = self._sides[flow, from_client] = Side(self._qpack.Decoder(TABLE, BLOCKED))
        if side.left < 0 or (stream := self._stream(side, (flow, from_client, number))) is None:
            return []
        stream.add(offset, data)
        found = self._encoder(stream, side.decoder) if number & 2 else self._fields(flow, number, stream, side.decoder)
        whole: list[tuple[int, dict[str, str]]] = []
        try:
            whole.extend(side.texts(found))
        except (self._qpack.DecompressionFailed, self._qpack.EncoderStreamError, ValueError, IndexError):
            stream.end()
        stream.is_read |= bool(whole)
        if side.left < 0:
            self.partial[flow] = LARGE
        elif from_client and stream.dead and not stream.is_read:
            self.partial[flow] = BROKEN
        return whole

    def _stream(self, side: Side, name: tuple[int, bool, int]) -> Stream | None:
        """A stream by its name; None where it goes one way, and is none of the first few that can have instructions."""
        one_way = name[2] & 2 != 0
        among = self._one_way if one_way else self._streams
        stream = among.get(name)
        if stream is None and not (one_way and side.one_way >= MOST_ONE_WAY):
            stream = among[name] = Stream()
            side.one_way += one_way
            if len(self._streams) > MOST_STREAMS:
                oldest = self._streams.pop(next(iter(self._streams)))
                if oldest.data or oldest.waiting:
                    self.partial[name[0]] = MANY
        return stream

    def _fields(self, flow: int, number: int, stream: Stream, decoder: Any) -> Iterator[Unpacked]:
        """The fields of the frames of a stream that are whole, and no more than anybody sends."""
        for frame in stream.frames():
            if lines(frame) > MOST_LINES:
                self.partial[flow] = LARGE
                continue
            with suppress(self._qpack.StreamBlocked):  # then it waits for the encoder's stream; ``_encoder`` goes on
                yield number, decoder.feed_header(number, frame)[1]

    @staticmethod
    def _encoder(stream: Stream, decoder: Any) -> Iterator[Unpacked]:
        if stream.kind is None and (kind := varint(stream.data, 0)) is not None:
            stream.kind = kind[0]
            del stream.data[: kind[1]]
        data, stream.data = bytes(stream.data), bytearray()
        if stream.kind == ENCODER and data:
            for number in decoder.feed_encoder(data):
                yield number, decoder.resume_header(number)[1]


def _text(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    decoded: dict[str, str] = {}
    for name, value in headers:
        signing.add_header(decoded, name.decode("latin-1").lower(), value.decode("latin-1"))
    return decoded
