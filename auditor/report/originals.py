"""Where the captures of an audit are now: where they were, or elsewhere, found by their SHA-256; in an archive, too."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from auditor.border.urls import url_of
from auditor.capture import archives, folders
from auditor.capture.inputs import Input, in_store
from auditor.errors import AuditError, located, shown
from auditor.report import custody, files
from auditor.report.results import Results

STEP = 1 << 20  # bytes of a member that are unpacked at a time to hash it


def source(result: Results, name: str) -> Input | None:
    """A capture of the audit as an input that can be read again: a file, an object in a store, a member of an archive.

    None if nothing is there.

    Raises AuditError as ``find`` does.
    """
    path = find(result, name)
    if path is not None:
        return Input(name, path, size=path.stat().st_size)
    item = next((one for one in result.manifest["inputs"] if one["name"] == name), None)
    for archive in _given(result.moved):
        for member in archives.members(archive) or ():
            inside = member.name.removeprefix(f"{shown(archive)}/")
            found = Input(name, archive, member=member.open)
            if member.open is not None and name.endswith(f"/{inside}") and item and digest(found) == item["sha256"]:
                return found
    url = url_of(name)
    return next(_members(places(result, name), name), None) if url is None else in_store(url)


def _members(paths: Iterable[Path], name: str) -> Iterator[Input]:
    """What lies at paths that lead into archives."""
    for path in paths:
        archive = None
        with suppress(OSError):  # names of objects may be longer than those of files
            archive = next((parent for parent in path.parents if parent.is_file()), None)
        for member in (archives.members(archive) if archive else None) or ():
            if member.open is not None and member.name == shown(path):
                yield Input(name, archive, member=member.open)


def digest(capture: Input) -> str:
    """The SHA-256 of a capture as it is now. Raises OSError, InputError, and what damaged archives raise."""
    if capture.member is None and capture.path is not None:
        return files.sha256(capture.path.resolve())
    hashed = hashlib.sha256()
    with closing(capture.open() if capture.member is None else capture.member()) as stream:
        while data := stream.read(STEP):
            hashed.update(data)
    return hashed.hexdigest()


def find(result: Results, name: str) -> Path | None:
    """The file of a capture: one of ``result.moved`` that has its SHA-256, else what is where it was; None if nothing is.

    Whether what is there is still the capture is for others to check. Raises AuditError where what is given cannot be read.
    """
    item = next((one for one in result.manifest["inputs"] if one["name"] == name), None)
    if item is not None and item["sha256"] is not None:
        for path in _given(result.moved):
            if _is(path, item):
                return path
    there = [path for path in places(result, name) if folders.refusal(path) is None]
    whole = [path for path in there if item is not None and path.stat().st_size == item["bytes"]]
    return next(iter([*whole, *there]), None)


def places(result: Results, name: str) -> list[Path]:
    """Where a capture was: as it is listed, from the results, and as it was named, from here."""
    try:
        listed = custody.read(result.folder).captures
    except AuditError:
        listed = []
    paths = []
    for one in listed:
        if one["name"] == name and one["path"] is not None:
            paths.append(located(one["path"]))
        if one["name"] == name and one["from_results"] is not None:
            paths.append(located(str(result.folder / one["from_results"])))
    return [*paths, located(name)]


def captures(result: Results) -> Iterator[Path]:
    """All places where captures of the audit may be: nothing is written there."""
    yield from result.moved
    for item in result.manifest["inputs"]:
        yield from places(result, item["name"])


def _given(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among what was given, and those in its folders."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        elif path.is_file():
            yield path
        else:
            raise AuditError(f"{shown(path)}: no such file or folder to look for captures in")


def _is(path: Path, item: dict[str, Any]) -> bool:
    """Whether a file is the capture that was audited."""
    try:
        return bool(path.stat().st_size == item["bytes"] and files.sha256(path.resolve()) == item["sha256"])
    except OSError:
        return False
