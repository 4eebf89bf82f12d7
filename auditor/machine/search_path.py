"""Where modules and programs are looked for: never in the working directory, which may be a folder of evidence.

This module comes before all others and needs none that Python has not loaded when it starts: ``python -m auditor`` puts
the working directory in front of the standard library. So it is here, too, that a process which is the command's own gets
its manners before anything takes time to load.
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


def end_silently() -> None:
    """For the command line: Ctrl-C ends the process, as it ends other programs, until there is something to be left in order."""
    # What the module signal is made of: that one takes as long to load as Python to start.
    import _signal  # type: ignore[import-not-found]

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def _is_command() -> bool:
    """Whether the process is the command's own: the script ``audit``, or ``python -m auditor``.

    While Python looks for that module, its arguments begin with ``-m``.
    """
    if sys.argv[:1] == ["-m"]:
        return ("-m", "auditor") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return script is not None and sys.argv[:1] == [script] and os.path.basename(script) == "audit"


if _is_command():
    leave_working_directory()
    end_silently()
