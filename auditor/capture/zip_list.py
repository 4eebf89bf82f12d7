"""The list of a ZIP archive's members, its central directory (PKWARE's APPNOTE.TXT 4.3.12 to 4.3.16).

Python's library reads it whole or not at all: one name that is not UTF-8, or one odd extra field, hides every other member.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from auditor.capture.stretches import OnlyHeaders, OpenFile
from auditor.errors import InputError

END, END_64, LOCATOR_64, ENTRY = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
# This disk, that of the list, entries here and in all, the list's size and place, the comment's length.
END_FORM = struct.Struct("<4s4H2LH")
END_64_FORM = struct.Struct("<4sQ2H2L4Q")
LOCATOR_FORM = struct.Struct("<4sLQL")
ENTRY_FORM = struct.Struct("<4s2H2H2H3L3H2HLL")
EXTRA_FORM = struct.Struct("<2H")
LONGEST_COMMENT = (1 << 16) - 1
LARGEST_LIST = 8 << 20  # bytes: ten thousand members have less than one
ELSEWHERE, MANY = (1 << 32) - 1, (1 << 16) - 1  # for what the ZIP64 fields have (4.4.1.4)
SIZES_64 = 1  # the extra field with sizes and places of eight bytes (4.5.3)
IS_UTF_8 = 1 << 11


class Entry(NamedTuple):
    """A member as it is listed; ``fault``: why where it lies cannot be known."""

    name: str
    flags: int
    method: int
    checksum: int
    packed: int
    unpacked: int
    begin: int
    fault: str | None


class Directory(NamedTuple):
    """Where the list is; ``shift``: how far the archive begins behind the place that it counts from."""

    begin: int
    size: int
    shift: int


def entries(kept: OpenFile) -> tuple[list[Entry], int, str | None]:
    """The members that are listed, where the list begins, and why there may be more of them.

    Raises InputError where no list is found.
    """
    file = OnlyHeaders(kept, LARGEST_LIST)
    place = _directory(file, kept.size)
    file.seek(place.begin)
    data = file.read(place.size)
    found: list[Entry] = []
    try:
        found.extend(_entries(data, place.shift))
    except InputError as error:
        return found, place.begin, str(error)
    return found, place.begin, "its list was cut short" if len(data) < place.size else None


def _directory(file: OnlyHeaders, size: int) -> Directory:
    """Where the list is, by the record at the archive's end, behind which a comment may be."""
    begin = max(0, size - END_FORM.size - LONGEST_COMMENT - LOCATOR_FORM.size - END_64_FORM.size)
    file.seek(begin)
    tail = file.read(size - begin)
    at = tail.rfind(END, 0, max(0, len(tail) - END_FORM.size) + len(END))
    if at < 0:
        raise InputError("the record at the end of a ZIP archive is not there")
    _, disk, first, _, _, listed, start, _ = END_FORM.unpack_from(tail, at)
    end = at
    locator = at - LOCATOR_FORM.size
    if locator >= 0 and tail.startswith(LOCATOR_64, locator):
        *_, disks = LOCATOR_FORM.unpack_from(tail, locator)
        wide = locator - END_64_FORM.size
        if disks <= 1 and wide >= 0 and tail.startswith(END_64, wide):
            end = wide
            *_, disk, first, _, _, listed, start = END_64_FORM.unpack_from(tail, wide)
        elif disks > 1:
            disk = disks
    if disk not in (0, MANY) or first not in (0, MANY):
        raise InputError("it is a part of an archive in several; join them first")
    place = begin + end - listed
    if place < 0:
        raise InputError("its list would begin before the file does")
    return Directory(place, listed, place - start)


def _entries(data: bytes, shift: int) -> Iterator[Entry]:
    """The members of a list. Raises InputError where it goes on with what is none."""
    at = 0
    while at < len(data):
        if len(data) - at < ENTRY_FORM.size or not data.startswith(ENTRY, at):
            raise InputError("its list of members is damaged")
        values = ENTRY_FORM.unpack_from(data, at)
        flags, method, checksum = values[3], values[4], values[7]
        packed, unpacked, name, extra, comment, begin = *values[8:13], values[16]
        at += ENTRY_FORM.size
        sizes, fault = _sizes([unpacked, packed, begin], data[at + name : at + name + extra])
        unpacked, packed, begin = sizes
        yield Entry(_name(data[at : at + name], flags), flags, method, checksum, packed, unpacked, begin + shift, fault)
        at += name + extra + comment
    if at > len(data):
        raise InputError("its list of members is damaged")


def _name(name: bytes, flags: int) -> str:
    """A member's name: UTF-8 where it is said to be, with bytes that are not as names of files have them; else IBM's code page 437."""
    return name.decode("utf-8", "surrogateescape") if flags & IS_UTF_8 else name.decode("cp437")


def _sizes(sizes: list[int], extra: bytes) -> tuple[list[int], str | None]:
    """Sizes and place of a member, those that are too large for the list taken from its extra fields (4.5.3)."""
    wide, at = b"", 0
    while ELSEWHERE in sizes and at + EXTRA_FORM.size <= len(extra):
        kind, length = EXTRA_FORM.unpack_from(extra, at)
        at += EXTRA_FORM.size
        if kind == SIZES_64:
            wide = extra[at : at + length]
            break
        at += length
    for number, size in enumerate(sizes):
        if size == ELSEWHERE:
            if len(wide) < 8:
                return sizes, "is not to be found: the archive's list lacks its size or place"
            sizes[number], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    return sizes, None
