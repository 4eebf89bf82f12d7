"""Reading TOML files that users write (topologies, policies), with errors that name the file and the key.

The sections of a file are frozen dataclasses derived from ``Strict``. Only what a user wrote is checked, by pydantic,
which takes longer to load than a small audit needs in all: most audits go without.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast, get_type_hints

from auditor.border import gate
from auditor.border.text import printable
from auditor.errors import AuditError, shown

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
    return cast("T", _adapter(cast("Hashable", model)).validate_python(data))


@cache
def _adapter(model: Any) -> Any:
    """What checks a model: it takes longer to make than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(model)


def checked(model: type[T], data: Any) -> T:
    """``data`` as a ``model``. Raises ValueError with the place and what is wrong there in a sentence."""
    from pydantic import ValidationError

    try:
        return validated(model, data)
    except ValidationError as problem:
        first = problem.errors()[0]
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
    from pydantic import ValidationError

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
        more = f" (and {len(problem.errors()) - 1} more)" if len(problem.errors()) > 1 else ""
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
