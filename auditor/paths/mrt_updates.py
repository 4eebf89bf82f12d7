"""Which routes were in force when, by MRT files: what a dump says, then updates in the order of time (RFC 6396, RFC 8050).

Routers and collectors write down each message of their peers, and each change of a session's state. What a peer announced
before is in a dump, or in nothing. Silence ends no session: many write no KEEPALIVE. Few of a dump's prefixes are ever
changed: only these are followed one by one; the others hold until a session ends that has a route for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from auditor.paths import bgp, mrt
from auditor.paths.mrt_records import OWN_MESSAGE, STATE, BgpRecord, Contents, Dump
from auditor.paths.route_times import FOREVER, Path, RankedHop, RouteTimes
from auditor.paths.routes import Hop, Routes
from auditor.prefixes import V4_MAPPED, Prefix

Array = np.ndarray[Any, Any]
ESTABLISHED = 6
# Writers of before RFC 8050, and of before RFC 6793, put identifiers and wide numbers into the other subtypes as well.
IDENTIFIED = bgp.Encoding(None, {4: True, 6: True}), bgp.Encoding(True, {4: True, 6: True})
PLAIN = bgp.Encoding(None, {}), bgp.Encoding(True, {})
FAMILIES = (4, 6)
Speaker = tuple[bytes, ...]  # the peer's address, and the other end's where no dump names it by the first alone


class _Event(NamedTuple):
    """A speaker announces a path to a prefix, withdraws it (no ``path``), or ends its session (no prefix)."""

    time: int
    speaker: Speaker
    prefix: Prefix | None = None
    identifier: int = 0
    path: RankedHop | None = None


class _Heard:
    """What updates say, one after the other; when each session is first met, and which are seen to begin."""

    def __init__(self) -> None:
        self.events: list[_Event] = []
        self.met: dict[Speaker, int] = {}
        self.begun: set[Speaker] = set()

    def announce(self, speaker: Any, prefix: Prefix, identifier: int, path: RankedHop, when: int) -> None:
        self.events.append(_Event(when, speaker, prefix, identifier, path))

    def withdraw(self, speaker: Any, prefix: Prefix, identifier: int, when: int) -> None:
        self.events.append(_Event(when, speaker, prefix, identifier))

    def end(self, speaker: Speaker, when: int) -> None:
        self.events.append(_Event(when, speaker))

    def listen(self, record: BgpRecord, speaker: Speaker) -> None:
        """Take in a record."""
        if record.form.holds == OWN_MESSAGE:  # what the router itself sent
            return
        self.met.setdefault(speaker, record.time)
        if record.form.holds == STATE:
            before, after = record.body[:2], record.body[2:4]
            if before != after:
                self.end(speaker, record.time)
            if int.from_bytes(after, "big") == ESTABLISHED:
                self.begun.add(speaker)
            return
        for kind, body, _ in bgp.messages(record.body):
            if kind == bgp.UPDATE:
                encodings = IDENTIFIED if record.form.identified else PLAIN
                bgp.apply(self, body, encodings[record.form.width == 4], speaker, record.time)
            elif kind in (bgp.OPEN, bgp.NOTIFICATION):
                self.end(speaker, record.time)
                if kind == bgp.OPEN:
                    self.begun.add(speaker)


class _Snapshot(NamedTuple):
    """What a dump says of one address family."""

    dump: Dump
    routes: mrt.PeerRoutes


def read(files: Sequence[Contents], routes: Routes) -> int:
    """Add the routes that a router had, with the times they were in force; of how many sessions the beginning is not there.

    A dump has all that its router had at that time, so it replaces what was known of its address families. The first one
    holds before it as well, back to where updates change something. Raises ValueError with the place of what is damaged.
    """
    dumps = [dump for contents in files for dump in contents.dumps]
    records = (record for contents in files for record in contents.updates)
    heard = _Heard()
    for record in sorted(records, key=lambda record: record.time):  # of several files, or threads of a collector
        heard.listen(record, record.session[:1] if dumps else record.session)
    snapshots = list(_snapshots(files, routes))
    touched = {event.prefix for event in heard.events if event.prefix is not None}
    table = RouteTimes(routes)
    _follow(table, heard.events, snapshots, touched)
    for family in FAMILIES:
        _keep(routes, heard.events, [one for one in snapshots if _family(one) == family], touched)
    routes.changes = table.changes
    return sum(not _is_known(speaker, when, dumps) for speaker, when in heard.met.items() if speaker not in heard.begun)


def _is_known(speaker: Speaker, when: int, dumps: Sequence[Dump]) -> bool:
    """Whether a dump says what a session that began before had announced."""
    return any(dump.time <= when and (not dump.peers or speaker[0] in dump.peers) for dump in dumps)


def _snapshots(files: Sequence[Contents], routes: Routes) -> Iterator[_Snapshot]:
    """What dumps say, in the order of time."""
    dumps = sorted(((dump, file.data) for file in files for dump in file.dumps), key=lambda one: one[0].time)
    for dump, data in dumps:
        parts = list(mrt.candidates(data, dump, routes))
        if parts:
            whole = mrt.PeerRoutes.joined(parts)
            for family in FAMILIES:
                rows = np.flatnonzero(whole.version == family)
                if len(rows):
                    yield _Snapshot(dump, whole.at(rows))


def _family(snapshot: _Snapshot) -> int:
    return int(snapshot.routes.version[0])


def _known_from(events: Sequence[_Event], when: int) -> tuple[int, dict[Prefix, int]]:
    """From when on a dump that comes later tells what was in force, by what it has: for all prefixes, for those that are changed.

    Each speaker's first word on a prefix before ``when`` says that it may have had another path until then.
    """
    every: dict[Speaker, int] = {}
    of_prefix: dict[tuple[Speaker, Prefix], int] = {}
    for event in events:
        if event.time >= when:
            break
        if event.prefix is None:
            every.setdefault(event.speaker, event.time)
        else:
            of_prefix.setdefault((event.speaker, event.prefix), event.time)
    begin = max(every.values(), default=-FOREVER)
    known: dict[Prefix, int] = {}
    for (speaker, prefix), first in of_prefix.items():
        others = max((time for other, time in every.items() if other != speaker), default=-FOREVER)
        known[prefix] = max(known.get(prefix, others), min(first, every.get(speaker, first)))
    return begin, known


def _follow(table: RouteTimes, events: Sequence[_Event], snapshots: Sequence[_Snapshot], touched: set[Prefix]) -> None:
    """Follow the prefixes that updates are about."""
    waiting, loaded = list(snapshots), list[_Snapshot]()
    for snapshot in {_family(one): one for one in reversed(snapshots)}.values():  # the first of each family
        begin, known = _known_from(events, snapshot.dump.time)
        before = {(e.speaker, e.prefix) for e in events if e.time < snapshot.dump.time}
        held = {
            prefix: {key: path for key, path in paths.items() if {(key[0], prefix), (key[0], None)}.isdisjoint(before)}
            for prefix, paths in _paths(snapshot, touched, table.routes).items()
        }
        table.replace(held, -FOREVER)
        for prefix in (prefix for prefix in touched if prefix[0] == _family(snapshot)):
            table.not_before[prefix] = known.get(prefix, begin)
            if held.get(prefix):
                table.add_unknown(prefix, known.get(prefix, begin))
    for event in events:
        while waiting and waiting[0].dump.time <= event.time:
            loaded.append(waiting.pop(0))
            _load(table, loaded[-1], touched)
        if event.prefix is None:
            table.end(event.speaker, event.time)
            _note_lost(table, event)
        elif event.path is None:
            if event.prefix not in table.changes.first and not any(_family(one) == event.prefix[0] for one in loaded):
                table.add_unknown(event.prefix, event.time)  # it had been announced until then
            table.withdraw(event.speaker, event.prefix, event.identifier, event.time)
        else:
            table.announce(event.speaker, event.prefix, event.identifier, event.path, event.time)
    for snapshot in waiting:
        _load(table, snapshot, touched)
    table.end_all(FOREVER)


def _load(table: RouteTimes, snapshot: _Snapshot, touched: set[Prefix]) -> None:
    """Take a dump for the state of the prefixes that are followed."""
    nothing: dict[Prefix, Mapping[Path, RankedHop]] = {p: {} for p in touched if p[0] == _family(snapshot)}
    table.replace(nothing | _paths(snapshot, touched, table.routes), snapshot.dump.time)


def _note_lost(table: RouteTimes, event: _Event) -> None:
    peer = event.speaker[0]
    number = int.from_bytes(peer, "big") | (V4_MAPPED if len(peer) == 4 else 0)
    table.changes.lost.setdefault((number >> 64, number & 0xFFFFFFFFFFFFFFFF), event.time)


def _paths(snapshot: _Snapshot, touched: set[Prefix], routes: Routes) -> dict[Prefix, Mapping[Path, RankedHop]]:
    """What a dump has for the prefixes that are followed, by peer and identifier."""
    dump, some = snapshot
    paths: dict[Prefix, dict[Path, RankedHop]] = {}
    for row in np.flatnonzero(_are_among(some, touched)).tolist():
        prefix = int(some.version[row]), int(some.high[row]) << 64 | int(some.low[row]), int(some.bits[row])
        speaker: Speaker = (dump.peer(int(some.peer[row])),)
        first, second, third, fourth = some.rank[row].tolist()
        path = RankedHop((first, second, third, fourth), routes.hops[int(some.hop[row])])
        paths.setdefault(prefix, {})[speaker, int(some.identifier[row])] = path
    return dict(paths)


def _are_among(some: mrt.PeerRoutes, prefixes: set[Prefix]) -> Array:
    """Which routes are for any of some prefixes."""
    version = int(some.version[0])
    listed = [(n >> 64, n & 0xFFFFFFFFFFFFFFFF, bits) for family, n, bits in prefixes if family == version]
    wanted = np.array(listed, np.uint64).reshape(-1, 3)
    have = np.stack([some.high, some.low, some.bits.astype(np.uint64)], axis=1).astype(np.uint64)
    whole = np.dtype((np.void, wanted.dtype.itemsize * 3))
    return np.isin(have.view(whole).reshape(-1), wanted.view(whole).reshape(-1))


def _keep(routes: Routes, events: Sequence[_Event], snapshots: Sequence[_Snapshot], touched: set[Prefix]) -> None:
    """Add what dumps of one address family say of the other prefixes: until the next dump, or a session ends."""
    for number, (dump, some) in enumerate(snapshots):
        begin = dump.time if number else _known_from(events, dump.time)[0]
        until = snapshots[number + 1].dump.time if number + 1 < len(snapshots) else FOREVER
        rest = some.at(np.flatnonzero(~_are_among(some, touched)))
        ends: dict[Speaker, int] = {}
        for event in events:
            if event.prefix is None and dump.time <= event.time < until:
                ends.setdefault(event.speaker, event.time)
        peers, which = np.unique(rest.peer, return_inverse=True)
        ended = np.array([ends.get((dump.peer(peer),), FOREVER) for peer in peers.tolist()], np.int64)
        lost = ended[which] if len(peers) else np.zeros(0, np.int64)
        of = np.cumsum(rest.first)
        affected = np.isin(of, of[lost < until])
        _add(routes, rest.at(np.flatnonzero(~affected)), (begin, until))
        if number == 0:
            _add(routes, rest, (-FOREVER, begin), unknown=True)
        times = sorted(set(lost[lost < until].tolist()))
        for since, end in zip([begin, *times], [*times, until], strict=True):
            _add(routes, rest.at(np.flatnonzero(affected & (lost > since))), (since, end))


def _add(routes: Routes, some: mrt.PeerRoutes, valid: tuple[int, int], *, unknown: bool = False) -> None:
    """Add the preferred routes among some, which are in force for a time; ``unknown``: where they lead then is not known."""
    if not len(some.first) or valid[0] >= valid[1] or routes.valid is None:
        return
    rows, hops = mrt.preferred(some, routes)
    routes.prefixes.extend(some.version[rows], some.high[rows], some.low[rows], some.bits[rows])
    routes.hop.extend([routes.number(Hop())] * len(rows) if unknown else hops.tolist())
    routes.valid.extend([valid] * len(rows))
