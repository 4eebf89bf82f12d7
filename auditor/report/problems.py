"""What is wrong, by who talks to what: one problem for a client network and a service, with all rules that it does not meet.

Findings are made rule by rule, and the same flows are in several of them; a problem counts each of its flows once.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from auditor.policy.findings import OTHERS, SAMPLES, client_group
from auditor.prefixes import parse
from auditor.report.plain import Row, coded, values
from auditor.report.results import Results
from auditor.tables.columns import distinct, each_once
from auditor.tables.value_sets import SEVERITIES, VERDICTS

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
BAD = ("warn", "fail")
MOST_NAMED = 5  # clients and servers that a problem names
FLOW = ("flow_id", "capture", "started", "client_ip", "server_ip", "server_name", "service", "region", "aws_endpoint")
FINDING = (
    *("finding_id", "rule", "title", "severity", "verdict", "client_group", "service", "region", "reason", "flows"),
    *("clients", "servers", "first_seen", "last_seen", "capture", "sample_flows", "evidence"),
)


class Pair(NamedTuple):
    """Who talks to what: a client network, and an AWS service with its Region or any other server by its name."""

    client_group: str | None  # None where it is about no flows of one network
    service: str
    region: str | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Problem:
    """What is wrong between a client network and a service; times in nanoseconds since 1970."""

    severity: str  # the worst of its rules
    verdict: str  # fail, or warn where all rules only warn
    pair: Pair
    what: tuple[str, ...]  # in a few words for each rule, worst first
    rules: tuple[str, ...]
    findings: tuple[str, ...]  # their numbers in the table findings
    flows: int
    top_clients: tuple[tuple[str, int], ...]  # addresses with their flows, most first
    top_servers: tuple[tuple[str, int], ...]  # names or addresses
    clients: int
    servers: int
    first_seen: int
    last_seen: int
    sample_flows: tuple[int, ...]
    evidence: tuple[tuple[str, tuple[int, ...]], ...]  # captures with frames that prove it

    @property
    def who(self) -> str:
        """Who and what, in words."""
        service = f"{self.pair.service} {self.pair.region or ''}".rstrip()
        return f"{self.pair.client_group} → {service}" if self.pair.client_group else service

    def what_words(self, most: int | None = None) -> str:
        """What is wrong, the worst ``most`` of it; semicolons part what has a colon or comma inside."""
        some = self.what[:most]
        return ("; " if any(re.search("[:,] ", one) for one in some[:-1]) else ", ").join(some)


def problems(result: Results) -> list[Problem]:
    """The problems of an audit, worst first: severity, failures before warnings, most flows."""
    if not result.manifest["counts"]["findings"]:
        return []
    findings = result.rows("findings", *FINDING)
    bad = _bad(result)
    judged = set(bad.rules)  # the others' findings, and those of no client network, are about something else than flows
    others = [row for row in findings if row["client_group"] is None or row["rule"] not in judged]
    return sorted([*_of_flows(result, bad, findings), *map(_of_finding, others)], key=_rank)


def _rank(one: Problem) -> tuple[Any, ...]:
    worst = (-SEVERITIES.index(one.severity), -VERDICTS.index(one.verdict), -one.flows)
    group = one.pair.client_group  # in the order of addresses: 10.1.2.0/24 before 10.1.10.0/24
    return (*worst, _network(group) if group else (), one.pair.service, one.pair.region or "")


def _of_finding(row: Row) -> Problem:
    """A finding that is about no flows: a capture, a log, an address that several MACs claim."""
    return Problem(
        severity=row["severity"],
        verdict=row["verdict"],
        pair=Pair(row["client_group"], row["service"], row["region"]),
        what=(in_short(row["reason"], row["title"]),),
        rules=(row["rule"],),
        findings=(row["finding_id"],),
        flows=row["flows"],
        top_clients=(),
        top_servers=(),
        clients=row["clients"],
        servers=row["servers"],
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        sample_flows=(),
        evidence=((row["capture"], ()),) if row["capture"] else (),
    )


@dataclass(eq=False, repr=False)
class _Bad:
    """The rows of ``verdicts`` that fail or warn: flow, and numbers of rule, verdict and reason."""

    flow: Array
    rule: Array
    verdict: Array
    reason: Array
    rules: list[str]
    reasons: list[str]


def _bad(result: Results) -> _Bad:
    rules: dict[str, int] = {}
    reasons: dict[str, int] = {}
    parts: list[Array] = [np.zeros((4, 0), np.int64)]
    for batch in result.batches("verdicts", "flow_id", "rule", "verdict", "reason"):
        verdict, names = coded(batch.column("verdict"))
        rank = np.array([VERDICTS.index(name) for name in names] + [0])[verdict]
        at = np.flatnonzero(rank >= VERDICTS.index(BAD[0]))
        if len(at):
            flow = np.array(values(batch.column("flow_id")), np.int64)[at]
            rule, reason = (_numbered(batch.column(n), at, t) for n, t in (("rule", rules), ("reason", reasons)))
            parts.append(np.stack([flow, rule, rank[at], reason]))
    flow, rule, verdict, reason = np.concatenate(parts, axis=1)
    return _Bad(flow, rule, verdict, reason, list(rules), list(reasons))


def _numbered(column: Any, at: Array, known: dict[str, int]) -> Array:
    """The numbers of a batch's texts at ``at`` among all that are known; new ones are added."""
    codes, texts = coded(column)
    numbers = np.full(len(texts) + 1, -1)
    for code in (np.flatnonzero(np.bincount(codes[at] + 1)) - 1).tolist():  # np.unique would load numpy.ma
        text = texts[code] if code >= 0 else ""
        numbers[code] = known.setdefault(text or "", len(known))
    chosen: Array = numbers[codes[at]]
    return chosen


