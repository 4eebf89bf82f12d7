"""gzip whose data are damaged or whose checksum is wrong: all that could be unpacked before is given.

zlib raises where it finds damage and gives nothing of what it unpacked in that call, which may be the last hundred KiB
of a file that is whole but for its checksum.
"""

import zlib

HEADER = 16 + zlib.MAX_WBITS  # of zlib's parameter: a header and a checksum as gzip has them
MOST_PACKED, MOST_UNPACKED = 1 << 16, 1 << 20  # bytes that are unpacked again where there is damage behind them
WRONG_CHECKSUM = ("incorrect data check", "incorrect length check")


class GzipUnpacker:
    """zlib's unpacker of one packed file, which raises its error only when all before the damage was given."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(HEADER)
        self._error: zlib.error | None = None
        self._remember()

    def _remember(self) -> None:
        """What comes next can be unpacked again from here."""
        self._before, self._packed, self._unpacked = self._unpacker.copy(), bytearray(), 0

    @property
    def eof(self) -> bool:
        """Whether the packed file's end was reached."""
        return self._error is None and self._unpacker.eof

    @property
    def unused_data(self) -> bytes:
        """What was given behind it."""
        return self._unpacker.unused_data

    @property
    def unconsumed_tail(self) -> bytes:
        """What of the packed bytes is to be given again."""
        return b"" if self._error is not None else self._unpacker.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        """What the next packed bytes become. Raises zlib.error."""
        if self._error is not None:
            raise self._error
        if len(self._packed) >= MOST_PACKED or self._unpacked >= MOST_UNPACKED:
            self._remember()
        try:
            made = self._unpacker.decompress(data, max_length)
        except zlib.error as error:
            self._error = zlib.error(_in_words(str(error)))
            if rescued := self._before_damage(data):
                return rescued
            raise self._error from error
        self._packed += data[: len(data) - len(self._unpacker.unconsumed_tail)]
        self._unpacked += len(made)
        return made

    def _before_damage(self, data: bytes) -> bytes:
        """What the bytes before the damage become that was not given yet: byte by byte, so that nothing is lost with an error."""
        again, made = self._before, bytearray()
        try:
            for byte in self._packed + data:
                made += again.decompress(bytes((byte,)))
        except zlib.error:
            pass  # the damage: everything before it is there
        return bytes(made[self._unpacked :])


def _in_words(error: str) -> str:
    if error.endswith(WRONG_CHECKSUM):
        return "its checksum is not that of what was unpacked, of which any part may be wrong"
    return error
