"""What an installed tshark says of itself, kept beside the machine code of kernels: asking takes as long as dissecting.

It is asked again once its program, its library, or a folder of its plugins is another one.
"""

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from auditor.machine import isolated, objects, trust

# From the folder above that of the program: Linux, Homebrew, Wireshark.app.
LIBRARIES = ("lib*/libwireshark.*", "lib*/*/libwireshark.so*", "Frameworks/libwireshark.*")
PLUGINS = ("lib*/wireshark/plugins", "lib*/*/wireshark/plugins", "PlugIns/wireshark")
KNOWN = "tcp"  # a protocol that no list lacks
Seen = list[list[str | int]]  # files and folders, and how they were


class Build(NamedTuple):
    """The first line of what ``--version`` says, and all protocols by their names in filters."""

    version: str | None
    protocols: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it answered, and its list could be read."""
        return self.version is not None and KNOWN in self.protocols


def is_possible(path: str) -> bool:
    """Whether what this tshark says can be kept, so that asking is done once."""
    return objects.why_not_kept() is None and not _is_moved() and bool(_parts(Path(path).resolve()))


def recalled(path: str) -> Build | None:
    """What this tshark said of itself; None where that is not kept, or it is another one now."""
    try:
        kept = json.loads(trust.read(_file(path)))
        if _is_moved() or _seen(name for name, *_ in kept["seen"]) != kept["seen"]:
            return None
        described = Build(kept["version"], tuple(kept["protocols"]))
    except (trust.UntrustedError, OSError, ValueError, KeyError, TypeError):
        return None
    return described if described.is_whole else None


def keep(path: str, described: Build) -> None:
    """Keep what a tshark says; what cannot be kept is asked again."""
    parts = _parts(Path(path).resolve())
    if not parts or _is_moved():
        return
    try:
        kept = {"seen": _seen(map(str, parts)), "version": described.version, "protocols": described.protocols}
        objects.folder(make=True)
        trust.write(_file(path), json.dumps(kept).encode())
    except (trust.UntrustedError, OSError):
        pass


def _file(path: str) -> Path:
    return objects.folder() / f"tshark-{sha256(path.encode()).hexdigest()[:32]}"


def _is_moved() -> bool:
    """Whether the environment names other folders of libraries."""
    return any(os.environ.get(name) for name in isolated.LIBRARIES)


def _parts(program: Path) -> list[Path]:
    """What decides what it says: program, libraries, folders of plugins; nothing where the libraries are elsewhere."""
    prefix = program.parent.parent
    libraries = [found for pattern in LIBRARIES for found in prefix.glob(pattern)]
    plugins = [found for pattern in PLUGINS for found in prefix.glob(pattern)]
    inner = [folder for found in plugins for folder in found.rglob("*") if folder.is_dir()]
    return [program, *libraries, *plugins, *inner] if libraries else []


def _seen(names: Iterator[str]) -> Seen:
    """How files and folders are now. Raises OSError where one is gone."""
    return [[name, *_state(Path(name).stat())] for name in names]


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
