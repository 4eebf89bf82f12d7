"""--since and --until: the audit of some time is that of a capture which holds nothing else, and of other files nothing is read."""

import gzip
import random
import subprocess
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.errors import InputError
from auditor.options import Options
from auditor.reading.window import Span, Window, last_time, outside
from tests import cuts, web, wire
from tests.conftest import SAMPLES

SECOND = wire.SECOND
BEGAN = 1_700_000_000
SITE = Options(topology=SAMPLES / "site.toml")


def times_of(data: bytes) -> list[int]:
    """When the packets of a sample were captured, in nanoseconds."""
    blocks = [block for kind, block in wire.blocks_of(data) if kind == cuts.ENHANCED_PACKET]
    ticks = [int.from_bytes(b[12:16], "little") << 32 | int.from_bytes(b[16:20], "little") for b in blocks]
    scale = 1 if ticks[0] > 10**18 else 1000
    return [tick * scale for tick in ticks]


def text_of(time: int) -> str:
    """A time as the option takes it."""
    return f"{datetime.fromtimestamp(time // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{time % SECOND:09d}Z"


@pytest.mark.parametrize("name", ["office", "requests", "tls1.3", "ssl3"])
def test_a_time_is_a_capture_that_was_cut(name: str, tmp_path: Path) -> None:
    """Every table is that of a capture with the packets of the time alone, whose frames keep their numbers."""
    sample = SAMPLES / f"{name}.pcapng"
    times = times_of(sample.read_bytes())
    chance = random.Random(name)
    for number in range(3):
        since, until = sorted(chance.sample(sorted(set(times)), 2))
        inside = [since <= time < until for time in times]
        cut = cuts.cut_pcapng(sample.read_bytes(), tmp_path, inside, f"cut-{number}").paths[-1]
        frames = [k + 1 for k, is_inside in enumerate(inside) if is_inside]
        with closing(auditor.audit(cut, SITE)) as whole:
            wanted = cuts.said(whole, cuts.Pieces([cut], {str(cut): frames}))
        with closing(auditor.audit(sample, SITE, since=text_of(since), until=text_of(until))) as result:
            said = cuts.said(result)
            assert result.captures["packets"][0] == len(frames)
        for table, rows in wanted.items():
            assert said[table] == rows, table


def test_it_is_what_editcap_leaves(tmp_path: Path) -> None:
    """The same packets as with -A and -B of Wireshark's editcap."""
    since, until = "2026-11-24T09:00:01.5Z", "2026-11-24T09:00:05.779999Z"
    cut = tmp_path / "cut.pcapng"
    sample = SAMPLES / "office.pcapng"
    subprocess.run(["editcap", "-A", since, "-B", until, sample, cut], check=True, capture_output=True)
    whole, result = auditor.audit(cut), auditor.audit(sample, since=since, until=until)
    assert len(whole.flows)
    same = [name for name in whole.flows.columns if name not in ("capture", "client_hello_frame")]
    assert result.flows[same].equals(whole.flows[same])
    assert result.captures["packets"].tolist() == whole.captures["packets"].tolist()


