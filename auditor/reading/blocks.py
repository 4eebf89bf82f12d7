"""Blocks of a capture's bytes with the packets decoded from them, and what is not in use of them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.capture.reader import SMALLEST_BLOCK, Reader, new_buffer
from auditor.flows import state as S
from auditor.reading.aggregates import LaterFrames

BYTES_A_PACKET = (
    128  # of a block, for which it has room for one: a decoded one is 222 bytes. Of more, some are left for the next
)
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
    is_pooled: bool = True  # it is used again
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

    def keep(self, some: S.Array) -> None:
        """Let all packets go but some, by their places."""
        packets = self.packets.view(np.ndarray)
        packets[: len(some)] = packets[some]
        self.count = len(some)

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


def nothing() -> Block:
    """A block without packets."""
    return Block(np.zeros(0, np.uint8), S.packets(0), is_pooled=False)


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
        if block.is_pooled and size in self._free:
            self._free[size].append(block)


def make_finer(packets: S.Array, first: int) -> None:
    """Packets that begin behind ``first`` have nanoseconds where microseconds were read."""
    times = packets["time"]
    seconds, rest = np.divmod(times, 1_000_000_000)
    packets["time"] = np.where(packets["begin"] > first, seconds * 1_000_000_000 + rest // 1000, times)
