"""What was not judged, for forms whose readers would take silence for a pass: rules that could not judge, flows that none is about."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from auditor.border.text import printable
from auditor.border.words import BETWEEN, counted
from auditor.policy.totals import NO_RULE
from auditor.report import overview
from auditor.report.answer import answer
from auditor.report.results import Results

IN_FULL = "Flows that pass each rule, and were not judged in full"


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
        """An id that is the same in every run in which the same is left open, whatever the reason."""
        parts = (self.verdict, self.policy or "", self.rule or self.title)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def unjudged(result: Results) -> Iterator[Unjudged]:
    """One for each rule that could not judge some flows, for flows that no rule is about, and for inputs that were not read."""
    manifest = result.manifest
    of = {rule["code"]: (policy["id"], rule["title"]) for policy in manifest["policies"] for rule in policy["rules"]}
    for rule, reasons in manifest["not_observable"].items():
        policy, title = of.get(rule, (None, IN_FULL))
        told = sum(one["flows"] for one in reasons)
        flows = manifest["rules"].get(rule, {}).get("not_observable", told)
        words = [f"{printable(one['reason'])} ({counted(one['flows'], 'flow')})" for one in reasons]
        words += [f"other reasons ({counted(flows - told, 'flow')})"] if flows > told else []
        yield Unjudged(None if rule == NO_RULE else rule, policy, title, "not_observable", flows, BETWEEN.join(words))
    for (title, listed), counts in zip(
        overview.not_judged_words(result), filter(None, overview.not_judged(result)), strict=True
    ):
        yield Unjudged(None, None, title.removesuffix(", not judged"), "not_applicable", counts.total(), listed)
    for text in result.errors:
        yield Unjudged(None, None, "An input that could not be read", "not_observable", 0, printable(text))
    outcome = answer(result)
    if not outcome.judged:
        yield Unjudged(None, None, "No flow was judged", "not_applicable", outcome.flows, outcome.sentence)
