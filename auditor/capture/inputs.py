"""What to read: files, folders, globs and standard input, and the digest of each."""

import glob
import hashlib
import stat
import sys
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from auditor.capture.buffers import page_aligned
from auditor.errors import InputError

SUFFIXES = (".pcap", ".pcapng", ".cap", ".ntar", ".dmp", ".trace", ".mcap")
PACKED = ("", ".gz", ".bz2", ".xz", ".zst", ".lz4")
PIECE = 1 << 20
LARGE = 1 << 24


@dataclass
class Input:
    """One capture: its name, and how its bytes are come by. ``size`` is None for a stream."""

    name: str
    path: Path | None = None
    stream: BinaryIO | None = None
    size: int | None = None
    digest: "Digested | None" = field(default=None, repr=False)
    ahead: "Ahead | None" = field(default=None, repr=False)

    def begin(self) -> None:
        """Hash a large file while libraries load, until ``open`` goes on from there."""
        if self.path is not None and self.size is not None and self.size > LARGE:
            self.ahead = Ahead(self.path, self.size)

    def open(self) -> "Digested":
        """The raw bytes, which are hashed as they are read. Raises InputError naming the file and the reason."""
        stream: Any = self.stream
        if stream is None:
            assert self.path is not None
            try:
                stream = self.path.open("rb", buffering=0)
            except OSError as error:
                raise InputError(f"{self.name}: {error.strerror}") from error
        self.digest = Digested(stream)
        if self.ahead is not None:
            self.digest.after(self.ahead)
        return self.digest

    def read_rest(self) -> None:
        """Hash what was not read because of damage: of a file all counts that was there when we set out."""
        if self.size is not None and self.digest is not None:
            self.digest.skip(self.size - self.digest.count)

    def sha256(self) -> str | None:
        """The digest of the input, complete once it was read to its end."""
        return self.digest.hexdigest() if self.digest else None


class Ahead:
    """Hashes the beginning of a file in a thread of its own, while nobody can read it yet."""

    def __init__(self, path: Path, size: int) -> None:
        self.digest = hashlib.sha256()
        self.count = 0
        self._stopped = False
        self._thread = Thread(target=self._work, args=(path, size), name="sha256", daemon=True)
        self._thread.start()

    def _work(self, path: Path, size: int) -> None:
        view = memoryview(page_aligned(PIECE))
        with suppress(OSError), path.open("rb", buffering=0) as file:  # who reads the file says what is wrong with it
            while not self._stopped and (got := file.readinto(view[: size - self.count])):
                self.digest.update(view[:got])
                self.count += got

    def end(self) -> None:
        self._stopped = True
        self._thread.join()


class Digested:
    """A stream that is hashed as it is read, once for both, in a thread of its own.

    Who reads into a buffer must call ``release`` before the buffer is written to again.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Any, Future[None]]] = deque()  # pieces not known to be hashed, with their buffers
        self._hashed_ahead = 0
        self.count = 0

    def after(self, ahead: Ahead) -> None:
        """Take over what is hashed already."""
        ahead.end()
        self._digest, self._hashed_ahead = ahead.digest, ahead.count

    def _hash(self, piece: Any, buffer: Any = None) -> None:
        known = max(0, self._hashed_ahead - self.count)
        self.count += len(piece)
        piece = piece[known:]
        if self._thread is None:
            if len(piece) < PIECE:  # small inputs need no thread
                self._digest.update(piece)
                return
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._waiting.append((buffer, self._thread.submit(self._digest.update, piece)))

    def release(self, buffer: Any) -> None:
        """Wait until all that was read into ``buffer`` is hashed."""
        while any(busy is buffer for busy, _ in self._waiting):
            self._waiting.popleft()[1].result()

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
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        return self._digest.hexdigest()

    def close(self) -> None:
        self._stream.close()


def _is_capture_name(path: Path) -> bool:
    name = path.name.lower()
    return any(name.endswith(suffix + packed) for suffix in SUFFIXES for packed in PACKED)


def _files_of(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and _is_capture_name(p))
        if not found:
            raise InputError(f"{argument}: the folder holds no file named like a capture (.pcap, .pcapng, .cap, …)")
        return found
    if path.exists():
        return [path]
    matches = sorted(Path(match) for match in glob.glob(argument, recursive=True))
    if matches:
        return [match for match in matches if match.is_file()]
    if argument.startswith(("http://", "https://", "s3://", "gs://", "abfs://")):
        raise InputError(f"{argument}: captures are read from files and standard input; fetch it first")
    raise InputError(f"{argument}: no such file or folder")


def expand(arguments: Iterable[str | Path]) -> list[Input]:
    """The inputs that the arguments stand for, each once, folders and globs in order of their names."""
    inputs: list[Input] = []
    seen: set[Path] = set()
    for argument in map(str, arguments):
        if argument == "-":
            inputs.append(
                Input("-", stream=sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer)
            )
            continue
        for path in _files_of(argument):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            status = path.stat()
            regular = stat.S_ISREG(status.st_mode)
            inputs.append(Input(str(path), path, size=status.st_size if regular else None))
    return inputs
