"""Memory has a ceiling, and hashes have a secret: what is prepared to fill tables or to make them slow does neither."""

import contextlib
import gc
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.audit.described import Described
from auditor.audit.start import audit_files
from auditor.border import gate, pages
from auditor.capture.beginnings import PCAP
from auditor.capture.pcap import ANY_FRACTION, MORE
from auditor.capture.pcapng import INTERFACE
from auditor.decode.layers import ETHERNET
from auditor.errors import AuditError, InputError
from auditor.flows import keyed, room
from auditor.flows import state as S
from auditor.flows.limits import Limits
from auditor.flows.rows import Rows
from auditor.machine import memory
from auditor.options import Options
from auditor.paths.judge import Judgement
from auditor.paths.model import Flows
from auditor.reading import scan
from benchmarks import bombs
from tests import wire

LEAST = f"{memory.LEAST >> 20}M"


def keys(number: int) -> Any:
    """A secret that is known."""
    return np.random.default_rng(number).integers(0, 1 << 64, keyed.KEYS, np.uint64)


def test_memory_where_nothing_is_known_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without control groups, a limit of the process or /proc, as on other systems, what is free is the machine's."""
    monkeypatch.setattr(memory, "_of_groups", lambda: iter(()))
    monkeypatch.setattr(memory, "_of_process", lambda: iter(()))
    assert memory.free() >= memory.LEAST


@pytest.mark.parametrize(("total", "options"), [(1 << 30, [(-3, 1 << 20), (-1, 1 << 20)]), (4 << 30, [])])
def test_what_is_freed_is_given_back_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, total: int, options: list[tuple[int, int]]
) -> None:
    """Under a low ceiling malloc keeps nothing large of what is freed; under a high one it does as it likes."""
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace(mallopt=lambda *option: told.append(option)))
    memory.spare(total)
    assert told == options


