"""Captures that are read as one, in the order of their first packets: recognised by their bytes, not by their names."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from auditor.capture.inputs import Input
from auditor.capture.notes import Notes
from auditor.capture.pcap import SPECIAL
from auditor.capture.reader import Reader, new_buffer
from auditor.decode.fragments import Counts
from auditor.decode.packet import PACKET_MARK
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.flows.room import new_tallies
from auditor.reading import copies, scan
from auditor.reading.clocks import clock_offsets, correction
from auditor.reading.time_order import NEVER, SortableRun, Steps, runs_of
from auditor.reading.window import Span, Window, last_times, outside

SKIPPED = "skipped"  # what the status of a capture is that was not read
LOOKED_AT = 512  # packets at a capture's beginning
LOOKED_AT_BYTES = LOOKED_AT * 512
STEP = 10_000_000_000  # nanoseconds by which a clock may go back (``scan.STEP_BACK``)
DIGITS = re.compile(r"(\d+)")


@dataclass(eq=False, repr=False)
class CaptureCounts:
    """What was counted of one capture; complete once all that are read with it are at their ends."""

    counters: S.Array
    notes: Notes = field(default_factory=Notes)
    fragments: Counts = field(default_factory=Counts)
    interfaces: list[str | None] = field(default_factory=list)
    flows: int = 0  # that began in it
    handshakes: int = 0
    apart: int | None = None  # nanoseconds from the end of all before it to its beginning, below 0 where they overlap
    offset: int | None = None  # nanoseconds by which its clock is ahead of that of captures before it, where that shows
    unsure: int | None = None  # by how many it may be ahead: it is not corrected
    samples: int = 0  # packets that sFlow's reports have, and those of them that there was no room for
    samples_left_out: int = 0
    outside: int = 0  # packets that are not of the time that was asked for
    dropped: int | None = None
    secrets: int = 0
    bytes: int = 0
    evicted: int = 0  # flows that began in it and were ended early
    forgotten: int = 0  # answers of the DNS and facts of the network that were let go, with the first capture of all
    steps: Steps = field(default_factory=Steps)  # how far its packets are from the order of time
    late: int = 0  # packets that could not be put in order
    left_out: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class FirstPackets:
    """What the first packets of a capture show."""

    first: int = NEVER  # when the first of them came, and the last
    last: int = NEVER
    key_logs: list[bytes] = field(default_factory=list)  # TLS secrets before them
    marks: S.Array = field(default_factory=lambda: np.zeros(0, PACKET_MARK))  # what they are known again by
    notes: Notes = field(default_factory=Notes)  # what was seen of the file


@dataclass(eq=False, repr=False)
class Source:
    """One of them: ``number`` is its place among them, ``first`` the time of its first packet."""

    item: Input
    number: int
    first: int
    counted: CaptureCounts
    beginning: FirstPackets = field(default_factory=FirstPackets)
    key_logs: list[bytes] = field(default_factory=list)  # TLS secrets that it has shown so far
    failure: str | None = None  # why it could not be read, or no further
    window: Window = field(default_factory=Window)  # the packets of it that are audited
    skipped: bool = False  # none of them: it is not read
    runs: Sequence[SortableRun] = ()  # where it is read as several
    is_strict: bool = False  # it can be read anew, as such

    def ended(self, reader: Reader) -> None:
        """Take over what reading it has shown; all its bytes count, also those behind damage."""
        with suppress(OSError):
            self.item.read_rest()
        self.item.is_done = True
        counted, described = self.counted, reader.pcapng
        counted.interfaces = [*(info.name for info in described.interfaces), *reader.named]
        counted.secrets = described.secrets
        dropped = [info.dropped for info in described.interfaces if info.dropped is not None]
        counted.dropped = sum(dropped) if dropped else None
        counted.bytes = self.item.digest.count if self.item.digest is not None else 0


class Beginnings:
    """Looks at the beginnings of captures; what is wrong with one shows when it is read."""

    def __init__(self) -> None:
        self._buffer, self._packets = new_buffer(LOOKED_AT_BYTES), S.packets(LOOKED_AT)
        self._marks = S.records(LOOKED_AT, PACKET_MARK)

    def at_all(self, inputs: Sequence[Input]) -> list[FirstPackets]:
        """The beginnings of captures, of objects in stores several at a time."""
        openers: list[Callable[[], Input | None]] = [item.again for item in inputs]
        if any(item.remote is not None for item in inputs):
            from auditor.capture import first_bytes  # only for stores

            openers = first_bytes.beginnings(inputs, LOOKED_AT_BYTES)
        return [self.at(item, opener) for item, opener in zip(inputs, openers, strict=True)]

    def at(self, item: Input, opener: Callable[[], Input | None]) -> FirstPackets:
        """The beginning of a file. A stream can be read only once: it is taken to begin before all others."""
        if item.refusal is not None or item.is_stream:
            return FirstPackets()
        with suppress(InputError, OSError):
            again = opener()
            if again is None:
                return FirstPackets()
            reader = Reader(again, self._buffer)
            try:
                reader.fill()
                return self._first_packets(reader)
            finally:
                reader.close()
        return FirstPackets()

    def _first_packets(self, reader: Reader) -> FirstPackets:
        while True:
            count, reader.position, ended, *_ = scan.read_batch(
                reader.buffer, reader.position, reader.stop, reader.layout, reader.interfaces, 0, self._packets
            )
            if count:
                packets = self._packets[:count]
                marks = self._marks[: copies.describe_packets(reader.buffer, packets, self._marks)]
                times = packets["time"]
                key_logs = reader.pcapng.key_logs
                return FirstPackets(int(times.min()), int(times.max()), key_logs, np.array(marks), reader.notes)
            if ended == SPECIAL and reader.special():
                continue
            if reader.notes.status != "complete" or not reader.fill():
                return FirstPackets(key_logs=reader.pcapng.key_logs)


def measure(sources: Sequence[Source]) -> None:
    """Note how far captures that were read as one are apart, in the order of their first packets."""
    before: int | None = None
    for source in sources:
        counters = source.counted.counters
        if not counters[S.PACKETS]:
            continue
        first, last = int(counters[S.FIRST_TIME]), int(counters[S.LAST_TIME])
        if before is not None:
            source.counted.apart = first - before if first >= before else first - min(before, last)
        before = last if before is None else max(before, last)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A name in the order in which people count: ``cap.pcap10`` comes behind ``cap.pcap9``."""
    parts = DIGITS.split(name)
    numbers = [part.lstrip("0") for part in parts[1::2]]  # of two, the one with more digits is larger
    return tuple(
        pair
        for part, number in zip(parts[::2], [*numbers, ""], strict=True)
        for pair in ((-1, part), (len(number), number))
    )


