"""Audits beside each other, and those that are killed at any moment: nothing half-written is believed, and the next one works."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.machine import objects, writing
from auditor.machine.objects import KernelObject
from auditor.report import history_files, temporary
from auditor.report.custody import CUSTODY, NAMES
from tests import wire
from tests.conftest import HANG, ROOT, SAMPLES

AUDIT = [sys.executable, "-m", "auditor"]
SEVERAL = 4
KILLS = 12


def start(*arguments: object, **more: Any) -> "subprocess.Popen[Any]":
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} | more
    return subprocess.Popen([*AUDIT, *map(str, arguments)], **options)


def ended(child: "subprocess.Popen[Any]") -> tuple[int, str]:
    """How a process ended, and what it said."""
    with child:
        said = child.communicate(timeout=HANG)[1]
    return child.returncode, said.decode()


def is_whole(results: Path) -> bool:
    """Whether a folder is believed to hold results; then all of it has to be as one audit wrote it, but what a kill left."""
    try:
        result = auditor.Audit(results)
    except auditor.AuditError:
        return False
    assert {same for name, same, _ in result.verify() if not writing.is_new(name)} == {True}
    return True


def test_one_folder(tmp_path: Path) -> None:
    """Of several audits that write into one folder at the same time one is there in the end, whole."""
    names = [f"tls1.{number}.pcapng" for number in (1, 2, 3)] + ["tls1.pcapng"]
    children = [start("pcap", SAMPLES / name, "--out", tmp_path / "out", "-q", "--force") for name in names]
    said = [ended(child) for child in children]
    assert {code for code, _ in said} <= {0, 2}, said
    assert any(code == 0 for code, _ in said)
    assert all("internal" not in text for _, text in said)
    assert is_whole(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*NAMES, CUSTODY}


def test_one_history(tmp_path: Path) -> None:
    """Audits that add to one history at the same time are all in it."""
    names = [f"tls1.{number}.pcapng" for number in (1, 2, 3)] + ["tls1.pcapng"]
    children = [
        start("pcap", SAMPLES / name, "-q", "--out", tmp_path / name, "--history", tmp_path / "all") for name in names
    ]
    for child in children:
        assert ended(child)[0] == 0
    assert history_files.read(tmp_path / "all")["runs"].num_rows == len(names)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """After each kill the folder holds an older result, a newer one, or none that anybody believes; and the next audit works."""
    out, chance = tmp_path / "out", random.Random(7)
    command = ("pcap", SAMPLES / "office.pcapng", "--out", out, "-q", "--force")
    begun = time.monotonic()
    assert ended(start(*command)) == (0, "")
    took = time.monotonic() - begun
    for _ in range(KILLS):
        child = start(*command)
        time.sleep(took * (0.3 + 0.9 * chance.random()))
        child.kill()
        child.communicate()
        is_whole(out)
    for left in out.glob(".audit-*"):  # as if a minute had passed
        os.utime(left, (0, 0))
    assert ended(start(*command)) == (0, "")
    assert is_whole(out)
    assert {path.name for path in out.iterdir()} == {*NAMES, CUSTODY}


@pytest.mark.parametrize("files", range(0, len(NAMES) + 2, 3))
def test_killed_while_files_are_exchanged(tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between two renames leaves what is no result, which is said; with force the next audit replaces it."""
    # Before files are exchanged, what reading has reached gets its name among the new ones.
    out, real, left = tmp_path / "out", os.rename, [1 + files]
    auditor.audit(SAMPLES / "tls1.pcapng", out=out)

    class KilledError(BaseException):
        """In place of a kill, after which nothing is done any more."""

    def rename(*arguments: Any, **more: Any) -> None:
        if left[0] == 0:
            raise KilledError
        left[0] -= 1
        real(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        patch.setattr("auditor.machine.writing.FolderWrite.abandon", lambda *_, **__: None)
        with contextlib.suppress(KilledError):
            auditor.audit(SAMPLES / "tls1.2.pcapng", out=out)
    if left[0] == 0 and files < len(NAMES) + 1:
        assert not is_whole(out)
        if files:  # else the older files are gone and none has come
            with pytest.raises(auditor.AuditError, match="--force to replace them"):
                auditor.audit(SAMPLES / "tls1.2.pcapng", out=out)
    assert is_whole(auditor.audit(SAMPLES / "tls1.2.pcapng", out=out, force=True).folder)


STORING = """
import sys
from auditor.machine import objects
number = int(sys.argv[1])
print("begins", flush=True)
while True:
    for k in range(3):
        objects.store({f"kernel{k}": objects.KernelObject(bytes([number]) * 300_000, "symbol", number)})
"""


def test_one_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of processes that keep machine code in one place, and are killed, no file is ever loaded that is not whole, nor left."""
    monkeypatch.setenv("AUDITOR_CACHE_DIR", str(home))
    names, chance = [f"kernel{k}" for k in range(3)], random.Random(3)
    for _ in range(3):
        children = [
            subprocess.Popen([sys.executable, "-c", STORING, str(number)], stdout=subprocess.PIPE, cwd=ROOT)
            for number in range(1, SEVERAL)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == b"begins\n"
        for child in children:
            for _ in range(20):
                for found in objects.load(names).values():
                    assert found.code == bytes([found.results]) * 300_000
            time.sleep(chance.random() / 20)
            child.kill()
            child.communicate()
    assert objects.load(names)
    for left in objects.folder().glob(".audit-*"):  # as if a minute had passed
        os.utime(left, (0, 0))
    objects.store({"kernel0": KernelObject(b"x", "symbol", 1)})
    assert sorted(path.name for path in objects.folder().iterdir()) == names


@pytest.mark.parametrize("data", ["cut", "empty", "other"])
def test_machine_code_that_is_not_whole(home: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    """Machine code that was cut off, as by a full disk, is as good as none."""
    monkeypatch.setenv("AUDITOR_CACHE_DIR", str(home))
    objects.store({"kernel0": KernelObject(b"x" * 1000, "symbol", 1)})
    kept = objects.folder() / "kernel0"
    whole = kept.read_bytes()
    kept.write_bytes({"cut": whole[:-1], "empty": b"", "other": whole[:-1] + b"y"}[data])
    assert objects.load(["kernel0"]) == {}


def can_make_namespaces() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_containers_that_share_a_temporary_folder(tmp_path: Path) -> None:
    """Temporary results of an audit stay while it runs, also if it has another number, or none, where another audit begins."""
    try:
        if not can_make_namespaces():
            pytest.skip("network namespaces are not allowed here, nor those of processes")
    except FileNotFoundError:
        pytest.skip("network namespaces are not allowed here: there is no unshare")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    inside = ["unshare", "--pid", "--fork", "--mount-proc", *AUDIT, "pcap", "-", "--format", "json"]
    with subprocess.Popen(
        inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as first:
        assert first.stdin is not None
        first.stdin.write(wire.pcap(wire.Talk().open().packets))
        first.stdin.flush()
        until = time.monotonic() + HANG
        while not list(tmp_path.glob(f"{temporary.TEMPORARY}*")) and time.monotonic() < until:
            time.sleep(0.1)
        assert ended(start("pcap", SAMPLES / "tls1.pcapng", "-q", env=environment))[0] == 0
        told, said = first.communicate(timeout=HANG)
    assert first.returncode == 0, said
    assert json.loads(told)["audit"]["counts"]["flows"] == 1
    assert not list(tmp_path.iterdir())


def test_what_a_kill_leaves_is_removed(tmp_path: Path) -> None:
    """Temporary results of an audit that was killed go when the next one begins."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = start("pcap", "-", stdin=subprocess.PIPE, env=environment)
    until = time.monotonic() + HANG
    while not list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert list(tmp_path.iterdir())
    assert ended(start("pcap", SAMPLES / "tls1.pcapng", "-q", env=environment))[0] == 0
    assert not list(tmp_path.iterdir())
