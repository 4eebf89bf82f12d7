"""The sentence that answers, and the problems: true numbers, each flow counted once, nothing said of what nobody judged."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

import auditor
from auditor.report.answer import answer, is_judged, percent, way_of
from auditor.report.change import _by_address
from auditor.report.problems import _rank, in_short, problems
from auditor.tables.value_sets import SEVERITIES, VERDICTS
from tests import wire

PATHS = ("path", "path_confidence", "path_asymmetric", "path_out", "path_back")


def test_the_answer_counts_what_the_tables_hold(office: Any) -> None:
    """Every number of the answer is that of the table of flows: judged ones, ways, verdicts, endpoints of AWS."""
    said = answer(office)
    rows = [row for row in office.rows("flows", "verdict", "aws_endpoint", *PATHS) if is_judged(row["verdict"])]
    assert said.judged == len(rows)
    assert said.ways == Counter(way_of(row) for row in rows)
    assert said.verdicts == Counter(row["verdict"] for row in rows)
    assert said.to_aws == sum(row["aws_endpoint"] for row in rows)
    assert office.answer == (
        "Of 20 judged flows, 19 of them to AWS, 16 (80 %) provably took a private path, 1 did in one direction only "
        "and 3 did not; 7 fail, 8 have warnings and 5 could not be judged in full."
    )


def test_without_a_topology_nothing_is_private(samples: Any) -> None:
    """Where no frame proves a path, none is called private, and the answer says what would tell."""
    result = auditor.audit(samples / "tls1.2.pcapng")
    assert result.answer.startswith("Of 1 judged flow to AWS, none provably took a private path")
    assert "the path of 1 is unknown (a topology file would tell more)" in result.answer


def test_nothing_judged_is_said(audit_bytes: Any) -> None:
    """Without traffic that the rules are about, the answer is that nothing was judged, and what would judge it."""
    talk = wire.Talk().open().close()
    assert audit_bytes(wire.pcap(talk.packets)).answer == (
        "Nothing was judged: these policies are about traffic to AWS, of which there is none; --all judges everything."
    )
    assert audit_bytes(wire.pcap([])).answer == "Nothing was judged: no flow was seen."


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (9, 9, "100 %"), (1, 3, "33 %")],
)
def test_shares_are_never_rounded_to_all_or_nothing(part: int, whole: int, words: str) -> None:
    """A share is 0 or 100 % only where it is none or all."""
    assert percent(part, whole) == words


def test_problems_count_each_flow_once(office: Any) -> None:
    """A problem has the flows between its client network and service that fail or warn, each once, and all rules of these."""
    table = office.problems
    bad = office.verdicts[office.verdicts["verdict"].isin(["fail", "warn"])]
    assert table["flows"].sum() == bad["flow_id"].nunique()
    assert set(" ".join(table["rules"]).split()) == set(bad["rule"])
    assert set(" ".join(table["findings"]).split()) == set(office.findings["finding_id"])
    one = table[(table["client_group"] == "10.20.2.0/24")].iloc[0]
    assert (one["service"], one["region"], one["flows"]) == ("pinpoint", "us-east-1", 2)
    assert one["rules"] == "TLS101 TLS102 TLS103 API101"
    assert one["what"].startswith("TLS 1.0 negotiated, RSA key exchange")
    assert one["top_clients"] == "10.20.2.50 (2)"
    assert "captures/office.pcapng:168" in one["frames"].replace(
        str(office.captures["capture"][0]), "captures/office.pcapng"
    )


def test_problems_come_worst_first(office: Any) -> None:
    """Problems are in the order of severity, failures before warnings, most flows first."""
    ranks = [(SEVERITIES.index(one.severity), VERDICTS.index(one.verdict), one.flows) for one in problems(office)]
    assert ranks == sorted(ranks, reverse=True)


def test_networks_come_in_the_order_of_addresses(office: Any) -> None:
    """Where nothing else decides, problems and changes are listed by address, not by the letters of it; IPv4 first."""
    one = next(one for one in problems(office) if one.pair.client_group)
    groups = ["10.1.2.0/24", "10.1.10.0/24", "2001:db8:9::/64", "2001:db8:10::/64"]
    some = [replace(one, pair=one.pair._replace(client_group=group)) for group in sorted(groups)]
    assert [each.pair.client_group for each in sorted(some, key=_rank)] == groups
    keys = [("", "a"), *((group, "a") for group in groups)]
    assert sorted(sorted(keys), key=_by_address) == keys


def test_what_is_wrong_reads_as_a_list(office: Any) -> None:
    """Commas part what is wrong; semicolons do where one part but the last has a comma or colon inside."""
    one = problems(office)[0]
    for what, most, words in (
        (("TLS 1.0 negotiated", "RSA key exchange"), None, "TLS 1.0 negotiated, RSA key exchange"),
        (("TLS 1.0 negotiated", "RSA_NULL: 0 bits"), None, "TLS 1.0 negotiated, RSA_NULL: 0 bits"),
        (("in clear behind TLS: text", "RSA_NULL: 0 bits"), None, "in clear behind TLS: text; RSA_NULL: 0 bits"),
        (("in clear behind TLS: text", "RSA_NULL: 0 bits"), 1, "in clear behind TLS: text"),
    ):
        assert replace(one, what=what).what_words(most) == words


def test_no_problems_are_a_table_too(audit_bytes: Any) -> None:
    """Where nothing is wrong, the table of problems has its columns and no rows."""
    table = audit_bytes(wire.pcap([])).problems
    assert not len(table)
    assert {"severity", "client_group", "service", "rules", "flows"} <= set(table.columns)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLS 1.0 negotiated, TLS 1.2 is the least", "TLS 1.0 negotiated"),
        (
            "at 2026-11-25 14:07:26.411627 UTC: by direct-connect (dxvif-public1) before, by internet now (and 8 other reasons)",
            "by direct-connect before, by internet now",
        ),
        (
            (
                "at 2026-11-25 14:02:59.97 UTC, frame a.pcap:6, within the flow: by vpn before, by internet from then on, "
                "and as before again until frame a.pcap:7"
            ),
            "by vpn before, by internet from then on",
        ),
        ("went by internet: VLAN 200 and peer MAC 02:00:5e:00:02:01 of internet uplink isp", "went by internet"),
        ("pinpoint:GetApps: not signed (frame 359)", "pinpoint:GetApps: not signed"),
        ("pinpoint:GetApps: not signed (frame 9 of new/capture (2).pcap)", "pinpoint:GetApps: not signed"),
        ("pinpoint:GetApps: not signed (frame 9, and 2 more like it)", "pinpoint:GetApps: not signed"),
        ("pinpoint:GetApps: not signed (frame 9 of a.pcap, and 2 more like it)", "pinpoint:GetApps: not signed"),
        ("RSA key exchange (and 2 other reasons)", "RSA key exchange"),
        ("out: VLAN 102 and peer MAC 02:00:5e:00:01:02 of public virtual interface; back: VLAN 200", "not met: Title"),
    ],
)
def test_reasons_in_short(reason: str, words: str) -> None:
    """A reason in short keeps what is wrong, and leaves out frames and how it was proven."""
    assert in_short(reason, "Title") == words
    assert not re.search(r"frame \d", words)
