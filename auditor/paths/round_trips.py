"""Round-trip times of TCP handshakes by path: counts that add up, and their distribution."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.tables.columns import Texts, distinct

Array = np.ndarray[Any, Any]
BINS = 17  # in each doubling: a bin is 4 % wider than the one before
SHARES = {"p5": 0.05, "p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(eq=False, repr=False)
class RoundTrips:
    """How many flows of each path had a round-trip time (SYN to the client's ACK) in each bin."""

    flows: Counter[tuple[str, int]] = field(default_factory=Counter)  # (path, bin) -> flows

    def add(self, nanoseconds: Array, path: Texts) -> None:
        """Count the flows of a batch; those without a time have 0 or less."""
        known = nanoseconds > 0
        bins = np.floor(np.log2(nanoseconds[known]) * BINS).astype(np.int64)
        combos, index = distinct(path.index[known], bins)
        for (code, one), count in zip(combos.tolist(), np.bincount(index, minlength=len(combos)).tolist(), strict=True):
            self.flows[str(path.values[code]), one] += count

    def merge(self, other: "RoundTrips") -> "RoundTrips":
        """What both have counted."""
        return RoundTrips(self.flows + other.flows)

    def rows(self) -> list[dict[str, Any]]:
        """The distribution of each path, in milliseconds."""
        of_path: dict[str, list[tuple[int, int]]] = {}
        for (path, one), count in sorted(self.flows.items()):
            of_path.setdefault(path, []).append((one, count))
        return [_distribution(path, counted) for path, counted in of_path.items()]


def _distribution(path: str, counted: list[tuple[int, int]]) -> dict[str, Any]:
    """Quantiles of a path; ``counted``: bins in their order, and how many flows each has."""
    bins, counts = np.array(counted).T
    total = np.cumsum(counts)
    middle = 2 ** ((bins + 0.5) / BINS) / 1e6
    row: dict[str, Any] = {"path": path, "flows": int(total[-1])}
    for name, share in SHARES.items():
        row[f"{name}_ms"] = float(f"{middle[np.searchsorted(total, share * total[-1])]:.3g}")
    return row
