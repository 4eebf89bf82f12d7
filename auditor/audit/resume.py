"""Going on where an earlier audit into the same folder has come to: one that was killed, or one that captures came after.

What it has read is not read again: its log is taken over as far as its last checkpoint, the batches in it are judged
anew, and reading goes on behind them. Results are those of an audit that nothing has interrupted.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from auditor.audit import audit_settings, killed
from auditor.audit.keeping import ReadAsOne
from auditor.audit.replay import Log, Replay
from auditor.border.gate import RefusedError
from auditor.border.words import agreed, counted
from auditor.capture.inputs import Input
from auditor.errors import AuditError
from auditor.machine import packed
from auditor.machine.memory import Ceiling
from auditor.options import Options
from auditor.reading import checkpoint, kept
from auditor.reading.checkpoint import ResumedCheckpoint, ResumePoint
from auditor.reading.following import within
from auditor.reading.window import Window
from auditor.report import custody, files
from auditor.report.custody import KEPT, STATE

STRANGE = "what the results keep was not written by this user on this machine: all captures are read again"
OTHER = "what the results keep is of another version of the auditor: all captures are read again"
GROUPS = {"group_tallies": np.dtype(np.int64)}


@dataclass
class EarlierWork:
    """What an earlier audit has read, as far as it goes into this one; closed where it is not needed any more."""

    log: Log
    end: int  # of the log, as far as it counts
    marks: Mapping[str, Any]  # what it was made with
    values: Mapping[str, Any] = field(default_factory=dict)  # of its checkpoint
    arrays: Mapping[str, Any] = field(default_factory=dict)
    replay: Replay | None = None  # where it came to its end
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def captures(self) -> list[Mapping[str, Any]]:
        """What it knows of the captures that it has read, in order."""
        if self.replay is not None:
            return [one for group in self.replay.sources() for one in group]
        ended = [one for group in self.values["groups"] for one in group["sources"]]
        return [*ended, *self.values.get("sources", [])]

    def counted(self, inputs: Mapping[str, Input]) -> list[ReadAsOne]:
        """What was counted of captures that had ended before its checkpoint."""
        counted: list[ReadAsOne] = []
        at = 0
        for group in self.values["groups"]:
            rows = self.arrays["group_tallies"][at : at + len(group["sources"])]
            counted.append(kept.sources_found(packed.Packed(group, {"tallies": rows}), inputs))
            at += len(group["sources"])
        return counted


@dataclass
class ResumePlan:
    """What this audit goes on from: ``onward`` is what reading does, None where no capture has to be read."""

    past: EarlierWork
    onward: ResumePoint | None
    words: str

    def close(self) -> None:
        """Let go of the earlier audit."""
        self.past.held.close()


def plan(inputs: Sequence[Input], options: Options, ceiling: Ceiling, results: Path | None) -> ResumePlan | None:
    """What there is to go on from; None where all is to be read. ``results``: the folder with those of before.

    Where captures, or what decides how they are read, were changed, nothing is gone on from; a sentence says so.
    """
    if any(item.stamp is None and item.refusal is None for item in inputs):
        return None
    marks = audit_settings.marks(options)
    found: list[ResumePlan] = []
    for past in _pasts(results, options, packed.room(ceiling)):
        one = None
        with suppress(*packed.DAMAGED):
            fitting = _fitting(past, inputs, options, marks, ceiling)
            if fitting is not None:
                past.log.check()
            one = fitting
        if one is None:
            past.held.close()
        else:
            found.append(one)
    found.sort(key=lambda one: (len(one.past.captures), one.past.values.get("packets", 0)))
    for one in found[:-1]:
        one.close()
    return found[-1] if found else None


def _pasts(results: Path | None, options: Options, most: int) -> Iterator[EarlierWork]:
    """The audits of this user that can be gone on from: one that is whole, and those that were killed.

    ``most``: bytes that what is read of them may take at one time.
    """
    if results is not None:
        with suppress(*packed.DAMAGED), _telling(options), ExitStack() as held:
            replay = Replay(held.enter_context(files.opened(results / KEPT)), most)
            if replay.is_own:
                past = EarlierWork(replay.log, 0, replay.values["marks"], replay=replay)
                with suppress(*packed.DAMAGED):
                    _take_state(past, _State.read(results / STATE, most, custody.read(results).unlisted[STATE]))
                past.held = held.pop_all()
                yield past
            else:
                _say(options, STRANGE)
    for folder in killed.folders(options):
        with suppress(*packed.DAMAGED), _telling(options), ExitStack() as held:
            killed.hold(folder, held)
            state = _State.read(folder / STATE, most)
            past = EarlierWork(
                Log(held.enter_context(files.opened(folder / KEPT)), state.end, most=most), state.end, {}
            )
            if (0 if past.log.last is None else past.log.last.end) != past.end:
                continue
            _take_state(past, state)
            past.held = held.pop_all()
            yield past


@contextmanager
def _telling(options: Options) -> Iterator[None]:
    """Say where another version has kept what there is."""
    try:
        yield
    except packed.OtherVersionError:
        _say(options, OTHER)
        raise


@dataclass(frozen=True)
class _State:
    """Where an audit stood: what it wrote of that, the digest, and what is said to seal it."""

    found: packed.Packed
    digest: bytes
    sealed: object

    @property
    def end(self) -> int:
        """Of the log, as far as it went."""
        return int(self.found.values["log"])

    @classmethod
    def read(cls, path: Path, most: int, digest: str | None = None) -> "_State":
        """Raises RefusedError where it is not whole, or has another digest."""
        with files.opened(path) as file:
            record, seal = islice(packed.records(file, most=most), 2)
            between = any(entry[0] == "seen" for entry in record.listed)  # of captures read apart there are only counts
            found = packed.load(file, record, GROUPS | (checkpoint.LAYOUTS if between else {}), digest, most=most)
            return cls(found, packed.digest_of(file, record), packed.load(file, seal, {}, most=most).values.get("seal"))


def _take_state(past: EarlierWork, state: _State) -> None:
    """Let an audit of before know where it stood. Raises RefusedError where this user did not write that."""
    if not past.log.is_own(state.end, state.sealed, state.digest):
        raise RefusedError("was not written by this user")
    past.values, past.arrays, past.end = state.found.values, state.found.arrays, state.end
    if past.replay is None:
        past.marks = {"reading": state.found.values["reading"]}


def _fitting(
    past: EarlierWork, inputs: Sequence[Input], options: Options, marks: Mapping[str, Any], ceiling: Ceiling
) -> ResumePlan | None:
    """How this audit goes on from an earlier one; None where it does not."""
    if past.marks["reading"] != marks["reading"] or (past.replay is not None and past.replay.values["failed"]):
        return None
    before, now = past.captures, {item.name: item for item in inputs}
    if not before or any(one["name"] not in now for one in before):
        return None
    changed = next((one["name"] for one in before if not _is_same(one, now[one["name"]])), None)
    if changed is not None:
        _say(options, f"{changed} was changed since it was read: all captures are read again")
        return None
    words = _words(before, past.values.get("open", ()), len(inputs))
    if past.replay is not None and len(before) == len(inputs):
        is_order = not options.apart or [one["name"] for one in before] == [item.name for item in inputs]
        return ResumePlan(past, None, words) if is_order else None
    onward = _onward(past, inputs, options, ceiling) if past.values else None
    return None if onward is None else ResumePlan(past, onward, words)


def _words(begun: Sequence[Mapping[str, Any]], opened: Sequence[Mapping[str, Any]], count: int) -> str:
    """What of so many captures was read before; ``opened``: where those stood that were read in part."""
    names = {one["number"]: one["name"] for one in begun}
    parts = [f"{names[one['number']]} up to byte {one['reader']['at']:,}" for one in opened]
    ended = len(begun) - len(opened)
    if ended or not parts:
        parts.insert(0, f"{ended} of {counted(count, 'capture')}")
    return f"{' and '.join(parts)} {agreed(max(ended, len(parts)), 'was', 'were')} read before"


def _onward(past: EarlierWork, inputs: Sequence[Input], options: Options, ceiling: Ceiling) -> ResumePoint | None:
    if options.apart:
        done = [one["name"] for one in past.captures]
        if done != [item.name for item in inputs[: len(done)]]:
            return None
        return ResumePoint(int(past.values["packets"]), len(done))
    return ResumedCheckpoint(past.values, past.arrays).onward(inputs, *within(ceiling), Window(*options.times()))


def _is_same(one: Mapping[str, Any], item: Input) -> bool:
    """Whether a capture is as it was when it was read: by size and stamp, and where only the stamp is new, by its bytes."""
    if one["size"] != item.size or one["changed"] or str(one["failure"]).endswith(os.strerror(errno.EACCES)):
        return False
    if one["notes"]["failure"] is not None:
        return False
    if one["stamp"] == item.stamp:
        return True
    return item.path is not None and item.member is None and custody.is_same(item.path, one["sha256"])


def is_done(past: EarlierWork, options: Options, folder: Path) -> bool:
    """Whether the results in a folder are those of this user's audit: made with the same files and options, and unchanged."""
    if past.replay is None or past.marks != audit_settings.marks(options):
        return False
    try:
        listed = custody.read(folder)
    except AuditError:
        return False
    names = {*custody.LISTED, *listed.files}
    return listed.is_own and all(custody.is_same(folder / name, listed.files.get(name)) for name in names)


def _say(options: Options, words: str) -> None:
    if options.say is not None:
        options.say(words)
