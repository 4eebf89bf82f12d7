"""Inputs for measuring CloudTrail: connections to an AWS service from a site's addresses, and the events about them."""

import json
import random
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests import wire

FLOWS, EVENTS, CLIENTS, SERVERS = 50_000, 100_000, 2_000, 50
START, SPAN = 1_795_175_000, 3600  # seconds
HOSTS = ("pinpoint.us-east-1.amazonaws.com", "email.us-east-1.amazonaws.com", "sts.us-east-1.amazonaws.com")
SITE = """
[site]
name = "bench"
on_premises = ["10.20.0.0/16", "198.51.96.0/20"]
[[virtual_interface]]
name = "dx"
kind = "public"
vlan = 102
peer_address = "192.0.2.1"
sources = ["198.51.96.0/20"]
[[uplink]]
name = "isp"
vlan = 200
addresses = ["203.0.113.0/24"]
"""
FILE_HEADER = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def _packet(ends: tuple[int, int], ports: tuple[int, int], numbers: tuple[int, int], flags: int, data: bytes) -> bytes:
    """An untagged frame with a TCP segment; checksums are left out, as offloading leaves them."""
    ethernet = bytes.fromhex("02000000000102000000000208004500")
    ip = struct.pack(">HHHBBHII", 40 + len(data), 0, 0x4000, 60, 6, 0, *ends)
    return ethernet + ip + struct.pack(">HHIIBBHHH", *ports, *numbers, 0x50, flags, 65535, 0, 0) + data


def _connection(client: int, server: int, port: int, host: str) -> list[bytes]:
    hello, there, back = wire.record(22, wire.client_hello(host), 0x0301), (client, server), (server, client)
    return [
        _packet(there, (port, 443), (1, 0), 0x02, b""),
        _packet(back, (443, port), (7, 2), 0x12, b""),
        _packet(there, (port, 443), (2, 8), 0x18, hello),
        _packet(back, (443, port), (8, 2 + len(hello)), 0x18, b"\x15\3\3\0\2\1\0"),
    ]


def _event(time: int, client: int, host: str) -> dict[str, object]:
    """An event as CloudTrail delivers it, with members of the usual size beside those that count."""
    address = ".".join(str(client >> shift & 255) for shift in (24, 16, 8, 0))
    return {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AssumedRole", "principalId": "AROAEXAMPLE:app", "accountId": "123456789012"},
        "eventTime": datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": host.partition(".")[0] + ".amazonaws.com",
        "eventName": "SendMessages",
        "awsRegion": "us-east-1",
        "sourceIPAddress": address,
        "userAgent": "aws-sdk-java/2.30.0 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1 lang/java#21",
        "requestParameters": {"applicationId": "0123456789abcdef0123456789abcdef"},
        "requestID": "2f1f2f36-0000-4000-8000-000000000000",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "tlsDetails": {
            "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": host
        },
    }  # fmt: skip


def options(folder: Path) -> list[str]:
    """The capture and the options of ``audit pcap``; what is missing is generated."""
    pcap, trail, site = folder / "trail.pcap", folder / "trail.json", folder / "trail.toml"
    site.write_text(SITE)
    if not (pcap.exists() and trail.exists()):
        chance = random.Random(1)
        clients = [0xC6336000 + chance.randrange(4096) for _ in range(CLIENTS)]
        begun = sorted(chance.random() * SPAN for _ in range(FLOWS))
        flows = [(when, chance.choice(clients), chance.choice(HOSTS)) for when in begun]
        records = []
        for number, (when, client, host) in enumerate(flows):
            server, port = 0x345EF400 + chance.randrange(SERVERS), 1024 + number % 64_000
            for place, packet in enumerate(_connection(client, server, port, host)):
                moment = when + place * 0.001
                head = struct.pack("<IIII", START + int(moment), int(moment % 1 * 1e6), len(packet), len(packet))
                records.append((moment, head + packet))
        pcap.write_bytes(FILE_HEADER + b"".join(record for _, record in sorted(records)))
        of = (flows[chance.randrange(FLOWS)] for _ in range(EVENTS))
        events = [_event(START + int(when), client, host) for when, client, host in of]
        trail.write_text(json.dumps({"Records": events}))
    return [str(pcap), "--topology", str(site), "--witness", str(trail)]


if __name__ == "__main__":
    sys.stdout.write(" ".join(options(Path(sys.argv[1]))))
