"""Numbers stand with words that agree with them: one is never several, wherever a sentence counts."""

import ast
import re
from collections.abc import Iterator

import pytest

from auditor.border.words import agreed, counted, is_number
from tests.conftest import ROOT

# What sentences count. A number that stands before one of these must have gone through ``agreed`` or ``counted``.
COUNTED = [
    "addresses",
    "captures",
    "changes",
    "columns",
    "combinations",
    "copies",
    "datagrams",
    "exceptions",
    "fields",
    "files",
    "findings",
    "flows",
    "fragments",
    "frames",
    "handshakes",
    "interfaces",
    "lines",
    "messages",
    "packets",
    "pairs",
    "positions",
    "problems",
    "reasons",
    "refusals",
    "requests",
    "routes",
    "rows",
    "rules",
    "segments",
    "servers",
    "sessions",
    "values",
    "warnings",
]
SEVERAL = re.compile(rf" (?:(?!of |from |with )[A-Za-z]+ )?(?:{'|'.join(COUNTED)})\b")


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 flows"), (1, "1 flow"), (2, "2 flows"), (1_234_567, "1,234,567 flows")]
)
def test_numbers_and_words_agree(count: int, words: str) -> None:
    """Only one of a thing is without an s, and many are written for people."""
    assert counted(count, "flow") == words
    assert agreed(count, "is", "are") == ("is" if count == 1 else "are")


@pytest.mark.parametrize(
    ("text", "number"), [("0", True), ("9" * 19, True), ("", False), ("-1", False), ("²", False), ("9" * 5000, False)]
)
def test_what_is_a_number(text: str, number: bool) -> None:
    """Digits that Python makes a number of; of an exponent, or of thousands of digits, it makes none."""
    assert is_number(text) == number


def fixed_plurals(source: str) -> Iterator[str]:
    """F-strings that put a plural behind a number that may be one; constants are not, and were chosen with their words."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for before, after in zip(node.values, node.values[1:], strict=False):
            is_number = isinstance(before, ast.FormattedValue) and not (
                isinstance(before.value, ast.Name) and before.value.id.isupper()
            )
            if is_number and isinstance(after, ast.Constant) and SEVERAL.match(str(after.value)):
                yield ast.unparse(node)


def test_the_search_finds_fixed_plurals() -> None:
    """A plural behind a number is found, one that agrees with it is not."""
    assert list(fixed_plurals('f"{count} packets are cut"')) == ["f'{count} packets are cut'"]
    assert not list(
        fixed_plurals('f"{MOST} packets"; f"{agreed(count, one)} of all packets"; counted(count, "packet")')
    )


def test_no_sentence_has_a_fixed_plural() -> None:
    """Nowhere in the product a sentence says ``1 packets``."""
    found = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in sorted((ROOT / "auditor").rglob("*.py"))
        for text in fixed_plurals(path.read_text(encoding="utf-8"))
    }
    assert not found, "\n".join(sorted(found))
