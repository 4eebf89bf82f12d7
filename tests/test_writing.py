"""The one door by which files are written."""

import ast
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.errors import AuditError
from auditor.machine import writing
from tests.conftest import ROOT

SOMEBODY = 12345
# What else may make files, and why.
OTHERS = {
    "auditor/aws/build.py": "a program for developers: it makes the package's own data",
    "auditor/audit/fetched_inputs.py": "a temporary folder for inputs that lie in stores",
    "auditor/audit/compare.py": "a file without a name",
    "auditor/audit/dask_workers.py": "a mark in the folder of an audit, by which workers see that they share it",
    "auditor/audit/earlier.py": "results that were fetched from a store go to a temporary folder of their own",
    "auditor/audit/shares.py": "folders of random names in that of an audit, one for each attempt at a piece",
    "auditor/capture/stretches.py": "files without names, for captures that lie packed in archives",
    "auditor/capture/inputs.py": "a file without a name",
    "auditor/capture/interruptible.py": "a pipe of its own",
    "auditor/report/formats/xlsx.py": "a temporary folder for the files that XlsxWriter keeps meanwhile",
    "auditor/cli/helping.py": "click's formatter of help, which has a method write_text",
    "auditor/report/database.py": "a temporary folder for what DuckDB has no room for in memory",
    "auditor/report/ordered.py": "a file without a name for rows that are put in order",
    "auditor/report/stored.py": "a temporary folder for results that a store refused",
    "auditor/report/temporary.py": "the temporary folder of results that are not kept",
    "auditor/requests/opener.py": "files without names; where there are none, in a temporary folder",
    "auditor/requests/worker.py": "packets for tshark, into a pipe of its own",
    "auditor/stores/server.py": "writes objects into stores, whole or not at all",
}
CALLS = {
    *("write_text", "write_bytes", "touch", "mkdir", "makedirs", "rename", "renames", "link", "symlink"),
    *("symlink_to", "hardlink_to", "copyfile", "copy", "copy2", "copytree", "move", "mkfifo", "mkstemp", "mkdtemp"),
    *("NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "SpooledTemporaryFile", "to_csv", "to_parquet"),
}
COMMON = {"copy", "link", "rename", "move"}  # names that other things have too: only those of these modules
MODE = re.compile("[rwaxbt+]*[wax+][rwaxbt+]*")


def is_writing(call: ast.Call) -> bool:
    """Whether a call makes or names a file, by its own name, its module's, and its arguments."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    of = getattr(getattr(call.func, "value", None), "id", None)
    words = [one.value for one in [*call.args, *(k.value for k in call.keywords)] if isinstance(one, ast.Constant)]
    match name:
        case "open" | "fdopen":
            return any(isinstance(word, str) and MODE.fullmatch(word) for word in words)
        case "replace":  # a text's has two arguments, a time's and a dataclass's have names
            return isinstance(call.func, ast.Attribute) and (of == "os" or len(call.args) == 1)
        case "ParquetWriter" | "write_table":  # to a file that is open already
            return any(isinstance(one, ast.BinOp | ast.JoinedStr | ast.Constant) for one in call.args)
        case _:
            return name in CALLS and (name not in COMMON or of in {"os", "shutil"})


def writes(path: Path) -> Iterator[str]:
    """The calls in a module that make or name files."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in {"O_WRONLY", "O_RDWR", "O_CREAT"}:
            yield f"{node.lineno}: {node.attr}"
        elif isinstance(node, ast.Call) and is_writing(node):
            yield f"{node.lineno}: {ast.unparse(node.func)}"


def test_no_other_module_makes_files() -> None:
    """Only the door opens files for writing, makes folders, renames or copies; each exception is listed with a reason."""
    found = {
        str(path.relative_to(ROOT)): list(writes(path))
        for path in sorted((ROOT / "auditor").rglob("*.py"))
        if path.name != "writing.py"
    }
    assert {name: calls for name, calls in found.items() if calls and name not in OTHERS} == {}
    assert [name for name in OTHERS if not found[name]] == []
    assert len(list(writes(ROOT / "auditor" / "machine" / "writing.py"))) > 5


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(target: Path, *, force: bool = False) -> None:
    with writing.whole(target, force=force) as file:
        file.write(b"new")


def test_a_file_is_there_whole_and_private(tmp_path: Path) -> None:
    """Until it is complete nothing has its name; then it is this user's alone, and nothing else is left."""
    target = tmp_path / "a"
    with writing.whole(target) as file:
        assert not target.exists()
        file.write(b"x")
    assert target.read_bytes() == b"x"
    assert target.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [AuditError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_what_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    """An error or a signal in the middle leaves the old file as it was, and no other."""
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def fails() -> None:
        with writing.whole(target, force=True) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        fails()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    """What is there already is overwritten only if that is asked for, also where it came while the new one was written."""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(AuditError, match="exists already; give another name, or --force"):
        put(target)
    put(target, force=True)
    assert target.read_bytes() == b"new"
    target.unlink()
    with pytest.raises(AuditError, match="exists already"), writing.whole(target):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A free name is taken by renaming where a second name cannot be given."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    put(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("leads", [True, False])
def test_links_are_not_written_through(tmp_path: Path, leads: bool) -> None:
    """A link in the target's place is refused, with force too, and what it leads to stays as it is."""
    elsewhere = tmp_path / "elsewhere"
    if leads:
        elsewhere.write_bytes(b"theirs")
    (tmp_path / "a").symlink_to(elsewhere)
    with pytest.raises(AuditError, match="a: is a link"):
        put(tmp_path / "a", force=True)
    assert elsewhere.exists() == leads


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Folders, pipes and devices are not replaced by a file."""
    os.mkfifo(tmp_path / "pipe")
    for target, what in ((tmp_path, "a folder"), (tmp_path / "pipe", "a pipe"), (Path("/dev/null"), "a device")):
        with pytest.raises(AuditError, match=f"is {what}"):
            put(target, force=True)


def test_another_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that belongs to somebody else is not replaced, with force neither."""
    (tmp_path / "a").write_bytes(b"theirs")
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    with pytest.raises(AuditError, match="belongs to another user"):
        put(tmp_path / "a", force=True)


def test_inputs_are_not_written_to(tmp_path: Path) -> None:
    """A file that is read is not replaced under any of its names: hard links and symbolic ones."""
    read = tmp_path / "read"
    read.write_bytes(b"evidence")
    (tmp_path / "hard").hardlink_to(read)
    (tmp_path / "link").symlink_to(read)
    (tmp_path / "folder").symlink_to(tmp_path)
    inputs = writing.identities([read])
    for name in ("read", "hard", "link", "folder/read", "folder/folder/hard"):
        with (
            pytest.raises(AuditError, match="is one of the files that are read"),
            writing.whole(tmp_path / name, inputs, force=True),
        ):
            pass
    assert read.read_bytes() == b"evidence"


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who guesses the new file's name and puts a link there gets nothing written through it."""
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / f"{writing.NEW}{bytes(8).hex()}").symlink_to(tmp_path / "victim")
    with pytest.raises(AuditError):
        put(tmp_path / "a")
    assert not (tmp_path / "victim").exists()


def test_a_folder_exchanged_for_a_link(tmp_path: Path) -> None:
    """A folder that becomes a link while a file is written does not lead it elsewhere."""
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    with writing.whole(tmp_path / "out" / "a") as file:
        file.write(b"x")
        (tmp_path / "out").rename(tmp_path / "moved")
        (tmp_path / "out").symlink_to("elsewhere")
    assert names(tmp_path / "elsewhere") == []
    assert (tmp_path / "moved" / "a").read_bytes() == b"x"


def test_a_full_disk(tmp_path: Path) -> None:
    """A device without room is told in a sentence."""
    with pytest.raises(AuditError, match="/dev/full: is a device"):
        put(Path("/dev/full"), force=True)
    with (
        pytest.raises(AuditError, match="a: cannot be written: No space left on device"),
        writing.whole(tmp_path / "a"),
    ):
        Path("/dev/full").write_bytes(b"x")
    assert names(tmp_path) == []


def test_folders_are_private(tmp_path: Path) -> None:
    """Folders that are made on the way are this user's alone; those that are there stay as they are."""
    tmp_path.chmod(0o755)
    writing.make_folder(tmp_path / "a" / "b")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("", "a", "a/b")] == [0o755, 0o700, 0o700]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="exists"):
        writing.make_folder(tmp_path / "file")


