"""The decorators of the compiled kernels: what Python calls, and the pieces that kernels are made of.

Kernels take arrays and whole numbers and return whole numbers. Bounds checks stay on because the bytes come from a
hostile network, and the GIL is released so that reading, hashing and importing go on beside them.

There are three ways to run them. The first time, numba compiles each kernel (``machine_code``), and its machine code is
kept in a file. From then on only that file is loaded: numba is not even imported, which takes half a second less.
With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from auditor.machine import objects

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
COMPILED = {} if PLAIN else objects.load()
_COMPILING = not PLAIN and not COMPILED


def compiled_before() -> bool:
    """Whether the kernels' machine code is on disk already (or no machine code is used at all)."""
    return not _COMPILING


def _piece(function: F, **options: bool) -> F:
    if not _COMPILING:
        return function
    import numba

    made = numba.njit(nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
    return cast("F", made)


def kernel(function: F) -> F:
    """What Python calls. Arguments are arrays, whole numbers, and named tuples of them; the result whole numbers."""
    if PLAIN:  # numbers wrap around in machine code, and warn in plain Python
        return cast("F", np.errstate(over="ignore")(function))
    name = f"{function.__module__}.{function.__name__}"
    source = None if COMPILED else _piece(function, boundscheck=True)
    return cast("F", objects.Native(name, COMPILED.get(name), source))


def part(function: F) -> F:
    """A piece of the kernels that call it; Python can call it only where nothing is compiled."""
    return _piece(function, boundscheck=True)


def inlined(function: F) -> F:
    """As ``part``, and its machine code is put into its callers: for what runs once a byte or once a packet."""
    return _piece(function, boundscheck=True, forceinline=True)


def unchecked(function: F) -> F:
    """As ``inlined``, without bounds checks: for copying loops that check their whole range first."""
    return _piece(function, boundscheck=False, forceinline=True)
