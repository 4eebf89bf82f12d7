"""What interned bytes say: shapes of hellos, names, certificates, each worked out once."""

from itertools import pairwise
from typing import Any

import numpy as np

from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.tables.columns import Texts
from auditor.tls.certificates import Certificates, Chain
from auditor.tls.outcome import Outcome, outcome
from auditor.tls.shapes import VISIBLE, ClientShape, ServerShape, printable

Array = np.ndarray[Any, Any]
MOST_BYTES = 256 << 20
OBJECT_BYTES = 2_000  # about what a description takes besides its texts


class Shapes:
    """The shapes met so far, described: by the kernels' numbers until these are given out anew, and by their bytes.

    ``most``: about how many bytes they may take; then all are forgotten.
    """

    def __init__(self, certificates: Certificates | None = None, most: int = MOST_BYTES) -> None:
        self._clients: dict[tuple[int, int], dict[str, object]] = {}
        self._servers: dict[int, ServerShape] = {}
        self._chains: dict[int, Chain] = {}
        self._outcomes: dict[tuple[int, ...], Outcome] = {}
        self._clients_by_bytes: dict[tuple[bytes, int], dict[str, object]] = {}
        self._servers_by_bytes: dict[bytes, ServerShape] = {}
        self.certificates = certificates or Certificates()
        self._most = most
        self._size = 0

    def forget(self) -> None:
        """Numbers are given out anew: they mean other shapes from now on."""
        self._clients.clear()
        self._chains.clear()
        self._servers.clear()
        self._outcomes.clear()

    def _grows(self, size: int) -> None:
        self._size += size
        if self._size > self._most:
            self.forget()
            self._clients_by_bytes.clear()
            self._servers_by_bytes.clear()
            self._size = size

    def client(self, memory: S.Memory, number: int, transport: int) -> dict[str, object]:
        row = self._clients.get((number, transport))
        if row is None:
            shape_bytes = bytes(value(memory.arena, memory.entries, number))
            row = self._clients_by_bytes.get((shape_bytes, transport))
            if row is None:
                row = ClientShape.parse(shape_bytes).row("tdqt"[transport])
                self._grows(
                    OBJECT_BYTES + len(shape_bytes) + sum(len(text) for text in row.values() if isinstance(text, str))
                )
                self._clients_by_bytes[shape_bytes, transport] = row
            self._clients[number, transport] = row
        return row

    def chain(self, memory: S.Memory, number: int) -> Chain:
        if number not in self._chains:
            chain = self.certificates.chain(value(memory.arena, memory.entries, number))
            self._grows(OBJECT_BYTES + sum(one.size for one in chain.certificates))
            self._chains[number] = chain
        return self._chains[number]

    def server(self, memory: S.Memory, number: int) -> ServerShape:
        shape = self._servers.get(number)
        if shape is None:
            shape_bytes = bytes(value(memory.arena, memory.entries, number))
            shape = self._servers_by_bytes.get(shape_bytes)
            if shape is None:
                shape = ServerShape.parse(shape_bytes)
                self._grows(OBJECT_BYTES + len(shape_bytes))
                self._servers_by_bytes[shape_bytes] = shape
            self._servers[number] = shape
        return shape

    def outcome(self, memory: S.Memory, number: int, seen: int, *exchange: int) -> Outcome:
        """What a ServerHello (0: none was seen) negotiated with the messages seen and the ServerKeyExchange."""
        one = self._outcomes.get((number, seen, *exchange))
        if one is None:
            one = outcome(seen, self.server(memory, number) if number else None, *exchange)
            self._grows(OBJECT_BYTES)
            self._outcomes[number, seen, *exchange] = one
        return one


def names_of(memory: S.Memory, numbers: Array) -> list[str | None]:
    """Interned names as text, None for 0. Nearly every one is met once, so all are read at one go."""
    known = numbers[numbers > 0]
    if not len(known):
        return [None] * len(numbers)
    offsets, lengths = memory.entries[known, 0], memory.entries[known, 1]
    begins = np.cumsum(lengths) - lengths
    joined = memory.arena[np.arange(int(lengths.sum())) + np.repeat(offsets - begins, lengths)].tobytes()
    text = joined.decode("latin-1")
    texts = [text[begin:end] for begin, end in pairwise([*begins.tolist(), len(text)])]
    if not VISIBLE.fullmatch(joined):
        texts = [printable(one.encode("latin-1")) for one in texts]
    names = np.full(len(numbers), None, object)
    names[numbers > 0] = texts
    return names.tolist()


def texts_of(memory: S.Memory, *columns: Array) -> list[Texts]:
    """Columns of numbers of interned names as texts; what several columns name is read once."""
    values, index = np.unique(np.concatenate(columns), return_inverse=True)
    names = names_of(memory, values)
    return [Texts(names, part) for part in np.split(index, np.cumsum([len(column) for column in columns[:-1]]))]
