"""Which of many open captures has the packets that come next; thousands may be open at one time, where files overlap."""

import heapq
from collections.abc import Iterator

from auditor.reading.decoding import Cursor

Key = tuple[int, int]  # a time, and the number of a capture, which decides between equal ones


class CaptureQueue:
    """Open captures, by up to when their packets are known, and by when the next one of each is."""

    def __init__(self) -> None:
        self._cursors: dict[int, Cursor] = {}
        self._known: dict[int, Key] = {}  # up to when, of each as it was noted last
        self._ends: list[Key] = []  # heaps, with what was so before and is not so any more
        self._nexts: list[Key] = []

    def __len__(self) -> int:
        return len(self._cursors)

    def __iter__(self) -> Iterator[Cursor]:
        return iter(list(self._cursors.values()))

    def add(self, cursor: Cursor) -> None:
        """A capture was opened."""
        self._cursors[cursor.number] = cursor

    def note(self, cursor: Cursor) -> None:
        """Other packets of an open capture come next than before."""
        if self._known.get(cursor.number) != cursor.key:
            self._known[cursor.number] = cursor.key
            heapq.heappush(self._ends, cursor.key)
        if (coming := cursor.coming) is not None:
            heapq.heappush(self._nexts, (coming, cursor.number))

    def remove(self, cursor: Cursor) -> None:
        """A capture is at its end."""
        del self._cursors[cursor.number]
        self._known.pop(cursor.number, None)

    @property
    def border(self) -> Key:
        """Up to where all packets of the captures that are open are known."""
        while (cursor := self._cursors.get(self._ends[0][1])) is None or cursor.key != self._ends[0]:
            heapq.heappop(self._ends)
        return self._ends[0]

    def until(self, border: Key) -> list[Cursor]:
        """The captures with packets up to a border, in the order of their numbers; they are to be noted again."""
        found: dict[int, Cursor] = {}
        while self._nexts and self._nexts[0] <= border:
            coming, number = heapq.heappop(self._nexts)
            cursor = self._cursors.get(number)
            if cursor is not None and cursor.coming == coming:
                found[number] = cursor
        return [found[number] for number in sorted(found)]
