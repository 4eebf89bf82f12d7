"""The thread that reads and decodes captures as one: their packets in the order of time, however they lie in files.

Where one file begins when another has ended, whole blocks go on as they are. Where files overlap (a tap with a file for
each direction, several queues, both sides of a router), their packets are merged: copied into a block of their own.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from auditor.capture.beginnings import DATAGRAMS
from auditor.capture.interfaces import Interfaces
from auditor.capture.pcapng import INTERFACE
from auditor.capture.reader import BLOCK_BYTES, new_buffer
from auditor.decode.control import Control
from auditor.decode.fragments import Reassembler
from auditor.decode.packet import FRAME_SEEN, RECENT, RECENT_PACKET
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.reading import copies, counting, scan
from auditor.reading.blocks import BYTES_A_PACKET, Block, Blocks, OpenCapture
from auditor.reading.capture_queue import CaptureQueue
from auditor.reading.checkpoint import CheckpointPace, DecoderState, ResumedCheckpoint, Seen, border
from auditor.reading.clocks import correction
from auditor.reading.decoding import Cursor, Place
from auditor.reading.samples import Samples
from auditor.reading.sources import Source
from auditor.reading.time_order import MOST_RUNS, NEVER, SortableRun

DATAGRAM_LAYOUT = np.array([DATAGRAMS, *[0] * 7], np.int64)
WHOLE = 1024  # packets of a block that goes on as it is: fewer are gathered
MOST_PENDING = 64 << 20  # bytes of packets not handed on yet, with which there is no checkpoint inside of captures
NO_INTERFACES = np.zeros(0, INTERFACE).view(np.recarray)
Piece = tuple[Cursor, int, int]  # packets of an open capture, from one to before another
Coming = tuple[
    int, int, Source, SortableRun | None
]  # what is to be opened: from when on, its place, and what it is a run of


class Merging:
    """Decodes captures in a thread; iterate, once, to get blocks of packets. A block is used again once the next is asked for."""

    def __init__(
        self,
        sources: Sequence[Source],
        tallies: S.Array,
        stopped: threading.Event | None = None,
        block_bytes: int = BLOCK_BYTES,
        *,
        prompt: bool = False,
        control: Control | None = None,
        pace: CheckpointPace | None = None,
        resumed: ResumedCheckpoint | None = None,
    ) -> None:
        """``pace``: how often borders between captures are wanted; ``resumed``: where reading goes on."""
        self.interfaces = Interfaces()
        self.fragments = Reassembler()
        self.samples = Samples()
        self.control = control or Control(captures=[source.item.name for source in sources])
        self._sources = sources
        self._waiting = deque(_coming(sources))
        self._stopped = stopped or threading.Event()
        self._prompt = prompt
        self._alone = len(sources) == 1
        self._in_runs = any(source.runs for source in sources)
        self._reached = NEVER  # up to which time packets were handed on
        self._tallies = tallies
        self._seen = S.records(RECENT + 1, RECENT_PACKET)
        self._frames = S.records(RECENT, FRAME_SEEN)
        self._blocks = Blocks(block_bytes)
        self._pace = pace
        self._open = CaptureQueue()
        self._gathered: Block | None = None
        self._filled = 0  # bytes of that block
        self._left = threading.Event()
        self._begun: list[tuple[Source, ResumedCheckpoint]] = []  # captures that were read before, or a part of them
        if resumed is not None:
            self._seen, self._frames = resumed.decoding(self.fragments, self.interfaces, self.samples)
            while self._waiting and self._waiting[0][2].number < len(resumed.names):
                self._begun.append((self._waiting.popleft()[2], resumed))
        self._done: queue.Queue[Block | DecoderState | BaseException | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._work, name="decoding", daemon=True)

    @property
    def failure(self) -> str | None:
        """Why a capture could not be read, or no further."""
        return next((source.failure for source in self._sources if source.failure is not None), None)

    def __iter__(self) -> Iterator[Block]:
        return (step for step in self.steps() if isinstance(step, Block))

    def steps(self) -> Iterator[Block | DecoderState]:
        """The blocks of packets, with the borders between captures where these are wanted."""
        self._thread.start()
        try:
            while (step := self._done.get()) is not None:
                if isinstance(step, BaseException):
                    raise step
                yield step
                if isinstance(step, Block):
                    self._blocks.give(step)
        finally:  # also where following failed: nobody must read on when the captures are closed
            self._left.set()
            self._thread.join()

    def _work(self) -> None:
        try:
            try:
                self._merge()
            finally:
                for cursor in self._open:
                    cursor.close()
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the blocks are taken
            self._put(error)

    def _put(self, item: Block | DecoderState | BaseException | None) -> None:
        """Hand something to the other thread, unless it waits for nothing any more."""
        while not self._left.is_set():
            try:
                self._done.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def _merge(self) -> None:
        """Piece after piece until the captures are at their ends."""
        for source, resumed in self._begun:
            if (standing := resumed.standing(source.number)) is not None:
                self._open_one(source, source.number * MOST_RUNS, standing=standing)
        self._go_on(self._open)
        while not self._stopped.is_set() and not self._left.is_set():
            self._begin()
            if not self._open:
                break
            border = self._open.border
            some = self._open.until(border)
            self._take([_until(cursor, border) for cursor in some])
            self._reached = max(self._reached, border[0])
            if self._pace is not None and self._pace.is_due_inside:
                self._reach_inside(self._pace)
            self._go_on(some)
            if not self._open and self._pace is not None:
                self._reach_border(self._pace)
        self._flush()

    def _begin(self) -> None:
        """Open the captures that begin before what is known of those that are open."""
        while self._waiting:
            first = self._waiting[0]
            if self._open and first[:2] > self._open.border:
                return
            self._waiting.popleft()
            if self._waiting:
                self._waiting[0][2].item.prepare()
            if (cursor := self._open_one(first[2], first[1], first[3])) is not None:
                self._load(cursor)

    def _open_one(
        self, source: Source, number: int, run: SortableRun | None = None, standing: OpenCapture | None = None
    ) -> Cursor | None:
        """Open a capture; ``number``: its place; ``standing``: where it is read on. None where it cannot be read."""
        place = Place(number, len(self._open), run, prompt=self._prompt)
        try:
            cursor = Cursor(source, self._blocks, self.interfaces, place, standing)
        except InputError as error:
            source.failure, source.item.is_done = str(error), True
        except OSError as error:
            source.failure, source.item.is_done = f"{source.item.name}: {error.strerror or error}", True
        else:
            self._open.add(cursor)
            return cursor
        return None

    def _reach_border(self, pace: CheckpointPace) -> None:
        """No capture is open: tell what is remembered, where that is wanted."""
        if not self._waiting or (pace.is_due and not self._in_runs):
            self._tell(pace, [])

    def _reach_inside(self, pace: CheckpointPace) -> None:
        """Captures are open: tell where each stands as well."""
        standing = [one for cursor in self._open if (one := cursor.standing()) is not None]
        if len(standing) == len(self._open) and sum(one.data.nbytes for one in standing) <= MOST_PENDING:
            self._tell(pace, standing)
        pace.last = time.monotonic()

    def _tell(self, pace: CheckpointPace, standing: Sequence[OpenCapture]) -> None:
        """Tell what is remembered, unless some of a capture is lost."""
        if any(source.failure is not None and source.counted.counters[S.PACKETS] for source in self._sources):
            return
        self._flush()
        reached = self._waiting[0][2].number if self._waiting else len(self._tallies)
        network = self.control, self.fragments, self.interfaces, self.samples
        seen = Seen(self._seen, self._frames, self._tallies[:reached], alone=self._alone)
        self._put(border(seen, *network, standing, is_last=not self._waiting and not standing))
        pace.last = time.monotonic()

    def _load(self, cursor: Cursor) -> None:
        """The next packets of a capture, or its end."""
        if cursor.load(self._reached):
            self._open.note(cursor)
        else:
            self._open.remove(cursor)
            cursor.close()

    def _go_on(self, some: Iterable[Cursor]) -> None:
        """Where all packets of a block were handed on, read on; ``some``: captures of which packets were."""
        for cursor in some:
            if cursor.at == cursor.block.count:
                self._load(cursor)
            else:
                self._open.note(cursor)

    def _take(self, pieces: list[Piece]) -> None:
        """Hand packets on, in order: a block as it is, or gathered from several."""
        cursor, begin, end = pieces[0]
        whole = len(pieces) == 1 and begin == 0 and end == cursor.block.count
        if whole and (self._alone or end >= WHOLE):
            self._flush()
            self._hand_over(cursor.hand_over(), several=False)
            return
        self._gather(pieces)
        for one, _, last in pieces:
            one.at = last

    def _gather(self, pieces: list[Piece]) -> None:
        """Copy packets of several captures into one block, in the order of time."""
        count = sum(end - begin for _, begin, end in pieces)
        areas = [cursor.block.area(begin, end) for cursor, begin, end in pieces]
        size = sum(end - begin for begin, end in areas)
        block = self._room(count, size)
        parts, keys = [], []
        for (cursor, begin, end), (first, last) in zip(pieces, areas, strict=True):
            block.buffer[self._filled : self._filled + last - first] = cursor.block.buffer[first:last]
            parts.append(cursor.block.copied(begin, end, self._filled))
            keys.append(cursor.keys[begin:end])
            self._filled += last - first
        merged = parts[0]
        if len(parts) > 1:  # of equal times those of the capture that began first come first
            merged = np.concatenate(parts)[np.argsort(np.concatenate(keys), kind="stable")]
        block.put(merged)

    def _room(self, count: int, size: int) -> Block:
        """The block that is being gathered, with room for more packets and bytes of them."""
        block = self._gathered
        if block is not None and (block.count + count > len(block.packets) or self._filled + size > len(block.buffer)):
            self._flush()
            block = None
        if block is None:
            block = self._gathered = self._blocks.take(self._blocks.size)
            self._filled = 0
            if count > len(block.packets) or size > len(block.buffer):
                block = self._gathered = Block(new_buffer(size), S.packets(max(count, size // BYTES_A_PACKET)))
        return block

    def _flush(self) -> None:
        """Hand over what was gathered."""
        block, self._gathered = self._gathered, None
        if block is not None:
            self._hand_over(block, several=True)

    def _hand_over(self, block: Block, *, several: bool) -> None:
        """Give a block to the other thread, with the datagrams that became whole in it; ``several``: of several captures."""
        block.data = block.buffer
        packets = block.packets[: block.count]
        whole = not block.fragments
        reports = copies.find_copies(block.buffer, self._seen, self._frames, packets, several, self._tallies, whole)
        if block.fragments:
            block.data, joined = self.fragments.join(block.buffer, packets)
            some = packets[joined]
            scan.read_batch(block.data, 0, 0, DATAGRAM_LAYOUT, NO_INTERFACES, 0, some)
            packets[joined] = some
            reports = counting.tally(block.data, packets, self._tallies)
        if block.about_network:
            self.control.take(block.data, packets)
        if reports:
            block.data, block.count = self.samples.add(block.data, block.packets, block.count)
        self._put(block)


def _coming(sources: Sequence[Source]) -> list[Coming]:
    """What is to be opened, in order: captures, and runs of them."""
    coming: list[Coming] = []
    for source in sources:
        runs: Sequence[SortableRun | None] = source.runs or (None,)
        for k, run in enumerate(runs):
            first = source.first if run is None else run.first - correction(source.counted.offset)
            coming.append((first, source.number * MOST_RUNS + k, source, run))
    return sorted(coming, key=lambda one: one[:2])


def _until(cursor: Cursor, border: tuple[int, int]) -> Piece:
    """The packets of an open capture that come before all that is not known yet, of which there are some."""
    time, number = border
    if cursor.key <= border:
        return cursor, cursor.at, cursor.block.count  # all: their times need not be put in order
    keys = cursor.keys[cursor.at :]
    end = cursor.at + int(np.searchsorted(keys, time, "right" if cursor.number <= number else "left"))
    return cursor, cursor.at, end
