"""Files that nobody else can have written.

Machine code is executed, so what is loaded must be this user's own. A folder can be trusted if nobody but this user
and root can change what is in it, nor any folder or link on the way to it: of every folder on the way the owner is one
of these two, and neither group nor others may write. Shared temporary folders are never such, sticky or not: whoever
is first there chooses the names. Where all that holds, nobody else can exchange a file between the check and the use.
"""

import os
import stat
from pathlib import Path

from auditor.machine import writing

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
MOST_LINKS = 40  # as Linux follows, path_resolution(7)


class UntrustedError(Exception):
    """A folder that others can change, or that is not there and cannot be created; the message says why."""


def _check(folder: Path, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise UntrustedError(f"{folder} is not a folder")
    if status.st_uid not in {0, os.geteuid()}:
        raise UntrustedError(f"{folder} belongs to another user")
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise UntrustedError(f"{folder} can be written by other users")


def folder(path: Path, *, make: bool = False) -> Path:
    """The folder that the absolute ``path`` leads to, without links, if it can be trusted. Raises UntrustedError.

    One that is missing is created for this user only if ``make`` says so, and otherwise named as it would be.
    """
    here, links = Path("/"), 0
    try:
        _check(here, here.stat())
        rest = list(reversed(path.parts[1:]))
        while rest:
            step = rest.pop()
            if step == "..":
                here = here.parent
                continue
            there = here / step
            if make and not os.path.lexists(there):
                writing.make_folder(there)
            status = there.lstat()
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > MOST_LINKS:
                    raise UntrustedError(f"{path} has too many links")
                target = there.readlink()
                rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                here = Path("/") if target.is_absolute() else here
                continue
            _check(there, status)
            here = there
    except FileNotFoundError:
        return there.joinpath(*reversed(rest))
    except OSError as error:
        raise UntrustedError(f"{error.filename}: {error.strerror}") from None
    return here


def read(file: Path) -> bytes:
    """What is in a file of a trusted folder; empty if it is not a regular file of this user that only he can write."""
    try:
        # Not to be kept waiting by a pipe of that name.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not own or status.st_mode & WRITABLE_BY_OTHERS:
            return b""
        return opened.read()


def write(file: Path, content: bytes) -> None:
    """Write a file of a trusted folder, whole or not at all, for this user only."""
    with writing.replaced(file) as opened:
        opened.write(content)
