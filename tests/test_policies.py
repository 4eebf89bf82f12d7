"""The shipped policies beside the default one: each rule meets what is good and not what is bad, layers and exceptions hold."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auditor
from auditor.audit.opened import OpenedFacts
from auditor.policy import aws_tls, library, model
from auditor.policy.facts import NO, UNKNOWN, YES, Facts, distinct
from auditor.policy.registry import CHECKS
from auditor.settings import load
from auditor.tables.value_sets import OUTCOMES, VERDICTS
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.names import groups as named_groups
from auditor.tls.names import signature_name, suites
from auditor.tls.suites import properties
from tests import wire
from tests.conftest import SAMPLES

NAMES = OpenedFacts.names()
GOOD: dict[str, Any] = {
    "day": 20_782,  # 2026-11-25
    "in_scope": True,
    "is_tls": True,
    "has_handshake": True,
    "version": VERSION_ORDER.index("TLS 1.3"),
    "version_offered": VERSION_ORDER.index("TLS 1.3"),
    "negotiated": True,
    "version_name": "TLS 1.3",
    "protocol": "tls",
    "has_payload": True,
    "suite": "TLS_AES_256_GCM_SHA384",
    "suites_offered": "TLS_AES_256_GCM_SHA384 TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    "group": "SecP256r1MLKEM768",
    "post_quantum_kind": "hybrid",
    "extended_master_secret": YES,
    "secure_renegotiation": YES,
    "authentication": "classical",
    "signature_scheme": "ecdsa_secp256r1_sha256",
    "certificates": "ecdsa\tprime256v1\tsha256WithRSAEncryption;rsa\t4096\t-",
    "established": YES,
    "early_data": NO,
    "encrypt_then_mac": UNKNOWN,
    "truncated_hmac": NO,
    "heartbeat": NO,
    "forward_secrecy": YES,
    "forward_secrecy_reason": "TLS 1.3 key share in the ServerHello",
    "groups_offered": "X25519MLKEM768 x25519",
    "certificate_days": "90",
    "certificate_matches": YES,
    "certificate_valid": YES,
    "server_name": "pinpoint-fips.us-east-1.amazonaws.com",
    "hello_outcome": OUTCOMES.index("answered"),
    "hello_is_large": True,
    "signatures_offered": "ecdsa_secp256r1_sha256 rsa_pss_rsae_sha256",
}
TLS_1_2 = {"version": VERSION_ORDER.index("TLS 1.2"), "version_name": "TLS 1.2"}
TLS_1_1 = {"version": VERSION_ORDER.index("TLS 1.1"), "version_name": "TLS 1.1"}
OLD = {"suite": "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "group": None, **TLS_1_2}
DHE = {"suite": "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "group": None, **TLS_1_2}
# Policies whose good case is another one than GOOD.
OTHER_GOOD: dict[str, dict[str, Any]] = {
    "cnsa-2.0": {"group": "MLKEM1024", "post_quantum_kind": "pure", "certificates": "ML-DSA-87\t20736\tML-DSA-87"},
    "cnsa-1.0": {
        "group": "secp384r1",
        "certificates": "rsa\t3072\tsha384WithRSAEncryption",
        "signature_scheme": "ecdsa_secp384r1_sha384",
        "signatures_offered": "ecdsa_secp256r1_sha256 ecdsa_secp384r1_sha384",
    },
    "mozilla": {"group": "x25519"},
    "aws-elb": {"certificates": "ecdsa\tsecp384r1\tecdsa-with-SHA384"},
    "bsi": {"certificates": "ecdsa\tprime256v1\tecdsa-with-SHA256;rsa\t4096\t-"},
}
# What makes a rule not be met, by its check.
BAD: dict[str, list[dict[str, Any]]] = {
    "tls-version": [TLS_1_1, {"version": VERSION_ORDER.index("SSL 3.0"), "version_name": "SSL 3.0"}],
    "cipher-suites": [
        OLD, {"suite": "TLS_RSA_WITH_RC4_128_MD5", **TLS_1_2}, DHE, {"suite": "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA", **TLS_1_2},
        {"suites_offered": "TLS_DHE_RSA_WITH_AES_128_CBC_SHA TLS_RSA_WITH_NULL_SHA", **TLS_1_2},
        {"suites_offered": "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA", **TLS_1_2},
        {"suite": "TLS_CHACHA20_POLY1305_SHA256"}, {"suite": "TLS_DH_RSA_WITH_AES_128_GCM_SHA256", **TLS_1_2},
    ],
    "groups": [{"group": "secp256k1"}, {"group": "dh1024", "dh_group": "own prime, weak", **TLS_1_2}],
    "upgrade-used": [{"upgrade": "offered, not used"}],
    "offers-signatures": [{"signatures_offered": "rsa_pkcs1_sha1", **TLS_1_2}, {"signatures_offered": None, **TLS_1_2}],
    "signature-schemes": [{"signature_scheme": "rsa_pkcs1_sha1", **TLS_1_2}, {"signature_scheme": "rsa_pkcs1_md5", **TLS_1_2}],
    "certificate-strength": [{"certificates": "rsa\t1024\tsha256WithRSAEncryption"}],
    "rsa-exponents": [{"certificates": "rsa\t4096\tsha256WithRSAEncryption\t3"}],
    "certificate-curves": [{"certificates": "ecdsa\tsecp521r1\tsha256WithRSAEncryption"}],
    "certificate-lifetime": [{"certificate_days": "1097"}],
    "certificate-validity": [{"certificate_valid": NO}],
    "no-raw-keys": [{"certificates": "ecdsa\tprime256v1\traw public key"}],
    "post-quantum": [{"post_quantum_kind": "classical", "groups_offered": "x25519 X25519Kyber768Draft00"}],
    "forward-secrecy": [{"forward_secrecy": NO, "forward_secrecy_reason": "psk_ke"}],
    "no-early-data": [{"early_data": YES}],
    "no-psk-only": [{"resumption": "psk"}],
    "encrypt-then-mac": [{"encrypt_then_mac": NO, "suite": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", **TLS_1_2}],
    "no-truncated-hmac": [{"truncated_hmac": YES, **TLS_1_2}],
    "no-heartbeat": [{"heartbeat": YES, **TLS_1_2}],
    "no-compression": [{"compression": 1, **TLS_1_2}],
    "extended-master-secret": [{"extended_master_secret": NO, **TLS_1_2}],
    "secure-renegotiation": [{"secure_renegotiation": NO, **TLS_1_2}],
    "server-authenticated": [{"authentication": "anonymous", **TLS_1_2}],
    "no-plaintext": [{"protocol": "http", "is_tls": False, "has_handshake": False}],
    "fips-endpoint": [{"server_name": "pinpoint.us-east-1.amazonaws.com"}],
    "hello-delivery": [{"hello_outcome": OUTCOMES.index("lost"), "hello_reason": "sent again"}],
}  # fmt: skip
SHIPPED = [name for name in library.shipped() if name not in ("aws-pinpoint", "capture-quality")]  # that: below


def facts(**values: Any) -> Facts:
    """The facts of one flow: what is not given is missing."""
    values = {**GOOD, **values}
    three = {"source_carried", "forward_secrecy", "offers_forward_secrecy", "asymmetric", "in_region", "established"}
    three |= {
        "early_data",
        "encrypt_then_mac",
        "truncated_hmac",
        "heartbeat",
        "extended_master_secret",
        "secure_renegotiation",
        "certificate_matches",
        "certificate_valid",
    }
    numbers = {"path_confidence", "compression", "version", "version_offered", "day", "hello_outcome"}
    truths = {"in_scope", "is_pinpoint", "is_tls", "has_handshake", "negotiated", "has_payload"}
    truths |= {"imitates", "hello_is_large", "path_seen", "early_data_sent", "is_greeting", "proxy_refused"}
    truths |= {"negotiates", "agreed", "is_of_login", "is_unanswered", "renegotiated"}
    columns = {}
    for name in NAMES:
        if name in three:
            columns[name] = np.array([values.get(name, UNKNOWN)])
        elif name in numbers:
            columns[name] = np.array([values.get(name, 0)])
        elif name in truths:
            columns[name] = np.array([values.get(name, False)])
        else:
            columns[name] = np.array([values.get(name)], object)
    return Facts.at(columns, np.arange(1))


def verdict(rule: model.Rule, **values: Any) -> str:
    answer = CHECKS[rule.check].function(facts(**values), rule.required, rule.parameters)
    assert answer.reason[0]
    return VERDICTS[int(answer.verdict[0])]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_rule_has_a_good_and_a_bad_case(name: str) -> None:
    """What is good meets every rule; for each rule something is bad, and a flow without a handshake is not judged."""
    policy = library.get(name)
    good = next((good_values for begin, good_values in OTHER_GOOD.items() if name.startswith(begin)), {})
    for rule in policy.rule:
        allowed = rule.parameters.get("allow", {})
        own = {"group": allowed[0]} if rule.check == "groups" and allowed else {}
        if rule.check == "cipher-suites" and "name" in allowed:
            own = {"suite": allowed["name"][0]}
        if rule.check == "encrypt-then-mac":
            own = {"encrypt_then_mac": YES, "suite": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", **TLS_1_2}
        if rule.check == "upgrade-used":
            own = {"upgrade": "used"}
        if "to_version" in rule.parameters:
            own = {"suite": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", **TLS_1_2}
            own |= {"signature_scheme": "ecdsa_secp384r1_sha384"} if rule.check == "signature-schemes" else {}
        assert verdict(rule, **{**good, **own}) == "pass", rule.code
        bad = "fail" if rule.required else "warn"
        assert bad in {verdict(rule, **{**good, **case}) for case in BAD[rule.check]}, rule.code
        blind = verdict(rule, negotiated=False, has_handshake=False, suite=None, suites_offered=None, group=None,
                        certificates=None, certificate_days=None, signature_scheme=None, post_quantum_kind=None, server_name=None,
                        groups_offered=None, forward_secrecy=UNKNOWN, early_data=UNKNOWN, established=UNKNOWN,
                        protocol=None, hello_outcome=OUTCOMES.index("not known"),
                        hello_is_large=False, certificate_matches=UNKNOWN, certificate_valid=UNKNOWN,
                        extended_master_secret=UNKNOWN, secure_renegotiation=UNKNOWN)  # fmt: skip
        assert blind in ("not_observable", "not_applicable"), (rule.code, blind)


@pytest.mark.parametrize(
    ("curve", "expected"), [("prime256v1", "pass"), ("brainpoolP384r1", "pass"), ("secp256k1", "fail")]
)
def test_certificates_are_on_curves_that_bsi_lists(curve: str, expected: str) -> None:
    """A curve of the right length is not enough where the source has a list of curves."""
    rule = next(one for one in library.get("bsi-tr-02102-2").rule if one.code == "BSI106")
    assert verdict(rule, certificates=f"ecdsa\t{curve}\tecdsa-with-SHA256") == expected


@pytest.mark.parametrize(
    ("policy", "code", "good", "bad"),
    [
        ("rfc9325", "BCP107", (3, 65537, 2**300 + 1), (0, 1, 2, 65536)),
        ("pci-dss-4.0.1", "PCI103", (3, 65537), (0, 1, 65536)),
        ("anssi", "ANSSI106", (3, 65537), (0, 1, 65536)),
        ("mozilla-intermediate-6.0", "MIB104", (3, 65537), (0, 1, 65536)),
        ("nist-800-52r2", "NIST117", (65537, 2**256 - 1), (0, 1, 3, 65535, 65536, 65538, 2**256 + 1)),
        ("cnsa-1.0", "CNSA111", (65537, 2**256 - 1), (0, 1, 3, 65535, 65536, 65538, 2**256 + 1)),
        ("bsi-tr-02102-2", "BSI119", (65537, 2**256 + 1, 2**1824 - 1), (0, 1, 3, 65536, 2**1824 + 1)),
    ],
)
def test_exponents_of_rsa_keys(policy: str, code: str, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    """Exponents of which no key can be made are refused by all; the range of FIPS 186-5, or BSI's, where the source has one."""
    rule = next(rule for rule in library.get(policy).rule if rule.code == code)
    chain = "rsa\t4096\tsha384WithRSAEncryption"
    assert {verdict(rule, certificates=f"{chain}\t{number}") for number in good} == {"pass"}
    assert {verdict(rule, certificates=f"{chain}\t{number}") for number in bad} == {"fail" if rule.required else "warn"}


