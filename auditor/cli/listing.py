"""Rows as tables that fit a terminal, and whole where they are piped."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from math import isfinite
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from auditor.border.text import cell, lines, printable
from auditor.border.words import agreed, counted
from auditor.cli.terminal import console, emit, wrapped

Rows = tuple[list[str], list[tuple[Any, ...]]]
GAP = 2
LONGEST, SHORTEST = 60, 20  # what long values are cut to on a terminal, before columns are left out
READABLE = 30  # columns in which the last value of a row is wrapped
NARROW = 100  # columns below which rows are stacked before anything is cut
MOST_STACKED = 4  # lines of a row that are still a row
# What is needed least, where there is no room for all; a path is never shown without its confidence.
LEAST = ("started", "protocol", "first_seen")
MISSING = "·"
MOST_NAMED = 6


@dataclass(frozen=True)
class ColumnLayout:
    """Columns as they are printed: the lines of a row, each of some columns; how wide they are; whether the last wraps."""

    lines: list[list[int]]
    widths: list[int]
    wraps: bool = False

    @property
    def shown(self) -> list[int]:
        """All columns that are printed."""
        return [k for line in self.lines for k in line]


def show_rows(rows: Rows, form: str = "table", title: str | None = None) -> None:
    """Print the rows of a query, in one of the forms of ``audit list``."""
    names, cells = [printable(name) for name in rows[0]], rows[1]
    match form:
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(map(cell, names))
            writer.writerows([cell(_in_line(_plain(value))) for value in row] for row in cells)
        case "json":
            sys.stdout.writelines(_listed(_record(names, row) for row in cells))
        case "jsonl":
            sys.stdout.writelines(json.dumps(_record(names, row), ensure_ascii=False) + "\n" for row in cells)
        case _:
            if title is not None:
                emit(console(), Text(f"{title} ({len(cells):,})", style="bold"))
            _table(names, cells)


def _listed(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Records as a JSON list, one after the other."""
    before = "["
    for record in records:
        text = json.dumps(record, ensure_ascii=False, indent=1).replace("\n", "\n ")
        yield f"{before}\n {text}"
        before = ","
    yield "\n]\n" if before == "," else "[]\n"


def _record(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in zip(names, row, strict=True)}


def _plain(value: Any) -> Any:
    """A value as JSON has it; lists and records of SQL too."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case list() | tuple():
            return [_plain(one) for one in value]
        case dict():
            return {lines(str(name)): _plain(one) for name, one in value.items()}
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case float():
            return value if isfinite(value) else None
        case int() | None:
            return value
        case _:
            return lines(str(value))


def _in_line(value: Any) -> Any:
    """A value as a line of CSV has it."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value.replace("\n", " ") if isinstance(value, str) else value


def _text(value: Any, is_whole: bool) -> str:
    """A value as people read it; times, which are in UTC, to the second, to the millisecond where there is room."""
    if value is None:
        return MISSING
    if isinstance(value, datetime):
        part = f".{value.microsecond // 1000:03}" if is_whole else ""
        return f"{value:%Y-%m-%d %H:%M:%S}{part}{'' if value.tzinfo is None else 'Z'}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(one, is_whole) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{printable(name)}: {_text(one, is_whole)}' for name, one in value.items())}}}"
    return printable(value)


