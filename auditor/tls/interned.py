"""What interned bytes say: shapes of hellos, names, certificates, each worked out once."""

from typing import Any

import numpy as np

from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.tls.certificates import Certificates, Chain
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


def names_of(memory: S.Memory, numbers: Array) -> list[str | None]:
    """Interned host names as text, None for 0. Nearly every one is met once, so all are read at one go."""
    known = numbers[numbers > 0]
    if not len(known):
        return [None] * len(numbers)
    offsets, lengths = memory.entries[known, 0], memory.entries[known, 1]
    first = int(offsets.min())
    blob = memory.arena[first : int((offsets + lengths).max())].tobytes()
    starts = (offsets - first).tolist()
    parts = [blob[at : at + size] for at, size in zip(starts, lengths.tolist(), strict=True)]
    joined = b"".join(parts)
    if VISIBLE.fullmatch(joined):
        text = joined.decode("ascii")
        ends = np.cumsum(lengths).tolist()
        texts = [text[end - size : end] for end, size in zip(ends, lengths.tolist(), strict=True)]
    else:
        texts = [printable(part) for part in parts]
    names = np.full(len(numbers), None, object)
    names[numbers > 0] = texts
    return list(names)
