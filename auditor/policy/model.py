"""A policy: a dated list of rules with their sources, read from TOML. A policy may extend others and change their rules."""

import fnmatch
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from auditor.errors import PolicyError
from auditor.settings import Strict, parse, read

Severity = Literal["info", "low", "medium", "high", "critical"]
CERTAINTIES = {
    "verified": "",
    "secondary": "taken from a secondary source; the publisher's own text was not at hand",
    "memory": "written from memory and not checked against the publisher's text",
}


@dataclass(frozen=True, kw_only=True)
class Rule(Strict):
    """A rule: which check it makes with which parameters, and the page that explains it.

    ``begins`` and ``ends``: days on which the rule begins and ends to hold (``ends`` is the last one).
    """

    code: str
    title: str
    check: str
    severity: Severity
    applies_to: Literal["aws", "pinpoint", "all"] = "aws"
    required: bool = True
    what: str
    why: str
    mend: str
    source: str
    certainty: Literal["verified", "secondary", "memory"] = "verified"
    begins: date | None = None
    ends: date | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from auditor.policy.registry import CHECKS

        if not re.fullmatch(r"[A-Z]{2,6}\d{3}", self.code):
            raise ValueError(f"code '{self.code}' is not of capital letters and three digits, as TLS101")
        if self.check not in CHECKS:
            raise ValueError(f"no check is named '{self.check}'; there are {', '.join(sorted(CHECKS))}")
        unknown = set(self.parameters) - CHECKS[self.check].parameters
        if unknown:
            raise ValueError(f"check '{self.check}' has no parameter {', '.join(sorted(unknown))}")


@dataclass(frozen=True, kw_only=True)
class Change(Strict):
    """What a policy changes in a rule of one that it extends."""

    code: str
    severity: Severity | None = None
    required: bool | None = None
    applies_to: Literal["aws", "pinpoint", "all"] | None = None
    disabled: bool = False
    parameters: dict[str, Any] | None = None

    def of(self, rule: Rule) -> Rule:
        given = {name: getattr(self, name) for name in ("severity", "required", "applies_to")}
        merged = rule.parameters if self.parameters is None else {**rule.parameters, **self.parameters}
        return replace(rule, **{n: v for n, v in given.items() if v is not None}, parameters=merged)


