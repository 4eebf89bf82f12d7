"""Compiled kernels as bytes: the object files that numba builds, and the files that keep them.

numba compiles a kernel to an object file; llvmlite, the part of numba that holds LLVM, can load such a file by itself
in a few milliseconds, while importing numba and loading its own cache takes half a second. So each kernel's object is
kept in a file of its own, named by everything that decides the machine code (see ``naming``).
"""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from auditor.machine import trust, writing

FOLDER = "traffic-auditor"


class KernelObject(NamedTuple):
    """A compiled kernel: the object file that holds it, its name in there, and how many numbers it returns."""

    code: bytes
    symbol: str
    results: int


def pack(objects: dict[str, KernelObject]) -> bytes:
    """Compiled kernels by name as one run of bytes: a line that says what is where, then the object files."""
    body = b"".join(compiled.code for compiled in objects.values())
    listed = [(name, compiled.symbol, compiled.results, len(compiled.code)) for name, compiled in objects.items()]
    header = json.dumps({"sha256": hashlib.sha256(body).hexdigest(), "kernels": listed}).encode()
    return header + b"\n" + body


def unpack(packed: bytes) -> dict[str, KernelObject]:
    """The compiled kernels of ``pack``; empty where the bytes are not whole."""
    header, _, body = packed.partition(b"\n")
    objects, at = {}, 0
    try:
        listed = json.loads(header)
        if hashlib.sha256(body).hexdigest() != listed["sha256"]:
            return {}
        for name, symbol, results, length in listed["kernels"]:
            objects[name] = KernelObject(body[at : at + length], symbol, results)
            at += length
    except (ValueError, KeyError, TypeError):
        return {}
    return objects


def _candidates() -> list[Path]:
    """Where machine code may be kept, the best first: where the user says, or where caches belong."""
    named = os.environ.get("AUDITOR_CACHE_DIR")
    if named:
        return [Path(named).expanduser().absolute() / FOLDER]
    shared = os.environ.get("XDG_CACHE_HOME", "")
    home = Path("~/.cache").expanduser()
    candidates = [Path(shared) if Path(shared).is_absolute() else home]
    if os.geteuid() == 0:  # sudo may have kept the home of another user, which is not trusted
        candidates += [Path("~root/.cache").expanduser(), Path("/var/cache")]
    return [candidate / FOLDER for candidate in candidates]


def folder(*, make: bool = False) -> Path:
    """The folder that keeps machine code, created on request. Raises UntrustedError where none can be trusted."""
    try:
        candidates = _candidates()
    except RuntimeError:
        raise trust.UntrustedError("there is no home folder") from None
    refused: list[trust.UntrustedError] = []
    for candidate in candidates:
        try:
            return trust.folder(candidate, make=make)
        except trust.UntrustedError as error:
            refused.append(error)
    raise refused[0]


def why_not_kept() -> str | None:
    """Why machine code cannot be kept; None if it can."""
    try:
        place = folder()
    except trust.UntrustedError as error:
        return str(error)
    while not place.exists():
        place = place.parent
    return None if os.access(place, os.W_OK) else f"{place} is not writable"


def load(names: list[str]) -> dict[str, KernelObject]:
    """The kept machine code of these names, as far as there is any that nobody else can have written."""
    loaded: dict[str, KernelObject] = {}
    try:
        place = folder()
    except trust.UntrustedError:
        return loaded
    for name in names:
        kept = unpack(trust.read(place / name))
        if name in kept:
            loaded[name] = kept[name]
    return loaded


def store(objects: dict[str, KernelObject]) -> None:
    """Keep machine code for ``load``. What cannot be written only costs time at the next start."""
    try:
        place = folder(make=True)
        writing.remove_left(place)
        for name, compiled in objects.items():
            trust.write(place / name, pack({name: compiled}))
    except (trust.UntrustedError, OSError):
        pass
