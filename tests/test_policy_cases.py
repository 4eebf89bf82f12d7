"""The cases of ``AUDITOR_CASES``/policies: what each policy must refuse, warn of or let pass, by client port."""

import io
import json
import os
from datetime import date
from functools import cache
from pathlib import Path

import pytest

import auditor
from auditor.policy import library
from auditor.report.formats import FORMS
from tests.conftest import ROOT

CASES = Path(os.environ.get("AUDITOR_CASES", ROOT.parent / "shared" / "cases")) / "policies"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES}; set AUDITOR_CASES")
SEVEN = (
    "aws-pinpoint",
    "nist-800-52r2",
    "pci-dss-4.0.1",
    "bsi-tr-02102-2",
    "anssi",
    "rfc9325",
    "mozilla-intermediate-5.7",
)
FOUR = ("aws-pinpoint", "nist-800-52r2", "pci-dss-4.0.1", "rfc9325")
# Case -> policies, the port that each of them refuses or warns of, and the one that none of the same rules does.
REFUSED = {
    "weak-dh-1024": (SEVEN, 41000, 41001),
    "weak-dh-512": (SEVEN, 41000, 41001),
    "null-cipher": (FOUR, 41000, 41001),
    "anonymous-suite": (FOUR, 41000, 41001),
    "integrity-only-tls13": (FOUR, 41000, 41001),
    "psk-only-tls13": (("aws-pinpoint", "anssi", "nist-800-52r2", "bsi-tr-02102-2"), 41000, 41001),
    "chain-intermediate-sha1": (("nist-800-52r2", "rfc9325", "pci-dss-4.0.1"), 41001, 41000),
    "certificate-ed25519-cnsa": (("cnsa-1.0",), 41000, 41001),
    "certificate-p192": (("pci-dss-4.0.1", "rfc9325", "bsi-tr-02102-2", "nist-800-52r2"), 41000, 41001),
    "group-secp192r1": (("rfc9325", "pci-dss-4.0.1"), 41000, 41001),
    "signature-sha1": (("nist-800-52r2", "bsi-tr-02102-2", "pci-dss-4.0.1", "anssi"), 41000, 41001),
    "early-data": (("nist-800-52r2", "bsi-tr-02102-2"), 41000, 41001),
    "rfc10015-before-its-date": (("rfc10015",), 41000, 41001),
}
FIPS = {
    "fips-names-refused": {41000: "pass", 41001: "pass", 41002: "pass", 41003: "pass", 41004: "fail"},
    "fips-names-govcloud": {41000: "fail", 41001: "fail", 41002: "pass"},
}


@cache
def audited(case: str, policies: tuple[str, ...], as_of: date | None = None) -> auditor.Audit:
    site = CASES / case / "site.toml"
    topology = site if site.exists() else None
    return auditor.audit(CASES / case / "capture.pcap", policy=list(policies), as_of=as_of, topology=topology)


def verdicts(told: auditor.Audit, port: int) -> dict[str, str]:
    """The verdict of each rule on the flow of a client port."""
    flow = next(row["flow_id"] for row in told.rows("flows", "flow_id", "client_port") if row["client_port"] == port)
    rows = told.rows("verdicts", "flow_id", "rule", "verdict")
    return {row["rule"]: row["verdict"] for row in rows if row["flow_id"] == flow}


@pytest.mark.parametrize(("case", "policy"), [(case, name) for case, (names, *_) in REFUSED.items() for name in names])
def test_what_a_source_refuses_is_refused(case: str, policy: str) -> None:
    """Of each case's two flows some rule of the policy refuses, or warns of, the bad one and not the good one."""
    names, bad, good = REFUSED[case]
    told = audited(case, names, date(2026, 6, 30) if case == "rfc10015-before-its-date" else None)
    one, two = verdicts(told, bad), verdicts(told, good)
    codes = [rule.code for rule in library.get(policy).rule]
    assert [code for code in codes if one.get(code) in ("fail", "warn") and two.get(code) not in ("fail", "warn")]


@pytest.mark.parametrize("case", ["null-cipher", "integrity-only-tls13"])
def test_nothing_says_that_it_is_encrypted(case: str) -> None:
    """A suite without encryption meets no rule about encryption."""
    told = verdicts(audited(case, FOUR), 41000)
    assert {told[code] for code in ("NET101", "PCI105")} == {"fail"}


def test_dtls_is_judged_as_tls() -> None:
    """Every rule says of DTLS 1.2 what it says of the same handshake over TLS 1.2, but for what TCP alone shows."""
    told = audited("dtls12-version", SEVEN)
    one, two = verdicts(told, 41000), verdicts(told, 41001)
    differing = {code for code in one if one[code] != two[code]} - {"REQ101"}
    assert not differing


def test_cnsa_suites() -> None:
    """RFC 9151's suites pass; DSS, and a signature with SHA-256, do not."""
    told = audited("cnsa-suites", ("cnsa-1.0",))
    found = {port: "fail" in verdicts(told, port).values() for port in (41000, 41001, 41002, 41003)}
    assert found == {41000: False, 41001: True, 41002: True, 41003: False}


def test_a_flow_that_nothing_judged_does_not_pass() -> None:
    """SSL 3.0 over Direct Connect, which no rule of TLS is about, is not said to be in order."""
    told = audited("verdict-without-a-rule", ("aws-pinpoint",))
    assert {row["verdict"] for row in told.rows("flows", "verdict")} == {"not_applicable"}


