"""Columns on their way into tables, and tables on their way into files."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.report.sink import writer_of
from auditor.tables import arrow, columns, schema
from auditor.tables.columns import Texts, distinct, first_of_each

Array = np.ndarray[Any, Any]


def by_hand(*given: Array) -> tuple[list[int], list[int]]:
    """``first_of_each`` by a dict."""
    first: dict[tuple[int, ...], int] = {}
    rows = list(zip(*(column.tolist() for column in given), strict=True))
    for at, row in enumerate(rows):
        first.setdefault(row, at)
    numbers = {row: number for number, row in enumerate(first)}
    return list(first.values()), [numbers[row] for row in rows]


@pytest.mark.parametrize("kinds", [1, 2, 40, 1_500, 1 << 60])
def test_combinations_are_numbered_as_they_are_met(kinds: int) -> None:
    """Each combination of columns is found where it comes first, and numbered in that order."""
    random = np.random.default_rng(7)
    given = random.integers(0, kinds, 2_000), random.integers(0, 3, 2_000).astype(np.uint8), np.full(2_000, -1)
    first, index = first_of_each(*given)
    assert (first.tolist(), index.tolist()) == by_hand(*given)
    combos, _ = distinct(*given)
    assert combos.tolist() == [[int(column[at]) for column in given] for at in first.tolist()]


def test_no_rows_have_no_combinations() -> None:
    """Columns without rows have no combination."""
    first, index = first_of_each(np.zeros(0, np.int64), np.zeros(0, np.uint8))
    assert (first.tolist(), index.tolist()) == ([], [])


@pytest.mark.parametrize("mask", [0, 0xFFFFF, 0xFFFFF << 40])
def test_keys_that_share_their_bits_are_told_apart(monkeypatch: pytest.MonkeyPatch, mask: int) -> None:
    """Hashes that have bits in common, or are all the same, lead to no two combinations in one."""
    whole = columns.mixed
    monkeypatch.setattr(columns, "mixed", lambda *given: whole(*given) & np.uint64(mask))
    given = np.random.default_rng(3).integers(0, 300, 2_000)
    first, index = first_of_each(given)
    assert (given[first][index] == given).all()
    if mask:
        assert (first.tolist(), index.tolist()) == by_hand(given)


@pytest.mark.parametrize("type_", [schema.TEXT, schema.CLOSED, schema.NAME])
def test_texts_become_arrow_as_they_are(type_: Any) -> None:
    """Missing, empty, repeated, unused, foreign and harmful texts come out of Arrow as they went in, made harmless."""
    texts = Texts(["b", None, "", "ü", "b", "unused", "a\nb"], np.array([6, 0, 1, 4, -1, 2, 3, 0]))
    assert texts.arrow(type_).to_pylist() == ["a\\x0ab", "b", None, "b", None, "", "ü", "b"]


@pytest.mark.parametrize("table", list(schema.TABLES))
def test_tables_are_the_same_out_of_files(table: str) -> None:
    """Values of every type, extreme and missing ones too, are the same when they are read from Parquet."""
    extreme = [0, None, -(2**63), 2**63 - 1, 1]
    values: dict[Any, list[Any]] = {
        schema.INT: extreme,
        schema.TIME: extreme,
        schema.BOOL: [True, None, False, True, True],
        schema.FLOAT: [0.5, None, -1e300, 0.0, 1.0],
    }
    texts = ["x", None, "ü", "x", "a longer one"]
    data = pa.table(
        [pa.array(values.get(column.type, texts)).cast(column.type) for column in schema.TABLES[table]],
        schema=schema.schema(table),
    )
    file = io.BytesIO()
    writer = writer_of(table, file)
    for part in (data, arrow.empty(table), data.slice(1, 3)):
        writer.write_table(part)
    writer.close()
    read = pq.read_table(io.BytesIO(file.getvalue()))
    assert read.schema.equals(data.schema)
    assert read.to_pylist() == [*data.to_pylist(), *data.slice(1, 3).to_pylist()]
