"""Judging the paths of flows: evidence of all kinds together, the verdict, and what else is odd about the way."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from auditor.decode.control import Control
from auditor.flows.oriented import address_text
from auditor.paths import evidence, sources, verdict
from auditor.paths.continued import continued
from auditor.paths.gathering import EvidenceGathering
from auditor.paths.model import LIKELY, NONE, Evidence, Flows, Ways, is_public
from auditor.paths.path_changes import moment, moves
from auditor.paths.path_totals import Contested, PathTotals
from auditor.paths.positions import Positions
from auditor.paths.site import Network
from auditor.paths.topology_mismatch import FramesShown
from auditor.paths.witness import mask_of
from auditor.paths.witnesses import Witnesses, WitnessThread
from auditor.prefixes import PrefixSet
from auditor.tables.columns import Texts

Array = np.ndarray[Any, Any]
MOST_PAIRS = 1 << 20  # pairs of client and server whose last path is remembered
# Nanoseconds between the same connection's first packets on both sides of a translator, and its last ones: who asks the same
# every few seconds has others of that size.
NAT_WITHIN = 1_000_000_000


@dataclass(frozen=True, eq=False, repr=False)
class Judgement:
    """What is said of the way of each flow. Texts are None, times 0 where there is nothing to report."""

    verdict: verdict.Verdict
    inside_aws: Array  # seen by a mirror inside of AWS
    changed_time: Array
    changed_frame: Array  # 0 where the change is not within the flow
    changed: Array  # what the path changed from, and when, in words
    source_carried: Array  # see ``sources.carried``
    source_open: Array  # why it is not known
    private_dns_missing: Array  # the endpoint whose addresses the name should have been answered with
    other_region: Array
    disagreement: Array

    def part(self, begin: int, end: int) -> "Judgement":
        """The judgement of some of the flows."""
        return Judgement(**{f.name: _cut(getattr(self, f.name), begin, end) for f in fields(self)})


def _cut(value: Any, begin: int, end: int) -> Any:
    """Some rows of all columns in a value."""
    if isinstance(value, np.ndarray):
        return value[begin:end]
    if isinstance(value, Texts):
        return Texts(value.values, value.index[begin:end])
    if isinstance(value, dict):
        return {name: _cut(item, begin, end) for name, item in value.items()}
    if isinstance(value, verdict.Verdict | verdict.Direction):
        return type(value)(**{f.name: _cut(getattr(value, f.name), begin, end) for f in fields(value)})
    return value


def concatenated(parts: Sequence[Flows]) -> Flows:
    """The flows of several batches of one capture as one."""
    if len(parts) == 1:
        return parts[0]

    begins = np.cumsum([0, *map(len, parts)]).tolist()
    return Flows(**{f.name: _joined([getattr(part, f.name) for part in parts], begins) for f in fields(Flows)})


def _joined(values: list[Any], begins: list[int]) -> Any:
    """One value of those of several batches; ``begins``: how many flows come before each."""
    first = values[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(values)
    if isinstance(first, Positions):
        return Positions.joined([p.shifted(by) for p, by in zip(values, begins, strict=False)])
    if isinstance(first, list):
        return max(values, key=len)  # names of interfaces, which become more
    if isinstance(first, Ways):
        return Ways(**{f.name: _joined([getattr(v, f.name) for v in values], begins) for f in fields(Ways)})
    if isinstance(first, dict):
        return {key: _joined([v[key] for v in values], begins) for key in first}
    return first


@dataclass(eq=False, repr=False)
class Judge:
    """Judges flows, capture after capture."""

    network: Network = field(default_factory=Network)
    coming: WitnessThread | None = None  # witnesses, where there are any
    totals: PathTotals = field(default_factory=PathTotals)
    _shown: FramesShown = field(default_factory=FramesShown)  # of the capture that is judged
    _last: "OrderedDict[tuple[Any, ...], tuple[str, int, str]]" = field(default_factory=OrderedDict)

    @property
    def compares_hosts(self) -> bool:
        """Whether flows of other hosts may decide a flow's path: those outside of a translator, those that a log is about."""
        return bool(self.network.topology.nat) or not self.witnesses.is_empty

    @property
    def waits(self) -> bool:
        """Whether flows should be judged once their capture has ended: what it shows of the network may come late."""
        return not self.network.is_empty or self.coming is not None

    @cached_property
    def witnesses(self) -> Witnesses:
        """The witnesses, once they are read."""
        return Witnesses() if self.coming is None else self.coming.taken()

    def check(self) -> None:
        """Raise what is wrong with the witnesses, as far as it is known."""
        if self.coming is not None:
            self.coming.check()

    def stop(self) -> None:
        """Nothing more will be judged."""
        if self.coming is not None:
            self.coming.stop()

    def judge(self, flows: Flows, control: Control) -> tuple[Judgement, list[Evidence]]:
        """What is said of the way of flows of one capture, and the evidence."""
        gathered = evidence.gather(continued(flows) if self.waits else flows, self.network, control)
        if not self.network.is_empty:
            self._shown.add(gathered)
            self._count_contests(gathered)
        items = gathered.evidence
        disagreement = np.full(len(flows), None, object)
        items += self.witnesses.evidence(flows, self.network, disagreement)
        for item in items:
            named = self.network.link(item.link)
            if item.kind == "sensor" and named is not None:
                item.mask = item.mask & gathered.ends.plausible(named)
        for item in items:
            if item.confidence > NONE and gathered.contested.any():
                item.mask = item.mask & ~gathered.contested
        over = self._carriers()
        items += _translated(flows, self.network, items, over, gathered.in_tunnels)
        decided = verdict.decide(gathered.flows, items, over, gathered.in_tunnels)
        link = decided.link.objects()
        carried, why = sources.carried(flows, self.network, decided)
        outside = carried == sources.OUTSIDE
        for name in set(link[outside].tolist()):
            text = "its source lies outside the prefixes that the interface may carry"
            frame = flows.ways["client"].frame
            items.append(
                Evidence(outside & (link == name), "client", "source", "direct-connect", NONE, text, name, frame)
            )
        when, frame, changed = self._changes(gathered, decided)
        judgement = Judgement(
            decided,
            gathered.inside_aws,
            when,
            frame,
            changed,
            carried,
            why,
            self._private_dns_missing(flows),
            self._other_region(flows, link),
            disagreement,
        )
        return judgement, items

    def warnings(self) -> list[str]:
        """What should be known of the topology and the capture that has ended, a sentence each."""
        shown, self._shown = self._shown, FramesShown()
        return shown.warnings()

    @property
    def shown(self) -> FramesShown:
        """What the frames that were judged look like."""
        return self._shown

    def has_shown(self, shown: FramesShown) -> None:
        """Somebody else has judged flows of the same capture, whose frames look like that."""
        self._shown = self._shown.merge(shown)

    def _count_contests(self, gathered: EvidenceGathering) -> None:
        for contest in gathered.learned.contests:
            times = [time for _, _, time, _ in contest.claims]
            contested = Contested(
                gathered.flows.captures[0], contest.text, gathered.contested_by(contest), min(times), max(times)
            )
            self.totals.add(address_text(*contest.address), contested)

    def _carriers(self) -> dict[str, str]:
        """The path of what carries each VPN, by its name."""
        paths = {}
        for vpn in self.network.topology.vpn:
            carrier = self.network.link(vpn.over)
            if carrier is not None:
                paths[vpn.name] = carrier.path
            elif vpn.over == "Direct Connect":
                paths[vpn.name] = "direct-connect"
        return paths

    def _changes(self, gathered: EvidenceGathering, decided: verdict.Verdict) -> tuple[Array, Array, Array]:
        """Paths that changed (time, frame, words): within a flow, or since the client's flow to the same server before.

        Compared are paths, not links: two virtual interfaces that share the load are no change.
        """
        flows = gathered.flows
        when, frame, words = moves(gathered)
        if not self.waits:  # frames alone show nothing but the internet
            return when, frame, words
        path, link = decided.path.objects(), decided.link.objects()
        known = (decided.confidence > NONE) & ~np.isin(decided.path.index, (verdict.UNKNOWN, verdict.PRIVATE))
        order = np.flatnonzero(known)
        for k in order[np.argsort(flows.started[order], kind="stable")].tolist():
            ends = (
                int(flows.client_high[k]),
                int(flows.client_low[k]),
                int(flows.server_high[k]),
                int(flows.server_low[k]),
            )
            before = self._last.pop(ends, None)
            if (
                before is not None and before[0] != path[k] and before[1] <= flows.started[k] and when[k] == 0
            ):  # not beside each other
                when[k] = flows.started[k]
                by = f"{before[0]}{f' ({before[2]})' if before[2] else ''}"
                words[k] = f"at {moment(int(when[k]))}: by {by} before, by {path[k]} now"
            self._last[ends] = path[k], int(flows.ended[k]), link[k] or ""
            if len(self._last) > MOST_PAIRS:
                self._last.popitem(last=False)
        return when, frame, words

    def _private_dns_missing(self, flows: Flows) -> Array:
        """Flows by a name that an endpoint's private DNS should have answered, to a public address."""
        missing = np.full(len(flows), None, object)
        public = is_public(flows.server_high, flows.server_low)
        for endpoint in self.network.topology.endpoint:
            if endpoint.private_dns and endpoint.service is not None:
                meant = public & (flows.service == endpoint.service) & (flows.region == endpoint.region)
                named = np.array([name is not None for name in flows.server_name.tolist()], bool)
                missing[meant & named] = endpoint.name
        return missing

    def _other_region(self, flows: Flows, link: Array) -> Array:
        """Flows to an interface endpoint in another Region than the VPC or virtual interface that they come from."""
        crossing = np.full(len(flows), None, object)
        for endpoint in self.network.topology.endpoint:
            if not endpoint.addresses or endpoint.region is None:
                continue
            to_it = PrefixSet(endpoint.addresses).covers(flows.server_high, flows.server_low)
            if not to_it.any():
                continue
            for vpc in self.network.topology.vpc:
                if vpc.region not in (None, endpoint.region):
                    here = to_it & PrefixSet(vpc.prefixes).covers(flows.client_high, flows.client_low)
                    crossing[here] = f"from {vpc.name} in {vpc.region} to {endpoint.name} in {endpoint.region}"
            for vif in self.network.topology.virtual_interface:
                if vif.region not in (None, endpoint.region):
                    crossing[to_it & (link == vif.name)] = (
                        f"over {vif.name} in {vif.region} to {endpoint.name} in {endpoint.region}"
                    )
            named = np.array([region not in (None, endpoint.region) for region in flows.region.tolist()], bool)
            crossing[to_it & named & (crossing == None)] = f"to {endpoint.name} in {endpoint.region}"  # noqa: E711
        return crossing


