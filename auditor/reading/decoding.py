"""Captures decoded block by block: each by itself, before their packets are put in order of time."""

from typing import NamedTuple

import numpy as np

from auditor.capture.interfaces import Interfaces
from auditor.capture.pcap import DAMAGED, FULL, SPECIAL
from auditor.capture.reader import SMALLEST_BLOCK, Reader, new_buffer
from auditor.decode import frames
from auditor.decode.packet import PACKET
from auditor.errors import InputError, OutOfOrderError
from auditor.flows import state as S
from auditor.reading import counting, scan, secrets, time_order
from auditor.reading.aggregates import aggregated
from auditor.reading.blocks import Block, Blocks, OpenCapture, make_finer, nothing
from auditor.reading.clocks import correction
from auditor.reading.interfaces import name_interfaces
from auditor.reading.sources import Source
from auditor.reading.time_order import NEVER, SortableRun, in_order, merged, placed

CANNOT_BE_FOLLOWED = "a packet that cannot be followed (please report it)"
FEW = 8  # captures that are open at one time; where there are more each has a smaller block
SMALLER = 8  # times


class Place(NamedTuple):
    """Of an open capture its place among all that are read as one, how many others are open, and which run of it it is.

    ``prompt``: its packets are wanted as soon as they are there.
    """

    number: int
    others: int
    run: SortableRun | None = None
    prompt: bool = False


