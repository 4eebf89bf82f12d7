"""Tables as DuckDB reads them: part by part, as often as a query needs, so that none is in memory as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditor.policy.findings import client_group
from auditor.report.plain import values
from auditor.report.results import Results
from auditor.tables import columns
from auditor.tables.schema import INT, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW = "row number"  # of a row in its table, for those that take rows by a condition
GROUP = "client_group"  # the network that a client is counted with in findings


@dataclass
class Scanned:
    """Some columns of a table, in order and with the number of each row, by Arrow's stream interface (PyCapsule)."""

    result: Results
    table: str
    names: "Sequence[str]"
    with_groups: bool = False
    failure: Exception | None = None  # why it could not be read to its end: DuckDB has only its words

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        fields = [schema(self.table).field(name) for name in self.names]
        return pa.schema([*fields, *([(GROUP, pa.string())] if self.with_groups else []), (ROW, INT)])

    def __arrow_c_schema__(self) -> Any:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return pa.RecordBatchReader.from_batches(self.schema, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        begin, known = 0, dict[str, str]()
        try:
            for part in self.result.parts(self.table, *self.names):
                for batch in part.to_batches():
                    arrays = [
                        *batch.columns,
                        *([_groups(batch.column("client_ip"), known)] if self.with_groups else []),
                    ]
                    numbers = columns.Numbers(np.arange(begin, begin + len(batch))).arrow(INT)
                    yield pa.RecordBatch.from_arrays([*arrays, numbers], schema=self.schema)
                    begin += len(batch)
        except Exception as error:
            self.failure = error
            raise


def _groups(clients: pa.Array, known: dict[str, str]) -> pa.Array:
    """The networks of clients; those that are known are not worked out again."""
    return columns.strings([known.get(one) or known.setdefault(one, client_group(one)) for one in values(clients)])
