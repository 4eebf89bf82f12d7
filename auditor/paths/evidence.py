"""Evidence for the path of each flow and direction, and the verdict it allows.

The ladder, strongest first. Only the frame proves a path; what a file asserts makes it likely.

=================  =========================================================================  ==========
kind               the frame (or the address)                                                 confidence
=================  =========================================================================  ==========
``vlan+mac``       carries a link's VLAN tag and is exchanged with its peer's MAC             confirmed
``interface+vlan`` was captured on the link's interface with its VLAN tag                     confirmed
``pppoe``          is a PPPoE frame: an internet access line                                  confirmed
``mirror``         came out of a VPC traffic mirror, both addresses inside the VPC            confirmed
``mac``            is exchanged with the peer's MAC, the tag not known or stripped            likely
``interface``      was captured on the link's interface                                       likely
``vlan``           carries the VLAN tag; tags are reused on other trunks                      likely
``prefix``         goes to prefixes that the file says the link leads to, or stays in a VPC   likely
``address``        a public client address                                                    likely
``contrary``       carries the VLAN tag, but another MAC than the peer's                      none
=================  =========================================================================  ==========
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.columns import Texts
from auditor.decode.packet import GENEVE, VXLAN
from auditor.paths.topology import Link, Topology, inside

Array = np.ndarray[Any, Any]

NONE, LIKELY, CONFIRMED = 0, 1, 2
CONFIDENCE_NAMES = ["none", "likely", "confirmed"]

PRIVATE_V4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
PRIVATE = [*PRIVATE_V4, "fc00::/7"]
# Addresses that say nothing of the internet: shared, link-local, documentation, benchmarking, multicast, loopback.
SPECIAL = [
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


@dataclass
class Ways:
    """What is known of the way of one direction of each flow (arrays of one length).

    ``next_hop`` is the MAC at the far end of this wire: where the client's packets go, where the server's come from.
    """

    seen: Array
    next_hop: Array
    vlans: Array
    vlan_count: Array
    tunnel: Array
    interface: Array  # of str or None
    frame: Array


@dataclass
class Ends:
    """The two ends of each flow: halves of 128-bit addresses, and whether PPPoE was around it."""

    client_high: Array
    client_low: Array
    server_high: Array
    server_low: Array
    pppoe: Array


@dataclass
class Evidence:
    """One kind of evidence: which flows it is about, and what it says."""

    mask: Array
    direction: str
    kind: str
    path: str
    confidence: int
    detail: str


def vlan_matches(ways: Ways, vlan: int) -> Array:
    """Whether any tag of the stack is ``vlan``."""
    found = np.zeros(len(ways.vlans), bool)
    for depth in range(5):
        tag = (ways.vlans >> np.uint64(12 * depth)) & np.uint64(0xFFF)
        found |= (ways.vlan_count > depth) & (tag == vlan)
    return found


def mac_number(text: str) -> int:
    return int(text.replace(":", ""), 16)


def link_evidence(path: str, words: str, link: Link, ways: Ways, direction: str, far: Array) -> list[Evidence]:
    """What the frames of one direction say of one link. ``far``: flows whose far end is in the link's prefixes."""
    nothing = np.zeros(len(ways.seen), bool)
    on_vlan = ways.seen & vlan_matches(ways, link.vlan) if link.vlan is not None else nothing
    to_peer, has_mac = nothing, nothing
    if link.peer_mac is not None:
        to_peer = ways.seen & (ways.next_hop == np.uint64(mac_number(link.peer_mac)))
        has_mac = ways.seen & (ways.next_hop != 0)
    here = ways.seen & (ways.interface == link.interface) if link.interface is not None else nothing
    found = []

    def add(mask: Array, kind: str, confidence: int, detail: str) -> None:
        if mask.any():
            found.append(Evidence(mask, direction, kind, path, confidence, f"{detail} of {words}"))

    both = on_vlan & to_peer
    contradicted = on_vlan & has_mac & ~to_peer
    other_vlan = to_peer & ~on_vlan & (ways.vlan_count > 0) if link.vlan is not None else nothing
    add(both, "vlan+mac", CONFIRMED, f"VLAN {link.vlan} and peer MAC {link.peer_mac}")
    add(
        here & on_vlan & ~both & ~contradicted,
        "interface+vlan",
        CONFIRMED,
        f"interface {link.interface}, VLAN {link.vlan}",
    )
    add(to_peer & ~both & ~other_vlan, "mac", LIKELY, f"peer MAC {link.peer_mac}")
    add(here & ~on_vlan & ~contradicted, "interface", LIKELY, f"interface {link.interface}")
    add(on_vlan & ~both & ~here & ~contradicted, "vlan", LIKELY, f"VLAN {link.vlan}")
    add(contradicted, "contrary", NONE, f"VLAN {link.vlan}, but not the peer MAC {link.peer_mac},")
    add(other_vlan, "contrary", NONE, f"peer MAC {link.peer_mac}, but not VLAN {link.vlan},")
    add(ways.seen & far, "prefix", LIKELY, "prefixes")
    return found


