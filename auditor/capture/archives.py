"""Captures inside of ZIP and tar archives, which are read like those of a folder; nothing is written to a disk by name.

Archives in archives are read likewise, to a depth, a number of files and a size that hold for the outermost one.
"""

import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from auditor.capture import tarred, zipped
from auditor.capture.beginnings import is_capture
from auditor.capture.compression import (
    LONGEST_MAGIC,
    beginning,
    beginning_of_stream,
    compression_of,
    damage,
    plain,
)
from auditor.capture.interruptible import opened
from auditor.capture.stretches import OpenFile, Slice
from auditor.errors import InputError, shown

HEAD = 512  # bytes by which an archive, and a capture inside of one, is recognised
MOST_MEMBERS = 10_000
MOST_UNPACKED = 8 << 30  # bytes of packed archives and of those in archives, which are unpacked to files without a name
DEEPEST = 4  # archives in each other
STEP = 1 << 20
NAMES = (".pcap", ".pcapng", ".cap", ".erf")
LONGEST_NAME = 4096  # bytes of a path (PATH_MAX)
DAMAGE: tuple[type[BaseException], ...] = (InputError, *damage())
TROUBLE: tuple[type[BaseException], ...] = (*DAMAGE, tarfile.TarError, *tarred.NOT_ITS_OWN)


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


def kind_of(head: bytes) -> str | None:
    """``ZIP`` or ``tar``, by the first bytes of a file, of what is inside where it is packed."""
    if head.startswith(zipped.MAGICS):
        return "ZIP"
    return "tar" if head[257:262] == b"ustar" else None


def members(path: Path) -> list[Member] | None:
    """The captures in an archive, in its order, or why there are none; None for a file that is no archive."""
    try:
        with opened(path) as file:
            is_packed = compression_of(file.read(LONGEST_MAGIC) or b"") is not None
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
    """The captures in an archive, and why there are none, or no more."""
    found: list[Member] = []
    try:
        found.extend(members())  # those before what is raised too
    except TROUBLE as error:
        found.append(_damaged(name, error))
    return _told_apart(found) or [Member(name, None, f"the {kind} archive holds no capture")]


def _told_apart(found: list[Member]) -> list[Member]:
    """Members of one name, as archives have that were added to, with a number behind it: evidence is found by name."""
    taken, numbers = set[str](), Counter[str]()
    for at, one in enumerate(found):
        name = one.name
        while one.open is not None and name in taken:
            numbers[one.name] += 1
            name = f"{one.name} ({numbers[one.name] + 1})"
        taken.add(name)
        found[at] = replace(one, name=name)
    return found


def _damaged(name: str, error: BaseException) -> Member:
    reason = _reason(error).removeprefix(f"{name}: ")
    return Member(name, None, f"an archive that cannot be read to its end ({reason})")


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "its headers have headers of their own without end"
    if isinstance(error, (ValueError, *tarred.NOT_ITS_OWN)):
        return "its headers are damaged"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _members(file: Path | OpenFile, name: str, kind: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    return (_of_zip if kind == "ZIP" else _of_tar)(file, name, left, depth)


def _stream(kept: OpenFile) -> BinaryIO:
    """An open file from its beginning on."""
    return cast("BinaryIO", Slice(kept, 0, kept.size))


def _inside(opener: Callable[[], BinaryIO], whole: str, inside: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    """A member as a capture, or the captures in it where it is an archive, packed or not; nothing for any other file."""
    name = _listed(whole, inside)
    path = PurePosixPath(inside.lower())
    if path.suffix in NAMES and not path.name.startswith("._"):  # whatever it begins with, so that damage is reported
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
    for one in zipped.zipped(file):
        yield from _of_one(zipped.opener(file, one), whole, one.name, one.refusal, left, depth)
        if left.files < 0:
            return


def _of_tar(file: Path | OpenFile, whole: str, left: UnpackLimit, depth: int) -> Iterator[Member]:
    for one in tarred.tarred(file):
        yield from _of_one(tarred.opener(file, one), whole, one.name, one.refusal, left, depth)
        if left.files < 0:
            return


def _of_one(
    opener: Callable[[], BinaryIO], whole: str, name: str, refusal: str | None, left: UnpackLimit, depth: int
) -> Iterator[Member]:
    """The captures in one member of an archive, or why there are none."""
    left.files -= 1
    if left.files < 0:
        yield Member(whole, None, f"only {MOST_MEMBERS} of the files in it are read; unpack it first")
    elif len(name) > LONGEST_NAME:
        begin = _listed(whole, name[:60])
        yield Member(f"{begin}…", None, f"its name has more than {LONGEST_NAME:,} characters; unpack it first")
    elif refusal is not None:
        yield Member(_listed(whole, name), None, refusal)
    else:
        try:
            yield from _inside(opener, whole, name, left, depth)
        except TROUBLE as error:
            yield Member(_listed(whole, name), None, f"cannot be unpacked ({_reason(error)})")


def _unpacked(stream: BinaryIO, left: UnpackLimit) -> OpenFile:
    """A stream, or what is packed in it, in a file without a name: it is gone with the process, however that ends."""
    kept = OpenFile()
    stream, is_packed = plain(stream)
    while left.bytes >= 0 and (part := _next(stream, is_packed)):
        try:
            left.bytes -= kept.append(part)
        except OSError as error:
            raise InputError(
                f"temporary files cannot be written: {error.strerror}; TMPDIR names their folder"
            ) from error
    if left.bytes < 0:
        raise InputError(f"more than {MOST_UNPACKED >> 30} GiB when unpacked; unpack it first")
    os.lseek(kept.fileno, 0, os.SEEK_SET)
    return kept


def _next(stream: BinaryIO, is_packed: bool) -> bytes:
    """What comes next. Of what is packed and damaged there is what comes before; the end of an archive shows that it is not whole."""
    with suppress(*(DAMAGE if is_packed else ())):
        return stream.read(STEP)
    return b""
