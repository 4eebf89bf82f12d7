"""Temporary folders for results: those of processes that were killed are removed by the next one."""

import os
import shutil
import tempfile
from pathlib import Path

from auditor.errors import AuditError

# Begins the names of temporary folders. Their process follows, and where its number counts: containers may share a folder.
TEMPORARY = "audit-results-"


def new() -> Path:
    """A temporary folder, which whoever asked has to remove. Raises AuditError where there can be none."""
    try:
        _remove_orphans(Path(tempfile.gettempdir()))
        return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-{_processes()}-"))
    except OSError as error:
        reason = f"no temporary folder for the results: {error.strerror}"
        raise AuditError(f"{reason}; give another one by TMPDIR, or a folder by --out") from error


def _processes() -> str:
    """Among which processes this one's number counts (pid_namespaces(7)); empty where that cannot be known."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _remove_orphans(folder: Path) -> None:
    """Remove the temporary results of audits that were killed; not those of other containers, which may be running."""
    if os.name != "posix":
        return
    for left in folder.glob(f"{TEMPORARY}*-*"):
        owner, among, *_ = left.name.removeprefix(TEMPORARY).split("-")
        elsewhere = left.name.count("-") > TEMPORARY.count("-") + 1 and among != _processes()
        if owner.isdigit() and not elsewhere and not _is_running(int(owner)) and _is_mine(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_mine(path: Path) -> bool:
    """Whether it is this user's; not if it is gone, as where another audit was quicker to remove it."""
    try:
        return path.lstat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
