"""The members of a ZIP archive (PKWARE's APPNOTE.TXT), each opened by itself.

Python's library would list all of them again for each that is opened, has no limit for what a step of bzip2 or LZMA becomes,
and opens members that lie in each other: of such an archive a few bytes become any number of captures.
"""

import errno
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from auditor.capture import zip_list
from auditor.capture.compression import Rewound, damage, open_compressed
from auditor.capture.stretches import OpenFile, Slice, kept_open
from auditor.errors import InputError

MAGICS = (b"PK\3\4", b"PK\5\6")
ENCRYPTED = 1 | 1 << 6  # bits of a member's flags (4.4.4), also that of strong encryption; …
MARKS_END, PATCHED = 1 << 1, 1 << 5  # … that of LZMA, and of what is no file but changes to one
LOCAL_HEADER = "<4s22xHH"  # magic, and the lengths of the name and of what else stands before a member's bytes
LOCAL_BYTES = struct.calcsize(LOCAL_HEADER)
STORED, LZMA = 0, 14
PACKINGS = {8: "deflate", 12: "bzip2", LZMA: "lzma", 93: "zstd", 95: "xz"}  # by method (4.4.5)
LZMA_HEAD = 9  # bytes: version, size of the properties, and these (5.8.8)
END_IS_MARKED = (1 << 64) - 1  # for the size of what is unpacked
STEP = 1 << 20
EVERY: tuple[type[BaseException], ...] = (InputError, struct.error, *damage())


@dataclass(frozen=True)
class Zipped:
    """A member as the archive lists it; ``stop``: where the next one begins at the latest."""

    name: str
    begin: int
    stop: int
    packed: int
    unpacked: int
    checksum: int
    flags: int
    method: int
    fault: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why it cannot be unpacked, as far as the list says."""
        if self.fault is not None:
            return self.fault
        if self.flags & ENCRYPTED:
            return "is encrypted; unpack it first"
        if self.flags & PATCHED:
            return "is no file but changes to one; apply them first"
        if self.method != STORED and self.method not in PACKINGS:
            return f"is packed by method {self.method}, which is not read; unpack it first"
        return None


def zipped(file: Path | OpenFile) -> Iterator[Zipped]:
    """What is in an archive, but for folders, in the order of its list. Raises InputError, behind the last that can be read."""
    listed, stop, damage = zip_list.entries(kept_open(file))
    stops = [0] * len(listed)
    for at in sorted(range(len(listed)), key=lambda at: listed[at].begin, reverse=True):
        stops[at], stop = stop, listed[at].begin
    for one, stop in zip(listed, stops, strict=True):
        if not one.name.endswith("/"):
            sizes = one.packed, one.unpacked
            yield Zipped(one.name, one.begin, stop, *sizes, one.checksum, one.flags, one.method, one.fault)
    if damage is not None:
        raise InputError(damage)


def opener(file: Path | OpenFile, member: Zipped) -> Callable[[], BinaryIO]:
    """What opens a member."""
    return lambda: cast("BinaryIO", Unzipped(file, member))


@contextmanager
def _told() -> Iterator[None]:
    """Whatever is raised of a member that is damaged is OSError, as of any file that cannot be read on."""
    try:
        yield
    except OSError:
        raise
    except EVERY as error:
        raise OSError(errno.EIO, f"damaged ZIP data ({error})") from error


class Unzipped(io.RawIOBase):
    """The bytes of a member. Raises OSError behind the last one where they are not those that the archive was made of."""

    def __init__(self, file: Path | OpenFile, member: Zipped) -> None:
        self._checksum, self._member = 0, member
        with _told():
            self._stream = _unpacked(kept_open(file), member)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        with _told():
            data = self._stream.read(min(len(view), STEP))
            if not data and len(view) and self._checksum != self._member.checksum:
                raise InputError("its checksum is not that of what was unpacked")
        self._checksum = zlib.crc32(data, self._checksum)
        view[: len(data)] = data
        return len(data)


def _unpacked(kept: OpenFile, member: Zipped) -> BinaryIO:
    head = Slice(kept, 0, kept.size)
    head.seek(member.begin)
    magic, *lengths = struct.unpack(LOCAL_HEADER, (head.read(LOCAL_BYTES) or b"").ljust(LOCAL_BYTES, b"\0"))
    if magic != MAGICS[0]:
        raise InputError("no member begins where the archive lists one")
    begin = member.begin + LOCAL_BYTES + sum(lengths)
    if begin + member.packed > member.stop:
        raise InputError("it lies in other members")
    packed = cast("BinaryIO", Slice(kept, begin, member.packed))
    if member.method == STORED:
        return packed
    if member.method == LZMA:
        properties = packed.read(LZMA_HEAD)[4:]
        size = END_IS_MARKED if member.flags & MARKS_END else member.unpacked
        packed = cast("BinaryIO", Rewound(properties + size.to_bytes(8, "little"), packed))
    return open_compressed(packed, PACKINGS[member.method])
