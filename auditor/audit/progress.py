"""How far an audit is: written by the thread that does the work, read by whoever shows it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from auditor.capture.inputs import Input
    from auditor.capture.live import LiveCapture
    from auditor.requests.decrypt import Stage
    from auditor.requests.inside import FlowOpener

LOADING = "loading"
INPUTS = "reading routes and logs"
CAPTURES = "reading captures"
WRITING = "writing results"


class Reads(Protocol):
    """Whoever reads captures."""

    @property
    def inputs(self) -> "Sequence[Input]":
        """What is read."""
        ...

    @property
    def packets(self) -> int:
        """Packets read so far."""
        ...

    @property
    def done(self) -> int:
        """Bytes read so far, packed or not."""
        ...

    @property
    def files(self) -> int:
        """Captures that were read, or need not be."""
        ...


@dataclass(eq=False, repr=False)
class Progress:
    """What an audit does now, and what it has read of its captures."""

    phase: str = LOADING
    reading: Reads | None = None
    live: "LiveCapture | None" = None
    inside: "FlowOpener | None" = None  # what opens flows once captures are read
    began: float = field(default_factory=time.monotonic)  # the reading

    def begin(self, reading: Reads, live: "LiveCapture | None" = None) -> None:
        """Captures are read from now on."""
        self.reading, self.live, self.began = reading, live, time.monotonic()

    @property
    def seconds(self) -> float:
        """How long captures have been read."""
        return time.monotonic() - self.began

    @property
    def packets(self) -> int:
        """Packets read."""
        return 0 if self.reading is None else self.reading.packets

    @property
    def done(self) -> int:
        """Bytes read of all captures, packed or not."""
        return 0 if self.reading is None else self.reading.done

    @property
    def dropped(self) -> int | None:
        """Packets that were dropped while capturing live, where that is known already."""
        return None if self.live is None else self.live.dropped()

    @property
    def is_behind(self) -> bool:
        """Whether packets come faster than they are read, so that some may be dropped."""
        return self.live is not None and self.live.is_behind()

    @property
    def opening(self) -> "Stage | None":
        """How far opening flows is, while that is done."""
        return None if self.inside is None else self.inside.stage

    @property
    def files(self) -> tuple[int, int]:
        """How many captures were read, and how many there are."""
        return (0, 0) if self.reading is None else (self.reading.files, len(self.reading.inputs))

    @property
    def total(self) -> int | None:
        """Their bytes, without those of captures that are not read; None where one is a stream."""
        inputs = [] if self.reading is None else self.reading.inputs
        sizes = [0 if item.is_skipped else item.size for item in inputs]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
