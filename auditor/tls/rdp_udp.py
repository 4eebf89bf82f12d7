"""TLS or DTLS of Remote Desktop over UDP ([MS-RDPEUDP], [MS-RDPEUDP2]).

A SYN with the flag SYNLOSSY asks for a channel that may lose datagrams, which has DTLS; without it the channel is
reliable, and carries TLS in order of its sequence numbers. The peers may agree on version 2 of the transport, whose
packets look differently.
"""

from dataclasses import dataclass, field

from auditor.flows.state import OVER_OTHER
from auditor.recognise.numbers import RDP
from auditor.tls.carried import Carried, ended
from auditor.tls.datagram_messages import Datagram, FlowMarks, MessageArrays, Messages
from auditor.tls.dtls import Dtls

SYN, ACK, DATA, FEC, ACKS_OF_ACKS, CORRELATION, EXTENDED = 0x1, 0x4, 0x8, 0x10, 0x100, 0x800, 0x1000  # version 1
ACK_2, DATA_2, VECTOR_2, OVERHEAD_2, DELAY_2, ACKS_OF_ACKS_2 = 0x1, 0x4, 0x8, 0x40, 0x100, 0x10  # version 2
HEADER, SYN_DATA, CORRELATION_DATA = 8, 8, 32
VERSION_2 = 0x0101
NEAR = 1 << 16
DUMMY = 8  # type of version 2's packets without meaning


def source_payload(data: bytes) -> tuple[int, bytes] | None:
    """Number and contents of a data packet of version 1 ([MS-RDPEUDP] 2.2.2); None where there is none.

    The acknowledgements are filled up to a multiple of four bytes (2.2.2.7), which not everybody does: the packet's two
    numbers, which are near each other, show it.
    """
    if len(data) < HEADER:
        return None
    flags, at = int.from_bytes(data[6:8], "big"), HEADER
    if flags & (SYN | FEC) or not flags & DATA:
        return None
    padding = 0
    if flags & ACK and at + 2 <= len(data):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
        padding = -at % 4
    at += 4 if flags & ACKS_OF_ACKS else 0
    for begin in dict.fromkeys((at + padding, at)):
        coded, start = (int.from_bytes(data[begin + k : begin + k + 4], "big") for k in (0, 4))
        if begin + 8 <= len(data) and abs(coded - start) < NEAR:
            return start, data[begin + 8 :]
    return None


def payload_2(data: bytes) -> tuple[int, bytes] | None:
    """Likewise of version 2 ([MS-RDPEUDP2] 2.2.1): its first and eighth bytes are exchanged on the wire."""
    if len(data) < HEADER:
        return None
    packet = data[7:8] + data[1:7] + data[:1] + data[8:]
    if packet[0] >> 1 & 15 == DUMMY:
        return None
    flags, at = int.from_bytes(packet[1:3], "little") & 0xFFF, 3
    if not flags & DATA_2 or len(packet) < 12:
        return None
    if flags & ACK_2:
        at += 7 + (packet[at + 6] & 15 if at + 6 < len(packet) else 0)
    at += (1 if flags & OVERHEAD_2 else 0) + (3 if flags & DELAY_2 else 0) + (2 if flags & ACKS_OF_ACKS_2 else 0)
    at += 2  # number of the packet, which is new where it is sent again
    if flags & VECTOR_2 and at + 2 < len(packet):
        size = packet[at + 2]
        at += 3 + (size & 0x7F) + (3 if size & 0x80 else 0)
    if at + 2 > len(packet):
        return None
    return int.from_bytes(packet[at : at + 2], "little"), packet[at + 2 :]


@dataclass
class Order:
    """The reliable channel of one side: the next number, and what came before its turn."""

    next: int | None = None
    waiting: dict[int, bytes] = field(default_factory=dict)


@dataclass
class RdpUdp:
    """The handshake of one flow."""

    held: MessageArrays
    shown: FlowMarks = field(default_factory=FlowMarks)

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        version_2 = _agreed_on_2(datagrams)
        pieces = []
        for seen in datagrams:
            if _is_syn(seen.data):
                continue
            piece = payload_2(seen.data) if version_2 else source_payload(seen.data)
            if piece is not None and piece[1]:
                pieces.append((piece[0], seen._replace(data=piece[1])))
        if any(_is_dtls(seen.data) for _, seen in pieces):
            return Dtls(self.held, RDP).run([seen for _, seen in pieces], [False, False])
        carried, sides = Carried(self.held, RDP, OVER_OTHER), (Order(), Order())
        for number, seen in pieces:
            order = sides[seen.side]
            order.next = number if order.next is None else min(order.next, number)
        for number, seen in pieces:
            order = sides[seen.side]
            if order.next is not None and number >= order.next:
                order.waiting.setdefault(number, seen.data)
            while order.next is not None and order.next in order.waiting:
                carried.take(order.waiting.pop(order.next), seen)
                order.next += 1
        return ended([carried]) if datagrams else []


def _is_dtls(data: bytes) -> bool:
    return len(data) > 13 and 20 <= data[0] <= 25 and data[1:3] in (b"\xfe\xff", b"\xfe\xfd")


def _is_syn(data: bytes) -> bool:
    """Whether it begins a connection: the flag, and two MTUs within bounds ([MS-RDPEUDP] 2.2.2.5)."""
    mtus = (int.from_bytes(data[at : at + 2], "big") for at in (12, 14))
    return bool(data[7:8] and data[7] & SYN) and all(1132 <= mtu <= 1232 for mtu in mtus)


def _agreed_on_2(datagrams: list[Datagram]) -> bool:
    """Whether both sides' SYNs, as far as they are there, name version 2 ([MS-RDPEUDP] 2.2.2.9)."""
    versions = []
    for seen in datagrams:
        if not _is_syn(seen.data):
            continue
        flags, at = int.from_bytes(seen.data[6:8], "big"), HEADER + SYN_DATA
        at += CORRELATION_DATA if flags & CORRELATION else 0
        known = flags & EXTENDED and seen.data[at : at + 2] == b"\0\1"
        versions.append(int.from_bytes(seen.data[at + 2 : at + 4], "big") if known else 0)
    return bool(versions) and all(version >= VERSION_2 for version in versions)
