"""Routing tables as routers print them for people."""

import json
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.paths import route_files
from auditor.paths.routes import Hop
from auditor.prefixes import parse, parse_address
from tests import route_tables
from tests.route_tables import AWS, ISP, hop_to

CODES = "Codes: C - connected, S - static, B - BGP\n       * - candidate default\n\n"
FRR = "Codes: K - kernel route, B - BGP,\n       > - selected route, * - FIB route\n\n"
LAST = f"Gateway of last resort is {ISP} to network 0.0.0.0\n\n"
AOS_CX = (
    "Prefix              Nexthop          Interface     VRF(egress)       Origin/   Distance/    Age\n"
    "                                                                     Type      Metric\n---------------------\n"
)
TEXTS = {
    "ip route": f"default via {ISP} dev eth2 proto static\n52.94.0.0/16 via {AWS} dev eth1.102 proto bgp metric 20\n",
    "ip route, with the prompt": f"root@edge-1:~# ip route show\ndefault via {ISP} dev eth2 \n52.94.0.0/16 via {AWS} dev eth1.102 proto bgp src 192.0.2.2 metric 20 \nroot@edge-1:~# \n",
    "ip route, two metrics": f"default via {ISP} dev eth2\n52.94.0.0/16 via {ISP} dev eth2 metric 200\n"
    f"52.94.0.0/16 via {AWS} dev eth1.102 metric 20\nblackhole 10.0.0.0/8 proto static\n",
    "ip route of all tables": f"default via {ISP} dev eth2\n52.94.0.0/16 nhid 18 via {AWS} dev eth1.102 proto bgp\n"
    f"52.94.5.0/24 via {ISP} dev eth2 table 100\nlocal 127.0.0.1 dev lo table local proto kernel\n",
    "ip route, a next hop that is dead": f"default via {ISP} dev eth2\n52.94.0.0/16 proto bgp metric 20\n"
    f"\tnexthop via {ISP} dev eth2 weight 1 dead linkdown\n\tnexthop via {AWS} dev eth1.102 weight 1\n",
    "IOS": f"{CODES}{LAST}S*    0.0.0.0/0 [1/0] via {ISP}\n      52.0.0.0/8 is variably subnetted, 2 subnets, 2 masks\n"
    f"B        52.94.0.0/16 [20/0] via {AWS}, 2d01h\nC        192.0.2.0/30 is directly connected, Gi0/1.102\n",
    "IOS, subnets of one length": f"{CODES}{LAST}O*E2  0.0.0.0/0 [110/1] via {ISP}, 2d01h, Gi0/2\n"
    f"      52.0.0.0/16 is subnetted, 2 subnets\nB        52.94.0.0 [20/0] via {AWS}, 2d01h\n",
    "IOS, another VRF": f"Routing Table: red\n{CODES}B        52.94.5.0/24 [20/0] via {ISP}, 2d\n\n"
    f"Routing Table: default\n{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\nB        52.94.0.0/16 [20/0] via {AWS}, 2d\n",
    "IOS XR": f"{CODES}{LAST}S*   0.0.0.0/0 [1/0] via {ISP}, 1w2d\nB    52.94.0.0/16 [20/0] via {AWS}, 2d01h\n",
    "EOS": f"VRF: default\n{CODES}Gateway of last resort:\n S        0.0.0.0/0 [1/0] via {ISP}, Ethernet2\n\n"
    f" B E      52.94.0.0/16 [200/0] via {AWS}, Vlan102\n C        192.0.2.0/30 is directly connected, Vlan102\n",
    "EOS, next hops below": f"VRF: default\nSource {CODES}Gateway of last resort:\n S        0.0.0.0/0 [1/0]\n           via {ISP}, Ethernet2\n\n"
    f" B E      52.94.0.0/16 [200/0]\n           via {AWS}, Vlan102\n C        192.0.2.0/30\n           directly connected, Vlan102\n",
    "FortiOS": f"{CODES}Routing table for VRF=0\nS*      0.0.0.0/0 [10/0] via {ISP}, wan1, [1/0]\n"
    f"B       52.94.0.0/16 [20/0] via {AWS} (recursive is directly connected, port1), 2d01h, [1/0]\n",
    "FRR": f"{FRR}S>* 0.0.0.0/0 [1/0] via {ISP}, eth2, weight 1, 2d01h\nB   52.94.0.0/16 [200/0] via {ISP}, eth2, weight 1, 2d\n"
    f"B>* 52.94.0.0/16 [20/0] via {AWS}, eth1.102, weight 1, 2d01h\n",
    "FRR 10.4, another VRF": f"{FRR}IPv4 unicast VRF default:\nS>* 0.0.0.0/0 [1/0] via {ISP}, eth2, weight 1, 2d\nB>* 52.94.0.0/16 [20/0] via {AWS}, eth1, weight 1, 2d\n\n"
    f"IPv4 unicast VRF red:\nB>* 52.94.5.0/24 [20/0] via {ISP}, eth2, weight 1, 2d\n",
    "FortiOS, without a legend": f"Routing table for VRF=0\nS*      0.0.0.0/0 [5/0] via {ISP}, port1, [1/0]\nB       52.94.0.0/16 [20/0] via {AWS} (recursive is directly connected, vxc), 2d, [1/0]\n",
    "ESR": f"Codes: C - connected, S - static,\n       * - FIB route\n\nS     * 0.0.0.0/0          [1/0]             via {ISP} on gigabitethernet 1/0/2  [static 11:22:33]\n"
    f"B     * 52.94.0.0/16       [170/0]           via {AWS} on gigabitethernet 1/0/1  [bgp65010 11:22:33]\n"
    f"B       52.94.0.0/16       [170/0]           via {ISP} on gigabitethernet 1/0/2  [bgp65010 11:22:33]\nS       52.94.5.0/24       [1/0]             via {ISP} on gigabitethernet 1/0/2  [static 11:22:33]\n",
    "FRR, recursive": f"{FRR}S>* 0.0.0.0/0 [1/0] via {ISP}, eth2, weight 1, 2d\nB>  52.94.0.0/16 [200/0] via 10.255.0.1 (recursive), weight 1, 2d\n"
    f"  *                      via {AWS}, eth1.102, weight 1, 2d\n",
    "FRR, another VRF": f"{FRR}VRF default:\nS>* 0.0.0.0/0 [1/0] via {ISP}, eth2, 2d\nB>* 52.94.0.0/16 [20/0] via {AWS}, eth1, 2d\n\n"
    f"VRF red:\nB>* 52.94.5.0/24 [20/0] via {ISP}, eth2, 2d\n",
    "NX-OS": f'IP Route Table for VRF "default"\n\n0.0.0.0/0, ubest/mbest: 1/0\n    *via {ISP}, [1/0], 2d, static\n'
    f"52.94.0.0/16, ubest/mbest: 1/0\n    *via {AWS}, [20/0], 2d, bgp-65010, external, tag 7224\n     via {ISP}, [200/0], 2d, bgp\n"
    f'IP Route Table for VRF "red"\n52.94.5.0/24, ubest/mbest: 1/0\n    *via {ISP}, [1/0], 2d, static\n',
    "Junos": f"inet.0: 5 destinations, 6 routes (5 active, 0 holddown, 0 hidden)\n+ = Active Route, - = Last Active, * = Both\n\n"
    f"0.0.0.0/0          *[Static/5] 2w0d 03:11:22\n                    >  to {ISP} via ge-0/0/2.0\n"
    f"52.94.0.0/16       *[BGP/170] 2d 01:00:00, localpref 100\n                      AS path: 7224 16509 I\n"
    f"                    > to {AWS} via ge-0/0/1.102\n                    [BGP/170] 1d, localpref 90\n"
    f"                    > to {ISP} via ge-0/0/2.0\n\nred.inet.0: 1 destinations, 1 routes (1 active)\n\n"
    f"52.94.5.0/24       *[Static/5] 2w0d\n                    > to {ISP} via ge-0/0/2.0\n",
    "IOS XR, backups of fast reroute": f"{CODES}{LAST}i*L2 0.0.0.0/0 [115/20] via {ISP}, 2d, Te0/0/0/2\n                [115/0] via {AWS}, 2d, Te0/0/0/1 (!)\n"
    f"i L2 52.94.0.0/16 [115/20] via {AWS}, 2d, Te0/0/0/1\n                [115/0] via {ISP}, 2d, Te0/0/0/2 (!)\n",
    "ASA, a default route of tunnels": f"{CODES}{LAST}S*       0.0.0.0 0.0.0.0 [1/0] via {ISP}, outside\nS    0.0.0.0 0.0.0.0 [255/0] via {AWS}, inside tunneled\n"
    f"B        52.94.0.0 255.255.0.0\n           [20/0] via {AWS}, 2d\nS        52.94.0.0 255.255.0.0\n           [255/0] via {ISP}, inside tunneled\n",
    "AlliedWare, another VRF": f"{CODES}{LAST}S*      0.0.0.0/0 [1/0] via {ISP}, vlan20\nB       52.94.0.0/16 [20/0] via {AWS}, vlan102, 2d\n\n"
    f"[VRF: red]\n{LAST}S*      0.0.0.0/0 [1/0] via {AWS}, vlan102\nS       52.94.5.0/24 [1/0] via {ISP}, vlan20\n",
    "FRR, a policy's table": f"{FRR}VRF default table 254:\nS>* 0.0.0.0/0 [1/0] via {ISP}, eth2, 2d\nB>* 52.94.0.0/16 [20/0] via {AWS}, eth1, 2d\n\n"
    f"VRF default table 100:\nS>* 52.94.5.0/24 [1/0] via {ISP}, eth2, 2d\n",
    "EOS, one VRF": f"VRF: dx\n{CODES}Gateway of last resort:\n S        0.0.0.0/0 [1/0] via {ISP}, Ethernet2\n\n B E      52.94.0.0/16 [200/0] via {AWS}, Vlan102\n",
    "FRR, one VRF": f"{FRR}VRF dx:\nS>* 0.0.0.0/0 [1/0] via {ISP}, eth2, 2d\nB>* 52.94.0.0/16 [20/0] via {AWS}, eth1, 2d\nS>* 52.94.5.0/24 [9/0] via {AWS}, eth1, 2d\n",
    "Junos, other tables": f"inet.0: 2 destinations, 2 routes (2 active, 0 holddown, 0 hidden)\n\n0.0.0.0/0          *[Static/5] 2w\n                    > to {ISP} via ge-0/0/2.0\n"
    f"52.94.0.0/16\n                   *[BGP/170] 2d, localpref 100\n                    > to {AWS} via ge-0/0/1.102\n\n"
    f"inet.3: 1 destinations, 1 routes\n\n52.94.5.0/24       *[LDP/9] 2d, metric 1\n                    > to {ISP} via ge-0/0/2.0, Push 16\n\n"
    f"mpls.0: 1 destinations, 1 routes\n\n52.94.5.0/24       *[MPLS/0] 2d\n                    > to {ISP} via ge-0/0/2.0\n",
    "show ip bgp, another VRF": f"BGP routing table information for VRF default, address family IPv4 Unicast\n\n   Network            Next Hop            Metric     LocPrf     Weight Path\n"
    f"*>e0.0.0.0/0          {ISP}                                      0 64999 i\n*>e52.94.0.0/16       {AWS}                                        0 7224 i\n\n"
    f"BGP routing table information for VRF red, address family IPv4 Unicast\n\n   Network            Next Hop            Metric     LocPrf     Weight Path\n"
    f"*>e52.94.5.0/24       {ISP}                                      0 64999 i\n",
    "show bgp all": f"For address family: IPv4 Unicast\n\n     Network          Next Hop            Metric LocPrf Weight Path\n *>   0.0.0.0          {ISP}                           0 64999 i\n"
    f" *>   52.94.0.0/16     {AWS}                             0 7224 i\n\nFor address family: VPNv4 Unicast\n\n     Network          Next Hop            Metric LocPrf Weight Path\n"
    f"Route Distinguisher: 64999:1 (default for vrf red)\n *>   52.94.5.0/24     {ISP}                           0 64999 i\n",
    "AOS-CX": f"Displaying ipv4 routes selected for forwarding\n\n'[x/y]' denotes [distance/metric]\n\n0.0.0.0/0, vrf default\n\tvia  {ISP},  [1/0],  static\n"
    f"52.94.0.0/16, vrf default\n\tvia  {AWS},  [20/0],  bgp\n52.94.5.0/24, vrf red\n\tvia  {ISP},  [1/0],  static\n",
    "AOS-CX, a table": f"VRF: default\n\n{AOS_CX}0.0.0.0/0           {ISP}      1/1/2         -                 S         [1/0]        01h:20m:36s\n"
    f"52.94.0.0/16        {AWS}        1/1/1         -                 B/E       [20/0]       01h:20m:36s\n\nVRF: red\n\n"
    f"{AOS_CX}52.94.5.0/24        {ISP}      1/1/2         -                 S         [1/0]        01h:20m:36s\n",
    "BIRD 2": f"BIRD 2.0.12 ready.\nTable master4:\n0.0.0.0/0            unicast [static1 2026-11-01] * (200)\n\tvia {ISP} on eth2\n"
    f"52.94.0.0/16         unicast [isp 2026-11-01] (100) [AS16509i]\n\tvia {ISP} on eth2\n"
    f"                     unicast [aws_dx 2026-11-01] * (100) [AS16509i]\n\tvia {AWS} on eth1.102\n",
    "BIRD 2, OSPF": f"BIRD 2.15.1 ready.\nTable master4:\n0.0.0.0/0            unicast [ospf1 2026-11-01] * E2 (150/5/10000) [192.0.2.141]\n\tvia {ISP} on eth2\n"
    f"52.94.0.0/16         unicast [isp 2026-11-01] ! (100) [AS16509i]\n\tvia {ISP} on eth2\n"
    f"                     unicast [ospf1 2026-11-01] * I (150/5) [192.0.2.1]\n\tvia {AWS} on eth1.102\n",
    "BIRD 1": f"BIRD 1.6.8 ready.\n0.0.0.0/0          via {ISP} on eth2 [static1 2026-11-01] * (200)\n"
    f"52.94.0.0/16       via {AWS} on eth1.102 [aws_dx 2026-11-01] * (100) [AS16509i]\n"
    f"                   via {ISP} on eth2 [isp 2026-11-01] (100) [AS16509i]\n",
}
NOWHERE = {
    "AOS-CX": f"VRF: default\n\n{AOS_CX}0.0.0.0/0           {ISP}      1/1/2         -                 S         [1/0]        1h\n"
    "52.94.0.0/16        blackhole        -             -                 S         [1/0]        1h\n",
    "ASA, to VPN clients on one line": f"{CODES}S*       0.0.0.0 0.0.0.0 [1/0] via {ISP}, outside\nV        52.94.0.0 255.255.0.0 connected by VPN (advertised), outside\n",
    "EOS": f"{CODES}Gateway of last resort:\n S        0.0.0.0/0 [1/0]\n           via {ISP}, Ethernet2\n"
    " S        52.94.0.0/16\n           directly connected, Null0\n",
    "IOS": f"{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\nS        52.94.0.0/16 is directly connected, Null0\n",
    "IOS, a summary": f"{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\nD        52.94.0.0/16 is a summary, 2d, Null0\n",
    "FRR": f"{FRR}S>* 0.0.0.0/0 [1/0] via {ISP}, eth2, 2d\nS>* 52.94.0.0/16 [1/0] unreachable (blackhole), weight 1, 2d\n",
    "FRR, not in the kernel's table": f"{FRR}S>* 0.0.0.0/0 [1/0] via {ISP}, eth2, 2d\nB>r 52.94.0.0/16 [20/0] via {AWS}, eth1, 2d\n",
    "NX-OS": f"0.0.0.0/0, ubest/mbest: 1/0\n    *via {ISP}, [1/0]\n52.94.0.0/16, ubest/mbest: 1/0\n    *via Null0, [1/0], 2d, static\n",
    "Junos": f"inet.0: 2 destinations, 2 routes\n0.0.0.0/0          *[Static/5] 2w\n                    > to {ISP} via ge-0/0/2.0\n"
    "52.94.0.0/16       *[Static/5] 2w\n                      Discard\n",
    "BIRD": f"BIRD 2.0.12 ready.\nTable master4:\n0.0.0.0/0     unicast [static1 2026] * (200)\n\tvia {ISP} on eth2\n"
    "52.94.0.0/16  blackhole [static1 2026] * (200)\n",
    "ASA, to its own VPN clients": f"{CODES}S*       0.0.0.0 0.0.0.0 [1/0] via {ISP}, outside\nV        52.94.0.0 255.255.0.0\n                        connected by VPN (advertised), outside\n",
    "FortiOS, a summary": f"{CODES}Routing table for VRF=0\nS*      0.0.0.0/0 [10/0] via {ISP}, wan1\nS       52.94.0.0/16 [254/0] is a summary, Null, [1/0]\n",
    "ip route": f"default via {ISP} dev eth2\nunreachable 52.94.0.0/16 proto static\n",
}


