"""The flows of the page: columns in which equal texts are kept once, so that a hundred thousand flows are a megabyte."""

from typing import Any

import numpy as np

from auditor.report.flow_columns import FlowColumns
from auditor.tables.columns import Texts
from auditor.tables.schema import VERDICTS

Array = np.ndarray[Any, Any]
MOST_FLOWS = 200_000  # the worst first
EXACT = 1 << 53  # the largest whole number that JavaScript has exactly
FACETS = {
    "verdict": "Verdict",
    "private": "Private?",
    "path": "Path",
    "version": "Version",
    "service": "Service",
    "network": "Client network",
    "capture": "Capture",
}


def packed(flows: FlowColumns, findings: Texts) -> dict[str, Any]:
    """The columns of the table, the worst flows first, as lists of texts and codes or of numbers."""
    rank = np.array([VERDICTS.index(str(name)) if name else 0 for name in [*flows.verdict.values, None]])
    order = np.lexsort((flows.numbers("flow_id"), -rank[flows.verdict.index]))[:MOST_FLOWS]
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
        "service": flows.service,
        "capture": flows.texts("capture"),
        "findings": findings,
    }
    numbers = {
        "flow_id": flows.numbers("flow_id"),
        "started": flows.numbers("started") // 1_000_000,
        "client_port": flows.numbers("client_port"),
        "server_port": flows.numbers("server_port"),
        "bytes": flows.bytes,
    }
    columns: dict[str, Any] = {name: _texts(column, order) for name, column in texts.items()}
    columns |= {name: _numbers(column[order]) for name, column in numbers.items()}
    return {"columns": columns, "in_all": len(flows), "count": len(order)}


def _texts(column: Texts, order: Array) -> list[Any]:
    """The texts that are used, in the order in which they are met, and the code of each row."""
    used, codes = np.unique(column.index[order], return_inverse=True)
    table = [*column.values, None]
    return [[table[code] for code in used.tolist()], codes.tolist()]


def _numbers(column: Array) -> list[Any]:
    """Whole numbers; as text where JavaScript would round them."""
    rows = column.tolist()
    return rows if not len(column) or int(np.abs(column).max()) < EXACT else [str(value) for value in rows]
