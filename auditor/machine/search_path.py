"""Where modules and programs are looked for: never in the working directory, which may be a folder of evidence.

This module comes before all others and needs none that Python has not loaded when it starts: ``python -m auditor`` puts
the working directory in front of the standard library.
"""

import os
import sys


def _is_elsewhere(entry: str) -> bool:
    """Whether an entry of a search path is absolute and not the working directory."""
    if not os.path.isabs(entry):
        return False
    try:
        return not os.path.samefile(entry, os.getcwd())
    except OSError:  # one of the two is not there
        return True


def modules() -> list[str]:
    """``sys.path`` without relative entries and the working directory, unless libraries are installed just there."""
    site = sys.modules.get("site")
    installed = set(site.getsitepackages()) if site is not None else set()
    return [entry for entry in sys.path if entry in installed or _is_elsewhere(entry)]


def programs() -> str:
    """``PATH`` likewise."""
    return os.pathsep.join(filter(_is_elsewhere, os.environ.get("PATH", "").split(os.pathsep)))


def leave_working_directory() -> None:
    """For the command line, whose process is its own: import and run nothing from the working directory from now on."""
    sys.path[:] = modules()
    os.environ["PATH"] = programs()


def _is_module_run() -> bool:
    """Whether this is ``python -m auditor``: while Python looks for the module, its arguments begin with ``-m``."""
    return sys.argv[:1] == ["-m"] and ("-m", "auditor") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)


if _is_module_run():
    leave_working_directory()
