"""Flow logs joined to flows: by both of a row's pairs of addresses, then by the far end alone where NAT is between."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.border.words import agreed
from auditor.paths.flow_log_columns import Addresses
from auditor.paths.flow_log_meaning import JoinedRows, meaning
from auditor.paths.flow_log_rows import FlowLog
from auditor.paths.model import DIRECTIONS, Evidence, Flows
from auditor.paths.site import Network
from auditor.paths.witness import WitnessMatch, note
from auditor.prefixes import PrefixSet
from auditor.tables.columns import is_one_of

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000
SLACK = 60 * SECOND  # start and end of a row may be that far off (VPC User Guide)
SAMPLES = 5
CHUNK = 1 << 18  # rows that are joined at once
MIX = np.uint64(0x9E3779B97F4A7C15)
MOST_TO_ONE = 64  # rows to one address and port that are looked at
FEWEST_PACKETS, TOLERANCE = 10, 0.05  # bytes are compared from this many packets on


def _hashed(protocol: Array, one: Addresses, one_port: Array, two: Addresses, two_port: Array) -> Array:
    """A number for each unordered pair of ends."""
    first = _end(one, one_port)
    second = _end(two, two_port)
    both = (first + second) ^ (protocol.astype(np.uint64) << np.uint64(56))
    both *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(both ^ (both >> np.uint64(31)))


def _end(address: Addresses, port: Array) -> Array:
    value = address.low ^ (address.high * MIX) ^ (port.astype(np.uint64) << np.uint64(48))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(27)))


class _Keys:
    """Keys to look up others in. There are many times more rows than flows, so flows are put in order, and rows are not."""

    def __init__(self, keys: Array) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def __len__(self) -> int:
        return len(self._keys)

    def places(self, others: Array) -> Array:
        """The place of each of some keys among these in their order, the first of equal ones; -1 where it is not there."""
        if not len(self._keys):
            return np.full(len(others), -1)
        at = np.searchsorted(self._keys, others)
        return np.where(self._keys[np.minimum(at, len(self._keys) - 1)] == others, at, -1)

    def equal(self, others: Array) -> tuple[Array, Array]:
        """(number of one of ``others``, number of a key) of all that are equal."""
        begin = self.places(others)
        hits = np.flatnonzero(begin >= 0)
        begin = begin[hits]
        count = np.searchsorted(self._keys, others[hits], "right") - begin
        offset = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(hits, count), self._order[np.repeat(begin, count) + offset]


def _merged(spans: list[tuple[int, int]]) -> tuple[Array, Array]:
    """Begins and ends of the times that some spans of seconds cover together, in nanoseconds."""
    merged: list[list[int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    whole = np.array(merged, np.int64).reshape(-1, 2) * SECOND
    return whole[:, 0], whole[:, 1]


def _covered(spans: list[tuple[int, int]], begin: Array, end: Array) -> Array:
    """Which times lie within what some spans cover together."""
    begins, ends = _merged(spans)
    at = np.searchsorted(begins, begin, "right") - 1
    return np.asarray((at >= 0) & (end <= np.append(ends, 0)[at]))


def _touched(spans: list[tuple[int, int]], begin: Array, end: Array) -> Array:
    """Which times have anything in common with any of some spans."""
    begins, ends = _merged(spans)
    at = np.searchsorted(begins, end, "right") - 1
    return np.asarray((at >= 0) & (begin <= np.append(ends, 0)[at]))


@dataclass
class FlowLogWitness:
    """The rows of flow logs. ``skew``: nanoseconds by which their clock is ahead; ``is_whole``: all files could be read."""

    log: FlowLog
    skew: int = 0
    is_whole: bool = True
    matched: WitnessMatch = field(init=False)

    def __post_init__(self) -> None:
        self.matched = WitnessMatch(np.zeros(len(self.log), bool))

    def _start(self, rows: Array) -> Array:
        return self.log.number["start"][rows].astype(np.int64) * SECOND - self.skew

    def _end(self, rows: Array) -> Array:
        return self.log.number["end"][rows].astype(np.int64) * SECOND - self.skew

    def _within(self, first: int, last: int) -> Iterator[Array]:
        """The rows that are about some of the time from ``first`` to ``last``.

        A part at a time: their numbers, and what they are joined by, take more room than all that is kept of them.
        """
        starts, ends = self.log.number["start"], self.log.number["end"]
        until, since = (last + self.skew) // SECOND, -((-first - self.skew) // SECOND)
        for begin in range(0, len(self.log), CHUNK):
            some = slice(begin, begin + CHUNK)
            yield begin + np.flatnonzero((starts[some] <= until) & (ends[some] >= since))

    def _overlaps(self, flows: Flows, flow: Array, row: Array) -> Array:
        """Which rows are of the time of a flow."""
        begins = self._start(row) - SLACK <= flows.ended[flow]
        return np.asarray(begins & (self._end(row) + SLACK >= flows.started[flow]))

    def _pairs(self, flows: Flows, rows: Iterable[Array]) -> tuple[Array, Array]:
        """(flow, row) of every row that is about a flow: the same ends, and times that overlap; by flow."""
        client, server = (Addresses(*flows.end(which)) for which in DIRECTIONS)
        keys = _Keys(_hashed(flows.ip_protocol, client, flows.client_port, server, flows.server_port))
        number, address = self.log.number, self.log.address
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool))]
        for some in rows:
            protocol, ports = number["protocol"][some], [number[name][some] for name in ("srcport", "dstport")]
            source, target = address["srcaddr"].at(some), address["dstaddr"].at(some)
            at, flow = keys.equal(_hashed(protocol, source, ports[0], target, ports[1]))
            found.append((flow, some[at], np.zeros(len(at), bool)))
            inner, outer = address["pkt-srcaddr"].at(some), address["pkt-dstaddr"].at(some)
            differs = np.flatnonzero(inner.is_there() & (inner.differs(source) | outer.differs(target)))
            if len(differs):
                ends = inner.at(differs), ports[0][differs], outer.at(differs), ports[1][differs]
                at, flow = keys.equal(_hashed(protocol[differs], *ends))
                found.append((flow, some[differs[at]], np.ones(len(at), bool)))
        flow, row, is_inner = (np.concatenate(columns) for columns in zip(*found, strict=True))
        order = np.lexsort((row, is_inner, flow))
        flow, row = flow[order], row[order]
        near = self._overlaps(flows, flow, row)
        return flow[near], row[near]

    def _by_far_end(
        self, flows: Flows, known: Array, near_rows: Iterable[Array], network: Network
    ) -> tuple[Array, Array]:
        """Rows that fit flows but for the client's address and port, which a translator of the site changed.

        Bytes must agree, and the row's source be at home or the outside of the client's NAT: others talk to a server too.
        """
        log, number = self.log, self.log.number
        lonely = np.flatnonzero(~known)
        if not len(lonely):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        far = _end(Addresses(*flows.end("server")).at(lonely), flows.server_port[lonely])
        row, at = self._of_few(near_rows, _Keys(far))
        flow = lonely[at]
        near = self._overlaps(flows, flow, row)
        near &= number["protocol"][row] == flows.ip_protocol[flow]
        near &= number["packets"][row] == flows.client_packets[flow]
        size = flows.client_ip_bytes[flow]
        near &= np.abs(number["bytes"][row] - size) <= np.maximum(size * TOLERANCE, 64)
        flow, row = flow[near], row[near]
        source = log.address["srcaddr"][row]
        own = network.home.covers(source[:, 0], source[:, 1])
        for nat in network.topology.nat:
            inside = PrefixSet(nat.inside).covers(flows.client_high[flow], flows.client_low[flow])
            own |= inside & PrefixSet(nat.outside).covers(source[:, 0], source[:, 1])
        flow, row = flow[own], row[own]
        _, place, count = np.unique(row, return_inverse=True, return_counts=True)
        alone = (np.bincount(flow, minlength=len(flows))[flow] == 1) & (count[place] == 1)
        return flow[alone], row[alone]

    def _of_few(self, rows: Iterable[Array], far: _Keys) -> tuple[Array, Array]:
        """(row, number of a key) of rows to far ends that no flow has yet.

        An address and port alone say nothing where many talk to it.
        """
        count = np.zeros(len(far), np.int64)
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for chunk in rows:
            some = chunk[~self.matched.rows[chunk]]
            place = far.places(self._target(some))
            count += np.bincount(place[place >= 0], minlength=len(far))
            there = place >= 0
            there[there] = count[place[there]] <= MOST_TO_ONE
            found.append((some[there], place[there]))
        row, place = (np.concatenate(columns) for columns in zip(*found, strict=True))
        row = row[count[place] <= MOST_TO_ONE]
        at, key = far.equal(self._target(row))
        return row[at], key

    def _pair(self, rows: Array) -> Array:
        """A number for both addresses of rows, whichever is the source."""
        nothing = np.zeros(len(rows), np.int64)
        ends = (self.log.address[name].at(rows) for name in ("srcaddr", "dstaddr"))
        return _hashed(nothing, next(ends), nothing, next(ends), nothing)

    def _target(self, rows: Array) -> Array:
        return _end(self.log.address["dstaddr"].at(rows), self.log.number["dstport"][rows])

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """What the rows say of flows, and where they contradict the packets."""
        if not len(self.log) or not len(flows):
            return []
        first, last = int(flows.started.min()), int(flows.ended.max())
        flow, row = self._pairs(flows, self._within(first - SLACK, last + SLACK))
        known = np.zeros(len(flows), bool)
        known[flow] = True
        self.matched.rows[row] = True
        self.matched.first = min(self.matched.first, first)
        self.matched.last = max(self.matched.last, last)
        evidence = self._of_rows(flows, network, flow, row, "")
        far_flow, far_row = self._by_far_end(flows, known, self._within(first - SLACK, last + SLACK), network)
        self.matched.rows[far_row] = True
        evidence += self._of_rows(flows, network, far_flow, far_row, ", matched by the far end: NAT is between")
        known[far_flow] = True
        self.matched.flows += int(known.sum())
        lacking = self._should_be_there(flows) & ~known
        self.matched.lacking += int(lacking.sum())
        self._note(disagreement, np.flatnonzero(lacking), "the flow log of the server's interface lacks this flow")
        self._contradictions(flows, flow, row, disagreement)
        return evidence

    def _of_rows(self, flows: Flows, network: Network, flow: Array, row: Array, how: str) -> list[Evidence]:
        server = np.stack([flows.server_high, flows.server_low], axis=1)[flow]
        sources = [self.log.address[name][row] for name in ("srcaddr", "pkt-srcaddr")]
        from_server = (sources[0] == server).all(axis=1) | (sources[1] == server).all(axis=1)
        return meaning(JoinedRows(flow, row, from_server, how), self.log, flows, network)

    def _should_be_there(self, flows: Flows) -> Array:
        """Flows to the log's own interfaces, within the time of one file that has all that was accepted, and of no other."""
        log = self.log
        if not self.is_whole:
            return np.zeros(len(flows), bool)
        files = zip(log.span, log.partial, log.accepts, strict=True)
        spans = [(span, accepts and not partial) for span, partial, accepts in files if span is not None]
        begin, end = flows.started + self.skew, flows.ended + self.skew
        whole = _covered([span for span, is_whole in spans if is_whole], begin, end)
        doubtful = _touched([span for span, is_whole in spans if not is_whole], begin, end)
        return np.asarray(whole & ~doubtful & np.isin(flows.server_low, log.own))

    def _contradictions(self, flows: Flows, flow: Array, row: Array, disagreement: Array) -> None:
        """Encryption guessed from the port, refused flows that were answered, bytes that differ."""
        number = self.log.number
        is_tls = is_one_of(flows.protocol, ("tls", "quic", "dtls", "ssh", *("esp", "ike", "wireguard")))
        clear = is_one_of(flows.protocol, ("http", "smtp", "ftp", "imap", "pop3", "ldap"))
        status = number["encryption-status"][row]
        wrong = np.isin(status, (2, 3)) & clear[flow]
        self._note(
            disagreement, flow[wrong], "the flow log says encrypted (it goes by the port); the packets are in clear"
        )
        wrong = (status == 0) & is_tls[flow]
        self._note(disagreement, flow[wrong], "the flow log says not encrypted; the packets are")
        refused = self.log.is_value("action", "REJECT")[row] & (flows.server_payload[flow] > 0)
        self._note(disagreement, flow[refused], "the flow log says REJECT; the packets show answers")
        total = np.zeros((len(flows), 2), np.int64)
        packets = np.zeros((len(flows), 2), np.int64)
        from_server = (
            self.log.address["srcaddr"][row] == np.stack([flows.server_high, flows.server_low], axis=1)[flow]
        ).all(axis=1)
        interface = self.log.text["interface-id"][1][row]
        first = np.full(len(flows), -2)
        first[flow[::-1]] = interface[::-1]
        one = interface == first[flow]  # a flow may be in the logs of both its ends
        covered = np.zeros(len(flows), bool)
        for side in (0, 1):
            some = one & (from_server == bool(side))
            np.add.at(total[:, side], flow[some], np.maximum(number["bytes"][row[some]], 0))
            np.add.at(packets[:, side], flow[some], np.maximum(number["packets"][row[some]], 0))
        earliest, latest = np.full(len(flows), 1 << 62), np.zeros(len(flows), np.int64)
        np.minimum.at(earliest, flow, self._start(row))
        np.maximum.at(latest, flow, self._end(row))
        covered = (earliest <= flows.started + SECOND) & (latest + SECOND >= flows.ended)
        for side, seen, count in (
            (0, flows.client_ip_bytes, flows.client_packets),
            (1, flows.server_ip_bytes, flows.server_packets),
        ):
            logged = total[:, side]
            enough = covered & (packets[:, side] >= FEWEST_PACKETS) & (count >= FEWEST_PACKETS)
            differs = enough & (np.abs(logged - seen) > TOLERANCE * np.maximum(logged, seen))
            sender = ("client", "server")[side]
            for k in np.flatnonzero(differs).tolist():
                note(
                    disagreement,
                    k,
                    f"the flow log counts {logged[k]} {agreed(logged[k], 'byte')} of the {sender}, the capture {seen[k]}",
                )

    @staticmethod
    def _note(disagreement: Array, flows: Array, words: str) -> None:
        for k in set(flows.tolist()):
            note(disagreement, k, words)

    def rows(self, matched: WitnessMatch) -> list[dict[str, Any]]:
        """A row for each file: what was in it, what was matched, and what the captures lack."""
        log, table = self.log, []
        fitting, lonely, samples = self._counted(matched)
        for number, name in enumerate(log.names):
            span = log.span[number]
            table.append(
                {
                    "witness": name,
                    "kind": "transit gateway flow log" if log.transit[number] else "VPC flow log",
                    "rows": log.rows[number],
                    "skipped": log.skipped[number],
                    "matched": int(fitting[number]),
                    "not_captured": int(lonely[number]),
                    "samples": "; ".join(samples[number]) or None,
                    "flows_matched": matched.flows,
                    "flows_lacking": matched.lacking,
                    "started": span[0] * SECOND - self.skew if span is not None else None,
                    "ended": span[1] * SECOND - self.skew if span is not None else None,
                }
            )
        return table

    def _counted(self, matched: WitnessMatch) -> tuple[Array, Array, list[list[str]]]:
        """Of each file how many rows fit flows, and how many between the same addresses do not, with the first of these.

        These are of the captures' time as a whole: of a row that goes on beyond it the packets may have come then. Rows
        between others, such as those of other interfaces, say nothing of what a capture should have.
        """
        log, files = self.log, len(self.log.names)
        fitting, lonely, samples = (
            np.zeros(files, np.int64),
            np.zeros(files, np.int64),
            [list[str]() for _ in log.names],
        )
        for begin in range(0, len(log), CHUNK):
            some = slice(begin, begin + CHUNK)
            fitting += np.bincount(log.file[some][matched.rows[some]], minlength=files)
        known = np.unique(self._pair(np.flatnonzero(matched.rows)))
        for chunk in self._within(matched.first, matched.last):
            rows = chunk[~matched.rows[chunk]]
            rows = rows[(self._start(rows) >= matched.first) & (self._end(rows) <= matched.last)]
            rows = rows[np.isin(self._pair(rows), known)]
            rows = rows[np.argsort(log.file[rows], kind="stable")]
            count = np.bincount(log.file[rows], minlength=files)
            first = np.cumsum(count) - count
            for number in np.flatnonzero((count > 0) & (lonely < SAMPLES)).tolist():
                more = min(int(count[number]), SAMPLES - int(lonely[number]))
                samples[number] += [self._text(row) for row in rows[first[number] : first[number] + more].tolist()]
            lonely += count
        return fitting, lonely, samples

    def _text(self, row: int) -> str:
        from auditor.flows.oriented import address_text

        number, address = self.log.number, self.log.address
        ends = [address_text(*map(int, address[name][row])) for name in ("srcaddr", "dstaddr")]
        return f"{ends[0]}:{number['srcport'][row]} to {ends[1]}:{number['dstport'][row]}"
