"""Rows of a table in another order than that in which they were written, a part of them at a time.

They are dealt into parts as they are read. What waits for its part is in memory while it is little, as where flows that began
one after the other ended so, too; else in a file without a name, so that memory does not grow with the table.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa

Array = np.ndarray[Any, Any]
PART = 1 << 13  # rows, and more where there were more parts than …
MOST_PARTS = 256  # … so that what is put aside has not many pieces
HELD = 1 << 15  # rows that wait in memory


@dataclass
class _Waiting:
    """Rows of a part that have come, with their places: in memory, and pieces of the file where others are."""

    rows: list[pa.Table] = field(default_factory=list)
    places: list[Array] = field(default_factory=list)
    aside: list[tuple[int, int]] = field(default_factory=list)  # where a piece begins, and its length
    count: int = 0

    def add(self, rows: pa.Table, places: Array) -> None:
        self.rows.append(rows)
        self.places.append(places)
        self.count += len(places)

    def put_aside(self, file: IO[bytes]) -> None:
        """Write what is in memory into a file, behind all else."""
        if not self.rows:
            return
        table = pa.concat_tables(self.rows).combine_chunks()
        begin = file.seek(0, 2)
        with pa.ipc.new_stream(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(table)
        self.aside.append((begin, file.tell() - begin))
        self.rows.clear()

    def whole(self, file: IO[bytes], begin: int) -> pa.Table:
        """All of its rows in order; ``begin``: the first place of the part."""
        if self.aside:
            self.put_aside(file)
            self.rows = [_read(file, *piece) for piece in self.aside]
        order = np.empty(self.count, np.int64)
        order[np.concatenate(self.places) - begin] = np.arange(self.count)
        return pa.concat_tables(self.rows).take(indices(order))


def _read(file: IO[bytes], begin: int, length: int) -> pa.Table:
    file.seek(begin)
    with pa.ipc.open_stream(pa.py_buffer(file.read(length))) as reader:
        return reader.read_all()


def indices(numbers: Array) -> pa.Array:
    """Whole numbers as Arrow takes them; ``pa.array`` would load pandas."""
    return pa.Array.from_buffers(
        pa.int64(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers, np.int64))]
    )


def parts(batches: Iterable[pa.RecordBatch], places: Array) -> Iterator[pa.Table]:
    """The rows of batches in order; ``places``: that of each row, negative where it is not wanted.

    No place that is wanted is left out or given twice.
    """
    total = int((places >= 0).sum())
    size = max(PART, -(-total // MOST_PARTS))
    waiting: dict[int, _Waiting] = {}
    begin = done = held = 0
    with tempfile.SpooledTemporaryFile(1, prefix="auditor-") as file:
        for batch in batches:
            to = places[begin : begin + len(batch)]
            begin += len(batch)
            for number, rows, where in _dealt(batch, to, size):
                waiting.setdefault(number, _Waiting()).add(rows, where)
                held += len(where)
            while (part := waiting.get(done)) is not None and part.count == min(size, total - done * size):
                held -= sum(map(len, part.rows))
                yield waiting.pop(done).whole(file, done * size)
                done += 1
            if held > HELD:
                for part in waiting.values():
                    part.put_aside(file)
                held = 0


def _dealt(batch: pa.RecordBatch, to: Array, size: int) -> Iterator[tuple[int, pa.Table, Array]]:
    """The rows of a batch by the part of that size that they go into, in order, with their places."""
    wanted = np.flatnonzero(to >= 0)
    wanted = wanted[np.argsort(to[wanted], kind="stable")]
    numbers = to[wanted] // size
    ends = [*np.flatnonzero(np.diff(numbers)) + 1, len(wanted)] if len(wanted) else []
    begin = 0
    for end in ends:
        some = wanted[begin:end]
        yield int(numbers[begin]), pa.Table.from_batches([batch.take(indices(some))]), to[some]
        begin = end