def _offsets(
    inputs: Sequence[Input], beginnings: Sequence[FirstPackets], known: Mapping[str, int] | None
) -> tuple[list[int | None], list[int | None]]:
    """By how much the clock of each capture is ahead, and by how much it may be."""
    if known is not None:
        return [known.get(item.name) for item in inputs], [None] * len(inputs)
    begun = [(one.first, one.marks) for one in beginnings]
    return clock_offsets(begun, lambda k: last_times([inputs[k]], at_most=False)[0])


def ordered(
    inputs: Sequence[Input],
    offsets: Mapping[str, int] | None = None,
    known: Mapping[str, FirstPackets] | None = None,
    window: Window | None = None,
    *,
    is_strict: bool = False,
) -> tuple[list[Source], S.Array]:
    """The captures in the order of their packets, and the array in which what is counted of each is.

    Where first packets have the same time, the captures that end sooner come first; names decide only what times leave
    open. ``offsets``: by how much the clock of each is ahead, where that is known already. ``known``: beginnings that need
    not be looked at again; where it is given, the one of a single capture will be asked for as well. ``window``: the
    packets that are audited; captures that hold none of them are marked. ``is_strict``: reading may begin anew where
    packets come too late.
    """
    window = window or Window()
    is_looked_at = len(inputs) > 1 or known is not None or bool(window)
    there = known or {}
    unknown = [item for item in inputs if item.name not in there] if is_looked_at else []
    seen = dict(zip((item.name for item in unknown), Beginnings().at_all(unknown), strict=True)) if unknown else {}
    beginnings = [there.get(item.name) or seen.get(item.name) or FirstPackets() for item in inputs]
    gone = {k: runs_of(item) for k, item in enumerate(inputs) if item.is_unsorted and item.name not in there}
    for k, shown in gone.items():
        if shown.first is not None:
            beginnings[k].first = shown.first
    ahead, unsure = _offsets(inputs, beginnings, offsets)

    def key(k: int) -> tuple[Any, ...]:
        one, shift = beginnings[k], correction(ahead[k])
        first, last = (time if time == NEVER else time - shift for time in (one.first, one.last))
        return first, last, natural(inputs[k].name)

    tallies = new_tallies(len(inputs))
    skipped = _outside(inputs, beginnings, window)
    sources = []
    for number, k in enumerate(sorted(range(len(inputs)), key=key)):
        one, counted = beginnings[k], CaptureCounts(tallies[number], offset=ahead[k], unsure=unsure[k])
        if k in skipped:
            inputs[k].skip()
            counted.notes = replace(one.notes, status=SKIPPED)
            counted.warnings.append(f"not read, since it holds nothing of the time that was asked for: {skipped[k]}")
        runs = gone[k].runs if k in gone else ()
        if runs:
            counted.steps = gone[k].steps or counted.steps
        sources.append(
            Source(
                inputs[k],
                number,
                key(k)[0],
                counted,
                one,
                one.key_logs,
                window=window,
                skipped=k in skipped,
                runs=runs,
                is_strict=is_strict and not inputs[k].is_unsorted and not inputs[k].is_stream,
            )
        )
    return sources, tallies


