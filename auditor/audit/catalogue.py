"""What there is besides audits, as DataFrames: policies, their rules, and histories of audits."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from auditor.border.text import lines
from auditor.options import PathLike

if TYPE_CHECKING:
    import pandas as pd

POLICIES = {
    "id": "string", "title": "string", "edition": "string", "source": "string", "retrieved": "datetime64[ns]",
    "extends": "string", "rules": "Int64", "exceptions": "Int64",
}  # fmt: skip
RULES = {
    "policy": "string", "code": "string", "title": "string", "severity": "category", "required": "boolean",
    "applies_to": "category", "begins": "datetime64[ns]", "ends": "datetime64[ns]", "what": "string", "why": "string",
    "remediation": "string", "source": "string", "certainty": "category", "check": "string",
}  # fmt: skip
COUNTS = ("flows",)
TIMES = ("started", "last_seen")


def policies() -> "pd.DataFrame":
    """The shipped policies: one row for each, with its edition, its source, and how many rules it has."""
    from auditor.policy import pages

    return _frame([tuple(pages.policy_record(one).values()) for one in pages.shipped()], POLICIES)


def rules(policy: PathLike | Iterable[PathLike] | None = None) -> "pd.DataFrame":
    """The rules of policies, one row for each: what it checks, why, how to fix what it finds, and its source.

    ``policy`` is the name of a shipped policy or a policy file, or several; without it the rules of all shipped ones.
    Raises PolicyError for a policy that there is not, or a file that is not valid.
    """
    import pandas as pd

    from auditor.policy import library, pages
    from auditor.tables.value_sets import SEVERITIES

    names = [policy] if isinstance(policy, str | Path) else policy
    chosen = pages.shipped() if names is None else [library.get(name) for name in names]
    frame = _frame([tuple(pages.record(page).values()) for one in chosen for page in pages.pages(one)], RULES)
    frame["severity"] = frame["severity"].astype(pd.CategoricalDtype(SEVERITIES, ordered=True))
    return frame


def history(path: PathLike, table: Literal["changes", "old_versions"] = "changes") -> "pd.DataFrame":
    """What changed over the audits of a history, by client group and service, or who spoke old versions of TLS.

    ``Audit.add_to_history`` and ``audit pcap --history`` write histories. Raises AuditError where there is none.
    """
    from auditor.report.history import drift

    names, rows = drift(path)[("changes", "old_versions").index(table)]
    kinds = {name: "Int64" if name in COUNTS else "string" for name in names}
    return _frame(rows, kinds | dict.fromkeys(set(names) & set(TIMES), "datetime64[ns, UTC]"))


def _frame(rows: list[tuple[Any, ...]], kinds: dict[str, str]) -> "pd.DataFrame":
    """A table whose columns have the types they are said to have, also where it has no rows."""
    import pandas as pd

    shown = [[lines(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return pd.DataFrame(shown, columns=list(kinds), dtype=object).astype(kinds)
