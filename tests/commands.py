"""The command line in a process of its own, cheaply: a fork of one that has loaded what audits load.

Starting Python, importing libraries and loading the kernels' machine code takes most of the second that a command on a
small capture takes, and many tests run one. What is about the start itself (imports, encodings, signals, terminals,
standard files, random hashes) starts a process as a user does.
"""

import atexit
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.conftest import HANG, ROOT

MOST = 1 << 17  # bytes of a request: words, and the environment


def run(
    *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = False
) -> "subprocess.CompletedProcess[str]":
    """``audit`` with these words and nothing on standard input: exit code, standard output and standard error as text."""
    command = [str(word) for word in words]
    folder, environment = str(cwd or Path.cwd()), dict(os.environ if env is None else env)
    request = json.dumps({"words": command, "folder": folder, "environment": environment}).encode()
    with Path(os.devnull).open() as nothing, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        code = _asked(request, [nothing.fileno(), output.fileno(), errors.fileno()])
        said = [_whole(file) for file in (output, errors)]
    done = subprocess.CompletedProcess(command, code, *said)
    if check:
        done.check_returncode()
    return done


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _asked(request: bytes, files: Sequence[int]) -> int:
    """Let the server run a command; its exit code."""
    assert len(request) < MOST
    server = _server()
    socket.send_fds(server, [request], files)
    number = int(server.recv(MOST))
    if not select.select([server], [], [], HANG)[0]:
        os.kill(number, signal.SIGKILL)
    code = int(server.recv(MOST))
    assert code != -signal.SIGKILL, f"hung, or killed: {request!r}"
    return code


@cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", "from tests.commands import serve; serve()", str(theirs.fileno())]
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=ROOT, env=alone, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours


def serve() -> None:
    """Load what audits load, then fork for each request until nobody asks any more. No thread is begun: forks have one."""
    from auditor.cli import main as command_line

    _load()
    with socket.socket(fileno=int(sys.argv[1])) as client:
        while True:
            request, files, *_ = socket.recv_fds(client, MOST, 3)
            if not request:
                return
            number = os.fork()
            if number == 0:
                client.close()
                _become(json.loads(request), files)
                command_line()
                os._exit(70)  # it ends the process itself
            for file in files:
                os.close(file)
            client.send(b"%d" % number)
            client.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))


def _load() -> None:
    """Import all of ours, and with it what it imports, and link the kernels."""
    import pandas  # noqa: F401, ICN001 - which tables import when they are shown

    import auditor
    from auditor.machine import kernel

    for module in pkgutil.walk_packages(auditor.__path__, "auditor."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    kernel.prepare()
    for one in kernel.KERNELS.values():
        one._linked()


def _become(request: dict[str, Any], files: Sequence[int]) -> None:
    """Be the process that somebody would have started with these words, in that folder and environment."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = [str(ROOT / "auditor" / "__main__.py"), *request["words"]]
    sys.modules["__main__"].__package__ = "auditor"  # as of ``python -m auditor``, which usage messages repeat
