"""Starting an audit: options in, results out; what is loaded when, so that reading begins early."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from auditor.audit import chosen
from auditor.audit.before import Confine, ceiling_of, check_out
from auditor.audit.progress import CAPTURES, INPUTS, WRITING, Progress
from auditor.border.urls import url_of
from auditor.errors import InputError, OutOfOrderError, shown
from auditor.options import Options, OptionValues, PathLike, merged, takes_options
from auditor.report.audit import Audit

if TYPE_CHECKING:
    from auditor.audit.earlier import Earlier
    from auditor.audit.fetched_inputs import FetchedInputs
    from auditor.audit.resume import ResumePlan
    from auditor.audit.run import Run
    from auditor.audit.share_state import KeptShares
    from auditor.capture.digest import DigestChild
    from auditor.capture.inputs import Input
    from auditor.capture.live import LiveCapture
    from auditor.machine.memory import Ceiling
    from auditor.paths.witnesses import Span
    from auditor.reading.following import Reading
    from auditor.requests.inside import FlowOpener

LOOKED_AT = 1 << 20  # bytes
HTTP, AWS, TLS_KEY_LOG = b" HTTP/1.", b".amazonaws.com", b"KSLT"  # draft-ietf-opsawg-pcapng, Decryption Secrets Block
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


def _named(paths: PathLike | Iterable[PathLike]) -> list[PathLike]:
    """The captures that are named, one or several. Raises InputError for what is neither."""
    if isinstance(paths, str | Path):
        return [paths]
    try:
        return [one if isinstance(one, str) else Path(one) for one in paths]
    except TypeError as error:
        raise InputError(f"{shown(str(paths))}: names no capture; give a file or folder, or several") from error


def audit_files(
    paths: PathLike | Iterable[PathLike],
    options: Options,
    *,
    hashing: "DigestChild | None" = None,
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
        inputs = expand(_named(paths), options.say)
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
    from auditor.audit.earlier import earlier
    from auditor.audit.fetched_inputs import FetchedInputs

    try:
        with FetchedInputs(options, is_alone=not chosen.is_used(options)) as brought:
            check_out((item.path for item in inputs if item.path is not None), brought.options)
            if confine is not None and options.scheduler is None:  # a cluster is spoken to by TCP
                _prepare(inputs, brought.options, confine)
            with earlier(brought.options) as before:
                progress = progress or Progress()
                try:
                    return _read(inputs, brought, live, before, meanwhile, progress, block_bytes)
                except OutOfOrderError as error:
                    inputs = _anew(inputs, str(error), options)
                return _read(inputs, brought, live, None, None, progress, block_bytes)
    finally:
        for item in inputs:
            item.forget()


def _anew(inputs: "list[Input]", name: str, options: Options) -> "list[Input]":
    """The same inputs, to be read from their beginnings, since packets of one come too late to be put in order at once."""
    if options.say is not None:
        options.say(f"{name}: its packets are not in the order of time; all is read anew, in that order")
    return [item if item.is_stream else item.anew() for item in inputs]


def _prepare(inputs: "list[Input]", options: Options, confine: Confine) -> None:
    """Load the kernels, and give up the rights that nothing needs any more."""
    from auditor.machine import kernel, own
    from auditor.reading import following  # noqa: F401 - its kernels are to be loaded
    from auditor.requests import tshark

    _tell_of_compiling(options)
    kernel.prepare()  # from where this user keeps them
    if options.out is not None:
        own.key()
    tshark.prepare()
    out = [] if options.out is None or url_of(options.out) is not None else [Path(options.out)]
    confine([item.path for item in inputs if item.path is not None] + options.files(), out)


def _tell_of_compiling(options: Options) -> None:
    """Say that kernels, which are imported by now, have to be compiled first, where that is so."""
    from auditor.machine import kernel

    if options.say is not None and (notice := kernel.notice()) is not None:
        options.say(notice)


def _read(
    inputs: "list[Input]",
    brought: "FetchedInputs",
    live: "LiveCapture | None",
    before: "Earlier | None",
    meanwhile: Callable[[], object] | None,
    progress: Progress,
    block_bytes: int | None,
) -> Audit:
    """Begin to read, in a thread of its own, and load everything else beside it."""
    from auditor.capture.inputs import BEGINNING, MOST_SPOOLED, Spool
    from auditor.capture.reader import BLOCK_BYTES

    options = brought.options
    _tell_of_compiling(options)
    jobs = chosen.jobs_for(inputs, options, is_live=live is not None)
    ceiling = ceiling_of(options)
    going = None if before is None else before.going_on(inputs, options, ceiling)
    if before is not None and going is not None and going.onward is None:
        return before.judged_anew(going, brought)
    left = before.left_by_shares(inputs, options) if before is not None and going is None else None
    if going is None and (jobs > 1 or left is not None or chosen.is_used(options)):
        return _read_in_shares(inputs, brought, jobs, progress, block_bytes or BLOCK_BYTES, left)
    from auditor.reading.following import Reading
    from auditor.reading.window import Window

    logs = options.key_logs()
    for item in inputs:
        if item.is_stream:
            item.spool = Spool(MOST_SPOOLED if logs else BEGINNING)
    window = Window(*options.times())
    reading = Reading(
        inputs,
        block_bytes or BLOCK_BYTES,
        prompt=live is not None,
        apart=options.apart,
        window=window,
        ceiling=ceiling,
        borders=options.out is not None and all(item.stamp is not None or item.refusal for item in inputs),
        onward=None if going is None else going.onward,
    )
    progress.begin(reading, live)
    progress.inside = inside = _inside(options, live, inputs)
    if meanwhile is not None:
        inside.meanwhile = meanwhile
    try:
        reading.loaded.wait()  # loading kernels and libraries at one time would only make both slower
        if meanwhile is not None and is_long(inputs):
            meanwhile()
        span = reading.span if going is None else None  # what was read before may be of another time
        take = partial(_take_apart, reading) if options.apart else lambda run: run.take(reading)
        return _take(take, inputs, brought, inside, live, progress, ceiling, going, span)
    finally:
        reading.close()
        inside.close()


def _take_apart(reading: "Reading", run: "Run") -> None:
    """Take captures that are audited apart, small ones together."""
    from auditor.audit.apart import with_joined

    run.take(with_joined(reading, run.pipeline.may_join))


def _may_hold_requests(first: "Input") -> bool:
    """Whether a capture begins as if there were requests in clear to AWS in it, or the secrets of TLS sessions."""
    head, _ = first.ends(LOOKED_AT, 0) or (b"", b"")
    return TLS_KEY_LOG in head or (HTTP in head and AWS in head)


def _inside(options: Options, live: "LiveCapture | None" = None, inputs: "Sequence[Input]" = ()) -> "FlowOpener":
    """What opens flows, with the keys that there are; begun before anything else is loaded where ``inputs`` may need it."""
    from auditor.machine.memory import SECRETS
    from auditor.requests import keys, opener, signing

    salt = signing.new_salt() if options.join_key is None else signing.joining_salt(Path(options.join_key))
    ceiling = ceiling_of(options)
    known, begun = keys.read(options.key_logs(), may_come=live is not None, memory=ceiling.part(SECRETS)), None
    if inputs and live is None and not is_long(inputs) and (known or options.http or _may_hold_requests(inputs[0])):
        begun = opener.begin(known.private_keys, ceiling.total)
    from auditor.requests.inside import FlowOpener

    return FlowOpener(known, options.http, salt, begun=begun, memory=ceiling)


def _read_in_shares(
    inputs: "list[Input]",
    brought: "FetchedInputs",
    jobs: int,
    progress: Progress,
    block_bytes: int,
    left: "KeptShares | None",
) -> Audit:
    """Have workers read, and take what they give."""
    from auditor.audit import parallel

    options = brought.options
    ceiling = ceiling_of(options)
    begun = (
        parallel.on_cluster(inputs, options, block_bytes, left)
        if chosen.is_used(options)
        else parallel.started(inputs, options, jobs, ceiling.total, block_bytes, left)
    )
    with begun as shared:
        progress.begin(shared)
        progress.inside = _inside(options)
        return _take(shared.take, inputs, brought, progress.inside, None, progress, ceiling, None)


def is_long(inputs: "Sequence[Input]") -> bool:
    """Whether reading takes longer than loading libraries."""
    return sum(item.size or 0 for item in inputs) > LONG_READ


def _take(
    read: "Callable[[Run], None]",
    inputs: "list[Input]",
    brought: "FetchedInputs",
    inside: "FlowOpener",
    live: "LiveCapture | None",
    progress: Progress,
    ceiling: "Ceiling",
    going: "ResumePlan | None",
    span: "Callable[[], Span] | None" = None,
) -> Audit:
    """Take what was read before and what is read, and write the results. ``span``: see ``witnesses.read``."""
    from auditor.audit.building import build_pipeline
    from auditor.audit.outcome import outcome

    options = brought.options
    progress.phase = INPUTS
    pipeline = build_pipeline(options, inside, ceiling, span)
    progress.phase = CAPTURES
    if is_long(inputs):
        # There is time for it now, and certificates will be met.
        import cryptography.hazmat.backends.openssl.backend
        import cryptography.x509  # noqa: F401
    with outcome(brought, pipeline) as one:
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
