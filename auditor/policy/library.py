"""The policies that there are: shipped ones, those derived from AWS's own, and files of users; each with what it extends."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from auditor import data
from auditor.capture import folders
from auditor.errors import PolicyError, shown
from auditor.policy import aws_tls, parameters
from auditor.policy.model import Policy, Rule, RuleChange, Unseen
from auditor.policy.registry import CHECKS
from auditor.settings import parse, read


def shipped() -> list[str]:
    """The names of the policies in ``auditor/data/policies``, and of those derived from AWS's own."""
    return [*_files(), *aws_tls.names()]


@cache
def _files() -> list[str]:
    return sorted(f.name.removesuffix(".toml") for f in data.FOLDER.joinpath("policies").iterdir())


def get(name_or_file: str | Path, within: Sequence[str] = ()) -> Policy:
    """A shipped policy by its name, or a file of the same form. Raises PolicyError naming the key.

    ``within``: the policies that extend it, outermost first.
    """
    name = str(name_or_file)
    if name in _files():
        return _shipped(name)
    if name in aws_tls.names():
        return _unchecked(aws_tls.document(name))
    if folders.is_missing(Path(name)):
        raise PolicyError(
            f"{shown(name)}: no such policy or file; shipped policies are {', '.join(_files())}, and those of AWS (audit policies)"
        )
    policy = resolved(read(Policy, name, PolicyError, _today), name, within or [name])
    for rule in policy.rule:
        wrong = parameters.wrong_values(rule.check, rule.parameters)
        if wrong is not None:
            raise PolicyError(f"{name}: rule {rule.code}: {wrong}")
    return policy


@cache
def _shipped(name: str) -> Policy:
    """A policy of ``auditor/data/policies``; read once, since a process may audit often."""
    text = data.FOLDER.joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")
    return resolved(_unchecked(parse(text, name, PolicyError)), name, [name])


def _today(document: dict[str, Any]) -> None:
    """Give keys of a user's file the names they have today: ``fix`` was ``mend`` in version 0.1."""
    for section in ("rule", "change"):
        for one in document.get(section, ()) if isinstance(document.get(section), list) else ():
            if isinstance(one, dict) and "mend" in one and "fix" not in one:
                one["fix"] = one.pop("mend")


def _unchecked(document: dict[str, Any]) -> Policy:
    """A policy of ours from its document. The tests check its form: that takes long, and is the same each time."""
    return Policy(
        **document
        | {
            "rule": tuple(Rule(**rule) for rule in document.get("rule", ())),
            "change": tuple(RuleChange(**change) for change in document.get("change", ())),
            "unseen": tuple(Unseen(**one) for one in document.get("unseen", ())),
            "extends": tuple(document.get("extends", ())),
        }
    )


def combined(names: Iterable[str | Path], all_traffic: bool = False) -> list[Policy]:
    """Several policies for one audit. Raises PolicyError where two have a rule of the same code.

    ``all_traffic``: rules that make sense of traffic to any server are about all of it.
    """
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
        policies.append(_about_all(policy) if all_traffic else policy)
    return policies


def _about_all(policy: Policy) -> Policy:
    """A policy whose rules are about all traffic, where they make sense of it."""
    rules = (replace(one, applies_to="all") if CHECKS[one.check].of_any_server else one for one in policy.rule)
    return replace(policy, rule=tuple(rules))


def resolved(policy: Policy, name: str, within: Sequence[str] = ()) -> Policy:
    """A policy with the rules of those that it extends. Raises PolicyError naming the file and what is wrong."""
    bases = [_base(base, name, within) for base in policy.extends]
    rules = {rule.code: rule for base in bases for rule in base.rule}
    _apply_changes(policy, name, rules)
    rules |= {rule.code: rule for rule in policy.rule}
    for number, exemption in enumerate(policy.exception):
        if exemption.rule.upper() not in rules:
            raise PolicyError(f"{name}: exception[{number}].rule: no rule {exemption.rule}; {_listed(rules)}")
    exceptions = (*policy.exception, *(exemption for base in bases for exemption in base.exception))
    return replace(policy, rule=tuple(rules.values()), exception=exceptions)


def _base(base: str, name: str, within: Sequence[str]) -> Policy:
    """A policy that another one extends: a shipped one, or a file beside it."""
    beside = Path(name).parent / base
    target = str(beside) if beside.suffix == ".toml" and beside.exists() else base
    if target in within:
        raise PolicyError(f"{name}: extends: {' extends '.join([*within, target])}: a circle")
    try:
        return get(target, [*within, target])
    except PolicyError as error:
        raise PolicyError(f"{name}: extends: {error}") from error


def _apply_changes(policy: Policy, name: str, rules: dict[str, Rule]) -> None:
    """Change or disable the extended rules as the policy says."""
    for number, change in enumerate(policy.change):
        code = change.code.upper()
        if code not in rules:
            raise PolicyError(f"{name}: change[{number}].code: no rule {code} is extended; {_listed(rules)}")
        if change.disabled:
            del rules[code]
            continue
        try:
            rules[code] = change.of(rules[code])
        except ValueError as error:
            raise PolicyError(f"{name}: change[{number}]: {error}") from None


def _listed(rules: dict[str, Rule]) -> str:
    return f"there are {', '.join(rules)}" if rules else "there are none"
