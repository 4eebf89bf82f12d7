"""What paths are judged by besides frames: routing tables, AWS's account, BGP, logs; each reader with its errors."""

import bz2
import gzip
import importlib
import ipaddress
import json
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auditor
from auditor.decode.control import BgpStream
from auditor.paths import aws_files, bgp, cloudtrail, mrt, mrt_records, route_files, route_times, sensors, witnesses
from auditor.paths.fetch import CALLS, fetch, without_secrets
from auditor.paths.flow_logs import LogReader
from auditor.paths.routes import Hop, Routes, RoutingTable
from auditor.prefixes import PrefixTable, parse, parse_address
from tests import wire
from tests.lab import scenes
from tests.lab import world as w

Run = Callable[..., auditor.Audit]


def find(table: RoutingTable, address: str, time: int | None = None) -> Hop | None:
    high, low = parse_address(address)
    when = None if time is None else np.array([time])
    hop, _ = table.find(np.array([high], np.uint64), np.array([low], np.uint64), when)
    return table.hops[hop[0]] if hop[0] >= 0 else None


def table_of(folder: Path, data: bytes | str | Any, name: str = "table") -> RoutingTable:
    raw = data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
    (folder / name).write_bytes(raw)
    return RoutingTable(route_files.read(folder / name))


# --- longest prefix match


@given(seed=st.integers(0, 1 << 30), version=st.sampled_from([4, 6]), count=st.integers(0, 60))
def test_longest_prefix_match(seed: int, version: int, count: int) -> None:
    """Of nested, equal and overlapping prefixes of any length the longest wins, of equal ones the last."""
    chance = random.Random(seed)
    bits = 32 if version == 4 else 128
    base = (10 << 24) if version == 4 else (0x20010DB8 << 96)
    spread = 16 if version == 4 else 70
    prefixes = []
    for _ in range(count):
        length = chance.randint(0, bits)
        network = (
            (base | chance.getrandbits(spread) << chance.randint(0, bits - spread - 8))
            >> (bits - length)
            << (bits - length)
        )
        prefixes.append((version, network & ((1 << bits) - 1), length))
    addresses = [base | chance.getrandbits(spread) for _ in range(30)] + [p[1] for p in prefixes]
    mapped = [a | (0xFFFF << 32 if version == 4 else 0) for a in addresses]
    high = np.array([a >> 64 for a in mapped], np.uint64)
    low = np.array([a & 0xFFFFFFFFFFFFFFFF for a in mapped], np.uint64)
    rows = PrefixTable(prefixes).find(high, low)
    for address, row in zip(addresses, rows.tolist(), strict=True):
        covering = [(p[2], k) for k, p in enumerate(prefixes) if address >> (bits - p[2]) == p[1] >> (bits - p[2])]
        assert row == (max(covering)[1] if covering else -1)


# --- routing tables


def test_linux_routes(tmp_path: Path) -> None:
    """`ip -j route`: default, metrics, host routes, several next hops, and what leads nowhere."""
    table = table_of(tmp_path, [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "metric": 100},
        {"dst": "default", "gateway": "192.0.2.9", "dev": "eth9", "metric": 200},
        {"dst": "10.1.2.3", "dev": "eth1"},
        {"dst": "10.9.0.0/16", "nexthops": [{"gateway": "192.0.2.5", "dev": "eth5", "weight": 1}, {"gateway": "192.0.2.6", "dev": "eth6"}]},
        {"type": "blackhole", "dst": "10.8.0.0/16"},
    ])  # fmt: skip
    assert find(table, "8.8.8.8") == Hop(parse_address("192.0.2.1"), "eth0")
    assert find(table, "10.1.2.3") == Hop(None, "eth1")
    further = Hop(parse_address("192.0.2.6"), "eth6")
    assert find(table, "10.9.1.1") == Hop(parse_address("192.0.2.5"), "eth5", others=(further,))
    assert find(table, "10.8.1.1") == Hop()
    six = table_of(
        tmp_path, [{"dst": "default", "gateway": "fe80::1", "dev": "eth0"}, {"dst": "2001:db8::/32", "dev": "eth1"}]
    )
    assert find(six, "2600::1") == Hop(parse_address("fe80::1"), "eth0")
    assert find(six, "2001:db8::1") == Hop(None, "eth1")
    assert find(six, "8.8.8.8") is None


@pytest.mark.parametrize("as_json", [True, False])
def test_next_hops_of_the_other_version(tmp_path: Path, as_json: bool) -> None:
    """A default route via an address of the other version is one of IPv4 where that is IPv6 (RFC 8950)."""
    via = {"family": "inet6", "host": "fe80::9"}
    text = "default via inet6 fe80::9 dev eth2\ndefault via fe80::1 dev eth1\n"
    rows = [{"dst": "default", "via": via, "dev": "eth2"}, {"dst": "default", "gateway": "fe80::1", "dev": "eth1"}]
    (tmp_path / "routes").write_text(json.dumps(rows) if as_json else text)
    table = RoutingTable(route_files.read(tmp_path / "routes"))
    for address, interface in (("52.94.1.1", "eth2"), ("2600:1f70::1", "eth1")):
        hop = find(table, address)
        assert hop is not None
        assert hop.interface == interface


