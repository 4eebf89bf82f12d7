"""The decorators of the compiled kernels: what Python calls, and the pieces that kernels consist of.

Kernels take arrays and whole numbers and return whole numbers. Bounds checks stay on because the bytes come from a
hostile network, and the GIL is released so that reading, hashing and importing go on beside them.

There are three ways to run them. The first time, numba compiles every kernel that is registered here, in processes of
their own, and their machine code is kept. From then on only that is loaded: numba is not even imported, which takes
half a second less. With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np

from auditor.errors import AuditError
from auditor.machine import isolated, naming, objects
from auditor.machine.native import Native
from auditor.machine.signature import Parameter

F = TypeVar("F", bound=Callable[..., Any])
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
COMPILING = "compiling the kernels for this machine, once after each update; it takes about half a minute …"
COMPILING_EACH_TIME = "compiling the kernels for this machine, which takes about half a minute; they are not kept: {} …"


class Kernel:
    """What Python calls: a function, and its machine code once there is any."""

    def __init__(self, function: FunctionType, signature: tuple[Parameter, ...], *, largest: bool) -> None:
        self.function = function
        self.signature = signature
        self.largest = largest
        self.machine_code: objects.KernelObject | None = None
        self._native: Native | None = None

    @property
    def path(self) -> str:
        """Module and name."""
        return f"{self.function.__module__}.{self.function.__name__}"

    def _linked(self) -> Native:
        """Its machine code as a function, which takes LLVM a millisecond: an audit calls half of all kernels."""
        with _PREPARING:
            if self.machine_code is None:
                prepare()
                assert self.machine_code is not None
            if self._native is None:
                self._native = Native(self.path, self.signature, self.machine_code)
            return self._native

    def __call__(self, *arguments: Any) -> Any:
        """Call it. Raises IndexError where a bounds check failed, TypeError for arguments that the signature lacks."""
        return (self._native or self._linked())(*arguments)


KERNELS: dict[str, Kernel] = {}
PIECES: dict[FunctionType, naming.Options] = {}
_PREPARING = threading.RLock()


def _piece(function: F, **options: bool) -> F:
    PIECES[cast("FunctionType", function)] = options
    return function


def kernel(*signature: Parameter, largest: bool = False) -> Callable[[F], F]:
    """What Python calls, with what it takes; the result is whole numbers. The ``largest`` has a process to itself."""

    def register(function: F) -> F:
        if PLAIN:  # numbers wrap around in machine code, and warn in plain Python
            return np.errstate(over="ignore")(function)
        _piece(function, boundscheck=True)
        registered = Kernel(cast("FunctionType", function), signature, largest=largest)
        KERNELS[registered.path] = registered
        return cast("F", registered)

    return register


def part(function: F) -> F:
    """A piece of the kernels that call it."""
    return _piece(function, boundscheck=True)


def inlined(function: F) -> F:
    """As ``part``, and its machine code is put into its callers: for what runs once a byte or once a packet."""
    return _piece(function, boundscheck=True, forceinline=True)


def unchecked(function: F) -> F:
    """As ``inlined``, without bounds checks: for copying loops that check their whole range first."""
    return _piece(function, boundscheck=False, forceinline=True)


def names(kernels: Iterable[Kernel]) -> dict[str, Kernel]:
    """Kernels by the names of their machine code."""
    namer = naming.Namer(PIECES)
    return {namer.name(one.function, one.signature): one for one in kernels}


def load() -> dict[str, Kernel]:
    """Load what machine code is kept; the kernels that have none, by its names."""
    with _PREPARING:
        lacking = names(one for one in KERNELS.values() if one.machine_code is None)
        for name, machine_code in objects.load(list(lacking)).items():
            lacking.pop(name).machine_code = machine_code
        return lacking


def notice() -> str | None:
    """What to say before the registered kernels are prepared, if that takes time."""
    if not load():
        return None
    reason = objects.why_not_kept()
    return COMPILING if reason is None else COMPILING_EACH_TIME.format(reason)


def _start(kernels: Iterable[Kernel]) -> "subprocess.Popen[bytes]":
    """A process that compiles kernels, isolated: no file of the working directory, no variable decides what it does.

    numba reads settings from its environment and from ``.numba_config.yaml`` in the working directory, some of which
    would leave out the bounds checks.
    """
    command = isolated.module("auditor.machine.child", str(os.getpid()), *(one.path for one in kernels))
    return isolated.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def compile_kernels(lacking: dict[str, Kernel]) -> None:
    """Compile kernels, the largest in one process and all others in another, and keep them."""
    shares = [[one for one in lacking.values() if one.largest is largest] for largest in (True, False)]
    compiled: dict[str, objects.KernelObject] = {}
    errors = b""
    with ExitStack() as running:
        try:
            children = [running.enter_context(_start(share)) for share in shares if share]
        except OSError as error:
            raise AuditError(f"the kernels cannot be compiled: {sys.executable}: {error.strerror}") from None
        for child in children:
            running.callback(child.kill)  # where an interrupt ends the waiting; no signal is sent to one that has ended
        for child in children:
            output, complaints = child.communicate()
            compiled |= objects.unpack(output)
            errors += complaints
            if child.returncode < 0:  # it was killed, and could say nothing
                errors += f"\nsignal {-child.returncode} ended the compiling process".encode()
    if not lacking.keys() <= compiled.keys():
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise AuditError(f"the kernels cannot be compiled: {last or 'the sources have changed meanwhile'}")
    for name, one in lacking.items():
        one.machine_code = compiled[name]
    objects.store({name: compiled[name] for name in lacking})


def prepare() -> None:
    """Have the machine code of all registered kernels, compiled where none is kept; each is linked when it is called."""
    with _PREPARING:
        lacking = load()
        if lacking:
            compile_kernels(lacking)


def machine_code() -> dict[str, objects.KernelObject]:
    """The machine code of all registered kernels, by their paths, for another process of the same program."""
    prepare()
    return {one.path: one.machine_code for one in KERNELS.values() if one.machine_code is not None}


def take(compiled: dict[str, objects.KernelObject]) -> None:
    """Use machine code that the process has which started this one, so that none is looked for."""
    for path, one in KERNELS.items():
        if one.machine_code is None and path in compiled:
            one.machine_code = compiled[path]
