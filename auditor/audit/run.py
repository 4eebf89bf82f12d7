"""One audit in progress: takes what ``reading`` yields through the pipeline into the sink."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.audit import audit_settings
from auditor.audit.keeping import Keeping, ReadAsOne
from auditor.audit.pipeline import Pipeline
from auditor.audit.totals import Totals
from auditor.border.words import agreed, counted
from auditor.capture.inputs import Input
from auditor.options import Options
from auditor.paths.path_tables import network_table
from auditor.paths.witnesses import witnesses_table
from auditor.policy.findings import Finding, findings_table
from auditor.reading.captures import capture_of
from auditor.reading.events import ALONE, Batch, CapturesEnded, Checkpoint, Event, Finished
from auditor.reading.sources import SKIPPED, CaptureCounts
from auditor.reading.window import Window
from auditor.report.custody import STATE
from auditor.report.manifest import Applied, manifest
from auditor.report.sink import Sink


@dataclass(eq=False, repr=False)
class Run:
    """An audit in progress: events come in, tables go to the sink, what adds up is kept."""

    pipeline: Pipeline
    sink: Sink
    first: int = 0  # number of the first input among all of an audit of which this is a part
    finished: dict[int, tuple[Input, CaptureCounts]] = field(default_factory=dict)  # by the input's number
    errors: dict[int, str] = field(default_factory=dict)
    window: Window = field(default_factory=Window)  # the packets that are audited
    named: Callable[[str], str] = str  # a text with the names that inputs have in their stores
    keeping: Keeping | None = None
    _groups: list[CapturesEnded] = field(default_factory=list)  # captures that were read as one, and have ended
    _odd: dict[int, list[str]] = field(default_factory=dict)  # what judging says of captures, by their numbers
    _generation: int = 0
    _parts: list[Totals] = field(default_factory=list)  # what others have judged

    def take(self, events: Iterable[Event]) -> None:
        """Take events until there are no more; one input that cannot be read is an entry of ``errors``."""
        odd: list[str] = []
        for event in events:
            number = self.first + len(self.finished) + len(self.errors)
            if isinstance(event, Batch):
                self._batch(event)
            elif isinstance(event, CapturesEnded):
                self._write(self.pipeline.flush(event.sources))
                self._groups.append(event)
                if self.pipeline.keeping is not None:
                    self.pipeline.keeping.network(event.control)
                odd = self.pipeline.warnings()
                network = self.pipeline.judge.network
                self.sink.write("network", network_table(event.control, network, event.interfaces))
            elif isinstance(event, Finished):
                self._odd[number], odd = odd, []
                self.finished[number] = event.source, event.counted
            elif isinstance(event, Checkpoint):
                if self.keeping is not None:
                    self.keeping.checkpoint(event, self._ended())
            else:
                self.errors[number] = event.reason

    def add(self, totals: Totals, rows: Iterable[tuple[str, pa.Table]], parts: Iterable[tuple[str, Path]] = ()) -> None:
        """Take what somebody else has judged; ``parts``: files of tables as they are to be."""
        self._parts.append(totals)
        self._write(rows)
        for table, part in parts:
            self.sink.take(table, part)

    def keep(self, log: Path) -> None:
        """Keep what somebody else has kept of what it judged."""
        if self.keeping is not None:
            from auditor.audit.replay import Log

            with log.open("rb") as file:
                kept = Log(file)
                self.keeping.copy(kept.bytes(kept.size), kept.digests(kept.size))

    def _batch(self, batch: Batch) -> None:
        if batch.generation != self._generation or batch.generation == ALONE:
            self.pipeline.shapes.forget()
            self._generation = batch.generation
        self._write(self.pipeline.run(batch))

    def _write(self, parts: Iterable[tuple[str, pa.Table]]) -> None:
        for table, data in parts:
            self.sink.write(table, data)

    def _ended(self) -> list[ReadAsOne]:
        """The captures that have ended, those that were read as one together."""
        return [(group.sources, group.interfaces) for group in self._groups]

    def totals(self) -> Totals:
        """What all of it adds up to; waits until all inputs are hashed."""
        totals = self.pipeline.totals
        for part in self._parts:
            totals = totals.merge(part)
        totals.captures.read |= {
            number: capture_of(*one, self._odd.get(number, ())) for number, one in self.finished.items()
        }
        totals.captures.unreadable |= self.errors | {
            number: f"{source.name}: {counted.notes.failure}"
            for number, (source, counted) in self.finished.items()
            if counted.notes.failure is not None
        }
        return totals

    def finish(self, options: Options, totals: Totals) -> None:
        """Write the tables that are built from totals, and the manifest."""
        pipeline, evaluation = self.pipeline, self.pipeline.evaluation
        witnesses = [
            row | {"witness": self.named(row["witness"])} for row in pipeline.judge.witnesses.rows(totals.witnesses)
        ]
        about = [
            *_incomplete_captures(pipeline, totals),
            *_not_captured(pipeline, witnesses),
            *_contested(pipeline, totals),
        ]
        findings = totals.verdicts.findings.ordered([*about, *evaluation.expired(totals.verdicts)])
        self.sink.write("captures", totals.captures.table())
        self.sink.write("witnesses", witnesses_table(witnesses))
        self.sink.write("certificates", totals.certificates.table())
        further = {"hello-delivery": totals.hellos.smaller()}
        self.sink.write("findings", findings_table(findings, evaluation.policy_of(), further))
        if self.keeping is not None:
            self.keeping.finish(self._ended(), audit_settings.values(options, pipeline.inside, pipeline.ranges))
            if self.keeping.is_last and self.keeping.state is not None:
                self.sink.include(STATE, self.keeping.state)
        self.sink.finish(manifest(options, self._applied(), totals, len(findings)))

    def notes(self) -> list[str]:
        """What a person should know of the inputs and of opening TLS, a sentence each."""
        judge = self.pipeline.judge
        notes = [*self._window_notes(), *judge.network.notes, *judge.witnesses.notes, *self.pipeline.inside.all_notes()]
        return [self.named(note) for note in notes]

    def _window_notes(self) -> Iterable[str]:
        """Of which time packets were audited, where that was chosen."""
        if self.window:
            skipped = sum(one.notes.status == SKIPPED for _, one in self.finished.values())
            those = agreed(skipped, "is of another time and was", "are of other times and were")
            files = f", and {skipped:,} of {counted(len(self.finished), 'capture')} {those} not read"
            yield f"only packets {self.window.words()} were audited{files if skipped else ''}"

    def _applied(self) -> Applied:
        pipeline, inside = self.pipeline, self.pipeline.inside
        return Applied(
            policies=pipeline.evaluation.policies,
            pages=pipeline.evaluation.pages,
            site=pipeline.judge.network.topology.name,
            key_logs=inside.keys.logs,
            notes=self.notes(),
            unread=[self.named(text) for text in pipeline.judge.witnesses.unread],
            tshark=inside.tshark,
            ranges=pipeline.ranges,
        )


def _incomplete_captures(pipeline: Pipeline, totals: Totals) -> Iterable[Finding]:
    """A finding for each capture that lacks something, where a rule asks for whole ones."""
    for one in totals.captures.rows():
        if one.lacks:
            times = one.started or 0, one.ended or 0
            reason = "; ".join(one.lacks)
            yield from pipeline.evaluation.about("whole-capture", one.capture, reason, one.flows, times, one.capture)


def _not_captured(pipeline: Pipeline, witnesses: list[dict[str, Any]]) -> Iterable[Finding]:
    """A finding for each witness that reports what the captures do not hold, where a rule asks that they agree."""
    for row in witnesses:
        if row.get("not_captured"):
            count, times = row["not_captured"], (row["started"], row["ended"])
            rows = agreed(count, "row of the captures' time fits", "rows of the captures' time fit")
            reason = f"{count} {rows} no captured flow: {row['samples']}"
            yield from pipeline.evaluation.about("witnesses-agree", row["witness"], reason, count, times)


def _contested(pipeline: Pipeline, totals: Totals) -> Iterable[Finding]:
    """A finding for each address of a link's peer that several MACs claim, where a rule asks for one holder."""
    for (_, address), one in sorted(totals.paths.contested.items()):
        yield from pipeline.evaluation.about(
            "one-holder", address, one.text, one.flows, (one.first, one.last), one.capture
        )
