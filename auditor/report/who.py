"""Who speaks what, to whom, since when, how often: ready questions about flows, and conditions in SQL's words."""

import re
from typing import TYPE_CHECKING

from auditor.errors import AuditError
from auditor.recognise.numbers import APPLICATIONS
from auditor.report import asking
from auditor.report.answer import PRIVATE_PATHS
from auditor.report.database import Table
from auditor.report.results import Results
from auditor.tables.schema import TABLES
from auditor.tables.value_sets import VERDICTS
from auditor.tables.versions import VERSION_ORDER

if TYPE_CHECKING:
    import pandas as pd

CLEAR = ", ".join(f"'{one.name}'" for one in APPLICATIONS if one.in_clear)
# Ready questions: what they ask, as conditions on flows.
QUESTIONS = {
    "old": "tls_version < 'TLS 1.2'",
    "plaintext": f"protocol in ({CLEAR})",
    "no-forward-secrecy": "not forward_secrecy",
    "no-post-quantum": "not post_quantum",
    "post-quantum": "post_quantum",
    "resumed": "resumed",
    "not-established": "not established",
    "aws": "aws_endpoint",
    "not-aws": "not aws_endpoint",
    "asymmetric": "path_asymmetric",
    "fail-over": "path_changed is not null",
    **{path: f"path = '{path}'" for path in (*PRIVATE_PATHS, "internet")},
    "private": f"path in ({', '.join(map(repr, PRIVATE_PATHS))}) and path_confidence = 'confirmed'",
    "way-unknown": "path in ('private', 'unknown')",
    **{verdict.replace("_", "-"): f"verdict = '{verdict}'" for verdict in VERDICTS},
}
SERVER = "coalesce(server_name, server_ip)"
# Words for what rows may be grouped by, besides the columns of flows.
GROUPS = {
    "client": "client_ip",
    "network": "client_group",
    "server": SERVER,
    "service": f"coalesce(service || coalesce(' ' || region, ''), {SERVER})",
    "version": "tls_version",
    "suite": "cipher_suite",
    "group": "key_exchange_group",
}
# A path is never shown without how well it is proven.
CONFIDENCE = {"path": "path_confidence", "path_out": "path_out_confidence", "path_back": "path_back_confidence"}
VERSION = re.compile(r"(ssl|d?tls) ?v? ?(\d)(?:[._]?(\d))?", re.IGNORECASE)
RULE = re.compile(r"[A-Za-z]{2,6}\d{3}")
# Columns in which a word is looked for.
NAMED = ("cipher_suite", "key_exchange_group", "server_name", "client_ip", "server_ip", "service", "protocol")
NAME = re.compile(r"[\w.:+-]+")


def condition(result: Results, question: str) -> str:
    """A question as a condition on flows: a ready one, a version, rule, suite, group or server's name, or SQL.

    Raises AuditError for a word that is none of these.
    """
    word = question.strip()
    if (ready := QUESTIONS.get(word.lower().replace("_", "-").replace(" ", "-"))) is not None:
        return ready
    if (version := VERSION.fullmatch(word)) is not None:
        name = f"{version[1].upper()} {version[2]}.{version[3] or 0}"
        if any(known.startswith(name) for known in VERSION_ORDER):
            return f"tls_version like '{name}%'"
    if RULE.fullmatch(word):
        if result.rule(word.upper()) is None:
            raise AuditError(f"{word}: no rule of this audit; audit rules lists them")
        verdicts = f"select flow_id from verdicts where rule = '{word.upper()}' and verdict in ('fail', 'warn')"  # noqa: S608 - letters and digits
        return f"flow_id in ({verdicts})"
    if not NAME.fullmatch(word):
        return word
    is_it = {column: f"lower({column}) = '{word.lower()}'" for column in NAMED}
    parts = [f"select '{column}' from flows where {one}" for column, one in is_it.items()]  # noqa: S608 - a plain word
    _, found = asking.query(result, f"{' union all '.join(parts)} limit 1")
    if found:
        return is_it[found[0][0]]
    if any(word.lower() == column.name for column in TABLES["flows"]):
        return word
    raise AuditError(
        f"{word}: neither a question nor anything in the flows; ask for a version (tls1.0), a rule (TLS101), a suite, an "
        f"address, a name, one of {', '.join(QUESTIONS)}, or in SQL's words: \"tls_version < 'TLS 1.2'\""
    )


def grouped(result: Results, where: str | None, by: str) -> str:
    """The query for the flows of which ``where`` is true by some columns. Raises AuditError."""
    columns = [one.strip().lower() for one in by.split(",") if one.strip()]
    known = {column.name for column in TABLES["flows"]} | {"client_group"}
    for one in columns:
        if one not in GROUPS and one not in known:
            raise AuditError(f"--by {one}: no such column; there are {', '.join([*GROUPS, *sorted(known)])}")
    for path in [one for one in columns if one in CONFIDENCE and CONFIDENCE[one] not in columns]:
        columns.insert(columns.index(path) + 1, CONFIDENCE[path])
    if not columns:
        raise AuditError("--by says by what: client, server, network, service, version, or columns of flows")
    asked = condition(result, where) if where else "true"
    chosen = [f"{GROUPS.get(one, one)} as {one}" for one in columns]
    counted = ["count(*) as flows"]
    if not {"client", "client_ip"} & set(columns):
        counted.append("count(distinct client_ip) as clients")
    if not {"server", "server_ip", "server_name"} & set(columns):
        counted += [f"count(distinct {SERVER}) as servers", f"mode({SERVER}) as mostly_to"]
    counted += ["min(started) as first_seen", "max(started) as last_seen"]
    grouping = ", ".join(str(number + 1) for number in range(len(columns)))
    text = f"select {', '.join([*chosen, *counted])} from flows where (\n{asked}\n) group by {grouping}"  # noqa: S608 - in a database of nothing else
    return f"{text} order by flows desc, {grouping}"


def who(result: Results, where: str | None = None, by: str = "client,server") -> Table:
    """Who talks to whom, how often, since when, of the flows that a question is about. Raises AuditError."""
    return asking.query(result, grouped(result, where, by))


def frame(result: Results, where: str | None = None, by: str = "client,server") -> "pd.DataFrame":
    """The same as a DataFrame."""
    return asking.frame(result, grouped(result, where, by))
