"""Frame numbers of several captures that are read as one: the capture's number in the high bits, its own count below.

So every field that holds a frame says in which capture it is. 0 is no frame; of a single capture all are plain numbers.
"""

from collections.abc import Sequence

BITS = 40  # of the count within a capture
COUNT = (1 << BITS) - 1


def first_of(capture: int) -> int:
    """What the frames of a capture are counted from."""
    return capture << BITS


def number(frame: int) -> int:
    """A frame's number in its capture, as Wireshark counts."""
    return frame & COUNT


def capture(frame: int) -> int:
    """The number of a frame's capture."""
    return frame >> BITS


class Apart(list[str]):
    """Names of captures of which each is audited by itself, though flows of several are in one batch."""


def are_named(captures: Sequence[str]) -> bool:
    """Whether frames are said with their capture's name: where several are audited as one."""
    return len(captures) > 1 and not isinstance(captures, Apart)


def words(frame: int, captures: Sequence[str]) -> str:
    """A frame in words: with its capture's name where several are audited as one."""
    return f"{number(frame)} of {captures[capture(frame)]}" if are_named(captures) else str(number(frame))
