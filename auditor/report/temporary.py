"""Temporary folders for results: those of processes that were killed are removed by the next one.

But those of results on their way into a store are left for a while, since an audit goes on from what lies in them.
"""

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from auditor.border.words import is_number
from auditor.errors import AuditError

# Begins the names of temporary folders. Their process follows, and where its number counts: containers may share a folder.
TEMPORARY = "audit-results-"
MARKED = 4  # parts of a name that says, by a digest, for which store results are
LEFT = 7 * 24 * 3600  # seconds for which they may be gone on with


def new(url: str | None = None) -> Path:
    """A temporary folder, which whoever asked has to remove; ``url``: of the store that results in it are for.

    Raises AuditError where there can be none.
    """
    mark = "" if url is None else f"{_mark(url)}-"
    try:
        _remove_orphans(Path(tempfile.gettempdir()))
        return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-{_processes()}-{mark}"))
    except OSError as error:
        reason = f"no temporary folder for the results: {error.strerror}"
        raise AuditError(f"{reason}; give another one by TMPDIR, or a folder by --out") from error


def left(url: str) -> list[Path]:
    """Folders of this user with results for a store, which audits that were killed have left, or may still write to."""
    found = Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*-{_mark(url)}-*")
    return [one for one in found if one.is_dir() and not one.is_symlink() and _is_mine(one)]


def _mark(url: str) -> str:
    return hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


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
        owner, among, *rest = left.name.removeprefix(TEMPORARY).split("-")
        elsewhere = left.name.count("-") > TEMPORARY.count("-") + 1 and among != _processes()
        is_kept = len(rest) == MARKED - len((owner, among)) and _age(left) < LEFT
        if is_number(owner) and not elsewhere and not is_kept and not _is_running(int(owner)) and _is_mine(left):
            shutil.rmtree(left, ignore_errors=True)


def _age(path: Path) -> float:
    """Seconds since something was put into a folder; 0 if it is gone."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0


def _is_mine(path: Path) -> bool:
    """Whether it is this user's; not if it is gone, as where another audit was quicker to remove it."""
    try:
        return path.lstat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
