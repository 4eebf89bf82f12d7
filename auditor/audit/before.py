"""What is settled before an audit begins: that its results may go where they are to, and how much memory it may take."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.border.urls import url_of
from auditor.errors import AuditError, InputError, shown
from auditor.options import Options

if TYPE_CHECKING:
    from auditor.machine.memory import Ceiling

Confine = Callable[[list[Path], list[Path]], object]  # called with what will be read, and what will be written


def check_out(inputs: Iterable[Path], options: Options) -> None:
    """Refuse a folder for the results before anything is read: one that is another's, or holds what is read."""
    if options.out is None:
        return
    if str(options.out) == "-":
        raise AuditError("--out -: results are a folder; --format prints a table, or an audit in another form")
    if (url := url_of(options.out)) is not None:
        from auditor.report import stored  # only for stores

        stored.check(url, force=options.force)
        return
    from auditor.machine import writing
    from auditor.report import folder

    folder.check(Path(options.out), writing.identities([*inputs, *options.files()]), force=options.force)


def ceiling_of(options: Options) -> "Ceiling":
    """The memory that the audit may take, with a part for logs, the account and routing tables where there may be any.

    Raises InputError for a size in which nothing has room.
    """
    from auditor.machine import memory

    given = options.memory_bytes()
    if given is not None and given < memory.LEAST:
        least = f"{memory.LEAST // memory.MIB}M"
        raise InputError(
            f"--memory {shown(str(options.memory))}: too little for an audit, which takes {least} at least"
        )
    with_logs = bool(options.witnesses or options.routes or options.topology or options.aws)
    return memory.ceiling(given, with_logs=with_logs)
