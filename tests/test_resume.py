"""An audit goes on where an earlier one into the same folder has come to, and says what it would have said anyway."""

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import auditor
from auditor.audit.keeping import Keeping
from auditor.audit.start import audit_files
from auditor.errors import AuditError
from auditor.machine import own, packed, writing
from auditor.options import Options
from auditor.reading import checkpoint
from auditor.report.custody import KEPT, NEEDED, STATE
from tests import cuts, wire
from tests.conftest import HANG, SAMPLES
from tests.sharing import hide

AUDIT = [sys.executable, "-m", "auditor", "pcap"]
COUNT = 6  # files


@pytest.fixture
def every_border(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a checkpoint between any two captures, and none inside of them, however little or much time has passed."""
    monkeypatch.setattr(checkpoint, "SHORTEST", 0)
    monkeypatch.setattr(checkpoint, "TIMES", 0)
    monkeypatch.setattr(checkpoint, "INSIDE", HANG)


@pytest.fixture
def every_place(every_border: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a checkpoint behind each block inside of captures, too."""
    del every_border
    monkeypatch.setattr(checkpoint, "INSIDE", 0)


def pieces(name: str, folder: Path, count: int = COUNT) -> list[Path]:
    """A sample in files, one behind the other."""
    data = (SAMPLES / f"{name}.pcapng").read_bytes()
    packets = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(data))
    folder.mkdir()
    return cuts.cut_pcapng(data, folder, [k * count // packets for k in range(packets)]).paths


def secret(folder: Path) -> Path:
    """What makes the hashes of access keys the same in all audits."""
    path = folder / "join.key"
    path.write_bytes(b"0123456789abcdef" * 4)
    return path


def same(one: Path, other: Path) -> None:
    """Assert that two folders have the same results, byte for byte, and nothing that was begun."""
    assert [name for name in (*NEEDED, KEPT) if (one / name).read_bytes() != (other / name).read_bytes()] == []
    assert [path.name for path in other.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Copies of a folder as a kill would leave it, one for each checkpoint that is written into it."""
    written: list[Path] = []
    real = Keeping._checkpoint

    def then_copy(keeping: Keeping, *arguments: Any) -> None:
        real(keeping, *arguments)
        copy = tmp_path / f"left-{len(written)}"
        shutil.copytree(keeping.folder.parent, copy)
        written.append(copy)

    with monkeypatch.context() as patch:
        patch.setattr(Keeping, "_checkpoint", then_copy)
        yield written


@pytest.mark.parametrize(("name", "apart"), [("office", False), ("tls1.2", False), ("ssl3", True)])
def test_from_every_checkpoint(every_border: None, left: list[Path], tmp_path: Path, name: str, apart: bool) -> None:
    """From whichever checkpoint an audit goes on, its results are those of one that nothing has interrupted."""
    del every_border
    files = pieces(name, tmp_path / "in")
    options: dict[str, Any] = {"join_key": secret(tmp_path), "apart": apart}
    whole = tmp_path / "whole"
    auditor.audit(files, out=whole, **options).close()
    copies = list(left)
    assert len(copies) == COUNT
    for number, copy in enumerate(copies, 1):
        said: list[str] = []
        auditor.audit(files, out=copy, say=said.append, **options).close()
        was = "was" if number == 1 else "were"
        assert said[0] == f"{number} of {COUNT} captures {was} read before; --fresh reads them again"
        same(whole, copy)


@pytest.mark.parametrize("apart", [False, True])
def test_checkpoints_take_a_twentieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """The next checkpoint waits for twenty times as long as the last one took, with writing it, which grows with the files."""
    told: list[float] = []
    pace = checkpoint.CheckpointPace(last=100.0)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.CheckpointPace, "written", lambda _, seconds: told.append(seconds))
        file = wire.write(tmp_path, wire.pcap(wire.Talk().open().packets))
        auditor.audit(file, out=tmp_path / "out", apart=apart).close()
    assert len(told) == 1
    pace.took = 0.5
    pace.written(1.0)
    clock = iter((129.0, 131.0))
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert [pace.is_due, pace.is_due] == [False, True]


def test_what_was_read_is_not_read_again(every_border: None, by_time: None, left: list[Path], tmp_path: Path) -> None:
    """An audit that goes on does not look into the files that the earlier one has finished."""
    del every_border, by_time
    files = pieces("tls1.2", tmp_path / "in")
    auditor.audit(files, out=tmp_path / "whole").close()
    copies = list(left)
    for number, copy in enumerate(copies, 1):
        hide([files[number - 1]])
        auditor.audit(files, out=copy).close()
        same(tmp_path / "whole", copy)


def test_a_finished_audit(by_time: None, tmp_path: Path) -> None:
    """The same files again are not read; nor is more than the new one, where one is added at the end in time."""
    del by_time
    files = pieces("tls1.2", tmp_path / "in")
    said: list[str] = []
    for out in ("whole", "new"):
        auditor.audit(files if out == "whole" else files[:-1], out=tmp_path / out).close()
    hide(files[:-1])
    for words in (f"{COUNT - 1} of {COUNT}", f"{COUNT} of {COUNT}"):
        said.clear()
        auditor.audit(files, out=tmp_path / "new", say=said.append).close()
        assert said[0].startswith(f"{words} captures were read before")
        same(tmp_path / "whole", tmp_path / "new")
        hide(files)


@pytest.mark.parametrize("again", [{}, {"policy": "pci-dss-4.0.1"}, {"fresh": True}])
def test_what_a_kill_left_goes(tmp_path: Path, again: dict[str, Any]) -> None:
    """Whatever files of an audit that was killed are left, the next one removes them, though its results are there already."""
    file, out = wire.write(tmp_path, wire.pcap(wire.Talk().open().packets)), tmp_path / "out"
    auditor.audit(file, out=out).close()
    left, new, held = (out / f".audit-{one * 16}" for one in "abc")
    for folder in (left, new, held):
        folder.mkdir()
    for folder in (left, held):
        (folder / "answers-1-1").write_bytes(b"of a share")
    with writing.locked(held):  # somebody writes there; what is empty may have been made a moment ago
        auditor.audit(file, out=out, force=True, **again).close()
    assert [left.exists(), new.exists(), held.exists()] == [False, True, True]


def test_other_options(by_time: None, tmp_path: Path) -> None:
    """The same files by another policy are judged, not read; a file that is added then is the only one that is read."""
    del by_time
    files = pieces("tls1.2", tmp_path / "in")
    options: dict[str, Any] = {"policy": "pci-dss-4.0.1", "all_traffic": True}
    auditor.audit(files, out=tmp_path / "whole", **options).close()
    auditor.audit(files[:-1], out=tmp_path / "part", **options).close()
    auditor.audit(files[:-1], out=tmp_path / "new").close()
    hide(files[:-1])
    auditor.audit(files[:-1], out=tmp_path / "new", **options).close()
    same(tmp_path / "part", tmp_path / "new")
    auditor.audit(files, out=tmp_path / "new", **options).close()
    same(tmp_path / "whole", tmp_path / "new")


def test_what_was_changed_is_read_again(tmp_path: Path) -> None:
    """A file that was changed is said and read again; one that was only touched is not, nor is one that is asked for afresh."""
    files = pieces("tls1.2", tmp_path / "in")
    said: list[str] = []
    auditor.audit(files, out=tmp_path / "out").close()
    os.utime(files[0])
    auditor.audit(files, out=tmp_path / "out", say=said.append).close()
    assert said[0].startswith(f"{COUNT} of {COUNT}")
    said.clear()
    auditor.audit(files, out=tmp_path / "out", fresh=True, say=said.append).close()
    assert not said
    files[1].write_bytes(files[1].read_bytes() + files[2].read_bytes())
    auditor.audit(files, out=tmp_path / "out", say=said.append).close()
    assert said[0] == f"{files[1]} was changed since it was read: all captures are read again"
    auditor.audit(files, out=tmp_path / "whole").close()
    same(tmp_path / "whole", tmp_path / "out")


def test_a_file_that_begins_before_others_end(tmp_path: Path) -> None:
    """Where a file is added that lies before others, or beside them, all are read."""
    files = pieces("tls1.2", tmp_path / "in")
    said: list[str] = []
    auditor.audit(files, out=tmp_path / "whole").close()
    for missing in (0, COUNT // 2):
        out = tmp_path / f"out{missing}"
        auditor.audit([*files[:missing], *files[missing + 1 :]], out=out).close()
        auditor.audit(files, out=out, say=said.append).close()
        assert not said
        same(tmp_path / "whole", out)


def overlapping(data: bytes, folder: Path) -> list[Path]:
    """A capture in three queues, whose packets nobody has put in order."""
    folder.mkdir()
    numbers = random.Random(3)
    return cuts.cut_pcap(data, folder, [numbers.randrange(3) for _ in cuts.records_of(data)]).paths


def long_capture() -> bytes:
    """A capture of several of the smallest blocks, with connections open at each of their borders."""
    talks = [wire.Talk(port).open() for port in range(40_000, 40_060)]
    for talk in talks:
        talk.play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 4_000)]).close()
    packets = [talk.packets[k] for k in range(len(talks[0].packets)) for talk in talks]
    return wire.pcap(packets)


MOMENT = "2023-11-14T22:13:20."  # begins the times of the packets that are built here


@pytest.mark.parametrize("form", ["plain", "packed", "queues", "window"])
def test_from_inside_captures(every_place: None, left: list[Path], tmp_path: Path, form: str) -> None:
    """Inside of captures too, packed ones, and several that are open at one time, an audit goes on where another one was."""
    del every_place
    data = long_capture()
    options: dict[str, Any] = {"since": f"{MOMENT}1", "until": f"{MOMENT}6"} if form == "window" else {}
    files = overlapping(data, tmp_path / "in") if form == "queues" else [tmp_path / "one.pcap"]
    if form != "queues":
        files[0].write_bytes(gzip.compress(data) if form == "packed" else data)
    whole = tmp_path / "whole"
    audit_files(files, Options(out=whole, **options), block_bytes=1).close()
    copies = list(left)
    assert len(copies) > 3
    for number in (0, len(copies) // 2, len(copies) - 2):
        said: list[str] = []
        audit_files(files, Options(out=copies[number], say=said.append, **options)).close()
        assert "up to byte" in said[0]
        same(whole, copies[number])


def test_a_part_that_was_read_is_not_read_again(
    every_place: None, by_time: None, left: list[Path], tmp_path: Path
) -> None:
    """What lies before the place where an audit goes on inside of a capture is not looked at."""
    del every_place, by_time
    path, data = tmp_path / "one.pcap", long_capture()
    path.write_bytes(data)
    audit_files([path], Options(out=tmp_path / "whole"), block_bytes=1).close()
    copy = left[2]
    status = path.stat()
    path.write_bytes(data[:1_000] + b"\xff" * 100_000 + data[101_000:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = auditor.audit(path, out=copy)
    assert result.captures["status"].tolist() == ["complete"]
    assert result.flows.equals(auditor.load(tmp_path / "whole").flows)


def test_of_a_time(by_time: None, tmp_path: Path) -> None:
    """Where only packets of a time are audited, files that were read, or passed over, are not read once more."""
    del by_time
    (tmp_path / "in").mkdir()
    records = len(cuts.records_of(long_capture()))
    files = cuts.cut_pcap(long_capture(), tmp_path / "in", [k * COUNT // records for k in range(records)]).paths
    options: dict[str, Any] = {"since": f"{MOMENT}2"}
    said: list[str] = []
    for out in ("whole", "new"):
        auditor.audit(files if out == "whole" else files[:-1], out=tmp_path / out, **options).close()
    hide(files[2:-1])
    for words in (f"{COUNT - 1} of {COUNT}", f"{COUNT} of {COUNT}"):
        said.clear()
        auditor.audit(files, out=tmp_path / "new", say=said.append, **options).close()
        assert said[0].startswith(f"{words} captures were read before")
        same(tmp_path / "whole", tmp_path / "new")
        hide(files[2:])
    said.clear()
    auditor.audit(files[:2], out=tmp_path / "new", say=said.append).close()
    assert "read before" not in "".join(said)


def test_secrets_in_captures(every_place: None, left: list[Path], tmp_path: Path) -> None:
    """Where captures have TLS secrets these are looked up there, and nothing else is read again; nothing kept has them."""
    del every_place
    files = pieces("requests", tmp_path / "in", 2)
    options: dict[str, Any] = {"join_key": secret(tmp_path)}
    whole, said = tmp_path / "whole", list[str]()
    auditor.audit(files, out=whole, **options).close()
    assert len(left) >= 2
    for copy in list(left):
        said.clear()
        auditor.audit(files, out=copy, say=said.append, **options).close()
        assert " read before; " in said[0]
        same(whole, copy)
    out = tmp_path / "out"
    auditor.audit(files[:1], out=out, **options).close()
    auditor.audit(files, out=out, say=said.append, **options).close()
    assert said[-1].startswith("1 of 2 captures was read before")
    same(whole, out)
    secrets = [line.split()[-1] for line in files[0].read_bytes().splitlines() if b"TRAFFIC_SECRET_0" in line]
    assert secrets
    kept = (out / KEPT).read_bytes() + b"".join((one / STATE).read_bytes() for one in (out, whole))
    assert not [one for one in secrets if one in kept or bytes.fromhex(one.decode()) in kept]


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("FORMAT", f"by another state of auditor {auditor.__version__}"),
        ("__version__", f"by auditor {auditor.__version__}, and this is another"),
    ],
)
def test_after_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, by: str) -> None:
    """What another version has kept is neither gone on from nor judged, and both say so: it may mean something else."""
    files, out = pieces("tls1.2", tmp_path / "in", 2), tmp_path / "out"
    auditor.audit(files, out=out).close()
    monkeypatch.setattr(packed, name, "another")
    with pytest.raises(AuditError, match=f"was kept {by}; audit the captures again"):
        auditor.judge(out, policy="pci-dss-4.0.1")
    said: list[str] = []
    auditor.audit(files, out=out, say=said.append).close()
    assert said == ["what the results keep is of another version of the auditor: all captures are read again"]
    auditor.judge(out, policy="pci-dss-4.0.1").close()


def test_a_state_of_somebody_else(tmp_path: Path) -> None:
    """A state that is not the one that was left beside the results is not gone on from."""
    files = pieces("tls1.2", tmp_path / "in")
    said: list[str] = []
    for out in ("one", "other"):
        auditor.audit(files[:-1] if out == "one" else files[:-2], out=tmp_path / out).close()
    shutil.copy(tmp_path / "other" / STATE, tmp_path / "one" / STATE)
    auditor.audit(files, out=tmp_path / "one", say=said.append).close()
    assert not said
    auditor.audit(files, out=tmp_path / "whole").close()
    same(tmp_path / "whole", tmp_path / "one")


@contextmanager
def somebody_else() -> Iterator[None]:
    """What is written is another user's, or of another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "key", lambda: bytes(own.SIZE))
        yield


@pytest.mark.parametrize("how", ["written to", "another file"])
def test_a_capture_with_the_size_and_time_of_before(tmp_path: Path, how: str) -> None:
    """A capture that holds something else is read again, whatever time whoever wrote it gave it."""
    capture, results, said = tmp_path / "a.pcapng", tmp_path / "results", list[str]()
    good, bad = ((SAMPLES / f"{name}.pcapng").read_bytes() for name in ("tls1.3", "ssl3"))
    size = max(len(good), len(bad))
    capture.write_bytes(good.ljust(size, b"\0"))
    auditor.audit(capture, out=results).close()
    status = capture.stat()
    target = capture if how == "written to" else tmp_path / "b.pcapng"
    target.write_bytes(bad.ljust(size, b"\0"))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    target.rename(capture)
    auditor.audit(capture, out=results, say=said.append).close()
    assert said == [f"{capture} was changed since it was read: all captures are read again"]
    auditor.audit(capture, out=tmp_path / "whole").close()
    same(tmp_path / "whole", results)


@pytest.mark.parametrize("option", ["topology", "keylog"])
def test_a_side_input_with_the_size_and_time_of_before(tmp_path: Path, option: str) -> None:
    """A file beside the captures that says something else is read again, whatever time whoever wrote it gave it."""
    before, after = {
        "topology": ('[site]\nname = "one"\n', '[site]\nname = "two"\n'),
        "keylog": (f"CLIENT_RANDOM {'01' * 32} {'02' * 48}\n", f"# {'x' * 173}\n"),
    }[option]
    assert len(before) == len(after)
    given, said = tmp_path / "given", list[str]()
    given.write_text(before)
    options: dict[str, Any] = {option: given}
    auditor.audit(SAMPLES / "tls1.3.pcapng", out=tmp_path / "out", **options).close()
    time = given.stat().st_mtime_ns
    given.write_text(after)
    os.utime(given, ns=(time, time))
    auditor.audit(SAMPLES / "tls1.3.pcapng", out=tmp_path / "out", say=said.append, **options).close()
    auditor.audit(SAMPLES / "tls1.3.pcapng", out=tmp_path / "whole", **options).close()
    assert not [one for one in said if "the results are those" in one]
    same(tmp_path / "whole", tmp_path / "out")


def test_results_that_somebody_else_prepared(tmp_path: Path) -> None:
    """What others say that a capture holds is not taken for it, however well name, size, time and digests fit."""
    capture, results, said = tmp_path / "a.pcapng", tmp_path / "results", list[str]()
    good, bad = ((SAMPLES / f"{name}.pcapng").read_bytes() for name in ("tls1.3", "ssl3"))
    size = max(len(good), len(bad))
    with somebody_else():
        capture.write_bytes(good.ljust(size, b"\0"))
        auditor.audit(capture, out=results).close()
    time = capture.stat().st_mtime_ns
    capture.write_bytes(bad.ljust(size, b"\0"))
    os.utime(capture, ns=(time, time))
    auditor.audit(capture, out=results, say=said.append).close()
    assert [one for one in said if "not written by this user" in one]
    auditor.audit(capture, out=tmp_path / "whole").close()
    same(tmp_path / "whole", results)


def test_what_somebody_else_left_of_an_audit(every_border: None, left: list[Path], tmp_path: Path) -> None:
    """A folder that looks like one that a kill has left is gone on from by who made it, and by nobody else."""
    files = pieces("tls1.2", tmp_path / "in")
    with somebody_else():
        auditor.audit(files, out=tmp_path / "theirs").close()
        for one in left[:-1]:
            said: list[str] = []
            shutil.copytree(one, tmp_path / "known")
            auditor.audit(files, out=tmp_path / "known", say=said.append).close()
            assert "read before" in said[0]
            shutil.rmtree(tmp_path / "known")
    for one in left[:-1]:
        said = []
        auditor.audit(files, out=one, say=said.append).close()
        assert not said


def test_judging_what_is_somebody_elses_makes_it_nobodys(tmp_path: Path) -> None:
    """Results of others that are judged anew are still theirs: no capture counts as read for them."""
    files, said = pieces("tls1.2", tmp_path / "in"), list[str]()
    with somebody_else():
        auditor.audit(files, out=tmp_path / "theirs").close()
    auditor.judge(tmp_path / "theirs", out=tmp_path / "judged").close()
    auditor.audit(files, out=tmp_path / "judged", say=said.append).close()
    assert [one for one in said if "not written by this user" in one]


def test_results_that_were_changed(tmp_path: Path) -> None:
    """Results that are not as the audit left them are made anew from what it has kept."""
    files = pieces("tls1.2", tmp_path / "in")
    for out in ("whole", "changed"):
        auditor.audit(files, out=tmp_path / out).close()
    shutil.copy(tmp_path / "changed" / "network.parquet", tmp_path / "changed" / "flows.parquet")
    auditor.audit(files, out=tmp_path / "changed").close()
    same(tmp_path / "whole", tmp_path / "changed")
    assert auditor.load(tmp_path / "changed").verify()


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """A process that is killed ten times, at moments that nobody chose, and started again comes to the same results."""
    talk = wire.Talk()
    for _ in range(400):
        talk.open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    data = wire.pcap(talk.packets)
    (tmp_path / "in").mkdir()
    count = len(talk.packets)
    cuts.cut_pcap(data, tmp_path / "in", [k * 40 // count for k in range(count)])
    command = [*AUDIT, str(tmp_path / "in"), "--brief", "--out"]
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True, timeout=HANG)
    took, chance = time.monotonic() - began, random.Random(18)
    for _ in range(10):
        with subprocess.Popen(
            [*command, str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            time.sleep(chance.uniform(0, took))
            child.send_signal(signal.SIGKILL)
    subprocess.run([*command, str(tmp_path / "out")], check=True, capture_output=True, timeout=HANG)
    same(tmp_path / "whole", tmp_path / "out")


def test_secrets_that_come_later(tmp_path: Path) -> None:
    """What is said of flows that were judged before a capture with TLS secrets came is what a whole audit says of them."""
    files = [SAMPLES / f"{name}.pcapng" for name in ("tls1.2", "office", "requests")]
    options: dict[str, Any] = {"join_key": secret(tmp_path)}
    said: list[str] = []
    auditor.audit(files, out=tmp_path / "whole", **options).close()
    auditor.audit(files[:2], out=tmp_path / "new", **options).close()
    auditor.audit(files, out=tmp_path / "new", say=said.append, **options).close()
    assert said[0].startswith("2 of 3 captures were read before")
    same(tmp_path / "whole", tmp_path / "new")
