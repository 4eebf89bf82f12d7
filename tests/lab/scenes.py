"""Scenes of the lab: each a capture as somebody would take it, the inputs beside it, and what is true."""

import gzip
import json
import struct

from tests import wire
from tests.lab import world as w
from tests.lab.world import Scene, Truth, Wire

DX1, DX2 = Wire(101, w.AWS1), Wire(102, w.AWS2)
LAN = Wire(None, w.EDGE)
ISP, VPN = Wire(200, w.ISP), Wire(300, w.VPN)
CONFIRMED_DX = "direct-connect confirmed"
LIKELY_DX = "direct-connect likely"

AMAZON, CUSTOMER = "169.254.96.1", "169.254.96.2"
AMAZON_PUBLIC, CUSTOMER_PUBLIC = "203.0.113.33", "203.0.113.34"
PRIVATE_VIF = {
    "vifs.json": {"virtualInterfaces": [w.vif("dxvif-private", "private", 101, f"{AMAZON}/30", f"{CUSTOMER}/30")]}
}
PUBLIC_VIF = {
    "vifs.json": {
        "virtualInterfaces": [
            w.vif(
                "dxvif-public", "public", 102, f"{AMAZON_PUBLIC}/30", f"{CUSTOMER_PUBLIC}/30",
                routeFilterPrefixes=[{"cidr": "203.0.113.0/28"}],
            )
        ]
    }
}  # fmt: skip
TRANSIT_VIF = {
    "vifs.json": {
        "virtualInterfaces": [
            w.vif("dxvif-transit", "transit", 103, f"{AMAZON}/30", f"{CUSTOMER}/30", directConnectGatewayId="dxgw-1")
        ]
    }
}
LINKS = w.SITE + w.PRIVATE + w.PUBLIC + w.UPLINK + w.BACKUP
NO_MACS = "\n".join(line for line in LINKS.splitlines() if not line.startswith("peer_mac")) + "\n"
PEERS = (
    w.SITE
    + f"""
[[virtual_interface]]
name = "dxvif-public"
kind = "public"
vlan = 102
peer_address = "{AMAZON_PUBLIC}"
[[uplink]]
name = "isp"
vlan = 200
peer_address = "198.51.100.1"
"""
)
SOURCE = w.OWN_PUBLIC
V2 = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
V5 = f"{V2} pkt-srcaddr pkt-dstaddr flow-direction traffic-path"
TGW = (
    "version resource-type account-id tgw-id tgw-attachment-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport "
    "protocol packets bytes start end log-status flow-direction"
)
START = w.BEGIN // wire.SECOND
SPAN = f"{START} {START + 60}"


# Packets and bytes of IP that the client of ``talk`` sends.
SENT = [len(frame) - 14 for _, frame in w.talk() if frame[6:12] == w.mac(w.HOST)]
BEHIND_NAT = f"{len(SENT)} {sum(SENT)}"


def long_talk(out: Wire, at: float = 0.0) -> list[w.Frame]:
    return w.talk(
        server=w.ENI, out=out, at=at, flights=[*w.tls(), *(("c", b"\x17\3\3\0\x20" + bytes(32)) for _ in range(60))]
    )


def tgw_row(first: str, second: str, source: str = w.CLIENT, target: str = w.ENI, ports: str = "40000 443") -> str:
    return f"6 TransitGateway 123456789012 tgw-1 {first} {second} {source} {target} {ports} 6 9 1000 {SPAN} OK ingress"


def vpc_row(path: str, source: str = w.CLIENT, target: str = w.ENI, ports: str = "40000 443", more: str = "") -> str:
    way = "egress" if path != "-" else "ingress"
    return (
        f"5 123456789012 eni-1 {source} {target} {ports} 6 9 1000 {SPAN} ACCEPT OK {source} {target} {way} {path}{more}"
    )


def routes_of(prefix: str, hop: str, path: str = "7224 16509", community: str = "") -> dict[str, object]:
    """FRR's `show bgp ipv4 unicast json`."""
    entry: dict[str, object] = {"valid": True, "bestpath": True, "pathFrom": "external", "path": path, "origin": "IGP"}
    entry |= {"prefix": prefix, "nexthops": [{"ip": hop, "afi": "ipv4", "used": True}]}
    if community:
        entry["community"] = {"string": community, "list": community.split()}
    return {"routerId": CUSTOMER, "localAS": 65001, "routes": {prefix: [entry], "0.0.0.0/0": [
        {"valid": True, "bestpath": True, "path": "64500", "nexthops": [{"ip": "198.51.100.1", "used": True}]}
    ]}}  # fmt: skip


