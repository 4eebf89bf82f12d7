"""Problems that have the same rules, together: what fits a screen says how many there are of each, and drops none uncounted."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from auditor.border.words import agreed, counted
from auditor.report.problems import Problem
from auditor.tables.value_sets import SEVERITIES, VERDICTS


class Cause(NamedTuple):
    """One problem, or several that have the same rules."""

    problems: tuple[Problem, ...]

    @property
    def worst(self) -> Problem:
        return self.problems[0]

    @property
    def flows(self) -> int:
        """The flows of all of them: no flow is in two problems."""
        return sum(one.flows for one in self.problems)

    @property
    def who(self) -> str:
        """Who talks to what, in words."""
        groups = list(dict.fromkeys(one.pair.client_group for one in self.problems))
        services = list(dict.fromkeys(f"{one.pair.service} {one.pair.region or ''}".rstrip() for one in self.problems))
        if groups == [None]:
            return _and_more(services, "")
        return f"{_and_more([str(one) for one in groups], ' network')} → {_and_more(services, ' server')}"


def _and_more(names: Sequence[str], what: str) -> str:
    more = len(names) - 1
    return f"{names[0]} and {more:,} more{agreed(more, what) if what else ''}" if more else names[0]


def causes(problems: Sequence[Problem], most: int) -> list[Cause]:
    """The problems, worst first: each by itself if they are at most so many.

    Otherwise those with the same rules to one service are one cause; and where these are too many as well, all with the
    same rules.
    """
    keys: tuple[Callable[[Problem], Any], ...] = (
        lambda one: one.pair,
        lambda one: (one.rules, one.verdict, one.pair.service, one.pair.region),
        lambda one: (one.rules, one.verdict),
    )
    some: list[Cause] = []
    for key in keys:
        grouped: dict[Any, list[Problem]] = {}
        for number, one in enumerate(problems):
            is_of_flows = one.pair.client_group is not None
            grouped.setdefault(key(one) if is_of_flows else number, []).append(one)
        some = sorted((Cause(tuple(group)) for group in grouped.values()), key=_rank)
        if len(some) <= most:
            break
    return some


def _rank(cause: Cause) -> tuple[int, int, int]:
    one = cause.worst
    return -SEVERITIES.index(one.severity), -VERDICTS.index(one.verdict), -cause.flows


def left_out(rest: Sequence[Cause]) -> str:
    """How many problems there are besides those that are shown, by severity."""
    counts = Counter(one.severity for cause in rest for one in cause.problems)
    listed = ", ".join(f"{count:,} {severity}" for severity, count in counts.items())
    return f"{counted(counts.total(), 'more problem')} ({listed})"
