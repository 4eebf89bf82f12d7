"""First stage: what the packets of a batch of finished flows alone show: columns, handshakes, service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.aws import services
from auditor.aws.ranges import Ranges
from auditor.decode.packet import ESP
from auditor.flows.oriented import Oriented, flow_columns, orient
from auditor.flows.rows import Rows, gather
from auditor.flows.state import (
    CLOSED,
    OVER_TCP,
    SEEN_SERVER_HELLO,
    UPGRADE_ASKED,
    UPGRADE_OFFERED,
    UPGRADE_REFUSED,
    Memory,
)
from auditor.paths.model import Flows
from auditor.paths.path_tables import hops, seen_flows
from auditor.reading.events import Batch
from auditor.recognise import commands
from auditor.recognise.numbers import ESP as ESP_PROTOCOL
from auditor.recognise.numbers import PROTOCOL_NAMES, SSH_WEAK, UNSEEN_BEGINNING, spoken_names
from auditor.requests.inside import FlowOpener
from auditor.requests.request_table import Candidates, candidates, chosen_before
from auditor.tables.columns import MISSING, Column, Numbers, Texts
from auditor.tls.delivery import Delivery, deliveries
from auditor.tls.handshakes import HandshakeColumns, handshake_columns
from auditor.tls.interned import Shapes, names_of, texts_of

Array = np.ndarray[Any, Any]

UNKNOWN_PROTOCOL = "a protocol that is not known"
SAID = {commands.LOGIN: "a log-in", commands.COMMANDS: "commands", commands.WORDS: "text"}  # the worst first
SAID |= {commands.UNSEEN: UNSEEN_BEGINNING}
NEGOTIATED = ("tls_version", "cipher_suite", "key_exchange_group")
# Columns of ``flows`` that are the handshake's.
FROM_HANDSHAKE = (
    *NEGOTIATED,
    "forward_secrecy",
    "post_quantum",
    "resumed",
    "established",
    "ja3",
    "ja3s",
    "ja4",
)


@dataclass(frozen=True, eq=False, repr=False)
class Described:
    """A batch of finished flows, described by its packets alone."""

    size: int  # about how many bytes of tables it makes
    rows: Rows
    ends: Oriented
    columns: Mapping[str, Column]  # of ``flows``, as far as packets decide them: nobody but the table reads them
    handshakes: HandshakeColumns
    delivery: Delivery  # of each handshake's ClientHello
    handshake: Array  # the number of each flow's handshake, -1 for none
    tls_version: Texts  # this and what follows: of each flow
    protocol: Texts
    is_tls: Array
    upgrade: Texts  # whether TLS was used within another protocol, or stayed unused
    answered_with: Texts  # what a ClientHello was answered with instead of TLS
    spoken_before: Texts  # what the client said in clear before it, besides what has to be said
    spoken_after: Texts  # what was spoken in clear after TLS began
    server_name: Texts
    named_by_dns: Array  # a DNS answer gave the server's address for that name
    services: services.Services
    flows: Flows  # what paths are judged by
    candidates: Candidates  # flows whose requests may be read, which has to wait for the capture's end

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def has_handshake(self) -> Array:
        """Which flows have a handshake."""
        return np.asarray(self.handshake >= 0)

    def handshake_table(self) -> dict[str, Column]:
        """The columns of ``handshakes``."""
        return self.handshakes.table | self.delivery.columns(self.rows.handshakes["transport"] == OVER_TCP)


def describe(batch: Batch, shapes: Shapes, ranges: Ranges, inside: FlowOpener) -> Described:
    """A batch of finished flows as columns."""
    rows, memory, captures, interfaces = batch.rows, batch.memory, batch.captures, batch.interfaces
    ends, at = orient(rows), rows.handshake_flow
    lost = (ends.client["lost"][at], ends.server["lost"][at])
    place = _places(rows)
    name, source = _names(rows, place)
    server_name, hello_name = texts_of(memory, name, rows.handshakes["server_name"])
    closed = rows.flows["closed"][at] & CLOSED != 0
    handshakes = handshake_columns(rows.handshakes, hello_name, memory, shapes, closed, lost, captures)
    negotiated = {name: handshakes.texts[name].take(place) for name in NEGOTIATED}
    protocol, upgrade = _protocols(rows), _upgrades(rows, place)
    (endpoint,) = texts_of(memory, rows.flows["vpc_endpoint"])
    aws = services.find(server_name.values, server_name.index, ends.server_high, ends.server_low, ranges)
    columns = flow_columns(rows, ends, captures, interfaces) | {
        **{name: handshakes.table[name].take(place) for name in FROM_HANDSHAKE},
        "protocol": protocol,
        "upgrade": upgrade,
        "hops_out": hops(ends.client),
        "hops_back": hops(ends.server),
        "server_name": server_name,
        "server_name_source": source,
        "vpc_endpoint": endpoint,
        **aws.columns(),
    }
    named = {
        "protocol": protocol,
        "server_name": server_name,
        "vpc_endpoint": endpoint,
        "service": aws.service,
        "region": aws.region,
    }
    in_ranges = {
        "client": ranges.covers(ends.client_high, ends.client_low),
        "server": ranges.covers(ends.server_high, ends.server_low),
    }
    return Described(
        size=batch.size,
        rows=rows,
        ends=ends,
        columns=columns,
        handshakes=handshakes,
        delivery=_deliveries(rows, ends, handshakes),
        handshake=place,
        tls_version=negotiated["tls_version"],
        protocol=protocol,
        is_tls=np.array([name == "tls" for name in protocol.values] + [False])[protocol.index] | (place >= 0),
        upgrade=upgrade,
        answered_with=_spoken(np.where(rows.flows["application"] == SSH_WEAK, 0, rows.flows["answer"])),
        spoken_before=_spoken_before(rows, place),
        spoken_after=_spoken(rows.flows["clear"]),
        server_name=server_name,
        named_by_dns=_named_by_dns(rows, memory, name, server_name),
        services=aws,
        flows=seen_flows(rows, ends, captures, interfaces, named | negotiated, in_ranges),
        candidates=candidates(inside, rows, ends, aws, protocol.objects())
        if batch.chosen is None
        else chosen_before(batch.chosen, rows, ends),
    )


def _deliveries(rows: Rows, ends: Oriented, handshakes: HandshakeColumns) -> Delivery:
    """What became of each handshake's ClientHello."""
    at = rows.handshake_flow
    no_early_data = handshakes.numbers["early_data"].three_valued() == 0
    return deliveries(
        rows.handshakes, gather(rows.flows, at), gather(ends.client, at), gather(ends.server, at), no_early_data
    )