def test_frr_tables(tmp_path: Path) -> None:
    """FRR's `show bgp json` and `show ip route json`: the best path, its communities, its interface."""
    table = table_of(tmp_path, scenes.routes_of("52.94.0.0/16", "203.0.113.33", "7224 16509", "7224:8100 no-export"))
    hop = find(table, "52.94.1.1")
    assert hop is not None
    assert (hop.as_path[:1], hop.communities) == ((7224,), ("65535:65281", "7224:8100"))
    assert hop.is_of_public_interface
    assert hop.scope == "7224:8100, of the same Region"
    rib = {"10.0.0.0/8": [
        {"protocol": "static", "selected": False, "nexthops": [{"ip": "192.0.2.1", "interfaceName": "eth0", "active": True}]},
        {"protocol": "bgp", "selected": True, "nexthops": [{"ip": "192.0.2.2", "interfaceName": "eth1.101", "active": True}]},
    ]}  # fmt: skip
    assert find(table_of(tmp_path, rib), "10.1.1.1") == Hop(parse_address("192.0.2.2"), "eth1.101", protocol="bgp")


def test_frr_next_hops_that_are_not_installed(tmp_path: Path) -> None:
    """Of the next hops of a route only those count that FRR has installed: it leaves `fib` out of the others."""
    inactive = {"ip": "192.0.2.1", "afi": "ipv4"}
    recursive = inactive | {"active": True, "recursive": True}
    installed = {"ip": "192.0.2.2", "interfaceName": "eth2", "active": True, "fib": True}
    for other in (inactive, recursive):
        rib = {"10.0.0.0/8": [{"protocol": "bgp", "selected": True, "installed": True, "nexthops": [other, installed]}]}
        assert find(table_of(tmp_path, rib), "10.1.1.1") == Hop(parse_address("192.0.2.2"), "eth2", protocol="bgp")


SHOW = """\
BGP table version is 7, local router ID is 192.0.2.254
Status codes: s suppressed, d damped, h history, * valid, > best, i - internal
Origin codes: i - IGP, e - EGP, ? - incomplete

   Network          Next Hop            Metric LocPrf Weight Path
*> 10.0.0.0         192.0.2.1                0             0 65001 i
*  52.94.0.0/16     198.51.100.1                           0 64500 16509 i
*>                  203.0.113.33             0    200      0 7224 16509 i
*> 2600:1f70:8000::/39
                    2001:db8::1              0             0 7224 i
*> 0.0.0.0          198.51.100.1                           0 64500 i
*>i192.0.2.128/25   192.0.2.7                0    100      0 i

Displayed  5 routes and 6 total paths
"""


def test_show_ip_bgp(tmp_path: Path) -> None:
    """The text of routers: classful networks, further paths of a network, networks too long for their column."""
    table = table_of(tmp_path, SHOW)
    hops = {a: find(table, a) for a in ("10.200.0.1", "52.94.7.7", "2600:1f70:8000::9", "1.1.1.1", "192.0.2.200")}
    assert [h.next_hop for h in hops.values() if h] == [
        parse_address(a) for a in ("192.0.2.1", "203.0.113.33", "2001:db8::1", "198.51.100.1", "192.0.2.7")
    ]
    (hop,) = (h for a, h in hops.items() if h is not None and a == "52.94.7.7")
    assert hop.as_path == (7224, 16509)


def read_mrt(data: bytes, routes: Routes) -> None:
    """The routes of the dumps in a file."""
    for dump in mrt_records.survey(data).dumps:
        mrt.read(data, dump, routes)


def mrt_record(subtype: int, body: bytes) -> bytes:
    return struct.pack(">IHHI", 1_700_000_000, 13, subtype, len(body)) + body


def attributes(hop: str, path: list[int], preference: int | None = None) -> bytes:
    data = (
        b"\x40\x01\x01\0"
        + bytes([0x40, 2, 2 + 4 * len(path), 2, len(path)])
        + b"".join(struct.pack(">I", n) for n in path)
    )
    address = ipaddress.ip_address(hop).packed
    data += (b"\x40\x03\x04" + address) if len(address) == 4 else bytes([0x80, 14, 17, 16]) + address
    return data + (b"\x40\x05\x04" + struct.pack(">I", preference) if preference is not None else b"")


def entry(blob: bytes, path_id: int | None = None) -> bytes:
    extra = b"" if path_id is None else struct.pack(">I", path_id)
    return struct.pack(">HI", 0, 1_700_000_000) + extra + struct.pack(">H", len(blob)) + blob


def test_mrt(tmp_path: Path) -> None:
    """TABLE_DUMP_V2: of several entries the preferred one, IPv6, additional paths; damage is reported with its place."""
    long, short = attributes("192.0.2.1", [1, 2, 3]), attributes("192.0.2.2", [1, 2])
    liked = attributes("192.0.2.3", [1, 2, 3, 4], 200)
    v4 = mrt_record(2, struct.pack(">IB", 0, 16) + bytes([10, 1]) + struct.pack(">H", 2) + entry(long) + entry(short))
    best = mrt_record(
        2,
        struct.pack(">IB", 1, 24)
        + bytes([10, 1, 9])
        + struct.pack(">H", 3)
        + entry(long)
        + entry(liked)
        + entry(short),
    )
    v6 = mrt_record(
        4,
        struct.pack(">IB", 2, 32)
        + bytes.fromhex("20010db8")
        + struct.pack(">H", 1)
        + entry(attributes("2001:db8::7", [5])),
    )
    several = mrt_record(
        8, struct.pack(">IB", 3, 8) + bytes([11]) + struct.pack(">H", 2) + entry(long, 1) + entry(short, 2)
    )
    data = mrt_record(1, bytes(8)) + v4 + best + v6 + several
    for packed in (data, bz2.compress(data)):
        table = table_of(tmp_path, packed)
        hops = [find(table, a) for a in ("10.1.1.1", "10.1.9.1", "2001:db8:1::", "11.2.3.4")]
        assert [h.next_hop for h in hops if h] == [
            parse_address(a) for a in ("192.0.2.2", "192.0.2.3", "2001:db8::7", "192.0.2.2")
        ]
    (tmp_path / "cut").write_bytes(data[:-5])
    with pytest.raises(auditor.InputError, match=rf"cut.*the record at byte {len(data) - len(several)} is cut short"):
        route_files.read(tmp_path / "cut")


