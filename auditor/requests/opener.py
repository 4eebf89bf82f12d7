"""The child in which tshark dissects, started before there is anything to be dissected: it takes longer to load than to work.

Nothing of what it is given has a name on disk: the packets are in a file without one, the secrets in memory. Both are gone
with the processes, however these end.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from auditor.errors import InputError
from auditor.machine import isolated
from auditor.requests import tshark

# Hundredths of the audit's memory that tshark may have, and the child that reads what it dissects; not less than tshark
# needs for a few packets.
TSHARK, CHILD = 40, 25
LEAST = 256 << 20


class PrivateFile:
    """A file that only this process and its children can read, and that nobody finds afterwards."""

    def __init__(self, in_memory: bool = False) -> None:
        self.folder: str | None = None
        self.file: BinaryIO
        if not Path("/proc/self/fd").is_dir():  # the child is given a path; elsewhere only real files have one
            self.folder = tempfile.mkdtemp(prefix="audit-")
            self.file = (Path(self.folder) / "cut").open("w+b")
        elif in_memory and hasattr(os, "memfd_create"):
            self.file = os.fdopen(os.memfd_create("audit"), "w+b")
        else:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``close``

    @property
    def handle(self) -> int | str:
        """How the child opens it: a descriptor that it inherits, or a path."""
        return self.file.fileno() if self.folder is None else self.file.name

    def inherited(self) -> Sequence[int]:
        return [self.file.fileno()] if self.folder is None else []

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written on a full disk, and is not needed any more
            self.file.close()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class Opener:
    """A child that dissects, and its tshark: begun before there is anything for them, since both take long to load."""

    def __init__(self, program: str, private_keys: Sequence[Path], memory: int) -> None:
        self.program, self.private_keys, self.memory = program, list(private_keys), memory
        self.packets, self.keys = PrivateFile(), PrivateFile(in_memory=True)
        self.child = _start([*self.packets.inherited(), *self.keys.inherited()])
        self._is_told = False
        tshark.ask(program)
        if tshark.is_known(program):
            with contextlib.suppress(InputError):  # said when there is something to be dissected
                self.begin()

    def begin(self) -> None:
        """Let the child start tshark. Raises InputError where it is not known how to restrict that."""
        if not self._is_told:
            self.tell(
                {
                    "capture": self.packets.handle,
                    "keys": self.keys.handle,
                    "private_keys": [str(Path(path).absolute()) for path in self.private_keys],
                    "tshark": self.program,
                    "options": tshark.restricted(self.program),
                    "memory": max(LEAST, self.memory * TSHARK // 100),
                    "own_memory": max(LEAST, self.memory * CHILD // 100),
                }
            )
            self._is_told = True

    def tell(self, order: dict[str, Any]) -> None:
        """Give the child an order; whether it has ended shows when it is asked for results."""
        assert self.child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.write(json.dumps(order).encode() + b"\n")
            self.child.stdin.flush()

    def close(self) -> None:
        """End the child, and wait until it has ended."""
        kill(self.child)
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.packets.close()
        self.keys.close()


def begin(private_keys: Sequence[Path], memory: int) -> Opener | None:
    """Begin to load what opens flows, of an audit that may take so many bytes; None where there is no tshark."""
    return Opener(program, private_keys, memory) if (program := tshark.program()) is not None else None


def _start(inherited: Sequence[int]) -> "subprocess.Popen[bytes]":
    """A child that loads what it needs, and waits for its orders."""
    return isolated.start(
        isolated.module("auditor.requests.worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what tshark or a traceback says may hold what was dissected
        pass_fds=inherited,
        start_new_session=True,
    )


def kill(child: "subprocess.Popen[bytes]") -> None:
    """End the child and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
