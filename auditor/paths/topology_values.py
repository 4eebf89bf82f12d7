"""Values as owners write them in a topology: prefixes, addresses, MACs, VLANs, one or a list of several."""

import ipaddress
import re
from typing import Annotated, Any

from auditor.settings import After, Before

# MACs that redundant routers share, by their first bytes: VRRP (RFC 9568 7.3), HSRP versions 1 and 2 (IPv4, IPv6), GLBP;
# those of pairs of FortiGate, PAN-OS and ScreenOS. The same one is on every network with a group of the same number.
VIRTUAL_ROUTERS = (
    "00:00:5e:00:01:",
    "00:00:5e:00:02:",
    "00:00:0c:07:ac:",
    "00:00:0c:9f:f",
    "00:05:73:a0:0",
    "00:07:b4:0",
    "00:09:0f:09:",
    "00:1b:17:00:",
    "00:10:db:ff:",
)


def _prefix(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"'{text}' is no prefix: {error}") from None


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError:
        raise ValueError(f"'{text}' is no IP address such as 169.254.96.1") from None


def _mac(text: str) -> str:
    digits = re.sub(r"[:.-]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", digits):
        raise ValueError(f"'{text}' is no MAC address such as 02:00:5e:10:00:01")
    return ":".join(digits[k : k + 2] for k in range(0, 12, 2))


def _vlan(value: Any) -> Any:
    """A tag, or a stack of them from outer to inner, as "600.101"."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        return value
    for tag in text.split("."):
        if not tag.isdecimal() or not 1 <= int(tag) <= 4094:
            raise ValueError(f"{tag or text} is no VLAN: they go from 1 to 4094")
    return ".".join(str(int(tag)) for tag in text.split("."))


def tags_of(vlan: str) -> int:
    """A stack of tags as a number: 12 bits each, the innermost lowest."""
    number = 0
    for tag in vlan.split("."):
        number = number << 12 | int(tag)
    return number


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("give at least one")
    return values


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Prefix = Annotated[str, After(_prefix)]
Address = Annotated[str, After(_address)]
Mac = Annotated[str, After(_mac)]
Vlan = Annotated[str, Before(_vlan)]  # a number; or a stack from outer to inner, as "600.101"
# One, or a list of several.
Prefixes = Annotated[tuple[Prefix, ...], Before(_several)]
SomePrefixes = Annotated[Prefixes, After(_some)]
Addresses = Annotated[tuple[Address, ...], Before(_several)]
Macs = Annotated[tuple[Mac, ...], Before(_several)]
Names = Annotated[tuple[str, ...], Before(_several)]
