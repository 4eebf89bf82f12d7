"""Applying policies to batches of flows."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.policy.check import FAIL, NOT_APPLICABLE, NOT_OBSERVABLE, PASS, WARN, unmet
from auditor.policy.encryption import UNSEEN, is_unprotected
from auditor.policy.facts import DAY, FactColumn, Facts, distinct, read_by
from auditor.policy.findings import Finding, Subject
from auditor.policy.model import Exemption, Policy, Rule
from auditor.policy.reasons import Reasons
from auditor.policy.registry import CHECKS
from auditor.policy.totals import VerdictTotals
from auditor.prefixes import PrefixSet, parse
from auditor.tables import arrow, value_sets
from auditor.tables.columns import Numbers, Texts

Array = np.ndarray[Any, Any]


EXPIRED = Rule(
    code="EXC101",
    title="No exception has expired",
    check="exceptions",
    severity="medium",
    what="Flows that do not meet a rule are not covered by an exception of the policy whose day has passed.",
    why="An exception has an end so that somebody looks again: what it was for has not been fixed.",
    fix="Fix what the exception was for, or let its owner decide anew and set another day.",
    source="the policy's own exceptions",
)


def _day(day: date) -> int:
    """Days since 1970."""
    return int(np.datetime64(day, "D").astype(np.int64))


def _about(rule: Rule, facts: Facts) -> Array:
    """Which facts a rule is about: by its scope, and by the days on which it holds."""
    about = np.ones(len(facts), bool)
    if rule.applies_to != "all":
        about = facts.in_scope if rule.applies_to == "aws" else facts.is_pinpoint
    if rule.begins is not None:
        about = about & (facts.day >= _day(rule.begins))
    if rule.ends is not None:
        about = about & (facts.day <= _day(rule.ends))
    return np.asarray(about)


def _exempted(
    exemption: Exemption, at: Array, verdict: Array, subject: Subject, as_of: date | None
) -> tuple[Array, Array]:
    """Which places of ``at`` an exception exempts, and which flows it came too late for."""
    bad = np.flatnonzero((verdict == FAIL) | (verdict == WARN))
    fits = bad[_fits(exemption, at[bad], subject)]
    day = subject.started[at[fits]] // DAY if as_of is None else np.full(len(fits), _day(as_of))
    holds = day <= _day(exemption.expires)
    return fits[holds], at[fits[~holds]]


def _fits(exemption: Exemption, flows: Array, subject: Subject) -> Array:
    """Whether flows are of the client and to the server that an exception is for."""
    fits = np.ones(len(flows), bool)
    if exemption.client is not None:
        fits &= PrefixSet([exemption.client]).covers(subject.client_high[flows], subject.client_low[flows])
    if exemption.server is not None:
        fitting = [number for number, name in subject.servers(flows).items() if exemption.fits_server(name)]
        fits &= np.isin(subject.server_number[flows], fitting)
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
        self.exemptions = [one for policy in policies for one in policy.exception]
        self._read: frozenset[str] | None = None

    def facts_read(self, columns: Mapping[str, FactColumn]) -> frozenset[str]:
        """The facts that the rules read, of those that there are."""
        if self._read is None:
            self._read = read_by(columns, self._ask)
        return self._read

    def _ask(self, facts: Facts) -> None:
        for rule in self.rules:
            _about(rule, facts)
            CHECKS[rule.check].function(facts, rule.required, rule.parameters)
        is_unprotected(facts)
        for lacks in UNSEEN.values():
            lacks(facts)

    def batch(
        self, columns: Mapping[str, FactColumn], subject: Subject, totals: VerdictTotals
    ) -> tuple[Array, pa.Table]:
        """The worst verdict of each flow, and the rows of ``verdicts``; ``columns`` are the flows' facts by name.

        What adds up is added to ``totals``.
        Rows come from rules that are about the flow; a flow that no rule is about has none and is not_applicable,
        and so is one that passes only rules that are not about its protection, or that its handshake did not protect.
        One that would pass, but whose handshake has no end in the capture, or protects the log-in alone, is not_observable,
        whatever the rules ask.
        """
        facts, index = distinct(columns, sorted(self.facts_read(columns)))
        if self.as_of is not None:
            facts = facts.but("day", np.full(len(facts), _day(self.as_of)))
        worst, protected = np.full(len(index), NOT_APPLICABLE), np.zeros(len(index), bool)
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
            for number, exemption in enumerate(self.exemptions):
                if exemption.rule.upper() == rule.code:
                    exempt, late = _exempted(exemption, at, verdict, subject, self.as_of)
                    totals.add_late(number, late, subject)
                    if len(exempt):
                        which, verdict = which.copy(), verdict.copy()
                        which[exempt], verdict[exempt] = len(reasons), NOT_APPLICABLE
                        reasons = np.append(reasons, f"exception: {exemption.words}")
            worst[at] = np.maximum(worst[at], verdict)
            if CHECKS[rule.check].of_protection and not rule.parameters.get("offered"):
                protected[at] |= verdict == PASS
            parts.append((rule, at, verdict, which, reasons))
            totals.count(rule.code, verdict, which, reasons)
            totals.findings.gather(rule, at, verdict, which, reasons, subject)
        worst[(worst == PASS) & (~protected | is_unprotected(facts)[index])] = NOT_APPLICABLE
        for reason, lacks in UNSEEN.items():
            unseen = (worst == PASS) & lacks(facts)[index]
            worst[unseen] = NOT_OBSERVABLE
            totals.count_unseen(reason, int(unseen.sum()))
        return worst, self._table(parts, subject.flow_id)

    def about(
        self, check: str, name: str, reason: str, flows: int, times: tuple[int, int], capture: str | None = None
    ) -> list[Finding]:
        """Findings about something else than flows, of each rule with that check.

        ``name``: a log or a capture; ``flows``: how many rows or flows it is about, ``times``: of the first and last.
        """
        return [
            Finding(rule, unmet(rule.required), name, None, None, capture, *times, flows, Reasons.of(reason))
            for rule in self.rules
            if rule.check == check
        ]

    @staticmethod
    def _table(parts: list[tuple[Rule, Array, Array, Array, Array]], flow_id: Array) -> pa.Table:
        if not parts:
            return arrow.empty("verdicts")
        # A table of flows by rules, read row by row, is in order: sorting the rows would take most of the time.
        verdicts = np.full((len(parts), len(flow_id)), -1, np.int8)
        reasons = np.zeros(verdicts.shape, np.int32)
        begins = np.cumsum([0, *(len(reason) for *_, reason in parts)])
        for number, (_, at, verdict, which, _) in enumerate(parts):
            verdicts[number][at] = verdict
            reasons[number][at] = which + begins[number]
        verdicts, reasons = np.ascontiguousarray(verdicts.T), np.ascontiguousarray(reasons.T)
        there = verdicts >= 0
        rules = np.broadcast_to(np.arange(len(parts), dtype=np.int32), there.shape)[there]
        codes: list[str | None] = [rule.code for rule, *_ in parts]
        return arrow.build(
            "verdicts",
            {
                "flow_id": Numbers(np.repeat(flow_id, there.sum(axis=1))),
                "rule": Texts(codes, rules),
                "verdict": Texts(list(value_sets.VERDICTS), verdicts[there]),
                "reason": Texts([str(text) for *_, reason in parts for text in reason.tolist()], reasons[there]),
            },
        )

    def expired(self, totals: VerdictTotals) -> list[Finding]:
        """The exceptions that have ended, where flows were seen that they would have exempted."""
        findings = []
        for number, one in sorted(totals.exemptions.items()):
            exemption = self.exemptions[number]
            client = None if exemption.client is None else parse(exemption.client)
            reasons = Reasons.of(f"expired on {exemption.expires}: {exemption.words}", one.flows)
            name = f"exception from {exemption.rule.upper()} for {exemption.server or 'any server'}"
            about = (EXPIRED, FAIL, name, None, client, None, one.first, one.last)
            findings.append(Finding(*about, one.flows, reasons, samples=one.samples))
        return findings

    def policy_of(self) -> dict[str, str]:
        """The policy of each rule."""
        return {rule.code: policy for policy, rules in self.pages.items() for rule in rules}
