"""What the shares of an audit have followed, kept beside its results: captures that come later are then read alone.

One file has the records of all files that the shares wrote for whoever goes on from their last checkpoints, one behind the
other. Whoever finds it unpacks them into a working folder, as if that had been left by an audit that was killed.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.audit import followed
from auditor.audit.keeping import SEAL
from auditor.audit.shares import SharePlan
from auditor.border.gate import RefusedError
from auditor.machine import own, packed, writing
from auditor.reading import checkpoint
from auditor.report import custody, files
from auditor.report.custody import STATE

KIND = "shares of an audit"
NAME = re.compile(r"share-\d{1,6}-[0-9a-f]{16}/[a-z]+(?:-\d{1,9}){0,2}", re.ASCII)


def keep(plan: SharePlan, marks: Mapping[str, Any], target: Path) -> str | None:
    """Write what all shares have left, and its digest; None where one of them could not be gone on from.

    ``marks``: what another audit has to have in common.
    """
    names: list[str] = []
    with suppress(*packed.DAMAGED):
        for number in range(plan.shares):
            names += followed.files_of(plan, number)
        digest = hashlib.sha256()
        with writing.replaced(target, durable=False) as file:
            file.writelines(_noted(packed.encoded(KIND, {"marks": dict(marks), "files": names}, {}), digest))
            for name in names:
                with (plan.folder / name).open("rb") as part:
                    shutil.copyfileobj(part, file)
                    part.seek(-packed.DIGEST, 2)
                    digest.update(part.read())
            file.writelines(packed.encoded(SEAL, {"seal": own.seal(_sealed(digest.digest()))}, {}))
        return digest.hexdigest()
    return None


def _noted(parts: list[Any], digest: Any) -> list[Any]:
    """The parts of a record, whose digest is noted."""
    digest.update(bytes(parts[-1]))
    return parts


def _sealed(digest: bytes) -> bytes:
    return KIND.encode() + digest


@dataclass(frozen=True)
class KeptShares:
    """What the shares of a finished audit have left in the folder of its results."""

    path: Path
    marks: Mapping[str, Any]  # what another audit has to have in common to go on from it
    listed: Sequence[tuple[str, int, int]]  # its files: their names, and where they begin and end

    @property
    def shares(self) -> int:
        """How many they were."""
        return int(self.marks["shares"][0])

    def state(self, *, apart: bool) -> packed.Packed:
        """Where the first of them stood. Raises OSError and RefusedError."""
        _, begin, _ = self.listed[0]
        with files.opened(self.path) as whole:
            return packed.load(whole, next(packed.records(whole, begin)), {} if apart else checkpoint.LAYOUTS)

    def unpack(self, folder: Path) -> None:
        """Put the files where an audit that was killed would have left them. Raises OSError."""
        with files.opened(self.path) as whole:
            for name, begin, end in self.listed:
                writing.make_folder((folder / name).parent)
                whole.seek(begin)
                with writing.replaced(folder / name, durable=False) as file:
                    for at in range(begin, end, packed.AT_ONCE):
                        file.write(whole.read(min(end - at, packed.AT_ONCE)))


def found(results: Path) -> KeptShares | None:
    """What the results in a folder have of shares, where this user's audit wrote it."""
    with suppress(*packed.DAMAGED):
        digest = custody.read(results).unlisted[STATE]
        with files.opened(results / STATE) as file:
            first, *rest, last = packed.records(file)
            if first.kind != KIND or last.kind != SEAL:
                return None
            records = [first, *rest]
            actual = hashlib.sha256(b"".join(packed.digest_of(file, one) for one in records))
            seal = packed.load(file, last, {}).values.get("seal")
            names = list(packed.load(file, first, {}).values["files"])
            if actual.hexdigest() == digest and own.is_own(_sealed(actual.digest()), seal):
                return KeptShares(results / STATE, first.values["marks"], list(_listed(names, rest)))
    return None


def _listed(names: Sequence[Any], records: Sequence[packed.Record]) -> Iterator[tuple[str, int, int]]:
    for name, record in zip(names, records, strict=True):
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise RefusedError("damaged: it names files that no share has written")
        yield name, record.begin, record.end
