"""The gate: text, JSON, TOML and Parquet that others wrote come in within limits, or not at all.

Whatever is wrong with them is a ``RefusedError``, a ValueError that says what and where in a sentence; whoever asked adds the
file's name. Nothing else is raised, whatever the bytes are. Numbers that no column can hold stay the text that they are
written as, so that whoever wants a number sees that there is none.
"""

import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self

from auditor.border import pages
from auditor.border.text import printable

if TYPE_CHECKING:
    import pyarrow as pa

DEEPEST = 64  # objects and lists within each other
LARGEST = 64 << 20  # bytes of a file that people write, or that says what others hold
MOST_VALUES = 50_000_000  # of a document
MOST_ROWS = 200_000_000  # of a Parquet file, and other numbers of its footer
ROWS = 1 << 14  # that are read at a time
MOST_GROUPS, MOST_COLUMNS = 100_000, 10_000
LONGEST_KEY = 1000  # parts of a dotted key, also where one only looks like that
LONGEST_NUMBER = 20  # digits of a whole number that 64 bits hold, and its sign
SMALLEST, GREATEST = -(1 << 63), (1 << 63) - 1
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Byte order marks (Unicode 23.8) and the encodings that they begin; that of UTF-32 begins like that of UTF-16.
MARKS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}

# Keys of TOML with their dots. A key is looked for where a word begins only: else a long word costs its square.
_DOTTED = re.compile(r"""(?:(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)+""")


class RefusedError(ValueError):
    """What was written is not let in; the message says why."""


def kind_of(mode: int) -> str | None:
    """What has a mode, in words; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), "something else")


def opened(path: str | Path) -> BufferedReader:
    """A file, to be read. Raises OSError, and RefusedError for what is no file.

    Neither is a pipe waited for nor a device read without end; what a shell puts in place of a file (``<(…)``) is opened.
    """
    if "\0" in str(path):
        raise RefusedError("a name that no file can have")
    is_given = Path(os.path.realpath(path)).name.startswith("pipe:[")  # an open descriptor of this process
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (0 if is_given else os.O_NONBLOCK)
    number = os.open(path, flags)
    kind = None if is_given else kind_of(os.fstat(number).st_mode)
    if kind is not None:
        os.close(number)
        raise RefusedError(f"{kind}, not a file")
    return os.fdopen(number, "rb")


def content(path: str | Path, most: int = LARGEST) -> bytes:
    """All of a file, opened so. Raises RefusedError besides where it is larger than ``most`` bytes."""
    with opened(path) as file:
        data = file.read(most + 1) or b""  # None of what would have to be waited for
    if len(data) > most:
        raise RefusedError(f"more than {most >> 20} MiB")
    return data


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in the encoding that its byte order mark says."""
    mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
    encoding = MARKS.get(mark, "utf-8")
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise RefusedError(f"not {encoding.upper()} text (byte {len(mark) + error.start})") from None


def is_marked(data: bytes) -> bool:
    """Whether text begins with a byte order mark of another encoding than UTF-8."""
    return any(data.startswith(mark) for mark, encoding in MARKS.items() if encoding != "utf-8")


def in_utf8(data: bytes) -> bytes:
    """Text that says by its byte order mark how it is encoded, in UTF-8 and without the mark; anything else as it is.

    Windows writes so what a program prints into a file.
    """
    mark = next((mark for mark in MARKS if data.startswith(mark)), None)
    if mark is None or MARKS[mark] == "utf-8":
        return data if mark is None else data[len(mark) :]
    return data[len(mark) :].decode(MARKS[mark], "replace").encode()


def _whole(text: str) -> int | str:
    if len(text) > LONGEST_NUMBER or not SMALLEST <= (number := int(text)) <= GREATEST:
        return text[:40]
    return number


def _real(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text[:40]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in members if names.count(name) > 1)
        raise RefusedError(f"the member {printable(twice)[:100]!r} is there twice")
    return members


def from_json(data: bytes | str, *, unique: bool = False) -> Any:
    """The value of a JSON text (RFC 8259). ``unique``: no member of an object may be there twice."""
    import json

    text = decoded(data) if isinstance(data, bytes) else data
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_real,
            parse_constant=str,
            object_pairs_hook=_unique if unique else None,
        )
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError(f"nested deeper than {DEEPEST} levels") from None
    except ValueError as error:
        raise RefusedError(f"not JSON: {printable(error)}") from None
    _check(value)
    # A text may have halves of surrogate pairs only by such an escape.
    return _whole_characters(value) if "\\u" in text and "\\ud" in text.lower() else value


class JsonLine(NamedTuple):
    """A line of JSON lines: its number from 1, and its value, or why it has none."""

    number: int
    value: Any
    wrong: str | None = None


