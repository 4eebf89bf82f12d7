"""Compressed captures: recognised by their first bytes, opened as a stream of the bytes inside."""

import bz2
import contextlib
import errno
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from auditor.border import gate
from auditor.capture import folders
from auditor.capture.blocks import WALKS, PackedBlocks
from auditor.capture.rescue import Rescuer
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
TAKEN = 1 << 12  # packed bytes at a time: 1 KiB of zstd's may be 32 MiB of one repeated byte
LARGEST_WINDOW = (
    1 << 27
)  # bytes of what was unpacked that the rest may repeat: a tiny file must not make us take gigabytes
LONGEST_MAGIC = 6
MOST_PACKINGS = 3  # of a capture, one inside another
LARGEST = 4 << 30  # bytes of a file that is read as a whole
MIB = 1 << 20
MOST_GROWTH = 1000  # times what is packed that a capture may be, at least as soon as it is larger than …
FREE_GROWTH = 8 << 30  # … so many bytes: a few KiB packed in each other become more than anybody can wait for
LARGER = "give --memory a larger size, or a smaller file"

# What the decompressors raise on damaged or cut input. zstandard and lz4 have errors of their own, both of them
# derived from these or named in ``damage``.
DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, RuntimeError, ValueError)


def is_skippable(head: bytes) -> bool:
    """Whether a frame begins here that zstd and lz4 pass over (RFC 8878 3.1.2), as a table of places in what is packed."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50


def compression_of(head: bytes) -> str | None:
    """The name of the compression that ``head`` begins with, or None."""
    if is_skippable(head):
        return "zstd"
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)


class Unpacker(Protocol):
    """A decompressor of one packed file, as those of the standard library are: some of its bytes at a time."""

    @property
    def eof(self) -> bool:
        """Whether the packed file's end was reached."""
        ...

    @property
    def unused_data(self) -> bytes | None:
        """What was given behind it."""
        ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """What the next packed bytes become."""
        ...


def _zstd() -> Any:
    return importlib.import_module("zstandard").ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()


def _lzma(form: int) -> Any:
    return lzma.LZMADecompressor(form, memlimit=LARGEST_WINDOW + MIB)


def _lz4() -> Any:
    return importlib.import_module("lz4.frame").LZ4FrameDecompressor()


GZIP_HEADER = 16 + zlib.MAX_WBITS  # of zlib's parameter: a header and a checksum as gzip has them
UNPACKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(GZIP_HEADER),
    "deflate": lambda: zlib.decompressobj(-zlib.MAX_WBITS),  # as in ZIP archives, without a header
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: _lzma(lzma.FORMAT_XZ),
    "lzma": lambda: _lzma(lzma.FORMAT_ALONE),  # as in ZIP archives
    "zstd": _zstd,
    "lz4": _lz4,
}


def unpacker(name: str) -> Unpacker:
    """What unpacks the compression ``name``. Raises InputError when the library for it is not installed."""
    try:
        return Rescuer(UNPACKERS[name], damage(), PackedBlocks(name) if name in WALKS else None)
    except ImportError as error:
        raise InputError(f"reading {name} needs the Python package {error.name}: pip install {error.name}") from error


