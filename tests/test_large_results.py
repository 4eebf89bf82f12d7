"""Questions about results read what they ask for: columns that are named, and rows that are wanted."""

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.errors import AuditError
from auditor.report import asking, ordered
from auditor.report.asking import _columns, _named

NAMED = {
    "select count(*) from flows": ["flow_id"],
    "select tls_version, count( * ) from flows where server_port = 443 group by 1": ["server_port", "tls_version"],
    "with old as (select client_ip from flows) select count(*) from old": ["client_ip"],
    "select count(*) as flows from flows where service like 's%' order by flows desc": ["service"],
    "select f.ja4 from flows f join handshakes h using (flow_id)": ["flow_id", "ja4"],
    "select hello_retry from handshakes, flows": ["flow_id"],
    "select client_group from flows": ["client_ip"],
}
ALL = (
    "select * from flows",
    "select f.* from flows f",
    "select columns('.*ip') from flows",
    "select flows from flows",
    "select ja3, flows from flows",
    "from flows select ja3",
    "summarize flows",
    "select ja3 from flows natural join handshakes",
)


@pytest.mark.parametrize("text", NAMED)
def test_columns_that_are_named_are_read(text: str) -> None:
    """Of a table only the columns are read that a query names, and one where it names none."""
    columns = _columns("flows", _named(text))
    assert sorted(columns) == sorted(NAMED[text])


@pytest.mark.parametrize("text", ALL)
def test_all_columns_are_read_where_they_may_be_meant(office: auditor.Audit, text: str) -> None:
    """Where a query takes columns without naming them, all are there."""
    assert _named(text) is None
    assert asking.query(office, text)[0]


@pytest.mark.parametrize("text", NAMED)
def test_answers_do_not_depend_on_what_is_read(
    office: auditor.Audit, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A query has the same rows whether some columns were read or all."""
    some = asking.query(office, text)
    monkeypatch.setattr(asking, "_named", lambda _: None)
    every = asking.query(office, text)
    assert some[0] == every[0]
    assert sorted(map(str, some[1])) == sorted(map(str, every[1]))


@pytest.mark.parametrize("table", ["flows", "handshakes", "verdicts", "captures"])
def test_parts_and_places_are_those_of_the_table(
    office: auditor.Audit, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """A table in parts is the table, and its rows at some places are those of the table there."""
    whole = office.arrow(table)
    monkeypatch.setattr("auditor.report.ordered.PART", 7)
    assert pa.concat_tables(list(office.parts(table))).equals(whole)
    places = np.arange(0, len(whole), 3)
    assert office.rows_at(table, places).equals(whole.take(pa.array(places)))
    assert office.rows_at(table, places[:0]).num_rows == 0


def shuffled(folder: Path, source: Path, seed: int = 1) -> Path:
    """Results whose rows lie in the files in an order that nothing decides."""
    shutil.copytree(source, folder)
    for file in folder.glob("*.parquet"):
        table = pq.read_table(file)
        order = np.random.default_rng(seed).permutation(len(table))
        pq.write_table(table.take(pa.array(order)), file, row_group_size=16)
    return folder


@pytest.mark.parametrize("held", [0, 8, 1 << 15])
def test_rows_in_no_order(office: auditor.Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    """However rows lie in the files, and however few wait in memory, flows come out by their first packets."""
    monkeypatch.setattr(ordered, "PART", 5)
    monkeypatch.setattr(ordered, "HELD", held)
    result = auditor.load(shuffled(tmp_path / "s", office.folder), say=lambda _: None)
    for table in ("flows", "handshakes"):
        whole = pa.concat_tables(list(result.parts(table)))
        assert whole.sort_by("flow_id").equals(office.arrow(table).sort_by("flow_id"))
    for form in ("csv", "jsonl"):
        one, two = io.BytesIO(), io.BytesIO()
        result.export(form, one)
        office.export(form, two)
        assert one.getvalue() == two.getvalue()


def test_no_more_parts_than_pieces_can_be_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of however many rows there are so few parts that what is put aside grows with the rows, not with their square."""
    monkeypatch.setattr(ordered, "PART", 1)
    batch = pa.RecordBatch.from_pydict({"n": list(range(2000))})
    found = list(ordered.parts([batch], np.arange(2000)[::-1].astype(np.int32)))
    assert len(found) <= ordered.MOST_PARTS
    assert pa.concat_tables(found).column("n").to_pylist() == list(range(2000))[::-1]


def test_flows_with_what_is_about_them(office: auditor.Audit) -> None:
    """Each flow comes once and in order, and each handshake with its own flow."""
    found = list(office.with_flows("handshakes", ("flow_id",), ("flow_id", "tls_version")))
    assert [flow["flow_id"] for flow, _ in found] == [row["flow_id"] for row in office.records("flows", "flow_id")]
    assert all(row["flow_id"] == flow["flow_id"] for flow, rows in found for row in rows)
    shakes = [row for _, rows in found for row in rows]
    assert shakes == list(office.records("handshakes", "flow_id", "tls_version"))


def test_what_is_wrong_with_a_table_is_said_where_sql_reads_it(office: auditor.Audit, tmp_path: Path) -> None:
    """A table that breaks off while a query reads it is an error of the table, and not of the query."""
    shutil.copytree(office.folder, tmp_path / "r")
    file = tmp_path / "r" / "flows.parquet"
    table = pq.read_table(file)
    at = table.schema.get_field_index("client_ip")
    wrong = ["nowhere" if k == len(table) - 1 else one for k, one in enumerate(table.column(at).to_pylist())]
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(wrong)), file, row_group_size=16)
    result = auditor.load(tmp_path / "r", say=lambda _: None)
    with pytest.raises(AuditError, match=r"flows\.parquet: client_ip has 'nowhere'"):
        asking.query(result, "select client_ip from flows")
    with pytest.raises(AuditError, match=r"flows\.parquet: client_ip has 'nowhere'"):
        result.export("csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
