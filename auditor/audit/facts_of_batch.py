"""What policies ask of a batch: facts of each flow, and whom findings are about."""

from typing import Any

import numpy as np

from auditor.audit.described import Prepared
from auditor.flows.oriented import Oriented, address_text
from auditor.flows.rows import Rows
from auditor.flows.state import SEEN_SERVER_HELLO
from auditor.paths.judge import Judgement
from auditor.policy.facts import DAY, NO, YES
from auditor.policy.findings import Subject, networks
from auditor.prefixes import PrefixSet
from auditor.tables.columns import Numbers, Texts, first_of_each, mixed
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.delivery import ANSWERED, FAILURES, NOT_KNOWN, Delivery

Array = np.ndarray[Any, Any]


def facts(
    prepared: Prepared, judgement: Judgement, requests: dict[int, list[dict[str, Any]]], vpcs: PrefixSet
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
    in_vpc = judgement.inside_aws | vpcs.covers(ends.client_high, ends.client_low)
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
        "path_seen": paths.seen,
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


def subject(prepared: Prepared, judgement: Judgement, requests: dict[int, list[dict[str, Any]]]) -> Subject:
    """Whom a batch is about, and the frames that show it."""
    rows, ends, place, delivery = prepared.rows, prepared.ends, prepared.place, prepared.delivery
    found, servers, has = prepared.found, _server_keys(prepared), place >= 0
    frames = np.zeros((len(rows), 7), np.int64)
    frames[:, 0] = np.where(ends.client["packets"] > 0, ends.client["first_frame"], ends.server["first_frame"])
    frames[has, 1] = rows.handshakes["client_frame"][place[has]]
    frames[has, 2] = rows.handshakes["server_frame"][place[has]]
    failed = has.copy()
    failed[has] = np.isin(delivery.outcome[place[has]], FAILURES)
    frames[failed, 3] = delivery.repeat_frame[place[failed]]
    frames[failed, 4] = delivery.reset_frame[place[failed]]
    changed = judgement.changed_time > 0
    frames[changed, 5] = judgement.changed_frame[changed]
    if requests:
        for at, number in enumerate(rows.flows["identifier"].tolist()):
            if number in requests:
                frames[at, 6] = requests[number][0]["frame"]

    _, server_flow, server_number = np.unique(servers, return_index=True, return_inverse=True)

    def server(flow: int) -> str:
        name = prepared.server_name[flow]
        return name or address_text(int(ends.server_high[flow]), int(ends.server_low[flow]))

    def service(flow: int) -> tuple[str, str | None]:
        if not found.is_endpoint[flow]:
            return server(flow), None
        return str(found.service.values[found.service.index[flow]]), found.region.values[found.region.index[flow]]

    return Subject(
        flow_id=rows.flows["identifier"],
        started=rows.flows["started"],
        server=server,
        server_number=server_number,
        server_flow=server_flow,
        service=service,
        group=first_of_each(
            networks(ends.client_high, ends.client_low),
            np.where(found.is_endpoint, 0, servers),
            np.where(found.is_endpoint, found.service.index, -1),
            np.where(found.is_endpoint, found.region.index, -1),
        )[1],
        client=ends.client_high ^ ends.client_low,
        client_high=ends.client_high,
        client_low=ends.client_low,
        frames=frames,
        capture=prepared.flows.capture,
    )


def _of_flows(requests: dict[int, list[dict[str, Any]]], identifiers: Array) -> Array:
    """The requests of each flow of a batch; None where none is known."""
    found = np.full(len(identifiers), None, object)
    if requests:
        for at, number in enumerate(identifiers.tolist()):
            found[at] = requests.get(number)
    return found


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
