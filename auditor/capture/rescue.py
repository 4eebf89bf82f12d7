"""Packed files that are damaged, or whose checksum is wrong: what could be unpacked before is given.

The libraries raise where they find damage and give nothing of what they unpacked in that call, which may be the last
hundred KiB of a file that is whole but for its checksum. So the packed bytes of before are unpacked once more, the last of
them one by one: from a copy of the state where there are some (gzip), else from the file's beginning if that is near.
Of forms whose blocks are known (zstd, lz4) a call gets one block, however far from the beginning.
"""

import zlib
from collections.abc import Callable
from typing import Any

from auditor.capture.blocks import PackedBlocks

MOST_PACKED, MOST_UNPACKED = 1 << 16, 1 << 20  # bytes behind a copy of the state
NEAR_PACKED, NEAR_UNPACKED = 1 << 20, 1 << 24  # bytes behind the beginning, where no copy can be made
ONE_BY_ONE = 1 << 13  # packed bytes: those of the last call, and of one before whose output came in several
WRONG_CHECKSUM = ("incorrect data check", "incorrect length check")  # in zlib's words


class Rescuer:
    """An unpacker of one packed file, which raises an error of the library's only when all before the damage was given."""

    def __init__(
        self, make: Callable[[], Any], damage: tuple[type[BaseException], ...], blocks: PackedBlocks | None = None
    ) -> None:
        """``make``: the library's unpacker; ``damage``: the errors that it may raise; ``blocks``: of what is packed, where known."""
        self._unpacker, self._damage = make(), damage
        self._can_copy = hasattr(self._unpacker, "copy")
        self._again = make()  # in the state before ``_packed``
        self._packed: bytearray | None = bytearray()  # None: too much to be unpacked again
        self._unpacked = 0  # bytes that ``_packed`` became
        self._error: BaseException | None = None
        self._blocks, self._behind = blocks, b""  # what was given of the blocks behind the one that was unpacked

    @property
    def eof(self) -> bool:
        """Whether the packed file's end was reached."""
        return self._error is None and bool(self._unpacker.eof)

    @property
    def unused_data(self) -> bytes | None:
        """What was given behind it."""
        rest: bytes | None = self._unpacker.unused_data
        return (rest or b"") + self._behind

    @property
    def unconsumed_tail(self) -> bytes:
        """What of the packed bytes is to be given again, where the library keeps none itself."""
        if self._error is not None:
            return b""
        return self._behind if self._blocks is not None else getattr(self._unpacker, "unconsumed_tail", b"")

    def decompress(self, data: bytes, *most: int) -> bytes:
        """What the next packed bytes become, as far as ``most`` of them. Raises the library's errors."""
        if self._error is not None:
            raise self._error
        self._limit()
        data = self._block(data)
        try:
            made: bytes = self._unpacker.decompress(data, *most)
        except self._damage as error:
            self._error = _in_words(error)
            if rescued := self._before_damage(data):
                return rescued
            raise self._error from error
        if self._packed is not None:
            self._packed += data[: len(data) - len(getattr(self._unpacker, "unconsumed_tail", b""))]
            self._unpacked += len(made)
        return made

    def _block(self, data: bytes) -> bytes:
        """What of the packed bytes is unpacked now: one block, if that is known, and nothing while something waits inside."""
        if self._blocks is None:
            return data
        size = self._blocks.take(data) if getattr(self._unpacker, "needs_input", True) else 0
        self._behind = data[size:]
        return data[:size]

    def _limit(self) -> None:
        """Let not more be unpacked again than is worth it."""
        packed = 0 if self._packed is None else len(self._packed)
        if self._can_copy and (packed >= MOST_PACKED or self._unpacked >= MOST_UNPACKED):
            self._again, self._packed, self._unpacked = self._unpacker.copy(), bytearray(), 0
        elif packed >= NEAR_PACKED or self._unpacked >= NEAR_UNPACKED:
            self._packed = None

    def _before_damage(self, data: bytes) -> bytes:
        """What the bytes before the damage become that was not given yet."""
        if self._packed is None:
            return b""
        made, packed = bytearray(), bytes(self._packed + data)
        try:
            if first := packed[:-ONE_BY_ONE]:
                made += self._again.decompress(first)
            for byte in packed[-ONE_BY_ONE:]:
                made += self._again.decompress(bytes((byte,)))
        except self._damage:
            pass  # the damage itself: everything before it is there
        return bytes(made[self._unpacked :])


def _in_words(error: BaseException) -> BaseException:
    if isinstance(error, zlib.error) and str(error).endswith(WRONG_CHECKSUM):
        return zlib.error("its checksum is not that of what was unpacked, of which any part may be wrong")
    return error
