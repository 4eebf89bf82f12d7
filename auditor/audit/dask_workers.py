"""One audit on the machines of a Dask cluster: the pieces that processes of one machine do, done by its workers.

Captures and the folder of the results lie where all workers see them. What goes over the scheduler is small: names of
files, options, counts. A worker may die, and a piece may be done twice: each attempt has a folder of its own.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from auditor.audit import followed, shares
from auditor.audit.chosen import CURRENT
from auditor.border.gate import RefusedError
from auditor.data import __version__
from auditor.errors import AuditError, shown
from auditor.machine import installing, kernel

THREADS_A_SHARE = 2  # of workers: reading and following take one each
PATIENCE = 30  # seconds in which a scheduler has to answer, and its workers to come
PIECES: dict[str, Callable[..., Any]] = {"follow": followed.follow, "judge": shares.judge}


def do_piece(name: str, *arguments: Any) -> Any:
    """What a worker does. Errors of ours travel as words: how others are made is not known there."""
    kernel.prepare()
    try:
        return PIECES[name](*arguments)
    except AuditError as error:
        return error
    except RefusedError as error:
        return AuditError(f"what workers hand to each other is {error}")
    except OSError as error:
        return AuditError(f"{error.filename or 'a file'}: {error.strerror or error}")


def look(folder: Path, name: str) -> tuple[str, bool]:
    """The version of a worker, and whether it sees a file."""
    return __version__, (folder / name).is_file()


@dataclass
class DaskWorkers:
    """The workers that a client reaches."""

    client: Any
    read: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The cluster is not ours to end."""

    def map(self, piece: str, calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """What a piece gives for each of some arguments, in their order. Raises AuditError where it cannot be done."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        futures = [self.client.submit(do_piece, piece, *arguments, pure=False) for arguments in calls]
        try:
            for future in futures:
                answer = future.result()
                if isinstance(answer, AuditError):
                    raise answer
                yield answer
        except KilledWorker as error:
            raise AuditError(
                f"workers of the cluster died one after the other over the same piece: memory? give more --jobs, so "
                f"that each has a smaller share ({error.last_worker.address})"
            ) from error
        except (FutureCancelledError, ImportError) as error:
            raise AuditError(
                f"the cluster did not do its work: {error}; is the same auditor installed there?"
            ) from error
        finally:
            self.client.cancel(futures)

    def shares(self, jobs: int | None) -> int:
        """In how many shares the flows are followed: as many as workers can do at one time, without ``jobs``."""
        return jobs or max(1, sum(self._info("nthreads")) // THREADS_A_SHARE)

    def memory_bytes(self) -> int | None:
        """Bytes that one piece may take; None where no worker has a limit."""
        limits = [
            limit // max(1, threads // THREADS_A_SHARE)
            for limit, threads in zip(self._info("memory_limit"), self._info("nthreads"), strict=True)
            if limit
        ]
        return min(limits) * 3 // 5 if limits else None

    def _info(self, name: str) -> list[int]:
        return [worker[name] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values()]

    def check(self, folder: Path) -> None:
        """Raise AuditError unless all workers are of this version and see the folder."""
        name = f"seen-{os.urandom(8).hex()}"
        (folder / name).touch(mode=0o600, exist_ok=False)
        try:
            answers = self.client.run(look, folder, name)
        except Exception as error:
            raise AuditError(f"the workers of the cluster cannot do it: {error}; {_same()}") from error
        for worker, (version, sees) in answers.items():
            if version != __version__:
                raise AuditError(f"{worker}: has version {version}, this is {__version__}; {_same()}")
            if not sees:
                raise AuditError(
                    f"{worker}: does not see {shown(folder.parent)}; give --out a folder that all machines share"
                )


def _same() -> str:
    return f"install the same one there: {installing.install('cluster')}"


@contextmanager
def connected(address: str | None) -> Iterator[DaskWorkers]:
    """The workers of a scheduler, or of the client that audits are begun with. Raises AuditError where there are none."""
    known = CURRENT.get()
    if address is None:
        workers = DaskWorkers(known)
        _wait(workers)
        yield workers
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise AuditError(f"--scheduler needs Dask: {installing.install('cluster')}") from error
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise AuditError(f"--scheduler {shown(address)}: no scheduler answers there: {error}") from error
    try:
        workers = DaskWorkers(client)
        _wait(workers)
        yield workers
    finally:
        with suppress(TimeoutError, OSError):
            client.close()


def _wait(workers: DaskWorkers) -> None:
    """Wait until there is a worker."""
    try:
        workers.client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise AuditError(f"the scheduler {workers.client.scheduler.address} has no workers") from error
