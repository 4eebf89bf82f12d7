"""The inventory of cipher suites and protocols in use that PCI DSS 4.0.1 asks for in requirement 12.3.3."""

import csv
import io
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from auditor.border.text import cell
from auditor.report.plain import iso
from auditor.report.results import Results
from auditor.tls.suites import properties

HEADER = (
    "protocol", "cipher_suite", "key_exchange_group", "bits", "forward_secrecy", "iana_recommended", "purpose", "where_used",
    "path", "path_confidence", "handshakes", "first_seen", "last_seen", "verdict",
)  # fmt: skip
MOST_NAMES = 20


@dataclass
class SuiteCount:
    """How a suite is used."""

    handshakes: int = 0
    first: int = 1 << 63
    last: int = 0
    verdicts: set[str] = field(default_factory=set)
    servers: set[str] = field(default_factory=set)


def write(result: Results, out: BinaryIO) -> None:
    """A CSV with a line for each version, suite, group, purpose and path that was negotiated."""
    names = ("flow_id", "service", "server_name", "server_ip", "path", "path_confidence", "verdict")
    uses: dict[tuple[Any, ...], SuiteCount] = {}
    columns = ("flow_id", "started", "tls_version", "cipher_suite", "key_exchange_group")
    shakes = ((flow, row) for flow, rows in result.with_flows("handshakes", names, columns) for row in rows)
    for flow, shake in shakes:
        if shake["cipher_suite"] is None:
            continue
        purpose = flow["service"] or flow["server_name"] or "?"
        spoken = shake["tls_version"], shake["cipher_suite"], shake["key_exchange_group"]
        key = (*spoken, purpose, flow["path"], flow["path_confidence"])
        use = uses.setdefault(key, SuiteCount())
        use.handshakes += 1
        use.first, use.last = min(use.first, shake["started"]), max(use.last, shake["started"])
        use.verdicts.add(flow["verdict"])
        if len(use.servers) <= MOST_NAMES:
            use.servers.add(flow["server_name"] or flow["server_ip"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for key, use in sorted(uses.items(), key=lambda item: tuple(str(part) for part in item[0])):
        version, suite, group, purpose, *way = key
        known = properties(suite)
        secret = (
            known.value("forward_secrecy") if known is not None and known.key_exchange != "TLS13" else "by key share"
        )
        servers = sorted(use.servers)
        where = " ".join(servers[:MOST_NAMES]) + (" …" if len(servers) > MOST_NAMES else "")
        worst = max(use.verdicts, key=("not_applicable", "pass", "not_observable", "warn", "fail").index)
        cells = [version, suite, group, known.bits if known else None, secret, known.recommended if known else None]
        cells += [purpose, where, *way, use.handshakes, iso(use.first), iso(use.last), worst]
        writer.writerow(map(cell, cells))
    out.write(text.getvalue().encode())
