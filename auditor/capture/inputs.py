"""What to read: files, folders, globs and standard input, and the digest of each."""

import glob
import hashlib
import stat
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from auditor.capture.buffers import page_aligned
from auditor.errors import InputError

SUFFIXES = (".pcap", ".pcapng", ".cap", ".ntar", ".dmp", ".trace", ".mcap")
PACKED = ("", ".gz", ".bz2", ".xz", ".zst", ".lz4")
PIECE = 1 << 24


@dataclass
class Input:
    """One capture: its name, and how its bytes are come by. ``size`` is None for a stream."""

    name: str
    path: Path | None = None
    stream: BinaryIO | None = None
    size: int | None = None
    digest: "Future[str] | StreamDigest | None" = field(default=None, repr=False)

    def open(self) -> BinaryIO:
        """The raw bytes. Raises InputError naming the file and the reason."""
        if self.stream is not None:
            self.digest = StreamDigest(self.stream)
            return cast("BinaryIO", self.digest)
        assert self.path is not None
        try:
            opened = self.path.open("rb", buffering=0)
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror}") from error
        if self.size is None:
            self.digest = StreamDigest(cast("BinaryIO", opened))
            return cast("BinaryIO", self.digest)
        return cast("BinaryIO", opened)

    def sha256(self) -> str | None:
        """The digest of the input, complete once it was read to its end."""
        if isinstance(self.digest, Future):
            return self.digest.result()
        return self.digest.hexdigest() if self.digest else None


class StreamDigest:
    """A stream that is hashed while it is read, because it can be read only once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.count = 0

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        got = self._stream.readinto(view)  # type: ignore[attr-defined]
        self._digest.update(view[:got])
        self.count += got or 0
        return got or 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        self.count += len(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        self._stream.close()


def file_digest(path: Path, size: int) -> str:
    """SHA-256 of the first ``size`` bytes of a file: of a capture still being written, what we set out to read."""
    digest = hashlib.sha256()
    view = memoryview(page_aligned(PIECE))
    with path.open("rb", buffering=0) as file:
        while size > 0 and (got := file.readinto(view[: min(PIECE, size)])):
            digest.update(view[:got])
            size -= got
    return digest.hexdigest()


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


def begin_digests(inputs: list[Input]) -> ThreadPoolExecutor:
    """Hash the files in a thread beside everything else (hashing and reading release the GIL)."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="sha256")
    for item in inputs:
        if item.path is not None and item.size is not None:
            item.digest = pool.submit(file_digest, item.path, item.size)
    return pool
