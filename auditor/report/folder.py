"""Where results go: the folder asked for, or a temporary one; and what may be replaced there."""

import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path

from auditor.border.urls import url_of
from auditor.errors import AuditError, shown
from auditor.machine import writing
from auditor.machine.writing import Identity
from auditor.report import custody, partitions, temporary
from auditor.report.custody import CUSTODY, NAMES, NEEDED, SEALS
from auditor.report.results import MANIFEST

MARKS = (MANIFEST, CUSTODY)  # what makes a folder results, in the order in which it is written


def results_folder(out: str | Path | None) -> tuple[Path, bool]:
    """The folder, and whether it is a temporary one, which whoever asked has to remove: without ``out``, or for a store."""
    url = None if out is None else url_of(out)
    return (temporary.new(url), True) if out is None or url is not None else (Path(out), False)


def check(folder: Path, inputs: Collection[Identity] = (), *, force: bool = False) -> None:
    """Raise AuditError unless results may go into a folder: a new one, an empty one, or one that holds an older result.

    With ``force`` the older result need not be as an audit left it. ``inputs``: what is read, which is never written to.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise AuditError(f"{shown(folder)}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        what = "a link; give the folder itself" if stat.S_ISLNK(status.st_mode) else "no folder; give another name"
        raise AuditError(f"{shown(folder)}: is {what}")
    if status.st_uid != os.geteuid() and not force:
        raise AuditError(f"{shown(folder)}: belongs to another user; give another folder, or --force to write into it")
    if not os.access(folder, os.W_OK | os.X_OK):  # better said before the work than after it
        raise AuditError(f"{shown(folder)}: cannot write results there: {os.strerror(errno.EACCES)}")
    with writing.locked(folder):
        ours, others = entries(folder)
    if others:
        raise AuditError(f"{shown(folder)}: holds {shown(others[0])}, which no audit wrote; give a folder of its own")
    for name in ours:
        writing.may_replace(folder / name, inputs, force=True)
    if not force and (seals := set(SEALS).intersection(ours)):
        what = f"holds results that are sealed ({min(seals)})"
        raise AuditError(f"{shown(folder)}: {what}; give another folder, or --force to replace them")
    missing = {*NEEDED, CUSTODY}.difference(ours)
    if ours and missing and not force:
        reason = f"holds results without {min(missing)}"
        raise AuditError(f"{shown(folder)}: {reason}; give another folder, or --force to replace them")


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """What an audit wrote into a folder: results, and what is listed and as it was written. And what anybody else did."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not writing.is_new(entry.name))
    except OSError as error:
        raise AuditError(f"{shown(folder)}: {error.strerror}") from error
    if not names:
        return [], []
    added = custody.added(folder)
    own = {*NAMES, CUSTODY, *SEALS}
    ours = [
        name
        for name in names
        if name in own or partitions.is_part(name) or custody.is_same(folder / name, added.get(name))
    ]
    return ours, [name for name in names if name not in ours]


def older(folder: Path) -> list[str]:
    """The files of an older result, which a newer one replaces."""
    return entries(folder)[0]
