"""Keys as people keep them: PEM, OpenSSH's files, and its lists of who may sign (``allowed_signers``, ssh-keygen(1))."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
)

from auditor.border import gate
from auditor.errors import AuditError, shown
from auditor.report.seals import sshsig
from auditor.report.seals.sshsig import PrivateKey

MOST_BYTES = 1 << 20  # of a file of keys
KINDS = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+")
OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by their length


def _is_listed(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether a list of patterns has a text, as OpenSSH reads it (ssh_config(5), PATTERNS): one with ``!`` excludes it."""

    def fits(pattern: str) -> bool:
        return fnmatchcase(text, pattern.replace("[", "[[]"))  # which begins no set there

    excluded = any(fits(one[1:]) for one in patterns if one.startswith("!"))
    return not excluded and any(fits(one) for one in patterns if not one.startswith("!"))


@dataclass(frozen=True)
class Signer:
    """A key, and what it is allowed to sign: whose it is, for which purposes, and when."""

    blob: bytes
    names: str | None = None  # principals
    namespaces: tuple[str, ...] = ("*",)
    after: datetime | None = None
    before: datetime | None = None

    def refusal(self, namespace: str, now: datetime) -> str | None:
        """Why the key does not count for a purpose at a time; None where it does."""
        if not _is_listed(namespace, self.namespaces):
            return f"this key may sign {', '.join(self.namespaces)} only"
        if self.after is not None and now < self.after:
            return f"this key counts from {self.after:%Y-%m-%d %H:%M:%S} UTC"
        if self.before is not None and now >= self.before:
            return f"this key counted until {self.before:%Y-%m-%d %H:%M:%S} UTC"
        return None


def _read(path: Path) -> bytes:
    try:
        return gate.content(path, MOST_BYTES)
    except OSError as error:
        raise AuditError(f"{shown(path)}: {error.strerror}") from error
    except gate.RefusedError as error:
        raise AuditError(f"{shown(path)}: {error}") from error


def private(path: Path, passphrase: Callable[[], str | None]) -> PrivateKey:
    """A private key to sign with; ``passphrase`` is asked for where it is needed. Raises AuditError."""
    data = _read(path)
    load = load_ssh_private_key if data.lstrip().startswith(OPENSSH) else load_pem_private_key
    try:
        try:
            key = load(data, None)
        except TypeError:  # it is encrypted
            key = load(data, (passphrase() or "").encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = "is no private key that can be read without another passphrase"
        raise AuditError(
            f"{shown(path)}: {what}; give an Ed25519, ECDSA or RSA key in PEM or OpenSSH's form"
        ) from error
    if not isinstance(key, PrivateKey):
        raise AuditError(f"{shown(path)}: is a key of another kind; give an Ed25519, ECDSA or RSA key")
    return key


def signers(path: Path) -> list[Signer]:
    """Whose signatures count: a public key in PEM, or lines of OpenSSH keys or ``allowed_signers``. Raises AuditError."""
    data = _read(path)
    if b"PRIVATE KEY-----" in data:
        raise AuditError(f"{shown(path)}: is a private key; give the public one to verify with")
    if data.lstrip().startswith(b"-----BEGIN "):
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise AuditError(f"{shown(path)}: is no public key in PEM") from error
        if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise AuditError(f"{shown(path)}: is a key of another kind than Ed25519, ECDSA and RSA")
        return [Signer(sshsig.blob_of(key))]
    found = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(_signer(line))
            except ValueError as error:
                raise AuditError(f"{shown(path)}: line {number}: {error}") from error
    if not found:
        raise AuditError(f"{shown(path)}: holds no public key")
    return found


def _signer(line: str) -> Signer:
    """A line of ``ID.pub``, or of ``allowed_signers``: principals, options, key. Raises ValueError."""
    words = _words(line)
    at = next((k for k, word in enumerate(words) if KINDS.fullmatch(word)), None)
    if at is None or at > 2 or at + 1 >= len(words):
        raise ValueError("is no public key of OpenSSH, nor a line of allowed_signers")
    try:
        blob = base64.b64decode(words[at + 1], validate=True)
    except binascii.Error as error:
        raise ValueError("the key is no base64") from error
    options = dict(_options(words[1])) if at == 2 else {}
    if "cert-authority" in options:
        raise ValueError("certificates of OpenSSH are not read; give the signers' own keys")
    return Signer(
        blob,
        words[0] if at else None,
        tuple(options["namespaces"].split(",")) if "namespaces" in options else ("*",),
        _time(options.get("valid-after")),
        _time(options.get("valid-before")),
    )


def _words(line: str) -> list[str]:
    """Words of a line, apart at blanks outside of quotes, which stay."""
    if line.count('"') % 2:
        raise ValueError("a quotation mark is not closed")
    return re.findall(r'(?:[^\s"]|"[^"]*")+', line)


def _options(word: str) -> Iterator[tuple[str, str]]:
    """``name="value"`` of a word; commas in quotes are the value's."""
    for option in re.findall(r'(?:[^,"]|"[^"]*")+', word):
        name, _, value = option.partition("=")
        yield name.lower(), value.strip('"')


def _time(text: str | None) -> datetime | None:
    """A time of ``allowed_signers``: local, unless a Z follows."""
    if text is None:
        return None
    form = TIMES.get(len(text.removesuffix("Z")))
    if form is None:
        raise ValueError(f"{text!r} is no time")
    time = datetime.strptime(text.removesuffix("Z"), form)  # noqa: DTZ007 - local, or UTC, by what follows
    return time.replace(tzinfo=UTC) if text.endswith("Z") else time.astimezone(UTC)
