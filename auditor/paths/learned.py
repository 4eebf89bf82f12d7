"""Whose MAC it is: what ARP, Neighbor Discovery and BGP of a capture show of the peers of links, and where they disagree.

Anybody on a network can claim an address, and routers answer for addresses of others (proxy ARP, RFC 1027). So a claim
counts for a link only where the link is: outside of tunnels, with its VLAN and on its interface, sent to the other end
of the transfer network, by one holder alone that has no further addresses there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from auditor.decode.control import Address, Binding, Control, FirstSeen
from auditor.decode.frames import capture, words
from auditor.decode.packet import V4_MAPPED
from auditor.flows.oriented import address_text, mac_text
from auditor.paths.bgp import Announcer
from auditor.paths.positions import tag_text
from auditor.paths.site import Network, is_link_local
from auditor.paths.topology import Link, VirtualInterface
from auditor.prefixes import parse_address

# Bits of a transfer network: AWS gives /30 or /31 (Direct Connect User Guide, Create a virtual interface); other
# networks to a provider or a firewall are seldom larger than /24. In IPv6 AWS gives /125, and a network has /64 (RFC 4291 2.5.1).
AWS_TRANSFER, OTHER_TRANSFER = {4: 30, 6: 125}, {4: 24, 6: 64}
NOBODY: Address = (0, V4_MAPPED)  # the sender of an ARP probe (RFC 5227 1.1)


class Holder(NamedTuple):
    """A MAC that a link's peer is shown to have, on a wire: VLANs and interface of the capture."""

    mac: int
    tags: int
    interface: int
    text: str


class Contest(NamedTuple):
    """Several MACs claim the address of a link's peer, on one wire."""

    link: str
    address: Address
    tags: int
    interface: int
    claims: tuple[tuple[int, int, int, str], ...]  # MAC, frame, time, by what; in the order of time
    stated: tuple[str, ...]  # MACs that the owner states
    captures: list[str]

    @property
    def text(self) -> str:
        claimants = [
            f"{mac_text(mac)} by {by} in frame {words(frame, self.captures)}" for mac, frame, _, by in self.claims
        ]
        claimants += [f"{mac} by the topology" for mac in self.stated]
        return f"{address_text(*self.address)}, the peer of {self.link}, is claimed by {' and by '.join(claimants)}"


@dataclass(eq=False, repr=False)
class Learned:
    """What a capture shows of the peers of links: their holders, by link, who else is there, and who contests them."""

    holders: dict[str, list[Holder]] = field(default_factory=dict)
    strangers: dict[str, list[tuple[int, int, int]]] = field(
        default_factory=dict
    )  # on a link's wire: MAC, tags, interface
    elsewhere: dict[str, dict[int, str]] = field(default_factory=dict)  # interfaces where its peer is on another VLAN
    contests: list[Contest] = field(default_factory=list)


def learned(network: Network, control: Control, announcers: Iterable[Announcer], tagged: set[int]) -> Learned:
    """What holders the peers of links have. ``tagged``: the interfaces on which VLAN tags are visible."""
    result = Learned()
    speakers = {announcer.address for announcer in announcers if announcer.established}
    claims = [(b, seen) for b, seen in control.bindings.items() if b.tunnel == 0 and b.mac not in network.own_macs]
    addresses: dict[tuple[int, int, int], set[Address]] = {}
    by_address: dict[Address, list[tuple[Binding, FirstSeen]]] = {}
    for binding, seen in claims:
        addresses.setdefault((binding.mac, binding.vlans, binding.interface), set()).add(binding.address)
        by_address.setdefault(binding.address, []).append((binding, seen))
    every_peer = {parse_address(text) for link in network.links() for text in link.peer_address}
    for link in network.links():
        peers = {parse_address(text) for text in link.peer_address}
        wires: dict[tuple[Address, int, int], list[tuple[Binding, FirstSeen]]] = {}
        for address in peers:
            for binding, seen in by_address.get(address, []):
                if is_there(link, network, binding, seen, control.captures, tagged) and (
                    seen.protocols != {"BGP"} or address in speakers
                ):
                    wires.setdefault((address, binding.vlans, binding.interface), []).append((binding, seen))
        result.elsewhere[link.name] = _elsewhere(link, network, by_address, control.captures)
        if peers and link.tags is not None:
            result.strangers[link.name] = [
                (mac, tags, interface)
                for (mac, tags, interface), some in addresses.items()
                if tags == link.tags and _is_strange(some, peers, every_peer, link)
            ]
        for (address, tags, interface), held in wires.items():
            contest = _contest(link, network.peer_macs(link), address, held, control.captures)
            if contest is not None:
                result.contests.append(contest)
            elif (
                _is_sent_there(link, address, held[0][1], tags == 0 and link.tags is not None)
                and held[0][0].mac in (network.peer_macs(link) or {held[0][0].mac})
                and all(a in every_peer or _is_near(a, peers, link) for a in addresses[held[0][0].mac, tags, interface])
            ):
                mac, seen = held[0][0].mac, held[0][1]
                text = f"peer MAC {mac_text(mac)}, which {seen.by} (frame {words(seen.frame, control.captures)}) shows to be that of"
                holder = Holder(mac, tags, interface, f"{text} {address_text(*address)},")
                result.holders.setdefault(link.name, []).append(holder)
    if control.left_out["addresses"]:
        result.holders.clear()  # a claim that is not known any more may have been another holder's
    return result


