"""What paths are judged by: flows with the positions of their packets, and pieces of evidence about them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.paths.positions import Positions
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
    "interface+mac": 75,
    "mac": 70,
    "tunnel": 68,
    "gateway": 67,
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
    "proxy": 34,
    "prefix": 30,
    "accepted": 28,
    "address": 20,
    "router": 0,
    "ipsec": 0,
    "source": 0,
    "contrary": 0,
    "contested": 0,
    "moved": 0,
}
# What a packet of the flow itself, or a row about it, showed: not what addresses and routes let expect.
SEEN = frozenset(
    (
        "vlan+mac",
        "interface+vlan",
        "pppoe",
        "mirror",
        "interface+mac",
        "mac",
        "tunnel",
        "gateway",
        "point",
        "interface",
        "attachment",
        "vlan",
        "bgp",
        "flow-log",
        "sensor",
    )
)

PRIVATE_V4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
PRIVATE = PrefixSet([*PRIVATE_V4, "fc00::/7"])
SHARED = PrefixSet(["100.64.0.0/10"])  # between a provider and its customers (RFC 6598)
# Addresses that say nothing of the internet: private, shared, link-local, multicast, loopback.
NOT_PUBLIC = PrefixSet(
    [
        *PRIVATE_V4,
        "fc00::/7",
        "0.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "::/96",
        "fe80::/10",
        "ff00::/8",
    ]
)
# What no router passes on (RFC 1122 3.2.1.3, RFC 3927 7, RFC 4291 2.4 to 2.7), but multicast, which no link here carries.
UNROUTED = PrefixSet(
    ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/96", "fe80::/10", "ff00::/8"],
)
# What goes to all or to a group on one network, or comes from a host without an address (RFC 1122 3.2.1.3, RFC 4291 2.5.2,
# 2.7): no link carries it on. Groups that routers pass on go by trees of their own, which nothing here knows of.
STAYING = PrefixSet(["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "ff00::/8"])
IPSEC = ("esp", "ike")


@dataclass(eq=False, repr=False)
class Ways:
    """One direction of each flow: whether any of its packets were seen, how many, and the first one's frame."""

    seen: Array
    packets: Array
    frame: Array


@dataclass(eq=False, repr=False)
class Flows:
    """What paths are judged by, of each flow: addresses as halves of 128-bit numbers, times in nanoseconds."""

    identifier: Array
    captures: list[str]  # names of those that are read as one, by the numbers that frames have
    client_high: Array
    client_low: Array
    client_port: Array
    server_high: Array
    server_low: Array
    server_port: Array
    ip_protocol: Array
    started: Array
    ended: Array
    client_payload: Array
    server_payload: Array
    client_ip_bytes: Array  # bytes on the wire less the link layer: what flow logs count
    server_ip_bytes: Array
    client_packets: Array
    server_packets: Array
    client_aws: Array  # whether the address is in AWS's published ranges
    server_aws: Array
    opens: Array  # the handshake of its TCP connection was seen
    protocol: Array  # of str or None
    server_name: Array
    vpc_endpoint: Array  # that a PROXY header names
    service: Array
    region: Array
    tls_version: Array
    cipher_suite: Array
    key_exchange_group: Array
    ways: dict[str, Ways]
    positions: Positions
    interfaces: list[str | None]  # names of the capture's interfaces

    def __len__(self) -> int:
        return len(self.identifier)

    def end(self, which: str) -> tuple[Array, Array]:
        """The addresses of an end."""
        if which == "client":
            return self.client_high, self.client_low
        return self.server_high, self.server_low

    def is_aws(self, which: str) -> Array:
        """Whether an end's address is one of AWS's public ones."""
        return self.client_aws if which == "client" else self.server_aws


@dataclass(eq=False, repr=False)
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
