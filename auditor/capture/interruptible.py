"""Streams that keep their reader waiting, as pipes do: another thread can end the wait."""

import io
import os
import select
import threading
from pathlib import Path
from typing import Any


class Interruptible:
    """A raw stream that ends when its source does, or when ``stop`` is called, also while a read waits for bytes."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream: Any = stream
        read, write = os.pipe()
        self._woken, self._wake = os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)
        self._closing = threading.Lock()
        self._ready = select.poll()
        self._ready.register(stream.fileno(), select.POLLIN)
        self._ready.register(read, select.POLLIN)

    def stop(self) -> None:
        """End the stream for whoever reads it."""
        with self._closing:
            if not self._wake.closed:
                self._wake.write(b"\0")

    def _is_over(self) -> bool:
        """Wait for bytes or for an end; whether it is that of ``stop``."""
        return any(number == self._woken.fileno() for number, _ in self._ready.poll())

    def readinto(self, view: memoryview) -> int:
        return 0 if self._is_over() else self._stream.readinto(view) or 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = b"" if self._is_over() else self._stream.read(size)
        return data

    def close(self) -> None:
        self._stream.close()
        with self._closing:
            self._woken.close()
            self._wake.close()


def opened(path: Path) -> io.RawIOBase:
    """A file to be read from; of a named pipe the first byte is waited for, not the program that will write it.

    What was a file when it was looked at may be a pipe by now, for which nobody must wait either.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(number, True)
    return os.fdopen(number, "rb", buffering=0)
