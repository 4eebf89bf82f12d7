"""``custody.json``: when an audit was run, and the digests of all that it wrote, so that anybody can check that nothing changed.

It is apart from ``audit.json``, which is the same for the same input whenever and wherever the audit is run.
"""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from auditor.border import gate
from auditor.border.text import tidy
from auditor.errors import AuditError, located, shown
from auditor.machine import own, writing
from auditor.report import files, shape
from auditor.report.results import MANIFEST
from auditor.tables.schema import TABLES

CUSTODY = "custody.json"
KEPT = "audit.kept"  # what the tables were made of, to be judged anew; results may do without
NEEDED = (*(f"{table}.parquet" for table in TABLES), MANIFEST)
LISTED = (*NEEDED, KEPT)
# Where reading stood, to go on from when captures have come: it has the beginnings of streams, so it is not listed and not
# copied, and whoever gives results away may remove it.
STATE = "audit.state"
NAMES = (*LISTED, STATE)  # what an audit writes
STATEMENT = "signed.json"  # what is signed, if somebody signs
SIGNATURE, STAMP = f"{STATEMENT}.sig", f"{STATEMENT}.tsr"
SEALS = (STATEMENT, SIGNATURE, STAMP)  # they vouch for what is listed, and are not listed themselves
DIGEST = re.compile("[0-9a-f]{64}")
PLACES: shape.Shape = [{"name": str, "path": shape.TEXT, "from_results": shape.TEXT}]
MOST_BYTES = 64 << 20  # of a list


class Listed(NamedTuple):
    """What ``custody.json`` lists: files of the folder and their digests, and what else it says."""

    whole: dict[str, Any]
    files: dict[str, str]  # what the audit wrote
    added: dict[str, str]  # what was derived from it later and put beside it, as report.html

    @property
    def captures(self) -> list[dict[str, str | None]]:
        """Where the captures were."""
        listed: list[dict[str, str | None]] = self.whole.get("captures", [])
        return listed

    @property
    def unlisted(self) -> dict[str, str]:
        """Digests of what is neither verified nor copied, for whoever goes on from it."""
        known = self.whole.get("unlisted", {})
        return known if isinstance(known, dict) else {}

    @property
    def is_own(self) -> bool:
        """Whether an audit of this user wrote what is listed: digests alone could be anybody's."""
        return own.is_own(_sealed(self.files), self.whole.get("seal"))

    @property
    def all(self) -> dict[str, str]:
        return self.files | self.added


def places(
    inputs: list[dict[str, Any]], to: Path, known: Sequence[dict[str, str | None]] = ()
) -> list[dict[str, str | None]]:
    """Where captures are, seen from the folder ``to``; ``inputs``: those of the manifest.

    ``known``: where they are by another ``custody.json``, whose results these are made of.
    """
    there = {one["name"]: one for one in moved({"captures": known}, to)["captures"]}
    return [there[one["name"]] if one["name"] in there else _place(one["name"], to) for one in inputs]


def contents(
    files_of: dict[str, Path], began: str, ended: str, captures: list[dict[str, str | None]]
) -> dict[str, Any]:
    """The contents of ``custody.json``; ``files_of``: what was written, by its name; ``captures``: where they are."""
    import platform

    from auditor.data import __version__

    digests = {name: files.sha256(path) for name, path in sorted(files_of.items())}
    return {
        "format": 1,
        "auditor": __version__,
        # Not ``platform.platform()``, which runs a program ``uname`` that it looks for along the search path.
        "system": f"{platform.system()}-{platform.release()}",
        "began": began,
        "ended": ended,
        "captures": captures,
        "sha256": digests,
        "seal": own.seal(_sealed(digests)) if KEPT in digests else None,  # an audit may take them for its own results
    }


def _sealed(digests: dict[str, str]) -> bytes:
    return b"results " + json.dumps(digests, sort_keys=True).encode()


def _place(name: str, to: Path) -> dict[str, str | None]:
    """Where a capture is: absolute, and from the results; neither of what is no file, as a stream or an interface."""
    path = located(name)
    is_file = False
    with suppress(OSError):  # names of objects may be longer than those of files
        is_file = path.is_file() or any(parent.is_file() for parent in path.parents)  # which is an archive
    if not is_file:
        return {"name": name, "path": None, "from_results": None}
    absolute = path.absolute()
    return {"name": name, "path": shown(absolute), "from_results": _between(to, absolute)}


def moved(contents: dict[str, Any], to: Path) -> dict[str, Any]:
    """The contents of ``custody.json`` for a copy of the results in the folder ``to``."""
    captures = [
        one if one["path"] is None else one | {"from_results": _between(to, located(one["path"]))}
        for one in contents.get("captures", ())
    ]
    return contents | {"captures": captures}


def _between(folder: Path, path: Path) -> str:
    return shown(os.path.relpath(path.absolute(), folder.absolute()))


def text(contents: dict[str, Any]) -> bytes:
    """What the files ``audit.json`` and ``custody.json`` hold."""
    return (json.dumps(tidy(contents), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read(folder: Path) -> Listed:
    """What is listed in a folder. Raises AuditError where nothing is, or nothing that could be believed."""
    path = folder / CUSTODY
    try:
        with files.opened(path) as file:
            data = file.read(MOST_BYTES)
        whole = gate.from_json(data, unique=True)
        lists = [whole["sha256"], whole.get("added", {})]
    except OSError as error:
        raise AuditError(f"{shown(path)}: {error.strerror}: there is nothing to verify the results by") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuditError(f"{shown(path)}: is damaged ({error})") from error
    for one in lists:
        if not isinstance(one, dict):
            raise AuditError(f"{shown(path)}: is damaged (a list of files is none)")
        for name, digest in one.items():
            if name in {"", ".", "..", CUSTODY, *SEALS} or "/" in name or "\0" in name:
                raise AuditError(f"{shown(path)}: is damaged ({shown(name)!r} is no name of a file in the folder)")
            if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
                raise AuditError(f"{shown(path)}: is damaged (of {shown(name)} there is no SHA-256)")
    if not lists[0]:
        raise AuditError(f"{shown(path)}: is damaged (it lists no file)")
    if (wrong := shape.misfit(whole.get("captures", []), PLACES, "captures")) is not None:
        raise AuditError(f"{shown(path)}: is damaged ({wrong})")
    return Listed(whole, *lists)


def added(folder: Path) -> dict[str, str]:
    """What was derived from results later and put into their folder, with its digests; nothing where nothing says so."""
    try:
        return read(folder).added
    except AuditError:
        return {}


def is_same(path: Path, digest: str | None) -> bool:
    """Whether a file has that digest."""
    try:
        return digest is not None and files.sha256(path) == digest
    except OSError:
        return False


def add(folder: Path, name: str) -> None:
    """List a file that was derived from the results and is in their folder now. Raises OSError and AuditError."""
    with writing.locked(folder):
        listed = read(folder)
        contents = listed.whole | {"added": listed.added | {name: files.sha256(folder / name)}}
        with writing.replaced(folder / CUSTODY) as file:
            file.write(text(contents))
