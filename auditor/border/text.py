r"""Text on its way out: to a terminal, a table, CSV, JSON, Markdown, a workbook or a notebook it is harmless to.

Whoever wrote it may be an adversary. What acts on a reader or cannot be seen (control characters, escape sequences, marks
that turn the direction of writing, characters without width, halves of surrogate pairs) is written as ``\xNN``.
"""

import re
from typing import Any

# Printable by their category, and yet nothing is seen of them (Unicode, DerivedCoreProperties: Default_Ignorable_Code_Point;
# and the blank of Braille, which is as wide as a letter).
UNSEEN = (
    *("\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u180b", "\u180c", "\u180d", "\u180f", "\u2800", "\u3164", "\uffa0"),
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
)  # fmt: skip
_UNSEEN = re.compile(f"[{''.join(UNSEEN)}]")
# What begins a formula, also as written in East Asia, and in the fields that a spreadsheet with other separators sees.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_INNER_FORMULA = re.compile(r"(?<=[;|])(?=[=+\-@＝＋－＠])")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~&!])")


def _escaped(character: str) -> str:
    return character if character.isprintable() and not _UNSEEN.match(character) else f"\\x{ord(character):02x}"


def is_harmless(text: str) -> bool:
    """Whether a text is one line of characters that are seen as what they are."""
    return (text.isascii() and text.isprintable()) or (text.isprintable() and _UNSEEN.search(text) is None)


def printable(text: Any) -> str:
    """Text as one harmless line."""
    text = str(text)
    return text if is_harmless(text) else "".join(map(_escaped, text))


def lines(text: str) -> str:
    """Text of several lines, each of them harmless."""
    return text if is_harmless(text) else "\n".join(map(printable, text.split("\n")))


def cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: what would be one gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return _INNER_FORMULA.sub("'", f"'{text}" if text.startswith(FORMULAS) else text)


def markdown(value: Any) -> str:
    """Text that is neither Markdown nor HTML to whoever shows it."""
    return _MARKUP.sub(r"\\\1", printable("" if value is None else value))


def tidy(value: Any) -> Any:
    """Plain values as JSON has them, every text in them harmless, names of members too; line ends stay."""
    if isinstance(value, str):
        return lines(value)
    if isinstance(value, dict):
        return {printable(name): tidy(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(one) for one in value]
    return value
