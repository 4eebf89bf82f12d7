"""Live capture on loopback, with real TLS connections."""

import math
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor import audit_live
from auditor.capture import live, raw_socket
from auditor.machine import programs
from tests.conftest import HANG, ROOT

FLUSHED = 2  # seconds after which the kernel has given the capturing program what was sent


@pytest.fixture
def port(handshakes: Any, tmp_path: Path) -> Iterator[int]:
    """A TLS server on loopback that answers until the test is over."""
    keys = handshakes.Keys(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.certificate, keys.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    plain, _ = server.accept()
                except TimeoutError:
                    continue
                with plain, context.wrap_socket(plain, server_side=True) as stream:
                    stream.send(stream.recv(100))

        worker = threading.Thread(target=serve)
        worker.start()
        yield server.getsockname()[1]
        over.set()
        worker.join()


def connect(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = "pinpoint.us-east-1.amazonaws.com"
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as stream,
    ):
        stream.send(b"hello")
        stream.recv(100)


def request(port: int, keylog: Path) -> None:
    """A request inside TLS by a client that writes a key log."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.keylog_filename = str(keylog)
    name = "pinpoint.us-east-1.amazonaws.com"
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as stream,
    ):
        stream.send(f"GET /v1/apps HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        stream.recv(100)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_requests_with_a_key_log_that_is_written_meanwhile(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live audit opens what clients write keys for while it listens; the key log need not be there before."""
    can_capture()
    keylog = tmp_path / "keys.log"

    class EndedByItsClient(live.LiveCapture):
        """Ends once the client has spoken, however long that takes."""

        def begin(self) -> None:
            super().begin()
            threading.Thread(target=self.speak).start()

        def speak(self) -> None:
            for _ in range(2):
                request(port, keylog)
            time.sleep(FLUSHED)
            self.stop()

    monkeypatch.setattr(live, "LiveCapture", EndedByItsClient)
    result = audit_live("lo", keylog=[keylog], capture_filter=f"tcp port {port}")
    assert result.requests["api"].tolist() == ["pinpoint:GetApps"] * 2
    assert not result.requests["signed"].any()
    assert set(result.verdicts[result.verdicts["rule"] == "REQ101"]["verdict"].astype(str)) == {"fail"}


def can_capture() -> None:
    tool = shutil.which("dumpcap") or shutil.which("tcpdump")
    if tool is None:
        pytest.skip("neither dumpcap nor tcpdump is installed")
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0):
            return
    except (PermissionError, AttributeError):
        pytest.skip("no right to capture here")


def check(result: auditor.Audit, port: int) -> None:
    flows = result.flows[(result.flows["server_port"] == port) & result.flows["tls_version"].notna()]
    assert list(flows["server_name"].unique()) == ["pinpoint.us-east-1.amazonaws.com"]
    assert set(flows["tls_version"].astype(str)) == {"TLS 1.3"}
    assert "captured by" in result.captures["warnings"][0]


def connect_until(stop: threading.Event, port: int) -> None:
    while not stop.wait(0.1):
        connect(port)


