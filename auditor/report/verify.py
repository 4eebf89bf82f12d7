"""Whether results and captures are what they were: every file, and none besides."""

from collections.abc import Iterator
from pathlib import Path

from auditor.errors import AuditError, shown
from auditor.report import custody, files, originals
from auditor.report.results import Results

Verified = tuple[str, bool | None, str]  # a name, whether it is what it was, and why


def verify(result: Results) -> Iterator[Verified]:
    """Each result and each input: its name, whether it is what it was (None where that cannot be said), and why.

    Raises AuditError where the folder has no ``custody.json`` that can be read.
    """
    yield from verify_results(result.folder)
    for item in result.manifest["inputs"]:
        name = item["name"]
        if item["sha256"] is None:
            yield name, None, "was not read to its end: it has no SHA-256"
        elif (path := originals.find(result, name)) is None:
            yield name, None, "is not there any more, or was no file"
        else:
            yield name, *_same(path.resolve(), item["sha256"])


def verify_results(folder: Path) -> Iterator[Verified]:
    """Each file that is in a folder of results, is listed, or has to be. Raises AuditError as ``verify`` does."""
    listed = custody.read(folder).all
    for name, digest in listed.items():
        yield name, *_same(folder / name, digest)
    try:
        there = {entry.name for entry in folder.iterdir()} - {custody.CUSTODY}
    except OSError as error:
        raise AuditError(f"{shown(folder)}: {error.strerror}") from error
    for name in sorted((there | set(custody.NAMES)) - set(listed)):
        why = (
            "is not listed: nothing says what it was"
            if name in custody.NAMES
            else "is not listed: it came from elsewhere"
        )
        yield shown(name), False, why


def altered(folder: Path) -> list[str]:
    """What of the results that are read is not what it was, in sentences."""
    try:
        checked = list(verify_results(folder))
    except AuditError as error:
        return [str(error)]
    return [f"{shown(folder / name)}: {why}" for name, same, why in checked if not same and name in custody.NAMES]


def _same(path: Path, digest: str) -> tuple[bool | None, str]:
    try:
        actual = files.sha256(path)
    except OSError as error:
        return False, str(error.strerror)
    return (True, "unchanged") if actual == digest else (False, f"changed: its SHA-256 was {digest}, and is {actual}")