def mrt(prefix: str, hop: str, communities: list[tuple[int, int]]) -> bytes:
    """A TABLE_DUMP_V2 with one route that AWS announced."""
    import ipaddress

    def record(subtype: int, body: bytes) -> bytes:
        return struct.pack(">IHHI", START, 13, subtype, len(body)) + body

    peer = b"\x02" + bytes([10, 0, 0, 1]) + ipaddress.ip_address(hop).packed + struct.pack(">I", 7224)
    index = record(1, bytes([10, 0, 0, 2]) + struct.pack(">HH", 0, 1) + peer)
    net = ipaddress.ip_network(prefix)
    attributes = b"\x40\x01\x01\0" + struct.pack(">BBBBBIII", 0x40, 2, 14, 2, 3, 7224, 16509, 16509)
    attributes += b"\x40\x03\x04" + ipaddress.ip_address(hop).packed
    attributes += bytes([0xC0, 8, 4 * len(communities)]) + b"".join(struct.pack(">HH", *c) for c in communities)
    body = struct.pack(">IB", 0, net.prefixlen) + net.network_address.packed[: (net.prefixlen + 7) // 8]
    body += struct.pack(">HHIH", 1, 0, START, len(attributes)) + attributes
    return index + record(2, body)


def announcements(*, until: float | None = None) -> list[w.Frame]:
    """The BGP session of the public virtual interface, seen where the router's frames are mirrored."""
    announced = [(1.0, w.update(["52.94.0.0/16"], AMAZON_PUBLIC, [7224, 16509, 16509], [(7224, 8100), (65535, 65281)]))]
    if until is not None:
        announced.append((until, w.update([], "", [], withdrawn=["52.94.0.0/16"])))
    return w.session(AMAZON_PUBLIC, CUSTOMER_PUBLIC, DX2, announced)


def trail(**more: object) -> dict[str, list[dict[str, object]]]:
    return {
        "Records": [
            {
                "eventVersion": "1.11",
                "eventTime": "2025-11-24T16:00:00Z",
                "eventSource": "mobiletargeting.amazonaws.com",
                "eventName": "SendMessages",
                "tlsDetails": {"tlsVersion": "TLSv1.2", "clientProvidedHostHeader": w.NAME},
                **more,
            }
        ]
    }


SCENES = [
    # --- frames on the line
    Scene("private virtual interface", lambda: w.talk(server=w.ENI, out=DX1), [Truth("direct-connect", CONFIRMED_DX, link="dxvif-private")], LINKS),
    Scene("public virtual interface", lambda: w.talk(SOURCE, out=DX2), [
        Truth("direct-connect", CONFIRMED_DX, SOURCE, link="dxvif-public", rules={"PTH101": "pass", "PTH104": "pass", "PTH106": "pass"}),
    ], LINKS),
    Scene("transit virtual interface, its MAC learned by ARP",
          lambda: [w.arp(AMAZON, w.AWS1, 103), *w.talk(server=w.ENI, out=Wire(103, w.AWS1))],
          [Truth("direct-connect", CONFIRMED_DX, link="dxvif-transit")], w.SITE, TRANSIT_VIF),
    Scene("ARP seen only at the capture's end",
          lambda: [*w.talk(server=w.ENI, out=DX1), w.arp(AMAZON, w.AWS1, 101, at=50)],
          [Truth("direct-connect", CONFIRMED_DX)], w.SITE, PRIVATE_VIF),
    Scene("IPv6, the peer's MAC learned by Neighbor Discovery",
          lambda: [w.neighbour("2001:db8:ffff::1", w.AWS1, 104), *w.talk(w.CLIENT6, w.SERVER6, Wire(104, w.AWS1))],
          [Truth("direct-connect", CONFIRMED_DX, w.CLIENT6)], w.SITE,
          {"vifs.json": {"virtualInterfaces": [w.vif("dxvif-v6", "public", 104, "2001:db8:ffff::1/125", "2001:db8:ffff::2/125", addressFamily="ipv6")]}}),
    Scene("VLAN stripped, ARP seen", lambda: [w.arp(AMAZON, w.AWS1), *w.talk(server=w.ENI, out=Wire(None, w.AWS1))],
          [Truth("direct-connect", LIKELY_DX)], w.SITE, PRIVATE_VIF),
    Scene("VLAN stripped, the MAC known", lambda: w.talk(SOURCE, out=Wire(None, w.AWS2)), [Truth("direct-connect", LIKELY_DX, SOURCE)], LINKS),
    Scene("the VLAN alone", lambda: w.talk(server=w.ENI, out=Wire(101, w.AWS1)), [Truth("direct-connect", LIKELY_DX)], w.SITE, PRIVATE_VIF),
    Scene("the VLAN reused for other equipment", lambda: w.talk(out=Wire(101, "02:dd:00:00:00:09")), [Truth("internet", "unknown none")], LINKS),
    Scene("stacked tags", lambda: w.talk(server=w.ENI, out=Wire((10, 101), w.AWS1)), [Truth("direct-connect", CONFIRMED_DX)],
          LINKS.replace("vlan = 101", 'vlan = "10.101"')),
    Scene("the tag inside another service's", lambda: w.talk(server=w.ENI, out=Wire((10, 101), w.AWS1)), [Truth("internet", "private none")], LINKS),
    Scene("MACsec link, captured inside the router on its sub-interface",
          lambda: w.on_interface(w.talk(server=w.ENI, out=Wire(101, "00:00:00:00:00:00", "00:00:00:00:00:00")), "Te0/0/1.101"),
          [Truth("direct-connect", CONFIRMED_DX)],
          w.SITE + '[[virtual_interface]]\nname = "dxvif-private"\nvlan = 101\ninterface = "Te0/0/1.*"\n'
          '[[capture_point]]\nname = "edge"\ninterface = "Te0/0/1.101"\nlink = "dxvif-private"\n',
          {"connections.json": {"connections": [{"connectionId": "dxcon-1", "encryptionMode": "must_encrypt", "portEncryptionStatus": "Encryption Up"}]}, **PRIVATE_VIF}),
    Scene("MACsec on the wire", lambda: [(w.BEGIN, w.mac(w.AWS1) + w.mac(w.EDGE) + b"\x88\xe5\x2c\0\0\0\0\1" + bytes(60))], [], LINKS),
    Scene("PPPoE", lambda: w.pppoe(w.talk("198.18.0.9")), [Truth("internet", "internet confirmed", "198.18.0.9")], w.SITE),
    Scene("internet uplink", lambda: w.talk(SOURCE, out=ISP), [Truth("internet", "internet confirmed", SOURCE, link="isp", rules={"PTH101": "warn"})], LINKS),
    Scene("handed to the own router", lambda: w.talk(out=LAN), [Truth("direct-connect", "unknown none", kinds=frozenset({"router"}))],
          LINKS + f'[[router]]\nname = "edge"\nmac = "{w.EDGE}"\n'),
    Scene("nothing is known", lambda: w.talk(SOURCE, out=ISP), [Truth("internet", "unknown none", SOURCE)]),
    Scene("a public client of nobody's", lambda: w.talk("8.8.8.8", out=LAN), [Truth("internet", "unknown none", "8.8.8.8")]),
    # --- where the capture was taken
    Scene("ERSPAN of the Direct Connect port, without ARP", lambda: w.erspan(w.talk(server=w.ENI, out=Wire(None, "02:dd:00:00:00:01")), "10.0.0.77"),
          [Truth("direct-connect", LIKELY_DX, link="dxvif-private")],
          NO_MACS + '[[capture_point]]\nname = "switch 7"\nouter = "10.0.0.77"\nlink = "dxvif-private"\n'),
    Scene("a file that stands for the link", lambda: w.talk(server=w.ENI, out=Wire(None, "02:dd:00:00:00:01")),
          [Truth("direct-connect", LIKELY_DX)], NO_MACS + '[[capture_point]]\nname = "tap"\nfile = "dx-*.pcap"\nlink = "dxvif-private"\n', file="dx-tap.pcap"),
    Scene("a rule of the topology", lambda: w.talk(server=w.ENI, out=Wire(7, "02:dd:00:00:00:01")), [Truth("vpn", "vpn likely", link="vpn-backup")],
          LINKS + '[[rule]]\nlink = "isp"\nvlan = 8\n[[rule]]\nlink = "vpn-backup"\nvlan = 7\n[[rule]]\nlink = "isp"\nvlan = 7\n'),
    Scene("overlapping prefixes on two sites", lambda: w.talk(server=w.ENI, out=Wire(55, "02:dd:00:00:00:01")),
          [Truth("direct-connect", LIKELY_DX, link="dxvif-paris")],
          '[[site]]\nname = "oslo"\non_premises = "10.20.0.0/16"\n[[site]]\nname = "paris"\non_premises = "10.20.0.0/16"\n'
          '[[vpn]]\nname = "vpn-oslo"\nsite = "oslo"\nprefixes = "172.31.0.0/16"\n'
          '[[virtual_interface]]\nname = "dxvif-paris"\nsite = "paris"\nprefixes = "172.31.0.0/16"\n'
          '[[capture_point]]\nname = "paris tap"\nfile = "paris*"\nsite = "paris"\n', file="paris.pcap"),
    # --- inside AWS
    Scene("VPC traffic mirror, both ends in the VPC", lambda: w.vxlan(w.talk("172.31.1.4", w.ENI)), [
        Truth("vpc", "vpc confirmed", "172.31.1.4", rules={"PTH101": "pass"})], w.SITE + w.VPC),
    Scene("mirrors of both ends show each packet twice", lambda: [*w.vxlan(w.talk("172.31.1.4", w.ENI)), *w.vxlan(w.talk("172.31.1.4", w.ENI, at=0.0001), number=8)],
          [Truth("vpc", "vpc confirmed", "172.31.1.4")], w.SITE + w.VPC),
    Scene("hairpin through a gateway load balancer", lambda: [*w.geneve(w.talk("172.31.1.4", w.ENI)), *w.geneve(w.talk("172.31.1.4", w.ENI, at=0.0002))],
          [Truth("vpc", "vpc confirmed", "172.31.1.4")], w.SITE + w.VPC),
    Scene("PrivateLink inside the Region", lambda: w.talk("172.31.1.4", w.ENI), [Truth("vpc", "vpc likely", "172.31.1.4")], w.SITE + w.VPC, w.endpoint()),
    Scene("peering between VPCs", lambda: w.talk("172.31.1.4", "172.29.0.5"), [Truth("vpc", "vpc likely", "172.31.1.4")],
          w.SITE + w.VPC + '[[vpc]]\nname = "vpc-2"\nprefixes = "172.29.0.0/16"\n'),
    Scene("a mirror sees the office's own address", lambda: w.vxlan(w.talk(server=w.ENI)), [Truth("direct-connect", "private likely")], w.SITE + w.VPC),
    # --- PrivateLink from the site
    Scene("PrivateLink over the virtual interface", lambda: w.talk(server=w.ENI, out=DX1), [
        Truth("direct-connect", CONFIRMED_DX, kinds=frozenset({"vlan+mac", "endpoint"}))], LINKS, w.endpoint()),
    Scene("PrivateLink seen in the office", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "private likely", rules={"PTH101": "not_observable"})], w.SITE, w.endpoint()),
    Scene("private DNS missing", lambda: w.talk(SOURCE, out=ISP), [Truth("internet", "internet confirmed", SOURCE, rules={"PTH105": "warn"})], LINKS, w.endpoint()),
    Scene("an endpoint of another Region", lambda: w.talk(server=w.ENI, out=DX1), [Truth("direct-connect", CONFIRMED_DX, rules={"PTH107": "warn"})],
          LINKS, w.endpoint("eu-west-1") | PRIVATE_VIF),
    # --- VPN
    Scene("VPN at its tunnel interface", lambda: w.on_interface(w.talk(server=w.ENI, out=Wire(None, w.VPN)), "vti7"), [Truth("vpn", "vpn likely")],
          w.SITE + '[[vpn]]\nname = "vpn-1"\ninterface = "vti*"\n'),
    Scene("VPN over Direct Connect, inside", lambda: w.on_interface(w.talk(server=w.ENI, out=Wire(None, "02:dd:00:00:00:01")), "vti7"), [
        Truth("vpn", "vpn likely", rules={"PTH101": "pass"})],
          w.SITE + w.PUBLIC + '[[vpn]]\nname = "vpn-1"\ninterface = "vti*"\nover = "dxvif-public"\n'),
    Scene("VPN over Direct Connect, outside", lambda: w.esp(SOURCE, "52.94.9.9", DX2), [
        Truth("direct-connect", CONFIRMED_DX, SOURCE, kinds=frozenset({"vlan+mac", "ipsec"}))],
          LINKS + '[[vpn]]\nname = "vpn-1"\noutside = ["203.0.113.10", "52.94.9.9"]\n'),
    Scene("VPN over the internet, outside", lambda: w.esp(SOURCE, "52.94.9.9", ISP), [Truth("internet", "internet confirmed", SOURCE)], LINKS,
          {"vpns.json": {"VpnConnections": [{"VpnConnectionId": "vpn-1", "State": "available", "Options": {"TunnelOptions": [{"OutsideIpAddress": "52.94.9.9", "PreSharedKey": "no"}]}}]}}),
    Scene("VPN as GRE between its ends", lambda: w.gre(w.talk(server=w.ENI), "203.0.113.2", "52.94.9.9"), [Truth("vpn", "vpn likely")],
          w.SITE + '[[vpn]]\nname = "vpn-1"\noutside = ["203.0.113.2", "52.94.9.9"]\n'),
    # --- change and asymmetry
    Scene("fail-over from Direct Connect to VPN", lambda: [*w.talk(server=w.ENI, out=DX1), *w.talk(server=w.ENI, out=VPN, port=40_001, at=30)], [
        Truth("direct-connect", CONFIRMED_DX, port=40_000),
        Truth("vpn", "vpn likely", port=40_001, changed=True, rules={"PTH103": "warn"})], LINKS),
    Scene("a gateway that does nothing but VPN", lambda: w.talk(server=w.ENI, out=VPN), [Truth("vpn", "vpn confirmed", link="vpn-backup")],
          LINKS + "dedicated = true\n"),
    Scene("a firewall with a VPN sends elsewhere", lambda: w.talk(out=VPN), [Truth("internet", "unknown none")], LINKS),
    Scene("fail-over within a flow", lambda: [*w.talk(server=w.ENI, out=Wire(None, w.AWS1))[:6], *w.talk(server=w.ENI, out=Wire(None, w.ISP), at=1)[6:]],
          [Truth("direct-connect", "private none", changed=True, rules={"PTH103": "warn"})], LINKS),
    Scene("fail-over to another VLAN within a connection", lambda: [*w.talk(server=w.ENI, out=DX1)[:4], *w.talk(server=w.ENI, out=VPN, at=1)[4:]],
          [Truth("direct-connect", "private none", changed=True, rules={"PTH101": "not_observable", "PTH103": "warn"})], LINKS),
    Scene("a few packets over the internet in the end", lambda: [*long_talk(Wire(None, w.AWS1))[:-2], *long_talk(Wire(None, w.ISP), 1)[-2:]],
          [Truth("internet", LIKELY_DX, changed=True, rules={"PTH101": "not_observable", "PTH103": "warn"})], LINKS),
    Scene("the same addresses on two VLANs", lambda: [*w.talk(server=w.ENI, out=DX1), *w.talk(server=w.ENI, out=Wire(9, "02:dd:00:00:00:01"), at=0.004)],
          [Truth("direct-connect", CONFIRMED_DX, link="dxvif-private")], LINKS),
    Scene("the session withdraws its routes", lambda: [
        *announcements(until=40), *w.talk(SOURCE, out=Wire(102, w.AWS2), at=10, port=40_000), *w.talk(SOURCE, out=ISP, at=50, port=40_001)], [
        Truth("direct-connect", CONFIRMED_DX, SOURCE, 40_000),
        Truth("internet", "internet confirmed", SOURCE, 40_001, changed=True)], LINKS, PUBLIC_VIF),
    Scene("asymmetric: back over the internet", lambda: w.talk(SOURCE, out=DX2, back=ISP), [
        Truth("direct-connect", LIKELY_DX, SOURCE, asymmetric=True, rules={"PTH102": "warn", "PTH101": "warn"})], LINKS),
    Scene("asymmetric: AWS prefers Direct Connect", lambda: w.talk(SOURCE, out=ISP, back=DX2), [
        Truth("internet", "internet likely", SOURCE, asymmetric=True, rules={"PTH102": "warn"})], LINKS),
    Scene("only the answers were captured", lambda: w.talk(SOURCE, out=Wire(None, "02:dd:00:00:00:01"), directions="s"),
          [Truth("direct-connect", LIKELY_DX, SOURCE)], w.SITE, PUBLIC_VIF),
    # --- translation
    Scene("both sides of the translator", lambda: [*w.talk(out=LAN), *w.talk(SOURCE, out=DX2, port=61_000, at=0.0005)], [
        Truth("direct-connect", LIKELY_DX, w.CLIENT, 40_000, kinds=frozenset({"nat"})), Truth("direct-connect", CONFIRMED_DX, SOURCE)],
          LINKS + '[[nat]]\nname = "nat"\ninside = "10.20.0.0/16"\noutside = "203.0.113.10/32"\n'),
    Scene("a translated source of the uplink", lambda: w.talk("203.0.113.99", out=LAN), [Truth("internet", "internet likely", "203.0.113.99", link="isp")],
          '[[uplink]]\nname = "isp"\naddresses = "203.0.113.96/28"\n'),
    Scene("a source that the interface does not carry", lambda: w.talk("203.0.113.200", out=DX2), [
        Truth("direct-connect", CONFIRMED_DX, "203.0.113.200", rules={"PTH104": "warn"})], LINKS),
    Scene("an interface whose sources nobody gave", lambda: w.talk(SOURCE, out=DX2), [
        Truth("direct-connect", CONFIRMED_DX, SOURCE, rules={"PTH104": "not_applicable"})], LINKS.replace('sources = ["203.0.113.0/28"]\n', "")),
    Scene("a private interface carries any source", lambda: w.talk(server=w.ENI, out=DX1), [
        Truth("direct-connect", CONFIRMED_DX, rules={"PTH104": "not_applicable"})], LINKS),
    Scene("AWS opens a connection to the site", lambda: w.talk(w.SERVER, SOURCE, out=DX2), [
        Truth("direct-connect", CONFIRMED_DX, w.SERVER, rules={"PTH104": "pass"})], LINKS),
    Scene("a source before its translation", lambda: w.talk(out=LAN), [Truth("direct-connect", LIKELY_DX, rules={"PTH104": "not_observable"})],
          w.SITE + w.PUBLIC + 'prefixes = "52.94.0.0/16"\n'),
    # --- routes
    Scene("Linux's routes", lambda: w.talk(SOURCE, out=LAN), [Truth("direct-connect", LIKELY_DX, SOURCE, link="dxvif-public")], PEERS,
          routes={"routes.json": [{"dst": "default", "gateway": "198.51.100.1", "dev": "eth2"}, {"dst": "52.94.0.0/16", "gateway": AMAZON_PUBLIC, "dev": "eth1.102"}]}),
    Scene("FRR's BGP table", lambda: w.talk(SOURCE, out=LAN), [Truth("direct-connect", LIKELY_DX, SOURCE)], PEERS,
          routes={"bgp.json": routes_of("52.94.0.0/16", AMAZON_PUBLIC)}),
    Scene("FRR's default route", lambda: w.talk(SOURCE, "54.239.28.85", out=LAN), [Truth("internet", "internet likely", SOURCE)], PEERS,
          routes={"bgp.json": routes_of("52.94.0.0/16", AMAZON_PUBLIC)}),
    Scene("show ip bgp", lambda: w.talk(SOURCE, out=LAN), [Truth("internet", "internet likely", SOURCE)], PEERS,
          routes={"bgp.txt": "BGP table version is 3, local router ID is 10.0.0.1\n   Network          Next Hop            Metric LocPrf Weight Path\n"
                             "*> 52.94.0.0/16     198.51.100.1             0             0 64500 16509 i\n*  52.94.0.0/16     203.0.113.33             0             0 7224 16509 i\n"}),
    Scene("an MRT dump and nothing else", lambda: w.talk(SOURCE, out=LAN), [Truth("direct-connect", LIKELY_DX, SOURCE)],
          routes={"rib.mrt.gz": gzip.compress(mrt("52.94.0.0/16", AMAZON_PUBLIC, [(7224, 8100), (65535, 65281)]))}),
    Scene("two routers that disagree", lambda: w.talk(SOURCE, out=LAN), [Truth("direct-connect", "unknown none", SOURCE)], PEERS,
          routes={"one.json": [{"dst": "52.94.0.0/16", "gateway": AMAZON_PUBLIC}], "two.json": [{"dst": "52.94.0.0/16", "gateway": "198.51.100.1"}]}),
    Scene("a virtual interface and a VPN lead there", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", "private likely")],
          w.SITE + '[[vpn]]\nname = "vpn-1"\nprefixes = "172.31.0.0/16"\n',
          TRANSIT_VIF | {"associations.json": {"directConnectGatewayAssociations": [{"directConnectGatewayId": "dxgw-1", "allowedPrefixesToDirectConnectGateway": [{"cidr": "172.31.0.0/16"}]}]}}),
    Scene("an endpoint that a virtual interface and a VPN lead to", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "private likely")],
          w.SITE + '[[vpn]]\nname = "vpn-1"\nprefixes = "172.31.0.0/16"\n'
          '[[virtual_interface]]\nname = "dxvif-1"\nprefixes = "172.31.0.0/16"\n', w.endpoint()),
    Scene("an office that calls back into the site", lambda: w.talk(w.SERVER, SOURCE, out=DX2, flights=w.tls("intranet.example.org")), [
        Truth("direct-connect", CONFIRMED_DX, w.SERVER)], LINKS,
          routes={"routes.json": [{"dst": "default", "gateway": "198.51.100.1"}, {"dst": "52.94.0.0/16", "gateway": AMAZON_PUBLIC}]}),
    Scene("a virtual private gateway's VPC", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", LIKELY_DX, link="dxvif-private")], w.SITE,
          {"vifs.json": {"virtualInterfaces": [w.vif("dxvif-private", "private", 101, f"{AMAZON}/30", f"{CUSTOMER}/30", virtualGatewayId="vgw-1")]},
           "vgws.json": {"VpnGateways": [{"VpnGatewayId": "vgw-1", "VpcAttachments": [{"VpcId": "vpc-1", "State": "attached"}]}]},
           "vpcs.json": {"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "172.31.0.0/16"}]}}),
    Scene("inside a VPC that a virtual interface leads to", lambda: w.talk("172.31.1.4", w.ENI, LAN), [Truth("vpc", "vpc likely", "172.31.1.4")],
          w.SITE + w.VPC + w.PRIVATE + 'prefixes = "172.31.0.0/16"\n'),
    Scene("what AWS advertises", lambda: w.talk(SOURCE, out=LAN), [Truth("direct-connect", LIKELY_DX, SOURCE)], w.SITE,
          PUBLIC_VIF | {"routes.json": {"virtualInterfaceId": "dxvif-public", "routes": [{"cidr": "52.94.0.0/16", "routeDirection": "advertised"}]}}),
    Scene("BGP in the capture, nothing else known", lambda: [*announcements(), *w.talk(SOURCE, out=DX2, at=5)],
          [Truth("direct-connect", LIKELY_DX, SOURCE, kinds=frozenset({"bgp"}))], w.SITE),
    Scene("BGP in the capture, and the account", lambda: [*announcements(), *w.talk(SOURCE, out=DX2, at=5)],
          [Truth("direct-connect", CONFIRMED_DX, SOURCE, kinds=frozenset({"vlan+mac", "bgp"}))], w.SITE, PUBLIC_VIF),
    # --- witnesses
    Scene("flow log: virtual private gateway", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "private likely")], w.SITE, witness={"vpc.log": w.flow_log(V5, vpc_row("3"), vpc_row("3", w.ENI, w.CLIENT, "443 40000"))}),
    Scene("flow log: internet gateway", lambda: w.talk("172.31.1.4", out=LAN), [Truth("internet", "internet likely", "172.31.1.4")], w.SITE + w.VPC,
          witness={"vpc.log": w.flow_log(V5, vpc_row("8", "172.31.1.4", w.SERVER))}),
    Scene("flow log: the packet's own address", lambda: w.talk("172.31.1.44", out=LAN), [Truth("internet", "internet likely", "172.31.1.44")], w.SITE + w.VPC,
          witness={"vpc.log": w.flow_log(V5, f"5 123456789012 eni-1 172.31.1.4 {w.SERVER} 40000 443 6 9 1000 {SPAN} ACCEPT OK 172.31.1.44 {w.SERVER} egress 8")}),
    Scene("transit gateway log: Direct Connect gateway", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", LIKELY_DX, link="dxvif-transit")],
          w.SITE, TRANSIT_VIF | w.attachments(), witness={"tgw.log": w.flow_log(TGW, tgw_row("tgw-attach-dx", "tgw-attach-vpc"))}),
    Scene("transit gateway log without the edge: inspection", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", "private none")],
          w.SITE, w.attachments(), witness={"tgw.log": w.flow_log(TGW, tgw_row("tgw-attach-inspection", "tgw-attach-vpc"))}),
    Scene("transit gateway log without the edge: peering", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", "private none")],
          w.SITE, w.attachments(), witness={"tgw.log": w.flow_log(TGW, tgw_row("tgw-attach-peer", "tgw-attach-vpc"))}),
    Scene("transit gateway log: from VPC to VPC", lambda: w.talk("172.30.1.1", w.ENI), [Truth("vpc", "vpc likely", "172.30.1.1")],
          w.SITE, w.attachments(), witness={"tgw.log": w.flow_log(TGW, tgw_row("tgw-attach-inspection", "tgw-attach-vpc").replace(w.CLIENT, "172.30.1.1"))}),
    Scene("transit gateway log: VPN", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "vpn likely")], w.SITE, TRANSIT_VIF | w.attachments(),
          witness={"tgw.log.gz": gzip.compress(w.flow_log(TGW, tgw_row("tgw-attach-vpn", "tgw-attach-vpc")).encode())}),
    Scene("transit gateway log: dropped there", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "private none")],
          w.SITE, w.attachments(), witness={"tgw.log": w.flow_log(f"{TGW} packets-lost-no-route", tgw_row("tgw-attach-dx", "tgw-attach-vpc") + " 9")}),
    Scene("transit gateway log: a part dropped there", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", LIKELY_DX)],
          w.SITE, w.attachments(), witness={"tgw.log": w.flow_log(f"{TGW} packets-lost-no-route", tgw_row("tgw-attach-dx", "tgw-attach-vpc") + " 2")}),
    Scene("frames against a flow log", lambda: w.talk(server=w.ENI, out=DX1), [Truth("direct-connect", LIKELY_DX)], LINKS, w.attachments(),
          witness={"tgw.log": w.flow_log(TGW, tgw_row("tgw-attach-vpn", "tgw-attach-vpc"))}),
    Scene("flow log behind NAT", lambda: w.talk(out=LAN), [Truth("direct-connect", "private likely")], w.SITE,
          witness={"vpc.log": w.flow_log(V5, f"5 123456789012 eni-1 203.0.113.10 {w.SERVER} 61000 443 6 {BEHIND_NAT} {SPAN} ACCEPT OK 203.0.113.10 {w.SERVER} egress 3")}),
    Scene("encryption guessed from the port", lambda: w.talk(server=w.ENI, out=DX1, flights=w.http()), [
        Truth("direct-connect", CONFIRMED_DX, rules={"PTH106": "fail", "PTH108": "warn"})], LINKS,
          witness={"vpc.log": w.flow_log(f"{V5} encryption-status", vpc_row("-", more=" 2"))}),
    Scene("CloudTrail: through an endpoint", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "private likely")], w.SITE,
          witness={"trail.json": trail(sourceIPAddress=w.CLIENT, vpcEndpointId="vpce-1")}),
    Scene("CloudTrail: an address of the public interface", lambda: w.talk(out=LAN), [Truth("direct-connect", LIKELY_DX, rules={"PTH108": "warn"})], w.SITE, PUBLIC_VIF,
          witness={"trail.json": trail(sourceIPAddress=SOURCE, tlsDetails={"tlsVersion": "TLSv1.3", "clientProvidedHostHeader": w.NAME})}),
    Scene("CloudTrail: an address of the internet uplink", lambda: w.talk(out=LAN), [Truth("internet", "internet likely")],
          w.SITE + w.UPLINK + 'addresses = "8.8.4.4/32"\n', PUBLIC_VIF, witness={"trail.json": trail(sourceIPAddress="8.8.4.4")}),
    Scene("CloudTrail: somebody else's request", lambda: w.talk(out=LAN), [Truth("direct-connect", "unknown none")], w.SITE, PUBLIC_VIF,
          witness={"trail.json": trail(sourceIPAddress="8.8.4.4")}),
    Scene("Zeek saw the VLAN", lambda: w.talk(server=w.ENI, out=LAN), [Truth("direct-connect", LIKELY_DX, link="dxvif-private")], LINKS,
          witness={"conn.log": "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tvlan\n"
                               f"{START}.5\tC1\t{w.CLIENT}\t40000\t{w.ENI}\t443\ttcp\t101\n"}),
    Scene("Suricata saw the interface", lambda: w.talk(server=w.ENI, out=LAN), [Truth("vpn", "vpn likely", rules={"PTH108": "warn"})],
          w.SITE + '[[vpn]]\nname = "vpn-1"\ninterface = "tun*"\n',
          witness={"eve.json": json.dumps({"timestamp": "2025-11-24T16:00:00.100000+0000", "event_type": "tls", "in_iface": "tun0", "src_ip": w.CLIENT,
                                           "src_port": 40_000, "dest_ip": w.ENI, "dest_port": 443, "proto": "TCP", "tls": {"version": "TLS 1.3"}}) + "\n"}),
]  # fmt: skip
