"""Checkpoints in captures that are read as one: all that reading on needs, so that nothing before is read again.

It is taken where it is, in the thread that decodes (``border``) and in the one that follows (``checkpoint``), at the same
packet. Between two captures no file is open, so there is little to be remembered besides the flows that are open; inside
of them it is also where each stands, and those of its packets that are decoded and not handed on.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.border.gate import RefusedError
from auditor.capture.inputs import Input
from auditor.capture.interfaces import Interfaces
from auditor.decode.control import Control, FactLimits
from auditor.decode.fragments import Reassembler
from auditor.decode.packet import FRAME_SEEN, PACKET, PACKET_MARK, RECENT, RECENT_PACKET
from auditor.flows import state as S
from auditor.flows.limits import Limits
from auditor.flows.room import new_tallies
from auditor.machine import packed
from auditor.reading import kept, kept_control, snapshot
from auditor.reading.blocks import PLACES, OpenCapture
from auditor.reading.events import Checkpoint
from auditor.reading.samples import Samples
from auditor.reading.sources import SKIPPED, FirstPackets, Source, ordered
from auditor.reading.time_order import NEVER
from auditor.reading.window import Window

CHECKPOINT = "checkpoint"  # kind of record
SHORTEST = 0.1  # seconds between two checkpoints …
INSIDE = 10.0  # … of which the second is inside of captures …
TIMES = 20  # … and so many times as long as one takes
PREFIX = "network_"  # of the arrays of what captures show of their network
STATE = "state_"
FOLLOWED = [S.EXPORTS, S.RETRANSMITTED, S.DROPPED_SEGMENTS]  # what is counted of captures where flows are followed
LAYOUTS: dict[str, Any] = {
    **{PREFIX + name: dtype for name, dtype in kept_control.LAYOUTS.items()},
    **{STATE + name: dtype for name, dtype in snapshot.LAYOUTS.items()},
    "seen": RECENT_PACKET,
    "frames": FRAME_SEEN,
    "tallies": np.dtype(np.int64),
    "pending": PACKET,
    "pending_data": np.dtype(np.uint8),
    "marks": PACKET_MARK,
    "marks_of": np.dtype(np.int64),
}


@dataclass(eq=False, repr=False)
class CheckpointPace:
    """When the next checkpoint is due: they must not take more than a twentieth of the time."""

    last: float = field(default_factory=time.monotonic)
    took: float = 0.0  # seconds to make the last one …
    writing: float = 0.0  # … and to write the one that was written last

    @property
    def is_due(self) -> bool:
        return self._is_due(SHORTEST)

    @property
    def is_due_inside(self) -> bool:
        return self._is_due(INSIDE)

    def _is_due(self, shortest: float) -> bool:
        return time.monotonic() - self.last >= max(shortest, TIMES * (self.took + self.writing))

    def written(self, seconds: float) -> None:
        """Another thread has written one, which grows with the captures that were read."""
        self.writing = seconds


@dataclass(eq=False, repr=False)
class DecoderState:
    """What the thread that decodes remembers between two packets."""

    tallies: S.Array  # of the captures that have begun
    is_last: bool  # all have ended
    values: dict[str, Any]
    arrays: dict[str, S.Array]


@dataclass(eq=False, repr=False)
class Seen:
    """What packets were seen: those of a moment ago, and how many of each capture that has begun; ``alone``: of one file."""

    packets: S.Array
    frames: S.Array
    tallies: S.Array
    alone: bool


def border(
    seen: Seen,
    control: Control,
    fragments: Reassembler,
    interfaces: Interfaces,
    samples: Samples,
    standing: Sequence[OpenCapture],
    *,
    is_last: bool,
) -> DecoderState:
    """What is remembered of decoding; ``standing``: of captures that are open."""
    values, arrays = kept_control.parts(control)
    del values["captures"]
    return DecoderState(
        seen.tallies.copy(),
        is_last,
        {
            "alone": seen.alone,
            "open": [dict(one.values) | {"pending": [len(one.packets), len(one.data)]} for one in standing],
            "network": values,
            "fragments": fragments.waiting(),
            "counts": [[number, *vars(one).values()] for number, one in fragments.counts.items()],
            "interfaces": [[*key, number] for key, number in interfaces.numbers.items()],
            "samples": [[*one.items()] for one in (samples.counts, samples.left_out)],
        },
        {PREFIX + name: array for name, array in arrays.items()}
        | {
            "seen": seen.packets.copy(),
            "frames": seen.frames.copy(),
            "pending": np.concatenate([np.zeros(0, PACKET), *(one.packets for one in standing)]),
            "pending_data": np.concatenate([np.zeros(0, np.uint8), *(one.data for one in standing)]),
        },
    )


def checkpoint(
    at: DecoderState, state: S.State, packets: int, captures: Sequence[Source], pace: CheckpointPace
) -> Checkpoint:
    """Where reading can go on, once the packets before a border were followed; ``packets``: how many these are."""
    sources = captures[: len(at.tallies)]
    marks = [source.beginning.marks for source in sources]
    tallies = at.tallies.copy()  # decoding may be further by now, but for what following counts
    tallies[:, FOLLOWED] = kept.tallies_of(sources)[:, FOLLOWED]
    arrays = at.arrays | {STATE + name: array for name, array in snapshot.parts(state).items()}
    arrays |= {
        "tallies": tallies,
        "marks": np.concatenate(marks) if marks else np.zeros(0, PACKET_MARK),
        "marks_of": np.array([len(one) for one in marks], np.int64),
    }
    begun = {one["number"]: one for one in at.values["open"]}
    values = at.values | {
        "sources": [_counted(source, begun.get(source.number)) for source in sources],
        "beginnings": [[source.beginning.first, source.beginning.last] for source in sources],
        "packets": packets,
    }
    ended = [source for source in sources if source.number not in begun]
    return Checkpoint(ended, at.is_last, values, packed.compressed(arrays), pace.written)


def _counted(source: Source, standing: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was counted of a capture; ``standing``: where it stood, if it is open: then its digest is not waited for."""
    values = kept.counted_values(source)
    if standing is not None:
        values |= {"notes": standing["reader"]["notes"], "sha256": None, "changed": False}
        values["counted"] |= {"outside": standing["outside"]}
    return values


