"""Applying policies to batches of flows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.policy.check import FAIL, NOT_APPLICABLE, NOT_OBSERVABLE, WARN, unmet
from auditor.policy.facts import DAY, Facts, distinct
from auditor.policy.findings import SAMPLES, Finding, Findings, Subject
from auditor.policy.model import Exemption, Policy, Rule
from auditor.policy.registry import CHECKS
from auditor.prefixes import PrefixSet, parse
from auditor.tables import arrow, schema
from auditor.tables.columns import Numbers, Texts

Array = np.ndarray[Any, Any]


EXPIRED = Rule(
    code="EXC101",
    title="No exception has expired",
    check="exceptions",
    severity="medium",
    what="Flows that do not meet a rule are not covered by an exception of the policy whose day has passed.",
    why="An exception has an end so that somebody looks again: what it was for has not been mended.",
    mend="Mend what the exception was for, or let its owner decide anew and set another day.",
    source="the policy's own exceptions",
)


def _day(day: date) -> int:
    """Days since 1970."""
    return int(np.datetime64(day, "D").astype(np.int64))


def _about(rule: Rule, facts: Facts) -> Array:
    """Which facts a rule is about: by its scope, and by the days on which it holds."""
    about = {"aws": facts.in_scope, "pinpoint": facts.is_pinpoint}.get(rule.applies_to, np.ones(len(facts), bool))
    if rule.begins is not None:
        about = about & (facts.day >= _day(rule.begins))
    if rule.ends is not None:
        about = about & (facts.day <= _day(rule.ends))
    return np.asarray(about)


@dataclass
class _Applied:
    """An exception of a policy, and the flows that it came too late for."""

    exemption: Exemption
    late: int = 0
    capture: str = ""
    first: int = 0
    last: int = 0
    sample_flows: list[int] = field(default_factory=list)

    def exempt(
        self, at: Array, which: Array, verdict: Array, reasons: Array, who: Subject, as_of: date | None
    ) -> tuple[Array, Array, Array]:
        """Let the rule not count for the flows that fit; the numbers of reasons, verdicts and reasons."""
        bad = np.flatnonzero((verdict == FAIL) | (verdict == WARN))
        fits = bad[self._fits(at[bad], who)]
        day = who.started[at[fits]] // DAY if as_of is None else np.full(len(fits), _day(as_of))
        good, late = fits[day <= _day(self.exemption.expires)], at[fits[day > _day(self.exemption.expires)]]
        if len(late):
            started = who.started[late]
            self.first = min(self.first or int(started[0]), int(started.min()))
            self.last = max(self.last, int(started.max()))
            self.capture, self.late = self.capture or who.capture, self.late + len(late)
            self.sample_flows += who.flow_id[late[: SAMPLES - len(self.sample_flows)]].tolist()
        if not len(good):
            return which, verdict, reasons
        which, verdict = which.copy(), verdict.copy()
        which[good], verdict[good] = len(reasons), NOT_APPLICABLE
        return which, verdict, np.append(reasons, f"exception: {self.exemption.words}")

    def _fits(self, flows: Array, who: Subject) -> Array:
        fits = np.ones(len(flows), bool)
        if self.exemption.client is not None:
            fits &= PrefixSet([self.exemption.client]).covers(who.client_high[flows], who.client_low[flows])
        if self.exemption.server is not None:
            fitting = [number for number, name in who.servers(flows).items() if self.exemption.fits_server(name)]
            fits &= np.isin(who.server_number[flows], fitting)
        return fits


class Evaluation:
    """Runs a policy's rules over batches."""

    def __init__(self, policies: Sequence[Policy], as_of: date | None = None) -> None:
        self.policies = policies
        self.as_of = as_of
        self.rules = [rule for policy in policies for rule in policy.rule]
        self.pages = {policy.id: list(policy.rule) for policy in policies}
        exempting = [policy.id for policy in policies if policy.exception]
        if exempting:
            self.pages[exempting[0]].append(EXPIRED)
        self.exemptions = [_Applied(one) for policy in policies for one in policy.exception]
        self.findings = Findings()
        self.not_observable: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()

    def batch(self, columns: "dict[str, Array | Texts]", who: Subject) -> tuple[Array, pa.Table]:
        """The worst verdict of each flow, and the rows of ``verdicts``; ``columns`` are the flows' facts by name.

        Rows are made of rules that are about the flow; a flow that no rule is about has none and is not_applicable.
        """
        facts, index = distinct(columns)
        if self.as_of is not None:
            facts.day = np.full(len(facts), _day(self.as_of))
        worst = np.full(len(index), NOT_APPLICABLE)
        parts = []
        for rule in self.rules:
            some = np.flatnonzero(_about(rule, facts))
            if not len(some):
                continue
            answer = CHECKS[rule.check].function(facts.some(some), rule.required, rule.parameters)
            if rule.applies_to == "all":  # not one row for every flow of the world
                keep = answer.verdict != NOT_APPLICABLE
                some, answer.verdict, answer.reason = some[keep], answer.verdict[keep], answer.reason[keep]
                if not len(some):
                    continue
            place = np.full(len(facts), -1)
            place[some] = np.arange(len(some))
            at = np.flatnonzero(place[index] >= 0)
            which = place[index[at]]
            verdict, reasons = answer.verdict[which], answer.reason
            for applied in self.exemptions:
                if applied.exemption.rule.upper() == rule.code:
                    which, verdict, reasons = applied.exempt(at, which, verdict, reasons, who, self.as_of)
            worst[at] = np.maximum(worst[at], verdict)
            parts.append((rule, at, verdict, which, reasons))
            self._count(rule, verdict, which, reasons)
            self.findings.gather(rule, at, verdict, which, reasons, who)
        return worst, self._table(parts, who.flow_id)

    def tell(self, check: str, about: str, reason: str, flows: int, times: tuple[int, int], capture: str = "") -> None:
        """A finding about something else than flows, where a policy has a rule with that check.

        ``about``: a log or a capture; ``flows``: how many rows or flows it is about, ``times``: of the first and last.
        """
        for rule in self.rules:
            if rule.check == check:
                verdict, reasons = unmet(rule.required), Counter([reason])
                self.findings.tell(Finding(rule, verdict, about, None, None, capture, *times, flows, reasons))

    def _count(self, rule: Rule, verdict: Array, which: Array, reasons: Array) -> None:
        """Count verdicts, and reasons why something could not be judged."""
        for code, number in enumerate(np.bincount(verdict, minlength=len(schema.VERDICTS)).tolist()):
            if number:
                self.counts[rule.code, schema.VERDICTS[code]] += number
        unseen, flows = np.unique(which[verdict == NOT_OBSERVABLE], return_counts=True)
        for at, number in zip(unseen.tolist(), flows.tolist(), strict=True):
            self.not_observable[rule.code, str(reasons[at])] += number

    @staticmethod
    def _table(parts: list[tuple[Rule, Array, Array, Array, Array]], flow_id: Array) -> pa.Table:
        if not parts:
            return arrow.empty("verdicts")
        # A table of flows by rules, read row by row, is in order: sorting the rows would take most of the time.
        rank = np.argsort(np.argsort(flow_id, kind="stable"), kind="stable")
        verdicts = np.full((len(parts), len(flow_id)), -1, np.int8)
        reasons = np.zeros(verdicts.shape, np.int32)
        begins = np.cumsum([0, *(len(reason) for *_, reason in parts)])
        for number, (_, at, verdict, which, _) in enumerate(parts):
            place = rank[at]
            verdicts[number][place] = verdict
            reasons[number][place] = which + begins[number]
        verdicts, reasons = np.ascontiguousarray(verdicts.T), np.ascontiguousarray(reasons.T)
        there = verdicts >= 0
        rules = np.broadcast_to(np.arange(len(parts), dtype=np.int32), there.shape)[there]
        codes: list[str | None] = [rule.code for rule, *_ in parts]
        return arrow.build(
            "verdicts",
            {
                "flow_id": Numbers(np.repeat(np.sort(flow_id), there.sum(axis=1))),
                "rule": Texts(codes, rules),
                "verdict": Texts(list(schema.VERDICTS), verdicts[there]),
                "reason": Texts([str(text) for *_, reason in parts for text in reason.tolist()], reasons[there]),
            },
        )

    def table(self) -> pa.Table:
        """The table ``findings``, with the exceptions that have ended, where flows were seen that they would have exempted."""
        for one in self.exemptions:
            if one.late:
                client = None if one.exemption.client is None else parse(one.exemption.client)
                reasons = Counter({f"expired on {one.exemption.expires}: {one.exemption.words}": one.late})
                about = f"exception from {one.exemption.rule.upper()} for {one.exemption.server or 'any server'}"
                found = Finding(
                    EXPIRED, FAIL, about, None, client, one.capture, one.first, one.last,
                    one.late, reasons, samples={flow: [] for flow in one.sample_flows},
                )  # fmt: skip
                self.findings.tell(found)
        return self.findings.table({rule.code: policy for policy, rules in self.pages.items() for rule in rules})
