"""What an audit keeps of its work beside its tables, so that it can be judged anew without reading a capture.

A log of records in one file, in the order of the audit: batches of finished flows; what was read inside of TLS, flow by
flow; at the end of captures that were read as one what they show of their network; and at last what was counted of each
capture, and how the audit was done. Keys and secrets are never among it.
"""

import hashlib
import shutil
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from auditor.decode.control import Control
from auditor.errors import AuditError, shown
from auditor.flows.state import COUNTERS
from auditor.machine import own, packed, writing
from auditor.reading import kept, kept_control
from auditor.reading.checkpoint import CHECKPOINT
from auditor.reading.events import Batch, Checkpoint, RequestsFound
from auditor.reading.sources import Source
from auditor.report.custody import STATE
from auditor.requests.request_table import Candidates
from auditor.tls.revealed import Revealed

# Kinds of records besides those of ``reading.kept``. A seal ends a log, and a state: it shows that this user wrote all of it.
ANSWERS, AUDIT, SEAL = "requests of flows", "audit", "seal"
ReadAsOne = tuple[Sequence[Source], Sequence[str | None]]  # captures that were read as one, and their interfaces
WAITING = 2  # batches that may wait to be written


@dataclass(frozen=True, eq=False, repr=False)
class FlowContents:
    """What was found inside a flow: its requests, why there are none or not all, and what its encrypted handshake says."""

    rows: Sequence[dict[str, Any]] = ()
    unseen: str | None = None
    revealed: Revealed | None = None

    def values(self) -> dict[str, Any]:
        """As JSON has it."""
        revealed = None
        if self.revealed is not None:
            revealed = {
                name: [one.hex() for one in value] if isinstance(value, list) else value
                for name, value in asdict(self.revealed).items()
            }
        return {"rows": list(self.rows), "unseen": self.unseen, "revealed": revealed}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "FlowContents":
        """The answer with those values."""
        stated = values["revealed"]
        revealed = None
        if stated is not None:
            kept: dict[str, Any] = {
                name: [bytes.fromhex(one) for one in value] if isinstance(value, list) else value
                for name, value in stated.items()
            }
            revealed = Revealed(**kept)
        return cls(list(values["rows"]), values["unseen"], revealed)


