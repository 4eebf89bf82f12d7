"""The programs of others that the auditor runs: tshark, dumpcap, tcpdump.

They are taken from the system's folders, or from those that AUDITOR_PROGRAMS names: not by ``PATH``, which may hold the
working directory or a folder that others write to. A program that another user could have put there is refused.
"""

import os
import stat
import sys
from pathlib import Path

SETTING = "AUDITOR_PROGRAMS"
FOLDERS = (
    *("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"),
    *("/opt/homebrew/bin", "/opt/local/bin", "/Applications/Wireshark.app/Contents/MacOS"),
)
# Groups of administrators that folders of programs belong to: Debian's staff (Debian Policy 9.1.2), macOS's admin.
ADMINISTRATORS = {0, 80} if sys.platform == "darwin" else {0, 50}
MOST_LINKS = 40  # as Linux has it


def folders() -> list[str]:
    """Where programs are looked for, the setting's folders first; relative ones do not count."""
    named = os.environ.get(SETTING, "").split(os.pathsep)
    return [*(folder for folder in named if Path(folder).is_absolute()), *FOLDERS]


def find(name: str) -> str | None:
    """The path of a program; None where it is not installed, or is refused."""
    return next((path for path in _installed(name) if refusal(path) is None), None)


def refused(name: str) -> str | None:
    """Why a program that is installed is not used; None where it is used, or there is none."""
    if find(name) is not None:
        return None
    return next((refusal(path) for path in _installed(name)), None)


def _installed(name: str) -> list[str]:
    paths = [Path(folder) / name for folder in folders()]
    return [str(path) for path in paths if path.is_file() and os.access(path, os.X_OK)]


def refusal(path: str) -> str | None:
    """Who besides root and this user could change what runs as ``path``: the file, a link to it, a folder above."""
    here = Path(path)
    for _ in range(MOST_LINKS):
        folder = here.parent.resolve()
        for part in (folder, *folder.parents):
            if (why := _changeable(part)) is not None:
                return why
        if not here.is_symlink():
            return _changeable(here)
        here = folder / here.readlink()
    return f"{path}: too many links"


def _changeable(path: Path) -> str | None:
    status = path.stat()
    if status.st_uid not in {0, os.geteuid()}:
        return f"{path} belongs to another user"
    if path.is_dir() and status.st_mode & stat.S_ISVTX:  # what lies in it can be renamed by its owner alone
        return None
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid not in ADMINISTRATORS
    if by_group or status.st_mode & stat.S_IWOTH:
        return f"{path} can be written to by others"
    return None