def texts(named: dict[str, str]) -> list[Any]:
    """Tables as parameters of a test, by their names."""
    return [pytest.param(text, id=name) for name, text in named.items()]


@pytest.mark.parametrize("text", texts(TEXTS | route_tables.TEXTS))
def test_next_hops(tmp_path: Path, text: str) -> None:
    """The route in force leads to its next hop; routes of other VRFs and tables, and those not chosen, do not count."""
    for address, next_hop in (("52.94.5.10", AWS), ("203.0.113.1", ISP)):
        hop = hop_to(tmp_path, text, address)
        assert (hop.next_hop, hop.others) == (parse_address(next_hop), ())


@pytest.mark.parametrize("text", texts(NOWHERE | route_tables.NOWHERE))
def test_what_leads_nowhere(tmp_path: Path, text: str) -> None:
    """A route that throws packets away, or of which the next hop cannot be told, hides the shorter one."""
    assert hop_to(tmp_path, text, "52.94.5.10") == Hop()
    assert hop_to(tmp_path, text, "203.0.113.1").next_hop == parse_address(ISP)


@pytest.mark.parametrize(
    "text",
    [
        f"{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\n                [1/0] via {AWS}\n",
        f"{FRR}S>* 0.0.0.0/0 [1/0] via {ISP}, eth2, 2d\n  *                      via {AWS}, eth1, 2d\n",
        f"0.0.0.0/0, ubest/mbest: 2/0\n    *via {ISP}, [1/0]\n    *via {AWS}, [1/0]\n",
        f"default proto bgp \n\tnexthop via {ISP} dev eth2 weight 1 \n\tnexthop via {AWS} dev eth1 weight 1 \n",
        f"{CODES}S* 0.0.0.0 0.0.0.0 [10] via {ISP}, outside\n                    via {AWS}, inside\n",
        f"Routing table for VRF=0\nS*      0.0.0.0/0 [1/0] via {ISP}, port1\n[1/0] via {AWS}, port2\n",  # copied without its indents
        *route_tables.SEVERAL,
    ],
)
def test_several_next_hops(tmp_path: Path, text: str) -> None:
    """Next hops among which a router spreads flows are all of the route."""
    hop = hop_to(tmp_path, text, "52.94.1.1")
    assert {one.next_hop for one in (hop, *hop.others)} == {parse_address(ISP), parse_address(AWS)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{CODES}Routing table for VRF=0\nC       10.1.0.0/16 is directly connected, hub1\n                      is directly connected, hub2\n", [("", "hub1"), ("", "hub2")]),
        (f"{CODES}S       10.1.0.0/16 [10/0] via aws1 tunnel 203.0.113.9, [1/0]\n                    [10/0] via aws2 tunnel 203.0.113.17, [1/0]\n", [("", "aws1"), ("", "aws2")]),
        ('IP Route Table for VRF "default"\n\n10.1.0.0/16, ubest/mbest: 1/0, attached\n    *via 10.1.0.1, Vlan10, [0/0], 2d, direct\n', [("", "Vlan10")]),
        ("10.1.0.0/16, ubest/mbest: 1/0\n    *via 192.0.2.1%default, Eth1/1, [1/0], 2d, static\n", [("192.0.2.1", "Eth1/1")]),
        ("10.1.0.0/16, ubest/mbest: 1/0\n    *via 192.0.2.1%red, [20/0], 2d, bgp-65010, external\n", [("192.0.2.1", "VRF red")]),
        ("    Network          Next Hop            Metric LocPrf Weight Path\n *> 10.1.0.0/16      192.0.2.1@5<             0             0 7224 i\n", [("192.0.2.1", "VRF 5")]),
        ("    Network          Next Hop            Metric LocPrf Weight Path\n *> 10.1.0.0/16      0.0.0.0                  0         32768 i\n", [("", None)]),
        (f"{FRR}IPv4 unicast VRF dx:\nB>* 10.1.0.0/16 [20/0] via 192.0.2.1, eth1 (vrf red), weight 1, 2d\n", [("192.0.2.1", "VRF red")]),
        (f"{CODES}B    10.1.0.0/16 [200/2] via 192.0.2.1 (nexthop in vrf red), 2d\n", [("192.0.2.1", "VRF red")]),
        (f"{CODES}S        10.1.0.0/16 [1/0] via 0.0.0.0, Dialer1\n", [("", None)]),
        (f"{AOS_CX}10.1.0.0/16         192.0.2.1        1/1/1         -                 O         [110/2]      1h\n                    192.0.2.5        1/1/2         red                         [110/2]      1h\n", [("192.0.2.1", "1/1/1"), ("192.0.2.5", "VRF red")]),
        (f"{CODES}B        10.1.0.0/16 [20/0] via 192.0.2.1 (red), 2d\n", [("192.0.2.1", "VRF red")]),
        (f"{CODES}B        10.1.0.0/16 [20/0] via 192.0.2.1 (recursive is directly connected, port1), 2d\n", [("192.0.2.1", None)]),
    ],
)  # fmt: skip
def test_where_next_hops_are(tmp_path: Path, text: str, expected: list[tuple[str, str | None]]) -> None:
    """A route may lead to an interface alone, to several, and to an address that only another VRF's table knows."""
    hop = hop_to(tmp_path, text, "10.1.2.3")
    assert [(one.next_hop, one.interface) for one in (hop, *hop.others)] == [
        (parse_address(address) if address else None, interface) for address, interface in expected
    ]


