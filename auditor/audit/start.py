"""Starting an audit: options in, results out; what is loaded when, so that reading begins early."""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from auditor.audit import chosen
from auditor.audit.brought import Brought
from auditor.audit.progress import CAPTURES, INPUTS, WRITING, Progress
from auditor.border.urls import url_of
from auditor.errors import InputError
from auditor.options import Options, OptionValues, PathLike, merged, takes_options
from auditor.report.audit import Audit

if TYPE_CHECKING:
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
        with Brought(options, is_alone=not chosen.is_used(options)) as brought:
            options = brought.options
            _check_out(inputs, options)
            if confine is not None and options.scheduler is None:  # a cluster is spoken to by TCP
                _prepare(inputs, options, confine)
            return _read(inputs, brought, live, meanwhile, progress or Progress(), block_bytes)
    finally:
        for item in inputs:
            item.forget()


def _prepare(inputs: "list[Input]", options: Options, confine: Confine) -> None:
    """Load the kernels, and give up the rights that nothing needs any more."""
    from auditor.machine import kernel
    from auditor.reading import following  # noqa: F401 - its kernels are to be loaded

    _tell_of_compiling(options)
    kernel.prepare()  # from where this user keeps them
    out = [] if options.out is None or url_of(options.out) is not None else [Path(options.out)]
    confine([item.path for item in inputs if item.path is not None] + options.files(), out)


def _tell_of_compiling(options: Options) -> None:
    """Say that kernels, which are imported by now, have to be compiled first, where that is so."""
    from auditor.machine import kernel

    if options.say is not None and (notice := kernel.notice()) is not None:
        options.say(notice)


def _check_out(inputs: "list[Input]", options: Options) -> None:
    """Refuse a folder for the results before anything is read: one that is another's, or holds what is read."""
    if options.out is None:
        return
    if (url := url_of(options.out)) is not None:
        from auditor.report import stored  # only for stores

        stored.check(url, force=options.force)
        return
    from auditor.machine import writing
    from auditor.report import folder

    read = [*(item.path for item in inputs if item.path is not None), *options.files()]
    folder.check(Path(options.out), writing.identities(read), force=options.force)


def _read(
    inputs: "list[Input]",
    brought: Brought,
    live: "LiveCapture | None",
    meanwhile: Callable[[], object] | None,
    progress: Progress,
    block_bytes: int | None,
) -> Audit:
    """Begin to read, in a thread of its own, and load everything else beside it."""
    from auditor.capture.inputs import BEGINNING, MOST_SPOOLED, Spool
    from auditor.capture.reader import BLOCK_BYTES

    options = brought.options
    _tell_of_compiling(options)
    jobs = jobs_for(inputs, options, live)
    if jobs > 1 or chosen.is_used(options):
        return _read_in_shares(inputs, brought, jobs, progress, block_bytes or BLOCK_BYTES)
    from auditor.reading.following import Reading
    from auditor.reading.window import Window

    logs = options.key_logs()
    for item in inputs:
        if item.is_stream:
            item.spool = Spool(MOST_SPOOLED if logs else BEGINNING)
    ceiling = _ceiling(options)
    reading = Reading(
        inputs,
        block_bytes or BLOCK_BYTES,
        prompt=live is not None,
        apart=options.apart,
        window=Window(*options.times()),
        ceiling=ceiling,
    )
    progress.begin(reading, live)
    try:
        inside = _inside(options, live)
        reading.loaded.wait()  # loading kernels and libraries at one time would only make both slower
        if meanwhile is not None and is_long(inputs):
            meanwhile()
        return _take(lambda run: run.take(reading), inputs, brought, inside, live, progress, ceiling)
    finally:
        reading.close()


def _inside(options: Options, live: "LiveCapture | None" = None) -> "Inside":
    """What opens flows, with the keys that there are."""
    from auditor.requests import keys, signing
    from auditor.requests.inside import Inside

    salt = signing.new_salt() if options.join_key is None else signing.joining_salt(Path(options.join_key))
    return Inside(keys.read(options.key_logs(), may_come=live is not None), options.http, salt)


