"""Flows by their numbers: shown short, as ``git`` shows commits, and found by what is shown of them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.border.words import counted, is_number
from auditor.errors import AuditError

if TYPE_CHECKING:
    from auditor.report.results import Results

DIGITS = 16  # hexadecimal ones of a number of 63 bits
FEWEST = 7  # that are shown


def whole(flow_id: int) -> str:
    """A flow's number in hexadecimal."""
    return f"{flow_id:0{DIGITS}x}"


def _numbers(result: "Results") -> Any:
    from auditor.report.plain import values

    return np.sort(np.array(values(result.column("flows", "flow_id")), np.uint64))


def digits(result: "Results") -> int:
    """How many digits it takes to tell the flows of an audit from each other."""
    numbers = _numbers(result)
    nearest = int((numbers[1:] ^ numbers[:-1]).min(initial=np.uint64(2**64 - 1)))
    return min(DIGITS, max(FEWEST, DIGITS + 1 - (nearest.bit_length() + 3) // 4))


def short(result: "Results", flow_ids: Iterable[int]) -> list[str]:
    """The numbers of some flows, with as many digits as tell all flows of the audit from each other."""
    count = digits(result)
    return [whole(flow_id)[:count] for flow_id in flow_ids]


def found(result: "Results", given: int | str) -> int:
    """The number of a flow by itself, or by the first digits of it in hexadecimal. Raises AuditError."""
    numbers = _numbers(result)
    text = str(given).strip().lower()
    if is_number(text) and int(text) in set(numbers.tolist()):
        return int(text)
    matches = [number for number in numbers.tolist() if whole(number).startswith(text)] if text else []
    if not isinstance(given, int) and len(matches) == 1:
        return int(matches[0])
    if not isinstance(given, int) and matches:
        some = ", ".join(map(whole, matches[:3]))
        raise AuditError(
            f"{given}: {counted(len(matches), 'flow begins', 'flows begin')} with that, as {some}: give more digits"
        )
    raise AuditError(f"no flow has the number {given}; flow_id in the table flows has them")
