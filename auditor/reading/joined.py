"""What flows of several shares asked each other, decided in the order of packets as if one process had followed them all.

The kernels are those that look names and sessions up while all flows are followed; here they go over what the shares have
noted, from chunk to chunk, each as far as all shares are known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from auditor.border.gate import RefusedError
from auditor.flows import state as S
from auditor.flows.exchange import ANSWER, ANSWERS, NAMING, RESUMING, SESSIONS
from auditor.flows.intern import value
from auditor.machine import packed
from auditor.reading import exchange
from auditor.reading.answering import find_originals, name_flows
from auditor.reading.events import Batch

KIND = "answers to flows"
LAYOUTS = {
    "named": np.dtype(np.int32),
    "original": np.dtype(np.uint8),
    "lengths": np.dtype(np.int64),
    "names": np.dtype(np.uint8),
}
LAST = np.iinfo(np.int64).max


@dataclass
class Answers:
    """What the flows of one share were answered: names by their numbers from 1 on, two for each question, and bits.

    The number of a name that another client was given is below 0.
    """

    named: S.Array
    original: S.Array
    names: list[bytes]

    def apply(self, batch: Batch) -> Batch:
        """A batch of the share with the names and sessions that its flows asked for."""
        flows, handshakes = batch.rows.flows.copy(), batch.rows.handshakes.copy()
        asks = flows["asks"]
        number = np.where(asks > 1, self.named[np.minimum(np.maximum(asks - 2, 0), len(self.named) - 1)], 0)
        flows["dns_shared"] = number < 0
        number = np.abs(number)
        used = np.flatnonzero(np.bincount(number, minlength=1))
        used = used[used > 0]
        memory, of = _with_strings(batch, [self.names[one - 1] for one in used.tolist()])
        flows["dns"] = np.where(number > 0, of[np.searchsorted(used, number)] if len(of) else 0, 0)
        flows["asks"] = 0
        asked = handshakes["asks"]
        known = (asked > 0) & (self.original[np.maximum(asked - 1, 0)] != 0) if len(self.original) else asked < 0
        handshakes["seen"] |= np.where(known, S.SEEN_ORIGINAL, 0).astype(np.uint32)
        handshakes["asks"] = 0
        return replace(batch, rows=replace(batch.rows, flows=flows, handshakes=handshakes), memory=memory)

    def write(self, path: Path) -> str:
        """Write them to a file; its SHA-256."""
        arrays = {
            "named": self.named,
            "original": self.original,
            "lengths": np.array([len(name) for name in self.names], np.int64),
            "names": np.frombuffer(b"".join(self.names), np.uint8),
        }
        return packed.write(path, KIND, {}, arrays)


def read(path: Path) -> Answers:
    """What was written so. Raises OSError, and RefusedError for what nobody has written."""
    arrays = packed.read(path, KIND, LAYOUTS).arrays
    ends, data = np.cumsum(arrays["lengths"]), arrays["names"].tobytes()
    if (int(ends[-1]) if len(ends) else 0) != len(data) or (arrays["lengths"] < 0).any():
        raise RefusedError("damaged: its names are not whole")
    names = [data[end - size : end] for end, size in zip(ends.tolist(), arrays["lengths"].tolist(), strict=True)]
    return Answers(arrays["named"], arrays["original"], names)


def _with_strings(batch: Batch, texts: Sequence[bytes]) -> tuple[S.Memory, S.Array]:
    """A batch's memory with some names more, and the numbers of these: equal strings have one number."""
    memory, handshakes = batch.memory, batch.rows.handshakes
    named = np.concatenate([batch.rows.flows["host"], handshakes["server_name"]]) if texts else np.zeros(0, np.int64)
    known = {bytes(value(memory.arena, memory.entries, one)): one for one in np.unique(named).tolist() if one}
    count, used = max(1, int(memory.entries[0, 0])), int(memory.entries[0, 1])
    added = [text for text in texts if text not in known]
    known |= {text: count + k for k, text in enumerate(added)}
    entries = np.zeros((count + len(added), 3), np.int64)
    entries[:count] = memory.entries[:count]
    lengths = np.array([len(text) for text in added], np.int64)
    ends = np.cumsum(lengths) + used
    entries[count:, 0], entries[count:, 1] = ends - lengths, lengths
    arena = np.concatenate([memory.arena[:used], np.frombuffer(b"".join(added), np.uint8)])
    entries[0, :2] = len(entries), len(arena)
    return memory._replace(arena=arena, entries=entries), np.array([known[text] for text in texts], np.int32)


