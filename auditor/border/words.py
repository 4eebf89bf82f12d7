"""Numbers with the words that they are of: one is never several."""

from auditor.border.text import printable

BETWEEN = "; "  # sentences in one cell, none of which has it inside
MOST_DIGITS = 19  # of a number of 63 bits
LONGEST_VERSION = 40  # characters that are shown of what may be anything


def agreed(count: int, one: str, several: str | None = None) -> str:
    """The words that agree with a number: ``one`` of them, or ``several``, which is ``one`` with an s where it is not given."""
    return one if count == 1 else several or f"{one}s"


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number for people, and the words that agree with it."""
    return f"{count:,} {agreed(count, one, several)}"


def is_number(text: str) -> bool:
    """Whether a text is a whole number as programs write it: ``²`` is a digit too, and of thousands of them Python makes no number."""
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def by_version(theirs: object, ours: str) -> str:
    """By which version of the auditor something was written, and which reads it; what is not said is left open."""
    if not isinstance(theirs, str) or not theirs:
        return "by another version"
    if theirs == ours:
        return f"by another state of auditor {ours}"
    return f"by auditor {printable(theirs[:LONGEST_VERSION])}, and this is {ours}"
