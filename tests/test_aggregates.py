"""Frames of 802.11 aggregates (A-MSDU): each is a packet of its flow, however stations put them together."""

import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import auditor
from tests import carriers, wire

Run = Callable[..., Any]
SNAP = b"\xaa\xaa\3\0\0\0"
OUTER = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IP(src="172.31.0.1", dst="172.31.0.2")
AROUND: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "plain": (105, lambda frame: frame),
    "radiotap": (127, lambda frame: struct.pack("<BBHI", 0, 0, 8, 0) + frame),
    "ppi": (192, lambda frame: struct.pack("<BBHI", 0, 0, 8, 105) + frame),
    "tzsp": (1, lambda frame: bytes(OUTER / UDP(sport=50_000, dport=37008) / Raw(b"\1\0\0\x12\1" + frame))),
}


def frames(version: int = 4) -> list[bytes]:
    ends = ("10.0.0.1", "192.0.2.10") if version == 4 else ("2001:db8::1", "2001:db8::10")
    return wire.Talk(client=ends[0], server=ends[1]).open().play(carriers.handshake()).close().packets


def together(some: Sequence[bytes], sender: bytes = b"\2\0\0\0\0\5", behind: bytes = b"") -> bytes:
    """One 802.11 frame with these Ethernet frames."""
    parts = []
    for frame in some:
        body = SNAP + frame[12:]
        parts.append(frame[:12] + struct.pack(">H", len(body)) + body)
    padded = [part.ljust((len(part) + 3) // 4 * 4, b"\0") for part in parts[:-1]]
    header = b"\x88\1\0\0" + sender + some[0][6:12] + some[0][:6] + b"\0\0\x80\0"
    return header + b"".join([*padded, parts[-1]]) + behind


def parted(every: list[bytes], size: int) -> list[list[bytes]]:
    return [every[at : at + size] for at in range(0, len(every), size)]


def check(result: Any, packets: int, frames_of: tuple[int, int] = (8, 6)) -> dict[str, Any]:
    """One whole handshake in one flow of so many packets, in a capture of so many."""
    row, flow, capture = wire.only(result.handshakes), wire.only(result.flows), wire.only(result.captures)
    assert (row["status"], row["server_name"], row["hello_repeats"]) == ("complete", carriers.NAME, 0)
    assert (flow["client_packets"], flow["server_packets"]) == frames_of
    assert (capture["packets"], capture["malformed"], capture["not_ip"]) == (packets, 0, 0)
    return flow


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1, 2, 3, 14])
def test_every_frame_counts(audit_bytes: Run, name: str, version: int, size: int) -> None:
    """Under each link type, whatever the number of frames put together: a packet of the flow each, no byte counted twice."""
    link, around = AROUND[name]
    packets = [around(together(some, behind=b"\1\2\3\4")) for some in parted(frames(version), size)]
    flow = check(audit_bytes(wire.pcap(packets, link=link)), len(packets))
    assert flow["client_bytes"] + flow["server_bytes"] == sum(map(len, packets))
    assert (flow["tunnel"] == "tzsp") == (name == "tzsp")


def test_a_retry_is_a_copy(audit_bytes: Run) -> None:
    """An aggregate that is seen twice, or that the access point passes on in others, holds the same packets."""
    every = frames()
    again = [together(some) for some in parted(every, 3) for _ in range(2)]
    assert wire.only(audit_bytes(wire.pcap(again, link=105)).captures)["duplicates"] == len(every)
    check(audit_bytes(wire.pcap(again, link=105)), len(again))
    both = [together(some) for some in parted(every, 3)] + [
        together(some, b"\2\0\0\0\0\6") for some in parted(every, 2)
    ]
    check(audit_bytes(wire.pcap([(1_700_000_000 * wire.SECOND, packet) for packet in both], link=105)), len(both))


