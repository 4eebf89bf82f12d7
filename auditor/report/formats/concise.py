"""One finding a line, tabs between: severity, code, client, server, flows, capture:frames. For grep, cut, awk and sort."""

from typing import Any, BinaryIO

from auditor.border.text import printable
from auditor.report.proof import frames_text
from auditor.report.results import Results

NOTHING = "-"  # in place of what a finding has not


def write(result: Results, out: BinaryIO) -> None:
    """The findings, worst first."""
    out.writelines(f"{_line(row)}\n".encode() for row in result.records("findings"))


def _line(row: dict[str, Any]) -> str:
    cells = (
        row["severity"],
        row["rule"],
        row["client_group"] or NOTHING,
        f"{row['service']} {row['region'] or ''}".rstrip(),
        row["flows"],
        frames_text(row) or row["capture"] or NOTHING,
    )
    return "\t".join(map(printable, cells))
