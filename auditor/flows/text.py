"""Addresses as text, many at once."""

from typing import Any

import numpy as np

from auditor.kernel import kernel

Array = np.ndarray[Any, Any]


@kernel
def write_v4(high: Array, low: Array, first: int, data: Array, offsets: Array) -> int:
    """Write addresses from ``first`` on as text, up to the first that is not IPv4; where that is."""
    for at in range(first, high.size):
        if high[at] != 0 or low[at] >> np.uint64(32) != np.uint64(0xFFFF):
            return at
        out = offsets[at]
        for k in range(4):
            byte = np.int64((low[at] >> np.uint64(24 - 8 * k)) & np.uint64(255))
            if byte >= 100:
                data[out] = 48 + byte // 100
                out += 1
            if byte >= 10:
                data[out] = 48 + byte // 10 % 10
                out += 1
            data[out] = 48 + byte % 10
            data[out + 1] = 46
            out += 2
        offsets[at + 1] = out - 1
    return high.size