@pytest.mark.parametrize("seed", range(8))
def test_any_grouping(audit_bytes: Run, seed: int) -> None:
    """Packets of several connections in aggregates of any sizes, with frames without IP between: all flows are whole."""
    chance = random.Random(seed)
    talks = [wire.Talk(sport=40_000 + n).open().play(carriers.handshake()).close().packets for n in range(3)]
    order = [n for n, talk in enumerate(talks) for _ in talk]
    chance.shuffle(order)
    every = [talks[n].pop(0) for n in order]
    groups = []
    while every:
        some, every = every[: (size := chance.randint(1, 6))], every[size:]
        if chance.random() < 0.5:
            some.insert(chance.randint(0, len(some)), some[0][:12] + b"\x08\x06" + bytes(46))
        groups.append(together(some))
    result = audit_bytes(wire.pcap(groups, link=105))
    assert result.handshakes["status"].tolist() == ["complete"] * 3
    assert (result.flows["client_packets"] + result.flows["server_packets"]).tolist() == [14] * 3


def test_cut_anywhere(tmp_path: Path) -> None:
    """An aggregate that was captured in part shows the frames that are there, and nothing is invented."""
    whole = together(frames()[:6])
    cut = [wire.pcap([whole], link=105, snap=snap) for snap in range(1, len(whole), 7)]
    files = [wire.write(tmp_path, data, f"{number}.pcap") for number, data in enumerate(cut)]
    result = auditor.audit(files, apart=True)
    assert result.captures["packets"].tolist() == [1] * len(files)
    assert not result.flows["capture"].duplicated().any()


def test_damaged_aggregates(tmp_path: Path) -> None:
    """An aggregate of which more and more bytes are wrong is a packet all the same."""
    damaged = bytearray(together(frames()[:6]))
    files = []
    for at in range(26, len(damaged), 5):
        damaged[at] ^= 0xFF
        files.append(wire.write(tmp_path, wire.pcap([bytes(damaged)], link=105), f"{at}.pcap"))
    assert auditor.audit(files, apart=True).captures["packets"].tolist() == [1] * len(files)


def test_more_frames_than_a_block_has_room_for(audit_bytes: Run) -> None:
    """Aggregates of small frames only: none of them is left out."""
    small = [wire.datagram(b"", 5000 + n, 9) for n in range(40)]
    row = wire.only(audit_bytes(wire.pcap([together(small)] * 1000, link=105)).captures)
    assert (row["packets"], row["flows"], row["warnings"]) == (1000, 40, None)


def test_evidence_has_each_frame_once(tmp_path: Path) -> None:
    """A flow's packets are extracted as the frames that they lie in, each once and whole."""
    packets = [together(some) for some in parted(frames(), 4)]
    result = auditor.audit(wire.write(tmp_path, wire.pcap(packets, link=105)))
    found = result.packets(wire.only(result.flows)["flow_id"])
    assert [bytes(packet.original) for packet in found] == packets
    assert [packet.wirelen for packet in found] == list(map(len, packets))


def cable(frame: bytes, extended: bytes = b"") -> bytes:
    """A frame of a cable modem: control, length, perhaps an extended header, a checksum."""
    head = bytes([1, len(extended)]) if extended else b"\0\0"
    return head + struct.pack(">H", len(extended) + len(frame)) + extended + b"\x12\x34" + frame


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1, 2, 3, 14])
@pytest.mark.parametrize("extended", [b"", b"\x44\x11\0\7\0"])
def test_frames_that_a_cable_modem_put_together(audit_bytes: Run, version: int, size: int, extended: bytes) -> None:
    """Each frame is a packet of its flow, and no byte is counted twice."""
    packets = []
    for some in parted(frames(version), size):
        inside = b"".join(cable(frame, extended) for frame in some)
        packets.append(b"\xf8" + bytes([len(some)]) + struct.pack(">H", len(inside) & 0xFFFF) + b"\x56\x78" + inside)
    flow = check(audit_bytes(wire.pcap(packets, link=143)), len(packets))
    assert flow["client_bytes"] + flow["server_bytes"] == sum(map(len, packets))