@dataclass(eq=False, repr=False)
class ResumePoint:
    """What was read before, of captures that are read on."""

    packets: int
    groups: int = 0  # captures read apart that are done
    resumed: "ResumedCheckpoint | None" = None  # the captures that are read as one, with what is remembered of them:
    sources: list[Source] = field(default_factory=list)
    tallies: S.Array = field(default_factory=lambda: new_tallies(0))
    control: Control = field(default_factory=Control)
    state: S.State | None = None


@dataclass(eq=False, repr=False)
class ResumedCheckpoint:
    """A checkpoint that is gone on from. Methods raise RefusedError for what no audit has written."""

    values: Mapping[str, Any]
    arrays: Mapping[str, S.Array]

    @property
    def names(self) -> list[str]:
        """The captures that were read, or begun, in their order."""
        return [str(one["name"]) for one in self.values["sources"]]

    def standing(self, number: int) -> OpenCapture | None:
        """Where a capture stood that was open."""
        packets, size = 0, 0
        for one in self.values["open"]:
            begin, first = packets, size
            packets, size = packets + int(one["pending"][0]), size + int(one["pending"][1])
            if one["number"] == number:
                return OpenCapture(one, self.arrays["pending"][begin:packets], self.arrays["pending_data"][first:size])
        return None

    def beginnings(self) -> dict[str, FirstPackets]:
        """The beginnings of the captures that were read, by their names."""
        marks = (
            np.split(self.arrays["marks"], np.cumsum(self.arrays["marks_of"])[:-1])
            if len(self.arrays["marks_of"])
            else []
        )
        return {
            str(one["name"]): FirstPackets(int(first), int(last), marks=part)
            for one, (first, last), part in zip(self.values["sources"], self.values["beginnings"], marks, strict=True)
        }

    def take_over(self, sources: Sequence[Source], tallies: S.Array) -> None:
        """Let the first of ``sources`` be as they were when they had been read."""
        inputs = {source.item.name: source.item for source in sources}
        done = list(kept.sources_of(self.values["sources"], self.arrays["tallies"], inputs))
        for number, (source, one) in enumerate(zip(sources, done, strict=False)):
            tallies[number] = one.counted.counters
            one.counted.counters = tallies[number]
            source.counted, source.item.digest, source.failure = one.counted, one.item.digest, one.failure

    def control(self, control: Control) -> None:
        """Let ``control`` know what captures have shown of their network."""
        arrays = {name: self.arrays[PREFIX + name] for name in kept_control.LAYOUTS}
        found = kept_control.whole(packed.Packed({**self.values["network"], "captures": []}, arrays), control.most)
        control.go_on(found)

    def decoding(self, fragments: Reassembler, interfaces: Interfaces, samples: Samples) -> tuple[S.Array, S.Array]:
        """Let these go on; the packets and frames that were seen a moment before."""
        for number, *counts in self.values["counts"]:
            fragments.counts[int(number)] = type(fragments.counts[int(number)])(*map(int, counts))
        fragments.go_on(self.values["fragments"])
        for link_type, name, place, number in self.values["interfaces"]:
            if interfaces.number(int(link_type), name, int(place)) != number:
                raise RefusedError("damaged: it does not say which interfaces there are")
        samples.counts, samples.left_out = (
            Counter({int(number): int(count) for number, count in one}) for one in self.values["samples"]
        )
        seen, frames = self.arrays["seen"], self.arrays["frames"]
        if seen.shape != (RECENT + 1,) or frames.shape != (RECENT,):
            raise RefusedError("damaged: it does not say what was seen")
        return seen.view(np.recarray), frames.view(np.recarray)

    def check_open(self) -> None:
        """Raise RefusedError where it does not say of open captures what reading them on needs."""
        packets, most = self.arrays["pending"], len(self.values["interfaces"])
        interfaces = [row[-1] for one in self.values["open"] for row in one["reader"]["described"]["rows"]]
        size = len(self.arrays["pending_data"])
        places = [packets[name] for name in PLACES]
        if any(not 0 <= number < most for number in interfaces) or any(
            len(one) and not 0 <= one.min() <= one.max() <= size for one in places
        ):
            raise RefusedError("damaged: it does not say where captures were read")

    def state(self, limits: Limits, tallies: S.Array) -> S.State:
        """What the kernels that follow flows remember."""
        arrays = {name: self.arrays[STATE + name] for name in snapshot.LAYOUTS}
        return snapshot.restored(arrays, limits, tallies)

    def placed(self, inputs: Sequence[Input], window: Window) -> tuple[list[Source], S.Array] | None:
        """The captures in their order, and what is counted of them, of which the first are as they were.

        None where those that were read are not the first of ``inputs``, or others begin before their end.
        """
        sources, tallies = ordered(inputs, known=self.beginnings(), window=window)
        done, coming = sources[: len(self.names)], sources[len(self.names) :]
        before = [
            (str(one["name"]), one["counted"]["offset"], one["notes"]["status"] == SKIPPED)
            for one in self.values["sources"]
        ]
        if [(one.item.name, one.counted.offset, one.skipped) for one in done] != before:
            return None
        self.check_open()
        self.take_over(done, tallies)
        ends = [int(one.counted.counters[S.LAST_TIME]) for one in done if one.counted.counters[S.PACKETS]]
        # A packet of the end that comes once more would have been known again, but not where there was one file.
        end = max(ends, default=NEVER) + bool(ends and self.values["alone"])
        return None if any(one.first < end for one in coming) else (sources, tallies)

    def onward(self, inputs: Sequence[Input], limits: Limits, most: FactLimits, window: Window) -> ResumePoint | None:
        """Reading ``inputs`` on; None where that is not possible, see ``placed``."""
        if (found := self.placed(inputs, window)) is None:
            return None
        sources, tallies = found
        control = Control(most, captures=[source.item.name for source in sources])
        self.control(control)
        state = self.state(limits, tallies)
        return ResumePoint(int(self.values["packets"]), 0, self, sources, tallies, control, state)