@dataclass(eq=False, repr=False)
class _ProblemFlows:
    """The flows of a pair that do not meet a rule."""

    flows: list[int] = field(default_factory=list)
    clients: Counter[str] = field(default_factory=Counter)
    servers: Counter[str] = field(default_factory=Counter)
    captures: dict[int, str] = field(default_factory=dict)  # of the first flows
    first: int = 0
    last: int = 0

    def add(self, row: Row) -> None:
        """Count a flow."""
        started = row["started"] or 0
        self.first = min(self.first, started) if self.flows else started
        self.last = max(self.last, started) if self.flows else started
        self.flows.append(row["flow_id"])
        self.clients[row["client_ip"]] += 1
        self.servers[row["server_name"] or row["server_ip"]] += 1


def _parties(result: Results, flow: Array) -> dict[Pair, _ProblemFlows]:
    """The flows of those numbers by who talks to what."""
    network = lru_cache(1 << 16)(client_group)
    parties: dict[Pair, _ProblemFlows] = {}
    for row in _rows(result, each_once(flow)):
        of_aws = row["service"] if row["aws_endpoint"] else None
        service = of_aws or row["server_name"] or row["server_ip"]
        pair = Pair(network(row["client_ip"]), service, row["region"] if row["aws_endpoint"] else None)
        parties.setdefault(pair, _ProblemFlows()).add(row)
    return parties


def _rows(result: Results, wanted: Array) -> Iterator[Row]:
    """The rows of ``flows`` of these numbers, which are sorted."""
    for batch in result.batches("flows", *FLOW):
        flow = np.array(values(batch.column("flow_id")), np.int64)
        place = np.minimum(np.searchsorted(wanted, flow), len(wanted) - 1)
        at = np.flatnonzero(wanted[place] == flow) if len(wanted) else np.zeros(0, int)
        columns = [values(batch.column(name)) for name in FLOW]
        for k in at.tolist():
            yield dict(zip(FLOW, (column[k] for column in columns), strict=True))


