"""A history of audits in a folder: each run added, to see who spoke what, when, and over which path.

And SQL over the tables of one audit. Queries read: they cannot reach files or networks.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.capture import folders
from auditor.policy.findings import client_group
from auditor.report import asking, database, history_files
from auditor.report.change import service_of
from auditor.report.database import Table
from auditor.report.history_files import TRAFFIC
from auditor.report.results import MANIFEST, Results
from auditor.report.verify import altered

if TYPE_CHECKING:
    import duckdb


# Of the traffic that is chosen, which is a table before these.
DRIFT = """,
steps as (
    select client, service, run, min(started) as started,
           string_agg(distinct replace(path, 'private', 'private (not proven)'), ' '
                      order by replace(path, 'private', 'private (not proven)')) as path,
           string_agg(distinct coalesce(tls_version, protocol), ', ' order by coalesce(tls_version, protocol)) as spoken,
           max(case verdict when 'fail' then 3 when 'warn' then 2 when 'not_observable' then 1 else 0 end) as worst,
           sum(flows) as flows
    from chosen group by client, service, run),
changes as (
    select *, lag(path) over w as path_before, lag(spoken) over w as spoken_before from steps
    window w as (partition by client, service order by started, run))
select started, client, service, path, spoken, flows,
       case when path_before is null then 'first seen'
            when path <> path_before and spoken <> spoken_before then 'path and protocol changed'
            when path <> path_before then 'path changed, was ' || path_before
            else 'protocol changed, was ' || spoken_before end as change
from changes
where path_before is null or path <> path_before or spoken <> spoken_before
order by started, client, service
"""
OLD = """
select client, service, tls_version, sum(flows) as flows, max(started) as last_seen
from chosen where tls_version < 'TLS 1.2'
group by all order by tls_version, flows desc
"""


def append(result: Results, path: str | Path) -> str:
    """Add an audit to a history, which is created if it is not there; an audit that is in it already is replaced."""
    manifest = result.manifest
    inputs = [one["sha256"] or one["name"] for one in manifest["inputs"]]
    policies = " ".join(policy["id"] for policy in manifest["policies"])
    run = hashlib.sha256(f"{policies} {manifest['site']} {' '.join(inputs)}".encode()).hexdigest()[:16]
    times = result.rows("captures", "started", "ended")
    started = min((row["started"] for row in times if row["started"] is not None), default=0)
    ended = max((row["ended"] for row in times if row["ended"] is not None), default=0)
    findings = _findings(result)
    whole = {
        "ended": _time(ended),
        "policies": policies,
        "inputs": " ".join(one["name"] for one in manifest["inputs"]),
        "flows": manifest["counts"]["flows"],
        "handshakes": manifest["counts"]["handshakes"],
        "findings": len(findings),
    }
    rows = {"runs": [whole], "traffic": _traffic(result), "found": findings}
    for row in (row for of in rows.values() for row in of):
        row |= {"run": run, "started": _time(started)}
    history_files.write(Path(path), run, rows)
    return run


def _time(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)


def _traffic(result: Results) -> list[dict[str, Any]]:
    """How many flows and bytes went between client groups and services, by how they were protected."""
    counts: dict[tuple[Any, ...], list[int]] = {}
    ends = ("client_ip", "server_ip", "server_name", "service", "region", "client_bytes", "server_bytes")
    for row in result.each("flows", *ends, *TRAFFIC):
        key = (client_group(row["client_ip"]), service_of(row), *(row[name] for name in TRAFFIC))
        count = counts.setdefault(key, [0, 0])
        count[0] += 1
        count[1] += row["client_bytes"] + row["server_bytes"]
    names = ("client", "service", *TRAFFIC, "flows", "bytes")
    return [dict(zip(names, (*key, *count), strict=True)) for key, count in counts.items()]


def _findings(result: Results) -> list[dict[str, Any]]:
    columns = ("rule", "policy", "severity", "verdict", "service", "region", "reason", "flows")
    rows = result.rows("findings", *columns, "client_group")
    return [{"client": row["client_group"], **{name: row[name] for name in columns}} for row in rows]


@contextmanager
def _opened(path: Path, query: str) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A history as the tables of a database that is closed to all else, for a query. Raises AuditError."""
    with asking.ordered(history_files.read(path), query) as connection:
        yield connection


def drift(path: str | Path, where: str = "true") -> tuple[Table, Table]:
    """What changed over time by client group and service, and who spoke old versions. Raises AuditError.

    ``where``: only of the traffic of which this is true, in SQL's words.
    """
    chosen = f"with chosen as (select * from traffic where (\n{where}\n))"  # noqa: S608 - a database of nothing else
    with _opened(Path(path), where) as history, asking.naming(history_files.COLUMNS["traffic"]):
        changes, old = (database.query(history, asking.ranked(chosen + query)) for query in (DRIFT, OLD))
        return changes, old


def as_one(changes: Table, old: Table) -> Table:
    """Changes, and behind them old versions as rows of the same columns, for programs that read one table."""
    names = [*changes[0], "last_seen"]
    meant = {"tls_version": "spoken"}
    rows: list[tuple[Any, ...]] = [(*row, None) for row in changes[1]]
    for row in old[1]:
        cells = {meant.get(name, name): value for name, value in zip(old[0], row, strict=True)}
        rows.append(tuple({"change": "old version", **cells}.get(name) for name in names))
    return names, rows


def sql(where: str | Path, query: str, say: Callable[[str], object] = warnings.warn) -> Table:
    """Run a query over the tables of saved results, or over a history: names of columns, and rows.

    The query sees tables by their names (``flows``, ``findings``, …; ``runs``, ``traffic``, ``found`` of a history) and can
    reach nothing else. ``say`` is called with a sentence on each file of results that is not as the audit left it. Raises
    AuditError with DuckDB's first line where the query is not right.
    """
    path = Path(where)
    if folders.refusal(path) is None or (
        folders.is_folder(path) and not (path / MANIFEST).exists() and any(path.glob("*.parquet"))
    ):
        if (known := asking.about_tables(history_files.read(path), query)) is not None:
            return known
        with _opened(path, query) as history:
            return database.query(history, asking.ranked(query))
    result = Results(where)
    for sentence in altered(result.folder):
        say(sentence)
    return asking.query(result, query)
