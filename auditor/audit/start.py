"""Starting an audit: options in, results out; what is loaded when, so that reading begins early."""

import shutil
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import InputError
from auditor.options import DEFAULT_POLICY, Options, PathLike
from auditor.report.audit import Audit

if TYPE_CHECKING:
    from auditor.audit.pipeline import Pipeline
    from auditor.capture.inputs import Input
    from auditor.capture.live import LiveCapture
    from auditor.reading.following import Reading
    from auditor.requests.inside import Inside

LONG_READ = 64 << 20  # bytes of input that take longer to read than libraries to load
SWITCH_INTERVAL = 0.0005  # seconds; the default of 5 ms starves the thread that hashes while libraries load


def audit(
    paths: PathLike | Iterable[PathLike],
    *,
    policy: PathLike | Iterable[PathLike] = DEFAULT_POLICY,
    as_of: date | None = None,
    topology: PathLike | None = None,
    aws: PathLike | None = None,
    routes: Iterable[PathLike] = (),
    witnesses: Iterable[PathLike] = (),
    skew: float = 0.0,
    keylog: PathLike | Iterable[PathLike] = (),
    http: bool = False,
    ip_ranges: PathLike | None = None,
    out: PathLike | None = None,
    block_bytes: int | None = None,
    say: Callable[[str], None] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Audit:
    """Audit captures: files, folders, globs, or ``-`` for standard input.

    ``policy`` is the name of a shipped policy or a file, or several; rules that hold for a time are judged by the day of
    each flow, or by ``as_of``. ``topology`` a site file (``audit topology init`` writes an
    example); ``aws`` a folder of what the AWS command line says of the account, as ``audit topology fetch`` writes it;
    ``routes`` are routing tables of the site's routers; ``witnesses`` flow logs, CloudTrail events and logs of Zeek or
    Suricata, whose clocks are ``skew`` seconds ahead of the capture's. ``keylog`` are key logs of clients
    (SSLKEYLOGFILE) or RSA keys of servers, by which tshark opens TLS; ``http`` reads requests in clear of flows that are
    not to AWS too. ``ip_ranges`` is a newer ip-ranges.json than the one shipped. With ``out`` the results stay in that folder,
    otherwise they live as long as the Audit. ``block_bytes`` is how much is read at once; results do not depend on it.
    ``say`` is told what takes long; ``meanwhile`` is called once where there is time to load something, or never.

    Raises InputError if nothing could be read, TopologyError and PolicyError for files that are not valid. Nothing
    inside a capture raises: damage is told in ``captures``, inputs that cannot be read in ``errors``.
    """
    from auditor.capture import digest
    from auditor.capture.inputs import expand

    if isinstance(paths, str | Path):
        paths = [paths]
    options = Options(
        policy=policy,
        as_of=as_of,
        topology=topology,
        aws=aws,
        routes=routes,
        witnesses=witnesses,
        skew=skew,
        keylog=keylog,
        http=http,
        ip_ranges=ip_ranges,
        out=out,
        block_bytes=block_bytes,
        say=say,
        meanwhile=meanwhile,
    )
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        inputs = expand(paths)
        if inputs[0].path is not None:
            digest.begin(inputs[0].path)
        return audit_inputs(inputs, options)
    finally:
        sys.setswitchinterval(interval)
        digest.forget()


def audit_inputs(inputs: "list[Input]", options: Options, live: "LiveCapture | None" = None) -> Audit:
    """``audit`` for inputs that are open or known already; ``live`` for the one that ends at Ctrl-C."""
    # Reading begins here, in a thread of its own; everything below is loaded beside it.
    from auditor.capture.inputs import BEGINNING, MOST_SPOOLED, Spool
    from auditor.capture.reader import BLOCK_BYTES
    from auditor.machine import kernel
    from auditor.reading.following import Reading

    if options.say is not None and (notice := kernel.notice()) is not None:
        options.say(notice)
    logs = options.key_logs()
    for item in inputs:
        if item.size is None:
            item.spool = Spool(MOST_SPOOLED if logs else BEGINNING)
    reading = Reading(inputs, options.block_bytes or BLOCK_BYTES, prompt=live is not None)
    try:
        from auditor.requests import keys
        from auditor.requests.inside import Inside

        inside = Inside(keys.read(logs, may_come=live is not None), options.http)
        reading.loaded.wait()  # loading kernels and libraries at one time would only make both slower
        result = _take(reading, options, inside, live)
    finally:
        reading.close()
        for item in inputs:
            item.forget()
    return result


def _pipeline(options: Options, inside: "Inside") -> "Pipeline":
    """What batches go through, loaded while reading goes on."""
    from concurrent.futures import ThreadPoolExecutor

    from auditor.audit.pipeline import Pipeline
    from auditor.aws.ranges import Ranges
    from auditor.paths import site as sites
    from auditor.paths import witnesses
    from auditor.paths.judge import Judge
    from auditor.policy import library
    from auditor.policy.evaluate import Evaluation

    policies = library.combined(options.policies)
    with ThreadPoolExecutor(1) as beside:  # reading large logs is mostly Arrow's work, which needs no GIL
        logs = beside.submit(witnesses.read, options.witnesses, options.skew) if options.witnesses else None
        site = sites.build(options.topology, options.aws, options.routes)
        judge = Judge(site, logs.result()) if logs is not None else Judge(site)
    ranges = Ranges.read(options.ip_ranges) if options.ip_ranges is not None else Ranges.shipped()
    return Pipeline(judge, ranges, Evaluation(policies, options.as_of), inside)


def _take(reading: "Reading", options: Options, inside: "Inside", live: "LiveCapture | None") -> Audit:
    """Take what is read, and write the results."""
    from auditor.audit.run import Run
    from auditor.report.folder import results_folder
    from auditor.report.sink import FolderSink

    pipeline = _pipeline(options, inside)
    folder, temporary = results_folder(options.out)
    sink = FolderSink(folder)
    run = Run(pipeline, sink)
    if sum(item.size or 0 for item in reading.inputs) > LONG_READ:
        # There is time for it now, and certificates will be met.
        import cryptography.hazmat.backends.openssl.backend
        import cryptography.x509  # noqa: F401

        if options.meanwhile is not None:
            options.meanwhile()
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
        run.finish(options, run.totals())
        if options.say is not None:
            for note in run.notes():
                options.say(note)
    except BaseException:
        sink.abandon()
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return Audit(folder, temporary=temporary)