def test_identity_hints_are_skipped() -> None:
    """The groups of DHE_PSK and ECDHE_PSK are those behind the hint, and nothing is signed."""
    told = audited("psk-identity-hint", ("rfc9325",))
    rows = list(told.rows("handshakes", "key_exchange_group", "signature_scheme"))
    assert [row["key_exchange_group"] for row in rows] == ["dh3072", "secp256r1"]
    assert {row["signature_scheme"] for row in rows} == {None}


def test_policies_of_load_balancers() -> None:
    """ELBSecurityPolicy-TLS13-1-2-2021-06 accepts TLS 1.3 and CBC with SHA-256, not CBC with SHA-1."""
    told = audited("elb-tls13-policies", ("aws-elb-tls13-1-2-2021-06",))
    found = {port: "fail" in verdicts(told, port).values() for port in (41000, 41001, 41002)}
    assert found == {41000: False, 41001: False, 41002: True}
    assert "aws-elb-tls13-1-2-res-pq-2025-09" in library.shipped()


@pytest.mark.parametrize(("case", "expected"), FIPS.items())
def test_fips_names(case: str, expected: dict[int, str]) -> None:
    """A name passes exactly where AWS lists it as a FIPS endpoint."""
    told = audited(case, ("fips-endpoints",))
    assert {port: verdicts(told, port)["FIPS101"] for port in expected} == expected


def test_names_that_do_not_end_in_a_region() -> None:
    """Global names, older names of S3 and those of GovCloud have the right service, Region and partition."""
    told = audited("names-partition-service", ("fips-endpoints",))
    rows = [tuple(row.values()) for row in told.rows("flows", "service", "region", "partition")]
    assert rows == [("iam", None, "aws-us-gov"), ("ses", None, "aws"), ("s3", "us-west-2", "aws")]


def written(told: auditor.Audit, form: str) -> str:
    out = io.BytesIO()
    FORMS[form].write(told, out)
    return out.getvalue().decode()


@pytest.mark.parametrize("form", ["asff", "ocsf"])
def test_ids_name_the_same_finding_in_every_run(form: str) -> None:
    """An id that one and two captures both have stands for the same finding, and no two findings share one."""

    def ids(*names: str) -> dict[str, str]:
        text = written(auditor.audit([CASES / "finding-ids" / name for name in names]), form)
        rows = json.loads(text) if form == "asff" else [json.loads(line) for line in text.splitlines()]
        if form == "asff":
            pairs = [(row["Id"], row["Description"]) for row in rows]
        else:
            pairs = [(row["finding_info"]["uid"], row["finding_info"]["desc"]) for row in rows if "finding_info" in row]
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    alone, both = ids("a.pcap"), ids("a.pcap", "b.pcap")
    assert alone
    assert not [one for one, text in alone.items() if one in both and both[one] != text]


def test_ocsf_has_no_nulls() -> None:
    """What is not known is left out, in lists too."""
    assert "null" not in written(audited("ocsf-no-region", ("aws-pinpoint",)), "ocsf")


def test_a_finding_over_two_captures_keeps_the_evidence_of_both(tmp_path: Path) -> None:
    """Forms and extract name both captures, and have flows of both."""
    from scapy.layers.inet import TCP
    from scapy.layers.l2 import Ether
    from scapy.utils import rdpcap

    folder = CASES / "finding-over-two-captures"
    told = auditor.audit([folder / "first.pcap", folder / "second.pcap"])
    found = next(row["finding_id"] for row in told.rows("findings", "finding_id", "rule") if row["rule"] == "TLS101")
    for form in ("sarif", "ocsf", "asff"):
        text = written(told, form)
        assert "first.pcap" in text
        assert "second.pcap" in text
    told.extract(found, tmp_path / "evidence.pcapng")
    packets = rdpcap(str(tmp_path / "evidence.pcapng"))
    ports = {packet[TCP].sport for packet in packets if Ether in packet}
    assert {47100, 47200} <= ports


@pytest.mark.parametrize("form", ["cbom", "cbom-1.7"])
def test_the_inventory_names_groups_signatures_and_keys(form: str) -> None:
    """The key exchange, the signature and the certificate's key each have a component."""
    text = written(audited("cbom-groups", ("aws-pinpoint",)), form)
    assert all(name in text for name in ("X25519MLKEM768", "secp384r1", "rsa_pss_rsae_sha384", "rsa 4096"))


def test_signing_of_requests() -> None:
    """A scope's day that is not the date's, a token that is not signed, and a bearer token to Pinpoint are faults."""
    told = audited("request-signing", ("aws-pinpoint",))
    found = {
        port: {code for code, one in verdicts(told, port).items() if one in ("fail", "warn") and code.startswith("REQ")}
        for port in (43000, 43001, 43002, 43003)
    }
    assert all(found[port] - found[43000] for port in (43001, 43002, 43003))


def test_a_name_of_aws_at_another_address_is_marked() -> None:
    """A client that asks 8.8.8.8 for Pinpoint is warned of, one that asks an address of AWS is not."""
    path = CASES.parent / "captures" / "51-name-of-aws-address-of-another" / "tls13-8.8.8.8.pcap"
    verdicts = [
        row["verdict"] for row in auditor.audit(path).rows("verdicts", "rule", "verdict") if row["rule"] == "NAME102"
    ]
    assert verdicts == ["warn"]
