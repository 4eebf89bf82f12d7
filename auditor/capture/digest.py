"""SHA-256 of what is read, in a thread of its own: for most bytes it takes longer than all the rest of an audit."""

import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from auditor.capture.buffers import page_aligned

PIECE = 1 << 20
LARGE_PIECE = 16 << 20  # between two of them the thread may wait for the GIL, which those who import hold
LARGE = 1 << 24  # bytes; smaller files are hashed before any library is loaded

_begun: dict[Path, "Hashing"] = {}


class Hashing:
    """A digest that goes on in a thread: over a file by itself, until somebody reads the file and hands over pieces."""

    def __init__(self, digest: Any, path: Path | None = None, size: int = 0) -> None:
        self._digest = digest
        self._hashed = 0
        self._given = 0
        self._pieces: deque[tuple[int, Any, Any]] = deque()  # those not hashed yet: offset, piece, its buffer
        self._ended = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, args=(path, size), name="sha256", daemon=True)
        self._thread.start()

    def _work(self, path: Path | None, size: int) -> None:
        if path is not None:
            self._ahead(path, size)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended)
                if not self._pieces:
                    return
                offset, piece, _ = self._pieces[0]
            self._digest.update(piece[max(0, self._hashed - offset) :])
            self._hashed = max(self._hashed, offset + len(piece))
            with self._changed:
                self._pieces.popleft()
                self._changed.notify_all()

    def _ahead(self, path: Path, size: int) -> None:
        view = memoryview(page_aligned(LARGE_PIECE))
        with suppress(OSError), path.open("rb", buffering=0) as file:  # who reads the file says what is wrong with it
            while not (self._pieces or self._ended) and (got := file.readinto(view[: size - self._hashed])):
                self._digest.update(view[:got])
                self._hashed += got

    def add(self, piece: Any, buffer: Any) -> None:
        """The next bytes that were read; ``buffer`` is what they lie in."""
        with self._changed:
            self._pieces.append((self._given, piece, buffer))
            self._given += len(piece)
            self._changed.notify_all()

    def release(self, buffer: Any) -> None:
        """Wait until all that lies in ``buffer`` is hashed."""
        with self._changed:
            self._changed.wait_for(lambda: all(busy is not buffer for _, _, busy in self._pieces))

    def end(self) -> None:
        """No more will come; wait until all of it is hashed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def hexdigest(self) -> str:
        self.end()
        return str(self._digest.hexdigest())


class Digested:
    """A stream that is hashed as it is read, once for both.

    Who reads into a buffer must call ``release`` before the buffer is written to again.
    """

    def __init__(self, stream: Any, hashing: Hashing | None = None, *, is_hashed: bool = True) -> None:
        self._stream = stream
        self._is_hashed = is_hashed
        self._small = hashlib.sha256()  # until there is so much that a thread is worth it
        self._hashing = hashing
        self.count = 0

    def _hash(self, piece: Any, buffer: Any = None) -> None:
        self.count += len(piece)
        if not self._is_hashed:
            return
        if self._hashing is None and len(piece) < PIECE:
            self._small.update(piece)
            return
        if self._hashing is None:
            self._hashing = Hashing(self._small)
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

    def skip(self, size: int) -> None:
        """Read up to ``size`` bytes for their digest alone."""
        while size > 0 and (data := self.read(min(size, 4 * PIECE))):
            size -= len(data)

    def hexdigest(self) -> str:
        return self._small.hexdigest() if self._hashing is None else self._hashing.hexdigest()

    def close(self) -> None:
        self._stream.close()
        if self._hashing is not None:
            self._hashing.end()


def begin(path: Path) -> None:
    """Hash a large file while libraries load; whoever reads it goes on from there."""
    with suppress(OSError):
        size = path.stat().st_size
        if path.is_file() and size > LARGE and path.resolve() not in _begun:
            _begun[path.resolve()] = Hashing(hashlib.sha256(), path, size)


def begin_argument(arguments: Sequence[str]) -> None:
    """``begin`` with the first file among a command's arguments that is not the value of an option."""
    for before, argument in pairwise(["", *arguments]):
        if not before.startswith("-") and not argument.startswith("-"):
            begin(Path(argument))
            break


def begun(path: Path) -> Hashing | None:
    """The hashing that has begun for a file, if any."""
    return _begun.pop(path.resolve(), None)
