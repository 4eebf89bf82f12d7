"""From evidence to a verdict for each flow: the strongest decides, and what speaks against it is recorded.

Each direction takes three steps, ``strongest``, ``sharpened`` and ``weighed``; ``joined`` makes one path of both.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from auditor.paths.model import CONFIRMED, LIKELY, NONE, NOT_PUBLIC, SEEN, STRENGTH, Evidence, Flows
from auditor.tables.columns import Texts

Array = np.ndarray[Any, Any]
PATHS = ["direct-connect", "vpn", "vpc", "private", "unknown", "internet"]
CODE = {path: number for number, path in enumerate(PATHS)}
AGAINST = ("contrary", "contested", "moved")  # speak against whatever is said
UNKNOWN, PRIVATE = CODE["unknown"], CODE["private"]
HIDDEN = [CODE[path] for path in ("direct-connect", "vpn", "private")]  # not over the bare internet
FINER = ("direct-connect", "vpn", "vpc")  # which "private" path it was
STRONG = STRENGTH["attachment"]  # from here on evidence against a confirmed path leaves it likely
# "private" means by Direct Connect, a VPN or within AWS: it does not contradict them.
COMPATIBLE = {frozenset(("private", other)) for other in FINER}


@dataclass(eq=False, repr=False)
class Direction:
    """The verdict for one direction: a code into PATHS, a confidence, and numbers of the evidence (-1: none)."""

    path: Array
    confidence: Array
    best: Array
    against: Array  # the strongest evidence for another path …
    opposed: Array  # … and its strength


@dataclass(eq=False, repr=False)
class Verdict:
    """The path of each flow. ``directions`` are those of the client's packets and of the server's."""

    path: Texts
    confidence: Array
    detail: Texts
    link: Texts
    against: Texts
    asymmetric: Array  # 1 yes, 0 no, -1 not known
    seen: Array  # packets of every direction seen, or rows about them, show the path
    directions: dict[str, Direction]
    over: Array  # path of what carries a VPN, as text, or None

    @property
    def half_private(self) -> Array:
        """Which flows went a private way in one direction only, and over the internet in the other."""
        over_internet = [one.path == CODE["internet"] for one in self.directions.values()]
        return np.asarray((self.asymmetric == 1) & np.logical_or.reduce(over_internet))

    def path_of(self, direction: str) -> Texts:
        return Texts(list(PATHS), self.directions[direction].path)


def conflict(one: str, other: str) -> bool:
    """Whether two paths cannot both be right."""
    return one != other and frozenset((one, other)) not in COMPATIBLE and "unknown" not in (one, other)


CONFLICTS = np.array([[conflict(a, b) for b in PATHS] for a in PATHS])  # by codes


Numbered = list[tuple[int, Evidence]]  # pieces of evidence by their numbers


class LeadingEvidence(NamedTuple):
    """The evidence that leads in one direction: its number (-1: none), its strength, and the path it gives."""

    best: Array
    strength: Array
    finer: Array  # the strength of what says which private path it was; else that of the lead
    path: Array
    confidence: Array


def strongest(count: int, evidence: Numbered) -> LeadingEvidence:
    """Step 1: the strongest evidence of a direction leads.

    ==============================================  ====================================
    evidence                                        leads
    ==============================================  ====================================
    none                                            nothing: unknown, none
    of strength 0 (router, ipsec, source, contrary) nothing
    of unequal strength                             the stronger, however confident
    of equal strength                               the first
    ==============================================  ====================================
    """
    best, strength = np.full(count, -1), np.zeros(count, np.int64)
    path, confidence = np.full(count, UNKNOWN), np.full(count, NONE)
    for number, item in evidence:
        better = item.mask & (STRENGTH[item.kind] > strength)
        best[better], strength[better] = number, STRENGTH[item.kind]
        path[better], confidence[better] = CODE[item.path], item.confidence
    return LeadingEvidence(best, strength, strength, path, confidence)


def sharpened(lead: LeadingEvidence, evidence: Numbered) -> LeadingEvidence:
    """Step 2: "private" is sharpened by what says which private path it was, however weak that is.

    =================  ==============================================  =======================================
    lead               other evidence                                  becomes
    =================  ==============================================  =======================================
    another path       any                                             stays
    private            none for Direct Connect, VPN or VPC             stays
    private            such, but it proves nothing (confidence none)   stays
    private            such, likely or confirmed                       its path, with the lead's confidence
    private            several of them                                 the strongest's path
    =================  ==============================================  =======================================
    """
    best, path = lead.best.copy(), lead.path.copy()
    finer, strength = lead.strength.copy(), np.zeros(len(best), np.int64)
    for number, item in evidence:
        if item.path in FINER and item.confidence > NONE:
            better = item.mask & (lead.path == PRIVATE) & (STRENGTH[item.kind] > strength)
            best[better], path[better] = number, CODE[item.path]
            finer[better] = strength[better] = STRENGTH[item.kind]
    return LeadingEvidence(best, lead.strength, finer, path, lead.confidence)


def weighed(lead: LeadingEvidence, evidence: Numbered) -> Direction:
    """Step 3: what speaks against the lead weakens it, or leaves nothing of it where it is as strong.

    ===============  ====================================================  ===========================
    lead             strongest evidence for a path that conflicts          becomes
    ===============  ====================================================  ===========================
    none             any                                                   unknown, none
    confirmed        as strong as an attachment                            likely, and weighed as that
    confirmed        weaker than that                                      stays confirmed
    likely           weaker than the lead                                  stays likely
    likely           as strong, both Direct Connect, VPN or private        private, likely
    likely           as strong, otherwise                                  unknown, none
    any              only "contrary" (strength 0)                          stays; recorded
    ===============  ====================================================  ===========================

    A sharpened lead is only as strong as what sharpened it against Direct Connect, VPN or private, and as strong as the
    private evidence against everything else.
    """
    against, opposed, other = _opposition(lead, evidence)
    confidence = np.where((lead.confidence == CONFIRMED) & (opposed >= STRONG), LIKELY, lead.confidence)
    is_hidden = np.isin(other, HIDDEN)
    enough = np.where(is_hidden, lead.finer, lead.strength)
    tied = (lead.best >= 0) & (opposed > 1) & (opposed >= enough) & (confidence <= LIKELY)
    private = tied & np.isin(lead.path, HIDDEN) & is_hidden
    path = np.where(private, PRIVATE, np.where(tied, UNKNOWN, lead.path))
    return Direction(path, np.where(tied & ~private, NONE, confidence), lead.best, against, opposed)


def _opposition(lead: LeadingEvidence, evidence: Numbered) -> tuple[Array, Array, Array]:
    """The strongest evidence against the lead: its number (-1: none), its strength (at least 1), and its path."""
    count = len(lead.best)
    against, opposed, path = np.full(count, -1), np.zeros(count, np.int64), np.full(count, UNKNOWN)
    for number, item in evidence:
        strength = max(STRENGTH[item.kind], 1)
        conflicts = CONFLICTS[CODE[item.path]][lead.path]
        speaks = item.mask & ((conflicts & (item.confidence > NONE)) | (item.kind in AGAINST))
        stronger = speaks & (strength > opposed) & (lead.best != number)
        against[stronger], opposed[stronger], path[stronger] = number, strength, CODE[item.path]
    return against, opposed, path


class JoinedPath(NamedTuple):
    """One path of both directions; ``best`` and ``against`` are numbers of the evidence (-1: none)."""

    path: Array
    confidence: Array
    best: Array
    against: Array
    known: Array  # one direction or both are
    both: Array  # both directions are known …
    differ: Array  # … and conflict


def joined(client: Direction, server: Direction, at_home: Array, unseen: tuple[Array, Array]) -> JoinedPath:
    """Step 4: the flow's path is that of the direction that is proven better, the client's where both are alike.

    It is confirmed only if each direction of which packets were seen is confirmed for the same path. ``unseen``: flows
    without packets of the client, and of the server.

    ===================  ====================  ==========================================================
    client's direction   server's direction    flow
    ===================  ====================  ==========================================================
    known                no packets            the client's, as well known as that
    no packets           known                 the server's, as well known as that
    known                not known             the client's, likely
    not known            known                 the server's, likely
    known                as well known         the client's; asymmetric, and likely, where they conflict
    likely               confirmed             the server's, likely
    private              another path          the server's, which sharpens it
    not known            not known             private, none between addresses that are not public (``at_home``)
    not known            not known             unknown, none otherwise
    ===================  ====================  ==========================================================

    What is strong against one direction leaves the flow's path likely, even where the other is proven.
    """
    knows_out, knows_back = client.confidence > NONE, server.confidence > NONE
    outward = knows_out & (~knows_back | (client.confidence >= server.confidence))
    outward &= ~(knows_back & (client.path == PRIVATE) & (server.path != PRIVATE))
    known, both = outward | knows_back, knows_out & knows_back
    path = np.where(outward, client.path, np.where(knows_back, server.path, UNKNOWN))
    confidence = np.where(outward, client.confidence, np.where(knows_back, server.confidence, NONE))
    agreed = [
        (one.confidence == CONFIRMED) & (one.path == path) | nothing
        for one, nothing in zip((client, server), unseen, strict=True)
    ]
    doubted = (np.maximum(client.opposed, server.opposed) >= STRONG) | ~agreed[0] | ~agreed[1]
    mine, theirs = client.against, server.against
    against = np.where(outward | ~known, mine, theirs)
    return JoinedPath(
        path=np.where(~known & at_home, PRIVATE, path),
        confidence=np.where(doubted & (confidence == CONFIRMED), LIKELY, confidence),
        best=np.where(outward | ~knows_back, client.best, server.best),
        against=np.where(against < 0, np.where(outward | ~known, theirs, mine), against),
        known=known,
        both=both,
        differ=both & CONFLICTS[client.path, server.path],
    )


def _direction(count: int, evidence: list[Evidence], direction: str) -> Direction:
    numbered = [(number, item) for number, item in enumerate(evidence) if item.direction == direction]
    return weighed(sharpened(strongest(count, numbered), numbered), numbered)


def decide(flows: Flows, evidence: list[Evidence], over: dict[str, str], in_tunnels: Array) -> Verdict:
    """The verdict of each flow: that of the client's direction where it is proven as well as the way back.

    ``over`` is the path of the link that carries a VPN, by the VPN's name; ``in_tunnels``: flows of which nothing is
    known but what is inside of a tunnel.
    """
    client, server = (_direction(len(flows), evidence, direction) for direction in ("client", "server"))
    at_home = NOT_PUBLIC.covers(*flows.end("client")) & NOT_PUBLIC.covers(*flows.end("server"))
    at_home &= ~in_tunnels
    unseen = (~flows.ways["client"].seen, ~flows.ways["server"].seen)
    flow = joined(client, server, at_home, unseen)
    linked = flow.known & (flow.path != PRIVATE)
    nothing = len(evidence)
    return Verdict(
        path=Texts(list(PATHS), flow.path),
        confidence=flow.confidence,
        detail=_details(evidence, flow, client, server, at_home),
        link=Texts([*(item.link for item in evidence), None], np.where(linked, flow.best, nothing)),
        against=Texts([*(item.detail for item in evidence), None], np.where(flow.against >= 0, flow.against, nothing)),
        asymmetric=np.where(flow.both, flow.differ.astype(int), -1),
        seen=flow.known
        & (_is_seen("client", client, evidence) | unseen[0])
        & (_is_seen("server", server, evidence) | unseen[1]),
        directions={"client": client, "server": server},
        over=np.array([*(over.get(item.link or "") for item in evidence), None], object)[
            np.where(flow.known, flow.best, -1)
        ],
    )


def _is_seen(which: str, direction: Direction, evidence: list[Evidence]) -> Array:
    """Whether a direction's path was seen of its packets, of none of them another one, and not only let expect."""
    kinds = np.array([*(item.kind in SEEN for item in evidence), False])
    seen = kinds[direction.best] & (direction.confidence > NONE)
    for item in evidence:
        if item.kind == "moved" and item.direction == which:
            seen &= ~(item.mask & CONFLICTS[CODE[item.path]][direction.path])
    return np.asarray(seen)


def _details(evidence: list[Evidence], flow: JoinedPath, client: Direction, server: Direction, at_home: Array) -> Texts:
    """What decided, in words; for asymmetric flows both ways."""
    words: list[str | None] = [
        *(item.detail for item in evidence),
        "nothing shows the way",
        "private addresses; nothing shows the way",
    ]
    nothing = len(evidence)
    real = np.array([*(item.confidence > NONE for item in evidence), False])
    number = np.where(flow.known, flow.best, np.where(at_home, nothing + 1, nothing))
    for one in (server, client):
        tied = ~flow.known & (one.best >= 0) & (one.against >= 0) & (one.confidence == NONE) & real[one.best]
        for best, against in {(int(one.best[at]), int(one.against[at])) for at in np.flatnonzero(tied)}:
            number[tied & (one.best == best) & (one.against == against)] = len(words)
            words.append(f"evidence of equal weight disagrees: {words[best]}; {words[against]}")
    for out, back in {(int(client.best[at]), int(server.best[at])) for at in np.flatnonzero(flow.differ)}:
        number[flow.differ & (client.best == out) & (server.best == back)] = len(words)
        words.append(f"out: {words[out]}; back: {words[back]}")
    return Texts(words, number)
