"""A process that does pieces of an audit for another one, one after the other, until nobody asks for more.

As a program it is given the number of an open socket: over it come the machine code of the kernels, then pieces of work.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from auditor.audit import followed, shares
from auditor.border.gate import RefusedError
from auditor.errors import AuditError, shown
from auditor.machine import isolated, kernel, memory, objects

PIECES: dict[str, Callable[..., Any]] = {"follow": followed.follow, "judge": shares.judge}
DONE, FAILED, READ = "done", "failed", "read"  # what an answer is
BEAT = 0.2  # seconds between two reports of how much was read


class Reports:
    """Tells how much was read, now and then."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next = 0.0

    def __call__(self, packets: int, size: int, files: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + BEAT
            self._connection.send((READ, (packets, size, files)))


def serve(connection: Connection) -> None:
    """Do what is asked for until the other end closes."""
    while True:
        piece, arguments = connection.recv()
        memory.spare(arguments[0].memory_bytes)
        if piece == "follow":
            arguments = (*arguments, Reports(connection))
        try:
            answer = DONE, PIECES[piece](*arguments)
        except AuditError as error:
            answer = FAILED, (type(error), str(error))
        except RefusedError as error:
            answer = FAILED, (AuditError, f"what workers hand to each other is {error}")
        except OSError as error:
            where = shown(error.filename or arguments[0].folder.parent)  # what is written has no name in errors
            answer = FAILED, (AuditError, f"{where}: {error.strerror or error}")
        connection.send(answer)


def main(arguments: list[str]) -> int:
    """Serve the process at the other end of a socket, which is open under the number given."""
    isolated.end_with(os.getppid())
    with Connection(int(arguments[0])) as connection, suppress(EOFError, OSError):
        kernel.take(objects.unpack(connection.recv_bytes()))
        serve(connection)
    return 0