class Cursor:
    """A capture that is open, or a run of one: packets of it that are decoded, and how many of them were handed on."""

    def __init__(
        self,
        source: Source,
        blocks: Blocks,
        numbering: Interfaces,
        place: Place,
        standing: OpenCapture | None = None,
    ) -> None:
        """``standing``: where it is read on, in a capture of which all before was read."""
        run = place.run
        size = blocks.size // (1 if place.others == 0 else 2 if place.others < FEW else SMALLER)
        if source.item.size is not None and source.item.size < SMALLEST_BLOCK:
            size = SMALLEST_BLOCK
        if source.item.is_unsorted:
            size = max(size, 4 * time_order.LOOKED_AT)
        self.source = source
        self.number = place.number
        self.at = 0
        self._blocks = blocks
        self._size = size
        self._run = run
        self._is_last = run is None or run.end is None  # the end of the capture is in it
        self._frame = frames.first_of(source.number)
        self._before = self._latest = NEVER  # the latest time of packets before its block, and up to its end
        self._highest = NEVER  # the latest time of all that is decoded
        self._ahead = correction(source.counted.offset)
        self._prompt = place.prompt
        self._more = True
        self._fresh = True  # nothing of what is in the buffer was looked at
        self._ended = False
        self._keys: S.Array | None = None  # of the packets in its block, once they are asked for
        self._full = False  # there were more packets in it than the block has room for
        self._begun: Block | None = self._first_block(run)  # what is read into first
        self._copied: Block | None = (
            None  # its packets are in another one, but the reader may need the end of its buffer
        )
        self._next: Block | None = None  # decoded already, to see whether some of it comes before some of this block
        self.block = nothing()
        try:
            item = source.item if self._is_last else source.item.again()
            if item is None:
                raise InputError(f"{source.item.name}: cannot be read a second time")
            self.reader = Reader(item, self._begun.buffer, place.prompt, numbering)
            if run is not None and run.standing is not None:
                self.reader.go_on(run.standing)
                self._frame += run.before
            if standing is not None:
                self._go_on(standing)
            self._know_secrets()
        except BaseException:
            blocks.give(self._begun)
            raise
        if self._is_last:
            source.counted.notes = self.reader.notes
            source.key_logs = self.reader.pcapng.key_logs
        self._fresh = standing is None or self.reader.position < self.reader.stop
        if source.item.size is not None and standing is None:
            self.reader.fill()

    def _first_block(self, run: SortableRun | None) -> Block:
        if run is None or run.size is None:
            return self._blocks.take(self._size)
        return Block(new_buffer(max(run.size + 1, SMALLEST_BLOCK)), S.packets(run.packets + 1))

    def _know_secrets(self) -> None:
        """Where it is read on, know the secrets before that place again."""
        if count := self.reader.pcapng.secrets:
            self.reader.pcapng.know(secrets.of(self.source.item, count))

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
        read = self.reader.standing()
        if read is None or self._run is not None:
            return None
        packets, data = [np.zeros(0, PACKET)], [np.zeros(0, np.uint8)]
        for block, at in ((self.block, self.at), (self._next or nothing(), 0)):
            if at < block.count:
                begin, end = block.area(at, block.count)
                packets.append(block.copied(at, block.count, sum(map(len, data))))
                data.append(block.buffer[begin:end])
        values = {
            "number": self.source.number,
            "frame": self._frame,
            "times": [self._before, self._latest, self._highest],
            "outside": self.source.counted.outside,
            "reader": read,
            "next": 0 if self._next is None else self._next.count,
        }
        return OpenCapture(values, np.concatenate(packets), np.concatenate(data))

    def _go_on(self, standing: OpenCapture) -> None:
        """Be where another one stood. Raises InputError and OSError."""
        self.reader.go_on(standing.values["reader"])
        self._frame = int(standing.values["frame"])
        self._before, self._latest, self._highest = map(int, standing.values["times"])
        count = int(standing.values["next"])
        first = len(standing.packets) - count
        if first:
            self.block = placed(standing.data, standing.packets[:first], about_network=1)
        if count:
            self._next = placed(standing.data, standing.packets[first:], about_network=1)

    def load(self, reached: int = NEVER) -> bool:
        """Decode the packets that come next, when all before them were handed on; False where there are none.

        ``reached``: up to which time packets of all captures were handed on. Raises OutOfOrderError.
        """
        self._blocks.give(self.block)
        self.block, self._next = self._next or self._decoded(), None
        self.at, self._keys = 0, None
        if self._more and self.block.count and self._may_go_back:
            self._look_ahead()
        if not self._more:
            self._end()
        if self.block.count:
            self._before = self._latest
            self._latest = max(self._latest, int(self.block.packets["time"][self.block.count - 1]))
            self._check_order(max(self._before, reached))
        return self.block.count > 0

    @property
    def _may_go_back(self) -> bool:
        """Whether packets may come before some of the block before theirs.

        Not before that has shown in a block, where reading can begin anew: a block that waits leaves the processor's cache.
        """
        if self._prompt:
            return False
        return self.source.item.is_unsorted or self.source.item.is_stream or self.source.counted.steps.count > 0

    def _look_ahead(self) -> None:
        """See whether packets that come next have to come before some of this block."""
        coming = self._decoded()
        if not coming.count:
            self._blocks.give(coming)
        elif coming.packets["time"][0] >= self.block.packets["time"][self.block.count - 1]:
            self._next = coming
        else:
            both = self.block, coming
            self.block, self._next = merged(*both)
            self._blocks.give(both[0])
            if self._copied is None:
                self._copied = coming

    def _decoded(self) -> Block:
        """The next block, with its packets in the order of time; none are in it at the end."""
        block, self._begun = self._begun or self._blocks.take(self._size), None
        block.reader = self.reader
        try:
            while self._more and not block.count:
                self._decode(block)
                if self._run is not None:
                    self._keep_run(self._run, block)
                if self.source.window:
                    self._leave_out(block)
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
            name_interfaces(self.reader, block.buffer, block.packets[: block.count])
        if self._ahead:
            block.packets["time"][: block.count] -= self._ahead
        if self._copied is not None:
            self._blocks.give(self._copied)
            self._copied = None
        return self._sorted(block)

    def _sorted(self, block: Block) -> Block:
        """A block that was decoded, with its packets in the order of time."""
        packets, before = block.packets[: block.count], self._highest
        self._highest, earlier = counting.latest(packets, before)
        if not earlier:
            return block
        if self._run is None:
            self.source.counted.steps.note(packets, before)
        if np.all(packets["time"][1:] >= packets["time"][:-1]):
            return block
        self._copied = block
        return in_order(block)

    def _check_order(self, reached: int) -> None:
        """See whether packets come too late: others that come behind them were handed on."""
        times = self.block.packets["time"][: self.block.count]
        if times[0] >= reached:
            return
        if self.source.is_strict and self._run is None:
            raise OutOfOrderError(self.source.item.name)
        self.source.counted.late += int(np.count_nonzero(times < reached))

    def _decode(self, block: Block) -> None:
        """List what is in the buffer, or read on, into a block."""
        reader = self.reader
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

    def _keep_run(self, run: SortableRun, block: Block) -> None:
        """Let the packets go that are of other runs of the capture."""
        first = frames.first_of(self.source.number)
        numbers = block.packets["frame"][: block.count] - first
        inside = numbers >= run.begin
        if run.end is not None:
            inside &= numbers < run.end
            self._more = self._more and self._frame - first < run.end - 1
        block.keep(np.flatnonzero(inside))

    def _leave_out(self, block: Block) -> None:
        """Let the packets go that are not of the time which is audited."""
        inside = np.flatnonzero(self.source.window.holds(block.packets["time"][: block.count]))
        self.source.counted.outside += block.count - len(inside)
        block.keep(inside)

    def hand_over(self) -> Block:
        """Its block, whole; the next packets are in another one."""
        block, self.block = self.block, nothing()
        self.at, self._keys = 0, None
        return block

    def _end(self) -> None:
        """Close the file: of many that overlap, few need to be open at one time."""
        if not self._ended:
            if self._is_last:
                self.source.ended(self.reader)
            self.reader.close()
            self._ended = True

    def close(self) -> None:
        """Nothing more is read of it."""
        self._end()
        self._blocks.give(self.block)
