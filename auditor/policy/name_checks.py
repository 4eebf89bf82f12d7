"""Checks of the server's name."""

from typing import Any

from auditor.aws.names import endpoint
from auditor.policy.check import NOT_APPLICABLE, NOT_OBSERVABLE, PASS, CheckResult, check, unmet
from auditor.policy.facts import Facts


@check()
def fips_endpoint(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The name is that of a FIPS endpoint. That it is in AWS GovCloud does not make it one."""

    def judge(name: str) -> tuple[int, str]:
        where = endpoint(name)
        if where is None or where.customer:
            return NOT_APPLICABLE, "not a name of AWS"
        return (PASS, f"{name} is a FIPS endpoint") if where.fips else (unmet(required), f"{name} is no FIPS endpoint")

    answer = CheckResult.of(facts, NOT_OBSERVABLE, "the server's name is not seen")
    for at, value in enumerate(facts.server_name.tolist()):
        if value is not None:
            answer.verdict[at], answer.reason[at] = judge(value)
    return answer
