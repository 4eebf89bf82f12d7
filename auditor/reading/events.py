"""What reading yields, in order: batches of finished flows, captures read to their end, inputs that could not be read."""

from dataclasses import dataclass, field

from auditor.capture.inputs import Input
from auditor.capture.reader import Notes
from auditor.decode.control import Control
from auditor.decode.fragments import Fragments
from auditor.flows import rows
from auditor.flows import state as S


@dataclass
class Counted:
    """What was counted of one capture; complete once the capture is read to its end."""

    notes: Notes
    counters: S.Array
    fragments: Fragments = field(default_factory=Fragments)
    control: Control = field(default_factory=Control)
    interfaces: list[str | None] = field(default_factory=list)
    flows: int = 0
    handshakes: int = 0
    dropped: int | None = None
    secrets: int = 0
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass
class Batch:
    """Finished flows. Interned numbers mean bytes of ``memory``; they are given out anew in each ``generation``."""

    source: Input
    rows: rows.Rows
    size: int  # about how many bytes of tables they make
    memory: S.Memory
    generation: int
    interfaces: list[str | None]
    first_flow: int  # flows of the captures before this one
    control: Control  # what the capture has shown of the network so far
    key_logs: list[bytes]  # TLS secrets that the capture has shown so far


@dataclass
class Finished:
    """A capture was read to its end."""

    source: Input
    counted: Counted


@dataclass
class Unreadable:
    """An input that could not be read, and why."""

    source: Input
    reason: str


Event = Batch | Finished | Unreadable
