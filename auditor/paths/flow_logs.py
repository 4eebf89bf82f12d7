"""VPC and transit gateway flow logs, versions 2 to 11, as AWS writes them: text (also gzip) and Parquet.

Fields are named by the header, by a ``LogFormat`` (of describe-flow-logs, or as the file's first line), or, where there
is none, taken for the default format of version 2. Logs are read a part at a time.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.border import gate, rows
from auditor.border.words import counted
from auditor.capture.compression import LARGER, streamed, unpacked
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance, give_back
from auditor.paths import flow_log_columns, flow_log_fields, flow_log_forms
from auditor.paths.flow_log_fields import ADDRESSES, DEFAULT, FORMAT
from auditor.paths.flow_log_rows import FlowLog, LogRows, Window

NUMBERS = (
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "traffic-path",
    "tcp-flags",
    "encryption-status",
    "packets-lost-no-route",
    "packets-lost-blackhole",
    "packets-lost-mtu-exceeded",
    "packets-lost-ttl-expired",
)
TEXTS = (
    "interface-id",
    "action",
    "log-status",
    "flow-direction",
    "vpc-id",
    "tgw-id",
    "tgw-attachment-id",
    "tgw-pair-attachment-id",
    "interface-type",
    "next-hop-interface-type",
    "reject-reason",
)
KNOWN = (*DEFAULT, *NUMBERS, *ADDRESSES, *TEXTS)
NEEDED = ("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "start", "end")
PART = 1 << 20  # bytes of text that are read at once: on their way to columns they are there a dozen times
MANY = 1 << 17  # rows; what was read on the way to these is given back to the system
MAGIC = b"PAR1"
ONE_FORMAT = re.compile(r"(?:\$\{[a-z0-9-]+\}\s*)+")
LONGEST_SAMPLE = 1 << 14  # bytes of rows by which a format is told
LARGEST_LISTING = 16 << 20  # bytes of what describe-flow-logs prints
# Bytes of memory that a byte of JSON becomes on its way to columns, that a row is kept in, and copies of Parquet's pages.
TEXT_FACTOR, ROW_BYTES, PAGE_COPIES = 14, 160, 4


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its name or by how it begins: writers of tables seldom name it so."""
    return path.suffix == ".parquet" or unpacked(path, len(MAGIC)) == MAGIC


def looks_like(head: bytes, formats: Iterable[str] = ()) -> bool:
    """Whether a file begins like a flow log in text, in any form that AWS hands out."""
    return flow_log_forms.looks_like(head, KNOWN, [FORMAT.findall(text) for text in formats])


class LogReader:
    """Reads files into one FlowLog.

    ``window``: from when to when rows may be about packets of the captures, as far as that is known when it is asked for.
    """

    def __init__(
        self,
        formats: Iterable[str] = (),
        allowance: Allowance | None = None,
        window: Callable[[], Window] = lambda: (None, None),
    ) -> None:
        self._allowance = allowance or Allowance()
        self._most = self._allowance.left
        self._formats = [FORMAT.findall(text) for text in formats]
        self._window = window
        self._gathered = LogRows(NUMBERS, ADDRESSES, TEXTS)

    def add(self, path: Path) -> None:
        """Read a file. Raises InputError naming it and what is wrong."""
        self._gathered.begin(str(path))
        try:
            for table, wrong in self._parquet(path) if is_parquet(path) else self._text(path):
                self._take(table, wrong)
        except OSError as error:
            raise InputError(f"{shown(path)}: {error.strerror or error}") from error
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"{shown(path)}: not a flow log that can be read: {rows.reason(error)}") from error
        unread = self._gathered.unread
        if unread and unread == self._gathered.rows:
            what = f"none of its {counted(unread, 'row')} has its form"
            raise InputError(f"{shown(path)}: not a flow log that can be read: {what}")

    def _take(self, table: pa.Table, wrong: int) -> None:
        """Take in some rows, besides which ``wrong`` were there that could not be read."""
        missing = [name for name in NEEDED if name not in table.column_names]
        if missing:
            raise ValueError(f"the log has no field {', '.join(missing)}: it cannot be matched with flows")
        columns = flow_log_columns.readable(table, NUMBERS, ADDRESSES)
        size = ROW_BYTES * self._gathered.add(columns, self._window(), wrong)
        if size > self._allowance.left:
            raise ValueError(f"its rows take more than {self._most >> 20:,} MiB of memory; {LARGER}")
        self._allowance.take(size)

    def _parquet(self, path: Path) -> Iterator[tuple[pa.Table, int]]:
        known = (*NUMBERS, *ADDRESSES, *TEXTS)
        coded = [spelling for name in TEXTS for spelling in (name, name.replace("-", "_"))]
        with gate.Parquet(path, coded) as file:
            wanted = [n for n in file.schema.names if n.replace("_", "-") in known]
            size = PAGE_COPIES * file.unpacked(wanted)
            if size > self._allowance.left:
                raise ValueError(
                    f"its {counted(file.rows, 'row takes', 'rows take')} {size >> 20:,} MiB of memory; {LARGER}"
                )
            names = [name.replace("_", "-") for name in wanted]
            _no_twice(names)
            for batch in file.batches(wanted):
                yield pa.Table.from_batches([batch]).rename_columns(names), 0
            if not file.rows:
                yield file.schema.empty_table().select(wanted).rename_columns(names), 0

    def _text(self, path: Path) -> Iterator[tuple[pa.Table, int]]:
        names: list[str] | None = None
        for lines in flow_log_forms.parts(streamed(path, PART), KNOWN, self._allowance.most(TEXT_FACTOR)):
            data = lines
            if not data.isascii():  # Arrow's reader gives up on rows that are not UTF-8, and does not say so
                data = data.decode("utf-8", "replace").encode()
            for part in _by_headers(data):
                names, rest = self._named(part, names)
                yield self._table(names, rest)

    @staticmethod
    def _table(names: list[str], data: bytes) -> tuple[pa.Table, int]:
        """The fields of some rows, and how many of them cannot be read."""
        _no_twice([name for name in names if name in KNOWN])
        kinds: dict[str, Any] = {name: pa.int64() for name in NUMBERS if name in names}
        kinds |= {name: pa.string() for name in ADDRESSES if name in names}
        kinds |= {name: flow_log_columns.TEXT for name in TEXTS if name in names}
        if not data.strip():  # a header, or nothing at all: nothing was recorded in that time
            return pa.table({name: pa.array([], kind) for name, kind in kinds.items()}), 0
        try:
            return _fields(data, names, kinds)
        except pa.ArrowInvalid:  # of one row: all is read as text then, and looked at row by row
            return _fields(data, names, dict.fromkeys(kinds, pa.string()))

    def _named(self, data: bytes, before: list[str] | None) -> tuple[list[str], bytes]:
        """The names of fields, by the first line, as in what came ``before``, or by what rows look like; and the rows."""
        line, _, rest = data.partition(b"\n")
        if names := flow_log_fields.header(line.decode("ascii", "replace"), KNOWN):
            return names, rest
        if before is not None:
            return before, data
        some = data[:LONGEST_SAMPLE].decode("ascii", "replace").splitlines()
        return flow_log_fields.of_rows(some, self._formats), data

    def finish(self) -> FlowLog:
        """All that was read."""
        log = self._gathered.finish()
        if len(log) > MANY:
            pa.default_memory_pool().release_unused()
            give_back()
        return log


