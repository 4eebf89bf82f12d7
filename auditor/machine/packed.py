"""Arrays and plain values in files, packed: what an audit keeps of its work between two runs, or hands to another process.

A file may be somebody else's, so nothing in it is code (no pickle). It has records one behind the other: each begins with
a header in JSON, arrays of layouts that the reader names follow, and its SHA-256 ends it, by which it is known. Raises
nothing but OSError and ``RefusedError``.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from auditor.border import gate
from auditor.border.gate import RefusedError
from auditor.border.words import by_version
from auditor.data import __version__
from auditor.errors import AuditError
from auditor.machine import memory, writing
from auditor.machine.memory import Ceiling

Array = np.ndarray[Any, Any]
MAGIC = b"AUDITOR1"
# Raised where what is kept has another meaning than before, though its layout is the same and no version came between:
# numbers of protocols and of reasons, values of headers, the order of what is listed.
FORMAT = 6
CODEC, LEVEL = "zstd", 1  # as small as it gets by bytes of records one after the other, and faster than they come
AT_ONCE = 1 << 20  # bytes; of more, copies on the way would add up
LENGTH = 8  # bytes of the header's length
DIGEST = 32
# What comes up where a file is whole, and what is in it is not what an audit writes.
DAMAGED = (AuditError, RefusedError, OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
HEADER = 8  # how many times a header's bytes it takes in memory
OTHER_DIGEST = "damaged: its SHA-256 is another one"
TOO_LARGE = "takes more memory than there is: give --memory a larger size"


class OtherVersionError(RefusedError):
    """What another version of the auditor has kept, which may mean something else."""


class Cleaned(NamedTuple):
    """Rows of which each piece is cleaned as it is written: nobody needs a second copy of all of them."""

    rows: Array
    clean: Callable[[Array], object]

    def pieces(self) -> Iterator[Array]:
        """Copies of the rows, one behind the other."""
        step = max(1, AT_ONCE // self.rows.itemsize)
        for at in range(0, len(self.rows), step):
            piece = self.rows[at : at + step].copy()
            self.clean(piece)
            yield piece


class Packed(NamedTuple):
    """What a record holds: values that JSON has, and arrays by name."""

    values: Mapping[str, Any]
    arrays: Mapping[str, Array]


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Where a record lies in its file, and what its header says."""

    kind: str
    values: Mapping[str, Any]
    listed: list[Any]  # its arrays
    begin: int
    bodies: int  # where the arrays begin
    end: int

    @property
    def place(self) -> "Record":
        """The record by its kind and place alone: there may be many, and ``load`` reads the header again."""
        return replace(self, values={}, listed=[])


def layout(dtype: np.dtype[Any]) -> str:
    """A digest of a record's fields, which a file and its reader have to agree on."""
    return hashlib.sha256(repr(np.dtype(dtype).descr).encode()).hexdigest()[:16]


def encoded(kind: str, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[Any]:
    """A record of a ``kind``, as the bytes to be written one behind the other; the last of them are its SHA-256."""
    return assembled(kind, values, compressed(arrays))


def compressed(arrays: Mapping[str, "Array | Cleaned"]) -> list[tuple[list[Any], Any]]:
    """Arrays as they go into a record, which may be made later: what its header says of each, and its bytes."""
    packed = []
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array.rows if isinstance(array, Cleaned) else array).view(np.ndarray)
        pieces = array.pieces() if isinstance(array, Cleaned) else [plain]
        body = _compressed((piece.reshape(-1).view(np.uint8) for piece in pieces), plain.nbytes)
        packed.append(([name, layout(plain.dtype), list(plain.shape), len(body)], body))
    return packed


def _compressed(pieces: Iterable[Array], size: int) -> Any:
    import pyarrow as pa

    if not size:
        return b""
    if size <= AT_ONCE:
        (whole,) = pieces
        return pa.Codec(CODEC, LEVEL).compress(whole.data)
    out = pa.BufferOutputStream()  # Arrow's codec takes as much memory again at one time
    with pa.CompressedOutputStream(out, CODEC) as stream:
        for raw in pieces:
            for at in range(0, len(raw), AT_ONCE):
                stream.write(raw[at : at + AT_ONCE].data)
    return out.getvalue()


def assembled(kind: str, values: Mapping[str, Any], packed: Sequence[tuple[list[Any], Any]]) -> list[Any]:
    """A record of a ``kind``, of arrays that are packed already."""
    listed, bodies = [one for one, _ in packed], [body for _, body in packed]
    stated = {"kind": kind, "product": __version__, "format": FORMAT, "values": dict(values), "arrays": listed}
    header = json.dumps(stated, default=int).encode()  # numpy's whole numbers, which kernels return as plain Python
    parts = [MAGIC, len(header).to_bytes(LENGTH, "little"), header, *bodies]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return [*parts, digest.digest()]


