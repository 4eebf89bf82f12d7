"""Rules as data: each has a page, a flow that meets it and one that does not, and says what it could not see."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_core import core_schema

import auditor
from auditor import settings
from auditor.cli import terminal
from auditor.paths.topology import Topology
from auditor.policy import (
    agreement_checks,
    certificate_checks,
    checks,
    fixes,
    library,
    model,
    name_checks,
    pages,
    path_checks,
    registry,
    request_checks,
    tls_checks,
)
from auditor.policy.check import Check
from auditor.policy.registry import CHECKS
from tests import wire
from tests.conftest import ROOT

DEFAULT = library.get("aws-pinpoint")
# rule -> (server name of a flow in the office sample, verdict), one good and one bad for each.
EXAMPLES = {
    "PTH101": [("203.0.113.11", "pass"), ("203.0.113.31", "warn")],
    "PTH102": [("203.0.113.11", "pass"), ("203.0.113.32", "warn")],
    "PTH103": [("203.0.113.11", "pass")],  # those that fail: tests/lab
    "PTH104": [("203.0.113.11", "not_applicable")],  # no sources are given there; others: tests/lab
    "PTH105": [("203.0.113.31", "not_applicable")],
    "PTH106": [("203.0.113.11", "pass")],
    "PTH107": [],
    "PTH108": [],
    "PTH109": [],
    "TLS101": [("10.20.1.10", "pass"), ("10.20.2.50", "fail"), ("203.0.113.22", "fail"), ("203.0.113.23", "fail")],
    "TLS102": [("203.0.113.12", "pass"), ("203.0.113.21", "fail"), ("203.0.113.23", "not_observable")],
    "TLS103": [("10.20.1.10", "pass"), ("203.0.113.21", "fail")],
    "TLS104": [("172.31.5.20", "pass"), ("172.31.5.21", "fail")],
    "TLS105": [("10.20.1.10", "pass")],  # one that does not get through: test_delivery
    "TLS106": [("10.20.1.10", "pass")],
    "TLS107": [("10.20.1.10", "pass")],
    "NET101": [("10.20.1.10", "pass"), ("203.0.113.33", "fail")],
    "REQ101": [("10.20.1.10", "not_observable")],  # requests that are seen: test_requests
    **{f"REQ{number}": [("10.20.1.10", "not_applicable")] for number in range(102, 114)},
    "API101": [("203.0.113.11", "not_applicable"), ("10.20.1.10", "warn")],
    "NAME101": [("203.0.113.34", "warn")],
    "NAME102": [],  # one that leads elsewhere: tests/test_paths.py
}


@pytest.mark.parametrize("code", [rule.code for rule in DEFAULT.rule])
def test_each_rule_on_the_office(office: Any, code: str) -> None:
    """Each rule says of the sample's good and bad clients what it should."""
    flows = office.flows.set_index("flow_id")
    verdicts = office.verdicts[office.verdicts["rule"] == code]
    by_client: dict[str, set[str]] = {}
    for row in verdicts.itertuples():
        by_client.setdefault(flows.loc[row.flow_id, "client_ip"], set()).add(str(row.verdict))
    for client, verdict in EXAMPLES[code]:
        assert by_client[client] == {verdict}, client


def test_every_verdict_has_a_reason(office: Any) -> None:
    """No verdict stands without a reason, and the worst is the flow's."""
    assert office.verdicts["reason"].notna().all()
    worst = office.verdicts.groupby("flow_id")["verdict"].max()
    flows = office.flows.set_index("flow_id")["verdict"]
    assert (flows.loc[worst.index].astype(str) == worst.astype(str)).all()
    assert set(flows.drop(worst.index).astype(str)) == {"not_applicable"}


def test_findings_name_their_packets(office: Any) -> None:
    """Each finding has flows, frames, times, clients and a service; the worst come first."""
    findings = office.findings
    assert (findings["sample_frames"].str.len() > 0).all()
    assert (findings["first_seen"] <= findings["last_seen"]).all()
    assert findings["severity"].is_monotonic_decreasing
    assert "pinpoint.us-east-1.amazonaws.com.login-check.example" in set(findings["service"])
    assert findings["finding_id"].is_unique


