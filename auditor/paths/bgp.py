"""BGP sessions inside a capture (RFC 4271): which speaker announced which prefixes to which other, and when.

What AWS announces over a public virtual interface carries its communities; what the site announces is what AWS accepts
as sources. Segments are put in order by their sequence numbers; where some are missing, reading goes on at the next
message, whose marker of sixteen 0xFF bytes cannot be mistaken.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from auditor.decode.control import Address, BgpStream
from auditor.paths.mrt import attributes
from auditor.paths.route_times import FOREVER, Listener, RankedHop, RouteTimes
from auditor.paths.routes import Hop, Routes
from auditor.prefixes import Prefix

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
HOLD = 90  # seconds, where neither OPEN was seen (RFC 4271 10)
SECOND = 1_000_000_000
CAPABILITIES = 2  # optional parameter of an OPEN
FOUR_OCTETS, ADD_PATH = 65, 69
VERSIONS, UNICAST = {1: 4, 2: 6}, 1  # address families, and the subsequent one that is read
MP_REACH, MP_UNREACH = 14, 15
IDENTIFIER = 4  # bytes of a path identifier (RFC 7911 3)
UNREADABLE = RankedHop(
    (0, 0, 0, 0), Hop(protocol="bgp")
)  # whoever gets such attributes does not use the route (RFC 7606 2)
Identified = tuple[Prefix, int]  # with its path identifier
Key = tuple[Address, int, Address, int]
LARGEST = 65535  # RFC 8654


@dataclass(eq=False, repr=False)
class Announcer:
    """One side of a session: what it announced to the other. Times are those of the direction's first segment on."""

    address: Address
    to: Address
    frame: int
    time: int
    number: int | None = None  # its AS, of the OPEN
    established: bool = False  # both sides spoke, each to the other's MAC
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


@dataclass(eq=False, repr=False)
class OpenMessage:
    """What an OPEN says: the AS number, whether it speaks of four-octet numbers, address families with path identifiers."""

    number: int
    hold: int = HOLD
    wide: bool = False
    sends: set[int] = field(default_factory=set)
    takes: set[int] = field(default_factory=set)


