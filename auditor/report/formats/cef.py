"""Findings in the Common Event Format (Micro Focus, Implementing ArcSight CEF, version 26), bare or in syslog (RFC 5424)."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from auditor.border.text import printable
from auditor.report import overview
from auditor.report.plain import finding_uid, iso
from auditor.report.proof import frames_text
from auditor.report.results import Results
from auditor.report.silence import unjudged

# Section "Severity": 0-3 low, 4-6 medium, 7-8 high, 9-10 very high.
UNJUDGED = "not judged"
SEVERITY = {UNJUDGED: 0, "info": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}
# RFC 5424 6.2.1: facility 13 is the log audit, the severities are notice, warning, error, critical.
FACILITY = 13
LEVELS = {UNJUDGED: 5, "info": 5, "low": 5, "medium": 4, "high": 3, "critical": 2}
NIL = "-"  # RFC 5424 6
LONGEST = 1023  # characters of a custom string (cs1 …) and of reason


def write(result: Results, out: BinaryIO) -> None:
    """A line for each finding, and for what was not judged."""
    out.writelines(f"{message}\n".encode() for _, message in _messages(result))


def write_syslog(result: Results, out: BinaryIO) -> None:
    """The same, each as a message of syslog: its time is that of the finding's last flow, or the captures' end."""
    for head, message in _messages(result):
        time = iso(head.time)
        priority = FACILITY * 8 + LEVELS[head.severity]
        name = f"<{priority}>1 {f'{time[:26]}Z' if time else '-'} - audit - {head.rule} -"
        out.write(f"{name} {message}\n".encode())


class Head(NamedTuple):
    """What the header of a message of syslog says."""

    rule: str
    severity: str
    time: int | None


def _messages(result: Results) -> Iterator[tuple[Head, str]]:
    """All messages: of findings, then of what was not judged."""
    version = result.manifest["versions"]["auditor"]
    sums = {row["capture"]: row["sha256"] or "" for row in result.rows("captures", "capture", "sha256")}
    for row in result.records("findings", times="ns"):
        head = Head(row["rule"], row["severity"], row["last_seen"])
        yield head, _message(version, head, row["title"], _extension(row, sums))
    _, end = overview.span(result) or (None, None)
    for one in unjudged(result):
        extension = (
            ("externalId", one.uid), ("cat", one.policy), ("outcome", one.verdict), ("reason", one.reason), ("cnt", one.flows)
        )  # fmt: skip
        head = Head(one.rule or NIL, UNJUDGED, end)
        yield head, _message(version, head, f"Not judged: {one.title}", extension)


def _message(version: str, head: Head, title: str, extension: Iterable[tuple[str, Any]]) -> str:
    """A message of CEF."""
    header = ("traffic-auditor", "audit", version, head.rule, title, SEVERITY[head.severity])
    values = " ".join(f"{name}={_value(value)}" for name, value in extension if value is not None)
    return f"CEF:0|{'|'.join(map(_field, header))}|{values}"


def _extension(row: dict[str, Any], sums: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The extension by its keys; times in milliseconds since 1970."""
    first = next(iter((row["sample_servers"] or "").split()), None)
    yield from (
        ("externalId", finding_uid(row, sums)),
        ("cat", row["policy"]),
        ("outcome", "failure" if row["verdict"] == "fail" else "warning"),
        ("reason", row["reason"]),
        ("cnt", row["flows"]),
        ("start", None if row["first_seen"] is None else row["first_seen"] // 1_000_000),
        ("end", None if row["last_seen"] is None else row["last_seen"] // 1_000_000),
        ("dhost", first),
        ("fname", row["capture"]),
        ("fileHash", sums.get(row["capture"] or "") or None),
    )
    custom = (
        ("clientNetwork", row["client_group"]),
        ("service", row["service"]),
        ("region", row["region"]),
        ("frames", frames_text(row) or None),
        ("finding", row["finding_id"]),
    )
    for number, (label, value) in enumerate(custom, start=1):
        if value is not None:
            yield f"cs{number}Label", label
            yield f"cs{number}", value


def _field(value: Any) -> str:
    r"""A field of the header: ``\\`` and ``|`` are escaped."""
    return printable(value).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: Any) -> str:
    r"""A value of the extension: ``\\`` and ``=`` are escaped; it is one line."""
    return printable(value)[:LONGEST].replace("\\", "\\\\").replace("=", "\\=")