def _outside(inputs: Sequence[Input], beginnings: Sequence[FirstPackets], window: Window) -> dict[int, str]:
    """Which captures hold nothing of a time, by their place among the inputs, and why; none of which nothing is known."""
    if not window:
        return {}
    known = [k for k, one in enumerate(beginnings) if one.first != NEVER]
    earlier = [k for k in known if window.since is not None and beginnings[k].last < window.since]
    last = dict(zip(earlier, last_times([inputs[k] for k in earlier]), strict=True))
    spans = [Span(inputs[k].name, beginnings[k].first, beginnings[k].last, last.get(k)) for k in known]
    return {known[place]: why for place, why in outside(spans, window).items()}


def again(sources: Sequence[Source], times: tuple[int, int]) -> tuple[list[Source], S.Array] | None:
    """The same captures with the same numbers, to be read a second time; None where one of them cannot be.

    ``times``: of the first and last packets that are wanted. A capture that has none from between is left out.
    """
    tallies, seconds = new_tallies(len(sources)), []
    for source in sources:
        if not _is_between(source.counted.counters, times):
            continue
        item = source.item.again(is_hashed=True)
        if source.failure is None and item is None:
            return None
        if source.failure is None and item is not None:
            counted = replace(source.counted, counters=tallies[source.number], steps=Steps())
            seconds.append(Source(item, source.number, source.first, counted, window=source.window, runs=source.runs))
    return seconds, tallies


def _is_between(counters: S.Array, times: tuple[int, int]) -> bool:
    """Whether a capture may have packets of these times; time stamps may go back a little."""
    first, last = int(counters[S.FIRST_TIME]), int(counters[S.LAST_TIME])
    return bool(counters[S.PACKETS]) and first <= times[1] + STEP and last >= times[0] - STEP


def is_same(sources: Sequence[Source], seconds: Sequence[Source]) -> bool:
    """Whether captures that were read a second time, to their ends, are those of the first time, byte for byte."""
    digests = {source.number: source.item.sha256() for source in sources}
    return all(not one.item.is_hashed or one.item.sha256() == digests[one.number] for one in seconds)
