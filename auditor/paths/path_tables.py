"""From flow rows to what paths are judged by, and from verdicts to columns."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from auditor.border.words import agreed
from auditor.decode import frames
from auditor.decode.control import Control, IcmpError
from auditor.flows import frame_columns
from auditor.flows.oriented import Oriented, address_text, ends_text, mac_text, tunnel_text, vlan_text
from auditor.flows.rows import Rows
from auditor.paths.judge import Judgement
from auditor.paths.model import CONFIDENCE_NAMES, Evidence, Flows, Ways
from auditor.paths.positions import positions
from auditor.paths.site import Network
from auditor.tables import arrow, schema
from auditor.tables.columns import Column, Numbers, Texts

Array = np.ndarray[Any, Any]
ETHERNET, TAG = 14, 4  # bytes
BEGINNINGS = np.array([64, 128, 255])  # what systems set the time to live to


def _ways(side: Array) -> Ways:
    return Ways(seen=side["packets"] > 0, packets=side["packets"], frame=side["first_frame"])


def _ip_bytes(side: Array) -> Array:
    """Bytes of IP packets: those on the wire less the link layer's; 0 inside tunnels, whose headers are counted too."""
    link = side["packets"] * (ETHERNET + TAG * side["vlan_count"].astype(np.int64))
    return np.where(side["tunnel"] == 0, np.maximum(side["bytes"] - link, 0), 0)


def seen_flows(
    rows: Rows,
    ends: Oriented,
    captures: list[str],
    interfaces: list[str | None],
    texts: dict[str, Texts],
    aws: dict[str, Array],
) -> Flows:
    """A batch's flows as paths are judged by; ``texts``: protocol, server name, service, Region, version, suite and group."""
    flows = rows.flows
    plain = (ends.client["tunnel"] == 0) & (ends.server["tunnel"] == 0)
    return Flows(
        identifier=flows["identifier"],
        captures=captures,
        client_high=ends.client_high,
        client_low=ends.client_low,
        client_port=ends.client_port,
        server_high=ends.server_high,
        server_low=ends.server_low,
        server_port=ends.server_port,
        ip_protocol=flows["ip_protocol"].astype(np.int64),
        started=flows["started"],
        ended=flows["ended"],
        client_payload=ends.client["payload"],
        server_payload=ends.server["payload"],
        client_ip_bytes=_ip_bytes(ends.client),
        server_ip_bytes=_ip_bytes(ends.server),
        client_packets=np.where(plain, ends.client["packets"], 0),
        server_packets=np.where(plain, ends.server["packets"], 0),
        client_aws=aws["client"],
        server_aws=aws["server"],
        opens=(ends.client["syn"] != 0) | (ends.server["syn"] != 0),
        **{name: column.objects() for name, column in texts.items()},
        ways={"client": _ways(ends.client), "server": _ways(ends.server)},
        positions=positions(rows, ends),
        interfaces=interfaces,
    )


def path_columns(judgement: Judgement) -> dict[str, Column]:
    """The columns of ``flows`` about the path."""
    verdict = judgement.verdict
    columns: dict[str, Column] = {
        "path": verdict.path,
        "path_confidence": Texts(list(CONFIDENCE_NAMES), verdict.confidence),
        "path_detail": verdict.detail,
        "path_link": verdict.link,
        "path_against": verdict.against,
        "path_asymmetric": Numbers(verdict.asymmetric == 1, verdict.asymmetric < 0),
        "path_changed": Numbers(judgement.changed_time, judgement.changed_time == 0),
    }
    for name, direction in (("path_out", "client"), ("path_back", "server")):
        columns[name] = verdict.path_of(direction)
        columns[f"{name}_confidence"] = Texts(list(CONFIDENCE_NAMES), verdict.directions[direction].confidence)
    return columns


