"""Packets of a capture come in the order of time, however they lie in it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.audit.start import audit_files
from auditor.capture.inputs import Input
from auditor.decode import frames
from auditor.errors import OutOfOrderError
from auditor.options import Options
from auditor.reading import time_order
from auditor.reading.merging import Merging
from auditor.reading.sources import ordered
from tests import wire

Order = Callable[[list[int]], list[int]]
BLOCK = 64 << 10
COUNT = 1_200  # packets of 400 bytes: some eight blocks
ORDERS: dict[str, Order] = {
    "in order": list,
    "a little apart": lambda all_: sorted(all_, key=lambda k: k + random.Random(k).randrange(40)),
    "two halves": lambda all_: all_[COUNT // 2 :] + all_[: COUNT // 2],
    "four queues behind each other": lambda all_: [k for queue in range(4) for k in all_[queue::4]],
    "the last one first": lambda all_: all_[-1:] + all_[:-1],
    "the first one last": lambda all_: all_[1:] + all_[:1],
    "backwards in parts": lambda all_: [k for begin in range(COUNT - 300, -1, -300) for k in all_[begin : begin + 300]],
}


def _packets() -> list[wire.Stamped]:
    """Some of them have equal times."""
    return [
        (wire.SECOND * 1_700_000_000 + k // 3 * 1_000_000, wire.datagram(bytes([k % 251]) * 350, 7_000))
        for k in range(COUNT)
    ]


def _read(
    paths: list[Path], *, is_unsorted: bool, is_strict: bool = False
) -> tuple[list[tuple[int, int, int, bytes]], Any]:
    """Time, capture, frame and bytes of packets as they are handed on, and the captures."""
    inputs = [Input(str(path), path, size=path.stat().st_size, is_unsorted=is_unsorted) for path in paths]
    sources, tallies = ordered(inputs, is_strict=is_strict)
    found = []
    for block in Merging(sources, tallies, block_bytes=BLOCK):
        columns = [
            block.packets[name][: block.count].tolist() for name in ("time", "frame", "begin", "captured", "end")
        ]
        for time, frame, begin, size, end in zip(*columns, strict=True):
            assert end == begin + size
            data = block.buffer[begin:end].tobytes()
            found.append((time, frames.capture(frame), frames.number(frame), data))
    return found, sources


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("most_sorted", [0, 32 << 20])
def test_packets_come_in_the_order_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most_sorted: int
) -> None:
    """Each packet comes once, those of equal times as they lie in the capture, also where it is read as several runs."""
    monkeypatch.setattr(time_order, "LOOKED_AT", BLOCK // 2)
    monkeypatch.setattr(time_order, "MOST_SORTED", most_sorted)
    packets, order = _packets(), ORDERS[name](list(range(COUNT)))
    path = wire.write(tmp_path, wire.pcap([packets[k] for k in order]))
    found, (source,) = _read([path], is_unsorted=True)
    expected = sorted(
        ((packets[k][0], 0, frame, packets[k][1]) for frame, k in enumerate(order, 1)), key=lambda one: one[:3]
    )
    assert found == expected
    assert source.counted.late == 0
    assert bool(source.counted.steps.count) == (name != "in order")
    assert len(source.runs) <= (12 if most_sorted == 0 else 1)


@pytest.mark.parametrize("name", ["two halves", "backwards in parts"])
def test_captures_of_which_one_is_in_disorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is opened when its earliest packet comes, wherever that lies, and merged with the others."""
    monkeypatch.setattr(time_order, "LOOKED_AT", BLOCK // 2)
    monkeypatch.setattr(time_order, "MOST_SORTED", 0)
    packets = _packets()
    swapped = [packets[k] for k in ORDERS[name](list(range(COUNT)))]
    others = [(time + 1, packet) for time, packet in packets[::2]]
    paths = [
        wire.write(tmp_path, wire.pcap(some, nanoseconds=True), str(k)) for k, some in enumerate((others, swapped))
    ]
    found, sources = _read(paths, is_unsorted=True)
    assert [one[0] for one in found] == sorted(time for time, _ in packets + others)
    assert [source.counted.late for source in sources] == [0, 0]


def test_what_cannot_be_put_in_order_at_once(tmp_path: Path) -> None:
    """A capture that has to be read anew for it says so; where it cannot, what comes too late is counted."""
    packets = _packets()
    path = wire.write(tmp_path, wire.pcap(packets[COUNT // 2 :] + packets[: COUNT // 2]))
    with pytest.raises(OutOfOrderError, match=path.name):
        _read([path], is_unsorted=False, is_strict=True)
    found, (source,) = _read([path], is_unsorted=False)
    assert len(found) == COUNT
    assert source.counted.late > 0


def test_an_audit_begins_anew(tmp_path: Path) -> None:
    """What cannot be put in order while it is read once is read as its runs, and the rows are those of the capture in order."""
    talks = [
        wire.Talk(port, isn=(port, 7 * port)).open().play([("c", b"x" * 1_200)]).close()
        for port in range(40_000, 40_250)
    ]
    packets = [
        (wire.SECOND * 1_700_000_000 + k * 1_000_000, one)
        for k, one in enumerate(p for talk in talks for p in talk.packets)
    ]
    half, said = len(packets) // 2 + 3, list[str]()
    tables = []
    for name, some in (("sorted", packets), ("swapped", packets[half:] + packets[:half])):
        path = wire.write(tmp_path, wire.pcap(some), name)
        assert path.stat().st_size > BLOCK
        result = audit_files([path], Options(say=said.append), block_bytes=BLOCK)
        tables.append(result.flows.drop(columns="capture"))
    assert tables[0].equals(tables[1])
    assert "read anew" in " ".join(said)
    assert f"(frame {len(packets) - half + 1}): they are audited in the order of time" in result.captures["warnings"][0]
