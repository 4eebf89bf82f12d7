"""Columns of flow logs that are kept: as narrow as their values, and without a loss."""

import ipaddress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.paths import flow_log_columns, flow_log_forms
from auditor.paths.flow_log_columns import Addresses
from auditor.paths.flow_log_kept import GrowingAddresses, whole_numbers
from auditor.prefixes import parse_address

ENDS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@settings(max_examples=60)
@given(st.lists(ENDS, min_size=1, max_size=30), st.booleans())
def test_addresses_are_read_as_the_system_reads_them(some: list[ipaddress.IPv4Address], long: bool) -> None:
    """Addresses of both versions, short, long and in capitals, are what inet_pton makes of them."""
    texts = [one.exploded.upper() if long else str(one) for one in some]
    high, low, wrong = flow_log_columns._parse(pa.array(texts, pa.string()))
    assert list(zip(high.tolist(), low.tolist(), strict=True)) == [parse_address(text) for text in texts]
    assert not wrong.any()


@pytest.mark.parametrize(
    "text", ["::", "::1", "1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::8", "::ffff:192.0.2.1", "::ffff:c000:201"]
)
def test_shortened_addresses(text: str) -> None:
    """Each place at which zeros may be left out, and addresses of IPv4 within IPv6."""
    high, low, wrong = flow_log_columns._parse(pa.array([text, None, "-"], pa.string()))
    assert (int(high[0]), int(low[0])) == parse_address(text)
    assert not any(column[1:].any() for column in (high, low, wrong))
    assert not wrong[0]


@pytest.mark.parametrize(
    "text",
    [
        ":",
        ":::",
        "1:",
        ":1",
        "1::2::3",
        "12345::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4::5:6:7:8",
        "g::1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1..2.3",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """What inet_pton refuses is not read as an address."""
    with pytest.raises(ValueError, match="no IP address"):
        parse_address(text)
    _, _, wrong = flow_log_columns._parse(pa.array([text], pa.string()))
    assert wrong.all()


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(-1, 2**53), max_size=6), max_size=6), st.data())
def test_numbers_are_kept(parts: list[list[int]], data: st.DataObject) -> None:
    """A column becomes as wide as its values need, and what it had stays; rows that are let go leave the others."""
    column, every = whole_numbers(), list[int]()
    for part in parts:
        column.put(np.array(part, np.int64), len(every))
        every += part
    kept = data.draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every)))
    column.keep(np.array(kept, bool))
    wanted = [value for value, stays in zip(every, kept, strict=True) if stays]
    assert column.whole(len(wanted)).tolist() == wanted


@settings(max_examples=60)
@given(st.lists(st.lists(st.one_of(st.none(), ENDS), max_size=6), max_size=6), st.data())
def test_addresses_are_kept(parts: list[list[ipaddress.IPv4Address | None]], data: st.DataObject) -> None:
    """A column gives back the addresses of both versions that it was given, also when rows among them were let go."""
    column, every = GrowingAddresses(), list[tuple[int, int]]()
    for part in parts:
        some = [(0, 0) if one is None else parse_address(str(one)) for one in part]
        high, low = (np.array([half[k] for half in some], np.uint64) for k in (0, 1))
        column.put(Addresses(high, low), len(every))
        every += some
    stays = data.draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every)))
    column.keep(np.array(stays, bool))
    column.put(Addresses(np.array([1], np.uint64), np.array([2], np.uint64)), sum(stays))
    wanted = [one for one, there in zip(every, stays, strict=True) if there] + [(1, 2)]
    kept = column.whole(len(wanted))
    assert [tuple(one) for one in kept[np.arange(len(wanted))].tolist()] == wanted
    assert tuple(kept[len(wanted) - 1].tolist()) == (1, 2)


def test_a_column_of_one_value_takes_no_memory() -> None:
    """What is the same in all rows is kept once, until another value comes."""
    column = whole_numbers()
    for begin in (0, 5):
        column.put(np.full(5, 6), begin)
    assert column.until(10).tolist() == [6] * 10
    assert column.until(10).strides == (0,)
    column.put(np.array([65_535]), 10)
    column.put(np.array([7]), 12)
    assert column.whole(13).tolist() == [*[6] * 10, 65_535, -1, 7]


@pytest.mark.parametrize(
    ("lines", "tidy"),
    [
        (b"a b\nc d\n", b"a b\nc d\n"),
        (b"a  b\n", b"a b\n"),
        (b" a b\n", b"a b\n"),
        (b"a b \nc d\n", b"a b\nc d\n"),
        (b"a b \r\nc d\r\n", b"a b\r\nc d\r\n"),
        (b"a b\n c d", b"a b\nc d"),
        (b"a b ", b"a b"),
    ],
)
def test_loose_spaces(lines: bytes, tidy: bytes) -> None:
    """Fields of a line stand with one space between them, however they stood."""
    assert flow_log_forms._tidy(lines) == tidy