def _elsewhere(
    link: Link, network: Network, by_address: dict[Address, list[tuple[Binding, FirstSeen]]], captures: list[str]
) -> dict[int, str]:
    """The interfaces on which the link's peer is claimed to be on other VLANs than the link's, and on that nowhere, in words.

    Each VLAN is a network of its own: what has the link's tag there is of another one. An address that another link's peer
    has as well may be that one's.
    """
    found: dict[int, list[tuple[Binding, FirstSeen]]] = {}
    for address in map(parse_address, link.peer_address) if link.tags is not None else ():
        if is_link_local(address):  # routers have the same one on many networks
            continue
        tags = {other.tags for other in network.links_of_address(address) if other is not link}
        for binding, seen in by_address.get(address, []):
            if binding.vlans not in tags and None not in tags:
                found.setdefault(binding.interface, []).append((binding, seen))
    elsewhere = {}
    for interface, some in found.items():
        binding, seen = min(some, key=lambda one: one[1].frame)
        if link.tags not in {binding.vlans for binding, _ in some}:
            where = f"VLAN {tag_text(binding.vlans)}" if binding.vlans else "no VLAN"
            by = f"(frame {words(seen.frame, captures)})"
            elsewhere[interface] = f"its peer {address_text(*binding.address)} on {where} {by}"
    return elsewhere


def is_there(
    link: Link, network: Network, binding: Binding, seen: FirstSeen, captures: list[str], tagged: set[int]
) -> bool:
    """Whether a claim was seen where the link is: at its site, with its VLAN (or none, where tags were stripped), on its interface."""
    sites = network.sites_of(captures[capture(seen.frame)], binding.interface) if link.site is not None else set()
    if sites and link.site not in sites:
        return False
    name = network.interface_name(binding.interface)
    if is_link_local(binding.address) and not (name is not None and link.interface):
        return False  # routers of other networks have the same one: it is the peer's on its own wire alone (RFC 4007 6)
    if link.interface and name is not None and not link.has_interface(name):
        return link.is_vlan_of(name) and binding.vlans == link.tags
    if link.tags is None or binding.vlans == link.tags:
        return True
    return binding.vlans == 0 and binding.interface not in tagged


def _contest(
    link: Link,
    stated_macs: dict[int, str],
    address: Address,
    held: list[tuple[Binding, FirstSeen]],
    captures: list[str],
) -> Contest | None:
    """More than one holder: of those seen, and of those that the owner states."""
    macs = {binding.mac for binding, _ in held}
    if len(macs) < 2 and (not stated_macs or macs <= set(stated_macs)):
        return None
    claims = sorted((seen.time, seen.frame, binding.mac, seen.by) for binding, seen in held)
    first = held[0][0]
    stated = tuple(text for mac, text in stated_macs.items() if mac not in macs)
    return Contest(
        link.words,
        address,
        first.vlans,
        first.interface,
        tuple((mac, frame, time, by) for time, frame, mac, by in claims),
        stated,
        captures,
    )


def _is_sent_there(link: Link, address: Address, seen: FirstSeen, stripped: bool) -> bool:
    """Whether the claim was sent to the other end of the transfer network, or to all, and to nobody else.

    ``stripped``: without the link's tag it may be any network, so that end has to be named.
    """
    own = {parse_address(text) for text in link.own_address}
    bits = AWS_TRANSFER if isinstance(link, VirtualInterface) else OTHER_TRANSFER
    own |= {partner for partner in seen.partners if partner != address and _same_network(partner, address, bits)}
    if stripped and "ARP" in seen.protocols and not own & seen.partners:
        return False
    return seen.partners <= own | {address, NOBODY}


def _same_network(one: Address, two: Address, bits: dict[int, int]) -> bool:
    """Whether two addresses are in one network of so many bits, by the version."""
    is_v4 = [address[0] == 0 and address[1] >> 32 == 0xFFFF for address in (one, two)]
    host = 32 - bits[4] if all(is_v4) else 128 - bits[6]
    return is_v4[0] == is_v4[1] and (one[0] << 64 | one[1]) >> host == (two[0] << 64 | two[1]) >> host


def _is_strange(addresses: set[Address], peers: set[Address], every_peer: set[Address], link: Link) -> bool:
    """Whether who has some addresses is of another network than a link's: it has none there, or answers for the peer (RFC 1027).

    A link-local one tells nothing, unless it is the peer's: everybody has one.
    """
    telling = {a for a in addresses if a in every_peer or not is_link_local(a)}
    near = {a for a in telling if a in every_peer or _is_near(a, peers, link)}
    return bool(telling - near) and near <= every_peer


def _is_near(address: Address, peers: set[Address], link: Link) -> bool:
    """Whether the holder of a peer's address may have another one on its wire: link-local, or of the transfer network."""
    if is_link_local(address):
        return True
    bits = AWS_TRANSFER if isinstance(link, VirtualInterface) else OTHER_TRANSFER
    return any(_same_network(address, peer, bits) for peer in peers)
