"""A topology that fits no frame of a capture: what was looked for, and what was there instead."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from auditor.flows.oriented import mac_text
from auditor.paths.gathering import EvidenceGathering
from auditor.paths.positions import tag_text
from auditor.paths.topology import Link

MOST_NAMED = 6  # links, tags, MACs and interfaces that are named


@dataclass(eq=False, repr=False)
class FramesShown:
    """What the frames of one capture look like, and which links any of them fit."""

    links: set[str] = field(default_factory=set)
    fitted: set[str] = field(default_factory=set)
    tags: Counter[str] = field(default_factory=Counter)
    macs: Counter[str] = field(default_factory=Counter)
    interfaces: Counter[str] = field(default_factory=Counter)

    def add(self, g: EvidenceGathering) -> None:
        """Take in the frames of some flows."""
        positions, frames = g.flows.positions, g.frames
        for link in g.network.links():
            if _has_signs(link):
                self.links.add(_signs(link))
                if g.fits[link.name].alike:
                    self.fitted.add(_signs(link))
        wire = positions.tunnel == 0
        for values, names, counter in (
            (positions.tags, tag_text, self.tags),
            (positions.source_mac, mac_text, self.macs),
            (positions.target_mac, mac_text, self.macs),
        ):
            distinct, index = np.unique(values[wire], return_inverse=True)
            packets = np.bincount(index, frames.seen[wire], minlength=len(distinct))
            counter.update(
                {
                    names(v): int(n)
                    for v, n in zip(distinct.tolist(), packets.tolist(), strict=True)
                    if v or names is tag_text
                }
            )
        for number, name in enumerate(frames.names[:-1].tolist()):
            if name is not None:
                self.interfaces[name] += int(frames.seen[positions.interface == number].sum())

    def merge(self, other: "FramesShown") -> "FramesShown":
        """What flows of both parts of a capture look like."""
        return FramesShown(
            self.links | other.links,
            self.fitted | other.fitted,
            _both(self.tags, other.tags),
            _both(self.macs, other.macs),
            _both(self.interfaces, other.interfaces),
        )

    def warnings(self) -> list[str]:
        """One sentence where the topology describes frames of links and no frame is any of them."""
        if not self.links or self.fitted or not self.macs:
            return []
        sought = " or ".join(sorted(self.links)[:MOST_NAMED])
        seen = [
            f"{what} {', '.join(_commonest(counter))}"
            for what, counter in (("VLANs", self.tags), ("interfaces", self.interfaces), ("MACs", self.macs))
            if counter
        ]
        suggest = "audit topology suggest writes a file of them to complete"
        return [f"the topology fits no frame: looked for {sought}, seen were {' and '.join(seen)} ({suggest})"]


def _both(one: Counter[str], other: Counter[str]) -> Counter[str]:
    """What two have counted, with what neither has met: an interface without packets is there all the same."""
    both = Counter(one)
    both.update(other)
    return both


def _commonest(counter: Counter[str]) -> list[str]:
    """What was met most often; of what was met as often, by name."""
    return [name for name, _ in sorted(counter.items(), key=lambda one: (-one[1], one[0]))[:MOST_NAMED]]


def _has_signs(link: Link) -> bool:
    return bool(link.vlan or link.peer_mac or link.interface)


def _signs(link: Link) -> str:
    parts = [f"VLAN {link.vlan}" if link.vlan else "", f"MAC {' or '.join(link.peer_mac)}" if link.peer_mac else ""]
    parts.append(f"interface {' or '.join(link.interface)}" if link.interface else "")
    return f"{', '.join(part for part in parts if part)} of {link.words}"
