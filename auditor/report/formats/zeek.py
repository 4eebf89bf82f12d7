"""Zeek's ssl.log and conn.log, as its ASCII writer has them: pipelines that read Zeek can read us."""

import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from auditor.border.text import printable
from auditor.report.results import Results

SSL = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "version": "string", "cipher": "string", "curve": "string", "server_name": "string", "resumed": "bool",
    "last_alert": "string", "next_protocol": "string", "established": "bool", "ssl_history": "string",
    "cert_chain_fps": "vector[string]", "client_cert_chain_fps": "vector[string]", "sni_matches_cert": "bool",
    "ja3": "string", "ja3s": "string",
}  # fmt: skip
CONN = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "proto": "enum", "service": "string", "duration": "interval", "orig_bytes": "count", "resp_bytes": "count",
    "conn_state": "string", "local_orig": "bool", "local_resp": "bool", "missed_bytes": "count", "history": "string",
    "orig_pkts": "count", "orig_ip_bytes": "count", "resp_pkts": "count", "resp_ip_bytes": "count",
}  # fmt: skip
ENDS = ("flow_id", "capture", "client_ip", "client_port", "server_ip", "server_port")
FLOW = ("started", "ended", "transport", "protocol", "client_packets", "server_packets")
SHAKE = (
    *(
        "flow_id",
        "started",
        "tls_version",
        "cipher_suite",
        "key_exchange_group",
        "server_name",
        "resumed",
        "alert",
        "alpn",
    ),
    *("established", "history", "certificate_chain", "client_certificate_id", "certificate_matches", "ja3", "ja3s"),
)
VERSIONS = {"SSL 2.0": "SSLv2", "SSL 3.0": "SSLv3", "TLS 1.0": "TLSv10", "TLS 1.1": "TLSv11", "TLS 1.2": "TLSv12"}
VERSIONS |= {"TLS 1.3": "TLSv13", "DTLS 1.0": "DTLSv10", "DTLS 1.2": "DTLSv12", "DTLS 1.3": "DTLSv13"}
SERVICES = {"tls": "ssl", "quic": "quic", "dtls": "dtls"}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _uid(capture: str, flow: int) -> str:
    """A flow's id in Zeek's form; the same for the same capture and flow."""
    number = int.from_bytes(hashlib.sha256(f"{capture} {flow}".encode()).digest()[:12], "big")
    text = ""
    while number:
        number, at = divmod(number, len(LETTERS))
        text += LETTERS[at]
    return f"C{text}"


def _text(value: Any, kind: str) -> str:
    if value is None or value == "":
        return "(empty)" if value == "" else "-"
    if kind == "bool":
        return "T" if value else "F"
    if kind == "time":
        return f"{value // 1_000_000_000}.{value % 1_000_000_000 // 1000:06d}"
    if kind == "interval":
        return f"{value:.6f}"
    if kind.startswith("vector"):
        return ",".join(printable(one).replace(",", "\\x2c") for one in value) or "(empty)"
    return printable(value).replace("\t", "\\x09")


def _write(out: BinaryIO, path: str, fields: dict[str, str], rows: Iterator[dict[str, Any]]) -> None:
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{path}"]
    head += ["\t".join(["#fields", *fields]), "\t".join(["#types", *fields.values()])]
    out.write(("\n".join(head) + "\n").encode())
    out.writelines(
        ("\t".join(_text(row.get(name), kind) for name, kind in fields.items()) + "\n").encode() for row in rows
    )


def _ends(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": _uid(row["capture"], row["flow_id"]),
        "id.orig_h": row["client_ip"],
        "id.orig_p": row["client_port"] or 0,
        "id.resp_h": row["server_ip"],
        "id.resp_p": row["server_port"] or 0,
    }


def ssl(result: Results, out: BinaryIO) -> None:
    """ssl.log: a line for each handshake."""

    def lines() -> Iterator[dict[str, Any]]:
        shakes = ((flow, row) for flow, rows in result.with_flows("handshakes", ENDS, SHAKE) for row in rows)
        for flow, row in shakes:
            version, alert = row["tls_version"], row["alert"]
            yield {
                **_ends(flow),
                "ts": row["started"],
                "version": VERSIONS.get(version, version),
                "cipher": row["cipher_suite"],
                "curve": row["key_exchange_group"],
                "server_name": row["server_name"],
                "resumed": bool(row["resumed"]),
                "last_alert": alert.partition(": ")[2] if alert else None,
                "next_protocol": row["alpn"],
                "established": bool(row["established"]),
                "ssl_history": row["history"],
                "cert_chain_fps": row["certificate_chain"].split() if row["certificate_chain"] else None,
                "client_cert_chain_fps": [row["client_certificate_id"]] if row["client_certificate_id"] else None,
                "sni_matches_cert": row["certificate_matches"],
                "ja3": row["ja3"],
                "ja3s": row["ja3s"],
            }

    _write(out, "ssl", SSL, lines())


def conn(result: Results, out: BinaryIO) -> None:
    """conn.log: a line for each flow. What Zeek counts otherwise (payload bytes, states) is left unset."""

    def lines() -> Iterator[dict[str, Any]]:
        for row in result.records("flows", *ENDS, *FLOW, times="ns"):
            yield {
                **_ends(row),
                "ts": row["started"],
                "proto": row["transport"],
                "service": SERVICES.get(row["protocol"], row["protocol"]),
                "duration": (row["ended"] - row["started"]) / 1e9,
                "orig_pkts": row["client_packets"],
                "resp_pkts": row["server_packets"],
            }

    _write(out, "conn", CONN, lines())
