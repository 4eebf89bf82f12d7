"""Values of options that need no checking, taken as they are.

typer has each value checked by pydantic, which takes a twentieth of a second to load: a small audit has no use for it.
"""

from pathlib import Path
from typing import Any, get_args

from typer.core import TyperGroup

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
    """Commands whose plain values are taken as they are."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [_plain_first(parameter) for parameter in super().get_params(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        for parameter in command.get_params(ctx) if command is not None else ():
            _plain_first(parameter)
        return command