class Members(io.RawIOBase):
    """The bytes inside a row of packed files that were joined with cat, and as they are those of what is not packed behind.

    It gives what one step of unpacking yields: of packed data that is cut short, all before the cut. Buffered reads try
    to fill the buffer, and lose what is in it where that fails.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._unpacker: Unpacker | None = unpacker(name)  # None between packed files
        self._packed = b""
        self._gave = False  # whether the last step gave something: more may come of what was taken
        self._ready = memoryview(b"")
        self._is_plain = False
        self._taken = self._given = 0  # bytes

    @property
    def taken(self) -> int:
        """The packed bytes that were taken, where these come out of packed ones themselves the outermost."""
        outer: int | None = getattr(self._stream, "taken", None)
        return self._taken if outer is None else outer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as one step goes; 0 at the end. Raises EOFError where that is inside a packed file."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._ready and self._advance():
            continue
        data, self._ready = self._ready[: len(view)], self._ready[len(view) :]
        self._given += len(data)
        if self._given > FREE_GROWTH and self._given > MOST_GROWTH * self.taken:
            raise OSError(errno.EFBIG, f"it becomes more than {MOST_GROWTH:,} times as much; unpack it first")
        view[: len(data)] = data
        return len(data)

    def _take(self) -> bytes:
        data = self._stream.read(TAKEN)
        self._taken += len(data)
        return data

    def _advance(self) -> bool:
        """Unpack some more; False at the end."""
        if self._is_plain:
            self._ready = memoryview(self._take())
            return bool(self._ready)
        if self._unpacker is None:
            return self._begin_next()
        if not self._packed and not self._gave:
            self._packed = self._take()
            if not self._packed:
                raise EOFError("the compressed data ends before its end mark")
        one = self._unpacker
        # The library of zstd has no limit for what comes out of one call.
        data = one.decompress(self._packed) if self._name == "zstd" else one.decompress(self._packed, STEP)
        self._ready, self._gave = memoryview(data), bool(data)
        rest = one.unused_data if one.eof else getattr(one, "unconsumed_tail", b"")
        self._packed = rest or b""
        if one.eof:
            self._unpacker, self._gave = None, False
        return True

    def _begin_next(self) -> bool:
        """What is behind a packed file: zeros that fill it up, another one, or something that is not packed."""
        while len(self._packed) < LONGEST_MAGIC:
            more = self._take()
            self._packed = (self._packed + more).lstrip(b"\0")
            if not more:
                break
        self._packed = self._packed.lstrip(b"\0")
        if not self._packed:
            return False
        packing = self._name if is_skippable(self._packed) else compression_of(self._packed)
        if packing is None:
            self._is_plain, self._ready, self._packed = True, memoryview(self._packed), b""
        else:
            self._name, self._unpacker = packing, unpacker(packing)
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_compressed(stream: BinaryIO, name: str) -> BinaryIO:
    """A stream of the bytes inside ``stream``, which begins with the magic of compression ``name``.

    Raises InputError when the library for it is not installed.
    """
    return cast("BinaryIO", Members(stream, name))


def damage() -> tuple[type[BaseException], ...]:
    """The exception types that mean damaged compressed input, or no file."""
    kinds: list[type[BaseException]] = [*DAMAGE, gate.RefusedError]
    with contextlib.suppress(ImportError):
        kinds.append(importlib.import_module("zstandard").ZstdError)
    return tuple(kinds)


def unpacked(path: Path, most: int | None = None, largest: int = LARGEST) -> bytes:
    """The bytes of a file, packed or not, or the first ``most`` of them. Raises InputError naming the file.

    What grows beyond ``largest`` is refused: a small packed file must not take all memory.
    """
    largest = min(largest, LARGEST)
    if (refusal := folders.refusal(path)) is not None:
        raise InputError(f"{shown(path)}: {refusal}")
    try:
        with gate.opened(path) as file:
            packing = compression_of(file.read(LONGEST_MAGIC))
            file.seek(0)
            data = _read(open_compressed(file, packing) if packing else file, largest + 1 if most is None else most)
    except damage() as error:
        raise InputError(f"{shown(path)}: {getattr(error, 'strerror', None) or error}") from error
    if most is None and len(data) > largest:
        raise InputError(f"{shown(path)}: more than {largest / MIB:,.0f} MiB when unpacked; {LARGER}")
    return data


def streamed(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a file, packed or not, ``size`` at a time. Raises InputError naming the file."""
    if (refusal := folders.refusal(path)) is not None:
        raise InputError(f"{shown(path)}: {refusal}")
    try:
        with gate.opened(path) as file:
            packing = compression_of(file.read(LONGEST_MAGIC))
            file.seek(0)
            stream = open_compressed(file, packing) if packing else file
            while part := _read(stream, size):
                yield part
    except damage() as error:
        raise InputError(f"{shown(path)}: {getattr(error, 'strerror', None) or error}") from error


def allowed(path: Path, allowance: Allowance, factor: int) -> bytes:
    """All of a file of which each byte becomes about ``factor`` bytes of memory, where so much is left."""
    data = unpacked(path, largest=allowance.most(factor))
    allowance.take(factor * len(data))
    return data


def beginning(path: Path, size: int) -> bytes:
    """The first bytes of a file, of what is inside where it is packed, also more than once. Raises InputError naming the file."""
    try:
        with gate.opened(path) as file:
            return beginning_of_stream(file, size)
    except damage() as error:
        raise InputError(f"{shown(path)}: {getattr(error, 'strerror', None) or error}") from error


def beginning_of_stream(stream: BinaryIO, size: int) -> bytes:
    """The first bytes of a stream, likewise. Raises what ``damage`` lists."""
    head = _read(stream, size)
    for _ in range(MOST_PACKINGS):
        if (packing := compression_of(head)) is None:
            break
        stream = open_compressed(cast("BinaryIO", Rewound(head, stream)), packing)
        head = _read(stream, size)
    return head


def plain(stream: BinaryIO) -> tuple[BinaryIO, bool]:
    """The bytes inside a stream that may be packed, and whether it is. Raises what ``damage`` lists."""
    is_packed = False
    for _ in range(MOST_PACKINGS):
        head = _read(stream, LONGEST_MAGIC)
        stream, packing = cast("BinaryIO", Rewound(head, stream)), compression_of(head)
        if packing is None:
            break
        stream, is_packed = open_compressed(stream, packing), True
    return stream, is_packed


def _read(stream: BinaryIO, most: int) -> bytes:
    """The first ``most`` bytes of a stream, whose ``read`` may give fewer at a time; all where it has no more."""
    parts: list[bytes] = []
    while most > 0 and (part := stream.read(most)):
        parts.append(part)
        most -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Rewound(io.RawIOBase):
    """A stream with bytes that were read ahead put back in front; works on pipes."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = memoryview(head)
        self._stream = stream

    @property
    def taken(self) -> int | None:
        """What ``Members.taken`` is, behind the head."""
        return getattr(self._stream, "taken", None)

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
