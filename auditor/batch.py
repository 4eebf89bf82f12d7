"""One batch of finished flows on its way through the rooms right of ``flows``: TLS, service, path, policy."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import tables
from auditor.aws import services
from auditor.aws.ranges import Ranges
from auditor.capture.inputs import Input
from auditor.columns import Column, Numbers, Texts, distinct, mixed
from auditor.decode.control import Control
from auditor.decode.packet import ESP
from auditor.flows.columns import Oriented, address_text, flow_columns, orient
from auditor.flows.rows import Rows, gather
from auditor.flows.state import (
    OVER_TCP,
    SEEN_SERVER_HELLO,
    UPGRADE_ASKED,
    UPGRADE_OFFERED,
    UPGRADE_REFUSED,
    Memory,
)
from auditor.paths.columns import evidence_table, hops, path_columns, seen_flows
from auditor.paths.judge import Judge, Judgement, concatenated
from auditor.paths.model import CONFIDENCE_NAMES, Flows
from auditor.paths.verdict import Verdict
from auditor.policy.evaluate import Evaluation, Subject
from auditor.policy.facts import DAY, NO, YES
from auditor.reading import Batch
from auditor.requests.columns import candidates, requests_table
from auditor.requests.cut import SMTP, Wanted
from auditor.requests.stage import NOT_KEPT, NOTHING_INSIDE, TOO_MANY, Inside, Seen, by_flow
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


BINS = 17  # of round-trip times, in each doubling
MOST_HELD = 1 << 18  # flows that wait for their capture's end


@dataclass
class Prepared:
    """A batch as far as its packets alone tell: columns, and what judging and the policy need."""

    rows: Rows
    ends: Oriented
    columns: dict[str, Column]
    shakes: dict[str, Any]
    offers: Numbers
    told: dict[str, Texts]  # of each handshake's server certificate
    delivery: Delivery
    place: Array  # index of each flow's handshake, -1 for none
    found: services.Services
    server_name: Array
    protocol: Array
    flows: Flows
    wanted: Wanted | None  # flows whose requests may be read, which has to wait for the capture's end
    reasons: Array  # why requests of a flow are not seen; None where they may be
    judgement: Judgement | None = None


@dataclass
class Pipeline:
    """What batches share: settings, and what is gathered over all of them."""

    judge: Judge
    ranges: Ranges
    evaluation: Evaluation
    inside: Inside = field(default_factory=Inside)
    shapes: Shapes = field(default_factory=Shapes)
    # (path, confidence, protocol or TLS version, verdict, in scope) -> flows
    summary: Counter[tuple[str, str, str, str, bool]] = field(default_factory=Counter)
    round_trips: "dict[str, Counter[int]]" = field(default_factory=dict)  # path -> bin -> flows
    _held: list[Prepared] = field(default_factory=list)  # wait for their paths
    _closed: list[Prepared] = field(default_factory=list)  # wait for their requests
    _control: Control = field(default_factory=Control)

    def run(self, batch: Batch) -> Iterator[tuple[str, pa.Table]]:
        """The tables of a batch, as (name, rows); none yet while its flows wait for what the capture shows later."""
        self.inside.learn(batch.source.name, batch.key_logs)
        self._held.append(self._prepare(batch))
        self._control = batch.control
        if not self.judge.waits or sum(len(p.flows) for p in self._held) >= MOST_HELD:
            yield from self._judge()
        if sum(len(p.flows) for p in self._closed) >= MOST_HELD:
            yield from self._open(None, TOO_MANY)

    def flush(self, source: Input | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Finish what was held: at the end of each capture. ``source`` can be read again where it was read whole."""
        yield from self._judge()
        yield from self._open(source, NOT_KEPT)

    def _judge(self) -> Iterator[tuple[str, pa.Table]]:
        """Judge the paths of what was held."""
        held, self._held = self._held, []
        if not held:
            return
        flows = concatenated([p.flows for p in held])
        judgement = self.judge.judge(flows, self._control)
        yield "evidence", evidence_table(flows, judgement.found)
        begin = 0
        for prepared in held:
            end = begin + len(prepared.flows)
            prepared.judgement = judgement.part(begin, end)
            if prepared.wanted is not None:
                self._closed.append(prepared)
            else:
                yield from self._finish(prepared, {}).items()
            begin = end

    def _open(self, source: Input | None, reason: str) -> Iterator[tuple[str, pa.Table]]:
        """Read the requests of what was held for them."""
        closed, self._closed = self._closed, []
        if not closed:
            return
        wanted = Wanted.joined([p.wanted for p in closed if p.wanted is not None])
        rows: list[dict[str, Any]] = []
        failure: str | None = reason
        if source is not None:
            rows, failure = self.inside.opened(source, wanted)
        requests = dict(by_flow(rows))
        for prepared in closed:
            assert prepared.wanted is not None
            for_http = prepared.wanted.kind != SMTP
            prepared.reasons[prepared.wanted.index[for_http]] = failure or NOTHING_INSIDE
            self._relate(prepared, requests)
        if rows:
            yield "requests", requests_table(requests)
        for prepared in closed:
            yield from self._finish(prepared, requests).items()

    def _relate(self, prepared: Prepared, requests: dict[int, list[dict[str, Any]]]) -> None:
        """Complete requests by what their flows say."""
        assert prepared.wanted is not None
        assert prepared.judgement is not None
        paths = prepared.judgement.verdict.path.objects()
        service, region = prepared.found.service.objects(), prepared.found.region.objects()
        for at, number in zip(prepared.wanted.index.tolist(), prepared.wanted.identifier.tolist(), strict=True):
            for row in requests.get(number, []):
                client = int(prepared.ends.client_high[at]), int(prepared.ends.client_low[at])
                flow = Seen(client, str(prepared.server_name[at]), paths[at], service[at], region[at])
                self.inside.relate(row, flow)

    def _prepare(self, batch: Batch) -> Prepared:
        rows, memory, capture, interfaces = batch.rows, batch.memory, batch.source.name, batch.interfaces
        ends = orient(rows)
        rows.flows["identifier"] += batch.first_flow
        rows.handshakes["flow"] += batch.first_flow
        at = rows.handshake_flow
        lost = (ends.client["lost"][at] != 0, ends.server["lost"][at] != 0)
        closed = rows.flows["closed"][at] != 0
        shakes = handshake_columns(rows.handshakes, memory, self.shapes, closed, lost)
        offers = shakes.pop("_offers_forward_secrecy")
        told = {name: shakes.pop(f"_{name}") for name in ("certificate_key", "certificate_weak")}
        delivery = deliveries(rows.handshakes, gather(ends.client, at), gather(ends.server, at))
        shakes |= delivery.columns(rows.handshakes["transport"] == OVER_TCP)
        columns = flow_columns(rows, ends, capture, interfaces)
        place = np.full(len(rows), -1)
        best = np.argsort((rows.handshakes["seen"] & np.uint32(SEEN_SERVER_HELLO)) == 0, kind="stable")[::-1]
        place[at[best]] = best  # of several handshakes of a flow the first that was answered, else the first
        for name in FROM_HANDSHAKE:
            columns[name] = shakes[name].take(place)
        application = np.where(
            rows.flows["ip_protocol"] == ESP, ESP_PROTOCOL, rows.flows["application"].astype(np.int64)
        )
        spoken = columns["protocol"] = Texts([PROTOCOL_NAMES.get(n) for n in range(256)], application)
        columns["upgrade"] = _upgrades(rows, place)
        columns["hops_out"], columns["hops_back"] = hops(ends.client), hops(ends.server)
        names, name_index = self._names(columns, rows, memory, place)
        found = services.find(names, name_index, ends.server_high, ends.server_low, self.ranges)
        for name in ("service", "region", "partition"):
            columns[name] = getattr(found, name)
        server_name, protocol = np.array([*names, None], object)[name_index], spoken.objects()
        flows = seen_flows(rows, ends, capture, interfaces, columns, protocol, server_name)
        wanted, reasons = candidates(self.inside, rows, ends, found, protocol)
        return Prepared(
            rows,
            ends,
            columns,
            shakes,
            offers,
            told,
            delivery,
            place,
            found,
            server_name,
            protocol,
            flows,
            wanted,
            reasons,
        )

    def _finish(self, prepared: Prepared, requests: dict[int, list[dict[str, Any]]]) -> dict[str, pa.Table]:
        """The tables of a batch whose paths are judged and requests read."""
        columns, judgement = prepared.columns, prepared.judgement
        assert judgement is not None
        columns |= path_columns(judgement)
        facts = self._facts(prepared, judgement, requests)
        who = self._subject(prepared, judgement, requests)
        worst, verdicts = self.evaluation.batch(facts, who)
        is_tls = facts["is_tls"]
        assert isinstance(is_tls, np.ndarray)
        columns["verdict"] = Texts(list(tables.VERDICTS), worst)
        version, spoken = columns["tls_version"], columns["protocol"]
        assert isinstance(version, Texts)
        assert isinstance(spoken, Texts)
        self._count_round_trips(prepared.rows.flows["round_trip"], judgement.verdict.path)
        self._summarise(judgement.verdict, version, spoken, is_tls, worst, prepared.found.is_endpoint)
        return {
            "flows": tables.build("flows", columns),
            "handshakes": tables.build("handshakes", prepared.shakes),
            "verdicts": verdicts,
        }

    @staticmethod
    def _subject(prepared: Prepared, judgement: Judgement, requests: dict[int, list[dict[str, Any]]]) -> Subject:
        """Whom a batch is about, and the frames that show it."""
        rows, ends, place, delivery = prepared.rows, prepared.ends, prepared.place, prepared.delivery
        has = place >= 0
        frames = np.zeros((len(rows), 7), np.int64)
        frames[:, 0] = np.where(ends.client["packets"] > 0, ends.client["first_frame"], ends.server["first_frame"])
        frames[has, 1] = rows.handshakes["client_frame"][place[has]]
        frames[has, 2] = rows.handshakes["server_frame"][place[has]]
        failed = has.copy()
        failed[has] = np.isin(delivery.outcome[place[has]], FAILURES)
        frames[failed, 3] = delivery.repeat_frame[place[failed]]
        frames[failed, 4] = delivery.reset_frame[place[failed]]
        changed = judgement.changed_time > 0
        frames[changed, 5] = np.maximum(ends.client["moved_frame"], ends.server["moved_frame"])[changed]
        if requests:
            for at, number in enumerate(rows.flows["identifier"].tolist()):
                if number in requests:
                    frames[at, 6] = requests[number][0]["frame"]

        def server(flow: int) -> str:
            name = prepared.server_name[flow]
            return name or address_text(int(ends.server_high[flow]), int(ends.server_low[flow]))

        return Subject(
            flow_id=rows.flows["identifier"],
            started=rows.flows["started"],
            server=server,
            server_number=np.unique(_server_keys(prepared), return_inverse=True)[1],
            service=prepared.found.service.objects(),
            client=ends.client_high ^ ends.client_low,
            client_high=ends.client_high,
            client_low=ends.client_low,
            frames=frames,
            capture=prepared.flows.capture,
        )

    def _count_round_trips(self, nanoseconds: Array, path: Texts) -> None:
        """Put round-trip times into bins, each 4 % wider than the one before."""
        known = nanoseconds > 0
        bins = np.floor(np.log2(nanoseconds[known]) * BINS).astype(np.int64)
        combos, index = distinct(path.index[known], bins)
        for (code, one), count in zip(combos.tolist(), np.bincount(index, minlength=len(combos)).tolist(), strict=True):
            self.round_trips.setdefault(str(path.values[code]), Counter())[one] += count

    def round_trip_table(self) -> list[dict[str, Any]]:
        """The distribution of round-trip times (SYN to the client's ACK) by path, in milliseconds."""
        rows = []
        for path, counted in sorted(self.round_trips.items()):
            bins = np.array(sorted(counted))
            total = np.cumsum([counted[one] for one in bins.tolist()])
            middle = 2 ** ((bins + 0.5) / BINS) / 1e6
            row: dict[str, Any] = {"path": path, "flows": int(total[-1])}
            for name, share in (("p5", 0.05), ("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
                row[f"{name}_ms"] = float(f"{middle[np.searchsorted(total, share * total[-1])]:.3g}")
            rows.append(row)
        return rows

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

    def _facts(
        self, prepared: Prepared, judgement: Judgement, requests: dict[int, list[dict[str, Any]]]
    ) -> dict[str, Array | Texts]:
        """What checks may ask of each flow (see ``policy.facts``)."""
        rows, ends, shakes, place = prepared.rows, prepared.ends, prepared.shakes, prepared.place
        delivery, found, paths = prepared.delivery, prepared.found, judgement.verdict
        upgrade, names, spoken = (prepared.columns[name] for name in ("upgrade", "server_name", "protocol"))
        assert isinstance(upgrade, Texts)
        assert isinstance(names, Texts)
        assert isinstance(spoken, Texts)
        has = place >= 0

        def text(name: str) -> Texts:
            column = (prepared.told if name in prepared.told else shakes)[name].take(place)
            assert isinstance(column, Texts)
            return column

        def three(column: Numbers) -> Array:
            return column.take(place).three_valued()

        version, offered = text("tls_version"), text("tls_version_offered")
        in_vpc = prepared.flows.mirrored | self.judge.network.vpcs.covers(ends.client_high, ends.client_low)
        server_hello = np.zeros(len(rows), bool)
        server_hello[has] = (rows.handshakes["seen"][place[has]] & np.uint32(SEEN_SERVER_HELLO)) != 0
        return {
            "day": rows.flows["started"] // DAY,
            "in_scope": found.is_endpoint,
            "is_pinpoint": found.is_pinpoint,
            "is_tls": np.array([name == "tls" for name in spoken.values] + [False])[spoken.index] | has,
            "has_handshake": has,
            "version": _ranks(version),
            "version_offered": _ranks(offered),
            "negotiated": server_hello,
            "version_name": version,
            "version_offered_name": offered,
            "forward_secrecy": three(shakes["forward_secrecy"]),
            "forward_secrecy_reason": text("forward_secrecy_reason"),
            "offers_forward_secrecy": three(prepared.offers),
            "protocol": Texts([*spoken.values, "tls"], np.where(has, len(spoken.values), spoken.index)),
            "has_payload": (ends.client["payload"] + ends.server["payload"]) > 0,
            "path": paths.path,
            "path_confidence": paths.confidence,
            "path_detail": paths.detail,
            "asymmetric": paths.asymmetric,
            "path_over": paths.over,
            "path_changed": judgement.changed,
            "source_outside": judgement.source_outside,
            "private_dns_missing": judgement.private_dns_missing,
            "other_region": judgement.other_region,
            "disagreement": judgement.disagreement,
            "service": found.service,
            "in_region": np.where(in_vpc, YES, NO),
            "imitates": found.imitates,
            "server_name": names,
            "status_reason": text("status_reason"),
            "upgrade": upgrade,
            "hello_outcome": np.where(has, Numbers(delivery.outcome).take(place).values, NOT_KNOWN),
            "hello_is_large": has & Numbers(delivery.is_large).take(place).values.astype(bool),
            "hello_reason": _reasons(delivery, place, rows, ends),
            "suite": text("cipher_suite"),
            "suites_offered": text("cipher_suites_offered"),
            "group": text("key_exchange_group"),
            "signature_scheme": text("signature_scheme"),
            "post_quantum_kind": text("post_quantum_kind"),
            "post_quantum_offered": three(shakes["post_quantum_offered"]),
            "compression": shakes["compression"].take(place).values,
            "extended_master_secret": three(shakes["extended_master_secret"]),
            "secure_renegotiation": three(shakes["secure_renegotiation"]),
            "authentication": text("authentication"),
            "certificate_key": text("certificate_key"),
            "certificate_weak": text("certificate_weak"),
            "certificate_matches": three(shakes["certificate_matches"]),
            "certificate_valid": three(shakes["certificate_valid"]),
            "requests": _of_flows(requests, rows.flows["identifier"]),
            "requests_reason": Texts.of(prepared.reasons),
        }

    def _summarise(
        self, paths: Verdict, version: Texts, protocol: Texts, is_tls: Array, worst: Array, scope: Array
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
                CONFIDENCE_NAMES[confidence],
                name or "-",
                tables.VERDICTS[verdict],
                bool(in_scope),
            )
            self.summary[key] += count


def _of_flows(requests: dict[int, list[dict[str, Any]]], identifiers: Array) -> Array:
    """The requests of each flow of a batch; None where none is known."""
    found = np.full(len(identifiers), None, object)
    if requests:
        for at, number in enumerate(identifiers.tolist()):
            found[at] = requests.get(number)
    return found


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


def _ranks(names: Texts) -> Array:
    """Ranks in VERSION_ORDER; -1 for missing and unknown versions."""
    rank = {name: number for number, name in enumerate(VERSION_ORDER)}
    return np.array([*(rank.get(name or "", -1) for name in names.values), -1])[names.index]


def _server_keys(prepared: Prepared) -> Array:
    """A number for each server: of its name, or of its address where it has none."""
    names, ends = prepared.columns["server_name"], prepared.ends
    assert isinstance(names, Texts)
    named = np.array([name is not None for name in names.values] + [False])[names.index]
    address = mixed(ends.server_high, ends.server_low) | np.uint64(1 << 63)
    return np.where(named, names.index.astype(np.uint64), address)
