"""A policy: a dated list of rules with their sources. It may extend others and change their rules (``policy.library``)."""

import fnmatch
import ipaddress
import re
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from auditor.policy import parameters
from auditor.policy.registry import CHECKS
from auditor.settings import Strict

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
    fix: str
    source: str
    certainty: Literal["verified", "secondary", "memory"] = "verified"
    begins: date | None = None
    ends: date | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z]{2,6}\d{3}", self.code):
            raise ValueError(f"code '{self.code}' is not of capital letters and three digits, as TLS101")
        if self.check not in CHECKS:
            raise ValueError(f"no check is named '{self.check}'; there are {', '.join(sorted(CHECKS))}")
        unknown = set(self.parameters) - CHECKS[self.check].parameters
        if unknown:
            raise ValueError(f"check '{self.check}' has no parameter {', '.join(sorted(unknown))}")
        if self.begins is not None and self.ends is not None and self.begins > self.ends:
            raise ValueError(f"begins on {self.begins} and ends before, on {self.ends}: it never holds")
        wrong = parameters.wrong(self.check, self.parameters)
        if wrong is not None:
            raise ValueError(wrong)


@dataclass(frozen=True, kw_only=True)
class RuleChange(Strict):
    """What a policy changes in a rule of one that it extends."""

    code: str
    severity: Severity | None = None
    required: bool | None = None
    applies_to: Literal["aws", "pinpoint", "all"] | None = None
    disabled: bool = False
    begins: date | None = None
    ends: date | None = None
    parameters: dict[str, Any] | None = None

    def of(self, rule: Rule) -> Rule:
        given = {name: getattr(self, name) for name in ("severity", "required", "applies_to", "begins", "ends")}
        merged = rule.parameters if self.parameters is None else {**rule.parameters, **self.parameters}
        return replace(rule, **{n: v for n, v in given.items() if v is not None}, parameters=merged)


@dataclass(frozen=True, kw_only=True)
class Exemption(Strict):
    """Flows that a rule does not count for until a day, with the owner of that exception and the reason.

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
        if self.server is None:
            return True
        return fnmatch.fnmatchcase(name.lower().rstrip("."), self.server.lower().rstrip("."))

    @property
    def words(self) -> str:
        """What it is for, in words."""
        about = " and ".join(part for part in (self.server, self.client) if part)
        return f"{self.rule} for {about}, until {self.expires}, by {self.owner}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Unseen(Strict):
    """A requirement of a policy's source that no rule checks because traffic does not show it."""

    requirement: str
    section: str
    level: Literal["MUST", "SHOULD"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Policy(Strict):
    """A policy file. Once ``library`` has resolved it, ``rule`` has the rules of those it extends too, changed as it says."""

    id: str
    title: str
    edition: str
    source: str
    retrieved: date
    extends: tuple[str, ...] = ()
    rule: tuple[Rule, ...] = ()
    change: tuple[RuleChange, ...] = ()
    exception: tuple[Exemption, ...] = ()
    unseen: tuple[Unseen, ...] = ()

    def __post_init__(self) -> None:
        if not self.rule and not self.extends:
            raise ValueError("a policy has at least one rule, or extends another policy")
        codes = [rule.code for rule in self.rule]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise ValueError(f"two rules have the code {twice[0]}")

    def find(self, code: str) -> Rule | None:
        return next((rule for rule in self.rule if rule.code == code.upper()), None)
