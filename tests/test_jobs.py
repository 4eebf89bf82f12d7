"""Several processes that audit together: real ones, which end, die and are asked to stop."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import auditor
from auditor.audit import chosen, killed, parallel, shares, start, worker, workers
from auditor.capture.inputs import Input
from auditor.errors import AuditError, InputError
from auditor.machine import packed
from auditor.options import Options
from tests import cuts, wire
from tests.conftest import HANG, SAMPLES
from tests.sharing import names, rows, totals

OFFICE = SAMPLES / "office.pcapng"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one process."""
    folder = tmp_path_factory.mktemp("one") / "results"
    auditor.audit(OFFICE, jobs=1, out=folder).close()
    return folder


def test_processes_say_what_one_says(one: Path, tmp_path: Path) -> None:
    """Two processes write the results of one, and leave nothing else in the folder."""
    auditor.audit(OFFICE, jobs=2, out=tmp_path).close()
    assert rows(tmp_path) == rows(one)
    assert totals(tmp_path) == totals(one)
    assert names(tmp_path) == names(one)


def test_all_that_is_known_of_a_site(tmp_path: Path) -> None:
    """Workers find options' files though they work in another folder: names that lead there from here are enough."""
    site = os.path.relpath(SAMPLES / "site.toml")
    with (
        closing(auditor.audit(OFFICE, topology=site, jobs=2)) as shared,
        closing(auditor.audit(OFFICE, topology=site)) as whole,
    ):
        assert shared.rows("flows") == whole.rows("flows")


def dying(times: int, how: Callable[[subprocess.Popen[bytes]], None]) -> Callable[..., Any]:
    """``Worker.ask`` that ends the process so many times when it is asked for something."""
    ask, lock, left = workers.Worker.ask, threading.Lock(), [times]

    def asked(self: workers.Worker, *arguments: Any) -> Any:
        with lock:
            left[0] -= 1
            if left[0] >= 0:
                how(self.process)
        return ask(self, *arguments)

    return asked


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()


