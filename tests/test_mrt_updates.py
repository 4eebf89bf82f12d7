"""Updates in MRT files: what was in force at each time, of one session or several, in every form that writers have."""

import gzip
import ipaddress
import struct
from contextlib import suppress
from pathlib import Path

import pytest

import auditor
from auditor.paths import mrt_records, mrt_updates, route_files
from auditor.paths.routes import Routes, RoutingTable
from auditor.prefixes import parse_address
from tests import wire
from tests.lab import scenes
from tests.lab import world as w
from tests.test_path_inputs import find, mrt_record

AWS, ISP, HERE = "192.0.2.1", "192.0.2.141", "192.0.2.2"
START = scenes.START
ESTABLISHED, IDLE = 6, 1


def record(body: bytes, when: float, kind: int = 16, subtype: int = 4, peer: str = AWS) -> bytes:
    """A record of BGP4MP, or of BGP4MP_ET with microseconds, about a session with a peer."""
    numbers = ">IIHH" if subtype in (4, 5, 7, 9, 11) else ">HHHH"
    address, own = ipaddress.ip_address(peer), ipaddress.ip_address(HERE if "." in peer else "2001:db8::2")
    body = struct.pack(numbers, 7224, 65010, 0, 1 if address.version == 4 else 2) + address.packed + own.packed + body
    if kind == 17:
        body = struct.pack(">I", round(when % 1 * 1e6)) + body
    return struct.pack(">IHHI", START + int(when), kind, subtype, len(body)) + body