def blobs() -> st.SearchStrategy[bytes]:
    """Attributes that differ little, in several forms, now and then with some that do not fit."""
    paths = st.lists(st.sampled_from([1, 2, 7224]), max_size=3)
    plain = st.builds(attributes, st.sampled_from(["192.0.2.1", "192.0.2.2"]), paths, st.sampled_from([None, 100, 200]))
    long_header = plain.map(lambda blob: blob[:4] + b"\x50\x02\0" + blob[6:])
    set_of_as = plain.map(lambda blob: blob[:4] + b"\x40\x02\x06\x01\x01\0\0\0\x09" + blob[7 + blob[6] :])
    med = st.builds(lambda blob, value: blob + b"\x80\x04\x04" + bytes([0, 0, 0, value]), plain, st.integers(0, 3))
    return st.one_of(plain, long_header, set_of_as, med, plain, plain.map(lambda blob: blob[:-1]))


def is_as_good(path: route_times.RankedHop, best: route_times.RankedHop) -> bool:
    """Whether nothing that a dump has decides between a path and the best: MED compares those of one neighbour alone."""
    comparable = path.hop.as_path[:1] == best.hop.as_path[:1]
    return path.rank[:3] == best.rank[:3] and (path.rank[3] == best.rank[3] or not comparable)


def reference(records: list[tuple[int, bytes, list[bytes]]]) -> list[tuple[Any, Any]]:
    """Prefixes and their hops, record by record and entry by entry."""
    found = []
    for bits, network, entries in records:
        ranked = [mrt.attributes(blob) for blob in entries]
        if ranked:
            best = min(ranked, key=lambda path: path.rank)
            hops = {best.hop.next_hop: best.hop}
            for path in ranked:
                if is_as_good(path, best):
                    hops.setdefault(path.hop.next_hop, path.hop)
            hop = best.hop._replace(others=tuple(hops.values())[1:])
            found.append(((4, int.from_bytes(network.ljust(4, b"\0"), "big"), bits), hop))
    return found


@settings(max_examples=150)
@given(
    st.lists(
        st.integers(0, 32).flatmap(
            lambda bits: st.tuples(
                st.just(bits),
                st.binary(min_size=(bits + 7) // 8, max_size=(bits + 7) // 8),
                st.lists(blobs(), max_size=4),
            )
        ),
        max_size=6,
    )
)
def test_mrt_routes_are_those_of_their_entries(records: list[tuple[int, bytes, list[bytes]]]) -> None:
    """Sets of attributes that many routes share are told apart by each of their bytes, the length of the AS path too."""
    data = mrt_record(1, bytes(8)) + b"".join(
        mrt_record(
            2,
            struct.pack(">IB", 0, bits) + network + struct.pack(">H", len(entries)) + b"".join(map(entry, entries)),
        )
        for bits, network, entries in records
    )
    routes = Routes("test")
    try:
        expected = reference(records)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)):
            read_mrt(data, routes)
    else:
        read_mrt(data, routes)
        assert list(zip(routes.prefixes, (routes.hops[k] for k in routes.hop), strict=True)) == expected


def test_mrt_that_is_cut_anywhere() -> None:
    """Wherever a dump ends, and whatever one of its bytes becomes, there are routes or a ValueError."""
    blob = attributes("192.0.2.1", [1, 2, 3], 200)
    records = struct.pack(">IB", 0, 24) + bytes([10, 1, 2]) + struct.pack(">H", 2) + entry(blob, 1) + entry(blob, 2)
    first = mrt_record(8, records)
    data = first + mrt_record(4, struct.pack(">IB", 0, 0) + struct.pack(">H", 1) + entry(blob))
    for end in {*range(1, len(data))} - {len(first)}:
        with pytest.raises(ValueError, match="cut short"):
            read_mrt(data[:end], Routes("cut"))
    for at in range(12, len(data)):
        for byte in (0, 1, 0x10, 0x7F, 0xFF):
            with suppress(ValueError):
                read_mrt(data[:at] + bytes([byte]) + data[at + 1 :], Routes("changed"))


def test_recursive_next_hops(tmp_path: Path) -> None:
    """A next hop that is reached by another route leads where that one does."""
    table = table_of(
        tmp_path,
        [
            {"dst": "52.94.0.0/16", "gateway": "10.255.0.1"},
            {"dst": "10.255.0.0/24", "gateway": "192.0.2.1", "dev": "eth1"},
        ],
    )
    hop = find(table, "52.94.1.1")
    assert hop is not None
    assert [h.next_hop for h in table.resolved(hop)] == [parse_address("10.255.0.1"), parse_address("192.0.2.1")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("hello world\n", "nothing in it is a table of routes"),
        ("[]", "no routes are in it"),
        ("{", "not a routing table"),
        ('[{"gateway": "1.1.1.1"}]', "'dst'"),
        ('{"RouteTables": []}', "give the routes of a router of your own"),
        ('{"virtualInterfaceId": "dxvif-1", "routes": []}', "give it with --aws"),
    ],
)
def test_what_is_no_routing_table(tmp_path: Path, data: str, words: str) -> None:
    """Another file is refused with its name, what is wrong, and what is known."""
    (tmp_path / "routes.txt").write_text(data)
    with pytest.raises(auditor.InputError, match=r"routes\.txt") as caught:
        route_files.read(tmp_path / "routes.txt")
    assert words in str(caught.value)


