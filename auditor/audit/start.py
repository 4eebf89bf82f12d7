"""Starting an audit: options in, results out; what is loaded when, so that reading begins early."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from auditor.audit import chosen
from auditor.audit.bounds import ceiling_of, check_out
from auditor.audit.progress import CAPTURES, INPUTS, WRITING, Progress
from auditor.errors import InputError
from auditor.options import Options, OptionValues, PathLike, merged, takes_options
from auditor.report.audit import Audit

if TYPE_CHECKING:
    from auditor.audit.resume import Plan
    from auditor.audit.run import Run
    from auditor.capture.digest import Child
    from auditor.capture.inputs import Input
    from auditor.capture.live import LiveCapture
    from auditor.machine.memory import Ceiling
    from auditor.requests.inside import Inside

Confine = Callable[[list[Path], list[Path]], object]
LONG_READ = 64 << 20  # bytes of input that take longer to read than libraries to load
CORES_A_JOB = 2  # which the threads of one process keep busy
A_JOB = 512 << 20  # bytes for which another process is worth its start, and that all of them decode everything


@takes_options
def audit(
    paths: PathLike | Iterable[PathLike], options: Options | None = None, **values: Unpack[OptionValues]
) -> Audit:
    """Audit captures: files, folders, globs, or ``-`` for standard input.

    Options are given by name, as ``Options``, or both: then those by name count. With ``out`` the results
    stay in that folder, otherwise they live as long as the Audit.

    Raises InputError if nothing could be read, TopologyError and PolicyError for files that are not valid. Nothing
    inside a capture raises: damage is recorded in ``captures``, inputs that cannot be read in ``errors``.
    """
    return audit_files(paths, merged(options, values))


def audit_files(
    paths: PathLike | Iterable[PathLike],
    options: Options,
    *,
    hashing: "Child | None" = None,
    meanwhile: Callable[[], object] | None = None,
    confine: Confine | None = None,
    progress: Progress | None = None,
    block_bytes: int | None = None,
) -> Audit:
    """``audit``, for callers that begin before it.

    ``hashing`` is a process that hashes one of the files already. The rest is that of ``audit_inputs``.
    """
    from auditor.capture.inputs import expand

    try:
        inputs = expand([paths] if isinstance(paths, str | Path) else paths, options.say)
        for item in inputs:
            if hashing is not None and item.adopt(hashing):
                break
        if options.out is None or not Path(options.out).is_dir():  # else it may have been read before
            inputs[0].hash_early()
        return audit_inputs(
            inputs, options, meanwhile=meanwhile, confine=confine, progress=progress, block_bytes=block_bytes
        )
    finally:
        if hashing is not None:
            hashing.stop()


def audit_inputs(
    inputs: "list[Input]",
    options: Options,
    live: "LiveCapture | None" = None,
    *,
    meanwhile: Callable[[], object] | None = None,
    confine: Confine | None = None,
    progress: Progress | None = None,
    block_bytes: int | None = None,
) -> Audit:
    """``audit`` for inputs that are open or known already; ``live`` for the one that ends at Ctrl-C.

    ``meanwhile`` is called once where there is time to load something while captures are read, or never; ``confine``
    before anything is parsed, with what will be read, and what will be written. Of a capture ``block_bytes`` are read at
    once; results do not depend on it. ``progress`` is kept up to date for whoever shows it.
    """
    try:
        check_out((item.path for item in inputs if item.path is not None), options)
        if confine is not None and options.scheduler is None:  # a cluster is spoken to by TCP
            from auditor.machine import kernel
            from auditor.reading import following  # noqa: F401 - its kernels are to be loaded

            _tell_of_compiling(options)
            kernel.prepare()  # from where this user keeps them
            out = [] if options.out is None else [Path(options.out)]
            confine([item.path for item in inputs if item.path is not None] + options.files(), out)
        return _read(inputs, options, live, meanwhile, progress or Progress(), block_bytes)
    finally:
        for item in inputs:
            item.forget()


def _tell_of_compiling(options: Options) -> None:
    """Say that kernels, which are imported by now, have to be compiled first, where that is so."""
    from auditor.machine import kernel

    if options.say is not None and (notice := kernel.notice()) is not None:
        options.say(notice)


def _read(
    inputs: "list[Input]",
    options: Options,
    live: "LiveCapture | None",
    meanwhile: Callable[[], object] | None,
    progress: Progress,
    block_bytes: int | None,
) -> Audit:
    """Begin to read, in a thread of its own, and load everything else beside it."""
    from auditor.capture.inputs import BEGINNING, MOST_SPOOLED, Spool
    from auditor.capture.reader import BLOCK_BYTES

    _tell_of_compiling(options)
    jobs = jobs_for(inputs, options, live)
    if jobs > 1 or chosen.is_used(options):
        return _read_in_shares(inputs, options, jobs, progress, block_bytes or BLOCK_BYTES)
    from auditor.reading.following import Reading

    logs = options.key_logs()
    for item in inputs:
        if item.size is None and item.member is None:
            item.spool = Spool(MOST_SPOOLED if logs else BEGINNING)
    ceiling = ceiling_of(options)
    going = _going_on(inputs, options, ceiling)
    if going is not None and going.onward is None:
        return _judged_anew(going, options)
    reading = Reading(
        inputs,
        block_bytes or BLOCK_BYTES,
        prompt=live is not None,
        apart=options.apart,
        ceiling=ceiling,
        borders=options.out is not None and all(item.modified is not None or item.refusal for item in inputs),
        onward=None if going is None else going.onward,
    )
    progress.begin(reading)
    try:
        inside = _inside(options, live)
        reading.loaded.wait()  # loading kernels and libraries at one time would only make both slower
        if meanwhile is not None and is_long(inputs):
            meanwhile()
        return _take(lambda run: run.take(reading), inputs, options, inside, live, progress, ceiling, going)
    finally:
        reading.close()


def _going_on(inputs: "list[Input]", options: Options, ceiling: "Ceiling") -> "Plan | None":
    """What an earlier audit into the same folder has read, where there is one; it is said how much that is."""
    if options.out is None or options.fresh or not Path(options.out).is_dir():
        return None
    from auditor.audit import resume
    from auditor.machine import kernel

    kernel.prepare()
    going = resume.plan(inputs, options, ceiling)
    if going is not None and options.say is not None:
        options.say(f"{going.words}; --fresh reads them again")
    return going


def _judged_anew(going: "Plan", options: Options) -> Audit:
    """The results of captures that were all read before."""
    from auditor.audit import resume
    from auditor.audit.judging import judged

    assert going.past.replay is not None
    assert options.out is not None
    try:
        if resume.is_done(going.past, options):
            return Audit(options.out)
        return judged(going.past.replay, options, Path(options.out), goes_on=bool(going.past.values))
    finally:
        going.close()


def _inside(options: Options, live: "LiveCapture | None" = None) -> "Inside":
    """What opens flows, with the keys that there are."""
    from auditor.requests import keys, signing
    from auditor.requests.inside import Inside

    salt = signing.new_salt() if options.join_key is None else signing.joining_salt(Path(options.join_key))
    return Inside(keys.read(options.key_logs(), may_come=live is not None), options.http, salt)


def _read_in_shares(inputs: "list[Input]", options: Options, jobs: int, progress: Progress, block_bytes: int) -> Audit:
    """Have workers read, and take what they give."""
    from auditor.audit import parallel

    ceiling = ceiling_of(options)
    begun = (
        parallel.on_cluster(inputs, options, block_bytes)
        if chosen.is_used(options)
        else parallel.started(inputs, options, jobs, ceiling.total, block_bytes)
    )
    with begun as shared:
        progress.begin(shared)
        inside = _inside(options)
        return _take(shared.take, inputs, options, inside, None, progress, ceiling, None, keeps=False)


def jobs_for(inputs: "list[Input]", options: Options, live: "LiveCapture | None" = None) -> int:
    """How many processes share the work; one where there can be no more, or more would not be faster."""
    size, streams = sum(item.size or 0 for item in inputs), [one for one in inputs if _is_stream(one)]
    if live is not None or streams:
        if chosen.is_used(options):
            raise InputError(
                f"{inputs[0].name}: a stream cannot be read by a cluster: save it where all machines see it"
            )
        if options.jobs not in (None, 1) and options.say is not None:
            options.say("--jobs: what comes as a stream is read by one process")
        return 1
    if options.jobs is not None:
        return options.jobs
    knows_more = (options.topology, options.aws, *options.routes, *options.witnesses, *options.key_logs())
    if any(knows_more):
        return 1
    return max(1, min(len(os.sched_getaffinity(0)) // CORES_A_JOB, size // A_JOB))


def _is_stream(item: "Input") -> bool:
    """Whether it can be read once only."""
    return item.size is None and item.member is None and item.refusal is None


def is_long(inputs: "Sequence[Input]") -> bool:
    """Whether reading takes longer than loading libraries."""
    return sum(item.size or 0 for item in inputs) > LONG_READ


def _take(
    read: "Callable[[Run], None]",
    inputs: "Sequence[Input]",
    options: Options,
    inside: "Inside",
    live: "LiveCapture | None",
    progress: Progress,
    ceiling: "Ceiling",
    going: "Plan | None",
    *,
    keeps: bool = True,
) -> Audit:
    """Take what was read before and what is read, and write the results."""
    from auditor.audit.building import pipeline_of
    from auditor.audit.outcome import outcome

    progress.phase = INPUTS
    pipeline = pipeline_of(options, inside, ceiling)
    progress.phase = CAPTURES
    if is_long(inputs):
        # There is time for it now, and certificates will be met.
        import cryptography.hazmat.backends.openssl.backend
        import cryptography.x509  # noqa: F401
    with outcome(options, pipeline, keeps=keeps) as one:
        if going is not None:
            one.take_over(going, inputs)
        try:
            if live is not None and options.say is not None:
                options.say(live.described())  # now, since Ctrl-C ends it with results from here on
            read(one.run)
        except KeyboardInterrupt:
            if live is None:
                raise
            live.stop()  # Ctrl-C is how a live audit ends: what was seen is the result
            read(one.run)
        if live is not None and one.run.finished:
            _, counted = one.run.finished[max(one.run.finished)]
            counted.warnings += live.close()
            counted.dropped = live.dropped() if counted.dropped is None else counted.dropped
        progress.phase = WRITING
        return one.finish()
