"""The reading half of an audit, in two threads of its own: captures in, batches of finished flows out.

One thread reads and decodes, block by block; the other gives the packets to their flows. The kernels run without the
GIL, so both go on while the main thread loads libraries and turns batches into tables. Nothing but numpy and llvmlite is
imported here, so that reading can begin early.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from auditor import scan
from auditor.capture.inputs import Input
from auditor.capture.pcap import DAMAGED, FULL, MORE, SPECIAL
from auditor.capture.reader import BLOCK_BYTES, Notes, Reader, new_buffer
from auditor.decode.control import Control
from auditor.decode.fragments import Fragments
from auditor.errors import InputError
from auditor.flows import rows
from auditor.flows import state as S

BLOCKS = 3  # in use at one time: one is being decoded, one waits, one is being followed
SMALLEST_PACKET = 64  # bytes with its record header: how many packets a block can hold, nearly always
WAITING = 2  # batches that may wait to be taken: what bounds memory where tables are slower than reading


@dataclass
class Counted:
    """What was counted of one capture; complete once the capture is read to its end."""

    notes: Notes
    counters: "S.Array"
    fragments: Fragments = field(default_factory=Fragments)
    control: Control = field(default_factory=Control)
    interfaces: list[str | None] = field(default_factory=list)
    flows: int = 0
    handshakes: int = 0
    dropped: int | None = None
    secrets: int = 0
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass
class Batch:
    """Finished flows. Interned numbers mean bytes of ``memory``; they are given out anew in each ``generation``."""

    source: Input
    rows: rows.Rows
    memory: S.Memory
    generation: int
    interfaces: list[str | None]
    first_flow: int  # flows of the captures before this one
    control: Control  # what the capture has told of the network so far
    key_logs: list[bytes]  # TLS secrets that the capture has shown so far


@dataclass
class Finished:
    """A capture was read to its end."""

    source: Input
    counted: Counted


@dataclass
class Unreadable:
    """An input that could not be read, and why."""

    source: Input
    reason: str


Event = Batch | Finished | Unreadable


@dataclass
class Block:
    """A block of a capture and the packets decoded from it."""

    buffer: "S.Array"
    packets: "S.Array"
    count: int = 0
    fragments: int = 0
    telling: int = 0  # packets that tell of the network
    link_types: list[int] = field(default_factory=list)  # of the capture's interfaces
    names: list[str | None] = field(default_factory=list)  # likewise
    data: "S.Array | None" = None  # what the packets lie in: the buffer, with datagrams from fragments behind it


class Decoding:
    """Decodes a capture in a thread; iterate to get its blocks. A block is used again once the next one is asked for."""

    def __init__(self, reader: Reader, stopped: threading.Event, counted: "Counted") -> None:
        self._reader = reader
        self._stopped = stopped
        self._fragments = counted.fragments
        self._control = counted.control
        self._seen = scan.new_recent()
        size = len(reader.buffer)
        room = max(1024, size // SMALLEST_PACKET)
        self._left = threading.Event()
        self._free: queue.Queue[Block] = queue.Queue()
        self._done: queue.Queue[Block | BaseException | None] = queue.Queue()
        self._free.put(Block(reader.buffer, scan.new_batch(room)))
        for _ in range(BLOCKS - 1):
            self._free.put(Block(new_buffer(size), scan.new_batch(room)))
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
            self._free.put(Block(self._reader.buffer, scan.new_batch()))
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
            found, reader.position, ended, fragments, telling = scan.read_batch(
                reader.buffer,
                reader.position,
                reader.stop,
                reader.layout,
                reader.interfaces,
                self._seen,
                frame,
                block.packets[block.count :],
            )
            frame += found
            block.count += found
            block.fragments += fragments
            block.telling += telling
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
        block.names = _interfaces(self._reader)
        if block.fragments:
            packets = block.packets[: block.count]
            block.data, whole = self._fragments.join(block.buffer, packets)
            some = packets[whole]
            scan.read_batch(block.data, 0, 0, scan.DATAGRAM_LAYOUT, self._reader.interfaces, self._seen, 0, some)
            packets[whole] = some
        if block.telling:
            self._control.take(block.data, block.packets[: block.count])
        self._done.put(block)

    def _next(self, block: Block, more: bool, *, full: bool) -> tuple[Block, bool]:
        """Hand a block over and go on in another; False where there is nothing more to read."""
        if not more:
            return block, False
        if block.count:
            self._hand_over(block)
            block = self._free.get()
            block.count = block.fragments = block.telling = 0
        more = self._reader.fill(block.buffer)
        block.buffer = self._reader.buffer
        if not more and not full:
            self._reader.ended()
            return block, False
        return block, True


class Reading:
    """Reads inputs in a thread; iterate to get what happens, in order."""

    def __init__(self, inputs: Iterable[Input], block_bytes: int = BLOCK_BYTES, prompt: bool = False) -> None:
        self.inputs = list(inputs)
        self._block_bytes = block_bytes
        self.prompt = prompt
        self._queue: queue.Queue[Event | BaseException | None] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self.loaded = threading.Event()  # the kernels are there: from now on this thread seldom needs the GIL
        self._generation = 0
        self._flows = 0
        self._thread = threading.Thread(target=self._work, name="reading", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Event]:
        while (event := self._queue.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    def stop(self) -> None:
        """Read no further; what was read is still finished (after Ctrl-C)."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and let go of what was not taken."""
        self.stop()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self) -> None:
        try:
            try:
                scan.prepare()
            finally:
                self.loaded.set()
            for source in self.inputs:
                try:
                    self._read(source)
                except InputError as error:
                    self._queue.put(Unreadable(source, str(error)))
                except OSError as error:
                    self._queue.put(Unreadable(source, f"{source.name}: {error.strerror or error}"))
                if self._stopped.is_set():
                    break
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the events are taken
            self._queue.put(error)

    def _read(self, source: Input) -> None:
        reader = Reader(source, self._block_bytes, self.prompt)
        state = S.new_state()
        counted = Counted(reader.notes, state.memory.counters)
        try:
            state = self._follow(reader, state, source, counted)
            source.read_rest()
        finally:
            reader.close()
        while scan.follow_batch(state, reader.buffer, scan.new_batch(), 0, 0, True)[1] != MORE:
            state = self._send(reader, state, source, counted)
        self._send(reader, state, source, counted)
        self._generation += 1
        self._flows += int(state.memory.counters[S.FLOWS_MADE])
        counted.fragments.ended()
        counted.interfaces = _interfaces(reader)
        counted.secrets = reader.pcapng.secrets
        dropped = [info.dropped for info in reader.pcapng.interfaces if info.dropped is not None]
        counted.dropped = sum(dropped) if dropped else None
        counted.bytes = source.digest.count if source.digest is not None else 0
        self._queue.put(Finished(source, counted))

    def _follow(self, reader: Reader, state: S.State, source: Input, counted: Counted) -> S.State:
        """Give the packets of all blocks to their flows."""
        try:
            for block in Decoding(reader, self._stopped, counted):
                following = 0
                while True:
                    following, reason = scan.follow_batch(
                        state, block.data, block.packets, following, block.count, False
                    )
                    if reason == MORE:
                        break
                    state = S.make_room(state) if reason == scan.ROOM else self._send(reader, state, source, counted)
        except IndexError:
            # A bounds check of a kernel: a fault of ours, but what was read before it is not lost.
            reader.damaged("a packet that cannot be followed (please report it)", reader.offset + reader.position)
        return state

    def _send(self, reader: Reader, state: S.State, source: Input, counted: Counted) -> S.State:
        """Put the finished flows into the queue."""
        done, state = rows.take(state)
        if len(done):
            counted.flows += len(done)
            counted.handshakes += len(done.handshakes)
            names, told = _interfaces(reader), counted.control
            logs = reader.pcapng.key_logs
            self._queue.put(Batch(source, done, state.memory, self._generation, names, self._flows, told, logs))
        smaller = rows.renumber(state)
        if smaller is not None:
            self._generation += 1
            state = smaller
        return state


def _interfaces(reader: Reader) -> list[str | None]:
    return [info.name for info in reader.pcapng.interfaces]
