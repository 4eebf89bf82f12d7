"""Captures decoded block by block: each by itself, before their packets are put in order of time."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.capture.interfaces import Interfaces
from auditor.capture.pcap import DAMAGED, FULL, SPECIAL
from auditor.capture.reader import SMALLEST_BLOCK, Reader, new_buffer
from auditor.decode import frames
from auditor.decode.packet import PACKET
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.reading import counting, scan, secrets
from auditor.reading.aggregates import LaterFrames, aggregated
from auditor.reading.clocks import correction
from auditor.reading.interfaces import name_interfaces
from auditor.reading.sources import NEVER, Source

BYTES_A_PACKET = (
    128  # of a block, for which it has room for one: a decoded one is 222 bytes. Of more, some are left for the next
)
CANNOT_BE_FOLLOWED = "a packet that cannot be followed (please report it)"
FEW = 8  # captures that are open at one time; where there are more each has a smaller block
SMALLER = 8  # times
PLACES = ("begin", "position", "end", "payload")  # fields of a packet that are places in its block


@dataclass(eq=False, repr=False)
class Block:
    """Bytes of captures and the packets decoded from them."""

    buffer: S.Array
    packets: S.Array
    count: int = 0
    fragments: int = 0
    about_network: int = 0  # packets of ARP, LLDP, ICMP and the like
    reader: Reader | None = None  # by which the buffer was filled: it may be hashed yet
    data: S.Array = field(init=False)  # what the packets lie in: the buffer, with datagrams from fragments behind it

    def __post_init__(self) -> None:
        self.data = self.buffer

    def add(self, further: LaterFrames) -> None:
        """Put frames of aggregates behind the first one of each."""
        count = self.count + len(further.rows)
        if count > len(self.packets):
            self.packets = np.concatenate([self.packets[: self.count], S.packets(count - self.count)]).view(np.recarray)
        packets = self.packets.view(np.ndarray)
        order = np.argsort(np.concatenate([np.arange(self.count), further.behind]), kind="stable")
        packets[:count] = np.concatenate([packets[: self.count], further.rows])[order]
        self.count = count
        self.fragments += further.fragments
        self.about_network += further.about_network

    def clear(self) -> None:
        """Nothing is in it any more."""
        self.count = self.fragments = self.about_network = 0

    def area(self, begin: int, end: int) -> tuple[int, int]:
        """Where in the buffer the bytes of some packets are."""
        first, last = self.packets[begin], self.packets[end - 1]
        return int(first.begin), int(last.begin) + int(last.captured)

    def copied(self, begin: int, end: int, at: int) -> S.Array:
        """Some packets, as they are where their bytes begin ``at`` a place in another buffer."""
        packets = self.packets.view(np.ndarray)[begin:end].copy()
        moved = at - int(self.packets[begin].begin)
        for name in PLACES:
            packets[name] += moved
        packets["fragment"] += np.where(packets["fragment"] != 0, moved, 0)
        return packets

    def put(self, packets: S.Array) -> None:
        """Add packets whose bytes are in the buffer, behind those that it has."""
        self.packets.view(np.ndarray)[self.count : self.count + len(packets)] = packets
        self.count += len(packets)
        self.fragments += int(np.count_nonzero(packets["fragment"]))
        self.about_network += 1  # some of them, perhaps


@dataclass(eq=False, repr=False)
class OpenCapture:
    """Where a capture is read: how, and its packets that are decoded and not handed on yet, with their bytes."""

    values: Mapping[str, Any]
    packets: S.Array
    data: S.Array


class Blocks:
    """The blocks that are not in use, by their size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: dict[int, deque[Block]] = {}

    def take(self, size: int) -> Block:
        """A block of at least that size."""
        size = max(size, SMALLEST_BLOCK)
        try:
            block = self._free.setdefault(size, deque()).popleft()
        except IndexError:
            return Block(new_buffer(size), S.packets(max(1024, size // BYTES_A_PACKET)))
        if block.reader is not None:
            block.reader.release(block.buffer)
            block.reader = None
        block.clear()
        return block

    def give(self, block: Block) -> None:
        """A block that nobody uses any more; one that had to grow is forgotten."""
        size = len(block.buffer)
        if size in self._free:
            self._free[size].append(block)


class Cursor:
    """A capture that is open: packets of it that are decoded, and how many of them were handed on."""

    def __init__(
        self,
        source: Source,
        blocks: Blocks,
        numbering: Interfaces,
        *,
        prompt: bool,
        few: bool,
        standing: OpenCapture | None = None,
    ) -> None:
        """``standing``: where it is read on, in a capture of which all before was read."""
        size = blocks.size if few else blocks.size // SMALLER
        if source.item.size is not None and source.item.size < SMALLEST_BLOCK:
            size = SMALLEST_BLOCK
        self.source = source
        self.number = source.number
        self.at = 0
        self._blocks = blocks
        self._size = size
        self._frame = frames.first_of(source.number)
        self._before = self._latest = NEVER  # the latest time of packets before its block, and up to its end
        self._ahead = correction(source.counted.offset)
        self._more = True
        self._fresh = True  # nothing of what is in the buffer was looked at
        self._ended = False
        self._keys: S.Array | None = None  # of the packets in its block, once they are asked for
        self._full = False  # there were more packets in it than the block has room for
        self.block = blocks.take(size)
        try:
            self.reader = Reader(source.item, self.block.buffer, prompt, numbering)
            if standing is not None:
                self._go_on(standing)
        except BaseException:
            blocks.give(self.block)
            raise
        source.counted.notes = self.reader.notes
        source.key_logs = self.reader.pcapng.key_logs
        if source.item.size is not None and standing is None:
            self.reader.fill()

    @property
    def key(self) -> tuple[int, int]:
        """What its packets up to the end of this block come before."""
        return self._latest, self.number

    @property
    def keys(self) -> S.Array:
        """The times by which its packets come in order: they never go back."""
        if self._keys is None:
            times = self.block.packets["time"][: self.block.count]
            self._keys = np.maximum(np.maximum.accumulate(times), self._before)
        return self._keys

    @property
    def coming(self) -> int | None:
        """The time by which its next packet comes; None where all that are decoded were handed on."""
        if self.at == self.block.count:
            return None
        return int(self.keys[self.at]) if self.at else max(int(self.block.packets["time"][0]), self._before)

    def standing(self) -> OpenCapture | None:
        """Where it stands; None where another process could not go on there."""
        read, left = self.reader.standing(), self.block.count - self.at
        if read is None:
            return None
        begin, end = self.block.area(self.at, self.block.count) if left else (0, 0)
        values = {
            "number": self.number,
            "frame": self._frame,
            "times": [self._before, self._latest],
            "outside": self.source.counted.outside,
            "reader": read,
        }
        packets = self.block.copied(self.at, self.block.count, 0) if left else np.zeros(0, PACKET)
        return OpenCapture(values, packets, self.block.buffer[begin:end].copy())

    def _go_on(self, standing: OpenCapture) -> None:
        """Be where another one stood. Raises InputError and OSError."""
        self.reader.go_on(standing.values["reader"])
        if count := self.reader.pcapng.secrets:
            self.reader.pcapng.know(secrets.of(self.source.item, count))
        self._frame = int(standing.values["frame"])
        self._before, self._latest = map(int, standing.values["times"])
        self._fresh = self.reader.position < self.reader.stop
        if len(standing.packets):
            block = self._blocks.take(self._size)
            if len(standing.packets) > len(block.packets) or len(standing.data) > len(block.buffer):
                block = Block(new_buffer(len(standing.data)), S.packets(len(standing.packets)))
            block.buffer[: len(standing.data)] = standing.data
            block.put(standing.packets)
            self.block = block

    def load(self) -> bool:
        """Decode the packets that come next, when all before them were handed on; False where there are none."""
        self.block.clear()
        self.at, self._keys = 0, None
        try:
            while self._more and not self.block.count:
                self._decode()
                if self.source.window:
                    self._leave_out()
        except IndexError:  # a bounds check of a kernel: a fault of ours, but what was read before it is not lost
            self.reader.notes.fault(CANNOT_BE_FOLLOWED, self.reader.offset + self.reader.position)
            self._more = False
        except OSError as error:
            self.source.failure = f"{self.source.item.name}: {error.strerror or error}"
            self._more = False
        except InputError as error:
            self.source.failure = str(error)
            self._more = False
        if self.reader.names_interfaces:
            name_interfaces(self.reader, self.block.buffer, self.block.packets[: self.block.count])
        if self._ahead:
            self.block.packets["time"][: self.block.count] -= self._ahead
        if not self._more:
            self._end()
        if self.block.count:
            self._before = self._latest
            self._latest = counting.latest(self.block.packets[: self.block.count], self._before)
        return self.block.count > 0

    def _decode(self) -> None:
        """List what is in the buffer, or read on."""
        reader, block = self.reader, self.block
        if not self._fresh:
            more = reader.fill(block.buffer)
            block.buffer = reader.buffer
            if not more and not self._full:
                reader.ended()
                self._more = False
                return
        self._fresh = False
        aggregates = 0
        while True:
            count, reader.position, ended, fragments, about_network, several = scan.read_batch(
                reader.buffer,
                reader.position,
                reader.stop,
                reader.layout,
                reader.interfaces,
                self._frame,
                block.packets[block.count :],
            )
            self._frame += count
            block.count += count
            block.fragments += fragments
            block.about_network += about_network
            aggregates += several
            if ended in (DAMAGED, SPECIAL) and reader.special(ended == DAMAGED):
                if reader.finer_from is not None:
                    make_finer(block.packets[: block.count], reader.finer_from)
                    reader.finer_from = None
                continue
            break
        if aggregates:
            block.add(aggregated(reader.buffer, block.packets[: block.count]))
        self._full = ended == FULL
        self._more = reader.notes.status == "complete"
        if self._more and not self._full and reader.is_at_end:
            reader.ended()
            self._more = False

    def _leave_out(self) -> None:
        """Let the packets go that are not of the time which is audited."""
        packets = self.block.packets.view(np.ndarray)
        inside = np.flatnonzero(self.source.window.holds(packets["time"][: self.block.count]))
        self.source.counted.outside += self.block.count - len(inside)
        packets[: len(inside)] = packets[inside]
        self.block.count = len(inside)

    def hand_over(self) -> Block:
        """Its block, whole; the next packets are decoded into another one."""
        block, self.block = self.block, self._blocks.take(self._size)
        block.reader = self.reader
        self.at, self._keys = 0, None
        return block

    def _end(self) -> None:
        """Close the file: of many that overlap, few need to be open at one time."""
        if not self._ended:
            self.source.ended(self.reader)
            self.reader.close()
            self._ended = True

    def close(self) -> None:
        """Nothing more is read of it."""
        self._end()
        self._blocks.give(self.block)


def make_finer(packets: S.Array, first: int) -> None:
    """Packets that begin behind ``first`` have nanoseconds where microseconds were read."""
    times = packets["time"]
    seconds, rest = np.divmod(times, 1_000_000_000)
    packets["time"] = np.where(packets["begin"] > first, seconds * 1_000_000_000 + rest // 1000, times)
