"""Blank records, and copying one: a place in an array that is used again is set by one copy of a blank record.

So a new field of a layout needs no second place: it is 0 in the blank record, or what the layout's module names for it.
"""

from typing import Any

import numpy as np


def blank(dtype: np.dtype[Any], **values: int) -> Any:
    """An array of one record that kernels copy: ``values``, and 0 in every other field. It cannot be changed."""
    row = np.zeros(1, dtype).view(np.recarray)
    for name, number in values.items():
        row[name] = number
    row.flags.writeable = False
    return row


def copy_record(target: Any, source: Any) -> None:
    """Copy all fields of a record to one of the same layout. Kernels call it as one memcpy, see ``compiling``."""
    for name in target.dtype.names:
        target[name] = source[name]
