"""Paths are proven by evidence: what the frame shows, and what the topology file asserts."""

from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.paths.topology import Topology, example
from tests import wire

VIF = """
[[virtual_interface]]
name = "dx1"
vlan = 101
peer_mac = "02:00:00:00:00:02"
interface = "dx0"
"""
HOME = '[site]\non_premises = "10.0.0.0/8"\n'
PUBLIC = VIF.replace('peer_mac = "02:00:00:00:00:02"', 'kind = "public"')
ISP = """
[[uplink]]
name = "isp"
vlan = 200
peer_mac = "02:00:00:00:00:99"
"""


def tagged(packet: bytes, vlan: int | None, hop: str = "02:00:00:00:00:02", outward: bool = True) -> bytes:
    here, there = bytes.fromhex("020000000001"), bytes.fromhex(hop.replace(":", ""))
    macs = there + here if outward else here + there
    return macs + (b"\x81\0" + vlan.to_bytes(2, "big") if vlan else b"") + packet[12:]


def ways(vlan: int | None, hop: str = "02:00:00:00:00:02", back: tuple[int | None, str] | None = None) -> list[bytes]:
    talk = wire.Talk(server="52.94.244.10").open()
    packets = []
    for packet in talk.packets:
        outward = packet[26:30] == bytes([10, 0, 0, 1])
        tag, peer = (vlan, hop) if outward or back is None else back
        packets.append(tagged(packet, tag, peer, outward))
    return packets


@pytest.fixture
def path_of(audit_bytes: Any, tmp_path: Path) -> Any:
    """The flow's row for packets and a topology text."""

    def run(packets: list[bytes] | bytes, topology: str = "") -> dict[str, Any]:
        (tmp_path / "site.toml").write_text(topology)
        data = packets if isinstance(packets, bytes) else wire.pcap(packets)
        return wire.only(audit_bytes(data, topology=tmp_path / "site.toml").flows)

    return run


OTHER = "02:00:00:00:00:77"


@pytest.mark.parametrize(
    ("packets", "topology", "path", "confidence"),
    [
        (ways(101), VIF, "direct-connect", "confirmed"),
        (ways(None), VIF, "direct-connect", "likely"),  # the tag was stripped, the MAC is the peer's
        (ways(101), PUBLIC, "direct-connect", "likely"),  # the tag alone
        (ways(101, OTHER), VIF, "unknown", "none"),  # the tag of the link, but not its peer
        (ways(55), VIF, "unknown", "none"),  # the peer's MAC on another VLAN
        (ways(200, "02:00:00:00:00:99"), VIF + ISP, "internet", "confirmed"),
        (ways(101), ISP + VIF, "direct-connect", "confirmed"),
        (ways(300, OTHER), '[[vpn]]\nname = "v"\nvlan = 300\nprefixes = ["52.94.0.0/16"]\n', "vpn", "likely"),
        (ways(300, OTHER), '[[vpn]]\nname = "v"\nvlan = 300\n', "unknown", "none"),  # a public server is not behind it
        (ways(None), HOME + '[[vpn]]\nname = "v"\nprefixes = ["52.94.0.0/16"]\n', "vpn", "likely"),
        (ways(None), '[[vpn]]\nname = "v"\nprefixes = ["52.94.0.0/16"]\n', "unknown", "none"),  # one end alone
        (ways(None), "", "unknown", "none"),  # a public server says nothing of the way
    ],
)
def test_ladder(path_of: Any, packets: list[bytes], topology: str, path: str, confidence: str) -> None:
    """VLAN and MAC together confirm; one alone makes likely; a contradiction proves nothing."""
    row = path_of(packets, topology)
    assert (row["path"], row["path_confidence"]) == (path, confidence)


