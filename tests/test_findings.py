"""Findings are reported in tens: by rule, client network and service, however many flows, clients and servers there are."""

import ipaddress
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.flows.oriented import address_text
from auditor.policy import findings, library
from auditor.policy import gathered as gathering
from auditor.policy.check import FAIL, PASS, WARN
from auditor.policy.findings import OTHERS, Subject, findings_table
from auditor.policy.gathered import Findings
from auditor.prefixes import V4_MAPPED

RULES = library.get("aws-pinpoint").rule
REASONS = np.array(["because", "for another reason"], object)


def subject(clients: Any, servers: Any, *, endpoint: bool = False, high: Any = None) -> Subject:
    """Flows from clients (as numbers of IPv4) to servers (as numbers), one a row; endpoints are of three services."""
    low = np.asarray(clients, np.uint64)
    low = low | np.uint64(V4_MAPPED) if high is None else low
    high = np.zeros(len(low), np.uint64) if high is None else np.asarray(high, np.uint64)
    servers = np.asarray(servers)
    about = servers % 3 if endpoint else servers
    return Subject(
        flow_id=np.arange(len(low)),
        started=np.arange(len(low)) + 1,
        server=lambda flow: f"s{servers[flow]}.example",
        server_number=np.unique(servers, return_inverse=True)[1],
        server_flow=np.unique(servers, return_index=True)[1],
        service=lambda flow: (
            (f"service{about[flow]}", "us-east-1") if endpoint else (f"s{servers[flow]}.example", None)
        ),
        group=np.unique(
            findings.networks(high, low) * np.uint64(1 << 20) + about.astype(np.uint64), return_inverse=True
        )[1],
        client=lambda flow: address_text(int(high[flow]), int(low[flow])),
        client_number=np.unique(high ^ low, return_inverse=True)[1],
        client_flow=np.unique(high ^ low, return_index=True)[1],
        client_high=high,
        client_low=low,
        frames=np.stack([np.arange(len(low)) * 2 + 1, np.zeros(len(low), np.int64)], axis=1),
        captures=["c"],
    )


def gathered(*batches: tuple[Subject, Any]) -> Findings:
    """All flows of each batch, with their verdicts, under one rule."""
    result = Findings()
    for batch, verdict in batches:
        every = np.arange(len(batch.flow_id))
        verdicts = np.full(len(every), verdict) if np.isscalar(verdict) else np.asarray(verdict)
        result.gather(RULES[0], every, verdicts, every % 2, REASONS, batch)
    return result


def test_servers_of_one_name_are_one() -> None:
    """Flows to a server whose name is another one's address are counted with those to that one, in one batch or in two."""
    for parts in ([[0, 1, 1]], [[0], [1, 1]]):
        batches = [subject([1] * len(servers), servers) for servers in parts]
        for one in batches:
            one.server, one.service = (lambda _: "10.0.0.1"), (lambda _: ("10.0.0.1", None))
        (found,) = gathered(*((one, FAIL) for one in batches)).ordered()
        assert found.servers == {"10.0.0.1": 3}


