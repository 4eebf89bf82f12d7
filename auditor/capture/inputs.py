"""What to read: files, folders, globs and standard input."""

import glob
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from auditor.capture.digest import Digested, begun
from auditor.errors import InputError

SUFFIXES = (".pcap", ".pcapng", ".cap", ".ntar", ".dmp", ".trace", ".mcap")
PACKED = ("", ".gz", ".bz2", ".xz", ".zst", ".lz4")


@dataclass
class Input:
    """One capture: its name, and how its bytes are come by. ``size`` is None for a stream."""

    name: str
    path: Path | None = None
    stream: BinaryIO | None = None
    size: int | None = None
    digest: Digested | None = field(default=None, repr=False)

    def open(self) -> "Digested":
        """The raw bytes, which are hashed as they are read. Raises InputError naming the file and the reason."""
        stream: Any = self.stream
        if stream is None:
            assert self.path is not None
            try:
                stream = self.path.open("rb", buffering=0)
            except OSError as error:
                raise InputError(f"{self.name}: {error.strerror}") from error
        self.digest = Digested(stream, begun(self.path) if self.path is not None else None)
        return self.digest

    def read_rest(self) -> None:
        """Hash what was not read because of damage: of a file all counts that was there when we set out."""
        if self.size is not None and self.digest is not None:
            self.digest.skip(self.size - self.digest.count)

    def sha256(self) -> str | None:
        """The digest of the input, complete once it was read to its end."""
        return self.digest.hexdigest() if self.digest else None


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