def _of_flows(result: Results, bad: _Bad, findings: list[Row]) -> Iterator[Problem]:
    parties = _parties(result, bad.flow)
    numbers = {flow: number for number, party in enumerate(parties.values()) for flow in party.flows}
    known = np.array(sorted(numbers), np.int64)
    if not len(known):
        return
    of_known = np.array([numbers[flow] for flow in known.tolist()], np.int64)
    party = of_known[np.minimum(np.searchsorted(known, bad.flow), len(known) - 1)]
    combos, index = distinct(party, bad.rule, bad.verdict, bad.reason)
    of_party: dict[int, list[tuple[int, int, int, int]]] = {}
    for (number, *combo), count in zip(combos.tolist(), np.bincount(index).tolist(), strict=True):
        of_party.setdefault(number, []).append((*combo, count))
    pages = {row["rule"]: row for row in findings}
    known_findings = KnownFindings(findings)
    for number, (pair, one) in enumerate(parties.items()):
        rows = [(bad.rules[rule], VERDICTS[v], bad.reasons[why], count) for rule, v, why, count in of_party[number]]
        yield _problem(pair, one, rows, pages, known_findings)


def _problem(
    pair: Pair,
    party: _ProblemFlows,
    rows: list[tuple[str, str, str, int]],
    pages: Mapping[str, Row],
    findings: "KnownFindings",
) -> Problem:
    """A problem; ``rows``: rule, verdict, reason and how many flows it is that of."""
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for rule, verdict, reason, count in rows:
        reasons.setdefault((rule, verdict), Counter())[reason] += count

    def rank(key: tuple[str, str]) -> tuple[int, int, str]:
        page = pages.get(key[0])
        return -SEVERITIES.index(page["severity"] if page else "info"), -VERDICTS.index(key[1]), key[0]

    ordered = sorted(reasons, key=rank)
    most = {key: _commonest(reasons[key]) for key in ordered}
    titles = {rule: pages[rule]["title"] if rule in pages else rule for rule, _ in ordered}
    about = [one for key in ordered if (one := findings.of(*key, pair)) is not None]
    flows = tuple(sorted(party.flows)[:SAMPLES])
    return Problem(
        severity=SEVERITIES[-rank(ordered[0])[0]],
        verdict="fail" if any(verdict == "fail" for _, verdict in ordered) else "warn",
        pair=pair,
        what=tuple(dict.fromkeys(in_short(most[key], titles[key[0]]) for key in ordered)),
        rules=tuple(dict.fromkeys(rule for rule, _ in ordered)),
        findings=tuple(dict.fromkeys(one["finding_id"] for one in about)),
        flows=len(party.flows),
        top_clients=tuple(_top(party.clients)),
        top_servers=tuple(_top(party.servers)),
        clients=len(party.clients),
        servers=len(party.servers),
        first_seen=party.first,
        last_seen=party.last,
        sample_flows=flows,
        evidence=_evidence([one for one in about if findings.is_exactly(one, pair)]),
    )


def _commonest(counts: Counter[str]) -> str:
    """What is counted most, the first by its text among equals."""
    return min(counts, key=lambda text: (-counts[text], text))


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMED]


