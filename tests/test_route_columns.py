"""Routing tables of hosts and of further routers: what is theirs alone (see ``test_route_texts`` for what all have)."""

import json
from pathlib import Path

import pytest

import auditor
from auditor.prefixes import parse_address
from tests.route_tables import INTERNET, ISP, TEXTS, hop_to


@pytest.mark.parametrize(
    "text",
    [
        (
            f"{INTERNET}default            {ISP}        UGS        igb2\n\nInternet6:\n"
            "Destination   Gateway       Flags  Netif Expire\n2001:db8::/32 2001:db8:ff::1 UGS   igb1\n"
        ),
        (
            "Destination                    Next Hop                   Flag Met Ref Use If\n"
            "2001:db8::/32                  2001:db8:ff::1             UG   20  0     0 eth1\n"
            "2001:db8::/32                  2001:db8:ff::2             UG   90  0     0 eth2\n"
        ),
        " If Metric Network Destination      Gateway\n 12    281 2001:db8::/32\n                                   2001:db8:ff::1\n",
    ],
)
def test_next_hops_of_ipv6(tmp_path: Path, text: str) -> None:
    """Hosts print IPv6 in a table of its own, Windows a long destination on a line of its own."""
    assert hop_to(tmp_path, text, "2001:db8::1").next_hop == parse_address("2001:db8:ff::1")


@pytest.mark.parametrize("text", [TEXTS["GoBGP"], TEXTS["GoBGP, JSON"], TEXTS["OpenBGPD"], TEXTS["OpenBGPD, JSON"]])
def test_as_paths(tmp_path: Path, text: str) -> None:
    """The AS path of a route is that which the speaker prints, and nothing that stands beside it."""
    assert hop_to(tmp_path, text, "52.94.5.10").as_path == (7224,)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"TABLE_vrf": {}}, "NX-OS: give what `show ip route` prints"),
        ({"route-information": []}, "Junos: give what `show route` prints"),
        ({"vrfs": {"blue": {"routes": {}}, "red": {"routes": {}}}}, "VRFs blue, red: give those of one"),
    ],
)
def test_what_is_refused_by_name(tmp_path: Path, data: object, words: str) -> None:
    """JSON of other systems, and of several VRFs without a default one, is refused with what to give instead."""
    with pytest.raises(auditor.InputError, match=words):
        hop_to(tmp_path, json.dumps(data), "10.0.0.1")
