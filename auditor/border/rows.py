"""Rows that others wrote: one that cannot be read is counted, and the others go on; values that have to be in range."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from auditor.border.gate import JsonLine, RefusedError
from auditor.border.text import printable
from auditor.border.words import agreed, counted

T = TypeVar("T")
R = TypeVar("R")
SECOND = 1_000_000_000
# Nanoseconds since 1970 to which and from which a log's clock may be corrected without leaving 64 bits: 1823 to 2230.
EARLIEST, LATEST = -(1 << 62), (1 << 63) - 32 * 365 * 86_400 * SECOND
# What Python raises where a value is not of the kind that a reader takes it for.
NOT_AS_EXPECTED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Taken(list[T]):
    """What was read of some rows; how many could not be read, and why the first of them could not; how many say nothing."""

    def __init__(self, values: Iterable[T] = ()) -> None:
        super().__init__(values)
        self.skipped = self.passed_over = 0
        self.why: str | None = None

    def skip(self, why: str) -> None:
        """Count a row that cannot be read."""
        self.skipped += 1
        self.why = self.why or why

    def words(self, one: str, several: str | None = None) -> str | None:
        """What is left out, in a sentence; None where nothing is."""
        if not self.skipped:
            return None
        return f"{counted(self.skipped, one, several)} cannot be read and {agreed(self.skipped, 'is', 'are')} left out; the first: {self.why}"


def each(read: Callable[[R], T | None], rows: Iterable[R]) -> Taken[T]:
    """What ``read`` makes of each row, without those that it passes over (None); what it cannot read is counted."""
    taken: Taken[T] = Taken()
    for number, row in enumerate(rows, 1):
        try:
            if (value := read(row)) is not None:
                taken.append(value)
            else:
                taken.passed_over += 1
        except NOT_AS_EXPECTED as error:
            taken.skip(f"row {number}: {reason(error)}")
    return taken


def each_line(read: Callable[[Any], T | None], lines: Iterable[JsonLine]) -> Taken[T]:
    """The same of JSON lines; a line that is none is counted as well."""

    def of_line(line: JsonLine) -> T | None:
        if line.wrong is not None:
            raise RefusedError(line.wrong)
        return read(line.value)

    return each(of_line, lines)


def reason(error: Exception) -> str:
    """Why a value cannot be read, in a line."""
    text = printable(next(iter(str(error).splitlines()), ""))[:200]
    if isinstance(error, KeyError):
        return f"{text} is missing"
    return text if isinstance(error, ValueError) and text else f"a value is of another kind ({text or 'nothing'})"


def whole(value: Any, least: int = 0, most: int = (1 << 53) - 1) -> int:
    """A whole number, or the text of one. Raises ValueError for anything else, and for what is not in range."""
    if isinstance(value, str) and len(value) <= 20 and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RefusedError(f"{printable(value)[:40]!r} is no whole number from {least:,} to {most:,}")
    return value


def nanoseconds(value: Any) -> int:
    """A time in nanoseconds since 1970: of seconds, as a number or text, or of ISO 8601 (UTC where it does not say)."""
    try:
        if isinstance(value, str) and ("T" in value or value[4:5] == "-"):
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            time = int(moment.timestamp() * 1e9)
        else:
            time = int(float(value) * 1e9)
    except (TypeError, ValueError, OverflowError):
        raise RefusedError(f"{printable(value)[:40]!r} is no time") from None
    if not EARLIEST <= time <= LATEST:
        raise RefusedError(f"{printable(value)[:40]!r} is a time that no capture can be of")
    return time


def text(value: Any) -> str:
    """A text. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise RefusedError(f"{printable(value)[:40]!r} is no text")
    return value


def member(row: dict[str, Any], name: str, kind: type[T]) -> T:
    """A member that is of a kind, or of nothing where it is missing or null. Raises ValueError where it is another."""
    value = row.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise RefusedError(f"{name} is of another kind")
    return value


def objects(row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A member that is a list of objects, or nothing."""
    listed = member(row, name, list)
    if not all(isinstance(one, dict) for one in listed):
        raise RefusedError(f"{name} is no list of objects")
    return listed