def _evidence(findings: Sequence[Row]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The frames of each capture that prove some findings."""
    frames: dict[str, dict[int, None]] = {}
    for row in findings:
        for part in json.loads(row["evidence"] or "[]"):
            frames.setdefault(part["capture"], {}).update(dict.fromkeys(part["frames"]))
    return tuple((capture, tuple(some)) for capture, some in frames.items())


class KnownFindings:
    """The findings by what they are about, which may be more than one pair."""

    def __init__(self, findings: Sequence[Row]) -> None:
        self._about: dict[tuple[str, str, str, str | None], list[Row]] = {}
        for row in findings:
            self._about.setdefault((row["rule"], row["verdict"], row["service"], row["region"]), []).append(row)

    def of(self, rule: str, verdict: str, pair: Pair) -> Row | None:
        """The finding that a pair's flows are counted in: its own, else that of other services."""
        for service, region in ((pair.service, pair.region), (OTHERS, None)):
            rows = self._about.get((rule, verdict, service, region), ())
            found = next((row for row in rows if _covers(row["client_group"], pair)), None)
            if found is not None:
                return found
        return None

    @staticmethod
    def is_exactly(row: Row, pair: Pair) -> bool:
        """Whether a finding is about this pair alone."""
        return Pair(row["client_group"], row["service"], row["region"]) == pair


@lru_cache(1 << 16)
def _network(text: str) -> tuple[int, int, int]:
    return parse(text)


def _covers(group: str | None, pair: Pair) -> bool:
    """Whether a finding's client network holds that of a pair; findings of all networks have 0.0.0.0/0."""
    if group is None or pair.client_group is None:
        return group == pair.client_group
    version, network, length = _network(group)
    other, address, _ = _network(pair.client_group)
    if length == 0:
        return True
    return version == other and address >> ((32 if version == 4 else 128) - length) == network >> (
        (32 if version == 4 else 128) - length
    )


_FRAMES = re.compile(
    r" \(frame \d+(?: of (?:[^()]|\([^()]*\))*)?(?:, and \d+ more like it)?\)| \(and \d+ other reasons?\)"
)


# When something changed, before what did: that it did is enough in a few words.
_WHEN = re.compile(r"at [\d-]+ [\d:.]+ UTC.*?: (?=by )")
_ASIDE = re.compile(r" \([^)]*\)|, and as before again until .*")


@lru_cache(1 << 12)
def in_short(reason: str, title: str) -> str:
    """A reason in a few words: without frames, up to its first comma, semicolon or colon where these are enough."""
    plain = _FRAMES.sub("", reason)
    if (when := _WHEN.match(plain)) is not None:
        return _ASIDE.sub("", plain[when.end() :])
    head = re.split(r"; |, | \(|: (?=.{25})", plain, maxsplit=1)[0]
    if len(head.split()) > 1:
        return head
    return plain if len(plain) <= 40 else f"not met: {title}"


def frame(result: Results) -> "pd.DataFrame":
    """The problems as a DataFrame, worst first."""
    import pandas as pd

    rows = problems(result)

    def named(pairs: Sequence[tuple[str, int]]) -> str:
        return ", ".join(f"{name} ({count})" for name, count in pairs)

    times = {
        name: pd.to_datetime([getattr(one, name) for one in rows], utc=True) for name in ("first_seen", "last_seen")
    }
    texts = {
        "client_group": [one.pair.client_group for one in rows],
        "service": [one.pair.service for one in rows],
        "region": [one.pair.region for one in rows],
        "what": [one.what_words() for one in rows],
        "rules": [" ".join(one.rules) for one in rows],
        "findings": [" ".join(one.findings) for one in rows],
        "top_clients": [named(one.top_clients) for one in rows],
        "top_servers": [named(one.top_servers) for one in rows],
        "sample_flows": [" ".join(map(str, one.sample_flows)) for one in rows],
        "frames": [" ".join(f"{name}:{number}" for name, some in one.evidence for number in some) for one in rows],
    }
    numbers = {name: [getattr(one, name) for one in rows] for name in ("flows", "clients", "servers")}
    columns: dict[str, pd.Series[Any]] = {
        "severity": pd.Series(pd.Categorical([one.severity for one in rows], SEVERITIES, ordered=True)),
        "verdict": pd.Series(pd.Categorical([one.verdict for one in rows], VERDICTS, ordered=True)),
        **{name: pd.Series(some, dtype="string") for name, some in texts.items()},
        **{name: pd.Series(some, dtype="Int64") for name, some in numbers.items()},
        **{name: pd.Series(some.astype("datetime64[ns, UTC]")) for name, some in times.items()},
    }
    order = (
        *("severity", "verdict", "client_group", "service", "region", "what", "flows", "rules", "findings", "clients"),
        *("top_clients", "servers", "top_servers", "first_seen", "last_seen", "sample_flows", "frames"),
    )
    return pd.DataFrame({name: columns[name] for name in order})