class _Share:
    """What one share stated, chunk by chunk, and what it is answered."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = iter(files)
        self.names: dict[int, int] = {}  # numbers of all shares -> its own
        self.named: list[tuple[S.Array, S.Array]] = []  # numbers of questions, and the names found
        self.originals: list[S.Array] = []  # numbers of questions that were answered with yes
        self.asked = self.sessions = 0
        self.chunk: exchange.Chunk | None = None
        self.at = self.resumed = 0
        self.late: list[S.Array] = []

    def load(self, numbers: dict[bytes, int]) -> None:
        """Its next chunk, if that of before is used up. ``numbers``: of names, over all shares."""
        chunk = self.chunk
        while chunk is None or (self.at == len(chunk.namings) and self.resumed == len(chunk.resumings)):
            path = next(self._files, None)
            if path is None:
                self.chunk = None
                return
            self.chunk = chunk = exchange.read(path)
            of = np.array([0, *(numbers.setdefault(name, len(numbers) + 1) for name in chunk.names)], np.int32)
            chunk.namings["name"] = of[chunk.namings["name"]]
            self.late.append(chunk.late)
            self.at = self.resumed = 0

    @property
    def last(self) -> int:
        """Up to which packet it is known now."""
        assert self.chunk is not None
        orders = [rows["order"][-1] for rows in (self.chunk.namings, self.chunk.resumings) if len(rows)]
        return int(max(orders, default=0))

    def until(self, border: int) -> tuple[S.Array, S.Array]:
        """What it stated and asked up to a packet."""
        assert self.chunk is not None
        namings, resumings = self.chunk.namings, self.chunk.resumings
        begun, self.at = self.at, int(np.searchsorted(namings["order"], border, "right"))
        resumed, self.resumed = self.resumed, int(np.searchsorted(resumings["order"], border, "right"))
        return namings[begun : self.at], resumings[resumed : self.resumed]

    def answers(self, names: Sequence[bytes]) -> Answers:
        """All that it was answered; ``names``: those of all shares."""
        self.asked = max((int(asks.max()) for asks, _ in self.named if len(asks)), default=0)
        named = np.zeros((self.asked, 2), np.int32)
        for asks, found in self.named:
            named[asks - 1] = found
        used = np.flatnonzero(np.bincount(np.abs(named).reshape(-1), minlength=1))
        used = used[used > 0]
        own = np.zeros(len(names) + 1, np.int32)
        own[used] = np.arange(1, len(used) + 1)
        original = np.zeros(self.sessions, np.uint8)
        for asks in self.originals:
            original[asks - 1] = 1
        return Answers(
            (np.sign(named) * own[np.abs(named)]).reshape(-1), original, [names[one - 1] for one in used.tolist()]
        )


@dataclass
class _LookupTables:
    """The tables that names and sessions are looked up in."""

    answers: Any
    counters: S.Array
    sessions: S.Array

    def names(self, shares: Sequence[_Share], parts: Sequence[S.Array]) -> None:
        """Go over what shares stated and asked the DNS, in the order of packets."""
        rows, which = _merged(parts, NAMING)
        found = np.zeros((len(rows), 2), np.int32)
        name_flows(rows.view(np.recarray), self.answers, self.counters, found)
        for number, share in enumerate(shares):
            mine = (which == number) & (rows["asks"] > 0)
            share.named.append((rows["asks"][mine], found[mine]))

    def originals(self, shares: Sequence[_Share], parts: Sequence[S.Array]) -> None:
        """Go over the handshakes of shares in the order of packets."""
        rows, which = _merged(parts, RESUMING)
        found = np.zeros(len(rows), np.uint8)
        find_originals(rows.view(np.recarray), self.sessions, found)
        for number, share in enumerate(shares):
            mine = which == number
            share.sessions = max(share.sessions, int(rows["asks"][mine].max()) if mine.any() else 0)
            share.originals.append(rows["asks"][mine & (found != 0)])


def _merged(parts: Sequence[S.Array], dtype: Any) -> tuple[S.Array, S.Array]:
    """Rows of all shares in the order of packets, and the share of each."""
    rows = np.concatenate([np.zeros(0, dtype), *parts])
    order = np.argsort(rows["order"], kind="stable")
    return rows[order], np.repeat(np.arange(len(parts)), [len(part) for part in parts])[order]


def _windows(shares: Sequence[_Share], numbers: dict[bytes, int]) -> Iterator[list[tuple[S.Array, S.Array]]]:
    """What all shares stated and asked, as far as all are known, again and again."""
    nothing = np.zeros(0, NAMING), np.zeros(0, RESUMING)
    while True:
        for share in shares:
            share.load(numbers)
        known = [share.last for share in shares if share.chunk is not None]
        if not known:
            return
        border = min(known)
        yield [nothing if share.chunk is None else share.until(border) for share in shares]


def decide(files: Sequence[Sequence[Path]]) -> list[Answers]:
    """What the flows of each share are answered; ``files``: those that each share has written, in order.

    Raises OSError, and RefusedError for files that no share has written.
    """
    shares, numbers = [_Share(one) for one in files], cast("dict[bytes, int]", {})
    deciding = _LookupTables(
        S.records(ANSWERS, ANSWER), np.zeros(S.COUNTERS, np.int64), np.zeros((SESSIONS, 2), np.uint64)
    )
    for parts in _windows(shares, numbers):
        deciding.names(shares, [namings for namings, _ in parts])
        deciding.originals(shares, [resumings for _, resumings in parts])
    # Handshakes over datagrams are read when their flows are over: in the order of these, behind all others.
    deciding.originals(shares, [np.concatenate([np.zeros(0, RESUMING), *share.late]) for share in shares])
    names = list(numbers)
    return [share.answers(names) for share in shares]
