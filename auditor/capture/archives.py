"""Captures inside of ZIP and tar archives, which are read like those of a folder; nothing is written to a disk by name."""

import io
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from auditor.border.words import counted
from auditor.capture.beginnings import is_capture
from auditor.capture.compression import (
    LONGEST_MAGIC,
    beginning,
    beginning_of_stream,
    compression_of,
    damage,
    open_compressed,
)
from auditor.errors import InputError, shown

HEAD = 512  # bytes by which an archive, and a capture inside of one, is told
MOST_MEMBERS = 10_000
MOST_UNPACKED = 8 << 30  # bytes of a packed tar archive, which is unpacked to a file without a name
STEP = 1 << 20
NAMES = (".pcap", ".pcapng", ".cap", ".erf")
ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")
ENCRYPTED = 1  # bit of a ZIP member's flags
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


class Kept:
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

    def __init__(self, file: Kept, begin: int, size: int) -> None:
        self._file, self._at, self._stop = file, begin, begin + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = os.pread(self._file.fileno, min(len(view), self._stop - self._at), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def kind_of(head: bytes) -> str | None:
    """``ZIP`` or ``tar``, by the first bytes of a file, of what is inside where it is packed."""
    if head.startswith(ZIP_MAGICS):
        return "ZIP"
    return "tar" if head[257:262] == b"ustar" else None


def members(path: Path) -> list[Member] | None:
    """The captures in an archive, in its order, or why there are none; None for a file that is no archive."""
    try:
        with path.open("rb") as file:
            packing = compression_of(file.read(LONGEST_MAGIC))
        kind = kind_of(beginning(path, HEAD))
    except (InputError, OSError):  # who reads it as a capture says what is wrong with it
        return None
    if kind is None:
        return None
    try:
        found = list(_of_zip(path) if kind == "ZIP" else _of_tar(path, packing))
    except TROUBLE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return [Member(shown(path), None, f"an archive that cannot be read ({reason})")]
    return found or [Member(shown(path), None, f"the {kind} archive holds no capture")]


def _is_capture(opener: Callable[[], BinaryIO], name: str) -> bool:
    """Whether a member begins like a capture, packed or not, or is named like one, so that damage is told."""
    if PurePosixPath(name.lower()).suffix in NAMES:
        return True
    try:
        with opener() as stream:
            return is_capture(beginning_of_stream(stream, HEAD))
    except DAMAGE:
        return False


def _listed(path: Path, name: str) -> str:
    """What a member is called: its name without what would lead out of the archive."""
    inside = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    return shown("/".join([str(path), *inside]))


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        listed = [info for info in archive.infolist() if not info.is_dir()]
    for number, info in enumerate(listed):
        name = _listed(path, info.filename)
        if number == MOST_MEMBERS:
            yield Member(
                shown(path),
                None,
                f"only {MOST_MEMBERS} of its {counted(len(listed), 'file')} are read; unpack it first",
            )
            return
        opener = _zip_opener(path, info)
        if info.flag_bits & ENCRYPTED:
            yield Member(name, None, "is encrypted; unpack it first")
            continue
        try:
            if _is_capture(opener, info.filename):
                yield Member(name, opener)
        except TROUBLE as error:
            yield Member(name, None, f"cannot be unpacked ({error})")


def _zip_opener(path: Path, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opener() -> BinaryIO:
        return cast("BinaryIO", zipfile.ZipFile(path).open(info))

    return opener


def _of_tar(path: Path, packing: str | None) -> Iterator[Member]:
    kept = Kept(path) if packing is None else _unpacked(path, packing)
    with os.fdopen(os.dup(kept.fileno), "rb") as file, tarfile.TarFile(fileobj=file) as archive:
        try:
            for number, info in enumerate(archive):
                if number == MOST_MEMBERS:
                    yield Member(shown(path), None, f"only {MOST_MEMBERS} of its files are read; unpack it first")
                    return
                if (member := _of_tar_info(path, kept, info)) is not None:
                    yield member
        except tarfile.TarError as error:
            yield Member(shown(path), None, f"a tar archive that is damaged behind byte {archive.offset} ({error})")


def _of_tar_info(path: Path, kept: Kept, info: tarfile.TarInfo) -> Member | None:
    name = _listed(path, info.name)
    if info.issparse():
        return Member(name, None, "is stored with holes; unpack it first")

    def opener() -> BinaryIO:
        return cast("BinaryIO", Slice(kept, info.offset_data, info.size))

    return Member(name, opener) if info.isreg() and _is_capture(opener, info.name) else None


def _unpacked(path: Path, packing: str) -> Kept:
    """A packed tar archive in a file without a name: it is gone with the process, however that ends."""
    kept, size = Kept(), 0
    # Of a packed file that is damaged there is what comes before; the archive's end shows that it is not whole.
    with suppress(*DAMAGE), path.open("rb") as packed, open_compressed(packed, packing) as stream:
        while size <= MOST_UNPACKED and (part := stream.read(STEP)):
            size += os.write(kept.fileno, part)
    if size > MOST_UNPACKED:
        raise InputError(f"more than {MOST_UNPACKED >> 30} GiB when unpacked; unpack it first")
    os.lseek(kept.fileno, 0, os.SEEK_SET)
    return kept
