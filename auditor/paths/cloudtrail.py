"""CloudTrail events as witnesses: through which door a request came, and with which TLS (CloudTrail User Guide, record contents)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor.border import gate, rows
from auditor.border.rows import Taken
from auditor.capture.compression import allowed
from auditor.decode.control import Address
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance
from auditor.paths import cloudtrail_forms
from auditor.paths.model import LIKELY, NOT_PUBLIC, Evidence, Flows, is_public
from auditor.paths.site import Network
from auditor.paths.topology import Link, Uplink
from auditor.paths.witness import EventLog, mask_of, note
from auditor.prefixes import Prefix, PrefixSet, PrefixTable, parse, parse_address

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000
WITHIN = 2 * SECOND  # eventTime has whole seconds
LINKS = -1
PORT = re.compile(r":\d+$")
FACTOR = 24  # bytes of memory that a byte of JSON becomes, of many small values
MOST_NEAR, MOST_LOOKED_AT = 64, 256  # flows at an event's moment that are looked at: more say nothing of any of them
# Named groups as IANA calls them, whatever their capitals; another word for a key exchange is no group.
GROUP = re.compile(r"x25519|x448|secp\d{3}r1|(?:x25519|secp\d{3}r1)?mlkem\d+", re.IGNORECASE)
# Suites of TLS 1.2 are written by OpenSSL's names there.
OPENSSL = re.compile(r"(?:(ECDHE)-(RSA|ECDSA)-)?AES(128|256)-(GCM-)?(SHA\d*)")
VERSIONS = {
    "SSLv3": "SSL 3.0",
    "TLSv1": "TLS 1.0",
    "TLSv1.0": "TLS 1.0",
    "TLSv1.1": "TLS 1.1",
    "TLSv1.2": "TLS 1.2",
    "TLSv1.3": "TLS 1.3",
}


Door = tuple[str, str, str | None]  # path, words, link


@dataclass(frozen=True)
class Event:
    """What an event says of the connection that carried it."""

    time: int  # nanoseconds
    host: str
    address: tuple[int, int] | None
    endpoint: str | None
    tls_version: str | None
    cipher_suite: str | None  # by its name at IANA; None where that is not known
    group: str | None  # of the key exchange


def read(path: Path, allowance: Allowance | None = None) -> Taken[Event]:
    """The events of a file with ``Records``, of a list, or of one JSON object a line. Raises InputError naming the file."""
    taken = rows.each_line(
        _event, cloudtrail_forms.records(gate.in_utf8(allowed(path, allowance or Allowance(), FACTOR)))
    )
    if taken.skipped and not taken:
        raise InputError(f"{shown(path)}: not CloudTrail events: {taken.why}")
    return taken


def _event(record: Any) -> Event | None:
    record = cloudtrail_forms.unwrapped(record)
    if isinstance(record.get("tlsDetails"), str):
        record = {**record, "tlsDetails": cloudtrail_forms.of_structure(record["tlsDetails"])}
    tls = rows.member(record, "tlsDetails", dict)
    host, when = rows.member(tls, "clientProvidedHostHeader", str), rows.member(record, "eventTime", str)
    if not host or not when:
        return None  # nothing to join by
    try:
        address = parse_address(rows.member(record, "sourceIPAddress", str))
    except ValueError:
        address = None  # a service's name: the request came from inside AWS
    version = rows.member(tls, "tlsVersion", str)
    return Event(
        rows.nanoseconds(when) // SECOND * SECOND,
        PORT.sub("", host.lower()),
        address,
        rows.member(record, "vpcEndpointId", str) or None,
        VERSIONS.get(version),
        _suite(rows.member(tls, "cipherSuite", str) or ""),
        rows.member(tls, "keyExchange", str) or None,
    )


def _suite(text: str) -> str | None:
    """The name that IANA has for a suite."""
    if text.startswith("TLS_"):
        return text
    if (found := OPENSSL.fullmatch(text)) is None:
        return None
    exchange, signature, bits, gcm, digest = found.groups()
    return f"TLS_{f'{exchange}_{signature}' if exchange else 'RSA'}_WITH_AES_{bits}_{'GCM' if gcm else 'CBC'}_{digest}"


class EventOrigin:
    """Whose requests an event may be about, and through which door of the network it came."""

    def __init__(self, network: Network) -> None:
        topology = network.topology
        self._vpcs, self._home = network.vpcs, network.home
        public = [vif for vif in topology.virtual_interface if vif.kind == "public" and vif.sources]
        self._carriers = [(vif, PrefixSet(vif.sources)) for vif in public]
        self._givers = [(uplink, PrefixSet(uplink.addresses)) for uplink in topology.uplink if uplink.addresses]
        links: dict[Prefix, list[Link]] = {}
        for link, some in (*self._carriers, *self._givers):
            for text in some.texts:
                links.setdefault(parse(text), []).append(link)
        self._given, self._links = PrefixTable(links), list(links.values())
        self._translators: dict[Address, tuple[int, ...]] = {}
        self._known: dict[tuple[str | None, Address | None, Address | None], Door | None] = {}
        self._nats = [(PrefixSet(nat.inside), PrefixSet(nat.outside)) for nat in topology.nat]

    def translators(self, address: Address) -> tuple[int, ...]:
        """Numbers of the NATs that give an address; LINKS among them where a link of the site has it."""
        numbers = self._translators.get(address)
        if numbers is None:
            nats = [number for number, (_, outside) in enumerate(self._nats) if address in outside]
            by_link = any(address in some for _, some in (*self._carriers, *self._givers))
            numbers = self._translators[address] = (*nats, LINKS) if by_link else tuple(nats)
        return numbers

    def behind(self, translators: tuple[int, ...], high: Array, low: Array) -> Array:
        """Which clients may appear with an address that some translators give."""
        clients = np.zeros(len(high), bool)
        for number in translators:
            if number != LINKS:
                clients |= self._nats[number][0].covers(high, low)
        if LINKS in translators:
            translated = PrefixSet([p for inside, _ in self._nats for p in inside.texts]).covers(high, low)
            clients |= self._home.covers(high, low) & ~translated
        return clients

    def of(self, event: Event, client: Address) -> Door | None:
        """The door, or None where the event shows nothing. What it depends on is the same for many events."""
        key = event.endpoint, event.address, client if event.endpoint is not None else None
        if key not in self._known:
            self._known[key] = self._door(event, client)
        return self._known[key]

    def _door(self, event: Event, client: Address) -> Door | None:
        if event.endpoint is not None:
            path = "vpc" if client in self._vpcs and client not in self._home else "private"
            return path, f"CloudTrail: the request came through interface endpoint {event.endpoint}", None
        address = event.address
        if address is None:
            return None
        links = self._having(address)
        if links:
            link, does = links[0], "gives" if isinstance(links[0], Uplink) else "carries"
            text = f"CloudTrail: the request came from an address that {link.words} {does}"
            one_path = len({other.path for other in links}) == 1
            return (link.path, text, link.name) if one_path and link.is_up else None
        own = address in self._vpcs or address in self._home
        if self._carriers and not own and address not in NOT_PUBLIC:
            text = "CloudTrail: the request came from a public address that no virtual interface carries"
            return "internet", text, None
        return None

    def _having(self, address: Address) -> list[Link]:
        """The links that carry or give the longest prefix in which an address lies."""
        row = self._given.find(np.array([address[0]], np.uint64), np.array([address[1]], np.uint64))[0]
        return self._links[row] if row >= 0 else []


class _Timed:
    """Flows by when they were: those at some moment, without a look at all of them."""

    def __init__(self, flows: Flows, at: Array) -> None:
        self._at = at[np.argsort(flows.started[at], kind="stable")]
        self._started, self._ended = flows.started[self._at], flows.ended[self._at]
        self._latest = np.maximum.accumulate(self._ended)
        self._clients = flows.client_high[self._at], flows.client_low[self._at]
        self._known: dict[int, list[int] | None] = {}  # times of events are seconds: many have the same

    def of_one_client(self, when: int) -> list[int] | None:
        """Up to MOST_NEAR flows that were there at ``when``, the latest to begin first; None if they are of several clients."""
        if when not in self._known:
            self._known[when] = self._near(when)
        return self._known[when]

    def _near(self, when: int) -> list[int] | None:
        end = int(np.searchsorted(self._started, when + WITHIN, "right"))
        begin = max(int(np.searchsorted(self._latest, when - WITHIN, "left")), end - MOST_LOOKED_AT)
        there = begin + np.flatnonzero(self._ended[begin:end] >= when - WITHIN)[::-1][:MOST_NEAR]
        if any(np.any(half[there] != half[there[:1]]) for half in self._clients):
            return None
        near: list[int] = self._at[there].tolist()
        return near


class _Callers:
    """The flows to one host, by the address that their requests appear with, and by whether the server's is public."""

    def __init__(self, flows: Flows, doors: EventOrigin, at: Array, private: Array) -> None:
        self._flows, self._doors, self._private = flows, doors, private
        self._at = {inside: at[private[at] == inside] for inside in (False, True)}
        self._own: dict[tuple[Address, bool], list[int]] = {}
        for inside, mine in self._at.items():
            ends = flows.client_high[mine].tolist(), flows.client_low[mine].tolist()
            for k, high, low in zip(mine.tolist(), *ends, strict=True):
                self._own.setdefault(((high, low), inside), []).append(k)
        self._behind: dict[tuple[tuple[int, ...], bool], _Timed] = {}  # what many addresses share

    def of(self, address: Address, inside: bool) -> list[_Timed]:
        """Flows that a request from ``address`` may be of: to private addresses (``inside``), or to public ones of AWS.

        Those of the client that has it, and those of clients behind what gives it.
        """
        own = self._own.get((address, inside))
        found = [] if own is None else [_Timed(self._flows, np.array(own))]
        translators = self._doors.translators(address)
        if translators:
            key = translators, inside
            if key not in self._behind:
                at = self._at[inside]
                ends = self._flows.client_high[at], self._flows.client_low[at]
                self._behind[key] = _Timed(self._flows, at[self._doors.behind(translators, *ends)])
            found.append(self._behind[key])
        return found