def _by_headers(data: bytes) -> Iterator[bytes]:
    """The parts of a text that begin with a header each: logs that were put into one file have several."""
    at = found = 0
    while (found := data.find(b"srcaddr", found)) >= 0:
        begin = data.rfind(b"\n", 0, found) + 1
        if begin > at:
            yield data[at:begin]
        end = data.find(b"\n", found)
        at, found = begin, len(data) if end < 0 else end
    yield data[at:]


def _no_twice(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise gate.RefusedError(f"two of its fields are {twice}")


def _fields(data: bytes, names: list[str], kinds: dict[str, Any]) -> tuple[pa.Table, int]:
    """The fields of rows that have as many as they should, and how many rows have not."""
    from pyarrow import csv

    wrong = [0]

    def skip(_row: Any) -> str:
        wrong[0] += 1
        return "skip"

    table = csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(column_names=names, block_size=2 * PART),
        parse_options=csv.ParseOptions(delimiter=" ", invalid_row_handler=skip, quote_char=False),
        convert_options=csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), null_values=["-", ""], strings_can_be_null=True
        ),
    )
    return table, wrong[0]


def formats_of(path: Path) -> list[str]:
    """The formats that ``aws ec2 describe-flow-logs`` lists, as JSON, YAML or text, or as ``--query`` has them; [] for another file."""
    try:
        data = gate.in_utf8(unpacked(path, largest=LARGEST_LISTING)).strip()
        if data[:1] not in (b"{", b"["):
            return _formats_of_text(data.decode("utf-8", "replace"))
        listed = gate.from_json(data)
    except (InputError, gate.RefusedError):
        return []
    some = listed.get("FlowLogs") if isinstance(listed, dict) else listed
    formats = (
        [row.get("LogFormat") if isinstance(row, dict) else row for row in some if some]
        if isinstance(some, list)
        else []
    )
    return [text for text in formats if isinstance(text, str) and FORMAT.match(text)]


def _formats_of_text(text: str) -> list[str]:
    """The formats in YAML or in text of nothing but them: other text that has one is a log of that format."""
    lines = [line.strip().strip("\"'") for line in text.splitlines()]
    if any(line.startswith(("LogFormat:", "- LogFormat:")) for line in lines):
        text = re.sub(r"\n\s+(?=\$\{)", " ", text)  # YAML folds long lines
        return re.findall(r"LogFormat: *[\"']?((?:\$\{[a-z0-9-]+\} ?)+)", text)
    return [line for line in lines if line] if all(ONE_FORMAT.fullmatch(line) for line in lines if line) else []
