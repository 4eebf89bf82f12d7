"""The topology: what the owner of the site knows and no capture can show. From a file, from AWS's own account of it, or both."""

import fnmatch
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from auditor import data
from auditor.errors import TopologyError
from auditor.paths.topology_values import (
    VIRTUAL_ROUTERS,
    Address,
    Addresses,
    Mac,
    Macs,
    Names,
    Prefix,
    Prefixes,
    SomePrefixes,
    Vlan,
    tags_of,
)
from auditor.settings import Before, Strict, read


@dataclass(frozen=True, kw_only=True)
class Link(Strict):
    """A way out of the site: how its frames look on the wire, where it leads, which sources it may carry.

    ``vlan`` is the tag that its frames have and no other, or the whole stack. ``interface`` may have the wildcards ``*``
    and ``?``. ``peer_address`` is the other router's: whoever a capture shows to have it on the link's own VLAN and
    interface, by ARP, Neighbor Discovery or BGP, has the peer's MAC (a link-local one: where ``interface`` is given). What
    is ``down`` carries nothing.
    """

    path: ClassVar[str]  # the path that whatever goes over it takes
    name: str
    site: str | None = None
    vlan: Vlan | None = None
    peer_mac: Macs = ()
    peer_address: Addresses = ()
    own_address: Addresses = ()
    interface: Names = ()
    prefixes: Prefixes = ()
    sources: Prefixes = ()
    state: str | None = None

    def __post_init__(self) -> None:
        if not (
            self.vlan or self.peer_mac or self.peer_address or self.interface or self.prefixes or self._other_signs()
        ):
            raise ValueError(
                "give at least one of vlan, peer_mac, peer_address, interface, prefixes: nothing else identifies its frames"
            )

    def _other_signs(self) -> bool:
        return False

    @property
    def words(self) -> str:
        """What it is, in words."""
        return self.name

    @property
    def is_up(self) -> bool:
        """Whether it may carry anything, as far as its state is known."""
        return self.state in (None, "available", "up", "UP", "unknown")

    @property
    def tags(self) -> int | None:
        return None if self.vlan is None else tags_of(self.vlan)

    @property
    def macs(self) -> dict[int, str]:
        """The peer's MACs that the owner states, as numbers, and as written."""
        return {int(mac.replace(":", ""), 16): mac for mac in self.peer_mac}

    @property
    def virtual_macs(self) -> tuple[str, ...]:
        """Those of the stated MACs that routers of other networks may have as well."""
        return tuple(mac for mac in self.peer_mac if mac.startswith(VIRTUAL_ROUTERS))

    def has_interface(self, name: str | None) -> bool:
        """Whether a capture's interface is the link's: by its name, or as the VLAN of it, as Linux names these (eth1.101)."""
        names = {name, name.removesuffix(f".{self.vlan}")} if name is not None else ()
        return any(fnmatch.fnmatchcase(one, pattern) for one in names for pattern in self.interface)

    def is_vlan_of(self, name: str | None) -> bool:
        """Whether the link's interface is the VLAN of a capture's: there its frames are those with the tag."""
        return name is not None and self.vlan is not None and self.has_interface(f"{name}.{self.vlan}")


@dataclass(frozen=True, kw_only=True)
class VirtualInterface(Link):
    """An AWS Direct Connect virtual interface; ``name`` is best its id, the peer AWS's router.

    ``sources`` are the prefixes that you advertise: AWS drops what comes from others over a public one.
    """

    path: ClassVar[str] = "direct-connect"
    kind: Literal["private", "public", "transit"] = "private"
    region: str | None = None
    gateway: str | None = None  # Direct Connect gateway, or virtual private gateway
    macsec: str | None = None  # as describe-connections says: "Encryption Up"

    @property
    def words(self) -> str:
        return f"{self.kind} virtual interface {self.name}{f' (MACsec: {self.macsec})' if self.macsec else ''}"


@dataclass(frozen=True, kw_only=True)
class Uplink(Link):
    """A link to the internet. ``addresses`` are those that it gives to what goes out (NAT)."""

    path: ClassVar[str] = "internet"
    provider: str | None = None
    kind: str | None = None
    addresses: Prefixes = ()

    def _other_signs(self) -> bool:
        return bool(self.addresses)

    @property
    def words(self) -> str:
        more = ", ".join(part for part in (self.provider, self.kind) if part)
        return f"internet uplink {self.name}{f' ({more})' if more else ''}"


