"""The stages that batches of finished flows go through, and what waits for what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from auditor.audit.described import Described, describe
from auditor.audit.judged import judge
from auditor.audit.located import Located, locate
from auditor.audit.opened import Opened, opened, unopened
from auditor.audit.totals import Totals
from auditor.aws.ranges import Ranges
from auditor.decode.control import Control
from auditor.paths.judge import Judge
from auditor.policy.evaluate import Evaluation
from auditor.reading.events import Batch
from auditor.reading.sources import Source
from auditor.requests.cut import Wanted
from auditor.requests.inside import NOT_KEPT, TOO_MANY, Inside, by_flow
from auditor.requests.request_table import requests_table
from auditor.tls.interned import Shapes

MOST_HELD = 1 << 18  # flows that wait for their captures' end


@dataclass
class Pipeline:
    """What batches share on their way, and what adds up over them."""

    judge: Judge
    ranges: Ranges
    evaluation: Evaluation
    inside: Inside = field(default_factory=Inside)
    shapes: Shapes = field(default_factory=Shapes)
    totals: Totals = field(default_factory=Totals)
    _held: list[Described] = field(default_factory=list)  # wait for their paths
    _closed: list[Located] = field(default_factory=list)  # wait for their requests
    _control: Control = field(default_factory=Control)

    def __post_init__(self) -> None:
        self.totals.certificates = self.shapes.certificates
        self.totals.paths = self.judge.totals
        self.totals.witnesses = self.judge.witnesses.totals()

    def run(self, batch: Batch) -> Iterator[tuple[str, pa.Table]]:
        """The tables of a batch, as (name, rows); none yet while its flows wait for what the capture shows later."""
        for capture, secrets in batch.key_logs.items():
            self.inside.learn(capture, secrets)
        self.inside.keys.grow()
        self._held.append(describe(batch, self.shapes, self.ranges, self.inside))
        self._control = batch.control
        if not (self.judge.waits or batch.control.bgp):
            yield from self._locate(Control())  # nothing that the capture shows of its network could matter
        elif sum(map(len, self._held)) >= MOST_HELD:
            yield from self._locate(batch.control.snapshot())
        if sum(map(len, self._closed)) >= MOST_HELD:
            yield from self._open((), TOO_MANY)

    def flush(self, sources: Sequence[Source] = ()) -> Iterator[tuple[str, pa.Table]]:
        """Finish what was held, at the end of captures that are read as one: ``sources``, to be read again."""
        yield from self._locate(self._control)
        yield from self._open(sources, NOT_KEPT)

    def _locate(self, control: Control) -> Iterator[tuple[str, pa.Table]]:
        """Judge the paths of what was held; ``control``: what the capture shows of its network, which changes no more."""
        held, self._held = self._held, []
        if not held:
            return
        located, evidence = locate(held, self.judge, control)
        yield "evidence", evidence
        for batch in located:
            if len(batch.described.candidates.wanted):
                self._closed.append(batch)
            else:
                yield from self._judge(unopened(batch))

    def _open(self, sources: Sequence[Source], reason: str) -> Iterator[tuple[str, pa.Table]]:
        """Read the requests of what was held for them; ``reason``: why that is not possible without sources."""
        closed, self._closed = self._closed, []
        if not closed:
            return
        rows: list[dict[str, Any]] = []
        failure: str | None = reason
        if sources:
            wanted = Wanted.joined([batch.described.candidates.wanted for batch in closed])
            rows, failure = self.inside.opened(sources, wanted)
        requests = dict(by_flow(rows))
        batches = [opened(batch, requests, failure, self.inside) for batch in closed]
        if rows:
            related = {flow: inside for batch in batches for flow, inside in batch.requests.items()}
            yield "requests", requests_table(related)
        for batch in batches:
            yield from self._judge(batch)

    def _judge(self, batch: Opened) -> Iterator[tuple[str, pa.Table]]:
        """The tables of a batch whose paths are judged and requests read."""
        judged = judge(batch, self.evaluation, self.totals)
        yield from judged.tables()
