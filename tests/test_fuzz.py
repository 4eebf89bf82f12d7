"""Inputs made wrong by their structure give results or our own errors; what crashed once does not any more."""

from pathlib import Path
from random import Random

import pytest

from auditor.capture.sniff import looks_like
from tests.fuzz import loop, mutate
from tests.fuzz.targets import AUDITS, DECODERS, LOGS, NETWORKS, RESULTS, TARGETS

SEED = 20_260_101  # the same inputs in every run: whether a test passes does not depend on the day
FAST, SLOW = 60, 2  # executions of a target


@pytest.mark.parametrize("name", [*DECODERS, *LOGS, *NETWORKS])
def test_readers(name: str) -> None:
    """No reader raises anything but our own errors, hangs, or takes much memory."""
    assert [crash.what for crash in loop.run(name, FAST, SEED)] == []


@pytest.mark.parametrize("name", [*AUDITS, *RESULTS])
def test_audits_and_results(name: str) -> None:
    """Neither an audit with an input that is wrong nor anything done with results of others fails otherwise."""
    assert [crash.what for crash in loop.run(name, SLOW, SEED)] == []


@pytest.mark.parametrize("name", [*LOGS, *NETWORKS])
def test_long_words(name: str) -> None:
    """An eighth of a megabyte of one word, separator or bracket hangs no reader: no pattern's cost is the square of what it looks at."""
    begin = TARGETS[name].make(Random(SEED)).decode("utf-8", "replace")
    with loop.watched(), loop.folder() as work:
        crashes = [loop.execute(name, TARGETS[name], data, work) for data in mutate.long(begin, 1 << 17)]
    assert [crash.what for crash in crashes if crash is not None] == []


@pytest.mark.parametrize("part", mutate.PUMPED)
def test_long_words_of_what_is_no_capture(part: str) -> None:
    """What a text that is no capture looks like is told at once, whatever is in it over and over."""
    with loop.watched():
        assert looks_like((part * 512).encode()[:512])


@pytest.mark.parametrize(("name", "path"), loop.kept(), ids=lambda value: str(getattr(value, "name", value)))
def test_what_crashed_once(name: str, path: Path) -> None:
    """Each input that something came of once is read, or refused in a sentence."""
    crash = loop.replay(name, path)
    assert crash is None, crash.what


def test_what_is_kept_has_a_reader() -> None:
    """Each folder of inputs that were kept is named as a target is."""
    assert {path.name for path in loop.KEPT.iterdir() if path.is_dir()} <= set(TARGETS)


def test_inputs_are_the_same_again() -> None:
    """A target makes the same inputs from the same seed, and mostly different ones."""
    for name in ("account", "flow-log", "certificate"):
        make = TARGETS[name].make
        one, two = ([make(random) for _ in range(20)] for random in (Random(5), Random(5)))
        assert one == two
        assert len(set(one)) > 10
