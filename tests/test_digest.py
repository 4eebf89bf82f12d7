"""SHA-256 of inputs: by a process of its own for large files, by a thread for streams."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.audit.start import audit_files
from auditor.capture import digest, sha256
from auditor.capture.inputs import Input, expand
from auditor.options import Options
from tests import wire

SIZE = 3 << 20


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A capture that counts as large."""
    monkeypatch.setattr(digest, "LARGE", 1000)
    path = tmp_path / "large.pcap"
    packet = wire.datagram(bytes(1000))
    path.write_bytes(wire.pcap([(k * 1000, packet) for k in range(SIZE // len(packet))]))
    return path


def _hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _row(path: Path) -> dict[str, Any]:
    return wire.only(auditor.audit(path).captures)


def test_large_file(capture: Path) -> None:
    """A large file is hashed by a process of its own, and its digest is the file's."""
    (item,) = expand([capture])
    stream = item.open()
    stream.readinto(memoryview(bytearray(SIZE // 2)))
    item.read_rest()
    assert item.sha256() == item.sha256() == _hashed(capture)
    assert stream.count == capture.stat().st_size
    assert not item.was_changed()
    stream.close()
    row = _row(capture)
    assert row["sha256"] == _hashed(capture)
    assert row["bytes"] == capture.stat().st_size
    assert not row["warnings"]


def test_a_disk_that_fails(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before the system could read no further is reported, as an error, and read anew the next time."""
    real = digest.Digested.readinto

    def failing(self: digest.Digested, view: memoryview) -> int:
        if self.count > SIZE // 4:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, view[: SIZE // 4])

    with monkeypatch.context() as patch:
        patch.setattr(digest.Digested, "readinto", failing)
        result = auditor.audit(capture, out=tmp_path / "out")
    assert wire.only(result.captures)["status"] == "damaged"
    assert result.errors == [f"{capture}: cannot be read any further: Input/output error"]
    assert len(result.flows) == 1
    again = auditor.audit(capture, out=tmp_path / "out")
    assert again.errors == []
    assert wire.only(again.captures)["packets"] == SIZE // len(wire.datagram(bytes(1000)))


def test_program_that_is_killed(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process is gone, or could not begin, the digest is right all the same."""
    (item,) = expand([capture])
    stream = item.open()
    assert stream._child is not None
    stream._child._process.kill()
    item.read_rest()
    assert item.sha256() == _hashed(capture)
    stream.close()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert _row(capture)["sha256"] == _hashed(capture)


def test_file_that_is_written_to(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was written to while it was read says so; its digest is that of the bytes that were there before."""
    before, whole = _hashed(capture), capture.read_bytes()
    hexdigest = digest.DigestChild.hexdigest

    def grow(self: digest.DigestChild, count: int) -> str | None:
        capture.write_bytes(whole + b"more")
        return hexdigest(self, count)

    monkeypatch.setattr(digest.DigestChild, "hexdigest", grow)
    row = _row(capture)
    assert row["sha256"] == before
    assert f"first {len(whole)} bytes" in row["warnings"]


def test_file_that_was_replaced(capture: Path) -> None:
    """A digest that began with another file, or with fewer bytes of this one, does not count."""
    (before,) = expand([capture])
    before.hash_early()
    hashing = before.hashing
    assert hashing is not None
    other = capture.with_name("other.pcap")
    other.write_bytes(capture.read_bytes() + wire.pcap([]))
    other.replace(capture)
    (item,) = expand([capture])
    assert not item.adopt(hashing)
    item.hashing = hashing
    stream = item.open()
    assert item.hashing is not hashing
    item.read_rest()
    assert item.sha256() == _hashed(capture)
    stream.close()


def test_digest_that_began_before_the_audit(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that the command line starts first is the only one that hashes the file."""
    started: list[Path] = []
    begin = digest.DigestChild.__init__

    def count(self: digest.DigestChild, path: Path, size: int) -> None:
        started.append(path)
        begin(self, path, size)

    monkeypatch.setattr(digest.DigestChild, "__init__", count)
    hashing = digest.begin(capture)
    assert hashing is not None
    row = audit_files(capture, Options(), hashing=hashing).captures.iloc[0]
    assert row["sha256"] == _hashed(capture)
    assert started == [capture]


def test_file_that_is_renamed(capture: Path) -> None:
    """What is hashed is the file that is audited, also where its name is another's by then; that is no change of it."""
    expected = _hashed(capture)
    (item,) = expand([capture])
    stream = item.open()
    capture.rename(capture.with_name("rotated.pcap"))
    capture.write_bytes(b"another capture")
    item.read_rest()
    assert item.sha256() == expected
    assert not item.was_changed()
    stream.close()


def test_file_whose_time_is_set_back(capture: Path) -> None:
    """Who changes a file while it is read, puts it back as it was and its time too, is found out."""
    before, data = capture.stat(), capture.read_bytes()
    (item,) = expand([capture])
    stream = item.open()
    time.sleep(0.05)  # as long as a file system's clock may stand still
    with capture.open("r+b") as file:
        file.write(bytes(100))
        file.seek(0)
        file.write(data[:100])
    os.utime(capture, ns=(before.st_atime_ns, before.st_mtime_ns))
    item.read_rest()
    assert item.sha256() == hashlib.sha256(data).hexdigest()
    assert item.was_changed()
    stream.close()


def test_nothing_is_left(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has begun and is not asked for any more ends."""
    begun: list[digest.DigestChild] = []
    begin = digest.DigestChild.__init__

    def keep(self: digest.DigestChild, path: Path, size: int) -> None:
        begin(self, path, size)
        begun.append(self)

    monkeypatch.setattr(digest.DigestChild, "__init__", keep)
    with pytest.raises(auditor.PolicyError):
        auditor.audit(capture, policy="no such policy")
    with pytest.raises(auditor.InputError):
        auditor.audit(capture, keylog="no such key log")
    with pytest.raises(auditor.InputError):
        audit_files("no such capture", Options(), hashing=digest.begin(capture))
    assert len(begun) == 3
    assert all(child._process.poll() is not None for child in begun)


def test_program_without_a_reader(capture: Path) -> None:
    """The process ends where nobody is left who would read what it says."""
    program = Path(sha256.__file__).read_text(encoding="utf-8").replace("BEAT = 64", "BEAT = 1")
    nobody, said = os.pipe()
    os.close(nobody)
    with capture.open("rb") as file, os.fdopen(said, "wb") as out:
        command = [sys.executable, "-I", "-S", "-c", program, str(SIZE)]
        ended = subprocess.run(command, stdin=file, stdout=out, stderr=subprocess.PIPE, check=False)
    assert ended.returncode != 0
    assert b"in sha256" in ended.stderr, "it has hashed all, and failed to tell the digest"


def test_stream(capture: Path) -> None:
    """A stream is hashed as it is read, large pieces by a thread, and no buffer is written to before it is."""
    expected = _hashed(capture)
    with capture.open("rb") as file:
        item = Input("-", stream=file)
        stream, buffer = item.open(), memoryview(bytearray(digest.PIECE))
        while stream.readinto(buffer):
            stream.release(buffer.obj)
        assert item.sha256() == expected
        stream.close()


def test_what_is_no_file_any_more(tmp_path: Path) -> None:
    """A file that became a pipe after it was looked at is refused in a sentence, and no byte of it is waited for."""
    path = wire.write(tmp_path, wire.pcap([bytes(60)]), "a.pcap")
    (item,) = expand([path])
    path.unlink()
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # who never writes
    try:
        with pytest.raises(auditor.InputError, match="is no file any more"):
            item.open()
        assert digest.started(path, digest.LARGE + 1) is None
    finally:
        os.close(writer)