def test_required_turns_a_warning_into_a_failure(samples: Path, tmp_path: Path) -> None:
    """A policy of one's own with required = true makes the private path a must."""
    shipped = Path(auditor.__file__).parent / "data" / "policies" / "aws-pinpoint.toml"
    text = shipped.read_text().replace('id = "aws-pinpoint"', 'id = "mine"')
    head, tail = text.split('code = "PTH101"')
    (tmp_path / "mine.toml").write_text(
        f'{head}code = "PTH101"{tail.replace("required = false", "required = true", 1)}'
    )
    result = auditor.audit(samples / "office.pcapng", topology=samples / "site.toml", policy=tmp_path / "mine.toml")
    verdicts = result.verdicts[result.verdicts["rule"] == "PTH101"]["verdict"]
    assert "fail" in set(verdicts.astype(str))
    assert "warn" not in set(verdicts.astype(str))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('check = "tls-version"', 'check = "tls-versions"'), "no check is named 'tls-versions'"),
        (('minimum = "TLS 1.2"', 'least = "TLS 1.2"'), "has no parameter least"),
        (('severity = "high"', 'severity = "bad"'), "severity"),
        (('code = "TLS101"', 'code = "tls"'), "code 'tls'"),
    ],
)
def test_policy_errors_name_the_key(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    """What is wrong in a policy file is said with the file and the key."""
    shipped = Path(auditor.__file__).parent / "data" / "policies" / "aws-pinpoint.toml"
    (tmp_path / "p.toml").write_text(shipped.read_text().replace(*change))
    with pytest.raises(auditor.PolicyError, match=r"p\.toml: rule\[\d\]") as caught:
        library.get(tmp_path / "p.toml")
    assert words in str(caught.value)


def test_a_rule_that_never_holds_is_refused(tmp_path: Path) -> None:
    """A rule that ends before it begins would pass everything."""
    shipped = Path(auditor.__file__).parent / "data" / "policies" / "rfc10015.toml"
    (tmp_path / "p.toml").write_text(
        shipped.read_text().replace("begins = 2026-07-01", "begins = 2026-07-01\nends = 2026-06-01", 1)
    )
    with pytest.raises(
        auditor.PolicyError, match="begins on 2026-07-01 and ends before, on 2026-06-01: it never holds"
    ):
        library.get(tmp_path / "p.toml")


@pytest.mark.parametrize("server", ["*.EXAMPLE.org", "www.example.org.", "www.*"])
def test_servers_of_exceptions(server: str) -> None:
    """Names are compared as the DNS does: in any case, and whether or not the root is written."""
    exempt = model.Exemption(rule="TLS101", owner="o", reason="r", expires=date(2026, 12, 31), server=server)
    assert exempt.fits_server("www.example.org")
    assert not exempt.fits_server("other.example.org.evil.test")


def test_an_unknown_policy_lists_the_known(samples: Path) -> None:
    """A name that is neither policy nor file is answered with the shipped names."""
    with pytest.raises(auditor.PolicyError, match="shipped policies are anssi, aws-pinpoint"):
        auditor.audit(samples / "tls1.2.pcapng", policy="pci")


def test_every_check_is_used_and_every_rule_explained() -> None:
    """The shipped policies use every check, and every rule has its page."""
    used = {rule.check for name in library.shipped() for rule in library.get(name).rule}
    assert used | {"exceptions"} == set(CHECKS)
    for rule in DEFAULT.rule:
        assert all(len(text) > 20 for text in (rule.what, rule.why, rule.fix, rule.source)), rule.code
    assert set(EXAMPLES) == {rule.code for rule in DEFAULT.rule}


def test_every_check_is_listed_once() -> None:
    """Each check of the modules that hold checks is in the registry, under a name of its own."""
    modules = (agreement_checks, certificate_checks, checks, name_checks, path_checks, request_checks, tls_checks)
    written = [check for module in modules for check in vars(module).values() if isinstance(check, Check)]
    assert len(written) >= 40
    assert sorted(check.name for check in written) == sorted(CHECKS)
    assert len(registry.EVERY) == len(CHECKS)


def test_ways_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    """The advice for a check is given with every rule that uses it: at the terminal and in the results."""
    ways = fixes._ways()
    assert set(ways) <= set(CHECKS)
    assert {place for some in ways.values() for place in some} == {"AWS", "boto3", "OpenSSL", "ELB", "CloudFront"}
    terminal.show_rule(pages.page("PCI101"))
    shown = " ".join(capsys.readouterr().out.split())
    for place, way in ways["tls-version"].items():
        assert f"{place}: {way}" in shown
    result = auditor.audit(ROOT / "captures" / "tls1.pcapng")
    assert "  OpenSSL: In openssl.cnf: MinProtocol = TLSv1.2" in result.explain_finding("TLS101-1")


@pytest.mark.parametrize(
    ("time", "verdict"),
    [(datetime(2026, 10, 29, 23, 59, 59, tzinfo=UTC), "pass"), (datetime(2026, 10, 30, tzinfo=UTC), "warn")],
)
def test_the_end_of_support_is_noticed_from_its_day_on(audit_bytes: Any, time: datetime, verdict: str) -> None:
    """A flow to Pinpoint meets the rule until 29 October 2026, and is reported from the 30th on."""
    hello = wire.record(22, wire.client_hello())
    packets = [
        (int(time.timestamp()) * wire.SECOND + k, p)
        for k, p in enumerate(wire.Talk().open().play([("c", hello)]).packets)
    ]
    verdicts = audit_bytes(wire.pcap(packets)).verdicts.set_index("rule")["verdict"]
    assert verdicts["API101"] == verdict


def _is_part(ours: Any, theirs: Any) -> bool:
    """Whether all that one description says is in another one."""
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(key in theirs and _is_part(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(_is_part, ours, theirs))
    return bool(ours == theirs)


@pytest.mark.parametrize("kind", [model.Policy, Topology])
def test_files_are_described_as_pydantic_would(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What pydantic's validators are told of a file is what pydantic makes of the same annotations."""

    def before(mark: settings.Before, source: Any, handler: Any) -> Any:
        return core_schema.no_info_before_validator_function(mark.change, handler(source))

    def after(mark: settings.After, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(mark.check, handler(source))

    for mark, hook in ((settings.Before, before), (settings.After, after)):
        monkeypatch.setattr(mark, "__get_pydantic_core_schema__", hook, raising=False)
    monkeypatch.setattr(settings.Strict, "__pydantic_config__", {"extra": "forbid"}, raising=False)
    assert _is_part(settings._section(kind), TypeAdapter(kind).core_schema)


def test_files_have_values_of_known_types() -> None:
    """A section whose key has a type that no file's value is described by is refused whatever the file holds."""

    @dataclass(frozen=True)
    class Odd(settings.Strict):
        number: complex

    with pytest.raises(TypeError, match="complex"):
        settings.validated(Odd, {"number": 1})