def write(path: Path, kind: str, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Write a file of one record, whole or not at all; its SHA-256. Raises OSError."""
    parts = encoded(kind, values, arrays)
    with writing.replaced(path, durable=False) as file:
        for part in parts:
            file.write(part)
    return bytes(parts[-1]).hex()


def room(ceiling: Ceiling | None = None) -> int:
    """Bytes that a record may have, and unpack to: what is left of the memory when everything is loaded."""
    return (memory.ceiling() if ceiling is None else ceiling).part(100)


def records(file: BinaryIO, begin: int = 0, *, most: int | None = None) -> Iterator[Record]:
    """The records of a file from ``begin`` on, by their headers; what is behind the last whole one is passed over.

    ``most`` is that of ``load``.
    """
    size, most = file.seek(0, 2), room() if most is None else most
    while begin < size:
        file.seek(begin)
        head = file.read(len(MAGIC) + LENGTH)
        if not head.startswith(MAGIC):
            raise RefusedError("no file that an audit kept")
        length = int.from_bytes(head[len(MAGIC) :], "little")
        bodies = begin + len(head) + length
        if len(head) < len(MAGIC) + LENGTH or bodies > size:
            return
        if length * HEADER > most:
            raise RefusedError(TOO_LARGE)
        header = gate.from_json(file.read(length), unique=True)
        kind, values, listed = _parts(header)
        end = bodies + sum(_entry(entry)[3] for entry in listed) + DIGEST
        if end > size:
            return
        yield Record(kind, values, listed, begin, bodies, end)
        begin = end


def digest_of(file: BinaryIO, record: Record) -> bytes:
    """The SHA-256 that a record says it has, which ``load`` compares."""
    file.seek(record.end - DIGEST)
    return file.read(DIGEST)


def sha256_of(file: BinaryIO, begin: int, end: int) -> bytes:
    """The SHA-256 that the record there has."""
    file.seek(begin)
    actual, left = hashlib.sha256(), end - DIGEST - begin
    while left > 0 and (piece := file.read(min(left, AT_ONCE))):
        actual.update(piece)
        left -= len(piece)
    return actual.digest()


def load(
    file: BinaryIO, record: Record, layouts: Mapping[str, Any], digest: str | None = None, *, most: int | None = None
) -> Packed:
    """What a record holds, which has to have the arrays of ``layouts``.

    ``digest``: what its SHA-256 has to be; ``most``: bytes that it may have, and unpack to, ``room`` without it.
    """
    most = room() if most is None else most
    if record.end - record.begin > most:
        raise RefusedError(TOO_LARGE)
    file.seek(record.begin)
    data = memoryview(file.read(record.end - record.begin))
    actual = hashlib.sha256(data[:-DIGEST])
    if actual.digest() != data[-DIGEST:] or digest not in (None, actual.hexdigest()):
        raise RefusedError(OTHER_DIGEST)
    bodies = record.bodies - record.begin
    _, values, listed = _parts(gate.from_json(bytes(data[len(MAGIC) + LENGTH : bodies]), unique=True))
    return Packed(values, _arrays(listed, data[bodies:], layouts, most))


def read(
    path: Path, kind: str, layouts: Mapping[str, Any], digest: str | None = None, *, most: int | None = None
) -> Packed:
    """What a file of one record holds, which has to be of a ``kind``; the rest is as for ``load``."""
    with gate.opened(path) as file:
        found = next(records(file, most=most), None)
        if found is None or found.end != file.seek(0, 2):
            raise RefusedError("damaged: it is not whole")
        if found.kind != kind:
            raise RefusedError(f"does not hold a {kind}")
        return load(file, found, layouts, digest, most=most)


def _parts(header: Any) -> tuple[str, dict[str, Any], list[Any]]:
    """Kind, values and list of arrays of a header. Raises RefusedError for one of another version."""
    fits = (
        isinstance(header, dict) and isinstance(header.get("values"), dict) and isinstance(header.get("arrays"), list)
    )
    if not fits or not isinstance(header.get("kind"), str):
        raise RefusedError("damaged: a header is none")
    if (header.get("product"), header.get("format")) != (__version__, FORMAT):
        raise OtherVersionError(f"was kept {by_version(header.get('product'), __version__)}")
    return header["kind"], header["values"], header["arrays"]


def _arrays(listed: list[Any], bodies: memoryview, layouts: Mapping[str, Any], most: int) -> dict[str, Array]:
    """The arrays that a header lists, which have to be those of ``layouts``."""
    import pyarrow as pa

    codec, arrays, at = pa.Codec(CODEC), {}, 0
    for entry in listed:
        name, laid_out, shape, size = _entry(entry)
        if name not in layouts or name in arrays:
            raise RefusedError("damaged: it lists what it should not hold")
        dtype = np.dtype(layouts[name])
        if laid_out != layout(dtype):
            raise OtherVersionError(
                f"was kept {by_version(__version__, __version__)}: its {name} are laid out in another way"
            )
        count = 1
        for one in shape:
            count *= one
        most -= count * dtype.itemsize
        if most < 0:
            raise RefusedError(TOO_LARGE)
        arrays[name] = _array(codec, bodies[at : at + size], dtype, count).reshape(shape)
        at += size
    if missing := set(layouts).difference(arrays):
        raise RefusedError(f"damaged: it lacks its {min(missing)}")
    return arrays


def _entry(entry: Any) -> tuple[str, str, list[int], int]:
    """Name, layout, shape and packed size of an array that a header lists."""
    if not isinstance(entry, list) or len(entry) != len(("name", "layout", "shape", "size")):
        raise RefusedError("damaged: its list of arrays is none")
    name, laid_out, shape, size = entry
    numbers = [*shape, size] if isinstance(shape, list) else [None]
    whole = all(isinstance(one, int) and one >= 0 for one in numbers)
    if not isinstance(name, str) or not isinstance(laid_out, str) or not shape or not whole:
        raise RefusedError("damaged: its list of arrays is none")
    return name, laid_out, shape, size


def _array(codec: Any, body: memoryview, dtype: np.dtype[Any], count: int) -> Array:
    """An array of its own, which may be written to."""
    import pyarrow as pa

    array = np.zeros(count, dtype)
    if count:
        try:
            raw = codec.decompress(body, array.nbytes)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RefusedError("damaged: an array cannot be unpacked") from error
        if raw.size != array.nbytes:
            raise RefusedError("damaged: an array is shorter than its header says")
        array.view(np.uint8)[:] = np.frombuffer(raw, np.uint8)
    return array