def hops(side: Array) -> Numbers:
    """Routers that a side's packets had passed, taking the lowest usual time to live for the first."""
    ttl = side["ttl"].astype(np.int64)
    return Numbers(BEGINNINGS[np.searchsorted(BEGINNINGS, ttl)] - ttl, ttl == 0)


class _Line(NamedTuple):
    """What a row of ``evidence`` says besides whose it is, and the frame that shows it."""

    direction: str
    kind: str
    path: str
    confidence: int
    detail: str
    link: str | None = None


def _several_positions(flows: Flows) -> tuple[list[_Line], Array, Array]:
    """(lines, flow of each, first frame of each) of the directions whose packets were seen at several positions."""
    positions = flows.positions
    side = 2 * positions.flow + positions.direction
    several = np.flatnonzero(np.bincount(side, minlength=2 * len(flows))[side] > 1)
    lines = [
        _Line(("client", "server")[int(positions.direction[at])], "position", "unknown", 0, position_text(flows, at))
        for at in several.tolist()
    ]
    return lines, positions.flow[several], positions.first_frame[several]


def position_text(flows: Flows, at: int) -> str:
    """A position in words: how many packets, where, between which MACs, in which tunnel, in which frames."""
    positions = flows.positions
    packets, copies = int(positions.packets[at]), int(positions.copies[at])
    counts = [f"{packets} {agreed(packets, 'packet')}"] if packets else []
    counts += [f"{copies} {agreed(copies, 'copy of a packet', 'copies of packets')} seen elsewhere"] if copies else []
    number, tags = int(positions.interface[at]), int(positions.tags[at])
    name = flows.interfaces[number] if 0 <= number < len(flows.interfaces) else None
    tunnel = tunnel_text(int(positions.tunnel[at]), int(positions.outer_tunnel[at]))
    where = [f"on interface {name}"] if name else []
    where += [f"VLAN {_tags(tags)}" if tags else "untagged"]
    where += [ends_text(int(positions.source_mac[at]), int(positions.target_mac[at]))]
    where += [f"in a tunnel ({tunnel})"] if tunnel else []
    first, last = (
        frames.words(int(frame[at]), flows.captures) for frame in (positions.first_frame, positions.last_frame)
    )
    return f"{' and '.join(counts)} {', '.join(where)}, frames {first} to {last}"


def evidence_table(flows: Flows, evidence: list[Evidence]) -> pa.Table:
    """The rows of ``evidence``, by flow: what speaks for and against paths, and positions where there are several."""
    placed, of, first = _several_positions(flows)
    if not evidence and not placed:
        return arrow.empty("evidence")
    at = [np.flatnonzero(item.mask) for item in evidence]
    which = np.repeat(np.arange(len(evidence) + len(placed)), [*map(len, at), *[1] * len(placed)])
    every = np.concatenate([*at, of])
    none = np.zeros(len(flows), np.int64)
    shown = [(none if item.frame is None else item.frame)[a] for item, a in zip(evidence, at, strict=True)]
    proof = np.concatenate([*shown, first])
    order = np.lexsort((which, every))
    which, every, proof = which[order], every[order], proof[order]
    lines: list[Evidence | _Line] = [*evidence, *placed]
    return arrow.build(
        "evidence",
        {
            "flow_id": flows.identifier[every],
            "direction": Texts([item.direction for item in lines], which),
            "kind": Texts([item.kind for item in lines], which),
            "path": Texts([item.path for item in lines], which),
            "confidence": Texts([CONFIDENCE_NAMES[item.confidence] for item in lines], which),
            "link": Texts([item.link for item in lines], which),
            "detail": Texts([item.detail for item in lines], which),
            "capture": frame_columns.names(proof, flows.captures),
            "frame": frame_columns.numbers(proof),
        },
    )


