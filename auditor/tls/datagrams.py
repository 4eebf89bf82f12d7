"""Handshakes over datagrams: QUIC and DTLS, put together from the datagrams that the kernels kept of a flow.

There are few of them and each is small, so this is plain Python. What it finds are handshake messages; the kernel that
reads those of TLS over TCP reads them too (``records.read_message``), so the rows are the same.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.tls.records import DTLS, LARGEST_READ, LETTER_OF_ALERT, NOTHING_SEEN, QUIC, read_message

Array = np.ndarray[Any, Any]


class Datagram(NamedTuple):
    """A datagram's payload (or its beginning) and where it was seen. ``side``: 0 is the flow's first sender."""

    data: bytes
    side: int
    frame: int
    time: int


class Messages:
    """A handshake in the making: takes messages, keeps the kernel's row of it, whose fields are ``made[name]``."""

    def __init__(self, state: S.State, transport: int, client_side: int, first: Datagram) -> None:
        self.state = state
        self.rows = S.records(1, S.HANDSHAKE)
        self._fields = self.rows.view(np.ndarray)
        self["started"], self["client_side"], self["transport"] = first.time, client_side, transport
        self["alert"] = NOTHING_SEEN

    def __getitem__(self, name: str) -> int:
        return int(self._fields[name][0])

    def __setitem__(self, name: str, number: int) -> None:
        self._fields[name][0] = number

    def take(self, side: int, kind: int, body: bytes, seen: Datagram) -> None:
        """A whole message. One that is longer than any real one is left out."""
        if len(body) > LARGEST_READ:
            return
        self.state = S.make_room(self.state)
        packet = S.packets(1)
        packet["frame"], packet["time"] = seen.frame, seen.time
        memory = self.state.memory
        memory.scratch[: len(body)] = np.frombuffer(body, np.uint8)
        read_message(memory, self.rows, packet, side, kind, len(body))

    def saw(self, bits: int) -> None:
        self["seen"] |= bits

    def alert(self, side: int, level: int, description: int) -> None:
        self._letter(side, LETTER_OF_ALERT)
        self["alert_level"], self["alert"], self["alert_side"] = level, description, side

    def _letter(self, side: int, capital: int) -> None:
        length = self["history_length"]
        if length < S.HISTORY:
            self._fields["history"][0, length] = capital if side == self["client_side"] else capital + 32
            self["history_length"] = length + 1


class Assembler(Protocol):
    """Puts the datagrams of one flow together."""

    state: S.State

    def run(self, datagrams: list[Datagram], protected: list[bool]) -> list[Messages]:
        """The handshakes found; ``protected``: whether each side sent packets under the session's keys."""
        ...


class Kept:
    """The datagrams that the kernels kept."""

    def __init__(self, memory: S.Memory) -> None:
        rows = memory.datagrams.view(np.ndarray)
        self._bytes, self._next, self._side, self._frame, self._time = (
            rows[name].tolist() for name in ("bytes", "next", "side", "frame", "time")
        )
        self._memory = memory

    def chain(self, last: int) -> list[Datagram]:
        """The datagrams of the chain that ends at ``last``, in the order they came."""
        memory, found = self._memory, []
        while last >= 0:
            data = value(memory.arena, memory.entries, self._bytes[last])
            found.append(Datagram(data, self._side[last], self._frame[last], self._time[last]))
            last = self._next[last]
        return found[::-1]


def handshakes(state: S.State, flows: Array, sides: Array) -> tuple[S.State, Array, Array]:
    """The handshakes in the kept datagrams of finished flows: the state (its arrays may have grown), rows, flow of each.

    ``flows`` and ``sides`` are copies of finished rows; the client of a flow is set by its ClientHello.
    """
    at = np.flatnonzero(flows["datagram"] >= 0)
    if not len(at):
        return state, np.zeros(0, S.HANDSHAKE), at
    from auditor.tls.dtls import Dtls
    from auditor.tls.gssapi import Gssapi
    from auditor.tls.quic import Quic

    kept = Kept(state.memory)
    rows: list[bytes] = []
    index: list[int] = []
    told = zip(
        at.tolist(),
        flows["datagram"][at].tolist(),
        flows["application"][at].tolist(),
        flows["identifier"][at].tolist(),
        (sides["protected"][at] != 0).tolist(),
        strict=True,
    )
    for flow, last, application, identifier, protected in told:
        assembler: Assembler
        if application == QUIC:
            assembler = Quic(state)
        elif application == DTLS:
            assembler = Dtls(state)
        else:
            assembler = Gssapi(state, application)
        for made in assembler.run(kept.chain(last), protected):
            made["flow"] = identifier
            flows["client"][flow] = made["client_side"]
            rows.append(made.rows.tobytes())
            index.append(flow)
        state = assembler.state
    return state, np.frombuffer(b"".join(rows), S.HANDSHAKE), np.array(index, np.int64)


def messages(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole handshake messages at the beginning of a stream: type, body, and where the next one begins."""
    at = 0
    while at + 4 <= len(stream):
        size = int.from_bytes(stream[at + 1 : at + 4], "big")
        if at + 4 + size > len(stream):
            return
        at += 4 + size
        yield stream[at - 4 - size], stream[at - size : at], at
