"""What witnesses of single events have in common: their files, what of them was matched, and how they speak."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from auditor.border.rows import Taken

Array = np.ndarray[Any, Any]


class Dated(Protocol):
    """An event that a file records, with its time in nanoseconds."""

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
    noted = disagreement[flow]
    if noted is None:
        disagreement[flow] = words
    elif words not in noted:
        disagreement[flow] = f"{noted}; {words}"


@dataclass(eq=False, repr=False)
class WitnessMatch:
    """What of a witness fits flows of the captures: which of its rows, and how many flows."""

    rows: Array  # of truth values
    flows: int = 0
    lacking: int = 0  # flows that the witness should record and does not
    first: int = 1 << 62  # time of the first flow
    last: int = 0

    def merge(self, other: "WitnessMatch") -> "WitnessMatch":
        """What fits flows of both parts of an audit."""
        return WitnessMatch(
            self.rows | other.rows,
            self.flows + other.flows,
            self.lacking + other.lacking,
            min(self.first, other.first),
            max(self.last, other.last),
        )


class EventLog(Generic[T]):
    """The events of files of one kind. ``skew``: nanoseconds by which their clocks are ahead."""

    kind = ""

    def __init__(self, files: list[tuple[str, Taken[T]]], skew: int = 0) -> None:
        self.files, self.skew = files, skew
        self.events = [event for _, events in files for event in events]
        self.matched = WitnessMatch(np.zeros(len(self.events), bool))

    def rows(self, matched: WitnessMatch) -> list[dict[str, Any]]:
        """The rows of the table ``witnesses``, one for each file."""
        rows, begin = [], 0
        for name, events in self.files:
            end = begin + len(events)
            rows.append(
                {
                    "witness": name,
                    "kind": self.kind,
                    "rows": len(events) + events.skipped,
                    "skipped": events.skipped,
                    "matched": int(matched.rows[begin:end].sum()),
                    "flows_matched": matched.flows,
                    "started": min((event.time for event in events), default=None),
                    "ended": max((event.time for event in events), default=None),
                }
            )
            begin = end
        return rows
