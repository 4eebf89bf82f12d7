"""One batch of finished flows on its way through the rooms right of ``flows``: TLS, service, path, policy."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.audit import facts_of_batch
from auditor.audit.described import Prepared, prepare
from auditor.aws.ranges import Ranges
from auditor.capture.inputs import Input
from auditor.decode.control import Control
from auditor.paths.judge import Judge, concatenated
from auditor.paths.model import CONFIDENCE_NAMES
from auditor.paths.path_tables import evidence_table, path_columns
from auditor.paths.verdict import Verdict
from auditor.policy.evaluate import Evaluation
from auditor.reading.events import Batch
from auditor.recognise.numbers import SMTP
from auditor.requests.cut import Wanted
from auditor.requests.inside import NOT_KEPT, NOTHING_INSIDE, TOO_MANY, Inside, Seen, by_flow
from auditor.requests.request_table import requests_table
from auditor.tables import arrow, schema
from auditor.tables.columns import Texts, distinct
from auditor.tls.interned import Shapes

Array = np.ndarray[Any, Any]

BINS = 17  # of round-trip times, in each doubling
MOST_HELD = 1 << 18  # flows that wait for their capture's end


@dataclass
class Pipeline:
    """What batches share: settings, and what is gathered over all of them."""

    judge: Judge
    ranges: Ranges
    evaluation: Evaluation
    inside: Inside = field(default_factory=Inside)
    shapes: Shapes = field(default_factory=Shapes)
    # (path, confidence, protocol or TLS version, verdict, in scope) -> flows
    summary: Counter[tuple[str, str, str, str, bool]] = field(default_factory=Counter)
    round_trips: "dict[str, Counter[int]]" = field(default_factory=dict)  # path -> bin -> flows
    _held: list[Prepared] = field(default_factory=list)  # wait for their paths
    _closed: list[Prepared] = field(default_factory=list)  # wait for their requests
    _control: Control = field(default_factory=Control)

    def run(self, batch: Batch) -> Iterator[tuple[str, pa.Table]]:
        """The tables of a batch, as (name, rows); none yet while its flows wait for what the capture shows later."""
        self.inside.learn(batch.source.name, batch.key_logs)
        self._held.append(prepare(batch, self.shapes, self.ranges, self.inside))
        self._control = batch.control
        if not self.judge.waits or sum(len(p.flows) for p in self._held) >= MOST_HELD:
            yield from self._judge()
        if sum(len(p.flows) for p in self._closed) >= MOST_HELD:
            yield from self._open(None, TOO_MANY)

    def flush(self, source: Input | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Finish what was held: at the end of each capture. ``source`` can be read again where it was read whole."""
        yield from self._judge()
        yield from self._open(source, NOT_KEPT)

    def _judge(self) -> Iterator[tuple[str, pa.Table]]:
        """Judge the paths of what was held."""
        held, self._held = self._held, []
        if not held:
            return
        flows = concatenated([p.flows for p in held])
        judgement = self.judge.judge(flows, self._control)
        yield "evidence", evidence_table(flows, judgement.found)
        begin = 0
        for prepared in held:
            end = begin + len(prepared.flows)
            prepared.judgement = judgement.part(begin, end)
            if prepared.wanted is not None:
                self._closed.append(prepared)
            else:
                yield from self._finish(prepared, {}).items()
            begin = end

    def _open(self, source: Input | None, reason: str) -> Iterator[tuple[str, pa.Table]]:
        """Read the requests of what was held for them."""
        closed, self._closed = self._closed, []
        if not closed:
            return
        wanted = Wanted.joined([p.wanted for p in closed if p.wanted is not None])
        rows: list[dict[str, Any]] = []
        failure: str | None = reason
        if source is not None:
            rows, failure = self.inside.opened(source, wanted)
        requests = dict(by_flow(rows))
        for prepared in closed:
            assert prepared.wanted is not None
            for_http = prepared.wanted.kind != SMTP
            prepared.reasons[prepared.wanted.index[for_http]] = failure or NOTHING_INSIDE
            self._relate(prepared, requests)
        if rows:
            yield "requests", requests_table(requests)
        for prepared in closed:
            yield from self._finish(prepared, requests).items()

    def _relate(self, prepared: Prepared, requests: dict[int, list[dict[str, Any]]]) -> None:
        """Complete requests by what their flows say."""
        assert prepared.wanted is not None
        assert prepared.judgement is not None
        paths = prepared.judgement.verdict.path.objects()
        service, region = prepared.found.service.objects(), prepared.found.region.objects()
        for at, number in zip(prepared.wanted.index.tolist(), prepared.wanted.identifier.tolist(), strict=True):
            for row in requests.get(number, []):
                client = int(prepared.ends.client_high[at]), int(prepared.ends.client_low[at])
                flow = Seen(client, str(prepared.server_name[at]), paths[at], service[at], region[at])
                self.inside.relate(row, flow)

    def _finish(self, prepared: Prepared, requests: dict[int, list[dict[str, Any]]]) -> dict[str, pa.Table]:
        """The tables of a batch whose paths are judged and requests read."""
        columns, judgement = prepared.columns, prepared.judgement
        assert judgement is not None
        columns |= path_columns(judgement)
        facts = facts_of_batch.facts(prepared, judgement, requests, self.judge.network.vpcs)
        worst, verdicts = self.evaluation.batch(facts, facts_of_batch.subject(prepared, judgement, requests))
        is_tls = facts["is_tls"]
        assert isinstance(is_tls, np.ndarray)
        columns["verdict"] = Texts(list(schema.VERDICTS), worst)
        version, spoken = columns["tls_version"], columns["protocol"]
        assert isinstance(version, Texts)
        assert isinstance(spoken, Texts)
        self._count_round_trips(prepared.rows.flows["round_trip"], judgement.verdict.path)
        self._summarise(judgement.verdict, version, spoken, is_tls, worst, prepared.found.is_endpoint)
        return {
            "flows": arrow.build("flows", columns),
            "handshakes": arrow.build("handshakes", prepared.shakes),
            "verdicts": verdicts,
        }

    def _count_round_trips(self, nanoseconds: Array, path: Texts) -> None:
        """Put round-trip times into bins, each 4 % wider than the one before."""
        known = nanoseconds > 0
        bins = np.floor(np.log2(nanoseconds[known]) * BINS).astype(np.int64)
        combos, index = distinct(path.index[known], bins)
        for (code, one), count in zip(combos.tolist(), np.bincount(index, minlength=len(combos)).tolist(), strict=True):
            self.round_trips.setdefault(str(path.values[code]), Counter())[one] += count

    def round_trip_table(self) -> list[dict[str, Any]]:
        """The distribution of round-trip times (SYN to the client's ACK) by path, in milliseconds."""
        rows = []
        for path, counted in sorted(self.round_trips.items()):
            bins = np.array(sorted(counted))
            total = np.cumsum([counted[one] for one in bins.tolist()])
            middle = 2 ** ((bins + 0.5) / BINS) / 1e6
            row: dict[str, Any] = {"path": path, "flows": int(total[-1])}
            for name, share in (("p5", 0.05), ("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
                row[f"{name}_ms"] = float(f"{middle[np.searchsorted(total, share * total[-1])]:.3g}")
            rows.append(row)
        return rows

    def _summarise(
        self, paths: Verdict, version: Texts, protocol: Texts, is_tls: Array, worst: Array, scope: Array
    ) -> None:
        """Count the batch's flows by path, confidence, version or protocol, verdict and scope."""
        known = np.array([v is not None for v in version.values] + [False])[version.index]
        combos, index = distinct(
            paths.path.index,
            paths.confidence,
            np.where(known, version.index + 1, 0),
            np.where(known, 0, np.where(is_tls, 256, protocol.index)),
            worst,
            scope,
        )
        counts = np.bincount(index, minlength=len(combos)).tolist()
        for (path, confidence, negotiated, spoken, verdict, in_scope), count in zip(
            combos.tolist(), counts, strict=True
        ):
            name = (
                version.values[negotiated - 1] if negotiated else "TLS ?" if spoken == 256 else protocol.values[spoken]
            )
            key = (
                str(paths.path.values[path]),
                CONFIDENCE_NAMES[confidence],
                name or "-",
                schema.VERDICTS[verdict],
                bool(in_scope),
            )
            self.summary[key] += count
