"""Packets that PPP or frame relay cut into pieces for several links: the handshake inside is read to its end."""

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from auditor.decode.multilink import Multilink
from tests import carriers, wire

Run = Callable[..., Any]
ENDS_OF = {4: (wire.CLIENT, wire.SERVER), 6: ("2001:db8::1", "2001:db8::10")}
MACS = bytes.fromhex("02000000000a02000000000b")


def packets(version: int = 4) -> list[bytes]:
    """The IP packets of a connection."""
    client, server = ENDS_OF[version]
    return [
        one[14:] for one in wire.Talk(client=client, server=server).open().play(carriers.handshake()).close().packets
    ]


def ppp(packet: bytes, *, compressed: bool = False) -> bytes:
    protocol = b"\x21" if packet[0] >> 4 == 4 else b"\x57"
    return protocol + packet if compressed else b"\0" + protocol + packet


def cut(packet: bytes, parts: int) -> list[tuple[int, bytes]]:
    """A packet in pieces, with the flags of each."""
    size = -(-len(packet) // parts)
    pieces = [packet[at : at + size] for at in range(0, len(packet), size)]
    return [((k == 0) << 7 | (k == len(pieces) - 1) << 6, piece) for k, piece in enumerate(pieces)]


def bundle(whole: list[bytes], parts: int, *, short: bool, first: int = 0) -> list[bytes]:
    """Frames of PPP with the pieces of packets."""
    frames, number = [], first
    for packet in whole:
        for flags, piece in cut(packet, parts):
            head = (
                struct.pack(">H", flags << 8 | number & 0xFFF)
                if short
                else struct.pack(">I", flags << 24 | number & 0xFFFFFF)
            )
            frames.append(b"\xff\3\0\x3d" + head + piece)
            number += 1
    return frames


def check(result: Any, whole: int) -> None:
    """One handshake, whole, in one flow; so many packets were put together."""
    row, flow, capture = wire.only(result.handshakes), wire.only(result.flows), wire.only(result.captures)
    assert (row["status"], row["server_name"], row["established"]) == ("complete", carriers.NAME, True)
    assert (flow["protocol"], capture["reassembled"], capture["incomplete"], capture["not_ip"]) == ("tls", whole, 0, 0)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("parts", [2, 5])
@pytest.mark.parametrize("order", ["sent", "turned", "copied"])
@pytest.mark.parametrize("version", [4, 6])
def test_pieces_of_ppp(audit_bytes: Run, short: bool, parts: int, order: str, version: int) -> None:
    """However long the numbers are, and whichever link was faster, packets are put together; a copy of a piece is none."""
    whole = packets(version)
    frames = bundle([ppp(one, compressed=parts == 5) for one in whole], parts, short=short, first=4090)
    if order == "turned":
        frames = [one for at in range(0, len(frames), parts) for one in reversed(frames[at : at + parts])]
    elif order == "copied":
        frames = [one for one in frames for _ in range(2)]
    check(audit_bytes(wire.pcap(frames, link=9)), len(whole))


def test_pieces_over_two_sessions(audit_bytes: Run) -> None:
    """The links of a bundle may be sessions of PPPoE."""
    whole = packets()
    frames = [
        MACS + b"\x88\x64\x11\0" + struct.pack(">HH", 1 + k % 2, len(one) - 2) + one[2:]
        for k, one in enumerate(bundle([ppp(one) for one in whole], 2, short=False))
    ]
    check(audit_bytes(wire.pcap(frames)), len(whole))


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("header", [b"\x18\x41\3\xcc", b"\x18\x40\x40\x41\3\xcc", b"\x18\x41\x08\0"])
def test_pieces_of_a_bundle_of_frame_relay(audit_bytes: Run, header: bytes, parts: int) -> None:
    """FRF.16 cuts frames for several links, the frame's address with them, which may have four bytes."""
    whole, frames, number = packets(), [], 4090
    for packet in whole:
        for flags, piece in cut(header + packet, parts):
            frames.append(bytes([flags | number >> 7 & 0x1E, number & 0xFF]) + piece)
            number += 1
    frames[:4] = frames[3::-1]
    check(audit_bytes(wire.pcap(frames, link=182)), len(whole))


@pytest.mark.parametrize("parts", [1, 3])
def test_pieces_of_frame_relay(audit_bytes: Run, parts: int) -> None:
    """FRF.12 cuts frames for slow links, behind a protocol of its own."""
    whole, frames, number = packets(), [], 0
    for packet in whole:
        for flags, piece in cut(b"\3\xcc" + packet, parts):
            frames.append(b"\x18\x41\3\xb1" + bytes([flags | number >> 7 & 0x1E, number & 0xFF]) + piece)
            number += 1
    check(audit_bytes(wire.pcap(frames, link=107)), len(whole))


def test_a_piece_that_never_comes(audit_bytes: Run) -> None:
    """The packet that lacks one is counted, and the others are read."""
    whole = packets()
    frames = bundle([ppp(one) for one in whole], 2, short=True)
    del frames[-1]
    capture = wire.only(audit_bytes(wire.pcap(frames, link=9)).captures)
    assert (capture["reassembled"], capture["incomplete"]) == (len(whole) - 1, 1)


def test_what_waits_is_bounded_and_goes_on() -> None:
    """Pieces of which nothing comes are given up; what waits at a border is waited for behind it."""
    draw = random.Random(4)
    one = Multilink()
    for number in range(20_000):
        piece = bytes([0x3D, 0, *number.to_bytes(3, "big")]) + draw.randbytes(40)
        assert one.take(piece, (1, 2, 3, 4), number, 0) is None
    assert len(one.waiting()) <= 2 * 4096
    other = Multilink()
    begin, end = b"\x3d\x80\0\0\1\0\x21abc", b"\x3d\x40\0\0\2def"
    assert other.take(begin, (1, 2, 3, 4), 5, 0) is None
    again = Multilink()
    again.go_on(other.waiting())
    assert again.take(end, (1, 2, 3, 4), 6, 0) == b"abcdef"
    assert again.ended() == []
