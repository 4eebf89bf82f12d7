"""The forms in which AWS hands out flow logs, converted to one: lines of fields with spaces between, as they lie in S3.

CloudWatch Logs gives JSON (``flow_log_json``), text with tabs (``--output text``), lines with the time and stream in front
(``aws logs tail``), Logs Insights and Athena CSV with names of their own.
"""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from auditor.border import gate
from auditor.capture.compression import LARGER
from auditor.paths import flow_log_json
from auditor.paths.flow_log_fields import header, is_row, spelled
from auditor.paths.flow_log_json import FEWEST, UNREAD
from auditor.paths.flow_log_kernels import has_loose_spaces

COLOUR = re.compile(rb"\x1b\[[\d;]*m")  # of `aws logs tail --color on`
DATED = re.compile(rb"^\d{4}-\d\d-\d\dT\S+ (?=\S+ )", re.MULTILINE)
# After the time, `aws logs tail` writes the stream's name: that of a network interface with what is logged of it, which no
# field looks like, or what the owner chose.
STREAM = re.compile(
    rb"^(?:eni|tgw-attach)-[0-9a-f]+-(?:all|accept|reject) |^(?![\d.]+ |- )\S+ (?=\d+ (?:\d{12}|unknown|TransitGateway|[^\s.:]*+[.:]\S*+) )",
    re.MULTILINE,
)
EVENTS = re.compile(rb"^EVENTS\t.*$", re.MULTILINE)  # what --output text writes in front of each
# What people write into a log: lines of their own behind "#", maybe the header, and words behind a row.
COMMENT = re.compile(rb"^[ \t]*#[^\r\n]*|[ \t]#[^\r\n]*", re.MULTILINE)
# A message as jq prints it, or a list of them that has lost its brackets.
QUOTED = re.compile(rb'[ \t]*"[^",\t ]+ [^",\t]+"[ \t]*,?[ \t]*\r?')
QUOTES = re.compile(rb'"|,[ \t]*(?=\r?$)', re.MULTILINE)
MESSAGES = ("@message", "message")  # columns of Logs Insights, and of the console, that have a row of the log
DELIMITERS = ",\t;"
LONGEST_LINE = 4 << 20  # bytes


def lines_of(data: bytes, known: Sequence[str]) -> bytes:
    """The rows of a log, whatever form it is in, a line each; with a header where there was one.

    Raises ValueError where something is the form of a log, but has no rows in it.
    """
    return b"".join(parts(iter([data]), known, len(data)))


def parts(chunks: Iterator[bytes], known: Sequence[str], largest: int) -> Iterator[bytes]:
    """The same of what comes a part at a time: whole lines. What is no text of lines is taken as a whole, up to ``largest`` bytes."""
    first = next(chunks, b"")
    if gate.is_marked(first):
        first = gate.in_utf8(_whole(first, chunks, largest))
    data = first.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if data[:1] in (b"{", b"["):
        yield "\n".join(flow_log_json.lines(_whole(data, chunks, largest), known)).encode() + b"\n"
        return
    convert = _converter(_uncommented(data, known).lstrip(b"\r\n"), known)
    for lines in _whole_lines(itertools.chain([data], chunks)):
        yield convert(_uncommented(lines, known))


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


def _uncommented(lines: bytes, known: Sequence[str]) -> bytes:
    """Lines without comments: of one that names the log's fields these stay."""
    if b"#" not in lines:
        return lines

    def kept(comment: re.Match[bytes]) -> bytes:
        text = comment[0].strip(b" \t#")
        names = header(text.decode("ascii", "replace"), known)
        return text if {"srcport", "dstport", "protocol"} <= set(names) else b""

    return COMMENT.sub(kept, lines)


def _converter(data: bytes, known: Sequence[str]) -> Callable[[bytes], bytes]:
    """What makes lines of AWS's form of those of a text that begins with ``data``."""
    first = data.partition(b"\n")[0]
    if QUOTED.fullmatch(first):
        return _plain(first)
    for delimiter in DELIMITERS:
        if delimiter.encode() not in first:
            continue
        if _names_columns(first, delimiter, known):
            return _Csv(known, delimiter)
        if delimiter != "\t" and is_row(
            first.replace(b'"', b"").decode("utf-8", "replace").replace(delimiter, " "), ()
        ):
            return _Csv(known, delimiter, has_header=False)
    if EVENTS.search(data):
        return _of_events
    if b"\t" in first and all(piece.count(b" ") + 1 >= FEWEST for piece in first.split(b"\t")):
        return lambda lines: lines.replace(b"\t", b"\n")  # --query 'events[].message' --output text
    return _plain(first)


