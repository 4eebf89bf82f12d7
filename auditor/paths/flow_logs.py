"""VPC and transit gateway flow logs, versions 2 to 11, as AWS writes them: text (also gzip) and Parquet.

Fields are named by the header, by a ``LogFormat`` (of describe-flow-logs, or as the file's first line), or, where there
is none, taken for the default format of version 2. A log's rows lie in arrays, as flows do.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.border import gate, rows
from auditor.border.words import counted
from auditor.capture.compression import LARGER, allowed, unpacked
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance
from auditor.paths import flow_log_columns, flow_log_forms
from auditor.prefixes import parse_address

Array = np.ndarray[Any, Any]
DEFAULT = [  # version 2, in AWS's order (VPC User Guide, Flow log records)
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
]
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
)
ADDRESSES = ("srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr")
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
FORMAT = re.compile(r"\$\{([a-z0-9-]+)\}")
LARGEST_LISTING = 16 << 20  # bytes of what describe-flow-logs prints
# Bytes of memory that a byte of text becomes on its way to columns; that a row of Parquet does, and copies of its pages.
TEXT_FACTOR, ROW_BYTES, PAGE_COPIES = 14, 600, 4


@dataclass
class FlowLog:
    """The rows of logs that hold addresses. Numbers are -1, texts None, addresses (0, 0) where a row has ``-``.

    ``address`` has for each of ADDRESSES an (n, 2) array of halves; ``text`` for each of TEXTS (values, index).
    """

    names: list[str] = field(default_factory=list)
    number: dict[str, Array] = field(default_factory=dict)
    address: dict[str, Array] = field(default_factory=dict)
    text: dict[str, tuple[list[str | None], Array]] = field(default_factory=dict)
    file: Array = field(default_factory=lambda: np.zeros(0, np.int32))  # index into ``names``
    rows: list[int] = field(default_factory=list)  # rows of each file, those without data included
    columns: set[str] = field(default_factory=set)  # fields that any of the logs has
    skipped: list[int] = field(default_factory=list)  # rows that could not be read, or whose data AWS skipped
    unread: list[int] = field(default_factory=list)  # rows that could not be read

    def __len__(self) -> int:
        return len(self.file)

    def texts(self, name: str) -> Array:
        """A text column, one str or None a row."""
        values, index = self.text[name]
        return np.array([*values, None], object)[index]

    def is_value(self, name: str, *wanted: str) -> Array:
        """Whether a text column is one of some values."""
        values, index = self.text[name]
        return np.array([*(v in wanted for v in values), False])[index]


def looks_like(head: bytes, formats: Iterable[str] = ()) -> bool:
    """Whether a file begins like a flow log in text, in any form that AWS hands out."""
    return flow_log_forms.looks_like(head, KNOWN, [FORMAT.findall(text) for text in formats])


class Reader:
    """Reads files into one FlowLog."""

    def __init__(self, formats: Iterable[str] = (), allowance: Allowance | None = None) -> None:
        self._allowance = allowance or Allowance()
        self.formats = [FORMAT.findall(text) for text in formats]
        self._parts: list[tuple[str, pa.Table, int, int, int]] = []

    def add(self, path: Path) -> None:
        """Read a file. Raises InputError naming it and what is wrong."""
        try:
            if path.suffix == ".parquet":
                table, unread = self._parquet(path), 0
            else:
                table, unread = self._text(path)
            missing = [name for name in NEEDED if name not in table.column_names]
            if missing:
                what = f"the log has no field {', '.join(missing)}: it cannot be matched with flows"
                raise InputError(f"{shown(path)}: {what}")
            table, more = flow_log_columns.readable(table, NUMBERS, ADDRESSES)
        except OSError as error:
            raise InputError(f"{shown(path)}: {error.strerror}") from error
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"{shown(path)}: not a flow log that can be read: {rows.reason(error)}") from error
        unread += more
        if unread and not table.num_rows:
            raise InputError(
                f"{shown(path)}: not a flow log that can be read: none of its {counted(unread, 'row')} has its form"
            )
        total, skipped = table.num_rows + unread, unread
        if "log-status" in table.column_names:
            import pyarrow.compute as pc

            kept = table.filter(pc.field("log-status") == "OK")
            skipped += table.num_rows - kept.num_rows
            table = kept
        self._parts.append((str(path), table, total, skipped, unread))

    def _parquet(self, path: Path) -> pa.Table:
        known = (*NUMBERS, *ADDRESSES, *TEXTS)
        coded = [spelling for name in (*ADDRESSES, *TEXTS) for spelling in (name, name.replace("-", "_"))]
        with gate.Parquet(path, coded) as file:
            wanted = [n for n in file.schema.names if n.replace("_", "-") in known]
            size = ROW_BYTES * file.rows + PAGE_COPIES * file.unpacked(wanted)
            if size > self._allowance.left:
                raise ValueError(
                    f"its {counted(file.rows, 'row takes', 'rows take')} {size >> 20:,} MiB of memory; {LARGER}"
                )
            self._allowance.take(size)
            table = file.read(wanted)
        names = [name.replace("_", "-") for name in table.column_names]
        _no_twice(names)
        return table.rename_columns(names)

    def _text(self, path: Path) -> tuple[pa.Table, int]:
        data = flow_log_forms.lines_of(gate.in_utf8(allowed(path, self._allowance, TEXT_FACTOR)), KNOWN)
        if not data.isascii():  # Arrow's reader gives up on rows that are not UTF-8, and does not say so
            data = data.decode("utf-8", "replace").encode()
        line, _, rest = data.partition(b"\n")
        first = line.decode("ascii", "replace").strip()
        names = FORMAT.findall(first) or (first.split() if "srcaddr" in first.split() else [])
        if names:
            data = rest
        else:
            count = len(first.split())
            fits = [f for f in [*self.formats, DEFAULT] if len(f) == count]
            if not fits and count:
                raise ValueError(
                    f"no header, and {counted(count, 'field')}: give the output of aws ec2 describe-flow-logs beside it"
                )
            names = fits[0] if fits else DEFAULT
        kinds: dict[str, Any] = {name: pa.int64() for name in NUMBERS}
        kinds |= dict.fromkeys((*ADDRESSES, *TEXTS), flow_log_columns.TEXT)
        kinds = {name: kinds[name] for name in names if name in kinds}
        _no_twice([name for name in names if name in kinds])
        if not data.strip():  # a header, or nothing at all: nothing was recorded in that time
            return pa.table({name: pa.array([], kind) for name, kind in kinds.items()}), 0
        try:
            return _fields(data, names, kinds)
        except pa.ArrowInvalid:  # of one row: all is read as text then, and looked at row by row
            return _fields(data, names, dict.fromkeys(kinds, flow_log_columns.TEXT))

    def finish(self) -> FlowLog:
        """All that was read."""
        log = FlowLog()
        if not self._parts:
            return log
        for name, _, total, skipped, unread in self._parts:
            log.names.append(name)
            log.rows.append(total)
            log.skipped.append(skipped)
            log.unread.append(unread)
        sizes = [table.num_rows for _, table, *_ in self._parts]
        log.file = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        tables = [table for _, table, *_ in self._parts]
        log.columns = {name for table in tables for name in table.column_names}
        for column in NUMBERS:
            log.number[column] = np.concatenate([_numbers(table, column) for table in tables])
        for column in ADDRESSES:
            log.address[column] = _addresses(tables, column)
        for column in TEXTS:
            log.text[column] = _coded(tables, column)
        good = (log.address["srcaddr"] != 0).any(axis=1) & (log.number["start"] >= 0)
        if not good.all():
            without = np.bincount(log.file[~good], minlength=len(log.names)).tolist()
            log.skipped = [skipped + more for skipped, more in zip(log.skipped, without, strict=True)]
            log.file = log.file[good]
            log.number = {name: values[good] for name, values in log.number.items()}
            log.address = {name: values[good] for name, values in log.address.items()}
            log.text = {name: (values, index[good]) for name, (values, index) in log.text.items()}
        return log


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
        read_options=csv.ReadOptions(column_names=names),
        parse_options=csv.ParseOptions(delimiter=" ", invalid_row_handler=skip, quote_char=False),
        convert_options=csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), null_values=["-", ""], strings_can_be_null=True
        ),
    )
    return table, wrong[0]


def _numbers(table: pa.Table, name: str) -> Array:
    if name not in table.column_names:
        return np.full(table.num_rows, -1, np.int64)
    return np.asarray(table.column(name).fill_null(-1).to_numpy(), np.int64)


def _coded(tables: list[pa.Table], name: str) -> tuple[list[str | None], Array]:
    """A text column of all tables as distinct values and their numbers; -1 for missing."""
    values: dict[str, int] = {}
    parts = []
    for table in tables:
        if name not in table.column_names:
            parts.append(np.full(table.num_rows, -1, np.int64))
            continue
        column = table.column(name)
        whole = column.unify_dictionaries().combine_chunks()
        for chunk in whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]:
            codes = np.array([values.setdefault(v, len(values)) for v in chunk.dictionary.to_pylist()] + [-1], np.int64)
            parts.append(codes[np.asarray(chunk.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False))])
    return list(values), np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _addresses(tables: list[pa.Table], name: str) -> Array:
    values, index = _coded(tables, name)
    halves = np.zeros((len(values) + 1, 2), np.uint64)
    for row, text in enumerate(values):
        try:
            halves[row] = parse_address(text or "")
        except ValueError:
            continue
    return halves[index]


def formats_of(path: Path) -> list[str]:
    """The formats that ``aws ec2 describe-flow-logs`` lists; [] for another file."""
    try:
        data = gate.from_json(unpacked(path, largest=LARGEST_LISTING))
    except (InputError, gate.RefusedError):
        return []
    listed = data.get("FlowLogs") if isinstance(data, dict) else None
    some = listed if isinstance(listed, list) else []
    return [row["LogFormat"] for row in some if isinstance(row, dict) and isinstance(row.get("LogFormat"), str)]
