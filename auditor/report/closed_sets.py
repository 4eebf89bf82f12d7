"""Texts that a query compares columns of closed sets with: one that is in no set is a slip, and finds nothing for ever."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches

from auditor.errors import AuditError

TEXT = r"'(?:[^']|'')*'"
MOST_NAMED = 40


def nothing(_: str) -> Collection[str]:
    """What a column holds besides, where its set has all."""
    return ()


def check(text: str, sets: Mapping[str, Sequence[str]], held: Callable[[str], Collection[str]] = nothing) -> None:
    """Raise AuditError where a query asks for a value that a column, named in ``sets`` with all it can hold, never has.

    ``held``: what a column holds besides. A query that gives the name to something else (``as path``) is not looked at for it.
    """
    names = [one for one in sets if re.search(rf"\bas\s+\"?{one}\b", text, re.IGNORECASE) is None]
    if not names:
        return
    compared = re.compile(
        rf"\b({'|'.join(names)})\b\"?\s*"
        rf"(?:(?:[<>!=]=?|<>)\s*({TEXT})"
        rf"|(?:not\s+)?between\s+({TEXT}\s+and\s+{TEXT})"
        rf"|(?:not\s+)?in\s*\(\s*({TEXT}(?:\s*,\s*{TEXT})*))",
        re.IGNORECASE,
    )
    for found in compared.finditer(text):
        name = found[1].lower()
        for one in re.findall(TEXT, found[2] or found[3] or found[4]):
            value = one[1:-1].replace("''", "'")
            if value not in sets[name] and value not in held(name):
                raise AuditError(_sentence(name, value, [known for known in sets[name] if "(draft " not in known]))


def _sentence(name: str, value: str, known: list[str]) -> str:
    plain = {_plain(one): one for one in known}
    # what is near a number is another number
    near = [_plain(value)] if re.search(r"\d", value) else get_close_matches(_plain(value), plain, 1)
    meant = f" Did you mean '{plain[near[0]]}'?" if near and near[0] in plain else ""
    return f"SQL: {name} is never '{value}': it is one of {', '.join(known[:MOST_NAMED])}.{meant}"


def _plain(value: str) -> str:
    """A value without what others write differently: TLSv1.2 and tls 1.2 are one."""
    return re.sub(r"[\W_]|(?<=s)v(?=[\W_]*\d)", "", value.lower())
