"""What adds up of paths over an audit: addresses of peers that several MACs claim."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Contested(NamedTuple):
    """An address of a link's peer with several holders in a capture: which, from when to when, how many flows went there."""

    capture: str
    text: str
    flows: int
    first: int
    last: int

    def merge(self, other: "Contested") -> "Contested":
        """The same of two parts of an audit. One part may have seen the claims of the whole capture, so flows alone add."""
        first, last = min(self.first, other.first), max(self.last, other.last)
        return Contested(self.capture, self.text, self.flows + other.flows, first, last)


@dataclass(eq=False, repr=False)
class PathTotals:
    """What was seen of the network itself that adds up; by capture and address."""

    contested: dict[tuple[str, str], Contested] = field(default_factory=dict)

    def add(self, address: str, contested: Contested) -> None:
        key = contested.capture, address
        known = self.contested.get(key)
        longer = known is not None and len(known.text) > len(contested.text)  # more claims were seen later
        text = known.text if known is not None and longer else contested.text
        both = known.merge(contested) if known is not None else contested
        self.contested[key] = Contested(both.capture, text, both.flows, both.first, both.last)

    def merge(self, other: "PathTotals") -> "PathTotals":
        """What both add up to."""
        whole = PathTotals(dict(self.contested))
        for (_, address), contested in other.contested.items():
            whole.add(address, contested)
        return whole