IPV6 = "Codes: C - Connected, L - Local, S - Static, B - BGP\n"


@pytest.mark.parametrize(
    "text",
    [
        (f"IPv6 Routing Table - default - 3 entries\n{IPV6}S   ::/0 [1/0]\n     via 2001:db8:9::1\nB   2001:db8:a::/48 [20/0]\n     via FE80::1, Gi0/1.102\n"
        f"C   2001:db8:b::/64 [0/0]\n     via Gi0/1, directly connected\n\nIPv6 Routing Table - red - 1 entries\n{IPV6}S   2001:db8:a:5::/64 [1/0]\n     via 2001:db8:9::9\n"),
        ("inet6.0: 3 destinations, 3 routes (3 active, 0 holddown, 0 hidden)\n\n2001:db8:b::/64    *[Direct/0] 2d\n                    > via Gi0/1\n"
        "2001:db8:a::/48\n                   *[BGP/170] 2d, localpref 100\n                    > to fe80::1 via Gi0/1.102\n"),
    ],
)  # fmt: skip
def test_next_hops_of_ipv6(tmp_path: Path, text: str) -> None:
    """Next hops, and a long prefix before them, stand on lines of their own; another VRF's table does not count."""
    assert hop_to(tmp_path, text, "2001:db8:a:5::1").next_hop == parse_address("fe80::1")
    assert hop_to(tmp_path, text, "2001:db8:b::1").interface == "Gi0/1"


