"""The packets that prove a finding, as a pcapng of their own, and the finding in words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.border.text import printable
from auditor.capture import write
from auditor.errors import AuditError
from auditor.report import flow_ids
from auditor.report.output import opened
from auditor.report.plain import about
from auditor.report.results import Results

if TYPE_CHECKING:
    from auditor.report.drill import Frame

MOST_PACKETS = 20_000  # of one finding
LONGEST_COMMENT = 65_000  # an option's length has two bytes
MOST_KNOWN = 20  # findings that are listed where another is asked for
ABOUT = ("client_group", "service", "region", "servers", "top_clients", "top_servers")
PAGE = (("What", "what"), ("Why", "why"), ("How to fix", "fix"), ("Source", "source"))
FACTS = (
    *("flow_id", "started", "client_ip", "client_port", "server_ip", "server_port", "path", "path_confidence"),
    *("protocol", "tls_version", "cipher_suite", "key_exchange_group", "forward_secrecy"),
)
BEHIND = 2  # packets of a flow that are kept behind the last one that proves something


def finding(result: Results, finding_id: str) -> dict[str, Any]:
    """The row of a finding. Raises AuditError where there is none."""
    names = ("finding_id", "rule", "policy", "title", "severity", "verdict", "reason", "flows", "clients")
    rows = result.rows(
        "findings", *names, *ABOUT, "first_seen", "last_seen", "capture", "sample_flows", "sample_frames", "evidence"
    )
    matches = [row for row in rows if row["finding_id"].lower() == finding_id.lower()]
    if not matches:
        known = ", ".join(row["finding_id"] for row in rows[:MOST_KNOWN])
        known += f" and {len(rows) - MOST_KNOWN:,} more" if len(rows) > MOST_KNOWN else ""
        raise AuditError(f"{finding_id}: no such finding; there are {known or 'none'}")
    return matches[0]


def _numbers(text: str | None) -> list[int]:
    return [int(one) for one in (text or "").split()]


def display_filter(row: dict[str, Any]) -> str:
    """A Wireshark display filter for the frames that prove a finding, in its capture."""
    frames = _numbers(row["sample_frames"])
    return f"frame.number in {{{', '.join(map(str, frames))}}}" if frames else "frame"


def explain_finding(result: Results, finding_id: str) -> str:
    """A finding in words: the facts, the rule, the frames, and how to see them in Wireshark."""
    row = finding(result, finding_id)
    policy, rule = row["policy"], result.rule(row["rule"])
    options = {one["id"]: one for one in result.manifest["policies"]}
    examples = " ".join(flow_ids.short(result, _numbers(row["sample_flows"])))
    lines = [
        f"{row['finding_id']}: {row['title']}",
        f"{row['severity']}, {row['verdict']}; policy {policy} {options.get(policy, {}).get('edition', '')}".rstrip(),
        f"About: {about(row)}",
        f"Clients: {row['clients']}; most flows: {row['top_clients'] or 'none'}",
        f"Servers: {row['servers']}; most flows: {row['top_servers'] or 'none'}",
        f"Reason: {row['reason']}",
        f"Flows: {row['flows']}; examples: {examples}",
        *(f"Capture: {part['capture']}; frames: {' '.join(map(str, part['frames']))}" for part in evidence_of(row)),
        f"Wireshark: {display_filter(row)}",
        *_facts(result, _numbers(row["sample_flows"])),
    ]
    if rule is not None:
        lines += ["", *(f"{head}: {rule[name]}" for head, name in PAGE)]
        lines[-1:-1] = [f"  {place}: {way}" for place, way in rule.get("ways", {}).items()]
    return "\n".join(lines) + "\n"


def _facts(result: Results, flows: list[int]) -> list[str]:
    """What is known of the sample flows, a line each."""
    from auditor.report.plain import iso, values

    if not flows:
        return []
    rows = result.about("flows", flows)
    columns = {name: values(rows.column(name)) for name in FACTS}
    lines = ["", "Facts of the sample flows:"]
    for k, name in enumerate(flow_ids.short(result, columns["flow_id"])):
        row = {column: cells[k] for column, cells in columns.items()}
        secrecy = {True: "forward secret", False: "not forward secret", None: None}[row["forward_secrecy"]]
        confidence = f" ({row['path_confidence']})" if row["path_confidence"] != "none" else ""
        facts = (
            f"path {row['path']}{confidence}", row["tls_version"] or row["protocol"], row["cipher_suite"],
            row["key_exchange_group"], secrecy,
        )  # fmt: skip
        ends = f"{_end(row['client_ip'], row['client_port'])} → {_end(row['server_ip'], row['server_port'])}"
        begun = (iso(row["started"]) or "")[:23].replace("T", " ")
        lines.append(f"  {name}: {begun} {ends}: {', '.join(str(one) for one in facts if one)}")
    return lines


def _end(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _text(text: str) -> bytes:
    """A comment: what comes from the network is reduced to printable characters."""
    return "\n".join(map(printable, text.split("\n"))).encode()[:LONGEST_COMMENT]


def extract(result: Results, finding_id: str, out: str | Path | BinaryIO, *, force: bool = False) -> int:
    """Write the packets of a finding's sample flows, up to the last that proves it, to a pcapng; how many they are.

    Each capture has a section, whose header names it with its SHA-256, and the finding; each packet that proves something has a comment
    with the rule and its frame in the capture. Times and interfaces are the capture's. Raises AuditError where the capture is
    not there, or is not the one that was audited.
    """
    from auditor.data import __version__

    row = finding(result, finding_id)
    parts = evidence_of(row)
    if not parts:
        raise AuditError(f"{finding_id}: is about no flow of a capture: there are no packets to show")
    sums = {line["capture"]: line["sha256"] for line in result.rows("captures", "capture", "sha256")}
    application = write.option(write.APPLICATION, f"auditor {__version__}".encode())
    written = 0
    with opened(out, result, force=force) as file:
        for group in [[part] for part in parts] if result.is_apart else [parts]:
            for capture, some in _proving(result, group).items():
                head = f"Evidence for {row['finding_id']} ({row['title']}): {row['reason']}\n"
                head += f"Source: {capture}, SHA-256 {sums.get(capture, '?')}"
                file.write(write.section(write.option(write.COMMENT, _text(head)) + application))
                file.writelines(_section(row, some, _proof(group).get(capture, set())))
                written += len(some)
    return written


def evidence_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each capture of a finding its name, sample flows, and the frames that prove it."""
    return list(json.loads(row["evidence"])) if row["evidence"] else []


