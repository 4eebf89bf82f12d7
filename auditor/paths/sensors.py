"""Logs of other sensors as witnesses: Zeek's conn.log and ssl.log (tabs or JSON), and Suricata's EVE."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor.border import gate, rows
from auditor.border.gate import JsonLine
from auditor.border.rows import Taken
from auditor.capture.compression import allowed
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance
from auditor.paths.model import LIKELY, Evidence, Flows
from auditor.paths.site import Network
from auditor.paths.topology import Link
from auditor.paths.witness import EventLog, mask_of, note
from auditor.prefixes import parse_address

Array = np.ndarray[Any, Any]
SLACK = 5_000_000_000  # nanoseconds between a sensor's time for a flow and the capture's
PROTOCOLS = {"tcp": 6, "udp": 17}
ZEEK_VERSIONS = (
    {"SSLv2": "SSL 2.0", "SSLv3": "SSL 3.0"} | {f"TLSv1{n}": f"TLS 1.{n}" for n in range(4)} | {"TLSv10": "TLS 1.0"}
)
EVE_VERSIONS = {"SSLv2": "SSL 2.0", "SSLv3": "SSL 3.0", "TLSv1": "TLS 1.0", "TLS 1.0": "TLS 1.0"} | {
    f"TLS 1.{n}": f"TLS 1.{n}" for n in range(4)
}
FACTOR = 24  # bytes of memory that a byte of text becomes, of short rows
EVE = re.compile(rb'"event_type"\s*:\s*"(?:stats|engine)"')
LAST_PORT, LAST_VLAN = 65_535, 4095
Ends = tuple[tuple[int, int], int, tuple[int, int], int]


@dataclass(frozen=True)
class SensorFlow:
    """What a sensor says of a flow."""

    sensor: str
    ends: Ends
    time: int
    protocol: int | None = None  # of IP, where it is TCP or UDP
    vlans: tuple[int, ...] = ()
    interface: str | None = None
    tls_version: str | None = None
    macs: frozenset[int] = frozenset()

    def fits(self, link: Link) -> bool:
        """Whether it was seen on a link's VLAN or interface, and nothing that both state differs."""
        vlan = link.vlan is not None and link.vlan == ".".join(map(str, self.vlans))
        if (self.vlans and link.vlan is not None and not vlan) or (
            self.macs and link.macs and not self.macs & {*link.macs}
        ):
            return False
        return vlan or link.has_interface(self.interface)


def looks_like(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"#separator", b"#fields")):
        return b"id.orig_h" in head
    if text[:1] not in (b"{", b"["):
        return False
    # Statistics come every few seconds: on a quiet link they are what a log begins with.
    return b'"id.orig_h"' in head or EVE.search(head) is not None or (b'"event_type"' in head and b'"src_ip"' in head)


def read(path: Path, allowance: Allowance | None = None) -> Taken[SensorFlow]:
    """What a log says of flows. Raises InputError naming the file."""
    taken = rows.each_line(_flow, _lines(gate.in_utf8(allowed(path, allowance or Allowance(), FACTOR))))
    if taken.skipped and not taken:
        raise InputError(f"{shown(path)}: not a log of Zeek or Suricata that can be read: {taken.why}")
    return taken


def _lines(data: bytes) -> Iterator[JsonLine]:
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip().startswith(("{", "[")):
        for one in gate.json_lines(text):
            listed = one.value if isinstance(one.value, list) else [one.value]  # jq -s makes one list of lines
            yield from (JsonLine(one.number, row, one.wrong) for row in listed)
        return
    fields: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif line and not line.startswith("#"):
            cells = zip(fields, line.split("\t"), strict=False)
            yield JsonLine(number, {name: value for name, value in cells if value not in ("-", "(empty)")})


