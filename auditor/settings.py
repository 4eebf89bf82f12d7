"""Reading TOML files that users write (topologies, policies), with errors that name the file and the key.

The sections of a file are frozen dataclasses derived from ``Strict``. Only what a user wrote is checked, by the validators
that pydantic consists of: what they check is described here, from the same annotations, since loading what pydantic has to
describe it takes as long as a small audit's packets, rules and tables together. Most audits go without either.
"""

from collections.abc import Callable, Hashable
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
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
    from pydantic_core import SchemaValidator
    from pydantic_core.core_schema import CoreSchema

T = TypeVar("T")
LARGEST = 8 << 20  # bytes of a file that a person writes: a thousand links take a tenth of that


class Strict:
    """A section of a file: unknown keys are errors. ``__post_init__`` may raise ValueError."""


class After(NamedTuple):
    """``Annotated[T, After(check)]``: a T that ``check`` accepts, as ``check`` returns it; it may raise ValueError."""

    check: Callable[[Any], Any]


class Before(NamedTuple):
    """``Annotated[T, Before(change)]``: what ``change`` makes of the file's value has to be a T."""

    change: Callable[[Any], Any]


def validated(model: type[T], data: Any) -> T:
    """``data`` as a ``model``. Raises pydantic's ValidationError."""
    return cast("T", _validator(cast("Hashable", model)).validate_python(data))


@cache
def _validator(model: Any) -> "SchemaValidator":
    """What checks a model: it takes longer to make than to use."""
    from pydantic_core import SchemaValidator

    return SchemaValidator(_section(model))


def _section(model: Any) -> "CoreSchema":
    """A section of a file, as pydantic describes it to its validators."""
    from pydantic_core import core_schema

    hints = get_type_hints(model, include_extras=True)
    keys = [core_schema.dataclass_field(key.name, _with_default(key, _value(hints[key.name]))) for key in fields(model)]
    has_check = hasattr(model, "__post_init__")
    return core_schema.dataclass_schema(
        model,
        core_schema.dataclass_args_schema(model.__name__, keys, collect_init_only=has_check),
        [key.name for key in fields(model)],
        post_init=has_check,
        config=core_schema.CoreConfig(title=model.__name__, extra_fields_behavior="forbid"),
    )


def _with_default(key: Any, value: "CoreSchema") -> "CoreSchema":
    from pydantic_core import core_schema

    if key.default is not MISSING:
        return core_schema.with_default_schema(value, default=key.default)
    if key.default_factory is not MISSING:
        return core_schema.with_default_schema(value, default_factory=key.default_factory)
    return value


def _value(kind: Any) -> "CoreSchema":
    """What a key's value has to be, by the annotation of its field."""
    from pydantic_core import core_schema

    plain: dict[Any, Callable[[], CoreSchema]] = {
        Any: core_schema.any_schema,
        str: core_schema.str_schema,
        bool: core_schema.bool_schema,
        date: core_schema.date_schema,
    }
    if kind in plain:
        return plain[kind]()
    if is_dataclass(kind):
        return _section(kind)
    whole, parts = get_origin(kind), get_args(kind)
    if whole is Annotated:
        return _marked(parts[0], parts[1:])
    if whole is Literal:
        return core_schema.literal_schema(list(parts))
    if whole in (Union, UnionType) and parts[1:] == (NoneType,):
        return core_schema.nullable_schema(_value(parts[0]))
    if whole is tuple and parts[1:] == (...,):
        return core_schema.tuple_schema([_value(parts[0])], variadic_item_index=0)
    if whole is dict:
        return core_schema.dict_schema(*map(_value, parts))
    raise TypeError(f"no file has a value of the type {kind}")


def _marked(kind: Any, marks: tuple[Any, ...]) -> "CoreSchema":
    """A value that is changed before or checked after, the first mark first."""
    from pydantic_core import core_schema

    value = _value(kind)
    for mark in marks:
        if isinstance(mark, Before):
            value = core_schema.no_info_before_validator_function(mark.change, value)
        elif isinstance(mark, After):
            value = core_schema.no_info_after_validator_function(mark.check, value)
    return value


def checked(model: type[T], data: Any) -> T:
    """``data`` as a ``model``. Raises ValueError with the place and what is wrong there in a sentence."""
    from pydantic_core import ValidationError

    try:
        return validated(model, data)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""  # none of what is wrong with all of it
        raise ValueError(printable(f"{place}{first['msg'].removeprefix('Value error, ')}")) from None


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
    from pydantic_core import ValidationError

    data = parse(text, name, error)
    if rename is not None:
        rename(data)
    try:
        return validated(model, data)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = printable(_written(first["loc"], data))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            message = f"unknown key; {_known(model, first['loc'])}"
        elif first["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
            message = "this key is required"
        others = len(problem.errors()) - 1
        more = f" (and {others} more {'problem' if others == 1 else 'problems'})" if others else ""
        raise error(f"{name}: {place}{': ' if place else ''}{message}{more}") from problem


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
