"""What a capture shows of its network, while it is still being read."""

import struct
from collections.abc import Callable

import pytest

import auditor
from auditor.decode.control import BgpStream, Binding, Control, FirstSeen
from tests import wire

COUNT = 60_000


def packets() -> list[bytes]:
    """As many ARP packets of other hosts as SYNs of other clients, in turn."""
    ethernet = b"\2" * 6 + b"\4" * 6
    frames = []
    for number in range(COUNT):
        arp = struct.pack(">HHBBHHIIIHI", 1, 0x800, 6, 4, 2, 0x0200, number, 0x0A000000 + number, 0, 0, 0x0A000001)
        frames.append(ethernet + b"\x08\x06" + arp)
        ip = struct.pack(">BBHHHBBHII", 0x45, 0, 40, number & 0xFFFF, 0, 64, 6, 0, 0x0B000000 + number, 0x0C000001)
        tcp = struct.pack(">HHIIBBHHH", 1024 + number % 60_000, 443, number, 0, 0x50, 2, 1000, 0, 0)
        frames.append(ethernet + b"\x08\x00" + ip + tcp)
    return frames


def test_flows_are_judged_while_the_network_is_learned(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Thousands of hosts that announce themselves while flows are judged are no error, and no flow is lost."""
    result = audit_bytes(wire.pcap(packets()))
    assert result.manifest["counts"]["flows"] == COUNT


def test_a_snapshot_does_not_grow() -> None:
    """What was copied for the thread that judges stays as it was when the capture shows more."""
    control = Control()
    binding = Binding((0, 1), 2, 0, 0, 0)
    control.bindings[binding] = FirstSeen(1, 1, "ARP", {"ARP"}, {(0, 3)})
    control.bgp[(0, 1), 179, (0, 2), 4000] = BgpStream((0, 1), (0, 2), [(0, b"open", 1)])
    before = control.snapshot()
    control.bindings[binding].partners.add((0, 4))
    control.bindings[Binding((0, 9), 2, 0, 0, 0)] = FirstSeen(2, 2, "ARP")
    control.bgp[(0, 1), 179, (0, 2), 4000].segments.append((4, b"more", 2))
    assert before.bindings == {binding: FirstSeen(1, 1, "ARP", {"ARP"}, {(0, 3)})}
    assert before.bgp[(0, 1), 179, (0, 2), 4000].segments == [(0, b"open", 1)]


@pytest.mark.parametrize(
    ("operation", "mac", "known"),
    [
        (1, "02:00:00:00:00:66", True),
        (2, "02:00:00:00:00:66", True),
        (2, "ff:ff:ff:ff:ff:ff", False),
        (2, "01:00:5e:00:00:05", False),
        (3, "02:00:00:00:00:66", False),
        (9, "02:00:00:00:00:66", False),
    ],
)
def test_who_may_hold_an_address(
    audit_bytes: Callable[..., auditor.Audit], operation: int, mac: str, known: bool
) -> None:
    """ARP's requests and replies show who has an address, if it is one station; what RARP and others say does not."""
    sender = bytes.fromhex(mac.replace(":", ""))
    arp = struct.pack(">HHBBH", 1, 0x800, 6, 4, operation) + sender + bytes([192, 0, 2, 1]) + b"\2" * 6 + bytes(4)
    result = audit_bytes(wire.pcap([b"\2" * 6 + b"\4" * 6 + b"\x08\x06" + arp]))
    assert result.network["mac"].tolist() == [mac] * known