# --- BGP


def stream(messages: list[bytes], cut: int = 7, start: int = 5000) -> BgpStream:
    data = b"".join(messages)
    segments = [(start + at, data[at : at + cut], at) for at in range(0, len(data), cut)]
    return BgpStream((0, 1), (0, 2), segments)


def test_bgp_in_any_order() -> None:
    """Segments shuffled and sent again: the same routes; each in force from its announcement to its withdrawal."""
    messages = [
        w.hello(7224, "192.0.2.1"),
        w.update(["52.94.0.0/16"], "192.0.2.1", [7224, 16509], [(7224, 8100)]),
        w.update([], "", [], withdrawn=["52.94.0.0/16"]),
        w.update(["52.94.0.0/16", "52.95.0.0/16"], "192.0.2.1", [7224, 4_200_000_000]),
        w.bgp(4, b""),
    ]
    one = stream(messages)
    shuffled = one.segments + one.segments[3:9]
    random.Random(1).shuffle(shuffled)
    other = BgpStream(one.source, one.target, shuffled)
    (first,), (second,) = (
        bgp.announcers({((0, 1), 179, (0, 2), 5): one}),
        bgp.announcers({((0, 1), 179, (0, 2), 5): other}),
    )
    assert first.number == second.number == 7224
    assert list(first.routes.prefixes) == list(second.routes.prefixes)
    assert len(first.routes) == 3
    table = RoutingTable(first.routes)
    ends = [sum(map(len, messages[: k + 1])) for k in range(4)]
    assert find(table, "52.94.1.1", 0) is None
    hop = find(table, "52.94.1.1", ends[1])
    assert hop is not None
    assert hop.communities == ("7224:8100",)
    assert find(table, "52.94.1.1", ends[2]) is None
    assert find(table, "52.94.1.1", ends[3] + 10) is not None
    assert find(table, "52.95.1.1", ends[1]) is None


@pytest.mark.parametrize("opens", [True, False])
def test_bgp_with_path_identifiers(opens: bool) -> None:
    """Additional paths (RFC 7911): agreed on in the OPENs, or inferred from what fits where there are none."""
    nlri = bytes([0, 0, 0, 1, 16, 10, 1]) + bytes([0, 0, 0, 2, 24, 10, 2, 3])
    attributes = (
        b"\x40\x01\x01\0\x40\x02\x06\x02\x01" + struct.pack(">I", 7224) + b"\x40\x03\x04" + bytes([192, 0, 2, 1])
    )
    update = w.bgp(2, b"\0\0" + struct.pack(">H", len(attributes)) + attributes + nlri)
    capability = bytes([2, 12, 65, 4]) + struct.pack(">I", 7224) + bytes([69, 4, 0, 1, 1, 3])
    opening = w.bgp(1, struct.pack(">BHH", 4, 7224, 90) + bytes([1, 1, 1, 1, len(capability)]) + capability)
    one, two = (0, 1), (0, 2)
    streams = {(one, 179, two, 5): stream([opening, update] if opens else [update])}
    if opens:
        other = stream([opening])
        streams[two, 5, one, 179] = BgpStream(two, one, other.segments)
    announcer = bgp.announcers(streams)[0]
    assert list(announcer.routes.prefixes) == [parse("10.1.0.0/16"), parse("10.2.3.0/24")]


def test_bgp_with_a_gap() -> None:
    """Where segments are missing, reading goes on at the next marker."""
    messages = [w.update([f"10.{k}.0.0/16"], "192.0.2.1", [7224]) for k in range(6)]
    whole = stream(messages, 11)
    hole = BgpStream(whole.source, whole.target, [s for s in whole.segments if not 60 <= s[0] - 5000 < 90])
    (announcer,) = bgp.announcers({((0, 1), 179, (0, 2), 5): hole})
    assert {p[1] >> 16 & 0xFF for p in announcer.routes.prefixes} >= {0, 3, 4, 5}


@given(data=st.binary(max_size=300), cut=st.integers(1, 60))
def test_bgp_of_anything(data: bytes, cut: int) -> None:
    """Bytes that are no BGP, also behind a marker: no exception."""
    bgp.announcers({((0, 1), 179, (0, 2), 5): stream([data, b"\xff" * 16 + data], cut)})
    update = w.bgp(2, data)
    bgp.announcers({((0, 1), 179, (0, 2), 5): stream([w.hello(7224, "1.1.1.1"), update], 40)})


