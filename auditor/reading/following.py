"""The thread that follows flows: captures in, batches of finished flows out.

It takes blocks of decoded packets from a thread of ``decoding`` and gives the packets to their flows. The kernels run
without the GIL, so both go on while the main thread loads libraries and turns batches into tables. Nothing but numpy and
llvmlite is imported here, so that reading can begin early.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np

import auditor.flows.community_id
import auditor.flows.text
import auditor.reading.answering  # noqa: F401 - kernels that are prepared with those of reading
from auditor.capture.inputs import Input
from auditor.capture.pcap import MORE
from auditor.capture.reader import BLOCK_BYTES
from auditor.decode.control import Control, FactLimits
from auditor.decode.frames import BITS, capture
from auditor.flows import rows
from auditor.flows import state as S
from auditor.flows.intern import intern_full
from auditor.flows.limits import Limits
from auditor.flows.room import forget_answers, is_full, make_room, new_state, oldest
from auditor.flows.table import evict
from auditor.machine import kernel, memory
from auditor.reading import scan
from auditor.reading.checkpoint import CheckpointPace, DecoderState, ResumePoint, checkpoint
from auditor.reading.decoding import CANNOT_BE_FOLLOWED
from auditor.reading.events import Batch, CapturesEnded, Checkpoint, Event, Finished, Unreadable
from auditor.reading.exchange import ExchangeFiles, Share
from auditor.reading.merging import Merging
from auditor.reading.sources import FirstPackets, Source, measure, ordered
from auditor.reading.window import Window
from auditor.tls import datagrams, long_messages

WAITING = 2  # batches that may wait to be taken: what bounds memory where tables are slower than reading
BATCHES = 4  # that share the memory for them: those that wait are rows yet, one is described, tables of one are written
LARGE_ARENA = 64 << 20  # bytes of interned strings of which there are not to be several at one time


def within(ceiling: memory.Ceiling) -> tuple[Limits, FactLimits]:
    """How much is remembered of flows, and of what captures show of their network."""
    limits = Limits.within(
        flows=ceiling.part(memory.FLOWS),
        streams=ceiling.part(memory.STREAMS),
        strings=ceiling.part(memory.STRINGS),
    )
    return limits, FactLimits.within(ceiling.part(memory.FACTS))


class Reading:
    """Reads inputs in a thread, as one capture or each ``apart``; iterate to get what happens, in order.

    ``share``: follows some of the flows only. What they tell and ask the others is in the files that ``CapturesEnded`` lists.
    """

    def __init__(
        self,
        inputs: Iterable[Input],
        block_bytes: int = BLOCK_BYTES,
        *,
        prompt: bool = False,
        apart: bool = False,
        window: Window | None = None,
        ceiling: memory.Ceiling | None = None,
        share: Share | None = None,
        borders: bool = False,
        onward: ResumePoint | None = None,
    ) -> None:
        """``borders``: events tell where reading could go on; ``onward``: what was read before, to go on from there."""
        self.inputs = list(inputs)
        ceiling = ceiling or memory.ceiling()
        self._limits, self._facts = within(ceiling)
        self._batch_bytes = ceiling.part(memory.BATCHES) // BATCHES
        self._block_bytes = block_bytes
        self.prompt = prompt
        self._apart = apart
        self._window = window
        self._share = share
        self._exchange: ExchangeFiles | None = None  # what flows of a share state and ask, of what is read now
        self._pace = CheckpointPace() if borders else None
        self._onward = onward
        self._queue: queue.Queue[Event | BaseException | None] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self._closed = threading.Event()
        self._asking = threading.Condition()
        self._asked = self._sent = 0  # events
        self.loaded = threading.Event()  # the kernels are there: from now on this thread seldom needs the GIL
        self._packets = 0 if onward is None else onward.packets
        self._span: tuple[int | None, int | None] = (None, None)
        self._generation = 0
        self._groups = (
            0 if onward is None else onward.groups
        )  # captures, or all of them as one, that were read to their ends
        self._thread = threading.Thread(target=self._work, name="reading", daemon=True)
        self._thread.start()

    @property
    def packets(self) -> int:
        """Packets read so far, of all captures."""
        return self._packets

    @property
    def done(self) -> int:
        """Bytes read so far, packed or not."""
        return sum(item.digest.count for item in self.inputs if item.digest is not None)

    @property
    def files(self) -> int:
        """Captures that were read."""
        return sum(item.is_done for item in self.inputs)

    def __iter__(self) -> Iterator[Event]:
        while (event := self._next()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    def _next(self) -> Event | BaseException | None:
        with self._asking:
            self._asked += 1  # what was given before is done with
            self._asking.notify()
        return self._queue.get()

    def span(self) -> tuple[int | None, int | None]:
        """The earliest time of a packet and the latest, once all have been read: until then an earlier one may come."""
        return self._span

    def stop(self) -> None:
        """Read no further; what was read is still finished (after Ctrl-C)."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, wait for no more of what comes as a stream, and let go of what was not taken."""
        self.stop()
        self._closed.set()
        for item in self.inputs:
            item.stop()
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
            done = self._groups
            for inputs in ([[one] for one in self.inputs] if self._apart else [self.inputs])[done:]:
                self._read(inputs)
                self._groups += 1
                self._tell_apart_border()
                if self._stopped.is_set():
                    break
            self._queue.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the events are taken
            self._queue.put(error)

    def _read(self, inputs: list[Input]) -> None:
        """Read captures as one."""
        onward, state = self._onward, None
        resumed = None if onward is None else onward.resumed
        if onward is not None and resumed is not None:
            sources, tallies, control, state = onward.sources, onward.tallies, onward.control, onward.state
        else:
            known: dict[str, FirstPackets] | None = None if self._pace is None or self._apart else {}
            sources, tallies = ordered(inputs, known=known, window=self._window, is_strict=not self.prompt)
            control = Control(self._facts, captures=[source.item.name for source in sources])
        merging = Merging(
            [source for source in sources if not source.skipped],
            tallies,
            self._stopped,
            self._block_bytes,
            prompt=self.prompt,
            control=control,
            pace=None if self._apart else self._pace,
            resumed=resumed,
        )
        state = state or new_state(self._limits, tallies)
        if self._share is not None:
            self._share.mark(state)
            before = list(self._share.before) if resumed is not None else []
            self._exchange = ExchangeFiles(self._share, self._groups, before)
        state = self._follow(merging, state, sources)
        if not self._apart and self._packets:
            self._span = int(tallies[:, S.FIRST_TIME].min()), int(tallies[:, S.LAST_TIME].max())
        nothing = S.packets(1)
        while scan.follow_batch(state, nothing.view(np.uint8), nothing, 0, 0, True)[1] != MORE:
            state = self._send(merging, state, sources)
        self._send(merging, state, sources)
        self._generation += 1
        merging.fragments.ended()
        if self._exchange is not None:
            self._exchange.write()
        self._put(
            CapturesEnded(sources, merging.interfaces.names, control, self._exchange.files if self._exchange else ())
        )
        measure(sources)
        read = [source for source in sources if source.failure is None]
        for source in read:
            source.counted.fragments = merging.fragments.counts[source.number]
            source.counted.samples = merging.samples.counts[source.number]
            source.counted.samples_left_out = merging.samples.left_out[source.number]
        for source in read[:1]:
            source.counted.forgotten = int(state.memory.counters[S.FORGOTTEN_ANSWERS])
            source.counted.left_out = control.left_out
        for source in sources:
            if source.failure is None:
                self._put(Finished(source.item, source.counted))
            else:
                self._put(Unreadable(source.item, source.failure))

    def _follow(self, merging: Merging, state: S.State, sources: list[Source]) -> S.State:
        """Give the packets of all blocks to their flows."""
        number = 0
        try:
            for block in merging.steps():
                if isinstance(block, DecoderState):
                    self._reach(block, state, sources)
                    continue
                number, following = capture(int(block.packets[0].frame)), 0
                self._packets += block.count
                while True:
                    following, reason = scan.follow_batch(
                        state, block.data, block.packets, following, block.count, False
                    )
                    if reason == MORE:
                        break
                    if reason == scan.ROOM:
                        state = self._make_room(merging, state, sources)
                    else:
                        state = self._send(merging, state, sources)
        except IndexError:
            # A bounds check of a kernel: a fault of ours, but what was read before it is not lost.
            sources[number].counted.notes.fault(CANNOT_BE_FOLLOWED)
        return state

    def _reach(self, border: DecoderState, state: S.State, sources: list[Source]) -> None:
        """Tell where reading could go on."""
        assert self._pace is not None
        if not self._stopped.is_set():
            began = time.monotonic()
            if self._exchange is not None:
                self._exchange.take(state.memory)
                self._exchange.write()
            reached = checkpoint(border, state, self.packets, sources, self._pace)
            reached.exchanged = list(self._exchange.files) if self._exchange is not None else ()
            self._pace.took = time.monotonic() - began
            self._put(reached)

    def _tell_apart_border(self) -> None:
        """Tell that reading could go on behind captures that were read apart."""
        if self._pace is not None and self._apart and not self._stopped.is_set():
            is_last = self._groups == len(self.inputs)
            if is_last or self._pace.is_due:
                self._put(Checkpoint([], is_last, {"packets": self.packets}, [], self._pace.written))
                self._pace.last = time.monotonic()

    def _make_room(self, merging: Merging, state: S.State, sources: list[Source]) -> S.State:
        """Where an array is full: larger ones, or let go of what nobody needs; then of the flows idle the longest."""
        if self._exchange is not None:
            self._exchange.take(state.memory)
        state = make_room(state)
        if is_full(state):
            state = make_room(self._send(merging, state, sources, full=True))
        while is_full(state):
            if intern_full(state.memory.arena, state.memory.entries):
                forget_answers(state)
            for part in oldest(state):
                _add(sources, "evicted", state.ways["first_frame"][part] >> BITS)
                evict(state, part)
                state = self._send(merging, state, sources)
            state = make_room(self._send(merging, state, sources, full=True))
        return state

    def _send(self, merging: Merging, state: S.State, sources: list[Source], *, full: bool = False) -> S.State:
        """Put the finished flows into the queue. ``full``: interned strings that nobody needs are let go."""
        done = rows.finished(state)
        if self._exchange is not None:
            self._exchange.take(state.memory)
        state = long_messages.join(state, done.flows, done.handshakes, done.handshake_flow)
        state, handshakes, flow_of_each = datagrams.handshakes(state, done.flows, done.sides)
        if self._exchange is not None:
            self._exchange.take(state.memory, late=True)
        done.add_handshakes(handshakes, flow_of_each)
        rows.free(state)
        _count(done, sources)
        self._tell_apart(done)
        for part in done.parts(state.memory, self._batch_bytes):
            batch = Batch(
                merging.control.captures,
                part,
                part.held_bytes(state.memory),
                state.memory,
                self._generation,
                interfaces=list(merging.interfaces.names),
                control=merging.control,
                key_logs={source.item.name: source.key_logs for source in sources if source.key_logs},
            )
            self._put(batch)
        if full or rows.is_grown(state):
            if len(state.memory.arena) > LARGE_ARENA:
                self._wait_until_taken()
            self._generation += 1
            state = rows.renumber(state, self._limits)
        return state

    def _tell_apart(self, done: rows.Rows) -> None:
        """Number the flows of captures that are audited apart differently: the same flow may be in several."""
        if not self._groups:
            return
        from auditor.tables.columns import mixed  # what loads Arrow, which is seldom needed here

        for numbers in (done.flows["identifier"], done.handshakes["flow"]):
            numbers[:] = (mixed(numbers, np.full(len(numbers), self._groups)) >> np.uint64(1)).astype(np.int64)

    def _put(self, event: Event) -> None:
        self._queue.put(event)
        self._sent += 1

    def _wait_until_taken(self) -> None:
        """Wait until nobody needs the strings of the batches before any more."""
        while self._asked <= self._sent and not self._closed.is_set():
            with self._asking:
                self._asking.wait(0.05)


def _count(done: rows.Rows, sources: list[Source]) -> None:
    """Count flows and handshakes with the captures that they began in."""
    began = done.sides["first_frame"][:, 0] >> BITS
    _add(sources, "flows", began)
    _add(sources, "handshakes", began[done.handshake_flow])


def _add(sources: list[Source], which: str, captures: S.Array) -> None:
    """Count something of captures; ``captures``: the number of one for each."""
    for number, count in enumerate(np.bincount(captures).tolist()):
        if count:
            counted = sources[number].counted
            setattr(counted, which, getattr(counted, which) + count)
