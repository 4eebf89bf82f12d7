"""The style sheet of all pages: ``style.css``, and the colours of ``report.colours`` as its custom properties."""

from collections.abc import Iterable, Iterator

from auditor.report import colours
from auditor.report.colours import Colour

GROUND = {
    "paper": colours.PAPER,
    "soft": colours.SOFT,
    "ink": colours.INK,
    "dim": colours.DIM,
    "line": colours.LINE,
    "accent": colours.ACCENT,
}
# The class of each thing that has a colour: a letter for the set, then its name or number.
SETS = {
    "v": colours.VERDICT,
    "p": colours.PATH,
    "w": colours.WAY,
    "t": colours.VERSION,
    "c": colours.SUITE,
    "q": colours.POST_QUANTUM,
}


def kind(which: str, name: str | None) -> str:
    """The class of something in one of ``SETS``; what is in none has that of the unknown."""
    names = list(SETS[which])
    return f"{which}{names.index(name)}" if name in names else "u"


def sheet(text: str) -> str:
    """A style sheet with the colours that it refers to."""
    light, dark = _properties(0), _properties(1)
    rules = [
        f":root{{color-scheme:light;{light}}}",
        f'@media screen and (prefers-color-scheme:dark){{:root:not([data-theme="light"]){{color-scheme:dark;{dark}}}}}',
        f'@media screen{{:root[data-theme="dark"]{{color-scheme:dark;{dark}}}}}',
        *(f".{name}{{--c:var(--{name})}}" for name, _ in _coloured()),
        text,
    ]
    return "\n".join(rules)


def string(text: str) -> str:
    """A string of a style sheet: whatever is no letter or digit is an escape, so nothing can end it."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x} " for c in text) + '"'


def footer(left: str) -> str:
    """What stands at the foot of each printed page."""
    return f"@page{{@bottom-left{{content:{string(left)}}}@bottom-right{{content:counter(page) ' / ' counter(pages)}}}}"


def _coloured() -> Iterator[tuple[str, Colour]]:
    yield "u", colours.UNKNOWN
    for which, colour_of in SETS.items():
        for name, colour in colour_of.items():
            yield kind(which, name), colour


def _properties(scheme: int) -> str:
    named: Iterable[tuple[str, Colour]] = [*GROUND.items(), *_coloured()]
    return ";".join(f"--{name}:{colour[scheme]}" for name, colour in named)
