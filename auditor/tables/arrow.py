"""Tables as Arrow data of their schema, and as the DataFrames that analysts work with."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditor.border import text
from auditor.tables import columns, schema
from auditor.tables.versions import VERSION_ORDER

if TYPE_CHECKING:
    import pandas as pd


@cache
def empty(table: str) -> pa.Table:
    """A table without rows."""
    return build(table, {schema.TABLES[table][0].name: []})


def build(table: str, given: dict[str, Any]) -> pa.Table:
    """A table of columns (see ``columns``) or plain lists by name; one that is not given is missing throughout."""
    count = len(next(iter(given.values())))
    unknown = set(given) - {column.name for column in schema.TABLES[table]}
    if unknown:
        raise KeyError(f"{table} has no column {sorted(unknown)}")
    arrays = []
    for column in schema.TABLES[table]:
        values = given.get(column.name)
        if values is None:
            values = columns.spread([None], np.zeros(count, np.int64), column.type)
        elif isinstance(values, list):
            values = columns.of_list(values, column.type)
        elif isinstance(values, np.ndarray):
            values = columns.Numbers(values)
        arrays.append(values.arrow(column.type))
    return pa.table(arrays, schema=schema.schema(table))


def harmless(data: pa.Table) -> pa.Table:
    """A table that others wrote with texts that are harmless wherever they are shown; most are that already."""
    for at, field in enumerate(data.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type):
            column = data.column(at)
            if not all(map(_is_harmless, column.chunks)):
                data = data.set_column(at, field, pa.chunked_array(list(map(_cleaned, column.chunks)), field.type))
    return data


def _is_harmless(chunk: pa.Array) -> bool:
    texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return True
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return text.is_harmless(data[int(ends[0]) : int(ends[-1])].to_pybytes().decode())


def _cleaned(chunk: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(chunk.type):
        return pa.DictionaryArray.from_arrays(chunk.indices, columns.strings(chunk.dictionary.to_pylist()))
    return columns.strings(chunk.to_pylist())


def categories(column: schema.Column, seen: list[str]) -> list[str]:
    """The values of a closed set in order; versions nobody knows come first, below every known one."""
    known = VERSION_ORDER if column.name.startswith("tls_version") else list(column.values)
    return sorted(set(seen) - set(known)) + known


def to_pandas(table: str, data: pa.Table) -> "pd.DataFrame":
    """The table as a DataFrame: nullable integers and booleans, ``string``, categoricals for closed sets."""
    import pandas as pd

    return pd.DataFrame({column.name: _series(column, data.column(column.name), pd) for column in schema.TABLES[table]})


def _series(column: schema.Column, values: Any, pd: Any) -> Any:
    simple: dict[Any, Callable[[], Any]] = {
        schema.INT: pd.Int64Dtype,
        schema.BOOL: pd.BooleanDtype,
        schema.FLOAT: pd.Float64Dtype,
    }
    if column.type == schema.TIME:
        return values.to_pandas().astype("datetime64[ns, UTC]")
    if column.type in simple:
        return pd.Series(pd.array(values.to_pylist(), dtype=simple[column.type]()))
    if column.type == schema.CLOSED:
        texts = values.cast(pa.string())
        order = categories(column, [v for v in texts.unique().to_pylist() if v is not None])
        return pd.Series(pd.Categorical(texts.to_pylist(), categories=order, ordered=column.ordered))
    return pd.Series(pd.array(values.cast(pa.string()).to_pylist(), dtype="string"))


def whole_numbers(column: pa.ChunkedArray) -> "np.ndarray[Any, Any]":
    """A column of whole numbers of which none is missing; Arrow's ``to_numpy`` would load pandas, which takes long."""
    parts = [
        np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])
