"""Reading TOML files that users write (topologies, policies), with errors that name the file and the key.

The sections of a file are frozen dataclasses derived from ``Strict``. Only what a user wrote is checked: what is written just
as its type says is built here, and pydantic judges, and has the words for, whatever is not. Loading it, and having it
look at these classes, takes as long as half a small audit: most audits go without.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from auditor.border import gate
from auditor.border.text import printable
from auditor.errors import AuditError, shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

T = TypeVar("T")
LARGEST = 8 << 20  # bytes of a file that a person writes: a thousand links take a tenth of that


class Strict:
    """A section of a file: unknown keys are errors. ``__post_init__`` may raise ValueError."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class After:
    """``Annotated[T, After(check)]``: a T that ``check`` accepts, as ``check`` returns it; it may raise ValueError."""

    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))


@dataclass(frozen=True)
class Before:
    """``Annotated[T, Before(change)]``: what ``change`` makes of the file's value has to be a T."""

    change: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.change, handler(source))


def validated(model: type[T], data: Any) -> T:
    """``data`` as a ``model``. Raises pydantic's ValidationError."""
    try:
        return cast("T", built(model, data))
    except (TypeError, ValueError):  # wrong, or right in another way: "5" where a number is meant
        return cast("T", _adapter(cast("Hashable", model)).validate_python(data))


def built(wanted: Any, value: Any) -> Any:
    """``value`` as a ``wanted``, if it is written just so. Raises TypeError or ValueError for what pydantic has to judge."""
    if get_origin(wanted) is Annotated:
        return _noted(get_args(wanted)[0], wanted.__metadata__, value)
    if is_dataclass(wanted) and type(value) is dict:
        kinds = _kinds(cast("Hashable", wanted))
        return cast("Any", wanted)(**{name: built(kinds.get(name), one) for name, one in value.items()})
    if wanted is Any or (wanted in (str, int, bool, date) and type(value) is wanted):
        return value
    return _of_several(wanted, value)


def _of_several(wanted: Any, value: Any) -> Any:
    """``built`` for types that are made of others."""
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType) and len(parts) == 2 and parts[1] is NoneType:
        return None if value is None else built(parts[0], value)
    if origin is Literal and type(value) is str and value in parts:
        return value
    if origin is tuple and parts[1:] == (...,) and type(value) in (list, tuple):
        return tuple(built(parts[0], one) for one in value)
    if origin is dict and parts == (str, Any) and type(value) is dict:
        return dict(value)
    raise TypeError(f"not written as {wanted}")


def _noted(wanted: Any, notes: tuple[Any, ...], value: Any) -> Any:
    """``built`` for what is annotated: the last note is the outermost."""
    if not notes:
        return built(wanted, value)
    *inner, note = notes
    if isinstance(note, Before):
        return _noted(wanted, (*inner,), note.change(value))
    return note.check(_noted(wanted, (*inner,), value))


@cache
def _kinds(model: Any) -> dict[str, Any]:
    """What each key of a section has to be."""
    hints = get_type_hints(model, include_extras=True)
    return {field.name: hints[field.name] for field in fields(model)}


@cache
def _adapter(model: Any) -> Any:
    """What checks a model: it takes longer to make than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(model)


def _errors(problem: ValueError) -> "list[ErrorDetails]":
    """What pydantic found: nothing but its ValidationError comes out of ``validated``."""
    return cast("ValidationError", problem).errors()


def checked(model: type[T], data: Any) -> T:
    """``data`` as a ``model``. Raises ValueError with the place and what is wrong there in a sentence."""
    try:
        return validated(model, data)
    except ValueError as problem:
        first = _errors(problem)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(printable(f"{place}: {first['msg'].removeprefix('Value error, ')}")) from None


Renaming = Callable[[dict[str, Any]], None]


def parse(text: str, name: str, error: type[AuditError]) -> dict[str, Any]:
    """The keys and values of a TOML file."""
    try:
        return gate.from_toml(text)
    except gate.RefusedError as problem:
        raise error(f"{name}: {problem}") from problem


def load(model: type[T], text: str, name: str, error: type[AuditError], rename: Renaming | None = None) -> T:
    """``text`` as a ``model``; raises ``error`` with one sentence naming the file, the key and what is wrong.

    ``rename`` changes keys of older files in place.
    """
    data = parse(text, name, error)
    if rename is not None:
        rename(data)
    try:
        return validated(model, data)
    except ValueError as problem:
        errors = _errors(problem)
        first = errors[0]
        place = printable(_written(first["loc"], data))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            message = f"unknown key; {_known(model, first['loc'])}"
        elif first["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
            message = "this key is required"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise error(f"{name}: {place}: {message}{more}") from problem


def _written(location: tuple[int | str, ...], data: Any) -> str:
    """Where a value is, as the file has it: what is written alone and read as a list has no number there."""
    place, here = "", data
    for part in location:
        if isinstance(part, int):
            if isinstance(here, list):
                place += f"[{part}]"
                here = here[part] if part < len(here) else None
        else:
            place += f".{part}" if place else part
            here = here.get(part) if isinstance(here, dict) else None
    return place


def _known(model: type[Any], place: tuple[int | str, ...]) -> str:
    """The keys that would be right at ``place``."""
    here: type[Any] | None = model
    for part in place[:-1]:
        if isinstance(part, str) and here is not None:
            annotation = get_type_hints(here)[part]
            inner = [a for a in getattr(annotation, "__args__", (annotation,)) if isinstance(a, type)]
            here = next((a for a in inner if is_dataclass(a)), None)
    return f"known keys are {', '.join(f.name for f in fields(here))}" if here else "it does not belong here"


def read(model: type[T], path: str | Path, error: type[AuditError], rename: Renaming | None = None) -> T:
    """The file at ``path`` as a ``model``, see ``load``."""
    try:
        text = gate.decoded(gate.content(path, LARGEST))
    except OSError as problem:
        raise error(f"{shown(path)}: {problem.strerror}") from problem
    except ValueError as problem:  # refused, or a name that no file can have
        raise error(f"{shown(path)}: {problem}") from problem
    return load(model, text, shown(path), error, rename)
