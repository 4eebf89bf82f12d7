"""Files that users write: what is built at once is what pydantic would have made of it."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pydantic
import pytest

from auditor import data, settings
from auditor.paths import topology
from auditor.paths.topology import Topology
from auditor.policy.model import Policy

OTHERS = [None, "", "x", "5", 5, -1, 5.0, True, [], ["a", 5], ["10.0.0.0/8"], "10.0.0.0/8", {}, {"a": 1}, date(2026, 1, 2), datetime(2026, 1, 2)]  # noqa: DTZ001 # fmt: skip


def documents() -> list[tuple[Any, dict[str, Any]]]:
    """The example topology, with all its keys, and shipped policies."""
    policies = sorted((data.FOLDER / "policies").glob("*.toml"))
    return [
        (Topology, tomllib.loads(topology.example())),
        *((Policy, tomllib.loads(path.read_text(encoding="utf-8"))) for path in policies[:3]),
    ]


def variants(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A document with another value, or none, in place of each one, and with a key that does not belong there."""
    for place in places(document):
        for other in (*OTHERS, KeyError):
            changed: Any = deepcopy(document)
            here = changed
            for step in place[:-1]:
                here = here[step]
            if other is KeyError:
                del here[place[-1]]
            else:
                here[place[-1]] = other
            yield changed
    yield document | {"nothing": 1}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a document are; of a list the first one."""
    steps = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*at, step)
        yield from places(inner, (*at, step))


@pytest.mark.parametrize(("model", "document"), documents())
def test_what_is_built_at_once_is_what_pydantic_makes(model: Any, document: dict[str, Any]) -> None:
    """A file is built at once if all of it is written as its type says; whatever is built so, pydantic has it equal."""
    adapter = pydantic.TypeAdapter(model)
    assert settings.built(model, document) == adapter.validate_python(document)
    at_once = refused = 0
    for changed in variants(document):
        try:
            one = settings.built(model, changed)
        except (TypeError, ValueError):
            refused += 1
            continue
        at_once += 1
        assert one == adapter.validate_python(changed), changed
    assert at_once > 10
    assert refused > 100


def test_a_topology_that_is_right_needs_no_pydantic(samples: Path) -> None:
    """A topology and a policy of the user's are read without loading pydantic, unless something is wrong with them."""
    code = (
        "import sys\nfrom auditor.paths.topology import Topology\n"
        f"Topology.read({str(samples / 'site.toml')!r})\nprint(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "auditor.paths.topology" in loaded
    assert "pydantic" not in loaded
