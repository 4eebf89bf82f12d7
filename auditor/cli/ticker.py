"""Progress on a terminal: what is done now, bytes, packets, rate, time left. One line on standard error, gone at the end."""

import os
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from auditor.audit.progress import CAPTURES, Progress
from auditor.border.words import counted

if TYPE_CHECKING:
    from auditor.requests.decrypt import Stage

DELAY, STEP = 0.7, 0.2  # seconds until something is shown: short audits show nothing; and between two looks
UNKNOWN = 80  # columns of a terminal that does not say how many it has
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def is_shown() -> bool:
    """Whether standard error is a terminal that can take back a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Ticker:
    """Shows progress while a block of code runs."""

    active: "Ticker | None" = None  # the one whose line must be taken back before something else is said

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._width = 0  # of the line that is shown
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)

    def __enter__(self) -> Self:
        Ticker.active = self
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        Ticker.active = None
        self.clear()

    def clear(self) -> None:
        """Take the line back, if there is one."""
        if self._width:
            self._write(f"\r{' ' * self._width}\r")  # no escape sequence: every terminal understands this
            self._width = 0

    def _work(self) -> None:
        wait = DELAY
        while not self._ended.wait(wait):
            wait = STEP
            room = (os.get_terminal_size(sys.stderr.fileno()).columns or UNKNOWN) - 1
            text = line(self.progress, room)[: max(room, 0)]
            self._write(f"\r{text.ljust(self._width)}")
            self._width = len(text)

    def _write(self, text: str) -> None:
        with self._lock:
            try:
                sys.stderr.write(text)
                sys.stderr.flush()
            except OSError:  # the terminal is gone: the audit goes on
                self._ended.set()


def line(progress: Progress, room: int = 1000) -> str:
    """How far it is, in a line; where there is no room for all, without packets and rates."""
    done, seconds = progress.done, progress.seconds
    if progress.opening is not None:
        return _opening(progress.opening, room)
    if progress.phase != CAPTURES:
        return f"{progress.phase} …"
    if progress.total and done >= progress.total:
        return f"judging flows of {counted(progress.packets, 'packet')} …"
    parts, (read, files) = [size(done)], progress.files
    rate = done / seconds if seconds > 0 else 0.0
    if progress.total:
        parts[0] += f" of {size(progress.total)} ({100 * done // progress.total} %)"
    if files > 1:
        parts.insert(0, f"{read:,} of {counted(files, 'file')}")
    parts[0] = f"{progress.phase if progress.live is None else 'capturing'}: {parts[0]}"
    parts += [counted(progress.packets, "packet"), f"{size(rate)}/s"]
    if progress.live is not None:
        parts.append(f"{counted(round(progress.packets / seconds) if seconds > 0 else 0, 'packet')}/s")
        told = "drops are told at the end" if progress.dropped is None else f"{progress.dropped:,} dropped"
        parts.append("behind: packets may be dropped" if progress.is_behind and not progress.dropped else told)
    if progress.total and rate:
        parts.append(f"{time_of((progress.total - done) / rate)} left")
    return _fitted(parts, room)


def _fitted(parts: list[str], room: int) -> str:
    """Parts as one line: the first and the last ones where there is no room for all, or the first one alone."""
    while len(parts) > 1 and len(", ".join(parts)) > room:
        del parts[-2 if len(parts) > 2 else -1]
    return ", ".join(parts)


def _opening(stage: "Stage", room: int) -> str:
    """How far it is with what is inside of flows, which takes far longer for a byte than reading."""
    flows = f"looking into {counted(stage.flows, 'flow')}"
    if not stage.bytes:
        return f"{flows}: reading their packets again …"
    share = f"{size(stage.given)} of {size(stage.bytes)} ({min(100, 100 * stage.given // stage.bytes)} %)"
    return _fitted([f"{flows}: {share} are with tshark", counted(stage.found, "request")], room)


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} B"


def time_of(seconds: float) -> str:
    """A time span for people."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole // 60 % 60} min"
