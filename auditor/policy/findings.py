"""What fails, gathered into findings that people can act on: rule by rule, client network by client network, service by service."""

import ipaddress
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from auditor.decode import frames
from auditor.flows import frame_columns
from auditor.policy.model import Rule
from auditor.policy.reasons import Order, Reasons
from auditor.prefixes import V4_MAPPED, Prefix, parse_address
from auditor.tables import arrow, value_sets

Array = np.ndarray[Any, Any]
FurtherReasons = Mapping[str, Mapping[int, str]]  # what other flows show of some, by the check and the flow
NOTHING_FURTHER: FurtherReasons = {}
SAMPLES = 5  # flows of what is audited as one
MOST_PARTS = 101  # of captures that are audited apart, of which a finding has samples
MOST_COUNTED = 10_000  # clients and servers counted for one group
OTHERS = "(other services)"
# Lengths of a client's network, IPv4 and IPv6, from the narrowest to the widest.
WIDTHS = ((24, 64), (16, 48), (8, 32), (0, 0))


def client_group(address: str) -> str:
    """The network that a client is counted with: /24 of IPv4, /64 of IPv6."""
    return text_of(network_of(*parse_address(address)))


def text_of(network: Prefix, width: tuple[int, int] | None = None) -> str:
    """A network in the usual form, widened if need be."""
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


@dataclass(eq=False, repr=False)
class Subject:
    """What a batch is about: what findings are grouped and proven by."""

    flow_id: Array
    started: Array
    server: Callable[[int], str]  # a flow's server name, or address where it has none
    server_number: Array  # a small number for each of these
    server_flow: Array  # a flow of each server, by that number
    service: Callable[[int], tuple[str, str | None]]  # an endpoint's AWS service and Region, else the server and None
    group: Array  # a small number for each client network and service
    client: Callable[[int], str]  # a flow's client address
    client_number: Array  # a small number for each of these
    client_flow: Array  # a flow of each client, by that number
    client_high: Array
    client_low: Array
    frames: Array  # (n, k) frames that show the flow: first packet, ClientHello, ServerHello, …; 0 for none
    captures: Sequence[str]  # names of those that are audited as one, by the numbers that frames have

    def samples(self, flows: Array) -> dict[str, list["SampleFlow"]]:
        """The first of some flows of each part that is audited as one, by the name of its first capture."""
        whole = frame_columns.wholes(self.frames[flows, 0], self.captures)
        order = np.argsort(whole, kind="stable")
        begins = np.flatnonzero(np.diff(whole[order], prepend=-1))
        parts = np.split(flows[order], begins[1:])
        return {
            self.captures[int(whole[order[begin]])]: self._first(part)
            for begin, part in zip(begins.tolist(), parts, strict=True)
        }

    def _first(self, flows: Array) -> list["SampleFlow"]:
        """The first of some flows."""
        first = flows[np.lexsort((self.flow_id[flows], self.started[flows]))[:SAMPLES]]
        return [self.sample(flow) for flow in first.tolist()]

    def sample(self, flow: int) -> "SampleFlow":
        """A flow as a sample."""
        shown = ((frames.capture(frame), frames.number(frame)) for frame in self.frames[flow].tolist() if frame)
        return SampleFlow(
            (int(self.started[flow]), int(self.flow_id[flow])),
            tuple((self.captures[capture], number) for capture, number in shown),
        )

    def reasons(self, flows: Array, which: Array, texts: Array) -> Iterator[tuple[str, int, Order]]:
        """The reasons of some flows, of how many each is, and the first of these; ``which``: their numbers in ``texts``."""
        order = np.lexsort((self.flow_id[flows], self.started[flows]))
        numbers, first, counts = np.unique(which[order], return_index=True, return_counts=True)
        for number, at, count in zip(numbers.tolist(), flows[order][first].tolist(), counts.tolist(), strict=True):
            yield str(texts[number]), count, (int(self.started[at]), int(self.flow_id[at]))

    def servers(self, flows: Array) -> dict[int, str]:
        """The servers of some flows, by their numbers."""
        numbers = set(self.server_number[flows].tolist())
        return {number: self.server(int(self.server_flow[number])) for number in numbers}

    def counted(self, flows: Array) -> tuple[Counter[str], Counter[str]]:
        """How many of some flows each client and each server has."""
        names = self.servers(flows)
        servers: Counter[str] = Counter()
        for number, count in Counter(self.server_number[flows].tolist()).items():
            servers[names[number]] += count  # the name that one has may be the address of another one without
        clients = Counter(self.client_number[flows].tolist())
        return (
            Counter({self.client(int(self.client_flow[number])): count for number, count in clients.items()}),
            servers,
        )


