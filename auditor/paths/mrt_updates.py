"""Updates in MRT files (BGP4MP and BGP4MP_ET: RFC 6396 4.4, RFC 8050): which routes were in force when.

Routers and collectors write down each message of their peers, and each change of a session's state. What a peer announced
before the file begins is not in it. Silence ends no session: many write no KEEPALIVE.
"""

from collections.abc import Iterator
from typing import NamedTuple

from auditor.paths import bgp
from auditor.paths.route_times import FOREVER, RouteTimes
from auditor.paths.routes import Routes
from auditor.prefixes import V4_MAPPED

BGP4MP, BGP4MP_ET = 16, 17
HEADER, MICROSECONDS = 12, 4  # bytes
ESTABLISHED = 6
SECOND = 1_000_000_000
STATE, MESSAGE, OWN_MESSAGE = range(3)
ADDRESS_BYTES = {1: 4, 2: 16}  # by address family


class Subtype(NamedTuple):
    """What records of a subtype hold, how many bytes AS numbers have there, and whether prefixes have path identifiers."""

    holds: int
    width: int
    identified: bool = False


SUBTYPES = {
    0: Subtype(STATE, 2),
    1: Subtype(MESSAGE, 2),
    4: Subtype(MESSAGE, 4),
    5: Subtype(STATE, 4),
    6: Subtype(OWN_MESSAGE, 2),
    7: Subtype(OWN_MESSAGE, 4),
    8: Subtype(MESSAGE, 2, identified=True),
    9: Subtype(MESSAGE, 4, identified=True),
    10: Subtype(OWN_MESSAGE, 2, identified=True),
    11: Subtype(OWN_MESSAGE, 4, identified=True),
}
# Writers of before RFC 8050, and of before RFC 6793, put identifiers and wide numbers into the other subtypes as well.
IDENTIFIED = bgp.Encoding(None, {4: True, 6: True}), bgp.Encoding(True, {4: True, 6: True})
PLAIN = bgp.Encoding(None, {}), bgp.Encoding(True, {})


class BgpRecord(NamedTuple):
    """A record: when, of which session (the addresses of both ends, the peer's first), and a message or both states."""

    form: Subtype
    time: int
    session: tuple[bytes, bytes]
    body: bytes


def is_updates(data: bytes) -> bool:
    """Whether a file begins with a record of BGP4MP."""
    alike = len(data) >= HEADER and data[4] == 0 and data[5] in (BGP4MP, BGP4MP_ET)
    return alike and data[6] == 0 and data[7] in SUBTYPES and int.from_bytes(data[8:12], "big") <= len(data) - HEADER


def read(data: bytes, routes: Routes) -> int:
    """Add the routes that sessions had, with the times they were in force; of how many sessions the beginning is not there.

    Raises ValueError with the place where the file is damaged, or the name of what is not read.
    """
    table = RouteTimes(routes)
    whole: set[tuple[bytes, bytes]] = set()
    every: set[tuple[bytes, bytes]] = set()
    for record in sorted(records(data), key=lambda record: record.time):  # of several files, or threads of a collector
        if record.form.holds == OWN_MESSAGE:  # what the router itself sent
            continue
        every.add(record.session)
        if record.form.holds == STATE:
            before, after = record.body[:2], record.body[2:4]
            begins = int.from_bytes(after, "big") == ESTABLISHED
            if before != after:
                _end(table, record.session, record.time)
        else:
            begins = _message(table, record)
        if begins:
            whole.add(record.session)
    table.end_all(FOREVER)
    routes.changes = table.changes
    return len(every - whole)


def records(data: bytes) -> Iterator[BgpRecord]:
    """The records of a file. Raises ValueError with the place of one that cannot be read."""
    at = 0
    while at < len(data):
        end = at + HEADER + int.from_bytes(data[at + 8 : at + HEADER], "big")
        if at + HEADER > len(data) or end > len(data):
            raise ValueError(f"the record at byte {at} is cut short")
        kind, subtype = int.from_bytes(data[at + 4 : at + 6], "big"), int.from_bytes(data[at + 6 : at + 8], "big")
        form = SUBTYPES.get(subtype)
        if kind not in (BGP4MP, BGP4MP_ET) or form is None:
            raise ValueError(
                f"the record at byte {at} is of type {kind} and subtype {subtype}, between updates (BGP4MP); "
                "give a table dump as a file of its own"
            )
        time, begin = int.from_bytes(data[at : at + 4], "big") * SECOND, at + HEADER
        if kind == BGP4MP_ET:
            time += int.from_bytes(data[begin : begin + MICROSECONDS], "big") * 1000
            begin += MICROSECONDS
        yield _record(data[begin:end], form, time, at)
        at = end


def _record(data: bytes, form: Subtype, time: int, at: int) -> BgpRecord:
    addresses = 2 * form.width + 4  # after both AS numbers, the interface, the address family
    size = ADDRESS_BYTES.get(int.from_bytes(data[addresses - 2 : addresses], "big"), 0)
    body = addresses + 2 * size
    if not size or len(data) < body + (4 if form.holds == STATE else 0):
        raise ValueError(f"the record at byte {at} is cut short, or of no session over IP")
    session = data[addresses : addresses + size], data[addresses + size : body]
    return BgpRecord(form, time, session, data[body:])


def _message(table: RouteTimes, record: BgpRecord) -> bool:
    """Take in a message; whether it begins a session."""
    begins = False
    for kind, body, _ in bgp.messages(record.body):
        if kind == bgp.UPDATE:
            encodings = IDENTIFIED if record.form.identified else PLAIN
            bgp.apply(table, body, encodings[record.form.width == 4], record.session, record.time)
        elif kind in (bgp.OPEN, bgp.NOTIFICATION):
            _end(table, record.session, record.time)
            begins |= kind == bgp.OPEN
    return begins


def _end(table: RouteTimes, session: tuple[bytes, bytes], when: int) -> None:
    table.end(session, when)
    peer = session[0]
    number = int.from_bytes(peer, "big") | (V4_MAPPED if len(peer) == 4 else 0)
    table.changes.lost.setdefault((number >> 64, number & 0xFFFFFFFFFFFFFFFF), when)
