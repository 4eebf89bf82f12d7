"""What a check is: facts in, an answer for each out; and what the checks share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from auditor.policy.facts import Facts
from auditor.recognise.numbers import APPLICATIONS
from auditor.tables.columns import is_one_of
from auditor.tables.schema import NO_MEMORY
from auditor.tables.value_sets import VERDICTS

Array = np.ndarray[Any, Any]

NOT_APPLICABLE, PASS, NOT_OBSERVABLE, WARN, FAIL = range(len(VERDICTS))
# Protocols by their names in ``flows``.
TUNNELS = ["esp", "ike", "wireguard", "openvpn"]
ENCRYPTED = ["tls", "quic", "dtls", "ssh", *TUNNELS]
WEAK = ["ssh-weak"]  # encrypted, by algorithms that no longer protect
PLAINTEXT = [application.name for application in APPLICATIONS if application.in_clear]
UNSEEN = ("no ServerHello was seen", "no ClientHello was seen")
RENEGOTIATED = "both sides agreed anew inside of TLS (renegotiation), and on what, is encrypted"
RESUMED = "the handshake goes on from an earlier one, or by a pre-shared key"
NOTHING_SHOWS = "nothing shows that it "  # of what a rule is not about as far as is known, and might be


class JoinedTexts:
    """A text for each row, joined of ``parts``, each one text for all or one for each; joined for the rows in question."""

    def __init__(self, *parts: "str | Array | JoinedTexts") -> None:
        self.parts = parts

    def __getitem__(self, mask: Array) -> Array:
        total: Any = ""
        for part in self.parts:
            total = total + (part if isinstance(part, str) else part[mask])
        return np.asarray(total, object)


def is_way_unknown(facts: Facts) -> Array:
    """Which flows may have gone any way, as far as is known."""
    return is_one_of(facts.path, ["unknown", "private"])


@dataclass(eq=False, repr=False)
class CheckResult:
    """Verdicts (codes into VERDICTS) and reasons for a batch."""

    verdict: Array
    reason: Array

    @classmethod
    def of(cls, facts: Facts, verdict: int, reason: str) -> "CheckResult":
        count = len(facts)
        return cls(np.full(count, verdict), np.full(count, reason, object))

    def put(self, mask: Array, verdict: int, reason: str | Array | JoinedTexts) -> None:
        """Answer the rows of ``mask``, whatever was answered before."""
        if mask.any():
            self.verdict[mask] = verdict
            self.reason[mask] = reason if isinstance(reason, str) else reason[mask]


# Of facts, whether the rule is a must, and its parameters.
Function = Callable[[Facts, bool, dict[str, Any]], CheckResult]


class Check(NamedTuple):
    """A check: the name that rules know it by, its function, and the parameters that a rule may give.

    ``of_protection``: whether it judges how the data on the wire is protected. A flow passes only where such a check
    says so: that its path is in order, or that its client offers much, does not protect it. ``of_any_server``: whether it
    makes sense of traffic to any server, not only to AWS: how TLS is used, and whether anything is in clear.
    """

    name: str
    function: Function
    parameters: frozenset[str]
    of_protection: bool
    of_any_server: bool


def check(*parameters: str, of_protection: bool = False, of_any_server: bool = False) -> Callable[[Function], Check]:
    """The function below as a check of its name, with ``-`` for ``_``; ``policy.registry`` lists it."""

    def build(function: Function) -> Check:
        return Check(function.__name__.replace("_", "-"), function, frozenset(parameters), of_protection, of_any_server)

    return build


def unmet(required: bool) -> int:
    """The verdict where a rule is not met."""
    return FAIL if required else WARN


def or_unknown(values: Array) -> Array:
    """Texts with ``?`` for what is missing."""
    return np.array(["?" if v is None else v for v in values], object)


def is_given(texts: Array) -> Array:
    """Where there is a text."""
    return np.array([text is not None for text in texts.tolist()], bool)


def no_server_hello(facts: Facts) -> CheckResult:
    """Answers for handshakes of which no ServerHello tells anything: none was seen, or not enough of it."""
    answer = CheckResult.of(facts, NOT_OBSERVABLE, UNSEEN[0])
    wrong = np.array(
        [why is not None and why.startswith("ServerHello: ") for why in facts.status_reason.tolist()], bool
    )
    answer.put(wrong, NOT_OBSERVABLE, JoinedTexts("not known: ", or_unknown(facts.status_reason)))
    return answer


def put_status(facts: Facts, answer: CheckResult) -> None:
    """Answers for handshakes that were not seen whole: why. What other rules say in the same words is one line with them."""
    answer.put(
        is_given(facts.status_reason), NOT_OBSERVABLE, JoinedTexts("not known: ", or_unknown(facts.status_reason))
    )
    for unseen in UNSEEN:
        answer.put(facts.status_reason == unseen, NOT_OBSERVABLE, unseen)


def what_spoken(names: Array) -> Array:
    """What was spoken instead of TLS, in words."""
    return np.array(["not recognised" if v in (None, "unknown") else v for v in names.tolist()], object)


def where_given(reasons: Array, verdict: int, other: int, otherwise: str) -> CheckResult:
    """``verdict`` for each of ``reasons`` that is given, ``other`` elsewhere."""
    answer = CheckResult(np.full(len(reasons), other), np.full(len(reasons), otherwise, object))
    answer.put(is_given(reasons), verdict, reasons)
    return answer


def no_handshake(facts: Facts, answer: CheckResult) -> None:
    """The answers for flows without a handshake: not TLS at all, or TLS whose handshake the capture lacks."""
    answer.put(~facts.is_tls, NOT_APPLICABLE, "not TLS")
    answer.put(facts.is_tls & ~facts.has_handshake, NOT_OBSERVABLE, "TLS, but its handshake is not in the capture")
    answer.put(
        is_one_of(facts.protocol, TUNNELS),
        NOT_OBSERVABLE,
        "an encrypted tunnel: what is inside cannot be seen",
    )
    no_memory(facts, answer)


def agreed_once(facts: Facts, answer: CheckResult) -> None:
    """The answers on what a handshake negotiated that was not the connection's last: nobody knows what the others did."""
    answer.put(facts.renegotiated & (answer.verdict == PASS), NOT_OBSERVABLE, RENEGOTIATED)


def no_memory(facts: Facts, answer: CheckResult) -> None:
    """Where the audit had no memory for a handshake, what was not observable is so for that: the capture may have it."""
    own = np.array([reason is not None and reason.startswith(NO_MEMORY) for reason in facts.status_reason], bool)
    answer.put(own & (answer.verdict == NOT_OBSERVABLE), NOT_OBSERVABLE, facts.status_reason)