def test_what_a_capture_shows_of_its_network(audit_bytes: Run) -> None:
    """ARP, LLDP, ICMP and BGP make rows of the table `network`, each with the frame that shows it."""
    from scapy.layers.inet import ICMP, IP, TCP

    tlvs = b"\x02\x07\x04\x02\x00\x00\x00\x00\x07" + b"\x04\x06\x05Gi0/1" + b"\x0a\x03sw7" + b"\0\0"
    lldp = w.mac("01:80:c2:00:00:0e") + w.mac("02:00:00:00:00:07") + b"\x88\xcc" + tlvs
    inner = bytes(IP(src=w.CLIENT, dst=w.SERVER) / TCP(dport=443))
    error = bytes(wire.ETHERNET / IP(src="192.0.2.77", dst=w.CLIENT) / ICMP(type=3, code=4, nexthopmtu=1436) / inner)
    frames = [w.arp("10.0.0.9", w.AWS1, 5), (w.BEGIN, lldp), (w.BEGIN, error), *scenes.announcements()]
    table = audit_bytes(wire.pcap(frames, nanoseconds=True)).network.set_index("kind")
    assert tuple(table.loc["neighbour", ["subject", "detail", "told_by"]]) == ("sw7", "port Gi0/1", "LLDP")
    assert tuple(table.loc["error", ["subject", "detail", "count"]]) == (
        "192.0.2.77",
        f"packet too big, to {w.SERVER}, path MTU 1436",
        1,
    )
    arp = table.loc["address"].set_index("told_by").loc["ARP"]
    assert tuple(arp[["subject", "mac", "vlan", "frame"]]) == ("10.0.0.9", w.AWS1, "5", 1)
    speakers = table.loc["bgp"].set_index("subject")["detail"]
    assert "announces 1 route to" in speakers[scenes.AMAZON_PUBLIC]
    assert "AS 7224" in speakers[scenes.AMAZON_PUBLIC]


def test_what_is_kept_of_the_network_is_bounded(audit_bytes: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bindings than the cap: the last are kept, and the capture's row says that there were more."""
    from auditor.decode import control

    monkeypatch.setattr(control.FactLimits, "within", lambda size: control.FactLimits(bindings=5))
    result = audit_bytes(wire.pcap([w.arp(f"10.0.0.{k}", w.AWS1) for k in range(1, 20)], nanoseconds=True))
    assert result.network["subject"].tolist() == [f"10.0.0.{k}" for k in range(15, 20)]
    assert "the first 14 addresses are not in the table network" in result.captures["warnings"][0]


# --- AWS's account


def test_secrets_are_not_taken_over(tmp_path: Path) -> None:
    """BGP keys and pre-shared keys of the files are in no result."""
    aws = tmp_path / "aws"
    aws.mkdir()
    vif = scenes.PRIVATE_VIF["vifs.json"]["virtualInterfaces"][0] | {
        "authKey": "s3cret-key",
        "customerRouterConfig": "<x>s3cret-key</x>",
    }
    (aws / "vifs.json").write_text(json.dumps({"virtualInterfaces": [vif]}))
    (tmp_path / "a.pcap").write_bytes(wire.pcap(w.talk(server=w.ENI, out=scenes.DX1), nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap", aws=aws, out=tmp_path / "out")
    assert result.flows["path_link"][0] == "dxvif-private"
    for file in (tmp_path / "out").iterdir():
        assert b"s3cret" not in file.read_bytes()
    assert "s3cret" not in repr(aws_files.read(aws))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ('{"Buckets": []}', "not the output, as JSON (--output json), of a command that says where traffic goes"),
        ('{"routes": []}', "virtualInterfaceId is missing"),
        ('{"virtualInterfaces": [{"virtualInterfaceId": "x", "vlan": 5000}]}', "vlan"),
        ('{"Vpcs": [1]}', "not a list of objects"),
    ],
)
def test_what_is_not_of_aws(tmp_path: Path, text: str, words: str) -> None:
    """A file that cannot be used is named, with the reason."""
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(auditor.TopologyError) as caught:
        aws_files.read(tmp_path)
    assert words in str(caught.value)


def test_the_file_goes_before_the_account(tmp_path: Path) -> None:
    """What the topology file says of a link is kept, what it leaves open comes from AWS."""
    from auditor.paths.site import build

    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "vifs.json").write_text(json.dumps(scenes.PRIVATE_VIF["vifs.json"]))
    (tmp_path / "site.toml").write_text('[[virtual_interface]]\nname = "dxvif-private"\nvlan = 999\n')
    (link,) = build(tmp_path / "site.toml", tmp_path / "aws").links()
    assert (link.vlan, link.peer_address) == ("999", (scenes.AMAZON,))


