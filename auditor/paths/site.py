"""The network of one audit: the topology, routing tables, and what captures show to be true of them."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

from auditor.decode.control import Address, Control
from auditor.errors import TopologyError, shown
from auditor.machine.memory import Allowance
from auditor.paths import bgp
from auditor.paths.routes import Changes, Hop, RoutingTable
from auditor.paths.topology import NOTHING, Link, Topology
from auditor.prefixes import PrefixSet, parse_address

NUMBERED = re.compile(r"(?:ifindex|port)-\d+$")  # interfaces of Linux's cooked captures, and of ERF
# What captures are called that were taken on all interfaces of a machine at once.
EVERY_INTERFACE = (None, "", "any", "pktap")


@dataclass(eq=False, repr=False)
class Network:
    """Topology and routes, and look-ups in them."""

    topology: Topology = NOTHING
    tables: list[RoutingTable] = field(default_factory=list)
    _links: dict[str, Link] = field(default_factory=dict)
    _by_address: dict[Address, list[Link]] = field(default_factory=dict)
    _announcers: "tuple[Control, list[bgp.Announcer]] | None" = None
    _of_announcer: dict[tuple[Address, Address, int], RoutingTable] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what should be known of the inputs, a sentence each
    interfaces: list[str | None] = field(default_factory=list)  # of the capture that is judged

    def __post_init__(self) -> None:
        for vpc in self.topology.vpc:
            if vpc.too_wide:
                wide = ", ".join(vpc.too_wide)
                self.notes.append(
                    f"VPC {vpc.name}: {wide} is wider than a VPC can be, and says nothing of what is in it"
                )
        for link in self.topology.links():
            self._links[link.name] = link
            if own := [text for mac, text in link.macs.items() if mac in self.own_macs]:
                self.notes.append(f"{link.words}: peer_mac {own[0]} is that of a router of your own, and says nothing")
            if link.virtual_macs and not link.vlan and not link.interface:
                self.notes.append(
                    f"{link.words}: {link.virtual_macs[0]} is a MAC of redundant routers (VRRP, HSRP, GLBP), which other "
                    "networks may have as well, and says nothing alone: give vlan or interface"
                )
            for text in link.peer_address:
                self._by_address.setdefault(parse_address(text), []).append(link)

    @cached_property
    def vpcs(self) -> PrefixSet:
        """The prefixes of all VPCs."""
        return PrefixSet([prefix for vpc in self.topology.vpc for prefix in vpc.blocks])

    @cached_property
    def home(self) -> PrefixSet:
        """The prefixes of all sites."""
        return PrefixSet(self.topology.on_premises)

    @cached_property
    def own_macs(self) -> set[int]:
        """The MACs of the site's own routers."""
        return {int(mac.replace(":", ""), 16) for router in self.topology.router for mac in router.mac}

    @cached_property
    def links_to_anywhere(self) -> tuple[Link, ...]:
        """Links that are up, and of which nobody says where they lead."""
        return tuple(link for link in self.topology.links() if link.is_up and not link.prefixes)

    @property
    def is_empty(self) -> bool:
        return self.topology == NOTHING and not self.tables

    def links(self) -> Iterable[Link]:
        return self._links.values()

    def peer_macs(self, link: Link) -> dict[int, str]:
        """The MACs that the owner states for a link's peer, without those of routers of the site: these are at this end."""
        return {mac: text for mac, text in link.macs.items() if mac not in self.own_macs}

    def link(self, name: str | None) -> Link | None:
        return self._links.get(name) if name is not None else None

    def link_of_address(self, address: Address, site: str | None = None) -> Link | None:
        """The link whose peer has an address; None where several have it (link-local ones of several sites)."""
        links = [link for link in self.links_of_address(address) if site is None or link.site in (None, site)]
        return links[0] if len(links) == 1 else None

    def links_of_address(self, address: Address) -> list[Link]:
        """The links whose peers have an address."""
        return self._by_address.get(address, [])

    def changes_of(self, table: RoutingTable) -> Iterator[Changes]:
        """What updates of the same router, as far as it is known, have changed since a table that has no times."""
        for other in self.tables if table.changes is None else ():
            if other.changes is not None and (None in (table.site, other.site) or table.site == other.site):
                yield other.changes

    def links_of_hop(self, table: RoutingTable, hop: Hop, site: str | None = None) -> list[Link | None]:
        """The link that each next hop of a route leads over, None where it is none that is known."""
        return [self._link_of_hop(table, one, site) for one in (hop, *hop.others)]

    def _link_of_hop(self, table: RoutingTable, hop: Hop, site: str | None) -> Link | None:
        """By its next hop, or by its interface, resolved as routers do."""
        for step in table.resolved(hop):
            if step.next_hop is not None and (link := self.link_of_address(step.next_hop, site)) is not None:
                # A link-local address is one on its own wire only (RFC 4007 6).
                if step.interface is None or not is_link_local(step.next_hop) or link.has_interface(step.interface):
                    return link
            for link in self.links():
                if link.has_interface(step.interface) and (site is None or link.site in (None, site)):
                    return link
        return None

    def interface_name(self, number: int) -> str | None:
        """The name of an interface of the capture that is judged; None where it names none in particular.

        The number that a header has instead of a name is one only where the owner gives such names.
        """
        name = self.interfaces[number] if 0 <= number < len(self.interfaces) else None
        if name in EVERY_INTERFACE or (name is not None and NUMBERED.match(name) and not self._are_numbered):
            return None
        return name

    @cached_property
    def _are_numbered(self) -> bool:
        """Whether the owner gives numbers of interfaces, as captures show them, or patterns that these fit."""
        points = (point.interface for point in self.topology.capture_point)
        rules = (rule.interface for rule in self.topology.rule)
        given = (*(name for link in self.links() for name in link.interface), *points, *rules)
        return any(name is not None and (NUMBERED.match(name) or name[:1] in "*?[") for name in given)

    def sites_of(self, capture: str, interface: int) -> set[str]:
        """The sites at which capture points say that what was captured there was seen."""
        name, sites = self.interface_name(interface), set()
        for point in self.topology.capture_point:
            if point.site is None or point.outer is not None:
                continue
            here = point.file is None or self.is_file(capture, point.file)
            if here and (point.interface is None or (name and fnmatch.fnmatchcase(name, point.interface))):
                sites.add(point.site)
        return sites

    @staticmethod
    def is_file(capture: str, pattern: str) -> bool:
        """Whether a capture's name, with or without its folder, fits a pattern."""
        return fnmatch.fnmatch(capture, pattern) or fnmatch.fnmatch(PurePath(capture).name, pattern)

    def announcers(self, control: Control) -> list[bgp.Announcer]:
        """The speakers that announce routes by BGP in a capture."""
        if self._announcers is None or self._announcers[0] is not control:
            self._announcers = control, bgp.announcers(control.bgp)
            self._of_announcer = {
                _session(announcer): RoutingTable(announcer.routes)
                for announcer in self._announcers[1]
                if len(announcer.routes)
            }
        return self._announcers[1]

    def table_of(self, announcer: bgp.Announcer) -> RoutingTable | None:
        return self._of_announcer.get(_session(announcer))