@dataclass(frozen=True, kw_only=True)
class Vpn(Link):
    """A VPN to AWS; ``interface`` is the tunnel interface, ``outside`` the addresses of its ends.

    ``over`` names the link that carries it. Its peer is a gateway of your own, which may send packets elsewhere as well:
    ``dedicated`` says that it does nothing but this VPN. Without ``prefixes`` it may lead where private and transit interfaces do.
    """

    path: ClassVar[str] = "vpn"
    outside: Addresses = ()
    over: str | None = None
    gateway: str | None = None  # virtual private or transit gateway
    dedicated: bool = False

    def _other_signs(self) -> bool:
        return bool(self.outside or self.gateway)

    @property
    def words(self) -> str:
        return f"VPN {self.name}{f' over {self.over}' if self.over else ''}"


@dataclass(frozen=True, kw_only=True)
class Vpc(Strict):
    """A VPC and its prefixes."""

    name: str
    prefixes: SomePrefixes
    region: str | None = None

    @property
    def too_wide(self) -> tuple[str, ...]:
        """Prefixes that no VPC can have: IPv4 blocks are /16 to /28, IPv6 ones /44 to /60 (VPC User Guide, CIDR blocks)."""
        return tuple(p for p in self.prefixes if int(p.partition("/")[2]) < (44 if ":" in p else 16))

    @property
    def blocks(self) -> tuple[str, ...]:
        """The prefixes but for those that are summaries of more than the VPC."""
        return tuple(p for p in self.prefixes if p not in self.too_wide)


@dataclass(frozen=True, kw_only=True)
class VpcEndpoint(Strict):
    """A VPC endpoint: the addresses of its network interfaces, and the service behind them.

    ``private_dns``: the service's public name is meant to be answered with these addresses.
    """

    name: str
    addresses: Addresses = ()
    service: str | None = None
    region: str | None = None
    vpc: str | None = None
    private_dns: bool = False


@dataclass(frozen=True, kw_only=True)
class Attachment(Strict):
    """An attachment of a transit gateway, and what is attached; ``link`` is the virtual interface or VPN behind it."""

    name: str
    kind: str  # ResourceType of describe-transit-gateway-attachments: direct-connect-gateway, vpn, vpc, peering, …
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Router(Strict):
    """A router of your own. A frame that is handed to it may go on by any of its links: that proves no path."""

    name: str
    mac: Macs = ()
    address: Addresses = ()
    site: str | None = None


@dataclass(frozen=True, kw_only=True)
class CapturePoint(Strict):
    """Where a capture was taken: a file (wildcards allowed), a pcapng interface, or the source of a mirror's tunnel.

    What was captured there went over ``link``, was seen at ``site``, or inside ``vpc``.
    """

    name: str
    file: str | None = None
    interface: str | None = None
    outer: Address | None = None
    link: str | None = None
    site: str | None = None
    vpc: str | None = None

    def __post_init__(self) -> None:
        if self.file is None and self.interface is None and self.outer is None:
            raise ValueError("give at least one of file, interface, outer: nothing else shows what was captured there")
        if self.link is None and self.site is None and self.vpc is None:
            raise ValueError("give at least one of link, site, vpc: what the place means")


@dataclass(frozen=True, kw_only=True)
class Nat(Strict):
    """Address translation: what is ``inside`` appears as ``outside`` behind it."""

    name: str
    inside: SomePrefixes
    outside: SomePrefixes


@dataclass(frozen=True, kw_only=True)
class RoutesFile(Strict):
    """A file of routes (see ``audit pcap --routes``), and the site whose router has them."""

    file: str
    site: str | None = None


@dataclass(frozen=True, kw_only=True)
class LinkRule(Strict):
    """The first rule of the file that fits a flow's packets says which link they took. All that is given must fit."""

    link: str
    file: str | None = None
    interface: str | None = None
    vlan: Vlan | None = None
    mac: Mac | None = None
    source: Prefix | None = None
    destination: Prefix | None = None

    @property
    def tags(self) -> int | None:
        return None if self.vlan is None else tags_of(self.vlan)

    def __post_init__(self) -> None:
        if not (self.file or self.interface or self.vlan or self.mac or self.source or self.destination):
            raise ValueError("give at least one of file, interface, vlan, mac, source, destination")


@dataclass(frozen=True, kw_only=True)
class Site(Strict):
    """A site: its name and on-premises prefixes."""

    name: str = "site"
    on_premises: Prefixes = ()


