"""What all evidence for some flows is gathered from, and into: their frames and ends against the network."""

from functools import cached_property, partial
from typing import Any

import numpy as np

from auditor.decode.control import Control
from auditor.paths.ends import Ends
from auditor.paths.fits import VLAN, VLAN_MAC, WEAK, Fit, Fitting
from auditor.paths.frames import INSIDE_AWS, MOSTLY, ON_THE_WIRE, Frames
from auditor.paths.learned import Contest, Learned, learned
from auditor.paths.model import DIRECTIONS, Evidence, Flows
from auditor.paths.site import Network
from auditor.paths.topology import Link
from auditor.tables.columns import each_once

Array = np.ndarray[Any, Any]


def _has_some(fit: Fit) -> bool:
    return fit.some


class EvidenceGathering:
    """All evidence for some flows."""

    def __init__(self, flows: Flows, network: Network, control: Control) -> None:
        self.flows, self.network = flows, network
        self.evidence: list[Evidence] = []
        self.nothing = np.zeros(len(flows), bool)
        self.contested = self.nothing  # flows of which nothing is claimed
        network.interfaces = flows.interfaces
        self.frames = Frames(flows, network)
        sites = self._sites()
        self.ends = Ends(flows, network, sites)
        self.announcers = network.announcers(control)
        tagged = self.frames.tagged | {b.interface for b in control.bindings if b.vlans and not b.tunnel}
        self.frames.tagged = tagged
        self.learned: Learned = learned(network, control, self.announcers, tagged)
        fitting = Fitting(self.frames, self.learned, sites)
        self.fits: dict[str, Fit] = {
            link.name: fitting.of(link, partial(self.ends.plausible, link), self.ends.to_aws)
            for link in network.links()
        }
        self.backward: dict[str, Array] = {}  # of links that have any: see ``_take_backward``
        for link in network.links():
            self._take_backward(link, self.fits[link.name])
            self._take_unchecked(link, self.fits[link.name])
        place = self.frames.place
        known = self.frames.coverage((place == ON_THE_WIRE) | (place == INSIDE_AWS) | self.any_fit)
        hidden = (self.frames.total > 0) & (known < MOSTLY * self.frames.total)
        self.in_tunnels = np.asarray(hidden.reshape(-1, 2).any(axis=1))  # of which nothing is known but what is inside
        self.inside_aws = self.mostly(place == INSIDE_AWS)

    def _take_backward(self, link: Link, fit: Fit) -> None:
        """Take from a link positions that go over it the other way than their addresses: what leaves the site comes from the peer.

        They are looped, or somebody behind the link wrote another's address into them: of the flow's way they show nothing.
        Nor do such that come from there by another than the peer, where a capture has the sender's MAC alone (LINUX_SLL);
        then the VLAN of the flow's other direction is not the link's either.
        """
        positions = self.flows.positions
        if not fit.some or not fit.code.any():
            return
        macs = [*self.network.peer_macs(link), *(holder.mac for holder in self.learned.holders.get(link.name, []))]
        comes, goes = np.isin(positions.source_mac, macs), np.isin(positions.target_mac, macs)
        out, back = self._out_and_back(link)
        by_another = (positions.source_mac != 0) & (positions.target_mac == 0) & ~comes & bool(macs)
        by_another &= back & (fit.code > 0)
        backward = by_another | ((fit.code > 0) & ((out & comes & ~goes) | (back & goes & ~comes)))
        if by_another.any():
            backward |= (fit.code == VLAN) & np.isin(positions.flow, positions.flow[by_another])
        if backward.any():
            self.backward[link.name] = backward
            for column, nothing in ((fit.code, 0), (fit.confidence, 0), (fit.text, -1)):
                column[backward] = nothing

    def _take_unchecked(self, link: Link, fit: Fit) -> None:
        """Take the tag alone of what this end sent, where the capture has the sender's MAC alone, and the peer's is known.

        Whoever it was sent to shows in the flow's other direction, or not at all.
        """
        positions = self.flows.positions
        one_mac = (fit.code == VLAN) & (positions.source_mac != 0) & (positions.target_mac == 0)
        if not one_mac.any() or not (self.network.peer_macs(link) or self.learned.holders.get(link.name)):
            return
        unchecked = one_mac & ~np.isin(positions.flow, positions.flow[fit.code == VLAN_MAC])
        for column, nothing in ((fit.code, 0), (fit.confidence, 0), (fit.text, -1)):
            column[unchecked] = nothing

    def _out_and_back(self, link: Link) -> tuple[Array, Array]:
        """Positions of packets from the site to where a link leads, and of such from there to the site."""
        positions = self.flows.positions
        home = [self.ends.home[which] for which in DIRECTIONS]
        far = [self.ends.behind(link, which) for which in DIRECTIONS]
        out = np.stack([home[0] & far[1], home[1] & far[0]])[positions.direction, positions.flow]
        back = np.stack([far[0] & home[1], far[1] & home[0]])[positions.direction, positions.flow]
        return out, back

    @cached_property
    def any_fit(self) -> Array:
        """Positions that fit any link."""
        fits = np.zeros(len(self.flows.positions), bool)
        for fit in filter(_has_some, self.fits.values()):
            fits |= fit.code > 0
        return fits

    @cached_property
    def fitting(self) -> dict[int, Array]:
        """How many links each position fits by each sign that several of them may have."""
        counts = {code: np.zeros(len(self.flows.positions), np.int64) for code in WEAK}
        for fit in filter(_has_some, self.fits.values()):
            for code, count in counts.items():
                counts[code] = count + (fit.code == code)
        return counts

    def mostly(self, mask: Array) -> Array:
        """Flows of which nearly all packets, in every direction seen, were at some positions."""
        covered = self.frames.coverage(mask)
        return np.asarray(((covered >= MOSTLY * self.frames.total).reshape(-1, 2)).all(axis=1))

    def wholly(self, mask: Array) -> Array:
        """Flows of which all packets, in every direction seen, were at some positions."""
        return np.asarray((self.frames.coverage(mask) >= self.frames.total).reshape(-1, 2).all(axis=1))

    def add(
        self,
        mask: Array,
        direction: str,
        kind: str,
        path: str,
        confidence: int,
        detail: str,
        link: str | None = None,
        frame: Array | None = None,
    ) -> None:
        if mask.any():
            frame = self.flows.ways[direction].frame if frame is None else frame
            self.evidence.append(Evidence(mask, direction, kind, path, confidence, detail, link, frame))

    def _sites(self) -> Array:
        """The site at which each flow was captured, where a capture point says it."""
        site = np.full(len(self.flows), None, object)
        for point in self.network.topology.capture_point:
            if point.site is not None:
                site[self.flows.positions.flow[self.frames.points[point.name]]] = point.site
        return site

    def leaves(self, direction: str) -> Array:
        """Flows whose packets of a direction leave the site: only of these its routing tables speak."""
        near, far = (direction, "server" if direction == "client" else "client")
        home = self.ends.home
        if not self.network.topology.on_premises and direction == "client":
            return ~self.ends.vpc[near] & ~self.in_tunnels & self.ends.routed
        return np.asarray(home[near] & ~home[far] & ~self.in_tunnels & self.ends.routed)

    def speaks_against(self, link: Link) -> Array:
        """Flows whose frames contradict a link at a capture point where it would show, in any direction.

        It would show where other frames are the link's, or where its interface was captured; its tag where tags are visible;
        and its peer beyond a router of the site's own. What is handed to such a router may still go on by the link, unless
        that is visible there.
        """
        frames, fit = self.frames, self.fits[link.name]
        wire = frames.place == ON_THE_WIRE
        tags = self._has_tags(link) & ~self._both_own
        shown = set(frames.interface[wire & ((fit.code > 0) | tags)].tolist())
        shown |= {holder.interface for holder in self.learned.holders.get(link.name, [])}
        shown |= {number for number, name in enumerate(frames.names[:-1].tolist()) if link.has_interface(name)}
        known = np.isin(frames.interface, list(shown))
        untagged = ~self._has_tags(link) & np.isin(frames.interface, list(frames.tagged)) & (link.tags is not None)
        contradicts = fit.contradicts | self.backward.get(link.name, False) | self._sent_by_another(link)
        against = wire & contradicts & (known | (untagged & ~self._between_own) | self._beyond_own)
        total = frames.total
        covered = frames.coverage(against) > (1 - MOSTLY) * total
        covered &= (frames.coverage(fit.code > 0) < MOSTLY * total) & (total > 0)
        return np.asarray(covered.reshape(-1, 2).any(axis=1))

    @cached_property
    def _between_own(self) -> Array:
        """Positions this side of a router of the site's own: what leaves is handed to it, what comes is handed on by it."""
        leaves, comes, by_source, by_target = self._own_ends()
        handed = np.asarray(np.where(leaves, by_target, np.where(comes, by_source, self.frames.own)))
        for backward in self.backward.values():  # between a link's peer and the site's router
            handed &= ~backward
        return handed

    @cached_property
    def _beyond_own(self) -> Array:
        """Positions beyond the site's own routers: what leaves is sent on by one to another's, what comes is handed to one."""
        leaves, comes, by_source, by_target = self._own_ends()
        handed_on = np.isin(self.frames.side, self.frames.side[comes & by_source])  # by the router that captured it
        handed = by_target | ((self.flows.positions.target_mac == 0) & handed_on)
        return np.asarray((leaves & by_source & ~by_target) | (comes & handed & ~by_source))

    def _sent_by_another(self, link: Link) -> Array:
        """Positions beyond the site's own routers of which the capture has the sender's MAC alone, that not the peer's."""
        positions = self.flows.positions
        if not self._beyond_own.any():
            return self._beyond_own
        macs = [*self.network.peer_macs(link), *(holder.mac for holder in self.learned.holders.get(link.name, []))]
        known = (positions.source_mac != 0) & (positions.target_mac == 0) & bool(macs)
        return np.asarray(known & ~np.isin(positions.source_mac, macs) & ~self.frames.own & self._beyond_own)

    def _own_ends(self) -> tuple[Array, Array, Array, Array]:
        """Positions of packets that leave the site, that come to it, and that the site's own routers sent or got."""
        positions, own = self.flows.positions, list(self.network.own_macs)
        home = np.stack([self.ends.home["client"], self.ends.home["server"]])
        sender, receiver = home[positions.direction, positions.flow], home[1 - positions.direction, positions.flow]
        by_source, by_target = np.isin(positions.source_mac, own), np.isin(positions.target_mac, own)
        return sender & ~receiver, receiver & ~sender, by_source, by_target

    def outer_frames_of(self, link: Link) -> Array:
        """Positions in tunnels of which the outermost frame has a link's VLAN, and goes to its peer's MAC or comes from it."""
        positions, frames = self.flows.positions, self.frames
        goes, comes = self._outer_peer(link, "target"), self._outer_peer(link, "source")
        out, back = self._out_and_back(link)
        fits = (goes | comes) & ~(out & ~goes) & ~(back & ~comes)
        fits &= (
            (positions.outer_tags == np.uint64(link.tags or 0)) & (link.tags is not None) & (positions.outer_shims == 0)
        )
        return np.asarray(fits & (frames.on_interface(link) if link.interface else True))

    def _outer_peer(self, link: Link, end: str) -> Array:
        """Positions of which the outermost frame has a link's peer at an end."""
        positions = self.flows.positions
        mac = positions.outer_source_mac if end == "source" else positions.outer_target_mac
        peer = np.isin(mac, list(self.network.peer_macs(link)))
        for holder in self.learned.holders.get(link.name, []):
            there = (positions.outer_tags == np.uint64(holder.tags)) & (self.frames.interface == holder.interface)
            peer |= there & (mac == np.uint64(holder.mac))
        return np.asarray(peer)

    @cached_property
    def _both_own(self) -> Array:
        """Positions between two routers of the site's own: a tag there is one of a network at the site."""
        positions, own = self.flows.positions, list(self.network.own_macs)
        return np.asarray(np.isin(positions.source_mac, own) & np.isin(positions.target_mac, own))

    def contested_at(self, contest: Contest) -> Array:
        """Positions exchanged with a MAC that claims a link's peer besides others, and is not the owner's."""
        positions = self.flows.positions
        stated = {mac for link in self.network.links() for mac in link.macs}
        macs = [mac for mac, *_ in contest.claims if mac not in stated]
        wire = (positions.tunnel == 0) & (positions.tags == np.uint64(contest.tags))
        wire &= self.frames.interface == contest.interface
        return np.asarray(wire & (np.isin(positions.source_mac, macs) | np.isin(positions.target_mac, macs)))

    def contested_by(self, contest: Contest) -> int:
        """How many flows were exchanged with such a MAC."""
        return len(each_once(self.flows.positions.flow[self.contested_at(contest)]))

    def _has_tags(self, link: Link) -> Array:
        tags = self.flows.positions.tags
        return np.asarray((tags == np.uint64(link.tags or 0)) & (tags != 0))
