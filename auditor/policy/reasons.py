"""Why flows do not meet a rule, counted over all flows that a finding is about; the same in whatever order they come."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from auditor.border.words import agreed

Order = tuple[int, int]  # what comes first in an audit: when a flow began, and its number
MOST = 10_000  # reasons counted for one finding
_PLACES = re.compile(r"frames? \d+(?: of \S+)?(?: to \d+(?: of \S+)?)?")  # which files decide that packets lie in


@dataclass
class Reasons:
    """Texts, each with how many flows it is the reason of, and the first of these."""

    known: dict[str, tuple[int, Order]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, flows: int = 1) -> "Reasons":
        """One alone, of so many flows."""
        return cls({text: (flows, (0, 0))})

    def add(self, some: Iterable[tuple[str, int, Order]]) -> None:
        """Count flows: texts, of how many each is the reason, and the first of them. Of very many the last ones go."""
        for text, count, order in some:
            before = self.known.get(text)
            self.known[text] = (count, order) if before is None else (before[0] + count, min(before[1], order))
        if len(self.known) >= 2 * MOST:
            self.known = {text: self.known[text] for text in sorted(self.known, key=self._place)[:MOST]}

    def update(self, other: "Reasons") -> None:
        """Take over what was counted elsewhere."""
        self.add((text, *known) for text, known in other.known.items())

    def _place(self, text: str) -> tuple[str, Order, str]:
        """What comes first: texts in their order, but for the places in files that they name, then the first flows."""
        return _PLACES.sub("", text), self.known[text][1], text

    def words(self, further: Mapping[int, str]) -> str | None:
        """The reason that most flows have, and how many others there are; None where there is none.

        ``further``: what else is to be said of flows, by their numbers: it is said where the first of those is one of them.
        """
        if not self.known:
            return None
        kept = sorted(self.known, key=self._place)[:MOST]
        most, rest = min(kept, key=lambda text: -self.known[text][0]), len(kept) - 1
        more = further.get(self.known[most][1][1])
        said = most if more is None else f"{most}; {more}"
        return said if not rest else f"{said} (and {rest} {agreed(rest, 'other reason')})"
