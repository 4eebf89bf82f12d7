"""What paths are judged by: flows with their ways, and pieces of evidence about them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.decode.packet import GENEVE, VXLAN
from auditor.prefixes import PrefixSet

Array = np.ndarray[Any, Any]

NONE, LIKELY, CONFIRMED = 0, 1, 2
CONFIDENCE_NAMES = ["none", "likely", "confirmed"]
DIRECTIONS = ("client", "server")

# Among evidence for different paths the stronger goes first.
STRENGTH = {
    "vlan+mac": 90,
    "interface+vlan": 85,
    "pppoe": 85,
    "mirror": 80,
    "mac": 70,
    "tunnel": 68,
    "point": 65,
    "rule": 62,
    "interface": 60,
    "attachment": 58,
    "vlan": 50,
    "bgp": 48,
    "route": 45,
    "flow-log": 44,
    "cloudtrail": 43,
    "sensor": 42,
    "nat": 40,
    "endpoint": 35,
    "prefix": 30,
    "accepted": 28,
    "address": 20,
    "router": 0,
    "ipsec": 0,
    "source": 0,
    "contrary": 0,
}

PRIVATE_V4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
# Addresses that say nothing of the internet: private, shared, link-local, documentation, multicast, loopback.
NOT_PUBLIC = PrefixSet(
    [
        *PRIVATE_V4,
        "fc00::/7",
        "0.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/96",
        "fe80::/10",
        "ff00::/8",
        "2001:db8::/32",
    ]
)
IPSEC = ("esp", "ike")


@dataclass
class Ways:
    """What is known of the way of one direction of each flow (arrays of one length)."""

    seen: Array
    source_mac: Array
    target_mac: Array
    vlans: Array
    vlan_count: Array
    tunnel: Array
    outer_source: Array
    outer_target: Array
    interface: Array  # of str or None
    frame: Array
    moved_frame: Array  # the first packet with other MACs, 0 for none
    moved_time: Array
    moved_source_mac: Array
    moved_target_mac: Array

    def has_mac(self, mac: int) -> Array:
        """Whether frames are exchanged with a MAC, in either direction of the wire."""
        return np.asarray((self.source_mac == np.uint64(mac)) | (self.target_mac == np.uint64(mac)))

    def moved(self) -> "Ways":
        """The same, as it was after the move, for the flows that moved."""
        return Ways(
            **{
                **vars(self),
                "seen": self.moved_frame > 0,
                "source_mac": self.moved_source_mac,
                "target_mac": self.moved_target_mac,
                "frame": self.moved_frame,
            }
        )


@dataclass
class Flows:
    """What paths are judged by, of each flow: addresses as halves of 128-bit numbers, times in nanoseconds."""

    identifier: Array
    capture: str
    client_high: Array
    client_low: Array
    client_port: Array
    server_high: Array
    server_low: Array
    server_port: Array
    ip_protocol: Array
    started: Array
    ended: Array
    pppoe: Array
    client_payload: Array
    server_payload: Array
    client_ip_bytes: Array  # bytes on the wire less the link layer: what flow logs count
    server_ip_bytes: Array
    client_packets: Array
    server_packets: Array
    mirrored: Array
    protocol: Array  # of str or None
    server_name: Array
    service: Array
    region: Array
    tls_version: Array
    cipher_suite: Array
    ways: dict[str, Ways]

    def __len__(self) -> int:
        return len(self.identifier)

    def end(self, which: str) -> tuple[Array, Array]:
        """The addresses of an end."""
        if which == "client":
            return self.client_high, self.client_low
        return self.server_high, self.server_low


@dataclass
class Evidence:
    """One piece of evidence for many flows: which they are, and what it says.

    ``link`` is the link's name, ``frame`` the frames that show it (0: it is not in a frame).
    """

    mask: Array
    direction: str
    kind: str
    path: str
    confidence: int
    detail: str
    link: str | None = None
    frame: Array | None = None


def is_public(high: Array, low: Array) -> Array:
    """Addresses that are routed on the internet."""
    return np.asarray(~NOT_PUBLIC.covers(high, low))


def is_mirror(tunnel: Array) -> Array:
    """Whether the innermost tunnel is VXLAN or GENEVE: AWS traffic mirroring and gateway load balancers."""
    kind = tunnel >> np.uint64(56)
    return np.asarray((kind == VXLAN) | (kind == GENEVE))
