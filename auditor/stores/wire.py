"""What goes between an audit and the child that speaks to stores: frames over a socket of its own for each request."""

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("!cI")
DATA, SAID, FAILED = b"d", b"j", b"e"  # bytes of an object; a JSON value; why it went no further
MOST_SAID = 64 << 20  # bytes of a JSON value
PIECE = 1 << 20  # bytes of a file in one frame


class CutError(OSError):
    """The other end is gone."""


def send(to: socket.socket, kind: bytes, data: Any) -> None:
    """Send a frame, waiting until there is room for it."""
    to.sendall(HEADER.pack(kind, len(data)))
    to.sendall(data)


def say(to: socket.socket, value: Any, kind: bytes = SAID) -> None:
    """Send a value."""
    send(to, kind, json.dumps(value).encode())


def header(of: socket.socket) -> tuple[bytes, int]:
    """What frame comes next, and of how many bytes. Raises CutError where none comes any more."""
    kind, length = HEADER.unpack(exactly(of, HEADER.size))
    return kind, length


def value(of: socket.socket, length: int) -> Any:
    """The value of a frame of that length."""
    if length > MOST_SAID:
        raise CutError("a message that is too long")
    return json.loads(exactly(of, length))


def exactly(of: socket.socket, length: int) -> bytes:
    """The next bytes. Raises CutError where there are fewer."""
    data = bytearray(length)
    view, got = memoryview(data), 0
    while got < length:
        count = of.recv_into(view[got:])
        if not count:
            raise CutError("the process that reads from stores has ended")
        got += count
    return bytes(data)
