"""Results in the forms that other programs read. Each writes an audit to an open binary file."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

from auditor.report.results import Results


@dataclass(frozen=True)
class Form:
    """A form: its module here, and what it is in a few words. ``is_binary``: not for a terminal."""

    module: str
    words: str
    is_binary: bool = False
    function: str = "write"

    def write(self, result: Results, out: BinaryIO) -> None:
        """Write the audit. Raises AuditError where a library is missing."""
        function: Callable[..., Any] = getattr(import_module(self.module, __name__), self.function)
        function(result, out)


FORMS = {
    "concise": Form(".concise", "one finding a line, to grep: severity, code, client, server, flows, capture:frames"),
    "cef": Form(".cef", "findings in ArcSight's Common Event Format, one a line"),
    "syslog": Form(".cef", "the same as messages of syslog (RFC 5424)", function="write_syslog"),
    "markdown": Form(".markdown", "summary, findings and what could not be judged, as Markdown"),
    "html": Form("auditor.report.page", "one page that opens offline: answer, diagrams, findings, flows"),
    "xlsx": Form(".xlsx", "a workbook with a sheet for each table (extra xlsx)", is_binary=True),
    "ocsf": Form(".ocsf", "OCSF 1.8: Network Activity and Compliance Finding, JSON lines"),
    "asff": Form(".asff", "AWS Security Finding Format, as BatchImportFindings of Security Hub takes it"),
    "sarif": Form(".sarif", "SARIF 2.1.0"),
    "cbom": Form(".cbom", "CycloneDX 1.6: cryptography that is really on the wire (CBOM)"),
    "cbom-1.7": Form(".cbom", "the same in CycloneDX 1.7", function="write_1_7"),
    "ecs": Form(".ecs", "Elastic Common Schema, an event for each handshake, JSON lines"),
    "zeek-ssl": Form(".zeek", "Zeek's ssl.log", function="ssl"),
    "zeek-conn": Form(".zeek", "Zeek's conn.log", function="conn"),
    "pci-inventory": Form(".inventory", "inventory of suites and protocols in use, PCI DSS 12.3.3, as CSV"),
}