def json_lines(data: bytes | str) -> Iterator[JsonLine]:
    """The values of a text, one on each line, or over several lines one behind the other.

    A line that is none is reported, and the others go on.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    text = text.removeprefix("\ufeff")
    at, number, over_lines = 0, 1, True
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        values = list(_of_line(text[at:end].strip(), number))
        if over_lines and values and values[-1].wrong is not None:
            stop = _end_of_value(text, at)
            over_lines = stop is not None  # where it fails once it is not tried again: its cost would be a square
            if stop is not None:
                yield from _of_line(text[at:stop], number)
                number += text.count("\n", at, stop)
                at = stop
                continue
        yield from values
        at, number = end + 1, number + 1


def _of_line(line: str, number: int) -> Iterator[JsonLine]:
    for part in _values(line):
        try:
            yield JsonLine(number, from_json(part))
        except RefusedError as error:
            yield JsonLine(number, None, str(error))


def _end_of_value(text: str, at: int) -> int | None:
    """Where the JSON value that begins at a place ends, however many lines it takes; None where there is none."""
    import json

    begin = at + len(text[at:]) - len(text[at:].lstrip())
    try:
        return json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        return None


def _values(line: str) -> Iterator[str]:
    """The values of a line that has several, one right behind the other, as Firehose delivers them; else the line."""
    import json

    at, decoder = 0, json.JSONDecoder(parse_int=str, parse_float=str)
    while "}{" in line[at:]:
        try:
            _, end = decoder.raw_decode(line, at)
        except (ValueError, RecursionError):
            break
        yield line[at:end]
        at = end
    if line[at:]:
        yield line[at:]


def from_toml(data: bytes | str) -> dict[str, Any]:
    """The keys and values of a TOML text."""
    import tomllib

    text = decoded(data) if isinstance(data, bytes) else data
    too_deep = f"nested deeper than {DEEPEST} levels"
    if any(chain[0].count(".") > LONGEST_KEY for chain in _DOTTED.finditer(text)):  # the parser's cost is its square
        raise RefusedError(too_deep)
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise RefusedError(too_deep) from None
    except ValueError as error:  # also of numbers that Python does not convert
        raise RefusedError(f"not valid TOML: {printable(error).partition(';')[0]}") from None
    _check(value, exact=True)
    return value


def _inner(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _check(value: Any, *, exact: bool = False) -> None:
    """Raise RefusedError where a document is too deep or too large; ``exact``: or has numbers that 64 bits do not hold."""
    level, depth, count = [value], 0, 0
    while level:
        depth += 1
        count += len(level)
        if depth > DEEPEST + 1:
            raise RefusedError(f"nested deeper than {DEEPEST} levels")
        if count > MOST_VALUES:
            raise RefusedError(f"more than {MOST_VALUES:,} values")
        if exact and any(_is_beyond(one) for one in level):
            raise RefusedError("a number is too large: 64 bits are the most (TOML 1.0, Integer)")
        kept = (dict, list) if not exact else object
        level = [
            one for outer in level if isinstance(outer, dict | list) for one in _inner(outer) if isinstance(one, kept)
        ]


def _is_beyond(value: Any) -> bool:
    return isinstance(value, int) and not SMALLEST <= value <= GREATEST


def _whole_characters(value: Any) -> Any:
    """A value whose texts have no halves of surrogate pairs: they are no characters, and no encoding has them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole_characters(name): _whole_characters(one) for name, one in value.items()}
    return [_whole_characters(one) for one in value] if isinstance(value, list) else value


class Parquet:
    """A Parquet file whose footer has been looked at. Use it as a context."""

    def __init__(self, file: str | Path | BinaryIO, coded: Iterable[str] = ()) -> None:
        """Raises RefusedError, and OSError for the file itself.

        ``coded``: columns of text whose values are kept once each, so that a text that fills rows is not copied for each.
        """
        import pyarrow.parquet as pq

        self._given = file
        self._file = _guarded(pq.ParquetFile, file)
        self.schema: pa.Schema = _guarded(lambda: self._file.schema_arrow)
        if there := [name for name in coded if name in self.schema.names]:
            self._file = _guarded(pq.ParquetFile, file, metadata=self._file.metadata, read_dictionary=there)
        self.rows = self.size = 0  # bytes of all columns unpacked, as the footer says
        _guarded(self._look)

    def _look(self) -> None:
        footer = self._file.metadata
        if footer.num_rows > MOST_ROWS or footer.num_row_groups > MOST_GROUPS or footer.num_columns > MOST_COLUMNS:
            raise RefusedError("its footer names more rows or columns than can be read")
        self.rows = footer.num_rows
        self.size = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def unpacked(self, columns: Iterable[str]) -> int:
        """Bytes that some columns of the largest group of rows take unpacked: what the footer says, or their pages if more."""
        source = opened(self._given) if isinstance(self._given, str | Path) else self._given
        try:
            place = source.tell()
            size = _guarded(self._unpacked, source, frozenset(columns))
            source.seek(place)
        finally:
            if source is not self._given:
                source.close()
        return int(size)

    def _unpacked(self, source: BinaryIO, columns: frozenset[str]) -> int:
        sizes: dict[int, int] = {}  # of each group of rows
        for chunk in pages.chunks(source):
            if chunk.column.partition(".")[0] in columns:
                size = max(pages.unpacked(source, chunk.begin, chunk.end), chunk.unpacked)
                sizes[chunk.group] = sizes.get(chunk.group, 0) + size
        return max(sizes.values(), default=0)

    def read(self, columns: list[str] | None = None) -> "pa.Table":
        """Some columns, or all, checked down to the last value."""
        table = _guarded(self._file.read, columns)
        _guarded(table.validate, full=True)
        return table

    def batches(self, columns: list[str]) -> "Iterator[pa.RecordBatch]":
        """Some columns, a part of the rows at a time, checked likewise."""
        parts = _guarded(self._file.iter_batches, ROWS, columns=columns)
        while (batch := _guarded(next, parts, None)) is not None:
            _guarded(batch.validate, full=True)
            yield batch


def _guarded(function: Any, *arguments: Any, **options: Any) -> Any:
    """What a function of pyarrow returns; whatever it raises on what it reads is RefusedError."""
    import pyarrow as pa

    try:
        return function(*arguments, **options)
    except RefusedError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise  # the file's, and not what is in it
        raise RefusedError(f"damaged Parquet: {_first_line(error)}") from error
    except (pa.ArrowException, ValueError, ArithmeticError, LookupError, TypeError, RuntimeError) as error:
        # Besides Arrow's own, UnicodeDecodeError of names in the footer is one of these, and what its Python raises.
        raise RefusedError(f"damaged Parquet: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return printable(next(iter(str(error).splitlines()), type(error).__name__))
