"""Captures inside of ZIP and tar archives, which are read like those of a folder; nothing is written to a disk by name.

Archives in archives are read likewise, to a depth, a number of files and a size that hold for the outermost one.
"""

import errno
import io
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from auditor.capture.beginnings import is_capture
from auditor.capture.compression import (
    LONGEST_MAGIC,
    Rewound,
    beginning,
    beginning_of_stream,
    compression_of,
    damage,
    open_compressed,
    plain,
)
from auditor.errors import InputError, shown

HEAD = 512  # bytes by which an archive, and a capture inside of one, is recognised
MOST_MEMBERS = 10_000
MOST_UNPACKED = 8 << 30  # bytes of packed archives and of those in archives, which are unpacked to files without a name
DEEPEST = 4  # archives in each other
STEP = 1 << 20
NAMES = (".pcap", ".pcapng", ".cap", ".erf")
ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")
ENCRYPTED, MARKS_END = 1, 2  # bits of a ZIP member's flags; the second of LZMA
LOCAL_HEADER = (
    "<4s22xHH"  # of a ZIP member: magic, and the lengths of its name and of what else stands before its bytes
)
LOCAL_BYTES = struct.calcsize(LOCAL_HEADER)
LZMA_HEAD = 9  # bytes
END_IS_MARKED = (1 << 64) - 1  # for the size of what is unpacked
DAMAGE: tuple[type[BaseException], ...] = (InputError, *damage())
TROUBLE: tuple[type[BaseException], ...] = (
    *DAMAGE,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    struct.error,
)


@dataclass(frozen=True)
class Member:
    """A capture in an archive: its name behind the archive's, how its bytes are come by, or why they cannot be."""

    name: str
    open: Callable[[], BinaryIO] | None
    refusal: str | None = None


@dataclass
class UnpackLimit:
    """What may still be taken out of an archive and of those in it: files, and bytes that are copied on the way."""

    files: int = MOST_MEMBERS
    bytes: int = MOST_UNPACKED


