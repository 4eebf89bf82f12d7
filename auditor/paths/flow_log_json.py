"""Flow logs as JSON: what CloudWatch Logs, Logs Insights, Athena, Firehose and ``--query`` make of them, as lines of fields.

A row is a message (the line that lies in S3), or an object that has a member for each field.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from auditor.border import gate
from auditor.paths.flow_log_fields import is_row, spelled

UNREAD = "?"  # stands for a row that has not the fields of the log
LISTS = ("events", "results", "logEvents", "ResultSet", "Rows", "logRecord")  # members that hold the rows
EMPTY = re.compile(r'\s*\[\s*\]\s*$|\s*\{.{0,2000}"(?:events|results|logEvents)"\s*:\s*\[\s*\]', re.DOTALL)
STRING = re.compile(r'"((?:\\.|[^"\\])*)"')
DATED = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
MOST_LOOKED_AT = 400  # texts of a file's beginning
FEWEST = 7  # fields that a message has: those without which a row cannot be joined
Row = dict[str, Any] | str | None


def looks_like(head: str, known: Sequence[str], formats: list[list[str]]) -> bool:
    """Whether JSON begins like a flow log: with its rows, the names of its fields, or an empty list of events."""
    if EMPTY.match(head):
        return True
    texts = [text for text in STRING.findall(head)[:MOST_LOOKED_AT] if "${" not in text]
    names = {spelled(text, known) for text in texts if len(text) < 40}
    return {"srcaddr", "dstaddr"} <= names or any(is_row(DATED.sub("", text), formats) for text in texts)


def lines(data: bytes, known: Sequence[str]) -> list[str]:
    """The rows of JSON as lines, behind a header where they are objects of fields. Raises ValueError where none is any."""
    values = [line.value for line in gate.json_lines(data)]
    every = [_row(row) for value in values for row in _listed(value)]
    if every and not any(every):
        raise ValueError("JSON without the log's messages; ask for @message, or give the log as text")
    names: dict[str, str] = {}  # as members are named -> as AWS names them
    for row in every:
        if isinstance(row, dict):
            names |= {name: spelled(name, known) for name in row if name not in names}
    names = {name: field for name, field in names.items() if field in known}
    header = [" ".join(names.values())] if names else []
    return header + [_line(row, names) for row in every]


def _listed(value: Any) -> list[Any]:
    """The rows in what the AWS command line prints, or in what a subscription filter delivers."""
    for _ in range(2):  # Athena's rows lie one deeper
        key = next((key for key in LISTS if isinstance(value, dict) and key in value), None)
        value = value if key is None else value[key]
    if isinstance(value, dict):
        return [] if value.get("messageType") == "CONTROL_MESSAGE" else [value]
    rows = value if isinstance(value, list) else [value]
    cells = [_cells(row) for row in rows]
    if cells and cells[0] is not None:  # Athena's get-query-results: the first row has the names
        return [dict(zip(cells[0], row, strict=False)) if row is not None else None for row in cells[1:]]
    return rows


def _cells(row: Any) -> list[Any] | None:
    data = row.get("Data") if isinstance(row, dict) else None
    return (
        [cell.get("VarCharValue") if isinstance(cell, dict) else None for cell in data]
        if isinstance(data, list)
        else None
    )


def _row(row: Any) -> Row:
    if isinstance(row, list):
        fields = [field for field in row if isinstance(field, dict)]
        if not fields:  # --query 'events[].[timestamp, message]'
            return _message(row)
        # get-query-results: a list of fields for each row
        row = {str(field.get("field", "")).lstrip("@"): field.get("value") for field in fields}
    if not isinstance(row, dict):
        return _message([row])
    if any(spelled(name, ("srcaddr",)) == "srcaddr" for name in row):
        return row
    if "message" in row:
        return _message([row["message"]])
    return _message(row.values())


def _message(values: Iterable[Any]) -> str | None:
    """The value that is a row of a log: the one with as many fields."""
    texts = [" ".join(value.split()) for value in values if isinstance(value, str)]
    return next((text for text in texts if text.count(" ") + 1 >= FEWEST), None)


def _line(row: Row, names: dict[str, str]) -> str:
    if isinstance(row, str):
        return row
    if row is None or not names:
        return UNREAD
    return " ".join("-" if row.get(name) is None else "_".join(str(row[name]).split()) or "-" for name in names)
