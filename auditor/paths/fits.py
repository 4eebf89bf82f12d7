"""What frames say of links: each position of a flow's packets against how each link's frames look.

A position fits a link if all that both state agrees, contradicts it if anything differs, and says nothing where one is
silent. How much was compared is how strong it is. Thousands of positions look like a few dozen frames, and hardly any
link has something of them: so links are compared with distinct looks, and flows come in where one fits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.decode.packet import PPPOE_SHIM
from auditor.paths.frames import INSIDE_AWS, MIRRORED, ON_THE_WIRE, Frames
from auditor.paths.learned import Learned
from auditor.paths.model import CONFIRMED, LIKELY
from auditor.paths.topology import Link, Uplink, VirtualInterface, Vpn
from auditor.tables.columns import each_once, first_of_each

Array = np.ndarray[Any, Any]
# What was compared, strongest first; a position's code is the place in this list from 1 on, 0 for nothing.
FITS = ("vlan+mac", "interface+vlan", "interface+mac", "mac", "vlan", "interface")
VLAN_MAC, INTERFACE_VLAN, INTERFACE_MAC, MAC, VLAN, INTERFACE = range(1, 7)
SHIMS = "in PPPoE, behind MPLS labels or in a service chain"
WEAK = (MAC, VLAN, INTERFACE)  # may be true of several links at once


@dataclass(eq=False, repr=False)
class Fit:
    """A link against every position: what fits (see FITS), how strong that is, what contradicts, in words of ``texts``.

    ``some``: the link has anything of these positions, also where only something of it does not agree.
    """

    code: Array
    confidence: Array
    text: Array  # numbers of ``texts``, -1 for none
    against: Array  # likewise, what speaks against where something else fits
    alike: bool  # some look like the link's, whether or not the addresses allow for it
    texts: list[str]
    _wrong: Array  # of looks
    _look: Array  # of positions

    @property
    def some(self) -> bool:
        return bool(self.texts)

    @property
    def contradicts(self) -> Array:
        """Positions of which something differs."""
        return np.asarray(self._wrong[self._look])


@dataclass(eq=False, repr=False)
class _Words:
    """What is said of a link's looks: texts, and which of them holds for each look, -1 for none."""

    fits: Array
    against: Array
    texts: list[str] = field(default_factory=list)

    def add(self, column: Array, mask: Array, text: str) -> None:
        column[mask] = len(self.texts)
        self.texts.append(text)


