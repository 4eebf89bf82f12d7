"""Nothing of the user's is overwritten: not what is read, not what others wrote, not what was changed since."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import auditor
from auditor.report.custody import CUSTODY, NAMES
from tests.conftest import SAMPLES

Content = dict[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a capture and its results."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copyfile(SAMPLES / "tls1.pcapng", folder / "a.pcapng")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        auditor.audit("a.pcapng", out="results")
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    listed = json.loads(Path("results", CUSTODY).read_text())
    listed["captures"][0]["path"] = str(tmp_path / "work" / "a.pcapng")
    Path("results", CUSTODY).write_text(json.dumps(listed))
    return tmp_path / "work"


def content(folder: Path) -> Content:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OUTPUTS: dict[str, Callable[[auditor.Audit, Path, bool], object]] = {
    "report": lambda result, path, force: result.export("html", path, force=force),
    "export": lambda result, path, force: result.export("csv", path, force=force),
    "extract": lambda result, path, force: result.extract("TLS101-1", path, force=force),
    "diff": lambda result, path, force: result.export_diff(result, "text", path, force=force),
}


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_is_never_an_input(work: Path, command: str) -> None:
    """Neither the capture nor a table is written over, under whatever name, with force neither, wherever one works."""
    Path("hard").hardlink_to("a.pcapng")
    Path("link").symlink_to("a.pcapng")
    Path("there").symlink_to("results")
    elsewhere = work.parent / "elsewhere"
    elsewhere.mkdir()
    before, result = content(work), auditor.Audit.load(work / "results")
    os.chdir(elsewhere)
    names = ["a.pcapng", "hard", "link", *(f"results/{name}" for name in (*NAMES, CUSTODY)), "results/../a.pcapng"]
    for name in names:
        with pytest.raises(auditor.AuditError, match="is one of the files that are read"):
            OUTPUTS[command](result, work / name, True)
    with pytest.raises(auditor.AuditError, match="there: is a link"):
        OUTPUTS[command](result, work / "there" / "new", True)
    assert content(work) == before


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_existing_file_needs_force(work: Path, command: str) -> None:
    """What has the name already stays, unless it is asked for."""
    target, result = work / "mine.txt", auditor.Audit.load("results")
    target.write_text("mine")
    with pytest.raises(auditor.AuditError, match=r"mine.txt: exists already; .* --force"):
        OUTPUTS[command](result, target, False)
    assert target.read_text() == "mine"
    OUTPUTS[command](result, target, True)
    assert target.read_text(errors="replace") != "mine"


def test_a_report_in_its_results_is_known_again(work: Path) -> None:
    """A page in the folder of its results is listed there, and replaced without force until somebody changes it."""
    result, page = auditor.Audit.load("results"), work / "results" / "report.html"
    for _ in range(2):
        result.export("html", page)
    assert {same for _, same, _ in result.verify()} == {True}
    assert {"report.html"} == set(json.loads(Path("results", CUSTODY).read_text())["added"])
    page.write_text("my notes")
    with pytest.raises(auditor.AuditError, match="exists already"):
        result.export("html", page)
    assert page.read_text() == "my notes"


def test_an_older_result_is_replaced_whole(work: Path) -> None:
    """The next audit into the same folder leaves nothing of the older one, its page neither."""
    auditor.Audit.load("results").export("html", work / "results" / "report.html")
    shutil.copyfile(SAMPLES / "tls1.2.pcapng", "b.pcapng")
    result = auditor.audit("b.pcapng", out="results")
    assert {path.name for path in Path("results").iterdir()} == {*NAMES, CUSTODY}
    assert result.captures["capture"].tolist() == ["b.pcapng"]
    assert {same for _, same, _ in result.verify()} == {True}


def test_a_failed_audit_leaves_the_older_result(work: Path) -> None:
    """Where the next audit fails, the older result is as it was."""
    before = content(work)
    Path("bad.pcap").write_text("nonsense")
    with pytest.raises(auditor.InputError):
        auditor.audit("bad.pcap", out="results")
    Path("bad.pcap").unlink()
    assert content(work) == before


@pytest.mark.parametrize("name", ["notes.txt", "report.html", ".hidden", "sub/x"])
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_other_files_is_refused(work: Path, name: str, force: bool) -> None:
    """Results do not go where anything lies that no audit wrote, with force neither."""
    path = work / "results" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = content(work)
    for write in (
        lambda: auditor.audit("a.pcapng", out="results", force=force),
        lambda: auditor.audit("a.pcapng").save("results", force=force),
    ):
        with pytest.raises(auditor.AuditError, match="which no audit wrote"):
            write()
    assert content(work) == before


def test_results_that_are_not_whole_need_force(work: Path) -> None:
    """A folder that only looks like results is replaced if that is asked for."""
    Path("results", CUSTODY).unlink()
    with pytest.raises(auditor.AuditError, match=r"holds results without custody\.json; .*--force"):
        auditor.audit("a.pcapng", out="results")
    assert {same for _, same, _ in auditor.audit("a.pcapng", out="results", force=True).verify()} == {True}


def test_a_capture_among_results_is_not_replaced(work: Path) -> None:
    """A capture that has the name of a table, or is one by a hard link, is not lost to the results of its audit."""
    flows = work / "results" / "flows.parquet"
    flows.unlink()
    flows.hardlink_to("a.pcapng")
    for capture in ("a.pcapng", flows):
        with pytest.raises(auditor.AuditError, match="is one of the files that are read"):
            auditor.audit(capture, out="results", force=True)
    assert flows.read_bytes() == Path("a.pcapng").read_bytes()


def test_links_and_files_in_place_of_the_folder(work: Path) -> None:
    """Results go neither through a link nor in place of a file."""
    Path("link").symlink_to("results")
    for name, what in (("link", "is a link"), ("a.pcapng", "is no folder")):
        with pytest.raises(auditor.AuditError, match=what):
            auditor.audit("a.pcapng", out=name, force=True)


def test_a_copy_is_an_audit_like_the_first(work: Path) -> None:
    """What is saved has all that is listed, and says where its captures are; onto itself it is not copied."""
    result = auditor.Audit.load("results")
    result.export("markdown", work / "results" / "summary.md")
    copy = auditor.Audit.load(result.save("deep/copy"))
    assert {same for _, same, _ in copy.verify()} == {True}
    assert json.loads(Path("deep/copy", CUSTODY).read_text())["captures"][0]["from_results"] == "../../a.pcapng"
    assert Path("deep/copy/summary.md").read_bytes() == Path("results/summary.md").read_bytes()
    with pytest.raises(auditor.AuditError, match="is one of the files that are read"):
        result.save("results", force=True)


def test_audits_at_once_into_one_folder(work: Path) -> None:
    """Of several audits that write into one folder at once, one result is there at the end, whole."""
    shutil.copyfile(SAMPLES / "tls1.2.pcapng", "b.pcapng")

    def run(name: str) -> None:
        auditor.audit(name, out="results")

    with ThreadPoolExecutor(4) as beside:
        list(beside.map(run, ["a.pcapng", "b.pcapng"] * 4))
    assert {path.name for path in Path("results").iterdir()} == {*NAMES, CUSTODY}
    assert {same for _, same, _ in auditor.Audit("results").verify()} == {True}


def test_what_an_audit_was_given_is_never_an_output(work: Path) -> None:
    """The topology that results were made with is not written over either, with force neither."""
    shutil.copyfile(SAMPLES / "site.toml", "site.toml")
    result = auditor.audit("a.pcapng", topology="site.toml", out="judged")
    with pytest.raises(auditor.AuditError, match="one of the files that are read"):
        result.export("csv", "site.toml", force=True)
    assert Path("site.toml").read_bytes() == (SAMPLES / "site.toml").read_bytes()
    result.export("csv", work / "flows.csv")


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (("report", "results", "--out", "-"), b"<!doctype html>"),
        (("export", "results", "--format", "csv", "-o", "-"), b"flow_id,"),
        (("extract", "results", "TLS101-1", "-o", "-"), b"\n\r\r\n"),
        (("diff", "results", "results", "--format", "html", "-o", "-"), b"<!doctype html>"),
        (("topology", "suggest", "a.pcapng", "--out", "-"), b"#"),
    ],
)
def test_a_dash_is_standard_output(work: Path, words: tuple[str, ...], begins: bytes) -> None:
    """An output that is - goes to standard output and makes no file of that name; results, a folder, cannot."""
    command = [sys.executable, "-P", "-m", "auditor"]
    assert subprocess.run([*command, *words], capture_output=True, check=True).stdout.startswith(begins)
    assert not (work / "-").exists()
    refused = subprocess.run([*command, "pcap", "a.pcapng", "--out", "-"], capture_output=True, text=True, check=False)
    assert (refused.returncode, (work / "-").exists()) == (2, False)
    assert "--out -: results are a folder" in refused.stderr
