"""Questions about results read what they ask for: columns that are named, and rows that are wanted."""

import numpy as np
import pyarrow as pa
import pytest

import auditor
from auditor.report import asking
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
