"""OCSF 1.8.0 (schema.ocsf.io): Network Activity 4001 for each flow with TLS or to AWS, Compliance Finding 2003 for each finding."""

import ipaddress
import json
from itertools import chain
from typing import Any, BinaryIO

from auditor.report import overview
from auditor.report.formats.ecs import without_none
from auditor.report.plain import about, finding_uid
from auditor.report.proof import evidence_of
from auditor.report.results import Results
from auditor.report.silence import Unjudged, unjudged

VERSION = "1.8.0"
SHAKE = (
    "flow_id",
    "tls_version",
    "cipher_suite",
    "cipher_suites_offered",
    "server_name",
    "ja3",
    "ja3s",
)
FLOW = (
    *("flow_id", "started", "ended", "transport", "client_ip", "client_port", "client_mac", "server_ip", "server_port"),
    *("server_mac", "server_name", "service", "region", "path", "path_confidence", "verdict", "ja4"),
    *("client_packets", "server_packets", "client_bytes", "server_bytes"),
)
NO_POLICY = ("exceptions", "all")  # in place of a policy: of findings, and of what no rule judged
UNKNOWN, INBOUND, OUTBOUND, LATERAL = range(4)
DIRECTIONS = ["Unknown", "Inbound", "Outbound", "Lateral"]
NETWORK, FINDING = 4001, 2003
TRAFFIC, CREATE = 6, 1  # activities
SEVERITIES = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
SEVERITY_NAMES = ["Unknown", "Informational", "Low", "Medium", "High", "Critical"]
# traffic-path of VPC flow logs, which OCSF's boundary_id mirrors. Direct Connect and VPN come in by a virtual gateway.
BOUNDARIES = {"direct-connect": (6, "Virtual Private Gateway"), "vpn": (6, "Virtual Private Gateway")}
BOUNDARIES |= {"vpc": (4, "Same VPC"), "internet": (5, "Internet/VPC Gateway"), "private": (99, "Other")}
STATUSES = {
    "fail": (3, "Fail"),
    "warn": (2, "Warning"),
    "not_observable": (0, "Unknown"),
    "not_applicable": (0, "Unknown"),
}
PROTOCOLS = {"tcp": 6, "udp": 17, "esp": 50, "eapol": 255}


def _metadata(result: Results) -> dict[str, Any]:
    product = {"name": "auditor", "vendor_name": "traffic-auditor", "version": result.manifest["versions"]["auditor"]}
    return {"version": VERSION, "product": product, "profiles": ["cloud"]}


def _cloud(flow: dict[str, Any]) -> dict[str, Any]:
    return {"provider": "AWS", "region": flow.get("region")}


def _tls(shake: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": (shake["tls_version"] or "unknown").removeprefix("TLS "),
        "cipher": shake["cipher_suite"],
        "client_ciphers": (shake["cipher_suites_offered"] or "").split(),
        "sni": shake["server_name"],
        "ja3_hash": _hash("MD5", 1, shake["ja3"]),
        "ja3s_hash": _hash("MD5", 1, shake["ja3s"]),
    }


def _direction(flow: dict[str, Any]) -> int:
    """Which way a flow goes: out to an AWS service, between private addresses, or over their border."""
    if flow["service"] is not None:
        return OUTBOUND
    client, server = (ipaddress.ip_address(flow[name]).is_private for name in ("client_ip", "server_ip"))
    if client and server:
        return LATERAL
    return OUTBOUND if client else INBOUND if server else UNKNOWN


def _hash(name: str, number: int, value: str | None) -> dict[str, Any] | None:
    return {"algorithm": name, "algorithm_id": number, "value": value} if value else None