def test_many_flows_make_tens_of_findings() -> None:
    """Two hundred thousand failing flows from all of 10.0.0.0/8 to a thousand servers: at most 24 findings, and no flow is lost."""
    random = np.random.default_rng(1)
    batches = []
    for _ in range(16):
        clients = (10 << 24) + random.integers(0, 1 << 24, 12_500)
        batches.append((subject(clients, random.integers(0, 1000, 12_500) ** 2 // 1000), FAIL))
    collected = gathered(*batches)
    reported = collected.ordered()
    assert 1 < len(reported) <= 24
    assert sum(one.flows for one in reported) == 200_000
    assert [one.flows for one in reported] == sorted((one.flows for one in reported), reverse=True)
    assert sum(one.service == "(other services)" for one in reported) >= 1
    assert collected.capped
    assert all(one.reason({}).endswith(" (and 1 other reason)") for one in reported)


def test_networks_are_widened_only_where_there_are_many() -> None:
    """Few networks are reported by /24 and /64; with many the next width that makes few enough is taken, for both versions."""
    few = gathered((subject([0x0A010101, 0x0A010102, 0x0A010201], [1, 1, 1]), FAIL)).ordered()
    assert {findings.text_of(one.client): len(one.clients) for one in few if one.client} == {
        "10.1.1.0/24": 2,
        "10.1.2.0/24": 1,
    }
    many = gathered((subject(0x0A010000 + np.arange(0, 100 << 8, 256), np.zeros(100, int)), FAIL)).ordered()
    assert [(findings.text_of(one.client or (4, 0, 0)), one.flows) for one in many] == [("10.1.0.0/16", 100)]
    high = (0x20010DB8 << 32) + np.arange(100)
    six = gathered((subject(np.arange(100), np.zeros(100, int), high=high), FAIL)).ordered()
    assert [findings.text_of(one.client or (4, 0, 0)) for one in six] == ["2001:db8::/48"]


@pytest.mark.parametrize(("networks", "expected"), [(24, 24), (25, 1)])
def test_a_rule_has_at_most_24_findings(networks: int, expected: int) -> None:
    """24 client networks are reported one by one; with one more they are reported as the network around them all."""
    clients = 0x0A010000 + np.arange(networks) * 256
    assert len(gathered((subject(clients, np.zeros(networks, int)), FAIL)).ordered()) == expected


@pytest.mark.parametrize(("services", "expected", "others"), [(12, 12, 0), (13, 12, 2)])
def test_a_rule_has_at_most_12_services(services: int, expected: int, others: int) -> None:
    """12 services are reported one by one; with one more the two with the fewest flows are reported together."""
    flows = np.repeat(np.arange(services), np.arange(services) + 1)
    reported = gathered((subject(np.full(len(flows), 0x0A010101), flows), FAIL)).ordered()
    together = [one for one in reported if one.service == "(other services)"]
    assert len(reported) == expected
    assert [sorted(one.servers) for one in together] == ([["s0.example", "s1.example"]] if others else [])


def test_services_of_aws_stay_apart_from_servers() -> None:
    """Endpoints are one service whatever their names are; the servers are counted, and up to five named."""
    collected = gathered((subject(np.full(60, 0x0A010101), np.arange(60), endpoint=True), FAIL))
    reported = findings.findings_table(collected.ordered(), {RULES[0].code: "aws-pinpoint"}).to_pylist()
    assert [(row["service"], row["region"], row["servers"], row["flows"]) for row in reported] == [
        (f"service{k}", "us-east-1", 20, 20) for k in range(3)
    ]
    assert all(len(row["sample_servers"].split()) == 5 for row in reported)
    assert all(len(row["sample_flows"].split()) == 5 for row in reported)


def test_samples_and_times_are_those_of_the_group() -> None:
    """Sample flows come with their own frames, first and last are the group's, and failures stay apart from warnings."""
    batch = subject([0x0A010101] * 4, [1] * 4)
    reported = gathered((batch, [FAIL, WARN, FAIL, PASS])).ordered()
    assert [(one.verdict, one.sample_flows, one.frames, one.first, one.last) for one in reported] == [
        (FAIL, [0, 2], [1, 5], 1, 3),
        (WARN, [1], [3], 2, 2),
    ]


def test_the_order_of_batches_does_not_matter_for_what_is_reported() -> None:
    """The same flows in other batches make the same groups and counts."""
    random = np.random.default_rng(2)
    clients, servers = (10 << 24) + random.integers(0, 1 << 20, 4000), random.integers(0, 40, 4000)
    whole = gathered((subject(clients, servers), FAIL)).ordered()
    parts = gathered(*((subject(clients[at], servers[at]), FAIL) for at in np.split(np.arange(4000), 8))).ordered()
    assert {(one.service, one.client, one.flows) for one in whole} == {
        (one.service, one.client, one.flows) for one in parts
    }


def numbered(clients: Any, servers: Any, at: Any, *, endpoint: bool) -> Subject:
    """Some of many flows, which have their numbers and times among all."""
    some = subject(clients[at], servers[at], endpoint=endpoint)
    some.flow_id, some.started = at, at // 3 + 1
    some.frames = np.stack([2 * at + 1, np.zeros(len(at), np.int64)], axis=1)
    return some


@settings(max_examples=60)
@given(st.data())
def test_what_is_left_out_does_not_hang_by_the_order_of_arrival(data: st.DataObject) -> None:
    """The same findings come of the same flows in any order, batches and parts that are merged, however few groups are kept."""
    count = data.draw(st.integers(1, 120))
    draw = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    clients = (10 << 24) + draw.integers(0, data.draw(st.sampled_from([1, 1 << 9, 1 << 17, 1 << 26])), count)
    servers = draw.integers(0, data.draw(st.sampled_from([1, 6, 60])), count)
    endpoint, verdicts = data.draw(st.booleans()), draw.choice([FAIL, WARN], count)

    def reported(order: Any, cuts: list[int], parts: int) -> tuple[Any, bool]:
        some = [Findings() for _ in range(parts)]
        for number, at in enumerate(np.split(order, cuts)):
            if len(at):
                batch = numbered(clients, servers, at, endpoint=endpoint)
                some[number % parts].gather(RULES[0], np.arange(len(at)), verdicts[at], at % 2, REASONS, batch)
        whole = reduce(Findings.merge, (some[number] for number in draw.permutation(parts)))
        return findings_table(whole.ordered(), {}).to_pylist(), whole.capped

    with pytest.MonkeyPatch.context() as patch:
        most = data.draw(st.integers(1, 30))
        patch.setattr(gathering, "MOST_GATHERED", most)
        patch.setattr(gathering, "FIRST", data.draw(st.integers(1, most)))
        every = reported(np.arange(count), [], 1)
        cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=6)))
        assert reported(draw.permutation(count), cuts, data.draw(st.integers(1, 3))) == every
    assert sum(row["flows"] for row in every[0]) == count