def _of_one(timed: list[_Timed], client_of: list[Address], when: int) -> list[int]:
    """The flows at a moment, if all of them are of one client; else none."""
    near: list[int] = []
    for one in timed:
        found = one.of_one_client(when)
        if found is None or (near and found and client_of[found[0]] != client_of[near[0]]):
            return []
        near += [k for k in found if k not in near]
    return near


class CloudTrail(EventLog[Event]):
    """Events, by host and source address."""

    kind = "CloudTrail"

    def __init__(self, files: list[tuple[str, Taken[Event]]], skew: int = 0) -> None:
        super().__init__(files, skew)
        self._by_host: dict[str, dict[Address | None, list[int]]] = {}
        for number, event in enumerate(self.events):
            self._by_host.setdefault(event.host, {}).setdefault(event.address, []).append(number)

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """Events that can only have come by one client's flows: same host, source and time, to a server of AWS's."""
        rows_of: dict[Door, list[int]] = {}
        client_of = list(zip(flows.client_high.tolist(), flows.client_low.tolist(), strict=True))
        doors = EventOrigin(network)
        touched: set[int] = set()
        endpoints = PrefixSet([a for one in network.topology.endpoint for a in one.addresses])
        server = flows.end("server")
        private = network.vpcs.covers(*server) | endpoints.covers(*server) | ~is_public(*server)
        names = np.array([n.lower() if n else "" for n in flows.server_name.tolist()], object)
        for host, by_address in self._by_host.items():
            at = np.flatnonzero((names == host) & (private | flows.is_aws("server")))
            if not len(at):
                continue
            callers = _Callers(flows, doors, at, private)
            for address, numbers in by_address.items():
                if address is None:
                    continue
                inside = {self.events[number].endpoint is not None for number in numbers}
                timed = {one: callers.of(address, one) for one in inside}
                for number in numbers:
                    event = self.events[number]
                    near = _of_one(timed[event.endpoint is not None], client_of, event.time - self.skew)
                    if not near:
                        continue
                    self.matched.rows[number] = True
                    touched |= set(near)
                    says = doors.of(event, client_of[near[0]])
                    if says is not None:
                        rows_of.setdefault(says, []).extend(near)
                    if len(near) == 1:
                        self._compare(flows, near[0], event, disagreement)
        self.matched.flows += len(touched)
        added = []
        for (path, words, link), numbers in rows_of.items():
            mask = mask_of(len(flows), numbers)
            added.append(Evidence(mask, "client", "cloudtrail", path, LIKELY, words, link))
        return added

    @staticmethod
    def _compare(flows: Flows, k: int, event: Event, disagreement: Array) -> None:
        pairs = [
            (event.tls_version, flows.tls_version[k]),
            (event.cipher_suite, flows.cipher_suite[k]),
        ]
        if event.group and GROUP.fullmatch(event.group):
            pairs.append((event.group, flows.key_exchange_group[k]))
        for logged, seen in pairs:
            if logged and seen and logged.lower() != seen.lower():
                note(disagreement, k, f"CloudTrail says {logged}, the packets {seen}: TLS may end in between")
