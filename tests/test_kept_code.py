"""Kept machine code is executed: it is loaded only from where nobody else can have put it."""

import os
import tempfile
from pathlib import Path

import pytest

from auditor.machine import objects, trust
from auditor.machine.objects import KernelObject, load, pack, store, unpack

OBJECTS = {"a-1": KernelObject(b"\n\0code", "f", 2), "b-2": KernelObject(b"", "g", 0)}
SOMEBODY = 12345


@pytest.fixture
def kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that keeps machine code, with some in it."""
    monkeypatch.setenv("AUDITOR_CACHE_DIR", str(home))
    store(OBJECTS)
    return home / objects.FOLDER


def belongs_to_somebody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a file to another user; who must not do that becomes another user."""
    if os.geteuid() == 0:
        os.chown(path, SOMEBODY, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)


def test_stored_objects_load_again(kept: Path) -> None:
    """What was kept is what is loaded; only this user can read and write it."""
    assert load([*OBJECTS, "c-3"]) == OBJECTS
    assert sorted(file.name for file in kept.iterdir()) == ["a-1", "b-2"]
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in kept.iterdir()} == {0o600}
    assert objects.why_not_kept() is None


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_damaged_code_is_not_loaded(kept: Path, keep: int) -> None:
    """A file that is not whole, was changed, or is of another kernel is no machine code."""
    whole = (kept / "a-1").read_bytes()
    (kept / "a-1").write_bytes(whole[:keep])
    assert load(["a-1"]) == {}
    (kept / "a-1").write_bytes(whole[:-1] + b"E")
    assert load(["a-1"]) == {}
    (kept / "a-1").write_bytes(pack({"b-2": OBJECTS["b-2"]}))
    assert load(["a-1"]) == {}


@pytest.mark.parametrize("packed", [b"", b"{}", b"[]\n", b"\xff\n", b'{"sha256": 1, "kernels": 2}\nx', b"null\n"])
def test_anything_else_is_no_machine_code(packed: bytes) -> None:
    """Bytes that ``pack`` did not make are nothing, and no error."""
    assert unpack(packed) == {}


def test_a_link_is_not_followed(kept: Path, home: Path) -> None:
    """A link in the place of a file is not loaded, and storing replaces it: what it leads to stays as it is."""
    elsewhere = home / "elsewhere"
    (kept / "a-1").rename(elsewhere)
    (kept / "a-1").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert load(["a-1"]) == {}
    store({"a-1": OBJECTS["b-2"]})
    assert elsewhere.read_bytes() == before
    assert load(["a-1"]) == {"a-1": OBJECTS["b-2"]}


def test_a_pipe_is_not_waited_for(kept: Path) -> None:
    """What is no regular file is not loaded, and does not stop the audit."""
    (kept / "a-1").unlink()
    os.mkfifo(kept / "a-1")
    assert load(["a-1"]) == {}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write(kept: Path, mode: int) -> None:
    """Whoever can write the file decides what is run, so it is not loaded; storing makes it private again."""
    (kept / "a-1").chmod(mode)
    assert load(list(OBJECTS)) == {"b-2": OBJECTS["b-2"]}
    store(OBJECTS)
    assert load(list(OBJECTS)) == OBJECTS


def test_a_file_of_another_user(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that belongs to somebody else is not loaded."""
    belongs_to_somebody(kept / "a-1", monkeypatch)
    assert "a-1" not in load(["a-1"])


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_a_folder_that_others_can_write(kept: Path, home: Path, mode: int) -> None:
    """The folder or one on its way that others can write, sticky or not: nothing is loaded or kept, and it is said."""
    for folder in (kept, home):
        before = folder.stat().st_mode
        folder.chmod(mode)
        assert load(list(OBJECTS)) == {}
        store({"c-3": OBJECTS["a-1"]})
        assert sorted(file.name for file in kept.iterdir()) == ["a-1", "b-2"]
        assert objects.why_not_kept() == f"{folder} can be written by other users"
        folder.chmod(before)
    assert load(list(OBJECTS)) == OBJECTS


def test_a_folder_of_another_user(kept: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on the way that belongs to somebody else: nothing is loaded, and it is said."""
    belongs_to_somebody(home, monkeypatch)
    assert load(list(OBJECTS)) == {}
    assert "belongs to another user" in str(objects.why_not_kept())


def test_links_on_the_way(kept: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link of this user's own to a folder of his is a way; one that others can turn elsewhere is not, nor a circle."""
    (home / "link").symlink_to(".")
    monkeypatch.setenv("AUDITOR_CACHE_DIR", str(home / "link" / "link" / ".." / home.name))
    assert load(list(OBJECTS)) == OBJECTS
    shared = home / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "link").symlink_to(home)
    (home / "away").symlink_to(tempfile.gettempdir())
    (home / "circle").symlink_to("circle")
    for way, why in (("shared/link", "written"), ("away", "written"), ("circle", "links"), ("away/..", "written")):
        monkeypatch.setenv("AUDITOR_CACHE_DIR", str(home / way))
        assert load(list(OBJECTS)) == {}
        assert why in str(objects.why_not_kept())


def test_root_does_not_use_the_home_of_a_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sudo kept HOME, neither is its cache believed nor anything written there."""
    if os.geteuid() == 0:
        os.chown(home, SOMEBODY, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("AUDITOR_CACHE_DIR", raising=False)
    for variable, value in (("HOME", home), ("XDG_CACHE_HOME", home / "cache")):
        monkeypatch.setenv(variable, str(value))
        assert not objects.folder().is_relative_to(home)
    assert not any(home.iterdir())


def test_a_home_that_cannot_be_written(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be kept, nothing is, nothing fails, and it is said; what is there can be read."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert objects.why_not_kept() == f"{kept} is not writable"
    assert load(list(OBJECTS)) == OBJECTS
    monkeypatch.setenv("AUDITOR_CACHE_DIR", "/dev/null")
    assert objects.why_not_kept() == "/dev/null is not a folder"
    store(OBJECTS)
    assert load(list(OBJECTS)) == {}


def test_a_write_that_fails_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the file as it was, and nothing beside it."""
    (home / "file").write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        trust.write(home / "file", b"after")
    assert [(file.name, file.read_bytes()) for file in home.iterdir()] == [("file", b"before")]
