"""The forms in which AWS hands out flow logs, converted to one: lines of fields with spaces between, as they lie in S3.

CloudWatch Logs gives JSON (``filter-log-events``, ``get-log-events``, ``get-query-results``), ``aws logs tail`` lines with
the time and stream in front, Logs Insights and Athena CSV with names of their own.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from auditor.border import gate
from auditor.prefixes import parse_address

DATED = re.compile(rb"^\d{4}-\d\d-\d\dT\S+ (?=\S+ )", re.MULTILINE)
# After the time, `aws logs tail` writes the stream's name: that of a network interface, or of what the owner chose.
STREAM = re.compile(rb"^(?![\d.]+ |- )\S+ (?=\d+ (?:\d{12}|unknown|\S*[.:]\S*) )", re.MULTILINE)
UNREAD = "?"  # stands for a row that has not the fields of the log
DEFAULT_ROW = re.compile(r"\d+ (?:\d{12}|unknown) (?:eni-\w+|-) ")
# Names of fields in Athena's and Insights' columns, without case, hyphens and underscores, where they are not AWS's own.
ALIASES = {
    "account": "account-id",
    "sourceaddress": "srcaddr",
    "destinationaddress": "dstaddr",
    "sourceport": "srcport",
    "destinationport": "dstport",
    "numpackets": "packets",
    "numbytes": "bytes",
    "starttime": "start",
    "endtime": "end",
}


def spelled(name: str, known: tuple[str, ...]) -> str:
    """A field's name as AWS spells it in formats: srcAddr and src_addr are srcaddr, interfaceId interface-id."""
    plain = re.sub(r"[-_\s]", "", name).lower()
    by_plain = {re.sub("-", "", one): one for one in known}
    return by_plain.get(plain) or ALIASES.get(plain) or name


def lines_of(data: bytes, known: tuple[str, ...]) -> bytes:
    """The rows of a log, whatever form it is in, a line each; with a header where there was one.

    Raises ValueError where something is the form of a log, but has no rows in it.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if data[:1] in (b"{", b"["):
        return "\n".join(_messages(data)).encode() + b"\n"
    first = data.partition(b"\n")[0]
    if b"," in first and b" " not in first.strip().replace(b", ", b","):
        return _of_csv(data, known)
    if b"\t" in first:
        data = data.replace(b"\t", b" ")
    if DATED.match(data):
        data = STREAM.sub(b"", DATED.sub(b"", data))
    return data


def _messages(data: bytes) -> Iterator[str]:
    """The messages of what CloudWatch Logs gives out as JSON, in one piece or one object a line."""
    try:
        rows = _listed(gate.from_json(data))
    except gate.RefusedError:
        # One that is no JSON is a row without fields.
        lines = [line.value for line in gate.json_lines(data)]
        rows = [row for line in lines for row in (_listed(line) if isinstance(line, dict) else [line])]
    messages = [_message(row) for row in rows]
    if messages and all(message is None for message in messages):
        raise ValueError("JSON without the log's messages; ask for @message, or give the log as text")
    for message in messages:
        yield " ".join(message.split()) if message is not None else UNREAD


def _listed(value: Any) -> list[Any]:
    """The rows in what the AWS command line prints, or in what a subscription filter delivers."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("events", "results", "logEvents") if key in value), [value])
    return value if isinstance(value, list) else []


def _message(row: Any) -> str | None:
    if isinstance(row, list):  # get-query-results: a list of fields for each row
        fields = [field for field in row if isinstance(field, dict)]
        row = {str(field.get("field", "")).lstrip("@"): field.get("value") for field in fields}
    message = row.get("message") if isinstance(row, dict) else None
    return message if isinstance(message, str) else None


def _of_csv(data: bytes, known: tuple[str, ...]) -> bytes:
    rows = _csv_rows(data)
    header = [name.strip() for name in next(rows, [])]
    if "@message" in header:
        at = header.index("@message")
        return "\n".join(" ".join(row[at].split()) if len(row) > at else UNREAD for row in rows if row).encode() + b"\n"
    names = [spelled(name, known).replace(" ", "_") for name in header]
    lines = [" ".join(names)]
    lines += [
        " ".join("_".join(c.split()) or "-" for c in row) if len(row) == len(names) else UNREAD for row in rows if row
    ]
    return "\n".join(lines).encode() + b"\n"


def _csv_rows(data: bytes) -> Iterator[list[str]]:
    """The rows of CSV. Raises ValueError where a field is without end."""
    try:
        yield from csv.reader(io.StringIO(data.decode("utf-8", "replace")))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def looks_like(head: bytes, known: tuple[str, ...], formats: list[list[str]]) -> bool:
    """Whether a file begins like a flow log in any of these forms. ``formats``: those of describe-flow-logs beside it."""
    if head.lstrip(b"\xef\xbb\xbf \r\n")[:1] in (b"{", b"["):
        texts = re.findall(r'"(?:message|value)"\s*:\s*"(?:\S+Z )?((?:\\.|[^"\\])*)"', head.decode("utf-8", "replace"))
        return any(_is_row(text, formats) for text in texts[:10])
    whole = head[: head.rfind(b"\n") + 1] or head
    try:
        lines = lines_of(whole, known).decode("utf-8", "replace").splitlines()
    except ValueError:
        return False
    line = lines[0].strip() if lines else ""
    names = set(re.findall(r"\$\{([a-z0-9-]+)\}", line)) or set(line.split())
    return {"srcaddr", "dstaddr"} <= names or _is_row(line, formats)


def _is_row(line: str, formats: list[list[str]]) -> bool:
    if DEFAULT_ROW.match(line):
        return True
    fields = line.split()
    for names in formats:
        if len(names) != len(fields) or "srcaddr" not in names:
            continue
        addresses = [value for name, value in zip(names, fields, strict=True) if name in ("srcaddr", "dstaddr")]
        try:
            if all(value == "-" or parse_address(value) for value in addresses):
                return True
        except ValueError:
            continue
    return False
