"""Results copied to another folder."""

import shutil
from pathlib import Path

from auditor.errors import AuditError, shown
from auditor.machine import writing
from auditor.report import custody, files, folder
from auditor.report.results import Results


def save(result: Results, target: Path, *, force: bool = False) -> Path:
    """Copy what is listed of a result to a folder, in place of an older one. Raises AuditError where that cannot be."""
    listed = custody.read(result.folder)
    inputs = writing.identities(result.folder / name for name in (*listed.all, custody.CUSTODY))
    folder.check(target, inputs, force=force)
    copies = writing.FolderWrite(target, folder.MARKS)
    try:
        writing.make_folder(target)
        for name in listed.all:
            with files.opened(result.folder / name) as file:
                shutil.copyfileobj(file, copies.open(name))
            copies.close(name)
        for name in custody.SEALS:
            if (result.folder / name).exists():
                with files.opened(result.folder / name) as file:
                    shutil.copyfileobj(file, copies.open(name))
        contents = custody.text(custody.moved(listed.whole, target))
        copies.open(custody.CUSTODY).write(contents)
        copies.finish(folder.older)
    except OSError as error:
        copies.abandon()
        raise AuditError(f"{shown(target)}: cannot write results there: {error.strerror or error}") from error
    except BaseException:
        copies.abandon()
        raise
    return target
