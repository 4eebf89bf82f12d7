"""The thread that reads and decodes a capture, block by block."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from auditor.capture.pcap import DAMAGED, FULL, SPECIAL
from auditor.capture.reader import Reader, new_buffer
from auditor.decode.packet import RECENT, RECENT_PACKET
from auditor.flows import state as S
from auditor.reading import scan
from auditor.reading.events import Counted

BLOCKS = 3  # in use at one time: one is being decoded, one waits, one is being followed
DATAGRAM_LAYOUT = np.array([scan.DATAGRAMS, 0, 0, 0, 0, 0], np.int64)
SMALLEST_PACKET = 64  # bytes with its record header: how many packets a block can hold, nearly always


@dataclass
class Block:
    """A block of a capture and the packets decoded from it."""

    buffer: S.Array
    packets: S.Array
    count: int = 0
    fragments: int = 0
    about_network: int = 0  # packets of ARP, LLDP, ICMP and the like
    link_types: list[int] = field(default_factory=list)  # of the capture's interfaces
    names: list[str | None] = field(default_factory=list)  # likewise
    data: S.Array = field(init=False)  # what the packets lie in: the buffer, with datagrams from fragments behind it

    def __post_init__(self) -> None:
        self.data = self.buffer


class Decoding:
    """Decodes a capture in a thread; iterate to get its blocks. A block is used again once the next one is asked for."""

    def __init__(self, reader: Reader, stopped: threading.Event, counted: Counted) -> None:
        self._reader = reader
        self._stopped = stopped
        self._fragments = counted.fragments
        self._control = counted.control
        self._seen = S.records(RECENT, RECENT_PACKET)
        size = len(reader.buffer)
        room = max(1024, size // SMALLEST_PACKET)
        self._left = threading.Event()
        self._free: queue.Queue[Block] = queue.Queue()
        self._done: queue.Queue[Block | BaseException | None] = queue.Queue()
        self._free.put(Block(reader.buffer, S.packets(room)))
        for _ in range(BLOCKS - 1):
            self._free.put(Block(new_buffer(size), S.packets(room)))
        self._thread = threading.Thread(target=self._work, name="decoding", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Block]:
        try:
            while (block := self._done.get()) is not None:
                if isinstance(block, BaseException):
                    raise block
                yield block
                self._free.put(block)
        finally:  # also where following failed: nobody must read on when the capture is closed
            self._left.set()
            self._free.put(Block(self._reader.buffer, S.packets(1)))
            self._thread.join()

    def _work(self) -> None:
        try:
            self._decode()
            self._done.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the blocks are taken
            self._done.put(error)

    def _decode(self) -> None:
        """Block after block until the capture ends or is damaged."""
        reader, frame, more = self._reader, 0, True
        block = self._free.get()
        while more and not self._stopped.is_set() and not self._left.is_set():
            count, reader.position, ended, fragments, about_network = scan.read_batch(
                reader.buffer,
                reader.position,
                reader.stop,
                reader.layout,
                reader.interfaces,
                self._seen,
                frame,
                block.packets[block.count :],
            )
            frame += count
            block.count += count
            block.fragments += fragments
            block.about_network += about_network
            if ended == DAMAGED:
                reader.damaged("no packet record can begin there", reader.offset + reader.position)
                more = False
            elif ended == SPECIAL and reader.special():
                continue
            block, more = self._next(block, more and reader.notes.status == "complete", full=ended == FULL)
        self._hand_over(block)

    def _hand_over(self, block: Block) -> None:
        """Give a block to the other thread, with the datagrams that became whole in it."""
        block.data, block.link_types = block.buffer, self._reader.notes.link_types
        block.names = interface_names(self._reader)
        if block.fragments:
            packets = block.packets[: block.count]
            block.data, whole = self._fragments.join(block.buffer, packets)
            some = packets[whole]
            scan.read_batch(block.data, 0, 0, DATAGRAM_LAYOUT, self._reader.interfaces, self._seen, 0, some)
            packets[whole] = some
        if block.about_network:
            self._control.take(block.data, block.packets[: block.count])
        self._done.put(block)

    def _next(self, block: Block, more: bool, *, full: bool) -> tuple[Block, bool]:
        """Hand a block over and go on in another; False where there is nothing more to read."""
        if not more:
            return block, False
        if block.count:
            self._hand_over(block)
            block = self._free.get()
            block.count = block.fragments = block.about_network = 0
        more = self._reader.fill(block.buffer)
        block.buffer = self._reader.buffer
        if not more and not full:
            self._reader.ended()
            return block, False
        return block, True


def interface_names(reader: Reader) -> list[str | None]:
    """The names that the capture gives its interfaces, as far as it was read."""
    return [info.name for info in reader.pcapng.interfaces]
