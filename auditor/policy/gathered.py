"""Findings as they are gathered, batch by batch, and reported in tens: the same in whatever order, parts and batches flows come.

So whatever is left out when there are too many groups is left out by what they are, not by when they came. Above so many
groups the networks of clients are widened, of all groups alike: how far, is decided by how many groups there are at each
width. Where there are too many services even so, those that come first in their order are kept apart.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.policy.check import FAIL, WARN
from auditor.policy.findings import OTHERS, WIDTHS, Finding, Subject, network_of, widened
from auditor.policy.model import Rule
from auditor.prefixes import Prefix
from auditor.tables import value_sets

Array = np.ndarray[Any, Any]
MOST_SERVICES = 12  # of a rule; those with the fewest flows are reported together
MOST_OF_RULE = 24  # findings of a rule: above that, client networks are widened
MOST_GATHERED = 20_000  # groups that are kept apart
FIRST = 2_000  # of more, at whatever width, so many stay apart: the first ones in their order
SLACK = 2  # times as many may be there, before those beyond are put together
ANYWHERE: Prefix = (4, 0, 0)

Key = tuple[str, int, str, str | None, Prefix | None]  # rule, verdict, service, Region, client network
REST = (OTHERS, None, ANYWHERE)  # what a key ends in, of groups that are not kept apart


def _rank(key: Key) -> tuple[Any, ...]:
    """Which groups are kept apart before others: AWS's services, of which there are few, then servers by name."""
    rule, verdict, service, region, client = key
    return region is None, service, region or "", rule, verdict, client or ANYWHERE


def _members(group: Array, members: Array) -> list[Array]:
    """The members of each group, in their order; ``group``: a small number for each."""
    counts = np.bincount(group)
    some = np.flatnonzero(counts)
    if len(some) == 1:
        return [members]
    order = np.argsort(group.astype(np.int32), kind="stable")
    return np.split(members[order], np.cumsum(counts[some])[:-1])


