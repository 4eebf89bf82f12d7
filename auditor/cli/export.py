"""Results on standard output or in a file, for other programs."""

import sys
from pathlib import Path

from auditor.errors import AuditError
from auditor.report.audit import Audit
from auditor.report.export import check, write
from auditor.report.formats import FORMS


def export(result: Audit, form: str, table: str, target: Path | None = None) -> None:
    """Write a table, or the whole audit in a form that has its own shape, to a file or to standard output."""
    if target is not None:
        result.export(form, target, table)
        return
    check(result, form, table)
    if (form == "parquet" or (form in FORMS and FORMS[form].is_binary)) and sys.stdout.isatty():
        raise AuditError(f"--format {form} writes binary data: redirect it to a file")
    sys.stdout.flush()
    write(result, form, table, sys.stdout.buffer)
