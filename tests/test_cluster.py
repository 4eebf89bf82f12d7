"""Audits on a Dask cluster: a scheduler and workers as processes of this machine."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.audit import dask_workers, parallel
from auditor.errors import AuditError, InputError
from auditor.options import Options
from auditor.report import partitions
from auditor.report.custody import STATE
from tests.conftest import HANG, SAMPLES
from tests.sharing import names, rows, totals

OFFICE = SAMPLES / "office.pcapng"


class Machines:
    """A scheduler and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes = [
            self._start("scheduler", "--scheduler-file", str(self.file), "--host", "127.0.0.1", "--port", "0")
        ]
        for _ in range(2):
            self.add()

    def _start(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments, "--no-dashboard"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder)

    def add(self) -> None:
        """Start one more worker."""
        more = [
            "--scheduler-file",
            str(self.file),
            "--nthreads",
            "2",
            "--no-nanny",
            "--local-directory",
            str(self.folder),
        ]
        self.processes.append(self._start("worker", *more))

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        end = time.monotonic() + HANG
        while not (self.file.exists() and self.file.read_text().endswith("}")) and time.monotonic() < end:
            time.sleep(0.1)  # it is written bit by bit
        return str(json.loads(self.file.read_text())["address"])

    def stop(self) -> None:
        """End all."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A scheduler with two workers."""
    started = Machines(tmp_path_factory.mktemp("machines"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def client(machines: Machines) -> Iterator[Any]:
    """A client of theirs."""
    from distributed import Client

    with Client(machines.address, timeout=HANG, set_as_default=False) as one:
        one.wait_for_workers(2, timeout=HANG)
        yield one


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one process."""
    folder = tmp_path_factory.mktemp("one") / "results"
    auditor.audit(OFFICE, jobs=1, out=folder).close()
    return folder


def hold(shared: Path, alone: Path) -> None:
    """Hold results against those of one process."""
    assert rows(shared) == rows(alone)
    assert totals(shared) == totals(alone)
    assert {*names(shared), STATE} == set(names(alone))


def test_a_cluster_says_what_one_process_says(client: Any, one: Path, tmp_path: Path) -> None:
    """By a client of one's own: as a function, or for all that is begun in a block."""
    auditor.cluster(client).audit(OFFICE, out=tmp_path / "function").close()
    with auditor.cluster(client):
        auditor.audit(OFFICE, out=tmp_path / "block").close()
    for name in ("function", "block"):
        hold(tmp_path / name, one)


def test_a_scheduler_by_its_address(machines: Machines, one: Path, tmp_path: Path) -> None:
    """The command line finds workers by their scheduler."""
    command = [sys.executable, "-m", "auditor", "pcap", str(OFFICE), "--scheduler", machines.address, "--jobs", "3"]
    done = subprocess.run([*command, "--out", str(tmp_path / "results"), "-q"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    hold(tmp_path / "results", one)


def test_a_worker_that_is_killed(
    machines: Machines, client: Any, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was doing is done by another one, once."""
    submit = type(client).submit

    def submitted(self: Any, *arguments: Any, **more: Any) -> Any:
        future = submit(self, *arguments, **more)
        if arguments[1] == "follow" and not killed.is_set():
            killed.set()
            machines.processes[1].send_signal(signal.SIGKILL)
            machines.add()
        return future

    killed = threading.Event()
    monkeypatch.setattr(type(client), "submit", submitted)
    with auditor.cluster(client):
        auditor.audit(OFFICE, out=tmp_path, jobs=4).close()
    assert killed.is_set()
    hold(tmp_path, one)


def test_pieces_that_are_done_twice(client: Any, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does a piece a second time has a folder of its own: nothing is doubled."""
    submit = type(client).submit

    def twice(self: Any, *arguments: Any, **more: Any) -> Any:
        submit(self, *arguments, **more).result()
        return submit(self, *arguments, **more)

    monkeypatch.setattr(type(client), "submit", twice)
    with auditor.cluster(client):
        auditor.audit(OFFICE, out=tmp_path, jobs=2).close()
    hold(tmp_path, one)


def test_nothing_secret_goes_to_the_workers(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of key logs workers are told the names; what they hold stays where requests are read."""
    import pickle

    sent: list[bytes] = []
    submit = type(client).submit

    def noted(self: Any, *arguments: Any, **more: Any) -> Any:
        sent.append(pickle.dumps(arguments))
        return submit(self, *arguments, **more)

    log = tmp_path / "keys.log"
    log.write_text(f"CLIENT_RANDOM {'ab' * 32} {'5ec2e7' * 16}\n")
    monkeypatch.setattr(type(client), "submit", noted)
    with auditor.cluster(client):
        auditor.audit(OFFICE, out=tmp_path / "results", keylog=log).close()
    assert sent
    assert not any(b"5ec2e7" in one or bytes.fromhex("5ec2e7") in one for one in sent)


def test_requests_are_read_on_a_cluster_too(client: Any, tmp_path: Path) -> None:
    """Secrets inside a capture open its flows, whoever followed them."""
    for name, audit in (("one", auditor.audit), ("shared", auditor.cluster(client).audit)):
        audit(SAMPLES / "requests.pcapng", out=tmp_path / name).close()
    assert rows(tmp_path / "shared") == rows(tmp_path / "one")


def test_what_a_cluster_needs(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that all see, captures that can be read again, the same version, a scheduler: each lack is a sentence."""
    with auditor.cluster(client):
        with pytest.raises(InputError, match="needs --out, a folder that all machines share"):
            auditor.audit(OFFICE)
        with pytest.raises(InputError, match="a stream cannot be read by a cluster"):
            auditor.audit("-", out=tmp_path)
    monkeypatch.setattr(dask_workers, "PATIENCE", 1)
    with pytest.raises(AuditError, match="no scheduler answers there"):
        auditor.audit(OFFICE, scheduler="tcp://127.0.0.1:9", out=tmp_path)
    monkeypatch.setattr(dask_workers, "__version__", "another")
    with auditor.cluster(client), pytest.raises(AuditError, match=r"has version .*, this is another; install the same"):
        auditor.audit(OFFICE, out=tmp_path)


def test_workers_that_do_not_see_the_folder(tmp_path: Path) -> None:
    """A folder of this machine alone is refused before anything is read."""

    class Elsewhere:
        def run(self, look: Any, _folder: Path, name: str) -> dict[str, tuple[str, bool]]:
            return {"tcp://10.0.0.7:1": look(tmp_path / "elsewhere", name)}

    with pytest.raises(
        AuditError, match=r"tcp://10\.0\.0\.7:1: does not see .*; give --out a folder that all machines"
    ):
        dask_workers.DaskWorkers(Elsewhere()).check(tmp_path)


def test_without_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, the extra is named."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(AuditError, match=r"--scheduler needs Dask: pip install .*cluster"):
        auditor.audit(OFFICE, Options(scheduler="tcp://127.0.0.1:8786", out=tmp_path))


def said(folder: Path) -> dict[str, list[str]]:
    """The rows of all tables, however many files these have."""
    with closing(auditor.load(folder)) as result:
        return {
            table: sorted(repr(row) for row in result.arrow(table).to_pylist())
            for table in result.tables
            if table != "requests"  # with hashes that are salted anew
        }


def test_tables_in_parts(client: Any, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker writes its part of the tables: whoever reads results reads all, and a part that is missing is noticed."""
    monkeypatch.setattr(parallel, "MOST_FINISHED", 0)  # so that workers judge these few
    out, copy = tmp_path / "out", tmp_path / "copy"
    with auditor.cluster(client):
        auditor.audit(OFFICE, out=out, jobs=3).close()
    parts = [name for name in names(out) if partitions.is_part(name)]
    assert {"flows.00001.parquet", "flows.00002.parquet", "verdicts.00001.parquet"} <= set(parts)
    assert said(out) == said(one)
    with closing(auditor.load(out)) as both, closing(auditor.load(one)) as alone:
        assert all(same for _, same, _ in both.verify())
        assert both.sql("select count(*) from flows").iloc[0, 0] == alone.count("flows")
        assert not both.diff(alone)
        both.save(copy)
    assert set(parts) < set(names(copy))
    (copy / "flows.00001.parquet").unlink()
    noticed: list[str] = []
    auditor.load(copy, say=noticed.append).close()
    assert [sentence.rsplit("/", 1)[1] for sentence in noticed] == [
        "flows.00001.parquet: is missing; audit the captures again"
    ]
    auditor.audit(OFFICE, out=out, jobs=1, fresh=True).close()
    assert names(out) == names(one)