WIPED = "\b" * 10 + " " * 10 + "\b" * 10


@pytest.mark.parametrize(
    "text",
    [
        f"{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\r\n --More-- {WIPED}B        52.94.0.0/16 [20/0] via {AWS}, 2d\r\n",
        f"{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\n--More-- \r         \rB        52.94.0.0/16 [20/0] via {AWS}, 2d\n",
        f"{CODES}S*    0.0.0.0/0 [1/0] via {ISP}\nB        52.94.0.0/16 [20/0]\n --More-- {WIPED}           via {AWS}, 2d\n",
        (f"{route_tables.VRP.format('Public')}        0.0.0.0/0   Static  60   0          RD   {ISP}     GE0/0/2\n"
        f"  ---- More ----\x1b[42D{' ' * 42}\x1b[42D      52.94.0.0/16  EBGP    255  0          RD   {AWS}       GE0/0/1\n"),
        (f"     Network          Next Hop            Metric LocPrf Weight Path\n *>  0.0.0.0          {ISP}              0             0 64999 i\n"
        f"--More--\x1b[2K\r *>  52.94.0.0/16     {AWS}                0             0 7224 i\n"),
        f"\x1b[0mdefault via \x1b[36m{ISP} \x1b[0mdev eth2 \n\x1b[1m52.94.0.0/16\x1b[0m via {AWS} dev eth1 \n",
    ],
)  # fmt: skip
def test_recorded_sessions(tmp_path: Path, text: str) -> None:
    """A pager's prompts, over which it wrote the next route, and colours are not what the screen showed in the end."""
    assert hop_to(tmp_path, text, "52.94.5.10").next_hop == parse_address(AWS)
    assert hop_to(tmp_path, text, "203.0.113.1").next_hop == parse_address(ISP)


