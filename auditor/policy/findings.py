"""What fails, gathered into findings that people can act on: rule by rule, client network by client network, service by service."""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.policy.check import FAIL, WARN
from auditor.policy.model import Rule
from auditor.prefixes import V4_MAPPED, Prefix
from auditor.tables import arrow, schema

Array = np.ndarray[Any, Any]
SAMPLES = 5
MOST_SERVICES = 12  # of a rule; those with the fewest flows are told together
MOST_OF_RULE = 24  # findings of a rule: above that, client networks are widened
MOST_GATHERED = 20_000  # groups kept apart until then; what comes after is counted under its rule alone
MOST_COUNTED = 10_000  # clients, servers and reasons counted for one group
OTHERS = "(other services)"
# Lengths of a client's network, IPv4 and IPv6, from the narrowest to the widest.
WIDTHS = ((24, 64), (16, 48), (8, 32), (0, 0))
ANYWHERE: Prefix = (4, 0, 0)


def client_group(address: str) -> str:
    """The network that a client is counted with: /24 of IPv4, /64 of IPv6."""
    ip = ipaddress.ip_address(address)
    return text_of((ip.version, int(ip), ip.max_prefixlen), WIDTHS[0])


def text_of(network: Prefix, width: tuple[int, int] | None = None) -> str:
    """A network in the usual form, made wider if need be."""
    version, number, length = network if width is None else widened(network, width)
    address = ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)
    return f"{address}/{length}"


def widened(network: Prefix, width: tuple[int, int]) -> Prefix:
    """The network of that length around another, or that one where it is wider already."""
    version, number, length = network
    bits, wanted = (32, width[0]) if version == 4 else (128, width[1])
    if length <= wanted:
        return network
    return version, number >> (bits - wanted) << (bits - wanted), wanted


def network_of(high: int, low: int) -> Prefix:
    """The narrowest network that findings are about, around an address given by its halves."""
    is_v4 = high == 0 and low >> 32 == V4_MAPPED >> 32
    return widened((4, low & 0xFFFFFFFF, 32) if is_v4 else (6, high << 64 | low, 128), WIDTHS[0])


def networks(high: Array, low: Array) -> Array:
    """A number for each address that is equal within a /24 of IPv4 and a /64 of IPv6."""
    is_v4 = (high == 0) & (low >> np.uint64(32) == np.uint64(V4_MAPPED >> 32))
    return np.where(is_v4, low >> np.uint64(8), high)


@dataclass
class Subject:
    """Whom a batch is about: what findings are grouped and proven by."""

    flow_id: Array
    started: Array
    server: Callable[[int], str]  # a flow's server name, or address where it has none
    server_number: Array  # a small number for each of these
    server_flow: Array  # a flow of each server, by that number
    service: Callable[[int], tuple[str, str | None]]  # an endpoint's AWS service and Region, else the server and None
    group: Array  # a small number for each client network and service
    client: Array  # a number for each client address
    client_high: Array
    client_low: Array
    frames: Array  # (n, k) frames that show the flow: first packet, ClientHello, ServerHello, …; 0 for none
    capture: str

    def servers(self, flows: Array) -> dict[int, str]:
        """The servers of some flows, by their numbers."""
        numbers = set(self.server_number[flows].tolist())
        return {number: self.server(int(self.server_flow[number])) for number in numbers}


@dataclass
class Finding:
    """A rule that flows from a client network to a service do not meet."""

    rule: Rule
    verdict: int
    service: str
    region: str | None
    client: Prefix | None  # None where it is about no flows of one network
    capture: str
    first: int
    last: int
    flows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    servers: set[str] = field(default_factory=set)
    clients: set[Any] = field(default_factory=set)
    samples: dict[int, list[int]] = field(default_factory=dict)  # flows and the frames that show them

    def add(self, flows: Array, which: Array, reasons: Array, who: Subject) -> None:
        """Count flows of a batch; ``which``: the numbers of their reasons."""
        started = who.started[flows]
        self.flows += len(flows)
        self.first, self.last = min(self.first, int(started.min())), max(self.last, int(started.max()))
        if len(self.reasons) < MOST_COUNTED:
            for number, count in sorted(Counter(which.tolist()).items()):
                self.reasons[str(reasons[number])] += count
        if len(self.clients) < MOST_COUNTED:
            self.clients.update(who.client[flows].tolist())
        if len(self.servers) < MOST_COUNTED:
            self.servers.update(who.servers(flows).values())
        if self.capture == who.capture:
            for flow in flows[: SAMPLES - len(self.samples)].tolist():
                frames = who.frames[flow]
                self.samples[int(who.flow_id[flow])] = [int(frame) for frame in frames if frame]

    def join(self, other: "Finding") -> None:
        """Take over what another has counted."""
        self.flows += other.flows
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.reasons.update(other.reasons)
        self.servers |= other.servers
        self.clients |= other.clients
        if self.capture == other.capture:
            for flow, frames in list(other.samples.items())[: SAMPLES - len(self.samples)]:
                self.samples[flow] = frames

    @property
    def reason(self) -> str:
        """The reason that most flows have, and how many others there are."""
        if not self.reasons:
            return self.rule.title
        most, rest = self.reasons.most_common(1)[0][0], len(self.reasons) - 1
        return most if not rest else f"{most} (and {rest} other reason{'s' if rest > 1 else ''})"

    @property
    def frames(self) -> list[int]:
        """The frames of the sample flows, each once."""
        return list(dict.fromkeys(frame for frames in self.samples.values() for frame in frames))


def _members(group: Array, members: Array) -> list[Array]:
    """The members of each group, in their order; ``group``: a small number for each."""
    counts = np.bincount(group)
    some = np.flatnonzero(counts)
    if len(some) == 1:
        return [members]
    order = np.argsort(group.astype(np.int32), kind="stable")
    return np.split(members[order], np.cumsum(counts[some])[:-1])


