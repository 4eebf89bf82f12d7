"""Reasons of a finding are counted over all its flows, whatever files and workers these came by."""

import random

import pytest

from auditor.policy import reasons
from auditor.policy.reasons import Reasons


def counted(*batches: list[tuple[str, int, tuple[int, int]]]) -> Reasons:
    """What several batches show together."""
    whole = Reasons()
    for batch in batches:
        one = Reasons()
        one.add(batch)
        whole.update(one)
    return whole


def test_places_in_files_do_not_decide() -> None:
    """Of reasons that differ by the frames they name, that of the first flow is told, whatever numbers these have."""
    whole = counted([("not signed (frame 1197)", 1, (5, 1)), ("not signed (frame 20)", 1, (3, 1))])
    pieces = counted([("not signed (frame 20 of a)", 1, (5, 1))], [("not signed (frame 99 of b)", 1, (3, 1))])
    assert whole.words({}) == "not signed (frame 20) (and 1 other reason)"
    assert pieces.words({}) == "not signed (frame 99 of b) (and 1 other reason)"


def test_the_most_frequent_is_told() -> None:
    """The reason of the most flows counts, of equal ones the first by its text, however flows come in batches."""
    assert counted([("a", 1, (1, 1)), ("b", 1, (2, 2))], [("b", 1, (3, 3))]).words({}) == "b (and 1 other reason)"
    assert counted([("b", 2, (1, 1))], [("a", 2, (2, 2))]).words({}) == "a (and 1 other reason)"
    assert Reasons().words({}) is None


def test_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more than are counted, those that are do not depend on the order in which they come."""
    monkeypatch.setattr(reasons, "MOST", 10)
    every = [(f"reason {n:03}", 1 + n % 3, (n, n)) for n in range(100)]
    told = set()
    for seed in range(5):
        random.Random(seed).shuffle(every)
        told.add(counted(every[:40], every[40:]).words({}))
    assert told == {"reason 002 (and 9 other reasons)"}
