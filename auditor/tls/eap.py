"""EAP-TLS, PEAP, EAP-TTLS and their kin (RFC 5216, RFC 5281): TLS in pieces by EAP's flags, in frames of 802.1X and inside RADIUS (RFC 3579).

One flow of a network access server carries the sessions of many users: a challenge answers the request with its
identifier, and the next request repeats the challenge's State (RFC 2865 4.4, 5.24).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise

from auditor.flows.state import OVER_OTHER
from auditor.recognise.numbers import EAP, RADIUS
from auditor.tls.carried import Carried, ended
from auditor.tls.datagram_messages import Datagram, FlowMarks, MessageArrays, Messages
from auditor.tls.wrappers import EAP_MESSAGE

STATE = 24
ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT, ACCESS_CHALLENGE = 1, 2, 3, 11
ANSWERS = (ACCESS_ACCEPT, ACCESS_REJECT, ACCESS_CHALLENGE)
NEAR = 8  # packets within which a request may come that its answer has overtaken
REQUEST, RESPONSE = 1, 2  # codes of EAP (RFC 3748 4)
IDENTITY = 1  # its first type
TLS_METHODS = (13, 21, 25, 43, 55)  # EAP-TLS, EAP-TTLS, PEAP, EAP-FAST, TEAP
LENGTH_INCLUDED, MORE_FRAGMENTS, START = 0x80, 0x40, 0x20
EAP_HEADER, RADIUS_HEADER = 4, 20


def attributes(packet: bytes) -> dict[int, bytes]:
    """A RADIUS packet's attributes; those of one type are joined, as EAP-Message has it (RFC 3579 3.1)."""
    found: dict[int, bytes] = {}
    at = RADIUS_HEADER
    while at + 2 <= len(packet) and packet[at + 1] >= 2:
        found[packet[at]] = found.get(packet[at], b"") + packet[at + 2 : at + packet[at + 1]]
        at += packet[at + 1]
    return found


@dataclass
class EapMessage:
    """A side's message in the making. ``size``: what its first fragment says it is; 0 where that is not known."""

    size: int = 0
    fragments: list[tuple[int, bytes, Datagram]] = field(default_factory=list)  # with their identifiers

    def until_gap(self) -> list[tuple[int, bytes, Datagram]]:
        """The fragments before one that was lost: their identifiers go up by one, mostly."""
        follows = [(after[0] - one[0]) % 256 == 1 for one, after in pairwise(self.fragments)]
        return self.fragments[: follows.index(False) + 1 if False in follows else 1]


@dataclass
class Eap:
    """The TLS of one EAP conversation: the pieces of each side in order, what is sent again left out."""

    carried: Carried
    _packets: list[tuple[int, bytes, Datagram]] = field(default_factory=list)  # with how far identifiers have counted
    _numbered: dict[tuple[int, int], bytes] = field(
        default_factory=dict
    )  # what a side sent under which of these numbers
    _last: list[int] = field(default_factory=lambda: [-1, -1])  # identifiers
    _messages: tuple[EapMessage, EapMessage] = field(default_factory=lambda: (EapMessage(), EapMessage()))

    def awaits(self, packet: bytes, side: int) -> bool:
        """Whether a response answers the other side's last request: it has that one's identifier (RFC 3748 4.1)."""
        return len(packet) > 1 and packet[0] == RESPONSE and packet[1] == self._last[1 - side]

    def take(self, packet: bytes, seen: Datagram) -> None:
        if len(packet) < EAP_HEADER + 2 or packet[0] not in (REQUEST, RESPONSE) or packet[4] not in TLS_METHODS:
            return
        self._last[seen.side] = packet[1]
        highest = max((number for number, _, _ in self._packets[-2 * NEAR :]), default=packet[1])
        number = highest + (packet[1] - highest + 128) % 256 - 128
        if number < highest - NEAR or self._numbered.setdefault((number, seen.side), packet) != packet:
            number += 256  # they were counted anew, by another conversation
        self._packets.append((number, packet, seen))

    def _in_order(self) -> Iterator[tuple[bytes, Datagram]]:
        """Each packet once. A request has the next identifier, its response the same one (RFC 3748 4.1).

        Nobody is bound to count identifiers: where they do not, packets stay as they came.
        """
        numbers = {number for number, _, _ in self._packets}
        counts = not numbers or max(numbers) - min(numbers) <= 2 * len(numbers)
        packets = sorted(self._packets, key=lambda one: (one[0], one[1][0])) if counts else self._packets
        known = set[tuple[int, bytes]]()
        last = [-1, -1]
        for number, packet, seen in packets:
            if (number, packet) not in known and last[seen.side] != packet[1]:
                yield packet, seen
            known.add((number, packet))
            last[seen.side] = packet[1]

    def _fragment(self, packet: bytes, seen: Datagram) -> None:
        size = int.from_bytes(packet[2:4], "big")
        begin = EAP_HEADER + 2 + (4 if packet[5] & LENGTH_INCLUDED else 0)
        if begin < size:
            message = self._messages[seen.side]
            if packet[5] & LENGTH_INCLUDED and not message.fragments:
                message.size = int.from_bytes(packet[EAP_HEADER + 2 : begin], "big")
            message.fragments.append((packet[1], packet[begin:size], seen._replace(is_cut=len(packet) < size)))
            if not packet[5] & MORE_FRAGMENTS:
                self._hand_on(seen.side)

    def _hand_on(self, side: int) -> None:
        """Hand a message on, or what of it comes before a fragment that the capture lacks (RFC 5216 2.1.5)."""
        message = self._messages[side]
        known = sum(len(data) for _, data, _ in message.fragments)
        has_all = not message.size or known == message.size or any(seen.is_cut for _, _, seen in message.fragments)
        for _, data, seen in message.fragments if has_all else message.until_gap():
            self.carried.take(data, seen)
        self.carried.sides[side].over |= not has_all
        message.size = 0
        message.fragments.clear()

    def end(self) -> Carried:
        """No more is there: the messages, and the fragments of those that are not whole."""
        for packet, seen in self._in_order():
            self._fragment(packet, seen)
        for side, message in enumerate(self._messages):
            if message.fragments:
                self._hand_on(side)
        return self.carried