@dataclass(frozen=True, kw_only=True)
class Exemption(Strict):
    """Flows that a rule does not count for until a day: who answers for that, and why.

    ``server`` may have the wildcards ``*`` and ``?``; ``client`` is a prefix. Both must fit where both are given.
    """

    rule: str
    owner: str
    reason: str
    expires: date
    server: str | None = None
    client: str | None = None

    def __post_init__(self) -> None:
        if self.server is None and self.client is None:
            raise ValueError("give server or client: an exception for everything is a rule that is disabled")
        if not self.owner.strip() or not self.reason.strip():
            raise ValueError("owner and reason must say something")
        if self.client is not None:
            try:
                ipaddress.ip_network(self.client)
            except ValueError as error:
                raise ValueError(f"'{self.client}' is no prefix: {error}") from None

    def fits_server(self, name: str) -> bool:
        return self.server is None or fnmatch.fnmatchcase(name.lower(), self.server.lower())

    @property
    def words(self) -> str:
        """What it is for, in words."""
        about = " and ".join(part for part in (self.server, self.client) if part)
        return f"{self.rule} for {about}, until {self.expires}, by {self.owner}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Policy(Strict):
    """A policy file. ``rule`` are its rules after ``resolved``: those of the policies it extends, changed, and its own."""

    id: str
    title: str
    edition: str
    source: str
    retrieved: date
    extends: tuple[str, ...] = ()
    rule: tuple[Rule, ...] = ()
    change: tuple[Change, ...] = ()
    exception: tuple[Exemption, ...] = ()

    def __post_init__(self) -> None:
        if not self.rule and not self.extends:
            raise ValueError("a policy has at least one rule, or extends another policy")
        codes = [rule.code for rule in self.rule]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise ValueError(f"two rules have the code {twice[0]}")

    def find(self, code: str) -> Rule | None:
        return next((rule for rule in self.rule if rule.code == code.upper()), None)

    def resolved(self, name: str, within: Sequence[str] = ()) -> "Policy":
        """With the rules of the policies that it extends. Raises PolicyError naming the file and what is wrong."""
        rules: dict[str, Rule] = {}
        exceptions = list(self.exception)
        folder = Path(name).parent
        for base in self.extends:
            beside = folder / base
            told = str(beside) if beside.suffix == ".toml" and beside.exists() else base
            if told in within:
                raise PolicyError(f"{name}: extends: {' extends '.join([*within, told])}: a circle")
            try:
                below = get(told, [*within, told])
            except PolicyError as error:
                raise PolicyError(f"{name}: extends: {error}") from error
            rules |= {rule.code: rule for rule in below.rule}
            exceptions += below.exception
        for number, change in enumerate(self.change):
            code = change.code.upper()
            if code not in rules:
                raise PolicyError(f"{name}: change[{number}].code: no rule {code} is extended; {_listed(rules)}")
            if change.disabled:
                del rules[code]
            else:
                try:
                    rules[code] = change.of(rules[code])
                except ValueError as error:
                    raise PolicyError(f"{name}: change[{number}]: {error}") from None
        rules |= {rule.code: rule for rule in self.rule}
        for number, exemption in enumerate(self.exception):
            if exemption.rule.upper() not in rules:
                raise PolicyError(f"{name}: exception[{number}].rule: no rule {exemption.rule}; {_listed(rules)}")
        return replace(self, rule=tuple(rules.values()), exception=tuple(exceptions))


def _listed(rules: dict[str, Rule]) -> str:
    return f"there are {', '.join(rules)}" if rules else "there are none"


def shipped() -> list[str]:
    """The names of the policies in ``auditor/data/policies``, and of those made of AWS's own."""
    from auditor.policy import aws_tls

    return [*_files(), *aws_tls.names()]


@cache
def _files() -> list[str]:
    return sorted(f.name.removesuffix(".toml") for f in files("auditor.data").joinpath("policies").iterdir())


def get(name_or_file: str | Path, within: Sequence[str] = ()) -> Policy:
    """A shipped policy by its name, or a file of the same form. Raises PolicyError naming the key."""
    from auditor.policy import aws_tls

    name = str(name_or_file)
    if name in _files():
        text = files("auditor.data").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")
        return _plain(parse(text, name, PolicyError)).resolved(name, within or [name])
    if name in aws_tls.names():
        return aws_tls.policy(name)
    if not Path(name).exists():
        raise PolicyError(
            f"{name}: no such policy or file; shipped policies are {', '.join(_files())}, and those of AWS (audit policies)"
        )
    return read(Policy, name, PolicyError).resolved(name, within or [name])


def _plain(told: dict[str, Any]) -> Policy:
    """A shipped policy, whose form the tests check: that takes long, and is the same each time."""
    rules = tuple(Rule(**rule) for rule in told.pop("rule", []))
    changes = tuple(Change(**change) for change in told.pop("change", []))
    return Policy(**told | {"rule": rules, "change": changes, "extends": tuple(told.get("extends", ()))})


def combined(names: Iterable[str | Path]) -> list[Policy]:
    """Several policies for one audit. Raises PolicyError where two have a rule of the same code."""
    policies: list[Policy] = []
    owner: dict[str, str] = {}
    for name in names:
        policy = get(name)
        if policy.id in [other.id for other in policies]:
            continue
        for rule in policy.rule:
            if rule.code in owner:
                raise PolicyError(f"{name}: rule {rule.code} is in policy {owner[rule.code]} already; give one of both")
            owner[rule.code] = policy.id
        policies.append(policy)
    return policies
