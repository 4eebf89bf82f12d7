"""Machine code in memory, called through ctypes by numba's calling convention.

A place for the result, a place for an exception, then the arguments as words (see ``signature``).
"""

import ctypes
from typing import Any

from auditor.machine.objects import KernelObject
from auditor.machine.signature import Parameter, append_words

_LOADED: list[Any] = []  # LLVM's engines own the machine code: they live as long as the process


def _address(compiled: KernelObject) -> int:
    """Load an object file into memory; where its function begins."""
    import llvmlite.binding as llvm

    if not _LOADED:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(compiled.code))
    engine.finalize_object()
    _LOADED.append(engine)
    return int(engine.get_function_address(compiled.symbol))


class Native:
    """A function of machine code."""

    def __init__(self, name: str, signature: tuple[Parameter, ...], compiled: KernelObject) -> None:
        self._name = name
        self._signature = signature
        self._address = _address(compiled)
        self._results = compiled.results
        self._function: Any = None  # ctypes' prototype, known once the words of a call have been counted
        self._last: list[tuple[Parameter, Any, list[int]]] = []  # named tuples of the last call

    def _append_tuple(self, parameter: Parameter, argument: Any, words: list[int]) -> None:
        """As ``append_words``; a named tuple of arrays is mostly the one of the call before."""
        for its_parameter, known, its_words in self._last:
            if known is argument and its_parameter is parameter:
                words += its_words
                return
        own: list[int] = []
        append_words(parameter, argument, own)
        self._last = [(parameter, argument, own), *self._last[:1]]
        words += own

    def __call__(self, *arguments: Any) -> Any:
        """Call it. Raises IndexError where a bounds check failed, TypeError for arguments that the kernel does not take."""
        words: list[int] = []
        if len(arguments) != len(self._signature):
            raise TypeError(f"{self._name} takes {len(self._signature)} arguments, not {len(arguments)}")
        try:
            for parameter, argument in zip(self._signature, arguments, strict=True):
                if isinstance(argument, tuple):
                    self._append_tuple(parameter, argument, words)
                else:
                    append_words(parameter, argument, words)
        except TypeError as error:
            raise TypeError(f"{self._name}: {error}") from None
        if self._function is None:
            prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * (2 + len(words)))  # releases the GIL
            self._function = prototype(self._address)
        results = (ctypes.c_int64 * max(1, self._results))()
        raised = ctypes.c_void_p()
        if self._function(ctypes.addressof(results), ctypes.addressof(raised), *words):
            raise IndexError(f"a bounds check failed in {self._name}")
        if self._results == 0:
            return None
        return results[0] if self._results == 1 else tuple(results)
