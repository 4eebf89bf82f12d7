"""Headers that capture points put before packets, IPsec in clear, tunnels on ports of their own, reports of traffic."""

import itertools
import struct
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.netflow import NetflowHeader, NetflowHeaderV5, NetflowRecordV5
from scapy.layers.vxlan import VXLAN

from auditor.reading.samples import samples
from tests import wire

Run = Callable[..., Any]
OUTER = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IP(src="172.31.0.1", dst="172.31.0.2")
REQUEST = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"


def frames(version: int = 4) -> list[bytes]:
    ends = ("2001:db8::1", "2001:db8::2") if version == 6 else (wire.CLIENT, wire.SERVER)
    return wire.Talk(client=ends[0], server=ends[1]).open().play([("c", REQUEST)]).close().packets


def pktap(frame: bytes, name: str, link: int = 1, order: str = "<", size: int = 108) -> bytes:
    head = struct.pack(f"{order}III24s", size, 1, link, name.encode())
    return head.ljust(size, b"\0") + frame


def enc(frame: bytes, spi: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}I", 2) + struct.pack(">I", spi) + struct.pack(f"{order}I", 3) + frame[14:]


def pflog(frame: bytes, name: str, size: int = 61) -> bytes:
    return struct.pack("BBBB16s", size, 2, 0, 0, name.encode()).ljust((size + 3) & ~3, b"\0") + frame[14:]


def sll2(frame: bytes, index: int) -> bytes:
    return struct.pack(">HHIHBB8s", 0x0800, 0, index, 1, 0, 6, frame[6:12]) + frame[14:]


def flow_of(result: Any) -> dict[str, Any]:
    row = wire.only(result.flows)
    assert row["server_name"] == "example.org"
    assert wire.only(result.captures)["not_ip"] == 0
    return row


@pytest.mark.parametrize(("link", "order", "size"), list(itertools.product((258, 149), "<>", (108, 156))))
def test_pktap(audit_bytes: Run, link: int, order: str, size: int) -> None:
    """The interface is the header's; Ethernet and raw IP are inside, under either link type; copies of bridges count once."""
    mixed = [
        pktap(frame if number % 2 else frame[14:], "en0" if number % 2 else "utun3", 1 if number % 2 else 12, order, size)
        for number, frame in enumerate(frames())
    ]  # fmt: skip
    assert flow_of(audit_bytes(wire.pcap(mixed, link=link)))["interface"] == "utun3"
    copied = [pktap(frame, name, 1, order, size) for frame in frames() for name in ("en0", "bridge100")]
    result = audit_bytes(wire.pcap(copied, link=link))
    assert flow_of(result)["interface"] == "en0"
    row = wire.only(result.captures)
    assert (row["interfaces"], row["duplicates"]) == ("en0 bridge100", len(frames()))


def test_a_users_own_link_type(audit_bytes: Run) -> None:
    """Link type 149 is a user's own: what is no PKTAP is counted as no IP."""
    row = wire.only(audit_bytes(wire.pcap([b"\xff" * 80, b"\0" * 80], link=149)).captures)
    assert (row["not_ip"], row["packets"]) == (2, 2)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [4, 6])
def test_enc(audit_bytes: Run, order: str, version: int) -> None:
    """What a BSD gateway has inside of its IPsec: the association is told, its renewal does not cut a flow in two."""
    packets = [enc(frame, 0x78563412 + number, order) for number, frame in enumerate(frames(version))]
    flow = flow_of(audit_bytes(wire.pcap(packets, link=109)))
    assert flow["tunnel"] == "ipsec spi-0x78563412"
    assert (flow["path"], flow["path_confidence"]) == ("vpn", "likely")


@pytest.mark.parametrize("size", [48, 61, 100])
def test_pflog(audit_bytes: Run, size: int) -> None:
    """What a packet filter logged has its interface."""
    result = audit_bytes(wire.pcap([pflog(frame, "vtnet0", size) for frame in frames()], link=117))
    assert flow_of(result)["interface"] == "vtnet0"


