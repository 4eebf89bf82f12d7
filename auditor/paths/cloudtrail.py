"""CloudTrail events as witnesses: through which door a request came, and with which TLS (CloudTrail User Guide, record contents)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from auditor.capture.compression import compression_of, open_compressed
from auditor.errors import InputError
from auditor.paths.evidence import LIKELY, Evidence, Flows, is_public
from auditor.paths.network import Network
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
        with path.open("rb") as file:
            packing = compression_of(file.read(16))
            file.seek(0)
            data = open_compressed(file, packing).read() if packing else file.read()
        return [event for record in _records(data) if (event := _event(record)) is not None]
    except (OSError, EOFError, ValueError, AttributeError) as error:
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


class CloudTrail:
    """Events, by host."""

    def __init__(self, events: list[Event], files: list[tuple[str, int]], skew: int = 0) -> None:
        self.files, self._skew = files, skew
        self._by_host: dict[str, list[Event]] = {}
        for event in events:
            self._by_host.setdefault(event.host, []).append(event)
        self._events = events
        self._matched: set[int] = set()
        self.flows_matched = 0

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """Events that can only have come by one client's flows: same host, within the flow's time."""
        found: dict[tuple[str, str, str, str | None], list[int]] = {}
        known = PrefixSet([*network.topology.on_premises, *(p for v in network.topology.vpc for p in v.prefixes)])
        touched: set[int] = set()
        names = np.array([n.lower() if n else "" for n in flows.server_name.tolist()], object)
        for host, events in self._by_host.items():
            at = np.flatnonzero(names == host)
            if not len(at):
                continue
            for event in events:
                when = event.time - self._skew
                near = at[(flows.started[at] - WITHIN <= when) & (when <= flows.ended[at] + WITHIN)]
                own = near[self._same_client(flows, near, event)]
                near = own if len(own) else near
                clients = {(int(flows.client_high[k]), int(flows.client_low[k])) for k in near.tolist()}
                if len(clients) != 1:
                    continue
                self._matched.add(id(event))
                touched |= set(near.tolist())
                says = self._says(event, network, known, clients.pop())
                if says is not None:
                    found.setdefault(says, []).extend(near.tolist())
                if len(near) == 1:
                    self._compare(flows, int(near[0]), event, disagreement)
        self.flows_matched += len(touched)
        added = []
        for (path, words, direction, link), rows in found.items():
            mask = np.zeros(len(flows), bool)
            mask[rows] = True
            added.append(Evidence(mask, direction, "cloudtrail", path, LIKELY, words, link))
        return added

    @staticmethod
    def _same_client(flows: Flows, at: Array, event: Event) -> Array:
        if event.address is None:
            return np.zeros(len(at), bool)
        return np.asarray((flows.client_high[at] == event.address[0]) & (flows.client_low[at] == event.address[1]))

    @staticmethod
    def _says(
        event: Event, network: Network, known: PrefixSet, client: tuple[int, int]
    ) -> tuple[str, str, str, str | None] | None:
        topology = network.topology
        if event.endpoint is not None:
            vpcs = PrefixSet([p for vpc in topology.vpc for p in vpc.prefixes])
            home = PrefixSet(topology.on_premises)
            path = "vpc" if client in vpcs and client not in home else "private"
            return path, f"CloudTrail: the request came through interface endpoint {event.endpoint}", "client", None
        if event.address is None:
            return None
        for vif in topology.virtual_interface:
            if vif.kind == "public" and vif.sources and event.address in PrefixSet(vif.sources):
                text = f"CloudTrail: the request came from an address that {vif.words} carries"
                return "direct-connect", text, "client", vif.name
        for uplink in topology.uplink:
            if uplink.addresses and event.address in PrefixSet(uplink.addresses):
                text = f"CloudTrail: the request came from an address that {uplink.words} gives"
                return "internet", text, "client", uplink.name
        public = is_public(*(np.array([half], np.uint64) for half in event.address))[0]
        if (
            public
            and event.address not in known
            and any(v.kind == "public" and v.sources for v in topology.virtual_interface)
        ):
            text = "CloudTrail: the request came from a public address that no virtual interface carries"
            return "internet", text, "client", None
        return None

    @staticmethod
    def _compare(flows: Flows, k: int, event: Event, disagreement: Array) -> None:
        # Suites of TLS 1.2 are written by OpenSSL's names there, and cannot be compared as text.
        suite = event.cipher_suite if event.cipher_suite and event.cipher_suite.startswith("TLS_") else None
        for said, seen in ((event.tls_version, flows.tls_version[k]), (suite, flows.cipher_suite[k])):
            if said and seen and said != seen:
                text = f"CloudTrail says {said}, the packets {seen}: TLS may end in between"
                disagreement[k] = text if disagreement[k] is None else f"{disagreement[k]}; {text}"

    def rows(self) -> list[dict[str, Any]]:
        times = [event.time for event in self._events]
        return [
            {
                "witness": name,
                "kind": "CloudTrail",
                "rows": count,
                "matched": len(self._matched),
                "flows_matched": self.flows_matched,
                "started": min(times, default=None),
                "ended": max(times, default=None),
            }
            for name, count in self.files
        ]
