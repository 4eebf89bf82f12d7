"""What an audit has kept, as the events that reading its captures gave; they may be another's."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from auditor.audit.keeping import ANSWERS, AUDIT, SEAL, FlowContents, ReadAsOne
from auditor.border.gate import RefusedError
from auditor.decode.control import Control
from auditor.errors import AuditError, shown
from auditor.machine import own, packed
from auditor.reading import kept, kept_control
from auditor.reading.events import Batch, CapturesEnded, Event, Finished, Unreadable
from auditor.reading.sources import Source
from auditor.report import files
from auditor.report.custody import KEPT
from auditor.report.results import MANIFEST

PIECE = 4 << 20  # bytes that are copied at a time
LAYOUTS = kept.LAYOUTS | kept.TEXTS | kept.CHOSEN
NONE = "the results keep nothing that could be judged anew: audit the captures again"
NO_ANSWERS = "damaged: it does not say what was found inside of flows"


@dataclass
class RecordGroup:
    """The records of captures that were read as one."""

    batches: list[packed.Record] = field(default_factory=list)
    answers: list[packed.Record] = field(default_factory=list)
    control: packed.Record | None = None


class Log:
    """The records of a log, up to ``end`` where that is given; what is behind it was not kept any more."""

    def __init__(self, file: BinaryIO, end: int | None = None, *, most: int | None = None) -> None:
        """Raises RefusedError for a file that no audit wrote. ``most``: bytes that a record may take (``packed.load``)."""
        self.file, self.most = file, most
        self.groups: list[RecordGroup] = []
        self.open = RecordGroup()  # captures whose end is not among it
        self.counted: list[packed.Record] = []
        self.last: packed.Record | None = None
        self.sealed: object = None  # what is said to seal it
        self.size = 0  # of its whole records
        self._digests: list[tuple[int, bytes]] = []  # of its records, with their ends
        for record in packed.records(file, most=most):
            if end is not None and record.end > end:
                break
            self.size = record.end
            if record.kind == SEAL:
                self.sealed = self.load(record, {}).values.get("seal")
            else:
                self._take(record.place)

    def load(self, record: packed.Record, layouts: Mapping[str, Any]) -> packed.Packed:
        """What one of its records holds. Raises RefusedError."""
        return packed.load(self.file, record, layouts, most=self.most)

    def digests(self, end: int) -> list[bytes]:
        """Those of its records up to a place."""
        return [digest for place, digest in self._digests if place <= end]

    def check(self) -> None:
        """Raises RefusedError where one of its records is not what was written."""
        begin = 0
        for end, digest in self._digests:
            if packed.sha256_of(self.file, begin, end) != digest:
                raise RefusedError(packed.OTHER_DIGEST)
            begin = end

    def is_own(self, end: int, sealed: object, state: bytes = b"") -> bool:
        """Whether this user wrote it up to a place, by what is said to seal it there."""
        return own.is_own(hashlib.sha256(b"".join(self.digests(end))).digest() + state, sealed)

    def _take(self, record: packed.Record) -> None:
        self.last = record
        self._digests.append((record.end, packed.digest_of(self.file, record)))
        if record.kind == kept.BATCH:
            self.open.batches.append(record)
        elif record.kind == ANSWERS:
            self.open.answers.append(record)
        elif record.kind == kept.CONTROL:
            self.open.control = record
            self.groups.append(self.open)
            self.open = RecordGroup()
        elif record.kind == kept.SOURCES:
            self.counted.append(record)

    def answers(self) -> dict[int, FlowContents]:
        """What was found inside of flows, by their numbers. Raises RefusedError."""
        found: dict[int, FlowContents] = {}
        for record in (one for group in [*self.groups, self.open] for one in group.answers):
            try:
                answers = self.load(record, {}).values["answers"]
                found |= {int(flow): FlowContents.of(values) for flow, values in answers}
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                raise RefusedError(NO_ANSWERS) from error
        return found

    def bytes(self, end: int) -> Iterator[bytes]:
        """What it has up to a place, piece by piece."""
        self.file.seek(0)
        while end and (piece := self.file.read(min(end, PIECE))):
            end -= len(piece)
            yield piece

    def batches(self, group: RecordGroup, control: Control) -> Iterator[Batch]:
        """The batches of a group; ``control``: what its captures show of their network."""
        for record in group.batches:  # numbers that reading does not give, and each once
            yield kept.batch_of(self.load(record, LAYOUTS), -1 - record.begin, control)

    def events(self, counted: Sequence[ReadAsOne]) -> Iterator[Event]:
        """The events of all captures that have ended; ``counted``: what was counted of them, group by group."""
        for group, (sources, interfaces) in zip(self.groups, counted, strict=True):
            assert group.control is not None
            control = kept_control.whole(self.load(group.control, kept_control.LAYOUTS))
            yield from self.batches(group, control)
            yield CapturesEnded(list(sources), list(interfaces), control)
            yield from map(_end_of, sources)


class Replay:
    """An audit that was kept to its end; iterate to get its events."""

    def __init__(self, file: BinaryIO, most: int | None = None) -> None:
        """Raises RefusedError for a file that no audit wrote to its end; ``most`` is that of ``Log``."""
        self.log = Log(file, most=most)
        last = self.log.last
        is_whole = last is not None and last.kind == AUDIT and self.log.size == file.seek(0, 2)
        if last is None or not is_whole or len(self.log.counted) != len(self.log.groups):
            raise RefusedError("damaged: it is not whole")
        self.values: Mapping[str, Any] = self.log.load(last, {}).values
        self.is_own = self.log.is_own(last.end, self.log.sealed)

    def counted(self) -> list[ReadAsOne]:
        """What was counted of captures, those that were read as one together. Raises RefusedError."""
        return [kept.sources_found(self.log.load(one, kept.TALLIES)) for one in self.log.counted]

    def sources(self) -> list[list[Mapping[str, Any]]]:
        """What was noted of captures, without what kernels have counted of them."""
        return [list(self.log.load(one, kept.TALLIES).values["sources"]) for one in self.log.counted]

    def kept(self) -> tuple[Iterator[bytes], list[bytes]]:
        """What is kept of captures, without what was counted of them and how they were audited: pieces, and digests."""
        end = self.log.counted[0].begin if self.log.counted else 0
        return self.log.bytes(end), self.log.digests(end)

    def __iter__(self) -> Iterator[Event]:
        return self.log.events(self.counted())


def _end_of(source: Source) -> Event:
    if source.failure is None:
        return Finished(source.item, source.counted)
    return Unreadable(source.item, source.failure)


@contextmanager
def kept_in(folder: Path, most: int | None = None) -> Iterator[Replay]:
    """What the audit whose results are in a folder has kept. Raises AuditError, also for what comes up while it is used.

    ``most`` is that of ``Log``.
    """
    path = folder / KEPT
    try:
        with files.opened(path) as file:
            yield Replay(file, most)
    except FileNotFoundError:
        words = NONE if (folder / MANIFEST).exists() else "holds no audit results"
        raise AuditError(f"{shown(folder)}: {words}") from None
    except OSError as error:
        raise AuditError(f"{shown(path)}: {error.strerror or error}") from error
    except (RefusedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = str(error) if isinstance(error, RefusedError) else f"damaged ({type(error).__name__})"
        words = words.replace("damaged", "damaged, or of another version", 1)
        raise AuditError(f"{shown(path)}: {words}; audit the captures again") from error
