"""Rows as tables that fit a terminal, and whole where they are piped."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from auditor.border.text import cell, lines, printable
from auditor.border.words import agreed, counted
from auditor.cli.terminal import console, emit

Rows = tuple[list[str], list[tuple[Any, ...]]]
GAP = 2
LONGEST, SHORTEST = 60, 19  # what long values are cut to on a terminal, before columns are left out
MISSING = "·"
MOST_NAMED = 6


def show_rows(rows: Rows, form: str = "table", title: str | None = None) -> None:
    """Print the rows of a query, in one of the forms of ``audit list``."""
    names, cells = [printable(name) for name in rows[0]], rows[1]
    match form:
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(map(cell, names))
            writer.writerows([[cell(_plain(value)) for value in row] for row in cells])
        case "json":
            sys.stdout.write(json.dumps([_record(names, row) for row in cells], ensure_ascii=False, indent=1) + "\n")
        case "jsonl":
            sys.stdout.writelines(json.dumps(_record(names, row), ensure_ascii=False) + "\n" for row in cells)
        case _:
            if title is not None:
                emit(console(), Text(f"{title} ({len(cells):,})", style="bold"))
            _table(names, cells)


def _record(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in zip(names, row, strict=True)}


def _plain(value: Any) -> Any:
    """A value as JSON and CSV have it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, int | float | bool | type(None)) else lines(str(value))


def _text(value: Any, is_whole: bool) -> str:
    """A value as people read it; times to the second where it need not be whole."""
    if value is None:
        return MISSING
    if isinstance(value, datetime):
        return value.isoformat(" ") if is_whole else f"{value:%Y-%m-%d %H:%M:%S}"
    return printable(value)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Columns that are as wide as their values; on a terminal no wider than it, and what that leaves out is said."""
    if not names:
        return
    out = console()
    texts = [[_text(value, not out.is_terminal) for value in row] for row in rows]
    numeric = [
        bool(rows) and all(isinstance(row[k], int | float | None) and not isinstance(row[k], bool) for row in rows)
        for k in range(len(names))
    ]
    widths = [max(map(cell_len, [names[k], *(row[k] for row in texts)])) for k in range(len(names))]
    shown = len(names)
    if out.is_terminal:
        widths, shown = _fitted(names, widths, out.width)
    left = sum(cell_len(row[k]) > widths[k] for row in texts for k in range(shown))
    for number, line in enumerate([names, *texts]):
        cells = [_cell(line[k], widths[k], numeric[k]) for k in range(shown)]
        text = (" " * GAP).join(cells).rstrip()
        if out.is_terminal:
            emit(out, Text(text, style="" if number else "bold"))
        else:
            sys.stdout.write(f"{text}\n")
    words = []
    if shown < len(names):
        named = ", ".join(names[shown : shown + MOST_NAMED]) + (", …" if len(names) - shown > MOST_NAMED else "")
        words.append(f"{counted(len(names) - shown, 'column')} ({named})")
    if left:
        words.append(f"{agreed(left, 'the end of', 'the ends of')} {counted(left, 'value')}")
    if words:
        emit(out, Text(f"left out: {' and '.join(words)}; a pipe or --format csv has all", style="dim"))


def _fitted(names: list[str], widths: list[int], room: int) -> tuple[list[int], int]:
    """Widths of columns that fit, and how many do: long values are cut first, then the last columns are left out."""

    def total(some: list[int]) -> int:
        return sum(some) + GAP * (len(some) - 1)

    for most in range(LONGEST, SHORTEST - 1, -1):
        if total(widths) <= room:
            break
        widths = [min(width, max(most, cell_len(name))) for name, width in zip(names, widths, strict=True)]
    shown = len(names)
    while shown > 1 and total(widths[:shown]) > room:
        shown -= 1
    return [min(width, room) for width in widths], shown


def _cell(text: str, width: int, is_number: bool) -> str:
    if cell_len(text) > width:
        return f"{set_cell_size(text, width - 1)}…"
    return " " * (width - cell_len(text)) + text if is_number else set_cell_size(text, width)
