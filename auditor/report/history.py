"""A history of audits in a DuckDB file: each run appended, to see who spoke what, when, and over which path.

And SQL over the tables of one audit. Queries read: they cannot reach files or networks.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import AuditError
from auditor.policy.findings import client_group
from auditor.report.change import service_of
from auditor.report.results import Results

if TYPE_CHECKING:
    import duckdb


KEPT = ("path", "protocol", "tls_version", "cipher_suite", "forward_secrecy", "post_quantum", "verdict")
SCHEMA = """
create table if not exists runs (
    run varchar primary key, started timestamptz, ended timestamptz, policies varchar, inputs varchar, flows bigint,
    handshakes bigint, findings bigint);
create table if not exists traffic (
    run varchar, started timestamptz, client varchar, service varchar, path varchar, protocol varchar,
    tls_version varchar, cipher_suite varchar, forward_secrecy boolean, post_quantum boolean, verdict varchar,
    flows bigint, bytes bigint);
create table if not exists found (
    run varchar, started timestamptz, rule varchar, policy varchar, severity varchar, verdict varchar,
    client varchar, service varchar, region varchar, reason varchar, flows bigint);
"""
DRIFT = """
with steps as (
    select client, service, run, min(started) as started,
           string_agg(distinct path, ' ' order by path) as path,
           string_agg(distinct coalesce(tls_version, protocol), ', ' order by coalesce(tls_version, protocol)) as spoken,
           max(case verdict when 'fail' then 3 when 'warn' then 2 when 'not_observable' then 1 else 0 end) as worst,
           sum(flows) as flows
    from traffic group by client, service, run),
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
from traffic where tls_version in ('SSL 2.0', 'SSL 3.0', 'TLS 1.0', 'TLS 1.1')
group by all order by tls_version, flows desc
"""


def _open(path: str | Path, *, read_only: bool) -> "duckdb.DuckDBPyConnection":
    import duckdb

    try:
        return duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise AuditError(f"{path}: {str(error).splitlines()[0]}") from error


def append(result: Results, path: str | Path) -> str:
    """Add an audit to a history, which is made if it is not there; an audit that is in it already is replaced."""
    told = result.manifest
    inputs = [one["sha256"] or one["name"] for one in told["inputs"]]
    policies = " ".join(policy["id"] for policy in told["policies"])
    run = hashlib.sha256(f"{policies} {told['site']} {' '.join(inputs)}".encode()).hexdigest()[:16]
    times = result.rows("captures", "started", "ended")
    started = min((row["started"] for row in times if row["started"] is not None), default=0)
    ended = max((row["ended"] for row in times if row["ended"] is not None), default=0)
    counts: dict[tuple[Any, ...], list[int]] = {}
    ends = ("client_ip", "server_ip", "server_name", "service", "region", "client_bytes", "server_bytes")
    for row in result.rows("flows", *ends, *KEPT):
        key = (client_group(row["client_ip"]), service_of(row), *(row[name] for name in KEPT))
        count = counts.setdefault(key, [0, 0])
        count[0] += 1
        count[1] += row["client_bytes"] + row["server_bytes"]
    found = result.rows(
        "findings", "rule", "policy", "severity", "verdict", "client_group", "service", "region", "reason", "flows"
    )
    history = _open(path, read_only=False)
    try:
        history.execute(SCHEMA)
        history.execute("begin")
        for forget in (
            "delete from runs where run = ?",
            "delete from traffic where run = ?",
            "delete from found where run = ?",
        ):
            history.execute(forget, [run])
        when = [started / 1e9, ended / 1e9]
        total = told["counts"]
        history.execute(
            "insert into runs values (?, to_timestamp(?), to_timestamp(?), ?, ?, ?, ?, ?)",
            [
                run,
                *when,
                policies,
                " ".join(one["name"] for one in told["inputs"]),
                total["flows"],
                total["handshakes"],
                len(found),
            ],
        )
        _insert(history, "traffic", run, when[0], [(*key, *count) for key, count in counts.items()])
        _insert(history, "found", run, when[0], [tuple(row.values()) for row in found])
        history.execute("commit")
    finally:
        history.close()
    return run


def _insert(
    history: "duckdb.DuckDBPyConnection", table: str, run: str, started: float, found: list[tuple[Any, ...]]
) -> None:
    """Insert rows of an audit by column: one by one takes a millisecond each."""
    if not found:
        return
    import pyarrow as pa

    columns = {f"c{number}": list(cells) for number, cells in enumerate(zip(*found, strict=True))}
    history.register("new_rows", pa.table(columns))
    history.execute(f"insert into {table} select ?, to_timestamp(?), * from new_rows", [run, started])  # noqa: S608
    history.unregister("new_rows")


Result = tuple[list[str], list[tuple[Any, ...]]]


def drift(path: str | Path) -> tuple[Result, Result]:
    """What changed over time by client group and service, and who spoke old versions. Raises AuditError."""
    if not Path(path).is_file():
        raise AuditError(f"{path}: no such file; audit pcap … --history {path} begins one")
    history = _open(path, read_only=True)
    try:
        return _run(history, DRIFT), _run(history, OLD)
    finally:
        history.close()


def _run(connection: "duckdb.DuckDBPyConnection", query: str) -> Result:
    import duckdb

    try:
        done = connection.execute(query)
        if done.description is None:
            return [], []
        return [column[0] for column in done.description], done.fetchall()
    except duckdb.Error as error:
        raise AuditError(f"SQL: {str(error).splitlines()[0]}") from error


def sql(where: str | Path, query: str) -> Result:
    """Run a query over the tables of saved results, or over a history: names of columns, and rows.

    The query sees tables by their names (``flows``, ``findings``, …; ``runs``, ``traffic``, ``found`` of a history) and can
    reach nothing else. Raises AuditError with DuckDB's first line where it is not right.
    """
    import duckdb

    if Path(where).is_file():
        connection = _open(where, read_only=True)
    else:
        result = Results(where)
        connection = duckdb.connect()
        for table in result.tables:
            if re.search(rf"\b{table}\b", query, re.IGNORECASE):
                connection.register(table, result.arrow(table))
    try:
        connection.execute("set enable_external_access = false; set timezone = 'UTC'; set lock_configuration = true")
        return _run(connection, query)
    finally:
        connection.close()
