"""Fragments of IP (RFC 791 3.2, RFC 8200 4.5), CAPWAP (RFC 5415 3.4) and STT put together, in bounded memory.

Those of links are in ``multilink``.

Fragments are rare, so this is plain Python between the two kernels: where the last missing fragment comes, its packet
becomes the whole datagram, which is decoded and followed like any other. A first fragment is followed by itself as
well, so what it shows is not lost where the others never come.
"""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from auditor.decode import frames
from auditor.decode.layers import MULTILINK_FRAME_RELAY, STT, STT_PORT
from auditor.decode.multilink import BUNDLED_PIECE, MARKS, Multilink
from auditor.decode.packet import DUPLICATE, FRAGMENT, REPEATED, TCP

Array = np.ndarray[Any, Any]
LONGEST = 65535
MOST_DATAGRAMS = 4096  # that are being put together at one time
MOST_BYTES = 32 << 20
MOST_PARTS = 1024  # of one datagram
PATIENCE = 60_000_000_000  # nanoseconds; RFC 8200 4.5
MOST_SEEN = 4096  # fragments that are remembered to know their copies …
COPIED_WITHIN = 500_000_000  # … which come within that, as those of packets with an identification do
LINK_ENDS = ("source_mac", "target_mac", "outer_source", "outer_target")
CAPWAP_VERSION = 0  # first four bits of its preamble, where IP has 4 or 6
CAPWAP_FRAGMENT, CAPWAP_LAST = 0x80, 0x40  # flags in its fourth byte
STT_VERSION = 5  # stands here for STT, whose header is like TCP's
TCP_HEADER = 20


class Fragment(NamedTuple):
    """A fragment: which datagram it belongs to, the header that the whole one has, and its part of the data.

    ``key`` tells datagrams apart, ``origin`` is what of it is the same wherever a fragment is seen.
    """

    key: tuple[Any, ...]
    origin: tuple[Any, ...]
    header: bytes
    offset: int
    data: bytes
    last: bool


@dataclass(eq=False, repr=False)
class Counts:
    """What is counted of the fragments of a capture; datagrams count where their first fragment came."""

    seen: int = 0
    whole: int = 0
    incomplete: int = 0
    overlapping: int = 0


@dataclass(eq=False, repr=False)
class Reassembly:
    """A datagram in the making. ``parts`` are by offset; ``total`` is known once the last fragment was seen."""

    began: int
    counts: Counts  # those of the capture that it began in
    header: bytes | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None
    spoiled: bool = False
    size: int = 0


def ipv4_piece(data: bytes, scope: tuple[Any, ...]) -> Fragment | None:
    header = (data[0] & 15) * 4
    flags = int.from_bytes(data[6:8], "big")
    body = data[header : int.from_bytes(data[2:4], "big")]
    whole = data[:6] + b"\0\0" + data[8:header]
    origin = (4, data[12:20], data[9], data[4:6])
    return Fragment((*origin, *scope), origin, whole, (flags & 0x1FFF) * 8, body, not flags & 0x2000)


def ipv6_piece(data: bytes, scope: tuple[Any, ...]) -> Fragment | None:
    """The headers before the fragment header stay, and name what follows it."""
    named, at, kind = 6, 40, data[6]
    while kind in (0, 43, 60):
        if at + 8 > len(data):
            return None
        named, kind, at = at, data[at], at + (data[at + 1] + 1) * 8
    if kind != 44 or at + 8 > len(data):
        return None
    place = int.from_bytes(data[at + 2 : at + 4], "big")
    header = data[:named] + data[at : at + 1] + data[named + 1 : at]
    origin = (6, data[8:40], data[at + 4 : at + 8])
    return Fragment(
        (*origin, *scope),
        origin,
        header,
        place & 0xFFF8,
        data[at + 8 : 40 + int.from_bytes(data[4:6], "big")],
        not place & 1,
    )


def capwap_piece(data: bytes, scope: tuple[Any, ...]) -> Fragment:
    """CAPWAP's own fragments (RFC 5415 3.4, 4.3): the whole datagram has the first one's header without F and L."""
    header = (data[1] >> 3) * 4
    whole = data[:3] + bytes([data[3] & ~(CAPWAP_FRAGMENT | CAPWAP_LAST)]) + bytes(4) + data[8:header]
    key = (CAPWAP_VERSION, data[4:6], *scope)
    is_last = bool(data[3] & CAPWAP_LAST)
    return Fragment(key, key, whole, int.from_bytes(data[6:8], "big") & 0xFFF8, data[header:], is_last)


def stt_piece(data: bytes, ends: tuple[int, ...]) -> Fragment:
    """A segment of STT (draft-davie-stt-08 3.1): how long all of them are, and where this one stands, is its sequence number."""
    length, into = int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big")
    body = data[TCP_HEADER:]
    key = (STT_VERSION, data[:2] + data[8:12], *ends)
    return Fragment(key, key, data[:TCP_HEADER], into, body, into + len(body) == length)


