"""Handshakes over datagrams: QUIC and DTLS, put together from the datagrams that the kernels kept of a flow.

There are few of them and each is small, so this is plain Python. What it finds are handshake messages; the kernel that
reads those of TLS over TCP reads them too (``records.read_message``), so the rows are the same.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.tls.records import LARGEST_READ, LETTER_OF_ALERT, NOTHING_SEEN, read_message

Array = np.ndarray[Any, Any]


class Datagram(NamedTuple):
    """A datagram's payload (or its beginning) and where it was seen. ``side``: 0 is the flow's first sender."""

    data: bytes
    side: int
    frame: int
    time: int


class Messages:
    """A handshake in the making: takes messages, keeps the kernel's row of it."""

    def __init__(self, state: S.State, transport: int, client_side: int, first: Datagram) -> None:
        self.state = state
        self.rows = S.records(1, S.HANDSHAKE)
        row = self.row
        row.started, row.client_side, row.transport, row.alert = first.time, client_side, transport, NOTHING_SEEN
        self._packet = S.packets(1)

    @property
    def row(self) -> Any:
        return self.rows[0]

    def take(self, side: int, kind: int, body: bytes, seen: Datagram) -> None:
        """A whole message. One that is longer than any real one is left out."""
        if len(body) > LARGEST_READ:
            return
        self.state = S.make_room(self.state)
        self._packet[0].frame, self._packet[0].time = seen.frame, seen.time
        memory = self.state.memory
        memory.scratch[: len(body)] = np.frombuffer(body, np.uint8)
        read_message(memory, self.rows, self._packet, side, kind, len(body))

    def saw(self, bits: int) -> None:
        self.row.seen |= np.uint32(bits)

    def alert(self, side: int, level: int, description: int) -> None:
        self.letter(side, LETTER_OF_ALERT)
        self.row.alert_level, self.row.alert, self.row.alert_side = level, description, side

    def letter(self, side: int, capital: int) -> None:
        row = self.row
        if row.history_length < S.HISTORY:
            row.history[row.history_length] = capital if side == row.client_side else capital + 32
            row.history_length += 1


class Assembler(Protocol):
    """Puts the datagrams of one flow together."""

    state: S.State

    def run(self, datagrams: list[Datagram], protected: tuple[bool, bool]) -> list[Messages]:
        """The handshakes found; ``protected``: whether each side sent packets under the session's keys."""
        ...


def kept(state: S.State, last: int) -> list[Datagram]:
    """The datagrams of the chain that ends at ``last``, in the order they came."""
    memory, found = state.memory, []
    while last >= 0:
        row = memory.datagrams[last]
        data = value(memory.arena, memory.entries, int(row.bytes))
        found.append(Datagram(data, int(row.side), int(row.frame), int(row.time)))
        last = int(row.next)
    return found[::-1]


def handshakes(state: S.State, flows: Array, sides: Array) -> tuple[S.State, Array, Array]:
    """The handshakes in the kept datagrams of finished flows: the state (its arrays may have grown), rows, flow of each.

    ``flows`` and ``sides`` are copies of finished rows; the client of a flow is set by its ClientHello.
    """
    from auditor.tls.protocols import QUIC

    rows: list[Array] = []
    index: list[int] = []
    for at in np.flatnonzero(flows["datagram"] >= 0).tolist():
        assembler: Assembler
        if flows["application"][at] == QUIC:
            from auditor.tls.quic import Quic

            assembler = Quic(state)
        else:
            from auditor.tls.dtls import Dtls

            assembler = Dtls(state)
        one, two = sides["protected"][at].tolist()
        for made in assembler.run(kept(state, int(flows["datagram"][at])), (bool(one), bool(two))):
            made.row.flow = flows["identifier"][at]
            flows["client"][at] = made.row.client_side
            rows.append(made.rows.view(np.ndarray))
            index.append(at)
        state = assembler.state
    if not rows:
        return state, np.zeros(0, S.HANDSHAKE), np.zeros(0, np.int64)
    return state, np.concatenate(rows).astype(S.HANDSHAKE), np.array(index)


def messages(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole handshake messages at the beginning of a stream: type, body, and where the next one begins."""
    at = 0
    while at + 4 <= len(stream):
        size = int.from_bytes(stream[at + 1 : at + 4], "big")
        if at + 4 + size > len(stream):
            return
        at += 4 + size
        yield stream[at - 4 - size], stream[at - size : at], at
