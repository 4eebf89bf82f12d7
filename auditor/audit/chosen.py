"""Whether an audit is done by a cluster: by that of its options, or of the client that was chosen for all begun here."""

from contextvars import ContextVar
from typing import Any

from auditor.options import Options

CURRENT: ContextVar[Any] = ContextVar("cluster", default=None)  # the client of the audits that are begun here


def is_used(options: Options) -> bool:
    """Whether the workers of a cluster do the work."""
    return options.scheduler is not None or CURRENT.get() is not None