def _read_in_shares(inputs: "list[Input]", brought: Brought, jobs: int, progress: Progress, block_bytes: int) -> Audit:
    """Have workers read, and take what they give."""
    from auditor.audit import parallel

    options = brought.options
    ceiling = _ceiling(options)
    begun = (
        parallel.on_cluster(inputs, options, block_bytes)
        if chosen.is_used(options)
        else parallel.started(inputs, options, jobs, ceiling.total, block_bytes)
    )
    with begun as shared:
        progress.begin(shared)
        inside = _inside(options)
        return _take(shared.take, inputs, brought, inside, None, progress, ceiling)


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
    if any(item.remote is not None for item in inputs) and not chosen.is_used(options):
        if options.jobs not in (None, 1) and options.say is not None:
            options.say("--jobs: what lies in a store is read by one process, which alone has a network")
        return 1
    if options.jobs is not None:
        return options.jobs
    knows_more = (options.topology, options.aws, *options.routes, *options.witnesses, *options.key_logs())
    if any(knows_more):
        return 1
    return max(1, min(len(os.sched_getaffinity(0)) // CORES_A_JOB, size // A_JOB))


def _is_stream(item: "Input") -> bool:
    """Whether it can be read once only."""
    return item.is_stream and item.refusal is None


def is_long(inputs: "Sequence[Input]") -> bool:
    """Whether reading takes longer than loading libraries."""
    return sum(item.size or 0 for item in inputs) > LONG_READ


def _ceiling(options: Options) -> "Ceiling":
    """The memory that the audit may take, with a part for logs and routing tables where there may be any."""
    from auditor.machine import memory

    given = options.memory_bytes()
    if given is not None and given < memory.LEAST and options.say is not None:
        options.say(f"--memory {options.memory}: an audit takes up to {memory.LEAST >> 20} MiB at least, and may here")
    with_logs = bool(options.witnesses or options.routes or options.topology)
    return memory.ceiling(given, with_logs=with_logs)


def _take(
    read: "Callable[[Run], None]",
    inputs: "Sequence[Input]",
    brought: Brought,
    inside: "Inside",
    live: "LiveCapture | None",
    progress: Progress,
    ceiling: "Ceiling",
) -> Audit:
    """Take what is read, and write the results."""
    from auditor.audit.building import pipeline_of
    from auditor.audit.run import Run
    from auditor.machine import memory
    from auditor.reading.window import Window
    from auditor.report.folder import results_folder
    from auditor.report.sink import FolderSink

    options = brought.options
    progress.phase = INPUTS
    pipeline = pipeline_of(options, inside, ceiling)
    progress.phase = CAPTURES
    if is_long(inputs):
        # There is time for it now, and certificates will be met.
        import cryptography.hazmat.backends.openssl.backend
        import cryptography.x509  # noqa: F401
    url = None if options.out is None else url_of(options.out)
    folder, temporary = results_folder(None if url is not None else options.out)
    sink = FolderSink(folder, durable=not temporary, most=ceiling.part(memory.BATCHES) // 4)
    run = Run(pipeline, sink, window=Window(*options.times()), named=brought.named)
    try:
        try:
            if live is not None and options.say is not None:
                options.say(live.described())  # now, since Ctrl-C ends it with results from here on
            read(run)
        except KeyboardInterrupt:
            if live is None:
                raise
            live.stop()  # Ctrl-C is how a live audit ends: what was seen is the result
            read(run)
        if not run.finished:
            raise InputError("; ".join(run.errors.values()) or "nothing to read")
        if live is not None:
            _, counted = run.finished[max(run.finished)]
            counted.warnings += live.close()
            counted.dropped = live.dropped() if counted.dropped is None else counted.dropped
        progress.phase = WRITING
        run.finish(options, run.totals())
        if url is not None:
            from auditor.report import stored  # only for stores

            stored.upload(folder, url)
        if options.say is not None:
            for note in run.notes():
                options.say(note)
    except BaseException:
        sink.abandon()
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return Audit(folder, temporary=temporary)
