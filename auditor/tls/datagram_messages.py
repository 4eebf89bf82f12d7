"""Datagrams of a flow, and the handshake messages that are put together from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from auditor.flows import state as S
from auditor.flows.room import room_for_strings
from auditor.tls.long_messages import keep_chain
from auditor.tls.messages import (
    CERTIFICATE,
    CLIENT_HELLO,
    LARGEST_READ,
    LETTER_OF_ALERT,
    SERVER_HELLO,
    read_message,
)


class Datagram(NamedTuple):
    """A datagram's payload (or its beginning) and where it was seen. ``side``: 0 is the flow's first sender.

    ``is_cut``: the capture lacks the payload's end.
    """

    data: bytes
    side: int
    frame: int
    time: int
    is_cut: bool = False


@dataclass(eq=False, repr=False)
class MessageArrays:
    """The kernels' arrays, which grow when a message needs room: whoever reads one asks here for them."""

    state: S.State


class Messages:
    """A handshake being read: takes messages, keeps the kernel's row of it, whose fields are ``handshake[name]``."""

    def __init__(self, held: MessageArrays, transport: int, client_side: int, first: Datagram) -> None:
        self._held = held
        self.rows = S.BLANK_HANDSHAKE.copy()
        self._fields = self.rows.view(np.ndarray)
        self["started"], self["client_side"], self["transport"] = first.time, client_side, transport

    def __getitem__(self, name: str) -> int:
        return int(self._fields[name][0])

    def __setitem__(self, name: str, number: int) -> None:
        self._fields[name][0] = number

    def take(self, side: int, kind: int, body: bytes, seen: Datagram, size: int | None = None) -> None:
        """A whole message, or the beginning of one of ``size`` bytes. Of a hello longer than LONGEST_HELLO no more is read."""
        size = len(body) if size is None else size
        is_hello = kind in (CLIENT_HELLO, SERVER_HELLO)
        have = min(len(body), S.LONGEST_HELLO) if is_hello else len(body)
        chain, body = body, body[: S.LONGEST_HELLO if is_hello else LARGEST_READ]
        self._held.state = room_for_strings(self._held.state)
        packet = S.packets(1)
        packet["frame"], packet["time"] = seen.frame, seen.time
        memory = self._held.state.memory
        memory.scratch[: len(body)] = np.frombuffer(body, np.uint8)
        read_message(memory, self.rows, packet, side, kind, size, have)
        if kind == CERTIFICATE and LARGEST_READ < size == len(chain):
            self._held.state = keep_chain(self._held.state, self.rows.view(np.ndarray)[0], side, chain)

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


@dataclass(eq=False, repr=False)
class FlowMarks:
    """What an assembler has seen of its flow besides handshakes, as fields of ``FLOW``; 0 for nothing."""

    application: int = 0
    upgrade: int = 0
    clear: int = 0
    answer: int = 0


class Assembler(Protocol):
    """Puts the datagrams of one flow together."""

    @property
    def shown(self) -> FlowMarks:
        """What was seen besides handshakes, once it has run."""
        ...

    def run(self, datagrams: list[Datagram]) -> list[Messages]:
        """The handshakes read."""
        ...


def messages(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole handshake messages at the beginning of a stream: type, body, and where the next one begins."""
    at = 0
    while at + 4 <= len(stream):
        size = int.from_bytes(stream[at + 1 : at + 4], "big")
        if at + 4 + size > len(stream):
            return
        at += 4 + size
        yield stream[at - 4 - size], stream[at - size : at], at
