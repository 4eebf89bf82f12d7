"""Blank records, and copying one: a place in an array that is used again is set by one copy of a blank record.

So a new field of a layout needs no second place: it is 0 in the blank record, or what the layout's module names for it.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from auditor.machine.kernel import PLAIN, compiled_before


def blank(dtype: np.dtype[Any], **values: int) -> Any:
    """An array of one record that kernels copy: ``values``, and 0 in every other field. It cannot be changed."""
    row = np.zeros(1, dtype).view(np.recarray)
    for name, number in values.items():
        row[name] = number
    row.flags.writeable = False
    return row


def _copy_fields(target: Any, source: Any) -> None:
    for name in target.dtype.names:
        target[name] = source[name]


def _copier() -> Callable[[Any, Any], None]:
    if PLAIN or compiled_before():
        return _copy_fields
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    memcpy: Any = cgutils.raw_memcpy

    @intrinsic
    def copied(_context: Any, target: Any, source: Any) -> Any:
        """One memcpy; numba's own assignment of records goes byte by byte through LLVM's registers."""
        if not isinstance(target, types.Record) or target != source:
            return None
        size = target.size

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            memcpy(builder, *arguments, context.get_constant(types.intp, size), 1)
            return context.get_dummy_value()

        return types.void(target, source), generate

    return cast("Callable[[Any, Any], None]", copied)


# What kernels call: copy all fields of the record ``source`` to ``target``, a record of the same layout.
copy_record = _copier()
