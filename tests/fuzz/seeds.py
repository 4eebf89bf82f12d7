"""Inputs that are right, of every kind: what fuzzers begin with."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.policy import library
from tests import test_mrt_updates as mrt
from tests import wire
from tests.conftest import SAMPLES
from tests.lab import scenes
from tests.lab import world as w

ROW = f"2 123456789012 eni-1 {w.CLIENT} {w.ENI} 40000 443 6 9 1000 {scenes.SPAN} ACCEPT OK"
VPC = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
FORMAT = " ".join(f"${{{name}}}" for name in VPC.split())

TOPOLOGY: dict[str, Any] = {
    "site": [{"name": "hq", "on_premises": ["10.20.0.0/16", "2001:db8:20::/48"]}],
    "router": [{"name": "edge", "mac": [w.EDGE], "address": "10.20.0.1", "site": "hq"}],
    "virtual_interface": [
        {"name": "dxvif-private", "kind": "private", "vlan": 101, "peer_mac": [w.AWS1], "prefixes": ["172.31.0.0/16"]},
        {"name": "dxvif-public", "kind": "public", "vlan": "600.102", "peer_address": "169.254.97.1", "sources": "203.0.113.0/24"},
    ],
    "uplink": [{"name": "isp", "vlan": 200, "peer_mac": w.ISP, "addresses": "203.0.113.9/32"}],
    "vpn": [{"name": "vpn-1", "interface": "tun*", "outside": ["198.51.100.7"], "over": "dxvif-public", "dedicated": True}],
    "vpc": [{"name": "vpc-1", "prefixes": "172.31.0.0/16", "region": "us-east-1"}],
    "endpoint": [{"name": "vpce-1", "addresses": ["172.31.0.9"], "service": "pinpoint", "private_dns": True}],
    "attachment": [{"name": "tgw-attach-1", "kind": "vpn", "link": "vpn-1"}],
    "capture_point": [{"name": "mirror", "file": "*.pcap", "outer": "172.31.9.9", "vpc": "vpc-1"}],
    "nat": [{"name": "nat", "inside": "10.20.0.0/16", "outside": ["203.0.113.9/32"]}],
    "rule": [{"link": "isp", "interface": "eth*", "vlan": 200, "mac": w.ISP, "source": "10.20.0.0/16"}],
}  # fmt: skip
POLICY: dict[str, Any] = {
    "id": "own", "title": "Our own", "edition": "1", "source": "https://example.org", "retrieved": date(2026, 1, 2),
    "extends": ["aws-pinpoint"],
    "rule": [{
        "code": "OWN101", "title": "t", "check": "tls-version", "severity": "high", "applies_to": "all", "what": "w",
        "why": "y", "fix": "f", "source": "s", "begins": date(2026, 1, 1), "parameters": {"minimum": "TLS 1.2"},
    }],
    "change": [{"code": "TLS101", "severity": "low", "required": False}],
    "exception": [{"rule": "TLS101", "owner": "me", "reason": "old", "expires": date(2027, 1, 1), "server": "*.example"}],
    "unseen": [{"requirement": "r", "section": "1", "level": "MUST", "reason": "n"}],
}  # fmt: skip
ACCOUNT: dict[str, Any] = {
    "virtualInterfaces": [
        w.vif("dxvif-1", "private", 101, "169.254.96.1/30", "169.254.96.2/30", directConnectGatewayId="dxgw-1"),
        w.vif("dxvif-2", "public", 102, "1.1.1.1/30", "1.1.1.2/30", routeFilterPrefixes=[{"cidr": "203.0.113.0/24"}]),
    ],
    "connections": [{"connectionId": "dxcon-1", "encryptionMode": "must_encrypt", "portEncryptionStatus": "Encryption Up"}],
    "directConnectGatewayAttachments": [{"directConnectGatewayId": "dxgw-1", "virtualInterfaceId": "dxvif-1"}],
    "directConnectGatewayAssociations": [
        {"directConnectGatewayId": "dxgw-1", "allowedPrefixesToDirectConnectGateway": [{"cidr": "172.31.0.0/16"}]}
    ],
    **{key: value for file in (w.endpoint(), w.attachments()) for part in file.values() for key, value in part.items()},
    "VpnConnections": [{
        "VpnConnectionId": "vpn-1", "State": "available", "TransitGatewayId": "tgw-1",
        "Options": {"OutsideIpAddressType": "PublicIpv4", "TunnelOptions": [{"OutsideIpAddress": "198.51.100.7"}]},
        "VgwTelemetry": [{"OutsideIpAddress": "198.51.100.7", "Status": "UP"}],
        "Routes": [{"DestinationCidrBlock": "10.20.0.0/16", "State": "available"}],
    }],
    "Vpcs": [{
        "VpcId": "vpc-1", "CidrBlock": "172.31.0.0/16",
        "CidrBlockAssociationSet": [{"CidrBlock": "172.31.0.0/16", "CidrBlockState": {"State": "associated"}}],
        "Ipv6CidrBlockAssociationSet": [{"Ipv6CidrBlock": "2001:db8::/56", "Ipv6CidrBlockState": {"State": "associated"}}],
    }],
    "Subnets": [{"VpcId": "vpc-1", "AvailabilityZone": "us-east-1a"}],
    "VpnGateways": [{"VpnGatewayId": "vgw-1", "VpcAttachments": [{"VpcId": "vpc-1", "State": "attached"}]}],
    "ClientVpnEndpoints": [{"ClientVpnEndpointId": "cvpn-1", "ClientCidrBlock": "10.99.0.0/22", "Status": {"Code": "available"}}],
    "routes": [{"cidr": "172.31.0.0/16", "routeDirection": "advertised"}],
    "virtualInterfaceId": "dxvif-1",
}  # fmt: skip
TRAIL = scenes.trail(sourceIPAddress=w.OWN_PUBLIC, vpcEndpointId="vpce-1")
EVE: dict[str, Any] = {
    "timestamp": "2025-11-24T16:00:00.000000+0000", "event_type": "tls", "src_ip": w.CLIENT, "src_port": 40000,
    "dest_ip": w.ENI, "dest_port": 443, "proto": "TCP", "vlan": [101], "in_iface": "eth1", "tls": {"version": "TLS 1.2"},
    "flow": {"start": "2025-11-24T16:00:00.000000+0000"},
}  # fmt: skip
ZEEK: dict[str, Any] = {
    "ts": scenes.START, "uid": "C1", "id.orig_h": w.CLIENT, "id.orig_p": 40000, "id.resp_h": w.ENI, "id.resp_p": 443,
    "version": "TLSv12", "vlan": 101, "inner_vlan": 7,
}  # fmt: skip
ZEEK_TEXT = "#separator \\x09\n#fields\t" + "\t".join(ZEEK) + "\n" + "\t".join(map(str, ZEEK.values())) + "\n"
EVENTS = {"events": [{"timestamp": 1, "message": ROW}, {"message": ROW}]}
INSIGHTS = {"results": [[{"field": "@message", "value": ROW}, {"field": "@ptr", "value": "x"}]]}
FLOW_LOGS = {"FlowLogs": [{"FlowLogId": "fl-1", "LogFormat": FORMAT}]}
LOG_TEXTS = [
    f"{VPC}\n{ROW}\n{ROW}\n", f"{ROW}\n", f"{FORMAT}\n{ROW}\n",
    f"{scenes.TGW}\n{scenes.tgw_row('tgw-attach-dx', 'tgw-attach-vpc')}\n",
    f"2025-11-24T16:00:00Z eni-1 {ROW}\n", ",".join(VPC.split()) + "\n" + ",".join(ROW.split()) + "\n", f"@timestamp,@message\n1,{ROW}\n",
]  # fmt: skip
IP_ROUTE: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "198.51.100.1", "dev": "eth0", "flags": [], "metric": 100},
    {"dst": "172.31.0.0/16", "via": {"family": "inet", "host": "169.254.96.1"}, "dev": "eth1", "protocol": "bgp"},
    {"dst": "52.94.0.0/16", "nexthops": [{"gateway": "169.254.97.1", "dev": "eth2", "flags": ["dead"]}, {"gateway": "1.1.1.1"}]},
    {"type": "blackhole", "dst": "192.0.2.0/24", "table": "main", "flags": ["linkdown"]},
]  # fmt: skip
BGP = scenes.routes_of("52.94.0.0/16", "169.254.97.1", community="7224:8100 noExport")
SHOW = (
    "   Network          Next Hop            Metric LocPrf Weight Path\n"
    "*> 52.94.0.0/16     169.254.97.1             0             0 7224 16509 i\n"
    "*=                  169.254.97.5             0             0 7224 16509 i\n"
    "*> 10.0.0.0         169.254.97.1             0             0 7224 i\n"
)
RANGES: dict[str, Any] = {
    "createDate": "2027-01-02-03-04-05", "syncToken": "1",
    "prefixes": [{"ip_prefix": "52.94.0.0/16", "region": "us-east-1", "service": "AMAZON"}],
    "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "GLOBAL", "service": "S3"}],
}  # fmt: skip
SIGNERS = (
    'a@b namespaces="file,git",valid-after="20260101" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me\n'
    "c*@d cert-authority ssh-rsa AAAAB3NzaC1yc2E= x\n# note\n"
)
KEY_LOG = f"# keys\nCLIENT_RANDOM {'ab' * 32} {'cd' * 48}\nSERVER_TRAFFIC_SECRET_0 {'ab' * 32} {'ef' * 32}\nRSA {'ab' * 8} {'cd' * 48}\n"


@cache
def flow_log_table() -> pa.Table:
    """A flow log as AWS writes it in Parquet."""
    cells = dict(zip((name.replace("-", "_") for name in VPC.split()), ROW.split(), strict=True))
    columns = {k: pa.array([int(v)] * 3 if v.isdigit() and k != "account_id" else [v] * 3) for k, v in cells.items()}
    return pa.table(columns)


@cache
def capture() -> bytes:
    """A small capture: TLS over a virtual interface, a packet of DNS, ARP."""
    return wire.pcap(
        [*w.talk(), *w.talk(server=w.ENI, out=scenes.DX1), w.arp("169.254.96.1", w.AWS1)], nanoseconds=True
    )


@cache
def captures() -> list[bytes]:
    """Captures of both forms, small ones."""
    names = ("tls1.2.pcapng", "tls1.3.pcapng", "ssl3.pcapng")
    return [capture(), *((SAMPLES / name).read_bytes() for name in names), *sessions()]


@cache
def archives() -> list[bytes]:
    """Archives and packed files with a capture, one in the other."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as one:
        one.writestr("a.pcap", capture())
        one.writestr("b/c.pcap.gz", gzip.compress(capture()))
    with tarfile.open(fileobj=tarred, mode="w") as other:
        for name, data in (("a.pcap", capture()), ("b.pcap.xz", lzma.compress(capture()))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            other.addfile(info, io.BytesIO(data))
    return [zipped.getvalue(), tarred.getvalue(), bz2.compress(tarred.getvalue()), gzip.compress(capture()) * 2]


@cache
def stacks() -> list[bytes]:
    """What programs of others have said to each other, all that carries TLS or DTLS, and sessions of this module."""
    return [
        capture(),
        *sessions(),
        *(path.read_bytes() for path in sorted(Path(__file__).parents[1].glob("stacks/*.pcap"))),
    ]


def sessions() -> list[bytes]:
    """Captures of BGP, of tunnels and of fragments of other layers."""
    return [
        wire.pcap(scenes.announcements(until=5.0), nanoseconds=True),
        wire.pcap(w.vxlan(w.talk()), nanoseconds=True),
        wire.pcap(w.geneve(w.talk()), nanoseconds=True),
        wire.pcap(w.gre(w.talk(), "192.0.2.1", "192.0.2.2"), nanoseconds=True),
        wire.pcap(w.pppoe(w.talk()), nanoseconds=True),
    ]


def write(path: Path, value: Any) -> Path:
    """Write plain values as JSON."""
    path.write_text(json.dumps(value))
    return path


@cache
def rules() -> list[dict[str, Any]]:
    """A rule for each check that takes parameters, with those that shipped policies give it."""
    given: dict[str, dict[str, Any]] = {}
    for name in library.shipped():
        for rule in library.get(name).rule:
            given.setdefault(rule.check, {}).update(rule.parameters)
    page = {name: name for name in ("title", "what", "why", "fix", "source")}
    some = [(check, parameters) for check, parameters in sorted(given.items()) if parameters]
    return [
        {
            "code": f"OWN{100 + k}",
            "check": check,
            "severity": "low",
            "applies_to": "all",
            "parameters": parameters,
            **page,
        }
        for k, (check, parameters) in enumerate(some)
    ]


@cache
def announced() -> list[bytes]:
    """Files of routes and their updates as collectors write them."""
    rib = scenes.mrt("52.94.0.0/16", "169.254.97.1", [(7224, 8100)])
    more = [
        mrt.record(mrt.update("52.94.0.0/16", "52.95.0.0/24", gone=("10.0.0.0/8",)), 1),
        mrt.record(mrt.update("52.94.0.0/16", identifier=3), 1.5, kind=17, subtype=8),
        mrt.record(mrt.update("52.94.0.0/16", width="H"), 2, subtype=1),
        mrt.state(mrt.ESTABLISHED, mrt.IDLE, 3),
    ]
    return [rib, mrt.BEGIN, b"".join(more), rib + b"".join(more)]