def test_fetch(tmp_path: Path) -> None:
    """`topology fetch` writes what AWS answers, page by page, without secrets; what is refused is reported."""
    import boto3

    session_of = boto3.Session
    from botocore.stub import Stubber

    session = session_of(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
    clients = {name: session.client(name) for name in {service for service, _, _ in CALLS}}
    stubs = {name: Stubber(client) for name, client in clients.items()}
    vif = {
        "virtualInterfaceId": "dxvif-1",
        "virtualInterfaceType": "private",
        "vlan": 101,
        "authKey": "s3cret",
        "customerRouterConfig": "s3cret",
    }
    for service, operation, key in CALLS:
        rows = [vif] if key == "virtualInterfaces" else []
        if operation == "describe_vpn_connections":
            stubs[service].add_client_error(operation, "UnauthorizedOperation")
            continue
        stubs[service].add_response(operation, {key: rows})
        if key == "virtualInterfaces" and hasattr(clients[service], "list_virtual_interface_routes"):
            routes = [{"cidr": "172.31.0.0/16", "routeDirection": "advertised"}]
            stubs[service].add_response(
                "list_virtual_interface_routes", {"virtualInterfaceId": "dxvif-1", "routes": routes}
            )
    for stub in stubs.values():
        stub.activate()

    class Session:
        region_name = "us-east-1"

        def client(self, name: str, region_name: str) -> Any:
            return clients[name]

    with pytest.raises(auditor.AuditError, match="describe_vpn_connections in us-east-1"):
        list(fetch(tmp_path / "aws", None, [], Session()))
    (link,) = aws_files.read(tmp_path / "aws").links()
    assert (link.name, link.vlan) == ("dxvif-1", "101")
    for file in (tmp_path / "aws").iterdir():
        assert "s3cret" not in file.read_text()
    assert without_secrets({"a": [{"PreSharedKey": 1, "b": 2}]}) == {"a": [{"b": 2}]}


# --- flow logs and other witnesses

ROW = f"2 123456789012 eni-0a1 {w.CLIENT} {w.ENI} 40000 443 6 9 1000 {scenes.SPAN} ACCEPT OK"
NODATA = f"2 123456789012 eni-0a1 - - - - - - - {scenes.SPAN} - NODATA"


def read_log(folder: Path, text: str, formats: list[str] | None = None) -> Any:
    (folder / "flow.log").write_text(text)
    reader = LogReader(formats or [])
    reader.add(folder / "flow.log")
    return reader.finish()


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        (f"{scenes.V2}\n{ROW}\n{NODATA}\n", []),
        (f"{ROW}\n{NODATA}\n", []),
        (f"2025-11-24T16:00:00.000Z {ROW}\n2025-11-24T16:00:00.000Z {NODATA}\n", []),
        (" ".join(f"${{{name}}}" for name in scenes.V2.split()) + f"\n{ROW}\n{NODATA}\n", []),
        (
            f"{w.CLIENT} {w.ENI} 40000 443 6 {scenes.SPAN} OK\n- - - - - {scenes.SPAN} NODATA\n",
            ["${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${start} ${end} ${log-status}"],
        ),
    ],
)
def test_forms_of_flow_logs(tmp_path: Path, text: str, formats: list[str]) -> None:
    """With a header, in the default format, as CloudWatch exports it, with a LogFormat: the same row; NODATA is skipped."""
    log = read_log(tmp_path, text, formats)
    assert (len(log), log.rows, log.skipped) == (1, [2], [1])
    assert tuple(log.address["srcaddr"][0].tolist()) == parse_address(w.CLIENT)
    assert (log.number["srcport"][0], log.number["start"][0], log.number["traffic-path"][0]) == (
        40_000,
        scenes.START,
        -1,
    )


def test_parquet_flow_log(tmp_path: Path) -> None:
    """Parquet has the same fields, with underscores or hyphens."""
    names = scenes.V2.replace("-", "_").split()
    values: dict[str, Any] = dict(zip(names, ROW.split(), strict=True))
    numbers = {"srcport", "dstport", "protocol", "packets", "bytes", "start", "end"}
    table = pa.table({n: [int(v) if n in numbers else v] for n, v in values.items()})
    pq.write_table(table, tmp_path / "a.parquet")
    reader = LogReader()
    reader.add(tmp_path / "a.parquet")
    log = reader.finish()
    assert (len(log), log.number["bytes"][0], log.texts("interface-id")[0]) == (1, 1000, "eni-0a1")


