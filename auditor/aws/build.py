"""Builds the tables of this folder from their sources. Not imported at run time.

    python -m auditor.aws.build REGISTRY_DIR AWS_DIR

REGISTRY_DIR holds facts of the IANA TLS registries (taken 2026-01-13; Recommended column after RFC 10015) and code
points seen in use without registration, as CSV. AWS_DIR holds ``ip-ranges.json.gz``, AWS's published address ranges,
and ``tls_policies.json``, TLS policies of AWS's endpoints (snapshots of s2n-tls, Apache License 2.0). Operations of AWS services are those of the botocore installed.
"""

import csv
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

from auditor.aws.names import endpoint
from auditor.aws.ranges import Ranges

DATA = Path(__file__).parent.parent / "data"
SUITE = re.compile(r"^(?:TLS|SSL)_(?P<kx>.+?)_WITH_(?P<rest>.+)$")
HASHES = ("SHA512", "SHA384", "SHA256", "SHA", "MD5", "IMIT", "OMAC")


# Suites of TLCP, by the names of GB/T 38636-2020 6.4.5.2.1.
TLCP_SUITES = [
    ["0xE011", "ECDHE_SM4_CBC_SM3", "ECDHE", "SM2", "SM4_CBC", ""],
    ["0xE013", "ECC_SM4_CBC_SM3", "ECC", "SM2", "SM4_CBC", ""],
    ["0xE015", "IBSDH_SM4_CBC_SM3", "ECDHE", "IBS", "SM4_CBC", ""],
    ["0xE017", "IBC_SM4_CBC_SM3", "IBC", "IBC", "SM4_CBC", ""],
    ["0xE019", "RSA_SM4_CBC_SM3", "RSA", "RSA", "SM4_CBC", ""],
    ["0xE01C", "RSA_SM4_CBC_SHA256", "RSA", "RSA", "SM4_CBC", ""],
    ["0xE051", "ECDHE_SM4_GCM_SM3", "ECDHE", "SM2", "SM4_GCM", ""],
    ["0xE053", "ECC_SM4_GCM_SM3", "ECC", "SM2", "SM4_GCM", ""],
    ["0xE055", "IBSDH_SM4_GCM_SM3", "ECDHE", "IBS", "SM4_GCM", ""],
    ["0xE057", "IBC_SM4_GCM_SM3", "IBC", "IBC", "SM4_GCM", ""],
    ["0xE059", "RSA_SM4_GCM_SM3", "RSA", "RSA", "SM4_GCM", ""],
    ["0xE05A", "RSA_SM4_GCM_SHA256", "RSA", "RSA", "SM4_GCM", ""],
]


def suite_row(code: str, name: str, recommended: str) -> list[str]:
    """code, name, key exchange, authentication, encryption, recommended (after RFC 10015)."""
    match = SUITE.match(name)
    if not match:
        kind = "TLS13" if code.startswith("0x13") or code in ("0xC0B4", "0xC0B5", "0x00C6", "0x00C7") else ""
        return [code, name, kind, "", name.removeprefix("TLS_") if kind else "", recommended]
    key_exchange = match["kx"].replace("_EXPORT1024", "").replace("_EXPORT", "")
    exchange, _, authentication = key_exchange.partition("_")
    if exchange == "PSK" and authentication == "DHE":  # IANA writes TLS_PSK_DHE_WITH_AES_128_CCM_8
        exchange, authentication = "DHE", "PSK"
    if exchange == "RSA" and authentication == "PSK":
        exchange, authentication = "RSA", "PSK"
    if exchange == "SRP":
        authentication = key_exchange.removeprefix("SRP_SHA").strip("_") or "SRP"
    if not authentication:
        authentication = exchange
    encryption = match["rest"]
    for digest in HASHES:
        encryption = encryption.removesuffix(f"_{digest}")
    if "EXPORT" in match["kx"]:
        encryption += "_EXPORT"
    return [code, name, exchange, authentication, encryption, recommended]