def _places(rows: Rows) -> Array:
    """The number of each flow's handshake: of several the first that was answered, else the first; -1 for none."""
    place = np.full(len(rows), -1)
    best = np.argsort((rows.handshakes["seen"] & np.uint32(SEEN_SERVER_HELLO)) == 0, kind="stable")[::-1]
    place[rows.handshake_flow[best]] = best
    return place


def _protocols(rows: Rows) -> Texts:
    """The application protocol of each flow."""
    application = np.where(rows.flows["ip_protocol"] == ESP, ESP_PROTOCOL, rows.flows["application"].astype(np.int64))
    return Texts([PROTOCOL_NAMES.get(n) for n in range(256)], application)


def _spoken(numbers: Array) -> Texts:
    """Names of what was spoken where TLS was to be; None for nothing."""
    return Texts(spoken_names(), numbers.astype(np.int64))


def _spoken_before(rows: Rows, place: Array) -> Texts:
    """What clients said in clear before their hello, in words; None for nothing but what asks for TLS, or without a hello."""
    kinds = np.zeros(len(rows), np.int64)
    has = np.flatnonzero(place >= 0)
    side = rows.handshakes["client_side"][place[has]].astype(np.int64)
    kinds[has] = rows.flows["before"][has].astype(np.int64) >> (commands.SIDE_BITS * side)
    what = np.select([kinds & bit != 0 for bit in SAID], np.arange(len(SAID)), MISSING)
    names = [PROTOCOL_NAMES.get(n, UNKNOWN_PROTOCOL) for n in range(256)]
    texts: list[str | None] = [f"{words} of {name}" for words in SAID.values() for name in names]
    application = np.zeros(len(rows), np.int64)
    application[has] = rows.handshakes["upgraded"][place[has]]
    return Texts(texts, np.where(what == MISSING, MISSING, what * len(names) + application))


def _names(rows: Rows, place: Array) -> tuple[Array, Texts]:
    """The numbers of server names, and where they come from: SNI, else Host, else what DNS answered."""
    number = np.zeros(len(rows), np.int64)
    source = np.full(len(rows), -1)
    sni = np.zeros(len(rows), np.int64)
    sni[place >= 0] = rows.handshakes["server_name"][place[place >= 0]]
    dns, is_shared = rows.flows["dns"], rows.flows["dns_shared"] & 1 != 0
    answers = ((1, np.where(is_shared, 0, dns)), (2, np.where(is_shared, dns, 0)))
    for code, ids in (*answers, (3, rows.flows["host"]), (0, sni)):
        known = ids > 0
        number[known], source[known] = ids[known], code
    return number, Texts(["sni", "dns", "dns-shared", "host"], source)


def _named_by_dns(rows: Rows, memory: Memory, number: Array, name: Texts) -> Array:
    """Whether DNS gave the server's address for its name; ``number``: that of each name."""
    dns = rows.flows["dns"]
    given = dns == number
    others = np.flatnonzero((dns > 0) & ~given)
    asked = zip(names_of(memory, dns[others]), name.objects()[others].tolist(), strict=True)
    given[others] = [(own or "").lower() == answered for answered, own in asked]  # RFC 4343: whatever the case
    return np.asarray(given & (dns > 0))


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
