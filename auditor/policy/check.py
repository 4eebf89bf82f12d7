"""What a check is: facts in, an answer for each out; and what the checks share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.policy.facts import Facts
from auditor.tables.columns import is_one_of
from auditor.tables.schema import VERDICTS

Array = np.ndarray[Any, Any]


NOT_APPLICABLE, PASS, NOT_OBSERVABLE, WARN, FAIL = range(len(VERDICTS))
TUNNELS = ["esp", "ike", "wireguard", "openvpn"]


@dataclass
class Answer:
    """Verdicts (codes into VERDICTS) and reasons for a batch."""

    verdict: Array
    reason: Array

    @classmethod
    def of(cls, facts: Facts, verdict: int, reason: str) -> "Answer":
        count = len(facts)
        return cls(np.full(count, verdict), np.full(count, reason, object))

    def put(self, mask: Array, verdict: int, reason: "str | Array") -> None:
        self.verdict[mask] = verdict
        self.reason[mask] = reason[mask] if isinstance(reason, np.ndarray) else reason


@dataclass(frozen=True)
class Check:
    """A check: its function and the parameters it knows."""

    function: Callable[[Facts, bool, dict[str, Any]], Answer]
    parameters: frozenset[str]


CHECKS: dict[str, Check] = {}


def check(*parameters: str) -> Callable[[Callable[[Facts, bool, dict[str, Any]], Answer]], Any]:
    """Register a check under its function's name, with ``_`` written as ``-``."""

    def register(function: Callable[[Facts, bool, dict[str, Any]], Answer]) -> Any:
        CHECKS[function.__name__.replace("_", "-")] = Check(function, frozenset(parameters))
        return function

    return register


def unmet(required: bool) -> int:
    """The verdict where a rule is not met."""
    return FAIL if required else WARN


def _text(*parts: "str | Array") -> Array:
    """Texts joined element by element."""
    total: Any = ""
    for part in parts:
        total = total + part
    return np.asarray(total, object)


def no_handshake(facts: Facts, answer: Answer) -> None:
    """The answers for flows without a handshake: not TLS at all, or TLS whose handshake the capture lacks."""
    answer.put(~facts.is_tls, NOT_APPLICABLE, "not TLS")
    answer.put(facts.is_tls & ~facts.has_handshake, NOT_OBSERVABLE, "TLS, but its handshake is not in the capture")
    answer.put(
        is_one_of(facts.protocol, TUNNELS),
        NOT_OBSERVABLE,
        "an encrypted tunnel: what is inside cannot be seen",
    )


def _or(values: Array) -> Array:
    """Texts with ``?`` for what is missing."""
    return np.array(["?" if v is None else v for v in values], object)


def _where(told: Array, verdict: int, other: int, otherwise: str) -> Answer:
    """``verdict`` with the words of ``told`` where there are some, ``other`` elsewhere."""
    answer = Answer(np.full(len(told), other), np.full(len(told), otherwise, object))
    answer.put(_is_told(told), verdict, told)
    return answer


def _is_told(words: Array) -> Array:
    return np.array([w is not None for w in words.tolist()], bool)
