"""What witnesses of single events have in common: their files, what of them was matched, and how they speak."""

from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]


class Dated(Protocol):
    """Something a file tells, with its time in nanoseconds."""

    @property
    def time(self) -> int: ...


T = TypeVar("T", bound=Dated)


def mask_of(count: int, rows: Iterable[int]) -> Array:
    """A mask of ``count`` flows that holds for some of them."""
    mask = np.zeros(count, bool)
    mask[list(rows)] = True
    return mask


def note(disagreement: Array, flow: int, words: str) -> None:
    """Note that a witness says something else of a flow than its packets; the same thing is noted once."""
    told = disagreement[flow]
    if told is None:
        disagreement[flow] = words
    elif words not in told:
        disagreement[flow] = f"{told}; {words}"


class EventLog(Generic[T]):
    """The events of files of one kind. ``skew``: nanoseconds by which their clocks are ahead."""

    kind = ""

    def __init__(self, files: list[tuple[str, list[T]]], skew: int = 0) -> None:
        self.files, self.skew = files, skew
        self.events = [event for _, events in files for event in events]
        self.matched = np.zeros(len(self.events), bool)
        self.flows_matched = 0

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table ``witnesses``, one for each file."""
        begins = np.cumsum([0, *(len(events) for _, events in self.files)]).tolist()
        return [
            {
                "witness": name,
                "kind": self.kind,
                "rows": len(events),
                "matched": int(self.matched[begin : begin + len(events)].sum()),
                "flows_matched": self.flows_matched,
                "started": min((event.time for event in events), default=None),
                "ended": max((event.time for event in events), default=None),
            }
            for begin, (name, events) in zip(begins, self.files, strict=False)
        ]
