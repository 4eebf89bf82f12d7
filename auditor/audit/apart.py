"""Small captures that are audited apart, with flows of many in one batch: what a batch costs hardly depends on how many it has."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from auditor.reading.events import Batch, CapturesEnded, Event
from auditor.reading.together import PartsApart

MOST_OF_ONE = 1024  # flows of a batch that is put together with others
MOST_FLOWS, MOST_BYTES = 8192, 24 << 20  # of what they become, and of its tables
MOST_EVENTS = 1024  # that wait for it


@dataclass
class _Held:
    """Batches that become one, and what happened meanwhile."""

    parts: PartsApart = field(default_factory=PartsApart)
    events: list[Event] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.parts.flows >= MOST_FLOWS or self.parts.size >= MOST_BYTES or len(self.events) >= MOST_EVENTS

    def given(self) -> Iterator[Event]:
        """All of it, which is held no longer."""
        parts, self.parts = self.parts, PartsApart()
        events, self.events = self.events, []
        if parts.flows:
            yield parts.batch()
        yield from events


def with_joined(events: Iterable[Event], may_join: Callable[[Batch], bool]) -> Iterator[Event]:
    """The same events in their order, but that of batches which ``may_join`` several are one, before what happens between them."""
    held = _Held()
    for event in events:
        if isinstance(event, Batch):
            if len(event.rows) <= MOST_OF_ONE and may_join(event):
                held.parts.add(event)
            else:
                yield from held.given()
                yield event
        else:
            held.events.append(event)
        if held.is_full or _opens_others(event):
            yield from held.given()
    yield from held.given()


def _opens_others(event: Event) -> bool:
    """Whether it brings secrets, which may open flows of captures behind it."""
    return isinstance(event, CapturesEnded) and any(source.key_logs for source in event.sources)
