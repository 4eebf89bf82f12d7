"""What an audit has kept, as the events that reading its captures gave; they may be another's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from auditor.audit.keeping import ANSWERS, AUDIT, Answer
from auditor.border.gate import RefusedError
from auditor.errors import AuditError, shown
from auditor.machine import packed
from auditor.reading import kept, kept_control
from auditor.reading.events import Ended, Event, Finished, Unreadable
from auditor.reading.sources import Source
from auditor.report import files
from auditor.report.custody import KEPT
from auditor.report.results import MANIFEST

PIECE = 4 << 20  # bytes that are copied at a time
LAYOUTS = kept.LAYOUTS | kept.TEXTS | kept.CHOSEN
NONE = "the results keep nothing that could be judged anew: audit the captures again"


@dataclass
class Group:
    """Captures that were read as one."""

    batches: list[packed.Record] = field(default_factory=list)
    answers: list[packed.Record] = field(default_factory=list)
    control: packed.Record | None = None
    sources: packed.Record | None = None


class Replay:
    """Iterate to get the events of an audit that was kept to its end."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises RefusedError for a file that no audit wrote to its end."""
        self._file = file
        self._groups, values = _groups(file)
        self.values: dict[str, Any] = values

    def answers(self) -> dict[int, Answer]:
        """What was found inside of flows, by their numbers. Raises RefusedError."""
        found: dict[int, Answer] = {}
        for record in (one for group in self._groups for one in group.answers):
            try:
                told = packed.load(self._file, record, {}).values["answers"]
                found |= {int(flow): Answer.of(values) for flow, values in told}
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                raise RefusedError("damaged: it does not say what was found inside of flows") from error
        return found

    def kept(self) -> Iterator[bytes]:
        """What is kept of captures, without what was counted of them and how they were audited, piece by piece."""
        self._file.seek(0)
        left = self._groups[0].sources.begin if self._groups and self._groups[0].sources is not None else 0
        while left and (piece := self._file.read(min(left, PIECE))):
            left -= len(piece)
            yield piece

    def __iter__(self) -> Iterator[Event]:
        generation = 0
        for group in self._groups:
            assert group.control is not None
            assert group.sources is not None
            control = kept_control.whole(packed.load(self._file, group.control, kept_control.LAYOUTS))
            sources, interfaces = kept.sources_found(packed.load(self._file, group.sources, kept.TALLIES))
            for record in group.batches:
                generation += 1
                yield kept.batch_of(packed.load(self._file, record, LAYOUTS), generation, control)
            yield Ended(sources, interfaces, control)
            yield from map(_end_of, sources)


def _end_of(source: Source) -> Event:
    if source.failure is None:
        return Finished(source.item, source.counted)
    return Unreadable(source.item, source.failure)


def _groups(file: BinaryIO) -> tuple[list[Group], dict[str, Any]]:
    """The records of a log by the captures that were read as one, and how the audit was done."""
    groups, sources, last = [Group()], [], None
    for record in packed.records(file):
        last = record
        if record.kind == kept.BATCH:
            groups[-1].batches.append(record)
        elif record.kind == ANSWERS:
            groups[-1].answers.append(record)
        elif record.kind == kept.CONTROL:
            groups[-1].control = record
            groups.append(Group())
        elif record.kind == kept.SOURCES:
            sources.append(record)
    groups.pop()
    if last is None or last.kind != AUDIT or last.end != file.seek(0, 2) or len(sources) != len(groups):
        raise RefusedError("damaged: it is not whole")
    for group, record in zip(groups, sources, strict=True):
        group.sources = record
    return groups, dict(packed.load(file, last, {}).values)


@contextmanager
def kept_in(folder: Path) -> Iterator[Replay]:
    """What the audit whose results are in a folder has kept. Raises AuditError, also for what comes up while it is used."""
    path = folder / KEPT
    try:
        with files.opened(path) as file:
            yield Replay(file)
    except FileNotFoundError:
        words = NONE if (folder / MANIFEST).exists() else "holds no audit results"
        raise AuditError(f"{shown(folder)}: {words}") from None
    except OSError as error:
        raise AuditError(f"{shown(path)}: {error.strerror or error}") from error
    except (RefusedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = str(error) if isinstance(error, RefusedError) else f"damaged ({type(error).__name__})"
        raise AuditError(f"{shown(path)}: {words}; audit the captures again") from error