def nlri(prefixes: tuple[str, ...], identifier: int | None) -> bytes:
    data = b""
    for text in prefixes:
        net = ipaddress.ip_network(text)
        data += b"" if identifier is None else struct.pack(">I", identifier)
        data += bytes([net.prefixlen]) + net.network_address.packed[: (net.prefixlen + 7) // 8]
    return data


def update(
    *announced: str,
    gone: tuple[str, ...] = (),
    hop: str = AWS,
    path: tuple[int, ...] = (7224,),
    identifier: int | None = None,
    width: str = "I",
) -> bytes:
    """An UPDATE, with path identifiers or without."""
    withdrawn, attributes = nlri(gone, identifier), b""
    if announced:
        numbers = bytes([2, len(path)]) + b"".join(struct.pack(f">{width}", n) for n in path)
        attributes = b"\x40\x01\x01\0" + bytes([0x40, 2, len(numbers)]) + numbers
        attributes += b"\x40\x03\x04" + ipaddress.ip_address(hop).packed
    body = struct.pack(">H", len(withdrawn)) + withdrawn + struct.pack(">H", len(attributes)) + attributes
    return w.bgp(2, body + nlri(announced, identifier))


def state(before: int, after: int, when: float, subtype: int = 5, peer: str = AWS) -> bytes:
    return record(struct.pack(">HH", before, after), when, subtype=subtype, peer=peer)


DEFAULT = record(update("0.0.0.0/0", hop=ISP, path=(64999,)), -90, peer=ISP)
BEGIN = record(update("52.94.0.0/16"), -100) + DEFAULT


def table_of(data: bytes) -> RoutingTable:
    routes = Routes("updates")
    mrt_updates.read([mrt_records.survey(data)], routes)
    return RoutingTable(routes)


def hop_at(data: bytes, when: float, address: str = "52.94.5.10") -> str | None:
    """The next hop that was in force for an address, seconds after the beginning."""
    hop = find(table_of(data), address, START * wire.SECOND + int(when * 1e9))
    return None if hop is None or hop.next_hop is None else str(ipaddress.ip_address(hop.next_hop[1] & 0xFFFFFFFF))


@pytest.mark.parametrize(
    ("data", "before", "after"),
    [
        (record(update(gone=("52.94.0.0/16",)), 10), AWS, ISP),
        (record(update(gone=("52.95.0.0/17",)), 10), AWS, AWS),
        (state(ESTABLISHED, IDLE, 10), AWS, ISP),
        (state(ESTABLISHED, IDLE, 10, subtype=0), AWS, ISP),
        (state(ESTABLISHED, IDLE, 10, peer=ISP), AWS, AWS),
        (state(ESTABLISHED, ESTABLISHED, 10), AWS, AWS),
        (record(w.bgp(3, b"\6\2"), 10), AWS, ISP),
        (record(w.hello(7224, AWS), 10), AWS, ISP),
        (record(w.bgp(4, b""), 10), AWS, AWS),
        (state(ESTABLISHED, IDLE, 9) + state(5, ESTABLISHED, 10) + record(update("52.94.0.0/16"), 10), AWS, AWS),
        (record(update("52.94.0.0/20", hop=ISP), 10, peer=ISP), AWS, ISP),
        (record(update("52.94.0.0/16", hop=ISP, path=(64999, 7224)), 10, peer=ISP), AWS, AWS),
        (record(update("52.94.0.0/16", hop=ISP), 10), AWS, ISP),
        (record(update(gone=("52.94.0.0/16",)), 10, subtype=7), AWS, AWS),
        (record(update("52.94.0.0/16", hop=ISP), 30) + record(update(gone=("52.94.0.0/16",)), 10), AWS, ISP),
    ],
    ids=["withdrawn", "another withdrawn", "session down", "session down, narrow", "another session down", "no change",
         "NOTIFICATION", "OPEN", "KEEPALIVE", "flapping", "a longer one", "a longer path", "replaced", "our own", "out of order"],
)  # fmt: skip
def test_the_state_after_the_last_update(data: bytes, before: str, after: str) -> None:
    """What is announced is in force until it is withdrawn or replaced, or its session ends; then the next one that covers."""
    assert (hop_at(BEGIN + data, 5), hop_at(BEGIN + data, 20)) == (before, after)
    assert hop_at(BEGIN + data, -95) == AWS
    assert hop_at(BEGIN + data, -200) is None


@pytest.mark.parametrize(("kind", "subtype", "width"), [(16, 1, "H"), (16, 4, "I"), (17, 1, "H"), (17, 4, "I"), (16, 1, "I")])  # fmt: skip
def test_forms_of_records(kind: int, subtype: int, width: str) -> None:
    """Narrow and wide AS numbers, seconds and microseconds; wide ones where the subtype says narrow."""
    data = record(update("52.94.0.0/16", path=(7224, 16509), width=width), 0.5, kind, subtype)
    assert hop_at(data, 1) == AWS
    assert hop_at(data, 0.25) == (None if kind == 17 else AWS)


@pytest.mark.parametrize("subtype", [8, 9])
def test_additional_paths(subtype: int) -> None:
    """Of a peer's several paths one is withdrawn or replaced by its identifier; the others stay in force."""
    width = "H" if subtype == 8 else "I"

    def put(when: float, hop: str, identifier: int, *path: int) -> bytes:
        return record(update("52.94.0.0/16", hop=hop, path=path, identifier=identifier, width=width), when, 16, subtype)

    both = put(0, AWS, 1, 7224) + put(0, ISP, 2, 64999, 7224)
    gone = [update(gone=("52.94.0.0/16",), identifier=number) for number in (1, 2)]
    assert hop_at(both, 5) == AWS
    assert hop_at(both + record(gone[0], 10, 16, subtype), 20) == ISP
    assert hop_at(both + record(gone[1], 10, 16, subtype), 20) == AWS
    assert hop_at(both + b"".join(record(one, 10, 16, subtype) for one in gone), 20) is None
    assert hop_at(both + put(10, "192.0.2.7", 1, 7224), 20) == "192.0.2.7"


def test_equally_good_paths() -> None:
    """Two peers' paths between which nothing decides stand beside each other; when one session ends the other is alone."""
    data = BEGIN + record(update("52.94.0.0/16", hop=ISP, path=(64999,)), -80, peer=ISP)
    hop = find(table_of(data), "52.94.5.10", START * wire.SECOND)
    assert hop is not None
    assert [one.next_hop for one in (hop, *hop.others)] == [parse_address(AWS), parse_address(ISP)]
    assert hop_at(data + state(ESTABLISHED, IDLE, 1), 2) == ISP


def test_ipv6() -> None:
    """Prefixes of IPv6 come in MP_REACH_NLRI, and go in MP_UNREACH_NLRI or with the session."""
    peer = "2001:db8::1"
    value = b"\0\2\1\x10" + ipaddress.ip_address(peer).packed + b"\0" + nlri(("2600:1f00::/24",), None)
    attributes = b"\x40\x01\x01\0\x40\x02\x06\2\1" + struct.pack(">I", 7224) + bytes([0x80, 14, len(value)]) + value
    body = b"\0\0" + struct.pack(">H", len(attributes)) + attributes
    data = record(w.bgp(2, body), 0, peer=peer)
    when = START * wire.SECOND
    hop = find(table_of(data), "2600:1f18::1", when)
    assert hop is not None
    assert hop.next_hop == parse_address(peer)
    assert find(table_of(data + state(ESTABLISHED, IDLE, 1, peer=peer)), "2600:1f18::1", when + 10**10) is None


def test_a_route_that_flaps() -> None:
    """A prefix that comes and goes ten thousand times beside ten thousand others takes their memory, not their product."""
    flaps = b"".join(
        record(update("52.94.0.0/16"), 2 * k) + record(update(gone=("52.94.0.0/16",)), 2 * k + 1) for k in range(3_000)
    )
    others = b"".join(record(update(f"10.{k >> 8}.{k & 255}.0/24"), 0) for k in range(3_000))
    data = others + flaps
    assert (hop_at(data, 2 * 1234 + 0.5), hop_at(data, 2 * 1234 + 1.5)) == (AWS, None)
    assert hop_at(data, 5, "10.3.7.1") == AWS


def test_what_is_no_update(tmp_path: Path) -> None:
    """Damage is told with its place, and another kind of record between updates; a file that says nothing of routes is none."""
    (tmp_path / "u.mrt").write_bytes(BEGIN[:-3])
    with pytest.raises(
        auditor.InputError, match=rf"u.mrt.*the record at byte {len(BEGIN) - len(DEFAULT)} is cut short"
    ):
        route_files.read(tmp_path / "u.mrt")
    (tmp_path / "u.mrt").write_bytes(BEGIN + struct.pack(">IHHI", START, 12, 1, 0))
    with pytest.raises(
        auditor.InputError, match=f"the record at byte {len(BEGIN)} is of type TABLE_DUMP, which is not read"
    ):
        route_files.read(tmp_path / "u.mrt")
    notes: list[str] = []
    (tmp_path / "u.mrt").write_bytes(BEGIN + struct.pack(">IHHI", START, 16, 3, 0) + mrt_record(3, b""))
    assert len(route_files.read(tmp_path / "u.mrt", notes=notes)) == 2
    assert [note.partition("u.mrt: ")[2][:41] for note in notes[:2]] == [
        "1 record of type 13 and subtype 3 is not ",
        "1 record of type 16 and subtype 3 is not ",
    ]
    (tmp_path / "u.mrt.gz").write_bytes(gzip.compress(record(w.bgp(4, b""), 0)))
    assert len(route_files.read(tmp_path / "u.mrt.gz")) == 0


def test_updates_that_are_cut_or_changed_anywhere() -> None:
    """Wherever a file of updates ends, and whatever one of its bytes becomes, there are routes or a ValueError."""
    data = BEGIN + record(update("10.0.0.0/8", identifier=7), 5, 17, 9) + state(ESTABLISHED, IDLE, 6)
    for at in range(len(data)):
        with suppress(ValueError):
            mrt_updates.read([mrt_records.survey(data[:at])], Routes("cut"))
        for byte in (0, 1, 0x10, 0xFF):
            with suppress(ValueError):
                mrt_updates.read([mrt_records.survey(data[:at] + bytes([byte]) + data[at + 1 :])], Routes("changed"))


def test_what_was_announced_before(tmp_path: Path) -> None:
    """A session whose beginning the file does not have is told of; one that it shows to begin is not."""
    for data, told in ((BEGIN, "2 sessions"), (state(5, ESTABLISHED, -200) + BEGIN, "1 session")):
        (tmp_path / "u.mrt").write_bytes(data)
        notes: list[str] = []
        route_files.read(tmp_path / "u.mrt", notes=notes)
        assert len(notes) == 1
        assert f"u.mrt: {told} began before these updates" in notes[0]


Peers = dict[str, list[tuple[str, tuple[int, ...]]]]  # prefix -> (peer and next hop, AS path)
KNOWN: Peers = {
    "52.94.0.0/16": [(AWS, (7224,)), (ISP, (64999, 1, 7224))],
    "0.0.0.0/0": [(ISP, (64999,))],
    "10.0.0.0/8": [(AWS, (7224,))],
}


def dump(
    when: float, routes: Peers, *, collector: bytes = b"\x0a\0\0\1", index: bool = True, identifiers: bool = False
) -> bytes:
    """A table dump of TABLE_DUMP_V2, with its table of peers; paths of one peer have identifiers from 1 on."""
    peers = list(dict.fromkeys(peer for paths in routes.values() for peer, _ in paths))
    listed = b"".join(b"\2\1\1\1\1" + ipaddress.ip_address(peer).packed + struct.pack(">I", 7224) for peer in peers)
    records = [(1, collector + struct.pack(">HH", 0, len(peers)) + listed)] if index else []
    for prefix, paths in routes.items():
        body = bytes(4) + nlri((prefix,), None) + struct.pack(">H", len(paths))
        for number, (peer, path) in enumerate(paths, 1):
            numbers = bytes([2, len(path)]) + b"".join(struct.pack(">I", n) for n in path)
            blob = b"\x40\x01\x01\0" + bytes([0x40, 2, len(numbers)]) + numbers
            blob += b"\x40\x03\x04" + ipaddress.ip_address(peer).packed
            body += struct.pack(">HI", peers.index(peer), START) + (struct.pack(">I", number) if identifiers else b"")
            body += struct.pack(">H", len(blob)) + blob
        records.append((8 if identifiers else 2, body))
    head = struct.Struct(">IHHI")
    return b"".join(head.pack(START + int(when), 13, subtype, len(body)) + body for subtype, body in records)


WITHDRAWN, AGAIN, DOWN = record(update(gone=("52.94.0.0/16",)), 10), record(update("52.94.0.0/16"), 20), state(6, 1, 30)
NEAR = "10.1.1.1"
BOTH: Peers = {"52.94.0.0/16": [(AWS, (7224,)), (AWS, (7224, 9))], "0.0.0.0/0": [(ISP, (64999,))]}


@pytest.mark.parametrize("apart", [False, True], ids=["in one file", "in two"])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((dump(0, KNOWN), WITHDRAWN + AGAIN + DOWN), {5: AWS, 15: ISP, 25: AWS, 35: ISP}),
        ((dump(0, KNOWN), DOWN), {5: AWS, 35: ISP, (5, NEAR): AWS, (35, NEAR): ISP}),
        ((WITHDRAWN + AGAIN + DOWN, dump(40, KNOWN)), {5: None, 15: ISP, 25: AWS, 35: ISP, 45: AWS, (5, NEAR): None, (45, NEAR): AWS}),
        ((WITHDRAWN + AGAIN, dump(15, KNOWN)), {5: None, 12: ISP, 17: AWS, 25: AWS, (5, NEAR): AWS}),
        ((dump(0, KNOWN), dump(50, {"0.0.0.0/0": [(ISP, (64999,))]})), {5: AWS, 60: ISP, (5, NEAR): AWS, (60, NEAR): ISP}),
        ((dump(0, BOTH, identifiers=True), record(update(gone=("52.94.0.0/16",), identifier=1), 10, 16, 9) + DOWN), {15: AWS, 35: ISP}),
        ((dump(10, KNOWN), WITHDRAWN), {5: AWS, 15: ISP}),
        ((dump(0, KNOWN, index=False), DOWN), {5: AWS, 35: AWS}),
        ((dump(0, KNOWN), record(update("52.94.5.0/24", hop=ISP), 10, peer=ISP)), {5: AWS, 15: ISP}),
        ((DEFAULT, WITHDRAWN), {5: None, 15: ISP}),
    ],
    ids=["dump, then updates", "a session ends", "updates, then dump", "dump between updates", "two dumps", "additional paths", "the same second",
         "no table of peers", "a longer prefix", "withdrawn without a dump"],
)  # fmt: skip
def test_a_dump_and_updates(
    tmp_path: Path, parts: tuple[bytes, bytes], expected: dict[float | tuple[float, str], str | None], apart: bool
) -> None:
    """A dump is the state at its time, whatever stands first; updates change it; where a route led is not guessed."""
    files = list(parts) if apart else [b"".join(parts)]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.mrt").write_bytes(data)
    (routes,) = route_files.read_all([(tmp_path / f"{number}.mrt", None) for number in range(len(files))])
    table = RoutingTable(routes)
    found: dict[float | tuple[float, str], str | None] = {}
    for key in expected:
        when, target = key if isinstance(key, tuple) else (key, "52.94.5.10")
        hop = find(table, target, (START + int(when)) * wire.SECOND)
        address = hop.next_hop if hop is not None else None
        found[key] = None if address is None else str(ipaddress.ip_address(address[1] & 0xFFFFFFFF))
    assert found == expected