def test_exponents_that_nobody_knows() -> None:
    """A key whose exponent cannot be parsed passes no rule about exponents; the client's key counts as the server's."""
    rule = next(rule for rule in library.get("nist-800-52r2").rule if rule.code == "NIST117")
    chain = "rsa\t4096\tsha384WithRSAEncryption"
    assert verdict(rule, certificates=f"{chain}\t?") == "not_observable"
    assert verdict(rule, certificates="ecdsa\tprime256v1\tecdsa-with-SHA256") == "not_applicable"
    assert verdict(rule, certificates=chain, client_certificates=f"{chain}\t3") == "fail"


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("anssi", "ANSSI106", "fail"),
        ("bsi-tr-02102-2", "BSI106", "fail"),
        ("mozilla-intermediate-5.7", "MIA104", "fail"),
        ("mozilla-intermediate-6.0", "MIB104", "fail"),
        ("nist-800-52r2", "NIST105", "pass"),
        ("pci-dss-4.0.1", "PCI103", "pass"),
        ("rfc9325", "BCP107", "pass"),
    ],
)
@pytest.mark.parametrize("signed", ["ecdsa-with-SHA224", "sha224WithRSAEncryption", "rsassaPss (sha224)"])
def test_sha_224_under_certificates(policy: str, code: str, expected: str, signed: str) -> None:
    """SHA-224 is refused where the source asks for SHA-256 or better, and good where it asks for 112 bits."""
    rule = next(rule for rule in library.get(policy).rule if rule.code == code)
    assert verdict(rule, certificates=f"ecdsa\tprime256v1\t{signed}") == expected


