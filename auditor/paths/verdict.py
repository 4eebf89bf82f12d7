"""From evidence to a verdict for each flow and direction: the strongest decides, and what speaks against it is told."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.paths.model import CONFIRMED, DIRECTIONS, LIKELY, NONE, NOT_PUBLIC, STRENGTH, Evidence, Flows
from auditor.tables.columns import Texts

Array = np.ndarray[Any, Any]
PATHS = ["direct-connect", "vpn", "vpc", "private", "unknown", "internet"]
CODE = {path: number for number, path in enumerate(PATHS)}
AGAINST = ("contrary", "contested", "moved")  # speak against whatever is said
UNKNOWN, PRIVATE = CODE["unknown"], CODE["private"]
HIDDEN = [CODE[path] for path in ("direct-connect", "vpn", "private")]  # not over the bare internet
STRONG = STRENGTH["attachment"]  # from here on evidence against a confirmed path leaves it likely
# "private" means by Direct Connect, a VPN or within AWS: it does not contradict them.
COMPATIBLE = {frozenset(("private", other)) for other in ("direct-connect", "vpn", "vpc")}


@dataclass
class Direction:
    """The verdict for one direction: a code into PATHS, a confidence, and numbers of the evidence (-1: none)."""

    path: Array
    confidence: Array
    best: Array
    against: Array  # the strongest evidence for another path …
    opposed: Array  # … and its strength


@dataclass
class Verdict:
    """The path of each flow. ``directions`` are those of the client's packets and of the server's."""

    path: Texts
    confidence: Array
    detail: Texts
    link: Texts
    against: Texts
    asymmetric: Array  # 1 yes, 0 no, -1 not known
    directions: dict[str, Direction]
    over: Array  # path of what carries a VPN, as text, or None

    def path_of(self, direction: str) -> Texts:
        return Texts(list(PATHS), self.directions[direction].path)


def conflict(one: str, other: str) -> bool:
    """Whether two paths cannot both be right."""
    return one != other and frozenset((one, other)) not in COMPATIBLE and "unknown" not in (one, other)


CONFLICTS = np.array([[conflict(a, b) for b in PATHS] for a in PATHS])  # by codes


def _direction(count: int, found: list[Evidence], direction: str) -> Direction:
    best, power = np.full(count, -1), np.zeros(count, np.int64)
    mine = [(number, item) for number, item in enumerate(found) if item.direction == direction]
    for number, item in mine:
        strength = STRENGTH[item.kind]
        better = item.mask & (strength > power)
        best[better], power[better] = number, strength
    path = np.array([*(CODE[item.path] for item in found), UNKNOWN])[best]
    confidence = np.array([*(item.confidence for item in found), NONE])[best]
    against, opposed = np.full(count, -1), np.zeros(count, np.int64)
    # "private" is sharpened by what says which private path it was, however weak that is.
    sharper, sharp = best.copy(), np.zeros(count, np.int64)
    for number, item in mine:
        strength = STRENGTH[item.kind]
        if item.path in ("direct-connect", "vpn", "vpc") and item.confidence > NONE:
            finer = item.mask & (path == PRIVATE) & (strength > sharp)
            sharper[finer], sharp[finer] = number, strength
    sharpened = np.where(sharper != best, sharp, power)
    best = sharper
    path = np.array([*(CODE[item.path] for item in found), UNKNOWN])[best]
    for number, item in mine:
        strength = max(STRENGTH[item.kind], 1)
        other = CONFLICTS[CODE[item.path]][path]
        speaks = item.mask & ((other & (item.confidence > NONE)) | (item.kind in AGAINST))
        stronger = speaks & (strength > opposed) & (best != number)
        against[stronger], opposed[stronger] = number, strength
    confidence = np.where((confidence == CONFIRMED) & (opposed >= STRONG), LIKELY, confidence)
    # Direct Connect or VPN, and both are told as well: private, whichever it was.
    other = np.array([*(CODE[item.path] for item in found), UNKNOWN])[against]
    enough = np.where(np.isin(other, HIDDEN), sharpened, power)
    tied = (best >= 0) & (opposed > 1) & (opposed >= enough) & (confidence <= LIKELY)
    private = tied & np.isin(path, HIDDEN) & np.isin(other, HIDDEN)
    path = np.where(private, PRIVATE, np.where(tied, UNKNOWN, path))
    confidence = np.where(tied & ~private, NONE, confidence)
    return Direction(path, confidence, best, against, opposed)


def decide(flows: Flows, found: list[Evidence], over: dict[str, str], in_tunnels: Array) -> Verdict:
    """The verdict of each flow: that of the client's direction where it is proven as well as the way back.

    ``over`` is the path of the link that carries a VPN, by the VPN's name.
    """
    count = len(flows)
    ways = {direction: _direction(count, found, direction) for direction in DIRECTIONS}
    client, server = ways["client"], ways["server"]
    knows_out, knows_back = client.confidence > NONE, server.confidence > NONE
    outward = knows_out & (~knows_back | (client.confidence >= server.confidence))
    # "private" in one direction is sharpened by the other's.
    outward &= ~(knows_back & (client.path == PRIVATE) & (server.path != PRIVATE))
    best = np.where(outward | ~knows_back, client.best, server.best)
    path = np.where(outward, client.path, np.where(knows_back, server.path, UNKNOWN))
    confidence = np.where(outward, client.confidence, np.where(knows_back, server.confidence, NONE))
    # What is strong against one direction leaves the flow's path likely, even where the other is proven.
    doubted = np.maximum(client.opposed, server.opposed) >= STRONG
    confidence = np.where(doubted & (confidence == CONFIRMED), LIKELY, confidence)
    known = outward | knows_back
    at_home = NOT_PUBLIC.covers(flows.client_high, flows.client_low) & NOT_PUBLIC.covers(
        flows.server_high, flows.server_low
    )
    at_home &= ~in_tunnels
    path = np.where(~known & at_home, PRIVATE, path)
    both = knows_out & knows_back
    differ = both & CONFLICTS[client.path, server.path]
    against = np.where(outward | ~known, client.against, server.against)
    against = np.where(against < 0, np.where(outward | ~known, server.against, client.against), against)
    return Verdict(
        path=Texts(list(PATHS), path),
        confidence=confidence,
        detail=_details(found, best, ways, differ, known, at_home),
        link=Texts([*(item.link for item in found), None], np.where(known & (path != PRIVATE), best, len(found))),
        against=Texts([*(item.detail for item in found), None], np.where(against >= 0, against, len(found))),
        asymmetric=np.where(both, differ.astype(int), -1),
        directions=ways,
        over=np.array([*(over.get(item.link or "") for item in found), None], object)[np.where(known, best, -1)],
    )


def _details(
    found: list[Evidence], best: Array, ways: dict[str, Direction], differ: Array, known: Array, at_home: Array
) -> Texts:
    """What decided, in words; for asymmetric flows both ways."""
    told: list[str | None] = [
        *(item.detail for item in found),
        "nothing shows the way",
        "private addresses; nothing shows the way",
        "evidence of equal weight disagrees",
    ]
    nothing = len(found)
    client, server = ways["client"], ways["server"]
    tied = ~known & ((client.best >= 0) & (client.against >= 0) & (client.confidence == NONE))
    unproven = np.where(at_home, nothing + 1, nothing)
    real = np.array([*(item.confidence > NONE for item in found), False])
    tied &= real[client.best]
    number = np.where(known, best, np.where(tied, nothing + 2, unproven))
    for out, back in {(int(client.best[at]), int(server.best[at])) for at in np.flatnonzero(differ)}:
        number[differ & (client.best == out) & (server.best == back)] = len(told)
        told.append(f"out: {told[out]}; back: {told[back]}")
    return Texts(told, number)
