"""An audit's work in pieces that any process may do: following a share of the flows, and judging what was followed.

A piece reads captures and files of a folder that all share, and writes files there; what it is asked to do and what it answers is
small. Doing one twice gives the same files: each attempt writes into a folder of its own, and only one answer counts.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.border.urls import WEB, public, scheme_of
from auditor.capture import archives
from auditor.capture.inputs import Input
from auditor.errors import InputError
from auditor.flows.state import DROPPED_SEGMENTS, EXPORTS, RETRANSMITTED
from auditor.machine import memory, writing
from auditor.options import Options
from auditor.reading import joined, kept
from auditor.reading.events import Batch
from auditor.reading.sources import Source
from auditor.stores.client import Remote

if TYPE_CHECKING:
    from auditor.audit.pipeline import Pipeline
    from auditor.audit.totals import Totals
    from auditor.paths.topology_mismatch import FramesShown

LOG = "log"  # a file


@dataclass(frozen=True)
class CaptureSource:
    """One of the inputs, as another process can open it: by its path, and in an archive by its place there."""

    name: str
    path: Path | None
    size: int | None
    refusal: str | None
    member: int | None
    remote: Remote | None = None
    stamp: str | None = None
    is_unsorted: bool = False


def inputs_of(captures: Sequence[CaptureSource], *, is_hashed: bool) -> list[Input]:
    """The captures, to be read."""
    listed: dict[Path, list[archives.Member]] = {}
    inputs = []
    for one in captures:
        item = Input(
            one.name,
            one.path,
            remote=one.remote,
            size=one.size,
            stamp=one.stamp,
            refusal=one.refusal,
            is_hashed=is_hashed,
            is_unsorted=one.is_unsorted,
        )
        if one.member is not None and one.path is not None and one.refusal is None:
            if one.path not in listed:
                listed[one.path] = archives.members(one.path) or []
            members = listed[one.path]
            item.member = members[one.member].open if one.member < len(members) else None
            item.refusal = None if item.member is not None else "the archive has changed meanwhile"
        inputs.append(item)
    return inputs


def captures_of(inputs: Sequence[Input]) -> tuple[CaptureSource, ...]:
    """Inputs as other processes can open them."""
    members: dict[Path, int] = {}
    captures = []
    for item in inputs:
        member = None
        if item.path is not None and (item.member is not None or item.refusal is not None):  # it lies in an archive
            member = members.get(item.path, 0)
            members[item.path] = member + 1
        path = item.path.absolute() if item.path is not None else None
        if item.remote is not None:
            _check_object(item)
        captures.append(
            CaptureSource(item.name, path, item.size, item.refusal, member, item.remote, item.stamp, item.is_unsorted)
        )
    return tuple(captures)


def _check_object(item: Input) -> None:
    """Raise InputError for what of a store other machines cannot read, or must not be told."""
    assert item.remote is not None
    if item.member is not None:
        raise InputError(f"{item.name}: archives in stores are not read by several machines; unpack it there")
    if scheme_of(item.remote.url) in WEB and public(item.remote.url) != item.remote.url:
        raise InputError(f"{item.name}: the rest of that address is a secret, and is not handed to a cluster")


@dataclass(frozen=True)
class SharePlan:
    """What is audited, how, and in how many shares."""

    captures: tuple[CaptureSource, ...]
    options: Options
    shares: int
    folder: Path  # where files go, for all who work on it
    memory_bytes: int  # for each
    block_bytes: int
    by_hosts: bool = False  # all flows of two hosts are in one share
    in_parts: bool = False  # whoever judges writes its part of the tables as it is to be

    def ceiling(self) -> memory.Ceiling:
        """The memory that one piece may take, with a part for what is known of a site where there may be any."""
        with_logs = bool(self.options.witnesses or self.options.routes or self.options.topology)
        return memory.ceiling(self.memory_bytes, with_logs=with_logs)


@dataclass(frozen=True)
class ShareGroup:
    """What a share has of captures that are read as one."""

    batches: tuple[Path, ...]
    exchanged: tuple[Path, ...]
    sources: Path
    control: Path


@dataclass(frozen=True)
class Followed:
    """A share of the flows, followed through all captures."""

    groups: tuple[ShareGroup, ...]
    packets: int


@dataclass(frozen=True)
class JudgedShare:
    """What rules say of the flows of a share: files with rows of tables, in order, and what adds up.

    ``log``: what the audit keeps of them; ``left``: batches of flows that whoever asked has to judge, since requests in
    them may be read.
    """

    tables: tuple[tuple[str, Path], ...]
    log: Path
    totals: "Totals"
    left: tuple[Path, ...]
    shown: "FramesShown"  # how their frames look
    early: int  # how many were judged before all were known


def attempt(folder: Path, name: str) -> Path:
    """A new folder for one attempt at a piece: it may be tried twice at one time."""
    path = folder / f"{name}-{os.urandom(8).hex()}"
    path.mkdir(mode=0o700)
    return path


def judge(plan: SharePlan, name: str, group: ShareGroup, answers: Path) -> JudgedShare | None:
    """Judge the flows of one share; ``name``: of the piece. None where requests may be read in some, and that needs all.

    Where paths are judged by what is known of a site, requests cannot be left to others.
    """
    from auditor.audit.building import build_pipeline
    from auditor.audit.keeping import Keeping
    from auditor.requests.inside import FlowOpener

    folder = attempt(plan.folder, name)
    pipeline = build_pipeline(plan.options, FlowOpener(all_clear=plan.options.http), plan.ceiling())
    control, answered, left = kept.read_control(group.control), joined.read(answers), list[Path]()
    tables = Parts(folder) if plan.in_parts else Pieces(folder)

    with writing.held(folder) as number, writing.new_file(LOG, number) as log:
        keeping = pipeline.keeping = Keeping(log, folder, {})
        for generation, path in enumerate(group.batches):
            pipeline.shapes.forget()
            batch: Batch | None = answered.apply(kept.read_batch(path, generation, control))
            assert batch is not None
            wanted = _wanted(pipeline, batch)
            if len(wanted) and pipeline.judge.waits:
                keeping.abandon()
                return None
            if len(wanted):
                batch = _without(batch, wanted, folder, left)
            if batch is not None:
                tables.write(pipeline.run(batch))
        tables.write(pipeline.flush())
        keeping.close()
    return JudgedShare(tables.close(), folder / LOG, pipeline.totals, tuple(left), pipeline.judge.shown, pipeline.early)


def _without(batch: Batch, wanted: Any, folder: Path, left: list[Path]) -> Batch | None:
    """A batch without the flows whose requests may be read: these are left, as a batch of their own. None for nothing."""
    mine, others = batch.rows.divided(wanted)
    left.append(folder / f"left-{len(left)}")
    kept.write_batch(left[-1], replace(batch, rows=mine))
    return replace(batch, rows=others) if len(others) else None


def _wanted(pipeline: "Pipeline", batch: Batch) -> Any:
    """Which flows of a batch may be read, where there are no keys: few are looked at for it, and counted nowhere."""
    from auditor.audit.described import describe
    from auditor.requests.request_table import may_be_read
    from auditor.tls.interned import Shapes

    some = may_be_read(batch.rows)
    if not len(some):
        return some
    few = replace(batch, rows=batch.rows.divided(some)[0])
    described = describe(few, Shapes(), pipeline.ranges, pipeline.inside)
    return some[described.candidates.wanted.index]


@dataclass
class Pieces:
    """Rows of tables in files of a folder, each as it comes, for another process that puts them together."""

    folder: Path
    _written: list[tuple[str, Path]] = field(default_factory=list)

    def write(self, parts: Iterable[tuple[str, Any]]) -> None:
        """Write rows."""
        for table, rows in parts:
            self._written.append((table, self.folder / f"rows-{len(self._written)}"))
            write_rows(self._written[-1][1], rows)

    def close(self) -> tuple[tuple[str, Path], ...]:
        """The tables and files, in order."""
        return tuple(self._written)


@dataclass
class Parts:
    """Rows of tables in a Parquet file for each, which becomes a part of the results as it is."""

    folder: Path
    _open: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    _held: ExitStack = field(default_factory=ExitStack)

    def write(self, parts: Iterable[tuple[str, Any]]) -> None:
        """Write rows."""
        from auditor.report.sink import writer_of

        for table, rows in parts:
            if table not in self._open and rows.num_rows:
                file = self._held.enter_context(writing.replaced(self.folder / f"{table}.parquet"))
                self._open[table] = writer_of(table, file), self.folder / f"{table}.parquet"
            if rows.num_rows:
                self._open[table][0].write_table(rows)

    def close(self) -> tuple[tuple[str, Path], ...]:
        """The tables and files, which are whole and on the disk now."""
        for writer, _ in self._open.values():
            writer.close()
        self._held.close()
        return tuple((table, path) for table, (_, path) in self._open.items())


def write_rows(path: Path, rows: Any) -> None:
    """Write rows of a table, to be read by another process without unpacking."""
    import pyarrow as pa

    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with writing.replaced(path, durable=False) as file, pa.ipc.new_stream(file, rows.schema, options=options) as writer:
        writer.write_table(rows)


def read_rows(path: Path) -> Any:
    """Rows of a table that were written so."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_stream(file).read_all()


def merged_sources(parts: Sequence[Sequence[Source]]) -> list[Source]:
    """What all shares counted of captures: packets as the first did, flows and what concerns them together."""
    whole = list(parts[0])
    for others in parts[1:]:
        for source, other in zip(whole, others, strict=True):
            counted, more = source.counted, other.counted
            for counter in (EXPORTS, RETRANSMITTED, DROPPED_SEGMENTS):
                counted.counters[counter] += more.counters[counter]
            counted.flows += more.flows
            counted.handshakes += more.handshakes
            counted.evicted += more.evicted
            source.failure = source.failure or other.failure
    return whole
