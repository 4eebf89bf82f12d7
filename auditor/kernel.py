"""The one decorator of the compiled kernels, and where their machine code is cached.

Kernels take arrays and return arrays. Bounds checks stay on because the bytes come from a hostile network, and the
GIL is released so that reading, hashing and importing go on beside them. With ``NUMBA_DISABLE_JIT=1`` the same code
runs as plain Python.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import config
from numba.core.registry import cpu_target

_CONTEXT: Any = cpu_target.target_context
F = TypeVar("F", bound=Callable[..., Any])

PACKAGE = Path(__file__).parent


def _source_digest() -> str:
    """A digest of everything that decides the machine code: the kernels' sources, numba and Python.

    numba itself looks only at the file of the outermost function, so a change in a callee of another file would run
    stale code; a directory of its own for each state of the sources rules that out.
    """
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for file in sorted(PACKAGE.rglob("*.py")):
        source = file.read_bytes()
        if b"auditor.kernel import" in source or file.name in ("kernel.py", "layers.py", "state.py", "packet.py"):
            digest.update(file.name.encode() + b"\0" + source)
    return digest.hexdigest()[:16]


def _cache_root() -> Path:
    """The user's cache directory, or a private temporary one where the home is not writable."""
    named = os.environ.get("AUDITOR_CACHE_DIR")
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    for root in (Path(named or base).expanduser(), Path(tempfile.gettempdir()) / f"traffic-auditor-{_user_id()}"):
        try:
            directory = root / "traffic-auditor"
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (OSError, RuntimeError):
            continue
        # Cached machine code is executed: a directory that somebody else owns must not be believed.
        if os.access(directory, os.W_OK) and directory.stat().st_uid == _user_id():
            return directory
    return Path(tempfile.mkdtemp(prefix="traffic-auditor-"))


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _prepare_cache() -> Path:
    if config.CACHE_DIR:  # the user's own NUMBA_CACHE_DIR goes first
        return Path(config.CACHE_DIR)
    directory = _cache_root() / f"kernels-{_source_digest()}"
    config.CACHE_DIR = str(directory)
    return directory


CACHE = _prepare_cache()
_READY = CACHE / "ready"


def compiled_before() -> bool:
    """Whether the kernels' machine code is on disk already (or no machine code is used at all)."""
    return bool(config.DISABLE_JIT) or _READY.exists()


def mark_compiled() -> None:
    """Remember that a whole run has been compiled; a cache that cannot be written only costs time."""
    if compiled_before():
        return
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        _READY.touch()
    except OSError:
        pass


@contextmanager
def quick_loading() -> Iterator[None]:
    """Inside, kernels load from the cache without numba's registries, which takes a quarter of a second less.

    numba fills its registries before it loads anything, but only compiling needs them: a kernel that has to be
    compiled after all fills them first (see ``kernel``).
    """
    if compiled_before() and not config.DISABLE_JIT:
        _CONTEXT.refresh = lambda: None
    try:
        yield
    finally:
        _fill_registries_as_always()


def _fill_registries_as_always() -> None:
    vars(_CONTEXT).pop("refresh", None)


def kernel(function: F) -> F:
    """Compile ``function`` on first use, cached on disk: for what Python calls."""
    if config.DISABLE_JIT:  # numbers wrap around in machine code, and warn in plain Python
        return cast("F", np.errstate(over="ignore")(function))
    dispatcher = numba.njit(cache=True, boundscheck=True, nogil=True, _nrt=False)(function)
    compiling = dispatcher._compiler.compile  # noqa: SLF001 - numba has no public place for this

    def compile_after_all(*arguments: Any) -> Any:
        _fill_registries_as_always()
        return compiling(*arguments)

    dispatcher._compiler.compile = compile_after_all  # noqa: SLF001
    return cast("F", dispatcher)


def part(function: F) -> F:
    """Compile ``function`` as a part of the kernels that call it; Python can call it only without the compiler."""
    return cast(
        "F",
        numba.njit(boundscheck=True, nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function),
    )


def inlined(function: F) -> F:
    """As ``part``, and its machine code is put into its callers: for what runs once a byte or once a packet."""
    return cast(
        "F",
        numba.njit(
            boundscheck=True, nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True
        )(function),
    )


def unchecked(function: F) -> F:
    """As ``inlined``, without bounds checks: for copying loops that check their whole range first."""
    return cast(
        "F",
        numba.njit(
            boundscheck=False, nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True
        )(function),
    )
