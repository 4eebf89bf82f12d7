"""What the rows of a table hold besides the types of their columns: what readers of results rely on, whoever wrote them."""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.border import gate
from auditor.border.words import counted
from auditor.tables import schema

# Columns that have a value in every row.
ALWAYS = {
    "flows": (
        *("flow_id", "capture", "started", "ended", "transport", "client_ip", "server_ip", "client_packets"),
        *("server_packets", "client_bytes", "server_bytes", "path", "path_confidence", "path_out"),
        *("path_out_confidence", "path_back", "path_back_confidence", "verdict"),
    ),
    "handshakes": ("flow_id", "started", "transport", "status"),
    "certificates": ("certificate_id",),
    "requests": ("flow_id", "time", "scheme", "signature_version"),
    "evidence": ("flow_id", "direction", "kind", "path", "confidence"),
    "verdicts": ("flow_id", "rule", "verdict"),
    "findings": (
        *("finding_id", "rule", "title", "severity", "verdict", "service", "reason", "flows"),
        *("first_seen", "last_seen"),
    ),
    "network": ("capture", "kind"),
    "witnesses": ("witness", "kind"),
    "captures": ("capture", "packets", "flows", "handshakes", "status"),
}
OF_A_FLOW = {"handshakes", "requests", "evidence", "verdicts"}  # each row is about a flow that is there
GREATEST = 1 << 53  # of numbers that count: what JSON and spreadsheets hold exactly; flow_id is a hash of 63 bits
NUMBERS = re.compile(r"(?:\d{1,19}(?: \d{1,19})*)?")


@lru_cache(1 << 16)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _are_numbers(text: str) -> bool:
    return NUMBERS.fullmatch(text) is not None


def _is_evidence(text: str) -> bool:
    """Whether it is the JSON of captures with their flows and frames."""
    try:
        parts = gate.from_json(text)
    except gate.RefusedError:
        return False
    return isinstance(parts, list) and all(
        isinstance(part, dict)
        and isinstance(part.get("capture"), str)
        and all(isinstance(part.get(name), list) and all(map(_is_number, part[name])) for name in ("flows", "frames"))
        for part in parts
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# What texts of a column are, and how that is seen.
KINDS: dict[tuple[str, str], tuple[str, Callable[[str], bool]]] = {
    ("flows", "client_ip"): ("an address", _is_address),
    ("flows", "server_ip"): ("an address", _is_address),
    ("findings", "client_group"): ("a network", _is_network),
    ("findings", "sample_flows"): ("a list of numbers", _are_numbers),
    ("findings", "sample_frames"): ("a list of numbers", _are_numbers),
    ("findings", "evidence"): ("a list of captures, flows and frames", _is_evidence),
}


def broken(table: str, data: pa.Table) -> str | None:
    """What is wrong with the values of a table's columns, of which some may be left out; None where all is right."""
    for column in schema.TABLES[table]:
        if column.name in data.column_names:
            values = data.column(column.name)
            if values.null_count and column.name in ALWAYS[table]:
                return f"{column.name} is missing in {counted(values.null_count, 'row')}"
            if (wrong := _wrong(table, column, values)) is not None:
                return f"{column.name} has {wrong}"
    return None


def without_flow(data: pa.Table, known: np.ndarray[Any, Any]) -> int | None:
    """The first flow that rows are about and that is not there; ``known``: those that are, sorted."""
    for chunk in data.column("flow_id").chunks:
        flows = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk)]
        at = np.minimum(np.searchsorted(known, flows), len(known) - 1)
        gone = np.flatnonzero(known[at] != flows) if len(known) else np.arange(len(flows))
        if len(gone):
            return int(flows[gone[0]])
    return None


def _wrong(table: str, column: schema.Column, values: pa.ChunkedArray) -> str | None:
    if column.values:
        others = sorted({text for text in _texts(values) if text not in column.values})
        return f"'{others[0][:40]}', which is none of its values" if others else None
    if (table, column.name) in KINDS:
        words, is_right = KINDS[table, column.name]
        wrong = next((text for text in _texts(values) if not is_right(text)), None)
        return None if wrong is None else f"'{wrong[:40]}', which is not {words}"
    if column.type == schema.INT and column.name != "flow_id":
        return "a number that is too large" if any(map(_is_beyond, values.chunks)) else None
    if column.type == schema.FLOAT:
        return None if all(map(_is_finite, values.chunks)) else "a number that is none"
    return None


def _texts(values: pa.ChunkedArray) -> set[str]:
    """The distinct texts of a column."""
    texts: set[str | None] = set()
    for chunk in values.chunks:
        texts.update((chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk).to_pylist())
    texts.discard(None)
    return texts  # type: ignore[return-value]


def _is_beyond(chunk: pa.Array) -> bool:
    if not len(chunk):
        return False
    numbers = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk)]
    if ((numbers <= GREATEST) & (numbers >= -GREATEST)).all():
        return False
    return any(
        value is not None and abs(value) > GREATEST for value in chunk.to_pylist()
    )  # what is missing is anything


def _is_finite(chunk: pa.Array) -> bool:
    return all(value is None or np.isfinite(value) for value in chunk.to_pylist())
