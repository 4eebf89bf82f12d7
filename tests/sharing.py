"""Audits in shares, all of them followed in this process, and what is compared of two audits."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from unittest import mock

import pyarrow.parquet as pq

import auditor
from auditor.audit import parallel, worker
from auditor.flows import table
from auditor.options import Options


class Here:
    """Does pieces of an audit in this process, one after the other."""

    def __init__(self, _count: int) -> None:
        self.read: dict[int, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is no process to end."""

    def map(self, piece: str, calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        for call in calls:
            yield worker.PIECES[piece](*call)


def audit_here(paths: Any, options: Options | None = None, *, apart: bool = False, **more: Any) -> Any:
    """An audit in ``jobs`` shares. ``apart``: each is judged by itself, though there are few flows."""
    most = 0 if apart else table.MOST_FINISHED
    with mock.patch.object(parallel, "Processes", Here), mock.patch.object(parallel, "MOST_FINISHED", most):
        return auditor.audit(paths, options, **more)


def rows(folder: Path) -> dict[str, list[str]]:
    """The rows of all tables of results, sorted."""
    found = {}
    for file in sorted(folder.glob("*.parquet")):
        columns = [name for name in pq.read_schema(file).names if name != "credential_hash"]  # salted anew
        found[file.stem] = sorted(map(repr, pq.read_table(file, columns=columns).to_pylist()))
    return found


def totals(folder: Path) -> dict[str, Any]:
    """What the manifest of results says of all flows."""
    manifest = json.loads((folder / "audit.json").read_bytes())
    return {name: manifest[name] for name in ("counts", "inputs", "errors", "summary", "rules") if name in manifest}


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(one.name for one in folder.iterdir())


def hide(paths: list[Path]) -> None:
    """Put something else into files, of the same size and time: whoever reads them says what they never held."""
    for path in paths:
        status = path.stat()
        path.write_bytes(b"x" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
