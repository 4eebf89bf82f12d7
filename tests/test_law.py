"""An audit of several files is the audit of all their packets in the order of time, however they were cut, named and packed."""

import bz2
import gzip
import lzma
import random
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

import auditor
from auditor.reading.sources import LOOKED_AT
from tests import cuts, wire
from tests.conftest import SAMPLES
from tests.lab import scenes

MACS = bytes.fromhex("020000000a02020000000a01")  # of a network behind a router
PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    (".gz", gzip.compress),
    (".bz2", bz2.compress),
    (".xz", lzma.compress),
    (".zst", lambda data: zstandard.ZstdCompressor().compress(data)),
]


def packets_in(data: bytes) -> int:
    """How many packets a sample has."""
    return sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(data))


def same(pieces: cuts.Pieces, whole: dict[str, Any], paths: Sequence[Path] | None = None) -> None:
    """Hold an audit of pieces, in some order, against what that of the whole says."""
    with closing(auditor.audit(pieces.paths if paths is None else paths, cuts.SITE)) as result:
        said = cuts.said(result, pieces)
        assert len(result.captures) == len(pieces.paths)
    for table, rows in whole.items():
        assert said[table] == rows, table


@given(name=st.sampled_from(cuts.NAMES), data=st.data())
@settings(max_examples=25)
def test_pieces_are_the_whole(wholes: dict[str, Any], name: str, data: st.DataObject) -> None:
    """Whatever packets lie in which file, and in whatever order the files are given, all tables are equal."""
    sample = (SAMPLES / f"{name}.pcapng").read_bytes()
    count = packets_in(sample)
    pieces = data.draw(st.sampled_from([2, 3, 10, count]))
    if data.draw(st.booleans()):  # one after the other
        marks = data.draw(st.sets(st.integers(1, count - 1), min_size=1, max_size=pieces))
        piece_of = [sum(mark <= k for mark in marks) for k in range(count)]
    else:  # several queues
        piece_of = data.draw(st.lists(st.integers(0, pieces), min_size=count, max_size=count))
    with tempfile.TemporaryDirectory() as folder:
        cut = cuts.cut_pcapng(sample, Path(folder), piece_of)
        same(cut, wholes[name], data.draw(st.permutations(cut.paths)))


def test_a_file_for_each_packet(wholes: dict[str, Any], tmp_path: Path) -> None:
    """Three hundred files of a packet each, in a folder with names that say nothing, are one capture."""
    sample = (SAMPLES / "office.pcapng").read_bytes()
    cut = cuts.cut_pcapng(sample, tmp_path, range(packets_in(sample)))
    names = [f"{number:x}" for number in random.Random(1).sample(range(1 << 30), len(cut.paths))]
    moved = cuts.Pieces()
    for path, name in zip(cut.paths, names, strict=True):
        moved.add(tmp_path / name, path.read_bytes(), cut.frames[str(path)])
        path.unlink()
    same(moved, wholes["office"], [tmp_path])


