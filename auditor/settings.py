"""Reading TOML files that users write (topologies, policies), with errors that name the file and the key."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from auditor.errors import AuditError

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A section of a file: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # built when a file is read, not at import


def load(model: type[M], text: str, name: str, error: type[AuditError]) -> M:
    """``text`` as a ``model``; raises ``error`` with one sentence naming the file, the key and what is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{name}: not valid TOML: {problem}") from problem
    try:
        return model.model_validate(data)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = _written(first["loc"], data)
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key; {_known(model, first['loc'])}"
        elif first["type"] == "missing":
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


def _known(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """The keys that would be right at ``place``."""
    here: type[BaseModel] | None = model
    for part in place[:-1]:
        if isinstance(part, str) and here is not None:
            annotation = here.model_fields[part].annotation
            inner = [a for a in getattr(annotation, "__args__", (annotation,)) if isinstance(a, type)]
            here = next((a for a in inner if issubclass(a, BaseModel)), None)
    return f"known keys are {', '.join(here.model_fields)}" if here else "it does not belong here"


def read(model: type[M], path: str | Path, error: type[AuditError]) -> M:
    """The file at ``path`` as a ``model``."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8 text"
        raise error(f"{path}: {reason}") from problem
    return load(model, text, str(path), error)
