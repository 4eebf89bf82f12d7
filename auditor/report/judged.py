"""Whether a rule judged the traffic that a finding of another audit is about: what is no longer found may be no longer judged."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from auditor.policy.findings import OTHERS, client_group
from auditor.prefixes import parse
from auditor.report.plain import coded, values
from auditor.report.results import Results

Key = tuple[str, str, str]  # rule, client network, service with its Region
FLOW = ("flow_id", "client_ip", "server_ip", "server_name", "service", "region", "aws_endpoint")


class RuleCoverage:
    """What the rules of an audit say of the traffic of some findings that it does not have."""

    def __init__(self, result: Results, keys: Iterable[Key]) -> None:
        self.result = result
        self._wanted = {rule for rule, _, _ in keys}
        self._flows = _by_pair(result) if self._wanted else {}
        self._verdicts = self._read() if self._wanted else {}

    def lacking(self, key: Key) -> str | None:
        """Why nothing is known of it, in words; None where the rule judged that traffic, and is met."""
        rule, client, service = key
        if self.result.rule(rule) is None:
            return "no policy of that audit has the rule"
        if not client:  # about a capture, a log, an address: those are looked at in every audit
            return None
        flows = [flow for pair, some in self._flows.items() if _is_of(pair, client, service) for flow in some]
        if not flows:
            return "no such traffic was seen"
        verdicts = self._verdicts.get(rule, {})
        outcomes = Counter(verdicts[flow] for flow in flows if flow in verdicts)
        if any(verdict == "pass" for verdict, _ in outcomes):
            return None
        reasons = Counter(
            {reason: count for (verdict, reason), count in outcomes.items() if verdict == "not_observable"}
        )
        if reasons:
            return f"not observable: {min(reasons, key=lambda reason: (-reasons[reason], reason))}"
        exempt = [reason for _, reason in outcomes if reason.startswith("exception: ")]
        return exempt[0] if exempt else "the rule is not about this traffic any more" if not outcomes else None

    def _read(self) -> dict[str, dict[int, tuple[str, str]]]:
        """Verdict and reason of each flow, of the rules that are wanted."""
        found: dict[str, dict[int, tuple[str, str]]] = {rule: {} for rule in self._wanted}
        for batch in self.result.batches("verdicts", "flow_id", "rule", "verdict", "reason"):
            (rules, names), (verdicts, words), (reasons, texts) = (
                coded(batch.column(name)) for name in ("rule", "verdict", "reason")
            )
            flows = np.array(values(batch.column("flow_id")))
            for code, name in enumerate(names):
                if name in found:
                    at = np.flatnonzero(rules == code)
                    for flow, verdict, reason in zip(flows[at], verdicts[at], reasons[at], strict=True):
                        found[name][flow] = words[verdict], texts[reason] if reason >= 0 else ""
        return found


def _by_pair(result: Results) -> dict[tuple[str, str], list[int]]:
    """The flows by client network and service, as findings are."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for row in result.each("flows", *FLOW):
        service = f"{row['service']} {row['region'] or ''}".rstrip() if row["aws_endpoint"] and row["service"] else None
        server = row["server_name"] or row["server_ip"]
        pairs.setdefault((client_group(row["client_ip"]), service or server), []).append(row["flow_id"])
    return pairs


def _is_of(pair: tuple[str, str], client: str, service: str) -> bool:
    """Whether a pair is among those that a finding is about, whose client network may be wider."""
    if service not in (pair[1], OTHERS):
        return False
    version, network, length = parse(client)
    other, address, _ = parse(pair[0])
    shift = (32 if version == 4 else 128) - length
    return length == 0 or (version == other and address >> shift == network >> shift)
