"""Auditing an interface: a capturing child, and the same reader, kernels and rooms as for files."""

from collections.abc import Callable, Iterable
from datetime import date

import auditor
from auditor import Audit, PathLike
from auditor.capture.live import LiveCapture
from auditor.errors import InputError


def audit_live(
    interface: str,
    *,
    duration: float | None = None,
    capture_filter: str | None = None,
    policy: PathLike | Iterable[PathLike] = "aws-pinpoint",
    as_of: date | None = None,
    topology: PathLike | None = None,
    aws: PathLike | None = None,
    routes: Iterable[PathLike] = (),
    witnesses: Iterable[PathLike] = (),
    keylog: Iterable[PathLike] = (),
    http: bool = False,
    ip_ranges: PathLike | None = None,
    out: PathLike | None = None,
    say: Callable[[str], None] | None = None,
) -> Audit:
    """Audit what goes over ``interface``, for ``duration`` seconds or until KeyboardInterrupt (Ctrl-C).

    ``capture_filter`` is a BPF expression, as ``tcp port 443``. Raises InputError where capturing is not possible.
    """
    capture = LiveCapture(interface, capture_filter, duration)
    if say is not None:
        until = f"for {duration:g} seconds" if duration is not None else "until Ctrl-C"
        say(f"capturing on {interface} with {capture.program} {until}")
    try:
        return auditor.audit_inputs(
            [capture.input()],
            policy=policy,
            as_of=as_of,
            topology=topology,
            aws=aws,
            routes=routes,
            witnesses=witnesses,
            keylog=keylog,
            http=http,
            ip_ranges=ip_ranges,
            out=out,
            say=say,
            live=capture,
        )
    except InputError as error:
        capture.stop()
        raise capture.failure() from error
    finally:
        capture.stop()
        capture.close()
