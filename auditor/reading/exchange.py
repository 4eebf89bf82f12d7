"""What the flows of a share tell and ask those of others, as files that are read when all shares are followed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auditor.border.gate import RefusedError
from auditor.flows import state as S
from auditor.flows.exchange import NAMING, RESUMING
from auditor.flows.intern import value
from auditor.machine import packed

KIND = "what flows ask"
LAYOUTS = {
    "namings": NAMING,
    "resumings": RESUMING,
    "late": RESUMING,
    "lengths": np.dtype(np.int64),
    "names": np.dtype(np.uint8),
}
MOST_ROWS = 1 << 18  # that are kept in memory


@dataclass(frozen=True, eq=False, repr=False)
class Share:
    """Which of the flows are followed: those whose ends fall into one of ``shares``.

    ``by_hosts``: all flows of two hosts are in one share; ``folder``: for what they exchange; ``before``: files with what
    they exchanged before, where reading goes on.
    """

    number: int
    shares: int
    folder: Path
    by_hosts: bool = False
    before: tuple[Path, ...] = ()

    def mark(self, state: S.State) -> None:
        """Let kernels follow these flows only."""
        counters = state.memory.counters
        counters[[S.SHARES, S.SHARE, S.BY_HOSTS]] = self.shares, self.number, int(self.by_hosts)


class Chunk(NamedTuple):
    """Part of what was stated and asked, in order. Names have the numbers from 1 on."""

    namings: S.Array
    resumings: S.Array
    late: S.Array  # what handshakes over datagrams ask, which are read when their flows are over
    names: list[bytes]


@dataclass(eq=False, repr=False)
class ExchangeFiles:
    """Takes out of the kernels' arrays what flows stated and asked, and writes it to files."""

    share: Share
    group: int  # which of the captures, or groups of captures, that are read one after the other
    files: list[Path] = field(default_factory=list)
    _namings: list[S.Array] = field(default_factory=list)
    _resumings: list[S.Array] = field(default_factory=list)
    _late: list[S.Array] = field(default_factory=list)
    _names: dict[bytes, int] = field(default_factory=dict)
    _rows: int = 0

    def take(self, memory: S.Memory, *, late: bool = False) -> None:
        """Take what was noted since the last time; ``late``: by handshakes over datagrams, whose flows are over."""
        counters = memory.counters
        namings = np.array(memory.namings[: counters[S.NAMINGS]])
        resumings = np.array(memory.resumings[: counters[S.RESUMINGS]])
        counters[[S.NAMINGS, S.RESUMINGS]] = 0
        numbers, index = np.unique(namings["name"], return_inverse=True)
        namings["name"] = np.array([self._number(memory, number) for number in numbers.tolist()], np.int32)[index]
        self._namings.append(namings)
        (self._late if late else self._resumings).append(resumings)
        self._rows += len(namings) + len(resumings)
        if self._rows > MOST_ROWS:
            self.write()

    def _number(self, memory: S.Memory, number: int) -> int:
        if number == 0:
            return 0
        name = bytes(value(memory.arena, memory.entries, number))
        return self._names.setdefault(name, len(self._names) + 1)

    def write(self) -> None:
        """Write what was taken to a file of its own."""
        names = list(self._names)
        path = self.share.folder / f"exchange-{self.group}-{len(self.files)}"
        arrays = {
            "namings": np.concatenate([np.zeros(0, NAMING), *self._namings]),
            "resumings": np.concatenate([np.zeros(0, RESUMING), *self._resumings]),
            "late": np.concatenate([np.zeros(0, RESUMING), *self._late]),
            "lengths": np.array([len(name) for name in names], np.int64),
            "names": np.frombuffer(b"".join(names), np.uint8),
        }
        packed.write(path, KIND, {}, arrays)
        self.files.append(path)
        self._namings, self._resumings, self._late, self._names, self._rows = [], [], [], {}, 0


def read(path: Path) -> Chunk:
    """What a file holds. Raises OSError, and RefusedError for what no share has written."""
    arrays = packed.read(path, KIND, LAYOUTS).arrays
    lengths, data = arrays["lengths"], arrays["names"].tobytes()
    ends = np.cumsum(lengths)
    if (lengths < 0).any() or (int(ends[-1]) if len(ends) else 0) != len(data):
        raise RefusedError("damaged: its names are not whole")
    names = [data[end - size : end] for end, size in zip(ends.tolist(), lengths.tolist(), strict=True)]
    namings = arrays["namings"]
    if len(namings) and (namings["name"].min() < 0 or namings["name"].max() > len(names)):
        raise RefusedError("damaged: it names what it has not")
    return Chunk(namings, arrays["resumings"], arrays["late"], names)
