"""HTTP/3 (RFC 9114) from the data of QUIC streams: frames, and header fields by QPACK (RFC 9204, pylsqpack).

tshark decrypts QUIC everywhere, but dissects header fields only where it was built with nghttp3, which many are not.
"""

from dataclasses import dataclass, field
from typing import Any

from auditor.machine.installing import install
from auditor.requests import signing

HEADERS = 0x01
CONTROL, PUSH, ENCODER, DECODER = range(4)  # types of unidirectional streams (RFC 9114 6.2, RFC 9204 4.2)
MOST_BUFFERED = 1 << 20  # bytes of one stream that wait for those before them, or for a frame's end
TABLE = 1 << 16  # bytes of the dynamic table that decoders grant at most here
BLOCKED = 128
MISSING = "HTTP/3 was seen, but pylsqpack, which reads its headers, is not installed: {}"


def varint(data: bytes, at: int) -> tuple[int, int] | None:
    """A variable-length integer (RFC 9000 16) and where it ends; None where it is not whole."""
    if at >= len(data):
        return None
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        return None
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


@dataclass
class Stream:
    """One direction of a stream: bytes in order, and frames found in them."""

    waiting: dict[int, bytes] = field(default_factory=dict)
    read: int = 0  # bytes in order so far
    data: bytes = b""  # those of them not looked at yet
    kind: int | None = None  # of a unidirectional stream
    skip: int = 0  # bytes of a frame that is of no interest
    dead: bool = False

    def add(self, offset: int, data: bytes) -> None:
        """Take in a piece; ``data`` grows by what is in order now."""
        if self.dead or offset + len(data) <= self.read:
            return
        self.waiting[offset] = max(self.waiting.get(offset, b""), data, key=len)
        while fitting := [at for at in self.waiting if at <= self.read]:
            for at in fitting:
                piece = self.waiting.pop(at)[self.read - at :]
                self.data += piece
                self.read += len(piece)
        passed = min(self.skip, len(self.data))
        self.data, self.skip = self.data[passed:], self.skip - passed
        if len(self.data) + sum(map(len, self.waiting.values())) > MOST_BUFFERED:
            self.dead, self.data, self.waiting = True, b"", {}

    def frames(self) -> list[bytes]:
        """The payloads of the HEADERS frames that are whole; all others are passed over."""
        payloads = []
        while (kind := varint(self.data, 0)) is not None and (size := varint(self.data, kind[1])) is not None:
            begin, end = size[1], size[1] + size[0]
            if kind[0] != HEADERS:
                self.skip = max(0, end - len(self.data))
                self.data = self.data[end:]
            elif end <= len(self.data):
                payloads.append(self.data[begin:end])
                self.data = self.data[end:]
            else:
                break
        return payloads


class Streams:
    """The streams of all connections."""

    def __init__(self) -> None:
        self.notes: set[str] = set()
        self._streams: dict[tuple[int, bool, int], Stream] = {}
        self._decoders: dict[tuple[int, bool], Any] = {}
        try:
            import pylsqpack
        except ImportError:
            self._qpack = None
        else:
            self._qpack = pylsqpack

    def take(
        self, flow: int, from_client: bool, number: int, offset: int, data: bytes
    ) -> list[tuple[int, dict[str, str]]]:
        """A piece of a stream; the streams and headers that become whole by it."""
        if self._qpack is None:
            self.notes.add(MISSING.format(install("http3")))
            return []
        stream = self._streams.setdefault((flow, from_client, number), Stream())
        stream.add(offset, data)
        side = flow, from_client
        if side not in self._decoders:
            self._decoders[side] = self._qpack.Decoder(TABLE, BLOCKED)
        decoder = self._decoders[side]
        try:
            if number & 2:  # unidirectional
                return self._encoder(stream, decoder)
            whole = []
            for frame in stream.frames():
                try:
                    whole.append((number, _text(decoder.feed_header(number, frame)[1])))
                except self._qpack.StreamBlocked:
                    continue  # it waits for the encoder's stream; ``_encoder`` goes on
        except (self._qpack.DecompressionFailed, self._qpack.EncoderStreamError, ValueError):
            stream.dead = True
            return []
        return whole

    @staticmethod
    def _encoder(stream: Stream, decoder: Any) -> list[tuple[int, dict[str, str]]]:
        if stream.kind is None and (kind := varint(stream.data, 0)) is not None:
            stream.kind, stream.data = kind[0], stream.data[kind[1] :]
        data, stream.data = stream.data, b""
        if stream.kind != ENCODER or not data:
            return []
        return [(number, _text(decoder.resume_header(number)[1])) for number in decoder.feed_encoder(data)]


def _text(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    decoded: dict[str, str] = {}
    for name, value in headers:
        signing.add_header(decoded, name.decode("latin-1").lower(), value.decode("latin-1"))
    return decoded