class Fitting:
    """Links against what the frames of some flows look like. ``sites``: where each flow was captured, None where nobody says."""

    def __init__(self, frames: Frames, learned: Learned, sites: Array) -> None:
        self._frames, self._network, self._learned = frames, frames.network, learned
        points = frames.points
        declared = [point for point in self._network.topology.capture_point if point.link or point.interface]
        known = {site: number for number, site in enumerate(dict.fromkeys(sites.tolist()))}
        numbers = np.array([known[site] for site in sites.tolist()], np.int64)[frames.positions.flow]
        first, self._look = first_of_each(
            frames.place,
            frames.name_of,
            frames.interface,
            frames.positions.tags,
            frames.positions.source_mac,
            frames.positions.target_mac,
            frames.positions.tunnel != 0,
            frames.positions.shims,
            frames.has_mac,
            frames.some_mac,
            numbers,
            *(points[point.name] for point in declared),
        )
        self._at = frames.positions.at(first)
        self._place, self._name_of = frames.place[first], frames.name_of[first]
        self._has_mac, self._some_mac = frames.has_mac[first], frames.some_mac[first]
        self._site = sites[self._at.flow]
        self._points = {point.name: points[point.name][first] for point in declared}
        self._tagged = np.isin(self._at.interface, list(frames.tagged))
        self._others: dict[str, tuple[Array, Array]] = {}  # by path, see ``_has_others_mac``
        count = len(self._look)
        self._nothing, self._none = np.broadcast_to(np.int8(0), count), np.broadcast_to(np.int32(-1), count)

    def of(self, link: Link, plausible: Callable[[], Array], to_aws: Callable[[], Array]) -> Fit:
        """How a link's frames look against every position.

        ``plausible``: flows whose addresses allow for the link; ``to_aws``: flows with one public address of AWS's.
        """
        looks, on_wire = self._at, self._place == ON_THE_WIRE
        looked_at = on_wire | (self._place == MIRRORED)
        names = self._frames.names
        has_name = on_wire & (names != None)[self._name_of]  # noqa: E711
        texts, peer = self._macs(link)
        has_mac = peer >= 0
        tags = link.tags
        vlan = (looks.tags == np.uint64(tags or 0)) & (looks.tags != 0) & (tags is not None)
        here = (self._on(link.has_interface) | (vlan & self._on(link.is_vlan_of))) & has_name & bool(link.interface)
        no_tag = (looks.tags == 0) & (~on_wire | ~self._tagged)
        wrong_vlan = ~vlan & ~no_tag & (tags is not None)
        wrong_interface = has_name & ~here & bool(link.interface)
        at_router = self._is_routers(link, by_interface=True)
        wrong_mac = self._has_mac & ~has_mac & (bool(texts) | self._among_strangers(link))
        elsewhere = on_wire & self._is_elsewhere(link)
        other_wire = vlan & ~has_mac & np.isin(looks.interface, list(self._learned.elsewhere.get(link.name, ())))
        carried = PPPOE_SHIM if isinstance(link, Uplink) else 0  # AWS's routers and VPNs take plain IP alone
        wrapped = looks.shims & ~np.uint8(carried) != 0
        wrong = wrong_vlan | wrong_interface | wrong_mac | elsewhere | other_wire | wrapped
        if link.site is not None:
            wrong |= (self._site != link.site) & (self._site != None)  # noqa: E711
        wrong &= self._place != INSIDE_AWS
        signs = np.select(
            [vlan & has_mac, (here | at_router) & vlan, here & has_mac, has_mac, vlan, here],
            [VLAN_MAC, INTERFACE_VLAN, INTERFACE_MAC, MAC, VLAN, INTERFACE],
            0,
        ).astype(np.int8)
        signs[~looked_at] = 0
        code = np.where(wrong, np.int8(0), signs)
        alike = bool(code.any())
        code[np.isin(code, (INTERFACE_VLAN, VLAN, INTERFACE)) & self._has_others_mac(link)] = 0
        code[(code == MAC) & self._is_virtual(link)] = 0
        code[(code == VLAN) & np.logical_or(*self._strangers(link))] = 0
        if not link.is_up:
            # Who has its tag meanwhile is somebody else; its peer's MAC shows that it is up all the same.
            code[np.isin(code, (INTERFACE_VLAN, VLAN, INTERFACE))] = 0
        words = _Words(np.full(len(looks), -1, np.int32), np.full(len(looks), -1, np.int32))
        _word(words, link, code, texts, peer)
        differs = (wrong_interface, wrong_vlan, wrong_mac, elsewhere, other_wire, wrapped)
        on_other = " and ".join(self._learned.elsewhere.get(link.name, {}).values())
        _word_against(words, link, np.where(wrong, signs, 0), differs, (texts, peer, on_other))
        return self._of_positions(link, code, words, plausible, to_aws, alike=alike, wrong=wrong)

    def _of_positions(
        self,
        link: Link,
        code: Array,
        words: _Words,
        plausible: Callable[[], Array],
        to_aws: Callable[[], Array],
        *,
        alike: bool,
        wrong: Array,
    ) -> Fit:
        """What was found of looks, for every position of them. Where it is not VLAN and MAC, addresses have to fit as well."""
        against = words.against[self._look] if (words.against >= 0).any() else self._none
        if not code.any():
            return Fit(self._nothing, self._nothing, self._none, against, alike, words.texts, wrong, self._look)
        confidence = np.where(code > 0, LIKELY, 0).astype(np.int8)
        if not isinstance(link, Vpn) or link.dedicated:
            proven = (code == VLAN_MAC) & ((self._place == ON_THE_WIRE) | self._is_checked())
            proven |= (code == INTERFACE_VLAN) & self._is_routers(link)
            confidence[proven] = CONFIRMED
        code, confidence, text = code[self._look], confidence[self._look], words.fits[self._look]
        doubtful = (code > 0) & ((code != VLAN_MAC) | isinstance(link, Vpn))
        if isinstance(
            link, Uplink
        ):  # its peer is the internet's, but for PPPoE into closed networks (RFC 2516, RFC 4364)
            doubtful &= ~np.isin(code, (INTERFACE_MAC, MAC)) | (self._frames.positions.shims != 0)
        if doubtful.any():
            refused = doubtful & ~plausible()[self._frames.positions.flow]
            if isinstance(link, VirtualInterface):
                refused &= ~(np.isin(code, (INTERFACE_MAC, MAC)) & to_aws()[self._frames.positions.flow])
            code[refused], confidence[refused], text[refused] = 0, 0, -1
        return Fit(code, confidence, text, against, alike, words.texts, wrong, self._look)

    def _on(self, has: Callable[[str | None], bool]) -> Array:
        """Looks on interfaces with some names."""
        return np.array([has(name) for name in self._frames.names.tolist()], bool)[self._name_of]

    def _macs(self, link: Link) -> tuple[list[str], Array]:
        """(the peer's MACs in words, which of them each look has or -1)."""
        looks = self._at
        texts: list[str] = []
        peer = np.full(len(looks), -1)
        for mac, text in self._network.peer_macs(link).items():
            peer[self._some_mac & looks.has_mac(mac)] = len(texts)
            texts.append(f"peer MAC {text}")
        source_strange, target_strange = self._strangers(link)
        for holder in self._learned.holders.get(link.name, []):
            if holder.mac in link.macs:
                continue
            there = (looks.tags == np.uint64(holder.tags)) & (looks.interface == holder.interface)
            there &= (looks.tunnel == 0) & ~(source_strange | target_strange)
            peer[there & looks.has_mac(holder.mac)] = len(texts)
            texts.append(holder.text)
        return texts, peer

    def _is_virtual(self, link: Link) -> Array:
        """Looks with a stated MAC of redundant routers, and with none that is the link's alone."""
        shared = np.zeros(len(self._at), bool)
        if link.virtual_macs:
            for mac in (mac for mac, text in link.macs.items() if text in link.virtual_macs):
                shared |= self._at.has_mac(mac)
            for mac in (mac for mac, text in link.macs.items() if text not in link.virtual_macs):
                shared &= ~self._at.has_mac(mac)
        return shared

    def _has_others_mac(self, link: Link) -> Array:
        """Looks with a MAC that the owner states for a link of another path."""
        looks = self._at
        if link.path not in self._others:
            links = (other for other in self._network.links() if other.path != link.path)
            macs = [mac for other in links for mac in self._network.peer_macs(other)]
            self._others[link.path] = np.isin(looks.source_mac, macs), np.isin(looks.target_mac, macs)
        source, target = self._others[link.path]
        for mac in link.macs:
            source, target = source & (looks.source_mac != mac), target & (looks.target_mac != mac)
        return np.asarray(source | target)

    def _strangers(self, link: Link) -> tuple[Array, Array]:
        """Looks on a link's wire of which the sender, and the receiver, have addresses of another network there."""
        looks = self._at
        source, target = np.zeros(len(looks), bool), np.zeros(len(looks), bool)
        for mac, tags, interface in self._learned.strangers.get(link.name, []):
            there = (looks.tags == np.uint64(tags)) & (looks.interface == interface)
            source |= there & (looks.source_mac == mac)
            target |= there & (looks.target_mac == mac)
        return source, target

    def _among_strangers(self, link: Link) -> Array:
        """Looks of which each end is such a one, or a router of the site's own."""
        looks, own = self._at, list(self._network.own_macs)
        source, target = self._strangers(link)
        return np.asarray(
            (source | np.isin(looks.source_mac, own)) & (target | np.isin(looks.target_mac, own)) & self._has_mac
        )

    def _is_checked(self) -> Array:
        """Looks in mirrors of which the owner says where they arrive as well."""
        checked = np.zeros(len(self._at), bool)
        for point in self._network.topology.capture_point:
            if point.outer is not None and point.interface is not None:
                checked |= self._points[point.name]
        return checked

    def _is_routers(self, link: Link, *, by_interface: bool = False) -> Array:
        """Looks at a capture point that the owner declared to be the router that a link is on, or its very interface."""
        declared = np.zeros(len(self._at), bool)
        for point in self._network.topology.capture_point:
            if point.outer is None and point.link == link.name:  # that it is somewhere at the link's site is not enough
                declared |= self._points[point.name] & (point.interface is not None or not by_interface)
        return declared

    def _is_elsewhere(self, link: Link) -> Array:
        """Looks at a capture point that the owner declared to be a link's of another path, and at none of this path."""
        mine, others = np.zeros(len(self._at), bool), np.zeros(len(self._at), bool)
        for point in self._network.topology.capture_point:
            there = self._network.link(point.link)
            if point.outer is None and there is not None:
                carries = isinstance(link, Vpn) and link.over == there.name
                column = mine if there.path == link.path or carries else others
                column |= self._points[point.name]
        return np.asarray(others & ~mine)


