"""``audit verify`` holds against people: every file and none besides, and captures wherever they are."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report.custody import CUSTODY, STATE
from tests import commands
from tests.conftest import SAMPLES
from tests.test_outputs import made, work

__all__ = ["made", "work"]


def verify(*more: object) -> "subprocess.CompletedProcess[str]":
    return commands.run("verify", "results", *more)


def listed() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path("results", CUSTODY).read_text())
    return told


def relist(**changes: Any) -> None:
    Path("results", CUSTODY).write_text(json.dumps(listed() | changes))


def wrong() -> dict[str, str]:
    """What is not what it was, and why."""
    return {name: why for name, same, why in auditor.Audit("results").verify() if same is False}


def test_all_is_what_it_was(work: Path) -> None:
    """Results that nobody touched are verified with 0, every file by its name."""
    done = verify()
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (work / "results").iterdir()} - {CUSTODY, STATE} < set(done.stdout.split())


@pytest.mark.parametrize("name", ["flows.parquet", "audit.json"])
def test_a_file_that_is_no_longer_listed(work: Path, name: str) -> None:
    """Who changes a table and takes it off the list does not get away with it."""
    relist(sha256={one: digest for one, digest in listed()["sha256"].items() if one != name})
    assert set(wrong()) == {name}
    assert "is not listed" in wrong()[name]


def test_a_file_that_is_missing_and_not_listed(work: Path) -> None:
    """A table that is gone from the list and the folder is missed."""
    relist(sha256={one: digest for one, digest in listed()["sha256"].items() if one != "flows.parquet"})
    (work / "results" / "flows.parquet").unlink()
    assert set(wrong()) == {"flows.parquet"}


@pytest.mark.parametrize("name", ["more.parquet", ".hidden", "sub/file"])
def test_a_file_that_came_later(work: Path, name: str) -> None:
    """Whatever else lies in the folder is told, with 1."""
    path = work / "results" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert set(wrong()) == {name.split("/", maxsplit=1)[0]}
    assert verify().returncode == 1


def test_only_regular_files_count(work: Path) -> None:
    """A link to the right bytes, a pipe or a folder is no result, and no pipe is waited for."""
    flows = work / "results" / "flows.parquet"
    flows.rename(work / "elsewhere")
    puts: list[Callable[[], object]] = [
        lambda: flows.symlink_to(work / "elsewhere"),
        lambda: os.mkfifo(flows),
        lambda: flows.mkdir(),  # noqa: PLW0108 - mypy knows the type of this one
    ]
    for put in puts:
        put()
        assert wrong()["flows.parquet"] in {"is a link", "is no regular file"}
        flows.rmdir() if flows.is_dir() and not flows.is_symlink() else flows.unlink()


LISTS: list[Any] = [
    {}, [], None, "x", {"/etc/hostname": "0" * 64}, {"../a.pcapng": "0" * 64}, {"..": "0" * 64}, {"": "0" * 64},
    {"a/b": "0" * 64}, {"flows.parquet": "0"}, {"flows.parquet": None}, {"flows.parquet": 1}, {CUSTODY: "0" * 64},
]  # fmt: skip


@pytest.mark.parametrize("sums", LISTS)
def test_lists_that_say_nothing(work: Path, sums: Any) -> None:
    """A list of nothing, or of what is not in the folder, verifies nothing."""
    relist(sha256=sums)
    with pytest.raises(auditor.AuditError, match="is damaged"):
        auditor.Audit("results").verify()
    if sums:
        relist(sha256={"flows.parquet": "0" * 64}, added=sums)
        with pytest.raises(auditor.AuditError, match="is damaged"):
            auditor.Audit("results").verify()


@pytest.mark.parametrize("captures", [None, {}, [1], [{}], [{"name": "a.pcapng", "path": 1, "from_results": None}]])
def test_places_that_say_nothing(work: Path, captures: Any) -> None:
    """Where captures are said to be in another form than ours, the list is no list."""
    relist(captures=captures)
    with pytest.raises(auditor.AuditError, match="is damaged"):
        auditor.Audit("results").verify()
    with pytest.raises(auditor.AuditError, match="is damaged"):
        auditor.Audit("results").save("copy")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '{"sha256": {"a": "x"}}', "[" * 3000, "\udcff"])
def test_a_list_that_is_damaged(work: Path, text: str) -> None:
    """Whatever is in custody.json, it is a sentence and 2."""
    Path("results", CUSTODY).write_bytes(text.encode("utf-8", "surrogateescape"))
    done = verify()
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is damaged" in done.stderr


def test_a_missing_capture(work: Path) -> None:
    """A capture that is not there is 2 and not 0; by --capture it is found by its SHA-256, whatever its name."""
    moved = work / "archive" / "deep" / "b.bin"
    moved.parent.mkdir(parents=True)
    Path("a.pcapng").rename(moved)
    done = verify()
    assert done.returncode == 2
    assert "1 capture could not be verified" in done.stderr
    shutil.copyfile(SAMPLES / "tls1.2.pcapng", moved.with_name("c.bin"))
    for place in (moved, work / "archive"):
        assert verify("--capture", moved.with_name("c.bin"), "--capture", place).returncode == 0
    assert verify("--capture", "nowhere").returncode == 2
    moved.write_bytes(moved.read_bytes()[:-1] + b"x")
    done = verify("--capture", work / "archive")
    assert done.returncode == 2
    assert "no file that was given has its SHA-256" in " ".join(done.stdout.split())
    assert "--capture" not in done.stderr  # which was given


def test_captures_are_found_from_elsewhere(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the capture was stays known in whatever folder one works, and beside the results after both were moved."""
    monkeypatch.chdir("/")
    assert {same for _, same, _ in auditor.Audit(work / "results").verify()} == {True}
    work.rename(work.with_name("moved"))
    result = auditor.Audit(work.with_name("moved") / "results")
    assert {same for _, same, _ in result.verify()} == {True}
    assert result.extract("TLS101-1", work.with_name("evidence.pcapng")) > 0