def test_results_do_not_depend_on_the_secret(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two secrets, one result: every table is the same, byte for byte."""
    for number in (1, 2):
        monkeypatch.setattr(room, "new_keys", lambda number=number: keys(number))
        auditor.audit(samples / "office.pcapng", out=tmp_path / str(number))
    names = sorted(file.name for file in (tmp_path / "1").glob("*.parquet"))
    assert names
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_every_run_has_a_secret_of_its_own() -> None:
    """Nobody can know the secret beforehand: each state has another one, and so have its strings."""
    one, two = room.new_state(), room.new_state()
    assert (one.memory.keys != two.memory.keys).all()
    assert one.memory.entries[0, 2] != two.memory.entries[0, 2]


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python hashes bytes by another function")
def test_strings_are_hashed_by_siphash() -> None:
    """The hash of strings is SipHash-1-3, which Python itself uses for the same reason, here with a secret of zeros."""
    strings = [bytes(range(1, length + 1)) for length in range(1, 40)]
    code = "import sys; print(*(hash(bytes.fromhex(text)) for text in sys.argv[1:]))"
    command = [sys.executable, "-c", code, *(text.hex() for text in strings)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    theirs = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    with np.errstate(over="ignore"):
        ours = [
            keyed.sip_hash(np.frombuffer(text, np.uint8), 0, len(text), np.uint64(0), np.uint64(0)) for text in strings
        ]
    assert [int(np.int64(one)) for one in ours] == [int(text) for text in theirs]


def colliding(count: int) -> Any:
    """SYNs over IPv6 whose sources had one hash before hashes had a secret."""
    frames = bombs.packets(np.zeros(count, np.int64), b"", flags=bombs.SYN, v6=True)
    with np.errstate(over="ignore"):
        high = np.arange(1, count + 1, dtype=np.uint64) << np.uint64(20)
        low = np.uint64(0x1234) ^ (high * np.uint64(0x9E3779B97F4A7C15))
    for k in range(8):
        frames[:, 22 + k] = (high >> np.uint64(56 - 8 * k)) & np.uint64(255)
        frames[:, 30 + k] = (low >> np.uint64(56 - 8 * k)) & np.uint64(255)
    return frames


def followed(data: bytes, limits: Limits) -> S.State:
    """The state behind the packets of a capture."""
    state, packets = room.new_state(limits), S.packets(1 << 14)
    block = np.frombuffer(bytearray(data), np.uint8)
    layout = np.array([PCAP, 0, 1000, ETHERNET, 65536, 16, 0, ANY_FRACTION], np.int64)
    interfaces = np.zeros(0, INTERFACE).view(np.recarray)
    count, *_ = scan.read_batch(block, 24, len(block), layout, interfaces, 0, packets)
    at, reason = scan.follow_batch(state, block, packets, 0, count, False)
    while reason != MORE:
        state = room.make_room(state)
        at, reason = scan.follow_batch(state, block, packets, at, count, False)
    return state


def test_nobody_can_make_flows_collide() -> None:
    """Sources that were chosen so that all flows had one bucket are spread over the buckets like any others."""
    auditor.audit(Path(__file__).parent.parent / "captures" / "office.pcapng")  # loads the kernels
    state = followed(wire.pcap([frame.tobytes() for frame in colliding(4000)]), Limits())
    buckets = state.flows["bucket"][state.flows["live"] == S.LIVE]
    assert len(buckets) == 4000
    assert np.bincount(buckets).max() < 16


# Starts a program and prints its exit code and peak. A process of its own, since what a program takes counts from its parent's
# memory on (Linux: until it is executed it is a copy of the parent), and tests take much.
MEASURE = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(child.returncode, usage.ru_maxrss)
"""

# The command with checkpoints inside of captures every other second: on a machine that has much else to do an audit takes longer,
# and so has more of them, each of which needs memory. At its end it writes how much of its memory is that of programs' files.
OFTEN = """
import os, pathlib
from auditor.reading import checkpoint
checkpoint.INSIDE = 2.0
leave = os._exit

def left(code):
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    files = [int(line.split()[1]) for line in lines if line.startswith("RssFile:")]
    pathlib.Path(os.environ["OF_FILES"]).write_text(str(sum(files)))
    leave(code)

os._exit = left
from auditor.cli import main
main()
"""
# KiB of programs' files where they are mapped page by page. Where they lie in the page cache in larger pieces Linux maps these
# whole, twice as much and more: nobody asked for that, and it is given back when memory is short.
PROGRAMS = 100_000


def peak(*arguments: str | Path) -> tuple[float, int]:
    """The peak of an audit's memory in bytes, as a part of ``--memory LEAST``, and its exit code."""
    program = [sys.executable, "-c", OFTEN, "pcap", *map(str, arguments), "--memory", LEAST, "-q"]
    with tempfile.TemporaryDirectory() as folder:
        of_files = Path(folder) / "files"
        measured = subprocess.run(
            [sys.executable, "-c", MEASURE, *program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OF_FILES": str(of_files)},
        ).stdout.split()
        beyond = max(0, int(of_files.read_text()) - PROGRAMS) * 1024
    kib = 1 if sys.platform == "darwin" else 1024
    return (int(measured[1]) * kib - beyond) / memory.LEAST, int(measured[0])


CAPTURES = [
    (bombs.hellos, 800),
    (bombs.names, 60_000),
    (bombs.syns, 600_000),
    (bombs.syns_v6, 400_000),
    (bombs.datagrams, 400_000),
    (bombs.answers, 60_000),
    (bombs.chains, 6_000),
    (bombs.arps, 60_000),
    (bombs.streams, 30_000),
    (bombs.initials, 5_000),
    (bombs.bgp, 60_000),
]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "count"), CAPTURES, ids=lambda value: getattr(value, "__name__", None))
def test_captures_that_fill_memory(tmp_path: Path, make: Callable[[Path, int], Path], count: int) -> None:
    """Whichever table a capture is made to fill, the audit ends well and takes no more than a tenth above its ceiling."""
    part, code = peak(make(tmp_path / "bomb.pcap", count), "--out", tmp_path / "out")
    assert code == 0
    assert part <= 1.1


def test_what_is_let_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows ended for lack of memory are counted in their capture's row, and what was lost of them is not observable."""
    few = Limits(flows=1000, handshakes=1000)
    monkeypatch.setattr(Limits, "within", lambda **_: few)
    hello = wire.record(22, wire.client_hello())
    result = auditor.audit(bombs.write(tmp_path / "a.pcap", 3000, lambda number: bombs.packets(number, hello)))
    capture = wire.only(result.captures)
    assert capture["ended_early"] > 1500
    assert "memory:" in capture["warnings"]
    reasons = result.handshakes["status_reason"].value_counts()
    early = "memory: there was none left to follow the server's side to its end"
    assert reasons[early] == capture["ended_early"]
    assert len(result.handshakes) == 3000
    for rule in ("TLS101", "TLS102", "TLS106", "NET101"):
        judged = result.verdicts[result.verdicts["rule"] == rule].merge(
            result.handshakes[result.handshakes["status_reason"] == early], on="flow_id"
        )
        assert len(judged) == capture["ended_early"]
        assert set(judged["verdict"]) == {"not_observable"}
        assert judged["reason"].str.contains("memory:").all()
    for form in ("concise", "cef", "asff", "ocsf", "sarif", "markdown"):
        out = io.BytesIO()
        result.export(form, out)
        assert early in out.getvalue().decode().replace("\\", "")


