"""Making inputs wrong by their structure: values of JSON and TOML, fields of lines, columns of tables, bytes."""

import copy
import io
import json
import re
import struct
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.decode.layers import ETHERTYPES, IP_PROTOCOLS, LINK_TYPES, UDP_TUNNELS

TEXTS = [
    *("", " ", "\0", "-", "?", "x" * 5000, "\x1b[31mred", "\x9b2J", "\u202egnp", "\u200b", "\ufeff", "\ud800", "a\nb", "a\tb"),
    *("=1+1", "<b>&", "[x](y)", "1e999", "NaN", "-inf", "0x10", "١٢", "²", "9" * 5000, "true", "null", "%s", "{0}", "../../etc/passwd"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59", "99999-01-01", "2025-02-30T00:00:00Z", "0000-00-00"),
    *("0.0.0.0/0", "::/0", "10.0.0.0/99", "256.1.1.1", "fe80::1%eth0", "::ffff:1.2.3.4", "02:00:00:00:00:00:00", "*" * 200),
]  # fmt: skip
NUMBERS: list[Any] = [
    *(0, 1, -1, 5, 255, 256, 4095, 4096, 65535, 65536, 1 << 31, 1 << 32, 1 << 53, (1 << 63) - 1, 1 << 63, -(1 << 63) - 1),
    *(10**30, 10**400, 0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"), 1e-320, -62135596801, 253402300800),
]  # fmt: skip
SHORT = [number for number in NUMBERS if number != 10**400]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], {"": {}}, [None], [{}], {"a": []}, ["x", 1, None]]


def strange(random: Random) -> Any:
    """A value that few readers think of."""
    return copy.deepcopy(random.choice(random.choice((TEXTS, NUMBERS, OTHERS))))


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*place, key))
    return found


