"""How far an audit is: written by the thread that does the work, read by whoever shows it."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.capture.live import LiveCapture
    from auditor.reading.following import Reading

LOADING = "loading"
INPUTS = "reading routes and logs"
CAPTURES = "reading captures"
WRITING = "writing results"


@dataclass
class Progress:
    """What an audit does now, and what it has read of its captures."""

    phase: str = LOADING
    reading: "Reading | None" = None
    live: "LiveCapture | None" = None
    began: float = field(default_factory=time.monotonic)  # the reading

    def begin(self, reading: "Reading", live: "LiveCapture | None" = None) -> None:
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
    def dropped(self) -> int | None:
        """Packets that were dropped while capturing live, where that is known already."""
        return None if self.live is None else self.live.dropped()

    @property
    def files(self) -> tuple[int, int]:
        """How many captures were read, and how many there are."""
        inputs = [] if self.reading is None else self.reading.inputs
        return sum(item.is_done for item in inputs), len(inputs)

    @property
    def done(self) -> int:
        """Bytes read of all captures, packed or not."""
        inputs = [] if self.reading is None else self.reading.inputs
        return sum(item.digest.count for item in inputs if item.digest is not None)

    @property
    def total(self) -> int | None:
        """Their bytes, without those of captures that are not read; None where one is a stream."""
        inputs = [] if self.reading is None else self.reading.inputs
        sizes = [0 if item.is_done and item.digest is None else item.size for item in inputs]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
