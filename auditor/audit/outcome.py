"""Where an audit's results go, from its first batch to the folder that is complete, or to nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from auditor.audit.keeping import Keeping
from auditor.audit.pipeline import Pipeline
from auditor.audit.run import Run
from auditor.errors import InputError
from auditor.machine import memory
from auditor.options import Options
from auditor.report.audit import Audit
from auditor.report.folder import results_folder
from auditor.report.sink import FolderSink


@dataclass
class Outcome:
    """An audit on its way into a folder."""

    options: Options
    pipeline: Pipeline
    folder: Path = field(init=False)
    temporary: bool = field(init=False)
    sink: FolderSink = field(init=False)
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        self.folder, self.temporary = results_folder(self.options.out)
        most = self.pipeline.ceiling.part(memory.BATCHES) // 4
        self.sink = FolderSink(self.folder, durable=not self.temporary, most=most)
        self.run = Run(self.pipeline, self.sink)
        if not self.temporary:
            self.run.keeping = self.pipeline.keeping = Keeping(self.sink.keep())

    def finish(self) -> Audit:
        """All was taken: the results. Raises InputError where no capture could be read."""
        run = self.run
        if not run.finished:
            raise InputError("; ".join(run.errors.values()) or "nothing to read")
        run.finish(self.options, run.totals())
        if self.options.say is not None:
            for note in run.notes():
                self.options.say(note)
        return Audit(self.folder, temporary=self.temporary)

    def abandon(self) -> None:
        """Leave nothing."""
        if self.run.keeping is not None:
            self.run.keeping.abandon()
        self.sink.abandon()
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def outcome(options: Options, pipeline: Pipeline) -> Iterator[Outcome]:
    """An audit's way into the folder of its options, or into a temporary one; nothing is left of it where it fails."""
    one = Outcome(options, pipeline)
    try:
        yield one
    except BaseException:
        one.abandon()
        raise