@pytest.mark.parametrize("scheme", ["sm2sig_sm3", "ed25519", "gostr34102012_256a", "rsa_pkcs1_sha1", "0x1234"])
def test_signatures_are_of_kinds_that_bsi_lists(scheme: str) -> None:
    """A signature with neither RSA, DSA nor ECDSA is none of the recommended ones, whatever its hash."""
    rule = next(one for one in library.get("bsi-tr-02102-2").rule if one.code == "BSI111")
    assert verdict(rule, signature_scheme=scheme, **TLS_1_2) == "fail"


RULES_ON_SCHEMES = {"pci-dss-4.0.1": "PCI107", "rfc9325": "BCP106", "mozilla-intermediate-5.7": "MIA106"}
RULES_ON_SCHEMES |= {"mozilla-intermediate-6.0": "MIB106", "nist-800-52r2": "NIST110", "anssi": "ANSSI107"}
RULES_ON_CERTIFICATES = {"pci-dss-4.0.1": "PCI103", "rfc9325": "BCP107", "mozilla-intermediate-5.7": "MIA104"}
RULES_ON_CERTIFICATES |= {"nist-800-52r2": "NIST105", "anssi": "ANSSI106", "bsi-tr-02102-2": "BSI106"}


@pytest.mark.parametrize(("policy", "code"), RULES_ON_SCHEMES.items())
def test_schemes_are_judged_by_what_is_allowed(policy: str, code: str) -> None:
    """MD5, SHA-1 and no hash are told by an unnamed scheme's first byte; what nobody knows, or the source does not list, does not pass."""
    rule = next(one for one in library.get(policy).rule if one.code == code)

    def of(names: str) -> set[str]:
        return {verdict(rule, signature_scheme=name, **TLS_1_2) for name in names.split()}

    assert of("0x0104 0x0205 0x0206 0x02EE 0x0004 anonymous_none anonymous_sha256 ecdsa_sha1") == {"fail"}
    others = {"fail"} if "allow" in rule.parameters else {"not_observable"}
    assert of("0xFEFE 0x0840 0x0703 0x0404 GREASE sm2sig_sm3 iso_chinese_ibs gostr34102012_256a eccsi_sha256") == others
    assert of("rsa_pkcs1_sha256 rsa_pss_rsae_sha384 ecdsa_secp256r1_sha256") == {"pass"}
    assert of("ed25519") == ({"fail"} if policy.startswith("nist") else {"pass"})
    # What the client signs with, good or not, does not make up for what the server does.
    unknown = {"signature_scheme": "0xFEFE", "client_signature": "ecdsa_secp256r1_sha256"}
    assert {verdict(rule, **unknown, **TLS_1_2)} == others
    assert verdict(rule, client_signature="0x0104", **TLS_1_2) == "fail"


