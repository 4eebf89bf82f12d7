"""What a capture shows of the network itself: which addresses, neighbours and announced routes there are.

ARP, Neighbor Discovery, LLDP, ICMP errors and BGP are few among many packets, so this is plain Python beside the
kernels, bounded in what it keeps. `paths` reads it once the capture has ended.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from auditor.decode.packet import (
    BGP,
    DECODED,
    DUPLICATE,
    ENCRYPTED,
    FIN,
    GROUP_ADDRESS,
    ICMP,
    ICMP6,
    NOT_IP,
    OTHER_IP,
    RST,
    TCP,
    V4_MAPPED,
)

Array = np.ndarray[Any, Any]
MOST_PARTNERS = 8  # of an ARP binding: more than the two ends of a transfer network have is enough to know
ARP, LLDP = 0x0806, 0x88CC
ARP_BYTES = 28  # RFC 826, of Ethernet and IPv4
REQUEST, REPLY = 1, 2
# RFC 792, RFC 4443: errors that quote the packet they are about.
V4_ERRORS = {3: "unreachable", 5: "redirect", 11: "time exceeded"}
V6_ERRORS = {1: "unreachable", 2: "packet too big", 3: "time exceeded"}
FRAGMENTATION_NEEDED = 4
MULTICAST = 0xFF  # RFC 4291 2.7
LINK_LOCAL = 0xFE80 >> 6  # the first ten bits of fe80::/10
V6_NOTED = [*V6_ERRORS, 133, 134, 135, 136]  # with Neighbor Discovery

Address = tuple[int, int]  # halves of a 128-bit number, IPv4 as ::ffff:a.b.c.d


class Binding(NamedTuple):
    """An address that a MAC claims, on a wire, or inside a tunnel (0 for none)."""

    address: Address
    mac: int
    vlans: int
    interface: int
    tunnel: int = 0


@dataclass
class FirstSeen:
    """When a binding was first seen, in which frame, and by which protocol; and what tells how far to trust it."""

    frame: int
    time: int
    by: str
    protocols: set[str] = field(default_factory=set)
    partners: set[Address] = field(default_factory=set)  # those that ARP packets gave it to, up to MOST_PARTNERS


class IcmpError(NamedTuple):
    """An error that a host or router reports of a packet between two addresses; ``mtu`` is 0 where it names none."""

    kind: str
    reporter: Address
    source: Address
    target: Address
    mtu: int
    frame: int
    time: int


class Neighbour(NamedTuple):
    """What an LLDP frame says of its sender (IEEE 802.1AB)."""

    mac: int
    system: str
    port: str
    vlans: int
    interface: int


@dataclass
class BgpStream:
    """One direction of a TCP connection to or from port 179: its segments as they came, and when it was closed."""

    source: Address
    target: Address
    segments: list[tuple[int, bytes, int]] = field(default_factory=list)  # sequence number, bytes, time
    frame: int = 0
    time: int = 0
    closed: int | None = None  # time of the first FIN or RST
    macs: set[tuple[int, int]] = field(default_factory=set)  # (source, target) of its frames, up to MOST_PARTNERS


@dataclass
class Encrypted:
    """Frames of MACsec from one MAC to another: the first of them, when it came, and how many there are."""

    frame: int
    time: int
    count: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class FactLimits:
    """How many facts of each kind are kept of one capture. Those seen first go where there are more."""

    bindings: int = 1 << 18
    errors: int = 1 << 16
    neighbours: int = 1 << 14
    pairs: int = 1 << 16  # of MACs that speak MACsec
    bgp: int = 64 << 20  # bytes of segments, each with what it takes besides

    @classmethod
    def within(cls, size: int) -> "FactLimits":
        """What fits into ``size`` bytes, with the tables that are made of it."""
        return cls(
            bindings=min(cls.bindings, size * 40 // 100 // BINDING),
            errors=min(cls.errors, size * 15 // 100 // ERROR),
            neighbours=min(cls.neighbours, size * 15 // 100 // NEIGHBOUR),
            pairs=min(cls.pairs, size * 5 // 100 // PAIR),
            bgp=min(cls.bgp, size * 25 // 100),
        )


# Bytes that a fact takes as Python has it, copied once, and as a row of a table. Texts of LLDP have up to 511 bytes each.
BINDING, ERROR, NEIGHBOUR, PAIR, SEGMENT = 2_400, 1_600, 4_800, 800, 400


@dataclass
class Control:
    """What was learned from captures that are read as one."""

    most: FactLimits = field(default_factory=FactLimits)
    bindings: OrderedDict[Binding, FirstSeen] = field(default_factory=OrderedDict)
    errors: deque[IcmpError] = field(default_factory=deque)
    neighbours: OrderedDict[Neighbour, int] = field(default_factory=OrderedDict)  # with the first frame
    bgp: OrderedDict[tuple[Address, int, Address, int], BgpStream] = field(default_factory=OrderedDict)
    macsec: dict[tuple[int, int], Encrypted] = field(default_factory=dict)  # by (source, target) MAC
    left_out: Counter[str] = field(default_factory=Counter)  # how many facts of each kind were let go
    captures: list[str] = field(default_factory=list)  # their names, by the numbers that frames have
    _bgp_bytes: int = 0

    def snapshot(self) -> "Control":
        """What was learned so far, for another thread: this one goes on growing.

        Each container is copied at once, which no other thread can interrupt; then what it holds.
        """
        return Control(
            bindings=OrderedDict(
                (binding, replace(seen, protocols=set(seen.protocols), partners=set(seen.partners)))
                for binding, seen in self.bindings.copy().items()
            ),
            errors=self.errors.copy(),
            neighbours=self.neighbours.copy(),
            bgp=OrderedDict(
                (key, replace(stream, segments=stream.segments.copy(), macs=stream.macs.copy()))
                for key, stream in self.bgp.copy().items()
            ),
            macsec={pair: replace(seen) for pair, seen in self.macsec.copy().items()},
            left_out=self.left_out.copy(),
            captures=self.captures,
        )

    def go_on(self, known: "Control") -> None:
        """Know what another one has learned, and learn on."""
        self.bindings, self.errors, self.neighbours = known.bindings, known.errors, known.neighbours
        self.bgp, self.macsec, self.left_out = known.bgp, known.macsec, known.left_out
        for stream in self.bgp.values():
            self.bound_bgp(2 * SEGMENT + sum(SEGMENT + len(data) for _, data, _ in stream.segments))

    def take(self, block: Array, packets: Array) -> None:
        """Look at the packets of a block (PACKET records whose bytes lie in ``block``), in their order whatever they are."""
        status, protocol = packets["status"], packets["protocol"]
        noted: dict[int, Callable[[Array, Any], None]] = {}
        below_ip = np.flatnonzero(status == NOT_IP)
        if len(below_ip):
            at = packets["position"][below_ip]
            named = (at >= 2) & (at < len(block))
            below_ip, at = below_ip[named], at[named]
            kind = block[at - 2].astype(np.int64) << 8 | block[at - 1]
            noted |= dict.fromkeys(_claims(block, packets, below_ip[kind == ARP]), self._arp)
            noted |= dict.fromkeys(below_ip[kind == LLDP].tolist(), self._lldp)
        icmp = np.flatnonzero((status == OTHER_IP) & ((protocol == ICMP) | (protocol == ICMP6)))
        if len(icmp):  # echoes are many, and say nothing
            kind = block[np.minimum(packets["position"][icmp], len(block) - 1)]
            told = np.where(protocol[icmp] == ICMP, np.isin(kind, list(V4_ERRORS)), np.isin(kind, V6_NOTED))
            noted |= dict.fromkeys(icmp[told].tolist(), self._icmp)
        self._encrypted(packets[status == ENCRYPTED])
        whole = (status == DECODED) | (status == DUPLICATE)
        ports = (packets["source_port"] == BGP) | (packets["target_port"] == BGP)
        noted |= dict.fromkeys(np.flatnonzero(whole & (protocol == TCP) & ports).tolist(), self._bgp)
        for number in sorted(noted):
            noted[number](block, packets[number])

    def _encrypted(self, packets: Array) -> None:
        columns = (packets[name].tolist() for name in ("source_mac", "target_mac", "frame", "time"))
        for source, target, frame, time in zip(*columns, strict=True):
            seen = self.macsec.get((source, target))
            if seen is None and len(self.macsec) >= self.most.pairs:
                self.left_out["pairs of MACsec"] += 1
                continue
            if seen is None:
                seen = self.macsec[source, target] = Encrypted(frame, time)
            seen.count += 1

    def _bind(self, address: Address, mac: int, packet: Any, by: str, partner: Address | None = None) -> None:
        # RFC 1812 3.3.2: who believes that a group address is somebody's is easily deceived. What comes behind labels or
        # in PPPoE is of a neighbour elsewhere.
        if not mac or mac & GROUP_ADDRESS or address[1] in (0, V4_MAPPED) or packet["shims"]:
            return
        key = Binding(address, mac, int(packet["vlans"]), int(packet["interface"]), int(packet["tunnel"]))
        seen = self.bindings.get(key)
        if seen is None:
            if len(self.bindings) >= self.most.bindings:
                self.bindings.popitem(last=False)
                self.left_out["addresses"] += 1
            seen = self.bindings[key] = FirstSeen(int(packet["frame"]), int(packet["time"]), by)
        seen.protocols.add(by)
        if partner is not None and len(seen.partners) < MOST_PARTNERS:
            seen.partners.add(partner)

    def _arp(self, block: Array, packet: Any) -> None:
        at = int(packet["position"])
        claim, partner = block[at + 8 : at + 18].tobytes(), block[at + 24 : at + ARP_BYTES].tobytes()
        address = (0, V4_MAPPED | int.from_bytes(claim[6:], "big"))
        whom = (0, V4_MAPPED | int.from_bytes(partner, "big"))
        self._bind(address, int.from_bytes(claim[:6], "big"), packet, "ARP", whom)

    def _lldp(self, block: Array, packet: Any) -> None:
        at, end = int(packet["position"]), int(packet["end"])
        texts = {1: "", 2: "", 5: ""}  # chassis, port, system name
        while at + 2 <= end:
            head = int(block[at]) << 8 | int(block[at + 1])
            kind, length = head >> 9, head & 0x1FF
            value = block[at + 2 : min(at + 2 + length, end)].tobytes()
            if kind == 0:
                break
            if kind in (1, 2):
                is_text = (
                    value[:1] in (b"\x05", b"\x06", b"\x07", b"\x01") if kind == 2 else value[:1] in (b"\x06", b"\x07")
                )
                texts[kind] = value[1:].decode("utf-8", "replace") if is_text else value[1:].hex(":")
            elif kind == 5:
                texts[5] = value.decode("utf-8", "replace")
            at += 2 + length
        neighbour = Neighbour(
            int(packet["source_mac"]), texts[5] or texts[1], texts[2], int(packet["vlans"]), int(packet["interface"])
        )
        self.neighbours.setdefault(neighbour, int(packet["frame"]))
        if len(self.neighbours) > self.most.neighbours:
            self.neighbours.popitem(last=False)
            self.left_out["neighbours"] += 1

    def _icmp(self, block: Array, packet: Any) -> None:
        at, end = int(packet["position"]), int(packet["end"])
        data = block[at : min(end, at + 128)].tobytes()
        if len(data) < 8:
            return
        source = int(packet["source_high"]), int(packet["source_low"])
        if packet["protocol"] == ICMP6 and 133 <= data[0] <= 136:
            self._neighbour_discovery(data, source, packet)
            return
        if packet["protocol"] == ICMP:
            kind, inner = V4_ERRORS.get(data[0]), data[8:28]
            if kind is None or len(inner) < 20 or inner[0] >> 4 != 4:
                return
            mtu = int.from_bytes(data[6:8], "big") if (data[0], data[1]) == (3, FRAGMENTATION_NEEDED) else 0
            if mtu:
                kind = "packet too big"
            ends = [(0, V4_MAPPED | int.from_bytes(inner[k : k + 4], "big")) for k in (12, 16)]
        else:
            kind, inner = V6_ERRORS.get(data[0]), data[8:48]
            if kind is None or len(inner) < 40:
                return
            mtu = int.from_bytes(data[4:8], "big") if data[0] == 2 else 0
            ends = [
                (int.from_bytes(inner[k : k + 8], "big"), int.from_bytes(inner[k + 8 : k + 16], "big")) for k in (8, 24)
            ]
        if len(self.errors) >= self.most.errors:
            self.errors.popleft()
            self.left_out["ICMP errors"] += 1
        self.errors.append(IcmpError(kind, source, ends[0], ends[1], mtu, int(packet["frame"]), int(packet["time"])))

    def _neighbour_discovery(self, data: bytes, source: Address, packet: Any) -> None:
        """RFC 4861: a solicitation or router advertisement binds its sender, an advertisement the target.

        Who is asked for, and who is answered alone, is the other end, as ARP names it.
        """
        if packet["ttl"] != 255:  # RFC 4861 7.1: anything else was not sent on this link
            return
        if data[0] == 134 and source[0] >> 54 != LINK_LOCAL:  # RFC 4861 6.1.2: such an advertisement is discarded
            return
        start = {133: 8, 134: 16, 135: 24, 136: 24}[data[0]]
        address = source
        if data[0] == 136 and len(data) >= 24:
            address = int.from_bytes(data[8:16], "big"), int.from_bytes(data[16:24], "big")
        mac = int(packet["source_mac"]) if data[0] == 136 else 0
        while start + 8 <= len(data) and data[start + 1]:
            if data[start] == (2 if data[0] == 136 else 1) and data[start + 1] == 1:
                mac = int.from_bytes(data[start + 2 : start + 8], "big")
            start += 8 * data[start + 1]
        self._bind(address, mac, packet, "ND", _asked_or_answered(data, packet))

    def _bgp(self, block: Array, packet: Any) -> None:
        source = int(packet["source_high"]), int(packet["source_low"])
        target = int(packet["target_high"]), int(packet["target_low"])
        if packet["ttl"] in (1, 255):  # a peer on this wire: eBGP's default, or RFC 5082
            self._bind(source, int(packet["source_mac"]), packet, "BGP")
        if packet["tunnel"] != 0:  # anybody can put a session into a tunnel
            return
        begin, length = int(packet["payload"]), int(packet["payload_captured"])
        flags, time = int(packet["tcp_flags"]), int(packet["time"])
        key = (source, int(packet["source_port"]), target, int(packet["target_port"]))
        stream = self.bgp.get(key)
        if stream is not None and flags & (FIN | RST) and (stream.closed is None or time < stream.closed):
            stream.closed = time
        if length <= 0:
            if stream is None and flags & (FIN | RST):
                self.bgp[key] = BgpStream(source, target, frame=int(packet["frame"]), time=time, closed=time)
                self.bound_bgp(2 * SEGMENT)
            return
        if stream is None:
            stream = self.bgp[key] = BgpStream(source, target, frame=int(packet["frame"]), time=time)
            self.bound_bgp(2 * SEGMENT)
        if len(stream.macs) < MOST_PARTNERS:
            stream.macs.add((int(packet["source_mac"]), int(packet["target_mac"])))
        stream.segments.append((int(packet["sequence"]), block[begin : begin + length].tobytes(), time))
        self.bound_bgp(SEGMENT + length)

    def bound_bgp(self, added: int) -> None:
        """Let go of the directions that were seen first, as a whole: nothing may be announced that was then withdrawn."""
        self._bgp_bytes += added
        while self._bgp_bytes > self.most.bgp and self.bgp:
            _, gone = self.bgp.popitem(last=False)
            self._bgp_bytes -= 2 * SEGMENT + sum(SEGMENT + len(data) for _, data, _ in gone.segments)
            self.left_out["directions of BGP"] += 1


def _claims(block: Array, packets: Array, at: Array) -> list[int]:
    """Which packets of ARP claim an address. The same few are announced again and again: each of a block is named once."""
    at = at[packets["position"][at] + ARP_BYTES <= packets["end"][at]]
    if not len(at):
        return []
    rows = block[packets["position"][at][:, None] + np.arange(ARP_BYTES)]
    good = (rows[:, :7] == np.array([0, 1, 8, 0, 6, 4, 0], np.uint8)).all(axis=1)
    good &= (rows[:, 7] == REQUEST) | (rows[:, 7] == REPLY)  # others are of other protocols (RFC 903, RFC 2390)
    rows, at = rows[good], at[good]
    scope = np.stack([packets[name][at].astype(np.int64) for name in ("vlans", "interface", "tunnel")], axis=1)
    claims = np.concatenate([rows[:, 8:18], rows[:, 24:28], scope.view(np.uint8).reshape(len(rows), 24)], axis=1)
    return [int(at[first]) for first in np.unique(claims, axis=0, return_index=True)[1]]


def _asked_or_answered(data: bytes, packet: Any) -> Address | None:
    """Whom a solicitation asks for, or an advertisement answers: None for all, or by an address that any wire has."""
    other = int(packet["target_high"]), int(packet["target_low"])
    if data[0] == 135 and len(data) >= 24:
        other = int.from_bytes(data[8:16], "big"), int.from_bytes(data[16:24], "big")
    is_one = data[0] in (135, 136) and other[0] >> 56 != MULTICAST and other[0] >> 54 != LINK_LOCAL
    return other if is_one else None
