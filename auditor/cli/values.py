"""Values of options that need no checking, taken as they are.

typer has each value checked by pydantic, which takes a twentieth of a second to load: a small audit has no use for it.
"""

import os
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperGroup

from auditor.cli import helping

ROOT, AUDITING = "audit", "pcap"
_ASK_TYPER = object()


def _plain(kind: Any, several: bool, value: Any) -> Any:
    """A value as a ``kind``; ``_ASK_TYPER`` where that is more than taking it as it is."""
    if value is None:
        return () if several else None
    if several:
        (inner,) = get_args(kind) or (None,)
        items = [_plain(inner, False, item) for item in value]
        return _ASK_TYPER if any(item is _ASK_TYPER for item in items) else items
    if kind in (str, Path):
        return kind(value)
    return value if isinstance(kind, type) and isinstance(value, kind) else _ASK_TYPER


def _plain_first(parameter: Any) -> Any:
    """``parameter``, whose values typer processes only where it has to."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None or "process_value" in vars(parameter):  # typer without the first does not need pydantic
        return parameter
    process, callback = parameter.process_value, parameter.callback

    def process_value(context: Any, value: Any) -> Any:
        plain = _plain(descriptor.annotation, parameter.multiple or parameter.nargs == -1, value)
        if plain is _ASK_TYPER or (value is None and parameter.required):
            return process(context, value)
        return plain if callback is None else callback(context, parameter, plain)

    parameter.process_value = process_value
    return parameter


class Group(TyperGroup):
    """Commands whose plain values are taken as they are, and whose help has words and examples.

    What is no command but a file is audited: ``audit FILE`` is ``audit pcap FILE``.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        return [_plain_first(parameter) for parameter in super().get_params(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        for parameter in command.get_params(ctx) if command is not None else ():
            _plain_first(parameter)
        path = cmd_name if self.name == ROOT else f"{self.name} {cmd_name}"
        return command if command is None else helping.dress(command, path)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.name == ROOT and args and args[0] not in self.commands and is_input(args[0]):
            args = [AUDITING, *args]
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's
        if self.name == ROOT:
            helping.write_examples("", formatter)


def is_input(word: str) -> bool:
    """Whether a word names captures and no command: there is such a file or folder, or it has a dot, slash or wildcard."""
    return word == "-" or (not word.startswith("-") and (os.path.lexists(word) or any(c in word for c in "./*?[")))