@pytest.mark.parametrize(("policy", "code"), RULES_ON_CERTIFICATES.items())
def test_hashes_under_certificates_are_judged_by_what_is_allowed(policy: str, code: str) -> None:
    """RIPEMD is refused as SHA-1 is, and a hash that is not known does not pass."""
    rule = next(one for one in library.get(policy).rule if one.code == code)

    def of(*signed: str) -> set[str]:
        return {verdict(rule, certificates=f"ecdsa\tprime256v1\t{one}") for one in signed}

    assert of("ripemd160WithRSA", "ecdsa-with-RIPEMD160", "md4WithRSAEncryption", "sha1") == {"fail"}
    assert of("1.2.3.4", "rsassaPss", "?", "SM2-with-SM3") == {"not_observable"}
    assert of("ecdsa-with-SHA256", "RSA-SHA3-256", "RSA-SHA512/256", "rsassaPss (sha384)", "Ed25519", "ML-DSA-65") == {
        "pass"
    }
    assert verdict(rule, certificates="ecdsa\tprime256v1\tecdsa-with-SHA256;rsa\t4096\t1.2.3.4") == "not_observable"


@pytest.mark.parametrize("name", [name for name in library.shipped() if name not in aws_tls.names()])
def test_shipped_files_are_valid(name: str) -> None:
    """What is read without being checked is valid all the same, and every rule has a page with a source."""
    path = Path(auditor.__file__).parent / "data" / "policies" / f"{name}.toml"
    checked = library.resolved(load(model.Policy, path.read_text(), name, auditor.PolicyError), name)
    assert checked == library.get(name)
    for rule in checked.rule:
        assert all(len(text) >= 8 for text in (rule.what, rule.why, rule.fix, rule.source)), rule.code


def test_codes_are_of_one_policy_each() -> None:
    """Policies for one thing can be used together; those that share rules say so."""
    policies = library.combined(
        ["aws-pinpoint", "nist-800-52r2", "pci-dss-4.0.1", "rfc10015", "bsi-tr-02102-2", "pq-ready"]
    )
    assert sum(len(policy.rule) for policy in policies) >= 60
    with pytest.raises(auditor.PolicyError, match=r"rule BCP101 is in policy rfc9325 already"):
        library.combined(["rfc9325", "rfc10015"])


def test_two_standards_disagree_about_dhe() -> None:
    """The Pinpoint guide accepts DHE, RFC 10015 forbids it from July 2026 on: facts stay, policies differ."""
    obsolete = library.get("rfc10015").find("KEX101")
    accepted = library.get("rfc9325").find("BCP103")
    assert obsolete is not None
    assert accepted is not None
    assert verdict(obsolete, **DHE) == "fail"
    assert verdict(accepted, **DHE) == "pass"
    assert verdict(obsolete, suite="TLS_AES_128_GCM_SHA256", group="ffdhe2048") == "not_applicable"
    assert obsolete.begins == date(2026, 7, 1)


