"""Numbers with the words that they are of: one is never several."""

BETWEEN = "; "  # sentences in one cell, none of which has it inside


def agreed(count: int, one: str, several: str | None = None) -> str:
    """The words that agree with a number: ``one`` of them, or ``several``, which is ``one`` with an s where it is not given."""
    return one if count == 1 else several or f"{one}s"


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number for people, and the words that agree with it."""
    return f"{count:,} {agreed(count, one, several)}"
