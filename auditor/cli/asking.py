"""Commands that ask saved results: who, list, sql."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.border.urls import url_of
from auditor.cli.app import FormOption, ListForm, WhereOption, app, say
from auditor.cli.results import saved
from auditor.errors import AuditError

if TYPE_CHECKING:
    from auditor.report.database import Table
    from auditor.report.results import Results

MANIFEST = "audit.json"
# What is listed of a table where --columns does not say.
COLUMNS = {
    "flows": "flow_id, started, client_ip, coalesce(server_name, server_ip) as server, protocol, tls_version, path, "
    "path_confidence, verdict",
    "handshakes": "flow_id, started, server_name, tls_version, cipher_suite, key_exchange_group, forward_secrecy, status",
    "certificates": "subject, issuer, not_before, not_after, key_algorithm, key_bits, handshakes",
    "requests": "flow_id, time, method, authority, api, signature_version, credential_kind, status",
    "findings": "finding_id, severity, verdict, client_group, service, region, flows, reason",
    "verdicts": "flow_id, rule, verdict, reason",
    "captures": "capture, format, packets, flows, handshakes, started, ended, status, warnings",
}


ByOption = Annotated[
    str | None,
    typer.Option(
        "--by", help="Count flows by: client, network, server, service, version, suite, or columns.", show_default=False
    ),
]


def _folder(words: list[str], asked: int = 0) -> tuple[Path, list[str]]:
    """The folder of results among some words, and the others; the working directory where only so many were ``asked`` for."""
    for number, word in enumerate(words):
        if url_of(word) is not None or (Path(word) / MANIFEST).exists():
            return Path(word), words[:number] + words[number + 1 :]
    if len(words) <= asked and Path(MANIFEST).exists():
        return Path(), words
    from auditor.capture.folders import is_missing

    named = next((word for word in words if Path(word).is_dir()), words[0] if len(words) > asked else None)
    wrong = "no such folder" if named is not None and is_missing(Path(named)) else "holds no audit results"
    raise AuditError(f"{named or 'the working directory'}: {wrong}; give the folder that audit pcap --out wrote")


@app.command("who")
@saved()
def who_command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[FOLDER] QUESTION",
            help="A version (tls1.0), rule (TLS101), suite, address or name; old, plaintext, internet, …; or SQL.",
            show_default=False,
        ),
    ],
    by: ByOption = None,
    form: FormOption = ListForm.table,
) -> None:
    """Say who still speaks something: to whom, how often, first and last seen.

    The folder of results is the working directory where none is given.
    """
    from auditor.cli.listing import show_rows
    from auditor.report import who
    from auditor.report.results import Results

    folder, rest = _folder(words, asked=1)
    if len(rest) != 1:
        raise AuditError("audit who takes one question, as: audit who results tls1.0")
    show_rows(who.who(Results(folder), rest[0], by or "client,server"), form.value)


@app.command("list")
@saved()
def list_command(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of saved results; the working directory without it.", show_default=False),
    ] = None,
    table: Annotated[str, typer.Option("--table", help="Table to list.")] = "flows",
    where: WhereOption = None,
    by: ByOption = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns to list, or all.", show_default=False)
    ] = None,
    form: FormOption = ListForm.table,
) -> None:
    """List rows of a table: those of which --where is true, or counted --by something."""
    from auditor.cli.listing import show_rows
    from auditor.report import asking, who
    from auditor.report.results import Results

    if by is not None and (table != "flows" or columns is not None):
        raise AuditError("--by counts flows: it goes with neither --table nor --columns")
    result = Results(_folder([url_of(folder) or str(folder)] if folder is not None else [])[0])
    if by is not None:
        show_rows(who.who(result, where, by), form.value)
        return
    if table not in result.tables:
        raise AuditError(f"--table {table}: no such table; there are {', '.join(result.tables)}")
    is_plain = columns is None and form is ListForm.table
    chosen = COLUMNS.get(table, "*") if is_plain else columns if columns not in (None, "all") else "*"
    asked = who.condition(result, where) if where and table == "flows" else where or "true"
    text = f"select {chosen} from {table} where (\n{asked}\n)"  # noqa: S608 - in a database of nothing else
    rows = asking.query(result, text)
    show_rows(_shown_short(result, rows) if form is ListForm.table else rows, form.value)


def _shown_short(result: "Results", rows: "Table") -> "Table":
    """Rows with the numbers of flows as they are shown elsewhere: so many digits as tell them apart."""
    from auditor.report import flow_ids

    names, cells = rows
    if "flow_id" not in names:
        return rows
    at = names.index("flow_id")
    short = flow_ids.short(result, (row[at] for row in cells))
    return names, [(*row[:at], name, *row[at + 1 :]) for row, name in zip(cells, short, strict=True)]


@app.command("sql")
@saved()
def sql_command(
    folder: Annotated[Path, typer.Argument(help="Folder of saved results, or a history.", show_default=False)],
    query: Annotated[str, typer.Argument(help="SQL (DuckDB) over flows, findings, … or runs, traffic, found.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    form: FormOption = ListForm.table,
) -> None:
    """Run SQL over the tables of an audit, or over a history. A query can reach no files and no network.

    'show tables' and 'describe flows' say what there is. What is piped has every column and value; on a terminal, what does
    not fit is left out, and said.
    """
    from auditor.cli.listing import show_rows
    from auditor.report.history import sql

    if as_csv and form is not ListForm.table:
        raise AuditError(f"--csv and --format {form.value}: give one of both")
    show_rows(sql(folder, query, say), "csv" if as_csv else form.value)
