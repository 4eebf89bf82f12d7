"""Joins the rooms: reads each capture, lets the kernels follow it, and sends finished flows on in batches."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import scan, tables
from auditor.batch import Pipeline
from auditor.capture.inputs import Input
from auditor.capture.pcap import DAMAGED, MORE, SPECIAL
from auditor.capture.reader import BLOCK_BYTES, Reader
from auditor.errors import InputError
from auditor.flows import rows
from auditor.flows import state as S
from auditor.kernel import compiled_before, mark_compiled
from auditor.report.sink import DirectorySink
from auditor.tls.handshakes import Shapes

Progress = Callable[[str, int, int | None], None]


@dataclass
class Counted:
    """What was counted of one capture."""

    notes: Any
    counters: Any
    flows: int = 0
    handshakes: int = 0
    drops: int | None = None
    interfaces: list[str | None] = field(default_factory=list)
    secrets: int = 0
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)


class Run:
    """An audit in progress."""

    def __init__(
        self, pipeline: Pipeline, sink: DirectorySink, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
    ) -> None:
        self.pipeline = pipeline
        self.sink = sink
        self.block_bytes = block_bytes
        self.progress = progress or (lambda name, done, total: None)
        self.captures: list[tuple[Input, Counted]] = []
        self.errors: list[str] = []
        self._flows = 0
        self._packets = scan.new_batch()

    def read(self, inputs: Iterable[Input], prompt: bool = False) -> None:
        """Read every input; one that cannot be read is an entry of ``errors``, and the others go on."""
        for item in inputs:
            try:
                self._read_one(item, prompt)
            except InputError as error:
                self.errors.append(str(error))
            except OSError as error:
                self.errors.append(f"{item.name}: {error.strerror or error}")

    def _read_one(self, item: Input, prompt: bool) -> None:
        reader = Reader(item, self.block_bytes, prompt)
        self.pipeline.shapes = Shapes()
        state = S.new_state()
        counted = Counted(reader.notes, state.memory.counters)
        try:
            state = self._follow(reader, state, counted)
        except KeyboardInterrupt:
            if not prompt:
                raise
        finally:
            reader.close()
        while not scan.finish_all(state):
            state = self._flush(reader, state, counted)
        self._flush(reader, state, counted)
        self._flows += int(state.memory.counters[S.FLOWS_MADE])
        counted.interfaces = self._interfaces(reader)
        counted.secrets = reader.pcapng.secrets
        drops = [info.dropped for info in reader.pcapng.interfaces if info.dropped is not None]
        counted.drops = sum(drops) if drops else None
        counted.bytes = item.size if item.size is not None else getattr(item.digest, "count", 0)
        self.captures.append((item, counted))

    @staticmethod
    def _interfaces(reader: Reader) -> list[str | None]:
        return [info.name for info in reader.pcapng.interfaces]

    def _follow(self, reader: Reader, state: S.State, counted: Counted) -> S.State:
        """Block after block until the capture ends or is damaged."""
        frame = 0
        while True:
            found, reader.position, ended = scan.read_batch(
                reader.buffer, reader.position, reader.stop, reader.layout, reader.interfaces, frame, self._packets
            )
            frame += found
            following = 0
            while True:
                following, reason = scan.follow_batch(state, reader.buffer, self._packets, following, found)
                if reason == MORE:
                    break
                state = S.make_room(state) if reason == scan.ROOM else self._flush(reader, state, counted)
            if ended == MORE or (ended == SPECIAL and not reader.special()):
                if reader.notes.status != "complete" or not reader.fill():
                    reader.ended()
                    return state
                self.progress(reader.name, reader.offset, None)
            elif ended == DAMAGED:
                reader.damaged("no packet record can begin there", reader.offset + reader.position)
                return state

    def _flush(self, reader: Reader, state: S.State, counted: Counted) -> S.State:
        """Send the finished flows through the other rooms and into the sink."""
        done = rows.take(state)
        if len(done):
            counted.flows += len(done)
            counted.handshakes += len(done.handshakes)
            parts = self.pipeline.run(done, state.memory, reader.name, self._interfaces(reader), self._flows)
            for table, data in parts.items():
                self.sink.write(table, data)
        smaller = rows.renumber(state)
        if smaller is not None:
            self.pipeline.shapes.forget()
            state = smaller
        return state

    def captures_table(self) -> pa.Table:
        """The table ``captures``."""
        if not self.captures:
            return tables.empty("captures")
        lines = [_capture_row(item, counted) for item, counted in self.captures]
        columns: dict[str, Any] = {name: [line[name] for line in lines] for name in lines[0]}
        for name in ("started", "ended"):
            columns[name] = pa.array(columns[name], pa.int64()).cast(tables.TIME)
        return tables.build("captures", columns)


def _capture_row(item: Input, counted: Counted) -> dict[str, Any]:
    c, notes = counted.counters, counted.notes
    packets = int(c[S.PACKETS])
    warnings = [*notes.warnings, *counted.warnings]
    if not packets and notes.status == "complete":
        warnings.append("holds no packets")
    if c[S.FRAGMENTS]:
        warnings.append(f"{c[S.FRAGMENTS]} later IP fragments are not put together")
    names = [name for name in counted.interfaces if name]
    return {
        "capture": item.name,
        "sha256": item.sha256(),
        "bytes": counted.bytes,
        "format": notes.format,
        "compression": notes.compression,
        "link_types": notes.link_names(),
        "interfaces": " ".join(names) or None,
        "packets": packets,
        "wire_bytes": int(c[S.WIRE_BYTES]),
        "started": int(c[S.FIRST_TIME]) if packets else None,
        "ended": int(c[S.LAST_TIME]) if packets else None,
        "flows": counted.flows,
        "handshakes": counted.handshakes,
        "not_ip": int(c[S.NOT_IP_PACKETS]),
        "other_ip": int(c[S.OTHER_IP_PACKETS]),
        "fragments": int(c[S.FRAGMENTS]),
        "short": int(c[S.SHORT_PACKETS]),
        "cut": int(c[S.CUT_PACKETS]),
        "malformed": int(c[S.MALFORMED_PACKETS]),
        "dropped": counted.drops,
        "segments_dropped": int(c[S.DROPPED_SEGMENTS]),
        "secrets": counted.secrets,
        "status": notes.status,
        "damage_offset": notes.damage_offset,
        "warnings": "; ".join(warnings) or None,
    }


def first_run_notice(say: Callable[[str], None]) -> Callable[[], None]:
    """Tell once that kernels are being compiled; call what is returned when the run is over."""
    if not compiled_before():
        say("compiling the kernels for this machine, once after each update; it takes about 20 seconds …")
    return mark_compiled


def package_versions() -> dict[str, str]:
    """Versions that decide a result, for ``audit.json``."""
    import numba

    from auditor import __version__

    return {
        "auditor": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "numba": numba.__version__,
        "pyarrow": pa.__version__,
    }


def results_folder(out: str | Path | None) -> tuple[Path, Any]:
    """Where the tables go: the folder asked for, or a temporary one and the object that removes it."""
    if out is not None:
        return Path(out), None
    import tempfile

    temporary = tempfile.TemporaryDirectory(prefix="audit-")
    return Path(temporary.name), temporary
