"""Small builders of packets and capture files for tests."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from scapy.layers.l2 import Ether

CLIENT, SERVER = "10.0.0.1", "192.0.2.10"
ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
TCP, UDP = 6, 17
FLAGS = "FSRPAUEC"  # of TCP, the lowest bit first
MACS = bytes(ETHERNET)[:12]
SECOND = 1_000_000_000

Stamped = tuple[int, bytes]


def pcap(
    packets: Iterable[bytes | Stamped], link: int = 1, order: str = "<", nanoseconds: bool = False, snap: int = 262_144
) -> bytes:
    """A pcap of raw packets, one a millisecond, or at given times (ns). Packets longer than ``snap`` are cut."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    data = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for number, item in enumerate(packets):
        when, packet = item if isinstance(item, tuple) else (1_700_000_000 * SECOND + number * 1_000_000, item)
        fraction = when % SECOND if nanoseconds else when % SECOND // 1000
        data += [
            struct.pack(f"{order}IIII", when // SECOND, fraction, min(len(packet), snap), len(packet)),
            packet[:snap],
        ]
    return b"".join(data)


def blocks_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The blocks of a little-endian pcapng, with their types."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        yield kind, data[at : at + size]
        at += size


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += b"\0" * (-len(body) % 4)
    length = len(body) + 12
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<", snap: int = 0) -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, snap) + options, order)


def enhanced(packet: bytes, ticks: int, which: int = 0, order: str = "<") -> bytes:
    head = struct.pack(f"{order}IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
    return block(6, head + packet + b"\0" * (-len(packet) % 4), order)


def frame(source: str, target: str, protocol: int, segment: bytes) -> bytes:
    """A segment or datagram, whose checksum is still 0, in IP and Ethernet.

    By hand, as thousands of tests need it: scapy takes half a millisecond for each.
    """
    ends = ip_address(source).packed + ip_address(target).packed
    at = 16 if protocol == TCP else 6  # where the checksum is; of UDP none at all is written as 0 (RFC 768)
    total = checksum(ends + struct.pack(">HH", protocol, len(segment)) + segment) or (0xFFFF if protocol == UDP else 0)
    segment = segment[:at] + struct.pack(">H", total) + segment[at + 2 :]
    if ":" in source:
        return MACS + struct.pack(">HIHBB", 0x86DD, 6 << 28, len(segment), protocol, 64) + ends + segment
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol, 0) + ends
    return MACS + b"\x08\0" + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + segment


def checksum(data: bytes) -> int:
    """The complement of the sum in ones' complement (RFC 1071): the remainder of a large number."""
    return -int.from_bytes(data + bytes(len(data) % 2)) % 0xFFFF


class Talk:
    """The packets of a TCP connection, built segment by segment."""

    def __init__(
        self, sport: int = 40_000, dport: int = 443, isn: tuple[int, int] = (1000, 9000), **names: str
    ) -> None:
        self.ends = (names.get("client", CLIENT), names.get("server", SERVER))
        self.ports = (sport, dport)
        self.next = list(isn)
        self.packets: list[bytes] = []

    def send(self, side: int, data: bytes = b"", flags: str = "PA", at: int | None = None) -> bytes:
        """A segment of ``side`` (0 client, 1 server), at its next sequence number or at ``at``."""
        sequence = self.next[side] if at is None else at
        acknowledged = 0 if flags == "S" else self.next[1 - side]
        head = struct.pack(
            ">HHIIBBHHH",
            *(self.ports[side], self.ports[1 - side], sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF),
            *(5 << 4, sum(1 << FLAGS.index(flag) for flag in flags), 8192, 0, 0),
        )
        raw = frame(self.ends[side], self.ends[1 - side], TCP, head + data)
        if at is None:
            self.next[side] += len(data) + (1 if set(flags) & {"S", "F"} else 0)
        self.packets.append(raw)
        return raw

    def open(self) -> "Talk":
        self.send(0, flags="S")
        self.send(1, flags="SA")
        self.send(0, flags="A")
        return self

    def close(self) -> "Talk":
        self.send(0, flags="FA")
        self.send(1, flags="FA")
        self.send(0, flags="A")
        return self

    def play(self, flights: Sequence[tuple[str, bytes]], size: int = 1460) -> "Talk":
        for who, data in flights:
            for at in range(0, len(data), size):
                self.send("cs".index(who), data[at : at + size])
        return self


def datagram(payload: bytes, sport: int = 5000, dport: int = 53, **names: str) -> bytes:
    ends = names.get("client", CLIENT), names.get("server", SERVER)
    return frame(*ends, UDP, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload)


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return struct.pack(">BHH", kind, version, len(body)) + body


def message(kind: int, body: bytes) -> bytes:
    return struct.pack(">B", kind) + len(body).to_bytes(3, "big") + body


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


def client_hello(
    name: str = "pinpoint.us-east-1.amazonaws.com",
    suites: Sequence[int] = (0x1301, 0xC02F),
    version: int = 0x0303,
    extensions: bytes = b"",
    session: bytes = b"",
) -> bytes:
    """A ClientHello message."""
    host = name.encode()
    if host:
        entry = b"\0" + struct.pack(">H", len(host)) + host
        extensions = extension(0, struct.pack(">H", len(entry)) + entry) + extensions
    listed = b"".join(struct.pack(">H", s) for s in suites)
    body = struct.pack(">H", version) + bytes(range(32)) + bytes([len(session)]) + session
    body += struct.pack(">H", len(listed)) + listed + b"\x01\0"
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    return message(1, body)


def server_hello(
    suite: int = 0xC02F, version: int = 0x0303, extensions: bytes = b"", session: bytes = b"", random: bytes = bytes(32)
) -> bytes:
    """A ServerHello message."""
    body = struct.pack(">H", version) + random + bytes([len(session)]) + session + struct.pack(">H", suite) + b"\0"
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    return message(2, body)


def write(folder: Path, data: bytes, name: str = "test.pcap") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def only(frame: Any) -> dict[str, Any]:
    """The one row of a table."""
    assert len(frame) == 1, frame
    row: dict[str, Any] = frame.iloc[0].to_dict()
    return row
