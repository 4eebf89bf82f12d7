"""Applying a policy to batches of flows, and gathering what fails into findings."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import tables
from auditor.columns import Numbers, Texts
from auditor.policy.checks import CHECKS, FAIL, NOT_APPLICABLE, NOT_OBSERVABLE, WARN, Answer
from auditor.policy.facts import distinct
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
    server_key: Array  # a number for each of these
    service: Array
    client: Array  # a number for each client address
    frames: Array  # (n, 3) frames that show the flow: first packet, ClientHello, ServerHello; 0 for none
    capture: str


class Evaluation:
    """Runs a policy's rules over batches."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.findings: dict[tuple[str, int, str], Finding] = {}
        self.not_observable: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.capped = False

    def batch(self, columns: "dict[str, Array | Texts]", who: Subject) -> tuple[Array, pa.Table]:
        """The worst verdict of each flow, and the rows of ``verdicts``; ``columns`` are the flows' facts by name.

        Rows are made of rules that are about the flow; a flow that no rule is about has none and is not_applicable.
        """
        facts, index = distinct(columns)
        worst = np.full(len(index), NOT_APPLICABLE)
        parts = []
        for rule in self.policy.rule:
            about = {"aws": facts.in_scope, "pinpoint": facts.is_pinpoint}.get(rule.applies_to)
            some = np.arange(len(facts)) if about is None else np.flatnonzero(about)
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
            verdict = answer.verdict[which]
            worst[at] = np.maximum(worst[at], verdict)
            parts.append((rule, at, verdict, which, answer.reason))
            self._count(rule, answer, np.bincount(which, minlength=len(some)))
            self._gather(rule, at, verdict, answer.reason, which, who)
        return worst, self._table(parts, who.flow_id)

    def witness(self, name: str, rows: int, reason: str, first: int, last: int) -> None:
        """A finding about rows of a log that no captured flow fits, where the policy has a rule about witnesses."""
        for rule in self.policy.rule:
            if rule.check == "witnesses-agree":
                verdict = FAIL if rule.required else WARN
                found = Finding(rule, verdict, name, None, reason, "", rows, first=first, last=last)
                self.findings[rule.code, verdict, name] = found

    def _count(self, rule: Rule, answer: Answer, flows: Array) -> None:
        """Count verdicts and what could not be judged; ``flows``: how many have each answer."""
        for code, reason, number in zip(answer.verdict.tolist(), answer.reason.tolist(), flows.tolist(), strict=True):
            self.counts[rule.code, tables.VERDICTS[code]] += number
            if code == NOT_OBSERVABLE:
                self.not_observable[rule.code, str(reason)] += number

    def _gather(self, rule: Rule, at: Array, verdict: Array, reasons: Array, which: Array, who: Subject) -> None:
        """Add the flows that do not meet a rule to its findings, server by server."""
        bad = np.flatnonzero((verdict == FAIL) | (verdict == WARN))
        if not len(bad):
            return
        keys = np.stack([who.server_key[at[bad]], verdict[bad].astype(np.uint64)], axis=1)
        _, group = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(group, kind="stable")
        for members in np.split(bad[order], np.flatnonzero(np.diff(group[order])) + 1):
            flows = at[members]
            first, server = int(flows[0]), who.server(int(flows[0]))
            key = (rule.code, int(verdict[members[0]]), server)
            if key not in self.findings and len(self.findings) >= MOST_FINDINGS:
                self.capped = True
                key = (rule.code, key[1], OTHERS)
            found = self.findings.get(key)
            if found is None:
                found = self.findings[key] = Finding(
                    rule,
                    key[1],
                    key[2],
                    who.service[first],
                    str(reasons[which[members[0]]]),
                    who.capture,
                    first=int(who.started[first]),
                )
            self._add(found, flows, who)

    @staticmethod
    def _add(found: Finding, flows: Array, who: Subject) -> None:
        found.flows += len(flows)
        if len(found.clients) < MOST_CLIENTS:
            found.clients.update(np.unique(who.client[flows])[: MOST_CLIENTS - len(found.clients)].tolist())
        found.first = min(found.first, int(who.started[flows].min()))
        found.last = max(found.last, int(who.started[flows].max()))
        if found.capture == who.capture:
            for flow in flows[: SAMPLES - len(found.sample_flows)].tolist():
                found.sample_flows.append(int(who.flow_id[flow]))
                found.sample_frames += [int(f) for f in who.frames[flow] if f and f not in found.sample_frames]

    @staticmethod
    def _table(parts: list[tuple[Rule, Array, Array, Array, Array]], flow_id: Array) -> pa.Table:
        if not parts:
            return tables.empty("verdicts")
        every = np.concatenate([at for _, at, *_ in parts])
        rules = np.concatenate([np.full(len(part[1]), number) for number, part in enumerate(parts)])
        order = np.lexsort((rules, flow_id[every]))
        verdicts = np.concatenate([verdict for _, _, verdict, *_ in parts])[order]
        begins = np.cumsum([0, *(len(reason) for *_, reason in parts)])
        reasons = np.concatenate([which + begin for (_, _, _, which, _), begin in zip(parts, begins, strict=False)])
        texts = [str(text) for *_, reason in parts for text in reason.tolist()]
        codes: list[str | None] = [rule.code for rule, *_ in parts]
        return tables.build(
            "verdicts",
            {
                "flow_id": Numbers(flow_id[every][order]),
                "rule": Texts(codes, rules[order]),
                "verdict": Texts(list(tables.VERDICTS), verdicts),
                "reason": Texts(list(texts), reasons[order]),
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
