"""Processes of this machine that do pieces of an audit, started as isolated and with no more rights than this one."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self

from auditor.audit.worker import DONE, READ
from auditor.errors import AuditError
from auditor.machine import isolated, kernel, objects

ATTEMPTS = 2  # at a piece whose process dies
PASSED_ON = ("NUMBA_DISABLE_JIT",)  # variables that workers are to have as well


class Workers(Protocol):
    """Whoever does pieces of an audit."""

    read: dict[int, tuple[int, ...]]  # packets, bytes and captures that each has read, as it last said

    def map(self, piece: str, calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """What a piece gives for each of some arguments, in their order."""
        ...


@dataclass
class Worker:
    """A process that does one piece after the other."""

    number: int
    connection: Connection
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, number: int) -> "Worker":
        """Start one. Raises AuditError where that is not possible."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = isolated.module("auditor.audit.worker", str(theirs.fileno()))
            more = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
            try:
                # In a group of its own: whoever asks decides what Ctrl-C means.
                process = isolated.start(
                    command, more, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), process_group=0
                )
            except OSError as error:
                ours.close()
                raise AuditError(f"a worker cannot be started: {error.strerror}; use fewer with --jobs") from error
        worker = cls(number, Connection(ours.detach()), process)
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended at once, which shows when it is asked
            worker.connection.send_bytes(objects.pack(kernel.machine_code()))
        return worker

    def ask(self, piece: str, arguments: tuple[Any, ...], read: Callable[..., object]) -> Any:
        """Do a piece. Raises EOFError where the process has died."""
        try:
            self.connection.send((piece, arguments))
            while (answer := self.connection.recv())[0] == READ:
                read(*answer[1])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError from error
        if answer[0] == DONE:
            return answer[1]
        kind, words = answer[1]
        raise kind(words)

    def stop(self) -> None:
        """End it, whatever it does."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


@dataclass
class Processes:
    """So many processes."""

    count: int
    read: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _workers: list[Worker] = field(default_factory=list)
    _idle: list[Worker] = field(default_factory=list)

    def __enter__(self) -> Self:
        try:
            for number in range(self.count):
                self._workers.append(Worker.start(number))
        except BaseException:
            self.__exit__()
            raise
        self._idle = list(self._workers)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def map(self, piece: str, calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """What a piece gives for each of some arguments, in their order."""
        threads = ThreadPoolExecutor(self.count, thread_name_prefix="worker")
        try:
            for future in [threads.submit(self._do, piece, arguments) for arguments in calls]:
                yield future.result()
        except BaseException:
            for worker in self._workers:  # nobody waits for what they do
                worker.process.kill()
            raise
        finally:
            threads.shutdown(cancel_futures=True)

    def _note(self, number: int, *read: int) -> None:
        self.read[number] = read

    def _do(self, piece: str, arguments: tuple[Any, ...]) -> Any:
        """Have a piece done by whoever is idle; once more if the process dies over it."""
        worker = self._idle.pop()
        for left in reversed(range(ATTEMPTS)):
            try:
                answer = worker.ask(piece, arguments, partial(self._note, worker.number))
            except EOFError as error:
                code = worker.process.wait()
                if not left:
                    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
                    raise AuditError(
                        f"a worker died twice over the same piece ({how}): memory? give --memory, or fewer --jobs"
                    ) from error
                worker.stop()
                again = Worker.start(worker.number)
                self._workers[self._workers.index(worker)] = again
                worker = again
            else:
                self._idle.append(worker)
                return answer
        return None