def test_several_policies_and_dates(tmp_path: Path) -> None:
    """Rules that hold for a time are judged by the flow's day, or by the day asked for; findings name their policy."""
    both = auditor.audit(SAMPLES / "office.pcapng", policy=["aws-pinpoint", "rfc10015"])
    assert set(both.findings["policy"]) == {"aws-pinpoint", "rfc10015"}
    client = both.flows[both.flows["client_ip"] == "203.0.113.12"]["flow_id"]
    dhe = both.verdicts[both.verdicts["flow_id"].isin(client) & (both.verdicts["rule"] == "KEX101")]
    assert "fail" in set(dhe["verdict"].astype(str))
    before = auditor.audit(SAMPLES / "office.pcapng", policy="rfc10015", as_of=date(2026, 6, 30))
    assert "KEX101" not in set(before.verdicts["rule"])
    assert [policy["id"] for policy in both.manifest["policies"]] == ["aws-pinpoint", "rfc10015"]
    later = auditor.audit(SAMPLES / "office.pcapng", policy="bsi-tr-02102-2", as_of=date(2032, 1, 1)).verdicts
    assert "BSI101" not in set(later["rule"])
    assert {"BSI102", "BSI107"} <= set(later["rule"])


OWN = """
id = "ours"
title = "Ours"
edition = "1"
source = "our handbook"
retrieved = 2026-11-01
extends = ["aws-pinpoint"]

[[change]]
code = "PTH101"
required = true
severity = "critical"

[[change]]
code = "API101"
disabled = true

[[exception]]
rule = "TLS101"
client = "10.20.2.50/32"
owner = "network team"
reason = "the old printer, replaced in spring"
expires = 2027-03-31

[[exception]]
rule = "TLS102"
server = "email.*"
owner = "mail team"
reason = "to be fixed"
expires = 2026-11-01
"""


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    """It extends another, changes and disables rules, exempts flows until a day; an exception that has ended is a finding."""
    (tmp_path / "ours.toml").write_text(OWN)
    result = auditor.audit(SAMPLES / "office.pcapng", topology=SAMPLES / "site.toml", policy=tmp_path / "ours.toml")
    assert "API101" not in set(result.verdicts["rule"])
    assert set(result.findings[result.findings["rule"] == "PTH101"]["severity"].astype(str)) == {"critical"}
    flows = result.flows.set_index("flow_id")
    old = result.verdicts[result.verdicts["rule"] == "TLS101"]
    exempted = old[old["flow_id"].map(flows["client_ip"]) == "10.20.2.50"]
    assert set(exempted["verdict"].astype(str)) == {"not_applicable"}
    assert exempted["reason"].str.contains("network team: the old printer").all()
    ended = result.findings[result.findings["rule"] == "EXC101"]
    assert len(ended) == 1
    assert "mail team" in ended["reason"].iloc[0]
    assert ended["reason"].iloc[0].startswith("expired on 2026-11-01: ")
    assert (result.findings["rule"] == "TLS102").any()
    early = auditor.audit(SAMPLES / "office.pcapng", policy=tmp_path / "ours.toml", as_of=date(2026, 10, 1))
    assert "EXC101" not in set(early.findings["rule"])
    assert result.manifest["policies"][0]["exceptions"][0].startswith("TLS101 for 10.20.2.50/32, until 2027-03-31")


def test_each_expired_exception_is_reported(tmp_path: Path) -> None:
    """Two exceptions for one server that have ended, for two rules, are two findings."""
    second = (
        OWN.rsplit("[[exception]]", maxsplit=1)[-1]
        .replace('rule = "TLS102"', 'rule = "TLS103"')
        .replace("mail team", "other team")
    )
    (tmp_path / "ours.toml").write_text(f"{OWN}\n[[exception]]{second}")
    result = auditor.audit(SAMPLES / "office.pcapng", topology=SAMPLES / "site.toml", policy=tmp_path / "ours.toml")
    ended = result.findings[result.findings["rule"] == "EXC101"]
    assert set(ended["service"]) == {f"exception from {rule} for email.*" for rule in ("TLS102", "TLS103")}
    assert {team for team in ("mail team", "other team") if ended["reason"].str.contains(team).any()} == {
        "mail team",
        "other team",
    }
    assert result.manifest["counts"]["findings"] == len(result.findings)


DATED = """
id = "dated"
title = "Dated"
edition = "1"
source = "our handbook"
retrieved = 2026-03-01

[[rule]]
code = "OWN101"
title = "TLS 1.3"
check = "tls-version"
severity = "high"
applies_to = "all"
what = "TLS 1.3 or later is negotiated."
why = "It is what we agreed on."
fix = "Use TLS 1.3."
source = "our handbook"
begins = 2026-03-01
ends = 2026-03-31
parameters = { minimum = "TLS 1.3" }
"""
EXEMPT = """
[[exception]]
rule = "OWN101"
client = "10.0.0.0/8"
owner = "network team"
reason = "the old printer"
expires = 2026-03-31
"""


