"""Findings in the Common Event Format (Micro Focus, Implementing ArcSight CEF, version 26), bare or in syslog (RFC 5424)."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from auditor.border.text import printable
from auditor.report.plain import finding_uid, iso
from auditor.report.proof import frames_text
from auditor.report.results import Results

# Section "Severity": 0-3 low, 4-6 medium, 7-8 high, 9-10 very high.
SEVERITY = {"info": 1, "low": 3, "medium": 5, "high": 8, "critical": 10}
# RFC 5424 6.2.1: facility 13 is the log audit, the severities are notice, warning, error, critical.
FACILITY = 13
LEVELS = {"info": 5, "low": 5, "medium": 4, "high": 3, "critical": 2}
LONGEST = 1023  # characters of a custom string (cs1 …) and of reason


def write(result: Results, out: BinaryIO) -> None:
    """A line for each finding."""
    out.writelines(f"{message}\n".encode() for _, message in _messages(result))


def write_syslog(result: Results, out: BinaryIO) -> None:
    """The same, each as a message of syslog: its time is that of the finding's last flow."""
    for row, message in _messages(result):
        time = iso(row["last_seen"])
        head = (
            f"<{FACILITY * 8 + LEVELS[row['severity']]}>1 {f'{time[:26]}Z' if time else '-'} - audit - {row['rule']} -"
        )
        out.write(f"{head} {message}\n".encode())


def _messages(result: Results) -> Iterator[tuple[dict[str, Any], str]]:
    version = result.manifest["versions"]["auditor"]
    sums = {row["capture"]: row["sha256"] or "" for row in result.rows("captures", "capture", "sha256")}
    for row in result.records("findings", times="ns"):
        header = ("traffic-auditor", "audit", version, row["rule"], row["title"], SEVERITY[row["severity"]])
        extension = " ".join(f"{name}={_value(value)}" for name, value in _extension(row, sums) if value is not None)
        yield row, f"CEF:0|{'|'.join(map(_field, header))}|{extension}"


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