def network_activity(result: Results, flow: dict[str, Any], shake: dict[str, Any] | None) -> dict[str, Any]:
    """The event of a flow."""
    boundary, name = BOUNDARIES.get(flow["path"], (0, "Unknown"))
    ja4, direction = flow["ja4"], _direction(flow)
    return {
        "class_uid": NETWORK,
        "class_name": "Network Activity",
        "category_uid": 4,
        "category_name": "Network Activity",
        "activity_id": TRAFFIC,
        "activity_name": "Traffic",
        "type_uid": NETWORK * 100 + TRAFFIC,
        "type_name": "Network Activity: Traffic",
        "severity_id": 1,
        "severity": SEVERITY_NAMES[1],
        "time": flow["started"] // 1_000_000,
        "start_time": flow["started"] // 1_000_000,
        "end_time": flow["ended"] // 1_000_000,
        "metadata": _metadata(result),
        "cloud": _cloud(flow),
        "src_endpoint": {"ip": flow["client_ip"], "port": flow["client_port"], "mac": flow["client_mac"]},
        "dst_endpoint": {
            "ip": flow["server_ip"],
            "port": flow["server_port"],
            "mac": flow["server_mac"],
            "hostname": flow["server_name"],
            "svc_name": flow["service"],
        },
        "connection_info": {
            "direction_id": direction,
            "direction": DIRECTIONS[direction],
            "boundary_id": boundary,
            "boundary": name,
            "protocol_num": PROTOCOLS[flow["transport"]],
            "protocol_name": flow["transport"],
        },
        "traffic": {
            "packets_out": flow["client_packets"],
            "packets_in": flow["server_packets"],
            "bytes_out": flow["client_bytes"],
            "bytes_in": flow["server_bytes"],
        },
        "tls": _tls(shake) if shake is not None else None,
        "ja4_fingerprint_list": [{"type_id": 1, "type": "JA4", "value": ja4}] if ja4 else None,
        "unmapped": {"path": flow["path"], "path_confidence": flow["path_confidence"], "verdict": flow["verdict"]},
    }


def compliance_finding(result: Results, row: dict[str, Any], uid: str, what: str) -> dict[str, Any]:
    """The event of a finding, or of what was not judged."""
    number, name = STATUSES[row["verdict"]]
    severity = SEVERITIES[row["severity"]]
    return {
        "class_uid": FINDING,
        "class_name": "Compliance Finding",
        "category_uid": 2,
        "category_name": "Findings",
        "activity_id": CREATE,
        "activity_name": "Create",
        "type_uid": FINDING * 100 + CREATE,
        "type_name": "Compliance Finding: Create",
        "severity_id": severity,
        "severity": SEVERITY_NAMES[severity],
        "status_id": 1,
        "status": "New",
        "time": (row["last_seen"] or 0) // 1_000_000,
        "metadata": _metadata(result),
        "cloud": {"provider": "AWS"},
        "finding_info": {
            "uid": uid,
            "title": row["title"],
            "desc": f"{what}: {row['reason']}",
            "first_seen_time": (row["first_seen"] or 0) // 1_000_000,
            "last_seen_time": (row["last_seen"] or 0) // 1_000_000,
            "types": ["Traffic audit"],
        },
        "compliance": {
            "control": row["rule"],
            "standards": [row["policy"] or NO_POLICY[row["rule"] is None]],
            "status_id": number,
            "status": name,
            "status_detail": row["reason"],
        },
        "resources": [
            {"uid": row["service"], "name": row["service"], "region": row["region"], "type": "network endpoint"}
        ],
        "evidences": [
            {"data": {name: part[name] if name == "capture" else " ".join(map(str, part[name])) for name in part}}
            for part in evidence_of(row)
        ],
        "count": row["flows"],
    }


def _not_judged(one: Unjudged, times: tuple[int, int]) -> dict[str, Any]:
    """What was not judged, as a row of findings would have it."""
    row: dict[str, Any] = dict.fromkeys(("region", "evidence"))
    row |= {"rule": one.rule, "policy": one.policy, "title": f"Not judged: {one.title}", "reason": one.reason}
    row |= {"first_seen": times[0], "last_seen": times[1], "flows": one.flows, "service": "traffic"}
    return row | {"verdict": one.verdict, "severity": "info"}


def write(result: Results, out: BinaryIO) -> None:
    """Events as JSON lines: flows first, then findings, then what was not judged."""
    sums = {row["capture"]: row["sha256"] for row in result.rows("captures", "capture", "sha256")}
    events = (
        network_activity(result, flow, next(iter(shakes), None))
        for flow, shakes in result.with_flows("handshakes", FLOW, SHAKE)
        if shakes or flow["service"]
    )
    out.writelines(json.dumps(without_none(event), ensure_ascii=True).encode() + b"\n" for event in events)
    found = (
        compliance_finding(result, row, finding_uid(row, sums), about(row))
        for row in result.records("findings", times="ns")
    )
    times = overview.span(result) or (0, 0)
    left = (compliance_finding(result, _not_judged(one, times), one.uid, "Not judged") for one in unjudged(result))
    out.writelines(json.dumps(without_none(event), ensure_ascii=True).encode() + b"\n" for event in chain(found, left))
