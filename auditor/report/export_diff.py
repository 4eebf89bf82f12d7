"""What changed between two audits, written for people or programs."""

from pathlib import Path
from typing import BinaryIO

from auditor.errors import AuditError
from auditor.report.change import Change, diff
from auditor.report.compared import json_text, text
from auditor.report.output import opened
from auditor.report.page.change import html
from auditor.report.results import Results

FORMS = ("text", "json", "html")


def export_diff(
    old: Results, new: Results, form: str, file: str | Path | BinaryIO, *, force: bool = False
) -> list[Change]:
    """Write what changed to a file; the changes. Raises AuditError for a form that there is not."""
    if form not in FORMS:
        raise AuditError(f"--format {form}: no such form; there are {', '.join(FORMS)}")
    changes = diff(old, new)
    match form:
        case "html":
            written = html(old, new, changes)
        case "json":
            written = json_text(old, new, changes)
        case _:
            written = text(old, new, changes)
    with opened(file, old, new, force=force) as out:
        out.write(written.encode())
    return changes
