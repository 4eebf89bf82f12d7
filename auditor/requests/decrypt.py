"""Letting tshark dissect what was cut out of a capture, in a child process with limits on time and memory.

Nothing of it has a name on disk: the packets are in a file without one, the secrets in memory. Both are gone with the
processes, however these end.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from auditor.errors import InputError
from auditor.machine import isolated
from auditor.reading.merging import Merging
from auditor.recognise.numbers import HTTP, SMTP
from auditor.requests import tshark
from auditor.requests.cut import Cut, Wanted, write
from auditor.tls.revealed import Revealed

SECONDS = 120.0  # that a child may take …
SECONDS_A_MEGABYTE = 2.0  # … and more for what it is given
LONGEST_LINE = 1 << 16
CHANGED = "the capture was changed between its two readings: nothing of the second one counts"


@dataclass
class Dissected:
    """The results for the flows of one capture: requests as the child reports them, and what went wrong, in words."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    notes: list[str] = field(default_factory=list)
    packets: int = 0
    opened: set[tuple[int, bool]] = field(default_factory=set)  # flows whose data could be read, and of which side
    revealed: dict[int, Revealed] = field(default_factory=dict)  # what the encrypted handshakes of flows say


class Private:
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
        self.file.close()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class Opener:
    """A child that dissects, and its tshark: begun before there is anything for them, since both take long to load."""

    def __init__(self, program: str, private_keys: Sequence[Path]) -> None:
        self.program, self.private_keys = program, list(private_keys)
        self.packets, self.keys = Private(), Private(in_memory=True)
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
        _kill(self.child)
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.packets.close()
        self.keys.close()


@dataclass
class Stage:
    """How far dissecting is, for whoever shows it."""

    flows: int
    bytes: int = 0  # of packets that tshark is to dissect; 0 while they are looked for in the captures
    given: int = 0  # those that it has taken
    found: int = 0  # requests


def dissect(
    merging: Merging,
    is_same: Callable[[], bool],
    wanted: Wanted,
    secrets: bytes,
    salt: bytes,
    opener: Opener,
    stage: Stage,
) -> Dissected:
    """The requests in the wanted flows of captures that are read again; ``is_same``: whether these are what they were.

    ``stage`` is kept up to date.
    """
    try:
        cut = write(merging, wanted, opener.packets.file)
        stage.bytes = opener.packets.file.tell()
    except (OSError, InputError) as error:
        return Dissected(failure=f"the capture could not be read a second time ({error})")
    if not is_same():
        return Dissected(failure=CHANGED)
    try:
        opener.begin()
    except InputError as error:
        return Dissected(failure=str(error))
    opener.keys.file.write(secrets)
    opener.keys.file.flush()
    opener.tell({"salt": salt.hex(), "clear": np.flatnonzero(np.isin(wanted.kind, (HTTP, SMTP))).tolist()})
    dissected = _run(opener.child, cut, stage)
    if cut.capped:
        dissected.notes.append("more packets have keys than are opened: the requests are not complete")
    return dissected


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


def _run(child: "subprocess.Popen[bytes]", cut: Cut, stage: Stage) -> Dissected:
    """What the child says of what it was given, in its time."""
    dissected = Dissected(packets=len(cut.frames))
    limit = SECONDS + SECONDS_A_MEGABYTE * cut.bytes / 1e6
    ended = threading.Timer(limit, _kill, [child])
    ended.start()
    done = False
    try:
        for line in _lines(child):
            if "done" in line:
                done, dissected.notes = True, line["notes"]
                dissected.opened = {(flow, is_client) for flow, is_client in line["opened"]}
            elif "given" in line:
                stage.given = line["given"]
            elif "revealed" in line:
                _note_revealed(dissected.revealed.setdefault(line["revealed"], Revealed()), line)
            elif "failed" in line:
                dissected.failure = f"tshark could not dissect it ({line['failed']})"
            else:
                packet = line.pop("packet") - 1
                line["frame"], line["time"] = cut.frames[packet], cut.times[packet]
                dissected.requests.append(line)
                stage.found += 1
    finally:
        in_time = ended.is_alive()
        ended.cancel()
    if not done and dissected.failure is None:
        took = f"it took longer than {limit:.0f} s" if not in_time else "it ended before its time: memory, or killed"
        dissected.failure = f"tshark did not come to an end ({took})"
    return dissected


def _note_revealed(revealed: Revealed, line: dict[str, Any]) -> None:
    """What one side of an encrypted handshake says."""
    certificates = [bytes.fromhex(text) for text in line["certificates"]]
    if line["is_client"]:
        revealed.client = certificates
    else:
        revealed.server, revealed.alpn = certificates, line["alpn"]


def _lines(child: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        if len(line) <= LONGEST_LINE:
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """End the child and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