def _sites(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


@dataclass(frozen=True, kw_only=True)
class Topology(Strict):
    """A whole topology. Names of links are unique, and what names a link means one that is there."""

    site: Annotated[tuple[Site, ...], Before(_sites)] = ()
    router: tuple[Router, ...] = ()
    virtual_interface: tuple[VirtualInterface, ...] = ()
    uplink: tuple[Uplink, ...] = ()
    vpn: tuple[Vpn, ...] = ()
    vpc: tuple[Vpc, ...] = ()
    endpoint: tuple[VpcEndpoint, ...] = ()
    attachment: tuple[Attachment, ...] = ()
    capture_point: tuple[CapturePoint, ...] = ()
    nat: tuple[Nat, ...] = ()
    routing_table: tuple[RoutesFile, ...] = ()
    rule: tuple[LinkRule, ...] = ()

    def __post_init__(self) -> None:
        links = Counter(link.name for link in self.links())
        twice = [name for name, count in links.items() if count > 1]
        if twice:
            raise ValueError(f"two links are named '{min(twice)}'")
        named = [*((f"rule[{k}]", rule.link) for k, rule in enumerate(self.rule))]
        named += [(f"capture_point[{k}]", point.link or "") for k, point in enumerate(self.capture_point)]
        for where, link in named:
            if link and link not in links:
                raise ValueError(f"{where}.link: no link is named '{link}'; {_known(list(links))}")
        sites = [site.name for site in self.site]
        places: list[tuple[str, str | None]] = [(link.name, link.site) for link in self.links()]
        places += [(router.name, router.site) for router in self.router]
        places += [(point.name, point.site) for point in self.capture_point]
        places += [(table.file, table.site) for table in self.routing_table]
        for name, site_name in places:
            if site_name is not None and site_name not in sites:
                raise ValueError(f"site of '{name}': no site is named '{site_name}'; {_known(sites)}")

    @classmethod
    def read(cls, path: str | Path) -> "Topology":
        """Read a file; files that it names are beside it. Raises TopologyError naming the file and the key."""
        topology = read(cls, path, TopologyError)
        tables = tuple(replace(t, file=str(Path(path).parent / t.file)) for t in topology.routing_table)
        return replace(topology, routing_table=tables)

    def links(self) -> Iterable[Link]:
        """Every link, in the file's order."""
        yield from self.virtual_interface
        yield from self.vpn
        yield from self.uplink

    def link(self, name: str) -> Link | None:
        return next((link for link in self.links() if link.name == name), None)

    @property
    def name(self) -> str | None:
        """The sites' names; None where nothing at all is known."""
        if self == NOTHING:
            return None
        return ", ".join(site.name for site in self.site) or "site"

    @property
    def on_premises(self) -> list[str]:
        return [prefix for site in self.site for prefix in site.on_premises]

    def joined(self, other: "Topology") -> "Topology":
        """Both: what this one says of a link or VPC goes before what the other says of one with the same name."""
        parts: dict[str, Any] = {}
        other = _renamed(other, self)
        for section in (f.name for f in fields(self)):
            mine, theirs = getattr(self, section), getattr(other, section)
            named = {getattr(item, "name", None): item for item in theirs}
            whole = [_filled(item, named.pop(getattr(item, "name", None), None)) for item in mine]
            parts[section] = (*whole, *(item for item in theirs if getattr(item, "name", None) in named))
        return Topology(**parts)


NOTHING = Topology()


def _known(names: list[str]) -> str:
    return f"there are {', '.join(names)}" if names else "there are none"


def _renamed(account: Topology, site: Topology) -> Topology:
    """An account whose virtual interfaces have the names that the site's file gives them.

    They are the same if VLAN and addresses of the BGP session are, and no other one on either side is like it.
    """
    known = {vif.name for vif in account.virtual_interface} & {vif.name for vif in site.virtual_interface}
    names: dict[str, str] = {}
    for mine in site.virtual_interface:
        alike = [vif for vif in account.virtual_interface if _is_same(mine, vif)]
        rivals = [vif for vif in site.virtual_interface if alike and _is_same(vif, alike[0])]
        if len(alike) == len(rivals) == 1 and not known & {mine.name, alike[0].name}:
            names[alike[0].name] = mine.name
    if not names:
        return account
    vifs = tuple(replace(vif, name=names.get(vif.name, vif.name)) for vif in account.virtual_interface)
    attachments = tuple(replace(a, link=names.get(a.link or "", a.link)) for a in account.attachment)
    return replace(account, virtual_interface=vifs, attachment=attachments)


def _is_same(one: VirtualInterface, other: VirtualInterface) -> bool:
    """Whether two descriptions can only be of one virtual interface."""
    if one.vlan is None or one.vlan != other.vlan or not set(one.peer_address) & set(other.peer_address):
        return False
    own = one.own_address, other.own_address
    return not all(own) or bool(set(own[0]) & set(own[1]))


def _filled(item: Any, other: Any) -> Any:
    """``item`` with what it leaves open taken from ``other``."""
    if other is None or type(item) is not type(other):
        return item
    left_open = [f.name for f in fields(item) if getattr(item, f.name) == f.default]
    return replace(item, **{name: getattr(other, name) for name in left_open})


def example() -> str:
    """A commented topology file (``audit topology init``)."""
    return data.FOLDER.joinpath("site.toml").read_text(encoding="utf-8")
