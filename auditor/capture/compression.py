"""Compressed captures: recognised by their first bytes, opened as a stream of the bytes inside."""

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from auditor.capture import folders
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance

MAGICS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
STEP = 1 << 17  # bytes that one step may yield: a buffer of them is allocated for each
LONGEST_MAGIC = 6
MOST_PACKINGS = 3  # of a capture, one inside another
LARGEST = 4 << 30  # bytes of a file that is read as a whole
MIB = 1 << 20
LARGER = "give --memory a larger size, or a smaller file"

# What the decompressors raise on damaged or cut input. zstandard and lz4 have errors of their own, both of them
# derived from these or named in ``damage``.
DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, RuntimeError, ValueError)


def compression_of(head: bytes) -> str | None:
    """The name of the compression that ``head`` begins with, or None."""
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)


class ZstdFrames(io.RawIOBase):
    """The bytes inside a row of Zstandard frames (RFC 8878). The library's own stream ends in silence where a frame is cut."""

    TAKEN = 1 << 12  # packed bytes at a time: 1 KiB of them may be 32 MiB of one repeated byte

    def __init__(self, stream: BinaryIO) -> None:
        # Window sizes above 128 MiB are refused: a tiny file must not make us take gigabytes.
        self._decompressor = importlib.import_module("zstandard").ZstdDecompressor(max_window_size=1 << 27)
        self._stream, self._packed, self._ready = stream, b"", memoryview(b"")
        self._frame: Any = None  # None between frames

    def read1(self, size: int) -> bytes:
        """Up to ``size`` bytes, none at the end. Raises EOFError where the file ends inside a frame."""
        while not self._ready and self._advance():
            continue
        data, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return data

    def _advance(self) -> bool:
        """Unpack some more; False at the end."""
        packed = self._packed or self._stream.read(self.TAKEN)
        if not packed:
            if self._frame is not None:
                raise EOFError("the compressed data ends before its end-of-frame mark")
            return False
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        self._ready, self._packed = memoryview(self._frame.decompress(packed)), b""
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
        return True


def _zstd(stream: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", ZstdFrames(stream))


def _lz4(stream: BinaryIO) -> BinaryIO:
    frame = importlib.import_module("lz4.frame")
    return cast("BinaryIO", frame.LZ4FrameFile(stream, mode="rb"))


OPENERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "gzip": lambda stream: cast("BinaryIO", gzip.GzipFile(fileobj=stream, mode="rb")),
    "bzip2": lambda stream: cast("BinaryIO", bz2.BZ2File(stream, "rb")),
    "xz": lambda stream: cast("BinaryIO", lzma.LZMAFile(stream, "rb")),
    "zstd": _zstd,
    "lz4": _lz4,
}


def damage() -> tuple[type[BaseException], ...]:
    """The exception types that mean damaged compressed input."""
    kinds: list[type[BaseException]] = list(DAMAGE)
    with contextlib.suppress(ImportError):
        kinds.append(importlib.import_module("zstandard").ZstdError)
    return tuple(kinds)


def open_compressed(stream: BinaryIO, name: str) -> BinaryIO:
    """A stream of the bytes inside ``stream``, which begins with the magic of compression ``name``.

    Raises InputError when the library for it is not installed.
    """
    try:
        return cast("BinaryIO", Gradual(OPENERS[name](stream)))
    except ImportError as error:
        raise InputError(f"reading {name} needs the Python package {error.name}: pip install {error.name}") from error


def unpacked(path: Path, most: int | None = None, largest: int = LARGEST) -> bytes:
    """The bytes of a file, packed or not, or the first ``most`` of them. Raises InputError naming the file.

    What grows beyond ``largest`` is refused: a small packed file must not take all memory.
    """
    largest = min(largest, LARGEST)
    if (refusal := folders.refusal(path)) is not None:
        raise InputError(f"{path}: {refusal}")
    try:
        with path.open("rb") as file:
            packing = compression_of(file.read(LONGEST_MAGIC))
            file.seek(0)
            data = _read(open_compressed(file, packing) if packing else file, largest + 1 if most is None else most)
    except damage() as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if most is None and len(data) > largest:
        raise InputError(f"{shown(path)}: more than {largest / MIB:,.0f} MiB when unpacked; {LARGER}")
    return data


def streamed(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a file, packed or not, ``size`` at a time. Raises InputError naming the file."""
    if (refusal := folders.refusal(path)) is not None:
        raise InputError(f"{path}: {refusal}")
    try:
        with path.open("rb") as file:
            packing = compression_of(file.read(LONGEST_MAGIC))
            file.seek(0)
            stream = open_compressed(file, packing) if packing else file
            while part := _read(stream, size):
                yield part
    except damage() as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def allowed(path: Path, allowance: Allowance, factor: int) -> bytes:
    """All of a file of which each byte becomes about ``factor`` bytes of memory, where so much is left."""
    data = unpacked(path, largest=allowance.most(factor))
    allowance.take(factor * len(data))
    return data


def beginning(path: Path, size: int) -> bytes:
    """The first bytes of a file, of what is inside where it is packed, also more than once. Raises InputError naming the file."""
    try:
        with path.open("rb") as file:
            return beginning_of_stream(file, size)
    except damage() as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def beginning_of_stream(stream: BinaryIO, size: int) -> bytes:
    """The first bytes of a stream, likewise. Raises what ``damage`` lists."""
    head = _read(stream, size)
    for _ in range(MOST_PACKINGS):
        if (packing := compression_of(head)) is None:
            break
        stream = open_compressed(cast("BinaryIO", Rewound(head, stream)), packing)
        head = _read(stream, size)
    return head


def _read(stream: BinaryIO, most: int) -> bytes:
    """The first ``most`` bytes of a stream, whose ``read`` may give fewer at a time; all where it has no more."""
    parts: list[bytes] = []
    while most > 0 and (part := stream.read(most)):
        parts.append(part)
        most -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Gradual(io.RawIOBase):
    """A stream that gives what one step of unpacking yields: of packed data that is cut short, all before the cut.

    Buffered reads try to fill the buffer, and lose what is in it where that fails.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data: bytes = self._stream.read1(min(len(view), STEP))  # type: ignore[attr-defined]
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


class Rewound(io.RawIOBase):
    """A stream with bytes that were read ahead put back in front; works on pipes."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = memoryview(head)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self._head:
            count = min(len(view), len(self._head))
            view[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        return cast("int", self._stream.readinto(view))  # type: ignore[attr-defined]

    def close(self) -> None:
        self._stream.close()
        super().close()
