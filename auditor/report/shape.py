"""Whether JSON of others has the shape that its readers rely on."""

from typing import Any

# A type, several of them, the shape of each item of a list, or those of keys that must be there.
Shape = type | tuple[type, ...] | list[Any] | dict[str, Any]


def misfit(value: Any, shape: Shape, place: str = "") -> str | None:
    """Where a value has not the shape, and what is wrong there, in words; None where all fits."""
    match shape:
        case dict():
            if not isinstance(value, dict):
                return f"{place or 'it'} is no object"
            return next((wrong for key, one in shape.items() if (wrong := _key(value, key, one, place))), None)
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
    return misfit(value[key], shape, inner) if key in value else f"{inner} is missing"
