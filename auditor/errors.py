"""What can go wrong that the user can fix."""

import os
import re
from pathlib import Path

from auditor.border.text import printable


class AuditError(Exception):
    """The work could not be done; the message is one sentence for the user, harmless wherever it is shown."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message))


class InputError(AuditError):
    """An input cannot be read, or is no capture."""


class OutOfOrderError(InputError):
    """A capture, which is named, has packets that come too late to be put in order while it is read once."""


class TopologyError(AuditError):
    """A topology file is not valid; the message names the file and the key."""


class PolicyError(AuditError):
    """A policy file is not valid; the message names the file and the key."""


def shown(path: str | Path) -> str:
    r"""A file's name as text that is harmless wherever it is read: bytes that are no printable UTF-8 become ``\xff``."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode()) for c in text)


def located(name: str) -> Path:
    """The file that a name of ``shown`` is of."""
    path = Path(name)
    if "\\x" not in name or path.exists():
        return path
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), name.encode())
    return Path(os.fsdecode(raw))
