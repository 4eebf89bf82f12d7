"""One audit by several workers: each follows a share of the flows, and judges it where nothing else has to be known.

Every worker reads all packets, so that they come in the same order everywhere; what is shared is the work on flows. What
flows of one share tell those of others (names, sessions) is decided here, between following and judging, as if one
process had followed all. So the rows, findings and totals are those of an audit by one process.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from auditor.audit import audit_settings, chosen, dask_workers, killed, share_state, shares
from auditor.audit.run import Run
from auditor.audit.shares import Followed, ShareGroup, SharePlan
from auditor.audit.workers import Processes, Workers
from auditor.border.gate import RefusedError
from auditor.border.urls import url_of
from auditor.border.words import agreed, counted
from auditor.capture.inputs import Input
from auditor.data import __version__
from auditor.decode.control import Control
from auditor.errors import AuditError, InputError, shown
from auditor.flows.table import MOST_FINISHED
from auditor.machine import memory, own, packed, writing
from auditor.options import Options
from auditor.reading import joined, kept, secrets
from auditor.reading.checkpoint import ResumedCheckpoint
from auditor.reading.events import Batch, CapturesEnded, Event, Finished, Unreadable
from auditor.reading.sources import Source
from auditor.reading.together import together
from auditor.reading.window import Window
from auditor.report import temporary
from auditor.report.custody import STATE

PLAN_KIND = "plan of shares"


@dataclass
class Parallel:
    """An audit's captures, read by workers: events come from it as from ``reading``."""

    plan: SharePlan
    inputs: Sequence[Input]
    workers: Workers
    marks: Mapping[str, Any] | None = None  # what an audit that goes on from this one has in common; None: none can
    _generation: int = 0

    @property
    def packets(self) -> int:
        """Packets that each worker has read so far."""
        return self._read_by_each(0)

    @property
    def done(self) -> int:
        """Bytes that each worker has read so far."""
        return self._read_by_each(1)

    @property
    def files(self) -> int:
        """Captures that each worker has read."""
        return self._read_by_each(2)

    def _read_by_each(self, which: int) -> int:
        """Each reads everything: what the slowest has done is done."""
        return min((one[which] for one in list(self.workers.read.values())), default=0)

    def take(self, run: Run) -> None:
        """Follow all shares, and have them judged by workers, or by ``run`` where flows of all have to be known."""
        calls = [(self.plan, number) for number in range(self.plan.shares)]
        followed: list[Followed] = list(self.workers.map("follow", calls))
        _check(followed)
        for number in range(len(followed[0].groups)):
            try:
                self._take_group(run, number, [share.groups[number] for share in followed])
            except RefusedError as error:
                raise AuditError(f"what workers hand to each other is {error}") from error
        if self.marks is not None and run.keeping is not None:
            run.keeping.ended(share_state.keep(self.plan, self.marks, run.keeping.folder / STATE))

    def _take_group(self, run: Run, number: int, groups: Sequence[ShareGroup]) -> None:
        """Judge captures that are read as one: what each share has of them."""
        answers = self._answered(number, groups)
        control = kept.read_control(groups[0].control)
        by_name = {item.name: item for item in self.inputs}
        read = [kept.read_sources(group.sources, by_name) for group in groups]
        sources, interfaces = shares.merged_sources([one for one, _ in read]), read[0][1]
        for source in sources:
            if source.counted.secrets and source.failure is None:
                source.key_logs = secrets.of(source.item, source.counted.secrets)
        key_logs = {source.item.name: source.key_logs for source in sources if source.key_logs}
        batches = self._batches(groups, answers, control, key_logs)
        if sum(source.counted.flows for source in sources) <= MOST_FINISHED:  # what one process gives as one batch
            few = list(batches)
            run.take([together(few)] if few else [])
        elif run.pipeline.judges_apart(control, sources, by_hosts=self.plan.by_hosts):
            self._have_judged(run, number, groups, answers, control)
        else:
            run.take(batches)
        run.take(_ends(sources, interfaces, control))

    def _answered(self, number: int, groups: Sequence[ShareGroup]) -> list[Path]:
        """Files with what the flows of each share are answered."""
        paths = []
        for share, answers in enumerate(joined.decide([group.exchanged for group in groups])):
            paths.append(self.plan.folder / f"answers-{number}-{share}")
            answers.write(paths[-1])
        return paths

    def _have_judged(
        self, run: Run, number: int, groups: Sequence[ShareGroup], answers: Sequence[Path], control: Control
    ) -> None:
        """Have each share judged by a worker, and take what it says, in the order of shares."""
        calls = [(self.plan, f"judged-{number}-{share}", group, answers[share]) for share, group in enumerate(groups)]
        for (_, _, group, path), judged in zip(calls, self.workers.map("judge", calls), strict=True):
            if judged is None:
                run.take(self._batches([group], [path], control, {}))
                continue
            run.keep(judged.log)
            run.pipeline.has_shown(judged.shown, judged.early)
            if self.plan.in_parts:
                run.add(judged.totals, (), judged.tables)
            else:
                run.add(judged.totals, ((table, shares.read_rows(path)) for table, path in judged.tables))
            run.take(self._read(path, control) for path in judged.left)

    def _batches(
        self,
        groups: Sequence[ShareGroup],
        answers: Sequence[Path],
        control: Control,
        key_logs: Mapping[str, Sequence[bytes]],
    ) -> Iterator[Batch]:
        """All batches of some shares, with the secrets that the captures show."""
        for group, path in zip(groups, answers, strict=True):
            answered = joined.read(path)
            for file in group.batches:
                batch = answered.apply(self._read(file, control))
                batch.key_logs = key_logs
                yield batch

    def _read(self, path: Path, control: Control) -> Batch:
        self._generation += 1
        return kept.read_batch(path, self._generation, control)


