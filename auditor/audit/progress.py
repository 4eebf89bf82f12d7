"""How far an audit is: written by the thread that does the work, read by whoever shows it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from auditor.capture.inputs import Input

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


@dataclass
class Progress:
    """What an audit does now, and what it has read of its captures."""

    phase: str = LOADING
    reading: Reads | None = None
    began: float = field(default_factory=time.monotonic)  # the reading

    def begin(self, reading: Reads) -> None:
        """Captures are read from now on."""
        self.reading, self.began = reading, time.monotonic()

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
    def total(self) -> int | None:
        """Their bytes; None where one is a stream."""
        sizes = [] if self.reading is None else [item.size for item in self.reading.inputs]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
