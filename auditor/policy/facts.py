"""What checks may ask of flows: facts by name, computed when they are first asked for, each combination of them once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from auditor.tables.columns import Texts, first_of_each

Array = np.ndarray[Any, Any]
FactColumn = Array | Texts  # of text: one text or None for each flow
T = TypeVar("T", bound=FactColumn)
DAY = 86_400_000_000_000  # nanoseconds
# Three-valued columns.
NO, YES, UNKNOWN = 0, 1, -1


class fact(cached_property[T]):  # noqa: N801 - used as a decorator, as ``property`` is
    """A fact of each flow of a batch: the method's name is the fact's, its docstring says what it means."""


class FlowFacts(Mapping[str, FactColumn]):
    """The facts of a batch of flows by name. Subclasses declare them as methods under ``fact``."""

    @classmethod
    def names(cls) -> list[str]:
        """The declared facts, those of base classes first."""
        return [name for base in reversed(cls.__mro__) for name, value in vars(base).items() if isinstance(value, fact)]

    def __getitem__(self, name: str) -> FactColumn:
        if not isinstance(getattr(type(self), name, None), fact):
            raise KeyError(name)
        column: FactColumn = getattr(self, name)
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())


class Facts:
    """The facts that a check sees: an array for each name, taken when it is first read.

    ``facts.version`` is the fact ``version``. One that is not there is an AttributeError.
    """

    def __init__(self, count: int, read: Callable[[str], Array]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            column = self._read(name)
        except KeyError:
            raise AttributeError(f"there is no fact {name} here") from None
        setattr(self, name, column)
        return column

    @classmethod
    def at(cls, columns: Mapping[str, FactColumn], at: Array) -> "Facts":
        """The facts of some flows of a batch."""
        return cls(len(at), lambda name: _taken(columns[name], at))

    def but(self, name: str, column: Array) -> "Facts":
        """The same facts with another column in one's place."""
        return Facts(len(self), lambda other: column if other == name else np.asarray(getattr(self, other)))

    def some(self, at: Array) -> "Facts":
        """The facts at some places."""
        return Facts(len(at), lambda name: np.asarray(getattr(self, name)[at]))


def _taken(column: FactColumn, at: Array) -> Array:
    return column.take(at).objects() if isinstance(column, Texts) else np.asarray(column[at])


def _codes(column: FactColumn) -> Array:
    """Numbers that are equal only where a column's values are; lists are taken to be all different."""
    if isinstance(column, Texts):
        return column.index
    if column.dtype != object:
        return column
    codes, given = np.zeros(len(column), np.int64), np.flatnonzero(column != None)  # noqa: E711
    known: dict[str, int] = {}
    for at in given.tolist():
        value = column[at]
        codes[at] = known.setdefault(value, at + 1) if isinstance(value, str) else at + 1
    return codes


def read_by(columns: Mapping[str, FactColumn], ask: Callable[[Facts], object]) -> frozenset[str]:
    """The facts that ``ask`` reads, discovered by letting it read them of no flows."""
    names: set[str] = set()

    def read(name: str) -> Array:
        column = _taken(columns[name], np.zeros(0, np.int64))
        names.add(name)
        return column

    ask(Facts(0, read))
    return frozenset(names)


def distinct(columns: Mapping[str, FactColumn], names: Iterable[str]) -> tuple[Facts, Array]:
    """The distinct combinations of the facts ``names``, and the number of each flow's combination.

    Flows are many and combinations few: checks look at these, and can read no fact that is not among ``names``.
    Combinations are in the order of their first flows, whichever facts are combined.
    """
    combined = {name: columns[name] for name in names}
    first, index = first_of_each(*map(_codes, combined.values()))
    return Facts.at(combined, first), index
