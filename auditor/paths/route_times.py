"""Which routes were in force when: what BGP speakers announced and withdrew, one after the other, as a table with times.

Of several paths to a prefix (several speakers, or additional paths of one: RFC 7911) the one that the decision process
prefers is in force (RFC 4271 9.1.2.2); equally good ones of other next hops stand beside it.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol

from auditor.paths.routes import Changes, Hop, Routes
from auditor.prefixes import Prefix

FOREVER = 1 << 62
ALWAYS = ((-FOREVER, FOREVER),)
Path = tuple[Hashable, int]  # a speaker, and the identifier of a path of its


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


class Listener(Protocol):
    """What is told of routes as speakers announce and withdraw them."""

    def announce(self, speaker: Hashable, prefix: Prefix, identifier: int, path: RankedHop, when: int) -> None: ...

    def withdraw(self, speaker: Hashable, prefix: Prefix, identifier: int, when: int) -> None: ...


class RouteTimes:
    """What speakers have announced at some moment; ended routes go into ``routes`` with the times they were in force.

    ``alive``: periods out of which nothing is.
    """

    def __init__(self, routes: Routes, alive: Sequence[tuple[int, int]] = ALWAYS) -> None:
        self.routes, self._alive = routes, alive
        self.routes.valid = []
        self.changes = Changes()
        self.not_before: dict[Prefix, int] = {}  # what is known of these prefixes says nothing of the time before
        self._unknown: set[Prefix] = set()
        self._paths: dict[Prefix, dict[Path, RankedHop]] = {}
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

    def replace(self, paths: Mapping[Prefix, Mapping[Path, RankedHop]], when: int) -> None:
        """These are all the paths that there are to some prefixes, as a table dump has them: no change that was announced."""
        for prefix, fresh in paths.items():
            for speaker, identifier in self._paths.get(prefix, ()):
                del self._of[speaker][prefix, identifier]
            self._paths[prefix] = dict(fresh)
            for speaker, identifier in fresh:
                self._of.setdefault(speaker, {})[prefix, identifier] = None
            self._choose(prefix, when)

    def add_unknown(self, prefix: Prefix, until: int) -> None:
        """There is a route to a prefix before some time, and where it leads is not known: no shorter prefix counts."""
        if prefix not in self._unknown and until > -FOREVER:
            self._unknown.add(prefix)
            self.routes.add(prefix, Hop(), (-FOREVER, until))

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
            since = max(begin, old[1], self.not_before.get(prefix, begin))
            until = min(end, when)
            if since < until:
                self.routes.add(prefix, old[0], (since, until))
