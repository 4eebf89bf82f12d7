"""Whether results and captures are what they were: every file, and none besides."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from auditor.border import gate
from auditor.capture.archives import TROUBLE
from auditor.data import __version__
from auditor.errors import AuditError, InputError, shown
from auditor.report import custody, files, originals, partitions
from auditor.report.results import MANIFEST, Results, unreadable
from auditor.report.seals import sealed
from auditor.report.seals.sealed import Proofs, Verified

NOTHING = Proofs()
CAPTURES = "all captures"  # where nothing can be said of any


def verify_folder(folder: Path, captures: Sequence[Path], *given: Path | None) -> Iterator[Verified]:
    """As ``verify``, also of results whose manifest was damaged or is of another version; ``given``: what ``Proofs`` has."""
    proofs = Proofs(*given)
    try:
        result = Results(folder, captures)
    except AuditError as error:
        try:
            yield from verify_results(folder)
        except AuditError:  # no results, or in a store
            raise error from None
        yield from sealed.verify(folder, proofs)
        yield CAPTURES, None, f"could not be looked at: {error}"
    else:
        yield from verify(result, proofs)
        result.close()


def verify(result: Results, proofs: Proofs = NOTHING) -> Iterator[Verified]:
    """Each result, seal and input: its name, whether it is what it was (None where that cannot be said), and why.

    Raises AuditError where the folder has no ``custody.json`` that can be read, or ``proofs`` are none.
    """
    yield from verify_results(result.folder)
    yield from sealed.verify(result.folder, proofs)
    for item in result.manifest["inputs"]:
        name = item["name"]
        if item["sha256"] is None:
            yield name, None, "was not read to its end: it has no SHA-256"
        else:
            yield name, *_same_capture(result, name, item["sha256"])


def verify_results(folder: Path, without: Collection[str] = ()) -> Iterator[Verified]:
    """Each file that is in a folder of results, is listed, or has to be; ``without``: files that are not looked at.

    Raises AuditError as ``verify`` does.
    """
    custody_list = custody.read(folder)
    listed = custody_list.all
    # Another version may have had other tables.
    needed = custody.NEEDED if custody_list.whole.get("auditor") == __version__ else (MANIFEST,)
    for name, digest in listed.items():
        if name in without:
            continue
        same, why = _same(partial(files.sha256, folder / name), digest)
        yield (
            name,
            same,
            f"{why} since it was added, which is later than the audit" if name in custody_list.added and same else why,
        )
    try:
        there = {entry.name for entry in folder.iterdir()} - {custody.CUSTODY, custody.STATE, *custody.SEALS}
    except OSError as error:
        raise AuditError(f"{shown(folder)}: {error.strerror}") from error
    for name in sorted((there | set(needed)) - set(listed)):
        why = (
            "is not listed: nothing says what it was"
            if name in custody.NAMES
            else "is not listed: it came from elsewhere"
        )
        yield shown(name), False, why


def sign(result: Results, key: Path | None, passphrase: Callable[[], str | None], *, force: bool = False) -> list[str]:
    """Sign results that are as the audit left them, with what was listed later; the names of what is written.

    Raises AuditError.
    """
    changed = [f"{name} {why}" for name, same, why in verify_results(result.folder) if not same]
    if changed:
        raise AuditError(f"{shown(result.folder)}: cannot be signed: {changed[0]}")
    return sealed.sign(result.folder, key, passphrase, force=force)


def altered(folder: Path) -> list[str]:
    """What of the results that are read is not what it was, in sentences."""
    read = {*custody.NEEDED, *custody.SEALS}
    sentences: list[str] = []
    try:
        for name, same, why in chain(verify_results(folder, without={custody.KEPT}), sealed.verify(folder, NOTHING)):
            if not same and (name in read or partitions.is_part(name)):
                sentences.append(_unreadable(folder / name) or f"{shown(folder / name)}: {why}")
    except AuditError as error:
        sentences.append(str(error))
    return sentences


def _unreadable(path: Path) -> str | None:
    """What reading a file of a table will say, in the same words; None of what can be read, or is no table's."""
    if path.suffix != ".parquet":
        return None
    try:
        with files.opened(path) as file, gate.Parquet(file):
            return None
    except (OSError, gate.RefusedError) as error:
        return unreadable(path, error)


def _same_capture(result: Results, name: str, digest: str) -> tuple[bool | None, str]:
    try:
        source = originals.source(result, name)
    except InputError as error:  # of its store
        return None, str(error).removeprefix(f"{name}: ")
    if source is None:
        elsewhere = "; no file that was given has its SHA-256" if result.moved else ""
        return None, f"is not there any more, or was no file{elsewhere}"
    return _same(partial(originals.digest, source), digest)


def _same(hashed: Callable[[], str], digest: str) -> tuple[bool | None, str]:
    try:
        actual = hashed()
    except FileNotFoundError:
        return False, "is missing"
    except TROUBLE as error:
        return False, str(getattr(error, "strerror", None) or error)
    return (True, "unchanged") if actual == digest else (False, f"changed: its SHA-256 was {digest}, and is {actual}")