def frr(address: str, vrf: str | None) -> dict[str, object]:
    hop = {"ip": address, "fib": True, "active": True}
    return {"selected": True, "nexthops": [hop]} | ({} if vrf is None else {"vrfName": vrf})


@pytest.mark.parametrize(
    "data",
    [
        {"52.94.0.0/16": [frr(AWS, "default")], "52.94.5.0/24": [frr(ISP, "red")]},
        {"default": {"52.94.0.0/16": [frr(AWS, None)]}, "red": {"52.94.5.0/24": [frr(ISP, None)]}},
        {
            "default": {"vrfName": "default", "routes": {"52.94.0.0/16": [frr(AWS, None) | {"bestpath": True}]}},
            "red": {"vrfName": "red", "routes": {"52.94.5.0/24": [frr(ISP, None) | {"bestpath": True}]}},
        },
        {"52.94.0.0/16": [frr(AWS, "wan")]},
    ],
)
def test_vrfs_of_frr(tmp_path: Path, data: dict[str, object]) -> None:
    """The default VRF's routes count, or those of the only one that is given."""
    assert hop_to(tmp_path, json.dumps(data), "52.94.5.10").next_hop == parse_address(AWS)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"10.0.0.0/8": [frr(AWS, "red")], "0.0.0.0/0": [frr(ISP, "blue")]}),
        f"VRF: blue\n{CODES} S        0.0.0.0/0 [1/0] via {ISP}, Ethernet2\n\nVRF: red\n{CODES} S        10.0.0.0/8 [1/0] via {AWS}, Ethernet1\n",
        (f"     Network          Next Hop            Metric LocPrf Weight Path\nRoute Distinguisher: 64999:1 (default for vrf blue)\n *>   0.0.0.0          {ISP}                           0 64999 i\n"
        f"Route Distinguisher: 64999:2 (default for vrf red)\n *>   10.0.0.0/8       {AWS}                             0 7224 i\n"),
    ],
)  # fmt: skip
def test_vrfs_without_a_default(tmp_path: Path, text: str) -> None:
    """Of several VRFs that are none of them the default one, nobody knows which: they are refused by their names."""
    with pytest.raises(auditor.InputError, match="VRFs blue, red: give those of one"):
        hop_to(tmp_path, text, "10.0.0.1")


