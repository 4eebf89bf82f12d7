"""What the pages of a Parquet file say that they unpack to: the footer may say anything, memory is taken by pages.

Footer and headers of pages are structs in Thrift's compact protocol (Apache Parquet format, FileMetaData and PageHeader;
Apache Thrift, compact protocol). Where the chunks of columns lie is read here as well: pyarrow's metadata of a chunk that
contradicts its schema ends the process, since an exception of its C++ passes through Python there.
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

LARGEST_HEADER = 1 << 16  # statistics in it hold two values of the column
MAGIC, TAIL = b"PAR1", 8  # a file ends with the length of its footer, and this
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
UNPACKED, PACKED = 2, 3  # fields of a page's header
ROW_GROUPS, COLUMNS, META_DATA = 4, 1, 3  # of the footer, of a group of rows, of a column's chunk
PATH, CHUNK_UNPACKED, CHUNK_PACKED, DATA_PAGE, DICTIONARY_PAGE = 3, 6, 7, 9, 11  # of a chunk's metadata
DEEPEST = 8


class ColumnChunk(NamedTuple):
    """Where the pages of a column in a group of rows lie, and what they take unpacked, as the footer has it."""

    column: str
    begin: int
    end: int
    unpacked: int
    group: int  # of rows


class _Thrift:
    """Reads values of the compact protocol. Raises IndexError at the end, ValueError for what cannot be."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("a number without end")

    def integer(self) -> int:
        """A signed number, in zigzag encoding."""
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and type of each field of a struct; whoever takes one reads its value."""
        number = 0
        while (head := self.byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, head & 15

    def binary(self) -> bytes:
        """Bytes with their length before them."""
        length = self.varint()
        self.at += length
        if self.at > len(self._data):
            raise IndexError("a text that does not end")
        return self._data[self.at - length : self.at]

    def items(self, kind: int) -> Iterator[int]:
        """The numbers of a list's items, which are of one kind; whoever takes one reads its value."""
        head = self.byte()
        if head & 15 != kind:
            raise ValueError("a list of something else")
        yield from range(self.varint() if head >> 4 == 15 else head >> 4)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value."""
        if depth > DEEPEST:
            raise ValueError("nested too deep")
        if kind in (BYTE, DOUBLE):
            self.at += 1 if kind == BYTE else 8
        elif kind in (I16, I32, I64):
            self.varint()
        elif kind == BINARY:
            self.binary()
        elif kind in (LIST, SET):
            head = self.byte()
            count = self.varint() if head >> 4 == 15 else head >> 4
            for _ in range(min(count, LARGEST_HEADER)):
                self.skip(BYTE if head & 15 in (TRUE, FALSE) else head & 15, depth + 1)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind not in (TRUE, FALSE):
            raise ValueError("a type that headers of pages have not")


def chunks(file: BinaryIO) -> list[ColumnChunk]:
    """The chunks of all columns that a file's footer names. Raises ValueError for one that cannot be."""
    end = file.seek(-TAIL, 2)
    tail = file.read(TAIL)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length > end:
        raise ValueError("no footer that can be read")
    file.seek(end - length)
    thrift = _Thrift(file.read(length))
    try:
        return [
            chunk
            for group, _ in enumerate(_within(thrift, ROW_GROUPS))
            for _ in _within(thrift, COLUMNS)
            for chunk in _chunk(thrift, group)
        ]
    except IndexError:
        raise ValueError("a footer that does not end") from None


def _within(thrift: _Thrift, wanted: int) -> Iterator[int]:
    """The items of one field of a struct, a list of structs; what stands before and behind it is passed over."""
    for number, kind in thrift.fields():
        if number == wanted and kind == LIST:
            yield from thrift.items(STRUCT)
        else:
            thrift.skip(kind)


def _chunk(thrift: _Thrift, group: int) -> Iterator[ColumnChunk]:
    """A column's chunk, where it has metadata."""
    for number, kind in thrift.fields():
        if number != META_DATA or kind != STRUCT:
            thrift.skip(kind)
            continue
        column, numbers = "", dict.fromkeys((CHUNK_UNPACKED, CHUNK_PACKED, DATA_PAGE), -1)
        for field, of in thrift.fields():
            if field == PATH and of == LIST:
                column = b".".join([thrift.binary() for _ in thrift.items(BINARY)]).decode("utf-8", "replace")
            elif field in (*numbers, DICTIONARY_PAGE) and of == I64:
                numbers[field] = thrift.integer()
            else:
                thrift.skip(of)
        begin = min(numbers[DATA_PAGE], numbers.get(DICTIONARY_PAGE, numbers[DATA_PAGE]))
        if begin < 0 or numbers[CHUNK_PACKED] < 0:
            raise ValueError("a column without a place")
        yield ColumnChunk(column, begin, begin + numbers[CHUNK_PACKED], numbers[CHUNK_UNPACKED], group)


def _header(data: bytes) -> tuple[int, int, int]:
    """The length of a page's header, and what its page takes unpacked and packed."""
    thrift, sizes = _Thrift(data), {UNPACKED: -1, PACKED: -1}
    for number, kind in thrift.fields():
        if number in sizes and kind == I32:
            sizes[number] = thrift.integer()
        else:
            thrift.skip(kind)
    if min(sizes.values()) < 0:
        raise ValueError("a page without sizes")
    return thrift.at, sizes[UNPACKED], sizes[PACKED]


def unpacked(file: BinaryIO, begin: int, end: int) -> int:
    """Bytes that the pages of a column's chunk, which lies in ``file`` from ``begin`` to ``end``, say they unpack to.

    Raises ValueError where no page can begin. What follows the last page is left to whoever reads them.
    """
    total = 0
    while begin < end:
        file.seek(begin)
        try:
            length, size, packed = _header(file.read(min(LARGEST_HEADER, end - begin)))
        except IndexError:
            raise ValueError("a page whose header does not end") from None
        total += size
        begin += length + packed
    return total
