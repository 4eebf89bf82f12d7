"""Policies of AWS's own endpoints and load balancers, as rules: what the TLS policies of ELB, CloudFront and KMS accept.

The lists are those of s2n-tls's policy snapshots (``auditor/data/aws_tls_policies.json``).
"""

import json
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.policy.model import Policy

KINDS = {
    "ELBSecurityPolicy-": ("aws-elb-", "Elastic Load Balancing security policy", "ELB"),
    "CloudFront-": ("aws-cloudfront-", "Amazon CloudFront security policy", "CFR"),
    "KMS-": ("aws-kms-", "AWS KMS endpoint TLS policy", "KMS"),
    "AWS-CRT-SDK-": ("aws-crt-", "TLS policy of AWS's SDKs (AWS Common Runtime)", "CRT"),
}
RETRIEVED = date(2026, 8, 7)


@cache
def _snapshots() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        files("auditor.data").joinpath("aws_tls_policies.json").read_text(encoding="utf-8")
    )
    return told


@cache
def names() -> dict[str, str]:
    """Our name of each policy -> AWS's."""
    found = {}
    for name in _snapshots()["policies"]:
        for begin, (prefix, *_) in KINDS.items():
            if name.startswith(begin):
                found[prefix + name.removeprefix(begin).lower()] = name
    return dict(sorted(found.items()))


def policy(name: str) -> "Policy":
    """The policy of one of ``names``: what was negotiated is something that it accepts."""
    from auditor.policy.model import Policy, Rule

    theirs = names()[name]
    told = _snapshots()["policies"][theirs]
    _, title, letters = next(kind for begin, kind in KINDS.items() if theirs.startswith(begin))
    version = told["min_version"].replace("TLS1", "TLS 1").replace("SSLv3", "SSL 3.0")
    source = f"s2n-tls policy snapshots ({_snapshots()['source']}): {theirs}"
    mend = f"Let client and server have the security policy {theirs}, or a stricter one."
    common: dict[str, Any] = {"severity": "medium", "applies_to": "aws", "mend": mend, "source": source}
    rules = [
        Rule(
            code=f"{letters}101",
            title=f"{version} or later",
            check="tls-version",
            what=f"The negotiated version is one that {theirs} accepts: {version} or later.",
            why="An endpoint with this policy refuses anything older.",
            parameters={"minimum": version},
            **common,
        ),
        Rule(
            code=f"{letters}102",
            title="A suite of the policy",
            check="cipher-suites",
            what=f"The negotiated suite is one of the {len(told['cipher_suites'])} that {theirs} accepts.",
            why="An endpoint with this policy refuses any other.",
            parameters={"allow": {"name": told["cipher_suites"]}},
            **common,
        ),
    ]
    if told.get("groups"):
        rules.append(
            Rule(
                code=f"{letters}103",
                title="A group of the policy",
                check="groups",
                what=f"The key exchange's group is one that {theirs} accepts: {', '.join(told['groups'])}.",
                why="An endpoint with this policy refuses any other.",
                parameters={"allow": told["groups"]},
                **common,
            )
        )
    edition = theirs.rpartition("20")[2]
    return Policy(
        id=name,
        title=f"{title} {theirs}",
        edition=f"20{edition}",
        source=source,
        retrieved=RETRIEVED,
        rule=tuple(rules),
    )