@dataclass(frozen=True)
class _Texts:
    """Rows as people read them, made anew whenever they are gone through: there may be a million."""

    rows: Sequence[tuple[Any, ...]]
    is_whole: bool

    def __iter__(self) -> Iterator[list[str]]:
        return ([_text(value, self.is_whole) for value in row] for row in self.rows)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Columns that are as wide as their values; on a terminal no wider than it, and what that leaves out is said."""
    if not names:
        return
    out = console()
    texts = _Texts(rows, not out.is_terminal)
    numeric = [
        bool(rows) and all(isinstance(row[k], int | float | None) and not isinstance(row[k], bool) for row in rows)
        for k in range(len(names))
    ]
    widths = [cell_len(name) for name in names]
    for row in texts:
        widths = [max(width, cell_len(text)) for width, text in zip(widths, row, strict=True)]
    if not out.is_terminal:
        for line in chain([names], texts):
            cells = map(_cell, line, widths, numeric)
            sys.stdout.write(f"{(' ' * GAP).join(cells).rstrip()}\n")
        return
    arranged = _arranged(names, widths, out.width)
    for number, line in enumerate(chain([names], texts)):
        for text in _row(line, arranged, numeric):
            emit(out, Text(text, style="" if number else "bold"))
    if not rows:
        emit(out, Text("no rows", style="dim"))
    if words := _left_out(names, texts, arranged):
        emit(out, Text(f"left out: {words}; a pipe or --format csv has all", style="dim"))


def _left_out(names: list[str], texts: Iterable[list[str]], arranged: ColumnLayout) -> str:
    """What is not on the terminal, in words."""
    words = []
    missing = [name for k, name in enumerate(names) if k not in arranged.shown]
    if missing:
        named = ", ".join(missing[:MOST_NAMED]) + (", …" if len(missing) > MOST_NAMED else "")
        words.append(f"{counted(len(missing), 'column')} ({named})")
    cut = arranged.shown[:-1] if arranged.wraps else arranged.shown
    left = sum(cell_len(row[k]) > arranged.widths[k] for row in texts for k in cut)
    if left:
        words.append(f"{agreed(left, 'the end of', 'the ends of')} {counted(left, 'value')}")
    return " and ".join(words)


def _row(line: list[str], arranged: ColumnLayout, numeric: list[bool]) -> Iterator[str]:
    """The lines of a row: those behind the first are indented."""
    for number, columns in enumerate(arranged.lines):
        indent = " " * GAP if number else ""
        if not arranged.wraps:
            cells = [_cell(line[k], arranged.widths[k], numeric[k]) for k in columns]
            yield indent + (" " * GAP).join(cells).rstrip()
            continue
        *others, last = columns
        before = "".join(_cell(line[k], arranged.widths[k], numeric[k]) + " " * GAP for k in others)
        for text in wrapped(line[last], arranged.widths[last]):
            yield (indent + before + text).rstrip()
            before = " " * cell_len(before)


def _total(widths: Iterable[int]) -> int:
    some = list(widths)
    return sum(some) + GAP * (len(some) - 1)


def _arranged(names: list[str], widths: list[int], room: int) -> ColumnLayout:
    """Columns that fit: as they are, or the last one wrapped, then with long values cut, then stacked, then the first ones."""
    every = list(range(len(names)))
    if _total(widths) <= room:
        return ColumnLayout([every], widths)
    left = room - _total(widths[:-1]) - GAP
    if left >= READABLE or not widths[:-1]:
        return ColumnLayout([every], [*widths[:-1], min(left, room) if widths[:-1] else room], wraps=True)
    stacked = _stacked(widths, room)
    if room < NARROW and len(stacked.lines) <= MOST_STACKED:
        return stacked
    needed = [k for k, name in enumerate(names) if name not in LEAST]
    cut = widths
    for most in range(LONGEST, SHORTEST - 1, -1):
        cut = [min(width, max(most, cell_len(name))) for name, width in zip(names, cut, strict=True)]
        if _total(cut) <= room:
            return ColumnLayout([every], cut)
    if _total(cut[k] for k in needed) <= room:
        return ColumnLayout([needed], cut)
    if len(stacked.lines) <= MOST_STACKED:
        return stacked
    shown = len(names)
    while shown > 1 and _total(cut[:shown]) > room:
        shown -= 1
    return ColumnLayout([every[:shown]], [min(width, room) for width in cut])


def _stacked(widths: list[int], room: int) -> ColumnLayout:
    """Columns on as many lines as they need, those behind the first indented."""
    fitted = [min(width, room - GAP) for width in widths]
    lines_of: list[list[int]] = []
    for k in range(len(fitted)):
        if lines_of and _total(fitted[j] for j in [*lines_of[-1], k]) + (GAP if len(lines_of) > 1 else 0) <= room:
            lines_of[-1].append(k)
        else:
            lines_of.append([k])
    return ColumnLayout(lines_of, fitted)


def _cell(text: str, width: int, is_number: bool) -> str:
    if cell_len(text) > width:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * (width - cell_len(text)) + text if is_number else set_cell_size(text, width)
