"""Live capture: a child process captures and writes a capture to a pipe; this process needs no rights to capture.

The best program there is does it: ``dumpcap``, else ``tcpdump``, else a raw socket opened by scapy in a Python child.
It is tethered (``machine/tether.py``): it ends when its standard input does, which this process holds open, so also after
this one was killed, and where this one may not signal it because it has given up its rights.
"""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from auditor.border.words import agreed
from auditor.capture.inputs import Input
from auditor.errors import InputError
from auditor.machine import isolated, programs, tether

SNAP_LENGTH = 262_144
PROGRAMS = ("dumpcap", "tcpdump")
RAW_SOCKET = "auditor.capture.raw_socket"
RIGHTS = re.compile(r"permission|not permitted|privilege|root|CAP_NET|EPERM", re.IGNORECASE)
NO_DEVICE = re.compile(r"no such device|doesn't exist|does not exist|not found|no interface", re.IGNORECASE)
LISTENS = "listening on"  # what a program says that can be asked, once it can
DROPPED = re.compile(r"(\d+) packets? dropped by kernel")
COUNTED = re.compile(r"\d+ packets? (?:captured|received by filter|dropped by (?:kernel|interface))")
PATIENCE = 1.0  # seconds between two questions
FULL = 0.9  # of the pipe: then the program waits, and the kernel drops what finds no room


def command(interface: str, capture_filter: str | None) -> list[str]:
    """The command line of the capturing child."""
    dumpcap = programs.find("dumpcap")
    if dumpcap:
        chosen = [dumpcap, "-q", "-i", interface, "-s", str(SNAP_LENGTH), "-w", "-"]
        return [*chosen, "-f", capture_filter] if capture_filter else chosen
    tcpdump = programs.find("tcpdump")
    if tcpdump:
        chosen = [tcpdump, "-n", "-U", "-i", interface, "-s", str(SNAP_LENGTH), "-w", "-"]
        return [*chosen, "--", capture_filter] if capture_filter else chosen
    return isolated.module(RAW_SOCKET, interface, *([capture_filter] if capture_filter else []))


class LiveCapture:
    """A capture in progress. ``begin`` waits until packets are captured, and ``duration`` counts from then on.

    ``stop`` ends it in good order: what was captured is still read. Raises InputError for a duration that is none.
    """

    def __init__(self, interface: str, capture_filter: str | None = None, duration: float | None = None) -> None:
        if duration is not None and not 0 < duration <= threading.TIMEOUT_MAX:
            raise InputError(
                f"--duration {duration:g}: give a number of seconds above 0, or none to capture until Ctrl-C"
            )
        self.interface = interface
        self._command = command(interface, capture_filter)
        name = Path(self._command[0]).name
        self.program = name if name in PROGRAMS else "a raw socket"
        self._child = isolated.start(
            isolated.script(tether.__file__, *self._command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._held: IO[bytes] = self._child.stdin
        self._stream = self._child.stdout
        self._messages: list[str] = []
        self._dropped: int | None = None
        self._is_to_end = False
        self._asked: float | None = None  # when; None while it cannot be asked
        self._listener = threading.Thread(target=self._listen, args=(self._child.stderr,), daemon=True)
        self._listener.start()
        self._until = (
            f"for {duration:g} {agreed(0 if duration != 1 else 1, 'second')}"
            if duration is not None
            else "until Ctrl-C"
        )
        self._timer: threading.Timer | None = None
        if duration is not None:
            self._timer = threading.Timer(duration, self.stop)
            self._timer.daemon = True

    def begin(self) -> None:
        """Wait until the child captures: it writes the header of its file once it listens. Raises InputError if it has failed."""
        select.select([self._stream], [], [])
        if not self._waiting():  # its end alone is there to be read
            self.stop()
            raise self.failure()
        if self._timer is not None:
            self._timer.start()

    def _listen(self, stream: object) -> None:
        for line in cast("BinaryIO", stream):
            text = line.decode("utf-8", "replace").strip()
            if (dropped := DROPPED.search(text)) is not None:
                self._dropped = int(dropped[1])
            if LISTENS in text and self.program != "dumpcap":  # which a signal ends
                self._asked = time.monotonic()
            if len(self._messages) < 200 and not COUNTED.search(text):
                self._messages.append(text)

    def described(self) -> str:
        """What is captured, with which program, and until when."""
        return f"capturing on {self.interface} with {self.program} {self._until}"

    def input(self) -> Input:
        """The capture as an input for the reader."""
        return Input(self.interface, stream=cast("BinaryIO", getattr(self._stream, "raw", self._stream)))

    def stop(self) -> None:
        """Ask the child to end; it writes out what it has. SIGINT would not do: jobs in the background ignore it."""
        self._is_to_end = True
        self._held.close()

    def close(self) -> list[str]:
        """Wait for the child; what should be said of the capture."""
        if self._timer is not None:
            self._timer.cancel()
        code = self._child.wait()
        self._listener.join()
        for stream in (self._held, self._stream, self._child.stderr):
            if stream is not None:
                stream.close()
        notes = [f"captured by {self.program}"]
        if self._dropped is not None:
            notes.append(f"{self._dropped} {agreed(self._dropped, 'packet')} dropped by the kernel")
        if not self._is_to_end and code:
            why = " ".join(line for line in self._messages if line and LISTENS not in line)[-300:]
            notes.append(
                f"{self.program} ended by itself, and what came later was not captured: {why or f'exit code {code}'}"
            )
        return notes

    def dropped(self) -> int | None:
        """Packets dropped by the kernel so far, where the program says so; it is asked anew once in a while."""
        if self._asked is not None and time.monotonic() - self._asked >= PATIENCE:
            self._asked = time.monotonic()
            with suppress(OSError, ValueError):  # it has ended
                os.write(self._held.fileno(), b"?")  # nothing may be left to be written when it is closed
        return self._dropped

    def is_behind(self) -> bool:
        """Whether the program waits for what it captured to be read, so that packets may be dropped."""
        try:
            return self._waiting() >= FULL * fcntl.fcntl(self._stream.fileno(), fcntl.F_GETPIPE_SZ)
        except (OSError, ValueError, AttributeError):  # it is closed, or the system does not say
            return False

    def _waiting(self) -> int:
        """Bytes that the program has written and nobody has read."""
        return int(struct.unpack("i", fcntl.ioctl(self._stream.fileno(), termios.FIONREAD, bytes(4)))[0])

    def failure(self) -> InputError:
        """Why nothing came: one sentence that says what to do."""
        self._child.wait()
        self._listener.join()
        text = " ".join(line for line in self._messages if line)
        if RIGHTS.search(text):
            return InputError(
                f"{self.interface}: no right to capture; run as root, or let {self.program} capture for your user "
                "(for dumpcap: sudo dpkg-reconfigure wireshark-common, then join the group wireshark)"
            )
        if NO_DEVICE.search(text):
            return InputError(f"{self.interface}: no such interface; ip link lists them")
        return InputError(f"{self.interface}: {self.program} captured nothing: {text[:300] or 'it said nothing'}")
