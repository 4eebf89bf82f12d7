"""Children and programs: where they come from, and what they may do."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auditor.errors import InputError
from auditor.machine import confined, isolated, landlock, programs, search_path, trust
from auditor.requests import tshark, tshark_kept
from tests.conftest import HANG, ROOT


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho run\n")
    path.chmod(mode)
    return path


def test_the_working_directory_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither modules nor programs are looked for in the working directory or a relative folder, whatever the lists say."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", str(tmp_path), str(tmp_path / "link"), "lib", "/usr/lib/nowhere"])
    monkeypatch.setenv("PATH", f".::{tmp_path}:bin:/usr/bin")
    assert search_path.modules() == ["/usr/lib/nowhere"]
    assert search_path.programs() == "/usr/bin"


def test_libraries_are_loaded_where_the_working_directory_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands in site-packages can still start an audit."""
    import site

    folder = site.getsitepackages()[0]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", ["", folder])
    assert search_path.modules() == [folder]


def test_children_see_nothing_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of ours runs in the root folder, isolated, with our package and libraries and no variable of Python's."""
    monkeypatch.chdir(tmp_path)
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "WIRESHARK_CONFIG_DIR"):
        monkeypatch.setenv(name, "" if name.startswith("LD_") else str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", ":/usr/lib/x:.")
    for name in ("json.py", "sitecustomize.py", "usercustomize.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('run')")
    facts = "[os.getcwd(), sys.flags.isolated, dict(os.environ), auditor.machine.isolated.__file__, sys.path]"
    code = f"import auditor.machine.isolated, json, numpy, os, sys; print(json.dumps({facts}))"
    command = isolated.module("auditor.machine.kernel")
    start, last = command[-1].split("from auditor.machine.kernel")
    assert last
    command[-1] = start + code
    with isolated.start(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        folder, is_isolated, environment, file, path = json.loads(child.stdout.read())
    assert (folder, is_isolated, file) == ("/", 1, isolated.__file__)
    assert str(tmp_path) not in path
    assert environment["LD_LIBRARY_PATH"] == "/usr/lib/x"
    assert not {"PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "WIRESHARK_CONFIG_DIR"} & set(
        environment
    )


def test_compiling_ends_with_who_waits_for_it(tmp_path: Path) -> None:
    """A process that compiles a kernel is gone soon after the one that started it was killed."""
    command = isolated.module("auditor.machine.child", "{parent}", "auditor.reading.scan.follow_batch")
    start = f"""
import os, subprocess, time
command = [part.replace("{{parent}}", str(os.getpid())) for part in {command!r}]
print(subprocess.Popen(command, stdout=open({str(tmp_path / "code")!r}, "wb")).pid, flush=True)
time.sleep({HANG})
"""
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1.5)  # it has begun
        parent.kill()
    end = time.monotonic() + HANG
    while Path(f"/proc/{child}").exists() and not _is_over(child):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not (tmp_path / "code").read_bytes()


def _is_over(process: int) -> bool:
    """Whether a process has ended and nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_programs_come_from_the_system_or_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH does not say which tshark is run; AUDITOR_PROGRAMS does, by absolute folders."""
    monkeypatch.chdir(tmp_path)
    path = program(tmp_path / "bin" / "tshark")
    monkeypatch.setenv("PATH", str(path.parent))
    monkeypatch.setattr(programs, "FOLDERS", ("/nonexistent",))
    assert programs.find("tshark") is None
    monkeypatch.setenv(programs.SETTING, "bin")
    assert programs.find("tshark") is None
    monkeypatch.setenv(programs.SETTING, f"bin:{path.parent}")
    assert programs.find("tshark") == str(path)
    assert programs.refused("tshark") is None


@pytest.mark.parametrize("what", ["file", "folder", "above", "group", "behind a link"])
def test_programs_that_others_can_change_are_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is not run if another user could put another in its place, at any step of the way to it; it is said."""
    real = program(tmp_path / "above" / "folder" / "dumpcap")
    monkeypatch.setattr(programs, "FOLDERS", (str(real.parent),))
    assert programs.find("dumpcap") == str(real)
    if what == "group":
        os.chown(real, -1, 12_345)
        real.chmod(0o775)
    elif what == "behind a link":
        target = program(tmp_path / "elsewhere" / "dumpcap")
        real.unlink()
        real.symlink_to(target)
        assert programs.find("dumpcap") == str(real)
        target.parent.chmod(0o777)
    else:
        {"file": real, "folder": real.parent, "above": real.parent.parent}[what].chmod(0o777)
    assert programs.find("dumpcap") is None
    assert "can be written to by others" in (programs.refused("dumpcap") or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_programs_of_other_users_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that belongs to another user is that user's to change."""
    path = program(tmp_path / "tcpdump")
    monkeypatch.setattr(programs, "FOLDERS", (str(tmp_path),))
    os.chown(path, 12_345, -1)
    assert programs.find("tcpdump") is None
    assert "belongs to another user" in (programs.refused("tcpdump") or "")


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_what_is_confined_has_no_network_and_leaves_no_core() -> None:
    """What reads bytes of strangers has no core dumps, a ceiling of memory, and as root no interface but a dead loopback."""
    facts = "[name for _, name in socket.if_nameindex()], getrlimit(RLIMIT_CORE), getrlimit(RLIMIT_AS)[0]"
    code = f"import socket; from resource import *; print({facts})"
    command = isolated.script(confined.__file__, str(1 << 30), sys.executable, "-I", "-c", code)
    said = isolated.output_of(command)
    assert said is not None
    interfaces, rest = said.split("]", 1)
    assert rest.strip() == f"(0, 0) {1 << 30}"
    if os.geteuid() == 0 and _can_leave_network():
        assert interfaces == "['lo'"


def _can_leave_network() -> bool:
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


def test_tshark_without_a_list_of_protocols_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tshark does not say which dissectors it has, none could be switched off: that is an error, not silence."""
    tshark._asked.cache_clear()
    monkeypatch.setattr(tshark_kept, "recalled", lambda _: None)
    monkeypatch.setattr(isolated, "output_of", lambda _: None)
    with pytest.raises(InputError, match="does not list its protocols"):
        tshark.restricted("/usr/bin/tshark")


def a_tshark(prefix: Path, says: str) -> str:
    """A program that says what a tshark says, with the library that it would have."""
    program = prefix / "bin" / "tshark"
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    (prefix / "lib").mkdir(exist_ok=True)
    (prefix / "lib" / "libwireshark.so.1").touch()
    program.write_text(f"#!/bin/sh\n[ $1 = -G ] && printf 'x\\tx\\ttcp\\nx\\tx\\t{says}\\n' || echo TShark {says}\n")
    program.chmod(0o755)
    return str(program)


def test_what_tshark_says_is_kept_until_it_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tshark is asked once; after its program, its library or a folder of its plugins has changed it is asked again."""
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("AUDITOR_CACHE_DIR", str(tmp_path / "cache"))
    for name in isolated.LIBRARIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trust, "folder", lambda path, make=False: path.mkdir(exist_ok=True) or path)
    path = a_tshark(tmp_path, "one")

    def options() -> list[str]:
        tshark._asked.cache_clear()
        return tshark.restricted(path)

    assert options() == ["--disable-protocol", "one"]
    monkeypatch.setattr(isolated, "output_of", lambda _: None)  # so only what is kept can answer
    assert options() == ["--disable-protocol", "one"]
    (tmp_path / "lib" / "libwireshark.so.1").write_bytes(b"another one")
    with pytest.raises(InputError):
        options()
    monkeypatch.undo()
    tshark._asked.cache_clear()


@pytest.mark.skipif(landlock.version() == 0, reason="the kernel has no landlock")
def test_what_dissects_writes_nothing(tmp_path: Path) -> None:
    """The child that lets tshark dissect, and tshark, can make no file anywhere, nor get new privileges."""
    code = f"""
import os
from pathlib import Path
from auditor.requests import worker
def told(*_):
    facts = Path("/proc/self/status").read_text()
    assert "NoNewPrivs:\\t1" in facts
    for place in ({str(tmp_path)!r}, "/tmp", "/dev/shm"):
        try:
            Path(place, "auditor-test").write_text("x")
        except OSError:
            continue
        print("wrote into", place)
    print("done", flush=True)
    os._exit(0)
worker.json.loads = told
worker.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"{}\n", capture_output=True, check=False, timeout=HANG, cwd=ROOT
    )
    assert done.stdout == b"done\n", done.stderr
