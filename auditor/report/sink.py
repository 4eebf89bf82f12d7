"""Where tables go while an audit runs. A folder: a Parquet file for each, renamed into place when all is done."""

import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.errors import AuditError
from auditor.report import custody
from auditor.tables import schema

MANIFEST = "audit.json"
WAITING = 16  # tables that may wait to be written: what bounds memory where the disk is slow


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Sink(Protocol):
    """Takes the tables of an audit, part by part."""

    def write(self, table: str, data: pa.Table) -> None:
        """Take rows of a table, behind those of before. Raises AuditError where they cannot be kept."""

    def finish(self, manifest: dict[str, Any]) -> None:
        """All is written: make it the result, with its manifest."""

    def abandon(self) -> None:
        """The audit has failed: leave nothing."""


class FolderSink:
    """Writes the tables into ``directory``, in a thread of its own. Nothing has its final name before ``finish``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._began = _now()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AuditError(f"{directory}: cannot write results there: {error.strerror}") from error
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._waiting: deque[Future[None]] = deque()

    def _temporary(self, name: str) -> Path:
        return self.directory / f".{name}.partial"

    def _writer(self, table: str) -> pq.ParquetWriter:
        if table not in self._writers:
            try:
                self._writers[table] = pq.ParquetWriter(
                    self._temporary(f"{table}.parquet"), schema.schema(table), compression="zstd", compression_level=1
                )
            except OSError as error:
                raise AuditError(f"{self.directory}: cannot write results there: {error.strerror}") from error
        return self._writers[table]

    def write(self, table: str, data: pa.Table) -> None:
        """Write rows behind those of before. Raises AuditError where this or an earlier write failed."""
        writer = self._writer(table)
        if data.num_rows:
            self._waiting.append(self._thread.submit(writer.write_table, data))
            self._wait(WAITING)

    def _wait(self, most: int = 0) -> None:
        """Wait until no more than ``most`` tables wait."""
        try:
            while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
                self._waiting.popleft().result()
        except OSError as error:
            raise AuditError(f"{self.directory}: cannot write results: {error.strerror or error}") from error

    def finish(self, manifest: dict[str, Any]) -> None:
        """Close the files and give all their names, ``audit.json`` and ``custody.json`` last."""
        self._wait()
        self._thread.shutdown()
        names = []
        for table in schema.TABLES:
            self._writer(table).close()
            names.append(f"{table}.parquet")
        names.append(MANIFEST)
        self._write(MANIFEST, manifest)
        self._write(custody.CUSTODY, custody.told({n: self._temporary(n) for n in names}, self._began, _now()))
        for name in [*names, custody.CUSTODY]:
            os.replace(self._temporary(name), self.directory / name)

    def _write(self, name: str, told: dict[str, Any]) -> None:
        text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        self._temporary(name).write_text(text, encoding="utf-8")

    def abandon(self) -> None:
        """Remove what was begun."""
        self._thread.shutdown(cancel_futures=True)
        for table in schema.TABLES:
            if table in self._writers:
                self._writers[table].close()
        for name in [*(f"{table}.parquet" for table in schema.TABLES), MANIFEST, custody.CUSTODY]:
            self._temporary(name).unlink(missing_ok=True)
