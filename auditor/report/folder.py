"""Where results go: the folder asked for, or a temporary one."""

import os
import shutil
from pathlib import Path

TEMPORARY = "audit-results-"  # and the process that they are of


def results_folder(out: str | Path | None) -> tuple[Path, bool]:
    """Where the tables go: the folder asked for, or a temporary one (True)."""
    if out is not None:
        return Path(out), False
    import tempfile

    _clear_away(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-")), True


def _clear_away(folder: Path) -> None:
    """Remove the temporary results of audits that were killed."""
    if os.name != "posix":
        return
    for left in folder.glob(f"{TEMPORARY}*-*"):
        owner = left.name.removeprefix(TEMPORARY).partition("-")[0]
        if owner.isdigit() and not _is_alive(int(owner)) and left.lstat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
