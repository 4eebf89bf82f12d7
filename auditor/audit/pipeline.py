"""The stages that batches of finished flows go through, and what waits for what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.audit.described import Described, describe
from auditor.audit.judged import judge
from auditor.audit.keeping import FlowContents, Keeping
from auditor.audit.located import Located, locate
from auditor.audit.opened import Opened, Requests, opened, revealed, unopened
from auditor.audit.totals import Totals
from auditor.aws.ranges import Ranges
from auditor.border.words import agreed
from auditor.decode.control import Control
from auditor.machine import memory
from auditor.paths.judge import Judge
from auditor.paths.topology_mismatch import FramesShown
from auditor.policy.evaluate import Evaluation
from auditor.reading.events import Batch
from auditor.reading.sources import Source
from auditor.requests.cut import Wanted
from auditor.requests.inside import NOT_KEPT, TOO_MANY, FlowOpener, by_flow
from auditor.requests.request_table import may_be_read, requests_table
from auditor.tls.certificates import Certificates
from auditor.tls.interned import Shapes

MOST_HELD = 1 << 18  # flows that wait for their captures' end


def _has_key(answer: FlowContents) -> bool:
    """Whether a request of a flow was signed by an access key that is known by its hash."""
    return any(row.get("credential_hash") is not None for row in answer.rows)


@dataclass(eq=False, repr=False)
class Pipeline:
    """What batches share on their way, and what adds up over them."""

    judge: Judge
    ranges: Ranges
    evaluation: Evaluation
    inside: FlowOpener = field(default_factory=FlowOpener)
    ceiling: memory.Ceiling = field(default_factory=memory.ceiling)
    shapes: Shapes = field(init=False)
    totals: Totals = field(default_factory=Totals)
    keeping: Keeping | None = None
    answers: dict[int, FlowContents] = field(default_factory=dict)  # of flows whose requests were read before …
    joined: bool = True  # … and whether their access keys can be joined with those of others
    _held: list[Described] = field(default_factory=list)  # wait for their paths
    _closed: list[Located] = field(default_factory=list)  # wait for their requests
    _control: Control = field(default_factory=Control)
    _early: int = 0  # flows of what is being read, whose paths were judged before its end

    def __post_init__(self) -> None:
        part = self.ceiling.part
        self.shapes = Shapes(Certificates(most=part(memory.CERTIFICATES)), part(memory.BATCHES) // 8)
        self._most_held = part(memory.BATCHES) // 2
        self.totals.certificates = self.shapes.certificates
        self.totals.paths = self.judge.totals

    def judges_apart(self, control: Control, sources: Sequence[Source], *, by_hosts: bool) -> bool:
        """Whether some flows can be judged without the others, where there are no keys: by what their packets show.

        ``control``: what the captures show of their network; ``by_hosts``: all flows of two hosts are judged together.
        """
        if self.inside.keys or any(source.key_logs for source in sources):
            return False
        if self.judge.waits:
            return by_hosts and not self.judge.compares_hosts
        return not control.bgp

    def may_join(self, batch: Batch) -> bool:
        """Whether flows of captures that are audited apart can be judged as one batch: by what their packets alone show.

        Of a request that may be read, a key, a site or BGP what one of the captures holds matters. Where an audit is kept
        so that another goes on with it, batches are those of the captures, wherever it was interrupted.
        """
        if self.keeping is not None or self.inside.keys or batch.key_logs or batch.control.bgp or self.judge.waits:
            return False
        return not len(may_be_read(batch.rows))

    @property
    def early(self) -> int:
        """How many flows of what is read were judged before its end."""
        return self._early

    def has_shown(self, shown: FramesShown, early: int) -> None:
        """Somebody else has judged flows of what is read, ``early`` of them before its end; how their frames look."""
        self.judge.has_shown(shown)
        self._early += early

    def run(self, batch: Batch) -> Iterator[tuple[str, pa.Table]]:
        """The tables of a batch, as (name, rows); none yet while its flows wait for what the capture shows later."""
        self.judge.check()
        for capture, secrets in batch.key_logs.items():
            self.inside.learn(capture, secrets)
        self.inside.keys.grow()
        described = describe(batch, self.shapes, self.ranges, self.inside)
        if batch.chosen is None:
            for flow in described.candidates.wanted.identifier.tolist() if self.answers else ():
                self.answers.pop(flow, None)  # what was found inside when it was open yet: there is more of it now
            if self.keeping is not None:
                self.keeping.batch(batch, described.candidates)
        self._held.append(described)
        self._control = batch.control
        if not (self.judge.waits or batch.control.bgp):
            yield from self._locate(Control())  # nothing that the capture shows of its network could matter
        elif self._is_much(self._held):
            self._early += sum(map(len, self._held))
            yield from self._locate(batch.control.snapshot())
        if self._is_much([located.described for located in self._closed]):
            yield from self._open((), TOO_MANY)

    def _is_much(self, held: list[Described]) -> bool:
        """Whether no more flows may wait, or what is known of them takes too much memory."""
        return sum(map(len, held)) >= MOST_HELD or sum(batch.size for batch in held) >= self._most_held

    def warnings(self) -> list[str]:
        """What should be known of the captures that have ended, a sentence each."""
        early, self._early = self._early, 0
        warning = (
            f"memory: the {agreed(early, 'path')} of {early} {agreed(early, 'flow was', 'flows were')} judged by what the capture had shown until then"
            if early
            else None
        )
        return [*self.judge.warnings(), *([warning] if warning else [])]

    def flush(self, sources: Sequence[Source] = ()) -> Iterator[tuple[str, pa.Table]]:
        """Finish what was held, at the end of captures that are read as one: ``sources``, to be read again."""
        for source in sources:
            if source.key_logs:  # also what came behind the last flows
                self.inside.learn(source.item.name, source.key_logs)
        yield from self._locate(self._control)
        yield from self._open(sources, NOT_KEPT)

    def _locate(self, control: Control) -> Iterator[tuple[str, pa.Table]]:
        """Judge the paths of what was held; ``control``: what the capture shows of its network, which changes no more."""
        held, self._held = self._held, []
        self.totals.witnesses = self.judge.witnesses.totals()
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
        wanted = Wanted.joined([batch.described.candidates.wanted for batch in closed])
        known = {flow: self.answers[flow] for flow in wanted.identifier.tolist() if flow in self.answers}
        if len(known) < len(wanted) and not self.joined and any(map(_has_key, known.values())):
            known = {}  # other salt: the same access key would be another one
        rows: list[dict[str, Any]] = []
        failure: str | None = reason
        self.inside.revealed = {}
        if len(known) < len(wanted) and sources:
            unknown = np.array([flow not in known for flow in wanted.identifier.tolist()])
            rows, failure = self.inside.opened(sources, wanted.take(unknown))
        rows += [row for answer in known.values() for row in answer.rows]
        self.inside.revealed |= {flow: one.revealed for flow, one in known.items() if one.revealed is not None}
        requests = dict(by_flow(rows))
        closed = [revealed(batch, self.inside, self.shapes.certificates) for batch in closed]
        batches = [opened(batch, requests, failure, self.inside, known) for batch in closed]
        if self.keeping is not None:
            self.keeping.answers(self._answers(batches, requests))
        if rows:
            related = {flow: inside for batch in batches for flow, inside in batch.requests.items()}
            yield "requests", requests_table(related)
        for batch in batches:
            yield from self._judge(batch)

    def _answers(self, batches: Sequence[Opened], requests: Requests) -> dict[int, FlowContents]:
        """What was found inside of flows, to be kept."""
        found = {}
        for batch in batches:
            wanted, unseen = batch.located.described.candidates.wanted, batch.unseen.objects()
            for at, flow in zip(wanted.index.tolist(), wanted.identifier.tolist(), strict=True):
                found[flow] = FlowContents(requests.get(flow, ()), unseen[at], self.inside.revealed.get(flow))
        return found

    def _judge(self, batch: Opened) -> Iterator[tuple[str, pa.Table]]:
        """The tables of a batch whose paths are judged and requests read."""
        judged = judge(batch, self.evaluation, self.totals)
        yield from judged.tables()
