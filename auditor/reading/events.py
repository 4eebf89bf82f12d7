"""What reading yields, in order: batches of finished flows, the end of captures that are read as one, and each of these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from auditor.capture.inputs import Input
from auditor.decode.control import Control
from auditor.flows import rows
from auditor.flows import state as S
from auditor.reading.sources import CaptureCounts, Source

ALONE = -1  # the generation of a batch whose strings no other has


class RequestsFound(NamedTuple):
    """What was found of the requests in a batch's flows when it was first described."""

    kind: S.Array  # which protocol's they are, where they may be read; -1 where not
    reasons: list[str | None]  # why they are not seen, by the numbers that ``reason`` has; below 0 for none
    reason: S.Array


@dataclass(eq=False, repr=False)
class Batch:
    """Finished flows. Interned numbers mean bytes of ``memory``; they are given out anew in each ``generation``."""

    captures: list[str]  # names of those that are read as one, by the numbers that frames have
    rows: rows.Rows
    size: int  # about how many bytes of tables they make
    memory: S.Memory
    generation: int
    interfaces: list[str | None]
    control: Control  # what the captures have shown of the network so far
    key_logs: Mapping[str, Sequence[bytes]]  # TLS secrets that each capture has shown so far
    chosen: RequestsFound | None = None  # of a batch that was kept


@dataclass(eq=False, repr=False)
class Checkpoint:
    """Where reading could go on."""

    sources: Sequence[Source]  # those that have ended, of the captures that are read as one
    is_last: bool  # there are no more of them
    values: dict[str, Any]  # what is remembered, but digests of the captures, which may not be known yet
    arrays: list[tuple[list[Any], Any]]  # packed
    written: Callable[[float], None]  # is told how many seconds it took to write it
    exchanged: Sequence[Path] = ()  # files with what flows of a share stated and asked others so far


@dataclass(eq=False, repr=False)
class CapturesEnded:
    """All captures that are read as one are at their ends."""

    sources: list[Source]  # in the order of their first packets
    interfaces: list[str | None]
    control: Control
    exchanged: Sequence[Path] = ()  # files with what flows of a share stated and asked others


@dataclass(eq=False, repr=False)
class Finished:
    """A capture was read to its end."""

    source: Input
    counted: CaptureCounts


@dataclass(eq=False, repr=False)
class Unreadable:
    """An input that could not be read, and why."""

    source: Input
    reason: str


Event = Batch | Checkpoint | CapturesEnded | Finished | Unreadable