def test_pieces_of_every_packing(wholes: dict[str, Any], tmp_path: Path) -> None:
    """Some of the files packed, each in another way, and a first one that holds no packet."""
    sample = (SAMPLES / "office.pcapng").read_bytes()
    count = packets_in(sample)
    cut, packed = cuts.cut_pcapng(sample, tmp_path, [k * 11 // count for k in range(count)]), cuts.Pieces()
    for number, path in enumerate(cut.paths):
        suffix, pack = PACKERS[number % len(PACKERS)]
        packed.add(tmp_path / f"packed-{number}{suffix}", pack(path.read_bytes()), cut.frames[str(path)])
    without = b"".join(block for kind, block in wire.blocks_of(sample) if kind != cuts.ENHANCED_PACKET)
    packed.add(tmp_path / "empty.pcapng", without, [])
    same(packed, wholes["office"])


def test_files_that_overlap_hold_a_packet_once(wholes: dict[str, Any], tmp_path: Path) -> None:
    """A file that repeats the middle of the others adds frames, and nothing else."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    data = wire.pcap(talk.packets)
    whole = auditor.audit(wire.write(tmp_path, data))
    count = len(talk.packets)
    cut = cuts.cut_pcap(data, tmp_path, [int(k > count // 2) for k in range(count)])
    again = wire.write(tmp_path, data[:24] + b"".join(cuts.records_of(data)[2:-2]), "again")
    both = auditor.audit([again, *cut.paths])
    counted = [name for name in whole.flows.columns if name != "capture"]
    assert both.flows[counted].equals(whole.flows[counted])
    assert both.captures["duplicates"].sum() == count - 4
    assert both.captures["warnings"].str.contains("copies of others, there or in files before").any()


def test_files_that_overlap_show_each_position_once(tmp_path: Path) -> None:
    """What a mirror shows a second time in a VLAN is as often there as in one file, though two of the files hold it."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    twice = [one for packet in talk.packets for one in (packet, packet[:12] + b"\x81\0\0\x2a" + packet[12:])]
    data = wire.pcap(twice)
    count, records = len(twice), cuts.records_of(data)
    whole = cuts.said(auditor.audit(wire.write(tmp_path, data)))
    assert f"{sum(packet[26:30] == talk.packets[0][26:30] for packet in talk.packets)} copies" in str(whole["evidence"])
    pieces = cuts.Pieces()
    for number, (begin, end) in enumerate([(0, count * 2 // 3), (count // 3, count)]):
        pieces.add(tmp_path / f"{number}.pcap", data[:24] + b"".join(records[begin:end]), range(begin + 1, end + 1))
    assert cuts.said(auditor.audit(pieces.paths), pieces) == whole


def test_a_tap_with_a_file_for_each_direction(tmp_path: Path) -> None:
    """The client's packets in one file and the server's in another are connections with both sides."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    data = wire.pcap(talk.packets)
    sides = [int(packet[26:30] != talk.packets[0][26:30]) for packet in talk.packets]
    whole = auditor.audit(wire.write(tmp_path, data))
    both = cuts.cut_pcap(data, tmp_path, sides)
    assert cuts.said(auditor.audit(both.paths), both) == cuts.said(whole)


def test_what_is_damaged_or_no_capture_among_many(tmp_path: Path) -> None:
    """A file that is cut short, one that is empty and one that is no capture are told; the rest is one capture."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello()))]).close()
    cut = cuts.cut_pcap(wire.pcap(talk.packets), tmp_path, range(len(talk.packets)))
    cut.paths[3].write_bytes(cut.paths[3].read_bytes()[:-5])
    for name, data in (("empty.pcap", b""), ("text.pcap", b"what is this?")):
        wire.write(tmp_path, data, name)
    result = auditor.audit(tmp_path)
    assert [error.split(":")[0].rsplit("/", 1)[1] for error in result.errors] == ["empty.pcap", "text.pcap"]
    captures = result.captures.set_index("capture")
    assert captures.loc[str(cut.paths[3]), "status"] == "truncated"
    assert captures["packets"].sum() == len(talk.packets) - 1
    assert len(result.flows) == 1


def test_frames_of_macsec_in_several_files(tmp_path: Path) -> None:
    """What is encrypted below IP is counted over all files, and told of the one that shows it first."""
    frame = bytes(wire.ETHERNET)[:12] + b"\x88\xe5\x2c\0\0\0\0\1" + bytes(60)
    data = wire.pcap([frame] * 4)
    whole = auditor.audit(wire.write(tmp_path, data))
    cut = cuts.cut_pcap(data, tmp_path, range(4))
    pieces = auditor.audit(cut.paths)
    assert cuts.said(pieces, cut) == cuts.said(whole)
    row = wire.only(pieces.network)
    assert (row["capture"], row["frame"], row["count"]) == (str(cut.paths[0]), 1, 4)


def test_who_told_an_address_first(tmp_path: Path) -> None:
    """Of BGP and ARP that show the same address the packet that came first counts, also where both are read at one time."""
    bgp = (
        Ether(src="02:00:00:00:00:07", dst="02:00:00:00:00:08")
        / IP(src="10.0.0.7", dst="10.0.0.8", ttl=1)
        / TCP(sport=179, dport=40_000)
    )
    arps = [
        Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=mac, psrc=address, pdst="10.0.0.8")
        for mac, address in (("02:00:00:00:00:07", "10.0.0.7"), ("02:00:00:00:00:09", "10.0.0.9"))
    ]
    data = wire.pcap([(wire.SECOND * (5 + min(k, 1)), bytes(one)) for k, one in enumerate([bgp, *arps])])
    whole = auditor.audit(wire.write(tmp_path, data))
    assert whole.network["told_by"].tolist() == ["BGP", "ARP"]
    cut = cuts.cut_pcap(data, tmp_path, range(3))
    expected = cuts.said(whole)
    assert cuts.said(auditor.audit(cut.paths), cut) == expected


def test_addresses_of_one_time_come_in_one_order(tmp_path: Path) -> None:
    """What two files show at the same time is told in an order of its own, whatever these are called."""
    frames = []
    for number in (9, 7, 8):
        mac = f"02:00:00:00:00:0{number}"
        frames.append(
            bytes(
                Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=mac, psrc=f"10.0.0.{number}", pdst="10.0.0.1")
            )
        )
    data = wire.pcap([(wire.SECOND, one) for one in frames])
    found = []
    for name in ("", "acb"):
        cut = cuts.cut_pcap(data, tmp_path, range(3), name or "piece")
        names = [path.rename(tmp_path / (name[k : k + 1] + path.name)) for k, path in enumerate(cut.paths)]
        found.append(auditor.audit(names).network["subject"].tolist())
    assert found == [["10.0.0.7", "10.0.0.8", "10.0.0.9"]] * 2


def test_packets_of_a_flow_in_several_files(tmp_path: Path) -> None:
    """What a flow consists of is shown from all the files that hold its packets."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello()))]).close()
    cut = cuts.cut_pcap(wire.pcap(talk.packets), tmp_path, [k // 2 for k in range(len(talk.packets))])
    result = auditor.audit(cut.paths)
    assert [bytes(packet) for packet in result.packets(result.flows["flow_id"][0])] == talk.packets


def test_evidence_lies_in_several_files(tmp_path: Path) -> None:
    """The packets that prove a finding are the same, in a section for each file that holds some."""
    sample = (SAMPLES / "office.pcapng").read_bytes()
    count = packets_in(sample)
    cut = cuts.cut_pcapng(sample, tmp_path, [k * 40 // count for k in range(count)])
    extracted = []
    for name, paths in (("whole", [SAMPLES / "office.pcapng"]), ("pieces", cut.paths)):
        result = auditor.audit(paths, cuts.SITE)
        result.extract("TLS101-1", tmp_path / f"{name}.evidence")
        blocks = list(wire.blocks_of((tmp_path / f"{name}.evidence").read_bytes()))
        packets = [block for kind, block in blocks if kind == cuts.ENHANCED_PACKET]
        extracted.append([packet[12 : 28 + struct.unpack_from("<I", packet, 20)[0]] for packet in packets])
        assert ("pieces" in name) == (sum(kind == 0x0A0D0D0A for kind, _ in blocks) > 1)
    assert extracted[0] == extracted[1]


@pytest.mark.parametrize("ahead_ms", [0, 150, -2_500, 3_600_000])
def test_both_sides_of_a_router_with_clocks_of_their_own(tmp_path: Path, ahead_ms: int) -> None:
    """Packets that two capture points have count once, and the difference of the clocks is measured, taken off and told."""
    talks = [wire.Talk(port, isn=(port, 7 * port)).open() for port in range(40_000, 40_010)]
    for talk in talks:
        talk.play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    packets = [packet for talk in talks for packet in talk.packets]
    inside = [(1_700_000_000 * wire.SECOND + k * 1_000_000, packet) for k, packet in enumerate(packets)]
    outside = [(time + 40_000 + ahead_ms * 1_000_000, _forwarded(packet)) for time, packet in inside]
    one = auditor.audit(wire.write(tmp_path, wire.pcap(inside, nanoseconds=True), "inside.pcap"))
    both = auditor.audit(
        [wire.write(tmp_path, wire.pcap(outside, nanoseconds=True), "outside.pcap"), one.captures["capture"][0]]
    )
    counted = ["flow_id", "client_packets", "server_packets", "client_bytes", "server_bytes", "tcp_state", "started"]
    captures = both.captures.set_index(both.captures["capture"].map(lambda name: Path(name).name))
    if ahead_ms >= 0:  # the clock of the first one counts as right
        assert both.flows[counted].equals(one.flows[counted])
    assert both.flows[counted[1:6]].equals(one.flows[counted[1:6]])
    assert captures["duplicates"].sum() == len(packets)
    offsets = captures["clock_offset_s"].dropna()
    assert len(offsets) == 1
    assert abs(offsets.iloc[0]) == pytest.approx(abs(ahead_ms / 1000), abs=0.001)
    assert ("clock is" in "".join(captures["warnings"].dropna())) == (ahead_ms != 0)
    shown = [bytes(packet) for packet in both.packets(both.flows["flow_id"][3])]
    assert shown == talks[3].packets


def test_one_side_of_a_router_in_many_files(tmp_path: Path) -> None:
    """A file with nothing in common with the beginning of the other side's has the clock of the files of its own side."""
    talks = [wire.Talk(port, isn=(port, 7 * port)).open().play([("c", b"x" * 9)]) for port in range(40_000, 40_150)]
    packets = [packet for talk in talks for packet in talk.packets]
    assert len(packets) > LOOKED_AT
    inside = [(1_700_000_000 * wire.SECOND + k * 1_000_000, packet) for k, packet in enumerate(packets)]
    outside = wire.pcap([(time + 3_600 * wire.SECOND, _forwarded(packet)) for time, packet in inside])
    cut = cuts.cut_pcap(outside, tmp_path, [k * 10 // len(packets) for k in range(len(packets))])
    one = auditor.audit(wire.write(tmp_path, wire.pcap(inside), "inside.pcap"))
    both = auditor.audit([*cut.paths, one.captures["capture"][0]])
    counted = ["flow_id", "client_packets", "server_packets", "started", "ended"]
    assert both.flows[counted].equals(one.flows[counted])
    assert both.captures["clock_offset_s"].dropna().tolist() == [3600.0] * 10


def test_a_point_that_sees_packets_twice_has_one_clock(tmp_path: Path) -> None:
    """Where a packet and what a slow router made of it lie in two files of a rotation, no clock is taken to be ahead."""
    talks = [wire.Talk(port, isn=(port, 7 * port)).open() for port in range(40_000, 40_020)]
    sent = [packet for talk in talks for packet in talk.packets]
    seen = [(1_700_000_000 * wire.SECOND + k * 1_000_000, packet) for k, packet in enumerate(sent)]
    seen = sorted([*seen, *((time + 20_500_000, _forwarded(packet)) for time, packet in seen)])
    data = wire.pcap(seen, nanoseconds=True)
    whole = auditor.audit(wire.write(tmp_path, data))
    cut = cuts.cut_pcap(data, tmp_path, [k * 3 // len(seen) for k in range(len(seen))])
    for paths in (cut.paths, cut.paths[::-1]):
        pieces = auditor.audit(paths)
        assert pieces.captures["clock_offset_s"].isna().all()
        assert cuts.said(pieces, cut) == cuts.said(whole)


def test_a_point_that_shows_all_again_has_one_clock(tmp_path: Path) -> None:
    """Where one of many files shows that a point saw packets again in another network, none of them has another clock."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)] * 3).close()
    first = [(1_700_000_000 * wire.SECOND + k * 1_000_000, packet) for k, packet in enumerate(talk.packets)]
    again = [(time + 38 * wire.SECOND, packet[:12] + b"\x81\0\0\x2a" + packet[12:]) for time, packet in first]
    data, count = wire.pcap([*first, *again]), len(first)
    whole = cuts.said(auditor.audit(wire.write(tmp_path, data)))
    cut = cuts.cut_pcap(data, tmp_path, [(k + 1) // 5 for k in range(2 * count)])
    assert not any(frames[0] == count + 1 for frames in cut.frames.values())  # one has packets of both
    pieces = auditor.audit(cut.paths)
    assert pieces.captures["clock_offset_s"].isna().all()
    assert cuts.said(pieces, cut) == whole


@pytest.mark.parametrize("is_raw", [False, True])
def test_clocks_of_points_with_something_in_common(tmp_path: Path, is_raw: bool) -> None:
    """Two points have clocks of their own also where both see what is sent to a group, or where frames have no MACs."""
    talks = [wire.Talk(port, isn=(port, 7 * port)).open().close() for port in range(40_000, 40_004)]
    sent = [packet for talk in talks for packet in talk.packets]
    client = sent[0][26:30]
    # The router is one hop from both ends: at each point packets of both numbers of hops are seen.
    inside = [one if one[26:30] == client else _forwarded(one, one[:12]) for one in sent]
    outside = [_forwarded(one) if one[26:30] == client else MACS + one[12:] for one in sent]
    group = b"\1\0\x5e\0\0\xfb" + wire.datagram(b"\0" * 30, 5353, 5353, server="224.0.0.251")[6:]
    paths = []
    for name, packets, second in (("inside.pcap", inside, 1_700_000_000), ("outside.pcap", outside, 1_700_000_002)):
        frames = [one[14:] for one in packets] if is_raw else [*packets, group]
        stamped = [(second * wire.SECOND + k * 1_000_000, one) for k, one in enumerate(frames)]
        paths.append(wire.write(tmp_path, wire.pcap(stamped, link=101 if is_raw else 1), name))
    result = auditor.audit(paths)
    assert result.captures["clock_offset_s"].dropna().tolist() == [2.0]
    assert result.captures["duplicates"].sum() == len(sent) + (not is_raw)


def _shifted(packets: Sequence[wire.Stamped], seconds: float) -> list[wire.Stamped]:
    """The same packets by a clock that is ahead."""
    return [(time + round(seconds * wire.SECOND), packet) for time, packet in packets]


@pytest.mark.parametrize("seconds", [0.03, 2.5])
def test_two_points_of_one_network_with_clocks_of_their_own(tmp_path: Path, seconds: float) -> None:
    """The same frames count once by clocks that differ, though one of both captures has others besides."""
    talks = [wire.Talk(port, isn=(port, 7 * port)).open().close() for port in range(40_000, 40_100)]
    sent = [packet for talk in talks for packet in talk.packets]
    first = [(1_700_000_000 * wire.SECOND + k * 10_000_000, packet) for k, packet in enumerate(sent)]
    assert len(first) > LOOKED_AT
    others = [_forwarded(wire.datagram(bytes([k]) * 20, 7_000 + k)) for k in range(50)]
    more = sorted([*first, *((first[k][0] + 1, one) for k, one in enumerate(others))])
    paths = [wire.write(tmp_path, wire.pcap(more), "one.pcap")]
    alone = auditor.audit(paths)
    paths.append(wire.write(tmp_path, wire.pcap(_shifted(first, seconds)), "two.pcap"))
    for some in (paths, paths[::-1]):
        both = auditor.audit(some)
        assert both.captures["clock_offset_s"].dropna().tolist() == [seconds]
        assert both.captures["duplicates"].sum() == len(first)
        counted = ["flow_id", "client_packets", "server_packets", "started", "ended", "tcp_state"]
        assert both.flows[counted].equals(alone.flows[counted])


@pytest.mark.parametrize("queues", [1, 2, 3])
def test_what_is_played_again_and_again_has_one_clock(tmp_path: Path, queues: int) -> None:
    """Where a network repeats all its frames, neither files of a rotation nor those of queues have clocks that differ."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)] * 3).close()
    first = [(1_700_000_000 * wire.SECOND + k * 1_000_000, packet) for k, packet in enumerate(talk.packets)]
    played = [one for k in range(4) for one in _shifted(first, k * 1.5)]
    data, count = wire.pcap(played), len(first)
    whole = cuts.said(auditor.audit(wire.write(tmp_path, data)))
    piece_of = [k % queues if queues > 1 else k // (count - 1) for k in range(len(played))]
    cut = cuts.cut_pcap(data, tmp_path, piece_of)
    pieces = auditor.audit(cut.paths)
    assert pieces.captures["clock_offset_s"].isna().all()
    assert cuts.said(pieces, cut) == whole


def _forwarded(packet: bytes, macs: bytes = MACS) -> bytes:
    """A packet behind a router: other MACs, a hop less to live."""
    return macs + packet[12:22] + bytes([packet[22] - 1]) + packet[23:]


@given(seed=st.integers(0, 1 << 16))
@settings(max_examples=4)
def test_other_packets_do_not_decide_when_a_flow_ends(seed: int) -> None:
    """Twenty thousand frames that are no IP, between packets with pauses of all lengths, change no flow."""
    numbers = random.Random(seed)
    packets: list[tuple[int, bytes]] = []
    for port in range(40_000, 40_060):
        talk = wire.Talk(port).open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 40)]).close()
        sent = numbers.choice([talk.packets, [wire.datagram(b"\0" * 20, port, 9)] * 9, talk.packets[:1] * 5])
        time = 1_700_000_000 * wire.SECOND + numbers.randrange(60) * wire.SECOND
        for packet in sent:
            packets.append((time, packet))
            time += round(numbers.choice([0.001, 4.9, 5.1, 6.5, 11, 59, 62, 299, 302]) * wire.SECOND)
    packets.sort()
    first, last = packets[0][0], packets[-1][0]
    foreign = [(first + k * (last - first) // 20_000, b"\xff" * 12 + b"\x88\xb5" + b"\0" * 50) for k in range(20_000)]
    every = sorted(
        [*((time, True, packet) for time, packet in packets), *((time, False, one) for time, one in foreign)]
    )
    mine, said = cuts.Pieces(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, some in (("alone", packets), ("among", [(time, packet) for time, _, packet in every])):
            path = Path(folder) / name
            frames = [0] * len(some)
            own = [k for k, (_, is_mine, _) in enumerate(every) if is_mine] if name == "among" else range(len(some))
            for number, k in enumerate(own):
                frames[k] = number
            mine.add(path, wire.pcap(some, nanoseconds=True), frames)
            with closing(auditor.audit(path)) as result:
                said.append(cuts.said(result, mine))
    assert len(said[0]["flows"]) > 60
    assert said[0] == said[1]


@pytest.mark.parametrize("number", range(0, len(scenes.SCENES), 6))
def test_paths_are_the_same_in_pieces(tmp_path: Path, number: int) -> None:
    """ARP, BGP, tunnels, moves within a flow: what a topology says of a capture it says of its pieces."""
    capture, options = scenes.SCENES[number].write(tmp_path)
    data = Path(capture).read_bytes()
    count = len(cuts.records_of(data))
    (tmp_path / "pieces").mkdir()
    cut = cuts.cut_pcap(data, tmp_path / "pieces", [k // 2 for k in range(count)])
    with closing(auditor.audit(capture, **options)) as whole, closing(auditor.audit(cut.paths, **options)) as pieces:
        assert cuts.said(pieces, cut) == cuts.said(whole)
