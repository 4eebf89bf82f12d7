"""Packets that were cut for several links, or for slow ones: by PPP's Multilink Protocol (RFC 1990) and by frame relay (FRF.12, FRF.16).

A piece says where it stands in the sequence of all, and whether it begins or ends a packet; nothing says how long the
packet is, nor, in PPP, whether numbers have 12 bits or 24: both ends agreed on that (RFC 1990 5.1.1). It shows by the
first piece, since a protocol that is known must stand behind its number. Until then pieces wait under both readings.
"""

from collections import OrderedDict
from typing import Any, NamedTuple

PPP_PIECE, FRAME_RELAY_PIECE = 0x3D, 0xB1  # protocols (RFC 1990 3, FRF.12 7.1); ``PACKET.fragment`` is where they stand
BUNDLED_PIECE = 0xB0  # stands here for FRF.16's, which no protocol names
MARKS = {PPP_PIECE >> 4, FRAME_RELAY_PIECE >> 4}  # their upper halves, where IP has 4 or 6, CAPWAP 0
BEGINS, ENDS = 0x80, 0x40
IP_IN_PPP = (b"\0\x21", b"\0\x57", b"\x21", b"\x57")
IP_IN_FRAME_RELAY = (b"\3\xcc", b"\3\x8e", b"\3\0\xcc", b"\3\0\x8e", b"\x08\0", b"\x86\xdd")  # RFC 2427 4, Cisco's
MOST_PIECES, MOST_BYTES, MOST_BUNDLES = 4096, 8 << 20, 4096
MOST_TOGETHER = 1024  # pieces of one packet
PATIENCE = 60_000_000_000  # nanoseconds

Bundle = tuple[int, ...]  # between whom, and by which reading


class PieceHeader(NamedTuple):
    """A piece's header, as it may be read: how many bits its number has, and what a first piece may begin with."""

    bits: int
    number: int
    body: bytes
    protocols: tuple[bytes, ...]


class WaitingPiece(NamedTuple):
    """A piece that waits for others. ``capture``: which one it is counted in."""

    flags: int
    data: bytes
    came: int
    capture: int


def readings(data: bytes) -> list[PieceHeader]:
    """The ways to read a piece, whose protocol ``data`` begins with."""
    if data[0] in (FRAME_RELAY_PIECE, BUNDLED_PIECE):
        if len(data) <= 3:
            return []
        at = 3
        if data[0] == BUNDLED_PIECE and data[1] & BEGINS:  # the frame's address, whose last byte is odd (Q.922 3.3)
            at += next((size for size in (2, 3, 4) if data[2 + size : 3 + size] and data[2 + size] & 1), 2)
        return [PieceHeader(12, (data[1] >> 1 & 15) << 8 | data[2], data[at:], IP_IN_FRAME_RELAY)]
    found = []
    if len(data) > 5 and not data[1] & 0x3F:
        found.append(PieceHeader(24, int.from_bytes(data[2:5], "big"), data[5:], IP_IN_PPP))
    if len(data) > 3 and not data[1] & 0x30:
        found.append(PieceHeader(12, int.from_bytes(data[1:3], "big") & 0xFFF, data[3:], IP_IN_PPP))
    return found


class Multilink:
    """Puts the pieces of captures that are read as one together."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[Bundle, int], WaitingPiece] = OrderedDict()
        self._bits: OrderedDict[Bundle, int] = OrderedDict()  # what numbers have, where a packet has shown it
        self._bytes = 0

    def take(self, data: bytes, ends: Bundle, now: int, capture: int) -> bytes | None:
        """The IP packet of which this was the last piece that was missing."""
        self._forget(now)
        for reading in readings(data):
            if self._bits.get((data[0], *ends), reading.bits) != reading.bits:
                continue
            body, bundle = reading.body, (data[0], *ends, reading.bits)
            if data[1] & BEGINS:
                begins = next((one for one in reading.protocols if body.startswith(one)), None)
                if begins is None:
                    continue
                body = body[len(begins) :]
            self._keep(bundle, reading.number, WaitingPiece(data[1], body, now, capture))
            if (whole := self._whole(bundle, reading)) is not None:
                self._bits[data[0], *ends] = reading.bits
                while len(self._bits) > MOST_BUNDLES:
                    self._bits.popitem(last=False)
                return whole
        return None

    def waiting(self) -> list[dict[str, Any]]:
        """The pieces that wait, as values that JSON has."""
        return [
            {"bundle": [*map(str, bundle)], "number": number, **one._asdict(), "data": one.data.hex()}
            for (bundle, number), one in self._waiting.items()
        ]

    def go_on(self, waiting: list[dict[str, Any]]) -> None:
        """Wait for the rest of these, as ``waiting`` gave them."""
        for one in waiting:
            piece = WaitingPiece(int(one["flags"]), bytes.fromhex(one["data"]), int(one["came"]), int(one["capture"]))
            self._keep(tuple(map(int, one["bundle"])), int(one["number"]), piece)

    def ended(self) -> list[int]:
        """No more will come: the captures of packets that are not whole, one for each."""
        captures = [one.capture for one in self._waiting.values() if one.flags & BEGINS]
        self._waiting.clear()
        self._bytes = 0
        return captures

    def _keep(self, bundle: Bundle, number: int, piece: WaitingPiece) -> None:
        self._drop((bundle, number))  # of before the numbers began anew
        self._waiting[bundle, number] = piece
        self._bytes += len(piece.data)

    def _drop(self, which: tuple[Bundle, int]) -> bytes:
        gone = self._waiting.pop(which, None)
        if gone is None:
            return b""
        self._bytes -= len(gone.data)
        return gone.data

    def _whole(self, bundle: Bundle, reading: PieceHeader) -> bytes | None:
        """The packet that a piece is one of, if all of them are there."""
        most = (1 << reading.bits) - 1
        first = last = reading.number
        count = 1
        while not self._waiting[bundle, first].flags & BEGINS:
            first, count = first - 1 & most, count + 1
            if (bundle, first) not in self._waiting or count > MOST_TOGETHER:
                return None
        while not self._waiting[bundle, last].flags & ENDS:
            last, count = last + 1 & most, count + 1
            if (bundle, last) not in self._waiting or count > MOST_TOGETHER:
                return None
        return b"".join(self._drop((bundle, first + k & most)) for k in range(count))

    def _forget(self, now: int) -> None:
        """Give up what is too old, and the oldest where there is too much."""
        while self._waiting:
            which, oldest = next(iter(self._waiting.items()))
            full = len(self._waiting) >= MOST_PIECES or self._bytes > MOST_BYTES
            if not full and now - oldest.came <= PATIENCE:
                return
            self._drop(which)
