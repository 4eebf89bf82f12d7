"""The results of an audit as they lie in a folder: tables, and the manifest that says how they were obtained."""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.border import gate, text
from auditor.border.urls import public, url_of
from auditor.errors import AuditError, shown
from auditor.report import files

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from auditor.report import partitions
    from auditor.report.plain import Row

    Array = np.ndarray[Any, Any]

MANIFEST = "audit.json"
MOST_BYTES = 256 << 20  # of the manifest


class Results:
    """The tables of an audit, read from its folder when they are first asked for.

    ``flows``, ``handshakes``, ``certificates``, ``requests``, ``evidence``, ``verdicts``, ``findings``, ``network``,
    ``witnesses`` and ``captures`` are pandas DataFrames (their columns are in ``docs/tables.md``); ``manifest`` is the
    contents of ``audit.json``; ``errors`` lists inputs that could not be read.
    """

    def __init__(self, folder: str | Path, captures: str | Path | Iterable[str | Path] = ()) -> None:
        from auditor.machine import writing
        from auditor.report import manifest_shape

        self.url = url_of(folder)  # where they lie in a store
        self._fetched: weakref.finalize[Any, Any] | None = None
        if self.url is not None:
            from auditor.report import fetched  # only for stores

            folder = fetched.results(self.url, MANIFEST)
            self._fetched = weakref.finalize(self, fetched.forget, folder)
        self.folder = Path(folder)
        self.moved = [Path(one) for one in ([captures] if isinstance(captures, str | Path) else captures)]
        self._frames: dict[str, pd.DataFrame] = {}
        self._known_places: dict[str, Array | None] = {}
        try:
            with writing.locked(self.folder, follow=True), files.opened(self.folder / MANIFEST) as file:
                manifest = gate.from_json(file.read(MOST_BYTES), unique=True)
        except OSError as error:
            raise AuditError(f"{shown(folder)}: holds no audit results (audit.json: {error.strerror})") from error
        except ValueError as error:  # also of a name that no folder can have
            raise AuditError(f"{shown(folder)}: audit.json is damaged ({error})") from error
        self.manifest: dict[str, Any] = text.tidy(manifest)
        if (wrong := manifest_shape.misfit(self.manifest)) is not None:
            advice = manifest_shape.advice(self.manifest)
            raise AuditError(f"{shown(folder)}: {MANIFEST} is of another version, or damaged ({wrong}); {advice}")

    def close(self) -> None:
        """Remove what was fetched of results in a store."""
        if self._fetched is not None:
            self._fetched()

    def check_local(self, what: str) -> None:
        """Raise AuditError for what is put beside results, where these lie in a store."""
        if self.url is not None:
            raise AuditError(f"{public(self.url)}: {what} not written into a store; copy the results to a folder first")

    @property
    def is_apart(self) -> bool:
        """Whether each capture was audited by itself."""
        return self.manifest["options"]["apart"] is not None

    @property
    def errors(self) -> list[str]:
        """Inputs that could not be read, a sentence for each."""
        return list(self.manifest.get("errors", []))

    def rule(self, code: str) -> "dict[str, Any] | None":
        """The page of a rule as it was applied: title, what, why, fix, source, …; None where no policy had it."""
        rules = (rule for policy in self.manifest["policies"] for rule in policy["rules"])
        return next((rule for rule in rules if rule["code"] == code), None)

    @property
    def tables(self) -> list[str]:
        """The names of the tables."""
        from auditor.tables.schema import TABLES

        return list(TABLES)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._parquet(table) as parquet:
            return parquet.rows

    def arrow(self, table: str, *columns: str) -> "pa.Table":
        """A table as Arrow data, or some columns of it, flows in the order of their first packets."""
        data, order = self._read(table, columns or None), self._order(table)
        return data if order is None else data.take(order)

    def parts(self, table: str, *columns: str, wanted: "Array | None" = None) -> "Iterator[pa.Table]":
        """The same, a part of the rows at a time, of which no more is in memory.

        ``wanted``: the places in that order of rows that are wanted, which go up; all of them without it.
        """
        import numpy as np
        import pyarrow as pa

        from auditor.report import ordered
        from auditor.tables.schema import schema

        batches = self.batches(table, *(columns or schema(table).names))
        places = self._placed(table)
        if wanted is not None:
            chosen = np.full(self.count(table), -1, np.int32)
            chosen[wanted] = np.arange(len(wanted), dtype=np.int32)
            places = chosen if places is None else chosen[places]
        if places is None:
            yield from (pa.Table.from_batches([batch]) for batch in batches)
        else:
            yield from ordered.parts(batches, places)

    def rows_at(self, table: str, wanted: "Array") -> "pa.Table":
        """Some rows of a table, by their places in that order, which go up."""
        import pyarrow as pa

        from auditor.tables.schema import schema

        return pa.concat_tables([schema(table).empty_table(), *self.parts(table, wanted=wanted)])

    def with_flows(
        self, table: str, of_flow: Sequence[str], columns: Sequence[str], times: str = "ns"
    ) -> "Iterator[tuple[Row, list[Row]]]":
        """The flows in order, with the rows of a table about each; columns of both, times as for ``records``."""
        rows = self.records(table, *columns, times=times)
        row = next(rows, None)
        for flow in self.records("flows", *of_flow, times=times):
            about: list[Row] = []
            while row is not None and row["flow_id"] == flow["flow_id"]:
                about.append(row)
                row = next(rows, None)
            yield flow, about

    def _order(self, table: str) -> "pa.Array | None":
        """Which rows of a table come one after the other; None where it is in the order in which it was written."""
        import numpy as np

        from auditor.report import ordered

        places = self._placed(table)
        if places is None:
            return None
        order = np.empty(len(places), np.int64)
        order[places] = np.arange(len(places))
        return ordered.indices(order)

    def _placed(self, table: str) -> "Array | None":
        """The place of each row of a table in its order; None where it is in the order in which it was written."""
        if table not in self._known_places:
            self._known_places[table] = self._places(table)
        return self._known_places[table]

    def _places(self, table: str) -> "Array | None":
        import numpy as np

        from auditor.tables import arrow
        from auditor.tables.schema import schema

        if table not in self.tables or "flow_id" not in schema(table).names or not self.count(table):
            return None
        if table == "flows":
            flows = self._read("flows", ["flow_id", "started"])
            numbers, started = (arrow.whole_numbers(flows.column(name)) for name in ("flow_id", "started"))
            order = np.lexsort((numbers, started))
        else:
            numbers, places = self._place_of_flow
            rows = arrow.whole_numbers(self._read(table, ["flow_id"]).column("flow_id"))
            order = np.argsort(places[np.searchsorted(numbers, rows)], kind="stable")
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return None if np.array_equal(place, np.arange(len(place))) else place

    @cached_property
    def _place_of_flow(self) -> "tuple[Array, Array]":
        """The numbers of all flows, sorted, and the place of each flow in order."""
        import numpy as np

        from auditor.tables import arrow

        places = self._placed("flows")
        numbers = arrow.whole_numbers(self._read("flows", ["flow_id"]).column("flow_id"))
        if places is None:
            places = np.arange(len(numbers), dtype=np.int32)
        order = np.lexsort((places, numbers))
        return numbers[order], places[order]

    def column(self, table: str, name: str) -> "pa.ChunkedArray":
        """One column of a table, in the order in which it is written."""
        return self._read(table, [name]).column(name)

    def rows(self, table: str, *columns: str) -> "list[Row]":
        """Some columns of a table as plain values, times in nanoseconds since 1970 (as timestamps they need pandas)."""
        from auditor.report.plain import values

        data = self._read(table, columns)
        _check_columns(table, data.column_names, columns)
        lists = [values(data.column(name)) for name in columns]
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]

    def each(self, table: str, *columns: str) -> "Iterator[Row]":
        """The same, one by one, of which no more is in memory than a part."""
        from auditor.report.plain import values

        for batch in self.batches(table, *columns):
            lists = [values(batch.column(name)) for name in columns]
            yield from (dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True))

    def about(self, table: str, flows: Sequence[int]) -> "pa.Table":
        """The rows of a table about some flows, in their order; of the others none is kept in memory."""
        import numpy as np

        from auditor.tables import arrow

        found, begin = [np.zeros(0, np.int64)], 0
        for part in self.parts(table, "flow_id"):
            found.append(begin + np.flatnonzero(np.isin(arrow.whole_numbers(part.column("flow_id")), flows)))
            begin += len(part)
        return self.rows_at(table, np.concatenate(found))

    def records(self, table: str, *columns: str, times: str = "iso") -> "Iterator[Row]":
        """The rows of a table, or some columns of it, one by one and flows in the order of their first packets.

        Times are in ISO 8601, or in nanoseconds since 1970 with ``times="ns"``.
        """
        from auditor.report.plain import records
        from auditor.tables.schema import schema

        _check_columns(table, schema(table).names, columns)
        return (row for part in self.parts(table, *columns) for row in records(part, times))

    def _read(self, table: str, columns: Sequence[str] | None = None) -> "pa.Table":
        # not read_table: it loads pyarrow.dataset and with it pandas, a fifth of a second
        with self._parquet(table) as parquet:
            return self._checked(table, parquet.read(None if columns is None else list(columns)))

    @contextmanager
    def _parquet(self, table: str) -> "Iterator[partitions.Partitions]":
        """The files of a table. Raises AuditError where it is missing, damaged, or of another version."""
        from auditor.report import manifest_shape, partitions
        from auditor.tables.schema import schema

        if table not in self.tables:
            raise AuditError(f"{table}: no such table; there are {', '.join(self.tables)}")
        path = self.folder / f"{table}.parquet"
        try:
            with ExitStack() as held:
                opened: list[gate.Parquet] = []
                for path in partitions.files_of(self.folder, table):
                    opened.append(held.enter_context(gate.Parquet(held.enter_context(files.opened(path)))))
                    if not opened[-1].schema.equals(schema(table)):
                        advice = manifest_shape.advice(self.manifest)
                        raise AuditError(f"{shown(path)}: its columns are of another version; {advice}")
                yield partitions.Partitions(opened)
        except (OSError, gate.RefusedError) as error:
            raise AuditError(unreadable(path, error)) from error

    def _checked(self, table: str, data: "pa.Table") -> "pa.Table":
        """Rows of a table, held to what readers rely on, with texts that are harmless. Raises AuditError."""
        from auditor.tables import arrow, contract

        wrong = contract.broken(table, data)
        if wrong is None and table in contract.OF_A_FLOW and "flow_id" in data.column_names:
            flow = contract.without_flow(data, self._flow_ids)
            wrong = None if flow is None else f"it has rows of flow {flow}, which is not there"
        if wrong is not None:
            path = shown(self.folder / f"{table}.parquet")
            raise AuditError(f"{path}: {wrong}; it is damaged: audit the captures again")
        return arrow.harmless(data)

    @cached_property
    def _flow_ids(self) -> "Array":
        """The numbers of all flows, sorted."""
        import numpy as np

        from auditor.tables import arrow

        return np.sort(arrow.whole_numbers(self._read("flows", ["flow_id"]).column("flow_id")))

    def batches(self, table: str, *columns: str) -> "Iterator[pa.RecordBatch]":
        """Some columns of a table, a part of it at a time, in the order in which it was written."""
        import pyarrow as pa

        with self._parquet(table) as parquet:
            for batch in parquet.batches(list(columns)):
                yield from self._checked(table, pa.Table.from_batches([batch])).to_batches()

    def _frame(self, table: str) -> "pd.DataFrame":
        if table not in self._frames:
            from auditor.tables.arrow import to_pandas

            self._frames[table] = to_pandas(table, self.arrow(table))
        return self._frames[table]

    @property
    def flows(self) -> "pd.DataFrame":
        """One row for each conversation."""
        return self._frame("flows")

    @property
    def handshakes(self) -> "pd.DataFrame":
        """One row for each TLS handshake."""
        return self._frame("handshakes")

    @property
    def certificates(self) -> "pd.DataFrame":
        """One row for each certificate seen."""
        return self._frame("certificates")

    @property
    def requests(self) -> "pd.DataFrame":
        """One row for each HTTP request that was seen, in clear or opened with keys."""
        return self._frame("requests")

    @property
    def evidence(self) -> "pd.DataFrame":
        """One row for each piece of evidence for a flow's path."""
        return self._frame("evidence")

    @property
    def verdicts(self) -> "pd.DataFrame":
        """One row for each flow and rule that is about it."""
        return self._frame("verdicts")

    @property
    def findings(self) -> "pd.DataFrame":
        """What does not meet the policy, by rule, client network and service, worst first."""
        return self._frame("findings")

    @property
    def network(self) -> "pd.DataFrame":
        """What the captures show of the network itself: addresses and MACs, neighbours, BGP, errors."""
        return self._frame("network")

    @property
    def witnesses(self) -> "pd.DataFrame":
        """One row for each flow log, CloudTrail file and sensor log."""
        return self._frame("witnesses")

    @property
    def captures(self) -> "pd.DataFrame":
        """One row for each input."""
        return self._frame("captures")


def unreadable(path: Path, error: Exception) -> str:
    """What is said wherever a file of a table cannot be read."""
    if isinstance(error, FileNotFoundError):
        return f"{shown(path)}: is missing; audit the captures again"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{shown(path)}: is damaged ({reason}); audit the captures again"


def _check_columns(table: str, names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise AuditError for columns that a table has not; ``names``: those that it has."""
    if unknown := [name for name in columns if name not in names]:
        raise AuditError(f'{table} has no column {", ".join(unknown)}; the query "describe {table}" lists its columns')
