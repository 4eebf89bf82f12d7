"""The rows of flow logs in memory: a few bytes for each field, columns that no log has none at all.

A log is many times larger than the capture beside it. So it comes in a part at a time, rows of another time than the
captures' are let go at once, and what is said of a log as a whole is gathered on the way.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.paths.flow_log_columns import MISSING, Addresses, Columns
from auditor.paths.flow_log_kept import GrowingAddresses, GrowingColumn, KeptAddresses, nowhere, whole_numbers

Array = np.ndarray[Any, Any]
FIELDS = (
    "start",
    "end",
    "srcaddr",
    "dstaddr",
    "interface-id",
    "tgw-id",
)  # what is looked at of rows that are let go, too

# From when to when rows may be about packets, in seconds; None where that is not known.
Window = tuple[int | None, int | None]


@dataclass
class FlowLog:
    """The rows of logs that hold addresses. Numbers are -1, texts None, addresses (0, 0) where a row has ``-``.

    Numbers are of the narrowest type that holds a column: who computes with them widens them first. ``text`` has for
    each of the texts (values, index). Lists have an entry for each file, and count all of its rows.
    """

    names: list[str] = field(default_factory=list)
    number: dict[str, Array] = field(default_factory=dict)
    address: dict[str, KeptAddresses] = field(default_factory=dict)
    text: dict[str, tuple[list[str | None], Array]] = field(default_factory=dict)
    file: Array = field(default_factory=lambda: np.zeros(0, np.int32))  # index into ``names``
    rows: list[int] = field(default_factory=list)  # those without data included
    columns: set[str] = field(default_factory=set)  # fields that any of the logs has
    skipped: list[int] = field(default_factory=list)  # rows that could not be read, or whose data AWS skipped
    unread: list[int] = field(default_factory=list)  # rows that could not be read
    span: list[tuple[int, int] | None] = field(default_factory=list)  # from when to when, in seconds
    transit: list[bool] = field(default_factory=list)  # whether it is a transit gateway's
    partial: list[bool] = field(default_factory=list)  # AWS skipped some of its data (SKIPDATA), or rows cannot be read
    accepts: list[bool] = field(default_factory=list)  # has what was accepted: a log may be of what was refused alone
    own: Array = field(default_factory=lambda: np.zeros(0, np.uint64))  # see ``_InterfaceAddresses``

    def __len__(self) -> int:
        return len(self.file)

    def texts(self, name: str) -> Array:
        """A text column, one str or None a row."""
        values, index = self.text[name]
        return np.array([*values, None], object)[index]

    def is_value(self, name: str, *wanted: str) -> Array:
        """Whether a text column is one of some values."""
        values, index = self.text[name]
        return np.array([*(v in wanted for v in values), False])[index]


class LogRows:
    """Rows of logs as they come, and what is known of each file. Columns are those of ``flow_logs``."""

    def __init__(self, numbers: Iterable[str], addresses: Iterable[str], texts: Iterable[str]) -> None:
        self._numbers, self._addresses, self._texts = tuple(numbers), tuple(addresses), tuple(texts)
        self._kept: dict[str, GrowingColumn] = {}  # by column
        self._ends: dict[str, GrowingAddresses] = {}
        self._count = 0  # rows that are kept
        self._window: Window = (None, None)
        self._codes: dict[str, dict[str, int]] = {name: {} for name in self._texts}
        self._file = whole_numbers()
        self._owners = _InterfaceAddresses()
        self._log = FlowLog()

    def begin(self, name: str) -> None:
        """What comes from now on is of another file."""
        log = self._log
        log.names.append(name)
        for counts in (log.rows, log.skipped, log.unread):
            counts.append(0)
        log.span.append(None)
        for flags in (log.transit, log.partial, log.accepts):
            flags.append(False)

    @property
    def rows(self) -> int:
        """Rows of the file that is read."""
        return self._log.rows[-1]

    @property
    def unread(self) -> int:
        """Those of them that cannot be read."""
        return self._log.unread[-1]

    def add(self, columns: Columns, window: Window, lost: int = 0) -> int:
        """Take in the rows that may be of some time; how many these are. ``lost``: rows that are not even in columns."""
        log = self._log
        status = columns.is_value("log-status", ("OK",)) if "log-status" in columns.texts else None
        # A row without data has no addresses, and says so by its status.
        bad = columns.bad if status is None else columns.bad & (status | (columns.texts["log-status"][1] < 0))
        good = ~bad & columns.addresses["srcaddr"].is_there() & (columns.numbers["start"] >= 0)
        good = good if status is None else good & status
        unread = int(bad.sum()) + lost
        log.rows[-1] += len(columns) + lost
        log.unread[-1] += unread
        log.skipped[-1] += lost + int((~good).sum())
        log.partial[-1] |= unread > 0 or (
            status is not None and bool(columns.is_value("log-status", ("SKIPDATA",)).any())
        )
        log.accepts[-1] |= "action" not in columns.texts or bool(columns.is_value("action", ("ACCEPT",)).any())
        log.columns |= {*columns.numbers, *columns.addresses, *columns.texts}
        self._look(columns, good)
        if window != self._window:  # what was kept before it was known
            self._window = window
            self._let_go()
        kept = good & _is_within(columns.numbers["start"], columns.numbers["end"], window)
        if count := int(kept.sum()):
            self._keep(columns.at(kept), count)
        return count

    def _keep(self, columns: Columns, count: int) -> None:
        for column, values in self._split(columns):
            self._kept.setdefault(column, whole_numbers()).put(values, self._count)
        for column, ends in _inner(columns.addresses).items():
            if column in self._ends or ends.is_there().any():
                self._ends.setdefault(column, GrowingAddresses()).put(ends, self._count)
        self._count += count
        self._file.put(np.full(count, len(self._log.names) - 1), self._count - count)

    def _let_go(self) -> None:
        """Of the rows that are kept, those of another time."""
        start, end = (self._kept[name].until(self._count) if name in self._kept else None for name in ("start", "end"))
        if start is None or end is None:
            return
        mask = _is_within(start, end, self._window)
        kept: list[GrowingColumn | GrowingAddresses] = [*self._kept.values(), *self._ends.values(), self._file]
        for column in kept:
            column.keep(mask)
        self._count = int(mask.sum())

    def _split(self, columns: Columns) -> Iterator[tuple[str, Array]]:
        """The columns of numbers as they are kept, and those of texts as the numbers of these."""
        yield from columns.numbers.items()
        for name, (texts, places) in columns.texts.items():
            codes = self._codes[name]
            yield name, np.array([*(codes.setdefault(text, len(codes)) for text in texts), MISSING], np.int64)[places]

    def _look(self, columns: Columns, good: Array) -> None:
        """Note what is said of a log as a whole."""
        log, numbers = self._log, columns.numbers
        if not good.any():
            return
        first, last = int(numbers["start"][good].min()), int(numbers["end"][good].max())
        span = log.span[-1] or (first, last)
        log.span[-1] = min(span[0], first), max(span[1], last)
        if "tgw-id" in columns.texts:
            log.transit[-1] |= bool((columns.texts["tgw-id"][1][good] >= 0).any())
        if "interface-id" in columns.texts:
            names, interface = columns.texts["interface-id"]
            ends = (columns.addresses[name].low[good] for name in ("srcaddr", "dstaddr"))
            self._owners.add(names, interface[good], *ends)

    def finish(self) -> FlowLog:
        """All that was kept."""
        log = self._log
        log.file = self._file.whole(self._count)
        log.number = {name: self._whole(name) for name in self._numbers}
        log.address = {
            name: self._ends[name].whole(self._count) if name in self._ends else nowhere(self._count)
            for name in self._addresses
        }
        log.text = {name: (list(self._codes[name]), self._whole(name)) for name in self._texts}
        log.own = self._owners.addresses()
        return log

    def _whole(self, column: str) -> Array:
        kept = self._kept.pop(column, None)
        return np.broadcast_to(np.int8(MISSING), self._count) if kept is None else kept.whole(self._count)


def _inner(addresses: dict[str, Addresses]) -> dict[str, Addresses]:
    """The addresses of packets only where they are not those of the interfaces, which is nearly nowhere."""
    pairs = [("pkt-srcaddr", "srcaddr"), ("pkt-dstaddr", "dstaddr")]
    if any(name not in addresses for pair in pairs for name in pair):
        return addresses
    differs = np.logical_or(*(addresses[inner].differs(addresses[outer]) for inner, outer in pairs))
    differing = {}
    for inner, _ in pairs:
        ends = addresses[inner]
        differing[inner] = Addresses(np.where(differs, ends.high, 0), np.where(differs, ends.low, 0))
    return {**addresses, **differing}


def _is_within(start: Array, end: Array, window: Window) -> Array:
    """Which rows may be of a time."""
    since, until = window
    within = np.ones(len(start), bool) if since is None else end >= since
    return within if until is None else within & (start <= until)


class _InterfaceAddresses:
    """The addresses of the interfaces that logs were taken at.

    An interface's own address is in each of its rows; where another one is as well, nothing shows which it is.
    """

    def __init__(self) -> None:
        self._always: dict[str, set[int]] = {}  # low halves that are in each row so far, by interface

    def add(self, names: list[str], interface: Array, source: Array, target: Array) -> None:
        known = np.flatnonzero(interface >= 0)
        if not len(known):
            return
        interface, ends = interface[known], (source[known], target[known])
        rows = np.bincount(interface, minlength=len(names))
        first = np.zeros(len(rows), np.int64)
        first[interface[::-1]] = np.arange(len(interface))[::-1]  # of each interface its first row, written last
        there = np.flatnonzero(rows).tolist()
        always: dict[int, set[int]] = {number: set() for number in there}
        for end in ends:  # what is in each row is one of the two in the first one
            one = end[first]
            has = (ends[0] == one[interface]) | (ends[1] == one[interface])
            whole = np.bincount(interface[has], minlength=len(rows)) == rows
            for number in there:
                if whole[number]:
                    always[number].add(int(one[number]))
        for number, some in always.items():
            self._always[names[number]] = self._always.get(names[number], some) & some

    def addresses(self) -> Array:
        """Low halves of the addresses that are known."""
        return np.array(sorted({next(iter(some)) for some in self._always.values() if len(some) == 1}), np.uint64)
