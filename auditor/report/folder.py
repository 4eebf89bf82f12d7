"""Where results go: the folder asked for, or a temporary one."""

import os
import shutil
from pathlib import Path

TEMPORARY = "audit-results-"  # begins the names of temporary folders; the number of their process follows


def results_folder(out: str | Path | None) -> tuple[Path, bool]:
    """The folder, and whether it is a temporary one, which whoever asked has to remove."""
    if out is not None:
        return Path(out), False
    import tempfile

    _remove_orphans(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-")), True


def _remove_orphans(folder: Path) -> None:
    """Remove the temporary results of audits that were killed."""
    if os.name != "posix":
        return
    for left in folder.glob(f"{TEMPORARY}*-*"):
        owner = left.name.removeprefix(TEMPORARY).partition("-")[0]
        if owner.isdigit() and not _is_running(int(owner)) and _is_mine(left):
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