def test_an_empty_default_vrf(tmp_path: Path) -> None:
    """Where the default VRF is given and has no routes, another one's do not take its place."""
    with pytest.raises(auditor.InputError, match="no routes are in it"):
        hop_to(
            tmp_path,
            f"{CODES}Gateway of last resort is not set\n\nRouting Table: red\n{CODES}{LAST}S*    0.0.0.0/0 [1/0] via {ISP}\n",
            "10.0.0.1",
        )


@pytest.mark.parametrize(
    "text",
    [
        f"{CODES}B    52.94.0.0/99 [20/0] via {AWS}, 2d\nS*   0.0.0.0/0 [1/0] via {ISP}\n",
        "     Network          Next Hop            Metric LocPrf Weight Path\n *>  0.0.0.0          192.0.2.9                0             0 7224 i\n*>52.94.0.0/16     192.0.2.1                0             0 7224 i\n",
        # ASA prints the name that it has for an address.
        f"{CODES}S*       0.0.0.0 0.0.0.0 [1/0] via {ISP}, outside\nS        server-1 255.255.255.255 [1/0] via {AWS}, inside\n                          [1/0] via {ISP}, inside\n",
    ],
)
def test_prefixes_are_checked(tmp_path: Path, text: str) -> None:
    """A line that looks like a route and is none is counted, and the others are read."""
    (tmp_path / "routes.txt").write_text(text)
    notes: list[str] = []
    routes = route_files.read(tmp_path / "routes.txt", notes=notes)
    assert list(routes.prefixes) == [parse("0.0.0.0/0")]
    assert routes.hops[routes.hop[0]].others == ()
    assert ["1 of 2 routes" in note or "1 route" in note for note in notes] == [True]