class SampleFlow(NamedTuple):
    """A sample flow: when it began, which it is, and the captures and frames that show it."""

    order: Order
    frames: tuple[tuple[str, int], ...]

    @property
    def flow(self) -> int:
        return self.order[1]


@dataclass(eq=False, repr=False)
class Finding:
    """A rule that flows from a client network to a service do not meet."""

    rule: Rule
    verdict: int
    service: str
    region: str | None
    client: Prefix | None  # None where it is about no flows of one network
    about: str | None  # the capture that it is about, where it is not about flows
    first: int
    last: int
    flows: int = 0
    reasons: Reasons = field(default_factory=Reasons)
    servers: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[SampleFlow]] = field(default_factory=dict)  # the first flows of what is audited as one

    def add(self, flows: Array, which: Array, reasons: Array, subject: Subject) -> None:
        """Count flows of a batch; ``which``: the numbers of their reasons."""
        if len(flows) == 1:
            # As of most servers in a batch: for one flow, what is written for many takes ten times as long.
            self._add_one(flows, str(reasons[which[0]]), subject)
            return
        started = subject.started[flows]
        self.flows += len(flows)
        self.first, self.last = min(self.first, int(started.min())), max(self.last, int(started.max()))
        self.reasons.add(subject.reasons(flows, which, reasons))
        clients, servers = subject.counted(flows)
        self.clients.update(clients)
        self.servers.update(servers)
        self.clients, self.servers = _bounded(self.clients), _bounded(self.servers)
        for part, some in subject.samples(flows).items():
            self.samples[part] = sorted([*self.samples.get(part, []), *some])[:SAMPLES]

    def _add_one(self, flows: Array, reason: str, subject: Subject) -> None:
        """Count the one flow that there is."""
        flow = int(flows[0])
        sample = subject.sample(flow)
        started, _ = sample.order
        self.flows += 1
        self.first, self.last = min(self.first, started), max(self.last, started)
        self.reasons.add([(reason, 1, sample.order)])
        for counts, name in ((self.clients, subject.client(flow)), (self.servers, subject.server(flow))):
            counts[name] += 1
        self.clients, self.servers = _bounded(self.clients), _bounded(self.servers)
        part = subject.captures[int(frame_columns.wholes(subject.frames[flows, 0], subject.captures)[0])]
        self.samples[part] = sorted([*self.samples.get(part, []), sample])[:SAMPLES]

    def merged(self, other: "Finding") -> "Finding":
        """What both have counted of the same thing; the same whichever of them comes first."""
        both = replace(
            self,
            reasons=Reasons(),
            servers=Counter(self.servers),
            clients=Counter(self.clients),
            samples=dict(self.samples),
        )
        both.reasons.update(self.reasons)
        both.join(other)
        return both

    def join(self, *others: "Finding") -> None:
        """Take over what others, reported together with this one, have counted."""
        samples = {part: list(some) for part, some in self.samples.items()}
        for other in others:
            self.flows += other.flows
            self.first, self.last = min(self.first, other.first), max(self.last, other.last)
            for counts, more in ((self.servers, other.servers), (self.clients, other.clients)):
                for name, count in more.items():
                    counts[name] = counts.get(name, 0) + count
            for part, some in other.samples.items():
                samples.setdefault(part, []).extend(some)
        self.reasons.add((text, *known) for other in others for text, known in other.reasons.known.items())
        self.samples = {part: sorted(some)[:SAMPLES] for part, some in samples.items()}

    @property
    def order(self) -> Order:
        """What comes first of findings: the one with the first flow."""
        return min((some[0].order for some in self.samples.values()), default=(0, 0))

    @property
    def parts(self) -> list[tuple[str, list[SampleFlow]]]:
        """The sample flows by the captures that hold frames of them, in the order of the first ones."""
        captures: dict[str, dict[int, SampleFlow]] = {}
        for some in sorted(self.samples.values())[:MOST_PARTS]:
            for sample in some:
                for capture, _ in sample.frames:
                    captures.setdefault(capture, {})[sample.flow] = sample
        return [(capture, list(flows.values())) for capture, flows in captures.items()]

    @property
    def capture(self) -> str | None:
        """The capture that it is about, or that has the first of its sample flows."""
        return self.about or next((capture for capture, _ in self.parts), None)

    @property
    def evidence(self) -> str | None:
        """The sample flows of each capture with the frames that prove it, as JSON; None where it is about no flows."""
        entries = [
            {"capture": capture, "flows": [one.flow for one in some], "frames": _frames_of(some, capture)}
            for capture, some in self.parts
        ]
        return json.dumps(entries) if entries else None

    def reason(self, further: FurtherReasons) -> str:
        """The reason that most flows have, and how many others there are."""
        return self.reasons.words(further.get(self.rule.check, {})) or self.rule.title

    @property
    def sample_flows(self) -> list[int]:
        """The sample flows: of captures that are audited apart those of the first one."""
        return [sample.flow for sample in min(self.samples.values(), default=[])]

    @property
    def frames(self) -> list[int]:
        """The frames of the sample flows in ``capture``, each once."""
        return next((_frames_of(some, capture) for capture, some in self.parts), [])