def _ends(sources: Sequence[Source], interfaces: list[str | None], control: Control) -> Iterator[Event]:
    """The events that end captures which are read as one."""
    yield CapturesEnded(list(sources), interfaces, control)
    for source in sources:
        if source.failure is None:
            yield Finished(source.item, source.counted)
        else:
            yield Unreadable(source.item, source.failure)


def _check(followed: Sequence[Followed]) -> None:
    """Raise AuditError where shares saw different captures: somebody writes to them."""
    if len({share.packets for share in followed}) > 1:
        raise AuditError("a capture was written to while workers read it: audit it again, or with --jobs 1")


@contextmanager
def on_cluster(
    inputs: Sequence[Input], options: Options, block_bytes: int, left: share_state.KeptShares | None = None
) -> Iterator[Parallel]:
    """The workers of a cluster, ready to read; ``left``: what they go on from."""
    if options.out is None:
        raise InputError("an audit on a cluster needs --out, a folder that all machines share")
    with ExitStack() as stack:
        workers = stack.enter_context(dask_workers.connected(options.scheduler))
        jobs = workers.shares(options.jobs) if left is None else left.shares
        folder, marks = stack.enter_context(_working(inputs, options, jobs, left))
        workers.check(folder)
        memory_bytes = options.memory_bytes() or workers.memory_bytes() or memory.ceiling().total
        plan = _plan(inputs, options, jobs, folder, memory_bytes, block_bytes)
        yield Parallel(replace(plan, in_parts=url_of(options.out) is None), inputs, workers, marks)