def test_interface_and_vlan_confirm(path_of: Any) -> None:
    """The link's interface and VLAN confirm it where the owner says that the router was captured; else they make likely."""
    packets = [tagged(p, 101, "00:00:00:00:00:00") for p in wire.Talk(server="52.94.244.10").open().packets]
    data = wire.section() + wire.interface(options=wire.option(2, b"dx0"))
    data += b"".join(wire.enhanced(p, 1_700_000_000_000_000 + k) for k, p in enumerate(packets))
    point = '[[capture_point]]\nname = "router"\nfile = "test*"\nlink = "dx1"\n'
    row = path_of(data, PUBLIC + point)
    assert (row["path"], row["path_confidence"]) == ("direct-connect", "confirmed")
    somewhere = point.replace(
        'link = "dx1"', 'site = "hq"'
    )  # a hypervisor of the site has an eth1 with a VLAN 101, too
    at_site = '[site]\nname = "hq"\n' + PUBLIC.replace("vlan = 101", 'vlan = 101\nsite = "hq"') + somewhere
    for topology in (PUBLIC, PUBLIC.replace("vlan = 101", ""), at_site):
        row = path_of(data, topology)
        assert (row["path"], row["path_confidence"]) == ("direct-connect", "likely")


def test_asymmetric(path_of: Any) -> None:
    """Out by one link and back by another is reported, with both."""
    row = path_of(ways(101, back=(200, "02:00:00:00:00:99")), VIF + ISP)
    assert row["path_asymmetric"]
    assert "out: VLAN 101" in row["path_detail"]
    assert "back: VLAN 200" in row["path_detail"]
    assert path_of(ways(101), VIF)["path_asymmetric"] is False


def test_without_topology(path_of: Any) -> None:
    """Private addresses are private with the way unproven; PPPoE shows the internet, a public client nothing."""
    assert path_of(wire.Talk(server="172.31.0.5").open().packets)["path"] == "private"
    pppoe = [
        p[:12] + b"\x88\x64\x11\0\0\x01" + (len(p) - 12).to_bytes(2, "big") + b"\0\x21" + p[14:] for p in ways(None)
    ]
    assert path_of(pppoe)["path"] == "internet"
    row = path_of(wire.Talk(client="8.8.8.8", server="52.94.244.10").open().packets)
    assert (row["path"], row["path_confidence"]) == ("unknown", "none")


def test_inside_a_vpc(path_of: Any) -> None:
    """Both addresses inside a VPC: likely, and confirmed where a traffic mirror shows it."""
    vpc = '[[vpc]]\nname = "v"\nprefixes = ["172.31.0.0/16"]\n'
    inner = wire.Talk(client="172.31.0.4", server="172.31.0.5").open().packets
    assert path_of(inner, vpc)["path_confidence"] == "likely"
    header, collector = b"\x08\0\0\0\0\x10\0\0", "172.31.9.1"
    mirrored = [wire.datagram(header + p, dport=4789, client="172.31.9.9", server=collector) for p in inner]
    row = path_of(mirrored, vpc)
    assert (row["path"], row["path_confidence"], row["tunnel"]) == ("vpc", "confirmed", "vxlan:4096")


SECOND = wire.SECOND
NAT = '[[nat]]\nname = "edge"\ninside = "10.0.0.0/8"\noutside = "198.51.100.7/32"\n'


@pytest.mark.parametrize(
    ("apart", "is_same"),
    [(0, True), (SECOND, True), (-SECOND, True), (SECOND + 1, False), (-SECOND - 1, False)],
)
def test_translated_flows_begin_within_a_second(audit_bytes: Any, tmp_path: Path, apart: int, is_same: bool) -> None:
    """A flow behind NAT has the path of the flow outside that began within a second of it, and of no other.

    It was five seconds: who asks a server the same every few seconds has several connections of one size in that time.
    """
    (tmp_path / "site.toml").write_text(VIF + NAT)
    begun = 1_700_000_000 * SECOND
    inside = wire.Talk(server="52.94.244.10").open().packets
    outside = wire.Talk(sport=61_000, client="198.51.100.7", server="52.94.244.10").open().packets
    frames = [
        (begun + k, tagged(packet, None, OTHER, outward=packet[26:30] == bytes([10, 0, 0, 1])))
        for k, packet in enumerate(inside)
    ]
    frames += [
        (begun + apart + k, tagged(packet, 101, outward=packet[26:30] == bytes([198, 51, 100, 7])))
        for k, packet in enumerate(outside)
    ]
    result = audit_bytes(wire.pcap(sorted(frames), nanoseconds=True), topology=tmp_path / "site.toml")
    flows = result.flows.set_index("client_ip")
    assert flows.loc["198.51.100.7", "path_confidence"] == "confirmed"
    assert flows.loc["10.0.0.1", "path"] == ("direct-connect" if is_same else "unknown")
    assert ("nat" in set(result.evidence["kind"].astype(str))) is is_same


