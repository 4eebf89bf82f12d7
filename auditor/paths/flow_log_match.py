"""Flow logs joined to flows: by both of a row's pairs of addresses, then by the far end alone where NAT is between."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.border.words import agreed
from auditor.paths.flow_log_meaning import Rows, meaning
from auditor.paths.flow_logs import FlowLog
from auditor.paths.model import Evidence, Flows
from auditor.paths.site import Network
from auditor.paths.witness import Matched, note
from auditor.prefixes import PrefixSet
from auditor.tables.columns import is_one_of

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000
SLACK = 60 * SECOND  # start and end of a row may be that far off (VPC User Guide)
SAMPLES = 5
MIX = np.uint64(0x9E3779B97F4A7C15)
FEWEST_PACKETS, TOLERANCE = 10, 0.05  # bytes are compared from this many packets on


def _hashed(protocol: Array, one: Array, one_port: Array, two: Array, two_port: Array) -> Array:
    """A number for each unordered pair of ends."""
    first = _end(one, one_port)
    second = _end(two, two_port)
    both = (first + second) ^ (protocol.astype(np.uint64) << np.uint64(56))
    both *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(both ^ (both >> np.uint64(31)))


def _end(address: Array, port: Array) -> Array:
    value = address[:, 1] ^ (address[:, 0] * MIX) ^ (port.astype(np.uint64) << np.uint64(48))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(27)))


@dataclass
class FlowLogWitness:
    """The rows of flow logs, in the order of their keys. ``skew``: nanoseconds by which their clock is ahead."""

    log: FlowLog
    skew: int = 0
    matched: Matched = field(init=False)

    def __post_init__(self) -> None:
        log = self.log
        number, address = log.number, log.address
        self.matched = Matched(np.zeros(len(log), bool))
        self._start = number["start"] * SECOND - self.skew
        self._end = number["end"] * SECOND - self.skew
        outer = _hashed(
            number["protocol"], address["srcaddr"], number["srcport"], address["dstaddr"], number["dstport"]
        )
        keys, rows = [outer], [np.arange(len(log))]
        inner = (address["pkt-srcaddr"] != 0).any(axis=1) & (
            (address["pkt-srcaddr"] != address["srcaddr"]).any(axis=1)
            | (address["pkt-dstaddr"] != address["dstaddr"]).any(axis=1)
        )
        if inner.any():
            some = np.flatnonzero(inner)
            packet = [address[name][some] for name in ("pkt-srcaddr", "pkt-dstaddr")]
            keys.append(
                _hashed(
                    number["protocol"][some], packet[0], number["srcport"][some], packet[1], number["dstport"][some]
                )
            )
            rows.append(some)
        key, row = np.concatenate(keys), np.concatenate(rows)
        order = np.argsort(key, kind="stable")
        self._keys, self._rows = key[order], row[order]

    def _pairs(self, flows: Flows) -> tuple[Array, Array]:
        """(flow, row) of every row that is about a flow: the same ends, and times that overlap."""
        client = np.stack([flows.client_high, flows.client_low], axis=1)
        server = np.stack([flows.server_high, flows.server_low], axis=1)
        key = _hashed(flows.ip_protocol, client, flows.client_port, server, flows.server_port)
        begin = np.searchsorted(self._keys, key, "left")
        count = np.searchsorted(self._keys, key, "right") - begin
        flow = np.repeat(np.arange(len(flows)), count)
        offset = np.arange(len(flow)) - np.repeat(np.cumsum(count) - count, count)
        row = self._rows[np.repeat(begin, count) + offset]
        near = (self._start[row] - SLACK <= flows.ended[flow]) & (self._end[row] + SLACK >= flows.started[flow])
        return flow[near], row[near]

    def _by_far_end(self, flows: Flows, known: Array, network: Network) -> tuple[Array, Array]:
        """Rows that fit flows but for the client's address and port, which a translator of the site changed.

        Bytes must agree, and the row's source be at home or the outside of the client's NAT: others talk to a server too.
        """
        log, number = self.log, self.log.number
        lonely = np.flatnonzero(~known)
        rows = np.flatnonzero(~self.matched.rows)
        if not len(lonely) or not len(rows):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        far = _end(np.stack([flows.server_high, flows.server_low], axis=1)[lonely], flows.server_port[lonely])
        target = _end(log.address["dstaddr"][rows], number["dstport"][rows])
        order = np.argsort(target, kind="stable")
        begin = np.searchsorted(target[order], far, "left")
        count = np.searchsorted(target[order], far, "right") - begin
        few = count <= 64  # a server's address and port alone say nothing where many talk to it
        flow = np.repeat(lonely[few], count[few])
        offset = np.arange(len(flow)) - np.repeat(np.cumsum(count[few]) - count[few], count[few])
        row = rows[order[np.repeat(begin[few], count[few]) + offset]]
        near = (self._start[row] - SLACK <= flows.ended[flow]) & (self._end[row] + SLACK >= flows.started[flow])
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
        alone = np.bincount(flow, minlength=len(flows))[flow] == 1
        alone &= np.bincount(row, minlength=len(log))[row] == 1
        return flow[alone], row[alone]

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """What the rows say of flows, and where they contradict the packets."""
        if not len(self.log) or not len(flows):
            return []
        flow, row = self._pairs(flows)
        known = np.zeros(len(flows), bool)
        known[flow] = True
        self.matched.rows[row] = True
        self.matched.first = min(self.matched.first, int(flows.started.min()))
        self.matched.last = max(self.matched.last, int(flows.ended.max()))
        evidence = self._of_rows(flows, network, flow, row, "")
        far_flow, far_row = self._by_far_end(flows, known, network)
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
        return meaning(Rows(flow, row, from_server, how), self.log, flows, network)

    def _own_addresses(self) -> Array:
        """Low halves of the addresses of the interfaces that the log was taken at.

        An interface's own address is in each of its rows; where another one is as well, nothing shows which it is.
        """
        interface = self.log.text["interface-id"][1]
        known = np.flatnonzero(interface >= 0)
        if not len(known):
            return np.zeros(0, np.uint64)
        interface, ends = interface[known], [self.log.address[name][known, 1] for name in ("srcaddr", "dstaddr")]
        rows = np.bincount(interface, minlength=1)
        first = np.zeros(len(rows), np.int64)
        first[interface[::-1]] = np.arange(len(interface))[::-1]  # of each interface its first row, written last
        always = []
        for end in ends:  # what is in each row is one of the two in the first one
            one = end[first]
            there = (ends[0] == one[interface]) | (ends[1] == one[interface])
            always.append((one, (rows > 0) & (np.bincount(interface[there], minlength=len(rows)) == rows)))
        (source, is_source), (target, is_target) = always
        alone = (is_source != is_target) | (source == target)
        return np.concatenate([source[is_source & alone], target[is_target & alone]])

    def _should_be_there(self, flows: Flows) -> Array:
        """Flows to the log's own interfaces, within the log's time."""
        begin, end = int(self._start.min()), int(self._end.max())
        inside = (flows.started >= begin) & (flows.ended <= end)
        return np.asarray(inside & np.isin(flows.server_low, self._own_addresses()))

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
        np.minimum.at(earliest, flow, self._start[row])
        np.maximum.at(latest, flow, self._end[row])
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

    def rows(self, matched: Matched) -> list[dict[str, Any]]:
        """A row for each file: what was in it, what was matched, and what the captures lack."""
        log, rows = self.log, []
        within = (self._start <= matched.last) & (self._end >= matched.first)
        for number, name in enumerate(log.names):
            mine = log.file == number
            lonely = np.flatnonzero(mine & within & ~matched.rows)
            samples = [self._text(int(k)) for k in lonely[:SAMPLES]]
            rows.append(
                {
                    "witness": name,
                    "kind": "transit gateway flow log" if (log.text["tgw-id"][1][mine] >= 0).any() else "VPC flow log",
                    "rows": log.rows[number],
                    "skipped": log.skipped[number],
                    "matched": int((mine & matched.rows).sum()),
                    "not_captured": len(lonely),
                    "samples": "; ".join(samples) or None,
                    "flows_matched": matched.flows,
                    "flows_lacking": matched.lacking,
                    "started": int(self._start[mine].min()) if mine.any() else None,
                    "ended": int(self._end[mine].max()) if mine.any() else None,
                }
            )
        return rows

    def _text(self, row: int) -> str:
        from auditor.flows.oriented import address_text

        number, address = self.log.number, self.log.address
        ends = [address_text(*map(int, address[name][row])) for name in ("srcaddr", "dstaddr")]
        return f"{ends[0]}:{number['srcport'][row]} to {ends[1]}:{number['dstport'][row]}"
