"""Policies of AWS's own endpoints, as documents: what the TLS policies of ELB, CloudFront, API Gateway and KMS accept.

The lists are those of s2n-tls's policy snapshots (``auditor/data/aws_tls_policies.json``) and, for policies that it has
none of, of AWS's pages (``auditor/data/aws_listener_policies.toml``).
"""

import json
import re
import tomllib
from datetime import date
from functools import cache
from typing import Any, NamedTuple

from auditor import data

# How AWS's names begin: how ours begin, the title, and the letters of the rules' codes.
KINDS = {
    "ELBSecurityPolicy-": ("aws-elb-", "Elastic Load Balancing security policy", "ELB"),
    "CloudFront-": ("aws-cloudfront-", "Amazon CloudFront security policy", "CFR"),
    "SecurityPolicy_": ("aws-apigateway-", "Amazon API Gateway security policy", "AGW"),
    "KMS-": ("aws-kms-", "AWS KMS endpoint TLS policy", "KMS"),
    "AWS-CRT-SDK-": ("aws-crt-", "TLS policy of AWS's SDKs (AWS Common Runtime)", "CRT"),
}
INFERRED = " AWS's page lists no groups: these are inferred from the policy's name and from those that s2n-tls has, so that another one is a warning."
WEAK_PRIME = 2048  # bits of DHE's primes, of which AWS's lists say nothing
RETRIEVED = date(2026, 8, 7)
# Amazon CloudFront Developer Guide: these hybrids are accepted with every policy that has TLS 1.3.
CLOUDFRONT_HYBRIDS = ("X25519MLKEM768", "SecP256r1MLKEM768")

# s2n-tls names the schemes of ECDSA as those of TLS 1.2, without a curve, and SHA-224 as a thing of the past.
SCHEMES = {
    "ecdsa_sha256": "ecdsa_secp256r1_sha256",
    "ecdsa_sha384": "ecdsa_secp384r1_sha384",
    "ecdsa_sha512": "ecdsa_secp521r1_sha512",
    "legacy_rsa_sha224": "rsa_pkcs1_sha224",
    "legacy_ecdsa_sha224": "ecdsa_sha224",
}


UNSEEN = (
    (
        "The endpoint accepts whatever else the policy lists, in its order",
        "what was not negotiated is not in the traffic",
    ),
    ("In TLS 1.3 the endpoint signs with a scheme of the policy, and has such certificates", "encrypted"),
)


class Accepted(NamedTuple):
    """What a policy of AWS's accepts; no groups or signature schemes where its source lists none.

    ``groups_inferred``: AWS's page lists none, and they are inferred from the policy's name and the library behind it; ``certificate_schemes`` are those of signatures under certificates.
    """

    source: str
    certainty: str
    retrieved: date
    min_version: str
    suites: tuple[str, ...]
    groups: tuple[str, ...]
    groups_inferred: bool
    schemes: tuple[str, ...] = ()
    certificate_schemes: tuple[str, ...] = ()


def _text(name: str) -> str:
    return data.FOLDER.joinpath(name).read_text(encoding="utf-8")


@cache
def _policies() -> dict[str, Accepted]:
    """What AWS's policies accept, by AWS's names."""
    policies = {}
    snapshots = json.loads(_text("aws_tls_policies.json"))
    for name, one in snapshots["policies"].items():
        source = f"s2n-tls policy snapshots ({snapshots['source']}): {name}"
        hybrids = CLOUDFRONT_HYBRIDS if name.startswith("CloudFront-") else ()
        groups = tuple(dict.fromkeys([*hybrids, *one.get("groups", ())]))
        suites = tuple(one["cipher_suites"])
        schemes, under = (tuple(one.get(kind, ())) for kind in ("signature_schemes", "certificate_signature_schemes"))
        version, sure = one["min_version"], "verified"
        policies[name] = Accepted(source, sure, RETRIEVED, version, suites, groups, False, schemes, under)
    pages = tomllib.loads(_text("aws_listener_policies.toml"))
    for name, (version, *levels) in pages["policies"].items():
        suites = tuple(suite for level in levels for suite in pages["levels"][level])
        snapshot = pages["aliases"].get(name)
        source = f"{pages['source']}: {name}"
        if snapshot is not None:
            source = f"s2n-tls policy snapshots ({snapshots['source']}): {snapshot}, which is {name}"
        is_compared = name in pages["verified_names"]
        is_compared |= name.startswith("ELB") and name.endswith(tuple(pages["verified"]))
        certainty = "verified" if is_compared or snapshot is not None else "secondary"
        listed, schemes = pages["groups"].get(name), pages["schemes"]
        groups = tuple(_groups_of(name, pages["kinds_of_groups"]) if listed is None else listed)
        how = () if "RFC9151" not in name else ("interop", "interop") if snapshot else ("strict", "strict_certificates")
        policies[name] = Accepted(
            *(source, certainty, pages["retrieved"], version, suites, groups),
            listed is None,
            *(tuple(schemes[kind]) for kind in how),
        )
    return policies