@dataclass
class EapOverLan:
    """The EAP conversation of one supplicant: another begins with an identity (RFC 3748 5.1), asked for before a method's start."""

    held: MessageArrays
    shown: FlowMarks = field(default_factory=FlowMarks)

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        sessions: list[Eap] = []
        for number, seen in enumerate(datagrams):
            is_asked = len(seen.data) > EAP_HEADER and seen.data[0] == REQUEST and seen.data[EAP_HEADER] == IDENTITY
            if not sessions or (is_asked and _starts(datagrams[number + 1 :])):
                sessions.append(Eap(Carried(self.held, EAP, OVER_OTHER)))
            sessions[-1].take(seen.data, seen)
        return ended(session.end() for session in sessions)


@dataclass
class Radius:
    """The EAP conversations of one flow."""

    held: MessageArrays
    shown: FlowMarks = field(default_factory=FlowMarks)

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        sessions: list[Eap] = []
        by_identifier: dict[tuple[int, int], Eap] = {}
        by_state: dict[bytes, Eap] = {}
        for seen in _in_order([seen for seen in datagrams if len(seen.data) >= RADIUS_HEADER]):
            code, identifier, found = seen.data[0], seen.data[1], attributes(seen.data)
            if code == ACCESS_REQUEST:
                session = by_state.get(found.get(STATE, b"")) or by_identifier.get((seen.side, identifier))
                if session is None and seen.is_cut:  # its State may have been cut off
                    message = found.get(EAP_MESSAGE, b"")
                    session = next((one for one in reversed(sessions) if one.awaits(message, seen.side)), None)
                if session is None or (STATE not in found and _begins(found)):
                    session = Eap(Carried(self.held, RADIUS, OVER_OTHER))
                    sessions.append(session)
                by_identifier[seen.side, identifier] = session
            elif code in ANSWERS:
                session = by_identifier.get((1 - seen.side, identifier))
                if session is None:  # its request is not in the capture
                    session = by_state.get(found.get(STATE, b"")) or Eap(Carried(self.held, RADIUS, OVER_OTHER))
                    sessions += [session] if session not in sessions else []
            else:
                continue
            if STATE in found:
                by_state[found[STATE]] = session
            if EAP_MESSAGE in found:
                session.take(found[EAP_MESSAGE], seen)
        return ended(session.end() for session in sessions)


def _in_order(datagrams: list[Datagram]) -> Iterator[Datagram]:
    """Packets, those requests first whose answers the capture has before them."""
    asked = set[tuple[int, int]]()
    left = deque(datagrams)
    while left:
        seen = left.popleft()
        which = (1 - seen.side, seen.data[1])
        if seen.data[0] in ANSWERS and which not in asked:
            for other in list(islice(left, NEAR)):
                if other.data[0] == ACCESS_REQUEST and (other.side, other.data[1]) == which:
                    left.remove(other)
                    yield other
                    break
        if seen.data[0] == ACCESS_REQUEST:
            asked.add((seen.side, seen.data[1]))
        else:
            asked.discard(which)
        yield seen


def _starts(datagrams: list[Datagram]) -> bool:
    """Whether the next request of a method that carries TLS begins it. If not, that for an identity was sent again."""
    for seen in datagrams:
        if len(seen.data) > EAP_HEADER + 1 and seen.data[0] == REQUEST and seen.data[EAP_HEADER] in TLS_METHODS:
            return bool(seen.data[EAP_HEADER + 1] & START)
    return True


def _begins(found: dict[int, bytes]) -> bool:
    """Whether a request without State begins a conversation: an identity, not a piece of TLS."""
    message = found.get(EAP_MESSAGE, b"")
    return len(message) > EAP_HEADER and message[EAP_HEADER] not in TLS_METHODS
