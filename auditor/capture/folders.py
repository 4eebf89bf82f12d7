"""What lies in a folder of inputs: files to be read, and what should be read but cannot be, which is never passed over."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from auditor.border.gate import kind_of

KERNEL = ("/proc/", "/sys/")


def refusal(path: Path) -> str | None:
    """Why a path is no file, in words; None where it is one, which may still be another user's alone.

    It is not opened to find out: to open a pipe could wait for ever.
    """
    try:
        status = path.stat()
    except OSError as error:
        is_dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        return "a link to what is not there" if is_dangling else error.strerror or str(error)
    except ValueError:
        return "a name that no file can have"
    if (kind := kind_of(status.st_mode)) is not None:
        return f"{kind}, not a file"
    # Some of these are waited for without end, as /proc/kmsg (proc(5)); a link to one may have been put there.
    is_of_kernel = not status.st_size and os.path.realpath(path).startswith(KERNEL)
    return "a file of the kernel, which is no evidence" if is_of_kernel else None


def is_missing(path: Path) -> bool:
    """Whether nothing has that name, or nothing can have it: one that is too long, or holds what names do not."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError) as error:
        return isinstance(error, ValueError) or error.errno in {errno.ENAMETOOLONG, errno.ENOTDIR}
    return False


def is_folder(path: Path) -> bool:
    """Whether it is a folder; what nothing can have the name of is none."""
    return not is_missing(path) and path.is_dir()


def files(folder: Path, is_wanted: Callable[[Path], bool]) -> list[tuple[Path, str | None]]:
    """The wanted files in a folder and those below it, in order; beside each the reason if it cannot be read.

    Folders that cannot be listed are reported likewise, and so are links to folders, which are not followed: they may
    lead in a circle, or out of the folder.
    """
    listed: list[tuple[Path, str | None]] = []

    def cannot_be_listed(error: OSError) -> None:
        listed.append((Path(error.filename), f"the folder cannot be listed: {error.strerror}"))

    for base, folders, names in os.walk(folder, onerror=cannot_be_listed):
        links = [Path(base, name) for name in folders if Path(base, name).is_symlink()]
        listed += [(link, "a link to a folder, which is not followed: give the folder itself") for link in links]
        listed += [(path, refusal(path)) for name in names if is_wanted(path := Path(base, name))]
    return sorted(listed, key=lambda one: one[0])
