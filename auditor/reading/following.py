"""The thread that follows flows: captures in, batches of finished flows out.

It takes blocks of decoded packets from a thread of ``decoding`` and gives the packets to their flows. The kernels run
without the GIL, so both go on while the main thread loads libraries and turns batches into tables. Nothing but numpy and
llvmlite is imported here, so that reading can begin early.
"""

import queue
import threading
from collections.abc import Iterable, Iterator

import auditor.flows.community_id
import auditor.flows.text  # noqa: F401 - its kernel is prepared with those of reading
from auditor.capture.inputs import Input
from auditor.capture.pcap import MORE
from auditor.capture.reader import BLOCK_BYTES, Reader
from auditor.errors import InputError
from auditor.flows import rows
from auditor.flows import state as S
from auditor.flows.room import make_room, new_state
from auditor.machine import kernel
from auditor.reading import scan
from auditor.reading.decoding import Decoding, interface_names
from auditor.reading.events import Batch, Counted, Event, Finished, Unreadable
from auditor.tls import datagrams

WAITING = 2  # batches that may wait to be taken: what bounds memory where tables are slower than reading


class Reading:
    """Reads inputs in a thread; iterate to get what happens, in order."""

    def __init__(self, inputs: Iterable[Input], block_bytes: int = BLOCK_BYTES, prompt: bool = False) -> None:
        self.inputs = list(inputs)
        self._block_bytes = block_bytes
        self.prompt = prompt
        self._queue: queue.Queue[Event | BaseException | None] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self.loaded = threading.Event()  # the kernels are there: from now on this thread seldom needs the GIL
        self.packets = 0  # of all captures, so far
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
                kernel.prepare()
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
        state = new_state()
        counted = Counted(reader.notes, state.memory.counters)
        try:
            state = self._follow(reader, state, source, counted)
            source.read_rest()
        finally:
            reader.close()
        while scan.follow_batch(state, reader.buffer, S.packets(1), 0, 0, True)[1] != MORE:
            state = self._send(reader, state, source, counted)
        self._send(reader, state, source, counted)
        self._generation += 1
        self._flows += int(state.memory.counters[S.FLOWS_MADE])
        counted.fragments.ended()
        counted.interfaces = interface_names(reader)
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
                self.packets += block.count
                while True:
                    following, reason = scan.follow_batch(
                        state, block.data, block.packets, following, block.count, False
                    )
                    if reason == MORE:
                        break
                    state = make_room(state) if reason == scan.ROOM else self._send(reader, state, source, counted)
        except IndexError:
            # A bounds check of a kernel: a fault of ours, but what was read before it is not lost.
            reader.damaged("a packet that cannot be followed (please report it)", reader.offset + reader.position)
        return state

    def _send(self, reader: Reader, state: S.State, source: Input, counted: Counted) -> S.State:
        """Put the finished flows into the queue."""
        done = rows.finished(state)
        state, handshakes, flow_of_each = datagrams.handshakes(state, done.flows, done.sides)
        done.add_handshakes(handshakes, flow_of_each)
        rows.free(state)
        if len(done):
            counted.flows += len(done)
            counted.handshakes += len(done.handshakes)
            batch = Batch(
                source,
                done,
                state.memory,
                self._generation,
                interfaces=interface_names(reader),
                first_flow=self._flows,
                control=counted.control,
                key_logs=reader.pcapng.key_logs,
            )
            self._queue.put(batch)
        smaller = rows.renumber(state)
        if smaller is not None:
            self._generation += 1
            state = smaller
        return state