def opened(body: bytes) -> OpenMessage:
    """Read an OPEN and its capabilities (RFC 5492; 6793: four-octet AS numbers; 7911: additional paths)."""
    message = OpenMessage(int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
    at, end = 10, 10 + (body[9] if len(body) > 9 else 0)
    while at + 2 <= min(end, len(body)):
        kind, size = body[at], body[at + 1]
        if kind == CAPABILITIES:
            _capabilities(body[at + 2 : at + 2 + size], message)
        at += 2 + size
    return message


def _capabilities(data: bytes, message: OpenMessage) -> None:
    at = 0
    while at + 2 <= len(data):
        code, value = data[at], data[at + 2 : at + 2 + data[at + 1]]
        if code == FOUR_OCTETS and len(value) == 4:
            message.number, message.wide = int.from_bytes(value, "big"), True
        elif code == ADD_PATH:
            for family in (value[k : k + 4] for k in range(0, len(value) - 3, 4)):
                version = VERSIONS.get(int.from_bytes(family[:2], "big"))
                if version is not None and family[2] == UNICAST:
                    if family[3] & 2:
                        message.sends.add(version)
                    if family[3] & 1:
                        message.takes.add(version)
        at += 2 + data[at + 1]


@dataclass(frozen=True, eq=False, repr=False)
class Encoding:
    """How a speaker writes its updates; None where it is not known, and taken as it fits.

    ``wide``: AS numbers have four bytes; ``identified``: prefixes of an address family have path identifiers.
    """

    wide: bool | None
    identified: Mapping[int, bool | None]


def _prefixes(data: bytes, version: int, identified: bool | None) -> list[Identified]:
    """NLRI. ``identified``: each prefix has a path identifier in front; None: no OPEN was seen, so as it fits.

    The first bytes of a small identifier read as prefixes of length 0, which nobody announces twice.
    """
    plain, fits = _read_prefixes(data, version, 0)
    if identified is False or (identified is None and fits and sum(not p[2] for p, _ in plain) < 2):
        return plain
    with_identifiers, fits = _read_prefixes(data, version, IDENTIFIER)
    return with_identifiers if fits or identified else plain


def _read_prefixes(data: bytes, version: int, extra: int) -> tuple[list[Identified], bool]:
    """The prefixes with their identifiers (0 for none), and whether they fill the bytes."""
    at, bits = extra, 32 if version == 4 else 128
    prefixes: list[Identified] = []
    while at < len(data):
        length = data[at]
        size = (length + 7) // 8
        if length > bits or at + 1 + size > len(data):
            return prefixes, False
        network = int.from_bytes(data[at + 1 : at + 1 + size], "big") << (bits - 8 * size)
        prefix = version, network >> (bits - length) << (bits - length), length
        prefixes.append((prefix, int.from_bytes(data[at - extra : at], "big")))
        at += 1 + size + extra
    return prefixes, at == len(data) + extra


def _path(blob: bytes, wide: bool | None) -> RankedHop:
    """The path that attributes describe; where it is not known how wide AS numbers are, as they fit."""
    for width in (True, False) if wide is None else (wide,):
        try:
            return attributes(blob, width, abbreviated=False)
        except ValueError:
            continue
    return UNREADABLE


def _reach(blob: bytes, encoding: Encoding) -> Iterator[tuple[bool, Identified]]:
    """(announced or withdrawn, prefix) of the multiprotocol attributes (RFC 4760), unicast only."""
    at = 0
    while at + 3 <= len(blob):
        flags, kind = blob[at], blob[at + 1]
        size, at = (int.from_bytes(blob[at + 2 : at + 4], "big"), at + 4) if flags & 0x10 else (blob[at + 2], at + 3)
        value = blob[at : at + size]
        at += size
        if kind in (MP_REACH, MP_UNREACH) and len(value) >= 3 and value[2] == UNICAST:
            version = VERSIONS.get(int.from_bytes(value[:2], "big"))
            if version is None:
                continue
            start = 3
            if kind == MP_REACH:
                if len(value) < 5:
                    continue
                start = 5 + value[3]
            for prefix in _prefixes(value[start:], version, encoding.identified.get(version)):
                yield kind == MP_REACH, prefix


def _updates(body: bytes, encoding: Encoding) -> tuple[list[Identified], bytes, list[Identified]] | None:
    """(withdrawn, attributes, announced) of an UPDATE (RFC 4271 4.3)."""
    size = int.from_bytes(body[:2], "big")
    if len(body) < 4 + size:
        return None
    identified = encoding.identified.get(4)
    gone = _prefixes(body[2 : 2 + size], 4, identified)
    begin = 4 + size
    length = int.from_bytes(body[begin - 2 : begin], "big")
    if len(body) < begin + length:
        return None
    return gone, body[begin : begin + length], _prefixes(body[begin + length :], 4, identified)


@dataclass(eq=False, repr=False)
class BgpSession:
    """What the OPENs of both sides agreed on, as far as the capture has them."""

    mine: OpenMessage | None = None
    theirs: OpenMessage | None = None

    @property
    def wide(self) -> bool | None:
        """Whether AS numbers have four bytes; None where neither OPEN was seen."""
        stated = [side.wide for side in (self.mine, self.theirs) if side is not None]
        return all(stated) if stated else None

    def alive(self, times: list[int], ended: int) -> list[tuple[int, int]]:
        """When the session stood, by the times of a side's messages: silence for the hold time ends it (RFC 4271 6.5)."""
        stated = [side.hold for side in (self.mine, self.theirs) if side is not None]
        hold = min(stated, default=HOLD) * SECOND or FOREVER
        periods: list[tuple[int, int]] = []
        for when in sorted(times):
            if when >= ended:
                break
            until = min(when + hold, ended)
            if periods and when <= periods[-1][1]:
                periods[-1] = periods[-1][0], max(until, periods[-1][1])
            else:
                periods.append((when, until))
        return periods

    @property
    def encoding(self) -> Encoding:
        """How this side writes; not known where not both OPENs were seen."""
        if self.mine is None or self.theirs is None:
            return Encoding(self.wide, {})
        both = self.mine.sends & self.theirs.takes
        return Encoding(self.wide, {version: version in both for version in VERSIONS.values()})


@dataclass(eq=False, repr=False)
class _BgpDirection:
    """What one direction of a session sent: messages with their times, its OPEN."""

    stream: BgpStream
    messages: list[tuple[int, bytes, int]]
    opened: OpenMessage | None

    @property
    def is_alive(self) -> bool:
        return any(kind in (OPEN, UPDATE, KEEPALIVE) for kind, _, _ in self.messages)

    @property
    def ended(self) -> int:
        """When it ended the session, or its transport connection ended (RFC 4271 8.2.2, events 18, 24 and 25)."""
        notified = [when for kind, _, when in self.messages if kind == NOTIFICATION]
        return min([*notified, *([] if self.stream.closed is None else [self.stream.closed])], default=FOREVER)


def announcers(streams: dict[Key, BgpStream]) -> list[Announcer]:
    """Every direction that announced something, with its routes and the times at which they were in force."""
    spoken = {key: _spoken(stream) for key, stream in streams.items()}
    begins: dict[frozenset[Address], list[int]] = {}  # of sessions between two speakers
    for (source, _, target, _), speaker in spoken.items():
        opens = [when for kind, _, when in speaker.messages if kind == OPEN]
        begins.setdefault(frozenset((source, target)), []).extend(opens)
    sides = []
    for key, mine in spoken.items():
        source, port, target, other_port = key
        theirs = spoken.get((target, other_port, source, port))
        session = BgpSession(mine.opened, theirs.opened if theirs else None)
        number = mine.opened.number if mine.opened else None
        announcer = Announcer(source, target, mine.stream.frame, mine.stream.time, number)
        announcer.established = theirs is not None and _speak(mine, theirs)
        own = [when for speaker in (mine, theirs) if speaker for kind, _, when in speaker.messages if kind == OPEN]
        begun = max(own, default=mine.messages[0][2] if mine.messages else 0)
        ended = min(mine.ended, theirs.ended if theirs else FOREVER)
        ended = min([ended, *(when for when in begins[frozenset((source, target))] if when > begun)])
        table = RouteTimes(announcer.routes, session.alive([when for _, _, when in mine.messages], ended))
        for kind, body, when in mine.messages:
            if kind == UPDATE:
                apply(table, body, session.encoding, source, when)
        table.end_all(FOREVER)
        if len(announcer.routes) or announcer.number is not None:
            sides.append(announcer)
    return sides


def _spoken(stream: BgpStream) -> _BgpDirection:
    messages = list(_timed(stream)) if stream.segments else []
    opens = [opened(body) for kind, body, _ in messages if kind == OPEN and len(body) >= 10]
    return _BgpDirection(stream, messages, opens[-1] if opens else None)


def _speak(one: _BgpDirection, two: _BgpDirection) -> bool:
    """Whether both sides of a session speak, and frames go to and fro between the same MACs.

    A host that sends with the addresses of others gets no answer; one that sends for both sides does it from one place.
    """
    back = {(target, source) for source, target in two.stream.macs}
    return one.is_alive and two.is_alive and bool(one.stream.macs & back)


def apply(table: Listener, body: bytes, encoding: Encoding, speaker: Hashable, when: int) -> None:
    """Take an UPDATE of a speaker into a table; one that is cut short says nothing."""
    parts = _updates(body, encoding)
    if parts is None:
        return
    gone, blob, announced = parts
    reached = list(_reach(blob, encoding))
    for prefix, identifier in [*gone, *(p for fresh, p in reached if not fresh)]:
        table.withdraw(speaker, prefix, identifier, when)
    fresh = [*announced, *(p for new, p in reached if new)]
    path = _path(blob, encoding.wide) if fresh else UNREADABLE
    for prefix, identifier in fresh:
        table.announce(speaker, prefix, identifier, path, when)