def test_together(tmp_path: Path) -> None:
    """Files come together with the last ones last, in place of the older ones; others stay."""
    for name in ("old", "mark", "other"):
        (tmp_path / name).write_bytes(b"old")
    files = writing.FolderWrite(tmp_path, ["mark"])
    for name in ("mark", "new"):
        files.open(name).write(b"new")
    assert names(tmp_path)[1:] == ["mark", "old", "other"]
    files.finish(lambda _: ["old", "mark"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "mark": b"new",
        "new": b"new",
        "other": b"old",
    }


def test_together_or_not_at_all(tmp_path: Path) -> None:
    """What is abandoned leaves the older files as they were, and nothing else."""
    (tmp_path / "mark").write_bytes(b"old")
    files = writing.FolderWrite(tmp_path, ["mark"])
    files.open("mark").write(b"new")
    files.abandon()
    assert (tmp_path / "mark").read_bytes() == b"old"
    assert names(tmp_path) == ["mark"]


def test_a_folder_that_somebody_keeps_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may list a folder can lock it: nobody waits for that without end, or without a word."""
    monkeypatch.setattr(writing, "WAIT", 0.05)
    with writing.held(tmp_path) as number:
        fcntl.flock(number, fcntl.LOCK_EX)
        with pytest.raises(AuditError, match=r"another program has kept it locked \(flock\)"), writing.locked(tmp_path):
            raise AssertionError
    with writing.locked(tmp_path):
        pass


def test_what_killed_ones_left_goes(tmp_path: Path) -> None:
    """New files of somebody who was killed are removed by the next; those of somebody who still writes stay."""
    left, busy, young = (tmp_path / f"{writing.NEW}{number}" for number in range(3))
    for folder in (left, busy, young):
        folder.mkdir()
        (folder / "flows").write_bytes(b"half")
    file = tmp_path / f"{writing.NEW}3"
    file.write_bytes(b"half")
    for old in (left, busy, file):
        os.utime(old, (0, 0))
    with writing.held(busy) as number:
        fcntl.flock(number, fcntl.LOCK_EX)
        files = writing.FolderWrite(tmp_path, [])
        files.open("a")
        files.finish()
    assert names(tmp_path) == [busy.name, young.name, "a"]
