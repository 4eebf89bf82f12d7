"""What is derived from results goes to a file: never over its sources, nor over anything else without being asked to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from auditor.border.urls import public, url_of
from auditor.errors import AuditError, shown
from auditor.machine import writing
from auditor.report import custody, originals, partitions
from auditor.report.results import Results


@contextmanager
def opened(file: str | Path | BinaryIO, *results: Results, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write to: one that is open already as it is, another one is there whole or not at all.

    A file in the folder of the results is listed in ``custody.json``; so it is known again, and may be replaced without
    ``force`` as long as nobody has changed it. Raises AuditError where the file cannot or must not be written.
    """
    if not isinstance(file, str | Path):
        yield file
        return
    if (url := url_of(file)) is not None:
        raise AuditError(f"{public(url)}: is written to a file, not into a store; give one by -o")
    target = Path(file)
    home = next((one.folder for one in results if _is_in(target, one.folder)), None)
    if home is not None:
        if target.parent.is_symlink():
            raise AuditError(f"{shown(target.parent)}: is a link; give the folder of the results itself")
        try:
            listed = custody.read(home).added
        except AuditError as error:
            raise AuditError(f"{error}, and nothing can be listed beside them; give another folder by -o") from error
        force = force or custody.is_same(target, listed.get(target.name))
    with writing.whole(target, writing.identities(_inputs(results)), force=force) as out:
        yield out
    if home is not None:
        custody.add(home, target.name)


def _is_in(target: Path, folder: Path) -> bool:
    return writing.identity(target.parent) == writing.identity(folder)


def _inputs(results: tuple[Results, ...]) -> Iterator[Path]:
    """What results are made from and read from: the folder's files, captures, and what an audit was given besides."""
    for one in results:
        given = (value for value in one.manifest["options"].values() if isinstance(value, str))
        yield from (Path(name) for value in given for name in (value, *value.split(" ")))
        yield from (
            one.folder / name
            for name in (*custody.NAMES, *partitions.there(one.folder), custody.CUSTODY, *custody.SEALS)
        )
        yield from originals.captures(one)
