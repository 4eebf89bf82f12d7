"""Batches as one: of several shares, as a single process would have given them; and of captures that are audited apart.

What a batch costs is the same for one flow and for hundreds, so few flows are put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from auditor.decode.control import Control
from auditor.decode.frames import Apart, first_of
from auditor.flows import rows, strings
from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.reading.events import ALONE, Batch
from auditor.reading.kept import FRAMES


def together(batches: Sequence[Batch]) -> Batch:
    """One batch of several shares, of which no string is there twice, in the order of first packets."""
    numbers: dict[bytes, int] = {}
    parts = [_renumbered(batch, numbers) for batch in batches]
    order = np.argsort(np.concatenate([part.flows["number"] for part in parts]), kind="stable")
    longest = max((batch.interfaces for batch in batches), key=len)
    size = sum(batch.size for batch in batches)
    return replace(batches[0], rows=_joined(parts, order), memory=_memory_of(numbers), size=size, interfaces=longest)


@dataclass
class PartsApart:
    """Batches of captures that are audited apart, one behind the other, as they come to be one batch."""

    size: int = 0
    flows: int = 0
    _rows: list[rows.Rows] = field(default_factory=list)
    _texts: dict[bytes, int] = field(default_factory=dict)
    _captures: Apart = field(default_factory=Apart)
    _interfaces: list[str | None] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Take another one; what it is made of is copied, so that the memory of its capture may go."""
        self.size += batch.size
        self.flows += len(batch.rows)
        self._rows.append(self._shifted(_renumbered(batch, self._texts)))
        self._captures += batch.captures
        self._interfaces += batch.interfaces or [None]

    def batch(self) -> Batch:
        """All of them as one."""
        return Batch(
            captures=self._captures,
            rows=_joined(self._rows, np.arange(self.flows)),
            size=self.size,
            memory=_memory_of(self._texts),
            generation=ALONE,
            interfaces=self._interfaces,
            control=Control(captures=self._captures),
            key_logs={},
        )

    def _shifted(self, own: rows.Rows) -> rows.Rows:
        """Rows whose captures and interfaces have numbers behind those of all before."""
        own = replace(own, sides=rows.copied(own.sides), places=rows.copied(own.places))
        for table, names in FRAMES.items():
            for name in names:
                numbers = getattr(own, table)[name]
                numbers[numbers != 0] += first_of(len(self._captures))
        for array in (own.sides, own.places):
            array["interface"][array["interface"] >= 0] += len(self._interfaces)
        return own


def _memory_of(numbers: dict[bytes, int]) -> S.Memory:
    """A memory that has nothing but those strings, with the numbers in their order."""
    data = [np.frombuffer(one, np.uint8) for one in numbers]
    lengths = np.array([len(one) for one in data], np.int64)
    return strings.memory_of(lengths, np.concatenate([np.zeros(0, np.uint8), *data]))


def _renumbered(batch: Batch, numbers: dict[bytes, int]) -> rows.Rows:
    """Rows of a batch whose strings have the numbers of all."""
    own, texts = strings.compacted(batch.rows, batch.memory)
    memory = strings.memory_of(texts.lengths, texts.data)
    found = [0]
    for number in range(1, len(memory.entries)):
        text = bytes(value(memory.arena, memory.entries, number))
        found.append(numbers.setdefault(text, len(numbers) + 1))
    number_of = np.array(found, np.int32)
    for array, names in ((own.flows, strings.OF_FLOWS), (own.handshakes, rows.INTERNED)):
        for name in names:
            array[name] = number_of[array[name]]
    return own


def _joined(parts: Sequence[rows.Rows], order: S.Array) -> rows.Rows:
    """The rows of all parts, flows in that order, with what belongs to each behind each other."""
    begins = np.cumsum([0, *map(len, parts)])[:-1].tolist()
    flows = np.concatenate([part.flows for part in parts])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    shaken = place[np.concatenate([part.handshake_flow + by for part, by in zip(parts, begins, strict=True)])]
    placed = place[np.concatenate([part.place_flow + by for part, by in zip(parts, begins, strict=True)])]
    by_shaken, by_placed = np.argsort(shaken, kind="stable"), np.argsort(placed, kind="stable")
    return rows.Rows(
        _records(flows[order]),
        np.concatenate([part.sides for part in parts])[order],
        _records(np.concatenate([part.handshakes for part in parts])[by_shaken]),
        shaken[by_shaken],
        _records(np.concatenate([part.places for part in parts])[by_placed]),
        placed[by_placed],
    )


def _records(array: S.Array) -> S.Array:
    return array.view(np.recarray)
