"""Addresses as text, many at once."""

from typing import Any

import numpy as np

from auditor.decode.bytes import Bytes, copy_bytes
from auditor.machine.kernel import kernel
from auditor.machine.signature import BYTES, NUMBERS, Layout

Array = np.ndarray[Any, Any]


@kernel(Layout(np.uint64), Layout(np.uint64), BYTES, NUMBERS, BYTES, NUMBERS)
def write_addresses(high: Array, low: Array, texts: Array, lengths: Array, data: Bytes, offsets: Array) -> None:
    """Write addresses as text one behind the other; those that are not IPv4 are taken from ``texts``, in order."""
    taken = 0
    other = 0
    for at in range(high.size):
        out = offsets[at]
        if high[at] != 0 or low[at] >> np.uint64(32) != np.uint64(0xFFFF):
            copy_bytes(texts, taken, lengths[other], data, out)
            offsets[at + 1] = out + lengths[other]
            taken += lengths[other]
            other += 1
            continue
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
