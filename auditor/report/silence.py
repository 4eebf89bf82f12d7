"""What was not judged, for forms whose readers would take silence for a pass: rules that could not judge, flows that none is about."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from auditor.border.text import printable
from auditor.policy.totals import NO_RULE
from auditor.report import overview
from auditor.report.answer import answer
from auditor.report.results import Results

IN_FULL = "Flows that pass each rule, and were not judged in full"
NOT_JUDGED = ("Flows to AWS that no rule is about", "Other flows")
MOST_PROTOCOLS = 12


class Unjudged(NamedTuple):
    """What a rule, or all of them, left open; ``rule`` and ``policy`` are None for what belongs to none."""

    rule: str | None
    policy: str | None
    title: str
    verdict: str
    flows: int
    reason: str

    @property
    def uid(self) -> str:
        """An id that is the same in every run in which the same is left open for the same reason, of however many flows."""
        parts = (self.verdict, self.policy or "", self.rule or self.title, self.reason)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def unjudged(result: Results) -> Iterator[Unjudged]:
    """One for each rule and reason for which it could not judge flows, for flows that no rule is about, and for inputs not read."""
    manifest = result.manifest
    of = {rule["code"]: (policy["id"], rule["title"]) for policy in manifest["policies"] for rule in policy["rules"]}
    for rule, reasons in manifest["not_observable"].items():
        head = (None if rule == NO_RULE else rule, *of.get(rule, (None, IN_FULL)), "not_observable")
        for one in reasons:
            yield Unjudged(*head, one["flows"], printable(one["reason"]))
        rest = manifest["rules"].get(rule, {}).get("not_observable", 0) - sum(one["flows"] for one in reasons)
        if rest > 0:
            yield Unjudged(*head, rest, "other reasons")
    for title, counts in zip(NOT_JUDGED, overview.not_judged(result), strict=True):
        for protocol, flows in counts.most_common(MOST_PROTOCOLS):
            yield Unjudged(None, None, title, "not_applicable", flows, printable(protocol))
        rest = counts.total() - sum(flows for _, flows in counts.most_common(MOST_PROTOCOLS))
        if rest > 0:
            yield Unjudged(None, None, title, "not_applicable", rest, "other protocols")
    for text in result.errors:
        yield Unjudged(None, None, "An input that could not be read", "not_observable", 0, printable(text))
    outcome = answer(result)
    if not outcome.judged:
        yield Unjudged(None, None, "All flows", "not_applicable", outcome.flows, outcome.sentence)
