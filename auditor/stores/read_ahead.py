"""An object from its first byte to its last: several ranges are on their way while those before are used.

The first range is small, since many are read no further; then ranges grow, and more of them are asked for at a time, so
that the network is never waited for where its bandwidth suffices.
"""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from auditor.stores.objects import ChangedError, NoRangesError, StoreObject, Version, WebObject, persistently, stated

FIRST, LARGEST = 256 << 10, 8 << 20  # bytes of a range
DEPTH = 6  # ranges of one object on their way
PIECE = 1 << 20  # bytes of a file that comes as a whole


class Budget:
    """Bytes that all objects together may have on their way."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there is room for so many more."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """They were handed on."""
        with self._lock:
            self._left += size


class ReadAhead:
    """Iterate, once, to get the bytes of an object; ``version`` and ``changed`` say of which they are."""

    def __init__(self, thing: StoreObject, version: Version | None, pool: ThreadPoolExecutor, budget: Budget) -> None:
        self.thing, self.version = thing, version or Version()
        self.changed = False
        self._pool, self._budget = pool, budget
        self._first: bytes | None = None
        self._has_ranges = True

    def begin(self) -> None:
        """Read the first range. Raises what a store raises where that cannot be."""
        try:
            self._first, self.version = self.thing.read(0, FIRST, self.version)
        except ChangedError:  # since it was listed: it is the one of now that is read
            self._first, self.version = self.thing.read(0, FIRST, Version())
        except NoRangesError:
            self._has_ranges = False

    def __iter__(self) -> Generator[bytes]:
        if not self._has_ranges:
            assert isinstance(self.thing, WebObject)
            yield from self._whole(self.thing)
            return
        assert self._first is not None
        first, self._first = self._first, None
        yield first
        size = self.version.size or 0
        if len(first) < size:
            try:
                yield from self._ranges(len(first), size)
                self.changed = self._is_other_now()
            except ChangedError:
                self.changed = True

    def _ranges(self, begin: int, size: int) -> Iterator[bytes]:
        """The ranges from ``begin`` on, in order."""
        step, depth = 2 * FIRST, 1
        waiting: deque[tuple[Future[tuple[bytes, Version]], int]] = deque()
        try:
            while waiting or begin < size:
                while begin < size and len(waiting) < depth:
                    taken = step if self._budget.take(step) else 0
                    if not taken and waiting:  # one is always on its way
                        break
                    end = min(begin + step, size)
                    waiting.append((self._pool.submit(self.thing.read, begin, end, self.version), taken))
                    begin = end
                future, taken = waiting.popleft()
                try:
                    yield future.result()[0]
                finally:
                    self._budget.give(taken)
                step, depth = min(2 * step, LARGEST), min(depth + 1, DEPTH)
        finally:
            for future, taken in waiting:
                future.cancel()
                self._budget.give(taken)

    def _is_other_now(self) -> bool:
        """Whether there is another object of that name at the end."""
        try:
            return replace(self.version, number=None).differs(replace(self.thing.look(), number=None))
        except FileNotFoundError:
            return True
        except Exception:  # noqa: BLE001 - whoever may read it may not look at it; its ranges were of one version
            return False

    def _whole(self, thing: WebObject) -> Iterator[bytes]:
        """A file of a server that knows no ranges; where the connection is cut, from its beginning once more."""
        done = 0
        answer: Any = None

        def again() -> bytes:
            nonlocal answer
            if answer is None:
                answer = thing.wait(thing.request({}))
                now = stated(answer)
                if self.version.differs(now):
                    raise ChangedError
                self.version = self.version.with_more(now)
                thing.wait(_skip(answer, done))
            try:
                piece: bytes = thing.wait(answer.content.read(PIECE))
            except BaseException:
                answer = None
                raise
            return piece

        try:
            while piece := persistently(again):
                done += len(piece)
                yield piece
            self.changed = self.version.size is not None and done != self.version.size
        except ChangedError:
            self.changed = True
        finally:
            if answer is not None:
                answer.close()


async def _skip(answer: Any, count: int) -> None:
    """Read what was read before."""
    while count:
        piece = await answer.content.read(min(count, PIECE))
        if not piece:
            raise ConnectionError("the file has become shorter")
        count -= len(piece)