def test_damaged_frames_of_a_cable_modem(audit_bytes: Run) -> None:
    """Lengths that nobody sent raise nothing, and end."""
    chance = random.Random(5)
    inside = b"".join(cable(frame) for frame in frames()[:5])
    packets = []
    for _ in range(200):
        packet = bytearray(b"\xf8\5" + struct.pack(">H", len(inside)) + b"\x56\x78" + inside)
        for _ in range(chance.randrange(1, 6)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        packets.append(bytes(packet[: chance.randrange(7, len(packet))]))
    assert wire.only(audit_bytes(wire.pcap(packets, link=143)).captures)["packets"] == 200


def rndis(some: Sequence[bytes]) -> bytes:
    """Messages of RNDIS with a frame each, one behind the other ([MS-RNDIS] 2.2.14)."""
    sizes = [(len(frame), len(frame) + 44 + -len(frame) % 4) for frame in some]
    heads = [struct.pack("<IIII28x", 1, whole, 36, size) for size, whole in sizes]
    return b"".join(head + frame + bytes(-len(frame) % 4) for head, frame in zip(heads, some, strict=True))


def ncm(some: Sequence[bytes]) -> bytes:
    """A block of the network control model (3.2): its header, frames, and the table of pointers at the end."""
    body, pointers = b"", b""
    for frame in some:
        body += bytes(-len(body) % 4)
        pointers += struct.pack("<HH", 12 + len(body), len(frame))
        body += frame
    body += bytes(-len(body) % 4)
    table = b"NCM0" + struct.pack("<HH", 12 + len(pointers), 0) + pointers + bytes(4)
    return b"NCMH" + struct.pack("<HHHH", 12, 1, 12 + len(body) + len(table), 12 + len(body)) + body + table


def transfer(data: bytes, link: int, kind: int = 3) -> bytes:
    """A transfer over USB, as Linux (189, with memory mapped 220) or USBPcap (249) has it; bulk is of kind 3."""
    if link == 249:
        return struct.pack("<H20xBI", 27, kind, len(data)) + data
    return struct.pack("<8xBB22xII8x", 0x53, kind, len(data), len(data)) + bytes(16 if link == 220 else 0) + data


@pytest.mark.parametrize("link", [189, 220, 249])
@pytest.mark.parametrize("form", [rndis, ncm])
@pytest.mark.parametrize("size", [1, 3, 14])
def test_frames_of_a_transfer_over_usb(
    audit_bytes: Run, link: int, form: Callable[[Sequence[bytes]], bytes], size: int
) -> None:
    """Each frame that a telephone put into one transfer is a packet of its flow, and no byte is counted twice."""
    packets = [transfer(form(some), link) for some in parted(frames(), size)]
    flow = check(audit_bytes(wire.pcap(packets, link=link)), len(packets))
    assert flow["client_bytes"] + flow["server_bytes"] == sum(map(len, packets))


def test_other_transfers_over_usb(audit_bytes: Run) -> None:
    """What disks, keyboards and control messages transfer is counted and is no flow; damaged lengths raise nothing."""
    chance = random.Random(6)
    packets = [transfer(bytes(range(256)), 220), transfer(frames()[3], 220, kind=2), transfer(b"", 220)]
    for form in (rndis, ncm):
        whole = transfer(form(frames()[:5]), 220)
        for _ in range(100):
            packet = bytearray(whole)
            for _ in range(chance.randrange(1, 6)):
                packet[chance.randrange(64, 130)] = chance.randrange(256)
            packets.append(bytes(packet[: chance.randrange(60, len(packet))]))
    result = audit_bytes(wire.pcap(packets, link=220))
    assert wire.only(result.captures)["packets"] == len(packets)
    assert wire.only(audit_bytes(wire.pcap(packets[:3], link=220)).captures)["not_ip"] == 3