def _translated(
    flows: Flows, network: Network, items: list[Evidence], over: dict[str, str], in_tunnels: Array
) -> list[Evidence]:
    """Evidence that a flow inside a translator has from the same flow outside: same server, bytes and time."""
    added: list[Evidence] = []
    for nat in network.topology.nat:
        inner = np.flatnonzero(PrefixSet(nat.inside).covers(flows.client_high, flows.client_low))
        outer = np.flatnonzero(PrefixSet(nat.outside).covers(flows.client_high, flows.client_low))
        if not len(inner) or not len(outer):
            continue
        decided = verdict.decide(flows, items, over, in_tunnels)

        def key(k: int) -> tuple[int, ...]:
            columns = (flows.server_high, flows.server_low, flows.server_port, flows.ip_protocol)
            return tuple(int(c[k]) for c in (*columns, flows.client_payload, flows.server_payload))

        outside: dict[tuple[int, ...], list[int]] = {}
        for k in outer.tolist():
            outside.setdefault(key(k), []).append(k)
        pairs = {}
        for k in inner.tolist():
            near = [
                o
                for o in outside.get(key(k), [])
                if abs(int(flows.started[o]) - int(flows.started[k])) <= NAT_WITHIN
                and abs(int(flows.ended[o]) - int(flows.ended[k])) <= NAT_WITHIN
            ]
            if len(near) == 1:
                pairs[k] = near[0]
        used = Counter(pairs.values())
        pairs = {k: o for k, o in pairs.items() if used[o] == 1}  # of two that fit, nothing shows which it is
        for direction, way in decided.directions.items():
            of: dict[tuple[int, int], list[int]] = {}
            for k, o in pairs.items():
                if way.confidence[o] > NONE:
                    of.setdefault((int(way.best[o]), int(way.path[o])), []).append(k)
            for (best, path), rows in of.items():
                mask = mask_of(len(flows), rows)
                text = f"behind NAT {nat.name} the same flow has: {items[best].detail}"
                frame = flows.ways[direction].frame
                item = Evidence(mask, direction, "nat", verdict.PATHS[path], LIKELY, text, items[best].link, frame)
                added.append(item)
    return added
