"""Which files of a folder are captures: recognised by their first bytes, since rotation gives them any name (.pcap1, .cap.3, dump-1400)."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath

from auditor.border.words import counted
from auditor.capture import archives, folders
from auditor.capture.beginnings import is_capture
from auditor.capture.compression import beginning
from auditor.capture.sniff import looks_like
from auditor.errors import InputError, shown

SUFFIXES = (".pcap", ".pcapng", ".cap", ".ntar", ".dmp", ".trace", ".mcap", ".erf")
PACKED = ("", ".gz", ".bz2", ".xz", ".zst", ".lz4")
HEAD = 512
MOST_NAMED = 5  # files that are passed over; further ones are counted by kind


def is_capture_name(path: PurePath) -> bool:
    """Whether a file is named like a capture: then it is read, and what is wrong with it is an error.

    What macOS keeps beside a file is named like it, behind ``._``.
    """
    name = path.name.lower()
    return not name.startswith("._") and any(name.endswith(suffix + packed) for suffix in SUFFIXES for packed in PACKED)


def other_than_capture(path: Path) -> str | None:
    """What a file is instead of a capture, in a few words; None where it begins like a capture."""
    if (refusal := folders.refusal(path)) is not None:
        return refusal
    try:
        head = beginning(path, HEAD)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    if is_capture(head):
        return None
    inside = archives.members(path) if archives.kind_of(head) is not None else None
    return looks_like(head) if inside is None or all(one.refusal for one in inside) else None


def captures(folder: Path) -> tuple[list[tuple[Path, str | None]], str | None]:
    """The captures in a folder and those below it, in order, beside each the reason if it cannot be read.

    And a sentence on what was passed over, None where nothing was.
    """
    passed: dict[Path, str] = {}

    def is_wanted(path: Path) -> bool:
        other = None if is_capture_name(path) else other_than_capture(path)
        if other is not None:
            passed[path] = other
        return other is None

    found = folders.files(folder, is_wanted)
    names = {shown(path.relative_to(folder)): why for path, why in sorted(passed.items())}
    return found, passed_over(shown(folder), names) if passed else None


def passed_over(folder: str, passed: Mapping[str, str]) -> str:
    """A sentence on the files of a folder that are no captures: their names, and what they are."""
    named = [f"{name} ({why})" for name, why in list(passed.items())[:MOST_NAMED]]
    rest = Counter(list(passed.values())[MOST_NAMED:])
    if rest:
        kinds = ", ".join(f"{count} × {why}" for why, count in rest.most_common(MOST_NAMED))
        others = ", …" if len(rest) > MOST_NAMED else ""
        named.append(f"and {rest.total():,} more ({kinds}{others})")
    count = counted(len(passed), "file that is no capture", "files that are no captures")
    return f"{folder}: passed over {count}: {', '.join(named)}"
