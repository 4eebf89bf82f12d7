"""Clocks are only taken to differ where what is captured decides it."""

from pathlib import Path

import pytest

from auditor.capture.inputs import Input
from auditor.reading.captures import capture_of
from auditor.reading.sources import Source, ordered
from auditor.reading.window import last_time
from tests import cuts, wire

STEP = 700_000  # nanoseconds between packets


def _sent(connections: int = 12) -> list[wire.Stamped]:
    talks = [
        wire.Talk(port, isn=(port, 7 * port)).open().play([("c", b"x" * 50)]).close()
        for port in range(40_000, 40_000 + connections)
    ]
    packets = [packet for talk in talks for packet in talk.packets]
    return [(1_700_000_000 * wire.SECOND + k * STEP, packet) for k, packet in enumerate(packets)]


def _later(packets: list[wire.Stamped], seconds: float, vlan: bytes = b"") -> list[wire.Stamped]:
    return [(time + round(seconds * wire.SECOND), one[:12] + vlan + one[12:]) for time, one in packets]


def _sources(folder: Path, packets: list[wire.Stamped], piece_of: list[int]) -> list[Source]:
    paths = cuts.cut_pcap(wire.pcap(packets, nanoseconds=True), folder, piece_of).paths
    return ordered([Input(str(path), path, size=path.stat().st_size) for path in paths])[0]


@pytest.mark.parametrize("seconds", [0.006, 0.03, 0.149, 30])
@pytest.mark.parametrize("how", ["at the middle", "in three", "three queues", "two queues of two files"])
def test_a_network_that_repeats_itself_has_one_clock(tmp_path: Path, seconds: float, how: str) -> None:
    """All frames come again, and however they are cut no clock is corrected."""
    first = _sent(13)
    packets = sorted([*first, *_later(first, seconds)], key=lambda one: one[0])
    count = len(packets)
    piece_of = {
        "at the middle": [k * 2 // count for k in range(count)],
        "in three": [k * 3 // count for k in range(count)],
        "three queues": [k % 3 for k in range(count)],
        "two queues of two files": [k // 3 % 2 + 2 * (k * 2 // count) for k in range(count)],
    }[how]
    assert [one.counted.offset for one in _sources(tmp_path, packets, piece_of)] == [None] * (max(piece_of) + 1)


@pytest.mark.parametrize(("seconds", "is_known"), [(0.1, False), (0.149, False), (0.2, True), (3_600, True)])
def test_what_comes_again_at_another_place(tmp_path: Path, seconds: float, is_known: bool) -> None:
    """Captures of different times decide nothing where a mirror may be as late as that; it is said, and no time corrected."""
    first = _sent()
    packets = [*first, *_later(first, seconds, b"\x81\0\0\x2a")]
    one, other = _sources(tmp_path, packets, [int(k >= len(first)) for k in range(len(packets))])
    assert one.counted.offset is None
    assert other.counted.offset == (round(seconds * wire.SECOND) if is_known else None)
    said = capture_of(other.item, other.counted).warnings or ""
    assert ("its times stay as they are" in said) == (not is_known)


def test_captures_of_the_same_time_decide(tmp_path: Path) -> None:
    """Of two places that were captured at the same time, packets that are all later in one show its clock."""
    first = _sent(60)
    packets = [*first, *_later(first, 0.1, b"\x81\0\0\x2a")]
    _, other = _sources(tmp_path, packets, [int(k >= len(first)) for k in range(len(packets))])
    assert other.counted.offset == 100_000_000


def test_a_queue_between_two_points_is_no_clock(tmp_path: Path) -> None:
    """Where most packets go one way, and only these are later behind a router, its queue is what they waited in."""
    sent = _sent(60)
    is_client = [packet[26:30] == sent[0][1][26:30] for _, packet in sent]
    first = [
        (time, one if mine else one[6:12] + one[:6] + one[12:])
        for mine, (time, one) in zip(is_client, sent, strict=True)
    ]
    again = _later(first, 0.06, b"\x81\0\0\x2a")
    behind = [
        (time if is_client[k] else time - 60_030_000, one)
        for k, (time, one) in enumerate(again)
        if is_client[k] or k % 5 == 0
    ]
    packets = [*first, *behind]
    found = _sources(tmp_path, packets, [int(k >= len(first)) for k in range(len(packets))])
    assert [one.counted.offset for one in found] == [None, None]


def test_when_a_pcap_ends_most_likely(tmp_path: Path) -> None:
    """Payloads that look like records of a later time do not make a capture end later, where it matters which is likely."""
    record = wire.pcap([(2_000_000_000 * wire.SECOND, b"z" * 20)])[24:]
    packets = [(1_700_000_000 * wire.SECOND + k, wire.datagram(record * 3, 9)) for k in range(20)]
    data = wire.pcap(packets, nanoseconds=True)
    assert last_time(data, data, at_most=False) == packets[-1][0]
    assert (last_time(data, data) or 0) >= 2_000_000_000 * wire.SECOND
