"""The members of a tar archive (POSIX pax, ustar, GNU), each opened by itself."""

import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from auditor.capture.stretches import OnlyHeaders, OpenFile, Slice, kept_open
from auditor.errors import InputError

BLOCK = tarfile.BLOCKSIZE
LOOKED_THROUGH = 1 << 20  # bytes behind the end
NOT_ITS_OWN = (ArithmeticError, LookupError, struct.error)  # what tarfile lets through, besides ValueError
MOST_SHARED = 1_000  # records of pax that are said of all members that follow


@dataclass(frozen=True)
class Tarred:
    """A member that is a file: where its bytes are, or why they cannot be read."""

    name: str
    begin: int = 0
    size: int = 0
    refusal: str | None = None


def opener(file: Path | OpenFile, member: Tarred) -> Callable[[], BinaryIO]:
    """What opens a member."""
    return lambda: cast("BinaryIO", Slice(kept_open(file), member.begin, member.size))


def tarred(file: Path | OpenFile) -> Iterator[Tarred]:
    """The files in an archive. Raises, behind the last that can be read, what tarfile does, and InputError."""
    kept = kept_open(file)
    headers = OnlyHeaders(kept)
    with tarfile.TarFile(fileobj=cast("BinaryIO", headers)) as archive:
        while (info := archive.next()) is not None:
            cast("Any", archive).members.clear()  # it would remember all of them
            if info.size < 0 or len(archive.pax_headers) > MOST_SHARED:
                raise InputError(f"the member at byte {info.offset} is not as any is written")
            if info.offset_data + info.size > kept.size:
                yield Tarred(info.name, info.offset_data, kept.size - info.offset_data)
                raise InputError("it was cut short")
            if info.issparse():
                yield Tarred(info.name, refusal="is stored with holes; unpack it first")
            elif info.isreg():
                yield Tarred(info.name, info.offset_data, info.size)
            headers.next_member()
        _check_end(kept, archive.offset)


def _check_end(kept: OpenFile, at: int) -> None:
    """The library ends where a header is damaged as it does at the end of all. Raises InputError where anything is behind."""
    rest = Slice(kept, at, LOOKED_THROUGH)
    if first := (rest.read(BLOCK) or b"").strip(b"\0"):
        raise InputError(f"no member begins at byte {at}")
    first = (rest.read() or b"").lstrip(b"\0")
    if first:
        raise InputError("something is behind its end, another archive perhaps")