@pytest.mark.parametrize("name", ["office", "requests"])
def test_a_time_of_pieces_is_that_of_the_whole(name: str, tmp_path: Path) -> None:
    """However packets lie in files, one after the other or in queues, packed or not, the same time says the same."""
    data = (SAMPLES / f"{name}.pcapng").read_bytes()
    times, chance = times_of(data), random.Random(name)
    count = len(times)
    for number in range(4):
        since, until = (text_of(time) for time in sorted(chance.sample(sorted(set(times)), 2)))
        with closing(auditor.audit(SAMPLES / f"{name}.pcapng", SITE, since=since, until=until)) as whole:
            wanted = cuts.said(whole)
        parts = chance.choice([3, 7, 12])
        piece_of = [chance.randrange(parts) if number % 2 else k * parts // count for k in range(count)]
        (tmp_path / f"{number}").mkdir()
        pieces = cuts.cut_pcapng(data, tmp_path / f"{number}", piece_of)
        if number > 1:
            for path in pieces.paths:
                path.write_bytes(gzip.compress(path.read_bytes()))
        with closing(auditor.audit(pieces.paths, SITE, since=since, until=until)) as result:
            said = cuts.said(result, pieces)
        for table, rows in wanted.items():
            assert said[table] == rows, table


@pytest.mark.parametrize("apart", [False, True])
def test_workers_leave_out_the_same(tmp_path: Path, *, apart: bool) -> None:
    """Several processes audit the same time of the same files as one does."""
    rotated(tmp_path)
    alone = auditor.audit(tmp_path, jobs=1, apart=apart, **since_and_until(22, 35))
    shared = auditor.audit(tmp_path, jobs=3, apart=apart, **since_and_until(22, 35))
    for table in ("flows", "captures"):
        assert getattr(shared, table).equals(getattr(alone, table)), table
    assert shared.manifest["notes"] == alone.manifest["notes"]


def rotated(folder: Path, suffix: str = ".pcap", count: int = 6, pack: Any = bytes) -> list[Path]:
    """Files of ten seconds each, one behind the other, with a packet a second."""
    paths = []
    for number in range(count):
        packets = [
            ((BEGAN + 10 * number + k) * SECOND, wire.datagram(bytes([number, k]), 4000 + number, 9)) for k in range(10)
        ]
        path = folder / f"trace_{number:05d}{suffix}"
        path.write_bytes(pack(wire.pcap(packets)))
        paths.append(path)
    return paths


def since_and_until(begin: int, end: int) -> Any:
    """Options, in seconds behind the first packet."""
    return {"since": text_of((BEGAN + begin) * SECOND), "until": text_of((BEGAN + end) * SECOND)}


@pytest.mark.parametrize("suffix", [".pcap", ".pcap.gz"])
def test_files_of_other_times_are_not_read(suffix: str, tmp_path: Path) -> None:
    """Of a rotated capture the files before and behind are rows without a digest, and damage in them does not show."""
    rotated(tmp_path, suffix, pack=gzip.compress if suffix.endswith("gz") else bytes)
    with closing(auditor.audit(tmp_path, **since_and_until(22, 35))) as result:
        rows, notes = result.captures.to_dict("records"), result.manifest["notes"]
    times = "from 2023-11-14T22:13:42Z to before 2023-11-14T22:13:55Z"
    assert notes[0] == f"only packets {times} were audited, and 4 of 6 captures are of other times and were not read"
    assert [row["status"] for row in rows] == ["skipped", "skipped", "complete", "complete", "skipped", "skipped"]
    assert [row["packets"] for row in rows] == [0, 0, 8, 5, 0, 0]
    assert [row["bytes"] > 0 for row in rows] == [False, False, True, True, False, False]
    assert "2 of its packets are not of the time that was asked for" in rows[2]["warnings"]
    assert all("not read, since it holds nothing of the time" in rows[k]["warnings"] for k in (0, 1, 4, 5))


@pytest.mark.parametrize("packed", [False, True])
def test_files_that_overlap_are_read(tmp_path: Path, *, packed: bool) -> None:
    """Files of several queues begin one after the other and end together: none is taken for ended by the next."""
    for queue in range(4):
        packets = [
            ((BEGAN + k) * SECOND + queue * 1000, wire.datagram(bytes([queue]), 4000 + queue, 9)) for k in range(100)
        ]
        data = wire.pcap(packets)
        (tmp_path / f"queue-{queue}.pcap").write_bytes(gzip.compress(data) if packed else data)
    with closing(auditor.audit(tmp_path, **since_and_until(50, 60))) as result:
        assert result.captures["packets"].tolist() == [10] * 4


def test_series_of_several_queues(tmp_path: Path) -> None:
    """Rotated files of two queues are two series, and each file ends where the next one of its own begins."""
    spans = []
    for number in range(5):
        for queue in (1, 2):
            first = (10 * number + queue) * SECOND
            spans.append(Span(f"log.{queue}.{number:03d}.pcap.gz", first, first + SECOND))
    assert sorted(outside(spans, Window(since=23 * SECOND))) == [0, 1, 2, 3]
    assert not outside(spans[:4], Window(since=23 * SECOND)), "two files say nothing of how long one is"
    assert sorted(outside(spans, Window(until=22 * SECOND))) == [5, 6, 7, 8, 9]


def test_the_edges_of_a_time() -> None:
    """A file is left out only if no packet of it can be of the time, of which the first moment is one and the last is none."""
    assert not outside([Span("a", 0, 0, 10)], Window(since=10))
    assert list(outside([Span("a", 0, 0, 9)], Window(since=10))) == [0]
    assert not outside([Span("a", 9, 9)], Window(until=10))
    assert list(outside([Span("a", 10, 10)], Window(until=10))) == [0]
    series = [Span(f"a{time}.gz", time, time) for time in (10, 20, 30)]
    assert not outside(series, Window(since=20))  # the first may end with a packet of the moment that the second begins
    assert list(outside(series, Window(since=21))) == [0]


@pytest.mark.parametrize(("step", "is_series"), [(10, True), (9, False)])
def test_what_is_a_series(step: int, *, is_series: bool) -> None:
    """Files that begin one after the other are a series where no step is shorter than a quarter of what is usual."""
    begins = [100, 100 + step, 140 + step, 180 + step]
    spans = [Span(f"a{number}.gz", time, time) for number, time in enumerate(begins)]
    assert (0 in outside(spans, Window(since=140))) == is_series


def test_the_end_of_a_file_shows_its_last_packet() -> None:
    """In both formats and byte orders; what is cut off, or is not packets up to its end, shows nothing."""
    packets = [((BEGAN + k) * SECOND, wire.datagram(bytes(700), 4000, 9)) for k in range(2000)]
    for order in ("<", ">"):
        for nanoseconds in (False, True):
            data = wire.pcap(packets, order=order, nanoseconds=nanoseconds)
            assert last_time(data[:4096], data[-300_000:]) == (BEGAN + 1999) * SECOND
            assert last_time(data[:4096], data[-300_000:-1]) is None
    blocks = [wire.section(), wire.interface(), *(wire.enhanced(p, t // 1000) for t, p in packets)]
    data = b"".join(blocks)
    assert last_time(data[:4096], data[-300_000:]) == (BEGAN + 1999) * SECOND
    assert last_time(data[:4096], data[-300_000:-2]) is None
    assert last_time(b"not a capture at all", data) is None


def test_a_packet_that_holds_records_hides_none() -> None:
    """A last packet that carries older records up to the end of the file does not make the file older."""
    inner = wire.pcap([((BEGAN - 1000) * SECOND, bytes(60))])[24:]
    data = wire.pcap([(BEGAN * SECOND, wire.datagram(inner, 4000, 9))])
    assert last_time(data, data) == BEGAN * SECOND


def test_objects_of_other_times_are_not_read(tmp_path: Path) -> None:
    """On a web server no more is asked of them than their first and last bytes."""
    paths = rotated(tmp_path)
    filler = wire.pcap([((BEGAN + 1) * SECOND, wire.datagram(bytes(1400), 4000, 9))])[24:] * 3000
    files = {f"/{path.name}": path.read_bytes()[:24] + filler + path.read_bytes()[24:] for path in paths[:1]}
    files |= {f"/{path.name}": path.read_bytes() for path in paths[1:]}
    with web.serving(files) as site:
        names = [f"{site.url}{name}" for name in files]
        with closing(auditor.audit(names, **since_and_until(22, 35))) as result:
            assert result.captures["status"].tolist() == ["skipped"] * 2 + ["complete"] * 2 + ["skipped"] * 2
        asked = sum(
            int(wanted.rpartition("-")[2]) + 1 - int(wanted.removeprefix("bytes=").partition("-")[0])
            for path, wanted in site.asked
            if path == f"/{paths[0].name}" and wanted is not None
        )
    assert asked < len(filler) // 3


@pytest.mark.parametrize("apart", [False, True])
def test_nothing_of_that_time(tmp_path: Path, *, apart: bool) -> None:
    """Where no file has a packet of the time, the result says so, and holds no flow."""
    rotated(tmp_path)
    with closing(auditor.audit(tmp_path, apart=apart, **since_and_until(100, 200))) as result:
        assert len(result.flows) == 0
        assert set(result.captures["status"]) == {"skipped"}


@pytest.mark.parametrize(
    ("given", "nanoseconds"),
    [
        ("2023-11-14", 1_699_920_000 * SECOND),
        ("2023-11-14T22:13:20", BEGAN * SECOND),
        ("2023-11-14 22:13:20.000000001Z", BEGAN * SECOND + 1),
        ("2023-11-15T00:13:20+02:00", BEGAN * SECOND),
        ("20231114T221320Z", BEGAN * SECOND),
        (date(2023, 11, 14), 1_699_920_000 * SECOND),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), BEGAN * SECOND),
    ],
)
def test_times_as_people_write_them(given: Any, nanoseconds: int) -> None:
    """Days, and times with and without seconds, fractions and offsets; UTC without one."""
    assert Options(since=given).times() == (nanoseconds, None)


@pytest.mark.parametrize(
    "given", ["yesterday", "2023-13-01", "2023-11-14T25:00", "", "1700000000", "2023-11-14T10:00+99:00"]
)
def test_what_is_no_time(given: str) -> None:
    """What is no time is refused with the form that is one, and so is a time that ends before it begins."""
    with pytest.raises(InputError, match=r"--until .*: not a time; give it as 2026-03-01"):
        Options(until=given)
    with pytest.raises(InputError, match="is not later than --since"):
        Options(since="2023-11-14", until="2023-11-14")


def test_live_has_no_other_time() -> None:
    """What is captured live is of now."""
    with pytest.raises(InputError, match="captured live is of now"):
        auditor.audit_live("lo", since="2023-11-14")
