"""Stretches of an open file as streams of their own, for what lies in archives; and what a library may read to list one."""

import io
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from auditor.errors import InputError

LAST = (1 << 63) - 1  # of the places that a file may have
AT_ONCE, IN_ALL = 1 << 20, 64 << 20  # bytes of headers


class OpenFile:
    """An open file that is closed when nothing reads it any more; without a path one that has no name."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            self.fileno = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            return
        with tempfile.TemporaryFile() as file:
            self.fileno = os.dup(file.fileno())

    @property
    def size(self) -> int:
        return os.fstat(self.fileno).st_size

    def append(self, data: bytes) -> int:
        """Write all of it, which takes several calls where the disk is full soon. Raises OSError."""
        left = memoryview(data)
        while left:
            left = left[os.write(self.fileno, left) :]
        return len(data)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # where it could not be opened
            os.close(self.fileno)


def kept_open(file: Path | OpenFile) -> OpenFile:
    """A file to read from: one with a path is opened for as long as somebody does, because there may be many."""
    return OpenFile(file) if isinstance(file, Path) else file


class Slice(io.RawIOBase):
    """A stretch of an open file, read independently of any other."""

    def __init__(self, file: OpenFile, begin: int, size: int) -> None:
        self._file, self._begin, self._at, self._stop = file, begin, begin, begin + size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = {os.SEEK_SET: self._begin, os.SEEK_CUR: self._at, os.SEEK_END: self._stop}[whence] + offset
        if not self._begin <= at <= LAST:
            raise InputError("it names a place that no file has")
        self._at = at
        return self.tell()

    def tell(self) -> int:
        return self._at - self._begin

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = os.pread(self._file.fileno, max(0, min(len(view), self._stop - self._at)), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


class OnlyHeaders(Slice):
    """All of an open file, of which a library reads no more than headers have: these say themselves how long they are."""

    def __init__(self, file: OpenFile, at_once: int = AT_ONCE) -> None:
        super().__init__(file, 0, file.size)
        self._at_once, self._left = at_once, IN_ALL
        self.next_member()

    def next_member(self) -> None:
        """What belongs to one member was read."""
        self._of_this = self._at_once

    def read(self, size: int = -1) -> bytes:
        rest = max(0, self._stop - self._at)
        wanted = rest if size < 0 else min(size, rest)
        self._of_this -= wanted
        self._left -= wanted
        if self._of_this < 0:
            raise InputError(f"headers of more than {self._at_once >> 20} MiB")
        if self._left < 0:
            raise InputError(f"headers of more than {IN_ALL >> 20} MiB in all")
        return super().read(wanted) or b""
