"""The name of a kernel's machine code: a digest of everything that decides it.

That is the kernel's signature, its code and that of every piece it calls, directly or not, how each is compiled, and
the constants that they name, in whichever module these stand: what numba itself reads, looked up as numba does, by the
names in the code of the functions. Besides, what compiles: numba, LLVM, numpy, Python and the processor. Docstrings,
comments and places of lines decide nothing. Nothing is read again from the sources, so the digest is of the very code
that runs, and takes a few milliseconds.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from auditor.machine import compiling
from auditor.machine.signature import Layout, Parameter, describe

PACKAGE = __name__.partition(".")[0]
Options = Mapping[str, bool]  # of numba.njit
Pieces = Mapping[FunctionType, Options]
NAMED = (FunctionType, ModuleType)  # what is described apart, or by what is used of it


def _numba_version_file() -> bytes:
    """The file of numba's that states its version; empty where there is none."""
    spec = importlib.util.find_spec("numba")
    if spec is None or spec.origin is None:
        return b""
    try:
        return Path(spec.origin).with_name("_version.py").read_bytes()
    except OSError:
        return b""


def numba_version() -> str:
    """The version of numba, without importing it; ``importlib.metadata`` would take a hundredth of a second."""
    match = re.search(rb'"version": "([^"]+)"', _numba_version_file())
    if match is None:
        from importlib.metadata import version

        return version("numba")
    return match[1].decode()


def _code(code: CodeType, docstring: str | None = None) -> bytes:
    """What a function's code does, without where it stands in its file."""
    constants = list(code.co_consts)
    if docstring is not None and constants[0] == docstring:
        constants[0] = None  # as where there is none
    nested = [_code(constant) for constant in constants if isinstance(constant, CodeType)]
    plain = [constant for constant in constants if not isinstance(constant, CodeType)]
    variables = (code.co_varnames, code.co_cellvars, code.co_freevars, code.co_argcount, code.co_kwonlyargcount)
    described = repr((code.co_name, code.co_names, code.co_flags, variables, plain))
    return b"\0".join((code.co_code, code.co_exceptiontable, described.encode(), *nested))


def _function(function: FunctionType) -> bytes:
    defaults = repr((function.__defaults__, function.__kwdefaults__))
    return _code(function.__code__, function.__doc__) + defaults.encode()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _names(value)


def _meaning(value: Any) -> str:
    """A global variable's value as text: constants that numba takes by their value, anything else by its name."""
    kind = type(value)
    if kind is int:  # most of them, and most others are pieces and modules
        return f"int {value}"
    if kind in NAMED:
        return _name_of(value)
    if isinstance(value, tuple):
        return f"{type(value).__name__} {[_meaning(item) for item in value]}"
    if isinstance(value, np.ndarray):
        return f"{Layout(value.dtype, value.ndim)} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, np.dtype):
        return repr(Layout(value))
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic) or value is None:
        return f"{type(value).__name__} {value!r}"
    return _name_of(value)


def _name_of(value: Any) -> str:
    return f"{getattr(value, '__module__', '')} {getattr(value, '__qualname__', type(value).__name__)}"


def globals_read(function: FunctionType) -> dict[str, Any]:
    """What the names in a function's code mean: its global variables, and those of our modules that it names.

    The names of fields are looked up too, since code does not keep them apart: one too many changes no meaning.
    """
    here = function.__globals__
    names = sorted(set(_names(function.__code__)))
    read = {name: here[name] for name in names if name in here}
    for alias, module in list(read.items()):
        if type(module) is ModuleType and module.__name__.partition(".")[0] == PACKAGE:
            there = vars(module)
            read |= {f"{alias}.{name}": there[name] for name in names if name in there}
    return read


@cache
def _compiler() -> bytes:
    """All that compiles: this machine, the libraries, and how we call them."""
    import llvmlite.binding as llvm

    libraries = (sys.version, np.__version__, llvm.llvm_version_info, _numba_version_file())
    processor = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    calls = [_function(value) for value in vars(compiling).values() if isinstance(value, FunctionType)]
    return repr((libraries, processor, calls)).encode()


class Namer:
    """Names kernels; a piece of several of them is looked at once."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._known: dict[FunctionType, tuple[bytes, list[FunctionType]]] = {}

    def _piece(self, function: FunctionType) -> tuple[bytes, list[FunctionType]]:
        """The digest of a piece by itself, and the pieces that it calls."""
        if function not in self._known:
            read = globals_read(function)
            calls = [value for value in read.values() if isinstance(value, FunctionType) and value in self._pieces]
            meanings = [(name, _meaning(value)) for name, value in read.items()]
            around = repr((function.__module__, meanings, sorted(self._pieces[function].items())))
            self._known[function] = hashlib.sha256(_function(function) + around.encode()).digest(), calls
        return self._known[function]

    def reached(self, function: FunctionType) -> list[FunctionType]:
        """The function and every piece that it calls, directly or not, in the order of their names."""
        reached, waiting = {function}, [function]
        while waiting:
            called = [call for call in self._piece(waiting.pop())[1] if call not in reached]
            reached.update(called)
            waiting += called
        return sorted(reached, key=lambda one: (one.__module__, one.__qualname__))

    def name(self, function: FunctionType, signature: tuple[Parameter, ...]) -> str:
        """The name of the machine code of a kernel."""
        digest = hashlib.sha256(_compiler() + ", ".join(map(describe, signature)).encode())
        for piece in self.reached(function):
            digest.update(self._piece(piece)[0])
        return f"{function.__name__}-{digest.hexdigest()[:32]}"
