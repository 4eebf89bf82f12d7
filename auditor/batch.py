"""One batch of finished flows on its way through the rooms right of ``flows``: TLS, service, path, policy."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import tables
from auditor.aws import services
from auditor.aws.ranges import Ranges
from auditor.columns import Column, Numbers, Texts, distinct
from auditor.decode.packet import ESP
from auditor.flows.columns import Oriented, address_text, flow_columns, orient
from auditor.flows.rows import Rows
from auditor.flows.state import (
    OVER_TCP,
    SEEN_SERVER_HELLO,
    UPGRADE_ASKED,
    UPGRADE_OFFERED,
    UPGRADE_REFUSED,
    Memory,
)
from auditor.paths import evidence
from auditor.paths.topology import Topology, inside
from auditor.policy.checks import NO, UNKNOWN, YES, Facts
from auditor.policy.evaluate import Evaluation, Subject
from auditor.tls.delivery import ANSWERED, FAILURES, NOT_KNOWN, Delivery, deliveries
from auditor.tls.handshakes import Shapes, handshake_columns, names_of
from auditor.tls.names import VERSION_ORDER
from auditor.tls.protocols import ESP as ESP_PROTOCOL
from auditor.tls.protocols import PROTOCOL_NAMES

Array = np.ndarray[Any, Any]

# Columns of ``flows`` that are the handshake's.
FROM_HANDSHAKE = (
    "tls_version",
    "cipher_suite",
    "key_exchange_group",
    "forward_secrecy",
    "post_quantum",
    "resumed",
    "established",
    "ja3",
    "ja3s",
    "ja4",
)


@dataclass
class Pipeline:
    """What batches share: settings, and what is gathered over all of them."""

    topology: Topology
    ranges: Ranges
    evaluation: Evaluation
    shapes: Shapes = field(default_factory=Shapes)
    # (path, confidence, protocol or TLS version, verdict, in scope) -> flows
    summary: Counter[tuple[str, str, str, str, bool]] = field(default_factory=Counter)

    def run(
        self, rows: Rows, memory: Memory, capture: str, interfaces: list[str | None], first_flow: int
    ) -> dict[str, pa.Table]:
        """The tables of a batch. ``first_flow`` is added to flow numbers (flows of captures before this one)."""
        ends = orient(rows)
        rows.flows["identifier"] += first_flow
        rows.handshakes["flow"] += first_flow
        at = rows.handshake_flow
        lost = (ends.client["lost"][at] != 0, ends.server["lost"][at] != 0)
        closed = rows.flows["closed"][at] != 0
        shakes = handshake_columns(rows.handshakes, memory, self.shapes, closed, lost)
        offers = shakes.pop("_offers_forward_secrecy")
        delivery = deliveries(rows.handshakes, ends.client[at], ends.server[at])
        shakes |= delivery.columns(rows.handshakes["transport"] == OVER_TCP)
        columns = flow_columns(rows, ends, capture, interfaces)
        place = np.full(len(rows), -1)
        best = np.argsort((rows.handshakes["seen"] & np.uint32(SEEN_SERVER_HELLO)) == 0, kind="stable")[::-1]
        place[at[best]] = best  # of several handshakes of a flow the first that was answered, else the first
        has = place >= 0
        for name in FROM_HANDSHAKE:
            columns[name] = shakes[name].take(place)
        application = np.where(
            rows.flows["ip_protocol"] == ESP, ESP_PROTOCOL, rows.flows["application"].astype(np.int64)
        )
        columns["protocol"] = Texts([PROTOCOL_NAMES.get(n) for n in range(256)], application)
        upgrade = columns["upgrade"] = _upgrades(rows, place)
        names, name_index = self._names(columns, rows, memory, place)
        found = services.find(names, name_index, ends.server_high, ends.server_low, self.ranges)
        for name in ("service", "region", "partition"):
            columns[name] = getattr(found, name)
        mirrored = evidence.is_mirror(ends.client["tunnel"]) | evidence.is_mirror(ends.server["tunnel"])
        paths, evidence_table = self._paths(rows, ends, mirrored, interfaces)
        columns["path"] = paths.path
        columns["path_confidence"] = Texts(list(evidence.CONFIDENCE_NAMES), paths.confidence)
        columns["path_detail"] = paths.detail
        columns["path_asymmetric"] = Numbers(paths.asymmetric == YES, paths.asymmetric == UNKNOWN)

        spoken, version = columns["protocol"], columns["tls_version"]
        assert isinstance(spoken, Texts)
        assert isinstance(version, Texts)
        protocol = spoken.objects()
        server_name = np.array([*names, None], object)[name_index]
        facts = self._facts(
            rows, ends, shakes, offers, place, protocol, paths, found, mirrored, server_name, delivery, upgrade
        )
        frames = np.zeros((len(rows), 5), np.int64)
        frames[:, 0] = np.where(ends.client["packets"] > 0, ends.client["first_frame"], ends.server["first_frame"])
        frames[has, 1] = rows.handshakes["client_frame"][place[has]]
        frames[has, 2] = rows.handshakes["server_frame"][place[has]]
        failed = has.copy()
        failed[has] = np.isin(delivery.outcome[place[has]], FAILURES)
        frames[failed, 3] = delivery.repeat_frame[place[failed]]
        frames[failed, 4] = delivery.reset_frame[place[failed]]

        def server(flow: int) -> str:
            return server_name[flow] or address_text(int(ends.server_high[flow]), int(ends.server_low[flow]))

        who = Subject(
            flow_id=rows.flows["identifier"],
            started=rows.flows["started"],
            server=server,
            service=found.service.objects(),
            client=ends.client_high ^ ends.client_low,
            frames=frames,
            in_scope=found.is_endpoint,
            is_pinpoint=found.is_pinpoint,
            capture=capture,
        )
        worst, verdicts = self.evaluation.batch(facts, who)
        columns["verdict"] = Texts(list(tables.VERDICTS), worst)
        self._summarise(paths, version, spoken, facts.is_tls, worst, found.is_endpoint)
        return {
            "flows": tables.build("flows", columns),
            "handshakes": tables.build("handshakes", shakes),
            "evidence": evidence_table,
            "verdicts": verdicts,
        }

    def _names(
        self, columns: dict[str, Column], rows: Rows, memory: Memory, place: Array
    ) -> tuple[list[str | None], Array]:
        """Fill in server names: SNI, else the HTTP Host, else what DNS answered. Returns (names, index of each flow)."""
        number = np.zeros(len(rows), np.int64)
        source = np.full(len(rows), -1)
        sni = np.zeros(len(rows), np.int64)
        sni[place >= 0] = rows.handshakes["server_name"][place[place >= 0]]
        for code, ids in ((1, rows.flows["dns"]), (2, rows.flows["host"]), (0, sni)):
            known = ids > 0
            number[known], source[known] = ids[known], code
        values, index = np.unique(number, return_inverse=True)
        names = names_of(memory, values)
        columns["server_name"] = Texts(names, index)
        columns["server_name_source"] = Texts(["sni", "dns", "host"], source)
        return names, index

    def _paths(
        self, rows: Rows, ends: Oriented, mirrored: Array, interfaces: list[str | None]
    ) -> tuple[evidence.Verdict, pa.Table]:
        names = np.array([*interfaces, None], object)

        def ways(side: Array, hop: str) -> evidence.Ways:
            which = side["interface"]
            which = np.where((which < 0) | (which >= len(interfaces)), len(interfaces), which)
            return evidence.Ways(
                seen=side["packets"] > 0,
                next_hop=side[hop],
                vlans=side["vlans"],
                vlan_count=side["vlan_count"],
                tunnel=side["tunnel"],
                interface=names[which],
                frame=side["first_frame"],
            )

        both = {"client": ways(ends.client, "target_mac"), "server": ways(ends.server, "source_mac")}
        points = evidence.Ends(
            ends.client_high, ends.client_low, ends.server_high, ends.server_low, rows.flows["pppoe"] != 0
        )
        found = evidence.gather(points, both, self.topology, mirrored)
        return evidence.decide(points, both, found), self._evidence_table(rows, both, found)

    @staticmethod
    def _evidence_table(rows: Rows, ways: dict[str, evidence.Ways], found: list[evidence.Evidence]) -> pa.Table:
        if not found:
            return tables.empty("evidence")
        at = [np.flatnonzero(item.mask) for item in found]
        which = np.repeat(np.arange(len(found)), [len(a) for a in at])
        every = np.concatenate(at)
        frames = np.concatenate([ways[item.direction].frame[a] for item, a in zip(found, at, strict=True)])
        order = np.lexsort((which, every))
        which, every = which[order], every[order]
        return tables.build(
            "evidence",
            {
                "flow_id": rows.flows["identifier"][every],
                "direction": Texts([item.direction for item in found], which),
                "kind": Texts([item.kind for item in found], which),
                "path": Texts([item.path for item in found], which),
                "confidence": Texts([evidence.CONFIDENCE_NAMES[item.confidence] for item in found], which),
                "detail": Texts([item.detail for item in found], which),
                "frame": frames[order],
            },
        )

    def _facts(
        self,
        rows: Rows,
        ends: Oriented,
        shakes: dict[str, Any],
        offers: Numbers,
        place: Array,
        protocol: Array,
        paths: evidence.Verdict,
        found: services.Services,
        mirrored: Array,
        server_name: Array,
        delivery: Delivery,
        upgrade: Texts,
    ) -> Facts:
        has = place >= 0

        def text(name: str) -> Array:
            return np.asarray(shakes[name].take(place).objects())

        def three(column: Numbers) -> Array:
            return column.take(place).three_valued()

        version, offered = text("tls_version"), text("tls_version_offered")
        status_reason = text("status_reason")
        in_vpc = mirrored | inside(
            [p for vpc in self.topology.vpc for p in vpc.prefixes], ends.client_high, ends.client_low
        )
        server_hello = np.zeros(len(rows), bool)
        server_hello[has] = (rows.handshakes["seen"][place[has]] & np.uint32(SEEN_SERVER_HELLO)) != 0
        return Facts(
            started=rows.flows["started"],
            is_tls=(protocol == "tls") | has,
            has_handshake=has,
            version=_ranks(version),
            version_offered=_ranks(offered),
            negotiated=server_hello,
            version_name=version,
            version_offered_name=offered,
            forward_secrecy=three(shakes["forward_secrecy"]),
            forward_secrecy_reason=text("forward_secrecy_reason"),
            offers_forward_secrecy=three(offers),
            protocol=np.where(has, "tls", protocol),
            has_payload=(ends.client["payload"] + ends.server["payload"]) > 0,
            path=paths.path.objects(),
            path_confidence=paths.confidence,
            path_detail=paths.detail.objects(),
            asymmetric=paths.asymmetric,
            service=found.service.objects(),
            in_region=np.where(in_vpc, YES, NO),
            imitates=found.imitates,
            server_name=server_name,
            status_reason=status_reason,
            upgrade=upgrade.objects(),
            hello_outcome=np.where(has, Numbers(delivery.outcome).take(place).values, NOT_KNOWN),
            hello_is_large=has & Numbers(delivery.is_large).take(place).values.astype(bool),
            hello_reason=_reasons(delivery, place, rows, ends),
        )

    def _summarise(
        self, paths: evidence.Verdict, version: Texts, protocol: Texts, is_tls: Array, worst: Array, scope: Array
    ) -> None:
        """Count the batch's flows by path, confidence, version or protocol, verdict and scope."""
        known = np.array([v is not None for v in version.values] + [False])[version.index]
        combos, index = distinct(
            paths.path.index,
            paths.confidence,
            np.where(known, version.index + 1, 0),
            np.where(known, 0, np.where(is_tls, 256, protocol.index)),
            worst,
            scope,
        )
        counts = np.bincount(index, minlength=len(combos)).tolist()
        for (path, confidence, negotiated, spoken, verdict, in_scope), count in zip(
            combos.tolist(), counts, strict=True
        ):
            name = (
                version.values[negotiated - 1] if negotiated else "TLS ?" if spoken == 256 else protocol.values[spoken]
            )
            key = (
                str(paths.path.values[path]),
                evidence.CONFIDENCE_NAMES[confidence],
                name or "-",
                tables.VERDICTS[verdict],
                bool(in_scope),
            )
            self.summary[key] += count