def first_packets_at(*times: datetime) -> bytes:
    """A capture of flows with TLS 1.2 that begin at these times, or a nanosecond before the next second."""
    packets = []
    for number, time in enumerate(times):
        talk = wire.Talk(sport=40_000 + number).open()
        talk.play([("c", wire.record(22, wire.client_hello())), ("s", wire.record(22, wire.server_hello()))])
        begun = int(time.timestamp()) * wire.SECOND + (wire.SECOND - 1 if time.microsecond else 0)
        packets += [(begun + k, packet) for k, packet in enumerate(talk.packets)]
    return wire.pcap(packets, nanoseconds=True)


LAST, NEXT = datetime(2026, 3, 31, 23, 59, 59, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
BEFORE, FIRST = datetime(2026, 2, 28, 23, 59, 59, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def verdicts_of(result: auditor.Audit) -> list[str]:
    """What the rule says of each flow, in the order of their beginnings; a dash where it is not about one."""
    said = result.verdicts.set_index("flow_id")["verdict"].astype(str).to_dict()
    return [said.get(flow, "-") for flow in result.flows["flow_id"]]


def test_a_rule_holds_from_its_first_to_its_last_day(audit_bytes: Any, tmp_path: Path) -> None:
    """The first and the last nanosecond of these days (UTC) count, those beside them do not; so with a day asked for."""
    (tmp_path / "dated.toml").write_text(DATED)
    data = first_packets_at(BEFORE, FIRST, LAST, NEXT)
    assert verdicts_of(audit_bytes(data, policy=tmp_path / "dated.toml")) == ["-", "fail", "fail", "-"]
    for day, said in ((BEFORE, "-"), (FIRST, "fail"), (LAST, "fail"), (NEXT, "-")):
        result = audit_bytes(data, policy=tmp_path / "dated.toml", as_of=day.date())
        assert verdicts_of(result) == [said] * 4, day


def test_an_exception_holds_to_its_last_day(audit_bytes: Any, tmp_path: Path) -> None:
    """To the last nanosecond of its day (UTC) flows are exempt; those of the day after fail, and that is a finding."""
    (tmp_path / "dated.toml").write_text(DATED.replace("ends = 2026-03-31\n", "") + EXEMPT)
    result = audit_bytes(first_packets_at(LAST, NEXT), policy=tmp_path / "dated.toml")
    assert verdicts_of(result) == ["not_applicable", "fail"]
    assert result.findings.set_index("rule")["flows"].to_dict() == {"OWN101": 1, "EXC101": 1}
    for day, said in ((LAST, "not_applicable"), (NEXT, "fail")):
        result = audit_bytes(first_packets_at(LAST, NEXT), policy=tmp_path / "dated.toml", as_of=day.date())
        assert verdicts_of(result) == [said] * 2, day
        assert ("EXC101" in set(result.findings["rule"])) is (said == "fail")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('code = "API101"', 'code = "API999"'), r"change\[1\].code: no rule API999 is extended"),
        (('"aws-pinpoint"', '"aws-pinpiont"'), "extends: aws-pinpiont: no such policy"),
        (('"aws-pinpoint"', '"p.toml"'), "a circle"),
        (('rule = "TLS101"', 'rule = "TLS999"'), r"exception\[0\].rule: no rule TLS999"),
        (('client = "10.20.2.50/32"', 'client = "10.20"'), "exception.*is no prefix"),
        (('client = "10.20.2.50/32"\n', ""), "give server or client"),
        (("expires = 2027-03-31", 'expires = "soon"'), "exception.*expires"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    """What is wrong in a layer is said with the file and the key."""
    (tmp_path / "p.toml").write_text(OWN.replace(*change))
    with pytest.raises(auditor.PolicyError, match=words) as caught:
        library.get(tmp_path / "p.toml")
    assert "p.toml" in str(caught.value)


def test_properties_of_suites() -> None:
    """Suites have the properties that their names say."""
    known = {name: one for name in (suite.name for suite in suites().values()) if (one := properties(name)) is not None}
    assert properties(None) is None
    assert properties("TLS_NO_SUCH_SUITE") is None
    one = known["TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"]
    assert (one.cipher, one.mode, one.mac, one.bits, one.export) == ("DES40", "CBC", "SHA", 40, True)
    assert known["TLS_AES_128_CCM_8_SHA256"].mode == "CCM_8"
    assert known["TLS_AES_128_GCM_SHA256"].bits == 128
    assert known["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"].mac == "AEAD"
    assert known["TLS_RSA_WITH_3DES_EDE_CBC_SHA"].bits == 112
    assert known["TLS_DH_anon_WITH_AES_128_CBC_SHA"].anonymous
    assert known["TLS_RSA_WITH_NULL_SHA256"].bits == 0
    assert {suite.recommended for suite in known.values()} <= {"Y", "N", "D", ""}
    assert sum(suite.recommended == "Y" for suite in known.values()) == 14


def test_distinct_facts_keep_every_difference() -> None:
    """Combinations of facts are distinguished, whichever fact differs."""
    from auditor.tables.columns import Texts

    base = {name: getattr(facts(), name) for name in NAMES}
    for name in NAMES:
        value = base[name]
        changed = (
            np.array(["something else"], object)
            if value.dtype == object
            else value + 1
            if value.dtype != bool
            else ~value
        )
        both = {key: np.concatenate([column, changed if key == name else column]) for key, column in base.items()}
        texts: Any = {key: Texts.of(column) if column.dtype == object else column for key, column in both.items()}
        rows, index = distinct(texts, NAMES)
        assert len(rows) == 2, name
        assert index.tolist() == [0, 1]


def test_what_captures_lack(tmp_path: Path) -> None:
    """Losses of a capture are a finding of it, a handshake that it lacks one of the flows; whole captures have none."""
    whole = auditor.audit(SAMPLES / "tls1.2.pcapng", policy="capture-quality")
    assert len(whole.findings) == 0
    assert set(whole.verdicts["verdict"].astype(str)) == {"pass"}
    hello = wire.record(22, wire.client_hello())
    answer = wire.record(22, wire.server_hello())
    flights = [("c", hello), ("s", answer), *[("c", wire.record(23, bytes(900)))] * 3]
    packets = wire.Talk().open().play(flights).close().packets
    late = tmp_path / "late.pcap"
    late.write_bytes(wire.pcap(packets[5:], snap=400)[:-3])
    result = auditor.audit(late, policy="capture-quality", topology=None)
    by_rule = result.findings.set_index("rule")
    reason = str(by_rule.loc["CAP102", "reason"])
    assert "3 packets are cut off by the snapshot length" in reason
    assert "the file is truncated at byte " in reason
    assert by_rule.loc["CAP102", "service"] == str(late)
    assert result.explain_finding("CAP102-1").startswith("CAP102-1: Captures without losses")
    both = tmp_path / "one_way.pcap"
    both.write_bytes(wire.pcap([*packets[:4], *packets[5:]]))
    missing = auditor.audit(both, policy="capture-quality").findings.set_index("rule")
    assert missing.loc["CAP101", "reason"] == "part of the server's side is missing from the capture"


def test_a_policy_of_before_says_how_to_fix_under_the_old_name(tmp_path: Path) -> None:
    """``mend``, as files of version 0.1 have it, is taken for ``fix``."""
    rule = (
        '[[rule]]\ncode = "OUR101"\ntitle = "T"\ncheck = "tls-version"\nseverity = "low"\n'
        'what = "W"\nwhy = "Y"\nfix = "F"\nsource = "S"\n'
    )
    head = OWN[: OWN.index("[[")]
    (tmp_path / "now.toml").write_text(head + rule)
    (tmp_path / "before.toml").write_text(head + rule.replace("fix =", "mend ="))
    before, now = (library.get(tmp_path / f"{name}.toml") for name in ("before", "now"))
    assert before == now
    assert next(one for one in now.rule if one.code == "OUR101").fix == "F"


def _iana(name: str) -> str:
    """A suite's name in IANA's spelling, of that which OpenSSL has for it."""
    if name.startswith("TLS_"):
        return name
    keys, _, rest = name.rpartition("AES")
    mode = re.sub(r"^(\d+)-(GCM-)?SHA", lambda match: f"{match[1]}_{'GCM' if match[2] else 'CBC'}_SHA", rest)
    return f"TLS_{keys.rstrip('-').replace('-', '_') or 'RSA'}_WITH_AES_{mode}"


def test_lists_of_load_balancers_are_those_of_another_source() -> None:
    """What policies of load balancers accept is what moto, which has it from AWS's own tables, says, where both are verified."""
    from moto.elbv2.ssl_policies import SSL_POLICIES

    compared = 0
    for ours, theirs in aws_tls.names().items():
        rules = aws_tls.document(ours)["rule"]
        if theirs in SSL_POLICIES and theirs.endswith(("-2021-06", "-2025-09")) and rules[0]["certainty"] == "verified":
            listed = {_iana(name) for name in SSL_POLICIES[theirs]["ciphers"]}
            assert set(rules[1]["parameters"]["allow"]["name"]) == listed, theirs
            compared += 1
    assert compared == 12


def test_policies_for_cnsa() -> None:
    """Load balancers' policies for RFC 9151 are there: strict ones with P-384 and AES-256 alone, others with their groups."""
    strict: list[list[Any]] = []
    interop: list[list[Any]] = []
    for ours, theirs in aws_tls.names().items():
        if "RFC9151" in theirs:
            rules = [rule for rule in aws_tls.document(ours)["rule"] if rule["code"] in ("ELB101", "ELB102", "ELB103")]
            allowed = [rule["parameters"].get("allow", {}) for rule in rules]
            (interop if "INTEROP" in theirs else strict).append(allowed)
    assert (len(strict), len(interop)) == (3, 4)
    for _, accepted, groups in strict:
        assert groups == ["secp384r1"]
        assert all("AES_256_GCM_SHA384" in name for name in accepted["name"])
    assert all(groups == ["secp384r1", "secp256r1", "secp521r1"] for *_, groups in interop)


def test_aws_policies_judge_signature_schemes() -> None:
    """What AWS's lists have of schemes is judged to TLS 1.2 by IANA's names; those that take SHA-1 take what is older, too."""
    known = {signature_name(code) for code in range(1 << 16)}
    judged = 0
    for name in aws_tls.names():
        for rule in library.get(name).rule:
            if rule.check != "signature-schemes":
                continue
            allowed = set(rule.parameters["allow"])
            assert allowed <= known, name
            takes_sha1 = "rsa_pkcs1_sha1" in allowed
            old = {"suite": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "signature_scheme": None, **TLS_1_1}
            assert verdict(rule, **old) == ("pass" if takes_sha1 else "fail"), name
            for scheme in ("rsa_pkcs1_sha1", "rsa_pkcs1_sha384", "rsa_pss_rsae_sha256", "0x0104", "0xFEFE", "ed25519"):
                expected = "pass" if scheme in allowed else "fail"
                assert verdict(rule, signature_scheme=scheme, **TLS_1_2) == expected, (name, scheme)
            assert verdict(rule) == "not_applicable"  # TLS 1.3: encrypted
            judged += 1
    assert judged == 38  # snapshots, and the seven lists for RFC 9151


HYBRIDS = {"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"}  # as AWS's page has them


@pytest.mark.parametrize("name", [name for name in aws_tls.names() if "tls13" in name or "apigateway" in name])
def test_groups_of_listeners(name: str) -> None:
    """Policies with PQ in their names take hybrids, others do not; with FIPS no X25519 alone; nobody takes drafts and weak curves."""
    rule = next(rule for rule in library.get(name).rule if rule.check == "groups")
    taken = {group for group, _ in named_groups().values() if verdict(rule, group=group) == "pass"}
    refused = {
        "X25519Kyber768Draft00",
        "SecP256r1Kyber768Draft00",
        "MLKEM512",
        "MLKEM768",
        "x448",
        "secp256k1",
        "secp192r1",
    }
    assert not taken & (refused | {"brainpoolP256r1", "ffdhe2048", "ffdhe3072", "secp224r1", "sect283k1"})
    assert "secp384r1" in taken
    if "cnsa2" in name:
        assert taken & (HYBRIDS | {"MLKEM1024"}) == {"MLKEM1024"}
    elif "edge" in name:
        assert taken & HYBRIDS == HYBRIDS - {"SecP384r1MLKEM1024"}
    else:
        assert taken & HYBRIDS == (HYBRIDS if "-pq-" in name else set())
    assert ("x25519" in taken) == ("fips" not in name)


def test_certificates_of_load_balancers() -> None:
    """Where AWS's list names schemes of signatures under certificates, the chain's are among them."""
    found = {}
    for name in aws_tls.names():
        rule = next((rule for rule in library.get(name).rule if rule.check == "certificate-strength"), None)
        if rule is not None:
            signed = (
                "ecdsa-with-SHA384",
                "ecdsa-with-SHA256",
                "rsassaPss (sha512)",
                "ML-DSA-87",
                "sha1WithRSAEncryption",
                "Ed25519",
            )
            found[name] = {one for one in signed if verdict(rule, certificates=f"ecdsa\tsecp384r1\t{one}") == "pass"}
    assert len(found) == 10
    for name, taken in found.items():
        usual = {"ecdsa-with-SHA384", "ecdsa-with-SHA256", "rsassaPss (sha512)"}
        expected = usual if "interop" in name else {"ecdsa-with-SHA384"}
        assert taken == (expected | {"ML-DSA-87"} if "cnsa2" in name else expected), name


def test_old_load_balancers_sign_without_pss() -> None:
    """Lists of before TLS 1.3 have no RSA-PSS: a key exchange signed so in TLS 1.2 is none of an endpoint with such a policy."""
    for name in ("aws-elb-2016-08", "aws-elb-fs-1-2-res-2019-08", "aws-kms-tls-1-0-2018-10"):
        rule = next(rule for rule in library.get(name).rule if rule.check == "signature-schemes")
        signed = {
            one: verdict(rule, signature_scheme=one, **TLS_1_2) for one in ("rsa_pkcs1_sha512", "rsa_pss_rsae_sha256")
        }
        assert signed == {"rsa_pkcs1_sha512": "pass", "rsa_pss_rsae_sha256": "fail"}


@pytest.mark.parametrize(
    ("check", "lacks"),
    [
        ("certificate-strength", "no certificate"),
        ("groups", "no key exchange"),
        ("signature-schemes", "nothing is signed"),
    ],
)
def test_what_a_resumed_handshake_lacks(check: str, lacks: str) -> None:
    """Of a handshake that resumes another one it is told that nothing was sent, not that it is encrypted or lost."""
    rule = next(one for one in library.get("nist-800-52r2").rule if one.check == check)
    given = facts(
        resumption="ticket", group=None, certificates=None, signature_scheme=None,
        suite="TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", **TLS_1_2,
    )  # fmt: skip
    answer = CHECKS[rule.check].function(given, rule.required, rule.parameters)
    assert VERDICTS[int(answer.verdict[0])] == "not_observable"
    assert str(answer.reason[0]).startswith(lacks)
