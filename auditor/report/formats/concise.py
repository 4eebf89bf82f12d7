"""One finding a line, tabs between: severity, code, client, server, flows, capture:frames. For grep, cut, awk and sort.

Behind them is a line for each rule that could not judge, with ``not_observable`` in place of the severity and the reasons in
place of frames, and for flows that no rule is about, with ``not_applicable``: without them no line would look like a pass.
"""

from typing import Any, BinaryIO

from auditor.border.text import printable
from auditor.report.proof import frames_text
from auditor.report.results import Results
from auditor.report.silence import unjudged

NOTHING = "-"  # in place of what a finding has not


def write(result: Results, out: BinaryIO) -> None:
    """The findings, worst first, and what was not judged."""
    out.writelines(f"{_line(row)}\n".encode() for row in result.records("findings"))
    for one in unjudged(result):
        cells = (one.verdict, one.rule or NOTHING, NOTHING, NOTHING, one.flows, f"{one.title}: {one.reason}")
        out.write(("\t".join(map(printable, cells)) + "\n").encode())


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