def _proof(parts: list[dict[str, Any]]) -> dict[str, set[int]]:
    """The frames of each capture that prove something."""
    return {part["capture"]: set(part["frames"]) for part in parts}


def frames_text(row: dict[str, Any]) -> str:
    """The frames that prove a finding, each with its capture: ``monday.pcap:3,7 tuesday.pcap:12``."""
    parts = (part for part in evidence_of(row) if part["frames"])
    return " ".join(f"{part['capture']}:{','.join(map(str, part['frames']))}" for part in parts)


def _section(row: dict[str, Any], frames: list["Frame"], proof: set[int]) -> Iterator[bytes]:
    """The blocks of one capture: each interface stands before its first packet."""
    interfaces: dict[int, int] = {}
    for frame in frames:
        if frame.interface not in interfaces:
            interfaces[frame.interface] = len(interfaces)
            yield write.interface(frame.link_type, frame.interface_name)
        words = f"frame {frame.number} of {frame.capture}"
        if frame.number in proof:
            words = f"{row['rule']}: {row['reason']} ({words})"
        comment, which = write.option(write.COMMENT, _text(words)), interfaces[frame.interface]
        yield write.packet(which, frame.captured, frame.data, frame.wire_length, comment)


def _proving(result: Results, parts: list[dict[str, Any]]) -> dict[str, list["Frame"]]:
    """The frames of sample flows by capture, each flow's up to a little behind the last that proves something."""
    from auditor.report.drill import frames

    flows = list(dict.fromkeys(flow for part in parts for flow in part["flows"]))
    last = {capture: max(proof, default=0) for capture, proof in _proof(parts).items()}
    behind, given = dict.fromkeys(flows, 0), 0
    found: dict[str, list[Frame]] = {}
    for frame in frames(result, flows):
        behind[frame.flow_id] += not last
        if frame.number >= last.get(frame.capture, frame.number + 1):
            del last[frame.capture]
        if behind[frame.flow_id] <= BEHIND and given < MOST_PACKETS:
            given += 1
            found.setdefault(frame.capture, []).append(frame)
    return found
