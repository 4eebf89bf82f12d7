"""Compiling kernels with numba, in a process of its own (see ``child``): nothing else imports numba.

The functions of kernels stay plain Python in their modules. To compile them, copies are created that see each other's
compiled copies in the place of the originals.
"""

from collections.abc import Mapping
from types import FunctionType
from typing import Any

from auditor.machine import blank
from auditor.machine.objects import KernelObject
from auditor.machine.signature import Layout, Parameter, fields


def numba_type(parameter: Parameter) -> Any:
    """The type that numba has for a kernel's parameter."""
    from numba import types
    from numba.np.numpy_support import from_dtype

    if isinstance(parameter, Layout):
        return types.Array(from_dtype(parameter.dtype), parameter.dimensions, "C")
    if parameter is int:
        return types.int64
    named_tuple: Any = types.NamedTuple
    return named_tuple([numba_type(field) for field in fields(parameter)], parameter)


def record_copier() -> Any:
    """What kernels call for ``copy_record``: one memcpy, where numba's assignment goes through LLVM's registers."""
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    memcpy: Any = cgutils.raw_memcpy

    @intrinsic
    def copied(_context: Any, target: Any, source: Any) -> Any:
        """For two records of one layout."""
        if not isinstance(target, types.Record) or target != source:
            return None
        size = target.size

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            memcpy(builder, *arguments, context.get_constant(types.intp, size), 1)
            return context.get_dummy_value()

        return types.void(target, source), generate

    return copied


# What kernels call that is compiled from something else than its own code; this module says how.
SUBSTITUTES = {blank.copy_record: record_copier}


def jitted(pieces: Mapping[FunctionType, Mapping[str, bool]]) -> dict[FunctionType, Any]:
    """A dispatcher of numba's for each piece; one that calls others calls their dispatchers."""
    import numba

    njit: Any = numba.njit  # whose annotations lag behind its options
    spaces: dict[str, dict[str, Any]] = {}
    dispatchers: dict[Any, Any] = {function: substitute() for function, substitute in SUBSTITUTES.items()}
    for piece, options in pieces.items():
        space = spaces.setdefault(piece.__module__, dict(piece.__globals__))
        copy = FunctionType(piece.__code__, space, piece.__name__, piece.__defaults__)
        # Nothing is allocated, so nothing is counted; only machine code calls them, so nothing is wrapped for Python.
        jit = njit(nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
        dispatchers[piece] = jit(copy)
    for space in spaces.values():
        space.update({name: dispatchers[value] for name, value in space.items() if _is_in(value, dispatchers)})
    return dispatchers


def _is_in(value: Any, dispatchers: Mapping[FunctionType, Any]) -> bool:
    return isinstance(value, FunctionType) and value in dispatchers


def compiled(dispatcher: Any, signature: tuple[Parameter, ...]) -> KernelObject:
    """The machine code of a kernel."""
    from numba import types

    dispatcher.compile(tuple(map(numba_type, signature)))
    (result,) = dispatcher.overloads.values()
    returned = result.signature.return_type
    results = len(returned) if isinstance(returned, types.UniTuple) else int(returned != types.none)
    code = result.library._get_compiled_object()  # noqa: SLF001 - what numba's own cache keeps
    return KernelObject(code, result.fndesc.llvm_func_name, results)
