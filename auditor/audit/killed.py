"""What audits that were killed have left beside the results that they were to give."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from auditor.border.urls import url_of
from auditor.machine import writing
from auditor.options import Options
from auditor.report import temporary

PLAN = "plan"  # the file that says how an audit is shared out


def places(options: Options) -> list[Path]:
    """The folders where audits with the same results may have left something; there may be none."""
    assert options.out is not None
    return [Path(options.out)] if (url := url_of(options.out)) is None else temporary.left(url)


def folders(options: Options) -> Iterator[Path]:
    """What audits that were killed have left on their way to the same results."""
    return (left for place in places(options) for left in place.glob(f"{writing.NEW}*"))


def clear(options: Options) -> None:
    """Remove what audits that were killed have left, since there are other results now."""
    for left in list(folders(options)):
        with suppress(OSError), ExitStack() as held:
            hold(left, held)
            if any(left.iterdir()):  # else somebody may have made it a moment ago, and not locked it yet
                shutil.rmtree(left, ignore_errors=True)
                if url_of(options.out or "") is not None:
                    left.parent.rmdir()


def hold(left: Path, held: ExitStack) -> None:
    """Hold a folder that an audit has left, so that nobody else takes it. Raises OSError where somebody has it."""
    number = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    held.callback(os.close, number)
    if os.fstat(number).st_uid != os.geteuid():
        raise PermissionError
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
