"""Whether a rule judged the traffic that a finding of another audit is about: what is no longer found may be no longer judged."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from auditor.policy.check import NOTHING_SHOWS
from auditor.policy.findings import OTHERS, client_group
from auditor.prefixes import parse
from auditor.report.plain import coded, numbered
from auditor.report.results import Results
from auditor.tables.columns import distinct

Array = np.ndarray[Any, Any]
Key = tuple[str, str, str]  # rule, client network, service with its Region
FLOW = ("flow_id", "client_ip", "server_ip", "server_name", "service", "region", "aws_endpoint")


class RuleCoverage:
    """What the rules of an audit say of the traffic of some findings that it does not have.

    It is counted by client network and service: memory follows these, and not the flows.
    """

    def __init__(self, result: Results, keys: Iterable[Key]) -> None:
        self.result = result
        self._wanted = {rule for rule, _, _ in keys}
        self._pairs: list[tuple[str, str]] = []
        self._outcomes: dict[tuple[str, int], Counter[tuple[str, str]]] = {}
        if self._wanted:
            self._count(*self._flows())

    def lacking(self, key: Key) -> str | None:
        """Why nothing is known of it, in words; None where the rule judged that traffic, and is met."""
        rule, client, service = key
        if self.result.rule(rule) is None:
            return "no policy of that audit has the rule"
        if not client:  # about a capture, a log, an address: those are looked at in every audit
            return None
        pairs = [number for number, pair in enumerate(self._pairs) if _is_of(pair, client, service)]
        if not pairs:
            return "no such traffic was seen"
        outcomes: Counter[tuple[str, str]] = Counter()
        for number in pairs:
            outcomes.update(self._outcomes.get((rule, number), {}))
        if any(verdict == "pass" for verdict, _ in outcomes):
            return None
        reasons = Counter(
            {reason: count for (verdict, reason), count in outcomes.items() if verdict == "not_observable"}
        )
        if reasons:
            return f"not observable: {min(reasons, key=lambda reason: (-reasons[reason], reason))}"
        exempt = [reason for _, reason in outcomes if reason.startswith(("exception: ", NOTHING_SHOWS))]
        return exempt[0] if exempt else "the rule is not about this traffic any more" if not outcomes else None

    def _flows(self) -> tuple[Array, Array]:
        """The numbers of all flows, sorted, and of each the number of its client network and service, as findings have them."""
        known: dict[tuple[str, str], int] = {}
        network = lru_cache(1 << 16)(client_group)
        count = self.result.count("flows")
        flows, pairs = np.zeros(count, np.int64), np.zeros(count, np.int32)
        for at, row in enumerate(self.result.each("flows", *FLOW)):
            service = f"{row['service']} {row['region'] or ''}".rstrip()
            is_endpoint = row["aws_endpoint"] and row["service"]
            pair = (network(row["client_ip"]), service if is_endpoint else row["server_name"] or row["server_ip"])
            flows[at], pairs[at] = row["flow_id"], known.setdefault(pair, len(known))
        self._pairs = list(known)
        order = np.argsort(flows)
        return flows[order], pairs[order]

    def _count(self, flows: Array, pairs: Array) -> None:
        """Count verdicts and reasons of the rules that are wanted."""
        for batch in self.result.batches("verdicts", "flow_id", "rule", "verdict", "reason"):
            (rules, names), (verdicts, words), (reasons, texts) = (
                coded(batch.column(name)) for name in ("rule", "verdict", "reason")
            )
            at = np.flatnonzero(np.array([name in self._wanted for name in [*names, None]], bool)[rules])
            pair = pairs[np.searchsorted(flows, numbered(batch.column("flow_id"), 0)[at])]
            combos, index = distinct(rules[at], pair, verdicts[at], reasons[at])
            for (rule, number, verdict, why), count in zip(combos.tolist(), np.bincount(index).tolist(), strict=True):
                counts = self._outcomes.setdefault((names[rule], number), Counter())
                counts[words[verdict], texts[why] if why >= 0 else ""] += count


def _is_of(pair: tuple[str, str], client: str, service: str) -> bool:
    """Whether a pair is among those that a finding is about, whose client network may be wider."""
    if service not in (pair[1], OTHERS):
        return False
    version, network, length = parse(client)
    other, address, _ = parse(pair[0])
    shift = (32 if version == 4 else 128) - length
    return length == 0 or (version == other and address >> shift == network >> shift)
