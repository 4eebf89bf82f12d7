"""Policies of AWS's own endpoints and load balancers, as documents: what the TLS policies of ELB, CloudFront and KMS accept.

The lists are those of s2n-tls's policy snapshots (``auditor/data/aws_tls_policies.json``).
"""

import json
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

# How AWS's names begin: how ours begin, the title, and the letters of the rules' codes.
KINDS = {
    "ELBSecurityPolicy-": ("aws-elb-", "Elastic Load Balancing security policy", "ELB"),
    "CloudFront-": ("aws-cloudfront-", "Amazon CloudFront security policy", "CFR"),
    "KMS-": ("aws-kms-", "AWS KMS endpoint TLS policy", "KMS"),
    "AWS-CRT-SDK-": ("aws-crt-", "TLS policy of AWS's SDKs (AWS Common Runtime)", "CRT"),
}
RETRIEVED = date(2026, 8, 7)


@cache
def _snapshots() -> dict[str, Any]:
    snapshots: dict[str, Any] = json.loads(
        files("auditor.data").joinpath("aws_tls_policies.json").read_text(encoding="utf-8")
    )
    return snapshots


@cache
def names() -> dict[str, str]:
    """Our name of each policy -> AWS's."""
    found = {}
    for name in _snapshots()["policies"]:
        for begin, (prefix, *_) in KINDS.items():
            if name.startswith(begin):
                found[prefix + name.removeprefix(begin).lower()] = name
    return dict(sorted(found.items()))


def document(name: str) -> dict[str, Any]:
    """The policy of one of ``names``, as a policy file would have it: what was negotiated is something that it accepts."""
    theirs = names()[name]
    _, title, letters = next(kind for begin, kind in KINDS.items() if theirs.startswith(begin))
    source = f"s2n-tls policy snapshots ({_snapshots()['source']}): {theirs}"
    common = {
        "severity": "medium",
        "applies_to": "aws",
        "mend": f"Let client and server have the security policy {theirs}, or a stricter one.",
        "source": source,
    }
    rules = _rules(theirs, _snapshots()["policies"][theirs])
    return {
        "id": name,
        "title": f"{title} {theirs}",
        "edition": f"20{theirs.rpartition('20')[2]}",
        "source": source,
        "retrieved": RETRIEVED,
        "rule": [{"code": f"{letters}{100 + number}", **rule, **common} for number, rule in enumerate(rules, 1)],
    }


def _rules(theirs: str, accepted: dict[str, Any]) -> list[dict[str, Any]]:
    """What tells the rules of one policy apart: version, suites, and groups where it lists them."""
    version = accepted["min_version"].replace("TLS1", "TLS 1").replace("SSLv3", "SSL 3.0")
    suites, groups = accepted["cipher_suites"], accepted.get("groups")
    rules = [
        {
            "title": f"{version} or later",
            "check": "tls-version",
            "what": f"The negotiated version is one that {theirs} accepts: {version} or later.",
            "why": "An endpoint with this policy refuses anything older.",
            "parameters": {"minimum": version},
        },
        {
            "title": "A suite of the policy",
            "check": "cipher-suites",
            "what": f"The negotiated suite is one of the {len(suites)} that {theirs} accepts.",
            "why": "An endpoint with this policy refuses any other.",
            "parameters": {"allow": {"name": suites}},
        },
    ]
    if groups:
        rules.append(
            {
                "title": "A group of the policy",
                "check": "groups",
                "what": f"The key exchange's group is one that {theirs} accepts: {', '.join(groups)}.",
                "why": "An endpoint with this policy refuses any other.",
                "parameters": {"allow": groups},
            }
        )
    return rules
