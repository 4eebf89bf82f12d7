"""ClientHellos that did not get through, and smaller ones of the same client that the same server answered later.

A flow that failed and the one that came through may be far apart: in other batches, files and shares of the flows. So both
are noted, and compared when all are known. Of very many those of some pairs of client and server are left out, which
ones is decided by their addresses alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from auditor.decode import frames
from auditor.flows import frame_columns
from auditor.flows.oriented import Oriented
from auditor.flows.state import OVER_TCP
from auditor.tables.columns import mixed
from auditor.tls.delivery import ANSWERED, FAILURES, Delivery

Array = np.ndarray[Any, Any]
MOST = 1 << 16  # hellos that are compared
SLACK = 2  # times as many may be there, before those beyond are let go
TRY = np.dtype(
    [
        ("pair", "u8"),  # a hash of client and server
        ("client_high", "u8"),
        ("client_low", "u8"),
        ("server_high", "u8"),
        ("server_low", "u8"),
        ("part", "i4"),  # the number of a name: the first capture of those that are audited as one
        ("answered", "?"),
        ("sent", "i4"),  # bytes
        ("started", "i8"),
        ("flow", "i8"),
        ("frame", "i8"),  # its number in its capture
        ("capture", "i4"),  # the number of that one's name; -1 where there is but one
    ]
)
ADDRESSES = ["client_high", "client_low", "server_high", "server_low"]
OF_PAIR = [*ADDRESSES, "part"]
TOLD = ["started", "flow", "sent", "frame", "capture"]
NOBODY = np.uint64(np.iinfo(np.uint64).max)


class SeenHellos(NamedTuple):
    """The handshakes of a batch: what the packets of their flows show."""

    rows: Array
    flow: Array  # the number of each one's flow
    identifiers: Array  # of the flows
    handshake: Array  # the handshake that stands for each flow, -1 for none
    ends: Oriented
    delivery: Delivery
    captures: Sequence[str]


@dataclass(eq=False, repr=False)
class HelloTries:
    """What became of the hellos of an audit, or a part of it."""

    names: dict[str, int] = field(default_factory=dict)  # of captures
    tries: list[Array] = field(default_factory=list)
    limit: np.uint64 = NOBODY  # pairs from here on are left out

    def add(self, seen: SeenHellos) -> None:
        """Note the hellos of a batch."""
        failed = seen.handshake[seen.handshake >= 0]
        failed = failed[np.isin(seen.delivery.outcome[failed], FAILURES)]
        answered = np.flatnonzero((seen.delivery.outcome == ANSWERED) & (seen.rows["transport"] == OVER_TCP))
        at = np.concatenate([answered, failed])
        if len(at):
            tries = self._tries(seen, at)
            tries["answered"] = np.arange(len(at)) < len(answered)
            self._take([tries])

    def _tries(self, seen: SeenHellos, at: Array) -> Array:
        """Rows for some handshakes of a batch."""
        rows, flow, captures = seen.rows[at], seen.flow[at], seen.captures
        found = rows["client_frame"]
        tries = np.zeros(len(at), TRY)
        for name in ADDRESSES:
            tries[name] = getattr(seen.ends, name)[flow]
        tries["pair"] = mixed(*(tries[name] for name in ADDRESSES))
        tries["part"] = self._numbers(frame_columns.wholes(found, captures), captures)
        tries["sent"], tries["started"] = seen.delivery.sent[at], rows["started"]
        tries["flow"], tries["frame"] = seen.identifiers[flow], found & frames.COUNT
        tries["capture"] = self._numbers(found >> frames.BITS, captures) if frames.are_named(captures) else -1
        return tries

    def _numbers(self, numbers: Array, captures: Sequence[str]) -> Array:
        """The numbers that the names of captures have here; ``numbers``: those in their batch."""
        used, index = np.unique(numbers, return_inverse=True)
        names = (captures[number] for number in used.tolist())
        return np.array([self.names.setdefault(name, len(self.names)) for name in names], np.int64)[index]

    def merge(self, other: "HelloTries") -> "HelloTries":
        """What both have noted."""
        both = HelloTries(dict(self.names), list(self.tries), min(self.limit, other.limit))
        of = np.array([both.names.setdefault(name, len(both.names)) for name in other.names] + [-1], np.int64)
        others = [tries.copy() for tries in other.tries]
        for tries in others:
            tries["part"], tries["capture"] = of[tries["part"]], of[tries["capture"]]
        both._take(others)
        return both

    def _take(self, more: Sequence[Array]) -> None:
        self.tries += more
        if sum(map(len, self.tries)) > SLACK * MOST:
            self._bound()

    def _bound(self) -> None:
        """Keep what can matter: of the answered hellos of one size and pair the first and the last, and not too many pairs."""
        tries = np.concatenate([np.zeros(0, TRY), *self.tries])
        tries = tries[tries["pair"] < self.limit]
        tries = tries[np.lexsort([tries[name] for name in ("flow", "started", "sent", "part", "answered", "pair")])]
        same = tries["answered"][1:] & tries["answered"][:-1]
        for name in (*OF_PAIR, "sent"):
            same &= tries[name][1:] == tries[name][:-1]
        between = np.concatenate([[False], same[:-1] & same[1:], [False]])
        tries = tries[~between[: len(tries)]]
        if len(tries) > MOST:
            self.limit = tries["pair"][MOST]
            tries = tries[tries["pair"] < self.limit]
        self.tries = [tries]

    def smaller(self) -> dict[int, str]:
        """Of flows whose hello did not get through, and a later, smaller one did: that one, in words."""
        failed = np.concatenate([np.zeros(0, TRY), *(tries[~tries["answered"]] for tries in self.tries)])
        if not len(failed):
            return {}
        self._bound()
        (tries,), names = self.tries, list(self.names)
        answered: dict[tuple[int, ...], list[list[int]]] = {}
        for pair, one in _by_pair(tries[tries["answered"] & np.isin(tries["pair"], failed["pair"])]):
            answered.setdefault(pair, []).append(one)
        said = {}
        for pair, (started, flow, sent, _, _) in _by_pair(tries[~tries["answered"]]):
            later = [one for one in answered.get(pair, ()) if one[0] > started and one[2] < sent]
            if later:
                size, frame, capture = min(later)[2:]
                where = frame if capture < 0 else f"{frame} of {names[capture]}"
                said[flow] = f"a smaller one of {size} bytes (frame {where}) was answered"
        return said


def _by_pair(tries: Array) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Of each row its pair, and when it started, its flow, bytes, frame and capture."""
    for row in zip(*(tries[name].tolist() for name in (*OF_PAIR, *TOLD)), strict=True):
        yield row[: len(OF_PAIR)], list(row[len(OF_PAIR) :])
