"""What a kernel takes: whole numbers, arrays, and named tuples of arrays.

A kernel states this at its decorator. numba's types to compile it for and the words to call its machine code with both
come from there. A field of a named tuple says what array it is by ``Annotated[Array, Layout(...)]``.
"""

import operator
from typing import Any

import numpy as np


class Layout:
    """A C-contiguous array of items of a type; those of a structured type are a numpy.recarray."""

    __slots__ = ("dimensions", "dtype", "kind")

    def __init__(self, dtype: Any, dimensions: int = 1) -> None:
        self.dtype = np.dtype(dtype)
        self.dimensions = dimensions
        self.kind = (self.dtype.kind, self.dtype.itemsize, dimensions)

    def __repr__(self) -> str:
        """Everything that decides how the array lies in memory."""
        return f"{self.dtype.descr}×{self.dimensions}"


Parameter = type[Any] | Layout  # int, a class of named tuples whose fields are parameters, or an array
BYTES = Layout(np.uint8)
NUMBERS = Layout(np.int64)


def fields(parameter: type[Any]) -> tuple[Parameter, ...]:
    """What the fields of a named tuple are: other named tuples, or arrays that their annotations describe."""
    annotations = parameter.__annotations__.values()
    return tuple(hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint for hint in annotations)


def describe(parameter: Parameter) -> str:
    """Everything about a parameter that decides the machine code that takes it."""
    if isinstance(parameter, Layout) or parameter is int:
        return repr(parameter)
    inside = ", ".join(map(describe, fields(parameter)))
    return f"{parameter._fields}({inside})"


def append_words(parameter: Parameter, argument: Any, words: list[int]) -> None:
    """Append the words that numba's calling convention passes ``argument`` as. Raises TypeError if it does not fit.

    An array is seven words or more: owner, parent, number of items, bytes an item, address, shape, strides.
    """
    if isinstance(parameter, Layout):
        if not isinstance(argument, np.ndarray):
            raise TypeError(f"expected an array, not {type(argument).__name__}")
        dtype = argument.dtype
        if (dtype.kind, dtype.itemsize, argument.ndim) != parameter.kind or not argument.flags.c_contiguous:
            raise TypeError(f"expected an array of {parameter}, not of {dtype}×{argument.ndim}")
        words += (0, 0, argument.size, dtype.itemsize, argument.ctypes.data, *argument.shape, *argument.strides)
    elif parameter is int:
        words.append(operator.index(argument))
    elif isinstance(argument, parameter):
        for field, item in zip(fields(parameter), argument, strict=True):
            append_words(field, item, words)
    else:
        raise TypeError(f"expected a {parameter.__name__}, not {type(argument).__name__}")
