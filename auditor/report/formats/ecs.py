"""Elastic Common Schema: an event for each handshake (fields ``tls.*``, ``source``, ``destination``), and for what was not judged; JSON lines."""

import json
from typing import Any, BinaryIO

from auditor.report import overview
from auditor.report.plain import iso
from auditor.report.results import Results
from auditor.report.silence import Unjudged, unjudged

VERSION = "8.17.0"
FLOW = (
    *("flow_id", "client_ip", "client_port", "client_mac", "server_ip", "server_port", "server_mac", "server_name"),
    *("transport", "vlan", "region", "service", "path", "path_confidence", "verdict"),
)
PROTOCOLS = {"tcp": "tls", "dtls": "dtls", "quic": "quic", "other": "tls"}
SHAKE = (
    "transport",
    *(
        "flow_id",
        "started",
        "tls_version",
        "cipher_suite",
        "key_exchange_group",
        "resumed",
        "established",
        "alpn",
        "ja3",
    ),
    *("ja3s", "server_name", "cipher_suites_offered", "certificate_id"),
)


def event(flow: dict[str, Any], shake: dict[str, Any]) -> dict[str, Any]:
    """The event of a handshake."""
    protocol, _, number = (shake["tls_version"] or "").partition(" ")
    names = {
        "version": number or None,
        "version_protocol": protocol.lower() or None,
        "cipher": shake["cipher_suite"],
        "curve": shake["key_exchange_group"],
        "resumed": shake["resumed"],
        "established": shake["established"],
        "next_protocol": shake["alpn"],
        "client": {
            "ja3": shake["ja3"],
            "server_name": shake["server_name"],
            "supported_ciphers": (shake["cipher_suites_offered"] or "").split() or None,
        },
        "server": {
            "ja3s": shake["ja3s"],
            "hash": {"sha256": shake["certificate_id"].upper()} if shake["certificate_id"] else None,
        },
    }
    return {
        "@timestamp": iso(shake["started"]),
        "ecs": {"version": VERSION},
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": ["connection", "protocol"],
            "dataset": "auditor.tls",
            "outcome": {True: "success", False: "failure", None: "unknown"}[shake["established"]],
        },
        "source": {"ip": flow["client_ip"], "port": flow["client_port"], "mac": _mac(flow["client_mac"])},
        "destination": {
            "ip": flow["server_ip"],
            "port": flow["server_port"],
            "mac": _mac(flow["server_mac"]),
            "domain": flow["server_name"],
        },
        "network": {
            "transport": flow["transport"],
            "protocol": PROTOCOLS[shake["transport"]],
            "vlan": {"id": flow["vlan"]},
        },
        "cloud": {"provider": "aws", "region": flow["region"], "service": {"name": flow["service"]}}
        if flow["service"]
        else None,
        "tls": names,
        "labels": {"path": flow["path"], "path_confidence": flow["path_confidence"], "verdict": flow["verdict"]},
    }


def open_question(one: Unjudged, time: int) -> dict[str, Any]:
    """The event of what a rule, or all of them, left open."""
    return {
        "@timestamp": iso(time),
        "ecs": {"version": VERSION},
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": ["info"],
            "dataset": "auditor.not_judged",
            "id": one.uid,
            "outcome": "unknown",
            "reason": one.reason,
        },
        "message": f"Not judged: {one.title}",
        "rule": {"id": one.rule, "ruleset": one.policy, "name": one.title if one.rule else None},
        "labels": {"verdict": one.verdict, "flows": str(one.flows)},
    }


def _mac(text: str | None) -> str | None:
    return text.upper().replace(":", "-") if text else None


def without_none(value: Any) -> Any:
    """A value without members that are missing."""
    if isinstance(value, dict):
        return {name: kept for name, one in value.items() if (kept := without_none(one)) not in (None, {}, [])}
    if isinstance(value, list):
        return [kept for one in value if (kept := without_none(one)) not in (None, {}, [])]
    return value


def write(result: Results, out: BinaryIO) -> None:
    """An event for each handshake, and for what was not judged."""
    for flow, shakes in result.with_flows("handshakes", FLOW, SHAKE):
        out.writelines(_line(event(flow, shake)) for shake in shakes)
    _, end = overview.span(result) or (0, 0)
    out.writelines(_line(open_question(one, end)) for one in unjudged(result))


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(without_none(record), ensure_ascii=True).encode() + b"\n"
