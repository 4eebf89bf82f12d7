"""What records an MRT file has (RFC 6396, RFC 8050): table dumps with their peers, and updates, in any order.

RouteViews and RIS give dumps and updates as files of their own; FRR's ``dump bgp`` writes what it is told to, and people
put files together. So each record is taken for what it is, and what is not read is counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from auditor.border.words import counted
from auditor.paths.mrt_kernels import behind_routes_from

TABLE_DUMP_V2, BGP4MP, BGP4MP_ET = 13, 16, 17
HEADER, MICROSECONDS = 12, 4  # bytes
SECOND = 1_000_000_000
PEER_INDEX_TABLE, GEO_PEER_TABLE, RIB_GENERIC_ADDPATH = 1, 7, 12
UNICAST = (2, 4, 8, 10)  # subtypes of routes that are read
STATE, MESSAGE, OWN_MESSAGE = range(3)
ADDRESS_BYTES = {1: 4, 2: 16}  # by address family
# Other records of RFC 6396 and of older writers, by what to give instead.
OTHERS = {
    11: "OSPFv2",
    12: "TABLE_DUMP",
    32: "ISIS",
    33: "ISIS_ET",
    48: "OSPFv3",
    49: "OSPFv3_ET",
}
WANTED = (
    "give a dump of type TABLE_DUMP_V2 (`dump bgp routes-mrt` of FRR, RIS's bview, RouteViews' rib) or updates (BGP4MP: "
    "`dump bgp updates`)"
)


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


class BgpRecord(NamedTuple):
    """A record of updates: when, of which session (the addresses of both ends, the peer's first), a message or both states."""

    form: Subtype
    time: int
    session: tuple[bytes, bytes]
    body: bytes


@dataclass
class Dump:
    """A table dump: when it began, whose it is (the collector's identifier and view), its peers, and where its routes lie."""

    time: int
    collector: bytes = b""
    peers: list[bytes] = field(default_factory=list)
    stretches: list[tuple[int, int]] = field(default_factory=list)

    def peer(self, number: int) -> bytes:
        """The address of a peer; one that the table of peers does not have stands for itself."""
        return self.peers[number] if number < len(self.peers) else number.to_bytes(2, "big")


@dataclass
class Contents:
    """What a file holds."""

    data: bytes
    dumps: list[Dump] = field(default_factory=list)
    updates: list[BgpRecord] = field(default_factory=list)
    unread: Counter[tuple[int, int]] = field(default_factory=Counter)  # by type and subtype

    @property
    def is_one_dump(self) -> bool:
        return len(self.dumps) == 1 and not self.updates

    @property
    def notes(self) -> list[str]:
        """What of the file was not read, in words."""
        return [
            f"{counted(count, 'record')} of type {kind} and subtype {subtype} {'is' if count == 1 else 'are'} not read: no "
            "unicast routes"
            for (kind, subtype), count in sorted(self.unread.items())
        ]


def is_mrt(data: bytes) -> bool:
    """Whether a file begins with a record of a table dump or of updates."""
    return is_dump(data) or is_updates(data)


def is_dump(data: bytes) -> bool:
    """Whether a file begins with a record of TABLE_DUMP_V2."""
    return len(data) >= HEADER and data[4:6] == b"\0\x0d" and data[6] == 0 and data[7] <= RIB_GENERIC_ADDPATH


def is_updates(data: bytes) -> bool:
    """Whether a file begins with a record of BGP4MP."""
    alike = len(data) >= HEADER and data[4] == 0 and data[5] in (BGP4MP, BGP4MP_ET)
    return alike and data[6] == 0 and data[7] in SUBTYPES and int.from_bytes(data[8:12], "big") <= len(data) - HEADER


def other_kind(data: bytes) -> str | None:
    """The name of MRT records that are not read, where a file begins with one."""
    if len(data) < HEADER or data[4] != 0 or data[6] != 0 or data[7] > RIB_GENERIC_ADDPATH:
        return None
    length = int.from_bytes(data[8:12], "big")
    if length > len(data) - HEADER:
        return None
    following = data[12 + length + 4 : 12 + length + 6]  # type of another record, unless this is the last
    alike = len(data) == 12 + length or (following[:1] == b"\0" and following[-1] in OTHERS)
    return OTHERS.get(data[5]) if alike else None


def survey(data: bytes) -> Contents:
    """List what a file holds. Raises ValueError with the place of a record that cannot be read, or the name of its kind."""
    kind = other_kind(data)
    if kind is not None:
        raise ValueError(f"MRT records of type {kind} are not read; {WANTED}")
    contents, view = Contents(data), np.frombuffer(data, np.uint8)
    at = 0
    while at < len(data):
        end = at + HEADER + int.from_bytes(data[at + 8 : at + HEADER], "big")
        if at + HEADER > len(data) or end > len(data):
            raise ValueError(f"the record at byte {at} is cut short")
        kind_number, subtype = (
            int.from_bytes(data[at + 4 : at + 6], "big"),
            int.from_bytes(data[at + 6 : at + 8], "big"),
        )
        if kind_number == TABLE_DUMP_V2:
            if subtype in UNICAST:
                end = behind_routes_from(view, at)
            _note_dump(contents, subtype, at, end)
        elif kind_number in (BGP4MP, BGP4MP_ET):
            _note_update(contents, kind_number, subtype, at, end)
        else:
            name = OTHERS.get(kind_number, kind_number)
            raise ValueError(f"the record at byte {at} is of type {name}, which is not read; {WANTED}")
        at = end
    return contents


def _note_dump(contents: Contents, subtype: int, at: int, end: int) -> None:
    """A record of a dump, or its routes up to the next other record."""
    data = contents.data
    time = int.from_bytes(data[at : at + 4], "big") * SECOND
    if subtype == PEER_INDEX_TABLE:
        collector, peers = _peers(data[at + HEADER : end], at)
        contents.dumps.append(Dump(time, collector, peers))
    elif subtype in UNICAST:
        if not contents.dumps:
            contents.dumps.append(Dump(time))
        contents.dumps[-1].stretches.append((at, end))
    elif subtype != GEO_PEER_TABLE:
        contents.unread[TABLE_DUMP_V2, subtype] += 1


def _peers(body: bytes, at: int) -> tuple[bytes, list[bytes]]:
    """Whose dump it is, and the addresses of its peers (RFC 6396 4.3.1)."""
    begin = 8 + int.from_bytes(body[4:6], "big")
    count = int.from_bytes(body[begin - 2 : begin], "big")
    peers = []
    here = begin
    for _ in range(count):
        kind = body[here] if here < len(body) else 0
        address = here + 5
        here = address + (16 if kind & 1 else 4) + (4 if kind & 2 else 2)
        peers.append(body[address : address + (16 if kind & 1 else 4)])
    if here > len(body):
        raise ValueError(f"the record at byte {at} is cut short")
    return body[: begin - 2], peers


def _note_update(contents: Contents, kind: int, subtype: int, at: int, end: int) -> None:
    form = SUBTYPES.get(subtype)
    if form is None:
        contents.unread[kind, subtype] += 1
        return
    data, begin = contents.data, at + HEADER
    time = int.from_bytes(data[at : at + 4], "big") * SECOND
    if kind == BGP4MP_ET:
        time += int.from_bytes(data[begin : begin + MICROSECONDS], "big") * 1000
        begin += MICROSECONDS
    contents.updates.append(_record(data[begin:end], form, time, at))


def _record(data: bytes, form: Subtype, time: int, at: int) -> BgpRecord:
    addresses = 2 * form.width + 4  # after both AS numbers, the interface, the address family
    size = ADDRESS_BYTES.get(int.from_bytes(data[addresses - 2 : addresses], "big"), 0)
    body = addresses + 2 * size
    if not size or len(data) < body + (4 if form.holds == STATE else 0):
        raise ValueError(f"the record at byte {at} is cut short, or of no session over IP")
    session = data[addresses : addresses + size], data[addresses + size : body]
    return BgpRecord(form, time, session, data[body:])


def are_one_routers(files: Sequence[Contents]) -> bool:
    """Whether files are to be read together: updates, and dumps that can be of the same router; or its dumps of several times."""
    dumps = [dump for contents in files for dump in contents.dumps]
    collectors = {dump.collector for dump in dumps}
    if any(contents.updates for contents in files):
        return len(collectors) < 2
    known = bool(dumps) and any(dumps[0].collector[:4])
    return known and len(collectors) == 1 and len({dump.time for dump in dumps}) > 1
