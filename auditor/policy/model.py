"""A policy: a dated list of rules with their sources, read from TOML."""

import re
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from auditor.errors import PolicyError
from auditor.settings import Strict, parse, read


@dataclass(frozen=True, kw_only=True)
class Rule(Strict):
    """A rule: which check it makes with which parameters, and the page that explains it."""

    code: str
    title: str
    check: str
    severity: Literal["info", "low", "medium", "high", "critical"]
    applies_to: Literal["aws", "pinpoint", "all"] = "aws"
    required: bool = True
    what: str
    why: str
    mend: str
    source: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from auditor.policy.checks import CHECKS

        if not re.fullmatch(r"[A-Z]{2,6}\d{3}", self.code):
            raise ValueError(f"code '{self.code}' is not of capital letters and three digits, as TLS101")
        if self.check not in CHECKS:
            raise ValueError(f"no check is named '{self.check}'; there are {', '.join(sorted(CHECKS))}")
        unknown = set(self.parameters) - CHECKS[self.check].parameters
        if unknown:
            raise ValueError(f"check '{self.check}' has no parameter {', '.join(sorted(unknown))}")


@dataclass(frozen=True, kw_only=True)
class Policy(Strict):
    """A policy file."""

    id: str
    title: str
    edition: str
    source: str
    retrieved: date
    rule: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if not self.rule:
            raise ValueError("a policy has at least one rule")

    def find(self, code: str) -> Rule | None:
        return next((rule for rule in self.rule if rule.code == code.upper()), None)


def shipped() -> list[str]:
    """The names of the policies in ``auditor/data/policies``."""
    return sorted(f.name.removesuffix(".toml") for f in files("auditor.data").joinpath("policies").iterdir())


def get(name_or_file: str | Path) -> Policy:
    """A shipped policy by its name, or a file of the same form. Raises PolicyError naming the key."""
    name = str(name_or_file)
    if name in shipped():
        text = files("auditor.data").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")
        told = parse(text, name, PolicyError)
        return Policy(**told | {"rule": tuple(Rule(**rule) for rule in told["rule"])})  # the tests check it, once
    if not Path(name).exists():
        raise PolicyError(f"{name}: no such policy or file; shipped policies are {', '.join(shipped())}")
    return read(Policy, name, PolicyError)