def _word(words: _Words, link: Link, code: Array, texts: list[str], peer: Array) -> None:
    """Put what fits into words."""
    interface = f"interface {' '.join(link.interface)}"
    for one in each_once(code[code > 0]).tolist():
        for mac in range(len(texts)) if one in (VLAN_MAC, INTERFACE_MAC, MAC) else (-1,):
            mine = (code == one) & ((peer == mac) | (mac < 0))
            if not mine.any():
                continue
            about = {
                VLAN_MAC: f"VLAN {link.vlan} and {texts[mac] if mac >= 0 else ''}",
                INTERFACE_VLAN: f"{interface if link.interface else 'the capture point'}, VLAN {link.vlan}",
                INTERFACE_MAC: f"{interface} and {texts[mac] if mac >= 0 else ''}",
                MAC: texts[mac] if mac >= 0 else "",
                VLAN: f"VLAN {link.vlan}",
                INTERFACE: interface,
            }[one]
            words.add(words.fits, mine, f"{about} of {link.words}")


def _word_against(
    words: _Words, link: Link, signs: Array, wrong: tuple[Array, ...], about_peer: tuple[list[str], Array, str]
) -> None:
    """Put into words what differs where something else of the link is there."""
    texts, peer, on_other = about_peer
    interface = f"not on interface {' '.join(link.interface)}"
    says = (
        interface,
        f"not VLAN {link.vlan}",
        "not the peer's MAC",
        "at the capture point of another link",
        on_other,
        SHIMS,
    )
    names = {VLAN: f"VLAN {link.vlan}", INTERFACE: f"interface {' '.join(link.interface)}"}
    for code in each_once(signs[signs > 0]).tolist():
        of_code = signs == code
        combos = {tuple(row) for row in np.stack([w[of_code] for w in wrong], axis=1).tolist()}
        for combo in sorted(combos):
            mine = of_code.copy()
            for flag, mask in zip(combo, wrong, strict=True):
                mine &= mask == flag
            mac = int(peer[mine][0])
            about = names.get(code) or " and ".join(
                [f"VLAN {link.vlan}"] * (code in (VLAN_MAC, INTERFACE_VLAN)) + ([texts[mac]] if mac >= 0 else [])
            )
            differs = " and ".join(text for text, flag in zip(says, combo, strict=True) if flag) or "at another site"
            words.add(words.against, mine, f"{about.rstrip(',')}, but {differs}, of {link.words}")
