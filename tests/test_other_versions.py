"""Results that another version of the product wrote are read right, or refused in a sentence that says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.errors import AuditError
from auditor.report import compared
from tests.conftest import SAMPLES

OTHER = "0.0.9"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of this version."""
    folder = tmp_path_factory.mktemp("ours") / "results"
    auditor.audit(SAMPLES / "tls1.2.pcapng", out=folder)
    return folder


Changed = Callable[[Callable[[dict[str, Any]], Any]], Path]


@pytest.fixture
def changed(ours: Path, tmp_path: Path) -> Changed:
    """A copy of them, its manifest changed."""

    def copy(change: Callable[[dict[str, Any]], Any]) -> Path:
        folder = tmp_path / "theirs"
        shutil.copytree(ours, folder)
        manifest = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        manifest["versions"]["auditor"] = OTHER
        change(manifest)
        (folder / "audit.json").write_text(json.dumps(manifest), encoding="utf-8")
        return folder

    return copy


def load(folder: Path) -> auditor.Audit:
    """What is in a folder, whose files are known not to be as the audit left them."""
    return auditor.load(folder, say=lambda _: None)


WRITTEN = rf"audit the captures again \(it was written by auditor {OTHER}, and this is {auditor.__version__}\)$"


def test_another_format_is_refused(changed: Changed) -> None:
    """Where the manifest states another format nothing is read, however well the names of all fit."""
    with pytest.raises(AuditError, match=r"another version, or damaged \(its format is 2, not 1\); " + WRITTEN):
        load(changed(lambda manifest: manifest.update(format=2)))


def test_a_manifest_that_lacks_something_says_who_wrote_it(changed: Changed) -> None:
    """What this version needs and another did not write is named, with both versions."""
    with pytest.raises(AuditError, match=r"\(options.apart is missing\); " + WRITTEN):
        load(changed(lambda manifest: manifest["options"].pop("apart")))


def test_a_manifest_without_a_version_is_refused_all_the_same(changed: Changed) -> None:
    """Who does not say which version it is gets no guess at one."""
    with pytest.raises(AuditError, match=r"audit the captures again$"):
        load(changed(lambda manifest: manifest.pop("versions")))


def test_columns_of_another_version_say_who_wrote_them(changed: Changed) -> None:
    """A table that lacks a column is refused by name, with both versions; a column is never taken for another."""
    folder = changed(lambda _: None)
    path = folder / "flows.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.table({name: table[name] for name in table.column_names[:-1]}), path)
    with pytest.raises(AuditError, match=r"flows.parquet: its columns are of another version; " + WRITTEN):
        load(folder).arrow("flows")


def test_a_diff_tells_that_two_versions_made_the_audits(ours: Path, changed: Changed) -> None:
    """Another version may judge the same packets otherwise, so a diff of its results says so first; of one it does not."""
    theirs = load(changed(lambda _: None))
    told = [one for one in compared.basis(theirs, auditor.load(ours)) if one.about == "auditor"]
    assert [(one.kind, str(one.before)[:5], str(one.after)[:5]) for one in told] == [
        ("differs", OTHER, auditor.__version__)
    ]
    assert not [one for one in compared.basis(theirs, theirs) if one.about == "auditor"]


def test_results_are_not_taken_for_a_history(ours: Path) -> None:
    """Whoever mistakes one folder for the other is told which is which, not that a file of theirs is wrong."""
    with pytest.raises(
        AuditError, match=r"holds the results of an audit; a history is the folder that --history named"
    ):
        auditor.history(ours)