def _groups_of(name: str, kinds: dict[str, list[str]]) -> list[str]:
    """The groups of a policy whose page lists none, by the words in its name."""
    if name.endswith("_EDGE"):
        return kinds["edge"]
    return (kinds["hybrid"] if "PQ" in name else []) + kinds["fips" if "FIPS" in name else "classical"]


@cache
def names() -> dict[str, str]:
    """Our name of each policy -> AWS's."""
    by_name = {}
    for name in _policies():
        for begin, (prefix, *_) in KINDS.items():
            if name.startswith(begin):
                by_name[prefix + name.removeprefix(begin).lower().replace("_", "-")] = name
    return dict(sorted(by_name.items()))


def document(name: str) -> dict[str, Any]:
    """The policy of one of ``names``, as a policy file would have it: what was negotiated is something that it accepts."""
    theirs = names()[name]
    _, title, letters = next(kind for begin, kind in KINDS.items() if theirs.startswith(begin))
    accepted = _policies()[theirs]
    edition = re.search(r"20\d\d(?:[-_]\d\d)?", theirs)
    common = {
        "severity": "medium",
        "applies_to": "aws",
        "fix": f"Let client and server have the security policy {theirs}, or a stricter one.",
        "source": accepted.source,
        "certainty": accepted.certainty,
    }
    rules = _rules(theirs, accepted)
    unseen = [
        {"requirement": requirement, "section": accepted.source, "level": "MUST", "reason": reason}
        for requirement, reason in UNSEEN
    ]
    return {
        "id": name,
        "title": f"{title} {theirs}",
        "edition": edition[0].replace("_", "-") if edition else "",
        "source": accepted.source,
        "retrieved": accepted.retrieved,
        "rule": [{"code": f"{letters}{100 + number}", **common, **rule} for number, rule in enumerate(rules, 1)],
        "unseen": unseen,
    }


def _under_certificates(scheme: str) -> str:
    """How a scheme of s2n-tls is named under certificates, as a pattern."""
    kind, _, digest = scheme.rpartition("_")
    if scheme.startswith("mldsa"):
        return f"ML-DSA-{scheme.removeprefix('mldsa')}"
    if kind.startswith("rsa_pss"):
        return f"rsassaPss .{digest}."
    return f"ecdsa-with-{digest.upper()}" if kind.endswith("ecdsa") else f"{digest}WithRSAEncryption"


def _rules(theirs: str, accepted: Accepted) -> list[dict[str, Any]]:
    """What distinguishes the rules of one policy: version, suites, and, where it lists them, groups, signatures and certificates."""
    version = accepted.min_version.replace("TLS1", "TLS 1").replace("SSLv3", "SSL 3.0")
    suites, groups, inferred = list(accepted.suites), list(accepted.groups), accepted.groups_inferred
    primes = {"dh_bits": WEAK_PRIME} if any("_DHE_" in suite for suite in suites) else {}
    rules: list[dict[str, Any]] = [
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
                "what": f"The key exchange's group is one that {theirs} accepts: {', '.join(groups)}.{INFERRED if inferred else ''}",
                "why": "An endpoint with this policy refuses any other.",
                "certainty": "secondary" if inferred else accepted.certainty,
                "required": not inferred,
                "parameters": {"allow": groups, **primes},
            }
        )
    if accepted.schemes:
        rules.append(
            {
                "title": "A signature scheme of the policy",
                "check": "signature-schemes",
                "what": f"To TLS 1.2, the key exchange is signed with a scheme that {theirs} accepts; in TLS 1.3 it is encrypted.",
                "why": "An endpoint with this policy signs with no other.",
                "parameters": {
                    "allow": [SCHEMES.get(scheme, scheme) for scheme in accepted.schemes],
                    "to_version": "TLS 1.2",
                },
            }
        )
    if accepted.certificate_schemes:
        rules.append(
            {
                "title": "Certificates signed as the policy has it",
                "check": "certificate-strength",
                "what": f"Every certificate of the chain is signed with a scheme that {theirs} accepts; in TLS 1.3 it is encrypted.",
                "why": "An endpoint with this policy has no other certificates.",
                "parameters": {
                    "signatures": list(dict.fromkeys(map(_under_certificates, accepted.certificate_schemes)))
                },
            }
        )
    return rules