@pytest.mark.parametrize("program", ["dumpcap", "tcpdump", "socket"])
def test_loopback(port: int, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of capturing shows the connections made meanwhile."""
    can_capture()
    if program != "socket" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    real = programs.find
    monkeypatch.setattr(programs, "find", lambda name: real(name) if name == program else None)
    stop = threading.Event()
    worker = threading.Thread(target=connect_until, args=(stop, port))
    worker.start()
    try:
        check(audit_live("lo", duration=3, capture_filter=f"tcp port {port}"), port)
    finally:
        stop.set()
        worker.join()


def test_interrupt_gives_results(port: int, tmp_path: Path) -> None:
    """Ctrl-C ends a live audit, and what was seen is the result."""
    can_capture()
    command = [
        sys.executable,
        "-m",
        "auditor",
        "live",
        "lo",
        "--filter",
        f"tcp port {port}",
        "--out",
        str(tmp_path / "out"),
    ]

    def as_in_a_terminal() -> None:  # whoever runs the tests in the background has SIGINT ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=as_in_a_terminal
    ) as child:
        try:
            assert child.stderr is not None
            assert any("capturing on lo" in line for line in iter(child.stderr.readline, ""))
            for _ in range(5):
                connect(port)
            time.sleep(FLUSHED)
            child.send_signal(signal.SIGINT)
            printed, errors = child.communicate(timeout=HANG)
        finally:
            child.kill()
    assert child.returncode == 0, errors
    assert "5 TLS handshakes" in printed
    check(auditor.Audit.load(tmp_path / "out"), port)


@pytest.mark.parametrize("program", ["dumpcap", "tcpdump", "socket"])
def test_nothing_captures_on_after_a_kill(program: str, tmp_path: Path) -> None:
    """Whichever program captures ends with the audit, also where that is killed and the interface stays silent."""
    can_capture()
    if program != "socket" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    marked = f"tcp port 9 and host 192.0.2.{1 + ['dumpcap', 'tcpdump', 'socket'].index(program)}"
    code = f"""
from auditor import audit_live
from auditor.machine import programs
find = programs.find
programs.find = lambda name: find(name) if name == {program!r} else None
audit_live("lo", capture_filter={marked!r}, say=print)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        try:
            assert "capturing on lo" in child.stdout.readline()
            assert len(having(marked)) > 1
        finally:
            child.kill()
    until = time.monotonic() + HANG
    while having(marked) and time.monotonic() < until:
        time.sleep(0.1)
    assert having(marked) == []


def having(argument: str) -> list[str]:
    """Processes that have been started with an argument, besides those whose whole code it is a part of."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:  # it has ended
            continue
        if argument in arguments:
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize("duration", [0, -1, -0.5, math.nan, math.inf, -math.inf, 1e300])
def test_durations_that_are_none(duration: float) -> None:
    """A duration that is no time to capture for is refused before anything is started, by the command line too."""
    with pytest.raises(auditor.InputError, match="give a number of seconds above 0"):
        audit_live("lo", duration=duration)
    command = [sys.executable, "-m", "auditor", "live", "lo", f"--duration={duration}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "give a number of seconds above 0" in done.stderr


@pytest.mark.parametrize("program", ["tcpdump", "socket"])
def test_drops_are_told_while_it_runs(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be asked for drops is asked while it captures; its answers are no part of what went wrong."""
    can_capture()
    if program != "socket" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    find = programs.find
    monkeypatch.setattr(programs, "find", lambda name: find(name) if name == program else None)
    monkeypatch.setattr(live, "PATIENCE", 0.1)
    capture = live.LiveCapture("lo", "tcp port 9")
    try:
        capture.begin()
        until = time.monotonic() + HANG
        while capture.dropped() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert capture.dropped() == 0
        assert not capture.is_behind()
    finally:
        capture.stop()
        notes = capture.close()
    assert notes[1] == "0 packets dropped by the kernel"
    assert not any("dropped" in line for line in capture._messages)


def test_what_a_socket_met_before_its_filter_is_no_loss(capsys: pytest.CaptureFixture[str]) -> None:
    """Until it has its filter a raw socket drops packets that nobody asked for; the kernel counts them as well (packet(7))."""
    answers = iter([(20, 15), (4, 2), (9, 1)])

    class Asked:
        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("II", *next(answers))

    drops = raw_socket.Drops(Asked())
    drops.say()
    drops.say()
    assert capsys.readouterr().err == "2 packets dropped by kernel\n3 packets dropped by kernel\n"


def test_asking_a_program_that_has_ended_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the capturing program has ended by itself, asking it for drops changes nothing, and so does ending it."""
    script = "import sys; sys.stderr.write('listening on eth9\\n')"
    monkeypatch.setattr(live, "command", lambda *_: [sys.executable, "-c", script])
    monkeypatch.setattr(live, "PATIENCE", 0.0)
    capture = live.LiveCapture("eth9")
    capture._child.wait()
    capture._listener.join()
    assert [capture.dropped(), capture.dropped()] == [None, None]
    capture.stop()
    assert len(capture.close()) == 1


@pytest.mark.parametrize(
    ("end", "words"),
    [("sys.exit(2)", ["eth9 is gone"]), ("os.kill(os.getpid(), 9)", ["eth9 is gone"]), ("sys.exit(0)", [])],
)
def test_a_program_that_ends_by_itself_is_told(end: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where capturing ended before anybody asked for it, by an error or a signal, the audit does not look like a whole one."""
    script = f"import os, sys; sys.stderr.write('eth9 is gone\\n'); sys.stdout.flush(); sys.stderr.flush(); {end}"
    monkeypatch.setattr(live, "command", lambda *_: [sys.executable, "-c", script])
    capture = live.LiveCapture("eth9")
    capture._child.wait()
    ended = "ended by itself, and what came later was not captured: "
    assert [note.partition(ended)[2] for note in capture.close()[1:]] == words


def test_a_reader_that_is_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody reads what a program captures, it is said that packets may be dropped, before it counts them."""
    script = "import sys; sys.stdout.buffer.write(bytes(1 << 20))"
    monkeypatch.setattr(live, "command", lambda *_: [sys.executable, "-c", script])
    capture = live.LiveCapture("eth9")
    try:
        capture.begin()
        until = time.monotonic() + HANG
        while not capture.is_behind() and time.monotonic() < until:
            time.sleep(0.05)
        assert capture.is_behind()
        assert capture.dropped() is None
        while capture._stream.read(1 << 16):
            continue
        assert not capture.is_behind()
    finally:
        capture.stop()
        capture.close()


def test_missing_interface_is_said() -> None:
    """An interface that is not there is named in one sentence."""
    can_capture()
    with pytest.raises(auditor.InputError, match="nosuch0: no such interface"):
        audit_live("nosuch0", duration=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("You don't have permission to capture on that device", "no right to capture"),
        ("eth9: No such device exists", "no such interface"),
        ("something else", "captured nothing: something else"),
    ],
)
def test_failures_are_explained(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the capturing program says is put into one sentence that says what to do."""
    script = f"import sys; sys.stderr.write({text!r}); sys.exit(1)"
    monkeypatch.setattr(live, "command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(auditor.InputError, match=words):
        audit_live("eth9")


@pytest.mark.parametrize("option", [{"apart": True}, {"jobs": 4}, {"fresh": True}, {"since": "2026-01-01"}])
def test_options_of_captures_that_are_there(option: dict[str, Any]) -> None:
    """What has no effect on a live capture is refused before anything is captured."""
    with pytest.raises(auditor.InputError, match=f"--{next(iter(option))}"):
        audit_live("lo", duration=1, **option)


@pytest.mark.parametrize("option", [{"keylog": "SSLKEYLOGFILE"}, {"policy": "nosuch"}, {"topology": "nosuch.toml"}])
def test_what_is_wrong_besides_is_told_as_itself(option: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A live audit that fails for an option says so, and not that nothing was captured."""
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    with pytest.raises(auditor.AuditError) as failed:
        audit_live("lo", duration=1, **option)
    assert next(iter(option.values())) in str(failed.value)
    assert "captured nothing" not in str(failed.value)