class OpenFile:
    """An open file that is closed when nothing reads it any more; without a path one that has no name."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            self.fileno = os.open(path, os.O_RDONLY)
            return
        with tempfile.TemporaryFile() as file:
            self.fileno = os.dup(file.fileno())

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # where it could not be opened
            os.close(self.fileno)


class Slice(io.RawIOBase):
    """A stretch of an open file, read independently of any other."""

    def __init__(self, file: OpenFile, begin: int, size: int) -> None:
        self._file, self._begin, self._at, self._stop = file, begin, begin, begin + size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: self._begin, os.SEEK_CUR: self._at, os.SEEK_END: self._stop}[whence] + offset
        return self.tell()

    def tell(self) -> int:
        return self._at - self._begin

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = os.pread(self._file.fileno, max(0, min(len(view), self._stop - self._at)), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextmanager
def _told() -> Iterator[None]:
    """Whatever is raised of a member that is damaged is OSError, as of any file that cannot be read on."""
    try:
        yield
    except TROUBLE as error:
        raise OSError(errno.EIO, f"damaged ZIP data ({error})") from error


class Unzipped(io.RawIOBase):
    """A member of a ZIP archive."""

    def __init__(self, file: Path | OpenFile, info: zipfile.ZipInfo) -> None:
        with _told():
            self._stream = _unzipped(file, info)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        with _told():
            data = self._stream.read(min(len(view), STEP))
        view[: len(data)] = data
        return len(data)


def _unzipped(file: Path | OpenFile, info: zipfile.ZipInfo) -> BinaryIO:
    """What is in a member. bzip2 and LZMA are unpacked here: zipfile has no limit for what a step of theirs becomes."""
    if info.compress_type not in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return cast("BinaryIO", _zip(file).open(info))
    kept = OpenFile(file) if isinstance(file, Path) else file
    magic, *_, name, extra = struct.unpack(LOCAL_HEADER, os.pread(kept.fileno, LOCAL_BYTES, info.header_offset))
    if magic != ZIP_MAGICS[0]:
        raise zipfile.BadZipFile("Bad magic number for file header")
    packed = cast("BinaryIO", Slice(kept, info.header_offset + LOCAL_BYTES + name + extra, info.compress_size))
    if info.compress_type == zipfile.ZIP_BZIP2:
        return open_compressed(packed, "bzip2")
    head = packed.read(LZMA_HEAD)  # version, size of the properties, and these (APPNOTE.TXT, 5.8.8)
    size = END_IS_MARKED if info.flag_bits & MARKS_END else info.file_size
    return open_compressed(cast("BinaryIO", Rewound(head[4:] + size.to_bytes(8, "little"), packed)), "lzma")


def kind_of(head: bytes) -> str | None:
    """``ZIP`` or ``tar``, by the first bytes of a file, of what is inside where it is packed."""
    if head.startswith(ZIP_MAGICS):
        return "ZIP"
    return "tar" if head[257:262] == b"ustar" else None


def members(path: Path) -> list[Member] | None:
    """The captures in an archive, in its order, or why there are none; None for a file that is no archive."""
    try:
        with path.open("rb") as file:
            is_packed = compression_of(file.read(LONGEST_MAGIC)) is not None
        kind = kind_of(beginning(path, HEAD))
    except (InputError, OSError):  # who reads it as a capture says what is wrong with it
        return None
    name, left = shown(path), UnpackLimit()

    def found() -> Iterator[Member]:
        return _members(_unpacked(_stream(OpenFile(path)), left) if is_packed else path, name, str(kind), left, 1)

    return None if kind is None else _found(name, kind, found)


def members_of_stream(name: str, head: bytes, opener: Callable[[], BinaryIO]) -> list[Member] | None:
    """Those in an archive that comes as a stream, by its first bytes: all of it is kept in a file without a name."""
    try:
        kind = kind_of(beginning_of_stream(io.BytesIO(head), HEAD))
    except DAMAGE:
        return None
    if kind is None:
        return None

    def found() -> Iterator[Member]:
        left = UnpackLimit()
        with opener() as stream:
            kept = _unpacked(stream, left)
        return _members(kept, name, kind, left, 1)

    return _found(name, kind, found)


def _found(name: str, kind: str, members: Callable[[], Iterator[Member]]) -> list[Member]:
    """The captures in an archive, or why there are none."""
    try:
        found = list(members())
    except TROUBLE as error:
        return [_damaged(name, error)]
    return found or [Member(name, None, f"the {kind} archive holds no capture")]


def _damaged(name: str, error: BaseException) -> Member:
    reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{name}: ") or type(error).__name__
    return Member(name, None, f"an archive that cannot be read ({reason})")


def _members(file: Path | OpenFile, name: str, kind: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    if kind == "ZIP":
        return _of_zip(file, name, left, depth)
    return _of_tar(OpenFile(file) if isinstance(file, Path) else file, name, left, depth)


def _stream(kept: OpenFile) -> BinaryIO:
    """An open file from its beginning on."""
    return cast("BinaryIO", Slice(kept, 0, os.fstat(kept.fileno).st_size))


def _inside(opener: Callable[[], BinaryIO], whole: str, inside: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    """A member as a capture, or the captures in it where it is an archive, packed or not; nothing for any other file."""
    name = _listed(whole, inside)
    if PurePosixPath(inside.lower()).suffix in NAMES:  # whatever it begins with, so that damage is reported
        yield Member(name, opener)
        return
    try:
        with opener() as stream:
            head = beginning_of_stream(stream, HEAD)
    except DAMAGE:
        return
    kind = kind_of(head)
    if is_capture(head):
        yield Member(name, opener)
    elif kind is not None and depth == DEEPEST:
        yield Member(name, None, f"lies in {DEEPEST} archives; unpack it first")
    elif kind is not None:
        try:
            with opener() as stream:
                kept = _unpacked(stream, left)
            yield from _members(kept, name, kind, left, depth + 1)
        except TROUBLE as error:
            yield _damaged(name, error)


def _listed(whole: str, name: str) -> str:
    """What a member is called: its name without what would lead out of the archive."""
    inside = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    return shown("/".join([whole, *inside]))


def _of_zip(file: Path | OpenFile, whole: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    with _zip(file) as archive:
        listed = [info for info in archive.infolist() if not info.is_dir()]
    for info in listed:
        if not left.files:
            yield _too_many(whole)
            return
        left.files -= 1
        name = _listed(whole, info.filename)
        if info.flag_bits & ENCRYPTED:
            yield Member(name, None, "is encrypted; unpack it first")
            continue
        try:
            yield from _inside(_zip_opener(file, info), whole, info.filename, left, depth)
        except TROUBLE as error:
            yield Member(name, None, f"cannot be unpacked ({error})")


def _too_many(whole: str) -> Member:
    return Member(whole, None, f"only {MOST_MEMBERS} of the files in it are read; unpack it first")


def _zip(file: Path | OpenFile) -> zipfile.ZipFile:
    return zipfile.ZipFile(file if isinstance(file, Path) else _stream(file))


def _zip_opener(file: Path | OpenFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", Unzipped(file, info))


def _of_tar(kept: OpenFile, whole: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    with os.fdopen(os.dup(kept.fileno), "rb") as file, tarfile.TarFile(fileobj=file) as archive:
        try:
            for info in archive:
                if not left.files:
                    yield _too_many(whole)
                    return
                left.files -= 1
                yield from _of_tar_info(whole, kept, info, left, depth)
        except tarfile.TarError as error:
            yield Member(whole, None, f"a tar archive that is damaged behind byte {archive.offset} ({error})")


def _of_tar_info(whole: str, kept: OpenFile, info: tarfile.TarInfo, left: UnpackLimit, depth: int) -> Iterator[Member]:
    if info.issparse():
        yield Member(_listed(whole, info.name), None, "is stored with holes; unpack it first")
        return

    def opener() -> BinaryIO:
        return cast("BinaryIO", Slice(kept, info.offset_data, info.size))

    if info.isreg():
        yield from _inside(opener, whole, info.name, left, depth)


def _unpacked(stream: BinaryIO, left: UnpackLimit) -> OpenFile:
    """A stream, or what is packed in it, in a file without a name: it is gone with the process, however that ends."""
    kept = OpenFile()
    stream, is_packed = plain(stream)
    # Of what is packed and damaged there is what comes before; the end of an archive shows that it is not whole.
    with suppress(*(DAMAGE if is_packed else ())):
        while left.bytes >= 0 and (part := stream.read(STEP)):
            left.bytes -= os.write(kept.fileno, part)
    if left.bytes < 0:
        raise InputError(f"more than {MOST_UNPACKED >> 30} GiB when unpacked; unpack it first")
    os.lseek(kept.fileno, 0, os.SEEK_SET)
    return kept