@dataclass(eq=False, repr=False)
class Findings:
    """The findings of an audit or a part of it: gathered batch by batch, reported in tens at the audit's end."""

    gathered: dict[Key, Finding] = field(default_factory=dict)
    rest: dict[Key, Finding] = field(default_factory=dict)  # of each rule and verdict what is not kept apart
    width: int = 0  # of WIDTHS, that networks of clients have at least
    last: tuple[Any, ...] | None = None  # rank of the last group that is kept apart, where there are more

    @property
    def capped(self) -> bool:
        """Whether there were more groups than are kept apart."""
        return self.width > 0 or self.last is not None

    def gather(self, rule: Rule, at: Array, verdict: Array, which: Array, reasons: Array, subject: Subject) -> None:
        """Add the flows of a batch that do not meet a rule, group by group.

        ``at``: the flows that the rule is about, ``verdict`` and ``which``: their verdicts and numbers of ``reasons``.
        """
        bad = np.flatnonzero((verdict == FAIL) | (verdict == WARN))
        if not len(bad):
            return
        groups: dict[Key, list[Array]] = {}
        for members in _members(subject.group[at[bad]] * len(value_sets.VERDICTS) + verdict[bad], bad):
            first, code = int(at[members[0]]), int(verdict[members[0]])
            client = network_of(int(subject.client_high[first]), int(subject.client_low[first]))
            groups.setdefault(self._kept((rule.code, code, *subject.service(first), client)), []).append(members)
        for key, parts in groups.items():
            members = np.concatenate(parts) if len(parts) > 1 else parts[0]
            self._finding(self._kept(key), rule, at[members], subject).add(
                at[members], which[members], reasons, subject
            )
            self._bound(SLACK * FIRST)

    def _kept(self, key: Key) -> Key:
        """The key under which a group is counted by now."""
        rule, verdict, service, region, client = key
        if not self.capped or key[2:] == REST:
            return key
        key = rule, verdict, service, region, client and widened(client, WIDTHS[self.width])
        return key if self.last is None or _rank(key) <= self.last else (rule, verdict, *REST)

    def _finding(self, key: Key, rule: Rule, flows: Array, subject: Subject) -> Finding:
        """The finding of that key."""
        known = self.rest if key[2:] == REST else self.gathered
        if key not in known:
            begun = int(subject.started[flows[0]])
            known[key] = Finding(rule, *key[1:], None, begun, begun)
        return known[key]

    def _bound(self, most: int) -> None:
        """Where there are too many groups widen networks; where these are as wide as can be, keep the first groups apart."""
        if self.last is None and len(self.gathered) > MOST_GATHERED:
            keys = set(self.gathered)
            while len(keys) > MOST_GATHERED and self.width < len(WIDTHS) - 1:
                self.width += 1
                keys = set(map(self._kept, keys))
            if len(keys) > MOST_GATHERED:
                self.last = sorted(map(_rank, keys))[FIRST - 1]
            self._regroup(self.every())
        elif self.last is not None and len(self.gathered) > most:
            self.last = sorted(map(_rank, self.gathered))[FIRST - 1]
            self._regroup(self.every())

    def every(self) -> list[tuple[Key, Finding]]:
        """All of them, by their keys."""
        return [*self.gathered.items(), *self.rest.items()]

    def _regroup(self, every: Iterable[tuple[Key, Finding]]) -> None:
        """Have these findings, by the keys under which they are counted by now; none of them is changed."""
        groups: dict[Key, list[Finding]] = {}
        for key, finding in every:
            groups.setdefault(self._kept(key), []).append(finding)
        joined = {key: _under(key, some) for key, some in groups.items()}
        self.rest = {key: finding for key, finding in joined.items() if key[2:] == REST}
        self.gathered = {key: finding for key, finding in joined.items() if key[2:] != REST}

    def merge(self, other: "Findings") -> "Findings":
        """What both have gathered; neither is added to after that."""
        last = min((one.last for one in (self, other) if one.last is not None), default=None)
        both = Findings(width=max(self.width, other.width), last=last)
        both._regroup([*self.every(), *other.every()])
        both._bound(FIRST)
        return both

    def ordered(self, others: Iterable[Finding] = ()) -> list[Finding]:
        """The findings in tens, with others that are about something else than the flows of a client network.

        Worst first: severity, failures before warnings, most flows.
        """
        self._bound(FIRST)
        every = dict(sorted(self.every(), key=lambda item: item[1].order))
        for finding in others:
            key = (finding.rule.code, finding.verdict, finding.service, finding.region, finding.client)
            every[key] = every[key].merged(finding) if key in every else finding
        rules: dict[tuple[str, int], list[Finding]] = {}
        for finding in every.values():
            rules.setdefault((finding.rule.code, finding.verdict), []).append(finding)
        return sorted(
            (finding for some in rules.values() for finding in _in_tens(some)),
            key=lambda f: (
                *(-value_sets.SEVERITIES.index(f.rule.severity), -f.verdict, -f.flows, f.rule.code, f.service),
                *(f.region or "", f.client or ANYWHERE),
            ),
        )


def _in_tens(findings: Sequence[Finding]) -> Iterable[Finding]:
    """The findings of one rule, not too many: services with few flows are reported together, then networks are widened."""
    flows: Counter[tuple[str, str | None]] = Counter()
    for one in findings:
        flows[one.service, one.region] += one.flows
    kept = set(flows)
    if len(kept) > MOST_SERVICES:
        ordered = sorted(flows, key=lambda key: (key[0] == OTHERS, -flows[key], key[0], key[1] or ""))
        kept = set(ordered[: MOST_SERVICES - 1])
    groups: dict[tuple[str, str | None, Prefix | None], list[Finding]] = {}
    for width in WIDTHS:
        groups = {}
        for one in findings:
            service = (one.service, one.region) if (one.service, one.region) in kept else (OTHERS, None)
            client = None if one.client is None else widened(one.client, width)
            groups.setdefault((*service, client), []).append(one)
        if len(groups) <= MOST_OF_RULE:
            break
    return [_joined(some, *key) for key, some in groups.items()]


def _under(key: Key, some: list[Finding]) -> Finding:
    """What some findings have counted, under a key that all of them come under by now."""
    _, _, service, region, client = key
    is_same = len(some) == 1 and (some[0].service, some[0].region, some[0].client) == (service, region, client)
    return some[0] if is_same else _together(some, service, region, client)


def _joined(some: list[Finding], service: str, region: str | None, client: Prefix | None) -> Finding:
    """Findings of one rule as one, about what they have in common."""
    return some[0] if len(some) == 1 else _together(some, service, region, client)


def _together(some: list[Finding], service: str, region: str | None, client: Prefix | None) -> Finding:
    first = some[0]
    finding = Finding(first.rule, first.verdict, service, region, client, first.about, first.first, first.last)
    finding.join(*some)
    return finding