Key = tuple[str, int, str, str | None, Prefix | None]  # rule, verdict, service, Region, client network


class Findings:
    """The findings of an audit: gathered batch by batch, told in tens at its end."""

    def __init__(self) -> None:
        self.gathered: dict[Key, Finding] = {}
        self.count = 0  # of those that the table told
        self.capped = False

    def gather(self, rule: Rule, at: Array, verdict: Array, which: Array, reasons: Array, who: Subject) -> None:
        """Add the flows of a batch that do not meet a rule, group by group.

        ``at``: the flows that the rule is about, ``verdict`` and ``which``: their verdicts and numbers of ``reasons``.
        """
        bad = np.flatnonzero((verdict == FAIL) | (verdict == WARN))
        if not len(bad):
            return
        beyond: dict[int, list[Array]] = {}
        for members in _members(who.group[at[bad]] * len(schema.VERDICTS) + verdict[bad], bad):
            first, told = int(at[members[0]]), int(verdict[members[0]])
            client = network_of(int(who.client_high[first]), int(who.client_low[first]))
            key = (rule.code, told, *who.service(first), client)
            if key not in self.gathered and len(self.gathered) >= MOST_GATHERED:
                beyond.setdefault(told, []).append(members)
            else:
                self._add(key, rule, at[members], which[members], reasons, who)
        for told, parts in beyond.items():
            self.capped, members = True, np.concatenate(parts)
            self._add((rule.code, told, OTHERS, None, ANYWHERE), rule, at[members], which[members], reasons, who)

    def _add(self, key: Key, rule: Rule, flows: Array, which: Array, reasons: Array, who: Subject) -> None:
        found = self.gathered.get(key)
        if found is None:
            begun = int(who.started[flows[0]])
            found = self.gathered[key] = Finding(rule, *key[1:], who.capture, begun, begun)
        found.add(flows, which, reasons, who)

    def tell(self, found: Finding) -> None:
        """Add a finding that is about something else than the flows of a client network."""
        key = (found.rule.code, found.verdict, found.service, found.region, found.client)
        if key in self.gathered:
            self.gathered[key].join(found)
        else:
            self.gathered[key] = found

    def ordered(self) -> list[Finding]:
        """The findings in tens, worst first: severity, failures before warnings, most flows."""
        rules: dict[tuple[str, int], list[Finding]] = {}
        for found in self.gathered.values():
            rules.setdefault((found.rule.code, found.verdict), []).append(found)
        return sorted(
            (found for some in rules.values() for found in _in_tens(some)),
            key=lambda f: (
                *(-schema.SEVERITIES.index(f.rule.severity), -f.verdict, -f.flows, f.rule.code, f.service),
                *(f.region or "", f.client or ANYWHERE),
            ),
        )

    def table(self, policies: dict[str, str]) -> pa.Table:
        """The table ``findings``; ``policies``: the policy of each rule."""
        found = self.ordered()
        self.count = len(found)
        if not found:
            return arrow.empty("findings")
        numbers: Counter[str] = Counter()
        identifiers = []
        for f in found:
            numbers[f.rule.code] += 1
            identifiers.append(f"{f.rule.code}-{numbers[f.rule.code]}")
        return arrow.build(
            "findings",
            {
                "finding_id": identifiers,
                "rule": [f.rule.code for f in found],
                "policy": [policies.get(f.rule.code) for f in found],
                "title": [f.rule.title for f in found],
                "severity": [f.rule.severity for f in found],
                "verdict": [schema.VERDICTS[f.verdict] for f in found],
                "client_group": [None if f.client is None else text_of(f.client) for f in found],
                "service": [f.service for f in found],
                "region": [f.region for f in found],
                "reason": [f.reason for f in found],
                "flows": [f.flows for f in found],
                "clients": [len(f.clients) for f in found],
                "servers": [len(f.servers) for f in found],
                "sample_servers": [" ".join(sorted(f.servers)[:SAMPLES]) for f in found],
                "first_seen": [f.first for f in found],
                "last_seen": [f.last for f in found],
                "capture": [f.capture for f in found],
                "sample_flows": [" ".join(map(str, f.samples)) for f in found],
                "sample_frames": [" ".join(map(str, f.frames)) for f in found],
            },
        )


def _in_tens(found: Sequence[Finding]) -> Iterable[Finding]:
    """The findings of one rule, not too many: services with few flows are told together, then networks are widened."""
    flows: Counter[tuple[str, str | None]] = Counter()
    for one in found:
        flows[one.service, one.region] += one.flows
    kept = set(flows)
    if len(kept) > MOST_SERVICES:
        ordered = sorted(flows, key=lambda key: (key[0] == OTHERS, -flows[key], key[0], key[1] or ""))
        kept = set(ordered[: MOST_SERVICES - 1])
    groups: dict[tuple[str, str | None, Prefix | None], list[Finding]] = {}
    for width in WIDTHS:
        groups = {}
        for one in found:
            service = (one.service, one.region) if (one.service, one.region) in kept else (OTHERS, None)
            client = None if one.client is None else widened(one.client, width)
            groups.setdefault((*service, client), []).append(one)
        if len(groups) <= MOST_OF_RULE:
            break
    return [_joined(some, *key) for key, some in groups.items()]


def _joined(some: list[Finding], service: str, region: str | None, client: Prefix | None) -> Finding:
    """Findings of one rule as one, about what they have in common."""
    first = some[0]
    if len(some) == 1:
        return first
    found = Finding(first.rule, first.verdict, service, region, client, first.capture, first.first, first.last)
    for one in some:
        found.join(one)
    return found
