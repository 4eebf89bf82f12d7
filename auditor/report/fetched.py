"""Results in stores, fetched into a folder that goes with whoever reads them."""

import shutil
from pathlib import Path

from auditor.border.urls import WEB, public, scheme_of
from auditor.errors import AuditError
from auditor.machine import writing
from auditor.report import temporary
from auditor.stores import client

STEP = 1 << 20
_kept: set[Path] = set()


def base(url: str) -> str:
    """What the names of results at a URL begin with."""
    return url.rstrip("/") + "/"


def there(url: str) -> dict[str, client.Remote]:
    """What lies below a prefix, by its name behind it."""
    return {one.url.removeprefix(base(url)): one for one in client.find(base(url)).objects}


def results(url: str, mark: str) -> Path:
    """A folder with the results at a URL, to be given to ``forget``; ``mark``: the file that makes them results.

    Raises AuditError.
    """
    if scheme_of(url) in WEB:
        raise AuditError(f"{public(url)}: results are read from folders and from stores, which can be listed")
    objects = {name: one for name, one in there(url).items() if "/" not in name}
    if mark not in objects:
        raise AuditError(f"{public(url)}: holds no audit results")
    target = temporary.new()
    _kept.add(target)
    files = writing.FolderWrite(target, [mark], durable=False)
    try:
        for name, remote in objects.items():
            file = files.open(name)
            with remote.open() as stream:
                while piece := stream.read(STEP):
                    file.write(piece)
            files.close(name)
        files.finish()
    except BaseException as error:
        files.abandon()
        forget(target)
        if isinstance(error, OSError):
            raise AuditError(f"{public(url)}: cannot be kept here: {error.strerror or error}") from error
        raise
    return target


def forget(target: Path) -> None:
    """Remove a folder that was fetched."""
    _kept.discard(target)
    shutil.rmtree(target, ignore_errors=True)


def forget_all() -> None:
    """Remove all of them, before a process ends without taking itself apart."""
    for target in list(_kept):
        forget(target)
