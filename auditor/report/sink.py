"""Where tables go while an audit runs. A folder: a Parquet file for each, put in place together when all is done."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.errors import AuditError, shown
from auditor.machine import writing
from auditor.report import custody, folder, partitions
from auditor.report.results import MANIFEST
from auditor.tables import schema

# What may wait to be written, which bounds memory where the disk is slow: tables, and their bytes together.
WAITING, MOST_BYTES = 16, 256 << 20


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Sink(Protocol):
    """Takes the tables of an audit, part by part."""

    def write(self, table: str, data: pa.Table) -> None:
        """Take rows of a table, behind those of before. Raises AuditError where they cannot be kept."""

    def take(self, table: str, part: Path) -> None:
        """Take a file with rows of a table, written by somebody else. Raises AuditError."""

    def include(self, name: str, digest: str) -> None:
        """A file that was written where the tables lie belongs to the result. Raises AuditError."""

    def finish(self, manifest: dict[str, Any]) -> None:
        """All is written: make it the result, with its manifest."""

    def abandon(self) -> None:
        """The audit has failed: leave nothing."""


def writer_of(table: str, file: BinaryIO) -> pq.ParquetWriter:
    """Writes rows of a table into a file, each column in the way that suits its type."""
    columns = schema.TABLES[table]
    # Of columns whose values are mostly different, Parquet would build dictionaries only to throw them away.
    repeated = [column.name for column in columns if pa.types.is_dictionary(column.type)]
    # Numbers lie close to those before them. Differences of a few bits, and codes of a closed set in runs, are as small
    # as zstd would make them, and take half as long.
    near = [column.name for column in columns if column.type in (schema.INT, schema.TIME)]
    packed = {column.name for column in columns if column.type in (schema.TEXT, schema.NAME, schema.FLOAT)}
    return pq.ParquetWriter(
        file,
        schema.schema(table),
        compression={column.name: "zstd" if column.name in packed else "none" for column in columns},
        compression_level=dict.fromkeys(packed, 1),
        use_dictionary=repeated or False,
        column_encoding=dict.fromkeys(near, "DELTA_BINARY_PACKED"),
        write_statistics=near,  # by which readers pass over groups of rows; of texts they would cost a quarter of the time
    )


class FolderSink:
    """Writes the tables into ``directory``, in a thread of its own. Nothing has its final name before ``finish``.

    ``durable``: for results that stay, which are on the disk when they have their names. ``most``: bytes of tables that
    may wait to be written. ``known``: where captures are, as ``custody.json`` lists it, that were read for other results.
    """

    def __init__(self, directory: Path, *, durable: bool = True, most: int = MOST_BYTES) -> None:
        self.directory = directory
        self._began = _now()
        with self._failing():
            writing.make_folder(directory)
        self._files = writing.FolderWrite(directory, folder.MARKS, durable=durable)
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._most = most
        self._unlisted: dict[str, str] = {}
        self._parts: list[str] = []  # tables of which others have written one
        self.known: Sequence[dict[str, str | None]] = ()
        self._waiting: deque[tuple[Future[None], int]] = deque()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise AuditError(f"{shown(self.directory)}: cannot write results there: {reason}") from error

    def include(self, name: str, digest: str) -> None:
        """A file that was written where the others lie belongs to them. Raises AuditError."""
        with self._failing():
            self._files.include(name)
        self._unlisted[name] = digest

    def keep(self) -> tuple[BinaryIO, Path]:
        """A file beside the tables for what they were made of, and where they lie meanwhile. Raises AuditError."""
        with self._failing():
            return self._files.open(custody.KEPT), self._files.place

    def _writer(self, table: str) -> pq.ParquetWriter:
        if table not in self._writers:
            with self._failing():
                self._writers[table] = writer_of(table, self._files.open(f"{table}.parquet"))
        return self._writers[table]

    def write(self, table: str, data: pa.Table) -> None:
        """Write rows behind those of before. Raises AuditError where this or an earlier write failed."""
        writer = self._writer(table)
        if data.num_rows:
            self._waiting.append((self._thread.submit(writer.write_table, data), data.nbytes))
            self._wait(WAITING, self._most)

    def take(self, table: str, part: Path) -> None:
        """Take a file with rows of a table, as a part of its own behind those of before. Raises AuditError."""
        self._parts.append(table)
        with self._failing():
            self._files.take(partitions.name_of(table, self._parts.count(table)), part)

    def _wait(self, tables: int = 0, size: int = 0) -> None:
        """Wait until no more than so many tables wait, and bytes of them."""
        left = sum(nbytes for _, nbytes in self._waiting)
        with self._failing():
            while self._waiting and (len(self._waiting) > tables or left > size or self._waiting[0][0].done()):
                future, nbytes = self._waiting.popleft()
                future.result()
                left -= nbytes

    def finish(self, manifest: dict[str, Any]) -> None:
        """Close the files and give all their names, ``audit.json`` and ``custody.json`` last; an older result goes."""
        self._wait()
        self._thread.shutdown()
        with self._failing():
            for table in schema.TABLES:
                self._writer(table).close()
            self._files.open(MANIFEST).write(custody.text(manifest))
            further = [
                partitions.name_of(table, n + 1) for table in schema.TABLES for n in range(self._parts.count(table))
            ]
            listed_names = [*custody.LISTED, *further]
            written = {name: self._files.close(name) for name in listed_names if self._files.has(name)}
            places = custody.places(manifest["inputs"], self.directory, self.known)
            listed = custody.contents(written, self._began, _now(), places) | {"unlisted": self._unlisted}
            self._files.open(custody.CUSTODY).write(custody.text(listed))
            self._files.finish(folder.older)

    def abandon(self, *, but: Collection[str] = ()) -> None:
        """Remove what was begun, ``but`` some files by which it can be gone on with."""
        self._thread.shutdown(cancel_futures=True)
        for writer in self._writers.values():
            with suppress(OSError):  # the disk that was full still is
                writer.close()
        self._files.abandon(but=but)
