"""Auditing an interface: a capturing child, and the same reader, kernels and rooms as for files."""

from typing import Unpack

from auditor.audit.before import Confine
from auditor.audit.progress import Progress
from auditor.audit.start import audit_inputs
from auditor.errors import InputError
from auditor.options import Options, OptionValues, merged, takes_options
from auditor.report.audit import Audit

NOT_LIVE = ("apart", "jobs", "fresh")  # options that are for captures which are there already, as times are


@takes_options
def audit_live(
    interface: str,
    options: Options | None = None,
    *,
    duration: float | None = None,
    capture_filter: str | None = None,
    **values: Unpack[OptionValues],
) -> Audit:
    """Audit what goes over ``interface``, for ``duration`` seconds or until KeyboardInterrupt (Ctrl-C).

    ``capture_filter`` is a BPF expression, as ``tcp port 443``; options are those of ``auditor.audit``. Raises
    InputError where capturing is not possible, or a duration is not above 0.
    """
    return audit_interface(interface, merged(options, values), duration, capture_filter)


def audit_interface(
    interface: str,
    options: Options,
    duration: float | None = None,
    capture_filter: str | None = None,
    confine: Confine | None = None,
    progress: Progress | None = None,
) -> Audit:
    """``audit_live``; the rest is that of ``audit_inputs``, ``confine`` is called when the child captures already."""
    from auditor.capture.live import LiveCapture

    if options.since is not None or options.until is not None:
        raise InputError("--since and --until are for captures that are there already: what is captured live is of now")
    for name in NOT_LIVE:
        if getattr(options, name):
            raise InputError(
                f"--{name} has no effect here: what is captured live is one stream, read once by one process"
            )
    capture = LiveCapture(interface, capture_filter, duration)
    try:
        capture.begin()
        return audit_inputs([capture.input()], options, capture, confine=confine, progress=progress)
    finally:
        capture.stop()
        capture.close()
