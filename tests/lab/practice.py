"""Layouts of practice in which a sign is not what it seems, and what may be said of them."""

import json
import struct
from functools import partial

from tests import wire
from tests.lab import protocols as p
from tests.lab import scenes as s
from tests.lab import world as w
from tests.lab.world import Scene, Truth, Wire

INSTANCE, FAR = "172.31.1.4", "198.51.100.77"
LEADS = w.PRIVATE + 'prefixes = ["172.31.0.0/16"]\n'
VRRP = "00:00:5e:00:01:01"
BUCKET = "s3.us-east-1.amazonaws.com"
GATEWAY_ENDPOINT = {
    "endpoints.json": {
        "VpcEndpoints": [
            {
                "VpcEndpointId": "vpce-2",
                "VpcEndpointType": "Gateway",
                "VpcId": "vpc-1",
                "ServiceName": "com.amazonaws.us-east-1.s3",
                "State": "available",
                "NetworkInterfaceIds": [],
            }
        ]
    }
}
DEFAULT_PREFIX = w.SITE + '[[virtual_interface]]\nname = "dxvif-1"\nkind = "transit"\nprefixes = ["0.0.0.0/0"]\n'
DEFAULT_ROUTE = {"routes.json": [{"dst": "default", "gateway": "198.51.100.1", "dev": "eth2", "flags": []}]}
SITES = w.SITE.replace("[site]", "[[site]]") + '[[site]]\nname = "oslo"\n'
TO_ANYWHERE = '[[vpn]]\nname = "vpn-1"\noutside = ["203.0.113.10", "52.94.9.9"]\n'
TO_AWS = w.PUBLIC + 'prefixes = ["52.94.0.0/16"]\n'
OSLO = TO_ANYWHERE + 'site = "oslo"\n'
HERE = '[[capture_point]]\nname = "tap"\nfile = "capture*"\nsite = "hq"\n'
ROUTER = f'[[router]]\nname = "edge"\nmac = "{w.EDGE}"\n'


PEER6, GATEWAY = "2001:db8:ffff::1", "02:dd:00:00:00:10"
VIF6 = {
    "vifs.json": {
        "virtualInterfaces": [
            w.vif("dxvif-v6", "public", 104, f"{PEER6}/125", "2001:db8:ffff::2/125", addressFamily="ipv6")
        ]
    }
}


def cooked() -> bytes:
    """A connection as a router's LINUX_SLL2 has it: of each frame the sender's MAC alone."""
    frames = []
    for when, frame in w.talk(server=w.ENI, out=Wire(101, "02:dd:00:00:00:09"), directions="s"):
        frames.append(
            (when, frame[12:14] + b"\0\0" + struct.pack(">IHBB", 3, 1, 0, 6) + frame[6:12] + b"\0\0" + frame[14:])
        )
    return wire.pcap(frames, link=276, nanoseconds=True)


def log(path: str, target: str) -> dict[str, str]:
    return {"vpc.log": w.flow_log(s.V5, s.vpc_row(path, INSTANCE, target))}


def stored(name: str = BUCKET, target: str = "52.216.1.1") -> list[w.Frame]:
    return w.talk(INSTANCE, target, flights=w.tls(name))