def test_cooked_packets_name_their_interface(audit_bytes: Run) -> None:
    """Of a router's capture of all interfaces each packet is of its own, and counts once; a pcapng's own names stay."""
    passed = [sll2(frame, index) for frame in frames() for index in (2, 3)]
    data = wire.section() + wire.interface(1, wire.option(2, b"dx0")) + wire.interface(276, wire.option(2, b"any"))
    data += b"".join(wire.enhanced(packet, 1_700_000_000_000_000 + k, 1) for k, packet in enumerate(passed))
    data += wire.interface(1, wire.option(2, b"late"))
    data += wire.enhanced(frames()[0].replace(b"\x9c\x40", b"\x9c\x41"), 1_700_000_000_000_099, 2)
    data += wire.block(5, struct.pack("<III", 2, 0, 0) + wire.option(5, struct.pack("<Q", 17)))
    result = audit_bytes(data)
    assert sorted(result.flows["interface"]) == ["ifindex-2", "late"]
    row = wire.only(result.captures)
    assert (sorted(row["interfaces"].split()), row["dropped"]) == (["any", "dx0", "ifindex-2", "ifindex-3", "late"], 17)
    assert row["duplicates"] == len(frames())


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("icv", [12, 16])
@pytest.mark.parametrize("mode", ["transport", "tunnel", "with options"])
def test_authentication_header(audit_bytes: Run, version: int, icv: int, mode: str) -> None:
    """AH encrypts nothing: the flow inside is read, and marked, in transport and in tunnel mode."""
    packets = []
    for number, frame in enumerate(frames(version)):
        network = Ether(frame).payload
        number_of = {4: 4, 6: 41}[version] if mode == "tunnel" else 6
        inner = bytes(network) if mode == "tunnel" else bytes(network.payload)
        head = AH(nh=number_of, payloadlen=(12 + icv) // 4 - 2, spi=0x1000 + number, seq=number, icv=bytes(icv))
        packet: Any
        if version == 4:
            packet = IP(src=network.src, dst=network.dst, id=number + 5, proto=51) / head / inner
        elif mode == "with options":
            packet = IPv6(src=network.src, dst=network.dst) / IPv6ExtHdrDestOpt(nh=51) / bytes(head) / inner
        else:
            packet = IPv6(src=network.src, dst=network.dst, nh=51) / bytes(head) / inner
        packets.append(bytes(Ether(frame[:14]) / packet))
    flow = flow_of(audit_bytes(wire.pcap(packets)))
    assert "ah" in flow["tunnel"]
    assert "spi-0x00001000" in flow["tunnel"]


def test_esp_inside_of_ah(audit_bytes: Run) -> None:
    """ESP that AH authenticates is a flow of ESP."""
    packet = OUTER / AH(nh=50, payloadlen=4, spi=7, seq=1, icv=bytes(12)) / (struct.pack(">II", 9, 1) + bytes(64))
    flow = wire.only(audit_bytes(wire.pcap([bytes(packet)])).flows)
    assert (flow["transport"], flow["protocol"]) == ("esp", "esp")


PORTS = [(9, 8472), (8472, 8472), (40_000, 51_820), (40_000, 14_789), (40_000, 4789)]


KINDS = [
    (kind, version, tagged, ports)
    for kind in ("vxlan", "geneve", "geneve with options", "geneve ip")
    for version in (4, 6)
    for tagged in (False, True)
    for ports in PORTS
    if not (kind == "geneve ip" and tagged) and (kind == "vxlan" or ports[1] not in (8472, 4789))
]


@pytest.mark.parametrize(("kind", "version", "tagged", "ports"), KINDS)
def test_tunnels_on_any_port(audit_bytes: Run, kind: str, version: int, tagged: bool, ports: tuple[int, int]) -> None:
    """VXLAN on 8472 and on any port, and GENEVE, are read where the bytes leave no doubt."""
    packets = []
    for frame in frames(version):
        inner = Ether(frame)
        if tagged:
            inner = Ether(src=inner.src, dst=inner.dst) / Dot1Q(vlan=5) / inner.payload
        if kind == "vxlan":
            packet = OUTER / UDP(sport=ports[0], dport=ports[1]) / VXLAN(vni=77, flags="Instance") / inner
        elif kind == "geneve ip":
            protocol = 0x0800 if version == 4 else 0x86DD
            packet = OUTER / UDP(sport=ports[0], dport=ports[1]) / GENEVE(vni=77, proto=protocol) / inner[Ether].payload
        else:
            options = b"\1\x08\1\1\0\0\0\7" if "options" in kind else b""
            head = bytes([len(options) // 4, 0]) + b"\x65\x58" + (77).to_bytes(3, "big") + b"\0" + options
            packet = OUTER / UDP(sport=ports[0], dport=ports[1]) / (head + bytes(inner))
        packets.append(bytes(packet))
    flow = flow_of(audit_bytes(wire.pcap(packets)))
    assert flow["tunnel"] == f"{kind.split(maxsplit=1)[0]}:77"
    assert pd.isna(flow["vlan"]) != tagged


@pytest.mark.parametrize("at", [0, 1, 7, 20, 24, 30])
def test_what_only_resembles_a_tunnel_is_none(audit_bytes: Run, at: int) -> None:
    """On a port of no tunnel one wrong byte in the headers is enough for doubt."""
    payload = bytearray(bytes(VXLAN(vni=77, flags="Instance") / Ether(frames()[0])))
    payload[at] ^= 0x55
    flow = wire.only(audit_bytes(wire.pcap([bytes(OUTER / UDP(sport=9, dport=9999) / bytes(payload))])).flows)
    assert flow["transport"] == "udp"


def sflow(samples: list[bytes], agent: bytes = bytes([192, 0, 2, 1])) -> bytes:
    head = struct.pack(">II", 5, 1 if len(agent) == 4 else 2) + agent
    data = head + struct.pack(">IIII", 0, 7, 1000, len(samples))
    for number, frame in enumerate(samples):
        padded = frame + b"\0" * (-len(frame) % 4)
        record = struct.pack(">IIIIII", 1, 16 + len(padded), 1, len(frame) + 400, 4, len(frame)) + padded
        body = struct.pack(">IIIIIIII", number, 3, 512, 512 * number, 0, 3, 4, 1) + record
        data += struct.pack(">II", 1, len(body)) + body
    return data


REPORTS = {
    "sflow": [
        sflow([]),
        sflow([frames()[0][:128]]),
        sflow([frames()[0][:128], frames()[1]], bytes(16)),
    ],
    "netflow": [
        bytes(NetflowHeader(version=5) / NetflowHeaderV5(count=2) / NetflowRecordV5() / NetflowRecordV5()),
        struct.pack(">HHIIII", 9, 1, 1000, 1_700_000_000, 7, 1) + struct.pack(">HHHHHH", 0, 12, 256, 1, 8, 4),
    ],
    "ipfix": [
        struct.pack(">HHIII", 10, 28, 1_700_000_000, 7, 1) + struct.pack(">HHHHHH", 2, 12, 256, 1, 8, 4),
    ],
}


@pytest.mark.parametrize(("name", "which"), [(name, k) for name, all_of in REPORTS.items() for k in range(len(all_of))])
@pytest.mark.parametrize("port", [6343, 2055, 9995])
def test_reports_of_traffic_are_named(audit_bytes: Run, name: str, which: int, port: int) -> None:
    """SFlow, NetFlow and IPFIX are told by their form on any port, and that what they report is not looked into."""
    packet = bytes(OUTER / UDP(sport=50_000, dport=port) / REPORTS[name][which])
    result = audit_bytes(wire.pcap([packet, packet]))
    assert wire.only(result.flows[result.flows["server_port"] == port])["protocol"] == name
    assert "report" in wire.only(result.captures)["warnings"]


def sampled(frames_of: list[bytes], expanded: bool) -> list[bytes]:
    """Reports of one sampled frame each, in plain or expanded flow samples, with a counter sample before it."""
    reports = []
    for frame in frames_of:
        data = sflow([frame])
        if expanded:
            body = data[36:]
            body = body[:4] + struct.pack(">II", 0, 3) + body[8:20] + struct.pack(">IIII", 0, 3, 0, 4) + body[28:]
            data = data[:28] + struct.pack(">II", 3, len(body)) + body
        counters = struct.pack(">II", 2, 12) + bytes(12)
        reports.append(data[:24] + struct.pack(">I", 2) + counters + data[28:])
    return reports


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_sampled_packets_are_looked_into(audit_bytes: Run, version: int, expanded: bool) -> None:
    """What sFlow samples are packets of flows of their own, marked as such; they are not counted as the capture's."""
    reports = sampled(frames(version), expanded)
    packets = [bytes(OUTER / UDP(sport=50_000, dport=6343) / report) for report in reports]
    result = audit_bytes(wire.pcap(packets))
    row = wire.only(result.captures)
    assert (row["packets"], row["wire_bytes"], row["short"]) == (len(packets), sum(map(len, packets)), 0)
    assert f"{len(packets)} sampled packets" in row["warnings"]
    flow = wire.only(result.flows[result.flows["tunnel"] == "sflow"])
    assert (flow["server_name"], flow["client_packets"] + flow["server_packets"]) == ("example.org", len(packets))
    assert flow["path_confidence"] != "confirmed"


@settings(max_examples=60)
@given(cut=st.integers(0, 400), at=st.integers(0, 399), byte=st.integers(0, 255))
def test_damaged_reports_are_no_trouble(cut: int, at: int, byte: int) -> None:
    """Whatever is cut off or changed in a report, its samples are what is whole in it."""
    data = bytearray(sflow([frames()[3][:120], frames()[0]]))
    data[min(at, len(data) - 1)] = byte
    for sample in samples(bytes(data[: len(data) - min(cut, len(data))])):
        assert 0 < len(sample.data) <= sample.length


def test_link_types_by_name(audit_bytes: Run) -> None:
    """What is not decoded, or not all of it, is told by its name, as USB and IEEE 802.15.4 are."""
    for link, name in ((220, "Linux USB"), (249, "Windows USBPcap"), (195, "IEEE 802.15.4"), (230, "IEEE 802.15.4")):
        row = wire.only(audit_bytes(wire.pcap([bytes(60)], link=link)).captures)
        assert name in row["warnings"]
        assert f"({link})" in row["warnings"]
    assert "link type 4711" in wire.only(audit_bytes(wire.pcap([bytes(60)], link=4711)).captures)["warnings"]