def _address_rows(control: Control, named: Callable[[int], str | None]) -> Iterator[dict[str, Any]]:
    for binding, seen in control.bindings.items():
        yield {
            "kind": "address",
            "subject": address_text(*binding.address),
            "mac": mac_text(binding.mac),
            "vlan": _tags(binding.vlans),
            "interface": named(binding.interface),
            "told_by": seen.by,
            "frame": seen.frame,
            "time": seen.time,
        }


def _neighbour_rows(control: Control, named: Callable[[int], str | None]) -> Iterator[dict[str, Any]]:
    for neighbour, frame in control.neighbours.items():
        yield {
            "kind": "neighbour",
            "subject": neighbour.system or None,
            "mac": mac_text(neighbour.mac),
            "vlan": _tags(neighbour.vlans),
            "interface": named(neighbour.interface),
            "told_by": "LLDP",
            "detail": f"port {neighbour.port}" if neighbour.port else None,
            "frame": frame,
        }


def _speaker_rows(control: Control, network: Network) -> Iterator[dict[str, Any]]:
    for speaker in network.announcers(control):
        link = network.link_of_address(speaker.address)
        words = f"to {address_text(*speaker.to)}{f', AS {speaker.number}' if speaker.number else ''}"
        yield {
            "kind": "bgp",
            "subject": address_text(*speaker.address),
            "told_by": "BGP",
            "detail": f"announces {len(speaker.routes)} {agreed(len(speaker.routes), 'route')} {words}{f', {link.words}' if link else ''}",
            "count": len(speaker.routes),
            "frame": speaker.frame,
            "time": speaker.time,
        }


def _error_rows(control: Control) -> Iterator[dict[str, Any]]:
    """Errors of one kind, from one reporter, about packets to one address, in one row."""
    counted: dict[tuple[Any, ...], list[IcmpError]] = {}
    for error in control.errors:
        counted.setdefault((error.kind, error.reporter, error.target, error.mtu), []).append(error)
    for (kind, reporter, target, mtu), errors in counted.items():
        yield {
            "kind": "error",
            "subject": address_text(*reporter),
            "told_by": "ICMP",
            "detail": f"{kind}, to {address_text(*target)}{f', path MTU {mtu}' if mtu else ''}",
            "count": len(errors),
            "frame": errors[0].frame,
            "time": errors[0].time,
        }


def _macsec_rows(control: Control) -> Iterator[dict[str, Any]]:
    for (source, target), seen in control.macsec.items():
        yield {
            "kind": "macsec",
            "subject": mac_text(source),
            "mac": mac_text(source),
            "told_by": "MACsec",
            "detail": f"encrypted frames to {mac_text(target)}: what is inside cannot be seen",
            "count": seen.count,
            "frame": seen.frame,
            "time": seen.time,
        }


def _tags(vlans: int) -> str | None:
    return vlan_text(vlans, next((k for k in range(5) if vlans >> 12 * k == 0), 5))


def _network_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What comes first of a kind: by time, and of one time by what is said, since files may hold that in any order."""
    said = ("subject", "mac", "vlan", "interface", "told_by", "detail", "count")
    return row.get("time", 0), *(str(row.get(name) or "") for name in said)


def network_table(control: Control, network: Network, interfaces: list[str | None]) -> pa.Table:
    """What captures that are read as one show of the network itself, as rows of ``network``."""

    def named(number: int) -> str | None:
        return interfaces[number] if 0 <= number < len(interfaces) else None

    kinds = (
        _address_rows(control, named),
        _neighbour_rows(control, named),
        _speaker_rows(control, network),
        _error_rows(control),
        _macsec_rows(control),
    )
    rows = [row for kind in kinds for row in sorted(kind, key=_network_order)]
    if not rows:
        return arrow.empty("network")
    for row in rows:
        frame = row["frame"]
        row["capture"], row["frame"] = control.captures[frames.capture(frame)], frames.number(frame)
    names = [column.name for column in schema.TABLES["network"]]
    return arrow.build("network", {name: [row.get(name) for row in rows] for name in names})