def _flow(row: dict[str, Any]) -> SensorFlow | None:
    if "id.orig_h" in row:
        ends = _ends(row, "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
        vlans = tuple(rows.whole(row[name], 0, LAST_VLAN) for name in ("vlan", "inner_vlan") if name in row)
        version = ZEEK_VERSIONS.get(str(row.get("version")))
        macs = _macs(row.get(name) for name in ("orig_l2_addr", "resp_l2_addr"))
        return SensorFlow("Zeek", ends, rows.nanoseconds(row.get("ts")), _protocol(row), vlans, None, version, macs)
    if "src_ip" in row and "dest_ip" in row and "src_port" in row:
        ends = _ends(row, "src_ip", "src_port", "dest_ip", "dest_port")
        version = EVE_VERSIONS.get(str(rows.member(row, "tls", dict).get("version")))
        when = rows.nanoseconds(rows.member(row, "flow", dict).get("start") or row.get("timestamp"))
        tags = [row["vlan"]] if isinstance(row.get("vlan"), int) else rows.member(row, "vlan", list)
        vlans = tuple(rows.whole(tag, 0, LAST_VLAN) for tag in tags)  # of one tag, its number (before Suricata 5)
        ether = rows.member(row, "ether", dict)
        macs = _macs([ether.get("src_mac"), ether.get("dest_mac")])
        macs |= _macs(mac for name in ("src_macs", "dest_macs") for mac in rows.member(ether, name, list))
        interface = rows.member(row, "in_iface", str) or None
        return SensorFlow("Suricata", ends, when, _protocol(row), vlans, interface, version, macs)
    return None


def _protocol(row: dict[str, Any]) -> int | None:
    return PROTOCOLS.get(str(row.get("proto")).lower())


def _macs(texts: Iterable[Any]) -> frozenset[int]:
    """MACs as numbers; what is none is left out."""
    digits = (text.replace(":", "") for text in texts if isinstance(text, str))
    return frozenset(int(text, 16) for text in digits if re.fullmatch("[0-9a-fA-F]{12}", text))


def _ends(row: dict[str, Any], *names: str) -> Ends:
    client, client_port, server, server_port = (row[name] for name in names)
    return (
        parse_address(rows.text(client)),
        rows.whole(client_port, 0, LAST_PORT),
        parse_address(rows.text(server)),
        rows.whole(server_port, 0, LAST_PORT),
    )


class SensorLog(EventLog[SensorFlow]):
    """What sensors say, by the ends of flows."""

    kind = "sensor"

    def __init__(self, files: list[tuple[str, Taken[SensorFlow]]], skew: int = 0) -> None:
        super().__init__(files, skew)
        self._by_ends: dict[Ends, list[int]] = {}
        for number, one in enumerate(self.events):
            self._by_ends.setdefault(one.ends, []).append(number)

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """VLANs and interfaces on which sensors saw flows; TLS versions that differ go into ``disagreement``."""
        rows_of: dict[tuple[str, str, str], list[int]] = {}
        columns = (
            flows.client_high,
            flows.client_low,
            flows.client_port,
            flows.server_high,
            flows.server_low,
            flows.server_port,
        )
        for k, (ch, cl, cp, sh, sl, sp) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            ends, back = ((ch, cl), cp, (sh, sl), sp), ((sh, sl), sp, (ch, cl), cp)
            between = self._by_ends.get(ends, []) + self._by_ends.get(back, [])
            begin, end = flows.started[k] - SLACK, flows.ended[k] + SLACK
            of_it = (None, int(flows.ip_protocol[k]))
            near = [
                number
                for number in between
                if self.events[number].protocol in of_it and begin <= self.events[number].time - self.skew <= end
            ]
            self.matched.flows += bool(near)
            self.matched.rows[near] = True
            for one in (self.events[number] for number in near):
                for link in network.links():
                    if link.is_up and one.fits(link):
                        on_vlan = link.vlan is not None and one.vlans
                        where = f"on VLAN {link.vlan}" if on_vlan else f"on interface {one.interface}"
                        rows_of.setdefault(
                            (link.path, f"{one.sensor} saw it {where} of {link.words}", link.name), []
                        ).append(k)
                seen = flows.tls_version[k]
                if one.tls_version and seen and one.tls_version != seen:
                    note(disagreement, k, f"{one.sensor} says {one.tls_version}, the packets {seen}")
        added = []
        for (path, words, name), numbers in rows_of.items():
            mask = mask_of(len(flows), numbers)
            for direction, way in flows.ways.items():
                if (mask & way.seen).any():
                    added.append(Evidence(mask & way.seen, direction, "sensor", path, LIKELY, words, name))
        return added
