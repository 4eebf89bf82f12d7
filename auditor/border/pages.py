"""What the pages of a Parquet file say that they unpack to: the footer may say anything, memory is taken by pages.

A page's header is a struct in Thrift's compact protocol: (1) its type, (2) its unpacked and (3) its packed size, and more
that is passed over (Apache Parquet format, PageHeader; Apache Thrift, compact protocol).
"""

from collections.abc import Iterator
from typing import BinaryIO

LARGEST_HEADER = 1 << 16  # statistics in it hold two values of the column
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
UNPACKED, PACKED = 2, 3  # fields of a page's header
DEEPEST = 8


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

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value."""
        if depth > DEEPEST:
            raise ValueError("nested too deep")
        if kind in (BYTE, DOUBLE):
            self.at += 1 if kind == BYTE else 8
        elif kind in (I16, I32, I64):
            self.varint()
        elif kind == BINARY:
            length = self.varint()  # first: it moves on as well
            self.at += length
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
