"""The topology file: what the owner of the site knows and no capture can show."""

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from auditor.errors import TopologyError
from auditor.settings import Strict, read

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _prefix(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"'{text}' is no prefix: {error}") from None


def _mac(text: str) -> str:
    digits = re.sub(r"[:.-]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", digits):
        raise ValueError(f"'{text}' is no MAC address such as 02:00:5e:10:00:01")
    return ":".join(digits[k : k + 2] for k in range(0, 12, 2))


Prefix = Annotated[str, AfterValidator(_prefix)]
Mac = Annotated[str, AfterValidator(_mac)]
Vlan = Annotated[int, Field(ge=1, le=4094)]


class Link(Strict):
    """A way out of the site: how its frames look on the wire (any of VLAN, peer's MAC, interface), where it leads."""

    name: str
    vlan: Vlan | None = None
    peer_mac: Mac | None = None
    interface: str | None = None
    prefixes: list[Prefix] = []

    @model_validator(mode="after")
    def _can_be_told(self) -> "Link":
        if self.vlan is None and self.peer_mac is None and self.interface is None and not self.prefixes:
            raise ValueError("give at least one of vlan, peer_mac, interface, prefixes: nothing else tells its frames")
        return self


class VirtualInterface(Link):
    """An AWS Direct Connect virtual interface; ``name`` is best its id, ``peer_mac`` AWS's router."""

    kind: Literal["private", "public", "transit"] = "private"


class Uplink(Link):
    """A link to the internet."""


class Vpn(Link):
    """A VPN to AWS; ``interface`` is the tunnel interface where the capture has one."""


class Vpc(Strict):
    """A VPC and its prefixes."""

    name: str
    prefixes: list[Prefix] = Field(min_length=1)
    region: str | None = None


class Site(Strict):
    """The site: its name and on-premises prefixes."""

    name: str = "site"
    on_premises: list[Prefix] = []


class Topology(Strict):
    """A whole topology file."""

    site: Site = Site()
    virtual_interface: list[VirtualInterface] = []
    uplink: list[Uplink] = []
    vpn: list[Vpn] = []
    vpc: list[Vpc] = []

    @classmethod
    def read(cls, path: str | Path) -> "Topology":
        """Read a file. Raises TopologyError naming the file and the key."""
        return read(cls, path, TopologyError)

    def links(self) -> Iterable[tuple[str, str, Link]]:
        """(path, what it is in words, link) of every link, in the file's order."""
        for vif in self.virtual_interface:
            yield "direct-connect", f"{vif.kind} virtual interface {vif.name}", vif
        for vpn in self.vpn:
            yield "vpn", f"VPN {vpn.name}", vpn
        for uplink in self.uplink:
            yield "internet", f"internet uplink {uplink.name}", uplink


EXAMPLE = """\
# What the auditor cannot see in a capture. Every section is optional; give what you know.

[site]
name = "office"
# Addresses of your own network, public ones that you own included.
on_premises = ["10.20.0.0/16", "203.0.113.0/28"]

# One for each virtual interface of AWS Direct Connect. A flow is confirmed to have taken it when its frames carry the
# VLAN and are exchanged with the peer's MAC: the address that ARP shows for the Amazon side of the BGP session.
[[virtual_interface]]
name = "dxvif-private1"
kind = "private"              # private, public or transit
vlan = 101                    # 802.1Q tag
peer_mac = "02:00:5e:00:01:01"
# interface = "eth1.101"      # name of the capture interface, where the capture is taken on it
prefixes = ["172.31.0.0/16"]  # where it leads

[[virtual_interface]]
name = "dxvif-public1"
kind = "public"
vlan = 102
peer_mac = "02:00:5e:00:01:02"

# Links to the internet: traffic to AWS that goes out here is not private.
[[uplink]]
name = "isp"
vlan = 200
peer_mac = "02:00:5e:00:02:01"

# Site-to-site VPNs to AWS.
[[vpn]]
name = "vpn-backup"
vlan = 300
peer_mac = "02:00:5e:00:03:01"

# Your VPCs: traffic between their addresses stays inside AWS.
[[vpc]]
name = "vpc-messaging"
region = "us-east-1"
prefixes = ["172.31.0.0/16"]
"""


def numbers(prefixes: Iterable[str]) -> list[tuple[int, int, int, int]]:
    """(network high, network low, mask high, mask low) of prefixes as 128-bit numbers, IPv4 as ::ffff:a.b.c.d."""
    rows = []
    for text in prefixes:
        net = ipaddress.ip_network(text)
        length = net.prefixlen + (96 if net.version == 4 else 0)
        number = int(net.network_address) + ((0xFFFF << 32) if net.version == 4 else 0)
        mask = ((1 << length) - 1) << (128 - length)
        low = (1 << 64) - 1
        rows.append((number >> 64, number & low, mask >> 64, mask & low))
    return rows


def inside(prefixes: Iterable[str], high: Any, low: Any) -> Any:
    """Which addresses (halves of 128-bit numbers, uint64 arrays) lie in any of the prefixes: a boolean array."""
    import numpy as np

    found = np.zeros(len(high), bool)
    for net_high, net_low, mask_high, mask_low in numbers(prefixes):
        found |= ((high & np.uint64(mask_high)) == np.uint64(net_high)) & (
            (low & np.uint64(mask_low)) == np.uint64(net_low)
        )
    return found
