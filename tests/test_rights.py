"""What parses bytes of strangers has no rights but to read its inputs and to write its results."""

import ctypes
import errno
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from auditor.machine import confined, isolated, landlock, rights
from tests.conftest import HANG, ROOT, SAMPLES

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone has rights to give up")
needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="the kernel has no landlock")
SOMEBODY = rights.User(12_345, 12_346, (12_346, 12_347), "/nowhere")


def in_a_child(work: Callable[[], object]) -> str:
    """What is said by a function in a process of its own: nothing, or what it raised."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            said = str(work() or "")
        except BaseException as error:  # noqa: BLE001 - told to the other process
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        text = told.read().decode()
    os.waitpid(child, 0)
    return text


def refused(work: Callable[[], object]) -> bool:
    """Whether something is not allowed."""
    try:
        work()
    except OSError as error:
        return error.errno in {errno.EACCES, errno.EPERM, errno.EXDEV}
    return False


@needs_landlock
def test_landlock_leaves_the_results_alone(tmp_path: Path) -> None:
    """Files are changed in the places given only: neither written, made, removed, renamed, cut off nor linked elsewhere."""
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    for folder in (results, elsewhere):
        folder.mkdir()
        (folder / "a").write_text("x")

    def work() -> None:
        ctypes.CDLL(None).prctl(rights.SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        assert landlock.restrict([results, Path("/dev/null"), tmp_path / "nowhere"])
        (results / "new").write_text("x")
        (results / "new").rename(results / "newer")
        (results / "newer").unlink()
        (results / "folder").mkdir()
        assert (elsewhere / "a").read_text() == "x"
        Path("/dev/null").write_text("x")
        assert refused(lambda: (elsewhere / "a").write_text("y"))
        assert refused(lambda: (elsewhere / "new").write_text("y"))
        assert refused((elsewhere / "folder").mkdir)
        assert refused(lambda: (elsewhere / "link").symlink_to("a"))
        assert refused(lambda: os.mkfifo(elsewhere / "pipe"))
        assert refused((elsewhere / "a").unlink)
        assert refused(lambda: (elsewhere / "a").rename(elsewhere / "b"))
        assert refused(lambda: (results / "a").rename(elsewhere / "b"))
        if landlock.version() >= 3:
            assert refused(lambda: os.truncate(elsewhere / "a", 0))

    assert in_a_child(work) == ""
    assert (elsewhere / "a").read_text() == "x"


@pytest.mark.skipif(landlock.version() < 4, reason="the kernel's landlock knows no network")
def test_landlock_leaves_no_tcp(tmp_path: Path) -> None:
    """Nobody is reached, and nobody can reach it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            ctypes.CDLL(None).prctl(rights.SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            assert landlock.restrict([tmp_path])
            assert refused(lambda: socket.create_connection(server.getsockname(), HANG))
            assert refused(lambda: socket.create_server(("127.0.0.1", 0)))

        assert in_a_child(work) == ""


@pytest.mark.parametrize("has", [0, 1, 2, 3, 4, 7])
def test_each_version_of_landlock(tmp_path: Path, has: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an older kernel no more is asked than it knows, and a kernel without it is told as such."""
    if has > landlock.version():
        pytest.skip("the kernel has no landlock")
    monkeypatch.setattr(landlock, "version", lambda: has)

    def work() -> None:
        ctypes.CDLL(None).prctl(rights.SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        assert landlock.restrict([tmp_path]) == (has > 0)
        assert refused(lambda: Path("/dev/shm/x").mkdir()) == (has > 0)

    assert in_a_child(work) == ""
    shutil.rmtree("/dev/shm/x", ignore_errors=True)


def status(name: str) -> str:
    """A line of what the kernel says of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return lines[name].strip()


@needs_root
def test_another_user_for_good() -> None:
    """Who is another user has no way back, nor anything of root's."""

    def work() -> None:
        rights._become(SOMEBODY)
        assert os.getresuid() == (12_345,) * 3
        assert os.getresgid() == (12_346,) * 3
        assert sorted(os.getgroups()) == [12_346, 12_347]
        assert refused(lambda: os.setuid(0))
        assert int(status("CapPrm"), 16) == 0

    assert in_a_child(work) == ""


@needs_root
def test_root_with_less(tmp_path: Path) -> None:
    """Where it has to stay root, it reads and writes files of others, and can nothing else, nor can what it starts."""
    (tmp_path / "theirs").write_text("x")
    os.chown(tmp_path / "theirs", 12_345, 12_345)
    (tmp_path / "theirs").chmod(0o600)

    def work() -> None:
        rights._stay_root_with_less()
        assert int(status("CapEff"), 16) == int(status("CapBnd"), 16) == rights.KEPT
        assert (tmp_path / "theirs").read_text() == "x"
        assert refused(lambda: os.chown(tmp_path / "theirs", 0, 0))
        assert refused(lambda: os.setuid(1))
        assert refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        said = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
        assert f"CapEff:\t{rights.KEPT:016x}" in said

    assert in_a_child(work) == ""


@needs_root
@pytest.mark.parametrize("what", ["readable", "secret", "hidden", "no place"])
def test_who_cannot_do_the_work_does_not(tmp_path: Path, what: str) -> None:
    """Root becomes another user only if that one can read all that is to be read, and write the results; trying costs nothing."""
    place = Path("/dev/shm") / f"auditor-test-{os.getpid()}"
    inputs, results = place / "inputs", place / "results"
    try:
        for folder in (inputs, results):
            folder.mkdir(parents=True)
        (inputs / "a").write_text("x")
        os.chown(results, 12_345, 12_346)
        if what == "secret":
            (inputs / "a").chmod(0o600)
        elif what == "hidden":
            inputs.chmod(0o700)
        elif what == "no place":
            os.chown(results, 0, 0)
        before = os.getresuid(), os.getresgid(), os.getgroups()
        assert rights._can(SOMEBODY, [*rights._everything([inputs])], [results]) == (what == "readable")
        assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("variables", "keeps", "uid"),
    [
        ({}, True, None),
        ({}, False, pwd.getpwnam("nobody").pw_uid),
        ({"SUDO_UID": "12345", "SUDO_GID": "12346"}, True, 12_345),
        ({"SUDO_UID": "0", "SUDO_GID": "0"}, True, None),
        ({"SUDO_UID": "-1", "SUDO_GID": "x"}, True, None),
        ({"SUDO_UID": "9" * 30, "SUDO_GID": "1"}, True, None),
        ({"SUDO_UID": "12345"}, True, None),
    ],
)
def test_who_it_becomes(
    variables: dict[str, str], keeps: bool, uid: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who called sudo, if anybody did; nobody only where nothing is kept that would be nobody's then."""
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    user = rights.invoking(keeps=keeps)
    assert (None if user is None else user.uid) == uid


WATCHED = """
import resource, sys
from pathlib import Path
from auditor.machine import rights
real, marker = rights.give_up, Path(sys.argv.pop(1))

def watched(reads, writes):
    real(reads, writes)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    marker.write_text(Path("/proc/self/status").read_text() + f"Core:\t{limits}\\n")

rights.give_up = watched
from auditor.cli import main
main()
"""


def watched(folder: Path, *arguments: object, **more: str) -> tuple["subprocess.CompletedProcess[str]", dict[str, str]]:
    """A command, and what the kernel said of its process when it had given up its rights."""
    marker = folder / "status"
    command = [sys.executable, "-c", WATCHED, str(marker), *map(str, arguments)]
    environment = {**os.environ, "TMPDIR": str(folder), **more}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG, cwd=ROOT, env=environment)
    lines = [line.split(":", 1) for line in marker.read_text().splitlines()] if marker.exists() else []
    return done, {name: value.strip() for name, value in lines}


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_the_command_gives_up_its_rights(tmp_path: Path) -> None:
    """An audit of files has no new privileges and no core dumps, as root few capabilities, and does its work all the same."""
    done, told = watched(tmp_path, "pcap", SAMPLES / "requests.pcapng", "--out", tmp_path / "out", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert told["NoNewPrivs"] == "1"
    assert told["Core"] == "(0, 0)"
    assert int(told["CapEff"], 16) | rights.KEPT == rights.KEPT
    assert (tmp_path / "out" / "custody.json").stat().st_uid == os.geteuid()


@needs_root
@pytest.mark.parametrize("kind", ["sudo", "root"])
def test_an_audit_that_root_started(kind: str) -> None:
    """Under sudo the results are the invoking user's, if that one can do the work; root's own otherwise."""
    place = Path("/dev/shm") / f"auditor-test-{os.getpid()}"
    place.mkdir()
    try:
        shutil.copyfile(SAMPLES / "tls1.pcapng", place / "a.pcapng")
        os.chown(place, 12_345, 12_346)
        sudo = {"SUDO_UID": "12345", "SUDO_GID": "12346"} if kind == "sudo" else {}
        done, told = watched(place, "pcap", place / "a.pcapng", "--out", place / "out", "-q", **sudo)
        assert done.returncode == 0, done.stderr
        can = rights._can(SOMEBODY, rights._libraries(), [place])
        uid = 12_345 if kind == "sudo" and can else 0
        assert told["Uid"].split() == [str(uid)] * 4
        assert (place / "out" / "flows.parquet").stat().st_uid == uid
        assert stat.S_IMODE((place / "out").stat().st_mode) == 0o700
    finally:
        shutil.rmtree(place)


@needs_root
def test_who_has_given_up_rights_leaves_the_network() -> None:
    """What reads strangers' bytes for a process that may make no network namespace has one of its own by another way."""
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    command = isolated.script(confined.__file__, "0", sys.executable, "-I", "-c", code)

    def work() -> str:
        rights._stay_root_with_less()
        return str(isolated.output_of(command))

    if subprocess.run(["unshare", "-Un", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("network namespaces are not allowed here")
    assert in_a_child(work) == "['lo']"


@needs_landlock
def test_who_speaks_to_stores_can_do_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child of stores reaches others by TCP, and can neither be reached nor change a file but of credentials."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(home / ".aws"))

    def work() -> str:
        rights.keep_network()
        with socket.socket() as one, socket.socket() as other:
            reached = not refused(lambda: one.connect(("127.0.0.1", port)))
            bound = not refused(lambda: other.bind(("127.0.0.1", 0)))
        places = home / ".aws" / "x", tmp_path / "x"
        written = [not refused(partial(place.write_text, "x")) for place in places]
        return f"{reached} {bound} {written}"

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert in_a_child(work) == f"True {landlock.version() < 4} [True, False]"