def test_results_do_not_depend_on_blocks_where_memory_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which flows are ended early is decided by the packets alone, not by how many are read at once."""
    monkeypatch.setattr(Limits, "within", lambda **_: Limits(flows=1000, handshakes=1000))
    path = bombs.names(tmp_path / "a.pcap", 3000)
    one, two = (audit_files(path, Options(), block_bytes=size) for size in (64 << 10, 4 << 20))
    assert one.captures["ended_early"][0] > 1500
    assert one.handshakes.equals(two.handshakes)


def test_batches_are_let_go_at_once(tmp_path: Path) -> None:
    """No batch of flows is held by a cycle of references: the command line seldom has Python look for those."""

    def batches() -> list[Any]:
        return [one for one in gc.get_objects() if isinstance(one, Flows | Described | Judgement | Rows)]

    path = bombs.names(tmp_path / "a.pcap", 2000)
    auditor.audit(path)
    gc.collect()
    others = batches()  # of tests before, whose threads may not have ended
    before = {id(one) for one in others}
    gc.disable()
    try:
        auditor.audit(path)
        kept = [one for one in batches() if id(one) not in before]
    finally:
        gc.enable()
    assert kept == []


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 << 30), ("800M", 800 << 20), ("1.5G", None), ("much", None), ("512mib", 512 << 20), (1 << 30, 1 << 30)],
)
def test_sizes(text: str | int, size: int | None) -> None:
    """A size is a whole number of bytes, or of KiB, MiB, GiB or TiB by its letter; anything else is refused in a sentence."""
    if size is None:
        with pytest.raises(InputError, match="not a size"):
            Options(memory=text)
    else:
        assert Options(memory=text).memory_bytes() == size


@pytest.mark.parametrize("text", ["0", "1", 1, "447M", "4K"])
def test_sizes_that_hold_nothing(samples: Path, text: str | int) -> None:
    """A size below the least that an audit takes is refused with that one, instead of being taken for it."""
    with pytest.raises(InputError, match=f"which takes {LEAST} at least"):
        auditor.audit(samples / "tls1.2.pcapng", memory=text)


def test_control_groups_are_limits(tmp_path: Path) -> None:
    """What a group or one of its parents has left is all that is free; caches of files count as free (cgroups(7))."""
    process = tmp_path / "cgroup"
    process.write_text("0::/a/b\n12:cpu,memory:/c\n3:pids:/d\n")
    groups = {
        "a/memory.max": "max",
        "a/b/memory.max": "1000",
        "a/b/memory.current": "900",
        "a/b/memory.stat": "anon 700\ninactive_file 200\n",
        "memory/c/memory.limit_in_bytes": "5000",
        "memory/c/memory.usage_in_bytes": "1000",
    }
    for name, text in groups.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert sorted(memory._of_groups(tmp_path, process)) == [300, 4000]


def test_a_smaller_ceiling_than_works_is_raised() -> None:
    """An audit has at least what holds one of everything, and less than half of what is free by itself."""
    assert memory.ceiling(1).total == memory.LEAST
    assert memory.ceiling(1 << 60).total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.LEAST <= memory.ceiling().total <= max(memory.LEAST, memory.free() * 6 // 10)


SIDES = [
    (bombs.flow_log_parquet, 4_000_000, "parquet", "--witness"),
    (bombs.flow_log_text, 1_000_000, "log.gz", "--witness"),
    (bombs.cloudtrail, 200_000, "json.gz", "--witness"),
    (bombs.sensor, 400_000, "conn.log.gz", "--witness"),
    (bombs.routes, 200_000, "json", "--routes"),
    (bombs.account, 100_000, "json.gz", "--aws"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "count", "suffix", "option"), SIDES, ids=lambda value: getattr(value, "__name__", None)
)
def test_side_inputs_that_fill_memory(
    tmp_path: Path, make: Callable[[Path, int], Path], count: int, suffix: str, option: str
) -> None:
    """A small log or table that would unpack to more than its part of the memory is refused before it does."""
    given = make(tmp_path / f"bomb.{suffix}", count)
    part, code = peak(bombs.syns(tmp_path / "a.pcap", 10), option, given, "--out", tmp_path / "out")
    assert code == 2
    assert part <= 1.1


@pytest.mark.parametrize(
    ("make", "count", "suffix", "option"), SIDES, ids=lambda value: getattr(value, "__name__", None)
)
def test_side_inputs_that_are_refused_say_why(
    tmp_path: Path, make: Callable[[Path, int], Path], count: int, suffix: str, option: str
) -> None:
    """The sentence names the file, says that it is memory, and what to do."""
    given = make(tmp_path / f"bomb.{suffix}", count)
    where = {"--witness": {"witnesses": [given]}, "--routes": {"routes": [given]}, "--aws": {"aws": given}}[option]
    options = replace(Options(memory=LEAST), **where)  # type: ignore[arg-type]
    with pytest.raises(AuditError, match=r"bomb\..* MiB .*; give --memory a larger size, or a smaller file"):
        auditor.audit(bombs.syns(tmp_path / "a.pcap", 10), options)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_pages_of_parquet_are_counted(tmp_path: Path, compression: str, version: str) -> None:
    """What the pages of the largest group of rows say that they unpack to is what an honest footer says."""
    table = pa.table({"a": [f"text {k % 700}" for k in range(50_000)], "b": range(50_000)})
    file = tmp_path / "a.parquet"
    pq.write_table(table, file, compression=compression, data_page_version=version, row_group_size=20_000)
    footer = pq.read_metadata(file)
    largest = max(footer.row_group(k).total_byte_size for k in range(footer.num_row_groups))
    with gate.Parquet(file) as parquet:
        assert parquet.unpacked(["a", "b"]) == largest < parquet.size
        assert 0 < parquet.unpacked(["b"]) < largest


@pytest.mark.parametrize("which", [0, 1])
def test_a_footer_that_contradicts_itself(tmp_path: Path, which: int) -> None:
    """A column that is of one type in the schema and of another in its chunk is refused; pyarrow's metadata aborts."""
    file, text, number = tmp_path / "a.parquet", b"\x15\x0c", b"\x15\x04"  # fields 1: BYTE_ARRAY, INT64
    pq.write_table(pa.table({"a": ["x", "y"] * 50}), file)
    data = file.read_bytes()
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    at = data.index(text, begin) if which == 0 else data.rindex(text)
    file.write_bytes(data[:at] + number + data[at + 2 :])
    with gate.Parquet(file) as parquet:
        assert parquet.unpacked(["a"]) > 0
        with contextlib.suppress(gate.RefusedError):
            assert parquet.read(["a"]).num_rows == 100