def is_of_stt(data: bytes, packet: Any) -> bool:
    """Whether what stands at a packet's ``fragment`` has the form of a header of STT, rather than one of IP's or CAPWAP's."""
    if len(data) < TCP_HEADER or data[2:4] != STT_PORT.to_bytes(2, "big") or data[12] >> 4 != TCP_HEADER // 4:
        return False
    is_first_and_cut = int(packet["tunnel"]) >> 56 == STT and data[6:8] == b"\0\0"
    return is_first_and_cut or (int(packet["target_port"]) == STT_PORT and int(packet["protocol"]) == TCP)


class Reassembler:
    """Puts the fragments of captures that are read as one together."""

    def __init__(self) -> None:
        self.counts: defaultdict[int, Counts] = defaultdict(Counts)  # by the capture's number
        self._waiting: OrderedDict[tuple[Any, ...], Reassembly] = OrderedDict()
        self._seen: OrderedDict[tuple[Any, ...], int] = OrderedDict()  # times of fragments, by what they are
        self._bytes = 0
        self._multilink = Multilink()
        self._stt: OrderedDict[tuple[int, ...], None] = OrderedDict()  # between whom it was seen

    def join(self, block: Array, packets: Array) -> tuple[Array, list[int]]:
        """Take the fragments of a block. Returns the bytes that its packets lie in, and which became whole datagrams.

        ``packets[n].position`` of these is where the datagram begins; they are to be decoded again from there.
        """
        fragments = np.flatnonzero((packets["fragment"] != 0) & (packets["status"] != REPEATED)).tolist()
        if not fragments:
            return block, []
        added: list[bytes] = []
        whole: list[int] = []
        size = len(block)
        for at in fragments:
            packet = packets[at]
            datagram = self._take(block, packet)
            if datagram is None:
                continue
            packet["position"], packet["end"], packet["missing"] = size, size + len(datagram), 0
            added.append(datagram)
            size += len(datagram)
            whole.append(at)
        if not added:
            return block, []
        return np.concatenate([block, np.frombuffer(b"".join(added), np.uint8)]), whole

    def waiting(self) -> list[dict[str, Any]]:
        """Datagrams in the making, as values that JSON has."""
        numbers = {id(counts): number for number, counts in self.counts.items()}
        known = [{"stt": [str(one) for one in ends]} for ends in self._stt]
        return (
            known
            + self._multilink.waiting()
            + [
                {
                    "key": [f"0x{part.hex()}" if isinstance(part, bytes) else str(part) for part in key],
                    "began": one.began,
                    "capture": numbers[id(one.counts)],
                    "header": None if one.header is None else one.header.hex(),
                    "parts": [[at, part.hex()] for at, part in one.parts.items()],
                    "total": one.total,
                    "spoiled": one.spoiled,
                }
                for key, one in self._waiting.items()
            ]
        )

    def go_on(self, waiting: list[dict[str, Any]]) -> None:
        """Wait for the rest of datagrams in the making, as ``waiting`` gave them, whose captures are counted."""
        self._multilink.go_on([one for one in waiting if "bundle" in one])
        self._stt.update((tuple(map(int, one["stt"])), None) for one in waiting if "stt" in one)
        for one in waiting:
            if "key" not in one:
                continue
            key = tuple(bytes.fromhex(part[2:]) if part.startswith("0x") else int(part) for part in one["key"])
            parts = {int(at): bytes.fromhex(part) for at, part in one["parts"]}
            header = None if one["header"] is None else bytes.fromhex(one["header"])
            self._waiting[key] = Reassembly(
                one["began"], self.counts[one["capture"]], header, parts, one["total"], one["spoiled"], _covered(parts)
            )
            self._bytes += sum(map(len, parts.values()))

    def ended(self) -> None:
        """The capture is over: what is not whole now never will be."""
        for datagram in self._waiting.values():
            datagram.counts.incomplete += 1
        self._waiting.clear()
        for capture in self._multilink.ended():
            self.counts[capture].incomplete += 1

    def _take(self, block: Array, packet: Any) -> bytes | None:
        """The whole datagram, if this fragment was the last that was missing."""
        counts = self.counts[frames.capture(int(packet["frame"]))]
        begin = int(packet["fragment"])
        data = block[begin : int(packet["end"])].tobytes()
        is_stt = is_of_stt(data, packet)
        if is_stt and not self._is_piece_of_stt(data, packet):
            packet["fragment"] = 0
            return None
        counts.seen += 1
        if packet["link"] == MULTILINK_FRAME_RELAY and begin == packet["begin"]:
            data = bytes([BUNDLED_PIECE]) + data
        if data[0] >> 4 in MARKS and not is_stt:
            return self._of_links(data, packet, counts)
        piece = stt_piece(data, _outer_ends(packet)) if is_stt else _piece(data, packet)
        if piece is None or packet["missing"] > 0 or piece.offset + len(piece.data) > LONGEST:
            return None
        now = int(packet["time"])
        if self._is_copy((piece.origin, piece.offset, piece.data), now):
            packet["status"] = DUPLICATE
            return None
        self._forget(now)
        datagram = self._waiting.setdefault(piece.key, Reassembly(now, counts))
        self._add(datagram, piece)
        header, total = datagram.header, datagram.total
        if total is None or header is None or datagram.size < total:
            return None
        del self._waiting[piece.key]
        self._bytes -= sum(map(len, datagram.parts.values()))
        whole = None if datagram.spoiled else _assembled(header, datagram.parts, total, piece.key[0])
        if whole is None:
            datagram.counts.incomplete += 1
        else:
            datagram.counts.whole += 1
        return whole

    def _is_piece_of_stt(self, data: bytes, packet: Any) -> bool:
        """Whether a segment to its port waits for others: no TCP, and no first piece that was cut and is followed as it is."""
        ends = _outer_ends(packet)
        if data[6:8] == b"\0\0":
            self._stt[ends] = None
            while len(self._stt) > MOST_DATAGRAMS:
                self._stt.popitem(last=False)
        elif ends in self._stt:
            packet["status"] = FRAGMENT
        return int(packet["status"]) == FRAGMENT

    def _of_links(self, data: bytes, packet: Any, counts: Counts) -> bytes | None:
        """Likewise of a piece that was cut for links, by whose ends those of different packets are told apart."""
        if packet["missing"] > 0:
            return None
        ends, now = tuple(int(packet[name]) for name in LINK_ENDS), int(packet["time"])
        if self._is_copy((ends, data), now):
            packet["status"] = DUPLICATE
            return None
        whole = self._multilink.take(data, ends, now, frames.capture(int(packet["frame"])))
        counts.whole += whole is not None
        return whole

    def _is_copy(self, which: tuple[Any, ...], now: int) -> bool:
        """Whether a fragment is in the capture already: a mirror shows it twice. What is sent again is another datagram."""
        before = self._seen.pop(which, None)
        self._seen[which] = now
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return before is not None and abs(now - before) <= COPIED_WITHIN

    def _add(self, datagram: Reassembly, piece: Fragment) -> None:
        known = datagram.parts.get(piece.offset)
        if known is not None and len(known) >= len(piece.data):
            return  # seen twice
        if len(datagram.parts) >= MOST_PARTS:
            datagram.spoiled = True
            return
        end = piece.offset + len(piece.data)
        if any(begin < end and piece.offset < begin + len(part) for begin, part in datagram.parts.items()):
            datagram.counts.overlapping += 1
            # RFC 5722: with overlapping fragments an IPv6 datagram must be thrown away. In IPv4 the first copy counts.
            datagram.spoiled |= piece.key[0] == 6
        if piece.offset == 0 and datagram.header is None:
            datagram.header = piece.header
        if piece.last and datagram.total is None:
            datagram.total = end
        if known is None:
            datagram.parts[piece.offset] = piece.data
            self._bytes += len(piece.data)
        else:  # a longer one: what it has more
            datagram.parts[piece.offset + len(known)] = piece.data[len(known) :]
            self._bytes += len(piece.data) - len(known)
        datagram.size = _covered(datagram.parts)

    def _forget(self, now: int) -> None:
        """Give up what is too old, and the oldest where there is too much."""
        while self._waiting:
            key, oldest = next(iter(self._waiting.items()))
            full = len(self._waiting) >= MOST_DATAGRAMS or self._bytes > MOST_BYTES
            if not full and now - oldest.began <= PATIENCE:
                return
            del self._waiting[key]
            self._bytes -= sum(map(len, oldest.parts.values()))
            oldest.counts.incomplete += 1


