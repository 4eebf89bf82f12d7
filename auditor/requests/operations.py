"""Which operation of which AWS service a request calls, and its path without identifiers.

The operations are those of botocore's service models (``auditor/data/operations.csv``).
"""

import csv
import re
from functools import cache
from typing import NamedTuple

from auditor import data
from auditor.aws.names import endpoint

# Segments of a path that name no thing and nobody: words, versions.
_WORD = re.compile(r"\.well-known|[a-z]{1,24}(?:[-_.][a-z0-9]{1,24}){0,4}|v\d{1,4}(?:\.\d{1,3})?|\d{4}-\d{2}-\d{2}")
MOST_SEGMENTS = 16


class Operation(NamedTuple):
    """An operation: the name of its service in scopes of signatures, and how a request names it."""

    service: str
    signing_name: str
    model: str
    name: str
    told_by: str  # path, target (X-Amz-Target) or action (form or query)
    target: str
    method: str
    template: str
    is_signed: bool
    pattern: re.Pattern[str]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]*\}", template)
    greedy = re.findall(r"\{[^}]*\}", template)
    text = re.escape(parts[0])
    for name, part in zip(greedy, parts[1:], strict=True):
        text += (".+" if name.endswith("+}") else "[^/]+") + re.escape(part)
    return re.compile(text)


@cache
def operations() -> tuple[Operation, ...]:
    """All operations that are known."""
    text = data.FOLDER.joinpath("operations.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Operation(
            row["service"],
            row["signing_name"],
            row["model"],
            row["operation"],
            row["told_by"],
            row["target"],
            row["method"],
            row["uri"],
            row["signed"] == "yes",
            _pattern(row["uri"].rstrip("/") or "/"),
        )
        for row in rows
    )


@cache
def _of_service(service: str | None) -> tuple[Operation, ...]:
    """The operations of a service, the most literal templates first; where it is not known, those whose paths are AWS's own.

    A path like /token or /logout is anybody's.
    """
    names = signing_names()
    candidates = [one for one in operations() if one.service == service or (service is None and names[one.service])]
    return tuple(sorted(candidates, key=lambda one: (one.template.count("{"), -len(one.template))))


@cache
def signing_names() -> dict[str, frozenset[str]]:
    """Service -> the names that a signature's scope may have for it; none where all operations known go without one."""
    names_of: dict[str, set[str]] = {}
    for one in operations():
        names = names_of.setdefault(one.service, set())
        if one.is_signed:
            names.add(one.signing_name)
    return {service: frozenset(names) for service, names in names_of.items()}


@cache
def names_in_scopes() -> dict[str, frozenset[str]]:
    """Service -> the names that scopes have for it, of all services whose models are public, whatever operations they have."""
    text = data.FOLDER.joinpath("signing_names.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["service"]: frozenset(row["names"].split()) for row in rows}


@cache
def _all_names_in_scopes() -> frozenset[str]:
    return frozenset(name for names in names_in_scopes().values() for name in names)


def fitting_names(service: str | None, name: str) -> frozenset[str]:
    """The names that a scope may have for a service, where ``name`` is none of them; empty where it is, or may be, one.

    Some APIs have names of their own that no model has (AWS IoT's over WebSocket): outside of the services whose operations
    are known, only a name that is another service's is wrong.
    """
    if names := signing_names().get(service or ""):
        return frozenset() if name in names else names
    names = names_in_scopes().get(service or "", frozenset())
    return names if names and name not in names and name in _all_names_in_scopes() else frozenset()


def operation(host: str, method: str, path: str, target: str | None, action: str | None) -> Operation | None:
    """The operation of a request; None where it is none of those known.

    ``target`` is the header X-Amz-Target, ``action`` the parameter Action of the form or query.
    """
    where = endpoint(host)
    service = where.service if where is not None else None
    known = service in signing_names()
    path = path.rstrip("/") or "/"
    for one in _of_service(service if known else None):
        if one.told_by == "target":
            if target == f"{one.target}.{one.name}":
                return one
        elif one.told_by == "action":
            if action == one.name:
                return one
        elif one.method == method and one.pattern.fullmatch(path) and (known or where is None):
            return one
    return None


def template(path: str) -> str:
    """A path with everything that may identify something or somebody replaced by ``{id}``."""
    segments = path.split("/")
    kept = ["" if not one else one if _WORD.fullmatch(one) else "{id}" for one in segments[: MOST_SEGMENTS + 1]]
    return "/".join(kept) + ("/…" if len(segments) > MOST_SEGMENTS + 1 else "")
