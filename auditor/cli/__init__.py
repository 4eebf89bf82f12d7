"""The command ``audit``: the only room that prints, parses options, or changes settings of the process."""

import gc
import os
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

MOST_FILES = 65_536  # that may be open
SWITCH_INTERVAL = 0.0005  # seconds; the default of 5 ms starves the thread that hashes while libraries load


def main() -> None:
    """The command line, as ``auditor.cli.main``; a capture's digest begins before libraries are loaded."""
    from auditor.machine import search_path

    search_path.leave_working_directory()
    search_path.end_silently()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from auditor.machine import writing

        writing.open_standard_files()
    if not sys.warnoptions:
        # Of libraries, about certificates of strangers: they are for who writes programs.
        warnings.simplefilter("ignore")
    sys.setswitchinterval(SWITCH_INTERVAL)
    _open_many_files()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's: nothing here needs them, and idle they spin
    # pydantic would look for plugins in all that is installed, and let them see what users wrote.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Looking for cycles among what libraries leave, or the routes of a full table, takes a twentieth of an audit.
    gc.set_threshold(2_000_000)
    if sys.argv[1:2] == ["pcap"]:
        first = first_file(sys.argv[2:])
    else:  # audit FILE
        first = first_file(sys.argv[1:2])
        first = first if first is not None and first.is_file() else None
    hashing = None
    if first is not None and not _goes_on(sys.argv):
        from auditor.capture import digest

        hashing = digest.begin(first)
    from auditor.cli.main import main as run

    run(hashing)


def _open_many_files() -> None:
    """Let as many files be open as may be: captures that overlap in time are read side by side."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(MOST_FILES, hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(MOST_FILES, hard), hard))


def _goes_on(arguments: Sequence[str]) -> bool:
    """Whether there is an audit that may be gone on from, so that perhaps nothing has to be hashed."""
    if "--out" not in arguments[:-1] or "--fresh" in arguments:
        return False
    folder = Path(arguments[arguments.index("--out") + 1])
    return (folder / "audit.kept").exists() or any(folder.glob(".audit-*"))


def first_file(arguments: Sequence[str]) -> Path | None:
    """The first of a command's arguments that is no option, nor perhaps an option's value."""
    for before, argument in pairwise(["", *arguments]):
        if not before.startswith("-") and not argument.startswith("-"):
            return Path(argument)
    return None