def _piece(data: bytes, packet: Any) -> Fragment | None:
    """The fragment at ``data``, of the protocol that its first four bits show."""
    version = data[0] >> 4
    if version == CAPWAP_VERSION:
        return capwap_piece(data, _outer_ends(packet))
    scope = (int(packet["vlans"]), int(packet["tunnel"]), int(packet["outer_tunnel"]))
    return ipv4_piece(data, scope) if version == 4 else ipv6_piece(data, scope)


def _outer_ends(packet: Any) -> tuple[int, ...]:
    """Between whom a tunnel is: around it if a first fragment was decoded, otherwise where its own ends would be."""
    outer = (int(packet["outer_source"]), int(packet["outer_target"]))
    if any(outer):
        return outer
    return tuple(int(packet[f"{end}_low"]) ^ int(packet[f"{end}_high"]) for end in ("source", "target"))


def _assembled(header: bytes, parts: dict[int, bytes], total: int, version: int) -> bytes | None:
    """A datagram as if it had never been in fragments; None where it would be too long."""
    body = bytearray(total)
    for begin in reversed(parts):  # the first that came is written last
        part = parts[begin][: max(0, total - begin)]
        body[begin : begin + len(part)] = part
    if version in (CAPWAP_VERSION, STT_VERSION):  # their headers say nothing of the length, or that of all
        return header + bytes(body)
    length = len(body) + len(header) - (40 if version == 6 else 0)
    if length > LONGEST:
        return None
    at = 4 if version == 6 else 2
    return header[:at] + length.to_bytes(2, "big") + header[at + 2 :] + bytes(body)


def _covered(parts: dict[int, bytes]) -> int:
    """How many bytes from the beginning have no gap."""
    end = 0
    for begin in sorted(parts):
        if begin > end:
            break
        end = max(end, begin + len(parts[begin]))
    return end