def test_office_story(office: Any) -> None:
    """The sample shows every path, and every verdict names its evidence."""
    flows = office.flows[office.flows["service"].notna()]
    assert set(flows["path"].astype(str)) == {"direct-connect", "vpn", "vpc", "internet"}
    assert (flows["path_out_confidence"] == "confirmed").all()
    assert (flows["path_back_confidence"] == "confirmed").all()
    assert ((flows["path_confidence"] == "confirmed") == ~flows["path_asymmetric"].astype(bool)).all()
    assert set(flows["flow_id"]) <= set(office.evidence["flow_id"])
    assert flows["path_asymmetric"].sum() == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[virtual_interface]]\nname = "x"\nvlan = 5000\n', "virtual_interface[0].vlan"),
        ('[[virtual_interface]]\nname = "x"\nvlan = 4095\n', "4095 is no VLAN: they go from 1 to 4094"),
        ('[[virtual_interface]]\nname = "x"\nvlan = 0\n', "0 is no VLAN: they go from 1 to 4094"),
        ('[[virtual_interface]]\nname = "x"\n', "virtual_interface[0]: give at least one of vlan"),
        ('[[rule]]\nlink = "x"\nvlan = 3\n', "rule[0].link: no link is named 'x'; there are none"),
        ('[[uplink]]\nname = "x"\nvlan = 3\nsite = "a"\n', "site of 'x': no site is named 'a'"),
        ('[[nat]]\nname = "x"\ninside = "10.0.0.0/8"\n', "nat[0].outside: this key is required"),
        ("[[virtual_interface]]\nvlan = 5\n", "virtual_interface[0].name: this key is required"),
        (
            '[[uplink]]\nname = "x"\nvlan = 5\nmac = "1"\n',
            "uplink[0].mac: unknown key; known keys are name, site, vlan, peer_mac",
        ),
        ('[[uplink]]\nname = "x"\npeer_mac = "nonsense"\n', "uplink[0].peer_mac: 'nonsense' is no MAC address"),
        ('[site]\non_premises = ["10.0.0.1/8"]\n', "site.on_premises[0]: '10.0.0.1/8' is no prefix"),
        ("[[vpc]]\nname = 'v'\nprefixes = []\n", "vpc[0].prefixes"),
        ('[[uplink]]\nname = "x"\nvlan = 3\n[[vpn]]\nname = "x"\nvlan = 4\n', "site.toml: two links are named 'x'"),
        ("[site\n", "not valid TOML"),
    ],
)
def test_topology_errors_name_the_key(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong in a topology file is said with the file, the key and what would be right."""
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(auditor.TopologyError) as caught:
        Topology.read(tmp_path / "site.toml")
    assert "site.toml" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("vlan", [1, 4094])
def test_the_first_and_the_last_vlan(tmp_path: Path, vlan: int) -> None:
    """VLANs go from 1 to 4094 (IEEE 802.1Q 9.6)."""
    (tmp_path / "site.toml").write_text(f'[[uplink]]\nname = "x"\nvlan = {vlan}\n')
    (link,) = Topology.read(tmp_path / "site.toml").links()
    assert link.vlan == str(vlan)


def test_the_example_is_valid(tmp_path: Path) -> None:
    """What `audit topology init` writes can be read."""
    (tmp_path / "site.toml").write_text(example())
    assert len(list(Topology.read(tmp_path / "site.toml").links())) == 4