@dataclass(eq=False, repr=False)
class Keeping:
    """Writes the log, in a thread of its own. Methods raise AuditError where this or what was written before failed.

    ``folder``: where it lies while the audit runs. ``marks``: what a later audit has to have in common to go on from here.
    """

    file: BinaryIO
    folder: Path
    marks: Mapping[str, Any]
    state: str | None = None  # the digest of the last checkpoint, by which an audit could go on where this one is …
    is_last: bool = False  # … which is behind all captures
    is_own: bool = True  # whether all that goes into it was read by this user's audits
    _digest: Any = field(default_factory=hashlib.sha256)  # of the digests of its records
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="keeping"))
    _waiting: deque[Future[Any]] = field(default_factory=deque)

    def batch(self, batch: Batch, candidates: Candidates) -> None:
        """A batch, and which of its flows' requests are looked for."""
        kind = np.full(len(batch.rows), -1)
        kind[candidates.wanted.index] = candidates.wanted.kind
        chosen = RequestsFound(kind, candidates.reasons.values, candidates.reasons.index)
        self._submit(lambda: self._record(kept.BATCH, *kept.batch_parts(batch, chosen)))

    def answers(self, answers: Mapping[int, FlowContents]) -> None:
        """What was found inside of flows."""
        values = {"answers": [[flow, answer.values()] for flow, answer in answers.items()]}
        if answers:
            self._submit(lambda: self._record(ANSWERS, values, {}))

    def network(self, control: Control) -> None:
        """What captures that were read as one show of their network: they have ended."""
        self._submit(lambda: self._record(kept.CONTROL, *kept_control.parts(control)))

    def checkpoint(self, reached: Checkpoint, groups: Sequence[ReadAsOne]) -> None:
        """Where reading could go on; ``groups``: captures that have ended before."""
        done = list(groups)
        self._submit(lambda: self._checkpoint(reached, done))

    def _checkpoint(self, reached: Checkpoint, groups: Sequence[ReadAsOne]) -> None:
        began = time.monotonic()
        ended = {source.number: source for source in reached.sources}
        for row in reached.values.get("sources", []):
            if row["number"] in ended:  # not one that is open
                row.update(kept.hashed_values(ended[row["number"]]))
        counted = [kept.sources_parts(*group) for group in groups]
        tallies = np.concatenate([np.zeros((0, COUNTERS), np.int64), *(arrays["tallies"] for _, arrays in counted)])
        self.file.flush()
        values = {**reached.values, "log": self.file.tell(), "groups": [one for one, _ in counted]}
        arrays = [*reached.arrays, *packed.compressed({"group_tallies": tallies})]
        parts = packed.assembled(CHECKPOINT, values | {"reading": self.marks["reading"]}, arrays)
        with writing.replaced(self.folder / STATE, durable=False) as file:
            file.writelines([*parts, *self._seal(bytes(parts[-1]))])
        self.state = bytes(parts[-1]).hex()
        self.is_last = reached.is_last
        reached.written(time.monotonic() - began)

    def ended(self, state: str | None) -> None:
        """Others have written where an audit of more captures could go on, behind all of these; ``state``: its digest."""
        self.state, self.is_last = state, True

    def finish(self, groups: Sequence[ReadAsOne], values: Mapping[str, Any]) -> None:
        """What was counted of captures, those that were read as one together, and how the audit was done: it is whole."""
        for group in groups:
            self._submit(lambda group=group: self._record(kept.SOURCES, *kept.sources_parts(*group)))
        self._wait(0)
        self._record(AUDIT, {**values, "marks": self.marks}, {})
        self.file.writelines(self._seal())
        self._thread.shutdown()

    def close(self) -> None:
        """All of a part of an audit is written, which goes into the log of the whole."""
        self._wait(0)
        self._thread.shutdown()

    def copy(self, parts: Iterable[bytes], digests: Iterable[bytes]) -> None:
        """What another log has, which goes on here; ``digests``: those of its records."""
        for part in parts:
            self._submit(lambda part=part: self._write(part))
        for digest in digests:
            self._submit(lambda digest=digest: self._digest.update(digest))

    def copy_state(self, folder: Path, digest: str) -> None:
        """Where another audit stood at the end of its captures, this one does too."""
        self._submit(lambda: self._copy_state(folder))
        self.ended(digest)

    def _copy_state(self, folder: Path) -> None:
        with (folder / STATE).open("rb") as source, writing.replaced(self.folder / STATE, durable=False) as file:
            shutil.copyfileobj(source, file)

    def abandon(self) -> None:
        """Write no more."""
        self._thread.shutdown(cancel_futures=True)

    def _record(self, kind: str, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        parts = packed.encoded(kind, values, arrays)
        self.file.writelines(parts)
        self._digest.update(bytes(parts[-1]))

    def _seal(self, state: bytes = b"") -> list[Any]:
        """A record that seals the log as far as it was written, and a state by its digest."""
        sealed = own.seal(self._digest.digest() + state) if self.is_own else None
        return packed.encoded(SEAL, {"seal": sealed}, {})

    def _write(self, part: bytes) -> None:
        self.file.write(part)

    def _submit(self, work: Any) -> None:
        self._waiting.append(self._thread.submit(work))
        self._wait(WAITING)

    def _wait(self, most: int) -> None:
        """Wait until no more than so many records wait to be written."""
        while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
            try:
                self._waiting.popleft().result()
            except OSError as error:
                with suppress(OSError):
                    self.file.close()
                place, reason = shown(self.folder.parent), error.strerror or error
                raise AuditError(f"{place}: cannot write results there: {reason}") from error