PRACTICE = [
    # --- what goes on behind the hop that a log names
    Scene("an egress VPC behind a transit gateway", lambda: w.talk(INSTANCE), [Truth("internet", "unknown none", INSTANCE)], w.SITE + w.VPC, w.attachments(),
          witness={"tgw.log": w.flow_log(s.TGW, s.tgw_row("tgw-attach-vpc", "tgw-attach-inspection", INSTANCE, w.SERVER))}),
    Scene("a virtual private gateway, and the site's internet access", lambda: w.talk(INSTANCE, FAR), [Truth("internet", "unknown none", INSTANCE)], w.SITE + w.VPC, witness=log("3", FAR)),
    Scene("a virtual private gateway to the site's own public address", lambda: w.talk(INSTANCE, "203.0.113.77"), [Truth("vpn", "private likely", INSTANCE)], w.SITE + w.VPC, witness=log("3", "203.0.113.77")),
    Scene("a local gateway, and the internet", lambda: w.talk(INSTANCE, FAR), [Truth("internet", "unknown none", INSTANCE)], w.SITE + w.VPC, witness=log("6", FAR)),
    Scene("a local gateway to the site", lambda: w.talk(INSTANCE, w.CLIENT), [Truth("direct-connect", "private likely", INSTANCE)], w.SITE + w.VPC, witness=log("6", w.CLIENT)),
    Scene("path 2 to a bucket", stored, [Truth("internet", "unknown none", INSTANCE)], w.SITE + w.VPC, witness=log("2", "52.216.1.1")),
    Scene("path 2 to a bucket, and a gateway endpoint", stored, [Truth("vpc", "vpc likely", INSTANCE)], w.SITE + w.VPC, GATEWAY_ENDPOINT, witness=log("2", "52.216.1.1")),
    Scene("path 2 to a bucket of another Region", lambda: stored("s3.eu-west-1.amazonaws.com", "52.218.1.1"), [Truth("internet", "unknown none", INSTANCE)],
          w.SITE + w.VPC, GATEWAY_ENDPOINT, witness=log("2", "52.218.1.1")),
    Scene("path 2 to a server that is called a bucket", lambda: stored(target=FAR), [Truth("internet", "internet likely", INSTANCE)], w.SITE + w.VPC, GATEWAY_ENDPOINT, witness=log("2", FAR)),
    # --- a VPN of which nobody says where it leads
    *(
        Scene(f"a VPN to anywhere, {name}", partial(w.talk, server=w.ENI, out=out), [Truth("vpn", said)], SITES + more + vpn)
        for name, vpn, more, out, said in (
            ("known by its outside", TO_ANYWHERE, LEADS, s.LAN, "private likely"),
            ("known by its gateway", '[[vpn]]\nname = "vpn-1"\ngateway = "tgw-1"\n', LEADS, s.LAN, "private likely"),
            ("known by its interface", '[[vpn]]\nname = "vpn-1"\ninterface = "vti*"\n', LEADS, s.LAN, "private likely"),
            ("over Direct Connect", TO_ANYWHERE + 'over = "dxvif-private"\n', LEADS, s.LAN, "private likely"),
            ("that is down", TO_ANYWHERE + 'state = "DOWN"\n', LEADS, s.LAN, "direct-connect likely"),
            ("of another site", OSLO, LEADS + HERE, s.LAN, "direct-connect likely"),
                    )
    ),
    Scene("a VPN to anywhere, a public virtual interface", lambda: w.talk(s.SOURCE, out=s.LAN), [Truth("direct-connect", "direct-connect likely", s.SOURCE)], w.SITE + TO_AWS + TO_ANYWHERE),
    Scene("a VPN to anywhere, the way back accepted", lambda: w.talk(server=w.ENI, out=s.LAN, directions="s"), [Truth("vpn", "private likely")],
          w.SITE + w.PRIVATE + 'sources = ["10.20.0.0/16"]\n' + w.VPC + TO_ANYWHERE),
    Scene("a VPN to anywhere, a route over Direct Connect", lambda: w.talk(server=w.ENI, out=s.LAN), [Truth("direct-connect", "direct-connect likely")],
          w.SITE + LEADS + f'peer_address = "{s.AMAZON}"\n' + TO_ANYWHERE, routes={"routes.json": [{"dst": "172.31.0.0/16", "gateway": s.AMAZON}]}),
    Scene("a VPN to anywhere, frames of Direct Connect", lambda: w.talk(server=w.ENI, out=s.DX1), [Truth("direct-connect", s.CONFIRMED_DX)], w.SITE + LEADS + TO_ANYWHERE),
    Scene("a VPN to anywhere whose frames would show", lambda: [*w.talk(server=w.ENI, out=s.LAN), *w.talk(server="172.30.9.9", out=s.VPN, port=40_009)],
          [Truth("direct-connect", "private none", port=40_000), Truth("vpn", "vpn likely", port=40_009)], w.SITE + LEADS + w.BACKUP),
    *(
        Scene(f"a server that AWS does {name} over a public virtual interface", partial(w.talk, s.SOURCE, out=s.LAN, directions="s"), [Truth("internet", said, s.SOURCE)], w.SITE + w.PUBLIC + f'prefixes = ["{prefix}"]\n')
        for name, prefix, said in (("advertise", "52.94.0.0/16", "direct-connect likely"), ("not advertise", "54.240.0.0/16", "unknown none"))
    ),
    # --- MACs that several have
    Scene("a virtual router's MAC on another network", lambda: w.talk(server=w.ENI, out=Wire(None, VRRP)), [Truth("direct-connect", "direct-connect likely")],
          w.SITE + LEADS + f'[[uplink]]\nname = "isp"\npeer_mac = "{VRRP}"\n'),
    Scene("a virtual router's MAC on its VLAN", lambda: w.talk(w.OWN_PUBLIC, FAR, Wire(200, VRRP)), [Truth("internet", "internet confirmed", w.OWN_PUBLIC)],
          w.SITE + f'[[uplink]]\nname = "isp"\nvlan = 200\npeer_mac = "{VRRP}"\n'),
    Scene("the own router's MAC stated as the peer's", lambda: w.talk(server=w.ENI, out=Wire(101, w.EDGE)), [Truth("internet", "direct-connect likely")],
          w.SITE + w.PRIVATE.replace(w.AWS1, w.EDGE) + ROUTER),
    Scene("a sensor's datagrams between the same ports", lambda: w.talk(server=w.ENI, out=s.LAN), [Truth("internet", "private none")], s.LINKS,
          witness={"eve.json": json.dumps({"timestamp": "2025-11-24T16:00:00.1+0000", "event_type": "flow", "vlan": [101], "src_ip": w.CLIENT, "src_port": 40_000,
                                           "dest_ip": w.ENI, "dest_port": 443, "proto": "UDP"}) + "\n"}),
    # --- destinations that a default route or prefix covers in name alone
    *(
        Scene(f"{name} under a default {what}", partial(w.talk, server=target, out=s.LAN), [Truth("elsewhere", "private none")], topology, routes=routes)
        for name, target in (("multicast", "239.255.255.250"), ("link-local", "169.254.169.254"), ("broadcast", "255.255.255.255"))
        for what, topology, routes in (("prefix", DEFAULT_PREFIX, {}), ("route", s.PEERS, DEFAULT_ROUTE))
    ),
    Scene("a private address under a default route to the internet", lambda: w.talk(server="192.168.55.5", out=s.LAN), [Truth("elsewhere", "private none")], s.PEERS, routes=DEFAULT_ROUTE),
    # --- lines
    Scene("a private client on a provider's closed network", lambda: w.pppoe(w.talk()), [Truth("direct-connect", "direct-connect likely")],
          w.SITE + w.PUBLIC + 'prefixes = ["52.94.0.0/16"]\n'),
    Scene("a private client and a VPC on a PPPoE line to the provider's router", lambda: w.pppoe(w.talk(server=w.ENI, out=Wire(None, w.ISP))), [Truth("vpn", "private none")], w.SITE + w.UPLINK),
    Scene("a client with a shared address on a PPPoE line", lambda: w.pppoe(w.talk("100.64.1.2")), [Truth("internet", "internet likely", "100.64.1.2")], w.SITE),
    Scene("Linux cooked frames of the VLAN, from another than the peer", cooked, [Truth("internet", "private none")], w.SITE + LEADS),
    Scene("a LAN's router answers for the peer in IPv6", lambda: [*p.advertisement(PEER6, GATEWAY, Wire(104, GATEWAY, w.HOST), w.CLIENT6), *w.talk(w.CLIENT6, "2a00:1450::5", Wire(104, GATEWAY))],
          [Truth("internet", "unknown none", w.CLIENT6)], w.SITE, VIF6),
    Scene("the peer answers the site's end in IPv6", lambda: [*p.advertisement(PEER6, w.AWS1, Wire(104, w.AWS1, w.EDGE), "2001:db8:ffff::2"), *w.talk(w.CLIENT6, w.SERVER6, Wire(104, w.AWS1))],
          [Truth("direct-connect", s.CONFIRMED_DX, w.CLIENT6)], w.SITE, VIF6),
    Scene("path 7 to the site", lambda: w.talk(w.SERVER6, w.CLIENT6), [Truth("internet", "unknown none", w.SERVER6)], w.SITE,
          witness={"vpc.log": w.flow_log(s.V5, s.vpc_row("7", w.SERVER6, w.CLIENT6))}),
    Scene("a private client on a PPPoE line", lambda: w.pppoe(w.talk()), [Truth("internet", "internet likely")], w.SITE),
]  # fmt: skip
