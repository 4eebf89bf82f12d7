"""Starting an audit: options in, results out; what is loaded when, so that reading begins early."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from auditor.audit.brought import Brought
from auditor.audit.progress import CAPTURES, INPUTS, WRITING, Progress
from auditor.border.urls import url_of
from auditor.errors import InputError
from auditor.options import Options, OptionValues, PathLike, merged, takes_options
from auditor.report.audit import Audit

if TYPE_CHECKING:
    from auditor.audit.pipeline import Pipeline
    from auditor.capture.digest import Child
    from auditor.capture.inputs import Input
    from auditor.capture.live import LiveCapture
    from auditor.machine.memory import Ceiling
    from auditor.reading.following import Reading
    from auditor.requests.inside import Inside

Confine = Callable[[list[Path], list[Path]], object]
LONG_READ = 64 << 20  # bytes of input that take longer to read than libraries to load


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
        with Brought(options) as brought:
            options = brought.options
            _check_out(inputs, options)
            if confine is not None:
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
    from auditor.reading.following import Reading
    from auditor.reading.window import Window

    options = brought.options
    _tell_of_compiling(options)
    logs = options.key_logs()
    for item in inputs:
        if item.is_stream:
            item.spool = Spool(MOST_SPOOLED if logs else BEGINNING)
    ceiling = _ceiling(options)
    window = Window(*options.times())
    reading = Reading(
        inputs,
        block_bytes or BLOCK_BYTES,
        prompt=live is not None,
        apart=options.apart,
        window=window,
        ceiling=ceiling,
    )
    progress.begin(reading, live)
    try:
        from auditor.requests import keys, signing
        from auditor.requests.inside import Inside

        salt = signing.new_salt() if options.join_key is None else signing.joining_salt(Path(options.join_key))
        inside = Inside(keys.read(logs, may_come=live is not None), options.http, salt)
        reading.loaded.wait()  # loading kernels and libraries at one time would only make both slower
        if meanwhile is not None and is_long(inputs):
            meanwhile()
        return _take(reading, brought, inside, live, progress, ceiling)
    finally:
        reading.close()


def is_long(inputs: "list[Input]") -> bool:
    """Whether reading takes longer than loading libraries."""
    return sum(item.size or 0 for item in inputs) > LONG_READ


def _ceiling(options: Options) -> "Ceiling":
    """The memory that the audit may take, with a part for logs and routing tables where there may be any."""
    from auditor.machine import memory

    with_logs = bool(options.witnesses or options.routes or options.topology)
    return memory.ceiling(options.memory_bytes(), with_logs=with_logs)


def _pipeline(options: Options, inside: "Inside", ceiling: "Ceiling | None" = None) -> "Pipeline":
    """What batches go through, loaded while reading goes on."""
    from concurrent.futures import ThreadPoolExecutor

    from auditor.audit.pipeline import Pipeline
    from auditor.aws.ranges import Ranges
    from auditor.machine import memory
    from auditor.paths import site as sites
    from auditor.paths import witnesses
    from auditor.paths.judge import Judge
    from auditor.policy import library
    from auditor.policy.evaluate import Evaluation

    policies = library.combined(options.policies, options.all_traffic)
    ceiling = ceiling or _ceiling(options)
    share = ceiling.logs // 2 if options.witnesses and (options.routes or options.topology) else ceiling.logs
    with ThreadPoolExecutor(1) as beside:  # reading large logs is mostly Arrow's work, which needs no GIL
        logs = (
            beside.submit(witnesses.read, options.witnesses, options.skew, memory.Allowance(share))
            if options.witnesses
            else None
        )
        site = sites.build(options.topology, options.aws, options.routes, memory.Allowance(share))
        judge = Judge(site, logs.result()) if logs is not None else Judge(site)
    ranges = Ranges.read(options.ip_ranges) if options.ip_ranges is not None else Ranges.shipped()
    return Pipeline(judge, ranges, Evaluation(policies, options.as_of), inside, ceiling)


def _take(
    reading: "Reading",
    brought: Brought,
    inside: "Inside",
    live: "LiveCapture | None",
    progress: Progress,
    ceiling: "Ceiling",
) -> Audit:
    """Take what is read, and write the results."""
    from auditor.audit.run import Run
    from auditor.machine import memory
    from auditor.reading.window import Window
    from auditor.report.folder import results_folder
    from auditor.report.sink import FolderSink

    options = brought.options
    progress.phase = INPUTS
    pipeline = _pipeline(options, inside, ceiling)
    progress.phase = CAPTURES
    if is_long(reading.inputs):
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
            run.take(reading)
        except KeyboardInterrupt:
            if live is None:
                raise
            live.stop()  # Ctrl-C is how a live audit ends: what was seen is the result
            run.take(reading)
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
