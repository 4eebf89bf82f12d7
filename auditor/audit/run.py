"""Joins the rooms: takes what ``reading`` finds and sends it on, in batches."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from auditor.audit.captures import _capture_row, _lacks
from auditor.audit.pipeline import Pipeline
from auditor.capture.inputs import Input
from auditor.paths.path_tables import network_table
from auditor.reading.events import Batch, Counted, Finished
from auditor.reading.following import Reading
from auditor.report.sink import DirectorySink
from auditor.tables import arrow, schema


class Run:
    """An audit in progress: what reading finds goes through the other rooms into the sink."""

    def __init__(self, pipeline: Pipeline, sink: DirectorySink) -> None:
        self.pipeline = pipeline
        self.sink = sink
        self.captures: list[tuple[Input, Counted]] = []
        self.errors: list[str] = []
        self._generation = 0

    def take(self, reading: Reading) -> None:
        """Take events until reading has ended; one input that cannot be read is an entry of ``errors``."""
        for event in reading:
            if isinstance(event, Batch):
                self._batch(event)
            elif isinstance(event, Finished):
                self._write(self.pipeline.flush(event.source))
                control, names = event.counted.control, event.counted.interfaces
                told = network_table(event.source.name, control, self.pipeline.judge.network, names)
                self.sink.write("network", told)
                self.captures.append((event.source, event.counted))
            else:
                self._write(self.pipeline.flush())  # what was read before it could not be read any further
                self.errors.append(event.reason)

    def _batch(self, batch: Batch) -> None:
        if batch.generation != self._generation:
            self.pipeline.shapes.forget()
            self._generation = batch.generation
        self._write(self.pipeline.run(batch))

    def _write(self, parts: Iterable[tuple[str, pa.Table]]) -> None:
        for table, data in parts:
            self.sink.write(table, data)

    def notes(self) -> list[str]:
        """What a person should know of key logs and of opening TLS, a sentence each."""
        inside = self.pipeline.inside
        wrong = [
            f"{log.name}: {log.wrong} of {log.lines} lines are no secrets of TLS sessions"
            for log in inside.keys.logs
            if log.wrong
        ]
        return [*wrong, *inside.notes]

    def witnesses_table(self) -> pa.Table:
        """The table ``witnesses``."""
        lines = self.pipeline.judge.witnesses.rows()
        if not lines:
            return arrow.empty("witnesses")
        for line in lines:
            if line.get("not_captured"):
                reason = f"{line['not_captured']} rows of the captures' time fit no captured flow: {line['samples']}"
                times = (line["started"], line["ended"])
                evaluation = self.pipeline.evaluation
                evaluation.tell("witnesses-agree", line["witness"], reason, line["not_captured"], times)
        names = [column.name for column in schema.TABLES["witnesses"]]
        return arrow.build("witnesses", {name: [line.get(name) for line in lines] for name in names})

    def captures_table(self) -> pa.Table:
        """The table ``captures``."""
        if not self.captures:
            return arrow.empty("captures")
        lines = [_capture_row(item, counted) for item, counted in self.captures]
        for line in lines:
            lacks, times = _lacks(line), (line["started"] or 0, line["ended"] or 0)
            if lacks:
                name, flows = line["capture"], line["flows"]
                self.pipeline.evaluation.tell("whole-capture", name, "; ".join(lacks), flows, times, name)
        columns: dict[str, Any] = {name: [line[name] for line in lines] for name in lines[0]}
        return arrow.build("captures", columns)
