"""Joins the rooms: takes what ``reading`` finds and sends it on, in batches."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import tables
from auditor.batch import Pipeline
from auditor.capture.inputs import Input
from auditor.flows import state as S
from auditor.paths.columns import network_table
from auditor.reading import Batch, Counted, Finished, Reading
from auditor.report.sink import DirectorySink

TEMPORARY = "audit-results-"  # and the process that they are of


class Run:
    """An audit in progress: what reading finds goes through the other rooms into the sink."""

    def __init__(self, pipeline: Pipeline, sink: DirectorySink) -> None:
        self.pipeline = pipeline
        self.sink = sink
        self.captures: list[tuple[Input, Counted]] = []
        self.errors: list[str] = []
        self._generation = 0

    def take(self, reading: Reading) -> None:
        """Take events until reading has ended; one input that cannot be read is an entry of ``errors``."""
        for event in reading:
            if isinstance(event, Batch):
                self._batch(event)
            elif isinstance(event, Finished):
                self._write(self.pipeline.flush(event.source))
                control, names = event.counted.control, event.counted.interfaces
                told = network_table(event.source.name, control, self.pipeline.judge.network, names)
                self.sink.write("network", told)
                self.captures.append((event.source, event.counted))
            else:
                self._write(self.pipeline.flush())  # what was read before it could not be read any further
                self.errors.append(event.reason)

    def _batch(self, batch: Batch) -> None:
        if batch.generation != self._generation:
            self.pipeline.shapes.forget()
            self._generation = batch.generation
        self._write(self.pipeline.run(batch))

    def _write(self, parts: Iterable[tuple[str, pa.Table]]) -> None:
        for table, data in parts:
            self.sink.write(table, data)

    def notes(self) -> list[str]:
        """What a person should know of key logs and of opening TLS, a sentence each."""
        inside = self.pipeline.inside
        wrong = [
            f"{log.name}: {log.wrong} of {log.lines} lines are no secrets of TLS sessions"
            for log in inside.keys.logs
            if log.wrong
        ]
        return [*wrong, *inside.notes]

    def witnesses_table(self) -> pa.Table:
        """The table ``witnesses``."""
        lines = self.pipeline.judge.witnesses.rows()
        if not lines:
            return tables.empty("witnesses")
        for line in lines:
            if line.get("not_captured"):
                reason = f"{line['not_captured']} rows of the captures' time fit no captured flow: {line['samples']}"
                times = (line["started"], line["ended"])
                evaluation = self.pipeline.evaluation
                evaluation.tell("witnesses-agree", line["witness"], reason, line["not_captured"], times)
        names = [column.name for column in tables.TABLES["witnesses"]]
        return tables.build("witnesses", {name: [line.get(name) for line in lines] for name in names})

    def captures_table(self) -> pa.Table:
        """The table ``captures``."""
        if not self.captures:
            return tables.empty("captures")
        lines = [_capture_row(item, counted) for item, counted in self.captures]
        for line in lines:
            lacks, times = _lacks(line), (line["started"] or 0, line["ended"] or 0)
            if lacks:
                name, flows = line["capture"], line["flows"]
                self.pipeline.evaluation.tell("whole-capture", name, "; ".join(lacks), flows, times, name)
        columns: dict[str, Any] = {name: [line[name] for line in lines] for name in lines[0]}
        return tables.build("captures", columns)


def _capture_row(item: Input, counted: Counted) -> dict[str, Any]:
    c, notes, sha256 = counted.counters, counted.notes, item.sha256()
    packets = int(c[S.PACKETS])
    warnings = [*notes.warnings, *counted.warnings]
    if not packets and notes.status == "complete":
        warnings.append("holds no packets")
    if item.was_changed():
        warnings.append(f"was written to while it was read: what is told is of its first {counted.bytes} bytes")
    if c[S.DUPLICATES]:
        warnings.append(
            f"{c[S.DUPLICATES]} packets are in it twice, as mirrors of both ends show them; each counts once"
        )
    fragments = counted.fragments
    if fragments.incomplete:
        warnings.append(f"{fragments.incomplete} fragmented IP datagrams never became whole")
    if fragments.overlapping:
        warnings.append(f"{fragments.overlapping} IP fragments overlap others: an attack, or a broken sender")
    if counted.control.left_out:
        warnings.append("more addresses, ICMP errors or BGP than is kept: the table network is not complete")
    names = [name for name in counted.interfaces if name]
    return {
        "capture": item.name,
        "sha256": sha256,
        "bytes": counted.bytes,
        "format": notes.format,
        "compression": notes.compression,
        "link_types": notes.link_names(),
        "interfaces": " ".join(names) or None,
        "packets": packets,
        "duplicates": int(c[S.DUPLICATES]),
        "wire_bytes": int(c[S.WIRE_BYTES]),
        "started": int(c[S.FIRST_TIME]) if packets else None,
        "ended": int(c[S.LAST_TIME]) if packets else None,
        "flows": counted.flows,
        "handshakes": counted.handshakes,
        "not_ip": int(c[S.NOT_IP_PACKETS]),
        "other_ip": int(c[S.OTHER_IP_PACKETS]),
        "fragments": fragments.seen,
        "reassembled": fragments.whole,
        "incomplete": fragments.incomplete,
        "short": int(c[S.SHORT_PACKETS]),
        "cut": int(c[S.CUT_PACKETS]),
        "malformed": int(c[S.MALFORMED_PACKETS]),
        "encrypted": int(c[S.ENCRYPTED_PACKETS]),
        "dropped": counted.dropped,
        "segments_dropped": int(c[S.DROPPED_SEGMENTS]),
        "secrets": counted.secrets,
        "status": notes.status,
        "damage_offset": notes.damage_offset,
        "warnings": "; ".join(warnings) or None,
    }


def _lacks(line: dict[str, Any]) -> list[str]:
    """What a capture lacks of what was on the wire, as far as it tells."""
    told = {
        "dropped": "packets were dropped while capturing",
        "short": "packets are cut off by the snapshot length",
        "cut": "packets end inside a header",
        "incomplete": "fragmented IP datagrams never became whole",
        "segments_dropped": "TCP segments came with too many gaps",
    }
    lacks = [f"{line[name]} {words}" for name, words in told.items() if line[name]]
    if line["status"] != "complete":
        lacks.append(f"the file is {line['status']} at byte {line['damage_offset']}")
    return lacks


def package_versions() -> dict[str, str]:
    """Versions that decide a result, for ``audit.json``."""
    from auditor import __version__
    from auditor.machine_code import numba_version

    return {
        "auditor": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "numba": numba_version(),
        "pyarrow": pa.__version__,
    }


def results_folder(out: str | Path | None) -> tuple[Path, bool]:
    """Where the tables go: the folder asked for, or a temporary one (True)."""
    if out is not None:
        return Path(out), False
    import tempfile

    _clear_away(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-")), True


def _clear_away(folder: Path) -> None:
    """Remove the temporary results of audits that were killed."""
    if os.name != "posix":
        return
    for left in folder.glob(f"{TEMPORARY}*-*"):
        owner = left.name.removeprefix(TEMPORARY).partition("-")[0]
        if owner.isdigit() and not _is_alive(int(owner)) and left.lstat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