def test_dumps_of_two_routers(tmp_path: Path) -> None:
    """Dumps of different collectors stay tables of their own, also where updates are beside them."""
    files = dump(0, KNOWN), dump(0, KNOWN, collector=b"\x0a\0\0\2"), WITHDRAWN
    for number, data in enumerate(files):
        (tmp_path / f"{number}.mrt").write_bytes(data)
    tables = route_files.read_all([(tmp_path / f"{number}.mrt", None) for number in range(3)])
    assert [len(routes) for routes in tables] == [3, 3, 1]


OUTSIDE = w.talk(scenes.SOURCE, out=scenes.LAN)


@pytest.mark.parametrize(
    ("updates", "said"),
    [
        (b"", "direct-connect likely"),
        (record(update("10.1.0.0/16"), -5, peer=scenes.AMAZON_PUBLIC), "direct-connect likely"),
        (record(update(gone=("52.94.0.0/16",)), -5, peer=scenes.AMAZON_PUBLIC), "unknown none"),
        (record(update(gone=("52.94.0.0/16",)), 500, peer=scenes.AMAZON_PUBLIC), "direct-connect likely"),
        (state(ESTABLISHED, IDLE, -5, peer=scenes.AMAZON_PUBLIC), "unknown none"),
        (record(update("52.94.0.0/16", hop="198.51.100.1"), -5, peer="198.51.100.1"), "internet likely"),
    ],
    ids=["none", "of another prefix", "withdrawn", "withdrawn later", "session down", "announced elsewhere"],
)
def test_updates_beside_a_table(tmp_path: Path, updates: bytes, said: str) -> None:
    """What a table dump says of a route holds until updates say something else of it, or its session is lost."""
    earlier = scenes.mrt("52.94.0.0/16", scenes.AMAZON_PUBLIC, [(7224, 8100)]).replace(
        struct.pack(">I", START), struct.pack(">I", START - 60)
    )
    (tmp_path / "rib.mrt").write_bytes(earlier)
    (tmp_path / "u.mrt").write_bytes(updates or record(w.bgp(4, b""), 0))
    (tmp_path / "site.toml").write_text(scenes.PEERS)
    (tmp_path / "c.pcap").write_bytes(wire.pcap(OUTSIDE, nanoseconds=True))
    routes = [tmp_path / "rib.mrt", tmp_path / "u.mrt"]
    (row,) = auditor.audit(tmp_path / "c.pcap", topology=tmp_path / "site.toml", routes=routes).flows.to_dict("records")
    assert f"{row['path']} {row['path_confidence']}" == said


def test_a_route_that_changes_within_a_flow(tmp_path: Path) -> None:
    """Of a flow that goes on when updates change its route nothing is said by that; one that ends before has it."""
    peer, gone = scenes.AMAZON_PUBLIC, update(gone=("52.94.0.0/16",))
    (tmp_path / "u.mrt").write_bytes(
        record(update("52.94.0.0/16", hop=peer), -100, peer=peer) + record(gone, 5, peer=peer)
    )
    (tmp_path / "site.toml").write_text(scenes.PEERS)
    talk = w.talk(scenes.SOURCE, out=scenes.LAN)
    late = [(when + 10 * wire.SECOND, frame) for when, frame in talk[-2:]]
    for frames, said in ((talk, "direct-connect likely"), ([*talk[:-2], *late], "unknown none")):
        (tmp_path / "c.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
        result = auditor.audit(tmp_path / "c.pcap", topology=tmp_path / "site.toml", routes=[tmp_path / "u.mrt"])
        (row,) = result.flows.to_dict("records")
        assert f"{row['path']} {row['path_confidence']}" == said