@pytest.mark.parametrize("address", ["10.1.2.3", "203.0.113.255", "2001:db8:1:2:3::4", "::1"])
def test_client_groups_are_the_same_from_text_and_numbers(address: str) -> None:
    """What the tables say of a client is what findings say."""
    ip = ipaddress.ip_address(address)
    number = int(ip) if ip.version == 6 else V4_MAPPED | int(ip)
    network = findings.text_of(findings.network_of(number >> 64, number & (1 << 64) - 1))
    assert network == findings.client_group(address)
    assert ip in ipaddress.ip_network(network)


def test_who_has_most_flows_is_told() -> None:
    """A finding names the clients and servers with the most of its flows, each with how many, also in other services."""
    clients = [(10 << 24) + number for number in [7] * 5 + [8] * 3 + list(range(100, 200))]
    servers = [1] * 6 + [2] * 2 + list(range(3, 103))
    reported = findings_table(gathered((subject(clients, servers), FAIL)).ordered(), {}).to_pylist()
    others = next(row for row in reported if row["service"] == OTHERS)
    assert others["clients"] > 5
    assert len(others["top_clients"].split(", ")) == len(others["top_servers"].split(", ")) == 5
    first = next(row for row in reported if row["service"] == "s1.example")
    assert (first["service"], first["flows"], first["top_clients"]) == ("s1.example", 6, "10.0.0.7 (5), 10.0.0.8 (1)")
    assert first["top_servers"] == "s1.example (6)"


def test_counts_of_who_add_up() -> None:
    """Clients and servers counted in two parts are what both have, whichever comes first."""
    parts = [gathered((subject([(10 << 24) + 7] * count, [1] * count), FAIL)) for count in (2, 3)]
    for one, two in (parts, parts[::-1]):
        (row,) = findings_table(one.merge(two).ordered(), {}).to_pylist()
        assert (row["top_clients"], row["top_servers"]) == ("10.0.0.7 (5)", "s1.example (5)")