def test_a_worker_that_dies_is_started_again(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is killed in the middle, its piece is done once more, and nothing is there twice."""
    monkeypatch.setattr(workers.Worker, "ask", dying(1, _kill))
    auditor.audit(OFFICE, jobs=2, out=tmp_path).close()
    assert rows(tmp_path) == rows(one)
    assert totals(tmp_path) == totals(one)


def test_a_piece_that_kills_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they die twice over the same piece, that is said in a sentence; no process and no file is left."""
    monkeypatch.setattr(workers.Worker, "ask", dying(99, _kill))
    with pytest.raises(AuditError, match=r"a worker died twice over the same piece \(killed by signal 9\)"):
        auditor.audit(OFFICE, jobs=2, out=tmp_path)
    assert not names(tmp_path)
    assert not _workers_of(os.getpid())


def _workers_of(process: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(process).children():
        with suppress(psutil.Error):  # it has ended meanwhile
            if "auditor.audit.worker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def _running(*arguments: str) -> "subprocess.Popen[bytes]":
    """The command line, with two workers that are at work."""
    command = [sys.executable, "-m", "auditor", "pcap", *arguments, "--jobs", "2"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background ignores it
    )


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Path]:
    """A capture that takes longer to read than anything in these tests."""
    file = tmp_path / "endless.pcap"
    packet = wire.pcap([wire.datagram(b"x" * 40)])
    file.write_bytes(packet[:24] + packet[24:] * 2_000_000)
    yield file
    file.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_whoever_started_them(endless: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and even a kill of the audit end its workers, whatever these are at."""
    with _running(str(endless), "--out", str(tmp_path / "results")) as audit:
        while not (found := _workers_of(audit.pid)):
            assert audit.poll() is None, audit.communicate()
        os.killpg(audit.pid, number)  # as a terminal does
        assert audit.wait(HANG) != 0
        assert b"Traceback" not in audit.communicate()[1]
        assert not psutil.wait_procs(found, HANG)[1]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """What is no capture is an error of that file, told once; the others are audited."""
    text = wire.write(tmp_path, b"what is this?", "text.pcap")
    with closing(auditor.audit([text, OFFICE], jobs=2)) as result:
        assert [error.split(":")[0] for error in result.errors] == [str(text)]
        assert len(result.flows) == 29
    with pytest.raises(InputError, match=r"text\.pcap"):
        auditor.audit(text, jobs=2)


def test_a_stream_is_read_by_one_process(tmp_path: Path) -> None:
    """Standard input can be read only once: that is said, and audited by one process."""
    said: list[str] = []
    stream = (tmp_path / "stream").open("wb+")
    stream.write(OFFICE.read_bytes())
    stream.seek(0)
    with closing(start.audit_inputs([Input("-", stream=stream)], Options(jobs=3, say=said.append))) as result:
        assert len(result.flows) == 29
    assert "--jobs: what comes as a stream is read by one process" in said


def test_memory_for_few_of_many(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is enough for two processes, five shares are followed by two, one after the other."""
    started: list[int] = []
    start_one = workers.Worker.start

    def noted(number: int) -> workers.Worker:
        started.append(number)
        return start_one(number)

    monkeypatch.setattr(workers.Worker, "start", noted)
    auditor.audit(OFFICE, jobs=5, memory="1000M", out=tmp_path).close()
    assert started == [0, 1]
    assert rows(tmp_path) == rows(one)


@pytest.mark.parametrize("number", [0, -1, 1000])
def test_numbers_of_jobs(number: int) -> None:
    """A number of processes that nobody can mean is refused."""
    with pytest.raises(InputError, match=rf"--jobs {number}: give a number from 1 to 256"):
        Options(jobs=number)


def test_jobs_without_being_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process for each two processors, where there is enough to read and no more is known than packets show."""
    large, small = Input("large", Path("/x"), size=40 << 30), Input("small", Path("/y"), size=1 << 20)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert chosen.jobs_for([large], Options()) == 8
    assert chosen.jobs_for([small], Options()) == 1
    assert chosen.jobs_for([large], Options(topology="site.toml")) == 8
    assert chosen.jobs_for([large], Options(topology="site.toml", apart=True)) == 1
    assert chosen.jobs_for([large], Options(witnesses="conn.log")) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert chosen.jobs_for([large], Options()) == 1
    assert chosen.jobs_for([large], Options(jobs=5)) == 5


def test_gone_on_with_after_a_kill(tmp_path: Path) -> None:
    """What several processes have followed before all of them were killed is not followed again."""
    talk = wire.Talk()
    for _ in range(300):
        talk.open().play([("c", wire.record(22, wire.client_hello())), ("s", b"x" * 400)]).close()
    (tmp_path / "in").mkdir()
    count = len(talk.packets)
    cuts.cut_pcap(wire.pcap(talk.packets), tmp_path / "in", [k * 20 // count for k in range(count)])
    alone, out = tmp_path / "alone", tmp_path / "out"
    auditor.audit(tmp_path / "in", out=alone).close()
    command = [sys.executable, "-m", "auditor", "pcap", str(tmp_path / "in"), "--jobs", "2", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        while child.poll() is None and not list(out.glob(".audit-*/share-*/state")):
            threading.Event().wait(0.01)
        child.send_signal(signal.SIGKILL)
    assert list(out.glob(".audit-*/share-*/state"))
    done = subprocess.run(command, capture_output=True, check=True, timeout=HANG)
    assert b"what was read before is not read again" in done.stderr
    assert rows(out) == rows(alone)
    assert names(out) == names(alone)
    done = subprocess.run(command, capture_output=True, check=True, timeout=HANG)
    assert b"20 of 20 captures were read before" in done.stderr


def test_a_folder_that_was_prepared_is_not_gone_on_from(tmp_path: Path) -> None:
    """What shares have left counts in the folder that this user's audit made, and in no copy or other that looks like it."""
    options = Options(out=tmp_path / "out")
    marks = parallel._marks([], options, 2)
    with parallel._working([], options, 2) as (folder, _):
        assert parallel._fits(marks, options, folder)
        assert not parallel._fits(marks, options, shutil.copytree(folder, tmp_path / "copy"))
        packed.write(folder / killed.PLAN, parallel.PLAN_KIND, marks | {"seal": "00" * 32}, {})
        assert not parallel._fits(marks, options, folder)


def test_a_disk_that_fills_up_under_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker cannot write is said with the place of the results: such an error names no file."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setitem(worker.PIECES, "judge", fail)
    plan = shares.SharePlan((), Options(), 2, tmp_path / "results" / ".audit-1", 1 << 30, 1 << 20)
    asking, serving = multiprocessing.Pipe()
    with asking, serving:
        asking.send(("judge", (plan,)))
        asking.send(None)
        with suppress(TypeError):  # nothing is asked for any more
            worker.serve(serving)
        kind, (error, words) = asking.recv()
    assert (kind, error, words) == (worker.FAILED, AuditError, f"{tmp_path / 'results'}: {os.strerror(errno.ENOSPC)}")
