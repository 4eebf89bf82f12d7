"""Batches of several shares as one, as a single process would have given them: few flows, in the order of first packets."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auditor.flows import rows, strings
from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.reading.events import Batch


def together(batches: Sequence[Batch]) -> Batch:
    """One batch of several, of which no string is there twice."""
    numbers: dict[bytes, int] = {}
    parts = [_renumbered(batch, numbers) for batch in batches]
    data = [np.frombuffer(one, np.uint8) for one in numbers]
    lengths = np.array([len(one) for one in data], np.int64)
    memory = strings.memory_of(lengths, np.concatenate([np.zeros(0, np.uint8), *data]))
    longest = max((batch.interfaces for batch in batches), key=len)
    size = sum(batch.size for batch in batches)
    return replace(batches[0], rows=_joined(parts), memory=memory, size=size, interfaces=longest)


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


def _joined(parts: Sequence[rows.Rows]) -> rows.Rows:
    """The rows of all parts, flows in the order of their first packets, with what belongs to each behind each other."""
    begins = np.cumsum([0, *map(len, parts)])[:-1].tolist()
    flows = np.concatenate([part.flows for part in parts])
    order = np.argsort(flows["number"], kind="stable")
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
