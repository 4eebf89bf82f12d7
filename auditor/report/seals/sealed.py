"""Sealing results: a statement of what an audit wrote, its signature, and a time stamp of it, beside the results.

``signed.json`` states the digests of all that the audit wrote, as ``custody.json`` lists them, and nothing that comes later
or differs in a copy: pages that are added, where captures lie. ``signed.json.sig`` is its signature, which
``ssh-keygen -Y verify`` knows too, ``signed.json.tsr`` the response of a time stamp authority.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import AuditError, shown
from auditor.machine import writing
from auditor.report import custody, files
from auditor.report.custody import CUSTODY, SIGNATURE, STAMP, STATEMENT

if TYPE_CHECKING:
    from auditor.report.seals.keys import Signer

NAMESPACE = "traffic-auditor"  # of signatures: for what they are made
Verified = tuple[str, bool | None, str]  # a name, whether it is what it was, and why


@dataclass(frozen=True)
class Proofs:
    """What somebody brings to verify results with: files of their own."""

    key: Path | None = None  # whose signature counts
    response: Path | None = None  # of a time stamp authority, where it is not beside the results
    authorities: Path | None = None  # certificates of authorities that are believed


def statement(folder: Path) -> bytes:
    """What is signed. Raises AuditError where nothing says what the audit wrote."""
    listed = custody.read(folder)
    stated = {name: listed.whole.get(name) for name in ("auditor", "began", "ended")}
    return custody.text({"format": 1, **stated, "sha256": listed.files})


def sign(folder: Path, key: Path | None, passphrase: Callable[[], str | None], *, force: bool = False) -> list[str]:
    """Write the statement, and with a key its signature; the names of both. Raises AuditError.

    Without a key others sign the statement: ``ssh-keygen -Y sign``, with an agent or a token.
    """
    from auditor.report.seals import keys, sshsig

    private = keys.private(key, passphrase) if key is not None else None
    with writing.locked(folder, follow=True):
        contents = {STATEMENT: statement(folder)}
        if private is not None:
            if not force and (folder / SIGNATURE).exists():
                raise AuditError(f"{shown(folder / SIGNATURE)}: exists already; --force signs again")
            try:
                contents[SIGNATURE] = sshsig.sign(private, NAMESPACE, contents[STATEMENT]).encode()
            except sshsig.SignatureError as error:
                raise AuditError(f"{shown(key or '')}: {error}") from error
        for name, content in contents.items():
            _put(folder, name, content)
    return list(contents)


def stamp(folder: Path, response: Path) -> str:
    """Keep the response of a time stamp authority beside the results; the time it states. Raises AuditError."""
    from auditor.report.seals import timestamps

    data = timestamps.read(response)
    stamped = timestamps.stamped(response, data, _contents(folder))
    if stamped is None:
        raise AuditError(f"{shown(response)}: is a time stamp of something else than these results")
    _put(folder, STAMP, data)
    return stamped[1]


def request(folder: Path, target: Path, *, force: bool = False) -> None:
    """Write what a time stamp authority is sent about the results. Raises AuditError."""
    from auditor.report.seals import timestamps

    if writing.identity(target.parent) == writing.identity(folder):
        raise AuditError(f"{shown(target)}: is in the folder of the results, where nothing else may be")
    asked = timestamps.request(statement(folder))
    with writing.whole(target, force=force) as file:
        file.write(asked)


def _put(folder: Path, name: str, content: bytes) -> None:
    target = folder / name
    writing.may_replace(target, force=True)
    try:
        with writing.replaced(target) as file:
            file.write(content)
    except OSError as error:
        raise AuditError(f"{shown(target)}: cannot be written: {error.strerror or error}") from error


def _contents(folder: Path) -> dict[str, bytes]:
    """What a time stamp may be of."""
    there = {name: _bytes(folder / name) for name in (CUSTODY, SIGNATURE)}
    return {STATEMENT: statement(folder)} | {name: data for name, data in there.items() if data is not None}


def _bytes(path: Path) -> bytes | None:
    try:
        with files.opened(path) as file:
            return file.read(custody.MOST_BYTES)
    except OSError:
        return None


def verify(folder: Path, proofs: Proofs) -> Iterator[Verified]:
    """Whether statement, signature and time stamp are of these results and, where that is known, by whom."""
    stated, there = statement(folder), _bytes(folder / STATEMENT)
    if there is not None:
        same = there == stated
        yield STATEMENT, same, "unchanged" if same else f"changed: it does not state what {CUSTODY} lists"
    yield from _signed(folder, stated, proofs.key)
    yield from _stamped(folder, proofs)


def _signed(folder: Path, stated: bytes, key: Path | None) -> Iterator[Verified]:
    signature = _bytes(folder / SIGNATURE)
    if signature is None:
        if key is not None:
            yield SIGNATURE, False, "is not there: nobody has signed these results"
        return
    from auditor.report.seals import keys, sshsig

    known = keys.signers(key) if key is not None else None
    try:
        read = sshsig.parse(signature)
        sshsig.check(read, NAMESPACE, stated)
    except sshsig.SignatureError as error:
        yield SIGNATURE, False, f"is no signature of these results: {error}"
        return
    yield SIGNATURE, *_whose(read.key, known)


def _whose(blob: bytes, known: "Sequence[Signer] | None") -> tuple[bool, str]:
    """Whether a key that signed is one of those that are known, in words."""
    from auditor.report.seals import sshsig

    fingerprint = sshsig.fingerprint(blob)
    if known is None:
        return True, f"signed by the key {fingerprint}; whose it is, --key says"
    same = [one for one in known if one.blob == blob]
    if not same:
        return False, f"signed by the key {fingerprint}, which is none of those given"
    refusals = [one.refusal(NAMESPACE, datetime.now(UTC)) for one in same]
    if None not in refusals:
        return False, f"signed by the key {fingerprint}: {refusals[0]}"
    name = same[refusals.index(None)].names
    return True, f"signed by {shown(name)} ({fingerprint})" if name else f"signed by the key {fingerprint}"


def _stamped(folder: Path, proofs: Proofs) -> Iterator[Verified]:
    path = proofs.response if proofs.response is not None else folder / STAMP
    if proofs.response is None and _bytes(path) is None:
        if proofs.authorities is not None:
            yield STAMP, False, "is not there: there is no time stamp of these results"
        return
    from auditor.report.seals import timestamps

    name, contents = shown(path.name if proofs.response is None else path), _contents(folder)
    # Once: what is shown has to be what is checked.
    data = timestamps.read(path)
    timestamps.library()
    try:
        stamped = timestamps.stamped(path, data, contents)
    except AuditError as error:
        if proofs.response is not None:
            raise
        # It was put there, and the rest is verified all the same.
        yield name, False, str(error).removeprefix(f"{shown(path)}: ")
        return
    if stamped is None:
        yield name, False, "is a time stamp of something else than these results"
    elif proofs.authorities is None:
        proven = None if proofs.response is not None else True
        yield (
            name,
            proven,
            f"states that {stamped[0]} was there at {stamped[1]}; --timestamp-ca says whose word that is",
        )
    else:
        why = timestamps.check(data, contents[stamped[0]], proofs.authorities)
        words = f"{stamped[0]} was there at {stamped[1]}, by an authority of {shown(proofs.authorities)}"
        yield name, why is None, words if why is None else f"is no time stamp of an authority given: {why}"
