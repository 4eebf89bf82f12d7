"""CloudTrail events as witnesses: through which door a request came, and with which TLS (CloudTrail User Guide, record contents)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from auditor.capture.compression import unpacked
from auditor.decode.control import Address
from auditor.errors import InputError
from auditor.paths.model import LIKELY, NOT_PUBLIC, Evidence, Flows
from auditor.paths.site import Network
from auditor.paths.witness import EventLog, mask_of, note
from auditor.prefixes import PrefixSet, parse_address

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000
WITHIN = 2 * SECOND  # eventTime has whole seconds
VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.0": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}


@dataclass(frozen=True)
class Event:
    """What an event says of the connection that carried it."""

    time: int  # nanoseconds
    host: str
    address: tuple[int, int] | None
    endpoint: str | None
    tls_version: str | None
    cipher_suite: str | None


def looks_like(head: bytes) -> bool:
    text = head.lstrip()
    return text[:1] in (b"{", b"[") and b'"eventSource"' in head and b'"eventTime"' in head


def read(path: Path) -> list[Event]:
    """The events of a file with ``Records``, of a list, or of one JSON object a line. Raises InputError naming the file."""
    try:
        return [event for record in _records(unpacked(path)) if (event := _event(record)) is not None]
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: not CloudTrail events: {error}") from error


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    try:
        whole = json.loads(data)
    except ValueError:
        for line in data.splitlines():
            if line.strip():
                yield json.loads(line)
        return
    rows = whole if isinstance(whole, list) else whole.get("Records", whole.get("Events", [whole]))
    for row in rows:
        inner = row.get("CloudTrailEvent")  # as aws cloudtrail lookup-events prints
        yield json.loads(inner) if isinstance(inner, str) else row


def _event(record: dict[str, Any]) -> Event | None:
    tls = record.get("tlsDetails") or {}
    host = tls.get("clientProvidedHostHeader")
    when = record.get("eventTime")
    if not host or not when:
        return None  # nothing to join by
    try:
        address = parse_address(record.get("sourceIPAddress", ""))
    except ValueError:
        address = None  # a service's name: the request came from inside AWS
    moment = datetime.fromisoformat(when)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    version = tls.get("tlsVersion")
    return Event(
        int(moment.timestamp()) * SECOND,
        host.lower(),
        address,
        record.get("vpcEndpointId"),
        VERSIONS.get(version, version) if version else None,
        tls.get("cipherSuite"),
    )


class Doors:
    """Through which door of the network an event's request came."""

    def __init__(self, network: Network) -> None:
        topology = network.topology
        self._vpcs, self._home = network.vpcs, PrefixSet(topology.on_premises)
        public = [vif for vif in topology.virtual_interface if vif.kind == "public" and vif.sources]
        self._carriers = [(vif, PrefixSet(vif.sources)) for vif in public]
        self._givers = [(uplink, PrefixSet(uplink.addresses)) for uplink in topology.uplink if uplink.addresses]

    def of(self, event: Event, client: Address) -> tuple[str, str, str | None] | None:
        """(path, words, link), or None where the event tells nothing."""
        if event.endpoint is not None:
            path = "vpc" if client in self._vpcs and client not in self._home else "private"
            return path, f"CloudTrail: the request came through interface endpoint {event.endpoint}", None
        address = event.address
        if address is None:
            return None
        for vif, sources in self._carriers:
            if address in sources:
                text = f"CloudTrail: the request came from an address that {vif.words} carries"
                return "direct-connect", text, vif.name
        for uplink, addresses in self._givers:
            if address in addresses:
                return (
                    "internet",
                    f"CloudTrail: the request came from an address that {uplink.words} gives",
                    uplink.name,
                )
        own = address in self._vpcs or address in self._home
        if self._carriers and not own and address not in NOT_PUBLIC:
            text = "CloudTrail: the request came from a public address that no virtual interface carries"
            return "internet", text, None
        return None


class CloudTrail(EventLog[Event]):
    """Events, by host."""

    kind = "CloudTrail"

    def __init__(self, files: list[tuple[str, list[Event]]], skew: int = 0) -> None:
        super().__init__(files, skew)
        self._by_host: dict[str, list[int]] = {}
        for number, event in enumerate(self.events):
            self._by_host.setdefault(event.host, []).append(number)

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """Events that can only have come by one client's flows: same host, within the flow's time."""
        found: dict[tuple[str, str, str | None], list[int]] = {}
        doors = Doors(network)
        touched: set[int] = set()
        names = np.array([n.lower() if n else "" for n in flows.server_name.tolist()], object)
        for host, numbers in self._by_host.items():
            at = np.flatnonzero(names == host)
            if not len(at):
                continue
            for number in numbers:
                event = self.events[number]
                when = event.time - self.skew
                near = at[(flows.started[at] - WITHIN <= when) & (when <= flows.ended[at] + WITHIN)]
                own = near[self._same_client(flows, near, event)]
                near = own if len(own) else near
                clients = {(int(flows.client_high[k]), int(flows.client_low[k])) for k in near.tolist()}
                if len(clients) != 1:
                    continue
                self.matched.rows[number] = True
                touched |= set(near.tolist())
                says = doors.of(event, clients.pop())
                if says is not None:
                    found.setdefault(says, []).extend(near.tolist())
                if len(near) == 1:
                    self._compare(flows, int(near[0]), event, disagreement)
        self.matched.flows += len(touched)
        added = []
        for (path, words, link), rows in found.items():
            mask = mask_of(len(flows), rows)
            added.append(Evidence(mask, "client", "cloudtrail", path, LIKELY, words, link))
        return added

    @staticmethod
    def _same_client(flows: Flows, at: Array, event: Event) -> Array:
        if event.address is None:
            return np.zeros(len(at), bool)
        return np.asarray((flows.client_high[at] == event.address[0]) & (flows.client_low[at] == event.address[1]))

    @staticmethod
    def _compare(flows: Flows, k: int, event: Event, disagreement: Array) -> None:
        # Suites of TLS 1.2 are written by OpenSSL's names there, and cannot be compared as text.
        suite = event.cipher_suite if event.cipher_suite and event.cipher_suite.startswith("TLS_") else None
        for said, seen in ((event.tls_version, flows.tls_version[k]), (suite, flows.cipher_suite[k])):
            if said and seen and said != seen:
                note(disagreement, k, f"CloudTrail says {said}, the packets {seen}: TLS may end in between")
