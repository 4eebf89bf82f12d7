"""What an audit may do: where it may write, and how much memory it may take."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.options import Options

if TYPE_CHECKING:
    from auditor.machine.memory import Ceiling


def check_out(inputs: Iterable[Path], options: Options) -> None:
    """Refuse a folder for the results before anything is read: one that is another's, or holds what is read."""
    if options.out is None:
        return
    from auditor.machine import writing
    from auditor.report import folder

    folder.check(Path(options.out), writing.identities([*inputs, *options.files()]), force=options.force)


def ceiling_of(options: Options) -> "Ceiling":
    """The memory that the audit may take, with a part for logs and routing tables where there may be any."""
    from auditor.machine import memory

    given = options.memory_bytes()
    if given is not None and given < memory.LEAST and options.say is not None:
        options.say(f"--memory {options.memory}: an audit takes up to {memory.LEAST >> 20} MiB at least, and may here")
    with_logs = bool(options.witnesses or options.routes or options.topology)
    return memory.ceiling(given, with_logs=with_logs)
