"""BGP sessions inside a capture (RFC 4271): who announced which prefixes to whom, and when.

What AWS announces over a public virtual interface carries its communities; what the site announces is what AWS accepts
as sources. Segments are put in order by their sequence numbers; where some are missing, reading goes on at the next
message, whose marker of sixteen 0xFF bytes cannot be mistaken.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from auditor.decode.control import Address, BgpStream
from auditor.paths.mrt import attributes
from auditor.paths.routes import Hop, Routes
from auditor.prefixes import Prefix

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION = 1, 2, 3
FOUR_OCTETS = 65  # capability, RFC 6793
MP_REACH, MP_UNREACH = 14, 15
FOREVER = 1 << 62
LARGEST = 65535  # RFC 8654


@dataclass
class Announcer:
    """One side of a session: what it announced to the other. Times are those of the direction's first segment on."""

    address: Address
    to: Address
    frame: int
    time: int
    number: int | None = None  # its AS, of the OPEN
    routes: Routes = field(default_factory=lambda: Routes("BGP in the capture"))


def _timed(stream: BgpStream) -> Iterator[tuple[int, bytes, int]]:
    """(type, body, time) of a direction's messages, in order; a message has the time of the segment that it ends in."""
    first = stream.segments[0][0]
    parts = sorted(
        (((sequence - first + (1 << 31)) & 0xFFFFFFFF) - (1 << 31), time, data)
        for sequence, data, time in stream.segments
    )
    begin, whole, arrived = parts[0][0], bytearray(), [(0, parts[0][1])]
    for at, time, data in parts:
        have = begin + len(whole)
        if at > have:
            yield from _dated(bytes(whole), arrived)
            begin, whole, arrived, have = at, bytearray(), [], at
        fresh = data[have - at :]
        if fresh:
            whole += fresh
            arrived.append((len(whole), time))
    yield from _dated(bytes(whole), arrived)


def _dated(data: bytes, arrived: list[tuple[int, int]]) -> Iterator[tuple[int, bytes, int]]:
    ends = [end for end, _ in arrived]
    for kind, body, end in messages(data):
        yield kind, body, arrived[min(bisect_left(ends, end), len(ends) - 1)][1]


