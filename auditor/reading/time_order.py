"""Packets of a capture that are not in the order of time: what several queues or interfaces, or joined files, leave behind.

The packets of a block are put in order, and once that was needed those of the next one that come before some of it are
merged with it. So nothing is lost while packets come later than they should by less than a block. Where one comes later
still, the capture is read anew as several runs: stretches of it, each of which can be put in order so, and which overlap
like files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from auditor.capture.inputs import Input
from auditor.capture.pcap import DAMAGED, SPECIAL
from auditor.capture.reader import Reader, new_buffer
from auditor.decode.bytes import Bytes
from auditor.decode.frames import number
from auditor.decode.packet import PACKET, PacketRows
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.machine.kernel import kernel
from auditor.machine.signature import BYTES, Layout
from auditor.reading import scan
from auditor.reading.blocks import Block, make_finer

NEVER = np.iinfo(np.int64).min  # before all packets
LOOKED_AT = 128 << 10  # bytes by twice of which packets may come later than they should: no block has fewer
MOST_SORTED = 32 << 20  # bytes of a capture that is put in order as one block
MOST_RUNS = 128


@dataclass
class Steps:
    """Packets that are earlier than one before them: how many, by how many nanoseconds at most, and the frame of that."""

    count: int = 0
    most: int = 0
    frame: int = 0

    def note(self, packets: S.Array, before: int) -> None:
        """Note those among the packets that come next; ``before``: the latest time of all before them."""
        times = packets["time"].astype(np.int64)
        highest = np.maximum.accumulate(np.append(before, times))[:-1]
        back = np.flatnonzero(times < highest)
        if not len(back):
            return
        far = back[np.argmax(highest[back] - times[back])]
        self.count += len(back)
        if (step := int(highest[far] - times[far])) > self.most:
            self.most, self.frame = step, number(int(packets["frame"][far]))


@dataclass(frozen=True)
class SortableRun:
    """A stretch of a capture, from one frame to before another, whose packets can be put in order while it is read."""

    first: int  # the earliest time of its packets
    begin: int = 1
    end: int | None = None
    standing: Mapping[str, Any] | None = None  # how a reader stood before it …
    before: int = 0  # … behind so many packets
    size: int | None = None  # bytes of the block that holds all of it
    packets: int = 0  # and how many these are


@kernel(BYTES, BYTES, Layout(PACKET))
def copy_packets(source: Bytes, target: Bytes, packets: PacketRows) -> int:
    """Copy the bytes of packets behind each other, from one buffer into another; how many bytes these are.

    What lies in the same frame as the packet before it (of an aggregate) is copied with that.
    """
    at, moved, last = np.int64(0), np.int64(0), np.int64(-1)
    for i in range(packets.size):
        packet = packets[i]
        begin = np.int64(packet.begin)
        if begin != last:
            last, moved = begin, at - begin
            for k in range(np.int64(packet.captured)):
                target[at + k] = source[begin + k]
            at += np.int64(packet.captured)
        packet.begin += moved
        packet.position += moved
        packet.end += moved
        packet.payload += moved
        if packet.fragment != 0:
            packet.fragment += moved
    return int(at)


def placed(data: S.Array, packets: S.Array, *, about_network: int) -> Block:
    """A block with packets that lie in ``data``, in their order."""
    begins, size = packets["begin"], 0
    if len(packets):
        size = int(packets["captured"][np.append(True, begins[1:] != begins[:-1])].sum())
    block = Block(new_buffer(max(size, 1)), packets.copy().view(np.recarray), len(packets), is_pooled=False)
    copy_packets(data, block.buffer, block.packets)
    block.fragments = int(np.count_nonzero(packets["fragment"]))
    block.about_network = about_network
    return block


def in_order(block: Block) -> Block:
    """A block with the same packets in the order of time: those of equal times as they were."""
    packets = block.packets.view(np.ndarray)[: block.count]
    order = np.argsort(packets["time"], kind="stable")
    return placed(block.buffer, packets[order], about_network=block.about_network)


def merged(first: Block, second: Block) -> tuple[Block, Block]:
    """The packets of two blocks in the order of time, in two blocks with as many as before."""
    areas = [one.area(0, one.count) for one in (first, second)]
    data = np.concatenate([one.buffer[begin:end] for one, (begin, end) in zip((first, second), areas, strict=True)])
    packets = np.concatenate(
        [first.copied(0, first.count, 0), second.copied(0, second.count, areas[0][1] - areas[0][0])]
    )
    packets = packets[np.argsort(packets["time"], kind="stable")]
    network = first.about_network + second.about_network
    return (
        placed(data, packets[: first.count], about_network=network),
        placed(data, packets[first.count :], about_network=network),
    )


class RunsFound(NamedTuple):
    """What going through a capture has shown: its runs, the earliest time, and how far packets are from the order of time.

    There are no runs where it can be read as it is, or where they are too many.
    """

    runs: tuple[SortableRun, ...] = ()
    first: int | None = None
    steps: Steps | None = None


def runs_of(item: Input) -> RunsFound:
    """The runs of a capture; what is wrong with it is said when it is read."""
    if item.refusal is not None or (again := item.again()) is None:
        return RunsFound()
    try:
        reader = Reader(again, new_buffer(LOOKED_AT))
        try:
            return _RunFinder(reader).listed()
        finally:
            reader.close()
    except (InputError, OSError):
        return RunsFound()


class _RunFinder:
    """Goes through a capture once, and notes where packets come earlier than what was read two blocks before."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._packets = reader, S.packets(LOOKED_AT // 16)
        self._runs: list[SortableRun] = []
        # The latest time of a run's packets: of all, of those before what is in the buffer, and of those one buffer before.
        self._near = self._last = self._far = NEVER
        self.steps, self._highest = Steps(), NEVER
        self._frame = 0  # packets before those that are looked at

    def listed(self) -> RunsFound:
        reader, is_open = self._reader, True
        while is_open:
            is_open = reader.fill()
            self._far, self._last = self._last, self._near
            self._look()
            is_open = is_open and reader.notes.status == "complete"
        if not self._runs:
            return RunsFound()
        first, several = min(run.first for run in self._runs), len(self._runs) > 1
        if several and (size := reader.offset + reader.stop) <= MOST_SORTED:
            return RunsFound((SortableRun(first, size=size, packets=self._frame),), first, self.steps)
        return (
            RunsFound(tuple(self._runs), first, self.steps)
            if several and len(self._runs) <= MOST_RUNS
            else RunsFound((), first)
        )

    def _look(self) -> None:
        """Look at the packets in the buffer."""
        reader = self._reader
        while True:
            standing, before = reader.standing(), self._frame
            count, reader.position, ended, *_ = scan.read_batch(
                reader.buffer,
                reader.position,
                reader.stop,
                reader.layout,
                reader.interfaces,
                self._frame,
                self._packets,
            )
            packets = self._packets[:count]
            again = ended in (DAMAGED, SPECIAL) and reader.special(ended == DAMAGED)
            if again and reader.finer_from is not None:
                make_finer(packets, reader.finer_from)
                reader.finer_from = None
            if count:
                self.steps.note(packets, self._highest)
                self._highest = max(self._highest, int(packets["time"].max()))
                self._divide(packets["time"], standing, before)
                self._frame += count
            if not again:
                break

    def _divide(self, times: S.Array, standing: Mapping[str, Any] | None, before: int) -> None:
        """Take the times of packets that come next, behind ``before`` others."""
        begin = 0
        while begin < len(times):
            late = np.flatnonzero(times[begin:] < self._far) if self._runs else np.zeros(1, np.int64)
            if len(self._runs) > MOST_RUNS:
                late = late[:0]
            end = begin + int(late[0]) if len(late) else len(times)
            if end > begin:
                self._extend(times[begin:end])
            if len(late):
                self._begin(int(times[end]), standing, before, before + end + 1)
            begin = end

    def _extend(self, times: S.Array) -> None:
        """More packets of the run that is open."""
        run = self._runs[-1]
        self._near = max(self._near, int(times.max()))
        if (least := int(times.min())) < run.first:
            self._runs[-1] = replace(run, first=least)

    def _begin(self, first: int, standing: Mapping[str, Any] | None, before: int, frame: int) -> None:
        """A run begins at a frame."""
        if self._runs:
            self._runs[-1] = replace(self._runs[-1], end=frame)
        there = standing if self._runs else None
        self._runs.append(SortableRun(first, frame, None, there, before if there is not None else 0))
        self._near = self._last = self._far = NEVER
