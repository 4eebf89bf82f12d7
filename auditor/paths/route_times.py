"""Which routes were in force when: what BGP speakers announced and withdrew, one after the other, as a table with times.

Of several paths to a prefix (several speakers, or additional paths of one: RFC 7911) the one that the decision process
prefers is in force (RFC 4271 9.1.2.2); equally good ones of other next hops stand beside it.
"""

from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

from auditor.paths.routes import Changes, Hop, Routes
from auditor.prefixes import Prefix

FOREVER = 1 << 62
ALWAYS = ((-FOREVER, FOREVER),)


class RankedHop(NamedTuple):
    """A set of attributes: what the decision process ranks it by (lowest first), and its hop."""

    rank: tuple[int, int, int, int]
    hop: Hop


def preferred(paths: Collection[RankedHop]) -> Hop:
    """The hop of the best of some paths, with those beside it between which nothing here decides.

    MED compares paths of one neighbour alone (RFC 4271 9.1.2.2 c).
    """
    best = min(paths, key=lambda path: path.rank)
    hops = {best.hop.next_hop: best.hop}
    for path in paths:
        comparable = path.hop.as_path[:1] == best.hop.as_path[:1]
        if path.rank[:3] == best.rank[:3] and (path.rank[3] == best.rank[3] or not comparable):
            hops.setdefault(path.hop.next_hop, path.hop)
    others = tuple(hops.values())[1:]
    return best.hop._replace(others=others) if others else best.hop


class RouteTimes:
    """What speakers have announced at some moment; ended routes go into ``routes`` with the times they were in force.

    ``alive``: periods out of which nothing is.
    """

    def __init__(self, routes: Routes, alive: Sequence[tuple[int, int]] = ALWAYS) -> None:
        self.routes, self._alive = routes, alive
        self.routes.valid = []
        self.changes = Changes()
        self._paths: dict[Prefix, dict[tuple[Hashable, int], RankedHop]] = {}
        self._of: dict[Hashable, dict[tuple[Prefix, int], None]] = {}  # what each speaker has announced
        self._now: dict[Prefix, tuple[Hop, int]] = {}

    def announce(self, speaker: Hashable, prefix: Prefix, identifier: int, path: RankedHop, when: int) -> None:
        """A speaker announces a path; its one with the same identifier is replaced."""
        self.changes.first.setdefault(prefix, when)
        self._paths.setdefault(prefix, {})[speaker, identifier] = path
        self._of.setdefault(speaker, {})[prefix, identifier] = None
        self._choose(prefix, when)

    def withdraw(self, speaker: Hashable, prefix: Prefix, identifier: int, when: int) -> None:
        """A speaker withdraws a path, whether or not it is known."""
        self.changes.first.setdefault(prefix, when)
        if self._of.get(speaker, {}).pop((prefix, identifier), 0) is None:
            del self._paths[prefix][speaker, identifier]
            self._choose(prefix, when)

    def end(self, speaker: Hashable, when: int) -> None:
        """A speaker's session ends, and with it all that it announced."""
        for prefix, identifier in list(self._of.get(speaker, ())):
            self.withdraw(speaker, prefix, identifier, when)

    def end_all(self, when: int) -> None:
        """Nothing more is known."""
        for prefix in list(self._now):
            self._close(prefix, when)

    def _choose(self, prefix: Prefix, when: int) -> None:
        paths = self._paths[prefix]
        hop = preferred(paths.values()) if paths else None
        if not paths:
            del self._paths[prefix]
        old = self._now.get(prefix)
        if old is not None and old[0] == hop:
            return
        self._close(prefix, when)
        if hop is not None:
            self._now[prefix] = hop, when

    def _close(self, prefix: Prefix, when: int) -> None:
        old = self._now.pop(prefix, None)
        for begin, end in self._alive if old is not None else ():
            assert old is not None
            since, until = max(begin, old[1]), min(end, when)
            if since < until:
                self.routes.add(prefix, old[0], (since, until))
