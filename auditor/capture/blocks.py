"""Where the blocks of zstd (RFC 8878 3.1.1) and of lz4 (its frame format 1.6) end.

Their libraries raise at a damaged block and give nothing of the blocks that came with it in one call. Given what is
packed a block at a time, they have given all before the damage.
"""

from collections.abc import Callable, Generator
from typing import Literal

CLOSEST = 512  # bytes of packed data: blocks that end nearer to each other come together, for each call takes its time
LITTLE: Literal["little"] = "little"
# Yields how many bytes it wants to see next, or (negative) to pass over: those are a block.
Walk = Generator[int, bytes, None]


def _zstd() -> Walk:
    """The blocks of one frame of zstd, or what is in a frame that is passed over."""
    magic = yield 4
    if magic != b"\x28\xb5\x2f\xfd":
        yield -int.from_bytes((yield 4), LITTLE)
        return
    descriptor = (yield 1)[0]
    is_single = descriptor >> 5 & 1
    content = (is_single, 2, 4, 8)[descriptor >> 6]
    yield (0 if is_single else 1) + (0, 1, 2, 4)[descriptor & 3] + content  # window, dictionary, size of the content
    is_last = False
    while not is_last:
        head = int.from_bytes((yield 3), LITTLE)
        is_last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
        yield -(1 if kind == 1 else size)  # one byte that is repeated


def _lz4() -> Walk:
    """The blocks of one frame of lz4."""
    flags = (yield 6)[4]
    yield (8 if flags & 8 else 0) + (4 if flags & 1 else 0) + 1  # size of the content, dictionary, checksum
    while size := int.from_bytes((yield 4), LITTLE) & 0x7FFFFFFF:
        yield -(size + (4 if flags & 16 else 0))


WALKS: dict[str, Callable[[], Walk]] = {"zstd": _zstd, "lz4": _lz4}


class PackedBlocks:
    """Follows what is packed, as it comes, from block to block."""

    def __init__(self, name: str) -> None:
        self._walk = WALKS[name]()
        self._left = next(self._walk)  # what is wanted next: so many bytes to be seen, or (negative) to be passed over
        self._seen = bytearray()
        self._is_over = False

    def take(self, data: bytes) -> int:
        """How many of these bytes, which follow those that were taken before, are to be unpacked in one call."""
        at = 0
        while not self._is_over and at < len(data):
            step = min(abs(self._left), len(data) - at)
            if self._left > 0:
                self._seen += data[at : at + step]
            at += step
            is_block = self._left < 0
            self._left += step if is_block else -step
            if self._left == 0:
                self._go_on()
                if is_block and at >= CLOSEST:
                    return at
        return len(data)

    def _go_on(self) -> None:
        """What is wanted next; nothing at all is passed over at once."""
        try:
            while self._left == 0:
                seen = bytes(self._seen)
                self._seen.clear()
                self._left = self._walk.send(seen)
        except StopIteration:
            self._is_over = True
