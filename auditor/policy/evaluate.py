"""Applying a policy to batches of flows, and gathering what fails into findings."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import tables
from auditor.columns import Numbers, Texts
from auditor.policy.checks import CHECKS, FAIL, NOT_APPLICABLE, NOT_OBSERVABLE, WARN, Facts
from auditor.policy.model import Policy, Rule

Array = np.ndarray[Any, Any]
SAMPLES = 5
MOST_FINDINGS = 20_000  # findings kept apart; what comes after is counted under its rule alone
MOST_CLIENTS = 10_000  # client addresses counted for one finding
OTHERS = "(other servers)"


@dataclass
class Finding:
    """A rule that flows to one server do not meet."""

    rule: Rule
    verdict: int
    server: str
    service: str | None
    reason: str
    capture: str
    flows: int = 0
    clients: set[Any] = field(default_factory=set)
    first: int = 0
    last: int = 0
    sample_flows: list[int] = field(default_factory=list)
    sample_frames: list[int] = field(default_factory=list)


@dataclass
class Subject:
    """Whom a batch is about: what findings are grouped and proven by."""

    flow_id: Array
    started: Array
    server: Callable[[int], str]  # a flow's server name, or address where it has none
    service: Array
    client: Array  # a number for each client address
    frames: Array  # (n, 3) frames that show the flow: first packet, ClientHello, ServerHello; 0 for none
    in_scope: Array
    is_pinpoint: Array
    capture: str


class Evaluation:
    """Runs a policy's rules over batches."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.findings: dict[tuple[str, int, str], Finding] = {}
        self.not_observable: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.capped = False

    def batch(self, facts: Facts, who: Subject) -> tuple[Array, pa.Table]:
        """The worst verdict of each flow, and the rows of ``verdicts``.

        Rows are made of rules that are about the flow; a flow that no rule is about has none and is not_applicable.
        """
        worst = np.full(len(who.flow_id), NOT_APPLICABLE)
        parts = []
        for rule in self.policy.rule:
            about = {"aws": who.in_scope, "pinpoint": who.is_pinpoint}.get(rule.applies_to)
            at = np.arange(len(who.flow_id)) if about is None else np.flatnonzero(about)
            if not len(at):
                continue
            answer = CHECKS[rule.check].function(_some(facts, at), rule.required, rule.parameters)
            if rule.applies_to == "all":  # not one row for every flow of the world
                keep = answer.verdict != NOT_APPLICABLE
                at, answer.verdict, answer.reason = at[keep], answer.verdict[keep], answer.reason[keep]
                if not len(at):
                    continue
            worst[at] = np.maximum(worst[at], answer.verdict)
            parts.append((rule, at, answer.verdict, answer.reason))
            self._count(rule, answer.verdict, answer.reason)
            self._gather(rule, at, answer.verdict, answer.reason, who)
        return worst, self._table(parts, who.flow_id)

    def witness(self, name: str, rows: int, reason: str, first: int, last: int) -> None:
        """A finding about rows of a log that no captured flow fits, where the policy has a rule about witnesses."""
        for rule in self.policy.rule:
            if rule.check == "witnesses-agree":
                verdict = FAIL if rule.required else WARN
                found = Finding(rule, verdict, name, None, reason, "", rows, first=first, last=last)
                self.findings[rule.code, verdict, name] = found

    def _count(self, rule: Rule, verdict: Array, reason: Array) -> None:
        codes, counts = np.unique(verdict, return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.counts[rule.code, tables.VERDICTS[code]] += count
        self.not_observable.update((rule.code, str(r)) for r in reason[verdict == NOT_OBSERVABLE])

    def _gather(self, rule: Rule, at: Array, verdict: Array, reason: Array, who: Subject) -> None:
        for k in np.flatnonzero((verdict == FAIL) | (verdict == WARN)).tolist():
            flow = int(at[k])
            server = who.server(flow)
            key = (rule.code, int(verdict[k]), server)
            if key not in self.findings and len(self.findings) >= MOST_FINDINGS:
                self.capped = True
                key = (rule.code, int(verdict[k]), OTHERS)
            found = self.findings.get(key)
            if found is None:
                found = self.findings[key] = Finding(
                    rule, key[1], key[2], who.service[flow], str(reason[k]), who.capture, first=int(who.started[flow])
                )
            found.flows += 1
            if len(found.clients) < MOST_CLIENTS:
                found.clients.add(who.client[flow].item())
            found.first = min(found.first, int(who.started[flow]))
            found.last = max(found.last, int(who.started[flow]))
            if len(found.sample_flows) < SAMPLES and found.capture == who.capture:
                found.sample_flows.append(int(who.flow_id[flow]))
                found.sample_frames += [int(f) for f in who.frames[flow] if f and f not in found.sample_frames]

    @staticmethod
    def _table(parts: list[tuple[Rule, Array, Array, Array]], flow_id: Array) -> pa.Table:
        if not parts:
            return tables.empty("verdicts")
        every = np.concatenate([at for _, at, _, _ in parts])
        rules = np.concatenate([np.full(len(at), number) for number, (_, at, _, _) in enumerate(parts)])
        order = np.lexsort((rules, flow_id[every]))
        verdicts = np.concatenate([verdict for _, _, verdict, _ in parts])[order]
        reasons = np.concatenate([reason for _, _, _, reason in parts])[order]
        codes: list[str | None] = [rule.code for rule, *_ in parts]
        return tables.build(
            "verdicts",
            {
                "flow_id": Numbers(flow_id[every][order]),
                "rule": Texts(codes, rules[order]),
                "verdict": Texts(list(tables.VERDICTS), verdicts),
                "reason": Texts.of(reasons),
            },
        )

    def ordered(self) -> list[Finding]:
        """The findings, worst first: severity, failures before warnings, most flows."""
        return sorted(
            self.findings.values(),
            key=lambda f: (-tables.SEVERITIES.index(f.rule.severity), -f.verdict, -f.flows, f.rule.code, f.server),
        )

    def table(self) -> pa.Table:
        """The table ``findings``."""
        found = self.ordered()
        if not found:
            return tables.empty("findings")
        numbers: Counter[str] = Counter()
        identifiers = []
        for f in found:
            numbers[f.rule.code] += 1
            identifiers.append(f"{f.rule.code}-{numbers[f.rule.code]}")
        return tables.build(
            "findings",
            {
                "finding_id": identifiers,
                "rule": [f.rule.code for f in found],
                "title": [f.rule.title for f in found],
                "severity": [f.rule.severity for f in found],
                "verdict": [tables.VERDICTS[f.verdict] for f in found],
                "server": [f.server for f in found],
                "service": [f.service for f in found],
                "reason": [f.reason for f in found],
                "flows": [f.flows for f in found],
                "clients": [len(f.clients) for f in found],
                "first_seen": [f.first for f in found],
                "last_seen": [f.last for f in found],
                "capture": [f.capture for f in found],
                "sample_flows": [" ".join(map(str, f.sample_flows)) for f in found],
                "sample_frames": [" ".join(map(str, f.sample_frames)) for f in found],
            },
        )


def _some(facts: Facts, at: Array) -> Facts:
    """The facts of some flows."""
    return Facts(**{name: getattr(facts, name)[at] for name in Facts.__dataclass_fields__})