def test_a_moved_capture_is_extracted_from(work: Path) -> None:
    """Packets are taken from where --capture says."""
    Path("a.pcapng").rename("b")
    with pytest.raises(auditor.AuditError, match="--capture says where it is"):
        auditor.Audit("results").extract("TLS101-1", "evidence.pcapng")
    assert auditor.Audit.load("results", captures="b").extract("TLS101-1", "evidence.pcapng") > 0
    with pytest.raises(auditor.AuditError, match="is one of the files that are read"):
        auditor.Audit.load("results", captures="b").extract("TLS101-1", "b", force=True)


def test_loading_says_what_was_changed(work: Path) -> None:
    """Results that are not what they were are used, and it is said."""
    manifest = Path("results", "audit.json")
    manifest.write_text(manifest.read_text().replace("TLS 1.0", "TLS 1.3"))
    with pytest.warns(UserWarning, match=r"audit\.json: changed: its SHA-256 was"):
        auditor.Audit.load("results")
    said: list[str] = []
    Path("results", CUSTODY).unlink()
    auditor.Audit.load("results", say=said.append)
    assert len(said) == 1
    assert "there is nothing to verify the results by" in said[0]


@pytest.mark.parametrize(
    ("change", "code"), [({"format": 2}, 2), ({"format": 2, "relisted": False}, 1), ({"counts": None}, 2)]
)
def test_a_manifest_that_this_version_cannot_read(work: Path, change: dict[str, Any], code: int) -> None:
    """Files are verified by their list also where the manifest is of another version, or damaged; captures cannot be."""
    path = work / "results" / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    if "relisted" not in change:
        relist(sha256=listed()["sha256"] | {"audit.json": hashlib.sha256(path.read_bytes()).hexdigest()})
    done = verify()
    assert done.returncode == code
    assert ("CHANGED" in done.stdout) == (code == 1)
    assert "another version, or damaged" in " ".join(done.stdout.split())
    assert ("all captures could not be looked at" in done.stderr) == (code == 2)


def test_another_version_may_have_had_other_tables(work: Path) -> None:
    """A table that no list of that version has is not missed; the manifest always is."""
    names = ("witnesses.parquet", "audit.json")
    for name in names:
        (work / "results" / name).unlink()
    relist(auditor="0.0.1", sha256={one: digest for one, digest in listed()["sha256"].items() if one not in names})
    done = verify()
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines() if "CHANGED" in line] == ["audit.json"]