def is_link_local(address: Address) -> bool:
    """Whether an address is in fe80::/10: one on its own wire only."""
    return address[0] >> 54 == 0xFE80 >> 6


def _session(announcer: bgp.Announcer) -> tuple[Address, Address, int]:
    """What distinguishes an announcer from others of its capture: the ends of its session, and the frame that begins it."""
    return announcer.address, announcer.to, announcer.frame


def build(
    topology: str | Path | None = None,
    aws: str | Path | None = None,
    routes: Iterable[str | Path] = (),
    allowance: Allowance | None = None,
) -> Network:
    """Read all inputs, the account and routing tables into the memory that ``allowance`` leaves.

    Raises TopologyError or InputError naming the file and what is wrong.
    """
    allowance = allowance or Allowance()
    site = Topology.read(topology) if topology is not None else NOTHING
    notes: list[str] = []
    if aws is not None:
        from auditor.paths import aws_files

        account = aws_files.read(aws, notes, allowance)
        try:
            site = site.joined(account)
        except ValueError as error:  # names that the topology file has for something else
            raise TopologyError(f"{shown(aws)}: together with the topology file: {error}") from error
    files = [*((table.file, table.site) for table in site.routing_table), *((str(file), None) for file in routes)]
    if not files:
        return Network(site, notes=notes)
    from auditor.paths import route_files

    tables = [RoutingTable(routes) for routes in route_files.read_all(files, notes, allowance)]
    return Network(site, tables, notes=notes)
