"""A program that ends when whoever started it does, however that ends.

As a program, ``tether.py PROGRAM ARGUMENT…``, it runs another one and reads its standard input: at its end, or at
SIGTERM, the other is asked to end, and killed if it does not. A parent that was killed, or has no right any more to
signal what runs with the rights of root, ends it in this way too. What is written to standard input asks the other how it
is getting on, by the signal for that.
"""

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2); a program with rights of its own, as dumpcap has, loses it
ASKING = getattr(signal, "SIGINFO", signal.SIGUSR1)  # tcpdump(8) answers with what it captured and dropped
PATIENCE = 10.0  # seconds in which a program that is asked to end writes out what it has


def _exec(command: list[str], parent: int) -> None:
    """Become the program. Signals of the terminal are its own business, as if nobody stood in between."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before that
            os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(command[0], command)  # noqa: S606 - that is what it is for


def _end_with_input(child: int) -> None:
    """Pass on what is asked, until nobody holds the other end of standard input; then end the program."""
    while os.read(0, 4096):
        with suppress(ProcessLookupError):
            os.kill(child, ASKING)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(child, number)
        threading.Event().wait(PATIENCE)


def main(command: list[str]) -> int:
    """Run a program, given by its path, to its end; its exit code."""
    parent, child = os.getpid(), os.fork()
    if child == 0:
        try:
            _exec(command, parent)
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        os._exit(127)
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):  # whoever started this decides what they mean
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]) & 0xFF)
