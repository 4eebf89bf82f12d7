"""What adds up of verdicts: how many there were of each rule, what could not be judged and why, findings."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.paths.model import CONFIDENCE_NAMES
from auditor.paths.verdict import Verdict
from auditor.policy.check import NOT_OBSERVABLE
from auditor.policy.findings import SAMPLES, SampleFlow, Subject
from auditor.policy.gathered import Findings
from auditor.tables import value_sets
from auditor.tables.columns import Texts, distinct

Array = np.ndarray[Any, Any]
MOST_REASONS = 10  # of a rule, for which it could not be judged, that are reported
NO_RULE = "-"  # in the place of a rule, of what is no rule's
TLS_UNKNOWN = 256  # in the place of a protocol's number: TLS whose version is not known


@dataclass(eq=False, repr=False)
class LateFlows:
    """Flows that an exception came too late for."""

    flows: int = 0
    first: int = 0
    last: int = 0
    samples: dict[str, list[SampleFlow]] = field(default_factory=dict)  # the first of them, of what is audited as one

    def add(self, late: Array, subject: Subject) -> None:
        """Count flows of a batch."""
        if not len(late):
            return
        started = subject.started[late]
        both = self.merge(LateFlows(len(late), int(started.min()), int(started.max()), subject.samples(late)))
        self.flows, self.first, self.last, self.samples = both.flows, both.first, both.last, both.samples

    def merge(self, other: "LateFlows") -> "LateFlows":
        """What both have counted."""
        if not (self.flows and other.flows):
            return self if self.flows else other
        samples = {
            part: sorted([*self.samples.get(part, []), *other.samples.get(part, [])])[:SAMPLES]
            for part in self.samples | other.samples
        }
        return LateFlows(self.flows + other.flows, min(self.first, other.first), max(self.last, other.last), samples)


@dataclass(eq=False, repr=False)
class VerdictTotals:
    """Verdicts of each rule, reasons why something could not be judged, findings, exceptions that have ended."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, verdict) -> flows
    not_observable: Counter[tuple[str, str]] = field(default_factory=Counter)  # (rule, reason) -> flows
    findings: Findings = field(default_factory=Findings)
    exemptions: dict[int, LateFlows] = field(default_factory=dict)  # by the exception's number among the policies'

    def count(self, rule: str, verdict: Array, which: Array, reasons: Array) -> None:
        """Count verdicts of a rule; ``which``: the numbers of their ``reasons``."""
        for code, number in enumerate(np.bincount(verdict, minlength=len(value_sets.VERDICTS)).tolist()):
            if number:
                self.counts[rule, value_sets.VERDICTS[code]] += number
        unseen, flows = np.unique(which[verdict == NOT_OBSERVABLE], return_counts=True)
        for at, number in zip(unseen.tolist(), flows.tolist(), strict=True):
            self.not_observable[rule, str(reasons[at])] += number

    def count_unseen(self, reason: str, flows: int) -> None:
        """Count flows that pass each rule, and could not be judged as a whole."""
        if flows:
            self.not_observable[NO_RULE, reason] += flows

    def add_late(self, exemption: int, late: Array, subject: Subject) -> None:
        """Count flows of a batch that an exception came too late for."""
        if len(late):
            self.exemptions.setdefault(exemption, LateFlows()).add(late, subject)

    def merge(self, other: "VerdictTotals") -> "VerdictTotals":
        """What both have counted."""
        late = dict(self.exemptions)
        for number, one in other.exemptions.items():
            late[number] = late[number].merge(one) if number in late else one
        return VerdictTotals(
            self.counts + other.counts,
            self.not_observable + other.not_observable,
            self.findings.merge(other.findings),
            late,
        )

    def of_rules(self, codes: Iterable[str]) -> dict[str, dict[str, int]]:
        """How many flows have each verdict of a rule."""
        verdicts = ("pass", "fail", "warn", "not_observable", "not_applicable")
        return {
            code: {verdict: self.counts[code, verdict] for verdict in verdicts if self.counts[code, verdict]}
            for code in codes
        }

    def unseen(self) -> dict[str, list[dict[str, Any]]]:
        """Why flows could not be judged, the commonest reasons of each rule."""
        of_rule: dict[str, list[tuple[int, str]]] = {}
        for (rule, reason), flows in self.not_observable.items():
            of_rule.setdefault(rule, []).append((-flows, reason))
        return {
            rule: [{"reason": reason, "flows": -flows} for flows, reason in sorted(reasons)[:MOST_REASONS]]
            for rule, reasons in sorted(of_rule.items())
        }


@dataclass(eq=False, repr=False)
class Summary:
    """Flows by path, confidence, version or protocol, verdict, whether they are to an AWS endpoint, and whether half private."""

    flows: Counter[tuple[str, str, str, str, bool, bool]] = field(default_factory=Counter)

    def add(self, way: Verdict, version: Texts, protocol: Texts, is_tls: Array, worst: Array, in_scope: Array) -> None:
        """Count the flows of a batch; ``worst``: codes of VERDICTS."""
        known = np.array([v is not None for v in version.values] + [False])[version.index]
        combos, index = distinct(
            way.path.index,
            way.confidence,
            np.where(known, version.index + 1, 0),
            np.where(known, 0, np.where(is_tls, TLS_UNKNOWN, protocol.index)),
            worst,
            in_scope,
            way.half_private,
        )
        counts = np.bincount(index, minlength=len(combos)).tolist()
        for (path, sure, negotiated, spoken, verdict, scope, half), count in zip(combos.tolist(), counts, strict=True):
            name = protocol.values[spoken] if spoken != TLS_UNKNOWN else "TLS ?"
            if negotiated:
                name = version.values[negotiated - 1]
            key = (
                str(way.path.values[path]),
                CONFIDENCE_NAMES[sure],
                name or "-",
                value_sets.VERDICTS[verdict],
                bool(scope),
                bool(half),
            )
            self.flows[key] += count

    def merge(self, other: "Summary") -> "Summary":
        """What both have counted."""
        return Summary(self.flows + other.flows)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each combination, in their order."""
        names = ("path", "confidence", "protocol", "verdict", "in_scope", "half_private")
        return [dict(zip(names, key, strict=True)) | {"flows": flows} for key, flows in sorted(self.flows.items())]

    @property
    def in_scope(self) -> int:
        """Flows to AWS endpoints."""
        return sum(flows for (*_, in_scope, _), flows in self.flows.items() if in_scope)
