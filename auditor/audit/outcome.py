"""Where an audit's results go, from its first batch to the folder that is complete, or to nothing."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.audit import audit_settings, killed
from auditor.audit.fetched_inputs import FetchedInputs
from auditor.audit.keeping import Keeping
from auditor.audit.pipeline import Pipeline
from auditor.audit.run import Run
from auditor.border.urls import url_of
from auditor.capture.inputs import Input
from auditor.errors import InputError
from auditor.machine import memory
from auditor.options import Options
from auditor.reading import secrets
from auditor.reading.window import Window
from auditor.report.audit import Audit
from auditor.report.custody import KEPT, STATE
from auditor.report.folder import results_folder
from auditor.report.sink import FolderSink

if TYPE_CHECKING:
    from auditor.audit.resume import ResumePlan


@dataclass(eq=False, repr=False)
class UnfinishedAudit:
    """An audit on its way into a folder."""

    brought: FetchedInputs
    pipeline: Pipeline
    options: Options = field(init=False)
    url: str | None = field(init=False)  # of the store that the results go to
    folder: Path = field(init=False)
    temporary: bool = field(init=False)
    sink: FolderSink = field(init=False)
    run: Run = field(init=False)
    olds: list["ResumePlan"] = field(
        default_factory=list
    )  # what it went on from, which nobody needs once it is complete

    def __post_init__(self) -> None:
        self.options = self.brought.options
        self.url = None if self.options.out is None else url_of(self.options.out)
        self.folder, self.temporary = results_folder(self.options.out)
        most = self.pipeline.ceiling.part(memory.BATCHES) // 4
        self.sink = FolderSink(self.folder, durable=not self.temporary, most=most)
        try:
            window = Window(*self.options.times())
            self.run = Run(self.pipeline, self.sink, window=window, named=self.brought.named)
            if self.options.out is not None:
                self.run.keeping = self.pipeline.keeping = Keeping(
                    *self.sink.keep(), audit_settings.marks(self.brought.given)
                )
        except BaseException:  # Ctrl-C may come before anything is read
            self.sink.abandon()
            raise

    def take_over(self, going: "ResumePlan", inputs: Sequence[Input]) -> None:
        """Take what was read before, and go on from there."""
        from auditor.audit.replay import Log

        self.olds.append(going)
        past, keeping, pipeline = going.past, self.run.keeping, self.pipeline
        assert going.onward is not None
        assert keeping is not None
        keeping.copy(past.log.bytes(past.end), past.log.digests(past.end))
        log = Log(past.log.file, past.end)
        pipeline.answers, pipeline.joined = past.log.answers(), self.options.join_key is not None
        pipeline.keeping = None  # all of it is there
        known = {item.name: item for item in inputs}
        for one in past.captures:  # what opens flows is not kept: it is taken from the captures again
            if count := one["counted"]["secrets"]:
                pipeline.inside.learn(one["name"], secrets.of(known[one["name"]], count))
        self.run.take(log.events(past.counted(known)))
        pipeline.keeping = keeping
        self.run.take(log.batches(log.open, going.onward.control))

    def finish(self) -> Audit:
        """All was taken: the results. Raises InputError where no capture could be read."""
        run = self.run
        if not run.finished:
            raise InputError("; ".join(run.errors.values()) or "nothing to read")
        run.finish(self.brought.given, run.totals())
        if self.url is not None:
            from auditor.report import stored  # only for stores

            stored.upload(self.folder, self.url)
        for old in self.olds:
            old.close()
        if self.options.out is not None:
            killed.clear(self.options)
        if self.options.say is not None:
            for note in run.notes():
                self.options.say(note)
        return Audit(self.folder, temporary=self.temporary)

    def abandon(self, *, is_interrupted: bool) -> None:
        """Leave nothing; where it was interrupted, what the next audit of the same captures goes on from."""
        self.pipeline.judge.stop()
        for old in self.olds:
            old.close()
        keeping, reached = self.run.keeping, False
        if keeping is not None:
            keeping.abandon()
            reached = is_interrupted and keeping.state is not None
        self.sink.abandon(but=(KEPT, STATE) if reached else ())
        if self.temporary and not (reached and self.url is not None):
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def outcome(brought: FetchedInputs, pipeline: Pipeline) -> Iterator[UnfinishedAudit]:
    """An audit's way into the folder of its options, or into a temporary one; nothing is left of it where it fails."""
    one = UnfinishedAudit(brought, pipeline)
    try:
        yield one
    except BaseException as error:
        one.abandon(is_interrupted=isinstance(error, KeyboardInterrupt))
        raise