def messages(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(type, body, where it ends) of the messages in a stretch."""
    at = data.find(MARKER)
    while at >= 0 and at + 19 <= len(data):
        length, kind = int.from_bytes(data[at + 16 : at + 18], "big"), data[at + 18]
        if not 19 <= length <= LARGEST or not 1 <= kind <= 5:
            at = data.find(MARKER, at + 1)
            continue
        if at + length > len(data):
            return
        yield kind, data[at + 19 : at + length], at + length
        at += length
        if data[at : at + 16] != MARKER:
            at = data.find(MARKER, at)


def opened(body: bytes) -> tuple[int, bool]:
    """AS number of an OPEN, and whether it speaks of four-octet numbers."""
    number, wide = int.from_bytes(body[1:3], "big"), False
    at, end = 10, 10 + (body[9] if len(body) > 9 else 0)
    while at + 2 <= min(end, len(body)):
        kind, size = body[at], body[at + 1]
        inner = body[at + 2 : at + 2 + size]
        if kind == 2:
            k = 0
            while k + 2 <= len(inner):
                if inner[k] == FOUR_OCTETS and inner[k + 1] == 4:
                    number, wide = int.from_bytes(inner[k + 2 : k + 6], "big"), True
                k += 2 + inner[k + 1]
        at += 2 + size
    return number, wide


def _prefixes(data: bytes, version: int) -> Iterator[Prefix]:
    at, bits = 0, 32 if version == 4 else 128
    while at < len(data):
        length = data[at]
        size = (length + 7) // 8
        if length > bits or at + 1 + size > len(data):
            return
        network = int.from_bytes(data[at + 1 : at + 1 + size], "big") << (bits - 8 * size)
        yield version, network >> (bits - length) << (bits - length), length
        at += 1 + size


def _hop(blob: bytes, wide: bool | None) -> Hop:
    """The attributes' hop; where no OPEN told how wide AS numbers are, as they fit."""
    for width in (True, False) if wide is None else (wide,):
        try:
            return attributes(blob, width, abbreviated=False).hop
        except ValueError:
            continue
    return Hop(protocol="bgp")


def _reach(blob: bytes) -> Iterator[tuple[bool, Prefix]]:
    """(announced or withdrawn, prefix) of the multiprotocol attributes (RFC 4760), unicast only."""
    at = 0
    while at + 3 <= len(blob):
        flags, kind = blob[at], blob[at + 1]
        size, at = (int.from_bytes(blob[at + 2 : at + 4], "big"), at + 4) if flags & 0x10 else (blob[at + 2], at + 3)
        value = blob[at : at + size]
        at += size
        if kind in (MP_REACH, MP_UNREACH) and len(value) >= 3 and value[2] == 1:
            version = {1: 4, 2: 6}.get(int.from_bytes(value[:2], "big"))
            if version is None:
                continue
            start = 3
            if kind == MP_REACH:
                if len(value) < 5:
                    continue
                start = 5 + value[3]
            for prefix in _prefixes(value[start:], version):
                yield kind == MP_REACH, prefix


def _updates(body: bytes) -> tuple[list[Prefix], bytes, list[Prefix]] | None:
    """(withdrawn, attributes, announced) of an UPDATE (RFC 4271 4.3)."""
    size = int.from_bytes(body[:2], "big")
    if len(body) < 4 + size:
        return None
    gone = list(_prefixes(body[2 : 2 + size], 4))
    begin = 4 + size
    length = int.from_bytes(body[begin - 2 : begin], "big")
    if len(body) < begin + length:
        return None
    return gone, body[begin : begin + length], list(_prefixes(body[begin + length :], 4))


class _Table:
    """What a side has announced at some moment; ended routes go into ``routes`` with the times they were in force."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.routes.valid = []
        self._now: dict[Prefix, tuple[Hop, int]] = {}

    def begin(self, prefix: Prefix, hop: Hop, when: int) -> None:
        self.end(prefix, when)
        self._now[prefix] = hop, when

    def end(self, prefix: Prefix, when: int) -> None:
        old = self._now.pop(prefix, None)
        if old is not None:
            self.routes.add(prefix, old[0])
            assert self.routes.valid is not None
            self.routes.valid.append((old[1], when))

    def end_all(self, when: int) -> None:
        for prefix in list(self._now):
            self.end(prefix, when)


def announcers(streams: dict[tuple[Address, int, Address, int], BgpStream]) -> list[Announcer]:
    """Every direction that announced something, with its routes and the times at which they were in force."""
    told = [(stream, list(_timed(stream))) for stream in streams.values()]
    wide: dict[frozenset[Address], bool] = {}
    for stream, found in told:
        for kind, body, _ in found:
            if kind == OPEN and len(body) >= 10:
                pair = frozenset((stream.source, stream.target))
                wide[pair] = wide.get(pair, True) and opened(body)[1]
    sides = []
    for stream, found in told:
        who = Announcer(stream.source, stream.target, stream.frame, stream.time)
        table = _Table(who.routes)
        for kind, body, when in found:
            if kind == OPEN and len(body) >= 10:
                who.number = opened(body)[0]
            elif kind == NOTIFICATION:
                table.end_all(when)
            elif kind == UPDATE and (parts := _updates(body)) is not None:
                _apply(table, parts, wide.get(frozenset((who.address, who.to))), when)
        table.end_all(FOREVER)
        if len(who.routes) or who.number is not None:
            sides.append(who)
    return sides


def _apply(table: _Table, parts: tuple[list[Prefix], bytes, list[Prefix]], wide: bool | None, when: int) -> None:
    gone, blob, announced = parts
    reached = list(_reach(blob))
    for prefix in [*gone, *(p for fresh, p in reached if not fresh)]:
        table.end(prefix, when)
    fresh = [*announced, *(p for new, p in reached if new)]
    hop = _hop(blob, wide) if fresh else None
    for prefix in fresh:
        assert hop is not None
        table.begin(prefix, hop, when)
