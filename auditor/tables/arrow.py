"""Tables as Arrow data of their schema, and as the DataFrames that analysts work with."""

from functools import cache, lru_cache
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

    arrays = {column.name: _array(column, data.column(column.name), pd) for column in schema.TABLES[table]}
    return pd.DataFrame(arrays, copy=False)


def _array(column: schema.Column, values: pa.ChunkedArray, pd: Any) -> Any:
    import pyarrow.compute as pc  # takes long, and only DataFrames need it

    masked = {
        schema.INT: (pd.arrays.IntegerArray, 0),
        schema.BOOL: (pd.arrays.BooleanArray, False),
        schema.FLOAT: (pd.arrays.FloatingArray, 0.0),
    }
    if column.type == schema.TIME:
        return values.to_pandas().astype("datetime64[ns, UTC]").array
    if column.type in masked:
        kind, nothing = masked[column.type]  # of copies: a DataFrame may be written to, Arrow's data may not
        return kind(values.fill_null(nothing).to_numpy().copy(), values.is_null().to_numpy().copy())
    texts = values.cast(pa.string())
    if column.type == schema.CLOSED:
        order = categories(column, texts.unique().drop_null().to_pylist())
        codes = pc.index_in(texts, pa.array(order, pa.string())).fill_null(-1)
        return pd.Categorical.from_codes(codes.to_numpy().copy(), dtype=_closed(tuple(order), column.ordered))
    return pd.array(texts.to_pylist(), dtype="string")


@lru_cache(maxsize=256)
def _closed(order: tuple[str, ...], ordered: bool) -> Any:
    """The dtype of a closed set, which takes longer to make than a small column."""
    import pandas as pd

    return pd.CategoricalDtype(list(order), ordered=ordered)


def whole_numbers(column: pa.ChunkedArray) -> "np.ndarray[Any, Any]":
    """A column of whole numbers of which none is missing; Arrow's ``to_numpy`` would load pandas, which takes long."""
    parts = [
        np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])