def test_layout_of_s3(tmp_path: Path) -> None:
    """A folder laid out as AWS does in S3 is read whole, packed files in it too."""
    folder = tmp_path / "AWSLogs" / "123456789012" / "vpcflowlogs" / "us-east-1" / "2025" / "11" / "24"
    folder.mkdir(parents=True)
    for number, row in enumerate((ROW, ROW.replace(" 40000 ", " 40001 "))):
        name = f"123456789012_vpcflowlogs_us-east-1_fl-1_20251124T160{number}Z_abc.log.gz"
        (folder / name).write_bytes(gzip.compress(f"{scenes.V2}\n{row}\n".encode()))
    frames = [frame for k in range(2) for frame in w.talk(server=w.ENI, port=40_000 + k)]
    (tmp_path / "a.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    witnesses = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "AWSLogs"]).witnesses
    assert witnesses["matched"].tolist() == [1, 1]


def test_hops(audit_bytes: Run) -> None:
    """Routers passed are counted from the time to live, whichever of the usual ones it began at."""
    packets = [bytearray(packet) for packet in wire.Talk().open().packets]
    for packet in packets:
        packet[22] = 61 if packet[26:30] == bytes([10, 0, 0, 1]) else 243
    row = wire.only(audit_bytes(wire.pcap(map(bytes, packets))).flows)
    assert (row["hops_out"], row["hops_back"]) == (3, 12)


def test_what_is_no_witness(tmp_path: Path) -> None:
    """A file that is no known log, or a log that cannot be matched, is refused with its name."""
    (tmp_path / "notes.log").write_text("hello\n")
    with pytest.raises(auditor.InputError, match=r"notes\.log: not a log that is known"):
        witnesses.read([tmp_path])
    (tmp_path / "notes.log").write_text("srcaddr dstaddr bytes\n1.1.1.1 2.2.2.2 5\n")
    with pytest.raises(auditor.InputError, match="the log has no field srcport"):
        witnesses.read([tmp_path])
    with pytest.raises(auditor.InputError, match="No such file"):
        witnesses.read([tmp_path / "missing.log"])


def test_what_the_capture_lacks(tmp_path: Path) -> None:
    """Rows of the capture's time that no flow fits are counted and shown; not later ones, nor those between others.

    Another flow makes the capture as long as a row's time: of one that begins or ends outside of it nothing shows that its
    packets should be there.
    """
    rows = [
        ROW,
        ROW.replace(" 40000 ", " 50000 "),
        ROW.replace(scenes.SPAN, f"{scenes.START + 9000} {scenes.START + 9060}"),
    ]
    others = [ROW.replace(" 40000 ", " 50001 ").replace(w.CLIENT, "10.99.0.1"), ROW.replace(" 40000 ", " 50002 ")]
    others[1] = others[1].replace(scenes.SPAN, f"{scenes.START - 30} {scenes.START + 30}")
    (tmp_path / "vpc.log").write_text("\n".join([scenes.V2, *rows]) + "\n")
    (tmp_path / "others.log").write_text("\n".join([scenes.V2, *others]) + "\n")
    frames = w.talk(server=w.ENI) + w.talk("10.20.3.3", "10.20.3.4", port=41_000, at=90)
    (tmp_path / "a.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "vpc.log", tmp_path / "others.log"])
    assert result.witnesses["not_captured"].tolist() == [1, 0]
    row = result.witnesses.to_dict("records")[0]
    finding = wire.only(result.findings[result.findings["rule"] == "PTH108"])
    assert (finding["flows"], finding["service"]) == (1, str(tmp_path / "vpc.log"))
    assert (row["rows"], row["matched"], row["not_captured"], row["flows_matched"]) == (3, 1, 1, 1)
    assert row["samples"] == f"{w.CLIENT}:50000 to {w.ENI}:443"


def test_what_the_log_lacks(tmp_path: Path) -> None:
    """A flow to an interface whose other flows are in the log, in the log's time: the log lacks it, and that is said."""
    wide = scenes.SPAN.replace(str(scenes.START), str(scenes.START - 60), 1)
    rows = [ROW.replace(scenes.SPAN, wide).replace(" 40000 ", f" {port} ") for port in (40_000, 40_002)]
    rows.append(rows[0].replace(w.CLIENT, "10.20.9.9"))  # with one peer alone nothing shows whose interface it is
    (tmp_path / "vpc.log").write_text("\n".join([scenes.V2, *rows]) + "\n")
    frames = [frame for k in range(3) for frame in w.talk(server=w.ENI, port=40_000 + k, at=k)]
    (tmp_path / "a.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "vpc.log"])
    warned = result.verdicts[(result.verdicts["rule"] == "PTH108") & (result.verdicts["verdict"] == "warn")]
    assert set(result.flows.set_index("flow_id").loc[warned["flow_id"], "client_port"]) == {40_001}
    assert result.witnesses["flows_lacking"][0] == 1


@pytest.mark.parametrize(
    "why", ["another file's time", "SKIPDATA", "refused alone", "a file that cannot be read", "nothing"]
)
def test_what_a_log_need_not_have(tmp_path: Path, why: str) -> None:
    """A log of which a part is not there, or that is of what was refused alone, lacks nothing: AWS says so, or nobody knows."""
    wide = scenes.SPAN.replace(str(scenes.START), str(scenes.START - 60), 1)
    rows = [ROW.replace(scenes.SPAN, wide), ROW.replace(scenes.SPAN, wide).replace(w.CLIENT, "10.20.9.9")]
    if why == "SKIPDATA":
        rows.append(NODATA.replace("NODATA", "SKIPDATA"))
    elif why == "refused alone":
        rows = [row.replace("ACCEPT", "REJECT") for row in rows]
    elif why == "another file's time":
        begin, end = wide.split()
        before, after = (f"{int(begin) - 600} {int(end) - 600}", f"{int(begin) + 600} {int(end) + 600}")
        (tmp_path / "before.log").write_text(
            "\n".join([scenes.V2, *(row.replace(wide, before) for row in rows)]) + "\n"
        )
        rows = [row.replace(wide, after) for row in rows]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "vpc.log").write_text("\n".join([scenes.V2, *rows]) + "\n")
    if why == "a file that cannot be read":
        (tmp_path / "logs" / "more.log.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "a.pcap").write_bytes(wire.pcap(w.talk(server=w.ENI, port=40_001), nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "logs", *tmp_path.glob("*.log")])
    warned = result.verdicts[(result.verdicts["rule"] == "PTH108") & (result.verdicts["verdict"] == "warn")]
    assert len(warned) == (why == "nothing")


def test_whose_log_it_is(tmp_path: Path) -> None:
    """A log of the client's own interface lacks nothing of other clients of the same server."""
    rows = [ROW, ROW.replace(" 40000 ", " 40002 "), ROW.replace(w.ENI, "172.31.9.9")]
    (tmp_path / "vpc.log").write_text("\n".join([scenes.V2, *rows]) + "\n")
    frames = w.talk(client="10.20.1.99", server=w.ENI, at=2)
    (tmp_path / "a.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "vpc.log"])
    assert result.witnesses["flows_lacking"][0] == 0


def test_round_trips_by_path(office: Any) -> None:
    """The manifest has the distribution of round-trip times of each path, within the width of a bin."""
    times = office.flows.dropna(subset=["rtt_ms"])
    assert {row["path"] for row in office.manifest["round_trips"]} == set(times["path"])
    assert len(times)
    for row in office.manifest["round_trips"]:
        mine = times[times["path"] == row["path"]]["rtt_ms"]
        assert row["flows"] == len(mine)
        assert row["p50_ms"] == pytest.approx(mine.astype(float).quantile(0.5, interpolation="lower"), rel=0.05)


def test_skew(tmp_path: Path) -> None:
    """A log whose clock is ahead is matched once that is said."""
    (tmp_path / "vpc.log").write_text(
        f"{scenes.V2}\n{ROW.replace(scenes.SPAN, f'{scenes.START + 900} {scenes.START + 960}')}\n"
    )
    (tmp_path / "a.pcap").write_bytes(wire.pcap(w.talk(server=w.ENI), nanoseconds=True))
    for skew, matched in ((0.0, 0), (900.0, 1)):
        result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "vpc.log"], skew=skew)
        assert result.witnesses["matched"][0] == matched


def test_forms_of_cloudtrail(tmp_path: Path) -> None:
    """Events as delivered, as a list, one a line, and as `lookup-events` prints them."""
    record = scenes.trail(sourceIPAddress=w.CLIENT)["Records"][0]
    forms = [{"Records": [record]}, [record], {"Events": [{"CloudTrailEvent": json.dumps(record)}]}]
    texts = [*map(json.dumps, forms), json.dumps(record) + "\n" + json.dumps(record) + "\n"]
    for text in texts:
        (tmp_path / "trail.json").write_text(text)
        event = cloudtrail.read(tmp_path / "trail.json")[0]
        assert (event.host, event.tls_version, event.time) == (w.NAME, "TLS 1.2", w.BEGIN)


def test_zeek_json(tmp_path: Path) -> None:
    """Zeek's JSON says what its table says."""
    record = {
        "ts": scenes.START + 0.5,
        "id.orig_h": w.CLIENT,
        "id.orig_p": 40_000,
        "id.resp_h": w.ENI,
        "id.resp_p": 443,
        "version": "TLSv12",
    }
    (tmp_path / "ssl.log").write_text(json.dumps(record) + "\n")
    (seen,) = sensors.read(tmp_path / "ssl.log")
    assert (seen.sensor, seen.tls_version, seen.ends[1]) == ("Zeek", "TLS 1.2", 40_000)


def test_macs_of_sensors(tmp_path: Path) -> None:
    """MACs that Zeek and Suricata log are read, of whichever end; what is no MAC is left out."""
    zeek = {"ts": 1.0, "id.orig_h": w.CLIENT, "id.orig_p": 1, "id.resp_h": w.ENI, "id.resp_p": 443}
    zeek |= {"orig_l2_addr": w.HOST, "resp_l2_addr": w.AWS1}
    eve = {
        "timestamp": 1.0,
        "event_type": "flow",
        "src_ip": w.CLIENT,
        "src_port": 1,
        "dest_ip": w.ENI,
        "dest_port": 443,
    }
    eve |= {"ether": {"src_macs": [w.HOST, "none"], "dest_macs": [w.AWS1]}}
    (tmp_path / "both.log").write_text(json.dumps(zeek) + "\n" + json.dumps(eve) + "\n")
    macs = frozenset(int(mac.replace(":", ""), 16) for mac in (w.HOST, w.AWS1))
    assert [seen.macs for seen in sensors.read(tmp_path / "both.log")] == [macs, macs]


# --- explaining


def test_explain(tmp_path: Path) -> None:
    """`audit paths explain` states the verdict, what decided, and what speaks against it; an unknown flow is refused."""
    from typer.testing import CliRunner

    app = importlib.import_module("auditor.cli.main").app

    scene = next(s for s in scenes.SCENES if s.name == "frames against a flow log")
    capture, options = scene.write(tmp_path)
    flow = auditor.audit(capture, out=tmp_path / "out", **options).flows["flow_id"][0]
    done = CliRunner().invoke(app, ["paths", "explain", str(tmp_path / "out"), f"{flow:016x}"[:9]])
    assert done.exit_code == 0
    assert "Path: direct-connect, likely, by dxvif-private" in done.output
    assert "Decided by: VLAN 101 and peer MAC 02:aa:00:00:00:01" in done.output
    assert "Against it: transit gateway flow log: attachment tgw-attach-vpn is a VPN" in done.output
    assert "seen: 6 packets, all at one position: VLAN 101, 02:00:00:00:00:10 to 02:aa:00:00:00:01" in done.output
    wrong = CliRunner().invoke(app, ["paths", "explain", str(tmp_path / "out"), "99"])
    assert isinstance(wrong.exception, auditor.AuditError)
    assert "no flow has the number 99" in str(wrong.exception)


def test_explain_a_cooked_capture(tmp_path: Path) -> None:
    """Of frames that have the sender's MAC alone (LINKTYPE_LINUX_SLL) that is said, of each direction and position."""
    cooked = []
    for number, (when, frame) in enumerate(w.talk(server=w.ENI, out=w.Wire(None, w.AWS1))):
        sender = w.mac(w.ISP) if number == 6 else frame[6:12]
        kind = 4 if frame[6:12] == w.mac(w.HOST) else 0
        cooked.append((when, struct.pack(">HHH", kind, 1, 6) + sender + b"\0\0" + frame[12:]))
    (tmp_path / "a.pcap").write_bytes(wire.pcap(cooked, link=113, nanoseconds=True))
    result = auditor.audit(tmp_path / "a.pcap")
    row = wire.only(result.flows)
    assert (row["client_mac"], row["server_mac"]) == (w.HOST, w.AWS1)
    text = result.explain(int(row["flow_id"]))
    assert f"all at one position: untagged, from {w.HOST} (a cooked capture has the sender's MAC alone)" in text
    assert f"1 packet untagged, from {w.ISP}, frames 7 to 7" in text


def test_prefixes_are_read() -> None:
    """Prefixes and addresses of both versions, and what is none."""
    assert parse("10.1.2.3/8") == (4, 10 << 24, 8)
    assert parse_address("fe80::1%eth0") == (0xFE80 << 48, 1)
    with pytest.raises(ValueError, match="no IP address"):
        parse_address("ten")