def write(name: str, header: list[str], rows: list[list[str]], source: str) -> None:
    with (DATA / name).open("w", newline="", encoding="utf-8") as out:
        out.write(f"# {source}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def registry(source: Path) -> None:
    iana = "IANA TLS parameters, 2026-01-13; Recommended as changed by RFC 10015"
    suites = [
        suite_row(r["code"], r["name"], r["iana_recommended_after_rfc10015"])
        for r in read(source / "cipher_suites.csv")
    ]
    known = {row[0] for row in suites}
    suites += [
        suite_row(r["code"], r["name"], "")
        for r in read(source / "cipher_suites_unregistered.csv")
        if r["code"] not in known
    ]
    suites += TLCP_SUITES
    header = ["code", "name", "key_exchange", "authentication", "encryption", "recommended"]
    write("cipher_suites.csv", header, sorted(suites), f"{iana}; and unregistered suites in use")
    groups = [[r["code"], r["name"], r["kind"]] for r in read(source / "groups.csv")]
    write("groups.csv", ["code", "name", "kind"], groups, f"{iana}; RFC 10024 for the hybrids")
    for table in ("extensions", "signature_schemes", "alerts"):
        rows = [[r["code"], r["name"]] for r in read(source / f"{table}.csv")]
        write(f"{table}.csv", ["code", "name"], rows, iana)


def aws(source: Path) -> None:
    ranges = Ranges.from_json(gzip.decompress((source / "ip-ranges.json.gz").read_bytes()))
    (DATA / "ip-ranges.npz").write_bytes(ranges.dump())
    tls = json.loads((source / "tls_policies.json").read_text(encoding="utf-8"))
    kept = {
        name: {key: policy[key] for key in TLS_KEYS if key in policy}
        for name, policy in sorted(tls["policies"].items())
    }
    for policy in kept.values():
        policy["groups"] = [*policy.pop("pq_groups", []), *policy.get("groups", [])]
    text = json.dumps({"source": tls["source"], "policies": kept}, indent=1) + "\n"
    (DATA / "aws_tls_policies.json").write_text(text, encoding="utf-8")


TLS_KEYS = ("min_version", "cipher_suites", "groups", "pq_groups", "signature_schemes")
MESSAGING = {  # botocore's name of a service -> ours (see ``aws.names.PINPOINT_SERVICES``)
    "pinpoint": "pinpoint",
    "pinpoint-sms-voice": "sms-voice",
    "pinpoint-sms-voice-v2": "sms-voice",
    "socialmessaging": "social-messaging",
    "pinpoint-email": "ses",
    "sesv2": "ses",
    "ses": "ses",
    "sts": "sts",
}
UNSIGNED = {  # services of which some operations go without a signature: only these are taken
    "cognito-identity": "cognito-identity",
    "cognito-idp": "cognito-idp",
    "signin": "signin",
    "sso": "sso",
    "sso-oidc": "oidc",
}


def operations() -> None:
    """The operations of Pinpoint, End User Messaging, SES and STS, and those without a signature, from botocore's service models."""
    import botocore
    import botocore.session

    session, rows = botocore.session.get_session(), []
    for name, service in (MESSAGING | UNSIGNED).items():
        model = session.get_service_model(name)
        target = model.metadata.get("targetPrefix", "")
        for operation in model.operation_names:
            one = model.operation_model(operation)
            signed = "no" if one.auth_type == "none" else "yes"
            if signed == "yes" and name in UNSIGNED:
                continue
            uri = one.http["requestUri"].partition("?")[0]
            how = "target" if target else "action" if model.metadata["protocol"] == "query" else "path"
            rows.append([service, model.signing_name, name, operation, how, target, one.http["method"], uri, signed])
    header = ["service", "signing_name", "model", "operation", "told_by", "target", "method", "uri", "signed"]
    write("operations.csv", header, rows, f"service models of botocore {botocore.__version__} (Apache License 2.0)")


def signing_names() -> None:
    """The names that scopes of signatures have, for each service as its endpoints name it, from botocore's models and endpoint rules."""
    import botocore
    import botocore.session

    session = botocore.session.get_session()
    names: dict[str, set[str]] = {}
    for name in session.get_available_services():
        metadata = session.get_service_model(name).metadata
        where = endpoint(f"{metadata['endpointPrefix']}.us-east-1.amazonaws.com")
        if where is None or where.service is None:
            continue
        rules = json.dumps(session.get_component("data_loader").load_service_model(name, "endpoint-rule-set-1"))
        own = {metadata.get("signingName", metadata["endpointPrefix"])}
        names.setdefault(where.service, set()).update(own, re.findall(r'"signingName": "([A-Za-z0-9-]+)"', rules))
    rows = [[service, " ".join(sorted(own))] for service, own in sorted(names.items())]
    source = f"service models and endpoint rules of botocore {botocore.__version__} (Apache License 2.0)"
    write("signing_names.csv", ["service", "names"], rows, source)


def _variants(usual: dict[str, Any], endpoint: dict[str, Any], *, is_region: bool) -> list[dict[str, Any]]:
    """The kinds of an endpoint: its own, and those that its service has in every Region of the partition, as in GovCloud.

    Others that are the service's by rule have ``fips`` in their names, and are not in every Region that the rule is for.
    """
    own: list[dict[str, Any]] = endpoint.get("variants", [])
    usual_ones = usual.get("variants", []) if is_region else []
    return own + [one for one in usual_ones if "fips" not in one.get("hostname", "fips")]


def fips_endpoints() -> None:
    """The FIPS endpoints whose names do not show it by ``-fips`` before the Region, from botocore's endpoints.json."""
    import botocore
    import botocore.session

    data = botocore.session.get_session().get_data("endpoints")
    names = {
        variant["hostname"].format(
            service=service, region=region, dnsSuffix=variant.get("dnsSuffix", partition["dnsSuffix"])
        )
        for partition in data["partitions"]
        for service, known in partition["services"].items()
        for region, endpoint in known.get("endpoints", {}).items()
        for variant in _variants(known.get("defaults", {}), endpoint, is_region=region in partition["regions"])
        if "fips" in variant["tags"] and "hostname" in variant
    }
    rows = [[name] for name in sorted(names) if not re.search(r"-fips\.(?:dualstack\.)?[a-z]+-[a-z-]+-\d+\.", name)]
    write(
        "fips_endpoints.csv", ["name"], rows, f"endpoints.json of botocore {botocore.__version__} (Apache License 2.0)"
    )


if __name__ == "__main__":
    registry(Path(sys.argv[1]))
    aws(Path(sys.argv[2]))
    operations()
    signing_names()
    fips_endpoints()
