"""The flows of the page: columns in which equal texts are kept once, so that a hundred thousand flows are a megabyte."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any

import numpy as np

from auditor.report import flow_ids
from auditor.report.flow_columns import FlowColumns, joined, mapped
from auditor.report.page.linked import findings_of
from auditor.report.results import Results
from auditor.tables.columns import Texts
from auditor.tables.value_sets import SEVERITIES, VERDICTS
from auditor.tables.versions import VERSION_ORDER

Array = np.ndarray[Any, Any]
MOST_FLOWS = 200_000  # the worst first
FACETS = {
    "verdict": "Verdict",
    "severity": "Severity",
    "private": "Private?",
    "path": "Path",
    "version": "Version",
    "service": "Service",
    "network": "Client network",
    "capture": "Capture",
}


@dataclass(frozen=True)
class FlowTable:
    """The table of the worst flows: how many there are in all, and its columns."""

    result: Results
    flows: FlowColumns

    @cached_property
    def _order(self) -> Array:
        """The flows that are in it, the worst first."""
        verdict = self.flows.verdict
        rank = np.array([VERDICTS.index(str(name)) if name else 0 for name in [*verdict.values, None]])
        return np.lexsort((self.flows.numbers("started"), -rank[verdict.index]))[:MOST_FLOWS]

    def _severity(self, findings: str) -> str:
        """The worst severity of some findings."""
        return max((self._severities[name] for name in findings.split()), key=SEVERITIES.index)

    @cached_property
    def _severities(self) -> dict[str, str]:
        return {row["finding_id"]: row["severity"] for row in self.result.rows("findings", "finding_id", "severity")}

    def counts(self) -> dict[str, int]:
        """How many flows there are, and how many are in the table."""
        return {"in_all": len(self.flows), "count": len(self._order)}

    def columns(self) -> Iterator[tuple[str, list[Any]]]:
        """The columns one by one, as lists of texts and codes or of numbers: together they take much memory."""
        flows, order = self.flows, self._order
        texts: dict[str, Callable[[], Texts]] = {
            "verdict": lambda: flows.verdict,
            "client": lambda: flows.client,
            "network": lambda: flows.network,
            "server": lambda: flows.server,
            "address": lambda: flows.texts("server_ip"),
            "private": lambda: flows.privacy,
            "path": lambda: flows.way,
            "version": lambda: flows.spoken,
            "suite": lambda: flows.texts("cipher_suite"),
            "capture": lambda: flows.texts("capture"),
        }
        for name, column in texts.items():
            one = column()
            yield name, _texts(Texts(one.values, one.index[order]), SORTS.get(name, str))
        findings = findings_of(self.result, flows, order)
        yield "findings", _texts(findings, str)
        yield "severity", _texts(mapped(findings, self._severity), SORTS["severity"])
        yield "service", _services(flows, order)
        yield "started", (flows.numbers("started") // 1_000_000)[order].tolist()
        yield "client_port", flows.numbers("client_port")[order].tolist()
        yield "server_port", flows.numbers("server_port")[order].tolist()
        yield "bytes", flows.bytes[order].tolist()
        yield "flow_id", flow_ids.short(self.result, flows.numbers("flow_id")[order].tolist())


def _services(flows: FlowColumns, order: Array) -> list[Any]:
    """The AWS services that flows are counted with, and the code of each flow; -1 for its server, which has a column."""
    named = joined([flows.service, flows.server], lambda service, server: None if service == server else service)
    texts, codes = _texts(Texts(named.values, named.index[order]), str)
    return [[text for text in texts if text is not None], [-1 if texts[code] is None else code for code in codes]]


def _texts(column: Texts, key: Callable[[str], Any]) -> list[Any]:
    """The texts that are used, sorted as people would, missing ones last, and the code of each row."""
    table = [*column.values, None]
    codes = column.index
    used = np.flatnonzero(np.bincount(codes, minlength=len(table))).tolist()
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
    "severity": lambda text: -SEVERITIES.index(text),
}
