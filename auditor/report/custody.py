"""``custody.json``: when an audit was made, and the digests of all that it wrote, so that anybody can tell that nothing changed.

It is apart from ``audit.json``, which is the same for the same input whenever the audit is made.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditor.errors import AuditError, located
from auditor.report.results import Results

CUSTODY = "custody.json"


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told(files: dict[str, Path], began: str, ended: str) -> dict[str, Any]:
    """The contents of ``custody.json``; ``files``: what was written, by the name it has in the folder."""
    import platform

    from auditor.data import __version__

    return {
        "format": 1,
        "auditor": __version__,
        "system": platform.platform(terse=True),
        "began": began,
        "ended": ended,
        "sha256": {name: sha256(path) for name, path in sorted(files.items())},
    }


def verify(result: Results) -> Iterator[tuple[str, bool | None, str]]:
    """Each result and each input: its name, whether it is what it was (None where that cannot be said), and why.

    Raises AuditError where the folder has no ``custody.json`` that can be read.
    """
    path = result.folder / CUSTODY
    try:
        sums: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}: there is nothing to verify the results by") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{path}: is damaged ({error})") from error
    for name, digest in sums.items():
        yield name, *_same(result.folder / name, digest)
    for item in result.manifest["inputs"]:
        name = item["name"]
        if item["sha256"] is None:
            yield name, None, "was not read to its end: it has no SHA-256"
        elif not located(name).is_file():
            yield name, None, "is not there any more, or was no file"
        else:
            yield name, *_same(located(name), item["sha256"])


def _same(path: Path, digest: str) -> tuple[bool | None, str]:
    try:
        found = sha256(path)
    except OSError as error:
        return False, str(error.strerror)
    return (True, "unchanged") if found == digest else (False, f"changed: its SHA-256 was {digest}, and is {found}")
