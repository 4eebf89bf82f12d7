"""Community ID: the standard's own test vectors, from packets to the table."""

import base64
import hashlib
import ipaddress
from typing import Any

import numpy as np
import pytest

from auditor.flows.community_id import community_ids
from auditor.prefixes import parse_address
from tests import wire

# Of the reference implementation's baseline (corelight/community-id-spec, seed 0): client, server, protocol, ports, id.
VECTORS = [
    ("128.232.110.120", "66.35.250.204", 6, 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("192.168.1.52", "8.8.8.8", 17, 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
    (
        "2001:470:e5bf:dead:4957:2174:e82c:4887",
        "2607:f8b0:400c:c03::1a",
        6,
        63943,
        25,
        "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
    ),
    ("192.168.170.8", "192.168.170.56", 132, 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
    # ICMP's message types stand for ports: echo request and reply are 8 and 0.
    ("192.168.0.89", "192.168.0.1", 1, 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ("fe80::260:97ff:fe07:69ea", "ff02::1", 58, 134, 133, "1:pkvHqCL88/tg1k4cPigmZXUtL00="),
]


def ids(*rows: tuple[str, str, int, int, int]) -> list[str]:
    halves = [[parse_address(str(row[side])) for row in rows] for side in (0, 1)]
    ends = [
        (
            np.array([high for high, _ in some], np.uint64),
            np.array([low for _, low in some], np.uint64),
            np.array([row[3 + side] for row in rows], np.int64),
        )
        for side, some in enumerate(halves)
    ]
    made = community_ids(np.array([row[2] for row in rows], np.int64), (ends[0], ends[1]))
    return [made.data[a:b].tobytes().decode() for a, b in zip(made.offsets[:-1], made.offsets[1:], strict=True)]


def reference(client: str, server: str, protocol: int, client_port: int, server_port: int) -> str:
    """The id by hashlib, after the description of the standard."""
    one, two = sorted(
        [(ipaddress.ip_address(client).packed, client_port), (ipaddress.ip_address(server).packed, server_port)]
    )
    message = bytes(2) + one[0] + two[0] + bytes([protocol, 0])
    if protocol in (1, 6, 17, 58, 132):
        message += one[1].to_bytes(2, "big") + two[1].to_bytes(2, "big")
    return "1:" + base64.b64encode(hashlib.sha1(message).digest()).decode()


@pytest.mark.parametrize("row", VECTORS)
def test_published_vectors(row: tuple[str, str, int, int, int, str]) -> None:
    """Each published vector gives its id, whichever end is the client."""
    client, server, protocol, client_port, server_port, expected = row
    assert ids((client, server, protocol, client_port, server_port)) == [expected]
    assert ids((server, client, protocol, server_port, client_port)) == [expected]


def test_as_hashlib_says() -> None:
    """Ids of a batch of all kinds, in one call, are those that hashlib gives one by one."""
    chance = np.random.default_rng(7)
    rows = []
    for number in range(200):
        version = 4 if number % 2 else 6
        ends = [str(ipaddress.ip_address(chance.bytes(4 if version == 4 else 16))) for _ in range(2)]
        ports = chance.integers(0, 1 << 16, 2).tolist()
        rows.append((ends[0], ends[1] if number % 5 else ends[0], int(chance.choice([6, 17, 50])), *ports))
    assert ids(*rows) == [reference(*row) for row in rows]
    assert ids() == []


def test_in_the_table(audit_bytes: Any) -> None:
    """The column of flows has the id of each flow, over IPv4 and IPv6."""
    v4 = wire.Talk(sport=34855, dport=80, client="128.232.110.120", server="66.35.250.204").open().packets
    v6 = wire.Talk(sport=63943, dport=25, client=VECTORS[2][0], server=VECTORS[2][1]).open().packets
    dns = wire.datagram(b"x", sport=54585, dport=53, client="192.168.1.52", server="8.8.8.8")
    flows = audit_bytes(wire.pcap([*v4, *v6, dns])).flows
    assert set(flows["community_id"]) == {expected for *_, expected in VECTORS[:3]}