def _bounded(counts: Counter[str]) -> Counter[str]:
    """Of very many the first by name, whatever the order in which they came."""
    return counts if len(counts) < 2 * MOST_COUNTED else _first(counts)


def _first(counts: Counter[str]) -> Counter[str]:
    """Of very many the first by name: of others not all that there were may have been counted."""
    return counts if len(counts) <= MOST_COUNTED else Counter(dict(sorted(counts.items())[:MOST_COUNTED]))


def top(counts: Mapping[str, int]) -> str | None:
    """The names with the most flows, each with how many: ``10.0.0.7 (120), 10.0.0.9 (4)``; None where there are none."""
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SAMPLES]
    return ", ".join(f"{name} ({count})" for name, count in most) or None


def _frames_of(samples: Iterable[SampleFlow], capture: str) -> list[int]:
    frames = (frame for sample in samples for name, frame in sample.frames if name == capture)
    return list(dict.fromkeys(frames))


def findings_table(
    findings: Sequence[Finding], policies: Mapping[str, str], further: FurtherReasons = NOTHING_FURTHER
) -> pa.Table:
    """The table ``findings``; ``policies``: the policy of each rule."""
    if not findings:
        return arrow.empty("findings")
    numbers: Counter[str] = Counter()
    identifiers = []
    for f in findings:
        numbers[f.rule.code] += 1
        identifiers.append(f"{f.rule.code}-{numbers[f.rule.code]}")
    return arrow.build(
        "findings",
        {
            "finding_id": identifiers,
            "rule": [f.rule.code for f in findings],
            "policy": [policies.get(f.rule.code) for f in findings],
            "title": [f.rule.title for f in findings],
            "severity": [f.rule.severity for f in findings],
            "verdict": [value_sets.VERDICTS[f.verdict] for f in findings],
            "client_group": [None if f.client is None else text_of(f.client) for f in findings],
            "service": [f.service for f in findings],
            "region": [f.region for f in findings],
            "reason": [f.reason(further) for f in findings],
            "flows": [f.flows for f in findings],
            "clients": [min(len(f.clients), MOST_COUNTED) for f in findings],
            "servers": [min(len(f.servers), MOST_COUNTED) for f in findings],
            "sample_servers": [" ".join(sorted(f.servers)[:SAMPLES]) for f in findings],
            "top_clients": [top(_first(f.clients)) for f in findings],
            "top_servers": [top(_first(f.servers)) for f in findings],
            "first_seen": [f.first for f in findings],
            "last_seen": [f.last for f in findings],
            "capture": [f.capture for f in findings],
            "sample_flows": [" ".join(map(str, f.sample_flows)) for f in findings],
            "sample_frames": [" ".join(map(str, f.frames)) for f in findings],
            "evidence": [f.evidence for f in findings],
        },
    )
