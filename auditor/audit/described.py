"""A batch of finished flows as far as its packets alone tell: columns, handshakes, service."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.aws import services
from auditor.aws.ranges import Ranges
from auditor.decode.packet import ESP
from auditor.flows.oriented import Oriented, flow_columns, orient
from auditor.flows.rows import Rows, gather
from auditor.flows.state import (
    OVER_TCP,
    SEEN_SERVER_HELLO,
    UPGRADE_ASKED,
    UPGRADE_OFFERED,
    UPGRADE_REFUSED,
    Memory,
)
from auditor.paths.judge import Judgement
from auditor.paths.model import Flows
from auditor.paths.path_tables import hops, seen_flows
from auditor.reading.events import Batch
from auditor.recognise.numbers import ESP as ESP_PROTOCOL
from auditor.recognise.numbers import PROTOCOL_NAMES
from auditor.requests.cut import Wanted
from auditor.requests.inside import Inside
from auditor.requests.request_table import candidates
from auditor.tables.columns import Column, Numbers, Texts
from auditor.tls.delivery import Delivery, deliveries
from auditor.tls.handshakes import handshake_columns
from auditor.tls.interned import Shapes, names_of

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


def prepare(batch: Batch, shapes: Shapes, ranges: Ranges, inside: Inside) -> Prepared:
    """A batch of finished flows as columns, before paths are judged."""
    rows, memory, capture, interfaces = batch.rows, batch.memory, batch.source.name, batch.interfaces
    ends = orient(rows)
    rows.flows["identifier"] += batch.first_flow
    rows.handshakes["flow"] += batch.first_flow
    at = rows.handshake_flow
    lost = (ends.client["lost"][at] != 0, ends.server["lost"][at] != 0)
    closed = rows.flows["closed"][at] != 0
    shakes = handshake_columns(rows.handshakes, memory, shapes, closed, lost)
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
    application = np.where(rows.flows["ip_protocol"] == ESP, ESP_PROTOCOL, rows.flows["application"].astype(np.int64))
    spoken = columns["protocol"] = Texts([PROTOCOL_NAMES.get(n) for n in range(256)], application)
    columns["upgrade"] = _upgrades(rows, place)
    columns["hops_out"], columns["hops_back"] = hops(ends.client), hops(ends.server)
    names, name_index = _names(columns, rows, memory, place)
    found = services.find(names, name_index, ends.server_high, ends.server_low, ranges)
    for name in ("service", "region", "partition"):
        columns[name] = getattr(found, name)
    server_name, protocol = np.array([*names, None], object)[name_index], spoken.objects()
    aws = {
        "client": ranges.covers(ends.client_high, ends.client_low),
        "server": ranges.covers(ends.server_high, ends.server_low),
    }
    flows = seen_flows(rows, ends, capture, interfaces, columns, protocol, server_name, aws)
    wanted, reasons = candidates(inside, rows, ends, found, protocol)
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


def _names(columns: dict[str, Column], rows: Rows, memory: Memory, place: Array) -> tuple[list[str | None], Array]:
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