@contextmanager
def started(
    inputs: Sequence[Input],
    options: Options,
    jobs: int,
    memory_bytes: int,
    block_bytes: int,
    left: share_state.KeptShares | None = None,
) -> Iterator[Parallel]:
    """Processes of this machine that are ready to read; ``left``: what they go on from, which has its own number of shares.

    What they write meanwhile lies where results will, and goes.
    """
    count = max(1, min(jobs, memory_bytes // memory.LEAST))  # where memory is short, some shares wait for others
    several = jobs if left is None else left.shares
    with _working(inputs, options, several, left) as (folder, marks), Processes(count) as workers:
        plan = _plan(inputs, options, several, folder, memory_bytes // count, block_bytes)
        yield Parallel(plan, inputs, workers, marks)


def _plan(
    inputs: Sequence[Input], options: Options, jobs: int, folder: Path, memory_bytes: int, block_bytes: int
) -> SharePlan:
    captures, by_hosts = shares.captures_of(inputs), chosen.by_hosts(options)
    return SharePlan(captures, options.elsewhere(), jobs, folder, memory_bytes, block_bytes, by_hosts)


@contextmanager
def _working(
    inputs: Sequence[Input], options: Options, jobs: int, left: share_state.KeptShares | None = None
) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """A folder for what is needed meanwhile, and what whoever goes on from its files has in common; None: nobody can.

    It lies where results will be: that of an audit that was killed, where it was the same, or a new one with what is ``left``.
    """
    marks = _marks(inputs, options, jobs)
    may_go_on = options.out is not None and all(item.stamp is not None or item.refusal for item in inputs)
    with ExitStack() as stack:
        place = stack.enter_context(_place_of(options))
        try:
            writing.make_folder(place)
            folder = stack.enter_context(writing.working(place, partial(_fits, marks, options) if may_go_on else None))
            if left is not None and not (folder / killed.PLAN).exists():
                left.unpack(folder)
            packed.write(folder / killed.PLAN, PLAN_KIND, marks | {"seal": own.seal(_place(folder))}, {})
        except OSError as error:
            raise AuditError(f"{shown(place)}: cannot write there: {error.strerror or error}") from error
        stack.push(partial(_give_up, folder))
        yield folder, marks if may_go_on else None


def _give_up(folder: Path, kind: type[BaseException] | None, *_: object) -> None:
    """Let nobody go on from a folder whose files go one by one from now on: that may be killed, too."""
    if kind is None or not issubclass(kind, KeyboardInterrupt):
        with suppress(OSError):
            (folder / killed.PLAN).unlink()


@contextmanager
def _place_of(options: Options) -> Iterator[Path]:
    """Where the folder is made: where results will be, or where what goes into a store is meanwhile."""
    url = None if options.out is None else url_of(options.out)
    if url is None:
        yield Path(tempfile.gettempdir() if options.out is None else options.out)
        return
    place = next((one for one in killed.places(options) if any(one.glob(f"{writing.NEW}*/{killed.PLAN}"))), None)
    place = place or temporary.new(url)
    try:
        yield place
    finally:
        with suppress(OSError):  # an interrupted audit leaves what it has read there
            place.rmdir()


def _place(folder: Path) -> bytes:
    """What nobody else can give a folder that he has prepared: which one of this machine it is."""
    status = folder.stat()
    return f"{status.st_dev} {status.st_ino} {status.st_uid}".encode()


def _marks(inputs: Sequence[Input], options: Options, jobs: int) -> dict[str, Any]:
    """What another audit has to have in common to go on with what the shares of this one have written."""
    captures = [[item.name, item.size, item.stamp, item.refusal] for item in inputs]
    return {
        "reading": audit_settings.marks(options)["reading"],
        "shares": [jobs, chosen.by_hosts(options)],
        "captures": captures,
        "version": __version__,
    }


def left_by_shares(inputs: Sequence[Input], options: Options, results: Path) -> share_state.KeptShares | None:
    """What a finished audit has left beside its results, of fewer of these captures that several followed; it is said."""
    in_stores = any(item.remote is not None for item in inputs)  # what one process reads, where there is no cluster
    if any(item.stamp is None and item.refusal is None for item in inputs) or (
        in_stores and not chosen.is_used(options)
    ):
        return None
    with suppress(*packed.DAMAGED):
        left = share_state.found(results)
        if left is not None and _goes_on(left, inputs, options):
            if options.say is not None:
                count = len(left.marks["captures"])
                those = f"{count} of {counted(len(inputs), 'capture')} {agreed(count, 'was', 'were')}"
                options.say(f"{those} read before; --fresh reads them again")
            return left
    return None


def _goes_on(left: share_state.KeptShares, inputs: Sequence[Input], options: Options) -> bool:
    """Whether the captures that were read are the first of these, and read in the same way."""
    now, before = json.loads(json.dumps(_marks(inputs, options, left.shares))), left.marks
    first, every = before["captures"], now["captures"]
    known = first == every[: len(first)] if options.apart else all(one in every for one in first)
    if (
        len(first) >= len(every)
        or not known
        or any(before[name] != now[name] for name in ("reading", "shares", "version"))
    ):
        return False
    state, copies = left.state(apart=options.apart), [replace(item) for item in inputs]
    return (
        options.apart
        or ResumedCheckpoint(state.values, state.arrays).placed(copies, Window(*options.times())) is not None
    )


def _fits(marks: Mapping[str, Any], options: Options, left: Path) -> bool:
    """Whether what was left of an audit is of this one, or of fewer of its captures; it is said."""
    if options.fresh:
        return False
    with suppress(*packed.DAMAGED):
        before = dict(packed.read(left / killed.PLAN, PLAN_KIND, {}).values)
        if not own.is_own(_place(left), before.pop("seal", None)):
            return False
        captures, now = before.pop("captures"), json.loads(json.dumps(marks))
        known = captures == now["captures"] if options.apart else all(one in now["captures"] for one in captures)
        if known and all(before[name] == now[name] for name in ("reading", "shares", "version")):
            if options.say is not None:
                options.say("what was read before is not read again; --fresh reads all of it")
            return True
    return False
