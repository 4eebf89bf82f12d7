"""Child processes, started so that nothing of the working directory runs in them, nor what the environment names.

Evidence lies where others could write: a module, a start-up file or a library beside it must not become code. Children
start in ``/``, Python's with ``-I`` (no working directory, no ``PYTHON…`` variables, no user's own packages), and all of
them with a fresh environment.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auditor.machine import search_path

PACKAGE = Path(__file__).resolve().parent.parent
FOLDER = "/"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NO_HOME = "/proc/nonexistent"  # which root cannot make either, as scapy would
KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "SYSTEMROOT")
# Interpreters that were built with a shared library may need them; LD_PRELOAD and LD_AUDIT, which load more, stay behind.
LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# The package is bound to its own folder: a clone's or a checkout's neighbours are not importable because of it.
BOOTSTRAP = """\
import sys, types
sys.path[:] = {path!r}
package = sys.modules["auditor"] = types.ModuleType("auditor")
package.__path__ = [{package!r}]
from {module} import main
sys.exit(main(sys.argv[1:]))
"""


def is_possible() -> bool:
    """Whether it is known which Python this is."""
    return Path(sys.executable or "").is_absolute()


def module(name: str, *arguments: str) -> list[str]:
    """The command line that runs ``main(arguments)`` of a module of ours.

    Its libraries come from where this process has them; relative entries of ``sys.path`` and the working directory are
    left out.
    """
    code = BOOTSTRAP.format(path=search_path.modules(), package=str(PACKAGE), module=name)
    return [sys.executable, "-I", "-W", "ignore", "-c", code, *arguments]


def script(file: str, *arguments: str) -> list[str]:
    """The command line that runs a file of ours which needs no more than the standard library."""
    return [sys.executable, "-I", "-S", str(Path(file).resolve()), *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: languages and folders, no settings of the user's, nothing that loads code."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    for name in LIBRARIES:
        entries = [entry for entry in os.environ.get(name, "").split(os.pathsep) if Path(entry).is_absolute()]
        if entries:
            kept[name] = os.pathsep.join(entries)
    return {**kept, "PATH": SYSTEM_PATH, "HOME": NO_HOME, "XDG_CONFIG_HOME": NO_HOME, **(more or {})}


def start(command: Sequence[str], more: Mapping[str, str] | None = None, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a child; ``more`` is added to its environment, ``options`` are those of ``Popen``."""
    return subprocess.Popen(command, cwd=FOLDER, env=environment(more), **options)


def end_with(parent: int) -> None:
    """Let this process end when the one that started it is gone, however that ended, and whatever is being done here."""

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def output_of(command: Sequence[str], seconds: float = 120) -> str | None:
    """What a program prints, on standard output or else on standard error; None where it does not run."""
    try:
        done = subprocess.run(
            command,
            cwd=FOLDER,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout or done.stderr).decode("utf-8", "replace").strip()