def _parent(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        value = value[key]
    return value


def plain(random: Random, value: Any, most: int = 4) -> Any:
    """Plain values with a few of them replaced, removed, copied, renamed, wrapped, or exchanged for others of the same document."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, most)):
        places = _places(value)
        if not places:
            return strange(random)
        place = random.choice(places)
        parent, key = _parent(value, place), place[-1]
        match random.randrange(8):
            case 0 | 1 | 2:
                parent[key] = strange(random)
            case 3:
                other = random.choice(places)
                parent[key] = copy.deepcopy(_parent(value, other)[other[-1]])
            case 4:
                del parent[key]
            case 5 if isinstance(parent, dict):
                parent[random.choice([str(random.choice(TEXTS)), "name", "x"])] = parent.pop(key)
            case 6 if isinstance(parent, list):
                parent += copy.deepcopy(parent)[:1000]
            case _:
                inner, depth = parent[key], random.choice((1, 1, 1, 1, 1, 2, 2, 2, 70, 3000))
                for _ in range(depth):
                    inner = [inner] if random.random() < 0.5 else {"a": inner}
                parent[key] = inner
                if depth > 70:
                    return value  # copying it would be too deep for Python
    return value


def to_json(random: Random, value: Any) -> bytes:
    """JSON, now and then in a form that is none: numbers without end, two equal members, other encodings."""
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):
        text = "[" * 3000 + "]" * 3000
    match random.randrange(10):
        case 0:
            text = re.sub(r"\b\d+\b", lambda m: random.choice((m[0], "1e999", "9" * 5000, "-0", "01")), text, count=3)
        case 1:
            text = re.sub(r'("\w+": )', r"\1null, \1", text, count=random.randint(1, 3))
        case 2:
            return text.encode(random.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))
        case 3:
            return octets(random, text.encode())
    return text.encode()


def to_toml(value: Any) -> str:
    """Plain values as TOML: what JSON has besides (null) is left out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {to_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(to_toml(v) for v in value if v is not None) + "]"
    if isinstance(value, date | datetime | int | float):
        return str(value)
    return json.dumps(str(value))


def toml(random: Random, value: Any) -> bytes:
    """A TOML document of some values."""
    try:
        lines = [f"{json.dumps(k)} = {to_toml(v)}" for k, v in value.items() if v is not None]
    except (AttributeError, RecursionError, ValueError):
        lines = ["a = " + "[" * 3000]
    data = "\n".join(lines).encode()
    match random.randrange(12):
        case 0:
            return octets(random, data)
        case 1:
            return data.decode().encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-be")))
        case 2:
            return data + b"\n" + data
        case 3:
            return data + b"\n" + ".".join("a" * random.choice((3, 70, 1200))).encode() + b" = 1\n"
    return data


def fields(random: Random, text: str) -> bytes:
    """Lines of fields with a few of them replaced, whatever separates them."""
    parts = _fields(text).copy()
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(parts))
        match random.randrange(6):
            case 0 | 1 | 2:
                parts[at] = str(random.choice(random.choice((TEXTS, SHORT))))
            case 3:
                parts[at] = random.choice(parts)
            case 4 if len(parts) > 1:
                del parts[at]
            case _:
                parts[at:at] = parts[: random.randrange(20)]
    data = "".join(parts).encode("utf-8", "surrogatepass")
    return octets(random, data) if random.random() < 0.1 else data


@cache
def _fields(text: str) -> list[str]:
    """The fields of a text, and what separates them."""
    return re.split(r"([\s,\t]+)", text)


def octets(random: Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, cut, copied or moved."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(7):
            case 0 | 1 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 2 if at < len(changed):
                changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 3:
                width = random.choice((2, 4, 8))
                number = random.choice((0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1)) & (
                    (1 << 8 * width) - 1
                )
                changed[at : at + width] = number.to_bytes(width, random.choice(("little", "big")))
            case 4:
                del changed[at : at + random.choice((1, 2, 4, 64))]
            case 5:
                changed[at:at] = changed[at : at + random.choice((1, 4, 40))]
            case 6 if random.random() < 0.3:
                del changed[at:]
    return bytes(changed)


RECORD = 16  # bytes of a record's header in a pcap
LINKS = (*LINK_TYPES, 65535)  # kinds of links
# Numbers by which packets are told: of what follows a header, and of ports.
WORDS = (*ETHERTYPES, *UDP_TUNNELS, *(53, 80, 179, 443, 853, 1194, 1433, 3306, 3389, 5432), *IP_PROTOCOLS)


def frames(random: Random, data: bytes, other: bytes) -> bytes:
    """A pcap whose packets are changed, cut, lost, there twice, in another order or among those of ``other``, in records that fit."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    packets, head = _packets(data, order), bytearray(data[:24])
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(packets)) if packets else 0
        match random.randrange(12):
            case 0 if packets:
                del packets[at]
            case 1 if packets:
                packets.insert(random.randrange(len(packets)), packets[at])
            case 2 if packets:
                to = random.randrange(len(packets))
                packets[at], packets[to] = packets[to], packets[at]
            case 3:
                more = _packets(other, order if other[:4] == data[:4] else "")
                begin = random.randrange(len(more) + 1)
                packets[at:at] = more[begin : begin + random.choice((1, 3, 20))]
            case 4 if packets:
                time, frame, length = packets[at]
                packets[at] = time, frame[: random.randrange(len(frame) + 1)], length
            case 5 if packets:
                time, frame, length = packets[at]
                end = random.randrange(len(frame) + 1)
                tail = random.choice(packets)[1]
                packets[at] = time, frame[:end] + tail[random.randrange(len(tail) + 1) :], length
            case 6 if packets:
                packets[at] = random.choice(packets)[0], *packets[at][1:]
            case 7 if random.random() < 0.2:
                head[20:24] = struct.pack(f"{order}I", random.choice(LINKS))
            case _ if packets:
                time, frame, length = packets[at]
                # Most of what is decided is decided by the first bytes of headers and of what they carry.
                begin = min(len(frame), random.choice((0, 12, 14, 34, 42, 54, 66, random.randrange(len(frame) + 1))))
                packets[at] = time, frame[:begin] + _like(random, frame[begin:]), length
    body = (
        time + struct.pack(f"{order}II", len(frame), max(length, len(frame))) + frame for time, frame, length in packets
    )
    return bytes(head) + b"".join(body)


def _packets(data: bytes, order: str) -> list[tuple[bytes, bytes, int]]:
    """The packets of a pcap: their times, what was kept of them, and how long they were; none without an order."""
    found, at = [], 24
    while order and at + RECORD <= len(data):
        kept, length = struct.unpack(f"{order}II", data[at + 8 : at + RECORD])
        found.append((data[at : at + 8], data[at + RECORD : at + RECORD + kept], length))
        at += RECORD + kept
    return found


def _like(random: Random, data: bytes) -> bytes:
    """Bytes of which few are others, most of them as many."""
    if random.random() < 0.2:
        return octets(random, data)
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        width = random.choice((1, 1, 1, 2, 2, 3, 4))
        if len(changed) >= width:
            at = random.randrange(min(len(changed) - width + 1, random.choice((16, 64, 4096))))
            number = int.from_bytes(changed[at : at + width], "big")
            number = random.choice(
                (number + 1, number - 1, 0, -1, number << 1, random.randrange(1 << 32), len(changed))
            )
            changed[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "big")
    return bytes(changed)


DEEPEST_DER = 20
TAGS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1E, 0x30, 0x31, 0x80, 0x82, 0xA0, 0xA3)
CONTENTS = (
    b"",
    b"\0",
    b"\xff",
    b"\x80" * 20,
    b"\x7f" + b"\xff" * 600,
    b"20491231235960Z",
    b"99991231235959Z",
    b"500101000000Z",
)
Element = tuple[int, "bytes | list[Element]"]


def der(random: Random, data: bytes) -> bytes:
    """DER with elements replaced, removed, copied or of other tags, whose lengths fit; now and then such as do not."""
    if random.random() < 0.15:
        return octets(random, data)
    top = _elements(data, 0)
    for _ in range(random.randint(1, 4)):
        lists = _lists(top)
        chosen = random.choice(lists)
        at = random.randrange(len(chosen))
        tag, inner = chosen[at]
        match random.randrange(9):
            case 0:
                chosen[at] = random.choice(TAGS), inner
            case 1 if len(chosen) > 1:
                del chosen[at]
            case 2:
                chosen[at:at] = [chosen[at]] * random.choice((1, 2, 50))
            case 3:
                other = random.choice(lists)
                chosen[at] = copy.deepcopy(random.choice(other))
            case 4:
                chosen[at] = tag, random.choice(CONTENTS)
            case 5:
                for _ in range(random.choice((1, 2, 40))):
                    chosen[at] = random.choice((0x30, 0xA0, 0x31)), [chosen[at]]
            case _ if isinstance(inner, bytes):
                chosen[at] = tag, octets(random, inner)
            case _:
                inner[:] = inner[::-1]
    return _encoded(top)


def _elements(data: bytes, depth: int) -> list[Element]:
    """The elements of DER, what holds others as lists. Raises IndexError for what is none."""
    found: list[Element] = []
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            at += size & 0x7F
            size = int.from_bytes(data[at - (size & 0x7F) : at], "big")
        inner = data[at : at + size]
        if len(inner) < size:
            raise IndexError
        at += size
        try:
            holds = depth < DEEPEST_DER and (tag & 0x20 or tag == 0x04)
            found.append((tag, _elements(inner, depth + 1) if holds and inner else inner))
        except IndexError:
            found.append((tag, inner))
    return found


def _lists(elements: list[Element]) -> list[list[Element]]:
    found = [elements]
    for _, inner in elements:
        if isinstance(inner, list):
            found += _lists(inner)
    return [one for one in found if one]


def _encoded(elements: list[Element]) -> bytes:
    parts: list[bytes] = []
    for tag, inner in elements:
        body = inner if isinstance(inner, bytes) else _encoded(inner)
        size = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1, "big")
        length = size if len(body) < 0x80 else bytes([0x80 | len(size)]) + size
        parts += [bytes([tag]), length, body]
    return b"".join(parts)


def _cell(random: Random, kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        return random.choice((0, 1, -1, 1 << 31, 1 << 53, 1 << 62, (1 << 63) - 1, -(1 << 63), None))
    if pa.types.is_floating(kind):
        return random.choice((0.0, -1.5, 1e308, float("inf"), float("nan"), None))
    if pa.types.is_boolean(kind):
        return random.choice((True, False, None))
    return random.choice([one for one in TEXTS if one.isprintable() or one.isascii()] + [None])


def _replaced(random: Random, column: pa.ChunkedArray) -> pa.Array:
    """A column with some cells of other values of its type; all of them, now and then."""
    kind = column.type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    values = column.cast(pa.int64() if pa.types.is_timestamp(kind) else inner).to_pylist()
    for at in range(len(values)) if random.random() < 0.2 else [random.randrange(len(values))] if values else []:
        values[at] = random.choice(values) if random.random() < 0.2 else _cell(random, inner)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).view(kind)
    return pa.array(values, inner).cast(kind) if pa.types.is_dictionary(kind) else pa.array(values, inner)


RETYPED: list[Callable[[pa.ChunkedArray], pa.Array]] = [
    lambda column: pa.array([str(v) for v in column.to_pylist()]),
    lambda column: pa.array([[1]] * len(column)),
    lambda column: pa.array([{"a": 1}] * len(column)),
    lambda column: pa.array([1.5, float("nan"), *([2.0] * len(column))][: len(column)]),
    lambda column: pa.array([(1 << 64) - 1] * len(column), pa.uint64()),
    lambda column: pa.array([b"\xff"] * len(column), pa.binary()),
    lambda column: pa.nulls(len(column)),
    lambda column: pa.array([True] * len(column)),
    lambda column: pa.array([1] * len(column), pa.timestamp("us")),
]


def parquet(random: Random, table: pa.Table) -> bytes:
    """A Parquet file of a table with cells replaced, columns of other types, gone or twice, without rows, or with damage."""
    for _ in range(random.randint(1, 4)):
        at = random.randrange(table.num_columns) if table.num_columns else 0
        field = table.schema.field(at) if table.num_columns else None
        match random.randrange(12):
            case 0 if field is not None:
                table = table.remove_column(at)
            case 1 if field is not None:
                retyped = random.choice(RETYPED)(table.column(at))
                table = table.set_column(at, pa.field(field.name, retyped.type), retyped)
            case 2 if field is not None and not pa.types.is_nested(field.type):
                table = table.append_column(random.choice((field.name, "more", "\x1b[31m")), table.column(at))
            case 3:
                table = table.slice(random.randrange(table.num_rows + 1), random.randrange(3))
            case 4:
                table = pa.concat_tables([table, table])
            case _ if field is not None and not (pa.types.is_nested(field.type) or pa.types.is_null(field.type)):
                try:
                    cells = _replaced(random, table.column(at))
                except (pa.ArrowException, UnicodeEncodeError, OverflowError):
                    continue
                table = table.set_column(at, field, cells)
    out = io.BytesIO()
    packed, size = random.random() < 0.1, random.choice((1, 7, 1000))
    pq.write_table(table, out, row_group_size=size, compression="zstd" if packed else "none")
    return octets(random, out.getvalue()) if random.random() < 0.15 else out.getvalue()


PUMPED = [
    "a",
    "1",
    ":",
    ".",
    " ",
    "\n",
    '"',
    "'",
    "[",
    "{",
    "<!---->",
    "a.",
    "1 ",
    "a b ",
    "=",
    "\\",
    "Z",
    "%2",
    "2 1 ",
    "\t-",
]


def long(text: str, size: int) -> list[bytes]:
    """Inputs of one part over and over, alone and behind the first word of a text: what a pattern may cost the square of."""
    head = re.match(r"\W*\w*\W*", text)
    begins = ("", text[: head.end()] if head else "")
    return [(begin + part * (size // len(part))).encode() for begin in begins for part in PUMPED]