def _upgrades(rows: Rows, place: Array) -> Texts:
    """Whether TLS was used within another protocol, or was offered, asked for or refused by one that stayed in clear."""
    bits, has = rows.flows["upgrade"], place >= 0
    used = Numbers(rows.handshakes["upgraded"] != 0).take(place).values.astype(bool) & has
    return Texts(
        ["used", "refused", "asked, not used", "offered, not used"],
        np.select(
            [used, has, bits & UPGRADE_REFUSED != 0, bits & UPGRADE_ASKED != 0, bits & UPGRADE_OFFERED != 0],
            [0, -1, 1, 2, 3],
            -1,
        ),
    )


def _reasons(delivery: Delivery, place: Array, rows: Rows, ends: Oriented) -> Array:
    """What became of the hellos of flows whose hello may not have got through, in words; None for the others."""
    shakes, at = rows.handshakes, rows.handshake_flow
    clients, servers = ends.client_high[at] ^ ends.client_low[at], ends.server_high[at] ^ ends.server_low[at]
    found = np.full(len(place), None, object)
    has = np.flatnonzero(place >= 0)
    for flow in has[np.isin(delivery.outcome[place[has]], FAILURES)].tolist():
        k = int(place[flow])
        same = (clients == clients[k]) & (servers == servers[k]) & (shakes["started"] > shakes["started"][k])
        smaller = same & (delivery.outcome == ANSWERED) & (delivery.sent < delivery.sent[k])
        found[flow] = delivery.reason(k)
        if smaller.any():
            other = int(np.flatnonzero(smaller)[0])
            found[flow] += (
                f"; a smaller one of {delivery.sent[other]} bytes (frame {shakes['client_frame'][other]}) was answered"
            )
    return found


def _ranks(names: Array) -> Array:
    """Ranks in VERSION_ORDER; -1 for missing and unknown versions."""
    rank = {name: number for number, name in enumerate(VERSION_ORDER)}
    values, index = np.unique(names.astype(str), return_inverse=True)
    return np.array([rank.get(v, -1) for v in values.tolist()])[index] if len(names) else np.zeros(0, int)