def gather(ends: Ends, ways: dict[str, Ways], topology: Topology, mirrored: Array) -> list[Evidence]:
    """All evidence for a batch of flows. ``mirrored``: flows that came out of a VXLAN or GENEVE tunnel."""
    found: list[Evidence] = []
    for path, words, link in topology.links():
        far = inside(link.prefixes, ends.server_high, ends.server_low)
        for direction, way in ways.items():
            found += link_evidence(path, words, link, way, direction, far)
    for vpc in topology.vpc:
        both = inside(vpc.prefixes, ends.client_high, ends.client_low) & inside(
            vpc.prefixes, ends.server_high, ends.server_low
        )
        for direction, way in ways.items():
            mask = both & way.seen
            if (mask & mirrored).any():
                text = f"mirrored from inside the VPC, both addresses in {vpc.name}"
                found.append(Evidence(mask & mirrored, direction, "mirror", "vpc", CONFIRMED, text))
            if (mask & ~mirrored).any():
                text = f"both addresses in {vpc.name}"
                found.append(Evidence(mask & ~mirrored, direction, "prefix", "vpc", LIKELY, text))
    own = inside(topology.site.on_premises, ends.client_high, ends.client_low)
    for vpc in topology.vpc:
        own |= inside(vpc.prefixes, ends.client_high, ends.client_low)
    for direction, way in ways.items():
        if (way.seen & ends.pppoe).any():
            found.append(
                Evidence(
                    way.seen & ends.pppoe, direction, "pppoe", "internet", CONFIRMED, "PPPoE: an internet access line"
                )
            )
        public = way.seen & is_public(ends.client_high, ends.client_low) & ~own & ~mirrored
        public &= is_public(ends.server_high, ends.server_low)
        if public.any():
            found.append(Evidence(public, direction, "address", "internet", LIKELY, "public client address"))
    return found


def is_public(high: Array, low: Array) -> Array:
    """Addresses that are routed on the internet."""
    return np.asarray(~inside(PRIVATE + SPECIAL, high, low))


@dataclass
class Verdict:
    """The path of each flow."""

    path: Texts
    confidence: Array
    detail: Texts
    asymmetric: Array  # 1 yes, 0 no, -1 not known


# Among evidence of one confidence, what the frame shows goes before what the file asserts.
STRENGTH = {
    "vlan+mac": 9,
    "pppoe": 8,
    "interface+vlan": 8,
    "mirror": 8,
    "mac": 6,
    "interface": 5,
    "vlan": 4,
    "prefix": 3,
    "address": 2,
    "contrary": 0,
}


def decide(ends: Ends, ways: dict[str, Ways], found: list[Evidence]) -> Verdict:
    """The path of each flow: the strongest evidence of each direction, then both directions together."""
    count = len(ends.pppoe)
    best: dict[str, Array] = {}
    strength: dict[str, Array] = {}
    for direction in ways:
        best[direction] = np.full(count, -1)
        strength[direction] = np.zeros(count, np.int64)
    for number, item in enumerate(found):
        power = STRENGTH[item.kind]
        better = item.mask & (power > strength[item.direction])
        best[item.direction][better] = number
        strength[item.direction][better] = power
    # Rows of the two lists: one for each piece of evidence, then what is said where there is none.
    paths = [*(item.path for item in found), "unknown", "private"]
    details = [*(item.detail for item in found), "nothing shows the way", "private addresses; nothing shows the way"]
    levels = np.array([*(item.confidence for item in found), NONE, NONE])
    client, server = best["client"], best["server"]
    known_client, known_server = (client >= 0) & (levels[client] > NONE), (server >= 0) & (levels[server] > NONE)
    # What the client sends decides, where it is proven at least as well as the way back.
    main = np.where(known_client & (~known_server | (levels[client] >= levels[server])), client, server)
    unproven = ~known_client & ~known_server
    private = inside(PRIVATE + SPECIAL, ends.client_high, ends.client_low) & inside(
        PRIVATE + SPECIAL, ends.server_high, ends.server_low
    )
    main = np.where(unproven, len(found) + private, main)
    both = known_client & known_server
    path_of = np.array([list(dict.fromkeys(paths)).index(path) for path in paths])
    differ = both & (path_of[client] != path_of[server])
    told, detail = list(details), main.copy()
    for out, back in {(int(client[at]), int(server[at])) for at in np.flatnonzero(differ)}:
        detail[differ & (client == out) & (server == back)] = len(told)
        told.append(f"out: {details[out]}; back: {details[back]}")
    asymmetric = np.where(both, differ.astype(int), -1)
    return Verdict(
        Texts(list(dict.fromkeys(paths)), path_of[main]), levels[main], Texts(list(told), detail), asymmetric
    )


def is_mirror(tunnel: Array) -> Array:
    """Whether the innermost tunnel is VXLAN or GENEVE: AWS traffic mirroring and gateway load balancers."""
    kind = tunnel >> np.uint64(56)
    return np.asarray((kind == VXLAN) | (kind == GENEVE))
