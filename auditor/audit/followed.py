"""Following a share of the flows: what comes of it goes to files, and so does where it could be gone on with.

A worker may die over it, or the whole audit be killed. Whoever begins with the same share then looks for what others have
come to, and goes on from there: their files stay where they are.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.audit.shares import Followed, ShareGroup, SharePlan, attempt, inputs_of
from auditor.border.gate import RefusedError
from auditor.capture.inputs import Input
from auditor.machine import packed, writing
from auditor.reading import checkpoint, kept
from auditor.reading.checkpoint import ResumedCheckpoint, ResumePoint
from auditor.reading.events import Batch, CapturesEnded, Checkpoint, Event
from auditor.reading.exchange import Share
from auditor.reading.following import Reading, within
from auditor.reading.window import Window

STATE, KIND = "state", "share of an audit"
Report = Callable[[int, int, int], object]  # called with packets, bytes and captures that were read so far


@dataclass
class EarlierAttempt:
    """What an earlier attempt has come to: captures that are done, and of those that are not its files so far."""

    onward: ResumePoint
    groups: list[ShareGroup]
    batches: list[Path]
    exchanged: tuple[Path, ...]


@dataclass
class Following:
    """A share that is being followed in ``folder``; ``hashes``: its captures are hashed as well."""

    plan: SharePlan
    folder: Path
    hashes: bool
    groups: list[ShareGroup] = field(default_factory=list)
    batches: list[Path] = field(default_factory=list)
    _ended: CapturesEnded | None = None
    _open: int = 0  # captures of those that ended of which the count is not complete
    _number: int = 0

    def take(self, event: Event) -> None:
        """Write down what happened."""
        if isinstance(event, Batch):
            self.batches.append(self._path("batch"))
            kept.write_batch(self.batches[-1], event)
        elif isinstance(event, Checkpoint):
            self._reach(event)
        elif isinstance(event, CapturesEnded):
            self._ended, self._open = event, len(event.sources)
        else:
            self._open -= 1
        if self._ended is not None and self._open == 0:
            self._end(self._ended)
            self._ended = None

    def _end(self, ended: CapturesEnded) -> None:
        sources, control = self._path("sources"), self._path("control")
        kept.write_sources(sources, ended.sources, ended.interfaces)
        kept.write_control(control, ended.control)
        self.groups.append(ShareGroup(tuple(self.batches), tuple(ended.exchanged), sources, control))
        self.batches = []

    def _reach(self, reached: Checkpoint) -> None:
        """Write down where somebody else could go on."""
        began = time.monotonic()
        ended = {source.number: source for source in reached.sources}
        for row in reached.values.get("sources", []):
            if row["number"] in ended:
                source = ended[row["number"]]
                hashed = {"sha256": None, "changed": source.item.was_changed()}
                row.update(kept.hashed_values(source) if self.hashes else hashed)
        values = reached.values | {
            "groups": [
                [self._names(one.batches), self._names(one.exchanged), *self._names([one.sources, one.control])]
                for one in self.groups
            ],
            "batches": self._names(self.batches),
            "exchanged": self._names(reached.exchanged),
        }
        with writing.replaced(self.folder / STATE, durable=False) as file:
            file.writelines(packed.assembled(KIND, values, reached.arrays))
        reached.written(time.monotonic() - began)

    def _names(self, paths: Sequence[Path]) -> list[str]:
        """Files of all attempts, by where they lie in the folder that these share."""
        return [str(path.relative_to(self.plan.folder)) for path in paths]

    def _path(self, kind: str) -> Path:
        self._number += 1
        return self.folder / f"{kind}-{self._number}"


def follow(plan: SharePlan, number: int, report: Report | None = None) -> Followed:
    """Follow one share of the flows through all captures, or on from where an earlier attempt was. One alone hashes them."""
    inputs = inputs_of(plan.captures, is_hashed=number == 0)
    left = _left(plan, number, inputs)
    folder = attempt(plan.folder, f"share-{number}")
    before = () if left is None else left.exchanged
    reading = Reading(
        inputs,
        plan.block_bytes,
        apart=plan.options.apart,
        window=Window(*plan.options.times()),
        ceiling=plan.ceiling(),
        share=Share(number, plan.shares, folder, by_hosts=plan.by_hosts, before=before),
        borders=True,
        onward=None if left is None else left.onward,
    )
    following = Following(plan, folder, number == 0)
    if left is not None:
        following.groups, following.batches = left.groups, left.batches
    try:
        for event in reading:
            following.take(event)
            if report is not None:
                report(reading.packets, reading.done, reading.files)
    finally:
        reading.close()
        for item in inputs:
            item.forget()
    return Followed(tuple(following.groups), reading.packets)


def files_of(plan: SharePlan, number: int) -> list[str]:
    """The files by which one share is gone on from behind the end of its captures, the first of them its state.

    Raises RefusedError where there are none.
    """
    for path in plan.folder.glob(f"share-{number}-*/{STATE}"):
        with path.open("rb") as file:
            values = next(packed.records(file)).values
        groups = values["groups"]
        begun = [] if plan.options.apart else values["sources"]
        ended = len(groups) if plan.options.apart else len(begun) - len(values["open"])
        if ended == len(plan.captures) and not any(one["failure"] for one in begun):
            of_groups = [name for batches, exchanged, *rest in groups for name in (*batches, *exchanged, *rest)]
            names = [str(path.relative_to(plan.folder)), *values["batches"], *values["exchanged"], *of_groups]
            return list(dict.fromkeys(map(str, names)))
    raise RefusedError("no share has come to the end of its captures")


def _left(plan: SharePlan, number: int, inputs: Sequence[Input]) -> EarlierAttempt | None:
    """The furthest that an attempt at a share has come to, where that can be gone on from."""
    found: list[packed.Packed] = []
    layouts = {} if plan.options.apart else checkpoint.LAYOUTS
    for path in plan.folder.glob(f"share-{number}-*/{STATE}"):
        with suppress(*packed.DAMAGED):
            found.append(packed.read(path, KIND, layouts))
    for state in sorted(found, key=lambda one: -int(one.values["packets"])):
        with suppress(*packed.DAMAGED):
            if (onward := _onward(plan, state, inputs)) is not None:
                groups = [_group(plan, *one) for one in state.values["groups"]]
                exchanged = tuple(_paths(plan, state.values["exchanged"]))
                return EarlierAttempt(onward, groups, _paths(plan, state.values["batches"]), exchanged)
    return None


def _onward(plan: SharePlan, state: packed.Packed, inputs: Sequence[Input]) -> ResumePoint | None:
    if plan.options.apart:
        return ResumePoint(int(state.values["packets"]), len(state.values["groups"]))
    return ResumedCheckpoint(state.values, state.arrays).onward(
        inputs, *within(plan.ceiling()), Window(*plan.options.times())
    )


def _group(plan: SharePlan, batches: Sequence[str], exchanged: Sequence[str], sources: str, control: str) -> ShareGroup:
    return ShareGroup(tuple(_paths(plan, batches)), tuple(_paths(plan, exchanged)), *_paths(plan, [sources, control]))


def _paths(plan: SharePlan, names: Sequence[Any]) -> list[Path]:
    """Files of an attempt. Raises RefusedError where they are not there."""
    paths = [plan.folder / str(name) for name in names]
    if any(path.parent.parent != plan.folder or not path.is_file() for path in paths):
        raise RefusedError("damaged: it names files that are not there")
    return paths
