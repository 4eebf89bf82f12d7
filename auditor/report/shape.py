"""Whether JSON of others has the shape that its readers rely on."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False, repr=False)
class EveryMember:
    """The shape of every member of an object, whatever their names are."""

    shape: "Shape"


@dataclass(frozen=True, eq=False, repr=False)
class OptionalMember:
    """The shape of a member that need not be there."""

    shape: "Shape"


# A type, several of them, the shape of each item of a list, those of an object's members, or the texts that there may be.
Shape = type | tuple[type, ...] | list[Any] | dict[str, Any] | frozenset[str] | EveryMember | OptionalMember
TEXT: Shape = (str, type(None))


def misfit(value: Any, shape: Shape, place: str = "") -> str | None:
    """Where a value has not the shape, and what is wrong there, in words; None where all fits."""
    match shape:
        case dict():
            if not isinstance(value, dict):
                return f"{place or 'it'} is no object"
            return next((wrong for key, one in shape.items() if (wrong := _key(value, key, one, place))), None)
        case EveryMember(inner):
            if not isinstance(value, dict):
                return f"{place or 'it'} is no object"
            return next((wrong for key, one in value.items() if (wrong := misfit(one, inner, f"{place}.{key}"))), None)
        case OptionalMember(inner):
            return misfit(value, inner, place)
        case frozenset():
            return None if isinstance(value, str) and value in shape else f"{place} is none of its values"
        case list():
            if not isinstance(value, list):
                return f"{place} is no list"
            return next(
                (wrong for k, one in enumerate(value) if (wrong := misfit(one, shape[0], f"{place}[{k}]"))), None
            )
        case _:
            # True is an int in Python, and no number in JSON
            fits = isinstance(value, shape) and (not isinstance(value, bool) or shape is bool)
            return None if fits else f"{place} is of another type"


def _key(value: dict[str, Any], key: str, shape: Shape, place: str) -> str | None:
    inner = f"{place}.{key}" if place else key
    if isinstance(shape, OptionalMember):
        return misfit(value[key], shape.shape, inner) if key in value else None
    return misfit(value[key], shape, inner) if key in value else f"{inner} is missing"
