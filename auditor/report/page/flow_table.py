"""The flows of the page: columns in which equal texts are kept once, so that a hundred thousand flows are a megabyte."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import numpy as np

from auditor.report import flow_ids
from auditor.report.flow_columns import FlowColumns, joined
from auditor.report.page.linked import findings_of
from auditor.report.results import Results
from auditor.tables.closed import VERDICTS
from auditor.tables.columns import Texts
from auditor.tables.versions import VERSION_ORDER

Array = np.ndarray[Any, Any]
MOST_FLOWS = 200_000  # the worst first
FACETS = {
    "verdict": "Verdict",
    "private": "Private?",
    "path": "Path",
    "version": "Version",
    "service": "Service",
    "network": "Client network",
    "capture": "Capture",
}


def packed(result: Results, flows: FlowColumns) -> dict[str, Any]:
    """The columns of the table, the worst flows first, as lists of texts and codes or of numbers."""
    rank = np.array([VERDICTS.index(str(name)) if name else 0 for name in [*flows.verdict.values, None]])
    order = np.lexsort((flows.numbers("started"), -rank[flows.verdict.index]))[:MOST_FLOWS]
    texts = {
        "verdict": flows.verdict,
        "client": flows.client,
        "network": flows.network,
        "server": flows.server,
        "address": flows.texts("server_ip"),
        "private": flows.privacy,
        "path": flows.way,
        "version": flows.spoken,
        "suite": flows.texts("cipher_suite"),
        "capture": flows.texts("capture"),
        "findings": findings_of(result, flows),
    }
    numbers = {
        "started": flows.numbers("started") // 1_000_000,
        "client_port": flows.numbers("client_port"),
        "server_port": flows.numbers("server_port"),
        "bytes": flows.bytes,
    }
    columns: dict[str, Any] = {name: _texts(column, order, SORTS.get(name, str)) for name, column in texts.items()}
    columns["service"] = _services(flows, order)
    columns |= {name: column[order].tolist() for name, column in numbers.items()}
    columns["flow_id"] = flow_ids.short(result, flows.numbers("flow_id")[order].tolist())
    return {"columns": columns, "in_all": len(flows), "count": len(order)}


def _services(flows: FlowColumns, order: Array) -> list[Any]:
    """The AWS services that flows are counted with, and the code of each flow; -1 for its server, which has a column."""
    named = joined([flows.service, flows.server], lambda service, server: None if service == server else service)
    texts, codes = _texts(named, order, str)
    return [[text for text in texts if text is not None], [-1 if texts[code] is None else code for code in codes]]


def _texts(column: Texts, order: Array, key: Callable[[str], Any]) -> list[Any]:
    """The texts that are used, sorted as people would, missing ones last, and the code of each row."""
    table = [*column.values, None]
    codes = column.index[order]
    used = np.unique(codes).tolist()
    used.sort(key=lambda code: (table[code] is None, None if table[code] is None else key(str(table[code]))))
    place = np.zeros(len(table), np.int64)
    place[used] = np.arange(len(used))
    return [[table[code] for code in used], place[codes].tolist()]


def _address(text: str) -> tuple[int, int]:
    ip = ip_address(text)
    return ip.version, int(ip)


def _version(text: str) -> tuple[int, str]:
    """Versions from worst to best, then protocols."""
    return VERSION_ORDER.index(text) if text in VERSION_ORDER else len(VERSION_ORDER), text


SORTS: dict[str, Callable[[str], Any]] = {
    "client": _address,
    "address": _address,
    "version": _version,
    "verdict": lambda text: -VERDICTS.index(text),
}
