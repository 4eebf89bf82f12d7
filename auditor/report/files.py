"""Files of results, which may be somebody else's: only regular files are opened, and none is waited for."""

import os
import stat
from io import BufferedReader
from pathlib import Path


class NoFileError(OSError):
    """What has the name is no regular file."""


def opened(path: Path) -> BufferedReader:
    """A regular file, to be read. Raises OSError, also for links, folders, pipes and devices."""
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise NoFileError(0, "is a link" if stat.S_ISLNK(mode) else "is no regular file", str(path))
    # It may be exchanged in between: neither a link is followed nor a pipe waited for.
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(number, "rb")
    if not stat.S_ISREG(os.fstat(number).st_mode):
        file.close()
        raise NoFileError(0, "is no regular file", str(path))
    return file


def sha256(path: Path) -> str:
    """The digest of a regular file. Raises OSError."""
    import hashlib

    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
