"""Arrays and plain values in one file, packed: what an audit keeps of its work between two runs, or hands to another process.

A file may be somebody else's, so nothing in it is code (no pickle): it begins with a header in JSON, arrays of layouts
that the reader names follow, and the SHA-256 of all of it ends it, by which it is known. Raises nothing but OSError and
``RefusedError``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor.border import gate
from auditor.border.gate import RefusedError
from auditor.data import __version__
from auditor.machine import writing

Array = np.ndarray[Any, Any]
MAGIC = b"AUDITOR1"
CODEC, LEVEL = "zstd", 1  # as small as it gets by bytes of records one after the other, and faster than they come
LENGTH = 8  # bytes of the header's length
LARGEST_HEADER = 256 << 20
LARGEST = 2 << 30  # bytes that a file may unpack to, unless its reader says more


@dataclass(frozen=True)
class Packed:
    """What a file holds: values that JSON has, and arrays by name."""

    values: Mapping[str, Any]
    arrays: Mapping[str, Array]


def layout(dtype: np.dtype[Any]) -> str:
    """A digest of a record's fields, which a file and its reader have to agree on."""
    return hashlib.sha256(repr(np.dtype(dtype).descr).encode()).hexdigest()[:16]


def write(path: Path, kind: str, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Write a file of a ``kind``, whole or not at all; its SHA-256."""
    import pyarrow as pa

    codec = pa.Codec(CODEC, LEVEL)
    listed, bodies = [], []
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array).view(np.ndarray)
        raw = plain.reshape(-1).view(np.uint8)
        body = codec.compress(raw.data) if len(raw) else b""
        bodies.append(body)
        listed.append([name, layout(plain.dtype), list(plain.shape), len(body)])
    header = json.dumps({"kind": kind, "product": __version__, "values": dict(values), "arrays": listed}).encode()
    digest = hashlib.sha256()
    with writing.replaced(path, durable=False) as file:
        for part in (MAGIC, len(header).to_bytes(LENGTH, "little"), header, *bodies):
            digest.update(part)
            file.write(part)
        file.write(digest.digest())
    return digest.hexdigest()


def read(
    path: Path, kind: str, layouts: Mapping[str, Any], digest: str | None = None, *, most: int = LARGEST
) -> Packed:
    """What a file of a ``kind`` holds: the arrays of ``layouts``, in which each has as many dimensions as written.

    ``digest``: what the file's SHA-256 has to be; ``most``: bytes that it may unpack to.
    """
    data = gate.content(path, most)
    body, said = data[: -hashlib.sha256().digest_size], data[-hashlib.sha256().digest_size :]
    if not body.startswith(MAGIC):
        raise RefusedError("no file that an audit kept")
    actual = hashlib.sha256(body)
    if actual.digest() != said or digest not in (None, actual.hexdigest()):
        raise RefusedError("damaged: its SHA-256 is another one")
    begin = len(MAGIC) + LENGTH
    end = begin + int.from_bytes(body[len(MAGIC) : begin], "little")
    if end > min(len(body), LARGEST_HEADER):
        raise RefusedError("damaged: its header does not end")
    header = gate.from_json(body[begin:end], unique=True)
    _check(header, kind)
    return Packed(header["values"], _arrays(header["arrays"], memoryview(body)[end:], layouts, most))


def _check(header: Any, kind: str) -> None:
    """Raise RefusedError for a header of another kind of file, or of another version."""
    fits = (
        isinstance(header, dict) and isinstance(header.get("values"), dict) and isinstance(header.get("arrays"), list)
    )
    if not fits or header.get("kind") != kind:
        raise RefusedError(f"does not hold a {kind}")
    if header.get("product") != __version__:
        raise RefusedError("was kept by another version")


def _arrays(listed: list[Any], bodies: memoryview, layouts: Mapping[str, Any], most: int) -> dict[str, Array]:
    """The arrays that a header lists, which have to be those of ``layouts``."""
    import pyarrow as pa

    codec, arrays, at = pa.Codec(CODEC), {}, 0
    for entry in listed:
        name, said, shape, size = _entry(entry)
        if name not in layouts or name in arrays:
            raise RefusedError("damaged: it lists what it should not hold")
        dtype = np.dtype(layouts[name])
        if said != layout(dtype):
            raise RefusedError(f"was kept by another version: its {name} are laid out in another way")
        count = 1
        for one in shape:
            count *= one
        most -= count * dtype.itemsize
        if most < 0:
            raise RefusedError("unpacks to more than may be read")
        arrays[name] = _array(codec, bodies[at : at + size], dtype, count).reshape(shape)
        at += size
    if missing := set(layouts).difference(arrays):
        raise RefusedError(f"damaged: it lacks its {min(missing)}")
    return arrays


def _entry(entry: Any) -> tuple[str, str, list[int], int]:
    """Name, layout, shape and packed size of an array that a header lists."""
    if not isinstance(entry, list) or len(entry) != len(("name", "layout", "shape", "size")):
        raise RefusedError("damaged: its list of arrays is none")
    name, said, shape, size = entry
    numbers = [*shape, size] if isinstance(shape, list) else [None]
    whole = all(isinstance(one, int) and one >= 0 for one in numbers)
    if not isinstance(name, str) or not isinstance(said, str) or not shape or not whole:
        raise RefusedError("damaged: its list of arrays is none")
    return name, said, shape, size


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
