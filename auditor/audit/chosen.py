"""Who does the work of an audit: this process, several, or a cluster, that of the options or of the client chosen for all begun here."""

import os
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from auditor.errors import InputError
from auditor.options import Options

if TYPE_CHECKING:
    from auditor.capture.inputs import Input

CORES_A_JOB = 2  # which the threads of one process keep busy
A_JOB = 512 << 20  # bytes for which another process is worth its start, and that all of them decode everything

CURRENT: ContextVar[Any] = ContextVar("cluster", default=None)  # the client of the audits that are begun here


def is_used(options: Options) -> bool:
    """Whether the workers of a cluster do the work."""
    return options.scheduler is not None or CURRENT.get() is not None


def is_about_site(options: Options) -> bool:
    """Whether more is known of a site than packets show."""
    return bool(options.topology or options.aws or options.routes)


def by_hosts(options: Options) -> bool:
    """Whether all flows of two hosts are to be in one share: what is known of a site compares them with each other."""
    return is_about_site(options) and not (options.witnesses or options.key_logs() or options.apart)


def jobs_for(inputs: "Sequence[Input]", options: Options, *, is_live: bool = False) -> int:
    """How many processes share the work; one where there can be no more, or more would not be faster."""
    size, streams = sum(item.size or 0 for item in inputs), [one for one in inputs if _is_stream(one)]
    if is_live or streams:
        if is_used(options):
            raise InputError(
                f"{inputs[0].name}: a stream cannot be read by a cluster: save it where all machines see it"
            )
        if options.jobs not in (None, 1) and options.say is not None:
            options.say("--jobs: what comes as a stream is read by one process")
        return 1
    if any(item.remote is not None for item in inputs) and not is_used(options):
        if options.jobs not in (None, 1) and options.say is not None:
            options.say("--jobs: what lies in a store is read by one process, which alone has a network")
        return 1
    if options.jobs is not None:
        return options.jobs
    if options.witnesses or options.key_logs() or (is_about_site(options) and not by_hosts(options)):
        return 1
    return max(1, min(len(os.sched_getaffinity(0)) // CORES_A_JOB, size // A_JOB))


def _is_stream(item: "Input") -> bool:
    """Whether it can be read once only."""
    return item.is_stream and item.refusal is None
