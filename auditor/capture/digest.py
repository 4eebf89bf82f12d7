"""SHA-256 of what is read, beside all else: for most bytes it takes longer than all the rest of an audit.

A large file is hashed by a process of its own, which waits for nothing; a stream, as it is read, by a thread.
"""

import errno
import hashlib
import os
import stat
import subprocess
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Any

from auditor.capture import sha256
from auditor.capture.interruptible import opened
from auditor.machine import isolated

PIECE = 1 << 20
LARGE = 1 << 26  # bytes; hashing fewer takes less than starting a process


class DigestChild:
    """The digest of the first ``size`` bytes of a file, by a process that has begun with it.

    The file stays open here: even if it is renamed or replaced, it is this one that is hashed and examined.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self.was_changed = False  # whether somebody wrote to the file before its digest was known
        self._result: str | None = None
        self._asking = Lock()
        self._path = path
        self._file = opened(path)
        try:
            self._before = os.fstat(self._file.fileno())
            if not stat.S_ISREG(self._before.st_mode):
                raise OSError(errno.EINVAL, "no file any more")
            self._process = isolated.start(
                isolated.script(sha256.__file__, str(size)),
                stdin=self._file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except BaseException:
            self._file.close()
            raise

    def is_of(self, file: Path | int) -> bool:
        """Whether it is this very file that has a name, or was opened as a descriptor."""
        with suppress(OSError):
            return os.path.samestat(file.stat() if isinstance(file, Path) else os.fstat(file), self._before)
        return False

    def hexdigest(self, count: int) -> str | None:
        """The digest of the first ``count`` bytes; None where it can no longer be computed. Any thread may ask."""
        with self._asking:
            return self._result if self._file.closed else self._hexdigest(count)

    def _hexdigest(self, count: int) -> str | None:
        words = self._process.communicate()[0].split()[-2:]
        if len(words) == 2 and int(words[0]) == count:
            self._result = words[1].decode()
        else:  # the process was killed, or the file cut off in the meantime
            with suppress(OSError):
                self._file.seek(0)
                hashed, digest = sha256.sha256(self._file.fileno(), count)
                self._result = digest if hashed == count else None
        self.was_changed = self._is_changed()
        self._file.close()
        return self._result

    def _is_changed(self) -> bool:
        """Whether somebody wrote to the file since it was opened; who sets its time back after that changes another time (stat(2)).

        That one is changed by a new name, too, which is no change of what is in it.
        """
        now = os.fstat(self._file.fileno())
        if now.st_mtime_ns != self._before.st_mtime_ns:
            return True
        return now.st_ctime_ns != self._before.st_ctime_ns and self.is_of(self._path)

    def stop(self) -> None:
        """Give up: nobody needs the digest any more."""
        if not self._file.closed:
            self._process.kill()
            self._process.communicate()
            self._file.close()


class Hashing:
    """A digest of pieces that are handed over, in a thread."""

    def __init__(self, digest: Any) -> None:
        self._digest = digest
        self._pieces: deque[tuple[Any, Any]] = deque()  # those not hashed yet, each with the buffer that it lies in
        self._ended = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, name="sha256", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended)
                if not self._pieces:
                    return
                piece, _ = self._pieces[0]
            self._digest.update(piece)
            with self._changed:
                self._pieces.popleft()
                self._changed.notify_all()

    def add(self, piece: Any, buffer: Any) -> None:
        """The next bytes that were read; ``buffer`` is what they lie in."""
        with self._changed:
            self._pieces.append((piece, buffer))
            self._changed.notify_all()

    def release(self, buffer: Any) -> None:
        """Wait until all that lies in ``buffer`` is hashed."""
        with self._changed:
            self._changed.wait_for(lambda: all(busy is not buffer for _, busy in self._pieces))

    def end(self) -> None:
        """No more will come; wait until all of it is hashed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()


class Digested:
    """A stream that is hashed as it is read, once for both, or whose file is hashed by a process of its own.

    Who reads into a buffer must call ``release`` before the buffer is written to again.
    """

    def __init__(self, stream: Any, child: DigestChild | None = None, *, is_hashed: bool = True) -> None:
        self._stream = stream
        self._child = child
        self._is_hashed = is_hashed and child is None
        self._digest = hashlib.sha256()
        self._hashing: Hashing | None = None  # once there is so much that a thread is worth it
        self.count = 0

    def _hash(self, piece: Any, buffer: Any = None) -> None:
        self.count += len(piece)
        if not self._is_hashed:
            return
        if self._hashing is None and len(piece) < PIECE:
            self._digest.update(piece)
            return
        if self._hashing is None:
            self._hashing = Hashing(self._digest)
        self._hashing.add(piece, buffer)

    def release(self, buffer: Any) -> None:
        """Wait until all that was read into ``buffer`` is hashed."""
        if self._hashing is not None:
            self._hashing.release(buffer)

    def readinto(self, view: memoryview) -> int:
        """Read into ``view`` (of bytes); how many were read, 0 at the end."""
        got: int = self._stream.readinto(view) or 0
        self._hash(view[:got], view.obj)
        return got

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._hash(data)
        return data

    def go_to(self, place: int) -> bool:
        """Read on from a place without what lies before it; False where that has to be read, since it is hashed here."""
        if self._is_hashed or not self._stream.seekable():
            return False
        self._stream.seek(place)
        self.count = place
        return True

    def skip(self, size: int) -> None:
        """Read up to ``size`` bytes for their digest alone."""
        if self._child is not None:
            self.count += max(0, min(size, os.fstat(self._stream.fileno()).st_size - self.count))
            return
        while size > 0 and (data := self.read(min(size, 4 * PIECE))):
            size -= len(data)

    def hexdigest(self) -> str | None:
        """The digest of all that was read; None where it cannot be computed."""
        if self._child is not None:
            return self._child.hexdigest(self.count)
        if self._hashing is not None:
            self._hashing.end()
        return self._digest.hexdigest()

    def close(self) -> None:
        self._stream.close()
        if self._hashing is not None:
            self._hashing.end()

    def was_changed(self) -> bool:
        """Whether a file was written to before its digest was known, so that it may be of other bytes than were read."""
        return self._child is not None and self._child.was_changed


@dataclass(frozen=True, eq=False, repr=False)
class KnownInput:
    """What is known of an input that was read before."""

    count: int  # bytes
    digest: str | None
    changed: bool = False  # while it was read

    def hexdigest(self) -> str | None:
        return self.digest

    def was_changed(self) -> bool:
        return self.changed


def started(path: Path, size: int) -> DigestChild | None:
    """A process that hashes a large file; None where there cannot be one: the file is hashed as it is read."""
    with suppress(OSError, ValueError):
        if size > LARGE and isolated.is_possible():
            return DigestChild(path, size)
    return None


def begin(path: Path) -> DigestChild | None:
    """Hash a large file before anything else is known of it; None where it is not large, or no file."""
    with suppress(OSError, ValueError):  # who reads the file says what is wrong with it
        return started(path, path.stat().st_size) if path.is_file() else None
    return None
