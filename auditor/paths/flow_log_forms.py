"""The forms in which AWS hands out flow logs, converted to one: lines of fields with spaces between, as they lie in S3.

CloudWatch Logs gives JSON (``filter-log-events``, ``get-log-events``, ``get-query-results``), ``aws logs tail`` lines with
the time and stream in front, Logs Insights and Athena CSV with names of their own.
"""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from auditor.border import gate
from auditor.capture.compression import LARGER
from auditor.prefixes import parse_address

DATED = re.compile(rb"^\d{4}-\d\d-\d\dT\S+ (?=\S+ )", re.MULTILINE)
# After the time, `aws logs tail` writes the stream's name: that of a network interface, or of what the owner chose.
STREAM = re.compile(rb"^(?![\d.]+ |- )\S+ (?=\d+ (?:\d{12}|unknown|[^\s.:]*+[.:]\S*+) )", re.MULTILINE)
MESSAGE = "@message"  # the column of Logs Insights that has a row of the log
LONGEST_LINE = 4 << 20  # bytes
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
    return b"".join(parts(iter([data]), known, len(data)))


def parts(chunks: Iterator[bytes], known: tuple[str, ...], largest: int) -> Iterator[bytes]:
    """The same of what comes a part at a time: whole lines. What is no text of lines is taken as a whole, up to ``largest`` bytes."""
    first = next(chunks, b"")
    if gate.is_marked(first):
        first = gate.in_utf8(_whole(first, chunks, largest))
    data = first.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if data[:1] in (b"{", b"["):
        yield "\n".join(_messages(_whole(data, chunks, largest))).encode() + b"\n"
        return
    convert = _converter(data, known)
    for lines in _whole_lines(itertools.chain([data], chunks)):
        yield convert(lines)


def _whole(first: bytes, chunks: Iterator[bytes], largest: int) -> bytes:
    """All of a text that is converted at once. Raises ValueError where it is too large for that."""
    some, size = [first], len(first)
    for chunk in chunks:
        some.append(chunk)
        size += len(chunk)
        if size > largest:
            raise ValueError(f"more than {largest >> 20:,} MiB when unpacked; {LARGER}")
    return b"".join(some)


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same, each part with the ends of its lines; of nothing an empty one."""
    rest, any_lines = b"", False
    for chunk in chunks:
        lines, end, tail = chunk.rpartition(b"\n")
        if end:
            yield rest + lines + end
            rest, any_lines = tail, True
        else:
            rest += chunk
        if len(rest) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE >> 20} MiB")
    if rest or not any_lines:
        yield rest


def _converter(data: bytes, known: tuple[str, ...]) -> Callable[[bytes], bytes]:
    """What makes lines of AWS's form of those of a text that begins with ``data``."""
    first = data.partition(b"\n")[0]
    if b"," in first and b" " not in first.strip().replace(b", ", b","):
        return _Csv(known)
    has_tabs = b"\t" in first
    is_dated = DATED.match(first.replace(b"\t", b" ")) is not None

    def convert(lines: bytes) -> bytes:
        plain = lines.replace(b"\t", b" ") if has_tabs else lines
        return STREAM.sub(b"", DATED.sub(b"", plain)) if is_dated else plain

    return convert


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


class _Csv:
    """Converts rows of CSV, the first part of which begins with a header."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known
        self._header: list[str] | None = None

    def __call__(self, data: bytes) -> bytes:
        rows, lines = _csv_rows(data), []
        if self._header is None:
            self._header = [name.strip() for name in next(rows, [])]
            if MESSAGE not in self._header:
                lines = [" ".join(spelled(name, self._known).replace(" ", "_") for name in self._header)]
        lines += [self._line(row, self._header) for row in rows if row]
        return "\n".join(lines).encode() + b"\n"

    @staticmethod
    def _line(row: list[str], header: list[str]) -> str:
        if MESSAGE in header:
            at = header.index(MESSAGE)
            return " ".join(row[at].split()) if len(row) > at else UNREAD
        return " ".join("_".join(c.split()) or "-" for c in row) if len(row) == len(header) else UNREAD


def _csv_rows(data: bytes) -> Iterator[list[str]]:
    """The rows of CSV. Raises ValueError where a field is without end."""
    try:
        yield from csv.reader(io.StringIO(data.decode("utf-8", "replace")))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def looks_like(head: bytes, known: tuple[str, ...], formats: list[list[str]]) -> bool:
    """Whether a file begins like a flow log in any of these forms. ``formats``: those of describe-flow-logs beside it."""
    if head.lstrip(b"\xef\xbb\xbf \r\n")[:1] in (b"{", b"["):
        texts = re.findall(
            r'"(?:message|value)"\s*:\s*"(?:[^\sZ]*+Z )?((?:\\.|[^"\\])*+)"', head.decode("utf-8", "replace")
        )
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