@pytest.mark.parametrize("metric", ["²", "9" * 5000, "-1"])
def test_metrics_that_are_no_numbers(tmp_path: Path, metric: str) -> None:
    """A metric of which no number can be made costs its own route at most."""
    text = f"default via {ISP} dev eth2 metric {metric}\n52.94.0.0/16 via {AWS} dev eth1.102\n"
    assert hop_to(tmp_path, text, "52.94.5.10").next_hop == parse_address(AWS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('Routing entry for 10.0.0.0/8\n  Known via "static", distance 1\n  Routing Descriptor Blocks\n    192.0.2.1\n', "give what `show ip route` prints"),
        ("inet.0: 1 destinations, 1 routes\n\nA V Destination        P Prf   Metric 1   Metric 2  Next hop        AS path\n* ? 0.0.0.0/0          S   5                       >192.0.2.1\n", "terse` of Junos: give what `show route`"),
        ("inet.0: 1 destinations, 1 routes\n10.0.0.0/8 (1 entry, 1 announced)\n        *Static Preference: 5\n                Next hop: 192.0.2.1 via ge-0/0/0.0, selected\n", "details of Junos: give what `show route`"),
        ("Routing Tables: Public\n\nDestination: 0.0.0.0/0\n     Protocol: Static           Process ID: 0\n      NextHop: 192.0.2.1         Neighbour: 0.0.0.0\n", "details of VRP: give what `display ip routing-table`"),
        ("  Destination        Gateway         VLAN Type      Sub-Type   Metric     Dist.\n  10.0.0.0/8         192.0.2.1       20   static               1          1\n", "of ProCurve, IronWare or Dell: write each route as"),
        ("Codes: C - connected, S - static\n\n       Destination        Gateway                      Dist/Metric Last Change\n       -----------        -------                      ----------- -----------\n  *S   0.0.0.0/0          via 192.0.2.1, Te 0/1                1/0       2d\n", "of ProCurve, IronWare or Dell: write each route as"),
        ("Ori  Destination        Gateway         Mtr  Flags         VLAN       Duration\n#s   10.0.0.0/8         192.0.2.1       1    UG---S-um--f- core       1d\n", "of ExtremeXOS: write each route as"),
        ("IPv4 Dest-Routes for <trust-vr> (1 entries)\n   ID          IP-Prefix  Interface    Gateway   P Pref    Mtr    Vsys\n*   4        10.0.0.0/8     eth0/1  192.0.2.1   S   20      1    Root\n", "of ScreenOS: write each route as"),
        ("Network Next Hop Metric LocPrf Weight Path\n*>e10.0.0.0/8 192.0.2.1 0 7224 i\n", "none of its routes can be read"),
    ],
)  # fmt: skip
def test_what_is_refused_with_how_to_convert_it(tmp_path: Path, text: str, words: str) -> None:
    """A known text that has no reader, or has lost its columns, is named, with what to give instead."""
    with pytest.raises(auditor.InputError, match=words):
        hop_to(tmp_path, text, "10.0.0.1")
