"""The pages of rules, for people: looked up by code, with all that is known of when they hold and what to do."""

from dataclasses import dataclass
from typing import Any

from auditor.errors import PolicyError
from auditor.options import DEFAULT_POLICY
from auditor.policy import library
from auditor.policy.fixes import ways
from auditor.policy.model import CERTAINTIES, Policy, Rule


@dataclass(frozen=True)
class Page:
    """A rule as a policy has it."""

    policy: str
    rule: Rule

    @property
    def holds(self) -> str:
        """When the rule holds."""
        begins = f"from {self.rule.begins}" if self.rule.begins else ""
        ends = f"to {self.rule.ends}" if self.rule.ends else ""
        return " ".join(part for part in (begins, ends) if part) or "always"

    @property
    def source(self) -> str:
        """Where the rule comes from, and how far that was checked."""
        certainty = CERTAINTIES[self.rule.certainty]
        return self.rule.source + (f"\nThis rule was {certainty}." if certainty else "")

    @property
    def ways(self) -> dict[str, str]:
        """What to do, by where it is done."""
        return ways(self.rule.check)


def shipped() -> list[Policy]:
    """The shipped policies, with all their rules."""
    return [library.get(name) for name in library.shipped()]


def pages(policy: Policy) -> list[Page]:
    """The pages of a policy's rules."""
    return [Page(policy.id, rule) for rule in policy.rule]


def every() -> list[Page]:
    """The pages of all rules of the shipped policies."""
    return [one for policy in shipped() for one in pages(policy)]


def policy_record(policy: Policy) -> dict[str, Any]:
    """A policy as plain values; its rules and exceptions are counted."""
    return {
        "id": policy.id,
        "title": policy.title,
        "edition": policy.edition,
        "source": policy.source,
        "retrieved": policy.retrieved,
        "extends": " ".join(policy.extends) or None,
        "rules": len(policy.rule),
        "exceptions": len(policy.exception),
    }


def record(one: Page) -> dict[str, Any]:
    """A rule as plain values, days as such; what is not given is None."""
    rule = one.rule
    remediation = "\n".join([rule.fix, *(f"{place}: {way}" for place, way in one.ways.items())])
    return {
        "policy": one.policy,
        "code": rule.code,
        "title": rule.title,
        "severity": rule.severity,
        "required": rule.required,
        "applies_to": rule.applies_to,
        "begins": rule.begins,
        "ends": rule.ends,
        "what": rule.what,
        "why": rule.why,
        "remediation": remediation,
        "source": rule.source,
        "certainty": rule.certainty,
        "check": rule.check,
    }


def page(code: str, name: str | None = None) -> Page:
    """The page of a rule: of one policy, or the first that has it. Raises PolicyError for a code that there is not."""
    from auditor.policy.evaluate import EXPIRED

    names = [name] if name else [DEFAULT_POLICY, *library.shipped()]
    for policy in map(library.get, names):
        rule = policy.find(code)
        if rule is not None:
            return Page(policy.id, rule)
    if code.upper() == EXPIRED.code:
        return Page("with exceptions", EXPIRED)
    known = ", ".join(rule.code for rule in library.get(names[0]).rule)
    raise PolicyError(f"{code}: no such rule; there are {known}; other policies: audit policy show POLICY")
