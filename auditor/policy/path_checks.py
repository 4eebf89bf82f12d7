"""Checks of the way that flows took."""

from typing import Any

import numpy as np

from auditor.policy.check import (
    NOT_APPLICABLE,
    NOT_OBSERVABLE,
    NOTHING_SHOWS,
    PASS,
    CheckResult,
    JoinedTexts,
    check,
    is_given,
    is_way_unknown,
    or_unknown,
    unmet,
    where_given,
)
from auditor.policy.encryption import encryption
from auditor.policy.facts import NO, YES, Facts
from auditor.tables.columns import is_one_of


@check("paths")
def private_path(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The flow took one of ``paths``; only what was seen of it passes, addresses and routes alone do not."""
    wanted = [str(p) for p in parameters.get("paths", ["direct-connect"])]
    inside_aws = [*wanted, "vpc"]
    answer = CheckResult.of(facts, NOT_OBSERVABLE, facts.path_detail[0] if len(facts.path_detail) else "")
    answer.put(
        np.ones(len(facts.path), bool),
        NOT_OBSERVABLE,
        JoinedTexts(or_unknown(facts.path_detail), ": a topology file may tell"),
    )
    proven = facts.path_confidence > 0
    good = proven & (is_one_of(facts.path, inside_aws) | is_one_of(facts.path_over, wanted))
    answer.put(good, PASS, facts.path_detail)
    likely = JoinedTexts("likely ", facts.path.astype(object), ", not seen: ", or_unknown(facts.path_detail))
    answer.put(good & ~facts.path_seen, NOT_OBSERVABLE, likely)
    partly = JoinedTexts("not all of its packets: ", or_unknown(facts.path_changed))
    answer.put(good & ~facts.path_seen & is_given(facts.path_changed), NOT_OBSERVABLE, partly)
    bad = proven & ~good & ~is_one_of(facts.path, ["unknown", "private"])
    answer.put(
        bad, unmet(required), JoinedTexts("went by ", facts.path.astype(object), ": ", or_unknown(facts.path_detail))
    )
    half = good & (facts.asymmetric == YES)
    answer.put(half, unmet(required), JoinedTexts("only one direction was private: ", or_unknown(facts.path_detail)))
    return answer


@check()
def symmetric_path(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Both directions took the same path."""
    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the path of one direction or both is not proven")
    answer.put(facts.asymmetric == NO, PASS, "both directions took the same path")
    differ = JoinedTexts("the directions differ: ", or_unknown(facts.path_detail))
    answer.put(facts.asymmetric == YES, unmet(required), differ)
    return answer


@check()
def stable_path(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The path did not change within the flow, nor since the client's flow to the same server before."""
    answer = where_given(facts.path_changed, unmet(required), PASS, "no change of path was seen")
    unproven = (facts.path_confidence == 0) & ~is_given(facts.path_changed)
    answer.put(unproven, NOT_OBSERVABLE, "the path is not proven")
    return answer


@check()
def carried_source(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """What goes over a public virtual interface comes from the prefixes that it carries."""
    nothing = "not over a public virtual interface of which the topology says what sources it may carry"
    answer = CheckResult.of(facts, NOT_APPLICABLE, nothing)
    answer.put(is_given(facts.source_open), NOT_OBSERVABLE, or_unknown(facts.source_open))
    answer.put(facts.source_carried == YES, PASS, "the source is one that the interface may carry")
    outside = "the source lies outside the prefixes that the interface carries: AWS drops it"
    answer.put(facts.source_carried == NO, unmet(required), outside)
    return answer


@check()
def private_dns(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """A name that an interface endpoint's private DNS covers was not answered with a public address."""
    answer = CheckResult.of(facts, NOT_APPLICABLE, "no endpoint with private DNS covers the name")
    text = JoinedTexts(
        "the name led to a public address; endpoint ", or_unknown(facts.private_dns_missing), " has private DNS for it"
    )
    answer.put(is_given(facts.private_dns_missing), unmet(required), text)
    return answer


@check()
def encrypted_direct_connect(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """What goes over Direct Connect is encrypted by its own protocol: the line itself is not."""
    answer = encryption(facts, required)
    clear = answer.verdict == unmet(required)
    answer.put(clear, unmet(required), JoinedTexts(answer.reason, " over Direct Connect, which does not encrypt"))
    answer.put((facts.path != "direct-connect") | ~facts.has_payload, NOT_APPLICABLE, "not by Direct Connect")
    answer.put(is_way_unknown(facts) & facts.has_payload, NOT_APPLICABLE, f"{NOTHING_SHOWS}went by Direct Connect")
    return answer


@check()
def same_region(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """An interface endpoint is in the Region that the traffic comes from and is meant for."""
    return where_given(
        facts.other_region, unmet(required), NOT_APPLICABLE, "not to an interface endpoint of another Region"
    )


@check()
def witnesses_agree(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Flow logs, CloudTrail and other sensors say of the flow what its packets show."""
    return where_given(facts.disagreement, unmet(required), NOT_APPLICABLE, "no witness contradicts the packets")


@check()
def one_holder(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The address of a link's peer has one MAC: its claimants are gathered where captures end."""
    return CheckResult.of(facts, NOT_APPLICABLE, "about addresses of peers, not flows")