def _plain(first: bytes) -> Callable[[bytes], bytes]:
    """Lines of fields, maybe with tabs between, or behind a time and the name of a stream."""
    has_tabs, is_coloured, is_quoted = b"\t" in first, b"\x1b[" in first, QUOTED.fullmatch(first) is not None
    is_dated = DATED.match(COLOUR.sub(b"", first).replace(b"\t", b" ")) is not None

    def convert(lines: bytes) -> bytes:
        lines = COLOUR.sub(b"", lines) if is_coloured else lines
        lines = QUOTES.sub(b"", lines) if is_quoted else lines
        lines = lines.replace(b"\t", b" ") if has_tabs else lines
        lines = STREAM.sub(b"", DATED.sub(b"", lines)) if is_dated else lines
        return _tidy(lines)

    return convert


def _tidy(lines: bytes) -> bytes:
    """Lines with one space between fields, and none around them."""
    if has_loose_spaces(np.frombuffer(lines, np.uint8)):
        lines = re.sub(rb" {2,}", b" ", lines)
        lines = re.sub(rb"^ +| +(?=\r?$)", b"", lines, flags=re.MULTILINE)
    return lines


def _of_events(lines: bytes) -> bytes:
    """The messages of ``--output text``: of each event the column that is a row; other lines are tokens and streams."""
    rows = []
    for line in EVENTS.findall(lines):
        columns = [column.split() for column in line.split(b"\t")]
        rows.append(next((b" ".join(fields) for fields in columns if len(fields) >= FEWEST), UNREAD.encode()))
    return b"\n".join(rows) + b"\n"


def _names_columns(first: bytes, delimiter: str, known: Sequence[str]) -> bool:
    """Whether a first line is a header of CSV: one with messages, or with the addresses of rows."""
    names = [name.strip() for name in next(_csv_rows(first, delimiter), [])]
    return bool({*MESSAGES} & {*names}) or {"srcaddr", "dstaddr"} <= {spelled(name, known) for name in names}


class _Csv:
    """Converts rows of CSV, the first part of which begins with a header, or has the fields of a default format."""

    def __init__(self, known: Sequence[str], delimiter: str, *, has_header: bool = True) -> None:
        self._known, self._delimiter, self._has_header = known, delimiter, has_header
        self._count = 0  # of columns
        self._message: int | None = None  # which of them has a whole row

    def __call__(self, data: bytes) -> bytes:
        rows, lines = _csv_rows(data, self._delimiter), []
        if not self._count and not self._has_header:
            self._count = next((len(row) for row in _csv_rows(data, self._delimiter) if row), 0)
        elif not self._count:
            names = [name.strip() for name in next(rows, [])]
            self._count = len(names)
            self._message = next((names.index(name) for name in MESSAGES if name in names), None)
            if self._message is None:
                lines = [" ".join(spelled(name, self._known).replace(" ", "_") or "-" for name in names)]
        lines += [self._line(row) for row in rows if row]
        return "\n".join(lines).encode() + b"\n"

    def _line(self, row: list[str]) -> str:
        if len(row) != self._count:
            return UNREAD
        if self._message is not None:
            return " ".join(row[self._message].split())
        return " ".join("_".join(cell.split()) or "-" for cell in row)


def _csv_rows(data: bytes, delimiter: str) -> Iterator[list[str]]:
    """The rows of CSV. Raises ValueError where a field is without end."""
    try:
        yield from csv.reader(io.StringIO(data.decode("utf-8", "replace")), delimiter=delimiter)
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def looks_like(head: bytes, known: Sequence[str], formats: list[list[str]]) -> bool:
    """Whether a file begins like a flow log in any of these forms. ``formats``: those of describe-flow-logs beside it."""
    if head.lstrip(b"\xef\xbb\xbf \r\n")[:1] in (b"{", b"["):
        return flow_log_json.looks_like(head.decode("utf-8", "replace").removeprefix("\ufeff"), known, formats)
    whole = head[: head.rfind(b"\n") + 1] or head
    try:
        lines = lines_of(whole, known).decode("utf-8", "replace").splitlines()
    except ValueError:
        return False
    line = next((line.strip() for line in lines if line.strip()), "")
    if not line:  # a result of Logs Insights without rows
        return _names_columns(head.strip(b"\xef\xbb\xbf \r\n"), ",", known)
    return bool(header(line, known)) or is_row(line, formats)
