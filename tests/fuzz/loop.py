"""Running targets: so many executions from a seed, each in a folder of its own; what comes out is our own error, or kept."""

import faulthandler
import hashlib
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType

import pyarrow as pa

import auditor
from tests.fuzz.targets import TARGETS, Target

HANG = 10  # seconds of processor time that no input may take
MOST_MEMORY = 1 << 20  # KiB that no input may take
TOUCHED = 0.02  # seconds in which nobody touches that many
MEMORY = Path("/dev/shm")
KEPT = Path(__file__).parent / "kept"


class HangError(BaseException):
    """An input took too long; no reader may catch that."""


@dataclass(frozen=True)
class Crash:
    """An input that something else than our own error came of, and what that was."""

    target: str
    data: bytes
    what: str

    @property
    def name(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:12]


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, in memory where there is such a file system."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as made:
        yield Path(made)


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise HangError


class Peak:
    """The most memory that this process ever took. To ask takes as long as many an execution: so only behind those that took long."""

    def __init__(self) -> None:
        self.kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def grown(self) -> int:
        """By how much it grew since this was last asked."""
        before, self.kibibytes = self.kibibytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self.kibibytes - before


@cache
def _peak() -> Peak:
    return Peak()


def execute(name: str, target: Target, data: bytes, work: Path, random: Random | None = None) -> Crash | None:
    """Give one input to its readers: all of them, or with ``random`` to one where each takes long."""
    inner = work / "in"
    path = inner / target.file
    if not inner.exists():
        inner.mkdir()
    with path.open("wb", buffering=0) as file:
        file.write(data)
    peak, begin = _peak(), time.perf_counter()
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG)
    try:
        if random is None or target.glance is None:
            target.read(path)
        else:
            target.glance(path, random)
    except auditor.AuditError as error:
        if not str(error).isprintable():
            return Crash(name, data, f"a message that is not harmless: {error}")
    except (Exception, HangError):  # noqa: BLE001 - whatever it is, it is what is looked for
        return Crash(name, data, traceback.format_exc(limit=-6))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if target.is_slow or not path.exists():
            shutil.rmtree(inner)
    if time.perf_counter() - begin > TOUCHED and peak.grown() > MOST_MEMORY:
        return Crash(name, data, "it takes more than 1 GiB")
    return None


@contextmanager
def watched() -> Iterator[None]:
    """What takes too long is ended, in this thread, which must be the main one; warnings are errors."""
    faulthandler.enable()
    pa.set_cpu_count(1)  # inputs are small: handing them to other threads costs more than reading them
    before = signal.signal(signal.SIGVTALRM, _ring)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)  # of an earlier input's, whenever it is collected
            yield
    finally:
        signal.signal(signal.SIGVTALRM, before)


def run(name: str, executions: int, seed: int) -> Iterator[Crash]:
    """The crashes among so many inputs of a target; the same ones for the same seed."""
    target, random = TARGETS[name], Random(f"{name} {seed}")
    with watched(), folder() as work:
        for _ in range(executions):
            crash = execute(name, target, target.make(random), work, random)
            if crash is not None:
                yield crash


def kept() -> list[tuple[str, Path]]:
    """The inputs that something came of once, with their targets."""
    return [(path.parent.name, path) for path in sorted(KEPT.glob("*/*"))]


def replay(name: str, path: Path) -> Crash | None:
    """Give an input that was kept to its readers again."""
    with watched(), folder() as work:
        return execute(name, TARGETS[name], path.read_bytes(), work)