def test_a_footer_that_does_not_end() -> None:
    """A footer that is cut at whichever byte names its columns, or is refused; and so is one that is longer than its file."""
    out = io.BytesIO()
    pq.write_table(pa.table({"a": ["x"] * 50, "b": range(50)}), out)
    data = out.getvalue()
    length = int.from_bytes(data[-8:-4], "little")
    assert [one.column for one in pages.chunks(io.BytesIO(data))] == ["a", "b"]
    refused = 0
    for kept in range(length):
        try:
            pages.chunks(io.BytesIO(data[-8 - length :][:kept] + kept.to_bytes(4, "little") + b"PAR1"))
        except ValueError:
            refused += 1
    assert refused > length // 3
    with pytest.raises(ValueError, match="no footer"):
        pages.chunks(io.BytesIO(data[:-8] + len(data).to_bytes(4, "little") + b"PAR1"))


def test_a_page_that_unpacks_to_more_than_the_footer_says_counts() -> None:
    """A page's own header decides how much memory is taken for it: here 2 GiB, of 40 packed bytes."""
    size = 2**31 - 1
    zigzag = 2 * size
    varint = b"".join(
        bytes([zigzag >> shift & 0x7F | (0x80 if zigzag >> shift >> 7 else 0)]) for shift in range(0, 35, 7)
    )
    header = b"\x15\x00\x15" + varint + b"\x15\x50\x2c\x15\x02\x15\x00\x15\x06\x15\x06\x00\x00"
    assert pages.unpacked(io.BytesIO(header + bytes(40)), 0, len(header) + 40) == size
    with pytest.raises(ValueError, match="does not end"):
        pages.unpacked(io.BytesIO(header[:6]), 0, 6)
