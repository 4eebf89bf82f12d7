"""Results that are written into stores when they are complete.

What makes them results, ``audit.json`` and ``custody.json``, is removed first and written last, so that nobody takes a
mixture for a result.
"""

import shutil
import tempfile
from pathlib import Path

from auditor.border.urls import WEB, public, scheme_of
from auditor.errors import AuditError
from auditor.report import custody, fetched, folder, partitions
from auditor.stores import client


def check(url: str, *, force: bool = False) -> None:
    """Raise AuditError unless results may be written to a URL: nothing is there, or an older result alone."""
    if scheme_of(url) in WEB:
        raise AuditError(
            f"{public(url)}: nothing can be written to a web server; give a folder, or a prefix in a store"
        )
    own = {*custody.NAMES, custody.CUSTODY, *custody.SEALS}
    there = fetched.there(url)
    others = [name for name in there if name not in own and not partitions.is_part(name)]
    if others:
        raise AuditError(f"{public(url)}: holds {others[0]}, which no audit wrote; give a prefix of its own")
    if not force and (seals := set(custody.SEALS) & set(there)):
        what = f"holds results that are sealed ({min(seals)})"
        raise AuditError(f"{public(url)}: {what}; give another prefix, or --force to replace them")


def upload(source: Path, url: str) -> None:
    """Write the results of a folder to a URL, in place of older ones there.

    Raises AuditError where that cannot be done: then a copy of them stays here, and the message says where.
    """
    try:
        _upload(source, url)
    except AuditError as error:
        kept = tempfile.mkdtemp(prefix="audit-kept-")
        shutil.copytree(source, kept, dirs_exist_ok=True)
        raise AuditError(f"{error}; the results are in {kept}") from error


def _upload(source: Path, url: str) -> None:
    base = fetched.base(url)
    for name in (*folder.MARKS, *custody.SEALS, *filter(partitions.is_part, fetched.there(url))):
        client.remove(base + name)
    written = [name for name in custody.NAMES if name not in folder.MARKS and (source / name).exists()]
    names = [*written, *partitions.there(source), *folder.MARKS]
    for name in names:
        try:
            with (source / name).open("rb") as file:
                client.put(base + name, file)
        except OSError as error:
            raise AuditError(f"{public(url)}: cannot be written there: {error.strerror or error}") from error
